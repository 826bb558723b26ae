"""What does this chip deliver on this workload under its SLO, and what holds it down?

All layouts and batches are weighed at once; the best rate per device within the SLO wins. The answer is an interval
whose width comes from how well the chip's architecture is known, and it never passes the physical limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.errors import Fault, InputError
from entrepot.performance.chip import chip, missing_figures, native_format, weight_formats
from entrepot.performance.efficiency import engine as engine_of
from entrepot.performance.efficiency import serving
from entrepot.performance.layouts import Layouts, candidates
from entrepot.performance.memory import batch_max
from entrepot.performance.mix import mix
from entrepot.performance.operations import missing_parts, shape
from entrepot.performance.records import F64, Binding, Estimate, Interval, Layout, Workload
from entrepot.performance.steady import Steady, limit, steady
from entrepot.performance.step import Setting

__all__ = ["DEFAULT_ENGINE", "Search", "check_workload", "estimate", "missing", "search", "setting_of"]

DEFAULT_ENGINE = "vllm"
_BATCH_STEPS = np.unique(np.round(np.geomspace(1, 8192, 66)))  # sequences per data-parallel rank
_HOUR = 3600.0
_MTOK = 1e6


@dataclass(frozen=True, slots=True)
class Search:
    """All candidates, weighed: (layouts, batches) arrays and the index of the best, if any is within the SLO."""

    setting: Setting
    fits: F64  # (layouts, 1) sequences that fit
    steady: Steady
    within_ttft: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    within_tpot: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    best: tuple[int, int] | None
    limit_tokens_per_s: float


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


def setting_of(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    layouts: Layouts,
    *,
    kv_bits: int = 16,
    engine_name: str = DEFAULT_ENGINE,
) -> Setting:
    """Return what stays the same while layouts and batches vary."""
    moments = mix(workload, output_share_held=serving().output_share_held)
    return Setting(chip(accelerator), shape(model), layouts, moments, engine_of(engine_name), kv_bits)


def search(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    *,
    formats: Sequence[NumberFormat] | None = None,
    kv_bits: int = 16,
    engine_name: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
) -> Search:
    """Weigh all layouts and batches of a chip that has all its figures (see ``missing``)."""
    chip_, shape_ = chip(accelerator), shape(model)
    layouts = candidates(chip_, shape_, weight_formats(chip_, model, formats), devices_max=devices_max)
    setting = setting_of(workload, accelerator, model, layouts, kv_bits=kv_bits, engine_name=engine_name)
    fits = batch_max(chip_, shape_, layouts, setting.mix, kv_bits=kv_bits)
    batch = np.maximum(np.minimum(layouts.dp * _BATCH_STEPS, fits), 1.0)
    result = steady(setting, batch, percentile=workload.slo.percentile)
    slo = workload.slo
    within_ttft = result.ttft * 1e3 <= (np.inf if slo.ttft_ms is None else slo.ttft_ms)
    within_tpot = result.tpot * 1e3 <= (np.inf if slo.tpot_ms is None else slo.tpot_ms)
    rate = np.where(within_ttft & within_tpot & (fits >= 1), result.tokens_per_s, -1.0)
    flat = int(rate.argmax())
    row, column = divmod(flat, rate.shape[1])
    best = (row, column) if rate[row, column] > 0 else None
    return Search(
        setting, fits, result, within_ttft, within_tpot, best, float(limit(setting).max(initial=0.0))
    )


def estimate(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    *,
    formats: Sequence[NumberFormat] | None = None,
    kv_bits: int = 16,
    engine: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
) -> Estimate:
    """Return the best rate of a chip on a workload within its SLO, as an interval, or the reason why there is none.

    Parameters
    ----------
    formats : weight formats to weigh; by default the one the model was published in and the widest 8-bit format that
        the chip has (an 8-bit format of a 16-bit model is a quantisation: name ``BF16`` alone to exclude it)
    kv_bits : 16 or 8 bits per element of the KV cache
    engine : whose overheads to count: ``vllm``, ``trtllm``, ``sglang``
    devices_max : largest replica; the data file's default where ``None``

    Returns
    -------
    mtok_per_device_hour in 10^6 output tokens of the mix (with its input tokens) per device and hour

    Raises
    ------
    InputError
        the workload has faults, all of them named; or ``kv_bits`` is neither 8 nor 16
    """
    check_workload(workload)
    if kv_bits not in {8, 16}:
        raise InputError(Fault("kv_bits", f"{kv_bits} bits", "Write 16 or 8."))
    reason = missing(accelerator, model, formats)
    if reason:
        return _none(workload, accelerator, reason, basis="none")
    found = search(
        workload,
        accelerator,
        model,
        formats=formats,
        kv_bits=kv_bits,
        engine_name=engine,
        devices_max=devices_max,
    )
    basis = found.setting.chip.efficiency.basis
    top = found.limit_tokens_per_s * _HOUR / _MTOK
    if not (found.fits >= 1).any():
        return _none(workload, accelerator, _no_fit(found), basis=basis)
    if found.best is None:
        return _none(workload, accelerator, _no_slo(found, workload), basis=basis, limit_=top)
    row, column = found.best
    central = min(float(found.steady.tokens_per_s[row, column]) * _HOUR / _MTOK, top)
    layouts = found.setting.layouts
    factor = _factor(found, row)
    chosen = layouts.formats[row]
    return Estimate(
        workload=workload.id,
        accelerator=accelerator.id,
        mtok_per_device_hour=Interval(central / factor, central, min(central * factor, top)),
        layout=Layout(
            weight_format=chosen.format,
            kv_bits=kv_bits,
            tensor_parallel=int(layouts.tp[row, 0]),
            data_parallel=int(layouts.dp[row, 0]),
            expert_parallel=int(layouts.ep[row, 0]),
            batch=int(found.steady.batch[row, column]),
        ),
        ttft_ms=float(found.steady.ttft[row, column]) * 1e3,
        tpot_ms=float(found.steady.tpot[row, column]) * 1e3,
        binds=_binds(found, row, column),
        physical_limit_mtok_per_device_hour=top,
        basis=basis,
        reason="",
    )


def _factor(found: Search, row: int) -> float:
    constants, layouts = serving(), found.setting.layouts
    factor = found.setting.chip.efficiency.spread
    group = float(layouts.devices[row, 0])
    inside = (
        found.setting.chip.link_bytes_s is not None and float(layouts.tp[row, 0]) <= found.setting.chip.domain
    )
    return factor if group == 1 or inside else factor * constants.pcie_factor


def _binds(found: Search, row: int, column: int) -> Binding:
    """Name what holds the rate down: an SLO that the next batch would break, else memory, else the scarcest resource."""
    batch = found.steady.batch[row]
    larger = np.flatnonzero(batch > batch[column])
    if larger.size:
        following = int(larger[0])
        if not found.within_tpot[row, following]:
            return Binding.TPOT
        if not found.within_ttft[row, following]:
            return Binding.TTFT
    elif float(batch[column]) >= float(found.fits[row, 0]):
        return Binding.KV_MEMORY
    osl, at = found.setting.mix.osl, float(batch[column])
    decode, prefill = found.steady.decode, found.steady.prefill

    def seconds(kind: str) -> float:
        shape_ = found.steady.batch.shape
        step = np.broadcast_to(getattr(decode, kind), shape_)[row, column]
        prompt = np.broadcast_to(getattr(prefill, kind), shape_)[row, column]
        return float(step * osl + prompt * at)

    kinds = {
        Binding.COMPUTE: seconds("arithmetic"),
        Binding.BANDWIDTH: seconds("memory"),
        Binding.COMMUNICATION: seconds("communication"),
        Binding.OVERHEAD: seconds("overhead"),
    }
    return max(kinds, key=lambda kind: kinds[kind])


def _no_fit(found: Search) -> str:
    largest = int(found.setting.layouts.devices.max())
    return (
        f"does not fit: weights, reserve and one longest request exceed the memory of {found.setting.chip.id} "
        f"in every layout up to {largest} devices"
    )


def _no_slo(found: Search, workload: Workload) -> str:
    usable = np.broadcast_to(found.fits >= 1, found.steady.ttft.shape)
    ttft, tpot = (float(x[usable].min()) * 1e3 for x in (found.steady.ttft, found.steady.tpot))
    asked = [
        f"{name} {best:.0f} ms at best, {limit_:g} ms asked"
        for name, best, limit_ in (("TTFT", ttft, workload.slo.ttft_ms), ("TPOT", tpot, workload.slo.tpot_ms))
        if limit_ is not None
    ]
    return f"no layout within the SLO: {'; '.join(asked)}"


def _none(
    workload: Workload, accelerator: Accelerator, reason: str, *, basis: str, limit_: float | None = None
) -> Estimate:
    return Estimate(workload.id, accelerator.id, None, None, None, None, None, limit_, basis, reason)
