"""Was I treated right? One party's statement, checked by plain arithmetic, without anybody else's orders.

Part of checking, and apart even from `entrepot.market.verify`: it reads JSON and the standard library does the rest, so that a
party can read it in one sitting and write it again. What a party cannot know from its own orders (the operator's estimates of
rates, the words of the law, how much others offer) it can only hold against the operator's word; `said` marks those.

    statement_form.py      is it a statement at all?
    statement_orders.py    what each of my orders gets, from my trades
    this                   root, prices, payments, losses, fees, rejections, totals
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, TypeAlias

from entrepot.market.canonical import digest
from entrepot.market.statement_form import fault_of_form
from entrepot.market.statement_orders import (
    EXACT,
    MICRO,
    SERVED,
    best_of_bid,
    best_of_lot,
    gain_of_bid,
    gain_of_lot,
    let_of,
    may_buy,
    served_by,
    surplus_by_period,
    worth,
)

__all__ = ["Finding", "check_statement"]

Json: TypeAlias = dict[str, Any]
Finding: TypeAlias = tuple[str, bool, str]  # check, passed, what was compared or what is wrong

_LOT = ("lot", "seller", "accelerator", "site", "kind", "provenance", "block", "ask_micro", "residual_micro", "whole",
        "slice", "min_fill", "group", "waits_for")  # fmt: skip
_BID = ("bid", "buyer", "service", "limit_micro", "term", "one_pool", "group")
_REASONS = (
    "let below its ask: the price of some hours is lower",
    "the idle part of a shared node",
    "its least quantity: more is let than is used",
    "idle hours of its window",
    "placed above its worth: all together gain more by it",
)


_ALTERNATIVE = "another of its exclusive group was taken"
_STRUCTURE = "my trades are of my orders, in published pools"


class _Wrong(Exception):  # noqa: N818 - carries a finding, never leaves this module
    """What does not hold."""


def check_statement(
    told: Json, *, published: Json | None = None, seed_sha256: str | None = None
) -> list[Finding]:
    """Check one party's statement.

    Parameters
    ----------
    told : as read from the file
    published : the public result as the operator published it (``public.json``), to hold the statement against
    seed_sha256 : the hash of the seed that was published before the gate

    Returns
    -------
    (check, passed, detail); only the first, where it is no statement
    """
    broken = fault_of_form(told)
    if broken:
        return [("it is a statement", False, broken)]
    found: list[Finding] = [("it is a statement", True, f"of {told['party']}")]
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("nothing was changed after it was made", lambda: _seal(told)),
        ("it is of the published result", lambda: _published(told, published)),
        ("the seed is the one that was committed", lambda: _seed(told, seed_sha256)),
        ("my orders are in the tree", lambda: _tree(told)),
        (_STRUCTURE, lambda: _trades(told)),
        ("my trades are permitted, and fit", lambda: _permits(told)),
        ("my limits, windows, blocks and least shares are kept", lambda: _rules(told)),
        ("my work", lambda: _work(told)),
        ("my payments, to the minor unit", lambda: _payments(told)),
        ("I lose nothing, or am made whole", lambda: _losses(told)),
        ("my share of the fee, to the minor unit", lambda: _fees(told)),
        ("what is left of my orders is listed", lambda: _left(told)),
        ("nothing better for me at these prices, or listed", lambda: _best(told)),
        ("my totals", lambda: _totals(told)),
        ("the certificate adds up", lambda: _certificate(told)),
    )
    for name, check in checks:
        try:
            found.append((name, True, check()))
        except _Wrong as wrong:
            found.append((name, False, str(wrong)))
        except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as fault:
            # fields of the right kind that do not fit each other, such as a number beyond 64 bits
            found.append((name, False, f"cannot be computed from what is stated: {fault}"))
        if name == _STRUCTURE and not found[-1][1]:
            break  # nothing below can be read without it
    return found


def _need(holds: object, fault: str) -> None:
    if not holds:
        raise _Wrong(fault)


def _close(a: float, b: float, room: float) -> bool:
    return abs(a - b) <= room


def _seal(told: Json) -> str:
    rest = {k: v for k, v in told.items() if k != "sha256"}
    _need(digest(rest) == told["sha256"], "its SHA-256 is not that of its content")
    return f"SHA-256 {told['sha256']}"


def _published(told: Json, published: Json | None) -> str:
    _need(
        digest(told["public"]) == told["public_sha256"],
        "the public part does not have the SHA-256 that is stated",
    )
    if published is None:
        return f"hold this against what the operator published: SHA-256 {told['public_sha256']}"
    _need(published.get("public") == told["public"], "the public part is not what the operator published")
    return "the same prices, root and certificate as published"


def _seed(told: Json, committed: str | None) -> str:
    public = told["public"]
    mine = hashlib.sha256(public["seed"].encode()).hexdigest()
    _need(mine == public["seed_sha256"], f"the seed hashes to {mine}, not to {public['seed_sha256']}")
    _need(committed is None or committed == mine, f"the seed hashes to {mine}, and {committed} was committed")
    return (
        "as published before the gate"
        if committed
        else f"hold this against what was published before: {mine}"
    )


def _tree(told: Json) -> str:
    """Hash each order with its salt, go up its path, and compare with the root."""
    orders = told["public"]["orders"]
    seen = set()
    for side, order in _orders(told):
        name = order[side]
        first, count = (0, orders["lots"]) if side == "lot" else (orders["lots"], orders["bids"])
        at = order["index"]
        _need(first <= at < first + count, f"{side} {name}: place {at} is not among the {side}s")
        _need(at not in seen, f"{side} {name}: two orders at place {at}")
        seen.add(at)
        node, width = _leaf(told, side, order), orders["lots"] + orders["bids"]
        for beside in order["path"]:
            group = min(8, width - at // 8 * 8)
            _need(
                len(beside) == group - 1,
                f"{side} {name}: {len(beside)} hashes beside it, {group - 1} expected",
            )
            children = [bytes.fromhex(other) for other in beside]
            children.insert(at % 8, node)
            node = hashlib.sha256(b"\1" + b"".join(children)).digest()
            at, width = at // 8, -(-width // 8)
        _need(width == 1, f"{side} {name}: its path ends below the root")
        top = b"\2" + struct.pack("<QQ", orders["lots"], orders["bids"]) + node
        _need(
            hashlib.sha256(top).hexdigest() == orders["root"], f"{side} {name} is not in the tree of the root"
        )
    return f"{len(seen)} orders, as I filed them"


def _orders(told: Json) -> Iterator[tuple[str, Json]]:
    for side in ("lot", "bid"):
        for order in told[side + "s"]:
            yield side, order


def _leaf(told: Json, side: str, order: Json) -> bytes:
    mine = {**order, "seller": told["party"], "buyer": told["party"]}
    fields = [mine[f] for f in (_LOT if side == "lot" else _BID)]
    text = "\x1f".join([side, *(str(x).lower() if isinstance(x, bool) else str(x) for x in fields), ""])
    if side == "lot":
        numbers = struct.pack(f"<{len(order['capacity'])}q", *order["capacity"])
    else:
        total = math.inf if order["total_mtok"] is None else order["total_mtok"]
        values = [order["min_share"], total, *order["demand"], *(order["factor"] or [])]
        numbers = struct.pack(f"<{len(values)}d", *values)
    return hashlib.sha256(b"\0" + bytes.fromhex(order["salt"]) + text.encode() + numbers).digest()


def _trades(told: Json) -> str:
    """Compare each trade with the order of mine that it is of, and with its pool."""
    pools = told["public"]["pools"]
    mine = {side: {o[side]: o for o in told[side + "s"]} for side in ("lot", "bid")}
    seen = set()
    for trade in told["trades"]:
        name, key = trade["trade"], (trade["lot"], trade["bid"])
        _need(key not in seen, f"{name}: the same lot and bid twice")
        seen.add(key)
        sells, buys = trade["seller"] == told["party"], trade["buyer"] == told["party"]
        _need(sells or buys, f"{name}: I am neither its seller nor its buyer")
        _need(sells == (trade["lot"] in mine["lot"]), f"{name}: its lot is not mine")
        _need(buys == (trade["bid"] in mine["bid"]), f"{name}: its bid is not mine")
        _need(trade["pool"] < len(pools), f"{name}: there is no pool {trade['pool']}")
        beside: list[tuple[Json, str]] = [(pools[trade["pool"]], "its pool")]
        if sells:
            beside.append((mine["lot"][trade["lot"]], "my lot"))
        for other, what in beside:
            for field in ("accelerator", "site", "kind", "provenance", "pool"):
                _need(trade[field] == other[field], f"{name}: its {field} is not that of {what}")
        periods = [t for t, _ in trade["devices"]]
        _need(len(set(periods)) == len(periods) > 0, f"{name}: a period twice, or none")
        _need(
            (periods == [None]) == (trade["kind"] == "sale"), f"{name}: a sale has no period, and a lease has"
        )
        _need(
            all(t is None or t < len(told["public"]["periods"]) for t in periods), f"{name}: a period outside"
        )
        _need(all(n > 0 for _, n in trade["devices"]), f"{name}: devices of a period are not above 0")
        for t in periods:
            _need(
                _price(told, trade, t) is not None,
                f"{name}: no price is published for its pool in period {t}",
            )
    for lot in told["lots"]:
        _need(lot["pool"] < len(pools), f"lot {lot['lot']}: there is no pool {lot['pool']}")
        for field in ("accelerator", "site", "kind", "provenance"):
            _need(
                lot[field] == pools[lot["pool"]][field],
                f"lot {lot['lot']}: its {field} is not that of its pool",
            )
    numbers = [p["pool"] for p in pools]
    for bid in told["bids"]:
        _need(
            [e["pool"] for e in bid["pools"]] == numbers,
            f"bid {bid['bid']}: its pools are not the published ones",
        )
    return f"{len(seen)} trades"


def _price(told: Json, trade: Json, t: int | None) -> int | None:
    price = told["public"]["pools"][trade["pool"]]["price_micro"]
    one: int | None = price if t is None else price[t]
    return one


def _permits(told: Json) -> str:
    edges = {bid["bid"]: bid["pools"] for bid in told["bids"]}
    for trade in told["trades"]:
        permit = trade["permit"]
        _need(permit["permitted"], f"{trade['trade']}: no permit: {permit['reason']}")
        _need(bool(permit["outcome"]), f"{trade['trade']}: its permit states no outcome")
        if trade["bid"] in edges:
            edge = edges[trade["bid"]][trade["pool"]]
            _need(edge["permitted"], f"{trade['trade']}: {edge['reason']}")
            _need(edge["rate"] > 0, f"{trade['trade']}: the bid gets nothing out of its pool")
    for bid in told["bids"]:
        for edge in bid["pools"]:
            _need(
                edge["permitted"] or edge["rate"] == 0,
                f"bid {bid['bid']}, pool {edge['pool']}: no permit, yet a rate",
            )
            _need(
                bool(edge["outcome"]),
                f"bid {bid['bid']}, pool {edge['pool']}: no outcome of the law is stated",
            )
    return f"{len(told['trades'])} trades, {sum(len(b['pools']) for b in told['bids'])} answers of the law (said)"


def _mine(told: Json, side: str, name: str) -> list[Json]:
    return [trade for trade in told["trades"] if trade[side] == name]


def _rules(told: Json) -> str:
    for lot in told["lots"]:
        let, fault = let_of(lot, _mine(told, "lot", lot["lot"]), told["public"])
        _need(not fault, f"lot {lot['lot']}: {fault}")
        _need(
            max(let, default=0) == lot["committed"],
            f"lot {lot['lot']}: {lot['committed']} devices committed, {max(let, default=0)} found",
        )
    for side in ("lot", "bid"):
        taken = [o["group"] for o in told[side + "s"] if o["group"] and _mine(told, side, o[side])]
        _need(len(set(taken)) == len(taken), f"two {side}s of one exclusive group are taken")
    for bid in told["bids"]:
        _, fault = served_by(bid, _mine(told, "bid", bid["bid"]), told["public"])
        _need(not fault, f"bid {bid['bid']}: {fault}")
    return f"{len(told['lots'])} lots and {len(told['bids'])} bids"


def _work(told: Json) -> str:
    for bid in told["bids"]:
        mine, _ = served_by(bid, _mine(told, "bid", bid["bid"]), told["public"])
        for t, (a, b) in enumerate(zip(bid["served"], mine, strict=True)):
            room = EXACT * bid["demand"][t]
            _need(
                _close(a, b, room), f"bid {bid['bid']}, period {t}: {a:g} Mtok per hour stated, {b:g} found"
            )
    return "what my devices do, at most what I asked"


def _payments(told: Json) -> str:
    unit = 10 ** (6 - told["public"]["minor_digits"])
    hours = [Fraction(p["hours"]) for p in told["public"]["periods"]]
    for trade in told["trades"]:
        name, sale = trade["trade"], trade["kind"] == "sale"
        micro = sum(
            (_price(told, trade, t) or 0) * n * (1 if t is None else hours[t]) for t, n in trade["devices"]
        )
        due = round(Fraction(micro) / unit)
        _need(
            due == trade["payment_minor"], f"{name}: {trade['payment_minor']} minor units stated, {due} due"
        )
        most = max(n for _, n in trade["devices"])
        _need(most == trade["devices_max"], f"{name}: {trade['devices_max']} devices stated, {most} found")
        window = sum(hours[told["public"]["pools"][trade["pool"]]["first_period"] or 0 :], Fraction(0))
        time = sum((n * (window if t is None else hours[t]) for t, n in trade["devices"]), Fraction(0))
        _need(
            round(time) == trade["device_hours"],
            f"{name}: {trade['device_hours']} device-hours stated, {float(time):g} found",
        )
        mean = round(Fraction(micro) / (most if sale else time)) if time else 0
        _need(
            mean == trade["unit_price_micro"],
            f"{name}: a mean price of {trade['unit_price_micro']} stated, {mean} found",
        )
    return f"{len(told['trades'])} trades: price times devices times hours, rounded once each"


def _losses(told: Json) -> str:
    unit, count = 10.0 ** (6 - told["public"]["minor_digits"]), 0
    for side, order in _orders(told):
        by_period, scale, room = surplus_by_period(told, side, order)
        lost, hourly = -sum(by_period), sum(max(0.0, -x) for x in by_period)
        long = side == "bid" and (order["term"] or order["total_mtok"] is not None)
        buys = side == "bid" and not long and may_buy(order)
        over_all = order["whole"] or order["kind"] == "sale" if side == "lot" else long
        due = 0.0 if buys else max(0.0, lost if over_all else hourly)
        made = order["made_whole"] or {"amount_minor": 0, "reason": _REASONS[0]}
        got = made["amount_minor"] * unit
        _need(
            made["reason"] in _REASONS,
            f"{side} {order[side]}: {made['reason']!r} is no reason to be made whole",
        )
        _need((order["made_whole"] is None) == (got <= 0), f"{side} {order[side]}: made whole with {got:g}")
        # below the rounding of a price nobody loses
        slight = min(hourly, sum(room)) if side == "bid" and not over_all else 0.0
        exact = unit + EXACT * scale + MICRO
        _need(
            due - slight - exact <= got <= due + exact,
            f"{side} {order[side]}: made whole with {got:.0f} micro-units, and would lose {due:.0f}",
        )
        left = (lost if over_all or buys else hourly) - got
        _need(
            left <= sum(room) + EXACT * scale + MICRO,
            f"{side} {order[side]} loses {left:.0f} micro-units",
        )
        count += order["made_whole"] is not None
    return f"{count} of my orders are made whole"


def _fees(told: Json) -> str:
    fee, unit = told["public"]["fee"], 10.0 ** (6 - told["public"]["minor_digits"])
    paid, everything = fee["charged_minor"], fee["gain_minor"]
    _need(
        paid == min(fee["made_whole_minor"], everything),
        f"{paid} minor units are charged to make orders whole with {fee['made_whole_minor']}",
    )
    total = 0
    for side, order in _orders(told):
        name = order[side]
        gain, scale = worth(told, side, order)
        made = order["made_whole"]["amount_minor"] if order["made_whole"] else 0
        gain, room = gain / unit + made, EXACT * scale / unit + MICRO / unit
        mine = order["fee"] or {"gain_minor": 0, "fee_minor": 0}
        if fee["made_whole_minor"] == 0:
            _need(order["fee"] is None, f"{side} {name} is charged, and nobody is made whole")
            continue
        stated = mine["gain_minor"]
        _need(
            stated <= max(gain, 0.0) + room and stated + 1 >= gain - room,
            f"{side} {name} gains {gain:.2f} minor units, and {stated} are stated",
        )
        _need((stated > 0) == (order["fee"] is not None), f"{side} {name}: a fee without a gain")
        whole, rest = divmod(paid * stated, everything) if everything else (0, 0)
        key = hashlib.sha256(f"{told['public']['seed']}\0{side}\0{name}".encode()).hexdigest()
        more = rest > fee["remainder"] or (rest == fee["remainder"] and key <= fee["hash"])
        due = whole + (1 if more else 0)
        _need(
            mine["fee_minor"] == due <= stated,
            f"{side} {name} is charged {mine['fee_minor']} minor units, {due} are due",
        )
        total += due
    return f"{total} minor units, in proportion to what I gain, of {paid} that make orders whole"


def _left(told: Json) -> str:
    """Compare what is not accepted of each order with what is listed, and see that there is a reason."""
    hours = [p["hours"] for p in told["public"]["periods"]]
    count = 0
    for side, order in _orders(told):
        name, listed = order[side], order["rejected"]
        if side == "lot":
            let, _ = let_of(order, _mine(told, "lot", name), told["public"])
            open_ = [c - n for c, n in zip(order["capacity"], let, strict=True)]
            window = max(1, sum(c > 0 for c in order["capacity"]))
            left = sum(
                n * (1.0 / window if order["kind"] == "sale" else h)
                for n, h in zip(open_, hours, strict=True)
            )
            some = any(n > 0 for n in open_)
        else:
            lacks = [
                d - s if s < d * (1 - SERVED) else 0.0
                for d, s in zip(order["demand"], order["served"], strict=True)
            ]
            left = sum(n * h for n, h in zip(lacks, hours, strict=True))
            some = left > 0
            if order["total_mtok"] is not None:
                wanted = sum(d * h for d, h in zip(order["demand"], hours, strict=True))
                got = sum(s * h for s, h in zip(order["served"], hours, strict=True))
                left = min(left, max(0.0, min(order["total_mtok"], wanted) - got))
                some = some and got < order["total_mtok"] * (1 - SERVED)
        _need(
            some == (listed is not None),
            f"{side} {name} is {'not ' if some else ''}listed as rejected, and {left:g} of it is left",
        )
        if listed is not None:
            _need(bool(listed["reason"]), f"{side} {name} is rejected without a reason")
            _need(
                _close(listed["quantity"], left, 1e-6 * max(1.0, left)),
                f"{side} {name}: {listed['quantity']:g} rejected as stated, {left:g} left",
            )
            count += 1
    return f"{count} of my orders are listed with a reason"


def _best(told: Json) -> str:
    count = skipped = said = 0
    for side, order in _orders(told):
        mates = [
            o for o in told[side + "s"] if o["group"] and o["group"] == order["group"] and o is not order
        ]
        beaten = any(_mine(told, side, o[side]) for o in mates) and not _mine(told, side, order[side])
        if side == "lot":
            let, _ = let_of(order, _mine(told, "lot", order["lot"]), told["public"])
            gain: float | None = gain_of_lot(order, let, told["public"])
        else:
            gain = gain_of_bid(order, told["public"])
        if gain is None:
            skipped += 1
            continue
        # an alternative that another party holds is one that this party cannot see
        told_so = order["rejected"] is not None and order["rejected"]["reason"] == _ALTERNATIVE
        word = bool(order["group"]) and told_so and not beaten and not _mine(told, side, order[side])
        gain, said = 0.0 if beaten or word else gain, said + word
        listed = bool(order["rejected"] and order["rejected"]["in_the_money"])
        _need(
            listed or gain <= 1.0 + 1e-6,
            f"{side} {order[side]} would gain by more at these prices, and is not listed",
        )
        _need(not listed or gain > 0, f"{side} {order[side]} is listed in the money, and would gain nothing")
        count += listed
    rest = f"; {skipped} bids for a window that may buy devices are not recomputed" if skipped else ""
    rest += f"; {said} had an alternative of another party's that was taken (said)" if said else ""
    return f"{count} of my orders would gain by more, and are listed{rest}"


def _totals(told: Json) -> str:
    mine = {
        "received_minor": sum(t["payment_minor"] for t in told["trades"] if t["seller"] == told["party"]),
        "paid_minor": sum(t["payment_minor"] for t in told["trades"] if t["buyer"] == told["party"]),
        "made_whole_minor": sum(o["made_whole"]["amount_minor"] for _, o in _orders(told) if o["made_whole"]),
        "fee_minor": sum(o["fee"]["fee_minor"] for _, o in _orders(told) if o["fee"]),
    }
    mine["net_minor"] = (
        mine["received_minor"] + mine["made_whole_minor"] - mine["paid_minor"] - mine["fee_minor"]
    )
    for name, due in mine.items():
        _need(told["totals"][name] == due, f"{name}: {told['totals'][name]} stated, {due} found")
    return f"net {mine['net_minor']} minor units"


def _certificate(told: Json) -> str:
    """Compare the gap with bound and welfare, and my own gain with the most that prices allow me."""
    proof = told["public"]["certificate"]
    most, reached = proof["bound_micro"], proof["welfare_micro"]
    gap = (most - reached) / most if most else 0.0
    _need(_close(gap, proof["gap"], 1e-12), f"the gap is {gap:.3e}, not {proof['gap']:.3e}")
    _need(reached <= most, f"welfare {reached} is above the bound {most}")
    mine = best = room = 0.0
    for side, order in _orders(told):
        by_period, scale, _ = surplus_by_period(told, side, order)
        top = best_of_lot(order, told["public"]) if side == "lot" else best_of_bid(order, told["public"])
        if top is None:
            return f"gap {gap:.4%}; what I could gain at most by buying devices rests on the orders of others"
        mine, best, room = mine + sum(by_period), best + top, room + EXACT * scale + MICRO
    _need(mine <= best + room, f"I gain {mine:.0f} micro-units, above the most that prices allow, {best:.0f}")
    return f"gap {gap:.4%}; I gain {mine / 1e6:.2f} of {best / 1e6:.2f} that prices would allow with divisible devices"
