"""How does a small market come to its exact optimum? The restricted program by simplex, columns added until none is missing.

The saddle point leaves prices right to a few ten-thousandths. In a small market that decides who is in; there the same
columns fit into a linear program, whose duals are exact and whose vertex splits few bids.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.lease.columns import Columns, Patterns
from entrepot.market.lease.prices import Shares
from entrepot.market.lease.pricing import Batch, Chosen, answer, choose, column_table
from entrepot.market.lease.program import Program
from entrepot.market.linear import Columns as Entries
from entrepot.market.linear import minimise
from entrepot.market.watch import Watch

__all__ = ["is_small", "polish"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_ENTRIES_MAX = 40_000  # of the restricted program
_ROUNDS = 25
_EXACT = 1e-7  # of the bound
_SECONDS = 60.0


def is_small(p: Program) -> bool:
    """Say whether the restricted program fits: window lengths times the columns that a bid usually has."""
    t = p.takers
    return int((t.end - t.start).sum()) * 6 + int((p.lots.end - p.lots.start).sum()) <= _ENTRIES_MAX


def polish(p: Program, found: list[Batch], shares: Shares, watch: Watch) -> Shares:
    """Return the optimum, or as near as time allows, from shares that are near."""
    n_lots = p.lots.count
    best, price = shares, shares.price
    room = 0.03
    used = _used(shares, n_lots)
    for turn in range(_ROUNDS):
        chosen, _ = choose(p, found, price, room, used)
        columns, patterns = column_table(p, chosen)
        share, price = _solve(columns, patterns)
        price = np.where(price > 0, price, 0.0)
        proved = answer(p, found, price).bound
        welfare = float(columns.value @ share)
        better = proved <= best.bound
        best = replace(
            best,
            price=price if better else best.price,
            bound=proved if better else best.bound,
            chosen=chosen,
            columns=columns,
            patterns=patterns,
            share=share,
        )
        watch.tell(f"exact prices, round {turn + 1}", None, best.bound)
        if best.bound - welfare <= _EXACT * abs(best.bound) or watch.left(_SECONDS) <= 0:
            break
        # keep all that was there: a column that was needed once may be needed again
        used = chosen
    return best


def _used(shares: Shares, n_lots: int) -> Chosen:
    some = shares.share[n_lots:] > 1e-7
    return Chosen(shares.chosen.taker[some], shares.chosen.pool[some])


def _solve(columns: Columns, patterns: Patterns) -> tuple[F64, F64]:
    """Return shares and (pools, periods) prices of the restricted market."""
    owner = columns.owner()
    length = columns.end - columns.start
    piece = np.repeat(np.arange(len(length)), length)
    t = columns.start[piece] + np.arange(len(piece)) - np.repeat(np.cumsum(length) - length, length)
    pattern = columns.pattern[piece]
    value = columns.scale[piece] * patterns.profile[pattern, t]
    cell = patterns.pool[pattern] * patterns.periods + t
    live, row = np.unique(cell, return_inverse=True)
    _, of_block = np.unique(columns.block, return_inverse=True)
    size = np.bincount(of_block)
    several = size > 1  # a block of one column needs no row
    number = np.cumsum(several) - 1
    c = Entries()
    x = c.add(-columns.value, np.ones(columns.count))
    c.enter(row.ravel().astype(np.int64), x[owner[piece]], value)
    joint = np.flatnonzero(several[of_block])
    c.enter(len(live) + number[of_block[joint]], x[joint], 1.0)
    right = np.concatenate([np.zeros(len(live)), np.ones(int(several.sum()))])
    share, dual = minimise(c, right)
    price = np.zeros(patterns.pools * patterns.periods)
    price[live] = -dual[: len(live)]
    return np.clip(share, 0.0, 1.0), np.maximum(price, 0.0).reshape(patterns.pools, patterns.periods)
