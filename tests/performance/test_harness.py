"""Does what a benchmark sees follow from the way in which it sends its requests?"""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.performance.test_accuracy import row

from entrepot import catalogue
from entrepot.catalogue.records import NumberFormat
from entrepot.performance.accuracy.conditions import Conditions, read_conditions
from entrepot.performance.accuracy.readings import data_set, mlperf_limits
from entrepot.performance.accuracy.servers import Asked, server
from entrepot.performance.accuracy.servers import settings as server_settings
from entrepot.performance.coefficients import coefficients
from entrepot.performance.disaggregated import closed_pools
from entrepot.performance.points import Answers, Point, answers, fill, points
from entrepot.performance.steady import closed_loop, front_wait

H200 = catalogue.accelerator("nvidia-h200-sxm-141gb")
QWEN = catalogue.model("qwen3-32b")
POINT = Point(H200, QWEN, NumberFormat.FP8, 16, "vllm", 1, 1, 1, 1, 1024.0, 256.0)


def asked(*given: Point) -> Answers:
    """Return what points answer."""
    return answers(points(list(given)))


@settings(max_examples=25, deadline=None)
@given(
    isl=st.integers(16, 8000),
    osl=st.integers(8, 2000),
    engine=st.sampled_from(["vllm", "sglang", "trtllm"]),
    cap=st.sampled_from([math.inf, 8.0, 64.0]),
)
def test_a_closed_loop_obeys_littles_law_and_never_loses_by_a_queue(
    isl: int, osl: int, engine: str, cap: float
) -> None:
    """Beyond what fits the rate stands still, TTFT holds the queue, and C = rate x time in the system at every C."""
    many = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 8192.0]
    base = replace(POINT, isl=float(isl), osl=float(osl), engine=engine, cap=cap)
    found = asked(*[replace(base, concurrency=c) for c in many])
    life = found.ttft_s + (osl - 1) * found.tpot_s
    assert found.output_per_s * life / osl == pytest.approx(np.array(many), rel=1e-9)
    assert found.in_system == pytest.approx(np.array(many), rel=1e-9)
    full = found.batch < np.array(many) - 1e-9
    assert np.all(np.diff(found.output_per_s[full]) >= -1e-9 * found.output_per_s[full][1:])
    assert np.all(np.diff(found.ttft_s) >= -1e-9)


@settings(max_examples=50, deadline=None)
@given(service=st.floats(1e-4, 0.1), inside=st.floats(0.01, 100.0), many=st.floats(1.0, 5000.0))
def test_the_front_end_stays_within_the_bounds_of_a_closed_queue(
    service: float, inside: float, many: float
) -> None:
    """No request passes faster than its own service, none waits for more than all others; the rate is at most 1/service."""
    waited = float(front_wait(service, np.array([many]), np.array([inside]))[0])
    assert service * (1 - 1e-9) <= waited <= service * many * (1 + 1e-9)
    assert many / (waited + inside) <= 1 / service * (1 + 1e-9)


def test_a_load_that_nears_capacity_waits_longer_and_says_how_near_it_is() -> None:
    """Below saturation open arrivals wait for no wave; the share of capacity that they take is told."""
    rates = [0.5, 1.0, 2.0, 4.0]
    found = asked(*[replace(POINT, harness="rate", rate_per_s=r) for r in rates])
    assert np.all(np.diff(found.ttft_s) > 0)
    assert np.all(np.diff(found.busy) > 0)
    assert found.busy == pytest.approx(found.busy[0] * np.array(rates) / rates[0])
    waves = asked(*[replace(POINT, concurrency=float(b)) for b in found.batch])
    assert np.all(found.ttft_s <= waves.ttft_s * (1 + 1e-9))


def test_a_submitted_load_keeps_the_limits_of_its_benchmark() -> None:
    """An MLPerf submission whose latencies break the limits is no submission: more cannot be predicted."""
    point = replace(
        POINT,
        harness="load",
        load_tokens_per_s=1e6,
        ttft_limit_ms=2000.0,
        tpot_limit_ms=80.0,
        percentile=99.0,
    )
    found = asked(point)
    assert found.ttft_s[0] <= 2.0 + 1e-9
    assert found.tpot_s[0] <= 0.08 + 1e-9


def test_a_scheduler_that_looks_rarely_waits_longer() -> None:
    """SGLang's receive interval and TensorRT-LLM's batch wait are steps that a prompt waits: TTFT alone feels them."""
    often, rarely = asked(
        replace(POINT, concurrency=32.0, engine="sglang"),
        replace(POINT, concurrency=32.0, engine="sglang", recv_interval=30.0),
    ).ttft_s
    assert rarely > often


def test_weights_of_few_bits_alone_do_not_speed_up_arithmetic() -> None:
    """W4A16: decode reads fewer bytes, prefill computes in 16 bits."""
    four = replace(
        POINT, weight_format=NumberFormat.FP4, accelerator=catalogue.accelerator("nvidia-b200-sxm-180gb")
    )
    computed, held = asked(four, replace(four, weight_only=True)).prefill_per_s
    assert held < computed


def read(**cells: str) -> Conditions:
    """Return the conditions of a row that can be read."""
    found = read_conditions(row(**cells))
    assert isinstance(found, Conditions)
    return found


@pytest.mark.parametrize(
    ("cell", "notes", "harness", "many"),
    [
        ("64", "", "closed", 64),
        ("64", "closed loop, request rate inf, max_concurrency 64", "closed", 64),
        ("1000 prompts", "", "burst", 1000),
        ("num-prompts 500", "", "burst", 500),
        ("num_prompts=500", "max-concurrency 100", "closed", 100),
        ("200", "request rate inf", "burst", 200),
        ("200", "all at once", "burst", 200),
        ("1500 requests, max_num_seqs 256", "", "offline", 1500),
        ("16 req/s", "", "rate", math.inf),
        ("100 prompts, rate 10", "", "rate", math.inf),
        ("C=32", "", "closed", 32),
        ("", "", "closed", 1),
        ("as many as possible", "", "closed", 1),
    ],
)
def test_a_load_is_read_as_it_is_meant(cell: str, notes: str, harness: str, many: float) -> None:
    """Concurrency, a burst of prompts, a rate: three different experiments that one number may stand for."""
    found = read(concurrency_or_batch=cell, notes=notes)
    assert (found.harness, found.concurrency) == (harness, many)


def test_a_server_has_the_settings_of_its_release() -> None:
    """VLLM's bound on the batch grew on large chips; SGLang looks at its queue each step unless a script says otherwise."""
    assert read(engine="vllm 0.6.3").cap == 256
    assert read(engine="vllm 0.11.0").cap == 1024
    assert read(engine="vllm 0.11.0", accelerator="A100-SXM-80GB").cap == 256
    assert read(engine="sglang 0.5.3").recv_interval == 1
    dashboard = {
        "engine": "sglang 0.5.9",
        "accelerator": "B200-SXM-180GB",
        "model": "DeepSeek-R1",
        "parallelism": "TP8",
        "n_accelerators": "8",
    }
    told = read(**dashboard, notes="InferenceX(InferenceMAX) dump", concurrency_or_batch="64")
    assert (told.recv_interval, told.chunk) == (30, 32768)
    assert read(engine="TensorRT-LLM 1.0").held_share == 1


def test_every_setting_names_its_source_and_a_known_field() -> None:
    """A line of the data file that nothing reads, or that nobody vouches for, is a slip."""
    names = {f for f in Asked.__dataclass_fields__ if f != "release"}
    for line in server_settings():
        assert line.setting in server(Asked("any", "vllm", "", "", "", "", 1, 1, 1, 1)).__dataclass_fields__
        assert len(line.source) > 10
        re.compile(line.where["chip"])
        assert {"scope", "engine", "chip", "model", "format", "tp", "isl", "osl"} <= names | set(line.where)


def test_published_lengths_and_limits_are_found_by_name() -> None:
    """ShareGPT as vllm bench serve draws it; MLPerf's limit on Llama-2-70B."""
    found = data_set("ShareGPT_V3_unfiltered")
    assert found is not None
    assert (found.isl, found.osl) == (217.0, 200.0)
    assert mlperf_limits("llama-2-70b", "server") == (2000.0, 200.0)
    assert mlperf_limits("llama-2-70b", "offline") == (math.inf, math.inf)


def test_a_pair_of_pools_answers_as_its_parts_allow() -> None:
    """A decode pool cannot be faster than a step of its share; more prefill workers never lengthen the first token."""
    at = fill(points([POINT]), coefficients())
    one, many = np.ones((1, 1)), np.full((1, 1), 64.0)
    ttft, tpot = closed_pools(at, at, (one, one), many, np.zeros((1, 1)))
    wider, _ = closed_pools(at, at, (4 * one, one), many, np.zeros((1, 1)))
    lone = closed_loop(at, one).per_token
    full = closed_loop(at, many).per_token
    assert np.all((lone <= tpot * (1 + 1e-9)) & (tpot <= full * (1 + 1e-9)))
    assert np.all(wider <= ttft)


def test_experts_on_a_host_are_answered_and_never_faster_than_its_memory() -> None:
    """The host's memory decides: more of it, more tokens; the reading says that it was assumed."""
    told = read(
        engine="KTransformers 0.2.1", parallelism="1 GPU + CPU", model="DeepSeek-R1", n_accelerators="1"
    )
    assert told.on_host
    assert any("host" in said for said in told.assumed)
    moe = catalogue.model("deepseek-r1")
    base = Point(H200, moe, NumberFormat.FP8, 16, "vllm", 1, 1, 1, 1, 1024.0, 256.0, concurrency=1.0)
    slow, fast = asked(replace(base, host=(1e11, 1e13)), replace(base, host=(4e11, 1e13))).output_per_s
    assert slow < fast
