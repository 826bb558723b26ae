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

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from entrepot.performance.columns import Columns, Number
from entrepot.performance.efficiency import serving
from entrepot.performance.layouts import Layouts
from entrepot.performance.memory import batch_max
from entrepot.performance.records import F64
from entrepot.performance.step import (
    Part,
    Setting,
    Times,
    decode_parts,
    decode_parts_of,
    prefill_parts_of,
    total,
)

__all__ = [
    "Loop",
    "Steady",
    "alone",
    "closed_loop",
    "limit",
    "packed_prefill",
    "percentile_stretch",
    "prefill_of_mix",
    "steady",
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
    ttft_stretch, tpot_stretch = percentile_stretch(percentile)
    loop = closed_loop(at, batch)
    at_percentile = (
        at.ttft_constant_s + loop.waiting * ttft_stretch + _at_percentile(setting, at) * at.ttft_prefill
    )
    return Steady(
        batch=batch,
        ttft=np.maximum(at_percentile, loop.ttft) if ttft_stretch > 1 else np.asarray(at_percentile),
        tpot=loop.tpot * tpot_stretch,
        tokens_per_s=np.asarray(batch * at.osl / loop.life / setting.layouts.devices),
        decode=loop.decode,
        prefill=loop.prefill,
    )


@dataclass(frozen=True, slots=True)
class Loop:
    """Mean seconds of a request in a closed loop; ``waiting`` is the part of TTFT that is not constant or own prefill."""

    ttft: F64
    tpot: F64
    waiting: F64
    life: F64
    own: F64
    decode: Times
    prefill: Times


def closed_loop(at: Columns, batch: F64) -> Loop:
    """Return the steady state of ``batch`` requests per replica that fit in memory, one value per point."""
    decode = total(decode_parts_of(at, batch))
    prefill = total(packed_prefill(at, batch))
    td, marg = decode.whole, prefill.whole
    own = np.asarray(total(alone(at)).whole * at.ttft_prefill)
    others = np.maximum(batch - 1, 0.0)
    waiting = np.asarray(at.ttft_steps * td + at.ttft_burst * others**at.ttft_burst_exponent * marg / 2)
    ttft = np.asarray(at.ttft_constant_s + waiting + own)
    tpot = np.asarray(td + at.interference * others * marg / at.osl)
    life = np.asarray(ttft + np.maximum(at.osl - 1, 0.0) * tpot)
    return Loop(ttft, tpot, waiting, life, own, decode, prefill)


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


def _at_percentile(setting: Setting, at: Columns) -> F64:
    """Seconds of prefill of one prompt of the length at the percentile."""
    mix, shape = setting.mix, setting.shape
    miss = 1 - mix.buckets.prefix_hit_share
    length = mix.isl_at / miss if miss else 0.0
    pairs = (length**2 - (length - mix.isl_at) ** 2) / 2
    ramp = min(length, float(shape.window))
    window_pairs = miss * (ramp**2 / 2 + (length - ramp) * shape.window)
    return total(_single(at, mix.isl_at, pairs, window_pairs)).whole


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
    weight reads of decode, at the largest batch that fits with no reserve. Speculative decoding is outside: it yields
    more than one token per step.
    """
    layouts: Layouts = setting.layouts
    batch = batch_max(
        setting.chip, setting.shape, layouts, setting.mix, kv_bits=setting.kv_bits, reserve=False
    )
    at = np.maximum(batch, 1.0)
    decode, prefill = decode_parts(setting, at), prefill_of_mix(setting, at)
    arithmetic = sum((p.floor_arithmetic for p in decode), start=np.zeros_like(at))
    of_prompts = sum((p.floor_arithmetic for p in prefill), start=np.zeros_like(at))
    memory = sum((p.floor_memory for p in decode), start=np.zeros_like(at))
    step = np.maximum(arithmetic + of_prompts * at / setting.mix.osl, memory)
    rate: F64 = np.where(batch >= 1, at / step / layouts.devices, 0.0)[:, 0]
    return rate
