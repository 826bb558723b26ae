"""Which bids may share a group in the divisible market? Those of one class, of one wish, and of demand of one shape."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import Goods, rows_id
from entrepot.market.records import Book
from entrepot.market.sale.margins import for_sale, rates_on

__all__ = ["ALONE", "apart", "by_class"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

ALONE = 240  # bids that may buy, up to which each stands alone
_SHAPES = 4  # shapes of demand that are told apart in a class, in a market of more bids than that


def _may_buy(book: Book, goods: Goods) -> NDArray[np.bool_]:
    may = np.zeros(book.bids.height, dtype=np.bool_)
    for q in for_sale(goods):
        may |= rates_on(book, goods, q) > 0
    return may


def by_class(book: Book) -> I64:
    """Return (bids,) groups of a market too large for finer ones: of each class those for a total, and the others."""
    total = book.bids["total_mtok"].is_finite().to_numpy()
    return np.where(total, 2, 1).astype(np.int64)


def apart(book: Book, goods: Goods) -> I64 | None:
    """Return (bids,) numbers of the groups, or None where all stand alone."""
    if _alone(book, goods):
        return None
    total = book.bids["total_mtok"].is_finite().to_numpy().astype(np.int64)
    may = _may_buy(book, goods).astype(np.int64)
    shape, _ = rows_id(book.bid_class, total, may, _shapes(book))
    return shape + 1


def _alone(book: Book, goods: Goods) -> bool:
    own = _may_buy(book, goods) | book.bids["total_mtok"].is_finite().to_numpy() | (book.factor is not None)
    return int(own.sum()) <= ALONE


def _shapes(book: Book) -> I64:
    """Return (bids,) when in the horizon the demand is: its centre on the circle of a day, and whether it is there at all hours."""
    demand, hour = book.demand * book.hours, book.periods["hour"].to_numpy()
    angle = np.angle(demand @ np.exp(2j * np.pi * hour / 24.0))
    part = np.floor((angle + np.pi) / (2 * np.pi) * _SHAPES).astype(np.int64) % _SHAPES
    window = np.where(demand > 0, np.arange(demand.shape[1]), demand.shape[1]).min(
        axis=1, initial=demand.shape[1]
    )
    late = np.floor(4 * window / max(1, demand.shape[1])).astype(np.int64)
    shape: I64 = part + _SHAPES * late
    return shape
