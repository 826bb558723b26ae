"""Who gets what, at which prices? The path from the order book to the clearing, on one page."""

from __future__ import annotations

import math
import time

import numpy as np
import polars as pl

from entrepot.market import outcome
from entrepot.market.certify import bound, orders_root, salts
from entrepot.market.placing import Ties
from entrepot.market.pool import Pooled, pool
from entrepot.market.price import Prices, middle, publish
from entrepot.market.records import Book, Certificate, Clearing
from entrepot.market.rejected import rejected
from entrepot.market.solve import Solved, solve
from entrepot.market.split import split

__all__ = ["clear"]


def clear(book: Book) -> Clearing:
    """Find the allocation of greatest welfare, and the prices that prove it.

    Parameters
    ----------
    book : orders, rates and permits

    Returns
    -------
    Clearing : nobody loses at its prices; its certificate bounds what any other allocation could be worth. Check it with
        `entrepot.market.verify`, which shares nothing with this

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    began = time.perf_counter()
    pooled = pool(book)  # lots of one good, bids of one kind: one row each
    solved = solve(pooled, book.hours)  # the only call into a solver
    prices = _fair(pooled, solved, book)
    lot_salts, bid_salts = (
        salts(book.seed, book.lots["lot"].to_list()),
        salts(book.seed, book.bids["bid"].to_list()),
    )
    placed = split(book, pooled, solved, prices, Ties(_rank(lot_salts), _rank(bid_salts)))
    seconds = time.perf_counter() - began

    of_lots, of_bids = outcome.sold(pooled, placed), outcome.served(book, pooled, placed)
    welfare = round(outcome.welfare(book, placed, of_lots, of_bids))
    most = max(welfare, math.ceil(bound(pooled, prices, book.hours)))
    table = outcome.price_table(book, pooled, prices, of_lots)
    certificate = Certificate(
        lease_price_micro=table.filter(pl.col("period").is_not_null()).select(
            "pool", "period", "price_micro"
        ),
        sale_price_micro=table.filter(pl.col("period").is_null()).select("pool", "price_micro"),
        work_price_micro=_work_prices(book, pooled, prices),
        welfare_micro=welfare,
        bound_micro=most,
        gap=(most - welfare) / most if most else 0.0,
        orders_root=orders_root(book),
    )
    return Clearing(
        book=book,
        pools=pooled.pools,
        lot_pool=pl.DataFrame(
            {
                "lot": book.lots["lot"],
                "pool": pooled.lot_pool,
                "committed": of_lots.max(axis=1, initial=0).astype(np.int64),
            }
        ),
        prices=table,
        allocation=outcome.allocation(book, placed),
        work=outcome.work(book, of_bids),
        trades=outcome.trades(book, pooled, prices, placed),
        rejected=rejected(book, pooled, prices, of_lots, of_bids),
        certificate=certificate,
        solve_seconds=seconds,
    )


def _fair(pooled: Pooled, solved: Solved, book: Book) -> Prices:
    """Return prices in the middle of what is valid, if they prove as much as the solver's own."""
    own = publish(pooled, solved)
    fair = publish(pooled, solved, middle(pooled, solved))
    of_own, of_fair = bound(pooled, own, book.hours), bound(pooled, fair, book.hours)
    return fair if of_fair <= of_own + 1e-7 * abs(of_own) else own


def _rank(salt: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the place of each order in the order of its hash: how ties fall."""
    rank = np.empty(len(salt), dtype=np.int64)
    rank[sorted(range(len(salt)), key=salt.__getitem__)] = np.arange(len(salt))
    return rank


def _work_prices(book: Book, pooled: Pooled, prices: Prices) -> pl.DataFrame:
    """Return the marginal value of demand of bids that may buy devices; for the others it follows from lease prices."""
    of_bid = prices.work[pooled.bid_group]
    bid, period = np.nonzero(pooled.group_buys[pooled.bid_group][:, None] & (book.demand > 0))
    return pl.DataFrame(
        {"bid": book.bids["bid"].gather(bid), "period": period, "price_micro": of_bid[bid, period]}
    )
