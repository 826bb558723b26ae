"""How long does a request wait when requests come on their own, not one after the other?

A closed loop (a benchmark at fixed concurrency) never overloads itself; users do. Here requests arrive at a rate, with a
burstiness: ``scv``, the squared coefficient of variation of the times between them (1 is Poisson). A replica is two
queues in a row with the step model's own times::

    slots     B sequences fit in memory; a slot is held for  stay = prefill + (osl - 1) TPOT
    prefill   DP ranks compute prompts;  service = prefill + the decode steps that its chunks ride on
    wait      = (ca2 + cs2)/2  service/m  rho^(sqrt(2(m+1)) - 1) / (1 - rho)       for m servers
    P(wait)   = rho^(sqrt(2(m+1)) - 1);  a wait that happens is exponential
    TTFT      = constant + steps waited + own prefill + wait                        TPOT as in the closed loop

Percentiles come from the mix (each input length has its own prefill), from the wait, and for TPOT from how many prefills
of others fall into a request's life and how the concurrency moves meanwhile: its variance is ``z n`` with the peakedness
``z = 1 + (ca2 - 1) E[min(S, S')]/E[S]`` of a service without queue. A replica that is run step by step is the second opinion
(tests/performance/test_simulation.py).

Sources: Sakasegawa, Ann. Inst. Stat. Math. 29 (1977) for the power of rho; Whitt, "Approximations for the GI/G/m queue",
POM 2 (1993) for the two variabilities; Whitt, "Heavy-traffic approximations for service systems with blocking", AT&T
BLTJ 63 (1984) for the peakedness.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from entrepot.performance.columns import Columns
from entrepot.performance.mix import Mix
from entrepot.performance.records import F64
from entrepot.performance.steady import Loop

__all__ = ["Queue", "merged", "normal_cdf", "open_loop", "wait"]


@dataclass(frozen=True, slots=True)
class Queue:
    """A replica under open arrivals, every array broadcasting to (layouts, batches).

    Attributes
    ----------
    requests_per_s : arrivals at one replica that keep ``batch`` requests in it
    busy : the larger utilisation of the two queues; 1 and more never settles
    wait, waits : mean seconds waited, and the chance to wait at all
    base : seconds of TTFT that no length and no queue changes
    own, own_share : (layouts, lengths) seconds of prefill of each input length, (lengths,) its share of requests
    tpot, floor : mean seconds per output token, and those of a sequence alone
    by_length, spread, spread_share : (lengths, layouts, batches) mean and standard deviation of a request's TPOT by output
        length, (lengths,) the share of requests; what is above the floor is lognormal
    """

    requests_per_s: F64
    busy: F64
    wait: F64
    waits: F64
    base: F64
    own: F64
    own_share: F64
    tpot: F64
    floor: F64
    by_length: F64
    spread: F64
    spread_share: F64

    @property
    def ttft(self) -> F64:
        """Mean seconds to the first token."""
        return self.base + self.wait + (self.own @ self.own_share)[:, None]

    def take(self, row: int, column: int) -> Queue:
        """Return one (layout, batch) alone."""
        shape = np.broadcast_shapes(self.wait.shape, self.tpot.shape, self.busy.shape)

        def one(values: F64) -> F64:
            return np.broadcast_to(values, shape)[row : row + 1, column : column + 1]

        spread = np.broadcast_to(self.spread, (self.spread.shape[0], *shape))
        by_length = np.broadcast_to(self.by_length, (self.by_length.shape[0], *shape))
        return Queue(
            requests_per_s=one(self.requests_per_s),
            busy=one(self.busy),
            wait=one(self.wait),
            waits=one(self.waits),
            base=one(self.base),
            own=self.own[row : row + 1],
            own_share=self.own_share,
            tpot=one(self.tpot),
            floor=one(self.floor),
            by_length=by_length[:, row : row + 1, column : column + 1],
            spread=spread[:, row : row + 1, column : column + 1],
            spread_share=self.spread_share,
        )

    def ttft_within(self, seconds: F64 | float) -> F64:
        """Return the share of requests whose first token comes within ``seconds``."""
        left = (seconds - self.base)[None] - self.own.T[:, :, None]  # (lengths, layouts, batches)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            late = np.where(
                self.wait > 0, self.waits * np.exp(-np.maximum(left, 0.0) * self.waits / self.wait), 0.0
            )
        inside = np.where(left >= 0, 1.0 - late, 0.0)
        share: F64 = (self.own_share[:, None, None] * inside).sum(axis=0)
        return np.where(self.busy < 1, share, 0.0)

    def tpot_within(self, seconds: F64 | float) -> F64:
        """Return the share of requests whose mean time per output token is within ``seconds``."""
        above = self.by_length - self.floor[None]
        left = (seconds - self.floor)[None] + 0 * above
        with np.errstate(divide="ignore", invalid="ignore"):
            wide = np.log1p((self.spread / above) ** 2)
            depth = (np.log(np.maximum(left, 0.0) / above) + wide / 2) / np.sqrt(wide)
        sharp = (above <= 0) | (self.spread <= 0)
        depth = np.where(sharp, np.where(left >= above, np.inf, -np.inf), depth)
        depth = np.where(left < 0, -np.inf, depth)
        share: F64 = (self.spread_share[:, None, None] * normal_cdf(depth)).sum(axis=0)
        return share

    def ttft_at(self, percentile: float) -> F64:
        """Return the seconds within which ``percentile`` % of first tokens come; ``inf`` where the queue never settles."""
        most = (
            self.base
            + self.own.max(axis=1)[:, None]
            + 60 * np.where(self.waits > 0, self.wait / np.maximum(self.waits, 1e-12), 0.0)
        )
        found = _bisect(self.ttft_within, np.zeros_like(most), most, percentile / 100)
        return np.where(self.busy < 1, found, np.inf)

    def tpot_at(self, percentile: float) -> F64:
        """Return the seconds per output token that ``percentile`` % of requests stay within."""
        most = self.by_length.max(axis=0) + 40 * self.spread.max(axis=0)
        return _bisect(
            self.tpot_within, np.minimum(self.floor + 0 * most, most), most * (1 + 1e-12), percentile / 100
        )


def open_loop(
    at: Columns,
    mix: Mix,
    loop: Loop,
    batch: F64,
    fits: F64,
    *,
    scv: float,
    own: F64,
    own_share: F64,
) -> Queue:
    """Return what requests meet at a replica that holds ``batch`` of them in the mean.

    Parameters
    ----------
    loop : the closed loop's times at ``batch``
    fits : (layouts, 1) sequences that fit; the last column of ``batch`` must reach it for the slots' capacity
    scv : of the times between arrivals at this replica, >= 0
    own, own_share : (layouts, lengths) seconds of prefill of each input length, (lengths,) its share of requests
    """
    steps = loop.steps_waited
    stay = steps + loop.own + np.maximum(at.osl - 1, 0.0) * loop.tpot
    arrivals = batch / stay
    marg = loop.prompt
    carried = (
        loop.decode.whole * at.computed / (at.chunk * at.dp)
    )  # steps of the others that the chunks ride on
    of_prompts, of_outputs = (
        _scv(mix.buckets.isl, mix.buckets.share),
        _scv(mix.buckets.osl, mix.buckets.share),
    )
    at_prefill = arrivals * (marg + carried)
    prefill_wait, prefill_waits = wait(
        at_prefill, marg + carried, np.asarray(at.dp, dtype=np.float64), scv, of_prompts
    )
    most = np.where(np.isfinite(arrivals), arrivals, 0.0).max(axis=1, keepdims=True)
    at_slots = arrivals / most
    slot_wait, slot_waits = wait(at_slots, 1.0 / most, np.maximum(fits, 1.0), scv, of_outputs)
    outputs, out_share = merged(mix.buckets.osl, mix.buckets.share)
    by_length, spread = _tpot_by_length(at, mix, loop, batch, arrivals, scv, outputs)
    return Queue(
        requests_per_s=np.asarray(arrivals),
        busy=np.maximum(at_prefill, at_slots),
        wait=np.asarray(prefill_wait + slot_wait),
        waits=np.asarray(1 - (1 - prefill_waits) * (1 - slot_waits)),
        base=np.asarray(at.ttft_constant_s + at.frontend_s + steps),
        own=own,
        own_share=own_share,
        tpot=np.asarray((out_share[:, None, None] * by_length).sum(axis=0)),
        floor=np.asarray(np.minimum(loop.per_token[:, :1], loop.per_token)),
        by_length=by_length,
        spread=spread,
        spread_share=out_share,
    )


def wait(busy: F64, service: F64, servers: F64, scv: float, service_scv: float | F64) -> tuple[F64, F64]:
    """Return the mean wait of a GI/G/m queue, and the chance to wait at all.

    Parameters
    ----------
    busy : utilisation; at 1 and above the wait is ``inf``
    service : seconds between departures of ``servers`` busy servers: one server's mean time over their number

    Examples
    --------
    One server, Poisson arrivals, exponential service, half busy: waits one service time, every second request.

    >>> mean, chance = wait(np.array(0.5), np.array(1.0), np.array(1.0), 1.0, 1.0)
    >>> float(mean), float(chance)
    (1.0, 0.5)
    """
    chance = np.minimum(busy, 1.0) ** (np.sqrt(2 * (servers + 1)) - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(busy < 1, (scv + service_scv) / 2 * service * chance / (1 - busy), np.inf)
    return mean, chance


def _tpot_by_length(
    at: Columns, mix: Mix, loop: Loop, batch: F64, arrivals: F64, scv: float, outputs: F64
) -> tuple[F64, F64]:
    """Return the mean and the standard deviation of a request's TPOT for each output length, (lengths, layouts, batches).

    Prefills of others that fall into a request's life make it longer, so that more fall into it: a disturbance grows by
    ``1 / (1 - r)``, with r the share of its life that goes to the prefills of others. After an arrival ``(ca2 - 1)/2`` more
    requests come than in the mean (renewal theory): a request of a clump meets its own clump.
    """
    each = at.interference * loop.prompt
    of_prompts = _scv(mix.buckets.isl, mix.buckets.share)
    grown = loop.tpot / loop.per_token
    length = outputs[:, None, None]
    clump = max(scv - 1, 0.0) / 2 * each * grown
    mean: F64 = loop.tpot[None] + clump[None] / length
    hits = arrivals * loop.tpot * each**2 * (scv + of_prompts) * grown**2  # variance x output tokens
    slope = _slope(loop.per_token, batch)
    moving = slope**2 * _peakedness(mix, scv) * batch
    lives = length / at.osl
    averaged = 2 * (np.exp(-lives) - 1 + lives) / lives**2  # of a process that forgets in one mean life
    deviation: F64 = np.sqrt(hits[None] / length + moving[None] * averaged)
    return mean, deviation


def _slope(values: F64, batch: F64) -> F64:
    """Return seconds per token that one more sequence adds, 0 where the columns stand still."""
    if batch.shape[1] < 2:
        return np.zeros_like(values)
    step = np.diff(batch, axis=1)
    rise = np.divide(np.diff(values, axis=1), step, out=np.zeros_like(step), where=step > 0)
    slope: F64 = np.maximum(np.concatenate([rise[:, :1], rise], axis=1), 0.0)
    return slope


def _peakedness(mix: Mix, scv: float) -> float:
    osl, share = merged(mix.buckets.osl, mix.buckets.share)
    both = float(share @ np.minimum.outer(osl, osl) @ share) / mix.osl
    return float(max(1 + (scv - 1) * both, 0.0))


def _scv(values: F64, share: F64) -> float:
    mean = float(values @ share)
    return 0.0 if mean == 0 else float(max(float(values**2 @ share) / mean**2 - 1, 0.0))


def merged(values: F64, share: F64) -> tuple[F64, F64]:
    """Return the distinct values and their shares, to 12 digits: a value in two rows counts as the same value in one."""
    distinct, which = np.unique(values, return_inverse=True)
    return distinct, np.bincount(which, weights=share).astype(np.float64).round(12)


def normal_cdf(depth: F64) -> F64:
    """Return the normal distribution function, to 1e-7 (Abramowitz and Stegun 26.2.17).

    Examples
    --------
    >>> normal_cdf(np.array([-1.96, 0.0, 1.96])).round(4)
    array([0.025, 0.5  , 0.975])
    """
    size = np.minimum(np.abs(depth), 40.0)
    t = 1 / (1 + 0.2316419 * size)
    poly = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = np.exp(-(size**2) / 2) / np.sqrt(2 * np.pi) * poly
    below: F64 = np.where(depth >= 0, 1 - tail, tail)
    return below


def _bisect(within: Callable[[F64], F64], low: F64, high: F64, share: float) -> F64:
    """Return the smallest seconds at which ``within`` reaches ``share``."""
    for _ in range(34):  # to 1e-10 of the bracket
        middle = (low + high) / 2
        enough = within(middle) >= share
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
