"""What does each order answer to given prices? Costs of every bid on every pool, the bound, and the columns worth a place.

For any prices lam >= 0 the bound of the divisible market is weak duality, block by block::

    D(lam) = sum over lots (value - pay)+  +  sum over blocks max over its takers and pools (value - cost)+

One pass costs orders x legal pools, whatever the length of the windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.lease.columns import Columns, Patterns, pay, prefix
from entrepot.market.lease.program import Program

__all__ = ["Answer", "Batch", "Chosen", "answer", "batches", "choose", "column_table", "costs", "lot_pay"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Batch:
    """Takers of one kind and curve, and the pools that may serve them.

    Attributes
    ----------
    rows : (n,) takers
    pools : (p,) pools with a rate
    run, at : runs of these takers, and (n,) where each taker's begin among them
    closed : (p, n) the pool offers nothing in some period of the window, or sells for good
    """

    rows: I64
    pools: I64
    run: I64
    at: I64
    closed: Mask


def batches(p: Program, offered: I64) -> list[Batch]:
    """Group the takers; ``offered`` is (pools, periods) devices."""
    t = p.takers
    order = np.lexsort((np.arange(t.count), t.curve, t.kind))
    new = np.ones(t.count, dtype=np.bool_)
    new[1:] = (np.diff(t.kind[order]) != 0) | (np.diff(t.curve[order]) != 0)
    lengths = np.diff(np.append(t.first, len(t.start)))
    found = []
    for rows in np.split(order, np.flatnonzero(new)[1:]) if t.count else []:
        pools = np.flatnonzero(p.rate[t.kind[rows[0]]] > 0)
        if not len(pools):
            continue
        of = lengths[rows]
        at = np.cumsum(of) - of
        run = np.repeat(t.first[rows] - at, of) + np.arange(int(of.sum()))
        missing = np.zeros((len(pools), p.periods + 1), dtype=np.int32)
        np.cumsum(offered[pools] == 0, axis=1, out=missing[:, 1:])
        closed = np.add.reduceat(missing[:, t.end[run]] - missing[:, t.start[run]], at, axis=1) > 0
        closed[p.is_sale[pools]] = True  # what holds for a window leases, and does not buy
        found.append(Batch(rows, pools, run, at, closed))
    return found


def costs(p: Program, found: list[Batch], price: F64) -> Iterator[tuple[Batch, F64]]:
    """Yield (pools, takers) what all work of each taker costs on each pool; ``inf`` where it cannot be served.

    Parameters
    ----------
    price : (pools, periods) micro per device for the whole period; a sale pool's, per device, in period 0
    """
    t = p.takers
    for batch in found:
        rows, pools = batch.rows, batch.pools
        running = np.zeros((len(pools), p.periods + 1))
        np.cumsum(p.curve[t.curve[rows[0]]] * price[pools], axis=1, out=running[:, 1:])
        cost = running[:, t.end[batch.run]] - running[:, t.start[batch.run]]
        if len(batch.run) > len(rows):
            cost = np.add.reduceat(cost, batch.at, axis=1)
        cost *= t.size[rows] / p.rate[t.kind[rows[0]], pools][:, None]
        if p.factor is not None:
            cost /= p.factor[t.factor[rows]][:, p.chip[pools]].T
        cost[batch.closed] = np.inf
        yield batch, cost


@dataclass(frozen=True, slots=True)
class Answer:
    """The bound at some prices: what lots and blocks would gain; (takers,) best cost and pool."""

    bound: float
    of_lots: float
    cost: F64
    pool: I64


def lot_pay(p: Program, price: F64) -> F64:
    """Return (lot columns,) what each gets, less its ask, micro."""
    gets: F64 = p.lots.value - pay(p.lots, prefix(_flat(p), price))
    return gets


def _flat(p: Program) -> Patterns:
    number = np.arange(p.pools)
    return Patterns(number, np.ones((p.pools, p.periods)), p.pools, p.periods, number)


def answer(p: Program, found: list[Batch], price: F64) -> Answer:
    """Return the bound that prices prove, and everyone's best answer."""
    t = p.takers
    cost, pool = np.full(t.count, np.inf), np.full(t.count, -1, dtype=np.int64)
    for batch, of in costs(p, found, price):
        best = of.argmin(axis=0)
        cost[batch.rows] = of[best, np.arange(len(batch.rows))]
        pool[batch.rows] = batch.pools[best]
    gain = np.maximum(0.0, t.value - cost)
    of_blocks = float(np.maximum.reduceat(gain, _firsts(t.block)).sum()) if t.count else 0.0
    of_lots = float(np.maximum(0.0, lot_pay(p, price)).sum())
    return Answer(of_lots + of_blocks, of_lots, cost, pool)


def _firsts(block: I64) -> I64:
    return np.flatnonzero(np.diff(block, prepend=-1)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Demand columns: (columns,) taker and pool, sorted by taker, then pool."""

    taker: I64
    pool: I64


def choose(
    p: Program, found: list[Batch], price: F64, room: float, used: Chosen | None
) -> tuple[Chosen, Answer]:
    """Return the columns that cost at most ``1 + room`` of the least and of the value, and those in use; and the bound."""
    t = p.takers
    cost, pool = np.full(t.count, np.inf), np.full(t.count, -1, dtype=np.int64)
    takers, pools = [], []
    for batch, of in costs(p, found, price):
        best = of.argmin(axis=0)
        least = of[best, np.arange(len(batch.rows))]
        cost[batch.rows], pool[batch.rows] = least, batch.pools[best]
        most = np.minimum(
            least + room * np.abs(least), t.value[batch.rows] + room * np.abs(t.value[batch.rows])
        )
        j, i = np.nonzero(of <= most)
        takers.append(batch.rows[i])
        pools.append(batch.pools[j])
    taker = np.concatenate(takers) if takers else np.zeros(0, dtype=np.int64)
    where = np.concatenate(pools) if pools else np.zeros(0, dtype=np.int64)
    if used is not None:
        taker, where = np.concatenate([taker, used.taker]), np.concatenate([where, used.pool])
    key = np.unique(taker * p.pools + where)
    gain = np.maximum(0.0, t.value - cost)
    of_blocks = float(np.maximum.reduceat(gain, _firsts(t.block)).sum()) if t.count else 0.0
    of_lots = float(np.maximum(0.0, lot_pay(p, price)).sum())
    return Chosen(key // p.pools, key % p.pools), Answer(of_blocks + of_lots, of_lots, cost, pool)


def column_table(p: Program, chosen: Chosen) -> tuple[Columns, Patterns]:
    """Return all lots' columns and the chosen ones of demand, with the patterns that they use."""
    t = p.takers
    lots = p.lots
    taker, pool = chosen.taker, chosen.pool
    rate = p.rate[t.kind[taker], pool]
    if p.factor is not None:
        rate = rate * p.factor[t.factor[taker], p.chip[pool]]
    lengths = np.diff(np.append(t.first, len(t.start)))[taker]
    first = np.cumsum(lengths) - lengths
    run = np.repeat(t.first[taker] - first, lengths) + np.arange(int(lengths.sum()))
    of = np.repeat(np.arange(len(taker)), lengths)
    start, end = t.start[run], t.end[run]
    scale = (t.size[taker] / rate)[of]
    curve = t.curve[taker][of]
    value = t.value[taker].copy()
    width = len(p.curve)
    pattern = np.concatenate([lots.pattern * width, pool[of] * width + curve])
    used, number = np.unique(np.concatenate([pattern, np.arange(p.pools) * width]), return_inverse=True)
    number = number[: len(pattern)]
    pool_of = used // width
    patterns = Patterns(
        pool_of,
        p.curve[used % width],
        p.pools,
        p.periods,
        np.searchsorted(pool_of, np.arange(p.pools)).astype(np.int64),
    )
    columns = Columns(
        block=np.concatenate([lots.block, len(lots.block) + t.block[taker]]),
        value=np.concatenate([lots.value, value]),
        first=np.concatenate([lots.first, len(lots.pattern) + first]).astype(np.int64),
        pattern=number.astype(np.int64),
        start=np.concatenate([lots.start, start]),
        end=np.concatenate([lots.end, end]),
        scale=np.concatenate([lots.scale, scale]),
    )
    return columns, patterns
