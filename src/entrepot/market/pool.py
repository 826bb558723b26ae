"""Which orders are alike? Lots of one good become steps of a supply curve, bids of one group steps of a demand curve.

A **pool** is a good: lots of one accelerator, site, kind and provenance that the same bids may lawfully use at the same
rates (for a sale: with the same delivery and the same residual worth). A **group** is a set of bids that the same pools
serve at the same rates; a bid that may buy devices is a group of its own, because ownership cannot be shared. Lots of a
pool with one ask, and bids of a group with one limit, are one step. The cost of solving grows with the number of kinds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.records import Book

__all__ = ["FLEXIBLE", "SALE", "WHOLE", "Pooled", "pool"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

FLEXIBLE, WHOLE, SALE = 0, 1, 2  # how a lot is sold: period by period, one quantity for its window, for good


@dataclass(frozen=True, slots=True)
class Pooled:
    """The same market on kinds instead of orders, and how to get back.

    Attributes
    ----------
    pools : as in `Clearing.pools`, in pool order
    lot_pool, lot_step, lot_mode : (lots,) pool, supply step, and FLEXIBLE, WHOLE or SALE
    usable : (lots, periods) capacity in whole blocks; for WHOLE and SALE the one quantity in each period of the window
    is_sale, start, residual : (pools,) sale pool; its first period; worth of a device at the end, micro
    offered : (pools, periods) sum of ``usable``
    bid_group, bid_tier : (bids,)
    group_rate : (groups, pools) Mtok per device-hour, 0 where there is no edge
    group_buys : (groups,) may buy devices: a group of one bid
    step_pool, step_mode, step_ask : (steps,) ask in micro
    step_capacity : (steps, periods) devices
    tier_group, tier_limit : (tiers,) limit in micro per Mtok
    tier_demand : (tiers, periods) Mtok per hour
    group_demand : (groups, periods)
    """

    pools: pl.DataFrame
    lot_pool: I64
    lot_step: I64
    lot_mode: I64
    usable: I64
    is_sale: Mask
    start: I64
    residual: I64
    offered: I64
    bid_group: I64
    bid_tier: I64
    group_rate: F64
    group_buys: Mask
    step_pool: I64
    step_mode: I64
    step_ask: I64
    step_capacity: I64
    tier_group: I64
    tier_limit: I64
    tier_demand: F64
    group_demand: F64


def _rows_id(*columns: NDArray[np.generic]) -> tuple[I64, I64]:
    """Find the distinct rows of some equally long columns (1-D or 2-D), in sorted order.

    Returns
    -------
    (rows,) number of each row; (distinct,) first row that has each number
    """
    rows = len(columns[0])
    code = np.zeros(rows, dtype=np.int64)
    first = np.zeros(min(rows, 1), dtype=np.int64)
    for column in columns:
        if column.ndim == 2 and not column.size:
            column = np.zeros(rows, dtype=np.int64)  # noqa: PLW2901
        elif column.ndim == 2:
            packed = np.ascontiguousarray(column)
            column = packed.view(np.dtype((np.void, max(1, packed.dtype.itemsize * packed.shape[1])))).ravel()  # noqa: PLW2901
        _, of_column = np.unique(column, return_inverse=True)
        joined = code * (int(of_column.max(initial=0)) + 1) + of_column
        _, first, code = np.unique(joined, return_index=True, return_inverse=True)
        code = code.astype(np.int64).ravel()
    return code, first.astype(np.int64)


def _usable(book: Book, mode: I64) -> I64:
    """Return (lots, periods) what can be sold: whole blocks, and one quantity where the lot says so."""
    block = book.lots["block"].to_numpy()[:, None]
    usable: I64 = book.capacity // block * block
    constant = mode != FLEXIBLE
    if constant.any():
        inside = book.capacity[constant] > 0
        least = np.where(inside, usable[constant], np.iinfo(np.int64).max).min(
            axis=1, initial=np.iinfo(np.int64).max
        )
        usable[constant] = np.where(inside, least[:, None], 0)
    return usable


def _label(pools: pl.DataFrame) -> pl.DataFrame:
    """Name each pool as briefly as it stays distinct: the chip and site, then provenance, then a number."""
    name = pl.format("{} {} at {}", "accelerator", "kind", "site")
    more = pl.format("{} ({})", "label", "provenance")
    count = pl.format("{} #{}", "label", pl.int_range(1, pl.len() + 1).over("label"))
    for longer in (more, count):
        pools = pools.with_columns(label=name) if "label" not in pools.columns else pools
        pools = pools.with_columns(label=pl.when(pl.len().over("label") > 1).then(longer).otherwise("label"))
    return pools.select("pool", "label", "accelerator", "site", "kind", "provenance", "lots")


def _pools(book: Book, mode: I64, usable: I64) -> tuple[pl.DataFrame, I64, I64]:
    """Return the pools table, (lots,) pool of each lot, (pools,) first lot of each pool."""
    lots, periods = book.lots, book.periods.height
    by_class = np.zeros(book.rate.shape, dtype=np.bool_)
    by_class[book.permits["bid_class"].to_numpy(), book.permits["lot_class"].to_numpy()] = book.permits[
        "permitted"
    ].to_numpy()
    law, _ = _rows_id(
        np.ascontiguousarray(by_class.T).astype(np.uint8), book.rate.T
    )  # lot classes that are one in law and rate
    delivery = np.where(usable > 0, np.arange(periods), periods).min(axis=1, initial=periods)
    sale = mode == SALE
    lot_pool, first = _rows_id(
        lots["accelerator"].rank("dense").to_numpy(),
        lots["site"].rank("dense").to_numpy(),
        sale,
        lots["provenance"].rank("dense").to_numpy(),
        law[book.lot_class],
        np.where(sale, delivery, 0),
        np.where(sale, lots["residual_micro"].to_numpy(), 0),
    )
    table = (
        lots[first]
        .select("accelerator", "site", "kind", "provenance")
        .with_columns(
            pool=pl.int_range(pl.len(), dtype=pl.Int64),
            lots=pl.Series(np.bincount(lot_pool, minlength=len(first)), dtype=pl.Int64),
        )
    )
    return _label(table), lot_pool, first


def pool(book: Book) -> Pooled:
    """Merge lots into pools and steps, bids into groups and tiers.

    Parameters
    ----------
    book : the orders of one clearing

    Returns
    -------
    Pooled : the smaller market with the same optimal welfare and prices: a supply step is the sum of its lots and a
        tier the sum of its bids, so any solution of one is a solution of the other
    """
    lots, bids = book.lots, book.bids
    is_sale_lot = (lots["kind"] == "sale").to_numpy()
    mode = np.where(is_sale_lot, SALE, np.where(lots["whole"].to_numpy(), WHOLE, FLEXIBLE)).astype(np.int64)
    usable = _usable(book, mode)
    pools, lot_pool, first = _pools(book, mode, usable)
    n_pools, periods = pools.height, book.periods.height
    is_sale = is_sale_lot[first]
    start = np.where(usable[first] > 0, np.arange(periods), periods).min(axis=1, initial=periods)
    start = np.where(is_sale, start, 0).astype(np.int64)
    offered = np.zeros((n_pools, periods), dtype=np.int64)
    np.add.at(offered, lot_pool, usable)

    # A step: one pool, one ask; for constant lots also one window. Flexible steps of different windows add up.
    window = ((mode != FLEXIBLE)[:, None] & (usable > 0)).astype(np.uint8)
    lot_step, of_step = _rows_id(lot_pool, mode, lots["ask_micro"].to_numpy(), window)
    step_capacity = np.zeros((len(of_step), periods), dtype=np.int64)
    np.add.at(step_capacity, lot_step, usable)

    class_rate = book.rate[:, book.lot_class[first]]  # (bid classes, pools)
    buys = ((class_rate > 0) & is_sale & (offered.max(axis=1, initial=0) > 0)).any(axis=1)
    like, _ = _rows_id(class_rate)
    # numbered by id: the order of arrival must not reach the solver
    alone = np.where(buys[book.bid_class], bids["bid"].rank("dense").to_numpy(), 0)
    bid_group, of_group = _rows_id(like[book.bid_class], alone)
    bid_tier, of_tier = _rows_id(bid_group, bids["limit_micro"].to_numpy())
    tier_demand = np.zeros((len(of_tier), periods))
    np.add.at(tier_demand, bid_tier, book.demand)
    tier_group = bid_group[of_tier]
    group_demand = np.zeros((len(of_group), periods))
    np.add.at(group_demand, tier_group, tier_demand)
    return Pooled(
        pools=pools,
        lot_pool=lot_pool,
        lot_step=lot_step,
        lot_mode=mode,
        usable=usable,
        is_sale=is_sale,
        start=start,
        residual=lots["residual_micro"].to_numpy()[first] * is_sale,
        offered=offered,
        bid_group=bid_group,
        bid_tier=bid_tier,
        group_rate=class_rate[book.bid_class[of_group]],
        group_buys=buys[book.bid_class[of_group]],
        step_pool=lot_pool[of_step],
        step_mode=mode[of_step],
        step_ask=lots["ask_micro"].to_numpy()[of_step],
        step_capacity=step_capacity,
        tier_group=tier_group,
        tier_limit=bids["limit_micro"].to_numpy()[of_tier],
        tier_demand=tier_demand,
        group_demand=group_demand,
    )
