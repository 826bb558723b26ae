"""Does what orders are made whole with come from those that gain, in proportion, and from nobody more than it gains?

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.facts import MICRO_ROOM, RELATIVE, Facts, Finding, rows_of

__all__ = ["check_fees", "gains"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


def gains(f: Facts, side: str) -> tuple[F64, F64]:
    """Return (orders,) what each order of a side gains, made whole, in minor units, and the room that floating point needs."""
    book, trades = f.book, f.clearing.trades
    names = book.lots["lot"] if side == "lot" else book.bids["bid"]
    at = rows_of(trades[side], names)
    money = np.bincount(at, trades["payment_minor"].to_numpy().astype(np.float64), minlength=len(names))
    unit = 10.0 ** (6 - book.minor_digits)
    if side == "lot":
        asks = f.ask * np.where(f.is_sale, f.quantity, f.let @ book.hours)
        gain, scale = money + (f.made_whole - asks) / unit, money + asks / unit
    else:
        worth = f.limit * (f.served @ book.hours)
        bought = f.period < 0
        worth += np.bincount(
            f.bid[bought], (f.residual[f.lot] * f.devices.astype(np.float64))[bought], minlength=len(names)
        )
        gain, scale = (worth + f.bid_made_whole) / unit - money, money + worth / unit
    return gain, RELATIVE * scale + MICRO_ROOM / unit


def check_fees(f: Facts) -> Finding:
    """Compare the gains stated with those found, and every fee with the exact share of the total."""
    table = f.clearing.fees
    total = int(f.clearing.make_whole["amount_minor"].sum() or 0)
    if total == 0:
        return (
            None if not table.height else "orders are charged, and nobody is made whole"
        ), "nobody is made whole"
    if table.filter(~pl.col("side").is_in(["lot", "bid"]) | (pl.col("gain_minor") < 1)).height:
        return "a fee is of neither a lot nor a bid, or of an order that gains nothing", ""
    for side, names in (("lot", f.book.lots["lot"]), ("bid", f.book.bids["bid"])):
        own = table.filter(pl.col("side") == side)
        strange = own.filter(~pl.col("order").is_in(names.implode()))
        if strange.height:
            return f"{side} {strange['order'][0]} is charged, and is not in the book", ""
        stated = np.zeros(len(names))
        stated[rows_of(own["order"], names)] = own["gain_minor"].to_numpy()
        mine, room = gains(f, side)
        wrong = np.flatnonzero((stated > np.maximum(mine, 0) + room) | (stated + 1 < mine - room))
        if len(wrong):
            i = int(wrong[0])
            return f"{side} {names[i]} gains {mine[i]:.2f} minor units, and {stated[i]:.0f} are stated", ""
    return _check_shares(f, table, total)


def _check_shares(f: Facts, table: pl.DataFrame, total: int) -> Finding:
    """Compare the fees with the shares of the total, exactly."""
    gain, fee = table["gain_minor"].to_numpy(), table["fee_minor"].to_numpy()
    everything = int(gain.sum(dtype=object)) if len(gain) else 0
    paid = min(total, everything)
    charged = int(fee.sum(dtype=object)) if len(fee) else 0
    if charged != paid:
        return f"fees of {charged} minor units are charged, and {paid} are due", ""
    if total - paid > table.height + f.clearing.make_whole.height:
        return f"all gains are {everything} minor units, less than the {total} that make orders whole", ""
    if not paid:
        return None, f"nobody gains a whole minor unit; {total} short"
    exact = float(paid) * float(gain.max()) < 2.0**62
    product = gain * paid if exact else gain.astype(object) * paid
    whole, rest = product // everything, product % everything
    up = fee == whole + 1
    wrong = np.flatnonzero((fee > gain) | ~(up | (fee == whole)))
    if len(wrong):
        i = wrong[0]
        return f"{_order(table, i)} is charged {fee[i]} minor units, and its share is {whole[i]}", ""
    if up.any() and not up.all():
        least, most = rest[up].min(), rest[~up].max()
        above, below = np.flatnonzero(up & (rest == least)), np.flatnonzero(~up & (rest == most))
        level = least == most and max(_tie(f, i) for i in above) > min(_tie(f, i) for i in below)
        if least < most or level:
            return (
                f"{_order(table, below[0])} comes before {_order(table, above[0])}, which is charged instead",
                "",
            )
    return None, f"{paid} minor units from {len(gain)} orders that gain, in proportion; {total - paid} short"


def _order(table: pl.DataFrame, i: int | np.int64) -> str:
    return f"{table['side'][int(i)]} {table['order'][int(i)]}"


def _tie(f: Facts, i: np.int64) -> str:
    """Return the hash by which equal remainders fall."""
    side, order = f.clearing.fees["side"][int(i)], f.clearing.fees["order"][int(i)]
    return hashlib.sha256(f"{f.book.seed}\0{side}\0{order}".encode()).hexdigest()
