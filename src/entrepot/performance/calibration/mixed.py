"""Which effects bring the physics nearest to what was measured, and how large are effects of each kind?

Best linear unbiased prediction with variance components from the restricted likelihood, all of it from the rows given. Rows
of one stack, model and format form a group: effects that speak of it alone are integrated out group by group, so that only
the common ones meet in one matrix. Components move by the fixed point ``v <- v (y'P K P y) / tr(P K)``, which the restricted
likelihood has where its derivative is zero (Harville 1977, equation 5.1). Rows count less the further off they are, as
under Student's t with four degrees of freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from entrepot.performance.effects import CELL, CHANNELS, TERMS, Effects, Rows, Term, loadings
from entrepot.performance.records import F64

__all__ = ["learn_effects"]

I64 = NDArray[np.int64]
_START_CONSTANT, _START_SLOPE = 0.1**2, 0.05**2
_NOISE = 0.1**2
_FREEDOM = 4.0
_CLIP = 1.2  # logarithm beyond which a residual counts as that
_LEAST_COMMON, _LEAST_OWN = 10, 4  # rows of a key, for slopes of a common effect and of one of a group
_CUT = float(np.log(50.0))  # beyond it a row is taken for a slip of its source
_NOISE_BOUNDS = (1e-4, 0.3)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns of a design: (rows, terms) index and value of the non-zero entries; component of each column, its place."""

    index: I64
    value: F64
    component: I64
    place: list[tuple[str, str, str, int]]  # level, channel, key, slope of each column
    terms: list[Term]
    start: list[float]  # variance of each component before any row was seen


@dataclass(slots=True)
class _Group:
    rows: I64
    common: I64
    z: F64
    own: I64
    a: F64


@dataclass(frozen=True, slots=True)
class _Learned:
    values: dict[tuple[str, str], dict[str, tuple[F64, F64]]]
    prior: dict[tuple[str, str], F64]
    noise: dict[str, float]


def learn_effects(rows: Rows, y: F64, use: NDArray[np.bool_], *, rounds: int = 7) -> Effects:
    """Return the effects that logarithms measured / physics teach.

    Parameters
    ----------
    rows, y : (rows,) keys, metrics and slopes; logarithms
    use : which of them teach
    rounds : of the fixed point and of the weights together
    """
    out = _Learned({}, {}, {})
    queued = rows.queued
    sane = use & np.isfinite(y) & (np.abs(np.nan_to_num(y)) < _CUT)
    for part, channels in CHANNELS.items():
        teach = np.flatnonzero(sane & (queued if part == "queued" else ~queued))
        if teach.size:
            _learn(rows, y, teach, channels, part, rounds, out)
    return Effects(out.values, out.prior, out.noise)


def _columns(rows: Rows, teach: I64, channels: tuple[str, ...], *, local: bool) -> _Columns:
    """Return the columns that some row enters, of the common or of the groups' own terms."""
    index: list[I64] = []
    value: list[F64] = []
    place: list[tuple[str, str, str, int]] = []
    component: list[int] = []
    start: list[float] = []
    terms = [t for t in TERMS if t.channel in channels and t.local == local]
    for term in terms:
        inverse, names = rows.groups(term.fields)
        inverse = inverse[teach]
        move = loadings(rows, term.channel)[teach]
        seen = np.bincount(inverse[move != 0], minlength=len(names))
        for k, slope in enumerate(term.slopes):
            least = 1 if slope == "1" else _LEAST_OWN if local else _LEAST_COMMON
            index.append(inverse + len(place))
            value.append(np.where(seen[inverse] >= least, move * rows.slopes[slope][teach], 0.0))
            place += [(term.name, term.channel, name, k) for name in names]
            component += [len(start)] * len(names)
            start.append(_START_CONSTANT if slope == "1" else _START_SLOPE)
    at = np.stack(index, axis=1) if index else np.zeros((len(teach), 0), dtype=np.int64)
    x = np.stack(value, axis=1) if value else np.zeros((len(teach), 0))
    entered = np.zeros(len(place), dtype=bool)
    entered[at[x != 0]] = True
    return _Columns(
        (np.cumsum(entered) - 1)[at],
        x,
        np.array(component, dtype=np.int64)[entered],
        [p for p, e in zip(place, entered, strict=True) if e],
        terms,
        start,
    )


def _dense(columns: _Columns, members: I64) -> tuple[I64, F64]:
    """Return the columns that these rows enter, and the rows in them as a matrix."""
    index, value = columns.index[members], columns.value[members]
    entered, inverse = np.unique(index[value != 0], return_inverse=True)
    out = np.zeros((len(members), len(entered)))
    row = np.broadcast_to(np.arange(len(members))[:, None], index.shape)[value != 0]
    np.add.at(out, (row, inverse), value[value != 0])
    return entered, out


def _learn(
    rows: Rows, y_all: F64, teach: I64, channels: tuple[str, ...], part: str, rounds: int, out: _Learned
) -> None:
    """Add to ``out`` what the rows of one part teach."""
    y = np.clip(y_all[teach], -_CLIP, _CLIP)
    common, own = (_columns(rows, teach, channels, local=local) for local in (False, True))
    groups = _groups(common, own, rows.groups(CELL)[0][teach])
    said = np.full(len(teach), "queued") if part == "queued" else rows.metric[teach]
    kinds, kind = np.unique(said, return_inverse=True)
    v_common, v_own = (np.array(c.start) for c in (common, own))
    v_noise, weight = np.full(len(kinds), _NOISE), np.ones(len(teach))
    for turn in range(rounds):
        found = _solve(y, groups, v_common[common.component], v_own[own.component], v_noise[kind] / weight)
        if turn == rounds - 1:
            break
        s = v_noise[kind] / weight
        v_common = _moved(v_common, common.component, found.common_above, found.common_below)
        v_own = _moved(v_own, own.component, found.own_above, found.own_below)
        square, trace = found.alpha**2 / weight, found.p_diagonal / weight
        v_noise = np.clip(_moved(v_noise, kind, square, trace), *_NOISE_BOUNDS)
        weight = (_FREEDOM + 1) / (_FREEDOM + (s * found.alpha) ** 2 / v_noise[kind])
    _keep(common, v_common, found.b, found.b_variance, out)
    _keep(own, v_own, found.u, found.u_variance, out)
    out.noise.update({str(name): float(v) for name, v in zip(kinds, v_noise, strict=True)})


@dataclass(frozen=True, slots=True)
class _Solution:
    """Effects ``b`` (common) and ``u`` (of a group) with variances, and what the fixed point needs: y'P K P y and tr(P K)."""

    b: F64
    b_variance: F64
    u: F64
    u_variance: F64
    common_above: F64
    common_below: F64
    own_above: F64
    own_below: F64
    alpha: F64
    p_diagonal: F64


def _solve(y: F64, groups: Sequence[_Group], d: F64, e: F64, s: F64) -> _Solution:
    """Solve the mixed model's equations.

    Parameters
    ----------
    d, e : variances of the common and of the groups' own effects
    s : (rows,) variances of the rows' noise
    """
    matrix, right = np.diag(1 / d), np.zeros(len(d))
    kept = []
    for g in groups:
        cover = (g.a * e[g.own]) @ g.a.T
        cover[np.diag_indices(len(g.rows))] += s[g.rows]
        inverse = _inverse(cover)
        w = inverse @ g.z
        matrix[np.ix_(g.common, g.common)] += g.z.T @ w
        right[g.common] += w.T @ y[g.rows]
        kept.append((inverse, w))
    spread = _inverse(matrix)
    b = spread @ right
    above, below = np.zeros(len(e)), np.zeros(len(e))
    alpha, p_diagonal = np.zeros(len(y)), np.zeros(len(y))
    for g, (inverse, w) in zip(groups, kept, strict=True):
        pull = inverse @ (y[g.rows] - g.z @ b[g.common])
        p = inverse - w @ spread[np.ix_(g.common, g.common)] @ w.T
        above[g.own] = g.a.T @ pull
        below[g.own] = np.einsum("ij,ij->j", g.a, p @ g.a)
        alpha[g.rows], p_diagonal[g.rows] = pull, np.diag(p)
    variance = np.diag(spread)
    return _Solution(
        b=b,
        b_variance=variance,
        u=e * above,
        u_variance=e - e**2 * below,
        common_above=(b / d) ** 2,
        common_below=(1 - variance / d) / d,
        own_above=above**2,
        own_below=below,
        alpha=alpha,
        p_diagonal=p_diagonal,
    )


def _groups(common: _Columns, own: _Columns, cell: I64) -> list[_Group]:
    out = []
    for name in np.unique(cell):
        members = np.flatnonzero(cell == name)
        out.append(_Group(members, *_dense(common, members), *_dense(own, members)))
    return out


def _keep(columns: _Columns, v: F64, mean: F64, variance: F64, out: _Learned) -> None:
    """Write means and variances of effects under their levels and keys."""
    at = 0
    for term in columns.terms:
        out.prior[term.name, term.channel] = v[at : at + len(term.slopes)].copy()
        out.values[term.name, term.channel] = {}
        at += len(term.slopes)
    for (level, channel, key, k), m, var in zip(columns.place, mean, variance, strict=True):
        table, prior = out.values[level, channel], out.prior[level, channel]
        if key not in table:
            table[key] = (np.zeros(len(prior)), prior.copy())
        table[key][0][k] = m
        table[key][1][k] = max(var, 0.0)


def _moved(v: F64, component: I64, above: F64, below: F64) -> F64:
    """Return the components after a step of the fixed point, at most a factor of six."""
    up = np.bincount(component, above, minlength=len(v))
    down = np.bincount(component, below, minlength=len(v))
    step = np.divide(up, down, out=np.ones(len(v)), where=down > 1e-12)
    moved: F64 = np.clip(v * np.clip(step, 0.1, 6.0), 1e-6, 2.0)
    return moved


def _inverse(matrix: F64) -> F64:
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
