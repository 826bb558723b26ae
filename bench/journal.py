"""A journal of millions of entries, to measure on: payments among a thousand parties, one each second.

The rows are those that posting would have written: every entry with its hash, every balance and every level. They are
written in bulk, with the guards off, because it is the reading that is measured here; `grown` holds itself to that by
posting its first entries and comparing the tables, and by an audit.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from entrepot.ledger import Entry, Ledger, Posting
from entrepot.ledger.records import canonical

__all__ = ["BEGIN", "PARTIES", "grown", "instant", "payment"]

PARTIES = 1000
BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
_MONEY = "CNY.fen"
_CASH = 10**12  # each party's to begin with
_CHUNK = 50_000
_STEP = 1_000_000
_SAME = 300  # entries that are posted as well, to compare


def instant(number: int) -> dt.datetime:
    """Return when entry ``number`` counts."""
    return BEGIN + dt.timedelta(seconds=number)


def payment(number: int) -> Entry:
    """Return entry ``number``: one party pays another."""
    payer, payee, fen = _who(number)
    return Entry(
        f"e{number:09}",
        instant(number),
        "payment",
        (Posting(f"p{payer:03}:cash", _MONEY, -fen), Posting(f"p{payee:03}:cash", _MONEY, fen)),
    )


def grown(path: Path, entries: int, say: Callable[[str], None] | None = None, steps: int = 10**9) -> float:
    """Make a ledger file of so many payments, if it is not there; return the seconds that it took.

    It grows in steps of a million entries; with ``steps``, only by so many, and the next call goes on.
    """
    if path.exists():
        return 0.0
    start = time.perf_counter()
    beside = path.with_name(f"{path.name}.new")
    if not beside.exists():
        _hold_to_posting(path.with_name("same.sqlite"), path.with_name("posted.sqlite"))
        _opened(beside)
    for _ in range(steps):
        if _written(beside, entries) == entries:
            beside.rename(path)
            break
        if say is not None:
            say(f"   … a million more of {entries:,} entries written")
    return time.perf_counter() - start


def _who(number: int) -> tuple[int, int, int]:
    payer = (number * 7919) % PARTIES
    return payer, (payer + 1 + (number * 104_729) % (PARTIES - 1)) % PARTIES, 1 + (number * 31) % 997


def _opened(path: Path) -> None:
    postings = tuple(
        posting
        for party in range(PARTIES)
        for posting in (
            Posting(f"p{party:03}:cash", _MONEY, _CASH),
            Posting(f"p{party:03}:opening", _MONEY, -_CASH),
        )
    )
    with Ledger.open(path) as books:
        books.post(Entry("opening", BEGIN, "opening", postings))


def _hold_to_posting(bulk: Path, posted: Path) -> None:
    for path in (bulk, posted):
        path.unlink(missing_ok=True)
        _opened(path)
    _written(bulk, _SAME)
    with Ledger.open(posted) as books:
        books.post_all(payment(number) for number in range(1, _SAME + 1))
    with Ledger.open(bulk) as books:
        audit = books.audit()
    if not audit.ok:
        raise SystemExit(f"the bulk journal does not hold: {audit}")
    with closing(sqlite3.connect(bulk)) as a, closing(sqlite3.connect(posted)) as b:
        for (table,) in a.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = [sorted(c.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for c in (a, b)]  # noqa: S608
            if rows[0] != rows[1]:
                raise SystemExit(f"the bulk journal is not what posting writes: {table}")


def _rows(first: int, last: int, previous: str, cash: list[int]) -> Iterator[tuple[object, ...]]:
    for number in range(first, last):
        payer, payee, fen = _who(number)
        at = instant(number).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        id_ = f"e{number:09}"
        text = (
            f'{{"at":"{at}","cause":"payment","id":"{id_}","postings":[["p{payer:03}:cash","{_MONEY}",{-fen},"",""],'
            f'["p{payee:03}:cash","{_MONEY}",{fen},"",""]],"reverses":null,"settles":"","unit_lots":[]}}'
        )
        if number % 10_007 == 1 and text != canonical(payment(number)):
            raise SystemExit("the bulk journal's text is not the canonical one")
        hash_ = hashlib.sha256((previous + text).encode()).hexdigest()
        cash[payer] -= fen
        cash[payee] += fen
        yield number + 1, id_, at, previous, hash_, payer, payee, fen, cash[payer], cash[payee]
        previous = hash_


def _written(path: Path, entries: int) -> int:
    """Write entries on, up to a million of them; return the number of the last."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-400000"):
            db.execute(f"PRAGMA {pragma}").fetchall()
        guards = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        db.execute("BEGIN")
        for name, _ in guards:
            db.execute(f"DROP TRIGGER {name}")
        seq, previous = db.execute("SELECT seq, hash FROM head").fetchone()
        had = "SELECT quantity FROM balances WHERE account LIKE 'p%:cash' ORDER BY account"
        cash = [quantity for (quantity,) in db.execute(had)]
        last: int = min(entries, seq - 1 + _STEP)  # the opening is the first of all
        for first in range(seq, last + 1, _CHUNK):
            rows = list(_rows(first, min(first + _CHUNK, last + 1), previous, cash))
            seq, previous = int(str(rows[-1][0])), str(rows[-1][4])
            db.executemany("INSERT INTO seals (seq, hash) VALUES (?, ?)", [(r[0], r[4]) for r in rows])
            db.executemany(
                "INSERT INTO entries (seq, id, at, cause, settles, previous) VALUES (?, ?, ?, 'payment', '', ?)",
                [(r[0], r[1], r[2], r[3]) for r in rows],
            )
            db.executemany(
                f"INSERT INTO postings (entry, line, account, commodity, quantity, unit_lot, slot) VALUES (?, ?, ?, '{_MONEY}', ?, '', '')",  # noqa: S608
                [
                    row
                    for r in rows
                    for row in ((r[0], 0, f"p{r[5]:03}:cash", -r[7]), (r[0], 1, f"p{r[6]:03}:cash", r[7]))  # type: ignore[operator]
                ],
            )
            db.executemany(
                f"INSERT INTO levels (account, commodity, unit_lot, at, quantity, change) VALUES (?, '{_MONEY}', '', ?, ?, ?)",  # noqa: S608
                sorted(
                    row
                    for r in rows
                    for row in (
                        (f"p{r[5]:03}:cash", r[2], r[8], -r[7]),  # type: ignore[operator]
                        (f"p{r[6]:03}:cash", r[2], r[9], r[7]),
                    )
                ),
            )
        db.executemany(
            "UPDATE balances SET quantity = ? WHERE account = ? AND commodity = ?",
            [(cash[party], f"p{party:03}:cash", _MONEY) for party in range(PARTIES)],
        )
        db.execute("UPDATE head SET seq = ?, hash = ?", (seq, previous))
        for _, sql in guards:
            db.execute(sql)
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode=WAL").fetchall()
    return last
