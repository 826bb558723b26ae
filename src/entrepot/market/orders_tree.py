"""Are these the orders of the gate? A hash tree over salted orders, recomputed; and the path of a single order in it.

Part of checking: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

import hashlib

from entrepot.market.facts import Facts, Finding
from entrepot.market.records import Book

__all__ = ["check_orders", "leaves"]


def _leaf(seed: str, order: str, line: str) -> bytes:
    """Return the hash of one order, salted with the seed so that nobody can guess others' orders from the tree."""
    salt = hashlib.sha256(f"{seed}\0{order}".encode()).digest()
    return hashlib.sha256(b"\0" + salt + line.encode()).digest()


def leaves(book: Book) -> list[bytes]:
    """Return the hashes of all orders: lots, then bids, in the book's order."""
    columns = [
        "lot",
        "seller",
        "accelerator",
        "site",
        "kind",
        "provenance",
        "block",
        "ask_micro",
        "residual_micro",
        "whole",
    ]
    hashes = []
    for row, capacity in zip(book.lots.select(columns).iter_rows(), book.capacity.tolist(), strict=True):
        text = "|".join(["lot", *(str(v) for v in row), ",".join(str(v) for v in capacity)])
        hashes.append(_leaf(book.seed, row[0], text))
    for row, demand in zip(
        book.bids.select("bid", "buyer", "service", "limit_micro").iter_rows(),
        book.demand.tolist(),
        strict=True,
    ):
        text = "|".join(["bid", *(str(v) for v in row), ",".join(repr(v) for v in demand)])
        hashes.append(_leaf(book.seed, row[0], text))
    return hashes


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
