"""What do requests meet, by the way in which a benchmark sends them?

``closed_loop`` says what ``batch`` requests do that have their places in the batch. Benchmarks send more::

    closed loop   C requests always in the system. Where only B < C have a place, the others wait their turn: the rate is that
                  of B, and the whole of C stands behind it by Little's law, C = rate (TTFT + (osl - 1) TPOT) / osl
    burst         N requests at one moment, none after: see ``burst``
    at a rate     requests come on their own: each waits for the step under way and rides on one, and for prompts before it
    offline       N requests in the engine's own queue: places fill, then one leaves and one comes, then the batch drains

Offline work over B places lasts ``D = last admission + last life``. Prompts are computed one after the other, so that places come free one
after the other too: the last request of N is admitted after ``N/B - 1`` lives. The last life is as long as the longest output, in a
batch that empties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from entrepot.performance.arrivals import wait
from entrepot.performance.columns import Columns
from entrepot.performance.records import F64
from entrepot.performance.service import service
from entrepot.performance.steady import Loop, step_times

__all__ = ["Endless", "Open", "Run", "at_rate", "drained", "overloaded"]


@dataclass(frozen=True, slots=True)
class Endless:
    """A closed loop in steady state: seconds, output tokens per second of a replica, requests in the system."""

    ttft: F64
    output_per_s: F64
    in_system: F64


def overloaded(at: Columns, loop: Loop, batch: F64, wanted: F64) -> Endless:
    """Return what a closed loop of ``wanted`` requests sees of which ``batch`` have a place.

    Parameters
    ----------
    wanted : requests in the system; ``inf``, or fewer than ``batch``, is as many as have a place
    """
    turns = np.where(np.isfinite(wanted), np.maximum(wanted / batch - 1.0, 0.0), 0.0)
    return Endless(
        ttft=np.asarray(loop.ttft + turns * loop.life),
        output_per_s=np.asarray(batch * at.osl / loop.life),
        in_system=np.asarray(batch * (1 + turns)),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """A run with an end: mean seconds of its requests, output tokens per second over its duration, and that in seconds."""

    ttft: F64
    tpot: F64
    output_per_s: F64
    lasts: F64


def drained(
    at: Columns,
    loop: Loop,
    places: F64,
    requests: F64,
    spread: F64,
    *,
    prefill: F64 | float = 1.0,
    client: bool = True,
) -> Run:
    """Return what ``requests`` queued at one moment meet at a replica with ``places`` for them.

    Parameters
    ----------
    loop : the closed loop at ``places``, or at ``requests`` where they are fewer
    spread : standard deviation of the output lengths over their mean
    prefill : share of a prefill that it takes from the decoding of the others
    client : whether requests come through a server; without, no constant and no front end
    """
    first = np.minimum(requests, places)
    turns = np.maximum(requests / places, 1.0)
    varied = np.minimum(spread, 1.0) ** 2
    osl, marg = at.osl, loop.prompt * prefill
    emptying = np.minimum(1.0, 1.0 / turns) * varied  # how much of the run sees a batch that empties
    usual = step_times(at, np.maximum(first * (1 - 0.31 * emptying), 1.0)).whole / at.accepted
    longest = 1.0 + spread * np.sqrt(2 * np.log(np.maximum(first, 1.0)))  # of so many outputs, over the mean
    last = step_times(at, np.maximum(first / longest**varied, 1.0)).whole / at.accepted
    life = osl * loop.per_token + first * marg
    admitted = (turns - 1) * life
    front = at.frontend_s if client else 0.0
    opening = np.maximum(first * marg, requests * front)
    lasts = admitted + opening + longest * osl * last
    served = at.ttft_constant_s + loop.steps_waited + loop.own
    together = np.clip(
        at.chunk / np.maximum(at.computed, 1.0), 1.0, first
    )  # prompts of one chunk are done together
    of_first = served + (first + together - 2) / 2 * np.maximum(loop.prompt, front)
    of_others = served + np.maximum(turns - varied, 0.0) / 2 * life
    share = first / np.maximum(requests, 1.0)
    met = 1 - share / 2  # of the prefills of the others a request of the first wave meets half
    tpot = usual + at.interference * np.maximum(first - 1, 0.0) * loop.prompt / osl * met
    return Run(
        ttft=np.asarray(share * of_first + (1 - share) * of_others),
        tpot=np.asarray(tpot),
        output_per_s=np.asarray(requests * osl / lasts),
        lasts=np.asarray(lasts),
    )


@dataclass(frozen=True, slots=True)
class Open:
    """Open arrivals: mean seconds to the first token, and the load over what the replica can take."""

    ttft: F64
    busy: F64


def at_rate(at: Columns, loop: Loop, per_s: F64, most_per_s: F64, spread: F64) -> Open:
    """Return what requests meet that come to one replica at ``per_s`` a second.

    Parameters
    ----------
    loop : the closed loop at the requests that are in the replica in the mean
    most_per_s : requests per second that the replica can take; near it, and beyond, the closed loop's TTFT stands in for a
        queue that does not settle
    spread : standard deviation of the lengths over their mean
    """
    busy = per_s / most_per_s
    carried = loop.decode.whole * at.computed / (at.chunk * at.dp)
    served = loop.prompt + carried
    queued, _ = wait(
        np.asarray(per_s * served),
        served,
        np.asarray(at.dp, dtype=np.float64),
        1.0,
        np.minimum(spread, 1.0) ** 2,
    )
    settled = (
        at.ttft_constant_s
        + at.frontend_s
        + loop.own
        + np.minimum(at.ttft_steps + at.polled, service().open_steps + at.polled) * loop.tpot
        + queued
    )
    return Open(
        np.asarray(np.where((busy < 1) & np.isfinite(queued), np.minimum(settled, loop.ttft), loop.ttft)),
        busy,
    )
