"""What changes between two clearings, in words and money that people read?"""

from __future__ import annotations

import polars as pl

from entrepot.market.what_if import Compared

__all__ = ["what_if_tables"]

_SHOWN = 20  # rows of a table for people
_TOUCHED = 1e-6


def what_if_tables(compared: Compared, *, brief: bool = False) -> dict[str, pl.DataFrame]:
    """Return totals, prices, orders and parties, before and after.

    Parameters
    ----------
    brief : only what changes, largest changes first, at most twenty rows each

    Returns
    -------
    totals : what, before, after, change; prices : pool, kind, before, after, change (relative); orders : side, order, before,
        after, change (shares accepted); parties : party, before, after, change. Money is in the currency
    """
    money = [pl.col(c) / 1e6 for c in ("before", "after")]
    totals = compared.totals.with_columns(before=_scaled("before"), after=_scaled("after")).with_columns(
        change=pl.col("after") - pl.col("before")
    )
    prices = compared.prices.with_columns(money).rename({"label": "pool"})
    parties = compared.parties.with_columns(money).with_columns(change=pl.col("change") / 1e6)
    orders = compared.orders
    if brief:
        prices = prices.filter(pl.col("change").is_null() | (pl.col("change").abs() > _TOUCHED)).head(_SHOWN)
        orders = orders.filter(pl.col("change").is_null() | (pl.col("change").abs() > _TOUCHED)).head(_SHOWN)
        parties = parties.filter(pl.col("change").abs() > 0.01)
        if parties.height > _SHOWN:
            parties = pl.concat([parties.head(_SHOWN // 2), parties.tail(_SHOWN // 2)])
    return {
        "totals": totals,
        "prices": _rounded(prices.select("pool", "kind", "before", "after", "change")),
        "orders": _rounded(orders.select("side", "order", "before", "after", "change")),
        "parties": _rounded(parties),
    }


def _scaled(column: str) -> pl.Expr:
    """Money of the totals in the currency; shares as they are."""
    amount = pl.col("what").is_in(["welfare", "bound", "paid"])
    return pl.when(amount).then(pl.col(column) / 1e6).otherwise(pl.col(column))


def _rounded(table: pl.DataFrame) -> pl.DataFrame:
    """Round to what a person reads; exact figures are in the clearings."""
    return table.with_columns(pl.col(pl.Float64).round(6))
