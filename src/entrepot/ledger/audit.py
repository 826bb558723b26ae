"""Do the books hold? The whole chain and every balance, worked out again from the journal alone.

Shares no arithmetic with the triggers: they keep balances and timelines step by step in SQL, this replays the journal in
Python. What it looks at, in this order: the file (SQLite's own integrity check, foreign keys), the guards, each entry
(rows, hash, place in the chain, sums, signs in every hour after it), then the derived tables against the replay.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from entrepot.errors import InputError
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account, Nature
from entrepot.ledger.journal import entry_rows, first_fault, rebuilt
from entrepot.ledger.records import GENESIS, Audit, Break, Entry, Posting, chained
from entrepot.ledger.slots import Slot, Timeline
from entrepot.ledger.storage import Storage

__all__ = ["audited"]

_Key = tuple[str, str, str]


@dataclass(slots=True)
class _Replay:
    """The books as the journal alone gives them, so far."""

    breaks: list[Break] = field(default_factory=list)
    seq: int = 0
    hash: str = GENESIS
    postings: int = 0
    balances: dict[tuple[str, str, str, str], int] = field(default_factory=lambda: defaultdict(int))
    timelines: dict[_Key, Timeline] = field(default_factory=lambda: defaultdict(Timeline))
    lots: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)  # those that may still be reversed
    altered: bool = (
        False  # an entry was not as sealed: what later ones rest on is no longer what they rested on
    )


def audited(storage: Storage, noted: Mapping[str, str]) -> Audit:
    """Recompute everything, and list every place where the stored books differ."""
    books = _Replay()
    try:
        with storage.reading() as connection:
            books.breaks.extend(
                Break("", f"the file is damaged: {line}") for line in storage.integrity(connection)
            )
            missing = storage.missing_guards(connection)
            if missing:
                books.breaks.append(Break("", f"guards are missing or were changed: {', '.join(missing)}"))
            _replay(books, connection)
            _compare(books, connection)
    except InputError as error:  # the file stopped answering half way: what was found until then still stands
        books.breaks.append(Break("", str(error.faults[0].what)))
    for entry_id, hash_ in noted.items():
        if books.hashes.get(entry_id) != hash_:
            there = books.hashes.get(entry_id, "not in the journal")
            books.breaks.append(Break(entry_id, f"was noted with hash {hash_[:16]}, and is {there[:18]}"))
    return Audit(len(books.hashes), books.postings, books.hash, tuple(books.breaks))


def _replay(books: _Replay, connection: Connection) -> None:
    for row, postings, lots in entry_rows(connection):
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
            entry = rebuilt(row, postings, lots)
        except (InputError, ValueError, TypeError) as error:
            wrong.append(f"cannot have been written so: {first_fault(error)}")
            books.altered = True
            books.lots.update((lot.id, lot.accelerator) for lot in lots)
            # As they stand, so that what is compared below differs by what was altered alone.
            for p in postings:
                with contextlib.suppress(InputError, TypeError):
                    _moved(books, Posting(p.account, p.commodity, p.quantity, p.unit_lot, p.slot))
        else:
            if row.hash is None:
                hash_ = chained(row.previous, entry)
            elif chained(row.previous, entry) != row.hash:
                wrong.append("is not as it was sealed: its content gives another hash")
                books.altered = True
            unbearable = _applied(books, entry)
            wrong.extend([] if was_altered else unbearable)
        books.breaks.extend(Break(str(row.id), what) for what in wrong)
        books.seq, books.hash = row.seq, hash_
        books.hashes[str(row.id)] = hash_
        books.postings += len(postings)


def _applied(books: _Replay, entry: Entry) -> list[str]:
    """Apply an entry, and say what in it the books could not bear."""
    wrong: list[str] = []
    for lot in entry.unit_lots:
        if lot.id in books.lots:
            wrong.append(f"brings in unit lot {lot.id!r} a second time")
        if lot.parent is not None and lot.parent not in books.lots:
            wrong.append(f"names the parent lot {lot.parent!r}, which is not known")
        books.lots[lot.id] = lot.accelerator
    if entry.reverses is not None:
        undone = books.entries.pop(entry.reverses, None)
        if undone is None:
            wrong.append(f"reverses {entry.reverses!r}, which is not there to be reversed")
        elif _net(undone) != {key: -quantity for key, quantity in _net(entry).items()}:
            wrong.append(f"does not undo exactly what {entry.reverses!r} did")
    books.entries[entry.id] = entry
    touched: dict[_Key, None] = {}
    for p in entry.postings:
        if p.unit_lot and books.lots.get(p.unit_lot) != p.commodity:
            wrong.append(
                f"moves {p.commodity} of unit lot {p.unit_lot!r}, which is not of that accelerator or not known"
            )
        _moved(books, p)
        touched[p.account, p.commodity, p.unit_lot] = None
    for key in touched:
        nature = Account.parse(key[0]).nature
        always = books.balances[*key, ""]
        low = books.timelines[key].lowest()[0] if key in books.timelines else 0
        if (nature is Nature.ASSET and always + low < 0) or (nature is Nature.LIABILITY and always > 0):
            wrong.append(f"takes {key[0]} past zero: {always + low} {key[1]}")
    return wrong


def _moved(books: _Replay, p: Posting) -> None:
    key = (p.account, p.commodity, p.unit_lot)
    books.balances[*key, p.slot] += p.quantity
    if p.slot and Account.parse(p.account).nature is Nature.ASSET:
        books.timelines[key].add(Slot.parse(p.slot), p.quantity)


def _net(entry: Entry) -> dict[tuple[str, str, str, str], int]:
    net: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for p in entry.postings:
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
    steps: dict[_Key, dict[tuple[int, str], int]] = defaultdict(dict)
    value: dict[tuple[_Key, int], int] = {}
    order = (schema.timeline.c.account, schema.timeline.c.commodity, schema.timeline.c.unit_lot)
    for r in connection.execute(
        select(schema.timeline).order_by(*order, schema.timeline.c.hour, schema.timeline.c.day)
    ):
        key_of = (r.account, r.commodity, r.unit_lot)
        if value.get((key_of, r.hour), 0) != r.quantity:
            steps[key_of][r.hour, r.day] = r.quantity
        value[key_of, r.hour] = r.quantity
    for key_of in sorted(steps.keys() | books.timelines.keys()):
        if steps.get(key_of, {}) != (books.timelines[key_of].steps() if key_of in books.timelines else {}):
            say(
                Break(
                    "",
                    f"the hours in which {key_of[0]} is leased ({key_of[1]}, lot {key_of[2]}) are not those of the journal",
                )
            )
    _compare_names(books, connection)


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
    ]
    for table, column in stray:
        lost = select(column).where(column.not_in(select(schema.entries.c.seq))).distinct()
        for seq in connection.execute(lost).scalars():
            say(Break("", f"{table.name} has rows of entry number {seq}, which is not in the journal"))
