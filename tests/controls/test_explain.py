"""What a person who is not a lawyer reads."""

from __future__ import annotations

import datetime as dt

import pytest
from tests.controls.controls_desk import Case, a_party, an_act, cases, chips

from entrepot.controls import Outcome, Provenance, TransferKind, decide, explain

SOME = [
    case
    for case in cases()
    if case.id in {"EC001", "EC072", "EC124", "EC016", "EC248", "EC331", "EC356", "EC304"}
]


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.id)
def test_every_explanation_says_what_it_rests_on(case: Case) -> None:
    """The answer first, the paragraph, the date of the law, and that it is no advice."""
    decision = decide(case.transfer, accelerators=chips())
    text = explain(decision)
    assert all(citation in text for citation in decision.citations)
    assert "2026-09-24" in text
    assert "not legal advice" in text
    assert "United States law only" in text
    assert all(fact in text for fact in decision.missing)
    assert all(condition in text for condition in decision.conditions)


def test_unknown_is_said_not_to_be_permission() -> None:
    """The first line is what most people read."""
    first = explain(
        decide(
            an_act("H20", "CN", "2025-06-01", recipient=a_party("CN", listings=None)), accelerators=chips()
        )
    )
    assert first.splitlines()[0] == "Cannot be decided; this is not permission."
    assert "recipient.listings: whether it stands on a restricted-party list" in first


def test_codified_and_enforced_stand_side_by_side() -> None:
    """Malaysia in June 2025: the text asks a licence, nobody enforces it."""
    text = explain(decide(an_act("H100", "MY", "2025-06-01"), accelerators=chips()))
    assert text.startswith("No licence is required.")
    assert "By the text alone: a licence is required." in text
    assert "codified, not enforced" in text


def test_no_explanation_names_a_way_around_the_law() -> None:
    """What would change an answer are facts, licences and evidence: never another route, seller or chip."""
    past = Provenance(dt.date(2024, 6, 1))
    for case in cases():
        decision = decide(case.transfer, accelerators=chips())
        if decision.outcome in {Outcome.LICENCE_REQUIRED, Outcome.PROHIBITED}:
            assert not any(
                word in change for change in decision.would_change for word in ("another", "instead")
            )
    free = decide(
        an_act("H20", "CN", "2025-05-20", TransferKind.IN_COUNTRY, provenance=past), accelerators=chips()
    )
    assert "a listing" in free.would_change[0]
