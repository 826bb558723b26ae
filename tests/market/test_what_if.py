"""Is a comparison of two clearings what it says? Orders taken out, licences taken as granted, who gains and who loses."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.errors import NotFound
from entrepot.market import clear, depth
from entrepot.market.permits import Permits
from entrepot.market.records import Book
from entrepot.market.what_if import as_if_licensed, compared, surpluses, without

from .markets import Ask, Want, books, by_hand


@settings(max_examples=15, deadline=None)
@given(books())
def test_without_a_lot_the_bound_never_rises(book: Book) -> None:
    """Taking an offer away cannot make the best allocation better: welfare stays below the first bound."""
    lot = book.lots["lot"][0]
    before, after = clear(book), clear(without(book, lots=[lot]))
    assert after.certificate.welfare_micro <= before.certificate.bound_micro + 2
    assert lot not in after.book.lots["lot"].to_list()
    table = compared(before, after).orders
    assert table.filter((pl.col("side") == "lot") & (pl.col("order") == lot))["after"].to_list() == [None]


@settings(max_examples=15, deadline=None)
@given(books())
def test_surpluses_add_up_to_the_welfare(book: Book) -> None:
    """What parties gain is what the allocation is worth, but for a cent of rounding in each trade and idle whole lots."""
    clearing = clear(book)
    total = float(surpluses(clearing)["surplus"].sum())
    cents = 0.5 * 10 ** (6 - book.minor_digits) * max(1, clearing.trades.height)
    welfare = clearing.certificate.welfare_micro
    # a whole-window lot bears its ask where it stands idle at no price, which no trade shows
    assert total >= welfare - 2 * cents - 1e-6 * abs(welfare)
    if not book.lots["whole"].any():
        assert total == pytest.approx(welfare, abs=2 * cents + 1e-6 * abs(welfare))


def test_the_same_market_has_no_change() -> None:
    """Nothing changes between a market and itself."""
    clearing = clear(by_hand([Ask("a", 8, 1.0), Ask("b", 8, 2.0)], [Want("w", 12.0, 3.0)]))
    table = compared(clearing, clearing)
    for part in (table.prices, table.orders, table.parties):
        assert part["change"].drop_nulls().abs().sum() == 0


def test_only_a_required_licence_can_be_granted() -> None:
    """What is prohibited or unknown stays refused, whatever is granted; other lots of the kind stay as they were."""
    answers = pl.DataFrame(
        [
            (False, "licence_required", "15 CFR 742.6", "needs one"),
            (False, "prohibited", "", "no"),
            (False, "unknown", "", "not known"),
            (True, "no_licence_required", "", "free"),
        ],
        schema=["permitted", "outcome", "citation", "reason"],
        orient="row",
    )
    law = Permits(
        ("x", "y"), ("p", "q", "r", "s"), np.zeros(2, np.int64), np.arange(4), np.arange(4)[None], answers
    )
    table = as_if_licensed(law, [("x", None)]).by_pair()
    mine = dict(table.filter(pl.col("lot") == "x").select("bid", "permitted").iter_rows())
    assert mine == {"p": True, "q": False, "r": False, "s": True}
    assert table.filter((pl.col("lot") == "y") & pl.col("permitted"))["bid"].to_list() == ["s"]
    with pytest.raises(NotFound):
        as_if_licensed(law, [("z", None)])


def test_a_listed_buyer_must_be_named() -> None:
    """Without a buyer its refusal stays; named, only its own is lifted, though another had the same answers."""
    listed = "The recipient is listed (entity-list): all items need a licence."
    answers = pl.DataFrame(
        [
            (False, "licence_required", "15 CFR 742.6", "needs one"),
            (False, "licence_required", "15 CFR 742.6; 744.11", f"needs one; {listed}"),
            (False, "prohibited", "", "no"),
        ],
        schema=["permitted", "outcome", "citation", "reason"],
        orient="row",
    )
    law = Permits(
        ("x", "y"),
        ("p", "q", "r", "s"),
        np.zeros(2, np.int64),
        np.array([0, 1, 1, 2]),
        np.arange(3)[None],
        answers,
    )

    def allowed(permits: Permits) -> list[tuple[str, str]]:
        return permits.by_pair().filter("permitted").select("lot", "bid").rows()

    assert allowed(as_if_licensed(law, [("x", None)])) == [("x", "p")]
    assert allowed(as_if_licensed(law, [("x", ["q"])])) == [("x", "q")]
    assert allowed(as_if_licensed(law, [("x", None), ("x", ["r"])])) == [("x", "p"), ("x", "r")]
    assert allowed(as_if_licensed(law, [("x", ["q", "s"]), ("y", ["q"])])) == [("x", "q"), ("y", "q")]
    with pytest.raises(NotFound, match="nobody"):
        as_if_licensed(law, [("x", ["nobody"])])


def test_unknown_orders_are_named() -> None:
    """A slip of the pen is an error that names what there is."""
    with pytest.raises(NotFound, match="z"):
        without(by_hand([Ask("a", 8, 1.0)], [Want("w", 1.0, 3.0)]), lots=["z"])


def test_concentration_of_equal_hands() -> None:
    """Four sellers of one size are an HHI of 2,500; one of all is 10,000."""
    four = clear(by_hand([Ask(f"a{i}", 8, 1.0) for i in range(4)], [Want("w", 32.0, 1.1)]))
    one = clear(by_hand([Ask("a", 32, 1.0)], [Want("w", 32.0, 3.0)]))
    assert depth(four)["hhi_offered"].to_list() == [2_500]
    assert depth(four)["hhi_sold"].to_list() == [2_500]
    assert depth(one)["hhi_offered"].to_list() == [10_000]
    assert depth(one)["hhi_bought"].to_list() == [10_000]
    assert depth(four)["largest_seller_share"].to_list() == [0.25]
    assert depth(four)["near_price"].to_list() == [1.0]
