"""What do a user's own benchmark runs say of their engine, and how do estimates take it in?

A benchmark file becomes rows of the measurements' shape: the result file of ``vllm bench serve --save-result`` (JSON), the
lines that ``sglang.bench_serving --output-file`` appends (JSONL), the report of GuideLLM (JSON), or a CSV with the header of
``measurements.csv``. What a benchmark tool does not know (chip, layout, format) comes from the caller. The residuals against
the shipped model, shrunk, become offsets of the cells that were run. ``tools/own_points.py`` measures what a few points bring.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from entrepot.errors import Fault, InputError
from entrepot.performance.accuracy.conditions import Unanswered, read_conditions
from entrepot.performance.accuracy.rows import Row, read_rows
from entrepot.performance.calibration.run import Model, load, metric_of, predict
from entrepot.performance.offsets import LEVELS, Offsets
from entrepot.performance.records import F64

__all__ = ["Setup", "learn_own", "offsets_text", "read_offsets", "rows_of_runs", "shrinkage"]

_HEADER = ["level", "key", "metric", "log_offset", "rows"]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a benchmark tool does not write down: what ran on what; blank where the file says it itself."""

    chip: str = ""
    devices: int = 1
    model: str = ""
    engine: str = "vllm"
    weight_format: str = ""
    layout: str = ""  # e.g. ``TP8``, ``DEP8``, ``TP4 EP4``


def rows_of_runs(path: Path, setup: Setup) -> list[Row]:
    """Return the runs of a benchmark file as rows, one per metric.

    Raises
    ------
    InputError
        a file or line that is none of the four kinds, a run without lengths or latencies, or no chip or model named
    """
    if path.suffix.lower() == ".csv":
        return [
            replace(r, accelerator=setup.chip or r.accelerator, model=setup.model or r.model)
            for r in read_rows(path)
        ]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            Fault(str(path), "there is no such file", "Give the path of a benchmark result.")
        ) from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(
            Fault(str(path), f"cannot be read as text: {error}", "Give a JSON, JSONL or CSV file.")
        ) from None
    rows: list[Row] = []
    faults: list[Fault] = []
    for where, line, run in _runs(path, text):
        try:
            rows += _rows(run, setup, line)
        except (KeyError, TypeError, ValueError) as error:
            faults.append(
                Fault(where, f"this run states no {error}", "Save the whole result of the benchmark tool.")
            )
    if not setup.chip:
        faults.append(
            Fault("--chip", "a benchmark result does not name its chip", "Name it: --chip h20-sxm-96gb.")
        )
    if faults:
        raise InputError(faults)
    return rows


def _runs(path: Path, text: str) -> list[tuple[str, int, Mapping[str, Any]]]:
    """Return (place, line, run) of each run in a file."""
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        out = []
        faults = []
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                out.append((f"{path}:{number}", number, json.loads(line)))
            except json.JSONDecodeError as error:
                faults.append(
                    Fault(f"{path}:{number}", f"is not JSON: {error.msg}", "Write one result per line.")
                )
        if faults:
            raise InputError(faults) from None
        return out
    if isinstance(whole, dict) and isinstance(whole.get("benchmarks"), list):
        return [(f"{path}: benchmarks[{k}]", 1, {"guidellm": b}) for k, b in enumerate(whole["benchmarks"])]
    runs = whole if isinstance(whole, list) else [whole]
    return [(f"{path}: [{k}]" if len(runs) > 1 else str(path), 1, run) for k, run in enumerate(runs)]


def _rows(run: Mapping[str, Any], setup: Setup, line: int) -> list[Row]:
    found = _of_guidellm(run["guidellm"]) if "guidellm" in run else _of_bench(run)
    isl, osl, concurrency, rate, values = found
    model = setup.model or str(run.get("model_id") or run.get("model") or "")
    if not model:
        raise KeyError("model (name it with --model)")
    load_text = f"{rate:g} req/s" if rate is not None else f"{concurrency:g}"
    common = Row(
        line=line,
        id="",
        accelerator=setup.chip,
        n_accelerators=str(setup.devices),
        model=model,
        weight_dtype=setup.weight_format,
        kv_dtype="",
        engine=setup.engine,
        parallelism=setup.layout or f"TP{setup.devices}",
        isl=f"{isl:g}",
        osl=f"{osl:g}",
        concurrency_or_batch=load_text,
        metric="",
        value=math.nan,
        regime="latency",
        source="own runs",
        date=str(run.get("date", ""))[:4],
        notes="",
    )
    out = [
        replace(common, metric=metric, value=value) for metric, value in values.items() if value and value > 0
    ]
    if not out:
        raise KeyError("latency or throughput")
    return out


Found = tuple[float, float, float, float | None, dict[str, float | None]]


def _of_bench(run: Mapping[str, Any]) -> Found:
    """VLLM's and SGLang's result: totals over completed requests, means in milliseconds."""
    done = float(run["completed"])
    isl = float(run["total_input_tokens"]) / done
    osl = float(run["total_output_tokens"]) / done
    limit = run.get("max_concurrency")
    rate = float(str(run.get("request_rate") or "inf"))
    values = {
        "ttft_ms": _float(run, "mean_ttft_ms"),
        "tpot_ms": _float(run, "mean_tpot_ms", "mean_itl_ms"),
        "output_tokens_per_s_total": _float(run, "output_throughput"),
    }
    concurrency = float(limit) if limit else min(done, float(run.get("concurrency") or done))
    return isl, osl, concurrency, rate if math.isfinite(rate) and not limit else None, values


def _of_guidellm(run: Mapping[str, Any]) -> Found:
    """GuideLLM's report: distributions of successful requests; its inter-token latency is TPOT by our definition."""
    metrics = run["metrics"]

    def mean(name: str) -> float:
        entry = metrics[name]
        return float(entry.get("successful", entry)["mean"])

    values: dict[str, float | None] = {
        "ttft_ms": mean("time_to_first_token_ms"),
        "tpot_ms": mean("inter_token_latency_ms"),
        "output_tokens_per_s_total": mean("output_tokens_per_second"),
    }
    return (
        mean("prompt_token_count"),
        mean("output_token_count"),
        max(mean("request_concurrency"), 1.0),
        None,
        values,
    )


def _float(run: Mapping[str, Any], *names: str) -> float | None:
    for name in names:
        value = run.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    return None


def learn_own(rows: Sequence[Row], model: Model) -> tuple[Offsets, list[dict[str, object]]]:
    """Return offsets that the runs teach beyond the shipped ones, and how far off each run was before and is after.

    Raises
    ------
    InputError
        rows that cannot be answered, each with the reason
    """
    faults = []
    for row in rows:
        read = read_conditions(row)
        if isinstance(read, Unanswered):
            faults.append(Fault(f"line {row.line}", read.reason, "Mend the row, or leave it out."))
    if faults:
        raise InputError(faults)
    m = load(rows)
    says = predict(m, model)
    before = says.log - m.log_value
    out: Offsets = {}
    groups: dict[tuple[str, str, str], list[int]] = {}
    for i, key in enumerate(m.keys):
        groups.setdefault(("cell", key.at("cell"), metric_of(m, i)), []).append(i)
    after = before.copy()
    for group, members in groups.items():
        value = -float(before[members].sum()) / (
            len(members) + shrinkage(says.deviation[members], says.unknown[members])
        )
        out[group] = (value, len(members))
        after[members] += value
    told: list[dict[str, object]] = [
        {
            "line": row.line,
            "metric": row.metric,
            "measured": row.value,
            "error_before_pct": round(100 * math.expm1(b), 1),
            "error_after_pct": round(100 * math.expm1(a), 1),
            "cell": key.at("cell"),
        }
        for row, b, a, key in zip(m.asked.rows, before, after, m.keys, strict=True)
    ]
    return out, told


def shrinkage(deviation: F64, unknown: F64) -> float:
    """Return how many rows of a user's own the shipped model weighs like: a row's noise over what the model does not know.

    Parameters
    ----------
    deviation, unknown : (rows,) standard deviations of answers with a row's noise and without
    """
    known = float((unknown**2).mean())
    return (float((deviation**2).mean()) - known) / max(known, 1e-6)


def offsets_text(own: Offsets) -> str:
    """Return a calibration file: CSV, one line per cell and metric."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_HEADER)
    for (level, key, metric), (value, rows) in sorted(own.items()):
        lines.writerow([level, key, metric, f"{value:.5f}", rows])
    return text.getvalue()


def read_offsets(path: Path) -> Offsets:
    """Return the offsets of a calibration file that ``performance calibrate`` wrote.

    Raises
    ------
    InputError
        no such file, or lines that are none of its shape, each with its line and field
    """
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(
            Fault(
                str(path),
                f"cannot be read: {error}",
                "Give a file that `entrepot performance calibrate` wrote.",
            )
        ) from None
    if not lines or lines[0] != _HEADER:
        raise InputError(
            Fault(
                f"{path}:1", f"the header is not {','.join(_HEADER)}", "Let `performance calibrate` write it."
            )
        )
    out: Offsets = {}
    faults = []
    for number, cells in enumerate(lines[1:], start=2):
        try:
            level, key, metric, value, rows = cells
            read = (float(value), int(rows))
        except ValueError:
            read, level = (math.nan, 0), ""
        if level in LEVELS and abs(read[0]) <= 3:
            out[level, key, metric] = read
        else:
            faults.append(
                Fault(
                    f"{path}:{number}",
                    f"{','.join(cells)!r} is no offset",
                    "Let `performance calibrate` write it.",
                )
            )
    if faults:
        raise InputError(faults)
    return out
