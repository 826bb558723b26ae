"""The path of independent periods: prices, whole orders, lots; each period alone, started from the one before."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.found import Found
from entrepot.market.goods import Goods
from entrepot.market.overlay import overlay
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.split import Placed
from entrepot.market.spot.dive import dive, targets_of
from entrepot.market.spot.exact import Answer
from entrepot.market.spot.improve import SMALL, improved
from entrepot.market.spot.period import Period, period_of, tie_ranks
from entrepot.market.spot.place import Targets, place, welfare
from entrepot.market.spot.prices import cost_of_work, divisible, least_costs_of
from entrepot.market.spot.private import private
from entrepot.market.spot.publish import middle, snap
from entrepot.market.spot.supply import choose, committed, curves
from entrepot.market.watch import Watch

__all__ = ["clear_spot"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_ALTERNATIVES = 3  # rounds in which exclusive groups choose again at the prices that their choices make


def clear_spot(book: Book, goods: Goods, watch: Watch, start: F64 | None = None) -> Found:
    """Clear a book in which no order ties periods together.

    Parameters
    ----------
    start : (pools, periods) prices of an earlier clearing of the same goods, micro; they only have to be near

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    seed = int.from_bytes(hashlib.sha256(book.seed.encode()).digest()[:8])
    lot_rank = tie_ranks(seed, book.lots["lot"].to_list())
    bid_rank = tie_ranks(seed, book.bids["bid"].to_list())
    n_pools, periods = goods.offered.shape
    lease = np.zeros((n_pools, periods), dtype=np.int64)
    rows: list[tuple[I64, I64, I64, I64]] = []
    near = None
    for t in range(periods):
        p = period_of(book, goods, t, lot_rank, bid_rank)
        if start is not None:
            near = start[:, t]
        price, placed = _period(p, near, watch, 1.0 / periods)
        lease[:, t] = price
        rows.append((*placed[:2], np.full(len(placed[0]), t), placed[2]))
        watch.tell(f"period {t + 1} of {periods}")
        if start is None:
            near = price.astype(np.float64)
    lot, bid, period, devices = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.lexsort((period, bid, lot))
    prices = Prices(lease, np.zeros(n_pools, dtype=np.int64), np.zeros((0, periods), dtype=np.int64))
    return Found(prices, Placed(lot[order], bid[order], period[order], devices[order]))


def _period(p: Period, near: F64 | None, watch: Watch, share: float) -> tuple[I64, tuple[I64, I64, I64]]:
    """Clear one period; return prices, and rows of (lot, bid, devices)."""
    none = np.zeros(0, dtype=np.int64)
    if not len(p.lot):
        return np.zeros(p.pools, dtype=np.int64), (none, none, none)
    price, targets = _wanted(p, near, watch)
    if p.bid_group.max(initial=-1) >= 0 or p.lot_group.max(initial=-1) >= 0:
        for _ in range(_ALTERNATIVES):
            price, targets = _wanted(_only_best(p, price.astype(np.float64)), price.astype(np.float64), watch)
    board = place(p, price.astype(np.float64), targets)
    given = choose(p, board.curves, board.used)
    let = committed(p, given)
    if len(p.lot) + len(p.bid) <= SMALL:
        start = Answer(board.bid, board.pool, board.devices, let)
        found = improved(p, price.astype(np.float64), start, watch, share)
        return price, _rows(p, found.bid, found.pool, found.devices, _given(p, found))
    if welfare(p, board, let) < 0:  # idle nodes and least quantities cost more than the work is worth
        return price, (none, none, none)
    return price, _rows(p, board.bid, board.pool, board.devices, given)


def _given(p: Period, a: Answer) -> I64:
    """Return (lots,) devices used of each lot: in merit order where that is as good as what the search chose."""
    used = np.bincount(a.pool, a.devices, minlength=p.pools).astype(np.int64)
    usual = choose(
        p, curves(p, np.flatnonzero((a.let > 0) | ((p.least <= p.block) & (p.lot_group < 0)))), used
    )
    order = np.lexsort((p.lot_rank, p.ask, p.pool))
    before = np.cumsum(a.let[order]) - a.let[order]
    begin = np.searchsorted(p.pool[order], np.arange(p.pools))
    first = np.append(before, 0)[begin]
    given = np.zeros(len(p.lot), dtype=np.int64)
    given[order] = np.clip(used[p.pool[order]] - (before - first[p.pool[order]]), 0, a.let[order])
    fits = bool((usual <= p.quantity).all() and (committed(p, usual) <= p.quantity).all())
    covers = bool((np.bincount(p.pool, usual, minlength=p.pools) == used).all())
    return usual if fits and covers and p.ask @ committed(p, usual) <= p.ask @ committed(p, given) else given


def _wanted(p: Period, near: F64 | None, watch: Watch) -> tuple[I64, Targets]:
    """Return the prices of the divisible market, and what it wants."""
    start = None if near is None else (near, cost_of_work(p.rate, near))
    if p.factor is None:
        optimum = divisible(p, start)
        return snap(p, middle(p, optimum)), targets_of(p, dive(p, optimum))
    found = private(p, divisible(p, start).price if near is None else near, watch)
    return snap(p, found.price), found.targets


def _only_best(p: Period, price: F64) -> Period:
    """Price all but the best order of each exclusive group, at these prices, out of the market."""
    bid_gain = p.demand * (p.limit - least_costs_of(p, price))
    bid_out = _beaten(p.bid_group, bid_gain, p.bid_rank)
    lot_out = _beaten(p.lot_group, p.quantity * (price[p.pool] - p.ask), p.lot_rank)
    far = 4.0 * float(p.ask.max(initial=0.0)) + 4.0 * float(price.max(initial=0.0)) + 1.0
    return replace(p, limit=np.where(bid_out, 0.0, p.limit), ask=np.where(lot_out, far, p.ask))


def _beaten(group: I64, gain: F64, rank: I64) -> Mask:
    """Return which orders are not the best of their group; of equals the one whose hash is first."""
    order = np.lexsort((rank, -gain, group))
    again = np.zeros(len(group), dtype=np.bool_)
    again[1:] = np.diff(group[order]) == 0
    out = np.zeros(len(group), dtype=np.bool_)
    out[order] = again
    return out & (group >= 0)


def _rows(p: Period, bid: I64, pool: I64, devices: I64, given: I64) -> tuple[I64, I64, I64]:
    """Give the bids of each pool devices of its lots: cheapest lots first; return (lot, bid, devices) by the book's rows."""
    mine = np.lexsort((p.bid_rank[bid], pool))
    order = np.lexsort((p.lot_rank, p.ask, p.pool))
    order = order[given[order] > 0]
    i, j, amount = overlay(pool[mine], devices[mine], p.pool[order], given[order])
    return p.lot[order[j]], p.bid[bid[mine[i]]], np.rint(amount).astype(np.int64)
