"""Are these the orders of the gate? A hash tree over salted orders; and the path of a single order in it.

::

    gate key = HMAC-SHA256(salt key, "entrepot gate" 0 seed)
    salt     = HMAC-SHA256(gate key, side 0 order id), first 16 bytes
    leaf     = SHA-256(0 salt text 31 numbers)         text: side and columns, joined by byte 31
    node     = SHA-256(1 children), eight at most      root = SHA-256(2 lots bids top), counts in 8 bytes, little-endian

The salt key stays with the operator. Whoever has an order's salt and its path can see that it stands in the tree; whoever has
not cannot test a guess at it, the seed known or not. Sixteen bytes of salt are out of reach of any search.

There is nothing to find in a hash, so the path to a clearing and the check of it both use this module; a statement
(`entrepot.market.statement_check`) is checked by code of its own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import polars as pl

from entrepot.market.records import Book

__all__ = [
    "ARITY",
    "BID_FIELDS",
    "LOT_FIELDS",
    "Tree",
    "leaves",
    "path",
    "root",
    "salts",
    "seed_hash",
    "tree",
]

ARITY = 8
LOT_FIELDS = ("lot", "seller", "accelerator", "site", "kind", "provenance", "block", "ask_micro", "residual_micro",
              "whole", "slice", "min_fill", "group", "waits_for")  # fmt: skip
BID_FIELDS = ("bid", "buyer", "service", "limit_micro", "term", "one_pool", "group")

_SALT = 16
_INNER, _OUTER = bytes(x ^ 0x36 for x in range(256)), bytes(x ^ 0x5C for x in range(256))

Tree: TypeAlias = list[list[bytes]]
"""Levels from the leaves up; the last has one node, or none."""


def seed_hash(seed: str) -> str:
    """Return what is published before the gate, so that the seed of ties cannot be chosen after it: its SHA-256."""
    return hashlib.sha256(seed.encode()).hexdigest()


def salts(book: Book, side: str) -> list[bytes]:
    """Return the salts of a side's orders, in the book's order."""
    key = hmac.digest(book.salt_key, b"entrepot gate\0" + book.seed.encode(), "sha256")
    # HMAC (RFC 2104) with both pads hashed once: two short hashes an order instead of four
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(block.translate(_INNER) + side.encode() + b"\0")
    outer = hashlib.sha256(block.translate(_OUTER))
    names = book.lots["lot"] if side == "lot" else book.bids["bid"]
    made = []
    for name in names.cast(pl.Binary).to_list():
        within, around = inner.copy(), outer.copy()
        within.update(name)
        around.update(within.digest())
        made.append(around.digest()[:_SALT])
    return made


def leaves(book: Book) -> list[bytes]:
    """Return the hashes of all orders: lots, then bids, in the book's order."""
    sha = hashlib.sha256
    numbers = [book.bids["min_share"].to_numpy(), book.bids["total_mtok"].to_numpy(), book.demand]
    numbers += [] if book.factor is None else [book.factor]
    hashes: list[bytes] = []
    for side, table, fields, array in (
        ("lot", book.lots, LOT_FIELDS, book.capacity.astype("<i8")),
        ("bid", book.bids, BID_FIELDS, np.column_stack(numbers).astype("<f8")),
    ):
        columns = [pl.col(f).cast(pl.String) for f in fields]
        text = table.select(pl.concat_str([pl.lit(side), *columns, pl.lit("")], separator="\x1f")).to_series()
        width = array.itemsize * array.shape[1]
        flat = np.ascontiguousarray(array).tobytes()
        starts = range(0, width * table.height, width) if width else [0] * table.height
        hashes += [
            sha(b"\0" + salt + line + flat[at : at + width]).digest()
            for salt, line, at in zip(salts(book, side), text.cast(pl.Binary).to_list(), starts, strict=True)
        ]
    return hashes


def tree(level: Sequence[bytes]) -> Tree:
    """Return the tree over some leaves."""
    sha, levels = hashlib.sha256, [list(level)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append(
            [sha(b"\1" + b"".join(below[i : i + ARITY])).digest() for i in range(0, len(below), ARITY)]
        )
    return levels


def root(book: Book, of: Tree | None = None) -> str:
    """Return the root of the hash tree over all orders, lots before bids, in the book's order."""
    levels = tree(leaves(book)) if of is None else of
    counts = book.lots.height.to_bytes(8, "little") + book.bids.height.to_bytes(8, "little")
    return hashlib.sha256(b"\2" + counts + b"".join(levels[-1])).hexdigest()


def path(levels: Tree, index: int) -> list[list[str]]:
    """Return what stands beside an order and the nodes above it, level by level, in order, without them."""
    beside = []
    for level in levels[:-1]:
        first = index - index % ARITY
        beside.append([level[i].hex() for i in range(first, min(first + ARITY, len(level))) if i != index])
        index //= ARITY
    return beside
