"""Can an act be read at all? Checked once, before any rule is asked; every fault is said, not the first."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal

from entrepot.controls import groups, law
from entrepot.controls.records import ItemForm, StatedFigures, Transfer, TransferKind
from entrepot.errors import Fault, InputError, nearest

__all__ = ["check"]


def check(t: Transfer) -> None:
    """Raise every fault of an act at once.

    Raises
    ------
    InputError
        A country that does not exist, a kind that does not fit its countries, an import after the act, memory without
        its figures, an answer to a question that nobody asks.
    """
    faults: list[Fault] = []
    codes = groups.countries()
    places = {
        "origin": t.origin,
        "destination": t.destination,
        "provenance.imported_from": t.provenance.imported_from,
        "sender.headquarters": t.sender.headquarters,
        "sender.ultimate_parent_headquarters": t.sender.ultimate_parent_headquarters,
        "recipient.headquarters": t.recipient.headquarters,
        "recipient.ultimate_parent_headquarters": t.recipient.ultimate_parent_headquarters,
    }
    for n, other in enumerate(t.others):
        places[f"others.{n}.headquarters"] = other.party.headquarters
        places[f"others.{n}.ultimate_parent_headquarters"] = other.party.ultimate_parent_headquarters
    places |= {f"via.{n}": code for n, code in enumerate(t.via)}
    for where, code in places.items():
        if code is not None and code not in codes:
            near = nearest(code.upper(), list(codes))
            mend = f"Write an ISO 3166-1 alpha-2 code{', such as ' + ', '.join(near) if near else ''}."
            faults.append(Fault(where, f"{code!r} is no country code", mend))
    faults += _route(t)
    if t.provenance.imported_on is not None and t.provenance.imported_on > t.on:
        what = f"the units are imported on {t.provenance.imported_on}, after the act of {t.on}"
        faults.append(
            Fault("provenance.imported_on", what, "Write the day on which they came, or leave it out.")
        )
    faults += _item(t)
    if faults:
        raise InputError(faults)


def _item(t: Transfer) -> list[Fault]:
    faults = []
    if (t.form is ItemForm.HBM) is not (t.hbm is not None):
        mend = "Give both the form 'hbm' and the memory's bandwidth and area, or neither."
        faults.append(
            Fault("form", f"the form is {t.form.value!r} and the memory's figures are {t.hbm}", mend)
        )
    if t.hbm is not None and (t.hbm.bandwidth_gb_s <= 0 or t.hbm.area_mm2 <= 0):
        faults.append(Fault("hbm", f"{t.hbm} has a figure that is not above zero", "Write GB/s and mm2."))
    for name, value in () if t.figures is None else _numbers(t.figures):
        if value < 0:
            faults.append(
                Fault(f"figures.{name}", f"{value} is below zero", "Write the figure as published.")
            )
    for asked in t.stated:
        if asked not in law.questions():
            near = nearest(asked, list(law.questions()))
            mend = f"Known are {', '.join(near or law.questions())}."
            faults.append(Fault(f"stated.{asked}", "no rule asks this question", mend))
    return faults


def _numbers(figures: StatedFigures) -> list[tuple[str, Decimal]]:
    """Return the figures that are numbers and stated."""
    held = [(f.name, getattr(figures, f.name)) for f in fields(figures)]
    return [(name, value) for name, value in held if isinstance(value, Decimal)]


def _route(t: Transfer) -> list[Fault]:
    """Faults of a kind that does not fit its countries."""
    start = None if t.origin is None else groups.ear_country(t.origin)
    end = None if t.destination is None else groups.ear_country(t.destination)
    same = start is not None and end is not None and start == end
    apart = start is not None and end is not None and start != end
    match t.kind:
        case TransferKind.EXPORT if start not in (None, "US"):
            return [_misfit(t, "an export leaves the United States", "re-export")]
        case TransferKind.EXPORT if end == "US":
            return [_misfit(t, "an export leaves the United States", "domestic")]
        case TransferKind.REEXPORT if start == "US":
            return [_misfit(t, "a re-export leaves a foreign country", "export")]
        case TransferKind.REEXPORT if same:
            return [_misfit(t, "a re-export goes to another country", "transfer-in-country")]
        case TransferKind.IN_COUNTRY if apart:
            return [_misfit(t, "a transfer in-country stays in its country", "re-export")]
        case TransferKind.IN_COUNTRY if "US" in (start, end):
            return [_misfit(t, "a transfer in-country is inside a foreign country", "domestic")]
        case TransferKind.DOMESTIC if {start, end} - {None, "US"}:
            return [_misfit(t, "domestic supply stays in the United States", "export")]
        case TransferKind.USE if apart:
            return [_misfit(t, "use leaves the units where they are", "re-export")]
        case TransferKind.COMPUTE_LEASE if apart:
            return [_misfit(t, "a lease leaves the machine where it is", "re-export")]
        case _:
            return []


def _misfit(t: Transfer, rule: str, better: str) -> Fault:
    what = f"{t.kind.value} from {t.origin or 'an unknown place'} to {t.destination or 'an unknown place'}: {rule}"
    return Fault("kind", what, f"Write {better!r}, or correct the countries (Hong Kong counts as China).")
