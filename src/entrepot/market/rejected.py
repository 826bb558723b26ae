"""What did not clear, and why? Every order that is not wholly accepted is listed once, with the reason that weighs most.

An order is *in the money* where one whole block more, at the published prices, would still have been a gain to it. Such
rejections come from whole devices and blocks alone; a divisible market has none.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.pool import FLEXIBLE, SALE, Pooled
from entrepot.market.price import Prices
from entrepot.market.records import Book

__all__ = ["rejected"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_ABOVE = "ask above price"
_AT_ASK = "demand met: the price is its ask, and nobody wants more of it"
_PART = "less than a whole block"
_ROUNDING = "block rounding"
_BELOW = "limit below price"
_AT_LIMIT = "supply used up: the price is its limit"
_ABSENT = "nothing that it may use is offered in its window"
_NO_BUYER = "no lawful buyer"
_UNWANTED = "no bid that may use it fits it"
_NO_CAPACITY = "no lawful capacity"
_UNFIT = "no lot that it may use fits it"
_TOUCHED = 1e-9  # share of a demand that counts as served
_CHUNK = 4096  # bids whose gains are computed at once
_MARGIN = 1.0  # micro per device-hour: a price is rounded to whole micro-units

_SCHEMA = {
    "order": pl.String,
    "side": pl.String,
    "reason": pl.String,
    "in_the_money": pl.Boolean,
    "quantity": pl.Float64,
}


def rejected(book: Book, pooled: Pooled, prices: Prices, sold: I64, served: F64) -> pl.DataFrame:
    """List what did not clear.

    Parameters
    ----------
    sold : (lots, periods) devices; for a whole-window lot or a sale its one quantity in each period of its window
    served : (bids, periods) Mtok per hour

    Returns
    -------
    As `Clearing.rejected`. Quantity: device-hours of a lease, devices of a sale, Mtok of a bid
    """
    return pl.concat([_lots(book, pooled, prices, sold), _bids(book, pooled, prices, served)])


def _no_edge(book: Book, classes: I64, side: str, unlawful: str, unfit: str) -> dict[int, str]:
    """Return the reason for each class without any edge: the law's most frequent one, or that nothing fits."""
    other = "bid_class" if side == "lot_class" else "lot_class"
    weight = np.bincount(book.bid_class if side == "lot_class" else book.lot_class)
    weights = pl.DataFrame({other: np.arange(len(weight)), "orders": weight})
    reasons = {int(k): f"{unlawful}: nobody stands on the other side" for k in classes}
    of_class = (
        book.permits.filter(pl.col(side).is_in(classes.tolist()))
        .join(weights, on=other)
        .group_by(side, "permitted", "reason")
        .agg(pl.col("orders").sum())
        .sort([side, "permitted", "orders", "reason"], descending=[False, True, True, False])
        .group_by(side, maintain_order=True)
        .first()
    )
    for row in of_class.iter_rows(named=True):
        reasons[row[side]] = unfit if row["permitted"] else f"{unlawful}: {row['reason']}"
    return reasons


def _weightiest(code: I64, quantity: F64, names: list[str]) -> list[str]:
    """Return each order's reason: the one that explains most of its (orders, periods) quantity."""
    weight = np.stack([np.where(code == i, quantity, 0.0).sum(axis=1) for i in range(len(names))])
    return [names[i] for i in weight.argmax(axis=0)]


def _lots(book: Book, pooled: Pooled, prices: Prices, sold: I64) -> pl.DataFrame:
    """List the lots of which something is left."""
    ask = book.lots["ask_micro"].to_numpy()
    block = book.lots["block"].to_numpy()[:, None]
    flexible = (pooled.lot_mode == FLEXIBLE)[:, None]
    sale = pooled.lot_mode == SALE
    hours = book.hours
    window = pooled.usable > 0
    margin = np.where(window, prices.lease[pooled.lot_pool] - ask[:, None], 0).astype(np.float64)
    total = np.where(sale, prices.sale[pooled.lot_pool] - ask, (margin * hours).sum(axis=1))
    margin = np.where(flexible, margin, total[:, None])
    left = np.where(window, pooled.usable - sold, 0)
    rest = book.capacity - pooled.usable  # what is no whole block, or above a whole-window lot's one quantity
    code = np.where(left < block, 0, np.where(margin < 0, 1, np.where(margin == 0, 2, 3)))
    worth = np.where(sale[:, None], 1.0 / np.maximum(1, (book.capacity > 0).sum(axis=1))[:, None], hours)
    quantity = (left + rest) * worth
    names = _weightiest(code, quantity, [_PART, _ABOVE, _AT_ASK, _ROUNDING])
    gains: Mask = np.asarray(((left >= block) & (margin > 0)).any(axis=1))
    edge: Mask = np.asarray((book.rate > 0).any(axis=0))[book.lot_class]
    why = _no_edge(book, np.unique(book.lot_class[~edge]), "lot_class", _NO_BUYER, _UNWANTED)
    amount = quantity.sum(axis=1)
    if sale.any():
        most = np.where(window, left + rest, 0).max(axis=1, initial=0)
        amount = np.where(sale, np.maximum(most, (book.capacity - sold).max(axis=1, initial=0)), amount)
    listed = np.flatnonzero(amount > 0)
    return pl.DataFrame(
        {
            "order": book.lots["lot"].gather(listed),
            "side": ["lot"] * len(listed),
            "reason": [
                _ROUNDING if gains[i] else names[i] if edge[i] else why[int(book.lot_class[i])]
                for i in listed
            ],
            "in_the_money": gains[listed],
            "quantity": amount[listed],
        },
        schema=_SCHEMA,
    )


def _bids(book: Book, pooled: Pooled, prices: Prices, served: F64) -> pl.DataFrame:
    """List the bids of which something is unserved."""
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    left = np.where(served < book.demand * (1 - _TOUCHED), book.demand - served, 0.0)
    quantity = left * book.hours
    amount = quantity.sum(axis=1)
    listed = np.flatnonzero(amount > 0)
    code = np.full((len(listed), len(book.hours)), 1)
    gains = np.zeros(len(listed), dtype=np.bool_)
    least = _least_blocks(book, pooled, flexible=True)
    for t in range(len(book.hours)):
        rate = pooled.group_rate * ((pooled.offered[:, t] > 0) & ~pooled.is_sale)
        cost = np.divide(prices.lease[:, t], rate, out=np.full(rate.shape, np.inf), where=rate > 0).min(
            axis=1, initial=np.inf
        )
        of_bid = cost[pooled.bid_group[listed]]
        short = left[listed, t] > 0
        close = np.abs(limit[listed] - of_bid) <= 1e-6 * limit[listed]
        code[:, t] = np.where(close, 2, np.where(limit[listed] < of_bid, 1, 3))
        code[np.isinf(of_bid), t] = 0
        sizes = np.flatnonzero(least[:, t] > 0)
        block, pays = least[sizes, t], prices.lease[sizes, t] * least[sizes, t]
        could = np.flatnonzero(short & (limit[listed] > of_bid))
        for begin in range(0, len(could), _CHUNK):
            part = could[begin : begin + _CHUNK]
            bids = listed[part]
            reach = rate[np.ix_(pooled.bid_group[bids], sizes)] * block
            gain = limit[bids, None] * np.minimum(reach, left[bids, t, None]) - pays
            gains[part] |= ((gain > _MARGIN * block) & (reach > 0)).any(axis=1)
    buys = pooled.group_buys[pooled.bid_group[listed]]
    code[buys] = np.where(
        code[buys] == 0, 1, code[buys]
    )  # it may buy: its limit does not reach the price of a device
    for i in np.flatnonzero(buys):
        gains[i] |= _sale_gain(book, pooled, prices, int(listed[i]), left[listed[i]])
    names = _weightiest(code, quantity[listed], [_ABSENT, _BELOW, _AT_LIMIT, _ROUNDING])
    edge: Mask = np.asarray((book.rate > 0).any(axis=1))[book.bid_class]
    why = _no_edge(book, np.unique(book.bid_class[~edge]), "bid_class", _NO_CAPACITY, _UNFIT)
    return pl.DataFrame(
        {
            "order": book.bids["bid"].gather(listed),
            "side": ["bid"] * len(listed),
            "reason": [
                _ROUNDING if gain else name if edge[b] else why[int(book.bid_class[b])]
                for gain, name, b in zip(gains, names, listed, strict=True)
            ],
            "in_the_money": gains,
            "quantity": amount[listed],
        },
        schema=_SCHEMA,
    )


def _least_blocks(book: Book, pooled: Pooled, *, flexible: bool) -> I64:
    """Return (pools, periods) the smallest block offered by flexible lots, or by lots for sale; 0 where none is."""
    none = np.iinfo(np.int64).max
    least = np.full(pooled.offered.shape, none, dtype=np.int64)
    lots = np.flatnonzero(pooled.lot_mode == (FLEXIBLE if flexible else SALE))
    block = np.where(pooled.usable[lots] > 0, book.lots["block"].to_numpy()[lots, None], none)
    np.minimum.at(least, pooled.lot_pool[lots], block)
    return np.where(least == none, 0, least)


def _sale_gain(book: Book, pooled: Pooled, prices: Prices, b: int, left: F64) -> bool:
    """Would one more block bought, at the published price, do unserved work worth more than it costs?"""
    block = _least_blocks(book, pooled, flexible=False).max(axis=1, initial=0)
    reach = pooled.group_rate[pooled.bid_group[b]] * block
    limit = float(book.bids["limit_micro"][b])
    done = np.minimum(reach[:, None], left) * (pooled.offered > 0) * book.hours
    gain = limit * done.sum(axis=1) + (pooled.residual - prices.sale) * block
    return bool((gain > _MARGIN * block)[pooled.is_sale & (reach > 0)].any())
