"""Does a clearing survive being written down, and is a folder that was touched refused?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.errors import Conflict, InputError
from entrepot.market import Clearing, clear, read, verify, write
from entrepot.market.files import SCHEMAS
from entrepot.market.records import Book

from .markets import Ask, Want, books, by_hand


@pytest.fixture
def clearing() -> Clearing:
    """Return a small clearing with a lease and a sale."""
    asks = [Ask("lease", 8, 1.0), Ask("sale", 8, 2.0, kind="sale", residual=1.0, good="other")]
    return clear(by_hand(asks, [Want("b", 12.0, 3.0, (("chip", 1.0), ("other", 1.0)))]))


@settings(max_examples=15, deadline=None, derandomize=True)
@given(books())
def test_reading_is_the_inverse_of_writing(tmp_path_factory: pytest.TempPathFactory, book: Book) -> None:
    """Every table, price and float comes back as it was, and the check still passes."""
    clearing = clear(book)
    back = read(write(clearing, tmp_path_factory.mktemp("result") / "one"))
    assert verify(back).ok
    for name in ("pools", "lot_pool", "prices", "allocation", "work", "trades", "rejected"):
        assert getattr(back, name).equals(getattr(clearing, name)), name
    assert back.book.demand.tolist() == clearing.book.demand.tolist()
    assert back.book.rate.tolist() == clearing.book.rate.tolist()
    assert back.certificate.orders_root == clearing.certificate.orders_root
    assert back.certificate.gap == clearing.certificate.gap


def test_a_folder_is_not_written_over(clearing: Clearing, tmp_path: Path) -> None:
    """A published result is not replaced by accident."""
    write(clearing, tmp_path)
    with pytest.raises(Conflict):
        write(clearing, tmp_path)


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_a_changed_file_is_refused(clearing: Clearing, tmp_path: Path, name: str) -> None:
    """Bytes that are not those of the summary: the file is named."""
    write(clearing, tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(InputError, match="was changed after it was written") as caught:
        read(tmp_path)
    assert [name in fault.where for fault in caught.value.faults] == [True]


def test_all_missing_files_are_named_at_once(clearing: Clearing, tmp_path: Path) -> None:
    """Not the first fault, but all."""
    write(clearing, tmp_path)
    for name in ("prices.csv", "book/bids.parquet"):
        (tmp_path / name).unlink()
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "entrepot-clearing/1"}', '{"format": "entrepot-clearing/9"}']
)
def test_a_summary_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    """A folder of something else gives one clear error."""
    (tmp_path / "summary.json").write_text(text)
    with pytest.raises(InputError):
        read(tmp_path)


def test_no_folder_is_one_clear_error(tmp_path: Path) -> None:
    """A name mistyped."""
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "nowhere")


def _forge(folder: Path, name: str, table: pl.DataFrame) -> None:
    """Write another table and its new hash, as somebody would who means it."""
    path = folder / name
    if name.endswith(".csv"):
        table.write_csv(path)
    else:
        table.write_parquet(path)
    summary = json.loads((folder / "summary.json").read_text())
    summary["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "summary.json").write_text(json.dumps(summary))


def test_a_forgery_with_its_hash_is_left_to_the_check(clearing: Clearing, tmp_path: Path) -> None:
    """The hashes guard against accidents; against intent there is the arithmetic."""
    write(clearing, tmp_path)
    trades = pl.read_csv(tmp_path / "trades.csv")
    _forge(tmp_path, "trades.csv", trades.with_columns(pl.col("payment_minor") + 1))
    assert not verify(read(tmp_path)).ok


def test_a_table_of_another_shape_is_refused_even_with_its_hash(clearing: Clearing, tmp_path: Path) -> None:
    """What cannot be read as a book is said to be none."""
    write(clearing, tmp_path)
    lots = pl.read_parquet(tmp_path / "book/lots.parquet")
    _forge(tmp_path, "book/lots.parquet", lots.with_columns(capacity=pl.col("capacity").list.head(0)))
    with pytest.raises(InputError, match="capacity"):
        read(tmp_path)
    _forge(tmp_path, "book/lots.parquet", lots.drop("block"))
    with pytest.raises(InputError, match="columns"):
        read(tmp_path)
    _forge(tmp_path, "book/lots.parquet", lots.with_columns(lot_class=pl.lit(99, dtype=pl.Int64)))
    with pytest.raises(InputError, match="class"):
        read(tmp_path)
