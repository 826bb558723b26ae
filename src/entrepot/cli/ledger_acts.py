"""``entrepot ledger settle``, ``gate``, ``pay``, ``reserve``...: what a person does to the books, and how it is signed."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from sqlalchemy import Connection

from entrepot import api, market
from entrepot import ledger as books_of
from entrepot.cli.ledger import ledger_at, utc
from entrepot.cli.output import Output, emit, note
from entrepot.errors import Conflict, Fault, InputError
from entrepot.ledger import Basis, Entry, Ledger, Posting, Terms
from entrepot.ledger.transfer import first_in

__all__ = [
    "checkpoint",
    "expire",
    "gate",
    "keygen",
    "pay",
    "post",
    "reserve",
    "reverse",
    "settle",
    "transfer",
    "void",
]


def settle(
    result: Path,
    *,
    ledger: str,
    scenario: Path,
    basis: Path | None = None,
    on: dt.date | None = None,
    variant: str | None = None,
    payment: Literal["on-account", "cash"] = "on-account",
    operator: str = "",
    buyer_fee_bp: int = 0,
    seller_fee_bp: int = 0,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Settle a saved clearing in a ledger: every trade with its payment and fees in one transaction, or none.

        entrepot ledger settle result --scenario examples/spring-2025 --ledger books.sqlite

    It is refused when it was settled before, or when the holdings that it rests on have changed since the gate.

    Parameters
    ----------
    result
        a folder that clear --save wrote
    ledger
        a ledger file, or a PostgreSQL URL
    scenario
        the scenario that was cleared
    basis
        the holdings as ledger gate took them; as the scenario states them, if left out
    on
        the day on which it was cleared
    variant
        the reading of contested facts under which it was cleared
    payment
        on-account (owed until it is paid) or cash (delivery versus payment)
    operator
        the party that takes fees
    buyer_fee_bp
        the buyer's fee, in hundredths of a percent of the payment
    seller_fee_bp
        the seller's fee, in hundredths of a percent of the payment
    """
    clearing = market.read(result)
    read = api.load(scenario, as_of=on, variant=variant)
    terms = Terms(payment == "cash", operator, buyer_fee_bp, seller_fee_bp)
    rests = None if basis is None else Basis.read(basis)
    with Ledger.open(ledger_at(ledger), create=False) as books:
        entries = books_of.settle(books, clearing, read, basis=rests, terms=terms)
        seq, head = books.head
    rows = [
        {"entry": e.id.rpartition("/")[2], "cause": e.cause, "postings": len(e.postings), "id": e.id}
        for e in entries
    ]
    emit(rows, kind="settlement", output=output or Output())
    note(f"Settled: {clearing.trades.height} trades. The journal has {seq} entries; head {head[:16]}.")


def gate(
    scenario: Path, *, ledger: str, save: Path, on: dt.date | None = None, variant: str | None = None
) -> None:
    """Take the holdings that a market is about to be cleared on, as the ledger has them, into a file.

        entrepot ledger gate examples/spring-2025 --ledger books.sqlite --save basis.json

    Parameters
    ----------
    scenario
        the scenario that is about to be cleared
    ledger
        a ledger file, or a PostgreSQL URL
    save
        the file to write
    on
        the day on which it is cleared
    variant
        the reading of contested facts
    """
    if save.exists():
        raise Conflict(f"{save} is there already.\n  Name another file; nothing was written.")
    with Ledger.open(ledger_at(ledger), create=False) as books:
        basis = books_of.gate(books, api.load(scenario, as_of=on, variant=variant))
    save.write_text(basis.json(), encoding="utf-8")
    note(f"{save}: {len(basis.rests)} holdings as of entry {basis.seq}; hash {basis.hash[:16]}.")


def pay(
    ledger: str,
    id: str,  # noqa: A002
    *,
    payer: str,
    payee: str,
    amount: int,
    currency: str = "CNY",
    at: dt.datetime,
) -> None:
    """Pay what is owed, in cash that is there; a debt cannot be paid twice.

        entrepot ledger pay books.sqlite pay-1 --payer birch --payee alder --amount 42854400 --at 2025-06-30

    Parameters
    ----------
    ledger
        a ledger file, or a PostgreSQL URL
    id
        the entry's id; the same command again changes nothing
    payer
        who pays
    payee
        who is paid
    amount
        in minor units of the currency (fen, cents)
    currency
        its code
    at
        when it counts, UTC
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        done = books_of.pay(books, id, payer, payee, currency, amount, at=utc(at))
    note(f"{done.cause}: posted as {done.id}.")


def transfer(
    ledger: str,
    id: str,  # noqa: A002 - the record's word
    *,
    from_: Annotated[str, Parameter(name="--from")],
    to: str,
    chip: str,
    quantity: int,
    at: dt.datetime,
    slot: str = "",
    lot: Annotated[list[str] | None, Parameter(negative=())] = None,
    cause: str = "",
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Move units from one account to another: of named lots, or first in, first out.

        entrepot ledger transfer books.sqlite t-1 --from alder:lf-1:available --to birch:ulq-1:in-transit
            --chip nvidia-h20-sxm-96gb --quantity 16 --at 2025-06-01

    Parameters
    ----------
    ledger
        a ledger file, or a PostgreSQL URL
    id
        the entry's id; the same command again changes nothing
    from_
        the account that they leave
    to
        the account that they come to
    chip
        the accelerator's id
    quantity
        how many
    at
        when it counts, UTC
    slot
        only in these hours, e.g. 2025-07-01..2025-10-01/h08-20
    lot
        take them from this lot (may be given again, in order); first in, first out, if left out
    cause
        why, in words
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        done = books_of.transfer(
            books, id, from_, to, chip, quantity, at=utc(at), slot=slot, lots=tuple(lot or ()), cause=cause
        )
        emit(books.postings(done.entry.id).to_dicts(), kind="postings", output=output or Output())


def reserve(
    ledger: str,
    id: str,  # noqa: A002 - the record's word
    *,
    account: str,
    whom: str,
    chip: str,
    quantity: int,
    at: dt.datetime,
    expires: dt.datetime,
    slot: str = "",
    lot: Annotated[list[str] | None, Parameter(negative=())] = None,
) -> None:
    """Keep units for somebody until a time; then post the reservation, or void it.

        entrepot ledger reserve books.sqlite r-1 --account alder:lf-1:available --whom birch
            --chip nvidia-h20-sxm-96gb --quantity 16 --at 2025-06-01 --expires 2025-06-08

    Parameters
    ----------
    ledger
        a ledger file, or a PostgreSQL URL
    id
        the reservation's id; the same command again changes nothing
    account
        where they are: party:site:available
    whom
        for whom
    chip
        the accelerator's id
    quantity
        how many
    at
        from when on, UTC
    expires
        until when it may be posted, UTC
    slot
        only in these hours
    lot
        of this lot (may be given again, in order); first in, first out, if left out
    """
    start = utc(at)

    def make(connection: Connection) -> Entry:
        taken = first_in(connection, account, chip, quantity, since=start, slot=slot, lots=tuple(lot or ()))
        devices = [Posting(account, chip, t.quantity, t.unit_lot, slot, t.serials) for t in taken]
        return books_of.reservation(id, start, utc(expires), account, whom, devices)

    def same(there: Entry) -> bool:
        kept = sum(p.quantity for p in there.postings if p.quantity > 0 and p.commodity == chip)
        return there.expires == utc(expires) and there.at == start and kept == quantity

    with Ledger.open(ledger_at(ledger), create=False) as books:
        books.build(id, make, same=same)
    note(f"{quantity} {chip} are kept for {whom} until {utc(expires):%Y-%m-%d %H:%M} UTC.")


def post(
    ledger: str,
    reservation: str,
    *,
    to: str,
    id: str,  # noqa: A002 - the record's word
    at: dt.datetime,
    quantity: int | None = None,
) -> None:
    """Post a reservation: what was kept goes to where it was kept for, and the rest goes back.

        entrepot ledger post books.sqlite r-1 --to birch:ulq-1:available --id t-2 --at 2025-06-05

    Parameters
    ----------
    ledger
        a ledger file, or a PostgreSQL URL
    reservation
        its id
    to
        the account that gets the units
    id
        the new entry's id
    at
        when it counts, UTC
    quantity
        how many are taken; all if left out
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        done = books_of.post_reservation(books, reservation, to, id=id, at=utc(at), quantity=quantity)
    note(f"{done.entry.cause}: posted as {done.entry.id}.")


def void(ledger: str, reservation: str, *, at: dt.datetime) -> None:
    """Let go of a reservation.

        entrepot ledger void books.sqlite r-1 --at 2025-06-05

    Parameters
    ----------
    ledger
        a ledger file, or a PostgreSQL URL
    reservation
        its id
    at
        when it counts, UTC
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        note(f"{books_of.void(books, reservation, at=utc(at)).entry.cause}.")


def expire(ledger: str, *, at: dt.datetime) -> None:
    """Void every reservation that has expired by a time; the ledger itself asks no clock.

        entrepot ledger expire books.sqlite --at 2025-06-09

    Parameters
    ----------
    ledger
        a ledger file, or a PostgreSQL URL
    at
        the time, UTC
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        done = books_of.expire(books, utc(at))
    note(f"{len(done)} reservations have expired.")


def reverse(ledger: str, entry: str, *, at: dt.datetime, cause: str) -> None:
    """Undo an entry by posting its opposite; nothing is erased.

        entrepot ledger reverse books.sqlite t-1 --at 2025-06-05 --cause "wrong buyer"

    Parameters
    ----------
    ledger
        a ledger file, or a PostgreSQL URL
    entry
        its id
    at
        when the reversal counts, UTC
    cause
        why, in words
    """
    with Ledger.open(ledger_at(ledger), create=False) as books:
        done = books.reverse(entry, at=utc(at), cause=cause)
    note(f"{done.entry.reverses} is undone by {done.entry.id}.")


def keygen(key: Path) -> None:
    """Make a key pair to sign checkpoints with.

        entrepot ledger keygen auditor.key

    The private key may be read by its owner only. Give auditor.key.pub to whoever checks.

    Parameters
    ----------
    key
        the private key's file; the public one is beside it, with .pub
    """
    public = books_of.generate_key(key)
    note(f"{key}: private, keep it. {public}: public, give it away.")


def checkpoint(ledger: str, *, key: Path, save: Path, at: dt.datetime | None = None) -> None:
    """Sign the head of the journal: whatever is before it can no longer be rewritten unnoticed.

        entrepot ledger checkpoint books.sqlite --key auditor.key --save june.json

    Keep the file where those who can write the ledger cannot. entrepot ledger audit --checkpoint holds the journal to it.

    Parameters
    ----------
    ledger
        a ledger file, or a PostgreSQL URL
    key
        the private key that ledger keygen made
    save
        the file to write
    at
        the time that is signed, UTC; now, if left out
    """
    if save.exists():
        raise Conflict(f"{save} is there already.\n  Name another file; nothing was signed.")
    if not save.parent.is_dir():
        raise InputError(
            Fault(str(save.parent), "there is no such folder", "Make it first; nothing was signed.")
        )
    with Ledger.open(ledger_at(ledger), create=False) as books:
        point = books_of.sign(books, key, at=utc(at) if at is not None else dt.datetime.now(dt.UTC))
    save.write_text(point.json(), encoding="utf-8")
    note(f"{save}: {point.seq} entries up to {point.entry}, hash {point.hash[:16]}, signed.")
