"""What is cleared, and what comes out? The book is orders and legality as tables; the clearing is allocation, prices, proof.

Units: devices are whole numbers; work is Mtok (10^6 output tokens of a service's mix); prices are integer micro-units of
the market's one currency (1 CNY = 10^6 micro) per device-hour (lease pools), per device (sale pools) or per Mtok (limits).
A period t stands for ``hours[t]`` real hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["MICRO", "Book", "Certificate", "Clearing"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Book:
    """Orders, rates and permits of one clearing: all that is needed to find the allocation, and to check it.

    Attributes
    ----------
    currency, seed : the one currency; the seed committed before the gate, for ties
    periods : period i64, label str, step str, hour i64, hours f64 (real hours that it stands for)
    lots : lot str, seller str, accelerator str, site str, kind "lease"|"sale", provenance str,
        block i64 (devices are sold in multiples of it), ask_micro i64 (per device-hour, or per device),
        residual_micro i64 (sale: worth of a device to its buyer at the end of the horizon; lease: 0),
        whole bool (one quantity over the whole window; always true for a sale)
    capacity : (lots, periods) devices offered; 0 outside the window. A sale lot: constant from its delivery to the
        end of the horizon
    bids : bid str, buyer str, service str, limit_micro i64 (per Mtok)
    demand : (bids, periods) Mtok per hour wanted, >= 0
    lot_class : (lots,) index of the lot's class; lots of one class have the same accelerator, site, kind, provenance,
        seller-side facts and therefore the same permits and rates
    bid_class : (bids,) index of the bid's class; bids of one class have the same permits, rates and preferences
    rate : (bid classes, lot classes) Mtok per device-hour; 0 where there is no permit, no fit or no wish
    permits : lot_class i64, bid_class i64, permitted bool, outcome str, citation str, reason str: why an edge is there or
        not; every pair of classes has one row
    minor_digits : decimals of the currency's minor unit (ISO 4217), in which payments are rounded: CNY 2, JPY 0
    """

    currency: str
    seed: str
    periods: pl.DataFrame
    lots: pl.DataFrame
    capacity: I64
    bids: pl.DataFrame
    demand: F64
    lot_class: I64
    bid_class: I64
    rate: F64
    permits: pl.DataFrame
    minor_digits: int = 2

    @property
    def hours(self) -> F64:
        """(periods,) real hours that each period stands for."""
        return self.periods["hours"].to_numpy()


@dataclass(frozen=True, slots=True)
class Certificate:
    """The proof: any prices give a bound on welfare; these give one close to the welfare reached.

    Attributes
    ----------
    lease_price_micro : pool i64, period i64, price_micro i64 per device-hour; rows for lease pools in their window
    sale_price_micro : pool i64, price_micro i64 per device
    work_price_micro : bid str, period i64, price_micro i64: marginal value of one Mtok of the bid's demand, that is its
        limit less the cheapest lawful cost, >= 0
    welfare_micro, bound_micro : value of work served + residual value - asks; no allocation can exceed the bound
    gap : (bound - welfare) / bound
    orders_root : hex root of the hash tree over the salted orders
    """

    lease_price_micro: pl.DataFrame
    sale_price_micro: pl.DataFrame
    work_price_micro: pl.DataFrame
    welfare_micro: int
    bound_micro: int
    gap: float
    orders_root: str


@dataclass(frozen=True, slots=True)
class Clearing:
    """Who gets what at which prices.

    Attributes
    ----------
    pools : pool i64, label str, accelerator, site, kind, provenance, lots i64: lots that the same buyers may use at the
        same rates with the same delivery are one good
    lot_pool : lot str, pool i64
    prices : pool i64, label, accelerator, site, kind, period i64 (null for a sale), step, hour, price_micro i64,
        supplied i64, offered i64 (devices)
    allocation : lot, bid, period (for a sale: null), devices i64 (multiples of the lot's block), one row per non-zero
    work : bid, period, demand_mtok_per_h f64, served_mtok_per_h f64
    trades : trade str, lot, seller, bid, buyer, accelerator, site, kind, provenance, devices_max i64,
        device_hours i64, payment_minor i64 (currency's minor units), unit_price_micro i64 (mean)
    rejected : order str, side "lot"|"bid", reason str, in_the_money bool, quantity f64: what did not clear, and why
    """

    book: Book
    pools: pl.DataFrame
    lot_pool: pl.DataFrame
    prices: pl.DataFrame
    allocation: pl.DataFrame
    work: pl.DataFrame
    trades: pl.DataFrame
    rejected: pl.DataFrame
    certificate: Certificate
    solve_seconds: float
