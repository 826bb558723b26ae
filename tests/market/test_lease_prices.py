"""Are the prices of a lease market those of its optimum? Compared with the same linear program, solved by SciPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from entrepot.market.goods import goods
from entrepot.market.lease import divisible
from entrepot.market.lease.columns import devices
from entrepot.market.lease.instances import LeaseShape, lease_instance
from entrepot.market.lease.prices import find
from entrepot.market.lease.pricing import batches
from entrepot.market.lease.profiles import profiles
from entrepot.market.lease.program import program
from entrepot.market.lease.saddle import Simplices
from entrepot.market.lease.start import start
from entrepot.market.records import Book

from .lease_markets import books, textbook


@settings(max_examples=25, deadline=None)
@given(books())
def test_the_bound_holds_and_is_close_to_the_optimum(book: Book) -> None:
    """Weak duality: no prices prove less than the optimum; ours prove hardly more."""
    best, _ = textbook(book)
    _, found = divisible(book, goods(book))
    assert found.bound >= best * (1 - 1e-9) - 1.0
    assert found.bound <= best * (1 + 1e-6) + 1.0


@settings(max_examples=15, deadline=None)
@given(books())
def test_shares_are_shares_and_their_welfare_is_the_optimum(book: Book) -> None:
    """The divisible allocation is feasible but for what is counted short, and worth what the bound allows."""
    _, found = divisible(book, goods(book))
    assert found.share.min(initial=0.0) >= 0
    by_block = np.bincount(found.columns.block, found.share)
    assert by_block.max(initial=0.0) <= 1 + 1e-9
    short = np.maximum(0.0, devices(found.columns, found.patterns, found.share))
    reached = float(found.columns.value @ found.share) - 1.5 * float((short * found.price).sum())
    assert reached >= found.bound * (1 - 1e-6) - 1.0


@pytest.mark.parametrize("seed", [3, 4])
def test_shifting_all_windows_changes_nothing(seed: int) -> None:
    """An hour more before the first window is worth nothing to anybody."""
    shape = LeaseShape(orders=60, periods=6, window_mean=3, chips=2, sites=2, services=2, buyers=2)
    book = lease_instance(shape, seed)
    empty_lots = np.zeros((book.lots.height, 1), dtype=np.int64)
    empty_bids = np.zeros((book.bids.height, 1))
    later = replace(
        book,
        periods=lease_instance(replace(shape, periods=7), seed).periods,
        capacity=np.hstack([empty_lots, book.capacity]),
        demand=np.hstack([empty_bids, book.demand]),
    )
    a, b = (divisible(x, goods(x), tolerance=1e-5)[1] for x in (book, later))
    assert b.bound == pytest.approx(a.bound, rel=1e-6)


def test_splitting_a_lot_changes_no_welfare() -> None:
    """Two lots of half the size are the same offer."""
    book = lease_instance(LeaseShape(orders=60, periods=6, window_mean=3, chips=2, sites=2), 5)
    half = book.capacity // 2
    twice = replace(
        book,
        lots=book.lots.vstack(book.lots.with_columns(lot=book.lots["lot"] + "-b")),
        capacity=np.vstack([half, book.capacity - half]),
        lot_class=np.concatenate([book.lot_class, book.lot_class]),
    )
    a, b = (divisible(x, goods(x), tolerance=1e-5)[1] for x in (book, twice))
    assert b.bound == pytest.approx(a.bound, rel=1e-6)


def test_the_saddle_point_comes_close_where_no_linear_program_helps() -> None:
    """Large markets rest on it alone: bound and welfare within what was asked for, on several seeds."""
    for seed in (1, 2):
        book = lease_instance(LeaseShape(orders=400, periods=12, window_mean=6, chips=4, sites=3), seed)
        g = goods(book)
        p = program(book, g, book.bids["term"].to_numpy())
        shares = find(p, batches(p, g.offered), start(book, g), tolerance=2e-3)
        exact = divisible(book, g)[1].bound
        assert exact * (1 - 1e-7) <= shares.bound <= exact * 1.004


def test_a_demand_is_a_size_times_a_curve() -> None:
    """What is written as size times curve is what was wanted, whatever the windows."""
    rng = np.random.default_rng(0)
    curve = rng.random((2, 10)) + 0.1
    kind = rng.integers(2, size=50)
    start, length = rng.integers(8, size=50), rng.integers(1, 6, size=50)
    t = np.arange(10)
    window = (t >= start[:, None]) & (t < (start + length)[:, None])
    wanted = np.where(window, curve[kind] * rng.random(50)[:, None], 0.0)
    wanted[:3] = rng.random((3, 10))  # and three that are like nobody else
    found, of, size = profiles(wanted, kind)
    again = np.where(wanted > 0, size[:, None] * found[of], 0.0)
    np.testing.assert_allclose(again, wanted, rtol=1e-8)
    assert len(found) < 20


def test_projection_is_the_nearest_point() -> None:
    """Against the definition, by quadratic programming on each block in closed form (sorting)."""
    rng = np.random.default_rng(1)
    block = np.sort(rng.integers(40, size=150))
    _, block = np.unique(block, return_inverse=True)
    near = Simplices(block.astype(np.int64))
    for _ in range(5):
        point = rng.normal(0.3, 1.0, 150)
        got = near(point)
        for b in np.unique(block):
            v = point[block == b]
            expected = np.maximum(v, 0.0)
            if expected.sum() > 1:
                u = np.sort(v)[::-1]
                excess = np.cumsum(u) - 1
                last = np.flatnonzero(u * np.arange(1, len(u) + 1) > excess)[-1]
                expected = np.maximum(v - excess[last] / (last + 1), 0.0)
            np.testing.assert_allclose(got[block == b], expected, atol=1e-9)
