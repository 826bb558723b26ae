"""What is refused, and what a seal does? Conditions and statements in SQL, once for every database.

Both dialects read the same SQL, but for the few things that `Sql` names. Each refusal has a short name, and `MEANING`
says what it means to a person.

An account's balance is a function of time: ``levels`` (what was posted for good, a step function of instants) plus
``timeline`` (what slots add, a step function of days for each hour of the day). It may pass zero at no time, and
`unbearable` finds the times to look at: where a level begins (in each hour of the day that begins with it), and where a
slot begins or ends. Times before the entry's own are not looked at again, so a posting does not cost more in old books.
"""

# ruff: noqa: S608 - every part of these statements is written in this package; nothing comes from outside
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from entrepot.ledger.records import GENESIS
from entrepot.ledger.schema import FORMAT, MONEY, UNITS

__all__ = ["FIRST_ROWS", "JOURNAL", "MEANING", "Sql", "applied", "of_seal", "touched", "unbearable"]

MEANING: Mapping[str, str] = {
    "unbalanced": "what comes in must come from somewhere: some commodity of the entry does not sum to zero",
    "below zero": "more would leave an account than it holds",
    "above zero": "more would be paid than is owed, or given back than was lent",
    "unknown unit lot": "its units are of a lot that the ledger does not know, or of another accelerator than the lot",
    "unknown account": "it posts to an account that was not taken apart",
    "unknown slot": "it posts to a slot that was not taken apart",
    "units and money": "devices stand in accounts of devices, and money in accounts of money",
    "not the next": "it does not follow the last entry of the journal",
    "not open": "it writes to an entry that is not open",
    "reversal differs": "a reversal undoes exactly what it reverses; a reservation is not reversed but voided",
    "not reserved": "devices are reserved by an entry that says until when, and leave with the one that posts or voids it",
    "resolved differently": "what ends a reservation releases exactly what it reserved; once it has expired, it is voided",
    "serials": "each device that moves for good is named by its serial number, and leaves from where it is",
    "append-only": "the journal is append-only; correct it with a reversal",
    "derived": "balances follow from the journal and are never written by hand",
    "no postings": "an entry has at least two sides",
}

JOURNAL = (
    "accounts",
    "slots",
    "hours",
    "seals",
    "entries",
    "unit_lots",
    "postings",
    "serials",
    "posting_serials",
)
DERIVED = ("balances", "levels", "timeline", "places")

# The rows that are there from the start.
FIRST_ROWS = (
    f"INSERT INTO head VALUES (1, {FORMAT}, 0, '{GENESIS}', 0)",
    f"INSERT INTO hours VALUES {', '.join(f'({hour})' for hour in range(24))}",
    "INSERT INTO slots VALUES ('', NULL, NULL, NULL, NULL)",
)


@dataclass(frozen=True, slots=True)
class Sql:
    """Where two dialects differ."""

    next_day: Callable[[str], str]
    is_slot: str  # condition: NEW (of ``slots``) is named as its parts say
    seq: str = "NEW.seq"


_KEY = "account, commodity, unit_lot"
OPEN = "(SELECT seq + 1 FROM head)"


def _same(a: str, b: str) -> str:
    return f"{a}.account = {b}.account AND {a}.commodity = {b}.commodity AND {a}.unit_lot = {b}.unit_lot"


def of_seal(sql: Sql) -> list[tuple[str, str]]:
    """Return (refusal, condition) for an entry that is about to count, before anything is applied."""
    seq = sql.seq
    posted = f"postings p WHERE p.entry = {seq}"
    of_reversed = f"SELECT o.seq FROM entries o JOIN entries e ON e.reverses = o.id WHERE e.seq = {seq}"
    reservation = f"entries e JOIN entries o ON o.id = e.resolves WHERE e.seq = {seq}"
    of_reservation = f"SELECT o.seq FROM {reservation}"
    named = f"posting_serials n JOIN postings p ON p.entry = n.entry AND p.line = n.line JOIN accounts a ON a.account = p.account WHERE n.entry = {seq}"
    return [
        ("no postings", f"NOT EXISTS (SELECT 1 FROM {posted})"),
        (
            "unbalanced",
            f"EXISTS (SELECT 1 FROM {posted} GROUP BY commodity, unit_lot, slot HAVING sum(quantity) <> 0)",
        ),
        (
            "unknown account",
            f"EXISTS (SELECT 1 FROM {posted} AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.account = p.account))",
        ),
        (
            "unknown slot",
            f"EXISTS (SELECT 1 FROM {posted} AND NOT EXISTS (SELECT 1 FROM slots s WHERE s.slot = p.slot))",
        ),
        (
            "units and money",
            f"""EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account WHERE p.entry = {seq}
        AND ((p.unit_lot = '' AND a.state IN ({UNITS})) OR (p.unit_lot <> '' AND a.state IN ({MONEY}))))""",
        ),
        (
            "reversal differs",
            f"""EXISTS (SELECT 1 FROM entries e WHERE e.seq = {seq} AND e.reverses IS NOT NULL AND (
        NOT EXISTS (SELECT 1 FROM entries o WHERE o.id = e.reverses AND o.seq < e.seq
            AND o.expires IS NULL AND o.resolves IS NULL)
        OR EXISTS (SELECT 1 FROM postings p WHERE p.entry = {seq} OR p.entry IN ({of_reversed})
            GROUP BY {_KEY}, slot HAVING sum(quantity) <> 0)))""",
        ),
        (
            "not reserved",
            f"""EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account JOIN entries e ON e.seq = p.entry
        WHERE p.entry = {seq} AND a.state = 'reserved' AND e.expires IS NULL AND e.resolves IS NULL)""",
        ),
        (
            "resolved differently",
            f"""EXISTS (SELECT 1 FROM entries e WHERE e.seq = {seq} AND e.resolves IS NOT NULL AND (
        NOT EXISTS (SELECT 1 FROM entries o WHERE o.id = e.resolves AND o.seq < e.seq AND o.expires IS NOT NULL
            AND o.at <= e.at)
        OR EXISTS (SELECT 1 FROM postings p JOIN accounts a ON a.account = p.account
            WHERE (p.entry = {seq} OR p.entry IN ({of_reservation})) AND a.state = 'reserved'
            GROUP BY p.account, p.commodity, p.unit_lot, p.slot HAVING sum(p.quantity) <> 0)
        OR (EXISTS (SELECT 1 FROM {reservation} AND e.at >= o.expires) AND EXISTS (
            SELECT 1 FROM postings p WHERE p.entry = {seq} OR p.entry IN ({of_reservation})
            GROUP BY {_KEY}, slot HAVING sum(quantity) <> 0))))""",
        ),
        (
            "serials",
            f"""EXISTS (SELECT 1 FROM {posted} AND p.unit_lot <> '' AND EXISTS (SELECT 1 FROM serials s WHERE s.unit_lot = p.unit_lot)
            AND CASE WHEN p.slot = '' THEN abs(p.quantity) ELSE 0 END
                <> (SELECT count(*) FROM posting_serials n WHERE n.entry = p.entry AND n.line = p.line))
        OR EXISTS (SELECT 1 FROM {named} AND NOT EXISTS (
            SELECT 1 FROM serials s WHERE s.unit_lot = p.unit_lot AND s.serial = n.serial))
        OR EXISTS (SELECT 1 FROM {named} GROUP BY n.serial, p.unit_lot
            HAVING sum(CASE WHEN p.quantity > 0 THEN 1 ELSE -1 END) <> 0)
        OR EXISTS (SELECT 1 FROM {named} AND a.nature <> 'equity'
            GROUP BY n.serial, CASE WHEN p.quantity > 0 THEN 1 ELSE -1 END HAVING count(*) > 1)
        OR EXISTS (SELECT 1 FROM {named} AND a.nature <> 'equity' AND p.quantity < 0 AND NOT EXISTS (
            SELECT 1 FROM places w WHERE w.serial = n.serial AND w.account = p.account AND w.unit_lot = p.unit_lot))
        OR EXISTS (SELECT 1 FROM {named} AND a.nature <> 'equity' AND p.quantity > 0
            AND EXISTS (SELECT 1 FROM places w JOIN accounts b ON b.account = w.account
                WHERE w.serial = n.serial AND b.nature <> 'equity')
            AND NOT EXISTS (SELECT 1 FROM posting_serials m JOIN postings q ON q.entry = m.entry AND q.line = m.line
                JOIN accounts b ON b.account = q.account
                WHERE m.entry = n.entry AND m.serial = n.serial AND q.quantity < 0 AND b.nature <> 'equity'))
        OR EXISTS (SELECT 1 FROM {named} AND EXISTS (
            SELECT 1 FROM places w JOIN entries e ON e.seq = n.entry WHERE w.serial = n.serial AND w.at > e.at))""",
        ),
    ]


def applied(sql: Sql) -> list[str]:
    """Return what a seal does to the derived tables."""
    seq = sql.seq
    at = f"(SELECT e.at FROM entries e WHERE e.seq = {seq})"
    edge = "CASE d.hour WHEN 0 THEN s.first_day ELSE s.end_day END"
    net = f"SELECT {_KEY}, sum(quantity) AS quantity FROM postings WHERE entry = {seq} AND slot = '' GROUP BY {_KEY}"
    return [
        f"""INSERT INTO balances ({_KEY}, slot, quantity)
        SELECT {_KEY}, slot, sum(quantity) FROM postings WHERE entry = {seq} GROUP BY {_KEY}, slot
        ON CONFLICT ({_KEY}, slot) DO UPDATE SET quantity = balances.quantity + excluded.quantity""",
        f"""INSERT INTO levels ({_KEY}, at, quantity, change)
        SELECT d.account, d.commodity, d.unit_lot, {at}, coalesce((SELECT v.quantity FROM levels v
            WHERE {_same("v", "d")} AND v.at < {at} ORDER BY v.at DESC LIMIT 1), 0), 0
        FROM (SELECT DISTINCT {_KEY} FROM postings WHERE entry = {seq} AND slot = '') d WHERE 1 = 1
        ON CONFLICT ({_KEY}, at) DO NOTHING""",
        f"""UPDATE levels SET quantity = levels.quantity + d.quantity,
            change = levels.change + CASE WHEN levels.at = {at} THEN d.quantity ELSE 0 END FROM ({net}) d
        WHERE {_same("levels", "d")} AND levels.at >= {at}""",
        f"""INSERT INTO timeline ({_KEY}, hour, day, quantity, change)
        SELECT p.account, p.commodity, p.unit_lot, h.hour, {edge},
            coalesce((SELECT t.quantity FROM timeline t WHERE {_same("t", "p")} AND t.hour = h.hour
                AND t.day < {edge} ORDER BY t.day DESC LIMIT 1), 0), 0
        FROM postings p JOIN slots s ON s.slot = p.slot
            JOIN hours h ON h.hour >= s.hour_from AND h.hour < s.hour_to JOIN hours d ON d.hour < 2
        WHERE p.entry = {seq} AND p.slot <> ''
        ON CONFLICT ({_KEY}, hour, day) DO NOTHING""",
        f"""INSERT INTO timeline ({_KEY}, hour, day, quantity, change)
        SELECT p.account, p.commodity, p.unit_lot, h.hour, {edge}, 0, sum(CASE d.hour WHEN 0 THEN p.quantity ELSE -p.quantity END)
        FROM postings p JOIN slots s ON s.slot = p.slot
            JOIN hours h ON h.hour >= s.hour_from AND h.hour < s.hour_to JOIN hours d ON d.hour < 2
        WHERE p.entry = {seq} AND p.slot <> ''
        GROUP BY p.account, p.commodity, p.unit_lot, h.hour, {edge}
        ON CONFLICT ({_KEY}, hour, day) DO UPDATE SET change = timeline.change + excluded.change""",
        f"""INSERT INTO timeline ({_KEY}, hour, day, quantity, change)
        SELECT t.account, t.commodity, t.unit_lot, t.hour, t.day, sum(p.quantity), 0
        FROM postings p JOIN slots s ON s.slot = p.slot JOIN hours h ON h.hour >= s.hour_from AND h.hour < s.hour_to
            JOIN timeline t ON {_same("t", "p")} AND t.hour = h.hour AND t.day >= s.first_day AND t.day < s.end_day
        WHERE p.entry = {seq} AND p.slot <> ''
        GROUP BY t.account, t.commodity, t.unit_lot, t.hour, t.day
        ON CONFLICT ({_KEY}, hour, day) DO UPDATE SET quantity = timeline.quantity + excluded.quantity""",
        f"""INSERT INTO places (serial, unit_lot, account, at)
        SELECT n.serial, p.unit_lot, p.account, {at}
        FROM posting_serials n JOIN postings p ON p.entry = n.entry AND p.line = n.line
            JOIN accounts a ON a.account = p.account
        WHERE n.entry = {seq} AND p.quantity > 0 AND (a.nature <> 'equity' OR NOT EXISTS (
            SELECT 1 FROM posting_serials m JOIN postings q ON q.entry = m.entry AND q.line = m.line
                JOIN accounts b ON b.account = q.account
            WHERE m.entry = n.entry AND m.serial = n.serial AND q.quantity > 0 AND b.nature <> 'equity'))
        ON CONFLICT (serial) DO UPDATE SET unit_lot = excluded.unit_lot, account = excluded.account, at = excluded.at""",
    ]


def touched(sql: Sql) -> str:
    """Return a query for the accounts that a seal touches, and from when on."""
    return f"""SELECT p.account, p.commodity, p.unit_lot, a.nature,
            min(CASE p.slot WHEN '' THEN e.at ELSE s.first_day || 'T00:00:00.000000Z' END) AS since
        FROM postings p JOIN entries e ON e.seq = p.entry JOIN accounts a ON a.account = p.account
            JOIN slots s ON s.slot = p.slot
        WHERE p.entry = {sql.seq} AND a.nature <> 'equity' GROUP BY p.account, p.commodity, p.unit_lot, a.nature"""


def unbearable(sql: Sql, accounts: str, nature: str) -> str:
    """Return the condition that one of some accounts passes zero at some time from ``since`` on.

    Parameters
    ----------
    accounts : a query for account, commodity, unit_lot, nature, since
    nature : ``asset`` (below zero) or ``liability`` (above zero)
    """
    past = "< 0" if nature == "asset" else "> 0"
    day = f"""CASE WHEN h.hour >= CAST(substr(v.at, 12, 2) AS INTEGER) THEN substr(v.at, 1, 10)
            ELSE {sql.next_day("substr(v.at, 1, 10)")} END"""
    in_slots = f"EXISTS (SELECT 1 FROM timeline t WHERE {_same('t', 'k')})"
    of_nature = f"k.nature = '{nature}'"
    return f"""EXISTS (SELECT 1 FROM ({accounts}) k JOIN levels v ON {_same("v", "k")} AND v.at >= k.since
        WHERE {of_nature} AND v.quantity {past} AND NOT {in_slots})
    OR EXISTS (SELECT 1 FROM ({accounts}) k JOIN levels v ON {_same("v", "k")} AND v.at >= k.since
            JOIN hours h ON h.hour < 24
        WHERE {of_nature} AND {in_slots}
        AND {day} || 'T' || {_two("h.hour")} < coalesce(
            (SELECT min(n.at) FROM levels n WHERE {_same("n", "k")} AND n.at > v.at), 'never')
        AND v.quantity + coalesce((SELECT t.quantity FROM timeline t WHERE {_same("t", "k")} AND t.hour = h.hour
            AND t.day <= {day} ORDER BY t.day DESC LIMIT 1), 0) {past})
    OR EXISTS (SELECT 1 FROM ({accounts}) k JOIN hours h ON h.hour < 24
            JOIN timeline t ON {_same("t", "k")} AND t.hour = h.hour AND t.day >= substr(k.since, 1, 10)
        WHERE {of_nature} AND t.quantity + coalesce((SELECT v.quantity FROM levels v WHERE {_same("v", "k")}
            AND v.at <= t.day || 'T' || {_two("t.hour")} || ':00:00.000000Z' ORDER BY v.at DESC LIMIT 1), 0) {past})"""


def _two(hour: str) -> str:
    return f"substr(CAST(100 + {hour} AS TEXT), 2)"
