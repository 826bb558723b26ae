"""Do the books hold? The whole chain and every balance, worked out again from the journal alone.

Shares no arithmetic with the triggers: they keep balances and timelines step by step in SQL, this replays the journal in
Python. What it looks at, in this order: the file (SQLite's own integrity check, foreign keys), the guards, each entry
(rows, hash, place in the chain, sums, signs in every hour after it), then the derived tables against the replay.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from entrepot.errors import InputError
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account, Nature
from entrepot.ledger.course import Course
from entrepot.ledger.journal import entry_rows, first_fault, instant, moment, rebuilt
from entrepot.ledger.records import GENESIS, Audit, Break, Entry, Posting, chained
from entrepot.ledger.slots import Slot
from entrepot.ledger.storage import Storage

__all__ = ["audited"]

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Replay:
    """The books as the journal alone gives them, so far."""

    noted: Mapping[str, str]
    breaks: list[Break] = field(default_factory=list)
    seq: int = 0
    hash: str = GENESIS
    entries: int = 0
    postings: int = 0
    balances: dict[tuple[str, str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    courses: dict[_Key, Course] = field(default_factory=lambda: defaultdict(Course))
    lots: dict[str, str] = field(default_factory=dict)
    serials: dict[str, frozenset[str]] = field(default_factory=dict)  # unit lot -> its serial numbers
    places: dict[str, tuple[str, str, str]] = field(
        default_factory=dict
    )  # serial -> unit lot, account, since
    ended: set[str] = field(
        default_factory=set
    )  # entries that were reversed, reservations that were posted or voided
    found: dict[str, str] = field(default_factory=dict)  # hashes of the entries that were noted elsewhere
    altered: bool = (
        False  # an entry was not as sealed: what later ones rest on is no longer what they rested on
    )


def audited(storage: Storage, noted: Mapping[str, str]) -> Audit:
    """Recompute everything, and list every place where the stored books differ.

    Parameters
    ----------
    noted : entry id -> hash, as noted elsewhere
    """
    books = _Replay(noted)
    try:
        with storage.reading() as connection:
            books.breaks.extend(
                Break("", f"the {_thing(storage)} is damaged: {line}")
                for line in storage.integrity(connection)
            )
            missing = storage.missing_guards(connection)
            if missing:
                books.breaks.append(Break("", f"guards are missing or were changed: {', '.join(missing)}"))
            _replay(books, connection)
            _compare(books, connection)
    except InputError as error:  # the file stopped answering half way: what was found until then still stands
        books.breaks.append(Break("", str(error.faults[0].what)))
    for entry_id, hash_ in noted.items():
        if books.found.get(entry_id) != hash_:
            there = books.found.get(entry_id, "not in the journal")
            books.breaks.append(Break(entry_id, f"was noted with hash {hash_[:16]}, and is {there[:18]}"))
    return Audit(books.entries, books.postings, books.hash, tuple(books.breaks))


def _thing(storage: Storage) -> str:
    return "file" if storage.dialect == "sqlite" else "database"


def _replay(books: _Replay, connection: Connection) -> None:
    for rows in entry_rows(connection):
        row = rows.entry
        wrong: list[str] = []
        if row.seq != books.seq + 1:
            wrong.append(f"is number {row.seq} and follows number {books.seq}")
        if row.hash is None:
            wrong.append("was never sealed")
        if row.previous != books.hash:
            wrong.append("does not carry the hash of the entry before it")
        was_altered = books.altered
        hash_ = row.hash or ""
        try:
            entry = rebuilt(rows)
        except (InputError, ValueError, TypeError) as error:
            wrong.append(f"cannot have been written so: {first_fault(error)}")
            books.altered = True
            books.lots.update((lot.id, lot.accelerator) for lot in rows.lots)
            # As they stand, so that what is compared below differs by what was altered alone.
            for p in rows.postings:
                with contextlib.suppress(InputError, TypeError, ValueError):
                    _moved(
                        books, Posting(p.account, p.commodity, p.quantity, p.unit_lot, p.slot), moment(row.at)
                    )
        else:
            if row.hash is None:
                hash_ = chained(row.previous, entry)
            elif chained(row.previous, entry) != row.hash:
                wrong.append("is not as it was sealed: its content gives another hash")
                books.altered = True
            unbearable = _applied(books, entry, connection, row.seq)
            wrong.extend([] if was_altered else unbearable)
        books.breaks.extend(Break(str(row.id), what) for what in wrong)
        books.seq, books.hash = row.seq, hash_
        if row.id in books.noted:
            books.found[str(row.id)] = hash_
        books.entries += 1
        books.postings += len(rows.postings)


def _applied(books: _Replay, entry: Entry, connection: Connection, seq: int) -> list[str]:
    """Apply an entry, and say what in it the books could not bear."""
    wrong: list[str] = []
    for lot in entry.unit_lots:
        if lot.id in books.lots:
            wrong.append(f"brings in unit lot {lot.id!r} a second time")
        if lot.parent is not None and lot.parent not in books.lots:
            wrong.append(f"names the parent lot {lot.parent!r}, which is not known")
        books.lots[lot.id] = lot.accelerator
        if lot.serials:
            books.serials[lot.id] = frozenset(lot.serials)
    wrong.extend(_ended(books, entry, connection, seq))
    wrong.extend(_devices(books, entry))
    since: dict[_Key, dt.datetime] = {}
    for p in entry.postings:
        if p.unit_lot and books.lots.get(p.unit_lot) != p.commodity:
            wrong.append(
                f"moves {p.commodity} of unit lot {p.unit_lot!r}, which is not of that accelerator or not known"
            )
        _moved(books, p, entry.at)
        begins = _begins(p, entry.at)
        key = (p.account, p.commodity, p.unit_lot)
        since[key] = min(begins, since.get(key, begins))
    for key, begins in since.items():
        nature = Account.parse(key[0]).nature
        if nature is Nature.EQUITY:
            continue
        low, when = books.courses[key].lowest(since=begins, sign=1 if nature is Nature.ASSET else -1)
        if low < 0:
            of = f" of lot {key[2]}" if key[2] else ""
            wrong.append(
                f"takes {key[0]} past zero: {abs(low)} {key[1]}{of} too many at {when:%Y-%m-%d %H:%M} UTC"
            )
    return wrong


def _ended(books: _Replay, entry: Entry, connection: Connection, seq: int) -> list[str]:
    """Say what is wrong with what an entry reverses, posts or voids."""
    named = entry.reverses if entry.reverses is not None else entry.resolves
    if named is None:
        return []
    verb = "reverses" if entry.reverses is not None else "ends"
    earlier = (schema.entries.c.id == named) & (schema.entries.c.seq < seq)
    stored = next(iter(entry_rows(connection, earlier)), None)
    try:
        other = None if stored is None else rebuilt(stored)
    except (InputError, ValueError, TypeError):
        return []  # said at that entry
    wrong = []
    reservation = other is not None and (other.expires is not None)
    if other is None or named in books.ended or reservation != (verb == "ends"):
        wrong.append(
            f"{verb} {named!r}, which is not there to be {'reversed' if verb == 'reverses' else 'ended'}"
        )
    books.ended.add(named)
    if other is None:
        return wrong
    whole = verb == "reverses" or (other.expires is not None and entry.at >= other.expires)
    if _net(other, whole=whole) != {key: -n for key, n in _net(entry, whole=whole).items()}:
        wrong.append(f"does not undo exactly what {named!r} {'did' if whole else 'reserved'}")
    return wrong


def _devices(books: _Replay, entry: Entry) -> list[str]:
    """Move devices that have serial numbers, and say what is wrong with how they moved."""
    wrong = []
    to: dict[str, tuple[str, str, str]] = {}
    left: set[str] = set()
    for p in entry.postings:
        known = books.serials.get(p.unit_lot)
        if known is None:
            if p.serials:
                wrong.append(f"names serial numbers of lot {p.unit_lot!r}, which has none")
            continue
        if not p.slot and len(p.serials) != abs(p.quantity):
            wrong.append(
                f"moves {abs(p.quantity)} of lot {p.unit_lot!r} and names {len(p.serials)} serial numbers"
            )
        equity = Account.parse(p.account).nature is Nature.EQUITY
        for serial in p.serials:
            if serial not in known:
                wrong.append(f"moves {serial!r}, which is not of lot {p.unit_lot!r}")
            elif p.quantity > 0:
                if not equity or serial not in to:
                    to[serial] = (p.unit_lot, p.account, instant(entry.at))
            elif not equity:
                left.add(serial)
                if books.places.get(serial, ("", "", ""))[:2] != (p.unit_lot, p.account):
                    wrong.append(f"moves {serial!r} out of {p.account}, where it is not")
    for serial, place in to.items():
        before = books.places.get(serial)
        if before is not None and before[2] > place[2]:
            wrong.append(f"moves {serial!r} before it came to where it is")
        if before is not None and serial not in left and Account.parse(before[1]).nature is not Nature.EQUITY:
            wrong.append(f"brings in {serial!r}, which is at {before[1]}")
        books.places[serial] = place
    return wrong


def _begins(p: Posting, at: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(Slot.parse(p.slot).first, dt.time(), tzinfo=dt.UTC) if p.slot else at


def _moved(books: _Replay, p: Posting, at: dt.datetime) -> None:
    key = (p.account, p.commodity, p.unit_lot)
    books.courses[key].add(Slot.parse(p.slot) if p.slot else at, p.quantity)
    books.balances[*key, p.slot] += p.quantity


def _net(entry: Entry, *, whole: bool) -> dict[tuple[str, str, str, str], int]:
    net: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for p in entry.postings:
        if whole or Account.parse(p.account).state == "reserved":
            net[p.account, p.commodity, p.unit_lot, p.slot] += p.quantity
    return {key: quantity for key, quantity in net.items() if quantity != 0}


def _compare(books: _Replay, connection: Connection) -> None:
    say = books.breaks.append
    head = connection.execute(select(schema.head)).one_or_none()
    if head is None or (head.seq, head.hash, head.busy) != (books.seq, books.hash, 0):
        stored = "is missing" if head is None else f"stands at number {head.seq} ({head.hash[:16]})"
        say(Break("", f"the head {stored}, and the journal ends with number {books.seq} ({books.hash[:16]})"))
    stored_balances = {
        (r.account, r.commodity, r.unit_lot, r.slot): r.quantity
        for r in connection.execute(select(schema.balances))
    }
    for key in sorted(stored_balances.keys() | books.balances.keys()):
        there, right = stored_balances.get(key, 0), books.balances.get(key, 0)
        if there != right:
            of = " ".join(part for part in key[1:] if part)
            say(
                Break(
                    "", f"the balance of {key[0]} ({of}) is stored as {there}, and the journal gives {right}"
                )
            )
    _compare_courses(books, connection)
    places = {r.serial: (r.unit_lot, r.account, r.at) for r in connection.execute(select(schema.places))}
    for serial in sorted(places.keys() | books.places.keys()):
        if places.get(serial) != books.places.get(serial):
            is_, was = (of.get(serial, ("", "nowhere", ""))[1] for of in (places, books.places))
            say(Break("", f"the device {serial!r} is stored as being at {is_}, and the journal gives {was}"))
    _compare_names(books, connection)


def _compare_courses(books: _Replay, connection: Connection) -> None:
    """Compare what is held at each time: the history of what is for good, and the hours of slots."""
    v, t = schema.levels, schema.timeline
    wrong: set[tuple[str, _Key]] = set()
    right: dict[Any, int] = {}
    before, of = 0, ("", "", "")
    met: set[_Key] = set()
    for r in connection.execute(select(v).order_by(v.c.account, v.c.commodity, v.c.unit_lot, v.c.at)):
        key = (r.account, r.commodity, r.unit_lot)
        if key != of:
            if right:
                wrong.add(("levels", of))
            right = {instant(at): n for at, n in books.courses[key].levels().items()}
            before, of = 0, key
            met.add(key)
        if right.pop(r.at, None) != r.quantity or r.quantity - r.change != before:
            wrong.add(("levels", key))
        before = r.quantity
    if right:
        wrong.add(("levels", of))
    wrong.update(
        ("levels", key) for key, course in books.courses.items() if key not in met and course.levels()
    )
    hours: dict[tuple[_Key, int], int] = {}
    left = {
        (key, hour, str(day)): n for key, c in books.courses.items() for (hour, day), n in c.steps().items()
    }
    for r in connection.execute(
        select(t).order_by(t.c.account, t.c.commodity, t.c.unit_lot, t.c.hour, t.c.day)
    ):
        key = (r.account, r.commodity, r.unit_lot)
        if left.pop((key, r.hour, r.day), None) != r.quantity or r.quantity - r.change != hours.get(
            (key, r.hour), 0
        ):
            wrong.add(("timeline", key))
        hours[key, r.hour] = r.quantity
    wrong.update(("timeline", key) for key, _, _ in left)
    for table, key in sorted(wrong):
        lot = f", lot {key[2]}" if key[2] else ""
        what = "the history of" if table == "levels" else "the hours that slots take from or add to"
        books.breaks.append(
            Break(
                "",
                f"{what} {key[0]} ({key[1]}{lot}) {'is' if table == 'levels' else 'are'} not as the journal gives it",
            )
        )


def _compare_names(books: _Replay, connection: Connection) -> None:
    say = books.breaks.append
    accounts = {r.account: r for r in connection.execute(select(schema.accounts))}
    for text, r in accounts.items():
        try:
            right = Account.parse(text)
            same = (right.party, right.site, right.state, right.counterparty, right.nature.value) == r[1:]
        except InputError:
            same = False
        if not same:
            say(Break("", f"the account {text!r} is taken apart wrongly"))
    for text in sorted({key[0] for key in books.balances} - accounts.keys()):
        say(Break("", f"the account {text!r} is missing"))
    stored_slots = {r.slot: tuple(r[1:]) for r in connection.execute(select(schema.slots))}
    for text in sorted({key[3] for key in books.balances if key[3]}):
        slot = Slot.parse(text)
        if stored_slots.get(text) != (str(slot.first), str(slot.end), slot.hour_from, slot.hour_to):
            say(Break("", f"the slot {text!r} is missing or taken apart wrongly"))
    stray = [
        (schema.postings, schema.postings.c.entry),
        (schema.unit_lots, schema.unit_lots.c.entry),
        (schema.seals, schema.seals.c.seq),
        (schema.posting_serials, schema.posting_serials.c.entry),
    ]
    for table, column in stray:
        lost = select(column).where(column.not_in(select(schema.entries.c.seq))).distinct()
        for seq in connection.execute(lost).scalars():
            say(Break("", f"{table.name} has rows of entry number {seq}, which is not in the journal"))
