"""How is a ledger file opened, and what is said when it is damaged? Everything that SQLite needs to be told, once.

WAL with ``synchronous=FULL``: what was acknowledged is on disk. Foreign keys on. A writing transaction takes its lock at
the start (``BEGIN IMMEDIATE``), so that what it read still holds when it writes. A new file is made beside its place and
linked into it whole, so no other process ever sees half a ledger.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from entrepot.errors import Conflict, EntrepotError, Fault, InputError
from entrepot.ledger.guards import MEANING, SQLITE
from entrepot.ledger.schema import FORMAT, head, metadata

__all__ = ["APPLICATION_ID", "Storage", "damaged"]

APPLICATION_ID = 0x656E7472  # "entr"
_WAIT_S = 30.0
_WRITES = "entrepot_writes"


def damaged(where: str, what: str) -> InputError:
    """Return the one error that says a ledger cannot be trusted as it is stored."""
    return InputError(
        Fault(
            where,
            what,
            "Restore the file from a backup; `entrepot ledger audit` says where it breaks and what still holds.",
        )
    )


class Storage:
    """One open database: transactions that read or write, and errors in words."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self._one_at_a_time = (
            threading.RLock() if isinstance(engine.pool, StaticPool) else contextlib.nullcontext()
        )
        self._guarded = False

    @staticmethod
    def open(path: Path | str, *, create: bool = True) -> Storage:
        """Open a ledger file, or ``":memory:"``.

        Raises
        ------
        InputError
            When the file is no ledger, or is damaged.
        """
        if str(path) == ":memory:":
            storage = Storage(_engine(":memory:"), ":memory:")
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
        storage = Storage(_engine(str(path)), str(path))
        try:
            storage._recognise()
        except BaseException:
            storage.engine.dispose()
            raise
        return storage

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection on which everything read is of one moment."""
        with self._one_at_a_time, self._in_words(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the one connection that may write; all of it is kept, or nothing."""
        with self._one_at_a_time, self._in_words(), self.engine.connect() as connection:
            writer = connection.execution_options(**{_WRITES: True})
            with writer.begin():
                if not self._guarded:
                    missing = self.missing_guards(writer)
                    if missing:
                        raise damaged(
                            self.name,
                            f"is without its guards ({', '.join(missing)}); nothing may be written to it",
                        )
                    self._guarded = True
                yield writer

    def missing_guards(self, connection: Connection) -> list[str]:
        """Return the names of triggers that are missing or were changed."""
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        there = {str(name): str(sql) for name, sql in connection.exec_driver_sql(query)}
        return sorted(name for name, sql in SQLITE.items() if there.get(name) != sql) + sorted(
            f"{name} (not ours)" for name in there.keys() - SQLITE.keys()
        )

    def integrity(self, connection: Connection) -> list[str]:
        """Return what SQLite finds wrong in the file itself; nothing where it is sound."""
        try:
            found = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(10)")]
        except DatabaseError as error:
            found = [str(error.orig)]
        return [line for line in found if line != "ok"]

    def _recognise(self) -> None:
        with self._in_words(), self.engine.connect() as connection:
            application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
            if application != APPLICATION_ID:
                raise InputError(
                    Fault(
                        self.name,
                        "is a database, but not an entrepot ledger",
                        "Give a ledger's path, or a new one.",
                    )
                )
            sound = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
            if sound != "ok":
                raise damaged(self.name, f"is damaged: {sound}")
            version = connection.execute(select(head.c.format)).scalar_one_or_none()
            if version != FORMAT:
                raise InputError(
                    Fault(
                        self.name,
                        f"is a ledger of format {version}, not {FORMAT}",
                        "Open it with the entrepot that wrote it.",
                    )
                )

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except EntrepotError:
            raise
        except OperationalError as error:
            if "locked" in str(error.orig) or "busy" in str(error.orig):
                raise Conflict(
                    f"{self.name}: another process has been writing for {_WAIT_S:.0f} s. Try again."
                ) from error
            raise damaged(self.name, f"cannot be read or written: {error.orig}") from error
        except IntegrityError as error:
            refusal = str(error.orig).removeprefix("entrepot: ")
            raise Conflict(
                f"{self.name}: refused, nothing was written: {MEANING.get(refusal, refusal)}."
            ) from error
        except (
            DatabaseError,
            sqlite3.Error,
        ) as error:  # the driver's own while connecting, SQLAlchemy's afterwards
            raise damaged(
                self.name, f"is damaged or not a ledger: {getattr(error, 'orig', error)}"
            ) from error


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
        metadata.create_all(connection)


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
