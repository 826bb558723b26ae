"""What would one stated layout do at one stated batch? Phase by phase, for comparing with published runs.

Nothing is searched here and memory is not looked at: a published run did fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from entrepot.catalogue.records import Accelerator, Model
from entrepot.errors import MissingFact
from entrepot.performance.chip import chip, weight_formats
from entrepot.performance.estimate import check_workload, missing
from entrepot.performance.layouts import one_layout
from entrepot.performance.memory import batch_max
from entrepot.performance.operations import shape
from entrepot.performance.records import Layout, Speculation, Workload
from entrepot.performance.search import DEFAULT_ENGINE, setting_of
from entrepot.performance.speculative import draft_columns, draft_shape
from entrepot.performance.steady import closed_loop, steady
from entrepot.performance.step import Setting

__all__ = ["OperatingPoint", "operating_point", "setting_at"]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """One layout at one batch; rates per device.

    Attributes
    ----------
    output_tokens_per_s : of the steady state, prefill included
    prefill_tokens_per_s : input tokens per second of a device that only prefills in packed chunks
    decode_tokens_per_s : output tokens per second of a device that only decodes at this batch
    batch_max : sequences that fit in memory by our count of weights, reserve and cache
    """

    ttft_ms: float
    tpot_ms: float
    output_tokens_per_s: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    decode_step_ms: float
    batch_max: int


def setting_at(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    layout: Layout,
    *,
    engine: str = DEFAULT_ENGINE,
    speculation: Speculation | None = None,
) -> Setting:
    """Return the setting of one stated layout.

    Raises
    ------
    MissingFact
        a figure of the chip or the model that no source states, or a format that the chip does not have
    """
    check_workload(workload)
    reason = missing(accelerator, model, [layout.weight_format])
    if reason:
        raise MissingFact(reason)
    chip_ = chip(accelerator)
    (fmt,) = weight_formats(chip_, model, [layout.weight_format])
    layouts = one_layout(
        chip_,
        fmt,
        tp=layout.tensor_parallel,
        dp=layout.data_parallel,
        ep=layout.expert_parallel,
        pp=layout.pipeline_parallel,
    )
    return setting_of(
        workload,
        accelerator,
        model,
        layouts,
        kv_bits=layout.kv_bits,
        engine_name=engine,
        speculation=speculation,
    )


def operating_point(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    layout: Layout,
    *,
    engine: str = DEFAULT_ENGINE,
    speculation: Speculation | None = None,
) -> OperatingPoint:
    """Return what one layout does at ``layout.batch`` concurrent requests per replica.

    Raises
    ------
    MissingFact
        a figure of the chip or the model that no source states
    """
    setting = setting_at(workload, accelerator, model, layout, engine=engine, speculation=speculation)
    batch = np.array([[float(layout.batch)]])
    result = steady(setting, batch, percentile=workload.slo.percentile)
    loop = closed_loop(setting.columns, batch, speculation=speculation, draft=draft_columns(setting))
    devices = layout.devices
    draft = None if speculation is None else draft_shape(setting.shape, speculation)
    fits = batch_max(
        chip(accelerator),
        shape(model),
        setting.layouts,
        setting.mix,
        kv_bits=layout.kv_bits,
        draft=draft,
    )
    return OperatingPoint(
        ttft_ms=float(result.ttft[0, 0]) * 1e3,
        tpot_ms=float(result.tpot[0, 0]) * 1e3,
        output_tokens_per_s=float(result.tokens_per_s[0, 0]),
        prefill_tokens_per_s=setting.mix.computed / float(loop.prompt[0, 0]) / devices,
        decode_tokens_per_s=layout.batch / float(loop.per_token[0, 0]) / devices,
        decode_step_ms=float(loop.decode.whole[0, 0]) * 1e3,
        batch_max=int(fits[0, 0]),
    )
