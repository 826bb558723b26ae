"""From which lots do units come, where the parties do not care? First in, first out; and what was taken is recorded.

The choice is made under the lock, from what is free then, and stands in the entry as named lots: reading the journal needs
no rule. Lots that came to the account earlier go first; of those that came together, the earlier import, then the id.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from entrepot.errors import Conflict, Fault, InputError
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account
from entrepot.ledger.journal import course
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.records import Entry, Posting, Sealed
from entrepot.ledger.slots import Slot

__all__ = ["Taken", "first_in", "transfer"]


@dataclass(frozen=True, slots=True)
class Taken:
    """Units of one lot that were chosen; ``serials`` where the lot has them."""

    unit_lot: str
    quantity: int
    serials: tuple[str, ...] = ()


def first_in(
    connection: Connection,
    account: str,
    commodity: str,
    quantity: int,
    *,
    since: dt.datetime,
    slot: str = "",
    lots: Sequence[str] = (),
) -> list[Taken]:
    """Choose units that are free from a time on (or in a slot), first in first out.

    Parameters
    ----------
    lots : only of these, in this order; of all lots, first in first out, if none is named

    Raises
    ------
    Conflict
        When so many are not free.
    """
    out: list[Taken] = []
    left = quantity
    for lot in lots or _in_order(connection, account, commodity):
        takes = min(left, _free(connection, (account, commodity, lot), since, slot))
        if takes > 0:
            out.append(Taken(lot, takes, () if slot else _devices(connection, account, lot, takes)))
            left -= takes
        if left == 0:
            return out
    of = f" of {', '.join(lots)}" if lots else ""
    raise Conflict(
        f"{account} has {quantity - left} {commodity}{of} free from {since:%Y-%m-%d %H:%M} UTC on, and {quantity} were asked for;"
        " nothing was written."
    )


def transfer(
    ledger: Ledger,
    id: str,  # noqa: A002 - the record's word
    source: str,
    target: str,
    commodity: str,
    quantity: int,
    *,
    at: dt.datetime,
    slot: str = "",
    lots: Sequence[str] = (),
    also: Sequence[Posting] = (),
    cause: str = "",
) -> Sealed:
    """Move units from one account to another: of named lots, or first in first out.

    A retry with the same id, accounts and quantity is answered with the entry that is there.

    Parameters
    ----------
    also : postings of the same entry, for example what is paid

    Raises
    ------
    Conflict
        When so many are not free, or the id stands for something else.
    """
    if quantity <= 0:
        raise InputError(Fault(f"transfer {id!r}", f"{quantity} units", "Move at least one."))
    Account.parse(source)
    Account.parse(target)

    def make(connection: Connection) -> Entry:
        since = at if not slot else dt.datetime.combine(Slot.parse(slot).first, dt.time(), tzinfo=dt.UTC)
        taken = first_in(connection, source, commodity, quantity, since=since, slot=slot, lots=lots)
        how = "" if lots else " (first in, first out)"
        postings = [
            Posting(account, commodity, sign * t.quantity, t.unit_lot, slot, t.serials)
            for t in taken
            for account, sign in ((source, -1), (target, 1))
        ]
        words = cause or f"{quantity} {commodity}, {source} to {target}{how}"
        return Entry(id, at, words, (*postings, *also))

    def same(there: Entry) -> bool:
        moved = [
            (p.account, p.quantity) for p in there.postings if p.commodity == commodity and p.slot == slot
        ]
        return there.at == at and all(
            sum(q for account, q in moved if account == of) == n
            for of, n in ((source, -quantity), (target, quantity))
        )

    return ledger.build(id, make, same=same)


def _in_order(connection: Connection, account: str, commodity: str) -> list[str]:
    v, u = schema.levels.c, schema.unit_lots.c
    came = (
        select(v.unit_lot, func.min(v.at).label("came"))
        .where(v.account == account, v.commodity == commodity, v.unit_lot != "")
        .group_by(v.unit_lot)
        .subquery()
    )
    query = select(came.c.unit_lot, came.c.came, u.imported_on).join(
        schema.unit_lots, u.id == came.c.unit_lot
    )
    rows = connection.execute(query).all()
    return [r.unit_lot for r in sorted(rows, key=lambda r: (r.came, r.imported_on or "9999", r.unit_lot))]


def _free(connection: Connection, key: tuple[str, str, str], since: dt.datetime, slot: str) -> int:
    steps = course(connection, *key)
    if not slot:
        return max(0, steps.lowest(since=since)[0])
    hours = Slot.parse(slot)
    days = (hours.end - hours.first).days
    lows = steps.by_hour(dt.datetime.combine(hours.first, dt.time(), tzinfo=dt.UTC), 24 * days).reshape(
        days, 24
    )
    return max(0, int(lows[:, hours.hour_from : hours.hour_to].min()))


def _devices(connection: Connection, account: str, lot: str, count: int) -> tuple[str, ...]:
    w = schema.places.c
    query = (
        select(w.serial).where(w.account == account, w.unit_lot == lot).order_by(w.at, w.serial).limit(count)
    )
    return tuple(connection.execute(query).scalars())
