"""Which orders can still change their decision inside a box of prices? Those alone are looked at one by one.

An order whose price lies outside its cell's box is decided: it is *in* or *out* wherever the prices are in the box. All
that is in becomes one step, priced at the edge of the box, and so does all that is out. If an optimum takes the first
wholly and the second not at all, its duals are right for every order, and it is an optimum of the whole market; else the
box is widened there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Side", "Steps", "merged", "quantiles"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_SLACK = 1e-7  # of a step's quantity, or of one device: the solver's feasibility tolerance


@dataclass(frozen=True, slots=True)
class Side:
    """Supply (``sign`` 1: in below its price) or demand (-1: in above): (entries,) cell, price, quantity, tie rank."""

    sign: int
    cell: I64
    price: F64
    quantity: F64
    rank: I64
    cells: int


@dataclass(frozen=True, slots=True)
class Steps:
    """Merged entries.

    Attributes
    ----------
    cell, price, quantity : (steps,); first those in, then those out, then those near
    ins, outs : number of the first two
    near : (entries near,) entries, in the order of their steps; empty where entries near were merged too
    state : (entries,) 1 in, -1 out, 0 near
    """

    cell: I64
    price: F64
    quantity: F64
    ins: int
    outs: int
    near: I64
    state: NDArray[np.int8]

    def wrong(self, taken: F64) -> tuple[I64, I64]:
        """Return the cells in which what is in was not wholly taken, and those in which what is out was taken."""
        slack = _SLACK * np.maximum(1.0, self.quantity)
        first, second = slice(0, self.ins), slice(self.ins, self.ins + self.outs)
        missing = taken[first] < self.quantity[first] - slack[first]
        wanted = taken[second] > slack[second]
        return self.cell[first][missing], self.cell[second][wanted]

    def shares(self, taken: F64) -> F64:
        """Return (entries,) the share of each that is taken; entries of one cell and price share alike."""
        share = (self.state > 0).astype(np.float64)
        at = self.ins + self.outs
        cell, price, quantity, got = self.cell[at:], self.price[at:], self.quantity[at:], taken[at:]
        if len(cell):
            new = np.ones(len(cell), dtype=np.bool_)
            new[1:] = (np.diff(cell) != 0) | (np.diff(price) != 0)
            begin = np.flatnonzero(new)
            total = np.add.reduceat(quantity, begin)
            alike = np.add.reduceat(got, begin) / np.maximum(total, 1e-300)
            share[self.near] = np.clip(alike, 0.0, 1.0)[np.cumsum(new) - 1]
        return share


def merged(side: Side, low: F64, high: F64, bins: int = 0) -> Steps:
    """Merge what is decided in the box; and what is near too, into at most ``bins`` steps per cell, if ``bins``.

    Parameters
    ----------
    low, high : (cells,) the box
    """
    price, cell = side.price, side.cell
    below, above = price < low[cell], price > high[cell]
    state = (below.astype(np.int8) - above.astype(np.int8)) * np.int8(side.sign)
    ins = np.bincount(cell, side.quantity * (state > 0), minlength=side.cells)
    outs = np.bincount(cell, side.quantity * (state < 0), minlength=side.cells)
    near = np.flatnonzero(state == 0)
    near = near[np.lexsort((side.rank[near], price[near], cell[near]))]
    near_cell, near_price, near_quantity = cell[near], price[near], side.quantity[near]
    if bins:
        near_cell, near_price, near_quantity = _binned(near_cell, near_price, near_quantity, side.cells, bins)
        near = near[:0]
    some_in, some_out = np.flatnonzero(ins), np.flatnonzero(outs)
    edge_in, edge_out = (low, high) if side.sign > 0 else (high, low)
    return Steps(
        cell=np.concatenate([some_in, some_out, near_cell]),
        price=np.concatenate([edge_in[some_in], edge_out[some_out], near_price]),
        quantity=np.concatenate([ins[some_in], outs[some_out], near_quantity]),
        ins=len(some_in),
        outs=len(some_out),
        near=near,
        state=state,
    )


def _binned(cell: I64, price: F64, quantity: F64, cells: int, bins: int) -> tuple[I64, F64, F64]:
    """Merge neighbours, sorted by cell and price, into steps of about equal quantity at their mean price."""
    if not len(cell):
        return cell, price, quantity
    total = np.bincount(cell, quantity, minlength=cells)
    before = np.cumsum(total) - total
    middle = np.cumsum(quantity) - quantity / 2 - before[cell]
    of = np.divide(middle, total[cell], out=np.zeros(len(cell)), where=total[cell] > 0)
    bin_of = np.clip((of * bins).astype(np.int64), 0, bins - 1)
    new = np.ones(len(cell), dtype=np.bool_)
    new[1:] = (np.diff(cell) != 0) | (np.diff(bin_of) != 0)
    begin = np.flatnonzero(new)
    weight = np.add.reduceat(quantity, begin)
    mean = np.add.reduceat(quantity * price, begin) / np.maximum(weight, 1e-300)
    return cell[begin], mean, weight


def quantiles(side: Side, bins: int) -> Steps:
    """Merge every entry into steps of about equal quantity: the first guess."""
    everywhere = np.full(side.cells, np.inf)
    return merged(side, -everywhere, everywhere, bins)
