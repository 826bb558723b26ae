"""How do the books come from other programs, and how do others read them? CSV, Parquet, beancount, FOCUS.

::

    columns      the columns of each table, and templates
    incoming     rows to entries, with every fault found
    post         into a ledger: all of it or nothing, once
    outgoing     journal, lots and balances as tables
    names        the ledger's names in beancount's grammar, and back
    beancount    the journal as a beancount file
    charges      who was charged what for which devices and hours
    focus        charges in the columns of FOCUS, and the schema that checks them
"""

from __future__ import annotations

from entrepot.ledger.exchange.columns import template
from entrepot.ledger.exchange.incoming import Incoming, read_movements, read_opening
from entrepot.ledger.exchange.outgoing import lots, movements, write_table, write_tables
from entrepot.ledger.exchange.post import Brought, bring_in

__all__ = [
    "Brought",
    "Incoming",
    "bring_in",
    "lots",
    "movements",
    "read_movements",
    "read_opening",
    "template",
    "write_table",
    "write_tables",
]
