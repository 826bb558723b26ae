# ruff: noqa: S608 - the statements are this file's own
"""Raw SQL that goes around Python, statement by statement: the database itself refuses each.

Every attempt is made twice, with foreign keys on and off, because whoever opens the file elsewhere has them off.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from entrepot.errors import Conflict, InputError
from entrepot.ledger import Ledger
from entrepot.ledger.guards import MEANING, SQLITE

if TYPE_CHECKING:
    from .conftest import Write

HASH = "c" * 64
ALWAYS = "'a-h20', ''"
FREE = "'alder:lf-1:available', 'nvidia-h20-sxm-96gb'"
EQUITY = "'alder:opening', 'nvidia-h20-sxm-96gb'"
BIRCH = "'birch:ulq-1:available', 'nvidia-h20-sxm-96gb'"
OPEN = "INSERT INTO entries SELECT seq + 1, 'raw', '2025-05-15T00:00:00.000000Z', 'raw', NULL, '', hash FROM head"
SEAL = f"INSERT INTO seals SELECT seq + 1, '{HASH}' FROM head"


def line(number: int, account: str, quantity: int, of: str = ALWAYS) -> str:
    """Return the statement that writes one posting of the open entry."""
    lot, slot = of.split(", ")
    return f"INSERT INTO postings SELECT seq + 1, {number}, {account}, {quantity}, {lot}, {slot} FROM head"


# guard that refuses, what it says, statements of which the last is refused
ATTEMPTS: list[tuple[str, str, list[str]]] = [
    ("seals_check", "unbalanced", [OPEN, line(0, FREE, 5), line(1, EQUITY, -4), SEAL]),
    ("seals_check", "unbalanced", [OPEN, line(0, FREE, 5), line(1, EQUITY, -5, "'a-h20', '2025-07-01/h14'"), SEAL]),
    ("seals_check", "no postings", [OPEN, SEAL]),
    ("seals_check", "not the next", [f"INSERT INTO seals VALUES (9, '{HASH}')"]),
    ("seals_check", "not the next", [f"INSERT OR REPLACE INTO seals VALUES (1, '{HASH}')"]),
    ("seals_check", "not the next", [SEAL]),
    ("seals_check", "unknown account|FOREIGN KEY", [OPEN, line(0, FREE, -5), line(1, "'elsewhere', 'nvidia-h20-sxm-96gb'", 5), SEAL]),
    ("seals_check", "unknown slot|FOREIGN KEY", [OPEN, line(0, FREE, -5, "'a-h20', 'never'"), line(1, BIRCH, 5, "'a-h20', 'never'"), SEAL]),
    ("seals_check", "units and money", [OPEN, line(0, "'alder:lf-1:available', 'CNY.fen'", 5, "'', ''"), line(1, "'alder:opening', 'CNY.fen'", -5, "'', ''"), SEAL]),
    ("seals_check", "units and money", [OPEN, line(0, "'birch:payable:alder', 'nvidia-h20-sxm-96gb'", -5), line(1, EQUITY, 5), SEAL]),
    ("seals_check", "reversal differs", [OPEN.replace("NULL", "'s'"), line(0, FREE, 1), line(1, EQUITY, -1), SEAL]),
    ("seals_apply", "below zero", [OPEN, line(0, FREE, -57), line(1, EQUITY, 57), SEAL]),
    ("seals_apply", "below zero", [OPEN, line(0, FREE, -49), line(1, EQUITY, 49), SEAL]),  # 8 of 56 are leased
    ("seals_apply", "below zero", ["INSERT INTO slots VALUES ('2025-07-01..2025-10-01/h08-20', '2025-07-01', '2025-10-01', 8, 20)", OPEN, line(0, FREE, -49, "'a-h20', '2025-07-01..2025-10-01/h08-20'"), line(1, "'alder:lf-1:leased:birch', 'nvidia-h20-sxm-96gb'", 49, "'a-h20', '2025-07-01..2025-10-01/h08-20'"), SEAL]),
    ("seals_apply", "above zero", [OPEN, line(0, "'birch:payable:alder', 'CNY.fen'", 501, "'', ''"), line(1, "'alder:opening', 'CNY.fen'", -501, "'', ''"), SEAL]),
    ("postings_open", "not open", [line(9, FREE, 5).replace("seq + 1", "2")]),
    ("postings_open", "not open", [line(0, FREE, 5).replace("seq + 1", "2").replace("INSERT", "INSERT OR REPLACE")]),
    ("postings_open", "not open", [line(0, FREE, 5)]),
    ("postings_open", "unknown unit lot", [OPEN, line(0, FREE, 5, "'nowhere', ''")]),
    ("postings_open", "unknown unit lot", [OPEN, line(0, "'alder:lf-1:available', 'amd-mi300x-192gb'", 5)]),
    ("entries_follow", "not the next", [OPEN.replace("seq + 1", "seq + 2")]),
    ("entries_follow", "not the next", [OPEN.replace(", hash FROM", f", '{HASH}' FROM")]),
    ("entries_follow", "append-only", [OPEN.replace("INSERT", "INSERT OR REPLACE").replace("'raw', '2025", "'s', '2025")]),
    ("unit_lots_open", "not open", ["INSERT INTO unit_lots SELECT 'new', 'x', NULL, NULL, NULL, '[]', NULL, '', 1, 0"]),
    ("unit_lots_open", "append-only", [OPEN, "INSERT OR REPLACE INTO unit_lots SELECT 'a-h20', 'x', NULL, NULL, NULL, '[]', NULL, '', seq + 1, 0 FROM head"]),
    ("head_one", "append-only", [f"INSERT OR REPLACE INTO head VALUES (1, 1, 0, '{HASH}', 1)"]),
    ("head_stays", "append-only", ["DELETE FROM head"]),
    ("head_moves_by_seal", "derived", ["UPDATE head SET busy = 1"]),
    ("head_moves_by_seal", "derived", ["UPDATE head SET seq = seq - 1, hash = (SELECT hash FROM seals WHERE seq = 1), busy = 1"]),
    ("head_moves_by_seal", "derived", [f"UPDATE head SET hash = '{HASH}'"]),
    ("balances_by_seal_update", "derived", ["UPDATE balances SET quantity = quantity + 1000"]),
    ("balances_by_seal_delete", "derived", ["DELETE FROM balances"]),
    ("balances_by_seal_insert", "derived", [f"INSERT OR REPLACE INTO balances VALUES ({FREE}, {ALWAYS}, 1000)"]),
    ("timeline_by_seal_update", "derived", ["UPDATE timeline SET quantity = 0"]),
    ("timeline_by_seal_delete", "derived", ["DELETE FROM timeline"]),
    ("timeline_by_seal_insert", "derived", [f"INSERT OR REPLACE INTO timeline VALUES ({FREE}, 'a-h20', 14, '2025-07-01', 0)"]),
    ("slots_once", "unknown slot", ["INSERT INTO slots VALUES ('2025-07-02/h14', '2025-07-03', '2025-07-04', 14, 15)"]),
    ("slots_once", "unknown slot", ["INSERT INTO slots VALUES ('2025-07-02/h14', '2025-07-02', '2025-07-03', 15, 16)"]),
    ("slots_once", "unknown slot", ["INSERT INTO slots VALUES ('2025-02-30/h14', '2025-02-30', '2025-03-01', 14, 15)"]),
    *((f"{table}_no_delete", "append-only", [f"DELETE FROM {table}"]) for table in ("accounts", "slots", "hours", "seals", "entries", "unit_lots", "postings")),
    ("accounts_no_update", "append-only", ["UPDATE accounts SET nature = 'equity'"]),
    ("slots_no_update", "append-only", ["UPDATE slots SET end_day = '2026-01-01'"]),
    ("hours_no_update", "append-only", ["UPDATE hours SET hour = 0 WHERE hour = 14"]),
    ("seals_no_update", "append-only", [f"UPDATE seals SET hash = '{HASH}'"]),
    ("entries_no_update", "append-only", ["UPDATE OR REPLACE entries SET cause = 'another'"]),
    ("unit_lots_no_update", "append-only", ["UPDATE unit_lots SET authorisation = 'a licence'"]),
    ("postings_no_update", "append-only", ["UPDATE postings SET quantity = quantity * 2"]),
    ("hours", "UNIQUE|hour", ["INSERT INTO hours VALUES (14)"]),
    ("hours", "hour", ["INSERT INTO hours VALUES (24)"]),
    ("accounts", "nature", ["INSERT INTO accounts VALUES ('dogwood:x:available', 'dogwood', 'x', 'available', '', 'equity')"]),
    ("accounts", "name", ["INSERT INTO accounts VALUES ('dogwood:x:available', 'dogwood', 'x', 'opening', '', 'equity')"]),
    ("accounts", "site", ["INSERT INTO accounts VALUES ('dogwood:leased:opening', 'dogwood', 'leased', 'opening', '', 'equity')"]),
    ("accounts", "parts", ["INSERT INTO accounts VALUES ('d:x:opening', 'd:x', '', 'opening', '', 'equity')"]),
    ("postings", "quantity", [OPEN, line(0, FREE, 0)]),
    ("postings", "quantity", [OPEN, line(0, FREE, 10**15 + 1)]),
    ("postings", "cannot store REAL", [OPEN, line(0, FREE, 1).replace(", 1, ", ", 1.5, ")]),
    ("postings", "money_always", [OPEN, line(0, "'birch:cash', 'CNY.fen'", 1, "'', '2025-07-01/h14'")]),
]  # fmt: skip


@pytest.fixture
def kept(books: Ledger, write: Write, path: Path) -> Iterator[Path]:
    """Keep a ledger with a sale and a lease, and hold it to what it was."""
    books.post(write.sale("s"))
    books.post(write.lease("l", "2025-07-01/h14", 8))
    head, balances = books.head, books.balances()
    yield path
    assert books.head == head
    assert books.balances().equals(balances)
    audit = books.audit()
    assert audit.ok, str(audit)


@pytest.mark.parametrize("keys", ["ON", "OFF"])
@pytest.mark.parametrize(
    "attempt", range(len(ATTEMPTS)), ids=lambda i: f"{i}-{ATTEMPTS[i][0]}-{ATTEMPTS[i][1][:14]}"
)
def test_the_database_refuses(kept: Path, attempt: int, keys: str) -> None:
    """Nobody who opens the file with another tool can invent a unit, or lose one."""
    _, why, statements = ATTEMPTS[attempt]
    with closing(sqlite3.connect(kept, isolation_level=None)) as raw:
        raw.execute(f"PRAGMA foreign_keys = {keys}")
        raw.execute("BEGIN")
        with pytest.raises(sqlite3.IntegrityError, match=why):  # noqa: PT012 - the last is refused, or an earlier one
            for statement in statements:
                raw.execute(statement)
        raw.execute("ROLLBACK")


def test_every_guard_was_tried() -> None:
    """A guard that no attempt runs into may as well not be there."""
    tried = {name for name, _, _ in ATTEMPTS} | {"accounts_once"}  # tried below
    assert tried >= SQLITE.keys()
    assert {why for _, why, _ in ATTEMPTS for why in why.split("|")} >= MEANING.keys()


@pytest.mark.parametrize(
    "row",
    [
        "accounts VALUES ('alder:lf-1:available', 'alder', 'lf-1', 'available', '', 'equity')",
        "slots VALUES ('2025-07-01/h14', '2025-07-01', '2025-07-03', 14, 15)",
    ],
)
def test_a_name_once_taken_apart_stays_so(kept: Path, row: str) -> None:
    """The row that is there is kept, whatever is written over it."""
    with closing(sqlite3.connect(kept)) as raw, raw:
        raw.execute(f"INSERT OR REPLACE INTO {row}")


def test_an_entry_without_its_seal_cannot_be_committed(kept: Path) -> None:
    """The foreign key to the seal is checked at the end of the transaction."""
    with closing(sqlite3.connect(kept, isolation_level=None)) as raw:
        raw.execute("PRAGMA foreign_keys = ON")
        for statement in ("BEGIN", OPEN, line(0, FREE, 5)):
            raw.execute(statement)
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            raw.execute("COMMIT")
        raw.execute("ROLLBACK")


def test_an_entry_left_unsealed_counts_for_nothing(books: Ledger, path: Path, write: Write) -> None:
    """With foreign keys off it can be left behind: no balance moves, the audit names it, nothing is written over it."""
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute(OPEN)
        raw.execute(line(0, FREE, 5))
    assert ("raw", "was never sealed") in [(b.entry, b.what) for b in books.audit().breaks]
    with pytest.raises(Conflict, match="append-only"):
        books.post(write.sale("s"))
    with pytest.raises(InputError, match="raw"):
        books.entries()


def test_a_sound_entry_in_raw_sql_is_taken_and_its_hash_found_out(books: Ledger, path: Path) -> None:
    """The database keeps the units; that the hash is not the content's, only a reader can tell."""
    with closing(sqlite3.connect(path)) as raw, raw:
        for statement in (OPEN, line(0, FREE, -5), line(1, EQUITY, 5), SEAL):
            raw.execute(statement)
    assert books.balance("alder:lf-1:available", "nvidia-h20-sxm-96gb", "a-h20") == 59
    assert [b.entry for b in books.audit().breaks] == ["raw"]
    with pytest.raises(InputError, match="its hash is another"):
        books.entries()
