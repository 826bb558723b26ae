"""``entrepot performance calibrate``: teach the model a user's own engine from a benchmark file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from entrepot.cli.output import Output, emit, note
from entrepot.errors import Fault, InputError
from entrepot.performance.accuracy.judge import shipped_model
from entrepot.performance.calibration.own_runs import Setup, learn_own, offsets_text, rows_of_runs

__all__ = ["calibrate"]


def calibrate(
    file: Path,
    *,
    chip: str = "",
    devices: int = 1,
    model: str = "",
    engine: str = "vllm",
    weight_format: Annotated[str, Parameter(name="--format")] = "",
    layout: str = "",
    save: Path = Path("my-calibration.csv"),
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Take in a benchmark file of your own, and write what it says about your engine to a calibration file.

        entrepot performance calibrate result.json --chip h20-sxm-96gb --devices 8 --model deepseek-r1 --layout TP8
        entrepot performance calibrate sglang.jsonl --chip h200-sxm --model qwen3-32b --engine sglang --devices 2
        entrepot performance calibrate guidellm.json --chip mi300x-192gb --model llama-3.1-70b --devices 4
        entrepot performance calibrate my-runs.csv --save ours.csv
        entrepot size deepseek-r1 --requests-per-s 100 --chip h20-sxm-96gb --calibration ours.csv

    Reads the JSON of `vllm bench serve --save-result`, the JSONL of `sglang.bench_serving --output-file`, the JSON of
    GuideLLM, or a CSV with the header of `measurements.csv`. Shows each run's error before and after. On chips that
    were never measured one point took the median error of TPOT from 12.2 to 9.8 %, three to 8.3 % (docs/performance.md).

    Parameters
    ----------
    file
        the benchmark's result
    chip
        what it ran on; a CSV says it itself
    devices
        how many of them
    model
        what was served; by default what the result says
    engine
        vllm, trtllm or sglang, with the version if you like
    weight_format
        fp8, bf16, int8, fp4; by default the one that the model was published in
    layout
        e.g. TP8, DEP8, TP4 EP4; by default TP over all devices
    save
        the calibration file to write; it must not exist
    """
    if save.exists():
        raise InputError(Fault(f"--save {save}", "is there already", "Name a new file, or remove it first."))
    if devices < 1:
        raise InputError(Fault("--devices", f"{devices} devices", "Write a whole number from 1 up."))
    rows = rows_of_runs(file, Setup(chip, devices, model, engine, weight_format, layout))
    own, told = learn_own(rows, shipped_model())
    save.write_text(offsets_text(own), encoding="utf-8")
    emit(told, kind="calibration", output=output or Output())
    note(f"wrote {save}: {len(own)} offsets; give it to size, compare or explain with --calibration {save}")
