"""How does an entry become rows, and rows an entry again? Reading back checks the hash of whatever it reads.

Nothing here decides whether an entry may be written: the database does, when the seal is inserted. `explain` only finds
the words for a refusal.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Insert,
    Row,
    Select,
    insert,
    select,
)
from sqlalchemy.exc import IntegrityError

from entrepot.errors import Conflict, InputError
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account, Nature
from entrepot.ledger.course import Course
from entrepot.ledger.records import Entry, Posting, Sealed, UnitLot, chained
from entrepot.ledger.slots import Slot
from entrepot.ledger.storage import damaged

__all__ = [
    "Rows",
    "Writer",
    "entry_rows",
    "explain",
    "first_fault",
    "instant",
    "moment",
    "read",
    "rebuilt",
    "stored",
]

_READ_AT_ONCE = 500  # entries


def instant(at: dt.datetime) -> str:
    """Return a UTC time as it is stored."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def moment(text: str) -> dt.datetime:
    """Return a stored time.

    Raises
    ------
    ValueError
        When it is none.
    """
    if not text.endswith("Z"):
        raise ValueError(f"{text!r} is no time in UTC")
    return dt.datetime.fromisoformat(text)


@dataclass(slots=True)
class Writer:
    """Appends entries within one transaction. ``known`` are accounts and slots that need not be taken apart again."""

    connection: Connection
    name: str
    known: frozenset[str]
    learnt: set[str] = field(default_factory=set)
    appended: list[Entry] = field(default_factory=list)
    seq: int = -1
    hash: str = ""

    def __post_init__(self) -> None:
        self.seq, self.hash = self.connection.execute(select(schema.head.c.seq, schema.head.c.hash)).one()

    def append(self, entry: Entry) -> Sealed:
        """Write an entry and its seal.

        Raises
        ------
        Conflict
            When an account would hold less than nothing, a debt be overpaid, a reversal differ from what it reverses.
        """
        seq, hash_ = self.seq + 1, chained(self.hash, entry)
        run = self._run
        self._take_apart(entry)
        run(
            _ENTRY,
            {
                "seq": seq,
                "id": entry.id,
                "at": instant(entry.at),
                "cause": entry.cause,
                "reverses": entry.reverses,
                "settles": entry.settles,
                "previous": self.hash,
                "expires": None if entry.expires is None else instant(entry.expires),
                "resolves": entry.resolves,
            },
        )
        if entry.unit_lots:
            run(_UNIT_LOT, [_lot_row(seq, line, lot) for line, lot in enumerate(entry.unit_lots)])
            serials: list[Mapping[str, object]] = [
                {"unit_lot": lot.id, "line": line, "serial": serial}
                for lot in entry.unit_lots
                for line, serial in enumerate(lot.serials)
            ]
            if serials:
                run(_SERIAL, serials)
        run(
            _POSTING,
            [
                {
                    "entry": seq,
                    "line": line,
                    "account": p.account,
                    "commodity": p.commodity,
                    "quantity": p.quantity,
                    "unit_lot": p.unit_lot,
                    "slot": p.slot,
                }
                for line, p in enumerate(entry.postings)
            ],
        )
        moved: list[Mapping[str, object]] = [
            {"entry": seq, "line": line, "number": number, "serial": serial}
            for line, p in enumerate(entry.postings)
            for number, serial in enumerate(p.serials)
        ]
        if moved:
            run(_POSTING_SERIAL, moved)
        try:
            run(_SEAL, {"seq": seq, "hash": hash_})
        except IntegrityError as error:
            why = self._explained(entry)
            if why:
                raise Conflict(f"entry {entry.id!r} was refused, nothing was written: {why}") from error
            raise
        sealed = Sealed(seq, entry, self.hash, hash_)
        self.seq, self.hash = seq, hash_
        self.appended.append(entry)
        return sealed

    def _explained(self, entry: Entry) -> str:
        if self.connection.dialect.name == "sqlite":
            return explain(self.connection, entry)
        # A transaction of PostgreSQL answers nothing more after a refusal: what was there before it does, and what it did
        # is known. (A savepoint before each seal would help too, and make entry n of a transaction cost n times as much.)
        with self.connection.engine.connect() as beside:
            return explain(beside, entry, self.appended)

    def _run(self, statement: Insert, rows: Mapping[str, object] | list[Mapping[str, object]]) -> None:
        self.connection.exec_driver_sql(_compiled(statement, self.connection.dialect), rows)

    def _take_apart(self, entry: Entry) -> None:
        accounts = {p.account for p in entry.postings} - self.known - self.learnt
        if accounts:
            self._run(_ACCOUNT, [_account_row(account) for account in sorted(accounts)])
        slots = {p.slot for p in entry.postings if p.slot} - self.known - self.learnt
        if slots:
            self._run(_SLOT, [_slot_row(slot) for slot in sorted(slots)])
        self.learnt |= accounts | slots


@dataclass(frozen=True, slots=True)
class Rows:
    """One entry as it is stored, and the hash that it was sealed with (``None`` if unsealed)."""

    entry: Row[Any]
    postings: Sequence[Row[Any]]
    lots: Sequence[Row[Any]]
    moved: Mapping[int, tuple[str, ...]]  # line of the posting -> serial numbers
    brought: Mapping[str, tuple[str, ...]]  # unit lot -> serial numbers


def entry_rows(connection: Connection, *where: ColumnElement[bool]) -> Iterator[Rows]:
    """Yield each entry as it is stored, in order."""
    heads = _HEADS.where(*where)
    p, u, n, s = (t.c for t in (schema.postings, schema.unit_lots, schema.posting_serials, schema.serials))
    moves = select(schema.posting_serials).order_by(n.entry, n.line, n.number)
    brings = (
        select(schema.serials, u.entry)
        .join(schema.unit_lots, u.id == s.unit_lot)
        .order_by(u.entry, s.unit_lot, s.line)
    )
    after = -1
    while True:
        chunk = connection.execute(heads.where(schema.entries.c.seq > after).limit(_READ_AT_ONCE)).all()
        if not chunk:
            return
        seqs = [row.seq for row in chunk]
        after = seqs[-1]
        postings = _by_entry(connection, select(schema.postings).order_by(p.entry, p.line), p.entry, seqs)
        lots = _by_entry(connection, select(schema.unit_lots).order_by(u.entry, u.line), u.entry, seqs)
        moved = _by_entry(connection, moves, n.entry, seqs)
        brought = _by_entry(connection, brings, u.entry, [seq for seq in seqs if seq in lots])
        for row in chunk:
            yield Rows(
                row,
                postings.get(row.seq, []),
                lots.get(row.seq, []),
                _serials(moved.get(row.seq, []), "line"),
                _serials(brought.get(row.seq, []), "unit_lot"),
            )


def _serials(rows: Sequence[Row[Any]], by: str) -> dict[Any, tuple[str, ...]]:
    return {
        of: tuple(row.serial for row in group)
        for of, group in groupby(rows, key=lambda row: getattr(row, by))
    }


def rebuilt(rows: Rows) -> Entry:
    """Make the entry of its rows.

    Raises
    ------
    InputError, ValueError
        When the rows are no entry that could have been written.
    """
    row = rows.entry
    return Entry(
        id=row.id,
        at=moment(row.at),
        cause=row.cause,
        postings=tuple(
            Posting(p.account, p.commodity, p.quantity, p.unit_lot, p.slot, rows.moved.get(p.line, ()))
            for p in rows.postings
        ),
        unit_lots=tuple(_lot(lot, rows.brought.get(lot.id, ())) for lot in rows.lots),
        reverses=row.reverses,
        settles=row.settles,
        expires=None if row.expires is None else moment(row.expires),
        resolves=row.resolves,
    )


def first_fault(error: Exception) -> str:
    """Return in one line why rows are no entry."""
    return error.faults[0].what if isinstance(error, InputError) else str(error)


def read(connection: Connection, name: str, *where: ColumnElement[bool]) -> Iterator[Sealed]:
    """Yield sealed entries in order, each checked against its own hash.

    Raises
    ------
    InputError
        When a stored entry does not give the hash that it was sealed with.
    """
    for rows in entry_rows(connection, *where):
        row = rows.entry
        try:
            entry = rebuilt(rows)
        except (InputError, ValueError, TypeError) as error:
            raise damaged(
                f"{name}, entry {row.id!r}", f"is not as it was written: {first_fault(error)}"
            ) from error
        if row.hash is None or chained(row.previous, entry) != row.hash:
            raise damaged(f"{name}, entry {row.id!r}", "is not as it was written: its hash is another")
        yield Sealed(row.seq, entry, row.previous, row.hash)


def stored(connection: Connection, name: str, ids: Sequence[str]) -> dict[str, Sealed]:
    """Return those entries of these ids that are in the journal."""
    found: dict[str, Sealed] = {}
    for start in range(0, len(ids), _READ_AT_ONCE):
        some = schema.entries.c.id.in_(ids[start : start + _READ_AT_ONCE])
        found.update((sealed.entry.id, sealed) for sealed in read(connection, name, some))
    return found


def explain(connection: Connection, entry: Entry, before: Sequence[Entry] = ()) -> str:
    """Say which account the entry would overdraw, and when; empty when that is not what is wrong.

    Parameters
    ----------
    before : entries of the same transaction that the connection does not see
    """
    wanted: dict[tuple[str, str, str], list[Posting]] = {}
    for p in entry.postings:
        wanted.setdefault((p.account, p.commodity, p.unit_lot), []).append(p)
    for (account, commodity, unit_lot), postings in wanted.items():
        nature = Account.parse(account).nature
        if nature is Nature.EQUITY:
            continue
        sign = 1 if nature is Nature.ASSET else -1
        had, then = (course(connection, account, commodity, unit_lot) for _ in range(2))
        for earlier in before:
            for p in earlier.postings:
                if (p.account, p.commodity, p.unit_lot) == (account, commodity, unit_lot):
                    for steps in (had, then):
                        steps.add(earlier.at if not p.slot else Slot.parse(p.slot), p.quantity)
        for p in postings:
            then.add(entry.at if not p.slot else Slot.parse(p.slot), p.quantity)
        low, when = then.lowest(sign=sign)
        if low >= 0 or when is None:
            continue
        there, left = had.at(when), then.at(when)
        lot = f" of lot {unit_lot}" if unit_lot else ""
        if nature is Nature.LIABILITY:
            verb = "given back" if unit_lot else "paid"
            return f"{account} owes {-there} {commodity}{lot} at {when:%Y-%m-%d %H:%M} UTC, and {left - there} would be {verb}."
        if had.has_slots or any(p.slot for p in postings):
            return f"{account} has {there} {commodity}{lot} free at {when:%Y-%m-%d %H:%M} UTC, and {there - left} would leave it."
        return f"{account} holds {there} {commodity}{lot} at {when:%Y-%m-%d %H:%M} UTC, and {there - left} would leave it."
    return ""


def course(connection: Connection, account: str, commodity: str, unit_lot: str) -> Course:
    """Return an account's balance over all time, as it is stored."""
    out = Course()
    v, t = schema.levels.c, schema.timeline.c
    for row in connection.execute(
        select(v.at, v.change).where(v.account == account, v.commodity == commodity, v.unit_lot == unit_lot)
    ):
        out.add(moment(row.at), row.change)
    for step in connection.execute(
        select(t.hour, t.day, t.change).where(
            t.account == account, t.commodity == commodity, t.unit_lot == unit_lot
        )
    ):
        out.change(step.hour, dt.date.fromisoformat(step.day), step.change)
    return out


@lru_cache(maxsize=64)
def _compiled(statement: Insert, dialect: Dialect) -> str:
    # The same few statements follow one another thousands of times in a settlement.
    return str(statement.compile(dialect=dialect))


_ENTRY = insert(schema.entries).inline()
_UNIT_LOT = insert(schema.unit_lots).inline()
_POSTING = insert(schema.postings).inline()
_SERIAL = insert(schema.serials).inline()
_POSTING_SERIAL = insert(schema.posting_serials).inline()
_SEAL = insert(schema.seals).inline()
_ACCOUNT = insert(schema.accounts).inline()  # one that is there already is skipped by its guard
_SLOT = insert(schema.slots).inline()
_HEADS: Select[Any] = (
    select(schema.entries, schema.seals.c.hash)
    .outerjoin(schema.seals, schema.seals.c.seq == schema.entries.c.seq)
    .order_by(schema.entries.c.seq)
)


def _by_entry(
    connection: Connection, query: Select[Any], of: ColumnElement[int], seqs: list[int]
) -> dict[int, list[Row[Any]]]:
    rows = connection.execute(query.where(of.in_(seqs)))
    return {seq: list(group) for seq, group in groupby(rows, key=lambda row: row.entry)}


def _account_row(text: str) -> Mapping[str, object]:
    account = Account.parse(text)
    return {
        "account": text,
        "party": account.party,
        "site": account.site,
        "state": account.state,
        "counterparty": account.counterparty,
        "nature": account.nature.value,
    }


def _slot_row(text: str) -> Mapping[str, object]:
    slot = Slot.parse(text)
    return {
        "slot": text,
        "first_day": str(slot.first),
        "end_day": str(slot.end),
        "hour_from": slot.hour_from,
        "hour_to": slot.hour_to,
    }


def _lot_row(seq: int, line: int, lot: UnitLot) -> Mapping[str, object]:
    return {
        "id": lot.id,
        "accelerator": lot.accelerator,
        "imported_on": None if lot.imported_on is None else str(lot.imported_on),
        "imported_from": lot.imported_from,
        "authorisation": lot.authorisation,
        "conditions": json.dumps(lot.conditions, ensure_ascii=False),
        "parent": lot.parent,
        "note": lot.note,
        "entry": seq,
        "line": line,
    }


def _lot(row: Row[Any], serials: tuple[str, ...]) -> UnitLot:
    return UnitLot(
        id=row.id,
        accelerator=row.accelerator,
        imported_on=None if row.imported_on is None else dt.date.fromisoformat(row.imported_on),
        imported_from=row.imported_from,
        authorisation=row.authorisation,
        conditions=tuple(json.loads(row.conditions)),
        parent=row.parent,
        note=row.note,
        serials=serials,
    )
