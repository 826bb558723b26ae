"""What does a lease market look like when nobody's orders may be shown? Seeded books in which windows join the periods.

As in `entrepot.market.instances` everything is invented. Lots are let for a window, bids want the work of a daily curve
over a window; a share of either is free to change from hour to hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.instances import Shape, instance
from entrepot.market.records import Book

__all__ = ["LeaseShape", "lease_instance"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LeaseShape:
    """The shape of a synthetic lease market.

    Attributes
    ----------
    orders, chips, sites, services, buyers, scarcity, legal_share, blocks, ticks : as in `Shape`
    periods : hours of the horizon
    window_mean : mean length of a window, in periods
    flexible_lots, flexible_bids : share of the lots and bids that are free to change from hour to hour
    all_or_none : share of the term bids that want all of their work or none
    all_or_none_lots, minimum_fill : share of the lots sold whole or not at all; or at least to half
    one_pool : share of the term bids that want a single pool
    private : spread of each buyer's private factor on each chip; 0 for catalogue yields
    size_median : median devices of a lot
    """

    orders: int = 1000
    periods: int = 24
    window_mean: float = 12.0
    chips: int = 12
    sites: int = 12
    services: int = 8
    buyers: int = 6
    scarcity: float = 1.25
    legal_share: float = 0.52
    blocks: tuple[int, ...] = (1,)
    ticks: int = 0
    flexible_lots: float = 0.0
    flexible_bids: float = 0.0
    all_or_none: float = 0.0
    all_or_none_lots: float = 0.0
    minimum_fill: float = 0.0
    one_pool: float = 0.0
    private: float = 0.0
    size_median: float = 100.0


def lease_instance(shape: LeaseShape, seed: int = 0) -> Book:
    """Return a synthetic lease market of this shape; the same seed gives the same book."""
    base = instance(
        Shape(
            orders=shape.orders,
            chips=shape.chips,
            sites=shape.sites,
            services=shape.services,
            buyers=shape.buyers,
            scarcity=shape.scarcity,
            legal_share=shape.legal_share,
            blocks=shape.blocks,
            size_median=shape.size_median,
            ticks=shape.ticks,
        ),
        seed,
    )
    rng = np.random.default_rng((seed, 1))
    lots, bids, periods = base.lots.height, base.bids.height, shape.periods
    t = np.arange(periods)

    def windows(count: int) -> NDArray[np.bool_]:
        length = np.clip(1 + rng.geometric(1.0 / max(1.0, shape.window_mean - 1.0), count), 1, periods)
        start = (rng.random(count) * (periods - length + 1)).astype(np.int64)
        return (t >= start[:, None]) & (t < (start + length)[:, None])

    of_lots, of_bids = windows(lots), windows(bids)
    capacity = np.where(of_lots, base.capacity, 0).astype(np.int64)
    # one daily curve per service; bids are scaled so that demand over supply is the scarcity asked for
    phase = rng.random(shape.services)
    curve = 1.0 + 0.4 * np.sin(2 * np.pi * (t[None, :] / 24.0 + phase[:, None]))
    service = bids_service(base.bids)
    demand = np.where(of_bids, base.demand * curve[service], 0.0)
    supplied = float(capacity.sum()) / max(1.0, float(base.capacity.sum()))
    wanted = float(demand.sum()) / max(1e-300, float(base.demand.sum()))
    demand *= supplied / wanted

    term = rng.random(bids) >= shape.flexible_bids
    whole = rng.random(lots) >= shape.flexible_lots
    min_share = np.where(term & (rng.random(bids) < shape.all_or_none), 1.0, 0.0)
    draw = rng.random(lots)
    most = base.capacity[:, 0]
    half = -(-most // (2 * base.lots["block"].to_numpy())) * base.lots["block"].to_numpy()
    min_fill = np.where(
        draw < shape.all_or_none_lots,
        most,
        np.where(draw < shape.all_or_none_lots + shape.minimum_fill, half, 0),
    )
    min_fill = np.where(whole, min_fill, 0)
    more: dict[str, object] = {}
    if shape.private:
        more["factor"] = rng.lognormal(0.0, shape.private, (bids, base.lots["accelerator"].n_unique()))
    return Book(
        currency=base.currency,
        seed=base.seed,
        periods=pl.DataFrame(
            {
                "period": t.astype(np.int64),
                "label": [f"hour {i}" for i in t],
                "step": [f"day {i // 24}" for i in t],
                "hour": (t % 24).astype(np.int64),
                "hours": np.ones(periods),
            }
        ),
        lots=base.lots.with_columns(whole=pl.Series(whole), min_fill=pl.Series(min_fill.astype(np.int64))),
        capacity=capacity,
        bids=base.bids.with_columns(
            term=pl.Series(term),
            min_share=pl.Series(min_share),
            one_pool=pl.Series(term & (rng.random(bids) < shape.one_pool)),
        ),
        demand=demand,
        lot_class=base.lot_class,
        bid_class=base.bid_class,
        rate=base.rate,
        permits=base.permits,
        **more,  # type: ignore[arg-type]
    )


def bids_service(bids: pl.DataFrame) -> I64:
    """Return the number in the name of each bid's service."""
    return bids["service"].str.slice(-2).cast(pl.Int64).to_numpy()
