"""Claims stand beside the books: who asserts, who denies, when; and no reading of them ever becomes a fact of the ledger."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from entrepot import catalogue
from entrepot import scenario as scenarios
from entrepot.cli import main
from entrepot.errors import Conflict, InputError
from entrepot.ledger import Ledger, opening
from entrepot.ledger.claims import (
    add_claims,
    claims_beside,
    open_under,
    read_claims,
    reading_beside,
    standing,
)
from entrepot.scenario.records import Scenario

SPRING = Path(__file__).parents[2] / "examples" / "spring-2025"
READINGS = ("modules-800k", "hopper-230k")
HEADER = "id,subject,predicate,object,value_low,value_high,unit,as_of,claimed_by,stance,source,note\n"


@cache
def read(name: str) -> Scenario:
    """Read the example under one of its readings."""
    return scenarios.read(SPRING, variant=name)


@pytest.fixture
def opened(tmp_path: Path) -> dict[str, Path]:
    """Open the example under both of its readings."""
    folders = {name: tmp_path / name for name in READINGS}
    for name, folder in folders.items():
        open_under(read(name), folder)
    return folders


def test_each_reading_gives_its_own_books(opened: dict[str, Path]) -> None:
    """The balances differ in the contested holding and nowhere else."""
    tables = {}
    for name, folder in opened.items():
        with Ledger.open(folder / "ledger.sqlite", create=False) as books:
            assert books.audit().ok
            tables[name] = {
                (r["account"], r["commodity"], r["unit_lot"]): r["quantity"]
                for r in books.balances().to_dicts()
            }
    one, other = (tables[name] for name in READINGS)
    apart = {key: (one[key], other[key]) for key in one if one[key] != other.get(key)}
    assert one.keys() == other.keys()
    assert apart == {
        ("alder:alder-north:available", "nvidia-h20-sxm-96gb", "alder-h20"): (800_000, 230_000),
        ("alder:opening", "nvidia-h20-sxm-96gb", "alder-h20"): (-800_000, -230_000),
    }


def test_the_reading_and_the_claims_stand_beside_the_ledger(opened: dict[str, Path]) -> None:
    """Both readings have the same claims beside them, asserted and denied, as the catalogue states them."""
    for name, folder in opened.items():
        assert {path.name for path in folder.iterdir()} == {"ledger.sqlite", "claims.csv", "reading.toml"}
        under = reading_beside(folder)
        assert under is not None
        assert (under.scenario, under.name, under.assumes) == ("spring-2025", name, read(name).variants[name])
    one, other = (claims_beside(opened[name]) for name in READINGS)
    assert one == other
    assert set(one) <= set(catalogue.claims())
    assert {c.stance for c in one} == {"asserts", "denies"}
    of_stock = standing(one).filter(
        (standing(one)["subject"] == "ByteDance") & (standing(one)["predicate"] == "holds_value")
    )
    row = of_stock.row(0, named=True)
    assert (row["standing"], row["denied_by"], row["as_of"]) == ("contested", "ByteDance", "2025-04")
    assert "Caijing" in row["asserted_by"]


def test_no_claim_is_in_the_ledger(opened: dict[str, Path]) -> None:
    """No table, no text and no byte of the ledger has a claim's id, its subject, or who claims it."""
    for folder in opened.values():
        file = folder / "ledger.sqlite"
        with closing(sqlite3.connect(file)) as raw:
            tables = [
                str(name) for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            texts = {
                str(value)
                for table in tables
                for row in raw.execute(f"SELECT * FROM {table}")  # noqa: S608 - names of the file's own tables
                for value in row
            }
        assert not any("claim" in table for table in tables)
        assert texts, "the check reads something"
        stored = file.read_bytes()
        for claim in claims_beside(folder):
            assert claim.id not in texts
            for word in (claim.subject, claim.claimed_by, claim.source):
                assert word.encode() not in stored


def test_claims_change_nothing_in_the_ledger(opened: dict[str, Path], tmp_path: Path) -> None:
    """Whatever is claimed, the file of the ledger stays the same to the byte."""
    folder = opened["hopper-230k"]
    before = (folder / "ledger.sqlite").read_bytes()
    more = tmp_path / "more.csv"
    more.write_text(
        HEADER + "m1,Alder,holds_units,H20,800000,900000,units,2025-06,a paper,asserts,page 3,\n"
        "m2,Alder,holds_units,H20,,,units,2025-06-02,Alder,denies,page 4,never\n",
        encoding="utf-8",
    )
    known = len(claims_beside(folder))
    assert add_claims(folder, more) == 2
    assert add_claims(folder, more) == 0
    found = claims_beside(folder)
    assert len(found) == known + 2
    row = standing(found).filter(standing(found)["subject"] == "Alder").row(0, named=True)
    assert (row["standing"], row["values"], row["as_of"]) == (
        "contested",
        "800,000 to 900,000 units",
        "2025-06; 2025-06-02",
    )
    assert (folder / "ledger.sqlite").read_bytes() == before
    with Ledger.open(folder / "ledger.sqlite") as books:
        assert books.balance("alder:alder-north:available", "nvidia-h20-sxm-96gb", "alder-h20") == 230_000
    more.write_text(
        HEADER + "m1,Alder,holds_units,H20,1,1,units,2025-06,a paper,asserts,page 3,\n", encoding="utf-8"
    )
    with pytest.raises(Conflict, match="'m1' is there with another content"):
        add_claims(folder, more)
    assert claims_beside(folder) == found


def test_books_of_one_reading_do_not_take_the_other(opened: dict[str, Path]) -> None:
    """A ledger cannot come to hold both: the same holding with another quantity is a conflict, and nothing is written."""
    with Ledger.open(opened["modules-800k"] / "ledger.sqlite") as books:
        head = books.head
        with pytest.raises(Conflict, match="opening/alder-h20"):
            books.post_all(opening(read("hopper-230k")))
        assert books.head == head


def test_opening_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never into a folder that has something; nothing is left behind by a failure."""
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(Conflict, match="nothing was written"):
        open_under(read("hopper-230k"), tmp_path / "taken")

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("entrepot.ledger.claims._write_reading", fails)
    with pytest.raises(OSError, match="disk full"):
        open_under(read("hopper-230k"), tmp_path / "new")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    ("row", "where", "what"),
    [
        (",s,p,,,,,,w,asserts,x,", "id", "empty"),
        ("a,s,p,,,,,,,asserts,x,", "claimed_by", "empty"),
        ("a,s,p,,,,,,w,says,x,", "stance", "neither"),
        ("a,s,p,,1,many,,,w,asserts,x,", "value_high", "not a number"),
        ("a,s,p,,nan,,,,w,asserts,x,", "value_low", "not a number"),
        ("a,s,p,,2,1,,,w,asserts,x,", "value_high", "below the least"),
        ("a,s,p,,,,,April,w,asserts,x,", "as_of", "no year, month or day"),
        ("a,s,p,,,,,,w,asserts,,", "source", "empty"),
    ],
)
def test_a_claim_at_fault_is_told(tmp_path: Path, row: str, where: str, what: str) -> None:
    """A claim without somebody who makes it, or without a source, is none."""
    path = tmp_path / "claims.csv"
    path.write_text(f"{HEADER}{row}\n", encoding="utf-8")
    with pytest.raises(InputError, match=what) as caught:
        read_claims(path)
    assert [f.where for f in caught.value.faults] == [f"claims.csv:2: {where}"]


def test_a_damaged_reading_is_told(opened: dict[str, Path]) -> None:
    """What the books rest on is not guessed."""
    (opened["hopper-230k"] / "reading.toml").write_text("reading = ", encoding="utf-8")
    with pytest.raises(InputError, match="not as it was written"):
        reading_beside(opened["hopper-230k"])


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Open under a reading, see the balances and, apart from them, the claims."""
    folder = tmp_path / "books"
    assert main(["ledger", "open", str(SPRING), "--reading", "hopper-230k", "--save", str(folder)]) == 0
    assert main(["ledger", "balance", str(folder), "-o", "csv"]) == 0
    assert ",230000" in capsys.readouterr().out
    assert main(["ledger", "claims", str(folder), "-o", "csv"]) == 0
    assert "contested" in capsys.readouterr().out
    assert main(["ledger", "claims", str(folder), "--all", "-o", "csv"]) == 0
    assert ",denies," in capsys.readouterr().out
    assert (
        main(["ledger", "open", str(SPRING), "--reading", "hoper-230k", "--save", str(tmp_path / "b")]) == 4
    )
    assert "hopper-230k" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
