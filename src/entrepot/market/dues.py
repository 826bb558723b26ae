"""What does each party pay and receive in the end? Trades, what its orders are made whole with, and the fee that pays for it."""

from __future__ import annotations

import polars as pl

from entrepot.market.records import Clearing

__all__ = ["dues"]

_COLUMNS = ("received_minor", "paid_minor", "made_whole_minor", "fee_minor")


def dues(clearing: Clearing) -> pl.DataFrame:
    """Return what each party with a trade pays and receives, in whole minor units.

    Returns
    -------
    party, received_minor i64 (as seller), paid_minor i64 (as buyer), made_whole_minor i64, fee_minor i64, net_minor i64
    (received and made whole, less paid and fee); by party
    """
    book, trades = clearing.book, clearing.trades
    lots = book.lots.select(order="lot", party="seller", side=pl.lit("lot"))
    bids = book.bids.select(order="bid", party="buyer", side=pl.lit("bid"))
    orders = pl.concat([lots, bids])
    parts = (
        trades.group_by(party="seller").agg(received_minor=pl.col("payment_minor").sum()),
        trades.group_by(party="buyer").agg(paid_minor=pl.col("payment_minor").sum()),
        clearing.make_whole.join(orders, on=["order", "side"])
        .group_by("party")
        .agg(made_whole_minor=pl.col("amount_minor").sum()),
        clearing.fees.filter(pl.col("fee_minor") > 0)
        .join(orders, on=["order", "side"])
        .group_by("party")
        .agg(fee_minor=pl.col("fee_minor").sum()),
    )
    table = pl.concat(parts, how="diagonal").group_by("party").agg(pl.col(*_COLUMNS).sum())
    gets, gives = (
        pl.col("received_minor") + pl.col("made_whole_minor"),
        pl.col("paid_minor") + pl.col("fee_minor"),
    )
    return table.with_columns(net_minor=gets - gives).sort("party")
