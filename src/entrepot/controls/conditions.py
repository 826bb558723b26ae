"""Does a condition of a rule file hold for this act, this chip, these parties, on this day?"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from entrepot.controls import groups
from entrepot.controls.logic import Condition, Leaf, Node, Verdict, all_of, any_of, known, negated
from entrepot.controls.measures import Interval, Measures
from entrepot.controls.records import PartyFacts, Role, Step, Transfer, TransferKind
from entrepot.errors import EntrepotError

__all__ = ["Question", "holds", "legal_kinds", "parties", "receiving", "stated"]

_MOVE_BY_ROUTE = frozenset({TransferKind.POSSESSION_LEASE, TransferKind.LICENCE_KEY})


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
    made_for_china: bool = False
    steps: list[Step] | None = None  # the trace, where one is wanted

    @property
    def act(self) -> Transfer:
        """The act; conditions on a chip alone never come here."""
        if self.transfer is None:
            raise EntrepotError("a condition on an act was asked of a chip alone")
        return self.transfer

    def note(self, stage: str, rule: str, version: dt.date | None, citation: str, verdict: Verdict) -> None:
        """Keep one step of the evaluation, where a trace is wanted."""
        if self.steps is not None:
            since = None if version == dt.date.min else version
            item = " or ".join(sorted(self.possible))
            read = stated(self, item, sorted(verdict.used)) if self.transfer is not None else {}
            used = tuple(f"{name}={value}" for name, value in read.items())
            missing = tuple(sorted(verdict.missing))
            self.steps.append(Step(stage, rule, since, citation, verdict.value, used, missing))


def legal_kinds(act: Transfer) -> frozenset[TransferKind]:
    """Return what an act may be in law: a lease in which possession passes, or a key, is the move that its route makes."""
    if act.kind not in _MOVE_BY_ROUTE:
        return frozenset({act.kind})
    start = None if act.origin is None else groups.ear_country(act.origin)
    end = None if act.destination is None else groups.ear_country(act.destination)
    moves = frozenset({TransferKind.EXPORT, TransferKind.REEXPORT, TransferKind.IN_COUNTRY})
    if start is None:
        return moves
    if start == "US":
        return frozenset({TransferKind.DOMESTIC if end == "US" else TransferKind.EXPORT})
    if end is None:
        return moves - {TransferKind.EXPORT}
    return frozenset({TransferKind.IN_COUNTRY if start == end else TransferKind.REEXPORT})


def parties(act: Transfer) -> tuple[tuple[str, PartyFacts], ...]:
    """Return every party with the name of its role; several of one role are numbered by id, not by order."""
    if not act.others:
        return (("sender", act.sender), ("recipient", act.recipient))
    named: list[tuple[str, PartyFacts]] = [("sender", act.sender), ("recipient", act.recipient)]
    seen: Counter[str] = Counter()
    for other in sorted(act.others, key=lambda o: (o.role, o.party.id, repr(o.party))):
        seen[other.role] += 1
        count = seen[other.role]
        named.append((other.role.value if count == 1 else f"{other.role.value} {count}", other.party))
    return tuple(named)


def receiving(act: Transfer) -> tuple[tuple[str, PartyFacts], ...]:
    """Return the parties whose seat and end use count: all but the sender and those who only carry."""
    return tuple((role, p) for role, p in parties(act)[1:] if not role.startswith(Role.FORWARDER))


def holds(condition: Condition, question: Question) -> Verdict:
    """Judge a condition in three values; see `entrepot.controls.logic`."""
    if isinstance(condition, Node):
        parts: list[Verdict] = []
        for child in condition.children:
            verdict = holds(child, question)
            if verdict.value is False and condition.operator == "all":
                return verdict  # what is beside it cannot matter
            parts.append(verdict)
        if condition.operator == "any":
            return any_of(parts)
        return all_of(parts) if condition.operator == "all" else negated(all_of(parts))
    return _leaf(condition, question)


def _leaf(leaf: Leaf, q: Question) -> Verdict:
    if isinstance(leaf.argument, Decimal):
        return _number(leaf.name, leaf.argument, q)
    if isinstance(leaf.argument, tuple):
        return _names(leaf.name, leaf.argument, q)
    if leaf.name == "datacenter":
        same = None if q.measures.datacenter is None else q.measures.datacenter is leaf.argument
        return known(same, "accelerator.marketed_for_datacenter")
    if leaf.name == "made_for_china":
        return Verdict(q.made_for_china is leaf.argument, frozenset({"accelerator.made_for_china"}))
    if leaf.name == "authorised":
        return _authorised(str(leaf.argument), q.act)
    if leaf.name == "asked":
        return known(q.act.stated.get(str(leaf.argument)), f"stated.{leaf.argument}")
    return _fact(str(leaf.argument), q.act)


def _number(name: str, threshold: Decimal, q: Question) -> Verdict:
    quantity, _, test = name.rpartition("_")
    if quantity == "hbm_density":
        hbm = None if q.transfer is None else q.transfer.hbm
        if hbm is None:
            return Verdict(value=False, used=frozenset({"form"}))
        value = hbm.density > threshold if test == "above" else hbm.density < threshold
        return Verdict(value, frozenset({"hbm.density"}))
    measures = q.measures
    interval: Interval = {
        "tpp": measures.tpp,
        "density": measures.density,
        "memory_bw": measures.memory_bw,
        "link": measures.link,
        "io": measures.io,
        "memory_and_io": measures.memory_and_io,
    }[quantity]
    found = interval.reaches(threshold) if test == "min" else interval.below(threshold)
    if found is not None:
        return Verdict(found, frozenset({f"accelerator.{quantity}"}))
    band = f"accelerator.{quantity} to more digits (rounding leaves it open around {threshold})"
    return Verdict(None, frozenset({f"accelerator.{quantity}"}), frozenset(interval.missing or (band,)))


def _names(name: str, wanted: tuple[str, ...], q: Question) -> Verdict:
    match name:
        case "kind":
            maybe, sought = legal_kinds(q.act), groups.kinds(wanted)
            inside = maybe & sought
            value = None if inside and inside != maybe else bool(inside)
            return known(value, "kind", "origin")
        case "form":
            return Verdict(q.act.form.value in wanted, frozenset({"form"}))
        case "chip":
            return Verdict(q.chip.startswith(wanted), frozenset({"accelerator"}))
        case "item":
            found = q.possible & set(wanted)
            value = None if found and found != q.possible else bool(found)
            missing = q.class_missing or frozenset({"accelerator: its class"})
            return Verdict(value, frozenset({"item_class"}), missing if value is None else frozenset())
        case "designer":
            return _place(q.designer, wanted, "accelerator.vendor_country", q.on)
        case "origin":
            return _place(q.act.origin, wanted, "origin", q.on)
        case "destination":
            return _place(q.act.destination, wanted, "destination", q.on)
        case "via":
            return any_of([_place(c, wanted, "via", q.on) for c in q.act.via] or [Verdict(value=False)])
        case "recipient_seat":
            return any_of(_seat(p, role, wanted, q.on) for role, p in receiving(q.act))
        case "recipient_seat_all":
            return all_of(_seat_all(p, role, wanted, q.on) for role, p in receiving(q.act))
        case "sender_seat_all":
            return _seat_all(q.act.sender, "sender", wanted, q.on)
        case _:
            return _seat(q.act.sender, "sender", wanted, q.on)


def _seat(party: PartyFacts, role: str, wanted: tuple[str, ...], on: dt.date) -> Verdict:
    return any_of(_seats(party, role, wanted, on))


def _seat_all(party: PartyFacts, role: str, wanted: tuple[str, ...], on: dt.date) -> Verdict:
    return all_of(_seats(party, role, wanted, on))


def _seats(party: PartyFacts, role: str, wanted: tuple[str, ...], on: dt.date) -> tuple[Verdict, Verdict]:
    return (
        _place(party.headquarters, wanted, f"{role}.headquarters", on),
        _place(party.ultimate_parent_headquarters, wanted, f"{role}.ultimate_parent_headquarters", on),
    )


def _place(country: str | None, wanted: tuple[str, ...], fact: str, on: dt.date) -> Verdict:
    if country is None:
        return known(None, fact)
    doubt = f"{fact}: whether {country} is in {', '.join(wanted)} on that day"
    return known(groups.member(country, wanted, on), fact, doubt)


def _authorised(name: str, act: Transfer) -> Verdict:
    """Whether the consignee and every end user hold an authorisation; purchasers and intermediates need not."""
    if name not in act.recipient.authorisations:
        return Verdict(value=False, used=frozenset({"recipient.authorisations"}))
    named = [o.party for o in act.others if o.role in {Role.END_USER, Role.ULTIMATE_CONSIGNEE}]
    if not all(name in party.authorisations for party in named):
        return Verdict(value=False, used=frozenset({"end-user.authorisations"}))
    return known(act.all_end_users_authorised, "all_end_users_authorised")


def _fact(path: str, act: Transfer) -> Verdict:
    role, _, name = path.rpartition(".")
    if role == "recipient":
        return any_of(known(_party_fact(p, name), f"{r}.{name}") for r, p in receiving(act))
    if role == "party":
        return any_of(known(_party_fact(p, name), f"{r}.{name}") for r, p in parties(act))
    if role:
        return known(_party_fact(act.sender, name), path)
    facts: Mapping[str, bool | None] = {
        "dd_certificate": act.dd_certificate,
        "technical_analysis": act.technical_analysis,
    }
    return known(facts[name], path)


def _party_fact(party: PartyFacts, name: str) -> bool | None:
    facts: Mapping[str, bool | tuple[str, ...] | None] = {
        "military_end_user": party.military_end_user,
        "supercomputer_end_use": party.supercomputer_end_use,
        "knowledge_of_violation": party.knowledge_of_violation,
        "listed_owners": party.listed_owners,
    }
    value = facts[name]
    return None if value is None else bool(value)


def stated(question: Question, item_class: str, names: Iterable[str]) -> Mapping[str, str]:
    """Return the named inputs as a person would write them; unknown says so, and what is no input is left out."""
    act, m = question.act, question.measures
    by_role = dict(parties(act))
    out: dict[str, str] = {}
    for name in names:
        head, _, rest = name.partition(".")
        if head in by_role and rest:
            out[name] = _word(getattr(by_role[head], rest))
        elif name == "item_class":
            out[name] = item_class
        elif name == "accelerator":
            out[name] = question.chip
        elif head == "accelerator":
            out[name] = _quantity(rest, question.designer, question.made_for_china, m)
        elif head == "stated":
            out[name] = _word(act.stated.get(rest))
        elif head in {"provenance", "hbm"}:
            held = getattr(act, head)
            out[name] = _word(None if held is None else getattr(held, rest))
        elif hasattr(act, name):
            value = getattr(act, name)
            out[name] = _word(tuple(sorted(value)) if isinstance(value, tuple) else value)
    return out


def _quantity(name: str, designer: str | None, made_for_china: bool, m: Measures) -> str:  # noqa: FBT001
    match name:
        case "vendor_country":
            return _word(designer)
        case "marketed_for_datacenter":
            return _word(m.datacenter)
        case "made_for_china":
            return _word(made_for_china)
        case "tpp":
            return _span(m.tpp, m.tpp_value)
        case "density":
            return _span(m.density, m.density_value)
        case _:
            return _span(getattr(m, name), None)


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
