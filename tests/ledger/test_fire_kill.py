"""SIGKILL at random points of posting and settlement: what was acknowledged is there, and nothing is half done."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.ledger import Entry, Ledger, Posting, Slot

from . import fire
from .fire import Work, check, killed, nursery

if TYPE_CHECKING:
    from .conftest import Write

ROUNDS = max(1, int(20 * fire.TIMES))
AT = dt.datetime(2025, 5, 15, tzinfo=dt.UTC)


def sale(write: Write, id_: str, settles: str = "") -> Entry:
    """Sell one device to birch, on credit."""
    return Entry(
        id_,
        AT,
        "sale of 1",
        (
            Posting("alder:lf-1:available", write.chip, -1, "a-h20"),
            Posting("birch:ulq-1:available", write.chip, 1, "a-h20"),
            Posting("birch:payable:alder", "CNY.fen", -100),
            Posting("alder:receivable:birch", "CNY.fen", 100),
        ),
        settles=settles,
    )


def lease(write: Write, id_: str, chance: random.Random, settles: str = "") -> Entry:
    """Lease one device to cedar in some hours."""
    first = dt.date(2025, 6, 1) + dt.timedelta(days=chance.randrange(20))
    slot = str(Slot(first, first + dt.timedelta(days=chance.randint(1, 20)), 8, 20))
    return Entry(
        id_,
        AT,
        "lease of 1",
        (
            Posting("alder:lf-1:available", write.chip, -1, "a-h20", slot),
            Posting("alder:lf-1:leased:cedar", write.chip, 1, "a-h20", slot),
            Posting("cedar:payable:alder", "CNY.fen", -7),
            Posting("alder:receivable:cedar", "CNY.fen", 7),
        ),
        settles=settles,
    )


def some_work(write: Write, round_: int, chance: random.Random) -> Iterator[Work]:
    """Single sales, and settlements of some sales and leases at once, more than a writer can do before it dies."""
    for i in range(60):
        name = f"r{round_}/{i}"
        if chance.random() < 0.6:
            yield Work(name, (sale(write, name),))
        else:
            trades = [
                sale(write, f"{name}/trade-{n}", name)
                if n % 2
                else lease(write, f"{name}/trade-{n}", chance, name)
                for n in range(chance.randint(2, 12))
            ]
            yield Work(name, tuple(trades), once=name)


def test_a_writer_killed_at_any_point_loses_nothing(place: Path | str, write: Write, tmp_path: Path) -> None:
    """Posting and settling, killed again and again, at moments from the first statement to many commits later."""
    chance = fire.seed(20_250_416)
    acknowledged: set[str] = set()
    work: list[Work] = []
    with Ledger.open(place) as books:
        books.post(write.held(count=10**6))
    with nursery(place, tmp_path) as home:
        for round_ in range(ROUNDS):
            mine = list(some_work(write, round_, chance))
            outcome = killed(home, mine, after=chance.randint(-1, 8), and_s=0.03 * chance.random())
            assert outcome.failed == []
            assert outcome.refused == []
            acknowledged |= set(outcome.done)
            work += mine
    there = check(place, work, acknowledged)
    assert (
        len(there) - len(acknowledged) <= ROUNDS
    )  # at most the one of each writer that died before it could say so
    sold = sum(1 for w in work if w.name in there for e in w.entries if e.cause == "sale of 1")
    with Ledger.open(place) as books:
        assert books.balance("birch:ulq-1:available", write.chip, "a-h20") == sold
        assert books.balance("alder:lf-1:available", write.chip, "a-h20") == 10**6 - sold
        assert books.balance("birch:payable:alder", "CNY.fen") == -100 * sold
    print(
        f"{ROUNDS} kills, {len(acknowledged)} acknowledged, {len(there) - len(acknowledged)} done and not heard of"
    )


def test_what_was_killed_can_be_done_again(place: Path | str, write: Write, tmp_path: Path) -> None:
    """The next writer retries all of it: what was there stays once, and the rest comes in."""
    chance = fire.seed(20_250_520)
    with Ledger.open(place) as books:
        books.post(write.held(count=10**6))
    mine = list(some_work(write, 0, chance))
    done: set[str] = set()
    with nursery(place, tmp_path) as home:
        for _ in range(6):
            done |= set(killed(home, mine, after=chance.randint(0, 20), and_s=0.02 * chance.random()).done)
        (last,) = home.run(mine)
    # A settlement that is there is refused a second time; single entries are answered with the stored one.
    assert set(last.refused) <= {w.name for w in mine if w.once}
    assert check(place, mine, done) == {w.name for w in mine}
