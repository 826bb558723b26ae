"""How deep is each pool, and in how few hands? Offers near the price, and concentration of sellers and buyers.

The Herfindahl-Hirschman index (HHI) is the sum of squared shares in percent: 10,000 for a single hand. The Merger
Guidelines of the U.S. Department of Justice and the FTC (2023, guideline 1) call a market above 1,800 highly concentrated.
Thin, concentrated pools are where a price can be moved: the table is there so that anyone can see them.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.records import Clearing

__all__ = ["CONCENTRATED", "depth"]

F64: TypeAlias = NDArray[np.float64]

CONCENTRATED = 1_800
_NEAR = 0.10  # of the price


def depth(clearing: Clearing) -> pl.DataFrame:
    """Return the depth and concentration of each pool.

    Returns
    -------
    pool, label, kind, lots, sellers, bids (that may use it), buyers, offered, placed (device-hours; devices of a sale),
    near_price (share of the offer whose ask lies within 10 % of the price, either side; null without an offer),
    hhi_offered, hhi_sold (of sellers, by what they offer and sell), hhi_bought (of buyers), largest_seller_share; null where
    nothing is offered or sold
    """
    book = clearing.book
    pool = (
        clearing.lot_pool.join(book.lots.select("lot").with_row_index("row"), on="lot")
        .sort("row")["pool"]
        .to_numpy()
    )
    sale = (book.lots["kind"] == "sale").to_numpy()
    worth = np.where(sale, book.capacity.max(axis=1, initial=0), book.capacity @ book.hours)
    mean = _mean_price(clearing)
    price = np.array([mean.get(int(k), 0.0) for k in pool])
    near = np.abs(book.lots["ask_micro"].to_numpy() - price) <= _NEAR * price
    offers = pl.DataFrame(
        {"pool": pool, "seller": book.lots["seller"], "offered": worth, "near": np.where(near, worth, 0.0)}
    )
    sold = (
        clearing.trades.join(clearing.lot_pool, on="lot")
        .with_columns(
            amount=pl.when(pl.col("kind") == "sale")
            .then(pl.col("devices_max"))
            .otherwise(pl.col("device_hours"))
        )
        .select("pool", "seller", "buyer", "amount")
    )
    able = _able(clearing, pool)
    table = (
        clearing.pools.select("pool", "label", "kind", "lots")
        .join(_hhi(offers, "seller", "offered", "hhi_offered"), on="pool", how="left")
        .join(_hhi(sold, "seller", "amount", "hhi_sold"), on="pool", how="left")
        .join(_hhi(sold, "buyer", "amount", "hhi_bought"), on="pool", how="left")
        .join(
            offers.group_by("pool").agg(
                pl.col("seller").n_unique().cast(pl.Int64).alias("sellers"),
                pl.col("offered").sum(),
                pl.col("near").sum(),
            ),
            on="pool",
            how="left",
        )
        .join(
            offers.group_by("pool", "seller")
            .agg(pl.col("offered").sum())
            .group_by("pool")
            .agg((pl.col("offered").max() / pl.col("offered").sum()).alias("largest_seller_share")),
            on="pool",
            how="left",
        )
        .join(sold.group_by("pool").agg(pl.col("amount").sum().alias("placed")), on="pool", how="left")
        .join(able, on="pool", how="left")
    )
    some = pl.col("offered") > 0
    return table.sort("pool").select(
        "pool",
        "label",
        "kind",
        "lots",
        "sellers",
        pl.col("bids").fill_null(0),
        pl.col("buyers").fill_null(0),
        pl.col("offered").cast(pl.Float64),
        pl.col("placed").cast(pl.Float64).fill_null(0.0),
        pl.when(some).then(pl.col("near") / pl.col("offered")).alias("near_price"),
        "hhi_offered",
        "hhi_sold",
        "hhi_bought",
        pl.when(some).then("largest_seller_share").alias("largest_seller_share"),
    )


def _hhi(table: pl.DataFrame, who: str, amount: str, name: str) -> pl.DataFrame:
    """Return the HHI of each pool, 0 to 10,000; pools without any amount are left out."""
    share = pl.col(amount) / pl.col(amount).sum().over("pool")
    return (
        table.group_by("pool", who)
        .agg(pl.col(amount).sum())
        .filter(pl.col(amount).sum().over("pool") > 0)
        .group_by("pool")
        .agg((share * 100).pow(2).sum().round(0).cast(pl.Int64).alias(name))
        if table.height
        else pl.DataFrame(schema={"pool": pl.Int64, name: pl.Int64})
    )


def _mean_price(clearing: Clearing) -> dict[int, float]:
    """Return each pool's mean price in micro-units, weighted by hours."""
    hours = clearing.book.periods.select("period", "hours")
    table = (
        clearing.prices.join(hours, on="period", how="left")
        .with_columns(pl.col("hours").fill_null(1.0))
        .group_by("pool")
        .agg((pl.col("price_micro") * pl.col("hours")).sum() / pl.col("hours").sum())
    )
    return {int(k): float(v) for k, v in table.iter_rows()}


def _able(clearing: Clearing, pool: NDArray[np.int64]) -> pl.DataFrame:
    """Return how many bids and buyers may use each pool at some rate."""
    book = clearing.book
    kinds = pl.DataFrame({"pool": pool, "lot_class": book.lot_class}).unique("pool")
    bid_class, lot_class = np.nonzero(book.rate > 0)
    edges = pl.DataFrame({"bid_class": bid_class, "lot_class": lot_class})
    bids = pl.DataFrame({"bid_class": book.bid_class, "buyer": book.bids["buyer"]})
    return (
        kinds.join(edges, on="lot_class")
        .join(bids, on="bid_class")
        .group_by("pool")
        .agg(pl.len().cast(pl.Int64).alias("bids"), pl.col("buyer").n_unique().cast(pl.Int64).alias("buyers"))
    )
