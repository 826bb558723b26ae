"""How fast are the prices of a lease market, against the whole linear program handed to HiGHS and SciPy in the same run?"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from entrepot.market import clear, verify
from entrepot.market.goods import Goods, goods
from entrepot.market.lease import divisible
from entrepot.market.lease.columns import Columns, Patterns, devices
from entrepot.market.lease.instances import LeaseShape, lease_instance
from entrepot.market.lease.pricing import batches, choose, column_table
from entrepot.market.lease.program import program
from entrepot.market.lease.start import start
from entrepot.market.linear import solver
from entrepot.market.records import Book

__all__ = ["run"]

F64: TypeAlias = NDArray[np.float64]

_PATIENCE_S = 60.0  # for a direct solver


def run(console_print: Callable[[str], None]) -> None:
    """Price divisible lease markets of three sizes, then clear whole ones; print seconds, gaps and memory."""
    divisible(
        *_with_goods(LeaseShape(orders=200, periods=6), 0)
    )  # imports and first calls are no part of any figure
    console_print("divisible, every order for its whole window; 144 pools")
    for orders, periods, seeds in ((1_000, 24, (0,)), (10_000, 24, (0, 1, 2)), (100_000, 168, (0,))):
        for seed in seeds:
            book, of_book = _with_goods(LeaseShape(orders=orders, periods=periods), seed)
            own, bound = _own(book, of_book, f"{orders:,} x {periods}, seed {seed}", console_print)
            if orders == 1_000:
                _direct(book, own, bound, console_print)
    console_print(
        "  a direct solver on 10,000 x 24 and more: not run; on 1,000 x 24 it shows the order of magnitude"
    )
    console_print(
        "whole orders: nodes of 8, 30% of bids all or none, 20% of lots with a least fill, 10% all or none"
    )
    rules = {"blocks": (8,), "all_or_none": 0.3, "minimum_fill": 0.2, "all_or_none_lots": 0.1}
    for orders, periods, more in (
        (10_000, 24, {"size_median": 1_000.0}),
        (10_000, 24, {"size_median": 1_000.0, "private": 0.2}),
        (10_000, 24, {"size_median": 100.0}),
    ):
        for seed in (0, 1):
            shape = LeaseShape(orders=orders, periods=periods, **rules, **more)  # type: ignore[arg-type]
            name = f"{orders:,} x {periods}, seed {seed}, lots of {shape.size_median:.0f} devices"
            name += ", private yields" if shape.private else ""
            console_print(f"  {name}: {_whole_way(lease_instance(shape, seed))}")


def _with_goods(shape: LeaseShape, seed: int) -> tuple[Book, Goods]:
    book = lease_instance(shape, seed)
    return book, goods(book)


def _own(book: Book, of_book: Goods, name: str, console_print: Callable[[str], None]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    _, shares = divisible(book, of_book)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    short = np.maximum(0.0, devices(shares.columns, shares.patterns, shares.share))
    reached = float(shares.columns.value @ shares.share) - 1.5 * float((short * shares.price).sum())
    console_print(
        f"  {name}: {wall:.2f} s ({cpu:.2f} s of processor), {shares.iterations:,} iterations,"
        f" {len(shares.chosen.taker):,} columns, gap {1 - reached / shares.bound:.3%} with shortages counted,"
        f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB at most so far"
    )
    return wall, shares.bound


def _direct(book: Book, own: float, bound: float, console_print: Callable[[str], None]) -> None:
    """Hand the whole program, every column in it, to direct solvers."""
    of_book = goods(book)
    p = program(book, of_book, book.bids["term"].to_numpy())
    chosen, _ = choose(p, batches(p, of_book.offered), start(book, of_book), 1e9, None)
    columns, patterns = column_table(p, chosen)
    matrix, right = _matrix(columns, patterns)
    calls: list[tuple[str, Callable[[], float | None]]] = [
        ("HiGHS dual simplex", lambda: _highs(columns, matrix, right, "simplex")),
        ("HiGHS interior point", lambda: _highs(columns, matrix, right, "ipm")),
        ("SciPy linprog", lambda: _scipy(columns, matrix, right)),
    ]
    for name, call in calls:
        began = time.perf_counter()
        found = call()
        took = time.perf_counter() - began
        if found is None:
            console_print(f"    {name}: not finished in {took:.0f} s, {columns.count:,} columns")
            continue
        apart = bound / found - 1
        console_print(
            f"    {name}: {took:.2f} s, {took / own:.1f} times as long, {columns.count:,} columns;"
            f" our bound is {apart:.1e} above its optimum"
        )


def _matrix(columns: Columns, patterns: Patterns) -> tuple[sparse.csc_array, F64]:
    """Return rows (cells, then blocks) of the whole program and their right-hand sides."""
    owner, length = columns.owner(), columns.end - columns.start
    piece = np.repeat(np.arange(len(length)), length)
    t = columns.start[piece] + np.arange(len(piece)) - np.repeat(np.cumsum(length) - length, length)
    pattern = columns.pattern[piece]
    cells = patterns.pools * patterns.periods
    row = np.concatenate([patterns.pool[pattern] * patterns.periods + t, cells + columns.block])
    column = np.concatenate([owner[piece], np.arange(columns.count)])
    value = np.concatenate([columns.scale[piece] * patterns.profile[pattern, t], np.ones(columns.count)])
    blocks = int(columns.block.max()) + 1
    matrix = sparse.csc_array((value, (row, column)), shape=(cells + blocks, columns.count))
    return matrix, np.concatenate([np.zeros(cells), np.ones(blocks)])


def _highs(columns: Columns, matrix: sparse.csc_array, right: F64, method: str) -> float | None:
    import highspy  # noqa: PLC0415

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = columns.count, len(right)
    scale = float(np.abs(columns.value).max()) / 1e3
    lp.col_cost_, lp.col_lower_ = -columns.value / scale, np.zeros(columns.count)
    lp.col_upper_ = np.ones(columns.count)
    lp.row_lower_, lp.row_upper_ = np.full(len(right), -np.inf), right
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32)
    lp.a_matrix_.value_ = matrix.data
    highs = solver(solver=method, time_limit=_PATIENCE_S)
    highs.passModel(lp)
    highs.run()
    if highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return -float(highs.getInfo().objective_function_value) * scale


def _scipy(columns: Columns, matrix: sparse.csc_array, right: F64) -> float | None:
    scale = float(np.abs(columns.value).max()) / 1e3
    found = optimize.linprog(
        -columns.value / scale, A_ub=matrix, b_ub=right, bounds=(0, 1), method="highs",
        options={"time_limit": _PATIENCE_S},
    )  # fmt: skip
    return None if found.status != 0 else -float(found.fun) * scale


def _whole_way(book: Book) -> str:
    """Clear and verify; return what it took and what was proved."""
    began = time.perf_counter()
    clearing = clear(book)
    cleared = time.perf_counter() - began
    began = time.perf_counter()
    checked = verify(clearing)
    verified = time.perf_counter() - began
    if not checked.ok:
        raise AssertionError(
            f"the clearing does not stand: {checked.checks.filter(~checked.checks['ok']).rows()}"
        )
    paid = float(clearing.trades["payment_minor"].sum())
    made = float(clearing.make_whole["amount_minor"].sum())
    return (
        f"cleared in {cleared:.1f} s, verified in {verified:.1f} s, certified gap {checked.gap:.2%},"
        f" {made / paid:.2%} of what is paid makes orders whole"
    )
