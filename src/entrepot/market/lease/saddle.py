"""Which shares and prices fit together? The restricted market as a saddle point, by restarted reflected Halpern PDHG.

With columns j in blocks, value c, device matrix A (see `columns`) and prices lam >= 0 per device and period::

    min over lam >= 0   max over x   c x - lam A x      x >= 0, sum of a block <= 1

Bids need no rows: a block is a simplex, onto which is projected exactly. The step sizes are diagonal (Pock and Chambolle,
ICCV 2011), with rows scaled by the price level of their pool; the iteration is anchored to its last restart and reflected
(Lu and Yang, "Restarted Halpern PDHG for linear programming", 2024), and the primal weight is rebalanced at each restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.lease.columns import Columns, Patterns

__all__ = ["Saddle", "Simplices", "State"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_NEWTON = 40
_EXACT = 1e-12


@dataclass(slots=True)
class State:
    """Shares of the columns, prices, and the primal weight."""

    share: F64
    price: F64
    weight: float = 1.0


class Simplices:
    """Projection onto blocks whose shares are at least 0 and add up to at most 1.

    The nearest point of a block is max(v - theta, 0) with the least theta >= 0 that makes the sum at most 1. That sum is
    convex and falls with theta, so Newton's method ends after finitely many steps; it starts from the theta of before.
    """

    def __init__(self, block: I64) -> None:
        """Prepare for columns sorted by block; blocks of one column come first where there are many."""
        first = np.flatnonzero(np.diff(block, prepend=-1)).astype(np.int64)
        lengths = np.diff(np.append(first, len(block)))
        several = np.flatnonzero(lengths > 1)
        self._single = (
            int(several[0]) if len(several) else len(block)
        )  # columns before the first block of several
        self._lengths = lengths[self._single :]
        self._first = first[self._single :] - self._single
        self._of = np.repeat(np.arange(len(self._lengths)), self._lengths)
        self._theta = np.zeros(len(self._lengths))

    def __call__(self, point: F64) -> F64:
        """Return the nearest feasible point."""
        near = np.maximum(point, 0.0)
        head, tail = near[: self._single], near[self._single :]
        np.minimum(head, 1.0, out=head)
        if not len(tail):
            return near
        raw = point[self._single :]
        theta, first, of = self._theta, self._first, self._of
        above = raw - theta[of]
        count = _count(above > 0, first)
        np.maximum(above, 0.0, out=above)
        excess = np.add.reduceat(above, first) - 1.0
        # nothing above theta: it stands too far right, and 0 is left of every root
        theta = np.where(count > 0, np.maximum(theta + excess / np.maximum(count, 1), 0.0), 0.0)
        np.subtract(raw, theta[of], out=tail)
        again = np.flatnonzero(_count(tail > 0, first) != count)
        np.maximum(tail, 0.0, out=tail)
        if len(again):
            self._newton(raw, theta, again)
            columns = _ranges(self._first[again], self._lengths[again])
            tail[columns] = np.maximum(raw[columns] - theta[of[columns]], 0.0)
        self._theta = theta
        return near

    def _newton(self, raw: F64, theta: F64, blocks: I64) -> None:
        """Find theta of some blocks, in place."""
        for _ in range(_NEWTON):
            lengths = self._lengths[blocks]
            first = np.cumsum(lengths) - lengths
            above = raw[_ranges(self._first[blocks], lengths)] - np.repeat(theta[blocks], lengths)
            count = _count(above > 0, first)
            excess = np.add.reduceat(np.maximum(above, 0.0), first) - 1.0
            old = theta[blocks]
            new = np.where(count > 0, np.maximum(old + excess / np.maximum(count, 1), 0.0), 0.0)
            theta[blocks] = new
            blocks = blocks[np.abs(new - old) > _EXACT]
            if not len(blocks):
                return


def _count(mask: NDArray[np.bool_], first: I64) -> I64:
    """Return how many are true in each stretch."""
    running = np.cumsum(mask, dtype=np.int32)
    ends = np.append(running[first[1:] - 1], running[-1])
    return np.diff(ends, prepend=np.int32(0)).astype(np.int64)


def _ranges(first: I64, lengths: I64) -> I64:
    """Return the numbers of all members of some stretches."""
    begin = np.cumsum(lengths) - lengths
    return np.repeat(first - begin, lengths) + np.arange(int(lengths.sum()))


class Saddle:
    """One restricted market: what its iterations need, prepared once."""

    def __init__(self, columns: Columns, patterns: Patterns, level: F64) -> None:
        """Prepare the steps.

        Parameters
        ----------
        level : (pools, periods) positive price level of each cell, micro per device and period
        """
        self.columns, self.patterns = columns, patterns
        self._single = columns.single
        self._owner = columns.owner()
        self._project = Simplices(columns.block)
        width = patterns.periods + 1
        self._from, self._to = (
            columns.pattern * width + columns.start,
            columns.pattern * width + columns.end,
        )
        self._size = len(patterns.pool) * width
        self._running = np.zeros((len(patterns.pool), width))
        self._plain = bool((np.diff(patterns.first) == 1).all()) and len(patterns.first) == len(patterns.pool)
        # diagonal steps: rows by the quantity that may meet in a cell, blocks by what they pay at the level
        weight = np.abs(self._pays(level, np.abs(columns.scale)))
        block_first = np.flatnonzero(np.diff(columns.block, prepend=-1))
        most = np.maximum.reduceat(weight, block_first) if len(weight) else weight
        lengths = np.diff(np.append(block_first, columns.count))
        self.tau = 1.0 / np.maximum(np.repeat(most, lengths), 1e-300)
        met = self._meets(np.ones(columns.count), np.abs(columns.scale))
        self.sigma = level / np.maximum(met, 1e-3 * max(met.max(initial=0.0), 1e-300))

    def _pays(self, price: F64, scale: F64) -> F64:
        np.cumsum(self.patterns.profile * price[self.patterns.pool], axis=1, out=self._running[:, 1:])
        flat = self._running.ravel()
        of_piece = (flat[self._to] - flat[self._from]) * scale
        return of_piece if self._single else np.add.reduceat(of_piece, self.columns.first)

    def _meets(self, share: F64, scale: F64) -> F64:
        of_piece = scale * (share if self._single else share[self._owner])
        steps = np.bincount(self._from, of_piece, self._size)
        steps -= np.bincount(self._to, of_piece, self._size)
        level: F64 = np.cumsum(steps.reshape(self._running.shape)[:, :-1], axis=1) * self.patterns.profile
        return np.add.reduceat(level, self.patterns.first, axis=0)

    def run(self, state: State, iterations: int) -> tuple[State, State]:
        """Iterate; return where it stands, and the last image of the operator (feasible for blocks and signs)."""
        c = self.columns
        x, lam, om = state.share.copy(), state.price.copy(), state.weight
        x0, lam0 = x.copy(), lam.copy()
        tau, sigma = self.tau / om, self.sigma * om
        inverse_tau, inverse_sigma = om * self.tau**-1, self.sigma**-1 / om
        k = 0
        base = last = np.inf
        new_x, new_lam = x, lam
        for step in range(1, iterations + 1):
            new_x = self._project(x + tau * (c.value - self._pays(lam, c.scale)))
            new_lam = lam + sigma * self._meets(2.0 * new_x - x, c.scale)
            np.maximum(new_lam, 0.0, out=new_lam)
            dx, dl = new_x - x, new_lam - lam
            residual = float(np.sqrt(dx @ (dx * inverse_tau) + (dl * dl * inverse_sigma).sum()))
            k += 1
            if k == 1:
                base = residual
            restart = k > 1 and (
                residual <= 0.2 * base or (residual <= 0.6 * base and residual > last) or k > 0.36 * step
            )
            last = residual
            if restart and k >= 8:
                move_x = float(np.sqrt(((new_x - x0) ** 2 / self.tau).sum()))
                move_l = float(np.sqrt(((new_lam - lam0) ** 2 / self.sigma).sum()))
                if move_x > 0 and move_l > 0:
                    om = float(np.sqrt(om * move_l / move_x))
                    tau, sigma = self.tau / om, self.sigma * om
                    inverse_tau, inverse_sigma = om * self.tau**-1, self.sigma**-1 / om
                x, lam = new_x.copy(), new_lam.copy()
                x0, lam0 = x, lam
                k = 0
                last = np.inf
                continue
            a = k / (k + 1.0)
            x = a * (2.0 * new_x - x) + (1 - a) * x0
            lam = a * (2.0 * new_lam - lam) + (1 - a) * lam0
        return State(x, lam, om), State(new_x, new_lam, om)
