"""What does one kernel take: matrix product, grouped product, attention, memory copy, all-to-all?

A kernel is a launch and one operation: ``t0 + soft maximum(arithmetic, bytes)``, each over what its architecture reaches.
``t0`` is what a launch outside a graph costs, where a serving step pays ``layer_us`` once per layer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from entrepot.catalogue.records import NumberFormat
from entrepot.performance.accuracy.names import read_chip
from entrepot.performance.accuracy.rows import Row
from entrepot.performance.chip import Chip, chip
from entrepot.performance.efficiency import serving
from entrepot.performance.step import soft_maximum

__all__ = ["Kernel", "kernel_seconds"]

_TERA = 1e12
_GB = 1e9


@dataclass(frozen=True, slots=True)
class Kernel:
    """Seconds of a kernel, its operations and bytes as the source counts them, and the untuned roofline's seconds."""

    seconds: float
    flop: float
    bytes: float
    roofline_seconds: float
    factor: float
    reading: str


def _numbers(text: str) -> dict[str, float]:
    return {k: float(v) for k, v in re.findall(r"\b([mnkhi])=?(\d+)\b", text)}


def kernel_seconds(row: Row) -> Kernel | str:
    """Return what a kernel row's conditions lead to, or why it cannot be answered."""
    found = read_chip(row.accelerator)
    if found is None:
        return f"chip {row.accelerator!r} is not on record with rate, memory and bandwidth"
    at = chip(found.accelerator)
    name = row.model.lower()
    if "matmul" in name or "(best case)" in name or "matmul peak" in name:
        fmt = _format(row, at)
        rate = at.rates.get(fmt, at.rate_16)
        share = at.efficiency.compute(fmt.bits, rate / _TERA, at.sm_count)
        return Kernel(1 / (rate * share), 1.0, 0.0, 1 / (0.5 * rate), _factor(), "the largest shapes")
    if "main memory bandwidth" in name:
        reach = max(at.efficiency.bandwidth, 0.85)
        return Kernel(1 / (at.bandwidth * reach), 0.0, 1.0, 1 / (0.75 * at.bandwidth), _factor(), "")
    if "gemm" in name:
        return _gemm(row, at)
    if "mla decode" in name or "gqa decode" in name:
        return _decode(row, at)
    if "prefill" in name or "attention forward" in name:
        return _prefill(row, at)
    if "all-to-all" in name:
        return _all_to_all(row, at)
    if "all-reduce" in name:
        return _all_reduce(row, at)
    return f"kernel {row.model!r} is of no kind that is modelled"


def _factor() -> float:
    return float(serving().kernel_factor)


def _format(row: Row, at: Chip) -> NumberFormat:
    text = row.weight_dtype.lower()
    if "fp8" in text:
        return NumberFormat.FP8 if NumberFormat.FP8 in at.rates else NumberFormat.INT8
    if "int8" in text:
        return NumberFormat.INT8
    return NumberFormat.FP4 if "fp4" in text else NumberFormat.BF16


def _time(
    at: Chip, flop: float, moved: float, rate: float, share: float, bandwidth: float, launch_us: float
) -> tuple[float, float]:
    """Return seconds, and the untuned roofline's."""
    x, y = np.array(flop / (rate * share)), np.array(moved / bandwidth)
    seconds = launch_us * 1e-6 + float(soft_maximum(x, y, serving().kernel_softness))
    return seconds, max(flop / (0.5 * rate), moved / (0.75 * at.bandwidth))


def _gemm(row: Row, at: Chip) -> Kernel | str:
    name, batch = row.model.lower(), row.concurrency_or_batch.lower()
    fmt = _format(row, at)
    width = fmt.bits / 8
    rate = at.rates.get(fmt, at.rate_16)
    share = at.efficiency.compute(fmt.bits, rate / _TERA, at.sm_count)
    size = _numbers(name)
    constants = serving()
    swap = "swapab" in name
    grouped = "grouped" in name
    if not grouped:
        if not {"m", "n", "k"} <= set(size):
            return "the shape of the matrix product is not stated"
        m, n, k = size["m"], size["n"], size["k"]
        flop, moved, weights = 2 * m * n * k, (m * k + n * k) * width + 2 * m * n, n * k * width
        counted = moved
    else:
        groups, m, n, k = _grouped(name, batch, size)
        if not (groups and n and k):
            return "the shape of the grouped product is not stated"
        flop, weights = 2 * groups * m * n * k, groups * n * k * width
        moved = weights + groups * (m * k * width + 2 * m * n)
        counted = weights if "weight bytes only" in row.notes.lower() else moved
        share *= at.efficiency.experts
    reach = min(at.bandwidth * at.efficiency.bandwidth, _sm_cap(at, swap=swap))
    padded = max(1.0, 64.0 * np.ceil(m / 64.0) / max(m, 1.0)) if grouped and not swap else 1.0
    launch = constants.kernel_grouped_us if grouped else constants.kernel_gemm_us
    seconds, plain = _time(at, flop * padded, moved, rate, share, reach, launch)
    return Kernel(seconds, flop, counted, plain, _factor(), "")


def _sm_cap(at: Chip, *, swap: bool) -> float:
    per_sm = at.efficiency.gemm_gb_s_per_sm
    if per_sm is None or at.sm_count is None:
        return float("inf")
    return (max(per_sm, serving().kernel_swap_gb_s_per_sm) if swap else per_sm) * _GB * at.sm_count


def _grouped(name: str, batch: str, size: dict[str, float]) -> tuple[float, float, float, float]:
    """Return groups, rows per group, n and k of a grouped product."""
    local = re.search(r"(\d+) local experts", name)
    groups = float(local.group(1)) if local else 0.0
    found = re.search(r"(\d+) groups", name)
    if found:
        groups = float(found.group(1))
    rows = re.search(r"(\d+) tok/expert", batch)
    m = float(rows.group(1)) if rows else size.get("m", 0.0)
    n, k = size.get("n", 0.0), size.get("k", 0.0)
    if "h" in size and "i" in size:
        n, k = (2 * size["i"], size["h"]) if "(up)" in name else (size["h"], size["i"])
    if not n and groups:  # DeepSeek's shapes, which these tables use where none is named
        n, k = 4096.0, 7168.0
    return groups, m, n, k


def _decode(row: Row, at: Chip) -> Kernel | str:
    name = row.model.lower()
    batch = re.match(r"(\d+)", row.concurrency_or_batch)
    found_b, found_k = re.search(r"\bb(?:s)?(\d+)\b", name), re.search(r"sk(\d+)", name)
    b = float(batch.group(1)) if batch else float(found_b.group(1)) if found_b else 128.0
    try:
        context = float(row.isl)
    except ValueError:
        context = float(found_k.group(1)) if found_k else 4096.0
    queries = re.search(r"s_q=(\d+)", name)
    q = float(queries.group(1)) if queries else 1.0
    kv = 1.0 if "fp8" in row.kv_dtype.lower() else 2.0
    share_16 = at.reached_16
    reach = (
        at.bandwidth * at.efficiency.kv_bandwidth * (at.efficiency.kv8_bandwidth_factor if kv == 1 else 1.0)
    )
    if "mla" in name:
        top = re.search(r"topk=(\d+)", name)
        seen = float(top.group(1)) if top else context
        heads_found = re.search(r"(\d+) heads", name) or re.search(r"h(\d+)\b", name)
        heads = float(heads_found.group(1)) if heads_found else 128.0
        if "memory-bound" in name:
            heads, b = 16.0, 128.0
        flop = 2 * b * q * heads * seen * 1088
        moved = b * seen * 576 * kv
        rate, share = at.rate_16, at.efficiency.mla_attention * share_16
    else:
        shape = re.search(r"(\d+)-(\d+)-(\d+)", name)
        if shape is None:
            return "the heads of the attention kernel are not stated"
        heads, kv_heads, dim = (float(x) for x in shape.groups())
        flop = 4 * b * heads * context * dim
        moved = 2 * b * kv_heads * dim * context * kv
        rate, share = at.rate_16, at.efficiency.prefill_attention * share_16
    seconds, plain = _time(at, flop, moved, rate, share, reach, serving().kernel_attention_us)
    return Kernel(seconds, flop, moved, plain, _factor(), "")


def _prefill(row: Row, at: Chip) -> Kernel | str:
    name = row.model.lower()
    batch = re.match(r"(\d+)", row.concurrency_or_batch)
    b = float(batch.group(1)) if batch else 1.0
    try:
        length = float(row.isl)
    except ValueError:
        length = 4096.0
    mask = 1.0 if "non-causal" in name else 0.5
    shape = re.search(r"(\d+)-(\d+)-(\d+)", name)
    if "mla" in name:
        heads, widths = 128.0, 192.0 + 128.0
        if "sparse" in name:
            widths, mask, length = 1088.0, 1.0, min(length, 4096.0)
    elif shape:
        heads, widths = float(shape.group(1)), 2 * float(shape.group(3))
    else:
        dim = re.search(r"head_dim (\d+)", name)
        heads, widths = 32.0, 2 * float(dim.group(1) if dim else 128)
    flop = 2 * b * heads * length * length * widths * mask
    moved = 2 * b * length * heads * widths
    share = at.efficiency.prefill_attention * at.reached_16
    ramp = length / (length + serving().kernel_attention_ramp)
    seconds, plain = _time(
        at, flop, moved, at.rate_16, min(share * ramp, 1.0), at.bandwidth * 0.8, serving().kernel_attention_us
    )
    return Kernel(seconds, flop, moved, plain, _factor(), "")


def _ranks(row: Row) -> float:
    found = re.search(r"ep\s*(\d+)", row.parallelism.lower())
    if found:
        return float(found.group(1))
    try:
        return float(row.n_accelerators)
    except ValueError:
        return 8.0


def _all_to_all(row: Row, at: Chip) -> Kernel | str:
    """GB/s of expert dispatch and combine: inside a node over its link, across nodes over one NIC per device."""
    ranks, name = _ranks(row), row.model.lower()
    constants = serving()
    inside = at.link_bytes_s is not None and ranks <= max(at.domain, 8)
    nic = constants.scaleout_gb_s * constants.scaleout_share * _GB
    link = (at.link_bytes_s or nic) * at.efficiency.link
    if "low-latency" in name:
        tokens = 128.0
        sent = tokens * 8 * 7168 * (2.0 if "combine" in name else 1.0)
        latency = constants.all_to_all_us if inside else constants.all_to_all_across_us / 2
        seconds = latency * 1e-6 * (1 + 0.25 * np.log2(max(ranks / 8, 1))) + sent / (
            nic * 1.7 if not at.domain > 72 else link
        )
        return Kernel(
            float(seconds), 0.0, sent, sent / nic, _factor(), "128 tokens a rank, top 8 of width 7168"
        )
    speed = link if inside or at.domain >= ranks else nic
    return Kernel(
        1 / speed, 0.0, 1.0, 1 / (0.33 * (at.link_bytes_s or nic) if inside else nic), _factor(), ""
    )


def _all_reduce(row: Row, at: Chip) -> Kernel | str:
    nodes = 2 if "two nodes" in row.model.lower() else 1
    constants = serving()
    nic = constants.scaleout_gb_s * constants.scaleout_share * _GB * 8
    link = (at.link_bytes_s or nic) / 2
    speed = link * 0.8 if nodes == 1 else min(link * 0.8, nic)
    return Kernel(1 / speed, 0.0, 1.0, 1 / link, _factor(), "bus bandwidth of large messages")
