"""How does the divisible optimum become whole devices of single orders, without a loss to anyone?

The optimum says how much of each pool each group uses. Here it is given to single bids (by limit; pro rata where limits
tie), cut down to whole node blocks, and what the cutting left over is handed out again block by block, the greatest
surplus at the published prices first. A block goes to a bid only if the work that it really does is worth its price to
that bid, and only from a lot whose ask the price covers. Ties fall by a hash of order and seed, never by arrival.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.overlay import capped, overlay, share_out
from entrepot.market.pool import FLEXIBLE, SALE, WHOLE, Pooled
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.solve import Solved

__all__ = ["FOR_GOOD", "Placed", "split"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

FOR_GOOD = -1  # the period of a sale
_NOISE = 1e-6  # of a block: what the solver may miss of a whole number
_ROUNDING = 0.75  # micro per device-hour: a published price may be half a micro-unit above the exact one
_CHUNK = 4_000_000  # entries of the largest matrix of bids by node sizes


@dataclass(frozen=True, slots=True)
class Placed:
    """(rows,) devices of a lot that a bid has in a period, or for good; each (lot, bid, period) once, sorted."""

    lot: I64
    bid: I64
    period: I64
    devices: I64


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Lots of one pool, node size and mode: (sizes,) pool, block, mode; (lots,) size of each lot."""

    pool: I64
    block: I64
    mode: I64
    of_lot: I64


@dataclass(slots=True)
class _Board:
    """What is placed so far.

    Attributes
    ----------
    left : (bids, periods) Mtok per hour still wanted
    gain : (bids, periods) micro per hour: worth of the work done on whole-window lots less their price
    rows : (bid, size, period, blocks) placed
    """

    left: F64
    gain: F64
    rows: list[tuple[I64, I64, I64, I64]]


@dataclass(frozen=True, slots=True)
class _Bought:
    """Sizes for sale that bids may buy: (buyers,) bid, (kinds,) size, (buyers, kinds) blocks bought, (kinds,) blocks spare."""

    bid: I64
    size: I64
    blocks: I64
    spare: I64


@dataclass(frozen=True, slots=True)
class _Targets:
    """(entries,) devices that the optimum leases to a bid from a node size in a period."""

    bid: I64
    size: I64
    period: I64
    devices: F64

    def only(self, chosen: Mask) -> _Targets:
        """Return the chosen entries."""
        return _Targets(self.bid[chosen], self.size[chosen], self.period[chosen], self.devices[chosen])


def split(book: Book, pooled: Pooled, solved: Solved, prices: Prices, lot_rank: I64, bid_rank: I64) -> Placed:
    """Place whole blocks of single lots with single bids.

    Parameters
    ----------
    solved : the divisible optimum
    prices : as published
    lot_rank, bid_rank : (lots,), (bids,) distinct; the smaller wins a tie

    Returns
    -------
    Placed : feasible for the book; no bid pays more than its work is worth to it, and no lot gets less than its ask, at
        these prices (up to the rounding of a price to whole micro-units)
    """
    market = _Market(book, pooled, solved, prices, _sizes(book, pooled), lot_rank, bid_rank)
    board = _Board(book.demand.copy(), np.zeros(book.demand.shape), [])
    bought = market.buy(board)
    targets = market.targets(board)
    blocks_of_whole = market.place_whole(board, targets)
    market.place_flexible(board, targets)
    market.buy_more(board, bought)
    return market.to_lots(board, bought, blocks_of_whole)


def _sizes(book: Book, pooled: Pooled) -> _Sizes:
    """Group the lots by pool, mode and node size; large nodes first."""
    block = book.lots["block"].to_numpy()
    key = np.stack([pooled.lot_pool, pooled.lot_mode, -block], axis=1)
    kinds, of_lot = np.unique(key, axis=0, return_inverse=True)
    return _Sizes(kinds[:, 0], -kinds[:, 2], kinds[:, 1], of_lot.astype(np.int64).ravel())


@dataclass(frozen=True, slots=True)
class _Market:
    """The market with its optimum and prices; methods place blocks on a board."""

    book: Book
    pooled: Pooled
    solved: Solved
    prices: Prices
    sizes: _Sizes
    lot_rank: I64
    bid_rank: I64

    @property
    def limit(self) -> F64:
        """(bids,) micro per Mtok."""
        limit: F64 = self.book.bids["limit_micro"].to_numpy().astype(np.float64)
        return limit

    @property
    def ask(self) -> I64:
        """(lots,) micro per device-hour or per device."""
        ask: I64 = self.book.lots["ask_micro"].to_numpy()
        return ask

    @property
    def block(self) -> I64:
        """(lots,) devices."""
        block: I64 = self.book.lots["block"].to_numpy()
        return block

    def rate(self, bids: I64, sizes: I64) -> F64:
        """(bids, sizes) Mtok per device-hour."""
        rate: F64 = self.pooled.group_rate[np.ix_(self.pooled.bid_group[bids], self.sizes.pool[sizes])]
        return rate

    def price(self, sizes: I64, t: int) -> F64:
        """(sizes,) lease price in a period, micro per device-hour."""
        price: F64 = self.prices.lease[self.sizes.pool[sizes], t].astype(np.float64)
        return price

    def lot_supply(self) -> F64:
        """(lots, periods) devices of each lot in the optimum: its step's, pro rata."""
        p = self.pooled
        none = np.zeros_like(self.solved.supply)
        share = np.divide(self.solved.supply, p.step_capacity, out=none, where=p.step_capacity > 0)
        supply: F64 = p.usable * share[p.lot_step]
        return supply

    def f64_by_size(self, per_lot: F64, lots: Mask) -> F64:
        """(sizes, periods) sum over the lots of each size that ``lots`` selects."""
        total = np.zeros((len(self.sizes.pool), per_lot.shape[1]))
        np.add.at(total, self.sizes.of_lot[lots], per_lot[lots])
        return total

    def i64_by_size(self, per_lot: I64, lots: Mask) -> I64:
        """(sizes, periods) sum over the lots of each size that ``lots`` selects."""
        total = np.zeros((len(self.sizes.pool), per_lot.shape[1]), dtype=np.int64)
        np.add.at(total, self.sizes.of_lot[lots], per_lot[lots])
        return total

    # ── buying ────────────────────────────────────────────────────────────────────────────────────────────────

    def sale_blocks(self) -> I64:
        """(lots,) blocks of lots for sale whose ask the price covers."""
        p = self.pooled
        covered = (p.lot_mode == SALE) & (self.ask <= self.prices.sale[p.lot_pool])
        blocks: I64 = np.where(covered, p.usable.max(axis=1, initial=0) // self.block, 0)
        return blocks

    def buy(self, board: _Board) -> _Bought:
        """Buy what the optimum buys in whole blocks, then blocks that save more than they cost."""
        p = self.pooled
        bids = np.flatnonzero(p.group_buys[p.bid_group])
        sizes = np.flatnonzero(self.sizes.mode == SALE)
        pool, block = self.sizes.pool[sizes], self.sizes.block[sizes]
        open_blocks = self.sale_blocks()
        spare = self.i64_by_size(open_blocks[:, None], open_blocks > 0)[sizes, 0]
        bought = _Bought(bids, sizes, np.zeros((len(bids), len(sizes)), dtype=np.int64), spare)
        if not len(bids) or not len(sizes):
            return bought
        supply = self.f64_by_size(self.lot_supply().max(axis=1, initial=0.0)[:, None], open_blocks > 0)[
            sizes, 0
        ]
        wanted = self.solved.bought[p.bid_group[bids]]  # (buyers, pools)
        b, k = np.nonzero(wanted > 0)
        order = np.lexsort((self.bid_rank[bids[b]], k))
        b, k = b[order], k[order]
        i, s, devices = overlay(k, wanted[b, k], pool, np.minimum(supply, spare * block))
        blocks = np.floor(devices / block[s] + _NOISE).astype(np.int64)
        np.add.at(bought.blocks, (b[i], s), blocks)
        np.subtract.at(bought.spare, s, blocks)
        work = (self.rate(bids, sizes) * bought.blocks * block) @ (p.offered[pool] > 0).astype(np.float64)
        board.left[bids] = np.maximum(0.0, board.left[bids] - work)
        # A device saves what the work would cost otherwise: its lease, or going without.
        saves = np.repeat(self.limit[bids][:, None], board.left.shape[1], axis=1)
        for k_lease in np.flatnonzero(~p.is_sale):
            rate = p.group_rate[p.bid_group[bids], k_lease][:, None]
            may = (rate > 0) & (p.offered[k_lease] > 0)
            dear = np.full(saves.shape, np.inf)
            saves = np.minimum(saves, np.divide(self.prices.lease[k_lease], rate, out=dear, where=may))
        self._buy_blocks(board, bought, saves)
        return bought

    def buy_more(self, board: _Board, bought: _Bought) -> None:
        """Buy blocks for what is still unserved after the leases."""
        self._buy_blocks(
            board, bought, np.repeat(self.limit[bought.bid][:, None], board.left.shape[1], axis=1)
        )

    def _buy_blocks(self, board: _Board, bought: _Bought, worth: F64) -> None:
        """Hand out spare blocks one by one, the greatest gain first; ``worth`` is (buyers, periods) micro per Mtok."""
        bids, sizes = bought.bid, bought.size
        if not len(bids) or not len(sizes):
            return
        pool, block = self.sizes.pool[sizes], self.sizes.block[sizes]
        reach = self.rate(bids, sizes) * block  # (buyers, kinds) Mtok per hour of one block
        owned = (self.pooled.offered[pool] > 0) * self.book.hours  # (kinds, periods)
        pays = (self.prices.sale[pool] - self.pooled.residual[pool]) * block  # (kinds,)

        def gains(i: int) -> F64:
            done = np.minimum(reach[i][:, None], board.left[bids[i]])  # (kinds, periods)
            gain: F64 = (done * worth[i] * owned).sum(axis=1) - pays
            return np.where((reach[i] > 0) & (bought.spare > 0), gain, -np.inf)

        gain = np.stack([gains(i) for i in range(len(bids))])
        rank = self.bid_rank[bids]
        while True:
            gain[:, bought.spare <= 0] = -np.inf
            best = gain.max()
            if best <= 0:
                return
            rows, columns = np.nonzero(gain == best)
            at = int(np.argmin(rank[rows]))
            i, s = int(rows[at]), int(columns[at])
            bought.blocks[i, s] += 1
            bought.spare[s] -= 1
            left = board.left[bids[i]]
            board.left[bids[i]] = np.where(owned[s] > 0, np.maximum(0.0, left - reach[i, s]), left)
            gain[i] = gains(i)

    # ── what the optimum gives to each bid ───────────────────────────────────────────────────────────────────

    def targets(self, board: _Board) -> _Targets:
        """Return the leases of the optimum by bid and node size."""
        p, s = self.pooled, self.solved
        periods = self.book.demand.shape[1]
        share = np.divide(s.served, p.tier_demand, out=np.zeros_like(s.served), where=p.tier_demand > 0)
        work = self.book.demand * share[p.bid_tier]  # (bids, periods)
        rate = p.group_rate[s.flow_group, s.flow_pool]
        flow_work = s.flow * rate

        b, t = np.nonzero((work > 0) & ~p.group_buys[p.bid_group][:, None])
        order = np.lexsort((self.bid_rank[b], -self.limit[b], t, p.bid_group[b]))
        b, t = b[order], t[order]
        shared = np.flatnonzero(~p.group_buys[s.flow_group])
        shared = shared[np.lexsort((s.flow_pool[shared], s.flow_period[shared], s.flow_group[shared]))]
        i, j, done = overlay(
            p.bid_group[b] * periods + t,
            work[b, t],
            s.flow_group[shared] * periods + s.flow_period[shared],
            flow_work[shared],
        )
        of_shared = shared[j]

        # A group that buys is one bid; what it bought in whole blocks may leave it less to lease.
        alone = np.flatnonzero(p.group_buys[s.flow_group])
        of_group = np.zeros(len(p.group_rate), dtype=np.int64)
        of_group[p.bid_group] = np.arange(len(p.bid_group))
        one, when = of_group[s.flow_group[alone]], s.flow_period[alone]
        leased = np.zeros(board.left.shape)
        np.add.at(leased, (one, when), flow_work[alone])
        fit = np.minimum(1.0, np.divide(board.left, leased, out=np.ones_like(leased), where=leased > 0))

        flow = np.concatenate([of_shared, alone])
        return self._by_size(
            bid=np.concatenate([b[i], one]),
            pool=s.flow_pool[flow],
            period=s.flow_period[flow],
            devices=np.concatenate([done / rate[of_shared], s.flow[alone] * fit[one, when]]),
        )

    def _by_size(self, bid: I64, pool: I64, period: I64, devices: F64) -> _Targets:
        """Split each bid's devices of a pool over the node sizes that the optimum supplies, whole-window lots first."""
        periods = self.book.demand.shape[1]
        supply = self.lot_supply()
        lengths = self.f64_by_size(supply, self.pooled.lot_mode == FLEXIBLE)
        lengths += self._whole_total(self._whole_start()) * self.sizes.block[:, None]
        i, t = np.nonzero(lengths > 0)
        order = np.lexsort((i, self.sizes.mode[i] != WHOLE, t, self.sizes.pool[i]))
        i, t = i[order], t[order]
        of = np.lexsort((self.bid_rank[bid], period, pool))
        bid, pool, period, devices = bid[of], pool[of], period[of], devices[of]
        a, b, length = overlay(
            pool * periods + period, devices, self.sizes.pool[i] * periods + t, lengths[i, t]
        )
        return _Targets(bid[a], i[b], period[a], length)

    # ── lots for their whole window ──────────────────────────────────────────────────────────────────────────

    def _whole_start(self) -> I64:
        """(lots,) blocks of each whole-window lot in the optimum; 0 for others."""
        blocks = np.floor(self.lot_supply().max(axis=1, initial=0.0) / self.block + _NOISE).astype(np.int64)
        chosen: I64 = np.where(self.pooled.lot_mode == WHOLE, blocks, 0)
        return chosen

    def _whole_total(self, blocks: I64) -> I64:
        """(sizes, periods) blocks that whole-window lots supply."""
        return self.i64_by_size(blocks[:, None] * (self.pooled.usable > 0), self.pooled.lot_mode == WHOLE)

    def place_whole(self, board: _Board, targets: _Targets) -> I64:
        """Place every block of whole-window lots in every period of its window in which it has a price.

        A lot whose blocks cannot all be placed without a loss to some bid offers fewer blocks, over its whole window.

        Returns
        -------
        (lots,) blocks of each whole-window lot that are sold
        """
        blocks = self._whole_start()
        for s in np.flatnonzero(self.sizes.mode == WHOLE):
            lots = np.flatnonzero(self.sizes.of_lot == s)
            mine = targets.only(targets.size == s)
            floors = np.floor(mine.devices / self.sizes.block[s] + _NOISE).astype(np.int64)
            while True:
                must = (blocks[lots][:, None] * (self.pooled.usable[lots] > 0)).sum(axis=0)  # (periods,)
                trial = _Board(board.left.copy(), board.gain.copy(), [])
                short = self._place_size(trial, int(s), must, mine, floors)
                if not short.any():
                    board.left[:], board.gain[:] = trial.left, trial.gain
                    board.rows += trial.rows
                    break
                self._offer_less(blocks, lots, int(short.argmax()), int(short.max()))
        return blocks

    def _offer_less(self, blocks: I64, lots: I64, t: int, fewer: int) -> None:
        """Take blocks back from the dearest lots that cover the period."""
        covering = lots[(self.pooled.usable[lots, t] > 0) & (blocks[lots] > 0)]
        for lot in covering[np.lexsort((self.lot_rank[covering], -self.ask[covering]))]:
            less = min(fewer, int(blocks[lot]))
            blocks[lot] -= less
            fewer -= less
            if not fewer:
                return

    def _place_size(self, board: _Board, s: int, must: I64, mine: _Targets, floors: I64) -> I64:
        """Place ``must[t]`` blocks of one size in each period; return (periods,) blocks that no bid could take."""
        short = np.zeros(len(must), dtype=np.int64)
        block = int(self.sizes.block[s])
        limit = self.limit
        reach = (
            self.rate(np.arange(len(limit)), np.array([s]))[:, 0] * block
        )  # (bids,) Mtok per hour of one block
        able = np.flatnonzero(reach > 0)
        for t in np.flatnonzero(must):
            pays = float(self.price(np.array([s]), int(t))[0]) * block
            given = np.zeros(len(reach), dtype=np.int64)
            np.add.at(given, mine.bid[mine.period == t], floors[mine.period == t])
            have = np.flatnonzero(given)
            over = int(given.sum() - must[t])
            for b in have[np.argsort((limit * reach)[have], kind="stable")]:
                less = min(max(0, over), int(given[b]))
                given[b] -= less
                over -= less
            gain = board.gain[:, t] + np.minimum(given * reach, board.left[:, t]) * limit - given * pays
            left = np.maximum(0.0, board.left[:, t] - given * reach)
            for _ in range(int(must[t] - given.sum())):
                more = np.minimum(reach[able], left[able]) * limit[able] - pays
                if pays == 0 and not (more > 0).any():
                    break  # idle at no price: nobody gains or loses by it
                fits = gain[able] + more >= -_ROUNDING * block
                if not fits.any():
                    short[t] = must[t] - given.sum()
                    break
                best = able[np.flatnonzero(fits & (more == more[fits].max()))]
                b = best[np.argmin(self.bid_rank[best])]
                gain[b] += min(reach[b], left[b]) * limit[b] - pays
                left[b] = max(0.0, left[b] - reach[b])
                given[b] += 1
            board.left[:, t], board.gain[:, t] = left, gain
            who = np.flatnonzero(given)
            board.rows.append((who, np.full(len(who), s), np.full(len(who), t), given[who]))
        return short

    # ── lots that are let period by period ───────────────────────────────────────────────────────────────────

    def flexible_blocks(self) -> I64:
        """(lots, periods) blocks of flexible lots whose ask the price covers."""
        p = self.pooled
        covered = (p.lot_mode == FLEXIBLE)[:, None] & (self.ask[:, None] <= self.prices.lease[p.lot_pool])
        blocks: I64 = np.where(covered, p.usable // self.block[:, None], 0)
        return blocks

    def place_flexible(self, board: _Board, targets: _Targets) -> None:
        """Cut the optimum's devices down to whole blocks, then hand out what is spare."""
        spare = self.i64_by_size(self.flexible_blocks(), self.pooled.lot_mode == FLEXIBLE)
        mine = targets.only(self.sizes.mode[targets.size] == FLEXIBLE)
        order = np.lexsort((self.bid_rank[mine.bid], mine.period, mine.size))
        bid, size, period, devices = (
            mine.bid[order],
            mine.size[order],
            mine.period[order],
            mine.devices[order],
        )
        rate = self.pooled.group_rate[self.pooled.bid_group[bid], self.sizes.pool[size]]
        work = np.zeros(board.left.shape)
        np.add.at(work, (bid, period), devices * rate)
        fit = np.minimum(1.0, np.divide(board.left, work, out=np.ones_like(work), where=work > 0))
        wanted = np.floor(devices * fit[bid, period] / self.sizes.block[size] + _NOISE).astype(np.int64)
        blocks = capped(
            size * board.left.shape[1] + period, wanted, spare.ravel()
        )  # solver noise may ask one too many
        np.subtract.at(spare, (size, period), blocks)
        np.subtract.at(board.left, (bid, period), blocks * self.sizes.block[size] * rate)
        np.maximum(board.left, 0.0, out=board.left)
        keep = blocks > 0
        board.rows.append((bid[keep], size[keep], period[keep], blocks[keep]))
        for t in range(board.left.shape[1]):
            self._hand_out(board, t, spare[:, t])

    def _hand_out(self, board: _Board, t: int, spare: I64) -> None:
        """Offer each bid its best spare size, grant by gain, until no bid gains by any block."""
        left = board.left[:, t]
        least = 1e-9 * self.book.demand[:, t]
        wanting = np.flatnonzero(left > least)
        while len(wanting) and spare.any():
            sizes = np.flatnonzero(spare)
            best, gain = self._best_size(wanting, sizes, left[wanting], t)
            keep = gain > -np.inf
            wanting, best, gain = wanting[keep], sizes[best[keep]], gain[keep]
            if not len(wanting):
                return
            reach = (
                self.pooled.group_rate[self.pooled.bid_group[wanting], self.sizes.pool[best]]
                * self.sizes.block[best]
            )
            want = np.maximum(1, np.floor(left[wanting] / reach)).astype(np.int64)
            order = np.lexsort((self.bid_rank[wanting], -gain, best))
            granted = np.zeros(len(wanting), dtype=np.int64)
            granted[order] = capped(best[order], want[order], spare)
            np.subtract.at(spare, best, granted)
            left[wanting] = np.maximum(0.0, left[wanting] - granted * reach)
            got = granted > 0
            board.rows.append((wanting[got], best[got], np.full(int(got.sum()), t), granted[got]))
            wanting = wanting[left[wanting] > least[wanting]]

    def _best_size(self, bids: I64, sizes: I64, left: F64, t: int) -> tuple[I64, F64]:
        """Return (bids,) the size whose next block gains most, and that gain; ``-inf`` where each would lose."""
        best, gain = np.zeros(len(bids), dtype=np.int64), np.full(len(bids), -np.inf)
        block = self.sizes.block[sizes].astype(np.float64)
        pays = self.price(sizes, t) * block
        limit = self.limit[bids]
        step = max(1, _CHUNK // max(1, len(sizes)))
        for begin in range(0, len(bids), step):
            part = slice(begin, begin + step)
            reach = self.rate(bids[part], sizes) * block
            more = np.minimum(reach, left[part, None]) * limit[part, None] - pays
            more[(reach <= 0) | (more < -_ROUNDING * block)] = -np.inf
            best[part] = more.argmax(axis=1)
            gain[part] = np.take_along_axis(more, best[part, None], axis=1)[:, 0]
        return best, gain

    # ── from node sizes to lots ──────────────────────────────────────────────────────────────────────────────

    def to_lots(self, board: _Board, bought: _Bought, blocks_of_whole: I64) -> Placed:
        """Give each bid's blocks of a size to single lots: cheapest ask first, pro rata among equal asks."""
        p = self.pooled
        bid, size, period, blocks = (np.concatenate(column) for column in zip(*board.rows, strict=True))
        used = np.zeros((len(self.sizes.pool), p.usable.shape[1]), dtype=np.int64)
        np.add.at(used, (size, period), blocks)
        given = self._merit(self.flexible_blocks(), used)
        whole = p.lot_mode == WHOLE
        given[whole] = blocks_of_whole[whole, None] * (p.usable[whole] > 0)
        i, t = np.nonzero(given)
        leases = self._pair(bid, size, period, blocks, i, t, given[i, t])

        sold = np.zeros((len(self.sizes.pool), 1), dtype=np.int64)
        sold[bought.size, 0] = bought.blocks.sum(axis=0)
        of_lot = self._merit(self.sale_blocks()[:, None], sold)[:, 0]
        b, s = np.nonzero(bought.blocks)
        i = np.flatnonzero(of_lot)
        sales = self._pair(
            bought.bid[b],
            bought.size[s],
            np.zeros_like(b),
            bought.blocks[b, s],
            i,
            np.zeros_like(i),
            of_lot[i],
        )
        lot, buyer, at, devices = (np.concatenate(pair) for pair in zip(leases, sales, strict=True))
        at[len(leases[0]) :] = FOR_GOOD
        order = np.lexsort((at, buyer, lot))
        return Placed(lot[order], buyer[order], at[order], devices[order])

    def _merit(self, offered: I64, used: I64) -> I64:
        """Return (lots, columns) blocks of each lot used, given (sizes, columns) blocks used of each size."""
        given = np.zeros(offered.shape, dtype=np.int64)
        i, t = np.nonzero(offered)
        if not len(i):
            return given
        order = np.lexsort((self.lot_rank[i], self.ask[i], t, self.sizes.of_lot[i]))
        i, t = i[order], t[order]
        ask, size, weight = self.ask[i], self.sizes.of_lot[i], offered[i, t]
        new = np.ones(len(i), dtype=np.bool_)
        new[1:] = (np.diff(size) != 0) | (np.diff(t) != 0) | (np.diff(ask) != 0)
        begin = np.flatnonzero(new)
        taken = capped(
            size[begin] * offered.shape[1] + t[begin], np.add.reduceat(weight, begin), used.ravel()
        )
        given[i, t] = share_out(np.cumsum(new) - 1, weight, taken, self.lot_rank[i])
        return given

    def _pair(
        self, bid: I64, size: I64, period: I64, blocks: I64, lot: I64, at: I64, given: I64
    ) -> tuple[I64, I64, I64, I64]:
        """Lay the blocks of bids against the blocks of lots; return (rows,) lot, bid, period, devices."""
        width = int(max(period.max(initial=0), at.max(initial=0))) + 1
        bids = len(self.bid_rank)
        a = np.lexsort((self.bid_rank[bid], period, size))
        b = np.lexsort((self.lot_rank[lot], self.ask[lot], at, self.sizes.of_lot[lot]))
        i, j, met = overlay(
            (size * width + period)[a], blocks[a], (self.sizes.of_lot[lot] * width + at)[b], given[b]
        )
        who, of_lot, when = bid[a][i], lot[b][j], period[a][i]
        devices = np.rint(met).astype(np.int64) * self.block[of_lot]
        distinct, back = np.unique((of_lot * bids + who) * width + when, return_inverse=True)
        total = np.bincount(back.ravel(), devices, minlength=len(distinct)).astype(np.int64)
        return distinct // width // bids, distinct // width % bids, distinct % width, total
