"""Which moments of a mix of request sizes decide time and memory?

A service has buckets of (input, output) lengths with shares of requests. The mean request is a poor size: who is in the
batch is weighted by how long a request stays (its output), and prefill attention grows with the square of the input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from entrepot.performance.records import F64, Workload

__all__ = ["Mix", "mix", "windowed_context"]


@dataclass(frozen=True, slots=True)
class Mix:
    """Moments of a mix, in tokens.

    Attributes
    ----------
    isl, osl : means over requests
    computed : mean input tokens that prefill computes (the prefix cache holds the others)
    context : mean context of a decoding sequence, weighted by output length
    held : mean tokens that a sequence holds in the KV cache, weighted likewise
    held_max : the longest request, whole: it must fit too
    pairs : mean query-key pairs of causal prefill per request, over the whole context
    isl_at, length_at : input tokens at the percentile of the SLO: those to compute, and all of them
    """

    isl: float
    osl: float
    computed: float
    context: float
    held: float
    held_max: float
    pairs: float
    isl_at: float
    length_at: float
    buckets: Workload

    def context_within(self, window: int) -> float:
        """Mean of min(context, window) of a decoding sequence, weighted by output length."""
        staying = self.buckets.share * self.buckets.osl
        inside = windowed_context(self.buckets.isl, self.buckets.osl, float(window))
        return float(inside @ staying / staying.sum())

    def pairs_within(self, window: int) -> float:
        """Mean query-key pairs of prefill per request where a query sees ``window`` tokens back."""
        ramp = np.minimum(self.buckets.isl, window)
        whole = ramp**2 / 2 + (self.buckets.isl - ramp) * window
        return float((1 - self.buckets.prefix_hit_share) * whole @ self.buckets.share)


def mix(workload: Workload, *, output_share_held: float) -> Mix:
    """Return the moments of a workload's mix.

    Parameters
    ----------
    output_share_held : mean share of its output that a request holds while it runs
    """
    isl, osl, share = workload.isl, workload.osl, workload.share
    staying = share * osl
    weight = staying / staying.sum()
    miss = 1 - workload.prefix_hit_share
    pairs = (isl**2 - (workload.prefix_hit_share * isl) ** 2) / 2
    order = np.argsort(isl, kind="stable")
    reached = np.searchsorted(np.cumsum(share[order]), workload.slo.percentile / 100 - 1e-12)
    at = float(isl[order][min(int(reached), len(isl) - 1)])
    return Mix(
        isl=workload.mean_isl,
        osl=workload.mean_osl,
        computed=workload.mean_isl * miss,
        context=float((isl + osl / 2) @ weight),
        held=float((isl + output_share_held * osl) @ weight),
        held_max=float((isl + osl).max()),
        pairs=float(pairs @ share),
        isl_at=at * miss,
        length_at=at,
        buckets=workload,
    )


def windowed_context(isl: F64, osl: F64, window: float) -> F64:
    """Mean over a request's decode of min(context, window): the context runs from ``isl`` to ``isl + osl``.

    Parameters
    ----------
    isl, osl : (buckets,) tokens
    window : tokens kept

    Examples
    --------
    >>> windowed_context(np.array([0.0, 100.0]), np.array([10.0, 10.0]), 5.0)
    array([3.75, 5.  ])
    """
    ramp = np.clip(window - isl, 0.0, osl)  # tokens generated before the window is full
    mean: F64 = (ramp * (np.minimum(isl, window) + ramp / 2) + (osl - ramp) * window) / osl
    return mean
