"""What is free, hour by hour, and what will be? From the journal alone, past and to come.

What is booked is certain as far as the books go: a lease that ends, a sale dated later. What is only expected is said to
be: a delivery that has a date but was not booked, a reservation that nobody has posted by the time it expires.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from sqlalchemy import select

from entrepot.errors import Fault, InputError
from entrepot.ledger import schema
from entrepot.ledger.accounts import Account
from entrepot.ledger.journal import course
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.opening import day_begins, unit_lot_of_order
from entrepot.ledger.reserve import reservations
from entrepot.ledger.tables import at_time, under

if TYPE_CHECKING:  # only read here: keeping a ledger needs no reader of scenarios
    from entrepot.scenario.records import Scenario

__all__ = ["Arrival", "arrivals", "availability", "forecast"]

_MOST_HOURS = 24 * 366 * 5
_AVAILABILITY = {
    "hour": pl.Datetime("us", "UTC"),
    "party": pl.String(),
    "site": pl.String(),
    "commodity": pl.String(),
    "unit_lot": pl.String(),
    "free": pl.Int64(),
    "offered": pl.Int64(),
    "reserved": pl.Int64(),
    "leased": pl.Int64(),
    "leased_in": pl.Int64(),
}
_FORECAST = {
    "account": pl.String(),
    "commodity": pl.String(),
    "unit_lot": pl.String(),
    "quantity": pl.Int64(),
    "certainty": pl.String(),
    "why": pl.String(),
}
_STATES = {"available": 0, "offered": 1, "reserved": 2, "leased": 3, "leased-in": 4}


@dataclass(frozen=True, slots=True)
class Arrival:
    """When units that are on order may be expected, and who says so."""

    unit_lot: str
    on: dt.date
    why: str


def arrivals(scenario: Scenario) -> tuple[Arrival, ...]:
    """Return when a scenario's vendor orders may be delivered at the earliest."""
    return tuple(
        Arrival(
            unit_lot_of_order(o.id),
            o.deliverable_from,
            f"order {o.id}: deliverable from {o.deliverable_from}",
        )
        for o in scenario.orders
    )


def availability(
    ledger: Ledger,
    first: dt.datetime,
    end: dt.datetime,
    *,
    account: str | None = None,
    commodity: str | None = None,
    by_lot: bool = False,
) -> pl.DataFrame:
    """Return what is free at each site in each hour: the lowest that it is within the hour.

    Parameters
    ----------
    first, end : whole hours, UTC; up to five years of them
    account : only accounts under this: ``alder``, ``alder:lf-1``
    commodity : only this accelerator
    by_lot : one row for each unit lot, instead of their sum

    Returns
    -------
    hour, party, site, commodity, unit_lot (empty unless ``by_lot``), free, offered, reserved, leased, leased_in i64.
    ``free`` may be sold or leased in that hour; whether it may be sold for good, later hours say.

    Raises
    ------
    InputError
        When the hours are not whole, not in UTC, none or too many.
    """
    count = _hours(first, end)
    b = schema.balances.c
    query = select(b.account, b.commodity, b.unit_lot).where(b.unit_lot != "").distinct()
    if commodity is not None:
        query = query.where(b.commodity == commodity)
    out: dict[tuple[str, str, str, str], np.ndarray[tuple[int, int], np.dtype[np.int64]]] = defaultdict(
        lambda: np.zeros((len(_STATES), count), dtype=np.int64)
    )
    with ledger.reading() as (connection, _):
        for row in connection.execute(under(query, b.account, account)).all():
            of = Account.parse(row.account)
            if of.state in _STATES:
                key = (of.party, of.site, row.commodity, row.unit_lot if by_lot else "")
                steps = course(connection, row.account, row.commodity, row.unit_lot)
                out[key][_STATES[of.state]] += steps.by_hour(first, count)
    hours = pl.datetime_range(first, end, "1h", closed="left", time_unit="us", time_zone="UTC", eager=True)
    frames = [
        pl.DataFrame({"hour": hours}).with_columns(
            *(
                pl.lit(text).alias(name)
                for name, text in zip(("party", "site", "commodity", "unit_lot"), key, strict=True)
            ),
            *(
                pl.Series(name, counts[at])
                for at, name in enumerate(("free", "offered", "reserved", "leased", "leased_in"))
            ),
        )
        for key, counts in sorted(out.items())
        if counts.any()
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=_AVAILABILITY)


def forecast(
    ledger: Ledger, at: dt.datetime, *, account: str | None = None, expected: Sequence[Arrival] = ()
) -> pl.DataFrame:
    """Return what everybody will have at a time: what is booked, and what is only expected, each under its name.

    Parameters
    ----------
    at : to come, or past
    account : only accounts under this
    expected : deliveries of units on order; nothing is expected of an order without a date

    Returns
    -------
    account, commodity, unit_lot, quantity i64, certainty (``booked`` or ``expected``), why. Quantities of one account add
    up; expected rows move units from where they are booked to where they would be.
    """
    rows: list[tuple[object, ...]] = []
    with ledger.reading() as (connection, name):
        there = at_time(connection, name, account, at)
    for (text, commodity, lot), quantity in sorted(there.items()):
        rows.append((text, commodity, lot, quantity, "booked", ""))
    due = {a.unit_lot: a for a in expected if day_begins(a.on) <= at}
    for (text, commodity, lot), quantity in sorted(there.items()):
        of, arrival = Account.parse(text), due.get(lot)
        if of.state in ("on-order", "in-transit") and arrival is not None and of.site:
            to = str(Account(of.party, of.site, "available"))
            rows += [
                (text, commodity, lot, -quantity, "expected", arrival.why),
                (to, commodity, lot, quantity, "expected", arrival.why),
            ]
    for r in reservations(ledger).filter(pl.col("expires") <= at).iter_rows(named=True):
        of = Account.parse(r["account"])
        kept = there.get((r["account"], r["commodity"], r["unit_lot"]), 0)
        if kept >= r["quantity"] and f"{r['account']}:".startswith(f"{account or ''}:".lstrip(":")):
            why = f"reservation {r['reservation']} expires {r['expires']:%Y-%m-%d %H:%M} UTC unless it is posted"
            back = str(Account(of.party, of.site, "available"))
            rows += [
                (r["account"], r["commodity"], r["unit_lot"], -r["quantity"], "expected", why),
                (back, r["commodity"], r["unit_lot"], r["quantity"], "expected", why),
            ]
    return pl.DataFrame(rows, schema=_FORECAST, orient="row").sort(
        "account", "certainty", maintain_order=True
    )


def _hours(first: dt.datetime, end: dt.datetime) -> int:
    whole = all(
        t.utcoffset() == dt.timedelta(0) and not (t.minute or t.second or t.microsecond) for t in (first, end)
    )
    count = int((end - first).total_seconds() // 3600) if whole else 0
    if not 0 < count <= _MOST_HOURS:
        raise InputError(
            Fault(
                f"hours from {first} to {end}",
                "are not whole hours, or none, or more than five years of them",
                "Give two whole hours in UTC, the second later.",
            )
        )
    return count
