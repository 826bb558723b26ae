"""A disk that is full, a file that may not be written, a file that is damaged: one clear error, and never a wrong value."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import event

from entrepot.errors import EntrepotError, InputError
from entrepot.ledger import Entry, Ledger

from . import fire

if TYPE_CHECKING:
    from .conftest import Write

FLIPS = max(1, int(200 * fire.TIMES))


def small_disk(books: Ledger, pages: int) -> None:
    """Let the file grow by no more than some pages, as a full disk would."""

    @event.listens_for(books._storage.engine, "connect")
    def _(connection: object, _record: object) -> None:
        now = connection.execute("PRAGMA page_count").fetchone()[0]  # type: ignore[attr-defined]
        connection.execute(f"PRAGMA max_page_count={now + pages}")  # type: ignore[attr-defined]

    books._storage.engine.dispose()


def one_clear_error(error: EntrepotError, word: str) -> None:
    """Hold an error to what a person needs: one thing, said by its name, with a mend that does not throw data away."""
    assert isinstance(error, InputError)
    (fault,) = error.faults
    assert word in fault.what
    assert "Restore" not in fault.mend
    assert "Traceback" not in str(error)


@pytest.mark.parametrize("pages", [0, 1, 3, 10])
def test_a_full_disk_loses_nothing(path: Path, write: Write, pages: int) -> None:
    """Posting goes on until nothing fits; then it is refused whole, all that was acknowledged is there, and reading goes on."""
    with Ledger.open(path) as books:
        books.post(write.held(count=10**6))
        small_disk(books, pages)
        acknowledged: list[str] = []

        def fill() -> None:
            for i in range(10_000):
                batch = [write.sale(f"s{i}/{n}", 1, to=f"buyer-{i}-{n}") for n in range(5)]
                books.post_all(batch)
                acknowledged.extend(entry.id for entry in batch)

        with pytest.raises(InputError) as caught:
            fill()
        one_clear_error(caught.value, "full")
        assert [entry.id for entry in books.entries()][1:] == acknowledged
        assert books.audit().ok
    with Ledger.open(path) as books:  # there is room again
        books.post(write.sale("after", 1))
        assert books.audit().ok
        assert books.head[0] == len(acknowledged) + 2


_LIMITED = """
import resource, signal, sys
from entrepot.errors import InputError
from entrepot.ledger import Ledger
import pickle
path, limit, work = sys.argv[1:]
entries = pickle.load(open(work, "rb"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Ledger.open(path) as books:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    try:
        for entry in entries:
            books.post(entry)
            print("done", entry.id, flush=True)
    except InputError as error:
        print("error", len(error.faults), error.faults[0].what, "|", error.faults[0].mend, flush=True)
"""


def test_a_limit_of_the_system_loses_nothing(path: Path, write: Write, tmp_path: Path) -> None:
    """The operating system itself refuses the write, in the middle of the write-ahead log."""
    with Ledger.open(path) as books:
        books.post(write.held(count=10**6))
    work = tmp_path / "work"
    work.write_bytes(pickle.dumps([write.sale(f"s{i}", 1, to=f"buyer-{i}") for i in range(2000)]))
    limit = path.stat().st_size + 150_000
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(path), str(limit), str(work)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.splitlines()
    acknowledged = [line.split()[1] for line in lines if line.startswith("done")]
    assert lines[-1].startswith("error 1 "), done.stderr
    assert "Restore" not in lines[-1]
    assert acknowledged
    with Ledger.open(path) as books:
        assert [entry.id for entry in books.entries()][1:] == acknowledged
        assert books.audit().ok


def as_nobody(act: Callable[[], str]) -> str:
    """Run something in a child that may not write what is not its own, and return what it says."""
    read, written = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            os.write(written, act().encode())
        finally:
            os._exit(0)
    os.close(written)
    with os.fdopen(read, encoding="utf-8") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def test_a_file_that_may_not_be_written_can_be_read(write: Write) -> None:
    """Posting is one clear error, and the books are as they were."""
    with fire.common_folder() as folder:
        path = folder / "ledger.sqlite"
        with Ledger.open(path) as books:
            books.post(write.held())
            head = books.head

        def act() -> str:
            try:
                with Ledger.open(path) as books:
                    said = (
                        f"read {books.head[0]} {books.balance('alder:lf-1:available', write.chip, 'a-h20')}\n"
                    )
                    try:
                        books.post(write.sale("s"))
                    except InputError as error:
                        return f"{said}{len(error.faults)} {error.faults[0].what} | {error.faults[0].mend}"
                    return f"{said}posted"
            except InputError as error:
                return f"closed\n{len(error.faults)} {error.faults[0].what} | {error.faults[0].mend}"

        path.chmod(0o444)
        folder.chmod(0o555)
        try:
            first, second = as_nobody(act).split("\n")
        finally:
            folder.chmod(0o755)
            path.chmod(0o644)
        assert first in {"read 1 64", "closed"}
        assert second.startswith("1 ")
        assert "Restore" not in second
        with Ledger.open(path) as books:
            assert books.head == head


def everything(books: Ledger) -> tuple[object, ...]:
    """Return all that can be read of a ledger."""
    return (
        books.entries(),
        books.balances().rows(),
        books.balances(slot="2025-07-01/h09").rows(),
        books.provenance().rows(),
        books.journal().rows(),
    )


def test_bytes_flipped_anywhere_are_never_read_as_right(path: Path, write: Write) -> None:
    """One byte changed at a place drawn by chance: an error, or an audit that says so, or nothing read has changed."""
    chance = fire.seed(77)
    with Ledger.open(path) as books:
        books.post(write.held(count=1000))
        books.post_all(write.sale(f"s{i}", to=f"b{i % 3}") for i in range(25))
        books.post(write.lease("l", "2025-07-01..2025-08-01/h08-12", 40))
        right = everything(books)
    sound = path.read_bytes()
    told = silent = many = 0
    for _ in range(FLIPS):
        place = chance.randrange(len(sound))
        value = sound[place] ^ chance.randint(1, 255)
        path.write_bytes(sound[:place] + bytes([value]) + sound[place + 1 :])
        try:
            with Ledger.open(path) as books:
                found = everything(books)
                if found == right:
                    silent += 1  # nothing that anybody reads was there
                else:
                    assert not books.audit().ok, (
                        f"byte {place} set to {value}: other values were read, and no audit says so"
                    )
                    raise AssertionError(
                        f"byte {place} set to {value}: other values were read without an error"
                    )
        except InputError as error:
            told += 1
            many = max(many, len(error.faults))
    print(f"{FLIPS} bytes flipped: {told} told, {silent} where nothing is read")
    assert told > FLIPS // 10
    assert many == 1


def test_a_damaged_log_loses_entries_and_never_changes_them(path: Path, write: Write, tmp_path: Path) -> None:
    """What was not yet moved from the write-ahead log into the file: entries after the damage are gone, and a noted head says so."""
    chance = fire.seed(78)
    with Ledger.open(path) as books:
        books.post(write.held(count=1000))
        for i in range(30):
            books.post(write.sale(f"s{i}"))
        as_written, head = books.entries(), books.head
        files = {p.name: p.read_bytes() for p in path.parent.iterdir() if p.name.startswith(path.name)}
    log = files[f"{path.name}-wal"]
    assert len(log) > 10_000
    shorter = 0
    for round_ in range(max(1, int(25 * fire.TIMES))):
        folder = tmp_path / str(round_)
        folder.mkdir()
        place = chance.randrange(len(log))
        for name, content in files.items():
            if not name.endswith("-shm"):
                (folder / name).write_bytes(content)
        (folder / f"{path.name}-wal").write_bytes(log[:place] + bytes([log[place] ^ 0x55]) + log[place + 1 :])
        try:
            with Ledger.open(folder / path.name) as books:
                found = books.entries()
                noted = books.audit(noted={as_written[-1].id: head[1]})
        except InputError:
            continue
        assert found == as_written[: len(found)]
        if len(found) < len(as_written):
            shorter += 1
            assert not noted.ok
            assert "not in the journal" in str(noted)
    assert shorter, "some of the flips were in the log's frames"


def test_the_entries_of_a_ledger_that_was_full_are_whole(path: Path, write: Write) -> None:
    """A settlement that does not fit is not half there."""
    with Ledger.open(path) as books:
        books.post(write.held(count=10**6))
        small_disk(books, 6)
        settled = [
            Entry(f"c/{n}", write.at, "sale", write.sale(f"c/{n}", 1, to=f"buyer-{n}").postings, settles="c")
            for n in range(400)
        ]
        with pytest.raises(InputError) as caught:
            books.post_all(settled, once="c")
        one_clear_error(caught.value, "full")
        assert books.head[0] == 1
        assert books.audit().ok
        assert books.balances("buyer-0").is_empty()
