"""Are bids for a whole window treated as they asked? One fixed mix through a term; a total by a deadline.

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.records import Book

if TYPE_CHECKING:
    from entrepot.market.facts import Facts, Finding

__all__ = ["best_of_long", "check_windows", "long", "long_gain", "of_window", "total_reached"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_SERVED = 1e-9


def of_window(book: Book, pool: I64, lot: I64, bid: I64, period: I64, work: F64, done: F64) -> F64:
    """Return (bids, periods) Mtok per hour served, from rows of an allocation, bids for a window by their rule.

    A term bid has of each pool the least share, over its periods, of the work that it wants; what it has in all is served in
    every period. What a bid for a total has beyond it is worth nothing, wherever it is.

    Parameters
    ----------
    pool : (lots,) pool of each lot
    lot, bid, period, work : (rows,) of leases, and of sales once for each period in which the devices are there
    done : (bids, periods) all that the devices can do
    """
    served = np.minimum(done, book.demand)
    served[book.bids["term"].to_numpy()] = 0.0
    rows = np.flatnonzero(book.bids["term"].to_numpy()[bid])
    rows = rows[np.lexsort((pool[lot[rows]], bid[rows]))]
    cuts = np.flatnonzero((np.diff(bid[rows]) != 0) | (np.diff(pool[lot[rows]]) != 0)) + 1
    share = np.zeros(len(served))
    for part in np.split(rows, cuts) if len(rows) else []:
        one = int(bid[part[0]])
        inside = book.demand[one] > 0
        reach = np.bincount(period[part], work[part], minlength=len(inside))[inside]
        if inside.any():
            share[one] += float((reach / book.demand[one, inside]).min())
    for who in np.unique(bid[rows]).tolist():
        whole = share[who] > 1.0 - _SERVED
        served[who] = book.demand[who] * (1.0 if whole else share[who])
    total = book.bids["total_mtok"].to_numpy()
    for b in np.flatnonzero(np.isfinite(total) & ~book.bids["term"].to_numpy()):
        have = float(served[b] @ book.hours)
        if have > total[b]:
            served[b] *= total[b] / have
    return served


def long(book: Book) -> Mask:
    """Return (bids,) which hold for their window, as a term or a total."""
    mask: Mask = (book.bids["term"] | book.bids["total_mtok"].is_finite()).to_numpy()
    return mask


def best_of_long(f: Facts) -> F64:
    """Return (bids,) a bound on what bids for a window could gain at the published prices, micro; 0 for others."""
    book = f.book
    best = np.zeros(book.bids.height)
    term = np.flatnonzero(book.bids["term"].to_numpy() & (book.demand > 0).any(axis=1))
    if len(term):
        cost = _term_cost(f, term)
        worth = f.limit[term] * (book.demand[term] @ book.hours)
        for one, most, paid in zip(term.tolist(), worth.tolist(), cost.tolist(), strict=True):
            best[one] = _best_of_term(f, one, most, max(0.0, most - paid))
    total = book.bids["total_mtok"].to_numpy()
    for b in np.flatnonzero(np.isfinite(total) & ~book.bids["term"].to_numpy()):
        left, gain = float(total[b]), 0.0
        for t in sorted(np.flatnonzero(book.demand[b] > 0), key=lambda t, b=b: -f.mu[b, t]):  # type: ignore[misc]
            if f.mu[b, t] <= 0 or left <= 0:
                break
            work = min(left, float(book.demand[b, t] * book.hours[t]))
            gain += work * float(f.mu[b, t])
            left -= work
        best[b] = gain
    return best


def _best_of_term(f: Facts, b: int, worth: float, leased: float) -> float:
    """Return what a bid for a term gains at most where it may buy devices too: the least over m of a sum of positive parts.

    For any m >= ``leased`` its whole work is worth m more than it costs at the margin, and a device of lot i gains at most
    ``(worth - m) / N_i + residual_i - price_i`` on top, with the N_i devices that serve all of its work.
    """
    book, demand = f.book, f.book.demand[b]
    lots = np.flatnonzero(f.is_sale & (f.usable > 0).any(axis=1))
    rate = book.rate[book.bid_class[b], book.lot_class[lots]]
    if book.factor is not None:
        chip = [book.accelerators.index(a) for a in book.lots["accelerator"].gather(lots).to_list()]
        rate = rate * book.factor[b, chip]
    lots, rate = lots[rate > 0], rate[rate > 0]
    if not len(lots):
        return leased
    there = ~((demand > 0) & (book.capacity[lots] == 0)).any(axis=1)
    per_share = np.where(there, rate / demand.max(), 0.0)  # 1 / N
    most, net = f.usable[lots].max(axis=1), (f.sale_price[lots] - f.residual[lots]).astype(np.float64)
    kinks = worth - net[there] / per_share[there]
    tried = np.clip(np.concatenate([[leased, worth], kinks]), leased, worth)
    gains = [float(m + most @ np.maximum(0.0, (worth - m) * per_share - net)) for m in tried]
    return min(gains)


def _term_cost(f: Facts, term: I64) -> F64:
    """Return (term bids,) the least price of all the work of each on one class of lots through its window."""
    book = f.book
    chip = book.lots["accelerator"].rank("dense").to_numpy().astype(np.int64) - 1
    lease = np.flatnonzero(~f.is_sale)
    cost = np.full(len(term), np.inf)
    numbers = _pool_of_lots(f)
    for k in np.unique(numbers[lease]):
        lots = lease[numbers[lease] == k]
        one = lots[0]
        offered = (f.usable[lots] > 0).any(axis=0)
        price = np.zeros(len(book.hours))
        for t in np.flatnonzero(offered):
            price[t] = f.price[one, t]
        rate = book.rate[book.bid_class[term], book.lot_class[one]]
        if book.factor is not None:
            rate = rate * book.factor[term, chip[one]]
        may = np.flatnonzero((rate > 0) & ~((book.demand[term] > 0) & ~offered).any(axis=1))
        paid = book.demand[term[may]] @ (price * book.hours) / rate[may]
        cost[may] = np.minimum(cost[may], paid)
    return cost


def _pool_of_lots(f: Facts) -> I64:
    """Return (lots,) the published pool of each lot."""
    table = f.clearing.lot_pool
    of = dict(zip(table["lot"].to_list(), table["pool"].to_list(), strict=True))
    return np.array([of[name] for name in f.book.lots["lot"].to_list()], dtype=np.int64)


def total_reached(f: Facts) -> Mask:
    """Return (bids,) which want a total, and have it."""
    total = f.book.bids["total_mtok"].to_numpy()
    reached: Mask = np.isfinite(total) & (f.served @ f.book.hours >= total * (1 - _SERVED))
    return reached


def long_gain(f: Facts, best: F64) -> F64:
    """Return (bids,) what all of its work would gain a bid that lacks some, in millionths of its worth; 0 for others.

    Parameters
    ----------
    best : (bids,) what each gains at most, micro
    """
    book = f.book
    lacks = (f.served < book.demand * (1 - _SERVED)).any(axis=1)
    total = book.bids["total_mtok"].to_numpy()
    worth = f.limit * np.where(np.isfinite(total), total, book.demand @ book.hours)
    gain = best / np.maximum(1e-6 * worth, 1e-300)
    return np.where(long(book) & lacks & ~total_reached(f), gain, 0.0)


def check_windows(f: Facts) -> Finding:
    """Look for a term or a total that is served less than it accepts, or from two pools where it wants one."""
    book = f.book
    own = long(book)
    wanted = np.where(
        book.bids["term"].to_numpy(),
        book.demand @ book.hours,
        np.minimum(book.bids["total_mtok"].to_numpy(), book.demand @ book.hours),
    )
    have = f.served @ book.hours
    least = book.bids["min_share"].to_numpy() * wanted
    little = np.flatnonzero(own & (f.done > 0).any(axis=1) & (have < least * (1 - 1e-9)))
    if len(little):
        b = little[0]
        return (
            f"bid {f.bid_name(b)} has {have[b]:g} Mtok through its window, and accepts {least[b]:g} or more",
            "",
        )
    pools = _pool_of_lots(f)[f.lot]
    for b in np.flatnonzero(own & book.bids["one_pool"].to_numpy()):
        mine = np.unique(pools[f.bid == b])
        if len(mine) > 1:
            return f"bid {f.bid_name(b)} wants one pool through its window and has {len(mine)}", ""
    return None, f"{int(own.sum())} bids for a window: one mix, least shares, totals"
