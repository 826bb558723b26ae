"""What is cleared, and what comes out? The book is orders and legality as tables; the clearing is allocation, prices, proof.

Units: devices are whole numbers; work is Mtok (10^6 output tokens of a service's mix); prices are integer micro-units of
the market's one currency (1 CNY = 10^6 micro) per device-hour (lease pools), per device (sale pools) or per Mtok (limits).
A period t stands for ``hours[t]`` real hours. A market by the minute counts its capacity in device-minutes per hour: sixty
times as many "devices", each asking a sixtieth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = [
    "BID_RULES",
    "FEES",
    "LOT_RULES",
    "MAKE_WHOLE",
    "MICRO",
    "WHY_MADE_WHOLE",
    "Book",
    "Certificate",
    "Clearing",
]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

MICRO = 1_000_000

LOT_RULES: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {"min_fill": (pl.Int64, 0), "group": (pl.String, ""), "waits_for": (pl.String, "")}
)
"""Rules that a lot may come with: type, and what a book without the column means. ``slice`` stands as its block."""

BID_RULES: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {
        "term": (pl.Boolean, False),
        "min_share": (pl.Float64, 0.0),
        "one_pool": (pl.Boolean, False),
        "group": (pl.String, ""),
        "total_mtok": (pl.Float64, float("inf")),
    }
)
"""Rules that a bid may come with."""

MAKE_WHOLE: Mapping[str, Any] = MappingProxyType(
    {"order": pl.String, "side": pl.String, "amount_minor": pl.Int64, "reason": pl.String}
)

WHY_MADE_WHOLE = (
    "let below its ask: the price of some hours is lower",
    "the idle part of a shared node",
    "its least quantity: more is let than is used",
    "idle hours of its window",
    "placed above its worth: all together gain more by it",
)
"""Why an accepted order would lose at the prices; of several reasons, the one that weighs most. The last is a bid's."""

FEES: Mapping[str, Any] = MappingProxyType(
    {"order": pl.String, "side": pl.String, "gain_minor": pl.Int64, "fee_minor": pl.Int64}
)


@dataclass(frozen=True, slots=True)
class Book:
    """Orders, rates and permits of one clearing: all that is needed to find the allocation, and to check it.

    Attributes
    ----------
    currency, seed : the one currency; the seed committed before the gate, for ties
    periods : period i64, label str, step str, hour i64, hours f64 (real hours that it stands for)
    lots : lot str, seller str, accelerator str, site str, kind "lease"|"sale", provenance str,
        block i64 (devices are let or sold in multiples of it: a node), ask_micro i64 (per device-hour, or per device),
        residual_micro i64 (sale: worth of a device to its buyer at the end of the horizon; lease: 0),
        whole bool (one quantity over the whole window; always true for a sale),
        slice i64 (what one bid gets is a multiple of it; ``block`` where nodes are not shared, less where several bids may
        share a node; divides ``block``), min_fill i64 (it lets nothing in a period, or at least so much; at least its
        quantity: all or none), group str (at most one lot of a group is sold; "" is none), waits_for str (licence that it
        waits for; "" is none)
    capacity : (lots, periods) devices offered; 0 outside the window. A sale lot: constant from its delivery to the
        end of the horizon
    bids : bid str, buyer str, service str, limit_micro i64 (per Mtok), term bool (one fixed mix of pools through its
        whole window), min_share f64 (share of its work that it wants at least, or nothing; 1: all or none), one_pool bool
        (all work of a period from one pool), group str (at most one bid of a group is served; "" is none; also the
        alternatives of a choice of start), total_mtok f64 (work wanted in total by the end of the window; inf: by period)
    demand : (bids, periods) Mtok per hour wanted, >= 0; with a total: the most per hour
    lot_class : (lots,) index of the lot's class; lots of one class have the same accelerator, site, kind, provenance,
        seller-side facts and therefore the same permits and rates
    bid_class : (bids,) index of the bid's class; bids of one class have the same permits, rates and preferences
    rate : (bid classes, lot classes) Mtok per device-hour; 0 where there is no permit, no fit or no wish
    permits : lot_class i64, bid_class i64, permitted bool, outcome str, citation str, reason str: why an edge is there or
        not; every pair of classes has one row
    minor_digits : decimals of the currency's minor unit (ISO 4217), in which payments are rounded: CNY 2, JPY 0
    factor : (bids, accelerators) private yields: what a bid gets out of a chip, over the rate of its class; > 0; ``None``
        where every bid has its class's rates
    granted : licences that are taken to be granted; a lot that waits for another offers nothing
    salt_key : the operator's secret, from which the salts of the hash tree follow; empty: anyone who guesses an order can
        test the guess, so nothing is published
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
    factor: F64 | None = None
    granted: tuple[str, ...] = ()
    salt_key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        """Write out what a book without a rule's column means."""
        lots, bids = self.lots, self.bids
        if "slice" not in lots.columns and "block" in lots.columns:
            lots = lots.with_columns(slice=pl.col("block"))
        for table, rules, name in ((lots, LOT_RULES, "lots"), (bids, BID_RULES, "bids")):
            missing = [
                pl.lit(value, dtype=dtype).alias(column)
                for column, (dtype, value) in rules.items()
                if column not in table.columns and table.width
            ]
            object.__setattr__(self, name, table.with_columns(missing) if missing else table)

    @property
    def hours(self) -> F64:
        """(periods,) real hours that each period stands for."""
        return self.periods["hours"].to_numpy()

    @property
    def accelerators(self) -> list[str]:
        """The columns of ``factor``: accelerators of the lots, sorted."""
        return sorted(self.lots["accelerator"].unique().to_list())

    @property
    def waiting(self) -> NDArray[np.bool_]:
        """(lots,) waits for a licence that is not granted."""
        licence = self.lots["waits_for"]
        return ((licence != "") & ~licence.is_in(list(self.granted))).to_numpy()


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
    searched_bound_micro : what a search over the orders near the margin says that nothing can exceed, if it ran; unlike
        ``bound_micro`` it cannot be recomputed from prices, and nothing rests on it
    """

    lease_price_micro: pl.DataFrame
    sale_price_micro: pl.DataFrame
    work_price_micro: pl.DataFrame
    welfare_micro: int
    bound_micro: int
    gap: float
    orders_root: str
    searched_bound_micro: int | None = None


@dataclass(frozen=True, slots=True)
class Clearing:
    """Who gets what at which prices.

    Attributes
    ----------
    pools : pool i64, label str, accelerator, site, kind, provenance, lots i64: lots that the same buyers may use at the
        same rates with the same delivery are one good
    lot_pool : lot str, pool i64, committed i64 (devices that the lot gives at most in a period, in whole blocks; a
        whole-window lot or a sale: its one quantity)
    prices : pool i64, label, accelerator, site, kind, period i64 (null for a sale), step, hour, price_micro i64,
        supplied i64, offered i64 (devices)
    allocation : lot, bid, period (for a sale: null), devices i64 (multiples of the lot's slice), one row per non-zero
    work : bid, period, demand_mtok_per_h f64, served_mtok_per_h f64
    trades : trade str, lot, seller, bid, buyer, accelerator, site, kind, provenance, devices_max i64,
        device_hours i64, payment_minor i64 (currency's minor units), unit_price_micro i64 (mean)
    rejected : order str, side "lot"|"bid", reason str, in_the_money bool, quantity f64: what did not clear, and why
    make_whole : order str, side "lot"|"bid", amount_minor i64 > 0, reason str: what an accepted order would lose at the
        prices, and gets from the market's fee
    fees : order str, side "lot"|"bid", gain_minor i64 > 0 (what it gains at the prices, made whole), fee_minor i64 >= 0: what
        the orders that gain pay so that nobody loses; empty where nobody is made whole
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
    make_whole: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(MAKE_WHOLE)))
    fees: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(FEES)))
