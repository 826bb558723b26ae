"""How does a clearing become entries? Every trade in one transaction: units one way, what is owed for them the other.

- **Sale** of held devices: ``seller:site:available`` -> ``buyer:its site:available``, for good.
- **Sale** of a vendor's order: ``vendor:on-order`` -> ``buyer:its site:on-order``; delivery is a later entry.
- **Lease**: ``seller:site:available`` -> ``seller:site:leased:buyer``, in the hours of the lease and in no other; in the
  tenant's own books ``leased-in`` against ``to-return``.
- **Payment**, on account: ``buyer:payable:seller`` and ``seller:receivable:buyer``; `pay` settles it later, and a debt
  cannot be paid twice. In cash: ``buyer:cash`` to ``seller:cash`` in the trade's own entry, so that units move if and only
  if the money does. No cash is invented.
- **Made whole**: what accepted orders would lose at the prices goes to them, and comes from the orders that gain, in one entry
  through the operator (or ``clearing-house``): what it collects is what it pays out.
- **Fees** of an operator, in the same entry. Each party's money sums to zero by itself: what it pays and earns stands in
  its ``expense``, ``income`` and ``fees``.

Units keep their lot, so their provenance goes with them. The database refuses a trade of units that are not there, and the
settlement is refused when the holdings that the clearing rests on have changed (`entrepot.ledger.basis`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from entrepot.errors import Fault, InputError
from entrepot.ledger.basis import Basis, stated, unchanged
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.opening import day_begins, unit_lot_of_order
from entrepot.ledger.records import Entry, Posting, minor_unit
from entrepot.ledger.slots import rectangles

if TYPE_CHECKING:  # only read here: keeping a ledger needs no solver
    from entrepot.market.records import Clearing
    from entrepot.scenario.records import Horizon, Scenario

__all__ = ["Terms", "clearing_id", "pay", "settle"]

_HOUSE = "clearing-house"  # through whom orders are made whole where nobody is named


def clearing_id(clearing: Clearing, scenario: Scenario) -> str:
    """Return what names a clearing in the books: its day and the root of its orders."""
    return f"{scenario.as_of}/{clearing.certificate.orders_root}"


@dataclass(frozen=True, slots=True)
class Terms:
    """How trades are paid.

    Attributes
    ----------
    cash : pay in the trade's own entry (delivery versus payment); otherwise it is owed
    operator : who takes a fee, and through whom orders are made whole; nobody takes one, if empty
    buyer_fee_bp, seller_fee_bp : of the payment, in hundredths of a percent; rounded half up to the minor unit
    """

    cash: bool = False
    operator: str = ""
    buyer_fee_bp: int = 0
    seller_fee_bp: int = 0

    def __post_init__(self) -> None:
        fees = (self.buyer_fee_bp, self.seller_fee_bp)
        if not all(type(bp) is int and 0 <= bp <= 10_000 for bp in fees) or (any(fees) and not self.operator):
            raise InputError(
                Fault(
                    "fees",
                    f"{fees} hundredths of a percent",
                    "Give whole numbers from 0 to 10,000, and an operator.",
                )
            )


def settle(
    ledger: Ledger,
    clearing: Clearing,
    scenario: Scenario,
    *,
    basis: Basis | None = None,
    terms: Terms | None = None,
) -> tuple[Entry, ...]:
    """Post every trade of a clearing, or none.

    Parameters
    ----------
    scenario : the one that was cleared; says which holding a lot comes from, and where a buyer takes devices
    basis : the holdings that were taken at the gate (`entrepot.ledger.basis.gate`); those that the scenario states, if
        left out
    terms : how trades are paid; on account and without fees, if left out

    Returns
    -------
    One entry per trade, in the order of ``clearing.trades``; then one of what makes orders whole, if anything does

    Raises
    ------
    InputError
        When the clearing is not of this scenario.
    Conflict
        When it was settled before, the holdings that it rests on have changed, or a buyer has not the cash.
    """
    entries = _entries(clearing, scenario, terms or Terms())
    rests = stated(scenario) if basis is None else basis
    sealed = ledger.post_all(
        entries,
        once=clearing_id(clearing, scenario),
        gate=lambda connection: unchanged(connection, rests),
    )
    return tuple(done.entry for done in sealed)


def pay(
    ledger: Ledger,
    id: str,  # noqa: A002 - the record's word
    payer: str,
    payee: str,
    currency: str,
    amount_minor: int,
    *,
    at: dt.datetime,
) -> Entry:
    """Pay what is owed, in cash that is there.

    Raises
    ------
    Conflict
        When the payer has not so much cash, or does not owe so much.
    """
    money = minor_unit(currency)
    postings = (
        Posting(f"{payer}:cash", money, -amount_minor),
        Posting(f"{payer}:payable:{payee}", money, amount_minor),
        Posting(f"{payee}:cash", money, amount_minor),
        Posting(f"{payee}:receivable:{payer}", money, -amount_minor),
    )
    return ledger.post(Entry(id, at, f"{payer} pays {payee} {amount_minor} {money}", postings)).entry


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a lot's units stand, and of which unit lot they are."""

    account: str
    unit_lot: str
    site: str
    on_order: bool


def _entries(clearing: Clearing, scenario: Scenario, terms: Terms) -> list[Entry]:
    _of_this_scenario(clearing, scenario)
    sources = _sources(scenario)
    takes_at = {bid.id: bid.site for bid in scenario.bids}
    uses = _uses(clearing, scenario.horizon)
    settles, money = clearing_id(clearing, scenario), minor_unit(scenario.currency)
    at = day_begins(scenario.as_of)
    prefix = f"{scenario.as_of}/{clearing.certificate.orders_root[:16]}"
    out = []
    for trade in clearing.trades.iter_rows(named=True):
        source = sources.get(trade["lot"])
        if source is None or trade["bid"] not in takes_at:
            raise _other_scenario(
                f"trade {trade['trade']!r} is of lot {trade['lot']!r} and bid {trade['bid']!r}, which it does not have"
            )
        units = (
            _sold(trade, source, takes_at[trade["bid"]])
            if trade["kind"] == "sale"
            else _leased(trade, source, uses, scenario.horizon)
        )
        out.append(
            Entry(
                f"{prefix}/{trade['trade']}",
                at,
                _cause(trade, scenario.currency),
                (*units, *_paid(trade, money, terms)),
                settles=settles,
            )
        )
    whole = _made_whole(clearing, money, terms)
    if whole:
        cause = "what accepted orders would lose at the prices, from the orders that gain"
        out.append(Entry(f"{prefix}/made-whole", at, cause, whole, settles=settles))
    return out


def _made_whole(clearing: Clearing, money: str, terms: Terms) -> tuple[Posting, ...]:
    """Return what each party pays for orders that would lose, then what it gets for its own."""
    if not clearing.make_whole.height:
        return ()
    house = terms.operator or _HOUSE
    owners = {
        "lot": dict(clearing.book.lots.select("lot", "seller").iter_rows()),
        "bid": dict(clearing.book.bids.select("bid", "buyer").iter_rows()),
    }
    pays: dict[str, int] = {}
    gets: dict[str, int] = {}
    charged = clearing.fees.filter(pl.col("fee_minor") > 0).select("side", "order", "fee_minor")
    due = clearing.make_whole.select("side", "order", "amount_minor")
    for table, into in ((charged, pays), (due, gets)):
        for side, order, amount in table.iter_rows():
            into[owners[side][order]] = into.get(owners[side][order], 0) + amount
    out: tuple[Posting, ...] = ()
    for party in sorted(pays):
        out += _from(party, house, pays[party], money, "fees", "fees", terms)
    for party in sorted(gets):
        out += _from(house, party, gets[party], money, "fees", "fees", terms)
    return out


def _sources(scenario: Scenario) -> dict[str, _Source]:
    sites = {holding.id: holding.site for holding in scenario.holdings}
    out = {
        order.id: _Source(f"{order.vendor}:on-order", unit_lot_of_order(order.id), "", on_order=True)
        for order in scenario.orders
    }
    for lot in scenario.lots:
        if lot.holding is not None:
            site = sites[lot.holding]
            out[lot.id] = _Source(f"{lot.seller}:{site}:available", lot.holding, site, on_order=False)
        elif lot.order is not None:
            out[lot.id] = _Source(f"{lot.seller}:on-order", unit_lot_of_order(lot.order), "", on_order=True)
    return out


def _uses(
    clearing: Clearing, horizon: Horizon
) -> Mapping[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]]:
    """Return, for each (lot, bid) of a lease, the (periods,) devices in use."""
    uses: dict[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]] = {}
    for row in clearing.allocation.filter(pl.col("period").is_not_null()).iter_rows(named=True):
        key = (row["lot"], row["bid"])
        if key not in uses:
            uses[key] = np.zeros(horizon.periods, dtype=np.int64)
        uses[key][row["period"]] += row["devices"]
    return uses


def _sold(trade: Mapping[str, Any], source: _Source, site: str) -> tuple[Posting, ...]:
    count, chip = trade["devices_max"], trade["accelerator"]
    state = "on-order" if source.on_order else "available"
    return (
        Posting(source.account, chip, -count, source.unit_lot),
        Posting(f"{trade['buyer']}:{site}:{state}", chip, count, source.unit_lot),
    )


def _leased(
    trade: Mapping[str, Any],
    source: _Source,
    uses: Mapping[tuple[str, str], np.ndarray[Any, np.dtype[np.int64]]],
    horizon: Horizon,
) -> tuple[Posting, ...]:
    if source.on_order:
        raise InputError(
            Fault(
                f"trade {trade['trade']!r}",
                "leases devices that are on order",
                "Lease devices that are held; an order is sold.",
            )
        )
    devices = uses.get((trade["lot"], trade["bid"]), np.zeros(horizon.periods, dtype=np.int64))
    hours = int(devices @ horizon.weight_hours.astype(np.int64))
    if hours != trade["device_hours"]:
        raise InputError(
            Fault(
                f"trade {trade['trade']!r}",
                f"is of {trade['device_hours']} device-hours, and its allocation gives {hours}",
                "Clear again; a clearing whose tables disagree is not settled.",
            )
        )
    leased = f"{trade['seller']}:{source.site}:leased:{trade['buyer']}"
    lent = f"{trade['buyer']}:{source.site}:leased-in:{trade['seller']}"
    owed = f"{trade['buyer']}:{source.site}:to-return:{trade['seller']}"
    return tuple(
        posting
        for slot, count in rectangles(devices, horizon.step_starts)
        for posting in (
            Posting(source.account, trade["accelerator"], -count, source.unit_lot, str(slot)),
            Posting(leased, trade["accelerator"], count, source.unit_lot, str(slot)),
            Posting(lent, trade["accelerator"], count, source.unit_lot, str(slot)),
            Posting(owed, trade["accelerator"], -count, source.unit_lot, str(slot)),
        )
    )


def _paid(trade: Mapping[str, Any], money: str, terms: Terms) -> tuple[Posting, ...]:
    """Return what is paid or owed, for the units and to the operator."""
    amount, buyer, seller = trade["payment_minor"], trade["buyer"], trade["seller"]
    out = _from(buyer, seller, amount, money, "expense", "income", terms)
    for payer, bp in ((buyer, terms.buyer_fee_bp), (seller, terms.seller_fee_bp)):
        out += _from(payer, terms.operator, (amount * bp + 5_000) // 10_000, money, "fees", "fees", terms)
    return out


def _from(
    payer: str, payee: str, amount: int, money: str, spent: str, earned: str, terms: Terms
) -> tuple[Posting, ...]:
    if amount == 0 or payer == payee:
        return ()
    pays, gets = (
        (f"{payer}:cash", f"{payee}:cash")
        if terms.cash
        else (f"{payer}:payable:{payee}", f"{payee}:receivable:{payer}")
    )
    return (
        Posting(pays, money, -amount),
        Posting(f"{payer}:{spent}:{payee}", money, amount),
        Posting(gets, money, amount),
        Posting(f"{payee}:{earned}:{payer}", money, -amount),
    )


def _cause(trade: Mapping[str, Any], currency: str) -> str:
    count = f"{trade['devices_max']} {trade['accelerator']}"
    price = trade["unit_price_micro"] / 1_000_000  # for reading only; what is owed is the integer
    if trade["kind"] == "sale":
        return f"sale of {count}, {price:,.2f} {currency} each, {trade['seller']} to {trade['buyer']}"
    return (
        f"lease of up to {count}, {trade['device_hours']} device-hours at {price:,.4f} {currency},"
        f" {trade['seller']} to {trade['buyer']}"
    )


def _of_this_scenario(clearing: Clearing, scenario: Scenario) -> None:
    if clearing.book.currency != scenario.currency:
        raise _other_scenario(f"it is in {clearing.book.currency}, and the scenario in {scenario.currency}")
    hours = clearing.book.periods["hours"].to_list()
    if hours != scenario.horizon.weight_hours.tolist():
        raise _other_scenario("it is over other periods")


def _other_scenario(what: str) -> InputError:
    return InputError(
        Fault("clearing", f"is not of this scenario: {what}", "Settle it with the scenario that was cleared.")
    )
