"""What may be written at all: accounts, slots, entries that balance."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from entrepot.errors import InputError
from entrepot.ledger import Account, Entry, Posting, Slot, UnitLot
from entrepot.ledger.course import Course
from entrepot.ledger.records import canonical, chained
from entrepot.ledger.slots import rectangles

AT = dt.datetime(2025, 5, 15, tzinfo=dt.UTC)
PAY = (Posting("a:cash", "CNY.fen", 5), Posting("a:opening", "CNY.fen", -5))
HALF: Any = 0.5
UNITS = (Posting("a:x:available", "chip", 5, "lot"), Posting("a:opening", "chip", -5, "lot"))


@pytest.mark.parametrize(
    ("text", "nature"),
    [
        ("alder:lf-1:available", "asset"),
        ("alder:lf-1:leased:birch", "asset"),
        ("yew:on-order", "asset"),
        ("birch:cash", "asset"),
        ("alder:receivable:birch", "asset"),
        ("birch:payable", "liability"),
        ("birch:credit:bank", "liability"),
        ("alder:opening", "equity"),
        ("alder:lf-1:equity", "equity"),
    ],
)
def test_an_account_says_its_nature(text: str, nature: str) -> None:
    """The sign that a balance may have follows from the name alone."""
    account = Account.parse(text)
    assert (str(account), account.nature) == (text, nature)


@pytest.mark.parametrize(
    "text",
    [
        "alder",
        "alder:lf-1",
        "",
        "a::available",
        "alder:available",
        "a:b:leased",
        "a:cash:b",
        "a:b:c:available",
        "a:b:availble",
        "a:b:leased:c:d",
    ],
)
def test_what_is_no_account(text: str) -> None:
    """A name that could be read two ways, or not at all, is not read."""
    with pytest.raises(InputError, match="account"):
        Account.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "2025-07-01",
        "2025-07-01/h24",
        "2025-07-01/h8",
        "2025-02-30/h08",
        "2025-07-01..2025-07-02/h08",
        "2025-07-01..2025-07-01/h08",
        "2025-07-01/h08-09",
        "2025-07-01/h09-08",
        "always",
    ],
)
def test_a_slot_is_written_in_one_way(text: str) -> None:
    """Two spellings of one slot would be two keys for the same hours."""
    with pytest.raises(InputError, match="slot"):
        Slot.parse(text)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            {"postings": (Posting("a:cash", "CNY.fen", 5), Posting("a:opening", "CNY.fen", -4))},
            r"sums to \+1",
        ),
        (
            {"postings": (Posting("a:cash", "CNY.fen", 5), Posting("a:opening", "USD.cent", -5))},
            "CNY.fen sums",
        ),
        ({"postings": (UNITS[0], replace(UNITS[1], unit_lot="other"))}, "of lot other sums"),
        ({"postings": (UNITS[0], replace(UNITS[1], slot="2025-07-01/h08"))}, "in slot 2025-07-01/h08 sums"),
        ({"postings": ()}, "no posting"),
        ({"postings": (Posting("a:cash", "CNY.fen", 0),)}, "quantity 0"),
        (
            {"postings": (Posting("a:cash", "CNY.fen", HALF), Posting("a:opening", "CNY.fen", -HALF))},
            r"quantity 0\.5",
        ),
        (
            {"postings": (Posting("a:cash", "CNY.fen", True), Posting("a:opening", "CNY.fen", -1))},
            "quantity True",
        ),
        (
            {"postings": (Posting("a:cash", "CNY.fen", 10**16), Posting("a:opening", "CNY.fen", -(10**16)))},
            "quantity",
        ),
        ({"postings": tuple(replace(p, slot="2025-07-01/h08") for p in PAY)}, "money counts always"),
        ({"postings": tuple(replace(p, unit_lot="lot") for p in PAY)}, "cannot be 'cash'"),
        ({"postings": tuple(replace(p, unit_lot="") for p in UNITS)}, "no unit lot"),
        ({"at": dt.datetime(2025, 5, 15)}, "not UTC"),  # noqa: DTZ001 - the point
        ({"at": dt.datetime(2025, 5, 15, tzinfo=dt.timezone(dt.timedelta(hours=8)))}, "not UTC"),
        ({"id": ""}, "id or cause"),
        ({"cause": "two\nlines"}, "id or cause"),
        ({"unit_lots": (UnitLot("", "chip"),)}, "unit lot"),
    ],
)
def test_there_is_no_entry_that_is_wrong(change: dict[str, object], why: str) -> None:
    """An entry is checked when it is made, so nothing later needs to ask."""
    entry = Entry("e", AT, "c", PAY)
    with pytest.raises(InputError, match=why):
        replace(entry, **change)  # type: ignore[arg-type]


def test_all_faults_are_told_at_once() -> None:
    """Who mends one fault should not meet the next."""
    with pytest.raises(InputError) as caught:
        Entry("e", AT, "", (Posting("a:cash", "CNY.fen", 5), Posting("nowhere", "CNY.fen", -4)))
    assert len(caught.value.faults) == 3


def test_the_hash_is_that_of_the_text() -> None:
    """Anyone can recompute it: sha256 of the previous hash and the JSON with sorted keys."""
    lot = UnitLot("lot", "chip", dt.date(2024, 9, 1), "US", None, ("no resale",), None, "Lieferung für Köln")
    entry = Entry("e", AT, "c", UNITS, unit_lots=(lot,), settles="x")
    text = canonical(entry)
    again = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert again == text
    assert chained("0" * 64, entry) == hashlib.sha256(("0" * 64 + text).encode("utf-8")).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"id": "f"},
        {"at": AT + dt.timedelta(microseconds=1)},
        {"cause": "d"},
        {"postings": UNITS[::-1]},
        {"unit_lots": ()},
        {"reverses": "d"},
        {"settles": "y"},
        {"unit_lots": (UnitLot("lot", "chip", note="x"),)},
        {"unit_lots": (UnitLot("lot", "chip", parent="x"),)},
        {"unit_lots": (UnitLot("lot", "chip", imported_from="x"),)},
        {"unit_lots": (UnitLot("lot", "chip", authorisation="x"),)},
        {"unit_lots": (UnitLot("lot", "chip", conditions=("x",)),)},
        {"unit_lots": (UnitLot("lot", "chip", imported_on=dt.date(2024, 1, 1)),)},
    ],
)
def test_every_field_is_under_the_hash(change: dict[str, object]) -> None:
    """What the hash does not cover could be changed unseen."""
    entry = Entry("e", AT, "c", UNITS, unit_lots=(UnitLot("lot", "chip"),), settles="x")
    assert chained("0" * 64, replace(entry, **change)) != chained("0" * 64, entry)  # type: ignore[arg-type]


_DAYS = st.dates(dt.date(2025, 6, 28), dt.date(2025, 7, 3))


@st.composite
def slots(draw: st.DrawFn) -> Slot:
    """Any slot within a few days."""
    first = draw(_DAYS)
    end = first + dt.timedelta(days=draw(st.integers(1, 4)))
    hour = draw(st.integers(0, 23))
    return Slot(first, end, hour, draw(st.integers(hour + 1, 24)))


@given(slots())
@settings(max_examples=100, deadline=None)
def test_a_slot_reads_back(slot: Slot) -> None:
    """Its text is all of it."""
    assert Slot.parse(str(slot)) == slot


_HALVES = [dt.datetime(2025, 6, 27, tzinfo=dt.UTC) + n * dt.timedelta(minutes=30) for n in range(12 * 48)]


@given(
    st.lists(st.tuples(slots(), st.integers(-5, 5)), max_size=5),
    st.lists(st.tuples(st.sampled_from(_HALVES), st.integers(-5, 5)), max_size=5),
    st.none() | st.sampled_from(_HALVES),
    st.none() | st.sampled_from(_HALVES),
    st.sampled_from([1, -1]),
)
@settings(max_examples=150, deadline=None)
def test_the_lowest_moment_is_found(
    uses: list[tuple[Slot, int]],
    moves: list[tuple[dt.datetime, int]],
    since: dt.datetime | None,
    until: dt.datetime | None,
    sign: int,
) -> None:
    """Second opinion: every half hour of every day, one by one."""
    course = Course()
    for slot, quantity in uses:
        course.add(slot, quantity)
    for at, quantity in moves:
        course.add(at, quantity)
    values = {
        half: sum(q for s, q in uses if s.covers(half.date(), half.hour))
        + sum(q for at, q in moves if at <= half)
        for half in _HALVES
    }
    assert {half: course.at(half) for half in _HALVES} == values
    within = [
        v
        for half, v in values.items()
        if (since is None or half >= since) and (until is None or half < until)
    ]
    low, when = course.lowest(since=since, until=until, sign=sign)
    if when is None:
        assert low == 0
        assert not within or (since is None and not any(within))
    else:
        assert values[when] * sign == low
        # Before the first change nobody has anything; that is not looked at unless somebody asks since when.
        lowest = min(v * sign for v in within)
        assert low == lowest if since is not None else low == lowest or (lowest == 0 < low)


@given(
    st.integers(1, 4).flatmap(
        lambda steps: hnp.arrays(np.int64, (steps, 24), elements=st.integers(0, 2), fill=st.just(1))
    )
)
@settings(max_examples=100, deadline=None)
def test_rectangles_are_the_use_they_were_made_of(
    use: np.ndarray[tuple[int, int], np.dtype[np.int64]],
) -> None:
    """Each hour of each step is covered by its devices: nothing twice, nothing lost."""
    starts = [dt.date(2025, 7, 1) + dt.timedelta(days=30 * step) for step in range(len(use) + 1)]
    made = rectangles(use.ravel(), starts)
    for step, day in enumerate(starts[:-1]):
        for hour in range(24):
            assert sum(q for slot, q in made if slot.covers(day, hour)) == use[step, hour]
            assert sum(slot.covers(day, hour) for slot, _ in made) <= 1
