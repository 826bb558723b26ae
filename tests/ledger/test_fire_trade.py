"""Many processes trade the same lots at once: every unit is counted, none is sold or leased twice, all agree on one order."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.ledger import Entry, Ledger, Posting, Slot

from . import fire
from .fire import Work, check, nursery

if TYPE_CHECKING:
    import random

    from .conftest import Write

TRADERS = 6
TRADES = max(4, int(15 * fire.TIMES))
LOTS = ("lot-a", "lot-b")
UNITS = 24
DAY = dt.date(2025, 7, 1)


def trade(write: Write, trader: int, number: int, chance: random.Random) -> Work:
    """Buy from alder, sell on to another trader, or lease from alder; more than there is, all traders together."""
    me, lot, count = f"t{trader}", chance.choice(LOTS), chance.randint(1, 6)
    name = f"{me}/{number}"
    what = chance.random()
    if what < 0.5:
        ways = [("alder:lf-1:available", f"{me}:x:available", "")]
    elif what < 0.7:
        other = chance.choice([n for n in range(TRADERS) if n != trader])
        ways = [(f"{me}:x:available", f"t{other}:x:available", "")]
    else:
        first = DAY + dt.timedelta(days=chance.randrange(3))
        slot = str(Slot(first, first + dt.timedelta(days=chance.randint(1, 3)), 8, chance.randint(9, 12)))
        ways = [("alder:lf-1:available", f"alder:lf-1:leased:{me}", slot)]
    postings = tuple(
        posting
        for source, target, slot in ways
        for posting in (
            Posting(source, write.chip, -count, lot, slot),
            Posting(target, write.chip, count, lot, slot),
        )
    )
    return Work(name, (Entry(name, write.at, f"trade of {count}", postings),))


def test_many_processes_trade_the_same_lots(place: Path | str, write: Write, tmp_path: Path) -> None:
    """Six processes, two lots, more wanted than there is: acknowledged is there, refused is not, no unit lost."""
    chance = fire.seed(16)
    with Ledger.open(place) as books:
        books.post_all(write.held(lot, UNITS) for lot in LOTS)
    work = [[trade(write, t, n, chance) for n in range(TRADES)] for t in range(TRADERS)]
    with nursery(place, tmp_path) as home:
        outcomes = home.run(*work)
    done = {name for outcome in outcomes for name in outcome.done}
    refused = {name for outcome in outcomes for name in outcome.refused}
    assert [outcome.failed for outcome in outcomes] == [[]] * TRADERS
    every = [w for mine in work for w in mine]
    assert done | refused == {w.name for w in every}
    assert check(place, every, done) == done
    assert refused, "there was something to fight for"
    with Ledger.open(place) as books:
        order = [entry.id for entry in books.entries() if entry.id in done]
        for trader in range(TRADERS):  # each one's own order is kept
            own = [int(id_.split("/")[1]) for id_ in order if id_.startswith(f"t{trader}/")]
            assert own == sorted(own)
        for day in range(6):
            for hour in (7, 8, 9, 11, 12):
                slot = f"{DAY + dt.timedelta(days=day)}/h{hour:02}"
                total: Counter[str] = Counter()
                for row in books.balances(slot=slot).iter_rows(named=True):
                    if row["state"] != "opening":
                        assert row["quantity"] > 0, slot
                        total[row["unit_lot"]] += row["quantity"]
                assert total == dict.fromkeys(LOTS, UNITS), slot
    print(f"{len(done)} trades done, {len(refused)} refused")


def test_one_clearing_is_settled_by_one_of_many(place: Path | str, write: Write, tmp_path: Path) -> None:
    """Six processes settle the same ten clearings: each is settled once, whole, by one of them."""
    with Ledger.open(place) as books:
        books.post(write.held(count=10**4))
    work = []
    for trader in range(TRADERS):
        mine = []
        for number in range(10):
            ids = [f"c{number}/by-{trader}/{n}" for n in range(5)]
            entries = tuple(
                Entry(i, write.at, "sale", write.sale(i, 1).postings, settles=f"c{number}") for i in ids
            )
            mine.append(Work(f"c{number}/by-{trader}", entries, once=f"c{number}"))
        work.append(mine)
    with nursery(place, tmp_path) as home:
        done = {name for outcome in home.run(*work) for name in outcome.done}
    there = check(place, [w for mine in work for w in mine], done)
    assert there == done
    assert sorted(name.split("/")[0] for name in done) == sorted(f"c{n}" for n in range(10))
