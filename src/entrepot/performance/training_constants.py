"""Which constants does training rest on? They stand in ``data/training.toml``, each with its kind and source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from entrepot.performance.service import training_constants

__all__ = ["TrainingConstants", "constants"]


@dataclass(frozen=True, slots=True)
class TrainingConstants:
    """What ``data/training.toml`` says; shares are of what kernels reach, times and bytes of all three passes."""

    dense_share: float
    share_8: float
    share_4: float
    expert_share: float
    narrow: float
    attention_share: float
    attention_fsdp: float
    mma_share: float
    head_half: float
    elementwise_bytes: float
    elementwise_fsdp_bytes: float
    cast_tensor_bytes: float
    cast_block_bytes: float
    cast_4_bytes: float
    moe_bytes: float
    moe_cast_bytes: float
    carry_bytes: float
    launch_us: float
    launch_fsdp_us: float
    moe_launch_us: float
    wait_us: float
    wait_drift: float
    fused_share: float
    exposed: float
    all_to_all_exposed: float
    moe_drift: float
    drift: float
    weight_bytes: float
    gradient_bytes: float
    optimizer_bytes: float
    activation_bytes: float
    selective_share: float
    kept_bytes: float
    optimizer_moved_bytes: float
    spread: float
    spread_model: float
    spread_chip: float


@cache
def constants() -> TrainingConstants:
    """Return the constants of training."""
    return TrainingConstants(
        **{k: float(v["value"]) for table in training_constants().values() for k, v in table.items()}
    )
