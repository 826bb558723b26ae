"""What differs between two dates or two readings of a contested fact, and which paragraph made it? Runs, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from decimal import Decimal

import polars as pl

from entrepot.report.format import from_micro, from_minor, percent, price
from entrepot.report.records import Run, Story
from entrepot.report.tables import Schema, chip_name, party_short, prices_summary, who_got_what

__all__ = [
    "Change",
    "Outline",
    "by_chip",
    "changes",
    "dates_compared",
    "outcome_words",
    "outline",
    "variants_compared",
]

_WORDS = {
    "no_licence_required": "no licence required",
    "licence_exception": "licence exception",
    "licence_required": "licence required",
    "prohibited": "prohibited",
    "unknown": "unknown",
    "own": "same party",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs from the run before: what, how, and the paragraph or the reason."""

    kind: str  # "permit", "offer", "placed", "served", "price" or "none"
    text: str
    citation: str
    reason: str


@dataclass(frozen=True, slots=True)
class Outline:
    """What one run comes down to.

    Attributes
    ----------
    devices_leased : in the fullest hours of each chip; ``devices_sold``
    devices, mean_price : by chip and kind, in words
    paid, welfare : in the run's currency
    price_per_mtok : payments less what bought devices are worth at the end, over the work served; ``None`` where nothing is
    served_share, unserved_share : of the work of all bids; ``None`` where nobody wants any
    permitted, refused : pairs of lot and bid, without those of one party with itself
    """

    devices_leased: int
    devices_sold: int
    devices: str
    paid: Decimal
    mean_price: str
    price_per_mtok: Decimal | None
    demand_mtok: float
    served_mtok: float
    served_share: float | None
    unserved_share: float | None
    welfare: Decimal
    gap: float
    permitted: int
    refused: int


def outcome_words(outcome: str) -> str:
    """Return an outcome as people say it."""
    return _WORDS.get(outcome, outcome.replace("_", " "))


def by_chip(run: Run) -> pl.DataFrame:
    """Return what changed hands by chip and kind.

    Returns
    -------
    chip, kind, devices (for a lease: in the fullest period), device_hours, paid, mean_price (per device-hour for a
    lease, per device for a sale), currency
    """
    currency = run.clearing.book.currency
    lots = run.clearing.book.lots.select("lot", "accelerator", "kind")
    peak = {
        (a, k): n
        for a, k, n in run.clearing.allocation.join(lots, on="lot")
        .group_by("accelerator", "kind", "period")
        .agg(pl.col("devices").sum())
        .group_by("accelerator", "kind")
        .agg(pl.col("devices").max())
        .iter_rows()
    }
    total = (
        run.clearing.trades.group_by("accelerator", "kind")
        .agg(pl.col("device_hours").sum(), pl.col("payment_minor").sum(), pl.col("devices_max").sum())
        .sort("accelerator", "kind")
    )
    rows = []
    for t in total.iter_rows(named=True):
        devices = t["devices_max"] if t["kind"] == "sale" else peak.get((t["accelerator"], t["kind"]), 0)
        over = t["devices_max"] if t["kind"] == "sale" else t["device_hours"]
        paid = from_minor(t["payment_minor"], run.clearing.book.minor_digits)
        mean = (paid / over).quantize(Decimal("0.000001")) if over else None
        rows.append(
            (chip_name(t["accelerator"]), t["kind"], devices, t["device_hours"], paid, mean, currency)
        )
    schema: Schema = {"chip": pl.String, "kind": pl.String, "devices": pl.Int64, "device_hours": pl.Int64,
              "paid": pl.Decimal(38, 2), "mean_price": pl.Decimal(38, 6), "currency": pl.String}  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def outline(run: Run) -> Outline:
    """Return the few figures that a run comes down to."""
    chips = by_chip(run)
    lease, sale = pl.col("kind") == "lease", pl.col("kind") == "sale"
    work = who_got_what(run)
    wanted, served = float(work["demand_mtok"].sum()), float(work["served_mtok"].sum())
    paid = sum(chips["paid"], Decimal(0))
    net = paid - sum(work["keeps_worth"], Decimal(0))
    of_others = run.permits.filter(pl.col("outcome") != "own")
    permitted = int(of_others["permitted"].sum())
    currency = run.clearing.book.currency
    return Outline(
        devices_leased=int(chips.filter(lease)["devices"].sum()),
        devices_sold=int(chips.filter(sale)["devices"].sum()),
        devices=", ".join(f"{c['devices']:,} {c['chip']} ({c['kind']})" for c in chips.iter_rows(named=True)),
        paid=paid,
        mean_price=", ".join(
            f"{c['chip']} {_spaced(price(c['mean_price'], currency))} per {_UNIT[c['kind']]}"
            for c in chips.iter_rows(named=True)
        ),
        price_per_mtok=(net / Decimal(repr(served))).quantize(Decimal("0.000001")) if served > 0 else None,
        demand_mtok=wanted,
        served_mtok=served,
        served_share=served / wanted if wanted > 0 else None,
        unserved_share=1.0 - served / wanted if wanted > 0 else None,
        welfare=from_micro(run.clearing.certificate.welfare_micro),
        gap=run.clearing.certificate.gap,
        permitted=permitted,
        refused=of_others.height - permitted,
    )


def dates_compared(story: Story) -> pl.DataFrame:
    """Return one row per date on which the same market was cleared, and what changed since the date before.

    Returns
    -------
    date, note, the fields of `Outline`, changed, currency
    """
    rows = []
    for i, run in enumerate(story.dates):
        date = run.scenario.as_of
        changed = _lines(changes(story.dates[i - 1], run)) if i else ""
        rows.append(
            (
                date,
                run.scenario.dates.get(date, ""),
                *astuple(outline(run)),
                changed,
                run.clearing.book.currency,
            )
        )
    return pl.DataFrame(rows, schema={"date": pl.Date, "note": pl.String, **_OUTLINE}, orient="row")


def variants_compared(story: Story) -> pl.DataFrame:
    """Return one row per reading of the contested facts, and what differs from the reading that is told.

    Returns
    -------
    variant, note, the fields of `Outline`, changed, currency
    """
    rows = []
    for run in story.variants:
        name = run.scenario.variant
        told = name == story.main.scenario.variant
        changed = "" if told else _lines(changes(story.main, run))
        note = "" if name is None else run.scenario.variants.get(name, "")
        rows.append((name or "as written", note, *astuple(outline(run)), changed, run.clearing.book.currency))
    return pl.DataFrame(rows, schema={"variant": pl.String, "note": pl.String, **_OUTLINE}, orient="row")


_UNIT = {"lease": "device-hour", "sale": "device"}
_OUTLINE: Schema = {
    "devices_leased": pl.Int64, "devices_sold": pl.Int64, "devices": pl.String, "paid": pl.Decimal(38, 2),
    "mean_price": pl.String, "price_per_mtok": pl.Decimal(38, 6), "demand_mtok": pl.Float64, "served_mtok": pl.Float64,
    "served_share": pl.Float64, "unserved_share": pl.Float64, "welfare": pl.Decimal(38, 6), "gap": pl.Float64,
    "permitted": pl.Int64, "refused": pl.Int64, "changed": pl.String, "currency": pl.String,
}  # fmt: skip


def changes(before: Run, after: Run) -> tuple[Change, ...]:
    """Return what differs in ``after``: permits by paragraph first, then offers, what changes hands, work served and prices."""
    found = [
        *_permits(before, after),
        *_offers(before, after),
        *_placed(before, after),
        *_served(before, after),
        *_prices(before, after),
    ]
    return tuple(found) or (Change("none", "nothing changes", "", ""),)


_ORDER = ("no longer permitted", "now permitted", "refused as before")


def _permits(before: Run, after: Run) -> list[Change]:
    joined = before.permits.join(after.permits, on=["lot", "bid"], suffix="_now").filter(
        (pl.col("outcome") != pl.col("outcome_now")) | (pl.col("permitted") != pl.col("permitted_now"))
    )
    grouped = (
        joined.group_by("permitted", "permitted_now", "outcome", "outcome_now", "citation_now", "reason_now")
        .agg(pl.len().alias("pairs"), pl.col("lot").unique().sort(), pl.col("bid").unique().sort())
        .sort("permitted_now", "pairs", "citation_now", "reason_now", descending=[False, True, False, False])
    )
    found = []
    for g in grouped.iter_rows(named=True):
        verb = {(True, False): "no longer permitted", (False, True): "now permitted"}.get(
            (g["permitted"], g["permitted_now"]), "refused as before"
        )
        pairs = f"{g['pairs']} {'pair' if g['pairs'] == 1 else 'pairs'} of lot and bid"
        text = f"{pairs} {verb}: {outcome_words(g['outcome_now'])} (was: {outcome_words(g['outcome'])})"
        lots = f"{'lot' if len(g['lot']) == 1 else 'lots'} {_some(g['lot'])}"
        found.append(
            (_ORDER.index(verb), Change("permit", f"{text}; {lots}", g["citation_now"], g["reason_now"]))
        )
    return [change for _, change in sorted(found, key=lambda pair: pair[0])]


def _offers(before: Run, after: Run) -> list[Change]:
    def offered(run: Run) -> dict[str, int]:
        top = run.capacity.max(axis=1, initial=0)
        return {lot: int(n) for lot, n in zip(run.clearing.book.lots["lot"], top, strict=True)}

    was, now = offered(before), offered(after)
    sellers = dict(after.clearing.book.lots.select("lot", "seller").iter_rows())
    sellers |= dict(before.clearing.book.lots.select("lot", "seller").iter_rows())
    return [
        Change(
            "offer",
            f"lot {lot} of {party_short(after, sellers[lot])} offers {now.get(lot, 0):,} devices (was: {was.get(lot, 0):,})",
            "",
            "",
        )
        for lot in sorted(was.keys() | now.keys())
        if was.get(lot, 0) != now.get(lot, 0)
    ]


def _placed(before: Run, after: Run) -> list[Change]:
    def devices(run: Run) -> dict[tuple[str, str], int]:
        return {(c["chip"], c["kind"]): c["devices"] for c in by_chip(run).iter_rows(named=True)}

    was, now = devices(before), devices(after)
    verb = {"lease": "leased at once", "sale": "sold"}
    return [
        Change(
            "placed", f"{_many(now.get(key, 0))} {key[0]} {verb[key[1]]} (was: {was.get(key, 0):,})", "", ""
        )
        for key in sorted(was.keys() | now.keys(), key=lambda k: -abs(was.get(k, 0) - now.get(k, 0)))
        if abs(was.get(key, 0) - now.get(key, 0)) > 0.005 * max(was.get(key, 0), now.get(key, 0))
    ]


def _served(before: Run, after: Run) -> list[Change]:
    def shares(run: Run) -> dict[str, tuple[str, float]]:
        table = who_got_what(run).filter(pl.col("served_share").is_not_null())
        buyer = {b.id: party_short(run, b.buyer) for b in run.scenario.bids}
        return {b: (buyer[b], s) for b, s in table.select("bid", "served_share").iter_rows()}

    was, now = shares(before), shares(after)
    return [
        Change(
            "served",
            f"bid {bid} of {now[bid][0]}: {percent(now[bid][1])} served (was: {percent(was[bid][1])})",
            "",
            "",
        )
        for bid in now
        if bid in was and abs(now[bid][1] - was[bid][1]) >= 0.0005
    ]


def _prices(before: Run, after: Run) -> list[Change]:
    def means(run: Run) -> dict[tuple[str, str, str], tuple[Decimal, str]]:
        table = prices_summary(run).filter(pl.col("mean").is_not_null())
        grouped: dict[tuple[str, str, str], list[tuple[Decimal, str]]] = {}
        for p in table.iter_rows(named=True):
            grouped.setdefault((p["chip"], p["site"], p["kind"]), []).append((p["mean"], p["unit"]))
        return {key: max(values) for key, values in grouped.items()}

    was, now = means(before), means(after)
    currency = after.clearing.book.currency
    found = []
    for key in now:
        old, new = was.get(key), now[key]
        if old is None or old[0] == 0 or abs(new[0] / old[0] - 1) < Decimal("0.005"):
            continue
        share = float(new[0] / old[0]) - 1.0
        chip, site, kind = key
        rise = f"{'+' if share > 0 else '−'}{percent(abs(share), places=0)}"
        text = f"{chip} at {site} ({kind}): mean {price(new[0], currency)} per {new[1]}, {rise}"
        found.append(Change("price", text, "", ""))
    return found


def _many(devices: int) -> str:
    return f"{devices:,}" if devices else "no"


def _some(names: Sequence[str], most: int = 4) -> str:
    head = ", ".join(names[:most])
    return head if len(names) <= most else f"{head} and {len(names) - most} more"


def _lines(found: Sequence[Change]) -> str:
    return "; ".join(f"{_spaced(c.text)} [{c.citation}]" if c.citation else _spaced(c.text) for c in found)


def _spaced(text: object) -> str:
    return str(text).replace("\u00a0", " ")
