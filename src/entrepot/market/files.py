"""How is a clearing kept, so that anyone can check it later? A folder of tables and one summary.

::

    summary.json        currency, seed, certificate, and the SHA-256 of every other file
    salt.key            the operator's secret, readable by its owner alone: keep it, and never publish it
    prices.csv          what people look at first
    trades.csv
    book/               periods, lots, bids, rates, permits: the orders as they were at the gate (Parquet)
    result/             pools, lot_pool, allocation, work, rejected, make_whole, fees, and the published prices (Parquet)

A file that changed after it was written is refused here; one that was changed together with the summary is caught by
`entrepot.market.verify`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.errors import Conflict, Fault, InputError
from entrepot.market.records import Book, Certificate, Clearing

__all__ = ["FORMAT", "SCHEMAS", "new_key", "read", "read_key", "write"]

FORMAT = "entrepot-clearing/3"

_KEY = "salt.key"
_KEY_LEAST = 16  # bytes

_S, _I, _F, _B = pl.String, pl.Int64, pl.Float64, pl.Boolean
SCHEMAS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "book/periods.parquet": {"period": _I, "label": _S, "step": _S, "hour": _I, "hours": _F},
        "book/lots.parquet": {
            "lot": _S, "seller": _S, "accelerator": _S, "site": _S, "kind": _S, "provenance": _S, "block": _I,
            "ask_micro": _I, "residual_micro": _I, "whole": _B, "slice": _I, "min_fill": _I, "group": _S,
            "waits_for": _S, "lot_class": _I, "capacity": pl.List(_I),
        },
        "book/bids.parquet": {
            "bid": _S, "buyer": _S, "service": _S, "limit_micro": _I, "term": _B, "min_share": _F, "one_pool": _B,
            "group": _S, "total_mtok": _F, "bid_class": _I, "demand": pl.List(_F), "factor": pl.List(_F),
        },
        "book/rates.parquet": {"bid_class": _I, "rate": pl.List(_F)},
        "book/permits.parquet": {
            "lot_class": _I, "bid_class": _I, "permitted": _B, "outcome": _S, "citation": _S, "reason": _S,
        },
        "result/pools.parquet": {
            "pool": _I, "label": _S, "accelerator": _S, "site": _S, "kind": _S, "provenance": _S, "lots": _I,
        },
        "result/lot_pool.parquet": {"lot": _S, "pool": _I, "committed": _I},
        "result/allocation.parquet": {"lot": _S, "bid": _S, "period": _I, "devices": _I},
        "result/work.parquet": {"bid": _S, "period": _I, "demand_mtok_per_h": _F, "served_mtok_per_h": _F},
        "result/rejected.parquet": {"order": _S, "side": _S, "reason": _S, "in_the_money": _B, "quantity": _F},
        "result/make_whole.parquet": {"order": _S, "side": _S, "amount_minor": _I, "reason": _S},
        "result/fees.parquet": {"order": _S, "side": _S, "gain_minor": _I, "fee_minor": _I},
        "result/lease_price.parquet": {"pool": _I, "period": _I, "price_micro": _I},
        "result/sale_price.parquet": {"pool": _I, "price_micro": _I},
        "result/work_price.parquet": {"bid": _S, "period": _I, "price_micro": _I},
        "prices.csv": {
            "pool": _I, "label": _S, "accelerator": _S, "site": _S, "kind": _S, "period": _I, "step": _S, "hour": _I,
            "price_micro": _I, "supplied": _I, "offered": _I,
        },
        "trades.csv": {
            "trade": _S, "lot": _S, "seller": _S, "bid": _S, "buyer": _S, "accelerator": _S, "site": _S, "kind": _S,
            "provenance": _S, "devices_max": _I, "device_hours": _I, "payment_minor": _I, "unit_price_micro": _I,
        },
    }
)  # fmt: skip

_SUMMARY = {
    "currency": str, "seed": str, "minor_digits": int, "welfare_micro": int, "bound_micro": int, "gap": float,
    "orders_root": str, "salt_key_sha256": str, "solve_seconds": float, "granted": list, "files": dict,
}  # fmt: skip


def new_key() -> bytes:
    """Return a fresh salt key: 256 bits from the operating system."""
    return secrets.token_bytes(32)


def read_key(path: Path | str) -> bytes:
    """Read a salt key from a file: hexadecimal digits, at least 128 bits.

    Raises
    ------
    InputError : it cannot be read, or is no such key
    """
    mend = (
        "Make one: python3 -c 'import secrets; print(secrets.token_hex(32))' > salt.key; chmod 600 salt.key"
    )
    try:
        key = bytes.fromhex(Path(path).read_text(encoding="ascii").strip())
    except OSError:
        raise InputError(Fault(str(path), "cannot be read", mend)) from None
    except ValueError:
        raise InputError(Fault(str(path), "is not a key in hexadecimal digits", mend)) from None
    if len(key) < _KEY_LEAST:
        raise InputError(Fault(str(path), f"is a key of {8 * len(key)} bits", "Take at least 128. " + mend))
    return key


def write(clearing: Clearing, folder: Path | str, *, keep_key: bool = True) -> Path:
    """Write a clearing into a folder.

    Parameters
    ----------
    keep_key : put the salt key beside it, readable by its owner alone; otherwise whoever reads the clearing names its file

    Raises
    ------
    Conflict : the folder holds a clearing already
    """
    folder = Path(folder)
    if (folder / "summary.json").exists():
        raise Conflict(f"{folder} holds a clearing already.\n  Name another folder; nothing was written.")
    digests = {}
    for name, table in _tables(clearing).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = _encode(name, table)
        path.write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    book, proof = clearing.book, clearing.certificate
    if book.salt_key and keep_key:
        secret = os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(secret, "w", encoding="ascii") as file:
            file.write(book.salt_key.hex() + "\n")
    summary = {
        "format": FORMAT,
        "currency": book.currency,
        "seed": book.seed,
        "minor_digits": book.minor_digits,
        "granted": list(book.granted),
        "lots": book.lots.height,
        "bids": book.bids.height,
        "trades": clearing.trades.height,
        "welfare_micro": proof.welfare_micro,
        "bound_micro": proof.bound_micro,
        "searched_bound_micro": proof.searched_bound_micro,
        "gap": proof.gap,
        "orders_root": proof.orders_root,
        "salt_key_sha256": hashlib.sha256(book.salt_key).hexdigest() if book.salt_key else "",
        "solve_seconds": clearing.solve_seconds,
        "files": digests,
    }
    (folder / "summary.json").write_text(
        json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    return folder


def _encode(name: str, table: pl.DataFrame) -> bytes:
    table = table.select(pl.col(column).cast(dtype) for column, dtype in SCHEMAS[name].items())
    buffer = io.BytesIO()
    if name.endswith(".csv"):
        table.write_csv(buffer)
    else:
        table.write_parquet(buffer)
    return buffer.getvalue()


def _tables(c: Clearing) -> dict[str, pl.DataFrame]:
    book, proof = c.book, c.certificate
    lots = book.lots.with_columns(lot_class=pl.Series(book.lot_class), capacity=_lists(book.capacity, _I))
    bids = book.bids.with_columns(
        bid_class=pl.Series(book.bid_class),
        demand=_lists(book.demand, _F),
        factor=_lists(np.zeros((book.bids.height, 0)) if book.factor is None else book.factor, _F),
    )
    rates = pl.DataFrame({"bid_class": np.arange(len(book.rate)), "rate": _lists(book.rate, _F)})
    return {
        "book/periods.parquet": book.periods,
        "book/lots.parquet": lots,
        "book/bids.parquet": bids,
        "book/rates.parquet": rates,
        "book/permits.parquet": book.permits,
        "result/pools.parquet": c.pools,
        "result/lot_pool.parquet": c.lot_pool,
        "result/allocation.parquet": c.allocation,
        "result/work.parquet": c.work,
        "result/rejected.parquet": c.rejected,
        "result/make_whole.parquet": c.make_whole,
        "result/fees.parquet": c.fees,
        "result/lease_price.parquet": proof.lease_price_micro,
        "result/sale_price.parquet": proof.sale_price_micro,
        "result/work_price.parquet": proof.work_price_micro,
        "prices.csv": c.prices,
        "trades.csv": c.trades,
    }


def _lists(array: NDArray[Any], inner: Any) -> pl.Series:
    """Return a 2-D array as a column of lists, without a Python object per row."""
    rows, width = array.shape
    if not rows or not width:
        return pl.Series([[]] * rows, dtype=pl.List(inner))
    return pl.Series(np.ascontiguousarray(array)).cast(pl.List(inner))


def _array(lists: pl.Series, width: int, dtype: Any) -> NDArray[Any]:
    """Return a column of lists of one length as a 2-D array."""
    if not len(lists) or not width:
        return np.zeros((len(lists), width), dtype=dtype)
    return lists.explode().to_numpy().astype(dtype).reshape(len(lists), width)


def read(folder: Path | str, *, salt_key: bytes | None = None) -> Clearing:
    """Read a clearing back; the inverse of `write`.

    Parameters
    ----------
    salt_key : where it is not kept in the folder; without it the root of the orders cannot be recomputed

    Raises
    ------
    InputError : with every file that is missing, unreadable, changed since it was written, or not of its form; or the key is
        another than that of the clearing
    """
    folder = Path(folder)
    summary = _summary(folder)
    faults: list[Fault] = []
    tables: dict[str, pl.DataFrame] = {}
    for name in SCHEMAS:
        table = _table(folder, name, summary["files"], faults)
        if table is not None:
            tables[name] = table
    if not faults:
        faults += _shapes(folder, tables)
    if faults:
        raise InputError(faults)
    return _clearing(summary, tables, _key(folder, summary["salt_key_sha256"], salt_key))


def _key(folder: Path, stated: str, given: bytes | None) -> bytes:
    """Return the salt key of a clearing; empty, if it has none or none is at hand."""
    if not stated:
        return b""
    if given is None and not (folder / _KEY).exists():
        return b""
    key = read_key(folder / _KEY) if given is None else given
    if hashlib.sha256(key).hexdigest() != stated:
        raise InputError(
            Fault(
                "salt key" if given is not None else str(folder / _KEY),
                "is not the key of this clearing",
                "Give the key with which it was cleared.",
            )
        )
    return key


def _summary(folder: Path) -> dict[str, Any]:
    """Read summary.json and check its form."""
    path = folder / "summary.json"
    mend = "Name a folder that `entrepot clear --save` wrote."
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(Fault(str(path), "cannot be read", mend)) from None
    except ValueError:
        raise InputError(Fault(str(path), "is not JSON", mend)) from None
    if not isinstance(summary, dict) or summary.get("format") != FORMAT:
        raise InputError(Fault(str(path), f"is not of the format {FORMAT}", mend))
    wrong = [
        Fault(f"{path}: {field}", f"{summary.get(field)!r} is not of type {kind.__name__}", mend)
        for field, kind in _SUMMARY.items()
        if not isinstance(summary.get(field), (int, float) if kind is float else kind)
        or isinstance(summary.get(field), bool)
    ]
    if not wrong and not 0 <= summary["minor_digits"] <= 6:
        wrong = [Fault(f"{path}: minor_digits", f"{summary['minor_digits']} decimals", "Write 0 to 6.")]
    if wrong:
        raise InputError(wrong)
    return dict(summary)


def _table(
    folder: Path, name: str, digests: Mapping[str, object], faults: list[Fault]
) -> pl.DataFrame | None:
    """Read one table; note what is wrong with it."""
    path = folder / name
    again = "Clear again, or take an unchanged copy."
    try:
        content = path.read_bytes()
    except OSError:
        faults.append(Fault(str(path), "cannot be read", again))
        return None
    if hashlib.sha256(content).hexdigest() != digests.get(name):
        faults.append(Fault(str(path), "was changed after it was written", again))
        return None
    schema = SCHEMAS[name]
    try:
        if name.endswith(".csv"):
            table = pl.read_csv(io.BytesIO(content), schema_overrides=dict(schema))
        else:
            table = pl.read_parquet(io.BytesIO(content))
    except (pl.exceptions.PolarsError, ValueError) as error:
        faults.append(Fault(str(path), f"cannot be read as a table: {str(error).splitlines()[0]}", again))
        return None
    if dict(table.schema) != dict(schema):
        faults.append(
            Fault(str(path), f"has the columns {dict(table.schema)}", f"Its columns are {dict(schema)}.")
        )
        return None
    return table


def _shapes(folder: Path, tables: Mapping[str, pl.DataFrame]) -> list[Fault]:
    """Return what keeps the book's tables from standing side by side."""
    periods = tables["book/periods.parquet"].height
    classes = tables["book/rates.parquet"].height
    permits = tables["book/permits.parquet"]
    lot_classes = permits["lot_class"].n_unique()
    faults = []
    for name, column, width in (
        ("book/lots.parquet", "capacity", periods),
        ("book/bids.parquet", "demand", periods),
        ("book/rates.parquet", "rate", lot_classes),
    ):
        lengths = tables[name][column].list.len().unique().to_list()
        nulls = (
            tables[name].null_count().sum_horizontal().sum()
            or tables[name][column].list.eval(pl.element().is_null()).list.any().any()
        )
        if [n for n in lengths if n != width] or nulls:
            faults.append(
                Fault(f"{folder / name}: {column}", f"has lists of {lengths} values", f"Each has {width}.")
            )
    for name, column, most in (
        ("book/lots.parquet", "lot_class", lot_classes),
        ("book/bids.parquet", "bid_class", classes),
        ("book/permits.parquet", "lot_class", lot_classes),
        ("book/permits.parquet", "bid_class", classes),
    ):
        if not tables[name][column].is_between(0, most - 1).all():
            faults.append(
                Fault(
                    f"{folder / name}: {column}",
                    "names a class that is not there",
                    f"Classes are 0 to {most - 1}.",
                )
            )
    if tables["book/periods.parquet"]["period"].to_list() != list(range(periods)):
        faults.append(
            Fault(
                f"{folder / 'book/periods.parquet'}: period",
                "is not 0, 1, 2, ...",
                "Number the periods in order.",
            )
        )
    return faults


def _clearing(summary: Mapping[str, Any], tables: Mapping[str, pl.DataFrame], key: bytes) -> Clearing:
    lots, bids, periods = (
        tables["book/lots.parquet"],
        tables["book/bids.parquet"],
        tables["book/periods.parquet"],
    )
    width = periods.height
    rates = tables["book/rates.parquet"].sort("bid_class")["rate"]
    chips = int(bids["factor"].list.len().max() or 0)  # type: ignore[arg-type]
    book = Book(
        currency=summary["currency"],
        seed=summary["seed"],
        periods=periods,
        lots=lots.drop("lot_class", "capacity"),
        capacity=_array(lots["capacity"], width, np.int64),
        bids=bids.drop("bid_class", "demand", "factor"),
        demand=_array(bids["demand"], width, np.float64),
        lot_class=lots["lot_class"].to_numpy(),
        bid_class=bids["bid_class"].to_numpy(),
        rate=_array(rates, len(rates[0]) if len(rates) else 0, np.float64),
        permits=tables["book/permits.parquet"],
        minor_digits=summary["minor_digits"],
        factor=_array(bids["factor"], chips, np.float64) if chips else None,
        granted=tuple(str(x) for x in summary["granted"]),
        salt_key=key,
    )
    searched = summary.get("searched_bound_micro")
    certificate = Certificate(
        lease_price_micro=tables["result/lease_price.parquet"],
        sale_price_micro=tables["result/sale_price.parquet"],
        work_price_micro=tables["result/work_price.parquet"],
        welfare_micro=summary["welfare_micro"],
        bound_micro=summary["bound_micro"],
        gap=float(summary["gap"]),
        orders_root=summary["orders_root"],
        searched_bound_micro=None if searched is None else int(searched),
    )
    return Clearing(
        book=book,
        pools=tables["result/pools.parquet"],
        lot_pool=tables["result/lot_pool.parquet"],
        prices=tables["prices.csv"],
        allocation=tables["result/allocation.parquet"],
        work=tables["result/work.parquet"],
        trades=tables["trades.csv"],
        rejected=tables["result/rejected.parquet"],
        certificate=certificate,
        solve_seconds=float(summary["solve_seconds"]),
        make_whole=tables["result/make_whole.parquet"],
        fees=tables["result/fees.parquet"],
    )
