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

from entrepot.market.checks_windows import best_of_long, long
from entrepot.market.facts import MICRO_ROOM, RELATIVE, Facts, Finding, rows_of
from entrepot.market.records import WHY_MADE_WHOLE

__all__ = [
    "best_of_bids",
    "best_of_lots",
    "bound",
    "buyer_surplus",
    "check_bound",
    "check_buyers",
    "check_gap",
    "check_made_whole",
    "check_payments",
    "check_pools",
    "check_prices",
    "check_sellers",
    "check_welfare",
    "due_of_trades",
    "losing_bids",
    "payments",
    "seller_loss",
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
    i, t = np.nonzero((f.usable > 0) & ~f.is_sale[:, None])
    offered = np.zeros((int(pool.max(initial=-1)) + 1, f.usable.shape[1]), dtype=np.bool_)
    offered[pool[i], t] = True
    of = certificate.lease_price_micro.filter(pl.col("pool") < len(offered))
    priced = np.zeros_like(offered)
    priced[of["pool"].to_numpy(), of["period"].to_numpy()] = True
    missing = np.argwhere(offered & ~priced)
    for_sale = set(pool[f.is_sale & (f.usable > 0).any(axis=1)].tolist()) - set(
        certificate.sale_price_micro["pool"].to_list()
    )
    if len(missing) or for_sale:
        return (
            f"no price for pool {missing[0][0] if len(missing) else min(for_sale)}, which offers devices",
            "",
        )
    return (
        None,
        f"{int(priced.sum())} lease and {of_sale.height} sale prices, whole micro-units, none negative",
    )


def check_sellers(f: Facts) -> Finding:
    """Look for a lot that gets less than it asks for what it lets, what it is made whole with included."""
    bears, got = f.ask * (f.let @ f.book.hours), seller_loss(f)
    room = RELATIVE * bears + MICRO_ROOM
    wrong = np.flatnonzero(got > f.made_whole + room)
    if len(wrong):
        return f"lot {f.lot_name(wrong[0])} is sold below its ask", ""
    return None, "every lot gets at least its ask for what it lets, its blocks' idle part included"


def seller_loss(f: Facts) -> F64:
    """Return (lots,) what each would lose at the prices: hour by hour, or over the window of a constant lot, micro."""
    hourly = (f.ask[:, None] * f.let - f.price.astype(np.float64) * f.sold) * f.book.hours
    sale = (f.ask - f.sale_price).astype(np.float64) * f.quantity
    over = np.where(f.whole, hourly.sum(axis=1), np.maximum(0.0, hourly).sum(axis=1))
    loss: F64 = np.maximum(0.0, np.where(f.is_sale, sale, over))
    return loss


def check_made_whole(f: Facts) -> Finding:
    """Compare what lots are made whole with to what they would lose, rounded up to whole minor units."""
    unit = 10.0 ** (6 - f.book.minor_digits)
    table, due = f.clearing.make_whole, seller_loss(f)
    known = (pl.col("side") == "lot") & pl.col("order").is_in(f.book.lots["lot"].implode())
    known |= (pl.col("side") == "bid") & pl.col("order").is_in(f.book.bids["bid"].implode())
    strange = table.filter(
        ~known | (pl.col("amount_minor") <= 0) | ~pl.col("reason").is_in(list(WHY_MADE_WHOLE))
    )
    if strange.height:
        return (
            f"{strange['side'][0]} {strange['order'][0]} is made whole with {strange['amount_minor'][0]}: {strange['reason'][0]}",
            "",
        )
    room = unit + RELATIVE * f.ask * (f.let @ f.book.hours)
    wrong = np.flatnonzero(np.abs(f.made_whole - due) > room)
    if len(wrong):
        i = wrong[0]
        return (
            f"lot {f.lot_name(i)} is made whole with {f.made_whole[i]:.0f} micro-units, and would lose {due[i]:.0f}",
            "",
        )
    surplus, scale, devices = buyer_surplus(f)
    hourly, over_all = np.maximum(0.0, -surplus).sum(axis=1), np.maximum(0.0, -surplus.sum(axis=1))
    lost = np.where(f.buys, 0.0, np.where(long(f.book), over_all, hourly))
    # below the rounding of a price nobody loses
    slight = np.where(long(f.book), 0.0, np.minimum(hourly, MICRO_ROOM * devices.sum(axis=1)))
    room = unit + RELATIVE * scale.sum(axis=1)
    wrong = np.flatnonzero((f.bid_made_whole > lost + room) | (f.bid_made_whole < lost - slight - room))
    if len(wrong):
        b = wrong[0]
        return (
            f"bid {f.bid_name(b)} is made whole with {f.bid_made_whole[b]:.0f} micro-units, and would lose {lost[b]:.0f}",
            "",
        )
    paid = int(f.clearing.trades["payment_minor"].sum() or 0)
    total = int(table["amount_minor"].sum() or 0)
    share = total / paid if paid else 0.0
    return (
        None,
        f"{table.height} orders are made whole with {total} minor units, {share:.5%} of what is paid: the fee",
    )


def check_buyers(f: Facts) -> Finding:
    """Look for a bid that pays more than its work is worth to it."""
    wrong = np.flatnonzero(losing_bids(f))
    if len(wrong):
        return f"bid {f.bid_name(wrong[0])} pays more than its work is worth to it", ""
    return (
        None,
        "no bid pays more than its limit for the work done, what it is made whole with included (a bid that buys devices: over the horizon)",
    )


def losing_bids(f: Facts) -> NDArray[np.bool_]:
    """Return (bids,) which pay more than their work is worth: by the hour, or over its window what buys or holds for it."""
    surplus, scale, devices = buyer_surplus(f)
    tolerance = RELATIVE * scale + MICRO_ROOM * devices
    left = surplus.sum(axis=1) + f.bid_made_whole
    over_all = left < -tolerance.sum(axis=1) - MICRO_ROOM
    hourly = np.where(surplus < -tolerance, -surplus, 0.0).sum(axis=1)
    loses: NDArray[np.bool_] = np.where(
        f.buys | long(f.book), over_all, hourly > f.bid_made_whole + tolerance.sum(axis=1)
    ).astype(np.bool_)
    return loses


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


def payments(f: Facts, rows: I64) -> tuple[I64, I64, list[int]]:
    """Return lot, bid and what is due, in whole minor units, of each pair among the chosen allocation rows."""
    lot, bid, period, devices = f.lot[rows], f.bid[rows], f.period[rows], f.devices[rows]
    price = np.where(period < 0, f.sale_price[lot], f.price[lot, np.maximum(period, 0)])
    hours = f.book.hours
    whole = bool((hours == np.rint(hours)).all())
    time = np.where(period < 0, 1.0, hours[np.maximum(period, 0)])
    key = lot * len(f.limit) + bid
    if (np.diff(key) >= 0).all():  # as published: sorted by lot and bid
        new = np.concatenate([[True], np.diff(key) > 0])[: len(key)]
        pair, of = key[new], np.cumsum(new) - 1
    else:
        pair, of = np.unique(key, return_inverse=True)
    unit = 10 ** (6 - f.book.minor_digits)
    top = (
        float(price.max(initial=0))
        * float(devices.max(initial=0))
        * float(time.max(initial=0.0))
        * max(1, len(rows))
    )
    if whole and top < 2.0**62:
        micro = np.zeros(len(pair), dtype=np.int64)
        np.add.at(micro, of.ravel(), price * devices * time.astype(np.int64))
        down, rest = micro // unit, micro % unit
        due = (down + ((rest * 2 > unit) | ((rest * 2 == unit) & (down % 2 == 1)))).tolist()
    else:
        exact: list[int | Fraction] = [0] * len(pair)
        for p, cost, n, h in zip(
            of.ravel().tolist(), price.tolist(), devices.tolist(), time.tolist(), strict=True
        ):
            exact[p] += cost * n * Fraction(h)
        due = [round(Fraction(x) / unit) for x in exact]
    return pair // len(f.limit), pair % len(f.limit), due


def due_of_trades(f: Facts) -> I64:
    """Return (trades,) the payment due of each published trade, whole minor units; 0 for a trade of nothing."""
    lot, bid, due = payments(f, np.arange(len(f.lot)))
    mine = pl.DataFrame(
        {"lot": lot, "bid": bid, "due": due}, schema=dict.fromkeys(("lot", "bid", "due"), pl.Int64)
    )
    of_trade, of_bid = trade_keys(f)
    table = pl.DataFrame({"lot": of_trade, "bid": of_bid}).join(
        mine, on=["lot", "bid"], how="left", maintain_order="left"
    )
    return table["due"].fill_null(0).to_numpy()


def trade_keys(f: Facts) -> tuple[I64, I64]:
    """Return the lot and the bid of each published trade."""
    trades = f.clearing.trades
    return rows_of(trades["lot"], f.book.lots["lot"]), rows_of(trades["bid"], f.book.bids["bid"])


def check_payments(f: Facts) -> Finding:
    """Compare every trade with price times devices times hours."""
    trades, (lots, bids) = f.clearing.trades, trade_keys(f)
    stated, due = trades["payment_minor"].to_numpy(), due_of_trades(f)
    wrong = np.flatnonzero(stated != due)
    if len(wrong):
        r = wrong[0]
        return f"lot {f.lot_name(lots[r])}, bid {f.bid_name(bids[r])}: {stated[r]} stated, {due[r]} due", ""
    have = pl.DataFrame({"pair": f.lot * len(f.limit) + f.bid}).unique()
    silent = have.join(pl.DataFrame({"pair": lots * len(f.limit) + bids}), on="pair", how="anti").sort("pair")
    if silent.height:
        i, b = divmod(int(silent["pair"][0]), len(f.limit))
        return f"lot {f.lot_name(i)}, bid {f.bid_name(b)}: no trade stated", ""
    pairs = have.height
    if trades.height != pairs:
        return f"{trades.height} trades are stated, and there are {pairs}", ""
    for column, order in (
        ("seller", lots),
        ("accelerator", lots),
        ("site", lots),
        ("kind", lots),
        ("provenance", lots),
        ("buyer", bids),
    ):
        own = (f.book.bids if column == "buyer" else f.book.lots)[column].gather(order)
        strange = trades.filter(pl.lit(own.alias("own")) != pl.col(column))
        if strange.height:
            return f"{strange['trade'][0]}: {column} is not that of its order", ""
    window = (f.book.capacity > 0) @ f.book.hours
    time = np.where(f.period < 0, window[f.lot], f.book.hours[np.maximum(f.period, 0)])
    frame = pl.DataFrame({"lot": f.lot, "bid": f.bid, "n": f.devices, "dh": f.devices * time})
    mine = frame.group_by("lot", "bid").agg(pl.col("n").max(), pl.col("dh").sum())
    joined = trades.with_columns(l=pl.Series(lots), b=pl.Series(bids)).join(
        mine, left_on=["l", "b"], right_on=["lot", "bid"], how="left"
    )
    strange = joined.filter(
        (pl.col("devices_max") != pl.col("n")) | ((pl.col("device_hours") - pl.col("dh")).abs() > 0.5)
    )
    if strange.height:
        return f"{strange['trade'][0]}: its devices or device-hours are not those of the allocation", ""
    return None, f"{trades.height} trades; {int(stated.sum())} minor units paid, and as much received"


def welfare(f: Facts) -> float:
    """Return value of work + residual value - asks, micro."""
    value = (f.limit[:, None] * f.served * f.book.hours).sum()
    asked = float((f.ask * ~f.is_sale) @ (f.let @ f.book.hours))
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
        if f.book.factor is not None:
            reach = (
                reach * f.book.factor[:, f.book.accelerators.index(str(f.book.lots["accelerator"][int(i)]))]
            )
        may = reach > 0
        per_device = f.residual[i] - f.sale_price[i] + reach[may] * (saved[may] @ (f.book.capacity[i] > 0))
        best[may] += most[i] * np.maximum(0.0, per_device)
    # a bid for a total may own devices as well: what its work gains is its own, what devices save it is as above
    by_period = (f.book.demand * f.mu * f.book.hours).sum(axis=1)
    own, term = best_of_long(f), f.book.bids["term"].to_numpy()
    return np.where(term, own, np.where(long(f.book), own + best - by_period, best))


def bound(f: Facts) -> float:
    """Return what no allocation can exceed, at the published prices: weak duality over single orders."""
    total = 0.0
    for best, group in ((best_of_lots(f), f.book.lots["group"]), (best_of_bids(f), f.book.bids["group"])):
        total += float(best[(group == "").to_numpy()].sum())
        grouped = pl.DataFrame({"group": group, "best": best}).filter(pl.col("group") != "")
        total += float(grouped.group_by("group").agg(pl.col("best").max())["best"].sum())
    return total


def surplus_of_lots(f: Facts) -> F64:
    """Return (lots,) what each lot earns above its ask, micro; a whole-window lot bears its ask over its whole window."""
    hourly = (f.price * f.sold * f.book.hours).sum(axis=1)
    asked = (f.ask[:, None] * f.let * f.book.hours).sum(axis=1)
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
