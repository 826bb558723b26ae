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
from entrepot.market.spot.branch import SMALL, marginal
from entrepot.market.spot.dive import dive, targets_of
from entrepot.market.spot.period import Period, period_of, tie_ranks
from entrepot.market.spot.place import Board, Targets, place, welfare
from entrepot.market.spot.prices import cost_of_work, divisible, least_costs_of
from entrepot.market.spot.private import private
from entrepot.market.spot.publish import middle, snap
from entrepot.market.spot.supply import choose, committed
from entrepot.market.watch import Watch

__all__ = ["clear_spot"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_SEARCH_S = (
    20.0  # for the search near the margins of all periods, less in a market of fewer than 1,000 orders
)
_CLOSE = 2e-4  # gap at which there is nothing to search for
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
    searched, near = 0.0, None
    for t in range(periods):
        p = period_of(book, goods, t, lot_rank, bid_rank)
        if start is not None:
            near = start[:, t]
        price, placed, bound = _period(p, near, watch, _SEARCH_S / periods)
        lease[:, t] = price
        rows.append((*placed[:2], np.full(len(placed[0]), t), placed[2]))
        searched += bound * book.hours[t]
        watch.tell(f"period {t + 1} of {periods}")
        if start is None:
            near = price.astype(np.float64)
    lot, bid, period, devices = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.lexsort((period, bid, lot))
    prices = Prices(lease, np.zeros(n_pools, dtype=np.int64), np.zeros((0, periods), dtype=np.int64))
    return Found(prices, Placed(lot[order], bid[order], period[order], devices[order]))


def _period(
    p: Period, near: F64 | None, watch: Watch, seconds: float
) -> tuple[I64, tuple[I64, I64, I64], float]:
    """Clear one period; return prices, rows of (lot, bid, devices) and a bound found by search."""
    none = np.zeros(0, dtype=np.int64)
    if not len(p.lot):
        return np.zeros(p.pools, dtype=np.int64), (none, none, none), 0.0
    price, targets = _wanted(p, near, watch)
    if p.bid_group.max(initial=-1) >= 0 or p.lot_group.max(initial=-1) >= 0:
        for _ in range(_ALTERNATIVES):
            price, targets = _wanted(_only_best(p, price.astype(np.float64)), price.astype(np.float64), watch)
    board = place(p, price.astype(np.float64), targets)
    given = choose(p, board.curves, board.used)
    if len(p.lot) + len(p.bid) <= SMALL:
        board, given = _searched(
            p,
            price.astype(np.float64),
            board,
            given,
            watch.left(seconds * min(1.0, (len(p.lot) + len(p.bid)) / 1_000)),
        )
    if (
        welfare(p, board, committed(p, given)) < 0
    ):  # idle nodes and least quantities cost more than the work is worth
        return price, (none, none, none), 0.0
    return price, _rows(p, board, given), 0.0


def _searched(p: Period, price: F64, board: Board, given: I64, seconds: float) -> tuple[Board, I64]:
    """Search near the margin of a small market, and keep what is found if it is worth more."""
    worth = welfare(p, board, committed(p, given))
    bound = float(p.quantity @ np.maximum(0.0, price[p.pool] - p.ask)) + float(
        p.demand @ np.maximum(0.0, p.limit - least_costs_of(p, price))
    )
    if bound - worth <= _CLOSE * bound or seconds <= 0:
        return board, given
    targets = marginal(p, price, board, given, seconds)
    if targets is None:
        return board, given
    other = place(p, price, targets)
    gives = choose(p, other.curves, other.used)
    if welfare(p, other, committed(p, gives)) > worth + 1e-7 * bound:
        return other, gives
    return board, given


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


def _rows(p: Period, board: Board, given: I64) -> tuple[I64, I64, I64]:
    """Give the bids of each pool devices of its lots: cheapest lots first; return (lot, bid, devices) by the book's rows."""
    mine = np.lexsort((p.bid_rank[board.bid], board.pool))
    order = board.curves.order
    order = order[given[order] > 0]
    i, j, devices = overlay(board.pool[mine], board.devices[mine], p.pool[order], given[order])
    return p.lot[order[j]], p.bid[board.bid[mine[i]]], np.rint(devices).astype(np.int64)
