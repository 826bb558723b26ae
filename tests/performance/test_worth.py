"""Equivalents, costs, frontiers, waits at a load, and pictures: what people ask with the rates."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import polars as pl
import pytest

from entrepot import api, catalogue, performance
from entrepot.cli import main
from entrepot.errors import InputError, MissingFact
from entrepot.performance import Layout, PriceRange, Slo, Workload
from entrepot.performance.offsets import calibrated, key_of_cell

ONE = np.array([1.0])
QWEN = catalogue.model("qwen3-32b")
H20, H200 = catalogue.accelerator("nvidia-h20-sxm-96gb"), catalogue.accelerator("nvidia-h200-sxm-141gb")
CHAT = Workload("chat", QWEN.id, ONE * 1024, ONE * 512, ONE, Slo(2000, 50))
TABLE = performance.rates([CHAT], [H20, H200, catalogue.accelerator("nvidia-h20-sxm-141gb")], {QWEN.id: QWEN})


def test_one_device_equals_itself_and_ratios_multiply() -> None:
    """If one H200 is n H20s, one H20 is 1/n H200s; what has no rate has no ratio."""
    by_h200 = performance.equivalents(TABLE, H200.id)
    by_h20 = performance.equivalents(TABLE, H20.id)
    n = by_h200.filter(by_h200["accelerator"] == H20.id).row(0, named=True)
    back = by_h20.filter(by_h20["accelerator"] == H200.id).row(0, named=True)
    assert n["devices_per_base_central"] * back["devices_per_base_central"] == pytest.approx(1)
    assert n["devices_per_base_low"] * back["devices_per_base_high"] == pytest.approx(1)
    assert n["devices_per_base_low"] < n["devices_per_base_central"] < n["devices_per_base_high"]
    own = by_h200.filter(by_h200["accelerator"] == H200.id).row(0, named=True)
    assert own["devices_per_base_low"] == own["devices_per_base_high"] == 1
    with pytest.raises(MissingFact, match="memory bandwidth"):
        performance.equivalents(TABLE, "nvidia-h20-sxm-141gb")


def test_cost_is_price_over_rate() -> None:
    """The low cost is the low price at the high rate; a chip without a price has none."""
    price = PriceRange(Decimal("1.00"), Decimal("2.00"), Decimal("4.00"), "USD", "invented")
    row = performance.costs(TABLE, {H20.id: price}).filter(TABLE["accelerator"] == H20.id).row(0, named=True)
    assert float(row["cost_per_mtok_central"]) == pytest.approx(
        2 / row["mtok_per_device_hour_central"], abs=1e-4
    )
    assert float(row["cost_per_mtok_low"]) == pytest.approx(1 / row["mtok_per_device_hour_high"], abs=1e-4)
    assert float(row["cost_per_mtok_high"]) == pytest.approx(4 / row["mtok_per_device_hour_low"], abs=1e-4)
    other = (
        performance.costs(TABLE, {H20.id: price}).filter(TABLE["accelerator"] == H200.id).row(0, named=True)
    )
    assert other["cost_per_mtok_central"] is None


def test_no_point_of_a_frontier_is_beaten_by_another() -> None:
    """Slower for the user only where the device does more."""
    table = performance.frontier(CHAT, [H20, H200], QWEN)
    for chip in (H20.id, H200.id):
        rows = table.filter(table["accelerator"] == chip)
        assert rows.height > 5
        assert (np.diff(rows["tpot_ms"].to_numpy()) >= 0).all()
        assert (np.diff(rows["tokens_per_s_per_device"].to_numpy()) > 0).all()
    within = table.filter((table["accelerator"] == H200.id) & (table["tpot_ms"] <= 50))
    answer = performance.estimate(CHAT, H200, QWEN)
    assert answer.mtok_per_device_hour is not None
    best = float(within["tokens_per_s_per_device"].max() or 0) * 3600 / 1e6  # type: ignore[arg-type]
    assert best >= answer.mtok_per_device_hour.central * (1 - 1e-9)


def test_every_command_rests_on_the_same_rate() -> None:
    """A scenario's rates, what it needs, and the answers about its work alone: pools are weighed only where they are asked for."""
    scenario = api.load(Path(__file__).parents[2] / "examples" / "spring-2025")
    service = scenario.services["chat"]
    market = api.rates(scenario).filter(pl.col("service") == service.id)
    chip, model = H20, catalogue.model(service.model)
    row = market.filter(pl.col("accelerator") == chip.id).row(0, named=True)
    work = api.workload(scenario, service.id)
    alone = performance.rates([work], [chip], {model.id: model}).row(0, named=True)
    assert {k: row[k] for k in alone if k in row} == {k: alone[k] for k in alone if k in row}
    need = api.sized(scenario).filter((pl.col("workload") == service.id) & (pl.col("accelerator") == chip.id))
    peak = need["peak_requests_per_s"].item()
    sized = performance.size(work, chip, model, np.array([peak]))
    assert sized.devices_central[0] == need["devices_central"].item()
    assert need["layout"].item() == row["layout"]
    asked = Slo(3000, 50)
    plain = api.compare("deepseek-r1", chips=[chip.id], slo=asked).row(0, named=True)
    size = api.size("deepseek-r1", [100.0], chips=[chip.id], slo=asked).row(0, named=True)
    assert plain["layout"] == size["layout"]
    apart = api.compare("deepseek-r1", chips=[chip.id], slo=asked, pools=True).row(0, named=True)
    assert "prefill" in apart["layout"]
    assert apart["mtok_per_device_hour_low"] > plain["mtok_per_device_hour_low"]
    both = api.size("deepseek-r1", [100.0], chips=[chip.id], slo=asked, pools=True).row(0, named=True)
    assert both["layout"] == apart["layout"]


def test_an_answer_says_what_its_time_rests_on() -> None:
    """The shares of ``explain``, in one line, beside each answer; nothing beside what has none."""
    chips = [H20.id, "huawei-ascend-910c", "nvidia-l20-48gb"]
    table = api.compare("deepseek-r1", chips=chips, slo=Slo(3000, 80))
    by_chip = dict(table.select("accelerator", "rests_on").iter_rows())
    assert by_chip["huawei-ascend-910c"] == "transferred 100%"
    assert by_chip["nvidia-l20-48gb"] is None
    sized = api.size("deepseek-r1", [10.0], chips=[H20.id], slo=Slo(3000, 80)).row(0, named=True)
    assert sized["rests_on"] == by_chip[H20.id]
    shares = [int(part.split()[1].rstrip("%")) for part in by_chip[H20.id].split(", ")]
    assert sum(shares) == pytest.approx(100, abs=2)
    assert by_chip[H20.id].startswith("measured")


def test_a_saturated_replica_gets_no_number() -> None:
    """Above nine tenths of capacity the far end, then the centre, is a word."""
    layout = Layout(catalogue.records.NumberFormat.FP8, 16, 1, 1, 1, 100)
    calm = performance.latency(CHAT, H200, QWEN, layout, 0.2)
    assert not calm.saturated
    assert 0 < calm.busy < 0.2
    full = performance.latency(CHAT, H200, QWEN, layout, calm.capacity_requests_per_s * 0.95)
    assert full.saturated
    assert full.ttft_ms[99.0].central is None
    near = performance.latency(CHAT, H200, QWEN, layout, calm.capacity_requests_per_s * 0.8)
    assert near.ttft_ms[99.0].central is not None
    assert near.ttft_ms[99.0].high is None  # if the chip is slower than thought, this load is too much
    for percentile in performance.PERCENTILES:
        for at in (calm.ttft_ms[percentile], calm.tpot_ms[percentile]):
            assert at.low is not None
            assert at.central is not None
            assert at.low < at.central
        assert near.ttft_ms[percentile].central >= calm.ttft_ms[percentile].central  # type: ignore[operator]
    with pytest.raises(InputError):
        performance.latency(CHAT, H200, QWEN, layout, -1)


def test_a_fleet_is_less_bursty_than_its_arrivals() -> None:
    """Burstiness is shared by the replicas: a large service needs less room per request than a small one."""
    bursty = replace(CHAT, slo=Slo(1500, 50, 90.0), arrival_scv=30.0)
    calm = replace(bursty, arrival_scv=1.0)
    small, large = (performance.size(bursty, H20, QWEN, np.array([x])) for x in (5.0, 5000.0))
    assert large.devices_central[0] / 5000 < small.devices_central[0] / 5
    poisson = performance.size(calm, H20, QWEN, np.array([5000.0]))
    assert large.devices_central[0] == pytest.approx(poisson.devices_central[0], rel=0.03)


def test_by_hour_covers_each_hour_and_counts_what_idles() -> None:
    """Idle devices are those of the busiest hour that another hour does not need."""
    table = api.size_by_hour(QWEN.id, [1.0, 4.0, 2.0], mix="servegen-m-large", chips=[H20.id])
    assert table["hour"].to_list() == [0, 1, 2]
    assert table["idle"].min() == 0
    assert (table["devices_central"] + table["idle"]).n_unique() == 1
    assert (table["devices_low"] <= table["devices_central"]).all()
    assert (table["devices_central"] <= table["devices_high"]).all()


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_pictures_stand_alone(suffix: str, tmp_path: Path) -> None:
    """No script, no address to fetch, well formed, with words for those who cannot see it."""
    file = tmp_path / f"picture.{suffix}"
    chips = "h20-sxm-96gb,h200-sxm-141gb"
    assert main(["compare", "qwen3-32b", "--chips", chips, "--pareto", str(file)]) == 0
    roof = tmp_path / f"roof.{suffix}"
    asked = ["performance", "explain", "qwen3-32b", "--chip", "h20-sxm-96gb", "--picture", str(roof)]
    assert main(asked) == 0
    for path in (file, roof):
        text = path.read_text(encoding="utf-8")
        picture = text[text.index("<svg") : text.index("</svg>") + 6]
        root = ET.fromstring(picture)  # noqa: S314 - our own
        assert "<script" not in text
        assert text.count("http") == 1  # the SVG name space
        assert "prefers-color-scheme" in text
        words = "".join(root.itertext())
        assert "TPOT" in words or "intensity" in words
        assert len(root.findall(".//{http://www.w3.org/2000/svg}path")) > 2
    assert main(["compare", "qwen3-32b", "--chips", chips, "--pareto", str(tmp_path / "picture.png")]) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        ["--price", "h20-sxm-96gb"],
        ["--price", "h20-sxm-96gb=-1"],
        ["--arrivals", "often"],
        ["--arrivals", "mix"],
        ["--percentile", "100"],
        ["--draft-tokens", "99"],
        ["--prefix-hit-share", "1.5"],
        ["--pareto", "x.html"],
    ],
)
def test_a_slip_gets_one_sentence(
    wrong: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is wrong and the mend, exit 3, nothing on stdout."""
    del tmp_path
    chips = [] if wrong[0] == "--pareto" else ["--chips", "h20-sxm-96gb"]
    assert main(["compare", "qwen3-32b", *chips, *wrong]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Write" in shown.err or "Name" in shown.err or "They are" in shown.err


def test_processes_change_nothing_but_the_time() -> None:
    """Two processes give the table that one gives, and a calibration by own runs reaches them both."""
    chips, models = [H20, H200], {QWEN.id: QWEN}
    plain = performance.rates([CHAT], chips, models)
    own = {
        (
            "cell",
            key_of_cell(c.id, c.architecture or "", QWEN.id, performance.DEFAULT_ENGINE, fmt).at("cell"),
            "tpot_s",
        ): (
            0.7,
            40,
        )
        for c in chips
        for fmt in ("fp8", "bf16")
    }
    with calibrated(own):
        alone = performance.rates([CHAT], chips, models)
        both = performance.rates([CHAT], chips, models, processes=2)
    assert both.equals(alone)
    assert not alone.equals(plain)
