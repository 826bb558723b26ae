"""How long does one step take, and where does the time go?

Every operation of a layer costs its arithmetic and its bytes, each over what the architecture reaches, joined by a soft
maximum; then communication and fixed costs. All functions work on columns that broadcast (many layouts of one chip, or
many published points) and return seconds.

Source: Table of operations of the roofline with measured efficiencies; constants in ``data/*.toml``. Share of experts
that T tokens hit: ``1 - (1 - k/E)^T``. Absorbed MLA decode: ``2 b heads context (2 latent + rope)`` operations. A
sparse-attention indexer looks at the whole context in 8 bits, the main attention at its best ``index_top`` tokens
(DeepSeek-V3.2 report, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from entrepot.performance.chip import Chip
from entrepot.performance.columns import Columns, Number, columns
from entrepot.performance.efficiency import Engine
from entrepot.performance.layouts import Layouts
from entrepot.performance.mix import Mix
from entrepot.performance.offsets import paces
from entrepot.performance.operations import Shape
from entrepot.performance.records import F64, Speculation

__all__ = [
    "Part",
    "Setting",
    "Times",
    "decode_parts",
    "decode_parts_of",
    "prefill_parts",
    "prefill_parts_of",
    "total",
]

_BYTES_16 = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """Seconds of one kind of operation, summed over the layers.

    ``floor_*`` are at 100 % of the datasheet, without padding or imbalance; they make the physical limit. ``softness``
    joins arithmetic and memory.
    """

    name: str
    arithmetic: F64
    memory: F64
    fixed: F64
    floor_arithmetic: F64
    floor_memory: F64
    softness: Number = 1.0


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
    speculation: Speculation | None = None

    @property
    def columns(self) -> Columns:
        """The same as columns that broadcast."""
        pace, patience = paces(
            self.chip.id,
            self.chip.efficiency.architecture,
            self.shape.id,
            self.engine.name,
            [fmt.format for fmt in self.layouts.formats],
        )
        return columns(
            self.chip,
            self.shape,
            self.layouts,
            self.mix,
            self.engine,
            self.kv_bits,
            pace=pace,
            patience=patience,
        )


_ZERO: F64 = np.zeros((1, 1))


def total(parts: list[Part]) -> Times:
    """Return the seconds of all parts: a soft maximum within a part, a sum over parts."""
    whole: F64 = _ZERO
    sums = dict.fromkeys(("arithmetic", "memory", "communication", "overhead"), _ZERO)
    for part in parts:
        if part.arithmetic is _ZERO and part.memory is _ZERO:
            whole = whole + part.fixed
            kind = "communication" if part.name == "communication" else "overhead"
            sums[kind] = sums[kind] + part.fixed
            continue
        whole = whole + soft_maximum(part.arithmetic, part.memory, part.softness)
        sums["arithmetic"] = sums["arithmetic"] + part.arithmetic
        sums["memory"] = sums["memory"] + part.memory
    return Times(whole=whole, **sums)


def soft_maximum(x: F64, y: F64, softness: Number) -> F64:
    """Return ``(x^q + y^q)^(1/q)``: a little above the larger where both are alike."""
    large, small = np.maximum(x, y), np.minimum(x, y)
    ratio = np.divide(small, large, out=np.zeros(np.broadcast_shapes(x.shape, y.shape)), where=large > 0)
    joined: F64 = large * (1.0 + ratio**softness) ** (1.0 / softness)
    return joined


def decode_parts(setting: Setting, batch: F64) -> list[Part]:
    """Return the parts of one decode step of ``batch`` sequences per replica, (layouts, batches)."""
    return decode_parts_of(setting.columns, batch)


def decode_parts_of(at: Columns, batch: F64) -> list[Part]:
    """Return the parts of one decode step of ``batch`` sequences per replica."""
    rows: F64 = np.asarray(batch / at.dp)
    kv_bytes = at.kv_bits / 8
    split = np.minimum(at.tp, at.kv_heads)
    width = np.where(np.asarray(at.mla_dim) > 0, at.mla_dim, at.qk_dim + at.v_dim)
    sparse = np.asarray(at.index_top) > 0
    seen = np.where(sparse, np.minimum(at.context, np.maximum(at.index_top, 1.0)), at.context)
    attention = []
    for name, layers, elements, context in (
        ("attention", at.full, at.kv_elements, seen),
        ("window attention", at.windowed, at.window_elements, np.asarray(at.context_inside)),
    ):
        if not (np.any(layers) and np.any(context)):
            continue
        floor_memory = rows * context * elements / split * kv_bytes / at.bandwidth
        looked = rows * at.verified
        floor_arithmetic = 2 * layers * looked * context * (at.heads / at.tp) * width / at.rate_16
        attention.append(
            Part(
                name,
                np.asarray(floor_arithmetic / at.mla_reached),
                np.asarray(floor_memory / at.kv_reached),
                _ZERO,
                np.asarray(floor_arithmetic),
                np.asarray(floor_memory),
                at.softness,
            )
        )
    if np.any(sparse):
        attention.append(_indexer(at, rows * at.verified * at.context, at.context * rows))
    if np.any(at.state_elements):  # read and written once per step
        moved = np.asarray(2 * rows * at.state_elements / at.tp * kv_bytes / at.bandwidth)
        attention.append(
            Part("linear attention", moved * 0, moved / at.kv_reached, _ZERO, moved * 0, moved, at.softness)
        )
    tokens, tokens_here = np.asarray(batch * at.verified), np.asarray(rows * at.verified)
    return [
        *attention,
        *_products(at, tokens_here, tokens, head_rows=tokens_here),
        *_fixed(at, tokens_here, rows),
    ]


def _indexer(at: Columns, pairs: Number, read: Number) -> Part:
    """Return the indexer of sparse attention: every query against every key, in 8 bits, in every full layer."""
    arithmetic = np.asarray(2 * at.full * pairs * at.index_heads * at.index_dim / at.tp / at.linear_rate)
    memory = np.asarray(
        at.full * read * at.index_dim * np.where(np.asarray(at.index_top) > 0, 1.0, 0.0) / at.bandwidth
    )
    return Part(
        "sparse index",
        np.asarray(arithmetic / at.linear_reached),
        np.asarray(memory / at.kv_reached),
        _ZERO,
        arithmetic,
        memory,
        at.softness,
    )


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
    return prefill_parts_of(
        setting.columns, chunk, ranks, tokens=tokens, pairs=pairs, window_pairs=window_pairs
    )


def prefill_parts_of(
    at: Columns, chunk: F64, ranks: F64, *, tokens: Number, pairs: Number, window_pairs: Number
) -> list[Part]:
    """Return the parts of computing ``tokens`` input tokens: see ``prefill_parts``."""
    steps = tokens / (chunk * ranks)
    sparse = np.asarray(at.index_top) > 0
    few = np.where(sparse, np.minimum(pairs, np.maximum(at.index_top, 1.0) * tokens), pairs)
    seen = at.full * few + np.where(np.asarray(at.window) > 0, at.windowed * window_pairs, 0.0)
    floor = 2 * seen * (at.heads / at.tp) * (at.qk_dim + at.v_dim) / at.rate_16
    floor = floor + 4 * tokens * at.state_elements / at.tp / at.rate_16
    floor = np.asarray(floor / ranks)
    nothing = floor * 0
    attention = [
        Part(
            "attention",
            np.asarray(floor / at.attention_reached),
            nothing,
            _ZERO,
            floor,
            nothing,
            at.softness,
        )
    ]
    if np.any(sparse):
        attention.append(_indexer(at, np.asarray(pairs / ranks), np.asarray(tokens / ranks)))
    head_rows = chunk / np.maximum(tokens, 1.0)  # only the last token of a prompt needs the head
    parts = [
        *_products(at, chunk, chunk * ranks, head_rows=head_rows),
        *_fixed(at, chunk, np.ones_like(chunk)),
    ]
    return [*attention, *(_times(part, np.asarray(steps)) for part in parts)]


def _times(part: Part, count: F64) -> Part:
    if part.arithmetic is _ZERO and part.memory is _ZERO:
        return Part(part.name, _ZERO, _ZERO, part.fixed * count, _ZERO, _ZERO)
    return Part(
        part.name,
        part.arithmetic * count,
        part.memory * count,
        part.fixed * count,
        part.floor_arithmetic * count,
        part.floor_memory * count,
        part.softness,
    )


def _products(at: Columns, rows: F64, tokens: F64, *, head_rows: F64) -> list[Part]:
    """Return the matrix products: ``rows`` on a rank, ``tokens`` in the whole replica."""
    group = at.tp * at.dp
    share = at.linear_bandwidth / at.bandwidth

    def linear(name: str, weights: Number, m: F64, width: Number, rate: Number, reached: Number) -> Part:
        """One product, of ``width`` bytes per weight."""
        arithmetic = np.asarray(2 * m * weights / rate)
        memory = np.asarray(weights * width / at.bandwidth + 0 * m)
        return Part(
            name,
            np.asarray(arithmetic / reached),
            np.asarray(memory / share),
            _ZERO,
            arithmetic,
            memory,
            at.softness,
        )

    quantised = (at.linear_bytes, at.linear_rate, at.linear_reached)
    parts = [linear("projections", at.attention / at.tp, rows, *quantised)]
    if np.any(at.dense + at.shared):
        parts.append(linear("dense FFN", (at.dense + at.shared) / group, tokens, *quantised))
    if np.any(at.moe_layers):
        parts.append(_experts(at, tokens))
    parts.append(linear("LM head", at.head / at.tp, head_rows, _BYTES_16, at.rate_16, at.reached_16))
    return parts


def _experts(at: Columns, tokens: F64) -> Part:
    chosen = at.experts_per_token / np.maximum(at.experts, 1.0)
    hit = 1.0 - (1.0 - chosen) ** tokens  # share of experts that the step touches
    slices = at.moe_layers * at.expert / (at.tp * at.dp)
    floor_arithmetic = np.asarray(2 * tokens * at.experts_per_token * slices / at.expert_rate)
    floor_memory = np.asarray(hit * at.experts * slices * at.expert_bytes / at.bandwidth)
    padded = 1.0 + hit * at.experts * at.expert_pad_rows / (tokens * np.maximum(at.experts_per_token, 1.0))
    uneven = 1.0 + np.where(np.asarray(at.ep) > 1, at.expert_imbalance, 0.0)
    arithmetic = np.asarray(floor_arithmetic * padded * uneven / at.expert_reached)
    memory = np.asarray(floor_memory * at.bandwidth / at.expert_bandwidth)
    return Part("experts", arithmetic, memory, _ZERO, floor_arithmetic, floor_memory, at.softness)


def _fixed(at: Columns, rows: F64, sequences: F64) -> list[Part]:
    """Return communication and overheads of one step."""
    link = at.link_tp * at.link_share
    after_ffn = np.where(np.asarray(at.dp) > 1, 0.0, 1.0)
    reduces = np.where(np.asarray(at.tp) > 1, 1.0 + after_ffn, 0.0) * at.layers
    latency = at.all_reduce_s * (1 + at.all_reduce_per_doubling * np.log2(np.maximum(at.tp / 2, 1)))
    moved = 2 * rows * at.hidden * _BYTES_16 * (at.tp - 1) / at.tp
    communication = reduces * (latency + moved / link)
    if np.any(at.moe_layers):
        communication = communication + at.moe_layers * _all_to_all(at, rows)
    mla = np.where(np.asarray(at.mla_dim) > 0, at.mla_layer_factor, 1.0)
    launches = at.layer_s * mla * (at.layers + at.moe_layers * (at.moe_layer_factor - 1))
    host = at.host_s + at.sequence_s * sequences
    # a pipeline passes the rows on once per stage; its layers, spread over the stages, still run one after the other
    handover = np.where(
        np.asarray(at.pp) > 1,
        (at.pp - 1)
        * (at.all_reduce_s + rows * at.hidden * _BYTES_16 / np.minimum(link, at.scaleout_bytes_s)),
        0.0,
    )
    return [
        Part("communication", _ZERO, _ZERO, np.asarray(communication + handover), _ZERO, _ZERO),
        Part("overhead", _ZERO, _ZERO, np.asarray(launches + host), _ZERO, _ZERO),
    ]


def _all_to_all(at: Columns, rows: F64) -> F64:
    """Seconds of dispatch and combine of one layer; a token goes once to each rank, and across once to each node."""
    chosen = at.experts_per_token

    def copies(groups: Number) -> F64:
        """Mean number of other groups that the k experts of a token lie in."""
        hit: F64 = np.asarray((groups - 1) * (1 - (1 - 1 / groups) ** chosen))
        return hit

    sent = rows / at.tp * at.hidden * (at.dispatch_bytes + at.combine_bytes)
    inside = sent * copies(np.maximum(at.ep / at.nodes, 1.0)) / (at.link_group * at.link_share)
    across = sent * copies(at.nodes) / at.scaleout_bytes_s
    latency = np.where(np.asarray(at.nodes) > 1, at.all_to_all_across_s, at.all_to_all_s)
    seconds: F64 = np.where(np.asarray(at.dp) > 1, 2 * latency + inside + across, 0.0)
    return seconds
