"""Does the picture say of every chip and country what the law says, and can everybody read it?"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import pytest

from entrepot import catalogue
from entrepot.cli import main
from entrepot.controls import decide, groups, picture
from entrepot.controls.explain import about
from entrepot.controls.matrix import ASSUMED, Matrix, _act, alike_countries, matrix
from entrepot.controls.records import Outcome, TransferKind

TODAY = dt.date(2026, 10, 1)
CHIPS = [
    catalogue.accelerator(c) for c in ("h20-sxm-96gb", "h100-sxm5-80gb", "rtx-4090", "mi308x", "ascend-910c")
]


def a_matrix(
    on: str = "2026-02-01", kind: TransferKind = TransferKind.EXPORT, hq: str | None = None
) -> Matrix:
    """Draw a few chips against all countries."""
    return matrix(CHIPS, None, dt.date.fromisoformat(on), kind=kind, headquarters=hq, origin=None)


@pytest.mark.parametrize(
    "on", ["2022-12-01", "2023-12-01", "2024-05-01", "2025-06-01", "2026-02-01", "2026-08-01"]
)
@pytest.mark.parametrize("kind", [TransferKind.EXPORT, TransferKind.IN_COUNTRY, TransferKind.COMPUTE_LEASE])
def test_countries_that_share_a_question_have_one_answer(on: str, kind: TransferKind) -> None:
    """Each country alone gets the answer of the one that was asked for it: outcome, review policy and paragraphs."""
    day = dt.date.fromisoformat(on)
    for chip in CHIPS[:3]:
        for places in alike_countries(day):
            asked = _act(chip.id, places[0], day, kind, None, None)
            expected = None if asked is None else decide(asked)
            for place in places[1 :: max(1, len(places) // 4)]:
                act = _act(chip.id, place, day, kind, None, None)
                assert (act is None) is (asked is None)
                if act is not None and expected is not None:
                    d = decide(act)
                    assert (d.outcome, d.review_policy) == (expected.outcome, expected.review_policy), place
                    assert d.citations == expected.citations


def test_every_country_is_in_one_column() -> None:
    """Nobody is left out: all ISO 3166-1 codes are asked, and the United States alone have no export to themselves."""
    m = a_matrix()
    drawn = [c for column in m.columns for c in column.ids]
    assert len(drawn) == len(set(drawn))
    missing = set(groups.countries()) - set(drawn)
    assert {groups.ear_country(c) for c in missing} == {"US"}
    assert sorted(chip for row in m.rows for chip in row.ids) == sorted(chip.id for chip in CHIPS)


def test_known_cells() -> None:
    """On 2026-02-01: H20 below the thresholds, H100 with a licence to China and free to Germany, RTX 4090 under NAC, ..."""
    said = {(r["accelerator"], r["destination"]): r["outcome"] for r in a_matrix().long()}
    assert said["nvidia-h20-sxm-96gb", "CN"] is Outcome.NO_LICENCE
    assert (
        said["nvidia-h100-sxm5-80gb", "CN"] is said["nvidia-h100-sxm5-80gb", "HK"] is Outcome.LICENCE_REQUIRED
    )
    assert said["nvidia-h100-sxm5-80gb", "DE"] is Outcome.NO_LICENCE
    assert said["nvidia-h100-sxm5-80gb", "IR"] is Outcome.PROHIBITED
    headed = {(r["accelerator"], r["destination"]): r["outcome"] for r in a_matrix(hq="CN").long()}
    assert headed["nvidia-h100-sxm5-80gb", "DE"] is Outcome.LICENCE_REQUIRED


def test_a_day_after_the_known_law_permits_nothing() -> None:
    """The picture of a later day is grey, not blue."""
    assert Outcome.NO_LICENCE not in {r["outcome"] for r in a_matrix("2027-01-01").long()}


def test_the_page_needs_no_script_and_no_network() -> None:
    """It can be kept, mailed and read in ten years."""
    page = picture.html(a_matrix(), made_on=TODAY)
    assert "<script" not in page
    assert not re.search(r"(src|href)=[\"']?https?:", page)
    assert "default-src 'none'" in page
    for wanted in (about(TODAY), "not legal advice", "2026-02-01", "as known on"):
        assert wanted in page
    assert ASSUMED[:40] in page


def test_colour_is_never_the_only_sign() -> None:
    """Each cell has a sign and a word, and every outcome that is drawn stands in the legend."""
    m = a_matrix()
    page = picture.html(m, made_on=TODAY)
    cells = re.findall(r'<td class="(\w+)">(.*?)</td>', page, re.DOTALL)
    assert len(cells) == sum(n > 0 for row in m.cells for n in row)
    for css, inside in cells:
        outcome = Outcome(css)
        assert picture.SIGN[outcome] in inside
        assert picture.WORD[outcome] in inside
    for outcome in {a.outcome for a in m.answers}:
        assert f'<b class="{outcome.value}">{picture.SIGN[outcome]}</b>' in page


def test_the_svg_is_one_and_says_the_same() -> None:
    """Well formed, with a title for each cell, as many cells as the data."""
    m = a_matrix()
    root = ElementTree.fromstring(picture.svg(m, made_on=TODAY))  # noqa: S314 - our own picture
    space = "{http://www.w3.org/2000/svg}"
    titled = [g for g in root.iter(f"{space}g") if g.find(f"{space}title") is not None]
    assert len(titled) == sum(n > 0 for row in m.cells for n in row)
    assert root.findtext(f"{space}title") == picture.title(m)
    assert root.findtext(f"{space}desc") == about(TODAY)


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    full = colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])
    parts = [int(full[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_cell_can_be_read_in_light_and_dark() -> None:
    """WCAG 2.2: 4.5 to 1 between each ink and what it stands on."""
    css = (
        resources.files("entrepot.controls").joinpath("templates", "_matrix.css").read_text(encoding="utf-8")
    )
    blocks = re.findall(r":root \{([^}]*)\}", css)
    assert len(blocks) == 3
    for block in blocks:
        colour = dict(re.findall(r"--([\w-]+):\s*(#[0-9a-fA-F]{3,6})", block))
        pairs = [(ink, "page") for ink in ("ink", "soft")] + [("no-ink", "no")]
        pairs += [("cell-ink", ground) for ground in ("free", "exc", "lic", "ask")]
        for ink, ground in pairs:
            light, dark = sorted((luminance(colour[ink]), luminance(colour[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_the_command_draws_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A page, a picture, a table, rows for a program; each with what it is not."""
    command = [
        "controls",
        "matrix",
        "--on",
        "2026-02-01",
        "--made-on",
        "2026-10-01",
        "--chips",
        "h20-sxm-96gb,h100-sxm5-80gb",
    ]
    for name, begins in (("m.html", "<!doctype html>"), ("m.svg", "<svg")):
        assert main([*command, "--to", "CN,DE", "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text(encoding="utf-8").startswith(begins)
    capsys.readouterr()
    assert main([*command, "--to", "CN,DE", "-o", "csv"]) == 0
    out, err = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(r["accelerator"], r["destination"], r["outcome"]) for r in rows] == [
        ("nvidia-h20-sxm-96gb", "CN", "no_licence_required"),
        ("nvidia-h20-sxm-96gb", "DE", "no_licence_required"),
        ("nvidia-h100-sxm5-80gb", "CN", "licence_required"),
        ("nvidia-h100-sxm5-80gb", "DE", "no_licence_required"),
    ]
    assert "not legal advice" in err
    assert main([*command, "--to", "XX"]) == 3
    assert main([*command, "--kind", "re-export"]) == 3
    assert main([*command, "--kind", "re-export", "--from", "MY", "--to", "CN,MY"]) == 0
    assert "licence" in capsys.readouterr().out
