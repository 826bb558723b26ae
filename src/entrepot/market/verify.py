"""Is this clearing right? Recomputed from the order book and the published result alone.

Nothing here is shared with the code that found the clearing: no solver, no pooling, no rounding. Every check is plain
arithmetic over orders and takes time in proportion to them. A check that fails names the first order at fault.

    facts.py            tables as arrays over orders
    orders_tree.py      the orders are those of the gate
    checks_devices.py   permits, blocks, capacity, work, every order once
    checks_windows.py   terms and totals: one mix through a window, work by a deadline
    checks_money.py     prices, losses, payments, welfare, bound
    checks_fee.py       what orders are made whole with is paid by those that gain
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from entrepot.market import checks_devices as devices
from entrepot.market import checks_fee as fee
from entrepot.market import checks_money as money
from entrepot.market import checks_windows as windows
from entrepot.market.facts import Facts, Finding, facts, fault_of_shape
from entrepot.market.orders_tree import root
from entrepot.market.records import Clearing

__all__ = ["CHECKS", "Verification", "payments_table", "verify"]

_COLUMNS = {"check": pl.String, "ok": pl.Boolean, "detail": pl.String}


@dataclass(frozen=True, slots=True)
class Verification:
    """What an independent check of a clearing found.

    Attributes
    ----------
    ok : every check passed
    checks : check str, ok bool, detail str: what was compared, or which order fails first
    welfare_micro, bound_micro, gap : recomputed from the book, the allocation and the prices; 0 where the result is too
        broken to compute them, and for one participant its own surplus and best surplus
    payments : trade str, payment_minor i64: recomputed
    """

    ok: bool
    checks: pl.DataFrame
    welfare_micro: int
    bound_micro: int
    gap: float
    payments: pl.DataFrame


def verify(clearing: Clearing) -> Verification:
    """Check every claim of a clearing against its order book.

    Returns
    -------
    Verification : with one row per check, in the order of `CHECKS`. Where the tables do not even fit together, only that
        is reported
    """
    broken = fault_of_shape(clearing)
    if broken:
        table = pl.DataFrame([("tables fit together", False, broken)], schema=_COLUMNS, orient="row")
        return Verification(
            ok=False, checks=table, welfare_micro=0, bound_micro=0, gap=0.0, payments=payments_table([], [])
        )
    known = facts(clearing)
    rows = [("tables fit together", True, "every row names a known order, once")]
    for name, check in CHECKS.items():
        fault, said = check(known)
        rows.append((name, fault is None, said if fault is None else fault))
    table = pl.DataFrame(rows, schema=_COLUMNS, orient="row")
    welfare, bound = round(money.welfare(known)), money.bound(known)
    return Verification(
        ok=bool(table["ok"].all()),
        checks=table,
        welfare_micro=welfare,
        bound_micro=round(bound),
        gap=(bound - welfare) / bound if bound else 0.0,
        payments=payments_table(clearing.trades["trade"].to_list(), money.due_of_trades(known).tolist()),
    )


def payments_table(trade: list[str], minor: list[int]) -> pl.DataFrame:
    """Return payments as a table."""
    return pl.DataFrame(
        {"trade": trade, "payment_minor": minor}, schema={"trade": pl.String, "payment_minor": pl.Int64}
    )


def check_orders(f: Facts) -> Finding:
    """Compare the root stated with that of the orders, salted with the operator's key."""
    mine, stated = root(f.book), f.clearing.certificate.orders_root
    key = "" if f.book.salt_key else ", or the salt key is missing"
    return (
        None if mine == stated else f"the orders hash to {mine}, not to {stated}: an order differs{key}"
    ), f"root {mine}"


CHECKS: dict[str, Callable[[Facts], Finding]] = {
    "orders are those of the gate": check_orders,
    "no rate without a permit": devices.check_rates,
    "permits are respected": devices.check_permits,
    "pools are goods": money.check_pools,
    "prices are uniform": money.check_prices,
    "leases and sales": devices.check_kinds,
    "whole blocks": devices.check_blocks,
    "capacity": devices.check_capacity,
    "rules of lots": devices.check_lot_rules,
    "rules of bids": devices.check_bid_rules,
    "terms and totals": windows.check_windows,
    "work and demand": devices.check_demand,
    "balance": devices.check_balance,
    "no seller loses": money.check_sellers,
    "no buyer loses": money.check_buyers,
    "made whole": money.check_made_whole,
    "payments": money.check_payments,
    "fees": fee.check_fees,
    "welfare": money.check_welfare,
    "bound": money.check_bound,
    "gap": money.check_gap,
    "every order once": devices.check_once,
    "in-the-money rejections are listed": devices.check_in_the_money,
}
