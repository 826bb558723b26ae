"""Does the closed form of open arrivals agree with a replica that is run step by step?"""

from __future__ import annotations

import numpy as np
import pytest
from tests.performance.simulation import Served, arrivals, serve

from entrepot import catalogue
from entrepot.catalogue.records import NumberFormat
from entrepot.performance import Layout, Slo, Workload
from entrepot.performance.arrivals import Queue, merged, open_loop
from entrepot.performance.operating import setting_at
from entrepot.performance.records import F64
from entrepot.performance.steady import closed_loop, prompt_seconds

ISL = np.array([200.0, 1000.0, 4000.0])
OSL = np.array([40.0, 120.0, 80.0])
SHARE = np.array([0.5, 0.35, 0.15])
SLOTS = 64
WORK = Workload("mixed", "qwen3-32b", ISL, OSL, SHARE, Slo(None, None))
LAYOUT = Layout(NumberFormat.FP8, 16, 2, 1, 1, SLOTS)


def both(busy: float, scv: float, *, requests: int = 4000, faster: float = 1.0) -> tuple[Queue, Served]:
    """Return the queue at the concurrency that makes it so busy, and the same load run step by step."""
    setting = setting_at(
        WORK, catalogue.accelerator("nvidia-h200-sxm-141gb"), catalogue.model("qwen3-32b"), LAYOUT
    )
    # the scheduler's own rules: prompts cost what they cost, arrivals wait half a step and then ride on one
    at = setting.columns.with_(interference=1.0, ttft_constant_s=0.0, ttft_prefill=1.0, ttft_steps=1.5)
    batch = np.geomspace(0.05, SLOTS, 400)[None, :]
    loop = closed_loop(at, batch)
    lengths, share = merged(ISL, SHARE)
    per_token = float(loop.prompt[0, -1]) / float(at.computed)
    own: F64 = (lengths * per_token)[None, :]
    assert own == pytest.approx(
        prompt_seconds(at, setting.mix, lengths), rel=0.6
    )  # short prompts fill no chunk
    queue = open_loop(
        at, setting.mix, loop, batch, np.array([[float(SLOTS)]]), scv=scv, own=own, own_share=share
    )
    point = int(np.searchsorted(np.broadcast_to(queue.busy, batch.shape)[0], busy))
    rate = float(np.broadcast_to(queue.requests_per_s, batch.shape)[0, point])
    rng = np.random.default_rng(7)
    kind = rng.choice(3, requests, p=SHARE)
    step = np.concatenate([[0.0], closed_loop(at, np.arange(1.0, SLOTS + 1)[None, :]).per_token[0]])
    ran = serve(
        arrivals(rng, requests, rate * faster, scv),
        ISL[kind].astype(np.int64),
        OSL[kind].astype(np.int64),
        step=step,
        per_prompt_token=per_token,
        chunk=int(at.chunk),
        slots=SLOTS,
    )
    return queue.take(0, point), ran


@pytest.mark.parametrize(
    ("busy", "scv", "ttft_off", "tpot_off"),
    [(0.3, 1.0, 1.25, 1.25), (0.6, 1.0, 1.25, 1.25), (0.8, 1.0, 1.25, 1.25), (0.5, 4.0, 1.6, 1.35)],
)
def test_percentiles_agree_with_a_replica_run_step_by_step(
    busy: float, scv: float, ttft_off: float, tpot_off: float
) -> None:
    """Below saturation from p50 to p99: within a quarter for Poisson arrivals, wider for bursts."""
    queue, ran = both(busy, scv)
    for percentile in (50.0, 90.0, 99.0):
        ttft = float(queue.ttft_at(percentile)[0, 0]) / float(np.percentile(ran.ttft, percentile))
        tpot = float(queue.tpot_at(percentile)[0, 0]) / float(np.percentile(ran.tpot, percentile))
        assert 1 / ttft_off < ttft < ttft_off, f"TTFT p{percentile:g}: {ttft:.2f}"
        assert 1 / tpot_off < tpot < tpot_off, f"TPOT p{percentile:g}: {tpot:.2f}"


def test_a_replica_run_above_its_capacity_never_settles() -> None:
    """Where the closed form says infinity, the waits of the simulation grow with the length of the run."""
    short, long = (both(0.995, 1.0, requests=n, faster=1.3)[1] for n in (1500, 6000))
    assert float(np.median(long.ttft)) > 2 * float(np.median(short.ttft))


def test_the_simulation_itself_is_right_where_theory_is_exact() -> None:
    """One slot, one token, equal work, Poisson arrivals: M/D/1 waits rho / (2 (1 - rho)) services."""
    rng = np.random.default_rng(1)
    n, busy = 40_000, 0.7
    ran = serve(
        arrivals(rng, n, busy, 1.0),
        np.full(n, 100),
        np.ones(n, dtype=np.int64),
        step=np.array([0.0, 0.0]),
        per_prompt_token=0.01,
        chunk=100,
        slots=1,
    )
    assert float(ran.ttft.mean()) - 1 == pytest.approx(busy / 2 / (1 - busy), rel=0.05)
    gaps = np.diff(arrivals(rng, n, 2.0, 4.0))
    assert gaps.mean() == pytest.approx(0.5, rel=0.05)
    assert gaps.var() / gaps.mean() ** 2 == pytest.approx(4.0, rel=0.15)
