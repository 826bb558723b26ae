"""Why did my order end as it did? Each participant's orders in words that it can hold against the published prices."""

from __future__ import annotations

import polars as pl

from entrepot.market.dues import dues
from entrepot.market.explain import mix
from entrepot.market.what_if import surpluses
from entrepot.report.format import count, from_micro, from_minor, money, percent, price, work
from entrepot.report.records import Run
from entrepot.report.tables import party_name, who_got_what, who_sold_what, work_prices

__all__ = ["participants"]

_WHOLE = 1 - 1e-9  # share of an order that counts as all of it


def participants(run: Run) -> list[dict[str, object]]:
    """Return each party that has orders: its gain, and for each order what it asked, what prices said, what it got and why.

    Returns
    -------
    party, name, gain (money; made whole and charged), dues (what it is made whole with and why, what it is charged; empty
    where neither), orders: side, order, asked, market, got, why (empty where it got all), listed (rejected though the prices
    would have suited it)
    """
    gains = dict(surpluses(run.clearing).select("party", "surplus").iter_rows())
    unit = 10 ** (6 - run.clearing.book.minor_digits)
    told = _dues(run)
    for row in dues(run.clearing).iter_rows(named=True):
        gains[row["party"]] += (row["made_whole_minor"] - row["fee_minor"]) * unit
    orders: dict[str, list[dict[str, object]]] = {}
    for order in [*_lots(run), *_bids(run)]:
        orders.setdefault(str(order.pop("party")), []).append(order)
    currency = run.clearing.book.currency
    return [
        {
            "party": party,
            "name": party_name(run, party),
            "gain": money(from_micro(round(gains[party])), currency),
            "dues": told.get(party, ""),
            "orders": orders[party],
        }
        for party in sorted(orders)
    ]


def _dues(run: Run) -> dict[str, str]:
    """Say of each party what its orders are made whole with, and why, and what they pay so that nobody loses."""
    clearing, book = run.clearing, run.clearing.book
    owner = {
        **{("lot", x): p for x, p in book.lots.select("lot", "seller").iter_rows()},
        **{("bid", x): p for x, p in book.bids.select("bid", "buyer").iter_rows()},
    }
    told: dict[str, list[str]] = {}
    for order, side, amount, reason in clearing.make_whole.iter_rows():
        paid = money(from_minor(amount, book.minor_digits), book.currency).text
        told.setdefault(owner[side, order], []).append(f"{order} is made whole with {paid}: {reason}")
    for row in dues(clearing).filter(pl.col("fee_minor") > 0).iter_rows(named=True):
        fee = money(from_minor(row["fee_minor"], book.minor_digits), book.currency).text
        told.setdefault(row["party"], []).append(f"pays {fee}, its share of what makes orders whole")
    return {party: "; ".join(said) for party, said in told.items()}


def _why(run: Run) -> dict[tuple[str, str], tuple[str, bool]]:
    rows = run.clearing.rejected.select("side", "order", "reason", "in_the_money").iter_rows()
    return {(side, order): (reason, inside) for side, order, reason, inside in rows}


def _lots(run: Run) -> list[dict[str, object]]:
    """Say of each lot what its pool's price was beside its ask."""
    book, currency = run.clearing.book, run.clearing.book.currency
    why = _why(run)
    pool = dict(run.clearing.lot_pool.select("lot", "pool").iter_rows())
    hours = book.periods.select("period", "hours")
    of_pool = {
        int(key[0]): part
        for key, part in run.clearing.prices.join(hours, on="period", how="left").group_by("pool")
    }
    seller = dict(book.lots.select("lot", "seller").iter_rows())
    ask = dict(book.lots.select("lot", "ask_micro").iter_rows())
    told = []
    for x in who_sold_what(run).iter_rows(named=True):
        name = x["lot"]
        unit = "device" if x["kind"] == "sale" else "device-hour"
        prices = of_pool.get(pool[name])
        said = "nothing is offered in any hour"
        if prices is not None and prices.height:
            micro = [int(p) for p in prices["price_micro"]]
            low, high = min(micro), max(micro)
            said = f"the price was {price(from_micro(low), currency).text}"
            if high > low:
                said += f" to {price(from_micro(high)).text}"
            if x["kind"] != "sale":
                time = [float(h) for h in prices["hours"]]
                above = sum(h for h, p in zip(time, micro, strict=True) if p >= ask[name]) / sum(time)
                said += f", at or above the ask in {percent(above, places=0).text} of the hours"
        reason, listed = why.get(("lot", name), ("", False))
        share = x["placed_share"]
        told.append(
            {
                "party": seller[name],
                "side": "lot",
                "order": name,
                "asked": f"up to {count(x['offered_max']).text} {x['chip']} at {x['site']}, {x['kind']}, "
                f"for {price(x['ask'], currency).text} per {unit} or more",
                "market": said,
                "got": f"{percent(share).text} placed, {money(x['received'], currency).text} received",
                "why": "" if share is not None and share > _WHOLE else reason,
                "listed": listed,
            }
        )
    return told


def _bids(run: Run) -> list[dict[str, object]]:
    """Say of each bid what a Mtok came to in the cheapest pool that it may use, beside its limit."""
    book, currency = run.clearing.book, run.clearing.book.currency
    why = _why(run)
    buyer = dict(book.bids.select("bid", "buyer").iter_rows())
    cheapest: dict[str, tuple[object, str]] = {}
    for w in work_prices(run).iter_rows(named=True):
        cost = w["price_per_mtok"]
        if cost is not None and (w["bid"] not in cheapest or cost < cheapest[w["bid"]][0]):
            cheapest[w["bid"]] = (cost, w["label"])
    uses = {
        str(key[0]): "; ".join(part["label"].to_list()[:3])
        for key, part in mix(run.clearing).group_by("bid", maintain_order=True)
    }
    told = []
    for b in who_got_what(run).iter_rows(named=True):
        name = b["bid"]
        said = "no pool may serve it"
        if name in cheapest:
            cost, label = cheapest[name]
            said = f"a Mtok came to {price(cost, currency).text} in the cheapest pool on the mean ({label})"  # type: ignore[arg-type]
        got = f"{percent(b['served_share']).text} served"
        if name in uses:
            got += f" from {uses[name]}, {money(b['paid'], currency).text} paid"
        if b["price_per_mtok"] is not None:
            got += f", {price(b['price_per_mtok']).text} per Mtok"
        reason, listed = why.get(("bid", name), ("", False))
        share = b["served_share"]
        told.append(
            {
                "party": buyer[name],
                "side": "bid",
                "order": name,
                "asked": f"{work(b['demand_mtok']).text} of {b['service']} for {price(b['limit_per_mtok'], currency).text} "
                "per Mtok or less",
                "market": said,
                "got": got,
                "why": "" if share is not None and share > _WHOLE else reason,
                "listed": listed,
            }
        )
    return told
