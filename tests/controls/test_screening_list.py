"""Is the public list read as it is published, whole, dated, and with every wording either understood or said to be unread?"""

from __future__ import annotations

import datetime as dt
import json
import os
from pathlib import Path
from typing import Any

import pytest

from entrepot.controls import ReviewPolicy
from entrepot.controls.screening import Entry, fresh, read_list, snapshot_of, synthetic
from entrepot.controls.screening.csl import CSV_COLUMNS
from entrepot.controls.screening.wordings import key, policies, requirements, sources
from entrepot.errors import InputError, MissingFact

MADE = dt.date(2026, 9, 20)
_EL = "Entity List (EL) - Bureau of Industry and Security"


@pytest.fixture
def rows() -> list[dict[str, object]]:
    """Return a small invented list with an entry of every source that must be there."""
    return synthetic.entries(400)


def entity(requirement: str | None, policy: str | None = "Presumption of denial.", **more: Any) -> Entry:
    """Return an invented entry of the Entity List with this wording, read."""
    row = {
        "id": "a1",
        "source": _EL,
        "name": "Norvel Works",
        "license_requirement": requirement,
        "license_policy": policy,
    }
    return snapshot_of([row | more], made_on=MADE).entries[0]


def test_json_and_csv_say_the_same(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    """One list in its two published forms: entry by entry the same, down to the digest that a ruling rests on."""
    (tmp_path / "consolidated.json").write_text(synthetic.as_json(rows), encoding="utf-8")
    (tmp_path / "consolidated.csv").write_text(synthetic.as_csv(rows), encoding="utf-8")
    from_json = read_list(tmp_path / "consolidated.json")
    from_csv = read_list(tmp_path / "consolidated.csv", made_on=MADE)
    assert from_json.entries == from_csv.entries
    assert from_json.made_on == from_csv.made_on == MADE
    assert len(from_json.entries) == 400
    assert not from_json.unread


def test_the_published_header_is_the_one_that_is_written(rows: list[dict[str, object]]) -> None:
    """29 columns, `_id` first and `ids` last, as consolidated.csv has had them since 2020."""
    header = synthetic.as_csv(rows).splitlines()[0].split(",")
    assert header == list(CSV_COLUMNS)
    assert len(header) == 29


@pytest.mark.parametrize(
    ("requirement", "footnotes"),
    [
        ("For all items subject to the EAR. (See §§ 734.9(e)(2) and 744.11 of the EAR)4", (4,)),
        ("For all items subject to the EAR. (See §§ 734.9(e)(2) and 744.11 of the EAR) 4", (4,)),
        # 25 entries of footnote 4 print the paragraph without its number: the digit is read first
        ("For all items subject to the EAR. (See §§ 734.9(e) and 744.11 of the EAR)4", (4,)),
        ("For All Items Subject to the EAR (See §734.9(e), and 744.11 of the EAR)4.", (4,)),
        # and one prints no digit
        ("For all items subject to the EAR. (See §§ 734.9(e)(2) and 744.11 of the EAR)", (4,)),
        ("For all items subject to the EAR, see §§ 734.9(e)1 and 744.11 of the EAR2", (1, 2)),
        ("For all items subject to the EAR, see §§ 734.9(e) 1 and 744.11 of the EAR 2", (1, 2)),
        (
            "For all items subject to the EAR. (See §§ 734.9(g), 3 746.8(a)(3), and 744.21(b) of the EAR)",
            (3,),
        ),
        ("For all items subject to the EAR. (See §734.4(a)(9), 734.9(e)(3) and 744.11 of the EAR)5", (5,)),
        ("For all items subject to the EAR. (See §744.11 of the EAR).", ()),
        ("For any item subject to the EAR listed in supplement no. 2 to part 744.", ()),
        # the paragraph of four footnotes and no digit: which one is not known
        ("For all items subject to the EAR. (See §734.9(e) and §744.11 of the EAR)", None),
    ],
)
def test_footnotes_are_read_digit_first(requirement: str, footnotes: tuple[int, ...] | None) -> None:
    """Wordings of the list of 2026-07-31; the designation decides which foreign-made items are reached."""
    assert entity(requirement).footnotes == footnotes


def test_an_unknown_wording_is_said_and_the_entry_stays() -> None:
    """A new wording may carry a new footnote: it is not read as "none", and the entry is not dropped."""
    snapshot = snapshot_of(
        [
            {
                "id": "a1",
                "source": _EL,
                "name": "Norvel Works",
                "license_requirement": "For some items (See §999.9 of the EAR)7",
            }
        ],
        made_on=MADE,
    )
    assert snapshot.entries[0].listing == "entity-list:fn-unread"
    assert snapshot.unread == (("license_requirement: For some items (See §999.9 of the EAR)7", 1),)


def test_an_unknown_source_is_said_and_the_entry_stays() -> None:
    """A new list of the government is on no table of ours: whoever stands on it is not clear."""
    snapshot = snapshot_of(
        [{"id": "1", "source": "New List (NL) - Some Department", "name": "Norvel"}], made_on=MADE
    )
    assert snapshot.entries[0].list_id == "unknown-list"
    assert snapshot.unread[0][0].startswith("source: New List")


def test_every_table_row_is_reachable() -> None:
    """No wording hides behind another, and each says something about footnotes that exist."""
    assert all(requirements()[key(r.text)] is r for r in requirements().values())
    assert {n for r in requirements().values() for n in r.footnotes or ()} == {1, 2, 3, 4, 5}
    assert {s.id for s in sources().values()} >= {
        "entity-list",
        "meu-list",
        "unverified-list",
        "denied-persons",
        "sdn",
    }


@pytest.mark.parametrize(
    ("policy", "read"),
    [
        ("Presumption of Denial", ReviewPolicy.DENIAL),
        ("Policy of denial.", ReviewPolicy.POLICY_OF_DENIAL),
        (
            "Case-by-case for all items listed on the CCL. Presumption of approval for EAR99 items",
            ReviewPolicy.CASE_BY_CASE,
        ),
        ("See §744.3(d) of this part", ReviewPolicy.NOT_STATED),
        ("Some new policy", None),
    ],
)
def test_policies_are_read_or_said_to_be_unread(policy: str, read: ReviewPolicy | None) -> None:
    """What is not in the table is not guessed."""
    assert entity(None, policy).policy is read
    assert ReviewPolicy.DENIAL in policies().values()


def test_a_part_of_the_list_is_refused(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    """A file without the Entity List would clear everybody on it."""
    part = [r for r in rows if r["source"] != _EL]
    path = tmp_path / "consolidated.json"
    path.write_text(synthetic.as_json(part), encoding="utf-8")
    with pytest.raises(InputError, match="no entry of EL"):
        read_list(path)


def test_a_page_of_the_search_answer_is_refused(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    """The search interface answers in pages of the same form."""
    path = tmp_path / "page.json"
    path.write_text(json.dumps({"total": 26000, "results": rows}), encoding="utf-8")
    with pytest.raises(InputError, match="400 of 26000"):
        read_list(path, made_on=MADE)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", '{"results": [', "not JSON"),
        ("a.json", "{}", "no list of 'results'"),
        ("a.json", '{"results": [{"name": "x"}]}', r"results\[0\]: no source"),
        ("a.csv", "name,country\nx,CN\n", "columns _id"),
        ("a.csv", ",".join(CSV_COLUMNS) + "\na,b,c\n", r"a.csv:2: 3 fields"),
        ("a.csv", ",".join(CSV_COLUMNS) + '\n"a,b', "not readable as CSV"),
    ],
)
def test_a_broken_file_is_said_where(tmp_path: Path, name: str, text: str, says: str) -> None:
    """One error with the place and the mend; half a list is not screened against."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        read_list(tmp_path / name, made_on=MADE)


def test_a_csv_needs_its_date_and_the_file_time_is_not_it(
    tmp_path: Path, rows: list[dict[str, object]]
) -> None:
    """Copying an old file makes it look new: its time stamp is no date of the list."""
    path = tmp_path / "consolidated.csv"
    path.write_text(synthetic.as_csv(rows), encoding="utf-8")
    os.utime(path, (0, 0))
    with pytest.raises(MissingFact, match="--list-date"):
        read_list(path)
    assert read_list(path, made_on=MADE).dated_by == "whoever screens"


def test_a_date_that_contradicts_the_file_is_refused(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    """Whoever gives another day than the file states is mistaken about one of them."""
    path = tmp_path / "consolidated.json"
    path.write_text(synthetic.as_json(rows), encoding="utf-8")
    with pytest.raises(InputError, match="made on 2026-09-20"):
        read_list(path, made_on=dt.date(2026, 11, 1))


def test_an_old_list_is_refused() -> None:
    """Who was listed since is not known; the day of the limit itself still passes."""
    snapshot = snapshot_of([], made_on=MADE)
    assert fresh(snapshot, MADE + dt.timedelta(days=7)) == 7
    with pytest.raises(MissingFact, match="8 days before"):
        fresh(snapshot, MADE + dt.timedelta(days=8))
    assert fresh(snapshot, MADE + dt.timedelta(days=8), max_age_days=30) == 8
    with pytest.raises(InputError, match="after 2026-09-19"):
        fresh(snapshot, MADE - dt.timedelta(days=1))


def test_semicolons_inside_an_address_lose_no_text() -> None:
    """The published CSV joins addresses by semicolons that some addresses hold themselves."""
    entry = entity(
        None, addresses=[{"address": "113 Hill Road; and 21 Lake Street", "city": "Estvale", "country": "IR"}]
    )
    assert entry.addresses[0].text == "113 Hill Road; and 21 Lake Street, Estvale, IR"
    assert entry.countries == ("IR",)
