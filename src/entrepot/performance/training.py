"""How long does a training or fine-tuning run take, which MFU does it reach, and does it fit?

Operation by operation, as in serving, for a layout of tensor (TP), pipeline (PP), expert (EP) and data parallelism (DP)::

    forward  = 2 active weights + 2 (qk + v) heads pairs          pairs = sequence / 2 per token (causal)
    step     = forward x 3, + 1 with full recomputation; LoRA: x 2, + 1 (no gradients of the frozen weights)
    arithmetic  over what kernels reach x what a training step reaches of that; matrix products in the chosen format, attention
                in 16 bits
    element-wise bytes of every token and layer over bandwidth; launches per layer, pass and microbatch
    TP: 4 all-reduces per layer (6 recomputed);  EP: 4 all-to-alls;  DP: gradients once per step (ZeRO-1) or weights in every
        pass (ZeRO-3); each counts with the share that does not hide behind arithmetic
    pipeline: (microbatches + (PP - 1) / virtual stages) / microbatches, times the slowest stage over the mean one
    memory   = weights + gradients + optimizer (sharded) + activations of the microbatches under way

MFU counts the model's own operations, causal attention halved, no recomputation. Sources: Narayanan and others, SC 21 (pipeline
bubble); Korthikanti and others, arXiv:2205.05198 (activations); Rajbhandari and others, arXiv:1910.02054 (ZeRO).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.errors import Fault, InputError, MissingFact
from entrepot.performance.chip import GB, TERA, Chip, chip, missing_figures
from entrepot.performance.efficiency import efficiency, serving
from entrepot.performance.operations import Shape, missing_parts, shape
from entrepot.performance.records import F64, Interval
from entrepot.performance.service import training_constants

__all__ = [
    "Training",
    "TrainingLayout",
    "TrainingRun",
    "TrainingTimes",
    "constants",
    "model_operations",
    "step_seconds",
    "train",
    "training_chip",
]

Method = Literal["full", "lora"]
Recompute = Literal["none", "full"]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What is to be trained: ``tokens`` in all, in steps of ``batch`` sequences of ``sequence`` tokens."""

    tokens: float
    sequence: int = 4096
    batch: int = 1024
    method: Method = "full"
    format: NumberFormat = NumberFormat.BF16
    lora_rank: int = 16


@dataclass(frozen=True, slots=True)
class TrainingLayout:
    """How the devices work together; DP is what TP and PP leave. ``shard`` is the ZeRO stage: 1 or 3 (FSDP)."""

    devices: int
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    micro_batch: int = 1
    virtual_stages: int = 1
    recompute: Recompute = "none"
    shard: int = 1
    context_parallel: int = 1

    @property
    def data_parallel(self) -> float:
        """Copies of the model, each of TP x CP x PP devices."""
        return self.devices / (self.tensor_parallel * self.context_parallel * self.pipeline_parallel)

    def __str__(self) -> str:
        """Return the layout in the field's shorthand, e.g. ``TP4 PP8 DP32 EP8 MBS 1 ZeRO-1 recompute``."""
        words = [f"TP{self.tensor_parallel}"]
        if self.context_parallel > 1:
            words.append(f"CP{self.context_parallel}")
        if self.pipeline_parallel > 1:
            words.append(f"PP{self.pipeline_parallel}")
            if self.virtual_stages > 1:
                words.append(f"VP{self.virtual_stages}")
        words.append(f"DP{self.data_parallel:g}")
        if self.expert_parallel > 1:
            words.append(f"EP{self.expert_parallel}")
        words += [f"MBS {self.micro_batch}", f"ZeRO-{self.shard}"]
        if self.recompute == "full":
            words.append("recompute")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class TrainingTimes:
    """Seconds of one step by kind, and the bytes on a device by kind; each an array over layouts."""

    products: F64
    experts: F64
    attention: F64
    elementwise: F64
    launches: F64
    tensor: F64
    expert: F64
    data: F64
    optimizer: F64
    bubble: F64
    weights: F64
    gradients: F64
    states: F64
    activations: F64

    @property
    def step(self) -> F64:
        """Seconds of one step."""
        busy = self.products + self.experts + self.attention + self.elementwise + self.launches
        return (busy + self.tensor + self.expert) * (1 + self.bubble) + self.data + self.optimizer

    @property
    def memory(self) -> F64:
        """Bytes on a device."""
        return self.weights + self.gradients + self.states + self.activations


@dataclass(frozen=True, slots=True)
class Training:
    """The answer for one run on one chip: rates are per device."""

    layout: TrainingLayout
    step_s: Interval
    tokens_per_s: float
    tflops: float
    mfu: float
    days: Interval
    device_hours: float
    memory_gb: float
    memory_share: float
    parts: dict[str, float]
    basis: str
    runner_up: str
    runner_up_share: float | None


@dataclass(frozen=True, slots=True)
class Constants:
    """What ``data/training.toml`` says."""

    dense_share: float
    expert_share: float
    attention_share: float
    elementwise_bytes: float
    launch_us: float
    exposed: float
    all_to_all_exposed: float
    spread: float
    weight_bytes: float
    gradient_bytes: float
    optimizer_bytes: float
    activation_bytes: float
    kept_bytes: float
    optimizer_moved_bytes: float


@cache
def constants() -> Constants:
    """Return the constants of training."""
    return Constants(
        **{k: float(v["value"]) for table in training_constants().values() for k, v in table.items()}
    )


def model_operations(of: Shape, sequence: float, method: Method = "full") -> float:
    """Return the model's operations for one token of one step, causal attention halved, nothing recomputed.

    Examples
    --------
    Llama 3.1 8B: 6 x 7.5 x 10^9 active weights without the embedding, and attention.

    >>> from entrepot import catalogue
    >>> round(model_operations(shape(catalogue.model("llama-3.1-8b")), 8192) / 1e9, 1)
    51.5
    """
    passes = 3.0 if method == "full" else 2.0
    return passes * (2 * _active(of) + _attention(of, sequence) * (1.5 if method == "lora" else 1.0))


def _active(of: Shape) -> float:
    return of.attention + of.dense + of.shared + of.experts_per_token * of.expert * of.moe_layers + of.head


def _attention(of: Shape, sequence: float) -> float:
    """Forward operations of attention for one token."""
    whole = of.full * sequence / 2
    ramp = min(float(of.window), sequence)
    inside = of.windowed * (ramp - ramp**2 / (2 * sequence)) if of.window else 0.0
    linear = 4 * of.state_elements
    return 2 * of.heads * (of.qk_dim + of.v_dim) * (whole + inside) + linear


@dataclass(frozen=True, slots=True)
class _Columns:
    tp: F64
    cp: F64
    pp: F64
    ep: F64
    dp: F64
    mbs: F64
    vp: F64
    full_recompute: F64
    shard3: F64
    devices: F64


def _columns(layouts: list[TrainingLayout]) -> _Columns:
    def of(name: str) -> F64:
        return np.array([float(getattr(layout, name)) for layout in layouts])

    return _Columns(
        tp=of("tensor_parallel"),
        cp=of("context_parallel"),
        pp=of("pipeline_parallel"),
        ep=of("expert_parallel"),
        dp=of("data_parallel"),
        mbs=of("micro_batch"),
        vp=of("virtual_stages"),
        full_recompute=np.array([1.0 if x.recompute == "full" else 0.0 for x in layouts]),
        shard3=np.array([1.0 if x.shard == 3 else 0.0 for x in layouts]),
        devices=of("devices"),
    )


def step_seconds(
    on: Chip,
    of: Shape,
    run: TrainingRun,
    layouts: list[TrainingLayout],
    using: Constants | None = None,
) -> TrainingTimes:
    """Return the seconds of one step and the memory of each layout, (layouts,).

    Parameters
    ----------
    using : constants to try instead of the data file's: for fitting them
    """
    k = constants() if using is None else using
    at = _columns(layouts)
    frozen = run.method == "lora"
    passes = (2.0 if frozen else 3.0) + at.full_recompute
    micro = np.maximum(run.batch / (at.dp * at.mbs), 1.0)  # microbatches per pipeline and step
    tokens = at.mbs * run.sequence * micro / at.cp  # that pass through a device
    split = at.tp * at.pp
    rate, reached = _rate(on, run.format)
    linear = of.attention + of.dense + of.shared
    products = 2 * linear * tokens * passes / split / (
        rate * reached * k.dense_share
    ) + 2 * of.head * tokens * passes / split / (on.rate_16 * on.reached_16 * k.dense_share)
    routed = of.experts_per_token * of.expert * of.moe_layers
    experts = 2 * routed * tokens * passes / split / (rate * reached * k.expert_share)
    backward = 2.5 + 1.0 + at.full_recompute  # flash attention recomputes its scores: 2.5 times the forward
    attention = (
        _attention(of, run.sequence)
        * tokens
        * backward
        / split
        / (on.rate_16 * on.reached_16 * k.attention_share)
    )
    wide = _relative_width(of)
    elementwise = (
        k.elementwise_bytes * tokens * of.hidden * of.layers * wide * passes / 3 / split / on.bandwidth
    )
    moe = of.moe_layers / of.layers if of.layers else 0.0
    launches = k.launch_us * 1e-6 * of.layers * (1 + 2 * moe) * passes / 3 * micro / at.pp
    tensor = k.exposed * _tensor_seconds(on, of, at, tokens, passes)
    expert = k.all_to_all_exposed * _expert_seconds(on, of, at, tokens, passes)
    held, sharded = _held(of, at)
    arithmetic = products + experts + attention + elementwise
    data = _data_seconds(on, at, micro, held, arithmetic, passes, k, frozen=frozen)
    optimizer = (0.0 if frozen else k.optimizer_moved_bytes) * held / at.dp / on.bandwidth
    bubble = (1 + (at.pp - 1) / at.vp / micro) * _uneven(of, at) - 1
    return TrainingTimes(
        products=products,
        experts=experts,
        attention=attention,
        elementwise=elementwise,
        launches=launches,
        tensor=tensor,
        expert=expert,
        data=data,
        optimizer=optimizer + 0 * data,
        bubble=bubble,
        **_memory(of, run, at, micro, held, sharded, k, frozen=frozen),
    )


def _uneven(of: Shape, at: _Columns) -> F64:
    """Return the slowest stage over the mean one: stages hold whole layers, and the head stands beside one at least."""
    layers = np.ceil(of.layers / at.pp) * at.pp / of.layers
    body = _active(of) - of.head
    with_head = (of.head + body / of.layers) * at.pp / _active(of)
    uneven: F64 = np.where(at.pp > 1, np.maximum(layers, with_head), 1.0)
    return uneven


def training_chip(accelerator: Accelerator) -> Chip:
    """Return a chip with the efficiencies of its kernels, before any fit to serving: training has constants of its own.

    Raises
    ------
    InputError
        a needed figure is not stated (ask ``missing_figures`` first)
    """
    return replace(chip(accelerator), efficiency=efficiency(accelerator.architecture, fitted=False))


def _rate(on: Chip, fmt: NumberFormat) -> tuple[float, float]:
    """Peak FLOP/s of the products' format, and the share that kernels reach."""
    rate = on.rate_16 if fmt is NumberFormat.BF16 else on.rates[fmt]
    return rate, on.efficiency.compute(fmt.bits, rate / TERA, on.sm_count)


def _relative_width(of: Shape) -> float:
    """Active weights of a layer over those of a GPT layer, 12 h^2: how much wider its activations are."""
    return (_active(of) - of.head) / of.layers / (12 * of.hidden**2)


def _line(on: Chip, group: F64) -> F64:
    """Bytes per second and device, one direction, of a group: the scale-up link inside its domain, else the NIC."""
    shared = serving()
    nic = shared.scaleout_gb_s * shared.scaleout_share * GB
    inner = nic if on.link_bytes_s is None else on.link_bytes_s / 2 * 0.8  # collectives of large messages
    return np.where(group <= on.domain, inner, nic)


def _tensor_seconds(on: Chip, of: Shape, at: _Columns, tokens: F64, passes: F64) -> F64:
    """Two all-reduces per layer in each of forward and backward, as many again where recomputed."""
    reduces = np.where(at.tp > 1, 2 * of.layers * (passes - 1), 0.0)
    moved = 2 * tokens * of.hidden * 2 * (at.tp - 1) / at.tp / at.pp
    seconds: F64 = reduces * moved / _line(on, at.tp)
    return seconds


def _expert_seconds(on: Chip, of: Shape, at: _Columns, tokens: F64, passes: F64) -> F64:
    """Dispatch and combine in each pass; a token goes to the other ranks that its experts lie on."""
    if not of.moe_layers:
        return np.zeros_like(tokens)
    ranks = np.maximum(at.ep, 1.0)
    away = (ranks - 1) / ranks * np.minimum(of.experts_per_token, ranks)
    sent = tokens / at.tp * of.hidden * 2 * away * of.moe_layers / at.pp
    seconds: F64 = 2 * (passes - 1) * sent / _line(on, at.ep * at.tp)
    return seconds


def _held(of: Shape, at: _Columns) -> tuple[F64, F64]:
    """Return the parameters on a device, and those that it would hold if all copies shared them."""
    rest = of.attention + of.dense + of.shared + of.router + of.embedding
    held = (rest + of.routed / np.maximum(at.ep / at.tp, 1.0)) / (at.tp * at.pp)
    return held, (rest + of.routed) / (at.tp * at.pp * np.maximum(at.dp * at.cp, 1.0))


def _data_seconds(
    on: Chip,
    at: _Columns,
    micro: F64,
    held: F64,
    arithmetic: F64,
    passes: F64,
    k: Constants,
    *,
    frozen: bool,
) -> F64:
    """Gradients and weights between the copies; what does not fit behind arithmetic, or does not hide, is left."""
    line = _line(on, at.dp * at.tp * at.cp)
    across = np.where(at.dp > 1, (at.dp - 1) / np.maximum(at.dp, 1.0), 0.0)
    once = np.zeros_like(held) if frozen else (k.gradient_bytes + 2) * held * across / line
    every = 2 * held * across * (passes - 1 + (0 if frozen else 1)) * micro / line
    moved = np.where(at.shard3 > 0, every, once)
    hidden = np.where(
        at.shard3 > 0, arithmetic, arithmetic / micro
    )  # ZeRO-1 hides behind the last microbatch
    seconds: F64 = np.maximum(moved - hidden, k.exposed * moved)
    return seconds


def _memory(
    of: Shape,
    run: TrainingRun,
    at: _Columns,
    micro: F64,
    held: F64,
    shared: F64,
    k: Constants,
    *,
    frozen: bool,
) -> dict[str, F64]:
    weights = np.where(at.shard3 > 0, shared, held)
    adapters = 2 * run.lora_rank * of.hidden * 7 * of.layers / (at.tp * at.pp)  # seven products of a layer
    gradients, states = (adapters, adapters) if frozen else (weights, np.minimum(shared, held))
    layers = np.ceil(of.layers / at.pp)
    under_way = np.minimum(at.pp * (1 + (at.pp - 1) / (at.pp * at.vp)), micro)
    per_layer = at.mbs * run.sequence / at.cp * of.hidden
    whole = k.activation_bytes * _relative_width(of) / at.tp
    kept = np.where(at.full_recompute > 0, k.kept_bytes, whole)
    last = np.where(at.full_recompute > 0, whole, 0.0)  # the layer that is being recomputed
    logits = 6.0 * at.mbs * run.sequence / at.cp * (of.head / of.hidden) / at.tp
    return {
        "weights": k.weight_bytes * weights,
        "gradients": k.gradient_bytes * gradients,
        "states": k.optimizer_bytes * states,
        "activations": per_layer * (kept * layers * under_way + last) + logits,
    }


def _candidates(on: Chip, of: Shape, devices: int, batch: int) -> list[TrainingLayout]:
    """Every layout worth weighing: powers of two that divide the devices."""
    out = []
    powers = [2**i for i in range(11) if devices % 2**i == 0]
    for tp in (t for t in powers if t <= min(8, max(on.domain, 1)) and of.heads % t == 0):
        for pp in (p for p in powers if p <= min(16, of.layers) and devices % (tp * p) == 0):
            dp = devices // (tp * pp)
            if dp > batch:
                continue
            eps = [e for e in powers if e <= min(of.experts, 64, dp * tp)] if of.moe_layers else [1]
            for ep in eps:
                out += [
                    TrainingLayout(devices, tp, pp, ep, mbs, vp, recompute, shard)
                    for mbs in (1, 2, 4, 8)
                    if mbs * dp <= batch
                    for vp in ((1, 4) if pp > 1 and of.layers // pp >= 4 else (1,))
                    for recompute in ("none", "full")
                    for shard in ((1, 3) if pp == 1 else (1,))
                ]
    return out


def train(
    run: TrainingRun,
    accelerator: Accelerator,
    model: Model,
    devices: int,
    *,
    layout: TrainingLayout | None = None,
) -> Training:
    """Return time, MFU and memory of a run on so many devices, in the best layout that fits or in a stated one.

    Raises
    ------
    MissingFact
        a figure of the chip or the model that no source states, or no layout fits: the message says which
    InputError
        the run makes no sense, all faults named
    """
    _check(run, devices)
    absent = [f"no source read states the {x} of {accelerator.id}" for x in missing_figures(accelerator)]
    absent += [f"{model.id}: {part}" for part in missing_parts(model)]
    if not absent and run.format is not NumberFormat.BF16 and run.format not in accelerator.dense_rate:
        absent = [f"no source read states a rate of {accelerator.id} in {run.format}"]
    if absent:
        raise MissingFact("; ".join(absent))
    on, of = training_chip(accelerator), shape(model)
    if devices > 1 and on.link_bytes_s is None and on.host_link_bytes_s is None:
        raise MissingFact(
            f"no source read states a link of {accelerator.id}: more than one device cannot train"
        )
    layouts = _candidates(on, of, devices, run.batch) if layout is None else [layout]
    if not layouts:
        raise MissingFact(
            f"{run.batch} sequences per step cannot be shared by {devices} devices in any layout"
        )
    times = step_seconds(on, of, run, layouts)
    shared = serving()
    room = on.memory_bytes * (1 - shared.reserve_share / 2) - shared.reserve_gb * GB / 2
    step = np.where(times.memory <= room, times.step, np.inf)
    if layout is not None:
        step = times.step
    order = np.argsort(step, kind="stable")
    best = int(order[0])
    if not np.isfinite(step[best]):
        least = float(times.memory.min()) / GB
        raise MissingFact(
            f"does not fit: the leanest layout needs {least:.0f} GB on each of {devices} devices of "
            f"{accelerator.id}, which has {on.memory_bytes / GB:.0f} GB"
        )
    return _answer(run, on, of, layouts, times, step, best, order)


def _answer(
    run: TrainingRun,
    on: Chip,
    of: Shape,
    layouts: list[TrainingLayout],
    times: TrainingTimes,
    step: F64,
    best: int,
    order: NDArray[np.intp],
) -> Training:
    chosen = layouts[best]
    seconds = float(step[best])
    tokens = run.batch * run.sequence / seconds / chosen.devices
    operations = model_operations(of, run.sequence, run.method)
    peak, _ = _rate(on, run.format)
    spread = constants().spread * on.efficiency.spread / serving().interval["measured"]
    days = run.tokens / (tokens * chosen.devices) / 86400
    kinds = (
        "products",
        "experts",
        "attention",
        "elementwise",
        "launches",
        "tensor",
        "expert",
        "data",
        "optimizer",
    )
    parts = {kind: float(getattr(times, kind)[best]) for kind in kinds}
    busy = sum(v for kind, v in parts.items() if kind not in {"data", "optimizer"})
    parts["bubble"] = busy * float(times.bubble[best])
    other = next(
        (int(i) for i in order[1:] if np.isfinite(step[i]) and _differs(layouts[int(i)], chosen)), None
    )
    return Training(
        layout=chosen,
        step_s=Interval(seconds / spread, seconds, seconds * spread),
        tokens_per_s=tokens,
        tflops=tokens * operations / TERA,
        mfu=tokens * operations / peak,
        days=Interval(days / spread, days, days * spread),
        device_hours=days * 24 * chosen.devices,
        memory_gb=float(times.memory[best]) / GB,
        memory_share=float(times.memory[best]) / on.memory_bytes,
        parts=parts,
        basis=on.efficiency.basis,
        runner_up="" if other is None else str(layouts[other]),
        runner_up_share=None if other is None else seconds / float(step[other]),
    )


def _differs(one: TrainingLayout, other: TrainingLayout) -> bool:
    """Whether two layouts split the model differently, not only the microbatch."""
    return replace(one, micro_batch=1, virtual_stages=1) != replace(other, micro_batch=1, virtual_stages=1)


def _check(run: TrainingRun, devices: int) -> None:
    faults = []
    for name, value, least in (
        ("tokens", run.tokens, 1),
        ("sequence", run.sequence, 1),
        ("batch", run.batch, 1),
        ("devices", devices, 1),
        ("lora_rank", run.lora_rank, 1),
    ):
        if not least <= value < 1e18:
            faults.append(Fault(name, f"{value:g}", f"Write a number of {least} or more."))
    if run.format not in {NumberFormat.BF16, NumberFormat.FP8, NumberFormat.FP4}:
        faults.append(Fault("format", str(run.format), "Write bf16, fp8 or fp4."))
    if faults:
        raise InputError(faults)
