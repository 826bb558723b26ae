"""The guards as PostgreSQL triggers: one function in PL/pgSQL for each rule.

What differs from SQLite, and why:

- A seal is checked *after* its insert, in the same function that applies it: in PostgreSQL one statement can write to
  several tables (``WITH ... INSERT``), and a check before the insert could be passed by.
- Whoever writes an entry takes the ledger's advisory lock until the end of the transaction: one order for all writers,
  also for those who do not use entrepot.
- A transaction of many entries must not change one row many times: each later look at it would walk over all its earlier
  versions. So that a seal is being applied is noted in ``turns``, by inserts alone, and the head moves once, when the
  transaction is committed.
- Triggers are ``ENABLE ALWAYS``, so that ``session_replication_role`` does not silence them; ``TRUNCATE`` is refused;
  functions look up tables in the ledger's own schema only, never in a temporary one of the same name.
- Functions plan with indexes: their plans are kept from when the tables were small.
"""

# ruff: noqa: S608 - every part of these statements is written in this package; nothing comes from outside
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from entrepot.ledger.guards.rules import DERIVED, JOURNAL, Sql, applied, of_seal, touched, unbearable
from entrepot.ledger.records import GENESIS

__all__ = ["LOCK", "POSTGRES", "SQL", "TURNS", "Guard"]

SQL = Sql(
    next_day=lambda day: f"to_char(CAST({day} AS date) + 1, 'YYYY-MM-DD')",
    is_slot="""to_char(CAST(NEW.first_day AS date), 'YYYY-MM-DD') = NEW.first_day
        AND to_char(CAST(NEW.end_day AS date), 'YYYY-MM-DD') = NEW.end_day AND NEW.slot = (
        NEW.first_day
        || CASE WHEN to_char(CAST(NEW.first_day AS date) + 1, 'YYYY-MM-DD') = NEW.end_day THEN '' ELSE '..' || NEW.end_day END
        || '/h' || substr(CAST(100 + NEW.hour_from AS TEXT), 2)
        || CASE WHEN NEW.hour_to = NEW.hour_from + 1 THEN '' ELSE '-' || substr(CAST(100 + NEW.hour_to AS TEXT), 2) END)""",
)


@dataclass(frozen=True, slots=True)
class Guard:
    """One trigger and its function.

    Attributes
    ----------
    when : ``BEFORE INSERT``...
    each : ``ROW`` or ``STATEMENT``
    body : between ``BEGIN`` and ``END`` of the function
    late : at the end of the transaction
    """

    table: str
    when: str
    each: str
    body: str
    late: bool = False

    @property
    def source(self) -> str:
        """Return the function's text as PostgreSQL keeps it."""
        return f"\n{self.body}\n"

    def statements(self, name: str, schema: str) -> tuple[str, ...]:
        """Return what makes this guard in a schema (already quoted)."""
        function = f"{schema}.entrepot_{name}"
        plans = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")
        settings = " ".join(
            [f"SET search_path = {schema}, pg_temp", *(f"SET {plan} = off" for plan in plans)]
        )
        made = f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql {settings}"
        kind, late = (
            ("CONSTRAINT TRIGGER", " DEFERRABLE INITIALLY DEFERRED") if self.late else ("TRIGGER", "")
        )
        trigger = f"CREATE {kind} {name} {self.when} ON {schema}.{self.table}{late} FOR EACH {self.each}"
        return (
            f"{made} AS $guard${self.source}$guard$",
            f"DROP TRIGGER IF EXISTS {name} ON {schema}.{self.table}",
            f"{trigger} EXECUTE FUNCTION {function}()",
            f"ALTER TABLE {schema}.{self.table} ENABLE ALWAYS TRIGGER {name}",
        )


def _raise(refusal: str) -> str:
    return f"RAISE EXCEPTION 'entrepot: {refusal}' USING ERRCODE = 'check_violation';"


def _refuse(refusal: str, condition: str) -> str:
    return f"  IF ({condition}) THEN\n    {_raise(refusal)}\n  END IF;"


def _body(*lines: str, then: str = "RETURN NEW") -> str:
    return "\n".join(["BEGIN", *lines, f"  {then};", "END"])


# Which seals are being applied (done 0) and were (done 1): two rows for each, and none is ever changed.
TURNS = (
    "CREATE TABLE IF NOT EXISTS turns (seq bigint, done smallint CHECK (done IN (0, 1)), PRIMARY KEY (seq, done))",
    "INSERT INTO turns SELECT h.seq, d.done FROM head h, (VALUES (0), (1)) d(done) WHERE h.seq > 0 ON CONFLICT DO NOTHING",
)
LOCK = "pg_advisory_xact_lock(1701737586, CAST(CAST('head' AS regclass) AS oid)::int4)"
_LOCK = f"  PERFORM {LOCK};"
OPEN = "(coalesce((SELECT max(s.seq) FROM seals s), 0) + 1)"
_TURN = "coalesce((SELECT max(t.seq) FROM turns t), 0)"
_BUSY = "(SELECT t.done FROM turns t ORDER BY t.seq DESC, t.done DESC LIMIT 1)"


def _open(of: str) -> str:
    return _refuse(
        "not open",
        f"{of} IS DISTINCT FROM {OPEN} OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = {of})",
    )


def _once(found: str) -> str:
    return f"  IF EXISTS ({found}) THEN\n    RETURN NULL;\n  END IF;"


def _no(table: str) -> dict[str, Guard]:
    body = _body(f"  {_raise('append-only')}")
    return {f"{table}_no_{verb.lower()}": Guard(table, f"BEFORE {verb}", "STATEMENT", body)
            for verb in ("UPDATE", "DELETE", "TRUNCATE")}  # fmt: skip


def _derived(table: str) -> dict[str, Guard]:
    body = _body(_refuse("derived", f"{_BUSY} IS DISTINCT FROM 0"), then="RETURN NULL")
    return {f"{table}_by_seal_{verb.lower()}": Guard(table, f"BEFORE {verb}", "STATEMENT", body)
            for verb in ("INSERT", "UPDATE", "DELETE", "TRUNCATE")}  # fmt: skip


POSTGRES: Mapping[str, Guard] = {
    **{name: guard for table in JOURNAL for name, guard in _no(table).items()},
    **{name: guard for table in DERIVED for name, guard in _derived(table).items()},
    "head_one": Guard(
        "head",
        "BEFORE INSERT",
        "ROW",
        _body(_refuse("append-only", "EXISTS (SELECT 1 FROM head)")),
    ),
    **{
        f"head_stays_{verb.lower()}": Guard(
            "head", f"BEFORE {verb}", "STATEMENT", _body(f"  {_raise('append-only')}")
        )
        for verb in ("DELETE", "TRUNCATE")
    },
    "head_moves_by_seal": Guard(
        "head",
        "BEFORE UPDATE",
        "ROW",
        _body(
            _refuse(
                "derived",
                f"""NEW.format <> OLD.format OR NEW.one <> OLD.one OR NEW.busy <> 0 OR NEW.seq <= OLD.seq
        OR NEW.seq <> {_TURN} OR {_BUSY} IS DISTINCT FROM 1
        OR NOT EXISTS (SELECT 1 FROM seals s WHERE s.seq = NEW.seq AND s.hash = NEW.hash)""",
            )
        ),
    ),
    "head_follows": Guard(
        "seals",
        "AFTER INSERT",
        "ROW",
        _body(
            "  IF NEW.seq = (SELECT max(s.seq) FROM seals s) THEN",
            "    UPDATE head SET seq = NEW.seq, hash = NEW.hash;",
            "  END IF;",
            then="RETURN NULL",
        ),
        late=True,
    ),
    "turns_by_seal": Guard(
        "turns",
        "BEFORE INSERT",
        "ROW",
        _body(
            _refuse(
                "derived",
                f"""NOT CASE NEW.done WHEN 0 THEN NEW.seq = {_TURN} + 1 AND EXISTS (SELECT 1 FROM seals s WHERE s.seq = NEW.seq)
        ELSE EXISTS (SELECT 1 FROM turns t WHERE t.seq = NEW.seq AND t.done = 0) END""",
            )
        ),
    ),
    **_no("turns"),
    "accounts_once": Guard(
        "accounts",
        "BEFORE INSERT",
        "ROW",
        _body(_LOCK, _once("SELECT 1 FROM accounts a WHERE a.account = NEW.account")),
    ),
    "slots_once": Guard(
        "slots",
        "BEFORE INSERT",
        "ROW",
        _body(
            _LOCK,
            _once("SELECT 1 FROM slots s WHERE s.slot = NEW.slot"),
            "  BEGIN",
            _refuse("unknown slot", f"NEW.slot <> '' AND NOT coalesce({SQL.is_slot}, false)"),
            "  EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN",
            f"    {_raise('unknown slot')}",
            "  END;",
        ),
    ),
    "entries_follow": Guard(
        "entries",
        "BEFORE INSERT",
        "ROW",
        _body(
            _LOCK,
            _refuse(
                "not the next",
                f"NEW.seq IS DISTINCT FROM {OPEN} OR NEW.previous IS DISTINCT FROM"
                f" coalesce((SELECT s.hash FROM seals s ORDER BY s.seq DESC LIMIT 1), '{GENESIS}')",
            ),
            _refuse(
                "append-only",
                "EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq OR e.id = NEW.id OR e.reverses = NEW.reverses"
                " OR e.resolves = NEW.resolves)",
            ),
        ),
    ),
    "unit_lots_open": Guard(
        "unit_lots",
        "BEFORE INSERT",
        "ROW",
        _body(
            _open("NEW.entry"),
            _refuse("append-only", "EXISTS (SELECT 1 FROM unit_lots u WHERE u.id = NEW.id)"),
        ),
    ),
    "serials_open": Guard(
        "serials",
        "BEFORE INSERT",
        "ROW",
        _body(
            _open("(SELECT u.entry FROM unit_lots u WHERE u.id = NEW.unit_lot)"),
            _refuse(
                "append-only",
                "EXISTS (SELECT 1 FROM serials s WHERE s.unit_lot = NEW.unit_lot"
                " AND (s.line = NEW.line OR s.serial = NEW.serial))",
            ),
            _refuse(
                "serials",
                """EXISTS (SELECT 1 FROM serials s WHERE s.serial = NEW.serial) AND NOT EXISTS (
        SELECT 1 FROM serials s JOIN unit_lots u ON u.parent = s.unit_lot
        WHERE u.id = NEW.unit_lot AND s.serial = NEW.serial)""",
            ),
        ),
    ),
    "postings_open": Guard(
        "postings",
        "BEFORE INSERT",
        "ROW",
        _body(
            _open("NEW.entry"),
            _refuse(
                "unknown unit lot",
                """NEW.unit_lot <> '' AND NOT EXISTS (
        SELECT 1 FROM unit_lots u WHERE u.id = NEW.unit_lot AND u.accelerator = NEW.commodity)""",
            ),
        ),
    ),
    "posting_serials_open": Guard(
        "posting_serials",
        "BEFORE INSERT",
        "ROW",
        _body(
            _open("NEW.entry"),
            _refuse(
                "serials",
                "NOT EXISTS (SELECT 1 FROM postings p WHERE p.entry = NEW.entry AND p.line = NEW.line)",
            ),
        ),
    ),
    "seals_apply": Guard(
        "seals",
        "AFTER INSERT",
        "ROW",
        _body(
            _refuse(
                "not the next",
                f"NEW.seq IS DISTINCT FROM {_TURN} + 1 OR NOT EXISTS (SELECT 1 FROM entries e WHERE e.seq = NEW.seq)",
            ),
            *(_refuse(refusal, condition) for refusal, condition in of_seal(SQL)),
            "  INSERT INTO turns VALUES (NEW.seq, 0);",
            *(f"  {statement};" for statement in applied(SQL)),
            _refuse("below zero", unbearable(SQL, touched(SQL), "asset")),
            _refuse("above zero", unbearable(SQL, touched(SQL), "liability")),
            "  INSERT INTO turns VALUES (NEW.seq, 1);",
        ),
    ),
}
