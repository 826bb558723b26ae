"""What does a step need to know, as numbers that broadcast?

The search weighs many layouts of one chip and one model; a fit weighs thousands of published points, each on its own chip,
with its own model and engine. Both are the same arithmetic. ``Columns`` holds every figure as a float or as an array, so
that one set of formulas serves both: (layouts, 1) columns against (layouts, batches) in a search, (points, 1) in a fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeAlias

import numpy as np

from entrepot.performance.chip import Chip
from entrepot.performance.efficiency import Efficiency, Engine, Serving, serving
from entrepot.performance.layouts import Layouts
from entrepot.performance.mix import Mix
from entrepot.performance.operations import Shape
from entrepot.performance.records import F64

__all__ = ["Columns", "Number", "columns", "stack"]

Number: TypeAlias = "float | F64"


@dataclass(frozen=True, slots=True)
class Columns:
    """Every figure of a step; floats or arrays that broadcast together. SI units; weights in elements over all layers.

    Attributes
    ----------
    rate_16, linear_rate, expert_rate : datasheet FLOP/s
    bandwidth, linear_bandwidth, expert_bandwidth : bytes/s of memory: peak, and what matrix products stream weights at
    reached_16, linear_reached, expert_reached : shares of the rates that large products reach
    kv_reached, mla_reached, attention_reached : shares of bandwidth, and of ``rate_16``, that attention reaches
    layer_s, host_s, sequence_s : seconds per layer, per step, and per step and sequence
    """

    # chip and format
    memory_bytes: Number
    bandwidth: Number
    rate_16: Number
    linear_rate: Number
    expert_rate: Number
    linear_bytes: Number
    expert_bytes: Number
    kv_bits: Number
    # what is reached
    reached_16: Number
    linear_reached: Number
    expert_reached: Number
    linear_bandwidth: Number
    expert_bandwidth: Number
    kv_reached: Number
    mla_reached: Number
    attention_reached: Number
    # layout and links
    tp: Number
    dp: Number
    ep: Number
    pp: Number
    nodes: Number
    link_tp: Number
    link_group: Number
    link_share: Number
    # model
    layers: Number
    hidden: Number
    heads: Number
    kv_heads: Number
    qk_dim: Number
    v_dim: Number
    mla_dim: Number
    full: Number
    windowed: Number
    window: Number
    kv_elements: Number
    window_elements: Number
    state_elements: Number
    index_heads: Number
    index_dim: Number
    index_top: Number
    attention: Number
    dense: Number
    shared: Number
    router: Number
    expert: Number
    experts: Number
    experts_per_token: Number
    moe_layers: Number
    embedding: Number
    head: Number
    # requests
    isl: Number
    osl: Number
    computed: Number
    context: Number
    context_inside: Number
    pairs: Number
    pairs_inside: Number
    verified: Number  # tokens of a sequence that one decode step looks at: 1 + drafts
    accepted: Number  # tokens that it yields: 1 without speculation
    pace: Number  # factor on a step and on a prefill: what this cell was measured to take over what physics says
    # engine and fixed costs
    layer_s: Number
    host_s: Number
    sequence_s: Number
    interference: Number
    ttft_constant_s: Number
    ttft_prefill: Number
    ttft_steps: Number
    ttft_burst: Number
    ttft_burst_exponent: Number
    polled: Number  # decode steps waited because the scheduler looks at its queue once in a while
    front_request_s: (
        Number  # seconds of one request, and of one input token, in the one process that takes requests in
    )
    front_token_s: Number
    # constants of the step
    softness: Number
    moe_layer_factor: Number
    mla_layer_factor: Number
    expert_pad_rows: Number
    expert_imbalance: Number
    all_reduce_s: Number
    all_reduce_per_doubling: Number
    all_to_all_s: Number
    all_to_all_across_s: Number
    dispatch_bytes: Number
    combine_bytes: Number
    scaleout_bytes_s: Number
    chunk: Number

    @property
    def group(self) -> Number:
        """Devices over which experts and dense FFN are spread: one pipeline stage."""
        return self.tp * self.dp

    @property
    def frontend_s(self) -> Number:
        """Seconds of a mean request in the one process that takes requests in: HTTP, tokeniser, scheduler messages."""
        return self.front_request_s + self.front_token_s * self.isl

    @property
    def devices(self) -> Number:
        """Devices of one replica."""
        return self.tp * self.dp * self.pp

    def with_(self, **values: Number) -> Columns:
        """Return the columns with some of them replaced."""
        return replace(self, **values)


_US = 1e-6
_GB = 1e9


def columns(
    chip: Chip,
    shape: Shape,
    layouts: Layouts,
    mix: Mix,
    engine: Engine,
    kv_bits: Number,
    *,
    pace: Number = 1.0,
    patience: Number = 1.0,
) -> Columns:
    """Return the figures of one chip, model, mix and engine, for each layout.

    Parameters
    ----------
    pace : factor on steps and prefills, (layouts, 1), from the offsets of the cell (see ``offsets.paces``)
    patience : factor on TTFT, likewise

    Returns
    -------
    layout columns are (layouts, 1), the others floats
    """
    constants: Serving = serving()
    efficiency: Efficiency = chip.efficiency
    kv_reached = efficiency.kv_bandwidth * (efficiency.kv8_bandwidth_factor if kv_bits == 8 else 1.0)
    return Columns(
        memory_bytes=chip.memory_bytes,
        bandwidth=chip.bandwidth,
        rate_16=chip.rate_16,
        linear_rate=layouts.linear_rate,
        expert_rate=layouts.expert_rate,
        linear_bytes=layouts.linear_bytes,
        expert_bytes=layouts.expert_bytes,
        kv_bits=kv_bits,
        reached_16=chip.reached_16,
        linear_reached=layouts.linear_reached,
        expert_reached=efficiency.experts * layouts.expert_reached,
        linear_bandwidth=chip.linear_bandwidth(),
        expert_bandwidth=chip.expert_bandwidth(),
        kv_reached=kv_reached,
        mla_reached=efficiency.mla_attention * chip.reached_16,
        attention_reached=efficiency.prefill_attention * chip.reached_16,
        tp=layouts.tp,
        dp=layouts.dp,
        ep=layouts.ep,
        pp=layouts.pp,
        nodes=layouts.nodes,
        link_tp=layouts.link_tp,
        link_group=layouts.link_group,
        link_share=layouts.link_share,
        **of_shape(shape),
        isl=mix.isl,
        osl=mix.osl,
        computed=mix.computed,
        context=mix.context,
        context_inside=mix.context_within(shape.window) if shape.window else 0.0,
        pairs=mix.pairs,
        pairs_inside=mix.pairs_within(shape.window) if shape.window else 0.0,
        verified=1.0,
        accepted=1.0,
        pace=pace,
        layer_s=efficiency.layer_us * engine.layer_factor * _US,
        host_s=engine.step_host_ms * 1e-3,
        sequence_s=constants.host_sequence_us * _US,
        interference=engine.interference,
        ttft_constant_s=engine.ttft_constant_ms * 1e-3 * patience,
        ttft_prefill=engine.ttft_prefill * patience,
        ttft_steps=engine.ttft_steps * patience / pace,
        ttft_burst=engine.ttft_burst * patience / pace,
        ttft_burst_exponent=engine.ttft_burst_exponent,
        polled=0.0,
        front_request_s=engine.frontend_request_ms * 1e-3 * patience,
        front_token_s=engine.frontend_token_us * _US * patience,
        **of_constants(constants),
    )


def of_shape(shape: Shape) -> dict[str, float]:
    """Return the columns that a model fills."""
    names = (
        "layers hidden heads kv_heads qk_dim v_dim mla_dim full windowed window kv_elements window_elements "
        "state_elements index_heads index_dim index_top attention dense shared router expert experts "
        "experts_per_token moe_layers embedding head"
    )
    return {name: float(getattr(shape, name)) for name in names.split()}


def of_constants(constants: Serving) -> dict[str, float]:
    """Return the columns that the constants of the step fill."""
    return {
        "softness": constants.softness,
        "moe_layer_factor": constants.moe_layer_factor,
        "mla_layer_factor": constants.mla_layer_factor,
        "expert_pad_rows": constants.expert_pad_rows,
        "expert_imbalance": constants.expert_imbalance,
        "all_reduce_s": constants.all_reduce_us * _US,
        "all_reduce_per_doubling": constants.all_reduce_us_per_doubling,
        "all_to_all_s": constants.all_to_all_us * _US,
        "all_to_all_across_s": constants.all_to_all_across_us * _US,
        "dispatch_bytes": constants.dispatch_bytes,
        "combine_bytes": constants.combine_bytes,
        "scaleout_bytes_s": constants.scaleout_gb_s * constants.scaleout_share * _GB,
        "chunk": constants.prefill_chunk_tokens,
    }


def stack(points: Sequence[Columns]) -> Columns:
    """Return many single points as one table, each column (points, 1).

    Parameters
    ----------
    points : each with one value in every column
    """
    out = {
        f.name: np.array([np.asarray(getattr(p, f.name), dtype=np.float64).item() for p in points])[:, None]
        for f in fields(Columns)
    }
    return Columns(**out)
