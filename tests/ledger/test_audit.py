# ruff: noqa: S608 - the statements are this file's own
"""A file that was written to with its guards taken away: the audit finds where."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from entrepot.errors import InputError
from entrepot.ledger import Ledger
from entrepot.ledger.guards import SQLITE
from entrepot.ledger.records import chained

if TYPE_CHECKING:
    from .conftest import Write


@pytest.fixture
def tamper(path: Path, write: Write) -> Callable[..., None]:
    """Return what writes to a ledger of five entries as if there were no guards, and puts the guards back."""
    with Ledger.open(path) as books:
        books.post(write.held())
        books.post_all(
            [write.sale("s1"), write.sale("s2"), write.lease("l", "2025-07-01..2025-07-05/h08-10", 8)]
        )
        books.reverse("s1", at=write.at)

    def run(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as raw, raw:
            for name in SQLITE:
                raw.execute(f"DROP TRIGGER {name}")
            for statement in statements:
                assert raw.execute(statement).rowcount != 0, statement
            for sql in SQLITE.values():
                raw.execute(sql)

    return run


@pytest.mark.parametrize(
    ("statement", "entry", "what"),
    [
        ("UPDATE postings SET quantity = -7 WHERE entry = 2 AND line = 0", "s1", "sums to"),
        ("UPDATE postings SET quantity = quantity * 2 WHERE entry = 3", "s2", "another hash"),
        ("UPDATE postings SET account = 'cedar:ulq-1:available' WHERE entry = 3 AND line = 1", "s2", "another hash"),
        ("UPDATE entries SET cause = 'gift' WHERE seq = 3", "s2", "another hash"),
        ("UPDATE entries SET at = '2024-05-15T00:00:00.000000Z' WHERE seq = 3", "s2", "another hash"),
        ("UPDATE entries SET id = 's9' WHERE seq = 3", "s9", "another hash"),
        ("UPDATE unit_lots SET authorisation = 'licence D1'", "opening/a-h20", "another hash"),
        ("UPDATE unit_lots SET imported_on = '2022-01-01'", "opening/a-h20", "another hash"),
        ("DELETE FROM postings WHERE entry = 3", "s2", "no posting"),
        ("DELETE FROM seals WHERE seq = 3", "s2", "never sealed"),
        ("UPDATE entries SET previous = 'x' WHERE seq = 3", "s2", "does not carry the hash"),
        ("UPDATE entries SET reverses = 's2' WHERE seq = 5", "s1/reversal", "another hash"),
        ("UPDATE balances SET quantity = 1000 WHERE account LIKE 'birch:ulq%'", "", "is stored as 1000, and the journal gives 8"),
        ("DELETE FROM balances WHERE account LIKE 'birch:ulq%'", "", "is stored as 0, and the journal gives 8"),
        ("UPDATE timeline SET quantity = 0 WHERE hour = 8", "", "the hours that slots take from or add to alder:lf-1:available"),
        ("UPDATE timeline SET change = 0 WHERE hour = 8", "", "the hours that slots take from or add to alder:lf-1:available"),
        ("UPDATE levels SET quantity = quantity + 1 WHERE account LIKE 'birch:ulq%'", "", "the history of birch:ulq-1:available"),
        ("UPDATE levels SET change = 0 WHERE account LIKE 'birch:ulq%'", "", "the history of birch:ulq-1:available"),
        ("UPDATE levels SET at = '2025-05-16T00:00:00.000000Z' WHERE account LIKE 'birch:ulq%'", "", "the history of birch:ulq-1:available"),
        ("DELETE FROM levels WHERE account LIKE 'birch:ulq%'", "", "the history of birch:ulq-1:available"),
        ("UPDATE slots SET hour_to = 9 WHERE slot <> ''", "", "the slot '2025-07-01..2025-07-05/h08-10' is missing or"),
        ("DELETE FROM accounts WHERE party = 'birch' AND state = 'available'", "", "'birch:ulq-1:available' is missing"),
        ("UPDATE head SET seq = 4", "", "the head stands at number 4"),
    ],
)  # fmt: skip
def test_the_audit_says_where(
    tamper: Callable[..., None], path: Path, statement: str, entry: str, what: str
) -> None:
    """The first break is at the entry that was changed, and says what is wrong with it."""
    tamper(statement)
    with Ledger.open(path) as books:
        breaks = books.audit().breaks
    assert breaks, "nothing found"
    assert breaks[0].entry == entry
    assert any(what in found.what for found in breaks if found.entry == entry), breaks
    assert {found.entry for found in breaks} <= {entry, ""}, "blamed an entry that is as it was"


def test_what_was_changed_is_never_read_as_if_it_were_not(tamper: Callable[..., None], path: Path) -> None:
    """Reading does not wait for an audit."""
    tamper("UPDATE postings SET quantity = quantity * 2 WHERE entry = 3")
    with Ledger.open(path) as books:
        for read in (
            books.entries,
            books.journal,
            books.postings,
            books.provenance,
            lambda: books.entry("s2"),
        ):
            with pytest.raises(InputError, match="not as it was written"):
                read()
        assert books.entry("s1").entry.id == "s1"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE balances SET quantity = 1000 WHERE account LIKE 'birch:ulq%'",
        "UPDATE levels SET quantity = 1000 WHERE account LIKE 'birch:ulq%'",
        "UPDATE levels SET change = 1000 WHERE account LIKE 'birch:ulq%'",
        "DELETE FROM levels WHERE account LIKE 'birch:ulq%'",
    ],
)
def test_a_balance_is_checked_against_its_history_as_it_is_read(
    tamper: Callable[..., None], path: Path, write: Write, statement: str
) -> None:
    """Each number is stored so that a second one contradicts it when it alone is changed."""
    tamper(statement)
    key = ("birch:ulq-1:available", write.chip, "a-h20")
    with Ledger.open(path) as books:
        with pytest.raises(InputError, match="is stored as"):
            books.balance(*key)
        if "change" not in statement:
            with pytest.raises(InputError, match="is stored as"):
                books.balances()
        if statement.startswith("UPDATE levels"):
            with pytest.raises(InputError, match="is stored as"):
                books.balance(*key, at=write.at)


def test_an_entry_taken_out_leaves_a_hole(tamper: Callable[..., None], path: Path) -> None:
    """The entry after it no longer follows."""
    tamper(
        *(
            f"DELETE FROM {table} WHERE {key} = 3"
            for table, key in (("postings", "entry"), ("entries", "seq"), ("seals", "seq"))
        )
    )
    with Ledger.open(path) as books:
        assert ("l", "is number 4 and follows number 2") in [(b.entry, b.what) for b in books.audit().breaks]
        with pytest.raises(InputError, match="does not follow entry number 2"):
            books.entries()


def test_missing_guards_are_named_and_stop_writing(
    tamper: Callable[..., None], path: Path, write: Write
) -> None:
    """Without its guards the file must not be written to; it can still be read."""
    tamper()
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("DROP TRIGGER seals_apply")
        raw.execute("CREATE TRIGGER mine AFTER INSERT ON seals BEGIN SELECT 1; END")
    with Ledger.open(path) as books:
        (found,) = books.audit().breaks
        assert "seals_apply" in found.what
        assert "mine (not ours)" in found.what
        with pytest.raises(InputError, match="without its guards"):
            books.post(write.sale("s3"))
        assert len(books.entries()) == 5


def test_a_hash_noted_elsewhere_finds_a_forger(tamper: Callable[..., None], path: Path) -> None:
    """Who rewrites an entry and every hash after it leaves a chain that holds; the noted hash does not."""
    with Ledger.open(path) as books:
        noted = {"s1/reversal": books.head[1]}
        sealed = list(books.chain())
        assert books.audit(noted=noted).ok
    forged, statements = sealed[0].previous, []
    for s in sealed:
        statements.append(f"UPDATE entries SET previous = '{forged}' WHERE seq = {s.seq}")
        if s.seq == 3:
            statements.append("UPDATE entries SET cause = 'forged' WHERE seq = 3")
        forged = chained(forged, replace(s.entry, cause="forged") if s.seq == 3 else s.entry)
        statements.append(f"UPDATE seals SET hash = '{forged}' WHERE seq = {s.seq}")
    tamper(*statements, f"UPDATE head SET hash = '{forged}'")
    with Ledger.open(path) as books:
        assert books.audit().ok
        assert [found.entry for found in books.audit(noted=noted).breaks] == ["s1/reversal"]


def test_the_audit_as_a_table(books: Ledger) -> None:
    """A sound ledger has an empty one, and says so in a line."""
    audit = books.audit()
    assert audit.table().columns == ["entry", "what"]
    assert audit.table().is_empty()
    assert str(audit).startswith("1 entries with 2 postings: every hash and every balance holds.")
    assert audit.head == books.head[1]
