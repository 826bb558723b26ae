"""What is asked about a training run, and what is answered?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from entrepot.catalogue.records import NumberFormat
from entrepot.performance.records import F64, Interval

__all__ = [
    "Method",
    "Recompute",
    "Software",
    "Stack",
    "Training",
    "TrainingLayout",
    "TrainingRun",
    "TrainingTimes",
]

Method = Literal["full", "lora"]
Recompute = Literal["none", "selective", "full"]
Stack = Literal["megatron", "fsdp"]


@dataclass(frozen=True, slots=True)
class Software:
    """Which training stack, and of when: a run of 2025 is not a run of 2026.

    Attributes
    ----------
    stack : ``megatron`` (fused kernels: Megatron-LM, Megatron-Bridge, NeMo) or ``fsdp`` (PyTorch eager or compiled: Composer,
        DeepSpeed, InternEvo and what is like them)
    date : year and fraction, 2026.5 is the middle of 2026; ``None`` is the newest release that was measured
    dropless : every token reaches its experts; with a capacity instead the host need not wait for how many go where
    """

    stack: Stack = "megatron"
    date: float | None = None
    dropless: bool = True


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """What is to be trained: ``tokens`` in all, in steps of ``batch`` sequences of ``sequence`` tokens."""

    tokens: float
    sequence: int = 4096
    batch: int = 1024
    method: Method = "full"
    format: NumberFormat = NumberFormat.BF16
    lora_rank: int = 16
    scaling: Literal["tensor", "block"] = (
        "block"  # of 8-bit formats: one scale a tensor, or MXFP8's one in 32
    )
    software: Software = Software()


@dataclass(frozen=True, slots=True)
class TrainingLayout:
    """How the devices work together; DP is what TP, CP and PP leave. ``shard`` is the ZeRO stage: 1 or 3 (FSDP)."""

    devices: int
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    micro_batch: int = 1
    virtual_stages: int = 1
    recompute: Recompute = "none"
    shard: int = 1
    context_parallel: int = 1

    @property
    def data_parallel(self) -> float:
        """Copies of the model, each of TP x CP x PP devices."""
        return self.devices / (self.tensor_parallel * self.context_parallel * self.pipeline_parallel)

    def __str__(self) -> str:
        """Return the layout in the field's shorthand, e.g. ``TP4 PP8 DP32 EP8 MBS 1 ZeRO-1 recompute``."""
        words = [f"TP{self.tensor_parallel}"]
        if self.context_parallel > 1:
            words.append(f"CP{self.context_parallel}")
        if self.pipeline_parallel > 1:
            words.append(f"PP{self.pipeline_parallel}")
            if self.virtual_stages > 1:
                words.append(f"VP{self.virtual_stages}")
        words.append(f"DP{self.data_parallel:g}")
        if self.expert_parallel > 1:
            words.append(f"EP{self.expert_parallel}")
        words += [f"MBS {self.micro_batch}", f"ZeRO-{self.shard}"]
        if self.recompute != "none":
            words.append("recompute" if self.recompute == "full" else "selective recompute")
        return " ".join(words)


@dataclass(frozen=True, slots=True)
class TrainingTimes:
    """Seconds of one step by kind, and the bytes on a device by kind; each an array over layouts."""

    products: F64
    experts: F64
    attention: F64
    elementwise: F64
    dispatch: F64
    launches: F64
    tensor: F64
    context: F64
    expert: F64
    data: F64
    optimizer: F64
    bubble: F64
    weights: F64
    gradients: F64
    states: F64
    activations: F64

    @property
    def busy(self) -> F64:
        """Seconds of one step without the pipeline's bubble and what runs once in a step."""
        own = self.products + self.experts + self.attention + self.elementwise + self.dispatch
        return own + self.launches + self.tensor + self.context + self.expert

    @property
    def step(self) -> F64:
        """Seconds of one step."""
        return self.busy * (1 + self.bubble) + self.data + self.optimizer

    @property
    def memory(self) -> F64:
        """Bytes on a device."""
        return self.weights + self.gradients + self.states + self.activations


@dataclass(frozen=True, slots=True)
class Training:
    """The answer for one run on one chip: rates are per device."""

    layout: TrainingLayout
    step_s: Interval
    tokens_per_s: float
    tflops: float
    mfu: float
    days: Interval
    device_hours: float
    memory_gb: float
    memory_share: float
    parts: dict[str, float]
    basis: str
    runner_up: str
    runner_up_share: float | None
