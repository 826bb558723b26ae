"""Who of the bids by the hour gets what is left? In each period the greatest gain first, slice by slice.

What whole-window lots have committed and no term bid uses costs nobody more; lots by the hour supply the rest where the
price covers their ask.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.overlay import capped

__all__ = ["hand_out"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_ROUNDS = 200


def hand_out(
    wanted: F64,
    limit: F64,
    rate: F64,
    price: F64,
    spare: I64,
    unit: I64,
    rank: I64,
    one_pool: NDArray[np.bool_],
) -> tuple[I64, I64, I64]:
    """Give spare devices of one period to bids.

    Parameters
    ----------
    wanted : (bids,) Mtok per hour
    limit : (bids,) micro per Mtok
    rate : (bids, pools) Mtok per device-hour
    price : (pools,) micro per device-hour
    spare, unit : (pools,) devices, and multiples in which they are given; ``spare`` is lessened
    rank : (bids,) distinct; the smaller wins a tie
    one_pool : (bids,) takes devices of one pool only

    Returns
    -------
    (rows,) bid, pool, devices; nobody pays more than its limit for any of them
    """
    left = wanted.copy()
    bound = np.full(len(left), -1, dtype=np.int64)
    rows: list[tuple[I64, I64, I64]] = []
    for _ in range(_ROUNDS):
        pools = np.flatnonzero(spare >= unit)
        bids = np.flatnonzero(left > 1e-9 * wanted)
        if not len(pools) or not len(bids):
            break
        reach = rate[np.ix_(bids, pools)] * unit[pools]
        more = np.minimum(reach, left[bids, None]) * limit[bids, None] - price[pools] * unit[pools]
        more[(reach <= 0) | (more < 0)] = -np.inf
        tied = one_pool[bids] & (bound[bids] >= 0)
        if tied.any():
            more[tied] = np.where(pools == bound[bids[tied], None], more[tied], -np.inf)
        per_work = more / np.maximum(np.minimum(reach, left[bids, None]), 1e-300)
        best = per_work.argmax(axis=1)
        gain = np.take_along_axis(more, best[:, None], axis=1)[:, 0]
        keep = gain > -np.inf
        if not keep.any():
            break
        bids, best, gain = bids[keep], best[keep], gain[keep]
        one = rate[bids, pools[best]] * unit[pools[best]]
        want = np.maximum(1, np.floor(left[bids] / one * (1 + 1e-12))).astype(np.int64)
        order = np.lexsort((rank[bids], -gain / want, best))
        given = np.zeros(len(bids), dtype=np.int64)
        given[order] = capped(best[order], want[order], spare[pools] // unit[pools])
        got = given > 0
        bids, k, given = bids[got], pools[best[got]], given[got]
        np.subtract.at(spare, k, given * unit[k])
        bound[bids] = k
        left[bids] = np.maximum(0.0, left[bids] - given * unit[k] * rate[bids, k])
        rows.append((bids, k, given * unit[k]))
    if not rows:
        none = np.zeros(0, dtype=np.int64)
        return none, none, none
    bid, pool, devices = (np.concatenate(column) for column in zip(*rows, strict=True))
    return bid, pool, devices
