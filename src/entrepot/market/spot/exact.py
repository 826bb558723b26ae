"""What is the best that a small market can do under all its rules? One mixed-integer program of the whole period.

    maximise   sum_b limit z_b - sum_i ask block n_i
    subject to taken_k + sum_b step_k x_bk <= sum_{i of k} block_i n_i   each pool
               z_b <= sum_k R_bk step_k x_bk                            each bid, or all bids of a kind together
               least_i o_i <= block_i n_i <= quantity_i o_i             a lot with a least quantity
               share_b d_b y_b <= z_b <= d_b y_b                        a bid with a least share
               sum_k pick_bk <= 1                                       a bid for one pool
               sum o <= 1, sum y <= 1                                   an exclusive group

What is left out does not matter: an answer of an order that costs it more at some prices, against its best one, than the
bound at those prices lies above the best allocation known, is in no better allocation (fixing by reduced costs). A bid for
one pool that wants all or nothing is one column for each pool; bids to whom a slice is small are counted kind by kind, and
what their slices round up is left free, except in a tiny market, where every slice counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.linear import Columns, search
from entrepot.market.spot.period import Period
from entrepot.market.spot.place import FULL, Targets, pieces

__all__ = ["Answer", "exact", "is_tiny", "welfare_of"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_TINY = 3_000  # (bid, pool) pairs up to which every slice is counted
_COARSE = 1e-3  # of a demand: a slice that does more of it is counted as a whole number
_POOLS = 12  # cheapest pools of a bid for several, where slices are coarse and the market is not tiny
_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class Answer:
    """An allocation: pieces (bid, pool, devices), each (bid, pool) once, and (lots,) devices let, in whole blocks."""

    bid: I64
    pool: I64
    devices: I64
    let: I64


def is_tiny(p: Period) -> bool:
    """Say whether every slice of every bid is counted as a whole number."""
    return int(np.bincount(p.kind, minlength=len(p.rate)) @ (p.rate > 0).sum(axis=1)) <= _TINY


def welfare_of(p: Period, a: Answer) -> float:
    """Return value of the work done less what the lots ask for what they let."""
    rate = p.rate[p.kind[a.bid], a.pool]
    if p.factor is not None:
        rate = rate * p.factor[a.bid, p.chip[a.pool]]
    done = np.bincount(a.bid, a.devices * rate, minlength=len(p.bid))
    return float(p.limit @ np.minimum(done, p.demand) - p.ask @ a.let)


class _Program:
    """Columns, and rows ``entries <= right`` that are added as they come."""

    def __init__(self, right: F64) -> None:
        self.columns, self._right, self._count = Columns(), [right], len(right)

    def rows(self, right: F64 | float, count: int) -> I64:
        """Add rows; return their numbers."""
        self._right.append(np.broadcast_to(np.asarray(right, dtype=np.float64), (count,)))
        self._count += count
        return np.arange(self._count - count, self._count, dtype=np.int64)

    def link(self, column: I64, by: I64, factor: F64 | float, right: float = 0.0, sign: float = 1.0) -> None:
        """Add rows ``sign * (column - factor * by) <= right``."""
        row = self.rows(right, len(column))
        self.columns.enter(row, column, sign)
        self.columns.enter(row, by, -sign * np.asarray(factor))

    def one_of(self, group: I64, column: I64) -> None:
        """Add rows: of the columns of a group (>= 0) at most one."""
        some = group >= 0
        names, of = np.unique(group[some], return_inverse=True)
        self.columns.enter(self.rows(1.0, len(names))[of.ravel()], column[some], 1.0)

    def add(self, cost: F64, upper: F64, whole: Mask) -> I64:
        """Add columns of which some are whole numbers."""
        numbers = np.empty(len(cost), dtype=np.int64)
        for kind in (True, False):
            mine = whole == kind
            numbers[mine] = self.columns.add(cost[mine], upper[mine], whole=kind)
        return numbers

    def right(self) -> F64:
        """(rows,) right sides."""
        return np.concatenate(self._right)


@dataclass(frozen=True, slots=True)
class _Edges:
    """Pools that bids may use: (edges,) bid, pool, work of one step, most steps; columns."""

    bid: I64
    pool: I64
    work: F64
    top: F64
    steps: I64
    pick: I64


class _Market:
    """The program of a period, as it is being written."""

    def __init__(self, p: Period, price: F64, slack: float, taken: I64) -> None:
        self.p, self.price, self.slack = p, price, slack
        self.m = _Program(-taken.astype(np.float64))
        self.rate = p.rates(np.arange(len(p.bid)))
        with np.errstate(divide="ignore", invalid="ignore"):
            self.cost = np.where(self.rate > 0, price / self.rate, np.inf)
        self.least = self.cost.min(axis=1, initial=np.inf)
        self.best = np.where(np.isfinite(self.least), p.demand * np.maximum(0.0, p.limit - self.least), 0.0)
        each = np.where(self.rate > 0, self.rate * p.step, np.inf).min(axis=1, initial=np.inf)
        some = np.maximum(p.min_share * p.demand, np.minimum(each, p.demand))  # the least that it can have
        with np.errstate(invalid="ignore"):
            self.alive = np.isfinite(self.least) & (some * (self.least - p.limit) <= slack)
        self.tiny = int((self.rate[self.alive] > 0).sum()) <= _TINY
        self.step = p.step.astype(np.float64)
        self.offered = p.offered()

    def lots(self) -> I64:
        """Write the lots; return the columns of their blocks."""
        p, m, slack = self.p, self.m, self.slack
        block, most = p.block.astype(np.float64), np.rint(p.quantity / p.block)
        margin = self.price[p.pool] - p.ask
        low = np.zeros(len(most))
        dear, good = margin < -1e-9, margin > 1e-9
        with np.errstate(divide="ignore"):
            reach = slack / (np.abs(margin) * block)  # blocks that may be away from the best answer
        most[dear] = np.minimum(most[dear], np.floor(reach[dear] + _EPS))
        most[most * block < p.least] = 0
        low[good] = np.maximum(0, np.ceil(most[good] - reach[good] - _EPS))
        low[p.lot_group >= 0] = 0
        low = np.where(low > 0, np.maximum(low, p.least / block), 0.0)
        blocks = m.columns.add(p.ask * block, most, whole=True, lower=np.minimum(low, most))
        m.columns.enter(p.pool, blocks, -block)
        odd = np.flatnonzero((((p.least > p.block) & (low == 0)) | (p.lot_group >= 0)) & (most > 0))
        opened = m.columns.add(np.zeros(len(odd)), np.ones(len(odd)), whole=True)
        m.link(blocks[odd], opened, most[odd])
        m.link(blocks[odd], opened, (p.least / block)[odd], sign=-1.0)
        m.one_of(p.lot_group[odd], opened)
        return blocks

    def accepted(self) -> I64:
        """Write yes or no of bids that want so much or nothing, or stand in a group; (bids,) columns, -1 for none."""
        p = self.p
        grouped = p.bid_group >= 0
        who = np.flatnonzero(self.alive & (grouped | ((p.min_share > 0) & ~p.one_pool)))
        sure = (self.best[who] > self.slack) & ~grouped[who]
        yes = np.full(len(p.bid), -1, dtype=np.int64)
        yes[who] = self.m.columns.add(
            np.zeros(len(who)), np.ones(len(who)), whole=True, lower=sure.astype(np.float64)
        )
        self.m.one_of(p.bid_group[who], yes[who])
        return yes

    def one_pool(self, yes: I64) -> _Edges:
        """Write the bids for one pool: one column for each pool, where all is wanted or nothing; else also work and steps."""
        p, m = self.p, self.m
        bid, pool = np.nonzero((self.alive & p.one_pool)[:, None] & (self.rate > 0))
        each = self.rate[bid, pool] * self.step[pool]
        top = np.minimum(np.ceil(p.demand[bid] / each - 1e-9), np.floor(self.offered[pool] / self.step[pool]))
        work = np.minimum(p.demand[bid], top * each)
        firm = p.min_share[bid] >= 1
        gain = np.where(
            firm, p.limit[bid] * work - self.price[pool] * self.step[pool] * top,
            np.maximum(0.0, p.limit[bid] - self.cost[bid, pool]) * work,
        )  # fmt: skip
        keep = (work >= p.min_share[bid] * p.demand[bid] * (1 - FULL)) & (top > 0)
        keep &= self.best[bid] - gain <= self.slack
        bid, pool, firm = bid[keep], pool[keep], firm[keep]
        each, top, work = each[keep], top[keep], work[keep]
        pick = m.columns.add(
            np.where(firm, -p.limit[bid] * p.demand[bid], 0.0), np.ones(len(bid)), whole=True
        )
        m.columns.enter(pool[firm], pick[firm], (self.step[pool] * top)[firm])
        part = np.flatnonzero(~firm)
        coarse = (each[part] > _COARSE * p.demand[bid[part]]) | self.tiny
        steps = np.full(len(bid), -1, dtype=np.int64)
        steps[part] = m.add(np.zeros(len(part)), top[part], coarse)
        served = m.columns.add(-p.limit[bid[part]], work[part])
        m.columns.enter(pool[part], steps[part], self.step[pool[part]])
        m.link(steps[part], pick[part], top[part])
        m.link(served, steps[part], each[part])
        m.link(served, pick[part], work[part])
        some = np.flatnonzero(p.min_share[bid[part]] > 0)
        m.link(
            served[some],
            pick[part[some]],
            (p.min_share * p.demand * (1 - FULL))[bid[part[some]]],
            sign=-1.0,
        )
        who, of = np.unique(bid, return_inverse=True)
        row = m.rows(np.where(yes[who] >= 0, 0.0, 1.0), len(who))
        m.columns.enter(row[of.ravel()], pick, 1.0)
        mate = np.flatnonzero(yes[who] >= 0)
        m.columns.enter(row[mate], yes[who[mate]], -1.0)
        return _Edges(bid, pool, each, top, steps, pick)

    def several(self, alone: Mask, row: I64) -> _Edges:
        """Write the pools of bids that take several, each bid alone; ``row`` is where each bid's work is counted."""
        p = self.p
        bid, pool = np.nonzero(alone[:, None] & (self.rate > 0))
        each = self.rate[bid, pool] * self.step[pool]
        if not self.tiny:
            keep = _cheapest(bid, self.cost[bid, pool], _POOLS)
            bid, pool, each = bid[keep], pool[keep], each[keep]
        top = np.minimum(np.ceil(p.demand[bid] / each - 1e-9), np.floor(self.offered[pool] / self.step[pool]))
        coarse = (each > _COARSE * p.demand[bid]) | self.tiny
        steps = self.m.add(np.zeros(len(bid)), top, coarse)
        self.m.columns.enter(pool, steps, self.step[pool])
        self.m.columns.enter(row[bid], steps, -each)
        return _Edges(bid, pool, each, top, steps, np.zeros(0, dtype=np.int64))

    def kinds(self, bids: I64, row: I64) -> tuple[I64, I64, I64]:
        """Write flows between kinds and pools, for bids to whom a slice is small; return kind, pool, column."""
        p = self.p
        there = np.bincount(p.kind[bids], minlength=len(p.rate)) > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            cost = np.where(p.rate > 0, self.price / p.rate, np.inf)
        kind, pool = np.nonzero((p.rate > 0) & there[:, None] & (self.offered > 0))
        dearer = (cost[kind, pool] - cost.min(axis=1)[kind]) * p.rate[kind, pool]
        most = np.divide(
            self.slack, dearer, out=np.full(len(kind), np.inf), where=dearer > 1e-9 * self.price[pool]
        )
        keep = most > self.step[pool]
        kind, pool, most = kind[keep], pool[keep], most[keep]
        flow = self.m.columns.add(np.zeros(len(kind)), most)
        self.m.columns.enter(pool, flow, 1.0)
        self.m.columns.enter(row[kind], flow, -p.rate[kind, pool])
        return kind, pool, flow

    def work(self, bids: I64, row: I64, yes: I64) -> I64:
        """Write the work of bids that may take several pools; return (bids,) its columns, -1 where all is wanted."""
        p, m = self.p, self.m
        served = np.full(len(p.bid), -1, dtype=np.int64)
        firm = bids[p.min_share[bids] >= 1]
        m.columns.enter(row[firm], yes[firm], p.demand[firm])
        m.columns.charge(yes[firm], -p.limit[firm] * p.demand[firm])
        part = bids[p.min_share[bids] < 1]
        served[part] = m.columns.add(-p.limit[part], p.demand[part])
        m.columns.enter(row[part], served[part], 1.0)
        part = part[yes[part] >= 0]
        m.link(served[part], yes[part], p.demand[part])
        part = part[p.min_share[part] > 0]
        m.link(served[part], yes[part], (p.min_share * p.demand * (1 - FULL))[part], sign=-1.0)
        return served


def exact(
    p: Period, price: F64, slack: float, *, nodes: int, seconds: float, close: float, taken: I64 | None = None
) -> Answer | None:
    """Search for the best allocation of a period.

    Parameters
    ----------
    price : (pools,) at which answers are weighed
    slack : the bound at these prices less the welfare of the best allocation known; what costs more is left out
    nodes, seconds, close : of the search: its size; a limit of time; how near its own bound it may stop, micro
    taken : (pools,) devices that orders outside this program use

    Returns
    -------
    An allocation, not yet checked for what slices round up; ``None`` where none was found
    """
    w = _Market(p, price, slack, np.zeros(p.pools, dtype=np.int64) if taken is None else taken)
    blocks = w.lots()
    yes = w.accepted()
    one = w.one_pool(yes)
    many = w.alive & ~p.one_pool
    coarse = np.where(w.rate > 0, w.rate * w.step, 0.0).max(axis=1, initial=0.0) > _COARSE * p.demand
    alone = many & (coarse | w.tiny | (p.factor is not None))
    together = np.flatnonzero(many & ~alone)
    row = np.full(len(p.bid), -1, dtype=np.int64)
    row[alone] = w.m.rows(0.0, int(alone.sum()))
    of_kind = w.m.rows(0.0, len(p.rate))
    row[together] = of_kind[p.kind[together]]
    several = w.several(alone, row)
    kind, pool, flow = w.kinds(together, of_kind)
    served = w.work(np.flatnonzero(many), row, yes)
    right = w.m.right()
    if not w.tiny:  # what whole slices round up
        fine = np.bincount(
            one.pool,
            (one.work <= _COARSE * p.demand[one.bid]) & (p.min_share[one.bid] < 1),
            minlength=p.pools,
        )
        crowd = 2.0 + len(together) / max(1, len(np.unique(pool)))
        right[: p.pools] -= (np.bincount(pool, minlength=p.pools) > 0) * np.minimum(
            crowd, 8.0
        ) * w.step + np.minimum(fine, 4.0) * w.step * (w.step == 1)
    found, _ = search(w.m.columns, right, None, seconds=seconds, close=close, nodes=nodes)
    if found is None:
        return None
    rows = [_of_one(p, one, found), _of_several(p, several, found)]
    wanted = np.where(
        p.min_share[together] >= 1, p.demand[together] * (found[yes[together]] > 0.5), found[served[together]]
    )
    rows.append(_of_kinds(p, price, together, wanted, (kind, pool, found[flow])))
    bid, where, devices = (np.concatenate(v) for v in zip(*rows, strict=True))
    return Answer(bid, where, devices, np.rint(found[blocks]).astype(np.int64) * p.block)


def _of_one(p: Period, e: _Edges, found: F64) -> tuple[I64, I64, I64]:
    """Read what bids for one pool have."""
    steps = np.where(e.steps >= 0, np.ceil(found[e.steps] - _EPS), e.top)
    got = (found[e.pick] > 0.5) & (steps > 0)
    return e.bid[got], e.pool[got], np.rint(steps[got]).astype(np.int64) * p.step[e.pool[got]]


def _of_several(p: Period, e: _Edges, found: F64) -> tuple[I64, I64, I64]:
    """Read what bids for several pools have."""
    steps = np.ceil(found[e.steps] - _EPS)
    got = steps > 0
    return e.bid[got], e.pool[got], np.rint(steps[got]).astype(np.int64) * p.step[e.pool[got]]


def _of_kinds(
    p: Period, price: F64, bids: I64, wanted: F64, flows: tuple[I64, I64, F64]
) -> tuple[I64, I64, I64]:
    """Lay bids of a kind against its flows."""
    some = wanted > 1e-6 * p.demand[bids]
    kind, pool, flow = flows
    used = flow > _EPS
    work = flow[used] * p.rate[kind[used], pool[used]]
    near = wanted[some] >= p.demand[bids[some]] * (1 - 1e-6)
    target = Targets(
        bid=bids[some],
        node=p.kind[bids[some]],
        work=np.where(near, p.demand[bids[some]], wanted[some]),
        flow_node=kind[used],
        flow_pool=pool[used],
        flow_work=work,
        flow_devices=flow[used],
        lots=np.zeros(0, dtype=np.int64),
    )
    return pieces(p, price, target)


def _cheapest(bid: I64, cost: F64, most: int) -> Mask:
    """Return which edges are among the cheapest of their bid."""
    order = np.lexsort((cost, bid))
    begin = np.searchsorted(bid[order], bid[order])
    keep = np.zeros(len(bid), dtype=np.bool_)
    keep[order] = np.arange(len(bid)) - begin < most
    return keep
