"""``entrepot ledger import``, ``export`` and ``template``: the books from files, and the books as files."""

from __future__ import annotations

import datetime as dt
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from entrepot.cli.ledger import ledger_at
from entrepot.cli.output import Output, emit, note, stderr_console
from entrepot.errors import Fault, InputError
from entrepot.ledger import Ledger
from entrepot.ledger.exchange import bring_in, read_movements, read_opening, write_table, write_tables
from entrepot.ledger.exchange import template as template_of
from entrepot.ledger.exchange.beancount import beancount
from entrepot.ledger.exchange.columns import Kind
from entrepot.ledger.exchange.focus import FOCUS_VERSION, FocusVersion, focus
from entrepot.ledger.exchange.outgoing import csv_text

__all__ = ["export", "import_", "template"]

_FOCUS_TIME = "%Y-%m-%dT%H:%M:%SZ"


def import_(
    ledger: str,
    file: Path,
    *,
    kind: Literal["opening", "movements"],
    lots: Path | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Take opening balances or movements from a CSV or Parquet file into a ledger: all of the file, or nothing.

        entrepot ledger template opening > opening.csv
        entrepot ledger import books.sqlite opening.csv --kind opening --dry-run
        entrepot ledger import books.sqlite opening.csv --kind opening
        entrepot ledger import books.sqlite movements.csv --kind movements --lots lots.csv

    Every row at fault is told, with its line and the mend. The same file again changes nothing; the same key with another
    content is a conflict.

    Parameters
    ----------
    ledger
        a ledger file (made if there is none), a folder that clear --save wrote, or a PostgreSQL URL
    file
        the table to take in
    kind
        opening (one row for each holding or amount) or movements (one row for each posting)
    lots
        the papers of unit lots that the movements bring in
    dry_run
        check everything, against the ledger too, and write nothing
    """
    if kind == "opening" and lots is not None:
        raise InputError(Fault("--lots", "opening balances carry their papers in the row", "Leave it out."))
    incoming = read_opening(file) if kind == "opening" else read_movements(file, lots)
    is_new = "://" not in ledger and not Path(ledger).exists()
    with stderr_console().status(f"Posting {len(incoming.entries):,} entries…"):
        if is_new:  # what cannot be borne must not leave an empty ledger behind
            with Ledger.open() as trial:
                brought = bring_in(trial, incoming, dry_run=dry_run)
        if not (is_new and dry_run):
            with Ledger.open(
                ledger if is_new else ledger_at(ledger), create=is_new or "://" in ledger
            ) as books:
                brought = bring_in(books, incoming, dry_run=dry_run)
    row = {
        "file": brought.file,
        "new": brought.new,
        "there": brought.there,
        "postings": brought.postings,
        "dry_run": dry_run,
    }
    emit([row], kind="import", output=output or Output())
    note(str(brought))


def export(
    ledger: str,
    *,
    form: Annotated[Literal["csv", "parquet", "beancount", "focus"], Parameter(name="--format")],
    out: Path | None = None,
    at: dt.datetime | None = None,
    focus_version: FocusVersion = FOCUS_VERSION,
) -> None:
    """Write the journal and its balances as tables, as a beancount file, or the charges in FOCUS columns.

        entrepot ledger export result --format csv --out books
        entrepot ledger export result --format beancount --out books.beancount
        entrepot ledger export result --format focus --out charges.parquet
        entrepot ledger export result --format focus --at 2025-06-30 > charges.csv

    csv and parquet write a new folder with movements, lots and balances; movements and lots can be imported again.

    Parameters
    ----------
    ledger
        a ledger file, a folder that clear --save wrote, or a PostgreSQL URL
    form
        csv, parquet, beancount or focus
    out
        the folder (csv, parquet) or the file; beancount and focus go to the terminal if it is left out
    at
        only entries up to this time, in UTC
    focus_version
        of the FOCUS specification: 1.2 or 1.3
    """
    until = (
        None if at is None else (at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC))
    )
    with Ledger.open(ledger_at(ledger), create=False) as books:
        if form in {"csv", "parquet"}:
            if out is None:
                raise InputError(Fault("--out", "three tables need a folder", "Add --out FOLDER."))
            wrote = write_tables(books, out, "csv" if form == "csv" else "parquet", at=until)
            note(f"wrote {', '.join(f'{name} ({rows:,} rows)' for name, rows in wrote.items())} into {out}")
            return
        chain = [s for s in books.chain() if until is None or s.entry.at <= until]
    if form == "beancount":
        text = beancount(chain, title=f"entrepot: {_named(ledger)}")
        if out is None:
            sys.stdout.write(text)
            return
        beside = _beside(out)
        beside.write_text(text, encoding="utf-8")
        note(f"wrote {len(chain):,} entries to {out}; check it with bean-check {out}")
    else:
        table = focus([s.entry for s in chain], version=focus_version)
        if out is None:
            sys.stdout.write(csv_text(table, time=_FOCUS_TIME))
            return
        beside = _beside(out)
        write_table(table, beside, time=_FOCUS_TIME)
        note(f"wrote {table.height:,} charges to {out}, in the columns of FOCUS {focus_version}")
    beside.replace(out)


def _named(ledger: str) -> str:
    """Return what a ledger is called in a file that others read: never the password of its URL."""
    return ledger.rsplit("/", 1)[-1].partition("?")[0] or "ledger"


def template(kind: Kind, *, out: Path | None = None) -> None:
    """Print a CSV file to start from: every column with its meaning, and rows that can be imported as they stand.

        entrepot ledger template opening > opening.csv
        entrepot ledger template movements --out movements.csv

    Parameters
    ----------
    kind
        opening, movements or lots
    out
        write to this file instead of the terminal
    """
    if out is None:
        sys.stdout.write(template_of(kind))
    else:
        out.write_text(template_of(kind), encoding="utf-8")
        note(f"wrote {out}")


def _beside(out: Path) -> Path:
    """Return where a file is written before it takes its place, so that it is there whole or not at all."""
    return out.with_name(f".{out.stem}.{os.getpid()}{out.suffix}")
