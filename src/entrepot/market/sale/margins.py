"""What does one more Mtok cost a bid that may buy devices? The number that makes its bound smallest, at given prices.

With gamma[t] what a Mtok costs it at the margin in a period, at most its least lease cost, a bid gains at most ::

    sum_t demand h (limit - gamma)+  +  sum_q offered_q (residual_q + sum_{t >= start_q} h R_q gamma - P_q)+

The bid's own linear program sets the second sum to zero and gamma as high as that allows, dear hours first. Devices serve from
their delivery on, so the limits on gamma are on sums over the end of the horizon, one inside the other, and taking the periods
in the order of their demand is exact (a polymatroid: J. Edmonds, "Submodular functions, matroids, and certain polyhedra", 1970).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.certify import least_costs
from entrepot.market.found import WORK_PRICES
from entrepot.market.goods import Goods
from entrepot.market.records import Book

__all__ = ["costs_of_work", "for_sale", "rates_on", "work_prices"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_THIRDS = 45  # of an interval of prices, taken away one by one: 1e-8 of it is left


def for_sale(goods: Goods) -> I64:
    """Return the pools that offer devices for good."""
    return np.flatnonzero(goods.is_sale & (goods.offered > 0).any(axis=1)).astype(np.int64)


def rates_on(book: Book, goods: Goods, pool: int | np.int64) -> F64:
    """Return (bids,) Mtok per device-hour of a pool; 0 where there is no edge."""
    rate: F64 = goods.class_rate[book.bid_class, pool]
    if book.factor is not None:
        rate = rate * book.factor[:, goods.pool_chip[pool]]
    return rate


def costs_of_work(book: Book, goods: Goods, lease: F64) -> F64:
    """Return (bids, periods) what a Mtok costs at least on lease, or its limit where that is less.

    Parameters
    ----------
    lease : (pools, periods) micro per device-hour
    """
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    costs = [np.minimum(limit, least_costs(book, goods, lease[:, t], t)) for t in range(lease.shape[1])]
    return np.stack(costs, axis=1) if costs else np.zeros((len(limit), 0))


def work_prices(book: Book, goods: Goods, lease: I64, sale: I64) -> pl.DataFrame:
    """Return what demand is worth at the margin to each bid that may buy devices; as `Certificate.work_price_micro`.

    Parameters
    ----------
    lease, sale : (pools, periods), (pools,) prices as published, micro
    """
    pools = for_sale(goods)
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    may = np.zeros(len(limit), dtype=np.bool_)
    for q in pools:
        may |= rates_on(book, goods, q) > 0
    may &= ~book.bids["term"].to_numpy()  # a bid for a term has a closed form of its own
    bids = np.flatnonzero(may)
    if not len(bids):
        return pl.DataFrame(schema=dict(WORK_PRICES))
    ceiling = costs_of_work(book, goods, lease.astype(np.float64))[bids]
    gamma = _gammas(book, goods, bids, ceiling, sale.astype(np.float64))
    i, period = np.nonzero(book.demand[bids] > 0)
    worth = np.rint(np.maximum(0.0, limit[bids][i] - gamma[i, period])).astype(np.int64)
    return pl.DataFrame(
        {"bid": book.bids["bid"].gather(bids[i]), "period": period, "price_micro": worth},
        schema=dict(WORK_PRICES),
    )


def _gammas(book: Book, goods: Goods, bids: I64, ceiling: F64, sale: F64) -> F64:
    """Return (bids, periods) gamma: of two candidates the one of the smaller bound, the ceiling itself being one."""
    pools, hours = for_sale(goods), book.hours
    demand = book.demand[bids]
    total = book.bids["total_mtok"].to_numpy()[bids]
    limit = book.bids["limit_micro"].to_numpy()[bids].astype(np.float64)
    rate = np.stack([rates_on(book, goods, q)[bids] for q in pools], axis=1)  # (bids, sale pools)
    starts = np.unique(goods.start[pools])
    dear = np.divide(
        np.maximum(0.0, sale[pools] - goods.residual[pools]),
        rate,
        out=np.full(rate.shape, np.inf),
        where=rate > 0,
    )
    room = np.stack([dear[:, goods.start[pools] == s].min(axis=1) for s in starts], axis=1)
    work = demand * hours
    candidates = [ceiling, _greedy(demand, ceiling * hours * (demand > 0), room, starts) / hours]
    some = np.flatnonzero(np.isfinite(total))
    if len(some):
        own = candidates[1].copy()
        own[some] = _of_totals(
            work[some], ceiling[some], (limit[some], total[some]), (room[some], starts), hours
        )
        candidates.append(own)
    best, least = ceiling, np.full(len(bids), np.inf)
    most, inside = goods.offered[pools].max(axis=1), goods.offered[pools] > 0
    for gamma in candidates:
        value = (_filled(gamma, work, total) * np.maximum(0.0, limit[:, None] - gamma)).sum(axis=1)
        saved = (gamma * (demand > 0) * hours) @ inside.T.astype(np.float64)
        gain = np.where(rate > 0, goods.residual[pools] + rate * saved - sale[pools], 0.0)
        value += np.maximum(0.0, gain) @ most
        better = value < least
        best, least = np.where(better[:, None], gamma, best), np.where(better, value, least)
    return best


def _of_totals(work: F64, ceiling: F64, orders: tuple[F64, F64], pools: tuple[F64, I64], hours: F64) -> F64:
    """Return (bids, periods) gamma of bids for a total: the least over lambda, what a Mtok of the total is worth, of a convex function.

    ``lambda total + sum_t work (limit - lambda - gamma)+`` with gamma at most ``min(ceiling, limit - lambda)``.

    Parameters
    ----------
    orders, pools : (bids,) limits and totals; (bids, starts) room, (starts,)
    """
    (limit, total), (room, starts) = orders, pools

    def at(lam: F64) -> tuple[F64, F64]:
        most = np.minimum(ceiling, (limit - lam)[:, None]) * hours * (work > 0)
        gamma = _greedy(work / hours, most, room, starts) / hours
        left = np.maximum(0.0, (limit - lam)[:, None] - gamma)
        return gamma, lam * total + (work * left).sum(axis=1)

    low, high = np.zeros(len(limit)), limit.copy()
    for _ in range(_THIRDS):
        one, two = low + (high - low) / 3, high - (high - low) / 3
        lower = at(one)[1] <= at(two)[1]
        low, high = np.where(lower, low, one), np.where(lower, two, high)
    return at((low + high) / 2)[0]


def _filled(cost: F64, work: F64, total: F64) -> F64:
    """Return (bids, periods) work that is taken, the cheapest first, up to a total."""
    order = np.argsort(cost, axis=1, kind="stable")
    sorted_work = np.take_along_axis(work, order, axis=1)
    before = np.cumsum(sorted_work, axis=1) - sorted_work
    taken = np.clip(np.minimum(total, 1e300)[:, None] - before, 0.0, sorted_work)
    out = np.empty_like(taken)
    np.put_along_axis(out, order, taken, axis=1)
    return out


def _greedy(weight: F64, most: F64, room: F64, starts: I64) -> F64:
    """Maximise weight @ x, x <= most, where x over the periods from each start on adds up to at most its room.

    Parameters
    ----------
    weight, most : (bids, periods)
    room : (bids, starts)

    Returns
    -------
    (bids, periods) x
    """
    order = np.argsort(-weight, axis=1, kind="stable")
    left, x = room.copy(), np.zeros_like(most)
    rows = np.arange(len(weight))
    for r in range(weight.shape[1]):
        t = order[:, r]
        covers = starts[None, :] <= t[:, None]
        free = np.where(covers, left, np.inf).min(axis=1)
        take = np.minimum(most[rows, t], np.maximum(0.0, free))
        x[rows, t] = take
        left = np.where(covers, left - take[:, None], left)
    return x
