"""How does a bill read to a FinOps tool? Charges in the columns of FOCUS, the FinOps Open Cost and Usage Specification.

Written from the published specification (https://focus.finops.org/focus-specification/v1-2/ and its requirements for each
column, CC BY 4.0); `focus_schema` is those requirements as a JSON Schema of our own, and checks every row in the tests.

What the specification leaves to the one who bills, and how it is done here:

- The **billing account** is the party that pays; provider, publisher and issuer are the party that is paid.
- A lease is *billed* when it is agreed (``Purchase``, effective cost 0, for it covers use to come) and *effective* month by
  month (``Usage``, billed cost 0). Its hours are the ``CapacityReservationId``. The ledger meters nothing: hours that were
  leased count as consumed, ``Used``.
- There is no price list and no discount on one: list, contracted and effective prices are what the market cleared at, and
  the ``CommitmentDiscount`` columns are there and empty.
- The ledger sends no invoices: ``InvoiceId`` is empty.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

import polars as pl

from entrepot.errors import Fault, InputError
from entrepot.ledger.exchange.charges import Charge, charges
from entrepot.ledger.records import Entry
from entrepot.scenario.codes import currencies, minor_units

__all__ = ["FOCUS_VERSION", "FocusVersion", "focus", "focus_rows", "focus_schema"]

FocusVersion = Literal["1.2", "1.3"]
FOCUS_VERSION: FocusVersion = "1.2"

_PRICE = Decimal(10) ** -12  # times 10^9 device-hours, still less than half of a hundredth off
_Kind = Literal["cost", "count", "price", "text", "time", "json"]


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: _Kind
    nullable: bool = False
    allowed: tuple[str, ...] = ()
    since: FocusVersion = "1.2"


_COLUMNS = (
    _Column("BilledCost", "cost"),
    _Column("BillingAccountId", "text"),
    _Column("BillingAccountName", "text", nullable=True),
    _Column("BillingAccountType", "text"),
    _Column("BillingCurrency", "text"),
    _Column("BillingPeriodEnd", "time"),
    _Column("BillingPeriodStart", "time"),
    _Column("CapacityReservationId", "text", nullable=True),
    _Column("CapacityReservationStatus", "text", nullable=True, allowed=("Used", "Unused")),
    _Column("ChargeCategory", "text", allowed=("Usage", "Purchase", "Tax", "Credit", "Adjustment")),
    _Column("ChargeClass", "text", nullable=True, allowed=("Correction",)),
    _Column("ChargeDescription", "text", nullable=True),
    _Column("ChargeFrequency", "text", allowed=("One-Time", "Recurring", "Usage-Based")),
    _Column("ChargePeriodEnd", "time"),
    _Column("ChargePeriodStart", "time"),
    _Column("CommitmentDiscountCategory", "text", nullable=True, allowed=("Spend", "Usage")),
    _Column("CommitmentDiscountId", "text", nullable=True),
    _Column("CommitmentDiscountName", "text", nullable=True),
    _Column("CommitmentDiscountQuantity", "count", nullable=True),
    _Column("CommitmentDiscountStatus", "text", nullable=True, allowed=("Used", "Unused")),
    _Column("CommitmentDiscountType", "text", nullable=True),
    _Column("CommitmentDiscountUnit", "text", nullable=True),
    _Column("ConsumedQuantity", "count", nullable=True),
    _Column("ConsumedUnit", "text", nullable=True),
    _Column("ContractedCost", "cost"),
    _Column("ContractedUnitPrice", "price", nullable=True),
    _Column("EffectiveCost", "cost"),
    _Column("HostProviderName", "text", since="1.3"),
    _Column("InvoiceId", "text", nullable=True),
    _Column("InvoiceIssuerName", "text"),
    _Column("ListCost", "cost"),
    _Column("ListUnitPrice", "price", nullable=True),
    _Column("PricingCategory", "text", nullable=True, allowed=("Standard", "Dynamic", "Committed", "Other")),
    _Column("PricingCurrency", "text"),
    _Column("PricingQuantity", "count", nullable=True),
    _Column("PricingUnit", "text", nullable=True),
    _Column("ProviderName", "text"),
    _Column("PublisherName", "text"),
    _Column("RegionId", "text", nullable=True),
    _Column("RegionName", "text", nullable=True),
    _Column("ResourceId", "text", nullable=True),
    _Column("ResourceName", "text", nullable=True),
    _Column("ResourceType", "text", nullable=True),
    _Column(
        "ServiceCategory", "text", allowed=("Compute", "Other")
    ),  # of the specification's, those used here
    _Column("ServiceName", "text"),
    _Column("ServiceProviderName", "text", since="1.3"),
    _Column("ServiceSubcategory", "text", allowed=("Other (Compute)", "Other (Other)")),
    _Column("SkuId", "text", nullable=True),
    _Column("SkuMeter", "text", nullable=True),
    _Column("SkuPriceDetails", "json", nullable=True),
    _Column("SkuPriceId", "text", nullable=True),
    _Column("Tags", "json", nullable=True),
    _Column("x_Accelerator", "text", nullable=True),
    _Column("x_ClearingId", "text", nullable=True),
    _Column("x_EntryId", "text"),
    _Column("x_Slot", "text", nullable=True),
    _Column("x_UnitLot", "text", nullable=True),
)
_TYPES: Mapping[_Kind, pl.DataType] = {
    "cost": pl.Decimal(38, 4),  # no currency has more decimals
    "count": pl.Decimal(38, 0),
    "price": pl.Decimal(38, 12),
    "text": pl.String(),
    "time": pl.Datetime("us", "UTC"),
    "json": pl.String(),
}


def focus(entries: Iterable[Entry], *, version: FocusVersion = FOCUS_VERSION) -> pl.DataFrame:
    """Return the charges of a journal as a FOCUS table (Cost and Usage), one row per charge and charge period.

    Parameters
    ----------
    version : of the specification

    Raises
    ------
    InputError
        When it cannot be told who pays whom, or a currency is none of ISO 4217.
    """
    rows = focus_rows(charges(entries), version=version)
    return pl.DataFrame(rows, schema={c.name: _TYPES[c.kind] for c in _of(version)}, orient="row")


def focus_rows(of: Sequence[Charge], *, version: FocusVersion = FOCUS_VERSION) -> list[dict[str, Any]]:
    """Return charges as rows of FOCUS columns: decimals exact, times in UTC."""
    names = [column.name for column in _of(version)]
    return [{name: row.get(name) for name in names} for row in map(_row, of)]


def _of(version: FocusVersion) -> list[_Column]:
    if version not in get_args(FocusVersion):
        known = ", ".join(get_args(FocusVersion))
        raise InputError(
            Fault(f"FOCUS version {version!r}", "is not one that entrepot writes", f"Give one of {known}.")
        )
    return [column for column in _COLUMNS if column.since <= version]


def _row(charge: Charge) -> dict[str, Any]:
    currency, scale = _currency(charge)
    money = {name: Decimal(getattr(charge, name)) / scale for name in ("billed", "effective", "contracted")}
    price = (money["contracted"] / charge.quantity).quantize(_PRICE)
    usage = charge.category == "Usage"
    of_devices = bool(charge.lot)
    sku = f"{charge.accelerator}/{'lease' if charge.lease else 'sale'}" if of_devices else "fee"
    return {
        "BilledCost": money["billed"],
        "BillingAccountId": charge.payer,
        "BillingAccountName": charge.payer,
        "BillingAccountType": "Party",
        "BillingCurrency": currency,
        "BillingPeriodStart": _midnight(charge.billing),
        "BillingPeriodEnd": _midnight((charge.billing + dt.timedelta(days=31)).replace(day=1)),
        "CapacityReservationId": f"{charge.origin}/{charge.lot}/{charge.slot}" if charge.lease else None,
        "CapacityReservationStatus": "Used" if usage else None,
        "ChargeCategory": charge.category,
        "ChargeClass": "Correction" if charge.correction else None,
        "ChargeDescription": charge.cause,
        "ChargeFrequency": "Usage-Based" if usage else "One-Time",
        "ChargePeriodStart": charge.start,
        "ChargePeriodEnd": charge.end,
        "ConsumedQuantity": Decimal(charge.quantity) if usage else None,
        "ConsumedUnit": charge.unit if usage else None,
        "ContractedCost": money["contracted"],
        "ContractedUnitPrice": price,
        "EffectiveCost": money["effective"],
        "HostProviderName": charge.payee,
        "InvoiceIssuerName": charge.payee,
        "ListCost": money["contracted"],
        "ListUnitPrice": price,
        "PricingCategory": "Standard",
        "PricingCurrency": currency,
        "PricingQuantity": Decimal(charge.quantity),
        "PricingUnit": charge.unit,
        "ProviderName": charge.payee,
        "PublisherName": charge.payee,
        "RegionId": charge.site or None,
        "RegionName": charge.site or None,
        "ResourceId": charge.lot or None,
        "ResourceName": charge.lot or None,
        "ResourceType": "Accelerators of one provenance" if of_devices else None,
        "ServiceCategory": "Compute" if of_devices else "Other",
        "ServiceName": ("Accelerator lease" if charge.lease else "Accelerator sale") if of_devices else "Market fee",
        "ServiceProviderName": charge.payee,
        "ServiceSubcategory": "Other (Compute)" if of_devices else "Other (Other)",
        "SkuId": sku,
        "SkuMeter": charge.unit,
        "SkuPriceDetails": json.dumps({"x_Accelerator": charge.accelerator}) if of_devices else None,
        "SkuPriceId": f"{sku}/{charge.origin}",
        "x_Accelerator": charge.accelerator or None,
        "x_ClearingId": charge.settles or None,
        "x_EntryId": charge.entry,
        "x_Slot": charge.slot or None,
        "x_UnitLot": charge.lot or None,
    }  # fmt: skip


def _currency(charge: Charge) -> tuple[str, int]:
    currency = charge.commodity.partition(".")[0]
    if currency not in currencies():
        raise InputError(
            Fault(
                f"entry {charge.entry!r}",
                f"is in {charge.commodity}, and {currency!r} is no currency of ISO 4217",
                "Correct it with a reversal; FOCUS bills in currencies.",
            )
        )
    return currency, minor_units(currency)


_TOLD = (
    "PricingQuantity",
    "PricingUnit",
    "PricingCategory",
    "ContractedUnitPrice",
    "ListUnitPrice",
    "SkuId",
    "SkuPriceId",
)


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def focus_schema(version: FocusVersion = FOCUS_VERSION) -> dict[str, Any]:
    """Return a JSON Schema (2020-12) of one row: columns, types, which may be null, allowed values, and what depends on what.

    A row is JSON as FOCUS has it: decimals as numbers, times as ISO 8601 in UTC, key-value columns as objects.
    """
    columns = _of(version)
    not_corrected = {"properties": {"ChargeClass": {"const": None}}}
    usage = {"properties": {"ChargeCategory": {"const": "Usage"}}}
    bought = {"properties": {"ChargeCategory": {"enum": ["Usage", "Purchase"]}}}
    told = {"not": {"const": None}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"FOCUS {version}, Cost and Usage: the columns and requirements that entrepot's export meets",
        "type": "object",
        "required": [column.name for column in columns],
        "properties": {column.name: _schema_of(column) for column in columns},
        "patternProperties": {"^x_[A-Z][A-Za-z0-9]*$": {}},
        "additionalProperties": False,
        "allOf": [
            # Pricing, SKU and prices are told for use and purchases that are no corrections.
            {"if": {"allOf": [bought, not_corrected]},
             "then": {"properties": dict.fromkeys(_TOLD, told)}},
            # Consumption is of use alone, and above zero where nothing is corrected.
            {"if": usage, "then": {"properties": {"ConsumedUnit": told}},
             "else": {"properties": {"ConsumedQuantity": {"const": None}, "ConsumedUnit": {"const": None}}}},
            {"if": {"allOf": [usage, not_corrected]},
             "then": {"properties": {"ConsumedQuantity": {"exclusiveMinimum": 0, "type": "number"}}}},
            {"if": {"properties": {"ChargeCategory": {"const": "Purchase"}}},
             "then": {"properties": {"ChargeFrequency": {"enum": ["One-Time", "Recurring"]}}}},
            # A reservation has a status exactly where it is used; no reservation, no status.
            {"if": {"properties": {"CapacityReservationId": {"const": None}}},
             "then": {"properties": {"CapacityReservationStatus": {"const": None}}},
             "else": {"if": usage, "then": {"properties": {"CapacityReservationStatus": told}}}},
            # Without a commitment discount there is nothing to say of one.
            {"if": {"properties": {"CommitmentDiscountId": {"const": None}}},
             "then": {"properties": {f"CommitmentDiscount{part}": {"const": None}
                      for part in ("Category", "Name", "Quantity", "Status", "Type", "Unit")}}},
            # What covers use to come costs nothing yet.
            {"if": {"properties": {"ChargeCategory": {"const": "Purchase"}, "CapacityReservationId": told}},
             "then": {"properties": {"EffectiveCost": {"const": 0}}}},
            {"if": {"properties": {"ServiceCategory": {"const": "Compute"}}},
             "then": {"properties": {"ServiceSubcategory": {"const": "Other (Compute)"}}}},
        ],
    }  # fmt: skip


def _schema_of(column: _Column) -> dict[str, Any]:
    if column.allowed:
        values: list[str | None] = [*column.allowed, *([None] if column.nullable else [])]
        return {"enum": values}
    kinds: dict[_Kind, dict[str, Any]] = {
        "cost": {"type": "number"},
        "count": {"type": "number"},
        "price": {"type": "number", "minimum": 0},
        "text": {"type": "string", "minLength": 1, "pattern": r"^\S(.*\S)?$"},
        "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
        "json": {"type": "object"},
    }
    one = kinds[column.kind]
    if column.name.endswith("Currency"):
        one = {"type": "string", "pattern": "^[A-Z]{3}$"}
    return {"anyOf": [one, {"type": "null"}]} if column.nullable else one
