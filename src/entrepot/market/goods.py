"""What goods are there? Lots that the same bids may lawfully use at the same rates, of one chip at one site, are one pool.

Everything here is found on classes of lots and bids, of which there are few, so that a million orders cost a few passes
over columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.records import Book

__all__ = ["FLEXIBLE", "SALE", "WHOLE", "Goods", "goods", "rows_id"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

FLEXIBLE, WHOLE, SALE = 0, 1, 2  # how a lot is sold: period by period, one quantity for its window, for good


@dataclass(frozen=True, slots=True)
class Goods:
    """The pools of a book, and what each lot and each class of bids has to do with them.

    Attributes
    ----------
    pools : as in `Clearing.pools`, in pool order
    lot_pool, lot_mode : (lots,) pool; FLEXIBLE, WHOLE or SALE
    usable : (lots, periods) capacity in whole blocks; for WHOLE and SALE the one quantity in each period of the window; 0
        for a lot that waits for a licence
    is_sale, start, residual : (pools,) sale pool; its first period; worth of a device at the end, micro
    offered : (pools, periods) sum of ``usable``
    class_rate : (bid classes, pools) Mtok per device-hour, 0 where there is no edge
    pool_chip : (pools,) column of ``Book.factor``
    """

    pools: pl.DataFrame
    lot_pool: I64
    lot_mode: I64
    usable: I64
    is_sale: Mask
    start: I64
    residual: I64
    offered: I64
    class_rate: F64
    pool_chip: I64


def rows_id(*columns: NDArray[np.generic]) -> tuple[I64, I64]:
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
    usable: I64 = book.capacity - book.capacity % block
    usable[book.waiting] = 0
    constant = mode != FLEXIBLE
    if constant.any():
        inside = book.capacity[constant] > 0
        most = np.iinfo(np.int64).max
        least = np.where(inside, usable[constant], most).min(axis=1, initial=most)
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


def goods(book: Book) -> Goods:
    """Find the pools of a book."""
    lots, periods = book.lots, book.periods.height
    sale = (lots["kind"] == "sale").to_numpy()
    mode = np.where(sale, SALE, np.where(lots["whole"].to_numpy(), WHOLE, FLEXIBLE)).astype(np.int64)
    usable = _usable(book, mode)

    # A lease lot's good is that of its class; a sale's depends on its delivery and what the device is worth at the end.
    delivery = np.where(usable > 0, np.arange(periods), periods).min(axis=1, initial=periods)
    residual = lots["residual_micro"].to_numpy()
    variant = book.lot_class.astype(np.int64).copy()
    first = np.full(book.rate.shape[1], -1, dtype=np.int64)
    leased = np.flatnonzero(~sale)
    first[variant[leased][::-1]] = leased[::-1]
    sold = np.flatnonzero(sale)
    if len(sold):
        of_sale, first_sale = rows_id(variant[sold], delivery[sold], residual[sold])
        variant[sold] = len(first) + of_sale
        first = np.concatenate([first, sold[first_sale]])
    there = np.flatnonzero(first >= 0)
    some = lots[first[there]]
    by_class = np.zeros(book.rate.shape, dtype=np.uint8)
    by_class[book.permits["bid_class"].to_numpy(), book.permits["lot_class"].to_numpy()] = book.permits[
        "permitted"
    ].to_numpy()
    law, _ = rows_id(
        np.ascontiguousarray(by_class.T), book.rate.T
    )  # lot classes that are one in law and rate
    for_sale = sale[first[there]]
    of_variant, first_variant = rows_id(
        some["accelerator"].rank("dense").to_numpy(),
        some["site"].rank("dense").to_numpy(),
        for_sale,
        some["provenance"].rank("dense").to_numpy(),
        law[book.lot_class[first[there]]],
        np.where(for_sale, delivery[first[there]], 0),
        np.where(for_sale, residual[first[there]], 0),
    )
    number = np.full(len(first), -1, dtype=np.int64)
    number[there] = of_variant
    lot_pool = number[variant]
    first = first[there][first_variant]  # (pools,) a lot of each
    n_pools = len(first)
    is_sale = sale[first]
    start = np.where(is_sale, delivery[first], 0).astype(np.int64)
    offered = np.zeros((n_pools, periods), dtype=np.int64)
    for t in range(periods):
        offered[:, t] = np.bincount(lot_pool, usable[:, t], minlength=n_pools).astype(np.int64)
    table = (
        lots[first]
        .select("accelerator", "site", "kind", "provenance")
        .with_columns(
            pool=pl.int_range(pl.len(), dtype=pl.Int64),
            lots=pl.Series(np.bincount(lot_pool, minlength=n_pools), dtype=pl.Int64),
        )
    )
    chips = {name: j for j, name in enumerate(book.accelerators)}
    return Goods(
        pools=_label(table),
        lot_pool=lot_pool,
        lot_mode=mode,
        usable=usable,
        is_sale=is_sale,
        start=start,
        residual=residual[first] * is_sale,
        offered=offered,
        class_rate=np.ascontiguousarray(book.rate[:, book.lot_class[first]]),
        pool_chip=np.array([chips[a] for a in table["accelerator"].to_list()], dtype=np.int64),
    )
