"""What stands in a table file, line by line? Text becomes columns of text, each row with the line an editor shows.

A table is ``name.csv`` or ``name.parquet``. In CSV a byte-order mark, CRLF, blank lines and lines that begin with ``#``
are accepted; nothing is guessed: a value stays text until `entrepot.scenario.typed` reads it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
from polars.exceptions import PolarsError

from entrepot.errors import nearest
from entrepot.scenario.columns import REQUIRED_TABLES, TABLES, Column
from entrepot.scenario.faults import Faults, did_you_mean

__all__ = ["LINE", "Row", "Sheet", "check_files", "read_file", "read_table"]

LINE = "_line"  # the column that carries the line number; no column of a user may begin with an underscore

Row: TypeAlias = dict[str, Any]

_MAGIC = {
    b"PAR1": ("a Parquet file", "Name it .parquet."),
    b"PK\x03\x04": ("a spreadsheet or zip file", "Export the sheet as CSV (UTF-8)."),
    b"\xd0\xcf\x11\xe0": ("an old spreadsheet file", "Export the sheet as CSV (UTF-8)."),
    b"\x1f\x8b": ("a gzip file", "Unpack it."),
    b"SQLite": ("a SQLite database", "Export the table as CSV (UTF-8)."),
}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The rows of one table: ``file`` is the file's name; ``rows`` has one column per known column, and `LINE`."""

    name: str
    file: str
    rows: pl.DataFrame

    def having(self, rows: pl.DataFrame) -> Sheet:
        """Return the sheet with other rows."""
        return Sheet(self.name, self.file, rows)

    def note(
        self, wrong: pl.Expr, column: str, faults: Faults, say: Callable[[Row], tuple[str, str]]
    ) -> None:
        """Note one fault for each row where ``wrong`` is true; ``say`` gets the row and returns what and mend."""
        bad = self.rows.filter(wrong)
        if bad.height:
            lines = bad[LINE].to_list()
            faults.lines(self.file, lines, column, lambda i: say(bad.row(i, named=True)))


def check_files(folder: Path, faults: Faults) -> None:
    """Note tables that are missing, that stand there twice, or whose file name is misspelt."""
    present = {path.name for path in folder.iterdir() if path.suffix in {".csv", ".parquet"}}
    for name in TABLES:
        found = sorted(present & {f"{name}.csv", f"{name}.parquet"})
        present.difference_update(found)
        if len(found) == 2:
            faults.add(
                f"{folder.name}/{name}", f"both {found[0]} and {found[1]} are there", "Keep one of the two."
            )
    for file in sorted(present):
        near = nearest(Path(file).stem, list(TABLES), most=1)
        if near and not _exists(folder, near[0]):
            faults.add(
                f"{folder.name}/{file}",
                "no table goes by this name, so it would not be read",
                f"Rename it to {near[0]}{Path(file).suffix}.",
            )
    for name in REQUIRED_TABLES:
        if not _exists(folder, name):
            faults.add(
                f"{folder.name}/{name}.csv",
                "the file is missing",
                f"Write it with the columns {', '.join(c.name for c in TABLES[name] if c.required)}.",
            )


def _exists(folder: Path, name: str) -> bool:
    return (folder / f"{name}.csv").exists() or (folder / f"{name}.parquet").exists()


def read_table(folder: Path, name: str, faults: Faults) -> Sheet | None:
    """Read one table as text; ``None`` where the file is absent or unusable (its faults are noted)."""
    path = folder / f"{name}.csv"
    if not path.exists():
        path = path.with_suffix(".parquet")
    if not path.exists():
        return None
    return read_file(path, TABLES[name], faults, name=name, no_rows=_no_rows(name))


def read_file(
    path: Path,
    columns: tuple[Column, ...],
    faults: Faults,
    *,
    name: str = "",
    no_rows: str = "Write at least one row.",
) -> Sheet | None:
    """Read any table file as text, by its columns; ``None`` where it is unusable (its faults are noted).

    Parameters
    ----------
    name : of the table; the file's own if left out
    no_rows : the mend, where there is a header and nothing under it
    """
    frame = _read_parquet(path, faults) if path.suffix == ".parquet" else _read_csv(path, faults)
    if frame is None or not _header_ok(frame, path.name, columns, faults):
        return None
    if frame.height == 0:
        faults.add(f"{path.name}:1", "the file has a header and no rows", no_rows)
        return None
    absent = [pl.lit(None, dtype=pl.String).alias(c.name) for c in columns if c.name not in frame.columns]
    rows = frame.with_columns(absent).select(LINE, *[c.name for c in columns])
    return Sheet(name or path.stem, path.name, rows)


def _no_rows(name: str) -> str:
    return (
        "Write at least one row."
        if name in REQUIRED_TABLES
        else "Write at least one row, or delete the file."
    )


def _header_ok(frame: pl.DataFrame, file: str, columns: tuple[Column, ...], faults: Faults) -> bool:
    known = [c.name for c in columns]
    present = [c for c in frame.columns if c != LINE]
    missing = [c for c in columns if c.required and c.name not in present]
    for name in present:
        if name not in known:
            hint = did_you_mean(name, known, otherwise=f"Delete it. The columns are {', '.join(known)}.")
            faults.add(f"{file}:1: {name}", "there is no such column", hint)
    for column in missing:
        faults.add(f"{file}:1: {column.name}", "the column is missing", f"Add it: {column.meaning}")
    return not missing


# --- CSV -------------------------------------------------------------------------------------------------------------


def _text(path: Path, faults: Faults) -> str | None:
    try:
        content = path.read_bytes()
    except OSError as error:
        faults.add(path.name, f"the file cannot be read: {error.strerror}", "Give a readable file.")
        return None
    for magic, (what, mend) in _MAGIC.items():
        if content.startswith(magic):
            faults.add(path.name, f"this is {what}, not text", mend)
            return None
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        faults.add(path.name, "the text is UTF-16, not UTF-8", "Save it as UTF-8.")
        return None
    if b"\x00" in content:
        line = content[: content.index(b"\x00")].count(b"\n") + 1
        faults.add(f"{path.name}:{line}", "this is a binary file, not text", "Write CSV (UTF-8).")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        faults.add(
            f"{path.name}:{line}",
            f"byte 0x{content[error.start]:02x} is not UTF-8",
            "Save the file as UTF-8 (in a spreadsheet: 'CSV UTF-8').",
        )
        return None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        faults.add(path.name, "the file is empty", "Write a header and at least one row.")
        return None
    return text


def _records(text: str, file: str, faults: Faults) -> tuple[list[str], list[int]]:
    """Return the records that are neither blank nor comments, with the line on which each begins."""
    if '"' not in text:
        lines = pl.DataFrame({"line": text.split("\n")}).with_row_index("number", offset=1)
        content = pl.col("line").str.strip_chars(" \t,") != ""
        kept = lines.filter(content & ~pl.col("line").str.starts_with("#"))
        return kept["line"].to_list(), kept["number"].to_list()
    records: list[str] = []
    starts: list[int] = []
    open_record: list[str] = []
    start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if open_record:
            open_record.append(line)
            if line.count('"') % 2:
                records.append("\n".join(open_record))
                starts.append(start)
                open_record = []
        elif not line or line[0] == "#" or not line.strip(" \t,"):
            continue
        elif line.count('"') % 2:
            open_record, start = [line], number
        else:
            records.append(line)
            starts.append(number)
    if open_record:
        faults.add(f"{file}:{start}", 'a quote (") is opened and never closed', "Close it, or delete it.")
    return records, starts


def _read_csv(path: Path, faults: Faults) -> pl.DataFrame | None:
    text = _text(path, faults)
    if text is None:
        return None
    before = len(faults.found)
    records, starts = _records(text, path.name, faults)
    if not records:
        faults.add(path.name, "the file has no header", "Write a header and at least one row.")
        return None
    header = [name.strip() for name in next(csv.reader([records[0]]))]
    if len(header) == 1 and any(mark in records[0] for mark in ";\t"):
        faults.add(
            f"{path.name}:{starts[0]}", "the columns are not separated by commas", "Separate them by commas."
        )
    blank = [i for i, name in enumerate(header) if not name or name.startswith("_")]
    if blank:
        faults.add(f"{path.name}:{starts[0]}", f"column {blank[0] + 1} has no name", "Name it or delete it.")
    for name in {name for name in header if name and header.count(name) > 1}:
        faults.add(
            f"{path.name}:{starts[0]}: {name}", "the column stands there twice", "Delete one of the two."
        )
    commas = len(header) - 1
    ragged = _ragged(records, commas)
    faults.lines(
        path.name,
        [starts[i] for i in ragged],
        "row",
        lambda k: (
            f"{_commas(records[ragged[k]]) + 1} fields where the header names {commas + 1}",
            "Give each column one field; quote a text that contains a comma.",
        ),
    )
    if len(faults.found) > before:
        return None
    try:
        frame = pl.read_csv(
            io.BytesIO("\n".join(records).encode()),
            infer_schema=False,
            new_columns=header,
            quote_char='"',
            glob=False,
        )
    except PolarsError as error:
        faults.add(
            path.name, f"not readable as CSV: {str(error).splitlines()[0]}", "Write CSV as RFC 4180 has it."
        )
        return None
    trimmed = frame.with_columns(pl.all().str.strip_chars().replace("", None))
    return trimmed.with_columns(pl.Series(LINE, starts[1:], dtype=pl.Int64))


def _ragged(records: list[str], commas: int) -> list[int]:
    """Return which records do not have as many fields as the header."""
    text = pl.Series(records)
    suspect = (text.str.count_matches(",", literal=True) != commas) | text.str.contains('"', literal=True)
    return [i for i in suspect.arg_true().to_list() if i and _commas(records[i]) != commas]


def _commas(record: str) -> int:
    return record.count(",") if '"' not in record else len(next(csv.reader([record]))) - 1


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _read_parquet(path: Path, faults: Faults) -> pl.DataFrame | None:
    try:
        with path.open("rb") as stream:
            frame = pl.read_parquet(stream)
    except (PolarsError, OSError) as error:
        faults.add(path.name, f"not readable as Parquet: {str(error).splitlines()[0]}", "Write it again.")
        return None
    texts: list[pl.Expr] = []
    for name, dtype in frame.schema.items():
        text = _as_text(name, dtype)
        if text is None:
            faults.add(
                f"{path.name}:1: {name}", f"a column of type {dtype} cannot be read", "Write it as text."
            )
        else:
            texts.append(text)
    rows = frame.select(texts).with_columns(pl.all().str.strip_chars().replace("", None))
    return rows.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias(LINE))


def _as_text(name: str, dtype: pl.DataType) -> pl.Expr | None:
    """Return the column as the text that a person would have written in CSV; ``None`` for types that have none."""
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        return column.dt.to_string("iso").str.strip_suffix(" 00:00:00.000000").str.strip_suffix(" 00:00:00")
    if isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.String):
        return column.list.join(";")
    if dtype.is_nested() or isinstance(dtype, pl.Binary | pl.Object | pl.Duration | pl.Time):
        return None
    return column.cast(pl.String)
