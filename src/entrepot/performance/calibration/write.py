"""What does the fit leave behind? Data with provenance: coefficients, effects, widths of intervals."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import numpy as np

from entrepot.performance.calibration.fit import STRENGTH
from entrepot.performance.calibration.run import Material, Model, metric_of
from entrepot.performance.coefficients import ARCHITECTURES, ENGINES
from entrepot.performance.intervals import Width, conformal, regime
from entrepot.performance.records import F64

__all__ = ["fitted_toml", "intervals_csv", "widths_of", "write_all"]

_LAW = "law_c"
_SURE = 100  # residuals from which a regime stands on its own


def fitted_toml(model: Model, rows: int, day: str, sources: str) -> str:
    """Return ``fitted.toml``: every coefficient that the fit moved, beside what it started from."""
    if model.fit is None:
        raise ValueError("the model was not fitted")
    factors = model.fit.factors
    out = [
        "# Written by `make calibrate`: do not edit by hand. Each value takes the place of the starting value of the same",
        "# name in efficiency.toml or serving.toml; its source says what it started from.",
        "",
        "[about]",
        f'date = "{day}"',
        f"rows = {rows}",
        f'sources = "{sources}"',
        f"pull = {STRENGTH}",
        f"median_error = {float(np.median(np.abs(np.expm1(model.fit.residuals)))):.4f}",
    ]

    def line(name: str, value: float, start: float) -> str:
        said = f"fit of {rows} rows ({day}); started from {start:.4g}"
        return f'{name} = {{ value = {value:.6g}, kind = "fitted", source = "{said}" }}'

    for k, arch in enumerate(ARCHITECTURES):
        names = sorted({n for (g, row, n) in factors if g == "architecture" and row in {arch, "*"}})
        out += ["", f"[architecture.{arch}]"]
        for name in names:
            factor = factors.get(("architecture", "*", name), 1.0) * factors.get(
                ("architecture", arch, name), 1.0
            )
            value = float(model.coefficients.arch[name][k])
            if np.isfinite(value):
                shares = name not in {"layer_us", _LAW}
                out.append(line(name, min(value, 1.0) if shares else value, value / factor))
    for k, name_ in enumerate(ENGINES):
        out += ["", f"[engine.{name_}]"]
        for name in sorted({n for (g, row, n) in factors if g == "engine" and row == name_}):
            value = float(model.coefficients.engine[name][k])
            out.append(line(name, value, value / factors["engine", name_, name]))
    out += ["", "[constants.step]"]
    for name in sorted({n for (g, _, n) in factors if g == "step"}):
        value = model.coefficients.step[name]
        out.append(line(name, value, value / factors["step", "", name]))
    return "\n".join(out) + "\n"


def widths_of(
    residuals: F64,
    deviations: F64,
    regimes: list[str],
    harness: list[str],
    metrics: list[str],
    *,
    least: int = 60,
) -> dict[tuple[str, str, str], Width]:
    """Return the conformal width of each regime and metric in deviations, by harness where enough rows stand behind it."""
    out: dict[tuple[str, str, str], Width] = {}
    groups: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for r, sd, name, h, metric in zip(residuals, deviations, regimes, harness, metrics, strict=True):
        if np.isfinite(r) and np.isfinite(sd):
            groups.setdefault((name, "any", metric), []).append((float(r), float(sd)))
            groups.setdefault((name, h, metric), []).append((float(r), float(sd)))
    for group, values in groups.items():
        if group[1] == "any" or len(values) >= least:
            r, sd = np.array(values).T
            sds = math.log(conformal(r / sd))
            out[group] = (sds, float(np.exp(sds * np.median(sd))), len(values))
    for (name, h, metric), (_, _, n) in list(out.items()):
        # few rows are the only ones of a new cell when one chip or model is left out: what both left-outs say is surer
        apart = [out.get((other, "any", metric)) for other in ("chip unseen", "model unseen")]
        both = [w for w in apart if w is not None]
        if name == "new cell" and n < _SURE and len(both) == len(apart):
            out[name, h, metric] = (max(w[0] for w in both), max(w[1] for w in both), n)
    return out


def intervals_csv(widths: dict[tuple[str, str, str], Width]) -> str:
    """Return ``intervals.csv``."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["regime", "harness", "metric", "sds", "factor", "rows"])
    for (name, h, metric), (sds, factor, rows) in sorted(widths.items()):
        lines.writerow([name, h, metric, f"{sds:.4f}", f"{factor:.4f}", rows])
    return text.getvalue()


def regimes_under(m: Material, model: Model) -> list[str]:
    """Return how much of each row's key a model knows."""
    return [regime(model.effects, key) for key in m.keys]


def metrics_of(m: Material) -> list[str]:
    """Return the offset metric of each row."""
    return [metric_of(m, i) for i in range(len(m))]


def write_all(folder: Path, files: dict[str, str]) -> None:
    """Write the data files, all or none: first beside their places, then into them."""
    drafts = []
    for name, text in files.items():
        draft = folder / f".{name}.draft"
        draft.write_text(text, encoding="utf-8")
        drafts.append((draft, folder / name))
    for draft, place in drafts:
        draft.replace(place)
