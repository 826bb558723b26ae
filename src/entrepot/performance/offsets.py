"""What is an answer keyed by, and what do a user's own runs add to the effects of published ones?

Offsets are logarithms of the factor on a time (``ttft_s``, ``tpot_s``) or on a rate (``rate``), for a cell of a user's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace

import numpy as np

from entrepot.performance.effects import TERMS, Rows, predict, shipped_effects
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
    "own_cell",
    "paces",
    "same_model",
    "stack_of",
]

METRICS = ("ttft_s", "tpot_s", "rate")
LEVELS: Mapping[str, tuple[str, ...]] = {"cell": ("harness", "chip", "stack", "model", "format")}


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
    kind: str = ""  # ``moe`` or ``dense``
    pattern: str = ""  # ``equal`` lengths or ``mixed``
    source: str = ""

    def at(self, level: str) -> str:
        """Return the key of one level."""
        return "|".join(str(getattr(self, name)) for name in LEVELS[level])


Offsets = dict[tuple[str, str, str], tuple[float, int]]  # (level, key, metric) -> (log offset, rows)


_CALIBRATION: ContextVar[Offsets | None] = ContextVar("calibration", default=None)
_PACE = (0.6, 2.5)


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


def _moved(key: Key, metric: str) -> float:
    """Return the log of measured over physics that the effects of a cell say at a middling load, lengths and shares of time."""
    slopes = {slope: np.array([1.0 if slope == "1" else 0.0]) for term in TERMS for slope in term.slopes}
    return float(predict(shipped_effects(), Rows.of([key], [metric], slopes)).mean[0])


def paces(chip_id: str, arch: str, model: str, engine: str, formats: Sequence[str]) -> tuple[F64, F64]:
    """Return the factors on TPOT and on TTFT of each layout's cell, (layouts, 1) each.

    Only cells of a user's own runs move an estimate, then by the shipped effects and their own offsets together. Elsewhere
    the factor is 1: an estimate states no engine version, and the effects of published cells are those of versions long past.
    """
    own = _CALIBRATION.get()
    pairs: dict[str, tuple[float, float]] = {}
    for fmt in dict.fromkeys(formats):
        key = key_of_cell(chip_id, arch, model, engine, str(fmt))
        pairs[fmt] = (1.0, 1.0)
        if own is not None and own_cell(key):
            pairs[fmt] = (
                float(np.clip(np.exp(_moved(key, "tpot_s") + _own_pace(own, key)), *_PACE)),
                float(
                    np.clip(
                        np.exp(
                            _moved(key, "ttft_s") + own.get(("cell", key.at("cell"), "ttft_s"), (0.0, 0))[0]
                        ),
                        *_PACE,
                    )
                ),
            )
    both = np.array([pairs[fmt] for fmt in formats], dtype=np.float64).reshape(-1, 2)
    return both[:, :1], both[:, 1:]


def _own_pace(own: Offsets, key: Key) -> float:
    """Return the log factor on a step that own runs teach: what TPOT and what rates say, in every harness, by their rows."""
    total, rows = 0.0, 0
    for harness in ("closed", "offline", "static"):
        name = replace(key, harness=harness).at("cell")
        for metric, sign in (("tpot_s", 1.0), ("rate", -1.0)):
            value, n = own.get(("cell", name, metric), (0.0, 0))
            total, rows = total + sign * value * n, rows + n
    return total / rows if rows else 0.0
