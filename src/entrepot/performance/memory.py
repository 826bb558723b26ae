"""How many sequences fit beside the weights?

Memory of a device = reserve + weights of the rank + KV cache. The cache of one sequence is counted at the length that
it holds on average while it runs, weighted by how long it stays.
"""

from __future__ import annotations

import numpy as np

from entrepot.performance.chip import GB, Chip
from entrepot.performance.columns import Columns, Number
from entrepot.performance.efficiency import serving
from entrepot.performance.layouts import Layouts
from entrepot.performance.mix import Mix
from entrepot.performance.operations import Shape
from entrepot.performance.records import F64

__all__ = ["batch_max", "cache_bytes", "held_together", "weight_bytes"]

_BYTES_16 = 2.0
_LARGEST_BATCH = 2.0**24  # where a sequence holds no cache at all


def weight_bytes(shape: Shape | Columns, layouts: Layouts | Columns) -> F64:
    """Return the weights that one device holds, bytes, (layouts, 1).

    Attention and embeddings are split over TP and copied over DP; FFN and experts are spread over the whole group.
    Embeddings and router stay in 16 bits.
    """
    group = layouts.group
    linear = shape.attention / layouts.tp + (shape.dense + shape.shared) / group
    sixteen = shape.router + shape.embedding / layouts.tp
    whole = np.where(
        np.asarray(layouts.ep) > 1, np.ceil(shape.experts / layouts.ep) * layouts.ep, shape.experts
    )
    routed = shape.moe_layers * shape.expert * whole / group
    held: F64 = np.asarray(
        linear * layouts.linear_bytes + routed * layouts.expert_bytes + sixteen * _BYTES_16
    )
    return held


def cache_bytes(
    shape: Shape | Columns, layouts: Layouts | Columns, tokens: Number, windowed: Number, kv_bits: Number
) -> F64:
    """Return the cache that one sequence of ``tokens`` needs on one device of its rank, bytes, (layouts, 1).

    Parameters
    ----------
    tokens : tokens held in the layers with full attention
    windowed : tokens held in the layers with a window; 0 for a fixed state
    """
    split = np.minimum(layouts.tp, shape.kv_heads)
    grown = (shape.kv_elements * tokens + shape.window_elements * windowed) / split
    state = shape.state_elements / layouts.tp
    size: F64 = np.asarray((grown + state) * kv_bits / 8)
    return size


def held_together(at: Columns, kv_bits: Number, share: Number | None = None) -> F64:
    """Return the sequences of the mean request that fit in one replica, below 1 where none does, one per point.

    As ``batch_max``, but not a whole number, without asking that the longest request fits, and with the smaller reserve
    that published runs live with: a published run did run.

    Parameters
    ----------
    kv_bits : width of the cache as it is held
    share : of its output that a request has room for from the start; the mean that one holds by default
    """
    constants = serving()
    kept = constants.run_reserve_gb * GB + constants.run_reserve_share * at.memory_bytes
    free = at.memory_bytes - kept - weight_bytes(at, at)
    tokens = at.isl + (constants.output_share_held if share is None else share) * at.osl
    one = cache_bytes(at, at, tokens, np.minimum(tokens, at.window), kv_bits)
    with np.errstate(divide="ignore"):
        fits: F64 = np.where(one > 0, free / np.maximum(one, 1e-9), _LARGEST_BATCH) * at.dp
    return np.minimum(fits, _LARGEST_BATCH)


def batch_max(
    chip: Chip,
    shape: Shape,
    layouts: Layouts,
    mix: Mix,
    *,
    kv_bits: int,
    reserve: bool = True,
    draft: Shape | None = None,
) -> F64:
    """Return the sequences that fit in one replica, whole numbers, 0 where it does not fit, (layouts, 1).

    Parameters
    ----------
    reserve : keep back memory for activations and fragmentation (off for the physical limit)
    draft : what proposes tokens in speculative decoding; its weights and its cache lie beside the model's

    Notes
    -----
    The fullest of PP stages holds ``ceil(layers / PP)`` layers.
    """
    constants = serving()
    kept = constants.reserve_gb * GB + constants.reserve_share * chip.memory_bytes if reserve else 0.0
    stage = np.ceil(shape.layers / layouts.pp) / shape.layers
    held = weight_bytes(shape, layouts) * stage
    mean, worst = _sequence_bytes(shape, layouts, mix, kv_bits)
    mean, worst = mean * stage, worst * stage
    if draft is not None:
        own_mean, own_worst = _sequence_bytes(draft, layouts, mix, kv_bits)
        held, mean, worst = held + weight_bytes(draft, layouts), mean + own_mean, worst + own_worst
    free = chip.memory_bytes - kept - held
    with np.errstate(divide="ignore", invalid="ignore"):
        fits = np.where(mean > 0, free / mean, _LARGEST_BATCH)
    fits = np.where((free > 0) & (free >= worst), np.minimum(fits, _LARGEST_BATCH), 0.0)
    whole: F64 = np.floor(fits) * layouts.dp
    return whole


def _sequence_bytes(shape: Shape, layouts: Layouts, mix: Mix, kv_bits: int) -> tuple[F64, F64]:
    """Return what a mean sequence and the longest one keep on a device, bytes, all layers."""
    inside = mix.context_within(shape.window) if shape.window else 0.0
    longest = min(mix.held_max, float(shape.window))
    mean = cache_bytes(shape, layouts, mix.held, inside, kv_bits)
    return mean, cache_bytes(shape, layouts, mix.held_max, longest, kv_bits)
