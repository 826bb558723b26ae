"""By how much does this engine, on this model, on this chip run faster or slower than the physics says?

A mixed model of the logarithm measured / physics: every level (stack, version, model, chip, cell ...) has random effects,
each a constant and slopes over load, lengths and shares of time, all fitted at once. What was never measured has effects
of mean zero and the variance of its level, so that an answer knows how little it knows. Latencies and rates of a closed
loop share effects of pace; a rate of work that is queued has effects of its own. ``make calibrate`` writes
``data/effects.csv``; ``calibration/mixed.py`` fits it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from entrepot.performance.records import F64

__all__ = [
    "CHANNELS",
    "TERMS",
    "Effects",
    "Posterior",
    "Rows",
    "Term",
    "effects_of_text",
    "loadings",
    "predict",
    "shipped_effects",
    "text_of_effects",
]

I64 = NDArray[np.int64]
FIELDS = (
    "harness",
    "arch",
    "chip",
    "stack",
    "version",
    "model",
    "format",
    "lengths",
    "layout",
    "kind",
    "pattern",
    "source",
)
CELL = ("stack", "model", "format")  # terms that hold these are local to a group of rows


@dataclass(frozen=True, slots=True)
class Term:
    """One level of effects.

    Attributes
    ----------
    channel : which metrics it moves: ``pace`` (TPOT up, closed rate down, TTFT by half), ``ttft``, ``rate`` (closed loop),
        ``queued`` (rates where work is queued, or limits decide)
    fields : of the key
    slopes : regressors of ``features.SLOPES``; ``1`` is the constant
    """

    name: str
    channel: str
    fields: tuple[str, ...]
    slopes: tuple[str, ...]

    @property
    def local(self) -> bool:
        """Whether it speaks of one stack, model and format alone."""
        return set(CELL) <= set(self.fields)


_LEVELS: Mapping[str, tuple[str, ...]] = {
    "all": (),
    "harness": ("harness",),
    "service": ("harness", "stack"),
    "pattern": ("harness", "stack", "pattern"),
    "arch": ("arch",),
    "port": ("arch", "stack"),
    "stack": ("stack",),
    "version": ("stack", "version"),
    "model": ("model",),
    "weights": ("model", "format"),
    "served": ("stack", "model", "format"),
    "kind": ("stack", "kind", "format"),
    "queue": ("harness", "stack", "kind"),
    "path": ("arch", "stack", "format"),
    "chip": ("chip", "stack"),
    "silicon": ("chip",),
    "source": ("source",),
    "edition": ("stack", "model", "format", "version"),
    "cell": ("chip", "stack", "model", "format"),
    "work": ("chip", "stack", "model", "format", "harness"),
    "release": ("chip", "stack", "model", "format", "version"),
    "layout": ("chip", "stack", "model", "format", "version", "layout"),
    "lengths": ("chip", "stack", "model", "format", "version", "lengths"),
    "curve": ("chip", "stack", "model", "format", "version", "layout", "lengths"),
}
_FORM: Mapping[str, Mapping[str, str]] = {
    "pace": dict.fromkeys(
        [
            "harness",
            "service",
            "version",
            "weights",
            "model",
            "served",
            "kind",
            "path",
            "chip",
            "silicon",
            "source",
            "work",
            "lengths",
            "curve",
        ],
        "1",
    )
    | {"edition": "1", "cell": "1 load output", "release": "1 load output", "layout": "1 load"},
    "ttft": {
        "all": "attention experts",
        "harness": "1",
        "service": "1 load load2 input devices load_input",
        "pattern": "1 load",
        "version": "1 load",
        "weights": "1 input",
        "served": "1",
        "edition": "1",
        "kind": "1 input output",
        "chip": "1 load",
        "port": "load2 devices",
        "source": "1",
        "stack": "overhead communication experts attention interference constant own steps",
        "arch": "overhead communication experts attention interference",
        "cell": "1 input",
        "release": "1 load input",
        "layout": "1 load",
        "lengths": "1",
        "curve": "1",
    },
    "rate": dict.fromkeys(["harness", "service", "source", "release"], "1"),
    "queued": dict.fromkeys(
        [
            "harness",
            "service",
            "queue",
            "version",
            "weights",
            "model",
            "kind",
            "path",
            "chip",
            "silicon",
            "source",
            "cell",
            "work",
            "release",
            "curve",
        ],
        "1",
    ),
}
TERMS = tuple(
    Term(level, channel, _LEVELS[level], tuple(slopes.split()))
    for channel, levels in _FORM.items()
    for level, slopes in levels.items()
)
_OF_TTFT = 0.5  # how much of a pace a TTFT feels: the waiting for steps, not the constant
CHANNELS = {"served": ("pace", "ttft", "rate"), "queued": ("queued",)}


@dataclass(frozen=True, slots=True)
class Rows:
    """What is asked: (rows,) each. ``codes`` numbers the distinct values of each field of the keys, ``names`` lists them."""

    codes: Mapping[str, I64]
    names: Mapping[str, tuple[str, ...]]
    metric: NDArray[np.str_]
    slopes: Mapping[str, F64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.metric)

    @classmethod
    def of(cls, keys: Sequence[object], metric: Sequence[str], slopes: Mapping[str, F64]) -> Rows:
        """Return the rows of keys that have the attributes ``FIELDS``."""
        codes: dict[str, I64] = {}
        names: dict[str, tuple[str, ...]] = {}
        for field in FIELDS:
            values = [getattr(key, field) for key in keys]
            unique = sorted(set(values))
            place = {v: k for k, v in enumerate(unique)}
            codes[field] = np.array([place[v] for v in values], dtype=np.int64)
            names[field] = tuple(unique)
        return cls(codes, names, np.array(metric, dtype=np.str_), slopes)

    def groups(self, fields: tuple[str, ...]) -> tuple[I64, list[str]]:
        """Return the group of each row under these fields, and the name of each group."""
        if not len(self):
            return np.zeros(0, dtype=np.int64), []
        mixed = np.zeros(len(self), dtype=np.int64)
        for field in fields:
            mixed = mixed * len(self.names[field]) + self.codes[field]
        _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
        said = ["|".join(self.names[f][self.codes[f][i]] for f in fields) or "*" for i in first]
        return inverse.astype(np.int64), said

    @property
    def queued(self) -> NDArray[np.bool_]:
        """Rows whose rate is that of queued work."""
        closed = np.array([name == "closed" for name in self.names["harness"]] or [False])
        out: NDArray[np.bool_] = (self.metric == "rate") & ~closed[self.codes["harness"]]
        return out


def loadings(rows: Rows, channel: str) -> F64:
    """Return how far each row's logarithm moves with a channel's effect, (rows,)."""
    queued = rows.queued
    if channel == "queued":
        return queued.astype(np.float64)
    ttft, tpot = rows.metric == "ttft_s", rows.metric == "tpot_s"
    rate = (rows.metric == "rate") & ~queued
    if channel == "pace":
        pace: F64 = tpot * 1.0 - rate * 1.0 + ttft * _OF_TTFT
        return pace
    own: F64 = (ttft if channel == "ttft" else rate).astype(np.float64)
    return own


@dataclass(frozen=True, slots=True)
class Effects:
    """Effects by (level, channel): key to mean and variance of each slope; the levels' variances; the noise by metric.

    ``prior`` is (slopes,) per (level, channel): the variance of an effect that nobody measured. ``noise`` is the variance of
    a row about the whole, by metric (``queued`` for rates of queued work).
    """

    values: Mapping[tuple[str, str], Mapping[str, tuple[F64, F64]]]
    prior: Mapping[tuple[str, str], F64]
    noise: Mapping[str, float]

    def knows(self, level: str, key: str) -> bool:
        """Whether rows with this key of a level were measured, in any channel."""
        return any(
            key in self.values.get((level, channel), {}) for channel in ("pace", "queued", "ttft", "rate")
        )


@dataclass(frozen=True, slots=True)
class Posterior:
    """Mean of the logarithm measured / physics, and its variance: with the noise of a row, and without; (rows,) each."""

    mean: F64
    variance: F64
    known: F64


def predict(effects: Effects, rows: Rows) -> Posterior:
    """Return what the effects say of rows; effects count as independent once measured (their covariances are not kept)."""
    mean, known = np.zeros(len(rows)), np.zeros(len(rows))
    moved = {channel: loadings(rows, channel) for channel in _FORM}
    for term in TERMS:
        prior = effects.prior.get((term.name, term.channel))
        move = moved[term.channel]
        if prior is None or not np.any(move):
            continue
        inverse, names = rows.groups(term.fields)
        found = effects.values.get((term.name, term.channel), {})
        nothing = (np.zeros(len(prior)), prior)
        means, variances = (np.stack([found.get(name, nothing)[k] for name in names]) for k in (0, 1))
        x = np.stack([rows.slopes[slope] for slope in term.slopes], axis=1) * move[:, None]
        mean += (means[inverse] * x).sum(axis=1)
        known += (variances[inverse] * x**2).sum(axis=1)
    kind = np.where(rows.queued, "queued", rows.metric)
    noise = np.array([effects.noise.get(str(k), 0.0) for k in kind])
    return Posterior(mean, known + noise, known)


_HEADER = ["level", "channel", "key", "slope", "mean", "sd"]


def text_of_effects(effects: Effects) -> str:
    """Return ``effects.csv``: ``*`` lines are the levels' own deviations, ``noise`` lines those of rows."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(_HEADER)
    for metric, variance in sorted(effects.noise.items()):
        lines.writerow(["noise", metric, "", "", "0", f"{variance**0.5:.4f}"])
    for term in TERMS:
        prior = effects.prior.get((term.name, term.channel))
        if prior is None:
            continue
        for slope, variance in zip(term.slopes, prior, strict=True):
            lines.writerow([term.name, term.channel, "", slope, "0", f"{variance**0.5:.4f}"])
        found = effects.values.get((term.name, term.channel), {})
        for key in sorted(found):
            for slope, mean, variance, own in zip(term.slopes, *found[key], prior, strict=True):
                if slope == "1" or mean or variance != own:
                    lines.writerow(
                        [term.name, term.channel, key, slope, f"{mean:.4f}", f"{variance**0.5:.4f}"]
                    )
    return text.getvalue()


def effects_of_text(text: str) -> Effects:
    """Return the effects of a file that ``text_of_effects`` made."""
    slopes = {(t.name, t.channel): {s: k for k, s in enumerate(t.slopes)} for t in TERMS}
    noise: dict[str, float] = {}
    prior = {group: np.zeros(len(place)) for group, place in slopes.items()}
    values: dict[tuple[str, str], dict[str, tuple[F64, F64]]] = {group: {} for group in slopes}
    lines = csv.reader(text.splitlines())
    next(lines)
    for level, channel, key, slope, mean, sd in lines:
        if level == "noise":
            noise[channel] = float(sd) ** 2
            continue
        group = (level, channel)
        place = slopes[group][slope]
        if not key:
            prior[group][place] = float(sd) ** 2
            continue
        if key not in values[group]:
            values[group][key] = (np.zeros(len(prior[group])), prior[group].copy())
        values[group][key][0][place] = float(mean)
        values[group][key][1][place] = float(sd) ** 2
    return Effects(values, prior, noise)


@cache
def shipped_effects() -> Effects:
    """Return the effects of ``data/effects.csv``, which ``make calibrate`` writes."""
    place = files("entrepot.performance").joinpath("data", "effects.csv")
    return effects_of_text(place.read_text(encoding="utf-8"))
