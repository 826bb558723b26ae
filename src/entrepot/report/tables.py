"""Who got what, at which prices, under which permits, and what stayed unserved? A run as tables with friendly names.

The page prints these tables and the command line shows them; both read the same figures. Money is `Decimal` in the
run's currency, work is Mtok (10^6 output tokens of a service's mix), shares are 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import polars as pl

from entrepot import catalogue
from entrepot.market.records import Clearing
from entrepot.report.format import from_micro, from_minor
from entrepot.report.records import Run

__all__ = [
    "Schema",
    "chip_name",
    "party_name",
    "party_short",
    "permits_summary",
    "prices_summary",
    "proof",
    "site_name",
    "trades",
    "unserved",
    "utilisation",
    "who_got_what",
    "who_sold_what",
    "work_prices",
]

Schema: TypeAlias = Mapping[str, pl.DataType | type[pl.DataType]]

_MONEY = pl.Decimal(38, 2)
_PRICE = pl.Decimal(38, 6)


def chip_name(accelerator: str) -> str:
    """Return the catalogue's name of an accelerator, or its id where the catalogue has none.

    What stands in brackets at its end is left out where no other accelerator has the same name without it.
    """
    known = catalogue.accelerators()
    if accelerator not in known:
        return accelerator
    name = known[accelerator].name
    short = _bare(name)
    return short if sum(_bare(other.name) == short for other in known.values()) == 1 else name


def party_name(run: Run, party: str) -> str:
    """Return a party's name, or its id where the scenario has no such party."""
    known = run.scenario.parties.get(party)
    return party if known is None else known.name


def party_short(run: Run, party: str) -> str:
    """Return a party's name up to its first comma, where that tells it apart: ``Alder`` of ``Alder, holder of ...``."""
    full = party_name(run, party)
    short = full.split(",", maxsplit=1)[0]
    same = sum(p.name.split(",", maxsplit=1)[0] == short for p in run.scenario.parties.values())
    return short if same <= 1 else full


def site_name(run: Run, site: str) -> str:
    """Return a site's name, or its id where the scenario has no such site."""
    known = run.scenario.sites.get(site)
    return site if known is None else known.name


def who_got_what(run: Run) -> pl.DataFrame:
    """Return what each bid wanted, got and pays.

    Returns
    -------
    bid, buyer, service, model, demand_mtok, served_mtok, served_share (null without demand), device_hours, paid,
    keeps_worth (residual value of bought devices at the end of the horizon), price_per_mtok (paid less what it keeps,
    over the work served; null where nothing was), limit_per_mtok, currency
    """
    book = run.clearing.book
    hours = book.periods.select(pl.int_range(pl.len(), dtype=pl.Int64).alias("period"), pl.col("hours"))
    worked = (
        run.clearing.work.with_columns(pl.col("period").cast(pl.Int64))
        .join(hours, on="period")
        .group_by("bid")
        .agg(
            (pl.col("demand_mtok_per_h") * pl.col("hours")).sum().alias("demand"),
            (pl.col("served_mtok_per_h") * pl.col("hours")).sum().alias("served"),
        )
    )
    work = {bid: (demand, served) for bid, demand, served in worked.iter_rows()}
    residual = dict(book.lots.select("lot", "residual_micro").iter_rows())
    paid: dict[str, Decimal] = {}
    kept: dict[str, Decimal] = {}
    device_hours: dict[str, int] = {}
    for t in run.clearing.trades.iter_rows(named=True):
        bid = t["bid"]
        paid[bid] = paid.get(bid, Decimal(0)) + from_minor(t["payment_minor"], book.minor_digits)
        device_hours[bid] = device_hours.get(bid, 0) + t["device_hours"]
        if t["kind"] == "sale":
            worth = from_micro(residual[t["lot"]] * t["devices_max"])
            kept[bid] = kept.get(bid, Decimal(0)) + worth
    rows = []
    services = run.scenario.services
    for b in book.bids.iter_rows(named=True):
        demand, served = work.get(b["bid"], (0.0, 0.0))
        cost = paid.get(b["bid"], Decimal(0))
        worth = kept.get(b["bid"], Decimal(0))
        service = services.get(b["service"])
        rows.append(
            {
                "bid": b["bid"],
                "buyer": party_name(run, b["buyer"]),
                "service": b["service"],
                "model": None if service is None else service.model,
                "demand_mtok": demand,
                "served_mtok": served,
                "served_share": served / demand if demand > 0 else None,
                "device_hours": device_hours.get(b["bid"], 0),
                "paid": _cents(cost),
                "keeps_worth": _cents(worth),
                "price_per_mtok": _micro((cost - worth) / Decimal(repr(served))) if served > 0 else None,
                "limit_per_mtok": from_micro(b["limit_micro"]),
                "currency": book.currency,
            }
        )
    schema: Schema = {
        "bid": pl.String, "buyer": pl.String, "service": pl.String, "model": pl.String,
        "demand_mtok": pl.Float64, "served_mtok": pl.Float64, "served_share": pl.Float64, "device_hours": pl.Int64,
        "paid": _MONEY, "keeps_worth": _MONEY, "price_per_mtok": _PRICE, "limit_per_mtok": _PRICE,
        "currency": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def trades(run: Run) -> pl.DataFrame:
    """Return every trade: who bought from whom, which chip, where, how much, at what mean price.

    Returns
    -------
    trade, bid, buyer, lot, seller, chip, site, kind, devices_max, device_hours, mtok_max (the work that these
    device-hours could do; null without a rate), unit_price, unit, paid, currency
    """
    currency = run.clearing.book.currency
    rate = _rate(run.clearing)
    rows = []
    for t in run.clearing.trades.iter_rows(named=True):
        reach = rate.get((t["bid"], t["lot"]), 0.0)
        rows.append(
            {
                "trade": t["trade"],
                "bid": t["bid"],
                "buyer": party_name(run, t["buyer"]),
                "lot": t["lot"],
                "seller": party_name(run, t["seller"]),
                "chip": chip_name(t["accelerator"]),
                "site": site_name(run, t["site"]),
                "kind": t["kind"],
                "devices_max": t["devices_max"],
                "device_hours": t["device_hours"],
                "mtok_max": t["device_hours"] * reach if reach > 0 else None,
                "unit_price": from_micro(t["unit_price_micro"]),
                "unit": _unit(t["kind"]),
                "paid": from_minor(t["payment_minor"], run.clearing.book.minor_digits),
                "currency": currency,
            }
        )
    schema: Schema = {
        "trade": pl.String, "bid": pl.String, "buyer": pl.String, "lot": pl.String, "seller": pl.String,
        "chip": pl.String, "site": pl.String, "kind": pl.String, "devices_max": pl.Int64, "device_hours": pl.Int64,
        "mtok_max": pl.Float64, "unit_price": _PRICE, "unit": pl.String, "paid": _MONEY, "currency": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def who_sold_what(run: Run) -> pl.DataFrame:
    """Return what became of each lot.

    Returns
    -------
    lot, seller, chip, site, kind, offered_max, placed_max (devices, in the fullest period), offered_device_hours,
    placed_device_hours, placed_share (null where nothing was offered), ask, unit, received, currency
    """
    book = run.clearing.book
    hours = book.hours
    order = {lot: i for i, lot in enumerate(book.lots["lot"])}
    placed = np.zeros(run.capacity.shape, dtype=np.int64)
    for a in run.clearing.allocation.iter_rows(named=True):
        row = order[a["lot"]]
        if a["period"] is None:
            placed[row, run.capacity[row] > 0] += a["devices"]
        else:
            placed[row, a["period"]] += a["devices"]
    received: dict[str, Decimal] = {}
    for t in run.clearing.trades.iter_rows(named=True):
        received[t["lot"]] = received.get(t["lot"], Decimal(0)) + from_minor(
            t["payment_minor"], book.minor_digits
        )
    rows = []
    for i, x in enumerate(book.lots.iter_rows(named=True)):
        offered_hours = round(float(run.capacity[i] @ hours))
        placed_hours = round(float(placed[i] @ hours))
        rows.append(
            {
                "lot": x["lot"],
                "seller": party_name(run, x["seller"]),
                "chip": chip_name(x["accelerator"]),
                "site": site_name(run, x["site"]),
                "kind": x["kind"],
                "offered_max": int(run.capacity[i].max(initial=0)),
                "placed_max": int(placed[i].max(initial=0)),
                "offered_device_hours": offered_hours,
                "placed_device_hours": placed_hours,
                "placed_share": placed_hours / offered_hours if offered_hours else None,
                "ask": from_micro(x["ask_micro"]),
                "unit": _unit(x["kind"]),
                "received": received.get(x["lot"], Decimal(0)),
                "currency": book.currency,
            }
        )
    schema: Schema = {
        "lot": pl.String, "seller": pl.String, "chip": pl.String, "site": pl.String, "kind": pl.String,
        "offered_max": pl.Int64, "placed_max": pl.Int64, "offered_device_hours": pl.Int64,
        "placed_device_hours": pl.Int64, "placed_share": pl.Float64, "ask": _PRICE, "unit": pl.String,
        "received": _MONEY, "currency": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def prices_summary(run: Run) -> pl.DataFrame:
    """Return the clearing prices of each pool over its periods, weighted by the hours that each stands for.

    Returns
    -------
    pool, label, chip, site, kind, unit, mean, lowest, highest, offered_max, placed_max (devices), placed_share (of the
    device-hours, for a sale of the devices), currency
    """
    hours = run.clearing.book.hours
    currency = run.clearing.book.currency
    rows = []
    for p in run.clearing.pools.iter_rows(named=True):
        of_pool = run.clearing.prices.filter(pl.col("pool") == p["pool"])
        micro = [int(v) for v in of_pool["price_micro"]]
        weight = [1 if t is None else round(float(hours[t])) for t in of_pool["period"]]
        offered = [int(v) for v in of_pool["offered"]]
        placed = [int(v) for v in of_pool["supplied"]]
        offered_hours = sum(o * w for o, w in zip(offered, weight, strict=True))
        placed_hours = sum(o * w for o, w in zip(placed, weight, strict=True))
        mean = Decimal(sum(m * w for m, w in zip(micro, weight, strict=True))) / max(1, sum(weight))
        rows.append(
            {
                "pool": p["pool"],
                "label": p["label"],
                "chip": chip_name(p["accelerator"]),
                "site": site_name(run, p["site"]),
                "kind": p["kind"],
                "unit": _unit(p["kind"]),
                "mean": _micro(mean.scaleb(-6)) if micro else None,
                "lowest": from_micro(min(micro)) if micro else None,
                "highest": from_micro(max(micro)) if micro else None,
                "offered_max": max(offered, default=0),
                "placed_max": max(placed, default=0),
                "placed_share": placed_hours / offered_hours if offered_hours else None,
                "currency": currency,
            }
        )
    schema: Schema = {
        "pool": pl.Int64, "label": pl.String, "chip": pl.String, "site": pl.String, "kind": pl.String,
        "unit": pl.String, "mean": _PRICE, "lowest": _PRICE, "highest": _PRICE, "offered_max": pl.Int64,
        "placed_max": pl.Int64, "placed_share": pl.Float64, "currency": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def work_prices(run: Run) -> pl.DataFrame:
    """Return what a pool's mean price comes to per Mtok of each bid that may use it.

    A lease: price per device-hour over the rate. A sale: price less the residual worth, spread over every hour of the
    window: the least that a Mtok can cost if the device never idles.

    Returns
    -------
    pool, label, kind, bid, service, mtok_per_device_hour, price_per_mtok, limit_per_mtok, currency
    """
    book = run.clearing.book
    rate = _rate(run.clearing)
    mean = {r["pool"]: r["mean"] for r in prices_summary(run).iter_rows(named=True)}
    label = dict(run.clearing.pools.select("pool", "label").iter_rows())
    of_pool: dict[int, int] = {}
    index = {lot: i for i, lot in enumerate(book.lots["lot"])}
    for lot, pool in run.clearing.lot_pool.select("lot", "pool").iter_rows():
        of_pool.setdefault(pool, index[lot])
    rows = []
    for pool, first in of_pool.items():
        x = book.lots.row(first, named=True)
        window = Decimal(round(float(book.hours[run.capacity[first] > 0].sum())))
        for b in book.bids.iter_rows(named=True):
            reach = rate.get((b["bid"], x["lot"]), 0.0)
            if reach <= 0 or mean.get(pool) is None:
                continue
            per_hour: Decimal | None = mean[pool]
            if x["kind"] == "sale":
                per_hour = (mean[pool] - from_micro(x["residual_micro"])) / window if window else None
            rows.append(
                {
                    "pool": pool,
                    "label": label[pool],
                    "kind": x["kind"],
                    "bid": b["bid"],
                    "service": b["service"],
                    "mtok_per_device_hour": reach,
                    "price_per_mtok": None if per_hour is None else _micro(per_hour / Decimal(repr(reach))),
                    "limit_per_mtok": from_micro(b["limit_micro"]),
                    "currency": book.currency,
                }
            )
    schema: Schema = {
        "pool": pl.Int64, "label": pl.String, "kind": pl.String, "bid": pl.String, "service": pl.String,
        "mtok_per_device_hour": pl.Float64, "price_per_mtok": _PRICE, "limit_per_mtok": _PRICE, "currency": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def permits_summary(run: Run) -> pl.DataFrame:
    """Return how many pairs of lot and bid each rule permits or refuses, most pairs first.

    Returns
    -------
    outcome, permitted, pairs, lots, bids (how many distinct), citation, reason
    """
    return (
        run.permits.group_by("outcome", "permitted", "citation", "reason")
        .agg(pl.len().cast(pl.Int64).alias("pairs"), pl.col("lot").n_unique().cast(pl.Int64).alias("lots"),
             pl.col("bid").n_unique().cast(pl.Int64).alias("bids"))
        .sort(["permitted", "pairs", "outcome", "citation", "reason"], descending=[True, True, False, False, False])
        .select("outcome", "permitted", "pairs", "lots", "bids", "citation", "reason")
    )  # fmt: skip


def proof(run: Run) -> pl.DataFrame:
    """Return what was proved, in one row.

    Returns
    -------
    welfare, bound (currency), gap, seconds (to find it), verified, checks, made_whole (currency, paid from the fee), currency
    """
    found, book = run.clearing.certificate, run.clearing.book
    made = int(run.clearing.make_whole["amount_minor"].sum() or 0)
    row = {
        "welfare": from_micro(found.welfare_micro),
        "bound": from_micro(found.bound_micro),
        "gap": found.gap,
        "seconds": run.clearing.solve_seconds,
        "verified": run.verification.ok,
        "checks": run.verification.checks.height,
        "made_whole": from_minor(made, book.minor_digits),
        "currency": book.currency,
    }
    schema: Schema = {
        "welfare": _PRICE, "bound": _PRICE, "gap": pl.Float64, "seconds": pl.Float64, "verified": pl.Boolean,
        "checks": pl.Int64, "made_whole": _MONEY, "currency": pl.String,
    }  # fmt: skip
    return pl.DataFrame([row], schema=schema)


def unserved(run: Run) -> pl.DataFrame:
    """Return the demand that stayed unserved, most work first, and why.

    Returns
    -------
    who, service, bid (null: a party's own service on its own devices), unserved_mtok, unserved_share, reason
    """
    of_bids = run.clearing.rejected.filter(pl.col("side") == "bid")
    why = dict(of_bids.select("order", "reason").iter_rows())
    may = dict(run.permits.group_by("bid").agg(pl.col("permitted").any()).iter_rows())
    rows = []
    for r in who_got_what(run).iter_rows(named=True):
        left = r["demand_mtok"] - r["served_mtok"]
        if left <= 1e-9 * max(1.0, r["demand_mtok"]):
            continue
        reason = why.get(r["bid"])
        if reason is None and not may.get(r["bid"], False):
            reason = "no lawful capacity: no lot is permitted to serve it"
        if reason is None:
            reason = "what it may use is scarce in some hours, or dearer than its limit"
        rows.append({"who": r["buyer"], "service": r["service"], "bid": r["bid"], "unserved_mtok": left,
                     "unserved_share": left / r["demand_mtok"], "reason": reason})  # fmt: skip
    schema: Schema = {"who": pl.String, "service": pl.String, "bid": pl.String, "unserved_mtok": pl.Float64,
              "unserved_share": pl.Float64, "reason": pl.String}  # fmt: skip
    return pl.DataFrame(rows, schema=schema).sort("unserved_mtok", descending=True)


def utilisation(run: Run) -> pl.DataFrame:
    """Return what each holding's devices do in each period.

    Returns
    -------
    holding, holder, chip, site, period, label, held, own_use, reserve, sold, leased, idle (devices; they add up to
    ``held`` in every period)
    """
    holdings = {h.id: h for h in run.scenario.holdings}
    lot_holding: Mapping[str, str | None] = {x.id: x.holding for x in run.scenario.lots}
    periods = run.clearing.book.periods.height
    order = {lot: i for i, lot in enumerate(run.clearing.book.lots["lot"])}
    sold = {h: np.zeros(periods, dtype=np.int64) for h in holdings}
    leased = {h: np.zeros(periods, dtype=np.int64) for h in holdings}
    for a in run.clearing.allocation.iter_rows(named=True):
        holding = lot_holding.get(a["lot"])
        if holding is None:
            continue
        if a["period"] is None:
            sold[holding][run.capacity[order[a["lot"]]] > 0] += a["devices"]
        else:
            leased[holding][a["period"]] += a["devices"]
    label = run.clearing.book.periods["label"].to_list()
    rows = []
    for r in run.surplus.by_period.iter_rows(named=True):
        h = holdings[r["holding"]]
        t = r["period"]
        gone, let = int(sold[h.id][t]), int(leased[h.id][t])
        own = min(int(r["own_need"]), r["held"] - gone - let)
        kept = max(0, min(int(r["reserve"]), r["held"] - own - gone - let))
        rows.append((h.id, party_name(run, h.party), chip_name(h.accelerator), site_name(run, h.site), t, label[t],
                     int(r["held"]), own, kept, gone, let, int(r["held"]) - own - kept - gone - let))  # fmt: skip
    schema: Schema = {
        "holding": pl.String, "holder": pl.String, "chip": pl.String, "site": pl.String, "period": pl.Int64,
        "label": pl.String, "held": pl.Int64, "own_use": pl.Int64, "reserve": pl.Int64, "sold": pl.Int64,
        "leased": pl.Int64, "idle": pl.Int64,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def _rate(clearing: Clearing) -> dict[tuple[str, str], float]:
    """Return the rate of each (bid, lot) that has one, private yields included."""
    book = clearing.book
    bids, lots = book.bids["bid"].to_list(), book.lots["lot"].to_list()
    rate = book.rate[np.ix_(book.bid_class, book.lot_class)]
    if book.factor is not None:
        column = {name: j for j, name in enumerate(book.accelerators)}
        rate = rate * book.factor[:, [column[chip] for chip in book.lots["accelerator"]]]
    return {(bids[b], lots[x]): float(rate[b, x]) for b, x in np.argwhere(rate > 0)}


def _bare(name: str) -> str:
    return name.split(" (", maxsplit=1)[0] if name.endswith(")") else name


def _unit(kind: str) -> str:
    return "device-hour" if kind == "lease" else "device"


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))


def _micro(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.000001"))
