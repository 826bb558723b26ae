"""Which demands are the same curve at another size? A bid is then a number times a curve, which prefix sums can share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["profiles"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_SAME = 1e-9  # relative
_TRIES = 4  # curves sought per kind before every demand left keeps a curve of its own


def profiles(demand: F64, kind: I64) -> tuple[F64, I64, F64]:
    """Write each demand as size times curve inside its window.

    Parameters
    ----------
    demand : (bids, periods) >= 0; a bid's window is where it is positive
    kind : (bids,) curves are sought among bids of one kind, such as a service

    Returns
    -------
    (curves, periods), (bids,) curve of each bid, (bids,) size; size x curve is the demand inside the window

    Examples
    --------
    >>> curve, of, size = profiles(np.array([[1.0, 2.0, 0.0], [0.0, 4.0, 6.0]]), np.zeros(2, dtype=np.int64))
    >>> (size[:, None] * curve[of] * np.array([[1, 1, 0], [0, 1, 1]])).tolist()
    [[1.0, 2.0, 0.0], [0.0, 4.0, 6.0]]
    """
    curves: list[F64] = []
    of, size = np.zeros(len(demand), dtype=np.int64), np.zeros(len(demand))
    for one in np.unique(kind):
        rows = np.flatnonzero(kind == one)
        for _ in range(_TRIES):
            if not len(rows):
                break
            curve = _grown(demand[rows])
            fits, sizes = _fit(demand[rows], curve)
            of[rows[fits]], size[rows[fits]] = len(curves), sizes[fits]
            curves.append(curve)
            rows = rows[~fits]
        for row in rows:
            of[row], size[row] = len(curves), 1.0
            curves.append(demand[row].copy())
    table = np.array(curves).reshape(len(curves), demand.shape[1])
    return table, of, size


def _fit(demand: F64, curve: F64) -> tuple[NDArray[np.bool_], F64]:
    """Return which rows are the curve times a size inside their windows, and the sizes."""
    inside = demand > 0
    known = (curve > 0)[None, :] | ~inside
    ratio = np.divide(demand, curve, out=np.full(demand.shape, np.nan), where=inside & (curve > 0))
    with np.errstate(invalid="ignore"):
        low = np.where(np.isnan(ratio), np.inf, ratio).min(axis=1, initial=np.inf)
        high = np.where(np.isnan(ratio), -np.inf, ratio).max(axis=1, initial=-np.inf)
    fits = known.all(axis=1) & (high - low <= _SAME * np.abs(high))
    fits |= ~inside.any(axis=1)
    return fits, np.where(np.isfinite(high), high, 0.0)


def _grown(demand: F64) -> F64:
    """Return a curve that starts as the first row and takes on rows that agree with it where they overlap."""
    inside = demand > 0
    curve = np.zeros(demand.shape[1])
    known = np.zeros(demand.shape[1], dtype=np.bool_)
    start = int(inside.sum(axis=1).argmax())
    curve[inside[start]], known[inside[start]] = demand[start, inside[start]], True
    tried = np.zeros(len(demand), dtype=np.bool_)
    while not known.all():
        news = np.where(tried | ~(inside & known).any(axis=1), 0, (inside & ~known).sum(axis=1))
        row = int(news.argmax())
        if news[row] == 0:
            break
        tried[row] = True
        both = inside[row] & known
        ratio = demand[row, both] / curve[both]
        if ratio.max() - ratio.min() <= _SAME * ratio.max():
            new = inside[row] & ~known
            curve[new] = demand[row, new] / ratio.max()
            known |= new
    return curve
