"""What does a decision say, in plain words, to somebody who is not a lawyer?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from entrepot.controls import groups
from entrepot.controls.records import Decision, Outcome, Reason, ReviewPolicy, TransferKind

__all__ = ["explain"]

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
}
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


def explain(decision: Decision) -> str:
    """Return the decision in plain words: the answer, why, on what it rests, what is missing and what would change it."""
    return "\n".join(_lines(decision))


def _lines(d: Decision) -> Iterator[str]:
    t = d.transfer
    places = groups.countries()
    target = places.get(t.destination or "", "a place that is not stated")
    act = _ACT[t.kind]
    way = {
        TransferKind.EXPORT: f" to {target}",
        TransferKind.REEXPORT: f" to {target}",
        TransferKind.DOMESTIC: "",
    }
    policy = f"; {_POLICY[d.review_policy]}" if d.review_policy else ""
    yield f"{_ANSWER[d.outcome]}{policy}."
    yield f"  {t.accelerator}, {act}{way.get(t.kind, f' {target}')}, on {t.on}. Class: {d.item_class}."
    if d.codified_outcome is not None and d.codified_outcome is not d.outcome:
        yield f"  By the text alone: {_ANSWER[d.codified_outcome].lower()}. The answer above is the one that is enforced."
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
    yield f"United States law only, as known on {d.law_known_to}. Other governments' rules are a second gate."
    yield "This is not legal advice."


def _glossed(fact: str) -> str:
    role, _, name = fact.partition(".")
    gloss = _GLOSS.get(fact) or (_GLOSS.get(name) if role in {"sender", "recipient"} else None)
    return f"{fact}: {gloss}" if gloss else fact


def _reasons(reasons: Iterable[Reason]) -> Iterator[str]:
    for r in reasons:
        since = f", since {r.effective}" if r.effective else ""
        yield f"  - {r.text}"
        yield f"    [{r.citation}; {r.status}{since}]"


def _list(title: str, items: Iterable[str]) -> Iterator[str]:
    rows = list(items)
    if rows:
        yield title
        yield from (f"  - {row}" for row in rows)
