"""Which prices of a period are published? The middle of what is valid, in whole micro-units.

Where nothing pins the price of a good, many prices support the same allocation, and a solver returns one end of them.
Pools that share buyers must keep the ratios of their prices, so each set of pools joined by flows moves as one, by a
factor on all its prices:

    lower end: the dearest ask accepted, the best bid rejected, the best outside bid for one of its pools
    upper end: the cheapest ask rejected, the least bid accepted, the cheapest outside pool for one of its bids

and the middle is taken. A good in which nothing is traded is priced at its cheapest ask. Every such price is optimal for
the dual, so the bound stays what it was.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.joined import joined
from entrepot.market.spot.period import Period
from entrepot.market.spot.prices import Optimum

__all__ = ["middle", "snap"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_TOUCHED = 1e-7  # share of a quantity below which it counts as none


def snap(p: Period, price: F64) -> I64:
    """Round to whole micro-units; a price within solver noise of an ask of its pool is that ask; 0 where none is offered."""
    order = np.lexsort((p.ask, p.pool))
    ask, begin = p.ask[order], np.searchsorted(p.pool[order], np.arange(p.pools + 1))
    rounded = np.rint(price)
    span = float(ask.max(initial=0.0)) + float(price.max(initial=0.0)) + 1.0
    key = p.pool[order] * span + ask  # increasing over all pools
    at = np.searchsorted(key, np.arange(p.pools) * span + price)
    for near in (at - 1, at):
        inside = (near >= begin[:-1]) & (near < begin[1:])
        nearest = ask[np.clip(near, 0, max(0, len(ask) - 1))] if len(ask) else np.zeros(p.pools)
        close = inside & (np.abs(price - nearest) <= np.maximum(1.0, 1e-8 * price))
        rounded = np.where(close, nearest, rounded)
    return np.where(begin[1:] > begin[:-1], np.maximum(rounded, 0), 0).astype(np.int64)


def middle(p: Period, o: Optimum) -> F64:
    """Return (pools,) prices in the middle of what supports the optimum."""
    price = o.price.copy()
    kinds, pools = p.rate.shape
    live = np.bincount(p.pool, minlength=pools) > 0
    taken = o.supplied
    some, left = taken > _TOUCHED, taken < 1 - _TOUCHED
    ask_in, ask_out = np.zeros(pools), np.full(pools, np.inf)
    np.maximum.at(ask_in, p.pool[some], p.ask[some])
    np.minimum.at(ask_out, p.pool[left], p.ask[left])
    some, left = o.served > _TOUCHED, o.served < 1 - _TOUCHED
    served_in, unserved = np.full(kinds, np.inf), np.zeros(kinds)
    np.minimum.at(served_in, p.kind[some], p.limit[some])
    np.maximum.at(unserved, p.kind[left], p.limit[left])
    flowing = np.zeros(kinds, dtype=np.bool_)
    flowing[o.flow_kind] = True
    # what a kind would pay for one Mtok elsewhere: its work price where it is served, else its best limit
    work = np.where(flowing, o.work, unserved)
    for member_pool, member_kind in joined(o.flow_kind, o.flow_pool, kinds, pools):
        inside, cost = price[member_pool], work[member_kind]
        if inside.min() <= 0 or cost.min() <= 0:
            continue
        to_pools = p.rate[:, member_pool] * work[:, None]  # (kinds, member pools) what each would pay
        to_pools[member_kind] = 0.0
        low = max(
            (ask_in[member_pool] / inside).max(),
            (unserved[member_kind] / cost).max(),
            (to_pools / inside).max(initial=0.0),
        )
        others = live.copy()
        others[member_pool] = False
        rate = p.rate[member_kind] * others
        outside = np.divide(price, rate, out=np.full(rate.shape, np.inf), where=rate > 0).min(axis=1)
        high = min(
            (ask_out[member_pool] / inside).min(),
            (served_in[member_kind] / cost).min(),
            (outside / cost).min(),
        )
        if np.isfinite(high) and low <= 1 + 1e-9 and high >= 1 - 1e-9 and high - low > 1e-9:
            price[member_pool] *= (low + high) / 2
            work[member_kind] *= (low + high) / 2
    untraded = live & np.isfinite(ask_out)
    untraded[o.flow_pool] = False
    price[untraded] = ask_out[untraded]
    return price
