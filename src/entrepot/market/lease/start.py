"""Where do prices start? At those of one period that stands for all: lots and bids weighted by the length of their windows."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import SALE, Goods, rows_id
from entrepot.market.pool import Pooled
from entrepot.market.records import Book
from entrepot.market.solve import solve

__all__ = ["start"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_FLOOR = 0.05  # of the mean ask of a pool: no price starts below it


def start(book: Book, g: Goods) -> F64:
    """Return (pools, periods) prices to start from, micro per device and period; a sale pool's per device, in each period."""
    hours = book.hours
    total = float(hours.sum())
    ask = book.lots["ask_micro"].to_numpy()
    lease = np.flatnonzero((g.lot_mode != SALE) & (g.usable > 0).any(axis=1))
    weight = (g.usable[lease] @ hours) / total
    pools = len(g.is_sale)
    asked = np.bincount(g.lot_pool[lease], ask[lease] * weight, minlength=pools)
    mean = asked / np.maximum(np.bincount(g.lot_pool[lease], weight, minlength=pools), 1e-300)

    lot_step, of_step = rows_id(g.lot_pool[lease], ask[lease])
    devices = np.bincount(lot_step, weight, minlength=len(of_step))
    limit = book.bids["limit_micro"].to_numpy()
    wanted = np.minimum(book.demand @ hours, book.bids["total_mtok"].to_numpy()) / total
    bid_tier, of_tier = rows_id(book.bid_class, limit)
    work = np.bincount(bid_tier, wanted, minlength=len(of_tier))[:, None].astype(np.float64)
    classes = len(g.class_rate)
    step_pool = g.lot_pool[lease[of_step]]
    group = book.bid_class[of_tier]
    collapsed = Pooled(
        pools=g.pools,
        lot_pool=g.lot_pool,
        lot_mode=np.zeros(len(g.lot_pool), dtype=np.int64),
        usable=np.zeros((len(g.lot_pool), 1), dtype=np.int64),
        is_sale=np.zeros(pools, dtype=np.bool_),
        start=np.zeros(pools, dtype=np.int64),
        residual=np.zeros(pools, dtype=np.int64),
        offered=np.bincount(step_pool, devices, minlength=pools)[:, None],
        class_rate=g.class_rate,
        pool_chip=g.pool_chip,
        lot_step=lot_step,
        bid_group=book.bid_class,
        bid_tier=bid_tier,
        group_rate=g.class_rate,
        group_buys=np.zeros(classes, dtype=np.bool_),
        step_pool=step_pool,
        step_mode=np.zeros(len(of_step), dtype=np.int64),
        step_ask=ask[lease[of_step]],
        step_capacity=devices[:, None],
        tier_group=group,
        tier_limit=limit[of_tier],
        tier_demand=work,
        group_demand=np.bincount(group, work[:, 0], minlength=classes)[:, None].astype(np.float64),
    )
    price = solve(collapsed, np.ones(1)).lease_price
    out = np.maximum(price, _FLOOR * mean[:, None]) * hours
    for k in np.flatnonzero(g.is_sale):
        asks = ask[(g.lot_pool == k) & (g.usable > 0).any(axis=1)]
        out[k] = float(asks.mean()) if len(asks) else 0.0
    positive: F64 = np.maximum(out, 1.0)
    return positive
