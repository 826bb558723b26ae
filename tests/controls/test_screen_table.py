"""Does a table say exactly what a single act is told, to every row, and name every row that it cannot read?"""

from __future__ import annotations

import datetime as dt
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.controls.controls_desk import a_party, an_act, cases, chips

import entrepot as ep
from entrepot.cli import main
from entrepot.controls import Decision, PartyFacts, Provenance, Transfer, TransferKind, decide, law, table
from entrepot.controls.facts import act_of, cells_of, columns, key_columns
from entrepot.controls.identity import decision_id
from entrepot.controls.records import Hbm, Involved, ItemForm, Role, StatedFigures
from entrepot.controls.screening import synthetic
from entrepot.controls.table import ANSWERS, decide_kinds, screen_file, screen_table
from entrepot.errors import InputError

FEW = settings(max_examples=60, deadline=None)
H20, H100, T4 = "nvidia-h20-sxm-96gb", "nvidia-h100-sxm5-80gb", "nvidia-t4-16gb"
places = st.sampled_from([None, "CN", "HK", "MO", "SG", "AE", "US", "DE", "RU"])
answers = st.sampled_from([None, False, False, True])
lists = st.sampled_from([None, (), ("entity-list:fn4",), ("sdn", "unverified-list"), ("new-list:x",)])


@st.composite
def parties(draw: st.DrawFn) -> PartyFacts:
    """Draw a party of which much or little is known."""
    return PartyFacts(
        id=draw(st.sampled_from(["a", "b"])),
        headquarters=draw(places),
        ultimate_parent_headquarters=draw(places),
        listings=draw(lists),
        military_end_user=draw(answers),
        supercomputer_end_use=draw(answers),
        letters=draw(st.sampled_from([(), ("us-2025-04-nvidia-h20",)])),
        knowledge_of_violation=draw(answers),
        listed_owners=draw(st.sampled_from([None, (), ("a listed party",)])),
        authorisations=draw(st.sampled_from([(), ("supp8-740",)])),
    )


@st.composite
def acts(draw: st.DrawFn) -> Transfer:
    """Draw an act, possibly one that contradicts itself."""
    on = draw(st.dates(dt.date(2022, 9, 1), dt.date(2026, 10, 1)))
    past = Provenance(
        draw(st.sampled_from([None, dt.date(2024, 5, 1), dt.date(2026, 1, 1)])),
        draw(st.sampled_from([None, "US", "SG"])),
        draw(st.sampled_from([None, "none", "no licence required", "licence D-1"])),
        draw(st.sampled_from([(), ("no resale",)])),
    )
    return Transfer(
        draw(st.sampled_from([H20, H100, T4])),
        draw(st.sampled_from(list(TransferKind))),
        draw(places),
        draw(places),
        draw(parties()),
        draw(parties()),
        on,
        past,
        dd_certificate=draw(answers),
        all_end_users_authorised=draw(answers),
        technical_analysis=draw(st.booleans()),
        others=tuple(
            Involved(role, draw(parties()))
            for role in sorted(draw(st.sets(st.sampled_from(Role), max_size=2)), key=list(Role).index)
        ),
        via=draw(st.sampled_from([(), (), ("SG",), ("MY", "SG")])),
        form=draw(st.sampled_from([ItemForm.CHIP, ItemForm.CHIP, ItemForm.SYSTEM])),
        stated=draw(st.dictionaries(st.sampled_from(list(law.questions())), st.booleans(), max_size=3)),
    )


def alone(act: Transfer) -> Decision | None:
    """Decide one act by itself; ``None`` where it is refused at the door."""
    try:
        return decide(act)
    except InputError:
        return None


@FEW
@given(st.lists(acts(), min_size=1, max_size=5))
def test_a_row_gets_what_decide_says(some: list[Transfer]) -> None:
    """The same outcome, paragraphs, review policy and missing facts, row by row: in bulk is no other law."""
    readable = [act for act in some if alone(act) is not None]
    assume(readable)
    twice = [*readable, *reversed(readable)]
    done = decide_kinds(twice)
    for row, act in enumerate(twice):
        single, bulk = decide(act), done.decision(row)
        assert (bulk.outcome, bulk.reasons, bulk.missing) == (single.outcome, single.reasons, single.missing)
        assert done.rows["decision_id"][row] == decision_id(single)
        assert done.rows["allowed"][row] is single.allowed
    assert len(done.decisions) <= len(readable)


@FEW
@given(acts())
def test_an_act_that_is_refused_alone_is_refused_in_a_table(act: Transfer) -> None:
    """Nothing is decided for a table that holds an act which contradicts itself."""
    if alone(act) is None:
        with pytest.raises(InputError):
            decide_kinds([act])


@FEW
@given(acts())
def test_an_act_is_read_back_from_its_row(act: Transfer) -> None:
    """No fact gets lost on its way through a cell."""
    assert act_of(cells_of(act)) == act


def mutated(record: Any) -> list[Any]:
    """Return the record with one fact changed at a time, through every record in it, ids left out."""
    out: list[Any] = []
    for f in fields(record):
        value = getattr(record, f.name)
        if isinstance(record, PartyFacts) and f.name == "id":
            continue
        if is_dataclass(value):
            others = mutated(value)
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            others = [(other, *value[1:]) for other in mutated(value[0])]
        else:
            others = [another(value)]
        out += [replace(record, **{f.name: other}) for other in others]
    return out


def another(value: object) -> object:
    """Return another value of the same type."""
    match value:
        case bool():
            return not value
        case StrEnum():
            return next(other for other in type(value) if other is not value)
        case str():
            return f"{value}x"
        case dt.date():
            return value + dt.timedelta(days=1)
        case Decimal():
            return value + 1
        case tuple():
            return (*value, "another")
        case dict():
            return {key: not said for key, said in value.items()}
        case _:
            raise AssertionError(f"a fact is {value!r}: state it in the act of this test")


def test_no_fact_is_left_out_of_the_key() -> None:
    """Acts that differ in any one fact are two kinds; a fact that is added to the records is in the key by itself."""
    party = a_party("SG", listings=("sdn",), letters=("l",), listed_owners=("o",), authorisations=("a",))
    past = Provenance(dt.date(2024, 1, 1), "US", "licence", ("no resale",))
    act = replace(
        an_act(H20, "SG", "2025-01-01", sender=party, recipient=party, provenance=past, dd_certificate=True),
        all_end_users_authorised=False,
        others=(Involved(Role.END_USER, party),),
        via=("MY",),
        hbm=Hbm(Decimal(800), Decimal(110)),
        figures=StatedFigures(Decimal(2000), Decimal(3), Decimal(900), Decimal(500), datacenter=True),
        stated={next(iter(law.questions())): True},
    )
    key = key_columns()
    seen = {tuple(cells_of(act).get(c) for c in key)}
    changed = mutated(act)
    for other in changed:
        row = tuple(cells_of(other).get(c) for c in key)
        assert row not in seen
        seen.add(row)
    assert len(changed) >= 40
    assert set(columns()) - set(key) == {"sender.id", "recipient.id"}


def test_who_a_party_is_does_not_matter() -> None:
    """A thousand customers of whom the same is known are one kind."""
    rows = [
        an_act(H100, "SG", "2025-06-01", recipient=a_party("SG", id=f"customer {i}")) for i in range(1000)
    ]
    done = decide_kinds(rows)
    assert len(done.decisions) == 1
    assert done.rows.height == 1000


def test_every_case_says_in_a_table_what_it_says_alone() -> None:
    """The cases of the law, all at once, with the chips of the cases."""
    known = {case.transfer.accelerator: chips()[case.transfer.accelerator] for case in cases()}
    held = [c for c in cases() if alone_with(c.transfer, known) is not None]
    done = decide_kinds([c.transfer for c in held], accelerators=known)
    for row, case in enumerate(held):
        assert done.decision(row).outcome is case.outcome, case.id


def alone_with(act: Transfer, known: dict[str, Any]) -> Decision | None:
    """Decide with the chips of the cases."""
    try:
        cells_of(act)
        return decide(act, accelerators=known)
    except InputError:
        return None


def a_table(**more: Any) -> pl.DataFrame:
    """Return two plain exports, by the options of `check`."""
    plain: dict[str, list[Any]] = {
        "id": [7, 8],
        "chip": ["h20-sxm-96gb", H100],
        "from": ["US", "us"],
        "to": ["CN", "sg"],
        "on": [dt.date(2025, 4, 8), dt.date(2025, 4, 8)],
    }
    return pl.DataFrame(plain | more)


def test_what_is_not_stated_is_not_known() -> None:
    """A table without a word on its parties permits nothing, and says what it would need."""
    done = screen_table(a_table())
    assert done.rows["allowed"].to_list() == [False, False]
    assert "recipient.listings" in done.rows["missing"][0]
    assert done.rows.columns == ["id", "chip", "from", "to", "on", *ANSWERS]
    assert done.rows["id"].to_list() == [7, 8]
    assert ep.screen(a_table()).equals(done.rows)


def test_lists_booleans_and_days_of_parquet_are_read(tmp_path: Path) -> None:
    """The same facts as text in CSV and typed in Parquet: the same answers."""
    said: dict[str, Any] = {
        "headquarters": ["US", "US"],
        "ultimate_parent_headquarters": ["US", "US"],
        "listings": [[], ["entity-list:fn4"]],
        "military_end_user": [False, False],
        "supercomputer_end_use": [False, False],
        "knowledge_of_violation": [False, False],
    }
    facts = {f"{role}.{name}": value for role in ("sender", "recipient") for name, value in said.items()}
    frame = a_table(**facts)
    frame.write_parquet(tmp_path / "acts.parquet")
    text = frame.with_columns(
        pl.col("^.*listings$").list.join("; ").replace("", "clear"), pl.col(pl.Boolean).cast(pl.String)
    )
    text.write_csv(tmp_path / "acts.csv")
    typed, plain = screen_file(tmp_path / "acts.parquet"), screen_file(tmp_path / "acts.csv")
    assert typed.rows.select(list(ANSWERS)).equals(plain.rows.select(list(ANSWERS)))
    assert typed.rows["outcome"].to_list() == ["no_licence_required", "licence_required"]
    assert screen_table(frame).rows["outcome"].to_list() == ["no_licence_required", "licence_required"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "chip,from,to,on\nnone-such,US,CN,2025-01-01\n",
            "acts.csv:2: accelerator: no chip is called 'none-such'",
        ),
        ("chip,from,to,on\nh20-sxm-96gb,US,CN,yesterday\n", "acts.csv:2: on: 'yesterday' cannot be read"),
        (
            "chip,from,to,on\n\nh20-sxm-96gb,US,XX,2025-01-01\n",
            "acts.csv:3: destination: 'XX' is no country code",
        ),
        ("chip,from,to,on\n,US,CN,2025-01-01\n", "acts.csv:2: accelerator: it is empty"),
        ("chip,from,to,on\nh20-sxm-96gb,US,CN\n", "acts.csv:2: 3 fields where the header names 4"),
        ("chip,from,to\nh20-sxm-96gb,US,CN\n", "acts.csv:1: no column on"),
        (
            "chip,on,recipient.headquaters\nh20-sxm-96gb,2025-01-01,CN\n",
            "Did you mean recipient.headquarters",
        ),
        ("chip,on,on\nh20-sxm-96gb,2025-01-01,CN\n", "acts.csv:1: the column 'on' stands there twice"),
        ("chip,on,outcome\nh20-sxm-96gb,2025-01-01,CN\n", "the answers have a column of this name"),
        ("chip,from,on\nh20-sxm-96gb,US,2025-01-01\n", "acts.csv:2: kind: it is empty, and so is a country"),
        (
            "chip,from,to,on,kind\nh20-sxm-96gb,US,CN,2025-01-01,gift\n",
            "acts.csv:2: kind: 'gift' cannot be read",
        ),
        (
            "chip,from,to,on,kind\nh20-sxm-96gb,SG,CN,2025-01-01,export\n",
            "acts.csv:2: kind: export from SG to CN",
        ),
        (
            "chip,from,to,on,recipient.military_end_user\nh20-sxm-96gb,US,CN,2025-01-01,perhaps\n",
            "Write yes or no",
        ),
        ("", "the file is empty"),
        ("PAR1xx", "this is no text"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, text: str, says: str) -> None:
    """File, line, column, what is wrong, and the mend."""
    path = tmp_path / "acts.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        screen_file(path)
    assert says in str(error.value)


def test_all_faults_are_said_and_counted() -> None:
    """A hundred wrong rows of one sort and one of another: twenty are shown, the rest counted, the other one not lost."""
    frame = pl.DataFrame(
        {
            "chip": [T4] * 101,
            "from": ["US"] * 101,
            "to": ["QQ"] * 100 + ["DE"],
            "on": ["2025-01-01"] * 100 + ["x"],
        }
    )
    with pytest.raises(InputError) as error:
        screen_table(frame)
    said = str(error.value)
    assert said.count("'QQ' is no country code") == 21
    assert "in 80 rows more" in said
    assert "row 101: on: 'x' cannot be read" in said


def test_a_fault_behind_a_quoted_line_break_is_on_its_own_line(tmp_path: Path) -> None:
    """An editor counts lines, not records."""
    path = tmp_path / "acts.csv"
    path.write_text(
        'chip,from,to,on,note\nt4,US,DE,2025-01-01,"two\nlines"\nt4,US,QQ,2025-01-01,x\n', encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"acts.csv:4: destination"):
        screen_file(path, carry=["note"])


def test_the_command_writes_answers_or_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Answers beside the rows, a summary on the terminal, and no file where a row was wrong."""
    good, bad, out = tmp_path / "good.parquet", tmp_path / "bad.csv", tmp_path / "answers.csv"
    a_table(note=["x", "y"]).write_parquet(good)
    bad.write_text("chip,from,to,on\nh20-sxm-96gb,US,XX,2025-01-01\n", encoding="utf-8")
    assert main(["controls", "screen", str(bad), "--out", str(out)]) == 3
    assert not out.exists()
    assert main(["controls", "screen", str(good), "--carry", "note", "--out", str(out)]) in {1, 6}
    printed, err = capsys.readouterr()
    assert "unknown" in printed
    assert "2 rows, 2 kinds of act" in err
    assert "Not legal advice" in err
    assert pl.read_csv(out)["note"].to_list() == ["x", "y"]
    assert (
        main(["controls", "screen", str(good), "--carry", "note", "--out", str(tmp_path / "answers.xlsx")])
        == 3
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers.csv", "bad.csv", "good.parquet"]


def test_parties_are_screened_in_the_same_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An open candidate is not known in every row that names it; a party without one is clear."""
    listed = synthetic.entries(400)
    (tmp_path / "list.json").write_text(synthetic.as_json(listed), encoding="utf-8")
    name = str(listed[-1]["name"])
    parties_ = pl.DataFrame({"name": [name, "Quietwater Vintners"], "country": ["CN", "FR"]})
    parties_.write_csv(tmp_path / "parties.csv")
    acts_ = pl.DataFrame(
        {"chip": [T4, T4], "from": ["US", "US"], "to": ["FR", "FR"], "on": ["2026-09-01"] * 2}
        | {"sender.name": ["Quietwater Vintners"] * 2, "recipient.name": [name, "Quietwater Vintners"]}
    )
    acts_.write_csv(tmp_path / "acts.csv")
    command = ["controls", "screen", str(tmp_path / "acts.csv"), "--parties", str(tmp_path / "parties.csv")]
    command += [
        "--list",
        str(tmp_path / "list.json"),
        "--on",
        "2026-09-21",
        "--out",
        str(tmp_path / "out.csv"),
    ]
    assert main(command) == 6
    missing = pl.read_csv(tmp_path / "out.csv")["missing"].to_list()
    assert "recipient.listings" in missing[0]
    assert "recipient.listings" not in missing[1]
    parties_.head(1).write_csv(tmp_path / "parties.csv")
    assert main(command) == 3
    assert "acts.csv:2: sender.name: 'Quietwater Vintners' is not in the table" in capsys.readouterr().err


def test_the_module_is_not_part_of_a_single_check() -> None:
    """Polars takes a second to import: the package itself does not bring it."""
    import entrepot.controls

    assert "screen_table" not in entrepot.controls.__all__
    assert table.__name__ == "entrepot.controls.table"
