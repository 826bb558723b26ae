"""A ledger in a PostgreSQL database, for many users. Needs the extra ``postgres`` (psycopg 3).

A writing transaction takes the ledger's lock (an advisory one) before it reads anything else, and reads what is committed
by then; a reading one is ``REPEATABLE READ``, so that all of it is of one moment. The ledger has a schema of its
own to itself: the first of the search path.
"""

# ruff: noqa: S608 - the one name in a statement is quoted by the database itself
from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.schema import CreateTable

from entrepot.errors import Conflict, EntrepotError, Fault, InputError
from entrepot.ledger import schema
from entrepot.ledger.guards import FIRST_ROWS, LOCK, POSTGRES, TURNS
from entrepot.ledger.guards.postgres import SQL
from entrepot.ledger.storage import Busy, Storage, opened

__all__ = ["open_postgres"]

_LOCK = 0x656E7472  # "entr": while tables are made or changed
_WAIT_S = 30
_AGAIN = ("40001", "40P01")  # serialization failure, deadlock
_SQL_WRITES = ("25006", "42501")  # read-only transaction, no privilege


def open_postgres(url: str, *, create: bool = True) -> Storage:
    """Open the ledger of a database, by ``postgresql+psycopg://user@host/database``.

    Raises
    ------
    InputError
        When the database cannot be reached, holds something else, or has no ledger and none may be made.
    """
    engine = _engine(url)
    storage = Storage(engine, engine.url.render_as_string(hide_password=True), Postgres())
    try:
        with storage.in_words(), engine.connect() as connection, connection.begin():
            tables = set(inspect(connection).get_table_names())
        if not {"head", "seals"} <= tables:
            _may_make(storage.name, tables, create=create)
            with storage.in_words(), storage.backend.changing(engine) as connection:
                _make(connection)
    except BaseException:
        engine.dispose()
        raise
    return opened(storage)


def _may_make(name: str, tables: set[str], *, create: bool) -> None:
    if tables:
        raise InputError(
            Fault(
                name,
                "is a database, but not an entrepot ledger",
                "Give a ledger's database, or an empty one; or a schema of its own by ?options=-csearch_path=NAME.",
            )
        )
    if not create:
        raise InputError(
            Fault(name, "there is no such ledger", "Give the URL of a ledger that was opened before.")
        )


class Postgres:
    """What PostgreSQL needs to be told."""

    sql = SQL

    def reader(self, connection: Connection) -> Connection:
        """Read of one moment."""
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    def writer(self, connection: Connection) -> Connection:
        """Read, under the lock, what is committed."""
        return connection.execution_options(isolation_level="READ COMMITTED")

    def lock(self, connection: Connection) -> None:
        """Take the ledger's lock, as its guards do for whoever writes an entry."""
        connection.exec_driver_sql(f"SELECT {LOCK}")

    def missing_guards(self, connection: Connection) -> list[str]:
        """Compare every trigger: its table, when it fires, whether it always does, and its function's text."""
        own = _own(connection)
        rows = connection.exec_driver_sql(
            "SELECT t.tgname, c.relname, t.tgtype, t.tgenabled, p.prosrc, p.proconfig FROM pg_trigger t"
            " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid"
            f" WHERE NOT t.tgisinternal AND c.relnamespace = {own}::regnamespace"
        ).all()
        there = {r.tgname: (r.relname, r.tgtype, r.tgenabled, r.prosrc) for r in rows}
        right = {n: (g.table, _type(g.when, g.each), "A", g.source) for n, g in POSTGRES.items()}
        tables = {"turns", *(t.name for t in schema.metadata.tables.values())}
        foreign = sorted(
            f"{r.tgname} (not ours)" for r in rows if r.tgname not in POSTGRES and r.relname in tables
        )
        return sorted(name for name, of in right.items() if there.get(name) != of) + foreign

    def put_up_guards(self, connection: Connection) -> None:
        """Make every function and its trigger."""
        name = connection.exec_driver_sql("SELECT quote_ident(current_schema())").scalar_one()
        for statement in TURNS:
            connection.exec_driver_sql(statement)
        for guard, of in POSTGRES.items():
            for statement in of.statements(guard, str(name)):
                connection.exec_driver_sql(statement.replace("%", "%%"))

    def integrity(self, connection: Connection) -> list[str]:
        """Return the constraints that were dropped or not kept; PostgreSQL checks its own pages as it reads them."""
        inspector = inspect(connection)
        found = []
        for table in schema.metadata.sorted_tables:
            there = {c["name"] for c in inspector.get_check_constraints(table.name)}
            there |= {c["name"] for c in inspector.get_foreign_keys(table.name)}
            there |= {c["name"] for c in inspector.get_unique_constraints(table.name)}
            there.add(inspector.get_pk_constraint(table.name)["name"])
            made = CreateTable(table).compile(connection.engine)
            named = {str(made.preparer.format_constraint(c)) for c in table.constraints if c.name is not None}
            found += [f"the constraint {name} is missing" for name in sorted(named - there)]
        return found

    @contextlib.contextmanager
    def changing(self, engine: Engine) -> Iterator[Connection]:
        """Give a transaction that may make and change tables, one at a time."""
        with engine.connect() as connection:
            writer = self.writer(connection)
            with writer.begin():
                writer.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
                yield writer

    def in_words(self, error: Exception, name: str) -> EntrepotError | Busy | None:
        """Return what an error means."""
        if not isinstance(error, DBAPIError):
            return None
        state = getattr(error.orig, "sqlstate", None)
        said = str(error.orig).strip().split("\n", 1)[0]
        if state in _AGAIN:
            return Busy(said)
        if state == "55P03":  # lock not available
            return Conflict(f"{name}: another process has been writing for {_WAIT_S} s. Try again.")
        if isinstance(error, OperationalError) or state in _SQL_WRITES:
            return InputError(
                Fault(
                    name, f"cannot be reached or written: {said}", "Check the URL, and what its user may do."
                )
            )
        return None


def _type(when: str, each: str) -> int:
    """Return a trigger's kind as the catalogue ``pg_trigger`` codes it."""
    codes = {"BEFORE": 2, "AFTER": 0, "INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
    return sum(codes[word] for word in when.split()) + (1 if each == "ROW" else 0)


def _own(connection: Connection) -> str:
    name = str(connection.exec_driver_sql("SELECT quote_literal(quote_ident(current_schema()))").scalar_one())
    return name.replace("%", "%%")


def _engine(url: str) -> Engine:
    try:
        made = make_url(url)
        engine = create_engine(
            made.set(drivername="postgresql+psycopg" if made.get_backend_name() == "postgresql" else "none"),
            pool_pre_ping=True,  # a connection that the server has closed since is replaced, not reported
        )
    except ModuleNotFoundError as error:
        raise InputError(
            Fault(
                "PostgreSQL", "its driver is not installed", "Install it: pip install 'entrepot[postgres]'."
            )
        ) from error
    except (ArgumentError, ValueError) as error:
        raise InputError(
            Fault("the ledger's URL", str(error), "Write postgresql+psycopg://user@host/database, or a path.")
        ) from error

    @event.listens_for(engine, "connect")
    def _(connection: object, _record: object) -> None:
        cursor = connection.cursor()  # type: ignore[attr-defined] # the driver's own
        cursor.execute(f"SET lock_timeout = '{_WAIT_S}s'")
        cursor.execute("SET TIME ZONE 'UTC'")
        cursor.close()
        connection.commit()  # type: ignore[attr-defined]

    return engine


def _make(connection: Connection) -> None:
    if "head" in inspect(connection).get_table_names():
        return  # another process was first
    schema.metadata.create_all(connection)
    for statement in FIRST_ROWS:
        connection.exec_driver_sql(statement)
    connection.execute(insert(schema.version).values(version_num=schema.REVISION))
    Postgres().put_up_guards(connection)
