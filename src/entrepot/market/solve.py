"""Which allocation is worth most, were devices divisible? One linear program over pools, groups and periods, by HiGHS.

With hours h[t], lease pools k, sale pools q, groups g, supply steps i and tiers j (see `pool`)::

    maximise   sum_t h[t] (sum_j limit_j z_jt - sum_i ask_i y_it)            leases, period by period
             - sum_whole ask_i y_i sum_{t in window} h[t]                     leases for the whole window
             + sum_gq residual_q n_gq - sum_sale ask_i y_i                    devices bought
    subject to sum_{j in g} z_jt <= sum_k R_gk x_gkt + sum_{q delivered} R_gq n_gq     (work,    dual h[t] lambda_gt)
               sum_g x_gkt <= sum_{i in k} y_it                                        (balance, dual h[t] pi_kt)
               sum_g n_gq  <= sum_{i in q} y_i                                         (sale,    dual P_q)
               sum_t h[t] sum_{j in g} z_jt <= total_g                                 (groups that want a total)
               0 <= z <= demand,  0 <= y <= capacity,  x, n >= 0

A bid for a term has one share w_k of each pool: it takes w_k demand_t / R_k devices of a lease pool in each of its periods, and
max_t w_k demand_t / R_k devices of a sale pool for good; its shares add up to at most one.

A device bought is used whenever it helps, so its use in a period needs no variable of its own. Periods that no
whole-window lot, sale, term or total joins are separate programs. Where there are many flows, those to pools far dearer than
the cheapest at a guess of the prices are left out, and the duals are checked against each of them. An order far from the marginal price cannot change its decision:
large programs are solved with such orders fixed, which is exact, because the duals found are checked against every fixed
order and the program is widened until none disagrees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.linear import Columns, minimise
from entrepot.market.pool import FLEXIBLE, SALE, WHOLE, Pooled
from entrepot.market.sift import Curve, Steps, coarse, curve, exact

__all__ = ["Solved", "solve"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_LARGE = 6_000  # steps above which orders far from the margin are merged first
_FLOWS_MAX = 60_000  # flows above which dear ones are left out first
_NEAR = 1.08  # times the least cost: what is left in
_MISSED = 1e-9  # of a cost: what a flow that was left out may be cheaper by


@dataclass(frozen=True, slots=True)
class Solved:
    """An optimum of the divisible market.

    Attributes
    ----------
    flow : (flows,) devices used, of lease pool ``flow_pool`` by group ``flow_group`` in ``flow_period``
    bought : (groups, pools) devices bought; 0 for lease pools
    term : (terms, pools) share of each pool, of a sale pool too
    supply : (steps, periods) devices supplied; for whole and sale steps the same in each period of the window
    served : (tiers, periods) Mtok per hour
    lease_price : (pools, periods) micro per device-hour; 0 for sale pools
    sale_price : (pools,) micro per device; 0 for lease pools
    work_price : (groups, periods) micro per Mtok: what one more Mtok costs the group at the margin
    objective_micro : welfare
    """

    flow_group: I64
    flow_pool: I64
    flow_period: I64
    flow: F64
    bought: F64
    term: F64
    supply: F64
    served: F64
    lease_price: F64
    sale_price: F64
    work_price: F64
    objective_micro: float


def solve(
    pooled: Pooled, hours: F64, guess: F64 | None = None, left: Callable[[], float] = lambda: math.inf
) -> Solved:
    """Return an allocation of greatest welfare of the divisible market, with its duals.

    Parameters
    ----------
    pooled : the market on kinds
    hours : (periods,) real hours of each period, > 0
    guess : (pools, periods) lease prices that are about right, micro per device-hour
    left : a clock that says how many seconds are left before the solver gives up

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    joined = _joined_periods(pooled, len(hours))
    parts = [_solve_part(pooled, hours, periods, guess, left) for periods in joined]
    return parts[0] if len(parts) == 1 else _join(parts)


def _joined_periods(pooled: Pooled, periods: int) -> list[I64]:
    """Return sets of periods that some constant lot, term or total joins; each can be solved alone."""
    constant = (pooled.step_mode != FLEXIBLE) & (pooled.step_capacity > 0).any(axis=1)
    windows = [pooled.step_capacity[constant] > 0]
    if len(pooled.term_bid):
        windows.append(pooled.term_demand > 0)
    if len(pooled.group_total):
        windows.append(pooled.group_demand[np.isfinite(pooled.group_total)] > 0)
    label = np.arange(periods)
    joins = np.concatenate(windows)
    for window in np.unique(joins[joins.any(axis=1)], axis=0):
        label[np.isin(label, label[window])] = label[window].min()
    return [np.flatnonzero(label == first).astype(np.int64) for first in np.unique(label)]


def _join(parts: list[Solved]) -> Solved:
    """Put programs of disjoint periods together: each is zero where it has no say."""

    def stack(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(part, name) for part in parts])

    def total(name: str) -> F64:
        whole: F64 = np.sum([getattr(part, name) for part in parts], axis=0)
        return whole

    return Solved(
        flow_group=stack("flow_group").astype(np.int64),
        flow_pool=stack("flow_pool").astype(np.int64),
        flow_period=stack("flow_period").astype(np.int64),
        flow=stack("flow").astype(np.float64),
        bought=total("bought"),
        term=total("term"),
        supply=total("supply"),
        served=total("served"),
        lease_price=total("lease_price"),
        sale_price=total("sale_price"),
        work_price=total("work_price"),
        objective_micro=float(sum(part.objective_micro for part in parts)),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stays the same however orders are merged: rows, flows, constant lots, curves.

    Attributes
    ----------
    cell, work : (pools, periods) row of the balance, (groups, periods) row of the work; -1 where there is none
    rows, cells, works : number of rows; of balance rows, which come first; of work rows, which come next
    sale_row : (pools,) row of a sale pool
    flow_group, flow_pool, flow_period : (flows,)
    buy_group, buy_pool : (pairs,) who may buy where
    term, term_pool : (columns,) bids for a term and the pools that may serve them, by number
    totals : numbers of groups that want a total
    whole, sale : numbers of the constant steps
    supply, demand : flexible steps as entries of the cells, and their (step, period) or (tier, period)
    """

    pooled: Pooled
    hours: F64
    cell: I64
    work: I64
    rows: int
    cells: int
    works: int
    sale_row: I64
    flow_group: I64
    flow_pool: I64
    flow_period: I64
    buy_group: I64
    buy_pool: I64
    term: I64
    term_pool: I64
    totals: I64
    whole: I64
    sale: I64
    supply: Curve
    supply_at: tuple[I64, I64]
    demand: Curve
    demand_at: tuple[I64, I64]


@dataclass(frozen=True, slots=True)
class _Found:
    """An optimum of a merged program: per step, flow, constant step and pair; prices per row in micro."""

    supplied: F64
    served: F64
    flow: F64
    whole: F64
    sale: F64
    bought: F64
    term: F64
    cell_price: F64
    work_price: F64
    sale_price: F64


def _number(mask: Mask, first: int) -> I64:
    """Count the true places from ``first`` on; -1 elsewhere."""
    number = np.full(mask.shape, -1, dtype=np.int64)
    number[mask] = first + np.arange(int(mask.sum()))
    return number


def _frame(pooled: Pooled, hours: F64, here: Mask, guess: F64 | None) -> _Frame:
    lease = ~pooled.is_sale
    live_cell = (pooled.offered > 0) & lease[:, None] & here
    live_sale = pooled.is_sale & (pooled.offered[:, here] > 0).any(axis=1)
    wants = (pooled.group_demand > 0) & here
    edge = pooled.group_rate > 0
    owned = live_sale[:, None] & (pooled.offered > 0) & here
    reach = edge @ live_cell.astype(np.float64)
    reach += (edge & pooled.group_buys[:, None]) @ owned.astype(np.float64)
    wants &= reach > 0  # a group that nothing may serve in a period has no row there
    cells, works = int(live_cell.sum()), int(wants.sum())
    cell, work = _number(live_cell, 0), _number(wants, cells)

    edge_group, edge_pool = np.nonzero(edge & lease)
    of_edge, period = np.nonzero(wants[edge_group] & live_cell[edge_pool])
    if guess is not None and len(of_edge) > _FLOWS_MAX:
        dear = guess[edge_pool[of_edge], period] / pooled.group_rate[edge_group[of_edge], edge_pool[of_edge]]
        least = np.full(wants.shape, np.inf)
        np.minimum.at(least, (edge_group[of_edge], period), dear)
        near = dear <= _NEAR * least[edge_group[of_edge], period] + 1.0
        of_edge, period = of_edge[near], period[near]
    buy_group, buy_pool = np.nonzero(edge & live_sale & pooled.group_buys[:, None])
    term, term_pool = _term_columns(pooled, here, live_cell, live_sale)
    totals = np.zeros(0, dtype=np.int64)
    if len(pooled.group_total):
        totals = np.flatnonzero(np.isfinite(pooled.group_total) & (wants & here).any(axis=1))
    constant = (pooled.step_capacity[:, here] > 0).any(axis=1)
    s, t = np.nonzero((pooled.step_capacity > 0) & (pooled.step_mode == FLEXIBLE)[:, None] & here)
    j, u = np.nonzero((pooled.tier_demand > 0) & here)
    keep = work[pooled.tier_group[j], u] >= 0
    j, u = j[keep], u[keep]
    return _Frame(
        pooled=pooled,
        hours=hours,
        cell=cell,
        work=work,
        rows=cells + works + int(live_sale.sum()) + len(totals) + len(np.unique(term)),
        cells=cells,
        works=works,
        sale_row=_number(live_sale, cells + works),
        flow_group=edge_group[of_edge].astype(np.int64),
        flow_pool=edge_pool[of_edge].astype(np.int64),
        flow_period=period.astype(np.int64),
        buy_group=buy_group.astype(np.int64),
        buy_pool=buy_pool.astype(np.int64),
        term=term,
        term_pool=term_pool,
        totals=totals.astype(np.int64),
        whole=np.flatnonzero(constant & (pooled.step_mode == WHOLE)).astype(np.int64),
        sale=np.flatnonzero(constant & (pooled.step_mode == SALE)).astype(np.int64),
        supply=curve(
            "supply",
            cell[pooled.step_pool[s], t],
            pooled.step_ask[s].astype(np.float64),
            pooled.step_capacity[s, t].astype(np.float64),
            cells,
        ),
        supply_at=(s.astype(np.int64), t.astype(np.int64)),
        demand=curve(
            "demand",
            work[pooled.tier_group[j], u] - cells,
            pooled.tier_limit[j].astype(np.float64),
            pooled.tier_demand[j, u],
            works,
        ),
        demand_at=(j.astype(np.int64), u.astype(np.int64)),
    )


def _term_columns(pooled: Pooled, here: Mask, live_cell: Mask, live_sale: Mask) -> tuple[I64, I64]:
    """Return (columns,) bids for a term whose window lies here, and pools that may serve them through it."""
    window = pooled.term_demand > 0
    none = np.zeros(0, dtype=np.int64)
    if not len(window):
        return none, none
    mine: Mask = np.asarray((window & here).any(axis=1))
    there = live_cell | (live_sale[:, None] & (pooled.offered > 0))
    missed = window.astype(np.float64) @ (~there).T.astype(np.float64)
    term, pool = np.nonzero((pooled.term_rate > 0) & (missed == 0) & mine[:, None])
    return term.astype(np.int64), pool.astype(np.int64)


def _solve_part(
    pooled: Pooled, hours: F64, periods: I64, guess: F64 | None, left: Callable[[], float]
) -> Solved:
    """Solve the program of some periods; one of many flows on the cheap ones first."""
    here = np.zeros(len(hours), dtype=np.bool_)
    here[periods] = True
    while True:
        frame = _frame(pooled, hours, here, guess)
        solved = _solve_frame(frame, left)
        missed = None if guess is None else _missed(frame, solved, here)
        if guess is None or missed is None:
            return solved
        guess = missed


def _missed(frame: _Frame, solved: Solved, here: Mask) -> F64 | None:
    """Return prices to guess from next, where a flow that was left out is cheaper than what the group has; else None."""
    p = frame.pooled
    live = (p.offered > 0) & ~p.is_sale[:, None] & here
    price = np.where(live, solved.lease_price, np.inf)
    worst = 0.0
    for t in np.flatnonzero(here):
        with np.errstate(divide="ignore", invalid="ignore"):
            least = np.where(p.group_rate > 0, price[:, t] / p.group_rate, np.inf).min(axis=1, initial=np.inf)
        wants = frame.work[:, t] >= 0
        paid = np.where(wants, solved.work_price[:, t], 0.0)
        worst = max(
            worst,
            float(
                np.where(np.isfinite(least), (paid - least) / np.maximum(least, 1.0), 0.0).max(initial=0.0)
            ),
        )
    return solved.lease_price if worst > _MISSED else None


def _solve_frame(frame: _Frame, left: Callable[[], float]) -> Solved:
    """Solve a program; a large one first coarsely, then exactly on the orders near the guess."""
    supply, demand = frame.supply, frame.demand
    everything = supply.whole(), demand.whole()
    if supply.entries + demand.entries <= _LARGE:
        steps = exact(everything[0]), exact(everything[1])
        return _unfold(frame, _optimum(frame, *steps, left()), *steps)
    guess = _optimum(frame, coarse(everything[0], 8), coarse(everything[1], 8), left())
    boxes = supply.box(guess.cell_price, 0.15), demand.box(guess.work_price, 0.15)
    guess = _optimum(frame, coarse(boxes[0], 16), coarse(boxes[1], 16), left())
    boxes = supply.box(guess.cell_price, 0.02), demand.box(guess.work_price, 0.02)
    while True:
        steps = exact(boxes[0]), exact(boxes[1])
        found = _optimum(frame, *steps, left())
        wrong = boxes[0].widen(steps[0], found.supplied), boxes[1].widen(steps[1], found.served)
        if not any(wrong):
            return _unfold(frame, found, *steps)


def _optimum(frame: _Frame, supply: Steps, demand: Steps, seconds: float) -> _Found:
    """Build and solve the program with merged flexible steps.

    Raises
    ------
    Unproven : no optimum was found
    """
    p, hours = frame.pooled, frame.hours
    # rows are numbered along (pool, period) and (group, period), so a masked read is in row order
    hours_of_cell = np.broadcast_to(hours, frame.cell.shape)[frame.cell >= 0]
    hours_of_work = np.broadcast_to(hours, frame.work.shape)[frame.work >= 0]

    c = Columns()
    y = c.add(supply.price * hours_of_cell[supply.cell], supply.quantity)
    c.enter(supply.cell, y, -1.0)
    z = c.add(-demand.price * hours_of_work[demand.cell], demand.quantity)
    c.enter(demand.cell + frame.cells, z, 1.0)
    x = c.add(np.zeros(len(frame.flow_group)), np.full(len(frame.flow_group), np.inf))
    c.enter(frame.cell[frame.flow_pool, frame.flow_period], x, 1.0)
    rate = p.group_rate[frame.flow_group, frame.flow_pool]
    c.enter(frame.work[frame.flow_group, frame.flow_period], x, -rate)
    window = p.step_capacity[frame.whole] > 0
    w = c.add(
        p.step_ask[frame.whole] * (window @ hours),
        p.step_capacity[frame.whole].max(axis=1, initial=0).astype(np.float64),
    )
    i, t = np.nonzero(window)
    c.enter(frame.cell[p.step_pool[frame.whole][i], t], w[i], -1.0)
    s = c.add(
        p.step_ask[frame.sale].astype(np.float64),
        p.step_capacity[frame.sale].max(axis=1, initial=0).astype(np.float64),
    )
    c.enter(frame.sale_row[p.step_pool[frame.sale]], s, -1.0)
    n = c.add(-p.residual[frame.buy_pool].astype(np.float64), np.full(len(frame.buy_group), np.inf))
    c.enter(frame.sale_row[frame.buy_pool], n, 1.0)
    i, t = np.nonzero(p.offered[frame.buy_pool] > 0)
    c.enter(frame.work[frame.buy_group[i], t], n[i], -p.group_rate[frame.buy_group[i], frame.buy_pool[i]])

    right = np.zeros(frame.rows)
    first = frame.cells + frame.works + int((frame.sale_row >= 0).sum())
    if len(frame.totals):
        of_total = np.full(len(p.group_total), -1, dtype=np.int64)
        of_total[frame.totals] = first + np.arange(len(frame.totals))
        group_of_work = np.nonzero(frame.work >= 0)[0]
        c.enter(of_total[group_of_work[demand.cell]], z, hours_of_work[demand.cell])
        right[first : first + len(frame.totals)] = p.group_total[frame.totals]
    w_term = _enter_terms(frame, c, first + len(frame.totals))
    right[first + len(frame.totals) :] = 1.0
    value, dual = minimise(c, right, seconds)
    price = np.maximum(0.0, -dual)
    return _Found(
        supplied=value[y],
        served=value[z],
        flow=np.maximum(0.0, value[x]),
        whole=value[w],
        sale=value[s],
        bought=np.maximum(0.0, value[n]),
        term=np.clip(value[w_term], 0.0, 1.0),
        cell_price=price[: frame.cells] / hours_of_cell,
        work_price=price[frame.cells : frame.cells + frame.works] / hours_of_work,
        sale_price=price[frame.cells + frame.works : first],
    )


def _enter_terms(frame: _Frame, c: Columns, first_row: int) -> I64:
    """Add the columns of bids for a term: the share of a pool; return their numbers."""
    p, term, pool = frame.pooled, frame.term, frame.term_pool
    if not len(term):
        return c.add(np.zeros(0), np.zeros(0))
    rate = p.term_rate[term, pool]
    for_good = p.is_sale[pool]
    devices = _term_devices(frame)
    w = c.add(-p.term_worth[term] - np.where(for_good, p.residual[pool] * devices, 0.0), np.ones(len(term)))
    rented = np.flatnonzero(~for_good)
    j, t = np.nonzero(p.term_demand[term[rented]] > 0)
    j = rented[j]
    c.enter(frame.cell[pool[j], t], w[j], p.term_demand[term[j], t] / rate[j])
    bought = np.flatnonzero(for_good)
    c.enter(frame.sale_row[pool[bought]], w[bought], devices[bought])
    c.enter(first_row + np.unique(term, return_inverse=True)[1].ravel().astype(np.int64), w, 1.0)
    return w


def _term_devices(frame: _Frame) -> F64:
    """Return (columns,) devices that serve all the work of a bid for a term in its busiest period."""
    p, term = frame.pooled, frame.term
    if not len(term):
        return np.zeros(0)
    devices: F64 = p.term_demand[term].max(axis=1) / p.term_rate[term, frame.term_pool]
    return devices


def _unfold(frame: _Frame, found: _Found, supply: Steps, demand: Steps) -> Solved:
    """Write an optimum on merged steps as one on the pooled market."""
    p, hours = frame.pooled, frame.hours
    supplied, served = np.zeros(p.step_capacity.shape), np.zeros(p.tier_demand.shape)
    supplied[frame.supply_at] = supply.entries(frame.supply, found.supplied)
    served[frame.demand_at] = demand.entries(frame.demand, found.served)
    for steps, taken in ((frame.whole, found.whole), (frame.sale, found.sale)):
        supplied[steps] = np.where(p.step_capacity[steps] > 0, taken[:, None], 0.0)
    bought = np.zeros(p.group_rate.shape)
    bought[frame.buy_group, frame.buy_pool] = found.bought
    term = np.zeros((len(p.term_bid), len(p.is_sale)))
    term[frame.term, frame.term_pool] = found.term
    devices = found.term * np.where(p.is_sale[frame.term_pool], _term_devices(frame), 0.0)
    lease_price, work_price = np.zeros(frame.cell.shape), np.zeros(frame.work.shape)
    lease_price[frame.cell >= 0] = found.cell_price
    work_price[frame.work >= 0] = found.work_price
    sale_price = np.zeros(len(p.is_sale))
    sale_price[frame.sale_row >= 0] = found.sale_price
    rented = (p.step_mode != SALE)[:, None] * p.step_ask[:, None] * supplied * hours
    welfare = (
        float((p.tier_limit[:, None] * served * hours).sum())
        - float(rented.sum())
        + float((p.residual * bought).sum())
        + float(p.term_worth[frame.term] @ found.term)
        + float(p.residual[frame.term_pool] @ devices)
        - float(p.step_ask[frame.sale] @ found.sale)
    )
    used = found.flow > 0
    return Solved(
        flow_group=frame.flow_group[used],
        flow_pool=frame.flow_pool[used],
        flow_period=frame.flow_period[used],
        flow=found.flow[used],
        bought=bought,
        term=term,
        supply=supplied,
        served=served,
        lease_price=lease_price,
        sale_price=sale_price,
        work_price=work_price,
        objective_micro=welfare,
    )
