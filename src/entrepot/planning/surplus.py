"""What is left after our own needs and our reserve, hour by hour, and how much of it may we offer?

A service runs on its own party's holdings first. In the order in which services are written, each takes from the holdings
where it does most work per device (ties: the holding written first), in whole replicas, until its demand with headroom is
carried or nothing is left. Of what remains the party keeps its reserve; the rest is surplus:

    held = own need + reserve + surplus,   reserve = min(ceil(reserve_share x held), held - own need).

Holdings are not pooled: a replica stands in one holding. All steps run over all periods at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import polars as pl

from entrepot.planning.records import F64, I64, Need, Surplus
from entrepot.scenario.records import Scenario, Service

__all__ = ["Surplus", "demand_of", "need", "surplus"]

_EPS = 1e-9  # of a replica: float noise must not cost one


def demand_of(service: Service, steps: int) -> F64:
    """Return the mean demand of each hour.

    Parameters
    ----------
    service : requests_per_s is the mean of the day; 24 relative values by hour
    steps : number of steps of the horizon; demand is the same in each

    Returns
    -------
    (periods,) Mtok/h, without headroom: requests/s x 3600 x mean output tokens / 10^6
    """
    mtok_per_h = service.requests_per_s * 3600.0 * float(service.osl @ service.share) / 1e6
    demand: F64 = np.tile(service.hourly * mtok_per_h, steps)
    return demand


def need(scenario: Scenario, rates: pl.DataFrame) -> Need:
    """Put every party's own services on its own holdings.

    Parameters
    ----------
    rates : service str, accelerator str, mtok_per_device_hour f64, devices_per_replica i64; one row per pair. A pair that is
        absent, null or 0 has no rate: the service cannot use that accelerator

    Returns
    -------
    Devices by service and holding, and the demand that stays unserved. Devices carry headroom, so ``unserved`` is the mean
    demand less the capacity over the headroom.
    """
    periods = scenario.horizon.periods
    steps = len(scenario.horizon.step_starts) - 1
    rate = _rates(rates)
    held = np.array([h.quantity for h in scenario.holdings], dtype=np.int64)
    free: I64 = np.repeat(held[:, None], periods, axis=1)  # (holdings, periods)
    pairs: list[tuple[int, int]] = []
    devices: list[I64] = []
    demand = np.array([demand_of(service, steps) for service in scenario.services.values()]).reshape(
        -1, periods
    )
    unserved = np.zeros_like(demand)
    for s, service in enumerate(scenario.services.values()):
        carried = np.zeros(periods)
        for h, per_device, replica in _usable(scenario, service, rate):
            missing = np.maximum(demand[s] * service.headroom - carried, 0.0)
            replicas = np.ceil(missing / (per_device * replica) - _EPS)
            take = np.minimum(replicas, free[h] // replica).astype(np.int64) * replica
            if take.any():
                free[h] -= take
                carried += take * per_device
                pairs.append((s, h))
                devices.append(take)
        left = demand[s] - carried / service.headroom
        unserved[s] = np.where(left > _EPS * demand[s], left, 0.0)
    return Need(
        services=tuple(scenario.services),
        holdings=tuple(h.id for h in scenario.holdings),
        by_holding=held[:, None] - free,
        pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        devices=np.array(devices, dtype=np.int64).reshape(-1, periods),
        demand=demand,
        unserved=unserved,
    )


def _usable(
    scenario: Scenario, service: Service, rate: Mapping[tuple[str, str], tuple[float, int]]
) -> list[tuple[int, float, int]]:
    """Return the own holdings that a service can use, best first: index, Mtok per device-hour, devices of a replica."""
    usable = [
        (h, *rate[service.id, holding.accelerator])
        for h, holding in enumerate(scenario.holdings)
        if holding.party == service.party and (service.id, holding.accelerator) in rate
    ]
    return sorted(usable, key=lambda one: -one[1])


def _rates(rates: pl.DataFrame) -> dict[tuple[str, str], tuple[float, int]]:
    """Return rate and replica size of each pair that has one."""
    usable = rates.filter(pl.col("mtok_per_device_hour") > 0)
    columns = ("service", "accelerator", "mtok_per_device_hour", "devices_per_replica")
    return {
        (service, accelerator): (float(rate), int(replica))
        for service, accelerator, rate, replica in usable.select(columns).iter_rows()
    }


def surplus(scenario: Scenario, rates: pl.DataFrame) -> Surplus:
    """Return what each holder needs itself, keeps back, and has left in each period.

    Parameters
    ----------
    rates : as in `need`
    """
    needed = need(scenario, rates)
    periods = scenario.horizon.periods
    held = np.array([h.quantity for h in scenario.holdings], dtype=np.int64)
    kept = np.array(
        [
            math.ceil(scenario.parties[h.party].policy.reserve_share * h.quantity - 1e-9)
            for h in scenario.holdings
        ],
        dtype=np.int64,
    )
    after_need = held[:, None] - needed.by_holding
    reserve = np.minimum(kept[:, None], after_need)
    ids = [h.id for h in scenario.holdings]
    by_period = pl.DataFrame(
        {
            "holding": _each(ids, periods),
            "party": _each([h.party for h in scenario.holdings], periods),
            "accelerator": _each([h.accelerator for h in scenario.holdings], periods),
            "site": _each([h.site for h in scenario.holdings], periods),
            "period": np.tile(np.arange(periods, dtype=np.int64), len(ids)),
            "held": np.repeat(held, periods),
            "own_need": needed.by_holding.ravel(),
            "reserve": reserve.ravel(),
            "surplus": (after_need - reserve).ravel(),
        }
    )
    return Surplus(
        by_period=by_period, own_use=_own_use(needed, periods), unserved=_unserved(scenario, needed, periods)
    )


def _each(names: list[str], periods: int) -> pl.Series:
    """Return each name ``periods`` times."""
    return pl.Series(names, dtype=pl.String).gather(np.repeat(np.arange(len(names)), periods))


def _own_use(needed: Need, periods: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "service": _each([needed.services[s] for s in needed.pairs[:, 0]], periods),
            "holding": _each([needed.holdings[h] for h in needed.pairs[:, 1]], periods),
            "period": np.tile(np.arange(periods, dtype=np.int64), len(needed.pairs)),
            "devices": needed.devices.ravel(),
        }
    ).filter(pl.col("devices") > 0)


def _unserved(scenario: Scenario, needed: Need, periods: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "service": _each(list(needed.services), periods),
            "party": _each([s.party for s in scenario.services.values()], periods),
            "period": np.tile(np.arange(periods, dtype=np.int64), len(needed.services)),
            "demand_mtok_per_h": needed.demand.ravel(),
            "mtok_per_h": needed.unserved.ravel(),
        }
    )
