"""What proves that no allocation could be worth much more? The dual bound at the published prices, order by order.

Weak duality, for any prices (see docs/market.md for the proof; `verify` recomputes it with other code)::

    bound = sum_flexible q h (pi - ask)+  +  sum_whole (q sum_t h (pi - ask))+  +  sum_sale q (P - ask)+
          + sum_bt demand h mu  +  sum_bq q_pool (residual + sum_t h R (limit - mu)+ - P)+
    mu    = max(published, limit - min_k pi_k / R_k, 0)

A bid for a total fills its cheapest periods first, at limit - mu a Mtok, instead of the third sum; a bid for a term has a closed
form of its own (`terms.term_gains`). All of it
with the greatest term of an exclusive group instead of their sum, and without pools that are too small for a bid that
wants one pool or nothing; and the root of a hash tree over the salted orders, so that nobody can change an order after
the gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, SALE, Goods
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.terms import long_bids, term_gains, total_gains

__all__ = ["best_responses", "bound", "least_costs", "orders_root", "salts"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


def least_costs(book: Book, goods: Goods, price: F64, t: int) -> F64:
    """Return (bids,) the least lease price of a Mtok in a period; ``inf`` where no pool may serve the bid.

    Parameters
    ----------
    price : (pools,) micro per device-hour
    """
    live = (goods.offered[:, t] > 0) & ~goods.is_sale
    rate = goods.class_rate * live
    with np.errstate(divide="ignore", invalid="ignore"):
        per_work = np.where(rate > 0, price / rate, np.inf)  # (bid classes, pools)
    if book.factor is None:
        cost: F64 = per_work.min(axis=1, initial=np.inf)[book.bid_class]
    else:
        chips = book.factor.shape[1]
        of_chip = np.stack(
            [per_work[:, goods.pool_chip == j].min(axis=1, initial=np.inf) for j in range(chips)], axis=1
        )
        cost = (of_chip[book.bid_class] / book.factor).min(axis=1, initial=np.inf)
    # one pool or nothing: a pool that cannot do the least that it accepts is none
    # (of a total the least share is not of any one period)
    by_period = book.bids["one_pool"] & book.bids["total_mtok"].is_infinite()
    least = np.where(by_period, book.bids["min_share"], 0.0) * book.demand[:, t]
    firm = np.flatnonzero(least > 0)
    if len(firm):
        reach = np.where(rate > 0, rate * goods.offered[:, t], np.inf)
        smallest = reach.min(axis=1, initial=np.inf)[book.bid_class[firm]]
        if book.factor is not None:
            smallest = smallest * book.factor[firm].min(axis=1)
        for b in firm[least[firm] > smallest * (1 - 1e-9)].tolist():
            c, own = int(book.bid_class[b]), np.ones(len(price))
            if book.factor is not None:
                own = book.factor[b, goods.pool_chip]
            fits = reach[c] * own >= least[b] * (1 - 1e-9)
            cost[b] = float((per_work[c] / own)[fits].min(initial=np.inf))
    return cost


def best_responses(book: Book, goods: Goods, prices: Prices, work: pl.DataFrame) -> tuple[F64, F64]:
    """Return (lots,) and (bids,) the most that each order could gain at the prices, micro.

    Parameters
    ----------
    work : as `Certificate.work_price_micro`
    """
    hours, ask = book.hours, book.lots["ask_micro"].to_numpy().astype(np.float64)
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    lots, bids = np.zeros(len(ask)), np.zeros(len(limit))
    flexible = goods.lot_mode == FLEXIBLE
    mu = np.zeros(book.demand.shape) if work.height else None
    if mu is not None:
        rows = book.bids.select("bid").with_row_index("row").join(work, on="bid", maintain_order="right")
        mu[rows["row"].to_numpy(), rows["period"].to_numpy()] = rows["price_micro"].to_numpy()
    costs = np.zeros(book.demand.shape)
    for t in range(len(hours)):
        margin = goods.usable[:, t] * (prices.lease[goods.lot_pool, t] - ask) * hours[t]
        lots += np.where(flexible, np.maximum(0.0, margin), margin)
        gain = np.maximum(0.0, limit - least_costs(book, goods, prices.lease[:, t].astype(np.float64), t))
        if mu is not None:
            gain = mu[:, t] = np.maximum(gain, mu[:, t])
        costs[:, t] = limit - gain
        bids += book.demand[:, t] * gain * hours[t]
    bids = _long_best(book, goods, prices, bids, costs)
    sale = goods.lot_mode == SALE
    if sale.any():
        most = goods.usable[sale].max(axis=1, initial=0)
        lots[sale] = most * (prices.sale[goods.lot_pool[sale]] - ask[sale])
    lots = np.maximum(0.0, lots)
    if mu is not None:
        bids += np.where(long_bids(book)[0], 0.0, _by_buying(book, goods, prices, limit, mu))
    return lots, bids


def _long_best(book: Book, goods: Goods, prices: Prices, bids: F64, costs: F64) -> F64:
    """Return (bids,) the same, bids for a term or a total by their own best answers.

    Parameters
    ----------
    costs : (bids, periods) what a Mtok costs at the margin, at most the limit
    """
    term, total = long_bids(book)
    if not (term.any() or total.any()):
        return bids
    of_term = term_gains(book, goods, prices.lease.astype(np.float64), prices.sale.astype(np.float64))
    out: F64 = np.where(term, of_term, np.where(total, total_gains(book, costs), bids))
    return out


def _by_buying(book: Book, goods: Goods, prices: Prices, limit: F64, mu: F64) -> F64:
    """Return (bids,) what devices bought could save beyond what the work is worth at the margin."""
    saved = np.maximum(0.0, limit[:, None] - mu) * (book.demand > 0) * book.hours
    own = np.zeros(len(limit))
    for k in np.flatnonzero(goods.is_sale & (goods.offered > 0).any(axis=1)):
        rate = goods.class_rate[book.bid_class, k]
        if book.factor is not None:
            rate = rate * book.factor[:, goods.pool_chip[k]]
        may = rate > 0
        per_device = rate[may] * (saved[may] @ (goods.offered[k] > 0))
        gain = np.maximum(0.0, goods.residual[k] + per_device - prices.sale[k])
        own[may] += gain * goods.offered[k].max()
    return own


def bound(book: Book, goods: Goods, prices: Prices, work: pl.DataFrame) -> float:
    """Return what no allocation of this book can exceed, micro-units; valid for any non-negative prices."""
    lots, bids = best_responses(book, goods, prices, work)
    return _grouped(lots, book.lots["group"]) + _grouped(bids, book.bids["group"])


def _grouped(best: F64, group: pl.Series) -> float:
    """Add up, with the greatest of each exclusive group."""
    if not (group != "").any():
        return float(best.sum())
    table = pl.DataFrame({"group": group, "best": best})
    alone = best[(group == "").to_numpy()].sum()
    chosen = table.filter(pl.col("group") != "").group_by("group").agg(pl.col("best").max())
    return float(alone) + float(chosen["best"].to_numpy().sum())


_LOT = (
    "lot", "seller", "accelerator", "site", "kind", "provenance", "block", "ask_micro", "residual_micro", "whole",
    "slice", "min_fill", "group", "waits_for",
)  # fmt: skip
_BID = ("bid", "buyer", "service", "limit_micro", "term", "one_pool", "group")


def salts(seed: str, orders: Sequence[str]) -> list[bytes]:
    """Return one salt per order: SHA-256 of the seed that was committed before the gate and the order's id."""
    head = seed.encode() + b"\x00"
    sha = hashlib.sha256
    return [sha(head + order.encode()).digest() for order in orders]


def orders_root(book: Book) -> str:
    """Return the root of the hash tree over all orders, lots before bids, in the book's order."""
    extra = [book.bids["min_share"].to_numpy(), book.bids["total_mtok"].to_numpy(), book.demand]
    extra += [] if book.factor is None else [book.factor]
    sha = hashlib.sha256
    level = [
        sha(b"\x00" + salt + line.encode() + b"\x1f" + row).digest()
        for order, table, names, array in (
            ("lot", book.lots, _LOT, book.capacity.astype("<i8")),
            ("bid", book.bids, _BID, np.column_stack(extra).astype("<f8")),
        )
        for salt, line, row in zip(
            salts(book.seed, table[order].to_list()),
            table.select(pl.concat_str([pl.lit(order), *names], separator="\x1f")).to_series().to_list(),
            _rows(array),
            strict=True,
        )
    ]
    while len(level) > 1:
        pairs = [sha(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0].hex() if level else sha(b"").hexdigest()


def _rows(array: NDArray[np.generic]) -> list[bytes]:
    """Return the bytes of each row."""
    width = array.itemsize * array.shape[1]
    flat = np.ascontiguousarray(array).tobytes()
    return [flat[at : at + width] for at in range(0, width * len(array), max(1, width))]
