"""Memory, systems and .z items; exceptions with their questions; further parties; the second gate; days after the last."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from tests.controls.controls_desk import a_party, an_act, chips

from entrepot.controls import (
    Decision,
    GateAnswer,
    Hbm,
    Involved,
    ItemForm,
    Outcome,
    ReviewPolicy,
    Role,
    StatedFigures,
    Transfer,
    TransferKind,
    classify,
    decide,
    explain,
    system_class,
    z_class,
)
from entrepot.errors import InputError

FREE, EXCEPTION, LICENCE = Outcome.NO_LICENCE, Outcome.EXCEPTION, Outcome.LICENCE_REQUIRED
PROHIBITED, UNKNOWN = Outcome.PROHIBITED, Outcome.UNKNOWN
HBM_YES = {"hbm.bought_by_designer": True, "hbm.shipped_to_packager": True, "hbm.site_confirms": True}


def judged(act: Transfer, **options: Any) -> Decision:
    """Decide with the chips of the cases."""
    return decide(act, accelerators=chips(), **options)


def memory(density: str, destination: str, on: str, **facts: Any) -> Transfer:
    """Return an export of memory of a density (over 100 mm2)."""
    plain = an_act("stack", destination, on)
    return replace(plain, form=ItemForm.HBM, hbm=Hbm(Decimal(density) * 100, Decimal(100)), **facts)


@pytest.mark.parametrize(
    ("density", "destination", "on", "outcome"),
    [
        ("2.00", "CN", "2025-06-01", FREE),  # "above 2"
        ("2.01", "CN", "2025-06-01", LICENCE),
        ("2.01", "MO", "2025-06-01", LICENCE),
        ("2.01", "VN", "2025-06-01", FREE),  # D:1, not D:5
        ("2.01", "CN", "2024-12-01", FREE),
        ("2.01", "CN", "2024-12-02", LICENCE),
        ("2.01", "RU", "2024-06-01", LICENCE),
    ],
)
def test_memory_that_moves_by_itself(density: str, destination: str, on: str, outcome: Outcome) -> None:
    """3A090.c and 742.6(a)(6)(i)(B): from 2024-12-02, to or within Macau or D:5."""
    assert judged(memory(density, destination, on)).outcome is outcome


@pytest.mark.parametrize(
    ("density", "stated", "sender", "outcome"),
    [
        ("3.29", HBM_YES, "US", EXCEPTION),
        ("3.30", HBM_YES, "US", LICENCE),  # "below 3.3"
        ("3.29", HBM_YES, "JP", EXCEPTION),  # A:5
        ("3.29", HBM_YES, "CN", LICENCE),
        ("3.29", HBM_YES | {"hbm.site_confirms": False}, "US", LICENCE),
        ("3.29", {}, "US", LICENCE),
    ],
)
def test_licence_exception_hbm(density: str, stated: dict[str, bool], sender: str, outcome: Outcome) -> None:
    """740.25: density, sender's seat, and what packager and buyer confirm; an unanswered question is not a yes."""
    act = memory(density, "CN", "2025-06-01", stated=stated, sender=a_party(sender))
    found = judged(act)
    assert found.outcome is outcome
    if not stated:
        assert {f"stated.{name}" for name in HBM_YES} <= set(found.missing)
    if outcome is EXCEPTION:
        assert any("740.25" in c for c in found.citations)
        assert any("1 %" in c for c in found.conditions)


def test_memory_to_a_party_from_outside_is_presumed_approved() -> None:
    """742.6(b)(10)(ii): neither headquartered nor with a parent in Macau or D:5."""
    found = judged(memory("2.5", "CN", "2025-06-01", recipient=a_party("US")))
    assert (found.outcome, found.review_policy) == (LICENCE, ReviewPolicy.APPROVAL)


@pytest.mark.parametrize("chip", ["H100", "H20", "A40", "RTX 4090"])
@pytest.mark.parametrize("destination", ["CN", "VN", "SG", "RU"])
def test_a_system_has_the_answer_of_its_chip(chip: str, destination: str) -> None:
    """A server takes its circuit's class; performance is not added up."""
    act = an_act(chip, destination, "2024-06-01")
    one, many = judged(act), judged(replace(act, form=ItemForm.SYSTEM))
    assert one.outcome is many.outcome
    assert many.item_class == system_class(one.item_class)


@pytest.mark.parametrize(
    ("eccn", "chip", "z"),
    [
        ("5A992.c", "H100", "5A992.z"),
        ("5A992", "H20", None),
        ("4A994", "H100", None),
        ("5A002", "A40", "5A002.z"),
    ],
)
def test_the_z_paragraph_follows_the_figures(eccn: str, chip: str, z: str | None) -> None:
    """A bare ECCN of a data sheet says nothing of 3A090."""
    assert z_class(eccn, classify(chips()[chip]).item_class) == z


@pytest.mark.parametrize(
    ("tpp", "density", "datacenter", "item"),
    [
        ("4799", "9", False, "below 3A090"),
        ("4800", "9", False, "3A090.a"),
        ("1600", "5.92", True, "3A090.a"),
        ("1600", "5.919", True, "3A090.b"),
        ("1599", "5.92", True, "below 3A090"),
        ("2399", "3.19", True, "below 3A090"),
        ("2400", "1.6", True, "3A090.b"),
        ("2400", "1.59", True, "below 3A090"),
        ("1600", "3.2", True, "3A090.b"),
    ],
)
def test_figures_that_a_maker_states_are_exact(tpp: str, density: str, datacenter: bool, item: str) -> None:
    """No band of rounding is put around a figure that an asker vouches for."""
    figures = StatedFigures(Decimal(tpp), Decimal(density), datacenter=datacenter)
    assert classify(chips()["MI308X"], figures=figures).item_class == item


@pytest.mark.parametrize("role", list(Role))
def test_a_list_entry_counts_in_every_role(role: Role) -> None:
    """748.5 and 744.11: purchaser, intermediate, consignee, end user; a forwarder is screened too."""
    other = Involved(role, a_party("CN", listings=("entity-list:fn4",)))
    assert judged(an_act("T4", "CN", "2024-06-01", others=(other,))).outcome is LICENCE
    unscreened = Involved(role, a_party("CN", listings=None))
    assert judged(an_act("T4", "CN", "2024-06-01", others=(unscreened,))).outcome is UNKNOWN


@pytest.mark.parametrize(
    ("role", "outcome"), [(Role.END_USER, LICENCE), (Role.PURCHASER, LICENCE), (Role.FORWARDER, FREE)]
)
def test_the_headquarters_of_whoever_receives_count(role: Role, outcome: Outcome) -> None:
    """An H100 for Singapore whose end user sits in China; a Chinese forwarder decides nothing."""
    act = an_act("H100", "SG", "2024-06-01", others=(Involved(role, a_party("CN")),))
    assert judged(act).outcome is outcome


def test_supplement_8_asks_the_named_end_users() -> None:
    """An end user that is not on the supplement takes the freedom away, whatever is said of all of them."""
    on_it = a_party("AE", authorisations=("supp8-740",))
    act = an_act("B200", "AE", "2026-08-01", recipient=on_it, all_end_users_authorised=True)
    assert judged(act).outcome is FREE
    guest = replace(act, others=(Involved(Role.END_USER, a_party("AE")),))
    assert judged(guest).outcome is LICENCE
    buyer = replace(act, others=(Involved(Role.PURCHASER, a_party("AE")),))
    assert judged(buyer).outcome is FREE  # purchasers and intermediates need not be on it


@pytest.mark.parametrize(
    ("designer", "kind", "outcome"),
    [
        ("CN", TransferKind.EXPORT, LICENCE),
        ("CN", TransferKind.IN_COUNTRY, FREE),
        ("US", TransferKind.IN_COUNTRY, LICENCE),
    ],
)
def test_what_leaves_the_united_states_is_subject_to_its_rules(
    designer: str, kind: TransferKind, outcome: Outcome
) -> None:
    """734.3(a)(1): whoever designed it; abroad, a Chinese circuit rests on 734.9 and what the parties know."""
    known = {"H100": replace(chips()["H100"], vendor="Example", vendor_country=designer)}
    act = an_act("H100", "CN", "2024-06-01", kind)
    assert decide(act, accelerators=known).outcome is outcome


@pytest.mark.parametrize(
    ("asked", "codified"),
    [({}, LICENCE), ({"aia.approved_designer": True, "aia.consignee_certificate": True}, EXCEPTION)],
)
def test_what_is_codified_and_not_enforced_keeps_its_own_exceptions(
    asked: dict[str, bool], codified: Outcome
) -> None:
    """Japan in 2025: nothing is enforced; by the text a licence, or AIA where its certificate is held."""
    found = judged(an_act("H100", "JP", "2025-06-01", stated=asked))
    assert (found.outcome, found.codified_outcome) == (FREE, codified)
    if not asked:
        assert "AIA" in explain(found)
        assert not found.missing


def test_certifications_are_a_checklist_of_thirteen() -> None:
    """748 Supp. 2(dd), row by row, with who gives it."""
    found = judged(an_act("H200", "CN", "2026-02-01", dd_certificate=True))
    rows = [c for c in found.conditions if c.startswith("748 Supp. 2(dd)")]
    assert len(rows) == 13
    assert "at most 50 %" in rows[2]
    assert all("(dd)(" in row for row in rows)


@pytest.mark.parametrize("chip", ["A800", "H800"])
def test_a_part_made_for_china_alone_has_no_certificate_to_give(chip: str) -> None:
    """(dd)(1)(iii): half of nothing shipped to US customers is nothing."""
    found = judged(an_act(chip, "CN", "2026-02-01", dd_certificate=True))
    assert found.review_policy is ReviewPolicy.DENIAL


# ------------------------------------------------------------------------------------------ second gate


@pytest.mark.parametrize(
    ("chip", "on", "answer"),
    [
        ("H20", "2025-07-30", None),
        ("H20", "2025-07-31", GateAnswer.REPORTED_BLOCK),
        ("H200", "2026-01-14", GateAnswer.REPORTED_BLOCK),
        ("H200", "2026-01-28", GateAnswer.REPORTED_CONDITIONS),
        ("RTX 5090D V2", "2026-05-15", GateAnswer.REPORTED_BLOCK),
        ("RTX 5090D V2", "2026-05-14", None),
    ],
)
def test_the_chinese_gate_has_its_own_days(chip: str, on: str, answer: GateAnswer | None) -> None:
    """Reported measures: never a paragraph of US law, and never a change of its answer."""
    found = judged(an_act(chip, "CN", on))
    answers = {g.answer for g in found.gates if g.government == "China"} - {GateAnswer.UNKNOWN}
    assert answers == ({answer} if answer else set())
    assert all(g.confidence in {"reported", "announced", "published"} for g in found.gates)
    assert not any(g.id in {r.rule for r in found.reasons} for g in found.gates)


@pytest.mark.parametrize(
    ("origin", "via", "on", "answer"),
    [
        ("MY", (), "2025-07-13", None),
        ("MY", (), "2025-07-14", GateAnswer.PERMIT_NEEDED),
        ("SG", ("MY",), "2025-07-14", GateAnswer.PERMIT_NEEDED),
        ("SG", (), "2025-07-14", None),
        ("KR", (), "2026-09-01", GateAnswer.UNKNOWN),
    ],
)
def test_other_governments_permits(
    origin: str, via: tuple[str, ...], on: str, answer: GateAnswer | None
) -> None:
    """Malaysia counts leaving and passing through; South Korea's text was not read."""
    act = an_act("H100", "DE", on, TransferKind.REEXPORT, origin=origin, via=via)
    found = [g.answer for g in judged(act).gates]
    assert found == ([answer] if answer else [])


def test_the_gate_stands_in_the_explanation() -> None:
    """A person who reads 'no licence' also reads that China blocks it."""
    text = explain(judged(an_act("RTX 5090D V2", "CN", "2026-05-20")))
    assert text.startswith("No licence is required.")
    assert "a block is reported (reported, since 2026-05-15)" in text


# ------------------------------------------------------------------------------------------ days, letters, doors


def test_after_the_last_text_both_readings_are_said_and_nothing_is_cleared() -> None:
    """The 50 % rule is back by its own terms; a prolongation is announced; the answer stays unknown."""
    owned = a_party("CN", listed_owners=("a listed party (share unknown)",))
    found = judged(an_act("T4", "CN", "2026-11-24", recipient=owned))
    assert (found.outcome, found.codified_outcome) == (UNKNOWN, LICENCE)
    said = " ".join(r.text for r in found.reasons)
    assert "prolongation to 2027-01-10" in said
    assert "General Order No. 7 expired" in said
    assert judged(an_act("T4", "DE", "2026-11-24")).outcome is UNKNOWN


@pytest.mark.parametrize(
    ("letter", "chip", "destination", "on", "binding"),
    [
        ("us-2022-08-nvidia", "A100", "CN", "2022-10-20", True),
        ("us-2022-08-nvidia", "A100", "CN", "2022-10-21", False),
        ("us-2023-10-nvidia", "A800", "CN", "2023-11-16", True),
        ("us-2023-10-nvidia", "A800", "CN", "2023-11-17", False),
        ("us-2025-04-nvidia-h20", "H20", "CN", "2026-09-24", True),
    ],
)
def test_a_letter_gives_way_to_the_rule_that_says_the_same(
    letter: str, chip: str, destination: str, on: str, binding: bool
) -> None:
    """The ground changes, the answer does not."""
    act = an_act(chip, destination, on, sender=a_party("US", letters=(letter,)))
    found = judged(act)
    assert found.outcome is LICENCE
    assert any(r.rule == letter and r.outcome is LICENCE for r in found.reasons) is binding


@pytest.mark.parametrize(
    "facts",
    [
        {"form": ItemForm.HBM},
        {"hbm": Hbm(Decimal(819), Decimal(110))},
        {"stated": {"no.such.question": True}},
        {"figures": StatedFigures(tpp=Decimal(-1))},
        {"via": ("XX",)},
        {"others": (Involved(Role.END_USER, a_party("ZZ")),)},
        {"kind": TransferKind.USE, "origin": "SG"},
    ],
)
def test_what_cannot_be_meant_is_refused(facts: dict[str, Any]) -> None:
    """One clear error before any rule is asked."""
    with pytest.raises(InputError):
        judged(replace(an_act("H20", "CN", "2025-06-01"), **facts))


def test_turning_days_change_something() -> None:
    """2023-11-17: the day before and the day differ for an A800 to China, and the text that did it is named."""
    from entrepot.controls.days import changes

    known = {c.id: c for c in (chips()["A800"], chips()["T4"])}
    found = changes(dt.date(2023, 11, 16), dt.date(2023, 11, 17), known, destinations=["CN", "DE"])
    told = {(c, d): change for change in found for c in change.chips for d in change.destinations}
    assert ("nvidia-t4-16gb", "CN") not in told
    change = told["nvidia-a800-sxm4-80gb", "CN"]
    assert (change.before.outcome, change.after.outcome) == (FREE, LICENCE)
    assert any("88 FR 73458" in text for text in change.because)
    assert told["nvidia-a800-sxm4-80gb", "DE"].in_name_only


def test_countries_judged_as_one_kind_answer_as_one() -> None:
    """The comparison of days tries one country of each kind; every country by itself says the same."""
    from entrepot.controls import countries
    from entrepot.controls.days import changes

    known = {"nvidia-h100-sxm5-80gb": chips()["H100"]}
    first, last = dt.date(2026, 7, 9), dt.date(2026, 7, 10)
    found = changes(first, last, known)
    told = {d for change in found for d in change.destinations}
    for code in sorted(countries()):
        if code == "US":
            continue
        alone = changes(first, last, known, destinations=[code])
        assert bool(alone) is (code in told), code


def test_the_rule_of_january_2026_changed_the_answer_of_those_alone_who_file_the_certificate() -> None:
    """91 FR 1684: below 21 000 TPP and 6500 GB/s, to China and Macau, with 748 Supp. 2(dd); nothing else moved that day."""
    from entrepot.controls.days import changes

    found = changes(
        dt.date(2026, 1, 14), dt.date(2026, 1, 15), {k: chips()[k] for k in ("H200", "B200", "H20")}
    )
    assert [(c.chips, c.destinations, c.certified) for c in found] == [
        (("nvidia-h200-sxm-141gb",), ("CN", "HK", "MO"), True)
    ]
    assert found[0].before.policy is ReviewPolicy.DENIAL
    assert found[0].after.policy is ReviewPolicy.CASE_BY_CASE


def test_a_person_types_the_kinds_of_act_by_their_names() -> None:
    """What --help offers is what is taken."""
    from typing import get_args

    from entrepot.cli.facts import Act

    assert set(get_args(Act)) == {kind.value for kind in TransferKind}
