"""Tables in and out: every row at fault is told with its line; all of a file or nothing; what came out can go in again."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.errors import Conflict, InputError
from entrepot.ledger import Ledger, Posting
from entrepot.ledger.exchange import (
    Incoming,
    bring_in,
    lots,
    movements,
    read_movements,
    read_opening,
    template,
    write_table,
    write_tables,
)

from .journals import journals

CHIP = "nvidia-h20-sxm-96gb"
OPENING = "key,at,account,commodity,quantity,unit_lot,imported_on,conditions\n"
MOVEMENTS = "entry,at,cause,account,commodity,quantity,unit_lot,slot\n"


def opening(folder: Path, rows: str, header: str = OPENING) -> Incoming:
    """Write a table of opening balances and read it."""
    path = folder / "opening.csv"
    path.write_text(header + rows, encoding="utf-8")
    return read_opening(path)


def moves(folder: Path, rows: str, lots: str | None = None) -> Incoming:
    """Write a table of movements (and of lots) and read it."""
    path = folder / "movements.csv"
    path.write_text(MOVEMENTS + rows, encoding="utf-8")
    beside = None
    if lots is not None:
        beside = folder / "lots.csv"
        beside.write_text("unit_lot,accelerator,entry\n" + lots, encoding="utf-8")
    return read_movements(path, beside)


def test_a_template_can_be_imported_as_it_stands(tmp_path: Path) -> None:
    """Who starts from the template starts from something that works, and importing it again changes nothing."""
    for kind in ("opening", "movements"):
        (tmp_path / f"{kind}.csv").write_text(template(kind), encoding="utf-8")
    with Ledger.open() as books:
        assert str(bring_in(books, read_opening(tmp_path / "opening.csv"))).endswith("4 postings posted.")
        bring_in(books, read_movements(tmp_path / "movements.csv"))
        assert books.balance("birch:ulq-1:available", CHIP, "alder-h20") == 8
        assert books.unit_lot("alder-h20").conditions == ("no resale",)
        head = books.head
        again = bring_in(books, read_opening(tmp_path / "opening.csv"))
        assert (again.new, again.there, books.head) == (0, 2, head)
        assert books.audit().ok


@pytest.mark.parametrize(
    ("rows", "where", "what"),
    [
        ("k,2025-05-15,alder:lf-1:availble,c-1,5,,,\n", "opening.csv:2: account", "names no state"),
        ("k,2025-05-15,alder:lf-1:available,c-1,5.5,,,\n", "opening.csv:2: quantity", "not a whole number"),
        ("k,2025-05-15,alder:lf-1:available,c-1,0,,,\n", "opening.csv:2: quantity", "0 is not from 1"),
        (
            "k,2025-05-15,alder:lf-1:available,c-1,10000000000000000,,,\n",
            "opening.csv:2: quantity",
            "in size",
        ),
        ("k,2025-05-15,alder:lf-1:available,c-1,-5,,,\n", "opening.csv:2: quantity", "below 0"),
        ("k,2025-05-15,alder:payable,CNY.fen,5,,,\n", "opening.csv:2: quantity", "what is owed"),
        ("k,15.05.2025,alder:lf-1:available,c-1,5,,,\n", "opening.csv:2: at", "not a time"),
        ("k,2025-05-15T08:00:00,alder:lf-1:available,c-1,5,,,\n", "opening.csv:2: at", "not UTC"),
        ("k,2025-05-15T08:00:00+08:00,alder:lf-1:available,c-1,5,,,\n", "opening.csv:2: at", "not UTC"),
        ("k,2025-05-15,alder:lf-1:available,c-1,5,,09/2024,\n", "opening.csv:2: imported_on", "not a day"),
        ("k,2025-05-15,alder:lf-1:available,c-1,5,,,[1]\n", "opening.csv:2: conditions", "not a JSON list"),
        (
            "k,2025-05-15,alder:cash,CNY.fen,5,,2024-09-01,\n",
            "opening.csv:2: unit_lot",
            "money has no papers",
        ),
        (",2025-05-15,alder:lf-1:available,c-1,5,,,\n", "opening.csv:2: key", "empty"),
        ("k,2025-05-15,alder:lf-1:available,c-1,5\n", "opening.csv:2: row", "5 fields"),
        (
            "k,2025-05-15,a:x:available,c-1,5,,,\nk,2025-05-15,a:y:available,c-1,5,,,\n",
            "opening.csv:3: key",
            "stands already on line 2",
        ),
        (
            "k,2025-05-15,a:x:available,c-1,5,l,2024-01-01,\nm,2025-05-15,a:y:available,c-1,5,l,2024-01-02,\n",
            "opening.csv:3: imported_on",
            "other papers here than on line 2",
        ),
    ],
)
def test_a_row_at_fault_is_told(tmp_path: Path, rows: str, where: str, what: str) -> None:
    """File, line, field, what is wrong, and the mend; one fault, not three for one slip."""
    with pytest.raises(InputError) as caught:
        opening(tmp_path, rows)
    (fault,) = caught.value.faults
    assert fault.where == where
    assert what in fault.what
    assert fault.mend


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    """Who mends one row should not meet the next; of a thousand alike, twenty are shown and the rest counted."""
    rows = "x,2025-05-15,a:x:available,c-1,five,,,\ny,yesterday,nowhere,c-1,5,,,\n"
    with pytest.raises(InputError) as caught:
        opening(tmp_path, rows)
    assert [f.where for f in caught.value.faults] == [
        "opening.csv:2: quantity",
        "opening.csv:3: at",
        "opening.csv:3: account",
    ]
    with pytest.raises(InputError) as caught:
        opening(tmp_path, "".join(f"k{i},2025-05-15,a:x:available,c-1,1.5,,,\n" for i in range(1000)))
    assert len(caught.value.faults) == 21
    assert "980 more rows" in caught.value.faults[-1].what


@pytest.mark.parametrize(
    ("rows", "where", "what"),
    [
        ("e,2025-06-01,c,a:x:available,c-1,-5,l,\ne,,,b:y:available,c-1,4,l,\n", "movements.csv:2: entry", "sums to -1"),
        ("e,2025-06-01,c,a:x:available,c-1,-5,l,\ne,,,b:y:available,c-1,5,,\n", "movements.csv:3: entry", "no unit lot"),
        ("e,2025-06-01,c,a:x:available,c-1,-5,l,h08\ne,,,b:y:available,c-1,5,l,\n", "movements.csv:2: slot", "not a slot"),
        ("e,,c,a:x:available,c-1,-5,l,\ne,,,b:y:available,c-1,5,l,\n", "movements.csv:2: at", "empty"),
        ("e,2025-06-01,c,a:x:available,c-1,-5,l,\ne,,d,b:y:available,c-1,5,l,\n", "movements.csv:3: cause", "differs from 'c' on line 2"),
        ("e,2025-06-01,c,a:x:available,c-1,-5,l,\n,,,b:y:available,c-1,5,l,\n", "movements.csv:3: entry", "empty"),
    ],
)  # fmt: skip
def test_a_movement_at_fault_is_told(tmp_path: Path, rows: str, where: str, what: str) -> None:
    """What is wrong with an entry as a whole stands on the line that is to blame, or on its first."""
    with pytest.raises(InputError) as caught:
        moves(tmp_path, rows)
    assert [f.where for f in caught.value.faults if what in f.what] == [where]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("l,c-1,other\n", "no movement is called 'other'"),
        ("m,c-1,\n", "no movement moves lot 'm'"),
        ("l,c-1,\nl,c-2,\n", "stands already on line 2"),
    ],
)
def test_a_lot_at_fault_is_told(tmp_path: Path, rows: str, what: str) -> None:
    """Papers that belong to nothing are a slip."""
    two = "e,2025-06-01,c,a:x:available,c-1,5,l,\ne,,,a:opening,c-1,-5,l,\n"
    with pytest.raises(InputError, match=what) as caught:
        moves(tmp_path, two, rows)
    assert caught.value.faults[0].where.startswith("lots.csv:")


def test_a_lot_that_is_not_known_is_told_before_anything_is_written(tmp_path: Path) -> None:
    """Every such row, with the nearest name; and units of another accelerator than the lot's."""
    with Ledger.open() as books:
        bring_in(books, opening(tmp_path, "alder-h20,2025-05-15,a:x:available,c-1,9,,,\n"))
        head = books.head
        wrong = moves(
            tmp_path,
            "e,2025-06-01,c,a:x:available,c-1,-5,alder-h2,\ne,,,b:y:available,c-1,5,alder-h2,\n"
            "f,2025-06-01,c,a:x:available,c-2,-5,alder-h20,\nf,,,b:y:available,c-2,5,alder-h20,\n",
        )
        with pytest.raises(InputError) as caught:
            bring_in(books, wrong)
        assert [f.where for f in caught.value.faults] == [
            "movements.csv:2: unit_lot",
            "movements.csv:4: unit_lot",
        ]
        assert "Did you mean alder-h20" in caught.value.faults[0].mend
        assert books.head == head


def test_all_that_the_books_cannot_bear_is_told_and_nothing_is_kept(tmp_path: Path) -> None:
    """Two of three entries would overdraw; both are named with their rows, and the third is not written either."""
    rows = "".join(
        f"{e},2025-06-01,c,a:x:available,c-1,-{n},l,\n{e},,,b:y:available,c-1,{n},l,\n"
        for e, n in (("one", 6), ("two", 5), ("three", 40))
    )
    with Ledger.open() as books:
        bring_in(books, opening(tmp_path, "l,2025-05-15,a:x:available,c-1,10,,,\n"))
        head, wanted = books.head, moves(tmp_path, rows)
        for dry_run in (True, False):
            with pytest.raises(Conflict) as caught:
                bring_in(books, wanted, dry_run=dry_run)
            assert "movements.csv:4" in str(caught.value)
            assert "movements.csv:6" in str(caught.value)
            assert "movements.csv:2:" not in str(caught.value)
            assert books.head == head
        assert books.audit().ok


def test_a_dry_run_keeps_nothing(tmp_path: Path) -> None:
    """It says what would be posted, having done all of it; then the books are as they were."""
    with Ledger.open(tmp_path / "ledger.sqlite") as books:
        found = bring_in(books, opening(tmp_path, "l,2025-05-15,a:x:available,c-1,10,,,\n"), dry_run=True)
        assert "1 entries with 2 postings would be posted" in str(found)
        assert books.head[0] == 0
        assert books.balances().is_empty()
        bring_in(books, opening(tmp_path, "l,2025-05-15,a:x:available,c-1,10,,,\n"))
        assert books.head[0] == 1


def test_the_same_key_with_another_content_is_a_conflict(tmp_path: Path) -> None:
    """The row and the field are named, and the rows beside it are not written."""
    with Ledger.open() as books:
        bring_in(books, opening(tmp_path, "l,2025-05-15,a:x:available,c-1,10,,,\n"))
        head = books.head
        changed = "new,2025-05-15,a:x:available,c-1,1,,,\nl,2025-05-15,a:x:available,c-1,11,,,\n"
        with pytest.raises(
            Conflict, match=r"opening\.csv:3: entry 'opening/l' is in the ledger with another"
        ) as caught:
            bring_in(books, opening(tmp_path, changed))
        assert "a:x:available +10 c-1, and not a:x:available +11" in str(caught.value)
        assert books.head == head


def test_a_lot_may_stand_at_two_sites(tmp_path: Path) -> None:
    """Two rows of one lot are two holdings of one provenance; the papers come in once."""
    rows = "n,2025-05-15,a:x:available,c-1,10,l,2024-01-01,\nm,2025-05-15,a:y:available,c-1,5,l,2024-01-01,\n"
    with Ledger.open() as books:
        bring_in(books, opening(tmp_path, rows))
        assert books.balance("a:y:available", "c-1", "l") == 5
        assert books.unit_lot("l").imported_on == dt.date(2024, 1, 1)


@pytest.mark.parametrize(
    ("text", "why"), [(b"\x89PNG\r\n\x00\x01", "binary"), (b"", "empty"), (b"entry,when\n", "no such column")]
)
def test_what_is_no_table_is_told(tmp_path: Path, text: bytes, why: str) -> None:
    """A picture, nothing, other columns."""
    path = tmp_path / "movements.csv"
    path.write_bytes(text)
    with pytest.raises(InputError, match=why):
        read_movements(path)


@given(books=journals())
@settings(max_examples=30, deadline=None)
def test_what_came_out_goes_in_again(books: Ledger, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Export and import give the same journal to the last hash, by CSV and by Parquet: so the same balances."""
    folder = tmp_path_factory.mktemp("round")
    for form in ("csv", "parquet"):
        table, papers = folder / f"movements.{form}", folder / f"lots.{form}"
        write_table(movements(books.entries()), table)
        write_table(lots(books.entries()), papers)
        with Ledger.open() as again:
            brought = bring_in(again, read_movements(table, papers))
            assert (brought.new, brought.there) == (books.head[0], 0)
            assert again.head == books.head
            assert again.balances().equals(books.balances())
            assert bring_in(again, read_movements(table, papers)).new == 0
    books.close()


def test_an_export_is_whole_or_not_there(
    tmp_path: Path, file_books: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three tables in a new folder; never into one that has something, and nothing left behind by a failure."""
    folder = tmp_path / "export"
    assert write_tables(file_books, folder, "csv") == {"movements.csv": 2, "lots.csv": 1, "balances.csv": 2}
    with pytest.raises(Conflict, match="nothing was written"):
        write_tables(file_books, folder, "csv")

    def fails(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("entrepot.ledger.exchange.outgoing.balances", fails)
    with pytest.raises(OSError, match="disk full"):
        write_tables(file_books, tmp_path / "other", "parquet")
    assert {p.name for p in tmp_path.iterdir()} == {
        "export",
        "ledger.sqlite",
        "ledger.sqlite-shm",
        "ledger.sqlite-wal",
    }


def test_parquet_carries_types(tmp_path: Path, books: Ledger) -> None:
    """Whole numbers, days and times in UTC are what they are, not text."""
    write_tables(books, tmp_path / "export", "parquet")
    table = pl.read_parquet(tmp_path / "export" / "movements.parquet")
    assert table.schema["quantity"] == pl.Int64()
    assert table.schema["at"] == pl.Datetime("us", "UTC")
    assert table["at"].to_list()[0] == books.entries()[0].at
    assert isinstance(books.entries()[0].postings[0], Posting)


def test_an_export_as_of_a_day_leaves_out_what_came_later(tmp_path: Path, books: Ledger) -> None:
    """The journal up to then, and the balances then."""
    before = books.entries()[0].at - dt.timedelta(microseconds=1)
    found = write_tables(books, tmp_path / "export", "csv", at=before)
    assert found == {"movements.csv": 0, "lots.csv": 0, "balances.csv": 0}


def test_serial_numbers_and_reservations_come_and_go(tmp_path: Path, place: Path | str) -> None:
    """Devices named one by one, at two sites; a reservation that is posted; all of it out and in again, to the last hash."""
    header = "key,at,account,commodity,quantity,unit_lot,serials\n"
    stock = (
        "n,2025-05-15,a:x:available,c-1,2,l,s1;s2\n"
        "m,2025-05-15,a:y:available,c-1,1,l,s3\n"
        "k,2025-05-15,a:x:available,c-1,9,k,\n"
    )
    wanted = tmp_path / "movements.csv"
    wanted.write_text(
        "entry,at,cause,account,commodity,quantity,unit_lot,serials,expires,resolves\n"
        "sale,2025-06-01,sold,a:x:available,c-1,-1,l,s2,,\nsale,,,b:z:available,c-1,1,l,s2,,\n"
        "hold,2025-06-01,held for b,a:x:available,c-1,-4,k,,2025-07-01T00:00:00Z,\n"
        "hold,,,a:x:reserved:b,c-1,4,k,,,\n"
        "post,2025-06-02,posted,a:x:reserved:b,c-1,-4,k,,,hold\npost,,,b:z:available,c-1,4,k,,,\n",
        encoding="utf-8",
    )
    with Ledger.open(place) as books:
        bring_in(books, opening(tmp_path, stock, header))
        assert books.unit_lot("l").serials == ("s1", "s2", "s3")
        bring_in(books, read_movements(wanted))
        assert books.balance("b:z:available", "c-1", "k") == 4
        assert books.audit().ok
        write_tables(books, tmp_path / "out", "csv")
        with Ledger.open() as again:
            bring_in(again, read_movements(tmp_path / "out" / "movements.csv", tmp_path / "out" / "lots.csv"))
            assert again.head == books.head
        wrong = wanted.read_text(encoding="utf-8").replace(",l,s2,", ",l,s1,").replace("sale", "more")
        wanted.write_text(wrong.split("hold")[0].replace(",l,s1,,\nmore", ",l,s3,,\nmore"), encoding="utf-8")
        with pytest.raises(
            Conflict, match=r"movements\.csv:2"
        ):  # s3 is at the other site, and s1 does not leave
            bring_in(books, read_movements(wanted))


def test_the_commands_take_a_file_or_a_url(place: Path | str, tmp_path: Path) -> None:
    """Who keeps books in PostgreSQL imports and exports by the same two commands; the same file again changes nothing."""
    from entrepot.cli import main

    table = tmp_path / "opening.csv"
    assert main(["ledger", "template", "opening", "--out", str(table)]) == 0
    words = ["ledger", "import", str(place), str(table), "--kind", "opening"]
    assert main([*words, "--dry-run"]) == 0
    assert main(words) == 0
    with Ledger.open(place) as books:
        first = books.head
    assert main(words) == 0
    with Ledger.open(place) as books:
        assert books.head == first
        assert books.audit().ok
    assert main(["ledger", "export", str(place), "--format", "csv", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "movements.csv").read_text(encoding="utf-8").count("\n") > 2
