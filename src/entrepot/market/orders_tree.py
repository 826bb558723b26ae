"""Are these the orders of the gate? A hash tree over salted orders, recomputed; and the path of a single order in it.

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import polars as pl

from entrepot.market.facts import Facts, Finding
from entrepot.market.records import Book

__all__ = ["BID_FIELDS", "LOT_FIELDS", "check_orders", "leaf", "leaves"]


LOT_FIELDS = ("lot", "seller", "accelerator", "site", "kind", "provenance", "block", "ask_micro", "residual_micro",
              "whole", "slice", "min_fill", "group", "waits_for")  # fmt: skip
BID_FIELDS = ("bid", "buyer", "service", "limit_micro", "term", "one_pool", "group")


def leaf(seed: str, order: str, fields: str, numbers: bytes) -> bytes:
    """Return the hash of one order, salted with the seed: who does not know the seed cannot guess orders from the tree.

    Parameters
    ----------
    fields : the order's columns as text, joined by the unit separator, after the word ``lot`` or ``bid``
    numbers : its rows of numbers, little-endian: a lot's capacity as 64-bit integers; a bid's least share, total, demand
        and private yields as 64-bit floats
    """
    salt = hashlib.sha256(f"{seed}\0{order}".encode()).digest()
    return hashlib.sha256(b"\0" + salt + fields.encode() + b"\x1f" + numbers).digest()


def leaves(book: Book) -> list[bytes]:
    """Return the hashes of all orders: lots, then bids, in the book's order."""
    hashes = []
    for order, fields, numbers in (*_lots(book), *_bids(book)):
        hashes.append(leaf(book.seed, order, fields, numbers))
    return hashes


def _text(table: pl.DataFrame, kind: str, fields: tuple[str, ...]) -> list[str]:
    columns = [table[f].cast(pl.String) for f in fields]
    joined = pl.select(pl.concat_str([pl.repeat(kind, table.height), *columns], separator="\x1f"))
    return joined.to_series().to_list()


def _lots(book: Book) -> Iterator[tuple[str, str, bytes]]:
    wide = 8 * book.capacity.shape[1]
    flat = book.capacity.astype("<i8").tobytes()
    for i, (name, text) in enumerate(
        zip(book.lots["lot"].to_list(), _text(book.lots, "lot", LOT_FIELDS), strict=True)
    ):
        yield name, text, flat[i * wide : (i + 1) * wide]


def _bids(book: Book) -> Iterator[tuple[str, str, bytes]]:
    columns = [
        book.bids["min_share"].to_numpy()[:, None],
        book.bids["total_mtok"].to_numpy()[:, None],
        book.demand,
    ]
    if book.factor is not None:
        columns.append(book.factor)
    numbers = np.hstack(columns).astype("<f8")
    wide, flat = 8 * numbers.shape[1], numbers.tobytes()
    for i, (name, text) in enumerate(
        zip(book.bids["bid"].to_list(), _text(book.bids, "bid", BID_FIELDS), strict=True)
    ):
        yield name, text, flat[i * wide : (i + 1) * wide]


def check_orders(f: Facts) -> Finding:
    """Compare the root stated with that of the orders."""
    level = leaves(f.book)
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [
            hashlib.sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)
        ] + odd
    root = level[0].hex() if level else hashlib.sha256(b"").hexdigest()
    stated = f.clearing.certificate.orders_root
    return (
        None if root == stated else f"the orders hash to {root}, not to {stated}: an order differs"
    ), f"root {root}"
