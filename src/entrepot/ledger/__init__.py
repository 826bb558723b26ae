"""Who holds what, where did each unit come from, who owes what? A double-entry ledger for units and money.

::

    accounts, slots     names of places and of hours
    records             Posting, Entry, UnitLot, Audit
    schema, guards      the tables, and the triggers that hold when Python is not there
    storage             SQLite, and what is said when a file is damaged
    journal, tables     entries as rows, rows as entries and as tables
    ledger              the open ledger
    opening, settle     from a scenario and from a clearing to entries
    audit               everything worked out again

`docs/ledger.md` says how it thinks.
"""

from __future__ import annotations

from entrepot.ledger.accounts import Account, Nature
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.opening import opening
from entrepot.ledger.records import Audit, Break, Entry, Posting, Sealed, UnitLot, minor_unit
from entrepot.ledger.settle import clearing_id, settle
from entrepot.ledger.slots import Slot

__all__ = [
    "Account",
    "Audit",
    "Break",
    "Entry",
    "Ledger",
    "Nature",
    "Posting",
    "Sealed",
    "Slot",
    "UnitLot",
    "clearing_id",
    "minor_unit",
    "opening",
    "settle",
]
