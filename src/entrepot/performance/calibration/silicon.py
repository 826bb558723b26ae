"""Which rows does the serving table of the Apache-2.0 wheel ``aiconfigurator-core`` hold, in this project's own shape?

The wheel is installed by ``make calibrate`` in an environment of its own; ``systems/silicon_sample.csv`` (5,221 published
serving points of NVIDIA's aiconfigurator project) is read there and never copied. Aggregated points become two rows each,
TTFT and TPOT, with the conditions that the file and its source text state.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from entrepot.performance.accuracy.rows import Row

__all__ = ["chip_name", "silicon_rows"]

_CHIPS = {
    "b200_sxm": "B200-SXM-180GB",
    "h200_sxm": "H200-SXM-141GB",
    "h100_sxm": "H100-SXM-80GB",
    "b300_sxm": "B300-SXM-270GB",
    "gb200": "GB200-NVL72-186GB",
    "gb300": "GB300-NVL72",
}


def chip_name(system: str) -> str:
    """Return the chip of one of the table's systems as rows of measurements write it."""
    return _CHIPS[system]


def silicon_rows(path: Path) -> list[Row]:
    """Return the aggregated points of ``silicon_sample.csv`` as rows.

    Notes
    -----
    In dashboard rows ``tp_size`` is the number of devices; ``attention_dp_size`` of 16 or 64 stands for 4 or 8, and a
    ``moe_ep_size`` of tp squared for tp: the file multiplies them where it was made from job descriptions.
    """
    out: list[Row] = []
    with path.open(encoding="utf-8", newline="") as lines:
        for line, r in enumerate(csv.DictReader(lines), start=2):
            if r["mode"] != "agg":
                continue
            out += _rows(r, line)
    return out


def _rows(r: dict[str, str], line: int) -> list[Row]:
    text = r["silicon_data_source"]
    found = re.search(r"silicon_concurrency=(\d+)", text)
    concurrency = found.group(1) if found else r["batch_size"]
    # its own runs; two other files of that name repeat dashboard rows, rounded
    gap = "aic-auto-gap-analysis" in text or ("source_file" not in text and "db-dump" not in text)
    tp = int(r["tp_size"])
    dp = int(r["attention_dp_size"] or 1) or 1
    moe_tp, moe_ep = int(r["moe_tp_size"] or 1) or 1, int(r["moe_ep_size"] or 1) or 1
    devices = tp
    if gap:
        devices = tp * dp
    elif dp > 1:
        dp = {16: 4, 64: 8}.get(dp, dp) if moe_tp == moe_ep or dp > tp else dp
        dp = min(dp, tp)
    if moe_ep == tp * tp and tp > 1:
        moe_ep = tp
    attention_tp = tp if gap else max(tp // dp, 1)
    layout = f"TP{attention_tp}"
    if dp > 1:
        layout += f" attnDP{dp}"
    if moe_tp * moe_ep > 1:
        layout += f" moeTP{moe_tp} moeEP{moe_ep}"
    day = re.search(r"measured=(\d{4}-\d{2}-\d{2})", text)
    model = r["model_path"]
    if "dsr1" in r["id"].lower() and model == "deepseek-ai/DeepSeek-V3":
        model = "deepseek-ai/DeepSeek-R1"
    kind = "NVIDIA AIC gap-analysis run" if gap else "InferenceX(InferenceMAX) dump"
    common = {
        "line": line,
        "id": "silicon:" + r["id"],
        "accelerator": _CHIPS[r["system"]],
        "n_accelerators": str(devices),
        "model": model.split("/")[-1],
        "weight_dtype": {"fp4": "nvfp4"}.get(r["precision"], r["precision"]) or r["gemm_quant_mode"],
        "kv_dtype": "",
        "engine": f"{r['backend']} {r['backend_version'] or ''}".strip(),
        "parallelism": layout,
        "isl": r["isl"],
        "osl": r["osl"],
        "concurrency_or_batch": concurrency,
        "regime": "latency",
        "source": "ai-dynamo/aiconfigurator: systems/silicon_sample.csv (" + _file(text) + ")",
        "date": day.group(1) if day else "2025/2026",
        "notes": f"{kind}; closed loop at fixed concurrency",
    }
    return [
        Row(metric="ttft_ms", value=float(r["silicon_ttft_ms"]), **common),  # type: ignore[arg-type]
        Row(metric="tpot_ms", value=float(r["silicon_tpot_ms"]), **common),  # type: ignore[arg-type]
    ]


def _file(text: str) -> str:
    found = re.search(r"source_file=([^;]+)", text)
    return found.group(1).split("/data/")[-1] if found else text.split(";", maxsplit=1)[0]
