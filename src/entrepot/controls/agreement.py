"""Does what we answer agree with what a case file expects, and where are we freer than it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from entrepot.controls import law
from entrepot.controls.casefile import Reading
from entrepot.controls.decide import STRICTNESS, decide
from entrepot.controls.records import Decision, Outcome, ReviewPolicy

__all__ = ["Agreement", "Compared", "answer_word", "by_outcome", "compare"]

_ASKED = {Outcome.LICENCE_REQUIRED, Outcome.PROHIBITED}
_FREE = {Outcome.NO_LICENCE, Outcome.EXCEPTION}
_DENIALS = {ReviewPolicy.DENIAL, ReviewPolicy.POLICY_OF_DENIAL}


class Agreement(StrEnum):
    """How an answer stands to what was expected."""

    SAME = "same"
    POLICY = "licence, other policy"  # both ask a licence; how an application is looked at differs
    STRICTER = "stricter"
    FREER = "freer"  # we ask less than the file, and the file asks no licence either
    FALSE_CLEAR = "FALSE CLEAR"  # the file asks a licence or says prohibited, and we answer none


@dataclass(frozen=True, slots=True)
class Compared:
    """One case with our answer beside it."""

    reading: Reading
    decision: Decision
    answer: str
    agreement: Agreement


def compare(readings: Iterable[Reading]) -> list[Compared]:
    """Judge every case; where several acts stand for one row, the strictest answer is taken."""
    out = []
    for reading in readings:
        decisions = [decide(act, accelerators=reading.chips) for act in reading.acts]
        decision = min(decisions, key=lambda d: (STRICTNESS.index(d.outcome), _severity(d.review_policy)))
        out.append(Compared(reading, decision, answer_word(decision), _agreement(reading, decision)))
    return out


def answer_word(decision: Decision) -> str:
    """Return our answer in the words of a case file.

    An exception that asks a notice first is ``nac_notification``; one that asks none is ``no_licence`` in such a file.
    Where no text states a policy and licences are known to have been issued, the practice is named.
    """
    match decision.outcome:
        case Outcome.NO_LICENCE:
            return "no_licence"
        case Outcome.EXCEPTION:
            return "nac_notification" if _asks_notice(decision) else "no_licence"
        case Outcome.PROHIBITED:
            return "prohibited"
        case Outcome.UNKNOWN:
            return "unclear"
    policy = decision.review_policy
    if policy is ReviewPolicy.NOT_STATED:
        policy = decision.practice
    return {
        ReviewPolicy.DENIAL: "licence_required_presumption_denial",
        ReviewPolicy.POLICY_OF_DENIAL: "licence_required_policy_denial",
        ReviewPolicy.CASE_BY_CASE: "licence_required_case_by_case",
        ReviewPolicy.APPROVAL: "licence_required_presumption_approval",
    }.get(policy or ReviewPolicy.NOT_STATED, "licence_required")


def by_outcome(compared: Sequence[Compared]) -> list[dict[str, object]]:
    """Return for each expected outcome how many cases there are and how our answers stand to them."""
    expected = Counter(c.reading.expected.word for c in compared)
    found = Counter((c.reading.expected.word, c.agreement) for c in compared)
    rows: list[dict[str, object]] = [
        {"expected": word, "cases": count, **{a.value: found[word, a] for a in Agreement}}
        for word, count in sorted(expected.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    whole = Counter(c.agreement for c in compared)
    return [*rows, {"expected": "all", "cases": len(compared), **{a.value: whole[a] for a in Agreement}}]


def _agreement(reading: Reading, decision: Decision) -> Agreement:
    expected, ours = reading.expected, decision.outcome
    if expected.outcome in _ASKED and ours in _FREE:
        return Agreement.FALSE_CLEAR
    if expected.outcome is Outcome.LICENCE_REQUIRED and ours is Outcome.LICENCE_REQUIRED:
        policy = decision.review_policy
        if policy is ReviewPolicy.NOT_STATED:
            policy = decision.practice
        both_deny = {expected.policy, policy} <= _DENIALS
        same = expected.policy is None or expected.policy is policy or both_deny
        return Agreement.SAME if same else Agreement.POLICY
    notice = _asks_notice(decision)
    if expected.notice or (ours is Outcome.EXCEPTION and notice):
        if expected.notice and ours is Outcome.EXCEPTION and notice:
            return Agreement.SAME
        return Agreement.FREER if expected.notice and ours in _FREE else _ordered(expected.outcome, ours)
    if (expected.outcome in _FREE and ours in _FREE) or expected.outcome is ours:
        return Agreement.SAME
    return _ordered(expected.outcome, ours)


def _ordered(expected: Outcome, ours: Outcome) -> Agreement:
    if STRICTNESS.index(ours) < STRICTNESS.index(expected):
        return Agreement.STRICTER
    if expected is Outcome.UNKNOWN or expected in _FREE:
        return Agreement.FREER
    return Agreement.STRICTER if ours is Outcome.UNKNOWN else Agreement.FREER


def _asks_notice(decision: Decision) -> bool:
    asking = {e.id for e in law.exceptions() if e.notice}
    return any(r.rule in asking and r.outcome is Outcome.EXCEPTION for r in decision.reasons)


def _severity(policy: ReviewPolicy | None) -> int:
    order = [
        ReviewPolicy.POLICY_OF_DENIAL,
        ReviewPolicy.DENIAL,
        ReviewPolicy.NOT_STATED,
        ReviewPolicy.CASE_BY_CASE,
        ReviewPolicy.APPROVAL,
    ]
    return len(order) if policy is None else order.index(policy)
