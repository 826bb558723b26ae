"""What does one token ask of a model in training: which products, how much attention, how much is written between them?

The shape of serving (``operations.Shape``) serves models whose layers are an attention and an FFN each. Hybrids, whose blocks are
*either* a state-space mixer *or* attention *or* experts (Nemotron-H), and models that only training rows name stand in
``data/training_shapes.csv``, each with the source of its config. Products of a block, with d the hidden size:

- attention: d (heads + 2 KV heads) width + heads width d
- Mamba2: d (2 U + 2 G N + heads) in, U d out; U = heads x head width, G groups of state width N (arXiv:2405.21060)
- an FFN has two or three matrices; latent experts work in a smaller width, between one product down and one up
- the scan of a state-space layer, in chunks of 128: 4 operations per element of its state, and products inside the chunk
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from entrepot.catalogue.records import Model
from entrepot.performance.operations import Shape, shape

_CHUNK = 128  # tokens; chunk_size of the configs read

__all__ = ["TrainingShape", "model_shape", "named_shapes", "of_serving", "with_mtp"]


@dataclass(frozen=True, slots=True)
class TrainingShape:
    """A model in numbers; weights in elements, summed over all layers unless said otherwise.

    Attributes
    ----------
    layers : units that a pipeline stage holds: layers, or blocks of a hybrid
    branches : residual branches, each with its norm: two in a layer of attention and FFN, one in a block of a hybrid
    stream : elements per token that norms and residuals read and write: four for each element of each branch
    linear : weights of attention, dense and shared FFNs, mixers, latent projections: one product per token each
    score : forward operations of attention per token and token of context, in one layer
    full, windowed, window : layers that attend to all, to ``window`` tokens
    head_width : mean width of a head's keys and values
    scan : forward operations per token that depend on no context: linear attention, state-space scans
    scan_width : elements per token that convolutions, scans and gated norms of a state-space mixer read and write
    expert : weights of one expert in one layer, ``expert_input`` wide outside and ``expert_width`` inside
    """

    id: str
    layers: int
    branches: float
    stream: float
    hidden: int
    heads: int
    linear: float
    router: float
    expert: float
    experts: int
    experts_per_token: int
    expert_width: int
    expert_input: int
    moe_layers: int
    score: float
    full: float
    windowed: float
    window: int
    head_width: float
    scan: float
    scan_width: float
    embedding: float
    head: float

    @property
    def routed(self) -> float:
        """Weights of all routed experts."""
        return self.moe_layers * self.experts * self.expert

    @property
    def active_routed(self) -> float:
        """Weights of the routed experts that one token visits."""
        return self.moe_layers * self.experts_per_token * self.expert

    @property
    def vocabulary(self) -> float:
        """Logits of one token."""
        return self.head / self.hidden

    @property
    def active(self) -> float:
        """Weights that one token is multiplied with, the head once."""
        return self.linear + self.active_routed + self.head

    @property
    def width(self) -> float:
        """Elements per token that products outside the experts read and write beside the residual stream."""
        return self.linear / self.hidden

    @property
    def routed_width(self) -> float:
        """Elements per token between the products of the experts that a token visits."""
        return self.moe_layers * self.experts_per_token * self.expert / max(self.expert_input, 1)

    @property
    def carried(self) -> float:
        """Elements per token that are carried to experts and back."""
        return 2.0 * self.moe_layers * self.experts_per_token * self.expert_input

    def attention(self, sequence: float) -> float:
        """Return the forward operations of attention and scans for one token of a sequence, causal."""
        ramp = min(float(self.window), sequence)
        inside = self.windowed * (ramp - ramp**2 / (2 * sequence)) if self.window else 0.0
        return self.score * (self.full * sequence / 2 + inside) + self.scan


def of_serving(of: Shape) -> TrainingShape:
    """Return the training shape of a model whose layers are an attention and an FFN each."""
    return TrainingShape(
        id=of.id,
        layers=of.layers,
        branches=2.0 * of.layers,
        stream=8.0 * of.layers * of.hidden,
        hidden=of.hidden,
        heads=of.heads,
        linear=of.attention + of.dense + of.shared,
        router=of.router,
        expert=of.expert,
        experts=of.experts,
        experts_per_token=of.experts_per_token,
        expert_width=of.expert_width,
        expert_input=of.hidden,
        moe_layers=of.moe_layers,
        score=2.0 * of.heads * (of.qk_dim + of.v_dim),
        full=of.full,
        windowed=of.windowed,
        window=of.window,
        head_width=(of.qk_dim + of.v_dim) / 2,
        scan=4.0 * of.state_elements,
        scan_width=0.0,
        embedding=of.embedding,
        head=of.head,
    )


def model_shape(model: Model) -> TrainingShape:
    """Return the training shape of a model of the catalogue.

    Raises
    ------
    MissingFact
        neither the catalogue nor ``data/training_shapes.csv`` holds the whole shape
    """
    named = named_shapes().get(model.id)
    return of_serving(shape(model)) if named is None else named


def with_mtp(of: TrainingShape, layers: int = 1) -> TrainingShape:
    """Return the shape with layers for multi-token prediction, each one more layer, a projection and the head again."""
    share = 1 + layers / of.layers
    return replace(
        of,
        layers=of.layers + layers,
        branches=of.branches * share,
        stream=of.stream * share,
        linear=of.linear * share + layers * 2 * of.hidden**2,
        moe_layers=of.moe_layers + (layers if of.moe_layers else 0),
        full=of.full + layers,
        head=of.head * (1 + layers),
    )


@cache
def named_shapes() -> dict[str, TrainingShape]:
    """Return the shapes of ``data/training_shapes.csv`` by model."""
    text = files("entrepot.performance").joinpath("data", "training_shapes.csv").read_text(encoding="utf-8")
    return {row["model"]: _named(row) for row in csv.DictReader(text.splitlines())}


def _named(row: dict[str, str]) -> TrainingShape:
    n = {k: int(v) if v.isdigit() else 0 for k, v in row.items() if k not in {"model", "tied", "source"}}
    hidden, heads, width = n["hidden"], n["heads"], n["head_dim"]
    attention = hidden * (heads + 2 * n["kv_heads"]) * width + heads * width * hidden
    mixed, grouped = n["mamba_heads"] * n["mamba_head_dim"], n["groups"] * n["state"]
    mamba = hidden * (2 * mixed + 2 * grouped + n["mamba_heads"]) + mixed * hidden
    blocks = n["attention_blocks"] + n["mamba_blocks"] + n["ffn_blocks"] + n["moe_blocks"]
    outside = n["latent"] or hidden
    latent = 2 * hidden * n["latent"] * n["moe_blocks"]
    shared = n["matrices"] * hidden * n["shared"] * n["moe_blocks"]
    dense = n["matrices"] * hidden * n["ffn"] * n["ffn_blocks"]
    embedding = float(n["vocab"] * hidden)
    return TrainingShape(
        id=row["model"],
        layers=n["layers"],
        branches=float(blocks),
        stream=4.0 * blocks * hidden * (n["streams"] or 1),
        hidden=hidden,
        heads=heads,
        linear=float(
            n["attention_blocks"] * (n["attention_weights"] or attention)
            + n["mamba_blocks"] * mamba
            + latent
            + shared
            + dense
        ),
        router=float(n["moe_blocks"] * n["experts"] * hidden),
        expert=float(n["matrices"] * outside * n["expert_width"]),
        experts=n["experts"],
        experts_per_token=n["experts_per_token"],
        expert_width=n["expert_width"],
        expert_input=outside if n["experts"] else 0,
        moe_layers=n["moe_blocks"],
        score=4.0 * heads * width,
        full=0.0 if n["window"] else float(n["attention_blocks"]),
        windowed=float(n["attention_blocks"]) if n["window"] else 0.0,
        window=n["window"],
        head_width=float(width),
        scan=n["mamba_blocks"] * (4.0 * mixed * n["state"] + 2.0 * _CHUNK * (grouped + mixed)),
        scan_width=n["mamba_blocks"] * (8.0 * mixed + 4.0 * grouped),
        embedding=embedding * (1 if row["tied"] == "yes" else 2),
        head=embedding,
    )
