"""Which orders are alike? Lots of one good become steps of a supply curve, bids of one group steps of a demand curve.

A **pool** is a good: lots of one accelerator, site, kind and provenance that the same bids may lawfully use at the same
rates (for a sale: with the same delivery and the same residual worth). A **group** is a set of bids that the same pools
serve at the same rates; a bid that may buy devices is a group of its own, because ownership cannot be shared. Lots of a
pool with one ask, and bids of a group with one limit, are one step. The cost of solving grows with the number of kinds.
In a market of many buyers bids of one class whose demand has the same shape may share a group: prices are then those of a
market in which they share what they own, which is close, and the certificate says how close. Bids for a term stand alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot.market.goods import FLEXIBLE, SALE, WHOLE, Goods, goods, rows_id
from entrepot.market.records import Book

__all__ = ["FLEXIBLE", "SALE", "WHOLE", "Pooled", "pool"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pooled(Goods):
    """The same market on kinds instead of orders, and how to get back.

    Attributes
    ----------
    lot_step : (lots,) supply step
    bid_group, bid_tier : (bids,)
    group_rate : (groups, pools) Mtok per device-hour, 0 where there is no edge
    group_buys : (groups,) may buy devices: a group of one bid, unless ``apart`` says otherwise
    group_total : (groups,) Mtok wanted through the horizon; inf where it is wanted by period
    step_pool, step_mode, step_ask : (steps,) ask in micro
    step_capacity : (steps, periods) devices
    tier_group, tier_limit : (tiers,) limit in micro per Mtok
    tier_demand : (tiers, periods) Mtok per hour
    group_demand : (groups, periods)
    term_bid : (terms,) bids for a term, which are in no tier
    term_rate, term_demand : (terms, pools), (terms, periods)
    term_worth : (terms,) micro, of all its work
    """

    lot_step: I64
    bid_group: I64
    bid_tier: I64
    group_rate: F64
    group_buys: Mask
    step_pool: I64
    step_mode: I64
    step_ask: I64
    step_capacity: I64
    tier_group: I64
    tier_limit: I64
    tier_demand: F64
    group_demand: F64
    group_total: F64 = field(default_factory=lambda: np.zeros(0))  # empty: no group wants a total
    term_bid: I64 = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    term_rate: F64 = field(default_factory=lambda: np.zeros((0, 0)))
    term_demand: F64 = field(default_factory=lambda: np.zeros((0, 0)))
    term_worth: F64 = field(default_factory=lambda: np.zeros(0))


def pool(book: Book, found: Goods | None = None, apart: I64 | None = None) -> Pooled:
    """Merge lots into pools and steps, bids into groups and tiers.

    Parameters
    ----------
    book : the orders of one clearing
    apart : (bids,) bids of one class and one number share a group, > 0 where they may own devices; without it each bid
        that may buy, or wants a total, or has yields of its own has a number of its own, and the others 0

    Returns
    -------
    Pooled : the smaller market with the same optimal welfare and prices: a supply step is the sum of its lots and a
        tier the sum of its bids, so any solution of one is a solution of the other
    """
    lots, bids = book.lots, book.bids
    g = goods(book) if found is None else found
    mode, usable, lot_pool, offered = g.lot_mode, g.usable, g.lot_pool, g.offered
    periods = book.periods.height

    # A step: one pool, one ask; for constant lots also one window. Flexible steps of different windows add up.
    window = ((mode != FLEXIBLE)[:, None] & (usable > 0)).astype(np.uint8)
    lot_step, of_step = rows_id(lot_pool, mode, lots["ask_micro"].to_numpy(), window)
    step_capacity = np.zeros((len(of_step), periods), dtype=np.int64)
    np.add.at(step_capacity, lot_step, usable)

    class_rate = g.class_rate
    buys = ((class_rate > 0) & g.is_sale & (offered.max(axis=1, initial=0) > 0)).any(axis=1)
    like, _ = rows_id(class_rate)
    term = bids["term"].to_numpy()
    total = np.where(term, np.inf, bids["total_mtok"].to_numpy())
    # numbered by id: the order of arrival must not reach the solver
    number = bids["bid"].rank("dense").to_numpy().astype(np.int64)
    if apart is None:
        own = buys[book.bid_class] | np.isfinite(total) | (book.factor is not None)
        apart = np.where(own, number, 0)
    bid_group, of_group = rows_id(like[book.bid_class], apart, term)
    bid_tier, of_tier = rows_id(bid_group, bids["limit_micro"].to_numpy())
    tier_demand = np.zeros((len(of_tier), periods))
    np.add.at(tier_demand, bid_tier, np.where(term[:, None], 0.0, book.demand))
    tier_group = bid_group[of_tier]
    group_demand = np.zeros((len(of_group), periods))
    np.add.at(group_demand, tier_group, tier_demand)
    group_total = np.zeros(len(of_group))
    np.add.at(group_total, bid_group, total)
    group_rate = class_rate[book.bid_class[of_group]]
    if book.factor is not None:  # of several bids the mean
        members = np.bincount(bid_group, minlength=len(of_group))[:, None]
        factor = np.zeros((len(of_group), book.factor.shape[1]))
        np.add.at(factor, bid_group, book.factor)
        group_rate = group_rate * (factor / members)[:, g.pool_chip]
    terms = np.flatnonzero(term & (book.demand > 0).any(axis=1))
    term_rate = class_rate[book.bid_class[terms]]
    if book.factor is not None:
        term_rate = term_rate * book.factor[np.ix_(terms, g.pool_chip)]
    return Pooled(
        pools=g.pools,
        lot_pool=lot_pool,
        lot_mode=mode,
        usable=usable,
        is_sale=g.is_sale,
        start=g.start,
        residual=g.residual,
        offered=offered,
        class_rate=class_rate,
        pool_chip=g.pool_chip,
        lot_step=lot_step,
        bid_group=bid_group,
        bid_tier=bid_tier,
        group_rate=group_rate,
        group_buys=buys[book.bid_class[of_group]] & (apart[of_group] > 0) & ~term[of_group],
        step_pool=lot_pool[of_step],
        step_mode=mode[of_step],
        step_ask=lots["ask_micro"].to_numpy()[of_step],
        step_capacity=step_capacity,
        tier_group=tier_group,
        tier_limit=bids["limit_micro"].to_numpy()[of_tier],
        tier_demand=tier_demand,
        group_demand=group_demand,
        group_total=group_total,
        term_bid=terms.astype(np.int64),
        term_rate=term_rate,
        term_demand=book.demand[terms],
        term_worth=bids["limit_micro"].to_numpy()[terms] * (book.demand[terms] @ book.hours),
    )
