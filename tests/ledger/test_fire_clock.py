"""A clock that goes backwards: the journal's order is that of posting, and each entry counts from its own time on."""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.ledger import Entry, Ledger, Posting

if TYPE_CHECKING:
    from .conftest import Write

BEGIN = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 9)), min_size=1, max_size=12))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_times_may_run_backwards(moves: list[tuple[int, int]]) -> None:
    """Whatever the order of times, the chain holds, and a balance as of any time is the sum of what counts by then."""
    with Ledger.open() as books:
        for number, (day, fen) in enumerate(moves):
            at = BEGIN + dt.timedelta(days=day)
            pay = (Posting("a:cash", "CNY.fen", fen), Posting("a:opening", "CNY.fen", -fen))
            books.post(Entry(f"e{number}", at, "cash", pay))
        assert [entry.id for entry in books.entries()] == [f"e{n}" for n in range(len(moves))]
        audit = books.audit()
        assert audit.ok, str(audit)
        for day in sorted({day for day, _ in moves} | {-1, 50, 101}):
            at = BEGIN + dt.timedelta(days=day)
            right = sum(fen for when, fen in moves if when <= day)
            rows = books.balances("a:cash", at=at)["quantity"].to_list()
            assert rows == ([right] if right else [])


def test_the_ledger_asks_no_clock(path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids and times come from the caller: the machine's clock may say what it likes, the same is written."""
    heads = []
    for jump in (0.0, -(10**9), +(10**9)):
        real = time.time
        monkeypatch.setattr(time, "time", lambda real=real, jump=jump: real() + jump)
        file = path.with_name(f"{jump}.sqlite")
        with Ledger.open(file) as books:
            books.post(write.held())
            books.post(write.sale("s"))
            heads.append(books.head)
            assert books.audit().ok
        monkeypatch.undo()
    assert Counter(heads) == {heads[0]: 3}
