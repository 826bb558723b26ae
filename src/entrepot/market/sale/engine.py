"""How is a market cleared in which devices change hands for good? The path on one page.

1. The divisible market of everything, sales, leases, terms and totals, is one linear program (see `solve`): its duals are prices
   of devices and of device-hours. Above a few hundred bids that may buy, bids of one class whose demand has the same shape share
   a group there, in a larger market still all bids of one class; every bid's bound is computed with its own numbers all the same.
2. Who buys, in whole slices and from which lots (`buy`).
3. The leases that are left are a market of their own, cleared by the engine for it, with every rule (`own.rest`).
4. A small market is searched as one mixed-integer program at the prices (`search`); the better of the two is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.errors import Unproven
from entrepot.market import outcome as tables
from entrepot.market.certify import bound
from entrepot.market.found import Found
from entrepot.market.goods import SALE, Goods
from entrepot.market.placing import Ties
from entrepot.market.pool import Pooled, pool
from entrepot.market.price import Prices, publish
from entrepot.market.records import Book
from entrepot.market.sale.buy import Purchase, best_of_groups, gains_of_lots, purchase
from entrepot.market.sale.groups import apart, by_class
from entrepot.market.sale.margins import costs_of_work, work_prices
from entrepot.market.sale.own import owning, rest
from entrepot.market.sale.search import searched
from entrepot.market.solve import Solved, solve
from entrepot.market.split import FOR_GOOD, Placed
from entrepot.market.terms import long_bids
from entrepot.market.watch import Watch

__all__ = ["FLOWS_MAX", "clear_sale"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]

Leases: TypeAlias = Callable[[Book, Goods, Watch], Found]

_SEARCH_S = 10.0


def clear_sale(book: Book, goods: Goods, watch: Watch, ties: Ties, leases: Leases) -> Found:
    """Clear a book in which bids may buy devices.

    Parameters
    ----------
    ties : who wins
    leases : the engine that clears what is left to lease

    Raises
    ------
    Unproven : the solver stopped without an optimum
    """
    pooled, solved = _divisible(book, goods, watch)
    prices = publish(pooled, solved)
    watch.tell("prices", None, None)
    lease = prices.lease.astype(np.float64)
    avoid = costs_of_work(book, goods, lease)
    own = owning(book, goods, _wanted(book, pooled, solved))
    bought = purchase(book, goods, prices, own, avoid, _wants(book, pooled, solved), ties)
    found = _with_leases(book, goods, watch, prices, bought, leases, ties)
    plain = None
    if len(bought.lot) and watch.left(_SEARCH_S) >= _SEARCH_S and book.bids.height <= _SMALL:
        plain = _with_leases(book, goods, watch, prices, _nothing(bought), leases, ties)
    none = np.zeros(0, dtype=np.int64)
    nothing = replace(found, placed=Placed(none, none, none, none), committed=None)
    stand = [f for f in (found, plain) if f is not None and _stands(book, goods, f)]
    best = max([nothing, *stand], key=lambda f: _welfare(book, goods, f))
    watch.tell("whole orders", _welfare(book, goods, best), None)
    better = searched(book, goods, prices, watch.left(_SEARCH_S), ties)
    if better is not None:
        other = Found(prices, better, work_prices(book, goods, prices.lease, prices.sale))
        if _welfare(book, goods, other) > _welfare(book, goods, best) and _stands(book, goods, other):
            best = other
    return _tightest(book, goods, best, prices)


_SMALL = 2_000  # bids up to which the market without any sale is tried beside it


FLOWS_MAX = 60_000  # (group, pool, period) entries of the divisible market above which bids of one class share a group
_LEASES_S = 6.0  # for the search of the leases that purchases leave, and of those without any


def _divisible(book: Book, goods: Goods, watch: Watch) -> tuple[Pooled, Solved]:
    """Return the optimum of the divisible market, or of one in which like bids share what they own: the finest that is affordable.

    Seconds decide only where the user limits them: half of what is left may go to the finer one.
    """
    fine = pool(book, goods, apart(book, goods))
    flows = float(((fine.group_rate > 0).sum(axis=0) @ (fine.offered > 0)).sum())
    if flows <= FLOWS_MAX:
        try:
            return fine, solve(fine, book.hours, left=watch.until(watch.left(math.inf) / 2))
        except Unproven:
            if math.isinf(watch.left(math.inf)):
                raise
    coarse = pool(book, goods, by_class(book))
    return coarse, solve(coarse, book.hours)


def _wanted(book: Book, pooled: Pooled, solved: Solved) -> F64:
    """Return (bids, periods) work that each bid may do with what it owns: of a total what the optimum serves."""
    share = np.divide(
        solved.served, pooled.tier_demand, out=np.zeros_like(solved.served), where=pooled.tier_demand > 0
    )
    served: F64 = np.where(long_bids(book)[1][:, None], share[pooled.bid_tier] * book.demand, book.demand)
    return served


def _wants(book: Book, pooled: Pooled, solved: Solved) -> tuple[F64, F64]:
    """Return (bids, pools) devices that the optimum sells to each bid, and shares of bids for a term."""
    share = np.divide(
        solved.served, pooled.tier_demand, out=np.zeros_like(solved.served), where=pooled.tier_demand > 0
    )
    weight = (share[pooled.bid_tier] * book.demand) @ book.hours * ~book.bids["term"].to_numpy()
    total = np.bincount(pooled.bid_group, weight, minlength=len(pooled.group_rate))[pooled.bid_group]
    part = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    shares = np.zeros((book.bids.height, len(pooled.is_sale)))
    shares[pooled.term_bid] = solved.term
    return solved.bought[pooled.bid_group] * part[:, None], shares


def _nothing(like: Purchase) -> Purchase:
    none = np.zeros(0, dtype=np.int64)
    return Purchase(
        none, none, none, np.zeros_like(like.capacity), np.zeros_like(like.sold), np.zeros_like(like.done)
    )


def _with_leases(
    book: Book, goods: Goods, watch: Watch, prices: Prices, bought: Purchase, leases: Leases, ties: Ties
) -> Found:
    """Clear the leases that purchases leave, and put both together."""
    taken = book.lots["group"].filter(pl.Series(bought.sold) & (book.lots["group"] != "")).unique()
    lets = goods.lot_mode != SALE
    gain = np.where(lets, gains_of_lots(book, goods, prices), -np.inf)
    out = ~lets | ~best_of_groups(book, gain, ties) | book.lots["group"].is_in(taken.implode()).to_numpy()
    market, of_leases = rest(book, goods, bought.capacity, out, bought.done)
    found = leases(market, of_leases, watch.part(_LEASES_S))
    placed = found.placed
    lot, bid = np.concatenate([placed.lot, bought.lot]), np.concatenate([placed.bid, bought.bid])
    period = np.concatenate([placed.period, np.full(len(bought.lot), FOR_GOOD)])
    devices = np.concatenate([placed.devices, bought.devices])
    order = np.lexsort((period, bid, lot))
    together = Prices(found.prices.lease, prices.sale, prices.work)
    result = Found(
        together,
        Placed(lot[order], bid[order], period[order], devices[order]),
        work_prices(book, goods, together.lease, together.sale),
        found.committed,
    )
    return _without_losses(book, goods, result)


def _welfare(book: Book, goods: Goods, found: Found) -> float:
    out = tables.outcome(book, goods, found.placed, found.committed)
    return tables.welfare(book, found.placed, out)


def _tightest(book: Book, goods: Goods, found: Found, prices: Prices) -> Found:
    """Publish the prices of the divisible market instead, where they prove more and nobody loses at them."""
    other = replace(found, prices=prices, work=work_prices(book, goods, prices.lease, prices.sale))
    proved = bound(book, goods, found.prices, found.work), bound(book, goods, other.prices, other.work)
    if proved[1] < proved[0] and not _loses(book, goods, other).any():
        return other
    return found


def _stands(book: Book, goods: Goods, found: Found) -> bool:
    """Say whether a placing keeps least shares to the last device, groups and one pool, and nobody loses who is not made whole.

    A solver keeps rows only nearly, and an engine that does not know a rule must not decide what is published.
    """
    placed = found.placed
    out = tables.outcome(book, goods, placed, found.committed)
    leases = placed.period != FOR_GOOD
    leased = np.zeros(book.demand.shape, dtype=np.bool_)
    leased[placed.bid[leases], placed.period[leases]] = True
    has = np.zeros(book.bids.height, dtype=np.bool_)
    has[placed.bid] = True
    long, share = np.logical_or(*long_bids(book)), book.bids["min_share"].to_numpy() * (1 - 1e-9)
    little = ~long[:, None] & leased & (out.served < share[:, None] * book.demand)
    wanted = np.minimum(book.bids["total_mtok"].to_numpy(), book.demand @ book.hours)
    little_long = long & has & (out.served @ book.hours < share * wanted)
    let = np.zeros(book.lots.height, dtype=np.bool_)
    let[placed.lot] = True
    twice = any(
        table["group"].filter(pl.Series(mine) & (table["group"] != "")).is_duplicated().any()
        for table, mine in ((book.lots, let), (book.bids, has))
    )
    single = book.bids["one_pool"].to_numpy()[placed.bid]
    when = np.where(long[placed.bid], -2, placed.period)[single]
    pools = pl.DataFrame(
        {"bid": placed.bid[single], "when": when, "pool": goods.lot_pool[placed.lot[single]]}
    )
    many = pools.unique().select("bid", "when").is_duplicated().any()
    lost = (_loses(book, goods, found) & ~long & _may_buy(book, goods)).any()
    return not (little.any() or little_long.any() or twice or many or lost)


def _loses(book: Book, goods: Goods, found: Found) -> Mask:
    """Return (bids,) which would pay more than their work is worth: by the hour, or over all where it may own devices."""
    surplus, paid = _surplus(book, goods, found)
    room = 1e-9 * np.abs(paid)
    by_hour = (surplus < -room).any(axis=1)
    over_all = surplus.sum(axis=1) < -room.sum(axis=1)
    weighs_all = np.logical_or(*long_bids(book)) | _may_buy(book, goods)
    loses: Mask = np.where(weighs_all, over_all, by_hour)
    return loses


def _surplus(book: Book, goods: Goods, found: Found) -> tuple[F64, F64]:
    """Return (bids, periods) worth less price, and price, micro; what a sale costs stands in the first period."""
    placed, prices = found.placed, found.prices
    out = tables.outcome(book, goods, placed, found.committed)
    hours, limit = book.hours, book.bids["limit_micro"].to_numpy().astype(np.float64)
    good = placed.period == FOR_GOOD
    at = np.where(good, 0, placed.period)
    of = goods.lot_pool[placed.lot]
    cost = placed.devices * np.where(
        good, prices.sale[of] - goods.residual[of], prices.lease[of, at] * hours[at]
    )
    paid = np.zeros(book.demand.shape)
    np.add.at(paid, (placed.bid, at), cost)
    surplus: F64 = limit[:, None] * out.served * hours - paid
    return surplus, paid


def _may_buy(book: Book, goods: Goods) -> Mask:
    """Return (bids,) which could use devices for sale: they weigh the whole horizon, and are never made whole."""
    live = goods.is_sale & (goods.offered > 0).any(axis=1)
    may: Mask = np.asarray(((goods.class_rate > 0) & live).any(axis=1))[book.bid_class]
    return may


def _without_losses(book: Book, goods: Goods, found: Found) -> Found:
    """Take the leases of bids that may buy and lose over the horizon away in the periods in which they lose.

    The market of leases may place a bid above its worth by the hour, since it is made whole there; these are not.
    """
    placed = found.placed
    loses = _loses(book, goods, found) & ~np.logical_or(*long_bids(book)) & _may_buy(book, goods)
    if not loses.any() or found.committed is not None:
        return found
    surplus = _surplus(book, goods, found)[0]
    out = loses[placed.bid] & (placed.period != FOR_GOOD)
    out &= surplus[placed.bid, np.maximum(placed.period, 0)] < 0
    left = Placed(placed.lot[~out], placed.bid[~out], placed.period[~out], placed.devices[~out])
    return replace(found, placed=left)
