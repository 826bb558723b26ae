"""``entrepot performance``: where does the time go, and how good is the model that says so?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
from cyclopts import Parameter

from entrepot import api, catalogue, performance
from entrepot.cli.asked import Asked, positive
from entrepot.cli.output import Output, emit, note
from entrepot.errors import Fault, InputError, MissingFact
from entrepot.performance.records import Workload

__all__ = ["explain", "latency", "train"]


def explain(
    model: str,
    *,
    chip: str,
    engine: str = "vllm",
    picture: Path | None = None,
    pools: Annotated[bool, Parameter(negative="")] = False,
    asked: Annotated[Asked | None, Parameter(name="*")] = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say where the time of a request goes in the best layout of a chip, what it rests on, and how far the roof is.

        entrepot performance explain deepseek-r1 --chip nvidia-h20-sxm-96gb
        entrepot performance explain qwen3-32b --chip nvidia-h200-sxm-141gb --tpot-ms 30 --picture roofline.html

    ``ms`` is one decode step of the batch, or the prefill of one mean request; ``share`` is of the device time of a request.

    Parameters
    ----------
    model
        the AI model, by id
    chip
        the chip, by id or name
    engine
        whose overheads to count: vllm, trtllm or sglang
    picture
        write the roofline as a picture: FILE.svg, or FILE.html with the table
    pools
        weigh separate pools for prefill and decode too; what they gain is judged, not measured
    """
    show, work = output or Output(), asked or Asked()
    if picture is not None and picture.suffix not in {".svg", ".html"}:
        raise InputError(
            Fault("--picture", f"{picture} is neither .svg nor .html", "Name a file of either kind.")
        )
    workload = _workload(model, work)
    on, shape = catalogue.accelerator(chip), catalogue.model(model)
    with work.own_runs:
        table = performance.explain(
            workload, on, shape, engine=engine, speculation=work.speculation, pools=pools
        )
        points = performance.roofline(on, shape, workload, engine=engine, pools=pools)
    rests = table.group_by("rests_on").agg(pl.col("share").sum()).sort("share", descending=True)
    emit(
        {"parts": table.to_dicts(), "rests_on": rests.to_dicts(), "roofline": points.to_dicts()},
        kind="explanation",
        output=show,
        titles={"rests_on": "What the time rests on", "roofline": "The roof, and the phases beneath it"},
    )
    if picture is not None:
        title = f"{shape.name} on {on.name}: the roofline"
        drawn = performance.roofline_picture(points, title)
        said = f"Request sizes {work.mix}; layout {table['layout'][0]}."
        text = drawn if picture.suffix == ".svg" else performance.page(title, said, drawn, table.to_dicts())
        picture.write_text(text, encoding="utf-8")
        note(f"wrote {picture}")


def latency(
    model: str,
    *,
    chip: str,
    requests_per_s: float,
    replicas: int = 1,
    engine: str = "vllm",
    asked: Annotated[Asked | None, Parameter(name="*")] = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say how long requests wait at a load: p50, p90, p95 and p99 of TTFT and TPOT, or that the replicas are saturated.

        entrepot performance latency qwen3-32b --chip h200-sxm-141gb --requests-per-s 6 --arrivals poisson
        entrepot performance latency llama-3.1-70b --chip h20-sxm-96gb --requests-per-s 12 --replicas 8 --arrivals 4

    The layout is the best one, prefill and decode together, for the limits that are given. Arrivals are Poisson if not said.

    Parameters
    ----------
    model
        the AI model, by id
    chip
        the chip, by id or name
    requests_per_s
        the load of all replicas together, spread at random
    replicas
        how many
    engine
        whose overheads to count: vllm, trtllm or sglang
    """
    show, work = output or Output(), asked or Asked()
    positive("--requests-per-s", requests_per_s)
    positive("--replicas", replicas)
    scv = 1.0 if work.arrival_scv is None else work.arrival_scv
    workload = replace(_workload(model, work), arrival_scv=1 + (scv - 1) / replicas)
    on, shape = catalogue.accelerator(chip), catalogue.model(model)
    with work.own_runs:
        answer = performance.estimate(workload, on, shape, engine=engine, speculation=work.speculation)
        if not isinstance(answer.layout, performance.Layout):
            raise MissingFact(f"no layout for {workload.id} on {on.id}: {answer.reason}")
        found = performance.latency(
            workload,
            on,
            shape,
            answer.layout,
            requests_per_s / replicas,
            engine=engine,
            speculation=work.speculation,
        )
    rows = [
        {
            "metric": f"{name} p{percentile:g}, ms",
            "low": _ms(at[percentile].low),
            "central": _ms(at[percentile].central),
            "high": _ms(at[percentile].high),
        }
        for name, at in (("TTFT", found.ttft_ms), ("TPOT", found.tpot_ms))
        for percentile in performance.PERCENTILES
    ]
    emit(rows, kind="latency", output=show)
    note(
        f"{found.layout} on {on.id}, {replicas} x {found.layout.devices} devices, {found.busy:.0%} busy: each takes up to "
        f"{found.capacity_requests_per_s:.3g} requests/s; {found.concurrency:.3g} requests in each. "
        "low and high: if the replica is faster or slower by the factor of its interval."
    )


def _ms(value: float | None) -> float | str:
    return "saturated" if value is None else value


def _workload(model: str, work: Asked) -> Workload:
    return api.work_of(
        model,
        mix=work.mix,
        slo=work.slo,
        prefix_hit_share=work.prefix_hit_share,
        arrival_scv=work.arrival_scv,
    )


def train(
    model: str,
    *,
    tokens: float,
    chip: str,
    devices: int,
    sequence: int = 4096,
    batch: int = 1024,
    method: Literal["full", "lora"] = "full",
    number_format: Annotated[str, Parameter(name="--format")] = "bf16",
    stack: Literal["megatron", "fsdp"] = "megatron",
    release: str | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say how long a training or fine-tuning run takes, in the best layout that fits, and where its time goes.

        entrepot performance train llama-3.1-70b --tokens 1e12 --chip nvidia-h20-sxm-96gb --devices 512
        entrepot performance train qwen3-32b --tokens 1e8 --chip h200-sxm --devices 8 --method lora --batch 64
        entrepot performance train deepseek-v3 --tokens 1e12 --chip gb200-nvl72 --devices 256 --format fp8 --release 2025-11

    Parameters
    ----------
    model
        the AI model, by id
    tokens
        tokens in the whole run, e.g. 1e12
    chip
        the chip, by id or name
    devices
        how many devices train together
    sequence
        tokens in a sequence
    batch
        sequences in a step
    method
        full, or lora for adapters on frozen weights
    number_format
        format of the matrix products: bf16, fp8 (MXFP8 where the chip scales blocks) or fp4
    stack
        megatron for fused kernels (Megatron-LM, Megatron-Bridge, NeMo), fsdp for PyTorch FSDP, DeepSpeed and the like
    release
        month of the training software, e.g. 2025-11; the newest that was measured where left out
    """
    show = output or Output()
    found = api.train(
        model,
        chip,
        devices,
        tokens=tokens,
        sequence=sequence,
        batch=batch,
        method=method,
        number_format=number_format,
        stack=stack,
        release=release,
    )
    whole = sum(found.parts.values())
    run = {
        "layout": str(found.layout),
        "days_low": found.days.low,
        "days": found.days.central,
        "days_high": found.days.high,
        "device_hours": found.device_hours,
        "step_s": found.step_s.central,
        "tokens_per_s_per_device": found.tokens_per_s,
        "tflops_per_device": found.tflops,
        "mfu": found.mfu,
        "memory_gb_per_device": found.memory_gb,
        "basis": found.basis,
        "runner_up": found.runner_up,
        "runner_up_share": found.runner_up_share,
    }
    parts = [{"part": k, "seconds": v, "share": v / whole} for k, v in found.parts.items() if v > 0]
    tables = {"run": [run], "parts": parts}
    titles = {"parts": "Where a step's time goes"}
    if show.output == "table":
        tables["run"] = [{"what": k.replace("_", " "), "answer": v} for k, v in run.items()]
    emit(tables, kind="training", output=show, titles=titles)
    note(
        "Compared with published runs in docs/performance.md; MFU halves causal attention and counts no recomputation."
    )
