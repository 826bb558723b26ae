"""Signed checkpoints: what was signed cannot be rewritten unnoticed, and nobody else can sign."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from entrepot.errors import Conflict, InputError
from entrepot.ledger import Ledger, generate_key, read_checkpoint, sign

if TYPE_CHECKING:
    from .conftest import Write

NOON = dt.datetime(2025, 6, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Make a key pair."""
    generate_key(tmp_path / "auditor.key")
    return tmp_path / "auditor.key"


def test_a_checkpoint_holds_the_journal_to_what_it_was(
    books: Ledger, write: Write, key: Path, tmp_path: Path, place: Path | str
) -> None:
    """The books go on, and the checkpoint still holds for what is before it; other books do not match."""
    books.post(write.sale("s"))
    file = tmp_path / "point.json"
    file.write_text(sign(books, key, at=NOON).json())
    books.post(write.sale("t"))
    point = read_checkpoint(file, key.with_name("auditor.key.pub"))
    assert (point.seq, point.entry, point.at) == (2, "s", "2025-06-01T12:00:00Z")
    assert books.audit(noted={point.entry: point.hash}).ok
    with Ledger.open(":memory:") as others:
        others.post_all([write.held(), replace(write.sale("s"), cause="forged"), write.sale("t")])
        assert others.audit().ok
        (found,) = others.audit(noted={point.entry: point.hash}).breaks
        assert "was noted with hash" in str(found)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seq", 2),
        ("entry", "x"),
        ("hash", "0" * 64),
        ("at", "2020-01-01T00:00:00Z"),
        ("signature", "AAAA"),
        ("kind", "x"),
        ("key", "x"),
    ],
)
def test_a_changed_checkpoint_is_refused(
    file_books: Ledger, key: Path, tmp_path: Path, field: str, value: object
) -> None:
    """Whatever is changed in it."""
    content = json.loads(sign(file_books, key, at=NOON).json())
    file = tmp_path / "point.json"
    file.write_text(json.dumps({**content, field: value}))
    with pytest.raises(InputError, match=r"was changed|no checkpoint"):
        read_checkpoint(file, key.with_name("auditor.key.pub"))


def test_only_the_owner_signs(file_books: Ledger, key: Path, tmp_path: Path) -> None:
    """The private key is for its owner's eyes; another's key does not check it; a key is not written over."""
    assert key.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict, match="is there already"):
        generate_key(key)
    other = generate_key(tmp_path / "other.key")
    file = tmp_path / "point.json"
    file.write_text(sign(file_books, key, at=NOON).json())
    with pytest.raises(InputError, match="signed by another key"):
        read_checkpoint(file, other)
    with pytest.raises(InputError, match="no public key"):
        read_checkpoint(file, file)
    key.chmod(0o644)
    with pytest.raises(InputError, match="may be read by others"):
        sign(file_books, key, at=NOON)
    with pytest.raises(InputError, match="no private key"):
        sign(file_books, other, at=NOON)
    with Ledger.open(":memory:") as empty, pytest.raises(InputError, match="no entry to sign"):
        sign(empty, tmp_path / "other.key", at=NOON)
