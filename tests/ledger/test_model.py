"""A state machine against dicts of counts: no unit lost, sold twice, leased twice in an hour, or below zero."""

from __future__ import annotations

import datetime as dt
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from entrepot.errors import Conflict
from entrepot.ledger import Entry, Ledger, Posting, Slot, UnitLot

AT = dt.datetime(2025, 5, 15, tzinfo=dt.UTC)
DAY = dt.date(2025, 7, 1)
DAYS = [DAY + dt.timedelta(days=n) for n in range(4)]
HOURS = [(day, hour) for day in DAYS for hour in (0, 1, 2)]
PARTIES = ("alder", "birch", "cedar")
LOTS = ("x", "y")

parties = st.sampled_from(PARTIES)
lots = st.sampled_from(LOTS)
counts = st.integers(1, 6)


@st.composite
def spans(draw: st.DrawFn) -> Slot:
    """Any run of days and hours within the small calendar."""
    first = draw(st.integers(0, 3))
    end = draw(st.integers(first + 1, 4))
    hour = draw(st.integers(0, 2))
    return Slot(DAYS[first], DAYS[0] + dt.timedelta(days=end), hour, draw(st.integers(hour + 1, 3)))


class Books(RuleBasedStateMachine):
    """Whatever is posted, the ledger takes it exactly when the counts would stay at or above zero."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger.open(":memory:")
        self.always: Counter[tuple[str, str]] = Counter()  # (account, lot) -> devices or fen
        self.hourly: Counter[tuple[str, str, dt.date, int]] = Counter()
        self.taken: list[Entry] = []
        self.undone: set[str] = set()
        self.number = 0

    def post(
        self, postings: list[Posting], lots_in: tuple[UnitLot, ...] = (), reverses: str | None = None
    ) -> None:
        """Post, and hold the ledger to what the counts say."""
        self.number += 1
        entry = Entry(f"e{self.number}", AT, "by chance", tuple(postings), lots_in, reverses)
        always, hourly = self.always.copy(), self.hourly.copy()
        for p in postings:
            if not p.slot:
                always[p.account, p.unit_lot] += p.quantity
            for day, hour in HOURS:
                if p.slot and Slot.parse(p.slot).covers(day, hour):
                    hourly[p.account, p.unit_lot, day, hour] += p.quantity
        sound = all(
            (n <= 0 if "payable" in account else n >= 0)
            for (account, _), n in always.items()
            if "opening" not in account
        ) and all(always[account, lot] + n >= 0 for (account, lot, _, _), n in hourly.items())
        try:
            self.ledger.post(entry)
        except Conflict:
            assert not sound, f"refused, and could have been borne: {entry}"
            return
        assert sound, f"taken, and could not be borne: {entry}"
        self.always, self.hourly = always, hourly
        self.taken.append(entry)

    @initialize(x=st.integers(1, 12), y=st.integers(1, 12))
    def begin(self, x: int, y: int) -> None:
        """Two holders, each with a lot."""
        for party, lot, count in (("alder", "x", x), ("birch", "y", y)):
            self.post(
                [
                    Posting(f"{party}:s:available", "chip", count, lot),
                    Posting(f"{party}:opening", "chip", -count, lot),
                ],
                (UnitLot(lot, "chip"),),
            )
        self.whole = {"x": x, "y": y}

    @rule(seller=parties, buyer=parties, lot=lots, count=counts, fen=counts)
    def sell(self, seller: str, buyer: str, lot: str, count: int, fen: int) -> None:
        """For good, on credit."""
        self.post(
            [
                Posting(f"{seller}:s:available", "chip", -count, lot),
                Posting(f"{buyer}:s:available", "chip", count, lot),
                Posting(f"{buyer}:payable", "CNY.fen", -fen),
                Posting(f"{seller}:receivable", "CNY.fen", fen),
            ]
        )

    @rule(seller=parties, buyer=parties, lot=lots, count=counts, slot=spans())
    def lease(self, seller: str, buyer: str, lot: str, count: int, slot: Slot) -> None:
        """In some hours."""
        self.post(
            [
                Posting(f"{seller}:s:available", "chip", -count, lot, str(slot)),
                Posting(f"{seller}:s:leased:{buyer}", "chip", count, lot, str(slot)),
            ]
        )

    @rule(seller=parties, buyer=parties, lot=lots, count=counts, a=spans(), b=spans(), sold=counts)
    def at_once(self, seller: str, buyer: str, lot: str, count: int, a: Slot, b: Slot, sold: int) -> None:
        """Sell, and lease twice in hours that may overlap, in one entry."""
        self.post(
            [
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
            ]
        )

    @rule(payer=parties, payee=parties, fen=counts)
    def pay(self, payer: str, payee: str, fen: int) -> None:
        """Set a debt off."""
        self.post(
            [Posting(f"{payer}:payable", "CNY.fen", fen), Posting(f"{payee}:receivable", "CNY.fen", -fen)]
        )

    @precondition(lambda self: len(self.taken) > 2)
    @rule(pick=st.integers(0, 10**6))
    def reverse(self, pick: int) -> None:
        """Undo something, if it was not undone."""
        entry = self.taken[2 + pick % (len(self.taken) - 2)]
        if entry.id in self.undone:
            before = self.ledger.head
            try:
                self.ledger.reverse(entry.id, at=AT, id="twice")
            except Conflict:
                assert self.ledger.head == before
                return
            raise AssertionError("undone twice")
        before_count = len(self.taken)
        self.post(
            [Posting(p.account, p.commodity, -p.quantity, p.unit_lot, p.slot) for p in entry.postings],
            (),
            entry.id,
        )
        if len(self.taken) > before_count:
            self.undone.add(entry.id)

    @precondition(lambda self: bool(self.taken))
    @rule(pick=st.integers(0, 10**6))
    def retry(self, pick: int) -> None:
        """Post again what was posted."""
        before = self.ledger.head
        assert (
            self.ledger.post(self.taken[pick % len(self.taken)]).entry == self.taken[pick % len(self.taken)]
        )
        assert self.ledger.head == before

    @invariant()
    def counts_agree(self) -> None:
        """In each hour, every account has what was counted, and no unit is lost."""
        for day, hour in (HOURS[self.number % 12], HOURS[self.number * 5 % 12]):
            rows = self.ledger.balances(slot=f"{day}/h{hour:02}").iter_rows(named=True)
            found = {(r["account"], r["unit_lot"]): r["quantity"] for r in rows}
            keys = set(self.always) | {(a, lot) for a, lot, _, _ in self.hourly}
            right = {key: self.always[key] + self.hourly[*key, day, hour] for key in keys}
            assert found == {key: n for key, n in right.items() if n != 0}
            for lot, whole in getattr(self, "whole", {}).items():
                held = [n for (account, of), n in found.items() if of == lot and "opening" not in account]
                assert sum(held) == whole
                assert min(held) > 0

    def teardown(self) -> None:
        """Hear the audit, which shares no arithmetic with the triggers."""
        audit = self.ledger.audit()
        assert audit.ok, str(audit)
        assert self.ledger.entries() == tuple(self.taken)
        self.ledger.close()


Books.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestBooks = Books.TestCase
