"""Small lease markets for tests, and the market as a textbook writes it: one variable per lot and per bid and pool."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, sparse

from entrepot.market.goods import SALE, WHOLE, goods
from entrepot.market.lease.instances import LeaseShape, lease_instance
from entrepot.market.records import Book

F64: TypeAlias = NDArray[np.float64]

SMALL = (
    LeaseShape(orders=24, periods=6, window_mean=3, chips=2, sites=2, services=2, buyers=2),
    LeaseShape(orders=24, periods=6, window_mean=3, chips=2, sites=2, services=2, buyers=2, blocks=(8,)),
    LeaseShape(orders=20, periods=5, window_mean=4, chips=2, sites=1, services=1, buyers=1, flexible_lots=0.5),
    LeaseShape(orders=20, periods=4, window_mean=2, chips=2, sites=1, services=2, buyers=1, flexible_bids=0.5),
    LeaseShape(orders=20, periods=6, window_mean=3, chips=3, sites=1, services=2, buyers=1, private=0.2),
    LeaseShape(
        orders=24, periods=6, window_mean=3, chips=2, sites=2, services=2, buyers=2,
        blocks=(2, 4), all_or_none=0.5, minimum_fill=0.3, all_or_none_lots=0.2, one_pool=0.3,
    ),
)  # fmt: skip


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Draw a small lease market of any shape."""
    shape = replace(draw(st.sampled_from(SMALL)), scarcity=draw(st.sampled_from([0.6, 1.25, 2.5])))
    return lease_instance(shape, draw(st.integers(0, 10_000)))


def textbook(book: Book, *, whole: bool = False) -> tuple[float, float]:  # noqa: PLR0915 - a model is one list of rows
    """Return the greatest welfare found and a bound on it, micro-units, of the divisible market.

    With ``whole``, under every rule in whole slices; the two may then differ where time is short.
    """
    g = goods(book)
    hours = book.hours
    pools = len(g.is_sale)
    cost: list[float] = []
    upper: list[float] = []
    kind: list[int] = []
    rows: dict[tuple[object, ...], dict[int, float]] = {}
    most: dict[tuple[object, ...], float] = {}

    def variable(c: float, top: float, integer: int = 0) -> int:
        cost.append(c)
        upper.append(top)
        kind.append(integer)
        return len(cost) - 1

    def enter(row: tuple[object, ...], column: int, value: float, right: float = 0.0) -> None:
        rows.setdefault(row, {})[column] = rows.get(row, {}).get(column, 0.0) + value
        most[row] = right

    ask, block = book.lots["ask_micro"].to_list(), book.lots["block"].to_list()
    least = book.lots["min_fill"].to_list()
    for i in range(book.lots.height):
        window = np.flatnonzero(g.usable[i] > 0)
        if not len(window) or g.lot_mode[i] == SALE:
            continue
        unit = block[i] if whole else 1
        groups = [window] if g.lot_mode[i] == WHOLE else [np.array([t]) for t in window]
        for group in groups:
            top = int(g.usable[i, group[0]])
            y = variable(ask[i] * unit * float(hours[group].sum()), top // unit, int(whole))
            for t in group:
                enter(("cell", int(g.lot_pool[i]), int(t)), y, -float(unit))
            if whole and least[i] > 0:
                z = variable(0.0, 1.0, 1)
                enter(("fill", i, int(group[0])), z, float(min(least[i], top)))
                enter(("fill", i, int(group[0])), y, -float(unit))
                enter(("top", i, int(group[0])), y, float(unit))
                enter(("top", i, int(group[0])), z, -float(top))
    slices = np.ones(pools, dtype=np.int64)
    np.lcm.at(slices, g.lot_pool, book.lots["slice"].to_numpy())
    limit = book.bids["limit_micro"].to_list()
    rules = book.bids.select("term", "min_share", "one_pool", "group").rows()
    for b, (term, share, one_pool, _) in enumerate(rules):
        window = np.flatnonzero(book.demand[b] > 0)
        chunks = [window] if term else [np.array([t]) for t in window]
        for chunk in chunks:
            served: list[int] = []
            work = float((book.demand[b, chunk] * hours[chunk]).sum())
            for k in range(pools):
                rate = g.class_rate[book.bid_class[b], k]
                if book.factor is not None:
                    rate *= book.factor[b, g.pool_chip[k]]
                if rate <= 0 or (g.offered[k, chunk] == 0).any() or g.is_sale[k]:
                    continue
                w = variable(-limit[b] * work, 1.0)
                served.append(w)
                enter(("share", b, int(chunk[0])), w, 1.0, 1.0)
                for t in chunk:
                    if whole:
                        n = variable(0.0, float(g.offered[k, t] // slices[k]), 1)
                        enter(("cell", k, int(t)), n, float(slices[k]))
                        enter(("does", b, k, int(t)), w, book.demand[b, t] / rate)
                        enter(("does", b, k, int(t)), n, -float(slices[k]))
                    else:
                        enter(("cell", k, int(t)), w, book.demand[b, t] / rate)
                if whole and one_pool:
                    u = variable(0.0, 1.0, 1)
                    enter(("uses", b, k, int(chunk[0])), w, 1.0)
                    enter(("uses", b, k, int(chunk[0])), u, -1.0)
                    enter(("one", b, int(chunk[0])), u, 1.0, 1.0)
            if whole and share > 0 and served:
                z = variable(0.0, 1.0, 1)
                for w in served:
                    enter(("at least", b, int(chunk[0])), w, -1.0)
                    enter(("or none", b, int(chunk[0])), w, 1.0)
                enter(("at least", b, int(chunk[0])), z, share)
                enter(("or none", b, int(chunk[0])), z, -1.0)
    if not cost:
        return 0.0, 0.0
    names = list(rows)
    r = [n for n, row in enumerate(names) for _ in rows[row]]
    c = [column for row in names for column in rows[row]]
    v = [value for row in names for value in rows[row].values()]
    matrix = sparse.csr_array((v, (r, c)), shape=(len(names), len(cost)))
    scale = max(1.0, float(np.abs(cost).max()))
    found = optimize.milp(
        np.array(cost) / scale,
        constraints=optimize.LinearConstraint(matrix, -np.inf, np.array([most[n] for n in names])),
        bounds=optimize.Bounds(0, np.array(upper)),
        integrality=np.array(kind),
        options={"time_limit": 4.0, "mip_rel_gap": 1e-9},
    )
    assert found.status in {0, 1}, found.message
    bound = float(-found.mip_dual_bound * scale) if whole else float(-found.fun * scale)
    return (float(-found.fun * scale) if found.x is not None else 0.0), bound
