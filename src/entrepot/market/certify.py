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
import polars as pl
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


_LOT = (
    "lot", "seller", "accelerator", "site", "kind", "provenance", "block", "ask_micro", "residual_micro", "whole",
    "slice", "min_fill", "group", "waits_for",
)  # fmt: skip
_BID = ("bid", "buyer", "service", "limit_micro", "term", "one_pool", "group")


def salts(seed: str, orders: Sequence[str]) -> list[bytes]:
    """Return one salt per order: SHA-256 of the seed that was committed before the gate and the order's id."""
    head = seed.encode() + b"\x00"
    sha = hashlib.sha256
    return [sha(head + order.encode()).digest() for order in orders]


def orders_root(book: Book) -> str:
    """Return the root of the hash tree over all orders, lots before bids, in the book's order."""
    extra = [book.bids["min_share"].to_numpy(), book.bids["total_mtok"].to_numpy(), book.demand]
    extra += [] if book.factor is None else [book.factor]
    sha = hashlib.sha256
    level = [
        sha(b"\x00" + salt + line.encode() + b"\x1f" + row).digest()
        for order, table, names, array in (
            ("lot", book.lots, _LOT, book.capacity.astype("<i8")),
            ("bid", book.bids, _BID, np.column_stack(extra).astype("<f8")),
        )
        for salt, line, row in zip(
            salts(book.seed, table[order].to_list()),
            table.select(pl.concat_str([pl.lit(order), *names], separator="\x1f")).to_series().to_list(),
            _rows(array),
            strict=True,
        )
    ]
    while len(level) > 1:
        pairs = [sha(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0].hex() if level else sha(b"").hexdigest()


def _rows(array: NDArray[np.generic]) -> list[bytes]:
    """Return the bytes of each row."""
    width = array.itemsize * array.shape[1]
    flat = np.ascontiguousarray(array).tobytes()
    return [flat[at : at + width] for at in range(0, width * len(array), max(1, width))]
