"""``python -m entrepot.performance.calibration``: fit the performance model to published measurements and say how good it is.

Reads ``data/measurements.csv`` and, where it is given, the serving table of the wheel ``aiconfigurator-core``; writes
``fitted.toml``, ``effects.csv``, ``intervals.csv`` and ``heldout.csv`` beside the measurements. Nothing is written unless all
of it was made.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import sys
import time
from pathlib import Path

import numpy as np

from entrepot.performance.accuracy.baseline import roofline_coefficients
from entrepot.performance.accuracy.report import judge
from entrepot.performance.calibration.heldout import HELD_BY, coverage, held_by, table_of
from entrepot.performance.calibration.run import physics_log, read_material, train
from entrepot.performance.calibration.write import (
    fitted_toml,
    intervals_csv,
    metrics_of,
    widths_of,
    write_all,
)
from entrepot.performance.effects import text_of_effects
from entrepot.performance.points import answers

_DATA = Path(__file__).parents[1] / "data"


def main() -> int:
    """Fit, hold out, write, report."""
    parser = argparse.ArgumentParser(prog="python -m entrepot.performance.calibration", description=__doc__)
    parser.add_argument(
        "--silicon", type=Path, help="silicon_sample.csv inside an installed aiconfigurator-core"
    )
    parser.add_argument("--out", type=Path, default=_DATA, help="folder to write to")
    parser.add_argument("--day", default=dt.datetime.now(dt.UTC).date().isoformat(), help="date of the fit")
    parser.add_argument(
        "--held",
        default=",".join(HELD_BY),
        help="what to leave out in turn; lines of heldout.csv for what is not named here are kept",
    )
    parser.add_argument("--rounds", type=int, default=6, help="steps of each held-out fit")
    given = parser.parse_args()
    began = time.process_time()

    def say(text: str) -> None:
        sys.stderr.write(f"[{time.process_time() - began:6.1f} s] {text}\n")

    m = read_material(_DATA / "measurements.csv", given.silicon)
    use = np.array([flag == "" for flag in m.flag])
    say(f"{len(m)} serving rows, {len(m.points)} points; {int(use.sum())} may teach")
    model = train(m, use, rounds=14)
    say("fitted")
    plain = physics_log(m, answers(m.points, roofline_coefficients())) - m.log_value
    metrics = metrics_of(m)
    families = [key.harness for key in m.keys]
    pooled: list[
        tuple[float, float, str, str, str, str]
    ] = []  # residual, deviation, regime, harness, metric, curve
    lines: list[dict[str, object]] = []
    asked = [by for by in HELD_BY if by in given.held.split(",")]
    for by in asked:
        held = held_by(m, use, by, rounds=given.rounds, say=say)
        lines += table_of(m, use, by, held, plain)
        if by == "source":  # a source is often a chip and a model as well: its rows would blur the regimes
            continue
        pooled += [
            (
                float(held.residual[i]),
                float(held.deviation[i]),
                held.regime[i],
                families[i],
                metrics[i],
                m.curve[i],
            )
            for i in np.flatnonzero(use & np.isfinite(held.residual))
        ]
    kept = [r for r in _read(given.out / "heldout.csv") if r["left_out"] not in {*asked, "nested"}]
    if set(asked) <= {"source"}:
        nested = [r for r in _read(given.out / "heldout.csv") if r["left_out"] == "nested"]
        write_all(given.out, {"heldout.csv": _csv([*kept, *lines, *nested])})
        return 0
    residuals = np.array([p[0] for p in pooled])
    deviations = np.array([p[1] for p in pooled])
    names, harness = [p[2] for p in pooled], [p[3] for p in pooled]
    metric, curves = [p[4] for p in pooled], [p[5] for p in pooled]
    widths = widths_of(residuals, deviations, names, harness, metric)
    lines += coverage(residuals, deviations, names, harness, metric, curves)
    sources = "measurements.csv" + (
        " and silicon_sample.csv of aiconfigurator-core 0.12.0" if given.silicon else ""
    )
    write_all(
        given.out,
        {
            "fitted.toml": fitted_toml(model, int(use.sum()), given.day, sources),
            "effects.csv": text_of_effects(model.effects),
            "intervals.csv": intervals_csv(widths),
            "heldout.csv": _csv([*kept, *lines]),
        },
    )
    say("written")
    for line in lines:
        if line["slice"] in {"all", "regime"}:
            sys.stdout.write("  ".join(f"{k}={v}" for k, v in line.items() if v is not None) + "\n")
    unused = judge(np.expm1(plain[use]).tolist())
    say(f"untuned roofline on the same rows, all metrics: median {unused['median_pct']} %")
    return 0


def _read(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    return [dict(r) for r in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]


def _csv(lines: list[dict[str, object]]) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
