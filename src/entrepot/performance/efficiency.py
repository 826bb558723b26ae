"""How far below its datasheet does a chip of this architecture work, and who says so?

Nothing is hidden in code: every number that is not a figure of a chip or a model is read from ``data/*.toml``, where
it stands with its kind (measured, transferred, judged, definition) and its source.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, cast

from entrepot.errors import NotFound
from entrepot.performance.service import constants as service_constants
from entrepot.performance.service import training_constants

__all__ = ["Efficiency", "Engine", "Provenance", "Serving", "efficiency", "engine", "provenance", "serving"]

DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Shares of the datasheet that one architecture reaches; 0..1 where no unit is named.

    Attributes
    ----------
    spread : factor up and down of the interval around a rate
    experts, prefill_attention, mla_attention : shares of what dense products reach in the same format
    law_c, law_gamma : the law ``1/ec - 1 = c R^gamma`` of compute efficiency, with R = dense TFLOP/s per SM;
        ``None`` where the architecture has no fitted law, then ``compute_*`` is used
    gemm_gb_s_per_sm : most bytes per second that one SM streams in a matrix product; ``None`` is no cap
    """

    architecture: str
    basis: str
    spread: float
    compute_16: float
    compute_8: float
    compute_4: float
    law_c: float | None
    law_gamma: float | None
    bandwidth: float
    gemm_gb_s_per_sm: float | None
    experts: float
    expert_bandwidth: float
    kv_bandwidth: float
    kv8_bandwidth_factor: float
    prefill_attention: float
    mla_attention: float
    link: float
    layer_us: float

    def compute(self, bits: int, tflops: float, sm_count: int | None) -> float:
        """Return the share of peak arithmetic that dense matrix products reach.

        Parameters
        ----------
        bits : bits of the operands: 16, 8 or 4
        tflops : dense peak in that format, TFLOP/s
        sm_count : streaming multiprocessors; ``None`` where not stated, then the architecture's own mean is used

        Notes
        -----
        ``peak x ec(peak)`` turns down beyond R* = (c (gamma - 1))^(-1/gamma), where nobody has measured; beyond it the
        throughput of R* is kept, so that a higher peak never means a slower chip.
        """
        if self.law_c is None or self.law_gamma is None or sm_count is None:
            return {16: self.compute_16, 8: self.compute_8, 4: self.compute_4}[bits]
        per_sm = tflops / sm_count
        top = (self.law_c * (self.law_gamma - 1)) ** (-1 / self.law_gamma) if self.law_gamma > 1 else per_sm
        reached = min(per_sm, top)
        return float((reached / per_sm) / (1 + self.law_c * reached**self.law_gamma))


@dataclass(frozen=True, slots=True)
class Engine:
    """What a serving engine adds: overheads of a step and the terms of TTFT.

    Attributes
    ----------
    interference_equal, ttft_burst_equal : factors on ``interference`` and ``ttft_burst`` where all requests have the same
        lengths and run in lockstep
    ttft_burst_open : factor on ``ttft_burst`` where requests arrive one by one at a rate
    offline_interference : share of the prefill that output waits for where everything is queued at the start
    ttft_poll : decode steps that a prompt waits per step between two looks of the scheduler at its queue
    frontend_request_ms, frontend_token_us : time of one request, and of one input token of it, in the one process that takes
        requests in (HTTP, tokeniser): a queue of its own in front of the scheduler
    drift_per_year : how much longer a step takes for each year that the software is older than ``[era] reference_year``:
        log of the factor
    """

    name: str
    layer_factor: float
    step_host_ms: float
    interference: float
    ttft_constant_ms: float
    ttft_prefill: float
    ttft_steps: float
    ttft_burst: float
    ttft_burst_exponent: float
    interference_equal: float
    ttft_burst_equal: float
    ttft_burst_open: float
    offline_interference: float
    drift_per_year: float
    ttft_poll: float
    frontend_request_ms: float
    frontend_token_us: float


@dataclass(frozen=True, slots=True)
class Serving:
    """Constants of the step, of memory, of links, of percentiles and of intervals (``data/serving.toml``)."""

    softness: float
    moe_layer_factor: float
    mla_layer_factor: float
    host_sequence_us: float
    expert_pad_rows: float
    expert_imbalance: float
    all_reduce_us: float
    all_reduce_us_per_doubling: float
    all_to_all_us: float
    all_to_all_across_us: float
    dispatch_bytes: float
    combine_bytes: float
    prefill_chunk_tokens: float
    expert_shard_min: float
    reserve_share: float
    reserve_gb: float
    run_reserve_share: float
    run_reserve_gb: float
    output_share_held: float
    fp4_bits: float
    pcie_lane_gb_s: Mapping[str, float]
    pcie_share: float
    pcie_devices: int
    unstated_domain: int
    scaleout_gb_s: float
    scaleout_share: float
    devices_max: int
    tpot_p99_over_mean: float
    ttft_p99_over_mean: float
    interval: Mapping[str, float]
    pcie_factor: float
    era_reference_year: float
    kernel_gemm_us: float
    kernel_grouped_us: float
    kernel_attention_us: float
    kernel_attention_ramp: float
    kernel_swap_gb_s_per_sm: float
    kernel_softness: float
    kernel_factor: float


@dataclass(frozen=True, slots=True)
class Provenance:
    """One constant of the model: where it stands, its value, its kind, its source."""

    table: str
    name: str
    value: float
    kind: str
    source: str


@cache
def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(files("entrepot.performance").joinpath("data", name).read_text(encoding="utf-8"))


def _value(table: Mapping[str, Any], name: str) -> float | None:
    entry = table.get(name)
    return None if entry is None else float(entry["value"])


def _fitted(group: str, name: str) -> Mapping[str, Any]:
    """Values that the fit of ``make calibrate`` puts in the place of the starting ones."""
    tables = _read("fitted.toml").get(group, {})
    return cast("Mapping[str, Any]", tables.get(name, {}))


@cache
def efficiency(architecture: str | None, *, fitted: bool = True) -> Efficiency:
    """Return the efficiencies of an architecture; one that nobody measured gets ``default``.

    Examples
    --------
    >>> efficiency("Hopper").basis, efficiency("GCU").basis
    ('measured', 'datasheet')
    """
    tables = cast("dict[str, dict[str, Any]]", _read("efficiency.toml")["architecture"])
    wanted = (architecture or "").strip().lower()
    found = next((k for k, t in tables.items() if wanted in t["names"]), DEFAULT)
    own, base = tables[found], tables[DEFAULT]
    if fitted:
        own = {**own, **_fitted("architecture", found)}
        base = {**base, **_fitted("architecture", DEFAULT)}

    def number(name: str) -> float:
        value = _value(own, name)
        return float(base[name]["value"]) if value is None else value

    basis = str(own["basis"])
    spread = _value(own, "spread")
    return Efficiency(
        architecture=found,
        basis=basis,
        spread=serving().interval[basis] if spread is None else spread,
        law_c=_value(own, "law_c"),
        law_gamma=_value(own, "law_gamma"),
        gemm_gb_s_per_sm=_value(own, "gemm_gb_s_per_sm"),
        **{name: number(name) for name in _SHARES},
    )


_SHARES: Final = (
    "compute_16",
    "compute_8",
    "compute_4",
    "bandwidth",
    "experts",
    "expert_bandwidth",
    "kv_bandwidth",
    "kv8_bandwidth_factor",
    "prefill_attention",
    "mla_attention",
    "link",
    "layer_us",
)


@cache
def engine(name: str, *, fitted: bool = True) -> Engine:
    """Return a serving engine's overheads: ``vllm``, ``trtllm`` or ``sglang``.

    Raises
    ------
    NotFound
        no such engine has been fitted
    """
    tables = cast("dict[str, dict[str, Any]]", _read("serving.toml")["engine"])
    if name not in tables:
        raise NotFound("serving engine", name, sorted(tables))
    entries = {**tables[name], **(_fitted("engine", name) if fitted else {})}
    return Engine(name=name, **{key: float(entry["value"]) for key, entry in entries.items()})


@cache
def serving(*, fitted: bool = True) -> Serving:
    """Return the constants of ``data/serving.toml``, with those of ``data/fitted.toml`` in their place."""
    tables = _read("serving.toml")
    link, interval = tables["link"], tables["interval"]
    lanes = {k: float(v) for k, v in link["pcie_lane_gb_s"].items() if k not in {"kind", "source"}}
    plain = {
        key: entry["value"]
        for name in ("step", "memory", "percentile", "era", "kernel")
        for key, entry in {
            **cast("dict[str, dict[str, Any]]", tables[name]),
            **(_fitted("constants", name) if fitted else {}),
        }.items()
    }
    links = {key: entry["value"] for key, entry in link.items() if key != "pcie_lane_gb_s"}
    factors = {key: float(entry["value"]) for key, entry in interval.items() if key != "pcie_factor"}
    return Serving(
        **{**plain, **links},
        pcie_lane_gb_s=lanes,
        interval=factors,
        pcie_factor=float(interval["pcie_factor"]["value"]),
    )


def provenance() -> tuple[Provenance, ...]:
    """Return every constant of the model with its kind and its source, in the order of the data files."""
    rows: list[Provenance] = []
    for group in ("architecture", "engine"):
        tables = _read("efficiency.toml" if group == "architecture" else "serving.toml")[group]
        for name, table in tables.items():
            rows += [
                Provenance(f"{group}.{name}", key, float(entry["value"]), entry["kind"], entry["source"])
                for key, entry in table.items()
                if isinstance(entry, dict)
            ]
    for name in ("step", "memory", "link", "percentile", "interval", "era", "kernel"):
        for key, entry in _read("serving.toml")[name].items():
            values = (
                {"": entry["value"]}
                if "value" in entry
                else {f"[{k}]": v for k, v in entry.items() if k not in {"kind", "source"}}
            )
            rows += [
                Provenance(name, f"{key}{suffix}", float(value), entry["kind"], entry["source"])
                for suffix, value in values.items()
            ]
    rows += [
        Provenance(name, key, float(entry["value"]), entry["kind"], entry["source"])
        for tables_ in (service_constants(), training_constants())
        for name, table in tables_.items()
        for key, entry in table.items()
    ]
    fitted = _read("fitted.toml")
    rows += [
        Provenance(f"{group}.{name}", key, float(entry["value"]), entry["kind"], entry["source"])
        for group in ("architecture", "engine", "constants")
        for name, table in fitted.get(group, {}).items()
        for key, entry in table.items()
    ]
    return tuple(rows)
