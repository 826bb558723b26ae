"""What Alembic runs: the caller's connection and transaction, and nothing of its own."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transactional_ddl=False)  # the transaction is the caller's
context.run_migrations()
