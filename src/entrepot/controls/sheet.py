"""What stands in a table that a person gives? CSV or Parquet becomes columns of text; a fault is shown on its line.

A value stays text until whoever asks for the table reads it: nothing is guessed. An empty cell is ``null``.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from entrepot.errors import Fault, InputError, nearest

__all__ = ["SHOWN", "Sheet", "as_text", "read_sheet", "unknown_columns", "write_sheet"]

SHOWN = 20  # faults of a file that are shown; the rest are counted


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows of text. ``file`` is the name shown to a person; ``text`` the CSV it was read from, if it was."""

    file: str
    rows: pl.DataFrame
    text: str | None = None

    def places(self, rows: Sequence[int]) -> Mapping[int, str]:
        """Return where each row stands, as a person would look for it: its line in a CSV file, its number elsewhere."""
        if self.text is None:
            return {r: f"{self.file}: row {r + 1}" for r in rows}
        if self.text.count("\n") + (not self.text.endswith("\n")) == self.rows.height + 1:
            return {r: f"{self.file}:{r + 2}" for r in rows}
        lines, last = (
            [],
            0,
        )  # a quoted text holds a line break, or a line is blank: count as the reader of CSV does
        reader = csv.reader(io.StringIO(self.text))
        for record in reader:
            if record:
                lines.append(last + 1)
            last = reader.line_num
        return {r: f"{self.file}:{lines[r + 1]}" for r in rows}


def read_sheet(path: str | Path) -> Sheet:
    """Read a table, every column as text.

    Raises
    ------
    InputError : the file is neither CSV nor Parquet, or a line has too many or too few fields
    """
    path = Path(path)
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            return Sheet(path.name, as_text(pl.read_parquet(path)))
        content = path.read_bytes()
    except (OSError, PolarsError) as error:
        what = f"cannot be read: {getattr(error, 'strerror', None) or str(error).splitlines()[0]}"
        raise InputError(Fault(str(path), what, "Give a readable CSV (UTF-8) or Parquet file.")) from None
    if content.startswith((b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")):
        mend = "Name a Parquet file .parquet; export a spreadsheet as CSV (UTF-8)."
        raise InputError(Fault(str(path), "this is no text", mend))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(Fault(f"{path.name}:{line}", "not UTF-8", "Save the file as CSV (UTF-8).")) from None
    return _csv(path.name, text)


def _csv(file: str, text: str) -> Sheet:
    if not text.strip():
        raise InputError(Fault(file, "the file is empty", "Write a header and at least one row."))
    header = next(csv.reader(io.StringIO(text)), [])
    names = [name.strip() for name in header]
    doubled = sorted({n for n in names if names.count(n) > 1})
    if doubled or "" in names:
        what = (
            f"the column {doubled[0]!r} stands there twice"
            if doubled and doubled[0]
            else "a column has no name"
        )
        raise InputError(Fault(f"{file}:1", what, "Give each column one name."))
    try:
        rows = pl.read_csv(io.BytesIO(text.encode()), infer_schema=False, new_columns=names, glob=False)
    except PolarsError as error:
        raise InputError(_ragged(file, text, len(names), str(error).splitlines()[0])) from None
    rows = rows.with_columns(pl.all().str.strip_chars().replace("", None))
    blank = rows.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if blank.any() and not _has_blank_rows(text, len(names)):
        rows = rows.filter(~blank)
    short = (
        _ragged(file, text, len(names), None)
        if text.count(",") != (len(names) - 1) * (rows.height + 1)
        else []
    )
    if short:
        raise InputError(short)
    return Sheet(file, rows, text)


def _has_blank_rows(text: str, columns: int) -> bool:
    """Return whether a row of commas alone stands in a text: it is a row, where a blank line is none."""
    return columns > 1 and any(line and not line.strip(" ,\t") for line in text.splitlines())


def _ragged(file: str, text: str, columns: int, why: str | None) -> list[Fault]:
    faults, count = [], 0
    reader, last = csv.reader(io.StringIO(text)), 0
    for record in reader:
        if record and len(record) != columns:
            count += 1
            if count <= SHOWN:
                what = f"{len(record)} fields where the header names {columns}"
                faults.append(Fault(f"{file}:{last + 1}", what, "Quote a text that contains a comma."))
        last = reader.line_num
    if count > SHOWN:
        faults.append(
            Fault(file, f"{count - SHOWN:,} lines more have the same fault", "Mend them in the same way.")
        )
    if not faults and why is not None:
        faults.append(Fault(file, f"not readable as CSV: {why}", "Write CSV as RFC 4180 has it."))
    return faults


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Return every column as text: days as ISO, yes and no, lists joined by semicolons; empty texts are null."""
    columns = []
    for name, kind in frame.schema.items():
        column = pl.col(name)
        if isinstance(kind, pl.List):
            inner = column.list.eval(pl.element().cast(pl.String)).list.join("; ")
            column = pl.when(column.list.len() == 0).then(pl.lit("none")).otherwise(inner)
        elif kind == pl.Boolean:
            column = pl.when(column).then(pl.lit("yes")).when(~column).then(pl.lit("no"))
        elif kind == pl.Datetime:
            column = (
                pl.when(column == column.dt.truncate("1d"))
                .then(column.dt.date().cast(pl.String))
                .otherwise(column.cast(pl.String))
            )
        elif kind != pl.String:
            column = column.cast(pl.String)
        columns.append(column.str.strip_chars().replace("", None).alias(name))
    return frame.select(columns)


def unknown_columns(sheet: Sheet, known: Sequence[str]) -> list[Fault]:
    """Return a fault for each column that nobody would read: a misspelt fact must not be an unknown one."""
    faults = []
    for name in sheet.rows.columns:
        if name not in known:
            near = nearest(name, list(known))
            mend = f"Did you mean {', '.join(near)}?" if near else f"The columns are {', '.join(known)}."
            faults.append(Fault(f"{sheet.file}:1: {name}", "there is no such column", mend))
    return faults


def write_sheet(rows: pl.DataFrame, path: Path) -> None:
    """Write a table as CSV or Parquet by the name of the file, whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as beside:
        part = Path(beside) / path.name
        if path.suffix.lower() == ".parquet":
            rows.write_parquet(part)
        else:
            rows.write_csv(part)
        part.replace(path)
