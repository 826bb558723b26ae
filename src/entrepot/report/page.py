"""What stands on the page, in which order? The story as sections of plain values, which the templates only lay out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from entrepot import catalogue
from entrepot.catalogue.records import Claim, Figure, Price
from entrepot.market.depth import depth
from entrepot.report import figures
from entrepot.report.compare import changes, dates_compared, variants_compared
from entrepot.report.format import day, from_micro, money, number
from entrepot.report.headline import headlines, lede, strip
from entrepot.report.heat import heat
from entrepot.report.participants import participants
from entrepot.report.records import Run, Story
from entrepot.report.rulings import matrix, rulings
from entrepot.report.tables import (
    chip_name,
    party_name,
    party_short,
    prices_summary,
    site_name,
    trades,
    unserved,
    utilisation,
    who_got_what,
    who_sold_what,
    work_prices,
)

__all__ = ["page"]


@dataclass(frozen=True, slots=True)
class Dispute:
    """Reported claims about one thing, side by side."""

    subject: str
    predicate: str
    claims: tuple[Claim, ...]

    @property
    def contradicted(self) -> bool:
        """Whether somebody denies what somebody asserts."""
        return len({claim.stance for claim in self.claims}) > 1

    @property
    def denied(self) -> bool:
        """Whether nobody asserts it here, and somebody denies it."""
        return {claim.stance for claim in self.claims} == {"denies"}


def page(story: Story) -> dict[str, object]:
    """Return everything that the templates name, for one story."""
    run = story.main
    scenario = run.scenario
    charts = {
        "prices": figures.price_charts(run),
        "curves": figures.curve_charts(run),
        "use": figures.utilisation_charts(run),
    }
    found = rulings(run)
    return {
        "scenario": scenario,
        "currency": run.clearing.book.currency,
        "as_of": day(scenario.as_of),
        "variant_note": scenario.variants.get(scenario.variant, "") if scenario.variant is not None else "",
        "lede": lede(run),
        "headlines": headlines(story),
        "strip": strip(story),
        "dates": dates_compared(story).to_dicts(),
        "several_dates": len(story.dates) > 1,
        "bids": _bids(run),
        "lots": _lots(run),
        "prices": [{**p, "lots": figures.pool_lots(run, p["pool"])} for p in prices_summary(run).to_dicts()],
        "work_prices": work_prices(run).to_dicts(),
        "charts": charts,
        "chart_specs": {c.id: dict(c.spec) for group in charts.values() for c in group},
        "use": _use(run),
        "participants": participants(run),
        "heat": heat(run),
        "depth": _depth(run),
        "rulings": found,
        "matrix": matrix(run, found),
        "law_known_to": _law(run),
        "unserved": unserved(run).to_dicts(),
        "own_unserved": _own_unserved(run),
        "rejected": run.clearing.rejected.to_dicts(),
        "rates": _rates(run),
        "variants": [
            {**row, "changes": () if v is run else changes(run, v)}
            for row, v in zip(variants_compared(story).to_dicts(), story.variants, strict=True)
        ],
        "several_variants": len(story.variants) > 1,
        "disputes": _disputes(run),
        "certificate": run.clearing.certificate,
        "welfare": money(from_micro(run.clearing.certificate.welfare_micro), run.clearing.book.currency),
        "bound": money(from_micro(run.clearing.certificate.bound_micro), run.clearing.book.currency),
        "checks": run.verification.checks.to_dicts(),
        "verified": run.verification.ok,
        "solve_seconds": f"{run.clearing.solve_seconds:.2f}",
        "audit": run.audit,
        "balances": _balances(run),
        "figures": _figures(run),
        "prices_on_record": _prices_on_record(run),
        "periods": run.clearing.book.periods.height,
        "orders": run.clearing.book.lots.height + run.clearing.book.bids.height,
    }


def _bids(run: Run) -> list[dict[str, object]]:
    seller = {x.id: party_short(run, x.seller) for x in run.scenario.lots}
    buyer = {b.id: party_short(run, b.buyer) for b in run.scenario.bids}
    deals = [{**t, "seller": seller[t["lot"]]} for t in trades(run).to_dicts()]
    why = {r["bid"]: r["reason"] for r in unserved(run).iter_rows(named=True)}
    return [
        {
            **bid,
            "buyer": buyer[bid["bid"]],
            "model": _model_name(str(bid["model"])) if bid["model"] else "",
            "deals": [t for t in deals if t["bid"] == bid["bid"]],
            "why": _head(why.get(bid["bid"], "")),
            "unserved": None if bid["served_share"] is None else 1.0 - bid["served_share"],
        }
        for bid in who_got_what(run).to_dicts()
    ]


def _lots(run: Run) -> list[dict[str, object]]:
    seller = {x.id: party_short(run, x.seller) for x in run.scenario.lots}
    why = dict(run.clearing.rejected.filter(pl.col("side") == "lot").select("order", "reason").iter_rows())
    return [
        {**lot, "seller": seller[lot["lot"]], "why": _head(why.get(lot["lot"], ""))}
        for lot in who_sold_what(run).to_dicts()
    ]


def _head(reason: str) -> str:
    """Return the reason up to its colon: the rest stands where orders that did not clear are listed."""
    return reason.split(":", maxsplit=1)[0]


def _model_name(model: str) -> str:
    known = catalogue.models().get(model)
    return model if known is None else known.name


def _depth(run: Run) -> list[dict[str, object]]:
    names = {p["pool"]: p for p in run.clearing.pools.iter_rows(named=True)}
    return [
        {
            **row,
            "chip": chip_name(names[row["pool"]]["accelerator"]),
            "site": site_name(run, names[row["pool"]]["site"]),
        }
        for row in depth(run.clearing).to_dicts()
    ]


def _use(run: Run) -> list[dict[str, object]]:
    """Return each holding's mean use over the horizon, weighted by hours."""
    hours = run.clearing.book.periods.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("period"), pl.col("hours")
    )
    uses = ["held", "own_use", "reserve", "sold", "leased", "idle"]
    holder = {h.id: party_short(run, h.party) for h in run.scenario.holdings}
    table = (
        utilisation(run)
        .join(hours, on="period")
        .group_by("holding", "holder", "chip", "site", maintain_order=True)
        .agg(*((pl.col(u) * pl.col("hours")).sum() / pl.col("hours").sum() for u in uses))
        .to_dicts()
    )
    return [{**row, "holder": holder[row["holding"]]} for row in table]


def _law(run: Run) -> str:
    known = [d.law_known_to for d in run.decisions.values()]
    return day(max(known)) if known else ""


def _own_unserved(run: Run) -> list[dict[str, object]]:
    """Return, for each service, the work that its party's own devices do not carry: what trade has to serve."""
    hours = run.clearing.book.periods.select(
        pl.int_range(pl.len(), dtype=pl.Int64).alias("period"), pl.col("hours")
    )
    table = (
        run.surplus.unserved.join(hours, on="period")
        .group_by("service", "party", maintain_order=True)
        .agg(
            (pl.col("demand_mtok_per_h") * pl.col("hours")).sum().alias("demand_mtok"),
            (pl.col("mtok_per_h") * pl.col("hours")).sum().alias("left_mtok"),
        )
        .filter(pl.col("demand_mtok") > 0)
    )
    asked = {bid.service for bid in run.scenario.bids}
    return [
        {
            **r,
            "party": party_name(run, r["party"]),
            "share": r["left_mtok"] / r["demand_mtok"],
            "asked": r["service"] in asked,
        }
        for r in table.to_dicts()
    ]


def _rates(run: Run) -> list[dict[str, object]]:
    """Group the rates by service, best first, with what an interval bar needs; services with the same rates share a block."""
    groups: dict[object, dict[str, object]] = {}
    names: dict[object, list[str]] = {}
    for key, part in run.rates.group_by("service", maintain_order=True):
        service = run.scenario.services.get(str(key[0]))
        limits = None if service is None else (service.ttft_ms, service.tpot_ms)
        ordered = part.sort(
            "mtok_per_device_hour_central", "accelerator", descending=[True, False], nulls_last=True
        )
        same = (limits, tuple(ordered.drop("service").rows()))
        names.setdefault(same, []).append(str(key[0]))
        top = part["mtok_per_device_hour_high"].max()
        scale = float(top) if isinstance(top, float) and top > 0 else 1.0
        groups[same] = {
            "services": names[same],
            "about": service,
            "model": "" if service is None else _model_name(service.model),
            "rows": [_rate_row(r, scale) for r in ordered.iter_rows(named=True)],
            "top": number(scale, digits=3),
        }
    return list(groups.values())


def _rate_row(row: Mapping[str, object], scale: float) -> dict[str, object]:
    ends = [row[f"mtok_per_device_hour_{end}"] for end in ("low", "central", "high")]
    known = [100.0 * min(1.0, end / scale) for end in ends if isinstance(end, float)]
    return {
        **row,
        "chip": chip_name(str(row["accelerator"])),
        "at": known if len(known) == len(ends) else None,
    }


def _disputes(run: Run) -> tuple[Dispute, ...]:
    found = []
    for subject, predicate in run.scenario.claims:
        about = tuple(c for c in catalogue.claims(subject) if c.predicate == predicate)
        if about:
            found.append(Dispute(subject, predicate, about))
    return tuple(found)


def _market_chips(run: Run) -> list[str]:
    chips = [x.accelerator for x in run.scenario.lots] + [h.accelerator for h in run.scenario.holdings]
    return list(dict.fromkeys(chips))


def _figures(run: Run) -> list[tuple[str, tuple[Figure, ...]]]:
    known = catalogue.accelerators()
    return [(known[c].name, known[c].figures) for c in _market_chips(run) if c in known]


def _prices_on_record(run: Run) -> list[tuple[str, tuple[Price, ...]]]:
    found = [(chip_name(c), tuple(catalogue.prices(c))) for c in _market_chips(run)]
    return [(name, prices) for name, prices in found if prices]


def _balances(run: Run) -> list[dict[str, object]]:
    """Return the ledger's balances: one row per account and commodity, its time slots summed up."""
    table = run.balances
    if not {"account", "commodity", "quantity", "slot"} <= set(table.columns):
        return []
    timeless = pl.col("slot").fill_null("") == ""
    grouped = table.group_by("account", "commodity", maintain_order=True).agg(
        pl.col("quantity").filter(timeless).sum().alias("standing"),
        pl.col("quantity").filter(~timeless).len().alias("slots"),
        pl.col("quantity").filter(~timeless).min().alias("lowest"),
        pl.col("quantity").filter(~timeless).max().alias("highest"),
    )
    return grouped.to_dicts()
