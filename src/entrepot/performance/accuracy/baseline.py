"""What does an untuned roofline say of the same rows?

The same operations and bytes with flat shares and nothing fitted: half of peak arithmetic, three quarters of memory bandwidth,
a third of the link, 15 us per all-reduce, prefill charged to decode, no overheads, no queue. A model that cannot beat ten
lines has learnt nothing.
"""

from __future__ import annotations

import numpy as np

from entrepot.performance.coefficients import Coefficients, coefficients

__all__ = ["roofline_coefficients"]

_ARCH = {
    "compute_16": 0.5,
    "compute_8": 0.5,
    "compute_4": 0.5,
    "law_c": float("nan"),
    "law_gamma": float("nan"),
    "gemm_gb_s_per_sm": float("nan"),
    "bandwidth": 0.75,
    "expert_bandwidth": 0.75,
    "kv_bandwidth": 0.75,
    "kv8_bandwidth_factor": 1.0,
    "experts": 1.0,
    "prefill_attention": 1.0,
    "mla_attention": 1.0,
    "link": 0.33,
    "layer_us": 0.0,
}
_ENGINE = {
    "layer_factor": 1.0,
    "step_host_ms": 0.0,
    "interference": 1.0,
    "interference_equal": 1.0,
    "ttft_constant_ms": 0.0,
    "ttft_prefill": 1.0,
    "ttft_steps": 0.0,
    "ttft_burst": 0.0,
    "ttft_burst_equal": 1.0,
    "ttft_burst_open": 1.0,
    "ttft_burst_exponent": 1.0,
    "offline_interference": 1.0,
    "drift_per_year": 0.0,
    "ttft_poll": 0.0,
    "frontend_request_ms": 0.0,
    "frontend_token_us": 0.0,
}
_STEP = {
    "softness": 64.0,
    "moe_layer_factor": 1.0,
    "mla_layer_factor": 1.0,
    "host_sequence_us": 0.0,
    "expert_pad_rows": 0.0,
    "expert_imbalance": 0.0,
    "all_reduce_us": 15.0,
    "all_reduce_us_per_doubling": 0.0,
    "all_to_all_us": 15.0,
    "all_to_all_across_us": 15.0,
}


def roofline_coefficients() -> Coefficients:
    """Return the coefficients of the untuned roofline."""
    base = coefficients(fitted=False)
    return Coefficients(
        arch={name: np.full_like(v, _ARCH.get(name, 1.0)) for name, v in base.arch.items()},
        engine={name: np.full_like(v, _ENGINE[name]) for name, v in base.engine.items()},
        step={**base.step, **_STEP},
    )
