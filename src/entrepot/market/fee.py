"""Who pays so that nobody loses? Made-whole amounts are shared out over the orders that gain, in proportion to their gains.

::

    gain_i = worth of what it gets - what it pays + what it is made whole with, in whole minor units, rounded down
    fee_i  = total gain_i / sum gain, rounded down; what is missing to the total goes to the largest remainders, one unit each

Nobody is charged more than it gains, and the fees add up to the made-whole amounts exactly. Equal remainders fall by the hash
of side and id, keyed with the seed that was committed before the gate. Only where all gains together, in whole minor units, are
less than what is to be paid (they cannot be by more than their rounding, since welfare is not negative) do fees fall short.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.goods import SALE, Goods
from entrepot.market.outcome import Outcome
from entrepot.market.records import FEES, Book

__all__ = ["fees", "shared", "tie_hash"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_SAFE = 2.0**62  # products below it are exact in 64 bits


def tie_hash(seed: str, side: str, order: str) -> str:
    """Return what decides between equal remainders: the smaller is charged."""
    return hashlib.sha256(f"{seed}\0{side}\0{order}".encode()).hexdigest()


def fees(
    book: Book, goods: Goods, out: Outcome, trades: pl.DataFrame, made_whole: pl.DataFrame
) -> pl.DataFrame:
    """Share out what orders are made whole with; as `Clearing.fees`."""
    total = int(made_whole["amount_minor"].sum() or 0)
    if total == 0:
        return pl.DataFrame(schema=dict(FEES))
    unit = float(10 ** (6 - book.minor_digits))
    hours = book.hours
    ask = book.lots["ask_micro"].to_numpy().astype(np.float64)
    asked = np.where(goods.lot_mode == SALE, out.used.max(axis=1, initial=0), out.let @ hours) * ask
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    worth = limit * (out.served @ hours)
    kept = trades.filter(pl.col("kind") == "sale").join(book.lots.select("lot", "residual_micro"), on="lot")
    worth += _by(book.bids["bid"], kept["bid"], kept["devices_max"] * kept["residual_micro"])
    tables = []
    for side, names, sign, micro in (
        ("lot", book.lots["lot"], 1.0, -asked),
        ("bid", book.bids["bid"], -1.0, worth),
    ):
        own = made_whole.filter(pl.col("side") == side)
        money = sign * _by(names, trades[side], trades["payment_minor"])
        money += _by(names, own["order"], own["amount_minor"])
        gain = np.floor(micro / unit + money + 1e-9).astype(np.int64)
        rows = np.flatnonzero(gain > 0)
        tables.append(
            pl.DataFrame(
                {
                    "order": names.gather(rows),
                    "side": pl.repeat(side, len(rows), eager=True),
                    "gain_minor": gain[rows],
                }
            )
        )
    table = pl.concat(tables)
    fee = shared(table["gain_minor"].to_numpy(), total, book.seed, table["side"], table["order"])
    return table.with_columns(fee_minor=pl.Series(fee)).cast(dict(FEES))  # type: ignore[arg-type]


def _by(names: pl.Series, of: pl.Series, amount: pl.Series) -> F64:
    """Return (names,) the sum of the amounts that stand beside each name."""
    summed = pl.DataFrame({"name": of, "amount": amount}).group_by("name").agg(pl.col("amount").sum())
    table = pl.DataFrame({"name": names}).join(summed, on="name", how="left", maintain_order="left")
    total: F64 = table["amount"].fill_null(0).to_numpy().astype(np.float64)
    return total


def shared(gain: I64, total: int, seed: str, side: pl.Series, order: pl.Series) -> I64:
    """Share a total out in proportion to gains, in whole units by largest remainder.

    Parameters
    ----------
    gain : (orders,) >= 1
    total : what is shared out; no more than all gains together

    Returns
    -------
    (orders,) at most the gain, adding up to the total
    """
    everything = int(gain.sum(dtype=object)) if len(gain) else 0
    total = min(total, everything)
    if total == 0:
        return np.zeros(len(gain), dtype=np.int64)
    wide = float(total) * float(gain.max()) >= _SAFE or everything >= _SAFE
    product = gain.astype(object) * total if wide else gain * total
    down, rest = product // everything, product % everything
    out = down.astype(np.int64)
    missing = total - int(out.sum(dtype=object))
    if missing:
        cut = np.sort(rest)[len(rest) - missing]
        out += rest > cut
        level = np.flatnonzero(rest == cut)
        short = missing - int((rest > cut).sum())
        if short < len(level):
            names = zip(side.gather(level).to_list(), order.gather(level).to_list(), strict=True)
            hashes = [tie_hash(seed, s, o) for s, o in names]
            level = level[sorted(range(len(level)), key=hashes.__getitem__)[:short]]
        out[level] += 1
    return out
