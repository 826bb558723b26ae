"""What would the model say to one published training row, from its conditions alone?

A row has the columns of the measurements table: accelerator, number of devices, model, formats, parallelism, lengths, batch,
metric, value, source, notes. Its conditions stand partly in ``parallelism`` and ``notes``, as the source wrote them. What the
row leaves blank is read by a stated rule, and the reading says so; what cannot be read is refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from entrepot import catalogue
from entrepot.catalogue.records import NumberFormat
from entrepot.errors import EntrepotError
from entrepot.performance.chip import TERA, Chip, missing_figures
from entrepot.performance.operations import Shape, missing_parts, shape
from entrepot.performance.training import (
    Constants,
    TrainingLayout,
    TrainingRun,
    model_operations,
    step_seconds,
    training_chip,
)

__all__ = [
    "Conditions",
    "TrainingPrediction",
    "conditions",
    "plain_gpt",
    "predict",
    "predict_row",
    "published_rate",
]

_CHIPS: Final = {
    "B200-SXM-180GB": "nvidia-b200-sxm-180gb",
    "B300-SXM-270GB": "nvidia-b300-sxm",
    "GB200-NVL72-186GB": "nvidia-gb200-nvl72",
    "GB300-NVL72": "nvidia-gb300-nvl72",
    "H100-SXM-80GB": "nvidia-h100-sxm5-80gb",
    "A100-SXM-80GB": "nvidia-a100-sxm4-80gb",
    "A100-SXM-40GB": "nvidia-a100-sxm4-40gb",
    "A800-SXM-80GB": "nvidia-a800-sxm4-80gb",
    "MetaX C500": "metax-c500-oam-64gb",
}
_MODELS: Final = {
    "deepseekv3": "deepseek-v3",
    "llama3_8b": "llama-3.1-8b",
    "llama3_70b": "llama-3.1-70b",
    "llama3.1_405b": "llama-3.1-405b",
    "llama-3-8b": "llama-3.1-8b",
    "llama3-8b": "llama-3.1-8b",
    "llama-3-70b": "llama-3.1-70b",
    "llama-3.1-405b": "llama-3.1-405b",
    "qwen3_30b_a3b": "qwen3-30b-a3b",
    "qwen3_235b_a22b": "qwen3-235b-a22b",
    "gpt oss 120b": "gpt-oss-120b",
    "kimi_k2": "kimi-k2",
    "deepseekv4 flash": "deepseek-v4-flash",
    "nemotron_3_nano": "nemotron-3-nano-30b-a3b",
    "nemotron_3_super": "nemotron-3-super-120b-a12b",
    "mixtral-8x7b": "mixtral-8x7b",
}
# layers, hidden, heads, FFN width, matrices of the FFN, vocabulary: llm-foundry scripts/train/yamls/pretrain (MPT); meta-llama
# LLaMA-2 7B and InternLM-7B config.json (the same widths); Megatron-LM README (GPT-3 175B)
_PLAIN: Final = {
    "mpt-1b": (24, 2048, 16, 8192, 2, 50432),
    "mpt-3b": (32, 2560, 20, 10240, 2, 50432),
    "mpt-7b": (32, 4096, 32, 16384, 2, 50432),
    "mpt-13b": (40, 5120, 40, 20480, 2, 50432),
    "mpt-30b": (48, 7168, 56, 28672, 2, 50432),
    "mpt-70b": (80, 8192, 64, 32768, 2, 50432),
    "llama2-7b": (32, 4096, 32, 11008, 3, 32000),
    "internlm-7b": (32, 4096, 32, 11008, 3, 103168),
    "gpt-3-175b strong scaling": (96, 12288, 96, 49152, 2, 51200),
}
_TIED: Final = frozenset(
    {"mpt-1b", "mpt-3b", "mpt-7b", "mpt-13b", "mpt-30b", "mpt-70b", "gpt-3-175b strong scaling"}
)


@dataclass(frozen=True, slots=True)
class Conditions:
    """One row's conditions, as read; ``reading`` says what was blank and how it was filled."""

    on: Chip
    of: Shape
    run: TrainingRun
    layout: TrainingLayout
    reading: str


@dataclass(frozen=True, slots=True)
class TrainingPrediction:
    """What the model says to a row; per device."""

    tflops_per_device: float
    mfu: float
    tokens_per_s_per_device: float
    step_s: float
    reading: str


def plain_gpt(name: str) -> Shape | None:
    """Return the shape of a dense model that only training rows name; ``None`` where not on record."""
    if name not in _PLAIN:
        return None
    layers, hidden, heads, width, matrices, vocabulary = _PLAIN[name]
    embedding = float(vocabulary * hidden)
    return Shape(
        id=name, layers=layers, hidden=hidden, heads=heads, kv_heads=heads, qk_dim=hidden // heads, v_dim=hidden // heads,
        mla_dim=0, full=layers, windowed=0, window=0, kv_elements=2.0 * layers * hidden, window_elements=0.0,
        state_elements=0.0, attention=4.0 * layers * hidden**2, dense=float(matrices * layers * hidden * width), shared=0.0,
        router=0.0, expert=0.0, experts=0, experts_per_token=0, expert_width=0, moe_layers=0, index_heads=0, index_dim=0,
        index_top=0, embedding=embedding * (1 if name in _TIED else 2), head=embedding,
    )  # fmt: skip


def conditions(row: Mapping[str, str]) -> Conditions | str:
    """Return a row's conditions, or why they cannot be read."""
    notes, said = row["notes"], []
    if "inference" in row["model"].lower() or "INFERENCE" in notes:
        return "an inference figure in a training column"
    on = _chip(row["accelerator"])
    if isinstance(on, str):
        return on
    of = _shape(row["model"])
    if isinstance(of, str):
        return of
    devices = _number(row["n_accelerators"])
    if devices is None:
        return "the number of devices is not stated"
    fmt = _format(row["weight_dtype"])
    if fmt is not NumberFormat.BF16 and fmt not in on.rates:
        return f"no source read states a rate of {on.id} in {fmt}"
    sequence = _number(row["isl"])
    if sequence is None:
        sequence = 2048.0
        said.append("sequence not stated: 2048")
    micro = _search(r"(?:MBS|microbatch|LBS=?) ?(\d+)", f"{notes} {row['parallelism']}")
    if micro is None:
        said.append("microbatch not stated: 1")
    par = row["parallelism"]
    if re.search(r"\(\d\)", par):
        said.append("the layout before the brackets, which belong to another recipe")
        par = re.sub(r"\(\d+\)", "", par)
    tp, pp = (int(_search(rf"{word} ?(\d+)", par) or 1) for word in ("TP", "PP"))
    cp, ep = (int(_search(rf"{word} ?(\d+)", par) or 1) for word in ("CP", "EP"))
    vp = int(_search(r"VP ?(\d+)", par) or 1)
    if not par.strip():
        said.append("layout not stated: data parallel")
    batch = _search(r"(?:GBS|global batch) ?=?(\d+)", f"{row['concurrency_or_batch']} {notes} {par}")
    if batch is None:
        copies = devices / (tp * cp * pp)
        batch = max(copies, 1.0) * (micro or 1.0) * max(4.0 * pp, 8.0)
        said.append(f"batch not stated: {batch:g} sequences")
    recompute = "activation checkpointing True" in notes or "activation ckpt" in par
    tokens = float(batch * sequence)
    lora = notes.startswith("LoRA")
    run = TrainingRun(tokens, int(sequence), int(batch), "lora" if lora else "full", fmt)
    shard = 3 if "FSDP" in par and "SHARD_GRAD_OP" not in par else 1
    layout = TrainingLayout(
        int(devices), tp, pp, ep, int(micro or 1), vp, "full" if recompute else "none", shard, cp
    )
    if layout.data_parallel < 1:
        return f"{par} needs more than {devices:g} devices"
    return Conditions(on, of, run, layout, "; ".join(said))


def _chip(name: str) -> Chip | str:
    known = _CHIPS.get(name.split(" (", maxsplit=1)[0].strip())
    try:
        found = catalogue.accelerator(known or name)
    except EntrepotError as unknown:
        return str(unknown).splitlines()[0]
    if absent := missing_figures(found):
        return f"no source read states the {' and the '.join(absent)} of {found.id}"
    return training_chip(found)


def _shape(name: str) -> Shape | str:
    word = re.sub(r"\s*\(.*\)", "", name).strip().lower()
    if (plain := plain_gpt(word)) is not None:
        return plain
    try:
        model = catalogue.model(_MODELS.get(word, word))
    except EntrepotError as unknown:
        return str(unknown).splitlines()[0]
    if absent := missing_parts(model):
        return f"{model.id}: {'; '.join(absent)}"
    return shape(model)


def _format(text: str) -> NumberFormat:
    word = text.lower()
    if "fp4" in word:
        return NumberFormat.FP4
    return NumberFormat.FP8 if "fp8" in word else NumberFormat.BF16


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _search(pattern: str, text: str) -> float | None:
    found = re.search(pattern, text)
    return None if found is None else float(found.group(1))


def predict(at: Conditions, using: Constants | None = None) -> TrainingPrediction:
    """Return what the model says under these conditions."""
    times = step_seconds(at.on, at.of, at.run, [at.layout], using)
    step = float(times.step[0])
    rate = at.run.batch * at.run.sequence / step / at.layout.devices
    operations = model_operations(at.of, at.run.sequence, at.run.method)
    peak = at.on.rate_16 if at.run.format is NumberFormat.BF16 else at.on.rates[at.run.format]
    return TrainingPrediction(
        tflops_per_device=rate * operations / TERA,
        mfu=rate * operations / peak,
        tokens_per_s_per_device=rate,
        step_s=step,
        reading=at.reading,
    )


def predict_row(row: Mapping[str, str]) -> TrainingPrediction | str:
    """Return what the model says to one row of the measurements table, or why it says nothing.

    Parameters
    ----------
    row : with the columns ``accelerator, n_accelerators, model, weight_dtype, parallelism, isl, concurrency_or_batch, notes``
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
