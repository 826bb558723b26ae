"""How many devices does a service need, hour by hour?

Devices come in whole replicas of the layout that the estimate chose. The need is an interval as the rate is: few devices
at the high end of the rate, many at the low end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.errors import Fault, InputError, MissingFact
from entrepot.performance.estimate import DEFAULT_ENGINE, estimate
from entrepot.performance.records import F64, Estimate, Speculation, Workload

__all__ = ["I64", "Sizing", "size"]

I64: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Sizing:
    """Devices per entry of the demand, whole replicas; ``low <= central <= high`` devices."""

    estimate: Estimate
    replica_devices: int
    devices_low: I64
    devices_central: I64
    devices_high: I64


def size(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    requests_per_s: F64,
    *,
    formats: Sequence[NumberFormat] | None = None,
    kv_bits: int = 16,
    engine: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
    speculation: Speculation | None = None,
    pools: bool = False,
) -> Sizing:
    """Return the devices that serve a demand within the workload's SLO.

    Parameters
    ----------
    workload : its ``arrival_scv`` is the burstiness of the whole service here; a router that spreads requests at random over n
        replicas leaves ``1 + (scv - 1)/n`` at each
    requests_per_s : (n,) requests of the mix per second, >= 0; at 0 nothing is needed
    formats, kv_bits, engine, devices_max, speculation, pools : as in ``estimate``

    Raises
    ------
    InputError
        a request rate is below 0 or not a number
    MissingFact
        there is no rate for this chip, for the reason that the message gives
    """
    demand = np.asarray(requests_per_s, dtype=np.float64)
    if not (np.isfinite(demand).all() and (demand >= 0).all()):
        raise InputError(
            Fault("requests_per_s", "a rate is below 0 or not a number", "Write requests per second.")
        )
    options = {
        "formats": formats,
        "kv_bits": kv_bits,
        "engine": engine,
        "devices_max": devices_max,
        "speculation": speculation,
        "pools": pools,
    }
    answer = _spread_over(workload, accelerator, model, float(demand.max(initial=0.0)), options)
    if answer.mtok_per_device_hour is None or answer.layout is None:
        raise MissingFact(f"no rate for {workload.id} on {accelerator.id}: {answer.reason}")
    mtok_per_hour = demand * workload.mean_osl * 3600 / 1e6
    replica = answer.layout.devices
    rate = answer.mtok_per_device_hour

    def devices(per_device: float) -> I64:
        replicas = np.ceil(mtok_per_hour / (per_device * replica) - 1e-9)
        return (np.maximum(replicas, np.where(demand > 0, 1, 0)) * replica).astype(np.int64)

    return Sizing(answer, replica, devices(rate.high), devices(rate.central), devices(rate.low))


def _spread_over(
    workload: Workload, accelerator: Accelerator, model: Model, peak: float, options: dict[str, Any]
) -> Estimate:
    """Return the estimate with the burstiness that is left at each of the replicas that the peak needs."""
    answer = estimate(workload, accelerator, model, **options)
    if workload.arrival_scv is None or workload.arrival_scv <= 1:
        return answer
    for _ in range(4):
        if answer.mtok_per_device_hour is None or answer.layout is None:
            replicas = max(
                peak, 1.0
            )  # not even one fits the whole burst: begin with as many as requests per second
        else:
            per_replica = answer.mtok_per_device_hour.central * answer.layout.devices
            replicas = max(peak * workload.mean_osl * 3600 / 1e6 / per_replica, 1.0)
        left = 1 + (workload.arrival_scv - 1) / replicas
        answer = estimate(replace(workload, arrival_scv=left), accelerator, model, **options)
    return answer
