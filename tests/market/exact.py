"""What is the best that a small market of one period can do under all its rules? An integer program, proved by SciPy."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import optimize, sparse

from entrepot.market.records import Book

__all__ = ["optimum"]


class _Program:
    """A mixed-integer program that grows by columns and rows."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.cost: list[float] = []
        self.most: list[float] = []
        self.whole: list[int] = []
        self.entries: list[tuple[int, int, float]] = []
        self.upper: list[float] = []

    def column(self, cost: float, most: float, *, whole: bool = False) -> int:
        """Add a variable from 0 to ``most``."""
        self.cost.append(cost)
        self.most.append(most)
        self.whole.append(int(whole))
        return len(self.cost) - 1

    def at_most(self, terms: list[tuple[int, float]], upper: float = 0.0) -> None:
        """Add a row: the terms add up to at most ``upper``."""
        self.entries += [(len(self.upper), column, value) for column, value in terms]
        self.upper.append(upper)


def optimum(book: Book, *, seconds: float = 20.0) -> tuple[float, float]:
    """Return the welfare reached by the integer program and the most that it proves possible, micro-units.

    One variable for each lot and bid (slices), one for the nodes that a lot lets, one that says whether it lets any, one
    that says whether a bid is served, and one for each pool of a bid that wants a single one.
    """
    assert book.periods.height == 1
    p, hours = _Program(), float(book.hours[0])
    chips = {name: j for j, name in enumerate(book.accelerators)}
    chip = [chips[a] for a in book.lots["accelerator"].to_list()]
    rate = book.rate[book.bid_class][:, book.lot_class]
    if book.factor is not None:
        rate = rate * book.factor[:, chip]
    # a pool: lots of one kind, place and provenance that the same bids may use at the same rates
    label = book.lots.select(pl.struct("accelerator", "site", "kind", "provenance").rank("dense")).to_series()
    pool = [(name, rate[:, i].tobytes()) for i, name in enumerate(label.to_list())]

    open_, nodes, used = [], [], []
    for i, lot in enumerate(book.lots.iter_rows(named=True)):
        usable = int(book.capacity[i, 0]) // lot["block"] * lot["block"]
        least = -(-min(lot["min_fill"], usable) // lot["block"])
        most = usable // lot["block"]
        opened = p.column(0.0, 1.0, whole=True)
        let = p.column(lot["ask_micro"] * hours * lot["block"], most, whole=True)
        p.at_most([(let, 1.0), (opened, -most)])
        p.at_most([(opened, least), (let, -1.0)])
        open_.append(opened)
        nodes.append(let)
        used.append([(let, -float(lot["block"]))])
    taken: dict[str, list[tuple[int, float]]] = {}
    offered: dict[str, list[tuple[int, float]]] = {}
    for i, group in enumerate(book.lots["group"].to_list()):
        if group:
            offered.setdefault(group, []).append((open_[i], 1.0))
    for b, bid in enumerate(book.bids.iter_rows(named=True)):
        demand = float(book.demand[b, 0])
        served, some = p.column(-bid["limit_micro"] * hours, demand), p.column(0.0, 1.0, whole=True)
        p.at_most([(served, 1.0), (some, -demand)])
        p.at_most([(some, bid["min_share"] * demand * (1 - 1e-9)), (served, -1.0)])
        work, chosen = [(served, 1.0)], {}
        for i in np.flatnonzero((rate[b] > 0) & (book.capacity[:, 0] > 0)).tolist():
            size, most = int(book.lots["slice"][i]), int(book.capacity[i, 0]) // int(book.lots["slice"][i])
            x = p.column(0.0, most, whole=True)
            used[i].append((x, float(size)))
            work.append((x, -float(rate[b, i]) * size))
            p.at_most([(x, 1.0), (some, -float(most))])
            if bid["one_pool"]:
                if pool[i] not in chosen:
                    chosen[pool[i]] = p.column(0.0, 1.0, whole=True)
                p.at_most([(x, 1.0), (chosen[pool[i]], -float(most))])
        p.at_most(work)
        if chosen:
            p.at_most([(c, 1.0) for c in chosen.values()], 1.0)
        if bid["group"]:
            taken.setdefault(bid["group"], []).append((some, 1.0))
    for row in used:
        p.at_most(row)
    for members in (*taken.values(), *offered.values()):
        p.at_most(members, 1.0)

    rows, columns, values = zip(*p.entries, strict=True)
    scale = max(abs(c) for c in p.cost) or 1.0
    found = optimize.milp(
        np.array(p.cost) / scale,
        constraints=optimize.LinearConstraint(
            sparse.csr_array((values, (rows, columns)), shape=(len(p.upper), len(p.cost))),
            ub=np.array(p.upper),
        ),
        bounds=optimize.Bounds(0, np.array(p.most)),
        integrality=np.array(p.whole),
        options={"mip_rel_gap": 1e-7, "time_limit": seconds},
    )
    assert found.x is not None
    return float(-found.fun * scale), float(-found.mip_dual_bound * scale)
