"""Many writers, and writers that die: one order for all, what was acknowledged stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from entrepot.errors import Conflict
from entrepot.ledger import Ledger

if TYPE_CHECKING:
    from .conftest import Write

_SELLS = """
import datetime as dt, os, sys
from entrepot.errors import Conflict
from entrepot.ledger import Entry, Ledger, Posting

def sale(id, buyer, lot, count):
    chip = "nvidia-h20-sxm-96gb"
    return Entry(id, dt.datetime(2025, 5, 15, tzinfo=dt.UTC), "sale", (
        Posting("alder:lf-1:available", chip, -count, lot), Posting(f"{buyer}:x:available", chip, count, lot)))

path, mode, name = sys.argv[1:]
print("ready", flush=True)
if mode == "race":
    with Ledger.open(path) as books:
        for line in sys.stdin:
            try:
                books.post(sale(f"{line.strip()}-{name}", name, line.strip(), 64))
                print("won", flush=True)
            except Conflict:
                print("lost", flush=True)
else:  # one child for each line, so that the imports are paid for once
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            with Ledger.open(path) as books:
                for i in range(100_000):
                    print(books.post(sale(f"{line.strip()}-{i}", "birch", "a-h20", 1)).entry.id, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)
"""


def start(path: Path, mode: str, name: str) -> subprocess.Popen[str]:
    """Start a process that sells."""
    return subprocess.Popen(
        [sys.executable, "-c", _SELLS, str(path), mode, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def say(process: subprocess.Popen[str], line: str) -> None:
    """Send a line."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> str:
    """Receive a line."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_what_was_acknowledged_survives_a_kill(path: Path, write: Write) -> None:
    """Ten times a writer is killed in the middle of posting; the books hold, and no acknowledged entry is missing."""
    acknowledged: list[str] = []
    with Ledger.open(path) as books:
        books.post(write.held(count=10**6))
    with start(path, "die", "-") as nursery:
        assert hear(nursery) == "ready"
        for round_ in range(10):
            say(nursery, f"r{round_}")
            writer = int(hear(nursery))
            acknowledged += [hear(nursery) for _ in range(round_ * 3)]
            os.kill(writer, signal.SIGKILL)
            while (line := hear(nursery)) != "dead":
                acknowledged.append(line.removesuffix("dead"))
                if line.endswith("dead"):
                    break
        assert nursery.stdin is not None
        nursery.stdin.close()
    with Ledger.open(path) as books:
        audit = books.audit()
        assert audit.ok, str(audit)
        ids = [e.id for e in books.entries()][1:]
        assert set(acknowledged) <= set(ids)
        assert len(ids) - len(acknowledged) <= 10  # at most the one of each round that was not heard of
        assert len(acknowledged) >= 100
        assert books.balance("birch:x:available", write.chip, "a-h20") == len(ids)


def test_of_two_processes_one_gets_the_units(path: Path, write: Write) -> None:
    """Both ask at once for the same 64 devices, twenty times over."""
    lots = [f"lot-{i}" for i in range(20)]
    with Ledger.open(path) as books:
        books.post_all(write.held(lot) for lot in lots)
        with start(path, "race", "p") as p, start(path, "race", "q") as q:
            assert hear(p) == hear(q) == "ready"
            for lot in lots:
                say(p, lot)
                say(q, lot)
                assert sorted([hear(p), hear(q)]) == ["lost", "won"]
            for process in (p, q):
                assert process.stdin is not None
                process.stdin.close()
        assert books.audit().ok
        assert books.head[0] == 40


@pytest.mark.parametrize("where", ["file", "memory"])
def test_of_many_threads_one_gets_the_units(path: Path, write: Write, where: str) -> None:
    """One open ledger, eight threads, eight times as many devices wanted as there are."""
    with Ledger.open(path if where == "file" else ":memory:") as books, ThreadPoolExecutor(8) as threads:
        books.post(write.held())

        def buy(buyer: int) -> int:
            bought = 0
            for i in range(8):
                try:
                    books.post(write.sale(f"s{buyer}-{i}", 8, to=f"b{buyer}"))
                except Conflict:
                    continue
                bought += 8
            return bought

        assert sum(threads.map(buy, range(8))) == 64
        assert books.balance("alder:lf-1:available", write.chip, "a-h20") == 0
        assert books.audit().ok


def test_two_processes_may_make_the_same_ledger(path: Path) -> None:
    """Neither sees half of it."""
    with ThreadPoolExecutor(8) as threads:
        opened = list(threads.map(lambda _: Ledger.open(path), range(8)))
    assert {books.head for books in opened} == {(0, "0" * 64)}
    for books in opened:
        books.close()
    assert [p.name for p in path.parent.iterdir()] == [path.name]
