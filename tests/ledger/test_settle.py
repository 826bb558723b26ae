"""A clearing becomes entries once, whole, and only on units that are there."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.errors import Conflict, InputError
from entrepot.ledger import (
    Basis,
    Entry,
    Ledger,
    Posting,
    Terms,
    clearing_id,
    gate,
    opening,
    pay,
    settle,
    stated,
)
from entrepot.ledger.settle import _entries
from entrepot.market.records import Clearing
from entrepot.scenario.records import Scenario

if TYPE_CHECKING:
    from .conftest import Write


@pytest.fixture
def opened(scenario: Scenario, place: Path | str) -> Iterator[Ledger]:
    """Open the books of the small scenario, in either database."""
    with Ledger.open(place) as ledger:
        ledger.post_all(opening(scenario))
        yield ledger


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


def test_a_clearing_whose_holdings_have_changed_is_refused(
    opened: Ledger, clearing: Clearing, scenario: Scenario, write: Write
) -> None:
    """Also when there would still be enough: the market would have cleared otherwise. It says what changed, and by whom."""
    for change in (
        write.sale("earlier", 8, fen=1),
        write.sale("small", 1, fen=1),
        write.lease("let", "2025-07-10/h08", 1),
        replace(write.sale("later", 1, fen=1), at=dt.datetime(2025, 12, 1, tzinfo=dt.UTC)),
        Entry(
            "more",
            write.at,
            "found",
            (
                Posting("alder:lf-1:available", write.chip, 8, "a-h20"),
                Posting("alder:equity", write.chip, -8, "a-h20"),
            ),
        ),
    ):
        opened.post(change)
        head, balances = opened.head, opened.balances()
        with pytest.raises(
            Conflict, match=rf"have changed since its gate(.|\n)*alder:lf-1:available(.|\n)*'{change.id}'"
        ):
            settle(opened, clearing, scenario)
        assert opened.head == head
        assert opened.balances().equals(balances)
        opened.reverse(change.id, at=change.at)
    opened.post(write.held("other", 8))  # another lot is another matter
    settle(opened, clearing, scenario)


def test_a_gate_is_taken_from_the_ledger_and_kept(
    opened: Ledger, clearing: Clearing, scenario: Scenario, write: Write, tmp_path: Path
) -> None:
    """What was sold or let before the gate is part of it; what comes after is refused."""
    opened.post(write.sale("before", 8, fen=1))
    opened.post(write.lease("let", "2025-10-10/h08", 8))
    with pytest.raises(Conflict, match="64 then, 56 now"):
        settle(opened, clearing, scenario)
    basis = gate(opened, scenario)
    file = tmp_path / "basis.json"
    file.write_text(basis.json())
    assert Basis.read(file) == basis
    assert basis.rests[0].changes == (("2025-10-10/h08", -8), ("2025-10-11/h08", 8))
    assert stated(scenario).hash != basis.hash
    file.write_text(basis.json().replace("56", "64"))
    with pytest.raises(InputError, match="its hash is another"):
        Basis.read(file)
    opened.post(write.lease("after", "2025-10-11/h09", 8))
    with pytest.raises(
        Conflict, match=r"from 2025-10-11/h09 on a change of \+0 then, -8 now \(last by 'after'\)"
    ):
        settle(opened, clearing, scenario, basis=basis)
    opened.reverse("after", at=write.at)
    with pytest.raises(
        Conflict, match="trade-2"
    ):  # 40 are let, 24 sold, and 56 there: the gate does not make units
        settle(opened, clearing, scenario, basis=basis)
    assert opened.audit().ok


def test_two_settle_at_once_and_one_does(
    place: Path | str, opened: Ledger, clearing: Clearing, scenario: Scenario
) -> None:
    """From four connections at the same time."""

    def settled(_: int) -> bool:
        with Ledger.open(place) as mine:
            try:
                return bool(settle(mine, clearing, scenario))
            except Conflict:
                return False

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(settled, range(4))) == [False, False, False, True]
    assert opened.head[0] == 2 + 3
    assert opened.audit().ok


def test_delivery_versus_payment(
    opened: Ledger, clearing: Clearing, scenario: Scenario, write: Write
) -> None:
    """In cash, units move if and only if the money does: with one buyer short of one fen, nothing moves at all."""
    paid = dict(zip(clearing.trades["trade"], clearing.trades["payment_minor"], strict=True))
    fee = (paid["trade-1"] * 25 + 5_000) // 10_000
    terms = Terms(cash=True, operator="exchange", buyer_fee_bp=25)
    needs = {"birch": paid["trade-1"] + fee, "cedar": 0}
    for trade in ("trade-2", "trade-3"):
        needs["cedar"] += paid[trade] + (paid[trade] * 25 + 5_000) // 10_000

    def fund(party: str, fen: int, id_: str) -> None:
        opened.post(
            Entry(
                id_,
                write.at,
                "paid in",
                (Posting(f"{party}:cash", "CNY.fen", fen), Posting(f"{party}:opening", "CNY.fen", -fen)),
            )
        )

    fund("birch", needs["birch"], "b")
    fund("cedar", needs["cedar"] - 1, "c")
    before = opened.balances()
    with pytest.raises(Conflict, match=r"trade-3.*cedar:cash holds"):
        settle(opened, clearing, scenario, terms=terms)
    assert opened.balances().equals(before)
    fund("cedar", 1, "c1")
    settle(opened, clearing, scenario, terms=terms)
    money = {
        r["account"]: r["quantity"]
        for r in opened.balances(slot="").filter(pl.col("commodity") == "CNY.fen").iter_rows(named=True)
    }
    assert "birch:cash" not in money
    assert "cedar:cash" not in money
    assert money["alder:cash"] == paid["trade-1"] + paid["trade-2"]
    assert money["exchange:cash"] == sum(needs.values()) - sum(paid.values())
    assert not any(state in account for account in money for state in ("payable", "receivable"))
    assert opened.audit().ok


@pytest.mark.parametrize("cash", [True, False])
@given(buyer=st.integers(0, 10_000), seller=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_partys_money_sums_to_zero(
    clearing: Clearing, scenario: Scenario, cash: bool, buyer: int, seller: int
) -> None:
    """What a party pays, owes, earns and spends is one whole, in every entry; and so is each commodity."""
    for entry in _entries(clearing, scenario, Terms(cash, "exchange", buyer, seller)):
        of_party: dict[str, int] = defaultdict(int)
        for p in entry.postings:
            if not p.unit_lot:
                of_party[p.account.split(":")[0]] += p.quantity
        assert set(of_party.values()) <= {0}


def test_terms_that_make_no_sense() -> None:
    """A fee has somebody who takes it, and is not more than everything."""
    for fees in (
        {"buyer_fee_bp": 5},
        {"operator": "x", "seller_fee_bp": 10_001},
        {"operator": "x", "buyer_fee_bp": -1},
    ):
        with pytest.raises(InputError, match="hundredths of a percent"):
            Terms(**fees)


def test_what_is_owed_is_paid_once(
    opened: Ledger, clearing: Clearing, scenario: Scenario, write: Write
) -> None:
    """A payment needs cash and a debt; the same again is a retry, and another is too much."""
    settle(opened, clearing, scenario)
    owed = -opened.balance("birch:payable:alder", "CNY.fen")
    with pytest.raises(Conflict, match="birch:cash holds 0"):
        pay(opened, "p", "birch", "alder", "CNY", owed, at=write.at)
    cash = (Posting("birch:cash", "CNY.fen", 2 * owed), Posting("birch:credit:bank", "CNY.fen", -2 * owed))
    opened.post(Entry("line", write.at, "credit", cash))
    for _ in range(2):
        pay(opened, "p", "birch", "alder", "CNY", owed, at=write.at)
    with pytest.raises(Conflict):
        pay(opened, "q", "birch", "alder", "CNY", 1, at=write.at)
    assert opened.balance("alder:cash", "CNY.fen") == owed


def test_a_lease_stands_in_both_books(
    opened: Ledger, clearing: Clearing, scenario: Scenario, write: Write
) -> None:
    """Leased out by one, leased in by the other, and to be returned; in the lease's hours only."""
    settle(opened, clearing, scenario)
    for account, count in (
        ("alder:lf-1:leased:birch", 40),
        ("birch:lf-1:leased-in:alder", 40),
        ("birch:lf-1:to-return:alder", -40),
    ):
        assert opened.balance(account, write.chip, "a-h20", "2025-07-01/h12") == count
        assert opened.balance(account, write.chip, "a-h20", "2025-10-01/h12") == 0


def test_without_an_opening_there_is_nothing_to_settle_with(clearing: Clearing, scenario: Scenario) -> None:
    """Units are never made by settling."""
    with Ledger.open() as empty:
        with pytest.raises(Conflict, match="64 then, 0 now"):
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


@pytest.mark.parametrize("terms", [Terms(), Terms(cash=True), Terms(operator="exchange", seller_fee_bp=10)])
def test_what_makes_orders_whole_is_settled(
    opened: Ledger, clearing: Clearing, scenario: Scenario, write: Write, terms: Terms
) -> None:
    """Those that gain pay those that would lose, through one account that is left with nothing but its own fee."""
    first = clearing.trades.row(0, named=True)
    last = clearing.trades.row(-1, named=True)
    trades = clearing.trades
    settled = replace(
        clearing,
        book=replace(
            clearing.book,
            lots=trades.select("lot", "seller").unique(),
            bids=trades.select("bid", "buyer").unique(),
        ),
        make_whole=pl.DataFrame(
            {
                "order": [first["lot"]],
                "side": ["lot"],
                "amount_minor": [70],
                "reason": ["the idle part of a shared node"],
            }
        ),
        fees=pl.DataFrame(
            {
                "order": [last["bid"], last["lot"]],
                "side": ["bid", "lot"],
                "gain_minor": [50, 90],
                "fee_minor": [20, 50],
            }
        ),
    )
    if terms.cash:
        for party in {*clearing.trades["buyer"], last["seller"]}:
            cash = (
                Posting(f"{party}:cash", "CNY.fen", 10**12),
                Posting(f"{party}:opening", "CNY.fen", -(10**12)),
            )
            opened.post(Entry(f"cash {party}", write.at, "paid in", cash))
    entries = settle(opened, settled, scenario, terms=terms)
    assert len(entries) == clearing.trades.height + 1
    house = terms.operator or "clearing-house"
    of: dict[str, int] = defaultdict(int)
    for p in entries[-1].postings:
        state = p.account.split(":")[1]
        if state in ("cash", "payable", "receivable"):
            of[p.account.split(":")[0]] += p.quantity
    due: dict[str, int] = defaultdict(int)
    due[first["seller"]] += 70
    due[last["buyer"]] -= 20
    due[last["seller"]] -= 50
    assert {k: v for k, v in of.items() if v} == {k: v for k, v in due.items() if v}
    assert of[house] == 0
    assert opened.audit().ok
