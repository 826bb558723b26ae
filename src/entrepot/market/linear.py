"""How is a linear or mixed-integer program handed to HiGHS? Columns and entries as arrays; one thread, one seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import highspy
import numpy as np
from numpy.typing import NDArray

from entrepot.errors import Unproven

__all__ = ["Columns", "minimise", "search", "solver"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(slots=True)
class Columns:
    """Columns of a program: cost, bounds, and entries by (row, column)."""

    cost: list[F64] = field(default_factory=list)
    lower: list[F64] = field(default_factory=list)
    upper: list[F64] = field(default_factory=list)
    whole: list[Mask] = field(default_factory=list)
    row: list[I64] = field(default_factory=list)
    column: list[I64] = field(default_factory=list)
    value: list[F64] = field(default_factory=list)
    count: int = 0

    def add(self, cost: F64, upper: F64, *, whole: bool = False, lower: F64 | None = None) -> I64:
        """Add columns from 0 or ``lower``, of whole numbers if ``whole``; return their numbers."""
        numbers = np.arange(self.count, self.count + len(cost), dtype=np.int64)
        self.cost.append(np.asarray(cost, dtype=np.float64))
        self.upper.append(np.asarray(upper, dtype=np.float64))
        self.lower.append(np.zeros(len(cost)) if lower is None else np.asarray(lower, dtype=np.float64))
        self.whole.append(np.full(len(cost), whole))
        self.count += len(cost)
        return numbers

    def enter(self, row: I64, column: I64, value: F64 | float) -> None:
        """Add entries where ``row`` is one (>= 0)."""
        there = row >= 0
        self.row.append(row[there])
        self.column.append(column[there])
        self.value.append(np.broadcast_to(np.asarray(value, dtype=np.float64), row.shape)[there])

    def charge(self, column: I64, cost: F64) -> None:
        """Change the costs of columns."""
        first = 0
        for part in self.cost:
            mine = (column >= first) & (column < first + len(part))
            part[column[mine] - first] = cost[mine]
            first += len(part)

    def program(self, right: F64, left: F64 | None = None) -> tuple[highspy.HighsLp, float]:
        """Return the program ``left <= entries @ x <= right``, and the factor that its costs were divided by."""
        column = np.concatenate(self.column)
        order = np.argsort(column, kind="stable")
        start = np.zeros(self.count + 1, dtype=np.int32)
        np.cumsum(np.bincount(column, minlength=self.count), out=start[1:])
        cost = np.concatenate(self.cost)
        scale = (float(np.abs(cost).max(initial=0.0)) or 1.0) / 1e3
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.count, len(right)
        lp.col_cost_, lp.col_lower_ = cost / scale, np.concatenate(self.lower)
        lp.col_upper_ = np.concatenate(self.upper)
        lp.row_lower_ = np.full(len(right), -np.inf) if left is None else left
        lp.row_upper_ = right
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = start
        lp.a_matrix_.index_ = np.concatenate(self.row)[order].astype(np.int32)
        lp.a_matrix_.value_ = np.concatenate(self.value)[order]
        whole = np.concatenate(self.whole)
        if whole.any():
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            lp.integrality_ = [kinds[int(w)] for w in whole]
        return lp, scale


def solver(**options: str | float | bool) -> Any:
    """Return HiGHS, silent, on one thread, with one seed."""
    # The plain class: `highspy.Highs` prints a banner to stdout as it switches its callbacks on.
    highs = highspy._Highs()  # type: ignore[attr-defined]
    for option, setting in {"output_flag": False, "threads": 1, "random_seed": 0, **options}.items():
        highs.setOptionValue(option, setting)
    return highs


def minimise(c: Columns, right: F64, seconds: float = float("inf")) -> tuple[F64, F64]:
    """Minimise cost @ x subject to entries @ x <= right and bounds.

    Parameters
    ----------
    seconds : after which the solver gives up

    Returns
    -------
    (columns,) x; (rows,) duals <= 0, in the units of the cost

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    if not c.count or not len(right):
        return np.zeros(c.count), np.zeros(len(right))
    lp, scale = c.program(right)
    highs = solver(solver="simplex", time_limit=max(0.0, seconds))
    highs.passModel(lp)
    highs.run()
    status = highs.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise Unproven(f"the solver stopped without an optimum: {highs.modelStatusToString(status)}")
    solution = highs.getSolution()
    return np.asarray(solution.col_value), np.asarray(solution.row_dual) * scale


def search(
    c: Columns,
    right: F64,
    start: F64 | None,
    *,
    seconds: float,
    gap: float = 1e-7,
    close: float = 0.0,
    nodes: int = 2_000,
) -> tuple[F64 | None, float]:
    """Minimise a program with whole-numbered columns, from a start.

    Returns
    -------
    x, or ``None`` where none was found; a lower bound on the cost
    """
    lp, scale = c.program(right)
    highs = solver(
        time_limit=max(0.05, seconds),
        mip_rel_gap=gap,
        mip_abs_gap=max(1e-6, close / scale),
        mip_max_nodes=nodes,
    )
    highs.passModel(lp)
    if start is not None:
        solution = highspy.HighsSolution()
        solution.col_value = start.tolist()
        highs.setSolution(solution)
    highs.run()
    found = highs.getInfo()
    bound = float(found.mip_dual_bound) * scale
    if found.primal_solution_status != 2:  # no feasible point
        return None, bound
    return np.asarray(highs.getSolution().col_value), bound
