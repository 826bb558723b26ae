"""What do the books say, as tables? Balances, journal, postings, provenance; each checked against the journal.

Functions of one reading connection (one moment); the methods of `entrepot.ledger.Ledger` document the columns.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import polars as pl
from sqlalchemy import ColumnElement, Connection, Select, func, select

from entrepot.errors import Fault, InputError, NotFound
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account
from entrepot.ledger.journal import instant, read
from entrepot.ledger.records import GENESIS, Sealed, UnitLot
from entrepot.ledger.slots import Slot
from entrepot.ledger.storage import damaged

__all__ = ["balances", "journal", "linked", "postings", "provenance", "unit_lot"]

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
    alone: bool = False,
) -> pl.DataFrame:
    """Return the balances that are not zero, under an account (or of it alone), in a slot, up to a time."""
    of = account if alone else None
    found = _keyed(connection, _summed(at, of))
    if at is None:
        stored = _keyed(connection, _of(select(schema.balances), schema.balances.c.account, of))
        if stored != found:
            key = min(key for key in stored.keys() | found.keys() if stored.get(key, 0) != found.get(key, 0))
            there, right = stored.get(key, 0), found.get(key, 0)
            raise damaged(
                name, f"the balance of {key[0]} is stored as {there}, and the journal gives {right}"
            )
    if slot is not None:
        found = _in_hour(found, slot)
    rows = []
    for (text, commodity, lot, of_slot), quantity in sorted(found.items()):
        if account and text != account and not text.startswith(account.rstrip(":") + ":"):
            continue
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


def _of(query: Select[Any], column: ColumnElement[str], account: str | None) -> Select[Any]:
    return query if account is None else query.where(column == account)


def _summed(at: dt.datetime | None, account: str | None) -> Select[Any]:
    p = schema.postings.c
    key = (p.account, p.commodity, p.unit_lot, p.slot)
    query = _of(select(*key, func.sum(p.quantity).label("quantity")).group_by(*key), p.account, account)
    if at is None:
        return query
    if at.utcoffset() != dt.timedelta(0):
        raise InputError(Fault(f"time {at!r}", "is not UTC", "Give a datetime with tzinfo=UTC."))
    return query.join_from(schema.postings, schema.entries).where(schema.entries.c.at <= instant(at))


def _keyed(connection: Connection, query: Select[Any]) -> dict[_Key, int]:
    rows = connection.execute(query)
    return {(r.account, r.commodity, r.unit_lot, r.slot): r.quantity for r in rows if r.quantity != 0}


def _in_hour(found: dict[_Key, int], slot: str) -> dict[_Key, int]:
    hour = Slot.parse(slot) if slot else None
    if hour is not None and (hour.hour_to - hour.hour_from, (hour.end - hour.first).days) != (1, 1):
        raise InputError(
            Fault(f"slot {slot!r}", "is more than one hour", "Ask for one hour of one day: 2025-07-01/h14.")
        )
    total: dict[_Key, int] = defaultdict(int)
    for (account, commodity, lot, of_slot), quantity in found.items():
        if not of_slot or (hour is not None and Slot.parse(of_slot).covers(hour.first, hour.hour_from)):
            total[account, commodity, lot, slot] += quantity
    return {key: quantity for key, quantity in total.items() if quantity != 0}
