"""``entrepot performance accuracy``: how far from published measurements are the model's answers?"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from cyclopts import Parameter

from entrepot.cli.output import Output, Row, emit, note
from entrepot.errors import Fault, InputError
from entrepot.performance.accuracy.judge import judge_rows, judged_of
from entrepot.performance.accuracy.report import SLICES, Judged, reasons, slices
from entrepot.performance.accuracy.rows import read_rows, shipped_path
from entrepot.performance.calibration.heldout import held_by
from entrepot.performance.calibration.run import load

__all__ = ["accuracy"]

HeldOut = Literal["curve", "chip", "model", "source"]


def accuracy(
    file: Path | None = None,
    *,
    by: str = "all,kind",
    held_out: HeldOut | None = None,
    predictions: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Answer every row of a file of measurements from its conditions alone, and say how far off the answers are.

        entrepot performance accuracy my-measurements.csv
        entrepot performance accuracy my-measurements.csv --by all,chip,model,source -o json
        entrepot performance accuracy --held-out chip

    The file has the header of the project's own `measurements.csv`; without FILE that one is read. Each slice shows rows,
    answers, mean, median, bias and 90th percentile of predicted / measured - 1 in percent, the median error of an untuned
    roofline on the same rows, and how many measured values lie in their 90 % interval. Rows without an answer are counted
    with the reason. The value of a row is never looked at before its answer stands.

    Rows of the shipped file have taught the model; `--held-out` refits it without each curve, chip, model or source in
    turn and shows what it then says of the rows it never saw (one to three minutes).

    Parameters
    ----------
    file
        measurements in the shape of measurements.csv
    by
        slices to show: all, chip, model, engine, format, kind, source, concurrency, regime, teaching
    held_out
        refit without each curve, chip, model or source, on the shipped rows
    predictions
        write each row with its answer, interval and reading to this CSV file
    """
    wanted = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in SLICES]
    if unknown or not wanted:
        raise InputError(
            Fault(
                "--by", f"no slice {', '.join(unknown) or 'named'}", f"The slices are: {', '.join(SLICES)}."
            )
        )
    if held_out is not None:
        if file is not None:
            raise InputError(
                Fault(
                    "--held-out",
                    "refits on the shipped rows; a FILE is judged as it is",
                    "Leave one of them out.",
                )
            )
        judged = _held_out(held_out)
    else:
        judged = judge_rows(read_rows(shipped_path() if file is None else file))
    if predictions is not None:
        _write(predictions, judged)
    tables: dict[str, list[Row]] = {
        "errors": list(slices(judged, wanted)),
        "unanswered": list(reasons(judged)),
    }
    clean = [j for j in judged if not j.flag]
    if len(clean) < len(judged):
        tables["errors_of_clean_rows"] = list(slices(clean, wanted[:1]))
    emit(
        tables,
        kind="accuracy",
        output=output or Output(),
        titles={
            "errors": "Errors of all rows as they stand, in percent",
            "unanswered": "Rows without an answer",
            "errors_of_clean_rows": "The same without rows that the cleaning rules doubt (docs/performance.md)",
        },
    )


def _held_out(by: HeldOut) -> list[Judged]:
    """Return the shipped rows, each judged by a model that never saw its curve, chip, model or source."""
    m = load([r for r in read_rows(shipped_path()) if not r.metric.startswith("kernel")])
    use = np.array([flag == "" for flag in m.flag])
    held = held_by(m, use, by, say=note)
    return judged_of(m, held.residual + m.log_value, held.deviation, held.regime)


def _write(path: Path, judged: Sequence[Judged]) -> None:
    names = [
        "line",
        "id",
        "metric",
        "measured",
        "predicted",
        "low",
        "high",
        "roofline",
        "regime",
        "chip",
        "model",
        "engine",
        "format",
        "kind",
        "concurrency",
        "doubted",
        "reading",
        "reason",
    ]
    with path.open("w", encoding="utf-8", newline="") as lines:
        out = csv.writer(lines)
        out.writerow(names)
        for j in judged:
            figures = [
                "" if math.isnan(x) else f"{x:.6g}"
                for x in (j.row.value, j.predicted, j.low, j.high, j.roofline)
            ]
            out.writerow(
                [
                    j.row.line,
                    j.row.id,
                    j.row.metric,
                    *figures,
                    j.regime,
                    j.chip,
                    j.model,
                    j.engine,
                    j.format,
                    j.kind,
                    j.concurrency,
                    j.flag,
                    j.reading,
                    j.reason,
                ]
            )
    note(f"wrote {path}")
