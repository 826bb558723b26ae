"""Does the page for the file say everything that a decision says, and nothing that a name smuggles in?"""

from __future__ import annotations

import datetime as dt
import importlib
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.controls.controls_desk import a_party, an_act, cases, chips

from entrepot.cli import main
from entrepot.controls import Decision, decide
from entrepot.controls.record import Particulars, content, write_record
from entrepot.errors import Conflict, InputError

DAY = dt.date(2026, 10, 1)
PLAIN = Particulars(
    DAY, "entrepot test", {"sender": "Alder Systems", "recipient": "Birch Compute"}, "R. Desk", {}, "17"
)
CHECK = [
    "check",
    "h100-sxm5-80gb",
    "--from",
    "US",
    "--to",
    "CN",
    "--on",
    "2026-02-01",
    "--screened-clear",
    "--record-on",
    "2026-10-01",
]


def a_decision() -> Decision:
    """Decide an act with a listed end user, so that every section has something to say."""
    return decide(
        an_act(
            "nvidia-h100-sxm5-80gb",
            "CN",
            "2026-02-01",
            recipient=a_party("CN", listings=("entity-list:fn4",)),
        )
    )


def text_of(page: str) -> str:
    """Return what a reader sees of a page."""
    return unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)))


def test_everything_that_a_decision_says_is_on_the_page(tmp_path: Path) -> None:
    """Outcome, paragraphs, reasons, facts, missing, conditions, gates, what would change it, law, age, tool, names, hash."""
    decision = a_decision()
    digest = write_record(decision, tmp_path / "record.html", PLAIN)
    page = (tmp_path / "record.html").read_text(encoding="utf-8")
    seen = " ".join(text_of(page).split())
    wanted = [r.text for r in decision.reasons] + [
        *decision.citations,
        *decision.would_change,
        *decision.conditions,
    ]
    wanted += [*decision.inputs, *decision.inputs.values(), *(g.text for g in decision.gates)]
    wanted += [
        "Alder Systems",
        "Birch Compute",
        "R. Desk",
        "17",
        "2026-10-01",
        "entrepot test",
        digest,
        "Signature",
    ]
    wanted += ["as known on 2026-09-24, 7 days before this answer", "not legal advice"]
    assert [w for w in wanted if " ".join(w.split()) not in seen] == []
    assert "http" not in re.sub(r"<meta http-equiv", "", page)  # nothing is fetched


@pytest.mark.parametrize("case", cases()[::12], ids=lambda case: case.id)
def test_every_outcome_has_its_page(case: Any, tmp_path: Path) -> None:
    """Permitted, under exception, licence, prohibited, not known: none of them breaks the page, as web page or PDF."""
    decision = decide(case.transfer, accelerators=chips())
    for name in ("record.html", "record.pdf"):
        assert len(write_record(decision, tmp_path / name, PLAIN)) == 64
    assert (tmp_path / "record.pdf").read_bytes().startswith(b"%PDF")
    assert pages((tmp_path / "record.pdf").read_bytes()) == 1


NASTY = [
    "<script>alert(1)</script>",
    "#sys.inputs",
    "*bold* _it_ $x^2$",
    "`raw`",
    "a\\u{41}",
    '"; #let r = none',
    "北极星 & Söhne",
    "]]#pagebreak()",
]


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_text_and_nothing_else(name: str, tmp_path: Path) -> None:
    """What somebody calls himself is set as it is, in HTML and in the language of the typesetter."""
    named = replace(PLAIN, names={"recipient": name})
    write_record(a_decision(), tmp_path / "record.html", named)
    page = (tmp_path / "record.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert name in text_of(page)
    write_record(a_decision(), tmp_path / "record.pdf", named)
    plain, odd = tmp_path / "plain.pdf", (tmp_path / "record.pdf").read_bytes()
    write_record(a_decision(), plain, PLAIN)
    assert pages(odd) == pages(plain.read_bytes()) == 1


def pages(pdf: bytes) -> int:
    """Return how many pages a PDF has."""
    return int(re.findall(rb"/Type\s*/Pages.*?/Count\s+(\d+)", pdf, re.DOTALL)[0])


def test_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    """A record can be made again and compared byte by byte, on another day of work, from the same facts."""
    for suffix in ("html", "pdf"):
        one, two = tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}"
        assert write_record(a_decision(), one, PLAIN) == write_record(a_decision(), two, PLAIN)
        assert one.read_bytes() == two.read_bytes()


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=30), st.sampled_from(["reference", "stated_by", "tool"]))
def test_the_hash_is_of_everything(said: str, where: str) -> None:
    """Whatever is changed on the page changes its hash."""
    decision = a_decision()
    changes: dict[str, Any] = {where: said}
    changed = replace(PLAIN, **changes)
    same = content(decision, changed) == content(decision, PLAIN)
    assert (content(decision, changed)["hash"] == content(decision, PLAIN)["hash"]) is same
    assert (
        content(decision, replace(PLAIN, made_on=dt.date(2026, 10, 2)))["hash"]
        != content(decision, PLAIN)["hash"]
    )


def test_who_stated_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the command took from something else is not passed off as stated by the person who signs."""
    path = tmp_path / "check.html"
    assert main([*CHECK, "--record", str(path), "--stated-by", "R. Desk", "--recipient-name", "Birch"]) == 1
    seen = " ".join(text_of(path.read_text(encoding="utf-8")).split())
    assert "recipient.headquarters CN nobody: taken from the destination" in seen
    assert "destination CN R. Desk" in seen
    assert "accelerator.vendor_country US the catalogue and the rule files" in seen
    assert "SHA-256" in capsys.readouterr().err


def test_a_record_is_not_overwritten_and_other_files_are_refused(tmp_path: Path) -> None:
    """What stands in the file stays there."""
    path = tmp_path / "record.html"
    write_record(a_decision(), path, PLAIN)
    before = path.read_bytes()
    with pytest.raises(Conflict):
        write_record(a_decision(), path, replace(PLAIN, reference="18"))
    assert path.read_bytes() == before
    with pytest.raises(InputError, match=r"\.html or \.pdf"):
        write_record(a_decision(), tmp_path / "record.docx", PLAIN)
    assert main(["check", "--scenario", "examples/mixed-fleet", "--record", str(tmp_path / "x.html")]) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["record.html"]


def test_without_the_extra_the_mend_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PDF needs the typesetter; the web page does not, and the error says both."""
    original: Callable[..., Any] = importlib.import_module

    def absent(name: str, *rest: Any) -> Any:
        if name == "typst":
            raise ModuleNotFoundError(name)
        return original(name, *rest)

    monkeypatch.setattr("entrepot.controls.record.import_module", absent)
    with pytest.raises(InputError, match=r"entrepot\[pdf\]"):
        write_record(a_decision(), tmp_path / "record.pdf", PLAIN)
    assert not list(tmp_path.iterdir())
    write_record(a_decision(), tmp_path / "record.html", PLAIN)


def test_a_check_without_a_record_loads_no_templates() -> None:
    """Looking something up stays quick."""
    import subprocess
    import sys

    code = (
        "import sys\nfrom entrepot.cli import main\n"
        f"main({CHECK!r})\nassert not {{'jinja2', 'typst', 'polars'}} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
