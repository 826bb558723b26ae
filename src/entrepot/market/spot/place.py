"""How does the divisible optimum of a period become whole orders? Placed as the optimum says, mended at the margin.

1. Bids go to pools as the optimum's flows say; few are cut in two. A bid for one pool goes wholly to the larger part.
2. A bid that the optimum serves in part, though it wants all or nothing, waits.
3. What is over a pool's supply is shed, least worth first; what was shed and what waits is offered, best first, what it
   can still have at what that costs at the margin; so is every bid that would still gain.
4. Lots are chosen in merit order, whole blocks, least quantities kept (`supply`).

No bid is placed at a loss at the published prices. A lot may be: then its loss is made whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.overlay import overlay
from entrepot.market.spot.period import Period
from entrepot.market.spot.supply import curves

__all__ = ["Board", "Targets", "pieces", "place", "welfare"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

FULL = 1e-9  # share of a demand that counts as served
_NOISE = 1e-6  # of a step
_ROOM = 0.75  # micro per device-hour: a published price may be half a micro-unit above the exact one
_WORTH = 1e-10  # of the value of all work: a gain that is not worth the time to look for it
_PASSES = 4
_QUEUE = 4_000  # bids that one pass of mending looks at, at most


@dataclass(frozen=True, slots=True)
class Targets:
    """What the optimum wants: work of bids at nodes, and of nodes at pools, in Mtok of the kind.

    Attributes
    ----------
    bid, node, work : (entries,) a node is a kind, or with private yields a chip of a kind
    flow_node, flow_pool, flow_work, flow_devices : (flows,)
    lots : rows of lots that may be let: those of which the optimum takes something, and those that let single blocks
    """

    bid: I64
    node: I64
    work: F64
    flow_node: I64
    flow_pool: I64
    flow_work: F64
    flow_devices: F64
    lots: I64


class Board:
    """Who has what so far: pieces (bid, pool, devices), work served, devices used.

    Attributes
    ----------
    bid, pool, devices : (pieces,)
    served : (bids,) Mtok per hour that the devices can do
    used : (pools,) devices
    """

    def __init__(self, p: Period, price: F64, lots: I64, bid: I64, pool: I64, devices: I64) -> None:
        self.p, self.price, self.curves = p, price, curves(p, lots)
        self.bid, self.pool, self.devices = bid, pool, devices
        self.rate = self._rate(bid, pool)
        self.served = np.bincount(bid, devices * self.rate, minlength=len(p.bid))
        self.paid = np.bincount(bid, devices * price[pool], minlength=len(p.bid))
        self.used = np.bincount(pool, devices, minlength=p.pools).astype(np.int64)
        self._new: list[tuple[int, int, int]] = []

    def _rate(self, bid: I64, pool: I64) -> F64:
        rate = self.p.rate[self.p.kind[bid], pool]
        return rate if self.p.factor is None else rate * self.p.factor[bid, self.p.chip[pool]]

    def drop(self, gone: Mask) -> None:
        """Take everything from some bids."""
        out = gone[self.bid]
        self.used -= np.bincount(self.pool[out], self.devices[out], minlength=self.p.pools).astype(np.int64)
        self.served[gone] = 0.0
        self.paid[gone] = 0.0
        self._keep(~out)

    def _keep(self, keep: Mask) -> None:
        self.bid, self.pool, self.devices, self.rate = (
            self.bid[keep], self.pool[keep], self.devices[keep], self.rate[keep]
        )  # fmt: skip

    def give(self, bid: int, pools: I64, devices: I64, rate: F64) -> None:
        """Give a bid devices of some pools."""
        for k, n in zip(pools.tolist(), devices.tolist(), strict=True):
            self._new.append((bid, k, n))
        np.add.at(self.used, pools, devices)
        self.served[bid] += float(devices @ rate)
        self.paid[bid] += float(devices @ self.price[pools])

    def add(self, bid: I64, pool: I64, devices: I64) -> None:
        """Give many bids devices, a row each."""
        rate = self._rate(bid, pool)
        np.add.at(self.served, bid, devices * rate)
        np.add.at(self.paid, bid, devices * self.price[pool])
        np.add.at(self.used, pool, devices)
        self._join(bid, pool, devices)

    def settle(self) -> None:
        """Write what was given since the last call into the pieces; each (bid, pool) once."""
        if self._new:
            new = np.array(self._new, dtype=np.int64)
            self._new = []
            self._join(new[:, 0], new[:, 1], new[:, 2])

    def _join(self, bid: I64, pool: I64, devices: I64) -> None:
        bid, pool = np.concatenate([self.bid, bid]), np.concatenate([self.pool, pool])
        devices = np.concatenate([self.devices, devices])
        key, of = np.unique(bid * self.p.pools + pool, return_inverse=True)
        self.devices = np.bincount(of.ravel(), devices, minlength=len(key)).astype(np.int64)
        self.bid, self.pool = key // self.p.pools, key % self.p.pools
        self.rate = self._rate(self.bid, self.pool)

    def done(self) -> F64:
        """Return (bids,) work served, at most the demand."""
        return np.minimum(self.served, self.p.demand)


def welfare(p: Period, board: Board, committed: I64) -> float:
    """Return value of the work done less what the lots ask for what they let."""
    return float(p.limit @ board.done() - p.ask @ committed)


def place(p: Period, price: F64, targets: Targets) -> Board:
    """Place whole orders.

    Parameters
    ----------
    price : (pools,) as published

    Returns
    -------
    Board : within every pool's supply, with each bid's rules kept and no bid at a loss
    """
    board = Board(p, price, targets.lots, *pieces(p, price, targets))
    _mind_rules(board)
    soft = np.bincount(targets.flow_pool, targets.flow_devices, minlength=p.pools)
    _shed(board, np.ceil(soft / p.step - _NOISE).astype(np.int64) * p.step, firmly=False)
    _shed(board, board.curves.most, firmly=True)
    tried = np.zeros(len(p.bid), dtype=np.bool_)
    for _ in range(_PASSES):
        if not _offer(board, tried):
            break
    return board


def pieces(p: Period, price: F64, t: Targets) -> tuple[I64, I64, I64]:
    """Lay bids against flows, node by node; in whole steps of the pool."""
    # the largest first, so that what is cut is small; one-pool bids before the others
    order = np.lexsort((p.bid_rank[t.bid], -t.work, ~p.one_pool[t.bid], t.node))
    flows = np.lexsort((t.flow_pool, -t.flow_work, t.flow_node))
    i, j, work = overlay(t.node[order], t.work[order], t.flow_node[flows], t.flow_work[flows])
    entry = order[i]
    bid, pool = t.bid[entry], t.flow_pool[flows[j]]
    rate = p.rate[p.kind[bid], pool]  # of the kind: nodes count its work
    own = np.ones(len(bid)) if p.factor is None else p.factor[bid, p.chip[pool]]
    # the larger piece first; it takes what rounding leaves
    first = np.lexsort((-work * own, bid))
    bid, pool, work, rate, own = bid[first], pool[first], work[first], rate[first], own[first]
    leads = np.ones(len(bid), dtype=np.bool_)
    leads[1:] = bid[1:] != bid[:-1]
    wanted = np.bincount(bid, work * own, minlength=len(p.bid))
    whole = p.one_pool[bid]
    keep = leads | ~whole
    work = np.where(whole, wanted[bid] / own, work)
    bid, pool, work, rate, own, leads = bid[keep], pool[keep], work[keep], rate[keep], own[keep], leads[keep]
    step = p.step[pool]
    steps = np.floor(work / (rate * step) + _NOISE).astype(np.int64)
    done = np.bincount(bid, steps * step * rate * own, minlength=len(p.bid))
    left = wanted[bid] - done[bid]
    reach = rate * own * step
    full = wanted[bid] >= p.demand[bid] * (1 - FULL)
    must = (p.min_share[bid] > 0) & (done[bid] < p.min_share[bid] * p.demand[bid] * (1 - FULL / 2))
    more = np.ceil(left / reach - _NOISE).astype(np.int64)
    gain = p.limit[bid] * np.minimum(reach, left) - price[pool] * step
    more = np.where(
        must & full, more, np.where((gain > 0) & (left > FULL * p.demand[bid]), np.minimum(more, 1), 0)
    )
    steps += np.where(leads, np.maximum(more, 0), 0)
    keep = steps > 0
    return bid[keep], pool[keep], (steps * step)[keep]


def _mind_rules(board: Board) -> None:
    """Take everything from bids that got less than they accept, or would pay more than their work is worth."""
    p = board.p
    short = board.done() < p.min_share * p.demand * (1 - FULL)
    devices = np.bincount(board.bid, board.devices, minlength=len(p.bid))
    loses = p.limit * board.done() < board.paid - _ROOM * devices
    gone = (short | loses) & (board.served > 0)
    if gone.any():
        board.drop(gone)


def _shed(board: Board, most: I64, *, firmly: bool) -> None:
    """Take from each pool what is over ``most``: divisible bids of least worth first, then, if ``firmly``, whole bids."""
    p = board.p
    for k in np.flatnonzero(board.used > most):
        at = np.flatnonzero(board.pool == k)
        bids = board.bid[at]
        worth = p.limit[bids] * board.rate[at] - board.price[k]
        firm = (p.min_share[bids] > 0) & (p.limit[bids] > 0)
        gone = np.zeros(len(p.bid), dtype=np.bool_)
        over = int(board.used[k] - most[k])
        fits = np.where(firm & (board.devices[at] > 4 * over), 1, 0)
        for r in np.lexsort((p.bid_rank[bids], worth, fits)):
            if over <= 0:
                break
            if firm[r] and not firmly:
                continue
            b, n = int(bids[r]), int(board.devices[at[r]])
            less = n if firm[r] else min(n, -(-over // int(p.step[k])) * int(p.step[k]))
            over -= less
            if firm[r]:
                gone[b] = True
                continue
            board.devices[at[r]] -= less
            board.used[k] -= less
            board.served[b] -= less * board.rate[at[r]]
            board.paid[b] -= less * board.price[k]
        board._keep(board.devices > 0)
        board.drop(gone)


def _offer(board: Board, tried: Mask) -> bool:
    """Offer bids that are not wholly served what they can have at the margin, best first. Did anybody take it?"""
    p = board.p
    cost = np.maximum(board.price, board.curves.margin(board.used))
    left = np.maximum(0.0, p.demand - board.served)
    short = np.flatnonzero((left > FULL * p.demand) & ~tried)
    if p.bid_group.max(initial=-1) >= 0:
        taken = np.zeros(int(p.bid_group.max()) + 1, dtype=np.bool_)
        served = (board.served > 0) & (p.bid_group >= 0)
        taken[p.bid_group[served]] = True
        short = short[(p.bid_group[short] < 0) | ~taken[p.bid_group[short]] | (board.served[short] > 0)]
    least, step = _least_cost(p, cost, short)
    # what it would get, in whole steps, at the margin; a step that is not filled is paid for all the same
    filled = np.ceil(left[short] / step - _NOISE) * step
    gain = p.limit[short] * left[short] - np.where(np.isfinite(least), least, 0.0) * filled
    keep = np.isfinite(least) & (
        gain >= np.minimum(-1e-9 * p.limit[short] * left[short], _WORTH * float(p.limit @ p.demand))
    )
    short, least, gain = short[keep], least[keep], gain[keep]
    if len(short) > _QUEUE:
        most = np.argpartition(-gain, _QUEUE)[:_QUEUE]
        short, least = short[most], least[most]
    order = np.lexsort((p.bid_rank[short], -p.limit[short] / np.maximum(least, 1e-9)))
    some = False
    for b in short[order].tolist():
        took = _give(board, b, float(max(0.0, p.demand[b] - board.served[b])))
        some |= took
        if not took:
            tried[b] = True
    board.settle()
    return some


def _least_cost(p: Period, cost: F64, bids: I64) -> tuple[F64, F64]:
    """Return (bids,) the least cost of a Mtok at the margin, and the work of one step of that pool."""
    with np.errstate(divide="ignore", invalid="ignore"):
        per_work = np.where(p.rate > 0, cost / p.rate, np.inf)  # (kinds, pools)
    reach = p.rate * p.step
    if p.factor is None:
        best = per_work.argmin(axis=1)
        rows = np.arange(len(best))
        return per_work[rows, best][p.kind[bids]], np.maximum(reach[rows, best], 1e-300)[p.kind[bids]]
    chips = p.factor.shape[1]
    of_chip, step = np.full((len(p.rate), chips), np.inf), np.ones((len(p.rate), chips))
    rows = np.arange(len(p.rate))
    for j in range(chips):
        pools = np.flatnonzero(p.chip == j)
        best = pools[per_work[:, pools].argmin(axis=1)]
        of_chip[:, j], step[:, j] = per_work[rows, best], reach[rows, best]
    private = of_chip[p.kind[bids]] / p.factor[bids]
    chip = private.argmin(axis=1)
    own = p.factor[bids, chip] * step[p.kind[bids], chip]
    return private[np.arange(len(bids)), chip], np.maximum(own, 1e-300)


def _give(board: Board, b: int, left: float) -> bool:
    """Give one bid what it gains from most: one pool if it wants one, else the cheapest pools in turn."""
    p = board.p
    rate = p.rates(np.array([b]))[0]
    if p.bid_group[b] >= 0 and board.served[b] <= 0:
        same = np.flatnonzero(p.bid_group == p.bid_group[b])
        if (board.served[same] > 0).any():
            return False
    room = (board.curves.most - board.used) // p.step * p.step
    if p.one_pool[b] and board.served[b] > 0:
        mine = np.zeros(p.pools, dtype=np.bool_)
        mine[board.pool[board.bid == b]] = True
        for who, k, _ in board._new:
            if who == b:
                mine[k] = True
        room = np.where(mine, room, 0)
    may = np.flatnonzero((rate > 0) & (room > 0))
    if not len(may):
        return False
    firm = board.served[b] < p.min_share[b] * p.demand[b] * (1 - FULL)
    limit = float(p.limit[b])
    reach, step = rate[may], p.step[may]
    wanted = np.ceil(left / (reach * step) - _NOISE).astype(np.int64) * step
    fit = np.minimum(wanted, room[may])
    extra = board.curves.cost_at(may, (board.used[may] + fit).astype(np.float64)) - board.curves.cost_at(
        may, board.used[may].astype(np.float64)
    )
    work = np.minimum(left, fit * reach)
    gain = limit * work - extra
    if firm:
        gain = np.where(fit * reach >= left * (1 - FULL), gain, -np.inf)
    else:  # perhaps one step less is better: the last one may not be filled
        less = np.maximum(0, np.minimum(wanted - step, room[may]))
        gain_less = limit * less * reach - extra * np.divide(less, np.maximum(fit, 1))
        fair = limit * work >= (board.price[may] - _ROOM) * fit
        better = ((gain_less > gain) | ~fair) & (less > 0)
        fit, gain = np.where(better, less, fit), np.where(better, gain_less, gain)
        work = np.minimum(left, fit * reach)
    # worth its price to the bid, and more than it costs to all
    gain = np.where(limit * work >= (board.price[may] - _ROOM) * fit, gain, -np.inf)
    best = int(np.argmax(gain))
    if gain[best] > 1e-9 * limit * left and (
        p.one_pool[b] or fit[best] * reach[best] >= left * (1 - FULL) or not firm
    ):
        board.give(b, may[best : best + 1], fit[best : best + 1], reach[best : best + 1])
        return True
    if p.one_pool[b]:
        return False
    return _give_mix(board, b, left, may, rate, room)


def _give_mix(board: Board, b: int, left: float, may: I64, rate: F64, room: I64) -> bool:
    """Give one bid its work from several pools, the cheapest first, if that is worth it."""
    p = board.p
    margin = board.curves.margin(board.used)
    cost = np.maximum(board.price, margin)
    order = may[np.argsort(cost[may] / rate[may], kind="stable")]
    take, total, pays, work = [], 0.0, 0.0, 0.0
    for k in order.tolist():
        n = min(int(np.ceil((left - work) / (rate[k] * p.step[k]) - _NOISE)) * int(p.step[k]), int(room[k]))
        if n <= 0:
            continue
        total, pays = total + float(margin[k]) * n, pays + (float(board.price[k]) - _ROOM) * n
        work += min(left - work, n * float(rate[k]))
        take.append((k, n))
        if work >= left * (1 - FULL):
            break
    value = float(p.limit[b]) * work
    if not take or work < left * (1 - FULL) or value <= total * (1 + 1e-9) or value < pays:
        return False
    pools = np.array([k for k, _ in take])
    board.give(b, pools, np.array([n for _, n in take]), rate[pools])
    return True
