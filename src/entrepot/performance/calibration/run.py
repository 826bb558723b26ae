"""How is a model made from measurements: rows in, coefficients, effects and their errors out?

``Material`` is the rows with their points; ``train`` fits coefficients and effects on some of them; ``predict`` answers any.
Held-out figures come from training again, from the starting values, without the rows that are held out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from entrepot.performance.accuracy.conditions import Conditions
from entrepot.performance.accuracy.predict import Asked, ask
from entrepot.performance.accuracy.rows import Row, read_rows
from entrepot.performance.calibration.clean import flags
from entrepot.performance.calibration.fit import KINDS, STRENGTH, Fit, Observations, fit
from entrepot.performance.calibration.mixed import learn_effects
from entrepot.performance.calibration.silicon import silicon_rows
from entrepot.performance.coefficients import ARCHITECTURES, Coefficients, coefficients
from entrepot.performance.effects import Effects, Rows
from entrepot.performance.effects import predict as ask_effects
from entrepot.performance.features import features
from entrepot.performance.intervals import regime
from entrepot.performance.offsets import Key, same_model
from entrepot.performance.points import Answers, Points, answers, points
from entrepot.performance.records import F64

__all__ = [
    "Held",
    "Material",
    "Model",
    "Predicted",
    "folds",
    "held_out",
    "key_of",
    "load",
    "metric_of",
    "physics_log",
    "predict",
    "read_material",
    "train",
]

Mask = NDArray[np.bool_]
TAUGHT = {"closed", "burst", "offline", "static", "prefill", "decode", "load", "rate"}
_KIND_OF = {
    "ttft_ms": "ttft_s",
    "tpot_ms": "tpot_s",
    "output_tokens_per_s_total": "output_per_s",
    "output_tokens_per_s_per_gpu": "output_per_s",
    "total_tokens_per_s": "total_per_s",
    "prefill_tokens_per_s_per_gpu": "prefill_per_s",
    "decode_tokens_per_s_per_gpu": "decode_per_s",
}


@dataclass(frozen=True, slots=True)
class Material:
    """Serving rows ready to teach or to be answered; (rows,) each.

    ``log_value`` is in seconds or tokens/s of one replica; ``flag`` says why a row may not teach.
    """

    asked: Asked
    points: Points
    kind: NDArray[np.int64]
    log_value: F64
    keys: tuple[Key, ...]
    flag: tuple[str, ...]
    weight: F64
    curve: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.asked.rows)


@dataclass(frozen=True, slots=True)
class Model:
    """Coefficients and effects."""

    coefficients: Coefficients
    effects: Effects
    fit: Fit | None = None


def key_of(c: Conditions, arch: str) -> Key:
    """Return what a row's offsets are keyed by."""
    return Key(
        harness=family(c.harness),
        arch=arch,
        chip=c.chip_id,
        stack=c.stack,
        version=c.engine_version,
        model=same_model(c.model_id),
        format=str(c.weight_format),
        lengths=f"{c.isl:g}/{c.osl:g}",
        layout=f"tp{c.tp}dp{c.dp}ep{c.ep}",
        kind="moe" if c.model.model.n_experts else "dense",
        pattern="equal" if c.equal else "mixed",
        source=c.source,
    )


def family(harness: str) -> str:
    """Harnesses that share offsets: a closed loop and arrivals at a rate; all queued at once; the others by name."""
    return {"rate": "closed", "burst": "closed", "static": "static"}.get(harness, harness)


def load(rows: Sequence[Row]) -> Material:
    """Return rows as material."""
    asked = ask(rows)
    at = points(asked.points)
    fits = answers(at, coefficients(fitted=False)).fits
    arch = [ARCHITECTURES[at.arch[i]] for i in asked.point_of_row]
    value = np.array([r.value for r in asked.rows])
    replicas = np.array([c.replicas for c in asked.conditions])
    devices = np.array([c.devices for c in asked.conditions])
    die = np.array([c.die for c in asked.conditions])
    metric = np.array([r.metric for r in asked.rows])
    scale = np.ones(len(value))
    scale[np.isin(metric, ["ttft_ms", "tpot_ms"])] = 1e-3
    total = np.isin(metric, ["output_tokens_per_s_total", "total_tokens_per_s"])
    scale[total] = 1 / replicas[total]
    per = metric == "output_tokens_per_s_per_gpu"
    scale[per] = devices[per] / replicas[per]
    phase = np.isin(metric, ["prefill_tokens_per_s_per_gpu", "decode_tokens_per_s_per_gpu"])
    scale[phase] = die[phase]
    flag = flags(asked.rows, asked.conditions, [float(f) for f in fits[asked.point_of_row]])
    curve = tuple(
        "|".join(
            (
                c.chip_id,
                key_of(c, "").model,
                c.stack,
                c.engine_version,
                str(c.weight_format),
                f"{c.tp}.{c.dp}.{c.ep}",
                f"{c.isl:g}.{c.osl:g}",
            )
        )
        for c in asked.conditions
    )
    with np.errstate(invalid="ignore"):
        log_value = np.log(value * scale)
    return Material(
        asked=asked,
        points=at,
        kind=np.array([KINDS.index(_KIND_OF[m]) for m in metric], dtype=np.int64),
        log_value=log_value,
        keys=tuple(key_of(c, a) for c, a in zip(asked.conditions, arch, strict=True)),
        flag=tuple(flag),
        weight=np.where(metric == "ttft_ms", 0.6, 1.0),
        curve=curve,
    )


def train(
    m: Material, use: Mask, *, rounds: int = 12, start: Coefficients | None = None, strength: float = STRENGTH
) -> Model:
    """Return the model that the rows in ``use`` teach, from the starting values of the data files."""
    taught = use & np.array([c.harness in TAUGHT for c in m.asked.conditions]) & np.isfinite(m.log_value)
    index = np.flatnonzero(taught)
    counts: dict[str, int] = {}
    for i in index:
        counts[m.curve[i]] = counts.get(m.curve[i], 0) + 1
    crowd = np.array([min(1.0, (16 / counts[m.curve[i]]) ** 0.5) for i in index])
    observed = Observations(
        m.asked.point_of_row[index], m.kind[index], m.log_value[index], m.weight[index] * crowd
    )
    base = coefficients(fitted=False) if start is None else start
    fitted = fit(m.points, observed, base, rounds=rounds, strength=strength)
    found = answers(m.points, fitted.coefficients)
    raw = physics_log(m, found)
    table = learn_effects(rows_of(m, fitted.coefficients, found), m.log_value - raw, use)
    return Model(fitted.coefficients, table, fitted)


def rows_of(m: Material, values: Coefficients, found: Answers) -> Rows:
    """Return the rows as the effects read them: keys, metrics, and slopes under these coefficients."""
    slopes = features(m.points, values, found)
    metrics = [metric_of(m, i) for i in range(len(m))]
    return Rows.of(m.keys, metrics, {name: x[m.asked.point_of_row] for name, x in slopes.items()})


def metric_of(m: Material, i: int) -> str:
    """Which offset a row teaches and uses: the two times by name, every rate as ``rate``."""
    kind = KINDS[m.kind[i]]
    return kind if kind in {"ttft_s", "tpot_s"} else "rate"


def physics_log(m: Material, found: Answers) -> F64:
    """Return the logarithm of the physics' answer for each row, before offsets."""
    table = np.stack([getattr(found, name) for name in KINDS])
    with np.errstate(divide="ignore", invalid="ignore"):
        out: F64 = np.log(table[m.kind, m.asked.point_of_row])
    return out


@dataclass(frozen=True, slots=True)
class Predicted:
    """Logarithm of the model's answer for each row, its standard deviation, and that without a row's noise; (rows,) each."""

    log: F64
    deviation: F64
    unknown: F64


def predict(m: Material, model: Model, found: Answers | None = None) -> Predicted:
    """Return the model's answer for each row, with effects.

    The rate of a closed loop in a cell whose rate was not measured follows from its latencies by Little's law.
    """
    at = answers(m.points, model.coefficients) if found is None else found
    rows = rows_of(m, model.coefficients, at)
    says = ask_effects(model.effects, rows)
    out = physics_log(m, at) + says.mean
    kinds = np.array([KINDS[k] for k in m.kind])
    derived = np.isin(kinds, ["output_per_s", "total_per_s"]) & np.array(
        [
            c.harness == "closed" and f"{k.chip}|{k.stack}|{k.model}|{k.format}|{k.version}" not in measured
            for measured in [model.effects.values.get(("release", "rate"), {})]
            for c, k in zip(m.asked.conditions, m.keys, strict=True)
        ],
        dtype=bool,
    )
    if derived.any():
        ttft, tpot = (
            np.exp(ask_effects(model.effects, replace(rows, metric=np.full(len(m), name))).mean)
            * getattr(at, name)[m.asked.point_of_row]
            for name in ("ttft_s", "tpot_s")
        )
        osl = np.array([max(c.osl * c.length_factor, 1.0) for c in m.asked.conditions])
        both = np.array([1 + c.isl / c.osl for c in m.asked.conditions])
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = at.in_system[m.asked.point_of_row] * osl / (ttft + (osl - 1) * tpot)
            log_rate = np.log(np.where(kinds == "total_per_s", rate * both, rate))
        out = np.where(derived & np.isfinite(log_rate), log_rate, out)
    return Predicted(out, np.sqrt(says.variance), np.sqrt(says.known))


def read_material(measurements: Path, silicon: Path | None) -> Material:
    """Return the repository's rows, and those of the wheel where it is installed, each run once."""
    rows = read_rows(measurements)
    if silicon is not None:
        rows = [r for r in rows if "silicon_sample" not in r.source] + silicon_rows(silicon)
    return load(rows)


def folds(m: Material, by: str, *, seed: int = 0) -> list[Mask]:
    """Return the rows that each fold holds out.

    Parameters
    ----------
    by : ``curve`` (five folds of whole benchmark curves), ``chip``, ``model`` or ``source``: each in its turn
    """
    if by == "curve":
        # DeepSeek-V3 and R1 are one model here, so that a run under both names is held out whole
        names = np.array(["|".join(c.split("|")[:3]) + c for c in m.curve])
        unique = np.unique(names)
        order = np.random.default_rng(seed).permutation(len(unique))
        place = dict(zip(unique[order], np.arange(len(unique)) % 5, strict=True))
        fold = np.array([place[n] for n in names])
        return [fold == k for k in range(5)]
    values = np.array(
        [
            {"chip": c.chip_id, "model": key.model, "source": c.source}[by]
            for c, key in zip(m.asked.conditions, m.keys, strict=True)
        ]
    )
    return [values == v for v in np.unique(values)]


@dataclass(frozen=True, slots=True)
class Held:
    """Rows answered by models that never saw them; (rows,) each.

    ``residual`` is log(predicted / measured), ``deviation`` and ``unknown`` its standard deviation with a row's noise and
    without, ``regime`` what those models knew.
    """

    residual: F64
    deviation: F64
    unknown: F64
    regime: tuple[str, ...]


def held_out(
    m: Material,
    use: Mask,
    held: Sequence[Mask],
    *,
    rounds: int = 8,
    strength: float = STRENGTH,
    say: Callable[[str], None] | None = None,
) -> Held:
    """Answer every row that a fold holds out by a model trained, from the starting values, without that fold."""
    out, deviation, unknown = (np.full(len(m), np.nan) for _ in range(3))
    names = [""] * len(m)
    for k, mask in enumerate(held):
        model = train(m, use & ~mask, rounds=rounds, strength=strength)
        says = predict(m, model)
        out[mask] = (says.log - m.log_value)[mask]
        deviation[mask], unknown[mask] = says.deviation[mask], says.unknown[mask]
        for i in np.flatnonzero(mask):
            names[i] = regime(model.effects, m.keys[i])
        if say is not None:
            say(f"fold {k + 1} of {len(held)}: {int(mask.sum())} rows held out")
    return Held(out, deviation, unknown, tuple(names))
