"""What is asked of a chip, and what does it deliver?

Work is counted in output tokens of a service's own mix: one Mtok is 10^6 output tokens together with the input tokens
that the mix brings along. A rate is Mtok per device-hour, under the service's SLO, with the layout that reaches it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.catalogue.records import Model, NumberFormat

__all__ = ["Binding", "Estimate", "Interval", "Layout", "Pools", "RunnerUp", "Slo", "Speculation", "Workload"]

F64: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Slo:
    """Limits that a request is promised: milliseconds at ``percentile``; ``None`` is no limit."""

    ttft_ms: float | None
    tpot_ms: float | None
    percentile: float = 50.0


@dataclass(frozen=True, slots=True)
class Workload:
    """One service as the performance model sees it.

    Attributes
    ----------
    isl, osl, share : (buckets,) input tokens, output tokens, share of requests; shares sum to 1
    prefix_hit_share : share of input tokens found in the prefix cache, 0..1
    arrival_scv : squared coefficient of variation of the times between requests that reach one replica (1 is Poisson);
        ``None`` is a closed loop, in which each request is followed by the next: as in a benchmark
    """

    id: str
    model: str
    isl: F64
    osl: F64
    share: F64
    slo: Slo
    prefix_hit_share: float = 0.0
    arrival_scv: float | None = None

    @property
    def mean_isl(self) -> float:
        """Mean input tokens of a request."""
        return float(self.isl @ self.share)

    @property
    def mean_osl(self) -> float:
        """Mean output tokens of a request."""
        return float(self.osl @ self.share)


class Binding(StrEnum):
    """What holds the rate down."""

    COMPUTE = "compute"
    BANDWIDTH = "memory bandwidth"
    KV_MEMORY = "KV memory"
    COMMUNICATION = "communication"
    OVERHEAD = "step overhead"
    TTFT = "TTFT limit"
    TPOT = "TPOT limit"
    QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Layout:
    """How a replica is laid out: ``devices`` = pipeline x data x tensor parallel."""

    weight_format: NumberFormat
    kv_bits: int
    tensor_parallel: int
    data_parallel: int
    expert_parallel: int
    batch: int  # concurrent sequences in the replica
    pipeline_parallel: int = 1

    @property
    def devices(self) -> int:
        """Devices in one replica."""
        return self.tensor_parallel * self.data_parallel * self.pipeline_parallel

    def __str__(self) -> str:
        """Return the layout in the field's shorthand, e.g. ``FP8 TP8 EP8 batch 256``."""
        dp = f" DP{self.data_parallel}" if self.data_parallel > 1 else ""
        ep = f" EP{self.expert_parallel}" if self.expert_parallel > 1 else ""
        pp = f" PP{self.pipeline_parallel}" if self.pipeline_parallel > 1 else ""
        return f"{self.weight_format.upper()} TP{self.tensor_parallel}{pp}{dp}{ep} batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Pools:
    """Prefill and decode on devices of their own: replicas of each layout that are matched in rate."""

    prefill: Layout
    decode: Layout
    prefill_replicas: int
    decode_replicas: int

    @property
    def devices(self) -> int:
        """Devices of both pools together."""
        return self.prefill_replicas * self.prefill.devices + self.decode_replicas * self.decode.devices

    @property
    def batch(self) -> int:
        """Concurrent sequences in the decode pool."""
        return self.decode_replicas * self.decode.batch

    def __str__(self) -> str:
        """Return both pools, e.g. ``3 x (FP8 TP4) prefill + 1 x (FP8 TP8 batch 256) decode``."""
        prefill = str(self.prefill).partition(" batch")[0]
        return (
            f"{self.prefill_replicas} x ({prefill}) prefill + {self.decode_replicas} x ({self.decode}) decode"
        )


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The next best layout, what it would deliver, and why it is worse."""

    layout: Layout | Pools
    mtok_per_device_hour: float
    share_of_best: float
    why: str


@dataclass(frozen=True, slots=True)
class Speculation:
    """Speculative decoding: a draft proposes ``draft_tokens`` per step, the model verifies them all at once.

    Attributes
    ----------
    acceptance : chance that a proposed token is kept, given that those before it were, 0..1
    draft : a draft model; ``None`` is the model's own next-token layer (MTP), whose one layer runs once per token
    """

    draft_tokens: int
    acceptance: float
    draft: Model | None = None

    @property
    def tokens_per_step(self) -> float:
        """Mean tokens that one step yields: ``1 + a + a^2 + ... + a^k`` (arXiv:2211.17192, equation 1)."""
        return float(sum(self.acceptance**i for i in range(self.draft_tokens + 1)))


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure and how far off it may be: ``low <= central <= high``."""

    low: float
    central: float
    high: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one chip delivers on one workload under its SLO, or why it does not.

    ``mtok_per_device_hour`` is ``None`` exactly where ``reason`` says why: unknown figures, no fit in memory, or no
    layout within the SLO. ``basis`` says what the efficiencies of the chip's architecture rest on: ``"measured"``,
    ``"transferred"`` from a measured one, ``"datasheet"`` alone, or ``"none"`` where nothing could be computed.
    ``busy`` is the utilisation of the fuller queue under open arrivals.
    """

    workload: str
    accelerator: str
    mtok_per_device_hour: Interval | None
    layout: Layout | Pools | None
    ttft_ms: float | None
    tpot_ms: float | None
    binds: Binding | None
    physical_limit_mtok_per_device_hour: float | None
    basis: str
    reason: str
    runner_up: RunnerUp | None = None
    busy: float | None = None
