"""What does owning do for a bid, under its rules, and what is then left to lease?

Devices bought work for their owner alone, from their delivery to the end of the horizon, and may stand idle::

    by period      work of a period = what is owned and what is leased, at most the demand; where a bid accepts nothing below a
                   least share and owns less than that, what it owns stands idle unless leases make up the rest
    one pool       in a period either what it owns (of one pool) or a lease of one pool
    a term         a pool for sale is a pool like others: n devices do the share min_t n R / demand_t of its work
    a total        what is owned works in every period, at most the demand, until the total is there
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.goods import SALE, Goods
from entrepot.market.records import Book
from entrepot.market.sale.margins import rates_on
from entrepot.market.terms import long_bids

__all__ = ["Owning", "owning", "rest"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_TINY = 1e-9  # share of a demand that is none


@dataclass(frozen=True, slots=True)
class Owning:
    """What devices for sale can do for each bid.

    Attributes
    ----------
    pool, unit, window : (sizes,) pool and slice of lots for sale that are alike; (sizes, periods) where they are there
    of_lot : (lots,) size of a lot for sale, else -1
    rate : (bids, sizes) Mtok per device-hour, 0 where there is no edge
    wanted : (bids, periods) Mtok per hour that it may want of what it owns
    least : (bids, periods) below which what it owns stands idle; 0 for totals
    """

    pool: I64
    unit: I64
    window: Mask
    of_lot: I64
    rate: F64
    wanted: F64
    least: F64

    def used(self, bids: I64 | slice, capacity: F64) -> F64:
        """Return what of a capacity works, Mtok per hour."""
        does = np.minimum(capacity, self.wanted[bids])
        used: F64 = np.where(does >= self.least[bids] * (1 - _TINY), does, 0.0)
        return used


def owning(book: Book, goods: Goods, wanted: F64) -> Owning:
    """Return what devices for sale can do.

    Parameters
    ----------
    wanted : (bids, periods) Mtok per hour of each bid that the optimum serves; of bids by the hour all that they ask for
    """
    lots = np.flatnonzero((goods.lot_mode == SALE) & (goods.usable > 0).any(axis=1))
    slices = book.lots["slice"].to_numpy()
    kinds, of = np.unique(np.stack([goods.lot_pool[lots], slices[lots]], axis=1), axis=0, return_inverse=True)
    of_lot = np.full(len(slices), -1, dtype=np.int64)
    of_lot[lots] = of.ravel()
    pool = kinds[:, 0]
    rate = np.zeros((book.bids.height, len(pool)))
    for s, q in enumerate(pool):
        rate[:, s] = rates_on(book, goods, q)
    by_period = ~np.logical_or(*long_bids(book))
    least = np.where(by_period, book.bids["min_share"].to_numpy(), 0.0)[:, None] * book.demand
    return Owning(pool, kinds[:, 1], goods.offered[pool] > 0, of_lot, rate, wanted, least)


def rest(book: Book, goods: Goods, capacity: F64, out: Mask, done: Mask) -> tuple[Book, Goods]:
    """Return the market of leases that is left once devices are bought.

    Parameters
    ----------
    capacity : (bids, periods) Mtok per hour of what each bid owns
    out : (lots,) lots that are not let: those for sale, and all but one of an exclusive group
    done : (bids,) bids for a term that own what they need
    """
    bids, demand = book.bids, book.demand
    term, total = long_bids(book)
    left, share, sums = _left(book, capacity, term | total)
    left[done] = 0.0
    if total.any():
        _of_totals(book, capacity, total, (left, share, sums))
    taken = bids["group"].filter(pl.Series((capacity > 0).any(axis=1) | done) & (bids["group"] != ""))
    mates = bids["group"].is_in(taken.unique().implode()).to_numpy() & ~(capacity > 0).any(axis=1)
    left[mates] = 0.0
    left[left <= _TINY * demand] = 0.0
    usable = np.where(out[:, None], 0, goods.usable)
    offered = np.zeros_like(goods.offered)
    np.add.at(offered, goods.lot_pool, usable)
    table = bids.with_columns(
        min_share=pl.Series(np.clip(share, 0.0, 1.0)),
        total_mtok=pl.Series(np.where(total, sums, bids["total_mtok"].to_numpy())),
    )
    market = replace(book, bids=table, demand=left, capacity=np.where(out[:, None], 0, book.capacity))
    return market, replace(goods, usable=usable, offered=offered)


def _left(book: Book, capacity: F64, long: Mask) -> tuple[F64, F64, F64]:
    """Return (bids, periods) work left, (bids,) the least share of it, and the totals, for bids by the hour."""
    demand, share = book.demand.copy(), book.bids["min_share"].to_numpy().copy()
    own = np.flatnonzero((capacity > 0).any(axis=1) & ~long)
    does = np.minimum(capacity[own], demand[own])
    least = share[own, None] * demand[own]
    works = (does >= least * (1 - _TINY)) & (does > 0)
    single = book.bids["one_pool"].to_numpy()[own]
    left = demand[own] - does
    needs = np.where(works, 0.0, np.divide(least - does, left, out=np.zeros_like(left), where=left > 0))
    demand[own] = np.where(single[:, None], np.where(works, 0.0, demand[own]), left)
    share[own] = np.where(single, share[own], needs.max(axis=1, initial=0.0))
    return demand, share, book.bids["total_mtok"].to_numpy().copy()


def _of_totals(book: Book, capacity: F64, total: Mask, left: tuple[F64, F64, F64]) -> None:
    """Take what bids for a total own out of what is left to them, in place."""
    demand, share, sums = left
    for b in np.flatnonzero(total & (capacity > 0).any(axis=1)).tolist():
        does = np.minimum(capacity[b], book.demand[b])
        own, wanted = float(does @ book.hours), min(float(sums[b]), float(book.demand[b] @ book.hours))
        least = float(share[b]) * wanted
        demand[b] = 0.0 if book.bids["one_pool"][b] else book.demand[b] - does
        sums[b] = max(0.0, float(sums[b]) - own)
        if sums[b] <= _TINY * wanted:
            demand[b] = 0.0
        more = min(float(sums[b]), float(demand[b] @ book.hours))
        share[b] = max(0.0, least - own) / more if more > 0 else 0.0
