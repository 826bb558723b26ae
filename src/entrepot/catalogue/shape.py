"""How many parameters has a model of this shape, and how much memory does a token of context take?

Both follow from the shape alone. The count is the sum over the parts of a transformer, in the notation of the model
families' own reports (d hidden, h heads, g KV heads, k head width, v value width, f MLP width, V vocabulary):

- grouped-query attention: d h k (twice with an output gate) + d g k + d g v + h v d
- multi-head latent attention: d q + q h (n + r) + d (c + r) + c h (n + v) + h v d, with q and c the ranks of the query
  and KV projections, n and r the head widths without and with rotary embedding (DeepSeek-V2 report, section 2.1)
- sparse-attention indexer: q i w + d w + d i, with i heads of width w (DeepSeek-V3.2 report)
- gated delta rule: d (2K + 2U) + 2 d m + 4 (2K + U) + U d, with K and U all key and value widths, m value heads
- lightning attention: 5 d h k (query, key, value, gate, output)
- MLP: 3 d f (gate, up, down); a router: d per expert; embedding: V d, and the same again where the head is not tied

Norms, biases and multi-token-prediction layers are left out: below 0.1 % in every model of the catalogue that can be
checked. Active parameters are the total without the routed experts that a token does not visit; published active counts
often leave out the embedding too, so compare with ``active - embedding`` where they seem low.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

from entrepot.catalogue.records import Model

__all__ = [
    "Parameters",
    "kv_bytes_per_token",
    "kv_elements_per_layer",
    "kv_fixed_bytes",
    "missing",
    "parameters",
    "window_layers",
]

_CONV: Final = 4  # taps of the short convolution of gated-delta layers (config: linear_conv_kernel_dim)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of a model by part (counts, not 10^9); ``active`` is what one token touches."""

    attention: int
    dense_mlp: int
    routed_experts: int
    shared_experts: int
    router: int
    embedding: int
    head: int
    active: int

    @property
    def total(self) -> int:
        """All parameters."""
        parts = (self.attention, self.dense_mlp, self.routed_experts, self.shared_experts, self.router)
        return sum(parts) + self.embedding + self.head


def missing(model: Model) -> tuple[str, ...]:
    """Return why the parameters cannot be rebuilt, one reason each; empty where they can.

    Examples
    --------
    >>> from entrepot import catalogue
    >>> missing(catalogue.model("deepseek-v3"))
    ()
    >>> missing(catalogue.model("seed-1.6"))[0]
    'no source states layers'
    """
    needed = ["layers", "hidden", "vocab", "tied_embeddings", "full_layers"]
    if model.attention_kind == "mla":
        needed += [
            "n_heads",
            "kv_lora_rank",
            "q_lora_rank",
            "qk_rope_head_dim",
            "qk_nope_head_dim",
            "v_head_dim",
        ]
    else:
        needed += ["n_heads", "n_kv_heads", "head_dim"]
    if model.n_experts is None:
        needed.append("dense_intermediate")
    else:
        needed += ["experts_per_token", "moe_intermediate"]
        if model.first_dense_layers or (model.moe_every or 1) > 1:
            needed.append("dense_intermediate")
    reasons = [f"no source states {name}" for name in needed if getattr(model, name) is None]
    return (*reasons, *_beyond(model))


def _beyond(model: Model) -> tuple[str, ...]:
    """Return which parts of the model have a shape that the formulas here do not cover."""
    reasons = []
    if model.attention_kind == "unknown":
        reasons.append("no source states the kind of attention")
    if model.attention_kind == "mqa":
        reasons.append(f"attention is {model.attention!r}: its projections are not on record")
    if model.full_layers is not None and model.full_layers != model.layers:
        if model.window is None:
            reasons.append("what the other layers keep is not on record")
        elif model.window == 0 and model.linear_kind is None:
            reasons.append(f"the shape of the linear layers is not on record: {model.attention!r}")
    if "k=v" in model.attention and model.n_experts is not None:
        reasons.append("a dense MLP stands beside the experts of each layer")
    return tuple(reasons)


def parameters(model: Model) -> Parameters | None:
    """Return the parameters rebuilt from the shape; ``None`` where the shape is incomplete (``missing`` says why).

    Examples
    --------
    >>> from entrepot import catalogue
    >>> built = parameters(catalogue.model("deepseek-v3"))
    >>> round(built.total / 1e9), round(built.active / 1e9, 1)
    (671, 37.6)
    """
    if missing(model):
        return None
    layers, hidden, vocab = _int(model.layers), _int(model.hidden), _int(model.vocab)
    full = _int(model.full_layers)
    attention = full * _full_attention(model) + (layers - full) * _other_attention(model)

    experts = model.n_experts or 0
    first_dense = model.first_dense_layers or 0
    moe_layers = (layers - first_dense) // (model.moe_every or 1) if experts else 0
    dense_mlp = (layers - moe_layers) * 3 * hidden * (model.dense_intermediate or 0)
    one_expert = 3 * hidden * (model.moe_intermediate or 0)
    routed = moe_layers * experts * one_expert
    idle = moe_layers * (experts - (model.experts_per_token or 0)) * one_expert
    shared = moe_layers * (model.n_shared_experts or 0) * one_expert
    router = moe_layers * experts * hidden
    embedding = vocab * hidden
    head = 0 if model.tied_embeddings else embedding
    total = attention + dense_mlp + routed + shared + router + embedding + head
    return Parameters(attention, dense_mlp, routed, shared, router, embedding, head, active=total - idle)


def _int(value: int | None) -> int:
    return cast("int", value)  # `missing` has said that it is there


def _full_attention(model: Model) -> int:
    hidden, heads = _int(model.hidden), _int(model.n_heads)
    if model.attention_kind != "mla":
        return _gqa(model, _int(model.n_kv_heads), _int(model.head_dim))
    query, latent = _int(model.q_lora_rank), _int(model.kv_lora_rank)
    nope, rope, value = _int(model.qk_nope_head_dim), _int(model.qk_rope_head_dim), _int(model.v_head_dim)
    count = latent * heads * (nope + value) + hidden * (latent + rope) + heads * value * hidden
    count += hidden * query + query * heads * (nope + rope) if query else hidden * heads * (nope + rope)
    if model.index_heads and model.index_head_dim:
        width = model.index_head_dim
        count += (query or hidden) * model.index_heads * width + hidden * width + hidden * model.index_heads
    return count


def _gqa(model: Model, kv_heads: int, key: int) -> int:
    hidden, heads = _int(model.hidden), _int(model.n_heads)
    value = model.v_head_dim if model.v_head_dim is not None else key
    query = heads * key * (2 if model.attention_gate else 1)
    shared = "k=v" in model.attention and (kv_heads, key) == (model.n_kv_heads, model.head_dim)
    return hidden * (query + kv_heads * key + (0 if shared else kv_heads * value) + heads * value)


def _other_attention(model: Model) -> int:
    """Parameters of one layer that does not attend to the whole context."""
    if model.full_layers == model.layers:
        return 0
    hidden, heads = _int(model.hidden), _int(model.n_heads)
    if model.linear_kind == "gated-delta":
        key = _int(model.linear_key_heads) * _int(model.linear_key_dim)
        value = _int(model.linear_value_heads) * _int(model.linear_value_dim)
        projections = hidden * (2 * key + 2 * value) + 2 * hidden * _int(model.linear_value_heads)
        return projections + _CONV * (2 * key + value) + value * hidden
    if model.linear_kind == "lightning":
        return 5 * hidden * heads * _int(model.head_dim)
    if model.attention_kind == "mla":
        return _full_attention(model)
    return _gqa(
        model,
        model.window_kv_heads or _int(model.n_kv_heads),
        model.window_head_dim or _int(model.head_dim),
    )


# --- the KV cache ----------------------------------------------------------------------------------------------------


def kv_elements_per_layer(model: Model) -> int | None:
    """Return the numbers that one token leaves in the cache of one full-attention layer; ``None`` where unknown.

    MLA keeps the latent and the rotary part; the others keep keys and values of each KV head.
    """
    if model.attention_kind == "mla":
        if model.kv_lora_rank is None or model.qk_rope_head_dim is None:
            return None
        return model.kv_lora_rank + model.qk_rope_head_dim
    if model.attention_kind != "gqa" or model.n_kv_heads is None or model.head_dim is None:
        return None
    value = model.v_head_dim if model.v_head_dim is not None else model.head_dim
    return model.n_kv_heads * (model.head_dim + value)


def window_layers(model: Model) -> int:
    """Return the layers whose cache does not grow with the context; 0 where unknown or none."""
    if model.layers is None or model.full_layers is None:
        return 0
    return model.layers - model.full_layers


def kv_bytes_per_token(model: Model, bits: int = 16) -> float | None:
    """Return the bytes by which the KV cache grows with each token of context.

    Only layers that attend to the whole context count; ``kv_fixed_bytes`` has the rest.

    Parameters
    ----------
    bits : width of one number in the cache

    Returns
    -------
    bytes per token; ``None`` where the shape is not known well enough

    Examples
    --------
    >>> from entrepot import catalogue
    >>> kv_bytes_per_token(catalogue.model("deepseek-r1"))
    70272.0
    """
    per_layer = kv_elements_per_layer(model)
    if per_layer is None or model.full_layers is None:
        return None
    return per_layer * model.full_layers / (model.kv_layers_share or 1) * bits / 8


def kv_fixed_bytes(model: Model, bits: int = 16, context: int | None = None) -> float | None:
    """Return the bytes of one sequence's cache that do not grow without end.

    Sliding layers keep the last ``window`` tokens, or the whole context while it is shorter; gated-delta and lightning
    layers keep one matrix per head (and gated-delta the last inputs of its short convolution).

    Parameters
    ----------
    bits : width of one number in the cache
    context : tokens of the sequence; left out, a sequence longer than the window

    Returns
    -------
    bytes per sequence; 0 where all layers grow; ``None`` where the shape of the others is not on record
    """
    others = window_layers(model)
    if model.layers is None or model.full_layers is None:
        return None
    if others == 0:
        return 0.0
    if model.window:
        per_layer = kv_elements_per_layer(model)
        if per_layer is None:
            return None
        if model.window_kv_heads is not None or model.window_head_dim is not None:
            key = model.window_head_dim or _int(model.head_dim)
            value = model.v_head_dim if model.v_head_dim is not None else key
            per_layer = (model.window_kv_heads or _int(model.n_kv_heads)) * (key + value)
        tokens = model.window if context is None else min(model.window, context)
        return others * per_layer * tokens * bits / 8
    if model.linear_kind is None:
        return None
    key_heads, key = _int(model.linear_key_heads), _int(model.linear_key_dim)
    value_heads, value = _int(model.linear_value_heads), _int(model.linear_value_dim)
    state = value_heads * key * value
    if model.linear_kind == "gated-delta":
        state += (_CONV - 1) * (2 * key_heads * key + value_heads * value)
    return others * state * bits / 8
