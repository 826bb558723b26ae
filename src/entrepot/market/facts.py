"""What does a published clearing say, order by order? Tables read into arrays, for checks that are plain arithmetic.

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.checks_windows import of_window
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
    usable : (lots, periods) whole blocks that can be sold; one quantity for constant lots; 0 while a lot waits
    sold : (lots, periods) devices that bids have, a sale in each period of its window
    let : (lots, periods) devices that a lot lets, and bears its ask on: whole blocks, at least its least quantity; of a
        constant lot its one quantity
    quantity : (lots,) the most devices that a lot lets in a period
    made_whole, bid_made_whole : (lots,), (bids,) micro-units that the order gets from the fee
    price : (lots, periods) lease price of the lot's pool; 0 for sale lots
    sale_price : (lots,)
    rate : (rows,) Mtok per device-hour of each row
    done, leased : (bids, periods) Mtok per hour that all its devices, or its leased devices, can do
    served : (bids, periods) at most the demand; devices bought stand idle where they do less than the bid accepts, or
        beside a lease of a bid that wants one pool
    buys : (bids,) wants work by period, and has an edge to a lot for sale
    cost : (bids, periods) least lawful lease cost of a Mtok, micro; inf where there is none
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
    let: I64
    quantity: I64
    made_whole: F64
    bid_made_whole: F64
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
        "lots made whole": (c.make_whole.select("order", "side").n_unique(), c.make_whole.height),
        "orders charged": (c.fees.select("order", "side").n_unique(), c.fees.height),
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
        or (book.lots["slice"] < 1).any()
        or (book.lots["block"] % book.lots["slice"] != 0).any()
        or (book.lots["min_fill"] < 0).any()
        or not book.bids["min_share"].is_between(0, 1).all()
        or not (book.bids["total_mtok"] >= 0).all()
    ):
        return "the book has a block, slice, least quantity, share, capacity or demand that cannot be, or a period without hours"
    if book.factor is not None and (
        book.factor.shape != (book.bids.height, len(book.accelerators)) or not (book.factor > 0).all()
    ):
        return "the private yields are not one number above 0 for each bid and accelerator"
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
    licence = book.lots["waits_for"]
    usable[((licence != "") & ~licence.is_in(list(book.granted))).to_numpy()] = 0
    constant = np.flatnonzero(is_sale | whole)
    inside = book.capacity[constant] > 0
    top = np.iinfo(np.int64).max
    least = np.where(inside, usable[constant], top).min(axis=1, initial=top)
    usable[constant] = np.where(inside, least[:, None], 0)

    lot, bid = rows_of(c.allocation["lot"], book.lots["lot"]), rows_of(c.allocation["bid"], book.bids["bid"])
    period = c.allocation["period"].cast(pl.Int64).fill_null(-1).to_numpy()
    devices = c.allocation["devices"].to_numpy()
    rate = book.rate[book.bid_class[bid], book.lot_class[lot]]
    chip = book.lots["accelerator"].rank("dense").to_numpy().astype(np.int64) - 1
    if book.factor is not None:
        rate = rate * book.factor[bid, chip[lot]]
    lease = period >= 0
    sold = _total(lot[lease], period[lease], devices[lease], (lots, periods)).astype(np.int64)
    leased = _total(bid[lease], period[lease], (devices * rate)[lease], (bids, periods))
    done = leased.copy()
    good = np.flatnonzero(~lease)
    window = book.capacity[lot[good]] > 0
    np.add.at(sold, lot[good], devices[good][:, None] * window)
    np.add.at(done, bid[good], (devices * rate)[good][:, None] * window)
    let = _let(book, usable, sold, constant, c.lot_pool)

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
    cost = _least_cost(book, usable, price, is_sale, chip)
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
        let=let,
        quantity=let.max(axis=1, initial=0),
        made_whole=_made_whole(c, "lot", book.lots["lot"]),
        bid_made_whole=_made_whole(c, "bid", book.bids["bid"]),
        price=price,
        sale_price=np.where(is_sale, of_sale[number], 0),
        rate=rate,
        done=done,
        leased=leased,
        served=_served(book, number, (lot, bid, period, devices * rate), window, leased, done),
        buys=buys[book.bid_class] & ~(book.bids["term"] | book.bids["total_mtok"].is_finite()).to_numpy(),
        cost=cost,
        mu=np.maximum(np.maximum(0.0, published), limit[:, None] - cost),
    )


def _served(
    book: Book, pool: I64, rows: tuple[I64, I64, I64, F64], window: Mask, leased: F64, done: F64
) -> F64:
    """Return (bids, periods) Mtok per hour served, from all rows of the allocation.

    Parameters
    ----------
    pool : (lots,) pool of each lot
    rows : lot, bid, period (-1 for a sale) and Mtok per hour
    window : (sale rows, periods) where what was bought is there
    """
    lot, bid, period, work = rows
    lease, (r, t) = period >= 0, np.nonzero(window)
    good = np.flatnonzero(~lease)[r]
    own = done.copy()
    single = (
        book.bids["one_pool"].to_numpy()
        & ~(book.bids["term"] | book.bids["total_mtok"].is_finite()).to_numpy()
    )
    beside = single[:, None] & (leased > 0)
    own[beside] = leased[beside]
    served = of_window(
        book,
        pool,
        np.concatenate([lot[lease], lot[good]]),
        np.concatenate([bid[lease], bid[good]]),
        np.concatenate([period[lease], t]),
        np.concatenate([work[lease], work[good]]),
        own,
    )
    by_period = ~(book.bids["term"] | book.bids["total_mtok"].is_finite()).to_numpy()[:, None]
    least = book.bids["min_share"].to_numpy()[:, None] * book.demand * (1 - SERVED)
    idle: Mask = by_period & (leased <= 0) & (served < least)
    return np.where(idle, 0.0, served)


def _total(row: I64, column: I64, value: NDArray[np.generic], shape: tuple[int, int]) -> F64:
    """Return a (rows, columns) array of sums."""
    flat = np.bincount(row * shape[1] + column, value, minlength=shape[0] * shape[1])
    total: F64 = flat.astype(np.float64).reshape(shape)
    return total


def _let(book: Book, usable: I64, sold: I64, constant: I64, lot_pool: pl.DataFrame) -> I64:
    """Return (lots, periods) what lots let, given what of them is used."""
    block = book.lots["block"].to_numpy()[:, None]
    let = sold.copy()
    if len(constant):
        stated = rows_of(book.lots["lot"], lot_pool["lot"])
        one = lot_pool["committed"].to_numpy()[stated][constant]
        let[constant] = np.maximum(one, sold[constant].max(axis=1, initial=0))[:, None] * (
            usable[constant] > 0
        )
    least = np.minimum(book.lots["min_fill"].to_numpy()[:, None], usable)
    up = np.maximum(let + (-let) % block, least + (-least) % block)
    return np.where(let > 0, up, 0)


def _made_whole(c: Clearing, side: str, orders: pl.Series) -> F64:
    """Return (orders,) what each order of a side gets from the fee, micro."""
    own = c.make_whole.filter((pl.col("side") == side) & pl.col("order").is_in(orders.implode()))
    amount = np.zeros(len(orders))
    amount[rows_of(own["order"], orders)] = own["amount_minor"].to_numpy()
    return amount * 10.0 ** (6 - c.book.minor_digits)


def _least_cost(book: Book, usable: I64, price: I64, is_sale: Mask, chip: I64) -> F64:
    """Return (bids, periods) the least price of a Mtok over lots that lease in the period."""
    cost = np.full((book.bids.height, usable.shape[1]), np.inf)
    kinds = np.full(book.rate.shape[1], -1, dtype=np.int64)
    kinds[book.lot_class] = chip
    firm = np.where(
        book.bids["one_pool"] & book.bids["total_mtok"].is_infinite(), book.bids["min_share"], 0.0
    )
    for t in range(usable.shape[1]):
        offering = np.flatnonzero((usable[:, t] > 0) & ~is_sale)
        lowest = np.full(book.rate.shape[1], np.inf)
        lowest[book.lot_class[offering]] = price[
            offering, t
        ]  # a class is in one pool, and a pool has one price
        there = (book.rate > 0) & np.isfinite(lowest)
        per_work = np.full(book.rate.shape, np.inf)
        np.divide(np.where(np.isfinite(lowest), lowest, 0.0), book.rate, out=per_work, where=there)
        if book.factor is None:
            cost[:, t] = per_work.min(axis=1, initial=np.inf)[book.bid_class]
        else:
            for j in range(book.factor.shape[1]):
                of_chip = per_work[:, kinds == j].min(axis=1, initial=np.inf)
                np.minimum(cost[:, t], of_chip[book.bid_class] / book.factor[:, j], out=cost[:, t])
        _without_small_pools(
            book, cost[:, t], per_work, usable[:, t] * ~is_sale, kinds, firm * book.demand[:, t]
        )
    return cost


def _without_small_pools(book: Book, cost: F64, per_work: F64, usable: I64, kinds: I64, least: F64) -> None:
    """For bids that want one pool or nothing, leave out pools too small for the least that they accept; in place."""
    if not (least > 0).any():
        return
    # a good may be several classes; all of them together are the most that it can give: classes alike in law and rate
    _, good = np.unique(np.vstack([book.rate, kinds]).T, axis=0, return_inverse=True)
    site = (
        book.lots.select(pl.struct("accelerator", "site", "provenance").rank("dense")).to_series().to_numpy()
    )
    where = np.zeros(book.rate.shape[1], dtype=np.int64)
    where[book.lot_class] = site
    _, good = np.unique(np.stack([good.ravel(), where], axis=1), axis=0, return_inverse=True)
    good = good.ravel()
    of_class = np.bincount(book.lot_class, usable, minlength=book.rate.shape[1])
    most = np.bincount(good, of_class)[good]
    reach = np.where(np.isfinite(per_work), book.rate * most, np.inf)
    smallest = reach.min(axis=1, initial=np.inf)[book.bid_class]
    if book.factor is not None:
        smallest = smallest * book.factor.min(axis=1)
    for b in np.flatnonzero((least > 0) & (least > smallest * (1 - 1e-9))):
        c = book.bid_class[b]
        own = np.ones(len(kinds)) if book.factor is None else book.factor[b, np.maximum(kinds, 0)]
        fits = reach[c] * own >= least[b] * (1 - 1e-9)
        cost[b] = (per_work[c] / own)[fits].min(initial=np.inf)
