"""How long does one step take, and where does the time go?

Every operation of a layer costs its arithmetic and its bytes, each over what the architecture reaches, joined by a soft
maximum; then communication and fixed costs. All functions work on (layouts, batches) arrays at once and return seconds.

Source: Table of operations of the roofline with measured efficiencies; constants in ``data/*.toml``. Share of experts
that T tokens hit: ``1 - (1 - k/E)^T``. Absorbed MLA decode: ``2 b heads context (2 latent + rope)`` operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from entrepot.performance.chip import GB, Chip
from entrepot.performance.efficiency import Engine, serving
from entrepot.performance.layouts import Layouts
from entrepot.performance.mix import Mix
from entrepot.performance.operations import Shape
from entrepot.performance.records import F64

__all__ = ["Part", "Setting", "Times", "decode_parts", "prefill_parts", "total"]

_US = 1e-6
_BYTES_16 = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """Seconds of one kind of operation, summed over the layers.

    ``floor_*`` are at 100 % of the datasheet, without padding or imbalance; they make the physical limit.
    """

    name: str
    arithmetic: F64
    memory: F64
    fixed: F64
    floor_arithmetic: F64
    floor_memory: F64


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of a step: whole, and what each resource would take alone."""

    whole: F64
    arithmetic: F64
    memory: F64
    communication: F64
    overhead: F64


@dataclass(frozen=True, slots=True)
class Setting:
    """What stays the same while layouts and batches vary."""

    chip: Chip
    shape: Shape
    layouts: Layouts
    mix: Mix
    engine: Engine
    kv_bits: int


_ZERO: F64 = np.zeros((1, 1))


def total(parts: list[Part]) -> Times:
    """Return the seconds of all parts: a soft maximum within a part, a sum over parts."""
    softness = serving().softness
    whole: F64 = _ZERO
    sums = dict.fromkeys(("arithmetic", "memory", "communication", "overhead"), _ZERO)
    for part in parts:
        if part.arithmetic is _ZERO and part.memory is _ZERO:
            whole = whole + part.fixed
            kind = "communication" if part.name == "communication" else "overhead"
            sums[kind] = sums[kind] + part.fixed
            continue
        whole = whole + soft_maximum(part.arithmetic, part.memory, softness)
        sums["arithmetic"] = sums["arithmetic"] + part.arithmetic
        sums["memory"] = sums["memory"] + part.memory
    return Times(whole=whole, **sums)


def soft_maximum(x: F64, y: F64, softness: float) -> F64:
    """Return ``(x^q + y^q)^(1/q)``: a little above the larger where both are alike."""
    large, small = np.maximum(x, y), np.minimum(x, y)
    ratio = np.divide(small, large, out=np.zeros(np.broadcast_shapes(x.shape, y.shape)), where=large > 0)
    joined: F64 = large * (1.0 + ratio**softness) ** (1.0 / softness)
    return joined


def decode_parts(setting: Setting, batch: F64) -> list[Part]:
    """Return the parts of one decode step of ``batch`` sequences per replica, (layouts, batches)."""
    shape, layouts, chip, mix = setting.shape, setting.layouts, setting.chip, setting.mix
    rows = batch / layouts.dp
    kv_bytes = setting.kv_bits / 8
    reach = chip.efficiency.kv_bandwidth * (
        chip.efficiency.kv8_bandwidth_factor if setting.kv_bits == 8 else 1.0
    )
    split = np.minimum(layouts.tp, shape.kv_heads)
    width = shape.mla_dim or shape.qk_dim + shape.v_dim
    attention = []
    inside = mix.context_within(shape.window) if shape.window else 0.0
    for name, layers, elements, context in (
        ("attention", shape.full, shape.kv_elements, mix.context),
        ("window attention", shape.windowed, shape.window_elements, inside),
    ):
        if not layers or not context:
            continue
        floor_memory = rows * context * elements / split * kv_bytes / chip.bandwidth
        floor_arithmetic = 2 * layers * rows * context * (shape.heads / layouts.tp) * width / chip.rate_16
        arithmetic = floor_arithmetic / (chip.efficiency.mla_attention * chip.reached_16)
        attention.append(Part(name, arithmetic, floor_memory / reach, _ZERO, floor_arithmetic, floor_memory))
    if shape.state_elements:  # read and written once per step
        moved = 2 * rows * shape.state_elements / layouts.tp * kv_bytes / chip.bandwidth
        attention.append(Part("linear attention", moved * 0, moved / reach, _ZERO, moved * 0, moved))
    return [*attention, *_products(setting, rows, batch, head_rows=rows), *_fixed(setting, rows, rows)]


def prefill_parts(
    setting: Setting, chunk: F64, ranks: F64, *, tokens: float, pairs: float, window_pairs: float
) -> list[Part]:
    """Return the parts of computing ``tokens`` input tokens, packed in chunks, (layouts, batches).

    Parameters
    ----------
    chunk : tokens that a data-parallel rank takes in one step
    ranks : data-parallel ranks that prefill at the same time; the seconds are shared by so many prompts
    tokens, pairs, window_pairs : of one prompt: tokens computed, query-key pairs in full and in windowed layers
    """
    shape, layouts, chip = setting.shape, setting.layouts, setting.chip
    steps = tokens / (chunk * ranks)
    seen = shape.full * pairs + (shape.windowed * window_pairs if shape.window else 0.0)
    floor = 2 * seen * (shape.heads / layouts.tp) * (shape.qk_dim + shape.v_dim) / chip.rate_16
    if shape.state_elements:
        floor = floor + 4 * tokens * shape.state_elements / layouts.tp / chip.rate_16
    floor = floor / ranks
    nothing = floor * 0
    attention = Part(
        "attention",
        floor / (chip.efficiency.prefill_attention * chip.reached_16),
        nothing,
        _ZERO,
        floor,
        nothing,
    )
    head_rows = chunk / max(tokens, 1.0)  # only the last token of a prompt needs the head
    parts = [
        *_products(setting, chunk, chunk * ranks, head_rows=head_rows),
        *_fixed(setting, chunk, np.ones_like(chunk)),
    ]
    return [attention, *(_times(part, steps) for part in parts)]


def _times(part: Part, count: F64) -> Part:
    if part.arithmetic is _ZERO and part.memory is _ZERO:
        return Part(part.name, _ZERO, _ZERO, part.fixed * count, _ZERO, _ZERO)
    scaled = (part.arithmetic, part.memory, part.fixed, part.floor_arithmetic, part.floor_memory)
    return Part(part.name, *(value * count for value in scaled))


def _products(setting: Setting, rows: F64, tokens: F64, *, head_rows: F64) -> list[Part]:
    """Return the matrix products: ``rows`` on a rank, ``tokens`` in the whole replica."""
    shape, layouts, chip = setting.shape, setting.layouts, setting.chip
    group = layouts.devices

    share = chip.linear_bandwidth() / chip.bandwidth

    def linear(name: str, weights: F64, m: F64, kind: tuple[F64, F64, F64]) -> Part:
        """One product; ``kind`` is bytes per weight, FLOP/s, share of it reached."""
        width, rate, reached = kind
        arithmetic, memory = 2 * m * weights / rate, weights * width / chip.bandwidth
        return Part(name, arithmetic / reached, memory / share, _ZERO, arithmetic, memory + 0 * m)

    quantised = (layouts.linear_bytes, layouts.linear_rate, layouts.linear_reached)
    parts = [linear("projections", shape.attention / layouts.tp, rows, quantised)]
    if shape.dense + shape.shared:
        parts.append(linear("dense FFN", (shape.dense + shape.shared) / group, tokens, quantised))
    if shape.moe_layers:
        parts.append(_experts(setting, tokens))
    head = shape.head / layouts.tp
    in_16 = (
        np.full_like(head, _BYTES_16),
        np.full_like(head, chip.rate_16),
        np.full_like(head, chip.reached_16),
    )
    parts.append(linear("LM head", head, head_rows, in_16))
    return parts


def _experts(setting: Setting, tokens: F64) -> Part:
    shape, layouts, chip, constants = setting.shape, setting.layouts, setting.chip, serving()
    chosen = shape.experts_per_token / shape.experts
    hit = 1.0 - (1.0 - chosen) ** tokens  # share of experts that the step touches
    slices = shape.moe_layers * shape.expert / layouts.devices
    floor_arithmetic = 2 * tokens * shape.experts_per_token * slices / layouts.expert_rate
    floor_memory = hit * shape.experts * slices * layouts.expert_bytes / chip.bandwidth
    padded = 1.0 + hit * shape.experts * constants.expert_pad_rows / (tokens * shape.experts_per_token)
    uneven = 1.0 + np.where(layouts.ep > 1, constants.expert_imbalance, 0.0)
    arithmetic = floor_arithmetic * padded * uneven / (chip.efficiency.experts * layouts.expert_reached)
    memory = floor_memory * chip.bandwidth / chip.expert_bandwidth()
    return Part("experts", arithmetic, memory, _ZERO, floor_arithmetic, floor_memory)


def _fixed(setting: Setting, rows: F64, sequences: F64) -> list[Part]:
    """Return communication and overheads of one step."""
    shape, layouts, constants, engine = setting.shape, setting.layouts, serving(), setting.engine
    link = layouts.link_tp * layouts.link_share
    tp = layouts.tp
    after_ffn = np.where(layouts.dp > 1, 0.0, 1.0)
    reduces = np.where(tp > 1, 1.0 + after_ffn, 0.0) * shape.layers
    latency = (
        constants.all_reduce_us
        * _US
        * (1 + constants.all_reduce_us_per_doubling * np.log2(np.maximum(tp / 2, 1)))
    )
    moved = 2 * rows * shape.hidden * _BYTES_16 * (tp - 1) / tp
    communication = reduces * (latency + moved / link)
    if shape.moe_layers:
        communication = communication + shape.moe_layers * _all_to_all(setting, rows)
    layer = setting.chip.efficiency.layer_us * engine.layer_factor * _US
    if shape.is_mla:
        layer *= constants.mla_layer_factor
    launches = layer * (shape.layers + shape.moe_layers * (constants.moe_layer_factor - 1))
    host = engine.step_host_ms * 1e-3 + constants.host_sequence_us * _US * sequences
    return [
        Part("communication", _ZERO, _ZERO, communication, _ZERO, _ZERO),
        Part("overhead", _ZERO, _ZERO, launches + host, _ZERO, _ZERO),
    ]


def _all_to_all(setting: Setting, rows: F64) -> F64:
    """Seconds of dispatch and combine of one layer; a token goes once to each rank, and across once to each node."""
    shape, layouts, constants = setting.shape, setting.layouts, serving()
    chosen = shape.experts_per_token

    def copies(groups: F64) -> F64:
        """Mean number of other groups that the k experts of a token lie in."""
        hit: F64 = (groups - 1) * (1 - (1 - 1 / groups) ** chosen)
        return hit

    sent = rows / layouts.tp * shape.hidden * (constants.dispatch_bytes + constants.combine_bytes)
    inside = sent * copies(layouts.ep / layouts.nodes) / (layouts.link_group * layouts.link_share)
    across = sent * copies(layouts.nodes) / (constants.scaleout_gb_s * constants.scaleout_share * GB)
    latency = np.where(layouts.nodes > 1, constants.all_to_all_across_us, constants.all_to_all_us) * _US
    seconds: F64 = np.where(layouts.dp > 1, 2 * latency + inside + across, 0.0)
    return seconds
