"""Is this clearing right? Recomputed from the order book and the published result alone.

Nothing here is shared with the code that found the clearing: no solver, no pooling, no rounding. Every check is plain
arithmetic over orders and takes time in proportion to them. A check that fails names the first order at fault.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.records import Book, Clearing

__all__ = [
    "CHECKS",
    "Facts",
    "Verification",
    "best_of_bids",
    "best_of_lots",
    "buyer_surplus",
    "facts",
    "gaining_bids",
    "gaining_lots",
    "leaves",
    "micro_paid",
    "payments_table",
    "round_half_even",
    "surplus_of_lots",
    "verify",
]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_RELATIVE = 2e-9  # of a sum of floating-point products
_MICRO = 1.0  # a price is rounded to whole micro-units: what an order exactly at the margin may miss per device-hour
_SERVED = 1e-9  # share of a demand that counts as served


@dataclass(frozen=True, slots=True)
class Verification:
    """What an independent check of a clearing found.

    Attributes
    ----------
    ok : every check passed
    checks : check str, ok bool, detail str: what was compared, or which order fails first
    welfare_micro, bound_micro, gap : recomputed from the book, the allocation and the prices; 0 where the result is too
        broken to compute them, and for one participant its own surplus and best surplus
    payments : trade str, payment_minor i64: recomputed
    """

    ok: bool
    checks: pl.DataFrame
    welfare_micro: int
    bound_micro: int
    gap: float
    payments: pl.DataFrame


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


def verify(clearing: Clearing) -> Verification:
    """Check every claim of a clearing against its order book.

    Returns
    -------
    Verification : with one row per check, in the order of `CHECKS`. Where the tables do not even fit together, only that
        is reported
    """
    broken = _shape(clearing)
    if broken:
        table = pl.DataFrame([("tables fit together", False, broken)], schema=_COLUMNS, orient="row")
        return Verification(
            ok=False, checks=table, welfare_micro=0, bound_micro=0, gap=0.0, payments=payments_table([], [])
        )
    known = facts(clearing)
    rows = [("tables fit together", True, "every row names a known order, once")]
    for name, check in CHECKS.items():
        fault, said = check(known)
        rows.append((name, fault is None, said if fault is None else fault))
    table = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
    welfare, bound = round(_welfare(known)), _bound(known)
    paid = _paid(known)
    return Verification(
        ok=bool(table["ok"].all()),
        checks=table,
        welfare_micro=welfare,
        bound_micro=round(bound),
        gap=(bound - welfare) / bound if bound else 0.0,
        payments=payments_table(
            clearing.trades["trade"].to_list(), [paid.get(k, 0) for k in _trade_keys(known)]
        ),
    )


_COLUMNS = {"check": pl.String, "ok": pl.Boolean, "detail": pl.String}
_Finding: TypeAlias = tuple[str | None, str]


def payments_table(trade: list[str], minor: list[int]) -> pl.DataFrame:
    """Return payments as a table."""
    return pl.DataFrame(
        {"trade": trade, "payment_minor": minor}, schema={"trade": pl.String, "payment_minor": pl.Int64}
    )


# ── from tables to arrays ────────────────────────────────────────────────────────────────────────────────────────


def _shape(c: Clearing) -> str | None:
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


def _index(names: pl.Series, of: pl.Series) -> I64:
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

    lot, bid = _index(c.allocation["lot"], book.lots["lot"]), _index(c.allocation["bid"], book.bids["bid"])
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
    cost = _least_cost(book, usable, price, is_sale)
    limit = book.bids["limit_micro"].to_numpy().astype(np.float64)
    work = c.certificate.work_price_micro
    published = _at(work, _index(work["bid"], book.bids["bid"]), (bids, periods))
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
        buys=((book.rate > 0) & sale_class).any(axis=1)[book.bid_class],
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


# ── the checks ───────────────────────────────────────────────────────────────────────────────────────────────────


def _leaf(seed: str, order: str, line: str) -> bytes:
    """Return the hash of one order, salted with the seed so that nobody can guess others' orders from the tree."""
    salt = hashlib.sha256(f"{seed}\0{order}".encode()).digest()
    return hashlib.sha256(b"\0" + salt + line.encode()).digest()


def leaves(book: Book) -> list[bytes]:
    """Return the hashes of all orders: lots, then bids, in the book's order."""
    columns = [
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
    ]
    hashes = []
    for row, capacity in zip(book.lots.select(columns).iter_rows(), book.capacity.tolist(), strict=True):
        text = "|".join(["lot", *(str(v) for v in row), ",".join(str(v) for v in capacity)])
        hashes.append(_leaf(book.seed, row[0], text))
    for row, demand in zip(
        book.bids.select("bid", "buyer", "service", "limit_micro").iter_rows(),
        book.demand.tolist(),
        strict=True,
    ):
        text = "|".join(["bid", *(str(v) for v in row), ",".join(repr(v) for v in demand)])
        hashes.append(_leaf(book.seed, row[0], text))
    return hashes


def _check_orders(f: Facts) -> _Finding:
    level = leaves(f.book)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [
            hashlib.sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ] + odd
    root = level[0].hex() if level else hashlib.sha256(b"").hexdigest()
    stated = f.clearing.certificate.orders_root
    return (
        None if root == stated else f"the orders hash to {root}, not to {stated}: an order differs"
    ), f"root {root}"


def _check_rates(f: Facts) -> _Finding:
    law = np.zeros(f.book.rate.shape, dtype=np.bool_)
    permits = f.book.permits
    law[permits["bid_class"].to_numpy(), permits["lot_class"].to_numpy()] = permits["permitted"].to_numpy()
    against = np.argwhere((f.book.rate > 0) & ~law)
    if len(against):
        return f"bid class {against[0][0]} has a rate on lot class {against[0][1]} without a permit", ""
    return None, f"{int((f.book.rate > 0).sum())} edges, each with a permit"


def _check_permits(f: Facts) -> _Finding:
    permits = f.book.permits.select("lot_class", "bid_class", "permitted", "reason")
    pairs = pl.DataFrame(
        {
            "lot_class": f.book.lot_class[f.lot],
            "bid_class": f.book.bid_class[f.bid],
            "row": np.arange(len(f.lot)),
        }
    )
    against = (
        pairs.join(permits, on=["lot_class", "bid_class"], how="left")
        .filter(~pl.col("permitted").fill_null(value=False))
        .sort("row")
    )
    if against.height:
        r = against["row"][0]
        return (
            f"lot {f.lot_name(f.lot[r])} may not serve bid {f.bid_name(f.bid[r])}: {against['reason'][0]}",
            "",
        )
    useless = np.flatnonzero(f.rate <= 0)
    if len(useless):
        r = useless[0]
        return f"bid {f.bid_name(f.bid[r])} cannot or will not use lot {f.lot_name(f.lot[r])}", ""
    return None, f"{len(f.lot)} rows, each with a permit and a rate"


def _pool_keys(f: Facts) -> pl.Series:
    """Return a number for each lot's good, from its own attributes and the columns of law and rate."""
    book = f.book
    law = np.zeros(book.rate.shape, dtype=np.uint8)
    law[book.permits["bid_class"].to_numpy(), book.permits["lot_class"].to_numpy()] = book.permits[
        "permitted"
    ].to_numpy()
    seen: dict[bytes, int] = {}
    of_class = [
        seen.setdefault(law[:, k].tobytes() + book.rate[:, k].tobytes(), len(seen))
        for k in range(law.shape[1])
    ]
    first = np.where(f.usable > 0, np.arange(f.usable.shape[1]), f.usable.shape[1]).min(
        axis=1, initial=f.usable.shape[1]
    )
    keys = book.lots.select("accelerator", "site", "kind", "provenance").with_columns(
        law=pl.Series(np.asarray(of_class, dtype=np.int64)[book.lot_class]),
        delivery=pl.Series(np.where(f.is_sale, first, 0)),
        residual=pl.Series(np.where(f.is_sale, f.residual, 0)),
    )
    return keys.select(pl.struct(pl.all()).rank("dense")).to_series()


def _check_pools(f: Facts) -> _Finding:
    stated = f.clearing.lot_pool.join(f.book.lots.select("lot").with_row_index("row"), on="lot").sort("row")
    both = pl.DataFrame({"mine": _pool_keys(f), "stated": stated["pool"], "lot": stated["lot"]})
    for one, other, say in (("stated", "mine", "stand in one pool but are different goods"),
                            ("mine", "stated", "are one good but stand in different pools")):  # fmt: skip
        mixed = both.filter(pl.col(other).n_unique().over(one) > 1)
        if mixed.height:
            group = mixed.filter(pl.col(one) == mixed[one][0]).unique(other, maintain_order=True)
            return f"lots {group['lot'][0]} and {group['lot'][1]} {say}", ""
    return None, f"{both['stated'].n_unique()} goods"


def _check_prices(f: Facts) -> _Finding:
    certificate, table = f.clearing.certificate, f.clearing.prices
    for prices in (certificate.lease_price_micro, certificate.sale_price_micro, certificate.work_price_micro):
        if (prices["price_micro"] < 0).any() or prices["price_micro"].null_count():
            return (
                f"a price is negative or missing: {prices.filter((pl.col('price_micro') < 0) | pl.col('price_micro').is_null()).row(0)}",
                "",
            )
    of_lease = table.filter(pl.col("period").is_not_null()).select("pool", "period", "price_micro")
    of_sale = table.filter(pl.col("period").is_null()).select("pool", "price_micro")
    for shown, proved in ((of_lease, certificate.lease_price_micro), (of_sale, certificate.sale_price_micro)):
        keys = proved.columns[:-1]
        joined = shown.join(proved, on=keys, how="full", coalesce=True, suffix="_proved")
        apart = joined.filter(pl.col("price_micro").ne_missing(pl.col("price_micro_proved")))
        if apart.height or shown.height != proved.height:
            return (
                f"the price table and the certificate differ, first at pool {apart['pool'][0] if apart.height else '?'}",
                "",
            )
    pool = (
        f.clearing.lot_pool.join(f.book.lots.select("lot").with_row_index("row"), on="lot")
        .sort("row")["pool"]
        .to_numpy()
    )
    offered: dict[tuple[int, int], int] = {}
    i, t = np.nonzero((f.usable > 0) & ~f.is_sale[:, None])
    offered = dict.fromkeys(zip(pool[i].tolist(), t.tolist(), strict=True), 1)
    priced = set(certificate.lease_price_micro.select("pool", "period").iter_rows())
    missing = offered.keys() - priced
    for_sale = set(pool[f.is_sale & (f.usable > 0).any(axis=1)].tolist()) - set(
        certificate.sale_price_micro["pool"].to_list()
    )
    if missing or for_sale:
        return f"no price for pool {min(missing)[0] if missing else min(for_sale)}, which offers devices", ""
    return None, f"{len(priced)} lease and {of_sale.height} sale prices, whole micro-units, none negative"


def _check_kinds(f: Facts) -> _Finding:
    wrong = np.flatnonzero((f.period < 0) != f.is_sale[f.lot])
    if len(wrong):
        return f"lot {f.lot_name(f.lot[wrong[0]])}: a sale has no period, and a lease has one", ""
    return None, "leases by period, sales for good"


def _check_blocks(f: Facts) -> _Finding:
    block = f.book.lots["block"].to_numpy()[f.lot]
    wrong = np.flatnonzero((f.devices <= 0) | (f.devices % block != 0))
    if len(wrong):
        r = wrong[0]
        return (
            f"lot {f.lot_name(f.lot[r])}, bid {f.bid_name(f.bid[r])}: {f.devices[r]} devices in blocks of {block[r]}",
            "",
        )
    return None, "every row is a whole number of node blocks"


def _check_capacity(f: Facts) -> _Finding:
    over = np.argwhere(f.sold > f.book.capacity)
    if len(over):
        i, t = over[0]
        return f"lot {f.lot_name(i)}, period {t}: {f.sold[i, t]} devices of {f.book.capacity[i, t]}", ""
    return None, "no lot gives more than it offers"


def _check_whole(f: Facts) -> _Finding:
    window = f.book.capacity > 0
    short = (f.whole | f.is_sale)[:, None] & window & (f.sold != f.quantity[:, None])
    short &= ~(f.whole[:, None] & (f.price == 0) & (f.sold < f.quantity[:, None]))
    wrong = np.argwhere(short)
    if len(wrong):
        i, t = wrong[0]
        return f"lot {f.lot_name(i)}, period {t}: {f.sold[i, t]} devices, elsewhere {f.quantity[i]}", ""
    return None, "whole-window lots and sales keep one quantity, idle only where the price is 0"


def _check_demand(f: Facts) -> _Finding:
    work = f.clearing.work
    b, t = _index(work["bid"], f.book.bids["bid"]), work["period"].cast(pl.Int64).to_numpy()
    wanted, served = work["demand_mtok_per_h"].to_numpy(), work["served_mtok_per_h"].to_numpy()
    expected, mine = f.book.demand[b, t], f.served[b, t]
    tolerance = _RELATIVE * np.maximum(expected, 1e-300)
    wrong = np.flatnonzero((np.abs(wanted - expected) > tolerance) | ~(np.abs(served - mine) <= tolerance))
    if len(wrong):
        r = wrong[0]
        return (
            f"bid {f.bid_name(b[r])}, period {t[r]}: {served[r]:g} of {wanted[r]:g} stated, {mine[r]:g} of {expected[r]:g} found",
            "",
        )
    if len(b) != int((f.book.demand > 0).sum()) or (expected <= 0).any():
        return "the work table does not have one row for each demand", ""
    return None, "work served is what the devices do, at most the demand"


def _check_balance(f: Facts) -> _Finding:
    pool = (
        f.clearing.lot_pool.join(f.book.lots.select("lot").with_row_index("row"), on="lot")
        .sort("row")["pool"]
        .to_numpy()
    )
    i, t = np.nonzero(f.usable > 0)
    flexible = ~(f.whole | f.is_sale)
    sold = np.where(flexible[:, None], f.sold, f.quantity[:, None])
    frame = pl.DataFrame({"pool": pool[i], "period": np.where(f.is_sale[i], -1, t), "lot": i,
                          "sold": sold[i, t], "usable": f.usable[i, t]})  # fmt: skip
    frame = (
        frame.unique(["pool", "period", "lot"])
        .group_by("pool", "period")
        .agg(pl.col("sold").sum(), pl.col("usable").sum())
    )
    shown = f.clearing.prices.select(
        "pool", pl.col("period").cast(pl.Int64).fill_null(-1), "supplied", "offered"
    )
    joined = frame.join(shown, on=["pool", "period"], how="full", coalesce=True)
    wrong = joined.filter(
        pl.col("sold").ne_missing(pl.col("supplied")) | pl.col("usable").ne_missing(pl.col("offered"))
    ).sort("pool", "period")
    if wrong.height:
        w = wrong.row(0, named=True)
        return (
            f"pool {w['pool']}, period {w['period']}: supplied {w['supplied']} of {w['offered']} stated, {w['sold']} of {w['usable']} found",
            "",
        )
    return None, "devices supplied and offered in each pool add up"


def _check_sellers(f: Facts) -> _Finding:
    flexible = ~(f.whole | f.is_sale)[:, None]
    loses = flexible & (f.sold > 0) & (f.price < f.ask[:, None])
    window = f.book.capacity > 0
    margin = (np.where(window, f.price - f.ask[:, None], 0) * f.book.hours).sum(axis=1)
    room = _MICRO * (window @ f.book.hours)
    total = f.whole & (f.quantity > 0) & (margin < -room - _RELATIVE * f.ask * (window @ f.book.hours))
    sale = f.is_sale & (f.quantity > 0) & (f.sale_price < f.ask)
    wrong = np.flatnonzero(loses.any(axis=1) | total | sale)
    if len(wrong):
        return f"lot {f.lot_name(wrong[0])} is sold below its ask", ""
    return None, "every lot gets at least its ask"


def _check_buyers(f: Facts) -> _Finding:
    surplus, scale, devices = buyer_surplus(f)
    tolerance = _RELATIVE * scale + _MICRO * devices
    hourly = (~f.buys)[:, None] & (surplus < -tolerance)
    over_all = f.buys & (surplus.sum(axis=1) < -tolerance.sum(axis=1))
    wrong = np.flatnonzero(hourly.any(axis=1) | over_all)
    if len(wrong):
        return f"bid {f.bid_name(wrong[0])} pays more than its work is worth to it", ""
    return (
        None,
        "no bid pays more than its limit for the work done (a bid that buys devices: over the horizon)",
    )


def buyer_surplus(f: Facts) -> tuple[F64, F64, F64]:
    """Return (bids, periods) value less price, its scale, and device-hours; a sale counts in its first period."""
    value = f.limit[:, None] * f.served * f.book.hours
    paid, kept, devices = np.zeros(value.shape), np.zeros(value.shape), np.zeros(value.shape)
    lease = f.period >= 0
    t, h = f.period[lease], f.book.hours[f.period[lease]]
    np.add.at(paid, (f.bid[lease], t), f.price[f.lot[lease], t] * f.devices[lease] * h)
    np.add.at(devices, (f.bid[lease], t), f.devices[lease] * h)
    for r in np.flatnonzero(~lease):
        first = int(np.argmax(f.book.capacity[f.lot[r]] > 0))
        paid[f.bid[r], first] += float(f.sale_price[f.lot[r]]) * f.devices[r]
        kept[f.bid[r], first] += float(f.residual[f.lot[r]]) * f.devices[r]
        devices[f.bid[r], first] += f.devices[r]
    return value + kept - paid, value + kept + paid, devices


def micro_paid(f: Facts, rows: I64) -> dict[tuple[int, int], int | Fraction]:
    """Return what each (lot, bid) of the chosen allocation rows comes to, exactly, in micro-units."""
    hours = [int(h) if float(h).is_integer() else Fraction(float(h)) for h in f.book.hours]
    total: dict[tuple[int, int], int | Fraction] = {}
    columns = (f.lot[rows].tolist(), f.bid[rows].tolist(), f.period[rows].tolist(), f.devices[rows].tolist())
    lease_price = f.price[f.lot[rows], np.maximum(f.period[rows], 0)].tolist()
    sale_price = f.sale_price[f.lot[rows]].tolist()
    for i, b, t, n, lease, sale in zip(*columns, lease_price, sale_price, strict=True):
        total[i, b] = total.get((i, b), 0) + (sale * n if t < 0 else lease * n * hours[t])
    return total


def round_half_even(micro: int | Fraction, unit: int) -> int:
    """Return micro-units in whole units of ``unit`` micro, half to even."""
    return round(Fraction(micro) / unit) if micro % unit else int(micro // unit)


def _paid(f: Facts) -> dict[tuple[int, int], int]:
    unit = 10 ** (6 - f.book.minor_digits)
    return {
        pair: round_half_even(micro, unit) for pair, micro in micro_paid(f, np.arange(len(f.lot))).items()
    }


def _trade_keys(f: Facts) -> list[tuple[int, int]]:
    lots, bids = (
        _index(f.clearing.trades["lot"], f.book.lots["lot"]),
        _index(f.clearing.trades["bid"], f.book.bids["bid"]),
    )
    return list(zip(lots.tolist(), bids.tolist(), strict=True))


def _check_payments(f: Facts) -> _Finding:
    trades, keys, paid = f.clearing.trades, _trade_keys(f), _paid(f)
    stated = dict(zip(keys, trades["payment_minor"].to_list(), strict=True))
    for pair in paid.keys() | stated.keys():
        if paid.get(pair) != stated.get(pair):
            return (
                f"lot {f.lot_name(pair[0])}, bid {f.bid_name(pair[1])}: {stated.get(pair)} stated, {paid.get(pair)} due",
                "",
            )
    lots, bids = (
        np.asarray([k[0] for k in keys], dtype=np.int64),
        np.asarray([k[1] for k in keys], dtype=np.int64),
    )
    for column, order in (
        ("seller", lots),
        ("accelerator", lots),
        ("site", lots),
        ("kind", lots),
        ("provenance", lots),
        ("buyer", bids),
    ):
        own = (f.book.bids if column == "buyer" else f.book.lots)[column].gather(order)
        wrong = trades.filter(pl.lit(own.alias("own")) != pl.col(column))
        if wrong.height:
            return f"{wrong['trade'][0]}: {column} is not that of its order", ""
    window = (f.book.capacity > 0) @ f.book.hours
    time = np.where(f.period < 0, window[f.lot], f.book.hours[np.maximum(f.period, 0)])
    frame = pl.DataFrame({"lot": f.lot, "bid": f.bid, "n": f.devices, "dh": f.devices * time})
    mine = frame.group_by("lot", "bid").agg(pl.col("n").max(), pl.col("dh").sum())
    joined = trades.with_columns(l=pl.Series(lots), b=pl.Series(bids)).join(
        mine, left_on=["l", "b"], right_on=["lot", "bid"], how="left"
    )
    wrong = joined.filter(
        (pl.col("devices_max") != pl.col("n")) | ((pl.col("device_hours") - pl.col("dh")).abs() > 0.5)
    )
    if wrong.height:
        return f"{wrong['trade'][0]}: its devices or device-hours are not those of the allocation", ""
    return None, f"{trades.height} trades; {sum(stated.values())} minor units paid, and as much received"


def _welfare(f: Facts) -> float:
    value = (f.limit[:, None] * f.served * f.book.hours).sum()
    window = (f.book.capacity > 0) @ f.book.hours
    flexible = ~(f.whole | f.is_sale)
    asked = (f.ask[flexible, None] * f.sold[flexible] * f.book.hours).sum() + (f.ask * f.quantity * window)[
        f.whole
    ].sum()
    sale = ((f.residual - f.ask) * f.quantity.astype(np.float64))[f.is_sale].sum()
    return float(value - asked + sale)


def best_of_lots(f: Facts) -> F64:
    """Return (lots,) the most that each lot could earn above its ask at the published prices, micro."""
    margin = f.usable * (f.price - f.ask[:, None]) * f.book.hours
    most = f.usable.max(axis=1, initial=0)
    total = np.where(f.is_sale, most * (f.sale_price - f.ask).astype(np.float64), margin.sum(axis=1))
    best: F64 = np.where(f.whole | f.is_sale, np.maximum(0.0, total), np.maximum(0.0, margin).sum(axis=1))
    return best


def best_of_bids(f: Facts) -> F64:
    """Return (bids,) a bound on what each bid could gain at the published prices, micro."""
    best = (f.book.demand * f.mu * f.book.hours).sum(axis=1)
    saved = np.maximum(0.0, f.limit[:, None] - f.mu) * (f.book.demand > 0) * f.book.hours
    most = f.usable.max(axis=1, initial=0)
    # lots for sale of one price, delivery and worth are one good; taken one by one they bound the same and need no pools
    for i in np.flatnonzero(f.is_sale & (most > 0)):
        reach = f.book.rate[f.book.bid_class, f.book.lot_class[i]]
        may = reach > 0
        per_device = f.residual[i] - f.sale_price[i] + reach[may] * (saved[may] @ (f.book.capacity[i] > 0))
        best[may] += most[i] * np.maximum(0.0, per_device)
    return best


def _bound(f: Facts) -> float:
    """Return what no allocation can exceed, at the published prices: weak duality over single orders."""
    return float(best_of_lots(f).sum() + best_of_bids(f).sum())


def surplus_of_lots(f: Facts) -> F64:
    """Return (lots,) what each lot earns above its ask, micro; a whole-window lot bears its ask over its whole window."""
    hourly = (f.price * f.sold * f.book.hours).sum(axis=1)
    window = (f.book.capacity > 0) @ f.book.hours
    asked = np.where(
        f.whole, f.ask * f.quantity * window, (f.ask[:, None] * f.sold * f.book.hours).sum(axis=1)
    )
    surplus: F64 = np.where(f.is_sale, (f.sale_price - f.ask) * f.quantity.astype(np.float64), hourly - asked)
    return surplus


def _check_welfare(f: Facts) -> _Finding:
    mine, stated = _welfare(f), f.clearing.certificate.welfare_micro
    scale = float((f.limit[:, None] * f.served * f.book.hours).sum()) + abs(mine)
    near = abs(mine - stated) <= _RELATIVE * scale + 1
    return (None if near else f"welfare is {mine:.0f}, not {stated}"), f"{mine:.0f} micro-units"


def _check_bound(f: Facts) -> _Finding:
    mine, stated, welfare = _bound(f), f.clearing.certificate.bound_micro, _welfare(f)
    room = _RELATIVE * abs(mine) + 2
    if abs(mine - stated) > room:
        return f"the prices prove a bound of {mine:.0f}, not {stated}", ""
    if welfare > mine + room:
        return f"welfare {welfare:.0f} is above the bound {mine:.0f}, which cannot be", ""
    return None, f"no allocation is worth more than {mine:.0f} micro-units"


def _check_gap(f: Facts) -> _Finding:
    bound, stated = _bound(f), f.clearing.certificate.gap
    mine = (bound - _welfare(f)) / bound if bound else 0.0
    return (None if abs(mine - stated) <= 1e-8 else f"the gap is {mine:.3e}, not {stated:.3e}"), f"{mine:.6%}"


def _check_once(f: Facts) -> _Finding:
    rejected = f.clearing.rejected
    twice = rejected.filter(pl.struct("order", "side").is_duplicated())
    if twice.height:
        return f"{twice['side'][0]} {twice['order'][0]} is rejected twice", ""
    lots_left = (f.book.capacity > f.sold).any(axis=1)
    lots_left |= (f.whole & (f.quantity > 0)) & (f.quantity < f.book.capacity.max(axis=1, initial=0))
    idle = f.whole & (f.quantity > 0)
    lots_left[idle] = ((f.book.capacity > 0) & (f.book.capacity > f.quantity[:, None]))[idle].any(axis=1)
    bids_left = (f.served < f.book.demand * (1 - _SERVED)).any(axis=1)
    sides = (("lot", f.book.lots["lot"], lots_left), ("bid", f.book.bids["bid"], bids_left))
    for side, names, left in sides:
        stated = rejected.filter(pl.col("side") == side)["order"]
        mine = names.filter(pl.Series(left))
        apart = set(stated.to_list()) ^ set(mine.to_list())
        if apart:
            return (
                f"{side} {min(apart)} is {'wholly accepted' if min(apart) in set(stated) else 'not'} but {'' if min(apart) in set(stated) else 'not '}listed as rejected",
                "",
            )
    if rejected.filter(~pl.col("side").is_in(["lot", "bid"])).height:
        return "a rejection is of neither a lot nor a bid", ""
    wrong = rejected.filter(~(pl.col("quantity") > 0) | (pl.col("reason").str.len_chars() == 0))
    if wrong.height:
        return f"{wrong['side'][0]} {wrong['order'][0]} is rejected without a quantity or a reason", ""
    return (
        None,
        f"{f.book.lots.height} lots and {f.book.bids.height} bids: each accepted, partly accepted or rejected",
    )


def _check_in_the_money(f: Facts) -> _Finding:
    lots, bids = gaining_lots(f), gaining_bids(f)
    for side, names, gains in (("lot", f.book.lots["lot"], lots), ("bid", f.book.bids["bid"], bids)):
        stated = set(
            f.clearing.rejected.filter((pl.col("side") == side) & pl.col("in_the_money"))["order"].to_list()
        )
        apart = stated ^ set(names.filter(pl.Series(gains)).to_list())
        if apart:
            word = "is not" if min(apart) in stated else "is"
            return f"{side} {min(apart)} {word} in the money, against what is stated", ""
    return (
        None,
        f"{int(lots.sum())} lots and {int(bids.sum())} bids would gain by one more whole block, and are listed",
    )


def gaining_lots(f: Facts) -> Mask:
    """Return (lots,) which would gain by selling one block more at the published prices."""
    block = f.book.lots["block"].to_numpy()
    flexible = ~(f.whole | f.is_sale)
    hourly = (f.usable - f.sold >= block[:, None]) & (f.price > f.ask[:, None])
    window = f.book.capacity > 0
    spare = f.usable.max(axis=1, initial=0) - f.quantity >= block
    margin = np.where(
        f.whole,
        (np.where(window, f.price - f.ask[:, None], 0) * f.book.hours).sum(axis=1),
        f.sale_price - f.ask,
    )
    gains: Mask = np.where(flexible, hourly.any(axis=1), spare & (margin > 0))
    return gains


def gaining_bids(f: Facts) -> Mask:
    """Return (bids,) which would gain by one block more, leased in a period or bought, at the published prices."""
    book, left = f.book, np.where(f.served < f.book.demand * (1 - _SERVED), f.book.demand - f.served, 0.0)
    gains = np.zeros(book.bids.height, dtype=np.bool_)
    block = book.lots["block"].to_numpy().astype(np.float64)
    flexible = ~(f.whole | f.is_sale)
    for t in range(left.shape[1]):
        candidates = np.flatnonzero((left[:, t] > 0) & (f.limit > f.cost[book.bid_class, t]))
        offering = np.flatnonzero(flexible & (f.usable[:, t] > 0))
        if not len(candidates) or not len(offering):
            continue
        # the smallest block of each class at its price; a class has one price
        least = np.full(book.rate.shape[1], np.inf)
        np.minimum.at(least, book.lot_class[offering], block[offering])
        price = np.zeros(book.rate.shape[1])
        price[book.lot_class[offering]] = f.price[offering, t]
        there = np.flatnonzero(np.isfinite(least))
        for begin in range(0, len(candidates), 4096):
            part = candidates[begin : begin + 4096]
            rate = book.rate[np.ix_(book.bid_class[part], there)]
            gain = (
                f.limit[part, None] * np.minimum(rate * least[there], left[part, t, None])
                - price[there] * least[there]
            )
            gains[part] |= ((gain > _MICRO * least[there]) & (rate > 0)).any(axis=1)
    for b in np.flatnonzero(f.buys & (left > 0).any(axis=1)):
        gains[b] |= _sale_block_gain(f, b, left[b]) > 0
    return gains


def _sale_block_gain(f: Facts, b: int | np.int64, left: F64) -> float:
    """Return what a bid would gain by buying one block more for work left (periods,), beyond the rounding of a price."""
    best = -np.inf
    block = f.book.lots["block"].to_numpy()
    for i in np.flatnonzero(f.is_sale & (f.usable > 0).any(axis=1)):
        rate = f.book.rate[f.book.bid_class[b], f.book.lot_class[i]]
        if rate > 0:
            done = np.minimum(rate * block[i], left) * (f.book.capacity[i] > 0) * f.book.hours
            gain = (
                f.limit[b] * done.sum()
                + float(f.residual[i] - f.sale_price[i]) * block[i]
                - _MICRO * block[i]
            )
            best = max(best, gain)
    return float(best)


CHECKS: dict[str, Callable[[Facts], _Finding]] = {
    "orders are those of the gate": _check_orders,
    "no rate without a permit": _check_rates,
    "permits are respected": _check_permits,
    "pools are goods": _check_pools,
    "prices are uniform": _check_prices,
    "leases and sales": _check_kinds,
    "whole blocks": _check_blocks,
    "capacity": _check_capacity,
    "one quantity over the window": _check_whole,
    "work and demand": _check_demand,
    "balance": _check_balance,
    "no seller loses": _check_sellers,
    "no buyer loses": _check_buyers,
    "payments": _check_payments,
    "welfare": _check_welfare,
    "bound": _check_bound,
    "gap": _check_gap,
    "every order once": _check_once,
    "in-the-money rejections are listed": _check_in_the_money,
}
