"""What is cleared in one period? The orders that matter in it, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, Goods, rows_id
from entrepot.market.records import Book

__all__ = ["Period", "period_of", "tie_ranks"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Period:
    """The market of one period.

    Attributes
    ----------
    lot : (lots,) row in the book, of lots that offer something
    pool, ask, quantity, block, least : (lots,) least: what it lets at least, if anything; a multiple of its block
    step : (pools,) devices that one bid gets are a multiple of it
    lot_rank, bid_rank : the smaller wins a tie
    lot_group, bid_group : exclusive group; -1 for none
    bid : (bids,) row in the book, of bids that want something and have an edge
    kind, limit, demand, min_share, one_pool : (bids,)
    factor : (bids, chips) private yields, or ``None``
    rate : (kinds, pools) Mtok per device-hour; 0 where there is no edge or the pool offers nothing
    chip : (pools,) column of ``factor``
    """

    lot: I64
    pool: I64
    ask: F64
    quantity: I64
    block: I64
    least: I64
    step: I64
    lot_rank: I64
    lot_group: I64
    bid: I64
    kind: I64
    limit: F64
    demand: F64
    min_share: F64
    one_pool: Mask
    bid_rank: I64
    bid_group: I64
    factor: F64 | None
    rate: F64
    chip: I64

    @property
    def pools(self) -> int:
        """Number of pools, offering or not."""
        return int(self.rate.shape[1])

    def offered(self) -> F64:
        """(pools,) devices."""
        return np.bincount(self.pool, self.quantity, minlength=self.pools).astype(np.float64)

    def rates(self, bids: I64) -> F64:
        """(bids, pools) Mtok per device-hour."""
        rate = self.rate[self.kind[bids]]
        return rate if self.factor is None else rate * self.factor[bids][:, self.chip]


def tie_ranks(seed: int, names: list[str]) -> I64:
    """Return the place of each order in the order of its hash: a keyed 64-bit mix of its name, never of its arrival.

    Parameters
    ----------
    seed : from the text that was committed before the gate
    """
    if not names:
        return np.zeros(0, dtype=np.int64)
    raw = np.array([n.encode() for n in names])  # fixed width, filled with zero bytes
    width = -(-raw.dtype.itemsize // 8) * 8
    words = raw.astype(f"S{width}").view(np.uint64).reshape(len(names), width // 8)
    state = np.full(len(names), seed, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for (
            column
        ) in words.T:  # splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014)
            state = (state ^ column) + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            state ^= state >> np.uint64(31)
    rank = np.empty(len(names), dtype=np.int64)
    rank[np.argsort(state, kind="stable")] = np.arange(len(names))
    return rank


def _groups(names: NDArray[np.generic]) -> I64:
    """Return the number of each exclusive groups; -1 for none."""
    distinct, of = np.unique(names, return_inverse=True)
    number = of.astype(np.int64).ravel()
    none = np.flatnonzero(distinct == "")
    return np.where(number == none[0], -1, number) if len(none) else number


def _fitting(
    rate: F64, kind: I64, most: F64, least_work: F64, factor: F64 | None, chip: I64
) -> tuple[I64, F64]:
    """Take from bids for one pool the pools that are too small for the least that they accept: kinds of their own.

    Parameters
    ----------
    most : (pools,) devices offered
    least_work : (bids,) Mtok per hour that must come from one pool
    """
    reach = np.where(rate > 0, rate * most, np.inf)
    smallest = reach.min(axis=1, initial=np.inf)
    own = 1.0 if factor is None else factor.min(axis=1)
    large = np.flatnonzero(least_work > smallest[kind] * own * (1 - 1e-9))
    if not len(large):
        return kind, rate
    fits = reach[kind[large]]
    if factor is not None:
        fits = fits * factor[large][:, chip]
    fits = fits >= least_work[large, None] * (1 - 1e-9)
    code, first = rows_id(kind[large], fits.astype(np.uint8))
    more = rate[kind[large[first]]] * fits[first]
    kind = kind.copy()
    kind[large] = len(rate) + code
    return kind, np.concatenate([rate, more])


def period_of(book: Book, goods: Goods, t: int, lot_rank: I64, bid_rank: I64) -> Period:
    """Take one period out of a book: lots by the period, and bids by the period."""
    lots, bids = book.lots, book.bids
    lot = np.flatnonzero((goods.usable[:, t] > 0) & (goods.lot_mode == FLEXIBLE))
    pool = goods.lot_pool[lot]
    block = lots["block"].to_numpy()[lot]
    quantity = goods.usable[lot, t]
    fill = np.minimum(lots["min_fill"].to_numpy()[lot], quantity)
    least = np.maximum(block, -(-fill // block) * block)
    slices = lots["slice"].to_numpy()[lot]
    step = np.ones(len(goods.is_sale), dtype=np.int64)
    if (slices > 1).any():
        pairs = np.unique(np.stack([pool, slices], axis=1), axis=0)
        for k, s in pairs:
            step[k] = np.lcm(step[k], s)
        # of a pool of mixed node sizes, what a lot cannot give in the pool's step is left out
        each = np.lcm(block, step[pool])
        quantity = quantity // each * each
        block, least = each, -(-least // each) * each
        some = quantity >= least  # what cannot let its least in the pool's step lets nothing
        lot, pool, block, quantity, least = lot[some], pool[some], block[some], quantity[some], least[some]
    live = np.bincount(pool, quantity, minlength=len(step)) > 0
    rate = goods.class_rate * live
    like, first = rows_id(rate)
    edge = np.asarray((rate > 0).any(axis=1))
    bid = np.flatnonzero((book.demand[:, t] > 0) & edge[book.bid_class])
    grouped = bool((bids["group"] != "").any())
    kind, demand = like[book.bid_class[bid]], book.demand[bid, t]
    min_share, one_pool = bids["min_share"].to_numpy()[bid], bids["one_pool"].to_numpy()[bid]
    factor = None if book.factor is None else book.factor[bid]
    rate = np.ascontiguousarray(rate[first])
    most = np.bincount(pool, quantity, minlength=len(step)).astype(np.float64)
    least_work = np.where(one_pool, min_share * demand, 0.0)
    kind, rate = _fitting(rate, kind, most, least_work, factor, goods.pool_chip)
    return Period(
        lot=lot,
        pool=pool,
        ask=lots["ask_micro"].to_numpy()[lot].astype(np.float64),
        quantity=quantity,
        block=block,
        least=least,
        step=step,
        lot_rank=lot_rank[lot],
        lot_group=_groups(lots["group"].to_numpy())[lot]
        if (lots["group"] != "").any()
        else np.full(len(lot), -1),
        bid=bid,
        kind=kind,
        limit=bids["limit_micro"].to_numpy()[bid].astype(np.float64),
        demand=demand,
        min_share=min_share,
        one_pool=one_pool,
        bid_rank=bid_rank[bid],
        bid_group=_groups(bids["group"].to_numpy())[bid] if grouped else np.full(len(bid), -1),
        factor=factor,
        rate=rate,
        chip=goods.pool_chip,
    )
