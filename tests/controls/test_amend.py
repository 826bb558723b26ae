"""A change of law is a change of data and a case: done here as a person would do it, in a folder of amended files."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

ASK = ("check", "nvidia-h20-sxm-96gb", "--from", "US", "--to", "VN", "--screened-clear", "--civil-end-use",
       "--no-known-violation")  # fmt: skip
# An invented rule: from 2026-10-01 every item to Vietnam needs a licence.
INVENTED = """
[[rule]]
id = "example.vietnam"
title = "an invented rule"

[[rule.version]]
effective = 2026-10-01
cite = "99 FR 99999 (invented)"
when = { kind = ["moves"], destination = ["VN"] }
outcome = "licence_required"
policy = "case_by_case"
text = "{chip} goes to {destination}."
source = "invented for a test"
"""


def shipped(name: str) -> str:
    """Return a rule file as it is shipped."""
    return files("entrepot.controls").joinpath("data", name).read_text(encoding="utf-8")


def ask(folder: Path, day: str) -> subprocess.CompletedProcess[str]:
    """Ask a question with the amended files of a folder."""
    return subprocess.run(
        [sys.executable, "-m", "entrepot", *ASK, "--on", day],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ, "ENTREPOT_LAW": str(folder)},
    )  # fmt: skip


def test_an_amendment_without_python(tmp_path: Path) -> None:
    """The day before and the day: a version is added, the newest text moved, and the answer says whose files these are."""
    rules = shipped("requirements.toml") + INVENTED
    (tmp_path / "requirements.toml").write_text(rules, encoding="utf-8")
    law = shipped("law.toml").replace("known_to = 2026-09-24", "known_to = 2026-10-01")
    (tmp_path / "law.toml").write_text(law, encoding="utf-8")
    before, after = ask(tmp_path, "2026-09-30"), ask(tmp_path, "2026-10-01")
    assert (before.returncode, after.returncode) == (0, 1)
    assert "99 FR 99999 (invented)" in after.stdout
    assert "case by case" in after.stdout
    assert f"amended from {tmp_path}" in after.stdout
    assert "as known on 2026-10-01" in after.stdout


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("requirements.toml", "[[rule\n", "no TOML"),
        ("requirement.toml", "", "requirements.toml"),
        ("requirements.toml", INVENTED.replace("destination", "destnation"), "destnation"),
        ("requirements.toml", INVENTED.replace("cite =", "cited ="), "cited"),
    ],
)
def test_a_slip_in_an_amendment_stops_the_program(name: str, text: str, said: str, tmp_path: Path) -> None:
    """A rule that is misspelt must not be read as no rule."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    done = ask(tmp_path, "2026-09-24")
    assert done.returncode in {3, 70}
    assert done.stdout == ""
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Said, not passed over: the answer would be that of another law."""
    done = ask(tmp_path / "no-such", "2026-09-24")
    assert done.returncode == 3
    assert "ENTREPOT_LAW" in done.stderr
