"""How many devices does each lot really offer, and how much work does each bid really want, in every period?

Lots with a number are commitments: together they must fit what need, reserve and policy leave. Lots for ``surplus`` then
take what is still left, in the order in which they are written, in whole blocks:

    offered(lot, t) <= min(surplus(holding, t) - other lots of the holding,
                           floor(sale_share_max x held by the party) - other lots of the party).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.errors import Fault, InputError
from entrepot.planning.records import F64, I64, Surplus
from entrepot.scenario.records import Lot, LotKind, Scenario

__all__ = ["demand", "offered", "period_label"]

Mask: TypeAlias = NDArray[np.bool_]

_SHOWN = 20  # lots at fault that are shown one by one; the rest are counted
_EPS = 1e-9  # of a device: 0.1 x 30 devices are 3, whatever the float says


@dataclass(frozen=True, slots=True)
class _Room:
    """What may still be offered.

    Attributes
    ----------
    holding : (holdings, periods) devices
    party : (parties that hold, periods) devices that policy still allows
    rows : holding id -> its row in ``holding`` and its party's row in ``party``
    """

    holding: I64
    party: I64
    rows: dict[str, tuple[int, int]]

    def of(self, lot: Lot) -> I64:
        """Return (periods,) what the lot could offer at most."""
        h, p = self.rows[str(lot.holding)]
        least: I64 = np.minimum(self.holding[h], self.party[p])
        return least

    def take(self, lot: Lot, devices: I64) -> None:
        """Take (periods,) devices of a lot off, in place."""
        h, p = self.rows[str(lot.holding)]
        self.holding[h] -= devices
        self.party[p] -= devices

    def copy(self) -> _Room:
        """Return a copy to try things on."""
        return _Room(self.holding.copy(), self.party.copy(), self.rows)


def offered(scenario: Scenario, surplus: Surplus) -> I64:
    """Return the devices that each lot offers in each period.

    Parameters
    ----------
    surplus : of the same scenario

    Returns
    -------
    (lots, periods) devices, multiples of the lot's block; 0 outside the window. Constant from delivery to the end of the
    horizon for a sale, constant in its window for a whole lease. In every period the lots of a party come to at most
    ``sale_share_max`` of its devices, and the lots of a holding to at most its surplus. Lots of vendor orders offer their
    full quantity from delivery.

    Raises
    ------
    InputError
        Lots with a number that offer more than is left, each with the hour in which most is missing.
    """
    lots = scenario.lots
    windows = _windows(scenario)
    capacity = np.zeros((len(lots), scenario.horizon.periods), dtype=np.int64)
    room = _room(scenario, surplus)
    for i, lot in enumerate(lots):
        if lot.quantity is not None:
            capacity[i, windows[i]] = lot.quantity
    _commit(scenario, capacity, room)
    for i, lot in enumerate(lots):
        if lot.quantity is None:
            capacity[i] = _take(lot, room.of(lot), windows[i])
            room.take(lot, capacity[i])
    return capacity


def _windows(scenario: Scenario) -> list[Mask]:
    """Return for each lot the (periods,) mask of its window; lots of one window share one array."""
    horizon = scenario.horizon
    masks: dict[object, Mask] = {}
    rows: list[Mask] = []
    for lot in scenario.lots:
        end, hours = (horizon.end, None) if lot.kind is LotKind.SALE else (lot.end, lot.hours)
        key = (lot.start, end, hours)
        if key not in masks:
            masks[key] = horizon.mask(lot.start, end, hours)
        rows.append(masks[key])
    return rows


def _room(scenario: Scenario, surplus: Surplus) -> _Room:
    """Return what may be offered before any lot: the surplus of each holding, the policy's share of each party."""
    periods = scenario.horizon.periods
    held: dict[str, int] = {}
    for holding in scenario.holdings:
        held[holding.party] = held.get(holding.party, 0) + holding.quantity
    share = {party: scenario.parties[party].policy.sale_share_max for party in held}
    caps = np.array([math.floor(share[party] * n + _EPS) for party, n in held.items()], dtype=np.int64)
    row_of = {party: i for i, party in enumerate(held)}
    return _Room(
        holding=surplus.by_period["surplus"].to_numpy().reshape(len(scenario.holdings), periods).copy(),
        party=np.repeat(caps[:, None], periods, axis=1),
        rows={holding.id: (i, row_of[holding.party]) for i, holding in enumerate(scenario.holdings)},
    )


def _take(lot: Lot, left: I64, window: Mask) -> I64:
    """Return (periods,) what a lot for all surplus takes of what is left, in whole blocks."""
    if lot.whole or lot.kind is LotKind.SALE:
        left = np.full_like(left, left[window].min() if window.any() else 0)
    blocks: I64 = np.where(window, left // lot.block * lot.block, 0)
    return blocks


def _commit(scenario: Scenario, capacity: I64, room: _Room) -> None:
    """Take the lots with a number off the room, in place; raise for those that do not fit."""
    numeric = [
        i for i, lot in enumerate(scenario.lots) if lot.quantity is not None and lot.holding is not None
    ]
    before = room.copy()
    for i in numeric:
        room.take(scenario.lots[i], capacity[i])
    if room.holding.min(initial=0) < 0 or room.party.min(initial=0) < 0:
        raise InputError(_too_much(scenario, numeric, capacity, before))


def _too_much(scenario: Scenario, numeric: Sequence[int], capacity: I64, room: _Room) -> list[Fault]:
    """Return one fault for each lot that does not fit; lots that fit are served first, in file order."""
    faults: list[Fault] = []
    for i in numeric:
        lot = scenario.lots[i]
        left = room.of(lot)
        short = capacity[i] - left
        if (short <= 0).all():
            room.take(lot, capacity[i])
            continue
        at = int(short.argmax())
        h, p = room.rows[str(lot.holding)]
        share = scenario.parties[lot.seller].policy.sale_share_max
        why = (
            f"by its policy {lot.seller} offers at most {share:.0%} of its devices"
            if room.party[p, at] < room.holding[h, at]
            else f"own need, reserve and the lots before it take the rest of holding {lot.holding}"
        )
        fits = int(left[capacity[i] > 0].min()) // lot.block * lot.block
        faults.append(
            Fault(
                f"lots: {lot.id}: quantity",
                f"{lot.quantity} devices are offered where {int(left[at])} are left ({period_label(scenario, at)}): {why}",
                f"Write {fits}, or surplus."
                if fits
                else "Write surplus, choose other hours, or delete the lot.",
            )
        )
    if len(faults) > _SHOWN:
        more = Fault(
            "lots: quantity",
            f"{len(faults) - _SHOWN:,} more lots offer more than is left",
            "Mend them alike.",
        )
        faults = [*faults[:_SHOWN], more]
    return faults


def period_label(scenario: Scenario, period: int) -> str:
    """Return a period as people say it: the first day of its step, and the hour."""
    step, hour = divmod(period, 24)
    return f"from {scenario.horizon.step_starts[step]}, {hour}-{hour + 1} h UTC"


def demand(scenario: Scenario, surplus: Surplus) -> F64:
    """Return the work that each bid wants in each period.

    Parameters
    ----------
    surplus : of the same scenario

    Returns
    -------
    (bids, periods) Mtok/h: the bid's share of the mean demand of the hour, or what the buyer's own holdings leave unserved
    of it; 0 outside the bid's window
    """
    periods = scenario.horizon.periods
    row_of = {service: i for i, service in enumerate(scenario.services)}
    wanted = surplus.unserved["demand_mtok_per_h"].to_numpy().reshape(len(row_of), periods)
    unserved = surplus.unserved["mtok_per_h"].to_numpy().reshape(len(row_of), periods)
    work = np.zeros((len(scenario.bids), periods))
    for i, bid in enumerate(scenario.bids):
        s = row_of[bid.service]
        window = scenario.horizon.mask(bid.start, bid.end)
        work[i] = np.where(window, unserved[s] if bid.share is None else bid.share * wanted[s], 0.0)
    return work
