"""Who buys how many devices, from which lots? Whole slices for bids, whole blocks and least quantities of lots.

The divisible optimum says how much each bid buys of each pool. That is cut down to whole slices, what is left over goes slice by
slice to whom it saves most, and lots are taken in merit order. What lots cannot give in whole blocks is taken back from whom it
saves least. Nobody keeps devices that cost it more than the work that they do is worth to it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, SALE, Goods
from entrepot.market.overlay import overlay
from entrepot.market.placing import NOISE, ROUNDING, Ties
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.sale.own import Owning
from entrepot.market.terms import long_bids

__all__ = ["Purchase", "best_of_groups", "gains_of_lots", "purchase"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_GRANTS_MAX = 100_000
_LIKELY = 0.3  # share of a pool in the optimum of a bid for a term that is then served by devices bought


@dataclass(frozen=True, slots=True)
class Purchase:
    """(rows,) lot, bid, devices; (bids, periods) Mtok per hour owned; (lots,) sold; (bids,) terms that own what they need."""

    lot: I64
    bid: I64
    devices: I64
    capacity: F64
    sold: Mask
    done: Mask


def gains_of_lots(book: Book, goods: Goods, prices: Prices) -> F64:
    """Return (lots,) what each lot would earn above its ask at the prices, micro."""
    ask = book.lots["ask_micro"].to_numpy()
    margin = (prices.lease[goods.lot_pool] - ask[:, None]) * goods.usable
    paid = np.where(goods.lot_mode == FLEXIBLE, np.maximum(0, margin) @ book.hours, margin @ book.hours)
    sold = goods.usable.max(axis=1, initial=0) * (prices.sale[goods.lot_pool] - ask).astype(np.float64)
    gains: F64 = np.where(goods.lot_mode == SALE, sold, paid)
    return gains


def best_of_groups(book: Book, gain: F64, ties: Ties) -> Mask:
    """Return (lots,) which stand in no exclusive group, or gain most in theirs."""
    group = book.lots["group"].to_list()
    best: dict[str, tuple[float, int, int]] = {}
    for i, name in enumerate(group):
        if name:
            best[name] = max(best.get(name, (-np.inf, 0, 0)), (float(gain[i]), -int(ties.lot[i]), i))
    return np.array([not name or best[name][2] == i for i, name in enumerate(group)], dtype=np.bool_)


class _Counter:
    """The state of buying: what is bought, what is spare, what more would gain."""

    def __init__(self, book: Book, goods: Goods, prices: Prices, own: Owning, avoid: F64, ties: Ties) -> None:
        """Open with nothing bought."""
        self.book, self.goods, self.own, self.ties = book, goods, own, ties
        self.avoid = avoid * book.hours  # micro that a Mtok per hour saves in a period
        self.net = (prices.sale - goods.residual)[own.pool].astype(np.float64)
        self.price = prices.sale[own.pool]
        self.ask = book.lots["ask_micro"].to_numpy()
        self.lots = self._lots(prices)
        most = goods.usable.max(axis=1, initial=0)
        self.most = most
        self.spare = np.bincount(own.of_lot[self.lots], most[self.lots], minlength=len(own.pool)).astype(
            np.int64
        )
        self.count = np.zeros(own.rate.shape, dtype=np.int64)  # slices
        self.capacity = np.zeros(own.wanted.shape)
        self.limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
        term, total = long_bids(book)
        self.single, self.term, self.total = book.bids["one_pool"].to_numpy(), term, total
        self.block = book.lots["block"].to_numpy()
        self.out = self._beaten(book.bids["group"].to_list())

    def _beaten(self, group: list[str]) -> Mask:
        """Return (bids,) which leave buying to another of their exclusive group: the one whose work is worth most."""
        worth = self.limit * np.minimum(
            self.book.bids["total_mtok"].to_numpy(), self.book.demand @ self.book.hours
        )
        best: dict[str, tuple[float, int, int]] = {}
        for b, name in enumerate(group):
            if name:
                best[name] = max(
                    best.get(name, (-np.inf, 0, 0)), (float(worth[b]), -int(self.ties.bid[b]), b)
                )
        return np.array([bool(name) and best[name][2] != b for b, name in enumerate(group)], dtype=np.bool_)

    def _lots(self, prices: Prices) -> I64:
        """Return lots for sale whose ask the price covers, the best of each exclusive group, in merit order."""
        goods, group = self.goods, self.book.lots["group"].to_list()
        lots = np.flatnonzero((self.own.of_lot >= 0) & (self.ask <= prices.sale[goods.lot_pool] + ROUNDING))
        if any(group):
            best = best_of_groups(self.book, gains_of_lots(self.book, goods, prices), self.ties)
            lots = lots[best[lots]]
        merit: I64 = lots[np.lexsort((self.ties.lot[lots], self.ask[lots], self.own.of_lot[lots]))]
        return merit

    def steps(self, b: int) -> I64:
        """Return (sizes,) slices of the next step: one, or as many as make a bid with a least share work at all."""
        own = self.own
        lacks = np.maximum(0.0, own.least[b] - self.capacity[b])
        if not lacks.any():
            return np.ones(len(own.pool), dtype=np.int64)
        reach = own.rate[b] * own.unit
        most = (lacks * own.window).max(axis=1)
        need = np.divide(most, reach, out=np.ones(len(reach)), where=reach > 0)
        slices: I64 = np.maximum(1, np.ceil(need - NOISE)).astype(np.int64)
        return slices

    def gains(self, b: int) -> tuple[F64, I64]:
        """Return (sizes,) micro that the next step saves the bid beyond its price, and its slices."""
        own, step = self.own, self.steps(b)
        more = own.rate[b] * own.unit * step
        before = own.used(slice(b, b + 1), self.capacity[b : b + 1])[0]
        after = np.minimum(self.capacity[b] + more[:, None] * own.window, own.wanted[b])
        after = np.where(after >= own.least[b] * (1 - 1e-9), after, 0.0)
        gain = (after - before) @ self.avoid[b] - self.net * own.unit * step
        open_ = (more > 0) & (step * own.unit <= self.spare)
        if self.single[b] and self.count[b].any():
            open_ &= own.pool == own.pool[int(self.count[b].argmax())]
        return np.where(open_, gain, -np.inf), step

    def take(self, b: int, s: int, slices: int) -> None:
        """Sell a bid so many slices; fewer than none: take them back."""
        self.count[b, s] += slices
        self.spare[s] -= slices * int(self.own.unit[s])
        self.capacity[b] = (self.count[b] * self.own.unit * self.own.rate[b]) @ self.own.window

    def surplus(self, b: int) -> float:
        """Return what the work that its devices do alone is worth to a bid, less what they cost."""
        paid = float(self.count[b] * self.own.unit @ self.net)
        if self.term[b]:
            inside = self.book.demand[b] > 0
            served = float((self.capacity[b, inside] / self.book.demand[b, inside]).min(initial=np.inf))
            least = max(float(self.book.bids["min_share"][b]), 1e-6)
            worth = self.limit[b] * float(self.book.demand[b] @ self.book.hours)
            return min(1.0, served) * worth - paid if served >= least * (1 - 1e-9) else -np.inf
        work = float(self.own.used(slice(b, b + 1), self.capacity[b : b + 1])[0] @ self.book.hours)
        if self.total[b]:
            wanted = min(float(self.book.bids["total_mtok"][b]), float(self.book.demand[b] @ self.book.hours))
            if work < float(self.book.bids["min_share"][b]) * wanted * (1 - 1e-9):
                return -np.inf
            work = min(work, wanted)
        return float(self.limit[b]) * work - paid


def purchase(
    book: Book, goods: Goods, prices: Prices, own: Owning, avoid: F64, want: tuple[F64, F64], ties: Ties
) -> Purchase:
    """Decide who buys what.

    Parameters
    ----------
    avoid : (bids, periods) micro that a Mtok costs the bid otherwise: its least lease cost, or its limit
    want : (bids, pools) devices that the optimum sells to bids by period and for a total; (bids, pools) shares of bids for a
        term
    """
    c = _Counter(book, goods, prices, own, avoid, ties)
    devices, shares = want
    for b, s in _terms(c, shares):
        need = float((book.demand[b]).max() / own.rate[b, s])
        slices = int(np.ceil(need / own.unit[s] - NOISE))
        if slices * int(own.unit[s]) <= c.spare[s] and not c.count[b].any():
            c.take(b, s, slices)
            if c.surplus(b) < 0:
                c.take(b, s, -slices)
    _floor(c, devices)
    _hand_out(c)
    rows = _settle(c)
    bought = np.asarray(c.count.any(axis=1))
    sold = np.zeros(len(c.ask), dtype=np.bool_)
    sold[rows[0]] = True
    return Purchase(*rows, np.where(bought[:, None], c.capacity, 0.0), sold, bought & c.term)


def _terms(c: _Counter, shares: F64) -> list[tuple[int, int]]:
    """Return bids for a term and sizes that they would buy of, the greatest surplus first."""
    own, found = c.own, []
    for b in np.flatnonzero(c.term & ~c.out & (c.book.demand > 0).any(axis=1)).tolist():
        there = (own.rate[b] > 0) & ~((c.book.demand[b] > 0) & ~own.window).any(axis=1)
        worth = float(c.limit[b] * (c.book.demand[b] @ c.book.hours))
        for s in np.flatnonzero(there & (shares[b, own.pool] > _LIKELY)).tolist():
            paid = float(c.book.demand[b].max() / own.rate[b, s] * c.net[s])
            found.append((paid - worth, int(c.ties.bid[b]), b, s))
    return [(b, s) for _, _, b, s in sorted(found)]


def _floor(c: _Counter, devices: F64) -> None:
    """Sell whole slices of what the optimum sells, at most what there is."""
    own = c.own
    b, q = np.nonzero((devices > NOISE) & ~c.out[:, None])
    order = np.lexsort((c.ties.bid[b], q))
    b, q = b[order], q[order]
    i, s, length = overlay(q, devices[b, q], own.pool, c.spare)
    who, slices = b[i], np.floor(length / own.unit[s] + NOISE).astype(np.int64)
    np.add.at(c.count, (who, s), slices)
    for b_ in np.flatnonzero(c.single & c.count.any(axis=1)).tolist():
        c.count[b_, own.pool != own.pool[int((c.count[b_] * own.rate[b_] * own.unit).argmax())]] = 0
    c.spare -= c.count.sum(axis=0) * own.unit
    c.capacity = (c.count * own.unit * own.rate) @ own.window.astype(np.float64)
    for b_ in np.flatnonzero(c.count.any(axis=1)).tolist():
        if c.surplus(b_) < 0:
            _drop(c, b_)


def _drop(c: _Counter, b: int) -> None:
    for s in np.flatnonzero(c.count[b]).tolist():
        c.take(b, s, -int(c.count[b, s]))


def _hand_out(c: _Counter) -> None:
    """Give what is left slice by slice to whom it saves most."""
    if not (c.spare >= c.own.unit).any():
        return
    may = np.flatnonzero(~c.term & ~c.out & (c.own.rate > 0).any(axis=1) & (c.own.wanted > 0).any(axis=1))
    heap: list[tuple[float, int, int]] = []
    for b in may.tolist():
        gain = float(c.gains(b)[0].max(initial=-np.inf))
        if gain > -ROUNDING * float(c.own.unit.max()):
            heap.append((-gain, int(c.ties.bid[b]), b))
    heapq.heapify(heap)
    for _ in range(_GRANTS_MAX):
        if not heap:
            return
        _, rank, b = heapq.heappop(heap)
        gains, steps = c.gains(b)
        s = int(gains.argmax())
        gain = float(gains[s])
        if gain <= -ROUNDING * float(c.own.unit[s]):
            continue
        if heap and -gain > heap[0][0] + 1e-6:
            heapq.heappush(heap, (-gain, rank, b))
            continue
        c.take(b, s, int(steps[s]))
        if c.surplus(b) < 0:
            c.take(b, s, -int(steps[s]))
            continue
        heapq.heappush(heap, (-gain, rank, b))


def _settle(c: _Counter) -> tuple[I64, I64, I64]:
    """Choose lots, take back what they cannot give; return rows of lot, bid, devices."""
    own = c.own
    while True:
        sold = c.count.sum(axis=0) * own.unit
        given = _give(c, sold)
        can = np.bincount(own.of_lot[c.lots], given, minlength=len(own.pool)).astype(np.int64)
        short = np.flatnonzero(can < sold)
        if not len(short):
            break
        for s in short.tolist():
            _take_back(c, s, int(sold[s] - can[s]))
    who, kind = np.nonzero(c.count)
    order = np.lexsort((c.ties.bid[who], kind))
    who, kind = who[order], kind[order]
    some = np.flatnonzero(given)
    x, y, devices = overlay(kind, c.count[who, kind] * own.unit[kind], own.of_lot[c.lots[some]], given[some])
    lot, bid = c.lots[some[y]], who[x]
    order = np.lexsort((bid, lot))
    return lot[order], bid[order], np.rint(devices[order]).astype(np.int64)


def _give(c: _Counter, sold: I64) -> I64:
    """Return (lots in merit order,) devices that each gives towards (sizes,) devices sold: whole blocks, at least its least."""
    given = np.zeros(len(c.lots), dtype=np.int64)
    left = sold.copy()
    fill = c.book.lots["min_fill"].to_numpy()
    for at, i in enumerate(c.lots.tolist()):
        s, block = int(c.own.of_lot[i]), int(c.block[i])
        most = int(min(c.most[i], left[s])) // block * block
        least = min(int(fill[i]), int(c.most[i]))
        if most and most >= -(-least // block) * block:
            given[at] = most
            left[s] -= most
    return given


def _take_back(c: _Counter, s: int, devices: int) -> None:
    """Take devices of a size back from whom they save least; a bid that would then lose gives back all."""
    own, size = c.own, int(c.own.unit[s])
    slices = -(-devices // size)
    while slices > 0:
        holders = np.flatnonzero(c.count[:, s])
        loss = []
        for b in holders.tolist():
            less = own.used(slice(b, b + 1), (c.capacity[b] - own.rate[b, s] * size * own.window[s])[None])[0]
            now = own.used(slice(b, b + 1), c.capacity[b : b + 1])[0]
            loss.append((float((now - less) @ c.avoid[b]), int(c.ties.bid[b]), b))
        _, _, b = min(loss)
        back = min(slices, int(c.count[b, s])) if c.term[b] else 1
        before = int(c.count[b, s])
        c.take(b, s, -back)
        if c.surplus(b) < 0:
            _drop(c, b)
            back = before
        slices -= back
