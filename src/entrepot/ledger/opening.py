"""What was there when the books began? One entry for each holding and each vendor order of a scenario."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from entrepot.ledger.records import Entry, Posting, UnitLot

if TYPE_CHECKING:  # only read here: keeping a ledger needs no reader of scenarios
    from entrepot.scenario.records import Holding, Order, Scenario

__all__ = ["day_begins", "opening", "unit_lot_of_order"]


def opening(scenario: Scenario) -> list[Entry]:
    """Return the entries that put a scenario's holdings and vendor orders into the books, out of equity.

    A holding's devices become ``party:site:available``, a vendor's order ``vendor:on-order``: what it can deliver at
    most. Each is one `UnitLot`. Ids are made of the holding's, so posting the same scenario twice changes nothing.
    """
    at = day_begins(scenario.as_of)
    held = [_held(holding, at) for holding in scenario.holdings if holding.quantity > 0]
    return held + [_ordered(order, at) for order in scenario.orders if order.quantity > 0]


def unit_lot_of_order(order_id: str) -> str:
    """Return the id of the unit lot that a vendor's order brings in."""
    return f"order/{order_id}"


def day_begins(day: dt.date) -> dt.datetime:
    """Return midnight UTC at the beginning of a day."""
    return dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC)


def _held(holding: Holding, at: dt.datetime) -> Entry:
    lot = UnitLot(
        id=holding.id,
        accelerator=holding.accelerator,
        imported_on=holding.imported_on,
        imported_from=holding.imported_from,
        authorisation=_one_line(holding.authorisation),
        conditions=tuple(" ".join(condition.split()) for condition in holding.conditions),
        note=" ".join(holding.note.split()),
    )
    count, chip = holding.quantity, holding.accelerator
    return Entry(
        f"opening/{holding.id}",
        at,
        f"opening: {count} {chip} of {holding.party} at {holding.site}",
        (
            Posting(f"{holding.party}:{holding.site}:available", chip, count, lot.id),
            Posting(f"{holding.party}:opening", chip, -count, lot.id),
        ),
        unit_lots=(lot,),
    )


def _ordered(order: Order, at: dt.datetime) -> Entry:
    lot = UnitLot(
        id=unit_lot_of_order(order.id),
        accelerator=order.accelerator,
        imported_from=order.origin,
        note=" ".join(order.note.split()),
    )
    count, chip = order.quantity, order.accelerator
    return Entry(
        f"opening/{lot.id}",
        at,
        f"opening: {count} {chip} that {order.vendor} can deliver from {order.deliverable_from}",
        (
            Posting(f"{order.vendor}:on-order", chip, count, lot.id),
            Posting(f"{order.vendor}:opening", chip, -count, lot.id),
        ),
        unit_lots=(lot,),
    )


def _one_line(text: str | None) -> str | None:
    return None if text is None else " ".join(text.split()) or None
