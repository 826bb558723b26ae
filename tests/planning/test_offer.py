"""What is offered outside never exceeds what need, reserve and policy leave."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.errors import InputError
from entrepot.planning import demand, offered, surplus
from entrepot.scenario.records import LotKind, Scenario

from .conftest import DAY, END, MIDDLE, START, bid, holding, lot, party, rates, scenario, service, worlds

NO_RATES = rates([])


def capacity_of(made: Scenario, table: pl.DataFrame = NO_RATES) -> dict[str, Any]:
    """Return what each lot offers, by its id."""
    found = offered(made, surplus(made, table))
    return {one.id: found[i] for i, one in enumerate(made.lots)}


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_the_lots_together_stay_within_surplus_and_policy(world: tuple[Scenario, pl.DataFrame]) -> None:
    """In every period: a holding's lots <= its surplus, a party's lots <= its policy's share of what it holds."""
    made, table = world
    left = surplus(made, table)
    found = offered(made, left)
    free = left.by_period["surplus"].to_numpy().reshape(len(made.holdings), -1)
    for h, of in enumerate(made.holdings):
        mine = [i for i, one in enumerate(made.lots) if one.holding == of.id]
        assert (found[mine].sum(axis=0) <= free[h]).all()
    for name, owner in made.parties.items():
        held = sum(h.quantity for h in made.holdings if h.party == name)
        mine = [i for i, one in enumerate(made.lots) if one.seller == name]
        assert (found[mine].sum(axis=0) <= owner.policy.sale_share_max * held + 1e-9).all()


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_lots_come_in_blocks_inside_their_window(world: tuple[Scenario, pl.DataFrame]) -> None:
    """Whole nodes, nothing outside the window, one quantity where a lot is whole."""
    made, table = world
    found = offered(made, surplus(made, table))
    assert found.dtype == np.int64
    for i, one in enumerate(made.lots):
        sale = one.kind is LotKind.SALE
        window = made.horizon.mask(one.start, END if sale else one.end, None if sale else one.hours)
        assert found[i].min() >= 0
        assert (found[i] % one.block == 0).all()
        assert not found[i][~window].any()
        if sale or one.whole:
            assert len(set(found[i][window].tolist())) == 1


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_offering_again_the_numbers_that_came_out_is_accepted(world: tuple[Scenario, pl.DataFrame]) -> None:
    """What ``surplus`` stood for may be written down as numbers, and one block more may not."""
    made, table = world
    left = surplus(made, table)
    found = offered(made, left)
    steady = [
        i
        for i in range(len(made.lots))
        if found[i].max() and (made.lots[i].whole or made.lots[i].kind is LotKind.SALE)
    ]
    lots = tuple(dataclasses.replace(made.lots[i], quantity=int(found[i].max())) for i in steady)
    fixed = dataclasses.replace(made, lots=lots)
    assert (offered(fixed, left) == found[steady]).all()
    if lots:
        last = dataclasses.replace(lots[-1], quantity=100_000 // lots[-1].block * lots[-1].block)
        with pytest.raises(InputError, match=f"lots: {last.id}: quantity"):
            offered(dataclasses.replace(made, lots=(*lots[:-1], last)), left)


def test_a_tenth_of_thirty_is_three() -> None:
    """Policy caps are exact where the float is not (0.1 x 30 = 3.0000000000000004 or less)."""
    for share, held, most in ((0.1, 30, 3), (0.29, 100, 29), (0.07, 100, 7), (1.0, 5, 5), (0.0, 5, 0)):
        h = holding("h", held)
        made = scenario([party("alder", most=share)], [h], [], [lot("l", h, None)])
        assert set(capacity_of(made)["l"].tolist()) == {most}


def test_the_policy_counts_all_lots_of_a_party() -> None:
    """Two holdings, one policy: half of 40 in all, first come first."""
    a, b = holding("a", 20), holding("b", 20, chip="slow")
    made = scenario([party("alder", most=0.5)], [a, b], [], [lot("x", a, None, block=8), lot("y", b, None)])
    found = capacity_of(made)
    assert (found["x"][0], found["y"][0]) == (16, 4)


def test_numbers_go_before_surplus_whatever_the_order() -> None:
    """A commitment is kept; ``surplus`` takes what is left of it, in its hours."""
    h = holding("h", 20)
    night = (0, 1, 2)
    made = scenario([party("alder")], [h], [], [lot("rest", h, None), lot("fixed", h, 12, hours=night)])
    found = capacity_of(made)
    assert found["fixed"][:4].tolist() == [12, 12, 12, 0]
    assert found["rest"][:4].tolist() == [8, 8, 8, 20]


def test_a_sale_takes_the_least_of_all_periods_after_delivery() -> None:
    """A device that is sold is missed in every hour, also in the busiest; before delivery it is still there."""
    h = holding("h", 30)
    busy = service("s", 1.0, hourly=np.where(np.arange(24) == 20, 4.0, 20 / 23))
    table = rates([("s", "fast", 1.0, 1)])
    lots = [lot("sale", h, None, kind=LotKind.SALE, start=MIDDLE), lot("lease", h, None)]
    found = capacity_of(scenario([party("alder")], [h], [busy], lots), table)
    assert set(found["sale"][:24].tolist()) == {0}
    assert set(found["sale"][24:].tolist()) == {30 - 15}
    assert found["lease"][20] == 15
    assert found["lease"][3] == 30 - 4
    assert found["lease"][24 + 3] == 30 - 4 - 15
    assert found["lease"][24 + 20] == 0


def test_a_whole_lease_takes_the_least_of_its_window() -> None:
    """One quantity from its first hour to its last."""
    h = holding("h", 30)
    busy = service("s", 1.0, hourly=np.where(np.arange(24) == 20, 4.0, 20 / 23))
    table = rates([("s", "fast", 1.0, 1)])
    lots = [lot("whole", h, None, whole=True, hours=(3, 20)), lot("rest", h, None, hours=(3, 20))]
    found = capacity_of(scenario([party("alder")], [h], [busy], lots), table)
    assert (found["whole"][3], found["whole"][20]) == (15, 15)
    assert (found["rest"][3], found["rest"][20]) == (11, 0)


def test_every_lot_above_what_is_left_is_named_with_the_hour() -> None:
    """One error with all of them: what is offered, what is left, when, and why."""
    a, b = holding("a", 100), holding("b", 100, owner="birch")
    busy = service("s", 1.0, hourly=np.where(np.arange(24) == 20, 4.0, 20 / 23))
    made = scenario(
        [party("alder", reserve=0.1), party("birch", most=0.1)],
        [a, b],
        [busy],
        [lot("fits", a, 40, block=8), lot("over", a, 40, block=8), lot("policy", b, 16, block=8)],
    )
    with pytest.raises(InputError) as caught:
        offered(made, surplus(made, rates([("s", "fast", 1.0, 1)])))
    over, policy = caught.value.faults
    assert over.where == "lots: over: quantity"
    assert "40 devices are offered where 35 are left (from 2025-07-01, 20-21 h UTC)" in over.what
    assert "Write 32" in over.mend
    assert "birch offers at most 10% of its devices" in policy.what
    assert "Write 8" in policy.mend


def test_an_order_offers_all_of_it_from_delivery() -> None:
    """A vendor's units are nobody's holding: no need, no reserve, no policy."""
    ordered = lot("o", None, 24, kind=LotKind.SALE, start=MIDDLE, whole=True)
    found = capacity_of(scenario([party("vendor", most=0.0)], [], [], [ordered]))
    assert found["o"].tolist() == [0] * 24 + [24] * 24


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_bids_want_their_share_or_what_is_unserved(world: tuple[Scenario, pl.DataFrame]) -> None:
    """Never less than nothing, never more than the demand of the service."""
    made, table = world
    left = surplus(made, table)
    wanted = demand(made, left)
    whole = left.unserved["demand_mtok_per_h"].to_numpy().reshape(len(made.services), made.horizon.periods)
    unserved = left.unserved["mtok_per_h"].to_numpy().reshape(len(made.services), made.horizon.periods)
    for i, (one, asked) in enumerate(zip(made.services, made.bids, strict=True)):
        assert asked.service == one
        expected = unserved[i] if asked.share is None else asked.share * whole[i]
        assert wanted[i] == pytest.approx(expected)
        assert (wanted[i] >= 0).all()
        assert (wanted[i] <= whole[i] * (1 + 1e-12)).all()


def test_a_bid_wants_nothing_outside_its_window() -> None:
    """1 request/s of 1,000 tokens is 3.6 Mtok/h."""
    made = scenario([party("alder")], [], [service("s", 1.0)], [], [bid("b", "s", 0.5, start=MIDDLE)])
    assert demand(made, surplus(made, NO_RATES))[0].tolist() == [0.0] * 24 + [1.8] * 24


def test_nothing_offered_and_nothing_wanted_have_the_right_shape() -> None:
    """Empty books are books."""
    made = scenario([party("alder")], [holding("h", 3)], [], [])
    left = surplus(made, NO_RATES)
    assert offered(made, left).shape == (0, 48)
    assert demand(made, left).shape == (0, 48)
    assert (START, END, len(DAY)) == (dt.date(2025, 7, 1), dt.date(2025, 9, 1), 24)
