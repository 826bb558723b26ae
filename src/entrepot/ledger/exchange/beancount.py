"""How does the journal read in beancount? Every entry a transaction, and every balance asserted, for ``bean-check`` to check.

- **Accounts** are ours by nature: ``Assets:Alder:Lf-1:Available``; what counts in a slot stands in a sub-account of its hours.
- **Commodities** are accelerators and currencies. Money is written in the currency with its decimals: 1250 ``CNY.fen``
  become ``12.50 CNY``.
- **Lots** are costs: ``64 NVIDIA-H20-SXM-96GB {1 LOT.ALDER-H20}``. So a transaction balances lot by lot, and beancount checks
  that too. A lot's papers stand at its ``commodity`` directive.
- **Links**: each entry carries a link of its own id, a reversal that of the entry which it undoes, and a settled trade that
  of its clearing. Time (UTC, to the microsecond), number and hash of each entry are metadata.

beancount's booking is off (``NONE``): which unit leaves which lot is said by the ledger, and not worked out again.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from entrepot.errors import Fault, InputError
from entrepot.ledger.exchange.names import account_name, commodity_name, link_name, lot_name, money_digits
from entrepot.ledger.records import Entry, Posting, Sealed, UnitLot

__all__ = ["beancount"]

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


def beancount(chain: Sequence[Sealed], *, title: str = "entrepot") -> str:
    """Return the journal as the text of a beancount file.

    Raises
    ------
    InputError
        When an entry is of the last day that dates have: there is no day after it to assert balances on.
    """
    entries = [sealed.entry for sealed in chain]
    lines = [
        f"; Written from an entrepot ledger of {len(entries)} entries. Check it with: bean-check FILE",
        f"option {_text('title')} {_text(title)}",
        'option "booking_method" "NONE"',
    ]
    if not entries:
        return "\n".join([*lines, ""])
    first, last = min(e.at for e in entries).date(), max(e.at for e in entries).date()
    if last == dt.date.max:
        raise InputError(
            Fault("entry of 9999-12-31", "has no day after it", "Correct its time with a reversal.")
        )
    lines += [f'option "operating_currency" {_text(c)}' for c in _currencies(entries)]
    lines += ["", *_commodities(entries, first), "", *_opens(entries, first), ""]
    for sealed in chain:
        lines += [*_transaction(sealed), ""]
    lines += [*_asserted(entries, last + dt.timedelta(days=1)), ""]
    return "\n".join(lines)


def _currencies(entries: Iterable[Entry]) -> list[str]:
    money = {p.commodity for e in entries for p in e.postings if not p.unit_lot}
    return sorted(commodity_name(commodity) for commodity in money)


def _commodities(entries: Iterable[Entry], first: dt.date) -> Iterator[str]:
    lots: dict[str, UnitLot] = {}
    commodities: dict[str, None] = {}
    for entry in entries:
        lots.update((lot.id, lot) for lot in entry.unit_lots)
        commodities.update((p.commodity, None) for p in entry.postings)
    for commodity in sorted(commodities):
        yield f"{first} commodity {commodity_name(commodity)}"
        yield f"  name: {_text(commodity)}"
    for lot in sorted(lots.values(), key=lambda lot: lot.id):
        yield f"{first} commodity {lot_name(lot.id)}"
        yield f"  name: {_text(lot.id)}"
        yield f"  accelerator: {_text(lot.accelerator)}"
        if lot.imported_on is not None:
            yield f"  imported-on: {lot.imported_on.isoformat()}"
        for key, text in (
            ("imported-from", lot.imported_from),
            ("authorisation", lot.authorisation),
            ("conditions", "; ".join(lot.conditions)),
            ("parent", lot.parent),
            ("serials", "; ".join(lot.serials)),
            ("note", lot.note),
        ):
            if text:
                yield f"  {key}: {_text(text)}"


def _opens(entries: Iterable[Entry], first: dt.date) -> Iterator[str]:
    accounts = {(p.account, p.slot) for e in entries for p in e.postings}
    for account, slot in sorted(accounts):
        yield f"{first} open {account_name(account, slot)}"
        yield f"  name: {_text(account)}"
        if slot:
            yield f"  slot: {_text(slot)}"


def _transaction(sealed: Sealed) -> Iterator[str]:
    entry = sealed.entry
    links = dict.fromkeys(
        link_name(text) for text in (entry.id, entry.reverses, entry.settles, entry.resolves) if text
    )
    marks = "".join(f" ^{link}" for link in links)
    yield f"{entry.at.date()} * {_text(entry.cause)}{marks}"
    yield f"  seq: {sealed.seq}"
    yield f"  entry: {_text(entry.id)}"
    yield f"  at: {_text(entry.at.strftime(_TIME))}"
    yield f"  hash: {_text(sealed.hash)}"
    for key, text in (
        ("reverses", entry.reverses),
        ("settles", entry.settles),
        ("resolves", entry.resolves),
        ("expires", entry.expires and entry.expires.strftime(_TIME)),
    ):
        if text:
            yield f"  {key}: {_text(text)}"
    for posting in entry.postings:
        yield f"  {account_name(posting.account, posting.slot)}  {_amount(posting)}"
        if posting.serials:
            yield f"    serials: {_text('; '.join(posting.serials))}"


def _amount(posting: Posting) -> str:
    units = f"{_number(posting.quantity, posting.commodity)} {commodity_name(posting.commodity)}"
    return f"{units} {{1 {lot_name(posting.unit_lot)}}}" if posting.unit_lot else units


def _asserted(entries: Iterable[Entry], day: dt.date) -> Iterator[str]:
    """Assert every balance. beancount counts an account's sub-accounts with it, so each assertion does as well."""
    total: dict[tuple[str, str], int] = defaultdict(int)
    for entry in entries:
        for p in entry.postings:
            name = account_name(p.account, p.slot)
            parts = name.split(":")
            for depth in range(2, len(parts) + 1):
                total[":".join(parts[:depth]), p.commodity] += p.quantity
    opened = {account_name(p.account, p.slot) for e in entries for p in e.postings}
    for (name, commodity), quantity in sorted(total.items()):
        if name in opened:
            units = _number(quantity, commodity)
            yield f"{day} balance {name}  {units} ~ 0 {commodity_name(commodity)}"


def _number(quantity: int, commodity: str) -> str:
    return format(Decimal(quantity).scaleb(-money_digits(commodity)), "f")


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
