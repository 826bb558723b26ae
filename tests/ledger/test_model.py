"""A state machine against arrays of counts, on both databases: no unit lost, sold twice, leased twice, or below zero.

The model knows every half hour of a small calendar, one by one. It has no levels, no timelines and no SQL.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from numpy.typing import NDArray

from entrepot.errors import Conflict
from entrepot.ledger import Account, Entry, Ledger, Nature, Posting, Slot, UnitLot

if TYPE_CHECKING:
    from .conftest import Databases

BEGIN = dt.datetime(2025, 7, 1, tzinfo=dt.UTC)
DAYS = [BEGIN.date() + dt.timedelta(days=n) for n in range(4)]
# Every half hour of the first four hours of each day, and the time after: nothing changes between two of them.
TIMES = [BEGIN + dt.timedelta(days=day, minutes=30 * half) for day in range(4) for half in range(8)] + [
    BEGIN + dt.timedelta(days=5)
]
PARTIES = ("alder", "birch", "cedar")
LOTS = ("x", "y")
SERIALS = ("D1", "D2", "D3")

parties = st.sampled_from(PARTIES)
lots = st.sampled_from(LOTS)
counts = st.integers(1, 6)
times = st.sampled_from(TIMES[:-1])
# Most things happen in order, some do not.
soon = st.sampled_from(TIMES[:4]) | times


@st.composite
def spans(draw: st.DrawFn) -> Slot:
    """Any run of days and hours within the small calendar."""
    first = draw(st.integers(0, 3))
    end = draw(st.integers(first + 1, 4))
    hour = draw(st.integers(0, 2))
    return Slot(DAYS[first], DAYS[0] + dt.timedelta(days=end), hour, draw(st.integers(hour + 1, 3)))


windows = st.just("") | spans().map(str)


def when(posting: Posting, at: dt.datetime) -> NDArray[np.bool_]:
    """Return at which times a posting counts."""
    if not posting.slot:
        return np.array([t >= at for t in TIMES])
    return np.array([Slot.parse(posting.slot).covers(t.date(), t.hour) for t in TIMES])


@dataclass
class Model:
    """What everybody has at each time."""

    counts: dict[tuple[str, str, str], NDArray[np.int64]] = field(
        default_factory=lambda: defaultdict(lambda: np.zeros(len(TIMES), dtype=np.int64))
    )
    places: dict[str, tuple[str, dt.datetime]] = field(default_factory=dict)
    reserved: dict[str, Entry] = field(default_factory=dict)  # not yet ended

    def after(self, entry: Entry) -> dict[tuple[str, str, str], NDArray[np.int64]] | None:
        """Return the counts with an entry in them; ``None`` if it cannot be borne."""
        changed: dict[tuple[str, str, str], NDArray[np.int64]] = {}
        for p in entry.postings:
            key = (p.account, p.commodity, p.unit_lot)
            changed[key] = changed.get(key, self.counts[key]) + p.quantity * when(p, entry.at)
        for (account, _, _), now in changed.items():
            nature = Account.parse(account).nature
            if (nature is Nature.ASSET and now.min() < 0) or (nature is Nature.LIABILITY and now.max() > 0):
                return None
        return changed


class Books(RuleBasedStateMachine):
    """Whatever is posted, the ledger takes it exactly when the counts would stay on the right side of zero."""

    def __init__(self, place: Callable[[], str]) -> None:
        super().__init__()
        self.ledger = Ledger.open(place())
        self.model = Model()
        self.taken: list[Entry] = []
        self.undone: set[str] = set()
        self.number = 0

    def post(self, entry: Entry, *, sound: bool = True) -> bool:
        """Post, and hold the ledger to what the counts say."""
        after = self.model.after(entry)
        sound = sound and after is not None
        try:
            self.ledger.post(entry)
        except Conflict:
            assert not sound, f"refused, and could have been borne: {entry}"
            return False
        assert sound, f"taken, and could not be borne: {entry}"
        assert after is not None
        self.model.counts.update(after)
        self.taken.append(entry)
        return True

    def entry(self, at: dt.datetime, *postings: Posting, resolves: str | None = None) -> Entry:
        """Make the next entry."""
        self.number += 1
        return Entry(f"e{self.number}", at, "by chance", postings, resolves=resolves)

    @initialize(x=st.integers(1, 12), y=st.integers(1, 12), late=times)
    def begin(self, x: int, y: int, late: dt.datetime) -> None:
        """Two holders, each with a lot; one comes later. And three devices with numbers."""
        for party, lot, count, at in (("alder", "x", x, BEGIN), ("birch", "y", y, late)):
            postings = (
                Posting(f"{party}:s:available", "chip", count, lot),
                Posting(f"{party}:opening", "chip", -count, lot),
            )
            assert self.post(Entry(f"in-{lot}", at, "opening", postings, (UnitLot(lot, "chip"),)))
        devices = (
            Posting("alder:s:available", "chip", 3, "d", serials=SERIALS),
            Posting("alder:opening", "chip", -3, "d", serials=SERIALS),
        )
        assert self.post(Entry("in-d", BEGIN, "opening", devices, (UnitLot("d", "chip", serials=SERIALS),)))
        self.model.places = dict.fromkeys(SERIALS, ("alder:s:available", BEGIN))

    @rule(seller=parties, buyer=parties, lot=lots, count=counts, fen=counts, at=soon)
    def sell(self, seller: str, buyer: str, lot: str, count: int, fen: int, at: dt.datetime) -> None:
        """For good, on credit."""
        self.post(
            self.entry(
                at,
                Posting(f"{seller}:s:available", "chip", -count, lot),
                Posting(f"{buyer}:s:available", "chip", count, lot),
                Posting(f"{buyer}:payable", "CNY.fen", -fen),
                Posting(f"{seller}:receivable", "CNY.fen", fen),
            )
        )

    @rule(seller=parties, buyer=parties, lot=lots, count=counts, slot=spans(), at=soon)
    def lease(self, seller: str, buyer: str, lot: str, count: int, slot: Slot, at: dt.datetime) -> None:
        """In some hours; in the tenant's books as well."""
        self.post(
            self.entry(
                at,
                Posting(f"{seller}:s:available", "chip", -count, lot, str(slot)),
                Posting(f"{seller}:s:leased:{buyer}", "chip", count, lot, str(slot)),
                Posting(f"{buyer}:s:leased-in:{seller}", "chip", count, lot, str(slot)),
                Posting(f"{buyer}:s:to-return:{seller}", "chip", -count, lot, str(slot)),
            )
        )

    @rule(seller=parties, tenant=parties, buyer=parties, lot=lots, count=counts, slot=spans())
    def sublet(self, seller: str, tenant: str, buyer: str, lot: str, count: int, slot: Slot) -> None:
        """Let on what was let, no longer and no more than that."""
        self.post(
            self.entry(
                BEGIN,
                Posting(f"{tenant}:s:leased-in:{seller}", "chip", -count, lot, str(slot)),
                Posting(f"{tenant}:s:leased:{buyer}", "chip", count, lot, str(slot)),
            )
        )

    @rule(seller=parties, buyer=parties, lot=lots, count=counts, a=spans(), b=spans(), sold=counts, at=soon)
    def at_once(
        self, seller: str, buyer: str, lot: str, count: int, a: Slot, b: Slot, sold: int, at: dt.datetime
    ) -> None:
        """Sell, and lease twice in hours that may overlap, in one entry."""
        self.post(
            self.entry(
                at,
                Posting(f"{seller}:s:available", "chip", -sold, lot),
                Posting(f"{buyer}:s:available", "chip", sold, lot),
                *(
                    posting
                    for slot in (a, b)
                    for posting in (
                        Posting(f"{seller}:s:leased:{buyer}", "chip", count, lot, str(slot)),
                        Posting(f"{seller}:s:available", "chip", -count, lot, str(slot)),
                    )
                ),
            )
        )

    @rule(payer=parties, payee=parties, fen=counts, at=soon)
    def pay(self, payer: str, payee: str, fen: int, at: dt.datetime) -> None:
        """Set a debt off."""
        self.post(
            self.entry(
                at,
                Posting(f"{payer}:payable", "CNY.fen", fen),
                Posting(f"{payee}:receivable", "CNY.fen", -fen),
            )
        )

    @rule(holder=parties, whom=parties, lot=lots, count=counts, slot=windows, at=soon, until=times)
    def reserve(
        self, holder: str, whom: str, lot: str, count: int, slot: str, at: dt.datetime, until: dt.datetime
    ) -> None:
        """Keep some for somebody, for a while."""
        self.number += 1
        postings = (
            Posting(f"{holder}:s:available", "chip", -count, lot, slot),
            Posting(f"{holder}:s:reserved:{whom}", "chip", count, lot, slot),
        )
        expires = until if until > at else at + dt.timedelta(minutes=30)
        made = Entry(f"e{self.number}", at, "kept", postings, expires=expires)
        if self.post(made):
            self.model.reserved[made.id] = made

    @precondition(lambda self: bool(self.model.reserved))
    @rule(pick=st.integers(0, 10**6), at=times, part=st.integers(0, 6), again=st.booleans())
    def end_reservation(self, pick: int, at: dt.datetime, part: int, again: bool) -> None:
        """Post a part and give the rest back, or void it; not twice, not after it has expired, not before it was made."""
        made = list(self.model.reserved.values())[pick % len(self.model.reserved)]
        home, kept = made.postings
        part = min(part, kept.quantity)
        free = Posting(home.account, "chip", kept.quantity - part, home.unit_lot, home.slot)
        sold = Posting("cedar:s:available", "chip", part, home.unit_lot, home.slot)
        out = Posting(kept.account, "chip", -kept.quantity, home.unit_lot, home.slot)
        ends = self.entry(at, out, *(p for p in (free, sold) if p.quantity), resolves=made.id)
        may = part == 0 or home.account == sold.account or (made.expires is not None and at < made.expires)
        if self.post(ends, sound=at >= made.at and may):
            del self.model.reserved[made.id]
            if again:
                self.post(self.entry(at, *ends.postings, resolves=made.id), sound=False)

    @rule(seller=parties, buyer=parties, which=st.sets(st.sampled_from(SERIALS), min_size=1), at=soon)
    def move_devices(self, seller: str, buyer: str, which: set[str], at: dt.datetime) -> None:
        """Move devices by their numbers: from where they are, and not before they came there."""
        named = tuple(sorted(which))
        source, target = f"{seller}:s:available", f"{buyer}:s:available"
        moves = self.entry(
            at,
            Posting(source, "chip", -len(named), "d", serials=named),
            Posting(target, "chip", len(named), "d", serials=named),
        )
        there = all(self.model.places[s][0] == source and self.model.places[s][1] <= at for s in named)
        if self.post(moves, sound=there):
            self.model.places.update(dict.fromkeys(named, (target, at)))

    @precondition(lambda self: len(self.taken) > 3)
    @rule(pick=st.integers(0, 10**6), at=times)
    def reverse(self, pick: int, at: dt.datetime) -> None:
        """Undo something, if it was not undone; a reservation is voided and not reversed."""
        entry = self.taken[3 + pick % (len(self.taken) - 3)]
        if any(p.serials for p in entry.postings):
            return
        if entry.id in self.undone or entry.expires is not None or entry.resolves is not None:
            before = self.ledger.head
            with pytest.raises(Conflict):
                self.ledger.reverse(entry.id, at=at, id="twice")
            assert self.ledger.head == before
            return
        self.number += 1
        if self.post(entry.reversal(at=at, cause="undone", id=f"e{self.number}")):
            self.undone.add(entry.id)

    @precondition(lambda self: bool(self.taken))
    @rule(pick=st.integers(0, 10**6))
    def retry(self, pick: int) -> None:
        """Post again what was posted."""
        before = self.ledger.head
        entry = self.taken[pick % len(self.taken)]
        assert self.ledger.post(entry).entry == entry
        assert self.ledger.head == before

    @invariant()
    def counts_agree(self) -> None:
        """At each time, every account has what was counted, and no unit is lost."""
        for number in {self.number * 5 % len(TIMES), self.number * 7 % len(TIMES)}:
            rows = self.ledger.balances(at=TIMES[number]).iter_rows(named=True)
            found = {(r["account"], r["commodity"], r["unit_lot"]): r["quantity"] for r in rows}
            right = {key: int(now[number]) for key, now in self.model.counts.items() if now[number] != 0}
            assert found == right
            for key in list(right)[:2]:
                assert self.ledger.balance(*key, at=TIMES[number]) == right[key]
            for lot in (*LOTS, "d"):
                # What comes in comes out of the opening account; what is let to somebody is also owed back.
                assert sum(n for (_, _, of), n in found.items() if of == lot) == 0

    def teardown(self) -> None:
        """Hear the audit, which shares no arithmetic with the triggers."""
        audit = self.ledger.audit()
        assert audit.ok, str(audit)
        assert self.ledger.entries() == tuple(self.taken)
        self.ledger.close()


def test_books_in_a_file() -> None:
    """SQLite takes what the counts bear, and nothing else."""
    run_state_machine_as_test(
        lambda: Books(lambda: ":memory:"),  # type: ignore[arg-type] # any maker of machines will do
        settings=settings(max_examples=30, stateful_step_count=20, deadline=None),
    )


def test_books_in_postgresql(databases: Databases) -> None:
    """PostgreSQL takes what the counts bear, and nothing else."""
    run_state_machine_as_test(
        lambda: Books(databases.new),  # type: ignore[arg-type] # any maker of machines will do
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
