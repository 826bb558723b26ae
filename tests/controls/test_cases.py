"""Acts with the outcome that a source states, or that was derived from the rule text with published figures."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from tests.controls.controls_desk import Case, cases, chips

from entrepot.controls import LAW_KNOWN_TO, Decision, Outcome, Transfer, TransferKind, decide


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.id)
def test_case(case: Case) -> None:
    """The outcome, and the review policy where the case states one; see the case's citation and note."""
    found = decide(case.transfer, accelerators=chips())
    assert found.outcome is case.outcome, (case, found.reasons)
    assert case.policy is None or found.review_policy is case.policy
    assert found.law_known_to == LAW_KNOWN_TO


def test_the_cases_cover_the_outcomes_the_kinds_and_both_bases() -> None:
    """A table of cases that shrinks unnoticed proves less each time."""
    outcomes = Counter(case.outcome for case in cases())
    assert set(outcomes) == set(Outcome)
    assert outcomes[Outcome.LICENCE_REQUIRED] >= 80
    assert {case.transfer.kind for case in cases()} == set(TransferKind)
    assert {case.basis for case in cases()} == {"stated", "derived"}
    assert all(case.citation for case in cases())
    assert len(cases()) == len({case.id for case in cases()}) >= 190


BLANKED = [
    "origin",
    "destination",
    "dd_certificate",
    "all_end_users_authorised",
    *(
        f"{role}.{fact}"
        for role in ("sender", "recipient")
        for fact in (
            "headquarters",
            "ultimate_parent_headquarters",
            "listings",
            "military_end_user",
            "supercomputer_end_use",
            "knowledge_of_violation",
            "listed_owners",
        )
    ),
    "provenance.imported_on",
    "provenance.authorisation",
]


def granted(found: Decision) -> bool:
    """Return whether somebody may go ahead: at once, or under an exception's conditions."""
    return found.outcome in {Outcome.NO_LICENCE, Outcome.EXCEPTION}


@pytest.mark.parametrize("field", BLANKED)
def test_a_case_with_a_blank_is_never_freer(field: str) -> None:
    """Every case, less one fact: what was not permitted is not permitted."""
    for case in cases():
        if granted(decide(case.transfer, accelerators=chips())):
            continue
        found = decide(_blanked(case.transfer, field), accelerators=chips())
        assert not granted(found), (case.id, field, found.reasons)


def _blanked(act: Transfer, field: str) -> Transfer:
    part, _, name = field.rpartition(".")
    nothing: dict[str, Any] = {name: None}
    if not part:
        return replace(act, **nothing)
    whole: dict[str, Any] = {part: replace(getattr(act, part), **nothing)}
    return replace(act, **whole)
