"""A replica step by step: the second opinion on waits and percentiles. A scheduler, no formula of a queue.

Each step every decoding request gets one token, and prompts get up to a chunk of tokens, first come first served; a request
is admitted while a slot is free. Step times are the model's own, so that only the queue is on trial.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

__all__ = ["Served", "arrivals", "serve"]


@dataclass(frozen=True)
class Served:
    """Seconds of each request: to its first token, and per token after it."""

    ttft: F64
    tpot: F64
    concurrency: float
    lasts: float = 0.0


def arrivals(rng: np.random.Generator, count: int, rate: float, scv: float) -> F64:
    """Return arrival times with the given squared coefficient of variation of the gaps: Poisson, or two mixed rates above 1."""
    if scv == 1:
        return np.cumsum(rng.exponential(1 / rate, count))
    share = (1 + np.sqrt((scv - 1) / (scv + 1))) / 2  # balanced means (Whitt 1982)
    fast = rng.random(count) < share
    mean = np.where(fast, 1 / (2 * share * rate), 1 / (2 * (1 - share) * rate))
    return np.cumsum(rng.exponential(mean))


def serve(
    come: F64,
    isl: NDArray[np.int64],
    osl: NDArray[np.int64],
    *,
    step: F64,
    per_prompt_token: float,
    chunk: int,
    slots: int,
    prompts_first: bool = False,
    decode_slots: int | None = None,
    shared: bool = False,
) -> Served:
    """Run the replica until all requests are served.

    Parameters
    ----------
    come : (requests,) seconds
    step : (slots + 1,) seconds of a step that decodes so many sequences; ``step[0]`` is 0
    per_prompt_token : seconds that one input token adds to a step
    decode_slots : sequences that decode at a time, of those that have a slot; first come, first served
    shared : decoding sequences take a token each of the chunk
    prompts_first : while there are prompts to compute, nothing is decoded
    """
    n = len(come)
    first, last = np.zeros(n), np.zeros(n)
    left_out = osl - 1
    waiting: deque[int] = deque()
    prompts: deque[list[int]] = deque()  # [request, tokens left]
    decoding: dict[int, int] = {}
    now, following, held = 0.0, 0, 0.0
    while following < n or waiting or prompts or decoding:
        if not (waiting or prompts or decoding):
            now = max(now, float(come[following]))
        while following < n and come[following] <= now:
            waiting.append(following)
            following += 1
        while waiting and len(prompts) + len(decoding) < slots:
            request = waiting.popleft()
            prompts.append([request, int(isl[request])])
        budget, computed, done = chunk - (len(decoding) if shared else 0), 0, []
        while prompts and budget > 0:
            taken = min(budget, prompts[0][1])
            prompts[0][1] -= taken
            budget -= taken
            computed += taken
            if prompts[0][1] == 0:
                done.append(prompts.popleft()[0])
        stands_still = prompts_first and computed > 0
        turn = [] if stands_still else list(decoding)[:decode_slots]
        lasts = (0.0 if stands_still else float(step[len(turn)])) + computed * per_prompt_token
        held += (len(prompts) + len(decoding) + len(done)) * lasts
        now += lasts
        for request in turn:
            decoding[request] -= 1
            if decoding[request] == 0:
                last[request] = now
                del decoding[request]
        for request in done:
            first[request] = now
            if left_out[request] > 0:
                decoding[request] = int(left_out[request])
            else:
                last[request] = now
    many = left_out > 0
    return Served(first - come, ((last - first)[many] / left_out[many]), held / now, now)
