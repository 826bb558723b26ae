"""What does a published clearing say, order by order? Tables read into arrays, for checks that are plain arithmetic.

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.records import Book, Clearing

__all__ = ["MICRO_ROOM", "RELATIVE", "SERVED", "Facts", "Finding", "facts", "fault_of_shape", "rows_of"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Finding: TypeAlias = tuple[str | None, str]  # what is wrong, if anything; else what was compared

RELATIVE = 2e-9  # of a sum of floating-point products
MICRO_ROOM = 1.0  # a price is rounded to whole micro-units: what an order exactly at the margin may miss per device-hour
SERVED = 1e-9  # share of a demand that counts as served


@dataclass(frozen=True, slots=True)
class Facts:
    """The result as arrays over the book's orders, as published, beside what follows from it.

    Attributes
    ----------
    lot, bid, period, devices : (rows,) allocation; period -1 for a sale
    is_sale, whole : (lots,)
    usable : (lots, periods) whole blocks that can be sold; one quantity for constant lots
    sold : (lots, periods) devices sold, a sale in each period of its window
    quantity : (lots,) the most devices of a lot in a period
    price : (lots, periods) lease price of the lot's pool; 0 for sale lots
    sale_price : (lots,)
    rate : (rows,) Mtok per device-hour of each row
    done, leased : (bids, periods) Mtok per hour that all its devices, or its leased devices, can do
    served : (bids, periods) at most the demand
    buys : (bids,) has an edge to a lot for sale
    cost : (bid classes, periods) least lawful lease cost of a Mtok, micro; inf where there is none
    mu : (bids, periods) marginal value of demand, micro per Mtok: published, and at least limit - cost
    """

    clearing: Clearing
    lot: I64
    bid: I64
    period: I64
    devices: I64
    is_sale: Mask
    whole: Mask
    usable: I64
    sold: I64
    quantity: I64
    price: I64
    sale_price: I64
    rate: F64
    done: F64
    leased: F64
    served: F64
    buys: Mask
    cost: F64
    mu: F64

    @property
    def book(self) -> Book:
        """The orders."""
        return self.clearing.book

    @property
    def limit(self) -> F64:
        """(bids,) micro per Mtok."""
        limit: F64 = self.book.bids["limit_micro"].to_numpy().astype(np.float64)
        return limit

    @property
    def ask(self) -> I64:
        """(lots,) micro."""
        ask: I64 = self.book.lots["ask_micro"].to_numpy()
        return ask

    @property
    def residual(self) -> I64:
        """(lots,) micro per device, of lots for sale."""
        residual: I64 = self.book.lots["residual_micro"].to_numpy()
        return residual

    def lot_name(self, i: int | np.int64) -> str:
        """Return the id of a lot."""
        return str(self.book.lots["lot"][int(i)])

    def bid_name(self, b: int | np.int64) -> str:
        """Return the id of a bid."""
        return str(self.book.bids["bid"][int(b)])


def fault_of_shape(c: Clearing) -> str | None:
    """Return what keeps the tables from being read together, if anything does."""
    book, periods = c.book, c.book.periods.height
    pairs = (len(book.rate) * book.rate.shape[1], book.permits.select("lot_class", "bid_class").n_unique())
    counts = {
        "capacity": (book.capacity.shape, (book.lots.height, periods)),
        "demand": (book.demand.shape, (book.bids.height, periods)),
        "lot ids": (book.lots["lot"].n_unique(), book.lots.height),
        "bid ids": (book.bids["bid"].n_unique(), book.bids.height),
        "permits": (pairs[1], pairs[0]),
        "permit rows": (book.permits.height, pairs[0]),
        "lots with a pool": (c.lot_pool["lot"].n_unique(), book.lots.height),
        "rows of lot_pool": (c.lot_pool.height, book.lots.height),
        "lease prices": (
            c.certificate.lease_price_micro.select("pool", "period").n_unique(),
            c.certificate.lease_price_micro.height,
        ),
        "sale prices": (
            c.certificate.sale_price_micro["pool"].n_unique(),
            c.certificate.sale_price_micro.height,
        ),
        "allocation rows": (c.allocation.select("lot", "bid", "period").n_unique(), c.allocation.height),
        "trades": (c.trades.select("lot", "bid").n_unique(), c.trades.height),
        "work rows": (c.work.select("bid", "period").n_unique(), c.work.height),
    }
    for what, (found, expected) in counts.items():
        if found != expected:
            return f"{what}: {found}, expected {expected}"
    if (
        (book.lots["block"] < 1).any()
        or (book.capacity < 0).any()
        or not (book.demand >= 0).all()
        or not (book.hours > 0).all()
    ):
        return "the book has a block below 1, a negative capacity or demand, or a period without hours"
    if not np.isfinite(book.demand).all() or not np.isfinite(book.rate).all() or (book.rate < 0).any():
        return "the book has a demand or rate that is not a finite number >= 0"
    known = {"lot": book.lots["lot"].implode(), "bid": book.bids["bid"].implode()}
    tables = (("allocation", c.allocation), ("trades", c.trades), ("work", c.work), ("lot_pool", c.lot_pool),
              ("work prices", c.certificate.work_price_micro))  # fmt: skip
    for name, table in tables:
        for column in ("lot", "bid"):
            if column in table.columns:
                strange = table.filter(pl.col(column).is_null() | ~pl.col(column).is_in(known[column]))
                if strange.height:
                    return f"{name}: no {column} is called {strange[column][0]!r}"
        if (
            "period" in table.columns
            and table.filter((pl.col("period") < 0) | (pl.col("period") >= periods)).height
        ):
            return f"{name}: a period outside the horizon"
    return None


def rows_of(names: pl.Series, of: pl.Series) -> I64:
    """Return the row of each name in ``of``."""
    rows = pl.DataFrame({"name": of, "row": np.arange(len(of))})
    return (
        pl.DataFrame({"name": names})
        .join(rows, on="name", how="left", maintain_order="left")["row"]
        .to_numpy()
    )


def _at(table: pl.DataFrame, rows: I64, shape: tuple[int, int]) -> I64:
    """Return a (rows, periods) array of the prices of a table with a period; 0 where it says nothing."""
    full = np.zeros(shape, dtype=np.int64)
    full[rows, table["period"].to_numpy()] = table["price_micro"].to_numpy()
    return full


def facts(c: Clearing) -> Facts:
    """Read a clearing into arrays over the book's orders."""
    book = c.book
    lots, bids, periods = book.lots.height, book.bids.height, book.periods.height
    is_sale = (book.lots["kind"] == "sale").to_numpy()
    whole = book.lots["whole"].to_numpy() & ~is_sale
    block = book.lots["block"].to_numpy()
    usable = book.capacity - book.capacity % block[:, None]
    for i in np.flatnonzero(is_sale | whole):
        window = book.capacity[i] > 0
        usable[i, window] = usable[i, window].min(initial=np.iinfo(np.int64).max) if window.any() else 0

    lot, bid = rows_of(c.allocation["lot"], book.lots["lot"]), rows_of(c.allocation["bid"], book.bids["bid"])
    period = c.allocation["period"].cast(pl.Int64).fill_null(-1).to_numpy()
    devices = c.allocation["devices"].to_numpy()
    rate = book.rate[book.bid_class[bid], book.lot_class[lot]]
    lease = period >= 0
    sold, done, leased = (
        np.zeros((lots, periods), dtype=np.int64),
        np.zeros((bids, periods)),
        np.zeros((bids, periods)),
    )
    np.add.at(sold, (lot[lease], period[lease]), devices[lease])
    np.add.at(leased, (bid[lease], period[lease]), (devices * rate)[lease])
    done += leased
    for r in np.flatnonzero(~lease):
        window = book.capacity[lot[r]] > 0
        sold[lot[r], window] += devices[r]
        done[bid[r], window] += devices[r] * rate[r]

    number = (
        c.lot_pool.join(book.lots.select("lot").with_row_index("row"), on="lot")
        .sort("row")["pool"]
        .to_numpy()
    )
    pools = (
        int(
            max(
                [*number, *c.certificate.lease_price_micro["pool"], *c.certificate.sale_price_micro["pool"]],
                default=-1,
            )
        )
        + 1
    )
    of_pool = _at(
        c.certificate.lease_price_micro, c.certificate.lease_price_micro["pool"].to_numpy(), (pools, periods)
    )
    of_sale = np.zeros(pools, dtype=np.int64)
    of_sale[c.certificate.sale_price_micro["pool"].to_numpy()] = c.certificate.sale_price_micro[
        "price_micro"
    ].to_numpy()
    price = np.where(is_sale[:, None], 0, of_pool[number])

    sale_class = np.zeros(book.rate.shape[1], dtype=np.bool_)
    sale_class[book.lot_class[is_sale & (usable > 0).any(axis=1)]] = True
    buys: Mask = np.asarray(((book.rate > 0) & sale_class).any(axis=1))
    cost = _least_cost(book, usable, price, is_sale)
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    work = c.certificate.work_price_micro
    published = _at(work, rows_of(work["bid"], book.bids["bid"]), (bids, periods))
    return Facts(
        clearing=c,
        lot=lot,
        bid=bid,
        period=period,
        devices=devices,
        is_sale=is_sale,
        whole=whole,
        usable=usable,
        sold=sold,
        quantity=sold.max(axis=1, initial=0),
        price=price,
        sale_price=np.where(is_sale, of_sale[number], 0),
        rate=rate,
        done=done,
        leased=leased,
        served=np.minimum(done, book.demand),
        buys=buys[book.bid_class],
        cost=cost,
        mu=np.maximum(np.maximum(0.0, published), limit[:, None] - cost[book.bid_class]),
    )


def _least_cost(book: Book, usable: I64, price: I64, is_sale: Mask) -> F64:
    """Return (bid classes, periods) the least price of a Mtok over lots that lease in the period."""
    cost = np.full((len(book.rate), usable.shape[1]), np.inf)
    for t in range(usable.shape[1]):
        offering = np.flatnonzero((usable[:, t] > 0) & ~is_sale)
        lowest = np.full(book.rate.shape[1], np.inf)
        np.minimum.at(lowest, book.lot_class[offering], price[offering, t].astype(np.float64))
        there = (book.rate > 0) & np.isfinite(lowest)
        per_work = np.divide(
            np.where(np.isfinite(lowest), lowest, 0.0),
            book.rate,
            out=np.full(book.rate.shape, np.inf),
            where=there,
        )
        cost[:, t] = per_work.min(axis=1, initial=np.inf)
    return cost
