"""How long does a training or fine-tuning run take, which MFU does it reach, and in which layout?

The step is physics (``training_step``); here layouts are searched: tensor (TP), context (CP), pipeline (PP) and virtual stages, expert
(EP) and data parallelism (DP), microbatch, recomputation (none, selective, full) and ZeRO-1 or ZeRO-3, all at once. MFU counts the
model's own operations, causal attention halved, no recomputation.
"""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import replace
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.errors import Fault, InputError, MissingFact
from entrepot.performance.chip import GB, TERA, Chip, chip, missing_figures
from entrepot.performance.efficiency import efficiency, serving
from entrepot.performance.operations import missing_parts
from entrepot.performance.records import F64, Interval
from entrepot.performance.training_columns import columns
from entrepot.performance.training_constants import TrainingConstants, constants
from entrepot.performance.training_records import (
    Method,
    Recompute,
    Training,
    TrainingLayout,
    TrainingRun,
    TrainingTimes,
)
from entrepot.performance.training_shape import TrainingShape, model_shape, named_shapes
from entrepot.performance.training_step import times

__all__ = [
    "Training",
    "TrainingLayout",
    "TrainingRun",
    "TrainingTimes",
    "best_layout",
    "constants",
    "model_operations",
    "room",
    "step_seconds",
    "train",
    "training_chip",
]

_LONG = 8192  # tokens of a sequence on one rank from which context parallelism is weighed
_PARTS = "products experts attention elementwise dispatch launches tensor context expert data optimizer"


def model_operations(of: TrainingShape, sequence: float, method: Method = "full") -> float:
    """Return the model's operations for one token of one step, causal attention halved, nothing recomputed.

    Examples
    --------
    Llama 3.1 8B: 6 x 7.5 x 10^9 active weights without the embedding, and attention.

    >>> from entrepot import catalogue
    >>> round(model_operations(model_shape(catalogue.model("llama-3.1-8b")), 8192) / 1e9, 1)
    51.5
    """
    passes = 3.0 if method == "full" else 2.0
    return passes * (2 * of.active + of.attention(sequence) * (1.5 if method == "lora" else 1.0))


def step_seconds(
    on: Chip,
    of: TrainingShape,
    run: TrainingRun,
    layouts: list[TrainingLayout],
    using: TrainingConstants | None = None,
) -> TrainingTimes:
    """Return the seconds of one step and the memory of each layout, (layouts,).

    Parameters
    ----------
    using : constants to try instead of the data file's: for fitting them
    """
    return times(columns(on, of, run, layouts), constants() if using is None else using)


def training_chip(accelerator: Accelerator) -> Chip:
    """Return a chip with the efficiencies of its kernels, before any fit to serving: training has constants of its own.

    Raises
    ------
    InputError
        a needed figure is not stated (ask ``missing_figures`` first)
    """
    return replace(chip(accelerator), efficiency=efficiency(accelerator.architecture, fitted=False))


def room(on: Chip) -> float:
    """Return the bytes of a device that training may fill."""
    shared = serving()
    return on.memory_bytes * (1 - shared.reserve_share / 2) - shared.reserve_gb * GB / 2


def _candidates(on: Chip, of: TrainingShape, devices: int, run: TrainingRun) -> list[TrainingLayout]:
    """Every layout worth weighing: powers of two that divide the devices."""
    out = []
    powers = [2**i for i in range(11) if devices % 2**i == 0]
    tensors = [t for t in powers if t <= min(8, max(on.domain, 1)) and of.heads % t == 0]
    contexts = [c for c in powers if c == 1 or (c <= 64 and run.sequence / c >= _LONG)]
    pipes = [p for p in powers if p <= min(16, of.layers)]
    again: tuple[Recompute, ...] = ("none", "selective", "full")
    for tp, cp, pp in itertools.product(tensors, contexts, pipes):
        if devices % (tp * cp * pp):
            continue
        dp = devices // (tp * cp * pp)
        if dp > run.batch:
            continue
        experts = [e for e in powers if e <= min(of.experts, 64, dp * tp * cp)] if of.moe_layers else [1]
        virtual = (1, 4) if pp > 1 and of.layers // pp >= 4 else (1,)
        micros = [m for m in (1, 2, 4, 8) if m * dp <= run.batch]
        shards = (1, 3) if pp == 1 else (1,)
        out += [
            TrainingLayout(devices, tp, pp, ep, mbs, vp, recompute, shard, cp)
            for ep, mbs, vp, recompute, shard in itertools.product(experts, micros, virtual, again, shards)
        ]
    return out


def best_layout(
    on: Chip, of: TrainingShape, run: TrainingRun, devices: int
) -> tuple[TrainingLayout, TrainingTimes] | None:
    """Return the fastest layout that fits, with its times alone; ``None`` where none does."""
    layouts = _candidates(on, of, devices, run)
    if not layouts:
        return None
    found = step_seconds(on, of, run, layouts)
    step = np.where(found.memory <= room(on), found.step, np.inf)
    best = int(np.argmin(step))
    if not np.isfinite(step[best]):
        return None
    return layouts[best], step_seconds(on, of, run, [layouts[best]])


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
    if model.id not in named_shapes():
        absent += [f"{model.id}: {part}" for part in missing_parts(model)]
    if not absent and run.format is not NumberFormat.BF16 and run.format not in accelerator.dense_rate:
        absent = [f"no source read states a rate of {accelerator.id} in {run.format}"]
    if absent:
        raise MissingFact("; ".join(absent))
    on, of = training_chip(accelerator), model_shape(model)
    if devices > 1 and on.link_bytes_s is None and on.host_link_bytes_s is None:
        raise MissingFact(
            f"no source read states a link of {accelerator.id}: more than one device cannot train"
        )
    layouts = _candidates(on, of, devices, run) if layout is None else [layout]
    if not layouts:
        raise MissingFact(
            f"{run.batch} sequences per step cannot be shared by {devices} devices in any layout"
        )
    found = step_seconds(on, of, run, layouts)
    step = found.step if layout is not None else np.where(found.memory <= room(on), found.step, np.inf)
    order = np.argsort(step, kind="stable")
    best = int(order[0])
    if not np.isfinite(step[best]):
        least = float(found.memory.min()) / GB
        raise MissingFact(
            f"does not fit: the leanest layout needs {least:.0f} GB on each of {devices} devices of "
            f"{accelerator.id}, which has {on.memory_bytes / GB:.0f} GB"
        )
    spread = _spread(accelerator, model) * on.efficiency.spread / serving().interval["measured"]
    return _answer(run, on, of, layouts, found, step, best, order, spread)


def _spread(accelerator: Accelerator, model: Model) -> float:
    """Factor of the interval: wider where the chip or the model was never measured in training."""
    k = constants()
    chip_known, model_known = measured_ids()
    new = [1.0, k.spread]
    new += [] if accelerator.id in chip_known else [k.spread_chip]
    new += [] if model.id in model_known else [k.spread_model]
    return max(new)


@cache
def measured_ids() -> tuple[frozenset[str], frozenset[str]]:
    """Return the chips and the models that the constants were placed on."""
    text = files("entrepot.performance").joinpath("data", "training_known.toml").read_text(encoding="utf-8")
    known = tomllib.loads(text)
    return frozenset(known["chips"]), frozenset(known["models"])


def _answer(
    run: TrainingRun,
    on: Chip,
    of: TrainingShape,
    layouts: list[TrainingLayout],
    found: TrainingTimes,
    step: F64,
    best: int,
    order: NDArray[np.intp],
    spread: float,
) -> Training:
    chosen = layouts[best]
    seconds = float(step[best])
    tokens = run.batch * run.sequence / seconds / chosen.devices
    operations = model_operations(of, run.sequence, run.method)
    peak = on.rate_16 if run.format is NumberFormat.BF16 else on.rates[run.format]
    days = run.tokens / (tokens * chosen.devices) / 86400
    parts = {kind: float(getattr(found, kind)[best]) for kind in _PARTS.split()}
    parts["bubble"] = float(found.busy[best] * found.bubble[best])
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
        memory_gb=float(found.memory[best]) / GB,
        memory_share=float(found.memory[best]) / on.memory_bytes,
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
