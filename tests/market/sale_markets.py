"""Small markets that mix leases, windows and sales under every rule, and the exact optimum of one by SciPy's `milp`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, sparse

from entrepot.market.instances import Shape, instance
from entrepot.market.records import Book

__all__ = ["exact", "mixed", "mixed_books"]

F64: TypeAlias = NDArray[np.float64]

_SHAPE = Shape(
    orders=14, chips=2, sites=1, services=2, buyers=2, periods=3, blocks=(2, 4), size_median=10.0, lots_share=0.5,
    legal_share=0.9, whole_share=0.2, sale_share=0.4, all_or_none_share=0.2, one_pool_share=0.3, min_share_share=0.2,
    min_fill_share=0.3, lot_all_or_none_share=0.1, group_share=0.3,
)  # fmt: skip


def mixed(shape: Shape, seed: int, *, long: float = 0.3, shared: float = 0.3) -> Book:
    """Return a book with leases, whole-window lots, sales, terms, totals, groups of lots, licences and shared nodes."""
    book = instance(shape, seed)
    rng = np.random.default_rng([seed, 7])
    bids, lots = book.bids.height, book.lots.height
    kind = rng.random(bids)
    term, total = kind < long / 2, (kind >= long / 2) & (kind < long)
    demand = book.demand.copy()
    for b in range(bids):  # windows
        first = int(rng.integers(book.periods.height))
        last = first + int(rng.integers(book.periods.height - first)) + 1
        if rng.random() < 0.6:
            demand[b, :first], demand[b, last:] = 0.0, 0.0
    hours = np.where(rng.random(book.periods.height) < 0.3, 2.0, 1.0)
    sums = np.where(total, (demand @ hours) * rng.uniform(0.3, 1.0, bids), np.inf)
    group = [""] * lots
    for i in range(0, lots - 1, 2):
        if rng.random() < 0.2:
            group[i] = group[i + 1] = f"one of {i}"
    block = book.lots["block"].to_numpy()
    return replace(
        book,
        periods=book.periods.with_columns(hours=pl.Series(hours)),
        bids=book.bids.with_columns(term=pl.Series(term), total_mtok=pl.Series(sums)),
        lots=book.lots.with_columns(
            slice=pl.Series(np.where(rng.random(lots) < shared, 1, block)),
            group=pl.Series(group),
            waits_for=pl.Series(np.where(rng.random(lots) < 0.1, "L-1", "")),
        ),
        demand=demand,
        granted=("L-1",) if rng.random() < 0.5 else (),
    )


def sells(book: Book) -> bool:
    """Say whether a lot for sale is there."""
    there = (book.capacity >= book.lots["block"].to_numpy()[:, None]).any(axis=1) & ~book.waiting
    return bool(((book.lots["kind"] == "sale").to_numpy() & there).any())


@st.composite
def mixed_books(draw: st.DrawFn) -> Book:
    """Draw a small market that mixes everything, devices for sale among it."""
    shape = replace(
        _SHAPE,
        orders=draw(st.sampled_from([6, 10, 14, 24])),
        periods=draw(st.sampled_from([1, 2, 3])),
        scarcity=draw(st.sampled_from([0.5, 1.25, 3.0])),
        private_sigma=draw(st.sampled_from([0.0, 0.0, 0.2])),
        sale_share=draw(st.sampled_from([0.3, 0.6, 1.0])),
    )
    book = mixed(shape, draw(st.integers(0, 10_000)), long=draw(st.sampled_from([0.0, 0.4])))
    assume(sells(book))
    return book


@dataclass
class _Rows:
    """Named columns, rows of (column, value) pairs at most a number."""

    cost: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    rows: list[tuple[list[tuple[int, float]], float]] = field(default_factory=list)

    def new(self, cost: float = 0.0, most: float = 1.0, *, whole: bool = True) -> int:
        self.cost.append(cost)
        self.most.append(most)
        self.whole.append(int(whole))
        return len(self.cost) - 1

    def le(self, terms: list[tuple[int, float]], right: float = 0.0) -> None:
        self.rows.append((terms, right))

    def solve(self, seconds: float) -> tuple[float, float]:
        entries = [(r, c, v) for r, (terms, _) in enumerate(self.rows) for c, v in terms]
        r, c, v = zip(*entries, strict=True)
        scale = max(abs(x) for x in self.cost) or 1.0
        found = optimize.milp(
            np.array(self.cost) / scale,
            constraints=optimize.LinearConstraint(
                sparse.csr_array((v, (r, c)), shape=(len(self.rows), len(self.cost))),
                ub=np.array([right for _, right in self.rows]),
            ),
            bounds=optimize.Bounds(0, np.array(self.most)),
            integrality=np.array(self.whole),
            # with its presolve the solver calls some of these optimal at a value that a feasible point exceeds
            options={"mip_rel_gap": 1e-9, "time_limit": seconds, "presolve": False},
        )
        assert found.x is not None, "the allocation breaks a rule"
        return float(-found.fun * scale), float(-found.mip_dual_bound * scale)


def exact(  # noqa: PLR0915 - one row after the other
    book: Book, *, seconds: float = 10.0, fixed: pl.DataFrame | None = None
) -> tuple[float, float]:
    """Return the welfare that an integer program reaches and the most that it proves possible, micro-units.

    With ``fixed``, an allocation as of a clearing, what it is worth: the program has then only to choose what lots let.

    One integer for the slices that a bid has of a lot in a period, or for good; nothing is pooled. A big number stands for each
    rule: on or off.
    """
    p, hours = _Rows(), book.hours
    chips = {name: j for j, name in enumerate(book.accelerators)}
    chip = [chips[a] for a in book.lots["accelerator"].to_list()]
    rate = book.rate[book.bid_class][:, book.lot_class]
    rate = rate if book.factor is None else rate * book.factor[:, chip]
    law = np.zeros(book.rate.shape)
    law[book.permits["bid_class"].to_numpy(), book.permits["lot_class"].to_numpy()] = book.permits[
        "permitted"
    ].to_numpy()
    capacity = np.where(book.waiting[:, None], 0, book.capacity)
    lots = list(book.lots.iter_rows(named=True))
    usable = [_usable(lot, capacity[i]) for i, lot in enumerate(lots)]
    # a good: what is alike in everything that the orders can tell apart
    good = [
        (
            lot["accelerator"], lot["site"], lot["kind"], lot["provenance"], tuple(law[:, book.lot_class[i]]),
            tuple(book.rate[:, book.lot_class[i]]),
            (int(np.argmax(usable[i] > 0)), lot["residual_micro"]) if lot["kind"] == "sale" else (),
        )
        for i, lot in enumerate(lots)
    ]  # fmt: skip
    has_now = {} if fixed is None else {(b, i, -1 if t is None else t): n for i, b, t, n in fixed.iter_rows()}
    gives: dict[tuple[int, int], list[tuple[int, float]]] = {}
    exclusive: dict[str, list[tuple[int, float]]] = {}
    for i, lot in enumerate(lots):
        sale, there = lot["kind"] == "sale", np.flatnonzero(usable[i] > 0)
        if not len(there):
            continue
        used = p.new()
        if lot["group"]:
            exclusive.setdefault(f"lots {lot['group']}", []).append((used, 1.0))
        for t in [-1] if sale else there[:1].tolist() if lot["whole"] else there.tolist():
            most = int(usable[i][max(t, int(there[0]))]) // lot["block"]
            time = 1.0 if sale else hours[there].sum() if lot["whole"] else hours[t]
            y, on = p.new(lot["ask_micro"] * time * lot["block"], most), p.new()
            p.le([(y, 1.0), (on, -most)])
            p.le([(on, -(-min(lot["min_fill"], most * lot["block"]) // lot["block"])), (y, -1.0)])
            p.le([(on, 1.0), (used, -1.0)])
            for u in there.tolist() if lot["whole"] and not sale else [t]:
                gives[i, u] = [(y, -float(lot["block"]))]
    for b, bid in enumerate(book.bids.iter_rows(named=True)):
        window = np.flatnonzero(book.demand[b] > 0)
        if not len(window):
            continue
        any_ = p.new()
        if bid["group"]:
            exclusive.setdefault(f"bids {bid['group']}", []).append((any_, 1.0))
        has: dict[tuple[int, int], int] = {}
        for (i, u), terms in gives.items():
            if rate[b, i] > 0:
                size = lots[i]["slice"]
                most = int(usable[i].max()) // size
                has[i, u] = p.new(-float(lots[i]["residual_micro"]) * size if u < 0 else 0.0, most)
                terms.append((has[i, u], float(size)))
                p.le([(has[i, u], 1.0), (any_, -most)])
                if fixed is not None:
                    slices = has_now.pop((bid["bid"], lots[i]["lot"], u), 0) / size
                    p.le([(has[i, u], 1.0)], slices)
                    p.le([(has[i, u], -1.0)], -slices)
        _of_bid(
            p, book, b, bid, window, has, rate[b] * np.array([lot["slice"] for lot in lots]), usable, good
        )
    for (_, u), terms in gives.items():
        p.le(terms)
        if u < 0:  # what is sold is bought
            p.le([(c, -v) for c, v in terms])
    for members in exclusive.values():
        p.le(members, 1.0)
    assert not has_now, "an allocation that is no column of the program"
    return p.solve(seconds) if p.rows else (0.0, 0.0)


def _usable(lot: dict[str, Any], capacity: NDArray[np.int64]) -> NDArray[np.int64]:
    usable: NDArray[np.int64] = capacity - capacity % int(lot["block"])
    if lot["kind"] == "sale" or lot["whole"]:
        inside = capacity > 0
        usable = np.where(inside, usable[inside].min() if inside.any() else 0, 0).astype(np.int64)
    return usable


def _of_bid(p, book, b, bid, window, has, work, usable, good) -> None:  # type: ignore[no-untyped-def]
    """Add the rules of one bid: what its slices do, by period, for a term or in total."""
    hours, demand, limit = book.hours, book.demand[b], bid["limit_micro"]
    goods = list(dict.fromkeys(good[i] for i, _ in has))

    def single(keys: list[tuple[int, int]], right: float = 1.0) -> None:
        of = {g: p.new() for g in goods}
        for key in keys:
            p.le([(has[key], 1.0), (of[good[key[0]]], -p.most[has[key]])])
        p.le([(c, 1.0) for c in of.values()], right)

    if bid["term"]:
        shares = []
        for g in goods:
            w = p.new(-limit * float(demand @ hours), 1.0, whole=False)
            shares.append((w, 1.0))
            for t in window.tolist():
                mine = [(i, u) for i, u in has if good[i] == g and (u == t or (u < 0 and usable[i][t] > 0))]
                p.le([(w, demand[t]), *((has[key], -work[key[0]]) for key in mine)])
        on = p.new()
        p.le([*shares, (on, -1.0)])
        p.le([(on, bid["min_share"]), *((w, -1.0) for w, _ in shares)])
        for key in has:
            p.le([(has[key], 1.0), (on, -p.most[has[key]])])
        if bid["one_pool"]:
            single(list(has))
        return
    if np.isfinite(bid["total_mtok"]):
        on, wanted, done = p.new(), min(bid["total_mtok"], float(demand @ hours)), []
        for t in window.tolist():
            z = p.new(-limit * hours[t], demand[t], whole=False)
            mine = [(i, u) for i, u in has if u == t or (u < 0 and usable[i][t] > 0)]
            p.le([(z, 1.0), *((has[key], -work[key[0]]) for key in mine)])
            done.append((z, hours[t]))
        p.le([*done, (on, -wanted)])
        p.le([(on, bid["min_share"] * wanted), *((z, -h) for z, h in done)])
        for key in has:
            p.le([(has[key], 1.0), (on, -p.most[has[key]])])
        if bid["one_pool"]:
            single(list(has))
        return
    bought = [key for key in has if key[1] < 0]
    if bid["one_pool"]:
        single(bought)
    for t in window.tolist():
        z, on = p.new(-limit * hours[t], demand[t], whole=False), p.new()
        leased = [key for key in has if key[1] == t]
        owned = [key for key in bought if usable[key[0]][t] > 0]
        p.le([(z, 1.0), (on, -demand[t])])
        p.le([(on, bid["min_share"] * demand[t]), (z, -1.0)])
        for key in leased:  # a lease that serves nothing is none
            p.le([(has[key], 1.0), (on, -p.most[has[key]])])
        own = p.new(0.0, demand[t], whole=False)
        p.le([(own, 1.0), *((has[key], -work[key[0]]) for key in owned)])
        p.le([(z, 1.0), (own, -1.0), *((has[key], -work[key[0]]) for key in leased)])
        if bid["one_pool"]:
            single(leased)
            leases = p.new()
            for key in leased:
                p.le([(has[key], 1.0), (leases, -p.most[has[key]])])
            p.le([(own, 1.0), (leases, demand[t])], demand[t])
