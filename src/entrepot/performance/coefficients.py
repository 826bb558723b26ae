"""Which numbers below the datasheet does a table of points use, and how do fitted values take their place?

The data files give one value per architecture and per engine. Here they become arrays, one row per architecture or
engine, that are gathered onto points by code: a fit changes the arrays, a prediction reads them as they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from entrepot.performance.efficiency import Efficiency, Engine, Serving, efficiency, engine, serving
from entrepot.performance.records import F64

__all__ = ["ARCHITECTURES", "ENGINES", "I32", "Coefficients", "coefficients", "compute_share"]

I32 = NDArray[np.int32]
ARCHITECTURES = ("Hopper", "Blackwell", "Ampere", "Ada", "CDNA", "DaVinci", "default")
ENGINES = ("vllm", "trtllm", "sglang")
_NAMES = {
    "Hopper": "hopper",
    "Blackwell": "blackwell",
    "Ampere": "ampere",
    "Ada": "ada",
    "CDNA": "cdna3",
    "DaVinci": "davinci",
}


@dataclass(frozen=True, slots=True)
class Coefficients:
    """``arch``: name to (architectures,); ``engine``: name to (engines,); ``step``: name to float."""

    arch: dict[str, F64]
    engine: dict[str, F64]
    step: dict[str, float]

    def scaled(self, changes: dict[tuple[str, str, str], float]) -> Coefficients:
        """Return the coefficients with some multiplied: (group, row, name) to factor; row ``*`` is all rows."""
        arch = {k: v.copy() for k, v in self.arch.items()}
        eng = {k: v.copy() for k, v in self.engine.items()}
        step = dict(self.step)
        for (group, row, name), factor in changes.items():
            if group == "step":
                step[name] *= factor
                continue
            table, rows = (arch, ARCHITECTURES) if group == "architecture" else (eng, ENGINES)
            if row == "*":
                table[name] = table[name] * factor
            else:
                table[name][rows.index(row)] *= factor
        return replace(self, arch=arch, engine=eng, step=step)


def coefficients(*, fitted: bool = True) -> Coefficients:
    """Return the coefficients of the data files; the starting values of a fit where ``fitted`` is false."""
    rows: Sequence[Efficiency] = [efficiency(_NAMES.get(a), fitted=fitted) for a in ARCHITECTURES]
    engines: Sequence[Engine] = [engine(e, fitted=fitted) for e in ENGINES]
    constants: Serving = serving(fitted=fitted)
    nan = float("nan")
    arch = {
        f.name: np.array([nan if getattr(r, f.name) is None else float(getattr(r, f.name)) for r in rows])
        for f in fields(Efficiency)
        if f.name not in {"architecture", "basis", "spread"}
    }
    return Coefficients(
        arch=arch,
        engine={
            f.name: np.array([float(getattr(e, f.name)) for e in engines])
            for f in fields(Engine)
            if f.name != "name"
        },
        step={
            f.name: float(getattr(constants, f.name))
            for f in fields(Serving)
            if isinstance(getattr(constants, f.name), int | float)
        },
    )


def compute_share(law_c: F64, law_gamma: F64, otherwise: F64, per_sm: F64) -> F64:
    """Return the share of peak arithmetic that large products reach: see ``Efficiency.compute``.

    Parameters
    ----------
    law_c, law_gamma : NaN where an architecture has no law
    otherwise : the share where there is no law or no unit count
    per_sm : dense TFLOP/s per SM; NaN where not stated
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        steep = law_gamma > 1
        top = np.where(steep, (law_c * np.where(steep, law_gamma - 1, 1.0)) ** (-1 / law_gamma), per_sm)
        reached = np.minimum(per_sm, top)
        share: F64 = (reached / per_sm) / (1 + law_c * reached**law_gamma)
    return np.where(np.isnan(share), otherwise, share)
