"""What does an estimate cost, and the whole table? The vectorised search beside a plain Python loop, in the same run.

The named alternative is the same search written as one would first: a loop over layouts and batches that calls the scalar
formula (the same kernel with arrays of size 1) for each. Both find the same best; the loop is run on a sample of pairs.

The whole table is every chip that has its figures x every model x the nine published request mixes. ``ENTREPOT_BENCH_MODELS``
takes every n-th model only (8 by default, 1 is all of them): the seconds of the whole are those times n.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from entrepot import catalogue
from entrepot.catalogue import demand
from entrepot.catalogue.records import Accelerator, Model
from entrepot.performance import Slo, TrainingRun, Workload, estimate, rates, train
from entrepot.performance.estimate import missing
from entrepot.performance.search import search
from entrepot.performance.steady import steady
from entrepot.performance.step import Setting

__all__ = ["run"]

_PAIRS = (
    ("nvidia-h20-sxm-96gb", "deepseek-r1"),
    ("nvidia-h200-sxm-141gb", "deepseek-r1"),
    ("nvidia-b200-sxm-180gb", "qwen3-235b-a22b"),
    ("nvidia-h100-sxm5-80gb", "qwen3-32b"),
    ("amd-mi300x-192gb", "llama-3.1-70b"),
    ("nvidia-l20-48gb", "qwen3-8b"),
)
_LOOPED = (0, 3, 5)
_SLO = Slo(3000, 60)


def run(console_print: Callable[[str], None]) -> None:
    """Measure, and print."""
    _each(console_print)
    _beside_a_loop(console_print)
    _table(console_print)
    start = time.process_time()
    train(
        TrainingRun(1e12),
        catalogue.accelerator("nvidia-h100-sxm5-80gb"),
        catalogue.model("llama-3.1-70b"),
        512,
    )
    console_print(
        f"best layout of a training run on 512 devices: {(time.process_time() - start) * 1e3:.0f} ms of CPU"
    )


def _each(console_print: Callable[[str], None]) -> None:
    """Print the CPU milliseconds of one estimate, best of five rounds over the pairs."""
    for name, scv in (("closed loop", None), ("open arrivals", 1.0)):
        work = [(replace(_work(m), arrival_scv=scv), *_pair(c, m)) for c, m in _PAIRS]
        best = np.full(len(work), np.inf)
        for _ in range(5):
            for i, (workload, accelerator, model) in enumerate(work):
                start = time.process_time()
                estimate(workload, accelerator, model)
                best[i] = min(best[i], time.process_time() - start)
        console_print(
            f"one estimate, {name}: {best.mean() * 1e3:.1f} ms of CPU, slowest pair {best.max() * 1e3:.1f} ms "
            f"({len(work)} pairs, best of 5)"
        )


def _beside_a_loop(console_print: Callable[[str], None]) -> None:
    fast = slow = 0.0
    points = 0
    for chip_id, model_id in (_PAIRS[i] for i in _LOOPED):
        accelerator, model = _pair(chip_id, model_id)
        workload = _work(model_id)
        start = time.perf_counter()
        for _ in range(10):
            found = search(workload, accelerator, model)
        fast += (time.perf_counter() - start) / 10
        start = time.perf_counter()
        by_loop, count = _loop(workload, accelerator, model)
        slow += time.perf_counter() - start
        points += count
        if found.best is None or not np.isclose(
            by_loop, found.tokens_per_s[found.best] / found.spread[found.best[0], 0]
        ):
            raise AssertionError("the loop and the search disagree")
    console_print(
        f"the same search as a plain loop over {points:,} (layout, batch) points of {len(_LOOPED)} pairs: "
        f"{slow:.2f} s against {fast * 1e3:.1f} ms vectorised = {slow / fast:,.0f} times as long, same best"
    )


def _table(console_print: Callable[[str], None]) -> None:
    """Print the whole table on two processes: seconds and memory."""
    every = int(os.environ.get("ENTREPOT_BENCH_MODELS", "8"))
    models = list(catalogue.models().values())[::every]
    chips = [c for c in catalogue.accelerators().values() if not missing(c, catalogue.model("qwen3-8b"))]
    works = [_work(m.id, mix) for m in models for mix in demand.mixes()]
    start = time.perf_counter()
    table = rates(works, chips, catalogue.models(), processes=2)
    wall = time.perf_counter() - start
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    answered = table.filter(table["reason"] == "").height
    console_print(
        f"table of rates: {len(chips)} chips x {len(models)} models x {len(demand.mixes())} mixes = {table.height:,} pairs "
        f"({answered:,} with a rate, the others with a reason) in {wall:.1f} s on 2 processes, {spent.ru_utime:.1f} s of CPU, "
        f"{spent.ru_maxrss / 1024:.0f} MiB each"
    )
    if every > 1:
        console_print(
            f"   all {len(catalogue.models())} models would be {wall * len(catalogue.models()) / len(models):.0f} s: "
            "ENTREPOT_BENCH_MODELS=1 runs them"
        )


def _pair(chip_id: str, model_id: str) -> tuple[Accelerator, Model]:
    return catalogue.accelerator(chip_id), catalogue.model(model_id)


def _work(model: str, mix: str = "servegen-deepseek-r1") -> Workload:
    isl, osl, share = (np.array(x) for x in demand.mix(mix))
    return Workload(f"{model} {mix}", model, isl, osl, share, _SLO)


def _loop(workload: Workload, accelerator: Accelerator, model: Model) -> tuple[float, int]:
    """Find the best low end point by point."""
    found = search(workload, accelerator, model)
    setting = found.setting
    best, count = 0.0, 0
    for row in range(len(setting.layouts)):
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
                best = max(best, float(point.tokens_per_s[0, 0]) / float(found.spread[row, 0]))
    return best, count
