"""What Alembic runs: the caller's connection and transaction, and nothing of its own."""

from __future__ import annotations

from alembic import context

if __name__ == "env_py":  # as Alembic loads it; nothing to do for anybody else
    context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
    context.run_migrations()  # in the caller's transaction
