"""Does one party's statement stand alone, catch every figure that is moved, and say nothing of the orders of others?"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.errors import InputError, NotFound
from entrepot.market import Clearing, check_statement, clear, parties, statement, statements, verify
from entrepot.market.canonical import digest
from entrepot.market.instances import Shape, instance
from entrepot.market.orders_tree import leaves, path, salts, tree
from entrepot.market.public import public
from entrepot.market.records import Book

from . import lease_markets
from .markets import Ask, Want, books, by_hand
from .sale_markets import mixed_books

Json: TypeAlias = dict[str, Any]
Way: TypeAlias = tuple[str | int, ...]

KEY = b"a key of thirty-two bytes for it"
SHARED = Shape(
    orders=60, chips=2, sites=2, services=2, buyers=2, periods=3, blocks=(8,), shared_nodes=True, all_or_none_share=0.4,
    min_fill_share=0.4, lot_all_or_none_share=0.2,
)  # fmt: skip

# What a party holds against the operator's word alone: texts, names, the answers of the law, estimates, what others offer.
SAID = {
    "trade", "outcome", "citation", "reason", "rate", "slice", "too_small", "blocks", "residual_micro", "permitted",
}  # fmt: skip


def _stands(told: Json, published: Json | None = None) -> list[str]:
    """Return the checks that fail."""
    return [f"{name}: {detail}" for name, ok, detail in check_statement(told, published=published) if not ok]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.one_of(books(), lease_markets.books(), mixed_books()))
def test_honest_statements_stand(book: Book) -> None:
    """Whatever the market: leases, windows, sales, private yields, rules of all kinds."""
    clearing = clear(replace(book, salt_key=KEY))
    assert verify(clearing).ok
    shown = {"public": public(clearing)}
    for told in statements(clearing, parties(clearing)):
        assert _stands(json.loads(json.dumps(told)), shown) == []


@cache
def _made_whole() -> Clearing:
    """Return a clearing in which orders are made whole and charged."""
    clearing = clear(replace(instance(SHARED, 3), salt_key=KEY))
    assert clearing.make_whole.height > 0
    assert clearing.fees["fee_minor"].sum() > 0
    assert verify(clearing).ok
    return clearing


def _ways(value: object, at: Way = ()) -> Iterator[tuple[Way, object]]:
    """Return every leaf of a JSON value, and the objects that may be absent."""
    if isinstance(value, dict):
        if at and at[-1] in ("made_whole", "fee", "rejected"):
            yield at, value
        for key, inner in value.items():
            yield from _ways(inner, (*at, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _ways(inner, (*at, i))
    else:
        yield at, value


def _moved(value: object) -> object:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value * 1.01 + 0.01
    if isinstance(value, str):
        hexed = len(value) >= 32 and set(value) <= set("0123456789abcdef")
        return ("0" if value[0] != "0" else "1") + value[1:] if hexed else value + "x"
    return None  # an object that is taken out


def _tampered(told: Json, way: Way, value: object) -> Json:
    """Return the statement with one value changed, sealed again: the operator can do that."""
    changed = copy.deepcopy(told)
    inner: Any = changed
    for step in way[:-1]:
        inner = inner[step]
    inner[way[-1]] = value
    changed["public_sha256"] = digest(changed["public"])
    changed["sha256"] = digest({k: v for k, v in changed.items() if k != "sha256"})
    return changed


def _said(way: Way) -> bool:
    """Say whether a value is the operator's word."""
    names = [step for step in way if isinstance(step, str)]
    own_lot = (
        names[0] == "lots" and names[-1] == "residual_micro"
    )  # an order's own field, which its leaf holds
    word = not own_lot and bool(SAID & set(names[1:])) and names[-1] != "made_whole"
    other = names[0] == "trades" and names[-1] in ("lot", "bid", "seller", "buyer")
    return word or other


def test_every_figure_that_is_moved_is_found() -> None:
    """One value after the other, of buyers and sellers, sealed again: caught without the seal, against what is published."""
    clearing = _made_whole()
    shown = {"public": public(clearing)}
    charged = set(clearing.fees.filter(clearing.fees["fee_minor"] > 0)["order"]) | set(
        clearing.make_whole["order"]
    )
    told = [
        t
        for t in statements(clearing, parties(clearing))
        if t["trades"] and {o.get("lot", o.get("bid")) for o in (*t["lots"], *t["bids"])} & charged
    ]
    told.sort(key=lambda t: len(json.dumps(t)))
    seller = next(t for t in told if any(lot["fee"] for lot in t["lots"]))
    buyer = next(t for t in told if any(bid["fee"] for bid in t["bids"]))
    helped = next(t for t in told if any(o["made_whole"] for o in (*t["lots"], *t["bids"])))
    tried: set[str] = set()
    for one in (json.loads(json.dumps(t)) for t in (seller, buyer, helped)):
        assert _stands(one, shown) == []
        for way, value in _ways(one):
            if (
                way[0] in ("sha256", "public_sha256")
                or value is None
                or _said(way)
                or (way[0] == "public" and one["party"] != seller["party"])
            ):
                continue
            tried.add(str(way[-1]))
            assert _stands(_tampered(one, way, _moved(value)), shown), (
                f"{way}: {value!r} was moved, and nobody saw"
            )
    assert {"ask_micro", "limit_micro", "salt", "payment_minor", "fee_minor", "made_whole", "index"} <= tried


def test_a_trade_that_is_left_out_is_found() -> None:
    """Even when the totals are made to fit."""
    clearing = _made_whole()
    tried = 0
    for told in statements(clearing, parties(clearing)):
        for i, trade in enumerate(told["trades"]):
            changed = copy.deepcopy(told)
            del changed["trades"][i]
            way = "received_minor" if trade["seller"] == told["party"] else "paid_minor"
            changed["totals"][way] -= trade["payment_minor"]
            changed["totals"]["net_minor"] -= trade["payment_minor"] * (1 if way == "received_minor" else -1)
            changed["sha256"] = digest({k: v for k, v in changed.items() if k != "sha256"})
            assert _stands(changed)
            tried += 1
    assert tried > 3


def test_without_the_seal_a_change_is_found_at_once() -> None:
    """Any value at all, the operator's word included."""
    told = json.loads(json.dumps(statement(_made_whole(), parties(_made_whole())[0])))
    for way, value in _ways(told):
        if value is None:
            continue
        changed = copy.deepcopy(told)
        inner: Any = changed
        for step in way[:-1]:
            inner = inner[step]
        inner[way[-1]] = _moved(value)
        assert _stands(changed), way


def _values(value: object) -> set[object]:
    return {v for _, v in _ways(value) if not isinstance(v, dict)}


def test_nothing_of_the_orders_of_others() -> None:
    """No ask, limit, quantity, demand or salt of another party is in a statement, or in what is published."""
    shape = Shape(
        orders=40, chips=3, sites=2, services=3, buyers=3, periods=2, size_median=50_000.0, private_sigma=0.2
    )
    book = replace(instance(shape, 5), salt_key=KEY)
    clearing = clear(book)
    # a price may be the ask or limit of the order at the margin: that is what a price is
    prices = _values(public(clearing)["pools"])
    checked = 0
    for told in statements(clearing, parties(clearing)):
        seen = _values(json.loads(json.dumps(told)))
        text = json.dumps(told)
        mine = told["party"]
        sold = {n for t in told["trades"] for _, n in t["devices"]} | {
            t["devices_max"] for t in told["trades"]
        }
        for i in np.flatnonzero((book.lots["seller"] != mine).to_numpy()).tolist():
            hidden = {book.lots["ask_micro"][i], *book.capacity[i][book.capacity[i] > 5_000].tolist()}
            assert not (hidden - prices - sold) & seen
            assert salts(book, "lot")[i].hex() not in text
            checked += 1
        for b in np.flatnonzero((book.bids["buyer"] != mine).to_numpy()).tolist():
            hidden = {book.bids["limit_micro"][b], *book.demand[b][book.demand[b] > 0].tolist()}
            assert not (hidden - prices) & seen
            assert salts(book, "bid")[b].hex() not in text
            checked += 1
        assert KEY.hex() not in text
    assert checked > 100


def _root_again(nodes: list[bytes], lots: int, bids: int) -> str:
    """Return the root, folded by recursion."""

    def up(level: list[bytes]) -> bytes:
        if len(level) <= 1:
            return level[0] if level else b""
        return up(
            [hashlib.sha256(b"\1" + b"".join(level[i : i + 8])).digest() for i in range(0, len(level), 8)]
        )

    counts = lots.to_bytes(8, "little") + bids.to_bytes(8, "little")
    return hashlib.sha256(b"\2" + counts + up(nodes)).hexdigest()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.data())
def test_a_path_leads_to_the_root_from_its_own_place_only(lots: int, bids: int, data: st.DataObject) -> None:
    """Any number of orders; another place, another sibling or another leaf leads elsewhere."""
    book = by_hand(
        [Ask(f"a{i}", 8, 1.0) for i in range(lots)], [Want(f"w{i}", 1.0, 3.0) for i in range(bids)]
    )
    book = replace(book, salt_key=KEY)
    nodes = leaves(book)
    assert len(set(nodes)) == lots + bids
    top = _root_again(list(nodes), lots, bids)
    at = data.draw(st.integers(0, lots + bids - 1))
    beside = path(tree(leaves(book)), at)

    def fold(node: bytes, place: int) -> str:
        for others in beside:
            children = [bytes.fromhex(x) for x in others]
            children.insert(place % 8, node)
            node, place = hashlib.sha256(b"\1" + b"".join(children)).digest(), place // 8
        counts = lots.to_bytes(8, "little") + bids.to_bytes(8, "little")
        return hashlib.sha256(b"\2" + counts + node).hexdigest()

    assert fold(nodes[at], at) == top
    assert fold(nodes[at - 1], at) != top
    if beside and beside[0]:
        other = at // 8 * 8 + (at + 1) % 8
        assert fold(nodes[at], other) != top or other % 8 > len(beside[0])


def test_salts_follow_from_the_key_alone() -> None:
    """The same orders under another key have another root; who has the published seed has no salt."""
    book = by_hand([Ask("a", 8, 1.0)], [Want("w", 4.0, 3.0)])
    one, two = clear(replace(book, salt_key=KEY)), clear(replace(book, salt_key=KEY[::-1]))
    assert one.certificate.orders_root != two.certificate.orders_root
    assert one.trades.equals(two.trades)
    guess = hashlib.sha256(f"{book.seed}\0a".encode()).digest()
    assert guess not in salts(replace(book, salt_key=KEY), "lot")


def test_who_has_no_order_or_no_key_has_no_statement() -> None:
    """Both are named."""
    book = by_hand([Ask("a", 8, 1.0)], [Want("w", 4.0, 3.0)])
    with pytest.raises(NotFound, match="nobody"):
        statement(clear(replace(book, salt_key=KEY)), "nobody")
    with pytest.raises(InputError, match="salt key"):
        statement(clear(book), "seller of a")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: {},
        lambda t: {k: v for k, v in t.items() if k != "public"},
        lambda t: {**t, "more": 1},
        lambda t: {**t, "lots": [1]},
        lambda t: {**t, "totals": None},
        lambda t: {**t, "public": {**t["public"], "periods": []}},
        lambda t: {**t, "public": {**t["public"], "minor_digits": 99}},
        lambda t: {**t, "lots": [{**lot, "ask_micro": 2**70} for lot in t["lots"]]},
        lambda t: {**t, "lots": [{**lot, "capacity": [2**70 for _ in lot["capacity"]]} for lot in t["lots"]]},
        lambda t: {**t, "bids": [{**bid, "pools": []} for bid in t["bids"]]},
        lambda t: {**t, "trades": t["trades"] * 2},
    ],
)
def test_what_is_no_statement_fails_and_never_breaks(spoil: Callable[[Json], Json]) -> None:
    """A finding, never an exception."""
    for told in statements(_made_whole(), parties(_made_whole())):
        if (told["lots"] and told["trades"]) or (told["bids"] and told["trades"]):
            changed = spoil(copy.deepcopy(told))
            if changed != told:
                assert _stands(changed)


def test_the_certificate_root_is_that_of_the_tree() -> None:
    """What clearing states is what the recursion gives."""
    clearing = _made_whole()
    book = clearing.book
    assert clearing.certificate.orders_root == _root_again(
        list(leaves(book)), book.lots.height, book.bids.height
    )
