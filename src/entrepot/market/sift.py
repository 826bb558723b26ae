"""Which orders can still change their decision? Those near the marginal price; the rest are merged, exactly or for a guess.

A curve holds the supply steps of all cells (pool, period), or the demand steps of all cells (group, period). In a box of
prices a supply step below it is *in* and one above it *out*; for demand the other way round. All that is in becomes one
step at the price of its most doubtful member, and so does all that is out. If an optimum takes the first wholly and the
second not at all, then its duals are right for every member, and it is an optimum of the whole market; else `widen`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Curve", "Steps", "coarse", "curve", "exact"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_IN, _NEAR, _OUT = 0, 1, 2
_SLACK = 1e-7  # of a step's quantity, or of one device: the solver's feasibility tolerance
_WIDENINGS = 12


@dataclass(frozen=True, slots=True)
class Curve:
    """Entries sorted by cell, then price. ``origin`` leads back to the caller's order."""

    side: Literal["supply", "demand"]
    cell: I64
    price: F64
    quantity: F64
    origin: I64
    cells: int

    @property
    def entries(self) -> int:
        """Number of entries."""
        return len(self.cell)

    def whole(self) -> Box:
        """Return the box that holds every price."""
        return Box(self, np.full(self.cells, -np.inf), np.full(self.cells, np.inf))

    def box(self, price: F64, width: float) -> Box:
        """Return a box around the guessed (cells,) price; ``width`` is relative."""
        weight = np.bincount(self.cell, minlength=self.cells)
        mean = np.bincount(self.cell, self.price, minlength=self.cells) / np.maximum(weight, 1)
        reach = width * np.where(price > 0, price, mean)
        return Box(self, price - reach, price + reach)


def curve(side: Literal["supply", "demand"], cell: I64, price: F64, quantity: F64, cells: int) -> Curve:
    """Sort entries into a curve."""
    order = np.lexsort((price, cell))
    return Curve(side, cell[order], price[order], quantity[order], order.astype(np.int64), cells)


@dataclass(slots=True)
class Box:
    """(cells,) the lowest and highest price at which an entry counts as near the margin."""

    curve: Curve
    low: F64
    high: F64
    widened: int = 0

    def kind(self) -> I64:
        """Return (entries,) in, near or out."""
        c = self.curve
        below, above = c.price < self.low[c.cell], c.price > self.high[c.cell]
        first, last = (_IN, _OUT) if c.side == "supply" else (_OUT, _IN)
        return np.where(below, first, np.where(above, last, _NEAR)).astype(np.int64)

    def widen(self, steps: Steps, taken: F64) -> bool:
        """Widen the box where a step that was in was not taken wholly, or one that was out was taken. Was there one?"""
        slack = _SLACK * np.maximum(1.0, steps.quantity)
        doubted = (steps.kind == _IN) & (taken < steps.quantity - slack)
        wanted = (steps.kind == _OUT) & (taken > slack)
        if not (doubted.any() or wanted.any()):
            return False
        self.widened += 1
        reach = self.high - self.low
        lower, higher = (doubted, wanted) if self.curve.side == "supply" else (wanted, doubted)
        for wrong, bound, sign in ((lower, self.low, -1.0), (higher, self.high, 1.0)):
            cells = np.unique(steps.cell[wrong])
            bound[cells] += sign * (np.inf if self.widened >= _WIDENINGS else 2.0 * reach[cells])
        return True


@dataclass(frozen=True, slots=True)
class Steps:
    """Merged entries: (steps,) cell, price, quantity, kind; (entries,) the step of each entry of the curve."""

    cell: I64
    price: F64
    quantity: F64
    kind: I64
    of_entry: I64

    def entries(self, curve: Curve, taken: F64) -> F64:
        """Return (entries,) what of each entry is taken, in the caller's order: pro rata inside a step."""
        share = np.divide(taken, self.quantity, out=np.zeros_like(taken), where=self.quantity > 0)
        back = np.empty(curve.entries)
        back[curve.origin] = np.clip(share, 0.0, 1.0)[self.of_entry] * curve.quantity
        return back


def exact(box: Box) -> Steps:
    """Merge what is in and what is out; keep every entry near the margin."""
    return _merge(box.curve, box.kind(), np.arange(box.curve.entries, dtype=np.int64))


def coarse(box: Box, bins: int) -> Steps:
    """Merge also the entries near the margin, into at most ``bins`` steps per cell of about equal quantity: a guess."""
    c, kind = box.curve, box.kind()
    weight = np.where(kind == _NEAR, c.quantity, 0.0)
    running = np.cumsum(weight) - weight / 2
    total = np.bincount(c.cell, weight, minlength=c.cells)
    before = np.cumsum(total) - total
    at = np.divide(running - before[c.cell], total[c.cell], out=np.zeros(c.entries), where=total[c.cell] > 0)
    return _merge(c, kind, np.clip((at * bins).astype(np.int64), 0, bins - 1))


def _merge(c: Curve, kind: I64, part: I64) -> Steps:
    """Merge neighbours of one cell, one kind and, near the margin, one part."""
    if not c.entries:
        none = np.zeros(0, dtype=np.int64)
        return Steps(none, np.zeros(0), np.zeros(0), none, none)
    part = np.where(kind == _NEAR, part, -1)
    new = np.ones(c.entries, dtype=np.bool_)
    new[1:] = (np.diff(c.cell) != 0) | (np.diff(kind) != 0) | (np.diff(part) != 0)
    begin = np.flatnonzero(new)
    quantity = np.add.reduceat(c.quantity, begin)
    mean = np.add.reduceat(c.quantity * c.price, begin) / np.maximum(quantity, np.finfo(float).tiny)
    least, most = np.minimum.reduceat(c.price, begin), np.maximum.reduceat(c.price, begin)
    of = kind[begin]
    doubtful_in, doubtful_out = (most, least) if c.side == "supply" else (least, most)
    price = np.where(of == _IN, doubtful_in, np.where(of == _OUT, doubtful_out, np.clip(mean, least, most)))
    return Steps(c.cell[begin], price, quantity, of, np.cumsum(new) - 1)
