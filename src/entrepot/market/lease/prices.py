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

from entrepot.market.lease.columns import Columns, Patterns, devices
from entrepot.market.lease.pricing import Batch, Chosen, choose, column_table
from entrepot.market.lease.program import Program
from entrepot.market.lease.saddle import Saddle, State

__all__ = ["Found", "find"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_USED = 1e-7
_ROUNDS = 60
_ROOM = (0.04, 0.005)  # relative cost above the least at which a pool still is a column: at first, at last


@dataclass(frozen=True, slots=True)
class Found:
    """Prices with the shares of the columns that go with them.

    Attributes
    ----------
    price : (pools, periods) micro per device and period: the best bound seen
    bound : micro, at those prices
    chosen, columns, patterns, share : the restricted market and the shares of its columns
    iterations, rounds : work done
    """

    price: F64
    bound: float
    chosen: Chosen
    columns: Columns
    patterns: Patterns
    share: F64
    iterations: int
    rounds: int


def find(
    p: Program,
    found: list[Batch],
    start: F64,
    *,
    tolerance: float,
    seconds: float = np.inf,
    trace: bool = False,
) -> Found:
    """Find prices and shares.

    Parameters
    ----------
    start : (pools, periods) positive prices to start from
    tolerance : relative gap, shortages counted, at which to stop
    seconds : stop after this long with what is there
    """
    began = time.perf_counter()
    level = np.maximum(start, 1e-9)
    price, weight = start, 1.0
    share: F64 | None = None
    chosen: Chosen | None = None
    best = (np.inf, start)
    iterations = 0
    n_lots = p.lots.count
    for turn in range(_ROUNDS):
        room = max(_ROOM[1], _ROOM[0] * 0.75**turn)
        used = None
        if chosen is not None and share is not None:
            in_use = share[n_lots:] > _USED
            used = Chosen(chosen.taker[in_use], chosen.pool[in_use])
        new, said = choose(p, found, price, room, used)
        if said.bound < best[0]:
            best = (said.bound, price)
        columns, patterns = column_table(p, new)
        share = _carried(p, chosen, share, new, said.cost, said.pool, price)
        chosen = new
        saddle = Saddle(columns, patterns, level)
        count = 100 + 25 * turn
        state, image = saddle.run(State(share, price, weight), min(count, 400))
        iterations += min(count, 400)
        share, price, weight = image.share, image.price, state.weight
        short = np.maximum(0.0, devices(columns, patterns, share))
        welfare = float(columns.value @ share)
        # bound at the new prices
        said = _bound(p, found, price)
        if said < best[0]:
            best = (said, price)
        missing = 1.5 * float((short * price).sum())
        gap = (best[0] - welfare + missing) / abs(best[0]) if best[0] else 0.0
        if trace:
            print(
                f"{turn} it {iterations} cols {len(chosen.taker)} D {best[0]:.6e} W {welfare:.6e}"
                f" short {missing / best[0]:.2e} gap {gap:.2e} om {weight:.2e} t {time.perf_counter() - began:.2f}"
            )
        if gap < tolerance or time.perf_counter() - began > seconds:
            break
    assert chosen is not None
    assert share is not None
    return Found(best[1], best[0], chosen, columns, patterns, share, iterations, turn + 1)


def _bound(p: Program, found: list[Batch], price: F64) -> float:
    from entrepot.market.lease.pricing import answer

    return answer(p, found, price).bound


def _carried(
    p: Program,
    before: Chosen | None,
    share: F64 | None,
    now: Chosen,
    cost: F64,
    pool: I64,
    price: F64,
) -> F64:
    """Return (columns,) shares to go on from: those of before, or everybody's own best answer."""
    from entrepot.market.lease.pricing import lot_pay

    n_lots = p.lots.count
    out = np.zeros(n_lots + len(now.taker))
    if before is None or share is None:
        out[:n_lots] = lot_pay(p, price) > 0
        t = p.takers
        gain = t.value - cost
        rank = np.lexsort((-gain, t.block))
        first = np.ones(t.count, dtype=np.bool_)
        first[1:] = np.diff(t.block[rank]) != 0
        best = rank[first]
        best = best[gain[best] > 0]
        key = now.taker * p.pools + now.pool
        out[n_lots + np.searchsorted(key, best * p.pools + pool[best])] = 1.0
        return out
    out[:n_lots] = share[:n_lots]
    old, new = before.taker * p.pools + before.pool, now.taker * p.pools + now.pool
    at = np.minimum(np.searchsorted(old, new), len(old) - 1)
    if len(old):
        out[n_lots:] = np.where(old[at] == new, share[n_lots:][at], 0.0)
    return out
