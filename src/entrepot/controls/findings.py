"""What does each rule find on one act?

Every function returns findings: a reason, and the inputs that it rests on. A rule whose condition is false finds
nothing; a rule whose condition cannot be judged finds "unknown" and names the facts that it lacks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from entrepot.controls import law
from entrepot.controls.conditions import Question, holds, legal_kinds, parties
from entrepot.controls.logic import Verdict, all_of
from entrepot.controls.records import (
    Gate,
    GateAnswer,
    Outcome,
    Reason,
    ReviewPolicy,
    Transfer,
    TransferKind,
)

__all__ = [
    "MOVES",
    "Finding",
    "gate_findings",
    "judged_as",
    "letter_findings",
    "letter_reach",
    "listing_findings",
    "no_text",
    "overcoming",
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
        question.note("rule", rule.id, version.effective, version.cite, verdict)
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
                compliance=version.compliance,
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


def overcoming(rule: str, question: Question) -> Iterator[tuple[law.ExceptionRule, Verdict]]:
    """Yield the exceptions in force that could overcome a rule, in the order in which they are tried."""
    for exception in law.exceptions():
        if rule in exception.overcomes and law.version_on((exception,), question.on) is not None:
            verdict = holds(exception.when, question)
            question.note("exception", exception.id, exception.effective, exception.cite, verdict)
            yield exception, verdict


def _excepted(finding: Finding, question: Question) -> Iterator[Finding]:
    """Overcome a list-based requirement where an exception fits; else attach its review policy.

    A requirement that is codified and not enforced has no outcome; an exception to it changes what is codified.
    """
    unenforced = finding.reason.outcome is None
    if finding.reason.outcome is Outcome.UNKNOWN:
        yield finding
        return
    open_exceptions: dict[str, frozenset[str]] = {}
    closed: list[law.ExceptionRule] = []
    for exception, verdict in overcoming(finding.reason.rule, question):
        if verdict.value is None:
            open_exceptions[exception.name] = verdict.missing
        if verdict.value is False:
            closed.append(exception)
        if verdict.value:
            by = "Overcome by" if exception.outcome is Outcome.EXCEPTION else "Its exception is open:"
            text = f"{finding.reason.text} {by} {exception.name}."
            codified = finding.reason.codified
            met = replace(finding.reason, outcome=None, codified=None, text=text)
            yield replace(finding, reason=met, conditions=())
            reason = Reason(
                rule=exception.id,
                citation=exception.cite,
                outcome=None if unenforced else exception.outcome,
                text=f"{exception.text} Its conditions: {' '.join(exception.conditions)}"
                if unenforced
                else exception.text,
                source=exception.source,
                status=finding.reason.status if unenforced else "codified",
                codified=exception.outcome if codified is not None else None,
                effective=exception.effective,
                missing=("which of the two texts prevails",) if exception.outcome is Outcome.UNKNOWN else (),
            )
            asked = () if unenforced else exception.conditions
            yield Finding(reason, verdict.used, asked, finding.change, list_based=True)
            return
    if unenforced:
        # What an exception would still ask belongs to a text that is not enforced: it is said, and not missed.
        told = "; ".join(f"{name} if {', '.join(sorted(lacks))}" for name, lacks in open_exceptions.items())
        also = f" Exceptions to the text, where their conditions are met: {told}." if told else ""
        reviewed = _reviewed(finding, question, set())
        yield replace(
            reviewed,
            reason=replace(reviewed.reason, text=reviewed.reason.text + also, missing=(), policy=None),
        )
        return
    yield _reviewed(finding, question, set().union(*open_exceptions.values()))
    if closed and not open_exceptions:
        names = ", ".join(dict.fromkeys(e.name for e in closed))
        cites = "; ".join(dict.fromkeys(e.cite for e in closed))
        text = f"No licence exception overcomes that: {names} looked at, and its conditions on item, party or act not met."
        said = Reason("us.exceptions", cites, None, text, closed[0].source, effective=closed[0].effective)
        yield Finding(said)


def _reviewed(finding: Finding, question: Question, open_exceptions: set[str]) -> Finding:
    missing = set(open_exceptions)
    for review in law.reviews():
        if finding.reason.rule not in review.rules or law.version_on((review,), question.on) is None:
            continue
        verdict = holds(review.when, question)
        question.note("review", finding.reason.rule, review.effective, review.cite, verdict)
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
    if not legal_kinds(question.act) & MOVES:
        return
    for key in question.act.sender.letters:
        rule = law.letter_rules().get(key)
        if rule is None:
            said = law.ground("letter-unknown")
            reason = Reason(
                rule=key,
                citation=said.cite,
                outcome=Outcome.UNKNOWN,
                text=said.text.format(key=key),
                source=said.source,
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
    letter = rule.letter
    question.note("letter", letter.id, letter.effective, letter.citation, verdict)
    if verdict.value is False:
        return
    if not rule.stands(question.on):
        text = (
            f"The letter to {letter.addressee} is overtaken since {rule.superseded} by {rule.superseded_by}."
        )
        reason = Reason(
            letter.id, letter.citation, None, text, letter.source, status="letter", effective=letter.effective
        )
        yield Finding(reason, frozenset({"sender.letters"}))
        return
    practised = rule.practice_from is not None and question.on >= rule.practice_from
    policy = ReviewPolicy.NOT_STATED if practised else rule.policy
    covers = "covers" if verdict.value else "may cover"
    text = law.ground("letter").text.format(
        addressee=letter.addressee, covers=covers, scope=letter.scope, where=letter.destinations
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
        practice=rule.practice_policy if practised and verdict.value else None,
    )
    change = ("a licence from BIS", "the letter's withdrawal")
    yield Finding(reason, verdict.used | {"sender.letters"}, change=change)


def listing_findings(question: Question) -> Iterator[Finding]:
    """Judge the list entries of every party: a listing covers buyer, consignee, end user and forwarder alike."""
    for role, party in parties(question.act):
        used = frozenset({f"{role}.listings"})
        clear = None if party.listings is None else bool(party.listings)
        missing = used if party.listings is None else frozenset()
        question.note("listing", role, None, law.ground("screening").cite, Verdict(clear, used, missing))
        if party.listings is None:
            said = law.ground("screening")
            reason = Reason(
                rule="us.screening",
                citation=said.cite,
                outcome=Outcome.UNKNOWN,
                text=said.text.format(role=role),
                source=said.source,
                status="fact",
                missing=(f"{role}.listings",),
            )
            yield Finding(reason, used)
            continue
        for entry in party.listings:
            yield from _listed(entry, role, question.act)


def _listed(entry: str, role: str, act: Transfer) -> Iterator[Finding]:
    head, *details = entry.split(":")
    rule = law.listings().get(head)
    used = frozenset({f"{role}.listings"})
    if rule is None:
        said = law.ground("list-unknown")
        reason = Reason(
            rule="us.screening",
            citation=said.cite,
            outcome=Outcome.UNKNOWN,
            text=said.text.format(role=role, entry=entry),
            source=said.source,
            status="fact",
            missing=(f"what the list {head!r} means",),
        )
        yield Finding(reason, used)
        return
    kinds = legal_kinds(act)
    outcome: Outcome | None = rule.outcome
    if TransferKind.COMPUTE_LEASE in kinds:
        outcome = rule.lease
    elif TransferKind.USE in kinds:
        outcome = rule.use
    elif TransferKind.DOMESTIC in kinds:
        outcome = rule.domestic
    stated = [p for p in ReviewPolicy for d in details if d.replace("-", "_") == p.value]
    doubtful = outcome is Outcome.UNKNOWN
    notes = [law.footnotes()[d] for d in details if d in law.footnotes()]
    text = " ".join((f"The {role} is listed ({entry}): {rule.text}", *notes))
    in_place = {
        TransferKind.COMPUTE_LEASE: "remote use of a machine",
        TransferKind.USE: "use of units in place",
    }
    if doubtful and act.kind in in_place:
        text += law.ground("lease-unsettled").text.format(act=in_place[act.kind])
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
    said = law.ground("known-law")
    words = {"first_text": law.FIRST_TEXT, "known_to": law.LAW_KNOWN_TO, "on": on}
    return Finding(
        Reason(
            rule="us.known-law",
            citation=said.cite,
            outcome=Outcome.UNKNOWN,
            text=said.text.format(**words),
            source=said.source.format(**words),
            status="fact",
            missing=(f"the law of {on}",),
        ),
        frozenset({"on"}),
    )


def judged_as(act: Transfer) -> Iterator[Finding]:
    """Say why a lease with possession, or a key, is judged as a move."""
    grounds = {TransferKind.POSSESSION_LEASE: "possession", TransferKind.LICENCE_KEY: "key"}
    if act.kind in grounds:
        said = law.ground(grounds[act.kind])
        yield Finding(
            Reason(rule=f"us.{grounds[act.kind]}", citation=said.cite, outcome=None, text=said.text,
                   source=said.source, status="fact"),
            frozenset({"kind", "origin", "destination"}),
        )  # fmt: skip


def gate_findings(question: Question) -> Iterator[Gate]:
    """Judge the measures of other governments: what a gate cannot be asked for lack of a fact is unknown."""
    for rule in law.gates():
        if law.version_on((rule,), question.on) is None:
            continue
        verdict = holds(rule.when, question)
        gate = rule.gate
        question.note("gate", gate.id, gate.effective, gate.citation, verdict)
        if verdict.value:
            yield gate
        elif verdict.value is None:
            yield replace(gate, answer=GateAnswer.UNKNOWN, missing=tuple(sorted(verdict.missing)))
