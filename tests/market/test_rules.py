"""Are the rules that orders come with kept, and is a breach found? Slices, least quantities, shares, groups, licences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.market import Clearing, clear, verify
from entrepot.market.instances import Shape, instance
from entrepot.market.records import WHY_MADE_WHOLE, Book

from .markets import Ask, Want, by_hand

RULES = Shape(
    orders=120, chips=3, sites=2, services=3, buyers=2, blocks=(8,), all_or_none_share=0.4, one_pool_share=0.3,
    min_share_share=0.2, min_fill_share=0.3, lot_all_or_none_share=0.2, group_share=0.2,
)  # fmt: skip


@st.composite
def ruled_books(draw: st.DrawFn) -> Book:
    """Draw a market of one period in which orders come with every rule."""
    shape = replace(
        RULES,
        orders=draw(st.sampled_from([12, 60, 200])),
        shared_nodes=draw(st.booleans()),
        scarcity=draw(st.sampled_from([0.6, 1.25, 3.0])),
        private_sigma=draw(st.sampled_from([0.0, 0.2])),
    )
    return instance(shape, draw(st.integers(0, 10_000)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(ruled_books())
def test_every_rule_is_kept(book: Book) -> None:
    """Whatever rules meet, the independent check finds every one of them kept."""
    checks = verify(clear(book, seconds=0.1)).checks
    assert checks["ok"].all(), checks.filter(~pl.col("ok")).rows()


def with_rules(book: Book, lots: dict[str, list[object]], bids: dict[str, list[object]]) -> Book:
    """Return a book with rule columns replaced."""
    return replace(
        book,
        lots=book.lots.with_columns(pl.Series(k, v, dtype=book.lots.schema[k]) for k, v in lots.items()),
        bids=book.bids.with_columns(pl.Series(k, v, dtype=book.bids.schema[k]) for k, v in bids.items()),
    )


def devices(c: Clearing, order: str, side: str = "bid") -> int:
    """Return the devices of an order."""
    return int(c.allocation.filter(pl.col(side) == order)["devices"].sum())


def test_all_or_none_is_all_or_none() -> None:
    """12 devices wanted whole, 8 offered: nothing is sold, and the bid is listed as wanting all or nothing."""
    book = by_hand([Ask("a", 8, 1.0)], [Want("b", 12.0, 3.0)])
    c = clear(with_rules(book, {}, {"min_share": [1.0]}))
    assert verify(c).ok
    assert devices(c, "b") == 0
    assert devices(clear(book), "b") == 8


def test_a_bid_for_one_pool_takes_one() -> None:
    """Two pools of 8, 12 wanted: a bid for one pool has 8, another one 12."""
    book = by_hand(
        [Ask("x", 8, 1.0, good="x"), Ask("y", 8, 1.0, good="y")],
        [Want("b", 12.0, 3.0, (("x", 1.0), ("y", 1.0)))],
    )
    assert devices(clear(with_rules(book, {}, {"one_pool": [True]})), "b") == 8
    assert devices(clear(book), "b") == 12


def test_a_lot_lets_its_least_or_nothing() -> None:
    """A lot that lets 40 at least is not opened for 10 devices while a dearer one serves them."""
    book = by_hand([Ask("large", 80, 1.0), Ask("small", 16, 1.1)], [Want("b", 10.0, 3.0)])
    c = clear(with_rules(book, {"min_fill": [40, 0]}, {}))
    assert verify(c).ok
    assert (devices(c, "large", "lot"), devices(c, "small", "lot")) == (0, 10)


def test_one_of_a_group() -> None:
    """Two alternatives, room for both: the one that is worth more is served, the other says why not."""
    book = by_hand([Ask("a", 100, 1.0)], [Want("b", 10.0, 3.0), Want("c", 10.0, 4.0)])
    c = clear(with_rules(book, {}, {"group": ["either", "either"]}))
    assert verify(c).ok
    assert (devices(c, "b"), devices(c, "c")) == (0, 10)
    assert c.certificate.gap < 1e-6
    assert "exclusive group" in c.rejected.filter(pl.col("order") == "b")["reason"][0]


def test_a_lot_waits_for_its_licence() -> None:
    """A conditional lot offers nothing until its licence is taken as granted; then it is a lot like any other."""
    book = with_rules(by_hand([Ask("a", 8, 1.0)], [Want("b", 8.0, 3.0)]), {"waits_for": ["L-1"]}, {})
    waiting, granted = clear(book), clear(replace(book, granted=("L-1",)))
    assert verify(waiting).ok
    assert verify(granted).ok
    assert (devices(waiting, "b"), devices(granted, "b")) == (0, 8)
    assert "waits" in waiting.rejected.filter(pl.col("side") == "lot")["reason"][0]


def test_a_shared_node_is_let_whole_and_made_whole() -> None:
    """10 devices of nodes of 8, shared: the seller lets 16, is paid for 10, and is made whole for the idle 6.

    The bid wants all or nothing; else one full node, worth 32 and costing 16, would be better than two, worth 40 and
    costing 32. At a limit of 3 the work is worth 30 and the two nodes cost 32: then nothing is let.
    """
    book = by_hand([Ask("a", 80, 2.0, block=8)], [Want("b", 10.0, 4.0)])
    part = clear(with_rules(book, {"slice": [1]}, {}))
    assert (devices(part, "b"), part.certificate.welfare_micro) == (8, 16_000_000)
    c = clear(with_rules(book, {"slice": [1]}, {"min_share": [1.0]}))
    assert verify(c).ok
    assert devices(c, "b") == 10
    assert c.lot_pool["committed"].to_list() == [16]
    paid, whole = int(c.trades["payment_minor"].sum()), int(c.make_whole["amount_minor"].sum())
    less = clear(
        with_rules(
            by_hand([Ask("a", 80, 2.0, block=8)], [Want("b", 10.0, 3.0)]),
            {"slice": [1]},
            {"min_share": [1.0]},
        )
    )
    assert verify(less).ok
    assert (less.allocation.height, less.certificate.welfare_micro) == (0, 0)
    assert paid + whole >= 16 * 200 or paid >= 16 * 200


@cache
def honest() -> Clearing:
    """Return a clearing with every rule in it."""
    return clear(instance(replace(RULES, shared_nodes=True, orders=300), 3))


def _row(c: Clearing, **values: object) -> Clearing:
    """Repeat an allocation row for another order."""
    row = c.allocation[:1].with_columns(pl.lit(v).alias(k) for k, v in values.items())
    return replace(c, allocation=pl.concat([c.allocation, row.select(c.allocation.columns)]))


def _firm_in_part(c: Clearing) -> Clearing:
    firm = c.book.bids.filter(pl.col("min_share") == 1)["bid"].implode()
    at = c.allocation.with_row_index().filter(pl.col("bid").is_in(firm))["index"][0]
    half = pl.when(pl.int_range(pl.len()) == at).then(pl.col("devices") // 2).otherwise("devices")
    return replace(c, allocation=c.allocation.with_columns(devices=half))


def _both_of_a_group(c: Clearing) -> Clearing:
    served = set(c.allocation["bid"].to_list())
    for _, pair in c.book.bids.filter(pl.col("group") != "").group_by("group", maintain_order=True):
        names = pair["bid"].to_list()
        if len(served & set(names)) == 1:
            mate = next(n for n in names if n not in served)
            b = c.book.bids["bid"].to_list().index(mate)
            can = np.flatnonzero(c.book.rate[c.book.bid_class[b], c.book.lot_class] > 0)
            return _row(c, bid=mate, lot=c.book.lots["lot"][int(can[0])])
    raise AssertionError("no group with one order served")


def _licence_revoked(c: Clearing) -> Clearing:
    lots = c.book.lots.with_columns(
        waits_for=pl.when(pl.col("lot") == c.allocation["lot"][0]).then(pl.lit("L")).otherwise(pl.lit(""))
    )
    return replace(c, book=replace(c.book, lots=lots))


def _least_not_borne(c: Clearing) -> Clearing:
    at = c.lot_pool.with_row_index().filter(pl.col("committed") > 0)["index"][0]
    less = pl.when(pl.int_range(pl.len()) == at).then(pl.col("committed") - 1).otherwise("committed")
    return replace(c, lot_pool=c.lot_pool.with_columns(committed=less))


def _made_whole_for_nothing(c: Clearing) -> Clearing:
    more = pl.DataFrame(
        {
            "order": c.book.lots["lot"][:1],
            "side": ["lot"],
            "amount_minor": [10_000],
            "reason": [WHY_MADE_WHOLE[1]],
        }
    )
    rest = c.make_whole.filter(pl.col("order") != c.book.lots["lot"][0])
    return replace(c, make_whole=pl.concat([rest, more]))


def _not_made_whole(c: Clearing) -> Clearing:
    return replace(c, make_whole=c.make_whole[:0])


@pytest.mark.parametrize(
    ("lie", "check"),
    [
        (_firm_in_part, "rules of bids"),
        (_both_of_a_group, "rules of bids"),
        (_licence_revoked, "rules of lots"),
        (_least_not_borne, "rules of lots"),
        (_made_whole_for_nothing, "made whole"),
        (_not_made_whole, "no seller loses"),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_broken_rule_is_found(lie: Callable[[Clearing], Clearing], check: str) -> None:
    """One thing is changed in an honest result; the check that is about it says so."""
    assert verify(honest()).ok
    found = verify(lie(honest()))
    assert check in found.checks.filter(~pl.col("ok"))["check"].to_list()
