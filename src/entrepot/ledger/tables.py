"""What do the books say, as tables? Balances, journal, postings, provenance; each checked against the journal.

Functions of one reading connection (one moment); the methods of `entrepot.ledger.Ledger` document the columns.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import polars as pl
from sqlalchemy import ColumnElement, Connection, Select, Table, and_, case, func, or_, select

from entrepot.errors import Fault, InputError, NotFound
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account
from entrepot.ledger.journal import instant, read
from entrepot.ledger.records import GENESIS, Sealed, UnitLot
from entrepot.ledger.slots import Slot
from entrepot.ledger.storage import damaged

__all__ = [
    "at_time",
    "balance",
    "balances",
    "journal",
    "linked",
    "postings",
    "provenance",
    "under",
    "unit_lot",
]

_TEXT, _WHOLE, _DAY, _AT = pl.String(), pl.Int64(), pl.Date(), pl.Datetime("us", "UTC")
_BALANCES: dict[str, pl.DataType] = {
    "account": _TEXT,
    "party": _TEXT,
    "site": _TEXT,
    "state": _TEXT,
    "counterparty": _TEXT,
    "commodity": _TEXT,
    "unit_lot": _TEXT,
    "slot": _TEXT,
    "quantity": _WHOLE,
}
_JOURNAL: dict[str, pl.DataType] = {
    "seq": _WHOLE,
    "entry": _TEXT,
    "at": _AT,
    "cause": _TEXT,
    "postings": _WHOLE,
    "reverses": _TEXT,
    "settles": _TEXT,
    "hash": _TEXT,
}
_POSTINGS: dict[str, pl.DataType] = {
    "seq": _WHOLE,
    "entry": _TEXT,
    "at": _AT,
    "cause": _TEXT,
    "line": _WHOLE,
    "account": _TEXT,
    "commodity": _TEXT,
    "quantity": _WHOLE,
    "unit_lot": _TEXT,
    "slot": _TEXT,
}
_PROVENANCE: dict[str, pl.DataType] = {
    "unit_lot": _TEXT,
    "accelerator": _TEXT,
    "imported_on": _DAY,
    "imported_from": _TEXT,
    "authorisation": _TEXT,
    "conditions": _TEXT,
    "parent": _TEXT,
    "seq": _WHOLE,
    "at": _AT,
    "entry": _TEXT,
    "cause": _TEXT,
    "account": _TEXT,
    "slot": _TEXT,
    "quantity": _WHOLE,
    "held": _WHOLE,
}


def linked(chain: Iterable[Sealed], name: str) -> Iterator[Sealed]:
    """Pass entries on, and stop with an error at one that does not follow the one before."""
    seq, last = 0, GENESIS
    for sealed in chain:
        if sealed.seq != seq + 1 or sealed.previous != last:
            raise damaged(f"{name}, entry {sealed.entry.id!r}", f"does not follow entry number {seq}")
        seq, last = sealed.seq, sealed.hash
        yield sealed


def balances(
    connection: Connection,
    name: str,
    account: str | None,
    *,
    slot: str | None,
    at: dt.datetime | None,
) -> pl.DataFrame:
    """Return the balances that are not zero, under an account: as posted so far, or as they are at one time."""
    found: dict[_Key, int]
    if slot is None and at is None:
        found = _posted(connection, name, account, for_good=False)
    elif slot == "":
        found = _posted(connection, name, account, for_good=True)
    else:
        when = at if slot is None else _beginning(slot)
        if when is None or (at is not None and slot is not None):
            raise InputError(Fault("balances", "a slot and a time were given", "Give one of them."))
        found = {(*key, slot or ""): n for key, n in at_time(connection, name, account, when).items()}
    rows = []
    for (text, commodity, lot, of_slot), quantity in sorted(found.items()):
        parts = Account.parse(text)
        rows.append(
            (
                text,
                parts.party,
                parts.site,
                parts.state,
                parts.counterparty,
                commodity,
                lot,
                of_slot,
                quantity,
            )
        )
    return pl.DataFrame(rows, schema=_BALANCES, orient="row")


def balance(
    connection: Connection, name: str, key: tuple[str, str, str], *, at: dt.datetime | None, slot: str
) -> int:
    """Return one balance: as posted so far, for good; or as it is at one time. Its cost does not grow with the journal."""
    if at is None and not slot:
        stored = _for_good(connection, key)
        if stored != _level(connection, name, key, None):
            raise damaged(
                name, f"the balance of {key[0]} is stored as {stored}, and its history ends otherwise"
            )
        return stored
    when = _beginning(slot) if at is None else at
    return _level(connection, name, key, when) + _in_slots(connection, name, key, when)


def at_time(
    connection: Connection, name: str, account: str | None, when: dt.datetime
) -> dict[tuple[str, str, str], int]:
    """Return what is held of everything at one time, where it is not zero."""
    if when.utcoffset() != dt.timedelta(0):
        raise InputError(Fault(f"time {when!r}", "is not UTC", "Give a datetime with tzinfo=UTC."))
    b = schema.balances.c
    keys = select(b.account, b.commodity, b.unit_lot, func.max(b.slot).label("last")).group_by(
        b.account, b.commodity, b.unit_lot
    )
    out: dict[tuple[str, str, str], int] = {}
    for row in connection.execute(under(keys, b.account, account)).all():
        key = (row.account, row.commodity, row.unit_lot)
        total = _level(connection, name, key, when)
        if row.last:
            total += _in_slots(connection, name, key, when)
        if total != 0:
            out[key] = total
    return out


def journal(chain: Iterable[Sealed]) -> pl.DataFrame:
    """Return one row per entry."""
    rows = [
        (
            s.seq,
            s.entry.id,
            s.entry.at,
            s.entry.cause,
            len(s.entry.postings),
            s.entry.reverses,
            s.entry.settles,
            s.hash,
        )
        for s in chain
    ]
    return pl.DataFrame(rows, schema=_JOURNAL, orient="row")


def postings(chain: Iterable[Sealed]) -> pl.DataFrame:
    """Return one row per posting."""
    rows = [
        (
            s.seq,
            s.entry.id,
            s.entry.at,
            s.entry.cause,
            line,
            p.account,
            p.commodity,
            p.quantity,
            p.unit_lot,
            p.slot,
        )
        for s in chain
        for line, p in enumerate(s.entry.postings)
    ]
    return pl.DataFrame(rows, schema=_POSTINGS, orient="row")


def unit_lot(connection: Connection, name: str, lot_id: str) -> UnitLot:
    """Return a lot's papers, from the entry that brought it in."""
    lots = schema.unit_lots.c
    seq = connection.execute(select(lots.entry).where(lots.id == lot_id)).scalar_one_or_none()
    if seq is None:
        raise NotFound("unit lot", lot_id, list(connection.execute(select(lots.id)).scalars()))
    (sealed,) = read(connection, name, schema.entries.c.seq == seq)
    return next(lot for lot in sealed.entry.unit_lots if lot.id == lot_id)


def provenance(connection: Connection, name: str, lot_id: str | None) -> pl.DataFrame:
    """Return every posting of a lot and of the lots that it comes from; of all lots, if none is named."""
    if lot_id is None:
        ids = list(
            connection.execute(select(schema.unit_lots.c.id).order_by(schema.unit_lots.c.id)).scalars()
        )
        papers = {id_: unit_lot(connection, name, id_) for id_ in ids}
    else:
        papers = {}
        ancestor: str | None = lot_id
        while ancestor is not None and ancestor not in papers:
            papers = {ancestor: unit_lot(connection, name, ancestor), **papers}
            ancestor = papers[ancestor].parent
    of_lot: dict[str, list[tuple[object, ...]]] = {id_: [] for id_ in papers}
    held: dict[tuple[str, str, str], int] = defaultdict(int)
    touched = select(schema.postings.c.entry).where(schema.postings.c.unit_lot.in_(list(papers)))
    for sealed in read(connection, name, schema.entries.c.seq.in_(touched)):
        for p in sealed.entry.postings:
            if p.unit_lot in papers:
                held[p.account, p.unit_lot, p.slot] += p.quantity
                now = held[p.account, p.unit_lot, p.slot]
                entry = sealed.entry
                of_lot[p.unit_lot].append(
                    (sealed.seq, entry.at, entry.id, entry.cause, p.account, p.slot, p.quantity, now)
                )
    rows = [(*_papers(papers[id_]), *row) for id_, found in of_lot.items() for row in found]
    return pl.DataFrame(rows, schema=_PROVENANCE, orient="row")


_Key: TypeAlias = tuple[str, str, str, str]


def _papers(lot: UnitLot) -> tuple[object, ...]:
    conditions = "; ".join(lot.conditions)
    return (
        lot.id,
        lot.accelerator,
        lot.imported_on,
        lot.imported_from,
        lot.authorisation,
        conditions,
        lot.parent,
    )


def _is(table: Table, key: tuple[str, str, str]) -> tuple[ColumnElement[bool], ...]:
    c = table.c
    return (c.account == key[0], c.commodity == key[1], c.unit_lot == key[2])


def under(query: Select[Any], column: ColumnElement[str], account: str | None) -> Select[Any]:
    """Keep an account and those under it: a range of the key, as ``;`` follows ``:``."""
    if not account:
        return query
    stem = account.rstrip(":")
    return query.where(or_(column == stem, and_(column >= f"{stem}:", column < f"{stem};")))


def _level(connection: Connection, name: str, key: tuple[str, str, str], when: dt.datetime | None) -> int:
    """Return what is held for good at a time (in the end, if none is given), checked against the rows beside it.

    A row whose key was damaged is not found at all: so the next row, or the balance after the last, must follow as well.
    """
    v = schema.levels.c
    of_key = select(v.quantity, v.change).where(*_is(schema.levels, key))
    latest = of_key.order_by(v.at.desc()).limit(2)
    rows = connection.execute(latest if when is None else latest.where(v.at <= instant(when))).all()
    found = _checked(rows, name, key)
    if when is not None:
        after = connection.execute(of_key.where(v.at > instant(when)).order_by(v.at).limit(1)).one_or_none()
        follows = _for_good(connection, key) if after is None else int(after.quantity) - int(after.change)
        if follows != found:
            raise damaged(
                name, f"the balance of {key[0]} is stored as {found}, and what follows rests on {follows}"
            )
    return found


def _for_good(connection: Connection, key: tuple[str, str, str]) -> int:
    b = schema.balances.c
    stored = connection.execute(select(b.quantity).where(*_is(schema.balances, key), b.slot == ""))
    return int(stored.scalar_one_or_none() or 0)


def _in_slots(connection: Connection, name: str, key: tuple[str, str, str], when: dt.datetime) -> int:
    """Return what slots add at a time, checked against the slots that were posted to."""
    t, b, s = schema.timeline.c, schema.balances.c, schema.slots.c
    day = str(when.date())
    query = select(t.quantity, t.change).where(*_is(schema.timeline, key), t.hour == when.hour, t.day <= day)
    found = _checked(connection.execute(query.order_by(t.day.desc()).limit(2)).all(), name, key)
    covers = (s.first_day <= day, s.end_day > day, s.hour_from <= when.hour, s.hour_to > when.hour)
    posted = (
        select(func.coalesce(func.sum(b.quantity), 0))
        .join_from(schema.balances, schema.slots, b.slot == s.slot)
        .where(*_is(schema.balances, key), b.slot != "", *covers)
    )
    again = int(connection.execute(posted).scalar_one())
    if again != found:
        raise damaged(
            name,
            f"what slots add to {key[0]} at {when:%Y-%m-%d %H:%M} is stored as {found}, and they give {again}",
        )
    return found


def _checked(rows: Sequence[Any], name: str, key: tuple[str, str, str]) -> int:
    if not rows:
        return 0
    before = rows[1].quantity if len(rows) == 2 else 0
    if rows[0].quantity - rows[0].change != before:
        raise damaged(
            name,
            f"the balance of {key[0]} is stored as {rows[0].quantity} after {before} and a change of {rows[0].change}",
        )
    return int(rows[0].quantity)


def _posted(connection: Connection, name: str, account: str | None, *, for_good: bool) -> dict[_Key, int]:
    """Return the sums of all postings, by slot; what is for good is checked against its history."""
    b, v = schema.balances.c, schema.levels.alias("v")
    last = (
        select(v.c.quantity)
        .where(v.c.account == b.account, v.c.commodity == b.commodity, v.c.unit_lot == b.unit_lot)
        .order_by(v.c.at.desc())
        .limit(1)
        .scalar_subquery()
    )
    known = and_(schema.accounts.c.account.is_not(None), schema.slots.c.slot.is_not(None))
    again = case((b.slot == "", last), else_=b.quantity).label("again")
    query = (
        select(schema.balances, again, known.label("known"))
        .outerjoin_from(schema.balances, schema.accounts, schema.accounts.c.account == b.account)
        .outerjoin(schema.slots, schema.slots.c.slot == b.slot)
    )
    if for_good:
        query = query.where(b.slot == "")
    out: dict[_Key, int] = {}
    for r in connection.execute(under(query, b.account, account)):
        if not r.known:
            raise damaged(
                name, f"a balance is stored of {r.account!r} in slot {r.slot!r}, and nothing was posted there"
            )
        if r.quantity != r.again:
            raise damaged(
                name,
                f"the balance of {r.account} is stored as {r.quantity}, and its history ends with {r.again}",
            )
        if r.quantity != 0:
            out[r.account, r.commodity, r.unit_lot, r.slot] = r.quantity
    return out


def _beginning(slot: str) -> dt.datetime:
    """Return when a slot of one hour begins."""
    hour = Slot.parse(slot)
    if (hour.hour_to - hour.hour_from, (hour.end - hour.first).days) != (1, 1):
        raise InputError(
            Fault(f"slot {slot!r}", "is more than one hour", "Ask for one hour of one day: 2025-07-01/h14.")
        )
    return dt.datetime.combine(hour.first, dt.time(hour.hour_from), tzinfo=dt.UTC)
