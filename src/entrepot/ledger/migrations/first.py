"""The first format's tables, as they were: never changed again, so that old files can be read and newer ones taken back."""

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

__all__ = ["accounts", "balances", "entries", "metadata", "timeline"]

_STATES = "'available', 'offered', 'leased', 'sold', 'retired', 'on-order', 'in-transit', 'cash', 'receivable', 'payable', 'credit', 'opening', 'equity'"
_PLACED = "'available', 'offered', 'leased', 'sold', 'retired'"
_ASSET = "'available', 'offered', 'leased', 'sold', 'retired', 'on-order', 'in-transit', 'cash', 'receivable'"
_LIABILITY = "'payable', 'credit'"
_EQUITY = "'opening', 'equity'"

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
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


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
    CheckConstraint(f"site NOT IN ({_STATES})", name="site"),
    CheckConstraint(f"state NOT IN ({_PLACED}) OR site <> ''", name="placed"),
    CheckConstraint(
        f"(nature = 'asset' AND state IN ({_ASSET}))"
        f" OR (nature = 'liability' AND state IN ({_LIABILITY}))"
        f" OR (nature = 'equity' AND state IN ({_EQUITY}))",
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
        "quantity <> 0 AND quantity BETWEEN -1000000000000000 AND 1000000000000000",
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
    Column("account", _TEXT, primary_key=True),
    Column("commodity", _TEXT, primary_key=True),
    Column("unit_lot", _TEXT, primary_key=True),
    Column("slot", _TEXT, primary_key=True),
    Column("quantity", _WHOLE, nullable=False),
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
    Index("ix_timeline_lowest", "account", "commodity", "unit_lot", "quantity"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
