"""Every figure of chip, model, run and layout as a column, so that rows to fit and layouts to search share one physics.

A column is an array that broadcasts, ``()`` where it is one number: one chip with many layouts, or as many chips and models as there are rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entrepot.catalogue.records import NumberFormat
from entrepot.performance.chip import GB, TERA, Chip
from entrepot.performance.efficiency import serving
from entrepot.performance.records import F64
from entrepot.performance.training_records import TrainingLayout, TrainingRun
from entrepot.performance.training_shape import TrainingShape

__all__ = ["TrainingColumns", "columns", "stacked"]

NEWEST = 2026.6  # releases after the newest and before the oldest that was measured count as these
OLDEST = 2025.7
# Megatron-Bridge 26.06: recipes of transformer mixtures of experts in MXFP8 whose scale-up domain holds the run or is a super-node
FUSED = 2026.4
_SUPER_NODE = 64


@dataclass(frozen=True, slots=True)
class TrainingColumns:
    """Figures in SI units; names as in ``Chip``, ``TrainingShape``, ``TrainingRun`` and ``TrainingLayout``."""

    rate: F64
    reached: F64
    rate_16: F64
    reached_16: F64
    bits: F64
    block_scales: F64
    bandwidth: F64
    link: F64
    nic: F64
    domain: F64
    mma_only: F64  # 1 where kernels written for Ampere leave newer matrix units idle: Hopper and later
    layers: F64
    branches: F64
    stream: F64
    hidden: F64
    linear: F64
    router: F64
    routed: F64
    active_routed: F64
    experts: F64
    experts_per_token: F64
    expert_width: F64
    expert_input: F64
    moe_layers: F64
    attention: F64
    active: F64
    width: F64
    routed_width: F64
    carried: F64
    scan_width: F64
    head_width: F64
    vocabulary: F64
    embedding: F64
    head: F64
    sequence: F64
    batch: F64
    frozen: F64
    lora_rank: F64
    fsdp_stack: F64
    year: F64
    dropless: F64
    fused: F64  # 1 where experts run as fused block-scaled products in one graph of the whole step
    tp: F64
    cp: F64
    pp: F64
    ep: F64
    dp: F64
    mbs: F64
    vp: F64
    full_recompute: F64
    selective: F64
    shard3: F64


def _chip(on: Chip, fmt: NumberFormat) -> dict[str, float]:
    shared = serving()
    rate = on.rate_16 if fmt is NumberFormat.BF16 else on.rates[fmt]
    nic = shared.scaleout_gb_s * shared.scaleout_share * GB
    return {
        "rate": rate,
        "reached": on.efficiency.compute(fmt.bits, rate / TERA, on.sm_count),
        "rate_16": on.rate_16,
        "reached_16": on.reached_16,
        "bits": float(fmt.bits),
        "bandwidth": on.bandwidth,
        "link": nic
        if on.link_bytes_s is None
        else on.link_bytes_s / 2 * 0.8,  # collectives of large messages
        "nic": nic,
        "domain": float(max(on.domain, 1)),
        "mma_only": 1.0 if NumberFormat.FP8 in on.rates else 0.0,
    }


def _shape(of: TrainingShape, sequence: float) -> dict[str, float]:
    names = (
        "layers branches stream hidden linear router routed active_routed experts experts_per_token expert_width expert_input "
        "moe_layers active width routed_width carried scan_width head_width vocabulary embedding head"
    )
    return {name: float(getattr(of, name)) for name in names.split()} | {"attention": of.attention(sequence)}


def _run(on: Chip, of: TrainingShape, run: TrainingRun, devices: int) -> dict[str, float]:
    date = NEWEST if run.software.date is None else min(max(run.software.date, OLDEST), NEWEST)
    scaled = run.format is NumberFormat.FP8 and run.scaling == "block" and NumberFormat.FP4 in on.rates
    near = on.domain >= min(devices, _SUPER_NODE)
    return {
        "sequence": float(run.sequence),
        "batch": float(run.batch),
        "frozen": 1.0 if run.method == "lora" else 0.0,
        "lora_rank": float(run.lora_rank),
        "block_scales": 1.0 if run.scaling == "block" else 0.0,
        "fsdp_stack": 1.0 if run.software.stack == "fsdp" else 0.0,
        "year": date - 2026.0,
        "dropless": 1.0 if run.software.dropless else 0.0,
        "fused": 1.0 if scaled and near and date >= FUSED and not of.scan_width else 0.0,
    }


def _layout(x: TrainingLayout) -> dict[str, float]:
    return {
        "tp": float(x.tensor_parallel),
        "cp": float(x.context_parallel),
        "pp": float(x.pipeline_parallel),
        "ep": float(x.expert_parallel),
        "dp": float(x.data_parallel),
        "mbs": float(x.micro_batch),
        "vp": float(x.virtual_stages),
        "full_recompute": 1.0 if x.recompute == "full" else 0.0,
        "selective": 1.0 if x.recompute == "selective" else 0.0,
        "shard3": 1.0 if x.shard == 3 else 0.0,
    }


def columns(
    on: Chip, of: TrainingShape, run: TrainingRun, layouts: Sequence[TrainingLayout]
) -> TrainingColumns:
    """Return the columns of one chip, model and run in many layouts; layout columns are (layouts,), the others ()."""
    each = [_layout(x) for x in layouts]
    many: dict[str, Any] = {name: np.array([x[name] for x in each]) for name in each[0]}
    one = _chip(on, run.format) | _shape(of, run.sequence) | _run(on, of, run, layouts[0].devices)
    return TrainingColumns(**{name: np.array(value) for name, value in one.items()}, **many)


def stacked(rows: Sequence[tuple[Chip, TrainingShape, TrainingRun, TrainingLayout]]) -> TrainingColumns:
    """Return the columns of many rows, each with a chip, model, run and layout of its own; all are (rows,)."""
    each = [
        _chip(on, run.format) | _shape(of, run.sequence) | _run(on, of, run, layout.devices) | _layout(layout)
        for on, of, run, layout in rows
    ]
    names = [f.name for f in fields(TrainingColumns)]
    arrays: dict[str, NDArray[np.float64]] = {name: np.array([x[name] for x in each]) for name in names}
    return TrainingColumns(**arrays)
