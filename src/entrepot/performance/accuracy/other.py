"""What does the model say of single kernels and of training runs?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from entrepot.performance.accuracy.kernels import kernel_seconds
from entrepot.performance.accuracy.rows import Row
from entrepot.performance.training_rows import predict_row

__all__ = ["OtherAnswer", "kernel_answer", "training_answer"]


@dataclass(frozen=True, slots=True)
class OtherAnswer:
    """A figure in the row's own unit, the factor of its interval, the untuned roofline's figure, how it was read."""

    value: float
    factor: float
    roofline: float
    reading: str


def kernel_answer(row: Row) -> OtherAnswer | str:
    """Return the TFLOP/s or GB/s of a kernel row, or why there is none."""
    found = kernel_seconds(row)
    if isinstance(found, str):
        return found
    work = found.flop / 1e12 if row.metric == "kernel_tflops" else found.bytes / 1e9
    if not work:
        return "the kernel's work cannot be told from its name"
    return OtherAnswer(work / found.seconds, found.factor, work / found.roofline_seconds, found.reading)


def training_answer(row: Row) -> OtherAnswer | str:
    """Return the figure of a training row, or why there is none."""
    cells = {name: str(value) for name, value in asdict(row).items()}
    cells["value"] = ""  # conditions alone
    found = predict_row(cells)
    if isinstance(found, str):
        return found
    number = {
        "train_tflops_per_gpu": found.tflops_per_device,
        "train_mfu": found.mfu * (100.0 if row.value > 1.5 else 1.0),
    }.get(row.metric)
    if number is None:
        devices = float(row.n_accelerators or 1)
        number = found.tokens_per_s_per_device * (1.0 if "per_gpu" in row.metric else devices)
    return OtherAnswer(float(number), found.factor, math.nan, str(found.reading))
