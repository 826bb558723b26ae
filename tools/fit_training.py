"""Place the constants of training on one part of the published rows, and say how far off the others are.

    python tools/fit_training.py tests/performance/training.csv

The part fitted on: MPT on H100 (llm-foundry), and Megatron-Bridge releases of 2025. The part tried on: everything else, among it
the A100, A800 and C500, Megatron-Bridge releases of 2026, InternEvo, DeepSpeed and Megatron-LM. Prints the constants to write into
``data/training.toml``, and the errors of both parts.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from entrepot.catalogue.records import NumberFormat
from entrepot.performance.training import Constants, constants, model_operations
from entrepot.performance.training_rows import Conditions, conditions, predict, published_rate

# where the fit begins, and is weakly pulled to: shares of kernels, unfused bytes and launches of the order of published profiles
BEGIN = {
    "dense_share": 0.9,
    "expert_share": 0.45,
    "attention_share": 0.4,
    "elementwise_bytes": 300.0,
    "launch_us": 300.0,
    "exposed": 0.3,
    "all_to_all_exposed": 0.4,
}
FREE = tuple(BEGIN)


def fitted_on(row: dict[str, str]) -> bool:
    """Whether a row belongs to the part that the constants are placed on."""
    return (row["id"].startswith("foundry") and row["accelerator"].startswith("H100")) or (
        row["id"].startswith("mbridge") and row["date"].startswith("2025")
    )


def measured(row: dict[str, str], at: Conditions) -> float:
    """Return tokens per second and device: as stated, else from the model's own operations."""
    rate = published_rate(row)
    if rate is not None:
        return rate
    value = float(row["value"])
    if row["metric"] == "train_mfu":
        peak = at.on.rate_16 if at.run.format is NumberFormat.BF16 else at.on.rates[at.run.format]
        value = (value / 100 if value > 1 else value) * peak / 1e12
    return value * 1e12 / model_operations(at.of, at.run.sequence, at.run.method)


def read(path: Path) -> list[tuple[dict[str, str], Conditions, float]]:
    """Return every row that can be read, with its rate."""
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    out = []
    for row in rows:
        at = conditions(row)
        if not isinstance(at, str):
            out.append((row, at, measured(row, at)))
    return out


def errors(data: list[tuple[dict[str, str], Conditions, float]], using: Constants) -> np.ndarray:
    """Return log(predicted / measured) of each row."""
    return np.array([np.log(predict(at, using).tokens_per_s_per_device / rate) for _, at, rate in data])


def main() -> int:
    """Fit, and print."""
    data = read(Path(sys.argv[1]))
    part = [d for d in data if fitted_on(d[0])]
    rest = [d for d in data if not fitted_on(d[0])]
    start = constants()
    begin = np.log(list(BEGIN.values()))

    def using(x: np.ndarray) -> Constants:
        values = dict(zip(FREE, np.exp(x), strict=True))
        for name in ("dense_share", "expert_share", "attention_share", "exposed", "all_to_all_exposed"):
            values[name] = min(values[name], 1.0)
        return replace(start, **values)

    def residuals(x: np.ndarray) -> np.ndarray:
        return np.concatenate([errors(part, using(x)), 0.3 * (x - begin)])  # a weak pull to where it began

    found = using(least_squares(residuals, begin, loss="soft_l1", f_scale=0.15).x)
    for name in FREE:
        print(f"{name} = {getattr(found, name):.3g}")
    for name, some in (("fitted on", part), ("tried on", rest)):
        e = errors(some, found)
        print(
            f"{name}: {len(some)} rows, median error {np.median(np.abs(np.exp(e) - 1)):.1%}, "
            f"bias {np.expm1(np.median(e)):+.1%}, P90 x/÷ {np.exp(np.quantile(np.abs(e), 0.9)):.2f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
