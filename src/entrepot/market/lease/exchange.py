"""How does a placing get better? A few pools at a time are decided again, as one mixed-integer program.

What is lost after the dive stands idle: a lot is committed for its window, and bids fill some of its hours. Seen from one
pool nothing helps; seen from three or four, a bid that moves makes a lot superfluous here and fills idle hours there. So some
pools are opened at a time: the lots in them, the bids that have devices only there, and bids that have nothing are free, all
else stays. A bid may take one pool wholly, keep the mix that it has, or, where it takes less than all, a part. Given the
bids, the cheapest lots are whole by themselves (see `cover`), so only bids and least fills are whole numbers. What is found
is kept only if it is worth more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TypeAlias

import highspy
import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, WHOLE
from entrepot.market.lease.cover import cover
from entrepot.market.lease.pricing import batches, choose
from entrepot.market.lease.whole import Desk, Mix, Whole, idle
from entrepot.market.linear import Columns, solver
from entrepot.market.watch import Watch

__all__ = ["exchange", "improved"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_PARTS = (0.75, 0.5, 0.25)
_GAP = 1e-4  # of a program's worth
_LOTS = 85  # opened at a time, about
_POOLS_MAX = 16
_TURNS = 3
_SLACK = (0.02, 0.03, 0.03)  # of its worth: how much worse than its best way a bid may be placed
_MOST, _NODES = 250, 5
_EACH, _SECONDS = 10.0, 30.0
_LITTLE = 2e-4  # of the bound: a turn that gains less is the last
_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class Ways:
    """Ways to place a bid wholly in one pool: (ways,) taker, pool, gain at the prices in whole slices."""

    taker: I64
    pool: I64
    gain: F64


def ways(desk: Desk, room: float) -> Ways:
    """Return the ways of term bids that cost at most ``1 + room`` of their cheapest and of their worth."""
    p = desk.p
    t = p.takers
    wide, _ = choose(p, batches(p, desk.g.offered), desk.found.price, room, None)
    ok = (t.bid[wide.taker] >= 0) & ~p.is_sale[wide.pool]
    taker, pool = wide.taker[ok], wide.pool[ok]
    gain = np.empty(len(taker))
    for begin in range(0, len(taker), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        devices = desk.rounded(taker[part], pool[part], np.ones(len(taker[part])))
        gain[part] = t.value[taker[part]] - desk.cost(pool[part], devices)
    return Ways(taker, pool, gain)


def improved(desk: Desk, w: Whole, taken: I64, watch: Watch) -> Whole:
    """Open every pool once or a few times, beside those that could serve the same bids; return the best placing.

    Parameters
    ----------
    taken : (pools, periods) devices that bids by the hour take
    """
    g, bound = desk.g, max(desk.found.bound, 1.0)
    live = np.flatnonzero((g.offered > 0).any(axis=1) & ~desk.p.is_sale)
    if not len(live) or not len(desk.term):
        return w
    began = time.perf_counter()
    lots = int((g.usable > 0).any(axis=1).sum())
    size = int(np.clip(round(_LOTS * len(live) / max(lots, 1)), 2, _POOLS_MAX))
    for turn in range(_TURNS):
        # the thinner the market, the further from its best way a bid may go
        slack = _SLACK[min(turn, len(_SLACK) - 1)] * max(1.0, size / 3)
        known = ways(desk, 2 * slack)
        before = w.welfare
        for pools in _groups(desk, w, known, live, size):
            left = watch.left(_SECONDS - (time.perf_counter() - began))
            if left <= 0:
                return w
            w = exchange(
                desk, w, known, pools, taken, slack=slack, most=_MOST, nodes=_NODES, seconds=min(left, _EACH)
            )
            watch.tell("whole orders, exchanged", w.welfare, desk.found.bound)
        if w.welfare - before < _LITTLE * bound:
            break
    return w


def _groups(desk: Desk, w: Whole, known: Ways, live: I64, size: int) -> list[I64]:
    """Return sets of pools, each pool in one: those where most stands idle first, with those that could serve the same bids."""
    p = desk.p
    lost = (np.maximum(idle(desk, w), 0) * desk.price * p.hours).sum(axis=1)
    could = np.zeros((p.takers.count, p.pools), dtype=np.float32)
    could[known.taker, known.pool] = 1.0
    could[w.mix.taker, w.mix.pool] += 1.0
    shared = (could.T @ could).astype(np.float64)
    left = np.zeros(p.pools, dtype=np.bool_)
    left[live] = True
    groups = []
    while left.any():
        seed = int(np.argmax(np.where(left, lost, -1.0)))
        left[seed] = False
        near = np.where(left, shared[seed] * (lost + lost.mean()), -1.0)
        others = np.argsort(-near, kind="stable")[: size - 1]
        others = others[left[others]]
        left[others] = False
        groups.append(np.sort(np.append(others, seed)))
    return groups


def exchange(  # noqa: PLR0915 - one program, written down
    desk: Desk,
    w: Whole,
    known: Ways,
    pools: I64,
    taken: I64,
    *,
    slack: float,
    most: int,
    nodes: int,
    seconds: float,
) -> Whole:
    """Decide some pools again; return the better placing.

    Parameters
    ----------
    known : what bids may do
    pools : opened
    taken : (pools, periods) devices that bids by the hour take
    slack : of its value: how much worse than a bid's best way another may be to be looked at
    most : ways looked at
    nodes, seconds : limits of the search
    """
    p, g, t = desk.p, desk.g, desk.p.takers
    opened = np.zeros(p.pools, dtype=np.bool_)
    opened[pools] = True
    outside = np.zeros(t.count, dtype=np.bool_)
    outside[w.mix.taker[~opened[w.mix.pool]]] = True
    served = np.zeros(t.count, dtype=np.bool_)
    served[w.mix.taker] = True
    held = np.zeros(int(t.block.max(initial=-1)) + 1, dtype=np.bool_)
    held[t.block[outside]] = True
    # the whole group of a bid that stays is decided
    fixed_columns = outside[w.mix.taker]
    free = ~held[t.block]
    here = opened[known.pool] & free[known.taker]
    rows = np.flatnonzero(here)
    if not len(rows):
        return w
    value = t.value
    best = np.full(t.count, 0.0)
    np.maximum.at(best, known.taker[rows], known.gain[rows])
    behind = (best[known.taker[rows]] - known.gain[rows]) / np.maximum(value[known.taker[rows]], 1e-300)
    # what has nothing must be worth taking; what is served here may move
    behind = np.where(
        served[known.taker[rows]], behind, np.maximum(behind, -known.gain[rows] / value[known.taker[rows]])
    )
    rows = rows[behind <= slack]
    behind = behind[behind <= slack]
    if len(rows) > most:
        rows = rows[np.argpartition(behind, most)[:most]]
    rows = np.sort(rows)
    full = desk.rounded(known.taker[rows], known.pool[rows], np.ones(len(rows)))

    option_taker: list[I64] = [known.taker[rows]]
    option_share: list[F64] = [np.ones(len(rows))]
    entry_option: list[I64] = [np.arange(len(rows))]
    entry_pool: list[I64] = [known.pool[rows]]
    entry_share: list[F64] = [np.ones(len(rows))]
    entry_devices: list[I64] = [full]
    count = len(rows)
    # as it is
    mine = np.flatnonzero(~fixed_columns)
    mine = mine[free[w.mix.taker[mine]]]
    who, of = np.unique(w.mix.taker[mine], return_inverse=True)
    option_taker.append(who)
    option_share.append(np.bincount(of.ravel(), w.mix.share[mine], minlength=len(who)).astype(np.float64))
    entry_option.append(count + of.ravel())
    entry_pool.append(w.mix.pool[mine])
    entry_share.append(w.mix.share[mine])
    entry_devices.append(w.devices[mine])
    current = count + np.arange(len(who))
    count += len(who)
    # parts
    partly = rows[~desk.hard[known.taker[rows]]]
    for which, part in _parts(desk, known, partly) if len(partly) else []:
        devices = desk.rounded(known.taker[which], known.pool[which], part)
        option_taker.append(known.taker[which])
        option_share.append(part)
        entry_option.append(count + np.arange(len(which)))
        entry_pool.append(known.pool[which])
        entry_share.append(part)
        entry_devices.append(devices)
        count += len(which)
    taker, share = np.concatenate(option_taker), np.concatenate(option_share)
    e_option, e_pool = np.concatenate(entry_option), np.concatenate(entry_pool)
    e_share, e_devices = np.concatenate(entry_share), np.concatenate(entry_devices)

    periods = p.periods
    number = np.full(p.pools, -1, dtype=np.int64)
    number[pools] = np.arange(len(pools))
    need = taken[pools].astype(np.float64)
    stay = fixed_columns | ~free[w.mix.taker]
    stay &= opened[w.mix.pool]
    np.add.at(need, number[w.mix.pool[stay]], w.devices[stay])
    c = Columns()
    z = c.add(-value[taker] * share, np.ones(count), whole=True)
    a, u = np.nonzero(e_devices)
    c.enter(number[e_pool[a]] * periods + u, z[e_option[a]], e_devices[a, u].astype(np.float64))
    blocks, of_block = np.unique(t.block[taker], return_inverse=True)
    cells = len(pools) * periods
    c.enter(cells + of_block.ravel().astype(np.int64), z, 1.0)
    right = [-need.ravel(), np.ones(len(blocks))]
    base = cells + len(blocks)
    lots = np.flatnonzero(opened[g.lot_pool] & (g.lot_mode == WHOLE) & (g.usable > 0).any(axis=1))
    block = desk.block[lots]
    top = g.usable[lots].max(axis=1, initial=0)
    y = c.add(desk.ask[lots] * desk.window[lots] * block, (top // block).astype(np.float64))
    i, u = np.nonzero(g.usable[lots])
    c.enter(number[g.lot_pool[lots[i]]] * periods + u, y[i], -block[i].astype(np.float64))
    forced = np.flatnonzero(np.minimum(desk.fill[lots], top) > block)
    s = c.add(np.zeros(len(forced)), np.ones(len(forced)), whole=True)
    least = np.ceil(np.minimum(desk.fill[lots], top) / block)[forced]
    c.enter(base + np.arange(len(forced)), s, least)
    c.enter(base + np.arange(len(forced)), y[forced], -1.0)
    base += len(forced)
    c.enter(base + np.arange(len(forced)), y[forced], 1.0)
    c.enter(base + np.arange(len(forced)), s, -(top // block)[forced].astype(np.float64))
    right.append(np.zeros(2 * len(forced)))
    start = [np.zeros(count), w.committed[lots] / block, (w.committed[lots][forced] > 0).astype(np.float64)]
    start[0][current] = 1.0
    h, u = np.nonzero((opened[g.lot_pool] & (g.lot_mode == FLEXIBLE))[:, None] & (g.usable > 0))
    if len(h):
        step = desk.block[h]
        x = c.add(desk.ask[h] * step * p.hours[u], (g.usable[h, u] // step).astype(np.float64))
        c.enter(number[g.lot_pool[h]] * periods + u, x, -step.astype(np.float64))
        start.append(w.hourly[h, u] / step)
    got = _search(c, np.concatenate(right), np.concatenate(start), seconds, nodes)
    if got is None:
        return w
    chosen = np.flatnonzero(got[:count] > 0.5)
    if len(chosen) == len(current) and (chosen == current).all():
        return w
    keep = fixed_columns | ~free[w.mix.taker]
    take = np.isin(e_option, chosen)
    mix_taker = np.concatenate([w.mix.taker[keep], taker[e_option[take]]])
    mix_pool = np.concatenate([w.mix.pool[keep], e_pool[take]])
    mix_share = np.concatenate([w.mix.share[keep], e_share[take]])
    devices = np.vstack([w.devices[keep], e_devices[take]])
    order = np.lexsort((mix_pool, mix_taker))
    mix = Mix(mix_taker[order], mix_pool[order], mix_share[order])
    return settle(desk, w, mix, devices[order], pools, taken)


def _parts(desk: Desk, known: Ways, rows: I64) -> list[tuple[I64, F64]]:
    """Return ways and the part of the work that each takes: quarters, and the most that needs a slice less in every period."""
    exact = desk.exact(known.taker[rows], known.pool[rows], np.ones(len(rows)))
    unit = desk.slice[known.pool[rows]][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        less = np.where(exact > 0, np.floor(exact / unit + 1e-9) * unit / exact, 1.0).min(axis=1)
    ok = (less > 0.5) & (less < 1.0)
    return [*((rows, np.full(len(rows), part)) for part in _PARTS), (rows[ok], less[ok])]


def _search(c: Columns, right: F64, start: F64, seconds: float, nodes: int) -> F64 | None:
    """Return the best values found from a start. Restarts of the root double the time here and find nothing more."""
    lp, _ = c.program(right)
    highs = solver(
        time_limit=max(0.05, seconds), mip_rel_gap=_GAP, mip_max_nodes=nodes, mip_allow_restart=False
    )
    highs.passModel(lp)
    solution = highspy.HighsSolution()
    solution.col_value = start.tolist()
    highs.setSolution(solution)
    highs.run()
    if highs.getInfo().primal_solution_status != 2:  # no feasible point
        return None
    return np.asarray(highs.getSolution().col_value)


def settle(desk: Desk, w: Whole, mix: Mix, devices: I64, pools: I64, taken: I64) -> Whole:
    """Cover some pools again for a new mix; return it if all is covered and it is worth more, else what was."""
    p, t = desk.p, desk.p.takers
    need = taken.copy()
    np.add.at(need, mix.pool, devices)
    committed, hourly = w.committed.copy(), w.hourly.copy()
    for k in pools:
        whole, free = desk.lots_of(int(k))
        got = cover(desk.supply(int(k)), need[k], p.hours)
        if got.short.any():
            return w
        committed[whole], hourly[free] = got.committed, got.hourly
    value = float((t.value[mix.taker] * mix.share).sum())
    asked = float((desk.ask * committed * desk.window).sum() + (desk.ask[:, None] * hourly * p.hours).sum())
    new = Whole(mix, devices, committed, hourly, value - asked)
    return new if new.welfare > w.welfare else w
