"""What does a file want to bring into the books? Rows become entries; every row at fault is told, and none is guessed.

Nothing here touches a ledger: the answer is a list of entries, each with the line that it came from, or all faults at once.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entrepot.errors import Fault, InputError
from entrepot.ledger.accounts import STATES_OF_UNITS, Account, Nature
from entrepot.ledger.exchange.columns import LOTS, MOVEMENTS, OPENING
from entrepot.ledger.records import QUANTITY_MAX, Entry, Posting, UnitLot
from entrepot.ledger.slots import Slot
from entrepot.scenario.faults import SHOWN, Faults
from entrepot.scenario.table import LINE, Row, read_file

__all__ = ["Incoming", "read_movements", "read_opening"]

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_POSTING = re.compile(r", posting (\d+)$")
_PAPERS = ("imported_on", "imported_from", "authorisation", "conditions", "parent", "note", "serials")
_OF_ENTRY = ("at", "cause", "reverses", "settles", "expires", "resolves")


@dataclass(frozen=True, slots=True)
class Incoming:
    """Entries from a file, in order; ``lines`` says on which line of ``file`` each begins."""

    file: str
    entries: tuple[Entry, ...]
    lines: Mapping[str, int]

    def where(self, entry_id: str) -> str:
        """Return the place of an entry, as a person would point at it."""
        return f"{self.file}:{self.lines[entry_id]}"


@dataclass(slots=True)
class _Reader:
    """Fields of one file's rows as values; a field at fault is noted and becomes ``None``."""

    file: str
    faults: list[Fault] = field(default_factory=list)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fault(self, line: int, column: str, what: str, mend: str) -> None:
        """Note a fault; of one kind in one column only the first `SHOWN` are shown, and the rest counted."""
        self.seen[column, mend] += 1
        if self.seen[column, mend] <= SHOWN:
            self.faults.append(Fault(f"{self.file}:{line}: {column}", what, mend))

    def instant(self, row: Row, column: str) -> dt.datetime | None:
        text = row[column]
        try:
            at = dt.datetime.fromisoformat(text)
        except ValueError:
            self.fault(
                row[LINE], column, f"{text!r} is not a time", "Write 2025-05-15 or 2025-05-15T08:30:00Z."
            )
            return None
        if len(text) == len("2025-05-15"):
            return at.replace(tzinfo=dt.UTC)
        if at.utcoffset() != dt.timedelta(0):
            self.fault(row[LINE], column, f"{text!r} is not UTC", "Write it in UTC, with a Z at the end.")
            return None
        return at.astimezone(dt.UTC)

    def day(self, row: Row, column: str) -> dt.date | None:
        text = row[column]
        if text is None:
            return None
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            self.fault(
                row[LINE],
                column,
                f"{text!r} is not a day",
                "Write 2024-09-01, or leave it blank if it is unknown.",
            )
            return None

    def quantity(self, row: Row) -> int | None:
        text = row["quantity"].replace("_", "")
        if not _WHOLE.fullmatch(text):
            self.fault(
                row[LINE], "quantity", f"{row['quantity']!r} is not a whole number",
                "Count devices one by one, and money in minor units: 12.50 CNY are 1250 of CNY.fen.",
            )  # fmt: skip
            return None
        value = int(text)
        if value == 0 or abs(value) > QUANTITY_MAX:
            self.fault(
                row[LINE],
                "quantity",
                f"{value} is not from 1 to 10^15 in size",
                "Check the digits, or delete the row.",
            )
            return None
        return value

    def account(self, row: Row) -> Account | None:
        try:
            return Account.parse(row["account"])
        except InputError as error:
            self.fault(
                row[LINE], "account", f"{row['account']!r} {error.faults[0].what}", error.faults[0].mend
            )
            return None

    def slot(self, row: Row) -> str | None:
        text: str = row["slot"] or ""
        if text:
            try:
                Slot.parse(text)
            except InputError as error:
                self.fault(row[LINE], "slot", f"{text!r} {error.faults[0].what}", error.faults[0].mend)
                return None
        return text

    def words(self, row: Row, column: str) -> tuple[str, ...]:
        text = row[column]
        if text is None:
            return ()
        if not text.startswith("["):
            return tuple(part for part in (piece.strip() for piece in text.split(";")) if part)
        try:
            found = json.loads(text)
        except json.JSONDecodeError:
            found = None
        if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
            self.fault(
                row[LINE], column, f"{text!r} is not a JSON list of texts", "Separate them by ; instead."
            )
            return ()
        return tuple(found)

    def complete(self, row: Row, columns: tuple[str, ...]) -> bool:
        """Note required fields that are blank."""
        blank = [column for column in columns if row[column] is None]
        for column in blank:
            self.fault(row[LINE], column, "the field is empty", f"Write the {column}.")
        return not blank

    def papers(self, row: Row, lot: str, accelerator: str, serials: tuple[str, ...]) -> UnitLot:
        return UnitLot(
            id=lot,
            accelerator=accelerator,
            imported_on=self.day(row, "imported_on"),
            imported_from=row["imported_from"],
            authorisation=row["authorisation"],
            conditions=self.words(row, "conditions"),
            parent=row["parent"],
            note=row["note"] or "",
            serials=serials,
        )

    def entry(self, lines: list[int], column: str, **fields: Any) -> Entry | None:
        """Make an entry; what is wrong with it as a whole is noted on its line, or on that of the posting to blame."""
        try:
            return Entry(**fields)
        except InputError as error:
            for fault in error.faults:
                posting = _POSTING.search(fault.where)
                line = lines[int(posting[1])] if posting else lines[0]
                self.fault(line, column, f"{fields['id']!r}: {fault.what}", fault.mend)
            return None

    def stop(self) -> None:
        """Raise all faults in the order of lines, with a count of those that are not shown."""
        for (column, mend), times in self.seen.items():
            if times > SHOWN:
                more = f"{times - SHOWN:,} more rows have the same kind of fault"
                self.faults.append(Fault(f"{self.file}: {column}", more, mend))
        if self.faults:
            raise InputError(self.faults)


def read_opening(path: Path) -> Incoming:
    """Return the entries of a table of opening balances: one for each row, out of its party's ``opening``.

    Raises
    ------
    InputError
        With every fault found, each with file, line, field, and the mend.
    """
    rows = _rows(path, OPENING)
    read = _Reader(path.name)
    entries: list[Entry] = []
    lines: dict[str, int] = {}
    lots: dict[str, tuple[int, UnitLot]] = {}
    serials_of = {row[LINE]: read.words(row, "serials") for row in rows}
    of_lot: dict[str, tuple[str, ...]] = {}
    for row in rows:  # a lot that stands at two sites has the devices of both
        name = row["unit_lot"] or row["key"] or ""
        of_lot[name] = of_lot.get(name, ()) + serials_of[row[LINE]]
    for row in rows:
        line, serials = row[LINE], serials_of[row[LINE]]
        if not read.complete(row, ("key", "at", "account", "commodity", "quantity")):
            continue
        key = row["key"]
        at, account, quantity = read.instant(row, "at"), read.account(row), read.quantity(row)
        if f"opening/{key}" in lines:
            first = lines[f"opening/{key}"]
            read.fault(
                line, "key", f"{key!r} stands already on line {first}", "Give each row a key of its own."
            )
            continue
        lines[f"opening/{key}"] = line
        of_units = account is not None and account.state in STATES_OF_UNITS
        lot = row["unit_lot"] or (key if of_units else "")
        brings: tuple[UnitLot, ...] = ()
        if lot:
            papers = read.papers(row, lot, row["commodity"], of_lot[lot])
            if lot not in lots:
                lots[lot], brings = (line, papers), (papers,)
            else:
                _same_papers(read, line, papers, lots[lot])
        elif any(row[column] is not None for column in _PAPERS if column != "note"):
            read.fault(
                line, "unit_lot", "money has no papers", "Leave the columns of papers blank for money."
            )
        if account is None or at is None or quantity is None:
            continue
        if account.nature is Nature.LIABILITY and quantity > 0:
            read.fault(
                line,
                "quantity",
                f"{quantity} is above 0, and {row['account']} is what is owed",
                f"Write {-quantity}.",
            )
            continue
        if account.nature is Nature.ASSET and quantity < 0:
            read.fault(
                line,
                "quantity",
                f"{quantity} is below 0, and {row['account']} holds things",
                f"Write {-quantity}.",
            )
            continue
        postings = (
            Posting(row["account"], row["commodity"], quantity, lot, serials=serials),
            Posting(f"{account.party}:opening", row["commodity"], -quantity, lot, serials=serials),
        )
        cause = row["cause"] or f"opening: {quantity} {row['commodity']} at {row['account']}"
        entry = read.entry(
            [line, line], "row", id=f"opening/{key}", at=at, cause=cause, postings=postings, unit_lots=brings
        )
        if entry is not None:
            entries.append(entry)
    read.stop()
    return Incoming(path.name, tuple(entries), lines)


def read_movements(path: Path, lots: Path | None = None) -> Incoming:
    """Return the entries of a table of movements, one row for each posting, and of the lots that they bring in.

    Raises
    ------
    InputError
        With every fault found in the movements, or in the lots where there are any.
    """
    brought = _read_lots(lots) if lots is not None else []
    rows = _rows(path, MOVEMENTS)
    read = _Reader(path.name)
    by_entry: dict[str, list[Row]] = {}
    whole: set[str] = set()
    for row in rows:
        sound = read.complete(row, ("entry", "account", "commodity", "quantity"))
        if row["entry"] is not None:
            of_entry = by_entry.setdefault(row["entry"], [])
            if not of_entry:
                whole.add(row["entry"])
                sound = read.complete(row, ("at", "cause")) and sound
            of_entry.append(row)
            if not sound:
                whole.discard(row["entry"])
    home = _homes(brought, by_entry, lots)
    entries: list[Entry] = []
    for id_, of_entry in by_entry.items():
        _one_head(read, of_entry)
        before = sum(read.seen.values())
        if id_ not in whole:
            continue
        at = read.instant(of_entry[0], "at")
        expires = read.instant(of_entry[0], "expires") if of_entry[0]["expires"] is not None else None
        parts = [
            (read.account(row), read.quantity(row), read.slot(row), read.words(row, "serials"))
            for row in of_entry
        ]
        if sum(read.seen.values()) > before or at is None:
            continue
        postings = tuple(
            Posting(
                row["account"], row["commodity"], quantity or 0, row["unit_lot"] or "", slot or "", serials
            )
            for row, (_, quantity, slot, serials) in zip(of_entry, parts, strict=True)
        )
        entry = read.entry(
            [row[LINE] for row in of_entry],
            "entry",
            id=id_,
            at=at,
            cause=of_entry[0]["cause"],
            postings=postings,
            unit_lots=home.get(id_, ()),
            reverses=of_entry[0]["reverses"],
            settles=of_entry[0]["settles"] or "",
            expires=expires,
            resolves=of_entry[0]["resolves"],
        )
        if entry is not None:
            entries.append(entry)
    read.stop()
    return Incoming(path.name, tuple(entries), {id_: rows[0][LINE] for id_, rows in by_entry.items()})


def _rows(path: Path, columns: tuple[Any, ...]) -> list[Row]:
    faults = Faults()
    sheet = read_file(path, columns, faults)
    faults.stop()
    return [] if sheet is None else sheet.rows.to_dicts()


def _read_lots(path: Path) -> list[tuple[int, UnitLot, str | None]]:
    read = _Reader(path.name)
    out: list[tuple[int, UnitLot, str | None]] = []
    lines: dict[str, int] = {}
    for row in _rows(path, LOTS):
        if not read.complete(row, ("unit_lot", "accelerator")):
            continue
        lot = row["unit_lot"]
        if lot in lines:
            what = f"{lot!r} stands already on line {lines[lot]}"
            read.fault(row[LINE], "unit_lot", what, "Give each lot one row.")
            continue
        lines[lot] = row[LINE]
        out.append(
            (row[LINE], read.papers(row, lot, row["accelerator"], read.words(row, "serials")), row["entry"])
        )
    read.stop()
    return out


def _homes(
    brought: list[tuple[int, UnitLot, str | None]], by_entry: Mapping[str, list[Row]], path: Path | None
) -> dict[str, tuple[UnitLot, ...]]:
    """Return which lots each entry brings in: the one that its row names, or the first that moves it."""
    first: dict[str, str] = {}
    for id_, rows in by_entry.items():
        for row in rows:
            if row["unit_lot"] is not None:
                first.setdefault(row["unit_lot"], id_)
    read = _Reader("" if path is None else path.name)
    out: dict[str, tuple[UnitLot, ...]] = {}
    for line, lot, named in brought:
        home = named or first.get(lot.id)
        if home is None:
            read.fault(
                line,
                "entry",
                f"no movement moves lot {lot.id!r}",
                "Name the entry that brings it in, or delete the row.",
            )
        elif home not in by_entry:
            read.fault(line, "entry", f"no movement is called {home!r}", "Name an entry of the movements.")
        else:
            out[home] = (*out.get(home, ()), lot)
    read.stop()
    return out


def _one_head(read: _Reader, rows: list[Row]) -> None:
    """Note rows that say something else of their entry than its first row does."""
    for row in rows[1:]:
        for column in _OF_ENTRY:
            if row[column] is not None and row[column] != rows[0][column]:
                read.fault(
                    row[LINE], column,
                    f"{row[column]!r} differs from {rows[0][column]!r} on line {rows[0][LINE]}, of the same entry",
                    "Write the same in each row of an entry, or leave it blank after the first.",
                )  # fmt: skip


def _same_papers(read: _Reader, line: int, papers: UnitLot, before: tuple[int, UnitLot]) -> None:
    first, stated = before
    for name in ("accelerator", *_PAPERS):
        if getattr(papers, name, None) != getattr(stated, name, None):
            read.fault(
                line, "unit_lot" if name == "accelerator" else name,
                f"lot {papers.id!r} has other papers here than on line {first}",
                "Write the same papers for one lot, or name another lot.",
            )  # fmt: skip
