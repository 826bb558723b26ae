"""The ledger's acts as a person types them: reserve, transfer, settle, sign; and a person's slips."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from entrepot import api
from entrepot import ledger as books_of
from entrepot.cli import main
from entrepot.ledger import Ledger

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "examples" / "mixed-fleet"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clear the small example once."""
    folder = tmp_path_factory.mktemp("acts") / "result"
    api.run_into(api.load(FLEET), folder)
    return folder


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Keep a ledger with the example's holdings, before the market."""
    path = tmp_path / "books.sqlite"
    with Ledger.open(path) as ledger:
        ledger.post_all(books_of.opening(api.load(FLEET)))
    return path


def run(*words: object) -> int:
    """Run a command."""
    return main([str(word) for word in words])


def rows(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    """Run a command that succeeds, and return its rows."""
    capsys.readouterr()
    assert run(*words, "-o", "jsonl") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_settle_once_on_holdings_that_have_not_changed(
    saved: Path, books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gate is taken; the settlement is refused after a change, done when it is undone, and done once."""
    basis = tmp_path / "basis.json"
    assert run("ledger", "gate", FLEET, "--ledger", books, "--save", basis) == 0
    assert run("ledger", "gate", FLEET, "--ledger", books, "--save", basis) == 5
    held = next(r for r in rows(capsys, "ledger", "balance", books) if r["state"] == "available")
    at = ("--at", "2026-05-20")
    source = ("--from", held["account"], "--chip", held["commodity"], "--lot", held["unit_lot"])
    assert (
        run("ledger", "transfer", books, "t", *source, "--to", "birch:x:in-transit", "--quantity", 1, *at)
        == 0
    )
    settle = ("ledger", "settle", saved, "--scenario", FLEET, "--ledger", books, "--basis", basis)
    assert run(*settle) == 5
    said = capsys.readouterr().err
    assert "have changed since its gate" in said
    assert held["account"] in said
    assert run("ledger", "reverse", books, "t", *at, "--cause", "a slip") == 0
    assert len(rows(capsys, *settle)) == api.run(api.load(FLEET)).clearing.trades.height
    assert run(*settle) == 5
    assert "was settled already" in capsys.readouterr().err
    assert run("ledger", "audit", books) == 0


def test_reserve_post_void_expire(books: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two phases, from the terminal."""
    held = next(r for r in rows(capsys, "ledger", "balance", books) if r["state"] == "available")
    keep = (
        "--account",
        held["account"],
        "--whom",
        "birch",
        "--chip",
        held["commodity"],
        "--at",
        "2026-05-21",
        "--expires",
        "2026-05-28",
    )
    for id_ in ("r1", "r2", "r3"):
        for _ in range(2):  # the second is a retry
            assert run("ledger", "reserve", books, id_, *keep, "--quantity", 2) == 0
    assert [r["reservation"] for r in rows(capsys, "ledger", "reservations", books)] == ["r1", "r2", "r3"]
    assert (
        run(
            "ledger",
            "post",
            books,
            "r1",
            "--to",
            "birch:x:available",
            "--id",
            "p1",
            "--at",
            "2026-05-22",
            "--quantity",
            1,
        )
        == 0
    )
    assert run("ledger", "void", books, "r2", "--at", "2026-05-22") == 0
    assert run("ledger", "expire", books, "--at", "2026-05-28") == 0
    assert rows(capsys, "ledger", "reservations", books) == []
    assert run("ledger", "void", books, "r3", "--at", "2026-05-29") == 5
    now = {
        r["account"]: r["quantity"]
        for r in rows(capsys, "ledger", "balance", books)
        if r["unit_lot"] == held["unit_lot"]
    }
    assert now[held["account"]] == held["quantity"] - 1
    assert now["birch:x:available"] == 1


def test_sign_and_hold_to_it(books: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A checkpoint holds; a ledger that was made anew otherwise does not."""
    key, point = tmp_path / "auditor.key", tmp_path / "point.json"
    assert run("ledger", "keygen", key) == 0
    assert run("ledger", "checkpoint", books, "--key", key, "--save", point, "--at", "2026-05-21") == 0
    public = tmp_path / "auditor.key.pub"
    assert run("ledger", "audit", books, "--checkpoint", point, "--public-key", public) == 0
    other = tmp_path / "other.sqlite"
    with Ledger.open(other) as ledger:
        ledger.post_all(books_of.opening(api.load(FLEET))[::-1])
    assert run("ledger", "audit", other, "--checkpoint", point, "--public-key", public) == 1
    assert "was noted with hash" in capsys.readouterr().out
    assert run("ledger", "audit", other, "--checkpoint", point) == 3
    shutil.copy(point, point.with_suffix(".2"))
    point.write_text(point.read_text().replace("2026-05-21", "2026-05-20"))
    assert run("ledger", "audit", books, "--checkpoint", point, "--public-key", public) == 3


def test_a_check_reads_the_ledgers_papers(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The chip and its provenance come from the ledger; what contradicts them is refused."""
    lot = next(r for r in rows(capsys, "ledger", "provenance", saved) if r["imported_on"])
    ask = (
        "check",
        "--ledger",
        saved,
        "--unit-lot",
        lot["unit_lot"],
        "--from",
        "US",
        "--to",
        "US",
        "--on",
        "2026-05-20",
        "-o",
        "jsonl",
    )
    run(*ask)
    row = json.loads(capsys.readouterr().out)
    assert row["accelerator"] == lot["accelerator"]
    assert run(*ask, "--imported-on", "2001-01-01") == 3
    assert run("check", "--ledger", saved, "--from", "US", "--to", "US", "--on", "2026-05-20") == 3
    assert (
        run(
            "check",
            "--ledger",
            saved,
            "--unit-lot",
            "none",
            "--from",
            "US",
            "--to",
            "US",
            "--on",
            "2026-05-20",
        )
        == 4
    )
