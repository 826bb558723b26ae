"""What proves that no allocation could be worth much more? The dual bound at the published prices, order by order.

Weak duality, for any prices (see docs/market.md for the proof; `verify` recomputes it with other code)::

    bound = sum_flexible q h (pi - ask)+  +  sum_whole (q sum_t h (pi - ask))+  +  sum_sale q (P - ask)+
          + sum_bt demand h mu  +  sum_bq q_pool (residual + sum_t h R (limit - mu)+ - P)+
    mu    = max(published, limit - min_k pi_k / R_k, 0)

A bid for a total fills its cheapest periods first, at limit - mu a Mtok, instead of the third sum; a bid for a term has a closed
form of its own (`terms.term_gains`). All of it
with the greatest term of an exclusive group instead of their sum, and without pools that are too small for a bid that
wants one pool or nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, SALE, Goods
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.terms import long_bids, term_gains, total_gains

__all__ = ["best_responses", "bound", "least_costs"]

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
