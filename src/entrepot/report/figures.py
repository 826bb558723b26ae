"""What does each chart show? Plain numbers and words, which the page's script draws and the tables beside it repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from entrepot.report.format import from_micro
from entrepot.report.records import Run
from entrepot.report.tables import chip_name, site_name, utilisation

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
    for name, n in periods.group_by("step", maintain_order=True).agg(pl.len()).iter_rows():
        steps.append({"name": str(name), "n": int(n)})
    return {"steps": steps, "hour": [int(h) for h in periods["hour"]]}


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
        low, high = _extremes(every)
        charts.append(
            Chart(
                id=f"price-{n}",
                title=chip,
                summary=f"Clearing price of leased {chip} by hour: between {low} and {high} "
                f"{clearing.book.currency} per device-hour in {len(names)} pool{'s' if len(names) > 1 else ''}.",
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
    """Return one stacked chart per holder and chip: what its devices do, hour by hour."""
    table = utilisation(run)
    labels = [str(x) for x in run.clearing.book.periods["label"]]
    charts = []
    for n, (key, part) in enumerate(table.group_by("holder", "chip", maintain_order=True)):
        holder, chip = str(key[0]), str(key[1])
        total = part.group_by("period", maintain_order=True).agg(pl.col("held", *_USES).sum()).sort("period")
        values = {use: [int(v) for v in total[use]] for use in _USES}
        held = max((int(v) for v in total["held"]), default=0)
        shares = {use: sum(values[use]) / max(1, sum(int(v) for v in total["held"])) for use in _USES}
        shown = [use for use in _USES if any(values[use])]
        charts.append(
            Chart(
                id=f"use-{n}",
                title=f"{holder}: {chip}",
                summary=f"{held:,} devices: "
                + ", ".join(f"{_USE_WORDS[use]} {100 * shares[use]:.0f}%" for use in shown)
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
        supply = _supply(run, chip, period)
        demand = _demand(run, chip, period)
        if not supply and not demand:
            continue
        prices = sorted({int(p) for p in at["price_micro"]})
        name, label = chip_name(chip), str(book.periods["label"][period])
        placed = int(at["supplied"].sum())
        offered = int(at["offered"].sum())
        ends = dict.fromkeys(f"{from_micro(p):,.2f}" for p in (prices[0], prices[-1]))
        words = " to ".join(ends)
        charts.append(
            Chart(
                id=f"curve-{n}",
                title=f"{name}, {label}",
                summary=f"{placed:,} of {offered:,} devices on offer are taken, at {words} {book.currency} per "
                "device-hour.",
                spec={
                    "kind": "curve",
                    "unit": f"{book.currency} per device-hour",
                    "supply": [[q, float(from_micro(p)), who] for who, q, p in supply],
                    "demand": [[q, float(from_micro(p)), who] for who, q, p in demand],
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
                    (side, who, f"{q:,.0f}", f"{from_micro(p):,.4f}")
                    for side, orders in (("offered", supply), ("wanted", demand))
                    for who, q, p in orders
                ),
            )
        )
    return tuple(charts)


def _supply(run: Run, chip: str, period: int) -> list[tuple[str, float, int]]:
    lots = run.clearing.book.lots
    found = [
        (str(x["lot"]), float(run.capacity[i, period]), int(x["ask_micro"]))
        for i, x in enumerate(lots.iter_rows(named=True))
        if x["accelerator"] == chip and x["kind"] == "lease" and run.capacity[i, period] > 0
    ]
    return sorted(found, key=lambda order: (order[2], order[0]))


def _demand(run: Run, chip: str, period: int) -> list[tuple[str, float, int]]:
    book = run.clearing.book
    mine = np.array(
        [x["accelerator"] == chip and x["kind"] == "lease" for x in book.lots.iter_rows(named=True)]
    )
    found = []
    for b, bid in enumerate(book.bids.iter_rows(named=True)):
        best = float(book.rate[book.bid_class[b], book.lot_class[mine]].max(initial=0.0))
        wanted = float(run.demand[b, period])
        if best > 0 and wanted > 0:
            found.append((str(bid["bid"]), wanted / best, round(bid["limit_micro"] * best)))
    return sorted(found, key=lambda order: (-order[2], order[0]))


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


def _extremes(micro: Sequence[int]) -> tuple[str, str]:
    if not micro:
        return "none", "none"
    return f"{from_micro(min(micro)):,.2f}", f"{from_micro(max(micro)):,.2f}"
