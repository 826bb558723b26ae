"""The story and its edges: the day before and the day, each fact missing, each act beside its neighbour."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from tests.controls.controls_desk import a_chip, a_party, an_act, chips

from entrepot.catalogue.records import NumberFormat
from entrepot.controls import (
    Decision,
    GateAnswer,
    Outcome,
    Provenance,
    ReviewPolicy,
    Transfer,
    TransferKind,
    decide,
    decide_many,
)
from entrepot.errors import InputError, NotFound

EXPORT, REEXPORT, IN_COUNTRY, LEASE, DOMESTIC = (
    TransferKind.EXPORT,
    TransferKind.REEXPORT,
    TransferKind.IN_COUNTRY,
    TransferKind.COMPUTE_LEASE,
    TransferKind.DOMESTIC,
)
FREE, EXCEPTION, LICENCE, PROHIBITED, UNKNOWN = (
    Outcome.NO_LICENCE,
    Outcome.EXCEPTION,
    Outcome.LICENCE_REQUIRED,
    Outcome.PROHIBITED,
    Outcome.UNKNOWN,
)
NVIDIA_H20 = "us-2025-04-nvidia-h20"
VENDOR = a_party("US", letters=(NVIDIA_H20,))


def day(text: str) -> dt.date:
    """Return the date."""
    return dt.date.fromisoformat(text)


def judged(act: Transfer) -> Decision:
    """Decide with the hand-made chips."""
    return decide(act, accelerators=chips())


def came(on: str | None, authorisation: str | None = None, *conditions: str) -> Provenance:
    """Return where units come from."""
    return Provenance(None if on is None else day(on), "US", authorisation, conditions)


# ------------------------------------------------------------------------------------------ spring 2025: the H20


@pytest.mark.parametrize(
    ("on", "sender", "outcome"),
    [
        ("2025-04-08", VENDOR, FREE),
        ("2025-04-09", VENDOR, LICENCE),
        ("2025-04-09", a_party("US"), FREE),  # the letter binds its addressee alone
    ],
)
def test_the_letter_on_the_h20(on: str, sender: object, outcome: Outcome) -> None:
    """NVIDIA 8-K: the letter of 2025-04-09; no published rule names the H20."""
    assert judged(an_act("H20", "CN", on, sender=sender)).outcome is outcome


@pytest.mark.parametrize(
    ("destination", "hq", "outcome"),
    [
        ("CN", "CN", LICENCE),
        ("HK", "HK", LICENCE),
        ("MO", "MO", LICENCE),
        ("VE", "VE", LICENCE),  # D:5
        ("SG", "CN", LICENCE),  # "or companies headquartered or with an ultimate parent there"
        ("SG", "SG", FREE),
        ("SA", "SA", FREE),
        ("DE", "DE", FREE),
    ],
)
def test_where_the_letter_reaches(destination: str, hq: str, outcome: Outcome) -> None:
    """China with Hong Kong, Macau, D:5, and parties headquartered there."""
    act = an_act("H20", destination, "2025-04-20", hq=hq, sender=VENDOR)
    assert judged(act).outcome is outcome


@pytest.mark.parametrize(
    ("memory", "link", "outcome"),
    [
        ("4000", "0", LICENCE),
        ("800", "900", LICENCE),
        ("1500", "0", UNKNOWN),  # above what the press reports of Intel's letter, below the H20: in doubt
        ("1000", "700", UNKNOWN),
        ("864", "0", FREE),
        (None, "0", UNKNOWN),
        ("864", None, UNKNOWN),
    ],
)
def test_what_the_letter_covers(memory: str | None, link: str | None, outcome: Outcome) -> None:
    """Any circuit that achieves the H20's memory or interconnect bandwidth; a figure that is not known clears nothing."""
    chip = a_chip({NumberFormat.BF16: "50", NumberFormat.INT8: "100"}, memory_bw=memory, link=link)
    act = an_act("test-chip", "CN", "2025-05-01", sender=VENDOR)
    assert decide(act, accelerators={"test-chip": chip}).outcome is outcome


def test_a_letter_of_unknown_content_clears_nothing() -> None:
    """The reach of a letter that is in no file is not known."""
    act = an_act("T4", "DE", "2025-05-01", sender=a_party("US", letters=("us-2026-01-somebody",)))
    assert judged(act).outcome is UNKNOWN


def resale(on: str = "2025-05-20", chip: str = "H20", **facts: Any) -> Transfer:
    """Return a resale inside China of units imported before the letter."""
    facts.setdefault("provenance", came("2024-06-01"))
    return an_act(chip, "CN", on, IN_COUNTRY, **facts)


def test_an_h20_changes_hands_inside_china() -> None:
    """It is a transfer (in-country), yet below 3A090: no list-based licence, and the letter binds the vendor alone."""
    found = judged(resale())
    assert found.allowed
    assert found.review_policy is None
    assert found.item_class == "below 3A090"


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        ({"recipient": a_party("CN", supercomputer_end_use=True)}, LICENCE),
        ({"recipient": a_party("CN", supercomputer_end_use=None)}, UNKNOWN),
        ({"recipient": a_party("CN", military_end_user=True)}, LICENCE),
        ({"recipient": a_party("CN", military_end_user=None)}, UNKNOWN),
        ({"recipient": a_party("CN", listings=("entity-list:fn4",))}, LICENCE),
        ({"sender": a_party("CN", listings=("entity-list",))}, LICENCE),
        ({"recipient": a_party("CN", listings=None)}, UNKNOWN),
        ({"recipient": a_party("CN", listings=("a-list-nobody-knows",))}, UNKNOWN),
        ({"recipient": a_party("CN", listings=("sdn",))}, PROHIBITED),
        ({"sender": a_party("CN", letters=(NVIDIA_H20,))}, LICENCE),  # an informed addressee
        ({"recipient": a_party("CN", knowledge_of_violation=True)}, PROHIBITED),
        ({"recipient": a_party("CN", knowledge_of_violation=None)}, UNKNOWN),
        ({"recipient": a_party(None)}, UNKNOWN),
        ({"provenance": came("2025-04-08")}, FREE),
        ({"provenance": came("2025-04-09")}, UNKNOWN),
        ({"provenance": came(None)}, UNKNOWN),
        ({"provenance": came("2025-04-20", "none")}, PROHIBITED),
        ({"provenance": came("2025-04-20", "no licence required")}, UNKNOWN),
        ({"provenance": came("2025-04-20", "licence D-1")}, UNKNOWN),
        ({"provenance": came("2025-04-20", "licence D-1", "no resale")}, LICENCE),
    ],
)
def test_what_stops_the_resale(facts: dict[str, Any], outcome: Outcome) -> None:
    """Knowledge of a supercomputer, a listing, a military user, an informed seller, the past of the unit."""
    assert judged(resale(**facts)).outcome is outcome


def test_what_is_missing_is_named() -> None:
    """A person must learn which fact to find."""
    found = judged(resale(provenance=came(None), recipient=a_party("CN", listings=None)))
    assert {"provenance.imported_on", "recipient.listings"} <= set(found.missing)
    assert "knowing recipient.listings" in found.would_change


def test_a_certain_requirement_stands_above_a_missing_fact() -> None:
    """Neither is permission; the requirement is known and the fact is still named."""
    found = judged(an_act("H100", "CN", "2024-06-01", recipient=a_party("CN", listings=None)))
    assert found.outcome is LICENCE
    assert "recipient.listings" in found.missing


# ------------------------------------------------------------------------------------------ controlled chips


@pytest.mark.parametrize("chip", ["A100", "H100", "H200", "H800"])
@pytest.mark.parametrize("on", ["2024-06-01", "2025-05-20", "2026-02-01"])
def test_resale_of_controlled_chips_inside_china(chip: str, on: str) -> None:
    """742.6(a)(6)(iii) covers transfers; the relaxation of 2026 is for exports from the United States alone."""
    found = judged(replace(resale(on, chip), provenance=came("2021-06-01"), dd_certificate=True))
    assert found.outcome is LICENCE
    assert found.review_policy is ReviewPolicy.DENIAL


@pytest.mark.parametrize(
    ("on", "destination", "hq", "outcome"),
    [
        ("2023-11-16", "SG", "CN", FREE),
        ("2023-11-17", "SG", "CN", LICENCE),
        ("2024-05-29", "SG", "CY", LICENCE),  # Cyprus was in D:5 for headquarters until 2024-05-29
        ("2024-05-30", "SG", "CY", FREE),
        ("2024-03-14", "SG", "NI", FREE),
        ("2024-03-15", "SG", "NI", LICENCE),
        ("2025-11-06", "MY", "KH", LICENCE),
        ("2025-11-07", "MY", "KH", FREE),
        ("2025-06-01", "MY", "ET", FREE),
        ("2025-07-07", "MY", "ET", UNKNOWN),  # State's list and BIS's table disagree
        ("2026-07-09", "AE", "AE", LICENCE),
        ("2026-07-10", "AE", "AE", LICENCE),  # by name
        ("2023-11-16", "SA", "SA", FREE),
        ("2023-11-17", "SA", "SA", LICENCE),
        ("2024-06-01", "IL", "IL", FREE),  # D:4, saved by A:6
        ("2024-06-01", "IL", "CN", LICENCE),
        ("2023-01-16", "MO", "MO", FREE),
        ("2023-01-17", "MO", "MO", LICENCE),
        ("2026-06-15", "MY", "MY", FREE),
        ("2026-06-15", "DE", "HK", LICENCE),
    ],
)
def test_destinations_and_headquarters_day_by_day(
    on: str, destination: str, hq: str, outcome: Outcome
) -> None:
    """An H100: the day before and the day of every move of a country that the rules ask about."""
    assert judged(an_act("H100", destination, on, hq=hq)).outcome is outcome


def test_the_ultimate_parent_counts_like_the_headquarters() -> None:
    """A Singapore company of a Chinese group is a controlled consignee; registration elsewhere does not help."""
    subsidiary = replace(a_party("SG"), ultimate_parent_headquarters="CN")
    assert judged(an_act("H100", "SG", "2024-06-01", recipient=subsidiary)).outcome is LICENCE
    unknown = replace(a_party("SG"), ultimate_parent_headquarters=None)
    found = judged(an_act("H100", "SG", "2024-06-01", recipient=unknown))
    assert found.outcome is UNKNOWN
    assert "recipient.ultimate_parent_headquarters" in found.missing


@pytest.mark.parametrize(
    ("on", "enforced", "codified"),
    [
        ("2025-01-12", FREE, FREE),
        ("2025-01-13", FREE, LICENCE),
        ("2025-05-12", FREE, LICENCE),
        ("2025-05-13", FREE, LICENCE),
        ("2026-09-24", FREE, LICENCE),
    ],
)
def test_worldwide_text_is_codified_and_not_enforced(on: str, enforced: Outcome, codified: Outcome) -> None:
    """90 FR 4544: compliance would have begun on 2025-05-15; two days before, BIS said that it does not enforce it."""
    found = judged(an_act("H100", "MY", on))
    assert (found.outcome, found.codified_outcome) == (enforced, codified)


@pytest.mark.parametrize(
    ("on", "kind", "chip", "certificate", "policy"),
    [
        ("2026-01-14", EXPORT, "H200", True, ReviewPolicy.DENIAL),
        ("2026-01-15", EXPORT, "H200", True, ReviewPolicy.CASE_BY_CASE),
        ("2026-01-15", EXPORT, "H200", None, ReviewPolicy.DENIAL),
        ("2026-01-15", EXPORT, "H200", False, ReviewPolicy.DENIAL),
        ("2026-01-15", REEXPORT, "H200", True, ReviewPolicy.DENIAL),
        ("2026-01-15", EXPORT, "MI300X", True, ReviewPolicy.CASE_BY_CASE),  # 81 TPP under 21 000
        ("2026-01-15", EXPORT, "Gaudi 3", True, ReviewPolicy.DENIAL),  # 29 360 by its 16-bit rate
        ("2026-01-15", EXPORT, "B200", True, ReviewPolicy.DENIAL),
    ],
)
def test_case_by_case_since_january_2026(
    on: str, kind: TransferKind, chip: str, *, certificate: bool | None, policy: ReviewPolicy
) -> None:
    """91 FR 1684: exports from the United States, TPP below 21 000, DRAM below 6500 GB/s, with the certificate."""
    origin = "SG" if kind is REEXPORT else "US"
    found = judged(an_act(chip, "CN", on, kind, origin=origin, dd_certificate=certificate))
    assert found.outcome is LICENCE
    assert found.review_policy is policy


def test_two_review_policies_for_an_american_buyer_in_china_in_2025() -> None:
    """(A)(1) said denial and (A)(2) approval; the tie-break came on 2026-01-15: a conflict, not a choice."""
    found = judged(an_act("H100", "CN", "2025-06-01", hq="US"))
    assert found.outcome is LICENCE
    assert found.review_policy is ReviewPolicy.NOT_STATED


# ------------------------------------------------------------------------------------------ exceptions


@pytest.mark.parametrize(
    ("chip", "kind", "route", "on", "outcome"),
    [
        ("RTX 4090", EXPORT, ("CN", "CN"), "2023-11-16", FREE),
        ("RTX 4090", EXPORT, ("CN", "CN"), "2023-11-17", EXCEPTION),
        ("RTX 4090", EXPORT, ("SG", "CN"), "2024-04-03", UNKNOWN),  # 740.8(b)(1) against 744.23(c)
        ("RTX 4090", EXPORT, ("SG", "CN"), "2024-04-04", EXCEPTION),
        ("RTX 4090", IN_COUNTRY, ("CN", "CN"), "2024-06-01", EXCEPTION),
        (
            "RTX 4090",
            IN_COUNTRY,
            ("SG", "CN"),
            "2024-06-01",
            LICENCE,
        ),  # NAC covers no transfers, ACA not the party
        ("RTX 4090", EXPORT, ("SA", "SA"), "2024-06-01", EXCEPTION),
        ("RTX 4090", EXPORT, ("SG", "SG"), "2024-06-01", FREE),
        ("RTX 4090D", EXPORT, ("CN", "CN"), "2024-06-01", FREE),
        ("A40", EXPORT, ("CN", "CN"), "2024-06-01", EXCEPTION),
        ("L4", EXPORT, ("CN", "CN"), "2024-06-01", LICENCE),  # 3A090.a for data centres: no exception
        ("RTX 4090", EXPORT, ("RU", "RU"), "2024-06-01", LICENCE),  # part 746
        ("RTX 4090", EXPORT, ("IR", "IR"), "2024-06-01", PROHIBITED),
    ],
)
def test_nac_and_aca(
    chip: str, kind: TransferKind, route: tuple[str, str], on: str, outcome: Outcome
) -> None:
    """740.8: what is not for data centres, and 3A090.b, with its dates, its notice and its hole."""
    destination, hq = route
    act = an_act(
        chip, destination, on, kind, hq=hq, provenance=came("2023-06-01" if kind is IN_COUNTRY else None)
    )
    assert judged(act).outcome is outcome


def test_no_exception_overcomes_a_listing_or_a_military_user() -> None:
    """Neither NAC nor ACA where part 744 asks a licence."""
    for facts in ({"listings": ("entity-list",)}, {"military_end_user": True}):
        act = an_act("RTX 4090", "CN", "2024-06-01", recipient=a_party("CN", **facts))
        assert judged(act).outcome is LICENCE


def test_an_exception_is_not_permission_without_its_conditions() -> None:
    """NAC: 25 days' notice, and silence is not consent."""
    found = judged(an_act("RTX 4090", "CN", "2024-06-01"))
    assert not found.allowed
    assert any("25 calendar days" in condition for condition in found.conditions)


# ------------------------------------------------------------------------------------------ leases


def lease(chip: str, site: str, on: str, *, hq: str = "CN", **facts: Any) -> Transfer:
    """Return a lease of compute at a site, of units that came before the rules of 2023-11-17 and 2022-10-21."""
    facts.setdefault("provenance", came("2021-06-01"))
    return an_act(chip, site, on, LEASE, hq=hq, **facts)


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (lease("H100", "SG", "2024-06-01"), FREE),
        (lease("H20", "CN", "2025-05-20", provenance=came("2024-06-01")), FREE),
        (lease("A100", "CN", "2025-05-20"), FREE),
        (lease("A100", "CN", "2025-05-20", provenance=came(None)), UNKNOWN),
        (lease("H100", "CN", "2025-05-20", provenance=came("2024-01-10", "none")), PROHIBITED),
        (lease("H200", "CN", "2026-06-01", provenance=came("2026-05-01", "licence D-2")), UNKNOWN),
        (lease("H100", "MY", "2025-05-20", provenance=came("2024-06-01")), FREE),
        (lease("H100", "MY", "2025-05-20", sender=a_party("CN"), provenance=came("2024-06-01")), UNKNOWN),
        (lease("H100", "SG", "2025-06-01", recipient=a_party("CN", military_end_user=None)), UNKNOWN),
        (lease("H100", "SG", "2025-06-01", recipient=a_party("CN", military_end_user=True)), LICENCE),
        (lease("H100", "SG", "2025-06-01", recipient=a_party("CN", listings=("entity-list",))), UNKNOWN),
        (lease("H100", "SG", "2025-06-01", recipient=a_party("IR")), UNKNOWN),
        (lease("H100", "US", "2025-06-01"), FREE),
    ],
)
def test_a_lease_is_not_an_export_of_the_chip(act: Transfer, outcome: Outcome) -> None:
    """BIS opinions of 2009-2011: possession does not move. Who the tenant is, and whence the units came, still counts."""
    assert judged(act).outcome is outcome


def test_a_lease_and_a_sale_of_the_same_chip_differ() -> None:
    """The market has to ask per kind of act."""
    assert judged(lease("A100", "CN", "2025-05-20")).allowed
    assert judged(replace(resale("2025-05-20", "A100"), provenance=came("2021-06-01"))).outcome is LICENCE


def test_a_lease_states_what_must_not_happen() -> None:
    """If racks move it is a transfer (734.16)."""
    assert any("734.16" in condition for condition in judged(lease("H100", "SG", "2024-06-01")).conditions)


# ------------------------------------------------------------------------------------------ Ascend


@pytest.mark.parametrize("kind", [IN_COUNTRY, LEASE])
@pytest.mark.parametrize("chip", ["Ascend 910B", "Ascend 910C"])
@pytest.mark.parametrize(
    ("on", "knowledge", "outcome"),
    [
        ("2025-05-12", False, FREE),
        ("2025-05-12", None, UNKNOWN),
        ("2025-05-12", True, PROHIBITED),
        ("2025-05-13", False, PROHIBITED),
        ("2026-09-24", False, PROHIBITED),
    ],
)
def test_the_guidance_on_ascend(
    kind: TransferKind, chip: str, on: str, *, knowledge: bool | None, outcome: Outcome
) -> None:
    """General Prohibition Ten always asked knowledge; since 2025-05-13 BIS presumes it, for use and loan as well."""
    party = a_party("CN", knowledge_of_violation=knowledge)
    found = judged(an_act(chip, "CN", on, kind, recipient=party))
    assert found.outcome is outcome


def test_two_laws_conflict_on_ascend_and_the_answer_says_so() -> None:
    """US law is answered, Chinese law is not."""
    found = judged(an_act("Ascend 910B", "CN", "2025-06-01", IN_COUNTRY))
    conflict = [gate for gate in found.gates if gate.answer is GateAnswer.CONFLICT]
    assert [gate.government for gate in conflict] == ["China"]
    assert "cannot decide" in conflict[0].text
    plain = judged(an_act("H20", "CN", "2025-06-01", IN_COUNTRY))
    assert GateAnswer.CONFLICT not in {gate.answer for gate in plain.gates}


@pytest.mark.parametrize(
    ("rates", "outcome"),
    [({}, UNKNOWN), ({"bf16": "50", "int8": "100"}, FREE), ({"bf16": "1000"}, PROHIBITED)],
)
def test_other_designers_of_china_fall_under_the_same_presumption(
    rates: dict[str, str], outcome: Outcome
) -> None:
    """The guidance names Ascend parts and says 'non-exhaustive'; it speaks of 3A090 circuits."""
    chip = a_chip({NumberFormat(k): v for k, v in rates.items()}, country="CN")
    act = an_act("test-chip", "CN", "2025-06-01", IN_COUNTRY)
    assert decide(act, accelerators={"test-chip": chip}).outcome is outcome


# ------------------------------------------------------------------------------------------ days, doors, many


@pytest.mark.parametrize(
    ("on", "outcome"),
    [("2022-10-06", UNKNOWN), ("2022-10-07", FREE), ("2026-09-24", FREE), ("2026-09-25", UNKNOWN)],
)
def test_days_outside_the_texts_are_refused(on: str, outcome: Outcome) -> None:
    """Before the first text is not 'no rule yet', and after the last is not 'as before'."""
    assert judged(an_act("T4", "DE", on)).outcome is outcome


@pytest.mark.parametrize(
    ("on", "outcome"),
    [("2025-09-28", FREE), ("2025-09-29", LICENCE), ("2025-11-09", LICENCE), ("2025-11-10", FREE)],
)
def test_the_fifty_percent_rule_and_its_stay(on: str, outcome: Outcome) -> None:
    """In force for six weeks, then stayed: the text says a licence, the stay says none."""
    found = judged(an_act("T4", "CN", on, recipient=a_party("CN", listed_owners=("a listed party",))))
    assert found.outcome is outcome
    if on == "2025-11-10":
        assert found.codified_outcome is LICENCE
        assert any(r.status == "stayed" for r in found.reasons)


def test_ownership_that_was_not_looked_into_is_asked_while_the_rule_held() -> None:
    """Knowing of no owner is not the same as not having looked."""
    asked = judged(an_act("T4", "CN", "2025-10-15", recipient=a_party("CN", listed_owners=None)))
    assert asked.outcome is UNKNOWN
    assert "recipient.listed_owners" in asked.missing


def test_supplement_8_needs_all_end_users() -> None:
    """The consignee alone on the list is not enough."""
    listed = a_party("AE", authorisations=("supp8-740",))
    for all_of_them, outcome in ((True, FREE), (False, LICENCE), (None, UNKNOWN)):
        act = an_act("B200", "AE", "2026-08-01", recipient=listed, all_end_users_authorised=all_of_them)
        assert judged(act).outcome is outcome


@pytest.mark.parametrize(
    ("facts", "where", "mend"),
    [
        ({"destination": "XX"}, "destination", "ISO 3166-1"),
        ({"destination": "cn"}, "destination", "CN"),
        ({"origin": "SG"}, "kind", "re-export"),
        ({"destination": "US"}, "kind", "domestic"),
        ({"kind": IN_COUNTRY, "origin": "SG"}, "kind", "re-export"),
        ({"kind": REEXPORT, "origin": "US"}, "kind", "export"),
        ({"kind": REEXPORT, "origin": "HK"}, "kind", "transfer-in-country"),  # Hong Kong counts as China
        ({"kind": DOMESTIC}, "kind", "export"),
        ({"kind": LEASE, "origin": "SG"}, "kind", "re-export"),
        ({"provenance": came("2025-06-02")}, "provenance.imported_on", "day"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_mend(facts: dict[str, Any], where: str, mend: str) -> None:
    """One clear error, before any rule is asked."""
    with pytest.raises(InputError) as caught:
        judged(replace(an_act("H20", "CN", "2025-06-01"), **facts))
    assert [fault.where for fault in caught.value.faults] == [where]
    assert mend in caught.value.faults[0].mend


def test_all_faults_are_said_at_once() -> None:
    """Not the first alone."""
    with pytest.raises(InputError) as caught:
        judged(an_act("H20", "XX", "2025-06-01", recipient=a_party("YY"), provenance=came("2025-07-01")))
    assert len(caught.value.faults) == 4


def test_a_chip_that_is_not_in_the_catalogue() -> None:
    """With the nearest names."""
    with pytest.raises(NotFound):
        decide(an_act("nvidia-h21", "DE", "2025-06-01"))


def test_many_are_decided_as_one_by_one() -> None:
    """Who the parties are does not matter, only what is known of them; every decision keeps its own act."""
    buyers = [replace(a_party("CN"), id=f"buyer-{n}") for n in range(5)]
    acts = [resale(recipient=buyer) for buyer in buyers] + [resale(recipient=a_party("CN", listings=None))]
    many = decide_many(acts, accelerators=chips())
    assert many == [judged(act) for act in acts]
    assert [d.transfer.recipient.id for d in many[:5]] == [b.id for b in buyers]


def test_the_inputs_that_decided_are_carried() -> None:
    """A reader can check the answer from the decision alone."""
    found = judged(an_act("H100", "SG", "2024-06-01", hq="CN"))
    assert found.inputs["recipient.headquarters"] == "CN"
    assert found.inputs["item_class"] == "3A090.a"
    assert found.inputs["on"] == "2024-06-01"
    assert "744.23(a)(3)(i)" in " ".join(found.citations)
