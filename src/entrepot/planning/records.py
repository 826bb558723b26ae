"""What does a holder need itself, and what is left? The nouns of this stage, as tables.

Devices are whole numbers; work is Mtok (10^6 output tokens of a service's mix) per hour. A period is one hour of the day
within one step of the horizon: see `entrepot.scenario.records.Horizon`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["F64", "I64", "Need", "Surplus"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Need:
    """Which of their own devices the parties' services use.

    Attributes
    ----------
    services, holdings : ids, the order of the arrays' rows
    by_holding : (holdings, periods) devices that the owner's services use
    pairs : (pairs, 2) index of service and of holding of each row of ``devices``; only pairs that are used at all
    devices : (pairs, periods) devices that the service uses of the holding, whole replicas
    demand : (services, periods) Mtok/h wanted in the mean of the hour, without headroom
    unserved : (services, periods) Mtok/h of that which the party's own holdings do not carry
    """

    services: tuple[str, ...]
    holdings: tuple[str, ...]
    by_holding: I64
    pairs: I64
    devices: I64
    demand: F64
    unserved: F64


@dataclass(frozen=True, slots=True)
class Surplus:
    """What is held, needed, kept back and left over.

    Attributes
    ----------
    by_period : holding str, party str, accelerator str, site str, period i64, held i64, own_need i64, reserve i64,
        surplus i64 (devices; held = own_need + reserve + surplus, none negative)
    own_use : service str, holding str, period i64, devices i64: rows where devices > 0
    unserved : service str, party str, period i64, demand_mtok_per_h f64, mtok_per_h f64: the mean demand of the hour, and
        what of it the party's own holdings do not carry
    """

    by_period: pl.DataFrame
    own_use: pl.DataFrame
    unserved: pl.DataFrame
