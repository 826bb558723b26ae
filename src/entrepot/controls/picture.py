"""How is a matrix drawn? As one web page that needs no script and no network, or as one SVG; each cell has colour, sign and word."""

from __future__ import annotations

import datetime as dt
import textwrap
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from entrepot.controls import groups
from entrepot.controls.explain import about
from entrepot.controls.matrix import ASSUMED, Axis, Matrix
from entrepot.controls.records import Outcome, ReviewPolicy, TransferKind

__all__ = ["SIGN", "WORD", "html", "short", "svg", "title"]

SIGN = {
    Outcome.NO_LICENCE: "○",
    Outcome.EXCEPTION: "◐",
    Outcome.LICENCE_REQUIRED: "●",
    Outcome.PROHIBITED: "✕",
    Outcome.UNKNOWN: "?",
}
WORD = {
    Outcome.NO_LICENCE: "no licence",
    Outcome.EXCEPTION: "exception",
    Outcome.LICENCE_REQUIRED: "licence",
    Outcome.PROHIBITED: "prohibited",
    Outcome.UNKNOWN: "not known",
}
_MEANS = {
    Outcome.NO_LICENCE: "no licence is required",
    Outcome.EXCEPTION: "permitted under a licence exception, if its conditions are met",
    Outcome.LICENCE_REQUIRED: "a licence is required",
    Outcome.PROHIBITED: "prohibited",
    Outcome.UNKNOWN: "cannot be decided: not permission",
}
_POLICY = {
    ReviewPolicy.APPROVAL: "approval presumed",
    ReviewPolicy.CASE_BY_CASE: "case by case",
    ReviewPolicy.DENIAL: "denial presumed",
    ReviewPolicy.POLICY_OF_DENIAL: "policy of denial",
    ReviewPolicy.NOT_STATED: "review not stated",
}
_ACT = {
    TransferKind.EXPORT: "Export from the United States",
    TransferKind.REEXPORT: "Re-export",
    TransferKind.IN_COUNTRY: "Transfer inside the country",
    TransferKind.COMPUTE_LEASE: "Lease of compute to a tenant",
    TransferKind.DOMESTIC: "Supply inside the United States",
}
_SHOWN = 5
_CELL, _ROW, _LABEL, _LINE = 112, 54, 316, 12


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    lines: tuple[str, ...]


def title(m: Matrix) -> str:
    """Return what the picture is of, in one line."""
    act = _ACT.get(m.kind, m.kind.value.replace("-", " ").capitalize())
    origin = f" from {groups.countries()[m.origin]}" if m.origin and m.kind is TransferKind.REEXPORT else ""
    seat = (
        f"a party headquartered in {groups.countries()[m.headquarters]}"
        if m.headquarters
        else "a party headquartered where it goes"
    )
    return f"{act}{origin} to {seat}, on {m.on}"


def html(m: Matrix, *, made_on: dt.date) -> str:
    """Return the picture as a web page."""
    return _environment().get_template("matrix.html").render(**_view(m, made_on))


def svg(m: Matrix, *, made_on: dt.date) -> str:
    """Return the picture as an SVG."""
    heads = [textwrap.wrap(short(c, 3), 15)[:6] for c in m.columns]
    top = 64 + _LINE * max((len(h) for h in heads), default=1)
    cells = []
    labels = []
    for i, (row, numbers) in enumerate(zip(m.rows, m.cells, strict=True)):
        y = top + i * _ROW
        lines = textwrap.wrap(short(row, 6), 48)[:3]
        labels.append(_Text(8, y + 14, (row.item_class, *lines)))
        cells += [(_LABEL + j * _CELL, y, m.answers[n - 1] if n else None) for j, n in enumerate(numbers)]
    headings = [
        _Text(_LABEL + j * _CELL + 4, top - 6 - _LINE * (len(h) - 1), tuple(h)) for j, h in enumerate(heads)
    ]
    bottom = top + len(m.rows) * _ROW
    return (
        _environment()
        .get_template("matrix.svg")
        .render(
            **_view(m, made_on),
            width=max(_LABEL + len(m.columns) * _CELL + 8, 900),
            height=bottom + 118,
            top=top,
            bottom=bottom,
            cell=_CELL,
            row=_ROW,
            line=_LINE,
            labels=labels,
            headings=headings,
            squares=cells,
        )
    )


def short(axis: Axis, most: int = _SHOWN) -> str:
    """Return the names of a row or column, the first of them where there are many."""
    if len(axis.names) <= most + 1:
        return ", ".join(axis.names)
    return f"{', '.join(axis.names[:most])} and {len(axis.names) - most} more"


def _view(m: Matrix, made_on: dt.date) -> dict[str, Any]:
    used = {a.outcome for a in m.answers}
    return {
        "m": m,
        "title": title(m),
        "about": about(made_on),
        "assumed": ASSUMED,
        "legend": [(o.value, SIGN[o], _MEANS[o]) for o in Outcome if o in used],
        "columns": [(short(c), c) for c in m.columns],
        "rows": [(short(r), r, numbers) for r, numbers in zip(m.rows, m.cells, strict=True)],
        "sign": SIGN,
        "word": WORD,
        "policy": _POLICY,
        "lacks": {a.number: _lacks(a.missing) for a in m.answers},
        "many_columns": [c for c in m.columns if len(c.names) > _SHOWN + 1],
        "many_rows": [r for r in m.rows if len(r.names) > _SHOWN + 1],
    }


def _lacks(missing: tuple[str, ...]) -> str:
    more = f" and {len(missing) - _SHOWN} facts more" if len(missing) > _SHOWN else ""
    return "; ".join(missing[:_SHOWN]) + more


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("entrepot.controls"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
