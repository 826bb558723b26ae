"""Which orders that want all or nothing are in? The optimum leaves few in between; each goes to the nearer end."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.spot.period import Period
from entrepot.market.spot.place import FULL, Targets
from entrepot.market.spot.prices import Decided, Optimum, divisible

__all__ = ["dive", "targets_of"]

F64: TypeAlias = NDArray[np.float64]

_ROUNDS = 4


def dive(p: Period, o: Optimum, decided: Decided | None = None) -> Optimum:
    """Decide orders that want more than they get, or nothing, and let the others settle around them."""
    if decided is None:
        decided = Decided(np.zeros(len(p.lot), dtype=np.int64), np.zeros(len(p.bid), dtype=np.int64))
    settled = o
    for _ in range(_ROUNDS):
        share = np.where(settled.served > 1 - FULL, 1.0, settled.served)
        torn = (share > FULL) & (share < p.min_share - FULL) & (decided.bid == 0)
        taken = settled.supplied * p.quantity
        odd = (taken > 1e-6) & (taken < p.least * (1 - FULL)) & (p.least > p.block) & (decided.lot == 0)
        if not (torn.any() or odd.any()):
            break
        decided.bid[torn] = np.where(share[torn] >= p.min_share[torn] / 2, 1, -1)
        decided.lot[odd] = np.where(taken[odd] >= p.least[odd] / 2, 1, -1)
        settled = divisible(p, (settled.price, settled.work), decided)
    return settled


def targets_of(p: Period, o: Optimum) -> Targets:
    """Return what the optimum of catalogue yields wants; a bid that is served less than it accepts waits."""
    share = np.where(o.served > 1 - FULL, 1.0, o.served)
    share = np.where(share < np.maximum(p.min_share - FULL, FULL), 0.0, share)
    bid = np.flatnonzero(share)
    return Targets(
        bid=bid,
        node=p.kind[bid],
        work=p.demand[bid] * share[bid],
        flow_node=o.flow_kind,
        flow_pool=o.flow_pool,
        flow_work=o.flow * p.rate[o.flow_kind, o.flow_pool],
        flow_devices=o.flow,
        lots=np.flatnonzero((o.supplied > 1e-9) | (p.least <= p.block)),
    )
