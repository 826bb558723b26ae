"""A market of realistic size that was not cleared by anybody: ten lots, six bids, four quarters of 24 hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import polars as pl
import pytest

from entrepot.controls.records import (
    Decision,
    Outcome,
    PartyFacts,
    Provenance,
    Reason,
    ReviewPolicy,
    Transfer,
    TransferKind,
)
from entrepot.market.records import MICRO, Book, Certificate, Clearing
from entrepot.planning.records import Surplus
from entrepot.report.records import Run, Story
from entrepot.scenario.records import (
    Assumption,
    Bid,
    Holding,
    Horizon,
    Lot,
    LotKind,
    Party,
    Policy,
    Scenario,
    Service,
    Site,
)

H20, H800, ASCEND = "nvidia-h20-sxm-96gb", "nvidia-h800-sxm5-80gb", "huawei-ascend-910b2"
BEFORE, AFTER, LATE = dt.date(2025, 4, 1), dt.date(2025, 4, 16), dt.date(2026, 2, 1)
PARTIES = {
    "alder": "Alder Group", "birch": "Birch Social", "cedar": "Cedar Cloud", "dogwood": "Dogwood Labs",
    "elm": "Elm Search", "fir": "Fir Vendor",
}  # fmt: skip
STEPS = (
    dt.date(2025, 5, 1),
    dt.date(2025, 8, 1),
    dt.date(2025, 11, 1),
    dt.date(2026, 2, 1),
    dt.date(2026, 5, 1),
)
# lot, seller, accelerator, site, kind, devices, ask, residual
LOTS = (
    ("lf-night", "alder", H20, "langfang", "lease", 12_288, "5.10", None),
    ("lf-day", "alder", H20, "langfang", "lease", 4_096, "6.40", None),
    ("zj-day", "alder", H20, "zhangjiakou", "lease", 8_192, "6.00", None),
    ("zj-sale", "alder", H20, "zhangjiakou", "sale", 16_384, "92000", "38000"),
    ("sg-lease", "cedar", H20, "johor", "lease", 2_048, "7.80", None),
    ("hohhot-800", "cedar", H800, "hohhot", "lease", 3_072, "11.00", None),
    ("hohhot-sale", "cedar", H800, "hohhot", "sale", 1_024, "205000", "90000"),
    ("asc-1", "dogwood", ASCEND, "guiyang", "lease", 6_144, "4.40", None),
    ("asc-2", "dogwood", ASCEND, "guiyang", "sale", 2_048, "70000", "15000"),
    ("vendor-h20", "fir", H20, "us-port", "sale", 20_480, "84000", "38000"),
)
# bid, buyer, service, Mtok per hour at the mean, limit per Mtok
BIDS = (
    ("birch-chat", "birch", "yuanda-chat", 60_000.0, "9.50"),
    ("birch-search", "birch", "deep-search", 14_000.0, "14.00"),
    ("elm-answers", "elm", "answers", 22_000.0, "7.20"),
    ("dogwood-code", "dogwood", "code", 9_000.0, "11.00"),
    ("cedar-resale", "cedar", "api", 18_000.0, "5.10"),
    ("elm-batch", "elm", "batch", 30_000.0, "2.10"),
)
RATE = {H20: 2.9, H800: 3.6, ASCEND: 1.5}


@pytest.fixture(scope="session")
def build() -> Callable[..., Run]:
    """Return the builder of one synthetic run."""
    return synthetic_run


@pytest.fixture(scope="session")
def story() -> Story:
    """Return three dates and two readings of the same market."""
    return synthetic_story()


def synthetic_story() -> Story:
    """Three dates, the middle one told, and two variants."""
    before, main, late = (synthetic_run(day) for day in (BEFORE, AFTER, LATE))
    denied = synthetic_run(AFTER, variant="denied", scale=0.4)
    return Story(main, (before, main, late), (main, denied))


def synthetic_run(
    as_of: dt.date = AFTER, *, variant: str = "reported", scale: float = 1.0, title: str | None = None,
    rename: Callable[[str], str] = str,
) -> Run:  # fmt: skip
    """Serve the dearest bids from the cheapest lots, period by period, and price each pool at its dearest user."""
    scenario = _scenario(as_of, variant, title, rename)
    horizon = scenario.horizon
    periods = horizon.periods
    lots, bids = scenario.lots, scenario.bids
    capacity = np.zeros((len(lots), periods), dtype=np.int64)
    for i, (lot, *_, devices, _ask, _res) in enumerate(LOTS):
        hours = tuple(range(15, 24)) if lot == "lf-night" else tuple(range(24))
        capacity[i, horizon.mask(horizon.start, horizon.end, hours)] = int(devices * scale) // 8 * 8
    demand = np.array(
        [
            level * np.tile(scenario.services[b.service].hourly, len(STEPS) - 1)
            for b, (*_, level, _) in zip(bids, BIDS, strict=True)
        ]
    )
    decisions = {(x.id, b.id): _decide(scenario, x, b) for x in lots for b in bids if x.seller != b.buyer}
    permits = pl.DataFrame(
        [
            (x.id, b.id, d.allowed, d.outcome.value, "; ".join(d.citations), "; ".join(r.text for r in d.reasons if r.outcome is d.outcome))
            if (d := decisions.get((x.id, b.id))) is not None
            else (x.id, b.id, False, "own", "", "the seller and the buyer are the same party")
            for x in lots for b in bids
        ],
        schema=["lot", "bid", "permitted", "outcome", "citation", "reason"], orient="row",
    )  # fmt: skip
    book = _book(scenario, capacity, demand, permits)
    return Run(
        scenario=scenario,
        rates=_rates(scenario),
        permits=permits,
        decisions=decisions,
        surplus=Surplus(_by_period(scenario, periods), pl.DataFrame(), _left(scenario, demand)),
        capacity=capacity,
        demand=demand,
        clearing=_clear(book),
        verification=cast("Any", SimpleNamespace(ok=True, checks=pl.DataFrame(
            {"check": ["allocation within capacity", "no pair without a permit", "bound recomputed"],
             "ok": [True, True, True], "detail": ["0 of 960 rows over", "0 pairs", "gap 0.00021 %"]}))),
        balances=pl.DataFrame({"account": ["alder:cash", "birch:cash"], "commodity": ["CNY.fen"] * 2, "quantity": [42_854_400, -42_854_400]}),
        audit="214 entries, 884 postings, hash chain whole, every commodity sums to zero",
    )  # fmt: skip


def _scenario(as_of: dt.date, variant: str, title: str | None, rename: Callable[[str], str]) -> Scenario:
    hour = np.arange(24)
    day = 1.0 + 0.55 * np.sin((hour - 1) / 24 * 2 * np.pi)
    parties = {
        p: Party(p, rename(name), "CN", "CN", (), False, False, False, (), Policy(0.1, 0.1), "")
        for p, name in PARTIES.items()
    }
    sites = {
        s: Site(s, rename(s.title()), "CN", "alder") for s in ("langfang", "zhangjiakou", "hohhot", "guiyang")
    }
    sites |= {
        "johor": Site("johor", "Johor", "MY", "cedar"),
        "us-port": Site("us-port", "US port", "US", "fir"),
    }
    services = {
        service: Service(service, buyer, "deepseek-v3", 900.0, day / day.mean(), 1.3, np.array([1200.0]), np.array([450.0]),
                         np.array([1.0]), "one bucket", 0.3, 2000.0, 60.0, "")
        for _, buyer, service, _, _ in BIDS
    }  # fmt: skip
    lots = tuple(
        Lot(lot, seller, None if seller == "fir" else f"{seller}-{site}-{chip.split('-')[1]}", "fir-order" if seller == "fir" else None,
            chip, site, LotKind(kind), devices, 8, Decimal(ask), STEPS[0], STEPS[-1], tuple(range(24)), kind == "sale", "")
        for lot, seller, chip, site, kind, devices, ask, _ in LOTS
    )  # fmt: skip
    held: dict[tuple[str, str, str], int] = {}
    for _, seller, chip, site, _, devices, _, _ in LOTS:
        if seller != "fir":
            held[seller, site, chip] = held.get((seller, site, chip), 0) + devices * 6
    holdings = tuple(
        Holding(
            f"{seller}-{site}-{chip.split('-')[1]}",
            seller,
            chip,
            site,
            n,
            dt.date(2024, 9, 1),
            "SG",
            None,
            (),
            "",
        )
        for (seller, site, chip), n in held.items()
    )
    bids = tuple(
        Bid(bid, buyer, service, None, Decimal(limit), "langfang", (), (), (), STEPS[0], STEPS[-1], "")
        for bid, buyer, service, _, limit in BIDS
    )
    return Scenario(
        name="spring-2025",
        title=title or "Spring 2025: a hoard, a chat app and a licence",
        story="A holder has stockpiled H20 accelerators and offers a tenth outside. A chat app grows twentyfold in a month. "
        "The vendor has just been told that new exports need a licence.",
        path=None,
        as_of=as_of,
        dates={BEFORE: "No licence is needed for an H20.", AFTER: "The vendor has its letter.", LATE: "Case by case."},
        variant=variant,
        variants={"reported": "The holder has what is reported.", "denied": "The holder has two fifths of it."},
        currency="CNY",
        horizon=Horizon(STEPS[0], STEPS[-1], "quarter", STEPS),
        rate_basis="central",
        seed="aa" * 16,
        residual={chip: Decimal(20_000) for chip in RATE},
        parties=parties,
        sites=sites,
        holdings=holdings,
        services=services,
        lots=lots,
        bids=bids,
        orders=(),
        assumptions=(Assumption("lots.ask", "Anchored on two advertised rents; nobody states the holder's own ask."),
                     Assumption("policy.reserve_share", "One device in ten; the story says under a tenth is offered.")),
        claims=(("ByteDance", "holds_value"),),
    )  # fmt: skip


def _decide(scenario: Scenario, lot: Lot, bid: Bid) -> Decision:
    def facts(party: str) -> PartyFacts:
        return PartyFacts(party, "CN", "CN", (), False, False)

    if lot.seller == "fir" and scenario.as_of >= AFTER:
        outcome, policy = (
            Outcome.LICENCE_REQUIRED,
            ReviewPolicy.DENIAL if scenario.as_of < LATE else ReviewPolicy.CASE_BY_CASE,
        )
        reasons = (
            Reason(
                "us.letter",
                "15 CFR 744.23(b)",
                outcome,
                "the vendor was told that this chip needs a licence to CN",
                "https://www.example.org/8-K",
                "letter",
            ),
        )
        missing, change = (), ("a licence for this shipment",)
    elif lot.accelerator == H800 and lot.kind is LotKind.SALE:
        outcome, policy = Outcome.UNKNOWN, None
        reasons = (
            Reason(
                "us.gp10",
                "15 CFR 736.2(b)(10)",
                outcome,
                "whether the units came with a licence is not known",
                "88 FR 73458",
            ),
        )
        missing, change = ("how the units were imported",), ("proof of the import licence",)
    else:
        outcome, policy = Outcome.NO_LICENCE, None
        reasons = (
            Reason(
                "us.none",
                "15 CFR 736.2(b)(1)",
                outcome,
                "the chip is below 3A090 and the parties are screened",
                "88 FR 73458",
            ),
        )
        missing, change = (), ()
    kind = TransferKind.COMPUTE_LEASE if lot.kind is LotKind.LEASE else TransferKind.IN_COUNTRY
    transfer = Transfer(
        lot.accelerator, kind, "CN", "CN", facts(lot.seller), facts(bid.buyer), scenario.as_of, Provenance()
    )
    return Decision(transfer, outcome, policy, "below 3A090", reasons, missing, change, (), {"tpp": "2368"}, dt.date(2026, 9, 24))  # fmt: skip


def _book(
    scenario: Scenario, capacity: np.ndarray[Any, Any], demand: np.ndarray[Any, Any], permits: pl.DataFrame
) -> Book:
    steps = [f"{a:%b %Y}" for a in STEPS[:-1]]
    hours = scenario.horizon.weight_hours
    allowed = {(x, b): p for x, b, p in permits.select("lot", "bid", "permitted").iter_rows()}
    lots, bids = scenario.lots, scenario.bids
    return Book(
        currency="CNY",
        seed=scenario.seed,
        periods=pl.DataFrame({"period": range(len(hours)), "label": [f"{s} {h:02d}:00" for s in steps for h in range(24)],
                              "step": [s for s in steps for _ in range(24)], "hour": list(range(24)) * len(steps), "hours": hours}),
        lots=pl.DataFrame({"lot": [x.id for x in lots], "seller": [x.seller for x in lots], "accelerator": [x.accelerator for x in lots],
                           "site": [x.site for x in lots], "kind": [x.kind.value for x in lots], "provenance": ["SG 2024"] * len(lots),
                           "block": [8] * len(lots), "ask_micro": [int(x.ask * MICRO) for x in lots],
                           "residual_micro": [int(Decimal(r or 0) * MICRO) for *_, r in LOTS], "whole": [x.whole for x in lots]}),
        capacity=capacity,
        bids=pl.DataFrame({"bid": [b.id for b in bids], "buyer": [b.buyer for b in bids], "service": [b.service for b in bids],
                           "limit_micro": [int(b.limit_per_mtok * MICRO) for b in bids]}),
        demand=demand,
        lot_class=np.arange(len(lots)),
        bid_class=np.arange(len(bids)),
        rate=np.array([[RATE[x.accelerator] if allowed[x.id, b.id] else 0.0 for x in lots] for b in bids]),
        permits=permits,
    )  # fmt: skip


def _clear(book: Book) -> Clearing:
    lots, bids = book.lots.to_dicts(), book.bids.to_dicts()
    hours = book.hours
    left = book.capacity.copy()
    open_work = book.demand.copy()
    allocation: list[tuple[str, str, int | None, int]] = []
    top = np.zeros(book.capacity.shape, dtype=np.int64)
    by_limit = sorted(range(len(bids)), key=lambda b: -bids[b]["limit_micro"])
    for i, x in enumerate(lots):
        if x["kind"] == "sale":
            b = by_limit[i % 2]
            n = int(left[i].max()) // 2 // 8 * 8
            if book.rate[b, i] > 0 and n:
                allocation.append((x["lot"], bids[b]["bid"], None, n))
                left[i] -= n
                open_work[b] = np.maximum(0.0, open_work[b] - n * book.rate[b, i])
                top[i, :] = round(x["ask_micro"] * 1.04)
    for i, x in sorted(enumerate(lots), key=lambda pair: pair[1]["ask_micro"]):
        for b in by_limit:
            if (
                x["kind"] == "sale"
                or book.rate[b, i] <= 0
                or bids[b]["limit_micro"] * book.rate[b, i] < x["ask_micro"]
            ):
                continue
            wanted = np.ceil(open_work[b] / book.rate[b, i] / 8) * 8
            n = np.minimum(left[i], wanted.astype(np.int64))
            for t in np.flatnonzero(n):
                allocation.append((x["lot"], bids[b]["bid"], int(t), int(n[t])))
                full = left[i, t] == n[t]
                top[i, t] = round(
                    max(x["ask_micro"], (0.5 * bids[b]["limit_micro"] * book.rate[b, i]) if full else 0)
                )
            left[i] -= n
            open_work[b] = np.maximum(0.0, open_work[b] - n * book.rate[b, i])
    top = np.maximum(top, np.array([[x["ask_micro"]] for x in lots]))
    prices, trades = [], []
    for i, x in enumerate(lots):
        times = [None] if x["kind"] == "sale" else [int(t) for t in np.flatnonzero(book.capacity[i])]
        for t in times:
            at = t or 0
            prices.append((i, x["lot"], x["accelerator"], x["site"], x["kind"], t, book.periods["step"][at], book.periods["hour"][at],
                           int(top[i, at]), int(book.capacity[i, at] - left[i, at]), int(book.capacity[i, at])))  # fmt: skip
    for (lot, bid), part in pl.DataFrame(
        allocation, schema=["lot", "bid", "period", "devices"], orient="row"
    ).group_by("lot", "bid", maintain_order=True):
        i = next(i for i, x in enumerate(lots) if x["lot"] == lot)
        x, b = lots[i], next(b for b in bids if b["bid"] == bid)
        paid, device_hours = 0, 0
        for t, n in part.select("period", "devices").iter_rows():
            weight = float(hours.sum()) if t is None else float(hours[t])
            device_hours += round(n * weight)
            paid += int(top[i, t or 0]) * n if t is None else round(int(top[i, t]) * n * weight)
        count = int(part["devices"].max()) if x["kind"] == "sale" else device_hours  # type: ignore[arg-type]
        trades.append((f"trade-{len(trades) + 1}", lot, x["seller"], bid, b["buyer"], x["accelerator"], x["site"], x["kind"], x["provenance"],
                       part["devices"].max(), device_hours, paid // 10_000, paid // count))  # fmt: skip
    served = book.demand - open_work
    welfare = 4_812_334_000 * MICRO
    return Clearing(
        book=book,
        pools=pl.DataFrame({"pool": range(len(lots)), "label": [f"{x['accelerator']} @ {x['site']} {x['kind']}" for x in lots],
                            **{k: [x[k] for x in lots] for k in ("accelerator", "site", "kind", "provenance")}, "lots": [1] * len(lots)}),
        lot_pool=pl.DataFrame({"lot": [x["lot"] for x in lots], "pool": range(len(lots))}),
        prices=pl.DataFrame(prices, schema=["pool", "label", "accelerator", "site", "kind", "period", "step", "hour", "price_micro", "supplied", "offered"], orient="row"),
        allocation=pl.DataFrame(allocation, schema={"lot": pl.String, "bid": pl.String, "period": pl.Int64, "devices": pl.Int64}, orient="row"),
        work=pl.DataFrame([(b["bid"], t, float(book.demand[i, t]), float(served[i, t])) for i, b in enumerate(bids) for t in range(len(hours))],
                          schema=["bid", "period", "demand_mtok_per_h", "served_mtok_per_h"], orient="row"),
        trades=pl.DataFrame(trades, schema=["trade", "lot", "seller", "bid", "buyer", "accelerator", "site", "kind", "provenance",
                                            "devices_max", "device_hours", "payment_minor", "unit_price_micro"], orient="row"),
        rejected=pl.DataFrame([("elm-batch", "bid", "its limit is below every lawful price", False, 1_000.0),
                               ("asc-2", "lot", "no bid reaches its ask", False, 2_048.0)],
                              schema=["order", "side", "reason", "in_the_money", "quantity"], orient="row"),
        certificate=Certificate(pl.DataFrame(), pl.DataFrame(), pl.DataFrame(), welfare, welfare + 10_106_000 * MICRO, 0.0021, "9f" * 32),
        solve_seconds=0.41,
    )  # fmt: skip


def _rates(scenario: Scenario) -> pl.DataFrame:
    rows = []
    for service in scenario.services:
        for chip, rate in RATE.items():
            lack = chip == ASCEND and service == "code"
            value = None if lack else rate
            rows.append({
                "service": service, "accelerator": chip, "model": "deepseek-v3",
                "mtok_per_device_hour_low": value and value * 0.8, "mtok_per_device_hour_central": value,
                "mtok_per_device_hour_high": value and value * 1.25, "mtok_per_device_hour": value,
                "layout": None if lack else "FP8 TP8 EP8 batch 256", "devices_per_replica": None if lack else 8,
                "batch": None if lack else 256, "ttft_ms": None if lack else 812.4, "tpot_ms": None if lack else 41.7,
                "binds": None if lack else "memory bandwidth", "physical_limit_mtok_per_device_hour": None if lack else rate * 2.6,
                "basis": "measured", "reason": "no layout holds 60 ms per token" if lack else "",
            })  # fmt: skip
    return pl.DataFrame(rows, infer_schema_length=None)


def _by_period(scenario: Scenario, periods: int) -> pl.DataFrame:
    rows = []
    for h in scenario.holdings:
        for t in range(periods):
            own = int(h.quantity * (0.42 + 0.2 * np.sin((t % 24 - 1) / 24 * 2 * np.pi)))
            reserve = h.quantity // 10
            rows.append((h.id, t, h.quantity, own, reserve, h.quantity - own - reserve))
    return pl.DataFrame(
        rows, schema=["holding", "period", "held", "own_need", "reserve", "surplus"], orient="row"
    )


def _left(scenario: Scenario, demand: np.ndarray[Any, Any]) -> pl.DataFrame:
    return pl.DataFrame(
        [(b.service, b.buyer, t, float(1.5 * demand[i, t]), float(demand[i, t])) for i, b in enumerate(scenario.bids) for t in range(demand.shape[1])],
        schema=["service", "party", "period", "demand_mtok_per_h", "mtok_per_h"], orient="row",
    )  # fmt: skip


def renamed(story: Story, **changes: str) -> Story:
    """Return the story with other words in its scenario."""
    main = replace(story.main, scenario=replace(story.main.scenario, **cast("Any", changes)))
    return replace(story, main=main, dates=(main,), variants=(main,))
