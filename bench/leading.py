"""How long does the leading open tool take for the same search, and how far off is it on the same published points?

NVIDIA's ``aiconfigurator`` (Apache-2.0) sizes a service by looking up measured kernels. It is no dependency: it is compared with where
it is installed, in an environment of its own (``make leading`` puts it into ``.aic/leading``; ``ENTREPOT_AICONFIGURATOR`` names the command
elsewhere). Both answer one model on eight devices of one chip at 1,024 tokens in and out within TTFT 2 s and TPOT 30 ms. The tool's
seconds are those of one whole command, as a person waits, and beside them the seconds that it reports for its search itself.

The points are rows of the shipped measurements at a stated layout and concurrency (up to two of each chip, model and engine, by
concurrency); our answers are those of a fit that has not seen the point's curve.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from entrepot import catalogue
from entrepot.performance import Slo, Workload, estimate
from entrepot.performance.accuracy.rows import shipped_path
from entrepot.performance.calibration.fit import KINDS
from entrepot.performance.calibration.heldout import held_by
from entrepot.performance.calibration.run import Material, read_material

__all__ = ["Point", "command", "points", "run", "search_seconds", "tool_estimate"]

_SYSTEMS = {
    "nvidia-h100-sxm5-80gb": "h100_sxm",
    "nvidia-h200-sxm-141gb": "h200_sxm",
    "nvidia-b200-sxm-180gb": "b200_sxm",
}
_SEARCHED = {
    "qwen3-32b": "Qwen/Qwen3-32B",
    "llama-3.1-70b": "meta-llama/Meta-Llama-3.1-70B",
    "deepseek-v3": "deepseek-ai/DeepSeek-V3",
}
# as the tool names what a row ran: our model and format
_ASKED = {
    ("qwen3-32b", "fp8"): ("Qwen/Qwen3-32B-FP8",),
    ("qwen3-32b", "bf16"): ("Qwen/Qwen3-32B",),
    ("llama-3.1-8b", "fp8"): ("meta-llama/Meta-Llama-3.1-8B", "--gemm-quant-mode", "fp8"),
    ("llama-3.1-8b", "bf16"): ("meta-llama/Meta-Llama-3.1-8B",),
    ("llama-3.1-70b", "fp8"): ("nvidia/Llama-3.1-70B-Instruct-FP8",),
    ("llama-3.3-70b", "fp8"): ("nvidia/Llama-3.1-70B-Instruct-FP8",),
    ("deepseek-r1", "fp8"): ("deepseek-ai/DeepSeek-R1",),
    ("qwen3-235b-a22b", "fp8"): ("Qwen/Qwen3-235B-A22B-FP8",),
}
_EACH = 2
_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Point:
    """One published point: its place in the material, and what the tool is asked."""

    row: int
    chip: str
    arguments: tuple[str, ...]


def command() -> Path | None:
    """Return the tool's command; ``None`` where it is not installed."""
    named = os.environ.get("ENTREPOT_AICONFIGURATOR")
    path = Path(named) if named else Path(".aic/leading/bin/aiconfigurator")
    return path if path.exists() else None


def _call(tool: Path, arguments: tuple[str, ...]) -> str:
    done = subprocess.run(  # noqa: S603  the command is the user's own
        [str(tool), "cli", *arguments], capture_output=True, text=True, check=False, timeout=_WAIT_S
    )
    return done.stdout + done.stderr


def search_seconds(tool: Path, system: str, model: str) -> tuple[float, float | None, float | None]:
    """Return the seconds of the whole command, of the search as the tool reports it, and its best tokens/s per device."""
    start = time.perf_counter()
    text = _call(
        tool,
        (
            "default", "--model", model, "--total-gpus", "8", "--system", system,
            "--isl", "1024", "--osl", "1024", "--ttft", "2000", "--tpot", "30",
        ),
    )  # fmt: skip
    whole = time.perf_counter() - start
    own = re.search(r"All experiments completed in ([\d.]+) seconds", text)
    best = re.search(r"Per-GPU Throughput: ([\d.,]+)", text)
    return (
        whole,
        None if own is None else float(own.group(1)),
        None if best is None else float(best.group(1).replace(",", "")),
    )


def tool_estimate(tool: Path, point: Point) -> tuple[float, float] | None:
    """Return TTFT and TPOT in seconds that the tool predicts for a point; ``None`` where it answers nothing."""
    text = _call(tool, ("estimate", *point.arguments))
    found = [re.search(rf"{word}:\s+([\d.,]+) ms", text) for word in ("TTFT", "TPOT")]
    if found[0] is None or found[1] is None:
        return None
    ttft, tpot = (float(f.group(1).replace(",", "")) / 1e3 for f in found if f is not None)
    return (ttft, tpot) if ttft > 0 and tpot > 0 else None


def points(m: Material) -> list[Point]:
    """Return the points that both are asked, some of each chip, model and engine by concurrency."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for i, c in enumerate(m.asked.conditions):
        plain = (
            m.keys[i].harness == "closed" and not m.flag[i] and KINDS[m.kind[i]] == "tpot_s" and not c.drafts
        )
        known = c.chip_id in _SYSTEMS and (c.model_id, str(c.weight_format)) in _ASKED
        if plain and known and c.pp == 1 and m.keys[i].stack in {"trtllm", "sglang", "vllm"}:
            groups.setdefault((c.chip_id, c.model_id, m.keys[i].stack), []).append(i)
    out = []
    for _, members in sorted(groups.items()):
        members.sort(key=lambda i: (m.asked.conditions[i].concurrency, i))
        chosen = [members[round(x)] for x in np.linspace(0, len(members) - 1, min(_EACH, len(members)))]
        out += [_point(m, i) for i in dict.fromkeys(chosen)]
    return out


def _point(m: Material, i: int) -> Point:
    c = m.asked.conditions[i]
    moe = catalogue.model(c.model_id).n_experts is not None
    ranks = c.tp * c.dp
    split = ("--moe-ep-size", f"{c.ep:g}", "--moe-tp-size", f"{max(ranks / c.ep, 1):g}") if moe else ()
    batch = max(round(c.concurrency / max(c.replicas, 1) / c.dp), 1)
    model, *more = _ASKED[c.model_id, str(c.weight_format)]
    return Point(
        i,
        c.chip_id,
        (
            "--model-path", model, "--system", _SYSTEMS[c.chip_id], "--backend", m.keys[i].stack, *more,
            "--isl", f"{int(np.mean(c.isl))}", "--osl", f"{int(np.mean(c.osl))}", "--batch-size", str(batch),
            "--tp-size", f"{c.tp:g}", "--attention-dp-size", f"{c.dp:g}", *split,
            "--kvcache-quant-mode", "fp8" if c.kv_bits == 8 else "bfloat16",
        ),
    )  # fmt: skip


def run(console_print: Callable[[str], None]) -> None:
    """Measure where the tool is installed, and print; else say that it is not."""
    tool = command()
    if tool is None:
        console_print(
            "aiconfigurator is not installed: `make leading` puts it into .aic/leading, or name its command in ENTREPOT_AICONFIGURATOR"
        )
        return
    _searches(tool, console_print)
    _errors(tool, console_print)


def _searches(tool: Path, console_print: Callable[[str], None]) -> None:
    one = np.array([1.0])
    waited, ours = [], []
    for chip_id, system in _SYSTEMS.items():
        for model_id, path in _SEARCHED.items():
            work = Workload("same", model_id, 1024 * one, 1024 * one, one, Slo(2000, 30))
            accelerator, model = catalogue.accelerator(chip_id), catalogue.model(model_id)
            estimate(work, accelerator, model)
            start = time.perf_counter()
            found = estimate(work, accelerator, model)
            own = time.perf_counter() - start
            whole, reported, best = search_seconds(tool, system, path)
            rate = found.mtok_per_device_hour
            mine = "no layout" if rate is None else f"{rate.central * 1e6 / 3600:,.0f} tokens/s per device"
            theirs = "no layout" if best is None else f"{best:,.0f}"
            console_print(
                f"{system} {path}: the tool {whole:.1f} s ({'-' if reported is None else f'{reported:.1f}'} s of search), "
                f"this model {own * 1e3:.1f} ms = {whole / own:,.0f} times as long; best {theirs} against {mine}"
            )
            waited.append(whole)
            ours.append(own)
    console_print(
        f"{len(waited)} searches: median {np.median(waited):.1f} s against {np.median(ours) * 1e3:.1f} ms "
        f"= {np.median(np.array(waited) / np.array(ours)):,.0f} times as long"
    )


def _errors(tool: Path, console_print: Callable[[str], None]) -> None:
    m = read_material(shipped_path(), None)
    use = np.array([not flag for flag in m.flag])
    held = held_by(m, use, "curve")
    partner = {
        (m.asked.conditions[i].source, m.curve[i], m.asked.conditions[i].concurrency): i
        for i in range(len(m))
        if KINDS[m.kind[i]] == "ttft_s"
    }
    theirs: dict[str, list[float]] = {"TPOT": [], "TTFT": []}
    ours: dict[str, list[float]] = {"TPOT": [], "TTFT": []}
    asked = answered = 0
    for point in points(m):
        asked += 1
        found = tool_estimate(tool, point)
        if found is None:
            continue
        answered += 1
        c = m.asked.conditions[point.row]
        rows = {"TPOT": point.row, "TTFT": partner.get((c.source, m.curve[point.row], c.concurrency))}
        for name, value in (("TTFT", found[0]), ("TPOT", found[1])):
            i = rows[name]
            if i is not None and np.isfinite(held.residual[i]):
                theirs[name].append(float(np.log(value)) - float(m.log_value[i]))
                ours[name].append(float(held.residual[i]))
    console_print(
        f"{asked} published points on {', '.join(_SYSTEMS.values())}; the tool answers {answered}. Of those:"
    )
    for name in ("TPOT", "TTFT"):
        for who, e in (("the tool", theirs[name]), ("this model, curve not seen", ours[name])):
            off = np.abs(np.expm1(e))
            console_print(
                f"   {name} {who}: {len(e)} points, error median {np.median(off):.1%}, mean {np.mean(off):.1%}, "
                f"bias {np.expm1(np.median(e)):+.1%}"
            )
