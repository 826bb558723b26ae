"""What is each chip worth for each piece of work?

The market needs the whole table: one row per (workload, accelerator), with an interval, the layout that reaches it, and
where there is no rate the reason why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from multiprocessing import get_context
from types import MappingProxyType
from typing import Any, Final

import polars as pl

from entrepot.catalogue.records import Accelerator, Model
from entrepot.errors import NotFound
from entrepot.performance.estimate import DEFAULT_ENGINE, estimate_many
from entrepot.performance.offsets import calibrate, calibration
from entrepot.performance.records import Estimate, Speculation, Workload

__all__ = ["RATES_SCHEMA", "rates"]

RATES_SCHEMA: Final[Mapping[str, type[pl.DataType]]] = {
    "workload": pl.String,
    "accelerator": pl.String,
    "model": pl.String,
    "mtok_per_device_hour_low": pl.Float64,
    "mtok_per_device_hour_central": pl.Float64,
    "mtok_per_device_hour_high": pl.Float64,
    "layout": pl.String,
    "devices_per_replica": pl.Int64,
    "batch": pl.Int64,
    "ttft_ms": pl.Float64,
    "tpot_ms": pl.Float64,
    "binds": pl.String,
    "physical_limit_mtok_per_device_hour": pl.Float64,
    "basis": pl.String,
    "reason": pl.String,
    "runner_up": pl.String,
    "runner_up_share": pl.Float64,
    "runner_up_why": pl.String,
}


def rates(
    workloads: Sequence[Workload],
    accelerators: Sequence[Accelerator],
    models: Mapping[str, Model],
    *,
    kv_bits: int = 16,
    engine: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
    speculation: Speculation | None = None,
    processes: int = 1,
    pools: bool = False,
) -> pl.DataFrame:
    """Return one row per (workload, accelerator), workloads in their order, accelerators within.

    Parameters
    ----------
    models : by id; every ``workload.model`` must be there
    kv_bits, engine, devices_max, speculation, pools : as in ``estimate``
    processes : over how many to spread the pairs of chip and model; worth it from some hundred pairs on. A calibration by own
        runs (``offsets.calibrated``) reaches them all

    Returns
    -------
    table with the columns of ``RATES_SCHEMA``; 10^6 output tokens (with their input) per device and hour; the figures
    are null exactly where ``reason`` is not empty

    Raises
    ------
    NotFound
        a workload names a model that is not in ``models``
    InputError
        a workload has faults
    """
    by_model: dict[str, list[int]] = {}
    for i, workload in enumerate(workloads):
        if workload.model not in models:
            raise NotFound("model", workload.model, sorted(models))
        by_model.setdefault(workload.model, []).append(i)
    pairs = [(name, j) for name in by_model for j in range(len(accelerators))]
    asked = [
        _Pair(
            [workloads[i] for i in by_model[name]],
            accelerators[j],
            models[name],
            kv_bits,
            engine,
            devices_max,
            speculation,
            pools,
        )
        for name, j in pairs
    ]
    answers = _estimates(asked, processes)
    found = {
        (i, j): answer
        for (name, j), of_pair in zip(pairs, answers, strict=True)
        for i, answer in zip(by_model[name], of_pair, strict=True)
    }
    rows = [_row(w, found[i, j]) for i, w in enumerate(workloads) for j in range(len(accelerators))]
    return pl.DataFrame(rows, schema=dict(RATES_SCHEMA))


@dataclass(frozen=True, slots=True)
class _Pair:
    """One chip and one model, and all that is asked of them."""

    workloads: list[Workload]
    accelerator: Accelerator
    model: Model
    kv_bits: int
    engine: str
    devices_max: int | None
    speculation: Speculation | None
    pools: bool


def _of_pair(pair: _Pair) -> list[Estimate]:
    return estimate_many(
        pair.workloads,
        pair.accelerator,
        pair.model,
        kv_bits=pair.kv_bits,
        engine=pair.engine,
        devices_max=pair.devices_max,
        speculation=pair.speculation,
        pools=pair.pools,
    )


def _estimates(pairs: Sequence[_Pair], processes: int) -> list[list[Estimate]]:
    if processes <= 1:
        return [_of_pair(pair) for pair in pairs]
    sent = [replace(pair, accelerator=_plain(pair.accelerator)) for pair in pairs]
    # spawned, not forked: Polars holds threads, which a fork would leave locked; what is set in a context is not inherited
    pool_ = ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=calibrate, initargs=(calibration(),)
    )
    with pool_ as pool:
        return list(pool.map(_of_pair, sent, chunksize=32))


def _plain(accelerator: Accelerator) -> Accelerator:
    """Return the record with its read-only views as plain mappings, which can be sent to another process."""
    values: dict[str, Any] = {}
    for field in fields(accelerator):
        value = getattr(accelerator, field.name)
        values[field.name] = dict(value) if isinstance(value, MappingProxyType) else value
    return Accelerator(**values)


def _row(workload: Workload, answer: Estimate) -> dict[str, object]:
    rate, layout, second = answer.mtok_per_device_hour, answer.layout, answer.runner_up
    return {
        "workload": answer.workload,
        "accelerator": answer.accelerator,
        "model": workload.model,
        "mtok_per_device_hour_low": None if rate is None else rate.low,
        "mtok_per_device_hour_central": None if rate is None else rate.central,
        "mtok_per_device_hour_high": None if rate is None else rate.high,
        "layout": None if layout is None else str(layout),
        "devices_per_replica": None if layout is None else layout.devices,
        "batch": None if layout is None else layout.batch,
        "ttft_ms": answer.ttft_ms,
        "tpot_ms": answer.tpot_ms,
        "binds": None if answer.binds is None else str(answer.binds),
        "physical_limit_mtok_per_device_hour": answer.physical_limit_mtok_per_device_hour,
        "basis": answer.basis,
        "reason": answer.reason,
        "runner_up": None if second is None else str(second.layout),
        "runner_up_share": None if second is None else second.share_of_best,
        "runner_up_why": None if second is None else second.why,
    }
