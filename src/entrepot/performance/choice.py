"""Why this layout: what holds it down, which comes next, and what makes that one worse?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from entrepot.performance.disaggregated import Apart
from entrepot.performance.records import F64, Binding, Layout, Pools, RunnerUp
from entrepot.performance.search import Search
from entrepot.performance.service import service
from entrepot.performance.step import Times

__all__ = ["Option", "binds", "latencies", "layout_at", "options", "runner_up"]

_HOUR: Final = 3600.0
_MTOK: Final = 1e6
_KINDS: Final = {
    Binding.COMPUTE: "arithmetic",
    Binding.BANDWIDTH: "memory",
    Binding.COMMUNICATION: "communication",
    Binding.OVERHEAD: "overhead",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One layout, or pair of pools, at its best batch; rates are per device."""

    layout: Layout | Pools
    row: int
    column: int
    tokens_per_s: float
    spread: float
    busy: float | None

    @property
    def low(self) -> float:
        """The low end of the interval: what the choice goes by."""
        return self.tokens_per_s / self.spread


def layout_at(found: Search, row: int, column: int) -> Layout:
    """Return one candidate as a record."""
    layouts = found.setting.layouts
    return Layout(
        weight_format=layouts.formats[row].format,
        kv_bits=found.setting.kv_bits,
        tensor_parallel=int(layouts.tp[row, 0]),
        data_parallel=int(layouts.dp[row, 0]),
        expert_parallel=int(layouts.ep[row, 0]),
        batch=int(found.batch[row, column]),
        pipeline_parallel=int(layouts.pp[row, 0]),
    )


def options(found: Search) -> list[Option]:
    """Return the two best layouts, each at its best batch, and the best pair of pools; best low end first."""
    best = found.allowed.max(axis=1)
    low = best / found.spread[:, 0]
    out = [
        _together(found, int(row), int(found.allowed[row].argmax()))
        for row in np.argsort(-low, kind="stable")[:2]
        if best[row] > 0
    ]
    if found.pools is not None:
        out.append(_apart(found, found.pools))
    return sorted(out, key=lambda option: -option.low)


def latencies(found: Search, option: Option) -> tuple[float, float]:
    """Return TTFT and TPOT of an option in seconds, at the SLO's percentile."""
    row, column = option.row, option.column
    percentile = found.setting.mix.buckets.slo.percentile
    if isinstance(option.layout, Pools) and found.pools is not None:
        return float(found.pools.queue.ttft_at(percentile)[0, 0]), found.pools.tpot
    if found.queue is None:
        return float(found.ttft[row, column]), float(found.tpot[row, column])
    one = found.queue.take(row, column)
    return float(one.ttft_at(percentile)[0, 0]), float(one.tpot_at(percentile)[0, 0])


def _together(found: Search, row: int, column: int) -> Option:
    return Option(
        layout_at(found, row, column),
        row,
        column,
        float(found.tokens_per_s[row, column]),
        float(found.spread[row, 0]),
        None
        if found.queue is None
        else float(np.broadcast_to(found.queue.busy, found.batch.shape)[row, column]),
    )


def _apart(found: Search, pools: Apart) -> Option:
    record = Pools(
        prefill=layout_at(found, pools.prefill_row, 0),
        decode=layout_at(found, pools.decode_row, pools.decode_column),
        prefill_replicas=pools.prefill_replicas,
        decode_replicas=pools.decode_replicas,
    )
    known = max(float(found.spread[pools.prefill_row, 0]), float(found.spread[pools.decode_row, 0]))
    return Option(
        record,
        pools.decode_row,
        pools.decode_column,
        min(pools.tokens_per_s, found.limit_tokens_per_s),
        known * service().apart_factor,
        pools.busy,
    )


def binds(found: Search, option: Option) -> Binding:
    """Name what holds the rate down: a limit that the next batch would break, else memory, else the scarcest resource."""
    row, column = option.row, option.column
    batch = found.batch[row]
    larger = np.flatnonzero(batch > batch[column])
    if isinstance(option.layout, Layout):
        if larger.size:
            following = int(larger[0])
            for kept, binding in (
                (found.within_tpot, Binding.TPOT),
                (found.within_ttft, Binding.TTFT),
                (found.settled, Binding.QUEUE),
            ):
                if not kept[row, following]:
                    return binding
        elif float(batch[column]) >= float(found.fits[row, 0]):
            return Binding.KV_MEMORY
    elif not larger.size and float(batch[column]) >= float(found.fits[row, 0]):
        return Binding.KV_MEMORY
    elif larger.size and found.setting.mix.buckets.slo.tpot_ms is not None:
        return Binding.TPOT
    spent = _spent(found, row, column)
    return max(spent, key=lambda kind: spent[kind])


def _spent(found: Search, row: int, column: int) -> dict[Binding, float]:
    """Device-seconds per request that each resource would take alone."""
    mix, spoken = found.setting.mix, found.setting.speculation
    devices = float(found.setting.layouts.devices[row, 0])
    stages = float(found.setting.layouts.pp[row, 0])
    steps = mix.osl / (1.0 if spoken is None else spoken.tokens_per_step)
    each = steps / float(found.batch[row, column])

    def seconds(kind: str) -> float:
        def one(times: Times) -> float:
            values: F64 = getattr(times, kind)
            return float(np.broadcast_to(values, found.batch.shape)[row, column])

        return devices * (one(found.loop.decode) * each + one(found.loop.prefill) / stages)

    return {binding: seconds(kind) for binding, kind in _KINDS.items()}


def runner_up(found: Search, ranked: list[Option]) -> RunnerUp | None:
    """Return the next best option and why it is worse; ``None`` where there is only one."""
    if len(ranked) < 2:
        return None
    best, second = ranked[0], ranked[1]
    share = second.tokens_per_s / best.tokens_per_s
    return RunnerUp(
        second.layout, second.tokens_per_s * _HOUR / _MTOK, share, _why(found, best, second, share)
    )


def _why(found: Search, best: Option, second: Option, share: float) -> str:
    held = binds(found, second)
    per_device = second.layout.batch / second.layout.devices
    of_best = best.layout.batch / best.layout.devices
    said = [f"held by {held} at {per_device:.3g} sequences per device ({of_best:.3g} in the best)"]
    if share >= 1:
        said.append(f"known to x/÷ {second.spread:.2g} only (the best to {best.spread:.2g})")
    if isinstance(best.layout, Layout) and isinstance(second.layout, Layout):
        mine, theirs = _spent(found, best.row, best.column), _spent(found, second.row, second.column)
        worst = max(theirs, key=lambda kind: theirs[kind] - mine[kind])
        if theirs[worst] > 1.02 * mine[worst]:
            more = theirs[worst] / mine[worst] if mine[worst] else np.inf
            if not np.isfinite(more):
                said.append(f"{worst} comes on top")
            elif more < 2:
                said.append(f"{worst} costs {more - 1:.0%} more per request")
            else:
                said.append(f"{worst} costs {more:.2g} times as much per request")
    else:
        pooled = (
            "shares each device between prefill and decode"
            if isinstance(second.layout, Layout)
            else ("leaves devices of one pool idle while the other works")
        )
        said.append(pooled)
    return "; ".join(said)
