"""Which prices are found, and which divisible allocation comes with them? Rounds of solving few columns and pricing all.

1. Collapse time: one period, lots and bids weighted by the length of their windows; its prices start every hour.
2. Keep the columns near the margin; solve their saddle point a few hundred iterations; price all columns again.
3. Stop when bound and welfare are as close as asked for, what is short at these prices counted against it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.lease.columns import Columns, Patterns, devices, pay, prefix
from entrepot.market.lease.pricing import Answer, Batch, Chosen, answer, choose, column_table, lot_pay
from entrepot.market.lease.program import Program
from entrepot.market.lease.saddle import Saddle, State
from entrepot.market.watch import Watch

__all__ = ["Shares", "find"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_USED = 1e-7
_ROUNDS = 60
_ITERATIONS = (100, 25, 400)  # in the first round, more in each, at most
_ROOM = (0.06, 0.005)  # relative cost above the least at which a pool still is a column: at first, at last


@dataclass(frozen=True, slots=True)
class Shares:
    """Prices with the shares of the columns that go with them.

    Attributes
    ----------
    price : (pools, periods) micro per device and period: the best bound seen
    bound : micro, at those prices
    chosen, columns, patterns, share : the restricted market and the shares of its columns
    iterations, rounds : work done
    level : (pools, periods) positive price level of each cell, for steps
    """

    price: F64
    bound: float
    chosen: Chosen
    columns: Columns
    patterns: Patterns
    share: F64
    iterations: int
    rounds: int
    level: F64


def find(
    p: Program,
    found: list[Batch],
    start: F64,
    *,
    tolerance: float,
    watch: Watch | None = None,
    seconds: float = np.inf,
) -> Shares:
    """Find prices and shares.

    Parameters
    ----------
    start : (pools, periods) positive prices to start from
    tolerance : relative gap, shortages counted, at which to stop
    watch, seconds : stop after this long with what is there
    """
    watch = watch or Watch()
    began = time.perf_counter()
    level = np.maximum(start, 1e-9)
    state = State(np.zeros(0), start)
    chosen: Chosen | None = None
    best = (np.inf, start)
    room, before = _ROOM[0], np.inf
    n_lots = p.lots.count
    iterations, turn = 0, 0
    while True:
        used = None
        if chosen is not None:
            in_use = state.share[n_lots:] > _USED
            used = Chosen(chosen.taker[in_use], chosen.pool[in_use])
        new, said = choose(p, found, state.price, room, used)
        if said.bound < best[0]:
            best = (said.bound, state.price)
        columns, patterns = column_table(p, new)
        share = _carried(p, chosen, state.share, new, said, state.price)
        chosen = new
        count = min(_ITERATIONS[0] + _ITERATIONS[1] * turn, _ITERATIONS[2])
        after, state = Saddle(columns, patterns, level).run(State(share, state.price, state.weight), count)
        state.weight = after.weight
        iterations, turn = iterations + count, turn + 1
        proved = answer(p, found, state.price).bound
        if proved < best[0]:
            best = (proved, state.price)
        # what is short at the prices counts against the gap, and a little more, for repairing it costs
        short = np.maximum(0.0, devices(columns, patterns, state.share))
        welfare = float(columns.value @ state.share)
        gap = (best[0] - welfare + 1.5 * float((short * state.price).sum())) / max(abs(best[0]), 1e-300)
        watch.tell(f"prices, round {turn}", None, best[0])
        late = watch.left(seconds - (time.perf_counter() - began)) <= 0
        if gap < tolerance or late or turn >= _ROUNDS:
            return Shares(best[1], best[0], chosen, columns, patterns, state.share, iterations, turn, level)
        # columns that are missing and columns that are not yet settled ask for opposite things
        inner = restricted_bound(columns, patterns, state.price)
        absent, unsettled = proved - inner, inner - welfare
        stuck = absent > max(unsettled, 0.0) and absent > 0.7 * before
        room, before = (min(1.0, 2.0 * room) if stuck else max(_ROOM[1], 0.75 * room)), absent


def _carried(
    p: Program,
    before: Chosen | None,
    share: F64,
    now: Chosen,
    said: Answer,
    price: F64,
) -> F64:
    """Return (columns,) shares to go on from: those of before, or everybody's own best answer."""
    n_lots = p.lots.count
    out = np.zeros(n_lots + len(now.taker))
    if before is None:
        out[:n_lots] = lot_pay(p, price) > 0
        t = p.takers
        gain = t.value - said.cost
        rank = np.lexsort((-gain, t.block))
        first = np.ones(t.count, dtype=np.bool_)
        first[1:] = np.diff(t.block[rank]) != 0
        best = rank[first]
        best = best[gain[best] > 0]
        key = now.taker * p.pools + now.pool
        out[n_lots + np.searchsorted(key, best * p.pools + said.pool[best])] = 1.0
        return out
    out[:n_lots] = share[:n_lots]
    old, new = before.taker * p.pools + before.pool, now.taker * p.pools + now.pool
    at = np.minimum(np.searchsorted(old, new), len(old) - 1)
    if len(old):
        out[n_lots:] = np.where(old[at] == new, share[n_lots:][at], 0.0)
    return out


def restricted_bound(columns: Columns, patterns: Patterns, price: F64) -> float:
    """Return what the columns of the restricted market could gain at the prices."""
    gain = columns.value - pay(columns, prefix(patterns, price))
    first = np.flatnonzero(np.diff(columns.block, prepend=-1))
    return float(np.maximum(0.0, np.maximum.reduceat(gain, first)).sum()) if len(gain) else 0.0
