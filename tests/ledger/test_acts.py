"""Reservations, transfers, hours, forecasts and the way of a lot: what people do with the books, on both databases."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.errors import Conflict, InputError, NotFound
from entrepot.ledger import (
    Arrival,
    Entry,
    Ledger,
    Posting,
    Slot,
    UnitLot,
    arrivals,
    availability,
    expire,
    forecast,
    lineage,
    opening,
    post_reservation,
    reservation,
    reservations,
    transfer,
    void,
)
from entrepot.ledger.course import Course
from entrepot.scenario.records import Scenario

if TYPE_CHECKING:
    from .conftest import Write

FREE = "alder:lf-1:available"
JUNE = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def kept(books: Ledger, write: Write) -> Ledger:
    """Keep 16 of alder's 64 for birch, until June."""
    devices = [Posting("", write.chip, 16, "a-h20")]
    books.post(reservation("r", write.at, JUNE, FREE, "birch", devices))
    return books


def test_what_is_reserved_is_neither_sold_nor_lost(kept: Ledger, write: Write) -> None:
    """It stands in an account of its own until the reservation ends."""
    with pytest.raises(Conflict, match="holds 48"):
        kept.post(write.sale("s", 49))
    assert kept.balance("alder:lf-1:reserved:birch", write.chip, "a-h20") == 16
    (row,) = reservations(kept).iter_rows(named=True)
    assert (row["reservation"], row["quantity"], row["expires"]) == ("r", 16, JUNE)


def test_a_reservation_is_posted_in_part_and_the_rest_goes_back(kept: Ledger, write: Write) -> None:
    """In one entry, with what is paid for it; and once."""
    also = (
        Posting("birch:payable:alder", "CNY.fen", -900),
        Posting("alder:receivable:birch", "CNY.fen", 900),
    )
    when = JUNE - HOUR
    done = post_reservation(kept, "r", "birch:ulq-1:available", id="t", at=when, quantity=10, also=also)
    again = post_reservation(kept, "r", "birch:ulq-1:available", id="t", at=when, quantity=10, also=also)
    assert done == again
    assert kept.balance("birch:ulq-1:available", write.chip, "a-h20") == 10
    assert kept.balance(FREE, write.chip, "a-h20") == 54
    assert reservations(kept).is_empty()
    with pytest.raises(Conflict):
        void(kept, "r", at=when)
    with pytest.raises(Conflict):
        post_reservation(kept, "r", "birch:ulq-1:available", id="u", at=when)
    with pytest.raises(Conflict, match="makes or ends a reservation"):
        kept.reverse("t", at=when)
    with pytest.raises(Conflict, match="is no reservation"):
        void(kept, "t", at=when)
    with pytest.raises(NotFound):
        void(kept, "nothing", at=when)
    with pytest.raises(InputError, match="0 of it were asked for"):
        post_reservation(kept, "r", "birch:ulq-1:available", id="u", at=when, quantity=0)
    assert kept.audit().ok


def test_an_expired_reservation_is_voided_and_not_posted(kept: Ledger, write: Write) -> None:
    """The ledger asks no clock: the units are kept until somebody says that the time is over."""
    with pytest.raises(Conflict, match="once it has expired"):
        post_reservation(kept, "r", "birch:ulq-1:available", id="t", at=JUNE)
    assert expire(kept, JUNE - HOUR) == ()
    assert kept.balance(FREE, write.chip, "a-h20", at=JUNE + HOUR) == 48
    (done,) = expire(kept, JUNE)
    assert (done.entry.id, done.entry.resolves) == ("r/void", "r")
    assert expire(kept, JUNE + HOUR) == ()
    assert kept.balance(FREE, write.chip, "a-h20") == 64
    assert kept.balance(FREE, write.chip, "a-h20", at=JUNE - HOUR) == 48
    assert kept.audit().ok


def test_two_parties_do_not_get_overlapping_windows(place: Path | str, books: Ledger, write: Write) -> None:
    """Eight at once, each through its own connection, for windows that all meet in one hour: sixty-four units, eight each... once."""
    slots = [f"2025-07-01/h{hour:02}-{hour + 8:02}" for hour in range(8)]  # all have 07:00

    def ask(number: int) -> int:
        with Ledger.open(place) as mine:
            got = 0
            for turn in range(2):
                devices = [Posting("", write.chip, 12, "a-h20", slots[(number + turn) % 8])]
                made = reservation(f"r{number}-{turn}", write.at, JUNE, FREE, f"p{number}", devices)
                try:
                    mine.post(made)
                except Conflict:
                    continue
                got += 12
            return got

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(ask, range(8))) == 60  # five times twelve fit into sixty-four
    assert books.balance(FREE, write.chip, "a-h20", "2025-07-01/h07") == 4
    assert books.audit().ok


def test_first_in_first_out_is_recorded(books: Ledger, write: Write) -> None:
    """The lot that came first goes first; of those that came together, the earlier import; a retry changes nothing."""
    early = UnitLot("z-old", write.chip, dt.date(2023, 1, 1))
    late = UnitLot("c-late", write.chip, dt.date(2022, 1, 1))
    for lot, at, count in ((early, write.at, 8), (late, write.at + HOUR, 8)):
        came = (
            Posting(FREE, write.chip, count, lot.id),
            Posting("alder:opening", write.chip, -count, lot.id),
        )
        books.post(Entry(f"in/{lot.id}", at, "came", came, (lot,)))
    ask = ("t", FREE, "birch:ulq-1:available", write.chip, 10)
    done = transfer(books, *ask, at=JUNE)
    moved = {p.unit_lot: p.quantity for p in done.entry.postings if p.quantity > 0}
    assert moved == {"z-old": 8, "a-h20": 2}  # imported in 2023 and in 2024; c-late came an hour later
    assert "first in, first out" in done.entry.cause
    assert transfer(books, *ask, at=JUNE) == done
    with pytest.raises(Conflict, match="another content"):
        transfer(books, *ask[:-1], 11, at=JUNE)
    with pytest.raises(Conflict, match=r"has 70 .* free .* and 71 were asked for"):
        transfer(books, "u", *ask[1:-1], 71, at=JUNE)
    named = transfer(books, "v", *ask[1:-1], 9, at=JUNE, lots=("c-late", "a-h20"))
    assert {p.unit_lot: p.quantity for p in named.entry.postings if p.quantity > 0} == {
        "c-late": 8,
        "a-h20": 1,
    }
    with pytest.raises(Conflict, match="of c-late free"):
        transfer(books, "w", *ask[1:-1], 1, at=JUNE, lots=("c-late",))
    assert books.audit().ok


def test_what_is_let_later_is_not_free_for_good(books: Ledger, write: Write) -> None:
    """A transfer for good takes what no later lease needs; one in a slot, what is free in its hours."""
    books.post(write.lease("l", "2025-07-01..2025-07-03/h08-10", 40))
    assert (
        transfer(books, "t", FREE, "birch:x:available", write.chip, 24, at=JUNE).entry.postings[1].quantity
        == 24
    )
    with pytest.raises(Conflict, match="has 0 "):
        transfer(books, "u", FREE, "birch:x:available", write.chip, 1, at=JUNE)
    ask = (FREE, "alder:lf-1:leased:cedar", write.chip)
    transfer(books, "v", *ask, 40, at=JUNE, slot="2025-07-01..2025-07-03/h10-12")
    with pytest.raises(Conflict, match="has 0 "):
        transfer(books, "w", *ask, 1, at=JUNE, slot="2025-07-02/h09-11")


def test_devices_with_numbers_are_taken_by_number(books: Ledger, write: Write) -> None:
    """First in first out names them; each is in one place only; their way can be followed."""
    devices = UnitLot("d", write.chip, dt.date(2020, 1, 1), serials=("D1", "D2", "D3"))
    came = (
        Posting(FREE, write.chip, 3, "d", serials=devices.serials),
        Posting("alder:opening", write.chip, -3, "d", serials=devices.serials),
    )
    books.post(Entry("in", write.at - HOUR, "came", came, (devices,)))
    done = transfer(books, "t", FREE, "birch:x:available", write.chip, 2, at=JUNE)
    assert done.entry.postings[1].serials == ("D1", "D2")
    assert books.where("D1") == ("birch:x:available", "d", JUNE)
    assert books.where("D3") == (FREE, "d", write.at - HOUR)
    with pytest.raises(NotFound, match="D2"):
        books.where("D")
    back = (
        Posting(FREE, write.chip, -1, "d", serials=("D1",)),
        Posting("cedar:x:available", write.chip, 1, "d", serials=("D1",)),
    )
    with pytest.raises(Conflict, match="named by its serial number"):
        books.post(Entry("again", JUNE, "sold twice", back))
    assert books.entry("in").entry.unit_lots == (devices,)
    assert books.audit().ok


def test_new_papers_keep_the_numbers(books: Ledger, write: Write) -> None:
    """A device of a lot that is split for new papers keeps its serial number, and is still in one place."""
    devices = UnitLot("d", write.chip, serials=("D1", "D2"))
    came = (
        Posting(FREE, write.chip, 2, "d", serials=("D1", "D2")),
        Posting("alder:opening", write.chip, -2, "d", serials=("D1", "D2")),
    )
    books.post(Entry("in", write.at, "came", came, (devices,)))
    child = UnitLot("d2", write.chip, authorisation="licence D-17", parent="d", serials=("D2",))
    split = (
        Posting(FREE, write.chip, -1, "d", serials=("D2",)),
        Posting("alder:equity", write.chip, 1, "d", serials=("D2",)),
        Posting("alder:equity", write.chip, -1, "d2", serials=("D2",)),
        Posting(FREE, write.chip, 1, "d2", serials=("D2",)),
    )
    books.post(Entry("split", JUNE, "new papers", split, (child,)))
    assert books.where("D2") == (FREE, "d2", JUNE)
    stranger = UnitLot("e", write.chip, serials=("D1",))
    with pytest.raises(Conflict, match="serial number"):
        books.post(
            Entry(
                "e",
                JUNE,
                "x",
                tuple(replace(p, unit_lot="e", quantity=p.quantity // 2, serials=("D1",)) for p in came),
                (stranger,),
            )
        )
    assert books.audit().ok
    tree = lineage(books, "d2")
    assert tree["tree"].to_list() == [
        "d: nvidia-h20-sxm-96gb, imported on an unknown day from an unknown country; authorisation unknown",
        "├─ out of alder:opening",
        "│  └─ alder:lf-1:available: 2 came, 1 there now",
        "│     └─ alder:equity: 1 came, 1 there now",
        "└─ d2: nvidia-h20-sxm-96gb, imported on an unknown day from an unknown country; licence D-17",
        "   └─ out of alder:equity",
        "      └─ alder:lf-1:available: 1 came, 1 there now",
    ]


def test_the_way_of_a_lot_is_a_tree(books: Ledger, write: Write) -> None:
    """From the opening to every holder, with what each got and has."""
    books.post(write.sale("s", 24))
    on = (
        Posting("birch:ulq-1:available", write.chip, -16, "a-h20"),
        Posting("cedar:x:available", write.chip, 16, "a-h20"),
    )
    books.post(Entry("on", JUNE, "resale", on))
    tree = lineage(books, "a-h20")
    assert [
        (r["depth"], r["account"], r["got"], r["now"], r["entry"]) for r in tree.iter_rows(named=True)
    ] == [
        (0, "", None, None, ""),
        (1, "alder:opening", 0, 0, ""),
        (2, FREE, 64, 40, "opening/a-h20"),
        (3, "birch:ulq-1:available", 24, 8, "s"),
        (4, "cedar:x:available", 16, 16, "on"),
    ]
    assert "imported 2024-09-01 from US; no licence required; no resale" in tree["tree"][0]


def test_hours_are_those_of_the_journal(books: Ledger, write: Write) -> None:
    """Free, reserved and leased in each hour; an hour in which something leaves counts as after it."""
    books.post(write.lease("l", "2025-06-01..2025-06-03/h08-10", 40))
    books.post(
        reservation("r", write.at, JUNE + 9 * HOUR, FREE, "cedar", [Posting("", write.chip, 4, "a-h20")])
    )
    books.post(replace(write.sale("s", 8), at=JUNE + 12.5 * HOUR))
    table = availability(books, JUNE, JUNE + 48 * HOUR, account="alder", commodity=write.chip)
    assert table.height == 48
    by_hour = {r["hour"]: (r["free"], r["reserved"], r["leased"]) for r in table.iter_rows(named=True)}
    for hours, right in ((0, (60, 4, 0)), (8, (20, 4, 40)), (9, (20, 4, 40)), (10, (60, 4, 0)), (11, (60, 4, 0)),
                         (12, (52, 4, 0)), (13, (52, 4, 0)), (33, (12, 4, 40)), (34, (52, 4, 0))):  # fmt: skip
        assert by_hour[JUNE + hours * HOUR] == right
    assert availability(books, JUNE, JUNE + HOUR, account="ald").is_empty()
    assert availability(books, JUNE, JUNE + HOUR, by_lot=True)["unit_lot"].to_list() == ["a-h20"] * 1
    for first, end in ((JUNE, JUNE), (JUNE, JUNE + 0.5 * HOUR), (JUNE, JUNE + dt.timedelta(days=3000))):
        with pytest.raises(InputError, match="whole hours"):
            availability(books, first, end)


@given(
    st.lists(st.tuples(st.integers(0, 71), st.integers(0, 59), st.integers(-5, 5)), max_size=6),
    st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(1, 3), st.integers(0, 22), st.integers(1, 24), st.integers(-5, 5)
        ),
        max_size=4,
    ),
)
@settings(max_examples=100, deadline=None)
def test_by_hour_is_the_lowest_of_each_hour(
    moves: list[tuple[int, int, int]], uses: list[tuple[int, int, int, int, int]]
) -> None:
    """The vectorised way against asking for every minute."""
    course = Course()
    for hour, minute, quantity in moves:
        course.add(JUNE + hour * HOUR + dt.timedelta(minutes=minute), quantity)
    for first, days, hour, until, quantity in uses:
        day = JUNE.date() + dt.timedelta(days=first)
        course.add(Slot(day, day + dt.timedelta(days=days), hour, max(until, hour + 1)), quantity)
    found = course.by_hour(JUNE, 72)
    right = [
        min(
            course.at(JUNE + h * HOUR + dt.timedelta(minutes=m))
            for m in {0, *(m for at, m, _ in moves if at == h)}
        )
        for h in range(72)
    ]
    assert found.tolist() == right
    assert found.dtype == np.int64


def test_a_forecast_says_what_is_booked_and_what_is_expected(
    books: Ledger, write: Write, scenario: Scenario
) -> None:
    """A lease that ends is booked; a delivery with a date and a reservation that expires are expected, with the reason."""
    books.post(write.lease("l", "2025-07-01..2025-08-01/h00-24", 40))
    books.post(reservation("r", write.at, JUNE, FREE, "cedar", [Posting("", write.chip, 4, "a-h20")]))
    (order,) = [e for e in opening(scenario) if "order" in e.id]
    books.post(order)
    bought = (
        Posting("yew:on-order", write.chip, -16, "order/o-1"),
        Posting("alder:lf-1:on-order", write.chip, 16, "order/o-1"),
    )
    books.post(Entry("bought", write.at, "bought", bought))

    def of(when: dt.datetime, account: str) -> dict[tuple[str, str], int]:
        table = forecast(books, when, account="alder", expected=arrivals(scenario)).filter(
            pl.col("account") == account
        )
        return {(r["unit_lot"], r["certainty"]): r["quantity"] for r in table.iter_rows(named=True)}

    july, august, september = (dt.datetime(2025, month, 2, tzinfo=dt.UTC) for month in (7, 8, 9))
    assert of(july, FREE) == {("a-h20", "booked"): 20, ("a-h20", "expected"): 4}
    assert of(august, FREE) == {("a-h20", "booked"): 60, ("a-h20", "expected"): 4}
    assert of(september, FREE)["order/o-1", "expected"] == 16
    assert of(september, "alder:lf-1:on-order") == {
        ("order/o-1", "booked"): 16,
        ("order/o-1", "expected"): -16,
    }
    why = forecast(books, september, expected=[Arrival("order/o-1", september.date(), "promised")])[
        "why"
    ].to_list()
    assert {"promised", "reservation r expires 2025-06-01 00:00 UTC unless it is posted"} <= set(why)
    assert forecast(books, september).filter(pl.col("unit_lot") == "order/o-1")[
        "certainty"
    ].unique().to_list() == ["booked"]
