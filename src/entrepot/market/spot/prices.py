"""Which prices clear one period, were devices divisible? A dual in as many prices as there are pools; only orders near them matter.

    D(pi) = sum_lots q (pi - ask)+  +  sum_bids d (limit - min_k pi_k / R_k)+

is convex in the prices, and any prices bound what can be reached. Bids of one kind share the cheapest pool, so the linear
program behind it is one of kinds: flows between kinds and pools, steps of supply and demand. Solved coarsely first, then
exactly in a box around the guess; a box that proves too tight is widened. Cost grows with kinds, not with orders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.linear import Columns, minimise
from entrepot.market.spot.near import Side, Steps, merged, quantiles
from entrepot.market.spot.period import Period

__all__ = ["Decided", "Optimum", "cost_of_work", "divisible", "least_costs_of"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_SMALL = 4_000  # entries up to which nothing is merged
_ROOM = 1e-9


@dataclass(frozen=True, slots=True)
class Optimum:
    """An optimum of the divisible market.

    Attributes
    ----------
    price : (pools,) micro per device-hour
    work : (kinds,) micro per Mtok: the cheapest lawful cost of a kind's work (of its class, before private yields)
    supplied : (lots,) share of each lot that is taken
    served : (bids,) share of each bid that is served
    flow_kind, flow_pool, flow : devices of a pool that a kind uses
    """

    price: F64
    work: F64
    supplied: F64
    served: F64
    flow_kind: I64
    flow_pool: I64
    flow: F64


def cost_of_work(rate: F64, price: F64) -> F64:
    """Return (kinds,) the least price of a Mtok; ``inf`` where no pool may serve the kind."""
    with np.errstate(divide="ignore", invalid="ignore"):
        cost: F64 = np.where(rate > 0, price / rate, np.inf).min(axis=1, initial=np.inf)
    return cost


def least_costs_of(p: Period, price: F64) -> F64:
    """Return (bids,) the least price of a Mtok, private yields included."""
    if p.factor is None:
        return cost_of_work(p.rate, price)[p.kind]
    cost = np.full(len(p.bid), np.inf)
    for j in range(p.factor.shape[1]):
        of_chip = cost_of_work(p.rate * (p.chip == j), price)
        np.minimum(cost, of_chip[p.kind] / p.factor[:, j], out=cost)
    return cost


@dataclass(frozen=True, slots=True)
class Decided:
    """What is decided already: (lots,), (bids,) 1 in, -1 out, 0 open. A lot that is in gives at least its least quantity."""

    lot: I64
    bid: I64


def _sides(p: Period, decided: Decided | None) -> tuple[Side, Side]:
    """Return supply by pool and demand by kind; what is decided in has a price that nothing can miss."""
    if decided is None:
        supply = Side(1, p.pool, p.ask, p.quantity.astype(np.float64), p.lot_rank, p.pools)
        return supply, Side(-1, p.kind, p.limit, p.demand, p.bid_rank, len(p.rate))
    inside = decided.lot > 0
    open_part = np.where(decided.lot < 0, 0, p.quantity - np.where(inside, p.least, 0)).astype(np.float64)
    forced = np.bincount(p.pool[inside], p.least[inside], minlength=p.pools)
    supply = Side(
        1,
        np.concatenate([p.pool, np.arange(p.pools)]),
        np.concatenate([p.ask, np.zeros(p.pools)]),
        np.concatenate([open_part, forced]),
        np.concatenate([p.lot_rank, np.zeros(p.pools, dtype=np.int64)]),
        p.pools,
    )
    most = 3.0 * float(p.limit.max(initial=1.0))
    demand = Side(
        -1,
        p.kind,
        np.where(decided.bid > 0, most, p.limit),
        np.where(decided.bid < 0, 0.0, p.demand),
        p.bid_rank,
        len(p.rate),
    )
    return supply, demand


def divisible(p: Period, start: tuple[F64, F64] | None = None, decided: Decided | None = None) -> Optimum:
    """Return an optimum of the divisible market of catalogue yields, with its prices.

    Parameters
    ----------
    start : prices of pools and of kinds' work from an earlier clearing; they only have to be near
    decided : orders that are in or out whatever they are worth

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    supply, demand = _sides(p, decided)
    everything = tuple((np.full(s.cells, -np.inf), np.full(s.cells, np.inf)) for s in (supply, demand))
    edges = p.rate > 0
    if len(p.ask) + len(p.limit) <= _SMALL:
        boxes = everything
    elif start is not None:
        boxes = _box(start[0], 0.01), _box(start[1], 0.01)
        edges = _near_edges(p, *start, 0.06)
        guess = _solve(p, merged(supply, *boxes[0], 12), merged(demand, *boxes[1], 12), edges)
        boxes = _box(guess.price, 0.004), _box(guess.work, 0.004)
    else:
        guess = _solve(p, quantiles(supply, 8), quantiles(demand, 8), edges)
        for width, bins in ((0.15, 12), (0.03, 12)):
            boxes = _box(guess.price, width), _box(guess.work, width)
            edges = _near_edges(p, guess.price, guess.work, 2 * width)
            guess = _solve(p, merged(supply, *boxes[0], bins), merged(demand, *boxes[1], bins), edges)
        edges = _near_edges(p, guess.price, guess.work, 0.06)
        boxes = _box(guess.price, 0.004), _box(guess.work, 0.004)
    tries = 0
    while True:
        steps = merged(supply, *boxes[0]), merged(demand, *boxes[1])
        found = _solve(p, *steps, edges)
        tries += 1
        missing = ~edges & (found.price < found.work[:, None] * p.rate * (1 - _ROOM))
        if missing.any():  # a pool that was left out would have been cheaper
            edges |= missing
            continue
        if not (
            _widen(1, boxes[0], steps[0], found.supplied, tries)
            | _widen(-1, boxes[1], steps[1], found.served, tries)
        ):
            return Optimum(
                found.price,
                found.work,
                steps[0].shares(found.supplied)[: len(p.ask)],
                steps[1].shares(found.served),
                found.flow_kind,
                found.flow_pool,
                found.flow,
            )


def _near_edges(p: Period, price: F64, work: F64, width: float) -> Mask:
    """Return (kinds, pools) the edges that can matter near a guess: those that cost about the least."""
    known = np.isfinite(work) & (work > 0)
    near: Mask = (p.rate > 0) & ((price <= work[:, None] * p.rate * (1 + width)) | ~known[:, None])
    return near


def _box(price: F64, width: float) -> tuple[F64, F64]:
    """Return a box around a guess; a good whose price is not known has no bounds."""
    known = np.isfinite(price) & (price > 0)
    return np.where(known, price * (1 - width), -np.inf), np.where(known, price * (1 + width), np.inf)


def _widen(sign: int, box: tuple[F64, F64], steps: Steps, taken: F64, tries: int) -> bool:
    """Widen the box in place where the optimum contradicts it. Did it?"""
    missing, wanted = steps.wrong(taken)
    low, high = box
    lower, higher = (missing, wanted) if sign > 0 else (wanted, missing)
    if not (len(lower) or len(higher)):
        return False
    reach = np.maximum(high - low, 1.0)
    low[lower] -= np.inf if tries > 8 else 1.5 * reach[lower]
    high[higher] += np.inf if tries > 8 else 1.5 * reach[higher]
    return True


def _solve(p: Period, supply: Steps, demand: Steps, edges: Mask) -> Optimum:
    """Solve the program of merged steps; ``supplied`` and ``served`` count quantities of steps here."""
    kinds, pools = p.rate.shape
    c = Columns()
    y = c.add(supply.price, supply.quantity)
    c.enter(supply.cell, y, -1.0)
    z = c.add(-demand.price, demand.quantity)
    c.enter(pools + demand.cell, z, 1.0)
    kind, pool = np.nonzero(edges)
    x = c.add(np.zeros(len(kind)), np.full(len(kind), np.inf))
    c.enter(pool, x, 1.0)
    c.enter(pools + kind, x, -p.rate[kind, pool])
    value, dual = minimise(c, np.zeros(pools + kinds))
    price = np.maximum(0.0, -dual)
    flow = value[x]
    used = flow > _ROOM
    return Optimum(price[:pools], price[pools:], value[y], value[z], kind[used], pool[used], flow[used])
