"""What do requests meet that are all sent at one moment: a fluid that fills the places, and drains through the outputs' lengths?

A clock ticks once for each decode step of the replica, so that a request admitted at tick u with ``L`` output tokens leaves at
u + L - 1, whatever a step lasts. With S the survival function of L, the requests that hold a place are the renewal equation::

    in place(tick) = integral of admitted'(u) S(tick - u) du  <=  places            (admitted <= requests)
    seconds(tick)  = integral of step time(in place) + admitted' x prefill of one

solved forward on a grid of ticks for all points at once. Schedulers differ in where a prompt goes:

    mixed           prompts ride on decode steps, as many as the chunk leaves room for: admission is bounded per tick
    prompts first   decode stands still while prompts that have a place are computed: a storm takes no tick but takes seconds

Means are over requests: TTFT over the order of admission, TPOT over it and over the lengths, each request its own
(end - first token) / (L - 1), so that a short output that sits through the storm of the others counts with all of it. The run
ends with its longest output; rates are over that.

Source
------
Lengths are drawn from a Weibull distribution of the stated mean and spread: k of its coefficient of variation after Justus et al.,
J. Appl. Meteorology 17 (1978), k = CV^-1.086; spread 0 is equal lengths. ShareGPT as benchmarks draw it keeps outputs of 4 tokens
and more (vllm-project/vllm: vllm/benchmarks/datasets.py, is_valid_sequence).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from entrepot.performance.columns import Columns, Number
from entrepot.performance.harness import Run
from entrepot.performance.records import F64
from entrepot.performance.steady import Loop, step_times

__all__ = ["burst"]

_TICKS = 768  # cells of the clock
_BATCHES = 24  # at which the step is computed; between them it is interpolated
_ORDERS, _LENGTHS = 48, 40  # quantiles of the order of admission and of the lengths
_SHORTEST = 4.0
_LAST = math.exp(
    -0.5772156649
)  # of a fluid of requests, what is left when the last of them ends (exponential tail)


@dataclass(frozen=True, slots=True)
class _Lengths:
    """Output lengths of each point, (points, 1): mean, Weibull shape and scale; shape ``inf`` where all are equal."""

    mean: F64
    shape: F64
    scale: F64

    @classmethod
    def of(cls, mean: F64, spread: F64) -> _Lengths:
        equal = spread < 0.02
        shape = np.where(equal, np.inf, np.maximum(spread, 0.02) ** -1.086)
        gamma = np.array([1.0 if math.isinf(k) else math.gamma(1 + 1 / k) for k in shape[:, 0]])[:, None]
        return cls(mean, shape, mean / gamma)

    def surviving(self, tokens: F64) -> F64:
        """Return the share of outputs that are longer."""
        with np.errstate(over="ignore", invalid="ignore"):
            drawn = np.exp(-((np.maximum(tokens, 0.0) / self.scale) ** np.minimum(self.shape, 60.0)))
        return np.where(np.isinf(self.shape), (tokens < self.mean - 1e-6).astype(np.float64), drawn)

    def at(self, left: F64 | float) -> F64:
        """Return the length that a share ``left`` of the outputs exceeds."""
        drawn = self.scale * (-np.log(left)) ** (1 / np.minimum(self.shape, 60.0))
        return np.where(np.isinf(self.shape), self.mean + 0 * drawn, drawn)


def burst(
    at: Columns,
    loop: Loop,
    places: F64,
    requests: F64,
    spread: F64,
    first: F64,
    decode_places: F64 | float = np.inf,
) -> Run:
    """Return what ``requests`` sent at one moment meet at a replica with ``places`` for them, (points, 1) each.

    Parameters
    ----------
    loop : the closed loop at ``places``, or at ``requests`` where they are fewer
    spread : standard deviation of the output lengths over their mean
    first : 1 where prompts that have a place are computed before any decode step, 0 where they ride on it
    decode_places : most requests in a decode step where prompts are computed for as many as have a place; these wait in turn
    """
    shape = places.shape

    def column(x: Number) -> F64:
        return np.array(np.broadcast_to(np.asarray(x, dtype=np.float64), shape))

    requests = np.maximum(column(requests), 1.0)
    places = np.minimum(np.maximum(places, 1.0), requests)
    ahead = np.where(np.isfinite(decode_places), places, 0.0)  # prompts that are computed before all decode
    places = np.minimum(places, decode_places)
    osl = np.maximum(column(at.osl), 1.0)
    lengths = _Lengths.of(np.maximum(osl - 1.0, 1e-3), column(spread))
    prompt = column(loop.prompt) * column(at.interference)
    front = column(at.frontend_s)
    batches = np.exp(np.linspace(0.0, 1.0, _BATCHES)[None, :] * np.log(np.maximum(places, 1.0 + 1e-9)))
    steps = step_times(at, batches).whole / at.accepted
    steps = np.array(np.broadcast_to(steps, batches.shape))
    chunk = column(at.chunk) * column(at.dp)
    computed = np.maximum(column(at.computed), 1.0)
    least = np.where(first > 0, np.inf, np.maximum(chunk - places, chunk / 8) / computed)  # prompts per step
    starved = np.maximum(front - prompt, 0.0)  # where requests come in slower than their prompts are computed
    flow = np.minimum(least, np.where(starved > 0, steps[:, -1:] / np.maximum(starved, 1e-12), np.inf))
    longest = lengths.at(_LAST / np.maximum(requests, 1.0))
    width = (
        1.1 * np.maximum(requests / places - 1.0, 0.0) * osl + longest + 2.0 + 1.05 * requests / flow
    ) / (_TICKS - 8)
    per_life = np.floor(lengths.mean / width)
    width = np.where(
        (per_life >= 1) & np.isinf(lengths.shape), lengths.mean / np.maximum(per_life, 1.0), width
    )
    run = _solve(
        lengths, places, requests, steps, batches, prompt, chunk, computed, starved, first, ahead, width
    )
    return _means(at, lengths, run, places, requests, prompt, first, ahead, width, osl)


@dataclass(frozen=True, slots=True)
class _Path:
    """The run on the grid, (points, cells + 1) each: admitted and seconds at the start of a cell, requests that ended by it."""

    admitted: F64
    seconds: F64
    storm: F64  # seconds of prompts at the start of a cell, (points, cells)
    ended: F64


def _solve(
    lengths: _Lengths,
    places: F64,
    requests: F64,
    steps: F64,
    batches: F64,
    prompt: F64,
    chunk: F64,
    computed: F64,
    starved: F64,
    first: F64,
    ahead: F64,
    width: F64,
) -> _Path:
    count = len(places)
    ticks = np.arange(_TICKS + 1)[None, :]
    into = np.where(first > 0, 0.5, 0.0)  # a storm is at the start of its cell, a flow in its midst
    left_mid = lengths.surviving(
        (ticks + into) * width
    )  # [:, d]: of those admitted d cells ago, at a cell's middle
    left_start = lengths.surviving((ticks + into - 0.5) * width)  # at a cell's start
    per_cell = np.zeros((count, _TICKS))
    admitted = np.zeros((count, _TICKS + 1))
    seconds = np.zeros((count, _TICKS + 1))
    seconds[:, 0] = (ahead * prompt)[:, 0]
    storm = np.zeros((count, _TICKS))
    ended = np.zeros((count, _TICKS + 1))
    log_top = np.log(batches[:, -1])
    row = np.arange(count, dtype=np.int64)
    back_mid, back_start = left_mid[:, ::-1], left_start[:, ::-1]
    for m in range(_TICKS):
        known = per_cell[:, :m]
        still = np.einsum("pj,pj->p", known, back_mid[:, _TICKS - m : _TICKS])
        ended[:, m] = admitted[:, m] - np.einsum("pj,pj->p", known, back_start[:, _TICKS - m : _TICKS])
        free = np.maximum(places[:, 0] - still, 0.0)
        step_now = _between(steps, log_top, np.maximum(still, 1.0), row)
        left = (
            np.maximum(chunk[:, 0] - still, chunk[:, 0] / 8) / computed[:, 0]
        )  # decode takes its part of the chunk
        most = np.where(first[:, 0] > 0, np.inf, left * width[:, 0])
        with np.errstate(divide="ignore"):
            came = np.where(
                starved[:, 0] > 0,
                step_now * width[:, 0] / np.maximum(starved[:, 0], 1e-12),
                np.inf,
            )
        new = np.minimum(np.minimum(free, requests[:, 0] - admitted[:, m]), np.minimum(most, came))
        new = np.maximum(new, 0.0)
        per_cell[:, m] = new
        admitted[:, m + 1] = admitted[:, m] + new
        lasts = _between(steps, log_top, np.maximum(still + new * left_mid[:, 0], 1.0), row) * width[:, 0]
        # prompts ahead of their turn are computed as soon as one that ended leaves room
        turned = np.minimum(ahead[:, 0] + ended[:, m], requests[:, 0]) - np.minimum(
            ahead[:, 0] + ended[:, max(m - 1, 0)], requests[:, 0]
        )
        storm[:, m] = np.where(ahead[:, 0] > 0, turned, new) * prompt[:, 0]
        busy = (admitted[:, m + 1] - ended[:, m]) > 1e-9
        seconds[:, m + 1] = seconds[:, m] + storm[:, m] + np.where(busy, lasts, 0.0)
    ended[:, _TICKS] = admitted[:, _TICKS] - np.einsum("pj,pj->p", per_cell, back_start[:, :_TICKS])
    return _Path(admitted, seconds, storm, ended)


def _between(steps: F64, log_top: F64, many: F64, row: NDArray[np.int64]) -> F64:
    """Return the step at so many sequences, (points,)."""
    place = np.clip(np.log(many) / np.maximum(log_top, 1e-9), 0.0, 1.0) * (_BATCHES - 1)
    low = np.minimum(place.astype(np.int64), _BATCHES - 2)
    part = place - low
    found: F64 = steps[row, low] * (1 - part) + steps[row, low + 1] * part
    return found


def _means(
    at: Columns,
    lengths: _Lengths,
    run: _Path,
    places: F64,
    requests: F64,
    prompt: F64,
    first: F64,
    ahead: F64,
    width: F64,
    osl: F64,
) -> Run:
    count = len(requests)
    quantiles = (np.arange(_LENGTHS) + 0.5) / _LENGTHS
    drawn = np.concatenate([lengths.at(q) for q in quantiles], axis=1) if count else np.zeros((0, _LENGTHS))
    decoded = np.where(
        np.isinf(lengths.shape), np.maximum(osl - 1.0, 1.0), np.maximum(drawn, _SHORTEST - 1.0)
    )
    order = (np.arange(_ORDERS) + 0.5) / _ORDERS
    grid = np.arange(_TICKS + 1, dtype=np.float64)
    ttft, tpot, lasts = (np.empty((count, 1)) for _ in range(3))
    together = np.clip(np.asarray(at.chunk) / np.maximum(at.computed, 1.0), 1.0, requests)
    together = np.broadcast_to(together, requests.shape)
    for p in range(count):
        began, storm = run.seconds[p], run.storm[p]
        calm = began[:-1] + storm  # when decode of a cell begins, where prompts go first
        who = order * requests[p, 0]
        cell = np.clip(np.searchsorted(run.admitted[p], who, side="left") - 1, 0, _TICKS - 1)
        amount = np.maximum(run.admitted[p, cell + 1] - run.admitted[p, cell], 1e-12)
        part = (who - run.admitted[p, cell]) / amount
        pack = together[p, 0]  # prompts of one chunk are done together
        if first[p, 0] > 0:
            packed = np.ceil(part * amount / pack - 1e-9) * pack * prompt[p, 0]
            token = began[cell] + np.minimum(packed, storm[cell])
            if ahead[p, 0] > 0:
                early = np.minimum(np.ceil(who / pack - 1e-9) * pack, ahead[p, 0]) * prompt[p, 0]
                need = who - ahead[p, 0]  # so many have to end before its prompt has room
                when = np.clip(np.searchsorted(run.ended[p], need), 1, _TICKS)
                freed = began[when] + np.maximum(need - run.ended[p, when - 1], 0.0) * prompt[p, 0]
                token = np.where(who <= ahead[p, 0], early, np.minimum(freed, token))
            tick = cell.astype(np.float64)
            ends = tick[:, None] + decoded[p][None, :] / width[p, 0]
            last = np.clip(np.ceil(ends - 1e-9).astype(np.int64) - 1, 0, _TICKS - 1)
            over = ends - last
            end = calm[last] + over * (began[last + 1] - calm[last])
            ttft[p] = token.mean()
        else:
            token = began[cell] + part * (began[cell + 1] - began[cell])
            ends = (cell + part)[:, None] + decoded[p][None, :] / width[p, 0]
            spent = np.concatenate([[0.0], np.cumsum(storm)])  # on prompts, one's own among them
            own = (np.interp(ends, grid, spent) - np.interp(cell + part, grid, spent)[:, None]) / places[p, 0]
            end = np.interp(ends, grid, began) - own
            ttft[p] = token.mean() + pack / 2 * prompt[p, 0]
        tpot[p] = ((end - token[:, None]) / decoded[p][None, :]).mean()
        if math.isinf(lengths.shape[p, 0]) and osl[p, 0] <= 1:
            tpot[p] = np.nan
        left = requests[p, 0] - run.ended[p]
        done = int(np.argmax(left <= _LAST)) if (left <= _LAST).any() else _TICKS
        lasts[p] = began[done]
    served = at.ttft_constant_s + at.frontend_s
    return Run(
        ttft=np.asarray(ttft + served),
        tpot=np.asarray(tpot),
        output_per_s=np.asarray(requests * osl / (lasts + served)),
        lasts=np.asarray(lasts + served),
    )
