"""How do the books lie in a database? One schema, in SQLAlchemy Core, for SQLite and for PostgreSQL.

What is written once and never again: ``entries``, their ``postings`` and ``unit_lots`` with the serial numbers of both,
and the ``seals`` that make an entry count; ``accounts`` and ``slots`` take names apart, checked against the name. What
follows from the journal, and is kept by triggers alone: ``balances`` (of each account in each slot), ``levels`` (what is
held for good, from each instant on), ``timeline`` (what slots add to an account in each hour), ``places`` (where each
serial number is) and ``head`` (the last seal). `entrepot.ledger.guards` has the triggers.

An entry counts from the moment that its seal is inserted. The seal is refused if the entry does not balance, if it does
not follow the head, or if an account would pass zero at any time; an entry without one cannot be committed (deferred
foreign key). A change here is a migration: `entrepot.ledger.migrations`.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from entrepot.ledger.accounts import NATURES, PLACED, STATES_OF_MONEY, STATES_OF_UNITS, Nature
from entrepot.ledger.records import QUANTITY_MAX

__all__ = [
    "FORMAT",
    "MONEY",
    "REVISION",
    "UNITS",
    "accounts",
    "balances",
    "entries",
    "head",
    "hours",
    "levels",
    "metadata",
    "places",
    "posting_serials",
    "postings",
    "seals",
    "serials",
    "slots",
    "timeline",
    "unit_lots",
    "version",
]

FORMAT = 2
REVISION = "0002"  # of the migrations; the newest one makes exactly this schema

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_WHOLE = BigInteger().with_variant(Integer(), "sqlite")  # STRICT tables know INTEGER (64 bits) only
_SMALL = SmallInteger().with_variant(Integer(), "sqlite")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")  # times and days are compared as they read


def _names(states: tuple[str, ...]) -> str:
    return ", ".join(f"'{state}'" for state in states)


def _of(nature: Nature) -> str:
    return _names(tuple(state for state, its in NATURES.items() if its is nature))


head = Table(
    "head",
    metadata,
    Column("one", _SMALL, CheckConstraint("one = 1", name="one"), primary_key=True),
    Column("format", _SMALL, nullable=False),
    Column("seq", _WHOLE, nullable=False),
    Column("hash", _TEXT, nullable=False),
    Column(
        "busy", _SMALL, CheckConstraint("busy IN (0, 1)", name="busy"), nullable=False
    ),  # a seal is being applied
    sqlite_strict=True,
)

hours = Table(
    "hours",
    metadata,
    Column(
        "hour",
        _SMALL,
        CheckConstraint("hour BETWEEN 0 AND 23", name="hour"),
        primary_key=True,
        autoincrement=False,
    ),
    sqlite_strict=True,
)

accounts = Table(
    "accounts",
    metadata,
    Column("account", _TEXT, primary_key=True),
    Column("party", _TEXT, nullable=False),
    Column("site", _TEXT, nullable=False),
    Column("state", _TEXT, nullable=False),
    Column("counterparty", _TEXT, nullable=False),
    Column("nature", _TEXT, nullable=False),
    CheckConstraint(
        "account = party || CASE WHEN site = '' THEN '' ELSE ':' || site END || ':' || state"
        " || CASE WHEN counterparty = '' THEN '' ELSE ':' || counterparty END",
        name="name",
    ),
    CheckConstraint("party <> '' AND party || site || counterparty NOT LIKE '%:%'", name="parts"),
    CheckConstraint(f"site NOT IN ({_names(tuple(NATURES))})", name="site"),
    CheckConstraint(f"state NOT IN ({_names(PLACED)}) OR site <> ''", name="placed"),
    CheckConstraint(
        f"(nature = 'asset' AND state IN ({_of(Nature.ASSET)}))"
        f" OR (nature = 'liability' AND state IN ({_of(Nature.LIABILITY)}))"
        f" OR (nature = 'equity' AND state IN ({_of(Nature.EQUITY)}))",
        name="nature",
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

slots = Table(
    "slots",
    metadata,
    Column("slot", _TEXT, primary_key=True),  # the empty slot is always, and has no bounds
    Column("first_day", _TEXT),
    Column("end_day", _TEXT),
    Column("hour_from", _SMALL),
    Column("hour_to", _SMALL),
    CheckConstraint(
        "(slot = '' AND first_day IS NULL AND end_day IS NULL AND hour_from IS NULL AND hour_to IS NULL) OR"
        " (slot <> '' AND first_day IS NOT NULL AND end_day IS NOT NULL"
        " AND hour_from IS NOT NULL AND hour_to IS NOT NULL"
        " AND first_day < end_day AND 0 <= hour_from AND hour_from < hour_to AND hour_to <= 24)",
        name="bounds",
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

seals = Table(
    "seals",
    metadata,
    Column("seq", _WHOLE, primary_key=True, autoincrement=False),
    Column("hash", _TEXT, CheckConstraint("length(hash) = 64", name="hash"), nullable=False),
    sqlite_strict=True,
)

entries = Table(
    "entries",
    metadata,
    Column(
        "seq",
        _WHOLE,
        ForeignKey("seals.seq", deferrable=True, initially="DEFERRED"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("id", _TEXT, CheckConstraint("id <> ''", name="id"), nullable=False, unique=True),
    Column("at", _TEXT, nullable=False),  # 2025-05-15T00:00:00.000000Z: sorts as it reads
    Column("cause", _TEXT, CheckConstraint("cause <> ''", name="cause"), nullable=False),
    Column("reverses", _TEXT, ForeignKey("entries.id"), unique=True),
    Column("settles", _TEXT, nullable=False),
    Column("previous", _TEXT, nullable=False),
    Column("expires", _TEXT),
    Column("resolves", _TEXT, ForeignKey("entries.id")),
    CheckConstraint(r"at LIKE '____-__-__T__:__:__.______Z'", name="at"),
    CheckConstraint(
        "expires IS NULL OR (expires LIKE '____-__-__T__:__:__.______Z' AND expires > at"
        " AND resolves IS NULL AND reverses IS NULL)",
        name="expires",
    ),
    CheckConstraint("resolves IS NULL OR reverses IS NULL", name="resolves"),
    Index("ix_entries_resolves", "resolves", unique=True),
    Index("ix_entries_at", "at"),
    Index(
        "ix_entries_expires",
        "expires",
        sqlite_where=text("expires IS NOT NULL"),
        postgresql_where=text("expires IS NOT NULL"),
    ),
    Index(
        "ix_entries_settles",
        "settles",
        sqlite_where=text("settles <> ''"),
        postgresql_where=text("settles <> ''"),
    ),
    sqlite_strict=True,
)

unit_lots = Table(
    "unit_lots",
    metadata,
    Column("id", _TEXT, primary_key=True),
    Column("accelerator", _TEXT, nullable=False),
    Column("imported_on", _TEXT),
    Column("imported_from", _TEXT),
    Column("authorisation", _TEXT),
    Column("conditions", _TEXT, nullable=False),  # JSON list of texts
    Column("parent", _TEXT, ForeignKey("unit_lots.id")),
    Column("note", _TEXT, nullable=False),
    Column("entry", _WHOLE, ForeignKey("entries.seq"), nullable=False, index=True),  # that brought it in
    Column("line", _SMALL, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

postings = Table(
    "postings",
    metadata,
    Column("entry", _WHOLE, ForeignKey("entries.seq"), primary_key=True, autoincrement=False),
    Column("line", _WHOLE, primary_key=True, autoincrement=False),
    Column("account", _TEXT, ForeignKey("accounts.account"), nullable=False, index=True),
    Column("commodity", _TEXT, nullable=False),
    Column("quantity", _WHOLE, nullable=False),
    Column("unit_lot", _TEXT, nullable=False),
    Column("slot", _TEXT, ForeignKey("slots.slot"), nullable=False),
    CheckConstraint(
        f"quantity <> 0 AND quantity BETWEEN -{QUANTITY_MAX} AND {QUANTITY_MAX}",
        name="quantity",
    ),
    CheckConstraint("unit_lot <> '' OR slot = ''", name="money_always"),
    Index(
        "ix_postings_unit_lot",
        "unit_lot",
        sqlite_where=text("unit_lot <> ''"),
        postgresql_where=text("unit_lot <> ''"),
    ),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

serials = Table(
    "serials",
    metadata,
    Column("unit_lot", _TEXT, ForeignKey("unit_lots.id"), primary_key=True),
    Column("line", _WHOLE, primary_key=True, autoincrement=False),
    Column("serial", _TEXT, CheckConstraint("serial <> ''", name="serial"), nullable=False),
    Index("ix_serials_lot", "unit_lot", "serial", unique=True),
    Index("ix_serials_serial", "serial"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

posting_serials = Table(
    "posting_serials",
    metadata,
    Column("entry", _WHOLE, primary_key=True, autoincrement=False),
    Column("line", _WHOLE, primary_key=True, autoincrement=False),
    Column("number", _WHOLE, primary_key=True, autoincrement=False),
    Column("serial", _TEXT, nullable=False),
    ForeignKeyConstraint(["entry", "line"], ["postings.entry", "postings.line"]),
    Index("ix_posting_serials_once", "entry", "line", "serial", unique=True),
    Index("ix_posting_serials_serial", "serial"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

balances = Table(
    "balances",
    metadata,
    Column("account", _TEXT, primary_key=True),
    Column("commodity", _TEXT, primary_key=True),
    Column("unit_lot", _TEXT, primary_key=True),
    Column("slot", _TEXT, primary_key=True),
    Column("quantity", _WHOLE, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

levels = Table(
    "levels",
    metadata,
    Column("account", _TEXT, primary_key=True),
    Column("commodity", _TEXT, primary_key=True),
    Column("unit_lot", _TEXT, primary_key=True),
    Column("at", _TEXT, primary_key=True),  # from this instant until the next row's
    Column("quantity", _WHOLE, nullable=False),  # what postings for good come to
    Column("change", _WHOLE, nullable=False),  # against the row before: whoever reads one row checks it so
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

places = Table(
    "places",
    metadata,
    Column("serial", _TEXT, primary_key=True),
    Column("unit_lot", _TEXT, nullable=False),
    Column("account", _TEXT, nullable=False),
    Column("at", _TEXT, nullable=False),  # when it came there
    Index("ix_places_account", "account", "unit_lot"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

timeline = Table(
    "timeline",
    metadata,
    Column("account", _TEXT, primary_key=True),
    Column("commodity", _TEXT, primary_key=True),
    Column("unit_lot", _TEXT, primary_key=True),
    Column("hour", _SMALL, primary_key=True, autoincrement=False),
    Column("day", _TEXT, primary_key=True),  # from this day until the next row's
    Column("quantity", _WHOLE, nullable=False),  # what slots add in that hour
    Column("change", _WHOLE, nullable=False),  # against the row before
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

# Alembic's own table, made here so that a new ledger needs no Alembic.
version = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32).with_variant(Text(), "sqlite"), primary_key=True),
    sqlite_strict=True,
)

MONEY = _names(STATES_OF_MONEY)
UNITS = _names(STATES_OF_UNITS)
