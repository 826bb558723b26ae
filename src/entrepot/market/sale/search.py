"""What is the best that a small market can do under all its rules, at these prices? One mixed-integer program, by HiGHS.

Lots of a pool that share a slice are one *size*; bids take whole slices of sizes, lots give whole blocks::

    lots     y blocks, open or not: at least the least quantity, and none of a lot whose exclusive mate is open
    bids     x slices leased of a size in a period, n slices bought; work z <= what they do; served or not in a period, where a
             least share or one pool is asked; w the shares of a bid for a term; one of an exclusive group
    sizes    what bids have <= what lots let, in each period; what bids buy = what lots sell
    no loss  a bid pays no more than its work is worth, by the hour; over the horizon where it may buy or holds for its window

What is found is placed as it is; it is kept if it is worth more than what was there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, SALE, Goods
from entrepot.market.linear import Columns, search
from entrepot.market.outcome import rates_of
from entrepot.market.overlay import overlay
from entrepot.market.placing import Ties
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.split import FOR_GOOD, Placed
from entrepot.market.terms import long_bids

__all__ = ["searched"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_COLUMNS_MAX = 6_000
_FEW_S = 0.05
_ROOM = 1e-7  # of a limit: what rounding may cost a bid that breaks even


@dataclass(slots=True)
class _Program:
    """Columns and rows ``terms @ x <= right``."""

    c: Columns = field(default_factory=Columns)
    right: list[float] = field(default_factory=list)

    def column(self, cost: float, upper: float, *, whole: bool = False) -> int:
        """Add a column."""
        return int(self.c.add(np.array([cost]), np.array([upper]), whole=whole)[0])

    def at_most(self, terms: list[tuple[int, float]], right: float = 0.0) -> None:
        """Add a row."""
        if terms:
            columns, values = zip(*terms, strict=True)
            row = np.full(len(columns), len(self.right), dtype=np.int64)
            self.c.enter(row, np.array(columns, dtype=np.int64), np.array(values, dtype=np.float64))
            self.right.append(right)


@dataclass(slots=True)
class _Market:
    """What the program is about, and where its columns are."""

    book: Book
    goods: Goods
    prices: Prices
    p: _Program
    size: I64  # (lots,)
    sizes: I64  # (sizes, 2) pool, slice
    lots: dict[int, int | dict[int, int]] = field(default_factory=dict)
    takes: dict[tuple[int, int, int], int] = field(default_factory=dict)  # (bid, size, period) -> column
    sums: dict[tuple[int, int], list[tuple[int, float]]] = field(default_factory=dict)  # (size, period)


def searched(book: Book, goods: Goods, prices: Prices, seconds: float, ties: Ties) -> Placed | None:
    """Search a small market; None where it is too large, time is up, or nothing is found.

    Parameters
    ----------
    prices : at which nobody may lose
    seconds : of the search
    """
    if seconds < _FEW_S or not len(goods.lot_pool) or _columns(book, goods) > _COLUMNS_MAX:
        return None
    slices = book.lots["slice"].to_numpy()
    sizes, size = np.unique(np.stack([goods.lot_pool, slices], axis=1), axis=0, return_inverse=True)
    m = _Market(book, goods, prices, _Program(), size.ravel().astype(np.int64), sizes)
    _lots(m)
    _bids(m)
    _balance(m)
    if not m.takes:
        return None
    x, _ = search(m.p.c, np.array(m.p.right), None, seconds=seconds, gap=1e-6, nodes=20_000)
    return None if x is None else _placed(m, x, ties)


def _columns(book: Book, goods: Goods) -> int:
    """Return about how many columns the program has."""
    live = (goods.offered > 0).astype(np.float64)
    live[goods.is_sale] = live[goods.is_sale].max(axis=1, initial=0.0)[:, None] / max(1, live.shape[1])
    edges = (goods.class_rate[book.bid_class] > 0).astype(np.float64) @ live
    return int((edges * (book.demand > 0)).sum() + (goods.usable > 0).sum())


def _lots(m: _Market) -> None:
    """Add what lots let or sell."""
    book, g, p = m.book, m.goods, m.p
    groups: dict[str, list[tuple[int, float]]] = {}
    for i, lot in enumerate(book.lots.iter_rows(named=True)):
        periods = np.flatnonzero(g.usable[i] > 0)
        if not len(periods):
            continue
        s, block, ask = int(m.size[i]), int(lot["block"]), float(lot["ask_micro"])
        of_group = p.column(0.0, 1.0, whole=True) if lot["group"] else -1
        if of_group >= 0:
            groups.setdefault(lot["group"], []).append((of_group, 1.0))
        constant = g.lot_mode[i] != FLEXIBLE
        for_good = g.lot_mode[i] == SALE
        columns: dict[int, int] = {}
        for t in periods[:1] if constant else periods:
            worth = ask if for_good else ask * float(book.hours[periods if constant else [t]].sum())
            most = int(g.usable[i, t]) // block
            y = p.column(worth * block, most, whole=True)
            columns[int(t)] = y
            least = -(-min(int(lot["min_fill"]), int(g.usable[i, t])) // block)
            if least > 1:
                on = p.column(0.0, 1.0, whole=True)
                p.at_most([(y, 1.0), (on, -float(most))])
                p.at_most([(on, float(least)), (y, -1.0)])
            if of_group >= 0:
                p.at_most([(y, 1.0), (of_group, -float(most))])
            for u in [FOR_GOOD] if for_good else (periods.tolist() if constant else [int(t)]):
                m.sums.setdefault((s, u), []).append((y, -float(block)))
        m.lots[i] = next(iter(columns.values())) if constant else columns
    for members in groups.values():
        p.at_most(members, 1.0)


def _bids(m: _Market) -> None:
    """Add what bids take, by their kind."""
    book, p = m.book, m.p
    term, total = long_bids(book)
    groups: dict[str, list[tuple[int, float]]] = {}
    first = np.unique(m.size, return_index=True)[1]
    for b, bid in enumerate(book.bids.iter_rows(named=True)):
        if not (book.demand[b] > 0).any():
            continue
        rate = rates_of(book, first, np.full(len(first), b))
        of_group = p.column(0.0, 1.0, whole=True) if bid["group"] else -1
        if of_group >= 0:
            groups.setdefault(bid["group"], []).append((of_group, 1.0))
        (_term if term[b] else _total if total[b] else _by_period)(m, b, rate, of_group)
    for members in groups.values():
        p.at_most(members, 1.0)


def _take(m: _Market, b: int, s: int, t: int, most: float) -> int:
    """Add slices of a size for a bid in a period, or for good; return the column."""
    pool, size = (int(v) for v in m.sizes[s])
    offered = int(m.goods.offered[pool].max() if t == FOR_GOOD else m.goods.offered[pool, t])
    upper = min(offered // size, int(np.ceil(most / size - 1e-9)))
    residual = float(m.goods.residual[pool]) if t == FOR_GOOD else 0.0
    x = m.p.column(-residual * size, upper, whole=True)
    m.takes[b, s, t] = x
    m.sums.setdefault((s, t), []).append((x, float(size)))
    return x


def _price(m: _Market, s: int, t: int) -> float:
    """Return what a slice costs: in a period, or for good less its worth at the end."""
    pool, size = (int(v) for v in m.sizes[s])
    if t == FOR_GOOD:
        return float(m.prices.sale[pool] - m.goods.residual[pool]) * size
    return float(m.prices.lease[pool, t]) * size * float(m.book.hours[t])


def _edges(m: _Market, rate: F64) -> tuple[list[int], list[int]]:
    """Return sizes to lease and sizes to buy that a bid may use."""
    there = [s for s in range(len(rate)) if rate[s] > 0 and (m.goods.offered[m.sizes[s, 0]] > 0).any()]
    sale = m.goods.is_sale[m.sizes[:, 0]]
    return [s for s in there if not sale[s]], [s for s in there if sale[s]]


def _by_period(m: _Market, b: int, rate: F64, of_group: int) -> None:  # noqa: PLR0915 - one row after the other
    """Add a bid that wants work by period, and may own devices."""
    book, p = m.book, m.p
    leases, sales = _edges(m, rate)
    demand, share, single = book.demand[b], float(book.bids["min_share"][b]), bool(book.bids["one_pool"][b])
    limit = float(book.bids["limit_micro"][b])
    buy = {s: _take(m, b, s, FOR_GOOD, demand.max() / rate[s] + m.sizes[s, 1]) for s in sales}
    one_sale: dict[int, int] = {}
    paid_all: list[tuple[int, float]] = [(x, _price(m, s, FOR_GOOD)) for s, x in buy.items()]
    gained_all: list[tuple[int, float]] = []
    for s, x in buy.items():
        upper = p.c.upper[x][0]
        if of_group >= 0:
            p.at_most([(x, 1.0), (of_group, -upper)])
        if single:
            q = int(m.sizes[s, 0])
            if q not in one_sale:
                one_sale[q] = p.column(0.0, 1.0, whole=True)
            p.at_most([(x, 1.0), (one_sale[q], -upper)])
    p.at_most([(z, 1.0) for z in one_sale.values()], 1.0)
    for t in np.flatnonzero(demand > 0).tolist():
        most, h = float(demand[t]), float(book.hours[t])
        z = p.column(-limit * h, most)
        work, paid, uses = [(z, 1.0)], [], []
        chosen: dict[int, int] = {}
        served = p.column(0.0, 1.0, whole=True) if share > 0 or single else -1
        leased = p.column(0.0, 1.0, whole=True) if single and buy else -1
        for s in leases:
            if m.goods.offered[m.sizes[s, 0], t] <= 0:
                continue
            x = _take(m, b, s, t, most / rate[s])
            upper = p.c.upper[x][0]
            work.append((x, -rate[s] * float(m.sizes[s, 1])))
            paid.append((x, _price(m, s, t)))
            uses.append((x, upper))
            if single:
                q = int(m.sizes[s, 0])
                if q not in chosen:
                    chosen[q] = p.column(0.0, 1.0, whole=True)
                p.at_most([(x, 1.0), (chosen[q], -upper)])
            if of_group >= 0:
                p.at_most([(x, 1.0), (of_group, -upper)])
        owned = [
            (x, -rate[s] * float(m.sizes[s, 1]))
            for s, x in buy.items()
            if m.goods.offered[m.sizes[s, 0], t] > 0
        ]
        if leased >= 0:  # either leases work, or what is owned
            use = p.column(0.0, most)
            p.at_most([(use, 1.0), *owned])
            p.at_most([(use, 1.0), (leased, most)], most)
            p.at_most([*((q, 1.0) for q in chosen.values()), (leased, -1.0)])
            p.at_most([*work, (use, -1.0)])
        else:
            p.at_most([(q, 1.0) for q in chosen.values()], 1.0)
            p.at_most([*work, *owned])
        if served >= 0:
            p.at_most([(z, 1.0), (served, -most)])
            p.at_most([(served, share * most), (z, -1.0)])
            for x, upper in uses:
                p.at_most([(x, 1.0), (served, -upper)])
        if sales:
            paid_all += paid
            gained_all.append((z, -limit * h))
        else:
            p.at_most([*paid, (z, -limit * h * (1 + _ROOM))])
    if sales:
        p.at_most([*paid_all, *((z, v * (1 + _ROOM)) for z, v in gained_all)])


def _total(m: _Market, b: int, rate: F64, of_group: int) -> None:
    """Add a bid that wants work in total by a deadline."""
    book, p = m.book, m.p
    leases, sales = _edges(m, rate)
    demand, share, single = book.demand[b], float(book.bids["min_share"][b]), bool(book.bids["one_pool"][b])
    limit = float(book.bids["limit_micro"][b])
    wanted = min(float(book.bids["total_mtok"][b]), float(demand @ book.hours))
    on = p.column(0.0, 1.0, whole=True)
    if of_group >= 0:
        p.at_most([(on, 1.0), (of_group, -1.0)])
    chosen: dict[int, int] = {}
    bounded: list[tuple[int, int]] = []
    buy = {s: _take(m, b, s, FOR_GOOD, demand.max() / rate[s]) for s in sales}
    bounded += list(buy.items())
    done: list[tuple[int, float]] = []
    paid = [(x, _price(m, s, FOR_GOOD)) for s, x in buy.items()]
    for t in np.flatnonzero(demand > 0).tolist():
        z = p.column(-limit * float(book.hours[t]), float(demand[t]))
        work = [(z, 1.0)]
        for s in leases:
            if m.goods.offered[m.sizes[s, 0], t] > 0:
                x = _take(m, b, s, t, float(demand[t]) / rate[s])
                work.append((x, -rate[s] * float(m.sizes[s, 1])))
                paid.append((x, _price(m, s, t)))
                bounded.append((s, x))
        work += [
            (x, -rate[s] * float(m.sizes[s, 1]))
            for s, x in buy.items()
            if m.goods.offered[m.sizes[s, 0], t] > 0
        ]
        p.at_most(work)
        done.append((z, float(book.hours[t])))
    for s, x in bounded:
        upper = p.c.upper[x][0]
        p.at_most([(x, 1.0), (on, -upper)])
        if single:
            q = int(m.sizes[s, 0])
            if q not in chosen:
                chosen[q] = p.column(0.0, 1.0, whole=True)
            p.at_most([(x, 1.0), (chosen[q], -upper)])
    p.at_most([(q, 1.0) for q in chosen.values()], 1.0)
    p.at_most([*done, (on, -wanted)])
    p.at_most([(on, share * wanted), *((z, -h) for z, h in done)])
    p.at_most([*paid, *((z, -limit * h * (1 + _ROOM)) for z, h in done)])


def _term(m: _Market, b: int, rate: F64, of_group: int) -> None:
    """Add a bid that wants one mix through its window."""
    book, p = m.book, m.p
    leases, sales = _edges(m, rate)
    demand, share, single = book.demand[b], float(book.bids["min_share"][b]), bool(book.bids["one_pool"][b])
    worth = float(book.bids["limit_micro"][b]) * float(demand @ book.hours)
    window = np.flatnonzero(demand > 0)
    on = p.column(0.0, 1.0, whole=True)
    if of_group >= 0:
        p.at_most([(on, 1.0), (of_group, -1.0)])
    shares: list[int] = []
    paid: list[tuple[int, float]] = []
    chosen: list[int] = []
    for q in dict.fromkeys(int(m.sizes[s, 0]) for s in [*leases, *sales]):
        if (m.goods.offered[q, window] <= 0).any():
            continue
        w = p.column(-worth, 1.0)
        shares.append(w)
        mine = [s for s in [*leases, *sales] if int(m.sizes[s, 0]) == q]
        one = p.column(0.0, 1.0, whole=True)
        chosen.append(one)
        p.at_most([(w, 1.0), (one, -1.0)])
        p.at_most([(one, 1.0), (on, -1.0)])
        if m.goods.is_sale[q]:
            columns = {FOR_GOOD: [(s, _take(m, b, s, FOR_GOOD, demand.max() / rate[s])) for s in mine]}
        else:
            columns = {
                t: [(s, _take(m, b, s, t, demand[t] / rate[s])) for s in mine] for t in window.tolist()
            }
        for t, taken in columns.items():
            most = float(demand.max() if t == FOR_GOOD else demand[t])
            p.at_most([(w, most), *((x, -rate[s] * float(m.sizes[s, 1])) for s, x in taken)])
            for s, x in taken:
                p.at_most([(x, 1.0), (one, -p.c.upper[x][0])])
                paid.append((x, _price(m, s, t)))
    p.at_most([(w, 1.0) for w in shares] + [(on, -1.0)])
    p.at_most([(on, share), *((w, -1.0) for w in shares)])
    if single:
        p.at_most([(one, 1.0) for one in chosen], 1.0)
    p.at_most([*paid, *((w, -worth * (1 + _ROOM)) for w in shares)])


def _balance(m: _Market) -> None:
    """Let bids have what lots let at most, and buy what lots sell."""
    for (_, t), terms in m.sums.items():
        m.p.at_most(terms)
        if t == FOR_GOOD:
            m.p.at_most([(column, -value) for column, value in terms])


def _placed(m: _Market, x: F64, ties: Ties) -> Placed:
    """Give bids' slices to single lots: cheapest lots first."""
    book, g = m.book, m.goods
    if not m.takes:
        none = np.zeros(0, dtype=np.int64)
        return Placed(none, none, none, none)
    keys = np.array(list(m.takes), dtype=np.int64)
    slices = np.rint(x[np.array(list(m.takes.values()), dtype=np.int64)]).astype(np.int64)
    keys, slices = keys[slices > 0], slices[slices > 0]
    devices = slices * m.sizes[keys[:, 1], 1]
    rows: list[tuple[int, int, int]] = []
    for number, columns in m.lots.items():
        block = int(book.lots["block"][number])
        periods = [FOR_GOOD] if g.lot_mode[number] == SALE else np.flatnonzero(g.usable[number] > 0).tolist()
        for t in periods:
            y = columns if isinstance(columns, int) else columns[t]
            devices_given = round(float(x[y])) * block
            if devices_given:
                rows.append((number, t, devices_given))
    from_lots = np.array(rows, dtype=np.int64).reshape(-1, 3)
    lot, at, given = from_lots[:, 0], from_lots[:, 1], from_lots[:, 2]
    width = book.demand.shape[1] + 1
    ask = book.lots["ask_micro"].to_numpy()
    a = np.lexsort((ties.bid[keys[:, 0]], keys[:, 2], keys[:, 1]))
    c = np.lexsort((ties.lot[lot], ask[lot], at, m.size[lot]))
    mine, theirs, met = overlay(
        (keys[:, 1] * width + keys[:, 2] + 1)[a], devices[a], (m.size[lot] * width + at + 1)[c], given[c]
    )
    bid, period, of = keys[a[mine], 0], keys[a[mine], 2], lot[c[theirs]]
    order = np.lexsort((period, bid, of))
    return Placed(of[order], bid[order], period[order], np.rint(met[order]).astype(np.int64))
