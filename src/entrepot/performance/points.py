"""What do many operating points do at once, each on its own chip, with its own model, layout, engine and load?

One physics: the columns are those of ``step`` and ``steady``. A point is what a published row or a run of a user's own
states; the answer has every serving metric, each by one definition:

- TPOT: (end - first token) / (osl - 1) of the mean request; TTFT: arrival to first token, waiting included
- output rate: output tokens per second of one replica; total rate: input and output tokens
- prefill and decode rates: of devices that do nothing else, per device
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.performance.burst import burst
from entrepot.performance.chip import Chip, WeightFormat, chip, weight_formats
from entrepot.performance.coefficients import (
    ARCHITECTURES,
    ENGINES,
    I32,
    Coefficients,
    coefficients,
    compute_share,
)
from entrepot.performance.columns import Columns, Number, columns, stack
from entrepot.performance.efficiency import engine, serving
from entrepot.performance.harness import Run, at_rate, drained, overloaded
from entrepot.performance.layouts import one_layout
from entrepot.performance.memory import held_together
from entrepot.performance.mix import mix
from entrepot.performance.operations import Shape, shape
from entrepot.performance.records import F64, Slo, Workload
from entrepot.performance.steady import closed_loop, percentile_stretch

__all__ = ["Answers", "Point", "Points", "answers", "fill", "points"]

Bools: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
_GRID = 28
_TERA = 1e12
_GB = 1e9
_US = 1e-6


@dataclass(frozen=True, slots=True)
class Point:
    """One operating point, named; see ``accuracy.conditions.Conditions`` for how published rows state it.

    ``scale`` sizes a stand-in model of another size; ``die`` < 1 is a rank on a part of a package.
    """

    accelerator: Accelerator
    model: Model
    weight_format: NumberFormat
    kv_bits: int
    engine: str
    tp: int
    dp: int
    ep: int
    pp: int
    isl: float
    osl: float
    concurrency: float = float("inf")
    cap: float = float("inf")
    year: float = 2026.0
    equal: bool = False
    harness: str = "closed"
    rate_per_s: float = float("nan")
    load_tokens_per_s: float = float("nan")
    ttft_limit_ms: float = float("inf")
    tpot_limit_ms: float = float("inf")
    percentile: float = 50.0
    drafts: int = 0
    accept: float = 1.0
    prefix_hit: float = 0.0
    scale: float = 1.0
    die: float = 1.0
    recv_interval: float = 1.0
    kv_held_bits: int = 0  # width of the cache as it is held, where not ``kv_bits``
    chunk: float = 8192.0  # most prompt tokens of a step
    batch_wait: float = 0.0  # decode steps that a prompt may wait for others
    held_share: float = 0.55  # of its output that a request has room for when it is admitted
    requests: float = float("inf")  # of the whole run
    spread: float = 0.0  # standard deviation of the output lengths over their mean
    prompts_first: bool = False  # a prompt that has a place is computed before the next decode step
    decode_places: float = float(
        "inf"
    )  # of a decode step, where prompts are computed for more: those wait in turn
    weight_only: bool = False  # weights of few bits, arithmetic in 16
    host: tuple[float, float] = (
        0.0,
        0.0,
    )  # bytes/s and FLOP/s of the host that runs the experts, where it does


@dataclass(frozen=True, slots=True)
class Points:
    """Points as columns, (points,) or (points, 1) each; ``static`` holds what no coefficient changes."""

    static: Columns
    arch: I32
    engine: I32
    per_sm_16: F64
    per_sm_linear: F64
    per_sm_expert: F64
    bits_linear: I32
    bits_expert: I32
    sm_count: F64
    pcie: F64
    kv8: F64
    kv_held_bits: F64
    host_bytes_s: F64
    host_rate: F64
    held_share: F64
    interval: F64
    requests: F64
    spread: F64
    prompts_first: F64
    decode_places: F64
    at_rate: F64
    static_batch: F64
    age: F64
    equal: F64
    harness: tuple[str, ...]
    concurrency: F64
    cap: F64
    rate_per_s: F64
    load_tokens_per_s: F64
    ttft_limit_s: F64
    tpot_limit_s: F64
    percentile: F64

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.harness)


@dataclass(frozen=True, slots=True)
class Answers:
    """What each point does; (points,) each, seconds and tokens per second of one replica; NaN where it does not apply."""

    ttft_s: F64
    tpot_s: F64
    output_per_s: F64
    total_per_s: F64
    prefill_per_s: F64
    decode_per_s: F64
    batch: F64
    busy: F64  # load over what the replica can take, for arrivals at a rate; NaN elsewhere
    in_system: F64  # requests at the replica, waiting ones included; NaN where a run has an end
    fits: F64
    share_compute: F64
    share_memory: F64
    share_communication: F64
    share_overhead: F64


def _die(accelerator: Accelerator, die: float) -> Accelerator:
    """Return a part of a package: rates, memory, bandwidth and units shrink with it."""
    if die == 1.0:
        return accelerator
    part = Decimal(str(die))
    return replace(
        accelerator,
        dense_rate={f: r * part for f, r in accelerator.dense_rate.items()},
        memory_gb=None if accelerator.memory_gb is None else accelerator.memory_gb * part,
        memory_bw_gb_s=None if accelerator.memory_bw_gb_s is None else accelerator.memory_bw_gb_s * part,
        sm_count=None if accelerator.sm_count is None else max(int(accelerator.sm_count * die), 1),
    )


_WEIGHTS = (
    "attention",
    "dense",
    "shared",
    "router",
    "expert",
    "embedding",
    "head",
    "kv_elements",
    "state_elements",
)


def _shape(model: Model, scale: float) -> Shape:
    own = shape(model)
    if scale == 1.0:
        return own
    return replace(own, **{name: getattr(own, name) * scale for name in _WEIGHTS})


def points(stated: Sequence[Point]) -> Points:
    """Return the points as columns.

    Raises
    ------
    InputError, MissingFact
        a figure of a chip or a model that no source states
    """
    reference = serving().era_reference_year
    kept: dict[tuple[object, ...], tuple[Chip, WeightFormat, Shape]] = {}
    rows: list[Columns] = []
    chips: list[Chip] = []
    forms: list[WeightFormat] = []
    for p in stated:
        key = (p.accelerator.id, p.accelerator.memory_gb, p.die, p.model.id, p.scale, p.weight_format)
        if key not in kept:
            chip_ = chip(_die(p.accelerator, p.die))
            found = weight_formats(chip_, p.model, [p.weight_format]) or weight_formats(
                chip_, p.model, [NumberFormat.BF16]
            )
            kept[key] = (chip_, found[0], _shape(p.model, p.scale))
        chip_, fmt, shape_ = kept[key]
        layouts = one_layout(chip_, fmt, tp=p.tp, dp=p.dp, ep=p.ep, pp=p.pp)
        one = np.array([1.0])
        load = Workload("point", p.model.id, one * p.isl, one * p.osl, one, Slo(None, None), p.prefix_hit)
        moments = mix(load, output_share_held=serving().output_share_held)
        made = columns(chip_, shape_, layouts, moments, engine(p.engine), p.kv_bits)
        if p.weight_only:
            made = made.with_(linear_rate=chip_.rate_16, expert_rate=chip_.rate_16)
        made = made.with_(chunk=p.chunk)
        made = made.with_(link_tp=_stated(made.link_tp), link_group=_stated(made.link_group))
        rows.append(made.with_(verified=1.0 + p.drafts, accepted=p.accept))
        chips.append(chip_)
        forms.append(fmt)
    static = stack(rows)

    def column(values: Sequence[float]) -> F64:
        return np.array(values, dtype=np.float64)[:, None]

    sms = column([float(c.sm_count or np.nan) for c in chips])
    bits = {2.0: 16, 1.0: 8}
    return Points(
        static=static,
        arch=np.array([ARCHITECTURES.index(c.efficiency.architecture) for c in chips], dtype=np.int32),
        engine=np.array([ENGINES.index(p.engine) for p in stated], dtype=np.int32),
        per_sm_16=static.rate_16 / _TERA / sms,
        per_sm_linear=static.linear_rate / _TERA / sms,
        per_sm_expert=static.expert_rate / _TERA / sms,
        bits_linear=_bits(
            chips,
            [np.asarray(c.linear_rate).item() for c in rows],
            [bits.get(f.linear_bytes, 4) for f in forms],
        ),
        bits_expert=_bits(
            chips,
            [np.asarray(c.expert_rate).item() for c in rows],
            [bits.get(f.expert_bytes, 4) for f in forms],
        ),
        sm_count=sms,
        pcie=column([1.0 if _pcie(c, p) else 0.0 for c, p in zip(chips, stated, strict=True)]),
        kv8=column([1.0 if p.kv_bits == 8 else 0.0 for p in stated]),
        kv_held_bits=column([float(p.kv_held_bits or p.kv_bits) for p in stated]),
        host_bytes_s=column([p.host[0] for p in stated]),
        host_rate=column([p.host[1] for p in stated]),
        held_share=column([p.held_share for p in stated]),
        interval=column([max(p.recv_interval - 1.0, 0.0) + p.batch_wait for p in stated]),
        requests=column([p.requests for p in stated]),
        spread=column([p.spread for p in stated]),
        prompts_first=column([float(p.prompts_first) for p in stated]),
        decode_places=column([p.decode_places for p in stated]),
        at_rate=column([float(p.harness in {"rate", "load", "slo"}) for p in stated]),
        static_batch=column([float(p.harness == "static") for p in stated]),
        age=column([np.clip(reference - p.year, -1.0, 2.5) for p in stated]),
        equal=column([float(p.equal) for p in stated]),
        harness=tuple(p.harness for p in stated),
        concurrency=column([p.concurrency for p in stated]),
        cap=column([p.cap for p in stated]),
        rate_per_s=column([p.rate_per_s for p in stated]),
        load_tokens_per_s=column([p.load_tokens_per_s for p in stated]),
        ttft_limit_s=column([p.ttft_limit_ms / 1e3 for p in stated]),
        tpot_limit_s=column([p.tpot_limit_ms / 1e3 for p in stated]),
        percentile=column([p.percentile for p in stated]),
    )


def _bits(chips: Sequence[Chip], rates: Sequence[float], stored: Sequence[int]) -> I32:
    """Bits of the arithmetic: where the chip lacks a rate, weights of few bits are computed in 16."""
    return np.array(
        [16 if rate == c.rate_16 else b for c, rate, b in zip(chips, rates, stored, strict=True)],
        dtype=np.int32,
    )


def _stated(link: Number) -> Number:
    """Return a link's bytes/s; one that no source states is taken as a host link of PCIe 4.0 x16."""
    return np.where(np.isnan(link), 2 * 16 * serving().pcie_lane_gb_s["4.0"] * _GB, link)


def _pcie(chip_: Chip, p: Point) -> bool:
    """Whether a group of this size is joined by the host link alone."""
    inside = chip_.link_bytes_s is not None and (
        p.tp <= chip_.domain or chip_.domain > serving().unstated_domain
    )
    return not inside


def fill(at: Points, values: Coefficients) -> Columns:
    """Return the columns of all points under these coefficients."""
    arch = {name: v[at.arch][:, None] for name, v in values.arch.items()}
    eng = {name: v[at.engine][:, None] for name, v in values.engine.items()}
    step, static = values.step, at.static

    def share(per_sm: F64, bits: I32 | int) -> F64:
        wide = np.asarray(bits).reshape(-1, 1)
        table = np.where(
            wide == 16, arch["compute_16"], np.where(wide == 8, arch["compute_8"], arch["compute_4"])
        )
        return compute_share(arch["law_c"], arch["law_gamma"], table, per_sm)

    reached_16 = share(at.per_sm_16, 16)
    cap = np.where(
        np.isnan(arch["gemm_gb_s_per_sm"] * at.sm_count), np.inf, arch["gemm_gb_s_per_sm"] * _GB * at.sm_count
    )
    drift = np.exp(eng["drift_per_year"] * at.age)
    equal = at.equal
    return static.with_(
        reached_16=reached_16,
        linear_reached=share(at.per_sm_linear, at.bits_linear),
        expert_reached=arch["experts"] * share(at.per_sm_expert, at.bits_expert),
        linear_bandwidth=np.minimum(static.bandwidth * np.minimum(arch["bandwidth"], 1.0), cap),
        expert_bandwidth=np.minimum(static.bandwidth * np.minimum(arch["expert_bandwidth"], 1.0), cap),
        kv_reached=np.minimum(arch["kv_bandwidth"], 1.0)
        * np.where(at.kv8 > 0, arch["kv8_bandwidth_factor"], 1.0),
        mla_reached=np.minimum(arch["mla_attention"] * reached_16, 1.0),
        attention_reached=np.minimum(arch["prefill_attention"] * reached_16, 1.0),
        link_share=np.where(at.pcie > 0, step["pcie_share"], arch["link"]),
        layer_s=arch["layer_us"] * eng["layer_factor"] * drift * _US,
        host_s=eng["step_host_ms"] * drift * 1e-3,
        sequence_s=step["host_sequence_us"] * drift * _US + 0 * static.layers,
        interference=eng["interference"] * np.where(equal > 0, eng["interference_equal"], 1.0),
        ttft_constant_s=eng["ttft_constant_ms"] * 1e-3,
        ttft_prefill=eng["ttft_prefill"],
        ttft_steps=eng["ttft_steps"],
        ttft_burst=eng["ttft_burst"]
        * np.where(equal > 0, eng["ttft_burst_equal"], 1.0)
        * np.where(at.at_rate > 0, eng["ttft_burst_open"], 1.0),
        ttft_burst_exponent=eng["ttft_burst_exponent"],
        polled=eng["ttft_poll"] * at.interval,
        front_request_s=eng["frontend_request_ms"] * 1e-3,
        front_token_s=eng["frontend_token_us"] * _US,
        softness=step["softness"],
        moe_layer_factor=step["moe_layer_factor"],
        mla_layer_factor=step["mla_layer_factor"],
        expert_pad_rows=step["expert_pad_rows"],
        expert_imbalance=step["expert_imbalance"],
        all_reduce_s=step["all_reduce_us"] * _US,
        all_reduce_per_doubling=step["all_reduce_us_per_doubling"],
        all_to_all_s=step["all_to_all_us"] * _US,
        all_to_all_across_s=step["all_to_all_across_us"] * _US,
    )


def answers(at: Points, values: Coefficients | None = None) -> Answers:
    """Return what each point does.

    Parameters
    ----------
    values : coefficients; those of the data files by default
    """
    used = coefficients() if values is None else values
    filled = _with_host(at, fill(at, used))
    together = np.array([h == "burst" for h in at.harness])[:, None]
    # those that hold a place are the long ones: their outputs in the mean are (1 + spread^2) times the mean
    long = np.where(together, 1 + np.minimum(at.spread, 2.0) ** 2, 1.0)
    fits = held_together(filled, at.kv_held_bits, at.held_share * long)
    offline = used.engine["offline_interference"][at.engine][:, None]
    wanted = at.concurrency
    # a published run did run: with less reserve than we keep
    room = np.minimum(np.maximum(fits, np.minimum(4.0, wanted)), at.cap)
    misread = (fits < 1) & np.isfinite(
        wanted
    )  # of devices that could not hold it at all no queue can be told
    room = np.where(misread, np.minimum(wanted, at.cap), room)
    # a burst of prompts that do not fit beside one another is served one after the other
    admits = np.where(np.isfinite(at.decode_places), np.inf, at.cap)
    room = np.where(together & (fits > 0), np.minimum(np.maximum(fits, 1.0), admits), room)
    batch = np.clip(np.minimum(wanted, room), 1.0, 8192.0 * np.maximum(filled.dp, 1.0))
    special = np.array([h in {"rate", "load", "slo"} for h in at.harness])
    most = np.full(batch.shape, np.nan)
    if special.any():
        batch = batch.copy()
        batch[special], most[special] = _batch_of_load(
            _take(at, special), _take_columns(filled, special), room[special], wanted[special]
        )
    loop = closed_loop(filled, batch)
    osl, isl = np.asarray(filled.osl), np.asarray(filled.isl)
    stretch = np.array([percentile_stretch(p) for p in at.percentile[:, 0]])
    endless = overloaded(filled, loop, batch, wanted)
    sent = np.where(np.isfinite(at.requests), at.requests, np.where(np.isfinite(wanted), wanted, batch))
    served = np.array([h == "offline" for h in at.harness])[:, None]
    bulk = drained(
        filled,
        loop,
        np.where(served, batch, 1.0),
        np.where(served, np.maximum(sent, 1.0), 1.0),
        at.spread,
        prefill=offline,
        client=False,
    )
    run = _bursts(at, filled, together, batch, sent)
    together_s = batch * loop.prompt  # a static batch prefills all its prompts and knows no server
    ttft = (
        np.where(together, run.ttft, np.where(at.static_batch > 0, together_s, endless.ttft)) * stretch[:, :1]
    )
    tpot = np.where(together, run.tpot, loop.tpot) * stretch[:, 1:]
    # arrivals at a rate wait for no wave; and a load that an MLPerf submission states was served within MLPerf's limits
    came = np.array([h in {"rate", "load"} for h in at.harness])[:, None]
    per_s = np.where(np.isnan(at.rate_per_s), at.load_tokens_per_s / osl, at.rate_per_s)
    alone = at_rate(filled, loop, np.where(came, per_s, 1e-9), np.where(came, most, 1.0), at.spread)
    ttft = np.where(came, alone.ttft * stretch[:, :1], ttft)
    valid = np.array([h == "load" for h in at.harness])[:, None]
    p99 = percentile_stretch(99.0)
    ttft = np.where(valid, np.minimum(ttft, at.ttft_limit_s / p99[0] * stretch[:, :1]), ttft)
    tpot = np.where(valid, np.minimum(tpot, at.tpot_limit_s / p99[1] * stretch[:, 1:]), tpot)
    steady_bulk = batch * osl / (osl * loop.per_token + offline * batch * loop.prompt)
    lasts = np.isfinite(at.requests)
    at_once = np.where(lasts, bulk.output_per_s, steady_bulk)
    all_queued = np.array([h in {"offline", "static"} for h in at.harness])[:, None]
    output = np.where(together, run.output_per_s, np.where(all_queued, at_once, endless.output_per_s))
    in_system = np.where(together | all_queued, np.nan, endless.in_system)
    devices = np.asarray(filled.devices)
    spent = {
        name: getattr(loop.decode, name) * osl + getattr(loop.prefill, name) * batch
        for name in ("arithmetic", "memory", "communication", "overhead")
    }
    whole = sum(spent.values())

    def flat(x: F64) -> F64:
        out: F64 = np.broadcast_to(x, (len(at), 1))[:, 0]
        return out

    return Answers(
        ttft_s=flat(ttft),
        tpot_s=flat(tpot),
        output_per_s=flat(output),
        total_per_s=flat(output * (1 + isl / osl)),
        prefill_per_s=flat(np.asarray(filled.computed) / loop.prompt / devices),
        decode_per_s=flat(batch / loop.per_token / devices),
        batch=flat(batch),
        in_system=flat(in_system),
        busy=flat(np.where(came, alone.busy, np.nan)),
        fits=flat(fits),
        share_compute=flat(spent["arithmetic"] / whole),
        share_memory=flat(spent["memory"] / whole),
        share_communication=flat(spent["communication"] / whole),
        share_overhead=flat(spent["overhead"] / whole),
    )


def _bursts(at: Points, filled: Columns, chosen: Bools, batch: F64, sent: F64) -> Run:
    """Return what the chosen points' bursts meet, NaN for the others, (points, 1)."""
    nothing = np.full(batch.shape, np.nan)
    out = Run(nothing, nothing.copy(), nothing.copy(), nothing.copy())
    rows = chosen[:, 0]
    if not rows.any():
        return out
    part = _take_columns(filled, rows)
    found = burst(
        part,
        closed_loop(part, batch[rows]),
        batch[rows],
        sent[rows],
        at.spread[rows],
        at.prompts_first[rows],
        at.decode_places[rows],
    )
    for name in ("ttft", "tpot", "output_per_s", "lasts"):
        getattr(out, name)[rows] = getattr(found, name)
    return out


def _with_host(at: Points, filled: Columns) -> Columns:
    """Return the columns with the experts of some points on their hosts, whose bandwidth and arithmetic all devices share."""
    if not (at.host_bytes_s > 0).any():
        return filled
    on_host = at.host_bytes_s > 0
    group = np.asarray(filled.group)
    return filled.with_(
        expert_bandwidth=np.where(on_host, at.host_bytes_s / group, filled.expert_bandwidth),
        expert_rate=np.where(on_host, at.host_rate / group, filled.expert_rate),
        expert_reached=np.where(on_host, 1.0, filled.expert_reached),
        expert_pad_rows=np.where(on_host, 0.0, filled.expert_pad_rows),
    )


def _take(at: Points, rows: Bools) -> Points:
    kept: dict[str, Any] = {
        f.name: getattr(at, f.name)[rows] for f in fields(Points) if f.name not in {"static", "harness"}
    }
    chosen = tuple(at.harness[int(i)] for i in np.flatnonzero(rows))
    return Points(static=_take_columns(at.static, rows), harness=chosen, **kept)


def _take_columns(at: Columns, rows: Bools) -> Columns:
    return at.with_(**{f.name: v[rows] for f in fields(Columns) if np.ndim(v := getattr(at, f.name)) == 2})


def _batch_of_load(at: Points, filled: Columns, room: F64, wanted: F64) -> tuple[F64, F64]:
    """Return the requests in flight that a rate, a token load or a limit leads to, and the most requests/s taken, (points, 1)."""
    top = np.clip(np.minimum(room, wanted), 1.0, 8192.0 * np.maximum(filled.dp, 1.0))
    grid = np.exp(np.linspace(0.0, 1.0, _GRID)[None, :] * np.log(top))
    loop = closed_loop(filled, grid)
    osl = np.asarray(filled.osl)
    arrivals = grid / loop.life
    target = np.where(np.isnan(at.rate_per_s), at.load_tokens_per_s / osl, at.rate_per_s)
    out = np.empty((len(at), 1))
    for i, harness in enumerate(at.harness):
        if harness == "slo":
            slow, wait = (percentile_stretch(99.0)[k] for k in (1, 0))
            good = (loop.tpot[i] * slow <= at.tpot_limit_s[i]) & (loop.ttft[i] * wait <= at.ttft_limit_s[i])
            last = np.flatnonzero(good)
            out[i] = grid[i, last[-1]] if last.size else grid[i, 0]
            continue
        rising = np.maximum.accumulate(arrivals[i])
        out[i] = np.exp(np.interp(np.log(target[i, 0]), np.log(rising), np.log(grid[i])))
    return out, arrivals.max(axis=1, keepdims=True)
