"""How far off may an answer be?

Split conformal on logarithms: the factor x/÷ of a regime is the 90 % quantile of |log(predicted / measured)| over rows that
were held out in the matching way, so that a chip never measured is judged by chips that were left out of the fit. The regime
follows from how much of the answer's key was measured. ``make calibrate`` writes ``data/intervals.csv``.
"""

from __future__ import annotations

import csv
import math
from functools import cache
from importlib.resources import files

import numpy as np

from entrepot.performance.efficiency import Efficiency
from entrepot.performance.offsets import Key, Offsets, own_cell
from entrepot.performance.records import F64

__all__ = ["NOMINAL", "REGIMES", "Width", "conformal", "rate_factor", "regime", "shipped_widths", "width"]

NOMINAL = 0.90
REGIMES = {
    "known cell": "the chip, engine, model and format were measured together",
    "new cell": "chip and model were measured, not together",
    "chip unseen": "the chip was never measured with this engine family",
    "model unseen": "the model was never measured",
    "both unseen": "neither chip nor model was measured",
}
Width = tuple[float, int]  # factor up and down, residuals behind it

_SERVED = ("tpot_s", "rate", "ttft_s")


def regime(table: Offsets, key: Key) -> str:
    """Return how much of an answer's key the offsets know."""

    def known(level: str, text: str) -> bool:
        return any((level, text, metric) in table for metric in _SERVED)

    chip = known("chip", key.at("chip"))
    model = any(known("model", f"{key.model}|{fmt}") for fmt in ("bf16", "fp8", "int8", "fp4"))
    if known("cell", key.at("cell")):
        return "known cell"
    if chip and model:
        return "new cell"
    if model:
        return "chip unseen"
    return "model unseen" if chip else "both unseen"


def conformal(residuals: F64, nominal: float = NOMINAL) -> float:
    """Return the factor that covers ``nominal`` of rows like these: the conformal quantile of |log residual|.

    Examples
    --------
    >>> round(conformal(np.log(np.linspace(1.01, 1.99, 99))), 2)
    1.9
    """
    size = np.sort(np.abs(residuals[np.isfinite(residuals)]))
    if not len(size):
        return math.inf
    place = math.ceil((len(size) + 1) * nominal) - 1
    return float(np.exp(size[min(place, len(size) - 1)]))


@cache
def shipped_widths() -> dict[tuple[str, str, str], Width]:
    """Return the factors of ``data/intervals.csv`` by (regime, harness family, metric)."""
    text = files("entrepot.performance").joinpath("data", "intervals.csv").read_text(encoding="utf-8")
    return {
        (r["regime"], r["harness"], r["metric"]): (float(r["factor"]), int(r["rows"]))
        for r in csv.DictReader(text.splitlines())
    }


def width(widths: dict[tuple[str, str, str], Width], regime_: str, harness: str, metric: str) -> float:
    """Return the factor for an answer, from the narrowest group that is on record; never below the known cell's.

    Parameters
    ----------
    harness : family of the harness; ``any`` where it does not matter
    metric : ``tpot_s``, ``ttft_s`` or ``rate``
    """
    for group in ((regime_, harness, metric), (regime_, "any", metric)):
        if group in widths:
            return widths[group][0]
    known = [w for (_, _, m), (w, _) in widths.items() if m == metric]
    return max(known, default=3.0)


def rate_factor(efficiency: Efficiency, key: Key) -> float:
    """Return the factor around a rate of an estimate.

    In a cell of a user's own runs it is the held-out factor of a known cell. Elsewhere it is the architecture's own, which is
    wider: a search for the best layout is drawn to errors in its own favour, and engine and version are the user's.
    """
    if own_cell(key):
        return min(width(shipped_widths(), "known cell", "any", "rate"), efficiency.spread)
    return efficiency.spread
