"""Time, reservations and serial numbers: what is posted for good counts from its entry's time on.

Derived tables are made anew from the journal. In the first format a posting for good counted always; a journal in which
that made the difference (units that left before they came) is refused.
"""

# ruff: noqa: S608 - every part of these statements is written in this file; nothing comes from outside
from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from entrepot.errors import Fault, InputError
from entrepot.ledger.migrations import first
from entrepot.ledger.migrations.first_guards import SQLITE as FIRST_GUARDS

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = "account, commodity, unit_lot"
_NEW_STATES = ("reserved", "leased-in", "to-return", "income", "expense", "fees")
_PLACED = "'available', 'reserved', 'offered', 'leased', 'leased-in', 'to-return', 'sold', 'retired'"
_ASSET = "'available', 'reserved', 'offered', 'leased', 'leased-in', 'sold', 'retired', 'on-order', 'in-transit', 'cash', 'receivable'"
_LIABILITY = "'to-return', 'payable', 'credit'"
_EQUITY = "'income', 'expense', 'fees', 'opening', 'equity'"
_STATES = (
    "'available', 'reserved', 'offered', 'leased', 'leased-in', 'to-return', 'sold', 'retired', 'on-order', 'in-transit', "
    "'cash', 'receivable', 'payable', 'credit', 'income', 'expense', 'fees', 'opening', 'equity'"
)
_ACCOUNT_CHECKS = {
    "site": f"site NOT IN ({_STATES})",
    "placed": f"state NOT IN ({_PLACED}) OR site <> ''",
    "nature": (
        f"(nature = 'asset' AND state IN ({_ASSET}))"
        f" OR (nature = 'liability' AND state IN ({_LIABILITY}))"
        f" OR (nature = 'equity' AND state IN ({_EQUITY}))"
    ),
}
_ENTRY_CHECKS = {
    "expires": (
        "expires IS NULL OR (expires LIKE '____-__-__T__:__:__.______Z' AND expires > at"
        " AND resolves IS NULL AND reverses IS NULL)"
    ),
    "resolves": "resolves IS NULL OR reverses IS NULL",
}
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_WHOLE = BigInteger().with_variant(Integer(), "sqlite")
_SMALL = SmallInteger().with_variant(Integer(), "sqlite")


def upgrade() -> None:
    """To the second format."""
    connection = op.get_bind()
    _check_names(connection)
    _drop_guards(connection)
    tables = _tables()
    for table in ("balances", "timeline"):
        op.drop_table(table)
    if connection.dialect.name == "sqlite":
        for name in ("accounts", "entries"):
            _rebuild(connection, tables.tables[name])
    else:
        for name, condition in _ACCOUNT_CHECKS.items():
            op.drop_constraint(op.f(f"ck_accounts_{name}"), "accounts", type_="check")
            op.create_check_constraint(op.f(f"ck_accounts_{name}"), "accounts", condition)
        op.add_column("entries", Column("expires", _TEXT))
        op.add_column("entries", Column("resolves", _TEXT))
        op.create_foreign_key(op.f("fk_entries_resolves"), "entries", "entries", ["resolves"], ["id"])
        for name, condition in _ENTRY_CHECKS.items():
            op.create_check_constraint(op.f(f"ck_entries_{name}"), "entries", condition)
    for index in sorted(tables.tables["entries"].indexes, key=lambda index: str(index.name)):
        if connection.dialect.name == "sqlite" or index.name != "ix_entries_settles":
            connection.execute(CreateIndex(index))
    for name in ("serials", "posting_serials", "balances", "levels", "places", "timeline"):
        tables.tables[name].create(connection)
    for statement in (*_DERIVE, "UPDATE head SET format = 2"):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    """Back to the first format, unless the journal says what it cannot say."""
    connection = op.get_bind()
    _check_sayable(connection)
    _drop_guards(connection)
    for name in ("posting_serials", "serials", "levels", "places", "balances", "timeline"):
        op.drop_table(name)
    for name in ("ix_entries_resolves", "ix_entries_at", "ix_entries_expires"):
        op.drop_index(name, "entries")
    if connection.dialect.name == "sqlite":
        for table in (first.accounts, first.entries):
            _rebuild(connection, table)
        for index in first.entries.indexes:
            connection.execute(CreateIndex(index))
    else:
        for name in _ENTRY_CHECKS:
            op.drop_constraint(op.f(f"ck_entries_{name}"), "entries", type_="check")
        op.drop_column("entries", "resolves")
        op.drop_column("entries", "expires")
        for check in first.accounts.constraints:
            if isinstance(check, CheckConstraint) and str(check.name) in _ACCOUNT_CHECKS:
                op.drop_constraint(op.f(f"ck_accounts_{check.name}"), "accounts", type_="check")
                op.create_check_constraint(op.f(f"ck_accounts_{check.name}"), "accounts", str(check.sqltext))
    for table in (first.balances, first.timeline):
        table.create(connection)
    for statement in (_BALANCES, _timeline("WHERE nature = 'asset'"), "UPDATE head SET format = 1"):
        connection.exec_driver_sql(statement)
    if connection.dialect.name == "sqlite":
        for statement in FIRST_GUARDS.values():
            connection.exec_driver_sql(statement)


_BALANCES = f"INSERT INTO balances SELECT {_KEY}, slot, sum(quantity) FROM postings GROUP BY {_KEY}, slot"


def _timeline(where: str, also: str = "") -> str:
    return f"""INSERT INTO timeline SELECT {_KEY}, hour, day,
        sum(change) OVER (PARTITION BY {_KEY}, hour ORDER BY day){also}
    FROM (SELECT p.account, p.commodity, p.unit_lot, h.hour, CASE d.hour WHEN 0 THEN s.first_day ELSE s.end_day END AS day,
            sum(CASE d.hour WHEN 0 THEN p.quantity ELSE -p.quantity END) AS change
        FROM postings p JOIN accounts a ON a.account = p.account JOIN slots s ON s.slot = p.slot AND p.slot <> ''
            JOIN hours h ON h.hour >= s.hour_from AND h.hour < s.hour_to JOIN hours d ON d.hour < 2
        {where}
        GROUP BY p.account, p.commodity, p.unit_lot, h.hour, CASE d.hour WHEN 0 THEN s.first_day ELSE s.end_day END) c"""


_DERIVE = (
    _BALANCES,
    f"""INSERT INTO levels SELECT {_KEY}, at, sum(change) OVER (PARTITION BY {_KEY} ORDER BY at), change
    FROM (SELECT p.account, p.commodity, p.unit_lot, e.at, sum(p.quantity) AS change
        FROM postings p JOIN entries e ON e.seq = p.entry WHERE p.slot = ''
        GROUP BY p.account, p.commodity, p.unit_lot, e.at) c""",
    _timeline("", ", change"),
)


def _drop_guards(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        names = (
            connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            .scalars()
            .all()
        )
        for name in names:
            quoted = str(name).replace('"', '""')
            connection.exec_driver_sql(f'DROP TRIGGER "{quoted}"')
        return
    query = (
        "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace"
    )
    for name, table in connection.exec_driver_sql(query).all():
        connection.exec_driver_sql(f'DROP TRIGGER "{name}" ON "{table}"')


def _rebuild(connection: Connection, table: Table) -> None:
    """Put a table of the new form in the old one's place, with all its rows (SQLite cannot change a constraint)."""
    columns = connection.exec_driver_sql(f"PRAGMA table_info({table.name})").all()
    kept = ", ".join(c.name for c in columns if c.name in table.columns)
    made = str(CreateTable(table).compile(connection)).replace(
        f"CREATE TABLE {table.name} ", f"CREATE TABLE new_{table.name} ", 1
    )
    for statement in (
        made,
        f"INSERT INTO new_{table.name} ({kept}) SELECT {kept} FROM {table.name}",
        f"DROP TABLE {table.name}",
        f"ALTER TABLE new_{table.name} RENAME TO {table.name}",
    ):
        connection.exec_driver_sql(statement)


def _check_names(connection: Connection) -> None:
    """Refuse a site that is called like a state that is new."""
    names = ", ".join(f"'{state}'" for state in _NEW_STATES)
    taken = (
        connection.exec_driver_sql(f"SELECT account FROM accounts WHERE site IN ({names}) ORDER BY account")
        .scalars()
        .first()
    )
    if taken is not None:
        raise InputError(
            Fault(
                f"account {taken!r}",
                "has a site whose name is now that of a state",
                "Move its devices to a site of another name with the entrepot that wrote this ledger.",
            )
        )


def _check_sayable(connection: Connection) -> None:
    """Refuse to go back where something would be lost, and name it."""
    states = ", ".join(f"'{state}'" for state in _NEW_STATES)
    lost = {
        "makes or ends a reservation": "SELECT id FROM entries WHERE expires IS NOT NULL OR resolves IS NOT NULL",
        "brings in serial numbers": "SELECT e.id FROM entries e JOIN unit_lots u ON u.entry = e.seq"
        " JOIN serials s ON s.unit_lot = u.id",
        "posts to an account of a state that is new": "SELECT e.id FROM entries e JOIN postings p ON p.entry = e.seq"
        f" JOIN accounts a ON a.account = p.account WHERE a.state IN ({states})",
        "counts from a time on, and would not be borne if it counted always": """SELECT e.id FROM entries e
            JOIN postings p ON p.entry = e.seq JOIN accounts a ON a.account = p.account AND a.nature = 'asset'
            WHERE (SELECT b.quantity FROM balances b WHERE b.account = p.account AND b.commodity = p.commodity
                AND b.unit_lot = p.unit_lot AND b.slot = '') + (SELECT min(t.quantity) FROM timeline t
                WHERE t.account = p.account AND t.commodity = p.commodity AND t.unit_lot = p.unit_lot) < 0""",
    }
    for what, query in lost.items():
        entry = connection.exec_driver_sql(f"{query} LIMIT 1").scalars().first()
        if entry is not None:
            raise InputError(
                Fault(
                    f"entry {entry!r}",
                    f"{what}, which the older format cannot say",
                    "Keep the ledger in this format; nothing was changed.",
                )
            )


def _tables() -> MetaData:
    """Return what the second format adds or changes."""
    metadata = MetaData(naming_convention=first.metadata.naming_convention)
    for name in ("hours", "slots", "seals", "unit_lots", "postings"):
        first.metadata.tables[name].to_metadata(metadata)
    Table(
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
        *(CheckConstraint(condition, name=name) for name, condition in _ACCOUNT_CHECKS.items()),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    Table(
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
        Column("at", _TEXT, nullable=False),
        Column("cause", _TEXT, CheckConstraint("cause <> ''", name="cause"), nullable=False),
        Column("reverses", _TEXT, ForeignKey("entries.id"), unique=True),
        Column("settles", _TEXT, nullable=False),
        Column("previous", _TEXT, nullable=False),
        Column("expires", _TEXT),
        Column("resolves", _TEXT, ForeignKey("entries.id")),
        CheckConstraint(r"at LIKE '____-__-__T__:__:__.______Z'", name="at"),
        *(CheckConstraint(condition, name=name) for name, condition in _ENTRY_CHECKS.items()),
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
    Table(
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
    Table(
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
    Table(
        "places",
        metadata,
        Column("serial", _TEXT, primary_key=True),
        Column("unit_lot", _TEXT, nullable=False),
        Column("account", _TEXT, nullable=False),
        Column("at", _TEXT, nullable=False),
        Index("ix_places_account", "account", "unit_lot"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    for name, last in (("balances", ("slot",)), ("levels", ("at",)), ("timeline", ("hour", "day"))):
        Table(
            name,
            metadata,
            *(Column(key, _TEXT, primary_key=True) for key in ("account", "commodity", "unit_lot")),
            *(
                Column(key, _SMALL if key == "hour" else _TEXT, primary_key=True, autoincrement=False)
                for key in last
            ),
            Column("quantity", _WHOLE, nullable=False),
            *(() if name == "balances" else (Column("change", _WHOLE, nullable=False),)),
            sqlite_strict=True,
            sqlite_with_rowid=False,
        )
    return metadata
