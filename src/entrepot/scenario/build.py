"""Sound tables become the records of `entrepot.scenario.records`. Nothing is checked here any more."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from decimal import Decimal

import polars as pl

from entrepot.scenario.codes import countries
from entrepot.scenario.columns import DEVICES_MAX
from entrepot.scenario.records import Bid, Holding, Horizon, Lot, LotKind, Order, PrivateYield, Site
from entrepot.scenario.typed import parse_hours

__all__ = ["bids", "holdings", "lots", "lots_of_orders", "orders", "origin_site", "origin_sites", "yields"]


def _exact(prices: pl.Series) -> list[Decimal]:
    """Return text as exact amounts; each distinct text is read once."""
    known = {text: Decimal(text) for text in prices.unique().to_list()}
    return [known[text] for text in prices.to_list()]


def _texts(column: pl.Series) -> list[str]:
    texts: list[str] = column.fill_null("").to_list()
    return texts


def holdings(rows: pl.DataFrame) -> tuple[Holding, ...]:
    """Return the holdings in file order."""
    columns = zip(
        rows["id"].to_list(), rows["party"].to_list(), rows["accelerator"].to_list(), rows["site"].to_list(),
        rows["quantity"].to_list(), rows["imported_on"].to_list(), rows["imported_from"].to_list(),
        rows["authorisation"].to_list(), rows["conditions"].to_list(), _texts(rows["note"]), strict=True,
    )  # fmt: skip
    return tuple(
        Holding(id_, party, chip, site, quantity, on, origin, authorisation, tuple(conditions), note)
        for id_, party, chip, site, quantity, on, origin, authorisation, conditions, note in columns
    )


def lots(rows: pl.DataFrame) -> tuple[Lot, ...]:
    """Return the lots in file order; seller, accelerator and site are those of the holding."""
    hours = {text: parse_hours(text) or () for text in rows["hours"].unique().to_list()}
    kinds = {kind.value: kind for kind in LotKind}
    columns = zip(
        rows["id"].to_list(), rows["owner"].to_list(), rows["holding"].to_list(), rows["accelerator"].to_list(),
        rows["site"].to_list(), rows["kind"].to_list(), rows["quantity"].to_list(), rows["block"].to_list(),
        _exact(rows["ask"]), rows["start"].to_list(), rows["end"].to_list(), rows["hours"].to_list(),
        rows["whole"].to_list(), _texts(rows["note"]), rows["min_fill"].to_list(), rows["all_or_none"].to_list(),
        _texts(rows["group"]), _texts(rows["waits_for"]), strict=True,
    )  # fmt: skip
    return tuple(
        Lot(
            id_, seller, holding, None, accelerator, site, kinds[kind], quantity, block, ask, start, end, hours[of_day],
            whole or kind == "sale", note, DEVICES_MAX if all_or_none else min_fill or 0, group, waits_for,
        )
        for (id_, seller, holding, accelerator, site, kind, quantity, block, ask, start, end, of_day, whole, note,
             min_fill, all_or_none, group, waits_for)
        in columns
    )  # fmt: skip


def bids(rows: pl.DataFrame) -> tuple[Bid, ...]:
    """Return the bids in file order."""
    columns = zip(
        rows["id"].to_list(), rows["buyer"].to_list(), rows["service"].to_list(), rows["share"].to_list(),
        _exact(rows["limit_per_mtok"]), rows["site"].to_list(), rows["accelerators"].to_list(),
        rows["countries"].to_list(), rows["kinds"].to_list(), rows["start"].to_list(), rows["end"].to_list(),
        _texts(rows["note"]), rows["sites"].to_list(), rows["min_share"].to_list(), rows["all_or_none"].to_list(),
        rows["one_pool"].to_list(), rows["term"].to_list(), rows["total_mtok_f64"].to_list(), _texts(rows["group"]),
        strict=True,
    )  # fmt: skip
    return tuple(
        Bid(
            id_, buyer, service, share, limit, site, tuple(accelerators), tuple(of), tuple(LotKind(k) for k in kinds),
            start, end, note, tuple(sites), 1.0 if all_or_none else min_share or 0.0, one_pool, term, total, group,
        )
        for (id_, buyer, service, share, limit, site, accelerators, of, kinds, start, end, note, sites, min_share,
             all_or_none, one_pool, term, total, group) in columns
    )  # fmt: skip


def yields(rows: pl.DataFrame) -> tuple[PrivateYield, ...]:
    """Return private yields in file order."""
    return tuple(
        PrivateYield(*row) for row in rows.select("bid", "accelerator", "factor", "source").iter_rows()
    )


def orders(rows: pl.DataFrame) -> tuple[Order, ...]:
    """Return the orders in file order."""
    columns = zip(
        rows["id"].to_list(), rows["vendor"].to_list(), rows["accelerator"].to_list(), rows["origin"].to_list(),
        rows["quantity"].to_list(), rows["block"].to_list(), _exact(rows["price"]), rows["ordered_on"].to_list(),
        rows["deliverable_from"].to_list(), _texts(rows["note"]), _texts(rows["waits_for"]), strict=True,
    )  # fmt: skip
    return tuple(Order(*fields) for fields in columns)


def origin_site(country: str) -> str:
    """Return the id of the implicit site from which a vendor ships; no written id contains a colon."""
    return f"origin:{country}"


def origin_sites(of: tuple[Order, ...]) -> dict[str, Site]:
    """Return one implicit site for each country from which orders ship."""
    vendors: dict[str, set[str]] = {}
    for order in of:
        vendors.setdefault(order.origin, set()).add(order.vendor)
    return {
        origin_site(country): Site(
            id=origin_site(country),
            name=f"{countries()[country]} (vendor's origin)",
            country=country,
            operator=min(names) if len(names) == 1 else "",
        )
        for country, names in vendors.items()
    }


def lots_of_orders(of: tuple[Order, ...], horizon: Horizon) -> tuple[Lot, ...]:
    """Return the sale lot that each order makes: all of it, from the first step after the devices can be delivered."""
    return tuple(
        Lot(
            id=order.id,
            seller=order.vendor,
            holding=None,
            order=order.id,
            accelerator=order.accelerator,
            site=origin_site(order.origin),
            kind=LotKind.SALE,
            quantity=order.quantity,
            block=order.block,
            ask=order.price,
            start=_next_step(order.deliverable_from, horizon),
            end=horizon.end,
            hours=tuple(range(24)),
            whole=True,
            note=order.note,
            waits_for=order.waits_for,
        )
        for order in of
    )


def _next_step(day: dt.date, horizon: Horizon) -> dt.date:
    return horizon.step_starts[bisect_left(horizon.step_starts, day)]
