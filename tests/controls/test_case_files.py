"""Case files from outside: read whole, answered row by row, and a slip in one row is said and costs no other row."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path

import pytest

from entrepot.cli import main
from entrepot.controls.agreement import Agreement, Compared, by_outcome, compare
from entrepot.controls.casechip import chips_of
from entrepot.controls.casefile import COLUMNS, read
from entrepot.controls.entities import named

VARIED = Path(__file__).parent / "outside" / "varied.csv"
HEADER = "id,accelerator,destination,recipient_hq,date,outcome,paragraph_or_instrument,source,notes"


def varied() -> list[Compared]:
    """Return the varied cases with our answers."""
    readings, faults = read(VARIED)
    assert not faults
    return compare(readings)


@pytest.mark.parametrize("case", varied(), ids=lambda case: case.reading.id)
def test_varied_case(case: Compared) -> None:
    """Other chips, days, places, parties and acts, each derived by hand from the cited text."""
    assert case.agreement is Agreement.SAME, (case.answer, case.decision.reasons)


def written(tmp_path: Path, *rows: str, header: str = HEADER) -> Path:
    """Return a file of these rows."""
    path = tmp_path / "cases.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


GOOD = "G1,H100,CN,CN,2024-06-01,licence_required_presumption_denial,,,[tx=export_from_US]"


@pytest.mark.parametrize(
    ("row", "field", "mend"),
    [
        ("B1,H100,ZZ,CN,2024-06-01,prohibited,,,[tx=export_from_US]", "destination", "ISO 3166-1"),
        ("B1,H100,CN,CHN,2024-06-01,prohibited,,,[tx=export_from_US]", "recipient_hq", "ISO 3166-1"),
        ("B1,H100,CN,CN,01/06/2024,prohibited,,,[tx=export_from_US]", "date", "2025-04-09"),
        ("B1,H100,CN,CN,2024-06-01,maybe,,,[tx=export_from_US]", "outcome", "Write one of"),
        ("B1,H100,CN,CN,2024-06-01,prohibited,,,[tx=teleport]", "tx", "Write one of"),
        (",H100,CN,CN,2024-06-01,prohibited,,,[tx=export_from_US]", "id", "id"),
        ("B1,,CN,CN,2024-06-01,prohibited,,,[tx=export_from_US]", "accelerator", "chip"),
        ("B1,H100,CN,CN,2024-06-01,prohibited", "cells", "comma"),
        ("B1,H20,CN,CN,2024-06-01,prohibited,,,[tx=use][imported_on=soon]", "imported_on", "2025-04-09"),
        (GOOD, "id", "own id"),
    ],
)
def test_a_slip_in_a_row_is_said_and_the_other_rows_are_answered(
    row: str, field: str, mend: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """File, row, field, mend; exit 3; no traceback; the good row is there."""
    path = written(tmp_path, GOOD, row)
    assert main(["controls", "cases", str(path), "-o", "json"]) == 3
    shown = capsys.readouterr()
    assert "cases.csv:3" in shown.err
    assert field in shown.err
    assert mend in shown.err
    assert "Traceback" not in shown.err
    told = json.loads(shown.out)
    assert [item["id"] for item in told["items"]] == ["G1"]
    assert told["unreadable"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"id,chip\n1,2\n", "header lacks"),
        (b"", "header lacks"),
        (b"\xff\xfe\x00", "UTF-8"),
        (HEADER.encode() + b'\nB1,"H100,CN\n', "no CSV table"),
    ],
)
def test_a_file_of_another_shape_is_one_clear_error(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is answered from a table that is not one."""
    path = tmp_path / "other.csv"
    path.write_bytes(content)
    assert main(["controls", "cases", str(path)]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert said in shown.err


def test_a_false_clear_is_shown_apart_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that says "licence" of a T4 for Germany is wrong; that is for a person to see, so it is not hidden."""
    row = "W1,T4,DE,DE,2024-06-01,licence_required_presumption_denial,,,[tx=export_from_US]"
    assert main(["controls", "cases", str(written(tmp_path, GOOD, row)), "-o", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [item["id"] for item in told["false_clears"]] == ["W1"]
    assert told["about"][0]["law_known_to"] == "2026-09-24"
    assert "not legal advice" in told["about"][0]["note"]


def test_every_outcome_is_counted_and_the_counts_add_up() -> None:
    """The table of agreement is a partition of the cases."""
    found = varied()
    rows = by_outcome(found)
    words = [a.value for a in Agreement]
    for row in rows:
        assert row["cases"] == sum(int(str(row[word])) for word in words)
    assert rows[-1]["cases"] == len(found) == sum(int(str(row["cases"])) for row in rows[:-1])


def test_the_answer_is_not_read_from_the_file(tmp_path: Path) -> None:
    """Outcome, paragraph and source are what is compared with, never what is answered from."""
    with VARIED.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    path = tmp_path / "blind.csv"
    with path.open("w", encoding="utf-8", newline="") as lines:
        out = csv.DictWriter(lines, list(rows[0]))
        out.writeheader()
        for row in rows:
            out.writerow({**row, "outcome": "no_licence", "paragraph_or_instrument": "", "source": ""})
    blind = compare(read(path)[0])
    assert [c.answer for c in blind] == [c.answer for c in varied()]


def test_columns_may_say_what_brackets_say(tmp_path: Path) -> None:
    """Figures and acts may stand in columns of their own."""
    header = f"{HEADER},tx,tpp,pd,datacentre,party"
    row = "C1,part X,CN,CN,2024-06-01,nac_notification,,,,export_from_US,2400,2.0,yes,Example Cloud"
    (case,) = compare(read(written(tmp_path, row, header=header))[0])
    assert case.agreement is Agreement.SAME
    assert set(COLUMNS) <= set(header.split(","))


def test_figures_that_contradict_the_catalogue_are_judged_both_ways(tmp_path: Path) -> None:
    """A row that gives an H100 the figures of an H20 does not clear it."""
    row = "C1,H100,CN,CN,2024-06-01,no_licence,,,[tx=export_from_US] TPP=2368 PD=2.9 DRAM=4000GB/s datacentre=yes"
    (case,) = compare(read(written(tmp_path, row))[0])
    assert case.agreement is Agreement.STRICTER
    assert any("both judged" in text for text in case.reading.said)


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("H20", ["nvidia-h20-sxm-96gb"]),  # the 141 GB row is an estimate
        ("H20 (China)", ["nvidia-h20-sxm-96gb"]),
        ("NVIDIA Tesla T4", ["nvidia-t4-16gb"]),
        ("GeForce RTX 4090", ["nvidia-rtx-4090-24gb"]),
        ("V100", ["nvidia-v100-sxm2-32gb"]),  # not another maker's card of that name
        ("AMD Instinct MI300X", ["amd-mi300x-192gb"]),
        ("Trainium 2", ["aws-trainium2"]),
        ("HL-328 (Gaudi 3 China)", ["intel-gaudi3-hl-328"]),
        ("8x H200 server", ["nvidia-h200-nvl-141gb", "nvidia-h200-sxm-141gb"]),
        ("Ascend 910D", ["huawei-ascend-910d"]),  # in no catalogue, and named by the guidance
        ("part X", ["case-part-x"]),
    ],
)
def test_common_names_of_chips(name: str, ids: list[str]) -> None:
    """A case says what people say."""
    found = chips_of(name, None, dt.date(2025, 6, 1))
    assert sorted({chip.record.id for chip in found}) == ids
    assert found[0].system is ("server" in name)


@pytest.mark.parametrize(
    ("name", "on", "listings"),
    [
        ("Inspur Group Co., Ltd.", "2023-03-01", ()),
        ("Inspur Group Co., Ltd.", "2023-03-02", ("entity-list:fn4:presumption-of-denial",)),
        ("Inspur Electronic Information Industry Co., Ltd.", "2025-03-24", ()),
        (
            "Inspur Electronic Information Industry Co., Ltd.",
            "2025-03-25",
            ("entity-list:fn4:policy-of-denial",),
        ),
        ("MetaX", "2026-01-01", ()),  # not Meta
        ("Moore Thread", "2024-01-01", ("entity-list:fn4:presumption-of-denial",)),
        ("Sugon", "2022-10-06", ("entity-list:presumption-of-denial",)),
        ("SMIC Shanghai", "2025-01-01", ("entity-list:presumption-of-denial",)),  # without footnote 5
        ("Nettrixx", "2026-01-01", None),  # resembles a listed name
        ("Example Cloud", "2026-01-01", ()),
    ],
)
def test_names_of_published_rules(name: str, on: str, listings: tuple[str, ...] | None) -> None:
    """The day before and the day; whole words, the longest alias first."""
    assert named(name, dt.date.fromisoformat(on)).listings == listings


@pytest.mark.parametrize(
    ("name", "owners"),
    [
        ("60%-owned unlisted subsidiary of Inspur Group", ("Inspur Group (60 %)",)),
        ("50 % owned by Inspur Group", ("Inspur Group (50 %)",)),
        ("49%-owned affiliate of Inspur Group", ()),
        ("subsidiary of Inspur Group", ("Inspur Group (share unknown)",)),
        ("wholly owned subsidiary of Huawei", ("Huawei (100 %)",)),
        ("joint venture with Inspur Group", ("Inspur Group (share unknown)",)),
        ("60%-owned subsidiary of Example Cloud", ()),
    ],
)
def test_ownership_that_a_name_states(name: str, owners: tuple[str, ...]) -> None:
    """Half or more, or an unknown share, of a listed owner."""
    assert named(name, dt.date(2025, 10, 15)).listed_owners == owners
