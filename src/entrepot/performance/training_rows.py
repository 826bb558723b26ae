"""What would the model say to one published training row, from its conditions alone?

A row has the columns of the measurements table: accelerator, number of devices, model, formats, parallelism, lengths, batch,
metric, value, source, notes. Its conditions stand partly in ``parallelism`` and ``notes``, as the source wrote them. What the
row leaves blank is read by a stated rule, and the reading says so; what cannot be read is refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from entrepot import catalogue
from entrepot.catalogue.records import NumberFormat
from entrepot.performance.accuracy.names import read_chip, read_model
from entrepot.performance.accuracy.rows import LONGEST
from entrepot.performance.chip import TERA, Chip
from entrepot.performance.operations import missing_parts
from entrepot.performance.training import (
    best_layout,
    constants,
    measured_ids,
    model_operations,
    room,
    step_seconds,
    training_chip,
)
from entrepot.performance.training_constants import TrainingConstants
from entrepot.performance.training_records import Software, TrainingLayout, TrainingRun
from entrepot.performance.training_shape import TrainingShape, model_shape, named_shapes, with_mtp

__all__ = ["Conditions", "TrainingPrediction", "conditions", "predict", "predict_row", "published_rate"]

_MODELS: Final = {
    "llama2-7b": "llama2-7b",
    "deepseekv4-flash": "deepseek-v4-flash",
    "nemotron-3-nano": "nemotron-3-nano-30b-a3b",
    "nemotron-3-5-lightning": "nemotron-3.5-lightning",
    "nemotron-3-super": "nemotron-3-super-120b-a12b",
    "nemotron-3-ultra": "nemotron-3-ultra-550b-a55b",
    "gpt-3-175b-strong-scaling": "gpt-3-175b",
}
# Pre-trained with one layer that predicts a second token: by their configs (num_nextn_predict_layers 1). Rows say where not.
_MTP: Final = frozenset(
    {
        "deepseek-v3",
        "deepseek-v4-flash",
        "nemotron-3.5-lightning",
        "nemotron-3-super-120b-a12b",
        "nemotron-3-ultra-550b-a55b",
    }
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """One row's conditions, as read; ``reading`` says what was blank and how it was filled."""

    on: Chip
    of: TrainingShape
    run: TrainingRun
    layout: TrainingLayout
    reading: str


@dataclass(frozen=True, slots=True)
class TrainingPrediction:
    """What the model says to a row; per device. ``factor`` is that of its 90 % interval."""

    tflops_per_device: float
    mfu: float
    tokens_per_s_per_device: float
    step_s: float
    factor: float
    reading: str


def conditions(row: Mapping[str, str]) -> Conditions | str:
    """Return a row's conditions, or why they cannot be read."""
    notes, par = row["notes"], row["parallelism"]
    if "inference" in row["model"].lower() or "INFERENCE" in notes:
        return "an inference figure in a training column"
    said: list[str] = []
    on = _chip(row["accelerator"], said)
    if isinstance(on, str):
        return on
    of = _shape(row["model"], said)
    if isinstance(of, str):
        return of
    fmt, scaling = _format(row["weight_dtype"])
    if fmt is not NumberFormat.BF16 and fmt not in on.rates:
        return f"no source read states a rate of {on.id} in {fmt}"
    if re.search(r"\(\d\)", par):
        said.append("the layout before the brackets, which belong to another recipe")
        par = re.sub(r"\(\d+\)", "", par)
    text = par if par.strip() else " ".join(re.findall(r"\b(?:TP|PP|CP|EP|DP|VP) ?\d+", notes))
    devices = _number(row["n_accelerators"]) or _product(text)
    if devices is None:
        devices = 8.0
        said.append("number of devices not stated: 8")
    sequence = _number(row["isl"])
    if sequence is None:
        sequence = 2048.0
        said.append("sequence not stated: 2048")
    if not 1 <= sequence <= LONGEST:
        return f"no sequence holds {sequence:g} tokens"
    tp, pp, cp, ep, vp = (
        int(_search(rf"{word} ?(\d+)", text) or 1) for word in ("TP", "PP", "CP", "EP", "VP")
    )
    micro = _search(r"(?:MBS|microbatch|LBS=?) ?(\d+)", f"{notes} {par}")
    if micro is None:
        said.append("microbatch not stated: 1")
    copies = devices / (tp * cp * pp)
    if copies < 1:
        return f"{text} needs more than {devices:g} devices"
    batch = _batch(f"{row['concurrency_or_batch']} {notes} {par}", copies, micro or 1.0)
    if batch is None:
        batch = copies * (micro or 1.0) * max(4.0 * pp, 8.0)
        said.append(f"batch not stated: {batch:g} sequences")
    lora = notes.startswith("LoRA") or "lora" in row["model"].lower()
    run = TrainingRun(
        float(batch * sequence),
        int(sequence),
        max(int(batch), 1),
        "lora" if lora else "full",
        fmt,
        scaling=scaling,
        software=_software(row),
    )
    shard = 3 if "FSDP" in par and "SHARD_GRAD_OP" not in par else 1
    layout = TrainingLayout(int(devices), tp, pp, ep, int(micro or 1), vp, "none", shard, cp)
    layout = _layout(on, of, run, layout, text, f"{notes} {par}", said)
    return Conditions(on, of, run, layout, "; ".join(said))


def _layout(
    on: Chip,
    of: TrainingShape,
    run: TrainingRun,
    stated: TrainingLayout,
    text: str,
    words: str,
    said: list[str],
) -> TrainingLayout:
    """Return the layout with what the row leaves open: by what it says, else by what fits."""
    if re.search(r"activation (?:checkpointing True|ckpt)", words):
        return replace(stated, recompute="full")
    if "activation checkpointing False" in words:
        return stated
    if not text.strip() and "FSDP" not in words:
        found = best_layout(on, of, run, stated.devices)
        if found is not None:
            said.append(f"layout not stated: the best that fits, {found[0]}")
            return found[0]
    if float(step_seconds(on, of, run, [stated]).memory[0]) <= room(on):
        return stated
    said.append("recomputation not stated, and without it memory would not do: selective")
    return replace(stated, recompute="selective")


def _chip(name: str, said: list[str]) -> Chip | str:
    found = read_chip(name.split(" (", maxsplit=1)[0].strip())
    if found is None:
        return f"no accelerator is called {name!r}, or no source read states its figures"
    said += found.assumed
    return training_chip(found.accelerator)


def _shape(name: str, said: list[str]) -> TrainingShape | str:
    word = re.sub(r"[\s_]+", "-", re.sub(r"\s*\(.*\)", "", name).strip().lower())
    id_ = _MODELS.get(word, word)
    if id_ in named_shapes():
        of = named_shapes()[id_]
    elif id_ in catalogue.models():
        model = catalogue.model(id_)
        if absent := missing_parts(model):
            return f"{model.id}: {'; '.join(absent)}"
        of = model_shape(model)
    else:
        found = read_model(re.sub(r"\s*\(.*\)", "", name).replace("_", " "))
        if found is None or found.id.startswith("size:"):
            size = "" if found is None else ": only its size is, and a step depends on layers and widths"
            return f"the shape of {name!r} is not on record{size}"
        id_ = found.id
        if id_ not in named_shapes() and found.scale != 1.0:
            return f"the shape of {id_} is not on record whole"
        said += found.assumed
        of = named_shapes()[id_] if id_ in named_shapes() else model_shape(found.model)
    return with_mtp(of) if id_ in _MTP and "w/o MTP" not in name else of


def _software(row: Mapping[str, str]) -> Software:
    engine = row["engine"].lower()
    megatron = any(word in engine for word in ("megatron", "nemo", "flagscale")) or not engine
    dropless = "tokendrop" not in row["model"].lower()
    year = re.search(r"(20\d\d)(?:-(\d\d))?", row["date"])
    if year is None:
        return Software("megatron" if megatron else "fsdp", dropless=dropless)
    month = float(year.group(2) or 6.5)
    date = float(year.group(1)) + (month - 0.5) / 12
    return Software("megatron" if megatron else "fsdp", date, dropless)


def _format(text: str) -> tuple[NumberFormat, Literal["tensor", "block"]]:
    word = text.lower().split("(", maxsplit=1)[0]
    if "fp4" in word:
        return NumberFormat.FP4, "block"
    if "fp8" in word:
        return NumberFormat.FP8, "block" if "mx" in word else "tensor"
    return NumberFormat.BF16, "block"


def _batch(text: str, copies: float, micro: float) -> float | None:
    """Return sequences in a step: stated, or from gradient accumulation."""
    stated = _search(r"(?:GBS|global batch|batch) ?=?(\d+)", text)
    if stated is not None:
        return stated
    steps = _search(r"(?:grad_accum|GAS=?) ?(\d+)", text)
    return None if steps is None else steps * copies * micro


def _product(text: str) -> float | None:
    """Return the devices that a layout names: DP x TP x PP x CP."""
    if not re.search(r"DP ?\d", text):
        return None
    out = 1.0
    for word in ("DP", "TP", "PP", "CP"):
        out *= _search(rf"{word} ?(\d+)", text) or 1.0
    return out


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _search(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text)
    return None if found is None else float(found.group(1))


def predict(at: Conditions, using: TrainingConstants | None = None) -> TrainingPrediction:
    """Return what the model says under these conditions."""
    k = constants() if using is None else using
    step = float(step_seconds(at.on, at.of, at.run, [at.layout], k).step[0])
    rate = at.run.batch * at.run.sequence / step / at.layout.devices
    operations = model_operations(at.of, at.run.sequence, at.run.method)
    peak = at.on.rate_16 if at.run.format is NumberFormat.BF16 else at.on.rates[at.run.format]
    chips, models = measured_ids()
    known = [
        k.spread,
        1.0 if at.on.id in chips else k.spread_chip,
        1.0 if at.of.id in models else k.spread_model,
    ]
    return TrainingPrediction(
        tflops_per_device=rate * operations / TERA,
        mfu=rate * operations / peak,
        tokens_per_s_per_device=rate,
        step_s=step,
        factor=max(known),
        reading=at.reading,
    )


def predict_row(row: Mapping[str, str]) -> TrainingPrediction | str:
    """Return what the model says to one row of the measurements table, or why it says nothing.

    Parameters
    ----------
    row : with the columns ``accelerator, n_accelerators, model, weight_dtype, engine, parallelism, isl, concurrency_or_batch,
        date, notes``
    """
    at = conditions(row)
    return at if isinstance(at, str) else predict(at)


def published_rate(row: Mapping[str, str]) -> float | None:
    """Return the tokens per second and device that a row's source states beside its figure; ``None`` where it does not.

    Tokens are the same in every source; MFU and TFLOP/s are not (causal attention halved or not, recomputation counted or
    not), so that rates are compared where there is one.
    """
    notes = row["notes"]
    rate = _search(r"tokens/s/GPU ([\d.]+)", notes) or _search(
        r"([\d.]+) ?(?:tok|tokens)/s(?: per GPU|/GPU|/chip)", notes
    )
    return rate or None
