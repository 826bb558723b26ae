"""What must hold for every act whatever: more chip is never freer, a listing never clears, not knowing never permits."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.controls.controls_desk import a_chip

from entrepot.catalogue.records import Accelerator, NumberFormat
from entrepot.controls import (
    FIRST_TEXT,
    LAW_KNOWN_TO,
    Decision,
    Hbm,
    Involved,
    ItemForm,
    Outcome,
    PartyFacts,
    Provenance,
    Role,
    Transfer,
    TransferKind,
    classify,
    decide,
    decide_route,
    letters,
)
from entrepot.controls.law import questions
from entrepot.errors import InputError

FEW = settings(max_examples=80, deadline=None)
COUNTRIES = [
    "CN",
    "HK",
    "MO",
    "SG",
    "MY",
    "AE",
    "SA",
    "DE",
    "IL",
    "RU",
    "IR",
    "KH",
    "VN",
    "NI",
    "US",
    "ET",
    "TW",
]
countries = st.sampled_from(COUNTRIES)
days = st.dates(FIRST_TEXT - dt.timedelta(days=60), LAW_KNOWN_TO + dt.timedelta(days=5))
flags = st.sampled_from(
    [False] * 9 + [True]
)  # mostly clean: a law about permission needs acts that are permitted
rates = st.sampled_from(["20", "75", "100", "125", "149", "150", "160", "299", "301", "400", "1000", "1400"])


@st.composite
def chips(draw: st.DrawFn) -> Accelerator:
    """Draw a chip near the thresholds, of which every figure is stated."""
    rate = Decimal(draw(rates))
    return a_chip(
        {NumberFormat.BF16: rate, NumberFormat.INT8: rate * draw(st.sampled_from([1, 2, 4]))},
        die=draw(st.sampled_from(["100", "300", "500", "814", "1600"])),
        node=draw(st.sampled_from(["TSMC 4N", "TSMC 7nm", "TSMC 28nm"])),
        datacenter=draw(st.booleans()),
        memory_bw=draw(st.sampled_from(["864", "1400", "4000", "8000"])),
        link=draw(st.sampled_from(["0", "400", "600", "900"])),
        id=draw(
            st.sampled_from(["test-chip", "nvidia-h20-test", "nvidia-h100-test", "huawei-ascend-910b-test"])
        ),
        country=draw(st.sampled_from(["US", "US", "CN"])),
        vendor=draw(st.sampled_from(["NVIDIA", "AMD", "Huawei"])),
    )


@st.composite
def parties(draw: st.DrawFn) -> PartyFacts:
    """Draw a party of which every fact is known."""
    return PartyFacts(
        id=draw(st.sampled_from(["a", "b"])),
        headquarters=draw(countries),
        ultimate_parent_headquarters=draw(countries),
        listings=draw(st.sampled_from([*([()] * 9), ("entity-list:fn4",), ("sdn",), ("unverified-list",)])),
        military_end_user=draw(flags),
        supercomputer_end_use=draw(flags),
        letters=draw(st.sampled_from([*([()] * 9), *((key,) for key in letters())])),
        knowledge_of_violation=draw(flags),
        listed_owners=draw(st.sampled_from([*([()] * 5), ("a listed party",)])),
    )


@st.composite
def acts(draw: st.DrawFn) -> Transfer:
    """Draw an act that can be read, of which every fact is known."""
    kind = draw(st.sampled_from(list(TransferKind)))
    origin, destination, on = draw(countries), draw(countries), draw(days)
    if kind is TransferKind.EXPORT:
        origin = "US"
        assume(destination != "US")
    elif kind is TransferKind.DOMESTIC:
        origin = destination = "US"
    elif kind is TransferKind.REEXPORT:
        assume(origin not in {"US", destination} and {origin, destination} != {"CN", "HK"})
    elif kind in {TransferKind.POSSESSION_LEASE, TransferKind.LICENCE_KEY}:
        pass  # any route: it is judged as the move that it makes
    else:
        origin = destination
        assume(kind is not TransferKind.IN_COUNTRY or destination != "US")
    imported = on - dt.timedelta(days=draw(st.integers(0, 1500)))
    authorisation = draw(st.sampled_from(["none", "no licence required", "licence D-1", "lawful"]))
    others = draw(st.lists(st.builds(Involved, st.sampled_from(Role), parties()), max_size=2))
    return Transfer(
        accelerator="test-chip",
        kind=kind,
        origin=origin,
        destination=destination,
        sender=draw(parties()),
        recipient=draw(parties()),
        on=on,
        provenance=Provenance(
            imported, "US", authorisation, draw(st.sampled_from([*([()] * 5), ("no resale",)]))
        ),
        dd_certificate=draw(st.booleans()),
        all_end_users_authorised=draw(st.booleans()),
        others=tuple(others),
        via=draw(st.sampled_from([(), (), ("MY",), ("IR", "SG")])),
        form=draw(st.sampled_from([ItemForm.CHIP, ItemForm.SYSTEM])),
        stated={question: draw(st.booleans()) for question in questions()},
    )


def judged(act: Transfer, chip: Accelerator) -> Decision:
    """Decide with one chip."""
    return decide(replace(act, accelerator=chip.id), accelerators={chip.id: chip})


def granted(found: Decision) -> bool:
    """Return whether somebody may go ahead: at once, or under an exception's conditions."""
    return found.outcome in {Outcome.NO_LICENCE, Outcome.EXCEPTION}


@FEW
@given(acts(), chips(), st.integers(1, 8), st.sampled_from(["rate", "memory", "link"]))
def test_more_performance_is_never_freer(act: Transfer, chip: Accelerator, factor: int, what: str) -> None:
    """A faster chip may be asked for more, never for less."""
    more: dict[str, Accelerator] = {
        "rate": replace(chip, dense_rate={f: rate * factor for f, rate in chip.dense_rate.items()}),
        "memory": replace(chip, memory_bw_gb_s=(chip.memory_bw_gb_s or Decimal(0)) * factor),
        "link": replace(chip, scaleup_bw_gb_s=(chip.scaleup_bw_gb_s or Decimal(0)) * factor),
    }
    if judged(act, more[what]).allowed:
        assert judged(act, chip).allowed
    if granted(judged(act, more[what])):
        assert granted(judged(act, chip))


@FEW
@given(
    acts(),
    chips(),
    st.sampled_from(["sender", "recipient"]),
    st.sampled_from(["entity-list", "sdn", "new-list"]),
)
def test_a_listing_never_clears(act: Transfer, chip: Accelerator, role: str, entry: str) -> None:
    """Adding an entry to what is known of a party frees nothing."""
    party = getattr(act, role)
    listed = _with(act, role, listings=(*(party.listings or ()), entry))
    if granted(judged(listed, chip)):
        assert granted(judged(act, chip))


PARTY_FACTS = [
    "headquarters",
    "ultimate_parent_headquarters",
    "listings",
    "military_end_user",
    "supercomputer_end_use",
    "knowledge_of_violation",
    "listed_owners",
]
ACT_FACTS = ["origin", "destination", "dd_certificate", "all_end_users_authorised"]
FORGOTTEN = [
    *(f"{role}.{name}" for role in ("sender", "recipient") for name in PARTY_FACTS),
    *ACT_FACTS,
    "provenance.imported_on",
    "provenance.authorisation",
]


@settings(max_examples=150, deadline=None)
@given(acts(), chips(), st.lists(st.sampled_from(FORGOTTEN), min_size=1, max_size=3, unique=True))
def test_forgetting_facts_of_an_act_never_permits(act: Transfer, chip: Accelerator, names: list[str]) -> None:
    """Whatever was not permitted when everything was known is not permitted when less is known."""
    less = act
    for name in names:
        less = _forgotten(less, name)
    if judged(less, chip).allowed:
        assert judged(act, chip).allowed
    if granted(judged(less, chip)):
        assert granted(judged(act, chip))


@FEW
@given(acts(), chips(), st.data())
def test_forgetting_a_fact_of_a_further_party_never_permits(
    act: Transfer, chip: Accelerator, data: st.DataObject
) -> None:
    """Whoever is involved is asked the same as the buyer."""
    assume(act.others)
    at = data.draw(st.integers(0, len(act.others) - 1))
    fact: dict[str, Any] = {data.draw(st.sampled_from(PARTY_FACTS)): None}
    less = [replace(o, party=replace(o.party, **fact)) if n == at else o for n, o in enumerate(act.others)]
    if granted(judged(replace(act, others=tuple(less)), chip)):
        assert granted(judged(act, chip))


@FEW
@given(acts(), chips(), st.sampled_from(sorted(questions())))
def test_a_question_without_an_answer_never_permits(act: Transfer, chip: Accelerator, question: str) -> None:
    """An exception's condition that nobody confirmed is not met."""
    left = {k: v for k, v in act.stated.items() if k != question}
    if granted(judged(replace(act, stated=left), chip)):
        assert granted(judged(act, chip))


@FEW
@given(acts(), chips(), parties(), st.sampled_from(Role))
def test_a_further_party_never_clears(
    act: Transfer, chip: Accelerator, party: PartyFacts, role: Role
) -> None:
    """More people in a deal are more to screen."""
    if granted(judged(replace(act, others=(*act.others, Involved(role, party))), chip)):
        assert granted(judged(act, chip))


@FEW
@given(acts(), chips())
def test_the_order_of_parties_and_countries_does_not_matter(act: Transfer, chip: Accelerator) -> None:
    """A list of parties is a set; so are the countries on the way."""
    turned = replace(act, others=act.others[::-1], via=act.via[::-1])
    one, two = judged(act, chip), judged(turned, chip)
    assert replace(one, transfer=two.transfer) == two


@FEW
@given(st.lists(acts(), min_size=2, max_size=3), chips(), st.randoms(use_true_random=False))
def test_the_order_of_legs_does_not_matter(legs: list[Transfer], chip: Accelerator, random: Any) -> None:
    """A route is no freer than its worst leg, however it is written down."""
    named = [replace(leg, accelerator=chip.id) for leg in legs]
    known = {chip.id: chip}
    one = decide_route(named, accelerators=known)
    shuffled = list(named)
    random.shuffle(shuffled)
    two = decide_route(shuffled, accelerators=known)
    assert (one.outcome, one.allowed) == (two.outcome, two.allowed)
    if one.allowed:
        assert all(decide(leg, accelerators=known).allowed for leg in named)


def test_a_route_of_no_legs_is_refused() -> None:
    """Nothing is not lawful by being nothing."""
    with pytest.raises(InputError):
        decide_route([])


@FEW
@given(acts(), st.integers(1, 900), st.integers(1, 900))
def test_denser_memory_is_never_freer(act: Transfer, bandwidth: int, more: int) -> None:
    """3A090.c and its exception both run the same way."""

    def of(rate: int) -> Decision:
        return decide(replace(act, form=ItemForm.HBM, hbm=Hbm(Decimal(rate), Decimal(110))))

    if granted(of(bandwidth + more)):
        assert granted(of(bandwidth))


@FEW
@given(acts(), chips())
def test_a_trace_changes_nothing_and_shows_every_rule(act: Transfer, chip: Accelerator) -> None:
    """Whoever asks for the steps gets the same answer."""
    named = replace(act, accelerator=chip.id)
    plain = decide(named, accelerators={chip.id: chip})
    traced = decide(named, accelerators={chip.id: chip}, trace=True)
    assert replace(traced, trace=()) == plain
    assert {step.stage for step in traced.trace} >= {"rule", "listing"}
    for step in traced.trace:
        assert (step.value is None) <= bool(step.missing)


CHIP_FACTS = [
    "die_area_mm2",
    "process_node",
    "marketed_for_datacenter",
    "memory_bw_gb_s",
    "scaleup_bw_gb_s",
    "host_link",
]


@FEW
@given(acts(), chips(), st.sampled_from([*CHIP_FACTS, "vendor_country", "bf16", "int8"]))
def test_forgetting_figures_of_a_chip_never_permits(act: Transfer, chip: Accelerator, name: str) -> None:
    """A datasheet with a hole clears nothing that the full one would not."""
    if name in {"bf16", "int8"}:
        held = {f: r for f, r in chip.dense_rate.items() if f.value != name}
        less = replace(chip, dense_rate=held)
    else:
        less = _without(chip, name)
    if granted(judged(act, less)):
        assert granted(judged(act, chip))


@FEW
@given(acts(), chips())
def test_an_answer_repeats_and_is_complete(act: Transfer, chip: Accelerator) -> None:
    """The same act gives the same answer, with a citation, the law's date, and a missing fact wherever it is unknown."""
    found = judged(act, chip)
    assert found == judged(act, chip)
    assert found.citations
    assert found.law_known_to == LAW_KNOWN_TO
    assert found.outcome is not Outcome.UNKNOWN or found.missing
    assert found.allowed is (found.outcome is Outcome.NO_LICENCE)
    assert any(reason.outcome is found.outcome for reason in found.reasons)


@FEW
@given(chips(), days, st.integers(2, 6))
def test_more_performance_never_lowers_the_class(chip: Accelerator, on: dt.date, factor: int) -> None:
    """Below, then .b, then .a: a faster chip of the same area never falls back."""
    faster = replace(chip, dense_rate={f: rate * factor for f, rate in chip.dense_rate.items()})
    order = ["below 3A090", "3A090.b", "3A090", "3A090.a"]
    low = min(order.index(item) for item in classify(chip, on).possible)
    high = max(order.index(item) for item in classify(faster, on).possible)
    assert low <= high


def _without(chip: Accelerator, name: str) -> Accelerator:
    figure: dict[str, Any] = {name: None}
    return replace(chip, **figure)


def _with(act: Transfer, role: str, **facts: Any) -> Transfer:
    party: PartyFacts = replace(getattr(act, role), **facts)
    return replace(act, sender=party) if role == "sender" else replace(act, recipient=party)


def _forgotten(act: Transfer, name: str) -> Transfer:
    role, _, fact = name.rpartition(".")
    if role in {"sender", "recipient"}:
        return _with(act, role, **{fact: None})
    if role == "provenance":
        facts: dict[str, Any] = {fact: None}
        return replace(act, provenance=replace(act.provenance, **facts))
    changed: dict[str, Any] = {name: None}
    return replace(act, **changed)
