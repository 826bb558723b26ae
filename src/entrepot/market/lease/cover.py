"""Which lots supply what has been placed, at the least cost? In each pool a small program over time.

Lots of one pool, each for its window, form an interval matrix (the periods of a window are consecutive), which is totally
unimodular: with blocks of one size the cheapest cover is already whole. Minimum fills and mixed block sizes make it a small
mixed-integer program. What cannot be covered is left short, at a penalty, and reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import highspy
import numpy as np
from numpy.typing import NDArray

__all__ = ["Cover", "Supply", "cover"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_MIP_SECONDS = 2.0
_MIP_GAP = 1e-4


@dataclass(frozen=True, slots=True)
class Supply:
    """Whole-window lots and hourly steps that may supply a pool.

    Attributes
    ----------
    usable : (lots, periods) devices: one quantity inside the window
    cost : (lots,) micro for one device over the whole window
    block, least : (lots,) multiples sold; and the least that is sold if any
    step_ask, step_devices : (steps,), (steps, periods) hourly supply, micro per device and period; any whole number of blocks
    step_block : (steps,)
    """

    usable: I64
    cost: F64
    block: I64
    least: I64
    step_ask: F64
    step_devices: I64
    step_block: I64


@dataclass(frozen=True, slots=True)
class Cover:
    """(lots,) devices committed, (steps, periods) devices of the hourly steps, (periods,) devices short."""

    committed: I64
    hourly: I64
    short: I64


def cover(s: Supply, need: I64, hours: F64, *, whole: bool = True) -> Cover:
    """Return the cheapest supply of (periods,) devices needed.

    Parameters
    ----------
    whole : in whole blocks; else rounded as little as the linear program asks for
    """
    lots, periods = s.usable.shape
    idle = Cover(
        np.zeros(lots, np.int64), np.zeros(s.step_devices.shape, np.int64), np.zeros(periods, np.int64)
    )
    if not need.any():
        return idle
    t = np.flatnonzero(need > 0)
    most = s.usable.max(axis=1, initial=0)
    i = np.flatnonzero((most >= s.block) & (s.usable[:, t] > 0).any(axis=1))
    j, u = np.nonzero(s.step_devices[:, t])
    unit = np.concatenate([s.block[i], s.step_block[j]])
    one = bool(len(unit) and (unit == unit[0]).all())
    scale = int(unit[0]) if one else 1
    bound = np.concatenate([most[i] // s.block[i], s.step_devices[j, t[u]] // s.step_block[j]]).astype(
        np.float64
    )
    cost = np.concatenate([s.cost[i] * s.block[i], s.step_ask[j] * s.step_block[j] * hours[t[u]]])
    weight = np.ones(len(unit)) if one else unit.astype(np.float64)
    required = -(-need[t] // scale) if one else need[t]
    forced = np.flatnonzero(s.least[i] > s.block[i])
    mixed = (not one) or len(forced) > 0
    penalty = 20.0 * float((cost / weight).max(initial=1.0)) + 1.0

    a, b = np.nonzero(s.usable[i][:, t] > 0)
    n, m, f = len(i), len(j), len(forced)
    short = n + m + np.arange(len(t))
    switch = n + m + len(t) + np.arange(f)
    row = [b, u, np.arange(len(t))]
    column = [a, n + np.arange(m), short]
    value = [weight[a], weight[n:], np.ones(len(t))]
    low = [required.astype(np.float64)]
    if f:
        # least * z <= y <= most * z, in blocks
        up, down = len(t) + np.arange(f), len(t) + f + np.arange(f)
        row += [up, up, down, down]
        column += [forced, switch, forced, switch]
        fill = np.ceil(np.minimum(s.least[i[forced]], most[i[forced]]) / s.block[i[forced]])
        value += [np.ones(f), -fill, -np.ones(f), bound[forced]]
        low += [np.zeros(2 * f)]
    costs = np.concatenate([cost, np.full(len(t), penalty * hours.mean()), np.zeros(f)])
    upper = np.concatenate([bound, np.full(len(t), np.inf), np.ones(f)])
    integer = np.zeros(len(costs), dtype=np.bool_)
    if whole and mixed:
        integer[: n + m] = True
        integer[switch] = True
    x = _solve(costs, upper, np.concatenate(low), row, column, value, integer)
    blocks = np.ceil(x[: n + m] - 1e-6).astype(np.int64)
    committed, hourly = idle.committed, idle.hourly
    committed[i] = blocks[:n] * s.block[i]
    hourly[j, t[u]] = blocks[n:] * s.step_block[j]
    supplied = (committed[:, None] * (s.usable > 0)).sum(axis=0) + hourly.sum(axis=0)
    return Cover(committed, hourly, np.maximum(0, need - supplied))


def _solve(
    cost: F64,
    upper: F64,
    low: F64,
    row: list[I64],
    column: list[I64],
    value: list[F64],
    integer: NDArray[np.bool_],
) -> F64:
    """Minimise cost subject to rows >= low and bounds."""
    rows, columns, values = np.concatenate(row), np.concatenate(column), np.concatenate(value)
    order = np.argsort(columns, kind="stable")
    start = np.zeros(len(cost) + 1, dtype=np.int32)
    np.cumsum(np.bincount(columns, minlength=len(cost)), out=start[1:])
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(cost), len(low)
    size = float(np.abs(cost).max(initial=1.0)) or 1.0
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost / size * 1e3, np.zeros(len(cost)), upper
    lp.row_lower_, lp.row_upper_ = low, np.full(len(low), np.inf)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = start
    lp.a_matrix_.index_ = rows[order].astype(np.int32)
    lp.a_matrix_.value_ = values[order]
    if integer.any():
        kind = highspy.HighsVarType
        lp.integrality_ = [kind.kInteger if w else kind.kContinuous for w in integer]
    highs = highspy._Highs()  # type: ignore[attr-defined]
    for option, setting in (
        ("output_flag", False),
        ("threads", 1),
        ("random_seed", 0),
        ("time_limit", _MIP_SECONDS),
        ("mip_rel_gap", _MIP_GAP),
    ):
        highs.setOptionValue(option, setting)
    highs.passModel(lp)
    highs.run()
    return np.asarray(highs.getSolution().col_value)
