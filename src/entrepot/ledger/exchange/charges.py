"""Who was charged what, by whom, for which devices and in which months? Charges, worked out from the journal alone.

A charge is an entry after which one party has less money or owes more, and another has more or is owed more: what an entry
does to each party's money (cash, receivable, payable, credit, and what was there at the opening) says who pays. A payment of
a debt changes what a party has on one side only and is no charge.

What it is for follows from the devices of the same entry: those that come to the payer for good are a purchase; those that
the payer may use in the hours of a slot are a lease. A lease is owed at once and used later, so it has one row for what
is billed (its use to come costs nothing yet), and one for each month of its use, which bears its share of the amount by
device-hours, to the last minor unit.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from entrepot.errors import Fault, InputError
from entrepot.ledger.accounts import Account, Nature
from entrepot.ledger.records import Entry
from entrepot.ledger.slots import Slot

__all__ = ["Charge", "charges"]

_MONEY = ("cash", "receivable", "payable", "credit", "opening", "equity")
_HOUR, _DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Charge:
    """One row of a bill.

    Attributes
    ----------
    origin : the entry that agreed it; another than ``entry`` for what a reversal takes back
    category : ``Purchase`` (devices for good; a lease as it is agreed; a fee) or ``Usage`` (a month of a lease)
    commodity : the minor unit that costs are counted in
    billed, effective, contracted : minor units. ``billed`` is owed by this row; ``effective`` is what was had in its period;
        ``contracted`` is price times quantity
    quantity : devices, device-hours, or 1
    unit : ``Devices``, ``Device-Hours`` or ``Charges``
    billing : first day of the month in which the row is billed
    correction : takes back a row of a month that was billed before
    lot, accelerator, site, slot : of the devices; empty where there are none
    """

    entry: str
    origin: str
    settles: str
    payer: str
    payee: str
    category: Literal["Purchase", "Usage"]
    commodity: str
    billed: int
    effective: int
    contracted: int
    quantity: int
    unit: Literal["Devices", "Device-Hours", "Charges"]
    start: dt.datetime
    end: dt.datetime
    billing: dt.date
    correction: bool
    lease: bool
    lot: str
    accelerator: str
    site: str
    slot: str
    cause: str


def charges(entries: Iterable[Entry]) -> list[Charge]:
    """Return the charges of a journal, in the order of its entries.

    What was undone is taken back: rows of months before that of the reversal by rows with the opposite sign (corrections,
    billed in the month of the reversal); later rows were not billed yet, and are left out.

    Raises
    ------
    InputError
        With every entry in which several pay several others: who pays whom cannot be told.
    """
    faults: list[Fault] = []
    rows: dict[str, list[Charge]] = {}
    dropped: dict[str, list[Charge]] = {}  # rows that a reversal left out, should it be reversed itself
    for entry in entries:
        undone = entry.reverses
        if undone is not None and undone in rows:
            rows[undone], rows[entry.id], dropped[entry.id] = _undone(
                rows[undone], dropped.get(undone, []), entry
            )
            continue
        try:
            rows[entry.id] = list(_of(entry))
        except InputError as error:
            faults.extend(error.faults)
    if faults:
        raise InputError(faults)
    return [row for of_entry in rows.values() for row in of_entry]


def _of(entry: Entry) -> Iterator[Charge]:
    for payer, payee, commodity, amount in _owed(entry):
        yield from _rows(entry, payer, payee, commodity, amount)


def _owed(entry: Entry) -> Iterator[tuple[str, str, str, int]]:
    net: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for p in entry.postings:
        account = Account.parse(p.account)
        if not p.unit_lot and account.state in _MONEY:
            net[p.commodity][account.party] += p.quantity
    for commodity, by_party in sorted(net.items()):
        pay = {party: -q for party, q in sorted(by_party.items()) if q < 0}
        get = {party: q for party, q in sorted(by_party.items()) if q > 0}
        if len(pay) > 1 and len(get) > 1:
            raise InputError(
                Fault(
                    f"entry {entry.id!r}",
                    f"{', '.join(pay)} pay {', '.join(get)} in {commodity}, and it does not say who pays whom",
                    "Post one entry for each payer; an export of charges cannot guess.",
                )
            )
        if len(get) == 1:
            yield from ((payer, payee, commodity, q) for payee in get for payer, q in pay.items())
        else:
            yield from ((payer, payee, commodity, q) for payer in pay for payee, q in get.items())


def _rows(entry: Entry, payer: str, payee: str, commodity: str, amount: int) -> Iterator[Charge]:
    bought, leased = _had(entry, payer, payee)
    month = entry.at.date().replace(day=1)
    day = entry.at.replace(hour=0, minute=0, second=0, microsecond=0)
    blank = Charge(
        entry=entry.id, origin=entry.id, settles=entry.settles, payer=payer, payee=payee, category="Purchase", commodity=commodity,
        billed=amount, effective=amount, contracted=amount, quantity=1, unit="Charges", start=day, end=day + _DAY,
        billing=month, correction=False, lease=False, lot="", accelerator="", site="", slot="", cause=entry.cause,
    )  # fmt: skip
    if bool(bought) == bool(leased):  # a fee, or a bundle whose amount nobody has split
        yield blank
        return
    had = bought or leased
    sizes = [h.quantity * (_hours(Slot.parse(h.slot)) if h.slot else 1) for h in had]
    for h, share, size in zip(had, _shares(amount, sizes), sizes, strict=True):
        row = replace(
            blank,
            billed=share,
            effective=0 if h.slot else share,
            contracted=share,
            quantity=size,
            unit="Device-Hours" if h.slot else "Devices",
            lease=bool(h.slot),
            lot=h.lot,
            accelerator=h.accelerator,
            site=h.site,
            slot=h.slot,
        )
        yield row
        if h.slot:
            yield from _months(row, h.quantity)


@dataclass(frozen=True, slots=True)
class _Had:
    """Devices that a payer got, for good (no slot) or in the hours of a slot."""

    accelerator: str
    lot: str
    slot: str
    site: str
    quantity: int


def _had(entry: Entry, payer: str, payee: str) -> tuple[list[_Had], list[_Had]]:
    """Return the devices that come to the payer for good, and those that it may use in hours."""
    mine: dict[tuple[str, str, str], list[tuple[str, int]]] = defaultdict(list)
    lent: dict[tuple[str, str, str], list[tuple[str, int]]] = defaultdict(list)
    for p in entry.postings:
        account = Account.parse(p.account)
        if not p.unit_lot or account.nature is not Nature.ASSET:
            continue
        if account.party == payer:
            mine[p.commodity, p.unit_lot, p.slot].append((account.site, p.quantity))
        elif p.slot and (account.party, account.counterparty) == (payee, payer):
            lent[p.commodity, p.unit_lot, p.slot].append((account.site, p.quantity))
    got = _net(mine)
    return [had for had in got if not had.slot], _net(lent) or [had for had in got if had.slot]


def _net(of: dict[tuple[str, str, str], list[tuple[str, int]]]) -> list[_Had]:
    out = []
    for key, moves in of.items():
        quantity = sum(q for _, q in moves)
        if quantity > 0:
            out.append(_Had(*key, next(site for site, q in moves if q > 0), quantity))
    return out


def _months(row: Charge, devices: int) -> Iterator[Charge]:
    slot = Slot.parse(row.slot)
    spans: list[tuple[dt.date, dt.date]] = []
    first = slot.first
    while first < slot.end:
        last = min(_next_month(first), slot.end)
        spans.append((first, last))
        first = last
    sizes = [devices * (b - a).days * (slot.hour_to - slot.hour_from) for a, b in spans]
    for (a, b), share, size in zip(spans, _shares(row.contracted, sizes), sizes, strict=True):
        start = dt.datetime.combine(a, dt.time(), tzinfo=dt.UTC) + slot.hour_from * _HOUR
        end = dt.datetime.combine(b - _DAY, dt.time(), tzinfo=dt.UTC) + slot.hour_to * _HOUR
        yield replace(row, category="Usage", billed=0, effective=share, contracted=share, quantity=size, start=start,
                      end=end, billing=a.replace(day=1))  # fmt: skip


def _undone(
    rows: list[Charge], left_out: list[Charge], entry: Entry
) -> tuple[list[Charge], list[Charge], list[Charge]]:
    """Return what is left of an entry's rows, what its reversal bills, and the rows that were never billed."""
    month = entry.at.date().replace(day=1)
    billed = [row for row in rows if row.billing < month]
    back = [
        replace(row, entry=entry.id, billed=-row.billed, effective=-row.effective, contracted=-row.contracted,
                quantity=-row.quantity, billing=month, correction=True, cause=entry.cause)
        for row in billed
    ]  # fmt: skip
    again = [
        replace(row, entry=entry.id, billing=max(row.billing, month), correction=row.billing < month)
        for row in left_out
    ]
    return billed, back + again, [row for row in rows if row.billing >= month]


def _hours(slot: Slot) -> int:
    return (slot.end - slot.first).days * (slot.hour_to - slot.hour_from)


def _next_month(day: dt.date) -> dt.date:
    return (day.replace(day=1) + dt.timedelta(days=31)).replace(day=1)


def _shares(amount: int, sizes: list[int]) -> list[int]:
    """Split an amount by size so that the parts sum to it.

    Examples
    --------
    >>> _shares(100, [1, 1, 1])
    [33, 33, 34]
    """
    total, so_far, given = sum(sizes), 0, 0
    out = []
    for size in sizes:
        so_far += size
        out.append(amount * so_far // total - given)
        given += out[-1]
    return out
