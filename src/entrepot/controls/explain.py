"""What does a decision say, in plain words, to somebody who is not a lawyer?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from entrepot.controls import law
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


def explain(decision: Decision) -> str:
    """Return the decision in plain words: the answer, why, on what it rests, what is missing and what would change it."""
    return "\n".join(_lines(decision))


def _lines(d: Decision) -> Iterator[str]:
    t = d.transfer
    places = law.countries()
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
    yield from _list("Not known", d.missing)
    yield from _list("It rests on", (f"{name}: {value}" for name, value in d.inputs.items()))
    yield from _list("What would change it", d.would_change)
    yield f"United States law only, as known on {d.law_known_to}. Other governments' rules are a second gate."
    yield "This is not legal advice."


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
