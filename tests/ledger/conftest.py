"""A small market, its clearing by hand, and entries to post."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
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


@pytest.fixture
def write() -> Write:
    """Entries in one line each."""
    return Write()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger file goes."""
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def books(path: Path, write: Write) -> Iterator[Ledger]:
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
