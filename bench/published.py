"""What does a market look like that is drawn from published figures? Chips and asks, request sizes, daily curves: the catalogue's.

Published: lease prices of each chip (each ask is one of them), request-size mixes and hourly curves of traces, models' shapes;
rates are the estimates of `performance`. Drawn, and said so: sizes of orders (lognormal), how far a limit stands from what the
work costs at a published price, who may use what (every pair of site and buyer with probability 0.7), rules.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot import catalogue, performance
from entrepot.catalogue import demand as published
from entrepot.catalogue import tables
from entrepot.market.records import MICRO, Book
from entrepot.performance.records import Slo, Workload

__all__ = ["published_book"]

F64: TypeAlias = NDArray[np.float64]

_MODELS = ("llama-3.1-8b", "llama-3.3-70b")
_MIXES = 3  # of the catalogue's mixes, in their order


def _prices() -> dict[str, F64]:
    """Return the published lease prices in USD of each chip that has at least three."""
    table = tables.prices_table().filter(
        (pl.col("kind") == "lease_per_gpu_hour") & (pl.col("currency") == "USD")
    )
    found = {str(k[0]): v["value"].cast(pl.Float64).to_numpy() for k, v in table.group_by("accelerator")}
    return {chip: prices for chip, prices in sorted(found.items()) if len(prices) >= 3}


def _rates(chips: list[str]) -> tuple[list[str], F64]:
    """Return the services, and (services, chips) Mtok per device-hour; 0 where the model gives none."""
    works = []
    for model in _MODELS:
        for name in published.mixes()[:_MIXES]:
            isl, osl, share = published.mix(name)
            works.append(
                Workload(
                    f"{model} {name}", model, np.array(isl), np.array(osl), np.array(share), Slo(None, None)
                )
            )
    table = performance.rates(
        works, [catalogue.accelerator(c) for c in chips], {m: catalogue.model(m) for m in _MODELS}
    )
    rate = table["mtok_per_device_hour_central"].fill_null(0.0).to_numpy().reshape(len(works), len(chips))
    return [w.id for w in works], rate


def published_book(
    orders: int, seed: int, *, periods: int = 24, sites: int = 6, scarcity: float = 1.1
) -> Book:
    """Return an order book of one day by the hour; the same seed gives the same book."""
    rng = np.random.default_rng(seed)
    prices = _prices()
    services, rate = _rates(list(prices))
    served = np.flatnonzero((rate > 0).any(axis=0))
    chips = [list(prices)[k] for k in served]
    rate = rate[:, served]
    usable = np.flatnonzero((rate > 0).any(axis=1))
    services, rate = [services[s] for s in usable], rate[usable]
    n_lots = max(1, int(orders * 0.4))
    n_bids = max(1, orders - n_lots)
    offers = np.array([len(prices[c]) for c in chips], dtype=np.float64)
    chip = rng.choice(len(chips), n_lots, p=offers / offers.sum())
    site = rng.integers(sites, size=n_lots)
    ask = np.array([rng.choice(prices[chips[k]]) for k in chip])
    size = np.maximum(1, np.rint(rng.lognormal(np.log(12), 1.0, n_lots))).astype(np.int64) * 8
    kinds, lot_class = np.unique(np.stack([chip, site], axis=1), axis=0, return_inverse=True)
    service, buyer = rng.integers(len(services), size=n_bids), rng.integers(5, size=n_bids)
    wants, bid_class = np.unique(np.stack([service, buyer], axis=1), axis=0, return_inverse=True)
    lawful = rng.random((5, sites, len(chips))) < 0.7
    permitted = lawful[wants[:, 1][:, None], kinds[:, 1], kinds[:, 0]]
    of_class = np.where(permitted, rate[wants[:, 0][:, None], kinds[:, 0]], 0.0)
    least = np.array([prices[c].min() for c in chips])
    with np.errstate(divide="ignore"):
        cost = np.where(
            rate > 0, least / rate, np.inf
        )  # (services, chips) USD per Mtok at the lowest published price
    limit = cost.min(axis=1)[service] * rng.lognormal(np.log(1.5), 0.4, n_bids)
    curves = np.array([published.hourly(c) for c in published.curves()])
    level = curves[rng.integers(len(curves), size=n_bids)][:, np.arange(periods) % 24]
    weight = rng.lognormal(0.0, 1.0, n_bids)
    devices = weight / weight.sum() * float(size.sum()) * scarcity
    demand = devices[:, None] * np.max(rate, axis=1)[service][:, None] * level
    names = np.array(chips)[chip]
    lot_index, bid_index = np.meshgrid(np.arange(len(kinds)), np.arange(len(wants)))
    ok = permitted.ravel()
    return Book(
        currency="USD",
        seed=f"published-{seed}",
        periods=pl.DataFrame(
            {
                "period": np.arange(periods),
                "label": [f"hour {t}" for t in range(periods)],
                "step": ["day"] * periods,
                "hour": np.arange(periods) % 24,
                "hours": np.ones(periods),
            }
        ),
        lots=pl.DataFrame(
            {
                "lot": [f"lot-{i:07d}" for i in range(n_lots)],
                "seller": [f"seller-{i % 53}" for i in range(n_lots)],
                "accelerator": names,
                "site": [f"site-{s}" for s in site],
                "kind": ["lease"] * n_lots,
                "provenance": ["synthetic"] * n_lots,
                "block": np.full(n_lots, 480),
                "ask_micro": np.rint(ask * MICRO / 60).astype(np.int64),
                "residual_micro": np.zeros(n_lots, dtype=np.int64),
                "whole": np.zeros(n_lots, dtype=np.bool_),
                "slice": np.ones(n_lots, dtype=np.int64),
            }
        ),
        capacity=np.repeat(size[:, None] * 60, periods, axis=1),
        bids=pl.DataFrame(
            {
                "bid": [f"bid-{i:07d}" for i in range(n_bids)],
                "buyer": [f"buyer-{b}" for b in buyer],
                "service": [services[s] for s in service],
                "limit_micro": np.maximum(1, np.rint(limit * MICRO)).astype(np.int64),
                "min_share": np.where(rng.random(n_bids) < 0.5, 1.0, 0.0),
                "one_pool": rng.random(n_bids) < 0.3,
            }
        ),
        demand=demand,
        lot_class=lot_class.astype(np.int64).ravel(),
        bid_class=bid_class.astype(np.int64).ravel(),
        rate=of_class / 60,
        permits=pl.DataFrame(
            {
                "lot_class": lot_index.ravel().astype(np.int64),
                "bid_class": bid_index.ravel().astype(np.int64),
                "permitted": ok,
                "outcome": np.where(ok, "allowed", "refused"),
                "citation": np.where(ok, "", "synthetic rule"),
                "reason": np.where(ok, "no rule stands against it", "a drawn rule stands against it"),
            }
        ),
    )
