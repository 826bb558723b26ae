"""What keeps the books right when somebody writes to the database without entrepot? Triggers, in SQLite and PostgreSQL.

The idea is one lock and one key. Journal tables take inserts only, and only into the entry that follows the head.
Derived tables (``balances``, ``levels``, ``timeline``, ``places``) take writes only while a seal is being applied (in
SQLite ``head.busy`` says so, in PostgreSQL ``turns``), and only a seal that follows the last one can say that it is. So the one way to change a balance is to seal a balanced
entry, and the seal itself is refused when an account would pass zero at any time. No statement gets around it while the
triggers stand; an audit says when one does not.

`rules` words what is refused, once for both; `sqlite` and `postgres` make triggers of it.
"""

from __future__ import annotations

from entrepot.ledger.guards.postgres import LOCK, POSTGRES, TURNS, Guard
from entrepot.ledger.guards.rules import FIRST_ROWS, MEANING
from entrepot.ledger.guards.sqlite import SQLITE

__all__ = ["FIRST_ROWS", "LOCK", "MEANING", "POSTGRES", "SQLITE", "TURNS", "Guard"]
