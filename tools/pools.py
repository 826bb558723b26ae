"""How near does the model come to published runs of separate pools? ``python tools/pools.py SILICON``.

Reads ``silicon_sample.csv`` of the Apache-2.0 wheel ``aiconfigurator-core`` where it is installed (see ``make calibrate``): its
disaggregated points that state workers and layout of both pools. Prints the errors of the pools' closed loop with the fitted
coefficients, which no such point taught; then with one factor on either time, learned without each chip and each model in its
turn; and the factor on the rate that covers nine of ten.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from entrepot.catalogue.records import NumberFormat
from entrepot.performance.accuracy.names import read_chip, read_model
from entrepot.performance.accuracy.report import judge
from entrepot.performance.calibration.silicon import chip_name
from entrepot.performance.chip import GB
from entrepot.performance.coefficients import coefficients
from entrepot.performance.columns import Columns
from entrepot.performance.disaggregated import closed_pools
from entrepot.performance.efficiency import serving
from entrepot.performance.memory import cache_bytes
from entrepot.performance.points import Point, fill, points
from entrepot.performance.records import F64

_FORMATS = {
    "fp4": NumberFormat.FP4,
    "fp8": NumberFormat.FP8,
    "bf16": NumberFormat.BF16,
    "": NumberFormat.BF16,
}


@dataclass(frozen=True, slots=True)
class Run:
    """One published run: the two pools, requests in flight, and what was measured, seconds."""

    prefill: Point
    decode: Point
    workers: tuple[float, float]
    concurrency: float
    ttft_s: float
    tpot_s: float
    chip: str
    model: str
    engine: str


def read(path: Path) -> tuple[list[Run], int]:
    """Return the runs that state both pools, and how many disaggregated points there are in all."""
    runs, every = [], 0
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["mode"] == "agg":
                continue
            every += 1
            found = _run(row)
            if found is not None:
                runs.append(found)
    return runs, every


def _run(row: Mapping[str, str]) -> Run | None:
    chip, model = read_chip(chip_name(row["system"])), read_model(row["model_path"].split("/")[-1])
    asked = re.search(r"silicon_concurrency=(\d+)", row["silicon_data_source"])
    if chip is None or model is None or asked is None:
        return None
    if not (row["prefill_num_workers"] and row["decode_num_workers"]):
        return None

    def pool(name: str) -> Point:
        tp, dp = int(row[f"{name}_tp_size"] or 1), int(row[f"{name}_attention_dp_size"] or 1)
        return Point(
            accelerator=chip.accelerator,
            model=model.model,
            weight_format=_FORMATS[row["precision"]],
            kv_bits=16,
            kv_held_bits=8,
            engine=row["backend"],
            tp=tp,
            dp=dp,
            ep=int(row[f"{name}_moe_ep_size"] or 1),
            pp=1,
            isl=0.9 * float(row["isl"]),
            osl=0.9 * float(row["osl"]),
        )

    return Run(
        prefill=pool("prefill"),
        decode=pool("decode"),
        workers=(float(row["prefill_num_workers"]), float(row["decode_num_workers"])),
        concurrency=float(asked.group(1)),
        ttft_s=float(row["silicon_ttft_ms"]) / 1e3,
        tpot_s=float(row["silicon_tpot_ms"]) / 1e3,
        chip=chip.accelerator.id,
        model=model.id,
        engine=row["backend"],
    )


def predicted(runs: list[Run]) -> tuple[F64, F64]:
    """Return TTFT and TPOT, seconds, of each run."""
    values = coefficients()
    pools: list[Columns] = [
        fill(points([getattr(r, name) for r in runs]), values) for name in ("prefill", "decode")
    ]

    def column(numbers: list[float]) -> F64:
        return np.array(numbers)[:, None]

    workers = tuple(column([r.workers[k] for r in runs]) for k in (0, 1))
    at = pools[0]
    crossing = cache_bytes(at, at, at.isl, np.minimum(at.isl, at.window), 8) / (
        serving().scaleout_gb_s * serving().scaleout_share * GB
    )
    ttft, tpot = closed_pools(
        pools[0],
        pools[1],
        (workers[0], workers[1]),
        column([r.concurrency for r in runs]),
        np.asarray(crossing),
    )
    return ttft[:, 0], tpot[:, 0]


def main() -> int:
    """Print the errors."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    runs, every = read(Path(sys.argv[1]))
    sys.stdout.write(f"{len(runs)} of {every} disaggregated points state both pools\n")
    ttft, tpot = predicted(runs)
    measured = np.array([[r.ttft_s, r.tpot_s] for r in runs])
    osl = np.array([r.decode.osl for r in runs])

    def rate(first: F64, each: F64) -> F64:
        return 1.0 / (first + (osl - 1) * each)

    off = np.stack(
        [
            np.log(ttft / measured[:, 0]),
            np.log(tpot / measured[:, 1]),
            np.log(rate(ttft, tpot) / rate(measured[:, 0], measured[:, 1])),
        ]
    )
    names = ("TTFT", "TPOT", "rate")

    def tell(label: str, errors: F64) -> None:
        for name, values in zip(names, errors, strict=True):
            found = judge(np.expm1(values).tolist())
            wide = float(np.exp(np.quantile(np.abs(values), 0.9)))
            sys.stdout.write(
                f"{label:34s} {name:5s} n {len(values):3d} median {found['median_pct']:5.1f} % "
                f"bias {found['bias_pct']:+6.1f} % P90 {found['p90_pct']:6.1f} % nine of ten within {wide:.2f}\n"
            )

    tell("as the coefficients say", off)
    for by in ("engine", "chip", "model"):
        for value in sorted({getattr(r, by) for r in runs}):
            tell(f"  {value}", off[:, np.array([getattr(r, by) == value for r in runs])])
    engine = np.array([r.engine for r in runs])
    for by in ("chip", "model"):
        keys = np.array([getattr(r, by) for r in runs])
        held = off.copy()
        for value in np.unique(keys):
            for name in np.unique(engine):
                taught, asked = (keys != value) & (engine == name), (keys == value) & (engine == name)
                if taught.any():
                    held[:, asked] -= np.median(off[:, taught], axis=1, keepdims=True)
        tell(f"a factor per engine, {by} left out", held)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
