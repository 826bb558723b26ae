"""What does the whole table of rates cost? The vectorised search beside a plain Python loop, in the same run.

The named alternative is the same search written as one would first: a loop over layouts and batches that calls the scalar
formula (the same kernel with arrays of size 1) for each. Both find the same best; the loop is run on a sample of pairs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from entrepot import catalogue
from entrepot.catalogue.records import Accelerator, Model
from entrepot.performance import Slo, Workload, estimate, rates
from entrepot.performance.estimate import missing
from entrepot.performance.search import search
from entrepot.performance.steady import steady
from entrepot.performance.step import Setting

__all__ = ["run"]

_MODELS = ("qwen3-8b", "qwen3-32b", "llama-3.1-70b", "qwen3-235b-a22b", "deepseek-r1", "gpt-oss-120b")
_SAMPLE = (
    ("nvidia-h20-sxm-96gb", "deepseek-r1"),
    ("nvidia-h100-sxm5-80gb", "qwen3-32b"),
    ("nvidia-l20-48gb", "qwen3-8b"),
)
_SLO = Slo(3000, 60)


def run(console_print: Callable[[str], None]) -> None:
    """Measure, and print."""
    mixes = _mixes()
    chips = list(catalogue.accelerators().values())
    rates(mixes[:1], chips[:1], catalogue.models())  # warm: files read, modules loaded
    start = time.perf_counter()
    table = rates(mixes, chips, catalogue.models())
    whole = time.perf_counter() - start
    answered = table.filter(table["reason"] == "").height
    console_print(
        f"table of rates: {len(chips)} chips x {len(_MODELS)} models x {len(mixes) // len(_MODELS)} mixes = "
        f"{table.height} pairs in {whole:.2f} s ({answered} with a rate, the others with a reason)"
    )
    usable = [(w, c) for w in mixes for c in chips if not missing(c, catalogue.model(w.model))]
    start = time.perf_counter()
    for workload, accelerator in usable:
        estimate(workload, accelerator, catalogue.model(workload.model))
    each = (time.perf_counter() - start) / len(usable)
    console_print(f"pairs with all figures: {each * 1e3:.2f} ms each, {1 / each:,.0f} searches per second")

    fast = slow = 0.0
    points = 0
    for chip_id, model_id in _SAMPLE:
        accelerator, model = catalogue.accelerator(chip_id), catalogue.model(model_id)
        workload = next(w for w in mixes if w.model == model_id)
        start = time.perf_counter()
        for _ in range(20):
            found = search(workload, accelerator, model)
        fast += (time.perf_counter() - start) / 20
        start = time.perf_counter()
        by_loop, count = _loop(workload, accelerator, model)
        slow += time.perf_counter() - start
        points += count
        if found.best is None or not np.isclose(by_loop, found.tokens_per_s[found.best]):
            raise AssertionError("the loop and the search disagree")
    console_print(
        f"the same search as a plain loop over {points:,} (layout, batch) points of {len(_SAMPLE)} pairs: "
        f"{slow:.2f} s against {fast * 1e3:.1f} ms vectorised = {slow / fast:,.0f} times as long, same best"
    )


def _mixes() -> list[Workload]:
    """Two mixes per model: even chat, and a long-tailed one in four buckets."""
    one = np.array([1.0])
    tail = (
        np.array([200.0, 1000.0, 6700.0, 23400.0]),
        np.array([500.0, 1500.0, 3000.0, 5000.0]),
        np.array([0.6, 0.25, 0.13, 0.02]),
    )
    return [
        Workload(f"{model}-{name}", model, *columns, _SLO)
        for model in _MODELS
        for name, columns in (("chat", (1024 * one, 1024 * one, one)), ("tail", tail))
    ]


def _loop(workload: Workload, accelerator: Accelerator, model: Model) -> tuple[float, int]:
    """Find the best rate point by point."""
    found = search(workload, accelerator, model)
    setting = found.setting
    best, count = 0.0, 0
    for row in range(len(setting.layouts)):
        if found.fits[row, 0] < 1:
            continue
        own = Setting(
            setting.chip,
            setting.shape,
            setting.layouts.take(row),
            setting.mix,
            setting.engine,
            setting.kv_bits,
        )
        batches: Sequence[float] = [float(b) for b in found.batch[row]]
        for batch in batches:
            point = steady(own, np.array([[batch]]), percentile=workload.slo.percentile)
            count += 1
            within = point.ttft[0, 0] * 1e3 <= (_SLO.ttft_ms or np.inf) and point.tpot[0, 0] * 1e3 <= (
                _SLO.tpot_ms or np.inf
            )
            if within:
                best = max(best, float(point.tokens_per_s[0, 0]))
    return best, count
