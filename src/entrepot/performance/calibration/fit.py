"""Which coefficients bring the physics nearest to what was measured?

Weighted least squares on logarithms with a soft-L1 loss: Levenberg and Marquardt's step on a Jacobian of finite
differences. An architecture's coefficient is a factor common to all times a factor of its own, both pulled towards the
starting value, so that an architecture with few rows moves little. A perturbation of a whole column of an architecture or
engine table gives the derivatives of all its rows at once: points of one architecture do not see another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from entrepot.performance.coefficients import ARCHITECTURES, ENGINES, Coefficients
from entrepot.performance.points import Points, answers
from entrepot.performance.records import F64

__all__ = ["ARCH_FIELDS", "ENGINE_FIELDS", "STEP_FIELDS", "Fit", "Observations", "fit", "predicted_log"]

I64 = NDArray[np.int64]

ARCH_FIELDS = {  # how far, in log, a common and an own factor may stray: standard deviations of the pull
    "bandwidth": (0.15, 0.1),
    "expert_bandwidth": (0.2, 0.1),
    "experts": (0.4, 0.2),
    "kv_bandwidth": (0.2, 0.1),
    "prefill_attention": (0.4, 0.2),
    "mla_attention": (0.3, 0.15),
    "link": (0.4, 0.2),
    "layer_us": (0.7, 0.3),
    "compute_16": (0.0, 0.15),
    "compute_8": (0.0, 0.15),
    "compute_4": (0.0, 0.15),
    "law_c": (0.0, 0.15),
}
ENGINE_FIELDS = {
    "layer_factor": 0.3,
    "step_host_ms": 0.8,
    "interference": 0.5,
    "interference_equal": 0.8,
    "ttft_constant_ms": 1.0,
    "ttft_prefill": 0.4,
    "ttft_steps": 1.0,
    "ttft_burst": 1.0,
    "ttft_burst_equal": 0.8,
    "ttft_burst_open": 0.8,
    "ttft_burst_exponent": 0.1,
    "offline_interference": 0.3,
    "drift_per_year": 0.7,
    "ttft_poll": 0.5,
    "frontend_request_ms": 0.8,
    "frontend_token_us": 0.8,
}
STEP_FIELDS = {
    "moe_layer_factor": 0.3,
    "mla_layer_factor": 0.3,
    "host_sequence_us": 0.7,
    "expert_pad_rows": 0.7,
    "expert_imbalance": 0.7,
    "all_reduce_us": 0.6,
    "all_to_all_us": 0.6,
    "softness": 0.1,
}
_STEP = 1e-3
STRENGTH = (
    10.0  # how many rows, one scale off, a coefficient one deviation from its start weighs like (its root)
)
_SCALE = 0.12  # where the loss turns from square to absolute, in log


@dataclass(frozen=True, slots=True)
class Observations:
    """What was measured: point, kind, logarithm of the value in seconds or tokens/s of one replica, weight; (n,) each.

    ``kind`` indexes ``KINDS``.
    """

    point: I64
    kind: I64
    log_value: F64
    weight: F64


KINDS = ("ttft_s", "tpot_s", "output_per_s", "total_per_s", "prefill_per_s", "decode_per_s")


@dataclass(frozen=True, slots=True)
class Fit:
    """Fitted coefficients, the factors on the starting ones, and the residuals log(predicted / measured)."""

    coefficients: Coefficients
    factors: dict[tuple[str, str, str], float]
    residuals: F64
    steps: int


def predicted_log(at: Points, observed: Observations, values: Coefficients) -> F64:
    """Return the logarithm of the prediction for each observation."""
    found = answers(at, values)
    table = np.stack([getattr(found, name) for name in KINDS])
    with np.errstate(divide="ignore", invalid="ignore"):
        out: F64 = np.log(table[observed.kind, observed.point])
    return out


def _names() -> list[tuple[str, str, str, float]]:
    """All parameters: group, row, name, standard deviation of the pull."""
    out: list[tuple[str, str, str, float]] = []
    for name, (common, own) in ARCH_FIELDS.items():
        if common:
            out.append(("architecture", "*", name, common))
        out += [("architecture", row, name, own) for row in ARCHITECTURES if row != "default"]
    for name, own in ENGINE_FIELDS.items():
        out += [("engine", row, name, own) for row in ENGINES]
    out += [("step", "", name, own) for name, own in STEP_FIELDS.items()]
    return out


def fit(
    at: Points, observed: Observations, start: Coefficients, *, rounds: int = 12, strength: float = STRENGTH
) -> Fit:
    """Return the coefficients that fit best.

    Parameters
    ----------
    start : starting values, towards which the fit is pulled
    rounds : most steps taken
    strength : of the pull towards the starting values

    Notes
    -----
    Rows that cannot be predicted (NaN) weigh nothing.
    """
    names = _names()
    theta = np.zeros(len(names))
    pull = np.array([1 / own for *_, own in names]) * strength
    arch_of = at.arch[observed.point]
    engine_of = at.engine[observed.point]

    def at_theta(values: F64) -> Coefficients:
        return start.scaled(_changes(names, values))

    def residual(values: F64) -> F64:
        r = predicted_log(at, observed, at_theta(values)) - observed.log_value
        return np.where(np.isfinite(r), r, 0.0)

    def cost(r: F64, values: F64) -> float:
        loss = 2 * _SCALE**2 * (np.sqrt(1 + (r / _SCALE) ** 2) - 1)
        return float((observed.weight**2 * loss).sum() + ((pull * values) ** 2).sum() * _SCALE**2)

    r = residual(theta)
    best = cost(r, theta)
    damping, taken = 1e-2, 0
    for _ in range(rounds):
        jacobian = _jacobian(names, theta, at, observed, at_theta, r, arch_of, engine_of)
        w2 = observed.weight**2 / np.sqrt(1 + (r / _SCALE) ** 2)
        normal = jacobian.T @ (jacobian * w2[:, None]) + np.diag(pull**2) * _SCALE**2
        gradient = jacobian.T @ (w2 * r) + pull**2 * _SCALE**2 * theta
        improved = False
        for _ in range(6):
            move = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), gradient)
            trial = theta - np.clip(move, -0.7, 0.7)
            trial_r = residual(trial)
            value = cost(trial_r, trial)
            if value < best:
                gain = (best - value) / best
                theta, r, best = trial, trial_r, value
                damping = max(damping / 3, 1e-6)
                improved, taken = True, taken + 1
                break
            damping *= 4
        if not improved or gain < 1e-4:
            break
    return Fit(at_theta(theta), _changes(names, theta), r, taken)


def _changes(names: Sequence[tuple[str, str, str, float]], theta: F64) -> dict[tuple[str, str, str], float]:
    return {(g, row, name): float(np.exp(t)) for (g, row, name, _), t in zip(names, theta, strict=True)}


def _jacobian(  # type: ignore[no-untyped-def]
    names, theta, at, observed, at_theta, r, arch_of, engine_of
) -> F64:
    columns: dict[tuple[str, str], F64] = {}
    base = at_theta(theta)
    out = np.zeros((len(r), len(names)))
    for k, (group, row, name, _) in enumerate(names):
        if (group, name) not in columns:
            wide = "*" if group != "step" else ""
            moved = base.scaled({(group, wide, name): float(np.exp(_STEP))})
            change = predicted_log(at, observed, moved) - observed.log_value
            columns[group, name] = np.where(np.isfinite(change), (change - r) / _STEP, 0.0)
        column = columns[group, name]
        if group == "architecture" and row != "*":
            column = np.where(arch_of == ARCHITECTURES.index(row), column, 0.0)
        elif group == "engine":
            column = np.where(engine_of == ENGINES.index(row), column, 0.0)
        out[:, k] = column
    return out
