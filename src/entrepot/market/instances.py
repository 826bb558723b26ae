"""What does a market look like when nobody's orders may be shown? Seeded synthetic order books, of several shapes.

Everything here is invented: speeds, prices and laws are drawn at random so that tests and benchmarks meet thick and thin
pools, scarce and ample supply, leases, whole-window leases and sales. A real clearing never touches this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from entrepot.market.records import MICRO, Book

__all__ = ["Shape", "instance"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a synthetic order book.

    Attributes
    ----------
    orders : lots and bids together, of which ``lots_share`` are lots
    chips, sites, services, buyers : kinds of each; a pool is a chip at a site, a group is a service of a kind of buyer
    periods : 24 or fewer: one day by the hour; more: several days
    scarcity : demand over supply, in devices
    legal_share : share of (chip, site, kind of buyer) that is permitted
    blocks : node sizes among which each lot draws its own
    whole_share, sale_share : share of the lots that are for their whole window, or for sale
    size_median : median devices of a lot
    all_or_none_share, one_pool_share, min_share_share : shares of the bids with that rule; the least share is drawn
    min_fill_share, lot_all_or_none_share : shares of the lots that let a drawn part of their quantity at least, or all
    private_sigma : spread (log) of private yields around the rates of a bid's class; 0: none
    shared_nodes : several bids may share a node, by the minute: capacity counts device-minutes per hour
    group_share : share of the bids that are one of two alternatives
    ticks : asks and limits are rounded to so many distinct steps; 0 for none (every order has its own price)
    """

    orders: int = 1000
    lots_share: float = 0.4
    chips: int = 12
    sites: int = 12
    services: int = 8
    buyers: int = 6
    periods: int = 1
    scarcity: float = 1.25
    legal_share: float = 0.52
    blocks: tuple[int, ...] = (1,)
    whole_share: float = 0.0
    sale_share: float = 0.0
    size_median: float = 100.0
    ticks: int = 0
    all_or_none_share: float = 0.0
    one_pool_share: float = 0.0
    min_share_share: float = 0.0
    min_fill_share: float = 0.0
    lot_all_or_none_share: float = 0.0
    private_sigma: float = 0.0
    shared_nodes: bool = False
    group_share: float = 0.0


def instance(shape: Shape, seed: int = 0) -> Book:  # noqa: PLR0915 - one draw after the other
    """Return a synthetic order book of this shape; the same seed gives the same book."""
    rng = np.random.default_rng(seed)
    n_lots = max(1, round(shape.orders * shape.lots_share))
    n_bids = max(1, shape.orders - n_lots)
    hours = np.ones(shape.periods)
    speed = rng.lognormal(0.0, 0.6, shape.chips)  # (chips,)
    fit = speed * rng.lognormal(
        0.0, 0.3, (shape.services, shape.chips)
    )  # (services, chips) Mtok per device-hour
    legal = rng.random((shape.buyers, shape.chips, shape.sites)) < shape.legal_share

    # A lot class is a chip at a site, as a lease or as a sale.
    chip = rng.integers(shape.chips, size=n_lots)
    site = rng.integers(shape.sites, size=n_lots)
    sale = rng.random(n_lots) < shape.sale_share
    whole = (rng.random(n_lots) < shape.whole_share) | sale
    kinds, lot_class = np.unique(np.stack([chip, site, sale], axis=1), axis=0, return_inverse=True)
    service = rng.integers(shape.services, size=n_bids)
    buyer = rng.integers(shape.buyers, size=n_bids)
    wants, bid_class = np.unique(np.stack([service, buyer], axis=1), axis=0, return_inverse=True)
    permitted = legal[wants[:, 1][:, None], kinds[:, 0], kinds[:, 1]]  # (bid classes, lot classes)
    rate = np.where(permitted, fit[wants[:, 0][:, None], kinds[:, 0]], 0.0)

    block = rng.choice(np.asarray(shape.blocks, dtype=np.int64), n_lots)
    size = (
        np.maximum(1, np.rint(rng.lognormal(np.log(shape.size_median), 1.0, n_lots) / block)).astype(np.int64)
        * block
    )
    first = np.where(rng.random(n_lots) < 0.5, 0, rng.integers(shape.periods, size=n_lots))
    last = np.where(
        sale | (rng.random(n_lots) < 0.5), shape.periods, first + 1 + rng.integers(shape.periods, size=n_lots)
    )
    t = np.arange(shape.periods)
    window = (t >= first[:, None]) & (t < last[:, None])
    capacity = np.where(window, size[:, None], 0).astype(np.int64)
    hour_price = speed[chip] * 2.0 * rng.lognormal(0.0, 0.25, n_lots)  # asks follow the speed of the chip
    ask = np.where(sale, hour_price * shape.periods * 0.9, hour_price)
    residual = np.where(sale, np.rint(speed[chip] * MICRO * 0.2 * shape.periods), 0).astype(np.int64)

    supply = float(capacity.sum()) / shape.periods
    weight = rng.lognormal(0.0, 1.0, n_bids)
    devices = weight / weight.sum() * supply * shape.scarcity
    level = (
        1.0 + 0.4 * np.sin(2 * np.pi * (t[None, :] / 24.0 + rng.random((n_bids, 1))))
        if shape.periods > 1
        else 1.0
    )
    typical = np.exp(np.log(fit).mean(axis=1))[service]
    demand = devices[:, None] * typical[:, None] * level * np.ones((1, shape.periods))
    limit = 2.6 * rng.lognormal(0.0, 0.35, n_bids)

    def micro(
        price: np.ndarray[tuple[int], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        if shape.ticks:
            step = price.max() / shape.ticks
            price = np.maximum(1, np.rint(price / step)) * step
        return np.rint(price * MICRO).astype(np.int64)

    per_device = 60 if shape.shared_nodes else 1
    rules = np.random.default_rng([seed, 1])  # a stream of its own: rules change no other draw
    fill = np.where(rules.random(n_lots) < shape.min_fill_share, rules.random(n_lots) * size, 0)
    fill = np.where(rules.random(n_lots) < shape.lot_all_or_none_share, size, fill)
    share = np.where(rules.random(n_bids) < shape.min_share_share, rules.random(n_bids), 0.0)
    share = np.where(rules.random(n_bids) < shape.all_or_none_share, 1.0, share)
    one_pool = rules.random(n_bids) < shape.one_pool_share
    group = [""] * n_bids
    for b in np.flatnonzero(rules.random(n_bids // 2) < shape.group_share).tolist():
        group[2 * b] = group[2 * b + 1] = f"either-{b}"
    factor = None
    if shape.private_sigma:
        factor = rules.lognormal(0.0, shape.private_sigma, (n_bids, len(np.unique(chip))))
    ask = ask / np.where(sale, 1, per_device)

    lots = pl.DataFrame(
        {
            "lot": [f"lot-{i:07d}" for i in range(n_lots)],
            "seller": [f"seller-{i % 97:02d}" for i in range(n_lots)],
            "accelerator": [f"chip-{c:02d}" for c in chip],
            "site": [f"site-{s:02d}" for s in site],
            "kind": np.where(sale, "sale", "lease"),
            "provenance": [f"made for site-{s:02d}" for s in site],
            "block": block * per_device,
            "ask_micro": micro(ask),
            "residual_micro": residual,
            "whole": whole,
            "slice": np.ones(n_lots, dtype=np.int64) if shape.shared_nodes else block,
            "min_fill": (fill * per_device).astype(np.int64),
        }
    )
    bids = pl.DataFrame(
        {
            "bid": [f"bid-{i:07d}" for i in range(n_bids)],
            "buyer": [f"buyer-{b}-{i % 89:02d}" for i, b in enumerate(buyer)],
            "service": [f"service-{s:02d}" for s in service],
            "limit_micro": micro(limit),
            "min_share": share,
            "one_pool": one_pool,
            "group": group,
        }
    )
    lot_index, bid_index = np.meshgrid(np.arange(len(kinds)), np.arange(len(wants)))
    ok = permitted.ravel()
    permits = pl.DataFrame(
        {
            "lot_class": lot_index.ravel().astype(np.int64),
            "bid_class": bid_index.ravel().astype(np.int64),
            "permitted": ok,
            "outcome": np.where(ok, "allowed", "refused"),
            "citation": np.where(ok, "", "synthetic rule"),
            "reason": np.where(ok, "no rule stands against it", "a drawn rule stands against it"),
        }
    )
    periods = pl.DataFrame(
        {
            "period": t.astype(np.int64),
            "label": [f"hour {i}" for i in t],
            "step": [f"day {i // 24}" for i in t],
            "hour": (t % 24).astype(np.int64),
            "hours": hours,
        }
    )
    return Book(
        currency="USD",
        seed=f"synthetic-{seed}",
        periods=periods,
        lots=lots,
        capacity=capacity * per_device,
        bids=bids,
        demand=demand,
        lot_class=lot_class.astype(np.int64).ravel(),
        bid_class=bid_class.astype(np.int64).ravel(),
        rate=rate / per_device,
        factor=factor,
        permits=permits,
    )
