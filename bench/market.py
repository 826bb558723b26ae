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
from entrepot.market.pool import Pooled, pool
from entrepot.market.records import Book
from entrepot.market.solve import solve

__all__ = ["run"]

F64: TypeAlias = NDArray[np.float64]

_PATIENCE_S = 45.0  # for the textbook form
_COLUMNS_MAX = 2_000_000  # of the textbook form; more is not tried


def run(console_print: Callable[[str], None]) -> None:
    """Clear synthetic markets of three sizes, and one of a day in node blocks; print seconds, ratios and gaps."""
    clear(instance(Shape(orders=200)))  # imports and first calls are no part of any figure
    console_print("one period, every order divisible down to one device; 144 pools, 48 groups of bids")
    for orders in (1_000, 10_000, 100_000):
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
    book = instance(Shape(orders=orders), 0)
    start = time.perf_counter()
    pooled = pool(book)
    solved = solve(pooled, book.hours)
    own = time.perf_counter() - start
    console_print(f"  {orders:,} orders: {_whole_way(book)}")
    columns = int((book.rate > 0)[book.bid_class].sum(axis=1).sum())
    if columns > _COLUMNS_MAX:
        console_print(
            f"    optimum alone {own:.2f} s; the textbook form has {columns:,} columns and was not tried: SciPy takes"
            f" more than 60 s"
        )
        return
    start = time.perf_counter()
    other = _textbook(book, pooled)
    theirs = time.perf_counter() - start
    if other is None:
        console_print(
            f"    optimum alone {own:.2f} s; SciPy not finished in {theirs:.0f} s ({columns:,} columns)"
        )
        return
    apart = abs(other / solved.objective_micro - 1)
    if apart > 1e-6:
        raise AssertionError(f"the two optima differ by {apart:.1e}")
    console_print(
        f"    optimum alone {own:.2f} s; SciPy's linprog {theirs:.2f} s on {columns:,} columns: {theirs / own:.0f} times"
        f" as long; welfare equal to {apart:.0e}"
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


def _textbook(book: Book, pooled: Pooled) -> float | None:
    """Return the optimum, micro: devices of every pool for every bid, one row per pool and per bid; None if too slow."""
    rate = book.rate[book.bid_class][:, book.lot_class[np.unique(pooled.lot_pool, return_index=True)[1]]]
    bid, k = np.nonzero(rate > 0)
    lots, bids, pools = book.lots.height, book.bids.height, rate.shape[1]
    ask, limit = book.lots["ask_micro"].to_numpy() / 1e6, book.bids["limit_micro"].to_numpy() / 1e6
    edges = np.arange(len(bid))
    row = np.concatenate([k, pools + bid, pooled.lot_pool])
    column = np.concatenate([edges, edges, len(bid) + np.arange(lots)])
    value: F64 = np.concatenate([np.ones(len(bid)), rate[bid, k], -np.ones(lots)])
    found = optimize.linprog(
        np.concatenate([-limit[bid] * rate[bid, k], ask]),
        A_ub=sparse.csr_array((value, (row, column)), shape=(pools + bids, len(bid) + lots)),
        b_ub=np.concatenate([np.zeros(pools), book.demand[:, 0]]),
        bounds=np.concatenate(
            [np.tile([[0.0, np.inf]], (len(bid), 1)), np.stack([np.zeros(lots), book.capacity[:, 0]], axis=1)]
        ),
        method="highs",
        options={"time_limit": _PATIENCE_S},
    )
    return None if found.status != 0 else float(-found.fun * 1e6)
