"""How does an older ledger become one of today, and back? Alembic's migrations, run when a ledger is opened.

A migration runs in one transaction: all of it is kept, or nothing. The journal and its hashes are never changed by one;
what follows from the journal is worked out again, and the new guards are tried on it before anything is kept. Guards are
not migrated: those of the revision that is reached are put up whole.

The way back exists for every step, and is refused when the journal says something that the older format cannot say.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ["FIRST", "migrate"]

FIRST = "0001"
_HERE = Path(__file__).parent


def migrate(connection: Connection, revision: str, *, back: bool = False) -> None:
    """Take a ledger to a revision, within the caller's transaction.

    Parameters
    ----------
    connection : in a transaction that nobody else can write beside; in SQLite, with foreign keys off
    revision : where to; the name of a migration
    back : go back to an older revision

    Raises
    ------
    InputError
        When the journal says something that the other format cannot bear; the transaction must be given up.
    """
    config = Config()
    config.set_main_option("script_location", str(_HERE).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        (command.downgrade if back else command.upgrade)(config, revision)
