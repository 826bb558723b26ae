"""``entrepot size`` and ``entrepot compare``: what does a service need, and which chip is worth what for it?"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from entrepot import api
from entrepot.catalogue import demand
from entrepot.cli.output import Output, emit, note
from entrepot.errors import Fault, InputError
from entrepot.performance.calibration.own_runs import read_offsets
from entrepot.performance.offsets import calibrated
from entrepot.performance.records import Slo

__all__ = ["MIX", "compare", "limits", "size"]

MIX = "servegen-deepseek-r1"


def size(
    model: str | None = None,
    *,
    requests_per_s: float | None = None,
    mix: str = MIX,
    hourly: str | None = None,
    chip: str | None = None,
    ttft_ms: float | None = None,
    tpot_ms: float | None = None,
    scenario: Path | None = None,
    on: dt.date | None = None,
    variant: str | None = None,
    calibration: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say what a service needs in each kind of chip, as an interval, in whole replicas.

        entrepot size deepseek-r1 --requests-per-s 914 --chip nvidia-h20-sxm-96gb
        entrepot size llama-3.1-70b --requests-per-s 20 --mix azure-llm-2023-conv --tpot-ms 50
        entrepot size --scenario examples/spring-2025

    Parameters
    ----------
    model: the AI model, by id
    requests_per_s: the load; with --hourly, its mean over the day
    mix: request sizes: a public mix of the catalogue (entrepot catalogue list mixes)
    hourly: a public daily curve; the answer then covers its peak hour
    chip: one or more chips, comma-separated; all chips that can run it if left out
    ttft_ms: limit on the time to first token
    tpot_ms: limit on the time per output token
    scenario: size every service of this scenario for its own party's chips instead
    on: the scenario's day
    variant: the scenario's reading of contested facts
    calibration: what your own runs say of your engine (entrepot performance calibrate)
    """
    show = output or Output()
    own = None if calibration is None else read_offsets(calibration)
    if scenario is not None:
        with calibrated(own):
            sizes = api.sized(api.load(scenario, as_of=on, variant=variant))
        emit(sizes.to_dicts(), kind="sizes", output=show)
        return
    if model is None or requests_per_s is None:
        raise InputError(Fault("size", "MODEL or --requests-per-s not given", "Name both, or a --scenario."))
    _positive("--requests-per-s", requests_per_s)
    curve = [requests_per_s * c for c in demand.hourly(hourly)] if hourly else [requests_per_s]
    with calibrated(own):
        table = api.size(model, curve, mix=mix, chips=_names(chip), slo=limits(ttft_ms, tpot_ms))
    if chip is None and show.output == "table":
        table = table.filter(table["devices_central"].is_not_null())
    emit(table.to_dicts(), kind="sizes", output=show)
    note("low and high: nine of ten published runs like these lie between (docs/performance.md).")


def compare(
    model: str,
    *,
    mix: str = MIX,
    chips: str | None = None,
    ttft_ms: float | None = None,
    tpot_ms: float | None = None,
    calibration: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say what each chip delivers for one kind of work, best first: Mtok per device-hour, layout, what binds.

        entrepot compare deepseek-r1 --chips nvidia-h20-sxm-96gb,nvidia-h200-sxm-141gb,huawei-ascend-910c
        entrepot compare llama-3.1-70b --mix azure-llm-2023-conv --tpot-ms 50

    One Mtok is a million output tokens together with the input tokens that the mix brings along.

    Parameters
    ----------
    model: the AI model, by id
    mix: request sizes: a public mix of the catalogue
    chips: comma-separated; all chips if left out
    ttft_ms: limit on the time to first token
    tpot_ms: limit on the time per output token
    calibration: what your own runs say of your engine (entrepot performance calibrate)
    """
    show = output or Output()
    with calibrated(None if calibration is None else read_offsets(calibration)):
        table = api.compare(model, mix=mix, chips=_names(chips), slo=limits(ttft_ms, tpot_ms))
    if show.output != "table":
        emit(table.to_dicts(), kind="comparison", output=show)
        return
    rows = table.to_dicts()
    best = max((r["mtok_per_device_hour_central"] or 0.0 for r in rows), default=0.0)
    brief = [
        {
            "chip": r["accelerator"],
            "low": r["mtok_per_device_hour_low"],
            "Mtok/device-h": r["mtok_per_device_hour_central"],
            "high": r["mtok_per_device_hour_high"],
            " ": "█" * round(24 * (r["mtok_per_device_hour_central"] or 0.0) / best) if best else "",
            "layout": r["layout"],
            "binds": r["binds"],
            "basis": r["basis"],
        }
        for r in rows
        if r["mtok_per_device_hour_central"] is not None
    ]
    emit(brief, kind="comparison", output=show)
    if unanswered := [r for r in rows if r["mtok_per_device_hour_central"] is None]:
        note(f"{len(unanswered)} chips have no answer (-o json says why for each).")


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [t.strip() for t in text.split(",") if t.strip()]


def limits(ttft_ms: float | None, tpot_ms: float | None) -> Slo:
    """Return the limits that a person asked for, each a positive number of milliseconds."""
    for option, value in (("--ttft-ms", ttft_ms), ("--tpot-ms", tpot_ms)):
        if value is not None:
            _positive(option, value)
    return Slo(ttft_ms, tpot_ms)


def _positive(option: str, value: float) -> None:
    if not 0 < value < 1e9:
        raise InputError(
            Fault(option, f"{value:g} is not a number above zero and below 10^9", "Write a positive number.")
        )
