"""Which laws may no estimate break? Peak arithmetic, bandwidth, memory; monotone in what a chip has more of."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from entrepot import catalogue
from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.catalogue.shape import kv_bytes_per_token, parameters
from entrepot.performance import Estimate, Layout, Slo, Workload, estimate, operating_point
from entrepot.performance.chip import chip, weight_formats
from entrepot.performance.layouts import candidates, one_layout
from entrepot.performance.memory import batch_max, weight_bytes
from entrepot.performance.mix import mix, windowed_context
from entrepot.performance.operations import shape
from entrepot.performance.search import DEFAULT_ENGINE, search

CHIPS = [
    "nvidia-h20-sxm-96gb",
    "nvidia-h100-sxm5-80gb",
    "nvidia-b200-sxm-180gb",
    "nvidia-a100-sxm4-80gb",
    "nvidia-l20-48gb",
    "amd-mi300x-192gb",
    "huawei-ascend-910b3",
    "metax-c500-oam-64gb",
]
MODELS = [
    "qwen3-8b",
    "qwen3-32b",
    "llama-3.1-70b",
    "qwen3-30b-a3b",
    "deepseek-r1",
    "gpt-oss-120b",
    "qwen3.5-35b-a3b",
]
chips = st.sampled_from(CHIPS).map(catalogue.accelerator)
models = st.sampled_from(MODELS).map(catalogue.model)
more = st.floats(1.0, 8.0)
law = settings(max_examples=60, deadline=None)


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """Mixes of one to four buckets, with and without limits."""
    buckets = draw(st.integers(1, 4))
    isl = draw(st.lists(st.integers(1, 16_000), min_size=buckets, max_size=buckets))
    osl = draw(st.lists(st.integers(1, 6_000), min_size=buckets, max_size=buckets))
    weight = np.array(draw(st.lists(st.integers(1, 9), min_size=buckets, max_size=buckets)), dtype=float)
    slo = Slo(
        draw(st.none() | st.floats(300, 10_000)),
        draw(st.none() | st.floats(15, 300)),
        draw(st.sampled_from([50.0, 90.0, 99.0])),
    )
    hit = draw(st.sampled_from([0.0, 0.4]))
    return Workload("drawn", "m", np.array(isl, float), np.array(osl, float), weight / weight.sum(), slo, hit)


# a mean of exactly one token after the first: rounding must not decide whether a decode pool has work
ONE_MORE_TOKEN = Workload(
    "drawn", "m", np.ones(3), np.array([1.0, 4.0, 2.0]), np.array([4.0, 2.0, 1.0]) / 7, Slo(None, None)
)


def central(answer: Estimate) -> float:
    """Return the rate, 0 where there is none."""
    return 0.0 if answer.mtok_per_device_hour is None else answer.mtok_per_device_hour.central


def low(answer: Estimate) -> float:
    """Return the low end, 0 where there is none: the choice of a layout goes by it."""
    return 0.0 if answer.mtok_per_device_hour is None else answer.mtok_per_device_hour.low


def mean_request(isl: float, osl: float, slo: Slo = Slo(None, None)) -> Workload:  # noqa: B008
    """Return a workload of one bucket."""
    one = np.array([1.0])
    return Workload("one", "m", one * isl, one * osl, one, slo)


@given(workloads(), chips, models)
@law
def test_the_interval_lies_below_the_physical_limit(
    workload: Workload, accelerator: Accelerator, model: Model
) -> None:
    """Published peers print rates above the peak of the chip; this one may not."""
    answer = estimate(workload, accelerator, model, pools=True)
    rate, limit = answer.mtok_per_device_hour, answer.physical_limit_mtok_per_device_hour
    if rate is None:
        assert answer.reason
        assert answer.layout is None
        return
    assert not answer.reason
    assert limit is not None
    assert 0 < rate.low <= rate.central <= rate.high <= limit
    assert answer.layout is not None
    assert answer.layout.batch >= 1
    slo, ttft, tpot = workload.slo, answer.ttft_ms, answer.tpot_ms
    assert ttft is not None
    assert tpot is not None
    assert slo.ttft_ms is None or ttft <= slo.ttft_ms
    assert slo.tpot_ms is None or tpot <= slo.tpot_ms


@given(workloads(), chips, models)
@law
def test_no_rate_beats_peak_arithmetic_bandwidth_or_memory(
    workload: Workload, accelerator: Accelerator, model: Model
) -> None:
    """Counted from the parameters alone, without any of the model's own formulas."""
    answer = estimate(workload, accelerator, model, pools=True)
    built = parameters(model)
    if answer.mtok_per_device_hour is None or answer.layout is None or answer.tpot_ms is None:
        return
    assert built is not None
    peak = max(float(rate) for fmt, rate in accelerator.dense_rate.items() if fmt.bits <= 16) * 1e12
    body = built.active - built.embedding - built.head
    prompt = workload.mean_isl * (1 - workload.prefix_hit_share) / workload.mean_osl
    output_per_s = answer.mtok_per_device_hour.high * 1e6 / 3600
    assert output_per_s * 2 * body * (1 + prompt) <= peak * (1 + 1e-9)
    layout = answer.layout
    narrowest = 0.5  # bytes per weight at 4 bits
    always_read = (built.attention + built.dense_mlp + built.shared_experts) * narrowest / layout.devices
    assert answer.tpot_ms >= always_read / (float(accelerator.memory_bw_gb_s or 0) * 1e9) * 1e3
    assert built.total * narrowest <= float(accelerator.memory_gb or 0) * 1e9 * layout.devices


@given(workloads(), chips, models, more)
@law
def test_more_bandwidth_never_lowers_the_rate(
    workload: Workload, accelerator: Accelerator, model: Model, factor: float
) -> None:
    """A chip that is better in one figure and equal in the others is worth at least as much."""
    assert accelerator.memory_bw_gb_s is not None
    better = replace(accelerator, memory_bw_gb_s=accelerator.memory_bw_gb_s * Decimal(factor))
    before = low(estimate(workload, accelerator, model, pools=True))
    assert low(estimate(workload, better, model, pools=True)) >= before * (1 - 1e-12)


@given(workloads(), chips, models, more)
@law
def test_a_higher_peak_never_lowers_the_rate(
    workload: Workload, accelerator: Accelerator, model: Model, factor: float
) -> None:
    """Efficiency falls with peak per SM, but never faster than the peak rises."""
    rates = {fmt: rate * Decimal(factor) for fmt, rate in accelerator.dense_rate.items()}
    better = replace(accelerator, dense_rate=rates)
    before = low(estimate(workload, accelerator, model, pools=True))
    assert low(estimate(workload, better, model, pools=True)) >= before * (1 - 1e-12)


@given(workloads(), chips, models, more)
@law
def test_a_looser_slo_never_lowers_the_rate(
    workload: Workload, accelerator: Accelerator, model: Model, factor: float
) -> None:
    """Whoever may wait longer can be served cheaper, never dearer."""
    slo = workload.slo
    looser = Slo(
        None if slo.ttft_ms is None else slo.ttft_ms * factor,
        None if slo.tpot_ms is None else slo.tpot_ms * factor,
        slo.percentile,
    )
    loose = replace(workload, slo=looser)
    assert low(estimate(loose, accelerator, model, pools=True)) >= low(
        estimate(workload, accelerator, model, pools=True)
    ) * (1 - 1e-12)


@given(workloads(), chips, models)
@law
def test_more_cache_bits_never_raise_the_batch_that_fits(
    workload: Workload, accelerator: Accelerator, model: Model
) -> None:
    """The KV cache takes what the weights leave."""
    unit, form = chip(accelerator), shape(model)
    layouts = candidates(unit, form, weight_formats(unit, model))
    moments = mix(workload, output_share_held=0.55)
    eight = batch_max(unit, form, layouts, moments, kv_bits=8)
    sixteen = batch_max(unit, form, layouts, moments, kv_bits=16)
    assert (sixteen <= eight).all()
    assert (batch_max(unit, form, layouts, moments, kv_bits=16, reserve=False) >= sixteen).all()


@given(workloads(), chips, models)
@law
def test_what_fits_fits(workload: Workload, accelerator: Accelerator, model: Model) -> None:
    """Weights and the cache of a full batch stay inside the memory of a device, recounted from the catalogue."""
    answer = estimate(workload, accelerator, model, formats=[NumberFormat.BF16])
    built, per_token = parameters(model), kv_bytes_per_token(model)
    if answer.layout is None:
        return
    assert built is not None
    assert per_token is not None
    staying = workload.share * workload.osl / workload.mean_osl
    held = float((workload.isl + 0.55 * workload.osl) @ staying)
    used = built.total * 2 + answer.layout.batch * per_token * held
    assert used <= float(accelerator.memory_gb or 0) * 1e9 * answer.layout.devices


@given(workloads(), st.permutations(range(4)))
@example(ONE_MORE_TOKEN, [2, 0, 1, 3])
@law
def test_a_mix_is_a_set_of_buckets(workload: Workload, order: list[int]) -> None:
    """Neither the order of buckets nor a bucket written as two halves changes an answer."""
    accelerator, model = catalogue.accelerator("nvidia-h20-sxm-96gb"), catalogue.model("qwen3-32b")
    kept = [i for i in order if i < len(workload.isl)]
    shuffled = replace(workload, isl=workload.isl[kept], osl=workload.osl[kept], share=workload.share[kept])
    twice = replace(
        workload,
        isl=np.repeat(workload.isl, 2),
        osl=np.repeat(workload.osl, 2),
        share=np.repeat(workload.share, 2) / 2,
    )
    rate = central(estimate(workload, accelerator, model, pools=True))
    assert central(estimate(shuffled, accelerator, model, pools=True)) == pytest.approx(rate, rel=1e-9)
    assert central(estimate(twice, accelerator, model, pools=True)) == pytest.approx(rate, rel=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_weight_bytes_agree_with_parameter_counts(name: str) -> None:
    """On one device all weights lie; spread over eight, each once."""
    model, unit = catalogue.model(name), chip(catalogue.accelerator("nvidia-h100-sxm5-80gb"))
    built, form = parameters(model), shape(model)
    (bf16,) = weight_formats(unit, model, [NumberFormat.BF16])
    assert built is not None
    whole = float(weight_bytes(form, one_layout(unit, bf16, tp=1, dp=1, ep=1))[0, 0])
    assert whole == pytest.approx(2 * built.total, rel=1e-6)
    eighth = float(weight_bytes(form, one_layout(unit, bf16, tp=8, dp=1, ep=1))[0, 0])
    assert eighth * 8 == pytest.approx(2 * built.total, rel=0.01)  # every rank holds the router


def test_a_prefix_cache_pays() -> None:
    """Tokens found in the cache need no prefill."""
    accelerator, model = catalogue.accelerator("nvidia-h20-sxm-96gb"), catalogue.model("qwen3-32b")
    cold = mean_request(8000, 500)
    warm = replace(cold, prefix_hit_share=0.5)
    assert central(estimate(warm, accelerator, model)) > 1.2 * central(estimate(cold, accelerator, model))


def test_a_stricter_percentile_costs() -> None:
    """p99 promises more than p50."""
    accelerator, model = catalogue.accelerator("nvidia-h100-sxm5-80gb"), catalogue.model("qwen3-32b")
    by_percentile = [
        central(estimate(mean_request(1024, 1024, Slo(1000, 30, p)), accelerator, model))
        for p in (50.0, 90.0, 99.0)
    ]
    assert by_percentile == sorted(by_percentile, reverse=True)
    assert by_percentile[0] > by_percentile[-1]


@given(st.integers(0, 4000), st.integers(1, 3000), st.integers(1, 5000))
@law
def test_windowed_context_agrees_with_a_plain_sum(isl: int, osl: int, window: int) -> None:
    """Second opinion: average min(context, window) token by token."""
    steps = isl + np.arange(osl) + 0.5
    plain = np.minimum(steps, window).mean()
    ours = windowed_context(np.array([float(isl)]), np.array([float(osl)]), float(window))[0]
    assert ours == pytest.approx(plain, abs=0.51)


@pytest.mark.parametrize("name", ["nvidia-h20-sxm-96gb", "nvidia-l20-48gb", "huawei-ascend-910c"])
@pytest.mark.parametrize("model_name", ["qwen3-32b", "deepseek-r1"])
def test_the_search_agrees_with_a_plain_loop(name: str, model_name: str) -> None:
    """Second opinion: each layout and batch alone, through the scalar door, finds the same best."""
    accelerator, model = catalogue.accelerator(name), catalogue.model(model_name)
    workload = mean_request(1500, 700, Slo(3000, 60))
    if central(estimate(workload, accelerator, model)) == 0:
        return
    found = search(workload, accelerator, model)
    layouts = found.setting.layouts
    best = 0.0
    for row in range(len(layouts)):
        for batch in np.unique(found.batch[row])[::4]:
            layout = Layout(
                layouts.formats[row].format,
                16,
                int(layouts.tp[row, 0]),
                int(layouts.dp[row, 0]),
                int(layouts.ep[row, 0]),
                int(batch),
                int(layouts.pp[row, 0]),
            )
            point = operating_point(workload, accelerator, model, layout, engine=DEFAULT_ENGINE)
            if batch <= point.batch_max and point.ttft_ms <= 3000 and point.tpot_ms <= 60:
                best = max(best, point.output_tokens_per_s / float(found.spread[row, 0]))
    top = found.best
    assert top is not None
    chosen = float(found.tokens_per_s[top]) / float(found.spread[top[0], 0])
    assert best <= chosen * (1 + 1e-9)
    assert best >= 0.8 * chosen  # the loop looks at every fourth batch
