"""The first seconds: help that teaches, cheap imports, errors that are sentences."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys

import pytest

HEAVY = {"polars", "numpy", "scipy", "sqlalchemy", "highspy", "pydantic"}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run entrepot as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "entrepot", *words], capture_output=True, text=True, check=False, timeout=60
    )


def modules_after(*words: str) -> set[str]:
    """Return the top-level modules that a command imports."""
    code = (
        "import sys\nfrom entrepot.cli import main\n"
        f"try:\n    main({list(words)!r})\nexcept SystemExit:\n    pass\n"
        "print('MODULES', *{m.partition('.')[0] for m in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    line = next(text for text in done.stdout.splitlines() if text.startswith("MODULES"))
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("check", "nvidia-h20-sxm-96gb", "--from", "US", "--to", "CN", "--on", "2025-04-08"),
        ("catalogue", "show", "nvidia-h20-sxm-96gb"),
    ],
)
def test_looking_something_up_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    """A second of imports before every answer would be felt a hundred times a day."""
    assert modules_after(*words) & HEAVY == set()


def test_help_is_a_tour() -> None:
    """A newcomer sees what to type first, and who each command is for."""
    shown = run("--help").stdout
    for word in (
        "catalogue",
        "check",
        "size",
        "compare",
        "surplus",
        "clear",
        "verify",
        "ledger",
        "report",
        "init",
    ):
        assert word in shown
    assert "entrepot clear examples/spring-2025" in shown


def test_a_wrong_option_is_a_usage_error() -> None:
    """Scripts tell usage errors from answers by the exit code."""
    assert run("clear", "--no-such-option").returncode == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("catalogue", "show", "nvidia-h2o"), 4, "no chip or model is called"),
        (
            ("check", "nvidia-h20-sxm-96gb", "--from", "US", "--to", "Narnia", "--on", "2025-04-08"),
            3,
            "ISO 3166-1",
        ),
        (("check", "nvidia-h20-sxm-96gb"), 3, "--from, --to, --on not given"),
        (("clear", "/no/such/folder"), 3, "/no/such/folder"),
        (("verify", "/no/such/folder"), 3, "/no/such/folder"),
        (("ledger", "balance", "/no/such/folder"), 3, "no ledger is here"),
        (("size", "deepseek-r1", "--requests-per-s", "-4"), 3, "--requests-per-s"),
        (("compare", "no-such-model"), 4, "no model is called"),
    ],
)
def test_a_mistake_gets_a_sentence_and_its_own_exit_code(
    words: tuple[str, ...], code: int, said: str
) -> None:
    """What is wrong, where, and the mend; never a traceback."""
    done = run(*words)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_is_never_a_yes() -> None:
    """With no fact about the parties stated, the answer is that facts are missing: exit 6, not 0."""
    done = run("check", "nvidia-h20-sxm-96gb", "--from", "US", "--to", "CN", "--on", "2025-04-08")
    assert done.returncode == 6


def test_a_reader_that_goes_away_is_no_error() -> None:
    """``entrepot catalogue list | head -1`` ends quietly."""
    done = subprocess.run(
        f"{sys.executable} -m entrepot catalogue list prices | head -1",
        shell=True, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stderr == ""


def test_every_command_teaches_by_example() -> None:
    """`--help` of a command shows how it is typed, says what each parameter is, and is not the listing's line alone."""
    from entrepot.cli import app, main

    for words in [(g, c) for g in ("catalogue", "controls", "performance", "ledger") for c in app[g]] + [
        (c,) for c in app if c not in {"catalogue", "controls", "performance", "ledger", "completion"}
    ]:
        if words[-1].startswith("-"):
            continue
        sink = io.StringIO()
        with contextlib.redirect_stdout(sink), contextlib.suppress(SystemExit):
            main([*words, "--help"])
        shown = sink.getvalue()
        assert f"entrepot {' '.join(words)} " in shown.split("Parameters")[0].split("\n", 2)[2], words
        for line in shown.splitlines():
            named = re.fullmatch(
                r"│[ *]*(--?[a-z-]+|[A-Z-]+ --[a-z-]+)( [A-Z]+(\.\.\.)?)?( \[.*)?\s*│", line.rstrip()
            )
            assert named is None, (words, line)
