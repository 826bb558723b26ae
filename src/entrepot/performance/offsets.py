"""By how much does one engine, on one model, in one format, on one chip run faster or slower than the physics says?

Each level is the mean residual of its rows after the levels before it, shrunk by n / (n + k) towards nothing. A key that
was never measured falls back to the levels that were. Times (``ttft_s``, ``tpot_s``) and rates at full load (``rate``) have
offsets of their own. Values are logarithms of the factor on a time, or on a rate.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np

from entrepot.performance.records import F64

__all__ = [
    "LEVELS",
    "METRICS",
    "Key",
    "Offsets",
    "calibrate",
    "calibrated",
    "calibration",
    "key_of_cell",
    "learn",
    "merged",
    "offset",
    "own_cell",
    "paces",
    "same_model",
    "shipped",
    "stack_of",
]

METRICS = ("ttft_s", "tpot_s", "rate")
LEVELS: Mapping[str, tuple[tuple[str, ...], float]] = {  # fields of the key, and k of the shrinkage
    "harness": (("harness", "stack"), 2.0),
    "architecture": (("harness", "arch", "stack"), 2.0),
    "version": (("stack", "version"), 2.0),
    "model": (("model", "format"), 2.0),
    "service": (("harness", "stack", "model", "format"), 0.7),
    "chip": (("chip", "stack"), 1.5),
    "cell": (("harness", "chip", "stack", "model", "format"), 3.0),
    "release": (("harness", "chip", "stack", "model", "format", "version"), 3.0),
    "lengths": (("harness", "chip", "stack", "model", "format", "version", "lengths"), 2.0),
    "layout": (("harness", "chip", "stack", "model", "format", "version", "layout"), 3.0),
}
_TTFT_ONLY = ("lengths",)
_OF_CELLS = (
    "harness",
    "architecture",
    "version",
    "model",
    "service",
    "chip",
)  # k counts cells here, rows below
_CELL_ROWS = 4.0  # rows of a cell at which it counts half
_LIMIT = 1.0


@dataclass(frozen=True, slots=True)
class Key:
    """What an offset is keyed by: all in words."""

    harness: str
    arch: str
    chip: str
    stack: str
    version: str
    model: str
    format: str
    lengths: str
    layout: str

    def at(self, level: str) -> str:
        """Return the key of one level."""
        return "|".join(str(getattr(self, name)) for name in LEVELS[level][0])


Offsets = dict[tuple[str, str, str], tuple[float, int]]  # (level, key, metric) -> (log offset, rows)


def learn(
    keys: Sequence[Key], metrics: Sequence[str], residuals: F64, weights: F64, *, limit: float = _LIMIT
) -> Offsets:
    """Return the offsets that residuals log(predicted / measured) teach.

    Parameters
    ----------
    keys, metrics, residuals, weights : (rows,) what each row is keyed by, its metric, residual, and how much it counts
    """
    left = np.clip(np.asarray(residuals, dtype=np.float64), -2 * limit, 2 * limit)
    out: Offsets = {}
    for level, (_, k) in LEVELS.items():
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for i, (key, metric) in enumerate(zip(keys, metrics, strict=True)):
            if level in _TTFT_ONLY and metric != "ttft_s":
                continue
            groups[key.at(level), metric].append(i)
        for (name, metric), members in groups.items():
            w = _weights_of_cells(keys, members, weights) if level in _OF_CELLS else weights[members]
            mean = float((left[members] * w).sum() / (w.sum() + k))
            value = float(np.clip(-mean, -limit, limit))
            left[members] = left[members] + value
            out[level, name, metric] = (value, len(members))
    return out


def _weights_of_cells(keys: Sequence[Key], members: Sequence[int], weights: F64) -> F64:
    """Return weights under which a cell counts once however many rows it has: n / (n + 4), spread over its rows."""
    names = [keys[i].at("cell") for i in members]
    rows: dict[str, float] = defaultdict(float)
    for i, name in zip(members, names, strict=True):
        rows[name] += float(weights[i])
    return np.array([weights[i] / (rows[n] + _CELL_ROWS) for i, n in zip(members, names, strict=True)])


def offset(table: Offsets, key: Key, metric: str) -> float:
    """Return the log offset of a key: the sum over its levels that were measured."""
    return sum(table.get((level, key.at(level), metric), (0.0, 0))[0] for level in LEVELS)


@cache
def shipped() -> Offsets:
    """Return the offsets of ``data/offsets.csv``, which ``make calibrate`` writes."""
    text = files("entrepot.performance").joinpath("data", "offsets.csv").read_text(encoding="utf-8")
    return {
        (r["level"], r["key"], r["metric"]): (float(r["log_offset"]), int(r["rows"]))
        for r in csv.DictReader(text.splitlines())
    }


_CALIBRATION: ContextVar[Offsets | None] = ContextVar("calibration", default=None)
_PACE = (0.6, 2.5)


def merged(base: Offsets, own: Offsets) -> Offsets:
    """Return the offsets of ``base`` with those of a user's own runs added where both have a key."""
    out = dict(base)
    for key, (value, rows) in own.items():
        before, n = base.get(key, (0.0, 0))
        out[key] = (before + value, n + rows)
    return out


@contextmanager
def calibrated(own: Offsets | None) -> Iterator[None]:
    """Let estimates inside the block rest on a user's own runs as well; ``None`` changes nothing."""
    token = _CALIBRATION.set(own)
    try:
        yield
    finally:
        _CALIBRATION.reset(token)


def calibration() -> Offsets | None:
    """Return the offsets of a user's own runs that are in force; ``None`` outside ``calibrated``."""
    return _CALIBRATION.get()


def calibrate(own: Offsets | None) -> None:
    """Let all estimates of this process from now on rest on a user's own runs: for worker processes, as they start."""
    _CALIBRATION.set(own)


def own_cell(key: Key) -> bool:
    """Whether a user's own runs, inside ``calibrated``, speak of this cell."""
    own = _CALIBRATION.get()
    return own is not None and any(("cell", key.at("cell"), metric) in own for metric in METRICS)


def stack_of(engine: str, chip_id: str) -> str:
    """Return the software stack that an engine is on a chip: another vendor's chip runs another port of it.

    Examples
    --------
    >>> stack_of("vllm", "huawei-ascend-910c"), stack_of("vllm", "nvidia-h20-sxm-96gb")
    ('vllm-ascend', 'vllm')
    """
    vendor = chip_id.split("-", maxsplit=1)[0]
    return engine + {"huawei": "-ascend", "amd": "-rocm"}.get(vendor, "")


def same_model(model: str) -> str:
    """Return the name under which models of one shape share offsets."""
    return {"deepseek-r1": "deepseek-v3", "llama-3.3-70b": "llama-3.1-70b"}.get(model, model)


def key_of_cell(chip_id: str, arch: str, model: str, engine: str, fmt: str) -> Key:
    """Return the key of a closed loop whose engine version, lengths and layout are not stated."""
    return Key("closed", arch, chip_id, stack_of(engine, chip_id), "", same_model(model), fmt, "", "")


def _pace(table: Offsets, key: Key) -> float:
    """Return the log factor on a step: at each level what TPOT and what rates taught, in every harness, by their rows."""
    whole = 0.0
    for level in LEVELS:
        total, rows = 0.0, 0
        for harness in ("closed", "offline", "static"):
            own = replace(key, harness=harness).at(level)
            for metric, sign in (("tpot_s", 1.0), ("rate", -1.0)):
                value, n = table.get((level, own, metric), (0.0, 0))
                total, rows = total + sign * value * n, rows + n
        whole += total / rows if rows else 0.0
    return whole


def paces(chip_id: str, arch: str, model: str, engine: str, formats: Sequence[str]) -> tuple[F64, F64]:
    """Return the factors on TPOT and on TTFT of each layout's cell, (layouts, 1) each.

    Only cells of a user's own runs move an estimate, then by the shipped offsets and their own together. Elsewhere the
    factor is 1: an estimate states no engine version, and the offsets of published cells are those of versions long past.
    """
    own = _CALIBRATION.get()
    pairs: dict[str, tuple[float, float]] = {}
    for fmt in dict.fromkeys(formats):
        key = key_of_cell(chip_id, arch, model, engine, str(fmt))
        pairs[fmt] = (1.0, 1.0)
        if own is not None and own_cell(key):
            table = merged(shipped(), own)
            pairs[fmt] = (
                float(np.clip(np.exp(_pace(table, key)), *_PACE)),
                float(np.clip(np.exp(offset(table, key, "ttft_s")), *_PACE)),
            )
    both = np.array([pairs[fmt] for fmt in formats], dtype=np.float64).reshape(-1, 2)
    return both[:, :1], both[:, 1:]
