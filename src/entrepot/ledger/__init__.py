"""Who holds what, where did each unit come from, who owes what? A double-entry ledger for units and money.

::

    accounts, slots     names of places and of hours
    records             Posting, Entry, UnitLot, Audit
    course              an account's balance as a function of time
    schema, guards      the tables, and the triggers that hold when Python is not there
    migrations          from an older format to today's, and back
    storage             transactions, and what is said when something is damaged; sqlite, postgres
    journal, tables     entries as rows, rows as entries and as tables
    ledger              the open ledger
    reserve, transfer   two-phase reservations; units from named lots, or first in first out
    hours               what is free by the hour, and what will be
    lineage             the way of a lot from vendor to holder
    opening             from a scenario to entries
    basis, settle       what a clearing rests on, and its settlement
    audit, checkpoint   everything worked out again, and held to what was signed
    exchange, claims    tables in and out; what is claimed beside the books

`docs/ledger.md` says how it thinks.
"""

from __future__ import annotations

from entrepot.ledger.accounts import Account, Nature
from entrepot.ledger.basis import Basis, gate, stated
from entrepot.ledger.checkpoint import Checkpoint, generate_key, read_checkpoint, sign
from entrepot.ledger.hours import Arrival, arrivals, availability, forecast
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.lineage import lineage
from entrepot.ledger.opening import opening
from entrepot.ledger.records import Audit, Break, Entry, Posting, Sealed, UnitLot, minor_unit
from entrepot.ledger.reserve import expire, post_reservation, reservation, reservations, void
from entrepot.ledger.settle import Terms, clearing_id, pay, settle
from entrepot.ledger.slots import Slot
from entrepot.ledger.transfer import transfer

__all__ = [
    "Account",
    "Arrival",
    "Audit",
    "Basis",
    "Break",
    "Checkpoint",
    "Entry",
    "Ledger",
    "Nature",
    "Posting",
    "Sealed",
    "Slot",
    "Terms",
    "UnitLot",
    "arrivals",
    "availability",
    "clearing_id",
    "expire",
    "forecast",
    "gate",
    "generate_key",
    "lineage",
    "minor_unit",
    "opening",
    "pay",
    "post_reservation",
    "read_checkpoint",
    "reservation",
    "reservations",
    "settle",
    "sign",
    "stated",
    "transfer",
    "void",
]
