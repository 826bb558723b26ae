"""How do shares become whole devices of whole bids? Dive, round, fit, second chance, cover.

1. **Dive**: bids that want all or none, a least share, one pool, or stand in a group, are decided in and out by and by, the
   others re-solved in between. Each column takes the devices that it would take when rounded, so that head room is kept
   where rounding needs it and nowhere else.
2. **Round**: a bid's devices in a pool and period are the least multiple of the pool's slice that does its share.
3. **Fit**: where more is placed than lots worth their price offer, the least valuable placing gives way.
4. **Second chance**: bids left out, the greatest surplus first, whole into the cheapest pool with room.
5. **Cover**: the cheapest whole blocks that supply what is placed (see `cover`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, WHOLE, Goods
from entrepot.market.lease.columns import Columns
from entrepot.market.lease.cover import Supply, cover
from entrepot.market.lease.prices import Shares
from entrepot.market.lease.pricing import Chosen, column_table
from entrepot.market.lease.program import Program
from entrepot.market.lease.saddle import Saddle, State
from entrepot.market.records import Book

__all__ = ["Desk", "Mix", "Whole", "dive", "fit", "idle", "place"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_THRESHOLDS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5)
_ITERATIONS = 150
_SURE = 50.0  # times its value: what a bid that is decided in counts
_ROUNDING = 1e-7  # of a slice
_LOSS = (
    0.1  # of its value: what a bid may pay beyond it, to be made whole, where that gains more than it costs
)
_LITTLE = 1e-3  # of a bid's work: less is no share


@dataclass(frozen=True, slots=True)
class Mix:
    """(columns,) taker, pool and share of the work; sorted by taker."""

    taker: I64
    pool: I64
    share: F64


@dataclass(frozen=True, slots=True)
class Whole:
    """What is placed: mixes of term bids with their devices, and what supplies them.

    Attributes
    ----------
    mix : shares as they are served
    devices : (columns, periods)
    committed : (lots,) devices of whole-window lots
    hourly : (lots, periods) devices of lots by the hour
    welfare : micro
    """

    mix: Mix
    devices: I64
    committed: I64
    hourly: I64
    welfare: float


class Desk:
    """The market as the steps below need it."""

    def __init__(self, book: Book, g: Goods, p: Program, found: Shares) -> None:
        """Prepare."""
        self.book, self.g, self.p, self.found = book, g, p, found
        self.price = found.price / p.hours  # micro per device-hour; for a sale pool only period 0 counts
        slices, pool = book.lots["slice"].to_numpy(), g.lot_pool
        self.slice = np.ones(p.pools, dtype=np.int64)
        np.lcm.at(self.slice, pool, slices)
        t = p.takers
        self.term = np.flatnonzero(t.bid >= 0)
        self.demand = book.demand[
            np.maximum(t.bid, 0)
        ]  # (takers, periods); hourly takers come last and are not read
        b = np.maximum(t.bid, 0)
        self.least = np.where(t.bid >= 0, book.bids["min_share"].to_numpy()[b], 0.0)
        self.one_pool = (t.bid >= 0) & book.bids["one_pool"].to_numpy()[b]
        size = np.bincount(t.block, minlength=int(t.block.max(initial=-1)) + 1)
        self.grouped = (t.bid >= 0) & (size[t.block] > 1)
        self.hard = (self.least > 0) | self.one_pool | self.grouped
        self.block, self.fill = book.lots["block"].to_numpy(), book.lots["min_fill"].to_numpy()
        self._order = np.argsort(g.lot_pool, kind="stable")
        self._begin = np.searchsorted(g.lot_pool[self._order], np.arange(p.pools + 1))
        ask = book.lots["ask_micro"].to_numpy().astype(np.float64)
        self.window = (g.usable > 0) @ p.hours
        paid = (np.where(g.usable > 0, self.price[pool], 0.0) * p.hours).sum(axis=1)
        self.ask = ask
        self.margin = np.divide(
            paid - ask * self.window,
            ask * self.window,
            out=np.full(len(ask), np.inf),
            where=ask * self.window > 0,
        )

    def lots_of(self, k: int) -> tuple[I64, I64]:
        """Return the lots of a pool for their whole window, and by the hour."""
        lots = self._order[self._begin[k] : self._begin[k + 1]]
        mode = self.g.lot_mode[lots]
        return lots[mode == WHOLE], lots[mode == FLEXIBLE]

    def supply(self, k: int) -> Supply:
        """Return what may supply a pool."""
        g = self.g
        whole, free = self.lots_of(k)
        return Supply(
            g.usable[whole],
            self.ask[whole] * self.window[whole],
            self.block[whole],
            np.minimum(self.fill[whole], g.usable[whole].max(axis=1, initial=0)),
            self.ask[free],
            g.usable[free],
            self.block[free],
        )

    def rate(self, taker: I64, pool: I64) -> F64:
        """(columns,) Mtok per device-hour."""
        p = self.p
        rate: F64 = p.rate[p.takers.kind[taker], pool]
        if p.factor is not None:
            rate = rate * p.factor[p.takers.factor[taker], p.chip[pool]]
        return rate

    def exact(self, taker: I64, pool: I64, share: F64) -> F64:
        """(columns, periods) devices that a share takes, before rounding."""
        scale = share / self.rate(taker, pool)
        return self.demand[taker] * scale[:, None]

    def rounded(self, taker: I64, pool: I64, share: F64) -> I64:
        """(columns, periods) devices in whole slices."""
        unit = self.slice[pool][:, None]
        return (np.ceil(self.exact(taker, pool, share) / unit - _ROUNDING) * unit).astype(np.int64)

    def cost(self, pool: I64, devices: I64 | F64) -> F64:
        """(columns,) micro that devices cost at the prices."""
        total: F64 = np.einsum("ct,ct,t->c", devices, self.price[pool], self.p.hours, optimize=False)
        return total

    def room(self, worth: float) -> I64:
        """(pools, periods) devices of lease lots that earn at least ``-worth`` of their ask above it."""
        g = self.g
        lots = (g.lot_mode == WHOLE) & (self.margin >= -worth)
        room = np.zeros((self.p.pools, self.p.periods), dtype=np.int64)
        np.add.at(room, g.lot_pool[lots], g.usable[lots])
        free = np.flatnonzero(g.lot_mode == FLEXIBLE)
        if len(free):
            good = self.price[g.lot_pool[free]] >= self.ask[free, None] * (1 - worth)
            np.add.at(room, g.lot_pool[free], np.where(good, g.usable[free], 0))
        return room


def dive(desk: Desk, iterations: int = _ITERATIONS) -> Mix:
    """Decide who is in, and return the mixes of the term bids."""
    p, found = desk.p, desk.found
    t = p.takers
    n_lots = p.lots.count
    chosen, share, price = found.chosen, found.share, found.price
    keep = share[n_lots:] >= 0
    worst = _extra(desk, chosen)
    state: Mask = np.zeros(t.count, dtype=np.bool_)  # decided in
    out: Mask = np.zeros(t.count, dtype=np.bool_)
    weight = 1.0
    level = found.level
    hard = desk.hard
    for th in _THRESHOLDS:
        worst = _reweighed(desk, chosen, share[n_lots:], worst)
        keep = ~out[chosen.taker]
        part = Chosen(chosen.taker[keep], chosen.pool[keep])
        columns, patterns = column_table(p, part)
        value = columns.value.copy()
        value[n_lots:][state[part.taker]] *= 1.0 + _SURE
        scale = columns.scale.copy()
        owner = columns.owner()
        own = owner >= n_lots
        scale[own] *= worst[keep][owner[own] - n_lots]
        program = Columns(
            columns.block, value, columns.first, columns.pattern, columns.start, columns.end, scale
        )
        start = State(np.concatenate([share[:n_lots], share[n_lots:][keep]]), price, weight)
        after, image = Saddle(program, patterns, level).run(start, iterations)
        weight, price = after.weight, image.price
        share, worst, chosen = image.share, worst[keep], part
        served = np.bincount(chosen.taker, share[n_lots:], minlength=t.count).astype(np.float64)
        need = np.where(desk.least > 0, desk.least, _LITTLE)
        state |= hard & (served >= np.maximum(need, 1.0 - th) if th < 0.5 else hard & (served >= 0.5 * need))
        out |= hard & ~state & (served <= th * np.where(desk.least > 0, desk.least, 1.0))
        out |= _rivals(t.block, state, served, desk.grouped)
        # one pool: settle for the largest when it has most of the work
        large = np.zeros(t.count)
        np.maximum.at(large, chosen.taker, share[n_lots:])
        settled = desk.one_pool & (large >= (1.0 - th) * np.maximum(served, 1e-12)) & (served > _LITTLE)
        lesser = settled[chosen.taker] & (share[n_lots:] < large[chosen.taker])
        if lesser.any():
            largest = settled[chosen.taker] & ~lesser
            share[n_lots:][largest] = np.minimum(1.0, served[chosen.taker[largest]])
            share = np.concatenate([share[:n_lots], share[n_lots:][~lesser]])
            chosen, worst = Chosen(chosen.taker[~lesser], chosen.pool[~lesser]), worst[~lesser]
    return _mixes(desk, chosen, share[n_lots:], state, out)


def _rivals(block: I64, state: Mask, served: F64, grouped: Mask) -> Mask:
    """Return (takers,) alternatives of a group whose place another has taken."""
    if not grouped.any():
        return np.zeros(len(block), dtype=np.bool_)
    taken = np.zeros(int(block.max()) + 1, dtype=np.bool_)
    taken[block[state & grouped]] = True
    best = np.zeros(int(block.max()) + 1)
    np.maximum.at(best, block, np.where(state, served, 0.0))
    return grouped & taken[block] & ~(state & (served >= best[block]))


def _extra(desk: Desk, chosen: Chosen) -> F64:
    """Return (columns,) devices when rounded over devices before, at the prices, for a full share."""
    extra = np.ones(len(chosen.taker))
    rows = np.flatnonzero((desk.p.takers.bid[chosen.taker] >= 0) & ~desk.p.is_sale[chosen.pool])
    for begin in range(0, len(rows), 16384):
        part = rows[begin : begin + 16384]
        taker, pool = chosen.taker[part], chosen.pool[part]
        exact = desk.exact(taker, pool, np.ones(len(part)))
        whole = desk.rounded(taker, pool, np.ones(len(part)))
        paid = desk.cost(pool, exact)
        extra[part] = np.divide(desk.cost(pool, whole), paid, out=np.ones(len(part)), where=paid > 0)
    return np.where(np.isfinite(extra), np.clip(extra, 1.0, 4.0), 1.0)


def _reweighed(desk: Desk, chosen: Chosen, share: F64, before: F64) -> F64:
    """Return (columns,) devices when rounded over devices before, at the shares that they have now.

    A small share takes many devices for its work, and so a second pool is used where it is worth that.
    """
    rows = np.flatnonzero(
        (desk.p.takers.bid[chosen.taker] >= 0) & ~desk.p.is_sale[chosen.pool] & (share > _LITTLE)
    )
    extra = before.copy()
    for begin in range(0, len(rows), 16384):
        part = rows[begin : begin + 16384]
        taker, pool = chosen.taker[part], chosen.pool[part]
        exact = desk.cost(pool, desk.exact(taker, pool, share[part]))
        whole = desk.cost(pool, desk.rounded(taker, pool, share[part]))
        ratio = np.divide(whole, exact, out=np.ones(len(part)), where=exact > 0)
        extra[part] = np.sqrt(np.clip(ratio, 1.0, 4.0) * before[part])
    return extra


def _mixes(desk: Desk, chosen: Chosen, share: F64, state: Mask, out: Mask) -> Mix:
    """Return the shares of term bids that are in, in few pools each."""
    p = desk.p
    t = p.takers
    term = (t.bid[chosen.taker] >= 0) & ~p.is_sale[chosen.pool] & ~out[chosen.taker]
    taker, pool, share = chosen.taker[term], chosen.pool[term], share[term]
    total = np.bincount(taker, share, minlength=t.count)
    ok = total > _LITTLE
    ok &= ~desk.hard | state | (total >= 0.5)
    keep = ok[taker] & (share > _LITTLE * total[taker])
    taker, pool, share = taker[keep], pool[keep], share[keep]
    # a pool whose rounding costs much of its own devices joins the largest
    exact, whole = desk.exact(taker, pool, share), desk.rounded(taker, pool, share)
    waste = desk.cost(pool, whole) - desk.cost(pool, exact)
    small = (waste > 0.25 * desk.cost(pool, exact)) | desk.one_pool[taker]
    order = np.lexsort((pool, -share, taker))
    top = np.zeros(len(taker), dtype=np.bool_)
    top[order[np.flatnonzero(np.diff(taker[order], prepend=-1))]] = True
    keep = ~small | top
    kept = np.bincount(taker[keep], share[keep], minlength=t.count)
    taker, pool, share = taker[keep], pool[keep], share[keep]
    wanted = np.minimum(1.0, np.where(desk.least >= 1.0, 1.0, np.maximum(total, desk.least)))
    share = share * wanted[taker] / kept[taker]
    order = np.lexsort((pool, taker))
    return Mix(taker[order], pool[order], share[order])


def fit(desk: Desk, mix: Mix, worth: float, taken: I64) -> tuple[Mix, I64, I64]:
    """Make the placing fit into the room of lots that are worth their price; give others a second chance.

    Parameters
    ----------
    worth : of its ask: what a lot may miss
    taken : (pools, periods) devices that bids by the hour take

    Returns
    -------
    mix, its (columns, periods) devices, and the (pools, periods) room that is left
    """
    room = np.maximum(0, desk.room(worth) - taken)
    taker, pool, share = mix.taker.copy(), mix.pool.copy(), mix.share.copy()
    devices = desk.rounded(taker, pool, share)
    alive = np.ones(len(taker), dtype=np.bool_)
    used = np.zeros_like(room)
    np.add.at(used, pool, devices)
    of_taker: dict[int, list[int]] = {}
    for c, r in enumerate(taker.tolist()):
        of_taker.setdefault(r, []).append(c)
    value = desk.p.takers.value
    for k in np.flatnonzero((used > room).any(axis=1)):
        mine = np.flatnonzero((pool == k) & alive)
        # what a column's work is worth beyond what it costs, by the shortage that it relieves
        gain = value[taker[mine]] * share[mine] - desk.cost(pool[mine], devices[mine])
        over = np.maximum(0, used[k] - room[k])
        while over.any() and len(mine):
            relief = (np.minimum(devices[mine], over) * desk.price[k] * desk.p.hours).sum(axis=1)
            hit = relief > 0
            if not hit.any():
                break
            score = np.divide(gain, relief, out=np.full(len(gain), np.inf), where=hit)
            at = int(score.argmin())
            c = int(mine[at])
            r = int(taker[c])
            shrunk = _shrink(desk, r, int(k), float(share[c]), devices[c], over)
            if shrunk is not None:
                new_share, new_devices = shrunk
                used[k] -= devices[c] - new_devices
                share[c], devices[c] = new_share, new_devices
                gain[at] = value[r] * new_share - float(desk.cost(np.array([k]), new_devices[None])[0])
            else:
                gone = of_taker[r] if desk.hard[r] else [c]
                for x in gone:
                    if alive[x]:
                        alive[x] = False
                        used[pool[x]] -= devices[x]
                        devices[x] = 0
                left = alive[mine]
                mine, gain = mine[left], gain[left]
            over = np.maximum(0, used[k] - room[k])
    mix = Mix(taker[alive], pool[alive], share[alive])
    return _second_chance(desk, mix, devices[alive], room - used)


def _shrink(
    desk: Desk, taker: int, pool: int, share: float, devices: I64, over: I64
) -> tuple[float, I64] | None:
    """Return a smaller share that relieves the shortage, if the bid takes one."""
    if desk.hard[taker]:
        return None
    unit = int(desk.slice[pool])
    demand = desk.demand[taker]
    hit = (over > 0) & (devices > 0)
    less = np.maximum(0, devices[hit] - -(-over[hit] // unit) * unit)
    rate = float(desk.rate(np.array([taker]), np.array([pool]))[0])
    new = float((less * rate / demand[hit]).min())
    if new < max(_LITTLE, 0.05 * share):
        return None
    return new, desk.rounded(np.array([taker]), np.array([pool]), np.array([new]))[0]


def _second_chance(desk: Desk, mix: Mix, devices: I64, room: I64) -> tuple[Mix, I64, I64]:
    """Place bids that are out, greatest surplus first, with one mix for the window into pools that have room."""
    rows, shares, needs = _offer(desk, mix, room, slack=0.0)
    if rows is not None:
        mix = Mix(
            np.concatenate([mix.taker, rows[0]]),
            np.concatenate([mix.pool, rows[1]]),
            np.concatenate([mix.share, shares]),
        )
        devices = np.vstack([devices, needs])
        np.subtract.at(room, rows[1], needs)
    return mix, devices, room


def _offer(desk: Desk, mix: Mix, room: I64, *, slack: float) -> tuple[tuple[I64, I64] | None, F64, I64]:
    """Return ((columns,) taker and pool), shares and devices of bids that fit whole into (pools, periods) room.

    Parameters
    ----------
    slack : share of its value by which a bid may pay more than it
    """
    p = desk.p
    t = p.takers
    held = np.zeros(int(t.block.max(initial=-1)) + 1, dtype=np.bool_)
    held[t.block[mix.taker]] = True
    room = room.copy()
    candidates = desk.found.chosen
    ok = (t.bid[candidates.taker] >= 0) & ~p.is_sale[candidates.pool] & ~held[t.block[candidates.taker]]
    taker, pool = candidates.taker[ok], candidates.pool[ok]
    if not len(taker):
        return None, np.zeros(0), np.zeros((0, p.periods), dtype=np.int64)
    full = desk.rounded(taker, pool, np.ones(len(taker)))
    paid = desk.cost(pool, full)
    gain = t.value[taker] * (1 + slack) - paid
    order = np.lexsort((paid, taker))
    first = np.flatnonzero(np.diff(taker[order], prepend=-1))
    ends = np.append(first[1:], len(order))
    best = np.maximum.reduceat(gain[order], first)
    rows: list[tuple[int, int]] = []
    shares: list[float] = []
    needs: list[I64] = []
    for at in np.argsort(-best, kind="stable"):
        if best[at] <= 0:
            break
        mine = order[first[at] : ends[at]]
        r = int(taker[mine[0]])
        if held[t.block[r]]:
            continue
        found = _spread(desk, r, pool[mine], full[mine], room, float(t.value[r]) * (1 + slack))
        if found is None:
            continue
        held[t.block[r]] = True
        for k, share, need in found:
            room[k] -= need
            rows.append((r, k))
            shares.append(share)
            needs.append(need)
    if not rows:
        return None, np.zeros(0), np.zeros((0, p.periods), dtype=np.int64)
    where = np.array(rows, dtype=np.int64)
    return (where[:, 0], where[:, 1]), np.array(shares), np.array(needs, dtype=np.int64)


def _spread(
    desk: Desk, taker: int, pools: I64, full: I64, room: I64, most: float
) -> list[tuple[int, float, I64]] | None:
    """Return pool, share and devices of each part of a bid placed whole, cheapest pools first; None if it does not fit."""
    fits = (full <= room[pools]).all(axis=1)
    if fits.any():
        at = int(fits.argmax())
        return [(int(pools[at]), 1.0, full[at])]
    if desk.one_pool[taker]:
        return None
    demand = desk.demand[taker]
    inside = demand > 0
    left, paid = 1.0, 0.0
    parts: list[tuple[int, float, I64]] = []
    for k in pools:
        unit = int(desk.slice[k])
        one = np.array([taker]), np.array([k])
        rate = float(desk.rate(*one)[0])
        can = float((room[k, inside] // unit * unit * rate / demand[inside]).min(initial=np.inf))
        share = min(left, can)
        if share < 0.04:
            continue
        need = desk.rounded(*one, np.array([share]))
        paid += float(desk.cost(one[1], need)[0])
        parts.append((int(k), share, need[0]))
        left -= share
        if left <= 1e-9:
            return parts if paid <= most else None
    return None


def place(desk: Desk, mix: Mix, devices: I64, extra: I64 | None = None) -> Whole:
    """Buy the cheapest lots for what is placed, drop who would lose, and return the result with its welfare.

    Parameters
    ----------
    extra : (pools, periods) devices that bids by the hour take besides
    """
    p, g = desk.p, desk.g
    t = p.takers
    # hardly anybody pays more than its work is worth, and who does is made whole
    paid = np.bincount(mix.taker, desk.cost(mix.pool, devices), minlength=t.count)
    worth = np.bincount(mix.taker, mix.share, minlength=t.count) * t.value
    keep = (paid <= worth * (1 + _LOSS))[mix.taker]
    mix, devices = Mix(mix.taker[keep], mix.pool[keep], mix.share[keep]), devices[keep]
    need = np.zeros((p.pools, p.periods), dtype=np.int64)
    np.add.at(need, mix.pool, devices)
    if extra is not None:
        need += extra
    committed = np.zeros(len(g.lot_pool), dtype=np.int64)
    hourly = np.zeros(g.usable.shape, dtype=np.int64)
    short = np.zeros_like(need)
    for k in np.flatnonzero(need.any(axis=1)):
        whole, free = desk.lots_of(int(k))
        c = cover(desk.supply(int(k)), need[k], p.hours)
        committed[whole], hourly[free], short[k] = c.committed, c.hourly, c.short
    if short.any():
        gone = np.zeros(t.count, dtype=np.bool_)
        for k in np.flatnonzero(short.any(axis=1)):
            mine = np.flatnonzero(mix.pool == k)
            lack = short[k].copy()
            gain = t.value[mix.taker[mine]] * mix.share[mine] - desk.cost(mix.pool[mine], devices[mine])
            for c in mine[np.argsort(gain, kind="stable")]:
                if (lack > 0).any() and ((devices[c] > 0) & (lack > 0)).any():
                    gone[mix.taker[c]] = True
                    lack -= devices[c]
        if gone.any():
            keep = ~gone[mix.taker]
            return place(desk, Mix(mix.taker[keep], mix.pool[keep], mix.share[keep]), devices[keep], extra)
    value = float((t.value[mix.taker] * mix.share).sum())
    asked = float((desk.ask * committed * desk.window).sum() + (desk.ask[:, None] * hourly * p.hours).sum())
    return Whole(mix, devices, committed, hourly, value - asked)


def idle(desk: Desk, w: Whole) -> I64:
    """(pools, periods) devices that are committed and not used."""
    g = desk.g
    spare = np.zeros((desk.p.pools, desk.p.periods), dtype=np.int64)
    whole = g.lot_mode == WHOLE
    np.add.at(spare, g.lot_pool[whole], w.committed[whole, None] * (g.usable[whole] > 0))
    np.add.at(spare, g.lot_pool, w.hourly)
    np.subtract.at(spare, w.mix.pool, w.devices)
    return spare


def fill(desk: Desk, w: Whole, worth: float, taken: I64) -> Whole:
    """Offer what is committed and idle, and what lots worth their price still have, to bids that are out; keep what gains.

    Idle devices cost nobody anything: a bid may take them though it would lose a little at the prices, and be made whole.
    """
    spare = idle(desk, w) - taken
    g = desk.g
    open_lots = (g.lot_mode == WHOLE) & (desk.margin >= -worth)
    np.add.at(
        spare,
        g.lot_pool[open_lots],
        np.where(g.usable[open_lots] > 0, g.usable[open_lots] - w.committed[open_lots, None], 0),
    )
    rows, shares, needs = _offer(desk, w.mix, np.maximum(0, spare), slack=_LOSS)
    if rows is None:
        return w
    mix = Mix(
        np.concatenate([w.mix.taker, rows[0]]),
        np.concatenate([w.mix.pool, rows[1]]),
        np.concatenate([w.mix.share, shares]),
    )
    more = place(desk, mix, np.vstack([w.devices, needs]), taken)
    return more if more.welfare > w.welfare else w
