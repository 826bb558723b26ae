"""What did each bid get, what did its work cost, and where do supply and demand for a chip meet?"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.errors import NotFound
from entrepot.market.records import MICRO, Clearing

__all__ = ["explain", "index", "mix", "price_of_work", "supply_demand"]

F64: TypeAlias = NDArray[np.float64]


def mix(clearing: Clearing) -> pl.DataFrame:
    """Return what each bid uses of each pool.

    Returns
    -------
    bid, pool, label, kind, device_hours i64 (a device bought counts every hour that its buyer owns it), devices_max i64,
    paid_minor i64, reach_mtok f64 (work that these device-hours can do)
    """
    book = clearing.book
    rate = _rates(clearing)
    return (
        clearing.trades.join(clearing.lot_pool, on="lot")
        .join(clearing.pools.select("pool", "label"), on="pool")
        .join(rate, on=["lot", "bid"])
        .group_by("bid", "pool", "label", "kind")
        .agg(
            pl.col("device_hours").sum(),
            pl.col("devices_max").max(),
            pl.col("payment_minor").sum().alias("paid_minor"),
            (pl.col("device_hours") * pl.col("rate")).sum().alias("reach_mtok"),
        )
        .join(book.bids.select("bid").with_row_index("row"), on="bid")
        .sort("row", "pool")
        .select("bid", "pool", "label", "kind", "device_hours", "devices_max", "paid_minor", "reach_mtok")
    )


def explain(clearing: Clearing) -> pl.DataFrame:
    """Return what each bid wanted and got, from which pools, what a Mtok cost it, and why the rest stayed unserved.

    Returns
    -------
    bid, buyer, service, demand_mtok, served_mtok, served_share (null without demand), pools str (with their share of the
    work that its devices can do), paid_minor i64, kept_minor f64 (worth of bought devices at the end), price_per_mtok_micro
    f64 (paid less kept, over the work served; null where nothing was), limit_micro i64, unserved_mtok, why str (null where
    nothing is unserved)
    """
    book = clearing.book
    unit = 10 ** (6 - book.minor_digits)
    hours = book.periods.select("period", "hours")
    work = (
        clearing.work.join(hours, on="period")
        .group_by("bid")
        .agg(
            (pl.col("demand_mtok_per_h") * pl.col("hours")).sum().alias("demand_mtok"),
            (pl.col("served_mtok_per_h") * pl.col("hours")).sum().alias("served_mtok"),
        )
    )
    of_mix = mix(clearing)
    reach = pl.col("reach_mtok") / pl.col("reach_mtok").sum().over("bid")
    pools = (
        of_mix.with_columns(said=pl.format("{} {}%", "label", (reach * 100).round(1)))
        .group_by("bid", maintain_order=True)
        .agg(pl.col("said").str.join("; ").alias("pools"), pl.col("paid_minor").sum())
    )
    kept = (
        clearing.trades.filter(pl.col("kind") == "sale")
        .join(book.lots.select("lot", "residual_micro"), on="lot")
        .group_by("bid")
        .agg((pl.col("devices_max") * pl.col("residual_micro") / unit).sum().alias("kept_minor"))
    )
    why = clearing.rejected.filter(pl.col("side") == "bid").select(bid="order", why="reason")
    table = (
        book.bids.join(work, on="bid", how="left", maintain_order="left")
        .join(pools, on="bid", how="left", maintain_order="left")
        .join(kept, on="bid", how="left", maintain_order="left")
        .join(why, on="bid", how="left", maintain_order="left")
        .with_columns(
            pl.col("demand_mtok", "served_mtok", "kept_minor").fill_null(0.0),
            pl.col("paid_minor").fill_null(0),
            pl.col("pools").fill_null(""),
        )
    )
    cost = (pl.col("paid_minor") - pl.col("kept_minor")) * unit / pl.col("served_mtok")
    return table.select(
        "bid",
        "buyer",
        "service",
        "demand_mtok",
        "served_mtok",
        pl.when(pl.col("demand_mtok") > 0)
        .then(pl.col("served_mtok") / pl.col("demand_mtok"))
        .alias("served_share"),
        "pools",
        "paid_minor",
        "kept_minor",
        pl.when(pl.col("served_mtok") > 0).then(cost).alias("price_per_mtok_micro"),
        "limit_micro",
        (pl.col("demand_mtok") - pl.col("served_mtok")).alias("unserved_mtok"),
        "why",
    )


def supply_demand(clearing: Clearing, accelerator: str, period: int | None = None) -> pl.DataFrame:
    """Return the step curves of supply and demand of one accelerator's leases.

    A bid's willingness to pay for a device-hour is its limit times its rate on that accelerator, and its quantity the
    devices that would serve its demand. A bid that may use other accelerators too stands in each one's curve, so the
    crossing of the two curves is not the clearing price, which weighs them all at once.

    Parameters
    ----------
    period : one period, or ``None`` for the mean over all hours

    Returns
    -------
    side "supply"|"demand", order, price (currency per device-hour), devices f64, devices_cum f64; supply by ascending
    price, demand by descending

    Raises
    ------
    NotFound : nobody offers a lease of that accelerator, or there is no such period
    """
    book = clearing.book
    lots = ((book.lots["accelerator"] == accelerator) & (book.lots["kind"] == "lease")).to_numpy()
    if not lots.any():
        raise NotFound("leased accelerator", accelerator, sorted(set(book.lots["accelerator"].to_list())))
    if period is not None and not 0 <= period < book.periods.height:
        raise NotFound("period", str(period), [str(p) for p in book.periods["period"]])
    weight = book.hours / book.hours.sum() if period is None else np.eye(book.periods.height)[period]
    offered = book.capacity[lots] @ weight
    rate = book.rate[:, np.unique(book.lot_class[lots])].max(axis=1, initial=0.0)[book.bid_class]  # (bids,)
    if book.factor is not None:
        rate = rate * book.factor[:, book.accelerators.index(accelerator)]
    devices = np.divide(book.demand @ weight, rate, out=np.zeros(len(rate)), where=rate > 0)
    supply = pl.DataFrame(
        {"order": book.lots["lot"].filter(pl.Series(lots)), "price": book.lots["ask_micro"].filter(pl.Series(lots)) / MICRO,
         "devices": offered}
    ).filter(pl.col("devices") > 0).sort("price", "order")  # fmt: skip
    demand = pl.DataFrame(
        {"order": book.bids["bid"], "price": book.bids["limit_micro"].to_numpy() * rate / MICRO, "devices": devices}
    ).filter(pl.col("devices") > 0).sort(["price", "order"], descending=[True, False])  # fmt: skip
    sides = [
        table.select(
            pl.lit(side).alias("side"),
            "order",
            "price",
            "devices",
            pl.col("devices").cum_sum().alias("devices_cum"),
        )
        for side, table in (("supply", supply), ("demand", demand))
    ]
    return pl.concat(sides)


def _rates(clearing: Clearing) -> pl.DataFrame:
    """Return the rate of each traded (lot, bid), private yields included."""
    book = clearing.book
    pairs = clearing.trades.select("lot", "bid", "accelerator")
    lot_class = pl.DataFrame({"lot": book.lots["lot"], "k": book.lot_class})
    bid_class = pl.DataFrame({"bid": book.bids["bid"], "c": book.bid_class}).with_row_index("b")
    pairs = pairs.join(lot_class, on="lot", maintain_order="left").join(
        bid_class, on="bid", maintain_order="left"
    )
    rate = book.rate[pairs["c"].to_numpy(), pairs["k"].to_numpy()]
    if book.factor is not None:
        chip = {name: j for j, name in enumerate(book.accelerators)}
        of_chip = pairs["accelerator"].replace_strict(chip, return_dtype=pl.Int64).to_numpy()
        rate = rate * book.factor[pairs["b"].to_numpy(), of_chip]
    return pairs.select("lot", "bid").with_columns(rate=pl.Series(rate, dtype=pl.Float64))


def index(clearing: Clearing) -> pl.DataFrame:
    """Return the average lease price of each chip at each site in each period, over its pools.

    Pools of one chip at one site differ in who may use them, and have prices of their own; the index is their mean, weighted
    by what is let (by what is offered, where nothing is).

    Returns
    -------
    accelerator, site, period i64, step, hour, price_micro f64 (per device-hour), supplied i64, offered i64, pools i64
    """
    leases = clearing.prices.filter(pl.col("period").is_not_null())
    keys = ["accelerator", "site", "period", "step", "hour"]
    weight = pl.when(pl.col("supplied").sum() > 0).then(pl.col("supplied")).otherwise(pl.col("offered"))
    return (
        leases.group_by(keys, maintain_order=True)
        .agg(
            ((pl.col("price_micro") * weight).sum() / weight.sum()).alias("price_micro"),
            pl.col("supplied").sum(),
            pl.col("offered").sum(),
            pl.len().cast(pl.Int64).alias("pools"),
        )
        .sort("accelerator", "site", "period")
    )


def price_of_work(clearing: Clearing) -> pl.DataFrame:
    """Return what a Mtok of each service costs at the margin in each period: its cheapest lawful pool, at each bid's yields.

    Returns
    -------
    service, period i64, cheapest_micro f64 and dearest_micro f64 (per Mtok, over the bids of the service: who may use what
        differs), bids i64; services that no pool may serve in a period have no row
    """
    book = clearing.book
    price = clearing.certificate.lease_price_micro.rename({"price_micro": "price"})
    pools = clearing.lot_pool.with_columns(k=pl.Series(book.lot_class)).unique(["pool", "k"])
    there = pools.join(price, on="pool").select("k", "period", "price")
    edges = np.argwhere(book.rate > 0)
    rates = pl.DataFrame({"c": edges[:, 0], "k": edges[:, 1], "rate": book.rate[edges[:, 0], edges[:, 1]]})
    of_bid = book.bids.select("service").with_columns(c=pl.Series(book.bid_class))
    if book.factor is None:
        least = (
            rates.join(there, on="k")
            .group_by("c", "period")
            .agg((pl.col("price") / pl.col("rate")).min().alias("cost"))
        )
        costs = of_bid.group_by("service", "c").len().join(least, on="c")
    else:
        costs = _costs_of_bids(clearing, of_bid, rates.join(there, on="k"))
    return (
        costs.group_by("service", "period")
        .agg(
            pl.col("cost").min().alias("cheapest_micro"),
            pl.col("cost").max().alias("dearest_micro"),
            pl.col("len").sum().cast(pl.Int64).alias("bids"),
        )
        .sort("service", "period")
    )


def _costs_of_bids(clearing: Clearing, of_bid: pl.DataFrame, prices: pl.DataFrame) -> pl.DataFrame:
    """Return service, period, cost (micro per Mtok at its own yields) and len (1) of each bid that some pool may serve.

    Parameters
    ----------
    prices : c, k, period, rate, price of each pair of classes in each period
    """
    book = clearing.book
    factor = np.ones((book.bids.height, len(book.accelerators))) if book.factor is None else book.factor
    chip_of_class = pl.DataFrame({"k": book.lot_class, "accelerator": book.lots["accelerator"]}).unique("k")
    least = (
        prices.join(chip_of_class, on="k")
        .group_by("c", "accelerator", "period")
        .agg((pl.col("price") / pl.col("rate")).min().alias("cost"))
    )
    bids = of_bid.with_row_index("b")
    parts = [
        bids.with_columns(own=pl.Series(factor[:, j]))
        .join(least.filter(pl.col("accelerator") == name), on="c")
        .select("b", "service", "period", pl.col("cost") / pl.col("own"))
        for j, name in enumerate(book.accelerators)
    ]
    cheapest = pl.concat(parts).group_by("b", "service", "period").agg(pl.col("cost").min())
    return cheapest.with_columns(len=pl.lit(1))
