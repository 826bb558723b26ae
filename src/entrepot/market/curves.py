"""What is offered and what would be bought of one pool, at each price of it? Supply and demand of a pool in a period.

Supply is every lot at its ask, in merit order. Demand is what would be bought of *this* pool if it cost so much and every other pool
cost what the clearing says: a bid takes it up to ``rate x min(limit, cheapest other Mtok)``, divisibly, for the work that devices it
bought do not do. Least quantities, all or nothing and one pool are left out, so the curves cross at the published price within the
slices and blocks of who stands there. Bids for a term or a total do not answer hour by hour: what they were given stands at their
limit. Of a sale there is supply alone: what devices for good are worth to a bid depends on every hour at once.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.errors import NotFound
from entrepot.market.certify import least_costs
from entrepot.market.goods import Goods, goods
from entrepot.market.records import Clearing
from entrepot.market.terms import long_bids

__all__ = ["pool_curves", "traded"]

F64: TypeAlias = NDArray[np.float64]

_SCHEMA = {
    "pool": pl.Int64, "label": pl.String, "period": pl.Int64, "side": pl.String, "order": pl.String,
    "price_micro": pl.Int64, "devices": pl.Float64, "devices_cum": pl.Float64, "published_micro": pl.Int64,
}  # fmt: skip


def traded(clearing: Clearing) -> list[tuple[int, int]]:
    """Return (pool, period) of each leased pool with trade, in the period in which most of it is let; of equals the dearest."""
    some = clearing.prices.filter(pl.col("period").is_not_null() & (pl.col("supplied") > 0))
    most = some.sort("pool", "supplied", "price_micro", "period", descending=[False, True, True, False])
    return [(int(k), int(t)) for k, t in most.unique("pool", maintain_order=True)["pool", "period"].rows()]


def pool_curves(clearing: Clearing, pool: int, period: int | None) -> pl.DataFrame:
    """Return the steps of supply and demand of a pool in a period.

    Parameters
    ----------
    period : ``None`` for a sale

    Returns
    -------
    pool, label, period, side "supply"|"demand", order, price_micro (per device-hour, of a sale per device), devices,
    devices_cum (from the cheapest supply, from the dearest demand on), published_micro

    Raises
    ------
    NotFound : there is no such pool, or it is not offered then
    """
    book, g = clearing.book, goods(clearing.book)
    row = clearing.prices.filter((pl.col("pool") == pool) & pl.col("period").eq_missing(pl.lit(period)))
    if not row.height:
        there = clearing.prices.filter(pl.col("pool") == pool)["period"].to_list()
        if there:
            raise NotFound("period", str(period), [str(t) for t in there])
        raise NotFound("pool", str(pool), [str(k) for k in clearing.pools["pool"]])
    lots = np.flatnonzero(g.lot_pool == pool)
    offered = g.usable[lots].max(axis=1, initial=0) if period is None else g.usable[lots, period]
    sides = [("supply", book.lots["lot"].gather(lots), book.lots["ask_micro"].to_numpy()[lots], offered)]
    if period is not None:
        worth, devices = _demand(clearing, g, pool, period)
        sides.append(("demand", book.bids["bid"], np.rint(worth).astype(np.int64), devices))
    tables = []
    for side, order, price, amount in sides:
        table = pl.DataFrame(
            {"order": order, "price_micro": price, "devices": np.asarray(amount, np.float64)}
        )
        table = table.filter(pl.col("devices") > 0).sort(
            "price_micro", "order", descending=[side == "demand", False]
        )
        tables.append(
            table.with_columns(
                pl.lit(pool, pl.Int64).alias("pool"),
                pl.lit(row["label"][0]).alias("label"),
                pl.lit(period, pl.Int64).alias("period"),
                pl.lit(side).alias("side"),
                pl.col("devices").cum_sum().alias("devices_cum"),
                pl.lit(int(row["price_micro"][0]), pl.Int64).alias("published_micro"),
            ).select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items())
        )
    return pl.concat(tables)


def _demand(clearing: Clearing, g: Goods, pool: int, t: int) -> tuple[F64, F64]:
    """Return (bids,) the price up to which each takes the pool, micro per device-hour, and its devices."""
    book = clearing.book
    price = np.full(len(g.is_sale), np.inf)
    here = clearing.prices.filter(pl.col("period") == t)
    price[here["pool"].to_numpy()] = here["price_micro"].to_numpy()
    price[pool] = np.inf
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    rate = g.class_rate[book.bid_class, pool]
    if book.factor is not None:
        rate = rate * book.factor[:, g.pool_chip[pool]]
    at = {name: i for i, name in enumerate(book.bids["bid"])}
    rows = clearing.allocation.join(clearing.lot_pool.select("lot", "pool"), on="lot")
    owned = np.zeros(len(limit))
    for bid, of, count in (
        rows.filter(pl.col("period").is_null()).group_by("bid", "pool").agg(pl.col("devices").sum())
        .iter_rows()
    ):  # fmt: skip
        b = at[bid]
        factor = 1.0 if book.factor is None else book.factor[b, g.pool_chip[of]]
        owned[b] += count * g.class_rate[book.bid_class[b], of] * factor * (g.start[of] <= t)
    left = np.maximum(0.0, book.demand[:, t] - owned)
    devices = np.divide(left, rate, out=np.zeros(len(rate)), where=rate > 0)
    worth = rate * np.minimum(limit, least_costs(book, g, price, t))
    long = np.logical_or(*long_bids(book))
    mine = (
        rows.filter((pl.col("pool") == pool) & (pl.col("period") == t))
        .group_by("bid")
        .agg(pl.col("devices").sum())
    )
    had = np.zeros(len(limit))
    had[[at[b] for b in mine["bid"]]] = mine["devices"].to_numpy()
    return np.where(long, rate * limit, worth), np.where(long, had, devices)
