"""How many seconds does one training step take, and how many bytes does it need on a device?

    forward  = 2 active weights + attention                       causal: half of the context per token
    step     = forward x 3, + 1 with full recomputation; LoRA: x 2, + 1 (no gradients of the frozen weights)
    products : over what kernels reach of the format's peak; head and attention in 16 bits; casting to 8 or 4 bits moves bytes
    experts  : grouped products, slower the narrower the expert; carrying tokens to experts and back moves bytes and launches
               kernels, less with each release (a factor per year)
    TP: 4 all-reduces per layer (6 recomputed), CP: keys and values of the whole sequence per layer, EP: 4 all-to-alls, DP:
        gradients once per step (ZeRO-1) or weights in every pass (ZeRO-3); each counts with the share that does not hide
    all-to-all between nodes: a token crosses to a node once, however many of its experts are there; a collective between
        nodes uses the network cards of all devices of the domain
    pipeline : (microbatches + (PP - 1) / virtual stages) / microbatches, times the slowest stage over the mean one
    memory   = weights + gradients + optimizer (sharded) + activations of the microbatches under way

Sources: Narayanan and others, SC 21 (pipeline bubble); Korthikanti and others, arXiv:2205.05198 (activations, recomputation);
Rajbhandari and others, arXiv:1910.02054 (ZeRO); Dao, arXiv:2307.08691 (backward attention 2.5 times the forward).
"""

from __future__ import annotations

import numpy as np

from entrepot.performance.records import F64
from entrepot.performance.training_columns import TrainingColumns
from entrepot.performance.training_constants import TrainingConstants
from entrepot.performance.training_records import TrainingTimes

__all__ = ["times"]

_MOST = 0.97  # of peak arithmetic: no kernel measured does more


def times(at: TrainingColumns, k: TrainingConstants) -> TrainingTimes:
    """Return the seconds of one step and the bytes on a device, by kind, over all layouts or rows of the columns."""
    micro = np.maximum(at.batch / (at.dp * at.mbs), 1.0)  # microbatches per pipeline and step
    tokens = at.mbs * at.sequence * micro / at.cp  # that pass through a device
    split = at.tp * at.pp
    passes = 3.0 - at.frozen + at.full_recompute  # of products
    sweeps = 3.0 + at.full_recompute  # of all else: gradients of activations pass frozen weights too
    busy = _work(at, k, tokens, split, passes, sweeps)
    year = at.year
    slow = np.exp(-k.moe_drift * year)  # of what mixtures of experts pay beside arithmetic
    slow = slow * np.where(at.fused > 0, k.fused_share, 1.0)
    old = np.exp(-k.drift * year)
    inner = k.moe_bytes + np.where(at.bits < 16, k.moe_cast_bytes, 0.0)
    per_token = (inner * at.routed_width + k.carry_bytes * at.carried) * slow / at.bandwidth
    dispatch = per_token * tokens * sweeps / 3 / split
    each = _by_stack(at, k.launch_us, k.launch_fsdp_us) * 1e-6 * at.branches * old
    waits = at.dropless * k.wait_us * np.exp(-k.wait_drift * year)  # of the host, for counts of tokens
    moe = (k.moe_launch_us * old + waits) * 1e-6 * at.moe_layers
    launches = (each + moe) * sweeps / 3 * micro / at.pp
    held, sharded = _held(at)
    arithmetic = busy["products"] + busy["experts"] + busy["attention"] + busy["elementwise"]
    data = _data_seconds(at, k, micro, held, arithmetic, passes)
    optimizer = (1 - at.frozen) * k.optimizer_moved_bytes * held / at.dp / at.bandwidth
    bubble = (1 + (at.pp - 1) / at.vp / micro) * _uneven(at) - 1
    zero = 0.0 * data
    return TrainingTimes(
        **{name: value + zero for name, value in busy.items()},
        dispatch=dispatch + zero,
        launches=launches + zero,
        tensor=k.exposed * _tensor_seconds(at, tokens, sweeps) + zero,
        context=k.exposed * _context_seconds(at, tokens, sweeps) + zero,
        expert=k.all_to_all_exposed * slow * _expert_seconds(at, tokens, sweeps) + zero,
        data=data,
        optimizer=optimizer + zero,
        bubble=bubble + zero,
        **{name: value + zero for name, value in _memory(at, k, micro, held, sharded).items()},
    )


def _by_stack(at: TrainingColumns, megatron: float, fsdp: float) -> F64:
    return np.where(at.fsdp_stack > 0, fsdp, megatron)


def _work(
    at: TrainingColumns, k: TrainingConstants, tokens: F64, split: F64, passes: F64, sweeps: F64
) -> dict[str, F64]:
    bits = at.bits
    low = np.where(bits >= 16, 1.0, np.where(bits == 8, k.share_8, k.share_4))
    reach = at.rate * np.minimum(at.reached * k.dense_share * low, _MOST)
    reach_16 = at.rate_16 * np.minimum(at.reached_16 * k.dense_share, _MOST)
    per_token = tokens * passes / split
    products = 2 * at.linear * per_token / reach + 2 * (at.head + at.router) * per_token / reach_16
    narrow = at.expert_width / (at.expert_width + k.narrow)
    experts = 2 * at.active_routed * per_token / (reach * k.expert_share * np.where(narrow > 0, narrow, 1.0))
    backward = 3.5 + at.full_recompute  # flash attention recomputes its scores
    fsdp = k.attention_fsdp * np.where(at.mma_only > 0, k.mma_share, 1.0)
    share = np.where(at.fsdp_stack > 0, fsdp, k.attention_share)
    heads = at.head_width / (at.head_width + k.head_half) * (128 + k.head_half) / 128
    reach_attention = at.rate_16 * np.minimum(at.reached_16 * share * heads, _MOST)
    attention = at.attention * tokens * backward / split / reach_attention
    stream = at.stream + at.width + at.scan_width + 3 * at.vocabulary
    moved = _by_stack(at, k.elementwise_bytes, k.elementwise_fsdp_bytes) * stream
    casts = np.where(
        bits == 8,
        np.where(at.block_scales > 0, k.cast_block_bytes, k.cast_tensor_bytes),
        np.where(bits == 4, k.cast_4_bytes, 0.0),
    )
    cast = casts * at.width
    again = (sweeps + at.selective) / 3
    elementwise = (moved * again + cast * sweeps / 3) * tokens / split / at.bandwidth
    return {"products": products, "experts": experts, "attention": attention, "elementwise": elementwise}


def _uneven(at: TrainingColumns) -> F64:
    """Return the slowest stage over the mean one: stages hold whole layers, and the head stands beside one at least."""
    layers = np.ceil(at.layers / at.pp) * at.pp / at.layers
    body = at.active - at.head
    with_head = (at.head + body / at.layers) * at.pp / at.active
    uneven: F64 = np.where(at.pp > 1, np.maximum(layers, with_head), 1.0)
    return uneven


def _line(at: TrainingColumns, group: F64) -> F64:
    """Bytes per second and device, one direction, of a group: the scale-up link inside its domain, else the NIC."""
    return np.where(np.asarray(group) <= at.domain, at.link, at.nic)


def _tensor_seconds(at: TrainingColumns, tokens: F64, passes: F64) -> F64:
    """Two all-reduces per layer in each of forward and backward, as many again where recomputed."""
    reduces = np.where(at.tp > 1, at.branches * (passes - 1), 0.0)
    moved = 2 * tokens * at.hidden * 2 * (at.tp - 1) / at.tp / at.pp
    seconds: F64 = reduces * moved / _line(at, at.tp)
    return seconds


def _context_seconds(at: TrainingColumns, tokens: F64, passes: F64) -> F64:
    """Keys and values of the other parts of the sequence in each pass, as wide as the hidden size at most."""
    moved = 2 * tokens * (at.cp - 1) * at.hidden / 4 * 2 / at.tp / at.pp
    seconds: F64 = at.layers * moved * (passes - 1) / _line(at, at.cp * at.tp)
    return seconds


def _expert_seconds(at: TrainingColumns, tokens: F64, passes: F64) -> F64:
    """Dispatch and combine in each pass: inside the domain to every rank, between domains once per domain."""
    ranks = np.maximum(at.ep, 1.0)
    domains = np.maximum(ranks * np.minimum(at.tp, at.domain) / at.domain, 1.0)
    inside = ranks / domains
    hits = at.experts_per_token
    reached = domains * (1 - (1 - 1 / domains) ** hits)  # domains that hold one of a token's experts
    outside = reached * (domains - 1) / domains
    local = ranks * (1 - (1 - 1 / ranks) ** hits) * (inside - 1) / inside  # ranks, each reached once
    rows = 2 * (passes - 1) * tokens / at.tp * at.expert_input * 2 * at.moe_layers / at.pp
    seconds: F64 = rows * (local / at.link + outside / at.nic)
    return seconds


def _held(at: TrainingColumns) -> tuple[F64, F64]:
    """Return the parameters on a device, and those that it would hold if all copies shared them."""
    rest = at.linear + at.router + at.embedding
    held = (rest + at.routed / np.maximum(at.ep / at.tp, 1.0)) / (at.tp * at.pp)
    return held, (rest + at.routed) / (at.tp * at.pp * np.maximum(at.dp * at.cp, 1.0))


def _data_seconds(
    at: TrainingColumns, k: TrainingConstants, micro: F64, held: F64, arithmetic: F64, passes: F64
) -> F64:
    """Gradients and weights between the copies; what does not fit behind arithmetic, or does not hide, is left."""
    copies = at.dp * at.cp
    members = np.maximum(np.minimum(at.domain / at.tp, copies), 1.0)  # of one domain
    line = np.where(copies <= members, at.link, np.minimum(at.link, at.nic * members))
    across = np.where(copies > 1, (copies - 1) / np.maximum(copies, 1.0), 0.0)
    once = (1 - at.frozen) * (k.gradient_bytes + 2) * held * across / line
    every = 2 * held * across * (passes - at.frozen) * micro / line
    sharded = at.shard3 > 0
    moved = np.where(sharded, every, once)
    hidden = np.where(sharded, arithmetic, arithmetic / micro)  # ZeRO-1 hides behind the last microbatch
    seconds: F64 = np.maximum(moved - hidden, k.exposed * moved)
    return seconds


def _memory(at: TrainingColumns, k: TrainingConstants, micro: F64, held: F64, shared: F64) -> dict[str, F64]:
    sharded = at.shard3 > 0
    weights = np.where(sharded, shared, held)
    adapters = 2 * at.lora_rank * at.hidden * 7 * at.layers / (at.tp * at.pp)  # seven products of a layer
    frozen = at.frozen > 0
    gradients = np.where(frozen, adapters, weights)
    states = np.where(frozen, adapters, np.minimum(shared, held))
    under_way = np.minimum(at.pp * (1 + (at.pp - 1) / (at.pp * at.vp)), micro)
    wide = (
        (at.active - at.head) / at.layers / (12 * at.hidden**2)
    )  # weights of a layer over those of a GPT layer
    per_layer = at.mbs * at.sequence / at.cp * at.hidden
    whole = k.activation_bytes * wide / at.tp
    part = np.where(at.selective > 0, k.selective_share * whole, whole)
    kept = np.where(at.full_recompute > 0, k.kept_bytes, part)
    last = np.where(at.full_recompute > 0, whole, 0.0)  # the layer that is being recomputed
    logits = 6.0 * at.mbs * at.sequence / at.cp * (at.head / at.hidden) / at.tp
    return {
        "weights": k.weight_bytes * weights,
        "gradients": k.gradient_bytes * gradients,
        "states": k.optimizer_bytes * states,
        "activations": per_layer * (kept * np.ceil(at.layers / at.pp) * under_way + last) + logits,
    }
