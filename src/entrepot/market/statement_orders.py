"""What does one order get from its trades, what does it gain, and could it gain more at the prices? Of one's own orders alone.

Part of checking a statement: plain numbers in, plain numbers out, nothing shared with the code that found the clearing or with
the check of the whole.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

__all__ = ["EXACT", "MICRO", "SERVED", "best_of_bid", "best_of_lot", "gain_of_bid", "gain_of_lot", "let_of", "may_buy",
           "served_by", "surplus_by_period", "worth"]  # fmt: skip

Json: TypeAlias = dict[str, Any]

EXACT = 2e-9  # of a sum of floating-point products
MICRO = 1.0  # a price is rounded to whole micro-units
SERVED = 1e-9  # share of a demand that counts as served


def _hours(public: Json) -> list[float]:
    return [float(p["hours"]) for p in public["periods"]]


def _usable(lot: Json, public: Json) -> list[int]:
    """Return what can be let in each period: whole blocks; one quantity of a constant lot; nothing while it waits."""
    if lot["waits_for"] and lot["waits_for"] not in public["granted"]:
        return [0] * len(lot["capacity"])
    usable = [c - c % lot["block"] for c in lot["capacity"]]
    if lot["whole"] or lot["kind"] == "sale":
        least = min((u for u, c in zip(usable, lot["capacity"], strict=True) if c > 0), default=0)
        usable = [least if c > 0 else 0 for c in lot["capacity"]]
    return usable


def let_of(lot: Json, trades: list[Json], public: Json) -> tuple[list[int], str]:
    """Return the devices that a lot lets in each period, idle parts included, and which of its rules is broken, if any."""
    usable, used = _usable(lot, public), _used(lot, trades)
    block, constant = lot["block"], lot["whole"] or lot["kind"] == "sale"
    let = list(used)
    if constant:
        one = max([lot["committed"] if lot["whole"] and lot["kind"] != "sale" else 0, *used])
        let = [one if u > 0 else 0 for u in usable]
    for t, n in enumerate(let):
        if n > 0:
            least = min(lot["min_fill"], usable[t])
            let[t] = max(n + -n % block, least + -least % block)
    for trade in trades:
        for _, n in trade["devices"]:
            if n % lot["slice"]:
                return let, f"{trade['trade']} takes {n} devices, in parts of {lot['slice']}"
    for t, n in enumerate(let):
        if n > usable[t] or used[t] > lot["capacity"][t]:
            return let, f"period {t}: lets {n} devices of {usable[t]}"
    if lot["kind"] == "sale" and max(let, default=0) != max(used, default=0):
        return let, "is sold in part of its blocks, or below its least quantity"
    return let, ""


def _used(lot: Json, trades: list[Json]) -> list[int]:
    used = [0] * len(lot["capacity"])
    for trade in trades:
        for t, n in trade["devices"]:
            for at in range(len(used)) if t is None else (t,):
                used[at] += n if t is not None or lot["capacity"][at] > 0 else 0
    return used


def served_by(bid: Json, trades: list[Json], public: Json) -> tuple[list[float], str]:
    """Return the Mtok per hour that a bid's devices do for it in each period, and which of its rules is broken, if any."""
    demand, hours, pools = bid["demand"], _hours(public), public["pools"]
    leased, owned = [0.0] * len(demand), [0.0] * len(demand)
    of_pool: dict[int, list[float]] = {}
    where: list[set[int]] = [set() for _ in demand]
    for trade in trades:
        k, rate = trade["pool"], bid["pools"][trade["pool"]]["rate"]
        share = of_pool.setdefault(k, [0.0] * len(demand))
        for t, n in trade["devices"]:
            for at in range(pools[k]["first_period"] or 0, len(demand)) if t is None else (t,):
                (owned if t is None else leased)[at] += n * rate
                share[at] += n * rate
                where[at] |= {k} if t is not None else set()
    done = [a + b for a, b in zip(leased, owned, strict=True)]
    bought = {t["pool"] for t in trades if t["kind"] == "sale"}
    if bid["term"] or bid["total_mtok"] is not None:
        return _of_window(bid, of_pool, done, hours)
    served, fault = [], ""
    for t, most in enumerate(demand):
        own = leased[t] if bid["one_pool"] and leased[t] > 0 else done[t]
        work, least = min(own, most), bid["min_share"] * most * (1 - SERVED)
        if leased[t] > 0 and work < least:
            fault = f"period {t}: {work:g} Mtok per hour, and accepts {least:g} or more"
        served.append(0.0 if leased[t] <= 0 and work < least else work)
        if bid["one_pool"] and len(where[t]) > 1:
            fault = f"period {t}: wants one pool and has {len(where[t])}"
    if bid["one_pool"] and len(bought) > 1:
        fault = "wants one pool and has bought from more"
    return served, fault


def _of_window(
    bid: Json, of_pool: dict[int, list[float]], done: list[float], hours: list[float]
) -> tuple[list[float], str]:
    """Return the same of a bid for a term (one mix in every period) or a total (by its end)."""
    demand = bid["demand"]
    inside = [t for t, most in enumerate(demand) if most > 0]
    if bid["term"]:
        share = sum(min((work[t] / demand[t] for t in inside), default=0.0) for work in of_pool.values())
        served = [most * (1.0 if share > 1 - SERVED else share) for most in demand]
        wanted = _dot(demand, hours)
    else:
        served = [min(a, most) for a, most in zip(done, demand, strict=True)]
        have = _dot(served, hours)
        if have > bid["total_mtok"]:
            served = [x * bid["total_mtok"] / have for x in served]
        wanted = min(bid["total_mtok"], _dot(demand, hours))
    fault, least = "", bid["min_share"] * wanted
    if any(x > 0 for x in done) and _dot(served, hours) < least * (1 - 1e-9):
        fault = f"{_dot(served, hours):g} Mtok through its window, and accepts {least:g} or more"
    if bid["one_pool"] and len(of_pool) > 1:
        fault = f"wants one pool through its window and has {len(of_pool)}"
    return served, fault


def _dot(a: list[float], b: list[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def worth(told: Json, side: str, order: Json) -> tuple[float, float]:
    """Return what an order gains at its payments as they are rounded, and the size of what is added up, micro-units."""
    public, trades = told["public"], [t for t in told["trades"] if t[side] == order[side]]
    unit, hours = 10.0 ** (6 - public["minor_digits"]), _hours(public)
    money = unit * sum(t["payment_minor"] for t in trades)
    if side == "lot":
        let, _ = let_of(order, trades, public)
        time = float(max(let, default=0)) if order["kind"] == "sale" else _dot([float(n) for n in let], hours)
        return money - order["ask_micro"] * time, money + order["ask_micro"] * time
    value = order["limit_micro"] * _dot(order["served"], hours) + _kept(order, trades)
    return value - money, value + money


def _kept(bid: Json, trades: list[Json]) -> float:
    """Return what the devices that a bid buys are worth at the end, micro-units."""
    bought = [t for t in trades if t["kind"] == "sale"]
    return float(sum(n * bid["pools"][t["pool"]]["residual_micro"] for t in bought for _, n in t["devices"]))


def surplus_by_period(told: Json, side: str, order: Json) -> tuple[list[float], float, list[float]]:
    """Return what an order gains in each period at the prices, the size of what is added up, and the room for rounded prices.

    A sale counts in its first period.
    """
    public, trades = told["public"], [t for t in told["trades"] if t[side] == order[side]]
    hours, pools = _hours(public), public["pools"]
    paid, devices = [0.0] * len(hours), [0.0] * len(hours)
    for trade in trades:
        price, first = pools[trade["pool"]]["price_micro"], pools[trade["pool"]]["first_period"] or 0
        for t, n in trade["devices"]:
            at = first if t is None else t
            paid[at] += n * (float(price) if t is None else price[t] * hours[t])
            devices[at] += n * (1.0 if t is None else hours[t])
    if side == "bid":
        value = [order["limit_micro"] * s * h for s, h in zip(order["served"], hours, strict=True)]
        if value:
            value[_first(trades, pools)] += _kept(order, trades)
        gain = [v - p for v, p in zip(value, paid, strict=True)]
        return gain, math.fsum(value) + math.fsum(paid), [MICRO * n for n in devices]
    let, _ = let_of(order, trades, public)
    if order["kind"] == "sale":
        asked = [0.0] * len(hours)
        if asked:
            asked[_first(trades, pools)] = float(order["ask_micro"] * max(let, default=0))
    else:
        asked = [order["ask_micro"] * n * h for n, h in zip(let, hours, strict=True)]
    return (
        [p - a for p, a in zip(paid, asked, strict=True)],
        math.fsum(paid) + math.fsum(asked),
        [0.0] * len(hours),
    )


def _first(trades: list[Json], pools: list[Json]) -> int:
    return min((pools[t["pool"]]["first_period"] or 0 for t in trades if t["kind"] == "sale"), default=0)


def _lease_price(public: Json, k: int, t: int) -> int | None:
    """Return the price of a lease pool in a period; none where it offers nothing, or is for sale."""
    pool = public["pools"][k]
    price: int | None = None if pool["kind"] == "sale" else pool["price_micro"][t]
    return price


def gain_of_lot(lot: Json, let: list[int], public: Json) -> float:
    """Return what one block more would gain at the prices, micro per device-hour (or per device); 0 for nothing."""
    usable, hours = _usable(lot, public), _hours(public)
    room = [u - n >= lot["block"] for u, n in zip(usable, let, strict=True)]
    if lot["kind"] == "sale":
        price = public["pools"][lot["pool"]]["price_micro"]
        return float(max(0, price - lot["ask_micro"])) if any(room) and price is not None else 0.0
    margin = [(p or 0) - lot["ask_micro"] for p in public["pools"][lot["pool"]]["price_micro"]]
    if lot["whole"]:
        total = math.fsum(m * h for m, h, c in zip(margin, hours, lot["capacity"], strict=True) if c > 0)
        return max(0.0, total) if any(room) else 0.0
    return float(max([0, *(m for m, r in zip(margin, room, strict=True) if r)]))


def best_of_lot(lot: Json, public: Json) -> float:
    """Return the most that a lot could earn above its ask at the prices, micro-units."""
    usable, hours, price = _usable(lot, public), _hours(public), public["pools"][lot["pool"]]["price_micro"]
    if lot["kind"] == "sale":
        return float(max(usable, default=0) * max(0, (price or 0) - lot["ask_micro"]))
    margin = [u * ((p or 0) - lot["ask_micro"]) * h for u, p, h in zip(usable, price, hours, strict=True)]
    return max(0.0, math.fsum(margin)) if lot["whole"] else math.fsum(max(0.0, m) for m in margin)


def may_buy(bid: Json) -> bool:
    """Say whether anything is for sale that a bid may use."""
    return any(edge["blocks"] for edge in bid["pools"])


def _cost(bid: Json, public: Json, t: int) -> float:
    """Return the least price of a Mtok in a period over the pools that a bid may use, micro; infinite where there is none."""
    costs = [
        price / edge["rate"]
        for edge in bid["pools"]
        if edge["rate"] > 0 and t not in edge["too_small"]
        and (price := _lease_price(public, edge["pool"], t)) is not None
    ]  # fmt: skip
    return min(costs, default=math.inf)


def best_of_bid(bid: Json, public: Json) -> float | None:
    """Return the most that a bid could gain at the prices, micro-units; none where it may buy, which rests on others' offers."""
    if may_buy(bid):
        return None
    hours, limit, demand = _hours(public), bid["limit_micro"], bid["demand"]
    inside = [t for t, most in enumerate(demand) if most > 0]
    if bid["term"]:
        cheapest = math.inf
        for edge in bid["pools"]:
            prices = [_lease_price(public, edge["pool"], t) for t in inside]
            if edge["rate"] > 0 and None not in prices:
                paid = math.fsum(demand[t] * hours[t] * (p or 0) for t, p in zip(inside, prices, strict=True))
                cheapest = min(cheapest, paid / edge["rate"])
        return max(0.0, limit * _dot(demand, hours) - cheapest) if inside else 0.0
    margins = sorted(
        ((max(0.0, limit - _cost(bid, public, t)), demand[t] * hours[t]) for t in inside), reverse=True
    )
    left, gain = math.inf if bid["total_mtok"] is None else bid["total_mtok"], 0.0
    for margin, most in margins:
        work = min(left, most)
        gain, left = gain + work * margin, left - work
    return gain


def gain_of_bid(bid: Json, public: Json) -> float | None:
    """Return what more would gain at the prices, in multiples of what rounding a price may move; none where not recomputed."""
    demand, served, hours = bid["demand"], bid["served"], _hours(public)
    lacks = [d - s if s < d * (1 - SERVED) else 0.0 for d, s in zip(demand, served, strict=True)]
    if bid["term"] or bid["total_mtok"] is not None:
        best = best_of_bid(bid, public)
        if best is None:
            return None
        wanted = _dot(demand, hours) if bid["total_mtok"] is None else bid["total_mtok"]
        reached = bid["total_mtok"] is not None and _dot(served, hours) >= wanted * (1 - SERVED)
        lacking = any(x > 0 for x in lacks) and not reached
        return best / max(1e-6 * bid["limit_micro"] * wanted, 1e-300) if lacking else 0.0
    most = 0.0
    for t, left in enumerate(lacks):
        cost = _cost(bid, public, t)
        if left <= 0 or bid["limit_micro"] <= cost:
            continue
        if bid["min_share"] > 0 and served[t] <= 0:
            margin = (bid["limit_micro"] - cost) / max(1e-6 * bid["limit_micro"], 1e-300)
            most = max(most, margin if margin > 1 else 0.0)
            continue
        for edge in bid["pools"]:
            part, price = (edge["slice"] or [None] * len(demand))[t], _lease_price(public, edge["pool"], t)
            if edge["rate"] > 0 and part and price is not None:
                gain = (bid["limit_micro"] * min(edge["rate"] * part, left) - price * part) / (MICRO * part)
                most = max(most, gain if gain > 1 else 0.0)
    return max(most, _gain_by_buying(bid, public, lacks))


def _gain_by_buying(bid: Json, public: Json, lacks: list[float]) -> float:
    """Return 2 where one block more, bought at the price, would gain; else 0."""
    hours = _hours(public)
    for edge in bid["pools"]:
        pool = public["pools"][edge["pool"]]
        for block in edge["blocks"] if any(x > 0 for x in lacks) else ():
            there = range(pool["first_period"] or 0, len(hours))
            done = math.fsum(min(edge["rate"] * block, lacks[t]) * hours[t] for t in there)
            net = edge["residual_micro"] - pool["price_micro"] - MICRO
            if bid["limit_micro"] * done + net * block > 0:
                return 2.0
    return 0.0
