"""How fast is a clearing of independent periods, and how close to its bound? Beside HiGHS and SciPy on the same program.

Each size is cleared cold, and again from its own prices (warm). ``engine`` is what finds prices and allocation, ``clearing``
also makes tables, hash tree and certificate, ``check`` is the independent check. Memory is the peak of the process so far.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse

from bench.published import published_book
from entrepot.market import clear, verify
from entrepot.market.goods import goods
from entrepot.market.instances import Shape, instance
from entrepot.market.records import MICRO, Book
from entrepot.market.spot.period import Period, period_of
from entrepot.market.spot.prices import divisible

__all__ = ["run"]

F64: TypeAlias = NDArray[np.float64]

_PATIENCE_S = 40.0  # for another solver
_COLUMNS_MAX = 300_000  # of another solver's program; more is not tried

_RULES = Shape(
    blocks=(8,), shared_nodes=True, all_or_none_share=0.5, one_pool_share=0.3, min_fill_share=0.2,
    lot_all_or_none_share=0.1,
)  # fmt: skip
_SHAPES = (
    (100_000, 12, 12, 1.25, 0.0, 1),
    (100_000, 12, 12, 1.25, 0.0, 3),
    (100_000, 8, 3, 0.7, 0.0, 4),
    (100_000, 8, 3, 2.5, 0.0, 5),
    (100_000, 20, 30, 1.25, 0.0, 6),
    (100_000, 12, 12, 1.25, 0.2, 7),
    (1_000_000, 12, 12, 1.25, 0.0, 8),
    (1_000_000, 20, 30, 1.25, 0.0, 9),
    (1_000_000, 12, 12, 1.25, 0.2, 10),
    (10_000, 12, 12, 1.25, 0.0, 11),
    (3_000, 8, 3, 1.25, 0.0, 12),
    (1_000, 12, 12, 1.25, 0.0, 13),
)


def run(console_print: Callable[[str], None]) -> None:
    """Clear synthetic markets of one period; print seconds, ratios, gaps and memory."""
    clear(instance(Shape(orders=200)))  # imports and first calls are no part of any figure
    console_print("divisible, one period: prices and shares of the optimum, exact")
    for orders, seed in ((1_000, 0), (10_000, 1), (100_000, 2), (1_000_000, 3)):
        _divisible(orders, seed, console_print)
    console_print(
        "with rules: nodes of 8 shared by the minute; half of the bids all or nothing, 30% in one pool; a fifth of the lots\n"
        "  with a least quantity, a tenth all or nothing; lots, bids and yields drawn anew for each line"
    )
    for orders, chips, sites, scarcity, sigma, seed in _SHAPES:
        shape = replace(
            _RULES, orders=orders, chips=chips, sites=sites, scarcity=scarcity, private_sigma=sigma
        )
        yields = "private" if sigma else "catalogue"
        said = _whole_way(instance(shape, seed))
        console_print(
            f"  {orders:,} orders, {chips} x {sites}, demand {scarcity} x supply, {yields} yields: {said}"
        )
    console_print(
        "a day by the hour, drawn from published prices, request sizes and daily curves (bench/published.py)"
    )
    console_print(f"  20,000 orders x 24 hours: {_whole_way(published_book(20_000, 16))}")
    console_print("a day by the hour with sales, a tenth of the lots for good, in whole nodes of 8")
    shape = Shape(orders=1_000, periods=24, blocks=(8,))
    console_print(f"  1,000 orders x 24 hours: {_whole_way(instance(replace(shape, sale_share=0.1), 1))}")
    console_print(f"  the same without sales: {_whole_way(instance(shape, 1))}")
    console_print("whole nodes for each bid (no sharing)")
    for orders, seed in ((10_000, 14), (100_000, 15)):
        console_print(f"  {orders:,} orders: {_whole_way(instance(Shape(orders=orders, blocks=(8,)), seed))}")


def _only_period(book: Book) -> Period:
    of_book = goods(book)
    return period_of(
        book,
        of_book,
        0,
        np.arange(book.lots.height, dtype=np.int64),
        np.arange(book.bids.height, dtype=np.int64),
    )


def _divisible(orders: int, seed: int, console_print: Callable[[str], None]) -> None:
    """Compare one size, cold and warm, with the same program handed to SciPy whole."""
    book = instance(Shape(orders=orders), seed)
    start = time.perf_counter()
    p = _only_period(book)
    found = divisible(p)
    cold = time.perf_counter() - start
    noise = np.random.default_rng(seed)
    near = tuple(v * (1 + 0.005 * noise.standard_normal(len(v))) for v in (found.price, found.work))
    start = time.perf_counter()
    divisible(p, (near[0], near[1]))
    warm = time.perf_counter() - start
    worth = float(p.limit @ (p.demand * found.served) - p.ask @ (p.quantity * found.supplied))
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = np.where(p.rate > 0, found.price / p.rate, np.inf).min(axis=1)[p.kind]
    bound = float(
        p.quantity @ np.maximum(0, found.price[p.pool] - p.ask) + p.demand @ np.maximum(0, p.limit - cost)
    )
    console_print(
        f"  {orders:,} orders: cold {cold:.2f} s, warm (prices 0.5% off) {warm:.2f} s, gap {bound / worth - 1:.0e},"
        f" peak memory {_memory_gb():.2f} GB"
    )
    columns = int((book.rate > 0).sum(axis=1)[book.bid_class].sum()) + book.lots.height
    for name, count, program in (
        ("pools x bids, as in a textbook", columns, _textbook),
        ("pools x classes", int((book.rate > 0).sum()) + orders, _grouped),
    ):
        if count > _COLUMNS_MAX:
            console_print(f"    SciPy (HiGHS), {name}: skipped, {count:,} columns; see the size before")
            continue
        start = time.perf_counter()
        other = program(book)
        theirs = time.perf_counter() - start
        if other is None:
            console_print(f"    SciPy (HiGHS), {name}: not finished in {theirs:.0f} s, {count:,} columns")
            continue
        apart = abs(other / worth - 1)
        if apart > 1e-6:
            raise AssertionError(f"the two optima differ by {apart:.1e}")
        console_print(
            f"    SciPy (HiGHS), {name}: {theirs:.2f} s, {theirs / cold:.1f} times as long; welfare equal to {apart:.0e}"
        )


def _memory_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def _whole_way(book: Book) -> str:
    """Clear and verify; return what it took and what was proved."""
    start, worked = time.perf_counter(), time.process_time()
    clearing = clear(book)
    cleared, worked = time.perf_counter() - start, time.process_time() - worked
    start = time.perf_counter()
    checked = verify(clearing)
    verified = time.perf_counter() - start
    if not checked.ok:
        raise AssertionError(
            f"the clearing does not stand: {checked.checks.filter(~checked.checks['ok']).rows()}"
        )
    paid = int(clearing.trades["payment_minor"].sum()) or 1
    fee = int(clearing.make_whole["amount_minor"].sum() or 0) / paid
    return (
        f"engine {clearing.solve_seconds:.2f} s, clearing {cleared:.2f} s ({worked:.2f} s of processor), check {verified:.2f} s, certified gap"
        f" {checked.gap:.4%}, made whole {fee:.4%} of payments, {_memory_gb():.2f} GB"
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
