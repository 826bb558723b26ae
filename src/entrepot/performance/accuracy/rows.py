"""What does a file of measurements say, row by row, before anyone reads meaning into it?

A file in the shape of ``performance/data/measurements.csv``: one published value per row with the conditions under which
it was measured. Cells are kept as written. A row that cannot be read at all is a fault with its line and field.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from entrepot.errors import Fault, InputError

__all__ = ["HEADER", "LONGEST", "METRICS", "Row", "read_rows", "shipped_path"]

LONGEST = 1e8  # tokens: more than any context on offer, so a slip of the pen
HEADER = (
    "id",
    "accelerator",
    "n_accelerators",
    "model",
    "weight_dtype",
    "kv_dtype",
    "engine",
    "parallelism",
    "isl",
    "osl",
    "concurrency_or_batch",
    "metric",
    "value",
    "regime",
    "source",
    "date",
    "notes",
)
_NEEDED = ("accelerator", "model", "metric", "value")

METRICS = {
    "tpot_ms": "mean milliseconds between output tokens of a request after the first: (end - first token) / (osl - 1)",
    "ttft_ms": "mean milliseconds from the arrival of a request to its first output token, waiting included",
    "output_tokens_per_s_total": "output tokens per second of all devices of the row",
    "output_tokens_per_s_per_gpu": "the same, per device",
    "total_tokens_per_s": "input and output tokens per second of all devices of the row",
    "prefill_tokens_per_s_per_gpu": "input tokens per second and device of devices that only prefill",
    "decode_tokens_per_s_per_gpu": "output tokens per second and device of devices that only decode",
    "train_tflops_per_gpu": "model TFLOP/s per device, no recomputation counted",
    "train_mfu": "model FLOP/s over the dense peak, percent (or a share below 1)",
    "kernel_tflops": "TFLOP/s of one kernel",
    "kernel_gbps": "GB/s of one kernel: memory, or link for collectives",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One published value; every cell as written, ``""`` where blank. ``value`` is NaN where the cell is blank."""

    line: int
    id: str
    accelerator: str
    n_accelerators: str
    model: str
    weight_dtype: str
    kv_dtype: str
    engine: str
    parallelism: str
    isl: str
    osl: str
    concurrency_or_batch: str
    metric: str
    value: float
    regime: str
    source: str
    date: str
    notes: str


def shipped_path() -> Path:
    """Return where the project's own measurements lie."""
    return Path(__file__).parents[1] / "data" / "measurements.csv"


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a file in the shape of ``measurements.csv``.

    Raises
    ------
    InputError
        no such file, a column is missing, or cells that cannot be read: all of them, each with its line and field
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(Fault(str(path), "there is no such file", "Give the path of a CSV file.")) from None
    except (IsADirectoryError, UnicodeDecodeError) as error:
        raise InputError(
            Fault(str(path), f"cannot be read as text: {error}", "Give a CSV file in UTF-8.")
        ) from None
    reader = csv.reader(text.splitlines(keepends=True))
    header = next(reader, [])
    names = [name.strip() for name in header]
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise InputError(
            Fault(
                f"{path}:1",
                f"the header lacks {', '.join(missing)}",
                f"Write the columns {', '.join(HEADER)}; those that you do not know may stay empty.",
            )
        )
    rows: list[Row] = []
    faults: list[Fault] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{path}:{reader.line_num}"
        if len(cells) != len(names):
            faults.append(
                Fault(
                    where, f"{len(cells)} cells under {len(names)} columns", "Quote cells that hold a comma."
                )
            )
            continue
        cell = {name: value.strip() for name, value in zip(names, cells, strict=True)}
        fault = _fault(where, cell)
        if fault is not None:
            faults.append(fault)
            continue
        value = float(cell["value"]) if cell["value"] else math.nan
        kept = {name: cell.get(name, "") for name in HEADER if name != "value"}
        rows.append(Row(line=reader.line_num, value=value, **kept))
    if faults:
        raise InputError(faults)
    return rows


def _fault(where: str, cell: dict[str, str]) -> Fault | None:
    value = cell["value"]
    if value:
        try:
            number = float(value)
        except ValueError:
            return Fault(
                f"{where}: value", f"{value!r} is not a number", "Write a number with a point, no unit."
            )
        if not (math.isfinite(number) and number > 0):
            return Fault(f"{where}: value", f"{value} cannot be measured", "Write a finite number above 0.")
    for name in ("accelerator", "model", "metric"):
        if not cell[name]:
            return Fault(
                f"{where}: {name}", "is blank", "A row without it says nothing: fill it in or drop the row."
            )
    return None
