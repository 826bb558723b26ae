"""Acts with the outcome that a source states, or that was derived from the rule text with published figures."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.controls.controls_desk import Case, cases, chips

from entrepot.controls import LAW_KNOWN_TO, Outcome, TransferKind, decide


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
