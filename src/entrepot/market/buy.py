"""Who buys devices for good, in whole blocks? A device is bought where it saves more than it costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.overlay import overlay
from entrepot.market.placing import NOISE, Board, Market
from entrepot.market.pool import SALE

__all__ = ["Bought", "buy", "buy_more"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bought:
    """Sizes for sale that bids may buy: (buyers,) bid, (kinds,) size, (buyers, kinds) blocks bought, (kinds,) blocks spare."""

    bid: I64
    size: I64
    blocks: I64
    spare: I64


def buy(m: Market, board: Board) -> Bought:
    """Buy what the optimum buys in whole blocks, then blocks that save more than they cost."""
    p = m.pooled
    bids = np.flatnonzero(p.group_buys[p.bid_group])
    sizes = np.flatnonzero(m.sizes.mode == SALE)
    pool, block = m.sizes.pool[sizes], m.sizes.block[sizes]
    open_blocks = m.sale_blocks()
    spare = m.i64_by_size(open_blocks[:, None], open_blocks > 0)[sizes, 0]
    bought = Bought(bids, sizes, np.zeros((len(bids), len(sizes)), dtype=np.int64), spare)
    if not len(bids) or not len(sizes):
        return bought
    supply = m.f64_by_size(m.lot_supply().max(axis=1, initial=0.0)[:, None], open_blocks > 0)[sizes, 0]
    wanted = m.solved.bought[p.bid_group[bids]]  # (buyers, pools)
    b, k = np.nonzero(wanted > 0)
    order = np.lexsort((m.ties.bid[bids[b]], k))
    b, k = b[order], k[order]
    i, s, devices = overlay(k, wanted[b, k], pool, np.minimum(supply, spare * block))
    blocks = np.floor(devices / block[s] + NOISE).astype(np.int64)
    np.add.at(bought.blocks, (b[i], s), blocks)
    np.subtract.at(bought.spare, s, blocks)
    work = (m.rate(bids, sizes) * bought.blocks * block) @ (p.offered[pool] > 0).astype(np.float64)
    board.left[bids] = np.maximum(0.0, board.left[bids] - work)
    # A device saves what the work would cost otherwise: its lease, or going without.
    saves = np.repeat(m.limit[bids][:, None], board.left.shape[1], axis=1)
    for k_lease in np.flatnonzero(~p.is_sale):
        rate = p.group_rate[p.bid_group[bids], k_lease][:, None]
        may = (rate > 0) & (p.offered[k_lease] > 0)
        dear = np.full(saves.shape, np.inf)
        saves = np.minimum(saves, np.divide(m.prices.lease[k_lease], rate, out=dear, where=may))
    _buy_blocks(m, board, bought, saves)
    return bought


def buy_more(m: Market, board: Board, bought: Bought) -> None:
    """Buy blocks for what is still unserved after the leases."""
    _buy_blocks(m, board, bought, np.repeat(m.limit[bought.bid][:, None], board.left.shape[1], axis=1))


def _buy_blocks(m: Market, board: Board, bought: Bought, worth: F64) -> None:
    """Hand out spare blocks one by one, the greatest gain first; ``worth`` is (buyers, periods) micro per Mtok."""
    bids, sizes = bought.bid, bought.size
    if not len(bids) or not len(sizes):
        return
    pool, block = m.sizes.pool[sizes], m.sizes.block[sizes]
    reach = m.rate(bids, sizes) * block  # (buyers, kinds) Mtok per hour of one block
    owned = (m.pooled.offered[pool] > 0) * m.book.hours  # (kinds, periods)
    pays = (m.prices.sale[pool] - m.pooled.residual[pool]) * block  # (kinds,)

    def gains(i: int) -> F64:
        done = np.minimum(reach[i][:, None], board.left[bids[i]])  # (kinds, periods)
        gain: F64 = (done * worth[i] * owned).sum(axis=1) - pays
        return np.where((reach[i] > 0) & (bought.spare > 0), gain, -np.inf)

    gain = np.stack([gains(i) for i in range(len(bids))])
    rank = m.ties.bid[bids]
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
