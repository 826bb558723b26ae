"""What do published sources say where a row is silent: lengths of data sets, MLPerf's rules, accept lengths?

Every figure stands in ``data/readings.toml`` with its kind and source.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = [
    "UNSTATED",
    "Lengths",
    "accept_length",
    "data_set",
    "host_of_experts",
    "mlperf_lengths",
    "mlperf_limits",
    "random_lengths",
]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean tokens in and out, and the standard deviation of the output lengths over their mean."""

    isl: float
    osl: float
    spread: float


@cache
def _read() -> dict[str, Any]:
    text = files("entrepot.performance").joinpath("data", "readings.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _lengths(entry: dict[str, Any]) -> Lengths:
    return Lengths(float(entry["isl"]), float(entry["osl"]), float(entry["spread"]))


UNSTATED = _lengths(_read()["dataset"]["unstated"])


def data_set(text: str) -> Lengths | None:
    """Return the lengths of the data set that a text names; ``None`` where it names none.

    Examples
    --------
    >>> data_set("ShareGPT prompts").isl
    217.0
    """
    words = text.lower()
    return next((_lengths(entry) for name, entry in _read()["dataset"].items() if name in words), None)


def random_lengths(notes: str) -> tuple[float, float] | None:
    """Return mean over nominal and spread of random lengths that a tool draws by default; ``None`` where notes say otherwise.

    Examples
    --------
    >>> random_lengths("sglang.bench_serving, random")[0]
    0.5
    >>> random_lengths("sglang.bench_serving, random, random_range_ratio 1")
    """
    words = notes.lower()
    if "random" not in words or "range" in words or "equal" in words:
        return None
    least = next((float(e["value"]) for tool, e in _read()["random"].items() if tool in words), None)
    return None if least is None else ((1 + least) / 2, (1 - least) / (1 + least) / math.sqrt(3))


def mlperf_lengths(model: str) -> Lengths | None:
    """Return the lengths of the data set on which MLPerf Inference runs a model."""
    table = _read()["mlperf"].get(model)
    return None if table is None else _lengths(table["lengths"])


def mlperf_limits(model: str, scenario: str) -> tuple[float, float]:
    """Return MLPerf's limits on the 99th percentile of TTFT and TPOT, ms; ``inf`` where it sets none."""
    entry = _read()["mlperf"].get(model, {}).get(scenario)
    return (math.inf, math.inf) if entry is None else (float(entry["ttft_ms"]), float(entry["tpot_ms"]))


def accept_length(drafts: int) -> float:
    """Return the mean tokens per step where so many are drafted; 1 where no source says."""
    entry = _read()["accept"].get(str(drafts))
    return 1.0 if entry is None else float(entry["value"])


def host_of_experts() -> tuple[float, float]:
    """Return the bytes/s and FLOP/s of a host that runs the experts, where a row says no more than that it does."""
    table = _read()["host"]
    return float(table["memory_gb_s"]["value"]) * 1e9, float(table["tflops"]["value"]) * 1e12
