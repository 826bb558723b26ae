"""Which pairs of throughput and speed per user can a chip reach, none of which another beats in both?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from entrepot.catalogue.records import Accelerator, Model
from entrepot.performance.choice import layout_at
from entrepot.performance.estimate import check_workload, missing
from entrepot.performance.records import Slo, Speculation, Workload
from entrepot.performance.search import DEFAULT_ENGINE, search

__all__ = ["frontier"]


def frontier(
    workload: Workload,
    accelerators: Sequence[Accelerator],
    model: Model,
    *,
    engine: str = DEFAULT_ENGINE,
    speculation: Speculation | None = None,
) -> pl.DataFrame:
    """Return the Pareto frontier of each chip over all layouts and batches within the TTFT limit.

    Parameters
    ----------
    workload : its limit on TPOT is left out: the frontier shows what each limit would cost

    Returns
    -------
    table ``accelerator``, ``tpot_ms``, ``tokens_per_s_per_user``, ``tokens_per_s_per_device`` (with ``_low`` and ``_high``),
    ``ttft_ms``, ``layout``, fastest first; chips without a rate have no rows

    Raises
    ------
    InputError
        the workload has faults
    """
    check_workload(workload)
    free = replace(workload, slo=Slo(workload.slo.ttft_ms, None, workload.slo.percentile))
    rows: list[dict[str, object]] = []
    for accelerator in accelerators:
        if missing(accelerator, model):
            continue
        found = search(free, accelerator, model, engine_name=engine, speculation=speculation)
        rate, tpot = found.allowed, np.broadcast_to(found.tpot, found.batch.shape)
        order = np.lexsort((-rate.ravel(), tpot.ravel()))
        best = 0.0
        for flat in order:
            row, column = divmod(int(flat), rate.shape[1])
            served = float(rate[row, column])
            if served <= best:
                continue
            best = served
            served = min(served, found.limit_tokens_per_s)
            spread = float(found.spread[row, 0])
            seconds = float(tpot[row, column])
            rows.append(
                {
                    "accelerator": accelerator.id,
                    "tpot_ms": seconds * 1e3,
                    "tokens_per_s_per_user": 1 / seconds,
                    "tokens_per_s_per_device_low": served / spread,
                    "tokens_per_s_per_device": served,
                    "tokens_per_s_per_device_high": min(served * spread, found.limit_tokens_per_s),
                    "ttft_ms": float(found.ttft[row, column]) * 1e3,
                    "layout": str(layout_at(found, row, column)),
                }
            )
    schema = {
        "accelerator": pl.String,
        "tpot_ms": pl.Float64,
        "tokens_per_s_per_user": pl.Float64,
        "tokens_per_s_per_device_low": pl.Float64,
        "tokens_per_s_per_device": pl.Float64,
        "tokens_per_s_per_device_high": pl.Float64,
        "ttft_ms": pl.Float64,
        "layout": pl.String,
    }
    return pl.DataFrame(rows, schema=schema)
