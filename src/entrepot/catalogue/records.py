"""What is known of a chip, a model, a price, a claim, and who says so?

A figure is one value of one property of one thing, as one source states it. Where sources disagree the figures
stand side by side and one of them is marked as the one that is used. Unknown is ``None`` and is never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Literal

__all__ = ["Accelerator", "Claim", "Confidence", "Figure", "Model", "NumberFormat", "Price", "Source"]


class Confidence(StrEnum):
    """How good the source of a figure is, best first."""

    DATASHEET = "datasheet"
    VENDOR = "vendor-statement"
    PRESS = "press"
    DERIVED = "derived"
    ESTIMATE = "estimate"
    UNKNOWN = "unknown"


class NumberFormat(StrEnum):
    """Number formats of matrix arithmetic. ``BF16`` stands for 16 bits: see the note of the figure."""

    FP64 = "fp64"
    FP32 = "fp32"
    TF32 = "tf32"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    FP4 = "fp4"

    @property
    def bits(self) -> int:
        """Bit length of an input to the multiplication, as the technical notes of 3A090 count it."""
        return _BITS[self]


# TF32 operands are 32-bit words of which the multiplier keeps 19 bits: 32 is the reading that never understates TPP.
_BITS: Mapping[NumberFormat, int] = {
    NumberFormat.FP64: 64,
    NumberFormat.FP32: 32,
    NumberFormat.TF32: 32,
    NumberFormat.BF16: 16,
    NumberFormat.FP8: 8,
    NumberFormat.INT8: 8,
    NumberFormat.FP4: 4,
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure was read: a short key, the full citation."""

    id: str
    citation: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of one property, as one source states it.

    ``value`` is ``None`` where the property is unknown. ``used`` marks the one that the record takes where
    sources disagree.
    """

    subject: str
    figure: str
    value: Decimal | str | None
    unit: str
    confidence: Confidence
    sources: tuple[str, ...]
    used: bool
    note: str


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One product: SXM with 96 GB is another product than SXM with 141 GB.

    Attributes
    ----------
    dense_rate : dense (never sparse) TFLOP/s or TOP/s by number format; a format that is absent is not stated in
        any source read, or not supported: never zero
    memory_bw_gb_s, scaleup_bw_gb_s : GB/s; the link bandwidth is bidirectional, per chip, as vendors state it
    die_area_mm2 : sum of the logic dies, mm2
    scaleup_domain : chips that one scale-up network joins
    sm_count : compute units in the vendor's own count (SM, CU, AI core, TPC, NeuronCore): see the unit of the figure
    confidence : of the row as a whole; single figures may be better or worse, each says so itself
    figures : every figure with its source, conflicting ones included
    """

    id: str
    name: str
    vendor: str
    vendor_country: str | None
    architecture: str | None
    form_factor: str | None
    announced: str | None
    status: str | None
    process_node: str | None
    memory_type: str | None
    scaleup_link: str | None
    host_link: str | None
    marketed_for_datacenter: bool | None
    dense_rate: Mapping[NumberFormat, Decimal]
    memory_gb: Decimal | None
    memory_bw_gb_s: Decimal | None
    scaleup_bw_gb_s: Decimal | None
    scaleup_domain: int | None
    sm_count: int | None
    die_area_mm2: Decimal | None
    transistors_bn: Decimal | None
    tdp_w: Decimal | None
    confidence: Confidence
    note: str
    figures: tuple[Figure, ...]


AttentionKind = Literal["gqa", "mla", "mqa", "unknown"]


@dataclass(frozen=True, slots=True)
class Model:
    """The shape of an AI model: what sizing needs of it, and nothing that would need its weights.

    Attributes
    ----------
    total_params_b, active_params_b : as published, in 10^9; ``None`` where no source states them
    attention : the published wording; ``attention_kind`` is its first word made safe
    head_dim : of the keys; in MLA the sum of the ``nope`` and ``rope`` parts
    n_kv_heads, head_dim, v_head_dim : of the layers that attend to the whole context; where sliding layers differ,
        ``window_kv_heads`` and ``window_head_dim`` say how
    full_layers : layers whose KV cache grows with the context; the others keep ``window`` tokens (sliding) or a
        fixed state (linear, ``window`` = 0)
    moe_intermediate, dense_intermediate : width of one expert, of a dense MLP
    first_dense_layers, moe_every : MoE sits in every ``moe_every``-th layer after the first dense ones
    kv_layers_share : layers that share one KV cache (cross-layer attention); absent is one
    attention_gate : the queries come with an output gate of the same width
    index_heads, index_head_dim : of a sparse-attention indexer
    linear_kind : ``gated-delta`` or ``lightning`` where the linear layers' shape is known
    """

    id: str
    name: str
    vendor: str
    released: str | None
    total_params_b: Decimal | None
    active_params_b: Decimal | None
    layers: int | None
    hidden: int | None
    n_heads: int | None
    n_kv_heads: int | None
    head_dim: int | None
    attention: str
    attention_kind: AttentionKind
    full_layers: int | None
    window: int | None
    kv_lora_rank: int | None
    q_lora_rank: int | None
    qk_rope_head_dim: int | None
    qk_nope_head_dim: int | None
    v_head_dim: int | None
    n_experts: int | None
    experts_per_token: int | None
    n_shared_experts: int | None
    moe_intermediate: int | None
    dense_intermediate: int | None
    first_dense_layers: int | None
    vocab: int | None
    context: int | None
    native_dtype: str | None
    mtp_layers: int | None
    tied_embeddings: bool | None
    source: str
    note: str
    moe_every: int | None = None
    window_kv_heads: int | None = None
    window_head_dim: int | None = None
    kv_layers_share: int | None = None
    attention_gate: bool | None = None
    index_heads: int | None = None
    index_head_dim: int | None = None
    linear_kind: str | None = None
    linear_key_heads: int | None = None
    linear_key_dim: int | None = None
    linear_value_heads: int | None = None
    linear_value_dim: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """One observed or stated price of one chip, with its basis; never *the* price."""

    accelerator: str
    kind: str
    value: Decimal
    currency: str
    quantity_basis: str
    market: str
    date: str | None
    source: str
    note: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """Something reported: who asserts it, or who denies it."""

    subject: str
    predicate: str
    object: str
    value_low: Decimal | None
    value_high: Decimal | None
    unit: str
    as_of: str | None
    claimed_by: str
    stance: Literal["asserts", "denies"]
    source: str
    note: str
    id: str = ""
