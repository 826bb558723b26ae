"""What does each rule find on one act?

Every function returns findings: a reason, and the inputs that it rests on. A rule whose condition is false finds
nothing; a rule whose condition cannot be judged finds "unknown" and names the facts that it lacks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from entrepot.controls import law
from entrepot.controls.conditions import Question, holds
from entrepot.controls.logic import Verdict, all_of
from entrepot.controls.records import Outcome, Reason, ReviewPolicy, TransferKind

__all__ = [
    "MOVES",
    "Finding",
    "letter_findings",
    "letter_reach",
    "listing_findings",
    "no_text",
    "rule_findings",
]

MOVES = frozenset({TransferKind.EXPORT, TransferKind.REEXPORT, TransferKind.IN_COUNTRY})


@dataclass(frozen=True, slots=True)
class Finding:
    """A reason, the inputs behind it, and what comes with it."""

    reason: Reason
    used: frozenset[str] = frozenset()
    conditions: tuple[str, ...] = ()
    change: tuple[str, ...] = ()
    list_based: bool = field(default=False)


def rule_findings(question: Question, words: Mapping[str, str]) -> Iterator[Finding]:
    """Judge every dated rule; licence exceptions and review policies are applied where they bear.

    Parameters
    ----------
    words : what a text may name in braces: the chip, its class, the destination and so on
    """
    for rule in law.rules():
        version = law.version_on(rule.versions, question.on)
        if version is None:
            continue
        verdict = holds(version.when, question)
        if verdict.value is False:
            continue
        if verdict.value is None:
            if version.outcome not in (None, Outcome.NO_LICENCE):
                yield _open(rule, version, verdict)
            continue
        finding = Finding(
            reason=Reason(
                rule=rule.id,
                citation=version.cite,
                outcome=version.outcome,
                text=version.text.format_map(words),
                source=version.source,
                status=version.status,
                codified=version.codified,
                policy=version.policy,
                effective=version.since,
                missing=(f"counsel's view on {rule.title}",) if version.outcome is Outcome.UNKNOWN else (),
            ),
            used=verdict.used,
            conditions=version.conditions,
            change=rule.change,
            list_based=rule.list_based,
        )
        yield from _excepted(finding, question) if rule.list_based else (finding,)


def _open(rule: law.Rule, version: law.Version, verdict: Verdict) -> Finding:
    missing = tuple(sorted(verdict.missing))
    reason = Reason(
        rule=rule.id,
        citation=version.cite,
        outcome=Outcome.UNKNOWN,
        text=f"Cannot be decided: {rule.title}. Not known: {'; '.join(missing)}.",
        source=version.source,
        status=version.status,
        effective=version.since,
        missing=missing,
    )
    return Finding(reason, verdict.used, change=rule.change, list_based=rule.list_based)


def _excepted(finding: Finding, question: Question) -> Iterator[Finding]:
    """Overcome a list-based requirement where an exception fits; else attach its review policy."""
    open_exceptions: set[str] = set()
    for exception in law.exceptions():
        in_force = law.version_on((exception,), question.on) is not None
        if not in_force or finding.reason.rule not in exception.overcomes:
            continue
        verdict = holds(exception.when, question)
        if verdict.value is None:
            open_exceptions |= verdict.missing
        if verdict.value:
            by = "Overcome by" if exception.outcome is Outcome.EXCEPTION else "Its exception is open:"
            text = f"{finding.reason.text} {by} {exception.name}."
            yield replace(finding, reason=replace(finding.reason, outcome=None, text=text))
            reason = Reason(
                rule=exception.id,
                citation=exception.cite,
                outcome=exception.outcome,
                text=exception.text,
                source=exception.source,
                effective=exception.effective,
                missing=("which of the two texts prevails",) if exception.outcome is Outcome.UNKNOWN else (),
            )
            yield Finding(reason, verdict.used, exception.conditions, finding.change, list_based=True)
            return
    yield _reviewed(finding, question, open_exceptions)


def _reviewed(finding: Finding, question: Question, open_exceptions: set[str]) -> Finding:
    missing = set(open_exceptions)
    for review in law.reviews():
        if finding.reason.rule not in review.rules or law.version_on((review,), question.on) is None:
            continue
        verdict = holds(review.when, question)
        missing |= verdict.missing
        closed = review.policy in {ReviewPolicy.DENIAL, ReviewPolicy.POLICY_OF_DENIAL}
        if verdict.value or (verdict.value is None and closed):
            reason = replace(
                finding.reason,
                policy=review.policy,
                citation=f"{finding.reason.citation}; review {review.cite}",
                text=f"{finding.reason.text} Review: {review.text}",
                missing=tuple(sorted(missing)),
            )
            return replace(
                finding,
                reason=reason,
                used=finding.used | verdict.used,
                conditions=(*finding.conditions, *review.conditions),
            )
    return replace(finding, reason=replace(finding.reason, policy=ReviewPolicy.NOT_STATED))


def letter_findings(question: Question) -> Iterator[Finding]:
    """Judge the letters that the sender has received: they bind nobody else."""
    if question.act.kind not in MOVES:
        return
    for key in question.act.sender.letters:
        rule = law.letter_rules().get(key)
        if rule is None:
            reason = Reason(
                rule=key,
                citation="is-informed letter",
                outcome=Outcome.UNKNOWN,
                text=f"The sender is bound by a letter, {key}, whose reach is not in the rule files.",
                source="sender.letters",
                status="letter",
                missing=(f"what the letter {key} covers",),
            )
            yield Finding(reason, frozenset({"sender.letters"}))
        elif rule.letter.effective <= question.on:
            yield from _letter(rule, question)


def letter_reach(rule: law.LetterRule, question: Question) -> Verdict:
    """Return whether a letter covers the chip and the place: true, false, or unknown where only a doubt remains."""
    places = holds(rule.destinations, question)
    certain = Verdict(value=False) if rule.scope is None else holds(rule.scope, question)
    if certain.value is not True and rule.doubt is not None:
        doubt = holds(rule.doubt, question)
        if doubt.value is not False:
            missing = (
                certain.missing | doubt.missing | {f"whether the letter {rule.letter.id} covers the chip"}
            )
            certain = Verdict(None, certain.used | doubt.used, missing)
    return all_of((places, certain))


def _letter(rule: law.LetterRule, question: Question) -> Iterator[Finding]:
    verdict = letter_reach(rule, question)
    if verdict.value is False:
        return
    letter = rule.letter
    practised = rule.practice_from is not None and question.on >= rule.practice_from
    policy = ReviewPolicy.NOT_STATED if practised else rule.policy
    covers = "covers" if verdict.value else "may cover"
    text = (
        f"The sender is bound by the letter to {letter.addressee}, which {covers} this act: {letter.scope}; to "
        f"{letter.destinations}."
    )
    reason = Reason(
        rule=letter.id,
        citation=letter.citation,
        outcome=Outcome.LICENCE_REQUIRED if verdict.value else Outcome.UNKNOWN,
        text=f"{text} {rule.practice}" if practised else text,
        source=letter.source,
        status="letter",
        policy=policy if verdict.value else None,
        effective=letter.effective,
        missing=tuple(sorted(verdict.missing)),
    )
    change = ("a licence from BIS", "the letter's withdrawal")
    yield Finding(reason, verdict.used | {"sender.letters"}, change=change)


def listing_findings(question: Question) -> Iterator[Finding]:
    """Judge the list entries of every party: a listing covers buyer, consignee and end user alike."""
    act = question.act
    for role, party in (("sender", act.sender), ("recipient", act.recipient)):
        if party.listings is None:
            reason = Reason(
                rule="us.screening",
                citation="15 CFR 744.11, 744.15, 744.21; 736.2(b)(4)-(5)",
                outcome=Outcome.UNKNOWN,
                text=f"The {role} has not been screened against the restricted-party lists.",
                source="15 CFR part 744",
                status="fact",
                missing=(f"{role}.listings",),
            )
            yield Finding(reason, frozenset({f"{role}.listings"}))
            continue
        for entry in party.listings:
            yield from _listed(entry, role, act.kind)


def _listed(entry: str, role: str, kind: TransferKind) -> Iterator[Finding]:
    head, *details = entry.split(":")
    rule = law.listings().get(head)
    used = frozenset({f"{role}.listings"})
    if rule is None:
        reason = Reason(
            rule="us.screening",
            citation="15 CFR part 744",
            outcome=Outcome.UNKNOWN,
            text=f"The {role} is on a list, {entry!r}, whose meaning is not in the rule files.",
            source=f"{role}.listings",
            status="fact",
            missing=(f"what the list {head!r} means",),
        )
        yield Finding(reason, used)
        return
    outcome: Outcome | None = rule.outcome
    if kind is TransferKind.COMPUTE_LEASE:
        outcome = rule.lease
    elif kind is TransferKind.DOMESTIC:
        outcome = rule.domestic
    stated = [p for p in ReviewPolicy for d in details if d.replace("-", "_") == p.value]
    doubtful = outcome is Outcome.UNKNOWN
    text = f"The {role} is listed ({entry}): {rule.text}"
    if doubtful and kind is TransferKind.COMPUTE_LEASE:
        text += " Whether that reaches remote use of a machine is not settled: ask counsel."
    reason = Reason(
        rule=f"us.listing.{head}",
        citation=rule.cite,
        outcome=outcome,
        text=text,
        source=rule.source,
        policy=(stated[0] if stated else rule.policy) if outcome is Outcome.LICENCE_REQUIRED else None,
        missing=(f"counsel's view on a {role} that is listed",) if doubtful else (),
    )
    yield Finding(
        reason,
        used,
        change=(
            "a licence from BIS",
            f"evidence that the entry is not this {role}, or its removal from the list",
        ),
    )


def no_text(on: dt.date) -> Finding:
    """Return the finding of a day that lies outside the texts read: refused, not guessed."""
    later = on > law.LAW_KNOWN_TO
    text = (
        f"The law is known to {law.LAW_KNOWN_TO}; {on} is later. What held then may have changed: refused, not guessed."
        if later
        else f"{on} is before {law.FIRST_TEXT}, the first day whose text was read. That is not 'no rule yet'."
    )
    return Finding(
        Reason(
            rule="us.known-law",
            citation="none: outside the texts read",
            outcome=Outcome.UNKNOWN,
            text=text,
            source=f"texts read from {law.FIRST_TEXT} to {law.LAW_KNOWN_TO}",
            status="fact",
            missing=(f"the law of {on}",),
        ),
        frozenset({"on"}),
    )
