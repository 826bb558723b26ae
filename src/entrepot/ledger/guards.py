"""What keeps the books right when somebody writes to the database without entrepot? Triggers, one set per dialect.

The idea is one lock and one key. Journal tables take inserts only, and only into the entry that follows the head.
Derived tables (``balances``, ``timeline``) take writes only while ``head.busy`` is 1, and that bit can be set only by a
seal that moves the head forward by one. So the one way to change a balance is to seal a balanced entry, and the seal
itself is refused when a balance would pass zero. No statement, with or without ``OR REPLACE``, gets around it while the
triggers stand; an audit says when one does not.

Each refusal is worded here, and `MEANING` says what it means to a person.
"""

# ruff: noqa: S608 - every part of these statements is written in this file or its schema; nothing comes from outside
from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import DDL, event

from entrepot.ledger.records import GENESIS
from entrepot.ledger.schema import FORMAT, MONEY, UNITS, head, hours, metadata, slots

__all__ = ["MEANING", "SQLITE"]

MEANING: Mapping[str, str] = {
    "unbalanced": "what comes in must come from somewhere: some commodity of the entry does not sum to zero",
    "below zero": "more would leave an account than it holds",
    "above zero": "more would be paid than is owed",
    "unknown unit lot": "its units are of a lot that the ledger does not know, or of another accelerator than the lot",
    "unknown account": "it posts to an account that was not taken apart",
    "unknown slot": "it posts to a slot that was not taken apart",
    "units and money": "devices stand in accounts of devices, and money in accounts of money",
    "not the next": "it does not follow the last entry of the journal",
    "not open": "it writes to an entry that is not open",
    "reversal differs": "a reversal undoes exactly what it reverses",
    "append-only": "the journal is append-only; correct it with a reversal",
    "derived": "balances follow from the journal and are never written by hand",
    "no postings": "an entry has at least two sides",
}


def _raise(refusal: str) -> str:
    return f"RAISE(ABORT, 'entrepot: {refusal}')"


def _refuse(refusal: str, condition: str) -> str:
    return f"SELECT {_raise(refusal)} WHERE {condition};"


def _append_only(table: str) -> dict[str, str]:
    return {
        f"{table}_no_{verb.lower()}": f"BEFORE {verb} ON {table} BEGIN SELECT {_raise('append-only')}; END"
        for verb in ("UPDATE", "DELETE")
    }


def _derived(table: str) -> dict[str, str]:
    return {
        f"{table}_by_seal_{verb.lower()}": f"""BEFORE {verb} ON {table} BEGIN
    {_refuse("derived", "(SELECT busy FROM head) IS NOT 1")}
END"""
        for verb in ("INSERT", "UPDATE", "DELETE")
    }


_KEY = "account, commodity, unit_lot"
_SAME = "t.account = p.account AND t.commodity = p.commodity AND t.unit_lot = p.unit_lot"
_POSTED = "postings p WHERE p.entry = NEW.seq"
_LOWEST = f"""coalesce((SELECT b.quantity FROM balances b WHERE b.account = p.account AND b.commodity = p.commodity
            AND b.unit_lot = p.unit_lot AND b.slot = ''), 0)
        + min(0, coalesce((SELECT min(t.quantity) FROM timeline t WHERE {_SAME}), 0))"""
_OPEN = "(SELECT seq + 1 FROM head)"

_TRIGGERS: dict[str, str] = {
    **_append_only("accounts"),
    **_append_only("slots"),
    **_append_only("hours"),
    **_append_only("seals"),
    **_append_only("entries"),
    **_append_only("unit_lots"),
    **_append_only("postings"),
    **_derived("balances"),
    **_derived("timeline"),
    "head_one": f"BEFORE INSERT ON head BEGIN {_refuse('append-only', 'EXISTS (SELECT 1 FROM head)')} END",
    "head_stays": f"BEFORE DELETE ON head BEGIN SELECT {_raise('append-only')}; END",
    "head_moves_by_seal": f"""BEFORE UPDATE ON head BEGIN
    {
        _refuse(
            "derived",
            '''NEW.format <> OLD.format OR NEW.one <> OLD.one OR NOT (
        (OLD.busy = 0 AND NEW.busy = 1 AND NEW.seq = OLD.seq + 1
            AND EXISTS (SELECT 1 FROM seals s WHERE s.seq = NEW.seq AND s.hash = NEW.hash))
        OR (OLD.busy = 1 AND NEW.busy = 0 AND NEW.seq = OLD.seq AND NEW.hash = OLD.hash))''',
        )
    }
END""",
    "accounts_once": """BEFORE INSERT ON accounts BEGIN
    SELECT RAISE(IGNORE) WHERE EXISTS (SELECT 1 FROM accounts WHERE account = NEW.account);
END""",
    "slots_once": f"""BEFORE INSERT ON slots BEGIN
    SELECT RAISE(IGNORE) WHERE EXISTS (SELECT 1 FROM slots WHERE slot = NEW.slot);
    {
        _refuse(
            "unknown slot",
            '''NEW.slot <> '' AND (
        date(NEW.first_day) IS NOT NEW.first_day OR date(NEW.end_day) IS NOT NEW.end_day OR NEW.slot IS NOT (
        NEW.first_day
        || CASE WHEN date(NEW.first_day, '+1 day') = NEW.end_day THEN '' ELSE '..' || NEW.end_day END
        || '/h' || substr('0' || NEW.hour_from, -2)
        || CASE WHEN NEW.hour_to = NEW.hour_from + 1 THEN '' ELSE '-' || substr('0' || NEW.hour_to, -2) END))''',
        )
    }
END""",
    "entries_follow": f"""BEFORE INSERT ON entries BEGIN
    {_refuse("not the next", f"NEW.seq IS NOT {_OPEN} OR NEW.previous IS NOT (SELECT hash FROM head)")}
    {_refuse("append-only", "EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq OR e.id = NEW.id OR e.reverses = NEW.reverses)")}
END""",
    "unit_lots_open": f"""BEFORE INSERT ON unit_lots BEGIN
    {_refuse("not open", f"NEW.entry IS NOT {_OPEN} OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.entry)")}
    {_refuse("append-only", "EXISTS (SELECT 1 FROM unit_lots u WHERE u.id = NEW.id)")}
END""",
    "postings_open": f"""BEFORE INSERT ON postings BEGIN
    {
        _refuse(
            "not open",
            f"NEW.entry IS NOT {_OPEN} OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.entry)",
        )
    }
    {
        _refuse(
            "unknown unit lot",
            '''NEW.unit_lot <> '' AND NOT EXISTS (
        SELECT 1 FROM unit_lots u WHERE u.id = NEW.unit_lot AND u.accelerator = NEW.commodity)''',
        )
    }
END""",
    "seals_check": f"""BEFORE INSERT ON seals BEGIN
    {
        _refuse(
            "not the next",
            f"NEW.seq IS NOT {_OPEN} OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq)",
        )
    }
    {_refuse("no postings", f"NOT EXISTS (SELECT 1 FROM {_POSTED})")}
    {
        _refuse(
            "unbalanced",
            f"EXISTS (SELECT 1 FROM {_POSTED} GROUP BY commodity, unit_lot, slot HAVING sum(quantity) <> 0)",
        )
    }
    {
        _refuse(
            "unknown account",
            f"EXISTS (SELECT 1 FROM {_POSTED} AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account = p.account))",
        )
    }
    {
        _refuse(
            "unknown slot",
            f"EXISTS (SELECT 1 FROM {_POSTED} AND NOT EXISTS (SELECT 1 FROM slots s WHERE s.slot = p.slot))",
        )
    }
    {
        _refuse(
            "units and money",
            f'''EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account WHERE p.entry = NEW.seq
        AND ((p.unit_lot = '' AND a.state IN ({UNITS})) OR (p.unit_lot <> '' AND a.state IN ({MONEY}))))''',
        )
    }
    {
        _refuse(
            "reversal differs",
            '''EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq AND e.reverses IS NOT NULL AND (
        NOT EXISTS (SELECT 1 FROM entries o WHERE o.id = e.reverses AND o.seq < e.seq)
        OR EXISTS (SELECT 1 FROM postings p WHERE p.entry IN (e.seq, (SELECT o.seq FROM entries o WHERE o.id = e.reverses))
            GROUP BY account, commodity, unit_lot, slot HAVING sum(quantity) <> 0)))''',
        )
    }
END""",
    "seals_apply": f"""AFTER INSERT ON seals BEGIN
    UPDATE head SET seq = NEW.seq, hash = NEW.hash, busy = 1;
    INSERT INTO balances ({_KEY}, slot, quantity)
        SELECT {_KEY}, slot, sum(quantity) FROM {_POSTED} GROUP BY {_KEY}, slot
        ON CONFLICT ({_KEY}, slot) DO UPDATE SET quantity = quantity + excluded.quantity;
    INSERT OR IGNORE INTO timeline ({_KEY}, hour, day, quantity)
        SELECT p.account, p.commodity, p.unit_lot, h.hour, CASE d.hour WHEN 0 THEN s.first_day ELSE s.end_day END,
            coalesce((SELECT t.quantity FROM timeline t WHERE {_SAME} AND t.hour = h.hour
                AND t.day < CASE d.hour WHEN 0 THEN s.first_day ELSE s.end_day END ORDER BY t.day DESC LIMIT 1), 0)
        FROM postings p JOIN slots s ON s.slot = p.slot JOIN accounts a ON a.account = p.account
            JOIN hours h ON h.hour >= s.hour_from AND h.hour < s.hour_to JOIN hours d ON d.hour < 2
        WHERE p.entry = NEW.seq AND p.slot <> '' AND a.nature = 'asset';
    INSERT INTO timeline ({_KEY}, hour, day, quantity)
        SELECT t.account, t.commodity, t.unit_lot, t.hour, t.day, sum(p.quantity)
        FROM postings p JOIN slots s ON s.slot = p.slot JOIN hours h ON h.hour >= s.hour_from AND h.hour < s.hour_to
            JOIN timeline t ON {_SAME} AND t.hour = h.hour AND t.day >= s.first_day AND t.day < s.end_day
        WHERE p.entry = NEW.seq AND p.slot <> ''
        GROUP BY t.account, t.commodity, t.unit_lot, t.hour, t.day
        ON CONFLICT ({_KEY}, hour, day) DO UPDATE SET quantity = quantity + excluded.quantity;
    {
        _refuse(
            "below zero",
            f'''EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account
        WHERE p.entry = NEW.seq AND a.nature = 'asset' AND
        {_LOWEST} < 0)''',
        )
    }
    {
        _refuse(
            "above zero",
            '''EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account
        JOIN balances b ON b.account = p.account AND b.commodity = p.commodity
            AND b.unit_lot = p.unit_lot AND b.slot = p.slot
        WHERE p.entry = NEW.seq AND a.nature = 'liability' AND b.quantity > 0)''',
        )
    }
    UPDATE head SET busy = 0;
END""",
}

SQLITE: Mapping[str, str] = {name: f"CREATE TRIGGER {name} {body}" for name, body in _TRIGGERS.items()}


def _plain(statement: str) -> DDL:
    return DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call] # untyped in SQLAlchemy itself


for _statement in SQLITE.values():
    event.listen(metadata, "after_create", _plain(_statement).execute_if(dialect="sqlite"))

# The rows that are there from the start, on every database.
event.listen(head, "after_create", _plain(f"INSERT INTO head VALUES (1, {FORMAT}, 0, '{GENESIS}', 0)"))
event.listen(
    hours, "after_create", _plain(f"INSERT INTO hours VALUES {', '.join(f'({hour})' for hour in range(24))}")
)
event.listen(slots, "after_create", _plain("INSERT INTO slots VALUES ('', NULL, NULL, NULL, NULL)"))
