"""How does a book become blocks of columns? Whole-window lots, term bids, hourly orders, sales and deadlines in one form.

============================  ==============================================================================================
a lot for its whole window    one column over its window; a block of its own
a lot by the hour             one column per pool, period and ask: lots of one ask are one step
a term bid                    a block: one column per pool that may serve it; the alternatives of a group share a block
a bid by the hour             a block per group of like bids, period and limit, with a column per pool
a total by a deadline         a block with a column per period and pool
============================  ==============================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, SALE, WHOLE, Goods
from entrepot.market.lease.columns import Columns
from entrepot.market.lease.profiles import profiles
from entrepot.market.records import Book

__all__ = ["Program", "Takers", "program", "runs"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Takers:
    """Demand: rows that each of some pools may serve.

    Attributes
    ----------
    bid : (takers,) bid of a term taker; -1 for hourly takers, which stand for many bids
    block : (takers,) takers of one block exclude each other
    kind : (takers,) row of ``Program.rate``
    curve : (takers,) row of ``Program.curve``
    size : (takers,) times the curve: Mtok per hour in the window
    limit : (takers,) micro per Mtok
    value : (takers,) micro, of all its work
    first, start, end : runs of the window: (takers,) first run, (runs,) from and to
    factor : (takers,) row of the book's private factors, or -1
    """

    bid: I64
    block: I64
    kind: I64
    curve: I64
    size: F64
    limit: F64
    value: F64
    first: I64
    start: I64
    end: I64
    factor: I64

    @property
    def count(self) -> int:
        """Number of takers."""
        return len(self.block)


@dataclass(frozen=True, slots=True)
class Program:
    """The lease market as blocks of columns over cells (pool, period).

    Attributes
    ----------
    hours : (periods,)
    pools : number of pools; sale pools have one cell, at period 0
    is_sale : (pools,)
    rate : (kinds, pools) Mtok per device-hour
    chip : (pools,) accelerator, as a column of ``factor``
    factor : (bids, accelerators) private yields, or None
    curve : (curves, periods); the first is 1 everywhere
    lots : columns of supply; ``lot_of`` their lot, or -1 for an hourly step
    takers : demand
    """

    hours: F64
    pools: int
    is_sale: Mask
    rate: F64
    chip: I64
    factor: F64 | None
    curve: F64
    lots: Columns
    lot_of: I64
    takers: Takers

    @property
    def periods(self) -> int:
        """Number of periods."""
        return len(self.hours)


def runs(inside: Mask) -> tuple[I64, I64, I64]:
    """Return (rows,) first run, (runs,) start and end of the stretches of each row that are true.

    Examples
    --------
    >>> [x.tolist() for x in runs(np.array([[True, True, False, True], [False, True, False, False]]))]
    [[0, 2], [0, 3, 1], [2, 4, 2]]
    """
    edge = np.diff(np.pad(inside.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    row, start = np.nonzero(edge == 1)
    _, end = np.nonzero(edge == -1)
    first = np.searchsorted(row, np.arange(len(inside)))
    return first.astype(np.int64), start.astype(np.int64), end.astype(np.int64)


def program(book: Book, g: Goods, term: Mask) -> Program:
    """Write a book as blocks of columns.

    Parameters
    ----------
    g : its pools
    term : (bids,) which bids hold for their whole window
    """
    hours = book.hours
    curve, of_curve, size = profiles(book.demand[term], _services(book)[term])
    curve = np.vstack([np.ones((1, len(hours))), curve])
    lots, lot_of = _lots(g, book, hours)
    return Program(
        hours=hours,
        pools=len(g.is_sale),
        is_sale=g.is_sale,
        rate=g.class_rate,
        chip=g.pool_chip,
        factor=book.factor,
        curve=curve,
        lots=lots,
        lot_of=lot_of,
        takers=_takers(book, term, of_curve + 1, size, private=book.factor is not None),
    )


def _services(book: Book) -> I64:
    return book.bids["service"].rank("dense").to_numpy().astype(np.int64)


def _lots(g: Goods, book: Book, hours: F64) -> tuple[Columns, I64]:
    """Return the columns of supply, and the lot of each."""
    ask = book.lots["ask_micro"].to_numpy().astype(np.float64)
    most = g.usable.max(axis=1, initial=0).astype(np.float64)
    whole = np.flatnonzero((g.lot_mode == WHOLE) & (most > 0))
    first, start, end = runs(g.usable[whole] > 0)
    lengths = np.diff(np.append(first, len(start)))
    window = (g.usable[whole] > 0) @ hours

    free = np.flatnonzero(g.lot_mode == FLEXIBLE)
    i, t = np.nonzero(g.usable[free])
    steps = (
        pl.DataFrame(
            {
                "pool": g.lot_pool[free[i]],
                "t": t,
                "ask": ask[free[i]],
                "devices": g.usable[free[i], t],
            }
        )
        .group_by("pool", "t", "ask", maintain_order=True)
        .agg(pl.col("devices").sum())
    )
    pool, t = steps["pool"].to_numpy(), steps["t"].to_numpy()
    hourly, step_ask = steps["devices"].to_numpy().astype(np.float64), steps["ask"].to_numpy()

    sale = np.flatnonzero((g.lot_mode == SALE) & (most > 0))
    n_hourly, n_sale = len(t), len(sale)
    pieces = len(start)
    columns = Columns(
        block=np.arange(len(whole) + n_hourly + n_sale, dtype=np.int64),
        value=np.concatenate(
            [
                -ask[whole] * most[whole] * window,
                -step_ask * hourly * hours[t],
                -ask[sale] * most[sale],
            ]
        ),
        first=np.concatenate([first, pieces + np.arange(n_hourly + n_sale)]).astype(np.int64),
        # patterns are numbered by (pool, curve) later; supply uses the flat curve, so the pool stands for it here
        pattern=np.concatenate([np.repeat(g.lot_pool[whole], lengths), pool, g.lot_pool[sale]]).astype(
            np.int64
        ),
        start=np.concatenate([start, t, np.zeros(n_sale)]).astype(np.int64),
        end=np.concatenate([end, t + 1, np.ones(n_sale)]).astype(np.int64),
        scale=np.concatenate([-np.repeat(most[whole], lengths), -hourly, -most[sale]]),
    )
    lot_of = np.concatenate([whole, np.full(n_hourly, -1), sale]).astype(np.int64)
    return columns, lot_of


def _takers(book: Book, term: Mask, of_curve: I64, size: F64, *, private: bool) -> Takers:
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    wants: Mask = np.asarray((book.demand > 0).any(axis=1))
    held = np.flatnonzero(term)
    keep = wants[held]
    held, of_curve, size = held[keep], of_curve[keep], size[keep]
    first, start, end = runs(book.demand[held] > 0)
    work = book.demand[held] @ book.hours

    total = book.bids["total_mtok"].to_numpy()
    free = np.flatnonzero(~term & wants & ~np.isfinite(total))
    late = np.flatnonzero(~term & wants & np.isfinite(total))
    b, t = np.nonzero(book.demand[free] > 0)
    like = np.where(private, free[b], 0)
    key = pl.DataFrame(
        {
            "kind": book.bid_class[free[b]],
            "like": like,
            "t": t,
            "limit": book.bids["limit_micro"].to_numpy()[free[b]],
            "work": book.demand[free[b], t],
        }
    )
    hourly = key.group_by("kind", "like", "t", "limit", maintain_order=True).agg(pl.col("work").sum())
    t, hour_work = hourly["t"].to_numpy(), hourly["work"].to_numpy()
    hour_limit = hourly["limit"].to_numpy().astype(np.float64)
    n = hourly.height
    # a total by a deadline: a block of hours, each of which could do it all; the most per hour is seen to when placing
    d, u = np.nonzero(book.demand[late] > 0)
    m = len(d)

    block = _blocks(book, held)
    order = np.argsort(block, kind="stable")
    lengths = np.diff(np.append(first, len(start)))[order]
    runs_at = np.repeat(first[order] - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(start))
    held_first = (np.cumsum(lengths) - lengths).astype(np.int64)
    top = int(block.max(initial=-1)) + 1
    none = np.zeros(m, dtype=np.int64)
    return Takers(
        bid=np.concatenate([held[order], np.full(n + m, -1)]).astype(np.int64),
        block=np.concatenate([block[order], top + np.arange(n), top + n + d]).astype(np.int64),
        kind=np.concatenate(
            [book.bid_class[held[order]], hourly["kind"].to_numpy(), book.bid_class[late[d]]]
        ).astype(np.int64),
        curve=np.concatenate([of_curve[order], np.zeros(n, dtype=np.int64), none]),
        size=np.concatenate([size[order], hour_work, total[late[d]] / book.hours[u]]),
        limit=np.concatenate([limit[held[order]], hour_limit, limit[late[d]]]),
        value=np.concatenate(
            [
                (limit[held] * work)[order],
                hour_limit * hour_work * book.hours[t],
                limit[late[d]] * total[late[d]],
            ]
        ),
        first=np.concatenate([held_first, len(start) + np.arange(n + m)]).astype(np.int64),
        start=np.concatenate([start[runs_at], t, u]).astype(np.int64),
        end=np.concatenate([end[runs_at], t + 1, u + 1]).astype(np.int64),
        factor=np.concatenate([held[order], hourly["like"].to_numpy(), late[d]]).astype(np.int64),
    )


def _blocks(book: Book, held: I64) -> I64:
    """Return the block of each term bid: its exclusive group's, or its own."""
    group = book.bids["group"].gather(held)
    names = pl.Series([g or f"\0{i}" for i, g in enumerate(group.to_list())], dtype=pl.String)
    return names.rank("dense").to_numpy().astype(np.int64) - 1
