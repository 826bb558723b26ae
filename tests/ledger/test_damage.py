"""A damaged file gives one clear error, and is never read as if it were sound."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from entrepot.errors import Conflict, InputError
from entrepot.ledger import Ledger

if TYPE_CHECKING:
    from .conftest import Write


@pytest.fixture
def sound(path: Path, write: Write) -> bytes:
    """Return the bytes of a closed ledger with 300 entries."""
    with Ledger.open(path) as books:
        books.post(write.held(count=10_000))
        books.post_all(write.sale(f"s{i}") for i in range(300))
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return path.read_bytes()


def read_all(path: Path) -> None:
    """Open a ledger and read all there is."""
    with Ledger.open(path) as books:
        books.entries()
        books.balances()
        assert books.audit().ok


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.03, 0.3, 0.6, 0.99])
def test_a_truncated_file(path: Path, sound: bytes, keep: float) -> None:
    """Whatever is missing at the end, it is noticed at the door."""
    path.write_bytes(sound[: int(len(sound) * keep)])
    with pytest.raises(InputError, match=r"ledger\.sqlite") as caught:
        Ledger.open(path)
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize("what", [b"", b"not a database at all", b"SQLite format 3\x00"])
def test_what_is_no_ledger(path: Path, what: bytes) -> None:
    """Another file is not mistaken for a ledger, nor made into one."""
    path.write_bytes(what * 200)
    with pytest.raises(InputError, match="ledger"):
        Ledger.open(path)
    assert path.read_bytes() == what * 200


def test_another_programs_database(path: Path) -> None:
    """A sound database that is not ours is left alone."""
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE t (x)")
    with pytest.raises(InputError, match="not an entrepot ledger"):
        Ledger.open(path)


def test_a_later_format(place: Path | str) -> None:
    """A ledger that a later entrepot wrote is not guessed at."""
    with Ledger.open(place) as books, books._storage.writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0009'")
    with pytest.raises(InputError, match="revision 0009, format 2, later than"):
        Ledger.open(place)


def test_flipped_bytes(path: Path, sound: bytes) -> None:
    """One byte flipped anywhere in a text or a number of the journal is found by reading, wherever it is."""
    with Ledger.open(path) as books:
        as_written = books.entries()
    places = [
        sound.index(text) + 2
        for text in (b"sale of 8", b"birch:payable:alder", b"2025-05-15T", b"no licence required")
    ]
    places += [place for place in range(len(sound) // 7, len(sound), len(sound) // 7) if sound[place]]
    for place in places:
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        try:
            with Ledger.open(path) as books:
                found, read = not books.audit().ok, books.entries()
        except InputError:
            continue
        assert found or read == as_written, f"byte {place} was flipped and nothing said so"


def test_pages_overwritten(path: Path, sound: bytes) -> None:
    """Each page in turn full of noise: never a quiet answer, unless the page was not in use."""
    for page in range(0, len(sound), 4096):
        path.write_bytes(sound[:page] + b"\xa5" * 4096 + sound[page + 4096 :])
        with pytest.raises(InputError):
            read_all(path)


def test_a_locked_ledger_says_so(
    file_books: Ledger, path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that holds the file for too long is a conflict, not damage."""
    monkeypatch.setattr("entrepot.ledger.sqlite._WAIT_S", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw, Ledger.open(path) as second:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(Conflict, match="another process"):
            second.post(write.sale("s"))
        assert second.balance("alder:lf-1:available", write.chip, "a-h20") == 64  # reading does not wait
        raw.execute("ROLLBACK")
        second.post(write.sale("s"))


def test_what_is_stored_is_as_durable_as_sqlite_makes_it(file_books: Ledger) -> None:
    """What was acknowledged is on disk: WAL with a full sync at each commit."""
    with file_books._storage.reading() as connection:
        settings = {
            p: connection.exec_driver_sql(f"PRAGMA {p}").scalar_one()
            for p in ("journal_mode", "synchronous", "foreign_keys")
        }
        flags = connection.exec_driver_sql(
            "SELECT strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite%'"
        )
        strict = {row.strict for row in flags}
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert strict == {1}
