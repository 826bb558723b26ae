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

from sqlalchemy import ColumnElement, Connection, Dialect, Insert, Row, Select, insert, select
from sqlalchemy.exc import IntegrityError

from entrepot.errors import Conflict, InputError
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account, Nature
from entrepot.ledger.records import Entry, Posting, Sealed, UnitLot, chained
from entrepot.ledger.slots import Slot, Timeline
from entrepot.ledger.storage import damaged

__all__ = ["Writer", "entry_rows", "first_fault", "instant", "read", "rebuilt", "stored"]

_READ_AT_ONCE = 500  # entries


def instant(at: dt.datetime) -> str:
    """Return a UTC time as it is stored."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(slots=True)
class Writer:
    """Appends entries within one transaction. ``known`` are accounts and slots that need not be taken apart again."""

    connection: Connection
    name: str
    known: frozenset[str]
    learnt: set[str] = field(default_factory=set)
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
            },
        )
        if entry.unit_lots:
            run(_UNIT_LOT, [_lot_row(seq, line, lot) for line, lot in enumerate(entry.unit_lots)])
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
        try:
            run(_SEAL, {"seq": seq, "hash": hash_})
        except IntegrityError as error:
            why = explain(self.connection, entry)
            if why:
                raise Conflict(f"entry {entry.id!r} was refused, nothing was written: {why}") from error
            raise
        sealed = Sealed(seq, entry, self.hash, hash_)
        self.seq, self.hash = seq, hash_
        return sealed

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


def entry_rows(
    connection: Connection, *where: ColumnElement[bool]
) -> Iterator[tuple[Row[Any], list[Row[Any]], list[Row[Any]]]]:
    """Yield each entry's row (with its seal's hash, ``None`` if unsealed), postings and unit lots, in order."""
    heads = _HEADS.where(*where)
    after = -1
    while True:
        chunk = connection.execute(heads.where(schema.entries.c.seq > after).limit(_READ_AT_ONCE)).all()
        if not chunk:
            return
        seqs = [row.seq for row in chunk]
        after = seqs[-1]
        postings = _by_entry(
            connection,
            select(schema.postings).order_by(schema.postings.c.entry, schema.postings.c.line),
            schema.postings.c.entry,
            seqs,
        )
        lots = _by_entry(
            connection,
            select(schema.unit_lots).order_by(schema.unit_lots.c.entry, schema.unit_lots.c.line),
            schema.unit_lots.c.entry,
            seqs,
        )
        for row in chunk:
            yield row, postings.get(row.seq, []), lots.get(row.seq, [])


def rebuilt(row: Row[Any], postings: Sequence[Row[Any]], lots: Sequence[Row[Any]]) -> Entry:
    """Make the entry of its rows.

    Raises
    ------
    InputError, ValueError
        When the rows are no entry that could have been written.
    """
    return Entry(
        id=row.id,
        at=dt.datetime.strptime(row.at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=dt.UTC),
        cause=row.cause,
        postings=tuple(Posting(p.account, p.commodity, p.quantity, p.unit_lot, p.slot) for p in postings),
        unit_lots=tuple(_lot(lot) for lot in lots),
        reverses=row.reverses,
        settles=row.settles,
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
    for row, postings, lots in entry_rows(connection, *where):
        try:
            entry = rebuilt(row, postings, lots)
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


def explain(connection: Connection, entry: Entry) -> str:
    """Say which account the entry would overdraw, and in which hour; empty when that is not what is wrong."""
    net: dict[tuple[str, str, str], list[tuple[str, int]]] = {}
    for p in entry.postings:
        net.setdefault((p.account, p.commodity, p.unit_lot), []).append((p.slot, p.quantity))
    b = schema.balances.c
    for (account, commodity, unit_lot), wanted in net.items():
        nature = Account.parse(account).nature
        of_key = select(b.slot, b.quantity).where(
            b.account == account, b.commodity == commodity, b.unit_lot == unit_lot
        )
        had = [(row.slot, row.quantity) for row in connection.execute(of_key)]
        always = sum(q for slot, q in had if not slot)
        change = sum(q for slot, q in wanted if not slot)
        lot = f" of lot {unit_lot}" if unit_lot else ""
        if nature is Nature.LIABILITY and always + change > 0:
            return f"{account} owes {-always} {commodity}, and {change} would be paid."
        if nature is not Nature.ASSET:
            continue
        slots_had = [(Slot.parse(slot), q) for slot, q in had if slot]
        slots_wanted = [(Slot.parse(slot), q) for slot, q in wanted if slot]
        low, day, hour = Timeline([*slots_had, *slots_wanted]).lowest()
        if always + change + low >= 0:
            continue
        if day is None or hour is None:
            return f"{account} holds {always} {commodity}{lot}, and {-change} would leave it."
        free = always + sum(q for slot, q in slots_had if slot.covers(day, hour))
        leaves = -change - sum(q for slot, q in slots_wanted if slot.covers(day, hour))
        return f"{account} has {free} {commodity}{lot} free at {day} {hour:02}:00 UTC, and {leaves} would leave it."
    return ""


@lru_cache(maxsize=64)
def _compiled(statement: Insert, dialect: Dialect) -> str:
    # The same few statements follow one another thousands of times in a settlement.
    return str(statement.compile(dialect=dialect))


_ENTRY = insert(schema.entries).inline()
_UNIT_LOT = insert(schema.unit_lots).inline()
_POSTING = insert(schema.postings).inline()
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


def _lot(row: Row[Any]) -> UnitLot:
    return UnitLot(
        id=row.id,
        accelerator=row.accelerator,
        imported_on=None if row.imported_on is None else dt.date.fromisoformat(row.imported_on),
        imported_from=row.imported_from,
        authorisation=row.authorisation,
        conditions=tuple(json.loads(row.conditions)),
        parent=row.parent,
        note=row.note,
    )
