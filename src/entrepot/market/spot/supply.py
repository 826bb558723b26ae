"""What does it cost to take so many devices of each pool, and which lots give them?

The lots of a pool in merit order are a curve: cheapest ask first, ties by rank. A lot lets whole blocks, and nothing or at
least its least quantity; where the last lot of a pool would let too little, either dearer lots stand in for it or cheaper
ones make room.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.overlay import share_out
from entrepot.market.spot.period import Period

__all__ = ["Curves", "choose", "committed", "curves"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_FAR = 64  # lots beyond the margin that may stand in for one that would let too little


@dataclass(frozen=True, slots=True)
class Curves:
    """Supply of all pools end to end.

    Attributes
    ----------
    order : (lots,) rows of the period's lots that may be let, by pool, ask, rank
    begin : (pools + 1,) where each pool begins in ``order``
    base : (pools,) devices of the pools before
    devices, cost : (lots + 1,) running totals over ``order``
    ask : (lots,) in this order
    most : (pools,) devices
    """

    order: I64
    begin: I64
    base: F64
    devices: F64
    cost: F64
    ask: F64
    most: I64

    def cost_at(self, pools: I64, used: F64) -> F64:
        """Return what the first ``used`` devices of each pool ask together."""
        start = self.base[pools]
        at = np.interp(np.concatenate([start + used, start]), self.devices, self.cost)
        cost: F64 = at[: len(pools)] - at[len(pools) :]
        return cost

    def margin(self, used: I64) -> F64:
        """Return (pools,) the ask of the next device of each pool; ``inf`` where none is left."""
        at = np.searchsorted(self.devices, self.base + used, side="right") - 1
        left = used < self.most
        if not len(self.ask):
            return np.full(len(left), np.inf)
        return np.where(left, self.ask[np.minimum(at, len(self.ask) - 1)], np.inf)


def curves(p: Period, lots: I64) -> Curves:
    """Lay the pools' lots end to end in merit order.

    Parameters
    ----------
    lots : those that may be let
    """
    order = lots[np.lexsort((p.lot_rank[lots], p.ask[lots], p.pool[lots]))]
    quantity = p.quantity[order].astype(np.float64)
    devices = np.concatenate([[0.0], np.cumsum(quantity)])
    ask = p.ask[order]
    begin = np.searchsorted(p.pool[order], np.arange(p.pools + 1))
    return Curves(
        order=order,
        begin=begin,
        base=devices[begin[:-1]],
        devices=devices,
        cost=np.concatenate([[0.0], np.cumsum(quantity * ask)]),
        ask=ask,
        most=np.rint(devices[begin[1:]] - devices[begin[:-1]]).astype(np.int64),
    )


def choose(p: Period, c: Curves, used: I64) -> I64:
    """Return (lots,) devices used of each lot, so that every pool gives what is used of it.

    A lot of which anything is used lets whole blocks, and its least quantity: see `committed`.
    """
    given = np.zeros(len(p.lot), dtype=np.int64)
    for k in np.flatnonzero(used):
        rows = c.order[c.begin[k] : c.begin[k + 1]]
        given[rows] = _of_pool(p, rows, int(used[k]))
    return given


def committed(p: Period, given: I64) -> I64:
    """Return (lots,) devices that each lot lets: whole blocks, at least its least quantity, or none."""
    let: I64 = np.where(given > 0, np.maximum(-(-given // p.block) * p.block, p.least), 0)
    return let


def _of_pool(p: Period, rows: I64, used: int) -> I64:
    """Cover what is used of one pool, in merit order."""
    quantity, block, least = p.quantity[rows], p.block[rows], p.least[rows]
    before = np.cumsum(quantity) - quantity
    given: I64 = np.clip(used - before, 0, quantity)
    last = int(np.searchsorted(np.cumsum(quantity), used))  # the lot in which the last device lies
    ask = p.ask[rows]
    tied = np.flatnonzero(ask == ask[last])
    if len(tied) > 1 and (least[tied] == block[tied]).all() and (block[tied] == block[last]).all():
        blocks = quantity[tied] // block[last]
        rest = used - int(quantity[: tied[0]].sum())
        total = np.array([-(-rest // block[last])])
        shared = share_out(np.zeros(len(tied), dtype=np.int64), blocks, total, p.lot_rank[rows[tied]])
        given[tied] = shared * block[last]
        spare = int(given[tied].sum()) - rest
        given[tied[np.flatnonzero(shared)[-1]]] -= spare  # the idle part of one last block
    elif given[last] < quantity[last] and -(-given[last] // block[last]) * block[last] < least[last]:
        given = _mend(given, quantity, block, least, ask, last)
        given[last] -= int(given.sum()) - used  # let, but idle
    return given


def _mend(given: I64, quantity: I64, block: I64, least: I64, ask: F64, last: int) -> I64:
    """Return what lots let, by the cheapest way around a last lot that would let less than its least quantity."""
    rest = int(given[last])
    best, best_cost = None, np.inf
    # cheaper lots make room for the least of this one
    need, trial = int(least[last]) - rest, given.copy()
    trial[last] = least[last]
    for i in range(last - 1, max(-1, last - _FAR), -1):
        room = max(0, int(trial[i] - least[i])) // int(block[i]) * int(block[i])
        less = min(need, room)
        less -= less % int(block[i])
        trial[i] -= less
        need -= less
        if need <= 0:
            break
    cost = float(trial @ ask)  # what is still too much stays let and idle
    idle = max(0, need)
    if idle < rest or last + 1 == len(given):
        best, best_cost = trial, cost
    # dearer lots stand in for this one
    trial, need = given.copy(), rest
    trial[last] = 0
    for i in range(last + 1, min(len(given), last + _FAR)):
        take = min(need, int(quantity[i]))
        if take < least[i]:
            continue
        trial[i] = take
        need -= take
        if not need:
            break
    if not need and float(trial @ ask) < best_cost:
        best = trial
    if best is None:
        best = given.copy()
        best[last] = least[last]
    return best
