"""Order books for tests, and the market as a textbook writes it: one variable per lot, bid and period, solved by SciPy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import polars as pl
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, sparse

from entrepot.market.instances import Shape, instance
from entrepot.market.records import MICRO, Book

F64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Ask:
    """A lot in a book written by hand; ``seller`` and ``good`` default to names of its own."""

    lot: str
    devices: int | tuple[int, ...]
    price: float
    block: int = 1
    kind: str = "lease"
    whole: bool = False
    residual: float = 0.0
    good: str = "chip"


@dataclass(frozen=True)
class Want:
    """A bid in a book written by hand; ``rates`` by good, absent means no permit."""

    bid: str
    work: float | tuple[float, ...]
    limit: float
    rates: tuple[tuple[str, float], ...] = (("chip", 1.0),)


def by_hand(
    asks: list[Ask], wants: list[Want], *, hours: tuple[float, ...] = (1.0,), minor_digits: int = 2
) -> Book:
    """Return a book of a few orders; every lot class is a (good, kind), every bid its own class."""
    periods = len(hours)
    kinds = sorted({(a.good, a.kind) for a in asks})
    rate = np.array([[dict(w.rates).get(good, 0.0) for good, _ in kinds] for w in wants]).reshape(
        len(wants), len(kinds)
    )

    def row(value: float | tuple[float, ...]) -> tuple[float, ...]:
        return value if isinstance(value, tuple) else (value,) * periods

    pairs = [(k, b) for b in range(len(wants)) for k in range(len(kinds))]
    ok = [bool(rate[b, k] > 0) for k, b in pairs]
    return Book(
        currency="CNY",
        seed="by hand",
        periods=pl.DataFrame(
            {
                "period": np.arange(periods),
                "label": [f"hour {t}" for t in range(periods)],
                "step": ["day"] * periods,
                "hour": np.arange(periods),
                "hours": np.array(hours, dtype=np.float64),
            }
        ),
        lots=pl.DataFrame(
            {
                "lot": [a.lot for a in asks],
                "seller": [f"seller of {a.lot}" for a in asks],
                "accelerator": [a.good for a in asks],
                "site": ["here" for _ in asks],
                "kind": [a.kind for a in asks],
                "provenance": ["made here" for _ in asks],
                "block": [a.block for a in asks],
                "ask_micro": [round(a.price * MICRO) for a in asks],
                "residual_micro": [round(a.residual * MICRO) for a in asks],
                "whole": [a.whole or a.kind == "sale" for a in asks],
            },
            schema={
                **dict.fromkeys(("lot", "seller", "accelerator", "site", "kind", "provenance"), pl.String),
                **dict.fromkeys(("block", "ask_micro", "residual_micro"), pl.Int64),
                "whole": pl.Boolean,
            },
        ),
        capacity=np.array([row(a.devices) for a in asks], dtype=np.int64).reshape(len(asks), periods),
        bids=pl.DataFrame(
            {
                "bid": [w.bid for w in wants],
                "buyer": [f"buyer of {w.bid}" for w in wants],
                "service": [f"service of {w.bid}" for w in wants],
                "limit_micro": [round(w.limit * MICRO) for w in wants],
            },
            schema={**dict.fromkeys(("bid", "buyer", "service"), pl.String), "limit_micro": pl.Int64},
        ),
        demand=np.array([row(w.work) for w in wants], dtype=np.float64).reshape(len(wants), periods),
        lot_class=np.array([kinds.index((a.good, a.kind)) for a in asks], dtype=np.int64),
        bid_class=np.arange(len(wants), dtype=np.int64),
        rate=rate,
        permits=pl.DataFrame(
            {
                "lot_class": [k for k, _ in pairs],
                "bid_class": [b for _, b in pairs],
                "permitted": ok,
                "outcome": ["allowed" if o else "refused" for o in ok],
                "citation": ["" for _ in ok],
                "reason": ["nothing against it" if o else "a rule against it" for o in ok],
            },
            schema={
                **dict.fromkeys(("lot_class", "bid_class"), pl.Int64),
                "permitted": pl.Boolean,
                **dict.fromkeys(("outcome", "citation", "reason"), pl.String),
            },
        ),
        minor_digits=minor_digits,
    )


SMALL = (
    Shape(orders=30, chips=3, sites=2, services=3, buyers=2, size_median=20),
    Shape(orders=30, chips=3, sites=2, services=3, buyers=2, size_median=20, ticks=4),
    Shape(orders=24, chips=2, sites=2, services=2, buyers=2, periods=4, blocks=(8,), size_median=40),
    Shape(orders=24, chips=2, sites=2, services=2, buyers=2, periods=4, blocks=(2, 4), scarcity=2.5, ticks=5),
    Shape(orders=24, chips=2, sites=2, services=2, buyers=2, periods=6, blocks=(1, 8), whole_share=0.6),
    Shape(
        orders=24,
        chips=2,
        sites=2,
        services=2,
        buyers=2,
        periods=6,
        blocks=(4,),
        whole_share=0.3,
        sale_share=0.4,
    ),
    Shape(
        orders=20,
        chips=3,
        sites=1,
        services=3,
        buyers=1,
        periods=4,
        sale_share=0.5,
        scarcity=0.6,
        legal_share=1.0,
    ),
    Shape(orders=12, chips=1, sites=1, services=1, buyers=1, periods=2, legal_share=1.0, blocks=(8,)),
)


@st.composite
def books(draw: st.DrawFn) -> Book:
    """Draw a small synthetic market of any shape."""
    shape = draw(st.sampled_from(SMALL))
    shape = replace(shape, scarcity=draw(st.sampled_from([0.5, 1.0, 1.25, 3.0])))
    return instance(shape, draw(st.integers(0, 10_000)))


def textbook(book: Book, *, whole_blocks: bool = False) -> float:
    """Return the greatest welfare, micro-units, of the divisible market or of the market in whole blocks."""
    hours, periods = book.hours, book.periods.height
    lots, bids = book.lots.height, book.bids.height
    rate = book.rate[book.bid_class][:, book.lot_class]  # (bids, lots)
    ask, residual = book.lots["ask_micro"].to_list(), book.lots["residual_micro"].to_list()
    kind, whole, block = (
        book.lots["kind"].to_list(),
        book.lots["whole"].to_list(),
        book.lots["block"].to_list(),
    )
    limit = book.bids["limit_micro"].to_list()
    cost: list[float] = []
    upper: list[float] = []
    integer: list[int] = []
    rows: dict[tuple[object, ...], dict[int, float]] = {}
    right: dict[tuple[object, ...], float] = {}

    def variable(c: float, most: float, whole_number: int = 0) -> int:
        cost.append(c)
        upper.append(most)
        integer.append(whole_number)
        return len(cost) - 1

    def enter(row: tuple[object, ...], column: int, value: float, most: float = 0.0) -> None:
        rows.setdefault(row, {})[column] = value
        right[row] = most

    for b in range(bids):
        for t in range(periods):
            if book.demand[b, t] > 0:
                enter(("work", b, t), variable(-limit[b] * hours[t], book.demand[b, t]), 1.0)
    for i in range(lots):
        window = np.flatnonzero(book.capacity[i] > 0)
        if not len(window):
            continue
        n = block[i] if whole_blocks else 1  # a variable counts blocks
        number = int(whole_blocks)
        least = int(book.capacity[i, window].min()) // block[i] * block[i]
        if kind[i] == "sale":
            for b in np.flatnonzero(rate[:, i] > 0).tolist():
                x = variable((ask[i] - residual[i]) * n, np.inf, number)
                enter(("lot", i), x, n, least)
                for t in window.tolist():
                    if book.demand[b, t] > 0:
                        enter(("work", b, t), x, -rate[b, i] * n)
            continue
        if whole[i]:
            y = variable(ask[i] * hours[window].sum() * n, least / n, number)
        for t in window.tolist():
            most = book.capacity[i, t] // block[i] * block[i]
            for b in np.flatnonzero(rate[:, i] > 0).tolist():
                x = variable(0.0 if whole[i] else ask[i] * hours[t] * n, np.inf, number)
                enter(("lot", i, t), x, n, 0.0 if whole[i] else most)
                if book.demand[b, t] > 0:
                    enter(("work", b, t), x, -rate[b, i] * n)
            if whole[i] and ("lot", i, t) in rows:
                enter(("lot", i, t), y, -n)
    if not cost:
        return 0.0
    entries = [(r, c, v) for r, row in enumerate(rows.values()) for c, v in row.items()]
    r, c, v = zip(*entries, strict=True)
    matrix = sparse.csr_array((v, (r, c)), shape=(len(rows), len(cost)))
    scale = max(abs(x) for x in cost) or 1.0
    found = optimize.milp(
        np.array(cost) / scale,
        constraints=optimize.LinearConstraint(matrix, ub=np.array([right[k] for k in rows])),
        bounds=optimize.Bounds(0, np.array(upper)),
        integrality=np.array(integer),
        options={"mip_rel_gap": 1e-7, "time_limit": 20},
    )
    assert found.x is not None
    return float(-found.fun * scale)
