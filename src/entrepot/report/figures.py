"""What does each chart show? Plain numbers and words, which the page's script draws and the tables beside it repeat."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from entrepot.market import supply_demand
from entrepot.report.format import from_micro, percent
from entrepot.report.records import Run
from entrepot.report.tables import chip_name, party_short, site_name, utilisation

__all__ = ["Chart", "Column", "curve_charts", "pool_lots", "price_charts", "utilisation_charts"]

_USES = ("own_use", "reserve", "sold", "leased", "idle")
_USE_WORDS = {
    "own_use": "own use",
    "reserve": "reserve",
    "sold": "sold",
    "leased": "leased out",
    "idle": "offered or free, idle",
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table beside a chart: numbers are set right-aligned."""

    name: str
    numeric: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart: ``spec`` is what the script draws, the table says the same without a script.

    Attributes
    ----------
    id : of the element, unique in the page
    title, summary : heading, and what the chart shows in a sentence, for whoever cannot see it
    spec : JSON-ready; ``kind`` is ``"hours"`` (series over the periods) or ``"curve"`` (supply and demand)
    columns, rows : the table
    """

    id: str
    title: str
    summary: str
    spec: Mapping[str, object]
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def _axis(run: Run) -> dict[str, object]:
    periods = run.clearing.book.periods
    steps: list[dict[str, object]] = []
    names = _steps(run)
    for name, n in periods.group_by("step", maintain_order=True).agg(pl.len()).iter_rows():
        steps.append({"name": names.get(str(name), str(name)), "n": int(n)})
    return {"steps": steps, "hour": [int(h) for h in periods["hour"]]}


def _steps(run: Run) -> dict[str, str]:
    """Return a reader's name for each step that is written as its first day: ``Jul–Sep 2025``."""
    horizon = run.scenario.horizon
    names = {}
    for start, end in itertools.pairwise(horizon.step_starts):
        last = end - dt.timedelta(days=1)
        if horizon.step in {"month", "quarter", "all"} and start.day == 1 and end.day == 1:
            head = f"{start:%b}" if start.year == last.year else f"{start:%b %Y}"
            names[start.isoformat()] = (
                f"{start:%b %Y}"
                if start.month == last.month and start.year == last.year
                else f"{head}–{last:%b %Y}"
            )
        else:
            names[start.isoformat()] = f"{start.day} {start:%b %Y}"
    return names


def _when(run: Run, period: int) -> str:
    at = run.clearing.book.periods.row(period, named=True)
    return f"{_steps(run).get(str(at['step']), str(at['step']))}, {at['hour']:02d}:00 UTC"


def price_charts(run: Run) -> tuple[Chart, ...]:
    """Return one chart per accelerator that is leased: its pools' prices over the hours of each step."""
    clearing = run.clearing
    labels = [str(x) for x in clearing.book.periods["label"]]
    leases = clearing.pools.filter(pl.col("kind") == "lease").sort("accelerator", "pool")
    charts = []
    for n, (key, pools) in enumerate(leases.group_by("accelerator", maintain_order=True)):
        chip = chip_name(str(key[0]))
        names = _distinct(run, pools)
        series, cells, every = [], [], []
        for name, pool in zip(names, pools["pool"], strict=True):
            of_pool = clearing.prices.filter((pl.col("pool") == pool) & pl.col("period").is_not_null())
            at = {int(t): int(p) for t, p in of_pool.select("period", "price_micro").iter_rows()}
            every += list(at.values())
            series.append({"name": name, "values": [_plain(at.get(t)) for t in range(len(labels))]})
            cells.append([_cell(at.get(t)) for t in range(len(labels))])
        charts.append(
            Chart(
                id=f"price-{n}",
                title=chip,
                summary=_range(every, clearing.book.currency)
                + (f" in {len(names)} pools." if len(names) > 1 else "."),
                spec={
                    "kind": "hours",
                    "unit": f"{clearing.book.currency} per device-hour",
                    "stack": False,
                    "series": series,
                    **_axis(run),
                },
                columns=(
                    Column("Hour (UTC)", numeric=False),
                    *(Column(name, numeric=True) for name in names),
                ),
                rows=tuple((label, *(column[t] for column in cells)) for t, label in enumerate(labels)),
            )
        )
    return tuple(charts)


def utilisation_charts(run: Run) -> tuple[Chart, ...]:
    """Return one stacked chart per holder and chip whose use changes over the day: what its devices do, hour by hour."""
    holder_of = {h.id: party_short(run, h.party) for h in run.scenario.holdings}
    table = utilisation(run).with_columns(
        pl.col("holding").replace_strict(holder_of, return_dtype=pl.String).alias("holder")
    )
    labels = [str(x) for x in run.clearing.book.periods["label"]]
    charts = []
    for n, (key, part) in enumerate(table.group_by("holder", "chip", maintain_order=True)):
        holder, chip = str(key[0]), str(key[1])
        total = part.group_by("period", maintain_order=True).agg(pl.col("held", *_USES).sum()).sort("period")
        values = {use: [int(v) for v in total[use]] for use in _USES}
        held = max((int(v) for v in total["held"]), default=0)
        shares = {use: sum(values[use]) / max(1, sum(int(v) for v in total["held"])) for use in _USES}
        shown = [use for use in _USES if any(values[use])]
        if all(len(set(values[use])) == 1 for use in shown):
            continue  # the same all day: the table of holdings says it
        charts.append(
            Chart(
                id=f"use-{n}",
                title=f"{holder}: {chip}",
                summary=f"{held:,} devices: "
                + ", ".join(f"{_USE_WORDS[use]} {percent(shares[use], places=0)}" for use in shown)
                + " on the mean of the hours shown.",
                spec={
                    "kind": "hours",
                    "unit": "devices",
                    "stack": True,
                    "series": [
                        {"name": _USE_WORDS[use], "values": values[use], "role": use} for use in shown
                    ],
                    **_axis(run),
                },
                columns=(
                    Column("Hour (UTC)", numeric=False),
                    Column("held", numeric=True),
                    *(Column(_USE_WORDS[use], numeric=True) for use in _USES),
                ),
                rows=tuple(
                    (labels[r["period"]], f"{r['held']:,}", *(f"{r[use]:,}" for use in _USES))
                    for r in total.iter_rows(named=True)
                ),
            )
        )
    return tuple(charts)


def curve_charts(run: Run) -> tuple[Chart, ...]:
    """Return supply and demand of each leased chip in the hour in which it is dearest.

    Supply is every lot at its ask. Demand is every bid at the price at which a device-hour of this chip would just be
    worth its limit (limit x rate), were it served by this chip alone; a bid that has another chip to turn to may
    therefore stay away although it stands above the price.
    """
    book = run.clearing.book
    charts = []
    leases = run.clearing.prices.filter(pl.col("kind") == "lease")
    for n, chip in enumerate(sorted(set(leases["accelerator"]))):
        of_chip = leases.filter(pl.col("accelerator") == chip).sort(
            "price_micro", "supplied", "period", descending=[True, True, False]
        )
        period = int(of_chip["period"][0])
        at = of_chip.filter(pl.col("period") == period)
        orders = supply_demand(run.clearing, chip, period).select("side", "devices", "price", "order").rows()
        supply = [list(order[1:]) for order in orders if order[0] == "supply"]
        demand = [list(order[1:]) for order in orders if order[0] == "demand"]
        prices = sorted({int(p) for p in at["price_micro"]})
        name = chip_name(chip)
        placed = int(at["supplied"].sum())
        offered = int(at["offered"].sum())
        ends = dict.fromkeys(f"{from_micro(p):,.2f}" for p in (prices[0], prices[-1]))
        words = " to ".join(ends)
        charts.append(
            Chart(
                id=f"curve-{n}",
                title=f"{name}, {_when(run, period)}",
                summary=f"{placed:,} of {offered:,} devices on offer are taken, at {words} {book.currency} per "
                "device-hour.",
                spec={
                    "kind": "curve",
                    "unit": f"{book.currency} per device-hour",
                    "supply": supply,
                    "demand": demand,
                    "prices": [float(from_micro(p)) for p in prices],
                    "placed": placed,
                },
                columns=(
                    Column("Side", numeric=False),
                    Column("Order", numeric=False),
                    Column("Devices", numeric=True),
                    Column(f"{book.currency} per device-hour", numeric=True),
                ),
                rows=tuple(
                    ("offered" if side == "supply" else "wanted", who, f"{q:,.0f}", f"{p:,.4f}")
                    for side, q, p, who in orders
                ),
            )
        )
    return tuple(charts)


def pool_lots(run: Run, pool: int) -> list[str]:
    """Return the lots of a pool."""
    return [str(x) for x in run.clearing.lot_pool.filter(pl.col("pool") == pool)["lot"]]


def _distinct(run: Run, pools: pl.DataFrame) -> list[str]:
    """Name the pools of a chip by site, and by their lots as well where a site has several."""
    sites = [site_name(run, s) for s in pools["site"]]
    names = []
    for site, pool in zip(sites, pools["pool"], strict=True):
        lots = pool_lots(run, pool)
        more = f" and {len(lots) - 2} more" if len(lots) > 2 else ""
        names.append(site if sites.count(site) == 1 else f"{site}: {', '.join(lots[:2])}{more}")
    return names


def _plain(micro: int | None) -> float | None:
    return None if micro is None else float(from_micro(micro))


def _cell(micro: int | None) -> str:
    return "" if micro is None else f"{from_micro(micro):,.4f}"


def _range(micro: Sequence[int], currency: str) -> str:
    if not micro:
        return "Never on offer"
    low, high = f"{from_micro(min(micro)):,.2f}", f"{from_micro(max(micro)):,.2f}"
    if low == high:
        return f"{low} {currency} per device-hour in every hour on offer"
    return f"{low} to {high} {currency} per device-hour"
