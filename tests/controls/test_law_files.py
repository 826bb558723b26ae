"""The rule files: complete, dated, consistent with each other and with the published tables."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time

import pytest
from tests.controls.controls_desk import an_act, chips

from entrepot.controls import (
    FIRST_TEXT,
    LAW_KNOWN_TO,
    Outcome,
    TransferKind,
    countries,
    decide,
    letters,
    member,
)
from entrepot.controls._toml import rows
from entrepot.controls.law import exceptions, item_texts, letter_rules, listings, reviews, rules, version_on
from entrepot.controls.logic import Condition, Leaf, compiled
from entrepot.errors import EntrepotError

# The set of 742.6(a)(6)(iii) on 2026-07-23 as derived from Supplement No. 1 to part 740: 45 codes, the UAE by name.
SET_2026 = """
AF AM AZ BH BY CD CF CN CU EG ER GE HT IQ IR JO KG KH KP KW KZ LA LB LY MD MM MN MO NI
OM PK QA RU SA SD SO SS SY TJ TM UZ VE VN YE ZW
"""
APPROVAL_2026 = "AM AZ BH EG GE JO KG KH KW KZ LA MD MN OM PK QA SA TJ TM UZ VN YE"


def licence_set(on: str) -> set[str]:
    """Return the codes of the set on a day; Hong Kong, which counts as China, is left out."""
    day = dt.date.fromisoformat(on)
    return {code for code in countries() if member(code, ["742.6-set"], day)} - {"HK"}


@pytest.mark.parametrize(
    ("on", "added", "removed"),
    [
        ("2023-11-17", {"AE"}, {"NI"}),
        ("2024-03-14", {"AE"}, {"NI"}),
        ("2024-03-15", {"AE"}, set()),
        ("2025-11-06", {"AE"}, set()),
        ("2026-07-09", {"AE"}, set()),
        ("2026-07-10", set(), set()),
        ("2026-09-24", set(), set()),
    ],
)
def test_the_licence_set_by_date(on: str, added: set[str], removed: set[str]) -> None:
    """The published derivation for each stretch of time."""
    assert licence_set(on) == (set(SET_2026.split()) | added) - removed


def test_the_set_without_denial_is_the_published_one() -> None:
    """Of the set, neither D:5 nor Macau: 22 countries, where approval is presumed."""
    free = {c for c in licence_set("2026-07-23") if not member(c, ["MO+D:5"], dt.date(2026, 7, 23))}
    assert free == set(APPROVAL_2026.split())


def test_hong_kong_is_china_and_macau_is_not() -> None:
    """Macau is in D:1 and D:4 and never in D:5: rules that mean China always name it beside D:5."""
    day = dt.date(2026, 1, 15)
    assert member("HK", ["D:5"], day)
    assert not member("MO", ["D:5"], day)
    assert member("MO", ["D:1"], day)
    assert member("MO", ["D:4"], day)


def test_codes_of_all_countries() -> None:
    """ISO 3166-1 has 249 codes; every one is placed or placeable."""
    assert len(countries()) == 249
    assert countries()["NO"] == "Norway"


def test_every_version_is_dated_cited_and_in_order() -> None:
    """A version without a day or a citation cannot be checked by anybody."""
    for rule in rules():
        days = [version.effective for version in rule.versions]
        assert days == sorted(set(days)), rule.id
        for version in rule.versions:
            assert version.cite, rule.id
            assert version.source, rule.id
            assert (
                version.effective <= LAW_KNOWN_TO or "own terms" in version.cite
            )  # what a text says of its own end
            assert version.until is None or version.effective < version.until
    assert len({rule.id for rule in rules()}) == len(rules())


def test_what_points_to_a_rule_finds_it() -> None:
    """An exception or a review of a rule that does not exist would never be asked."""
    known = {rule.id for rule in rules() if rule.list_based}
    assert {name for e in exceptions() for name in e.overcomes} == known
    assert {name for r in reviews() for name in r.rules} == known


def test_every_list_based_requirement_has_a_policy_every_day() -> None:
    """The last entry that fits every application stands for each day from the requirement on."""
    for name in ("us.742.6.destination", "us.headquarters", "us.742.6.hbm"):
        rule = next(rule for rule in rules() if rule.id == name)
        day = next(v.effective for v in rule.versions if v.outcome is Outcome.LICENCE_REQUIRED)
        while day <= LAW_KNOWN_TO:
            assert any(name in r.rules and version_on((r,), day) for r in reviews()), (name, day)
            day += dt.timedelta(days=7)


def test_letters_name_their_addressee_and_their_source() -> None:
    """Facts about a party: who received it, when, what it is said to cover, who says so."""
    assert "us-2025-04-nvidia-h20" in letters()
    for letter in letters().values():
        assert letter.addressee in {"NVIDIA", "AMD", "Intel"}
        assert letter.effective < LAW_KNOWN_TO
        assert all((letter.scope, letter.destinations, letter.citation, letter.source, letter.note))
    assert all(rule.scope is not None or rule.doubt is not None for rule in letter_rules().values())


def test_the_first_text_is_the_first_text() -> None:
    """The span that is printed is the span of the files."""
    assert item_texts()[0].effective == FIRST_TEXT
    assert all(text.paragraphs for text in item_texts())
    assert {"entity-list", "meu-list", "unverified-list", "denied-persons", "sdn"} <= set(listings())


@pytest.mark.parametrize(
    "table", [{"destnation": ["CN"]}, {"tpp_min": "4800"}, {"any": "x"}, {"datacenter": 1}]
)
def test_a_misspelt_condition_is_refused(table: dict[str, object]) -> None:
    """A rule file that is wrong stops the program; it is never read as "no condition"."""
    with pytest.raises(EntrepotError):
        compiled(table, "a test")


def test_controls_start_without_the_heavy_libraries() -> None:
    """`entrepot check` has to answer at once."""
    heavy = "{'polars', 'numpy', 'scipy', 'highspy', 'sqlalchemy', 'pydantic'}"
    code = f"import sys, entrepot.controls; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_decision_takes_milliseconds() -> None:
    """A market asks thousands of times; the bound is twenty times what was measured."""
    act = an_act("H20", "CN", "2025-04-20")
    decide(act, accelerators=chips())
    began = time.perf_counter()
    for _ in range(20):
        decide(act, accelerators=chips())
    assert (time.perf_counter() - began) / 20 < 0.05


def test_a_misspelt_key_of_a_rule_is_refused() -> None:
    """`outcom = "prohibited"` must not make a prohibition a note."""
    with pytest.raises(EntrepotError, match="outcom"):
        rows({"version": [{"outcom": "prohibited"}]}, "version", "outcome text")


def test_every_name_in_a_condition_is_known() -> None:
    """A place, a class or a kind that nobody has would silently never match."""
    whens = [version.when for rule in rules() for version in rule.versions]
    whens += [e.when for e in exceptions()] + [r.when for r in reviews()]
    for letter in letter_rules().values():
        whens += [c for c in (letter.scope, letter.doubt, letter.destinations) if c is not None]
    leaves = [leaf for when in whens for leaf in _leaves(when)]
    known = {
        "item": {"3A090", "3A090.a", "3A090.b", "3A090.c"},
        "kind": {"moves", "in-place", *(kind.value for kind in TransferKind)},
    }
    for leaf in leaves:
        if leaf.name in known:
            assert isinstance(leaf.argument, tuple)
            assert set(leaf.argument) <= known[leaf.name]
        if leaf.name in {"destination", "origin", "designer", "recipient_seat", "sender_seat"}:
            assert isinstance(leaf.argument, tuple)
            for place in leaf.argument:
                member("CN", [place], LAW_KNOWN_TO)  # raises for a place that is none
    assert len(leaves) > 150


def test_a_place_that_is_none_is_refused() -> None:
    """Neither a country nor a group."""
    with pytest.raises(EntrepotError, match=r"742\.6-sett"):
        member("CN", ["742.6-sett"], LAW_KNOWN_TO)


def _leaves(condition: Condition) -> list[Leaf]:
    if isinstance(condition, Leaf):
        return [condition]
    return [leaf for child in condition.children for leaf in _leaves(child)]
