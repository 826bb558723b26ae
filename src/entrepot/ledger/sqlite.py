"""A ledger in a SQLite file. WAL with ``synchronous=FULL``: what was acknowledged is on disk. Foreign keys on.

A writing transaction is ``BEGIN IMMEDIATE``. A new file is made beside its place and linked into it whole, so no other
process ever sees half a ledger.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import StaticPool

from entrepot.errors import Conflict, EntrepotError, Fault, InputError
from entrepot.ledger import schema
from entrepot.ledger.guards import FIRST_ROWS, SQLITE
from entrepot.ledger.guards.sqlite import SQL
from entrepot.ledger.storage import Busy, Storage, damaged, opened

__all__ = ["APPLICATION_ID", "open_sqlite"]

APPLICATION_ID = 0x656E7472  # "entr"
_WAIT_S = 30.0
_WRITES = "entrepot_writes"
_LOOKED_THROUGH = (
    64_000_000  # bytes of a file that are all looked at when it is opened; of a longer one, its length is
)
_NOT_DAMAGE = {
    "full": "Free space on its disk and try again",
    "readonly": "Make it and its folder writable, or copy it to where you may write",
    "disk I/O error": "Look at the disk; the ledger is as it was at the last entry that was acknowledged",
}


def open_sqlite(path: Path | str, *, create: bool = True) -> Storage:
    """Open a ledger file, or ``":memory:"``.

    Raises
    ------
    InputError
        When the file is no ledger, or is damaged.
    """
    if str(path) == ":memory:":
        storage = Storage(_engine(":memory:"), ":memory:", Sqlite())
        _make(storage.engine)
        return storage
    path = Path(path)
    if not path.exists():
        if not create:
            raise InputError(
                Fault(
                    str(path),
                    "there is no such ledger",
                    "Give the path of a ledger that was opened before.",
                )
            )
        _make_at(path)
    if path.stat().st_size == 0:
        raise damaged(str(path), "is empty, and a ledger never is")
    storage = Storage(_engine(str(path)), str(path), Sqlite())
    try:
        _recognise(storage)
    except BaseException:
        storage.engine.dispose()
        raise
    return opened(storage)


class Sqlite:
    """What SQLite needs to be told."""

    sql = SQL

    def reader(self, connection: Connection) -> Connection:
        """Read of one moment: every SQLite transaction does."""
        return connection

    def writer(self, connection: Connection) -> Connection:
        """Begin with the lock."""
        return connection.execution_options(**{_WRITES: True})

    def lock(self, connection: Connection) -> None:
        """Nothing: ``BEGIN IMMEDIATE`` has it."""

    def missing_guards(self, connection: Connection) -> list[str]:
        """Compare the text of every trigger."""
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        there = {str(name): str(sql) for name, sql in connection.exec_driver_sql(query)}
        return sorted(name for name, sql in SQLITE.items() if there.get(name) != sql) + sorted(
            f"{name} (not ours)" for name in there.keys() - SQLITE.keys()
        )

    def put_up_guards(self, connection: Connection) -> None:
        """Make every trigger."""
        for statement in SQLITE.values():
            connection.exec_driver_sql(statement)

    def integrity(self, connection: Connection) -> list[str]:
        """Ask SQLite to look at every page, and at every foreign key."""
        try:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
        except DatabaseError as error:
            found = [str(error.orig)]
        return [line for line in found if line != "ok"]

    @contextlib.contextmanager
    def changing(self, engine: Engine) -> Iterator[Connection]:
        """Give a transaction in which tables may be rebuilt; their foreign keys are looked at before it ends."""
        with engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            raw.execute("PRAGMA foreign_keys=OFF")  # cannot be switched inside a transaction
            try:
                writer = self.writer(connection)
                with writer.begin():
                    yield writer
                    lost = writer.exec_driver_sql("PRAGMA foreign_key_check").first()
                    if lost is not None:
                        raise damaged(
                            str(engine.url.database), f"is damaged: {lost[0]} refers to what is not there"
                        )
            except OperationalError as error:
                if "readonly" in str(error.orig):
                    raise InputError(
                        Fault(
                            str(engine.url.database),
                            "is of an older format, and cannot be written to bring it to today's",
                            "Copy it to where you may write, and open it there.",
                        )
                    ) from error
                raise
            finally:
                raw.execute("PRAGMA foreign_keys=ON")

    def in_words(self, error: Exception, name: str) -> EntrepotError | Busy | None:
        """Return what an error means."""
        if isinstance(error, OperationalError):
            if "locked" in str(error.orig) or "busy" in str(error.orig):
                return Conflict(f"{name}: another process has been writing for {_WAIT_S:.0f} s. Try again.")
            said = str(error.orig)
            for sign, mend in _NOT_DAMAGE.items():
                if sign in said:
                    return InputError(
                        Fault(name, f"cannot be written: {said}", f"{mend}; nothing was written.")
                    )
            return damaged(name, f"cannot be read or written: {said}")
        if isinstance(error, sqlite3.Error):  # the driver's own, while connecting
            return damaged(name, f"is damaged or not a ledger: {error}")
        return None


def _recognise(storage: Storage) -> None:
    with storage.in_words(), storage.engine.connect() as connection:
        application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        if application != APPLICATION_ID:
            raise InputError(
                Fault(
                    storage.name,
                    "is a database, but not an entrepot ledger",
                    "Give a ledger's path, or a new one.",
                )
            )
        if Path(storage.name).stat().st_size <= _LOOKED_THROUGH:
            sound = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
        else:
            sound = _length(Path(storage.name))
        if sound != "ok":
            raise damaged(storage.name, f"is damaged: {sound}")


def _length(path: Path) -> str:
    """Say whether a file is as long as its header says; what the write-ahead log still holds may make it longer."""
    with path.open("rb") as file:
        header = file.read(100)
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big") * (65_536 if page == 1 else page)
    log = path.with_name(f"{path.name}-wal")
    if path.stat().st_size < pages and not (log.exists() and log.stat().st_size):
        return f"{path.stat().st_size:,} bytes are there of {pages:,}"
    return "ok"


def _engine(path: str) -> Engine:
    memory = {"poolclass": StaticPool} if path == ":memory:" else {}
    arguments = {"timeout": _WAIT_S, "check_same_thread": False}
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=path), connect_args=arguments, paramstyle="named", **memory
    )

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, in words
        for pragma in ("foreign_keys=ON", "synchronous=FULL", "cell_size_check=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _make(engine: Engine) -> None:
    outside = engine.raw_connection()  # the journal mode cannot change inside a transaction
    try:
        cursor = outside.cursor()
        cursor.execute(f"PRAGMA application_id={APPLICATION_ID}")
        cursor.execute("PRAGMA journal_mode=WAL").fetchall()
    finally:
        outside.close()
    with engine.connect() as connection, connection.execution_options(**{_WRITES: True}).begin():
        schema.metadata.create_all(connection)
        for statement in FIRST_ROWS:
            connection.exec_driver_sql(statement)
        connection.execute(insert(schema.version).values(version_num=schema.REVISION))
        Sqlite().put_up_guards(connection)


def _make_at(path: Path) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        beside.unlink(missing_ok=True)
        engine = _engine(str(beside))
        try:
            _make(engine)
        finally:
            engine.dispose()
        with contextlib.suppress(FileExistsError):  # another process was first: then that is the ledger
            os.link(beside, path)
    except (OSError, sqlite3.Error, DatabaseError) as error:
        raise InputError(
            Fault(
                str(path),
                f"cannot be made: {error}",
                "Give a path in a folder that you may write to.",
            )
        ) from error
    finally:
        beside.unlink(missing_ok=True)
