"""What does a report tell? A run is all that one way through the house yields; a story is runs worth setting side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.controls.records import Decision
from entrepot.market.records import Clearing
from entrepot.planning.records import Surplus
from entrepot.scenario.records import Scenario

if TYPE_CHECKING:
    from entrepot.market.verify import Verification

__all__ = ["Run", "Story"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Run:
    """One way through the house: one scenario, cleared on one date, under one reading of contested facts.

    Attributes
    ----------
    rates : service, accelerator, model, mtok_per_device_hour_low, _central, _high (the interval),
        mtok_per_device_hour (the end of it that bids were cleared on), layout, devices_per_replica, batch, ttft_ms,
        tpot_ms, binds, physical_limit_mtok_per_device_hour, basis, reason (why there is no rate, where there is none)
    permits : lot, bid, permitted, outcome, citation, reason: one row per lot and bid
    decisions : the decision behind each row of ``permits``, by (lot, bid)
    surplus : what each holder needs itself, keeps back, and may offer
    capacity : (lots, periods) devices offered after the holder's policy
    demand : (bids, periods) Mtok per hour wanted
    clearing, verification : the allocation with its prices, and the independent check of both
    balances : the ledger's balances after settlement
    audit : what the ledger's audit found, in one line
    """

    scenario: Scenario
    rates: pl.DataFrame
    permits: pl.DataFrame
    decisions: Mapping[tuple[str, str], Decision]
    surplus: Surplus
    capacity: I64
    demand: F64
    clearing: Clearing
    verification: Verification
    balances: pl.DataFrame
    audit: str


@dataclass(frozen=True, slots=True)
class Story:
    """The run that is told, the same market on other dates, and the same date under other readings of contested facts.

    ``dates`` are in date order and ``variants`` in the scenario's order; both include ``main``, and either may be
    ``main`` alone.
    """

    main: Run
    dates: tuple[Run, ...]
    variants: tuple[Run, ...]
