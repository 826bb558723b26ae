"""Is a listed party found however its name is written, and is nobody cleared whom no person looked at?"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controls.controls_desk import a_party, an_act

from entrepot.cli import main
from entrepot.controls import Outcome, decide
from entrepot.controls.screening import (
    Entry,
    Index,
    PartyName,
    Review,
    Ruling,
    Screened,
    ScreenStatus,
    Snapshot,
    read_reviews,
    screen_parties,
    snapshot_of,
    synthetic,
    to_review,
)
from entrepot.controls.screening.names import core
from entrepot.errors import InputError, MissingFact

MADE = dt.date(2026, 9, 20)
FEW = settings(max_examples=40, deadline=None)
LISTED = snapshot_of(synthetic.entries(3000, seed=3), made_on=MADE)
INDEX = Index(LISTED.entries)
FORMS = ["Co., Ltd.", "LLC", "Limited", "Inc.", "GmbH", "JSC", "Company Limited", "Pte. Ltd.", ""]


def screened(
    *parties: PartyName,
    reviews: tuple[Review, ...] = (),
    snapshot: Snapshot = LISTED,
    index: Index | None = None,
) -> list[Screened]:
    """Screen against the invented list."""
    held = index or (INDEX if snapshot is LISTED else Index(snapshot.entries))
    return screen_parties(parties, snapshot, on=MADE, reviews=reviews, index=held)


def one(name: str) -> Screened:
    """Screen one name."""
    return screened(PartyName(name))[0]


def score_of(found: Screened, entry: Entry) -> float:
    """Return the score of an entry, 0 where it is not shown."""
    return max(
        (c.score for c in (*found.candidates, *found.near_misses) if c.entry.key == entry.key), default=0.0
    )


def ruling(party: PartyName, entry: Entry, says: Ruling) -> Review:
    """Return what a person ruled."""
    return Review(
        party.name, party.country, party.address, entry.key, entry.digest, says, "A. Reviewer", MADE, "looked"
    )


entries = st.sampled_from(LISTED.entries)


@st.composite
def rewritten(draw: st.DrawFn, name: str) -> str:
    """Write a name in another way that is no other name: case, punctuation, legal form, order of its words."""
    words = list(core(name).words)
    if draw(st.booleans()):
        words = draw(st.permutations(words))
    text = draw(st.sampled_from([" ", "  ", "-", ", ", ". "])).join(words)
    text = draw(st.sampled_from([str.upper, str.title, str.lower]))(text)
    wide = str.maketrans({c: chr(ord(c) + 0xFEE0) for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})
    text = draw(st.sampled_from([text, text.translate(wide)]))
    return f"{text} {draw(st.sampled_from(FORMS))}".strip()


@FEW
@given(entries, st.data())
def test_a_listing_never_disappears_by_the_way_it_is_written(entry: Entry, data: st.DataObject) -> None:
    """Upper case, full width, commas, another legal form, another order of words: it is the same name, with score 100."""
    name = data.draw(st.sampled_from(entry.names))
    found = one(data.draw(rewritten(name)))
    assert score_of(found, entry) == 100
    assert found.status is ScreenStatus.TO_REVIEW
    assert found.listings is None


@FEW
@given(entries, st.data())
def test_another_alias_never_lowers_a_score(entry: Entry, data: st.DataObject) -> None:
    """Whoever tells more about a party cannot make it look less like an entry."""
    name = data.draw(st.sampled_from(entry.names))[:-2] + "qy"
    more = tuple(
        data.draw(st.lists(st.text(min_size=1, max_size=20).filter(lambda t: core(t).words), max_size=3))
    )
    less, said = screened(PartyName(name), PartyName(name, aliases=more))
    for c in less.candidates:
        assert score_of(said, c.entry) >= c.score


@FEW
@given(entries)
def test_another_entry_never_changes_a_score(entry: Entry) -> None:
    """A score is of two names alone: tomorrow's list does not move it."""
    party = PartyName(f"{entry.name} East")
    small = snapshot_of([], made_on=MADE)
    alone = screened(party, snapshot=replace(small, entries=(entry,)))[0]
    assert score_of(screened(party)[0], entry) == score_of(alone, entry) > 0


@FEW
@given(
    entries, st.sampled_from(["CN", "SG", "US", "DE"]), st.sampled_from([None, "1 Elsewhere Lane, Faraway"])
)
def test_another_country_or_address_never_clears(entry: Entry, country: str, address: str | None) -> None:
    """Evidence raises; it lowers nothing: lists know one address, and parties have many."""
    found = screened(PartyName(entry.name, country, address))[0]
    assert any(c.entry.key == entry.key for c in found.candidates)
    assert found.listings is None


def test_typing_errors_are_found() -> None:
    """One letter too many, one missing, two changed places, in names of two telling letters and more: at least 95 of 100."""
    draw = random.Random(1)  # noqa: S311 - typing errors, not secrets
    entries_ = [e for e in draw.sample(LISTED.entries, 400) if len(core(e.name).telling.joined) >= 6]
    parties = []
    for entry in entries_:
        at = draw.randrange(1, len(entry.name) // 2)
        n = entry.name
        swapped = n[:at] + n[at : at + 2][::-1] + n[at + 2 :]
        parties.append(PartyName(draw.choice([n[:at] + n[at + 1 :], n[:at] + "k" + n[at:], swapped])))
    found = screened(*parties)
    hit = sum(any(c.entry.key == e.key for c in f.candidates) for f, e in zip(found, entries_, strict=True))
    shown = sum(score_of(f, e) > 0 for f, e in zip(found, entries_, strict=True))
    assert hit >= 0.95 * len(entries_)
    assert shown >= 0.99 * len(entries_)


def small(*rows: Mapping[str, object]) -> Snapshot:
    """Return an invented list of a few entries."""
    source = "Entity List (EL) - Bureau of Industry and Security"
    return snapshot_of([{"id": str(i), "source": source, **row} for i, row in enumerate(rows)], made_on=MADE)


@pytest.mark.parametrize(
    ("listed", "asked"),
    [
        ("Borealis Semiconductor (Port Aurel) Co., Ltd.", "Borealis Semiconductor"),
        ("Borealis", "Borealis Electronic Information Industry Co., Ltd."),
        ("Zhongbo Ruihua Technology", "Zhong Bo Rui Hua Technology Co Ltd"),
        ("ОАО «Северное сияние»", "Severnoe Siyanie JSC"),
        ("Severnoye Siyaniye", "Северное сияние"),
        ("Norvel & Sons", "Norvel and Sons Ltd"),
        ("Institute of Norvel Computing 13 (INC 13)", "INC 13"),
        ("Banco Norvél S.A.", "Banco Norvel SA"),
        ("KESTREL, Ansel Tor", "Ansel Tor Kestrel"),
        ("北极星贸易有限公司", "北极星贸易股份有限公司"),
    ],
)
def test_names_that_are_one(listed: str, asked: str) -> None:
    """What a clerk writes is seldom what a list prints."""
    found = screened(PartyName(asked), snapshot=small({"name": listed}))[0]
    assert [c.entry.name for c in found.candidates] == [listed]


@pytest.mark.parametrize(
    ("listed", "asked"),
    [
        ("Borealis Information Technology Co., Ltd.", "Zephyr Information Technology Co., Ltd."),
        ("Norvel Precision Machinery", "Quist Precision Machinery"),
    ],
)
def test_words_that_every_company_has_make_no_candidate(listed: str, asked: str) -> None:
    """A screen that always rings is switched off."""
    found = screened(PartyName(asked), snapshot=small({"name": listed}))[0]
    assert not found.candidates


def test_an_address_raises_a_near_miss() -> None:
    """Names that differ, at one door in one country: a person looks."""
    entry = {
        "name": "Borealan Logistics",
        "addresses": [{"address": "12 Harbour Road", "city": "Tamarind", "country": "SG"}],
    }
    far, close = screened(
        PartyName("Boreal Line Logistics", "SG"),
        PartyName("Boreal Line Logistics", "SG", "Harbour Road 12, Tamarind"),
        snapshot=small(entry),
    )
    assert far.status is ScreenStatus.NO_CANDIDATE
    assert far.near_misses
    assert close.status is ScreenStatus.TO_REVIEW
    assert close.candidates[0].evidence.country == "same"


def test_a_name_that_cannot_be_compared_is_not_clear() -> None:
    """The list is in Latin letters: that nothing in it resembles Chinese characters says nothing."""
    found = one("蓝杉计算")
    assert (found.status, found.listings) == (ScreenStatus.NOT_COMPARABLE, None)
    with_alias = screened(PartyName("蓝杉计算", aliases=("Quietwater Vintners",)))[0]
    assert with_alias.listings == ()


@FEW
@given(entries, st.data())
def test_a_candidate_never_yields_no_licence(entry: Entry, data: st.DataObject) -> None:
    """The rules get "not known" for a party with an open candidate, and answer accordingly, on both sides of an act."""
    found = one(data.draw(rewritten(entry.name)))
    for role in ("sender", "recipient"):
        party = a_party("SG" if role == "recipient" else "US", listings=found.listings)
        facts: dict[str, Any] = {role: party}
        act = an_act("nvidia-t4-16gb", "SG", "2026-02-01", **facts)
        assert decide(act).outcome is not Outcome.NO_LICENCE


def test_a_confirmed_candidate_becomes_a_listing_that_the_rules_know() -> None:
    """From the list's own wording to the review policy of the decision."""
    wording = "For all items subject to the EAR. (See §§ 734.9(e) and 744.11 of the EAR)4"
    snapshot = small(
        {"name": "Borealis Computing", "license_requirement": wording, "license_policy": "Policy of denial."}
    )
    party = PartyName("Borealis Computing Ltd", "CN")
    found = screened(
        party, snapshot=snapshot, reviews=(ruling(party, snapshot.entries[0], Ruling.CONFIRMED),)
    )[0]
    assert found.listings == ("entity-list:fn4:policy-of-denial",)
    decision = decide(
        an_act("nvidia-t4-16gb", "CN", "2026-02-01", recipient=a_party("CN", listings=found.listings))
    )
    assert decision.outcome is Outcome.LICENCE_REQUIRED
    assert decision.review_policy is not None
    assert decision.review_policy.value == "policy_of_denial"


def test_a_false_positive_clears_that_party_at_that_place_and_that_text_only() -> None:
    """A ruling is about what the person saw: another country, address or wording of the entry opens the candidate again."""
    entry = {
        "name": "Borealis Computing",
        "addresses": [{"address": "1 Lake Road", "city": "Estvale", "country": "IR"}],
    }
    before, after = small(entry), small(entry | {"alt_names": ["Norvel Computing"]})
    party = PartyName("Borealis Computing Ltd", "SG", "9 Hill Street")
    clear = (ruling(party, before.entries[0], Ruling.FALSE_POSITIVE),)
    assert screened(party, snapshot=before, reviews=clear)[0].listings == ()
    for other in (
        replace(party, country="CN"),
        replace(party, address="1 Lake Road"),
        replace(party, country=None),
    ):
        assert screened(other, snapshot=before, reviews=clear)[0].listings is None
    changed = screened(party, snapshot=after, reviews=clear)[0]
    assert changed.listings is None
    assert "no longer holds" in changed.notes[0]


def test_what_is_confirmed_stays_confirmed() -> None:
    """The entry changed, or is gone: the party is not clear by that."""
    before, after = small({"name": "Borealis"}), small({"name": "Borealis", "alt_names": ["Norvel"]})
    party = PartyName("Borealis")
    sure = (ruling(party, before.entries[0], Ruling.CONFIRMED),)
    assert screened(party, snapshot=after, reviews=sure)[0].status is ScreenStatus.LISTED
    gone = screened(party, snapshot=replace(before, entries=()), reviews=sure)[0]
    assert (gone.status, gone.listings) == (ScreenStatus.TO_REVIEW, None)


def test_a_person_may_confirm_what_no_score_finds() -> None:
    """Somebody who knows that two names are one party is believed."""
    snapshot = small({"name": "Borealis"})
    party = PartyName("Quite Another Name")
    found = screened(
        party, snapshot=snapshot, reviews=(ruling(party, snapshot.entries[0], Ruling.CONFIRMED),)
    )[0]
    assert found.status is ScreenStatus.LISTED


def test_confirmed_and_open_is_as_strict_as_both() -> None:
    """One entry is confirmed and another open: the listing stands, and the answer still says that something is not known."""
    snapshot = small({"name": "Borealis One"}, {"name": "Borealis Two"})
    party = PartyName("Borealis")
    found = screened(
        party, snapshot=snapshot, reviews=(ruling(party, snapshot.entries[0], Ruling.CONFIRMED),)
    )[0]
    assert found.listings == ("entity-list", "unreviewed-candidate")
    decision = decide(
        an_act("nvidia-t4-16gb", "SG", "2026-02-01", recipient=a_party("SG", listings=found.listings))
    )
    assert decision.outcome is Outcome.LICENCE_REQUIRED
    assert any("unreviewed-candidate" in m for m in decision.missing)


def test_the_file_to_fill_in_is_read_back(tmp_path: Path) -> None:
    """Written by us with empty rulings it leaves all open; filled in by a person it rules."""
    party = PartyName('Boreal "Q" \\ Line\t', "SG", "1 Lake Road")
    snapshot = small({"name": "Boreal Q Line"})
    path = tmp_path / "open.toml"
    path.write_text(to_review(screened(party, snapshot=snapshot)), encoding="utf-8")
    assert read_reviews(path) == ()
    text = path.read_text(encoding="utf-8").replace('ruling = ""', 'ruling = "false-positive"')
    text = text.replace('by = ""', 'by = "A. Reviewer"').replace("# on = 2026-01-31", "on = 2026-09-20")
    path.write_text(text.replace('why = ""', 'why = "Founded in 2019."'), encoding="utf-8")
    reviews = read_reviews(path)
    assert len(reviews) == 1
    assert screened(party, snapshot=snapshot, reviews=reviews)[0].listings == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[[review]]\nparty = "a"\nentry = "EL:1"\nentry_digest = "x"\nruling = "confirmed"\n',
            "by: it is missing",
        ),
        ('[[review]]\nruling = "cleared"\n', "'cleared' is no ruling"),
        ('[[review]]\nverdict = "confirmed"\n', "verdict: there is no such field"),
        ('[reviews]\nparty = "a"\n', r"Begin each ruling with the line \[\[review\]\]"),
        ("[[review]\n", "not TOML"),
        (
            '[[review]]\nparty="a"\nentry="EL:1"\nentry_digest="x"\nruling="confirmed"\nby="b"\non="yesterday"\nwhy="w"\n',
            "on: the day of the ruling",
        ),
    ],
)
def test_a_ruling_without_who_when_and_why_is_none(tmp_path: Path, text: str, says: str) -> None:
    """The file is evidence: what it lacks is said with its place, and nothing is cleared by half a line."""
    path = tmp_path / "reviews.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        read_reviews(path)


def test_an_old_list_and_a_ruling_of_tomorrow_are_refused() -> None:
    """Nobody screens against last month's list by forgetting to look at its date."""
    party = PartyName("Borealis")
    snapshot = small({"name": "Borealis"})
    with pytest.raises(MissingFact, match="8 days before"):
        screen_parties([party], snapshot, on=MADE + dt.timedelta(days=8))
    tomorrow = replace(
        ruling(party, snapshot.entries[0], Ruling.FALSE_POSITIVE), on=MADE + dt.timedelta(days=1)
    )
    with pytest.raises(InputError, match="after 2026-09-20"):
        screen_parties([party], snapshot, on=MADE, reviews=(tomorrow,))


def test_two_rulings_that_contradict_each_other_stop(tmp_path: Path) -> None:
    """Nobody knows which of two people is right but they."""
    row = (
        '[[review]]\nparty="a"\nentry="EL:1"\nentry_digest="x"\nruling="{}"\nby="b"\non=2026-01-01\nwhy="w"\n'
    )
    path = tmp_path / "reviews.toml"
    path.write_text(row.format("confirmed") + row.format("false-positive"), encoding="utf-8")
    with pytest.raises(InputError, match="Keep the ruling that stands"):
        read_reviews(path)


def test_the_command_screens_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Table in, file to fill in out, exit code by the worst party, and the words that belong to every answer."""
    listed = tmp_path / "consolidated.json"
    listed.write_text(synthetic.as_json(synthetic.entries(400)), encoding="utf-8")
    name = synthetic.entries(400)[-1]["name"]
    table = tmp_path / "parties.csv"
    table.write_text(
        f'name,country,address,aliases\n"{name}",CN,,\nQuietwater Vintners,FR,,QV; Quiet V\n',
        encoding="utf-8",
    )
    command = ["controls", "screen-party", "--list", str(listed), "--on", "2026-09-21"]
    todo = tmp_path / "todo.toml"
    assert main([*command, "--parties", str(table), "--to-review", str(todo), "-o", "csv"]) == 6
    out, err = capsys.readouterr()
    assert "to review" in out.splitlines()[1]
    assert "clear" in out.splitlines()[2]
    assert "Not legal advice" in err
    assert "2026-09-20" in err
    assert todo.read_text(encoding="utf-8").count("[[review]]") >= 1
    assert main([*command, "--parties", str(table), "--to-review", str(todo)]) == 5
    assert main([*command, "Quietwater Vintners"]) == 0
    assert main([*command, "--max-age-days", "0", "Quietwater Vintners"]) == 6
    table.write_text("name,land\nx,CN\n", encoding="utf-8")
    assert main([*command, "--parties", str(table)]) == 3
    assert "parties.csv:1: land" in capsys.readouterr().err
