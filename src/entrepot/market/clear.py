"""Who gets what, at which prices? The path from the order book to the clearing, on one page."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market import outcome as tables
from entrepot.market.certify import bound
from entrepot.market.fee import fees
from entrepot.market.found import Found
from entrepot.market.goods import FLEXIBLE, SALE, WHOLE, Goods, goods
from entrepot.market.lease import solve_lease
from entrepot.market.orders_tree import root
from entrepot.market.placing import Ties
from entrepot.market.pool import Pooled, pool
from entrepot.market.price import Prices, middle, publish
from entrepot.market.records import Book, Certificate, Clearing
from entrepot.market.rejected import rejected
from entrepot.market.sale import clear_sale
from entrepot.market.sale.groups import ALONE
from entrepot.market.sale.margins import work_prices
from entrepot.market.solve import Solved, solve
from entrepot.market.split import Placed, split
from entrepot.market.spot import clear_spot
from entrepot.market.watch import Progress, Watch

__all__ = ["clear"]


def clear(
    book: Book,
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
    start: Clearing | None = None,
) -> Clearing:
    """Find the allocation of greatest welfare, and the prices that prove it.

    Parameters
    ----------
    book : orders, rates and permits
    seconds : after which stages that only make a result better stop
    progress : told the stage, the welfare and the bound so far
    start : an earlier clearing of nearly the same orders: its prices are where the search begins

    Returns
    -------
    Clearing : nobody loses at its prices; its certificate bounds what any other allocation could be worth. Check it with
        `entrepot.market.verify`, which shares nothing with this

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    watch = Watch(seconds, progress)
    began = time.perf_counter()
    of_book = goods(book)
    found = (
        _coupled(book, of_book, watch)
        if _ties(book, of_book)
        else clear_spot(book, of_book, watch, _near(of_book, start))
    )
    took = time.perf_counter() - began

    out = tables.outcome(book, of_book, found.placed, found.committed)
    if (
        tables.welfare(book, found.placed, out) < 0
    ):  # idle nodes and least quantities cost more than the work is worth
        none = np.zeros(0, dtype=np.int64)
        found = replace(found, placed=Placed(none, none, none, none), committed=None)
        out = tables.outcome(book, of_book, found.placed)
    welfare = round(tables.welfare(book, found.placed, out))
    most = max(welfare, math.ceil(bound(book, of_book, found.prices, found.work)))
    watch.tell("found", welfare, most)
    prices = tables.price_table(book, of_book, found.prices, out.let)
    certificate = Certificate(
        lease_price_micro=prices.filter(pl.col("period").is_not_null()).select(
            "pool", "period", "price_micro"
        ),
        sale_price_micro=prices.filter(pl.col("period").is_null()).select("pool", "price_micro"),
        work_price_micro=found.work,
        welfare_micro=welfare,
        bound_micro=most,
        gap=(most - welfare) / most if most else 0.0,
        orders_root=root(book),
        searched_bound_micro=None if found.searched_bound is None else math.ceil(found.searched_bound),
    )
    trades = tables.trades(book, of_book, found.prices, found.placed)
    made_whole = tables.make_whole(book, of_book, found.prices, out, found.placed)
    return Clearing(
        book=book,
        pools=of_book.pools,
        lot_pool=pl.DataFrame(
            {
                "lot": book.lots["lot"],
                "pool": of_book.lot_pool,
                "committed": out.let.max(axis=1, initial=0).astype(np.int64),
            }
        ),
        prices=prices,
        allocation=tables.allocation(book, found.placed),
        work=tables.work(book, out.served),
        trades=trades,
        rejected=rejected(book, of_book, found.prices, out, found.work),
        certificate=certificate,
        solve_seconds=took,
        make_whole=made_whole,
        fees=fees(book, of_book, out, trades, made_whole),
    )


def _ties(book: Book, of_book: Goods) -> bool:
    """Say whether any order ties periods together."""
    constant = (of_book.lot_mode != FLEXIBLE) & (of_book.usable > 0).any(axis=1)
    bids = book.bids
    grouped = bool((bids["group"] != "").any() or (book.lots["group"] != "").any())
    long = bool(bids["term"].any() or bids["total_mtok"].is_finite().any())
    return bool(constant.any()) or long or (grouped and book.periods.height > 1)


def _near(of_book: Goods, start: Clearing | None) -> NDArray[np.float64] | None:
    """Return (pools, periods) the lease prices of an earlier clearing, where it has the same pools."""
    if start is None or start.pools["label"].to_list() != of_book.pools["label"].to_list():
        return None
    price: NDArray[np.float64] = np.zeros(of_book.offered.shape, dtype=np.float64)
    periods = of_book.offered.shape[1]
    table = start.certificate.lease_price_micro.filter(pl.col("period") < periods)
    price[table["pool"].to_numpy(), table["period"].to_numpy()] = table["price_micro"].to_numpy()
    return price


_CELLS_MAX = (
    60_000  # (lot, period) entries of whole-window lots up to which one linear program holds them all
)


def _coupled(book: Book, of_book: Goods, watch: Watch) -> Found:
    """Clear a book with orders for a whole window, or for good.

    Terms, totals and markets of many whole-window lots have prices of their own method (see `entrepot.market.lease`), and so have
    sales under rules or beside those (`entrepot.market.sale`); what else ties periods is one linear program over all that it ties.
    """
    bids, lots = book.bids, book.lots
    long = bool(bids["term"].any() or bids["total_mtok"].is_finite().any())
    ruled = bool(
        (bids["group"] != "").any()
        or (lots["group"] != "").any()
        or (lots["min_fill"] > 0).any()
        or (bids["min_share"] > 0).any()
        or bids["one_pool"].any()
    )
    many = int((of_book.usable[of_book.lot_mode == WHOLE] > 0).sum()) > _CELLS_MAX
    sells = bool((of_book.usable[of_book.lot_mode == SALE] > 0).any())
    ranks = (
        _rank(book.seed, book.lots["lot"].to_list()),
        _rank(book.seed, book.bids["bid"].to_list()),
    )
    if sells and (long or ruled or many or book.factor is not None or book.bids.height > ALONE):
        return clear_sale(book, of_book, watch, Ties(*ranks), _leases)
    if long or ruled or many or book.factor is not None:
        return solve_lease(book, of_book, watch)
    pooled = pool(book, of_book)
    solved = solve(pooled, book.hours)
    prices, work = _fair(pooled, solved, book)
    return Found(prices, split(book, pooled, solved, prices, Ties(*ranks)), work)


def _leases(book: Book, of_book: Goods, watch: Watch) -> Found:
    """Clear a book in which nothing is sold for good."""
    return _coupled(book, of_book, watch) if _ties(book, of_book) else clear_spot(book, of_book, watch)


def _fair(pooled: Pooled, solved: Solved, book: Book) -> tuple[Prices, pl.DataFrame]:
    """Return prices in the middle of what is valid, if they prove as much as the solver's own."""
    own, fair = publish(pooled, solved), publish(pooled, solved, middle(pooled, solved))
    of_own, of_fair = _work_prices(book, pooled, own), _work_prices(book, pooled, fair)
    least = bound(book, pooled, own, of_own)
    if bound(book, pooled, fair, of_fair) <= least + 1e-7 * abs(least):
        return fair, of_fair
    return own, of_own


def _rank(seed: str, orders: list[str]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the place of each order in the order of its hash, keyed with the seed: how ties fall."""
    hashes = [hashlib.sha256(f"{seed}\0{order}".encode()).digest() for order in orders]
    rank = np.empty(len(hashes), dtype=np.int64)
    rank[sorted(range(len(hashes)), key=hashes.__getitem__)] = np.arange(len(hashes))
    return rank


def _work_prices(book: Book, pooled: Pooled, prices: Prices) -> pl.DataFrame:
    """Return the marginal value of demand of bids that may buy devices; for the others it follows from lease prices."""
    return work_prices(book, pooled, prices.lease, prices.sale)
