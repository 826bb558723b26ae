"""What is being placed, and on what? The market by node size, and the board on which blocks are put.

A size is the lots of one pool, one node size and one way of being sold: blocks of a size are all alike until they are
given to single lots at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.pool import FLEXIBLE, SALE, WHOLE, Pooled
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.solve import Solved

__all__ = ["NOISE", "ROUNDING", "Board", "Market", "Sizes", "Targets", "Ties", "sizes_of"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

NOISE = 1e-6  # of a block: what the solver may miss of a whole number
ROUNDING = 0.75  # micro per device-hour: a published price may be half a micro-unit above the exact one


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lots of one pool, node size and mode: (sizes,) pool, block, mode; (lots,) size of each lot."""

    pool: I64
    block: I64
    mode: I64
    of_lot: I64


@dataclass(slots=True)
class Board:
    """What is placed so far.

    Attributes
    ----------
    left : (bids, periods) Mtok per hour still wanted
    gain : (bids, periods) micro per hour: worth of the work done on whole-window lots less their price
    rows : (bid, size, period, blocks) placed
    """

    left: F64
    gain: F64
    rows: list[tuple[I64, I64, I64, I64]]


@dataclass(frozen=True, slots=True)
class Targets:
    """(entries,) devices that the optimum leases to a bid from a node size in a period."""

    bid: I64
    size: I64
    period: I64
    devices: F64

    def only(self, chosen: Mask) -> Targets:
        """Return the chosen entries."""
        return Targets(self.bid[chosen], self.size[chosen], self.period[chosen], self.devices[chosen])


@dataclass(frozen=True, slots=True)
class Ties:
    """(lots,), (bids,) distinct ranks; the smaller wins a tie."""

    lot: I64
    bid: I64


@dataclass(frozen=True, slots=True)
class Market:
    """The market with its optimum and prices; (lots,) and (bids,) ranks settle ties."""

    book: Book
    pooled: Pooled
    solved: Solved
    prices: Prices
    sizes: Sizes
    ties: Ties

    @property
    def limit(self) -> F64:
        """(bids,) micro per Mtok."""
        limit: F64 = self.book.bids["limit_micro"].to_numpy().astype(np.float64)
        return limit

    @property
    def ask(self) -> I64:
        """(lots,) micro per device-hour or per device."""
        ask: I64 = self.book.lots["ask_micro"].to_numpy()
        return ask

    @property
    def block(self) -> I64:
        """(lots,) devices."""
        block: I64 = self.book.lots["block"].to_numpy()
        return block

    def rate(self, bids: I64, sizes: I64) -> F64:
        """(bids, sizes) Mtok per device-hour."""
        rate: F64 = self.pooled.group_rate[np.ix_(self.pooled.bid_group[bids], self.sizes.pool[sizes])]
        return rate

    def price(self, sizes: I64, t: int) -> F64:
        """(sizes,) lease price in a period, micro per device-hour."""
        price: F64 = self.prices.lease[self.sizes.pool[sizes], t].astype(np.float64)
        return price

    def lot_supply(self) -> F64:
        """(lots, periods) devices of each lot in the optimum: its step's, pro rata."""
        p = self.pooled
        none = np.zeros_like(self.solved.supply)
        share = np.divide(self.solved.supply, p.step_capacity, out=none, where=p.step_capacity > 0)
        return p.usable.astype(np.float64) * share[p.lot_step]

    def f64_by_size(self, per_lot: F64, lots: Mask) -> F64:
        """(sizes, periods) sum over the lots of each size that ``lots`` selects."""
        total = np.zeros((len(self.sizes.pool), per_lot.shape[1]))
        np.add.at(total, self.sizes.of_lot[lots], per_lot[lots])
        return total

    def i64_by_size(self, per_lot: I64, lots: Mask) -> I64:
        """(sizes, periods) sum over the lots of each size that ``lots`` selects."""
        total = np.zeros((len(self.sizes.pool), per_lot.shape[1]), dtype=np.int64)
        np.add.at(total, self.sizes.of_lot[lots], per_lot[lots])
        return total

    def sale_blocks(self) -> I64:
        """(lots,) blocks of lots for sale whose ask the price covers."""
        p = self.pooled
        covered = (p.lot_mode == SALE) & (self.ask <= self.prices.sale[p.lot_pool])
        blocks: I64 = np.where(covered, p.usable.max(axis=1, initial=0) // self.block, 0)
        return blocks

    def flexible_blocks(self) -> I64:
        """(lots, periods) blocks of flexible lots whose ask the price covers."""
        p = self.pooled
        covered = (p.lot_mode == FLEXIBLE)[:, None] & (self.ask[:, None] <= self.prices.lease[p.lot_pool])
        blocks: I64 = np.where(covered, p.usable // self.block[:, None], 0)
        return blocks

    def whole_start(self) -> I64:
        """(lots,) blocks of each whole-window lot in the optimum; 0 for others."""
        blocks = np.floor(self.lot_supply().max(axis=1, initial=0.0) / self.block + NOISE).astype(np.int64)
        chosen: I64 = np.where(self.pooled.lot_mode == WHOLE, blocks, 0)
        return chosen

    def whole_total(self, blocks: I64) -> I64:
        """(sizes, periods) blocks that whole-window lots supply."""
        return self.i64_by_size(blocks[:, None] * (self.pooled.usable > 0), self.pooled.lot_mode == WHOLE)


def sizes_of(book: Book, pooled: Pooled) -> Sizes:
    """Group the lots by pool, mode and node size; large nodes first."""
    block = book.lots["block"].to_numpy()
    key = np.stack([pooled.lot_pool, pooled.lot_mode, -block], axis=1)
    kinds, of_lot = np.unique(key, axis=0, return_inverse=True)
    return Sizes(kinds[:, 0], -kinds[:, 2], kinds[:, 1], of_lot.astype(np.int64).ravel())
