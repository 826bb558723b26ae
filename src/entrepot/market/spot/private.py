"""Which prices clear one period in which every bid has its own yields? Column generation on responses of many bids at once.

Bids with yields of their own cannot be merged by kind. But a bid sees of the market no more than the cheapest pool of each
chip, for its class: a node. At given prices all bids of a group answer in one pass over columns, and their answers add up
to one column of a small program:

    maximise   sum_gi value_gi w_gi - sum_steps ask y
    subject to sum_i w_gi <= 1                                     each group mixes its answers
               sum_i work_gin w_gi <= sum_k R_nk x_nk              node: work of the kind, dual m_n
               sum_n x_nk <= sum_steps y                           pool: dual pi_k

Its duals are the next prices, kept in a box around the best ones found; the dual bound of all bids at each prices tells how
far one is. The mix is undone by giving each bid one of the answers that its group mixes, in the mix's proportions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import highspy
import numpy as np
from numpy.typing import NDArray

from entrepot.market.linear import solver
from entrepot.market.spot.near import Side, merged
from entrepot.market.spot.period import Period
from entrepot.market.spot.place import Targets
from entrepot.market.watch import Watch

__all__ = ["Private", "dual_bound", "private"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_ALONE = 2_500  # bids up to which each is a group of its own
_ROUNDS = 40
_BOX = 0.06  # of a price: how far it may move in a round, at first
_ENOUGH = 3e-5  # gap of the program's value to the bound at which prices are good enough
_PATIENCE = 4  # rounds that may better the bound by less than that before it is left alone


@dataclass(frozen=True, slots=True)
class Private:
    """Prices and what they want: (pools,) micro per device-hour; targets of bids at nodes and of nodes at pools."""

    price: F64
    targets: Targets


@dataclass(frozen=True, slots=True)
class _Answer:
    """What bids answer to prices: (bids,) chip, or -1 for nothing; the node's work; the bound on their gain."""

    chip: I64
    work: F64
    gain: float


class _Nodes:
    """Chips of kinds: (nodes,) kind and chip; (edges,) node, pool, rate."""

    def __init__(self, p: Period) -> None:
        self.chips = int(p.chip.max(initial=-1)) + 1 if p.factor is None else p.factor.shape[1]
        kind, pool = np.nonzero(p.rate > 0)
        self.edge_node, self.edge_pool = kind * self.chips + p.chip[pool], pool
        self.edge_rate = p.rate[kind, pool]
        self.count = len(p.rate) * self.chips

    def prices(self, price: F64) -> F64:
        """(kinds, chips) least cost of a Mtok of the kind; ``inf`` where none is."""
        least = np.full(self.count, np.inf)
        np.minimum.at(least, self.edge_node, price[self.edge_pool] / self.edge_rate)
        return least.reshape(-1, self.chips)


def _answers(p: Period, node_price: F64) -> _Answer:
    """Let every bid answer prices of nodes."""
    factor = np.ones((len(p.bid), node_price.shape[1])) if p.factor is None else p.factor
    chip = np.full(len(p.bid), -1, dtype=np.int64)
    cost = np.full(len(p.bid), np.inf)
    for j in range(factor.shape[1]):
        own = node_price[p.kind, j] / factor[:, j]
        less = own < cost
        cost[less], chip[less] = own[less], j
    margin = p.limit - cost
    takes = margin > 0
    chip = np.where(takes, chip, -1)
    own = factor[np.arange(len(chip)), np.maximum(chip, 0)]
    work = np.where(takes, p.demand / own, 0.0)
    return _Answer(chip, work, float((p.demand * np.maximum(0.0, margin)).sum()))


def dual_bound(p: Period, price: F64) -> float:
    """Return what no allocation of the period can exceed at these prices, micro per hour."""
    lots = float((p.quantity * np.maximum(0.0, price[p.pool] - p.ask)).sum())
    return lots + _answers(p, _Nodes(p).prices(price)).gain


class _Program:
    """The small program, grown by columns; kept in the solver so that each round starts from the last one."""

    def __init__(self, p: Period, nodes: _Nodes, groups: int, price: F64) -> None:
        self.p, self.nodes, self.groups = p, nodes, groups
        self.scale = float(p.limit @ p.demand) / 1e4 or 1.0
        rows = nodes.count + p.pools
        self.highs = solver(solver="simplex")
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = 0, rows + groups
        lp.row_lower_ = np.full(rows + groups, -np.inf)
        lp.row_upper_ = np.concatenate([np.zeros(rows), np.ones(groups)])
        lp.a_matrix_.start_ = np.zeros(1, dtype=np.int32)
        self.highs.passModel(lp)
        # devices are counted in the mean quantity of a pool, so that entries stay near one
        self.unit = max(1.0, float(p.quantity.sum()) / max(1, p.pools))
        pools = np.arange(p.pools)
        none = np.zeros(p.pools)
        # the box: devices may be had above its upper edge, and given away below its lower one
        self._add(none, np.full(p.pools, np.inf), [(nodes.count + pools, -np.ones(p.pools))])
        self._add(none, np.full(p.pools, np.inf), [(nodes.count + pools, np.ones(p.pools))])
        side = Side(1, p.pool, p.ask, p.quantity.astype(np.float64), p.lot_rank, p.pools)
        fine = len(p.ask) <= 4_000
        low, high = price * 0.75, price * 1.3
        steps = merged(side, np.where(fine, -np.inf, low), np.where(fine, np.inf, high), 0 if fine else 24)
        self._add(
            steps.price * self.unit / self.scale,
            steps.quantity / self.unit,
            [(nodes.count + steps.cell, -np.ones(len(steps.cell)))],
        )
        edges = len(nodes.edge_node)
        self.first_flow = 2 * p.pools + len(steps.cell)
        self._add(
            np.zeros(edges),
            np.full(edges, np.inf),
            [(nodes.edge_node, -nodes.edge_rate), (nodes.count + nodes.edge_pool, np.ones(edges))],
        )
        self.first_answer = self.first_flow + edges
        self.group_of: list[I64] = []
        self.answer_of: list[I64] = []

    def _add(self, cost: F64, upper: F64, entries: list[tuple[I64, F64]]) -> None:
        count = len(cost)
        row = np.stack([r for r, _ in entries], axis=1).astype(np.int32).ravel()
        value = np.stack([v for _, v in entries], axis=1).ravel()
        start = (np.arange(count) * len(entries)).astype(np.int32)
        self.highs.addCols(count, cost, np.zeros(count), upper, len(row), start, row, value)

    def box(self, price: F64, width: float) -> None:
        """Keep prices near ``price``."""
        high, low = price * (1 + width) + 1.0, price * (1 - width)
        cost = np.concatenate([high, -low]) * self.unit / self.scale
        self.highs.changeColsCost(len(cost), np.arange(len(cost), dtype=np.int32), cost)

    def learn(self, group: I64, answer: _Answer, number: int) -> None:
        """Add what each group answered as a column."""
        p, nodes = self.p, self.nodes
        took = np.flatnonzero(answer.chip >= 0)
        value = np.bincount(group[took], (p.limit * p.demand)[took], minlength=self.groups) / self.scale
        node = p.kind[took] * nodes.chips + answer.chip[took]
        cell, of = np.unique(group[took] * nodes.count + node, return_inverse=True)
        work = np.bincount(of.ravel(), answer.work[took], minlength=len(cell)) / self.unit
        of_group, of_node = cell // nodes.count, cell % nodes.count
        some = np.unique(of_group)
        index = np.full(self.groups, -1, dtype=np.int64)
        index[some] = np.arange(len(some))
        column = np.concatenate([index[of_group], np.arange(len(some))])
        row = np.concatenate([of_node, nodes.count + p.pools + some])
        entry = np.concatenate([work, np.ones(len(some))])
        order = np.lexsort((row, column))
        start = np.searchsorted(column[order], np.arange(len(some))).astype(np.int32)
        count = len(some)
        self.highs.addCols(
            count, -value[some], np.zeros(count), np.full(count, np.inf), len(order), start,
            row[order].astype(np.int32), entry[order],
        )  # fmt: skip
        self.group_of.append(some)
        self.answer_of.append(np.full(count, number))

    def solve(self) -> tuple[F64, F64, float]:
        """Return (pools,) prices, the columns' values, and the value of the mix, box included."""
        self.highs.run()
        solution = self.highs.getSolution()
        dual = -np.asarray(solution.row_dual)[self.nodes.count : self.nodes.count + self.p.pools]
        value = -float(self.highs.getInfo().objective_function_value) * self.scale
        return np.maximum(0.0, dual) * self.scale / self.unit, np.asarray(solution.col_value), value


def private(p: Period, start: F64, watch: Watch) -> Private:
    """Return prices of a period with private yields, close to the best, and what bids want at them.

    Parameters
    ----------
    start : (pools,) prices that are roughly right
    """
    nodes = _Nodes(p)
    answers = [_answers(p, nodes.prices(start * f)) for f in (1.0, 0.93, 1.07)]
    if len(p.bid) <= _ALONE:
        group, groups = np.arange(len(p.bid)), len(p.bid)
    else:
        _, group = np.unique(p.kind * nodes.chips + np.maximum(answers[0].chip, 0), return_inverse=True)
        group = group.ravel()
        groups = int(group.max()) + 1
    program = _Program(p, nodes, groups, start)
    for number, answer in enumerate(answers):
        program.learn(group, answer, number)

    def bound(price: F64, answer: _Answer) -> float:
        return float((p.quantity * np.maximum(0.0, price[p.pool] - p.ask)).sum()) + answer.gain

    best, best_bound, width = start, bound(start, answers[0]), _BOX
    bounds = [best_bound]
    for _ in range(_ROUNDS):
        program.box(best, width)
        price, _values, value = program.solve()
        answer = _answers(p, nodes.prices(price))
        now = bound(price, answer)
        program.learn(group, answer, len(answers))
        answers.append(answer)
        if now < best_bound:
            best, best_bound = price, now
        else:
            width *= 0.6
        bounds.append(best_bound)
        settled = len(bounds) > _PATIENCE and bounds[-1 - _PATIENCE] - best_bound <= _ENOUGH * best_bound
        if settled or now - value <= _ENOUGH * abs(now) or watch.left(60.0) <= 0:
            break
    program.box(best, 10.0)
    _, values, _ = program.solve()
    return Private(best, _targets(p, nodes, program, values, answers, group))


def _targets(
    p: Period, nodes: _Nodes, program: _Program, values: F64, answers: list[_Answer], group: I64
) -> Targets:
    """Give each bid one of the answers that its group mixes, in the mix's proportions."""
    weight = values[program.first_answer :]
    of_group, number = np.concatenate(program.group_of), np.concatenate(program.answer_of)
    mix = np.zeros((program.groups, len(answers)))
    mix[of_group, number] = weight
    mix[mix < 1e-9] = 0.0
    active = np.flatnonzero(mix.any(axis=0))
    if not len(active):  # nothing is worth its price
        active = np.zeros(1, dtype=np.int64)
    chips = np.stack([answers[i].chip for i in active], axis=1)  # (bids, active answers)
    share = mix[:, active][group]  # (bids, active answers)
    chips = np.where(share > 0, chips, -2)
    # Bids of a group that answer alike stand in one line, each at its place in the line's work.
    code, first = _alike(group, chips)
    order = np.lexsort((p.bid_rank, code))
    weight_of = p.demand[order] * p.limit[order]
    total = np.cumsum(weight_of)
    begin = np.searchsorted(code[order], np.arange(len(first)))
    before = np.concatenate([[0.0], total])[begin]
    ends = np.concatenate([total[begin[1:] - 1], total[-1:]]) if len(begin) else total
    place = (total - weight_of / 2 - before[code[order]]) / np.maximum(ends - before, 1e-300)[code[order]]
    running = np.cumsum(share[order], axis=1)
    chosen = (place[:, None] > running).sum(axis=1)
    inside = chosen < len(active)
    chip = np.full(len(group), -1, dtype=np.int64)
    chip[order] = np.where(inside, chips[order, np.minimum(chosen, len(active) - 1)], -1)
    bid = np.flatnonzero(chip >= 0)
    own = np.ones(len(bid)) if p.factor is None else p.factor[bid, chip[bid]]
    node = p.kind[bid] * nodes.chips + chip[bid]
    flow = values[program.first_flow : program.first_answer] * program.unit
    used = np.flatnonzero(flow > 1e-9)
    devices: F64 = np.bincount(nodes.edge_pool[used], flow[used], minlength=p.pools).astype(np.float64)
    return Targets(
        bid=bid,
        node=node,
        work=p.demand[bid] / own,
        flow_node=nodes.edge_node[used],
        flow_pool=nodes.edge_pool[used],
        flow_work=flow[used] * nodes.edge_rate[used],
        flow_devices=flow[used],
        lots=_lots(p, devices),
    )


def _alike(group: I64, chips: I64) -> tuple[I64, I64]:
    """Return the number of bids that stand in one group and answer alike, and the first of each."""
    key = group.astype(np.int64)
    first = np.zeros(0, dtype=np.int64)
    for column in chips.T:
        _, first, key = np.unique(key * 1_000 + column + 2, return_index=True, return_inverse=True)
        key = key.ravel()
    if not chips.shape[1]:
        _, first, key = np.unique(key, return_index=True, return_inverse=True)
    return key.ravel(), first


def _lots(p: Period, devices: F64) -> I64:
    """Return the lots that may be let: single blocks, and those that lie in what is wanted of their pool by half at least."""
    order = np.lexsort((p.lot_rank, p.ask, p.pool))
    quantity = p.quantity[order].astype(np.float64)
    end = np.cumsum(quantity)
    begin = np.searchsorted(p.pool[order], np.arange(p.pools))
    base = np.concatenate([[0.0], end])[begin]
    taken = devices[p.pool[order]] - (end - quantity - base[p.pool[order]])
    may = (taken >= p.least[order] / 2) | (p.least[order] <= p.block[order])
    chosen: I64 = order[may]
    return chosen
