"""Who meets whom, when two queues of different lengths are laid along one line?

Bids of a group against its pools, bids of a pool against its node sizes, lots against bids: each is the same question.
Laying two queues side by side (the north-west corner rule) yields at most as many meetings as there are members, so
few orders are cut in two.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["capped", "overlay", "share_out"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]


def overlay(cell_a: I64, length_a: F64 | I64, cell_b: I64, length_b: F64 | I64) -> tuple[I64, I64, F64]:
    """Lay two queues side by side in every cell.

    Parameters
    ----------
    cell_a, cell_b : (a,), (b,) the line on which each member stands; non-decreasing; in each cell the order is kept
    length_a, length_b : lengths >= 0

    Returns
    -------
    (meetings,) index into a, index into b, length of the meeting > 0; what one queue has more than the other meets none

    Examples
    --------
    >>> one = np.zeros(2, dtype=np.int64)
    >>> [v.tolist() for v in overlay(one, np.array([3, 4]), one, np.array([5, 9]))]
    [[0, 1, 1], [0, 0, 1], [3.0, 2.0, 2.0]]
    """
    if not len(cell_a) or not len(cell_b):
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros(0)
    end_a, end_b = _ends(cell_a, length_a), _ends(cell_b, length_b)
    cell = np.concatenate([cell_a, cell_b])
    end = np.concatenate([end_a, end_b])
    from_b = np.repeat([0, 1], [len(cell_a), len(cell_b)])
    order = np.lexsort((from_b, end, cell))
    cell, end, from_b = cell[order], end[order], from_b[order]
    first = np.ones(len(cell), dtype=np.bool_)
    first[1:] = np.diff(cell) != 0
    previous = np.where(first, 0.0, np.concatenate([[0.0], end[:-1]]))
    # how many ends of each queue lie before: the member that this stretch of the line belongs to
    index_a = np.cumsum(from_b == 0) - (from_b == 0)
    index_b = np.cumsum(from_b == 1) - (from_b == 1)
    there = np.zeros(len(cell), dtype=np.bool_)
    np.less(index_a, len(cell_a), out=there)
    there &= index_b < len(cell_b)
    there &= cell_a[np.minimum(index_a, len(cell_a) - 1)] == cell
    there &= cell_b[np.minimum(index_b, len(cell_b) - 1)] == cell
    there &= end > previous
    return index_a[there], index_b[there], (end - previous)[there]


def _ends(cell: I64, lengths: F64 | I64) -> F64:
    """Return where each member ends on its line."""
    length: F64 = lengths.astype(np.float64)
    running = np.cumsum(length)
    first = np.ones(len(cell), dtype=np.bool_)
    first[1:] = np.diff(cell) != 0
    before = (running - length)[first]
    ends: F64 = np.maximum(running - before[np.cumsum(first) - 1], 0.0)
    return ends


def share_out(part: I64, weight: I64, total: I64, rank: I64) -> I64:
    """Share whole blocks in proportion to the weights of each part, remainders to the largest, ties by rank.

    Parameters
    ----------
    part : (members,) which total a member takes part in
    weight : (members,) >= 0
    total : (parts,) blocks to share, at most the sum of the weights
    rank : (members,) distinct; the smaller wins a tie

    Returns
    -------
    (members,) blocks, never above the member's weight

    Examples
    --------
    >>> part = np.zeros(3, dtype=np.int64)
    >>> share_out(part, np.array([5, 3, 2]), np.array([7]), np.array([0, 1, 2])).tolist()
    [4, 2, 1]
    """
    all_weight = np.bincount(part, weight, minlength=len(total)).astype(np.int64)
    exact = weight * total[part]
    safe = np.maximum(all_weight[part], 1)
    given, remainder = exact // safe, exact % safe
    left = total - np.bincount(part, given, minlength=len(total)).astype(np.int64)
    order = np.lexsort((rank, -remainder, part))
    begin = np.searchsorted(part[order], np.arange(len(total)))
    place = np.empty(len(part), dtype=np.int64)
    place[order] = np.arange(len(part)) - begin[part[order]]
    shared: I64 = given + ((place < left[part]) & (remainder > 0))
    return shared


def capped(cell: I64, wanted: I64, most: I64) -> I64:
    """Serve a queue, sorted by cell, up to ``most[cell]`` in each cell; return (members,) what each gets.

    Examples
    --------
    >>> capped(np.zeros(3, dtype=np.int64), np.array([2, 3, 4]), np.array([4])).tolist()
    [2, 2, 0]
    """
    if not len(cell):
        return wanted
    first = np.ones(len(cell), dtype=np.bool_)
    first[1:] = np.diff(cell) != 0
    before = np.cumsum(wanted) - wanted
    before = before - before[first][np.cumsum(first) - 1]
    served: I64 = np.clip(most[cell] - before, 0, wanted)
    return served
