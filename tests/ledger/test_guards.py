# ruff: noqa: S608 - the statements are this file's own
"""Raw SQL that goes around Python, statement by statement: the database itself refuses each.

Every attempt is made twice: with foreign keys on and off in SQLite, because whoever opens the file elsewhere has them off;
and in PostgreSQL as an ordinary session and as a replica's, which silences ordinary triggers and all foreign keys.
"""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from entrepot.errors import Conflict, InputError
from entrepot.ledger import Entry, Ledger, Posting, UnitLot
from entrepot.ledger.guards import MEANING, POSTGRES, SQLITE
from entrepot.ledger.guards.rules import DERIVED, JOURNAL

from .conftest import Write

if TYPE_CHECKING:
    from .conftest import Databases

HASH = "c" * 64
ALWAYS = "'a-h20', ''"
FREE = "'alder:lf-1:available', 'nvidia-h20-sxm-96gb'"
EQUITY = "'alder:opening', 'nvidia-h20-sxm-96gb'"
BIRCH = "'birch:ulq-1:available', 'nvidia-h20-sxm-96gb'"
KEPT = "'alder:lf-1:reserved:birch', 'nvidia-h20-sxm-96gb'"
OWN = "'alder:lf-1:available', 'nvidia-h20-sxm-96gb'"
OPEN = "INSERT INTO entries SELECT seq + 1, 'raw', '2025-05-15T00:00:00.000000Z', 'raw', NULL, '', hash, NULL, NULL FROM head"
ENDS = OPEN.replace("hash, NULL, NULL", "hash, NULL, '{}'")
SEAL = f"INSERT INTO seals SELECT seq + 1, '{HASH}' FROM head"
TURN = f"s AS ({SEAL} RETURNING seq), t AS (INSERT INTO turns SELECT seq, 0 FROM s RETURNING seq)"
NEW_LOT = "INSERT INTO unit_lots SELECT 'new', 'x', NULL, NULL, NULL, '[]', NULL, '', seq + 1, 0 FROM head"


def line(number: int, account: str, quantity: int, of: str = ALWAYS) -> str:
    """Return the statement that writes one posting of the open entry."""
    lot, slot = of.split(", ")
    return f"INSERT INTO postings SELECT seq + 1, {number}, {account}, {quantity}, {lot}, {slot} FROM head"


def serial(number: int, device: str) -> str:
    """Return the statement that names a device that a posting of the open entry moves."""
    return f"INSERT INTO posting_serials SELECT seq + 1, {number}, 0, '{device}' FROM head"


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
    ("seals_check", "reversal differs", [OPEN.replace("NULL", "'s'", 1), line(0, FREE, 1), line(1, EQUITY, -1), SEAL]),
    ("seals_apply", "below zero", [OPEN, line(0, FREE, -53), line(1, EQUITY, 53), SEAL]),
    ("seals_apply", "below zero", [OPEN, line(0, FREE, -45), line(1, EQUITY, 45), SEAL]),  # 8 of 52 are leased
    ("seals_apply", "below zero", ["INSERT INTO slots VALUES ('2025-07-01..2025-10-01/h08-20', '2025-07-01', '2025-10-01', 8, 20)", OPEN, line(0, FREE, -45, "'a-h20', '2025-07-01..2025-10-01/h08-20'"), line(1, "'alder:lf-1:leased:birch', 'nvidia-h20-sxm-96gb'", 45, "'a-h20', '2025-07-01..2025-10-01/h08-20'"), SEAL]),
    ("seals_apply", "above zero", [OPEN, line(0, "'birch:payable:alder', 'CNY.fen'", 501, "'', ''"), line(1, "'alder:opening', 'CNY.fen'", -501, "'', ''"), SEAL]),
    ("postings_open", "not open", [line(9, FREE, 5).replace("seq + 1", "2")]),
    ("postings_open", "not open", [line(0, FREE, 5).replace("seq + 1", "2").replace("INSERT", "INSERT OR REPLACE")]),
    ("postings_open", "not open", [line(0, FREE, 5)]),
    ("postings_open", "unknown unit lot", [OPEN, line(0, FREE, 5, "'nowhere', ''")]),
    ("postings_open", "unknown unit lot", [OPEN, line(0, "'alder:lf-1:available', 'amd-mi300x-192gb'", 5)]),
    ("entries_follow", "not the next", [OPEN.replace("seq + 1", "seq + 2")]),
    ("entries_follow", "not the next", [OPEN.replace(", hash,", f", '{HASH}',")]),
    ("entries_follow", "append-only", [OPEN.replace("INSERT", "INSERT OR REPLACE").replace("'raw', '2025", "'s', '2025")]),
    ("unit_lots_open", "not open", ["INSERT INTO unit_lots SELECT 'new', 'x', NULL, NULL, NULL, '[]', NULL, '', 1, 0"]),
    ("unit_lots_open", "append-only", [OPEN, "INSERT OR REPLACE INTO unit_lots SELECT 'a-h20', 'x', NULL, NULL, NULL, '[]', NULL, '', seq + 1, 0 FROM head"]),
    ("head_one", "append-only", [f"INSERT OR REPLACE INTO head VALUES (1, 2, 0, '{HASH}', 1)"]),
    ("head_stays", "append-only", ["DELETE FROM head"]),
    ("head_moves_by_seal", "derived", ["UPDATE head SET busy = 1"]),
    ("head_moves_by_seal", "derived", ["UPDATE head SET seq = seq - 1, hash = (SELECT hash FROM seals WHERE seq = 1), busy = 1"]),
    ("head_moves_by_seal", "derived", [f"UPDATE head SET hash = '{HASH}'"]),
    ("balances_by_seal_update", "derived", ["UPDATE balances SET quantity = quantity + 1000"]),
    ("balances_by_seal_delete", "derived", ["DELETE FROM balances"]),
    ("balances_by_seal_insert", "derived", [f"INSERT OR REPLACE INTO balances VALUES ({FREE}, {ALWAYS}, 1000)"]),
    ("timeline_by_seal_update", "derived", ["UPDATE timeline SET quantity = 0"]),
    ("timeline_by_seal_delete", "derived", ["DELETE FROM timeline"]),
    ("timeline_by_seal_insert", "derived", [f"INSERT OR REPLACE INTO timeline VALUES ({FREE}, 'a-h20', 14, '2025-07-01', 0, 0)"]),
    ("slots_once", "unknown slot", ["INSERT INTO slots VALUES ('2025-07-02/h14', '2025-07-03', '2025-07-04', 14, 15)"]),
    ("slots_once", "unknown slot", ["INSERT INTO slots VALUES ('2025-07-02/h14', '2025-07-02', '2025-07-03', 15, 16)"]),
    ("slots_once", "unknown slot", ["INSERT INTO slots VALUES ('2025-02-30/h14', '2025-02-30', '2025-03-01', 14, 15)"]),
    *((f"{table}_no_delete", "append-only", [f"DELETE FROM {table}"]) for table in JOURNAL),
    ("accounts_no_update", "append-only", ["UPDATE accounts SET nature = 'equity'"]),
    ("slots_no_update", "append-only", ["UPDATE slots SET end_day = '2026-01-01'"]),
    ("hours_no_update", "append-only", ["UPDATE hours SET hour = 0 WHERE hour = 14"]),
    ("seals_no_update", "append-only", [f"UPDATE seals SET hash = '{HASH}'"]),
    ("entries_no_update", "append-only", ["UPDATE OR REPLACE entries SET cause = 'another'"]),
    ("unit_lots_no_update", "append-only", ["UPDATE unit_lots SET authorisation = 'a licence'"]),
    ("serials_no_update", "append-only", ["UPDATE serials SET serial = 'D3' WHERE serial = 'D1'"]),
    ("posting_serials_no_update", "append-only", ["UPDATE posting_serials SET serial = 'D3'"]),
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
    ("seals_check", "reversal differs", [OPEN.replace("NULL", "'r'", 1), line(0, KEPT, -4), line(1, FREE, 4), SEAL]),  # is voided, not reversed
    ("seals_check", "not reserved", [OPEN, line(0, FREE, -1), line(1, KEPT, 1), SEAL]),
    ("seals_check", "not reserved", [OPEN, line(0, KEPT, -4), line(1, BIRCH, 4), SEAL]),
    ("seals_check", "resolved differently", [ENDS.format("r"), line(0, KEPT, -3), line(1, FREE, 3), SEAL]),
    ("seals_check", "resolved differently", [ENDS.format("s"), line(0, FREE, -1), line(1, BIRCH, 1), SEAL]),
    ("seals_check", "resolved differently", [ENDS.format("r").replace("05-15", "06-15"), line(0, KEPT, -4), line(1, BIRCH, 4), SEAL]),  # it has expired
    ("seals_check", "resolved differently", [ENDS.format("r").replace("05-15", "05-14"), line(0, KEPT, -4), line(1, BIRCH, 4), SEAL]),  # before it was made
    ("entries_follow", "append-only", [ENDS.format("v0")]),
    ("seals_check", "serials", [OPEN, line(0, OWN, -1, "'d', ''"), line(1, BIRCH, 1, "'d', ''"), SEAL]),
    ("seals_check", "serials", [OPEN, line(0, OWN, -1, "'d', ''"), line(1, BIRCH, 1, "'d', ''"), serial(0, "D1"), serial(1, "D2"), SEAL]),
    ("seals_check", "serials", [OPEN, line(0, OWN, -1, "'d', ''"), line(1, BIRCH, 1, "'d', ''"), serial(0, "D9"), serial(1, "D9"), SEAL]),
    ("seals_check", "serials", [OPEN, line(0, FREE, -1), line(1, BIRCH, 1), serial(0, "D1"), serial(1, "D1"), SEAL]),
    ("seals_check", "serials", [OPEN, line(0, BIRCH, -1, "'d', ''"), line(1, OWN, 1, "'d', ''"), serial(0, "D1"), serial(1, "D1"), SEAL]),
    ("seals_check", "serials", [OPEN, line(0, EQUITY, -1, "'d', ''"), line(1, BIRCH, 1, "'d', ''"), serial(0, "D1"), serial(1, "D1"), SEAL]),
    ("seals_check", "serials", [OPEN.replace("05-15", "05-14"), line(0, OWN, -1, "'d', ''"), line(1, BIRCH, 1, "'d', ''"), serial(0, "D1"), serial(1, "D1"), SEAL]),
    ("posting_serials_open", "not open", [serial(0, "D1").replace("seq + 1", "2")]),
    ("posting_serials_open", "serials|foreign key", [OPEN, serial(0, "D1")]),
    ("posting_serials_open", "append-only|unique", [OPEN, line(0, OWN, -1, "'d', ''"), serial(0, "D1"), serial(0, "D1")]),
    ("serials_open", "not open", ["INSERT INTO serials VALUES ('d', 2, 'D3')"]),
    ("serials_open", "not open", ["INSERT INTO serials VALUES ('a-h20', 0, 'A1')"]),
    ("serials_open", "serials", [OPEN, NEW_LOT, "INSERT INTO serials VALUES ('new', 0, 'D1')"]),
    ("serials_open", "append-only", [OPEN, NEW_LOT, *["INSERT INTO serials VALUES ('new', 0, 'N1')"] * 2]),
    ("places_by_seal_update", "derived", ["UPDATE places SET account = 'birch:ulq-1:available'"]),
    ("places_by_seal_delete", "derived", ["DELETE FROM places"]),
    ("places_by_seal_insert", "derived", ["INSERT INTO places VALUES ('D9', 'd', 'alder:lf-1:available', '2025')"]),
    ("levels_by_seal_update", "derived", ["UPDATE levels SET quantity = quantity + 1000"]),
    ("levels_by_seal_delete", "derived", ["DELETE FROM levels"]),
    ("levels_by_seal_insert", "derived", [f"INSERT INTO levels VALUES ({FREE}, 'a-h20', '2025-05-16T00:00:00.000000Z', 1000, 1000)"]),
    ("seals_apply", "above zero", ["INSERT INTO accounts VALUES ('birch:lf-1:to-return:alder', 'birch', 'lf-1', 'to-return', 'alder', 'liability')", OPEN, line(0, "'birch:lf-1:to-return:alder', 'nvidia-h20-sxm-96gb'", 1), line(1, EQUITY, -1), SEAL]),
    ("entries", "expires", [OPEN.replace("hash, NULL, NULL", "hash, '2025-05-14T00:00:00.000000Z', NULL")]),
    ("entries", "expires", [OPEN.replace("hash, NULL, NULL", "hash, '2025-06-14T00:00:00.000000Z', 's'")]),
    ("entries", "resolves", [ENDS.format("r").replace("NULL, ''", "'s', ''")]),
    ("postings", "money_always", [OPEN, line(0, "'birch:cash', 'CNY.fen'", 1, "'', '2025-07-01/h14'")]),
]  # fmt: skip


# What only PostgreSQL can be asked: one statement that writes to several tables, to empty one, to look elsewhere.
IN_POSTGRES: list[tuple[str, str, list[str]]] = [
    *((f"{table}_no_truncate", "append-only", [f"TRUNCATE {table} CASCADE"]) for table in JOURNAL if table not in ("hours",)),
    ("hours_no_truncate", "append-only", ["TRUNCATE hours"]),
    *((f"{table}_by_seal_truncate", "derived", [f"TRUNCATE {table}"]) for table in DERIVED),
    ("head_stays_truncate", "append-only", ["TRUNCATE head"]),
    ("seals_apply", "unbalanced|not open", [OPEN, line(0, FREE, -5), line(1, EQUITY, 5),
        f"WITH s AS ({SEAL} RETURNING seq) INSERT INTO postings SELECT seq, 9, {FREE}, 5, {ALWAYS} FROM s"]),
    ("seals_apply", "derived|not the next", [OPEN, line(0, FREE, -5), line(1, EQUITY, 5),
        f"WITH s AS ({SEAL} RETURNING seq, hash) UPDATE head SET seq = s.seq, hash = s.hash, busy = 1 FROM s"]),
    ("seals_apply", "below zero", ["CREATE TEMPORARY TABLE levels AS SELECT * FROM levels", "UPDATE pg_temp.levels SET quantity = 10000",
        OPEN, line(0, FREE, -57), line(1, EQUITY, 57), SEAL]),
    ("seals_apply", "not the next", ["CREATE TEMPORARY TABLE head AS SELECT 1 AS one, 2 AS format, 8 AS seq, hash, 0 AS busy FROM head",
        f"INSERT INTO seals VALUES (9, '{HASH}')"]),
    *((f"turns_no_{verb}", "append-only", [statement]) for verb, statement in (
        ("update", "UPDATE turns SET done = 0"), ("delete", "DELETE FROM turns"), ("truncate", "TRUNCATE turns"))),
    ("turns_by_seal", "derived", ["INSERT INTO turns SELECT seq + 1, 0 FROM head"]),
    ("turns_by_seal", "derived", ["INSERT INTO turns SELECT seq + 1, 1 FROM head"]),
    ("seals_apply", "derived|not the next", [OPEN, line(0, FREE, -5), line(1, EQUITY, 5),
        f"WITH {TURN} UPDATE balances SET quantity = 1000 FROM t"]),
    ("seals_apply", "derived|not the next", [OPEN, line(0, FREE, -5), line(1, EQUITY, 5),
        f"WITH {TURN}, b AS (UPDATE balances SET quantity = 1000 FROM t RETURNING balances.quantity) SELECT * FROM s, t, b"]),
]  # fmt: skip


def fill(books: Ledger) -> None:
    """Write what the attempts are made on: a sale, a lease, a reservation kept and one voided, devices with numbers."""
    write = Write()
    books.post_all([write.held(), write.sale("s"), write.lease("l", "2025-07-01/h14", 8)])
    june = dt.datetime(2025, 6, 1, tzinfo=dt.UTC)
    for id_ in ("r", "v0"):
        postings = (
            Posting("alder:lf-1:available", write.chip, -4, "a-h20"),
            Posting("alder:lf-1:reserved:birch", write.chip, 4, "a-h20"),
        )
        books.post(Entry(id_, write.at, "kept for birch", postings, expires=june))
    books.post(Entry("v1", write.at, "void", books.entry("v0").entry.opposite(), resolves="v0"))
    devices = UnitLot("d", write.chip, serials=("D1", "D2"))
    brought = (
        Posting("alder:lf-1:available", write.chip, 2, "d", serials=("D1", "D2")),
        Posting("alder:opening", write.chip, -2, "d", serials=("D1", "D2")),
    )
    books.post(Entry("devices", write.at, "two with numbers", brought, (devices,)))


class Raw:
    """A session of somebody who does not use entrepot."""

    def __init__(self, place: Path | str) -> None:
        self.place = place

    def attempt(self, statements: list[str], *, silenced: bool) -> str:
        """Run statements, take everything back, and return what was said against the last."""
        if isinstance(self.place, Path):
            with closing(sqlite3.connect(self.place, isolation_level=None)) as raw:
                raw.execute(f"PRAGMA foreign_keys = {'OFF' if silenced else 'ON'}")
                return self._said(raw, statements, sqlite3.IntegrityError)
        url = self.place.replace("postgresql+psycopg", "postgresql")
        with closing(psycopg.connect(url, autocommit=True)) as raw:
            raw.execute(f"SET session_replication_role = {'replica' if silenced else 'origin'}")
            return self._said(raw, statements, psycopg.errors.IntegrityError)

    @staticmethod
    def _said(raw: Any, statements: list[str], error: type[Exception]) -> str:
        raw.execute("BEGIN")
        try:
            for statement in statements:
                raw.execute(statement)
        except error as refused:
            return str(refused)
        finally:
            raw.execute("ROLLBACK")
        return ""

    def commit(self, statements: list[str]) -> None:
        """Run statements, and keep what they did."""
        if isinstance(self.place, Path):
            with closing(sqlite3.connect(self.place)) as raw, raw:
                for statement in statements:
                    raw.execute(statement)
            return
        with (
            closing(psycopg.connect(self.place.replace("postgresql+psycopg", "postgresql"))) as connection,
            connection,
        ):
            for statement in statements:
                connection.execute(statement)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    """Keep one ledger for all attempts, and hold it to what it was when all were made."""
    where: Path | str
    if request.param == "sqlite":
        where = tmp_path_factory.mktemp("guards") / "ledger.sqlite"
    else:
        databases: Databases = request.getfixturevalue("databases")
        where = databases.new()
    with Ledger.open(where) as books:
        fill(books)
        head, balances = books.head, books.balances()
        yield Raw(where)
        assert books.head == head
        assert books.balances().equals(balances)
        audit = books.audit()
        assert audit.ok, str(audit)


@pytest.mark.parametrize("silenced", [False, True], ids=["keys", "no-keys"])
@pytest.mark.parametrize(
    "attempt", range(len(ATTEMPTS)), ids=lambda i: f"{i}-{ATTEMPTS[i][0]}-{ATTEMPTS[i][1][:14]}"
)
def test_the_database_refuses(kept: Raw, attempt: int, silenced: bool) -> None:
    """Nobody who opens the ledger with another tool can invent a unit, or lose one."""
    _, why, statements = ATTEMPTS[attempt]
    if not isinstance(kept.place, Path) and any(
        word in statement for statement in statements for word in ("OR REPLACE", "1.5")
    ):
        pytest.skip("PostgreSQL has no OR REPLACE, and makes a whole number of 1.5 itself")
    said = kept.attempt(statements, silenced=silenced)
    assert re.search(why, said, re.IGNORECASE), said or "it was taken"


@pytest.mark.parametrize("silenced", [False, True], ids=["keys", "no-keys"])
@pytest.mark.parametrize("attempt", range(len(IN_POSTGRES)), ids=lambda i: f"{i}-{IN_POSTGRES[i][0]}")
def test_postgresql_refuses(kept: Raw, attempt: int, silenced: bool) -> None:
    """Nor in one statement for several tables, by emptying a table, or by tables of the same name."""
    if isinstance(kept.place, Path):
        pytest.skip("asked of PostgreSQL only")
    _, why, statements = IN_POSTGRES[attempt]
    said = kept.attempt(statements, silenced=silenced)
    assert re.search(why, said, re.IGNORECASE), said or "it was taken"


def test_every_guard_was_tried() -> None:
    """A guard that no attempt runs into may as well not be there."""
    tried = {name for name, _, _ in ATTEMPTS} | {"accounts_once"}  # tried below
    assert tried >= SQLITE.keys()
    assert {why for _, why, _ in ATTEMPTS for why in why.split("|")} >= MEANING.keys()
    tried |= {name for name, _, _ in IN_POSTGRES}
    same = {"head_stays_delete": "head_stays"}  # two names for one guard
    tried.add("head_follows")  # refuses nothing: it moves the head
    assert {same.get(name, name) for name in POSTGRES} <= tried


@pytest.mark.parametrize(
    "row",
    [
        "accounts VALUES ('alder:lf-1:available', 'alder', 'lf-1', 'available', '', 'equity')",
        "slots VALUES ('2025-07-01/h14', '2025-07-01', '2025-07-03', 14, 15)",
    ],
)
def test_a_name_once_taken_apart_stays_so(kept: Raw, row: str) -> None:
    """The row that is there is kept, whatever is written over it."""
    replace = " OR REPLACE" if isinstance(kept.place, Path) else ""
    kept.commit([f"INSERT{replace} INTO {row}"])


def test_an_entry_without_its_seal_cannot_be_committed(kept: Raw) -> None:
    """The foreign key to the seal is checked at the end of the transaction."""
    if isinstance(kept.place, Path):
        with closing(sqlite3.connect(kept.place, isolation_level=None)) as raw:
            raw.execute("PRAGMA foreign_keys = ON")
            for statement in ("BEGIN", OPEN, line(0, FREE, 5)):
                raw.execute(statement)
            with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
                raw.execute("COMMIT")
            raw.execute("ROLLBACK")
    else:
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            kept.commit([OPEN, line(0, FREE, 5)])


def test_an_entry_left_unsealed_counts_for_nothing(file_books: Ledger, path: Path, write: Write) -> None:
    """With foreign keys off it can be left behind: no balance moves, the audit names it, nothing is written over it."""
    Raw(path).commit([OPEN, line(0, FREE, 5)])
    assert ("raw", "was never sealed") in [(b.entry, b.what) for b in file_books.audit().breaks]
    with pytest.raises(Conflict, match="append-only"):
        file_books.post(write.sale("s"))
    with pytest.raises(InputError, match="raw"):
        file_books.entries()


def test_a_sound_entry_in_raw_sql_is_taken_and_its_hash_found_out(books: Ledger, place: Path | str) -> None:
    """The database keeps the units; that the hash is not the content's, only a reader can tell."""
    Raw(place).commit([OPEN, line(0, FREE, -5), line(1, EQUITY, 5), SEAL])
    assert books.balance("alder:lf-1:available", "nvidia-h20-sxm-96gb", "a-h20") == 59
    assert [b.entry for b in books.audit().breaks] == ["raw"]
    with pytest.raises(InputError, match="its hash is another"):
        books.entries()
