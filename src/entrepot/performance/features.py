"""What of a point does an effect's slope go by: how loaded, how long, how wide, and where the physics says the time goes?

A share of the time is a regressor that carries over to chips and models never seen: where launches were slower than the
physics says, every point that spends its time on launches is slower by that share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from entrepot.performance.coefficients import Coefficients
from entrepot.performance.points import Answers, Points, answers, fill
from entrepot.performance.records import F64
from entrepot.performance.steady import closed_loop
from entrepot.performance.step import Part, decode_parts_of, soft_maximum

__all__ = ["SLOPES", "features"]

_KIND = {
    "attention": "attention",
    "window attention": "attention",
    "linear attention": "attention",
    "sparse index": "attention",
    "experts": "experts",
    "communication": "communication",
    "overhead": "overhead",
}
SLOPES = (
    "1",
    "load",
    "load2",
    "input",
    "output",
    "devices",
    "load_input",
    "attention",
    "experts",
    "communication",
    "overhead",
    "interference",
    "constant",
    "own",
    "steps",
)


def features(at: Points, values: Coefficients, found: Answers | None = None) -> Mapping[str, F64]:
    """Return the regressors of each point, (points,) each, all near -1..1; ``1`` is the constant.

    ``load``, ``input``, ``output`` and ``devices`` are logarithms; the others are shares of a decode step, of TPOT
    (``interference``) or of TTFT (``constant``, ``own``, ``steps``).
    """
    batch = (answers(at, values) if found is None else found).batch[:, None]
    filled = fill(at, values)
    loop = closed_loop(filled, batch)

    def flat(x: object) -> F64:
        out: F64 = np.broadcast_to(np.asarray(x, dtype=np.float64), (len(at), 1))[:, 0]
        return np.nan_to_num(out)

    shares = _shares(decode_parts_of(filled, batch))
    load = (np.log2(np.maximum(flat(batch), 1.0)) - 4) / 3
    length = (np.log2(np.maximum(flat(filled.isl), 1.0)) - 10) / 2
    others = np.maximum(batch - 1, 0.0)
    out: dict[str, F64] = {
        "1": np.ones(len(at)),
        "load": load,
        "load2": load**2 - 0.7,
        "input": length,
        "output": (np.log2(np.maximum(flat(filled.osl), 1.0)) - 9) / 2,
        "devices": np.log2(np.maximum(flat(filled.devices), 1.0)) / 2 - 1,
        "load_input": load * length,
    }
    shares |= {
        "interference": filled.interference * others * loop.prompt / filled.osl / loop.tpot,
        "constant": filled.ttft_constant_s / loop.ttft,
        "own": loop.own / loop.ttft,
        "steps": loop.steps_waited / loop.ttft,
    }
    return out | {name: 2 * np.clip(flat(s), 0.0, 1.0) - 0.5 for name, s in shares.items()}


def _shares(parts: Sequence[Part]) -> dict[str, F64]:
    """Return the share of a step that each kind of operation takes, (points, 1) each."""
    kinds = {name: np.zeros((1, 1)) for name in (*dict.fromkeys(_KIND.values()), "products")}
    for part in parts:
        name = _KIND.get(part.name, "products")
        kinds[name] = kinds[name] + soft_maximum(part.arithmetic, part.memory, part.softness) + part.fixed
    whole = sum(kinds.values())
    return {name: seconds / whole for name, seconds in kinds.items() if name != "products"}
