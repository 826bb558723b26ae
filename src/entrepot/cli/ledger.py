"""``entrepot ledger``: who holds what, where did each unit come from, who owes what?"""

from __future__ import annotations

import datetime as dt
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from entrepot.cli.output import Output, emit, note
from entrepot.errors import Fault, InputError
from entrepot.ledger import Ledger, hours, lineage
from entrepot.ledger import reservations as reserved

__all__ = [
    "audit",
    "availability",
    "balance",
    "forecast",
    "journal",
    "ledger_at",
    "provenance",
    "reservations",
    "utc",
]

_FILE = "ledger.sqlite"


def balance(
    ledger: str,
    *,
    account: str = "",
    at: dt.datetime | None = None,
    slots: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Show the balances of all accounts, or of those that begin with a name.

        entrepot ledger balance result
        entrepot ledger balance result --account birch
        entrepot ledger balance result --at 2025-09-01T14:00:00

    Parameters
    ----------
    ledger
        a ledger file, a folder that clear --save wrote, or a PostgreSQL URL
    account
        only accounts under this party or party:site
    at
        what is held at this time (UTC), slots included; past or to come
    slots
        also show what is leased in each period
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        rows = books.balances(account or None, at=None if at is None else utc(at)).to_dicts()
    kept = [r for r in rows if slots or not r["slot"]]
    columns = ("account", "commodity", "unit_lot", *(("slot",) if slots else ()), "quantity")
    emit(_brief(kept, columns, output), kind="balances", output=output or Output())


def journal(
    ledger: str, *, entry: str | None = None, output: Annotated[Output | None, Parameter(name="*")] = None
) -> None:
    """Show the entries in order, or the postings of one.

        entrepot ledger journal result
        entrepot ledger journal result --entry trade-0001

    Parameters
    ----------
    ledger
        a ledger file, a folder that clear --save wrote, or a PostgreSQL URL
    entry
        show the postings of this entry
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
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
    ledger: str, unit_lot: str | None = None, *, output: Annotated[Output | None, Parameter(name="*")] = None
) -> None:
    """Show the chain from vendor to holder of each lot of units, and under which permission it came.

        entrepot ledger provenance result
        entrepot ledger provenance result alder-h20

    One lot is drawn as a tree: from whom to whom its units went, how many came and how many are there now.

    Parameters
    ----------
    ledger
        a ledger file, a folder that clear --save wrote, or a PostgreSQL URL
    unit_lot
        one lot of units, as a tree; all postings of all lots if left out
    """
    table = output is None or output.output == "table"
    with Ledger.open(ledger_at(ledger), create=False) as books:
        rows = (
            books.provenance(unit_lot) if unit_lot is None or not table else lineage(books, unit_lot)
        ).to_dicts()
    if unit_lot is not None and table:
        kept = [
            {"way": r["tree"], "since": r["at"] and f"{r['at']:%Y-%m-%d}", "cause": r["cause"]} for r in rows
        ]
        emit(kept, kind="provenance", output=output or Output())
        return
    if table:
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


def availability(
    ledger: str,
    *,
    from_: Annotated[dt.datetime, Parameter(name="--from")],
    to: dt.datetime,
    account: str = "",
    chip: str | None = None,
    lots: Annotated[bool, Parameter(negative=())] = False,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Show what is free, offered, reserved and leased at each site in each hour, from the journal alone.

        entrepot ledger availability result --from 2025-07-01 --to 2025-07-02 --account alder

    On a terminal, hours in which nothing changes are joined.

    Parameters
    ----------
    ledger
        a ledger file, a folder that clear --save wrote, or a PostgreSQL URL
    from_
        the first hour, UTC
    to
        the hour after the last
    account
        only this party, or party:site
    chip
        only this accelerator
    lots
        each lot of units by itself
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        found = hours.availability(
            books, utc(from_), utc(to), account=account or None, commodity=chip, by_lot=lots
        )
    rows = found.to_dicts()
    if output is None or (output.output == "table" and output.fields is None):
        rows = _joined(rows, lots=lots)
    emit(rows, kind="availability", output=output or Output())


def forecast(
    ledger: str,
    *,
    at: dt.datetime,
    account: str = "",
    scenario: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Show what everybody will have at a time: what is booked, and what is only expected.

        entrepot ledger forecast result --at 2025-10-01 --scenario examples/spring-2025

    Parameters
    ----------
    ledger
        a ledger file, a folder that clear --save wrote, or a PostgreSQL URL
    at
        the time, UTC
    account
        only this party, or party:site
    scenario
        expect its vendors' orders on the day from which they can be delivered; none are expected if left out
    """
    expected = () if scenario is None else hours.arrivals(import_module("entrepot.scenario").read(scenario))
    with Ledger.open(ledger_at(ledger), create=False) as books:
        rows = hours.forecast(books, utc(at), account=account or None, expected=expected).to_dicts()
    emit(rows, kind="forecast", output=output or Output())


def reservations(ledger: str, *, output: Annotated[Output | None, Parameter(name="*")] = None) -> None:
    """Show what is reserved and neither posted nor voided, first to expire first.

        entrepot ledger reservations books.sqlite

    Parameters
    ----------
    ledger
        a ledger file, a folder that clear --save wrote, or a PostgreSQL URL
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        emit(reserved(books).to_dicts(), kind="reservations", output=output or Output())


def audit(
    ledger: str,
    *,
    checkpoint: Path | None = None,
    public_key: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> int:
    """Recompute the whole hash chain and every balance, and say where it breaks.

        entrepot ledger audit result
        entrepot ledger audit result --checkpoint june.json --public-key auditor.key.pub

    Parameters
    ----------
    ledger
        a ledger file, a folder that clear --save wrote, or a PostgreSQL URL
    checkpoint
        hold the journal to this signed checkpoint as well
    public_key
        of who signed it, known from elsewhere
    """
    if (checkpoint is None) != (public_key is None):
        raise InputError(
            Fault(
                "audit",
                "a checkpoint and a public key belong together",
                "Give --checkpoint and --public-key.",
            )
        )
    noted = {}
    if checkpoint is not None and public_key is not None:
        point = import_module("entrepot.ledger.checkpoint").read_checkpoint(checkpoint, public_key)
        noted = {point.entry: point.hash}
        note(
            f"The checkpoint of {point.at} holds {point.seq} entries to hash {point.hash[:16]}; its signature is good."
        )
    with Ledger.open(ledger_at(ledger), create=False) as books:
        found = books.audit(noted=noted)
    breaks = found.table().to_dicts()
    if breaks or (output is not None and output.output != "table"):
        emit(breaks, kind="audit", output=output or Output())
    note(str(found))
    return 0 if found.ok else 1


def utc(when: dt.datetime) -> dt.datetime:
    """Return a time that a person typed as UTC, which it is unless it says otherwise."""
    return when.replace(tzinfo=dt.UTC) if when.tzinfo is None else when.astimezone(dt.UTC)


def _joined(rows: list[dict[str, Any]], *, lots: bool) -> list[dict[str, Any]]:
    """Join hours in which nothing changes."""
    out: list[dict[str, Any]] = []
    same: tuple[object, ...] = ()
    for row in rows:
        rest = tuple(value for key, value in row.items() if key != "hour")
        end = row["hour"] + dt.timedelta(hours=1)
        if rest == same and out[-1]["to"] == f"{row['hour']:%Y-%m-%d %H:%M}":
            out[-1]["to"] = f"{end:%Y-%m-%d %H:%M}"
            continue
        same = rest
        shown = {key: value for key, value in row.items() if key != "hour" and (lots or key != "unit_lot")}
        out.append({"from": f"{row['hour']:%Y-%m-%d %H:%M}", "to": f"{end:%Y-%m-%d %H:%M}", **shown})
    return out


def _brief(
    rows: list[dict[str, Any]], columns: tuple[str, ...], output: Output | None
) -> list[dict[str, Any]]:
    """Return the columns that a terminal has room for; programs get all."""
    if output is not None and (output.output != "table" or output.fields is not None):
        return rows
    return [{c: row[c] for c in columns} for row in rows]


def ledger_at(ledger: Path | str) -> Path | str:
    """Return where a ledger is: a URL as it stands, the file, or the file in a folder."""
    if "://" in str(ledger):
        return str(ledger)
    path = Path(ledger)
    file = path / _FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(
            Fault(str(path), "no ledger is here", "Name a ledger file, or a folder that clear --save wrote.")
        )
    return file
