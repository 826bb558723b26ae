"""Do the explanations add up to the clearing that they explain?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.errors import NotFound
from entrepot.market import clear, explain, index, mix, price_of_work, supply_demand, verify
from entrepot.market.overlay import overlay, share_out
from entrepot.market.records import Book

from .markets import Ask, Want, books, by_hand


@settings(max_examples=30, deadline=None, derandomize=True)
@given(books())
def test_explanations_add_up(book: Book) -> None:
    """Every payment, device-hour and Mtok of the clearing is in them once; nobody pays above its limit per Mtok."""
    clearing = clear(book)
    told, of_mix = explain(clearing), mix(clearing)
    assert told["bid"].to_list() == book.bids["bid"].to_list()
    assert told["paid_minor"].sum() == clearing.trades["payment_minor"].sum() == of_mix["paid_minor"].sum()
    assert of_mix["device_hours"].sum() == clearing.trades["device_hours"].sum()
    assert told["demand_mtok"].sum() == pytest.approx((book.demand @ book.hours).sum())
    assert (of_mix.group_by("bid").agg(pl.col("reach_mtok").sum()).join(told, on="bid")
            .select((pl.col("reach_mtok") >= pl.col("served_mtok") * (1 - 1e-9)).all()).item())  # fmt: skip
    lots = {x["lot"]: x["kind"] for x in book.lots.iter_rows(named=True)}
    leasing = told.filter(~pl.col("bid").is_in(
        clearing.trades.filter(pl.col("lot").replace_strict(lots, default="") == "sale")["bid"].implode()
    )).drop_nulls("price_per_mtok_micro")  # fmt: skip
    # payments are rounded to cents once per trade, so a tiny one may exceed its limit by a cent
    cents = clearing.trades.group_by("bid").len()
    room = leasing.join(cents, on="bid")
    over = room.filter(
        pl.col("price_per_mtok_micro") * pl.col("served_mtok")
        > pl.col("limit_micro") * pl.col("served_mtok") * (1 + 1e-6) + 10_000 * pl.col("len")
    )
    assert over.height == 0
    assert (told.filter(pl.col("unserved_mtok") > 1e-6 * pl.col("demand_mtok"))["why"].null_count()) == 0


def test_what_a_mtok_costs() -> None:
    """8 devices at 2.00 for 16 Mtok: one Mtok costs 1.00."""
    clearing = clear(by_hand([Ask("a", 16, 2.0, block=8)], [Want("b", 16.0, 5.0, (("chip", 2.0),))]))
    row = explain(clearing).row(0, named=True)
    assert row["price_per_mtok_micro"] == 1_000_000
    assert row["pools"] == "chip lease at here 100.0%"
    assert row["why"] is None


def test_a_purchase_costs_what_it_does_not_keep() -> None:
    """A device bought at 5.00 that keeps 2.00 and does 3 Mtok: 1.00 per Mtok."""
    clearing = clear(
        by_hand([Ask("a", 9, 5.0, kind="sale", residual=2.0)], [Want("b", 8.0, 9.0)], hours=(1.0, 1.0, 1.0))
    )
    row = explain(clearing).row(0, named=True)
    assert row["kept_minor"] == 1600
    assert row["price_per_mtok_micro"] == pytest.approx(1_000_000)


def test_curves_of_supply_and_demand() -> None:
    """Asks ascend, willingness (limit x rate) descends, both over cumulative devices."""
    asks = [Ask("dear", 8, 3.0), Ask("cheap", 16, 1.0)]
    wants = [Want("low", 8.0, 1.0, (("chip", 2.0),)), Want("high", 8.0, 3.0, (("chip", 2.0),))]
    curves = supply_demand(clear(by_hand(asks, wants)), "chip", 0)
    assert curves.select("side", "order", "price", "devices_cum").rows() == [
        ("supply", "cheap", 1.0, 16.0),
        ("supply", "dear", 3.0, 24.0),
        ("demand", "high", 6.0, 4.0),
        ("demand", "low", 2.0, 8.0),
    ]


def test_the_mean_curve_weighs_hours() -> None:
    """A period that stands for three hours weighs three times one that stands for one."""
    clearing = clear(by_hand([Ask("a", (8, 0), 1.0)], [Want("b", (8.0, 8.0), 3.0)], hours=(3.0, 1.0)))
    assert supply_demand(clearing, "chip").filter(pl.col("side") == "supply")["devices"].to_list() == [6.0]


def test_no_curve_for_what_is_not_there() -> None:
    """An accelerator that nobody leases, a period outside the horizon."""
    clearing = clear(by_hand([Ask("a", 8, 1.0)], [Want("b", 8.0, 3.0)]))
    with pytest.raises(NotFound):
        supply_demand(clearing, "chips")
    with pytest.raises(NotFound):
        supply_demand(clearing, "chip", 7)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(books())
def test_queues_laid_side_by_side_meet_wholly(book: Book) -> None:
    """In each cell as much is met as the shorter queue is long, in order, and nobody meets more than it has."""
    a, b = np.sort(book.lot_class % 3), np.sort(book.bid_class % 3)
    long_a, long_b = book.capacity[:, 0], np.rint(book.demand[:, 0]).astype(np.int64)
    i, j, met = overlay(a, long_a, b, long_b)
    assert (met > 0).all()
    assert (np.bincount(i, met, minlength=len(a)) <= long_a + 1e-6).all()
    assert (np.bincount(j, met, minlength=len(b)) <= long_b + 1e-6).all()
    shorter = np.minimum(np.bincount(a, long_a, minlength=3), np.bincount(b, long_b, minlength=3))
    assert np.allclose(np.bincount(a[i], met, minlength=3), shorter)
    assert len(met) <= len(a) + len(b)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(books())
def test_shares_are_whole_and_proportional(book: Book) -> None:
    """Largest remainder: each gets its share rounded down or up, and all is given."""
    weight = book.capacity[:, 0]
    part = np.zeros(len(weight), dtype=np.int64)
    total = np.array([int(weight.sum()) * 2 // 3])
    given_out = share_out(part, weight, total, np.arange(len(weight)))
    exact = weight * int(total[0]) / max(1, int(weight.sum()))
    assert given_out.sum() == total[0]
    assert (np.abs(given_out - exact) < 1).all()
    assert (given_out <= weight).all()


def test_the_index_is_the_mean_of_the_goods_of_one_chip() -> None:
    """Two goods of one chip at one site: 30 devices let at 3.00 and 10 at 1.00 make an index of 2.50."""
    book = by_hand(
        [Ask("free", 30, 3.0, good="free"), Ask("bound", 10, 1.0, good="bound")],
        [Want("b", 30.0, 9.0, (("free", 1.0),)), Want("c", 10.0, 9.0, (("bound", 1.0),))],
    )
    book = replace(book, lots=book.lots.with_columns(accelerator=pl.lit("chip")))
    clearing = clear(book)
    prices = dict(clearing.prices.select("supplied", "price_micro").iter_rows())
    table = index(clearing)
    assert table["pools"].to_list() == [2]
    assert table["supplied"].to_list() == [40]
    assert table["price_micro"][0] == pytest.approx((30 * prices[30] + 10 * prices[10]) / 40)


def test_a_mtok_costs_what_its_cheapest_lawful_chip_costs() -> None:
    """A chip of twice the rate at less than twice the price makes the cheaper work; a bid without it pays the other's."""
    asks = [Ask("fast", 100, 3.0, good="fast"), Ask("slow", 100, 2.0, good="slow")]
    wants = [Want("b", 20.0, 5.0, (("fast", 2.0), ("slow", 1.0))), Want("c", 10.0, 5.0, (("slow", 1.0),))]
    book = by_hand(asks, wants)
    clearing = clear(replace(book, bids=book.bids.with_columns(service=pl.lit("chat"))))
    row = price_of_work(clearing).row(0, named=True)
    assert (row["cheapest_micro"], row["dearest_micro"], row["bids"]) == (1_500_000, 2_000_000, 2)


def test_private_yields_are_in_every_explanation() -> None:
    """A bid that gets three times the work out of a chip: in its reach, its curve, the price of its work and its own table."""
    asks = [Ask("one", 100, 3.0, good="one"), Ask("two", 100, 2.0, good="two")]
    rates = (("one", 2.0), ("two", 1.0))
    wants = [Want("plain", 60.0, 9.0, rates), Want("skilled", 60.0, 9.0, rates)]
    book = by_hand(asks, wants)
    own = replace(
        book,
        bids=book.bids.with_columns(service=pl.lit("work")),
        factor=np.array([[1.0, 1.0], [1.0, 3.0]]),
    )
    clearing = clear(own)
    assert verify(clearing).ok
    used = mix(clearing).filter(pl.col("bid") == "skilled").row(0, named=True)
    assert (used["label"], used["device_hours"], used["reach_mtok"]) == ("two lease at here", 20, 60.0)
    price = dict(clearing.prices.select("accelerator", "price_micro").iter_rows())
    costs = price_of_work(clearing).row(0, named=True)
    assert costs["cheapest_micro"] == pytest.approx(price["two"] / 3.0)
    assert costs["dearest_micro"] == pytest.approx(price["one"] / 2.0)
    assert costs["bids"] == 2
    curve = supply_demand(clearing, "two").filter(pl.col("side") == "demand")
    assert curve.select("order", "price", "devices").rows() == [("skilled", 27.0, 20.0), ("plain", 9.0, 60.0)]
