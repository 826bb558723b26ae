"""How does a command show what it found? As a table to people, as JSON, CSV, Markdown or Parquet to programs.

Results go to stdout (or to ``--out FILE``), everything else to stderr. The format never depends on whether stdout is a
terminal; only colours and line width do.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from entrepot.errors import Fault, InputError

__all__ = ["Format", "Output", "Row", "emit", "note", "plain", "stderr_console"]

Format = Literal["table", "json", "jsonl", "csv", "md", "parquet"]
Row = Mapping[str, object]
_WIDE = 400  # columns for a pipe: lines as long as their content needs


@dataclass(frozen=True)
class Output:
    """How results are shown; the same options on every command."""

    output: Annotated[Format, Parameter(alias="-o")] = "table"
    """table, json, jsonl, csv, md or parquet."""
    fields: str | None = None
    """Show only these columns, comma-separated."""
    out: Path | None = None
    """Write to this file instead of the terminal."""


def plain(value: object) -> Any:
    """Return ``value`` as JSON can carry it: decimals and dates as strings, enums by value."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value


def emit(
    tables: Mapping[str, Iterable[Row]] | Iterable[Row],
    *,
    kind: str,
    output: Output,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Show one table, or several under their names.

    Parameters
    ----------
    tables : rows of one table, or name -> rows of several; CSV and Parquet carry the first only
    kind : names the JSON envelope: ``entrepot/<kind>/v1``
    titles : heading of each table for people

    Raises
    ------
    InputError : a field that the table does not have; Parquet without ``--out``
    """
    named: dict[str, list[Row]] = (
        {name: list(rows) for name, rows in tables.items()}
        if isinstance(tables, Mapping)
        else {"items": list(tables)}
    )
    if output.fields is not None:
        first = next(iter(named))
        named = {first: _project(named[first], output.fields)}
    text = _render(named, kind, output, titles or {})
    if output.out is not None:
        if text is not None:
            output.out.write_text(text, encoding="utf-8")
        note(f"wrote {output.out}")
    elif text is not None:
        sys.stdout.write(text)


def _project(rows: Sequence[Row], fields: str) -> list[Row]:
    wanted = [f.strip() for f in fields.split(",") if f.strip()]
    have = list(rows[0]) if rows else wanted
    missing = [f for f in wanted if f not in have]
    if missing:
        raise InputError(
            Fault("--fields", f"no column {', '.join(missing)} here", f"The columns are: {', '.join(have)}.")
        )
    return [{f: row.get(f) for f in wanted} for row in rows]


def _render(
    named: Mapping[str, Sequence[Row]], kind: str, output: Output, titles: Mapping[str, str]
) -> str | None:
    first = next(iter(named.values()))
    match output.output:
        case "json":
            return (
                json.dumps({"schema": f"entrepot/{kind}/v1", **plain(named)}, indent=2, ensure_ascii=False)
                + "\n"
            )
        case "jsonl":
            return "".join(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in first)
        case "csv":
            return _csv(first)
        case "md":
            return "\n".join(_markdown(rows, titles.get(name)) for name, rows in named.items())
        case "parquet":
            if output.out is None:
                raise InputError(
                    Fault("-o parquet", "Parquet is not for a terminal", "Add --out FILE.parquet.")
                )
            # Polars takes a second to import: only those who ask for Parquet pay for it.
            import_module("entrepot.cli.parquet").write([plain(row) for row in first], output.out)
            return None
        case "table":
            return _table(named, titles, to_terminal=output.out is None and sys.stdout.isatty())


def _csv(rows: Sequence[Row]) -> str:
    sink = io.StringIO()
    if rows:
        writer = csv.DictWriter(sink, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: _flat(v) for k, v in row.items()} for row in rows)
    return sink.getvalue()


def _flat(value: object) -> object:
    simple = plain(value)
    return "; ".join(map(str, simple)) if isinstance(simple, list) else simple


def _human(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, Decimal):
        return f"{value.normalize():,f}" if value == value.to_integral_value() else f"{value:,f}"
    return str(_flat(value))


def _markdown(rows: Sequence[Row], title: str | None) -> str:
    head = f"### {title}\n\n" if title else ""
    if not rows:
        return head + "(none)\n"
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += [
        "| " + " | ".join(_human(row.get(c)).replace("|", "\\|") for c in columns) + " |" for row in rows
    ]
    return head + "\n".join(lines) + "\n"


def _table(named: Mapping[str, Sequence[Row]], titles: Mapping[str, str], *, to_terminal: bool) -> str:
    from rich import box  # noqa: PLC0415 - rich is for people: programs do not wait for it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    sink = io.StringIO()
    colour = to_terminal and "NO_COLOR" not in os.environ
    width = None if to_terminal else int(os.environ.get("COLUMNS", _WIDE))
    console = Console(
        file=sink,
        width=width or _terminal_width(),
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        legacy_windows=False,
    )
    for name, rows in named.items():
        if title := titles.get(name):
            console.print(Text(f"\n{title}", style="bold"))
        if not rows:
            console.print("  (none)")
            continue
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for column in rows[0]:
            numeric = all(isinstance(r.get(column), int | float | Decimal | None) for r in rows)
            header = column.replace("_", " ")
            table.add_column(header, justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(_human(row.get(column))) for column in rows[0]))
        console.print(table)
    return "\n".join(line.rstrip() for line in sink.getvalue().splitlines()) + "\n"


def _terminal_width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        return 120


def stderr_console() -> Any:
    """Return a rich console on stderr, for progress and notes."""
    from rich.console import Console  # noqa: PLC0415

    return Console(stderr=True, highlight=False)


def note(text: str) -> None:
    """Say something to a person, beside the results."""
    print(text, file=sys.stderr)
