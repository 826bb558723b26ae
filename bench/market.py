"""How fast is a clearing, against the same linear program in its textbook form, solved by SciPy in the same run?"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from entrepot.market import clear, verify
from entrepot.market.instances import Shape, instance
from entrepot.market.pool import pool
from entrepot.market.records import MICRO, Book
from entrepot.market.solve import solve

__all__ = ["run"]

F64: TypeAlias = NDArray[np.float64]

_PATIENCE_S = 40.0  # for the textbook form
_COLUMNS_MAX = 2_000_000  # of the textbook form; more is not tried


def run(console_print: Callable[[str], None]) -> None:
    """Clear synthetic markets of three sizes, and one of a day in node blocks; print seconds, ratios and gaps."""
    clear(instance(Shape(orders=200)))  # imports and first calls are no part of any figure
    console_print("one period, every order divisible down to one device; 144 pools, 48 groups of bids")
    for orders in (1_000, 3_000, 10_000, 100_000):
        _one_period(orders, console_print)
    console_print("24 periods, nodes of 8")
    for name, shape in (
        ("1,000 orders, leases by the hour", Shape(orders=1_000, periods=24, blocks=(8,))),
        ("5,000 orders, leases by the hour", Shape(orders=5_000, periods=24, blocks=(8,))),
        (
            "300 orders; 30% of lots for their whole window, 2% for sale",
            Shape(orders=300, chips=6, sites=4, periods=24, blocks=(8,), whole_share=0.3, sale_share=0.02),
        ),
    ):
        console_print(f"  {name}: {_whole_way(instance(shape, 0))}")


def _one_period(orders: int, console_print: Callable[[str], None]) -> None:
    """Compare one size with SciPy's linprog on the textbook form and on a grouped form of the same program."""
    book = instance(Shape(orders=orders), 0)
    start = time.perf_counter()
    pooled = pool(book)
    found = solve(pooled, book.hours).objective_micro
    own = time.perf_counter() - start
    console_print(f"  {orders:,} orders: {_whole_way(book)}")
    console_print(f"    optimum of the divisible market: {own:.2f} s")
    textbook_columns = int((book.rate > 0).sum(axis=1)[book.bid_class].sum()) + book.lots.height
    for name, columns, program in (
        ("pools x bids, as in a textbook", textbook_columns, _textbook),
        ("pools x groups, as here but whole", int((book.rate > 0).sum()) + orders, _grouped),
    ):
        if columns > _COLUMNS_MAX:
            console_print(f"    SciPy, {name}: skipped, {columns:,} columns; see the size before")
            continue
        start = time.perf_counter()
        other = program(book)
        theirs = time.perf_counter() - start
        if other is None:
            console_print(f"    SciPy, {name}: not finished in {theirs:.0f} s, {columns:,} columns")
            continue
        apart = abs(other / found - 1)
        if apart > 1e-6:
            raise AssertionError(f"the two optima differ by {apart:.1e}")
        console_print(
            f"    SciPy, {name}: {theirs:.2f} s, {theirs / own:.1f} times as long, {columns:,} columns; welfare equal to"
            f" {apart:.0e}"
        )


def _whole_way(book: Book) -> str:
    """Clear and verify; return what it took and what was proved."""
    start = time.perf_counter()
    clearing = clear(book)
    cleared = time.perf_counter() - start
    start = time.perf_counter()
    checked = verify(clearing)
    verified = time.perf_counter() - start
    if not checked.ok:
        raise AssertionError(
            f"the clearing does not stand: {checked.checks.filter(~checked.checks['ok']).rows()}"
        )
    return (
        f"cleared in {cleared:.2f} s ({clearing.trades.height:,} trades), verified in {verified:.2f} s,"
        f" certified gap {checked.gap:.3%}"
    )


def _textbook(book: Book) -> float | None:
    """Return the optimum, micro: devices of every pool for every bid, a row per pool and per bid; None if too slow."""
    rate = book.rate[book.bid_class]
    bid, k = np.nonzero(rate > 0)
    lots, bids, pools = book.lots.height, book.bids.height, rate.shape[1]
    ask, limit = book.lots["ask_micro"].to_numpy() / MICRO, book.bids["limit_micro"].to_numpy() / MICRO
    edges = np.arange(len(bid))
    row = np.concatenate([k, pools + bid, book.lot_class])
    column = np.concatenate([edges, edges, len(bid) + np.arange(lots)])
    value: F64 = np.concatenate([np.ones(len(bid)), rate[bid, k], -np.ones(lots)])
    return _linprog(
        np.concatenate([-limit[bid] * rate[bid, k], ask]),
        sparse.csr_array((value, (row, column)), shape=(pools + bids, len(bid) + lots)),
        np.concatenate([np.zeros(pools), book.demand[:, 0]]),
        np.concatenate([np.full(len(bid), np.inf), book.capacity[:, 0]]),
    )


def _grouped(book: Book) -> float | None:
    """Return the optimum, micro, from flows between classes and one column per order; None if too slow."""
    group, k = np.nonzero(book.rate > 0)
    flows, (groups, pools) = len(group), book.rate.shape
    lots, bids = book.lots.height, book.bids.height
    flow, bid, lot = np.arange(flows), flows + np.arange(bids), flows + bids + np.arange(lots)
    row = np.concatenate([group, book.bid_class, groups + k, groups + book.lot_class])
    value = np.concatenate([-book.rate[group, k], np.ones(bids), np.ones(flows), -np.ones(lots)])
    ask, limit = book.lots["ask_micro"].to_numpy() / MICRO, book.bids["limit_micro"].to_numpy() / MICRO
    return _linprog(
        np.concatenate([np.zeros(flows), -limit, ask]),
        sparse.csr_array(
            (value, (row, np.concatenate([flow, bid, flow, lot]))),
            shape=(groups + pools, flows + bids + lots),
        ),
        np.zeros(groups + pools),
        np.concatenate([np.full(flows, np.inf), book.demand[:, 0], book.capacity[:, 0]]),
    )


def _linprog(cost: F64, matrix: sparse.csr_array, right: F64, upper: F64) -> float | None:
    """Return the greatest welfare, micro; None if it takes longer than we wait."""
    found = optimize.linprog(
        cost,
        A_ub=matrix,
        b_ub=right,
        bounds=np.stack([np.zeros(len(cost)), upper], axis=1),
        method="highs",
        options={"time_limit": _PATIENCE_S},
    )
    return None if found.status != 0 else float(-found.fun * MICRO)
