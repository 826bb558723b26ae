"""What is known of one chip or model, what does each figure rest on, and what is not known?

Plain records, no layout: the command line and the report print them as they like. Each section is a table of rows;
values are numbers or text as the files state them, and ``None`` stays ``None``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Final

from entrepot.catalogue import shape
from entrepot.catalogue._files import claims, prices, source
from entrepot.catalogue.records import Accelerator, Figure, Model, NumberFormat

__all__ = ["Explained", "Section", "explain", "explain_model", "ridge_flop_per_byte"]

_IDENTITY: Final = (
    *("name", "vendor", "vendor_country", "architecture", "form_factor", "announced", "status"),
    *("marketed_for_datacenter", "process_node", "die_area", "transistors", "core_count", "tdp"),
)
_MEMORY_AND_LINKS: Final = (
    *("memory_capacity", "memory_type", "memory_bandwidth"),
    *("scaleup_link", "scaleup_bandwidth", "scaleup_domain", "host_link"),
)
_NOT_FIGURES: Final = ("alias", "note")


@dataclass(frozen=True, slots=True)
class Section:
    """One table: a key for machines, a title for people, rows of named values."""

    key: str
    title: str
    rows: tuple[Mapping[str, object], ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """What is known of one thing, section by section; empty sections are left out."""

    id: str
    name: str
    sections: tuple[Section, ...]


def explain(accelerator: Accelerator) -> Explained:
    """Return what is known of an accelerator: identity, rates, memory and links, conflicts, unknowns, prices, claims.

    Returns
    -------
    sections with the keys ``identity``, ``rates``, ``memory_and_links``, ``derived``, ``conflicts``, ``unknown``,
    ``prices``, ``claims``, ``sources``, ``note``

    Examples
    --------
    >>> from entrepot import catalogue
    >>> told = explain(catalogue.accelerator("nvidia-h20-sxm-96gb"))
    >>> [(r["value"], r["used"]) for s in told.sections if s.key == "conflicts" for r in s.rows]
    [(Decimal('400'), 'yes'), (Decimal('550'), 'no')]
    """
    used = {f.figure: f for f in accelerator.figures if f.used}
    cited = dict.fromkeys(key for f in accelerator.figures for key in f.sources)
    sections = (
        Section("identity", "What it is", _stated(used, _IDENTITY)),
        Section("rates", "Dense arithmetic", _stated(used, [f"rate_{f.value}_dense" for f in NumberFormat])),
        Section("memory_and_links", "Memory and links", _stated(used, _MEMORY_AND_LINKS)),
        Section("derived", "What follows", _derived(accelerator)),
        Section("conflicts", "Where sources disagree", _conflicts(accelerator.figures)),
        Section("unknown", "What no source states", _unknown(accelerator.figures)),
        Section(
            "prices",
            "Prices on record",
            tuple(_without(asdict(p), "accelerator") for p in prices(accelerator.id)),
        ),
        Section("claims", "What is reported", _claims_about(accelerator)),
        Section("sources", "Sources", tuple({"source": k, "citation": source(k).citation} for k in cited)),
        Section("note", "Note", ({"note": accelerator.note},) if accelerator.note else ()),
    )
    return Explained(accelerator.id, accelerator.name, tuple(s for s in sections if s.rows))


def _row(figure: Figure) -> Mapping[str, object]:
    return {
        "figure": figure.figure,
        "value": figure.value,
        "unit": "" if figure.unit in ("text", "date", "yes/no") else figure.unit,
        "confidence": figure.confidence.value,
        "sources": "; ".join(figure.sources),
        "note": figure.note,
    }


def _stated(used: Mapping[str, Figure], names: Sequence[str]) -> tuple[Mapping[str, object], ...]:
    return tuple(_row(used[name]) for name in names if name in used and used[name].value is not None)


def _conflicts(figures: Sequence[Figure]) -> tuple[Mapping[str, object], ...]:
    """Return every value of each property that has more than one, the used one first."""
    disputed = [
        name
        for name in dict.fromkeys(f.figure for f in figures)
        if any(f.figure == name and not f.used for f in figures)
    ]
    return tuple(
        {**_row(f), "used": "yes" if f.used else "no"}
        for name in disputed
        for f in sorted((f for f in figures if f.figure == name), key=lambda f: not f.used)
    )


def _unknown(figures: Sequence[Figure]) -> tuple[Mapping[str, object], ...]:
    return tuple({"figure": f.figure, "why": f.note} for f in figures if f.used and f.value is None)


def ridge_flop_per_byte(accelerator: Accelerator, fmt: NumberFormat = NumberFormat.BF16) -> Decimal | None:
    """Return the arithmetic intensity at which the chip turns from memory-bound to compute-bound.

    Source: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009: the ridge point, peak rate over bandwidth.

    Returns
    -------
    FLOP per byte, dense; ``None`` where rate or memory bandwidth is unknown

    Examples
    --------
    >>> from entrepot import catalogue
    >>> ridge_flop_per_byte(catalogue.accelerator("nvidia-h20-sxm-96gb"))
    Decimal('37.0')
    """
    rate = accelerator.dense_rate.get(fmt)
    if rate is None or accelerator.memory_bw_gb_s is None:
        return None
    return (rate * 1000 / accelerator.memory_bw_gb_s).quantize(Decimal("0.1"))


def _derived(accelerator: Accelerator) -> tuple[Mapping[str, object], ...]:
    rows: list[Mapping[str, object]] = []
    for fmt in accelerator.dense_rate:
        ridge = ridge_flop_per_byte(accelerator, fmt)
        if ridge is not None and fmt.bits <= 16:
            how = "dense rate / memory bandwidth"
            rows.append(
                {"what": f"ridge point, {fmt.value}", "value": ridge, "unit": "FLOP/byte", "how": how}
            )
    rate = accelerator.dense_rate.get(NumberFormat.BF16)
    if rate is not None and accelerator.tdp_w is not None:
        value = (rate / accelerator.tdp_w).quantize(Decimal("0.01"))
        rows.append(
            {"what": "16-bit rate per watt", "value": value, "unit": "TFLOP/s/W", "how": "dense rate / TDP"}
        )
    if accelerator.memory_gb is not None and accelerator.memory_bw_gb_s is not None:
        value = (accelerator.memory_gb * 1000 / accelerator.memory_bw_gb_s).quantize(Decimal("0.1"))
        rows.append(
            {"what": "time to read all memory", "value": value, "unit": "ms", "how": "capacity / bandwidth"}
        )
    return tuple(rows)


def _claims_about(accelerator: Accelerator) -> tuple[Mapping[str, object], ...]:
    """Return the claims whose subject or object names the chip's family (``H20``, ``910C``), longest word first."""
    family = _family(accelerator)
    return tuple(
        asdict(c)
        for c in claims()
        if family
        in f" {c.object} {c.subject} ".replace(",", " ").replace("(", " ").replace(")", " ").replace("/", " ")
    )


def _family(accelerator: Accelerator) -> str:
    """Return the word of the name that carries the type number, as a word between blanks.

    ``H20 SXM 96GB`` gives `` H20 ``, ``Ascend 910C`` gives `` 910C ``.
    """
    for word in accelerator.name.split():
        if any(ch.isdigit() for ch in word) and not word.endswith("GB"):
            return f" {word.strip('(),')} "
    return f" {accelerator.name} "


def explain_model(model: Model) -> Explained:
    """Return what is known of an AI model: identity, shape, parameters rebuilt from it, memory per token, what is missing.

    Returns
    -------
    sections with the keys ``identity``, ``shape``, ``parameters``, ``cache``, ``unknown``, ``source``
    """
    told = asdict(model)
    identity = ("id", "name", "vendor", "released", "native_dtype", "context", "attention")
    prose = {*identity, "source", "note", "total_params_b", "active_params_b", "attention_kind"}
    sections = (
        Section(
            "identity", "What it is", tuple({"property": k, "value": told[k]} for k in identity if told[k])
        ),
        Section(
            "shape",
            "Its shape",
            tuple({"property": k, "value": v} for k, v in told.items() if k not in prose and v is not None),
        ),
        Section("parameters", "Parameters, 10^9", _parameter_rows(model)),
        Section("cache", "Cache of one sequence, 16 bits", _cache_rows(model)),
        Section(
            "unknown", "Why the count cannot be rebuilt", tuple({"why": w} for w in shape.missing(model))
        ),
        Section("source", "Source", ({"source": model.source, "note": model.note},)),
    )
    return Explained(model.id, model.name, tuple(s for s in sections if s.rows))


def _parameter_rows(model: Model) -> tuple[Mapping[str, object], ...]:
    rows: list[Mapping[str, object]] = []
    for what, value in (
        ("total, published", model.total_params_b),
        ("active, published", model.active_params_b),
    ):
        if value is not None:
            rows.append({"part": what, "value": value})
    built = shape.parameters(model)
    if built is not None:
        parts = ("attention", "dense_mlp", "routed_experts", "shared_experts", "router", "embedding", "head")
        counts = {"total, rebuilt": built.total, "active, rebuilt": built.active} | {
            p: getattr(built, p) for p in parts
        }
        rows += [{"part": part, "value": _billions(count)} for part, count in counts.items() if count]
    return tuple(rows)


def _billions(count: int) -> Decimal:
    return (Decimal(count) / 10**9).quantize(Decimal("0.001"))


def _cache_rows(model: Model) -> tuple[Mapping[str, object], ...]:
    grows, fixed = shape.kv_bytes_per_token(model), shape.kv_fixed_bytes(model)
    return (
        {"what": "grows by", "value": grows, "unit": "bytes per token"},
        {"what": "does not grow", "value": fixed, "unit": "bytes per sequence"},
    )


def _without(row: dict[str, object], key: str) -> Mapping[str, object]:
    return {k: v for k, v in row.items() if k != key}
