"""``entrepot performance``: where does the time go, and how good is the model that says so?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from entrepot import api
from entrepot.cli.output import Output, emit, note
from entrepot.cli.work import MIX, limits
from entrepot.performance.calibration.own_runs import read_offsets
from entrepot.performance.offsets import calibrated

__all__ = ["explain", "train"]


def explain(
    model: str,
    *,
    chip: str,
    mix: str = MIX,
    ttft_ms: float | None = None,
    tpot_ms: float | None = None,
    engine: str = "vllm",
    calibration: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say where the time of a request goes in the best layout of a chip, by phase and kind of operation.

        entrepot performance explain deepseek-r1 --chip nvidia-h20-sxm-96gb
        entrepot performance explain qwen3-32b --chip nvidia-h200-sxm-141gb --tpot-ms 30

    ``ms`` is one decode step of the batch, or the prefill of one mean request; ``share`` is of a request's life.

    Parameters
    ----------
    model: the AI model, by id
    chip: the chip, by id or name
    mix: request sizes: a public mix of the catalogue
    ttft_ms: limit on the time to first token
    tpot_ms: limit on the time per output token
    engine: whose overheads to count: vllm, trtllm or sglang
    calibration: what your own runs say of your engine (entrepot performance calibrate)
    """
    with calibrated(None if calibration is None else read_offsets(calibration)):
        table = api.explain(model, chip, mix=mix, slo=limits(ttft_ms, tpot_ms), engine=engine)
    emit(table.to_dicts(), kind="explanation", output=output or Output())


def train(
    model: str,
    *,
    tokens: float,
    chip: str,
    devices: int,
    sequence: int = 4096,
    batch: int = 1024,
    method: Literal["full", "lora"] = "full",
    number_format: Annotated[str, Parameter(name="--format")] = "bf16",
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say how long a training or fine-tuning run takes, in the best layout that fits, and where its time goes.

        entrepot performance train llama-3.1-70b --tokens 1e12 --chip nvidia-h20-sxm-96gb --devices 512
        entrepot performance train qwen3-32b --tokens 1e8 --chip h200-sxm --devices 8 --method lora --batch 64

    Parameters
    ----------
    model: the AI model, by id
    tokens: tokens in the whole run, e.g. 1e12
    chip: the chip, by id or name
    devices: how many devices train together
    sequence: tokens in a sequence
    batch: sequences in a step
    method: full, or lora for adapters on frozen weights
    number_format: format of the matrix products: bf16, fp8 or fp4
    """
    show = output or Output()
    found = api.train(
        model,
        chip,
        devices,
        tokens=tokens,
        sequence=sequence,
        batch=batch,
        method=method,
        number_format=number_format,
    )
    whole = sum(found.parts.values())
    run = {
        "layout": str(found.layout),
        "days_low": found.days.low,
        "days": found.days.central,
        "days_high": found.days.high,
        "device_hours": found.device_hours,
        "step_s": found.step_s.central,
        "tokens_per_s_per_device": found.tokens_per_s,
        "tflops_per_device": found.tflops,
        "mfu": found.mfu,
        "memory_gb_per_device": found.memory_gb,
        "basis": found.basis,
        "runner_up": found.runner_up,
        "runner_up_share": found.runner_up_share,
    }
    parts = [{"part": k, "seconds": v, "share": v / whole} for k, v in found.parts.items() if v > 0]
    tables = {"run": [run], "parts": parts}
    titles = {"parts": "Where a step's time goes"}
    if show.output == "table":
        tables["run"] = [{"what": k.replace("_", " "), "answer": v} for k, v in run.items()]
    emit(tables, kind="training", output=show, titles=titles)
    note(
        "Compared with published runs in docs/performance.md; MFU halves causal attention and counts no recomputation."
    )
