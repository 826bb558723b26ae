"""How does a scenario become an order book? The one door into the market: law and speed come in as plain tables.

An edge between a bid and a lot exists only where a permit says so, the service has a rate on the accelerator, and the bid
accepts the accelerator, the country in which the work would run, and the kind of lot. What is unknown is no edge.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.errors import Fault, InputError
from entrepot.market.permits import ANSWER, Permits
from entrepot.market.records import MICRO, Book
from entrepot.scenario.codes import minor_units
from entrepot.scenario.records import Holding, Lot, LotKind, Scenario

__all__ = ["book"]

F64: TypeAlias = NDArray[np.float64]
I64: TypeAlias = NDArray[np.int64]

_UNDECIDED = ("undecided", "", "no decision was taken on this pair")


def book(
    scenario: Scenario, rates: pl.DataFrame, permits: Permits | pl.DataFrame, capacity: I64, demand: F64
) -> Book:
    """Build the order book of a scenario.

    Parameters
    ----------
    rates : service str, accelerator str, mtok_per_device_hour f64 (null: no rate)
    permits : answers by kinds of lots and bids; or, for few pairs, one row for each: lot str, bid str, permitted bool,
        outcome str, citation str, reason str, and a pair without a row is not permitted
    capacity : (lots, periods) devices offered, in the scenario's order of lots
    demand : (bids, periods) Mtok per hour wanted, in the scenario's order of bids

    Returns
    -------
    Book : lots that are alike in law, rates, accelerator, site, kind and provenance share a class; so do bids that are
        alike in law, rates and wishes

    Raises
    ------
    InputError : the arrays do not have one row per lot and bid and one column per period, or hold what is no quantity
    """
    _check(scenario, capacity, demand)
    law = permits if isinstance(permits, Permits) else _by_pair(scenario, permits)
    text = _alike(scenario)
    # what is alike in everything that matters here is looked at once: the work grows with kinds, not with pairs
    lot_of, lots = _first_of(
        [(*row, kind) for row, kind in zip(text.iter_rows(), law.lot_kind.tolist(), strict=True)]
    )
    wishes = [(b.service, b.site, b.accelerators, b.kinds, b.countries) for b in scenario.bids]
    bid_of, bids = _first_of(
        [(*wish, kind) for wish, kind in zip(wishes, law.bid_kind.tolist(), strict=True)]
    )
    some = replace(
        scenario, lots=tuple(scenario.lots[i] for i in lots), bids=tuple(scenario.bids[b] for b in bids)
    )
    code = (
        law.code[np.ix_(law.lot_kind[lots], law.bid_kind[bids])].T
        if lots and bids
        else np.zeros((len(bids), len(lots)), dtype=np.int64)
    )
    code, decisions = _distinct(code, law.answers)
    permitted = decisions["permitted"].to_numpy()[code]  # (bids, lots) that are looked at
    rate = np.where(permitted & _wanted(some), _rates(some, rates), 0.0)

    alike = (
        text[lots].select(pl.struct(pl.all()).rank("dense")).to_series().to_numpy()
        if lots
        else np.zeros(0, dtype=np.int64)
    )
    lot_class, of_lot = _classes([alike[:, None], code.T, rate.T])
    bid_class, of_bid = _classes([code, rate])
    lot_class, bid_class = lot_class[lot_of], bid_class[bid_of]
    lot_index, bid_index = np.meshgrid(np.arange(len(of_lot)), np.arange(len(of_bid)))
    of_pair = code[np.ix_(of_bid, of_lot)].ravel()
    table = decisions[of_pair].with_columns(
        lot_class=pl.Series(lot_index.ravel(), dtype=pl.Int64),
        bid_class=pl.Series(bid_index.ravel(), dtype=pl.Int64),
    )
    return Book(
        currency=scenario.currency,
        seed=scenario.seed,
        periods=_periods(scenario),
        lots=_lots(scenario, text),
        capacity=capacity.astype(np.int64),
        bids=_bids(scenario),
        demand=demand.astype(np.float64),
        lot_class=lot_class,
        bid_class=bid_class,
        rate=rate[np.ix_(of_bid, of_lot)],
        permits=table.select("lot_class", "bid_class", "permitted", "outcome", "citation", "reason"),
        minor_digits=len(str(minor_units(scenario.currency))) - 1,
        granted=scenario.granted,
        factor=_factor(scenario),
    )


def _factor(scenario: Scenario) -> F64 | None:
    """Return (bids, accelerators of the lots, sorted) private yields; ``None`` where no bid has one."""
    chips = {name: j for j, name in enumerate(sorted({x.accelerator for x in scenario.lots}))}
    row = {b.id: i for i, b in enumerate(scenario.bids)}
    own = [y for y in scenario.yields if y.accelerator in chips and y.bid in row]
    if not own:
        return None
    factor = np.ones((len(row), len(chips)))
    for y in own:
        factor[row[y.bid], chips[y.accelerator]] = y.factor
    return factor


def _check(scenario: Scenario, capacity: I64, demand: F64) -> None:
    periods = scenario.horizon.periods
    faults = []
    for name, array, rows in (
        ("capacity", capacity, len(scenario.lots)),
        ("demand", demand, len(scenario.bids)),
    ):
        if array.shape != (rows, periods):
            faults.append(
                Fault(
                    name,
                    f"its shape is {array.shape}",
                    f"Give one row per order and period: {(rows, periods)}.",
                )
            )
        elif not (np.isfinite(array).all() and (array >= 0).all()):
            faults.append(
                Fault(name, "a quantity is negative or not a number", "Give finite quantities, 0 or more.")
            )
    if faults:
        raise InputError(faults)


def _alike(scenario: Scenario) -> pl.DataFrame:
    """Return what the market sees of each lot beside the law."""
    lots = scenario.lots
    columns = {
        "accelerator": [x.accelerator for x in lots],
        "site": [x.site for x in lots],
        "kind": [x.kind.value for x in lots],
        "provenance": _provenance(scenario),
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _first_of(keys: Sequence[Hashable]) -> tuple[I64, list[int]]:
    """Return which distinct key each one is, in the order in which they appear, and where each appears first."""
    seen: dict[Hashable, int] = {}
    first: list[int] = []
    numbers = np.zeros(len(keys), dtype=np.int64)
    for place, key in enumerate(keys):
        number = seen.setdefault(key, len(seen))
        if number == len(first):
            first.append(place)
        numbers[place] = number
    return numbers, first


def _by_pair(scenario: Scenario, permits: pl.DataFrame) -> Permits:
    """Return one row per pair as permits in which every lot and every bid is a kind of its own."""
    columns = list(ANSWER)
    undecided = pl.DataFrame([(False, *_UNDECIDED)], schema=columns, orient="row")
    distinct = pl.concat([undecided, permits.select(columns).unique(maintain_order=True)])
    distinct = distinct.unique(maintain_order=True).with_row_index("code")
    lot_row = pl.DataFrame({"lot": [x.id for x in scenario.lots], "i": range(len(scenario.lots))})
    bid_row = pl.DataFrame({"bid": [b.id for b in scenario.bids], "b": range(len(scenario.bids))})
    pairs = permits.join(distinct, on=columns, how="inner").join(lot_row, on="lot").join(bid_row, on="bid")
    code = np.zeros((len(scenario.lots), len(scenario.bids)), dtype=np.int64)
    code[pairs["i"].to_numpy(), pairs["b"].to_numpy()] = pairs["code"].to_numpy()
    lots, bids = tuple(x.id for x in scenario.lots), tuple(b.id for b in scenario.bids)
    return Permits(lots, bids, np.arange(len(lots)), np.arange(len(bids)), code, distinct.drop("code"))


def _distinct(code: I64, answers: pl.DataFrame) -> tuple[I64, pl.DataFrame]:
    """Return the codes and the answers with each answer once: two decisions may say the same to the market."""
    numbered = answers.with_row_index("at")
    once = answers.unique(maintain_order=True).with_row_index("code")
    new = numbered.join(once, on=list(ANSWER), how="left", nulls_equal=True, maintain_order="left")[
        "code"
    ].to_numpy()
    renumbered: I64 = new.astype(np.int64)[code]
    return renumbered, once.drop("code")


def _rates(scenario: Scenario, rates: pl.DataFrame) -> F64:
    """Return (bids, lots) Mtok per device-hour; 0 where there is no rate."""
    known = {
        (service, accelerator): rate
        for service, accelerator, rate in rates.select(
            "service", "accelerator", "mtok_per_device_hour"
        ).iter_rows()
        if rate is not None and np.isfinite(rate) and rate > 0
    }
    services, chips = [b.service for b in scenario.bids], [x.accelerator for x in scenario.lots]
    rows = [[known.get((s, c), 0.0) for c in chips] for s in services]
    return np.array(rows, dtype=np.float64).reshape(len(services), len(chips))


def _wanted(scenario: Scenario) -> NDArray[np.bool_]:
    """Return (bids, lots) whether the bid accepts the lot's accelerator, its kind, and the country of the work."""
    wanted = np.zeros((len(scenario.bids), len(scenario.lots)), dtype=np.bool_)
    for b, bid in enumerate(scenario.bids):
        for i, lot in enumerate(scenario.lots):
            # what is leased works where it stands; what is bought works where its buyer takes it
            site = scenario.sites[bid.site if lot.kind is LotKind.SALE else lot.site]
            wanted[b, i] = (
                (not bid.accelerators or lot.accelerator in bid.accelerators)
                and (not bid.kinds or lot.kind in bid.kinds)
                and (not bid.countries or site.country in bid.countries)
                and (not bid.sites or site.id in bid.sites)
            )
    return wanted


def _provenance(scenario: Scenario) -> list[str]:
    """Return what is known of where each lot's devices come from, in words."""
    holdings = {h.id: h for h in scenario.holdings}
    orders = {o.id: o for o in scenario.orders}

    def words(lot: Lot) -> str:
        if lot.order is not None:
            order = orders[lot.order]
            return f"ordered from {order.vendor}, shipped from {order.origin}"
        return _imported(holdings[lot.holding]) if lot.holding is not None else "not stated"

    return [words(lot) for lot in scenario.lots]


def _imported(holding: Holding) -> str:
    if holding.imported_on is None and holding.imported_from is None and holding.authorisation is None:
        return "import not stated"
    day = "on an unknown day" if holding.imported_on is None else holding.imported_on.isoformat()
    source = "an unknown country" if holding.imported_from is None else holding.imported_from
    parts = [
        f"imported {day} from {source}",
        holding.authorisation or "authorisation unknown",
        *holding.conditions,
    ]
    return "; ".join(parts)


def _classes(parts: list[NDArray[np.generic]]) -> tuple[I64, I64]:
    """Find the distinct rows of some matrices side by side; return (rows,) class, (classes,) first row of each."""
    rows = len(parts[0])
    seen: dict[bytes, int] = {}
    first: list[int] = []
    number = np.zeros(rows, dtype=np.int64)
    packed = [np.ascontiguousarray(part) for part in parts]
    for r in range(rows):
        key = b"|".join(part[r].tobytes() for part in packed)
        if key not in seen:
            seen[key] = len(seen)
            first.append(r)
        number[r] = seen[key]
    return number, np.array(first, dtype=np.int64)


def _periods(scenario: Scenario) -> pl.DataFrame:
    horizon = scenario.horizon
    steps = [day.isoformat() for day in horizon.step_starts[:-1] for _ in range(24)]
    hour = np.tile(np.arange(24, dtype=np.int64), len(horizon.step_starts) - 1)
    return pl.DataFrame(
        {
            "period": np.arange(horizon.periods, dtype=np.int64),
            "label": [f"{step} {h:02d}:00" for step, h in zip(steps, hour, strict=True)],
            "step": steps,
            "hour": hour,
            "hours": horizon.weight_hours,
        }
    )


def _lots(scenario: Scenario, text: pl.DataFrame) -> pl.DataFrame:
    lots = scenario.lots
    worth = [
        int(scenario.residual.get(x.accelerator, 0) * MICRO) if x.kind is LotKind.SALE else 0 for x in lots
    ]
    columns = {
        "lot": [x.id for x in lots],
        "seller": [x.seller for x in lots],
        **{name: text[name] for name in ("accelerator", "site", "kind", "provenance")},
        "block": [x.block for x in lots],
        "ask_micro": [int(x.ask * MICRO) for x in lots],
        "residual_micro": worth,
        "whole": [x.whole or x.kind is LotKind.SALE for x in lots],
        "min_fill": [x.min_fill for x in lots],
        "group": [x.group for x in lots],
        "waits_for": [x.waits_for for x in lots],
    }
    schema = dict.fromkeys(columns, pl.String) | dict.fromkeys(
        ("block", "ask_micro", "residual_micro", "min_fill"), pl.Int64
    )
    return pl.DataFrame(columns, schema=schema | {"whole": pl.Boolean})


def _bids(scenario: Scenario) -> pl.DataFrame:
    bids = scenario.bids
    return pl.DataFrame(
        {
            "bid": [b.id for b in bids],
            "buyer": [b.buyer for b in bids],
            "service": [b.service for b in bids],
            "limit_micro": [int(b.limit_per_mtok * MICRO) for b in bids],
            "term": [b.term for b in bids],
            "min_share": [b.min_share for b in bids],
            "one_pool": [b.one_pool for b in bids],
            "group": [b.group for b in bids],
            "total_mtok": [math.inf if b.total_mtok is None else b.total_mtok for b in bids],
        },
        schema={
            "bid": pl.String,
            "buyer": pl.String,
            "service": pl.String,
            "limit_micro": pl.Int64,
            "term": pl.Boolean,
            "min_share": pl.Float64,
            "one_pool": pl.Boolean,
            "group": pl.String,
            "total_mtok": pl.Float64,
        },
    )
