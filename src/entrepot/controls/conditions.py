"""Does a condition of a rule file hold for this act, this chip, these parties, on this day?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from entrepot.controls import groups
from entrepot.controls.logic import Condition, Leaf, Node, Verdict, all_of, any_of, known, negated
from entrepot.controls.measures import Interval, Measures
from entrepot.controls.records import PartyFacts, Transfer
from entrepot.errors import EntrepotError

__all__ = ["Question", "holds", "stated"]


@dataclass(frozen=True, slots=True)
class Question:
    """All that a condition may ask: the chip's quantities, its possible classes, and the act (absent for a class)."""

    chip: str
    designer: str | None
    measures: Measures
    on: dt.date
    possible: frozenset[str] = frozenset()
    class_missing: frozenset[str] = frozenset()
    transfer: Transfer | None = None

    @property
    def act(self) -> Transfer:
        """The act; conditions on a chip alone never come here."""
        if self.transfer is None:
            raise EntrepotError("a condition on an act was asked of a chip alone")
        return self.transfer


def holds(condition: Condition, question: Question) -> Verdict:
    """Judge a condition in three values; see `entrepot.controls.logic`."""
    if isinstance(condition, Node):
        parts = [holds(child, question) for child in condition.children]
        if condition.operator == "any":
            return any_of(parts)
        return all_of(parts) if condition.operator == "all" else negated(all_of(parts))
    return _leaf(condition, question)


def _leaf(leaf: Leaf, q: Question) -> Verdict:
    if isinstance(leaf.argument, Decimal):
        return _number(leaf.name, leaf.argument, q.measures)
    if isinstance(leaf.argument, tuple):
        return _names(leaf.name, leaf.argument, q)
    if leaf.name == "datacenter":
        same = None if q.measures.datacenter is None else q.measures.datacenter is leaf.argument
        return known(same, "accelerator.marketed_for_datacenter")
    if leaf.name == "authorised":
        if leaf.argument not in q.act.recipient.authorisations:
            return Verdict(value=False, used=frozenset({"recipient.authorisations"}))
        return known(q.act.all_end_users_authorised, "all_end_users_authorised")
    return _fact(str(leaf.argument), q.act)


def _number(name: str, threshold: Decimal, measures: Measures) -> Verdict:
    quantity, _, test = name.rpartition("_")
    interval: Interval = {
        "tpp": measures.tpp,
        "density": measures.density,
        "memory_bw": measures.memory_bw,
        "link": measures.link,
        "io": measures.io,
        "memory_and_io": measures.memory_and_io,
    }[quantity]
    value = interval.reaches(threshold) if test == "min" else interval.below(threshold)
    if value is not None:
        return Verdict(value, frozenset({f"accelerator.{quantity}"}))
    band = f"accelerator.{quantity} to more digits (rounding leaves it open around {threshold})"
    return Verdict(None, frozenset({f"accelerator.{quantity}"}), frozenset(interval.missing or (band,)))


def _names(name: str, wanted: tuple[str, ...], q: Question) -> Verdict:
    match name:
        case "kind":
            return Verdict(q.act.kind.value in wanted, frozenset({"kind"}))
        case "chip":
            return Verdict(q.chip.startswith(wanted), frozenset({"accelerator"}))
        case "item":
            inside = q.possible & set(wanted)
            value = None if inside and inside != q.possible else bool(inside)
            missing = q.class_missing or frozenset({"accelerator: its class"})
            return Verdict(value, frozenset({"item_class"}), missing if value is None else frozenset())
        case "designer":
            return _place(q.designer, wanted, "accelerator.vendor_country", q.on)
        case "origin":
            return _place(q.act.origin, wanted, "origin", q.on)
        case "destination":
            return _place(q.act.destination, wanted, "destination", q.on)
        case "recipient_seat":
            return _seat(q.act.recipient, "recipient", wanted, q.on)
        case _:
            return _seat(q.act.sender, "sender", wanted, q.on)


def _seat(party: PartyFacts, role: str, wanted: Iterable[str], on: dt.date) -> Verdict:
    places = tuple(wanted)
    return any_of(
        (
            _place(party.headquarters, places, f"{role}.headquarters", on),
            _place(party.ultimate_parent_headquarters, places, f"{role}.ultimate_parent_headquarters", on),
        )
    )


def _place(country: str | None, wanted: tuple[str, ...], fact: str, on: dt.date) -> Verdict:
    if country is None:
        return known(None, fact)
    doubt = f"{fact}: whether {country} is in {', '.join(wanted)} on that day"
    return known(groups.member(country, wanted, on), fact, doubt)


def _fact(path: str, act: Transfer) -> Verdict:
    role, _, name = path.rpartition(".")
    facts: Mapping[str, bool | tuple[str, ...] | None]
    if role:
        party = act.sender if role == "sender" else act.recipient
        facts = {
            "military_end_user": party.military_end_user,
            "supercomputer_end_use": party.supercomputer_end_use,
            "knowledge_of_violation": party.knowledge_of_violation,
            "listed_owners": party.listed_owners,
        }
    else:
        facts = {"dd_certificate": act.dd_certificate, "technical_analysis": act.technical_analysis}
    value = facts[name]
    return known(None if value is None else bool(value), path)


def stated(question: Question, item_class: str) -> Mapping[str, str]:
    """Return every input that a condition may read, as a person would write it; unknown says so."""
    act, m = question.act, question.measures
    out = {
        "accelerator": question.chip,
        "item_class": item_class,
        "kind": act.kind.value,
        "origin": _word(act.origin),
        "destination": _word(act.destination),
        "dd_certificate": _word(act.dd_certificate),
        "all_end_users_authorised": _word(act.all_end_users_authorised),
        "technical_analysis": _word(act.technical_analysis),
        "accelerator.vendor_country": _word(question.designer),
        "accelerator.marketed_for_datacenter": _word(m.datacenter),
        "accelerator.tpp": _span(m.tpp, m.tpp_value),
        "accelerator.density": _span(m.density, m.density_value),
        "accelerator.memory_bw": _span(m.memory_bw, None),
        "accelerator.link": _span(m.link, None),
        "accelerator.io": _span(m.io, None),
        "accelerator.memory_and_io": _span(m.memory_and_io, None),
        "provenance.imported_on": _word(act.provenance.imported_on),
        "provenance.authorisation": _word(act.provenance.authorisation),
        "provenance.conditions": _word(act.provenance.conditions),
    }
    for role, party in (("sender", act.sender), ("recipient", act.recipient)):
        out |= {
            f"{role}.headquarters": _word(party.headquarters),
            f"{role}.ultimate_parent_headquarters": _word(party.ultimate_parent_headquarters),
            f"{role}.listings": _word(party.listings),
            f"{role}.military_end_user": _word(party.military_end_user),
            f"{role}.supercomputer_end_use": _word(party.supercomputer_end_use),
            f"{role}.knowledge_of_violation": _word(party.knowledge_of_violation),
            f"{role}.listed_owners": _word(party.listed_owners),
            f"{role}.letters": _word(party.letters),
            f"{role}.authorisations": _word(party.authorisations),
        }
    return out


def _word(value: object) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value) or "none"
    return str(value)


def _span(interval: Interval, value: Decimal | None) -> str:
    if interval.defined is False:
        return "not defined (planar dies only)"
    if interval.high is None:
        return "unknown" if not interval.low else f"at least {_short(interval.low)}"
    if value is None and interval.low == interval.high:
        return _short(interval.low)
    band = f"{_short(interval.low)} to {_short(interval.high)}"
    return band if value is None else f"{_short(value)} (published rounding: {band})"


def _short(value: Decimal) -> str:
    return f"{value:.4g}" if abs(value) < 100 else f"{value:.0f}"
