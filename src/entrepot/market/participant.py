"""Was I treated right? One participant's check from the published prices and its own orders alone.

The answer rests on the party's own orders and rows of the result, the prices, the root of the hash tree, and the pools, permits
and counterparties of its trades; it is read from a result that holds the whole book. It trusts nobody's solver: either one
more whole block at the published prices would not better the party's outcome, or its order stands in the list of rejections
in the money.
"""

from __future__ import annotations

import hashlib
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.errors import NotFound
from entrepot.market.checks_devices import gaining_bids, gaining_lots
from entrepot.market.checks_money import (
    best_of_bids,
    best_of_lots,
    buyer_surplus,
    losing_bids,
    payments,
    seller_loss,
    surplus_of_lots,
)
from entrepot.market.facts import MICRO_ROOM, RELATIVE, Facts, Finding, facts, fault_of_shape
from entrepot.market.orders_tree import ARITY, leaves, path, tree
from entrepot.market.records import Clearing
from entrepot.market.verify import Verification, payments_table

__all__ = ["verify_participant"]

I64: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


_PLAIN = 1.0 + 1e-6  # of a price's rounding: a gain that nobody can miss
_COLUMNS = {"check": pl.String, "ok": pl.Boolean, "detail": pl.String}


def verify_participant(clearing: Clearing, party: str) -> Verification:
    """Check one participant's own treatment.

    Parameters
    ----------
    party : id of a seller or buyer of the book

    Returns
    -------
    Verification : ``welfare_micro`` is the party's own surplus at the published prices, ``bound_micro`` the best that it
        could have had at them with divisible devices, and ``gap`` the difference over the latter

    Raises
    ------
    NotFound : the book has no order of that party
    """
    book = clearing.book
    parties = set(book.lots["seller"].to_list()) | set(book.bids["buyer"].to_list())
    if party not in parties:
        raise NotFound("participant", party, sorted(parties))
    broken = fault_of_shape(clearing)
    if broken:
        table = pl.DataFrame([("tables fit together", False, broken)], schema=_COLUMNS, orient="row")
        none = payments_table([], [])
        return Verification(ok=False, checks=table, welfare_micro=0, bound_micro=0, gap=0.0, payments=none)
    f = facts(clearing)
    lots, bids = (book.lots["seller"] == party).to_numpy(), (book.bids["buyer"] == party).to_numpy()
    rows = np.flatnonzero(lots[f.lot] | bids[f.bid])
    paid = {(i, b): n for i, b, n in zip(*(list(x) for x in payments(f, rows)), strict=True)}
    found = {
        "my orders are in the hash tree": _check_tree(f, lots, bids),
        "my devices are whole blocks within my offer": _check_devices(f, lots, rows),
        "my trades are lawful and fit": _check_permits(f, rows),
        "I lose nothing": _check_losses(f, lots, bids),
        "my payments": _check_payments(f, lots, bids, paid),
        "my work": _check_work(f, bids),
        "nothing better, or listed": _check_best(f, lots, bids),
    }
    checks = pl.DataFrame(
        [(name, fault is None, said if fault is None else fault) for name, (fault, said) in found.items()],
        schema=_COLUMNS,
        orient="row",
    )
    mine = float(surplus_of_lots(f)[lots].sum() + buyer_surplus(f)[0][bids].sum())
    best = float(best_of_lots(f)[lots].sum() + best_of_bids(f)[bids].sum())
    own = clearing.trades.filter((pl.col("seller") == party) | (pl.col("buyer") == party))
    names = {(f.lot_name(i), f.bid_name(b)): minor for (i, b), minor in paid.items()}
    due = [names.get(pair, 0) for pair in own.select("lot", "bid").iter_rows()]
    return Verification(
        ok=bool(checks["ok"].all()),
        checks=checks,
        welfare_micro=round(mine),
        bound_micro=round(best),
        gap=(best - mine) / best if best else 0.0,
        payments=payments_table(own["trade"].to_list(), due),
    )


def _check_tree(f: Facts, lots: Mask, bids: Mask) -> Finding:
    """Fold each own leaf with the siblings on its path, and compare with the published root."""
    levels = tree(leaves(f.book))
    own = np.flatnonzero(np.concatenate([lots, bids]))
    counts = b"".join(n.to_bytes(8, "little") for n in (len(lots), len(bids)))
    for order in own.tolist():
        node, at = levels[0][order], order
        for beside in path(levels, order):
            children = [bytes.fromhex(other) for other in beside]
            children.insert(at % ARITY, node)
            node = hashlib.sha256(b"\1" + b"".join(children)).digest()
            at //= ARITY
        if hashlib.sha256(b"\2" + counts + node).hexdigest() != f.clearing.certificate.orders_root:
            return "the published root is not that of a tree with my orders in it", ""
    return None, f"{len(own)} orders, {len(levels) - 1} levels below the root"


def _check_devices(f: Facts, lots: Mask, rows: I64) -> Finding:
    block = f.book.lots["slice"].to_numpy()[f.lot[rows]]
    wrong = rows[(f.devices[rows] <= 0) | (f.devices[rows] % block != 0)]
    if len(wrong):
        return (
            f"lot {f.lot_name(f.lot[wrong[0]])}, bid {f.bid_name(f.bid[wrong[0]])}: not a whole number of blocks",
            "",
        )
    over = np.flatnonzero(lots & (f.let > f.usable).any(axis=1))
    if len(over):
        return f"lot {f.lot_name(over[0])} gives more than it offers", ""
    return None, f"{len(rows)} rows"


def _check_permits(f: Facts, rows: I64) -> Finding:
    law = np.zeros(f.book.rate.shape, dtype=np.bool_)
    permits = f.book.permits
    law[permits["bid_class"].to_numpy(), permits["lot_class"].to_numpy()] = permits["permitted"].to_numpy()
    allowed = law[f.book.bid_class[f.bid[rows]], f.book.lot_class[f.lot[rows]]] & (f.rate[rows] > 0)
    wrong = rows[~allowed]
    if len(wrong):
        return (
            f"lot {f.lot_name(f.lot[wrong[0]])} may not serve, or does not fit, bid {f.bid_name(f.bid[wrong[0]])}",
            "",
        )
    return None, f"{len(rows)} rows, each with a permit"


def _check_losses(f: Facts, lots: Mask, bids: Mask) -> Finding:
    room = RELATIVE * f.ask * (f.let @ f.book.hours) + MICRO_ROOM
    below = seller_loss(f) > f.made_whole + room
    wrong = np.flatnonzero(lots & below)
    if len(wrong):
        return f"lot {f.lot_name(wrong[0])} is sold below its ask", ""
    wrong = np.flatnonzero(bids & losing_bids(f))
    if len(wrong):
        return f"bid {f.bid_name(wrong[0])} pays more than its work is worth", ""
    return None, f"{int(lots.sum())} lots and {int(bids.sum())} bids"


def _check_payments(f: Facts, lots: Mask, bids: Mask, paid: dict[tuple[int, int], int]) -> Finding:
    mine = set(f.book.lots["lot"].filter(pl.Series(lots))) | set(f.book.bids["bid"].filter(pl.Series(bids)))
    stated = {
        (lot, bid): minor
        for lot, bid, minor in f.clearing.trades.select("lot", "bid", "payment_minor").iter_rows()
        if lot in mine or bid in mine
    }
    due = {(f.lot_name(i), f.bid_name(b)): minor for (i, b), minor in paid.items()}
    for pair in sorted(stated.keys() | due.keys()):
        if stated.get(pair) != due.get(pair):
            return f"lot {pair[0]}, bid {pair[1]}: {stated.get(pair)} stated, {due.get(pair)} due", ""
    return None, f"{len(due)} trades, price times device-hours, rounded once each"


def _check_work(f: Facts, bids: Mask) -> Finding:
    own = f.clearing.work.join(
        f.book.bids.select("bid").with_row_index("row").filter(pl.Series(bids)), on="bid", how="inner"
    )
    b, t = own["row"].to_numpy(), own["period"].cast(pl.Int64).to_numpy()
    served = own["served_mtok_per_h"].to_numpy()
    wrong = np.flatnonzero(~(np.abs(served - f.served[b, t]) <= RELATIVE * f.book.demand[b, t]))
    if len(wrong):
        r = wrong[0]
        return (
            f"bid {f.bid_name(b[r])}, period {t[r]}: {served[r]:g} stated, {f.served[b[r], t[r]]:g} found",
            "",
        )
    return None, f"{own.height} periods with demand"


def _check_best(f: Facts, lots: Mask, bids: Mask) -> Finding:
    listed = f.clearing.rejected.filter(pl.col("in_the_money"))
    count = 0
    for side, names, gains in (
        ("lot", f.book.lots["lot"], (gaining_lots(f) > 0) & lots),
        ("bid", f.book.bids["bid"], (gaining_bids(f) > _PLAIN) & bids),
    ):
        could = set(names.filter(pl.Series(gains)).to_list())
        silent = could - set(listed.filter(pl.col("side") == side)["order"].to_list())
        if silent:
            return f"{side} {min(silent)} would gain by one more block at these prices, and is not listed", ""
        count += len(could)
    return None, f"{count} of my orders would gain by one more whole block, and are listed"
