"""Small scenarios made in memory, and rates tables beside them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from entrepot.scenario.horizon import cut
from entrepot.scenario.records import Bid, Holding, Horizon, Lot, LotKind, Party, Policy, Scenario, Service

START, MIDDLE, END = dt.date(2025, 7, 1), dt.date(2025, 8, 1), dt.date(2025, 9, 1)
CHIPS = ("fast", "slow", "odd")
DAY = tuple(range(24))


def horizon() -> Horizon:
    """Return two months: 48 periods."""
    made = cut(START, END, "month")
    assert isinstance(made, Horizon)
    return made


def party(id_: str, *, reserve: float = 0.0, most: float = 1.0) -> Party:
    """Return a party of which nothing is known but its policy."""
    policy = Policy(reserve_share=reserve, sale_share_max=most)
    return Party(id_, id_, None, None, None, None, None, None, (), policy, "")


def holding(id_: str, quantity: int, *, owner: str = "alder", chip: str = "fast") -> Holding:
    """Return devices at one site."""
    return Holding(id_, owner, chip, "north", quantity, None, None, None, (), "")


def service(id_: str, requests_per_s: float, *, owner: str = "alder", **more: Any) -> Service:
    """Return a service of 1,000 output tokens a request: 1 request/s is 3.6 Mtok/h."""
    fields: dict[str, Any] = {
        "model": "m", "hourly": np.ones(24), "headroom": 1.0, "isl": np.array([500.0]), "osl": np.array([1000.0]),
        "share": np.array([1.0]), "mix": "inline", "prefix_hit_share": 0.0, "ttft_ms": None, "tpot_ms": None, "note": "",
    }  # fmt: skip
    return Service(id=id_, party=owner, requests_per_s=requests_per_s, **{**fields, **more})


def lot(id_: str, of: Holding | None, quantity: int | None, **more: Any) -> Lot:
    """Return a lease of single devices for the whole horizon, unless said otherwise."""
    fields: dict[str, Any] = {
        "seller": of.party if of else "vendor", "holding": of.id if of else None, "order": None if of else id_,
        "accelerator": of.accelerator if of else "fast", "site": "north", "kind": LotKind.LEASE, "block": 1,
        "ask": Decimal(1), "start": START, "end": END, "hours": DAY, "whole": False, "note": "",
    }  # fmt: skip
    return Lot(id=id_, quantity=quantity, **{**fields, **more})


def bid(id_: str, service_: str, share: float | None, **more: Any) -> Bid:
    """Return a bid for the whole horizon, unless said otherwise."""
    fields: dict[str, Any] = {"start": START, "end": END}
    return Bid(id_, "alder", service_, share, Decimal(1), "north", (), (), (), **{**fields, **more}, note="")


def scenario(
    parties: list[Party], holdings: list[Holding], services: list[Service], lots: list[Lot], bids: list[Bid] | None = None
) -> Scenario:  # fmt: skip
    """Return a scenario of these."""
    return Scenario(
        name="s", title="", story="", path=None, as_of=START, dates={}, variant=None, variants={}, currency="USD",
        horizon=horizon(), rate_basis="central", seed="s", residual={}, parties={p.id: p for p in parties}, sites={},
        holdings=tuple(holdings), services={s.id: s for s in services}, lots=tuple(lots), bids=tuple(bids or ()),
        orders=(), assumptions=(), claims=(),
    )  # fmt: skip


def rates(rows: list[tuple[str, str, float | None, int | None]]) -> pl.DataFrame:
    """Return a rates table."""
    schema = {
        "service": pl.String, "accelerator": pl.String, "mtok_per_device_hour": pl.Float64, "devices_per_replica": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Scenario, pl.DataFrame]:
    """Return holders with services, policies, and lots for surplus; and rates, some of them unknown."""
    owners = [
        party(name, reserve=draw(st.sampled_from([0.0, 0.1, 0.33, 1.0])), most=draw(st.sampled_from([0.0, 0.1, 0.5, 1.0])))
        for name in ("alder", "birch")
    ]  # fmt: skip
    holdings = [
        holding(
            f"h-{i}", draw(st.integers(1, 120)), owner=draw(st.sampled_from(["alder", "birch"])), chip=chip
        )
        for i, chip in enumerate(draw(st.lists(st.sampled_from(CHIPS), min_size=1, max_size=5)))
    ]
    services = [
        service(
            f"s-{i}", draw(st.floats(0.01, 300)), owner=draw(st.sampled_from(["alder", "birch"])),
            hourly=np.roll(np.linspace(0.4, 1.6, 24), draw(st.integers(0, 23))), headroom=draw(st.sampled_from([1.0, 1.5])),
        )
        for i in range(draw(st.integers(0, 4)))
    ]  # fmt: skip
    table = rates(
        [
            (s.id, chip, draw(st.sampled_from([None, 0.0, 0.7, 3.1, 12.0])), draw(st.sampled_from([1, 2, 8])))
            for s in services
            for chip in CHIPS
        ]
    )
    lots = [
        lot(
            f"l-{i}", of, None, block=draw(st.sampled_from([1, 2, 8])), whole=draw(st.booleans()),
            kind=draw(st.sampled_from(list(LotKind))), start=draw(st.sampled_from([START, MIDDLE])),
            hours=draw(st.sampled_from([DAY, (0, 1, 22, 23)])),
        )
        for i, of in enumerate(draw(st.lists(st.sampled_from(holdings), max_size=6)))
    ]  # fmt: skip
    bids = [bid(f"b-{s.id}", s.id, draw(st.sampled_from([None, 0.25, 1.0]))) for s in services]
    return scenario(owners, holdings, services, lots, bids), table
