"""What do prefill and decode deliver when each has devices of its own, and in which ratio?

A prefill pool computes prompts and sends their cache over the network; a decode pool never waits for a prompt. Each pool
has its own layout, the best for its phase, and the pools are matched by rate::

    prefill   requests/s of a replica = busy / prefill of a mean request,   TTFT = constant + own + wait(busy) + transfer
    decode    requests/s of a replica = share batch / ((osl - 1) TPOT),     TPOT = step(batch) / tokens per step
    x : y     the whole numbers with most requests per second and device,  min(x prefill, y decode) / (x Dp + y Dd)
    transfer  cache of the prompt / (link bytes/s x devices that send)

The cache crosses on the scale-up link of a super-node where there is one, else on one NIC per device, which also caps the
rate. The first token counts when the cache has crossed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from entrepot.performance.arrivals import Queue, open_loop, wait
from entrepot.performance.chip import GB
from entrepot.performance.columns import Columns
from entrepot.performance.efficiency import serving
from entrepot.performance.records import F64, Slo
from entrepot.performance.service import service
from entrepot.performance.steady import Loop, closed_loop, front_wait, percentile_stretch
from entrepot.performance.step import Setting

__all__ = ["Apart", "apart", "closed_pools", "transfer_bytes"]

_BUSY = np.linspace(0.30, 0.90, 25)
_NONE: F64 = np.zeros((1, 1))


@dataclass(frozen=True, slots=True)
class Apart:
    """The best pair of pools: rows of the layouts, replicas of each, and what they reach together.

    ``queue`` is the prefill pool's, whose TTFT is the request's; ``tpot`` is in seconds at the percentile of the SLO;
    ``tokens_per_s`` per device of both pools.
    """

    prefill_row: int
    decode_row: int
    decode_column: int
    prefill_replicas: int
    decode_replicas: int
    busy: float
    transfer: float
    queue: Queue
    tpot: float
    tokens_per_s: float
    requests_per_s: float


def transfer_bytes(setting: Setting) -> float:
    """Return the cache of a mean prompt, whole, that goes from one pool to the other."""
    shape, mix = setting.shape, setting.mix
    inside = (
        mix.isl if not shape.window else float(np.minimum(mix.buckets.isl, shape.window) @ mix.buckets.share)
    )
    elements = shape.kv_elements * mix.isl + shape.window_elements * inside + shape.state_elements
    return float(elements * setting.kv_bits / 8)


def apart(
    setting: Setting,
    at: Columns,
    fits: F64,
    loop: Loop,
    batch: F64,
    slo: Slo,
    scv: float | None,
    own: F64,
    own_share: F64,
    spread: F64,
) -> Apart | None:
    """Return the best pair of pools within the SLO, or ``None`` where there is none.

    Parameters
    ----------
    fits : (layouts, 1) sequences that fit
    loop : times of every (layout, batch); decode alone is its ``per_token``
    scv : burstiness of the arrivals at the prefill pool; ``None``, a closed loop, counts as 1
    own, own_share : (layouts, lengths) seconds of prefill of each input length, (lengths,) its share of requests
    spread : (layouts, 1) factor of the interval: pools are paired by the low end, with the wider factor of the two
    """
    mix = setting.mix
    outputs = float(np.maximum(mix.buckets.osl - 1, 0.0) @ mix.buckets.share)
    if outputs <= 0 or mix.computed == 0:  # nothing for one of the pools to do
        return None
    decode_rate, column_of, tpot_of = _decode(setting, at, fits, loop, batch, slo, scv, outputs)
    prompt = loop.prompt[:, -1:]  # chunks are full
    burst = 1.0 if scv is None else scv
    waited, chance = wait(
        _BUSY[None, :] + 0 * prompt, prompt, np.asarray(at.dp, float), burst, _spread_of_prompts(setting)
    )
    sent = transfer_bytes(setting)
    devices = setting.layouts.devices
    line = _line(setting, devices)
    queue = _prefill_queue(at, waited, chance, sent / line, own, own_share)
    ok = np.broadcast_to(fits >= 1, waited.shape)
    if slo.ttft_ms is not None:
        ok = ok & (queue.ttft_within(slo.ttft_ms * 1e-3) >= slo.percentile / 100)
    rate = np.minimum(_BUSY[None, :] / prompt, line / max(sent, 1e-9))  # requests/s of a replica
    level_of = np.where(ok, rate, -1.0).argmax(
        axis=1
    )  # the busiest that the limit on TTFT lets each layout be
    prefill_rate = np.where(ok, rate, 0.0).max(axis=1)
    if not (prefill_rate.any() and decode_rate.any()):
        return None
    prefill_row, row, x, y = _ratio(prefill_rate, decode_rate, devices[:, 0], spread[:, 0])
    level, column = int(level_of[prefill_row]), int(column_of[row])
    served = min(x * float(prefill_rate[prefill_row]), y * float(decode_rate[row]))
    return Apart(
        prefill_row=prefill_row,
        decode_row=row,
        decode_column=column,
        prefill_replicas=x,
        decode_replicas=y,
        busy=float(_BUSY[level]),
        transfer=sent / float(line[prefill_row, 0]),
        queue=queue.take(prefill_row, level),
        tpot=tpot_of(row, column),
        tokens_per_s=served * mix.osl / float(x * devices[prefill_row, 0] + y * devices[row, 0]),
        requests_per_s=served,
    )


def _decode(
    setting: Setting,
    at: Columns,
    fits: F64,
    loop: Loop,
    batch: F64,
    slo: Slo,
    scv: float | None,
    outputs: float,
) -> tuple[F64, NDArray[np.intp], Callable[[int, int], float]]:
    """Return requests/s of a decode replica of each layout at its best batch, that batch, and how to get its TPOT."""
    quiet = replace(loop, tpot=loop.per_token, prompt=np.zeros_like(loop.prompt))
    limit = np.inf if slo.tpot_ms is None else slo.tpot_ms * 1e-3
    if scv is None:
        tpot = loop.per_token * percentile_stretch(slo.percentile)[1]
        ok = tpot <= limit

        def reached(row: int, column: int) -> float:
            return float(tpot[row, column])
    else:
        queue = open_loop(at, setting.mix, quiet, batch, fits, scv=scv, own=_NONE, own_share=np.ones(1))
        ok = (queue.busy <= service().busy_max) & (queue.tpot_within(limit) >= slo.percentile / 100)

        def reached(row: int, column: int) -> float:
            return float(queue.take(row, column).tpot_at(slo.percentile)[0, 0])

    rate = np.where(ok & (fits >= 1), service().decode_share * batch / (outputs * loop.per_token), 0.0)
    return rate.max(axis=1), rate.argmax(axis=1), reached


def _spread_of_prompts(setting: Setting) -> float:
    isl, share = setting.mix.buckets.isl, setting.mix.buckets.share
    mean = float(isl @ share)
    return max(float(isl**2 @ share) / mean**2 - 1, 0.0)


def _line(setting: Setting, devices: F64) -> F64:
    """Bytes per second that a prefill replica sends: over the super-node's link where there is one, else a NIC per device."""
    constants, chip = serving(), setting.chip
    nic = constants.scaleout_gb_s * constants.scaleout_share * GB
    if chip.link_bytes_s is None or chip.domain < service().super_node:
        return devices * nic
    return devices * chip.link_bytes_s / 2 * chip.efficiency.link


def _prefill_queue(at: Columns, waited: F64, chance: F64, after: F64, own: F64, own_share: F64) -> Queue:
    nothing = np.zeros((1, 1, 1))
    return Queue(
        requests_per_s=nothing[0],
        busy=_BUSY[None, :],
        wait=waited,
        waits=chance,
        base=np.asarray(at.ttft_constant_s + at.frontend_s + after),
        own=own,
        own_share=own_share,
        tpot=nothing[0],
        floor=nothing[0],
        by_length=nothing,
        spread=nothing,
        spread_share=np.ones(1),
    )


def _ratio(prefill_rate: F64, decode_rate: F64, devices: F64, spread: F64) -> tuple[int, int, int, int]:
    """Return the prefill layout, the decode layout and the replicas of each that serve most per device, at the low end.

    Parameters
    ----------
    prefill_rate, decode_rate, devices, spread : (layouts,) requests/s of one replica in either phase, its devices, and the
        factor of its interval
    """
    # of layouts that are alike in devices and spread only the fastest of each phase can be the best
    kinds, kind = np.unique(np.stack([devices, spread], axis=1), axis=0, return_inverse=True)
    kind = kind.ravel()
    first = np.array([np.where(kind == n, prefill_rate, -1.0).argmax() for n in range(len(kinds))])
    second = np.array([np.where(kind == n, decode_rate, -1.0).argmax() for n in range(len(kinds))])
    count = np.arange(1.0, service().replicas_max + 1)
    x, y = count[None, None, :, None], count[None, None, None, :]
    size, wide = kinds[:, 0], kinds[:, 1]
    together = x * size[:, None, None, None] + y * size[None, :, None, None]
    served = np.minimum(
        x * prefill_rate[first][:, None, None, None], y * decode_rate[second][None, :, None, None]
    )
    per_device = served / together / np.maximum.outer(wide, wide)[:, :, None, None]
    best = per_device >= per_device.max() * (1 - 1e-9)
    fewest = int(np.where(best, together, np.inf).argmin())
    row, other, i, j = (int(n) for n in np.unravel_index(fewest, together.shape))
    return int(first[row]), int(second[other]), i + 1, j + 1


def closed_pools(
    prefill: Columns, decode: Columns, workers: tuple[F64, F64], concurrency: F64, sent_s: F64
) -> tuple[F64, F64]:
    """Return mean TTFT and TPOT, seconds, of a closed loop over a stated pair of pools, (points, 1) each.

    Parameters
    ----------
    prefill, decode : what one worker of either pool is, (points, 1) columns
    workers : workers of the prefill pool and of the decode pool
    concurrency : requests in the system
    sent_s : seconds until the cache of a mean prompt has crossed

    Notes
    -----
    Requests go round between prefill, one queue whose workers share the work, and decode, where a request only stays. A
    decode worker holds its part of those that are not in prefill.
    """
    first, second = workers
    busy = closed_loop(prefill, np.maximum(concurrency / first, 1.0))
    each = busy.prompt / first
    fixed = prefill.ttft_constant_s + prefill.frontend_s + busy.own + sent_s
    fixed = (
        fixed
        + prefill.ttft_burst * np.maximum(concurrency - 1, 0.0) ** prefill.ttft_burst_exponent * each / 2
    )
    outputs = np.maximum(decode.osl - 1, 1.0)
    held = np.maximum(concurrency / second, 1.0)
    for _ in range(40):
        tpot = closed_loop(decode, held).per_token
        stay = outputs * tpot
        queued = front_wait(each, concurrency, fixed + stay) - each
        share = stay / (stay + fixed + queued)
        held = np.maximum((held + concurrency * share / second) / 2, 1.0)
    return np.asarray(fixed + queued), np.asarray(tpot)
