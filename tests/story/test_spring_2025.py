"""The story on real figures: the same market comes out differently on each date, for reasons that it names."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from entrepot import api
from entrepot.report.records import Run

SPRING = Path(__file__).parents[2] / "examples" / "spring-2025"
BEFORE, AFTER, GUIDED = dt.date(2025, 4, 1), dt.date(2025, 4, 16), dt.date(2025, 5, 20)


@pytest.fixture(scope="module")
def runs() -> dict[dt.date, Run]:
    """Return the market on each of the three dates."""
    return {day: api.run(api.load(SPRING, as_of=day)) for day in (BEFORE, AFTER, GUIDED)}


def devices(run: Run, lot: str) -> int:
    """Return the device-hours and devices that a lot sold, in one figure: zero is zero."""
    trades = run.clearing.trades.filter(pl.col("lot") == lot)
    return int(trades["devices_max"].sum())


def refusal(run: Run, lot: str, bid: str) -> tuple[str, str]:
    """Return outcome and citation of one edge."""
    row = run.permits.filter((pl.col("lot") == lot) & (pl.col("bid") == bid)).row(0, named=True)
    return row["outcome"], row["citation"]


def test_the_vendor_sells_before_the_letter_and_not_after(runs: dict[dt.date, Run]) -> None:
    """The letter of 2025-04-09 takes new H20s off the market, and the answer cites it."""
    assert devices(runs[BEFORE], "holly-h20") > 0
    for day in (AFTER, GUIDED):
        assert devices(runs[day], "holly-h20") == 0
        outcome, citation = refusal(runs[day], "holly-h20", "birch-chat")
        assert outcome == "licence_required"
        assert "letter of 2025-04-09" in citation


def test_the_stockpile_is_traded_only_when_the_vendor_is_out(runs: dict[dt.date, Run]) -> None:
    """Resale inside China needs no licence on any date; it becomes worth its price when new units need one."""
    for day, run in runs.items():
        assert refusal(run, "alder-sale", "birch-chat")[0] == "no_licence_required", day
    old = {day: devices(run, "alder-sale") + devices(run, "alder-lease") for day, run in runs.items()}
    assert old[BEFORE] < old[AFTER] < old[GUIDED]


def test_the_domestic_chip_is_a_substitute_until_the_guidance(runs: dict[dt.date, Run]) -> None:
    """From 2025-05-13 BIS presumes General Prohibition Ten to reach Ascend 910B and 910C."""
    assert devices(runs[AFTER], "larch-910c-sale") > 0
    assert devices(runs[GUIDED], "larch-910c-sale") == devices(runs[GUIDED], "larch-910b3-sale") == 0
    outcome, citation = refusal(runs[GUIDED], "larch-910c-sale", "birch-chat")
    assert outcome == "prohibited"
    assert "736.2(b)(10)" in citation


@pytest.mark.parametrize("day", [BEFORE, AFTER, GUIDED])
def test_what_was_out_of_reach_stays_so(runs: dict[dt.date, Run], day: dt.date) -> None:
    """H100 to be shipped and B200 need a licence on every date; H100 compute from afar is no export."""
    assert refusal(runs[day], "holly-b200", "birch-chat")[0] == "licence_required"
    assert refusal(runs[day], "meranti-h100-sale", "birch-chat")[0] == "licence_required"
    assert refusal(runs[day], "meranti-h100-lease", "birch-chat")[0] == "no_licence_required"
    assert devices(runs[day], "holly-b200") == devices(runs[day], "meranti-h100-sale") == 0


def test_a_listed_party_gets_nothing(runs: dict[dt.date, Run]) -> None:
    """The Entity List reaches items that no list controls; and what is not settled is not permission."""
    for run in runs.values():
        assert run.clearing.trades.filter(pl.col("buyer") == "elm").is_empty()


def test_fewer_lawful_ways_never_raise_welfare(runs: dict[dt.date, Run]) -> None:
    """Each date only takes edges away from the same orders, so the bound cannot rise."""
    bounds = [runs[day].clearing.certificate.bound_micro for day in (BEFORE, AFTER, GUIDED)]
    assert bounds[0] >= bounds[1] >= bounds[2]


def test_every_run_is_proved_and_settled(runs: dict[dt.date, Run]) -> None:
    """The independent check passes, the gap is small, and no account of units is below zero."""
    for run in runs.values():
        assert run.verification.ok
        assert 0 <= run.clearing.certificate.gap < 0.01


def test_no_more_than_a_tenth_is_offered(runs: dict[dt.date, Run]) -> None:
    """The holder's policy: at most 10 % of its inventory outside, in every hour."""
    run = runs[AFTER]
    mine = [i for i, lot in enumerate(run.scenario.lots) if lot.seller == "alder"]
    held = sum(h.quantity for h in run.scenario.holdings if h.party == "alder")
    assert run.capacity[mine].sum(axis=0).max() <= held // 10


def test_the_chat_app_in_march_2025_needs_hundreds_of_nodes(runs: dict[dt.date, Run]) -> None:
    """3.6 million users a day, 10 requests each (assumed), measured H20 speeds: 315 nodes of 8 at the peak hour.

    Ours is a model without that measurement's speculative decoding: the same order of magnitude is claimed, no more.
    """
    sizes = api.sized(runs[AFTER].scenario)
    row = sizes.filter((pl.col("workload") == "chat") & (pl.col("accelerator") == "nvidia-h20-sxm-96gb")).row(
        0, named=True
    )
    assert 315 / 2.5 < row["devices_central"] / 8 < 315 * 2.5
    assert row["devices_low"] <= 315 * 8 <= row["devices_high"]


def test_the_large_assistant_in_may_2025_needs_the_order_of_200000(runs: dict[dt.date, Run]) -> None:
    """16.7 tn tokens a day at measured H20 speeds: 119,500 devices at the mean and 222,000 at the peak hour."""
    sizes = api.sized(runs[AFTER].scenario)
    row = sizes.filter(
        (pl.col("workload") == "assistant") & (pl.col("accelerator") == "nvidia-h20-sxm-96gb")
    ).row(0, named=True)
    assert 119_500 / 2.5 < row["devices_at_mean_load"] < 119_500 * 2.5
    assert row["devices_low"] <= 222_000 <= row["devices_high"]


def test_the_disputed_stockpile_decides_whether_there_is_anything_to_sell() -> None:
    """Under the smaller reading the holder's own assistant takes all that it has: both readings are shown, none believed."""
    small = api.run(api.load(SPRING, as_of=AFTER, variant="hopper-230k"))
    assert small.surplus.by_period.filter(pl.col("holding") == "alder-h20")["surplus"].max() == 0
    assert devices(small, "alder-lease") == 0
