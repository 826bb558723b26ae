"""What is written in the books? Entries of postings that sum to zero, and the unit lots whose provenance they carry.

Quantities are whole numbers: devices, or minor units of a currency (``CNY.fen``, ``USD.cent``, ``EUR.cent``). An entry
is checked when it is made, and again whenever it is read back; there is no unbalanced `Entry`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from entrepot.errors import Fault, InputError
from entrepot.ledger.accounts import STATES_OF_MONEY, STATES_OF_UNITS, Account
from entrepot.ledger.slots import Slot

__all__ = [
    "GENESIS",
    "QUANTITY_MAX",
    "Audit",
    "Break",
    "Entry",
    "Posting",
    "Sealed",
    "UnitLot",
    "canonical",
    "chained",
    "minor_unit",
]

GENESIS = "0" * 64  # what the first entry of a journal is chained to
QUANTITY_MAX = 10**15  # 10^15 fen are ten trillion yuan; more in one posting is a mistake

_MINOR = {"CNY": "CNY.fen", "USD": "USD.cent", "EUR": "EUR.cent"}


def minor_unit(currency: str) -> str:
    """Return the commodity that counts a currency's minor units.

    Examples
    --------
    >>> minor_unit("CNY"), minor_unit("GBP")
    ('CNY.fen', 'GBP.minor')
    """
    return _MINOR.get(currency, f"{currency}.minor")


@dataclass(frozen=True, slots=True)
class UnitLot:
    """Units of one provenance: what travels with each device from holder to holder.

    ``None`` is unknown. ``parent`` is the lot that these units were split from, where their papers changed. A lot with
    ``serials`` is kept device by device: each posting of it for good names those that it moves.
    """

    id: str
    accelerator: str
    imported_on: dt.date | None = None
    imported_from: str | None = None
    authorisation: str | None = None
    conditions: tuple[str, ...] = ()
    parent: str | None = None
    note: str = ""
    serials: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry.

    Attributes
    ----------
    account : ``party:site:state``; see `entrepot.ledger.accounts`
    commodity : an accelerator's id, or a currency's minor unit
    quantity : devices or minor units; positive is a debit (comes in), negative a credit (goes out); never 0
    unit_lot : id of the `UnitLot`; empty for money
    slot : the hours in which it counts; empty: from the entry's time on. See `entrepot.ledger.slots`
    serials : the devices that it moves, where their lot has serial numbers and the posting is for good
    """

    account: str
    commodity: str
    quantity: int
    unit_lot: str = ""
    slot: str = ""
    serials: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, at once and whole. For every (commodity, unit lot, slot) the quantities sum to zero.

    Attributes
    ----------
    id : given by the caller, so that a retry changes nothing
    at : from when it counts, in UTC, given by the caller; may lie before or after the entries posted earlier
    cause : why, in words
    unit_lots : lots that this entry brings into the books
    reverses : id of the entry that this one undoes
    settles : id of the clearing that this entry settles a trade of
    expires : makes the entry a reservation: until then it can be posted, from then on only be voided
    resolves : id of the reservation that this entry posts or voids

    Raises
    ------
    InputError
        With every fault found: a sum that is not zero, an account of no known state, money in a slot...
    """

    id: str
    at: dt.datetime
    cause: str
    postings: tuple[Posting, ...]
    unit_lots: tuple[UnitLot, ...] = ()
    reverses: str | None = None
    settles: str = ""
    expires: dt.datetime | None = None
    resolves: str | None = None

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise InputError(faults)

    def reversal(self, *, at: dt.datetime, cause: str, id: str | None = None) -> Entry:  # noqa: A002 - the record's word
        """Return the entry that undoes this one.

        The lots that this entry brought in stay known: an entry once written is not unwritten.
        """
        return Entry(id or f"{self.id}/reversal", at, cause, self.opposite(), reverses=self.id)

    def opposite(self) -> tuple[Posting, ...]:
        """Return the postings that take back what this entry did."""
        return tuple(replace(p, quantity=-p.quantity) for p in self.postings)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry as it stands in the journal: its place, and its link in the chain."""

    seq: int
    entry: Entry
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Break:
    """Where the books do not hold. ``entry`` is empty where no one entry is to blame."""

    entry: str
    what: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.entry}: {self.what}" if self.entry else self.what


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found. ``head`` is the hash to note elsewhere: it stands for the whole journal."""

    entries: int
    postings: int
    head: str
    breaks: tuple[Break, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing was found."""
        return not self.breaks

    def table(self) -> pl.DataFrame:
        """Return the breaks as a table: entry, what."""
        rows = [(found.entry, found.what) for found in self.breaks]
        return pl.DataFrame(rows, schema={"entry": pl.String, "what": pl.String}, orient="row")

    def __str__(self) -> str:
        """Return the finding as a person would report it."""
        looked = f"{self.entries} entries with {self.postings} postings"
        if self.ok:
            return f"{looked}: every hash and every balance holds. Head {self.head[:16]}."
        return "\n".join([f"{looked}: {len(self.breaks)} breaks.", *(f"  {found}" for found in self.breaks)])


def canonical(entry: Entry) -> str:
    """Return the one JSON text of an entry, of which its hash is taken.

    Examples
    --------
    >>> at = dt.datetime(2025, 5, 15, tzinfo=dt.UTC)
    >>> pay = (Posting("a:cash", "CNY.fen", 5), Posting("a:opening", "CNY.fen", -5))
    >>> print(canonical(Entry("e", at, "c", pay))[:70])
    {"at":"2025-05-15T00:00:00.000000Z","cause":"c","id":"e","postings":[[
    """
    content: dict[str, Any] = {
        "at": _instant(entry.at),
        "cause": entry.cause,
        "id": entry.id,
        "postings": [_posting_text(p) for p in entry.postings],
        "reverses": entry.reverses,
        "settles": entry.settles,
        "unit_lots": [_lot_text(lot) for lot in entry.unit_lots],
    }
    # What came with the second format is named only where it is used, so that hashes of the first still hold.
    if entry.expires is not None:
        content["expires"] = _instant(entry.expires)
    if entry.resolves is not None:
        content["resolves"] = entry.resolves
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _posting_text(p: Posting) -> list[object]:
    of_units = [list(p.serials)] if p.serials else []
    return [p.account, p.commodity, p.quantity, p.unit_lot, p.slot, *of_units]


def _lot_text(lot: UnitLot) -> list[object]:
    imported_on = None if lot.imported_on is None else str(lot.imported_on)
    of_units = [list(lot.serials)] if lot.serials else []
    return [lot.id, lot.accelerator, imported_on, lot.imported_from, lot.authorisation, list(lot.conditions), lot.parent,
            lot.note, *of_units]  # fmt: skip


def chained(previous: str, entry: Entry) -> str:
    """Return sha256(previous hash + canonical JSON), in hex."""
    return hashlib.sha256((previous + canonical(entry)).encode()).hexdigest()


def _instant(at: dt.datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _faults(entry: Entry) -> list[Fault]:
    where = f"entry {entry.id!r}"
    faults: list[Fault] = []
    if not _plain(entry.id) or not _plain(entry.cause):
        faults.append(
            Fault(where, "its id or cause is empty or unprintable", "Write one line of text for each.")
        )
    if entry.at.utcoffset() != dt.timedelta(0) or entry.at.year < 1000:
        faults.append(Fault(where, f"its time {entry.at!r} is not UTC", "Give a datetime with tzinfo=UTC."))
    if not entry.postings:
        faults.append(Fault(where, "has no posting", "Give at least the two sides of what happened."))
    if not all(
        _plain(text) for text in (entry.settles or "-", "-" if entry.reverses is None else entry.reverses)
    ):
        faults.append(
            Fault(where, "settles or reverses something unprintable", "Give ids as they were written.")
        )
    for lot in entry.unit_lots:
        texts = [lot.id, lot.accelerator, lot.note or "-", *lot.conditions, *lot.serials]
        texts += [text for text in (lot.imported_from, lot.authorisation, lot.parent) if text is not None]
        if not all(_plain(text) for text in texts):
            faults.append(
                Fault(
                    f"{where}, unit lot {lot.id!r}", "has empty or unprintable text", "Write it in one line."
                )
            )
        if len(set(lot.serials)) != len(lot.serials):
            faults.append(
                Fault(f"{where}, unit lot {lot.id!r}", "names a serial number twice", "Each device is one.")
            )
    faults.extend(_reservation_faults(where, entry))
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for line, posting in enumerate(entry.postings):
        faults.extend(_posting_faults(f"{where}, posting {line}", posting))
        sums[posting.commodity, posting.unit_lot, posting.slot] += posting.quantity
    for (commodity, unit_lot, slot), total in sums.items():
        if total != 0:
            of = "".join([f" of lot {unit_lot}" if unit_lot else "", f" in slot {slot}" if slot else ""])
            faults.append(
                Fault(
                    where,
                    f"{commodity}{of} sums to {total:+}, not to 0",
                    "What comes in must come from somewhere.",
                )
            )
    return faults


def _reservation_faults(where: str, entry: Entry) -> list[Fault]:
    faults: list[Fault] = []
    if entry.resolves is not None and not _plain(entry.resolves):
        faults.append(
            Fault(where, "resolves something unprintable", "Give the reservation's id as it was written.")
        )
    reserves = [p for p in entry.postings if ":reserved" in p.account and _state(p.account) == "reserved"]
    if entry.expires is None:
        if reserves and entry.resolves is None and entry.reverses is None:
            faults.append(
                Fault(where, "posts to a reserved account and is no reservation", "Say when it expires.")
            )
    elif entry.expires.utcoffset() != dt.timedelta(0) or entry.expires <= entry.at:
        faults.append(
            Fault(where, f"expires at {entry.expires}, not after it begins", "Give a later time, in UTC.")
        )
    elif entry.resolves is not None or entry.reverses is not None:
        faults.append(Fault(where, "makes a reservation and ends something", "Write two entries."))
    elif not any(p.quantity > 0 for p in reserves):
        faults.append(
            Fault(where, "expires, and reserves nothing", "Move devices to party:site:reserved:whom.")
        )
    return faults


def _state(account: str) -> str:
    try:
        return Account.parse(account).state
    except InputError:
        return ""  # said once, with the posting


def _posting_faults(where: str, posting: Posting) -> list[Fault]:
    faults: list[Fault] = []
    try:
        state = Account.parse(posting.account).state
    except InputError as error:
        faults.extend(error.faults)
        state = ""
    if posting.slot:
        try:
            Slot.parse(posting.slot)
        except InputError as error:
            faults.extend(error.faults)
    quantity = posting.quantity
    if type(quantity) is not int or quantity == 0 or abs(quantity) > QUANTITY_MAX:
        faults.append(
            Fault(
                where,
                f"quantity {quantity!r} is not a whole number from 1 to 10^15",
                "Count devices or minor units.",
            )
        )
    if not _plain(posting.commodity) or (posting.unit_lot and not _plain(posting.unit_lot)):
        faults.append(
            Fault(
                where,
                "its commodity or unit lot is empty or unprintable",
                "Name an accelerator or a currency.",
            )
        )
    if posting.unit_lot and state in STATES_OF_MONEY:
        faults.append(
            Fault(where, f"devices cannot be {state!r}", f"Post them to one of {', '.join(STATES_OF_UNITS)}.")
        )
    if not posting.unit_lot and state in STATES_OF_UNITS:
        faults.append(
            Fault(
                where,
                f"{posting.commodity} has no unit lot, but {state!r} holds devices",
                "Say of which lot the devices are.",
            )
        )
    if posting.serials and (
        posting.slot
        or type(quantity) is not int
        or abs(quantity) != len(set(posting.serials))
        or not all(_plain(serial) for serial in posting.serials)
    ):
        faults.append(
            Fault(
                where,
                f"moves {quantity!r} devices and names {len(set(posting.serials))} serial numbers",
                "Name each device that moves for good, and none of those in a slot.",
            )
        )
    if posting.slot and not posting.unit_lot:
        faults.append(Fault(where, "money counts always, not in a slot", "Leave its slot empty."))
    return faults


def _plain(text: str) -> bool:
    return bool(text) and text.isprintable()
