"""What does a decision say, in plain words, to somebody who is not a lawyer?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from entrepot.controls import groups, law
from entrepot.controls._toml import amended_from
from entrepot.controls.records import (
    Decision,
    Gate,
    GateAnswer,
    ItemForm,
    Outcome,
    Reason,
    ReviewPolicy,
    Step,
    TransferKind,
)

__all__ = ["about", "explain", "fact_in_words", "gate_in_words", "in_brief"]

_ANSWER = {
    Outcome.NO_LICENCE: "No licence is required",
    Outcome.EXCEPTION: "Permitted under an exception, if its conditions are met",
    Outcome.LICENCE_REQUIRED: "A licence is required",
    Outcome.PROHIBITED: "Prohibited",
    Outcome.UNKNOWN: "Cannot be decided; this is not permission",
}
_POLICY = {
    ReviewPolicy.APPROVAL: "an application would be presumed to be approved",
    ReviewPolicy.CASE_BY_CASE: "an application would be looked at case by case",
    ReviewPolicy.DENIAL: "an application would be presumed to be denied",
    ReviewPolicy.POLICY_OF_DENIAL: "applications are denied as a matter of policy",
    ReviewPolicy.NOT_STATED: "no text states how an application would be looked at",
}
_ACT = {
    TransferKind.EXPORT: "export from the United States",
    TransferKind.REEXPORT: "re-export",
    TransferKind.IN_COUNTRY: "transfer inside",
    TransferKind.COMPUTE_LEASE: "lease of compute in",
    TransferKind.DOMESTIC: "supply inside the United States",
    TransferKind.POSSESSION_LEASE: "lease with possession",
    TransferKind.LICENCE_KEY: "release of a key",
    TransferKind.USE: "use and service in",
}
_FORM = {ItemForm.CHIP: "", ItemForm.SYSTEM: " in a system", ItemForm.HBM: " (memory alone)"}
_GATE = {
    GateAnswer.REPORTED_BLOCK: "a block is reported",
    GateAnswer.REPORTED_CONDITIONS: "approval under conditions is reported",
    GateAnswer.PERMIT_NEEDED: "a permit is needed",
    GateAnswer.CONFLICT: "the laws conflict, and this answer does not resolve it",
    GateAnswer.UNKNOWN: "not known",
}
_VALUE = {True: "met", False: "not met", None: "not known"}
_GLOSS = {
    "dd_certificate": "whether the certificate of 748 Supp. 2(dd), or the commitment to file it, goes with the application",
    "all_end_users_authorised": "whether every end user holds the recipient's authorisation",
    "headquarters": "where it is headquartered",
    "ultimate_parent_headquarters": "where its ultimate parent is headquartered",
    "listings": "whether it stands on a restricted-party list",
    "military_end_user": "whether it is a military or military-intelligence end user",
    "supercomputer_end_use": "whether a supercomputer end use is known",
    "knowledge_of_violation": "whether it knows of a violation in the item",
    "listed_owners": "which listed parties own it",
    "provenance.imported_on": "when the units came to where they are",
    "provenance.authorisation": "under which authorisation they came",
    "provenance.conditions": "which conditions that authorisation carries",
    "accelerator.vendor_country": "where the chip's designer is headquartered",
    "accelerator.marketed_for_datacenter": "whether it is designed or marketed for data centres",
    "accelerator.die_area_mm2": "area of the logic dies",
    "accelerator.process_node": "the node on which the logic dies are made",
    "accelerator.memory_bw_gb_s": "memory bandwidth",
    "accelerator.scaleup_bw_gb_s": "link bandwidth",
    "accelerator.host_link": "host interface",
}


def about(asked_on: dt.date | None = None) -> str:
    """Return what every answer says of itself: whose law, how old, and that it is no advice."""
    age = "" if asked_on is None else f", {(asked_on - law.LAW_KNOWN_TO).days} days before this answer"
    folder = amended_from()
    whose = "" if folder is None else f" Rule files amended from {folder}."
    return f"United States law only, as known on {law.LAW_KNOWN_TO}{age}.{whose} This is not legal advice."


def explain(decision: Decision, *, asked_on: dt.date | None = None) -> str:
    """Return the decision in plain words: the answer, why, on what it rests, what is missing and what would change it.

    Parameters
    ----------
    asked_on : the day of the answer, from which the age of the known law is counted; nothing here asks the clock
    """
    return "\n".join(_lines(decision, asked_on))


def _lines(d: Decision, asked_on: dt.date | None) -> Iterator[str]:
    t = d.transfer
    places = groups.countries()
    target = places.get(t.destination or "", "a place that is not stated")
    act = _ACT[t.kind]
    way = {
        TransferKind.EXPORT: f" to {target}",
        TransferKind.REEXPORT: f" to {target}",
        TransferKind.POSSESSION_LEASE: f" to {target}",
        TransferKind.LICENCE_KEY: f" to {target}",
        TransferKind.DOMESTIC: "",
    }
    policy = f"; {_POLICY[d.review_policy]}" if d.review_policy else ""
    if d.practice is not None:
        policy += f" (in practice: {d.practice.value.replace('_', ' ')})"
    yield f"{_ANSWER[d.outcome]}{policy}."
    item = f"{t.accelerator}{_FORM[t.form]}"
    yield f"  {item}, {act}{way.get(t.kind, f' {target}')}, on {t.on}. Class: {d.item_class}."
    if d.codified_outcome is not None and d.codified_outcome is not d.outcome:
        later = d.transfer.on > d.law_known_to
        tail = (
            "That reads the last known text forward; it is not an answer."
            if later
            else "The answer above is the one that is enforced."
        )
        yield f"  By the text alone: {_ANSWER[d.codified_outcome].lower()}. {tail}"
    beside = dict.fromkeys(
        f"{g.government}: {_GATE[g.answer]}" for g in d.gates if g.answer is not GateAnswer.UNKNOWN
    )
    if beside:
        yield f"  Beside it, other governments' gate: {'; '.join(beside)}."
    yield ""
    yield "Why"
    yield from _reasons(r for r in d.reasons if r.outcome is d.outcome)
    others = [r for r in d.reasons if r.outcome is not d.outcome]
    if others:
        yield "Also looked at"
        yield from _reasons(others)
    yield from _list("Conditions", d.conditions)
    yield from _list("Not known", (_glossed(fact) for fact in d.missing))
    yield from _list("It rests on", (f"{name}: {value}" for name, value in d.inputs.items()))
    yield from _list("What would change it", d.would_change)
    yield from _list("Second gate: other governments, beside this answer", (_gate(g) for g in d.gates))
    yield from _list("Every step", (_step(step) for step in d.trace))
    if not d.gates:
        yield "Other governments' rules are a second gate; no measure in the files bears on this act."
    yield about(asked_on)


def _gate(g: Gate) -> str:
    lacks = f" Not known: {'; '.join(map(_glossed, g.missing))}." if g.missing else ""
    return f"{g.government}: {_GATE[g.answer]} ({g.confidence}, since {g.effective}). {g.text}{lacks} [{g.citation}]"


def _step(s: Step) -> str:
    since = f" of {s.version}" if s.version else ""
    read = f"; read {', '.join(s.used)}" if s.used else ""
    lacks = f"; lacks {', '.join(s.missing)}" if s.missing else ""
    return f"{s.stage} {s.rule}{since}: {_VALUE[s.value]}{read}{lacks}"


def _glossed(fact: str) -> str:
    role, _, name = fact.partition(".")
    if role == "stated":
        return f"{fact}: whether {law.questions().get(name, name)}"
    gloss = _GLOSS.get(fact) or (_GLOSS.get(name) if role not in {"accelerator", "provenance"} else None)
    return f"{fact}: {gloss}" if gloss else fact


def _reasons(reasons: Iterable[Reason]) -> Iterator[str]:
    for r in reasons:
        since = f", since {r.effective}" if r.effective else ""
        if r.compliance is not None:
            since += f", to be met by {r.compliance}"
        yield f"  - {r.text}"
        yield f"    [{r.citation}; {r.status}{since}]"


def _list(title: str, items: Iterable[str]) -> Iterator[str]:
    rows = list(items)
    if rows:
        yield title
        yield from (f"  - {row}" for row in rows)


def in_brief(decision: Decision) -> tuple[str, str]:
    """Return the answer, and the act that it is about, in one line each."""
    lines = _lines(decision, None)
    return next(lines), next(lines).strip()


def gate_in_words(gate: Gate) -> str:
    """Return a measure of another government in one line."""
    return _gate(gate)


def fact_in_words(fact: str) -> str:
    """Return the name of a fact with what it asks."""
    return _glossed(fact)
