"""What is better than rounding in a small market? A search over the orders near the margin, everything else as it was.

In a market of a few thousand orders one node, or one bid that wants all or nothing, is a good part of a pool, and rounding
each to the nearer end is not good enough. Here the orders whose gain at the prices is smallest, and those that a rule kept
out, are free: whole steps, whole blocks, yes or no. All others keep what they have decided; only the pools that serve them
may change, kind by kind. The program is solved by branch and bound, started from nothing, within a number of nodes and a
time, and its answer is placed like any other optimum. It is kept if it is worth more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.linear import Columns, search
from entrepot.market.spot.period import Period
from entrepot.market.spot.place import FULL, Board, Targets
from entrepot.market.spot.prices import cost_of_work, least_costs_of

__all__ = ["SMALL", "marginal"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

SMALL = 20_000  # orders above which rounding is good enough
_BIDS, _LOTS = 260, 700  # free orders at most
_POOLS = 10  # cheapest pools that a free bid may use
_ROOM = 3  # steps of each pool left for bids that come to it
_ROUNDING = 0.75  # micro per device-hour: a published price may be half a micro-unit above the exact one
_FIXED = 1.12  # a fixed kind uses pools up to this multiple of its least cost


@dataclass(frozen=True, slots=True)
class _Free:
    """Free bids and lots, by their rows in the period; whether each other bid is served."""

    bids: I64
    lots: I64


def marginal(  # noqa: PLR0915 - one program, written row by row
    p: Period, price: F64, board: Board, given: I64, seconds: float
) -> Targets | None:
    """Search over the orders near the margin.

    Parameters
    ----------
    price : (pools,) as published
    board, given : the rounding: what bids have, what lots give

    Returns
    -------
    What the best allocation found wants, to be placed; ``None`` where nothing was found
    """
    free = _choose(p, price, board, given)
    kinds, pools = p.rate.shape
    in_kind = _firmly(p, board, free.bids)
    c = Columns()
    rows_bid = pools + kinds + np.arange(len(free.bids))  # work of a free bid; then its yes or no
    rows = pools + kinds + len(free.bids)
    right = [np.zeros(pools), -in_kind, np.zeros(len(free.bids))]

    # fixed kinds: devices of a pool that the bids that stay use together
    with np.errstate(divide="ignore", invalid="ignore"):
        per_work = np.where(p.rate > 0, price / p.rate, np.inf)
    least = cost_of_work(p.rate, price)
    has = np.zeros(p.rate.shape, dtype=np.bool_)
    stays = np.ones(len(p.bid), dtype=np.bool_)
    stays[free.bids] = False
    kept = stays[board.bid]
    has[p.kind[board.bid[kept]], board.pool[kept]] = True
    kind, pool = np.nonzero(
        (p.rate > 0) & ((per_work <= _FIXED * least[:, None]) | has) & (in_kind > 0)[:, None]
    )
    x = c.add(np.zeros(len(kind)), np.full(len(kind), np.inf))
    c.enter(pool, x, 1.0)
    c.enter(pools + kind, x, -p.rate[kind, pool])

    # free bids: steps of a pool, work served, yes or no
    at, of_pool, of_rate = _edges(p, price, board, free.bids)
    who = free.bids[at]
    step = p.step[of_pool].astype(np.float64)
    coarse = step * of_rate > 1e-3 * p.demand[who]
    top = np.ceil(p.demand[who] / (of_rate * step))
    n = np.concatenate([
        c.add(np.zeros(int(coarse.sum())), top[coarse], whole=True),
        c.add(np.zeros(int((~coarse).sum())), top[~coarse]),
    ])  # fmt: skip
    order = np.concatenate([np.flatnonzero(coarse), np.flatnonzero(~coarse)])
    at, of_pool, of_rate, step, who, top = (v[order] for v in (at, of_pool, of_rate, step, who, top))
    z = c.add(-p.limit[free.bids], p.demand[free.bids])
    c.enter(of_pool, n, step)
    c.enter(rows_bid[at], n, -of_rate * step)
    c.enter(rows_bid, z, 1.0)
    firm = np.flatnonzero(p.min_share[free.bids] > 0)
    yes = c.add(np.zeros(len(firm)), np.ones(len(firm)), whole=True)
    demand, share = p.demand[free.bids[firm]], p.min_share[free.bids[firm]]
    for sign, value in ((1.0, -demand), (-1.0, share * demand)):  # share d yes <= z <= d yes
        c.enter(rows + np.arange(len(firm)), z[firm], sign)
        c.enter(rows + np.arange(len(firm)), yes, value)
        rows += len(firm)
        right.append(np.zeros(len(firm)))
    one = p.one_pool[who]
    pick = c.add(np.zeros(int(one.sum())), np.ones(int(one.sum())), whole=True)
    c.enter(rows + np.arange(len(pick)), n[one], 1.0)
    c.enter(rows + np.arange(len(pick)), pick, -top[one])
    rows += len(pick)
    right.append(np.zeros(len(pick)))
    single, of_single = np.unique(at[one], return_inverse=True)
    c.enter(rows + of_single.ravel(), pick, 1.0)
    rows += len(single)
    right.append(np.ones(len(single)))

    # lots: those that stay give what they gave; free ones whole blocks, from their least quantity up
    fixed = np.ones(len(p.lot), dtype=np.bool_)
    fixed[free.lots] = False
    right[0] = np.bincount(p.pool[fixed], given[fixed], minlength=pools).astype(np.float64)
    # room for what whole steps round up: one for each bid that must have all its work
    must = (p.min_share[board.bid] > 0) & (p.step[board.pool] * board.rate < 1e-3 * p.demand[board.bid])
    room = np.bincount(board.pool[must], minlength=pools) + _ROOM * (p.step == 1)
    right[0] = right[0] - room * p.step
    block, q = p.block[free.lots].astype(np.float64), p.quantity[free.lots]
    blocks = c.add(p.ask[free.lots] * block, q / block, whole=True)
    c.enter(p.pool[free.lots], blocks, -block)
    odd = np.flatnonzero(p.least[free.lots] > p.block[free.lots])
    opened = c.add(np.zeros(len(odd)), np.ones(len(odd)), whole=True)
    for sign, value in ((1.0, -(q / block)[odd]), (-1.0, (p.least[free.lots] / block)[odd])):
        c.enter(rows + np.arange(len(odd)), blocks[odd], sign)
        c.enter(rows + np.arange(len(odd)), opened, value)
        rows += len(odd)
        right.append(np.zeros(len(odd)))

    found, _ = search(c, np.concatenate(right), None, seconds=seconds)
    if found is None:
        return None
    flow, mine = found[x], np.rint(found[n]) if coarse.all() else found[n]
    used, some = np.flatnonzero(flow > 1e-6), np.flatnonzero(mine > 1e-9)
    taken = np.flatnonzero(found[z] > FULL * p.demand[free.bids])
    stay = np.flatnonzero(stays & (board.served > 0))
    own_rate = p.rate[p.kind[who[some]], of_pool[some]]
    lot = free.lots[np.rint(found[blocks]) > 0]
    return Targets(
        bid=np.concatenate([stay, free.bids[taken]]),
        node=np.concatenate([p.kind[stay], kinds + taken]),
        work=np.concatenate(
            [
                _kind_work(p, board, stay),
                _own_work(p, taken, free.bids, found[z], at[some], mine[some] * step[some] * own_rate),
            ]
        ),
        flow_node=np.concatenate([kind[used], kinds + at[some]]),
        flow_pool=np.concatenate([pool[used], of_pool[some]]),
        flow_work=np.concatenate(
            [flow[used] * p.rate[kind[used], pool[used]], mine[some] * step[some] * own_rate]
        ),
        flow_devices=np.concatenate([flow[used], mine[some] * step[some]]),
        lots=np.union1d(lot, np.flatnonzero(fixed & (given > 0) | (p.least <= p.block))),
    )


def _own_work(p: Period, taken: I64, bids: I64, served: F64, at: I64, work: F64) -> F64:
    """Return (taken,) work of the kind that each free bid has: all that its pieces do, or less where it is served less."""
    total: F64 = np.bincount(at, work, minlength=len(bids))[taken].astype(np.float64)
    if p.factor is None:
        return np.minimum(
            total,
            np.where(
                served[taken] > p.demand[bids[taken]] * (1 - 1e-7), p.demand[bids[taken]], served[taken]
            ),
        )
    return total


def _kind_work(p: Period, board: Board, stay: I64) -> F64:
    """Return (stay,) work of the kind that the devices of bids do now, at most their demand in it."""
    of_kind = p.rate[p.kind[board.bid], board.pool] * board.devices
    total = np.bincount(board.bid, of_kind, minlength=len(p.bid))
    over = np.minimum(1.0, p.demand / np.maximum(board.served, 1e-300))
    done: F64 = (total * over)[stay].astype(np.float64)
    return done


def _firmly(p: Period, board: Board, free: I64) -> F64:
    """Return (kinds,) work of the kind that bids which are not free have."""
    stay = np.ones(len(p.bid), dtype=np.bool_)
    stay[free] = False
    rows = np.flatnonzero(stay & (board.served > 0))
    work: F64 = np.bincount(p.kind[rows], _kind_work(p, board, rows), minlength=len(p.rate)).astype(
        np.float64
    )
    return work


def _choose(p: Period, price: F64, board: Board, given: I64) -> _Free:
    """Choose the free orders: those that a rule kept out, then those whose decision costs least to change."""
    cost = least_costs_of(p, price)
    gain = p.demand * (p.limit - cost)
    served = board.done()
    missed = np.where(np.isfinite(gain), np.maximum(0.0, gain) * (1 - served / p.demand), 0.0)
    flip = np.where(served > 0, gain, -gain)
    # a bid of one pool that has its work where it costs more than elsewhere is misplaced
    score = np.where(missed > 0.2 * np.abs(gain), -missed, np.abs(flip))
    score = np.where(np.isfinite(score), score, np.inf)
    order = np.lexsort((p.bid_rank, score))
    bids = order[: _BIDS if len(p.bid) > 900 else 600]
    bids = np.sort(bids[np.isfinite(score[bids]) & (p.bid_group[bids] < 0)])
    margin = p.quantity * np.abs(price[p.pool] - p.ask)
    torn = (given > 0) & (given < p.quantity)
    order = np.lexsort((p.lot_rank, np.where(torn, 0.0, margin)))
    lots = np.sort(order[:_LOTS][p.lot_group[order[:_LOTS]] < 0])
    # by rank: the order of arrival must not reach the solver
    return _Free(bids[np.argsort(p.bid_rank[bids])], lots[np.argsort(p.lot_rank[lots])])


def _edges(p: Period, price: F64, board: Board, bids: I64) -> tuple[I64, I64, F64]:
    """Return free bid, pool and rate of the pools that a free bid may use: the cheapest, and those that it uses now."""
    rate = p.rates(bids)
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = np.where(rate > 0, price / rate, np.inf)
    keep = min(_POOLS, cost.shape[1])
    near = np.zeros(cost.shape, dtype=np.bool_)
    np.put_along_axis(near, np.argpartition(cost, keep - 1, axis=1)[:, :keep], values=True, axis=1)
    row = np.full(len(p.bid), -1, dtype=np.int64)
    row[bids] = np.arange(len(bids))
    mine = row[board.bid] >= 0
    near[row[board.bid[mine]], board.pool[mine]] = True
    near &= (rate > 0) & (
        price - _ROUNDING <= p.limit[bids, None] * rate
    )  # nobody pays more than its work is worth
    at, pool = np.nonzero(near)
    return at, pool, rate[at, pool]
