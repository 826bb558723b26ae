"""Charges in FOCUS columns: each row meets the specification's requirements, and together they are what is owed."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.errors import InputError
from entrepot.ledger import Entry, Ledger, Posting
from entrepot.ledger.exchange.charges import charges
from entrepot.ledger.exchange.focus import FocusVersion, focus, focus_schema
from entrepot.ledger.exchange.outgoing import write_table

from .journals import journals

if TYPE_CHECKING:
    from .conftest import Write

SLOT = "2025-06-15..2025-09-01/h08-20"  # 78 days of 12 hours
# FOCUS 1.2: the columns of feature level Mandatory.
MANDATORY = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
]


def leased(id_: str, at: dt.datetime, chip: str, *, fen: int = 100_000_001, slot: str = SLOT) -> Entry:
    """Lease 40 devices of alder's to birch."""
    return Entry(
        id_,
        at,
        "lease of 40 devices",
        (
            Posting("alder:lf-1:available", chip, -40, "a-h20", slot),
            Posting("alder:lf-1:leased:birch", chip, 40, "a-h20", slot),
            Posting("birch:payable:alder", "CNY.fen", -fen),
            Posting("alder:receivable:birch", "CNY.fen", fen),
        ),
    )


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as FOCUS has it in JSON."""
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Decimal):
            out[name] = float(value)
        elif isinstance(value, dt.datetime):
            out[name] = value.strftime("%Y-%m-%dT%H:%M:%SZ")
        else:
            out[name] = (
                json.loads(value) if value is not None and name in {"Tags", "SkuPriceDetails"} else value
            )
    return out


def check(table: pl.DataFrame, version: FocusVersion = "1.2") -> None:
    """Hold every row to the schema, and to what a schema cannot say: prices times quantities, periods, whole months."""
    validator = jsonschema.Draft202012Validator(focus_schema(version))
    for row in table.to_dicts():
        validator.validate(as_json(row))
        for price, cost in (("ContractedUnitPrice", "ContractedCost"), ("ListUnitPrice", "ListCost")):
            assert abs(row[price] * row["PricingQuantity"] - row[cost]) < Decimal("0.005")
        assert row["ChargePeriodStart"] < row["ChargePeriodEnd"]
        start, end = row["BillingPeriodStart"], row["BillingPeriodEnd"]
        assert (start.day, end.day, (end - start).days in {28, 29, 30, 31}) == (1, 1, True)
        if row["ChargeCategory"] == "Usage" and row["ChargeClass"] is None:
            assert start <= row["ChargePeriodStart"] < row["ChargePeriodEnd"] <= end


def test_a_lease_is_billed_once_and_borne_month_by_month(books: Ledger, write: Write) -> None:
    """The purchase costs nothing yet; each month bears its device-hours, and the last fen is not lost."""
    books.post(leased("lease-1", write.at, write.chip))
    table = focus(books.entries())
    check(table)
    bought, june, july, august = table.to_dicts()
    assert (bought["ChargeCategory"], bought["BilledCost"], bought["EffectiveCost"]) == (
        "Purchase",
        Decimal("1000000.01"),
        0,
    )
    assert bought["BillingPeriodStart"] == dt.datetime(2025, 5, 1, tzinfo=dt.UTC)
    assert [row["PricingQuantity"] for row in (june, july, august)] == [
        40 * 12 * days for days in (16, 31, 31)
    ]
    assert june["ChargePeriodStart"] == dt.datetime(2025, 6, 15, 8, tzinfo=dt.UTC)
    assert june["ChargePeriodEnd"] == dt.datetime(2025, 6, 30, 20, tzinfo=dt.UTC)
    assert sum(row["EffectiveCost"] for row in (june, july, august)) == Decimal("1000000.01")
    assert len({row["CapacityReservationId"] for row in (bought, june, july, august)}) == 1
    assert [row["CapacityReservationStatus"] for row in (bought, june)] == [None, "Used"]


def test_a_sale_is_one_purchase_for_each_lot(books: Ledger, write: Write) -> None:
    """8 devices at 110,000 CNY."""
    books.post(write.sale("sale-1", 8, fen=88_000_000))
    table = focus(books.entries())
    check(table)
    (row,) = table.to_dicts()
    assert (row["BilledCost"], row["EffectiveCost"], row["PricingQuantity"], row["PricingUnit"]) == (
        880_000,
        880_000,
        8,
        "Devices",
    )
    assert row["ContractedUnitPrice"] == 110_000
    assert (row["BillingAccountId"], row["ProviderName"], row["x_UnitLot"], row["RegionId"]) == (
        "birch",
        "alder",
        "a-h20",
        "ulq-1",
    )


def test_paying_is_no_charge(books: Ledger, write: Write) -> None:
    """What settles a debt is not billed a second time; nor is an opening balance, or a credit line."""
    books.post(write.sale("sale-1", 8, fen=100))
    before = focus(books.entries())
    pay = (
        Posting("birch:cash", "CNY.fen", -100), Posting("birch:payable:alder", "CNY.fen", 100),
        Posting("alder:cash", "CNY.fen", 100), Posting("alder:receivable:birch", "CNY.fen", -100),
    )  # fmt: skip
    credit = (Posting("birch:cash", "CNY.fen", 100), Posting("birch:credit:bank", "CNY.fen", -100))
    books.post(Entry("credit", write.at, "credit line", credit))
    books.post(Entry("pay", write.at, "payment", pay))
    assert focus(books.entries()).equals(before)


def test_delivery_against_payment_is_a_charge(books: Ledger, write: Write) -> None:
    """Units one way and cash the other, with no debt in between, cost as much."""
    cash = (Posting("birch:cash", "CNY.fen", 500), Posting("birch:opening", "CNY.fen", -500))
    books.post(Entry("cash", write.at, "opening", cash))
    units = (
        Posting("alder:lf-1:available", write.chip, -8, "a-h20"),
        Posting("birch:x:available", write.chip, 8, "a-h20"),
    )
    paid = (Posting("birch:cash", "CNY.fen", -500), Posting("alder:cash", "CNY.fen", 500))
    books.post(Entry("dvp", write.at, "sale", (*units, *paid)))
    (row,) = focus(books.entries()).to_dicts()
    assert (row["BilledCost"], row["PricingQuantity"]) == (5, 8)


def test_a_reversal_takes_back_what_was_billed_and_stops_what_was_not(books: Ledger, write: Write) -> None:
    """Undone in July: May's purchase and June's use are corrected in July; July and August are never billed."""
    books.post(leased("lease-1", write.at, write.chip))
    books.reverse("lease-1", at=dt.datetime(2025, 7, 10, tzinfo=dt.UTC))
    table = focus(books.entries())
    check(table)
    assert table["ChargeClass"].to_list() == [None, None, "Correction", "Correction"]
    assert table["ChargeCategory"].to_list() == ["Purchase", "Usage", "Purchase", "Usage"]
    assert table.filter(pl.col("ChargeClass") == "Correction")["BillingPeriodStart"].dt.month().to_list() == [
        7,
        7,
    ]
    assert [table[c].sum() for c in ("BilledCost", "EffectiveCost", "ContractedCost", "PricingQuantity")] == [
        0,
        0,
        0,
        0,
    ]
    again = books.entry("lease-1/reversal").entry.reversal(
        at=dt.datetime(2025, 8, 1, tzinfo=dt.UTC), cause="after all"
    )
    books.post(again)
    restored = focus(books.entries())
    check(restored)
    assert restored["BilledCost"].sum() == restored["EffectiveCost"].sum() == Decimal("1000000.01")


def test_who_pays_whom_is_not_guessed(books: Ledger, write: Write) -> None:
    """Two payers and two payees in one entry: one clear error that names it."""
    books.post(Entry("knot", write.at, "two debts", tuple(
        Posting(account, "CNY.fen", q) for account, q in
        (("b:payable", -1), ("c:payable", -2), ("d:receivable", 1), ("e:receivable", 2))
    )))  # fmt: skip
    with pytest.raises(InputError, match=r"'knot'.*who pays whom"):
        focus(books.entries())


def test_a_currency_that_is_none_is_told(books: Ledger, write: Write) -> None:
    """FOCUS bills in ISO 4217."""
    books.post(
        Entry(
            "shells",
            write.at,
            "a debt",
            (Posting("b:payable", "shell", -1), Posting("c:receivable", "shell", 1)),
        )
    )
    with pytest.raises(InputError, match="'shell' is no currency"):
        focus(books.entries())


def test_a_fee_has_no_devices(books: Ledger, write: Write) -> None:
    """One charge, one price, no resource."""
    books.post(
        Entry(
            "fee",
            write.at,
            "market fee",
            (Posting("b:payable:m", "CNY.fen", -99), Posting("m:receivable:b", "CNY.fen", 99)),
        )
    )
    table = focus(books.entries())
    check(table)
    assert table.select("ServiceName", "PricingUnit", "BilledCost", "ResourceId").rows() == [
        ("Market fee", "Charges", Decimal("0.99"), None)
    ]


@given(books=journals())
@settings(max_examples=40, deadline=None)
def test_what_is_billed_is_what_is_owed(books: Ledger) -> None:
    """For every payer and payee: billed, effective and the debt in the books are one sum; every row meets the schema."""
    found = charges(books.entries())
    owed = {
        (r["party"], r["counterparty"], r["commodity"]): -r["quantity"]
        for r in books.balances().filter(pl.col("state") == "payable").to_dicts()
    }
    for name in ("billed", "effective"):
        total: dict[tuple[str, str, str], int] = {}
        for c in found:
            key = (c.payer, c.payee, c.commodity)
            total[key] = total.get(key, 0) + getattr(c, name)
        assert {key: n for key, n in total.items() if n} == owed
    check(focus(books.entries()))
    books.close()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_every_mandatory_column_is_there(
    books: Ledger, write: Write, version: FocusVersion, tmp_path: Path
) -> None:
    """Also in a table without rows, and in the file; 1.3 has two more names of who provides."""
    books.post(write.sale("sale-1", 8))
    table = focus(books.entries(), version=version)
    check(table, version)
    more = ["HostProviderName", "ServiceProviderName"] if version == "1.3" else []
    assert not set(MANDATORY) - set(table.columns)
    assert [c for c in table.columns if c in {"HostProviderName", "ServiceProviderName"}] == more
    assert focus([], version=version).columns == table.columns
    write_table(table, tmp_path / "focus.csv", time="%Y-%m-%dT%H:%M:%SZ")
    assert '"2025-05-01T00:00:00Z"' in (tmp_path / "focus.csv").read_text(encoding="utf-8")


def test_a_version_that_is_not_written_is_told() -> None:
    """The specification goes on; this export says which of it it knows."""
    with pytest.raises(InputError, match=r"FOCUS version '0\.9'"):
        focus([], version="0.9")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("BilledCost", None), ("BillingCurrency", "yuan"), ("ChargeCategory", "Lease"), ("ChargePeriodStart", "2025-05-15"),
        ("CapacityReservationStatus", "Used"), ("ConsumedQuantity", 5.0), ("CommitmentDiscountType", "x"), ("SkuId", None),
        ("PricingQuantity", None), ("ListUnitPrice", -1.0), ("ChargeFrequency", "Usage-Based"), ("Extra", 1),
        ("ProviderName", ""),
    ],
)  # fmt: skip
def test_the_schema_refuses_what_the_specification_does(
    books: Ledger, write: Write, column: str, value: object
) -> None:
    """A check that cannot fail checks nothing: one requirement broken at a time."""
    books.post(write.sale("sale-1", 8))
    row = as_json(focus(books.entries()).to_dicts()[0])
    validator = jsonschema.Draft202012Validator(focus_schema())
    validator.validate(row)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**row, column: value})
