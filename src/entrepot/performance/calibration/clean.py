"""Which rows may teach, and which may not?

Rules look at conditions first. Some look at the measured values and say so; they keep rows from teaching and never from being
counted: every report stands beside the figures with nothing dropped.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from entrepot.performance.accuracy.conditions import Conditions
from entrepot.performance.accuracy.rows import Row

__all__ = ["LOOKS_AT_VALUES", "RULES", "flags"]

RULES = {
    "repeat": "the same chip, TTFT and TPOT under another name: one of them is kept",
    "doubted": "the row's own notes call it suspicious, of low trust, a lower bound, a target or derived from a plan",
    "fleet": "more than 8 devices in a row of silicon_sample.csv that calls itself aggregated: fleets with the total as TP",
    "hidden speculation": "TensorRT-LLM 1.2.0rc2, rc5 and rc6.post3 images on DeepSeek from 2026 ran MTP; the file lost the flag",
    "early run": "gap-analysis runs of 1.3.0rc1, 1.3.0rc5 and 1.2.0rc6.post1 that were no steady state",
    "does not fit": "weights and reserve exceed the memory of the stated devices: the count is misstated",
    "host experts": "experts on the host's processors: the host decides, and no row states it",
    "speculative": "speculation or a prefix cache whose acceptance or hits are not stated in numbers",
    "untuned": "GPTQ kernels that the source itself calls badly optimised, and checkpoints without tuned kernels",
    "not steady": "fewer than three requests per place in the batch",
    "cold start": "TTFT of more than 5 s and of 250 decode steps where fewer than 300,000 prompt tokens are in flight and the cache has "
    "room, in runs of SGLang without a stated release: kernels that were compiled during the run (looks at values)",
    "faster twin": "TPOT more than 15 % below another run of the same condition over half of a curve (looks at values)",
    "admission cap": "TTFT above 60 % of a request's life while the cache has room (looks at values)",
}
LOOKS_AT_VALUES = ("repeat", "cold start", "faster twin", "admission cap")


def flags(rows: Sequence[Row], conditions: Sequence[Conditions], fits: Sequence[float]) -> list[str]:
    """Return why each row may not teach, ``""`` where it may.

    Parameters
    ----------
    fits : sequences that fit in each row's replica by our count
    """
    out = [_by_condition(r, c, f) for r, c, f in zip(rows, conditions, fits, strict=True)]
    _repeats(rows, conditions, out)
    _twins(rows, conditions, out)
    _caps(rows, conditions, fits, out)
    _cold(rows, conditions, fits, out)
    return out


def _by_condition(row: Row, c: Conditions, fits: float) -> str:
    notes = row.notes.lower()
    silicon = "silicon_sample" in row.source
    if re.search(r"suspicious|low trust|\blow:|lower bound|hand-set|soft target|check:|never steady", notes):
        return "doubted"
    if silicon and c.devices > 8:
        return "fleet"
    if (
        silicon
        and c.engine == "trtllm"
        and c.model_id.startswith("deepseek")
        and re.search(r"1\.2\.0rc(2|5|6\.post3)", row.engine)
    ):
        return "hidden speculation"
    if silicon and re.search(r"1\.3\.0rc[15]\b|1\.2\.0rc6\.post1", row.engine):
        return "early run"
    if (
        silicon
        and c.chip_id == "nvidia-h200-sxm-141gb"
        and row.engine.startswith("vllm 0.12")
        and c.model_id.startswith("qwen3-235b")
    ):
        return "does not fit"
    if c.on_host:
        return "host experts"
    if fits < 0.0:
        return "does not fit"
    if "gptq" in row.weight_dtype.lower() or "1fp8-meta" in notes or "without tuned" in notes:
        return "untuned"
    if c.prefix_hit > 0 or c.drafts or re.search(r"prefix hits possible|mis-tuned|untuned", notes):
        return "speculative"
    return ""


def _repeats(rows: Sequence[Row], conditions: Sequence[Conditions], out: list[str]) -> None:
    """Flag runs that repeat another run's two latencies, as far as files that round keep them."""
    pairs: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.metric in {"ttft_ms", "tpot_ms"} and "silicon_sample" in row.source:
            pairs[row.id][row.metric] = row.value
    seen: dict[tuple[str, str, str], str] = {}
    repeated = set()
    for i, row in enumerate(rows):
        both = pairs.get(row.id, {})
        if len(both) < 2 or row.id in repeated:
            continue
        # files round: four digits of one and three of the other are a fingerprint enough
        key = (conditions[i].chip_id, f"{both['ttft_ms']:.4g}", f"{both['tpot_ms']:.3g}")
        first = seen.setdefault(key, row.id)
        if first != row.id:
            repeated.add(row.id)
    for i, row in enumerate(rows):
        if row.id in repeated and not out[i]:
            out[i] = "repeat"


def _twins(rows: Sequence[Row], conditions: Sequence[Conditions], out: list[str]) -> None:
    """Flag curves far faster than another of the same condition: speculation that nobody noted."""
    fastest: dict[tuple[object, ...], list[tuple[float, str, int]]] = defaultdict(list)
    for i, (row, c) in enumerate(zip(rows, conditions, strict=True)):
        if row.metric == "tpot_ms" and not out[i] and "silicon_sample" in row.source:
            key: tuple[object, ...] = (
                c.chip_id,
                _merged(c.model_id),
                c.engine,
                c.weight_format,
                c.tp,
                c.dp,
                c.ep,
                c.isl,
                c.osl,
                c.concurrency,
            )
            fastest[key].append((row.value, f"{row.engine}|{row.date}", i))
    below: dict[tuple[object, ...], list[bool]] = defaultdict(list)
    member: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for key, runs in fastest.items():
        if len({name for _, name, _ in runs}) < 2:
            continue
        for value, name, i in runs:
            others = [v for v, n, _ in runs if n != name]
            curve: tuple[object, ...] = (*key[:7], name)
            below[curve].append(value < 0.85 * float(np.median(others)))
            member[curve].append(i)
    for run, hits in below.items():
        if sum(hits) >= max(len(hits) / 2, 2):
            ids = {rows[i].id for i in member[run]}
            for i, row in enumerate(rows):
                if row.id in ids and not out[i]:
                    out[i] = "faster twin"


def _merged(model: str) -> str:
    return "deepseek-v3" if model == "deepseek-r1" else model


def _caps(
    rows: Sequence[Row], conditions: Sequence[Conditions], fits: Sequence[float], out: list[str]
) -> None:
    both: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        both[row.id][row.metric] = row.value
    for i, (row, c) in enumerate(zip(rows, conditions, strict=True)):
        pair = both[row.id]
        if out[i] or "ttft_ms" not in pair or "tpot_ms" not in pair:
            continue
        life = pair["ttft_ms"] + c.osl * pair["tpot_ms"]
        if pair["ttft_ms"] > 0.6 * life and c.osl > 100 and fits[i] > 1.2 * c.concurrency:
            out[i] = "admission cap"


def _cold(
    rows: Sequence[Row], conditions: Sequence[Conditions], fits: Sequence[float], out: list[str]
) -> None:
    """Flag first tokens that waited for a compiler: seconds that neither prompts nor concurrency explain."""
    step = {row.id: row.value for row in rows if row.metric == "tpot_ms"}
    for i, (row, c) in enumerate(zip(rows, conditions, strict=True)):
        if out[i] or row.metric != "ttft_ms" or c.stack != "sglang" or c.engine_version != "unstated":
            continue
        waited = row.value > max(5000.0, 250 * step.get(row.id, float("inf")))
        if waited and c.concurrency * c.isl < 300_000 and fits[i] > 1.2 * c.concurrency:
            out[i] = "cold start"
