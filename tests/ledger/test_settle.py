"""A clearing becomes entries once, whole, and only on units that are there."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl
import pytest

from entrepot.errors import Conflict, InputError
from entrepot.ledger import Ledger, clearing_id, opening, settle
from entrepot.market.records import Clearing
from entrepot.scenario.records import Scenario

if TYPE_CHECKING:
    from .conftest import Write


@pytest.fixture
def opened(scenario: Scenario) -> Ledger:
    """Open the books of the small scenario, in memory."""
    ledger = Ledger.open()
    ledger.post_all(opening(scenario))
    return ledger


def test_opening_puts_all_there_is_into_the_books(opened: Ledger, scenario: Scenario) -> None:
    """Holdings at their sites, what a vendor can deliver on order; each with its papers. Twice changes nothing."""
    assert opened.balance("alder:lf-1:available", "nvidia-h20-sxm-96gb", "a-h20") == 64
    assert opened.balance("yew:on-order", "nvidia-h20-sxm-96gb", "order/o-1") == 16
    lot = opened.unit_lot("a-h20")
    assert (lot.imported_from, lot.conditions, lot.note) == ("US", ("no resale",), "two lines")
    head = opened.head
    opened.post_all(opening(scenario))
    assert opened.head == head


def test_every_trade_is_settled(opened: Ledger, clearing: Clearing, scenario: Scenario, write: Write) -> None:
    """Units one way with their lot, what is owed for them the other."""
    entries = settle(opened, clearing, scenario)
    assert [e.id.rsplit("/", 1)[1] for e in entries] == clearing.trades["trade"].to_list()
    assert all(e.settles == clearing_id(clearing, scenario) for e in entries)
    always = {
        (r["account"], r["commodity"]): r["quantity"] for r in opened.balances(slot="").iter_rows(named=True)
    }
    chip, fen = write.chip, "CNY.fen"
    assert always["alder:lf-1:available", chip] == 40
    assert always["cedar:sha-1:available", chip] == 24
    assert always["cedar:sha-1:on-order", chip] == 16
    assert ("yew:on-order", chip) not in always
    paid = dict(zip(clearing.trades["trade"], clearing.trades["payment_minor"], strict=True))
    assert always["birch:payable:alder", fen] == -paid["trade-1"]
    assert always["alder:receivable:cedar", fen] == paid["trade-2"]
    assert always["yew:receivable:cedar", fen] == paid["trade-3"]
    assert opened.audit().ok


def test_a_lease_is_in_its_hours_and_no_other(opened: Ledger, clearing: Clearing, scenario: Scenario) -> None:
    """The leased devices of every period are those of the allocation."""
    settle(opened, clearing, scenario)
    wanted = {row["period"]: row["devices"] for row in clearing.allocation.iter_rows(named=True)}
    for step, day in enumerate([dt.date(2025, 7, 1), dt.date(2025, 9, 30), dt.date(2025, 10, 1)]):
        for hour in range(24):
            leased = opened.balance(
                "alder:lf-1:leased:birch", "nvidia-h20-sxm-96gb", "a-h20", f"{day}/h{hour:02}"
            )
            assert leased == (wanted[hour] if step < 2 else 0)
    slots = opened.postings("trade-1")["slot"].unique().sort().to_list()
    assert slots == [
        "",
        "2025-07-01..2025-10-01/h00-08",
        "2025-07-01..2025-10-01/h08-20",
        "2025-07-01..2025-10-01/h20-24",
    ]


def test_provenance_follows_the_trade(opened: Ledger, clearing: Clearing, scenario: Scenario) -> None:
    """The buyer's devices lead back to the holding that they came from."""
    settle(opened, clearing, scenario)
    table = opened.provenance("a-h20").filter(pl.col("slot") == "")
    assert table["account"].to_list()[:2] == ["alder:lf-1:available", "alder:opening"]
    assert table.row(-1, named=True)["account"] == "cedar:sha-1:available"
    assert set(table["imported_from"]) == {"US"}


def test_a_clearing_is_settled_once(opened: Ledger, clearing: Clearing, scenario: Scenario) -> None:
    """Another clearing of the same orders on another day is another one."""
    settle(opened, clearing, scenario)
    head = opened.head
    with pytest.raises(Conflict, match="was settled already"):
        settle(opened, clearing, scenario)
    assert opened.head == head


def test_a_clearing_that_rests_on_what_is_gone_leaves_nothing(
    opened: Ledger, clearing: Clearing, scenario: Scenario, write: Write
) -> None:
    """The first trade would fit; the second does not; neither is written."""
    opened.post(write.sale("earlier", 8, fen=1))
    head, balances = opened.head, opened.balances()
    with pytest.raises(Conflict, match=r"trade-2.*free at 2025-07-01 08:00 UTC, and 24 would leave it"):
        settle(opened, clearing, scenario)
    assert opened.head == head
    assert opened.balances().equals(balances)
    opened.reverse("earlier", at=write.at)
    settle(opened, clearing, scenario)


def test_without_an_opening_there_is_nothing_to_settle_with(clearing: Clearing, scenario: Scenario) -> None:
    """Units are never made by settling."""
    with Ledger.open() as empty:
        with pytest.raises(Conflict, match="lot that the ledger does not know"):
            settle(empty, clearing, scenario)
        assert empty.head[0] == 0


def test_a_clearing_of_another_scenario_is_refused(
    opened: Ledger, clearing: Clearing, scenario: Scenario
) -> None:
    """Other lots, another currency, other periods, tables that disagree."""
    trades = clearing.trades
    half = replace(clearing, trades=trades.with_columns(device_hours=pl.col("device_hours") // 2))
    others = [
        (clearing, replace(scenario, lots=scenario.lots[1:]), "which it does not have"),
        (clearing, replace(scenario, currency="USD"), "it is in CNY"),
        (clearing, replace(scenario, horizon=replace(scenario.horizon, step_starts=scenario.horizon.step_starts[:2])), "other periods"),
        (half, scenario, "its allocation gives"),
        (replace(clearing, trades=trades.with_columns(lot=pl.lit("o-1"))), scenario, "on order"),
    ]  # fmt: skip
    for of, by, why in others:
        with pytest.raises(InputError, match=why):
            settle(opened, of, by)
    assert opened.head[0] == 2


def test_no_trade_no_entry(opened: Ledger, clearing: Clearing, scenario: Scenario) -> None:
    """A market in which nothing cleared changes nothing."""
    assert settle(opened, replace(clearing, trades=clearing.trades.clear()), scenario) == ()
    assert opened.head[0] == 2
