"""Who may use what, and at what price for its work? Pools against bids: permits, speed and price in one grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from entrepot.market.explain import mix
from entrepot.report.format import Shown, percent, price
from entrepot.report.records import Run
from entrepot.report.tables import chip_name, party_short, site_name, work_prices

__all__ = ["Cell", "Heat", "heat"]

_POOLS_MAX, _BIDS_MAX = 40, 12
_LEVELS = ((0.5, 4), (0.8, 3), (1.0, 2), (1.5, 1))  # price of the work over the limit, and the shade


@dataclass(frozen=True, slots=True)
class Cell:
    """A pool and a bid: ``state`` is may, refused or unfit; the price of a Mtok; its shade; the share of its work."""

    state: str
    per_mtok: Shown | None = None
    level: int = 0
    used: Shown | None = None


@dataclass(frozen=True, slots=True)
class Heat:
    """Pools against bids; ``left_out`` says how many of either are not shown."""

    bids: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, str, tuple[Cell, ...]], ...]
    left_out: tuple[int, int]


def heat(run: Run) -> Heat:
    """Return the grid of the largest pools and bids, in the book's order."""
    clearing = run.clearing
    book = clearing.book
    pools = clearing.pools.head(_POOLS_MAX)
    bids = book.bids.with_columns(bid_class=pl.Series(book.bid_class)).head(_BIDS_MAX)
    lot_class = dict(
        clearing.lot_pool.join(pl.DataFrame({"lot": book.lots["lot"], "lot_class": book.lot_class}), on="lot")
        .group_by("pool")
        .agg(pl.col("lot_class").first())
        .iter_rows()
    )
    allowed = {
        (k, c): ok for k, c, ok in book.permits.select("lot_class", "bid_class", "permitted").iter_rows()
    }
    prices = {(w["pool"], w["bid"]): w for w in work_prices(run).iter_rows(named=True)}
    reach = mix(clearing).with_columns(share=pl.col("reach_mtok") / pl.col("reach_mtok").sum().over("bid"))
    used = {(k, b): s for k, b, s in reach.select("pool", "bid", "share").iter_rows()}
    rows = []
    for p in pools.iter_rows(named=True):
        cells = tuple(
            _cell(p["pool"], b, allowed.get((lot_class[p["pool"]], b["bid_class"]), False), prices, used)
            for b in bids.iter_rows(named=True)
        )
        rows.append((chip_name(p["accelerator"]), f"{p['kind']} · {site_name(run, p['site'])}", cells))
    heads = tuple((b["bid"], party_short(run, b["buyer"])) for b in bids.iter_rows(named=True))
    left = (clearing.pools.height - pools.height, book.bids.height - bids.height)
    return Heat(heads, tuple(rows), left)


def _cell(
    pool: int,
    bid: Mapping[str, object],
    allowed: bool,  # noqa: FBT001
    prices: Mapping[tuple[object, object], Mapping[str, object]],
    used: Mapping[tuple[object, object], float],
) -> Cell:
    if not allowed:
        return Cell("refused")
    found = prices.get((pool, bid["bid"]))
    if found is None or found["price_per_mtok"] is None:
        return Cell("unfit")
    cost, limit = found["price_per_mtok"], found["limit_per_mtok"]
    over = float(cost) / float(limit) if float(limit) > 0 else 9.0  # type: ignore[arg-type]
    level = next((shade for most, shade in _LEVELS if over <= most), 0)
    share = used.get((pool, bid["bid"]))
    return Cell("may", price(cost), level, None if share is None else percent(share, places=0))  # type: ignore[arg-type]
