"""What does this chip deliver on this workload under its SLO, and what holds it down?

All layouts and batches are weighed at once; the best rate per device within the SLO wins. The answer is an interval
whose width comes from how well the chip's architecture is known, and it never passes the physical limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.errors import Fault, InputError
from entrepot.performance.chip import chip, missing_figures, native_format, weight_formats
from entrepot.performance.choice import binds, latencies, options, runner_up
from entrepot.performance.operations import missing_parts
from entrepot.performance.records import Estimate, Interval, Speculation, Workload
from entrepot.performance.search import DEFAULT_ENGINE, Search, search_many
from entrepot.performance.speculative import check_speculation

__all__ = ["DEFAULT_ENGINE", "check_workload", "estimate", "estimate_many", "missing"]

_HOUR = 3600.0
_MTOK = 1e6


def check_workload(workload: Workload) -> None:
    """Refuse a workload that no arithmetic can be done on.

    Raises
    ------
    InputError
        with every fault found: lengths of unlike shape, no output, shares that do not sum to 1, limits at or below 0
    """
    where = f"workload {workload.id}"
    faults: list[Fault] = []
    if not (
        workload.isl.ndim == 1
        and workload.isl.shape == workload.osl.shape == workload.share.shape
        and workload.isl.size
    ):
        raise InputError(
            Fault(where, "isl, osl and share are not three columns of one length", "Give one row per bucket.")
        )
    if not (np.isfinite(workload.isl).all() and (workload.isl >= 0).all()):
        faults.append(
            Fault(f"{where}: isl", "an input length is below 0 or not a number", "Write tokens, 0 or more.")
        )
    if not (np.isfinite(workload.osl).all() and (workload.osl >= 1).all()):
        faults.append(
            Fault(f"{where}: osl", "an output length is below 1 or not a number", "Write tokens, 1 or more.")
        )
    if not ((workload.share >= 0).all() and abs(float(workload.share.sum()) - 1) < 1e-6):
        faults.append(
            Fault(f"{where}: share", f"shares sum to {float(workload.share.sum()):g}", "Make them sum to 1.")
        )
    if not 0 <= workload.prefix_hit_share < 1:
        faults.append(
            Fault(
                f"{where}: prefix_hit_share",
                f"{workload.prefix_hit_share:g}",
                "Write a share from 0 to below 1.",
            )
        )
    if workload.arrival_scv is not None and not 0 <= workload.arrival_scv < 1e6:
        faults.append(
            Fault(
                f"{where}: arrival_scv",
                f"{workload.arrival_scv:g}",
                "Write 0 or more; 1 is Poisson, None a closed loop.",
            )
        )
    if not 0 < workload.slo.percentile < 100:
        faults.append(
            Fault(f"{where}: percentile", f"{workload.slo.percentile:g}", "Write one between 0 and 100.")
        )
    for name in ("ttft_ms", "tpot_ms"):
        value = getattr(workload.slo, name)
        if value is not None and not value > 0:
            faults.append(
                Fault(
                    f"{where}: {name}", f"{value:g} ms can never be met", "Write ms above 0, or leave it out."
                )
            )
    if faults:
        raise InputError(faults)


def missing(accelerator: Accelerator, model: Model, formats: Sequence[NumberFormat] | None = None) -> str:
    """Return why no rate can be computed, naming each figure that no source states; empty where one can."""
    reasons = [
        f"no source read states the {name} of {accelerator.id}" for name in missing_figures(accelerator)
    ]
    reasons += [f"{model.id}: {part}" for part in missing_parts(model)]
    if not reasons and not weight_formats(chip(accelerator), model, formats):
        asked = ", ".join(str(f) for f in formats) if formats else str(native_format(model))
        reasons.append(f"no source read states a rate of {accelerator.id} in {asked}")
    return "; ".join(reasons)


def estimate(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    *,
    formats: Sequence[NumberFormat] | None = None,
    kv_bits: int = 16,
    engine: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
    speculation: Speculation | None = None,
    pools: bool = False,
) -> Estimate:
    """Return the best rate of a chip on a workload within its SLO, as an interval, or the reason why there is none.

    Parameters
    ----------
    formats : weight formats to weigh; by default the one the model was published in and the widest 8-bit format that
        the chip has (an 8-bit format of a 16-bit model is a quantisation: name ``BF16`` alone to exclude it)
    kv_bits : 16 or 8 bits per element of the KV cache
    engine : whose overheads to count: ``vllm``, ``trtllm``, ``sglang``
    devices_max : largest replica; the data file's default where ``None``
    speculation : speculative decoding; none by default
    pools : weigh separate pools for prefill and decode too; off by default, for no published run of both was compared

    Returns
    -------
    mtok_per_device_hour in 10^6 output tokens of the mix (with its input tokens) per device and hour

    Raises
    ------
    InputError
        the workload or the speculation has faults, all of them named; or ``kv_bits`` is neither 8 nor 16
    """
    return estimate_many(
        [workload],
        accelerator,
        model,
        formats=formats,
        kv_bits=kv_bits,
        engine=engine,
        devices_max=devices_max,
        speculation=speculation,
        pools=pools,
    )[0]


def estimate_many(
    workloads: Sequence[Workload],
    accelerator: Accelerator,
    model: Model,
    *,
    formats: Sequence[NumberFormat] | None = None,
    kv_bits: int = 16,
    engine: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
    speculation: Speculation | None = None,
    pools: bool = False,
) -> list[Estimate]:
    """Return the estimates of several workloads of one model on one chip; faster than one by one. See ``estimate``."""
    for workload in workloads:
        check_workload(workload)
    if kv_bits not in {8, 16}:
        raise InputError(Fault("kv_bits", f"{kv_bits} bits", "Write 16 or 8."))
    if speculation is not None:
        check_speculation(speculation)
    reason = missing(accelerator, model, formats)
    if reason:
        return [_none(workload, accelerator, reason, basis="none") for workload in workloads]
    found = search_many(
        workloads,
        accelerator,
        model,
        formats=formats,
        kv_bits=kv_bits,
        engine_name=engine,
        devices_max=devices_max,
        speculation=speculation,
        pools=pools,
    )
    return [_answer(w, accelerator, one) for w, one in zip(workloads, found, strict=True)]


def _answer(workload: Workload, accelerator: Accelerator, found: Search) -> Estimate:
    basis = found.setting.chip.efficiency.basis
    top = found.limit_tokens_per_s * _HOUR / _MTOK
    if not (found.fits >= 1).any():
        return _none(workload, accelerator, _no_fit(found), basis=basis)
    ranked = options(found)
    if not ranked:
        return _none(workload, accelerator, _no_slo(found, workload), basis=basis, limit_=top)
    best = ranked[0]
    ttft, tpot = latencies(found, best)
    central = min(best.tokens_per_s * _HOUR / _MTOK, top)
    return Estimate(
        workload=workload.id,
        accelerator=accelerator.id,
        mtok_per_device_hour=Interval(central / best.spread, central, min(central * best.spread, top)),
        layout=best.layout,
        ttft_ms=ttft * 1e3,
        tpot_ms=tpot * 1e3,
        binds=binds(found, best),
        physical_limit_mtok_per_device_hour=top,
        basis=basis,
        reason="",
        runner_up=runner_up(found, ranked),
        busy=best.busy,
    )


def _no_fit(found: Search) -> str:
    largest = int(found.setting.layouts.devices.max())
    return (
        f"does not fit: weights, reserve and one longest request exceed the memory of {found.setting.chip.id} "
        f"in every layout up to {largest} devices"
    )


def _no_slo(found: Search, workload: Workload) -> str:
    usable = np.broadcast_to(found.fits >= 1, found.ttft.shape)
    ttft, tpot = (float(x[usable].min()) * 1e3 for x in (found.ttft, found.tpot))
    asked = [
        f"{name} {best:.0f} ms at best, {limit_:g} ms asked"
        for name, best, limit_ in (("TTFT", ttft, workload.slo.ttft_ms), ("TPOT", tpot, workload.slo.tpot_ms))
        if limit_ is not None
    ]
    if not found.settled.any():
        asked.append("every queue is too full at one request")
    return f"no layout within the SLO: {'; '.join(asked)}"


def _none(
    workload: Workload, accelerator: Accelerator, reason: str, *, basis: str, limit_: float | None = None
) -> Estimate:
    return Estimate(workload.id, accelerator.id, None, None, None, None, None, limit_, basis, reason)
