"""Do devices change hands for good under every rule, beside leases, terms and totals? Against a program that pools nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.market import Clearing, clear, verify
from entrepot.market.certify import bound
from entrepot.market.goods import goods
from entrepot.market.instances import Shape, instance
from entrepot.market.pool import pool
from entrepot.market.price import publish
from entrepot.market.records import Book
from entrepot.market.sale.engine import FLOWS_MAX
from entrepot.market.sale.groups import apart
from entrepot.market.sale.margins import work_prices
from entrepot.market.solve import solve

from .markets import Ask, Want, by_hand
from .sale_markets import exact, mixed_books
from .test_rules import with_rules


def proved(book: Book, seconds: float = 1.0) -> Clearing:
    """Return a clearing that the independent check accepts."""
    clearing = clear(book, seconds=seconds)
    checks = verify(clearing).checks
    assert checks["ok"].all(), checks.filter(~pl.col("ok")).rows()
    return clearing


@settings(max_examples=40, deadline=None, derandomize=True)
@given(mixed_books())
def test_everything_mixed_is_cleared_and_proved(book: Book) -> None:
    """Spot, lease and sale under every rule: never without a proof, feasible in another program, and worth no more than there.

    It may be worth less: that program lets of a whole-window lot only what is used.
    """
    clearing = proved(book, seconds=0.1)
    worth, _ = exact(book, fixed=clearing.allocation)
    assert clearing.certificate.welfare_micro <= worth * (1 + 1e-6) + 10


@settings(max_examples=25, deadline=None, derandomize=True)
@given(mixed_books())
def test_no_allocation_of_a_mixed_book_beats_its_bound(book: Book) -> None:
    """An integer program over slices of single lots, with no pool and no price, stays under the bound; rules included."""
    clearing = proved(book, seconds=0.1)
    best, _ = exact(book, seconds=2.0)
    assert best <= clearing.certificate.bound_micro * (1 + 1e-6) + 10


@settings(max_examples=25, deadline=None, derandomize=True)
@given(mixed_books())
def test_the_optimum_of_the_divisible_market_proves_itself(book: Book) -> None:
    """Strong duality with sales, terms and totals in it: at the program's own prices the bound is its welfare."""
    plain = replace(
        book,
        bids=book.bids.with_columns(group=pl.lit(""), min_share=pl.lit(0.0), one_pool=pl.lit(value=False)),
        lots=book.lots.with_columns(group=pl.lit(""), min_fill=pl.lit(0, dtype=pl.Int64)),
    )
    of_book = goods(plain)
    pooled = pool(plain, of_book)
    solved = solve(pooled, plain.hours)
    prices = publish(pooled, solved)
    work = work_prices(plain, of_book, prices.lease, prices.sale)
    proves = bound(plain, of_book, prices, work)
    assert solved.objective_micro <= proves * (1 + 1e-9) + 10
    assert proves <= solved.objective_micro * (1 + 1e-5) + 2e3


def sold(c: Clearing, bid: str) -> int:
    """Return the devices that a bid has bought."""
    return int(c.allocation.filter((pl.col("bid") == bid) & pl.col("period").is_null())["devices"].sum())


def served(c: Clearing, bid: str) -> list[float]:
    """Return the work served of a bid by period."""
    return c.work.filter(pl.col("bid") == bid)["served_mtok_per_h"].to_list()


def _two_hours(*asks: Ask, want: Want) -> Book:
    return by_hand(list(asks), [want], hours=(1.0, 1.0))


def test_a_term_is_served_by_devices_bought() -> None:
    """Two hours at 5 an hour on lease, or 6 for good: a bid for a term buys what its busiest hour needs."""
    lease, sale = Ask("lease", 10, 5.0), Ask("sale", 10, 6.0, kind="sale")
    book = with_rules(_two_hours(lease, sale, want=Want("b", (4.0, 8.0), 9.0)), {}, {"term": [True]})
    c = proved(book)
    assert (sold(c, "b"), served(c, "b")) == (8, [4.0, 8.0])


def test_a_total_is_served_by_devices_bought() -> None:
    """Ten Mtok by the end of two hours: five devices bought for 6 each do in two hours what ten leased hours cost 50 for."""
    lease, sale = Ask("lease", 10, 5.0), Ask("sale", 10, 6.0, kind="sale")
    book = with_rules(_two_hours(lease, sale, want=Want("b", 10.0, 9.0)), {}, {"total_mtok": [10.0]})
    c = proved(book)
    assert sold(c, "b") == 5
    assert sum(served(c, "b")) == pytest.approx(10.0)


def test_devices_that_do_less_than_a_bid_accepts_stand_idle() -> None:
    """All or none of 2 and of 8 Mtok: three devices do the first hour alone, and are not bought for the second."""
    sale = Ask("sale", 3, 1.0, kind="sale")
    book = with_rules(_two_hours(sale, want=Want("b", (2.0, 8.0), 9.0)), {}, {"min_share": [1.0]})
    c = proved(book)
    assert (sold(c, "b"), served(c, "b")) == (2, [2.0, 0.0])


def test_one_pool_is_what_is_owned_or_one_lease() -> None:
    """Six devices for sale, six on lease, ten wanted from one pool: never more than six work at once."""
    lease, sale = Ask("lease", 6, 1.0), Ask("sale", 6, 1.5, kind="sale")
    book = _two_hours(lease, sale, want=Want("b", 10.0, 9.0))
    assert served(proved(book), "b") == [10.0, 10.0]
    assert served(proved(with_rules(book, {}, {"one_pool": [True]})), "b") == [6.0, 6.0]


def test_a_lot_for_sale_goes_at_its_least_or_not_at_all() -> None:
    """Forty at least, ten wanted: the dearer small lot is sold."""
    large, small = Ask("large", 80, 1.0, kind="sale"), Ask("small", 16, 1.1, kind="sale")
    book = by_hand([large, small], [Want("b", 10.0, 3.0)])
    c = proved(with_rules(book, {"min_fill": [40, 0]}, {}))
    assert c.allocation["lot"].to_list() == ["small"]


def test_the_same_devices_are_sold_or_let() -> None:
    """One of a group: what is sold is not let as well, and what is worth more is done."""
    lease, sale = Ask("lease", 8, 2.0), Ask("sale", 8, 3.0, kind="sale", residual=1.0)
    book = _two_hours(lease, sale, want=Want("b", 16.0, 9.0))
    c = proved(with_rules(book, {"group": ["either", "either"]}, {}))
    assert c.allocation["lot"].to_list() == ["sale"]
    assert served(proved(book), "b") == [16.0, 16.0]


def test_devices_are_bought_on_private_yields() -> None:
    """A bid that gets twice the work out of a chip buys half as many; a bid that gets half of it does not buy."""
    sale = Ask("sale", 100, 6.0, kind="sale")
    book = by_hand([sale], [Want("good", 8.0, 4.0), Want("poor", 8.0, 4.0)], hours=(1.0, 1.0))
    c = proved(replace(book, factor=np.array([[2.0], [0.5]])))
    assert (sold(c, "good"), sold(c, "poor")) == (4, 0)


def test_what_is_sold_short_of_a_block_is_found() -> None:
    """A lot for sale goes in whole blocks and at least its least quantity; an allocation of less does not stand."""
    book = by_hand([Ask("sale", 80, 1.0, kind="sale")], [Want("b", 80.0, 3.0)])
    c = proved(with_rules(book, {"min_fill": [40]}, {}))
    assert sold(c, "b") == 80
    less = replace(c, allocation=c.allocation.with_columns(devices=pl.lit(20, dtype=pl.Int64)))
    failed = verify(less).checks.filter(~pl.col("ok"))["check"].to_list()
    assert "rules of lots" in failed


def test_one_pool_from_two_sales_is_found() -> None:
    """A bid for one pool that has bought from two does not stand."""
    asks = [Ask("x", 8, 1.0, good="x", kind="sale"), Ask("y", 8, 1.0, good="y", kind="sale")]
    book = by_hand(asks, [Want("b", 12.0, 3.0, (("x", 1.0), ("y", 1.0)))])
    both = proved(book)
    assert both.allocation.height == 2
    ruled = with_rules(book, {}, {"one_pool": [True]})
    assert proved(ruled).allocation.height == 1
    failed = verify(replace(both, book=ruled)).checks.filter(~pl.col("ok"))["check"].to_list()
    assert "rules of bids" in failed


def test_many_buyers_by_the_hour_are_cleared_and_lose_nothing() -> None:
    """More bids than stand alone, more entries than the finer program takes: leases placed at a loss must not undo the market."""
    book = instance(Shape(orders=500, chips=8, sites=8, periods=24, sale_share=0.1, blocks=(8,)), seed=1)
    fine = pool(book, goods(book), apart(book, goods(book)))
    entries = float(((fine.group_rate > 0).sum(axis=0) @ (fine.offered > 0)).sum())
    assert entries > FLOWS_MAX  # else this tests nothing
    c = proved(book, seconds=8.0)
    assert c.certificate.gap < 0.2
    assert sum(c.allocation["period"].is_null()) > 0
