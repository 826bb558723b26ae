"""Does an edge exist only where law, speed and wish all say so?"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from entrepot.errors import InputError
from entrepot.market import Book, book, clear, verify
from entrepot.scenario import read
from entrepot.scenario.records import Bid, LotKind, Scenario

_EXAMPLE = Path(__file__).parents[2] / "examples" / "spring-2025"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """Return the example with leases, sales and vendor orders."""
    return read(_EXAMPLE)


def _rates(scenario: Scenario) -> pl.DataFrame:
    chips = sorted({x.accelerator for x in scenario.lots})
    rows = [(s, c, 1.0 + i) for s in scenario.services for i, c in enumerate(chips)]
    return pl.DataFrame(rows, schema=["service", "accelerator", "mtok_per_device_hour"], orient="row")


def _permits(scenario: Scenario, *, permitted: bool = True) -> pl.DataFrame:
    rows = [
        (x.id, b.id, permitted, "outcome", "15 CFR", "because") for x in scenario.lots for b in scenario.bids
    ]
    columns = ["lot", "bid", "permitted", "outcome", "citation", "reason"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _book(scenario: Scenario, rates: pl.DataFrame | None = None, permits: pl.DataFrame | None = None) -> Book:
    periods = scenario.horizon.periods
    return book(
        scenario,
        _rates(scenario) if rates is None else rates,
        _permits(scenario) if permits is None else permits,
        np.full((len(scenario.lots), periods), 80, dtype=np.int64),
        np.full((len(scenario.bids), periods), 100.0),
    )


def _edge(made: Book, bid: str, lot: str) -> float:
    b, i = made.bids["bid"].to_list().index(bid), made.lots["lot"].to_list().index(lot)
    return float(made.rate[made.bid_class[b], made.lot_class[i]])


def _with_bid(scenario: Scenario, **changes: object) -> tuple[Scenario, Bid]:
    first = replace(scenario.bids[0], **changes)  # type: ignore[arg-type]
    return replace(scenario, bids=(first, *scenario.bids[1:])), first


def test_permit_and_rate_make_an_edge(scenario: Scenario) -> None:
    """With every permit, a bid without wishes may use every lot, at the rate of its chip."""
    made = _book(scenario)
    rates = {(s, a): r for s, a, r in _rates(scenario).iter_rows()}
    for lot in scenario.lots:
        assert _edge(made, "birch-chat", lot.id) == rates["chat", lot.accelerator]


def test_without_a_permit_there_is_no_edge(scenario: Scenario) -> None:
    """The law is no price: what is refused, and what nobody decided, does not exist."""
    assert not _book(scenario, permits=_permits(scenario, permitted=False)).rate.any()
    undecided = _permits(scenario).filter(pl.col("lot") != scenario.lots[0].id)
    made = _book(scenario, permits=undecided)
    assert _edge(made, "birch-chat", scenario.lots[0].id) == 0.0
    assert "undecided" in made.permits["outcome"].to_list()


@pytest.mark.parametrize("rate", [None, 0.0, float("nan"), -1.0])
def test_without_a_rate_there_is_no_edge(scenario: Scenario, rate: float | None) -> None:
    """An unknown speed is not zero cost, it is no offer."""
    made = _book(
        scenario, rates=_rates(scenario).with_columns(mtok_per_device_hour=pl.lit(rate, dtype=pl.Float64))
    )
    assert not made.rate.any()


def test_a_wish_for_an_accelerator_is_kept(scenario: Scenario) -> None:
    """A bid that names its chips gets those and no others."""
    wishing, bid = _with_bid(scenario, accelerators=("nvidia-h20-sxm-96gb",))
    made = _book(wishing)
    for lot in scenario.lots:
        assert (_edge(made, bid.id, lot.id) > 0) == (lot.accelerator == "nvidia-h20-sxm-96gb")


def test_a_wish_for_a_kind_is_kept(scenario: Scenario) -> None:
    """Leases only."""
    wishing, bid = _with_bid(scenario, kinds=(LotKind.LEASE,))
    made = _book(wishing)
    for lot in scenario.lots:
        assert (_edge(made, bid.id, lot.id) > 0) == (lot.kind is LotKind.LEASE)


def test_leased_work_runs_where_the_devices_stand_and_bought_work_where_they_are_taken(
    scenario: Scenario,
) -> None:
    """In Malaysia only: a lease there counts, and so does no purchase that is taken to China."""
    wishing, bid = _with_bid(scenario, countries=("MY",))
    made = _book(wishing)
    for lot in scenario.lots:
        inside = lot.kind is LotKind.LEASE and scenario.sites[lot.site].country == "MY"
        assert (_edge(made, bid.id, lot.id) > 0) == inside


def test_money_is_exact_and_classes_cover_every_pair(scenario: Scenario) -> None:
    """Decimals become whole micro-units without a float between; each pair of classes has its reason."""
    made = _book(scenario)
    for lot, micro in zip(scenario.lots, made.lots["ask_micro"], strict=True):
        assert Decimal(micro).scaleb(-6) == lot.ask
    for bid, micro in zip(scenario.bids, made.bids["limit_micro"], strict=True):
        assert Decimal(micro).scaleb(-6) == bid.limit_per_mtok
    assert made.permits.height == made.rate.size
    assert made.minor_digits == 2
    worth = made.lots.filter(pl.col("kind") == "lease")["residual_micro"]
    assert worth.sum() == 0


def test_lots_of_different_provenance_are_different_goods(scenario: Scenario) -> None:
    """Where a device came from decides who may have it tomorrow: it is part of what is sold."""
    made = _book(scenario)
    of = dict(zip(made.lots["lot"], made.lots["provenance"], strict=True))
    assert of["holly-h20"] == "ordered from holly, shipped from US"
    assert of["alder-lease"] == "imported 2024-12-31 from US; no licence required"
    assert of["larch-910c-sale"] == "import not stated"
    assert verify(clear(made)).ok


@pytest.mark.parametrize("wrong", ["shape", "negative", "nan"])
def test_arrays_that_are_no_quantities_are_refused(scenario: Scenario, wrong: str) -> None:
    """Both arrays are looked at before anything is said."""
    periods = scenario.horizon.periods
    capacity = np.full((len(scenario.lots), periods - (wrong == "shape")), 8, dtype=np.int64)
    demand = np.full((len(scenario.bids), periods), 1.0)
    if wrong == "negative":
        capacity[0, 0] = -8
    if wrong == "nan":
        demand[0, 0] = np.nan
    with pytest.raises(InputError):
        book(scenario, _rates(scenario), _permits(scenario), capacity, demand)
