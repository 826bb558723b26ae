"""Own needs come first, and nothing that is held is lost on the way to the surplus."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.catalogue import demand as traces
from entrepot.planning import need, surplus
from entrepot.planning.surplus import demand_of
from entrepot.scenario.records import Scenario

from .conftest import DAY, holding, party, rates, scenario, service, worlds


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_held_is_need_and_reserve_and_surplus(world: tuple[Scenario, pl.DataFrame]) -> None:
    """A device is used, kept back or left over, and never two of these."""
    table = surplus(*world).by_period
    parts = table.select("own_need", "reserve", "surplus").to_numpy()
    assert (parts >= 0).all()
    assert (parts.sum(axis=1) == table["held"].to_numpy()).all()


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_own_need_is_the_own_use_of_the_services(world: tuple[Scenario, pl.DataFrame]) -> None:
    """Every device counted as needed runs a replica of a service of its owner, which is whole."""
    made, table = world
    left = surplus(made, table)
    used = left.own_use.group_by("holding", "period").agg(pl.col("devices").sum())
    both = left.by_period.join(used, on=["holding", "period"], how="left").with_columns(
        pl.col("devices").fill_null(0)
    )
    assert (both["devices"] == both["own_need"]).all()
    owner = {h.id: h.party for h in made.holdings}
    chip = {h.id: h.accelerator for h in made.holdings}
    replica = {(s, a): n for s, a, _, n in table.iter_rows()}
    for name, of, devices in left.own_use.select("service", "holding", "devices").iter_rows():
        assert made.services[name].party == owner[of]
        assert devices % replica[name, chip[of]] == 0


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_need_agrees_with_a_plain_loop(world: tuple[Scenario, pl.DataFrame]) -> None:
    """A second opinion: one period at a time, one replica at a time."""
    made, table = world
    found = need(made, table)
    rate = {(s, a): (r, n) for s, a, r, n in table.iter_rows() if r}
    for period in (0, 7, 23, 30):
        free = {h.id: h.quantity for h in made.holdings}
        for s, one in enumerate(made.services.values()):
            wanted = demand_of(one, 2)[period] * one.headroom
            got = 0.0
            mine = [h for h in made.holdings if h.party == one.party and (one.id, h.accelerator) in rate]
            for h in sorted(mine, key=lambda h: -rate[one.id, h.accelerator][0]):
                per_device, replica = rate[one.id, h.accelerator]
                while got < wanted * (1 - 1e-9) and free[h.id] >= replica:
                    free[h.id] -= replica
                    got += replica * per_device
            expected = max(0.0, demand_of(one, 2)[period] - got / one.headroom)
            assert found.unserved[s, period] == pytest.approx(expected, rel=1e-6, abs=1e-6 * wanted)
        taken = [h.quantity - free[h.id] for h in made.holdings]
        assert found.by_holding[:, period].tolist() == taken


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(1, 40), st.data())
def test_more_devices_never_leave_more_of_the_first_service_unserved(
    world: tuple[Scenario, pl.DataFrame], more: int, data: st.DataObject
) -> None:
    """A holder who buys does not serve the first of its services worse."""
    made, table = world
    grown_at = data.draw(st.integers(0, len(made.holdings) - 1))
    grown = tuple(
        dataclasses.replace(h, quantity=h.quantity + more * (i == grown_at))
        for i, h in enumerate(made.holdings)
    )
    before, after = need(made, table), need(dataclasses.replace(made, holdings=grown), table)
    seen: set[str] = set()
    for s, one in enumerate(made.services.values()):
        if one.party not in seen:
            assert (after.unserved[s] <= before.unserved[s] + 1e-9).all()
            seen.add(one.party)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(0, 3), st.integers(1, 30), st.floats(0.1, 60),
    st.sampled_from([0.0, 0.1, 0.5]),
)  # fmt: skip
def test_more_devices_never_leave_less_surplus(
    held: list[int], at: int, more: int, requests: float, reserve: float
) -> None:
    """With replicas of one device. (A replica of eight may take seven idle devices at once, so there it does not hold.)"""
    table = rates([("s", chip, rate, 1) for chip, rate in (("fast", 3.0), ("slow", 1.1))])

    def left(quantities: list[int]) -> list[int]:
        holdings = [holding(f"h-{i}", n, chip=("fast", "slow")[i % 2]) for i, n in enumerate(quantities)]
        made = scenario([party("alder", reserve=reserve)], holdings, [service("s", requests)], [])
        by_period = surplus(made, table).by_period
        totals: list[int] = (
            by_period.group_by("period", maintain_order=True)
            .agg(pl.col("surplus").sum())["surplus"]
            .to_list()
        )
        return totals

    grown = [n + more * (i == at % len(held)) for i, n in enumerate(held)]
    assert all(b >= a for a, b in zip(left(held), left(grown), strict=True))


def test_a_service_takes_the_best_chip_first_then_the_next() -> None:
    """36 Mtok/h at 3 on the fast chip: 12 devices; only 8 are there, the rest (12 Mtok/h at 1) runs on the slow one."""
    made = scenario(
        [party("alder", reserve=0.5)],
        [holding("slow", 40, chip="slow"), holding("fast", 8)],
        [service("s", 10.0)],
        [],
    )
    found = surplus(made, rates([("s", "slow", 1.0, 4), ("s", "fast", 3.0, 4)])).by_period.filter(
        pl.col("period") == 0
    )
    rows = found.select("holding", "held", "own_need", "reserve", "surplus").rows()
    assert rows == [("slow", 40, 12, 20, 8), ("fast", 8, 8, 0, 0)]


def test_services_are_served_in_the_order_in_which_they_are_written() -> None:
    """The first takes what it needs; the second has what is left, and the rest of its demand is unserved."""
    made = scenario([party("alder")], [holding("h", 10)], [service("a", 2.0), service("b", 2.0)], [])
    table = surplus(made, rates([("a", "fast", 1.0, 1), ("b", "fast", 1.0, 1)])).unserved.filter(
        pl.col("period") == 5
    )
    assert table.select("service", "demand_mtok_per_h", "mtok_per_h").rows() == [
        ("a", 7.2, 0.0),
        ("b", 7.2, pytest.approx(7.2 - 2)),
    ]


def test_what_is_carried_has_its_headroom_and_what_is_unserved_has_none() -> None:
    """9 devices of 1 Mtok/h with headroom 1.5 carry 6 of the 7.2 Mtok/h of the mean; 1.2 are left to be bought."""
    made = scenario([party("alder")], [holding("h", 9)], [service("s", 2.0, headroom=1.5)], [])
    assert surplus(made, rates([("s", "fast", 1.0, 1)])).unserved["mtok_per_h"][0] == pytest.approx(1.2)


def test_a_rate_that_nobody_knows_serves_nothing() -> None:
    """Null, zero and absent rates: the demand is unserved, in full."""
    made = scenario([party("alder")], [holding("h", 9), holding("g", 9, chip="odd")], [service("s", 2.0)], [])
    for table in (rates([("s", "fast", None, None)]), rates([("s", "fast", 0.0, 1)]), rates([])):
        left = surplus(made, table)
        assert left.by_period["own_need"].sum() == 0
        assert left.unserved["mtok_per_h"].to_list() == left.unserved["demand_mtok_per_h"].to_list()


def test_a_service_uses_no_devices_of_other_parties() -> None:
    """Another's surplus is bought on the market, not taken."""
    made = scenario(
        [party("alder"), party("birch")], [holding("h", 9)], [service("s", 1.0, owner="birch")], []
    )
    left = surplus(made, rates([("s", "fast", 1.0, 1)]))
    assert left.own_use.is_empty()
    assert left.by_period["surplus"].to_list() == [9] * 48


def test_quiet_hours_are_the_surplus() -> None:
    """ServeGen deepseek-r1: a fleet sized for the peak hour, 2.19 times the mean, stands idle 54 % of the time."""
    curve = np.asarray(traces.hourly("servegen-deepseek-r1"))
    peak = curve.max()
    assert peak == pytest.approx(2.19, abs=0.005)
    fleet = math.ceil(3600.0 * peak / 0.1)  # 1,000 requests/s of 1,000 tokens, 0.1 Mtok per device-hour
    made = scenario([party("alder")], [holding("h", fleet)], [service("s", 1000.0, hourly=curve)], [])
    left = surplus(made, rates([("s", "fast", 0.1, 1)]))
    assert left.unserved["mtok_per_h"].sum() == 0
    idle = left.by_period["surplus"].to_numpy().sum() / (fleet * 48)
    assert idle == pytest.approx(1 - 1 / 2.19, abs=0.002)


def test_the_purchase_of_march_2025_in_nodes() -> None:
    """Yuanbao: 3.6 M daily users x 10 requests (assumed) at the peak hour need 315 H20 nodes of 8.

    3.6 M users: press, reportify.ai 2025-03. R1's real sizes and its peak hour (2.19 x mean): ServeGen deepseek-r1.
    16,500 prefill tokens/s a node, 714 decode tokens/s a GPU: LMSYS and Ant Group, DeepSeek-R1 FP8 on H20 96 GB,
    lmsys.org/blog/2025-09-26-sglang-ant-group. Prefill and decode add up: (1,268 / 16,500 + 1,527 / (8 x 714)) node-seconds.
    """
    isl, osl = 1268.0, 1527.0
    node_seconds = isl / 16_500 + osl / (8 * 714)
    rate = osl * 3600 / 1e6 / node_seconds / 8  # Mtok per device-hour
    hourly = np.full(24, (24 - 2.19) / 23)
    hourly[20] = 2.19
    one = service("chat", 3.6e6 * 10 / 86_400, isl=np.array([isl]), osl=np.array([osl]), hourly=hourly)
    made = scenario([party("alder")], [holding("h20", 16_000)], [one], [])
    peak = surplus(made, rates([("chat", "fast", rate, 8)])).by_period["own_need"].max()
    assert peak == 315 * 8


def test_periods_are_the_hours_of_each_step() -> None:
    """48 periods for two months; the second month repeats the day."""
    made = scenario(
        [party("alder")], [holding("h", 100)], [service("s", 3.0, hourly=np.linspace(0.5, 1.5, 24))], []
    )
    table = surplus(made, rates([("s", "fast", 1.0, 1)])).by_period
    assert table["period"].to_list() == list(range(48))
    day = table["own_need"].to_numpy().reshape(2, len(DAY))
    assert (day[0] == day[1]).all()
    assert day[0, 23] == math.ceil(3.0 * 3.6 * 1.5)
