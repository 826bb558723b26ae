"""How do the books leave, so that another program, or another ledger, can take them in? As tables that say all there is.

``movements`` and ``lots`` are the journal, in the columns that an import reads: from them, another ledger gives the same
balances, and the same hashes. ``balances`` is what the journal comes to.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import polars as pl

from entrepot.errors import Conflict
from entrepot.ledger.exchange.columns import LOTS, MOVEMENTS
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.records import Entry

__all__ = ["balances", "csv_text", "lots", "movements", "write_table", "write_tables"]

_TYPES: dict[str, pl.DataType] = {
    "quantity": pl.Int64(),
    "at": pl.Datetime("us", "UTC"),
    "expires": pl.Datetime("us", "UTC"),
    "imported_on": pl.Date(),
}
_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"


def movements(entries: Iterable[Entry]) -> pl.DataFrame:
    """Return one row per posting, in the columns of an import of movements; a blank is null."""
    rows = [
        (e.id, e.at, e.cause, p.account, p.commodity, p.quantity, p.unit_lot or None, p.slot or None,
         e.reverses, e.settles or None, _words(p.serials), e.expires, e.resolves)
        for e in entries
        for p in e.postings
    ]  # fmt: skip
    return pl.DataFrame(
        rows, schema={c.name: _TYPES.get(c.name, pl.String()) for c in MOVEMENTS}, orient="row"
    )


def lots(entries: Iterable[Entry]) -> pl.DataFrame:
    """Return one row per unit lot, with its papers and the entry that brought it in."""
    rows = [
        (lot.id, lot.accelerator, lot.imported_on, lot.imported_from, lot.authorisation, _words(lot.conditions),
         lot.parent, lot.note or None, _words(lot.serials), e.id)
        for e in entries
        for lot in e.unit_lots
    ]  # fmt: skip
    return pl.DataFrame(rows, schema={c.name: _TYPES.get(c.name, pl.String()) for c in LOTS}, orient="row")


def balances(ledger: Ledger, at: dt.datetime | None = None) -> pl.DataFrame:
    """Return the balances that are not zero, with one row for each slot and for always; as of a time, if one is given."""
    return ledger.balances(at=at)


def write_tables(
    ledger: Ledger, folder: Path, form: Literal["csv", "parquet"], *, at: dt.datetime | None = None
) -> dict[str, int]:
    """Write movements, lots and balances into a new folder, which appears whole or not at all.

    Parameters
    ----------
    at : only entries up to this time

    Returns
    -------
    File name -> rows

    Raises
    ------
    Conflict
        When the folder is there already and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            f"{folder} is there already.\n  Name another folder, or remove it; nothing was written."
        )
    entries = [entry for entry in ledger.entries() if at is None or entry.at <= at]
    tables = {"movements": movements(entries), "lots": lots(entries), "balances": balances(ledger, at)}
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        for name, table in tables.items():
            write_table(table, beside / f"{name}.{form}")
        beside.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return {f"{name}.{form}": table.height for name, table in tables.items()}


def write_table(table: pl.DataFrame, path: Path, *, time: str = _TIME) -> None:
    """Write one table; in CSV every text is quoted, so that no name is taken for a comment or a number.

    Parameters
    ----------
    time : how times are written in CSV
    """
    if path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        path.write_text(csv_text(table, time=time), encoding="utf-8")


def csv_text(table: pl.DataFrame, *, time: str = _TIME) -> str:
    """Return a table as the text of a CSV file."""
    times = [c for c, kind in table.schema.items() if isinstance(kind, pl.Datetime)]
    return table.with_columns(pl.col(times).dt.strftime(time)).write_csv(quote_style="non_numeric")


def _words(words: tuple[str, ...]) -> str | None:
    """Write several texts in one field: with ``;`` between them, or as JSON where one has a ``;`` itself."""
    if not words:
        return None
    text = "; ".join(words)
    plain = all(w and ";" not in w and w == w.strip() for w in words) and not text.startswith("[")
    return text if plain else json.dumps(words, ensure_ascii=False)
