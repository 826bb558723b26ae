"""How does the whole catalogue look as tables?

The same records as polars frames, for reports, notebooks and joins. Rates, memory and the like are 64-bit floats in
the units that the column names say; what is unknown is null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

import polars as pl

from entrepot.catalogue import shape
from entrepot.catalogue._files import accelerator as find_accelerator
from entrepot.catalogue._files import accelerators, claims, prices
from entrepot.catalogue._models import models
from entrepot.catalogue.explain import ridge_flop_per_byte
from entrepot.catalogue.records import Accelerator, Figure, Model, NumberFormat

__all__ = [
    "accelerators_table",
    "claims_table",
    "compare_table",
    "figures_table",
    "models_table",
    "prices_table",
]

_RATES: Final = {f: f"{f.value}_{'top' if f is NumberFormat.INT8 else 'tflop'}_s" for f in NumberFormat}
_ACCELERATOR: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    **dict.fromkeys(("id", "name", "vendor", "vendor_country", "architecture", "form_factor"), pl.String),
    **dict.fromkeys(("announced", "status", "process_node", "memory_type"), pl.String),
    "marketed_for_datacenter": pl.Boolean,
    **dict.fromkeys(_RATES.values(), pl.Float64),
    **dict.fromkeys(("memory_gb", "memory_bw_gb_s", "scaleup_bw_gb_s"), pl.Float64),
    **dict.fromkeys(("scaleup_domain", "sm_count"), pl.Int64),
    **dict.fromkeys(("die_area_mm2", "transistors_bn", "tdp_w", "ridge_flop_per_byte"), pl.Float64),
    **dict.fromkeys(("confidence", "note"), pl.String),
}


def _float(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def accelerators_table() -> pl.DataFrame:
    """Return one row per accelerator: the used figures, units in the column names, null where unknown."""
    return pl.DataFrame([_accelerator_row(a) for a in accelerators().values()], schema=_ACCELERATOR)


def _accelerator_row(a: Accelerator) -> dict[str, object]:
    row: dict[str, object] = {}
    for column in _ACCELERATOR:
        value = getattr(a, column, None)
        row[column] = float(value) if isinstance(value, Decimal) else value
    row.update({column: _float(a.dense_rate.get(fmt)) for fmt, column in _RATES.items()})
    row["ridge_flop_per_byte"] = _float(ridge_flop_per_byte(a))
    row["confidence"] = a.confidence.value
    return row


def figures_table(accelerator: str | None = None) -> pl.DataFrame:
    """Return one row per figure, of one accelerator or of all: value, unit, confidence, sources, whether it is used.

    ``value`` is the text as the file states it, ``number`` the same as a float where it is a number.

    Raises
    ------
    NotFound, InputError
        as ``catalogue.accelerator`` does
    """
    chips = accelerators().values() if accelerator is None else [find_accelerator(accelerator)]
    schema: dict[str, type[pl.DataType]] = {
        **dict.fromkeys(("accelerator", "figure", "value"), pl.String),
        "number": pl.Float64,
        **dict.fromkeys(("unit", "confidence", "sources"), pl.String),
        "used": pl.Boolean,
        "note": pl.String,
    }
    return pl.DataFrame([_figure_row(f) for a in chips for f in a.figures], schema=schema, orient="row")


def _figure_row(f: Figure) -> tuple[object, ...]:
    number = float(f.value) if isinstance(f.value, Decimal) else None
    text = None if f.value is None else str(f.value)
    return (
        f.subject,
        f.figure,
        text,
        number,
        f.unit,
        f.confidence.value,
        "; ".join(f.sources),
        f.used,
        f.note,
    )


_MODEL_TEXT: Final = (
    *("id", "name", "vendor", "released", "attention", "attention_kind", "native_dtype", "linear_kind"),
    *("source", "note"),
)


def models_table() -> pl.DataFrame:
    """Return one row per model: shape as published, parameters (10^9) and cache (bytes, 16 bits) rebuilt from it."""
    rows = [_model_row(m) for m in models().values()]
    flags = ("tied_embeddings", "attention_gate")
    reals = (
        *("total_params_b", "active_params_b", "total_rebuilt_b", "active_rebuilt_b"),
        *("kv_bytes_per_token", "kv_fixed_bytes"),
    )

    def kind(column: str) -> type[pl.DataType]:
        if column in _MODEL_TEXT:
            return pl.String
        return pl.Boolean if column in flags else pl.Float64 if column in reals else pl.Int64

    return pl.DataFrame(rows, schema={column: kind(column) for column in rows[0]})


def _model_row(m: Model) -> dict[str, object]:
    built = shape.parameters(m)
    row: dict[str, object] = {name: getattr(m, name) for name in Model.__slots__}
    row["total_params_b"], row["active_params_b"] = _float(m.total_params_b), _float(m.active_params_b)
    row["total_rebuilt_b"] = None if built is None else built.total / 1e9
    row["active_rebuilt_b"] = None if built is None else built.active / 1e9
    row["kv_bytes_per_token"] = shape.kv_bytes_per_token(m)
    row["kv_fixed_bytes"] = shape.kv_fixed_bytes(m)
    return row


def prices_table() -> pl.DataFrame:
    """Return one row per price on record; ``value`` in ``currency`` per ``quantity_basis``."""
    text = ("accelerator", "kind", "currency", "quantity_basis", "market", "date", "source", "note")
    return pl.DataFrame(
        [
            (p.id, *(getattr(p, t) for t in text[:2]), float(p.value), *(getattr(p, t) for t in text[2:]))
            for p in prices()
        ],
        schema={
            "id": pl.String,
            "accelerator": pl.String,
            "kind": pl.String,
            "value": pl.Float64,
            **dict.fromkeys(text[2:], pl.String),
        },
        orient="row",
    )


def claims_table() -> pl.DataFrame:
    """Return one row per reported claim; ``stance`` says whether it is asserted or denied."""
    columns: dict[str, type[pl.DataType]] = {
        **dict.fromkeys(("id", "subject", "predicate", "object"), pl.String),
        "value_low": pl.Float64,
        "value_high": pl.Float64,
        **dict.fromkeys(("unit", "as_of", "claimed_by", "stance", "source", "note"), pl.String),
    }
    rows = [
        {c: float(v) if isinstance(v := getattr(claim, c), Decimal) else v for c in columns}
        for claim in claims()
    ]
    return pl.DataFrame(rows, schema=columns)


def compare_table(ids: Sequence[str]) -> pl.DataFrame:
    """Return chips side by side: one row per figure, one column per chip, null where unknown.

    Parameters
    ----------
    ids : two or more accelerators, by id or unambiguous name

    Returns
    -------
    columns ``figure``, ``unit``, then one per chip, in the order asked for

    Raises
    ------
    NotFound, InputError
        as ``catalogue.accelerator`` does
    """
    chips = {a.id: a for a in map(find_accelerator, ids)}
    lines: list[tuple[str, str]] = [
        (f"rate_{f.value}_dense", "TOP/s" if f is NumberFormat.INT8 else "TFLOP/s") for f in NumberFormat
    ]
    rows: list[dict[str, object]] = [
        {"figure": name, "unit": unit, **{i: _float(a.dense_rate.get(fmt)) for i, a in chips.items()}}
        for (name, unit), fmt in zip(lines, NumberFormat, strict=True)
    ]
    for name, unit, attribute in (
        ("memory_capacity", "GB", "memory_gb"),
        ("memory_bandwidth", "GB/s", "memory_bw_gb_s"),
        ("scaleup_bandwidth", "GB/s", "scaleup_bw_gb_s"),
        ("die_area", "mm2", "die_area_mm2"),
        ("tdp", "W", "tdp_w"),
    ):
        rows.append(
            {"figure": name, "unit": unit, **{i: _float(getattr(a, attribute)) for i, a in chips.items()}}
        )
    ridge = {i: _float(ridge_flop_per_byte(a)) for i, a in chips.items()}
    rows.append({"figure": "ridge_bf16", "unit": "FLOP/byte", **ridge})
    schema: dict[str, type[pl.DataType]] = {
        "figure": pl.String,
        "unit": pl.String,
        **dict.fromkeys(chips, pl.Float64),
    }
    return pl.DataFrame(rows, schema=schema)
