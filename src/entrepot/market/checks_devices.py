"""Are the devices where they may be? Permits, blocks, capacity, work, and every order once.

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.checks_money import best_of_bids
from entrepot.market.checks_windows import long_gain, total_reached
from entrepot.market.facts import MICRO_ROOM, RELATIVE, SERVED, Facts, Finding, rows_of

__all__ = [
    "check_balance",
    "check_bid_rules",
    "check_blocks",
    "check_capacity",
    "check_demand",
    "check_in_the_money",
    "check_kinds",
    "check_lot_rules",
    "check_once",
    "check_permits",
    "check_rates",
    "gaining_bids",
    "gaining_lots",
]

_PLAIN = 1.0 + 1e-6  # of a price's rounding: a gain that nobody can miss

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
    """Look for devices that are not whole blocks, or where bids may share a node, not whole slices."""
    step = f.book.lots["slice"].to_numpy()[f.lot]
    wrong = np.flatnonzero((f.devices <= 0) | (f.devices % step != 0))
    if len(wrong):
        r = wrong[0]
        return (
            f"lot {f.lot_name(f.lot[r])}, bid {f.bid_name(f.bid[r])}: {f.devices[r]} devices in blocks of {step[r]}",
            "",
        )
    return None, "every row is a whole number of blocks, or of the slices of a shared node"


def check_lot_rules(f: Facts) -> Finding:
    """Look for a lot that lets more than its whole blocks, waits for a licence, or shares its exclusive group."""
    over = np.argwhere(f.let > f.usable)
    if len(over):
        i, t = over[0]
        why = "waits for a licence, or " if f.usable[i, t] == 0 else ""
        return (
            f"lot {f.lot_name(i)}, period {t}: {why}has {f.usable[i, t]} devices in whole blocks, and lets {f.let[i, t]}",
            "",
        )
    short = np.flatnonzero(f.is_sale & (f.quantity != f.sold.max(axis=1, initial=0)))
    if len(short):
        i = short[0]
        return (
            f"lot {f.lot_name(i)} is sold in whole blocks, and {f.quantity[i]} at least: {f.sold[i].max()} are sold",
            "",
        )
    both = _twice(f.book.lots["group"], f.quantity > 0)
    if both:
        return f"lots of the exclusive group {both} are let together", ""
    stated = f.clearing.lot_pool["committed"].to_numpy()
    mine = f.quantity[rows_of(f.clearing.lot_pool["lot"], f.book.lots["lot"])]
    wrong = np.flatnonzero(stated != mine)
    if len(wrong):
        name = f.clearing.lot_pool["lot"][int(wrong[0])]
        return f"lot {name} commits {stated[wrong[0]]} devices as stated, {mine[wrong[0]]} as found", ""
    return None, "least quantities, licences and exclusive groups of lots are kept"


def check_bid_rules(f: Facts) -> Finding:
    """Look for a bid that is served less than it accepts, from more pools than one, or beside its alternative."""
    bids = f.book.bids
    flexible = ~(bids["term"] | bids["total_mtok"].is_finite()).to_numpy()
    least = bids["min_share"].to_numpy()[:, None] * f.book.demand
    little = flexible[:, None] & (f.leased > 0) & (f.served < least * (1 - SERVED))
    wrong = np.argwhere(little)
    if len(wrong):
        b, t = wrong[0]
        return (
            f"bid {f.bid_name(b)}, period {t}: {f.served[b, t]:g} served, at least {least[b, t]:g} accepted",
            "",
        )
    both = _twice(bids["group"], np.asarray((f.done > 0).any(axis=1)))
    if both:
        return f"bids of the exclusive group {both} are served together", ""
    single = bids["one_pool"].to_numpy()[f.bid] & flexible[f.bid]
    one = single & (f.period >= 0)
    pool = f.clearing.lot_pool["pool"].to_numpy()[rows_of(f.book.lots["lot"], f.clearing.lot_pool["lot"])]
    pools = pl.DataFrame({"bid": f.bid[one], "period": f.period[one], "pool": pool[f.lot[one]]})
    many = (
        pools.group_by("bid", "period").agg(pl.col("pool").n_unique()).filter(pl.col("pool") > 1).sort("bid")
    )
    if many.height:
        return f"bid {f.bid_name(many['bid'][0])} wants one pool and has {many['pool'][0]}", ""
    owns = single & (f.period < 0)
    owned = pl.DataFrame({"bid": f.bid[owns], "pool": pool[f.lot[owns]]}).unique()
    twice = owned.filter(pl.col("bid").is_duplicated()).sort("bid")
    if twice.height:
        return f"bid {f.bid_name(twice['bid'][0])} wants one pool and has bought from two", ""
    return None, "least shares, single pools and exclusive groups of bids are kept"


def _twice(group: pl.Series, accepted: Mask) -> str:
    """Return an exclusive group of which two orders are accepted; empty if there is none."""
    taken = group.filter(pl.Series(accepted) & (group != ""))
    again = taken.filter(taken.is_duplicated()).sort()
    return str(again[0]) if len(again) else ""


def check_capacity(f: Facts) -> Finding:
    """Look for a lot that gives more than it offers."""
    over = np.argwhere(f.sold > f.book.capacity)
    if len(over):
        i, t = over[0]
        return f"lot {f.lot_name(i)}, period {t}: {f.sold[i, t]} devices of {f.book.capacity[i, t]}", ""
    return None, "no lot gives more than it offers"


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
    frame = pl.DataFrame({"pool": pool[i], "period": np.where(f.is_sale[i], -1, t), "lot": i,
                          "sold": f.let[i, t], "usable": f.usable[i, t]})  # fmt: skip
    if f.is_sale.any():
        frame = frame.unique(["pool", "period", "lot"])
    frame = frame.group_by("pool", "period").agg(pl.col("sold").sum(), pl.col("usable").sum())
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
    lots_left = (f.book.capacity > f.let).any(axis=1)
    bids_left = (f.served < f.book.demand * (1 - SERVED)).any(axis=1) & ~total_reached(f)
    sides = (("lot", f.book.lots["lot"], lots_left), ("bid", f.book.bids["bid"], bids_left))
    for side, names, left in sides:
        stated = rejected.filter(pl.col("side") == side)["order"]
        mine = names.filter(pl.Series(left))
        if len(stated) == len(mine) and stated.is_in(mine.implode()).all():
            continue
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
    """Compare the rejections in the money with the orders that would gain by more."""
    counts = []
    for side, names, gain in (
        ("lot", f.book.lots["lot"], gaining_lots(f)),
        ("bid", f.book.bids["bid"], gaining_bids(f)),
    ):
        stated = f.clearing.rejected.filter((pl.col("side") == side) & pl.col("in_the_money"))["order"]
        listed = np.zeros(len(names), dtype=np.bool_)
        listed[rows_of(stated, names)] = True
        wrong = np.flatnonzero((listed & (gain <= 0)) | (~listed & (gain > _PLAIN)))
        if len(wrong):
            word = "is not" if listed[wrong[0]] else "is"
            return f"{side} {names[int(wrong[0])]} {word} in the money, against what is stated", ""
        counts.append(int(listed.sum()))
    return (
        None,
        f"{counts[0]} lots and {counts[1]} bids would gain by one more whole block, or by all that they ask, and are listed",
    )


def gaining_lots(f: Facts) -> F64:
    """Return (lots,) what one block more would gain at the published prices, micro per device-hour; <= 0 for nothing."""
    block = f.book.lots["block"].to_numpy()
    flexible = ~(f.whole | f.is_sale)
    room = f.usable - f.let >= block[:, None]
    hourly = np.where(room, f.price - f.ask[:, None], 0).max(axis=1, initial=0)
    window = f.book.capacity > 0
    total = (np.where(window, f.price - f.ask[:, None], 0) * f.book.hours).sum(axis=1)
    margin = np.where(f.whole, total, f.sale_price - f.ask)
    gain = np.where(flexible, hourly, np.where(room.any(axis=1), np.maximum(0, margin), 0)).astype(np.float64)
    return np.where(_mate_taken(f.book.lots["group"], f.quantity > 0), 0.0, gain)


def _mate_taken(group: pl.Series, accepted: Mask) -> Mask:
    """Return which orders stand beside an accepted one of their exclusive group."""
    taken = group.filter(pl.Series(accepted) & (group != ""))
    return (
        (group.is_in(taken.unique().implode()).to_numpy() & ~accepted)
        if len(taken)
        else np.zeros(len(group), dtype=np.bool_)
    )


def gaining_bids(f: Facts) -> F64:
    """Return (bids,) what more would gain at the published prices, in multiples of a price's rounding; <= 0 for nothing.

    More is one slice more of any pool, or all that it asks where a bid that wants at least so much has nothing.
    """
    book, left = f.book, np.where(f.served < f.book.demand * (1 - SERVED), f.book.demand - f.served, 0.0)
    gains = np.zeros(book.bids.height)
    firm = book.bids["min_share"].to_numpy() > 0
    step = book.lots["slice"].to_numpy().astype(np.float64)
    flexible = ~(f.whole | f.is_sale)
    chip = book.lots["accelerator"].rank("dense").to_numpy().astype(np.int64) - 1
    for t in range(left.shape[1]):
        could = (left[:, t] > 0) & (f.limit > f.cost[:, t])
        nothing = could & firm & (f.served[:, t] <= 0)
        margin = np.where(nothing, (f.limit - f.cost[:, t]) / np.maximum(1e-6 * f.limit, 1e-300), 0.0)
        gains = np.maximum(gains, np.where(margin > 1, margin, 0.0))
        candidates = np.flatnonzero(could & ~nothing)
        offering = np.flatnonzero(flexible & (f.usable[:, t] > 0))
        if not len(candidates) or not len(offering):
            continue
        # a class has one price; its smallest slice is what a bid could have more of
        least = np.full(book.rate.shape[1], np.inf)
        np.minimum.at(least, book.lot_class[offering], step[offering])
        price, of_chip = np.zeros(book.rate.shape[1]), np.zeros(book.rate.shape[1], dtype=np.int64)
        price[book.lot_class[offering]] = f.price[offering, t]
        of_chip[book.lot_class[offering]] = chip[offering]
        for c in np.unique(book.bid_class[candidates]):
            bids = candidates[book.bid_class[candidates] == c]
            there = np.flatnonzero(np.isfinite(least) & (book.rate[c] > 0))
            if book.factor is None and len(there):  # of classes of one reach the cheapest is the best
                order = np.lexsort((price[there] * least[there], book.rate[c, there] * least[there]))
                there = there[order]
                reach = book.rate[c, there] * least[there]
                there = there[np.concatenate([[True], np.diff(reach) != 0])]
            for begin in range(0, len(bids), 8192):
                part = bids[begin : begin + 8192]
                rate = book.rate[c, there] * least[there]
                does = rate if book.factor is None else rate * book.factor[np.ix_(part, of_chip[there])]
                gain = (
                    f.limit[part, None] * np.minimum(does, left[part, t, None]) - price[there] * least[there]
                )
                most = (gain / (MICRO_ROOM * least[there])).max(axis=1, initial=0.0)
                gains[part] = np.maximum(gains[part], np.where(most > 1, most, 0.0))
    for b in np.flatnonzero(f.buys & (left > 0).any(axis=1)):
        gains[b] = max(gains[b], 2.0 if _sale_block_gain(f, b, left[b]) > 0 else 0.0)
    own = (book.bids["term"] | book.bids["total_mtok"].is_finite()).to_numpy()
    gains = np.where(own, long_gain(f, best_of_bids(f)), gains)
    return np.where(_mate_taken(book.bids["group"], np.asarray((f.done > 0).any(axis=1))), 0.0, gains)


def _sale_block_gain(f: Facts, b: int | np.int64, left: F64) -> float:
    """Return what a bid would gain by buying one block more for work left (periods,), beyond the rounding of a price."""
    best = -np.inf
    block = f.book.lots["block"].to_numpy()
    for i in np.flatnonzero(f.is_sale & (f.usable > 0).any(axis=1)):
        rate = f.book.rate[f.book.bid_class[b], f.book.lot_class[i]]
        if f.book.factor is not None:
            rate *= f.book.factor[b, f.book.accelerators.index(str(f.book.lots["accelerator"][int(i)]))]
        if rate > 0:
            done = np.minimum(rate * block[i], left) * (f.book.capacity[i] > 0) * f.book.hours
            gain = (
                f.limit[b] * done.sum()
                + float(f.residual[i] - f.sale_price[i]) * block[i]
                - MICRO_ROOM * block[i]
            )
            best = max(best, gain)
    return float(best)
