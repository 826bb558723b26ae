"""The first format: entries, postings, unit lots and seals; balances and hours kept by triggers."""

# ruff: noqa: S608 - every part of these statements is written in this file; nothing comes from outside
from __future__ import annotations

from alembic import op

from entrepot.ledger.migrations import first
from entrepot.ledger.migrations.first_guards import SQLITE

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make an empty ledger of the first format."""
    connection = op.get_bind()
    first.metadata.create_all(connection)
    for statement in (
        f"INSERT INTO head VALUES (1, 1, 0, '{'0' * 64}', 0)",
        f"INSERT INTO hours VALUES {', '.join(f'({hour})' for hour in range(24))}",
        "INSERT INTO slots VALUES ('', NULL, NULL, NULL, NULL)",
        *(SQLITE.values() if connection.dialect.name == "sqlite" else ()),
    ):
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    """There is nothing before it."""
    raise NotImplementedError("a ledger is not unmade; remove its file or its schema")
