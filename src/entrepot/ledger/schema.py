"""How do the books lie in a database? One schema, in SQLAlchemy Core, for every database that entrepot may use.

What is written once and never again: ``entries``, their ``postings`` and ``unit_lots``, and the ``seals`` that make an
entry count; ``accounts`` and ``slots`` take names apart, checked against the name. What follows from the journal, and is
kept by triggers alone: ``balances`` (of each account in each slot), ``timeline`` (what slots add to an account in each
hour) and ``head`` (the last seal). `entrepot.ledger.guards` has the triggers.

An entry counts from the moment that its seal is inserted. The seal is refused if the entry does not balance, if it does
not follow the head, or if a balance would pass zero; an entry without one cannot be committed (deferred foreign key).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

from entrepot.ledger.accounts import NATURES, PLACED, STATES_OF_MONEY, STATES_OF_UNITS, Nature
from entrepot.ledger.records import QUANTITY_MAX

__all__ = [
    "FORMAT",
    "accounts",
    "balances",
    "entries",
    "head",
    "hours",
    "metadata",
    "postings",
    "seals",
    "slots",
    "timeline",
    "unit_lots",
]

FORMAT = 1

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
    Column("hash", Text, nullable=False),
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
    Column("account", Text, primary_key=True),
    Column("party", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("counterparty", Text, nullable=False),
    Column("nature", Text, nullable=False),
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
    Column("slot", Text, primary_key=True),  # the empty slot is always, and has no bounds
    Column("first_day", Text),
    Column("end_day", Text),
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
    Column("hash", Text, CheckConstraint("length(hash) = 64", name="hash"), nullable=False),
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
    Column("id", Text, CheckConstraint("id <> ''", name="id"), nullable=False, unique=True),
    Column("at", Text, nullable=False),  # 2025-05-15T00:00:00.000000Z: sorts as it reads
    Column("cause", Text, CheckConstraint("cause <> ''", name="cause"), nullable=False),
    Column("reverses", Text, ForeignKey("entries.id"), unique=True),
    Column("settles", Text, nullable=False),
    Column("previous", Text, nullable=False),
    CheckConstraint(r"at LIKE '____-__-__T__:__:__.______Z'", name="at"),
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
    Column("id", Text, primary_key=True),
    Column("accelerator", Text, nullable=False),
    Column("imported_on", Text),
    Column("imported_from", Text),
    Column("authorisation", Text),
    Column("conditions", Text, nullable=False),  # JSON list of texts
    Column("parent", Text, ForeignKey("unit_lots.id")),
    Column("note", Text, nullable=False),
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
    Column("account", Text, ForeignKey("accounts.account"), nullable=False, index=True),
    Column("commodity", Text, nullable=False),
    Column("quantity", _WHOLE, nullable=False),
    Column("unit_lot", Text, nullable=False),
    Column("slot", Text, ForeignKey("slots.slot"), nullable=False),
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

balances = Table(
    "balances",
    metadata,
    Column("account", Text, primary_key=True),
    Column("commodity", Text, primary_key=True),
    Column("unit_lot", Text, primary_key=True),
    Column("slot", Text, primary_key=True),
    Column("quantity", _WHOLE, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

timeline = Table(
    "timeline",
    metadata,
    Column("account", Text, primary_key=True),
    Column("commodity", Text, primary_key=True),
    Column("unit_lot", Text, primary_key=True),
    Column("hour", _SMALL, primary_key=True, autoincrement=False),
    Column("day", Text, primary_key=True),  # from this day until the next row's
    Column("quantity", _WHOLE, nullable=False),  # what slots add in that hour
    Index("ix_timeline_lowest", "account", "commodity", "unit_lot", "quantity"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

MONEY = _names(STATES_OF_MONEY)
UNITS = _names(STATES_OF_UNITS)
