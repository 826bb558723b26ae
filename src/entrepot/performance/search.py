"""Which layout, which batch, and which way to run the phases serves most per device within the SLO?

All candidates are weighed at once as (layouts, batches) arrays: what does not fit is dropped first, then the closed loop or
the queue gives the latencies of the rest, and separate pools for prefill and decode are matched from the same times. The
choice is the best *low end* of the interval, so that a layout about which less is known must be better by that much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.performance.arrivals import Queue, merged, open_loop
from entrepot.performance.chip import chip, weight_formats
from entrepot.performance.columns import Columns
from entrepot.performance.disaggregated import Apart, apart
from entrepot.performance.efficiency import engine as engine_of
from entrepot.performance.efficiency import serving
from entrepot.performance.intervals import rate_factor
from entrepot.performance.layouts import Layouts, candidates
from entrepot.performance.memory import batch_max
from entrepot.performance.mix import mix
from entrepot.performance.offsets import key_of_cell
from entrepot.performance.operations import shape
from entrepot.performance.records import F64, Speculation, Workload
from entrepot.performance.service import service
from entrepot.performance.speculative import draft_columns, draft_shape
from entrepot.performance.steady import Loop, closed_loop, closed_percentile, limit_of, prompt_seconds
from entrepot.performance.step import Setting, Times

__all__ = ["DEFAULT_ENGINE", "Bools", "Search", "search", "search_many", "setting_of", "spread_of"]

DEFAULT_ENGINE = "vllm"
Bools = NDArray[np.bool_]
_BATCH_STEPS = np.unique(np.round(np.geomspace(1, 8192, 66)))  # sequences per data-parallel rank


@dataclass(frozen=True, slots=True)
class Search:
    """All candidates that fit, weighed: (layouts, batches) arrays, and the index of the best within the SLO.

    Attributes
    ----------
    fits : (layouts, 1) sequences that fit; without any, ``fits`` is 0 everywhere and the layouts are those tried
    tokens_per_s : output tokens per second and device, never above the physical limit
    ttft, tpot : seconds: at the percentile in a closed loop, means under open arrivals
    within_ttft, within_tpot, settled : which limits are kept, and where the queue is not too full
    spread : (layouts, 1) factor up and down of the interval around a rate
    pools : separate pools for prefill and decode, where they can serve
    """

    setting: Setting
    fits: F64
    batch: F64
    loop: Loop
    queue: Queue | None
    tokens_per_s: F64
    ttft: F64
    tpot: F64
    within_ttft: Bools
    within_tpot: Bools
    settled: Bools
    spread: F64
    best: tuple[int, int] | None
    pools: Apart | None
    limit_tokens_per_s: float

    @property
    def allowed(self) -> F64:
        """Output tokens per second and device where all limits are kept, else -1."""
        kept = self.within_ttft & self.within_tpot & self.settled & (self.fits >= 1)
        return np.where(kept, self.tokens_per_s, -1.0)


def setting_of(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    layouts: Layouts,
    *,
    kv_bits: int = 16,
    engine_name: str = DEFAULT_ENGINE,
    speculation: Speculation | None = None,
) -> Setting:
    """Return what stays the same while layouts and batches vary."""
    moments = mix(workload, output_share_held=serving().output_share_held)
    return Setting(
        chip(accelerator), shape(model), layouts, moments, engine_of(engine_name), kv_bits, speculation
    )


def search(
    workload: Workload,
    accelerator: Accelerator,
    model: Model,
    *,
    formats: Sequence[NumberFormat] | None = None,
    kv_bits: int = 16,
    engine_name: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
    speculation: Speculation | None = None,
    pools: bool = False,
) -> Search:
    """Weigh all layouts and batches of a chip that has all its figures.

    Parameters
    ----------
    pools : weigh separate pools for prefill and decode too; off by default, for no published run of both was compared
    """
    return search_many(
        [workload],
        accelerator,
        model,
        formats=formats,
        kv_bits=kv_bits,
        engine_name=engine_name,
        devices_max=devices_max,
        speculation=speculation,
        pools=pools,
    )[0]


def search_many(
    workloads: Sequence[Workload],
    accelerator: Accelerator,
    model: Model,
    *,
    formats: Sequence[NumberFormat] | None = None,
    kv_bits: int = 16,
    engine_name: str = DEFAULT_ENGINE,
    devices_max: int | None = None,
    speculation: Speculation | None = None,
    pools: bool = False,
) -> list[Search]:
    """Weigh several workloads of one model on one chip together: the steps of all are one (workloads, layouts, batches) array.

    See ``search`` for the parameters.
    """
    chip_, shape_ = chip(accelerator), shape(model)
    layouts = candidates(chip_, shape_, weight_formats(chip_, model, formats), devices_max=devices_max)
    draft = None if speculation is None else draft_shape(shape_, speculation)
    moments = [mix(w, output_share_held=serving().output_share_held) for w in workloads]
    engine = engine_of(engine_name)
    settings = [Setting(chip_, shape_, layouts, m, engine, kv_bits, speculation) for m in moments]

    def fitting(reserve: bool) -> F64:  # noqa: FBT001
        each = [
            batch_max(chip_, shape_, layouts, m, kv_bits=kv_bits, draft=draft, reserve=reserve)
            for m in moments
        ]
        return np.stack(each)  # (workloads, layouts, 1)

    fits = fitting(reserve=True)
    tops = limit_of(
        _stacked([s.columns for s in settings]),
        fitting(reserve=False),
        speculation=speculation,
        draft=_drafts(settings),
    )
    rows = np.flatnonzero((fits[:, :, 0] >= 1).any(axis=0))
    if rows.size:
        kept = layouts.keep([int(r) for r in rows])
        settings = [replace(s, layouts=kept) for s in settings]
        fits = fits[:, rows]
    at = [s.columns for s in settings]
    batch = np.maximum(np.minimum(settings[0].layouts.dp * _BATCH_STEPS, fits), 1.0)
    together = closed_loop(
        _stacked(at),
        batch,
        speculation=speculation,
        draft=_drafts(settings),
    )
    return [
        _weigh(
            settings[i],
            at[i],
            fits[i],
            batch[i],
            _one(together, i, batch.shape),
            workload,
            float(tops[i].max(initial=0.0)),
            pools=pools and bool((fits[i] >= 1).any()),
        )
        for i, workload in enumerate(workloads)
    ]


def _drafts(settings: Sequence[Setting]) -> Columns | None:
    """Return the draft's columns for all workloads; ``None`` without speculation."""
    drawn = [draft_columns(s) for s in settings]
    each = [d for d in drawn if d is not None]
    return _stacked(each) if each else None


_OF_MIX = ("isl", "osl", "computed", "context", "context_inside", "pairs", "pairs_inside")


def _stacked(each: Sequence[Columns]) -> Columns:
    """Return columns whose figures of the mix are (workloads, 1, 1); all else is the same in each."""
    if len(each) == 1:
        return each[0]
    return each[0].with_(
        **{n: np.array([float(getattr(c, n)) for c in each])[:, None, None] for n in _OF_MIX}
    )


def _one(loop: Loop, index: int, shape_: tuple[int, ...]) -> Loop:
    """Return one workload's times, (layouts, batches)."""

    def of(value: F64) -> F64:
        one: F64 = np.broadcast_to(value, shape_)[index]
        return one

    def of_times(times: Times) -> Times:
        return Times(**{f.name: of(getattr(times, f.name)) for f in fields(Times)})

    plain = {f.name: of(getattr(loop, f.name)) for f in fields(Loop) if f.name not in {"decode", "prefill"}}
    return Loop(decode=of_times(loop.decode), prefill=of_times(loop.prefill), **plain)


def _weigh(
    setting: Setting,
    at: Columns,
    fits: F64,
    batch: F64,
    loop: Loop,
    workload: Workload,
    top: float,
    *,
    pools: bool,
) -> Search:
    slo, scv = workload.slo, workload.arrival_scv
    ttft_limit = np.inf if slo.ttft_ms is None else slo.ttft_ms * 1e-3
    tpot_limit = np.inf if slo.tpot_ms is None else slo.tpot_ms * 1e-3
    lengths, own_share = merged(setting.mix.buckets.isl, setting.mix.buckets.share)
    own = prompt_seconds(at, setting.mix, np.append(lengths, setting.mix.length_at))
    queue: Queue | None = None
    if scv is None:
        ttft, tpot = closed_percentile(at, loop, own[:, -1:], slo.percentile)
        within_ttft, within_tpot = ttft <= ttft_limit, tpot <= tpot_limit
        settled = np.ones(batch.shape, dtype=bool)
        rate = batch * at.osl / loop.life
    else:
        queue = open_loop(at, setting.mix, loop, batch, fits, scv=scv, own=own[:, :-1], own_share=own_share)
        share = slo.percentile / 100
        ttft, tpot = np.broadcast_to(queue.ttft, batch.shape), loop.tpot
        within_ttft = _all(batch) if slo.ttft_ms is None else queue.ttft_within(ttft_limit) >= share
        within_tpot = _all(batch) if slo.tpot_ms is None else queue.tpot_within(tpot_limit) >= share
        settled = queue.busy <= service().busy_max
        rate = queue.requests_per_s * at.osl
    spread = spread_of(setting)
    found = Search(
        setting=setting,
        fits=fits,
        batch=batch,
        loop=loop,
        queue=queue,
        tokens_per_s=np.minimum(rate / setting.layouts.devices, top),
        ttft=ttft,
        tpot=tpot,
        within_ttft=within_ttft,
        within_tpot=within_tpot,
        settled=settled,
        spread=spread,
        best=None,
        pools=apart(setting, at, fits, loop, batch, slo, scv, own[:, :-1], own_share, spread)
        if pools
        else None,
        limit_tokens_per_s=top,
    )
    low_end = found.allowed / found.spread
    row, column = (int(i) for i in np.unravel_index(int(low_end.argmax()), low_end.shape))
    return replace(found, best=(row, column) if low_end[row, column] > 0 else None)


def _all(batch: F64) -> Bools:
    return np.ones(batch.shape, dtype=bool)


def spread_of(setting: Setting) -> F64:
    """Return the factor up and down of the interval around each layout's rate, (layouts, 1)."""
    layouts, chip_, own = setting.layouts, setting.chip, service()
    linked = chip_.link_bytes_s is not None
    inside = (layouts.devices == 1) | (linked & (layouts.tp <= chip_.domain))
    known = [
        rate_factor(
            chip_.efficiency,
            key_of_cell(
                chip_.id,
                chip_.efficiency.architecture,
                setting.shape.id,
                setting.engine.name,
                str(fmt.format),
            ),
        )
        for fmt in layouts.formats
    ]
    factor = np.array(known)[:, None] * np.where(inside, 1.0, serving().pcie_factor)
    factor = factor * np.where(layouts.pp > 1, own.pipeline_factor, 1.0)
    spread: F64 = factor * (1.0 if setting.speculation is None else own.speculation_factor)
    return spread
