"""What is each chip worth for each piece of work?

The market needs the whole table: one row per (workload, accelerator), with an interval, the layout that reaches it, and
where there is no rate the reason why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from entrepot.catalogue.records import Accelerator, Model
from entrepot.errors import NotFound
from entrepot.performance.estimate import DEFAULT_ENGINE, estimate
from entrepot.performance.records import Estimate, Workload

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
}


def rates(
    workloads: Sequence[Workload],
    accelerators: Sequence[Accelerator],
    models: Mapping[str, Model],
    *,
    kv_bits: int = 16,
    engine: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
) -> pl.DataFrame:
    """Return one row per (workload, accelerator), workloads in their order, accelerators within.

    Parameters
    ----------
    models : by id; every ``workload.model`` must be there
    kv_bits, engine, devices_max : as in ``estimate``

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
    rows: list[dict[str, object]] = []
    for workload in workloads:
        if workload.model not in models:
            raise NotFound("model", workload.model, sorted(models))
        model = models[workload.model]
        for accelerator in accelerators:
            answer = estimate(
                workload, accelerator, model, kv_bits=kv_bits, engine=engine, devices_max=devices_max
            )
            rows.append(_row(workload, answer))
    return pl.DataFrame(rows, schema=dict(RATES_SCHEMA))


def _row(workload: Workload, answer: Estimate) -> dict[str, object]:
    rate, layout = answer.mtok_per_device_hour, answer.layout
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
    }
