"""Does the closed form of a burst agree with a scheduler that is run step by step?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.performance.simulation import Served, serve

from entrepot import catalogue
from entrepot.catalogue.records import NumberFormat
from entrepot.performance import Layout, Slo, Workload
from entrepot.performance.burst import burst
from entrepot.performance.harness import Run
from entrepot.performance.operating import setting_at
from entrepot.performance.points import Point, answers, points
from entrepot.performance.steady import closed_loop

H200 = catalogue.accelerator("nvidia-h200-sxm-141gb")
QWEN = catalogue.model("qwen3-32b")
POINT = Point(H200, QWEN, NumberFormat.FP8, 16, "vllm", 1, 1, 1, 1, 1024.0, 256.0, harness="burst")


def drawn(count: int, mean: int, spread: float) -> NDArray[np.int64]:
    """Return output lengths of a gamma distribution: another than the closed form's, with the same mean and spread."""
    if spread == 0:
        return np.full(count, mean)
    rng = np.random.default_rng(count)
    found = np.maximum(rng.gamma(1 / spread**2, mean * spread**2, count), 4.0)
    whole: NDArray[np.int64] = np.round(found * mean / found.mean()).astype(np.int64)
    return whole


def both(
    sent: int,
    places: int,
    isl: int,
    osl: int,
    spread: float,
    chunk: int,
    prompts_first: bool,
    decode_places: int | None = None,
) -> tuple[Served, Run, float]:
    """Return a burst run by a scheduler, the closed form, and the output tokens of the run."""
    work = Workload(
        "burst", QWEN.id, np.array([float(isl)]), np.array([float(osl)]), np.ones(1), Slo(None, None)
    )
    setting = setting_at(work, H200, QWEN, Layout(NumberFormat.FP8, 16, 1, 1, 1, places))
    at = setting.columns.with_(
        interference=1.0, ttft_constant_s=0.0, front_request_s=0.0, front_token_s=0.0, chunk=float(chunk)
    )
    inside = np.array([[float(min(sent, places))]])
    loop = closed_loop(at, inside)
    one = np.ones((1, 1))
    run = burst(at, loop, inside, sent * one, spread * one, prompts_first * one, decode_places or np.inf)
    step = np.concatenate([[0.0], closed_loop(at, np.arange(1.0, places + 1)[None, :]).per_token[0]])
    lengths = drawn(sent, osl, spread)
    ran = serve(
        np.zeros(sent),
        np.full(sent, isl),
        lengths,
        step=step,
        per_prompt_token=float(loop.prompt[0, 0]) / isl,
        chunk=chunk,
        slots=places,
        prompts_first=prompts_first,
        decode_slots=decode_places,
        shared=not prompts_first,
    )
    return ran, run, float(lengths.sum())


@pytest.mark.parametrize("scheduler", ["mixed 8192", "mixed 2048", "prompts first"])
@pytest.mark.parametrize(
    ("sent", "places", "isl", "osl", "spread"),
    [
        (16, 64, 512, 256, 0.0),
        (64, 64, 1024, 256, 0.0),
        (256, 64, 512, 256, 0.0),
        (1000, 128, 1024, 128, 0.0),
        (500, 14, 2000, 100, 0.0),
        (100, 1, 8000, 100, 0.0),
        (1000, 1000, 217, 201, 1.0),
        (1000, 256, 217, 201, 1.0),
        (1000, 90, 217, 201, 1.0),
        (300, 64, 1024, 256, 0.5),
    ],
)
def test_a_burst_agrees_with_a_replica_run_step_by_step(
    sent: int, places: int, isl: int, osl: int, spread: float, scheduler: str
) -> None:
    """Places for all prompts or for some, equal and drawn lengths: means and rate within 12 %, mean TPOT of drawn ones 25 %."""
    first = scheduler == "prompts first"
    ran, run, tokens = both(sent, places, isl, osl, spread, 2048 if "2048" in scheduler else 8192, first)
    assert run.ttft.item() == pytest.approx(float(ran.ttft.mean()), rel=0.12)
    assert run.tpot.item() == pytest.approx(float(ran.tpot.mean()), rel=0.12 if spread == 0 else 0.25)
    assert run.output_per_s.item() == pytest.approx(tokens / ran.lasts, rel=0.12)


@pytest.mark.parametrize(
    ("sent", "places", "isl", "osl", "spread", "decode"),
    [(1000, 1000, 217, 201, 1.0, 200), (1000, 600, 217, 201, 1.0, 200), (500, 300, 1000, 100, 0.0, 100)],
)
def test_prompts_computed_ahead_of_their_turn_agree_with_a_replica(
    sent: int, places: int, isl: int, osl: int, spread: float, decode: int
) -> None:
    """Prompts have room that decode has not: TTFT is early, the wait stands in TPOT; means within 15 %, rate within 12 %."""
    ran, run, tokens = both(sent, places, isl, osl, spread, 8192, True, decode)
    assert run.ttft.item() == pytest.approx(float(ran.ttft.mean()), rel=0.15)
    assert run.tpot.item() == pytest.approx(float(ran.tpot.mean()), rel=0.15)
    assert run.output_per_s.item() == pytest.approx(tokens / ran.lasts, rel=0.12)


@settings(max_examples=20, deadline=None)
@given(
    isl=st.integers(16, 8000),
    osl=st.integers(8, 1000),
    engine=st.sampled_from(["vllm", "sglang", "trtllm"]),
    sent=st.integers(1, 3000),
    first=st.booleans(),
)
def test_a_burst_keeps_its_bounds(isl: int, osl: int, engine: str, sent: int, first: bool) -> None:
    """Longer tails and fewer places never raise the rate; no first token is later than the end of the run; all is finite."""
    base = replace(
        POINT,
        isl=float(isl),
        osl=float(osl),
        engine=engine,
        prompts_first=first,
        concurrency=float(sent),
        requests=float(sent),
    )
    spreads, caps = (0.0, 0.5, 1.0), (8.0, 64.0, 512.0)
    by_spread = answers(points([replace(base, spread=s, cap=32.0) for s in spreads]))
    by_cap = answers(points([replace(base, cap=c) for c in caps]))
    for found in (by_spread, by_cap):
        assert np.isfinite([found.ttft_s, found.tpot_s, found.output_per_s]).all()
        assert np.all(found.ttft_s <= sent * osl / found.output_per_s * (1 + 1e-9))
    if sent > 1:
        assert np.all(np.diff(by_spread.output_per_s) <= 0.05 * by_spread.output_per_s[1:])
    assert np.all(np.diff(by_cap.output_per_s) >= -0.05 * by_cap.output_per_s[1:])


def test_prompts_too_long_to_share_a_device_are_served_one_after_the_other() -> None:
    """32,000 tokens beside 32 billion weights in 16 bits on one H100: a batch of one, not of all that were sent."""
    h100 = catalogue.accelerator("nvidia-h100-sxm5-80gb")
    point = replace(
        POINT, accelerator=h100, weight_format=NumberFormat.BF16, isl=32000.0, osl=100.0, concurrency=100.0
    )
    found = answers(points([point]))
    assert found.batch[0] == 1
    assert found.ttft_s[0] == pytest.approx(100 * 100 / found.output_per_s[0] / 2, rel=0.1)
