"""Which prices are published? Duals where they are unique, else the middle of the valid prices; whole micro-units.

Where nothing pins the price of a good (every seller in it earns, every buyer in it gains), many prices support the same
allocation. A solver returns one end of them, and so favours one side. Pools that share buyers must keep the ratios of
their prices, so each set of pools joined by the flows of one period moves as one, by a factor s on all its prices:

    lower end: the dearest ask accepted, the best bid rejected, the best outside bid for one of its pools
    upper end: the cheapest ask rejected, the least bid accepted, the cheapest outside pool for one of its bids

and the middle of s is taken. A good in which nothing is traded is priced at its cheapest ask: the upper end of what is
valid, and the price at which there is in fact a seller. Every such price is optimal for the dual, so the bound stays what
it was. Prices that a whole-window lot or a purchase ties together over periods stay as the solver gave them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.joined import joined
from entrepot.market.pool import FLEXIBLE, WHOLE, Pooled
from entrepot.market.solve import Solved

__all__ = ["Prices", "middle", "publish"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_TOUCHED = 1e-7  # share of a quantity below which it counts as none


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices in whole micro-units.

    Attributes
    ----------
    lease : (pools, periods) per device-hour; 0 where the pool offers nothing, and for sale pools
    sale : (pools,) per device; 0 for lease pools
    work : (groups, periods) marginal value of one Mtok of demand, for groups that may buy devices; 0 for the others
    """

    lease: I64
    sale: I64
    work: I64


def publish(pooled: Pooled, solved: Solved, lease: F64 | None = None) -> Prices:
    """Round prices to whole micro-units, so that an order exactly at the margin stays there.

    Parameters
    ----------
    lease : (pools, periods) lease prices to publish instead of the solver's, micro
    """
    n_pools = len(pooled.is_sale)
    lease_price = _snap(pooled, solved.lease_price if lease is None else lease)
    lease_price = np.where((pooled.offered > 0) & ~pooled.is_sale[:, None], lease_price, 0)
    limit = np.zeros(len(pooled.group_rate))
    np.maximum.at(limit, pooled.tier_group, pooled.tier_limit.astype(np.float64))
    worth = np.maximum(0.0, limit[:, None] - solved.work_price) * pooled.group_buys[:, None]
    work = np.rint(np.where(pooled.group_demand > 0, worth, 0.0)).astype(np.int64)
    sale = solved.sale_price.copy()
    traded = np.bincount(pooled.step_pool, solved.supply.max(axis=1, initial=0.0), minlength=n_pools) > 0
    untraded = pooled.is_sale & ~traded
    for k in np.flatnonzero(untraded):
        asks = pooled.step_ask[(pooled.step_pool == k) & (pooled.step_capacity > 0).any(axis=1)]
        sale[k] = float(asks.min()) if len(asks) else 0.0
    sale_price = _snap(pooled, sale.reshape(n_pools, 1))[:, 0] * pooled.is_sale
    return Prices(lease_price, sale_price, work)


def _snap(pooled: Pooled, price: F64) -> I64:
    """Round to whole micro-units; a price within solver noise of an ask of its pool is that ask."""
    rounded = np.rint(price).astype(np.int64)
    order = np.lexsort((pooled.step_ask, pooled.step_pool))
    asks, begin = pooled.step_ask[order], np.searchsorted(pooled.step_pool[order], np.arange(len(price) + 1))
    for k in range(len(price)):
        of_pool = asks[begin[k] : begin[k + 1]]
        if not len(of_pool):
            continue
        at = np.clip(np.searchsorted(of_pool, price[k]), 1, max(1, len(of_pool) - 1))
        below, above = of_pool[at - 1], of_pool[np.minimum(at, len(of_pool) - 1)]
        nearest = np.where(price[k] - below <= above - price[k], below, above)
        close = np.abs(price[k] - nearest) <= np.maximum(1.0, 1e-8 * price[k])
        rounded[k] = np.where(close, nearest, rounded[k])
    return np.maximum(rounded, 0)


def middle(pooled: Pooled, solved: Solved) -> F64:
    """Return (pools, periods) lease prices in the middle of what supports the solution, micro."""
    price = solved.lease_price.copy()
    for t in range(price.shape[1]):
        _middle_of_period(pooled, solved, price, t)
    return price


def _middle_of_period(pooled: Pooled, solved: Solved, price: F64, t: int) -> None:
    """Move the prices of one period in place, one set of joined pools after the other."""
    now = solved.flow_period == t
    flow_group, flow_pool = solved.flow_group[now], solved.flow_pool[now]
    n_groups, n_pools = pooled.group_rate.shape
    live = (pooled.offered[:, t] > 0) & ~pooled.is_sale
    tied_pool = np.zeros(n_pools, dtype=np.bool_)
    tied_pool[pooled.step_pool[(pooled.step_mode == WHOLE) & (pooled.step_capacity[:, t] > 0)]] = True

    ask_in, ask_out = _asks(pooled, solved, t)
    served_in, unserved = _limits(pooled, solved, t, n_groups)
    # What a group would pay for one Mtok elsewhere: its work price where it is served, else its best limit.
    flowing = np.zeros(n_groups, dtype=np.bool_)
    flowing[flow_group] = True
    work = np.where(flowing, solved.work_price[:, t], unserved)
    for member_pool, member_group in joined(flow_group, flow_pool, n_groups, n_pools):
        if tied_pool[member_pool].any() or pooled.group_buys[member_group].any():
            continue
        inside, cost = price[member_pool, t], work[member_group]
        if inside.min() <= 0 or cost.min() <= 0:
            continue
        to_pools = (
            pooled.group_rate[:, member_pool] * work[:, None]
        )  # (groups, member pools) what each would pay
        to_pools[member_group] = 0.0
        low = max((ask_in[member_pool] / inside).max(), (unserved[member_group] / cost).max(),
                  (to_pools / inside).max())  # fmt: skip
        rate = pooled.group_rate[member_group] * (live & ~np.isin(np.arange(n_pools), member_pool))
        outside = np.divide(price[:, t], rate, out=np.full(rate.shape, np.inf), where=rate > 0).min(axis=1)
        high = min((ask_out[member_pool] / inside).min(), (served_in[member_group] / cost).min(),
                   (outside / cost).min())  # fmt: skip
        if np.isfinite(high) and low <= 1 + 1e-9 and high >= 1 - 1e-9 and high - low > 1e-9:
            price[member_pool, t] *= (low + high) / 2
            work[member_group] *= (low + high) / 2
    used = np.zeros(n_pools, dtype=np.bool_)
    used[flow_pool] = True
    untraded = live & ~used & ~tied_pool & np.isfinite(ask_out)
    price[untraded, t] = ask_out[untraded]


def _asks(pooled: Pooled, solved: Solved, t: int) -> tuple[F64, F64]:
    """Return (pools,) the dearest ask of which something is taken, and the cheapest of which something is left."""
    flexible = pooled.step_mode == FLEXIBLE
    taken, offered = solved.supply[:, t], pooled.step_capacity[:, t]
    some = flexible & (taken > _TOUCHED * offered) & (offered > 0)
    left = flexible & (taken < (1 - _TOUCHED) * offered)
    highest, lowest = np.zeros(len(pooled.is_sale)), np.full(len(pooled.is_sale), np.inf)
    np.maximum.at(highest, pooled.step_pool[some], pooled.step_ask[some])
    np.minimum.at(lowest, pooled.step_pool[left], pooled.step_ask[left])
    return highest, lowest


def _limits(pooled: Pooled, solved: Solved, t: int, n_groups: int) -> tuple[F64, F64]:
    """Return (groups,) the least limit that is served, and the highest of which something is not."""
    demand, served = pooled.tier_demand[:, t], solved.served[:, t]
    some = (served > _TOUCHED * demand) & (demand > 0)
    left = served < (1 - _TOUCHED) * demand
    lowest, highest = np.full(n_groups, np.inf), np.zeros(n_groups)
    np.minimum.at(lowest, pooled.tier_group[some], pooled.tier_limit[some])
    np.maximum.at(highest, pooled.tier_group[left], pooled.tier_limit[left])
    return lowest, highest
