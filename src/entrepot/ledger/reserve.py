"""How are units kept for somebody, and let go? In two phases: a reservation is pending, and is then posted or voided.

A reservation is an entry that moves devices from ``party:site:available`` to ``party:site:reserved:whom`` and says when it
expires. The entry that ends it names it, and releases exactly what it reserved: to wherever the trade takes it (posted),
or back (voided). From its expiry on it can only be voided, which `expire` does for all: the ledger asks no clock, so an
expired reservation holds its units until somebody says that it is over. The database keeps all of this.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import polars as pl
from sqlalchemy import select

from entrepot.errors import Conflict, Fault, InputError
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account
from entrepot.ledger.journal import read
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.records import Entry, Posting, Sealed

__all__ = ["expire", "post_reservation", "reservation", "reservations", "void"]

_COLUMNS = {
    "reservation": pl.String(),
    "account": pl.String(),
    "commodity": pl.String(),
    "unit_lot": pl.String(),
    "slot": pl.String(),
    "quantity": pl.Int64(),
    "since": pl.Datetime("us", "UTC"),
    "expires": pl.Datetime("us", "UTC"),
    "cause": pl.String(),
}


def reservation(
    id: str,  # noqa: A002 - the record's word
    at: dt.datetime,
    expires: dt.datetime,
    account: str,
    whom: str,
    devices: Sequence[Posting],
    *,
    cause: str = "",
) -> Entry:
    """Return the entry that keeps devices of an account for somebody.

    Parameters
    ----------
    account : ``party:site:available``
    whom : for whom
    devices : what to keep, as it would stand in the account: commodity, quantity, unit lot, slot, serial numbers

    Examples
    --------
    >>> may, june = (dt.datetime(2025, month, 1, tzinfo=dt.UTC) for month in (5, 6))
    >>> four = [Posting("", "nvidia-h20-sxm-96gb", 4, "alder-h20")]
    >>> kept = reservation("r-1", may, june, "alder:lf-1:available", "birch", four)
    >>> [(p.account, p.quantity) for p in kept.postings]
    [('alder:lf-1:available', -4), ('alder:lf-1:reserved:birch', 4)]
    """
    home = Account.parse(account)
    kept = str(Account(home.party, home.site, "reserved", whom))
    postings = tuple(
        replace(of, account=where, quantity=sign * of.quantity)
        for of in devices
        for where, sign in ((account, -1), (kept, 1))
    )
    count = sum(of.quantity for of in devices)
    return Entry(id, at, cause or f"{count} kept for {whom}", postings, expires=expires)


def post_reservation(
    ledger: Ledger,
    reserved: str,
    to: str,
    *,
    id: str,  # noqa: A002 - the record's word
    at: dt.datetime,
    quantity: int | None = None,
    also: Sequence[Posting] = (),
    cause: str = "",
) -> Sealed:
    """Move what is reserved to where it was reserved for; what is not taken goes back.

    Parameters
    ----------
    to : the account that gets the devices
    quantity : how many of them, over all lots in order; all if left out
    also : postings of the same entry, for example what is paid for them

    Raises
    ------
    NotFound, Conflict
        When there is no such reservation, it has expired or was ended, or the books cannot bear what is posted.
    """
    made = _reservation(ledger, reserved)
    left = sum(p.quantity for p in _kept(made)) if quantity is None else quantity
    if not 0 < left <= sum(p.quantity for p in _kept(made)):
        raise InputError(
            Fault(
                f"reservation {reserved!r}",
                f"{quantity} of it were asked for",
                "Take at least 1 and at most what it keeps.",
            )
        )
    homes = {(p.commodity, p.unit_lot, p.slot): p.account for p in made.postings if p.quantity < 0}
    postings: list[Posting] = []
    for p in _kept(made):
        takes = min(left, p.quantity)
        left -= takes
        postings.append(replace(p, quantity=-p.quantity))
        for account, count, serials in (
            (to, takes, p.serials[:takes]),
            (homes[p.commodity, p.unit_lot, p.slot], p.quantity - takes, p.serials[takes:]),
        ):
            if count:
                postings.append(replace(p, account=account, quantity=count, serials=serials))
    words = cause or f"what {reserved} kept goes to {to}"
    return ledger.post(Entry(id, at, words, (*postings, *also), resolves=reserved))


def void(ledger: Ledger, reserved: str, *, at: dt.datetime, id: str | None = None) -> Sealed:  # noqa: A002 - the record's word
    """Let go of what is reserved.

    Raises
    ------
    NotFound, Conflict
        When there is no such reservation, or it was ended.
    """
    made = _reservation(ledger, reserved)
    return ledger.post(
        Entry(id or f"{made.id}/void", at, f"{made.id} is let go", made.opposite(), resolves=made.id)
    )


def expire(ledger: Ledger, at: dt.datetime) -> tuple[Sealed, ...]:
    """Void every reservation that has expired by a time, in one transaction."""
    over = reservations(ledger).filter(pl.col("expires") <= at)["reservation"].unique(maintain_order=True)
    made = [ledger.entry(id_).entry for id_ in over]
    return ledger.post_all(
        Entry(f"{m.id}/void", at, f"{m.id} has expired", m.opposite(), resolves=m.id) for m in made
    )


def reservations(ledger: Ledger) -> pl.DataFrame:
    """Return what is reserved and neither posted nor voided, first to expire first.

    Returns
    -------
    reservation, account, commodity, unit_lot, slot, quantity, since, expires, cause
    """
    e, r = schema.entries, schema.entries.alias("r")
    ended = select(r.c.resolves).where(r.c.resolves == e.c.id).exists()
    rows: list[tuple[object, ...]] = []
    with ledger.reading() as (connection, name):
        for sealed in read(connection, name, e.c.expires.is_not(None), ~ended):
            made = sealed.entry
            rows.extend(
                (
                    made.id,
                    p.account,
                    p.commodity,
                    p.unit_lot,
                    p.slot,
                    p.quantity,
                    made.at,
                    made.expires,
                    made.cause,
                )
                for p in _kept(made)
            )
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row").sort("expires", "since", maintain_order=True)


def _reservation(ledger: Ledger, id_: str) -> Entry:
    made = ledger.entry(id_).entry
    if made.expires is None:
        raise Conflict(f"entry {made.id!r} is no reservation; nothing was written.")
    return made


def _kept(made: Entry) -> list[Posting]:
    return [p for p in made.postings if p.quantity > 0 and Account.parse(p.account).state == "reserved"]
