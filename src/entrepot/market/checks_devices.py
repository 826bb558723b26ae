"""Are the devices where they may be? Permits, blocks, capacity, work, and every order once.

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.facts import MICRO_ROOM, RELATIVE, SERVED, Facts, Finding, rows_of

__all__ = [
    "check_balance",
    "check_blocks",
    "check_capacity",
    "check_demand",
    "check_in_the_money",
    "check_kinds",
    "check_once",
    "check_permits",
    "check_rates",
    "check_whole",
    "gaining_bids",
    "gaining_lots",
]

F64: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]


def check_rates(f: Facts) -> Finding:
    """Look for a rate where no permit is."""
    law = np.zeros(f.book.rate.shape, dtype=np.bool_)
    permits = f.book.permits
    law[permits["bid_class"].to_numpy(), permits["lot_class"].to_numpy()] = permits["permitted"].to_numpy()
    against = np.argwhere((f.book.rate > 0) & ~law)
    if len(against):
        return f"bid class {against[0][0]} has a rate on lot class {against[0][1]} without a permit", ""
    return None, f"{int((f.book.rate > 0).sum())} edges, each with a permit"


def check_permits(f: Facts) -> Finding:
    """Look for an allocation without a permit, or without a rate."""
    permits = f.book.permits.select("lot_class", "bid_class", "permitted", "reason")
    pairs = pl.DataFrame(
        {
            "lot_class": f.book.lot_class[f.lot],
            "bid_class": f.book.bid_class[f.bid],
            "row": np.arange(len(f.lot)),
        }
    )
    against = (
        pairs.join(permits, on=["lot_class", "bid_class"], how="left")
        .filter(~pl.col("permitted").fill_null(value=False))
        .sort("row")
    )
    if against.height:
        r = against["row"][0]
        return (
            f"lot {f.lot_name(f.lot[r])} may not serve bid {f.bid_name(f.bid[r])}: {against['reason'][0]}",
            "",
        )
    useless = np.flatnonzero(f.rate <= 0)
    if len(useless):
        r = useless[0]
        return f"bid {f.bid_name(f.bid[r])} cannot or will not use lot {f.lot_name(f.lot[r])}", ""
    return None, f"{len(f.lot)} rows, each with a permit and a rate"


def check_kinds(f: Facts) -> Finding:
    """Look for a lease without a period, or a sale with one."""
    wrong = np.flatnonzero((f.period < 0) != f.is_sale[f.lot])
    if len(wrong):
        return f"lot {f.lot_name(f.lot[wrong[0]])}: a sale has no period, and a lease has one", ""
    return None, "leases by period, sales for good"


def check_blocks(f: Facts) -> Finding:
    """Look for devices that are not whole blocks."""
    block = f.book.lots["block"].to_numpy()[f.lot]
    wrong = np.flatnonzero((f.devices <= 0) | (f.devices % block != 0))
    if len(wrong):
        r = wrong[0]
        return (
            f"lot {f.lot_name(f.lot[r])}, bid {f.bid_name(f.bid[r])}: {f.devices[r]} devices in blocks of {block[r]}",
            "",
        )
    return None, "every row is a whole number of node blocks"


def check_capacity(f: Facts) -> Finding:
    """Look for a lot that gives more than it offers."""
    over = np.argwhere(f.sold > f.book.capacity)
    if len(over):
        i, t = over[0]
        return f"lot {f.lot_name(i)}, period {t}: {f.sold[i, t]} devices of {f.book.capacity[i, t]}", ""
    return None, "no lot gives more than it offers"


def check_whole(f: Facts) -> Finding:
    """Look for a constant lot whose quantity changes while it has a price."""
    window = f.book.capacity > 0
    short = (f.whole | f.is_sale)[:, None] & window & (f.sold != f.quantity[:, None])
    short &= ~(f.whole[:, None] & (f.price == 0) & (f.sold < f.quantity[:, None]))
    wrong = np.argwhere(short)
    if len(wrong):
        i, t = wrong[0]
        return f"lot {f.lot_name(i)}, period {t}: {f.sold[i, t]} devices, elsewhere {f.quantity[i]}", ""
    return None, "whole-window lots and sales keep one quantity, idle only where the price is 0"


def check_demand(f: Facts) -> Finding:
    """Compare the work stated with what the devices do."""
    work = f.clearing.work
    b, t = rows_of(work["bid"], f.book.bids["bid"]), work["period"].cast(pl.Int64).to_numpy()
    wanted, served = work["demand_mtok_per_h"].to_numpy(), work["served_mtok_per_h"].to_numpy()
    expected, mine = f.book.demand[b, t], f.served[b, t]
    tolerance = RELATIVE * np.maximum(expected, 1e-300)
    wrong = np.flatnonzero((np.abs(wanted - expected) > tolerance) | ~(np.abs(served - mine) <= tolerance))
    if len(wrong):
        r = wrong[0]
        return (
            f"bid {f.bid_name(b[r])}, period {t[r]}: {served[r]:g} of {wanted[r]:g} stated, {mine[r]:g} of {expected[r]:g} found",
            "",
        )
    if len(b) != int((f.book.demand > 0).sum()) or (expected <= 0).any():
        return "the work table does not have one row for each demand", ""
    return None, "work served is what the devices do, at most the demand"


def check_balance(f: Facts) -> Finding:
    """Compare the devices stated for each pool and period with those of its lots."""
    pool = (
        f.clearing.lot_pool.join(f.book.lots.select("lot").with_row_index("row"), on="lot")
        .sort("row")["pool"]
        .to_numpy()
    )
    i, t = np.nonzero(f.usable > 0)
    flexible = ~(f.whole | f.is_sale)
    sold = np.where(flexible[:, None], f.sold, f.quantity[:, None])
    frame = pl.DataFrame({"pool": pool[i], "period": np.where(f.is_sale[i], -1, t), "lot": i,
                          "sold": sold[i, t], "usable": f.usable[i, t]})  # fmt: skip
    frame = (
        frame.unique(["pool", "period", "lot"])
        .group_by("pool", "period")
        .agg(pl.col("sold").sum(), pl.col("usable").sum())
    )
    shown = f.clearing.prices.select(
        "pool", pl.col("period").cast(pl.Int64).fill_null(-1), "supplied", "offered"
    )
    joined = frame.join(shown, on=["pool", "period"], how="full", coalesce=True)
    wrong = joined.filter(
        pl.col("sold").ne_missing(pl.col("supplied")) | pl.col("usable").ne_missing(pl.col("offered"))
    ).sort("pool", "period")
    if wrong.height:
        w = wrong.row(0, named=True)
        return (
            f"pool {w['pool']}, period {w['period']}: supplied {w['supplied']} of {w['offered']} stated, {w['sold']} of {w['usable']} found",
            "",
        )
    return None, "devices supplied and offered in each pool add up"


def check_once(f: Facts) -> Finding:
    """Look for an order that is neither wholly accepted nor listed as rejected, or both."""
    rejected = f.clearing.rejected
    twice = rejected.filter(pl.struct("order", "side").is_duplicated())
    if twice.height:
        return f"{twice['side'][0]} {twice['order'][0]} is rejected twice", ""
    lots_left = (f.book.capacity > f.sold).any(axis=1)
    lots_left |= (f.whole & (f.quantity > 0)) & (f.quantity < f.book.capacity.max(axis=1, initial=0))
    idle = f.whole & (f.quantity > 0)
    lots_left[idle] = ((f.book.capacity > 0) & (f.book.capacity > f.quantity[:, None]))[idle].any(axis=1)
    bids_left = (f.served < f.book.demand * (1 - SERVED)).any(axis=1)
    sides = (("lot", f.book.lots["lot"], lots_left), ("bid", f.book.bids["bid"], bids_left))
    for side, names, left in sides:
        stated = rejected.filter(pl.col("side") == side)["order"]
        mine = names.filter(pl.Series(left))
        apart = set(stated.to_list()) ^ set(mine.to_list())
        if apart:
            return (
                f"{side} {min(apart)} is {'wholly accepted' if min(apart) in set(stated) else 'not'} but {'' if min(apart) in set(stated) else 'not '}listed as rejected",
                "",
            )
    if rejected.filter(~pl.col("side").is_in(["lot", "bid"])).height:
        return "a rejection is of neither a lot nor a bid", ""
    wrong = rejected.filter(~(pl.col("quantity") > 0) | (pl.col("reason").str.len_chars() == 0))
    if wrong.height:
        return f"{wrong['side'][0]} {wrong['order'][0]} is rejected without a quantity or a reason", ""
    return (
        None,
        f"{f.book.lots.height} lots and {f.book.bids.height} bids: each accepted, partly accepted or rejected",
    )


def check_in_the_money(f: Facts) -> Finding:
    """Compare the rejections in the money with the orders that would gain by one more block."""
    lots, bids = gaining_lots(f), gaining_bids(f)
    for side, names, gains in (("lot", f.book.lots["lot"], lots), ("bid", f.book.bids["bid"], bids)):
        stated = set(
            f.clearing.rejected.filter((pl.col("side") == side) & pl.col("in_the_money"))["order"].to_list()
        )
        apart = stated ^ set(names.filter(pl.Series(gains)).to_list())
        if apart:
            word = "is not" if min(apart) in stated else "is"
            return f"{side} {min(apart)} {word} in the money, against what is stated", ""
    return (
        None,
        f"{int(lots.sum())} lots and {int(bids.sum())} bids would gain by one more whole block, and are listed",
    )


def gaining_lots(f: Facts) -> Mask:
    """Return (lots,) which would gain by selling one block more at the published prices."""
    block = f.book.lots["block"].to_numpy()
    flexible = ~(f.whole | f.is_sale)
    hourly = (f.usable - f.sold >= block[:, None]) & (f.price > f.ask[:, None])
    window = f.book.capacity > 0
    spare = f.usable.max(axis=1, initial=0) - f.quantity >= block
    margin = np.where(
        f.whole,
        (np.where(window, f.price - f.ask[:, None], 0) * f.book.hours).sum(axis=1),
        f.sale_price - f.ask,
    )
    gains: Mask = np.where(flexible, hourly.any(axis=1), spare & (margin > 0))
    return gains


def gaining_bids(f: Facts) -> Mask:
    """Return (bids,) which would gain by one block more, leased in a period or bought, at the published prices."""
    book, left = f.book, np.where(f.served < f.book.demand * (1 - SERVED), f.book.demand - f.served, 0.0)
    gains = np.zeros(book.bids.height, dtype=np.bool_)
    block = book.lots["block"].to_numpy().astype(np.float64)
    flexible = ~(f.whole | f.is_sale)
    for t in range(left.shape[1]):
        candidates = np.flatnonzero((left[:, t] > 0) & (f.limit > f.cost[book.bid_class, t]))
        offering = np.flatnonzero(flexible & (f.usable[:, t] > 0))
        if not len(candidates) or not len(offering):
            continue
        # the smallest block of each class at its price; a class has one price
        least = np.full(book.rate.shape[1], np.inf)
        np.minimum.at(least, book.lot_class[offering], block[offering])
        price = np.zeros(book.rate.shape[1])
        price[book.lot_class[offering]] = f.price[offering, t]
        there = np.flatnonzero(np.isfinite(least))
        for begin in range(0, len(candidates), 4096):
            part = candidates[begin : begin + 4096]
            rate = book.rate[np.ix_(book.bid_class[part], there)]
            gain = (
                f.limit[part, None] * np.minimum(rate * least[there], left[part, t, None])
                - price[there] * least[there]
            )
            gains[part] |= ((gain > MICRO_ROOM * least[there]) & (rate > 0)).any(axis=1)
    for b in np.flatnonzero(f.buys & (left > 0).any(axis=1)):
        gains[b] |= _sale_block_gain(f, b, left[b]) > 0
    return gains


def _sale_block_gain(f: Facts, b: int | np.int64, left: F64) -> float:
    """Return what a bid would gain by buying one block more for work left (periods,), beyond the rounding of a price."""
    best = -np.inf
    block = f.book.lots["block"].to_numpy()
    for i in np.flatnonzero(f.is_sale & (f.usable > 0).any(axis=1)):
        rate = f.book.rate[f.book.bid_class[b], f.book.lot_class[i]]
        if rate > 0:
            done = np.minimum(rate * block[i], left) * (f.book.capacity[i] > 0) * f.book.hours
            gain = (
                f.limit[b] * done.sum()
                + float(f.residual[i] - f.sale_price[i]) * block[i]
                - MICRO_ROOM * block[i]
            )
            best = max(best, gain)
    return float(best)
