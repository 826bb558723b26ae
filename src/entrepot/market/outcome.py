"""How does a clearing look as tables? Pools, prices, allocation, work, trades, and the exact welfare of what is placed.

Money is added up in whole micro-units and rounded once per trade, half to even, to the currency's minor unit: what the
buyer pays is what the seller receives.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, SALE, WHOLE, Goods
from entrepot.market.price import Prices
from entrepot.market.records import MAKE_WHOLE, WHY_MADE_WHOLE, Book
from entrepot.market.split import FOR_GOOD, Placed
from entrepot.market.terms import long_bids, served

__all__ = [
    "Outcome",
    "allocation",
    "make_whole",
    "outcome",
    "price_table",
    "rates_of",
    "trades",
    "welfare",
    "work",
]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_EXACT = 2**62
_TOUCHED = 1e-9  # share of a demand that counts as served


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from what is placed.

    Attributes
    ----------
    used : (lots, periods) devices that bids have of a lot; a sale's in each period of its window
    let : (lots, periods) devices that the lot lets: whole blocks, at least its least quantity, and for a constant lot one
        quantity in its window
    served : (bids, periods) Mtok per hour that the placed devices do, at most the demand
    """

    used: I64
    let: I64
    served: F64


def rates_of(book: Book, lot: I64, bid: I64) -> F64:
    """Return (rows,) Mtok per device-hour of a bid on a lot, private yields included."""
    rate: F64 = book.rate[book.bid_class[bid], book.lot_class[lot]]
    if book.factor is None:
        return rate
    chips = {name: j for j, name in enumerate(book.accelerators)}
    chip = book.lots["accelerator"].replace_strict(chips, return_dtype=pl.Int64).to_numpy()
    own: F64 = rate * book.factor[bid, chip[lot]]
    return own


def outcome(book: Book, goods: Goods, placed: Placed, committed: I64 | None = None) -> Outcome:
    """Work out what lots let and bids are served.

    Parameters
    ----------
    committed : (lots,) the one quantity of whole-window lots, where it is not the most that is used
    """
    lease = placed.period != FOR_GOOD
    shape = goods.usable.shape
    used = _summed(placed.lot[lease], placed.period[lease], placed.devices[lease], shape).astype(np.int64)
    rate = rates_of(book, placed.lot, placed.bid) * placed.devices
    done = _summed(placed.bid[lease], placed.period[lease], rate[lease], book.demand.shape)
    if not lease.all():
        good = np.bincount(placed.lot[~lease], placed.devices[~lease], minlength=len(used)).astype(np.int64)
        used += good[:, None] * (goods.usable > 0)
        np.add.at(done, placed.bid[~lease], rate[~lease][:, None] * (goods.usable[placed.lot[~lease]] > 0))
    block = book.lots["block"].to_numpy()[:, None]
    fill = np.minimum(book.lots["min_fill"].to_numpy()[:, None], goods.usable)
    constant = goods.lot_mode != FLEXIBLE
    let = used.copy()
    if constant.any():
        most = used[constant].max(axis=1, initial=0)
        if committed is not None:
            most = np.where(goods.lot_mode[constant] == WHOLE, np.maximum(most, committed[constant]), most)
        let[constant] = most[:, None] * (goods.usable[constant] > 0)
    let = np.where(let > 0, np.maximum(-(-let // block) * block, -(-fill // block) * block), 0)
    return Outcome(used, let, _served(book, goods, placed, rate, done))


def _served(book: Book, goods: Goods, placed: Placed, work: F64, done: F64) -> F64:
    """Return (bids, periods) Mtok per hour served: leases, and what is owned where it may work.

    Devices bought stand idle in a period in which they do less than the bid accepts, and where a bid that wants one pool leases.

    Parameters
    ----------
    work : (rows,) Mtok per hour of what is placed
    done : (bids, periods) the same added up
    """
    lease = placed.period != FOR_GOOD
    if lease.all():
        return served(book, goods, placed.lot, placed.bid, placed.period, work, done)
    good = np.flatnonzero(~lease)
    r, t = np.nonzero(goods.usable[placed.lot[good]] > 0)
    rows = np.concatenate([np.flatnonzero(lease), good[r]])
    period = np.concatenate([placed.period[lease], t])
    leased = _summed(placed.bid[lease], placed.period[lease], work[lease], book.demand.shape)
    by_period = ~np.logical_or(*long_bids(book))
    alone = (book.bids["one_pool"].to_numpy() & by_period)[:, None] & (leased > 0)
    out = served(
        book, goods, placed.lot[rows], placed.bid[rows], period, work[rows], np.where(alone, leased, done)
    )
    least = book.bids["min_share"].to_numpy()[:, None] * book.demand * (1 - _TOUCHED)
    idle = by_period[:, None] & (leased <= 0) & (out < least)
    return np.where(idle, 0.0, out)


def _summed(row: I64, column: I64, value: NDArray[Any], shape: tuple[int, ...]) -> F64:
    """Add values up into an array of this shape."""
    flat = np.bincount(row * shape[1] + column, value, minlength=shape[0] * shape[1])
    total: F64 = flat.astype(np.float64).reshape(shape)
    return total


def welfare(book: Book, placed: Placed, o: Outcome) -> float:
    """Return value of work + residual value - asks, micro-units."""
    limit, ask = book.bids["limit_micro"].to_numpy(), book.lots["ask_micro"].to_numpy()
    value = float(limit @ (o.served @ book.hours))
    for_sale = (book.lots["kind"] == "sale").to_numpy()
    rented = float(np.where(for_sale, 0, ask) @ (o.let @ book.hours))
    good = placed.period == FOR_GOOD
    kept = (book.lots["residual_micro"].to_numpy() - ask)[placed.lot[good]] * placed.devices[good].astype(
        np.float64
    )
    return value - rented + float(kept.sum())


def make_whole(
    book: Book, goods: Goods, prices: Prices, o: Outcome, placed: Placed | None = None
) -> pl.DataFrame:
    """Return what lots would lose at the prices, in whole minor units, rounded up; as `Clearing.make_whole`.

    A lot by the hour is made whole hour by hour, any other over its window.
    """
    ask = book.lots["ask_micro"].to_numpy().astype(np.float64)
    price = prices.lease[goods.lot_pool]
    loss = (ask[:, None] * o.let - price * o.used.astype(np.float64)) * book.hours
    lot = np.where(goods.lot_mode == FLEXIBLE, np.maximum(0.0, loss).sum(axis=1), loss.sum(axis=1))
    sale = goods.lot_mode == SALE
    lot[sale] = ((ask - prices.sale[goods.lot_pool]) * o.used.max(axis=1, initial=0))[sale]
    unit = 10 ** (6 - book.minor_digits)
    due = np.ceil(lot / unit - 1e-9).astype(np.int64)
    rows = np.flatnonzero(due > 0)
    table = pl.DataFrame(
        {
            "order": book.lots["lot"].gather(rows),
            "side": ["lot"] * len(rows),
            "amount_minor": due[rows],
            "reason": [WHY_MADE_WHOLE[i] for i in _why(book, goods, price, o, rows).tolist()],
        },
        schema=dict(MAKE_WHOLE),
    )
    return table if placed is None else pl.concat([table, _bids_made_whole(book, prices, goods, placed, o)])


def _why(book: Book, goods: Goods, price: I64, o: Outcome, rows: I64) -> I64:
    """Return (rows,) which of `WHY_MADE_WHOLE` weighs most in the loss of each lot."""
    ask, mode = book.lots["ask_micro"].to_numpy()[rows].astype(np.float64), goods.lot_mode[rows]
    block = book.lots["block"].to_numpy()[rows, None]
    used, let = o.used[rows], o.let[rows]
    nodes = -(-used // block) * block
    low = np.maximum(0.0, ask[:, None] - price[rows]) * used
    of_node = ask[:, None] * np.where(let > 0, nodes - used, 0)
    beyond = ask[:, None] * np.where(let > 0, let - nodes, 0)
    whole = (mode == WHOLE)[:, None]
    parts = np.stack([low, of_node, np.where(whole, 0.0, beyond), np.where(whole, beyond, 0.0)])
    why: I64 = (parts @ book.hours).argmax(axis=0)
    return np.where(mode == SALE, 0, why)


def _bids_made_whole(book: Book, prices: Prices, goods: Goods, placed: Placed, o: Outcome) -> pl.DataFrame:
    """Return what bids would lose: hour by hour, or over its window what a bid for a term or a total would.

    One is taken at a small loss where it fills devices that stand idle otherwise, and so gains more for all than it loses.
    Bids that buy devices weigh the whole horizon, and are never taken at a loss.
    """
    own = np.logical_or(*long_bids(book))
    live = goods.is_sale & (goods.offered > 0).any(axis=1)
    buys = np.asarray(((goods.class_rate > 0) & live).any(axis=1))[book.bid_class] & ~own
    pool, t = goods.lot_pool[placed.lot], np.maximum(placed.period, 0)
    good = placed.period == FOR_GOOD
    hours = np.where(good, 0.0, placed.devices * book.hours[t])
    kept = np.where(good, prices.sale[pool] - goods.residual[pool], 0) * placed.devices
    shape = book.demand.shape
    paid = _summed(placed.bid, t, prices.lease[pool, t] * hours + kept, shape)
    loss = paid - book.bids["limit_micro"].to_numpy()[:, None] * o.served * book.hours
    # the same room for rounding that a lot has: a price may be a micro-unit above the exact one
    hourly = np.where(loss > _summed(placed.bid, t, hours, shape), loss, 0.0).sum(axis=1)
    over = loss.sum(axis=1)
    lost = np.where(buys, 0.0, np.where(own, np.where(over > 1.0, over, 0.0), hourly))
    due = np.ceil(lost / 10 ** (6 - book.minor_digits) - 1e-9).astype(np.int64)
    some = np.flatnonzero(due > 0)
    return pl.DataFrame(
        {
            "order": book.bids["bid"].gather(some),
            "side": ["bid"] * len(some),
            "amount_minor": due[some],
            "reason": [WHY_MADE_WHOLE[-1]] * len(some),
        },
        schema=dict(MAKE_WHOLE),
    )


def price_table(book: Book, pooled: Goods, prices: Prices, of_lots: I64) -> pl.DataFrame:
    """Return the prices of each pool, period by period; as `Clearing.prices`."""
    supplied: I64 = np.zeros(pooled.offered.shape, dtype=np.int64)
    for t in range(pooled.offered.shape[1]):
        supplied[:, t] = np.bincount(pooled.lot_pool, of_lots[:, t], minlength=len(supplied))
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


def trades(book: Book, pooled: Goods, prices: Prices, placed: Placed) -> pl.DataFrame:
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
        of_window = hours[t]
        if good.any():
            of_window = np.where(good, (pooled.usable > 0)[placed.lot] @ hours, hours[t])
        device_hours = np.add.reduceat(placed.devices * of_window, begin)
        most = np.maximum.reduceat(placed.devices, begin)
    minor = _half_even(amount, 10 ** (6 - book.minor_digits))
    units = np.where(good[begin], most, device_hours) if len(begin) else device_hours
    mean = _half_even(amount, np.maximum(units, 1)) if len(begin) else amount
    width = max(4, len(str(len(begin))))
    lots, bids = book.lots[lot], book.bids[bid]
    number = pl.int_range(1, len(begin) + 1, eager=True)
    return pl.DataFrame(
        {
            "trade": "trade-" + number.cast(pl.String).str.zfill(width),
            "lot": lots["lot"],
            "seller": lots["seller"],
            "bid": bids["bid"],
            "buyer": bids["buyer"],
            "accelerator": lots["accelerator"],
            "site": lots["site"],
            "kind": lots["kind"],
            "provenance": lots["provenance"],
            "devices_max": most,
            "device_hours": _rounded(device_hours),
            "payment_minor": _rounded(minor),
            "unit_price_micro": _rounded(mean),
        }
    )


def _rounded(values: NDArray[Any]) -> I64:
    """Return whole numbers, from any kind of exact ones."""
    if values.dtype != object:
        whole: I64 = np.rint(values).astype(np.int64)
        return whole
    return np.array([round(v) for v in values], dtype=np.int64)


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
