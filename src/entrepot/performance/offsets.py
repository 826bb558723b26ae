"""By how much does one engine, on one model, in one format, on one chip run faster or slower than the physics says?

Each level is the mean residual of its rows after the levels before it, shrunk by n / (n + k) towards nothing. A key that
was never measured falls back to the levels that were. Times (``ttft_s``, ``tpot_s``) and rates at full load (``rate``) have
offsets of their own. Values are logarithms of the factor on a time, or on a rate.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from entrepot.performance.records import F64

__all__ = ["LEVELS", "METRICS", "Key", "Offsets", "learn", "offset", "shipped"]

METRICS = ("ttft_s", "tpot_s", "rate")
LEVELS: Mapping[str, tuple[tuple[str, ...], float]] = {  # fields of the key, and k of the shrinkage
    "harness": (("harness", "stack"), 10.0),
    "architecture": (("harness", "arch", "stack"), 10.0),
    "version": (("stack", "version"), 8.0),
    "model": (("model", "format"), 10.0),
    "service": (("harness", "stack", "model", "format"), 6.0),
    "chip": (("chip", "stack"), 10.0),
    "cell": (("harness", "chip", "stack", "model", "format"), 3.0),
    "release": (("harness", "chip", "stack", "model", "format", "version"), 3.0),
    "lengths": (("harness", "chip", "stack", "model", "format", "version", "lengths"), 2.0),
    "layout": (("harness", "chip", "stack", "model", "format", "version", "layout"), 3.0),
}
_TTFT_ONLY = ("lengths",)
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
            w = weights[members]
            mean = float((left[members] * w).sum() / (w.sum() + k))
            value = float(np.clip(-mean, -limit, limit))
            left[members] = left[members] + value
            out[level, name, metric] = (value, len(members))
    return out


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
