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

from entrepot.market.buy import Bought, buy, buy_more
from entrepot.market.overlay import capped, overlay, share_out
from entrepot.market.placing import NOISE, ROUNDING, Board, Market, Targets, Ties, sizes_of
from entrepot.market.pool import FLEXIBLE, WHOLE, Pooled
from entrepot.market.price import Prices
from entrepot.market.records import Book
from entrepot.market.solve import Solved
from entrepot.market.whole import place_whole

__all__ = ["FOR_GOOD", "Placed", "split"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

FOR_GOOD = -1  # the period of a sale
_CHUNK = 4_000_000  # entries of the largest matrix of bids by node sizes


@dataclass(frozen=True, slots=True)
class Placed:
    """(rows,) devices of a lot that a bid has in a period, or for good; each (lot, bid, period) once, sorted."""

    lot: I64
    bid: I64
    period: I64
    devices: I64


def split(book: Book, pooled: Pooled, solved: Solved, prices: Prices, ties: Ties) -> Placed:
    """Place whole blocks of single lots with single bids.

    Parameters
    ----------
    solved : the divisible optimum
    prices : as published
    ties : who wins

    Returns
    -------
    Placed : feasible for the book; no bid pays more than its work is worth to it, and no lot gets less than its ask, at
        these prices (up to the rounding of a price to whole micro-units)
    """
    m = Market(book, pooled, solved, prices, sizes_of(book, pooled), ties)
    board = Board(book.demand.copy(), np.zeros(book.demand.shape), [])
    bought = buy(m, board)
    targets = _targets(m, board)
    blocks_of_whole = place_whole(m, board, targets)
    _place_flexible(m, board, targets)
    buy_more(m, board, bought)
    return _to_lots(m, board, bought, blocks_of_whole)


def _targets(m: Market, board: Board) -> Targets:
    """Return the leases of the optimum by bid and node size."""
    p, s = m.pooled, m.solved
    periods = m.book.demand.shape[1]
    share = np.divide(s.served, p.tier_demand, out=np.zeros_like(s.served), where=p.tier_demand > 0)
    work = m.book.demand * share[p.bid_tier]  # (bids, periods)
    rate = p.group_rate[s.flow_group, s.flow_pool]
    flow_work = s.flow * rate

    b, t = np.nonzero((work > 0) & ~p.group_buys[p.bid_group][:, None])
    order = np.lexsort((m.ties.bid[b], -m.limit[b], t, p.bid_group[b]))
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
    return _by_size(
        m,
        bid=np.concatenate([b[i], one]),
        pool=s.flow_pool[flow],
        period=s.flow_period[flow],
        devices=np.concatenate([done / rate[of_shared], s.flow[alone] * fit[one, when]]),
    )


def _by_size(m: Market, bid: I64, pool: I64, period: I64, devices: F64) -> Targets:
    """Split each bid's devices of a pool over the node sizes that the optimum supplies, whole-window lots first."""
    periods = m.book.demand.shape[1]
    supply = m.lot_supply()
    lengths = m.f64_by_size(supply, m.pooled.lot_mode == FLEXIBLE)
    lengths += m.whole_total(m.whole_start()) * m.sizes.block[:, None]
    i, t = np.nonzero(lengths > 0)
    order = np.lexsort((i, m.sizes.mode[i] != WHOLE, t, m.sizes.pool[i]))
    i, t = i[order], t[order]
    of = np.lexsort((m.ties.bid[bid], period, pool))
    bid, pool, period, devices = bid[of], pool[of], period[of], devices[of]
    a, b, length = overlay(pool * periods + period, devices, m.sizes.pool[i] * periods + t, lengths[i, t])
    return Targets(bid[a], i[b], period[a], length)


def _place_flexible(m: Market, board: Board, targets: Targets) -> None:
    """Cut the optimum's devices down to whole blocks, then hand out what is spare."""
    spare = m.i64_by_size(m.flexible_blocks(), m.pooled.lot_mode == FLEXIBLE)
    mine = targets.only(m.sizes.mode[targets.size] == FLEXIBLE)
    order = np.lexsort((m.ties.bid[mine.bid], mine.period, mine.size))
    bid, size, period, devices = (
        mine.bid[order],
        mine.size[order],
        mine.period[order],
        mine.devices[order],
    )
    rate = m.pooled.group_rate[m.pooled.bid_group[bid], m.sizes.pool[size]]
    work = np.zeros(board.left.shape)
    np.add.at(work, (bid, period), devices * rate)
    fit = np.minimum(1.0, np.divide(board.left, work, out=np.ones_like(work), where=work > 0))
    wanted = np.floor(devices * fit[bid, period] / m.sizes.block[size] + NOISE).astype(np.int64)
    blocks = capped(
        size * board.left.shape[1] + period, wanted, spare.ravel()
    )  # solver noise may ask one too many
    np.subtract.at(spare, (size, period), blocks)
    np.subtract.at(board.left, (bid, period), blocks * m.sizes.block[size] * rate)
    np.maximum(board.left, 0.0, out=board.left)
    keep = blocks > 0
    board.rows.append((bid[keep], size[keep], period[keep], blocks[keep]))
    for t in range(board.left.shape[1]):
        _hand_out(m, board, t, spare[:, t])


def _hand_out(m: Market, board: Board, t: int, spare: I64) -> None:
    """Offer each bid its best spare size, grant by gain, until no bid gains by any block."""
    left = board.left[:, t]
    least = 1e-9 * m.book.demand[:, t]
    wanting = np.flatnonzero(left > least)
    while len(wanting) and spare.any():
        sizes = np.flatnonzero(spare)
        best, gain = _best_size(m, wanting, sizes, left[wanting], t)
        keep = gain > -np.inf
        wanting, best, gain = wanting[keep], sizes[best[keep]], gain[keep]
        if not len(wanting):
            return
        reach = m.pooled.group_rate[m.pooled.bid_group[wanting], m.sizes.pool[best]] * m.sizes.block[best]
        want = np.maximum(1, np.floor(left[wanting] / reach)).astype(np.int64)
        order = np.lexsort((m.ties.bid[wanting], -gain, best))
        granted = np.zeros(len(wanting), dtype=np.int64)
        granted[order] = capped(best[order], want[order], spare)
        np.subtract.at(spare, best, granted)
        left[wanting] = np.maximum(0.0, left[wanting] - granted * reach)
        got = granted > 0
        board.rows.append((wanting[got], best[got], np.full(int(got.sum()), t), granted[got]))
        wanting = wanting[left[wanting] > least[wanting]]


def _best_size(m: Market, bids: I64, sizes: I64, left: F64, t: int) -> tuple[I64, F64]:
    """Return (bids,) the size whose next block gains most, and that gain; ``-inf`` where each would lose."""
    best, gain = np.zeros(len(bids), dtype=np.int64), np.full(len(bids), -np.inf)
    block = m.sizes.block[sizes].astype(np.float64)
    pays = m.price(sizes, t) * block
    limit = m.limit[bids]
    step = max(1, _CHUNK // max(1, len(sizes)))
    for begin in range(0, len(bids), step):
        part = slice(begin, begin + step)
        reach = m.rate(bids[part], sizes) * block
        more = np.minimum(reach, left[part, None]) * limit[part, None] - pays
        more[(reach <= 0) | (more < -ROUNDING * block)] = -np.inf
        best[part] = more.argmax(axis=1)
        gain[part] = np.take_along_axis(more, best[part, None], axis=1)[:, 0]
    return best, gain


def _to_lots(m: Market, board: Board, bought: Bought, blocks_of_whole: I64) -> Placed:
    """Give each bid's blocks of a size to single lots: cheapest ask first, pro rata among equal asks."""
    p = m.pooled
    bid, size, period, blocks = (np.concatenate(column) for column in zip(*board.rows, strict=True))
    used = np.zeros((len(m.sizes.pool), p.usable.shape[1]), dtype=np.int64)
    np.add.at(used, (size, period), blocks)
    given = _merit(m, m.flexible_blocks(), used)
    whole = p.lot_mode == WHOLE
    given[whole] = blocks_of_whole[whole, None] * (p.usable[whole] > 0)
    i, t = np.nonzero(given)
    leases = _pair(m, (bid, size, period, blocks), (i, t, given[i, t]))

    sold = np.zeros((len(m.sizes.pool), 1), dtype=np.int64)
    sold[bought.size, 0] = bought.blocks.sum(axis=0)
    of_lot = _merit(m, m.sale_blocks()[:, None], sold)[:, 0]
    b, s = np.nonzero(bought.blocks)
    i = np.flatnonzero(of_lot)
    sales = _pair(
        m,
        (bought.bid[b], bought.size[s], np.zeros_like(b), bought.blocks[b, s]),
        (i, np.zeros_like(i), of_lot[i]),
    )
    lot, buyer, at, devices = (np.concatenate(pair) for pair in zip(leases, sales, strict=True))
    at[len(leases[0]) :] = FOR_GOOD
    order = np.lexsort((at, buyer, lot))
    return Placed(lot[order], buyer[order], at[order], devices[order])


def _merit(m: Market, offered: I64, used: I64) -> I64:
    """Return (lots, columns) blocks of each lot used, given (sizes, columns) blocks used of each size."""
    given = np.zeros(offered.shape, dtype=np.int64)
    i, t = np.nonzero(offered)
    if not len(i):
        return given
    order = np.lexsort((m.ties.lot[i], m.ask[i], t, m.sizes.of_lot[i]))
    i, t = i[order], t[order]
    ask, size, weight = m.ask[i], m.sizes.of_lot[i], offered[i, t]
    new = np.ones(len(i), dtype=np.bool_)
    new[1:] = (np.diff(size) != 0) | (np.diff(t) != 0) | (np.diff(ask) != 0)
    begin = np.flatnonzero(new)
    taken = capped(size[begin] * offered.shape[1] + t[begin], np.add.reduceat(weight, begin), used.ravel())
    given[i, t] = share_out(np.cumsum(new) - 1, weight, taken, m.ties.lot[i])
    return given


def _pair(
    m: Market, wanted: tuple[I64, I64, I64, I64], supplied: tuple[I64, I64, I64]
) -> tuple[I64, I64, I64, I64]:
    """Lay blocks wanted (bid, size, period, blocks) against blocks supplied (lot, period, blocks).

    Returns
    -------
    (rows,) lot, bid, period, devices
    """
    bid, size, period, blocks = wanted
    lot, at, given = supplied
    width = int(max(period.max(initial=0), at.max(initial=0))) + 1
    bids = len(m.ties.bid)
    a = np.lexsort((m.ties.bid[bid], period, size))
    b = np.lexsort((m.ties.lot[lot], m.ask[lot], at, m.sizes.of_lot[lot]))
    i, j, met = overlay(
        (size * width + period)[a], blocks[a], (m.sizes.of_lot[lot] * width + at)[b], given[b]
    )
    who, of_lot, when = bid[a][i], lot[b][j], period[a][i]
    devices = np.rint(met).astype(np.int64) * m.block[of_lot]
    distinct, back = np.unique((of_lot * bids + who) * width + when, return_inverse=True)
    total = np.bincount(back.ravel(), devices, minlength=len(distinct)).astype(np.int64)
    return distinct // width // bids, distinct // width % bids, distinct % width, total
