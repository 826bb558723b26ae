"""Are a market's permits asked as kinds, and does every pair still get its own answer?"""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import entrepot as ep
from entrepot import acts, planning
from entrepot.controls import decide
from entrepot.market import book
from entrepot.scenario.records import Scenario

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(params=["spring-2025", "mixed-fleet"])
def scenario(request: pytest.FixtureRequest) -> Scenario:
    """Return each example."""
    return ep.load(EXAMPLES / request.param)


def grown(scenario: Scenario, times: int) -> Scenario:
    """Return a market with every lot and every bid many times over, under ids of their own."""
    lots = tuple(replace(x, id=f"{x.id}/{n}") for n in range(times) for x in scenario.lots)
    bids = tuple(replace(b, id=f"{b.id}/{n}") for n in range(times) for b in scenario.bids)
    return replace(scenario, lots=lots, bids=bids)


def test_each_pair_gets_the_answer_to_its_own_act(scenario: Scenario) -> None:
    """Decided as a kind or by itself: the same decision, and the act in it is the pair's own."""
    found = acts.decided(scenario)
    assert (
        len(found)
        == len(list(found))
        == sum(x.seller != b.buyer for x in scenario.lots for b in scenario.bids)
    )
    rows = {(r["lot"], r["bid"]): r for r in found.permits.by_pair().iter_rows(named=True)}
    for lot in scenario.lots:
        for bid in scenario.bids:
            row = rows[lot.id, bid.id]
            if lot.seller == bid.buyer:
                assert (row["permitted"], row["outcome"]) == (False, "own")
                assert (lot.id, bid.id) not in found
                continue
            alone = decide(acts.transfer(scenario, lot, bid))
            assert found[lot.id, bid.id] == alone
            assert (row["permitted"], row["outcome"]) == (alone.allowed, alone.outcome.value)
            assert row["citation"] == "; ".join(alone.citations)


def test_kinds_make_the_same_book_as_pairs(scenario: Scenario) -> None:
    """The order book is the same, class by class, whether the law comes as kinds or as one row per pair."""
    rates = ep.rates(scenario)
    left = planning.surplus(scenario, rates)
    capacity, wanted = planning.offered(scenario, left), planning.demand(scenario, left)
    permits = acts.decided(scenario).permits
    by_kind = book(scenario, rates, permits, capacity, wanted)
    by_pair = book(scenario, rates, permits.by_pair(), capacity, wanted)
    assert np.array_equal(by_kind.lot_class, by_pair.lot_class)
    assert np.array_equal(by_kind.bid_class, by_pair.bid_class)
    assert np.array_equal(by_kind.rate, by_pair.rate)
    assert by_kind.permits.equals(by_pair.permits)


def test_a_hundred_times_the_market_is_as_many_kinds(scenario: Scenario) -> None:
    """Ten thousand times the pairs: the same kinds, the same decisions, and hardly more memory."""
    small = acts.decided(scenario)
    large = grown(scenario, 100)
    tracemalloc.start()
    found = acts.decided(large)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.permits.pairs == 10_000 * small.permits.pairs
    assert found.permits.code.shape == small.permits.code.shape
    assert len(found.decisions) == len(small.decisions)
    assert peak < 8 * found.permits.pairs  # less than one number for each pair
    assert (
        found[large.lots[-1].id, large.bids[0].id].transfer
        == small[scenario.lots[-1].id, scenario.bids[0].id].transfer
    )


def test_a_party_that_sells_and_buys_does_not_trade_with_itself(scenario: Scenario) -> None:
    """Two parties of whom the same is known are one kind, unless one of them stands on both sides."""
    own = {(x.id, b.id) for x in scenario.lots for b in scenario.bids if x.seller == b.buyer}
    rows = acts.decided(scenario).permits.by_pair().filter(pl.col("outcome") == "own")
    assert set(rows.select("lot", "bid").iter_rows()) == own


def test_of_too_many_pairs_no_table_is_made(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of permits then has one row for each pair of kinds."""
    from entrepot import api

    monkeypatch.setattr(api, "_PAIRS_MAX", 10)
    found = acts.decided(grown(scenario, 20))
    assert api.permits(found.scenario, found).height == found.permits.code.size
