"""Are whole orders of a lease market placed by the rules, and is the gap what it says? Verified, and against small optima."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.market import clear, verify, verify_participant
from entrepot.market.lease.instances import LeaseShape, lease_instance
from entrepot.market.records import Book, Clearing

from .lease_markets import SMALL, books, textbook
from .markets import Ask, Want, by_hand


def with_rules(book: Book, **columns: list[object]) -> Book:
    """Return the book with rules of its bids."""
    return replace(book, bids=book.bids.with_columns(**{k: pl.Series(v) for k, v in columns.items()}))


def served(clearing: Clearing, bid: str) -> list[float]:
    """Return the work served of a bid, period by period."""
    return clearing.work.filter(pl.col("bid") == bid).sort("period")["served_mtok_per_h"].to_list()


@settings(max_examples=20, deadline=None)
@given(books())
def test_every_lease_clearing_stands(book: Book) -> None:
    """Whatever the rules drawn, the independent check agrees, and welfare is below the bound."""
    clearing = clear(book)
    checked = verify(clearing)
    assert checked.ok, checked.checks.filter(~pl.col("ok")).rows()
    assert checked.welfare_micro <= checked.bound_micro


@settings(max_examples=5, deadline=None)
@given(books())
def test_no_clearing_beats_the_true_optimum(book: Book) -> None:
    """The optimum under every rule, by mixed-integer programming, lies between welfare and bound."""
    clearing = clear(book)
    best, most = textbook(book, whole=True)
    assert clearing.certificate.welfare_micro <= most * (1 + 1e-6) + 2
    assert best <= clearing.certificate.bound_micro * (1 + 1e-6) + 2


@pytest.mark.parametrize("shape", SMALL)
def test_participants_find_the_same(shape: LeaseShape) -> None:
    """Each party can check its own treatment alone."""
    clearing = clear(lease_instance(shape, 11))
    for party in clearing.book.bids["buyer"].unique().sort().head(3):
        found = verify_participant(clearing, str(party))
        assert found.ok, found.checks.filter(~pl.col("ok")).rows()


def test_a_term_is_served_alike_in_every_period() -> None:
    """Half of the work in each hour, since one hour has no more."""
    book = with_rules(
        by_hand([Ask("a", (8, 4), 1.0)], [Want("w", (8.0, 8.0), 3.0)], hours=(1.0, 1.0)), term=[True]
    )
    clearing = clear(book)
    assert verify(clearing).ok
    assert served(clearing, "w") == pytest.approx([4.0, 4.0])


def test_all_or_none_is_kept() -> None:
    """A term that wants all gets nothing where one hour has too little."""
    book = by_hand([Ask("a", (8, 4), 1.0)], [Want("w", (8.0, 8.0), 3.0)], hours=(1.0, 1.0))
    clearing = clear(with_rules(book, term=[True], min_share=[1.0]))
    assert verify(clearing).ok
    assert served(clearing, "w") == [0.0, 0.0]


def test_a_total_takes_the_cheap_hours() -> None:
    """Twelve Mtok by the end, at most 8 per hour: the cheap hour is filled first."""
    asks = [Ask("dear", (8, 0), 2.0), Ask("cheap", (0, 8), 1.0)]
    book = by_hand(asks, [Want("w", (8.0, 8.0), 3.0)], hours=(1.0, 1.0))
    clearing = clear(with_rules(book, total_mtok=[12.0]))
    assert verify(clearing).ok
    assert served(clearing, "w") == pytest.approx([4.0, 8.0])


def test_one_start_of_several_is_chosen() -> None:
    """Two starts of one job: the cheaper is taken, the other says why it is not."""
    asks = [Ask("dear", (8, 0), 2.0), Ask("cheap", (0, 8), 1.0)]
    wants = [Want("early", (8.0, 0.0), 3.0), Want("late", (0.0, 8.0), 3.0)]
    book = with_rules(
        by_hand(asks, wants, hours=(1.0, 1.0)), term=[True, True], group=["job", "job"], min_share=[1.0, 1.0]
    )
    clearing = clear(book)
    assert verify(clearing).ok
    assert served(clearing, "late") == [8.0]
    assert served(clearing, "early") == [0.0]
    why = clearing.rejected.filter(pl.col("order") == "early")["reason"].to_list()
    assert why == ["another of its exclusive group was taken"]


def test_windows_of_one_hour_are_the_spot_market() -> None:
    """Where every window is one period, terms are orders by the hour: the same bound."""
    shape = LeaseShape(orders=80, periods=4, window_mean=1, chips=2, sites=2, services=2, buyers=2)
    book = lease_instance(shape, 3)
    one = np.cumsum(book.demand > 0, axis=1) <= 1
    book = replace(book, demand=book.demand * one)
    single = np.cumsum(book.capacity > 0, axis=1) <= 1
    book = replace(book, capacity=book.capacity * single)
    spot = replace(
        book,
        lots=book.lots.with_columns(whole=pl.lit(value=False)),
        bids=book.bids.with_columns(term=pl.lit(value=False)),
    )
    a, b = clear(book), clear(spot)
    assert verify(a).ok
    assert verify(b).ok
    assert a.certificate.bound_micro == pytest.approx(b.certificate.bound_micro, rel=1e-5)


def test_a_broken_term_is_found() -> None:
    """Move one period's devices away, and the check says which bid is not served as stated."""
    shape = LeaseShape(orders=60, periods=6, window_mean=4, chips=2, sites=1, services=1, buyers=1)
    clearing = clear(lease_instance(shape, 5))
    row = clearing.allocation.filter(pl.col("devices") > 1).row(0, named=True)
    same = (pl.col("lot") == row["lot"]) & (pl.col("bid") == row["bid"]) & (pl.col("period") == row["period"])
    less = clearing.allocation.with_columns(devices=pl.when(same).then(1).otherwise("devices"))
    assert not verify(replace(clearing, allocation=less)).ok
