"""What do bids for a whole window get, and what could they gain? Terms (one fixed mix) and totals by a deadline.

A **term** bid has one fixed routing: of pool k the share w_k of its work in every period of its window. From what is placed::

    w_k = min over its periods of  devices_kt rate_k / demand_t        s = min(1, sum_k w_k)        served_t = s demand_t

Devices beyond that, which rounding brings, are paid and serve nothing. Devices bought are devices of their pool from their
delivery on. A bid for a **total** takes work in any of its periods, at most ``demand_t`` per hour, until it has its total.

Their best answers to prices: a term bid takes the pool that is cheapest over its window, wholly, or buys what its busiest period
needs; a total fills its cheapest hours first.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import Goods
from entrepot.market.records import Book

__all__ = ["long_bids", "served", "term_costs", "term_gains", "total_gains"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


def long_bids(book: Book) -> tuple[Mask, Mask]:
    """Return (bids,) which are for a term, and which for a total."""
    term = book.bids["term"].to_numpy()
    return term, book.bids["total_mtok"].is_finite().to_numpy() & ~term


def served(book: Book, goods: Goods, lot: I64, bid: I64, period: I64, work: F64, done: F64) -> F64:
    """Return (bids, periods) Mtok per hour served, terms and totals by their own rules.

    Parameters
    ----------
    lot, bid, period, work : (rows,) what is placed, and the Mtok per hour that it can do; a sale in each of its periods
    done : (bids, periods) the same added up
    """
    out = np.minimum(done, book.demand)
    term, total = long_bids(book)
    if term.any():
        out[term] = 0.0
        mine = term[bid]
        pools = len(goods.is_sale)
        key, of = np.unique(bid[mine] * pools + goods.lot_pool[lot[mine]], return_inverse=True)
        by_pool = np.zeros((len(key), book.demand.shape[1]))
        np.add.at(by_pool, (of.ravel(), period[mine]), work[mine])
        who = key // pools
        wanted = book.demand[who]
        share = np.divide(by_pool, wanted, out=np.full(wanted.shape, np.inf), where=wanted > 0).min(axis=1)
        whole = np.minimum(1.0, np.bincount(who, share, minlength=len(term)))
        whole[whole > 1.0 - 1e-9] = 1.0
        out[term] = (whole[:, None] * book.demand)[term]
    if total.any():
        have = out[total] @ book.hours
        most = book.bids["total_mtok"].to_numpy()[total]
        out[total] *= np.minimum(1.0, most / np.maximum(have, 1e-300))[:, None]
    return out


def term_costs(book: Book, goods: Goods, price: F64) -> F64:
    """Return (bids,) the least that all the work of a term bid costs on one pool, micro; ``inf`` for others.

    Parameters
    ----------
    price : (pools, periods) micro per device-hour
    """
    cost = np.full(book.bids.height, np.inf)
    term = np.flatnonzero(book.bids["term"].to_numpy() & (book.demand > 0).any(axis=1))
    if not len(term):
        return cost
    shut = (goods.offered == 0).astype(np.float64)
    paid = price * book.hours
    for c in np.unique(book.bid_class[term]):
        pools = np.flatnonzero((goods.class_rate[c] > 0) & ~goods.is_sale)
        bids = term[book.bid_class[term] == c]
        if not len(pools):
            continue
        for begin in range(0, len(bids), 4096):
            part = bids[begin : begin + 4096]
            demand = book.demand[part]
            per_pool = demand @ paid[pools].T / goods.class_rate[c, pools]
            per_pool[(demand > 0).astype(np.float64) @ shut[pools].T > 0] = np.inf
            if book.factor is not None:
                per_pool /= book.factor[part][:, goods.pool_chip[pools]]
            cost[part] = per_pool.min(axis=1, initial=np.inf)
    return cost


def term_gains(book: Book, goods: Goods, price: F64, sale: F64) -> F64:
    """Return (bids,) what bids for a term gain at most, micro; 0 for others.

    With p_q the price of a device less its worth at the end and N_q the devices that its busiest period needs::

        min over m >= max(0, worth - least lease cost) of  m + sum_q offered_q ((worth - m) / N_q - p_q)+

    which is exact for the divisible bid: m is what its whole work is worth beyond what it costs at the margin.

    Parameters
    ----------
    price, sale : (pools, periods) micro per device-hour, (pools,) micro per device
    """
    gains = np.zeros(book.bids.height)
    worth = book.bids["limit_micro"].to_numpy() * (book.demand @ book.hours)
    term = np.flatnonzero(book.bids["term"].to_numpy() & (book.demand > 0).any(axis=1))
    if not len(term):
        return gains
    gains[term] = np.maximum(0.0, worth - term_costs(book, goods, price))[term]
    pools = np.flatnonzero(goods.is_sale & (goods.offered > 0).any(axis=1))
    if not len(pools):
        return gains
    offered = goods.offered[pools].max(axis=1).astype(np.float64)
    net = sale[pools] - goods.residual[pools]
    shut = (goods.offered[pools] == 0).astype(np.float64)
    for begin in range(0, len(term), max(1, 2_000_000 // (len(pools) + 2) ** 2)):
        part = term[begin : begin + max(1, 2_000_000 // (len(pools) + 2) ** 2)]
        rate = goods.class_rate[np.ix_(book.bid_class[part], pools)]
        if book.factor is not None:
            rate = rate * book.factor[np.ix_(part, goods.pool_chip[pools])]
        late = (book.demand[part] > 0).astype(np.float64) @ shut.T > 0
        most = book.demand[part].max(axis=1)[:, None]
        need = np.divide(most, rate, out=np.full(rate.shape, np.inf), where=(rate > 0) & ~late)
        least, top = gains[part, None], worth[part, None]
        kinks = np.where(np.isfinite(need), top - np.where(np.isfinite(need), need, 0.0) * net, top)
        tried = np.concatenate([least, top, np.clip(kinks, least, top)], axis=1)  # (bids, tried)
        saved = np.maximum(0.0, (top - tried)[:, :, None] / need[:, None, :] - net)
        may = np.where(rate > 0, offered, 0.0)
        gains[part] = (tried + np.einsum("btq,bq->bt", saved, may, optimize=False)).min(axis=1)
    return gains


def total_gains(book: Book, costs: F64) -> F64:
    """Return (bids,) what bids for a total gain at most, micro; 0 for others.

    Parameters
    ----------
    costs : (bids, periods) what a Mtok costs at the margin
    """
    gains = np.zeros(book.bids.height)
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    most = book.bids["total_mtok"].to_numpy()
    for b in np.flatnonzero(long_bids(book)[1]).tolist():
        order = np.argsort(costs[b], kind="stable")
        work = book.demand[b, order] * book.hours[order]
        before = np.cumsum(work) - work
        taken = np.clip(most[b] - before, 0.0, work)
        margin = np.where(taken > 0, limit[b] - costs[b, order], 0.0)
        gains[b] = float(taken @ np.maximum(0.0, margin))
    return gains
