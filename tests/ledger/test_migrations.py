# ruff: noqa: S608 - the statements are this file's own
"""Ledgers of an older format, with data in them: brought to today's and back, on both databases, or refused with the mend."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, inspect, select

from entrepot.errors import Conflict, InputError
from entrepot.ledger import Entry, Ledger, Posting, UnitLot, schema
from entrepot.ledger.journal import instant
from entrepot.ledger.migrations import migrate
from entrepot.ledger.migrations.first_guards import SQLITE as FIRST_GUARDS
from entrepot.ledger.postgres import Postgres
from entrepot.ledger.postgres import _engine as of_postgres
from entrepot.ledger.records import GENESIS, chained
from entrepot.ledger.slots import Slot
from entrepot.ledger.sqlite import Sqlite
from entrepot.ledger.sqlite import _engine as of_sqlite
from entrepot.ledger.storage import Backend

if TYPE_CHECKING:
    from .conftest import Databases, Write


def back(place: Path | str) -> None:
    """Take a ledger to the first format."""
    with Ledger.open(place) as books, books._storage.backend.changing(books._storage.engine) as connection:
        migrate(connection, "0001", back=True)


def first_format(connection: Connection, entries: list[Entry]) -> None:
    """Write entries as the entrepot of the first format did, guards and all (in SQLite, where it had any)."""
    previous = GENESIS

    def run(statement: str) -> None:
        connection.exec_driver_sql(statement)

    def text(value: str | None) -> str:
        return "NULL" if value is None else f"'{value}'"

    for seq, entry in enumerate(entries, start=1):
        for p in entry.postings:
            parts = p.account.split(":")
            site, state, whom = (
                ("", parts[1], ":".join(parts[2:]))
                if len(parts) == 2 or parts[1] in ("payable", "receivable")
                else (parts[1], parts[2], ":".join(parts[3:]))
            )
            nature = {"opening": "equity", "payable": "liability"}.get(state, "asset")
            if not connection.exec_driver_sql(
                f"SELECT 1 FROM accounts WHERE account = '{p.account}'"
            ).first():
                run(
                    f"INSERT INTO accounts VALUES ('{p.account}', '{parts[0]}', '{site}', '{state}', '{whom}', '{nature}')"
                )
            if (
                p.slot
                and not connection.exec_driver_sql(f"SELECT 1 FROM slots WHERE slot = '{p.slot}'").first()
            ):
                s = Slot.parse(p.slot)
                run(
                    f"INSERT INTO slots VALUES ('{p.slot}', '{s.first}', '{s.end}', {s.hour_from}, {s.hour_to})"
                )
        run(
            f"INSERT INTO entries VALUES ({seq}, '{entry.id}', '{instant(entry.at)}', '{entry.cause}', {text(entry.reverses)}, '', '{previous}')"
        )
        for lot in entry.unit_lots:
            run(
                f"INSERT INTO unit_lots VALUES ('{lot.id}', '{lot.accelerator}', {text(str(lot.imported_on) if lot.imported_on else None)},"
                f" {text(lot.imported_from)}, {text(lot.authorisation)}, '[\"no resale\"]', NULL, '{lot.note}', {seq}, 0)"
            )
        for number, p in enumerate(entry.postings):
            run(
                f"INSERT INTO postings VALUES ({seq}, {number}, '{p.account}', '{p.commodity}', {p.quantity}, '{p.unit_lot}', '{p.slot}')"
            )
        previous = chained(previous, entry)
        run(f"INSERT INTO seals VALUES ({seq}, '{previous}')")
        if connection.dialect.name == "postgresql":  # where the first format had no triggers to move it
            run(f"UPDATE head SET seq = {seq}, hash = '{previous}'")


@pytest.fixture
def old(place: Path | str) -> Callable[[list[Entry]], Path | str]:
    """Return what makes a ledger of the first format at the place."""

    def make(entries: list[Entry]) -> Path | str:
        back(place)
        engine = of_sqlite(str(place)) if isinstance(place, Path) else of_postgres(str(place))
        backend: Backend = Sqlite() if isinstance(place, Path) else Postgres()
        with engine.connect() as connection:
            writer = backend.writer(connection)
            with writer.begin():
                first_format(writer, entries)
                if isinstance(place, Path):
                    writer.exec_driver_sql(
                        "DROP TABLE alembic_version"
                    )  # the first format knew no migrations
        engine.dispose()
        return place

    return make


def some(write: Write) -> list[Entry]:
    """Return a stock, sales, a lease and a reversal."""
    sold = write.sale("s1")
    return [
        write.held(),
        sold,
        write.sale("s2"),
        write.lease("l", "2025-07-01..2025-07-05/h08-10", 8),
        sold.reversal(at=write.at, cause="wrong buyer"),
    ]


def test_an_older_ledger_becomes_one_of_today(old: Callable[[list[Entry]], Path | str], write: Write) -> None:
    """Every entry and hash is what it was; balances at any time are known; and it goes on from there."""
    entries = some(write)
    place = old(entries)
    with Ledger.open(place) as books:
        assert list(books.entries()) == entries
        audit = books.audit()
        assert audit.ok, str(audit)
        assert books.balance("alder:lf-1:available", write.chip, "a-h20") == 56
        assert books.balance("alder:lf-1:available", write.chip, "a-h20", "2025-07-02/h09") == 48
        books.post(write.sale("s3", 48))
        with pytest.raises(Conflict, match=r"has 0 .* free at 2025-07-01 08:00"):
            books.post(write.sale("s4", 1))
        assert books.audit().ok


def test_up_and_down_and_up_again(place: Path | str, write: Write) -> None:
    """The way back keeps every entry and every hash, and the way up again too."""
    with Ledger.open(place) as books:
        books.post_all(some(write))
        head, balances = books.head, books.balances()
    back(place)
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as raw:
            there = dict(raw.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall())
            assert there == FIRST_GUARDS
            assert raw.execute("SELECT format FROM head").fetchone() == (1,)
            assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
            # The first format's own guards still hold on it.
            with pytest.raises(sqlite3.IntegrityError, match="derived"):
                raw.execute("UPDATE balances SET quantity = 1000")
    with Ledger.open(place) as books:
        assert books.head == head
        assert books.balances().equals(balances)
        audit = books.audit()
        assert audit.ok, str(audit)


def kept(write: Write) -> Entry:
    """Return a reservation."""
    postings = (
        Posting("alder:lf-1:available", write.chip, -4, "a-h20"),
        Posting("alder:lf-1:reserved:birch", write.chip, 4, "a-h20"),
    )
    return Entry("r", write.at, "kept", postings, expires=write.at + dt.timedelta(days=1))


def numbered(write: Write) -> Entry:
    """Return devices with serial numbers."""
    postings = (
        Posting("alder:lf-1:available", write.chip, 1, "d", serials=("D1",)),
        Posting("alder:opening", write.chip, -1, "d", serials=("D1",)),
    )
    return Entry("d", write.at, "numbered", postings, (UnitLot("d", write.chip, serials=("D1",)),))


def earned(write: Write) -> Entry:
    """Return money in a state that is new."""
    return Entry(
        "i", write.at, "income", (Posting("alder:cash", "CNY.fen", 5), Posting("alder:income", "CNY.fen", -5))
    )


@pytest.mark.parametrize(
    ("what", "why"),
    [
        (kept, "entry 'r': makes or ends a reservation"),
        (numbered, "entry 'd': brings in serial numbers"),
        (earned, "entry 'i': posts to an account of a state that is new"),
        (
            lambda write: replace(write.sale("late", 60), at=dt.datetime(2025, 8, 1, tzinfo=dt.UTC)),
            "would not be borne if it counted always",
        ),
    ],
)
def test_going_back_loses_nothing_silently(
    place: Path | str, write: Write, what: Callable[[Write], Entry], why: str
) -> None:
    """What the older format cannot say stops the way back, and nothing is changed."""
    with Ledger.open(place) as books:
        books.post_all([write.held(), write.lease("l", "2025-07-01/h14", 8), what(write)])
        head = books.head
    with pytest.raises(InputError, match=why):
        back(place)
    with Ledger.open(place) as books:
        assert books.head == head
        assert books.audit().ok


def test_what_time_does_not_bear_is_not_migrated(
    old: Callable[[list[Entry]], Path | str], write: Write
) -> None:
    """In the first format a sale could be dated before the stock; the file is left as it was, and the mend is said."""
    early = replace(write.sale("s1"), at=write.at - dt.timedelta(days=1))
    place = old([write.held(), early])
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"more left than was there.*by then(.|\n)*correct the times by reversals"
        ):
            Ledger.open(place)
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as raw:
            assert raw.execute("SELECT format FROM head").fetchone() == (1,)
            assert raw.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() == (
                len(FIRST_GUARDS),
            )


def test_a_migrated_ledger_has_the_schema_of_a_new_one(
    databases: Databases, place: Path | str, tmp_path: Path
) -> None:
    """Table by table, column by column, constraint by constraint."""
    back(place)
    new: Path | str = tmp_path / "new.sqlite" if isinstance(place, Path) else databases.new()
    with Ledger.open(place) as migrated, Ledger.open(new) as made:
        described = []
        for books in (migrated, made):
            with books._storage.reading() as connection:
                inspector = inspect(connection)
                described.append(
                    {
                        table: (
                            sorted(
                                (c["name"], str(c["type"]), c["nullable"])
                                for c in inspector.get_columns(table)
                            ),
                            sorted((c["name"], c["sqltext"]) for c in inspector.get_check_constraints(table)),
                            sorted(
                                (str(k["name"]), k["referred_table"], str(k["constrained_columns"]))
                                for k in inspector.get_foreign_keys(table)
                            ),
                            sorted(
                                (str(i["name"]), str(i["column_names"]), bool(i["unique"]))
                                for i in inspector.get_indexes(table)
                            ),
                            sorted(inspector.get_pk_constraint(table)["constrained_columns"]),
                        )
                        for table in set(inspector.get_table_names()) - {"turns"}  # a guard's own
                    }
                )
                assert books._storage.missing_guards(connection) == []
                assert (
                    connection.execute(select(schema.version.c.version_num)).scalar_one() == schema.REVISION
                )
        assert described[0] == described[1]
        assert set(described[0]) == set(schema.metadata.tables)
