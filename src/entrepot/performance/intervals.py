"""How far off may an answer be?

Normalised split conformal on logarithms: the effects give each answer a standard deviation; how many of them an interval
spans is the 90 % quantile of |log(predicted / measured)| / deviation over rows that were held out in the matching way, so
that a chip never measured is judged by chips that were left out of the fit. The regime
follows from how much of the answer's key was measured. ``make calibrate`` writes ``data/intervals.csv``.
"""

from __future__ import annotations

import csv
import math
from functools import cache
from importlib.resources import files

import numpy as np

from entrepot.performance.effects import Effects
from entrepot.performance.efficiency import Efficiency
from entrepot.performance.offsets import Key, own_cell
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
Width = tuple[
    float, float, int
]  # standard deviations; the factor that they mostly come to; residuals behind them


def regime(effects: Effects, key: Key) -> str:
    """Return how much of an answer's key the effects know."""
    chip = effects.knows("chip", f"{key.chip}|{key.stack}")
    model = any(effects.knows("weights", f"{key.model}|{fmt}") for fmt in ("bf16", "fp8", "int8", "fp4"))
    if effects.knows("cell", "|".join((key.chip, key.stack, key.model, key.format))):
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
    """Return the widths of ``data/intervals.csv`` by (regime, harness family, metric)."""
    text = files("entrepot.performance").joinpath("data", "intervals.csv").read_text(encoding="utf-8")
    return {
        (r["regime"], r["harness"], r["metric"]): (float(r["sds"]), float(r["factor"]), int(r["rows"]))
        for r in csv.DictReader(text.splitlines())
    }


def width(widths: dict[tuple[str, str, str], Width], regime_: str, harness: str, metric: str) -> Width:
    """Return the width for an answer, from the narrowest group that is on record.

    Parameters
    ----------
    harness : family of the harness; ``any`` where it does not matter
    metric : ``tpot_s``, ``ttft_s`` or ``rate``
    """
    for group in ((regime_, harness, metric), (regime_, "any", metric)):
        if group in widths:
            return widths[group]
    known = [w for (_, _, m), w in widths.items() if m == metric]
    return max(known, default=(2.0, 3.0, 0))


def rate_factor(efficiency: Efficiency, key: Key) -> float:
    """Return the factor around a rate of an estimate.

    In a cell of a user's own runs it is the held-out factor of a known cell. Elsewhere it is the architecture's own, which is
    wider: a search for the best layout is drawn to errors in its own favour, and engine and version are the user's.
    """
    if own_cell(key):
        return min(width(shipped_widths(), "known cell", "any", "rate")[1], efficiency.spread)
    return efficiency.spread
