"""What is published of a clearing? Prices, root, totals and certificate; no order, no quantity, and not the salt key.

::

    public.json     the public result; its SHA-256 over canonical JSON is what statements refer to
    prices.csv      the price of each pool in each period
    index.csv       the mean price of each chip at each site

Quantities stay out: in a pool of one seller the amount offered or let is that seller's order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from entrepot.errors import Conflict, Fault, InputError
from entrepot.market.canonical import digest
from entrepot.market.explain import index
from entrepot.market.fee import tie_hash
from entrepot.market.orders_tree import seed_hash
from entrepot.market.records import Clearing

__all__ = ["FORMAT", "public", "publish"]

FORMAT = "entrepot-public/1"


def public(clearing: Clearing) -> dict[str, Any]:
    """Return the public part of a clearing, as JSON carries it.

    Raises
    ------
    InputError : it was cleared without a salt key, so that guesses at orders could be tested against the root
    """
    book, proof = clearing.book, clearing.certificate
    if not book.salt_key:
        raise InputError(
            Fault(
                "salt key",
                "there is none, so anyone could test a guess at an order against the root",
                "Clear with --save, which makes one, or with --salt-key FILE.",
            )
        )
    lease = _by_pool(proof.lease_price_micro, book.periods.height)
    sale = dict(proof.sale_price_micro.select("pool", "price_micro").iter_rows())
    start = _starts(clearing)
    pools = [
        {
            **{k: row[k] for k in ("pool", "label", "accelerator", "site", "kind", "provenance")},
            "price_micro": sale.get(row["pool"])
            if row["kind"] == "sale"
            else lease.get(row["pool"], [None] * book.periods.height),
            "first_period": start.get(row["pool"]) if row["kind"] == "sale" else None,
        }
        for row in clearing.pools.iter_rows(named=True)
    ]
    return {
        "format": FORMAT,
        "currency": book.currency,
        "minor_digits": book.minor_digits,
        "granted": list(book.granted),
        "seed": book.seed,
        "seed_sha256": seed_hash(book.seed),
        "orders": {"lots": book.lots.height, "bids": book.bids.height, "root": proof.orders_root},
        "periods": book.periods.select("period", "label", "hours").to_dicts(),
        "pools": pools,
        "certificate": {
            "welfare_micro": proof.welfare_micro,
            "bound_micro": proof.bound_micro,
            "gap": proof.gap,
        },
        "fee": _fee(clearing),
        "paid_minor": int(clearing.trades["payment_minor"].sum() or 0),
    }


def _by_pool(prices: pl.DataFrame, periods: int) -> dict[int, list[int | None]]:
    table: dict[int, list[int | None]] = {}
    for pool, period, price in prices.select("pool", "period", "price_micro").iter_rows():
        table.setdefault(pool, [None] * periods)[period] = price
    return table


def _starts(clearing: Clearing) -> dict[int, int]:
    """Return the period from which a device of each sale pool is there."""
    sale = (clearing.book.lots["kind"] == "sale").to_numpy()
    names = clearing.book.lots.select("lot").with_row_index("row").filter(pl.Series(sale))
    rows = names.join(clearing.lot_pool, on="lot")
    starts: dict[int, int] = {}
    for row, pool in rows.select("row", "pool").iter_rows():
        there = np.flatnonzero(clearing.book.capacity[row] > 0)
        if len(there):
            starts[pool] = min(starts.get(pool, len(clearing.book.hours)), int(there[0]))
    return starts


def _fee(clearing: Clearing) -> dict[str, Any]:
    """Return the totals of the fee, and the last remainder that is charged: with it each party can check its own."""
    table, seed = clearing.fees, clearing.book.seed
    gains, charged = table["gain_minor"].to_list(), table["fee_minor"].to_list()
    everything, paid = sum(gains), sum(charged)
    cut, last = everything, ""
    if everything:
        up = [(paid * g % everything, i) for i, (g, n) in enumerate(zip(gains, charged, strict=True))
              if n > paid * g // everything]  # fmt: skip
        if up:
            cut = min(rest for rest, _ in up)
            last = max(tie_hash(seed, table["side"][i], table["order"][i]) for rest, i in up if rest == cut)
    due = int(clearing.make_whole["amount_minor"].sum() or 0)
    return {
        "made_whole_minor": due,
        "charged_minor": paid,
        "gain_minor": everything,
        "remainder": cut,
        "hash": last,
    }


def publish(clearing: Clearing, folder: Path | str) -> Path:
    """Write the public result into a new folder.

    Raises
    ------
    Conflict : the folder holds something already
    InputError : there is no salt key
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            f"{folder} is there already.\n  Name another folder, or remove it; nothing was written."
        )
    shown = public(clearing)
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"public": shown, "sha256": digest(shown)}
    (folder / "public.json").write_text(
        json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    clearing.prices.drop("supplied", "offered").write_csv(folder / "prices.csv")
    index(clearing).drop("supplied", "offered").write_csv(folder / "index.csv")
    return folder
