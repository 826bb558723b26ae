"""The report's tables say what the clearing says: no device, no fen and no token more or less."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from entrepot.report import compare, tables
from entrepot.report.format import from_micro
from entrepot.report.records import Run, Story


def test_buyers_pay_what_sellers_receive(runs: tuple[Run, ...]) -> None:
    """Each payment stands once with its bid and once with its lot, to the minor unit."""
    for run in runs:
        minor = int(run.clearing.trades["payment_minor"].sum())
        want = Decimal(minor).scaleb(-run.clearing.book.minor_digits)
        for table, column in (
            (tables.who_got_what(run), "paid"),
            (tables.who_sold_what(run), "received"),
            (tables.trades(run), "paid"),
            (compare.by_chip(run), "paid"),
        ):
            assert sum(table[column], Decimal(0)) == want


def test_served_and_unserved_make_the_demand(runs: tuple[Run, ...]) -> None:
    """What a bid wants is served, or stands among what stayed unserved with a reason."""
    for run in runs:
        got = tables.who_got_what(run)
        assert got["bid"].to_list() == run.clearing.book.bids["bid"].to_list()
        left = dict(tables.unserved(run).select("bid", "unserved_mtok").iter_rows())
        for bid in got.iter_rows(named=True):
            assert bid["served_mtok"] + left.get(bid["bid"], 0.0) == pytest.approx(
                bid["demand_mtok"], rel=1e-8
            )
        assert all(tables.unserved(run)["reason"])


def test_work_is_weighted_by_the_hours_that_a_period_stands_for(spring: Story) -> None:
    """A period of a quarter is that hour on each of its days."""
    run = spring.main
    wanted = {b.id: float(run.demand[i] @ run.clearing.book.hours) for i, b in enumerate(run.scenario.bids)}
    got = dict(tables.who_got_what(run).select("bid", "demand_mtok").iter_rows())
    assert got == pytest.approx(wanted)


def test_nobody_pays_more_than_its_limit(runs: tuple[Run, ...]) -> None:
    """The price per Mtok, less the worth of what is kept, stays below the limit."""
    for run in runs:
        paid = tables.who_got_what(run).drop_nulls("price_per_mtok")
        assert (paid["price_per_mtok"] <= paid["limit_per_mtok"]).all()


def test_device_hours_sold_are_device_hours_bought(runs: tuple[Run, ...]) -> None:
    """Lots place what bids take, and never more than they offer."""
    for run in runs:
        sold = tables.who_sold_what(run)
        assert (sold["placed_max"] <= sold["offered_max"]).all()
        of_lots = dict(sold.select("lot", "placed_device_hours").iter_rows())
        of_trades = dict(tables.trades(run).group_by("lot").agg(pl.col("device_hours").sum()).iter_rows())
        assert {lot: n for lot, n in of_lots.items() if n} == of_trades


def test_a_holding_is_used_up_to_the_last_device(runs: tuple[Run, ...]) -> None:
    """Own use, reserve, sold, leased and idle add up to what is held in every hour; none is negative."""
    uses = ["own_use", "reserve", "sold", "leased", "idle"]
    for run in runs:
        table = tables.utilisation(run)
        assert (table.select(pl.sum_horizontal(uses)).to_series() == table["held"]).all()
        assert all((table[use] >= 0).all() for use in uses)
        assert table.height == len(run.scenario.holdings) * run.clearing.book.periods.height


def test_own_services_keep_the_devices_that_they_need(runs: tuple[Run, ...]) -> None:
    """Only what is left is offered: nothing is sold or leased out of what the owner's services use."""
    for run in runs:
        joined = tables.utilisation(run).join(
            run.surplus.by_period.select("holding", "period", "own_need"), on=["holding", "period"]
        )
        assert (joined["own_use"] == joined["own_need"]).all()


def test_a_mean_price_lies_between_the_lowest_and_the_highest(runs: tuple[Run, ...]) -> None:
    """And every price of a pool is between those two."""
    for run in runs:
        for pool in tables.prices_summary(run).drop_nulls("mean").iter_rows(named=True):
            assert pool["lowest"] <= pool["mean"] <= pool["highest"]
            of_pool = run.clearing.prices.filter(pl.col("pool") == pool["pool"])
            micro = [int(p) for p in of_pool["price_micro"]]
            assert (from_micro(min(micro)), from_micro(max(micro))) == (pool["lowest"], pool["highest"])


def test_a_lease_costs_its_price_over_its_rate(spring: Story) -> None:
    """Price per device-hour over Mtok per device-hour is price per Mtok."""
    run = spring.main
    mean = dict(tables.prices_summary(run).select("pool", "mean").iter_rows())
    table = tables.work_prices(run).filter(pl.col("kind") == "lease")
    assert table.height
    for row in table.iter_rows(named=True):
        assert float(row["price_per_mtok"]) == pytest.approx(
            float(mean[row["pool"]]) / row["mtok_per_device_hour"], rel=1e-5
        )


def test_permits_are_counted_once_each(runs: tuple[Run, ...]) -> None:
    """Every pair of lot and bid is in one row of the summary."""
    for run in runs:
        summary = tables.permits_summary(run)
        assert int(summary["pairs"].sum()) == run.permits.height
        assert int(summary.filter("permitted")["pairs"].sum()) == int(run.permits["permitted"].sum())


def test_what_one_chip_does_adds_up_to_what_all_do(runs: tuple[Run, ...]) -> None:
    """The outline's devices are those of the allocation, at each chip's fullest hour."""
    for run in runs:
        outline = compare.outline(run)
        trades = run.clearing.trades
        assert outline.devices_sold == int(trades.filter(pl.col("kind") == "sale")["devices_max"].sum())
        book = run.clearing.book
        leased = np.zeros((book.lots.height, book.periods.height), dtype=np.int64)
        row = {lot: i for i, lot in enumerate(book.lots["lot"])}
        for a in run.clearing.allocation.drop_nulls("period").iter_rows(named=True):
            leased[row[a["lot"]], a["period"]] += a["devices"]
        chips = book.lots["accelerator"].to_numpy()
        fullest = sum(int(leased[chips == chip].sum(axis=0).max()) for chip in set(chips))
        assert outline.devices_leased == fullest
