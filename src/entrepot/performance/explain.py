"""Where does the time of a request go, and how far from the roof does the chip run?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import polars as pl

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.errors import MissingFact
from entrepot.performance.chip import TERA, chip
from entrepot.performance.estimate import estimate, missing
from entrepot.performance.operating import setting_at
from entrepot.performance.records import F64, Layout, Pools, Speculation, Workload
from entrepot.performance.search import DEFAULT_ENGINE
from entrepot.performance.steady import prefill_of_mix, step_parts
from entrepot.performance.step import Part, Setting, total

__all__ = ["explain", "rests_on", "roofline"]

_AT_16_BITS: Final = frozenset({"attention", "window attention", "linear attention", "LM head"})
_DECADES: Final = (
    1.0,
    10_000.0,
)  # FLOP/byte between which the roof is drawn at least; further where a phase lies further


def explain(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    *,
    layout: Layout | Pools | None = None,
    engine: str = DEFAULT_ENGINE,
    speculation: Speculation | None = None,
    pools: bool = False,
) -> pl.DataFrame:
    """Return the time of one request's work, by phase and kind of operation.

    Parameters
    ----------
    layout : to look at; by default the one that ``estimate`` chooses
    pools : let it choose separate pools for prefill and decode too

    Returns
    -------
    table ``phase`` (decode, prefill), ``part``, ``ms`` (decode: one step of the batch; prefill: what one mean request
    costs), ``share`` of the device time that a request takes, ``bound_by``, ``layout``, and
    ``rests_on``: whether the constants of that part were measured on this architecture, transferred to it, or taken from
    the datasheet

    Raises
    ------
    MissingFact
        there is no layout to look at, for the reason that the message gives
    """
    chosen = (
        _chosen(workload, accelerator, model, engine, speculation, pools=pools) if layout is None else layout
    )
    rows: list[tuple[str, str, float, float, str, str]] = []
    for phase, own in _phases_of(chosen).items():
        setting = setting_at(workload, accelerator, model, own, engine=engine, speculation=speculation)
        batch = np.array([[float(own.batch)]])
        pace = float(np.max(setting.columns.pace))
        if phase == "decode":
            steps = setting.mix.osl / (1.0 if speculation is None else speculation.tokens_per_step)
            weight = steps / own.batch * own.devices
            rows += _rows(phase, step_parts(setting, batch), weight, str(own), pace)
        else:
            weight = own.devices / own.pipeline_parallel
            rows += _rows(phase, prefill_of_mix(setting, batch), weight, str(own), pace)
    table = pl.DataFrame(rows, schema=["phase", "part", "ms", "weight", "bound_by", "layout"], orient="row")
    spent = pl.col("ms") * pl.col("weight")
    shown = ("phase", "part", "ms", "share", "bound_by", "rests_on", "layout")
    basis = chip(accelerator).efficiency.basis
    rests = pl.Series("rests_on", [_rests_on(accelerator, model, basis, part) for part in table["part"]])
    return table.with_columns(rests, share=spent / spent.sum()).select(*shown)


def rests_on(table: pl.DataFrame) -> str:
    """Return what the device time of a request rests on, largest share first, e.g. ``measured 97%, transferred 3%``.

    Parameters
    ----------
    table : as ``explain`` gives it
    """
    shares = table.group_by("rests_on").agg(pl.col("share").sum()).sort("share", "rests_on", descending=True)
    return ", ".join(f"{kind} {share:.0%}" for kind, share in shares.iter_rows())


def _rests_on(accelerator: Accelerator, model: Model, basis: str, part: str) -> str:
    """Say what a part's constants rest on: an architecture's own kernels, or another's; a link without a name is judged."""
    if basis != "measured":
        return basis
    if part == "communication" and accelerator.scaleup_bw_gb_s is None:
        return "transferred"
    if part in {"linear attention", "sparse index"} or part.startswith("draft"):
        return "datasheet"  # no kernel of these was measured on any architecture
    del model
    return "measured"


def _phases_of(layout: Layout | Pools) -> dict[str, Layout]:
    """Return which layout runs which phase; a prefill pool packs its chunks full."""
    if isinstance(layout, Layout):
        return {"decode": layout, "prefill": layout}
    full = replace(layout.prefill, batch=max(layout.prefill.batch, 64 * layout.prefill.data_parallel))
    return {"decode": layout.decode, "prefill": full}


def _rows(
    phase: str, parts: list[Part], weight: float, layout: str, pace: float
) -> list[tuple[str, str, float, float, str, str]]:
    rows = []
    for part in parts:
        ms = (
            float(total([part]).whole.max()) * 1e3 * pace
        )  # measured cells spread their offset over all parts
        if part.fixed.max() > 0:
            bound = "link" if part.name == "communication" else "host and launches"
        else:
            bound = "compute" if part.arithmetic.max() >= part.memory.max() else "memory bandwidth"
        rows.append(
            (
                phase,
                part.name,
                ms,
                weight,
                bound,
                layout.partition(" batch")[0] if phase == "prefill" else layout,
            )
        )
    return rows


def _chosen(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    engine: str,
    speculation: Speculation | None = None,
    *,
    pools: bool = False,
) -> Layout | Pools:
    answer = estimate(workload, accelerator, model, engine=engine, speculation=speculation, pools=pools)
    if answer.layout is None:
        raise MissingFact(f"no layout for {workload.id} on {accelerator.id}: {answer.reason}")
    return answer.layout


def roofline(
    accelerator: Accelerator,
    model: Model | None = None,
    workload: Workload | None = None,
    *,
    formats: Sequence[NumberFormat] | None = None,
    engine: str = DEFAULT_ENGINE,
    pools: bool = False,
) -> pl.DataFrame:
    """Return the points of a roofline picture: roofs of a chip, and the two phases of a workload beneath them.

    Parameters
    ----------
    model, workload : whose decode and prefill to place; without them only the roofs are drawn
    formats : roofs to draw; by default each format of 16 bits or fewer that a source states
    pools : as in ``explain``

    Returns
    -------
    table ``kind`` (roof, ridge, phase), ``label``, ``intensity_flop_per_byte``, ``tflop_s`` per device. A roof is two
    rows around its ridge; a phase stands where its own arithmetic, bytes and time put it

    Raises
    ------
    MissingFact
        the chip's bandwidth or rate is not stated, or the workload has no layout
    """
    if accelerator.memory_bw_gb_s is None:
        raise MissingFact(f"no source read states the memory bandwidth of {accelerator.id}")
    bandwidth = float(accelerator.memory_bw_gb_s) * 1e9
    shown = [fmt for fmt in accelerator.dense_rate if fmt.bits <= 16] if formats is None else list(formats)
    phases = (
        []
        if model is None or workload is None
        else _phases(accelerator, model, workload, engine, pools=pools)
    )
    far = max([_DECADES[1], *(2 * intensity for _, _, intensity, _ in phases)])
    rows: list[tuple[str, str, float, float]] = []
    for fmt in shown:
        if fmt not in accelerator.dense_rate:
            raise MissingFact(f"no source read states the {fmt} rate of {accelerator.id}")
        peak = float(accelerator.dense_rate[fmt])
        ridge = peak * TERA / bandwidth
        low, high = min(_DECADES[0], ridge), max(far, ridge)
        rows += [
            ("roof", str(fmt), low, low * bandwidth / TERA),
            ("ridge", str(fmt), ridge, peak),
            ("roof", str(fmt), high, peak),
        ]
    rows += phases
    return pl.DataFrame(rows, schema=["kind", "label", "intensity_flop_per_byte", "tflop_s"], orient="row")


def _phases(
    accelerator: Accelerator, model: Model, workload: Workload, engine: str, *, pools: bool
) -> list[tuple[str, str, float, float]]:
    reason = missing(accelerator, model)
    if reason:
        raise MissingFact(reason)
    chosen = _chosen(workload, accelerator, model, engine, pools=pools)
    rows = []
    for label, layout in _phases_of(chosen).items():
        setting = setting_at(workload, accelerator, model, layout, engine=engine)
        batch = np.array([[float(layout.batch)]])
        parts = step_parts(setting, batch) if label == "decode" else prefill_of_mix(setting, batch)
        operations = sum(_operations(setting, part) for part in parts)
        moved = sum(float(part.floor_memory.max()) for part in parts) * chip(accelerator).bandwidth
        seconds = float(total(parts).whole.max())
        rows.append(("phase", label, operations / moved, operations / seconds / TERA))
    return rows


def _operations(setting: Setting, part: Part) -> float:
    """Floating-point operations of a part on one device."""
    rate: F64 | float = setting.layouts.linear_rate
    if part.name in _AT_16_BITS:
        rate = setting.chip.rate_16
    elif part.name == "experts":
        rate = setting.layouts.expert_rate
    return float(np.max(part.floor_arithmetic * rate))
