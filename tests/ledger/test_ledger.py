"""Posting, reversing and reading an open ledger."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from entrepot.errors import Conflict, InputError, NotFound
from entrepot.ledger import Entry, Ledger, Posting, UnitLot

if TYPE_CHECKING:
    from .conftest import Write

NEW = "alder:lf-1:available"


def free(books: Ledger, write: Write, slot: str = "") -> int:
    """Return alder's devices that are free."""
    return books.balance(NEW, write.chip, "a-h20", slot)


def test_a_retry_changes_nothing(books: Ledger, write: Write) -> None:
    """A caller that did not hear the answer posts again."""
    once = books.post(write.sale("s"))
    again = books.post(write.sale("s"))
    assert once == again
    assert books.head == (2, once.hash)
    assert free(books, write) == 56


@pytest.mark.parametrize("change", [{"cause": "another"}, {"at": dt.datetime(2025, 5, 16, tzinfo=dt.UTC)}])
def test_an_id_stands_for_one_content(books: Ledger, write: Write, change: dict[str, object]) -> None:
    """Another content under the same id is not a retry."""
    books.post(write.sale("s"))
    with pytest.raises(Conflict, match="another content"):
        books.post(replace(write.sale("s"), **change))  # type: ignore[arg-type]
    with pytest.raises(Conflict, match="another content"):
        books.post_all([write.sale("t"), replace(write.sale("t"), cause="x")])
    assert books.head[0] == 2


def test_all_or_nothing(books: Ledger, write: Write) -> None:
    """Of a batch whose last entry is refused, nothing is written."""
    before = books.head
    with pytest.raises(Conflict, match=r"'s3' was refused.*holds 0"):
        books.post_all([write.sale("s1", 32), write.sale("s2", 32), write.sale("s3", 8)])
    assert books.head == before
    assert free(books, write) == 64
    assert books.audit().ok


def test_more_than_is_held_is_refused_in_words(books: Ledger, write: Write) -> None:
    """The refusal says which account, what it holds, and what was asked of it."""
    with pytest.raises(
        Conflict,
        match="alder:lf-1:available holds 64 nvidia-h20-sxm-96gb of lot a-h20 at 2025-05-15 00:00 UTC, and 72 would leave it",
    ):
        books.post(write.sale("s", 72))


def test_a_device_is_leased_once_in_an_hour(books: Ledger, write: Write) -> None:
    """Also when the two slots are cut differently and only overlap."""
    books.post(write.lease("l1", "2025-07-01..2025-10-01/h08-20", 40))
    with pytest.raises(Conflict, match=r"has 24 .* free at 2025-09-30 19:00 UTC, and 25 would leave it"):
        books.post(write.lease("l2", "2025-09-30/h19-21", 25))
    books.post(write.lease("l2", "2025-09-30/h19-21", 24))
    books.post(write.lease("l3", "2025-10-01..2025-11-01/h08-20", 64))
    books.post(write.lease("l4", "2025-07-01..2025-10-01/h00-08", 64))
    assert free(books, write, "2025-09-30/h19") == 0
    assert free(books, write, "2025-09-30/h20") == 40
    assert free(books, write, "2025-09-30/h18") == 24
    assert free(books, write) == 64
    assert books.audit().ok


def test_what_is_leased_is_not_sold(books: Ledger, write: Write) -> None:
    """A sale is for good, so it needs the devices in every hour that is leased."""
    books.post(write.lease("l", "2025-07-01/h14", 40))
    with pytest.raises(Conflict, match=r"has 24 .* free at 2025-07-01 14:00 UTC, and 32 would leave it"):
        books.post(write.sale("s", 32))
    books.post(write.sale("s", 24))
    assert free(books, write, "2025-07-01/h14") == 0
    assert free(books, write, "2025-07-01/h15") == 40


def test_a_finished_lease_does_not_stand_in_the_way_of_a_sale(books: Ledger, write: Write) -> None:
    """Nothing is closed by hand: a sale counts from its own time on, and the lease in its hours."""
    books.post(write.lease("l1", "2025-07-01..2025-08-01/h00-24", 64))
    books.post(write.lease("l2", "2025-08-01/h08", 8))
    august = dt.datetime(2025, 8, 1, tzinfo=dt.UTC)
    with pytest.raises(Conflict, match=r"has 0 .* free at 2025-07-31 23:59 UTC, and 1 would leave it"):
        books.post(replace(write.sale("s", 1), at=august - dt.timedelta(minutes=1)))
    with pytest.raises(Conflict, match=r"has 56 .* free at 2025-08-01 08:00 UTC, and 57 would leave it"):
        books.post(replace(write.sale("s", 57), at=august))
    books.post(replace(write.sale("s", 56), at=august))
    books.post(replace(write.sale("t", 8), at=august + dt.timedelta(hours=9)))
    leased = pl.col("state") == "leased"
    assert books.balances(slot="2025-07-10/h10").filter(leased)["quantity"].to_list() == [64]
    assert [
        books.balance(NEW, write.chip, "a-h20", at=august + dt.timedelta(hours=h)) for h in (-1, 0, 8, 9)
    ] == [0, 8, 0, 0]
    assert books.audit().ok


def test_units_are_promised_from_when_they_are_there(books: Ledger, write: Write) -> None:
    """A delivery to come can be leased after its day, and not before; what is backdated counts from its own day."""
    chip, day = write.chip, dt.datetime(2025, 9, 1, 14, 30, tzinfo=dt.UTC)
    coming = replace(write.held("new", 16), at=day)
    books.post(coming)
    with pytest.raises(Conflict, match=r"has 0 .* free at 2025-09-01 14:00 UTC, and 16 would leave it"):
        books.post(write.lease("early", "2025-09-01/h14", 16, lot="new"))
    books.post(write.lease("l", "2025-09-01/h15", 16, lot="new"))
    with pytest.raises(Conflict, match=r"has 0 .* free at 2025-09-01 15:00"):
        books.post(replace(write.sale("s", 8, lot="new"), at=day))
    books.post(replace(write.sale("s", 8, lot="new"), at=day + dt.timedelta(hours=2)))
    # Four come that morning, sixteen in the afternoon: what leaves of the four is not asked to serve the sixteen's lease.
    morning = replace(write.held("two", 4), at=dt.datetime(2025, 9, 2, 8, tzinfo=dt.UTC))
    more = (Posting(NEW, chip, 16, "two"), Posting("alder:opening", chip, -16, "two"))
    books.post_all([morning, Entry("more", morning.at + dt.timedelta(hours=2), "more", more)])
    books.post(write.lease("l2", "2025-09-02/h15", 16, lot="two"))
    books.post(replace(write.sale("s2", 1, lot="two"), at=morning.at))
    with pytest.raises(Conflict, match=r"has 3 .* free at 2025-09-02 15:00 UTC, and 4 would leave it"):
        books.post(replace(write.sale("s3", 4, lot="two"), at=morning.at + dt.timedelta(hours=3)))
    with pytest.raises(Conflict, match=r"holds 0 .* at 2025-05-14 12:00 UTC, and 8 would leave it"):
        books.post(replace(write.sale("before", 8), at=write.at - dt.timedelta(hours=12)))
    books.post(replace(write.held("old", 8), at=write.at - dt.timedelta(days=30)))
    assert books.balance(NEW, chip, "old", at=write.at - dt.timedelta(days=31)) == 0
    assert books.balance(NEW, chip, "old", at=write.at - dt.timedelta(days=29)) == 8
    assert books.audit().ok


def test_a_reversal_is_an_entry_of_its_own(books: Ledger, write: Write) -> None:
    """Nothing is erased, and a mistake is undone once."""
    books.post(write.sale("s"))
    undone = books.reverse("s", at=write.at, cause="wrong buyer")
    assert undone.entry.reverses == "s"
    assert free(books, write) == 64
    assert [e.id for e in books.entries()] == ["opening/a-h20", "s", "s/reversal"]
    assert books.reverse("s", at=write.at, cause="wrong buyer") == undone  # a retry
    with pytest.raises(Conflict):
        books.reverse("s", at=write.at, id="again")
    with pytest.raises(NotFound):
        books.reverse("nothing", at=write.at)


def test_what_has_moved_on_is_not_reversed(books: Ledger, write: Write) -> None:
    """A sale cannot be undone when the buyer no longer has the devices."""
    books.post(write.sale("s", 8))
    on = (
        Posting("birch:ulq-1:available", write.chip, -8, "a-h20"),
        Posting("cedar:sha-1:available", write.chip, 8, "a-h20"),
    )
    books.post(Entry("on", write.at, "resale", on))
    with pytest.raises(Conflict, match="birch:ulq-1:available holds 0"):
        books.reverse("s", at=write.at)


def test_a_debt_is_paid_once_and_with_cash_that_is_there(books: Ledger, write: Write) -> None:
    """No cash is invented: a payment needs it, and a payable never turns over."""
    books.post(write.sale("s", fen=500))

    def payment(id_: str, fen: int) -> Entry:
        return Entry(
            id_,
            write.at,
            "payment",
            (
                Posting("birch:cash", "CNY.fen", -fen),
                Posting("birch:payable:alder", "CNY.fen", fen),
                Posting("alder:cash", "CNY.fen", fen),
                Posting("alder:receivable:birch", "CNY.fen", -fen),
            ),
        )

    with pytest.raises(Conflict, match=r"birch:cash holds 0 CNY\.fen"):
        books.post(payment("p", 500))
    line = (Posting("birch:cash", "CNY.fen", 900), Posting("birch:credit:bank", "CNY.fen", -900))
    books.post(Entry("line", write.at, "credit line drawn", line))
    books.post(payment("p", 500))
    with pytest.raises(Conflict, match=r"owes 0 CNY\.fen .*and 100 would be paid|holds 0"):
        books.post(payment("q", 100))
    assert books.balance("alder:cash", "CNY.fen") == 500
    assert books.balance("birch:payable:alder", "CNY.fen") == 0


def test_units_of_an_unknown_lot_do_not_exist(books: Ledger, write: Write) -> None:
    """Nor do units of a lot under another accelerator's name."""
    for commodity, lot in [(write.chip, "nowhere"), ("amd-mi300x-192gb", "a-h20")]:
        postings = (Posting(NEW, commodity, 1, lot), Posting("alder:equity", commodity, -1, lot))
        with pytest.raises(Conflict, match="lot that the ledger does not know"):
            books.post(Entry("x", write.at, "x", postings))
    with pytest.raises(Conflict):
        books.post(replace(write.held(), id="again"))
    assert books.head[0] == 1


def test_balances_by_prefix_slot_and_time(books: Ledger, write: Write) -> None:
    """A prefix ends at a colon: alder is not alderson."""
    later = write.at + dt.timedelta(days=1)
    books.post(write.held("b-h20", 16, "alderson"))
    books.post(replace(write.sale("s"), at=later))
    assert set(books.balances("alder")["account"]) == {NEW, "alder:opening", "alder:receivable:birch"}
    assert set(books.balances("alder:lf-1")["account"]) == {NEW}
    assert books.balances("ald").is_empty()
    assert books.balances(NEW, at=write.at)["quantity"].to_list() == [64]
    assert books.balances(NEW, at=later)["quantity"].to_list() == [56]
    books.post(write.lease("l", "2025-07-01/h14", 8))
    assert books.balances(NEW)["slot"].to_list() == ["", "2025-07-01/h14"]
    assert books.balances(NEW)["quantity"].to_list() == [56, -8]
    assert books.balances(NEW, slot="2025-07-01/h14")["quantity"].to_list() == [48]
    assert books.balances(NEW, slot="")["quantity"].to_list() == [56]
    with pytest.raises(InputError, match="more than one hour"):
        books.balances(slot="2025-07-01/h14-16")
    with pytest.raises(InputError, match="not UTC"):
        books.balances(at=dt.datetime(2025, 5, 15))  # noqa: DTZ001 - the point


def test_provenance_goes_with_the_units(books: Ledger, write: Write) -> None:
    """From the opening to the present holder, and back through the lot that it was split from."""
    books.post(write.sale("s", 8))
    child = UnitLot("b-h20", write.chip, parent="a-h20", authorisation="re-export licence")
    split = (
        Posting("birch:ulq-1:available", write.chip, -8, "a-h20"),
        Posting("birch:equity", write.chip, 8, "a-h20"),
        Posting("birch:equity", write.chip, -8, "b-h20"),
        Posting("birch:ulq-1:available", write.chip, 8, "b-h20"),
    )
    books.post(Entry("split", write.at, "new papers", split, unit_lots=(child,)))
    table = books.provenance("b-h20")
    assert table["unit_lot"].to_list() == ["a-h20"] * 6 + ["b-h20"] * 2
    last = table.group_by("unit_lot", "account", "slot").last().filter(pl.col("held") > 0)
    assert dict(zip(last["account"], last["held"], strict=True)) == {
        NEW: 56,
        "birch:ulq-1:available": 8,
        "birch:equity": 8,
    }
    assert books.unit_lot("b-h20") == child
    assert set(books.provenance()["unit_lot"]) == {"a-h20", "b-h20"}
    with pytest.raises(NotFound, match="a-h20"):
        books.provenance("a-h2O")


def test_the_journal_as_tables(books: Ledger, write: Write) -> None:
    """One row an entry, one row a posting; an entry goes by the last part of its id where that is enough."""
    books.post_all([write.sale("2025/x/trade-1"), write.sale("2025/x/trade-2"), write.sale("2025/y/trade-2")])
    assert books.journal()["entry"].to_list() == [e.id for e in books.entries()]
    assert books.journal()["postings"].to_list() == [2, 4, 4, 4]
    assert books.postings("trade-1")["quantity"].to_list() == [-8, 8, -500, 500]
    assert books.postings().height == 14
    assert tuple(books.stream()) == books.chain()
    assert tuple(books.stream(after=2)) == books.chain()[2:]
    with pytest.raises(NotFound, match="trade-2"):
        books.postings("trade-2")


def test_the_books_are_there_when_opened_again(path: Path, write: Write) -> None:
    """And a ledger is made only where one may be."""
    with pytest.raises(InputError, match="no such ledger"):
        Ledger.open(path, create=False)
    with Ledger.open(path) as books:
        head = books.post(write.held()).hash
    with Ledger.open(path, create=False) as books:
        assert books.head == (1, head)
        assert books.post(write.sale("s")).previous == head
    with pytest.raises(InputError, match="cannot be made"):
        Ledger.open(path.parent / "nowhere" / "x.sqlite")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
