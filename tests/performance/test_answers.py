"""Does every answer say what it rests on, and every refusal why?"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from entrepot import catalogue
from entrepot.catalogue.records import NumberFormat
from entrepot.errors import InputError, MissingFact, NotFound
from entrepot.performance import (
    Binding,
    Layout,
    Slo,
    Workload,
    estimate,
    explain,
    operating_point,
    provenance,
    rates,
    roofline,
    size,
)
from entrepot.performance.chip import chip, native_format, weight_formats
from entrepot.performance.efficiency import efficiency, engine
from entrepot.performance.rates import RATES_SCHEMA
from entrepot.performance.steady import percentile_stretch

H20 = catalogue.accelerator("nvidia-h20-sxm-96gb")
R1 = catalogue.model("deepseek-r1")
ONE = np.array([1.0])
CHAT = Workload("chat", "deepseek-r1", ONE * 1024, ONE * 1024, ONE, Slo(2000, 60))


# ---------------------------------------------------------------- what is missing is named


def test_a_missing_figure_is_named_and_never_guessed() -> None:
    """No source read states the bandwidth of the 141 GB H20: the answer is that sentence."""
    blind = replace(H20, memory_bw_gb_s=None)
    answer = estimate(CHAT, blind, R1)
    assert answer.mtok_per_device_hour is None
    assert "memory bandwidth" in answer.reason
    assert blind.id in answer.reason
    assert answer.basis == "none"


def test_a_closed_model_is_refused_by_name() -> None:
    """Of a closed model only the counts are public; a rate would be a guess."""
    answer = estimate(CHAT, H20, catalogue.model("seed-1.6"))
    assert answer.mtok_per_device_hour is None
    assert "seed-1.6" in answer.reason
    assert "layers" in answer.reason


def test_what_does_not_fit_says_so() -> None:
    """671 GB of weights do not go into eight cards of 48 GB."""
    answer = estimate(CHAT, catalogue.accelerator("nvidia-l20-48gb"), R1)
    assert answer.mtok_per_device_hour is None
    assert answer.reason.startswith("does not fit")


def test_an_slo_out_of_reach_says_how_near_one_comes() -> None:
    """The planner needs to know by how much."""
    answer = estimate(replace(CHAT, slo=Slo(2000, 2)), H20, R1)
    assert answer.mtok_per_device_hour is None
    assert "TPOT" in answer.reason
    assert "2 ms asked" in answer.reason
    assert answer.physical_limit_mtok_per_device_hour is not None


def test_an_unknown_link_means_one_device() -> None:
    """Without a link no group of devices can be formed."""
    alone = replace(H20, scaleup_bw_gb_s=None, scaleup_domain=None, host_link=None)
    answer = estimate(replace(CHAT, model="qwen3-8b"), alone, catalogue.model("qwen3-8b"))
    assert answer.layout is not None
    assert answer.layout.devices == 1
    assert estimate(CHAT, alone, R1).mtok_per_device_hour is None


def test_a_pcie_group_has_a_wider_interval() -> None:
    """A fallback that was not measured on this link must show."""
    l20, model = catalogue.accelerator("nvidia-l20-48gb"), catalogue.model("llama-3.1-70b")
    answer = estimate(replace(CHAT, slo=Slo(None, None)), l20, model)
    assert answer.layout is not None
    assert answer.layout.devices > 1
    rate = answer.mtok_per_device_hour
    assert rate is not None
    assert rate.central / rate.low > efficiency("Ada").spread * 1.2


def test_bad_input_is_one_error_with_every_fault() -> None:
    """All faults at once, each with its mend."""
    bad = replace(CHAT, osl=ONE * 0, share=ONE * 0.5, slo=Slo(-1, 50), prefix_hit_share=1.5)
    with pytest.raises(InputError) as caught:
        estimate(bad, H20, R1)
    assert len(caught.value.faults) == 4
    with pytest.raises(InputError, match="16 or 8"):
        estimate(CHAT, H20, R1, kv_bits=4)
    with pytest.raises(NotFound, match="engine"):
        estimate(CHAT, H20, R1, engine="vlm")


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(
    ("chip_id", "model_id", "formats"),
    [
        ("nvidia-h20-sxm-96gb", "deepseek-r1", ["fp8"]),
        ("nvidia-h20-sxm-96gb", "qwen3-32b", ["bf16", "fp8"]),
        ("nvidia-a100-sxm4-80gb", "deepseek-r1", ["int8"]),
        ("huawei-ascend-910b3", "qwen3-32b", ["bf16", "int8"]),
        ("nvidia-h100-sxm5-80gb", "gpt-oss-120b", ["fp4"]),
    ],
)
def test_default_formats(chip_id: str, model_id: str, formats: list[str]) -> None:
    """The format of the checkpoint, and the widest 8-bit format that the chip has."""
    found = weight_formats(chip(catalogue.accelerator(chip_id)), catalogue.model(model_id))
    assert [str(fmt.format) for fmt in found] == formats


def test_weights_in_8_bits_do_not_invent_an_8_bit_rate() -> None:
    """No source states the INT8 rate of the 910B3: its arithmetic stays at 16 bits."""
    unit = chip(catalogue.accelerator("huawei-ascend-910b3"))
    assert NumberFormat.INT8 not in unit.rates
    (int8,) = weight_formats(unit, catalogue.model("qwen3-32b"), [NumberFormat.INT8])
    assert int8.linear_rate == unit.rate_16
    assert int8.linear_bytes == 1.0


def test_a_format_that_the_chip_lacks_is_refused() -> None:
    """FP8 on an A100 has no rate."""
    answer = estimate(CHAT, catalogue.accelerator("nvidia-a100-sxm4-80gb"), R1, formats=[NumberFormat.FP8])
    assert answer.mtok_per_device_hour is None
    assert "fp8" in answer.reason


def test_native_formats_are_read_from_the_published_wording() -> None:
    """Four wordings of the model files."""
    assert native_format(R1) is NumberFormat.FP8
    assert native_format(catalogue.model("gpt-oss-120b")) is NumberFormat.FP4
    assert native_format(catalogue.model("kimi-k2.5")) is NumberFormat.FP4
    assert native_format(catalogue.model("qwen3-32b")) is NumberFormat.BF16


# ---------------------------------------------------------------- efficiencies


@pytest.mark.parametrize(
    ("architecture", "bits", "tflops", "sms", "measured"),
    [
        ("Hopper", 8, 296, 78, 0.931),  # H20, DeepGEMM rows of InferSim bench_data; not in the fit
        ("Hopper", 16, 989.4, 132, 0.795),  # H100 BF16, 0.78 to 0.81
        ("Hopper", 8, 1979, 132, 0.6175),  # H100 FP8, 0.585 to 0.65
        ("Blackwell", 16, 2250, 148, 0.70),
        ("Blackwell", 8, 4500, 148, 0.575),
        ("Blackwell", 4, 9000, 148, 0.425),
    ],
)
def test_compute_efficiency_falls_with_peak_per_sm(
    architecture: str, bits: int, tflops: float, sms: int, measured: float
) -> None:
    """The law 1/ec - 1 = c R^gamma against kernel tables (aiconfigurator-core 0.12.0): within 11 %, as published."""
    assert efficiency(architecture).compute(bits, tflops, sms) == pytest.approx(measured, rel=0.11)


def test_every_constant_has_a_kind_and_a_source() -> None:
    """No hidden number: what is not measured says that it is judged, and why."""
    rows = provenance()
    assert len(rows) > 100
    assert {row.kind for row in rows} <= {"measured", "transferred", "judged", "definition", "fitted"}
    assert all(len(row.source) > 8 or row.source.startswith("as ") for row in rows)
    shares = [
        r
        for r in rows
        if r.table.startswith("architecture") and not r.name.startswith(("law", "layer", "gemm", "spread"))
    ]
    assert all(0 < row.value <= 1 for row in shares)


def test_an_unknown_architecture_is_datasheet_only() -> None:
    """It works, with the widest interval."""
    unknown = efficiency("nobody's")
    assert unknown.basis == "datasheet"
    assert unknown.spread >= max(efficiency(name).spread for name in ("Hopper", "Ampere", "CDNA3", "DaVinci"))
    assert engine("vllm").name == "vllm"


def test_percentiles_meet_their_anchors() -> None:
    """1 at the median, the ratio of the server logs at p99, rising between."""
    assert percentile_stretch(50) == (1.0, 1.0)
    ttft, tpot = percentile_stretch(99)
    assert (round(ttft, 2), round(tpot, 2)) == (2.28, 1.19)
    assert percentile_stretch(90) < percentile_stretch(95) < percentile_stretch(99)


# ---------------------------------------------------------------- tables


def test_rates_have_one_row_per_pair_and_a_figure_or_a_reason() -> None:
    """The market joins on this table."""
    chips = [H20, catalogue.accelerator("nvidia-l20-48gb"), replace(H20, id="blind", memory_gb=None)]
    second = replace(CHAT, id="small", model="qwen3-8b")
    table = rates([CHAT, second], chips, catalogue.models())
    assert dict(table.schema) == dict(RATES_SCHEMA)
    assert table.select("workload", "accelerator").unique().height == table.height == 6
    figures = [c for c in table.columns if c.startswith("mtok")] + [
        "layout",
        "devices_per_replica",
        "batch",
        "binds",
    ]
    has_reason = table["reason"] != ""
    assert all((table[name].is_null() == has_reason).all() for name in figures)
    with pytest.raises(NotFound, match="model"):
        rates([replace(CHAT, model="deepseek-r2")], chips, catalogue.models())


def test_devices_come_in_whole_replicas() -> None:
    """Low, central and high devices; nothing for no demand; more demand never needs fewer."""
    demand = np.array([0.0, 0.001, 1.0, 50.0, 50.0, 400.0])
    need = size(CHAT, H20, R1, demand)
    for devices in (need.devices_low, need.devices_central, need.devices_high):
        assert (devices % need.replica_devices == 0).all()
        assert devices[0] == 0
        assert (np.diff(devices) >= 0).all()
    assert (need.devices_low <= need.devices_central).all()
    assert (need.devices_central <= need.devices_high).all()
    rate = need.estimate.mtok_per_device_hour
    assert rate is not None
    served = need.devices_central * rate.central
    assert (served >= demand * 1024 * 3600 / 1e6 * (1 - 1e-9)).all()
    with pytest.raises(MissingFact, match="does not fit"):
        size(CHAT, catalogue.accelerator("nvidia-l20-48gb"), R1, demand)
    with pytest.raises(InputError):
        size(CHAT, H20, R1, np.array([-1.0]))


def test_explain_adds_up() -> None:
    """The parts of a step are the step, and shares sum to 1."""
    layout = Layout(NumberFormat.FP8, 16, 1, 16, 16, 512)
    table = explain(CHAT, H20, R1, layout=layout)
    assert table["share"].sum() == pytest.approx(1.0)
    decode = table.filter(pl.col("phase") == "decode")["ms"].sum()
    assert decode == pytest.approx(operating_point(CHAT, H20, R1, layout).decode_step_ms)
    assert set(explain(CHAT, H20, R1)["phase"]) == {"decode", "prefill"}
    assert "experts" in set(table["part"])


def test_mla_decode_is_compute_bound_on_h20() -> None:
    """Published: 72 to 83 % of 148 TFLOP/s, the cache read at only 0.45 TB/s (InferSim bench_data)."""
    table = explain(CHAT, H20, R1, layout=Layout(NumberFormat.FP8, 16, 1, 16, 16, 512))
    attention = table.filter((pl.col("phase") == "decode") & (pl.col("part") == "attention"))
    assert attention["bound_by"].item() == "compute"


def test_phases_lie_under_the_roof() -> None:
    """Ridge = peak over bandwidth; no phase above its roof."""
    table = roofline(H20, R1, CHAT)
    ridge = table.filter((pl.col("kind") == "ridge") & (pl.col("label") == "bf16"))[
        "intensity_flop_per_byte"
    ].item()
    assert ridge == pytest.approx(148e12 / 4e12)
    top = table.filter(pl.col("kind") == "ridge")["tflop_s"].max()
    assert isinstance(top, float)
    for _, label, intensity, reached in table.filter(pl.col("kind") == "phase").iter_rows():
        assert reached <= min(intensity * 4.0, top), label
    assert roofline(H20).filter(pl.col("kind") == "phase").is_empty()
    with pytest.raises(MissingFact):
        roofline(replace(H20, memory_bw_gb_s=None))


def test_what_binds_is_named() -> None:
    """A tight TPOT binds; without limits on a small card the cache does."""
    model = catalogue.model("qwen3-32b")
    tight = replace(CHAT, slo=Slo(None, 30))
    assert estimate(tight, H20, model).binds is Binding.TPOT
    long = Workload("long", "m", ONE * 30_000, ONE * 1000, ONE, Slo(None, None))
    small = estimate(long, catalogue.accelerator("nvidia-l20-48gb"), catalogue.model("qwen3-8b"))
    assert small.binds is Binding.KV_MEMORY


def test_one_estimate_takes_milliseconds() -> None:
    """A market prices thousands of pairs: below 10 ms each (best of nine, for a busy machine)."""
    estimate(CHAT, H20, R1)
    times = []
    for _ in range(9):
        start = time.perf_counter()
        estimate(CHAT, H20, R1)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.010
