"""How long does a clearing take, beside the same linear program written in SciPy?"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import polars as pl
import scipy.sparse as sp
from scipy.optimize import linprog

from entrepot.market import clear, verify
from entrepot.market.records import MICRO, Book

__all__ = ["run"]

_SCIPY_ORDERS_MAX = 10_000  # above this the textbook form takes minutes


def instance(orders: int, seed: int, *, chips: int = 8, sites: int = 3, classes: int = 8) -> Book:
    """Return a seeded one-period market: 40 % lots, 60 % bids, lognormal sizes, about half of the edges lawful."""
    rng = np.random.default_rng(seed)
    n_lots = int(orders * 0.4)
    n_bids = orders - n_lots
    lot_class = rng.integers(chips * sites, size=n_lots)
    bid_class = rng.integers(classes, size=n_bids)
    lawful = rng.random((classes, chips * sites)) < 0.52
    speed = rng.lognormal(0.0, 0.5, chips)
    rate = np.where(
        lawful, speed[np.arange(chips * sites) // sites] * rng.lognormal(0.0, 0.2, (classes, 1)), 0.0
    )
    ask = (2.0 * speed[lot_class // sites] * rng.lognormal(0.0, 0.3, n_lots) * MICRO).astype(np.int64)
    quantity = rng.lognormal(3.0, 1.0, n_lots).astype(np.int64) + 1
    wanted = rng.lognormal(2.5, 1.0, n_bids)
    wanted *= 1.25 * (quantity * speed[lot_class // sites]).sum() / wanted.sum()
    limit = (rng.lognormal(1.0, 0.4, n_bids) * MICRO).astype(np.int64)
    of_class, of_lots = np.divmod(np.arange(classes * chips * sites), chips * sites)
    name = [f"chip-{k // sites}" for k in lot_class]
    site = [f"site-{k % sites}" for k in lot_class]
    return Book(
        currency="USD",
        seed=f"bench-{seed}",
        periods=pl.DataFrame({"period": [0], "label": ["now"], "step": ["now"], "hour": [0], "hours": [1.0]}),
        lots=pl.DataFrame({
            "lot": [f"lot-{i}" for i in range(n_lots)], "seller": [f"s{i % 97}" for i in range(n_lots)], "accelerator": name,
            "site": site, "kind": "lease", "provenance": "", "block": 1, "ask_micro": ask, "residual_micro": 0, "whole": False,
        }, schema_overrides={"block": pl.Int64, "residual_micro": pl.Int64}),
        capacity=quantity[:, None],
        bids=pl.DataFrame({
            "bid": [f"bid-{i}" for i in range(n_bids)], "buyer": [f"b{i % 89}" for i in range(n_bids)], "service": "s",
            "limit_micro": limit,
        }),
        demand=wanted[:, None],
        lot_class=lot_class.astype(np.int64),
        bid_class=bid_class.astype(np.int64),
        rate=rate,
        permits=pl.DataFrame({
            "lot_class": of_lots, "bid_class": of_class, "permitted": (rate > 0).ravel(), "outcome": "", "citation": "", "reason": "",
        }),
    )  # fmt: skip


def textbook(book: Book) -> float:
    """Return the optimal welfare of the divisible market: pool x bid columns, solved by SciPy's HiGHS; in the currency."""
    lots, bids = book.lots, book.bids
    n_lots, n_bids, n_pools = lots.height, bids.height, book.rate.shape[1]
    rate = book.rate[book.bid_class]
    bid, pool = np.nonzero(rate > 0)
    flows = len(bid)
    value = bids["limit_micro"].to_numpy()[bid] / MICRO * rate[bid, pool]
    cost = np.concatenate([-value, lots["ask_micro"].to_numpy() / MICRO])
    at = np.arange(flows)
    demand_rows = sp.csr_matrix((rate[bid, pool], (bid, at)), shape=(n_bids, flows + n_lots))
    balance = sp.csr_matrix(
        (np.concatenate([np.ones(flows), -np.ones(n_lots)]),
         (np.concatenate([pool, book.lot_class]), np.arange(flows + n_lots))), shape=(n_pools, flows + n_lots)
    )  # fmt: skip
    upper = np.concatenate([np.full(flows, np.inf), book.capacity[:, 0]])
    found = linprog(
        cost, A_ub=sp.vstack([demand_rows, balance]), b_ub=np.concatenate([book.demand[:, 0], np.zeros(n_pools)]),
        bounds=np.stack([np.zeros(flows + n_lots), upper], axis=1), method="highs",
    )  # fmt: skip
    return -float(found.fun)


def grouped(book: Book) -> float:
    """Return the same optimum from the smaller form of that program: flows between classes, one column per order."""
    n_lots, n_bids = book.lots.height, book.bids.height
    of_class, of_pool = np.nonzero(book.rate > 0)
    flows, classes, pools = len(of_class), *book.rate.shape
    columns = flows + n_bids + n_lots
    cost = np.concatenate(
        [
            np.zeros(flows),
            -book.bids["limit_micro"].to_numpy() / MICRO,
            book.lots["ask_micro"].to_numpy() / MICRO,
        ]
    )
    at = np.arange(columns)
    work = sp.csr_matrix(
        (np.concatenate([-book.rate[of_class, of_pool], np.ones(n_bids)]),
         (np.concatenate([of_class, book.bid_class]), at[: flows + n_bids])), shape=(classes, columns)
    )  # fmt: skip
    balance = sp.csr_matrix(
        (np.concatenate([np.ones(flows), -np.ones(n_lots)]),
         (np.concatenate([of_pool, book.lot_class]), np.concatenate([at[:flows], at[flows + n_bids :]]))), shape=(pools, columns)
    )  # fmt: skip
    upper = np.concatenate([np.full(flows, np.inf), book.demand[:, 0], book.capacity[:, 0]])
    found = linprog(
        cost, A_ub=sp.vstack([work, balance]), b_ub=np.zeros(classes + pools),
        bounds=np.stack([np.zeros(columns), upper], axis=1), method="highs",
    )  # fmt: skip
    return -float(found.fun)


def run(console_print: Callable[[str], None]) -> None:
    """Print clearing time for 10^3 to 10^5 orders, the ratios to SciPy on the same instance, and the certified gap.

    SciPy solves the textbook form (pool x bid columns) up to 10^4 orders, and at every size the same program with flows
    between classes of orders; it stops at the divisible optimum, while a clearing also cuts it to whole devices, prices
    it, and proves it.
    """
    console_print(
        "   orders  clear s  verify s  SciPy textbook s (ratio)  SciPy by class s (ratio)  gap      bound/optimum-1"
    )
    for orders in (1_000, 10_000, 100_000):
        book = instance(orders, seed=orders)
        start = time.perf_counter()
        clearing = clear(book)
        ours = time.perf_counter() - start
        start = time.perf_counter()
        assert verify(clearing).ok
        checking = time.perf_counter() - start
        start = time.perf_counter()
        optimum = grouped(book)
        by_class = time.perf_counter() - start
        text = "not run: minutes"
        if orders <= _SCIPY_ORDERS_MAX:
            start = time.perf_counter()
            assert abs(textbook(book) / optimum - 1) < 1e-6
            theirs = time.perf_counter() - start
            text = f"{theirs:.2f} ({theirs / ours:.1f}x)"
        proof = clearing.certificate
        console_print(
            f"   {orders:>6,}  {ours:7.2f}  {checking:8.2f}  {text:>24}  {f'{by_class:.2f} ({by_class / ours:.1f}x)':>24}"
            f"  {proof.gap:.3%}  {proof.bound_micro / MICRO / optimum - 1:+.1e}"
        )
