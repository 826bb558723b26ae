"""How is a lease market written so that a pass over it costs a few look-ups per order, however long its window is?

A **column** is one way to accept an order: a lot for its window, a bid served by one pool for its window, a bid that starts
at another hour, devices bought for good. A column consists of **pieces**; a piece takes ``scale`` times a **pattern** in the
periods ``start <= t < end``, and a pattern is a pool with a profile over the periods. With prefix sums of the patterns over
time, what a column pays at given prices is two look-ups per piece, and what all columns take of every cell is two additions
per piece and one cumulative sum::

    pay[j]     = sum over pieces p of j   scale_p (P[pattern_p, end_p] - P[pattern_p, start_p])
    P[r, t]    = sum over t' < t          profile[r, t'] price[pool_r, t']
    taken[k,t] = sum over patterns r of pool k   profile[r, t] * sum over pieces p of r that are open in t   scale_p x_p

Columns of one **block** exclude each other: their shares add up to at most 1. A lot is a block of one column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Columns", "Patterns", "devices", "pay", "prefix"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Patterns:
    """(patterns,) pool and (patterns, periods) profile; sorted by pool, every pool has at least one.

    Attributes
    ----------
    pools, periods : how many
    first : (pools,) first pattern of each pool
    """

    pool: I64
    profile: F64
    pools: int
    periods: int
    first: I64


@dataclass(frozen=True, slots=True)
class Columns:
    """Ways to accept orders, sorted by block.

    Attributes
    ----------
    block : (columns,) number of the block
    value : (columns,) micro that acceptance in full is worth before prices: value of work, or minus the ask
    first : (columns,) first piece of each column; pieces are sorted by column
    pattern, start, end, scale : (pieces,) devices per unit of the profile; negative where a lot supplies
    """

    block: I64
    value: F64
    first: I64
    pattern: I64
    start: I64
    end: I64
    scale: F64

    @property
    def count(self) -> int:
        """Number of columns."""
        return len(self.block)

    @property
    def single(self) -> bool:
        """Whether every column is one piece."""
        return len(self.first) == len(self.pattern)

    def owner(self) -> I64:
        """(pieces,) column of each piece."""
        lengths = np.diff(np.append(self.first, len(self.pattern)))
        return np.repeat(np.arange(self.count), lengths)

    def take(self, chosen: I64) -> Columns:
        """Return some columns, in increasing order."""
        lengths = np.diff(np.append(self.first, len(self.pattern)))[chosen]
        first = np.cumsum(lengths) - lengths
        pieces = np.repeat(self.first[chosen] - first, lengths) + np.arange(int(lengths.sum()))
        return Columns(
            self.block[chosen],
            self.value[chosen],
            first.astype(np.int64),
            self.pattern[pieces],
            self.start[pieces],
            self.end[pieces],
            self.scale[pieces],
        )


def prefix(patterns: Patterns, price: F64) -> F64:
    """Return (patterns, periods + 1) running sums of profile times price.

    Parameters
    ----------
    price : (pools, periods) micro per device for the whole period
    """
    running = np.zeros((len(patterns.pool), patterns.periods + 1))
    np.cumsum(patterns.profile * price[patterns.pool], axis=1, out=running[:, 1:])
    return running


def pay(columns: Columns, running: F64) -> F64:
    """Return (columns,) what each column pays in full (a lot: minus what it gets)."""
    flat, width = running.ravel(), running.shape[1]
    at = columns.pattern * width
    of_piece: F64 = (flat[at + columns.end] - flat[at + columns.start]) * columns.scale
    if columns.single:
        return of_piece
    total: F64 = np.add.reduceat(of_piece, columns.first) if columns.count else np.zeros(0)
    return total


def devices(columns: Columns, patterns: Patterns, share: F64) -> F64:
    """Return (pools, periods) devices taken less devices supplied, given (columns,) shares."""
    width = patterns.periods + 1
    of_piece = columns.scale * (share if columns.single else share[columns.owner()])
    at = columns.pattern * width
    size = len(patterns.pool) * width
    steps = np.bincount(at + columns.start, of_piece, size) - np.bincount(at + columns.end, of_piece, size)
    level: F64 = np.cumsum(steps.reshape(-1, width)[:, :-1], axis=1) * patterns.profile
    total: F64 = np.add.reduceat(level, patterns.first, axis=0)
    return total
