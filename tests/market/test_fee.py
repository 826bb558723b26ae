"""Do the orders that gain pay, in proportion and exactly, for those that would lose?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.market import Clearing, clear, dues, verify
from entrepot.market.fee import shared
from entrepot.market.instances import Shape, instance
from entrepot.market.records import WHY_MADE_WHOLE, Book

from . import lease_markets
from .markets import Ask, Want, by_hand

SHARED = Shape(
    orders=60, chips=2, sites=2, services=2, buyers=2, blocks=(8,), shared_nodes=True, all_or_none_share=0.4,
    min_fill_share=0.4, lot_all_or_none_share=0.2,
)  # fmt: skip


@st.composite
def shared_books(draw: st.DrawFn) -> Book:
    """Draw a market in which several bids share a node, so that lots are made whole."""
    shape = replace(
        SHARED, scarcity=draw(st.sampled_from([0.5, 1.25])), periods=draw(st.sampled_from([1, 3]))
    )
    return instance(shape, draw(st.integers(0, 10_000)))


@cache
def honest() -> Clearing:
    """Return a clearing in which orders are made whole."""
    clearing = clear(instance(replace(SHARED, orders=300, periods=3), 3), seconds=1)
    assert clearing.make_whole.height > 0
    assert (clearing.fees["fee_minor"] > 0).sum() > 2
    assert verify(clearing).ok
    return clearing


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.integers(1, 10**6) | st.sampled_from([1, 5, 10**14]), min_size=1, max_size=40),
    st.fractions(0, 1),
)
def test_shares_are_exact_and_nobody_pays_more_than_it_gains(gains: list[int], part: Fraction) -> None:
    """Whole units, each within one of its exact share and never above its gain; their sum is the total."""
    total = int(sum(gains) * part)
    names = pl.Series([f"order {i}" for i in range(len(gains))])
    sides = pl.Series(["lot", "bid"] * len(gains))[: len(gains)]
    fee = shared(np.array(gains), total, "seed", sides, names)
    assert int(fee.sum()) == total
    for paid, gain in zip(fee.tolist(), gains, strict=True):
        assert 0 <= paid <= gain
        assert abs(paid - Fraction(total * gain, sum(gains))) < 1


def _balanced(clearing: Clearing) -> None:
    """Assert that nobody loses, and that what is charged is what is paid out."""
    book, owed = clearing.book, dues(clearing)
    due, fee = (int(x.sum() or 0) for x in (clearing.make_whole["amount_minor"], clearing.fees["fee_minor"]))
    everything = int(clearing.fees["gain_minor"].sum() or 0)
    assert fee == min(due, everything)
    assert (clearing.fees["fee_minor"] <= clearing.fees["gain_minor"]).all()
    assert int(owed["net_minor"].sum() or 0) == due - fee
    assert int(owed["paid_minor"].sum() or 0) == int(owed["received_minor"].sum() or 0)
    # what each order is left with, from the book, to a minor unit for each payment that is rounded
    unit = 10 ** (6 - book.minor_digits)
    worth = (
        clearing.work.join(book.periods.select("period", "hours"), on="period")
        .join(book.bids.select("bid", "limit_micro"), on="bid")
        .group_by("bid")
        .agg(w=(pl.col("served_mtok_per_h") * pl.col("hours") * pl.col("limit_micro")).sum() / unit)
    )
    money = (
        clearing.trades.filter(pl.col("kind") == "lease")
        .group_by("bid")
        .agg(n=pl.len().cast(pl.Int64), paid=pl.col("payment_minor").sum())
    )
    left = (
        money.join(worth, on="bid")
        .join(clearing.fees.filter(pl.col("side") == "bid"), left_on="bid", right_on="order", how="left")
        .join(
            clearing.make_whole.filter(pl.col("side") == "bid"), left_on="bid", right_on="order", how="left"
        )
        .with_columns(pl.col("fee_minor", "amount_minor").fill_null(0))
        .with_columns(left=pl.col("w") - pl.col("paid") + pl.col("amount_minor") - pl.col("fee_minor"))
    )
    buys = clearing.trades.filter(pl.col("kind") == "sale")["bid"].implode()
    left = left.filter(~pl.col("bid").is_in(buys))
    assert left.filter(pl.col("left") < -pl.col("n") - 1e-6 * pl.col("w")).height == 0


@settings(max_examples=25, deadline=None, derandomize=True)
@given(shared_books())
def test_fees_are_what_makes_orders_whole(book: Book) -> None:
    """Buyers' and sellers' fees add up to the made-whole amounts, and nobody is left with a loss."""
    clearing = clear(book, seconds=0.3)
    assert verify(clearing).ok
    _balanced(clearing)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(lease_markets.books())
def test_fees_of_leases(book: Book) -> None:
    """The same where windows join hours, and bids are made whole too."""
    clearing = clear(book, seconds=0.3)
    assert verify(clearing).ok
    _balanced(clearing)


def test_a_fee_by_hand() -> None:
    """10 devices of two nodes of 8 at 2.00, a limit of 10.00: the price is between, and the buyer pays for the idle 6."""
    book = by_hand([Ask("a", 80, 2.0, block=8)], [Want("b", 10.0, 10.0)])
    c = clear(replace(book, lots=book.lots.with_columns(slice=pl.lit(1, dtype=pl.Int64))))
    assert verify(c).ok
    paid, whole = int(c.trades["payment_minor"].sum()), c.make_whole.row(0, named=True)
    assert (whole["order"], whole["reason"]) == ("a", WHY_MADE_WHOLE[1])
    assert paid + whole["amount_minor"] == 3200
    assert c.fees.rows() == [("b", "bid", 10000 - paid, whole["amount_minor"])]
    of = {r["party"]: r for r in dues(c).iter_rows(named=True)}
    assert (of["buyer of b"]["net_minor"], of["seller of a"]["net_minor"]) == (-3200, 3200)


def test_why_lots_are_made_whole() -> None:
    """A least quantity above what is used says so; a bid that is placed above its worth says its own reason."""
    asks = [Ask("a", 80, 2.0, block=8), Ask("b", 8, 5.0, block=8)]
    book = by_hand(asks, [Want("b", 16.0, 9.0), Want("c", 2.0, 7.0)])
    c = clear(replace(book, lots=book.lots.with_columns(min_fill=pl.Series([32, 0]))))
    assert verify(c).ok
    told = dict(c.make_whole.select("order", "reason").iter_rows())
    assert told["a"] == WHY_MADE_WHOLE[2]
    assert told.keys() == {"a"} or told == {"a": WHY_MADE_WHOLE[2], "c": WHY_MADE_WHOLE[-1]}


def _fee(c: Clearing, at: int, by: int) -> Clearing:
    here = pl.int_range(pl.len()) == at
    return replace(
        c, fees=c.fees.with_columns(fee_minor=pl.col("fee_minor") + pl.when(here).then(by).otherwise(0))
    )


def _one_unit_moved(c: Clearing) -> Clearing:
    """Charge one order a unit more and another one less: the sum is right, the shares are not."""
    paid = c.fees.with_row_index().filter(pl.col("fee_minor") > 0)["index"]
    return _fee(_fee(c, int(paid[0]), -1), int(paid[-1]), 1)


def _charged_too_much(c: Clearing) -> Clearing:
    return _fee(c, 0, 1)


def _gain_understated(c: Clearing) -> Clearing:
    at = int(c.fees["gain_minor"].arg_max() or 0)
    less = pl.when(pl.int_range(pl.len()) == at).then(pl.col("gain_minor") // 2).otherwise("gain_minor")
    return replace(c, fees=c.fees.with_columns(gain_minor=less))


def _one_let_off(c: Clearing) -> Clearing:
    return replace(c, fees=c.fees[1:])


def _no_fee_at_all(c: Clearing) -> Clearing:
    return replace(c, fees=c.fees.clear())


@pytest.mark.parametrize(
    "lie",
    [_one_unit_moved, _charged_too_much, _gain_understated, _one_let_off, _no_fee_at_all],
    ids=lambda x: x.__name__,
)
def test_a_wrong_fee_is_found(lie: Callable[[Clearing], Clearing]) -> None:
    """One thing changed in an honest result; the check of fees says so."""
    found = verify(lie(honest()))
    assert found.checks.filter(~pl.col("ok"))["check"].to_list() == ["fees"]


def test_an_invented_reason_is_found() -> None:
    """A reason is one of those that there are."""
    told = replace(honest(), make_whole=honest().make_whole.with_columns(reason=pl.lit("because")))
    assert "made whole" in verify(told).checks.filter(~pl.col("ok"))["check"].to_list()
