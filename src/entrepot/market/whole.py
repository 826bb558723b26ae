"""How are lots placed that are let for their whole window, or not at all?

Every block of such a lot has a taker in every period of its window in which it has a price; where the price is 0 it may
lie idle, since nobody gains or loses by that. A taker may be a bid for which this one block is worth less than it pays,
as long as its blocks of that period together are worth what it pays for them.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.placing import NOISE, ROUNDING, Board, Market, Targets
from entrepot.market.pool import WHOLE

__all__ = ["place_whole"]

I64: TypeAlias = NDArray[np.int64]


def place_whole(m: Market, board: Board, targets: Targets) -> I64:
    """Place every block of whole-window lots in every period of its window in which it has a price.

    A lot whose blocks cannot all be placed without a loss to some bid offers fewer blocks, over its whole window.

    Returns
    -------
    (lots,) blocks of each whole-window lot that are sold
    """
    blocks = m.whole_start()
    for s in np.flatnonzero(m.sizes.mode == WHOLE):
        lots = np.flatnonzero(m.sizes.of_lot == s)
        mine = targets.only(targets.size == s)
        while True:
            must = (blocks[lots][:, None] * (m.pooled.usable[lots] > 0)).sum(axis=0)  # (periods,)
            trial = Board(board.left.copy(), board.gain.copy(), [])
            short = _place_size(m, trial, int(s), must, mine)
            if not short.any():
                board.left[:], board.gain[:] = trial.left, trial.gain
                board.rows += trial.rows
                break
            _offer_less(m, blocks, lots, int(short.argmax()), int(short.max()))
    return blocks


def _offer_less(m: Market, blocks: I64, lots: I64, t: int, fewer: int) -> None:
    """Take blocks back from the dearest lots that cover the period."""
    covering = lots[(m.pooled.usable[lots, t] > 0) & (blocks[lots] > 0)]
    for lot in covering[np.lexsort((m.ties.lot[covering], -m.ask[covering]))]:
        less = min(fewer, int(blocks[lot]))
        blocks[lot] -= less
        fewer -= less
        if not fewer:
            return


def _place_size(m: Market, board: Board, s: int, must: I64, mine: Targets) -> I64:
    """Place ``must[t]`` blocks of one size in each period; return (periods,) blocks that no bid could take."""
    short = np.zeros(len(must), dtype=np.int64)
    block = int(m.sizes.block[s])
    limit = m.limit
    floors = np.floor(mine.devices / block + NOISE).astype(np.int64)
    reach = m.rate(np.arange(len(limit)), np.array([s]))[:, 0] * block  # (bids,) Mtok per hour of one block
    able = np.flatnonzero(reach > 0)
    for t in np.flatnonzero(must):
        pays = float(m.price(np.array([s]), int(t))[0]) * block
        given = np.zeros(len(reach), dtype=np.int64)
        np.add.at(given, mine.bid[mine.period == t], floors[mine.period == t])
        # blocks of another size may have done some of the work already: no more blocks than there is work for
        useful = np.divide(board.left[:, t], reach, out=np.zeros(len(reach)), where=reach > 0)
        given = np.minimum(given, np.floor(useful + NOISE).astype(np.int64))
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
            fits = gain[able] + more >= -ROUNDING * block
            if not fits.any():
                short[t] = must[t] - given.sum()
                break
            best = able[np.flatnonzero(fits & (more == more[fits].max()))]
            b = best[np.argmin(m.ties.bid[best])]
            gain[b] += min(reach[b], left[b]) * limit[b] - pays
            left[b] = max(0.0, left[b] - reach[b])
            given[b] += 1
        board.left[:, t], board.gain[:, t] = left, gain
        who = np.flatnonzero(given)
        board.rows.append((who, np.full(len(who), s), np.full(len(who), t), given[who]))
    return short
