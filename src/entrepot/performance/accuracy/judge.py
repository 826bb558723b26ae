"""A file of measurements in, every row with its answer out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from entrepot.performance.accuracy.baseline import roofline_coefficients
from entrepot.performance.accuracy.conditions import Conditions, Unanswered, read_conditions
from entrepot.performance.accuracy.names import read_chip, read_model
from entrepot.performance.accuracy.other import kernel_answer, training_answer
from entrepot.performance.accuracy.predict import in_units_of_row
from entrepot.performance.accuracy.report import Judged, group_of
from entrepot.performance.accuracy.rows import Row
from entrepot.performance.calibration.run import Material, Model, load, metric_of, predict
from entrepot.performance.coefficients import coefficients
from entrepot.performance.effects import shipped_effects
from entrepot.performance.intervals import regime, shipped_widths, width
from entrepot.performance.points import answers
from entrepot.performance.records import F64
from entrepot.performance.service import service

__all__ = ["judge_rows", "judged_of", "shipped_model"]

_BANDS = ((4, "1-4"), (16, "5-16"), (64, "17-64"), (math.inf, "above 64"))


def shipped_model() -> Model:
    """Return the model as it is shipped: fitted coefficients and offsets of the data files."""
    return Model(coefficients(), shipped_effects())


def judge_rows(rows: Sequence[Row], model: Model | None = None) -> list[Judged]:
    """Return every row of a file with its answer, its interval and the untuned roofline's answer, in the file's order."""
    used = shipped_model() if model is None else model
    out: dict[int, Judged] = {}
    serving: list[Row] = []
    for place, row in enumerate(rows):
        if row.metric.startswith("kernel") or row.metric.startswith("train") or row.regime == "training":
            out[place] = _other(row)
    serving = [row for place, row in enumerate(rows) if place not in out]
    places = [place for place in range(len(rows)) if place not in out]
    if serving:
        out |= dict(zip(places, _serving(serving, used), strict=True))
    return [out[place] for place in range(len(rows))]


def _serving(rows: Sequence[Row], model: Model) -> list[Judged]:
    by_line: dict[int, Judged] = {}
    readable = [r for r in rows if not isinstance(read_conditions(r), Unanswered)]
    if readable:
        m = load(readable)
        regimes = [regime(model.effects, key) for key in m.keys]
        says = predict(m, model)
        by_line = {id(j.row): j for j in judged_of(m, says.log, says.deviation, regimes)}
    out = []
    for row in rows:
        found = by_line.get(id(row))
        if found is None:
            read = read_conditions(row)
            reason = read.reason if isinstance(read, Unanswered) else "no figure came out of the arithmetic"
            found = _unanswered(row, reason, "serving")
        out.append(found)
    return out


def judged_of(m: Material, log_predicted: F64, deviation: F64, regimes: Sequence[str]) -> list[Judged]:
    """Return the rows of a material with the answers given, in the units of the rows."""
    plain = in_units_of_row(m.asked, answers(m.points, roofline_coefficients()))
    widths = shipped_widths()
    busy = answers(m.points).busy[m.asked.point_of_row]
    out = []
    for i, (row, c) in enumerate(zip(m.asked.rows, m.asked.conditions, strict=True)):
        value = float(np.exp(log_predicted[i])) / _scale(row, c)
        if not math.isfinite(value):
            out.append(_unanswered(row, "no figure came out of the arithmetic", c.harness))
            continue
        sds = width(widths, regimes[i], m.keys[i].harness, metric_of(m, i))[0]
        factor = math.exp(sds * float(deviation[i]))
        said = list(c.assumed)
        if c.harness == "rate" and busy[i] > service().busy_max:
            said.append(f"saturated: the load is {busy[i]:.0%} of what a replica takes")
            if row.metric == "ttft_ms":
                factor *= service().saturated_factor
        if c.harness == "burst":  # no burst taught the model
            wider = {"tpot_s": service().burst_tpot_factor, "ttft_s": service().burst_ttft_factor}
            factor *= wider.get(metric_of(m, i), 1.0)
        band = (
            "as fits" if math.isinf(c.concurrency) else next(n for top, n in _BANDS if c.concurrency <= top)
        )
        out.append(
            Judged(
                row=row,
                predicted=value,
                low=value / factor,
                high=value * factor,
                roofline=float(plain[i]),
                regime=regimes[i],
                chip=c.chip_id,
                model=c.model_id,
                engine=c.stack,
                format=str(c.weight_format),
                kind=c.harness,
                concurrency=band,
                flag=m.flag[i],
                reading="; ".join(said),
                reason="",
            )
        )
    return out


def _scale(row: Row, c: Conditions) -> float:
    """Factor from the row's unit to seconds or tokens per second of one replica (per device for phases)."""
    return {
        "tpot_ms": 1e-3,
        "ttft_ms": 1e-3,
        "output_tokens_per_s_total": 1 / c.replicas,
        "total_tokens_per_s": 1 / c.replicas,
        "output_tokens_per_s_per_gpu": c.devices / c.replicas,
        "prefill_tokens_per_s_per_gpu": c.die,
        "decode_tokens_per_s_per_gpu": c.die,
    }[row.metric]


def _other(row: Row) -> Judged:
    """Kernel and training rows, each by its own formulas."""
    kind = "kernel" if group_of(row.metric) == "kernel" else "training"
    found = kernel_answer(row) if kind == "kernel" else training_answer(row)
    if isinstance(found, str):
        return _unanswered(row, found, kind)
    chip, model = read_chip(row.accelerator), None if kind == "kernel" else read_model(row.model)
    return Judged(
        row=row,
        predicted=found.value,
        low=found.value / found.factor,
        high=found.value * found.factor,
        roofline=found.roofline,
        regime=kind,
        chip=row.accelerator if chip is None else chip.accelerator.id,
        model=row.model if model is None else model.id,
        engine=row.engine,
        format=row.weight_dtype or "not stated",
        kind=kind,
        concurrency="-",
        flag="",
        reading=found.reading,
        reason="",
    )


def _unanswered(row: Row, reason: str, kind: str) -> Judged:
    nan = math.nan
    return Judged(
        row,
        nan,
        nan,
        nan,
        nan,
        "",
        row.accelerator,
        row.model,
        row.engine,
        row.weight_dtype,
        kind,
        "-",
        "",
        "",
        reason,
    )
