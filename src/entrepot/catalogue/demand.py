"""How large are real requests, and when do they come?

Public traces give the share of requests by bucket of input and output tokens, the mean sizes, and the daily curve of
some. A bucket is an interval, (100, 250] tokens; the planner needs a point in it. The point is

    low (high / low)^t

with one t for all input buckets of a trace and one for its output buckets, chosen such that the mean over the buckets
is the trace's published mean exactly. Every point lies inside its bucket (t is between 0 and 1 in every trace), so
neither the mean nor the spread is made up. The first bucket begins at the smallest request of the trace, the last
(open) one ends at the largest. Where a trace has no published mean, t = 1/2: the geometric middle.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, TypeVar

from entrepot.errors import Fault, InputError, NotFound

__all__ = [
    "Peak",
    "Trace",
    "arrival_scv",
    "curves",
    "hourly",
    "mix",
    "mixes",
    "peak",
    "published_mean",
    "trace",
]

_HERE: Final = files("entrepot.catalogue") / "data" / "demand"
T = TypeVar("T")
_METRIC: Final = {"input": "input_tokens", "output": "output_tokens"}


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a mix or a curve comes from, and under which licence its data are published."""

    id: str
    what: str
    licence: str
    source: str
    how: str
    note: str


@dataclass(frozen=True, slots=True)
class Peak:
    """How far a trace's request rate leaves its mean; ratios to the mean rate over non-empty windows."""

    curve: str
    windows_10min: int
    empty_windows: int
    mean_requests_per_s: float
    peak_10min_over_mean: float
    p99_over_mean: float
    peak_hour_over_mean: float
    trough_hour_over_mean: float
    median_daily_peak_hour_over_day_mean: float
    max_daily_peak_hour_over_day_mean: float


def _rows(name: str) -> list[dict[str, str]]:
    with (_HERE / name).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@lru_cache(maxsize=1)
def _traces() -> Mapping[str, Trace]:
    return MappingProxyType(
        {
            r["trace"]: Trace(r["trace"], r["what"], r["licence"], r["source"], r["how"], r["note"])
            for r in _rows("traces.csv")
        }
    )


def trace(name: str) -> Trace:
    """Return the source and licence of a mix or curve.

    Raises
    ------
    NotFound
        no such trace
    """
    return _known("trace", name, _traces())


@lru_cache(maxsize=1)
def _statistics() -> Mapping[tuple[str, str], Mapping[str, float]]:
    numbers = ("mean", "std", "min", "max")
    return {
        (r["mix"], r["metric"]): {n: float(r[n]) for n in numbers if r[n]}
        for r in _rows("token_statistics.csv")
    }


@lru_cache(maxsize=1)
def _buckets() -> Mapping[str, tuple[tuple[str, str, float], ...]]:
    found: dict[str, list[tuple[str, str, float]]] = {}
    for r in _rows("size_buckets.csv"):
        found.setdefault(r["mix"], []).append((r["input_tokens"], r["output_tokens"], float(r["share"])))
    return {name: tuple(rows) for name, rows in sorted(found.items())}


def mixes() -> tuple[str, ...]:
    """Return the names of the request-size mixes.

    Examples
    --------
    >>> "servegen-deepseek-r1" in mixes()
    True
    """
    return tuple(_buckets())


def published_mean(name: str) -> tuple[float, float] | None:
    """Return the trace's own mean input and output tokens; ``None`` where not published."""
    stats = _statistics()
    means = [stats.get((name, metric), {}).get("mean") for metric in _METRIC.values()]
    return None if means[0] is None or means[1] is None else (means[0], means[1])


def arrival_scv(name: str) -> float | None:
    """Return the squared coefficient of variation of the times between a trace's requests; ``None`` where not on record.

    Raises
    ------
    NotFound
        no such mix; carries the nearest names

    Examples
    --------
    >>> round(arrival_scv("azure-llm-2023-conv"), 2)
    1.2
    """
    _known("mix", name, _buckets())
    found = _statistics().get((name, "interarrival_s"), {})
    mean, deviation = found.get("mean"), found.get("std")
    return None if mean is None or deviation is None else (deviation / mean) ** 2


@lru_cache(maxsize=16)
def mix(name: str) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """Return a mix of request sizes.

    Returns
    -------
    isl, osl, share : (buckets,) input tokens, output tokens, share of requests; shares sum to 1, and the means are
        the trace's own

    Raises
    ------
    NotFound
        no such mix; carries the nearest names

    Examples
    --------
    >>> isl, osl, share = mix("servegen-deepseek-r1")
    >>> round(sum(i * s for i, s in zip(isl, share)), 1), round(sum(o * s for o, s in zip(osl, share)), 1)
    (1268.2, 1527.4)
    """
    rows = _known("mix", name, _buckets())
    whole = sum(share for _, _, share in rows)
    shares = tuple(share / whole for _, _, share in rows)
    isl = _points(name, "input", [i for i, _, _ in rows], shares)
    osl = _points(name, "output", [o for _, o, _ in rows], shares)
    return isl, osl, shares


def _points(name: str, side: str, labels: Sequence[str], shares: Sequence[float]) -> tuple[float, ...]:
    stats = _statistics().get((name, _METRIC[side]), {})
    bounds = _bounds(frozenset(labels), stats.get("min", 1.0), stats.get("max"))
    low = [bounds[label][0] for label in labels]
    high = [bounds[label][1] for label in labels]

    def points(t: float) -> list[float]:
        return [a * (b / a) ** t for a, b in zip(low, high, strict=True)]

    def mean(t: float) -> float:
        return sum(p * s for p, s in zip(points(t), shares, strict=True))

    target = stats.get("mean")
    if target is None:
        return tuple(points(0.5))
    if not mean(0.0) <= target <= mean(1.0):
        what = f"published mean {target} of {name} is outside its buckets."
        raise InputError(Fault("token_statistics.csv", what, "Check both tables against the trace."))
    below, above = 0.0, 1.0
    for _ in range(60):
        t = (below + above) / 2
        below, above = (t, above) if mean(t) < target else (below, t)
    return tuple(points((below + above) / 2))


def _bounds(labels: frozenset[str], least: float, most: float | None) -> Mapping[str, tuple[float, float]]:
    """Return each label's interval: ``<=250`` begins where the next smaller of all edges ends."""
    bounds = {}
    for label in labels:
        edge = float(label.lstrip("<>="))
        if label.startswith(">"):
            bounds[label] = (edge, max(most or 2 * edge, edge))
        else:
            smaller = [e for e in _EDGES if e < edge]
            low = max(smaller[-1] if smaller else 0.0, least, 1.0)
            bounds[label] = (min(low, edge), min(edge, most) if most is not None else edge)
    return bounds


_EDGES: Final = (25.0, 100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16000.0, 32000.0)


@lru_cache(maxsize=1)
def _hours() -> Mapping[str, tuple[float, ...]]:
    found: dict[str, list[float]] = {}
    for r in _rows("hourly.csv"):
        hours = found.setdefault(r["curve"], [])
        if int(r["hour"]) != len(hours):
            raise InputError(
                Fault("hourly.csv", f"hour {r['hour']} of {r['curve']}.", "Write hours 0 to 23 in order.")
            )
        hours.append(float(r["mean_requests_per_s"]))
    return {name: tuple(h * len(hours) / sum(hours) for h in hours) for name, hours in sorted(found.items())}


def curves() -> tuple[str, ...]:
    """Return the names of the daily curves."""
    return tuple(_hours())


def hourly(name: str) -> tuple[float, ...]:
    """Return the request rate of each hour of the trace's day, over the day's mean.

    The traces do not say in which time zone their day begins.

    Returns
    -------
    (24,) ratios, mean 1

    Raises
    ------
    NotFound
        no such curve; carries the nearest names
    """
    return _known("daily curve", name, _hours())


@lru_cache(maxsize=1)
def _peaks() -> Mapping[str, Peak]:
    return {
        r["curve"]: Peak(
            r["curve"],
            int(r["windows_10min"]),
            int(r["empty_windows"]),
            *(float(v) for v in list(r.values())[3:]),
        )
        for r in _rows("peaks.csv")
    }


def peak(name: str) -> Peak:
    """Return how far the request rate of a trace leaves its mean.

    Raises
    ------
    NotFound
        no such curve; carries the nearest names

    Examples
    --------
    >>> round(peak("servegen-deepseek-r1").peak_hour_over_mean, 2)
    2.19
    """
    return _known("daily curve", name, _peaks())


def _known(kind: str, name: str, known: Mapping[str, T]) -> T:
    if name not in known:
        raise NotFound(kind, name, list(known))
    return known[name]
