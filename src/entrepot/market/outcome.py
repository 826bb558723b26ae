"""How does a clearing look as tables? Pools, prices, allocation, work, trades, and the exact welfare of what is placed.

Money is added up in whole micro-units and rounded once per trade, half to even, to the currency's minor unit: what the
buyer pays is what the seller receives.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.pool import FLEXIBLE, Pooled
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.split import FOR_GOOD, Placed

__all__ = ["allocation", "price_table", "served", "sold", "trades", "welfare", "work"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_EXACT = 2**62


def served(book: Book, pooled: Pooled, placed: Placed) -> F64:
    """Return (bids, periods) Mtok per hour that the placed devices do, at most the demand."""
    done = np.zeros(book.demand.shape)
    rate = book.rate[book.bid_class[placed.bid], book.lot_class[placed.lot]] * placed.devices
    lease = placed.period != FOR_GOOD
    np.add.at(done, (placed.bid[lease], placed.period[lease]), rate[lease])
    owned = pooled.usable[placed.lot[~lease]] > 0
    np.add.at(done, placed.bid[~lease], rate[~lease][:, None] * owned)
    return np.minimum(done, book.demand)


def sold(pooled: Pooled, placed: Placed) -> I64:
    """Return (lots, periods) devices of each lot that are sold; a constant lot's one quantity all over its window."""
    total = np.zeros(pooled.usable.shape, dtype=np.int64)
    lease = placed.period != FOR_GOOD
    np.add.at(total, (placed.lot[lease], placed.period[lease]), placed.devices[lease])
    good = np.bincount(placed.lot[~lease], placed.devices[~lease], minlength=len(total)).astype(np.int64)
    total += good[:, None] * (pooled.usable > 0)
    constant = pooled.lot_mode != FLEXIBLE
    total[constant] = total[constant].max(axis=1, initial=0)[:, None] * (pooled.usable[constant] > 0)
    return total


def welfare(book: Book, placed: Placed, of_lots: I64, of_bids: F64) -> float:
    """Return value of work + residual value - asks, micro-units."""
    limit, ask = book.bids["limit_micro"].to_numpy(), book.lots["ask_micro"].to_numpy()
    value = (limit[:, None] * of_bids * book.hours).sum()
    for_sale = (book.lots["kind"] == "sale").to_numpy()
    rented = (ask[~for_sale, None] * of_lots[~for_sale] * book.hours).sum()
    good = placed.period == FOR_GOOD
    kept = (book.lots["residual_micro"].to_numpy() - ask)[placed.lot[good]] * placed.devices[good].astype(
        np.float64
    )
    return float(value - rented + kept.sum())


def price_table(book: Book, pooled: Pooled, prices: Prices, of_lots: I64) -> pl.DataFrame:
    """Return the prices of each pool, period by period; as `Clearing.prices`."""
    supplied = np.zeros(pooled.offered.shape, dtype=np.int64)
    np.add.at(supplied, pooled.lot_pool, of_lots)
    pool, period = np.nonzero((pooled.offered > 0) & ~pooled.is_sale[:, None])
    for_sale = np.flatnonzero(pooled.is_sale & (pooled.offered > 0).any(axis=1))
    lease = pl.DataFrame(
        {
            "pool": pool,
            "period": period,
            "price_micro": prices.lease[pool, period],
            "supplied": supplied[pool, period],
            "offered": pooled.offered[pool, period],
        }
    ).join(book.periods.select("period", "step", "hour"), on="period", how="left", maintain_order="left")
    sale = pl.DataFrame(
        {
            "pool": for_sale,
            "price_micro": prices.sale[for_sale],
            "supplied": supplied[for_sale].max(axis=1, initial=0),
            "offered": pooled.offered[for_sale].max(axis=1, initial=0),
        }
    )
    table = pl.concat([lease, sale], how="diagonal")
    names = pooled.pools.select("pool", "label", "accelerator", "site", "kind")
    return table.join(names, on="pool", maintain_order="left").select(
        "pool",
        "label",
        "accelerator",
        "site",
        "kind",
        "period",
        "step",
        "hour",
        "price_micro",
        "supplied",
        "offered",
    )


def allocation(book: Book, placed: Placed) -> pl.DataFrame:
    """Return one row per lot, bid and period with devices; as `Clearing.allocation`."""
    period = pl.Series("period", placed.period)
    return pl.DataFrame(
        {
            "lot": book.lots["lot"].gather(placed.lot),
            "bid": book.bids["bid"].gather(placed.bid),
            "period": period.set(period == FOR_GOOD, None) if len(period) else period,
            "devices": placed.devices,
        }
    )


def work(book: Book, of_bids: F64) -> pl.DataFrame:
    """Return demand and work served of each bid in each period in which it wants any; as `Clearing.work`."""
    bid, period = np.nonzero(book.demand > 0)
    return pl.DataFrame(
        {
            "bid": book.bids["bid"].gather(bid),
            "period": period,
            "demand_mtok_per_h": book.demand[bid, period],
            "served_mtok_per_h": of_bids[bid, period],
        }
    )


def trades(book: Book, pooled: Pooled, prices: Prices, placed: Placed) -> pl.DataFrame:
    """Return one trade per lot and bid, with its payment in whole minor units; as `Clearing.trades`."""
    good = placed.period == FOR_GOOD
    t = np.where(good, 0, placed.period)
    pool = pooled.lot_pool[placed.lot]
    price = np.where(good, prices.sale[pool], prices.lease[pool, t])
    new = np.ones(len(placed.lot), dtype=np.bool_)
    new[1:] = (np.diff(placed.lot) != 0) | (np.diff(placed.bid) != 0)
    begin = np.flatnonzero(new)
    lot, bid = placed.lot[begin], placed.bid[begin]
    hours = _whole_hours(book.hours)
    if not len(begin):
        amount = device_hours = most = np.zeros(0, dtype=np.int64)
    else:
        time = np.where(good, 1, hours[t])
        amount = np.add.reduceat(_product(price, placed.devices, time), begin)
        of_window = np.where(good, (pooled.usable > 0)[placed.lot] @ hours, hours[t])
        device_hours = np.add.reduceat(placed.devices * of_window, begin)
        most = np.maximum.reduceat(placed.devices, begin)
    minor = _half_even(amount, 10 ** (6 - book.minor_digits))
    units = np.where(good[begin], most, device_hours) if len(begin) else device_hours
    mean = _half_even(amount, np.maximum(units, 1)) if len(begin) else amount
    width = max(4, len(str(len(begin))))
    lots, bids = book.lots[lot], book.bids[bid]
    return pl.DataFrame(
        {
            "trade": [f"trade-{i:0{width}d}" for i in range(1, len(begin) + 1)],
            "lot": lots["lot"],
            "seller": lots["seller"],
            "bid": bids["bid"],
            "buyer": bids["buyer"],
            "accelerator": lots["accelerator"],
            "site": lots["site"],
            "kind": lots["kind"],
            "provenance": lots["provenance"],
            "devices_max": most,
            "device_hours": np.array([round(v) for v in device_hours], dtype=np.int64),
            "payment_minor": np.array([int(v) for v in minor], dtype=np.int64),
            "unit_price_micro": np.array([int(v) for v in mean], dtype=np.int64),
        }
    )


def _whole_hours(hours: F64) -> NDArray[Any]:
    """Return hours as whole numbers, or as exact fractions where they are not."""
    if (hours == np.rint(hours)).all():
        return hours.astype(np.int64)
    return np.array([Fraction(float(h)) for h in hours], dtype=object)


def _product(price: I64, devices: I64, hours: NDArray[Any]) -> NDArray[Any]:
    """Multiply exactly: in 64 bits where the sum over all rows fits, else in Python's integers."""
    most = (
        int(price.max(initial=0)) * int(devices.max(initial=0)) * int(max(hours, default=0) + 1) * len(price)
    )
    if most >= _EXACT or hours.dtype == object:
        return np.asarray(price.astype(object) * devices.astype(object) * hours.astype(object))
    return np.asarray(price * devices * hours)


def _half_even(amount: NDArray[Any], unit: int | NDArray[Any]) -> NDArray[Any]:
    """Divide and round half to even, exactly."""
    quotient, rest = amount // unit, amount % unit
    return np.asarray(quotient + ((rest * 2 > unit) | ((rest * 2 == unit) & (quotient % 2 == 1))))
