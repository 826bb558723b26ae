"""How is a ledger opened, and what is said when it cannot be? The same for a SQLite file and a PostgreSQL database.

A writing transaction takes its lock at the start, so that what it read still holds when it writes; one order for all
writers. What a transaction reads is of one moment. `sqlite` and `postgres` have what each needs to be told.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine, func, inspect, select
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import StaticPool

from entrepot.errors import Conflict, EntrepotError, Fault, InputError
from entrepot.ledger import schema
from entrepot.ledger.guards import MEANING
from entrepot.ledger.guards.rules import Sql, unbearable

__all__ = ["Backend", "Busy", "Storage", "damaged", "is_url", "opened"]

_T = TypeVar("_T")
_TRIES = 8  # of a transaction that the database asks to be tried again


def damaged(where: str, what: str) -> InputError:
    """Return the one error that says a ledger cannot be trusted as it is stored."""
    return InputError(
        Fault(
            where,
            what,
            "Restore the ledger from a backup; `entrepot ledger audit` says where it breaks and what still holds.",
        )
    )


class Busy(Exception):  # noqa: N818 - it is not an error until the last try
    """The database asks for the transaction to be tried again."""


class Backend(Protocol):
    """What a database needs to be told."""

    sql: Sql

    def reader(self, connection: Connection) -> Connection:
        """Set a connection up so that all it reads is of one moment."""

    def writer(self, connection: Connection) -> Connection:
        """Set a connection up for writing."""

    def lock(self, connection: Connection) -> None:
        """Make every other writer wait until this transaction ends."""

    def missing_guards(self, connection: Connection) -> list[str]:
        """Return the names of guards that are missing or were changed."""

    def put_up_guards(self, connection: Connection) -> None:
        """Make every guard."""

    def integrity(self, connection: Connection) -> list[str]:
        """Return what the database finds wrong in its own storage."""

    @contextlib.contextmanager
    def changing(self, engine: Engine) -> Iterator[Connection]:
        """Give a transaction that may change tables, and that nobody can write beside."""

    def in_words(self, error: Exception, name: str) -> EntrepotError | Busy | None:
        """Return what an error of the database means; ``None`` where it means damage."""


class Storage:
    """One open database: transactions that read or write, and errors in words."""

    def __init__(self, engine: Engine, name: str, backend: Backend) -> None:
        self.engine = engine
        self.name = name
        self.backend = backend
        self._one_at_a_time = (
            threading.RLock() if isinstance(engine.pool, StaticPool) else contextlib.nullcontext()
        )
        self._guarded = False

    @property
    def dialect(self) -> str:
        """Return ``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection on which everything read is of one moment."""
        with self._one_at_a_time, self.in_words(), self.engine.connect() as connection:
            reader = self.backend.reader(connection)
            with reader.begin():
                yield reader

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the one connection that may write; all of it is kept, or nothing."""
        with self._one_at_a_time, self.in_words(), self.engine.connect() as connection:
            writer = self.backend.writer(connection)
            with writer.begin():
                self.backend.lock(writer)
                if not self._guarded:
                    missing = self.backend.missing_guards(writer)
                    if missing:
                        raise damaged(
                            self.name,
                            f"is without its guards ({', '.join(missing)}); nothing may be written to it",
                        )
                    self._guarded = True
                yield writer

    def write(self, act: Callable[[Connection], _T]) -> _T:
        """Return what ``act`` gives in a writing transaction, tried again where the database asks for it."""
        for attempt in range(_TRIES):
            try:
                with self.writing() as connection:
                    return act(connection)
            except Busy:
                time.sleep(0.002 * 2**attempt)
        raise Conflict(
            f"{self.name}: other writers were in the way {_TRIES} times. Try again; nothing was written."
        )

    def missing_guards(self, connection: Connection) -> list[str]:
        """Return the names of guards that are missing or were changed."""
        return self.backend.missing_guards(connection)

    def integrity(self, connection: Connection) -> list[str]:
        """Return what the database finds wrong in its own storage; nothing where it is sound."""
        return self.backend.integrity(connection)

    @contextlib.contextmanager
    def in_words(self) -> Iterator[None]:
        """Say in words what the database refuses."""
        try:
            yield
        except (EntrepotError, Busy):
            raise
        except Exception as error:
            told = self.backend.in_words(error, self.name)
            if told is not None:
                raise told from error
            if isinstance(error, IntegrityError):
                refusal = _refusal(error)
                raise Conflict(
                    f"{self.name}: refused, nothing was written: {MEANING.get(refusal, refusal)}."
                ) from error
            if isinstance(error, UnicodeError):
                raise damaged(self.name, f"is damaged: it holds what is no text ({error})") from error
            if isinstance(error, DatabaseError):
                raise damaged(self.name, f"is damaged or not a ledger: {error.orig}") from error
            raise


def _refusal(error: IntegrityError) -> str:
    return str(error.orig).split("\n", 1)[0].removeprefix("entrepot: ")


def opened(storage: Storage) -> Storage:
    """Return the storage when its ledger is of today's format, or was brought to it.

    Raises
    ------
    InputError
        When it was written by a later entrepot, or cannot be brought to today's format.
    """
    try:
        with storage.in_words(), storage.engine.connect() as connection, connection.begin():
            there = _revision(connection, storage.name)
        if there != schema.REVISION:
            _upgrade(storage, there)
    except BaseException:
        storage.engine.dispose()
        raise
    return storage


def _revision(connection: Connection, name: str) -> str:
    tables = set(inspect(connection).get_table_names())
    if "head" not in tables:
        raise damaged(name, "is damaged: it has no head")
    format_ = connection.execute(select(schema.head.c.format)).scalar_one_or_none()
    if "alembic_version" not in tables:
        there = "0001" if format_ == 1 else ""
    else:
        there = str(connection.execute(select(func.min(schema.version.c.version_num))).scalar_one())
    known = _FORMATS.get(there)
    if known is None:
        raise InputError(
            Fault(
                name,
                f"is a ledger of revision {there or 'unknown'}, format {format_}, later than this entrepot knows ({schema.REVISION})",
                "Open it with the entrepot that wrote it, or a newer one; nothing was changed.",
            )
        )
    if known != format_:
        raise damaged(name, f"is damaged: it says that it is of revision {there} and of format {format_}")
    return there


_FORMATS = {"0001": 1, "0002": 2}  # revision -> format


def _upgrade(storage: Storage, there: str) -> None:
    from entrepot.ledger.migrations import migrate  # noqa: PLC0415 - Alembic is only needed for old ledgers

    with storage.in_words(), storage.backend.changing(storage.engine) as connection:
        if _revision(connection, storage.name) == schema.REVISION:
            return  # another process was first
        if "alembic_version" not in inspect(connection).get_table_names():
            schema.version.create(connection)
            connection.execute(schema.version.insert().values(version_num=there))
        migrate(connection, schema.REVISION)
        _refuse_unbearable(connection, storage)
        storage.backend.put_up_guards(connection)


def _refuse_unbearable(connection: Connection, storage: Storage) -> None:
    """Refuse a journal that today's guards would not have let be written."""
    for nature in ("asset", "liability"):
        every = (
            "SELECT DISTINCT b.account, b.commodity, b.unit_lot, a.nature, '0001-01-01T00' AS since FROM balances b"
            " JOIN accounts a ON a.account = b.account"
        )
        condition = unbearable(storage.backend.sql, every, nature)
        if connection.exec_driver_sql(f"SELECT CASE WHEN {condition} THEN 1 ELSE 0 END").scalar_one():
            raise InputError(
                Fault(
                    storage.name,
                    "is of an older format in which a posting for good counted always; by its own time some account"
                    f" passes zero ({'more left than was there' if nature == 'asset' else 'more was paid than was owed'}"
                    " by then)",
                    "Open it with the entrepot that wrote it and correct the times by reversals; nothing was changed.",
                )
            )


def is_url(where: Path | str) -> bool:
    """Return whether a place is a database's URL and not a file."""
    return isinstance(where, str) and "://" in where
