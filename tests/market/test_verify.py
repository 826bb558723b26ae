"""Does the check catch a lie? One valid clearing, one thing changed, and the check that must fail."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from entrepot.market import Clearing, clear, verify, verify_participant
from entrepot.market.instances import Shape, instance

from .markets import Ask, Want, by_hand


@cache
def honest() -> Clearing:
    """Return a clearing with leases, whole-window leases, sales, partial orders and rejections in the money."""
    shape = Shape(
        orders=40, chips=2, sites=2, services=2, buyers=2, periods=4, blocks=(4, 8), whole_share=0.3, sale_share=0.15,
        legal_share=0.7,
    )  # fmt: skip
    clearing = clear(instance(shape, 0))
    kinds = clearing.trades["kind"].unique().to_list()
    assert sorted(kinds) == ["lease", "sale"]
    assert clearing.rejected["in_the_money"].any()
    assert verify(clearing).ok
    return clearing


def _row(table: pl.DataFrame, at: int, **values: object) -> pl.DataFrame:
    """Return the table with some values of one row changed."""
    here = pl.int_range(pl.len()) == at
    changed = [
        pl.when(here).then(pl.lit(v, dtype=table.schema[k])).otherwise(k).alias(k) for k, v in values.items()
    ]
    return table.with_columns(changed)


def _first(table: pl.DataFrame, where: pl.Expr) -> int:
    """Return the first row where something holds."""
    return int(table.with_row_index("at").filter(where)["at"][0])


def _lease(c: Clearing) -> int:
    return _first(c.allocation, pl.col("period").is_not_null())


def _sale(c: Clearing) -> int:
    return _first(c.allocation, pl.col("period").is_null())


def _whole(c: Clearing) -> int:
    whole = c.book.lots.filter(pl.col("whole") & (pl.col("kind") == "lease"))["lot"].implode()
    return _first(c.allocation, pl.col("lot").is_in(whole))


def _flexible(c: Clearing) -> int:
    flexible = c.book.lots.filter(~pl.col("whole"))["lot"].implode()
    return _first(c.allocation, pl.col("lot").is_in(flexible))


def _allocate(c: Clearing, at: int, **values: object) -> Clearing:
    return replace(c, allocation=_row(c.allocation, at, **values))


def _more_devices(c: Clearing) -> Clearing:
    at = _flexible(c)
    return _allocate(c, at, devices=c.allocation["devices"][at] + 8 * 10**6)


def _fewer_devices(c: Clearing) -> Clearing:
    at = _flexible(c)
    block = c.book.lots.filter(pl.col("lot") == c.allocation["lot"][at])["block"][0]
    return _allocate(c, at, devices=c.allocation["devices"][at] + block)


def _fraction(c: Clearing) -> Clearing:
    at = _lease(c)
    return _allocate(c, at, devices=c.allocation["devices"][at] - 1)


def _negative_devices(c: Clearing) -> Clearing:
    at = _lease(c)
    return _allocate(c, at, devices=-c.allocation["devices"][at])


def _unlawful_buyer(c: Clearing) -> Clearing:
    at = _lease(c)
    lot = c.book.lots["lot"].to_list().index(c.allocation["lot"][at])
    barred = np.flatnonzero(c.book.rate[c.book.bid_class, c.book.lot_class[lot]] == 0)
    return _allocate(c, at, bid=c.book.bids["bid"][int(barred[0])])


def _other_buyer(c: Clearing) -> Clearing:
    at = _lease(c)
    lot = c.book.lots["lot"].to_list().index(c.allocation["lot"][at])
    can = np.flatnonzero(c.book.rate[c.book.bid_class, c.book.lot_class[lot]] > 0)
    taken = c.allocation.filter(pl.col("lot") == c.allocation["lot"][at])["bid"].to_list()
    other = next(name for name in c.book.bids["bid"].gather(can) if name not in taken)
    return _allocate(c, at, bid=other)


def _dropped_permit(c: Clearing) -> Clearing:
    """Take the permit away, and the rate with it: the devices are still there."""
    lot, bid = c.allocation["lot"][0], c.allocation["bid"][0]
    k = int(c.book.lot_class[c.book.lots["lot"].to_list().index(lot)])
    b = int(c.book.bid_class[c.book.bids["bid"].to_list().index(bid)])
    at = _first(c.book.permits, (pl.col("lot_class") == k) & (pl.col("bid_class") == b))
    rate = c.book.rate.copy()
    rate[b, k] = 0.0
    return replace(c, book=replace(c.book, permits=_row(c.book.permits, at, permitted=False), rate=rate))


def _rate_without_permit(c: Clearing) -> Clearing:
    b, k = np.argwhere(c.book.rate == 0)[0]
    rate = c.book.rate.copy()
    rate[b, k] = 1.0
    return replace(c, book=replace(c.book, rate=rate))


def _ask_after_the_gate(c: Clearing) -> Clearing:
    return replace(c, book=replace(c.book, lots=c.book.lots.with_columns(pl.col("ask_micro") + 1)))


def _limit_after_the_gate(c: Clearing) -> Clearing:
    return replace(
        c, book=replace(c.book, bids=_row(c.book.bids, 0, limit_micro=c.book.bids["limit_micro"][0] + 1))
    )


def _demand_after_the_gate(c: Clearing) -> Clearing:
    demand = c.book.demand.copy()
    demand[0, 0] = np.nextafter(demand[0, 0], np.inf)
    return replace(c, book=replace(c.book, demand=demand))


def _proved(c: Clearing, name: str, at: int, by: int, *, shown: bool = True) -> Clearing:
    """Change a price in the certificate, and in the price table too unless it stays as it was."""
    proof = c.certificate
    table = getattr(proof, name)
    value = int(table["price_micro"][at]) + by
    changed = _row(table, at, price_micro=value)
    if name == "sale_price_micro":
        proof = replace(proof, sale_price_micro=changed)
    else:
        proof = replace(proof, lease_price_micro=changed)
    prices = c.prices
    if shown:
        key = table.row(at, named=True)
        period = pl.col("period") == key["period"] if "period" in key else pl.col("period").is_null()
        prices = _row(prices, _first(prices, (pl.col("pool") == key["pool"]) & period), price_micro=value)
    return replace(c, certificate=proof, prices=prices)


def _traded_cell(c: Clearing) -> int:
    """Return the row of a lease price at which something is traded."""
    row = c.allocation.row(_flexible(c), named=True)
    pool = c.lot_pool.filter(pl.col("lot") == row["lot"])["pool"][0]
    return _first(
        c.certificate.lease_price_micro, (pl.col("pool") == pool) & (pl.col("period") == row["period"])
    )


def _a_price_higher(c: Clearing) -> Clearing:
    return _proved(c, "lease_price_micro", _traded_cell(c), 50_000_000)


def _a_price_lower(c: Clearing) -> Clearing:
    at = _traded_cell(c)
    return _proved(c, "lease_price_micro", at, 1 - int(c.certificate.lease_price_micro["price_micro"][at]))


def _a_negative_price(c: Clearing) -> Clearing:
    at = _traded_cell(c)
    return _proved(c, "lease_price_micro", at, -1 - int(c.certificate.lease_price_micro["price_micro"][at]))


def _a_price_shown_otherwise(c: Clearing) -> Clearing:
    return _proved(c, "lease_price_micro", _traded_cell(c), 1, shown=False)


def _a_price_left_out(c: Clearing) -> Clearing:
    at = _traded_cell(c)
    key = c.certificate.lease_price_micro.row(at, named=True)
    here = (pl.col("pool") == key["pool"]) & (pl.col("period") == key["period"])
    proof = replace(c.certificate, lease_price_micro=c.certificate.lease_price_micro.filter(~here))
    return replace(c, certificate=proof, prices=c.prices.filter(~(here.fill_null(value=False))))


def _a_sale_price_higher(c: Clearing) -> Clearing:
    pool = c.lot_pool.filter(pl.col("lot") == c.allocation["lot"][_sale(c)])["pool"][0]
    at = _first(c.certificate.sale_price_micro, pl.col("pool") == pool)
    return _proved(c, "sale_price_micro", at, 10**12)


def _two_pools_of_one_good(c: Clearing) -> Clearing:
    many = c.lot_pool.filter(pl.len().over("pool") > 1)["lot"][0]
    other = c.lot_pool.filter(pl.col("pool") != c.lot_pool.filter(pl.col("lot") == many)["pool"][0])["pool"][
        0
    ]
    return replace(c, lot_pool=_row(c.lot_pool, _first(c.lot_pool, pl.col("lot") == many), pool=other))


def _a_payment_off_by_one(c: Clearing) -> Clearing:
    return replace(c, trades=_row(c.trades, 0, payment_minor=c.trades["payment_minor"][0] + 1))


def _a_trade_left_out(c: Clearing) -> Clearing:
    return replace(c, trades=c.trades[1:])


def _a_trade_for_another_seller(c: Clearing) -> Clearing:
    return replace(c, trades=_row(c.trades, 0, seller="somebody else"))


def _more_device_hours(c: Clearing) -> Clearing:
    return replace(c, trades=_row(c.trades, 0, device_hours=c.trades["device_hours"][0] + 1))


def _whole_for_less(c: Clearing) -> Clearing:
    """Let a whole-window lot bear its ask on fewer devices than it lets in some period."""
    lot = c.allocation["lot"][_whole(c)]
    at = _first(c.lot_pool, pl.col("lot") == lot)
    return replace(c, lot_pool=_row(c.lot_pool, at, committed=0))


def _a_sale_for_an_hour(c: Clearing) -> Clearing:
    return _allocate(c, _sale(c), period=0)


def _a_lease_for_good(c: Clearing) -> Clearing:
    at = _flexible(c)
    row = c.allocation.row(at, named=True)
    rest = c.allocation.filter((pl.col("lot") != row["lot"]) | (pl.col("bid") != row["bid"]))
    lone = c.allocation[at : at + 1].with_columns(period=pl.lit(None, dtype=pl.Int64))
    return replace(c, allocation=pl.concat([rest, lone]))


def _work_made_up(c: Clearing) -> Clearing:
    at = _first(c.work, pl.col("served_mtok_per_h") > 0)
    return replace(c, work=_row(c.work, at, served_mtok_per_h=c.work["served_mtok_per_h"][at] * 1.001))


def _work_left_out(c: Clearing) -> Clearing:
    return replace(c, work=c.work[1:])


def _supply_overstated(c: Clearing) -> Clearing:
    return replace(c, prices=_row(c.prices, 0, supplied=c.prices["supplied"][0] + 1))


def _welfare_overstated(c: Clearing) -> Clearing:
    proof = c.certificate
    return replace(c, certificate=replace(proof, welfare_micro=proof.welfare_micro + 10**4))


def _bound_understated(c: Clearing) -> Clearing:
    proof = c.certificate
    return replace(c, certificate=replace(proof, bound_micro=proof.welfare_micro))


def _gap_understated(c: Clearing) -> Clearing:
    return replace(c, certificate=replace(c.certificate, gap=c.certificate.gap / 2))


def _rejected_twice(c: Clearing) -> Clearing:
    return replace(c, rejected=pl.concat([c.rejected, c.rejected[:1]]))


def _a_rejection_left_out(c: Clearing) -> Clearing:
    return replace(c, rejected=c.rejected.filter(pl.col("in_the_money"))[:-1])


def _a_regret_hidden(c: Clearing) -> Clearing:
    at = _first(c.rejected, pl.col("in_the_money"))
    return replace(c, rejected=_row(c.rejected, at, in_the_money=False))


def _an_unknown_bid(c: Clearing) -> Clearing:
    return _allocate(c, 0, bid="nobody")


def _a_row_twice(c: Clearing) -> Clearing:
    return replace(c, allocation=pl.concat([c.allocation, c.allocation[:1]]))


def _a_period_outside(c: Clearing) -> Clearing:
    return _allocate(c, _lease(c), period=99)


LIES: dict[Callable[[Clearing], Clearing], str] = {
    _ask_after_the_gate: "orders are those of the gate",
    _limit_after_the_gate: "orders are those of the gate",
    _demand_after_the_gate: "orders are those of the gate",
    _rate_without_permit: "no rate without a permit",
    _dropped_permit: "permits are respected",
    _unlawful_buyer: "permits are respected",
    _two_pools_of_one_good: "pools are goods",
    _a_negative_price: "prices are uniform",
    _a_price_shown_otherwise: "prices are uniform",
    _a_price_left_out: "prices are uniform",
    _a_sale_for_an_hour: "leases and sales",
    _a_lease_for_good: "leases and sales",
    _fraction: "whole blocks",
    _negative_devices: "whole blocks",
    _more_devices: "capacity",
    _whole_for_less: "rules of lots",
    _work_made_up: "work and demand",
    _work_left_out: "work and demand",
    _other_buyer: "work and demand",
    _fewer_devices: "balance",
    _supply_overstated: "balance",
    _a_price_lower: "no seller loses",
    _a_price_higher: "no buyer loses",
    _a_sale_price_higher: "no buyer loses",
    _a_payment_off_by_one: "payments",
    _a_trade_left_out: "payments",
    _a_trade_for_another_seller: "payments",
    _more_device_hours: "payments",
    _welfare_overstated: "welfare",
    _bound_understated: "bound",
    _gap_understated: "gap",
    _rejected_twice: "every order once",
    _a_rejection_left_out: "every order once",
    _a_regret_hidden: "in-the-money rejections are listed",
    _an_unknown_bid: "tables fit together",
    _a_row_twice: "tables fit together",
    _a_period_outside: "tables fit together",
}


@pytest.mark.parametrize(("lie", "check"), LIES.items(), ids=lambda x: getattr(x, "__name__", x))
def test_a_lie_is_caught_by_the_check_that_is_about_it(
    lie: Callable[[Clearing], Clearing], check: str
) -> None:
    """Each check earns its place: without it, its lie would pass or be caught only by luck."""
    found = verify(lie(honest()))
    assert not found.ok
    failed = found.checks.filter(~pl.col("ok"))
    assert check in failed["check"].to_list()
    assert all(failed["detail"].str.len_chars() > 10), "a fault is said in words"


@pytest.mark.parametrize("lie", [_a_payment_off_by_one, _ask_after_the_gate, _a_regret_hidden, _fraction])
def test_the_one_who_is_wronged_sees_it_alone(lie: Callable[[Clearing], Clearing]) -> None:
    """A participant needs its own orders and the prices, and nobody's word."""
    told = lie(honest())
    parties = sorted(set(told.book.lots["seller"]) | set(told.book.bids["buyer"]))
    assert not all(verify_participant(told, party).ok for party in parties)


def test_the_check_loads_no_part_of_the_finding() -> None:
    """Checking is small and apart: not the solver, nor any module that finds, is even loaded by it."""
    code = (
        "import importlib.util, sys, types\n"
        "import entrepot\n"
        "package = types.ModuleType('entrepot.market')\n"  # without the package's own list of names
        "package.__path__ = importlib.util.find_spec('entrepot').submodule_search_locations[:]\n"
        "package.__path__ = [package.__path__[0] + '/market']\n"
        "sys.modules['entrepot.market'] = package\n"
        "import entrepot.market.verify\n"
        "print(*sorted(m for m in sys.modules if m.startswith(('entrepot.market.', 'highspy', 'scipy'))))\n"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    names = (
        "checks_devices",
        "checks_fee",
        "checks_money",
        "checks_windows",
        "facts",
        "orders_tree",
        "records",
        "verify",
    )
    assert loaded == [f"entrepot.market.{name}" for name in names]


def test_the_bound_of_a_market_done_by_hand() -> None:
    """10 devices at 2.00 for 20 Mtok at 3.00: at the price of 3.00 the seller's 10.00 are all there is to gain."""
    found = verify(clear(by_hand([Ask("a", 10, 2.0)], [Want("b", 20.0, 3.0)])))
    assert (found.welfare_micro, found.bound_micro, found.gap) == (10_000_000, 10_000_000, 0.0)
