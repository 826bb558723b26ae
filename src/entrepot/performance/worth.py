"""How many of these chips equal one of those, and what does the work cost on each?

Both are quotients of two uncertain figures. Their errors are taken as independent, so that the factor of a quotient is
``exp(sqrt(log^2 f1 + log^2 f2))``; errors that two chips share (the engine, the mix) make it narrower in truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import polars as pl

from entrepot.errors import MissingFact, NotFound

__all__ = ["PriceRange", "costs", "equivalents"]


@dataclass(frozen=True, slots=True)
class PriceRange:
    """A price of one device-hour: lowest, middle and highest, in one currency, and whose they are."""

    low: Decimal
    central: Decimal
    high: Decimal
    currency: str
    source: str


def equivalents(table: pl.DataFrame, base: str) -> pl.DataFrame:
    """Return how many devices of each accelerator do the work of one ``base``.

    Parameters
    ----------
    table : rates of one workload, as ``rates`` gives them

    Returns
    -------
    the table with ``devices_per_base_low``, ``_central`` and ``_high``; null where there is no rate

    Raises
    ------
    NotFound
        ``base`` is not in the table
    MissingFact
        ``base`` has no rate, for the reason that the message gives
    """
    of_base = table.filter(pl.col("accelerator") == base)
    if of_base.is_empty():
        raise NotFound("accelerator", base, table["accelerator"].to_list())
    row = of_base.row(0, named=True)
    if row["mtok_per_device_hour_central"] is None:
        raise MissingFact(f"no rate of {base} to compare with: {row['reason']}")
    low, central, high = (pl.col(f"mtok_per_device_hour_{end}") for end in ("low", "central", "high"))
    own = (high / low).sqrt().log()
    other = float(np.log(row["mtok_per_device_hour_high"] / row["mtok_per_device_hour_low"]) / 2)
    itself = pl.col("accelerator") == base
    factor = pl.when(itself).then(1.0).otherwise((own**2 + other**2).sqrt().exp())
    number = row["mtok_per_device_hour_central"] / central
    return table.with_columns(
        devices_per_base_low=number / factor,
        devices_per_base_central=number,
        devices_per_base_high=number * factor,
    )


def costs(table: pl.DataFrame, prices: Mapping[str, PriceRange]) -> pl.DataFrame:
    """Return what one Mtok costs on each accelerator that has a price.

    Parameters
    ----------
    table : rates of one workload
    prices : of a device-hour, by accelerator; all in one currency

    Returns
    -------
    the table with ``price_per_device_hour``, ``cost_per_mtok_low``, ``_central`` and ``_high`` as text of decimals (low: the
    low price at the high rate), ``currency`` and ``price_source``; null without a price or a rate
    """
    rows = []
    for row in table.to_dicts():
        price = prices.get(row["accelerator"])
        ends = [row[f"mtok_per_device_hour_{end}"] for end in ("high", "central", "low")]
        known = price is not None and ends[0] is not None
        paid = (price.low, price.central, price.high) if price is not None else ()
        cost = [_quotient(p, rate) for p, rate in zip(paid, ends, strict=True)] if known else [None] * 3
        rows.append(
            {
                **row,
                "price_per_device_hour": None if price is None else format(price.central, "f"),
                "cost_per_mtok_low": cost[0],
                "cost_per_mtok_central": cost[1],
                "cost_per_mtok_high": cost[2],
                "currency": None if price is None else price.currency,
                "price_source": None if price is None else price.source,
            }
        )
    text = ("price_per_device_hour", "cost_per_mtok_low", "cost_per_mtok_central", "cost_per_mtok_high", "currency",
            "price_source")  # fmt: skip
    return pl.DataFrame(rows, schema={**table.schema, **dict.fromkeys(text, pl.String())})


def _quotient(price: Decimal, rate: float) -> str:
    """Return a price over a rate, to the ten-thousandth of the currency's unit."""
    return format((price / Decimal(repr(rate))).quantize(Decimal("0.0001")), "f")
