"""``entrepot catalogue``: what is known of a chip, a model, a price, a claim, and who says so?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from entrepot import catalogue
from entrepot.catalogue import demand, explain, hf_config, shape
from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.cli.output import Output, Row, emit, note
from entrepot.errors import NotFound

__all__ = ["add_model", "compare", "list_things", "show"]

Things = Literal["chips", "models", "prices", "claims", "mixes"]
_BAR = 28


def list_things(
    what: Things = "chips",
    *,
    search: str = "",
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """List chips, models, prices, claims or request mixes.

        entrepot catalogue list chips --search ascend
        entrepot catalogue list prices --search h20 -o csv
        entrepot catalogue list claims --search bytedance

    Parameters
    ----------
    what
        chips, models, prices, claims or mixes
    search
        keep rows in which this text occurs
    """
    rows: list[Row]
    match what:
        case "chips":
            rows = [_chip_row(a) for a in catalogue.accelerators().values()]
        case "models":
            rows = [_model_row(m) for m in catalogue.models().values()]
        case "prices":
            rows = [asdict(p) for p in catalogue.prices()]
        case "claims":
            rows = [asdict(c) for c in catalogue.claims()]
        case "mixes":
            rows = [{"mix": m, **_mix_row(m)} for m in demand.mixes()]
    wanted = search.lower()
    emit(
        [row for row in rows if wanted in " ".join(map(str, row.values())).lower()],
        kind=what,
        output=output or Output(),
    )


def _chip_row(a: Accelerator) -> Row:
    rate = a.dense_rate
    return {
        "id": a.id,
        "vendor": a.vendor,
        "bf16_tflop_s": rate.get(NumberFormat.BF16),
        "fp8_tflop_s": rate.get(NumberFormat.FP8),
        "int8_top_s": rate.get(NumberFormat.INT8),
        "memory_gb": a.memory_gb,
        "memory_bw_gb_s": a.memory_bw_gb_s,
        "scaleup_bw_gb_s": a.scaleup_bw_gb_s,
        "announced": a.announced,
        "status": a.status,
        "confidence": a.confidence,
    }


def _model_row(m: Model) -> Row:
    built = shape.parameters(m)
    return {
        "id": m.id,
        "vendor": m.vendor,
        "released": m.released,
        "total_b": m.total_params_b,
        "active_b": m.active_params_b,
        "total_b_rebuilt": round(built.total / 1e9, 2) if built else None,
        "attention": m.attention,
        "experts": m.n_experts,
        "kv_bytes_per_token_16bit": shape.kv_bytes_per_token(m),
    }


def _mix_row(name: str) -> Row:
    isl, osl, share = demand.mix(name)
    mean_in = sum(i * s for i, s in zip(isl, share, strict=True))
    mean_out = sum(o * s for o, s in zip(osl, share, strict=True))
    return {"buckets": len(share), "mean_input_tokens": round(mean_in), "mean_output_tokens": round(mean_out)}


def show(name: str, *, output: Annotated[Output | None, Parameter(name="*")] = None) -> None:
    """Show everything known of one chip or model: figures, sources, conflicts, unknowns, prices, claims.

        entrepot catalogue show nvidia-h20-sxm-96gb
        entrepot catalogue show deepseek-r1

    Parameters
    ----------
    name
        id or name of a chip or a model
    """
    try:
        told = explain.explain(catalogue.accelerator(name))
    except NotFound as no_chip:
        try:
            told = explain.explain_model(catalogue.model(name))
        except NotFound as no_model:
            raise NotFound("chip or model", name, [*no_chip.near, *no_model.near]) from None
    emit(
        {s.key: list(s.rows) for s in told.sections},
        kind="explained",
        output=output or Output(),
        titles={s.key: s.title for s in told.sections},
    )


def compare(
    *names: str,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Set chips side by side, each figure as a bar against the largest.

        entrepot catalogue compare nvidia-h20-sxm-96gb nvidia-h100-sxm5-80gb huawei-ascend-910c

    Parameters
    ----------
    names
        two or more chips, by id or name
    """
    chips = [catalogue.accelerator(n) for n in names]
    show = output or Output()
    figures: list[tuple[str, str, Sequence[object]]] = [
        ("16-bit dense", "TFLOP/s", [c.dense_rate.get(NumberFormat.BF16) for c in chips]),
        ("FP8 dense", "TFLOP/s", [c.dense_rate.get(NumberFormat.FP8) for c in chips]),
        ("INT8 dense", "TOP/s", [c.dense_rate.get(NumberFormat.INT8) for c in chips]),
        ("memory", "GB", [c.memory_gb for c in chips]),
        ("memory bandwidth", "GB/s", [c.memory_bw_gb_s for c in chips]),
        ("scale-up bandwidth", "GB/s", [c.scaleup_bw_gb_s for c in chips]),
        ("board power", "W", [c.tdp_w for c in chips]),
        ("ridge, 16-bit", "FLOP/byte", [explain.ridge_flop_per_byte(c) for c in chips]),
    ]
    rows: list[Row] = []
    for label, unit, values in figures:
        known = [float(str(v)) for v in values if v is not None]
        for chip, value in zip(chips, values, strict=True):
            row: dict[str, object] = {"figure": label, "unit": unit, "chip": chip.id, "value": value}
            if show.output == "table":
                share = 0.0 if value is None else float(str(value)) / max(known)
                row[""] = "█" * round(share * _BAR) if value is not None else "unknown"
            rows.append(row)
    emit(rows, kind="comparison", output=show)


def add_model(
    config: Path,
    *,
    id_: Annotated[str | None, Parameter(name="--id")] = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Take in a model from its Hugging Face config.json, and check its parameter count.

        entrepot catalogue add-model config.json --id my-model

    Parameters
    ----------
    config
        the config.json
    id_
        the name that the model gets; worked out from the file if left out
    """
    added = hf_config.add_model(config, id=id_, to=None)
    emit([_model_row(added)], kind="models", output=output or Output())
    note(f"{added.id} is in your own model file; entrepot size {added.id} ... works now.")
