"""Which effects bring the physics nearest to what was measured, and how large are effects of each kind?

Best linear unbiased prediction with variance components from the restricted likelihood, all of it from the rows given. Rows
of one stack, model and format form a group: effects that speak of it alone are integrated out group by group, so that only
the common ones meet in one matrix. Components move by the fixed point ``v <- v (y'P K P y) / tr(P K)``, which the restricted
likelihood has where its derivative is zero (Harville 1977, equation 5.1). Rows count less the further off they are, as
under Student's t with four degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from entrepot.performance.effects import CELL, CHANNELS, TERMS, Effects, Rows, loadings
from entrepot.performance.records import F64

__all__ = ["learn_effects"]

I64 = NDArray[np.int64]
_START_CONSTANT, _START_SLOPE = 0.1**2, 0.05**2
_NOISE = 0.1**2
_FREEDOM = 4.0
_CLIP = 1.2  # logarithm beyond which a residual counts as that
_LEAST_ROWS = 10  # of a key, for slopes of a common effect; 4 for those of a group
_CUT = np.log(50.0)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Columns of a design: (rows, terms) index and value of the non-zero entries; component of each column, its place."""

    index: I64
    value: F64
    component: I64
    place: list[tuple[str, str, str, int]]  # level, channel, key, slope of each column


@dataclass(slots=True)
class _Group:
    rows: I64
    common: I64
    z: F64
    own: I64
    a: F64


def learn_effects(rows: Rows, y: F64, use: NDArray[np.bool_], *, rounds: int = 7) -> Effects:
    """Return the effects that logarithms measured / physics teach.

    Parameters
    ----------
    rows, y : (rows,) keys, metrics and slopes; logarithms
    use : which of them teach
    rounds : of the fixed point and of the weights together
    """
    values: dict[tuple[str, str], dict[str, tuple[F64, F64]]] = {}
    prior: dict[tuple[str, str], F64] = {}
    noise: dict[str, float] = {}
    queued = rows.queued
    sane = use & np.isfinite(y) & (np.abs(np.nan_to_num(y)) < _CUT)
    for part, channels in CHANNELS.items():
        teach = np.flatnonzero(sane & (queued if part == "queued" else ~queued))
        if teach.size:
            _learn(rows, y, teach, channels, part, rounds, values, prior, noise)
    return Effects(values, prior, noise)


def _columns(rows: Rows, teach: I64, channels: tuple[str, ...], *, local: bool) -> tuple[_Columns, list[int]]:
    index, value, place, component, widths = [], [], [], [], []
    offset, count = 0, 0
    for t, term in enumerate(TERMS):
        if term.channel not in channels or term.local != local:
            continue
        inverse, names = rows.groups(term.fields)
        inverse = inverse[teach]
        move = loadings(rows, term.channel)[teach]
        seen = np.bincount(inverse[move != 0], minlength=len(names))
        for k, slope in enumerate(term.slopes):
            least = 1 if slope == "1" else 4 if local else _LEAST_ROWS
            index.append(inverse + offset)
            value.append(np.where(seen[inverse] >= least, move * rows.slopes[slope][teach], 0.0))
            place += [(term.name, term.channel, name, k) for name in names]
            component += [count] * len(names)
            widths.append(t)
            offset, count = offset + len(names), count + 1
    empty = np.zeros((len(teach), 0))
    columns = _Columns(
        np.stack(index, axis=1) if index else empty.astype(np.int64),
        np.stack(value, axis=1) if value else empty,
        np.array(component, dtype=np.int64),
        place,
    )
    return columns, widths


def _compact(columns: _Columns) -> tuple[_Columns, NDArray[np.bool_]]:
    """Return the columns that some row enters, and which they were."""
    entered = np.zeros(len(columns.place), dtype=bool)
    entered[columns.index[columns.value != 0]] = True
    new = np.cumsum(entered) - 1
    kept = [p for p, e in zip(columns.place, entered, strict=True) if e]
    return _Columns(new[columns.index], columns.value, columns.component[entered], kept), entered


def _dense(columns: _Columns, members: I64) -> tuple[I64, F64]:
    """Return the columns that these rows enter, and the rows in them as a matrix."""
    index, value = columns.index[members], columns.value[members]
    entered, inverse = np.unique(index[value != 0], return_inverse=True)
    out = np.zeros((len(members), len(entered)))
    row = np.broadcast_to(np.arange(len(members))[:, None], index.shape)[value != 0]
    np.add.at(out, (row, inverse), value[value != 0])
    return entered, out


def _learn(
    rows: Rows,
    y_all: F64,
    teach: I64,
    channels: tuple[str, ...],
    part: str,
    rounds: int,
    values: dict[tuple[str, str], dict[str, tuple[F64, F64]]],
    prior: dict[tuple[str, str], F64],
    noise: dict[str, float],
) -> None:
    y = np.clip(y_all[teach], -_CLIP, _CLIP)
    common, of_common = _columns(rows, teach, channels, local=False)
    own, of_own = _columns(rows, teach, channels, local=True)
    common, _ = _compact(common)
    own, _ = _compact(own)
    cell = rows.groups(CELL)[0][teach]
    groups = []
    for name in np.unique(cell):
        members = np.flatnonzero(cell == name)
        z_index, z = _dense(common, members)
        a_index, a = _dense(own, members)
        groups.append(_Group(members, z_index, z, a_index, a))
    kinds = sorted(set(np.where(part == "queued", "queued", rows.metric[teach]).tolist()))
    kind = np.array(
        [kinds.index("queued" if part == "queued" else str(k)) for k in rows.metric[teach]], dtype=np.int64
    )
    slopes = [
        [s for t in dict.fromkeys(of) for s in TERMS[t].slopes] for of in (of_common, of_own)
    ]
    start = [
        np.array([_START_CONSTANT if s == "1" else _START_SLOPE for s in names], dtype=np.float64)
        for names in slopes
    ]
    v_common, v_own = start
    v_noise = np.full(len(kinds), _NOISE)
    weight = np.ones(len(teach))
    size, n_own = len(common.place), len(own.place)
    for turn in range(rounds):
        d, e = v_common[common.component], v_own[own.component]
        s = v_noise[kind] / weight
        matrix, right = np.diag(1 / d), np.zeros(size)
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
        u, spread_own, alpha, p_diagonal = np.zeros(n_own), np.zeros(n_own), np.zeros(len(y)), np.zeros(len(y))
        above, below = np.zeros(n_own), np.zeros(n_own)
        for g, (inverse, w) in zip(groups, kept, strict=True):
            pull = inverse @ (y[g.rows] - g.z @ b[g.common])
            p = inverse - w @ spread[np.ix_(g.common, g.common)] @ w.T
            above[g.own] = g.a.T @ pull
            below[g.own] = np.einsum("ij,ij->j", g.a, p @ g.a)
            alpha[g.rows], p_diagonal[g.rows] = pull, np.diag(p)
        u, spread_own = e * above, e - e**2 * below
        if turn == rounds - 1:
            break
        variance = np.diag(spread)
        v_common = _moved(v_common, common.component, (b / d) ** 2, (1 - variance / d) / d)
        v_own = _moved(v_own, own.component, above**2, below)
        v_noise = np.clip(_moved(v_noise, kind, alpha**2 / weight, p_diagonal / weight), 1e-4, 0.3)
        weight = (_FREEDOM + 1) / (_FREEDOM + (s * alpha) ** 2 / v_noise[kind])
    for columns, of, v, mean, variance in (
        (common, of_common, v_common, b, np.diag(spread)),
        (own, of_own, v_own, u, spread_own),
    ):
        at = 0
        for t in dict.fromkeys(of):
            term = TERMS[t]
            prior[term.name, term.channel] = v[at : at + len(term.slopes)].copy()
            values[term.name, term.channel] = {}
            at += len(term.slopes)
        for (level, channel, key, k), m, var in zip(columns.place, mean, variance, strict=True):
            table, own_prior = values[level, channel], prior[level, channel]
            if key not in table:
                table[key] = (np.zeros(len(own_prior)), own_prior.copy())
            table[key][0][k] = m
            table[key][1][k] = max(var, 0.0)
    noise.update({name: float(v) for name, v in zip(kinds, v_noise, strict=True)})


def _moved(v: F64, component: I64, above: F64, below: F64) -> F64:
    """Return the components after a step of the fixed point, at most a factor of six."""
    up = np.bincount(component, above, minlength=len(v))
    down = np.bincount(component, below, minlength=len(v))
    step = np.divide(up, down, out=np.ones(len(v)), where=down > 1e-12)
    return np.clip(v * np.clip(step, 0.1, 6.0), 1e-6, 2.0)


def _inverse(matrix: F64) -> F64:
    """Return the inverse of a symmetric positive matrix."""
    out: F64 = np.linalg.inv(matrix)
    return out
