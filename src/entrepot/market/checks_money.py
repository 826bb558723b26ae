"""Is the money right? One price per good, nobody loses, exact payments, and the bound that the prices prove.

Part of checking: nothing here is shared with the code that found the clearing. The bound is weak duality, order by order;
docs/market.md has its proof.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.facts import MICRO_ROOM, RELATIVE, Facts, Finding, rows_of

__all__ = [
    "best_of_bids",
    "best_of_lots",
    "bound",
    "buyer_surplus",
    "check_bound",
    "check_buyers",
    "check_gap",
    "check_payments",
    "check_pools",
    "check_prices",
    "check_sellers",
    "check_welfare",
    "micro_paid",
    "paid_minor",
    "round_half_even",
    "surplus_of_lots",
    "trade_keys",
    "welfare",
]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


def _pool_keys(f: Facts) -> pl.Series:
    """Return a number for each lot's good, from its own attributes and the columns of law and rate."""
    book = f.book
    law = np.zeros(book.rate.shape, dtype=np.uint8)
    law[book.permits["bid_class"].to_numpy(), book.permits["lot_class"].to_numpy()] = book.permits[
        "permitted"
    ].to_numpy()
    seen: dict[bytes, int] = {}
    of_class = [
        seen.setdefault(law[:, k].tobytes() + book.rate[:, k].tobytes(), len(seen))
        for k in range(book.rate.shape[1])
    ]
    first = np.where(f.usable > 0, np.arange(f.usable.shape[1]), f.usable.shape[1]).min(
        axis=1, initial=f.usable.shape[1]
    )
    keys = book.lots.select("accelerator", "site", "kind", "provenance").with_columns(
        law=pl.Series(np.asarray(of_class, dtype=np.int64)[book.lot_class]),
        delivery=pl.Series(np.where(f.is_sale, first, 0)),
        residual=pl.Series(np.where(f.is_sale, f.residual, 0)),
    )
    return keys.select(pl.struct(pl.all()).rank("dense")).to_series()


def check_pools(f: Facts) -> Finding:
    """Compare the published pools with the goods that law, rates and attributes make."""
    stated = f.clearing.lot_pool.join(f.book.lots.select("lot").with_row_index("row"), on="lot").sort("row")
    both = pl.DataFrame({"mine": _pool_keys(f), "stated": stated["pool"], "lot": stated["lot"]})
    for one, other, say in (
        ("stated", "mine", "stand in one pool but are different goods"),
        ("mine", "stated", "are one good but stand in different pools"),
    ):
        mixed = both.filter(pl.col(other).n_unique().over(one) > 1)
        if mixed.height:
            group = mixed.filter(pl.col(one) == mixed[one][0]).unique(other, maintain_order=True)
            first, second = group["lot"].to_list()[:2]
            return f"lots {first} and {second} {say}", ""
    return None, f"{both['stated'].n_unique()} goods"


def check_prices(f: Facts) -> Finding:
    """Look for a price that is missing, negative, or not the one that is proved."""
    certificate, table = f.clearing.certificate, f.clearing.prices
    for prices in (certificate.lease_price_micro, certificate.sale_price_micro, certificate.work_price_micro):
        if (prices["price_micro"] < 0).any() or prices["price_micro"].null_count():
            return (
                f"a price is negative or missing: {prices.filter((pl.col('price_micro') < 0) | pl.col('price_micro').is_null()).row(0)}",
                "",
            )
    of_lease = table.filter(pl.col("period").is_not_null()).select("pool", "period", "price_micro")
    of_sale = table.filter(pl.col("period").is_null()).select("pool", "price_micro")
    for shown, proved in ((of_lease, certificate.lease_price_micro), (of_sale, certificate.sale_price_micro)):
        keys = proved.columns[:-1]
        joined = shown.join(proved, on=keys, how="full", coalesce=True, suffix="_proved")
        apart = joined.filter(pl.col("price_micro").ne_missing(pl.col("price_micro_proved")))
        if apart.height or shown.height != proved.height:
            return (
                f"the price table and the certificate differ, first at pool {apart['pool'][0] if apart.height else '?'}",
                "",
            )
    pool = (
        f.clearing.lot_pool.join(f.book.lots.select("lot").with_row_index("row"), on="lot")
        .sort("row")["pool"]
        .to_numpy()
    )
    offered: dict[tuple[int, int], int] = {}
    i, t = np.nonzero((f.usable > 0) & ~f.is_sale[:, None])
    offered = dict.fromkeys(zip(pool[i].tolist(), t.tolist(), strict=True), 1)
    priced = set(certificate.lease_price_micro.select("pool", "period").iter_rows())
    missing = offered.keys() - priced
    for_sale = set(pool[f.is_sale & (f.usable > 0).any(axis=1)].tolist()) - set(
        certificate.sale_price_micro["pool"].to_list()
    )
    if missing or for_sale:
        return f"no price for pool {min(missing)[0] if missing else min(for_sale)}, which offers devices", ""
    return None, f"{len(priced)} lease and {of_sale.height} sale prices, whole micro-units, none negative"


def check_sellers(f: Facts) -> Finding:
    """Look for a lot that is sold below its ask."""
    flexible = ~(f.whole | f.is_sale)[:, None]
    loses = flexible & (f.sold > 0) & (f.price < f.ask[:, None])
    window = f.book.capacity > 0
    margin = (np.where(window, f.price - f.ask[:, None], 0) * f.book.hours).sum(axis=1)
    room = MICRO_ROOM * (window @ f.book.hours)
    total = f.whole & (f.quantity > 0) & (margin < -room - RELATIVE * f.ask * (window @ f.book.hours))
    sale = f.is_sale & (f.quantity > 0) & (f.sale_price < f.ask)
    wrong = np.flatnonzero(loses.any(axis=1) | total | sale)
    if len(wrong):
        return f"lot {f.lot_name(wrong[0])} is sold below its ask", ""
    return None, "every lot gets at least its ask"


def check_buyers(f: Facts) -> Finding:
    """Look for a bid that pays more than its work is worth to it."""
    surplus, scale, devices = buyer_surplus(f)
    tolerance = RELATIVE * scale + MICRO_ROOM * devices
    hourly = (~f.buys)[:, None] & (surplus < -tolerance)
    over_all = f.buys & (surplus.sum(axis=1) < -tolerance.sum(axis=1))
    wrong = np.flatnonzero(hourly.any(axis=1) | over_all)
    if len(wrong):
        return f"bid {f.bid_name(wrong[0])} pays more than its work is worth to it", ""
    return (
        None,
        "no bid pays more than its limit for the work done (a bid that buys devices: over the horizon)",
    )


def buyer_surplus(f: Facts) -> tuple[F64, F64, F64]:
    """Return (bids, periods) value less price, its scale, and device-hours; a sale counts in its first period."""
    value = f.limit[:, None] * f.served * f.book.hours
    paid, kept, devices = np.zeros(value.shape), np.zeros(value.shape), np.zeros(value.shape)
    lease = f.period >= 0
    t, h = f.period[lease], f.book.hours[f.period[lease]]
    np.add.at(paid, (f.bid[lease], t), f.price[f.lot[lease], t] * f.devices[lease] * h)
    np.add.at(devices, (f.bid[lease], t), f.devices[lease] * h)
    for r in np.flatnonzero(~lease):
        first = int(np.argmax(f.book.capacity[f.lot[r]] > 0))
        paid[f.bid[r], first] += float(f.sale_price[f.lot[r]]) * f.devices[r]
        kept[f.bid[r], first] += float(f.residual[f.lot[r]]) * f.devices[r]
        devices[f.bid[r], first] += f.devices[r]
    return value + kept - paid, value + kept + paid, devices


def micro_paid(f: Facts, rows: I64) -> dict[tuple[int, int], int | Fraction]:
    """Return what each (lot, bid) of the chosen allocation rows comes to, exactly, in micro-units."""
    hours = [int(h) if float(h).is_integer() else Fraction(float(h)) for h in f.book.hours]
    total: dict[tuple[int, int], int | Fraction] = {}
    columns = (f.lot[rows].tolist(), f.bid[rows].tolist(), f.period[rows].tolist(), f.devices[rows].tolist())
    lease_price = f.price[f.lot[rows], np.maximum(f.period[rows], 0)].tolist()
    sale_price = f.sale_price[f.lot[rows]].tolist()
    for i, b, t, n, lease, sale in zip(*columns, lease_price, sale_price, strict=True):
        total[i, b] = total.get((i, b), 0) + (sale * n if t < 0 else lease * n * hours[t])
    return total


def round_half_even(micro: int | Fraction, unit: int) -> int:
    """Return micro-units in whole units of ``unit`` micro, half to even."""
    return round(Fraction(micro) / unit) if micro % unit else int(micro // unit)


def paid_minor(f: Facts) -> dict[tuple[int, int], int]:
    """Return the payment due of each (lot, bid) in whole minor units."""
    unit = 10 ** (6 - f.book.minor_digits)
    return {
        pair: round_half_even(micro, unit) for pair, micro in micro_paid(f, np.arange(len(f.lot))).items()
    }


def trade_keys(f: Facts) -> list[tuple[int, int]]:
    """Return the (lot, bid) of each published trade."""
    lots, bids = (
        rows_of(f.clearing.trades["lot"], f.book.lots["lot"]),
        rows_of(f.clearing.trades["bid"], f.book.bids["bid"]),
    )
    return list(zip(lots.tolist(), bids.tolist(), strict=True))


def check_payments(f: Facts) -> Finding:
    """Compare every trade with price times devices times hours."""
    trades, keys, paid = f.clearing.trades, trade_keys(f), paid_minor(f)
    stated = dict(zip(keys, trades["payment_minor"].to_list(), strict=True))
    for pair in paid.keys() | stated.keys():
        if paid.get(pair) != stated.get(pair):
            return (
                f"lot {f.lot_name(pair[0])}, bid {f.bid_name(pair[1])}: {stated.get(pair)} stated, {paid.get(pair)} due",
                "",
            )
    lots, bids = (
        np.asarray([k[0] for k in keys], dtype=np.int64),
        np.asarray([k[1] for k in keys], dtype=np.int64),
    )
    for column, order in (
        ("seller", lots),
        ("accelerator", lots),
        ("site", lots),
        ("kind", lots),
        ("provenance", lots),
        ("buyer", bids),
    ):
        own = (f.book.bids if column == "buyer" else f.book.lots)[column].gather(order)
        wrong = trades.filter(pl.lit(own.alias("own")) != pl.col(column))
        if wrong.height:
            return f"{wrong['trade'][0]}: {column} is not that of its order", ""
    window = (f.book.capacity > 0) @ f.book.hours
    time = np.where(f.period < 0, window[f.lot], f.book.hours[np.maximum(f.period, 0)])
    frame = pl.DataFrame({"lot": f.lot, "bid": f.bid, "n": f.devices, "dh": f.devices * time})
    mine = frame.group_by("lot", "bid").agg(pl.col("n").max(), pl.col("dh").sum())
    joined = trades.with_columns(l=pl.Series(lots), b=pl.Series(bids)).join(
        mine, left_on=["l", "b"], right_on=["lot", "bid"], how="left"
    )
    wrong = joined.filter(
        (pl.col("devices_max") != pl.col("n")) | ((pl.col("device_hours") - pl.col("dh")).abs() > 0.5)
    )
    if wrong.height:
        return f"{wrong['trade'][0]}: its devices or device-hours are not those of the allocation", ""
    return None, f"{trades.height} trades; {sum(stated.values())} minor units paid, and as much received"


def welfare(f: Facts) -> float:
    """Return value of work + residual value - asks, micro."""
    value = (f.limit[:, None] * f.served * f.book.hours).sum()
    window = (f.book.capacity > 0) @ f.book.hours
    flexible = ~(f.whole | f.is_sale)
    asked = (f.ask[flexible, None] * f.sold[flexible] * f.book.hours).sum() + (f.ask * f.quantity * window)[
        f.whole
    ].sum()
    sale = ((f.residual - f.ask) * f.quantity.astype(np.float64))[f.is_sale].sum()
    return float(value - asked + sale)


def best_of_lots(f: Facts) -> F64:
    """Return (lots,) the most that each lot could earn above its ask at the published prices, micro."""
    margin = f.usable * (f.price - f.ask[:, None]) * f.book.hours
    most = f.usable.max(axis=1, initial=0)
    total = np.where(f.is_sale, most * (f.sale_price - f.ask).astype(np.float64), margin.sum(axis=1))
    best: F64 = np.where(f.whole | f.is_sale, np.maximum(0.0, total), np.maximum(0.0, margin).sum(axis=1))
    return best


def best_of_bids(f: Facts) -> F64:
    """Return (bids,) a bound on what each bid could gain at the published prices, micro."""
    best: F64 = (f.book.demand * f.mu * f.book.hours).sum(axis=1)
    saved = np.maximum(0.0, f.limit[:, None] - f.mu) * (f.book.demand > 0) * f.book.hours
    most = f.usable.max(axis=1, initial=0)
    # lots for sale of one price, delivery and worth are one good; taken one by one they bound the same and need no pools
    for i in np.flatnonzero(f.is_sale & (most > 0)):
        reach = f.book.rate[f.book.bid_class, f.book.lot_class[i]]
        may = reach > 0
        per_device = f.residual[i] - f.sale_price[i] + reach[may] * (saved[may] @ (f.book.capacity[i] > 0))
        best[may] += most[i] * np.maximum(0.0, per_device)
    return best


def bound(f: Facts) -> float:
    """Return what no allocation can exceed, at the published prices: weak duality over single orders."""
    return float(best_of_lots(f).sum() + best_of_bids(f).sum())


def surplus_of_lots(f: Facts) -> F64:
    """Return (lots,) what each lot earns above its ask, micro; a whole-window lot bears its ask over its whole window."""
    hourly = (f.price * f.sold * f.book.hours).sum(axis=1)
    window = (f.book.capacity > 0) @ f.book.hours
    asked = np.where(
        f.whole, f.ask * f.quantity * window, (f.ask[:, None] * f.sold * f.book.hours).sum(axis=1)
    )
    surplus: F64 = np.where(f.is_sale, (f.sale_price - f.ask) * f.quantity.astype(np.float64), hourly - asked)
    return surplus


def check_welfare(f: Facts) -> Finding:
    """Compare the welfare stated with that of the allocation."""
    mine, stated = welfare(f), f.clearing.certificate.welfare_micro
    scale = float((f.limit[:, None] * f.served * f.book.hours).sum()) + abs(mine)
    near = abs(mine - stated) <= RELATIVE * scale + 1
    return (None if near else f"welfare is {mine:.0f}, not {stated}"), f"{mine:.0f} micro-units"


def check_bound(f: Facts) -> Finding:
    """Compare the bound stated with the one that the prices prove."""
    mine, stated, reached = bound(f), f.clearing.certificate.bound_micro, welfare(f)
    room = RELATIVE * abs(mine) + 2
    if abs(mine - stated) > room:
        return f"the prices prove a bound of {mine:.0f}, not {stated}", ""
    if reached > mine + room:
        return f"welfare {reached:.0f} is above the bound {mine:.0f}, which cannot be", ""
    return None, f"no allocation is worth more than {mine:.0f} micro-units"


def check_gap(f: Facts) -> Finding:
    """Compare the gap stated with that of bound and welfare."""
    proof = f.clearing.certificate
    most, stated = proof.bound_micro, proof.gap
    mine = (most - proof.welfare_micro) / most if most else 0.0
    return (
        None if abs(mine - stated) <= 1e-12 else f"the gap is {mine:.3e}, not {stated:.3e}"
    ), f"{mine:.6%}"
