"""What does a replica in steady state deliver, and how long does a request wait?

Closed form for a closed loop of ``batch`` requests per replica with chunked prefill::

    td    = decode step of the batch at the mean context + host time
    marg  = seconds of prefill that one request costs inside packed chunks
    TPOT  = td + interference (batch - 1) marg / osl
    TTFT  = constant + own prefill + steps waited x td + bursts
    rate  = batch osl / (TTFT + (osl - 1) TPOT)

All figures are means; at a percentile above 50, TPOT and the waiting part of TTFT are stretched along a lognormal through
the ratio p99/mean of published server logs, and the own prefill is that of the input length at the percentile.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from entrepot.performance.columns import Columns, Number
from entrepot.performance.efficiency import serving
from entrepot.performance.memory import batch_max
from entrepot.performance.mix import Mix
from entrepot.performance.records import F64, Speculation
from entrepot.performance.speculative import draft_columns, draft_shape, speculative_parts
from entrepot.performance.step import (
    Part,
    Setting,
    Times,
    decode_parts_of,
    prefill_parts_of,
    total,
)

__all__ = [
    "Loop",
    "Steady",
    "alone",
    "closed_loop",
    "closed_percentile",
    "front_wait",
    "limit",
    "limit_of",
    "packed_prefill",
    "percentile_stretch",
    "prefill_of_mix",
    "prompt_seconds",
    "steady",
    "step_parts",
    "step_times",
]


@dataclass(frozen=True, slots=True)
class Steady:
    """Seconds and rates of every (layout, batch); ``tokens_per_s`` are output tokens per second and device."""

    batch: F64
    ttft: F64
    tpot: F64
    tokens_per_s: F64
    decode: Times
    prefill: Times


def steady(setting: Setting, batch: F64, *, percentile: float) -> Steady:
    """Return what each layout delivers at each batch, (layouts, batches).

    Parameters
    ----------
    batch : (layouts, batches) concurrent requests per replica, >= 1
    percentile : of the latencies, 50 for the mean
    """
    at = setting.columns
    loop = closed_loop(at, batch, speculation=setting.speculation, draft=draft_columns(setting))
    own = prompt_seconds(at, setting.mix, np.array([setting.mix.length_at]))
    ttft, tpot = closed_percentile(at, loop, own, percentile)
    return Steady(
        batch=batch,
        ttft=ttft,
        tpot=tpot,
        tokens_per_s=np.asarray(batch * at.osl / loop.life / setting.layouts.devices),
        decode=loop.decode,
        prefill=loop.prefill,
    )


def closed_percentile(at: Columns, loop: Loop, own: F64, percentile: float) -> tuple[F64, F64]:
    """Return seconds of TTFT and TPOT at a percentile, stretched as in published server logs.

    Parameters
    ----------
    own : (layouts, 1) seconds of prefill of a prompt of the length at the percentile
    """
    of_ttft, of_tpot = percentile_stretch(percentile)
    ttft = np.asarray(at.ttft_constant_s + loop.waiting * of_ttft + own)
    return (np.maximum(ttft, loop.ttft) if of_ttft > 1 else ttft), loop.tpot * of_tpot


@dataclass(frozen=True, slots=True)
class Loop:
    """Mean seconds of a request in a closed loop.

    ``waiting`` is the part of TTFT that is not constant or own prefill, ``steps_waited`` what of it is decode steps;
    ``per_token`` is TPOT without the prefill of others, ``prompt`` what one request's prefill takes from a replica.
    """

    ttft: F64
    tpot: F64
    waiting: F64
    life: F64
    own: F64
    decode: Times
    prefill: Times
    steps_waited: F64
    per_token: F64
    prompt: F64


def closed_loop(
    at: Columns, batch: F64, *, speculation: Speculation | None = None, draft: Columns | None = None
) -> Loop:
    """Return the steady state of ``batch`` requests per replica that fit in memory, one value per point.

    Parameters
    ----------
    speculation, draft : speculative decoding, and the columns of what proposes the tokens

    Notes
    -----
    With PP stages, PP micro-batches are under way at once: each takes the time of a whole pass, and a prefill occupies
    one stage at a time.
    """
    decode = step_times(at, batch, speculation=speculation, draft=draft)
    prefill = total(packed_prefill(at, batch))
    uneven = _uneven(at)
    td, marg = decode.whole, prefill.whole * uneven / at.pp * at.pace
    per_token = td / at.accepted / (1.0 if speculation is None else speculation.tokens_per_step)
    own = np.asarray(total(alone(at)).whole * _through_stages(at, at.computed) * at.ttft_prefill)
    others = np.maximum(batch - 1, 0.0)
    steps_waited = np.asarray((at.ttft_steps + at.polled) * td)
    waiting = np.asarray(steps_waited + at.ttft_burst * others**at.ttft_burst_exponent * marg / 2)
    tpot = np.asarray(per_token + at.interference * others * marg / at.osl)
    inside = at.ttft_constant_s + waiting + own + np.maximum(at.osl - 1, 0.0) * tpot
    waiting = waiting + front_wait(at.frontend_s, batch, inside)
    ttft = np.asarray(at.ttft_constant_s + waiting + own)
    life = np.asarray(ttft + np.maximum(at.osl - 1, 0.0) * tpot)
    return Loop(ttft, tpot, waiting, life, own, decode, prefill, steps_waited, per_token, marg)


def front_wait(service: Number, batch: F64, inside: F64) -> F64:
    """Return the mean seconds that a request of a closed loop spends with the one process that takes requests in.

    ``batch`` requests go round between that process, ``service`` seconds each, and the engine, ``inside`` seconds. Schweitzer's
    approximation of mean value analysis, one queue and one delay, is a quadratic: R^2 + (Z - C s) R - s Z = 0.

    Source
    ------
    Schweitzer, "Approximate analysis of multiclass closed networks of queues" (1979), with the arrival seeing (C - 1)/C of the queue.

    Examples
    --------
    >>> front_wait(0.01, np.array([1.0, 1000.0]), np.array([1.0, 1.0])).round(3)
    array([0.01 , 9.001])
    """
    half = (service * batch - inside) / 2
    wait: F64 = half + np.sqrt(half**2 + service * inside)
    return wait


def _uneven(at: Columns) -> Number:
    """Return the fullest pipeline stage over the mean one."""
    return np.ceil(at.layers / at.pp) * at.pp / at.layers


def step_parts(setting: Setting, batch: F64) -> list[Part]:
    """Return the parts of one decode step of ``batch`` sequences per replica, its draft included."""
    return _step_parts(setting.columns, batch, setting.speculation, draft_columns(setting))


def _step_parts(
    at: Columns, batch: F64, speculation: Speculation | None, draft: Columns | None
) -> list[Part]:
    passing = np.maximum(batch / at.pp, np.minimum(batch, 1.0))  # a pass carries a whole sequence
    if speculation is None or draft is None:
        return decode_parts_of(at, passing)
    return speculative_parts(at, draft, passing, speculation)


def _through_stages(at: Columns, tokens: Number) -> Number:
    """Return a prompt's time in a pipeline over the sum of its stages' times: chunks follow one another."""
    chunks = np.ceil(np.maximum(tokens, 1.0) / at.chunk)
    return _uneven(at) * (chunks + at.pp - 1) / (chunks * at.pp)


def prompt_seconds(at: Columns, mix: Mix, lengths: F64) -> F64:
    """Return the seconds until a prompt of each length is computed that has the replica to itself, (layouts, lengths).

    Parameters
    ----------
    lengths : (lengths,) input tokens, those in the prefix cache included
    """
    hit = mix.buckets.prefix_hit_share
    tokens = lengths[None, :] * (1 - hit)
    pairs = (lengths**2 - (hit * lengths) ** 2)[None, :] / 2
    window = float(at.window)
    ramp = np.minimum(lengths, window)
    inside = ((1 - hit) * (ramp**2 / 2 + (lengths - ramp) * window))[None, :]
    seconds: F64 = (
        total(_single(at, tokens, pairs, inside)).whole * _through_stages(at, tokens) * at.ttft_prefill
    )
    return seconds


def step_times(
    at: Columns, batch: F64, *, speculation: Speculation | None = None, draft: Columns | None = None
) -> Times:
    """Return one decode step of ``batch`` sequences per replica, through all pipeline stages."""
    times = total(_step_parts(at, batch, speculation, draft))
    uneven = _uneven(at)
    return replace(times, whole=np.asarray(times.whole * uneven * at.pace))


def prefill_of_mix(setting: Setting, batch: F64) -> list[Part]:
    """Return the parts of the prefill that one mean request costs when chunks are packed."""
    return packed_prefill(setting.columns, batch)


def packed_prefill(at: Columns, batch: F64) -> list[Part]:
    """Return the parts of the prefill that one mean request costs when chunks are packed."""
    chunk = np.clip(at.computed * np.maximum(batch / at.dp, 1.0), 1.0, at.chunk)
    ranks = np.minimum(at.dp, np.maximum(batch, 1.0))
    return prefill_parts_of(
        at, chunk, ranks, tokens=at.computed, pairs=at.pairs, window_pairs=at.pairs_inside
    )


def alone(at: Columns) -> list[Part]:
    """Return the parts of one mean prompt that has the replica to itself."""
    return _single(at, at.computed, at.pairs, at.pairs_inside)


def _single(at: Columns, tokens: Number, pairs: Number, window_pairs: Number) -> list[Part]:
    one = np.ones_like(at.tp)
    chunk = one * np.minimum(np.maximum(tokens, 1.0), at.chunk)
    return prefill_parts_of(
        at, chunk, one, tokens=np.maximum(tokens, 1.0), pairs=pairs, window_pairs=window_pairs
    )


def percentile_stretch(percentile: float) -> tuple[float, float]:
    """Return the factors on (TTFT waiting, TPOT) at a percentile; 1 at the median and below.

    Examples
    --------
    >>> percentile_stretch(50.0)
    (1.0, 1.0)
    >>> [round(x, 2) for x in percentile_stretch(99.0)]
    [2.28, 1.19]
    """
    constants = serving()
    normal = NormalDist()
    depth = max(normal.inv_cdf(min(percentile, 99.99) / 100), 0.0) / normal.inv_cdf(0.99)
    return constants.ttft_p99_over_mean**depth, constants.tpot_p99_over_mean**depth


def limit(setting: Setting) -> F64:
    """Return the physical limit of each layout: output tokens per second and device, (layouts,).

    100 % of peak arithmetic and bandwidth, perfectly overlapped, no overhead, no communication, prefill riding on the
    weight reads of decode, at the largest batch that fits with no reserve. Speculative decoding yields its tokens per
    step, and pays its verification and its draft.
    """
    spoken = setting.speculation
    batch = batch_max(
        setting.chip,
        setting.shape,
        setting.layouts,
        setting.mix,
        kv_bits=setting.kv_bits,
        reserve=False,
        draft=None if spoken is None else draft_shape(setting.shape, spoken),
    )
    return limit_of(setting.columns, batch, speculation=spoken, draft=draft_columns(setting))[:, 0]


def limit_of(
    at: Columns, fits: F64, *, speculation: Speculation | None = None, draft: Columns | None = None
) -> F64:
    """Return the physical limit at the most sequences that fit: see ``limit``; 0 where none fits."""
    batch, spoken = np.maximum(fits, 1.0), speculation
    passing = np.maximum(batch / at.pp, 1.0)
    decode = (
        decode_parts_of(at, passing)
        if spoken is None or draft is None
        else speculative_parts(at, draft, passing, spoken)
    )
    prefill = packed_prefill(at, batch)
    nothing = np.zeros_like(batch)
    arithmetic = sum((p.floor_arithmetic for p in decode), start=nothing)
    of_prompts = sum((p.floor_arithmetic for p in prefill), start=nothing) / at.pp
    memory = sum((p.floor_memory for p in decode), start=nothing)
    yielded = 1.0 if spoken is None else spoken.tokens_per_step
    step = np.maximum(arithmetic / yielded + of_prompts * batch / at.osl, memory / yielded)
    rate: F64 = np.where(fits >= 1, batch / step / (at.tp * at.dp * at.pp), 0.0)
    return rate
