"""How is a market cleared whose windows join the periods? The path from the book to prices and placed devices, on one page."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.found import Found
from entrepot.market.goods import FLEXIBLE, SALE, WHOLE, Goods
from entrepot.market.lease.exact import exact, is_small
from entrepot.market.lease.exchange import improved
from entrepot.market.lease.hourly import hand_out
from entrepot.market.lease.prices import Shares, find
from entrepot.market.lease.pricing import batches
from entrepot.market.lease.program import Program, program
from entrepot.market.lease.start import start
from entrepot.market.lease.whole import Desk, Mix, Whole, dive, fill, fit, idle, place
from entrepot.market.overlay import overlay
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.split import Placed
from entrepot.market.watch import Watch

__all__ = ["divisible", "solve_lease"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_TOLERANCE = 4e-4  # of the bound: about half is left after shortages are repaired
_SECONDS = 120.0
_WORTH = (0.02, 0.1, 0.3)  # of its ask: what a lot may miss and still be considered


def divisible(
    book: Book, g: Goods, watch: Watch | None = None, *, tolerance: float = _TOLERANCE
) -> tuple[Program, Shares]:
    """Return the prices and shares of the divisible market."""
    watch = watch or Watch()
    p = program(book, g, book.bids["term"].to_numpy())
    found, level = batches(p, g.offered), start(book, g)
    if is_small(p, found):
        done = exact(p, found, level, watch)
        if done is not None:
            return p, done
    return p, find(p, found, level, tolerance=tolerance, watch=watch, seconds=_SECONDS)


def solve_lease(book: Book, g: Goods, watch: Watch | None = None) -> Found:
    """Clear a book with orders that hold for their window.

    Parameters
    ----------
    g : its pools
    watch : how long it may take; whatever is best when time is up is returned
    """
    watch = watch or Watch()
    book, g = _single(book, g)
    p, found = divisible(book, g, watch)
    watch.tell("prices", None, found.bound)
    found = replace(found, price=_rounded(p, g, found.price) * p.hours)
    desk = Desk(book, g, p, found)
    demand = _hourly_need(desk)
    best = improved(desk, _best(desk, dive(desk), demand, watch), demand, watch)
    placed, committed = _rows(desk, best)
    lease = np.where((g.offered > 0) & ~g.is_sale[:, None], np.rint(desk.price), 0).astype(np.int64)
    sale = _least_asks(book, g)
    work = np.zeros((0, p.periods), dtype=np.int64)
    return Found(Prices(lease, sale, work), placed, committed=committed)


def _rounded(p: Program, g: Goods, price: F64) -> F64:
    """Return (pools, periods) prices per device-hour in whole micro-units; what is not offered has none."""
    whole = np.rint(price / p.hours)
    whole[p.is_sale] = np.rint(price[p.is_sale]) / p.hours
    return np.where((g.offered > 0) | p.is_sale[:, None], whole, 0.0)


def _least_asks(book: Book, g: Goods) -> I64:
    """Return (pools,) the cheapest ask of each sale pool: nobody buys here, and at that price there would be a seller."""
    ask = np.full(len(g.is_sale), np.iinfo(np.int64).max)
    lots = np.flatnonzero((g.lot_mode == SALE) & (g.usable > 0).any(axis=1))
    np.minimum.at(ask, g.lot_pool[lots], book.lots["ask_micro"].to_numpy()[lots])
    return np.where(ask == np.iinfo(np.int64).max, 0, ask)


def _single(book: Book, g: Goods) -> tuple[Book, Goods]:
    """Leave one lot of each exclusive group: the one that offers most device-hours for its ask."""
    group = book.lots["group"].to_list()
    if not any(group):
        return book, g
    hours = (g.usable * book.hours).sum(axis=1) / np.maximum(book.lots["ask_micro"].to_numpy(), 1)
    best: dict[str, int] = {}
    for i, name in enumerate(group):
        if name and (name not in best or hours[i] > hours[best[name]]):
            best[name] = i
    gone = np.array([bool(name) and best[name] != i for i, name in enumerate(group)])
    usable = np.where(gone[:, None], 0, g.usable)
    offered = np.zeros_like(g.offered)
    np.add.at(offered, g.lot_pool, usable)
    return book, replace(g, usable=usable, offered=offered)


def _hourly_need(desk: Desk) -> I64:
    """Return (pools, periods) devices that bids by the hour take in the divisible market."""
    p, found = desk.p, desk.found
    t = p.takers
    share = found.share[p.lots.count :]
    chosen = found.chosen
    rows = np.flatnonzero((t.bid[chosen.taker] < 0) & (share > 1e-9))
    taker, pool = chosen.taker[rows], chosen.pool[rows]
    need = np.zeros((p.pools, p.periods))
    at = t.start[t.first[taker]]
    np.add.at(need, (pool, at), share[rows] * t.size[taker] / desk.rate(taker, pool))
    return np.floor(need + 1e-6).astype(np.int64)


def _best(desk: Desk, mix: Mix, demand: I64, watch: Watch) -> Whole:
    """Try how far lots may be from the money, and return the placing of greatest welfare."""
    best = _attempt(desk, mix, _WORTH[0], demand)
    watch.tell("whole orders", best.welfare, desk.found.bound)
    for worth in _WORTH[1:]:
        if watch.left(1.0) < 1.0:
            break
        whole = _attempt(desk, mix, worth, demand)
        if whole.welfare > best.welfare:
            best = whole
        watch.tell("whole orders", best.welfare, desk.found.bound)
    return best


def _attempt(desk: Desk, mix: Mix, worth: float, demand: I64) -> Whole:
    fitted, devices, _ = fit(desk, mix, worth, demand)
    whole = place(desk, fitted, devices, demand)
    for more in (-0.05, 0.0, 0.05):
        whole = fill(desk, whole, more, demand)
    return whole


def _ranks(book: Book) -> tuple[I64, I64]:
    """Return (lots,), (bids,) distinct ranks by a hash of order and seed: how ties fall."""

    def rank(names: list[str]) -> I64:
        head = book.seed.encode() + b"\x00"
        salt = [hashlib.sha256(head + name.encode()).digest() for name in names]
        place = np.empty(len(salt), dtype=np.int64)
        place[sorted(range(len(salt)), key=salt.__getitem__)] = np.arange(len(salt))
        return place

    return rank(book.lots["lot"].to_list()), rank(book.bids["bid"].to_list())


def _rows(desk: Desk, whole: Whole) -> tuple[Placed, I64]:
    """Give placed devices to single lots, hand out what is left to bids by the hour; return rows and committed devices."""
    book, g, p = desk.book, desk.g, desk.p
    lot_rank, bid_rank = _ranks(book)
    c, t = np.nonzero(whole.devices)
    bid = p.takers.bid[whole.mix.taker[c]]
    pool, devices = whole.mix.pool[c], whole.devices[c, t]
    hourly = _hourly_rows(desk, whole, bid_rank)
    bid, pool, t, devices = (
        np.concatenate(pair) for pair in zip((bid, pool, t, devices), hourly, strict=True)
    )
    a = np.lexsort((bid_rank[bid], t, pool))

    supply = np.where((g.lot_mode == WHOLE)[:, None] & (g.usable > 0), whole.committed[:, None], 0)
    ask = book.lots["ask_micro"].to_numpy()
    free = (g.lot_mode == FLEXIBLE)[:, None] & (desk.price[g.lot_pool] >= ask[:, None] - 1e-9)
    supply = supply + np.where(free, g.usable, 0)
    i, u = np.nonzero(supply)
    slices = book.lots["slice"].to_numpy()
    b = np.lexsort((lot_rank[i], ask[i], g.lot_mode[i] == FLEXIBLE, -slices[i], u, g.lot_pool[i]))
    x, y, met = overlay(
        (pool * p.periods + t)[a], devices[a], (g.lot_pool[i] * p.periods + u)[b], supply[i, u][b]
    )
    rows = i[b][y], bid[a][x], t[a][x], np.rint(met).astype(np.int64)
    key = (rows[0] * len(bid_rank) + rows[1]) * p.periods + rows[2]
    distinct, back = np.unique(key, return_inverse=True)
    total = np.bincount(back.ravel(), rows[3], minlength=len(distinct)).astype(np.int64)
    rest, period = np.divmod(distinct, p.periods)
    lot, who = np.divmod(rest, len(bid_rank)) if len(bid_rank) else (rest, rest)
    return Placed(lot, who, period, total), np.where(g.lot_mode == WHOLE, whole.committed, 0)


def _hourly_rows(desk: Desk, whole: Whole, bid_rank: I64) -> tuple[I64, I64, I64, I64]:
    """Return (rows,) bid, pool, period, devices of bids by the hour."""
    book, g, p = desk.book, desk.g, desk.p
    free = np.flatnonzero(~book.bids["term"].to_numpy() & (book.demand > 0).any(axis=1))
    none = np.zeros(0, dtype=np.int64)
    if not len(free):
        return none, none, none, none
    free = _one_of_group(desk, free)
    spare = idle(desk, replace(whole, hourly=np.zeros_like(whole.hourly)))
    flexible = np.flatnonzero(g.lot_mode == FLEXIBLE)
    ask = desk.ask[flexible]
    good = desk.price[g.lot_pool[flexible]] >= ask[:, None]
    np.add.at(spare, g.lot_pool[flexible], np.where(good, g.usable[flexible], 0))
    limit = book.bids["limit_micro"].to_numpy()[free].astype(np.float64)
    rate = p.rate[book.bid_class[free]]
    if p.factor is not None:
        rate = rate * p.factor[np.ix_(free, p.chip)]
    rate = np.where(p.is_sale, 0.0, rate)
    left = book.bids["total_mtok"].to_numpy()[free].copy()
    one_pool = book.bids["one_pool"].to_numpy()[free]
    least = book.bids["min_share"].to_numpy()[free]
    rows: list[tuple[I64, I64, I64, I64]] = []
    for t in _order_of_periods(desk, free):
        wanted = np.minimum(book.demand[free, t], left / p.hours[t])
        before = spare[:, t].copy()
        bid, pool, devices = hand_out(
            wanted, limit, rate, desk.price[:, t], spare[:, t], desk.slice, bid_rank[free], one_pool
        )
        done = np.bincount(bid, devices * rate[bid, pool], minlength=len(free))
        by_period = np.isinf(left)
        keep = ~by_period | (done >= least * wanted * (1 - 1e-9))
        if not keep.all():
            kept = keep[bid]
            bid, pool, devices = bid[kept], pool[kept], devices[kept]
            spare[:, t] = before - np.bincount(pool, devices, minlength=p.pools).astype(np.int64)
        left = np.where(by_period, left, np.maximum(0.0, left - np.minimum(done, wanted) * p.hours[t]))
        rows.append((free[bid], pool, np.full(len(bid), t), devices))
    bid, pool, period, devices = (np.concatenate(column) for column in zip(*rows, strict=True))
    total = book.bids["total_mtok"].to_numpy()[free]
    limited = np.isfinite(total)
    rows_of = (bid, pool, period, devices)
    bid, pool, period, devices = _from_one_pool(
        rows_of, free, limited & one_pool, rate, p.hours, (left, total)
    )
    unmet = limited.copy()
    unmet[limited] = total[limited] - left[limited] < least[limited] * total[limited] * (1 - 1e-9)
    gone = np.zeros(book.bids.height, dtype=np.bool_)
    gone[free[unmet]] = True
    keep = ~gone[bid]
    return bid[keep], pool[keep], period[keep], devices[keep]


def _from_one_pool(
    rows: tuple[I64, I64, I64, I64], free: I64, single: Mask, rate: F64, hours: F64, totals: tuple[F64, F64]
) -> tuple[I64, I64, I64, I64]:
    """Leave bids that want a total from one pool the pool of which they have most; what is left to them, in place.

    Parameters
    ----------
    rows : bid, pool, period, devices
    free, single, rate : (free,) bids, whether they want a total from one pool, (free, pools)
    totals : (free,) what is left, what is wanted
    """
    bid, pool, period, devices = rows
    where = np.searchsorted(free, bid)
    mine = np.flatnonzero(single[where])
    if not len(mine):
        return rows
    by_pool = np.zeros(rate.shape)
    work = devices[mine] * rate[where[mine], pool[mine]] * hours[period[mine]]
    np.add.at(by_pool, (where[mine], pool[mine]), work)
    keep = np.ones(len(bid), dtype=np.bool_)
    keep[mine] = pool[mine] == by_pool[where[mine]].argmax(axis=1)
    left, total = totals
    left[single] = np.maximum(0.0, total[single] - by_pool[single].max(axis=1))
    return bid[keep], pool[keep], period[keep], devices[keep]


def _order_of_periods(desk: Desk, free: I64) -> list[int]:
    """Return the periods, cheapest first where bids want a total: they fill the cheapest first."""
    p = desk.p
    if not np.isfinite(desk.book.bids["total_mtok"].to_numpy()[free]).any():
        return list(range(p.periods))
    live = (desk.g.offered > 0) & ~p.is_sale[:, None]
    count = np.maximum(live.sum(axis=0), 1)
    mean = np.rint(np.where(live, desk.price, 0.0).sum(axis=0) / count)
    offered = desk.g.usable * (desk.g.lot_mode != SALE)[:, None]
    asked = desk.ask @ offered / np.maximum(offered.sum(axis=0), 1)
    return [int(t) for t in np.lexsort((asked, mean))]


def _one_of_group(desk: Desk, free: I64) -> I64:
    """Return bids by the hour with one left of each exclusive group: the one with most value."""
    group = desk.book.bids["group"].gather(free).to_list()
    if not any(group):
        return free
    worth = desk.book.bids["limit_micro"].to_numpy()[free] * (desk.book.demand[free] @ desk.p.hours)
    best: dict[str, int] = {}
    for i, name in enumerate(group):
        if name and (name not in best or worth[i] > worth[best[name]]):
            best[name] = i
    return free[[not name or best[name] == i for i, name in enumerate(group)]]
