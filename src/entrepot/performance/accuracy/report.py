"""How good are the answers, row by row and slice by slice?

Error is predicted / measured - 1: mean and median of its size, bias (the median with its sign), the 90th percentile of its
size, and the share of rows inside their own 90 % interval. Coverage counts every row of a file: what cannot be answered is
listed with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from entrepot.performance.accuracy.rows import Row

__all__ = ["SLICES", "Judged", "group_of", "judge", "reasons", "slices"]

SLICES = ("all", "chip", "model", "engine", "format", "kind", "source", "concurrency", "regime", "teaching")


@dataclass(frozen=True, slots=True)
class Judged:
    """One row with its answer; ``predicted`` is NaN where there is none and ``reason`` says why.

    ``flag`` is why the row may not teach, empty where it may; ``reading`` how its blanks were read.
    """

    row: Row
    predicted: float
    low: float
    high: float
    roofline: float
    regime: str
    chip: str
    model: str
    engine: str
    format: str
    kind: str
    concurrency: str
    flag: str
    reading: str
    reason: str

    @property
    def answered(self) -> bool:
        """Whether there is an answer."""
        return bool(np.isfinite(self.predicted))


def group_of(metric: str) -> str:
    """Return the group of metrics that is reported together."""
    if metric == "tpot_ms":
        return "TPOT"
    if metric == "ttft_ms":
        return "TTFT"
    if metric.startswith("train"):
        return "training"
    return "kernel" if metric.startswith("kernel") else "throughput"


def kind_of(j: Judged) -> str:
    """Return the group of a judged row: training rows may be stated in tokens per second."""
    return "training" if j.kind == "training" else group_of(j.row.metric)


def judge(errors: Sequence[float]) -> dict[str, float | None]:
    """Return mean, median, bias and P90 of errors in percent; ``None`` where there are none.

    Parameters
    ----------
    errors : predicted / measured - 1
    """
    e = np.asarray([x for x in errors if np.isfinite(x)])
    if not len(e):
        return {"mean_pct": None, "median_pct": None, "bias_pct": None, "p90_pct": None}
    size = np.abs(e)
    return {
        "mean_pct": round(float(size.mean()) * 100, 1),
        "median_pct": round(float(np.median(size)) * 100, 1),
        "bias_pct": round(float(np.median(e)) * 100, 1),
        "p90_pct": round(float(np.quantile(size, 0.9)) * 100, 1),
    }


_KEYS: Mapping[str, Callable[[Judged], str]] = {
    "all": lambda _: "all",
    "chip": lambda j: j.chip,
    "model": lambda j: j.model,
    "engine": lambda j: j.engine,
    "format": lambda j: j.format,
    "kind": lambda j: j.kind,
    "source": lambda j: j.row.source[:60] or "not stated",
    "concurrency": lambda j: j.concurrency,
    "regime": lambda j: j.regime or "-",
    "teaching": lambda j: j.flag or "clean",
}


def slices(judged: Sequence[Judged], by: Sequence[str]) -> list[dict[str, object]]:
    """Return one row per slice and group of metrics: counts, coverage, errors, the roofline's, interval coverage."""
    out: list[dict[str, object]] = []
    for name in by:
        groups: dict[tuple[str, str], list[Judged]] = {}
        for j in judged:
            groups.setdefault((_KEYS[name](j), kind_of(j)), []).append(j)
        for (value, metric), members in sorted(groups.items()):
            scored = [j for j in members if j.answered and np.isfinite(j.row.value)]
            errors = [j.predicted / j.row.value - 1 for j in scored]
            plain = [j.roofline / j.row.value - 1 for j in scored if np.isfinite(j.roofline)]
            held = [j.low <= j.row.value <= j.high for j in scored if np.isfinite(j.low)]
            out.append(
                {
                    "slice": name,
                    "value": value,
                    "metric": metric,
                    "rows": len(members),
                    "answered": sum(j.answered for j in members),
                    "coverage_pct": round(100 * sum(j.answered for j in members) / len(members), 1),
                    **judge(errors),
                    "roofline_median_pct": judge(plain)["median_pct"],
                    "interval_rows": len(held),
                    "interval_coverage_pct": round(100 * float(np.mean(held)), 1) if held else None,
                    "interval_factor_median": (
                        round(
                            float(np.median([j.high / j.predicted for j in scored if np.isfinite(j.high)])), 2
                        )
                        if held
                        else None
                    ),
                }
            )
    return out


def reasons(judged: Sequence[Judged]) -> list[dict[str, object]]:
    """Return why rows were not answered, most first."""
    count: dict[str, int] = {}
    for j in judged:
        if not j.answered:
            count[j.reason] = count.get(j.reason, 0) + 1
    return [{"rows": n, "reason": why} for why, n in sorted(count.items(), key=lambda kv: (-kv[1], kv[0]))]
