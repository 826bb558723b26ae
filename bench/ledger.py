"""What does a posting cost? The ledger beside the bare inserts of the same SQLite, in the same run, as ratios.

The bare side writes the same rows of postings and nothing else: no balance, no hash, no guard. Singles commit each time
with ``synchronous=FULL``, so both are bound by the disk; batches commit once.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from entrepot.ledger import Entry, Ledger, Posting, UnitLot

__all__ = ["run"]

_AT = dt.datetime(2025, 5, 15, tzinfo=dt.UTC)
_CHIP = "nvidia-h20-sxm-96gb"
_SINGLES, _BATCH, _LEASES = 300, 3000, 300


def run(console_print: Callable[[str], None]) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        bare_single, bare_batch = _bare(Path(folder) / "bare.sqlite")
        with Ledger.open(Path(folder) / "ledger.sqlite") as ledger:
            ledger.post(_opening())
            single = _rate([_sale(i) for i in range(_SINGLES)], lambda es: [ledger.post(e) for e in es])
            batch = _rate([_sale(i) for i in range(_SINGLES, _SINGLES + _BATCH)], ledger.post_all)
            leases = _rate([_lease(i) for i in range(_LEASES)], ledger.post_all)
            start = time.perf_counter()
            audit = ledger.audit()
            audited = audit.postings / (time.perf_counter() - start)
            start = time.perf_counter()
            rows = ledger.balances().height
            balances_ms = 1e3 * (time.perf_counter() - start)
    console_print(
        f"   one entry a commit   {single:9,.0f} postings/s   bare {bare_single:9,.0f}   1 : {bare_single / single:.1f}"
    )
    console_print(
        f"   one commit for all   {batch:9,.0f} postings/s   bare {bare_batch:9,.0f}   1 : {bare_batch / batch:.1f}"
    )
    console_print(
        f"   leases by the hour   {leases:9,.0f} postings/s   bare {bare_batch:9,.0f}   1 : {bare_batch / leases:.1f}"
    )
    console_print(f"   audit                {audited:9,.0f} postings/s   {audit}")
    console_print(
        f"   balances             {balances_ms:9.1f} ms for {rows} rows, checked against {audit.postings} postings"
    )
    if not audit.ok:
        raise SystemExit("the benchmark's own ledger does not hold")


def _rate(entries: list[Entry], post: Callable[[list[Entry]], object]) -> float:
    start = time.perf_counter()
    post(entries)
    return sum(len(entry.postings) for entry in entries) / (time.perf_counter() - start)


def _bare(path: Path) -> tuple[float, float]:
    def rows(entry: Entry) -> list[tuple[object, ...]]:
        return [
            (entry.id, i, p.account, p.commodity, p.quantity, p.unit_lot, p.slot)
            for i, p in enumerate(entry.postings)
        ]

    insert = "INSERT INTO postings VALUES (?, ?, ?, ?, ?, ?, ?)"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE postings (entry TEXT, line INTEGER, account TEXT, commodity TEXT, quantity INTEGER, unit_lot TEXT,"
            " slot TEXT, PRIMARY KEY (entry, line)) STRICT, WITHOUT ROWID"
        )

        def singly(entries: list[Entry]) -> None:
            for entry in entries:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(insert, rows(entry))
                connection.execute("COMMIT")

        def together(entries: list[Entry]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, [row for entry in entries for row in rows(entry)])
            connection.execute("COMMIT")

        single = _rate([_sale(i) for i in range(_SINGLES)], singly)
        return single, _rate([_sale(i) for i in range(_SINGLES, _SINGLES + _BATCH)], together)


def _opening() -> Entry:
    lot = UnitLot("alder-h20", _CHIP, dt.date(2024, 9, 1), "US", "no licence required")
    units = 10**9
    return Entry(
        "opening",
        _AT,
        "opening",
        (
            Posting("alder:lf-1:available", _CHIP, units, lot.id),
            Posting("alder:opening", _CHIP, -units, lot.id),
        ),
        unit_lots=(lot,),
    )


def _sale(number: int) -> Entry:
    buyer = f"buyer-{number % 50}"
    return Entry(
        f"sale-{number}",
        _AT,
        "sale of 8 devices",
        (
            Posting("alder:lf-1:available", _CHIP, -8, "alder-h20"),
            Posting(f"{buyer}:ulq-1:available", _CHIP, 8, "alder-h20"),
            Posting(f"{buyer}:payable:alder", "CNY.fen", -800_000_000),
            Posting(f"alder:receivable:{buyer}", "CNY.fen", 800_000_000),
        ),
    )


def _lease(number: int) -> Entry:
    buyer = f"buyer-{number % 50}"
    first = dt.date(2025, 6, 1) + dt.timedelta(days=number % 90)
    slot = f"{first}..{first + dt.timedelta(days=30)}/h{number % 12:02}-{number % 12 + 8:02}"
    return Entry(
        f"lease-{number}",
        _AT,
        "lease of 8 devices",
        (
            Posting("alder:lf-1:available", _CHIP, -8, "alder-h20", slot),
            Posting(f"alder:lf-1:leased:{buyer}", _CHIP, 8, "alder-h20", slot),
            Posting(f"{buyer}:payable:alder", "CNY.fen", -86_400_000),
            Posting(f"alder:receivable:{buyer}", "CNY.fen", 86_400_000),
        ),
    )
