"""What does a user write? Parties, sites, holdings, services, lots, bids, orders: a scenario, validated once.

Everything here has passed the door (`entrepot.scenario.read`) and is trusted from then on. Money is exact: `Decimal` in
the scenario's one currency. Countries are ISO 3166-1 alpha-2. Time is UTC.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Assumption",
    "Bid",
    "Holding",
    "Horizon",
    "Lot",
    "LotKind",
    "Order",
    "Party",
    "Policy",
    "PrivateYield",
    "Scenario",
    "Service",
    "Site",
]


class LotKind(StrEnum):
    """What is offered: the use of devices in a window, or the devices."""

    LEASE = "lease"
    SALE = "sale"


@dataclass(frozen=True, slots=True)
class Assumption:
    """A figure of the scenario that no source states: what was assumed, and why that value."""

    field: str
    text: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How much of its own a holder may offer.

    ``reserve_share`` of its inventory is kept back on top of its own need; at most ``sale_share_max`` of its
    inventory may be offered outside, in all lots together. Both 0..1.
    """

    reserve_share: float = 0.0
    sale_share_max: float = 1.0


@dataclass(frozen=True, slots=True)
class Party:
    """A holder, buyer, vendor or operator. ``None`` is unknown, as in the controls."""

    id: str
    name: str
    headquarters: str | None
    ultimate_parent_headquarters: str | None
    listings: tuple[str, ...] | None
    military_end_user: bool | None
    supercomputer_end_use: bool | None
    knowledge_of_violation: bool | None
    letters: tuple[str, ...]
    policy: Policy
    note: str


@dataclass(frozen=True, slots=True)
class Site:
    """A data centre: where devices stand."""

    id: str
    name: str
    country: str
    operator: str


@dataclass(frozen=True, slots=True)
class Holding:
    """Units of one accelerator at one site, owned by one party, of one provenance."""

    id: str
    party: str
    accelerator: str
    site: str
    quantity: int
    imported_on: dt.date | None
    imported_from: str | None
    authorisation: str | None
    conditions: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Service:
    """An AI application's demand.

    Attributes
    ----------
    requests_per_s : mean over the day
    hourly : (24,) demand of each hour (UTC) over the mean of the day; mean 1
    headroom : peak over the mean *of the hour* that must be carried (bursts, days above the average); >= 1
    isl, osl, share : (buckets,) tokens in, tokens out, share of requests
    """

    id: str
    party: str
    model: str
    requests_per_s: float
    hourly: NDArray[np.float64]
    headroom: float
    isl: NDArray[np.float64]
    osl: NDArray[np.float64]
    share: NDArray[np.float64]
    mix: str
    prefix_hit_share: float
    ttft_ms: float | None
    tpot_ms: float | None
    note: str


@dataclass(frozen=True, slots=True)
class Lot:
    """Capacity offered. ``quantity`` ``None`` means: all that is surplus under the holder's policy.

    ``ask`` is per device-hour for a lease and per device for a sale. ``hours`` are the hours of the day (UTC) in
    which a lease is offered. It lets at least ``min_fill`` devices or none; at most one lot of a ``group`` is taken; a lot
    that ``waits_for`` a licence is offered when it is granted. A ``whole`` lot is sold for its whole window at one quantity or not at all in part of it.
    """

    id: str
    seller: str
    holding: str | None  # the holding it comes from, or
    order: str | None  # the vendor order it comes from
    accelerator: str
    site: str
    kind: LotKind
    quantity: int | None
    block: int
    ask: Decimal
    start: dt.date
    end: dt.date
    hours: tuple[int, ...]
    whole: bool
    note: str
    min_fill: int = 0  # devices; all or none is its quantity or more
    group: str = ""
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class Bid:
    """Work wanted: a share of a service's demand, with a limit price per Mtok (10^6 output tokens of its mix).

    ``share`` ``None`` means: all that the bidder's own holdings do not serve. Empty ``accelerators``, ``countries``,
    ``sites`` and ``kinds`` mean no preference. With ``total_mtok`` the share is the most in any hour.
    """

    id: str
    buyer: str
    service: str
    share: float | None
    limit_per_mtok: Decimal
    site: str  # where the buyer takes devices that it buys
    accelerators: tuple[str, ...]
    countries: tuple[str, ...]
    kinds: tuple[LotKind, ...]
    start: dt.date
    end: dt.date
    note: str
    sites: tuple[str, ...] = ()
    min_share: float = 0.0  # all or none is 1
    one_pool: bool = False
    term: bool = False
    total_mtok: float | None = None
    group: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """Units that a vendor will deliver: ordered by a buyer, waiting for lead time and perhaps for a licence."""

    id: str
    vendor: str
    accelerator: str
    origin: str  # country from which it ships
    quantity: int
    block: int
    price: Decimal  # per device
    ordered_on: dt.date
    deliverable_from: dt.date
    note: str
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class PrivateYield:
    """What a bidder itself gets out of a chip, over the estimated rate; ``source`` says who measured it."""

    bid: str
    accelerator: str
    factor: float
    source: str


@dataclass(frozen=True, slots=True)
class Horizon:
    """The time that a clearing covers, cut into periods.

    A period is one hour of the day within one step: ``step`` is ``"day"``, ``"week"``, ``"month"``, ``"quarter"`` or
    ``"all"``. It stands for that hour on every day of the step, so a year by quarters is 4 x 24 periods.

    Attributes
    ----------
    step_starts : first day of each step, and at the end the first day after the horizon
    """

    start: dt.date
    end: dt.date
    step: str
    step_starts: tuple[dt.date, ...]

    @property
    def periods(self) -> int:
        """Number of periods."""
        return 24 * (len(self.step_starts) - 1)

    @property
    def weight_hours(self) -> NDArray[np.float64]:
        """(periods,) real hours that each period stands for."""
        days = [(b - a).days for a, b in zip(self.step_starts, self.step_starts[1:], strict=False)]
        return np.repeat(np.asarray(days, dtype=np.float64), 24)

    def mask(self, start: dt.date, end: dt.date, hours: tuple[int, ...] | None = None) -> NDArray[np.bool_]:
        """Return (periods,) which periods lie in [start, end) and in ``hours`` of the day."""
        inside = np.array([start <= day < end for day in self.step_starts[:-1]], dtype=np.bool_)
        of_day = np.ones(24, dtype=np.bool_) if hours is None else np.isin(np.arange(24), hours)
        return np.outer(inside, of_day).ravel()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One market on one day, as people wrote it.

    ``as_of`` is the day on which the law is read and the market is cleared. ``residual`` is what one bought device is
    worth to its owner at the end of the horizon. ``dates`` are other days worth clearing; ``variants`` are named
    readings of contested facts, of which ``variant`` is the one that is open. ``claims`` lists the ids of reported
    claims (subject, predicate) that the report sets beside the results.
    """

    name: str
    title: str
    story: str
    path: Path | None
    as_of: dt.date
    dates: Mapping[dt.date, str]
    variant: str | None
    variants: Mapping[str, str]
    currency: str
    horizon: Horizon
    rate_basis: str  # "low", "central" or "high" end of the rate interval that bids are cleared on
    seed: str
    residual: Mapping[str, Decimal]
    parties: Mapping[str, Party]
    sites: Mapping[str, Site]
    holdings: tuple[Holding, ...]
    services: Mapping[str, Service]
    lots: tuple[Lot, ...]
    bids: tuple[Bid, ...]
    orders: tuple[Order, ...]
    assumptions: tuple[Assumption, ...]
    claims: tuple[tuple[str, str], ...]
    granted: tuple[str, ...] = ()  # licences that are taken to be granted
    yields: tuple[PrivateYield, ...] = ()
