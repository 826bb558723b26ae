"""``entrepot ledger``: who holds what, where did each unit come from, who owes what?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from entrepot.cli.output import Output, emit, note
from entrepot.errors import Fault, InputError
from entrepot.ledger import Ledger

__all__ = ["audit", "balance", "journal", "provenance"]

_FILE = "ledger.sqlite"


def balance(
    ledger: Path,
    *,
    account: str = "",
    slots: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Show the balances of all accounts, or of those that begin with a name.

        entrepot ledger balance result
        entrepot ledger balance result --account birch

    Parameters
    ----------
    ledger: a ledger file, or a folder that clear --save wrote
    account: only accounts that begin so
    slots: also show what is leased in each period
    """
    with Ledger.open(_file(ledger), create=False) as books:
        rows = books.balances(account or None).to_dicts()
    kept = [r for r in rows if slots or not r["slot"]]
    columns = ("account", "commodity", "unit_lot", *(("slot",) if slots else ()), "quantity")
    emit(_brief(kept, columns, output), kind="balances", output=output or Output())


def journal(
    ledger: Path, *, entry: str | None = None, output: Annotated[Output | None, Parameter(name="*")] = None
) -> None:
    """Show the entries in order, or the postings of one.

        entrepot ledger journal result
        entrepot ledger journal result --entry trade-0001

    Parameters
    ----------
    ledger: a ledger file, or a folder that clear --save wrote
    entry: show the postings of this entry
    """
    with Ledger.open(_file(ledger), create=False) as books:
        rows = (books.journal() if entry is None else books.postings(entry)).to_dicts()
    if entry is None and (output is None or output.output == "table"):
        rows = [
            {
                **r,
                "entry": r["entry"].rpartition("/")[2],
                "day": f"{r['at']:%Y-%m-%d}",
                "hash": r["hash"][:12],
            }
            for r in rows
        ]
        rows = _brief(rows, ("seq", "day", "entry", "cause", "postings", "hash"), output)
    emit(rows, kind="journal", output=output or Output())


def provenance(
    ledger: Path, unit_lot: str | None = None, *, output: Annotated[Output | None, Parameter(name="*")] = None
) -> None:
    """Show the chain from vendor to holder of each lot of units, and under which permission it came.

        entrepot ledger provenance result
        entrepot ledger provenance result alder-h20

    Parameters
    ----------
    ledger: a ledger file, or a folder that clear --save wrote
    unit_lot: one lot of units; all if left out
    """
    with Ledger.open(_file(ledger), create=False) as books:
        rows = books.provenance(unit_lot).to_dicts()
    if output is None or output.output == "table":
        rows = [r for r in rows if not r["slot"]]  # who owns; leases are in ledger balance --slots
    columns = (
        "unit_lot",
        "accelerator",
        "imported_on",
        "authorisation",
        "account",
        "quantity",
        "held",
        "cause",
    )
    emit(_brief(rows, columns, output), kind="provenance", output=output or Output())


def audit(ledger: Path, *, output: Annotated[Output | None, Parameter(name="*")] = None) -> int:
    """Recompute the whole hash chain and every balance, and say where it breaks.

        entrepot ledger audit result

    Parameters
    ----------
    ledger: a ledger file, or a folder that clear --save wrote
    """
    with Ledger.open(_file(ledger), create=False) as books:
        found = books.audit()
    breaks = found.table().to_dicts()
    if breaks or (output is not None and output.output != "table"):
        emit(breaks, kind="audit", output=output or Output())
    note(str(found))
    return 0 if found.ok else 1


def _brief(
    rows: list[dict[str, Any]], columns: tuple[str, ...], output: Output | None
) -> list[dict[str, Any]]:
    """Return the columns that a terminal has room for; programs get all."""
    if output is not None and (output.output != "table" or output.fields is not None):
        return rows
    return [{c: row[c] for c in columns} for row in rows]


def _file(path: Path) -> Path:
    file = path / _FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            Fault(str(path), "no ledger is here", "Name a ledger file, or a folder that clear --save wrote.")
        )
    return file
