"""What proves that no allocation could be worth much more? The dual bound at the published prices, on steps and tiers.

Weak duality, for any prices (see docs/market.md for the proof; `verify` recomputes it on single orders)::

    bound = sum_flexible q h (pi - ask)+  +  sum_whole (q sum_t h (pi - ask))+  +  sum_sale q (P - ask)+
          + sum_bt demand h mu  +  sum_bq q_pool (residual + sum_t h R (limit - mu)+ - P)+
    mu    = max(published, limit - min_k pi_k / R_k, 0)

and the root of a hash tree over the salted orders, so that nobody can change an order after the gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.pool import FLEXIBLE, SALE, WHOLE, Pooled
from entrepot.market.price import Prices
from entrepot.market.records import Book

__all__ = ["bound", "orders_root", "salts"]

F64: TypeAlias = NDArray[np.float64]


def bound(pooled: Pooled, prices: Prices, hours: F64) -> float:
    """Return what no allocation of this market can exceed, micro-units; valid for any non-negative prices."""
    margin = prices.lease[pooled.step_pool] - pooled.step_ask[:, None]
    worth = pooled.step_capacity * margin * hours
    flexible = np.maximum(0.0, worth[pooled.step_mode == FLEXIBLE]).sum()
    whole = np.maximum(0.0, worth[pooled.step_mode == WHOLE].sum(axis=1)).sum()
    most = pooled.step_capacity.max(axis=1, initial=0)
    sold = pooled.step_mode == SALE
    sale = (most[sold] * np.maximum(0.0, prices.sale[pooled.step_pool[sold]] - pooled.step_ask[sold])).sum()

    lease = ~pooled.is_sale
    rate = pooled.group_rate[:, lease]
    cost = np.full(pooled.group_demand.shape, np.inf)
    for t in range(len(hours)):
        usable = rate * (pooled.offered[lease, t] > 0)
        per_work = np.divide(
            prices.lease[lease, t], usable, out=np.full(usable.shape, np.inf), where=usable > 0
        )
        cost[:, t] = per_work.min(axis=1, initial=np.inf)
    limit = pooled.tier_limit[:, None].astype(np.float64)
    mu = np.maximum(np.maximum(0.0, limit - cost[pooled.tier_group]), prices.work[pooled.tier_group])
    work = (pooled.tier_demand * mu * hours).sum()

    buying = pooled.group_buys[pooled.tier_group]
    saved = np.maximum(0.0, limit - mu)[buying] * (pooled.tier_demand[buying] > 0) * hours
    per_device = saved @ (pooled.offered > 0).T * pooled.group_rate[pooled.tier_group[buying]]
    may = (pooled.group_rate[pooled.tier_group[buying]] > 0) & pooled.is_sale
    regret = np.maximum(0.0, pooled.residual + per_device - prices.sale) * pooled.offered.max(
        axis=1, initial=0
    )
    return float(flexible + whole + sale + work + regret[may].sum())


def salts(seed: str, orders: Sequence[str]) -> list[bytes]:
    """Return one salt per order: SHA-256 of the seed that was committed before the gate and the order's id."""
    head = seed.encode() + b"\x00"
    return [hashlib.sha256(head + order.encode()).digest() for order in orders]


def orders_root(book: Book, lot_salts: Sequence[bytes], bid_salts: Sequence[bytes]) -> str:
    """Return the root of the hash tree over all orders, lots before bids, in the book's order."""
    leaves = [
        hashlib.sha256(b"\x00" + salt + line.encode()).digest()
        for salt, line in zip([*lot_salts, *bid_salts], _lines(book), strict=True)
    ]
    while len(leaves) > 1:
        pairs = [
            hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(leaves[::2], leaves[1::2], strict=False)
        ]
        leaves = pairs + ([leaves[-1]] if len(leaves) % 2 else [])
    return leaves[0].hex() if leaves else hashlib.sha256(b"").hexdigest()


def _lines(book: Book) -> list[str]:
    """Return each order as one canonical line of text."""
    lots = [
        "|".join(["lot", *map(str, row), ",".join(map(str, capacity))])
        for row, capacity in zip(
            book.lots.select(
                "lot",
                "seller",
                "accelerator",
                "site",
                "kind",
                "provenance",
                "block",
                "ask_micro",
                "residual_micro",
                "whole",
            ).iter_rows(),
            book.capacity.tolist(),
            strict=True,
        )
    ]
    bids = [
        "|".join(["bid", *map(str, row), ",".join(map(repr, demand))])
        for row, demand in zip(
            book.bids.select("bid", "buyer", "service", "limit_micro").iter_rows(),
            book.demand.tolist(),
            strict=True,
        )
    ]
    return lots + bids
