"""Open arrivals, separate pools, speculation, pipelines: the laws that each must keep."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot import catalogue
from entrepot.catalogue import demand
from entrepot.catalogue.records import NumberFormat
from entrepot.errors import InputError
from entrepot.performance import Layout, Pools, Slo, Speculation, Workload, estimate, operating_point
from entrepot.performance.arrivals import Queue, normal_cdf, wait
from entrepot.performance.records import F64
from entrepot.performance.search import search
from entrepot.performance.steady import closed_loop

H20 = catalogue.accelerator("nvidia-h20-sxm-96gb")
H200 = catalogue.accelerator("nvidia-h200-sxm-141gb")
R1 = catalogue.model("deepseek-r1")
QWEN = catalogue.model("qwen3-32b")
ONE = np.array([1.0])
CHAT = Workload("chat", "m", ONE * 1024, ONE * 512, ONE, Slo(2000, 60))
OPEN = replace(CHAT, arrival_scv=1.0)
law = settings(max_examples=40, deadline=None)


def low(work: Workload, **asked: object) -> float:
    """Return the low end on an H200 with a dense model, 0 where there is no rate."""
    answer = estimate(work, H200, QWEN, **{"pools": True, **asked})  # type: ignore[arg-type]
    return 0.0 if answer.mtok_per_device_hour is None else answer.mtok_per_device_hour.low


def queue_of(work: Workload) -> Queue:
    """Return the queue of every layout and batch."""
    found = search(work, H200, QWEN)
    assert found.queue is not None
    return found.queue


# ---------------------------------------------------------------- queues


def test_the_wait_is_exact_where_theory_is() -> None:
    """M/M/1 waits rho/(1-rho) services, M/D/1 half of it, and with chance rho."""
    busy = np.array([0.2, 0.5, 0.9])
    one = np.ones(3)
    mean, chance = wait(busy, one, one, 1.0, 1.0)
    assert mean == pytest.approx(busy / (1 - busy))
    assert chance == pytest.approx(busy)
    assert wait(busy, one, one, 1.0, 0.0)[0] == pytest.approx(busy / (1 - busy) / 2)


@pytest.mark.parametrize("servers", [2, 8, 64])
@pytest.mark.parametrize("busy", [0.5, 0.7, 0.9])
def test_the_wait_of_many_servers_is_near_erlang(servers: int, busy: float) -> None:
    """Erlang's C formula, computed from its sum; Sakasegawa's is within a quarter, or 2 % of a service."""
    load = busy * servers
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = load * blocking / (n + load * blocking)
    chance = blocking / (1 - busy * (1 - blocking))
    exact = chance / servers / (1 - busy)  # in services of one server
    mean, _ = wait(np.array(busy), np.array(1.0 / servers), np.array(float(servers)), 1.0, 1.0)
    assert float(mean) == pytest.approx(exact, rel=0.25, abs=0.02)


def test_the_normal_distribution_agrees_with_a_table() -> None:
    """Quantiles of the normal distribution, as every table has them."""
    assert normal_cdf(np.array([-2.3263, -1.2816, 0.0, 1.6449])) == pytest.approx(
        [0.01, 0.1, 0.5, 0.95], abs=1e-4
    )


@given(st.floats(0.0, 20.0), st.floats(1.0, 4.0))
@law
def test_burstier_arrivals_never_serve_more(scv: float, more: float) -> None:
    """Requests that come in clumps wait longer at the same rate."""
    work = replace(CHAT, slo=Slo(1000, 40, 90.0), arrival_scv=scv)
    assert low(replace(work, arrival_scv=scv * more)) <= low(work) * (1 + 1e-9)


@given(st.floats(100, 5000), st.floats(1.0, 5.0), st.sampled_from([50.0, 90.0, 99.0]))
@law
def test_a_looser_limit_never_serves_less_under_open_arrivals(
    ttft: float, factor: float, percentile: float
) -> None:
    """As in the closed loop."""
    tight = replace(OPEN, slo=Slo(ttft, 50, percentile))
    loose = replace(OPEN, slo=Slo(ttft * factor, 50, percentile))
    assert low(loose) >= low(tight) * (1 - 1e-12)


def test_waits_grow_with_the_arrival_rate() -> None:
    """At every layout: more requests per second, a longer time to first token and per token, at every percentile."""
    queue = queue_of(OPEN)
    rate = np.broadcast_to(queue.requests_per_s, queue.wait.shape)
    assert (np.diff(rate, axis=1) >= -1e-12).all()
    for percentile in (50.0, 95.0, 99.0):
        settled = (queue.busy < 1)[:, 1:]
        for values in (queue.ttft_at(percentile), queue.tpot_at(percentile)):
            with np.errstate(invalid="ignore"):
                grown = np.diff(values, axis=1)
            assert (grown[settled] >= -1e-9).all()


def test_percentiles_are_in_order_and_the_mean_lies_among_them() -> None:
    """p50 <= p90 <= p99, and a mean of what is skewed lies above the median."""
    isl, osl, share = (np.array(x) for x in demand.mix("servegen-deepseek-r1"))
    queue = queue_of(Workload("r1", "m", isl, osl, share, Slo(None, None), arrival_scv=2.0))
    steady = np.broadcast_to(queue.busy, queue.wait.shape) < 0.9
    at: list[F64] = [queue.ttft_at(p)[steady] for p in (50.0, 90.0, 95.0, 99.0)]
    assert all((b >= a).all() for a, b in pairwise(at))
    assert (queue.ttft[steady] <= at[-1]).all()
    inside = queue.ttft_within(queue.ttft_at(90.0))
    assert inside[steady] == pytest.approx(0.9, abs=0.15)  # steps: lengths are discrete


def test_without_bursts_and_load_an_open_request_meets_what_a_single_closed_one_meets() -> None:
    """A nearly empty replica has no queue: TTFT is constant, steps and own prefill in both."""
    found = search(OPEN, H200, QWEN)
    assert found.queue is not None
    alone = closed_loop(found.setting.columns, np.ones_like(found.fits))
    lone = found.queue.take(0, 0)
    wait_share = float(lone.wait[0, 0]) / float(alone.ttft[0, 0])
    assert float(lone.ttft[0, 0]) == pytest.approx(float(alone.ttft[0, 0]), rel=wait_share + 1e-6)
    assert float(lone.tpot[0, 0]) == pytest.approx(float(alone.tpot[0, 0]), rel=1e-9)


def test_an_overfull_queue_has_no_percentile() -> None:
    """At and above capacity nothing settles: infinity, not a number."""
    found = search(OPEN, H200, QWEN)
    full = found.queue
    assert full is not None
    assert np.isinf(full.ttft_at(99.0)[np.broadcast_to(full.busy, full.wait.shape) >= 1]).all()
    assert (np.broadcast_to(full.busy, full.wait.shape) >= 1).any()


# ---------------------------------------------------------------- pools


def test_separate_pools_are_matched_in_rate() -> None:
    """Neither pool of the chosen ratio could lose a replica and serve as much; the string names both."""
    work = replace(CHAT, isl=ONE * 8000, osl=ONE * 300, slo=Slo(4000, 25))
    found = search(work, H20, QWEN, pools=True)
    assert found.pools is not None
    pools = found.pools
    devices = found.setting.layouts.devices[:, 0]
    total = (
        pools.prefill_replicas * devices[pools.prefill_row]
        + pools.decode_replicas * devices[pools.decode_row]
    )
    assert pools.tokens_per_s * total == pytest.approx(pools.requests_per_s * 300)
    for fewer in ((1, 0), (0, 1)):
        x, y = pools.prefill_replicas - fewer[0], pools.decode_replicas - fewer[1]
        assert x == 0 or y == 0 or (x * devices[pools.prefill_row] + y * devices[pools.decode_row]) < total


@given(st.integers(200, 20_000), st.integers(2, 3000), st.floats(500, 8000), st.floats(10, 100))
@law
def test_pools_never_beat_the_physical_limit(isl: int, osl: int, ttft: float, tpot: float) -> None:
    """Moving a phase to another device does not make arithmetic cheaper."""
    work = replace(CHAT, isl=ONE * isl, osl=ONE * osl, slo=Slo(ttft, tpot))
    found = search(work, H200, QWEN, pools=True)
    if found.pools is not None:
        assert found.pools.tokens_per_s <= found.limit_tokens_per_s
        assert found.pools.tpot * 1e3 <= tpot
        assert found.pools.queue.ttft_within(ttft * 1e-3)[0, 0] >= 0.5


def test_pools_pay_where_prompts_are_long_and_tokens_are_urgent() -> None:
    """Why anyone separates them: a decoding request that must not wait for 8,000-token prompts of others."""
    work = replace(CHAT, isl=ONE * 8000, osl=ONE * 300, slo=Slo(4000, 20))
    answer = estimate(work, H200, QWEN, pools=True)
    together = estimate(work, H200, QWEN)
    assert isinstance(answer.layout, Pools)
    assert "prefill" in str(answer.layout)
    assert answer.mtok_per_device_hour is not None
    assert together.mtok_per_device_hour is None or (
        answer.mtok_per_device_hour.low > together.mtok_per_device_hour.low
    )


# ---------------------------------------------------------------- speculation


def test_tokens_per_step_follow_from_acceptance() -> None:
    """Leviathan and others, equation 1; one draft token at the published 0.85 gives 1.85."""
    assert Speculation(1, 0.85).tokens_per_step == pytest.approx(1.85)
    assert Speculation(3, 0.7).tokens_per_step == pytest.approx((1 - 0.7**4) / (1 - 0.7))
    assert Speculation(4, 0.0).tokens_per_step == 1.0


def test_a_draft_that_is_never_right_only_costs() -> None:
    """Proposals are verified before they are refused."""
    layout = Layout(NumberFormat.FP8, 16, 1, 16, 16, 64)
    plain = operating_point(CHAT, H20, R1, layout)
    wrong = operating_point(CHAT, H20, R1, layout, speculation=Speculation(2, 0.0))
    assert wrong.tpot_ms > plain.tpot_ms
    assert wrong.batch_max <= plain.batch_max


def test_speculation_helps_small_batches_most() -> None:
    """Published for one draft token on H20: +21 % at batch 1 per device, less and less beyond (sglang pull request 11854).

    From the smallest batch on. Between 16 and 256 the gain moves by 1 to 6 % either way: a verified position hits experts
    that the step would else not have read, and less so when nearly all are read anyway.
    """
    gains = []
    for batch in (1, 256, 1024, 2048, 4096):
        layout = Layout(NumberFormat.FP8, 16, 1, 16, 16, batch)
        plain = operating_point(CHAT, H20, R1, layout).decode_tokens_per_s
        drafted = operating_point(CHAT, H20, R1, layout, speculation=Speculation(1, 0.85)).decode_tokens_per_s
        gains.append(drafted / plain)
    assert gains == sorted(gains, reverse=True)
    assert 1.2 < gains[0] <= 1.85


@given(st.integers(1, 4), st.floats(0, 0.95), st.floats(0, 0.05))
@law
def test_a_better_draft_never_serves_less(tokens: int, acceptance: float, better: float) -> None:
    """Acceptance costs nothing."""
    assert low(CHAT, speculation=Speculation(tokens, acceptance + better)) >= low(
        CHAT, speculation=Speculation(tokens, acceptance)
    ) * (1 - 1e-12)


def test_a_draft_model_is_counted_whole() -> None:
    """Its weights take memory, its steps take time: a draft as large as the model cannot pay."""
    small = estimate(CHAT, H200, QWEN, speculation=Speculation(3, 0.7, catalogue.model("qwen3-8b")))
    same = estimate(CHAT, H200, QWEN, speculation=Speculation(3, 0.7, QWEN))
    assert small.mtok_per_device_hour is not None
    assert same.mtok_per_device_hour is None or (
        same.mtok_per_device_hour.central < small.mtok_per_device_hour.central
    )
    assert low(CHAT, speculation=Speculation(3, 0.7, QWEN)) < low(CHAT)


@pytest.mark.parametrize("wrong", [Speculation(0, 0.5), Speculation(1, 1.5), Speculation(40, -0.1)])
def test_a_senseless_speculation_is_refused(wrong: Speculation) -> None:
    """One error, each fault named."""
    with pytest.raises(InputError):
        estimate(CHAT, H200, QWEN, speculation=wrong)
    with pytest.raises(InputError, match="arrival_scv"):
        estimate(replace(CHAT, arrival_scv=-1.0), H200, QWEN)


# ---------------------------------------------------------------- pipelines


def test_a_pipeline_reads_each_weight_once_per_pass() -> None:
    """At one sequence a pipeline is as slow as its TP group, at a full one it serves on all its stages."""
    model = catalogue.model("llama-3.1-70b")
    work = replace(CHAT, slo=Slo(None, None))

    def point(pp: int, batch: int) -> float:
        layout = Layout(NumberFormat.FP8, 16, 2, 1, 1, batch, pp)
        return operating_point(work, H200, model, layout).decode_step_ms

    assert point(4, 1) == pytest.approx(point(1, 1), rel=0.02)
    assert point(4, 1) > point(1, 1)
    assert point(4, 64) == pytest.approx(point(1, 16), rel=0.02)
    fits = [
        operating_point(work, H200, model, Layout(NumberFormat.FP8, 16, 2, 1, 1, 8, pp)).batch_max
        for pp in (1, 4)
    ]
    assert (
        fits[1] > 4 * fits[0]
    )  # weights are held once by all stages, so that more room is left for the cache


# ---------------------------------------------------------------- the choice explains itself


def test_the_runner_up_is_another_layout_and_says_why() -> None:
    """Who doubts the choice sees what came next, how much worse, and what makes it so."""
    answer = estimate(CHAT, H200, QWEN, pools=True)
    assert answer.runner_up is not None
    assert str(answer.runner_up.layout) != str(answer.layout)
    assert answer.runner_up.why
    without = search(CHAT, H200, QWEN, pools=True)
    best = np.sort(without.allowed.max(axis=1) / without.spread[:, 0])[::-1]
    assert answer.mtok_per_device_hour is not None
    if not isinstance(answer.runner_up.layout, Pools) and not isinstance(answer.layout, Pools):
        assert answer.runner_up.share_of_best == pytest.approx(best[1] / best[0], rel=0.3)
