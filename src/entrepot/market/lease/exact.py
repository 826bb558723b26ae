"""How does a small market come to its exact optimum? As one linear program of all its columns, by HiGHS' interior point.

The saddle point leaves prices right to a few ten-thousandths. In a small market that decides who is in; there all columns fit
into one program, whose duals are exact, and whose vertex (after crossover) splits few bids.
"""

from __future__ import annotations

from typing import TypeAlias

import highspy
import numpy as np
from numpy.typing import NDArray

from entrepot.errors import Unproven
from entrepot.market.lease.columns import Columns, Patterns
from entrepot.market.lease.prices import Shares
from entrepot.market.lease.pricing import Batch, answer, choose, column_table
from entrepot.market.lease.program import Program
from entrepot.market.linear import Columns as Entries
from entrepot.market.linear import solver
from entrepot.market.watch import Watch

__all__ = ["exact", "is_small"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_COLUMNS_MAX = 30_000
_SECONDS = 60.0


def is_small(p: Program, found: list[Batch]) -> bool:
    """Say whether all columns fit into one program."""
    return sum(int((~batch.closed).sum()) for batch in found) + p.lots.count <= _COLUMNS_MAX


def exact(p: Program, found: list[Batch], start: F64, watch: Watch) -> Shares | None:
    """Return the optimum, or None if time is up before it is found.

    Parameters
    ----------
    start : (pools, periods) positive price level of each cell

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    chosen, _ = choose(p, found, start, np.inf, None)
    columns, patterns = column_table(p, chosen)
    solved = _solve(columns, patterns, watch.left(_SECONDS))
    if solved is None:
        return None
    share, price = solved
    bound = answer(p, found, price).bound
    watch.tell("exact prices", None, bound)
    return Shares(price, bound, chosen, columns, patterns, share, 0, 1, np.maximum(start, 1e-9))


def _solve(columns: Columns, patterns: Patterns, seconds: float) -> tuple[F64, F64] | None:
    """Return shares and (pools, periods) prices of the market."""
    owner = columns.owner()
    length = columns.end - columns.start
    piece = np.repeat(np.arange(len(length)), length)
    t = columns.start[piece] + np.arange(len(piece)) - np.repeat(np.cumsum(length) - length, length)
    pattern = columns.pattern[piece]
    value = columns.scale[piece] * patterns.profile[pattern, t]
    cell = patterns.pool[pattern] * patterns.periods + t
    live, row = np.unique(cell, return_inverse=True)
    _, of_block = np.unique(columns.block, return_inverse=True)
    several = np.bincount(of_block) > 1  # a block of one column needs no row
    number = np.cumsum(several) - 1
    c = Entries()
    x = c.add(-columns.value, np.ones(columns.count))
    c.enter(row.ravel().astype(np.int64), x[owner[piece]], value)
    joint = np.flatnonzero(several[of_block])
    c.enter(len(live) + number[of_block[joint]], x[joint], 1.0)
    right = np.concatenate([np.zeros(len(live)), np.ones(int(several.sum()))])
    price = np.zeros(patterns.pools * patterns.periods)
    if not c.count or not len(right):
        return np.ones(c.count) * (columns.value > 0), price.reshape(patterns.pools, patterns.periods)
    lp, scale = c.program(right)
    highs = solver(solver="ipm", time_limit=max(0.05, seconds))
    highs.passModel(lp)
    highs.run()
    status = highs.getModelStatus()
    if status == highspy.HighsModelStatus.kTimeLimit:
        return None
    if status != highspy.HighsModelStatus.kOptimal:
        raise Unproven(f"the solver stopped without an optimum: {highs.modelStatusToString(status)}")
    solution = highs.getSolution()
    price[live] = np.maximum(0.0, -np.asarray(solution.row_dual)[: len(live)] * scale)
    share = np.clip(np.asarray(solution.col_value), 0.0, 1.0)
    return share, price.reshape(patterns.pools, patterns.periods)
