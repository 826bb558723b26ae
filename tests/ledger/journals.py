"""Journals by chance: sales, leases, payments and reversals among parties with awkward names, as far as the books bear them."""

from __future__ import annotations

import contextlib
import datetime as dt

from hypothesis import strategies as st

from entrepot.errors import Conflict
from entrepot.ledger import Entry, Ledger, Posting, Slot, UnitLot

__all__ = ["journals", "names"]

BEGIN = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
CHIPS = ("nvidia-h20-sxm-96gb", "H20", "cny.fen", "lot.a-b", "x")
MONEY = ("CNY.fen", "JPY.minor")


def names(alphabet: str = 'abzABZ019-./_ ,;#"\\é深') -> st.SearchStrategy[str]:
    """Any name that a part of an account may have, and that is not blank at its ends."""
    plain = st.sampled_from(["alder", "birch", "lf-1", "n", "n--z", "N--Z", "s--1", "alder-h20"])
    return plain | st.text(alphabet, min_size=1, max_size=6).filter(lambda t: t == t.strip())


@st.composite
def journals(draw: st.DrawFn) -> Ledger:
    """Books in memory, with some entries in them."""
    parties = draw(st.lists(names(), min_size=3, max_size=3, unique=True))
    sites = draw(st.lists(names(), min_size=2, max_size=2, unique=True))
    holders = [(parties[0], sites[0]), (parties[1], sites[1]), (parties[2], sites[0])]
    lots = draw(st.lists(names(), min_size=2, max_size=2, unique=True))
    papers = [
        UnitLot(
            lot,
            draw(st.sampled_from(CHIPS)),
            draw(st.none() | st.dates(dt.date(2020, 1, 1), dt.date(2026, 1, 1))),
            draw(st.none() | st.just("US")),
            draw(st.none() | names()),
            tuple(draw(st.lists(names(), max_size=2))),
            None,
            draw(st.just("") | names()),
        )
        for lot in lots
    ]
    books = Ledger.open()
    for (party, site), lot in zip(holders, papers, strict=False):
        books.post(
            Entry(
                f"opening/{lot.id}",
                BEGIN,
                f"opening of {lot.id}",
                (
                    Posting(f"{party}:{site}:available", lot.accelerator, 50, lot.id),
                    Posting(f"{party}:opening", lot.accelerator, -50, lot.id),
                ),
                unit_lots=(lot,),
            )
        )
    posted: list[Entry] = []
    for number in range(draw(st.integers(0, 8))):
        at = BEGIN + dt.timedelta(microseconds=draw(st.integers(0, 400 * 86_400 * 10**6)))
        id_ = f"{number}{draw(names())}"
        what = draw(st.sampled_from(["sale", "lease", "pay", "reverse"]))
        (seller, site), (buyer, other) = draw(st.permutations(holders))[:2]
        lot = draw(st.sampled_from(papers))
        count, money = draw(st.integers(1, 30)), draw(st.sampled_from(MONEY))
        amount = draw(st.integers(1, 10**9))
        owed = (
            Posting(f"{buyer}:payable:{seller}", money, -amount),
            Posting(f"{seller}:receivable:{buyer}", money, amount),
        )
        with contextlib.suppress(Conflict):
            if what == "sale":
                units = (
                    Posting(f"{seller}:{site}:available", lot.accelerator, -count, lot.id),
                    Posting(f"{buyer}:{other}:available", lot.accelerator, count, lot.id),
                )
                posted.append(books.post(Entry(id_, at, f"sale {number}", (*units, *owed))).entry)
            elif what == "lease":
                first = at.date() + dt.timedelta(days=draw(st.integers(0, 40)))
                hour = draw(st.integers(0, 23))
                slot = str(
                    Slot(
                        first,
                        first + dt.timedelta(days=draw(st.integers(1, 70))),
                        hour,
                        draw(st.integers(hour + 1, 24)),
                    )
                )
                units = (
                    Posting(f"{seller}:{site}:available", lot.accelerator, -count, lot.id, slot),
                    Posting(f"{seller}:{site}:leased:{buyer}", lot.accelerator, count, lot.id, slot),
                )
                posted.append(books.post(Entry(id_, at, f"lease {number}", (*units, *owed))).entry)
            elif what == "pay":
                cash = (
                    Posting(f"{buyer}:cash", money, amount),
                    Posting(f"{buyer}:credit", money, -amount),
                )
                books.post(Entry(id_, at, "a credit line", cash))
            elif posted:
                undone = posted.pop(draw(st.integers(0, len(posted) - 1)))
                books.post(undone.reversal(at=max(at, undone.at), cause=f"undone {number}", id=id_))
    return books
