"""What a ledger lives through: writers that are killed, writers that race. Told as lines in files, and audited afterwards.

How much of it: ``ENTREPOT_FIRE`` multiplies the rounds of the tests (1 by default). Seeds are printed, so that what failed
can be run again.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from entrepot.ledger import Entry, Ledger

__all__ = [
    "TIMES",
    "Nursery",
    "Outcome",
    "Work",
    "check",
    "common_folder",
    "killed",
    "nursery",
    "outcome",
    "seed",
]

TIMES = float(os.environ.get("ENTREPOT_FIRE", "1"))

_CHILD = """
import os, pickle, sys
from entrepot.errors import Conflict, EntrepotError
from entrepot.ledger import Ledger
from entrepot.ledger import audit, journal, settle  # paid for once, before the forks

def write(place, file, out):
    try:
        with open(file, "rb") as stream:
            work = pickle.load(stream)
        with Ledger.open(place) as books:
            print("open", file=out, flush=True)
            for name, entries, once in work:
                try:
                    books.post_all(entries, once=once)
                    print(f"done {name}", file=out, flush=True)
                except Conflict:
                    print(f"refused {name}", file=out, flush=True)
    except EntrepotError as error:
        print(f"failed {type(error).__name__}: {error}".replace(chr(10), " "), file=out, flush=True)
    finally:
        os._exit(0)

place = sys.argv[1]
print("ready", flush=True)
for line in sys.stdin:  # of one file for each writer; it is heard in the file beside it
    children = []
    for file in line.split():
        child = os.fork()
        if child == 0:
            write(place, file, open(file + ".heard", "w"))
        children.append(child)
    print(*children, flush=True)
    for child in children:
        os.waitpid(child, 0)
    print("gone", flush=True)
"""


@dataclass(frozen=True, slots=True)
class Work:
    """Something to be posted whole: one entry, or all the trades of a clearing, which may be settled once."""

    name: str
    entries: tuple[Entry, ...]
    once: str = ""


@dataclass(slots=True)
class Outcome:
    """What a writer was heard to say before it went."""

    done: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Nursery:
    """A process that forks writers, so that each costs no imports."""

    process: subprocess.Popen[str]
    folder: Path
    number: int = 0

    def send(self, *works: Sequence[Work]) -> dict[Path, int]:
        """Start a writer for each list of work, all at once; return where each is heard, with its process id."""
        files = []
        for work in works:
            self.number += 1
            file = self.folder / f"work-{self.process.pid}-{self.number}"
            file.write_bytes(pickle.dumps([(w.name, w.entries, w.once) for w in work]))
            files.append(file)
        assert self.process.stdin is not None
        self.process.stdin.write(" ".join(map(str, files)) + "\n")
        self.process.stdin.flush()
        children = map(int, self.line().split())
        return dict(zip((file.with_name(file.name + ".heard") for file in files), children, strict=True))

    def line(self) -> str:
        """Return what the nursery itself says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, *works: Sequence[Work]) -> list[Outcome]:
        """Start writers, wait until all are gone, and return what each was heard to say."""
        heard = self.send(*works)
        assert self.line() == "gone"
        return [outcome(file) for file in heard]


def outcome(heard: Path) -> Outcome:
    """Return what a writer said; a last line cut in two by a kill is no acknowledgement."""
    said = Outcome()
    for line in heard.read_text(encoding="utf-8").splitlines(keepends=True):
        word, _, name = line.partition(" ")
        if line.endswith("\n") and word in {"done", "refused", "failed"}:
            getattr(said, word).append(name.rstrip("\n"))
    return said


@contextmanager
def common_folder() -> Iterator[Path]:
    """Give a folder that other users can reach: pytest's own are closed to them, and a server does not run as root."""
    with tempfile.TemporaryDirectory(prefix="entrepot-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextmanager
def nursery(place: Path | str, folder: Path) -> Iterator[Nursery]:
    """Start a nursery for a ledger."""
    command = [sys.executable, "-c", _CHILD, str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        grown = Nursery(process, folder)
        assert grown.line() == "ready"
        try:
            yield grown
        finally:
            assert process.stdin is not None
            process.stdin.close()


def seed(given: int) -> random.Random:
    """Return a source of chance, and print what it was seeded with."""
    chosen = int(os.environ.get("ENTREPOT_FIRE_SEED", given))
    print(f"ENTREPOT_FIRE_SEED={chosen}")
    return random.Random(chosen)  # noqa: S311 - a test that repeats


def killed(home: Nursery, work: Sequence[Work], *, after: int, and_s: float) -> Outcome:
    """Start a writer, kill it with SIGKILL when it has done so many things and a moment more; return what it said.

    ``after`` -1 kills it while it opens the ledger.
    """
    ((heard, writer),) = home.send(work).items()
    deadline = time.monotonic() + 60
    while after >= 0 and time.monotonic() < deadline:
        text = heard.read_text(encoding="utf-8") if heard.exists() else ""
        if text.startswith("open\n") and text.count("\n") > after:
            break
        if text.startswith("failed"):
            break
        time.sleep(0.0005)
    time.sleep(and_s)
    with suppress(ProcessLookupError):  # it was done first
        os.kill(writer, signal.SIGKILL)
    assert home.line() == "gone"
    return outcome(heard) if heard.exists() else Outcome()


def check(place: Path | str, work: Sequence[Work], acknowledged: set[str]) -> set[str]:
    """Hold a ledger to what was acknowledged: all of it is there, nothing is half done, and the audit passes.

    Returns
    -------
    Names of the work that is in the books
    """
    with Ledger.open(place, create=False) as books:
        audit = books.audit()
        entries = {entry.id: entry for entry in books.entries()}
    assert audit.ok, str(audit)
    there: set[str] = set()
    for w in work:
        found = [entry.id in entries for entry in w.entries]
        assert all(found) or not any(found), f"{w.name} is half done"
        if all(found):
            assert all(entries[entry.id] == entry for entry in w.entries)
            there.add(w.name)
    assert acknowledged <= there, f"acknowledged and lost: {sorted(acknowledged - there)}"
    return there
