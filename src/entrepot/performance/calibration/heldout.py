"""How good is the model on what it never saw: a curve, a chip, a model, a source?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from entrepot.performance.accuracy.report import judge
from entrepot.performance.calibration.fit import KINDS
from entrepot.performance.calibration.run import Held, Mask, Material, folds, held_out
from entrepot.performance.calibration.write import widths_of
from entrepot.performance.intervals import width
from entrepot.performance.records import F64

__all__ = ["HELD_BY", "coverage", "grouped_folds", "held_by", "table_of"]

HELD_BY = ("curve", "chip", "model", "source")
_LEAST = {
    "chip": 25,
    "model": 40,
    "source": 60,
}  # rows below which a chip, model or source shares its fold with others as small


def grouped_folds(m: Material, by: str) -> list[Mask]:
    """Return the folds of a kind, the small ones joined into one: held out together is harder than one by one."""
    each = folds(m, by)
    if by == "curve":
        return each
    large = [mask for mask in each if mask.sum() >= _LEAST[by]]
    rest = np.zeros(len(m), dtype=bool)
    for mask in each:
        if mask.sum() < _LEAST[by]:
            rest |= mask
    return [*large, rest] if rest.any() else large


def held_by(
    m: Material, use: Mask, by: str, *, rounds: int = 6, say: Callable[[str], None] | None = None
) -> Held:
    """Return every row answered by a model that never saw its curve, chip, model or source."""
    return held_out(
        m, use, grouped_folds(m, by), rounds=rounds, say=None if say is None else lambda t: say(f"{by}: {t}")
    )


def _metric_name(m: Material, i: int) -> str:
    kind = KINDS[m.kind[i]]
    return {"tpot_s": "TPOT", "ttft_s": "TTFT"}.get(kind, "throughput")


def table_of(m: Material, use: Mask, by: str, held: Held, plain: F64) -> list[dict[str, object]]:
    """Return errors of a kind of holding out: over all, by chip, model, engine and source; clean rows and all rows."""
    out: list[dict[str, object]] = []
    cuts: dict[str, Callable[[int], str]] = {
        "all": lambda _: "clean rows",
        "chip": lambda i: m.asked.conditions[i].chip_id,
        "model": lambda i: m.asked.conditions[i].model_id,
        "engine": lambda i: m.keys[i].stack,
        "harness": lambda i: m.keys[i].harness,
        "source": lambda i: m.asked.conditions[i].source,
        "regime": lambda i: held.regime[i],
    }
    sets = {"clean": use, "every": np.ones(len(m), dtype=bool)}
    for cut, key in cuts.items():
        for name, mask in sets.items():
            if name == "every" and cut != "all":
                continue
            groups: dict[tuple[str, str], list[int]] = {}
            for i in np.flatnonzero(mask & np.isfinite(m.log_value)):
                value = "all rows as they stand" if name == "every" else key(int(i))
                groups.setdefault((value, _metric_name(m, int(i))), []).append(int(i))
            for (value, metric), members in sorted(groups.items()):
                e = held.residual[members]
                if len(members) < 5:
                    continue
                out.append(
                    {
                        "left_out": by,
                        "slice": cut,
                        "value": value,
                        "metric": metric,
                        "rows": len(members),
                        "answered_pct": round(100 * float(np.isfinite(e).mean()), 1),
                        **judge(np.expm1(e).tolist()),
                        "roofline_median_pct": judge(np.expm1(plain[members]).tolist())["median_pct"],
                    }
                )
    return out


def coverage(
    residuals: F64,
    deviations: F64,
    regimes: Sequence[str],
    harness: Sequence[str],
    metrics: Sequence[str],
    curves: Sequence[str],
) -> list[dict[str, object]]:
    """Return how often nested intervals hold: widths from half of the curves, tried on the other half, ten times.

    Neither the fit (held out) nor the calibration of the width (the other half) has seen a row that is counted.
    """
    unique = np.unique(np.array(curves))
    place = {c: k for k, c in enumerate(unique)}
    index = np.array([place[c] for c in curves])
    got: dict[tuple[str, str], list[tuple[float, float, int]]] = {}
    for seed in range(10):
        half = np.random.default_rng(seed).random(len(unique)) < 0.5
        first = half[index]
        keep = [int(i) for i in np.flatnonzero(first)]
        widths = widths_of(
            residuals[keep],
            deviations[keep],
            [regimes[i] for i in keep],
            [harness[i] for i in keep],
            [metrics[i] for i in keep],
        )
        tried: dict[tuple[str, str], list[tuple[bool, float]]] = {}
        for i in (int(i) for i in np.flatnonzero(~first)):
            sds = width(widths, regimes[i], harness[i], metrics[i])[0]
            factor = float(np.exp(sds * deviations[i]))
            tried.setdefault((regimes[i], metrics[i]), []).append(
                (abs(residuals[i]) <= np.log(factor), factor)
            )
        for group, results in tried.items():
            inside = float(np.mean([ok for ok, _ in results]))
            factor = float(np.median([f for _, f in results]))
            got.setdefault(group, []).append((inside, factor, len(results)))
    return [
        {
            "left_out": "nested",
            "slice": "regime",
            "value": regime,
            "metric": metric,
            "rows": int(np.mean([n for *_, n in runs])),
            "interval_coverage_pct": round(100 * float(np.mean([c for c, *_ in runs])), 1),
            "interval_coverage_sd_pct": round(100 * float(np.std([c for c, *_ in runs])), 1),
            "interval_factor": round(float(np.mean([f for _, f, _ in runs])), 2),
        }
        for (regime, metric), runs in sorted(got.items())
    ]
