"""The guards as SQLite triggers."""

# ruff: noqa: S608 - every part of these statements is written in this package; nothing comes from outside
from __future__ import annotations

from collections.abc import Mapping

from entrepot.ledger.guards.rules import DERIVED, JOURNAL, OPEN, Sql, applied, of_seal, touched, unbearable

__all__ = ["SQL", "SQLITE"]

SQL = Sql(
    next_day=lambda day: f"date({day}, '+1 day')",
    is_slot="""date(NEW.first_day) IS NEW.first_day AND date(NEW.end_day) IS NEW.end_day AND NEW.slot IS (
        NEW.first_day
        || CASE WHEN date(NEW.first_day, '+1 day') = NEW.end_day THEN '' ELSE '..' || NEW.end_day END
        || '/h' || substr('0' || NEW.hour_from, -2)
        || CASE WHEN NEW.hour_to = NEW.hour_from + 1 THEN '' ELSE '-' || substr('0' || NEW.hour_to, -2) END)""",
)


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


def _open(of: str) -> str:
    return _refuse(
        "not open", f"{of} IS NOT {OPEN} OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = {of})"
    )


_CHECKS = "\n    ".join(_refuse(refusal, condition) for refusal, condition in of_seal(SQL))
_APPLIED = "\n    ".join(f"{statement};" for statement in applied(SQL))
_SIGNS = "\n    ".join(
    _refuse(refusal, unbearable(SQL, touched(SQL), nature))
    for refusal, nature in (("below zero", "asset"), ("above zero", "liability"))
)

_TRIGGERS: dict[str, str] = {
    **{name: body for table in JOURNAL for name, body in _append_only(table).items()},
    **{name: body for table in DERIVED for name, body in _derived(table).items()},
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
    {_refuse("unknown slot", f"NEW.slot <> '' AND NOT ({SQL.is_slot})")}
END""",
    "entries_follow": f"""BEFORE INSERT ON entries BEGIN
    {_refuse("not the next", f"NEW.seq IS NOT {OPEN} OR NEW.previous IS NOT (SELECT hash FROM head)")}
    {
        _refuse(
            "append-only",
            "EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq OR e.id = NEW.id OR e.reverses = NEW.reverses"
            " OR e.resolves = NEW.resolves)",
        )
    }
END""",
    "unit_lots_open": f"""BEFORE INSERT ON unit_lots BEGIN
    {_open("NEW.entry")}
    {_refuse("append-only", "EXISTS (SELECT 1 FROM unit_lots u WHERE u.id = NEW.id)")}
END""",
    "serials_open": f"""BEFORE INSERT ON serials BEGIN
    {_open("(SELECT u.entry FROM unit_lots u WHERE u.id = NEW.unit_lot)")}
    {
        _refuse(
            "append-only",
            "EXISTS (SELECT 1 FROM serials s WHERE s.unit_lot = NEW.unit_lot"
            " AND (s.line = NEW.line OR s.serial = NEW.serial))",
        )
    }
    {
        _refuse(
            "serials",
            '''EXISTS (SELECT 1 FROM serials s WHERE s.serial = NEW.serial) AND NOT EXISTS (
        SELECT 1 FROM serials s JOIN unit_lots u ON u.parent = s.unit_lot
        WHERE u.id = NEW.unit_lot AND s.serial = NEW.serial)''',
        )
    }
END""",
    "postings_open": f"""BEFORE INSERT ON postings BEGIN
    {_open("NEW.entry")}
    {
        _refuse(
            "append-only", "EXISTS (SELECT 1 FROM postings p WHERE p.entry = NEW.entry AND p.line = NEW.line)"
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
    "posting_serials_open": f"""BEFORE INSERT ON posting_serials BEGIN
    {_open("NEW.entry")}
    {
        _refuse(
            "append-only",
            "EXISTS (SELECT 1 FROM posting_serials n WHERE n.entry = NEW.entry AND n.line = NEW.line"
            " AND (n.number = NEW.number OR n.serial = NEW.serial))",
        )
    }
    {
        _refuse(
            "serials", "NOT EXISTS (SELECT 1 FROM postings p WHERE p.entry = NEW.entry AND p.line = NEW.line)"
        )
    }
END""",
    "seals_check": f"""BEFORE INSERT ON seals BEGIN
    {
        _refuse(
            "not the next",
            f"NEW.seq IS NOT {OPEN} OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq)",
        )
    }
    {_CHECKS}
END""",
    "seals_apply": f"""AFTER INSERT ON seals BEGIN
    UPDATE head SET seq = NEW.seq, hash = NEW.hash, busy = 1;
    {_APPLIED}
    {_SIGNS}
    UPDATE head SET busy = 0;
END""",
}

SQLITE: Mapping[str, str] = {name: f"CREATE TRIGGER {name} {body}" for name, body in _TRIGGERS.items()}
