"""Which pools and which groups of bids hang together, by what flows between them?"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["joined"]

I64: TypeAlias = NDArray[np.int64]


def joined(flow_group: I64, flow_pool: I64, groups: int, pools: int) -> list[tuple[I64, I64]]:
    """Return the sets of pools and groups that flows join.

    Parameters
    ----------
    flow_group, flow_pool : (flows,) the two ends of each flow
    groups, pools : how many there are

    Returns
    -------
    one pair per set: numbers of its pools, numbers of its groups; what nothing flows to is in none
    """
    label = np.arange(pools + groups)
    group = flow_group + pools
    while True:
        least = np.minimum(label[flow_pool], label[group])
        before = label.copy()
        np.minimum.at(label, flow_pool, least)
        np.minimum.at(label, group, least)
        label = label[label]
        if (label == before).all():
            break
    sets = []
    for first in np.unique(label[flow_pool]):
        members = np.flatnonzero(label == first)
        sets.append((members[members < pools], members[members >= pools] - pools))
    return sets
