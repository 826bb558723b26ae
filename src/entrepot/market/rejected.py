"""What did not clear, and why? Every order that is not wholly accepted is listed once, with the reason that weighs most.

An order is *in the money* where more, at the published prices, would still have been a gain to it: one whole block more of
a lot, one more step of the cheapest pool of a bid; or all that it asks for, where it wants all or nothing. Such rejections
come from whole devices and from rules alone; a divisible market has none.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.certify import best_responses, least_costs
from entrepot.market.goods import FLEXIBLE, SALE, Goods
from entrepot.market.outcome import Outcome
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.terms import long_bids, term_costs

__all__ = ["rejected"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_ABOVE = "ask above price"
_AT_ASK = "demand met: the price is its ask, and nobody wants more of it"
_PART = "less than a whole block"
_ROUNDING = "block rounding"
_RULE = "its own rule: all or nothing, or at least so much"
_GROUP = "another of its exclusive group was taken"
_WAITS = "waits for a licence that is not granted"
_BELOW = "limit below price"
_AT_LIMIT = "supply used up: the price is its limit"
_ABSENT = "nothing that it may use is offered in its window"
_NO_BUYER = "no lawful buyer"
_UNWANTED = "no bid that may use it fits it"
_NO_CAPACITY = "no lawful capacity"
_UNFIT = "no lot that it may use fits it"
_TOUCHED = 1e-9  # share of a demand that counts as served
_MARGIN = 1.0  # micro per device-hour: a price is rounded to whole micro-units

_SCHEMA = {
    "order": pl.String,
    "side": pl.String,
    "reason": pl.String,
    "in_the_money": pl.Boolean,
    "quantity": pl.Float64,
}


def rejected(book: Book, goods: Goods, prices: Prices, out: Outcome, work: pl.DataFrame) -> pl.DataFrame:
    """List what did not clear.

    Parameters
    ----------
    work : as `Certificate.work_price_micro`

    Returns
    -------
    As `Clearing.rejected`. Quantity: device-hours of a lease, devices of a sale, Mtok of a bid
    """
    return pl.concat([_lots(book, goods, prices, out.let), _bids(book, goods, prices, out.served, work)])


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


def _taken_groups(group: pl.Series, accepted: Mask) -> Mask:
    """Return which orders stand in an exclusive group of which another order is accepted."""
    taken = set(group.filter(pl.Series(accepted) & (group != "")).to_list())
    if not taken:
        return np.zeros(len(group), dtype=np.bool_)
    return group.is_in(list(taken)).to_numpy() & ~accepted


def _table(
    side: str, names: pl.Series, listed: I64, reasons: list[str], code: I64, gains: Mask, amount: F64
) -> pl.DataFrame:
    """Return the rejections of one side; ``code`` numbers the reasons."""
    words = pl.Series(reasons, dtype=pl.String)
    return pl.DataFrame(
        {
            "order": names.gather(listed),
            "side": pl.repeat(side, len(listed), eager=True),
            "reason": words.gather(code[listed]),
            "in_the_money": gains[listed],
            "quantity": amount[listed],
        },
        schema=_SCHEMA,
    )


def _weightiest(code: I64, quantity: F64, reasons: int) -> I64:
    """Return each order's reason: the one that explains most of its (orders, periods) quantity."""
    if code.shape[1] == 1:
        return code[:, 0]
    weight = np.stack([np.where(code == i, quantity, 0.0).sum(axis=1) for i in range(reasons)])
    most: I64 = weight.argmax(axis=0)
    return most


def _lots(book: Book, goods: Goods, prices: Prices, let: I64) -> pl.DataFrame:
    """List the lots of which something is left."""
    ask = book.lots["ask_micro"].to_numpy()
    block = book.lots["block"].to_numpy()[:, None]
    flexible = (goods.lot_mode == FLEXIBLE)[:, None]
    sale = goods.lot_mode == SALE
    hours = book.hours
    window = goods.usable > 0
    margin = np.where(window, prices.lease[goods.lot_pool] - ask[:, None], 0).astype(np.float64)
    total = np.where(sale, prices.sale[goods.lot_pool] - ask, margin @ hours)
    margin = np.where(flexible, margin, total[:, None])
    left = np.where(window, goods.usable - let, 0)
    rest = book.capacity - goods.usable  # what is no whole block, or above a whole-window lot's one quantity
    reasons = [_PART, _ABOVE, _AT_ASK, _ROUNDING, _RULE, _GROUP, _WAITS]
    code = np.where(left < block, 0, np.where(margin < 0, 1, np.where(margin == 0, 2, 3)))
    ruled = (book.lots["min_fill"].to_numpy()[:, None] > block) & (let == 0)
    code = np.where((code == 3) & ruled, 4, code)
    worth = np.where(sale[:, None], 1.0 / np.maximum(1, (book.capacity > 0).sum(axis=1))[:, None], hours)
    quantity = (left + rest) * worth
    of_lot = _weightiest(code, quantity, len(reasons))
    beaten = _taken_groups(book.lots["group"], np.asarray((let > 0).any(axis=1)))
    gains: Mask = ((left >= block) & (margin > 0)).any(axis=1) & ~beaten
    of_lot = np.where(gains & (of_lot != 4), 3, of_lot)
    of_lot = np.where(beaten, 5, np.where(book.waiting, 6, of_lot))
    edge: Mask = np.asarray((book.rate > 0).any(axis=0))[book.lot_class]
    of_lot = _law(book, reasons, of_lot, book.lot_class, ~edge & ~gains, ("lot_class", _NO_BUYER, _UNWANTED))
    amount = quantity.sum(axis=1)
    return _table("lot", book.lots["lot"], np.flatnonzero(amount > 0), reasons, of_lot, gains, amount)


def _law(
    book: Book, reasons: list[str], code: I64, classes: I64, none: Mask, words: tuple[str, str, str]
) -> I64:
    """Add the reasons of orders that have no edge at all; return the codes with them."""
    if not none.any():
        return code
    why = _no_edge(book, np.unique(classes[none]), *words)
    number = np.zeros(int(classes.max()) + 1, dtype=np.int64)
    for k, reason in why.items():
        number[k] = len(reasons)
        reasons.append(reason)
    return np.where(none, number[classes], code)


def _bids(book: Book, goods: Goods, prices: Prices, served: F64, work: pl.DataFrame) -> pl.DataFrame:
    """List the bids of which something is unserved."""
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    left = np.where(served < book.demand * (1 - _TOUCHED), book.demand - served, 0.0)
    total = book.bids["total_mtok"].to_numpy()
    short = np.where(
        np.isfinite(total), np.minimum(total, book.demand @ book.hours) - served @ book.hours, np.inf
    )
    left[short <= _TOUCHED * np.where(np.isfinite(total), total, 1.0)] = 0.0
    quantity = left * book.hours
    amount = np.minimum(quantity.sum(axis=1), np.maximum(short, 0.0))
    code = np.ones(left.shape, dtype=np.int64)
    gains = np.zeros(len(limit), dtype=np.bool_)
    reasons = [_ABSENT, _BELOW, _AT_LIMIT, _ROUNDING, _RULE, _GROUP]
    firm = book.bids["min_share"].to_numpy() > 0
    for t in range(left.shape[1]):
        cost = least_costs(book, goods, prices.lease[:, t].astype(np.float64), t)
        close = np.abs(limit - cost) <= 1e-6 * limit
        code[:, t] = np.where(close, 2, np.where(limit < cost, 1, np.where(firm, 4, 3)))
        code[np.isinf(cost), t] = 0
        gains |= one_step_more(book, goods, prices, t, left[:, t], served[:, t], cost)
    buys = _buys(book, goods)
    for b in np.flatnonzero(buys & (amount > 0)).tolist():
        code[b] = np.where(code[b] == 0, 1, code[b])  # its limit does not reach the price of a device
        gains[b] |= _sale_gain(book, goods, prices, b, left[b])
    of_bid = _weightiest(code, quantity, len(reasons))
    if np.logical_or(*long_bids(book)).any():
        best = best_responses(book, goods, prices, work)[1]
        _long(book, goods, prices, best, buys, (amount > 0), gains, of_bid)
    beaten = _taken_groups(book.bids["group"], np.asarray((served > 0).any(axis=1)))
    gains &= ~beaten & (amount > 0)
    of_bid = np.where(beaten, 5, np.where(gains & (of_bid != 4), 3, of_bid))
    edge: Mask = np.asarray((book.rate > 0).any(axis=1))[book.bid_class]
    of_bid = _law(book, reasons, of_bid, book.bid_class, ~edge & ~gains, ("bid_class", _NO_CAPACITY, _UNFIT))
    return _table("bid", book.bids["bid"], np.flatnonzero(amount > 0), reasons, of_bid, gains, amount)


def _long(
    book: Book, goods: Goods, prices: Prices, best: F64, buys: Mask, lacks: Mask, gains: Mask, code: I64
) -> None:
    """Say of bids for a term or a total, in place, whether all of their work would gain, and why they lack some.

    Parameters
    ----------
    best : (bids,) what each gains at most at the prices, micro
    buys : (bids,) may buy devices
    """
    term, total = long_bids(book)
    own = term | total
    if not own.any():
        return
    price = prices.lease.astype(np.float64)
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    worth = limit * np.where(total, book.bids["total_mtok"].to_numpy(), book.demand @ book.hours)
    cost = term_costs(book, goods, price)
    gain = np.where(term & (best <= 0), worth - cost, best)
    if total.any():
        costs = np.stack([least_costs(book, goods, price[:, t], t) for t in range(price.shape[1])], axis=1)
        cost = np.where(total, np.where(np.isinf(costs).all(axis=1), np.inf, worth - best), cost)
    absent = np.isinf(cost) & ~buys
    close = np.abs(gain) <= 1e-6 * worth
    firm = (book.bids["min_share"].to_numpy() > 0) | book.bids["one_pool"].to_numpy()
    why = np.where(absent, 0, np.where(close, 2, np.where(gain < 0, 1, np.where(firm, 4, 3))))
    code[own] = why[own]
    gains[own] = (lacks & (gain > 1e-6 * worth))[own]


def one_step_more(
    book: Book, goods: Goods, prices: Prices, t: int, left: F64, served: F64, cost: F64
) -> Mask:
    """Return (bids,) whether one step more of a pool, or all where a bid wants all, would be a gain at the prices."""
    gains = np.zeros(len(left), dtype=np.bool_)
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    could = np.flatnonzero((left > 0) & (limit > cost))
    if not len(could):
        return gains
    firm = (book.bids["min_share"].to_numpy()[could] > 0) & (served[could] <= 0)
    whole = could[firm]
    per_mtok = limit[whole] - cost[whole]
    gains[whole] = per_mtok > 1e-6 * limit[whole]
    could = could[~firm]
    step, price = _least_steps(book, goods, t), prices.lease[:, t].astype(np.float64)
    own = book.factor
    for c in np.unique(book.bid_class[could]):
        bids = could[book.bid_class[could] == c]
        pools = np.flatnonzero((goods.class_rate[c] > 0) & (step > 0))
        if not len(pools):
            continue
        reach = goods.class_rate[c, pools] * step[pools]
        pays = price[pools] * step[pools]
        if own is None:  # of pools of one reach only the cheapest can be the best
            order = np.lexsort((pays, reach))
            first = np.ones(len(order), dtype=np.bool_)
            first[1:] = np.diff(reach[order]) != 0
            keep = order[first]
            pools, reach, pays = pools[keep], reach[keep], pays[keep]
        chunk = max(1, 2_000_000 // len(pools))
        for begin in range(0, len(bids), chunk):
            part = bids[begin : begin + chunk]
            does = reach if own is None else reach * own[np.ix_(part, goods.pool_chip[pools])]
            gain = limit[part, None] * np.minimum(does, left[part, None]) - pays
            gains[part] = (gain > _MARGIN * step[pools]).any(axis=1)
    return gains


def _least_steps(book: Book, goods: Goods, t: int) -> I64:
    """Return (pools,) the smallest slice that flexible lots offer in a period; 0 where none does."""
    none = np.iinfo(np.int64).max
    least = np.full(len(goods.is_sale), none, dtype=np.int64)
    lots = np.flatnonzero((goods.lot_mode == FLEXIBLE) & (goods.usable[:, t] > 0))
    np.minimum.at(least, goods.lot_pool[lots], book.lots["slice"].to_numpy()[lots])
    return np.where(least == none, 0, least)


def _buys(book: Book, goods: Goods) -> Mask:
    """Return (bids,) which may buy devices."""
    live = goods.is_sale & (goods.offered > 0).any(axis=1)
    buys: Mask = np.asarray(((goods.class_rate > 0) & live).any(axis=1))
    return buys[book.bid_class]


def _sale_gain(book: Book, goods: Goods, prices: Prices, b: int, left: F64) -> bool:
    """Would one more block bought, at the published price, do unserved work worth more than it costs?"""
    none = np.iinfo(np.int64).max
    block = np.full(len(goods.is_sale), none, dtype=np.int64)
    lots = np.flatnonzero((goods.lot_mode == SALE) & (goods.usable > 0).any(axis=1))
    np.minimum.at(block, goods.lot_pool[lots], book.lots["block"].to_numpy()[lots])
    block = np.where(block == none, 0, block)
    rate = goods.class_rate[book.bid_class[b]]
    if book.factor is not None:
        rate = rate * book.factor[b, goods.pool_chip]
    reach = rate * block
    limit = float(book.bids["limit_micro"][b])
    done = np.minimum(reach[:, None], left) * (goods.offered > 0) * book.hours
    gain = limit * done.sum(axis=1) + (goods.residual - prices.sale) * block
    return bool((gain > _MARGIN * block)[goods.is_sale & (reach > 0)].any())
