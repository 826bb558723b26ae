"""Do the laws of a market hold? What must not change when nothing that matters changes, and what may only fall.

No digits of an earlier result stand here: two clearings are compared with each other, or one with the exact optimum that
another program (SciPy's `milp`, which proves it) finds for the same rules.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.market import Clearing, clear, verify
from entrepot.market.instances import Shape, instance
from entrepot.market.records import Book

from .exact import optimum

LAW = settings(max_examples=20, deadline=None, derandomize=True)
_ROUNDING = 2e-6  # a price is a whole number of micro-units, of about 10^6 of them; the optimum found is exact to 1e-9

DIVISIBLE = (
    Shape(orders=40, chips=3, sites=2, services=3, buyers=2, size_median=30),
    Shape(orders=40, chips=3, sites=2, services=3, buyers=2, size_median=30, ticks=5),
    Shape(orders=30, chips=2, sites=2, services=2, buyers=2, size_median=30, periods=3),
    Shape(orders=200, chips=4, sites=3, services=4, buyers=3),
)
PRIVATE = Shape(orders=60, chips=3, sites=2, services=3, buyers=2, size_median=30, private_sigma=0.2)


@st.composite
def divisible(draw: st.DrawFn, *, private: bool = False, times: int = 1) -> Book:
    """Draw a market in which one device is a block and no order has a rule."""
    shapes = (*DIVISIBLE, PRIVATE) if private else DIVISIBLE
    shape = replace(draw(st.sampled_from(shapes)), scarcity=draw(st.sampled_from([0.5, 1.0, 1.25, 3.0])))
    shape = replace(shape, size_median=shape.size_median * times)
    return instance(shape, draw(st.integers(0, 10_000)))


RULED = Shape(
    orders=11, chips=2, sites=2, services=2, buyers=2, blocks=(4,), size_median=12.0, legal_share=0.8,
    all_or_none_share=0.3, one_pool_share=0.3, min_share_share=0.3, min_fill_share=0.4, lot_all_or_none_share=0.2,
    group_share=0.4,
)  # fmt: skip


@st.composite
def ruled(draw: st.DrawFn) -> Book:
    """Draw a market of one period, small enough to be solved exactly, in which orders come with every rule."""
    shape = replace(
        RULED,
        shared_nodes=draw(st.booleans()),
        scarcity=draw(st.sampled_from([0.6, 1.25, 3.0])),
        private_sigma=draw(st.sampled_from([0.0, 0.2])),
    )
    return instance(shape, draw(st.integers(0, 10_000)))


def without_permit(book: Book, bid_class: int, lot_class: int) -> Book:
    """Return the book with one permit less."""
    rate = book.rate.copy()
    rate[bid_class, lot_class] = 0.0
    gone = (pl.col("bid_class") == bid_class) & (pl.col("lot_class") == lot_class)
    permits = book.permits.with_columns(permitted=pl.when(gone).then(pl.lit(False)).otherwise("permitted"))
    return replace(book, rate=rate, permits=permits)


def fast(book: Book) -> Clearing:
    """Clear without the search that only makes a result better: prices and bound do not depend on it, and it takes time."""
    return clear(book, seconds=0)


def prices(c: Clearing) -> pl.DataFrame:
    """Return the prices by what a pool is, not by its number."""
    return c.prices.select("label", "period", "price_micro").sort("label", "period")


def assert_same_prices(one: Clearing, other: Clearing, times: int = 1) -> None:
    """Compare prices; each is rounded once to a whole micro-unit, before it is multiplied."""
    a, b = prices(one), prices(other)
    assert a.drop("price_micro").equals(b.drop("price_micro"))
    off = np.abs(b["price_micro"].to_numpy() - times * a["price_micro"].to_numpy())
    assert off.max(initial=0) <= times + 1


def assert_same_allocation(one: Clearing, other: Clearing) -> None:
    """Compare what lots let and what work bids get, up to the few devices that rounding to whole ones moves.

    Only where the optimum is unique: with ties between goods, several allocations are worth the same.

    A bid may have its work from fewer, faster devices: what is compared is the work. Orders are of 10^4 devices and more.
    """
    lots, bids = one.book.lots["lot"], one.book.bids["bid"]
    moved = np.abs(np.subtract(got(other, lots, "lot"), got(one, lots, "lot")))
    assert (moved <= 1e-3 * one.book.capacity.sum(axis=1) + 2 * one.pools.height).all()
    a, b = (
        c.work.filter(pl.col("bid").is_in(bids.implode()))
        .sort("bid", "period")["served_mtok_per_h"]
        .to_numpy()
        for c in (one, other)
    )
    most = one.work.sort("bid", "period")["demand_mtok_per_h"].to_numpy()
    assert (np.abs(a - b) <= 1e-3 * most + 2 * one.pools.height * one.book.rate.max(initial=0)).all()


def got(c: Clearing, names: pl.Series, side: str) -> list[int]:
    """Return the devices of each order."""
    table = c.allocation.group_by(side).agg(pl.col("devices").sum())
    return (
        pl.DataFrame({side: names}).join(table, on=side, how="left", maintain_order="left")["devices"]
        .fill_null(0).to_list()
    )  # fmt: skip


def in_other_money(book: Book, times: int) -> Book:
    """Return the same orders in a currency of which so many units are one of this."""
    money = ("ask_micro", "residual_micro", "limit_micro")
    return replace(
        book,
        lots=book.lots.with_columns(pl.col(c) * times for c in money if c in book.lots.columns),
        bids=book.bids.with_columns(pl.col(c) * times for c in money if c in book.bids.columns),
    )


def in_other_work(book: Book, times: int) -> Book:
    """Return the same orders with work counted in units that are so many times as large."""
    return replace(
        book,
        rate=book.rate / times,
        demand=book.demand / times,
        bids=book.bids.with_columns(pl.col("limit_micro") * times),
    )


@LAW
@given(divisible(private=True), st.sampled_from([2, 7, 1000]))
def test_money_is_a_unit(book: Book, times: int) -> None:
    """A hundred cents for each dollar: welfare, bound and prices times a hundred, every order as it was."""
    one, other = fast(book), fast(in_other_money(book, times))
    assert verify(other).ok
    assert other.certificate.bound_micro == pytest.approx(times * one.certificate.bound_micro, rel=_ROUNDING)
    assert other.certificate.welfare_micro == pytest.approx(
        times * one.certificate.welfare_micro, rel=_ROUNDING + max(one.certificate.gap, other.certificate.gap)
    )
    if book.factor is None:
        assert_same_prices(one, other, times)


@LAW
@given(divisible(private=True), st.sampled_from([2, 7, 1000]))
def test_work_is_a_unit(book: Book, times: int) -> None:
    """Work counted in thousands, at a thousand times the limit: a device-hour costs what it cost, and all gain the same."""
    one, other = fast(book), fast(in_other_work(book, times))
    assert verify(other).ok
    assert other.certificate.bound_micro == pytest.approx(one.certificate.bound_micro, rel=_ROUNDING)
    assert other.certificate.welfare_micro == pytest.approx(
        one.certificate.welfare_micro, rel=_ROUNDING + max(one.certificate.gap, other.certificate.gap)
    )
    if book.factor is None:
        assert_same_prices(one, other)


def with_lot(book: Book, like: int, devices: int, ask_micro: int, name: str = "lot-more") -> Book:
    """Return the book with one more lot of the class and window of another."""
    row = book.lots[like].with_columns(
        lot=pl.lit(name), ask_micro=pl.lit(ask_micro, dtype=pl.Int64), min_fill=pl.lit(0, dtype=pl.Int64)
    )
    size = np.where(book.capacity[like] > 0, devices, 0)
    return replace(
        book,
        lots=pl.concat([book.lots, row]),
        capacity=np.vstack([book.capacity, size]),
        lot_class=np.append(book.lot_class, book.lot_class[like]),
    )


@LAW
@given(divisible(times=1000), st.data())
def test_a_lot_that_nobody_can_pay_for_changes_nothing(book: Book, data: st.DataObject) -> None:
    """Its ask is above what its devices are worth to anybody: no price moves, nobody has a device more or less."""
    like = data.draw(st.integers(0, book.lots.height - 1))
    worth = book.bids["limit_micro"].to_numpy()[:, None] * book.rate[book.bid_class]
    dear = int(worth.max(initial=0)) + int(book.lots["ask_micro"].to_numpy().max()) + 1
    one, other = fast(book), fast(with_lot(book, like, 50, dear))
    assert verify(other).ok
    assert got(other, pl.Series(["lot-more"]), "lot") == [0]
    assert_same_prices(one, other)
    if book.lots["ask_micro"].n_unique() == book.lots.height:
        assert_same_allocation(one, other)


@LAW
@given(divisible(times=1000), st.data())
def test_a_bid_that_no_lot_can_serve_at_its_limit_changes_nothing(book: Book, data: st.DataObject) -> None:
    """Its limit is below the least that a Mtok costs anybody to make: no price moves, nobody has a device more or less."""
    like = data.draw(st.integers(0, book.bids.height - 1))
    with np.errstate(divide="ignore"):
        cost = (book.lots["ask_micro"].to_numpy() / book.rate[:, book.lot_class]).min()
    low = 1 if not np.isfinite(cost) else int(cost * 0.99)
    row = book.bids[like].with_columns(
        bid=pl.lit("bid-more"),
        limit_micro=pl.lit(min(low, int(book.bids["limit_micro"][like])), dtype=pl.Int64),
    )
    more = replace(
        book,
        bids=pl.concat([book.bids, row]),
        demand=np.vstack([book.demand, book.demand[like] + 1.0]),
        bid_class=np.append(book.bid_class, book.bid_class[like]),
    )
    one, other = fast(book), fast(more)
    assert verify(other).ok
    assert got(other, pl.Series(["bid-more"]), "bid") == [0]
    assert_same_prices(one, other)
    if book.lots["ask_micro"].n_unique() == book.lots.height:
        assert_same_allocation(one, other)


@LAW
@given(divisible(), st.data())
def test_splitting_a_lot_in_two_changes_no_price(book: Book, data: st.DataObject) -> None:
    """Two lots of half the devices at the same ask are one lot: same prices, same bound."""
    large = np.flatnonzero(book.capacity.max(axis=1) >= 2)
    like = int(data.draw(st.sampled_from(large.tolist())))
    half = int(book.capacity[like].max()) // 2
    parts = with_lot(book, like, half, int(book.lots["ask_micro"][like]))
    size = parts.capacity.copy()
    size[like] -= size[-1]
    one, other = fast(book), fast(replace(parts, capacity=size))
    assert verify(other).ok
    assert_same_prices(one, other)
    assert other.certificate.bound_micro == pytest.approx(one.certificate.bound_micro, rel=_ROUNDING)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(ruled(), st.data())
def test_a_permit_less_never_raises_welfare_under_all_rules(book: Book, data: st.DataObject) -> None:
    """A small market is cleared at its optimum, so what a permit adds is never negative."""
    edges = np.argwhere(book.rate > 0).tolist()
    if not edges:
        return
    b, k = data.draw(st.sampled_from(edges))
    one, other = clear(book), clear(without_permit(book, b, k))
    assert verify(other).ok
    assert other.certificate.welfare_micro <= one.certificate.welfare_micro * (1 + 1e-6) + 10


@settings(max_examples=20, deadline=None, derandomize=True)
@given(ruled(), st.sampled_from([2, 7]))
def test_money_and_work_are_units_under_all_rules(book: Book, times: int) -> None:
    """Another currency, another unit of work: the optimum is the same."""
    one = clear(book)
    money, work = clear(in_other_money(book, times)), clear(in_other_work(book, times))
    assert verify(money).ok
    assert verify(work).ok
    assert money.certificate.welfare_micro == pytest.approx(
        times * one.certificate.welfare_micro, rel=1e-6, abs=100
    )
    assert work.certificate.welfare_micro == pytest.approx(one.certificate.welfare_micro, rel=1e-6, abs=100)


@LAW
@given(divisible(private=True), st.data())
def test_a_permit_less_never_raises_welfare(book: Book, data: st.DataObject) -> None:
    """Whatever pair of classes loses its permit: the best of what is left is at most the best of what was."""
    edges = np.argwhere(book.rate > 0).tolist()
    if not edges:
        return
    b, k = data.draw(st.sampled_from(edges))
    one, other = fast(book), fast(without_permit(book, b, k))
    assert verify(other).ok
    if book.factor is None:  # prices of private yields are not found to the end in no time
        assert other.certificate.bound_micro <= one.certificate.bound_micro * (1 + _ROUNDING)
    assert other.certificate.welfare_micro <= one.certificate.bound_micro


@settings(max_examples=40, deadline=None, derandomize=True)
@given(ruled())
def test_a_small_market_under_all_rules_is_cleared_at_its_exact_optimum(book: Book) -> None:
    """Least quantities, all or none, one pool, groups, least shares: as much as SciPy proves possible, and under the bound."""
    clearing = clear(book)
    assert verify(clearing).ok
    least, most = optimum(book)  # of the exact optimum: what was reached, and what was proved
    assert least * (1 - 1e-6) - 10 <= clearing.certificate.welfare_micro <= most * (1 + 1e-6) + 10
    assert least <= clearing.certificate.bound_micro * (1 + 1e-6) + 10


@pytest.mark.parametrize(("seed", "scarcity", "sigma"), [(6, 0.6, 0.0), (21, 0.6, 0.2)])
def test_a_market_that_is_worth_nothing_does_not_trade(seed: int, scarcity: float, sigma: float) -> None:
    """A node opened for a few devices may cost more than all that is done on it: then it stays shut."""
    shape = replace(RULED, shared_nodes=True, scarcity=scarcity, private_sigma=sigma)
    clearing = clear(instance(shape, seed), seconds=0)
    assert verify(clearing).ok
    assert clearing.certificate.welfare_micro >= 0
