"""What would the same market be without this lot, or with that licence? A changed book, and two clearings side by side.

A book is changed in one place only, and cleared and proved again; nothing is estimated from the first clearing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.errors import NotFound
from entrepot.market.permits import ANSWER, Permits
from entrepot.market.records import Book, Clearing

__all__ = ["Compared", "as_if_licensed", "compared", "surpluses", "without"]

_LISTED = r"(?:^|; )The [a-z ]+ is listed \("  # how a finding that rests on a party's listing begins


@dataclass(frozen=True, slots=True)
class Compared:
    """Two clearings side by side; every amount in micro-units of the currency.

    Attributes
    ----------
    totals : what str, before f64, after f64: welfare, bound, gap, payments, work, devices
    prices : label, kind, before f64, after f64 (mean price of the pool; null where it is absent), change f64 (relative)
    orders : order, side, before f64, after f64 (share of the order that is accepted; null where it is absent)
    parties : party, before f64, after f64, change f64: surplus as seller and buyer; greatest gain first
    """

    totals: pl.DataFrame
    prices: pl.DataFrame
    orders: pl.DataFrame
    parties: pl.DataFrame


def without(book: Book, *, lots: Collection[str] = (), bids: Collection[str] = ()) -> Book:
    """Return the book without some orders.

    Raises
    ------
    NotFound : the book has no such order
    """
    for kind, names, known in (("lot", lots, book.lots["lot"]), ("bid", bids, book.bids["bid"])):
        have = set(known.to_list())
        for name in names:
            if name not in have:
                raise NotFound(kind, name, sorted(have))
    keep_lots = ~book.lots["lot"].is_in(list(lots)).to_numpy()
    keep_bids = ~book.bids["bid"].is_in(list(bids)).to_numpy()
    changed = replace(
        book,
        lots=book.lots.filter(pl.Series(keep_lots)),
        capacity=book.capacity[keep_lots],
        lot_class=book.lot_class[keep_lots],
        bids=book.bids.filter(pl.Series(keep_bids)),
        demand=book.demand[keep_bids],
        bid_class=book.bid_class[keep_bids],
    )
    if book.factor is not None:
        stays = [a in set(changed.lots["accelerator"].to_list()) for a in book.accelerators]
        changed = replace(changed, factor=book.factor[keep_bids][:, stays])
    return changed


def as_if_licensed(permits: Permits, grants: Collection[tuple[str, Collection[str] | None]]) -> Permits:
    """Return the permits as they were, had licences that lots need been granted.

    Only an answer "a licence is required" changes. What is prohibited or unknown stays as it is: no licence is known that
    would allow it. A licence is granted to somebody: where a party is on a list, it counts only if its bids are named.

    Parameters
    ----------
    grants : each a lot, and the bids that its licence names; None for all bids but those refused because a party is listed

    Raises
    ------
    NotFound : there is no such lot or bid
    """
    known = {lot: i for i, lot in enumerate(permits.lots)}
    bids = {bid: i for i, bid in enumerate(permits.bids)}
    bid_kind, code, answers = permits.bid_kind.copy(), permits.code, permits.answers
    lot_kind = permits.lot_kind.copy()
    required = pl.col("outcome") == "licence_required"
    listed = pl.col("reason").str.contains(_LISTED)
    may = answers.select(named=required, any=required & ~listed)
    lifted = answers.with_columns(
        permitted=pl.lit(value=True), reason=pl.format("as if the licence were granted: {}", "reason")
    )
    moved = {
        who: np.where(may[who].to_numpy(), answers.height, 0) + np.arange(answers.height)
        for who in may.columns
    }
    answers = pl.concat([answers, lifted.select(list(ANSWER))])
    for name, named in grants:
        if name not in known:
            raise NotFound("lot", name, list(known))
        for bid in named or ():
            if bid not in bids:
                raise NotFound("bid", bid, list(bids))
        row = code[lot_kind[known[name]]].copy()
        if named is None:
            row = _lift(row, moved["any"])
        else:  # the bids named become kinds of their own, apart from others that had the same answers
            for bid in named:
                kind = bid_kind[bids[bid]]
                bid_kind[bids[bid]] = code.shape[1]
                code = np.hstack([code, code[:, [kind]]])
                row = np.append(row, _lift(row[[kind]], moved["named"]))
        lot_kind[known[name]] = len(code)
        code = np.vstack([code, row])
    return replace(permits, lot_kind=lot_kind, bid_kind=bid_kind, code=code, answers=answers)


def _lift(row: NDArray[np.int64], moved: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return answers as granted; one that is granted already stays."""
    return np.where(row < len(moved), moved[np.minimum(row, len(moved) - 1)], row)


def surpluses(clearing: Clearing) -> pl.DataFrame:
    """Return what each party gains by trading at the published prices.

    Returns
    -------
    party, as_seller f64 (received less asks of what is let), as_buyer f64 (worth of the work served and of what is kept,
    less what is paid), surplus f64; micro-units
    """
    book = clearing.book
    unit = 10 ** (6 - book.minor_digits)
    asks = book.lots.select("lot", "ask_micro", "residual_micro")
    trades = clearing.trades.join(asks, on="lot")
    amount = pl.when(pl.col("kind") == "sale").then(pl.col("devices_max")).otherwise(pl.col("device_hours"))
    sellers = trades.group_by(party="seller").agg(
        as_seller=(pl.col("payment_minor") * unit - amount * pl.col("ask_micro")).sum().cast(pl.Float64)
    )
    paid = trades.group_by("buyer").agg(
        paid=(pl.col("payment_minor") * unit).sum().cast(pl.Float64),
        kept=pl.when(pl.col("kind") == "sale")
        .then(pl.col("devices_max") * pl.col("residual_micro"))
        .otherwise(0)
        .sum()
        .cast(pl.Float64),
    )
    worth = (
        clearing.work.join(book.periods.select("period", "hours"), on="period")
        .join(book.bids.select("bid", "buyer", "limit_micro"), on="bid")
        .group_by("buyer")
        .agg(worth=(pl.col("served_mtok_per_h") * pl.col("hours") * pl.col("limit_micro")).sum())
    )
    buyers = (
        worth.join(paid, on="buyer", how="left")
        .with_columns(pl.col("paid", "kept").fill_null(0.0))
        .select(party="buyer", as_buyer=pl.col("worth") + pl.col("kept") - pl.col("paid"))
    )
    everyone = pl.DataFrame(
        {"party": sorted(set(book.lots["seller"].to_list()) | set(book.bids["buyer"].to_list()))},
        schema={"party": pl.String},
    )
    return (
        everyone.join(sellers, on="party", how="left")
        .join(buyers, on="party", how="left")
        .with_columns(pl.col("as_seller", "as_buyer").fill_null(0.0))
        .with_columns(surplus=pl.col("as_seller") + pl.col("as_buyer"))
        .sort("party")
    )


def compared(before: Clearing, after: Clearing) -> Compared:
    """Set two clearings of nearly the same market side by side."""
    return Compared(
        totals=_totals(before, after),
        prices=_beside(_mean_prices(before), _mean_prices(after), ["label", "kind"], relative=True).sort(
            pl.col("change").abs(), "label", descending=[True, False], nulls_last=True
        ),
        orders=_beside(_accepted(before), _accepted(after), ["side", "order"]).sort(
            pl.col("change").abs(), "side", "order", descending=[True, False, False], nulls_last=True
        ),
        parties=_beside(
            surpluses(before).select("party", value="surplus"),
            surpluses(after).select("party", value="surplus"),
            ["party"],
        ).sort("change", "party", descending=[True, False], nulls_last=True),
    )


def _beside(
    before: pl.DataFrame, after: pl.DataFrame, keys: Sequence[str], *, relative: bool = False
) -> pl.DataFrame:
    """Return the values of both by key, and the change."""
    table = before.rename({"value": "before"}).join(
        after.rename({"value": "after"}),
        on=list(keys),
        how="full",
        coalesce=True,
        maintain_order="left_right",
    )
    change = pl.col("after") - pl.col("before")
    if relative:
        change = pl.when(pl.col("before") != 0).then(change / pl.col("before"))
    return table.with_columns(change=change)


def _mean_prices(clearing: Clearing) -> pl.DataFrame:
    hours = clearing.book.periods.select("period", "hours")
    return (
        clearing.prices.join(hours, on="period", how="left")
        .with_columns(pl.col("hours").fill_null(1.0))
        .group_by("label", "kind", maintain_order=True)
        .agg(value=(pl.col("price_micro") * pl.col("hours")).sum() / pl.col("hours").sum())
    )


def _accepted(clearing: Clearing) -> pl.DataFrame:
    """Return the share of each order that is accepted: device-hours of a lot, work of a bid."""
    book = clearing.book
    sale = (book.lots["kind"] == "sale").to_numpy()
    offered = np.where(sale, book.capacity.max(axis=1, initial=0), book.capacity @ book.hours)
    sold = clearing.trades.group_by("lot").agg(
        sold=pl.when(pl.col("kind") == "sale")
        .then(pl.col("devices_max"))
        .otherwise(pl.col("device_hours"))
        .sum()
    )
    lots = (
        pl.DataFrame({"lot": book.lots["lot"], "offered": offered.astype(np.float64)})
        .join(sold, on="lot", how="left", maintain_order="left")
        .select(
            side=pl.lit("lot"),
            order="lot",
            value=pl.when(pl.col("offered") > 0).then(pl.col("sold").fill_null(0) / pl.col("offered")),
        )
    )
    hours = book.periods.select("period", "hours")
    bids = (
        book.bids.select("bid")
        .join(
            clearing.work.join(hours, on="period")
            .group_by("bid")
            .agg(
                wanted=(pl.col("demand_mtok_per_h") * pl.col("hours")).sum(),
                served=(pl.col("served_mtok_per_h") * pl.col("hours")).sum(),
            ),
            on="bid",
            how="left",
            maintain_order="left",
        )
        .select(
            side=pl.lit("bid"),
            order="bid",
            value=pl.when(pl.col("wanted") > 0).then(pl.col("served") / pl.col("wanted")),
        )
    )
    return pl.concat([lots, bids])


def _totals(before: Clearing, after: Clearing) -> pl.DataFrame:
    rows: list[tuple[str, float, float]] = []
    for what, of in (
        ("welfare", lambda c: float(c.certificate.welfare_micro)),
        ("bound", lambda c: float(c.certificate.bound_micro)),
        ("gap", lambda c: float(c.certificate.gap)),
        ("paid", lambda c: float(c.trades["payment_minor"].sum()) * 10 ** (6 - c.book.minor_digits)),
        ("work served, share", _served_share),
        ("trades", lambda c: float(c.trades.height)),
    ):
        rows.append((what, of(before), of(after)))
    return pl.DataFrame(
        rows, schema={"what": pl.String, "before": pl.Float64, "after": pl.Float64}, orient="row"
    )


def _served_share(clearing: Clearing) -> float:
    table = clearing.work.join(clearing.book.periods.select("period", "hours"), on="period")
    wanted = float((table["demand_mtok_per_h"] * table["hours"]).sum())
    return float((table["served_mtok_per_h"] * table["hours"]).sum()) / wanted if wanted else 0.0
