"""What is better than rounding in a small market? A search by whole numbers, first around the pools that lose most, then of all.

In a market of a few thousand orders one node, or one bid that wants all or nothing, is a good part of a pool, and rounding
each to the nearer end is not good enough. What each order loses at the prices, against its best answer, is known, and the
sum over all orders is the gap; so the pools are taken in the order of what is lost there, each with those that share its
bids, and the orders in them are allocated anew by `exact`, all others staying where they are. In a small market all of it
is then searched at once. Whatever is worth more is kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.spot.exact import Answer, exact, is_tiny, welfare_of
from entrepot.market.spot.period import Period
from entrepot.market.spot.place import FULL
from entrepot.market.spot.prices import least_costs_of
from entrepot.market.watch import Watch

__all__ = ["SMALL", "improved", "settled"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

SMALL = 20_000  # orders above which rounding is good enough
_CLOSE = 2e-5  # of the bound: a gap at which there is nothing to search for
_PASSES = ((60, 24), (100, 6))  # orders of a neighbourhood, neighbourhoods of a pass
_LITTLE = 3e-3  # of the gap: a pool that loses less is not searched around
_IDLE = 60  # bids that have nothing, of a neighbourhood
_NODES = 20  # of the search of a neighbourhood
_ALL_NODES = 20_000  # of the search of all of a tiny market
_PATIENCE_S = (
    120.0  # for all searches; their sizes end them long before, on any machine that is not much slower
)


def improved(p: Period, price: F64, start: Answer, watch: Watch, share: float = 1.0) -> Answer:
    """Return an allocation that is worth at least as much as ``start``.

    Parameters
    ----------
    price : (pools,) at which losses are weighed
    share : of the time that may be given to it, for this period
    """
    # by rank: the order of arrival must not reach the solver
    lots, bids = np.argsort(p.lot_rank), np.argsort(p.bid_rank)
    found = _improved(
        _part(p, lots, bids, p.rate),
        price,
        Answer(_index(bids, len(p.bid))[start.bid], start.pool, start.devices, start.let[lots]),
        watch,
        share,
    )
    let = np.zeros(len(p.lot), dtype=np.int64)
    let[lots] = found.let
    return Answer(bids[found.bid], found.pool, found.devices, let)


def _improved(p: Period, price: F64, start: Answer, watch: Watch, share: float) -> Answer:
    """Improve an allocation of a market whose orders stand by rank."""
    nothing = np.zeros(0, dtype=np.int64)
    best, worth = start, welfare_of(p, start)
    if worth < 0:  # idle nodes and least quantities cost more than the work is worth
        best, worth = Answer(nothing, nothing, nothing, np.zeros(len(p.lot), dtype=np.int64)), 0.0
    losses = _Losses(p, price)
    end = watch.until(_PATIENCE_S * share)

    def better(other: Answer | None) -> bool:
        nonlocal best, worth
        if other is None or (value := welfare_of(p, other)) <= worth * (1 + 1e-9):
            return False
        best, worth = other, value
        return True

    if losses.bound - worth <= _CLOSE * losses.bound or end() <= 0:
        return best
    if is_tiny(p):
        found = exact(p, price, losses.bound - worth, nodes=_ALL_NODES, seconds=end(), close=0.0)
        better(None if found is None else settled(p, found))
        return best
    for most, count in _PASSES:
        for pools in losses.neighbourhoods(best, most, losses.bound - worth)[:count]:
            if losses.bound - worth <= _CLOSE * losses.bound or end() <= 0:
                return best
            better(_around(p, price, best, pools, losses, end()))
    return best


class _Losses:
    """What every order loses at the prices against its best answer, and where."""

    def __init__(self, p: Period, price: F64) -> None:
        self.p, self.price = p, price
        self.least = least_costs_of(p, price)
        self.best_bid = np.where(
            np.isfinite(self.least), p.demand * np.maximum(0.0, p.limit - self.least), 0.0
        )
        self.best_lot = p.quantity * np.maximum(0.0, price[p.pool] - p.ask)
        self.bound = float(self.best_bid.sum() + self.best_lot.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = np.where(p.rate > 0, price / p.rate, np.inf)
            self.near = p.rate * (cost <= 1.04 * cost.min(axis=1, initial=np.inf)[:, None])
        weight = np.bincount(p.kind, p.demand * p.limit, minlength=len(p.rate))
        near = (self.near > 0).astype(np.float64)
        self.shared = (
            near * weight[:, None]
        ).T @ near  # (pools, pools) worth of the work that may go to both
        self.cheapest = cost.argmin(axis=1)

    def of_pools(self, a: Answer) -> F64:
        """Return (pools,) what is lost there."""
        p, price = self.p, self.price
        rate = p.rates(np.arange(len(p.bid)))[a.bid, a.pool]
        done = np.bincount(a.bid, a.devices * rate, minlength=len(p.bid))
        paid = np.bincount(a.bid, a.devices * price[a.pool], minlength=len(p.bid))
        lost = self.best_bid - (p.limit * np.minimum(done, p.demand) - paid)
        pieces = np.bincount(a.bid, minlength=len(p.bid))
        of_bids = np.bincount(a.pool, (lost / np.maximum(pieces, 1))[a.bid], minlength=p.pools)
        idle = pieces == 0
        of_idle = np.bincount(self.cheapest[p.kind[idle]], lost[idle], minlength=p.pools)
        of_lots = np.bincount(p.pool, self.best_lot - (price[p.pool] - p.ask) * a.let, minlength=p.pools)
        over: F64 = (
            np.bincount(p.pool, a.let, minlength=p.pools) - np.bincount(a.pool, a.devices, minlength=p.pools)
        ).astype(np.float64)
        lost_here: F64 = of_bids + of_idle + of_lots + price * over
        return lost_here

    def neighbourhoods(self, a: Answer, most: int, slack: float) -> list[I64]:
        """Return sets of pools, each around a pool that loses a good part of what all lose together, ``slack``."""
        lost = self.of_pools(a)
        crowd = np.bincount(a.pool, minlength=self.p.pools) + 1
        found, seen = [], np.zeros(self.p.pools, dtype=np.bool_)
        for k in np.argsort(-lost, kind="stable").tolist():
            if seen[k] or lost[k] <= _LITTLE * slack:
                continue
            order = np.argsort(-self.shared[k] * (lost + 1e-9 * self.bound), kind="stable")
            order = np.concatenate([[k], order[(order != k) & (self.shared[k, order] > 0)]])
            inside = order[np.cumsum(crowd[order]) <= max(most, crowd[k])]
            seen[inside[: max(1, len(inside) // 2)]] = True
            found.append(inside)
        return found


def _around(p: Period, price: F64, a: Answer, pools: I64, losses: _Losses, seconds: float) -> Answer | None:
    """Allocate the orders of some pools anew; the others stay."""
    inside = np.zeros(p.pools, dtype=np.bool_)
    inside[pools] = True
    pieces = np.bincount(a.bid, minlength=len(p.bid))
    within = np.bincount(a.bid[inside[a.pool]], minlength=len(p.bid))
    free = (pieces == within) & (p.bid_group < 0)
    rate = p.rate * inside
    with np.errstate(divide="ignore", invalid="ignore"):
        reachable = np.where(rate > 0, price / np.where(rate > 0, rate, 1.0), np.inf).min(axis=1)[p.kind]
    if p.factor is None:
        free &= (within > 0) | (reachable < 1.05 * p.limit)
    else:
        free &= (within > 0) | np.isfinite(reachable)
    bids = np.flatnonzero(free)
    idle = bids[within[bids] == 0]
    if len(idle) > _IDLE:
        gain = (p.demand * (p.limit - losses.least))[idle]
        idle = idle[np.argsort(-gain, kind="stable")[:_IDLE]]
        bids = np.sort(np.concatenate([bids[within[bids] > 0], idle]))
    lots = np.flatnonzero(inside[p.pool] & (p.lot_group < 0))
    fixed_lot = inside[p.pool] & (p.lot_group >= 0)
    kept = ~np.isin(a.bid, bids)
    taken = np.bincount(a.pool[kept], a.devices[kept], minlength=p.pools) * inside
    taken = taken - np.bincount(p.pool[fixed_lot], a.let[fixed_lot], minlength=p.pools)
    part = _part(p, lots, bids, rate)
    before = Answer(_index(bids, len(p.bid))[a.bid[~kept]], a.pool[~kept], a.devices[~kept], a.let[lots])
    least = least_costs_of(part, price)
    bound = float(part.quantity @ np.maximum(0.0, price[part.pool] - part.ask)) + float(
        (part.demand * np.maximum(0.0, part.limit - np.where(np.isfinite(least), least, np.inf)))[
            np.isfinite(least)
        ].sum()
    )
    # devices that others use are paid for at the prices
    slack = bound - welfare_of(part, before) - float(price @ np.maximum(taken, 0))
    slack = max(slack, 1e-6 * losses.bound)
    found = exact(
        part, price, slack, nodes=_NODES, seconds=seconds, close=0.03 * slack, taken=taken.astype(np.int64)
    )
    if found is None:
        return None
    let = a.let.copy()
    let[lots] = found.let
    return settled(
        p,
        Answer(
            np.concatenate([a.bid[kept], bids[found.bid]]),
            np.concatenate([a.pool[kept], found.pool]),
            np.concatenate([a.devices[kept], found.devices]),
            let,
        ),
    )


def _index(rows: I64, count: int) -> I64:
    """Return (count,) the place of each row in ``rows``; -1 where it has none."""
    index = np.full(count, -1, dtype=np.int64)
    index[rows] = np.arange(len(rows))
    return index


def _part(p: Period, lots: I64, bids: I64, rate: F64) -> Period:
    """Return the market of some lots and bids."""
    return replace(
        p, rate=rate, factor=None if p.factor is None else p.factor[bids],
        **{n: getattr(p, n)[lots] for n in ("lot", "pool", "ask", "quantity", "block", "least", "lot_rank", "lot_group")},
        **{n: getattr(p, n)[bids] for n in ("bid", "kind", "limit", "demand", "min_share", "one_pool", "bid_rank", "bid_group")},
    )  # fmt: skip


def settled(p: Period, a: Answer) -> Answer | None:
    """Make what slices rounded up fit: open blocks that are left, or take it from bids that may have less; else ``None``."""
    let, devices = a.let.copy(), a.devices.copy()
    rate = p.rates(np.arange(len(p.bid)))[a.bid, a.pool]
    done = np.bincount(a.bid, devices * rate, minlength=len(p.bid))
    used = np.bincount(a.pool, devices, minlength=p.pools).astype(np.int64)
    have = np.bincount(p.pool, let, minlength=p.pools).astype(np.int64)
    for k in np.flatnonzero(used > have).tolist():
        over = int(used[k] - have[k])
        lots = np.flatnonzero(
            (p.pool == k)
            & (let + p.block <= p.quantity)
            & ((let > 0) | (p.least <= p.block))
            & (p.lot_group < 0)
        )
        at = np.flatnonzero(a.pool == k)
        soft = at[
            (done[a.bid[at]] - rate[at] * over >= p.min_share[a.bid[at]] * p.demand[a.bid[at]])
            & (devices[at] > over)
            | (p.min_share[a.bid[at]] <= 0)
        ]
        for r in soft[np.argsort(p.limit[a.bid[soft]] * rate[soft], kind="stable")].tolist():
            less = min(int(devices[r]), -(-over // int(p.step[k])) * int(p.step[k]))
            if lots.size and p.limit[a.bid[r]] * rate[r] * less > p.ask[lots].min() * p.block[lots].min():
                continue
            devices[r] -= less
            done[a.bid[r]] -= less * rate[r]
            over -= less
            if over <= 0:
                break
        for i in lots[np.argsort(p.ask[lots], kind="stable")].tolist():
            if over <= 0:
                break
            more = min(-(-over // int(p.block[i])), int(p.quantity[i] - let[i]) // int(p.block[i])) * int(
                p.block[i]
            )
            let[i] += more
            over -= more
        if over > 0:
            return None
    done = np.minimum(np.bincount(a.bid, devices * rate, minlength=len(p.bid)), p.demand)
    short = (done < p.min_share * p.demand * (1 - FULL)) & (done > 0)
    keep = (devices > 0) & ~short[a.bid]
    return Answer(a.bid[keep], a.pool[keep], devices[keep], let)
