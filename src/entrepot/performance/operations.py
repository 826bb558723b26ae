"""What does one token ask of a model: which matrix products, how much attention, how much cache?

The catalogue rebuilds the parameters of a model by part; here they become what a step needs: weights that stream, heads
that attend, elements that stay in the cache. A model whose shape is not on record is refused by name, never guessed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from entrepot.catalogue.records import Model
from entrepot.catalogue.shape import (
    kv_elements_per_layer,
    kv_fixed_bytes,
    missing,
    parameters,
    window_layers,
)
from entrepot.errors import MissingFact

__all__ = ["Shape", "missing_parts", "shape"]

_BYTES_16 = 2


@dataclass(frozen=True, slots=True)
class Shape:
    """A model in numbers; weights in elements, summed over all layers unless said otherwise.

    Attributes
    ----------
    full, windowed : layers that attend to the whole context, and the others
    window : tokens that the others keep; 0 is a fixed state (linear attention)
    kv_elements : cache elements that one token leaves in all full layers (MLA: the latent and the rope key)
    window_elements : the same in all windowed layers
    state_elements : elements of the fixed states of one sequence, all linear layers
    kv_heads : heads that tensor parallelism can split the cache over (1 for MLA: every rank holds all of it)
    qk_dim, v_dim : widths of a head in prefill attention
    mla_dim : 2 x latent + rope, the absorbed decode width; 0 without MLA
    expert : weights of one expert of one layer
    """

    id: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    qk_dim: int
    v_dim: int
    mla_dim: int
    full: int
    windowed: int
    window: int
    kv_elements: float
    window_elements: float
    state_elements: float
    attention: float
    dense: float
    shared: float
    router: float
    expert: float
    experts: int
    experts_per_token: int
    expert_width: int
    moe_layers: int
    index_heads: int  # of a sparse-attention indexer; 0 without one
    index_dim: int
    index_top: int  # tokens that the main attention sees; 0 is all
    embedding: float  # input and output embedding as stored: once where they are tied
    head: float  # what the LM head streams

    @property
    def is_mla(self) -> bool:
        """Whether attention keeps one latent for all heads."""
        return self.mla_dim > 0

    @property
    def routed(self) -> float:
        """Weights of all routed experts of all layers."""
        return self.moe_layers * self.experts * self.expert


def missing_parts(model: Model) -> tuple[str, ...]:
    """Return why the model cannot be sized, one reason each; empty where it can."""
    reasons = missing(model)
    if not reasons and kv_elements_per_layer(model) is None:
        reasons = ("what a token leaves in the cache is not on record",)
    if not reasons and kv_fixed_bytes(model) is None:
        reasons = ("what the layers without full attention keep is not on record",)
    return reasons


def shape(model: Model) -> Shape:
    """Return the model in numbers.

    Raises
    ------
    MissingFact
        the record does not hold the whole shape (``missing_parts`` says what it lacks)
    """
    built, per_layer, fixed = parameters(model), kv_elements_per_layer(model), kv_fixed_bytes(model, 16, 1)
    if built is None or per_layer is None or fixed is None:
        raise MissingFact(f"{model.id}: {'; '.join(missing_parts(model))}")
    layers, heads, head = _n(model.layers), _n(model.n_heads), _n(model.head_dim)
    is_mla = model.attention_kind == "mla"
    latent, rope = _n(model.kv_lora_rank), _n(model.qk_rope_head_dim)
    experts, width = _n(model.n_experts), _n(model.moe_intermediate)
    expert = 3 * _n(model.hidden) * width  # up, gate, down
    windowed = window_layers(model)
    window = _n(model.window) if windowed else 0
    full = layers - windowed
    return Shape(
        id=model.id,
        layers=layers,
        hidden=_n(model.hidden),
        heads=heads,
        kv_heads=1 if is_mla else _n(model.n_kv_heads),
        qk_dim=_n(model.qk_nope_head_dim) + rope if is_mla else head,
        v_dim=head if model.v_head_dim is None else model.v_head_dim,
        mla_dim=2 * latent + rope if is_mla else 0,
        full=full,
        windowed=windowed,
        window=window,
        kv_elements=full * per_layer / (model.kv_layers_share or 1),
        window_elements=fixed / _BYTES_16 if window else 0.0,
        state_elements=0.0 if window else fixed / _BYTES_16,
        attention=float(built.attention),
        dense=float(built.dense_mlp),
        shared=float(built.shared_experts),
        router=float(built.router),
        expert=float(expert),
        experts=experts,
        experts_per_token=_n(model.experts_per_token),
        expert_width=width,
        moe_layers=built.routed_experts // (experts * expert) if experts and expert else 0,
        index_heads=_n(model.index_heads),
        index_dim=_n(model.index_head_dim),
        index_top=_index_top(model),
        embedding=float(built.embedding + built.head),
        head=float(built.embedding),  # a tied head streams the embedding
    )


def _index_top(model: Model) -> int:
    """Tokens that a sparse-attention indexer keeps: ``mla (sparse, index top-2048)``; 0 without one."""
    found = re.search(r"index top-(\d+)", model.attention)
    return int(found.group(1)) if found and model.index_heads and model.index_head_dim else 0


def _n(value: int | None) -> int:
    return 0 if value is None else int(value)
