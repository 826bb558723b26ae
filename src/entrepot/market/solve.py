"""Which allocation is worth most, were devices divisible? One linear program over pools, groups and periods, by HiGHS.

With hours h[t], lease pools k, sale pools q, groups g, supply steps i and tiers j (see `pool`)::

    maximise   sum_t h[t] (sum_j limit_j z_jt - sum_i ask_i y_it)            leases, period by period
             - sum_whole ask_i y_i sum_{t in window} h[t]                     leases for the whole window
             + sum_gq residual_q n_gq - sum_sale ask_i y_i                    devices bought
    subject to sum_{j in g} z_jt <= sum_k R_gk x_gkt + sum_{q delivered} R_gq n_gq     (work,    dual h[t] lambda_gt)
               sum_g x_gkt <= sum_{i in k} y_it                                        (balance, dual h[t] pi_kt)
               sum_g n_gq  <= sum_{i in q} y_i                                         (sale,    dual P_q)
               0 <= z <= demand,  0 <= y <= capacity,  x, n >= 0

A device bought is used whenever it helps, so its use in a period needs no variable of its own. Periods that no
whole-window lot and no sale joins are separate programs. An order far from the marginal price cannot change its decision:
large programs are solved with such orders fixed, which is exact, because the duals found are checked against every fixed
order and the program is widened until none disagrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import highspy
import numpy as np
from numpy.typing import NDArray

from entrepot.errors import Unproven
from entrepot.market.pool import FLEXIBLE, SALE, WHOLE, Pooled
from entrepot.market.sift import Curve, Steps, coarse, curve, exact

__all__ = ["Solved", "solve"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

_LARGE = 6_000  # steps above which orders far from the margin are merged first


@dataclass(frozen=True, slots=True)
class Solved:
    """An optimum of the divisible market.

    Attributes
    ----------
    flow : (flows,) devices used, of lease pool ``flow_pool`` by group ``flow_group`` in ``flow_period``
    bought : (groups, pools) devices bought; 0 for lease pools
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
    supply: F64
    served: F64
    lease_price: F64
    sale_price: F64
    work_price: F64
    objective_micro: float


def solve(pooled: Pooled, hours: F64) -> Solved:
    """Return an allocation of greatest welfare of the divisible market, with its duals.

    Parameters
    ----------
    pooled : the market on kinds
    hours : (periods,) real hours of each period, > 0

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    joined = _joined_periods(pooled, len(hours))
    parts = [_solve_part(pooled, hours, periods) for periods in joined]
    return parts[0] if len(parts) == 1 else _join(parts)


def _joined_periods(pooled: Pooled, periods: int) -> list[I64]:
    """Return sets of periods that some constant lot joins; each can be solved alone."""
    constant = (pooled.step_mode != FLEXIBLE) & (pooled.step_capacity > 0).any(axis=1)
    label = np.arange(periods)
    for window in np.unique(pooled.step_capacity[constant] > 0, axis=0):
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
    cell_price: F64
    work_price: F64
    sale_price: F64


def _number(mask: Mask, first: int) -> I64:
    """Count the true places from ``first`` on; -1 elsewhere."""
    number = np.full(mask.shape, -1, dtype=np.int64)
    number[mask] = first + np.arange(int(mask.sum()))
    return number


def _frame(pooled: Pooled, hours: F64, here: Mask) -> _Frame:
    lease = ~pooled.is_sale
    live_cell = (pooled.offered > 0) & lease[:, None] & here
    live_sale = pooled.is_sale & (pooled.offered[:, here] > 0).any(axis=1)
    wants = (pooled.group_demand > 0) & here
    edge = pooled.group_rate > 0
    reach = edge @ (live_cell | (live_sale[:, None] & (pooled.offered > 0) & here)).astype(np.float64)
    wants &= reach > 0  # a group that nothing may serve in a period has no row there
    cells, works = int(live_cell.sum()), int(wants.sum())
    cell, work = _number(live_cell, 0), _number(wants, cells)

    edge_group, edge_pool = np.nonzero(edge & lease)
    of_edge, period = np.nonzero(wants[edge_group] & live_cell[edge_pool])
    buy_group, buy_pool = np.nonzero(edge & live_sale)
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
        rows=cells + works + int(live_sale.sum()),
        cells=cells,
        works=works,
        sale_row=_number(live_sale, cells + works),
        flow_group=edge_group[of_edge].astype(np.int64),
        flow_pool=edge_pool[of_edge].astype(np.int64),
        flow_period=period.astype(np.int64),
        buy_group=buy_group.astype(np.int64),
        buy_pool=buy_pool.astype(np.int64),
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


def _solve_part(pooled: Pooled, hours: F64, periods: I64) -> Solved:
    """Solve the program of some periods; a large one first coarsely, then exactly on the orders near the guess."""
    here = np.zeros(len(hours), dtype=np.bool_)
    here[periods] = True
    frame = _frame(pooled, hours, here)
    supply, demand = frame.supply, frame.demand
    everything = supply.whole(), demand.whole()
    if supply.entries + demand.entries <= _LARGE:
        steps = exact(everything[0]), exact(everything[1])
        return _unfold(frame, _optimum(frame, *steps), *steps)
    guess = _optimum(frame, coarse(everything[0], 8), coarse(everything[1], 8))
    boxes = supply.box(guess.cell_price, 0.15), demand.box(guess.work_price, 0.15)
    guess = _optimum(frame, coarse(boxes[0], 16), coarse(boxes[1], 16))
    boxes = supply.box(guess.cell_price, 0.02), demand.box(guess.work_price, 0.02)
    while True:
        steps = exact(boxes[0]), exact(boxes[1])
        found = _optimum(frame, *steps)
        wrong = boxes[0].widen(steps[0], found.supplied), boxes[1].widen(steps[1], found.served)
        if not any(wrong):
            return _unfold(frame, found, *steps)


@dataclass(slots=True)
class _Columns:
    """Columns of the program: cost and upper bound (the lower is 0), and entries by (row, column)."""

    cost: list[F64]
    upper: list[F64]
    row: list[I64]
    column: list[I64]
    value: list[F64]
    count: int = 0

    def add(self, cost: F64, upper: F64) -> I64:
        """Add columns; return their numbers."""
        numbers = np.arange(self.count, self.count + len(cost), dtype=np.int64)
        self.cost.append(cost)
        self.upper.append(upper)
        self.count += len(cost)
        return numbers

    def enter(self, row: I64, column: I64, value: F64 | float) -> None:
        """Add entries where ``row`` is one."""
        there = row >= 0
        self.row.append(row[there])
        self.column.append(column[there])
        self.value.append(np.broadcast_to(np.asarray(value, dtype=np.float64), row.shape)[there])


def _optimum(frame: _Frame, supply: Steps, demand: Steps) -> _Found:
    """Build and solve the program with merged flexible steps.

    Raises
    ------
    Unproven : no optimum was found
    """
    p, hours = frame.pooled, frame.hours
    # rows are numbered along (pool, period) and (group, period), so a masked read is in row order
    hours_of_cell = np.broadcast_to(hours, frame.cell.shape)[frame.cell >= 0]
    hours_of_work = np.broadcast_to(hours, frame.work.shape)[frame.work >= 0]

    c = _Columns([], [], [], [], [])
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

    cost = np.concatenate(c.cost)
    scale = float(np.abs(cost).max(initial=0.0)) or 1.0
    value, dual = _highs(c, cost / scale * 1e3, frame.rows)
    price = np.maximum(0.0, -dual) * scale / 1e3
    return _Found(
        supplied=value[y],
        served=value[z],
        flow=np.maximum(0.0, value[x]),
        whole=value[w],
        sale=value[s],
        bought=np.maximum(0.0, value[n]),
        cell_price=price[: frame.cells] / hours_of_cell,
        work_price=price[frame.cells : frame.cells + frame.works] / hours_of_work,
        sale_price=price[frame.cells + frame.works :],
    )


def _highs(c: _Columns, cost: F64, rows: int) -> tuple[F64, F64]:
    """Minimise ``cost @ x`` subject to entries @ x <= 0 and bounds; return (columns,) x and (rows,) duals <= 0."""
    if not c.count or not rows:
        return np.zeros(c.count), np.zeros(rows)
    column = np.concatenate(c.column)
    order = np.argsort(column, kind="stable")
    start = np.zeros(c.count + 1, dtype=np.int32)
    np.cumsum(np.bincount(column, minlength=c.count), out=start[1:])
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = c.count, rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, np.zeros(c.count), np.concatenate(c.upper)
    lp.row_lower_, lp.row_upper_ = np.full(rows, -np.inf), np.zeros(rows)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = start
    lp.a_matrix_.index_ = np.concatenate(c.row)[order].astype(np.int32)
    lp.a_matrix_.value_ = np.concatenate(c.value)[order]
    # The plain class: `highspy.Highs` prints a banner to stdout as it switches its callbacks on.
    highs = highspy._Highs()  # type: ignore[attr-defined]
    for option, setting in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 0),
        ("solver", "simplex"),
    ):
        highs.setOptionValue(option, setting)
    highs.passModel(lp)
    highs.run()
    status = highs.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise Unproven(f"the solver stopped without an optimum: {highs.modelStatusToString(status)}")
    solution = highs.getSolution()
    return np.asarray(solution.col_value), np.asarray(solution.row_dual)


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
        - float(p.step_ask[frame.sale] @ found.sale)
    )
    used = found.flow > 0
    return Solved(
        flow_group=frame.flow_group[used],
        flow_pool=frame.flow_pool[used],
        flow_period=frame.flow_period[used],
        flow=found.flow[used],
        bought=bought,
        supply=supplied,
        served=served,
        lease_price=lease_price,
        sale_price=sale_price,
        work_price=work_price,
        objective_micro=welfare,
    )
