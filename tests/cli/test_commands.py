"""Every command in every format, on a real result; and what a person's mistakes in files get."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest

from entrepot.cli import main

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "examples" / "mixed-fleet"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a cleared and settled market."""
    folder = tmp_path_factory.mktemp("cli") / "result"
    assert main(["clear", str(FLEET), "--save", str(folder)]) == 0
    return folder


COMMANDS = [
    ("catalogue", "list", "chips", "--search", "h20"),
    ("catalogue", "list", "models", "--search", "deepseek"),
    ("catalogue", "list", "prices", "--search", "mi300x"),
    ("catalogue", "list", "claims", "--search", "yuanbao"),
    ("catalogue", "list", "mixes"),
    ("catalogue", "show", "deepseek-r1"),
    ("catalogue", "compare", "nvidia-h20-sxm-96gb", "huawei-ascend-910c"),
    ("check", "--scenario", str(FLEET)),
    ("what-if", str(FLEET), "--without-lot", "h100-day"),
    ("depth", str(FLEET)),
    ("controls", "rules", "headquarters", "--on", "2024-06-01"),
    ("controls", "timeline", "--since", "2025-01-01"),
    ("controls", "cases", str(ROOT / "tests" / "controls" / "outside" / "varied.csv")),
    ("controls", "diff", "--from", "2025-11-06", "--to", "2025-11-07", "--chip", "nvidia-h100-sxm5-80gb"),
    ("controls", "classify", "nvidia-h20-sxm-96gb", "--eccn", "5A992"),
    ("size", "--scenario", str(FLEET)),
    ("compare", "qwen3-32b", "--chips", "nvidia-h100-sxm5-80gb,nvidia-h20-sxm-96gb"),
    (
        "compare",
        "qwen3-32b",
        "--chips",
        "h20-sxm-96gb,l20-48gb",
        "--base",
        "h20-sxm-96gb",
        "--catalogue-prices",
    ),
    (
        "size",
        "qwen3-8b",
        "--requests-per-s",
        "9",
        "--hourly",
        "servegen-m-large",
        "--by-hour",
        "--chip",
        "h20-sxm-96gb",
    ),
    ("performance", "explain", "qwen3-32b", "--chip", "nvidia-h20-sxm-96gb"),
    ("performance", "latency", "qwen3-32b", "--chip", "nvidia-h20-sxm-96gb", "--requests-per-s", "1"),
    (
        "performance",
        "train",
        "llama-3.1-8b",
        "--tokens",
        "1e9",
        "--chip",
        "nvidia-h20-sxm-96gb",
        "--devices",
        "8",
    ),
    ("surplus", str(FLEET)),
    ("clear", str(FLEET)),
    ("verify", "RESULT"),
    ("verify", "RESULT", "--party", "tulp"),
    ("ledger", "balance", "RESULT"),
    ("ledger", "journal", "RESULT"),
    ("ledger", "provenance", "RESULT"),
    ("ledger", "balance", "RESULT", "--at", "2026-06-02T10:00:00"),
    ("ledger", "availability", "RESULT", "--from", "2026-06-02", "--to", "2026-06-03"),
    ("ledger", "forecast", "RESULT", "--at", "2026-06-02", "--scenario", str(FLEET)),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "md"])
def test_every_command_speaks_every_format(
    command: tuple[str, ...], form: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a person can read a program can read, with nothing else on stdout."""
    words = [str(saved) if w == "RESULT" else w for w in command]
    assert main([*words, "-o", form]) == 0
    text = capsys.readouterr().out
    assert text.strip()
    if form == "json":
        assert json.loads(text)["schema"].startswith("entrepot/")
    elif form == "jsonl":
        assert all(isinstance(json.loads(line), dict) for line in text.splitlines())
    elif form == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert rows
        assert None not in rows[0]


def test_a_clean_ledger_passes_its_audit(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer is the exit code; the sentence is for people."""
    assert main(["ledger", "audit", str(saved)]) == 0
    assert "every hash and every balance holds" in capsys.readouterr().err


def test_a_result_is_never_overwritten(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Saving twice into one folder is a conflict, and nothing is lost."""
    before = {p: p.read_bytes() for p in saved.rglob("*") if p.is_file()}
    assert main(["clear", str(FLEET), "--save", str(saved)]) == 5
    assert {p: p.read_bytes() for p in saved.rglob("*") if p.is_file()} == before
    assert "nothing was written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("lots.csv", "id,seller,", "id,vendor,", "vendor"),
        ("holdings.csv", "nvidia-l40s-48gb", "nvidia-l40z", "nvidia-l40"),
        ("holdings.csv", ",256,", ",-256,", "-256"),
        ("holdings.csv", ",512,", ",12.5,", "12.5"),
        ("holdings.csv", ",512,", ",999999999999999999999,", "999999999999999999999"),
        ("lots.csv", "2026-06-01,2026-06-08", "2026-06-08,2026-06-01", "2026-06"),
        ("holdings.csv", "nl-h200,nordlicht", "nl-h100,nordlicht", "nl-h100"),
        ("scenario.toml", 'country = "SE"', 'country = "Narnia"', "Narnia"),
        ("bids.csv", "9.00", "nan", "nan"),
    ],
)
def test_a_slip_in_a_file_gets_one_clear_error(
    file: str, old: str, new: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which file, which row, what is wrong; exit 3; no traceback."""
    folder = tmp_path / "scenario"
    shutil.copytree(FLEET, folder)
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert main(["clear", str(folder), "--save", str(tmp_path / "result")]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert file in shown.err
    assert said in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "result").exists()


def test_a_binary_file_instead_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A picture named lots.csv is said to be no table."""
    folder = tmp_path / "scenario"
    shutil.copytree(FLEET, folder)
    (folder / "lots.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\xff\xfe" * 40)
    assert main(["clear", str(folder)]) == 3
    assert "lots.csv" in capsys.readouterr().err


def test_one_unit_in_two_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two lots that together offer more than the holding has are refused, and both are named."""
    folder = tmp_path / "scenario"
    shutil.copytree(FLEET, folder)
    with (folder / "lots.csv").open("a", encoding="utf-8") as lots:
        lots.write("mi300x-again,nordlicht,nl-mi300x,lease,192,8,1.20,2026-06-01,2026-06-08,0-24,true,\n")
    assert main(["clear", str(folder)]) == 3
    assert "mi300x-again" in capsys.readouterr().err


def test_the_books_leave_and_come_back(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A settled ledger exported, imported into a new one, gives the same balances; a dry run leaves no file."""
    folder, copy = tmp_path / "books", tmp_path / "copy.sqlite"
    assert main(["ledger", "export", str(saved), "--format", "csv", "--out", str(folder)]) == 0
    take = ["ledger", "import", str(copy), str(folder / "movements.csv"), "--kind", "movements", "--lots", str(folder / "lots.csv")]  # fmt: skip
    assert main([*take, "--dry-run"]) == 0
    assert not copy.exists()
    assert main([*take, "-o", "json"]) == 0
    assert main(["ledger", "balance", str(saved), "-o", "csv"]) == 0
    capsys.readouterr()
    assert main(["ledger", "balance", str(saved), "-o", "csv"]) == 0
    there = capsys.readouterr().out
    assert main(["ledger", "balance", str(copy), "-o", "csv"]) == 0
    assert capsys.readouterr().out == there


@pytest.mark.parametrize(("form", "begins"), [("beancount", "; Written from"), ("focus", '"BilledCost"')])
def test_an_export_goes_to_the_terminal_or_into_a_file(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, begins: str
) -> None:
    """The same text either way."""
    assert main(["ledger", "export", str(saved), "--format", form]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(begins)
    out = tmp_path / f"books.{form}"
    assert main(["ledger", "export", str(saved), "--format", form, "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8").splitlines()[1:] == shown.splitlines()[1:]
    assert [p.name for p in tmp_path.iterdir()] == [out.name]


def test_a_slip_in_an_import_leaves_no_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """File, row, field, mend; exit 3; and no new file."""
    table = tmp_path / "opening.csv"
    assert main(["ledger", "template", "opening", "--out", str(table)]) == 0
    lines = table.read_text(encoding="utf-8").splitlines()
    row = next(number for number, line in enumerate(lines, start=1) if ",64," in line)
    table.write_text("\n".join(lines).replace(",64,", ",sixty,", 1), encoding="utf-8")
    assert main(["ledger", "import", str(tmp_path / "new.sqlite"), str(table), "--kind", "opening"]) == 3
    said = capsys.readouterr().err
    assert f"opening.csv:{row}: quantity: 'sixty' is not a whole number" in said
    assert not (tmp_path / "new.sqlite").exists()


def test_a_time_limit_still_proves(capsys: pytest.CaptureFixture[str]) -> None:
    """However short the time, what is shown is proved; JSON says so."""
    assert main(["clear", str(FLEET), "--time-limit", "0.01", "-o", "json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["proof"][0]["verified"] is True
    assert float(said["proof"][0]["welfare"]) <= float(said["proof"][0]["bound"])


def test_a_time_limit_below_zero_is_a_slip(capsys: pytest.CaptureFixture[str]) -> None:
    """One clear error, nothing cleared."""
    assert main(["clear", str(FLEET), "--time-limit", "-1"]) == 3
    assert "--time-limit" in capsys.readouterr().err


def test_a_what_if_without_a_change_is_a_slip(capsys: pytest.CaptureFixture[str]) -> None:
    """It says which options make a change."""
    assert main(["what-if", str(FLEET)]) == 3
    assert "--without-lot" in capsys.readouterr().err


def test_a_party_checks_its_part_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clear, publish, hand out, check; a figure that is moved is found; nothing is overwritten."""
    result, public, told = tmp_path / "result", tmp_path / "public", tmp_path / "told"
    assert main(["clear", str(FLEET), "--save", str(result), "--publish", str(public)]) == 0
    assert (result / "salt.key").stat().st_mode & 0o077 == 0
    assert main(["statement", str(result), "--all", str(told)]) == 0
    files = sorted(told.iterdir())
    shutil.rmtree(result)  # what follows needs the statement and what was published, and nothing else
    for file in files:
        assert main(["verify", str(file), "--published", str(public), "-o", "json"]) == 0
    seen = json.loads((public / "public.json").read_text())
    assert "salt" not in json.dumps(seen)
    changed = json.loads(files[0].read_text())
    changed["totals"]["net_minor"] += 1
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    capsys.readouterr()
    assert main(["verify", str(tmp_path / "changed.json"), "-o", "json"]) == 1
    assert "my totals" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["statement", "{saved}"], "--party"),
        (["statement", "{saved}", "--party", "nobody"], "nobody"),
        (["statement", "{saved}", "--party", "nobody", "--all", "x"], "--all"),
        (["verify", "{saved}", "--published", "x"], "is no statement"),
        (["verify", "{fleet}/scenario.toml"], "is not JSON"),
        (["clear", "{fleet}", "--publish", "x"], "--save"),
        (["clear", "{fleet}", "--save", "x", "--salt-key", "no-such-file"], "cannot be read"),
    ],
)
def test_a_slip_with_statements_is_one_clear_error(
    arguments: list[str],
    words: str,
    saved: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is written, and what to do instead is said."""
    monkeypatch.chdir(tmp_path)
    assert main([a.format(saved=saved, fleet=FLEET) for a in arguments]) > 1
    told = capsys.readouterr().err
    assert words in told
    assert "Traceback" not in told
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("grant", ["no-such-lot", "no-such-lot:nobody", "h100-day:nobody"])
def test_a_licence_for_nobody_is_one_clear_error(grant: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown lot or buyer is named."""
    assert main(["what-if", str(FLEET), "--grant", grant]) > 1
    told = capsys.readouterr().err
    assert ("nobody" if ":" in grant else grant) in told
    assert "Traceback" not in told
