"""How long do requests wait at a stated load: p50, p90, p95 and p99 of TTFT and TPOT?

One replica in one layout gets requests at a rate of its own. The concurrency that this rate keeps in the replica follows
from Little's law, the waits from the queue (``arrivals``). Above ``busy_max`` of capacity there is no number: the queue is
*saturated*. The interval says what follows if the replica is faster or slower by the factor of its rate: all its times
scale with that factor, and so does how busy it is, so that the far end may be saturated where the centre is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from entrepot.catalogue.records import Accelerator, Model
from entrepot.errors import Fault, InputError
from entrepot.performance.arrivals import Queue, merged, open_loop
from entrepot.performance.memory import batch_max
from entrepot.performance.operating import setting_at
from entrepot.performance.records import F64, Layout, Speculation, Workload
from entrepot.performance.search import DEFAULT_ENGINE, spread_of
from entrepot.performance.service import service
from entrepot.performance.speculative import draft_columns, draft_shape
from entrepot.performance.steady import closed_loop, prompt_seconds

__all__ = ["PERCENTILES", "Latency", "Profile", "latency"]

PERCENTILES = (50.0, 90.0, 95.0, 99.0)
_POINTS = 400  # concurrencies between which the load is looked for


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds at one percentile; ``None`` is saturated: no number can be given."""

    low: float | None
    central: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Profile:
    """One replica at one load.

    Attributes
    ----------
    capacity_requests_per_s : at which the fuller queue never empties
    busy : share of that capacity; ``saturated`` above ``busy_max``
    concurrency : mean requests in the replica
    ttft_ms, tpot_ms : percentile -> milliseconds, as intervals
    """

    layout: Layout
    requests_per_s: float
    capacity_requests_per_s: float
    busy: float
    saturated: bool
    concurrency: float
    ttft_ms: dict[float, Latency]
    tpot_ms: dict[float, Latency]


def latency(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    layout: Layout,
    requests_per_s: float,
    *,
    engine: str = DEFAULT_ENGINE,
    speculation: Speculation | None = None,
) -> Profile:
    """Return what requests meet at one replica in a stated layout; ``layout.batch`` caps the concurrency.

    Parameters
    ----------
    workload : its ``arrival_scv`` is the burstiness at this replica; ``None`` counts as 1 (Poisson)
    requests_per_s : arrivals at this replica, above 0

    Raises
    ------
    InputError
        the rate is not above 0
    MissingFact
        a figure of the chip or the model that no source states
    """
    if not 0 < requests_per_s < 1e9:
        raise InputError(Fault("requests_per_s", f"{requests_per_s:g}", "Write a rate above 0."))
    setting = setting_at(workload, accelerator, model, layout, engine=engine, speculation=speculation)
    draft = None if speculation is None else draft_shape(setting.shape, speculation)
    held = batch_max(
        setting.chip, setting.shape, setting.layouts, setting.mix, kv_bits=layout.kv_bits, draft=draft
    )
    fits = np.maximum(np.minimum(held, layout.batch), 1.0)
    scv = 1.0 if workload.arrival_scv is None else workload.arrival_scv
    at = setting.columns
    lengths, own_share = merged(setting.mix.buckets.isl, setting.mix.buckets.share)
    own = prompt_seconds(at, setting.mix, lengths)
    batch = np.geomspace(1e-3, float(fits[0, 0]), _POINTS)[None, :]
    loop = closed_loop(at, batch, speculation=speculation, draft=draft_columns(setting))
    queue = open_loop(at, setting.mix, loop, batch, fits, scv=scv, own=own, own_share=own_share)
    rates, busy = (np.broadcast_to(x, batch.shape)[0] for x in (queue.requests_per_s, queue.busy))
    full = int(np.searchsorted(busy, 1.0))
    capacity = float(np.interp(1.0, busy, rates)) if full < len(busy) else float(rates[-1] / busy[-1])

    def met(rate: float) -> Queue | None:
        """Return the queue at a rate, unless it is saturated."""
        if np.interp(rate, rates, busy, right=2.0) > service().busy_max:
            return None
        point = int(np.clip(np.searchsorted(rates, rate), 0, len(rates) - 1))
        return queue.take(0, point)

    spread = float(spread_of(setting)[0, 0])
    ends = ((requests_per_s / spread, 1 / spread), (requests_per_s, 1.0), (requests_per_s * spread, spread))
    queues = [(met(rate), factor) for rate, factor in ends]

    def at_percentile(name: str, percentile: float) -> Latency:
        found: list[float | None] = []
        for one, factor in queues:
            if one is None:
                found.append(None)
            else:
                seconds: F64 = getattr(one, name)(percentile)
                found.append(float(seconds[0, 0]) * 1e3 * factor)
        return Latency(*found)

    return Profile(
        layout=layout,
        requests_per_s=requests_per_s,
        capacity_requests_per_s=capacity,
        busy=requests_per_s / capacity,
        saturated=queues[1][0] is None,
        concurrency=float(np.interp(requests_per_s, rates, batch[0])),
        ttft_ms={p: at_percentile("ttft_at", p) for p in PERCENTILES},
        tpot_ms={p: at_percentile("tpot_at", p) for p in PERCENTILES},
    )
