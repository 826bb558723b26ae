"""Does a clearing treat people as the rules say? Prices, ties, blocks, losses, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from entrepot.errors import NotFound
from entrepot.market import Clearing, clear, verify, verify_participant
from entrepot.market.instances import Shape, instance
from entrepot.market.records import MICRO, Book

from .markets import SMALL, Ask, Want, books, by_hand, textbook


def price_of(clearing: Clearing, pool: str = "chip", period: int = 0) -> float:
    """Return a price in the currency."""
    """Return the price of a pool in one period, in the currency."""
    row = clearing.prices.filter((pl.col("accelerator") == pool) & (pl.col("period").fill_null(0) == period))
    return float(row["price_micro"][0]) / MICRO


def devices_of(clearing: Clearing, order: str, side: str = "bid") -> int:
    """Return the devices of an order, over all periods."""
    """Return the devices of one order over all periods."""
    return int(clearing.allocation.filter(pl.col(side) == order)["devices"].sum())


@settings(max_examples=80, deadline=None, derandomize=True)
@given(books())
def test_every_clearing_stands(book: Book) -> None:
    """The independent check passes on every shape: law, blocks, capacity, losses, payments, bound, every order once."""
    checks = verify(clear(book)).checks
    assert checks["ok"].all(), checks.filter(~pl.col("ok")).rows()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(books())
def test_what_participants_gain_adds_up_to_the_whole(book: Book) -> None:
    """Surpluses add up to welfare and best surpluses to the bound: the gap is all that anyone could still wish for."""
    clearing = clear(book)
    parties = set(book.lots["seller"]) | set(book.bids["buyer"])
    found = [verify_participant(clearing, party) for party in sorted(parties)]
    assert all(f.ok for f in found), [f.checks.filter(~pl.col("ok")).rows() for f in found if not f.ok]
    proof = clearing.certificate
    tolerance = 1e-9 * proof.bound_micro + 10 * len(parties)
    assert sum(f.welfare_micro for f in found) == pytest.approx(proof.welfare_micro, abs=tolerance)
    assert sum(f.bound_micro for f in found) == pytest.approx(proof.bound_micro, abs=tolerance)


def test_a_stranger_is_not_found() -> None:
    """A party without orders has nothing to check, and is told the nearest names."""
    with pytest.raises(NotFound, match="seller of a"):
        verify_participant(clear(by_hand([Ask("a", 8, 1.0)], [Want("b", 8.0, 2.0)])), "seller of aa")


@pytest.mark.parametrize(
    ("work", "price", "why"),
    [
        (80.0, 2.0, "supply left over: the price is the ask"),
        (100.0, 2.5, "all is sold and all is served: the middle of ask and limit"),
        (120.0, 3.0, "demand left over: the price is the limit"),
    ],
)
def test_the_price_of_one_lot_and_one_bid(work: float, price: float, why: str) -> None:
    """100 devices at 2.00, one Mtok per device-hour worth 3.00: neither side is favoured where both prices would do."""
    clearing = clear(by_hand([Ask("a", 100, 2.0)], [Want("b", work, 3.0)]))
    assert price_of(clearing) == price, why


def test_a_good_without_trade_is_priced_at_its_cheapest_ask() -> None:
    """Nothing is traded, and the price is one at which there is a seller."""
    clearing = clear(by_hand([Ask("a", 8, 5.0), Ask("c", 8, 4.0)], [Want("b", 8.0, 3.0)]))
    assert price_of(clearing) == 4.0
    assert clearing.allocation.height == 0


def test_work_goes_to_the_chip_that_does_it_cheapest() -> None:
    """A fast chip at 3.00 beats a slow one at 2.00 for work of rate 2 against 1; prices weigh work, not devices."""
    asks = [Ask("fast", 10, 3.0, good="fast"), Ask("slow", 10, 2.0, good="slow")]
    clearing = clear(by_hand(asks, [Want("b", 20.0, 5.0, (("fast", 2.0), ("slow", 1.0)))]))
    assert devices_of(clearing, "fast", "lot") == 10
    assert devices_of(clearing, "slow", "lot") == 0


def test_law_makes_two_goods_of_one_chip() -> None:
    """A lot that only one of two bids may use is another good than its twin, and may have another price."""
    asks = [Ask("free", 10, 1.0, good="free"), Ask("bound", 10, 1.0, good="bound")]
    wants = [
        Want("may-both", 10.0, 3.0, (("free", 1.0), ("bound", 1.0))),
        Want("may-free", 10.0, 9.0, (("free", 1.0),)),
    ]
    clearing = clear(by_hand(asks, wants))
    assert clearing.pools.height == 2
    assert devices_of(clearing, "may-free") == devices_of(clearing, "may-both") == 10
    assert price_of(clearing, "free") >= price_of(clearing, "bound")


def test_equal_asks_share_pro_rata() -> None:
    """30 of 60 devices are wanted: lots of 40 and 20 at one ask give 20 and 10."""
    clearing = clear(by_hand([Ask("big", 40, 2.0), Ask("small", 20, 2.0)], [Want("b", 30.0, 3.0)]))
    assert (devices_of(clearing, "big", "lot"), devices_of(clearing, "small", "lot")) == (20, 10)


def test_equal_limits_share_pro_rata() -> None:
    """30 devices for wants of 40 and 20 at one limit: 20 and 10."""
    clearing = clear(by_hand([Ask("a", 30, 1.0)], [Want("big", 40.0, 3.0), Want("small", 20.0, 3.0)]))
    assert (devices_of(clearing, "big"), devices_of(clearing, "small")) == (20, 10)


def test_ties_fall_by_the_committed_seed_and_not_by_arrival() -> None:
    """Two equal bids, one block: over many seeds each wins often, and the order of the rows never matters."""
    wins = []
    for n in range(40):
        wants = [Want("x", 8.0, 3.0), Want("y", 8.0, 3.0)]
        one = clear(replace(by_hand([Ask("a", 8, 1.0, block=8)], wants), seed=f"gate-{n}"))
        other = clear(replace(by_hand([Ask("a", 8, 1.0, block=8)], wants[::-1]), seed=f"gate-{n}"))
        assert one.allocation["bid"].to_list() == other.allocation["bid"].to_list()
        wins.append(one.allocation["bid"][0])
    assert 10 <= wins.count("x") <= 30


def test_a_block_that_is_not_worth_its_price_is_not_forced_on_anyone() -> None:
    """3 of 8 devices of a node would be used: worth 3 x 3.00 against 8 x 2.00, so the bid goes without."""
    clearing = clear(by_hand([Ask("a", 8, 2.0, block=8)], [Want("b", 3.0, 3.0)]))
    assert clearing.allocation.height == 0
    assert verify(clearing).ok


def test_a_whole_window_lot_is_sold_for_all_of_it() -> None:
    """Work by day only pays for the night as well, as long as the day is worth it; the night has no price."""
    asks = [Ask("a", 10, 1.0, whole=True)]
    clearing = clear(by_hand(asks, [Want("b", (10.0, 0.0), 3.0)], hours=(1.0, 1.0)))
    assert clearing.certificate.welfare_micro == round((30.0 - 20.0) * MICRO)
    assert price_of(clearing, period=1) == 0.0
    assert price_of(clearing, period=0) >= 2.0  # both hours' ask from the one hour that is used
    assert clear(by_hand(asks, [Want("b", (10.0, 0.0), 1.9)], hours=(1.0, 1.0))).allocation.height == 0


def test_a_sale_serves_from_delivery_to_the_end() -> None:
    """Delivered in the second period, a device does no work in the first, and keeps its worth at the end."""
    asks = [Ask("a", (0, 10, 10), 5.0, kind="sale", residual=2.0)]
    clearing = clear(by_hand(asks, [Want("b", 10.0, 3.0)], hours=(1.0, 1.0, 1.0)))
    assert clearing.work["served_mtok_per_h"].to_list() == [0.0, 10.0, 10.0]
    assert clearing.certificate.welfare_micro == round((60.0 + 20.0 - 50.0) * MICRO)
    assert clearing.allocation["period"].to_list() == [None]


@pytest.mark.parametrize(("digits", "minor"), [(2, 2667), (0, 27), (3, 26668)])
def test_payments_are_rounded_once_to_the_minor_unit(digits: int, minor: int) -> None:
    """8 devices at 3.33350: 26.668, in cents, in whole yen, in mils; what the buyer pays is what the seller gets."""
    clearing = clear(by_hand([Ask("a", 16, 3.3335, block=8)], [Want("b", 8.0, 9.0)], minor_digits=digits))
    assert clearing.trades["payment_minor"].to_list() == [minor]


def test_a_payment_half_way_goes_to_the_even_unit() -> None:
    """0.125 and 0.375 are 12 and 38 cents: rounding favours neither side over many trades."""
    for price, minor in ((0.125, 12), (0.375, 38)):
        clearing = clear(by_hand([Ask("a", 2, price)], [Want("b", 1.0, 9.0)]))
        assert clearing.trades["payment_minor"].to_list() == [minor]


def test_hours_that_are_no_whole_number_are_paid_exactly() -> None:
    """A period of a quarter of an hour: 8 devices x 0.25 h x 1.00 = 2.00."""
    clearing = clear(by_hand([Ask("a", 16, 1.0)], [Want("b", 8.0, 9.0)], hours=(0.25,)))
    assert clearing.trades["payment_minor"].to_list() == [200]
    assert verify(clearing).ok


@pytest.mark.parametrize(
    ("asks", "wants"),
    [
        ([], [Want("b", 8.0, 2.0)]),
        ([Ask("a", 8, 1.0)], []),
        ([], []),
        ([Ask("a", 0, 1.0)], [Want("b", 8.0, 2.0)]),
        ([Ask("a", 8, 1.0)], [Want("b", 0.0, 2.0)]),
        ([Ask("a", 8, 1.0, good="other")], [Want("b", 8.0, 2.0)]),
        ([Ask("a", 5, 1.0, block=8)], [Want("b", 8.0, 2.0)]),
        ([Ask("a", 8, 0.0)], [Want("b", 8.0, 0.0)]),
        ([Ask("a", 8, 1.0, kind="sale", good="other")], [Want("b", 8.0, 2.0)]),
    ],
)
def test_a_market_without_trade_is_a_market(asks: list[Ask], wants: list[Want]) -> None:
    """No lots, no bids, nothing lawful, nothing whole: an empty clearing with its proof, and reasons for each order."""
    clearing = clear(by_hand(asks, wants))
    checks = verify(clearing).checks
    assert checks["ok"].all(), checks.filter(~pl.col("ok")).rows()
    assert clearing.certificate.welfare_micro == 0


@pytest.mark.parametrize(
    ("asks", "want", "side", "reason"),
    [
        ([Ask("a", 8, 4.0)], Want("b", 8.0, 3.0), "bid", "limit below price"),
        ([Ask("a", 8, 4.0)], Want("b", 8.0, 3.0), "lot", "demand met"),
        ([Ask("a", 8, 4.0), Ask("dear", 8, 6.0)], Want("b", 4.0, 5.0), "lot", "ask above price"),
        (
            [Ask("a", 8, 1.0, good="other")],
            Want("b", 8.0, 3.0),
            "bid",
            "no lawful capacity: a rule against it",
        ),
        ([Ask("a", 8, 1.0, good="other")], Want("b", 8.0, 3.0), "lot", "no lawful buyer: a rule against it"),
        ([Ask("a", 4, 1.0)], Want("b", 8.0, 3.0), "bid", "supply used up"),
        ([Ask("a", (0, 8), 1.0)], Want("b", (8.0, 8.0), 3.0), "bid", "nothing that it may use is offered"),
        ([Ask("a", 9, 1.0, block=8)], Want("b", 8.0, 3.0), "lot", "less than a whole block"),
    ],
)
def test_each_rejection_says_why(asks: list[Ask], want: Want, side: str, reason: str) -> None:
    """A desk that goes without is owed the reason."""
    hours = (1.0, 1.0) if isinstance(want.work, tuple) else (1.0,)
    rejected = clear(by_hand(asks, [want], hours=hours)).rejected.filter(pl.col("side") == side)
    assert any(r.startswith(reason) for r in rejected["reason"]), rejected.rows()


# ── what must not matter, and what must ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("shape", SMALL)
def test_the_unit_of_money_does_not_matter(shape: Shape) -> None:
    """All money times four: as much work, at four times the prices."""
    book = instance(shape, 3)
    dearer = replace(
        book,
        lots=book.lots.with_columns(pl.col("ask_micro", "residual_micro") * 4),
        bids=book.bids.with_columns(pl.col("limit_micro") * 4),
    )
    one, four = clear(book), clear(dearer)
    # a price rounds to whole micro-units, and what is free at the margin of a small market turns on the last of them
    assert four.certificate.welfare_micro == pytest.approx(4 * one.certificate.welfare_micro, rel=5e-3)
    assert one.certificate.gap == pytest.approx(four.certificate.gap, abs=5e-3)
    moved = (one.prices["price_micro"] * 4 - four.prices["price_micro"]).abs().to_numpy()
    assert moved.max() <= 4


@pytest.mark.parametrize("shape", SMALL)
def test_the_order_of_the_rows_does_not_matter(shape: Shape) -> None:
    """First come is not first served: shuffled orders get the same devices at the same prices."""
    book = instance(shape, 5)
    rng = np.random.default_rng(0)
    i, b = rng.permutation(book.lots.height), rng.permutation(book.bids.height)
    shuffled = replace(
        book, lots=book.lots[i], capacity=book.capacity[i], lot_class=book.lot_class[i],
        bids=book.bids[b], demand=book.demand[b], bid_class=book.bid_class[b],
    )  # fmt: skip
    key = ["lot", "bid", "period"]
    one, other = clear(book), clear(shuffled)
    assert one.allocation.sort(key).equals(other.allocation.sort(key))
    assert one.prices["price_micro"].sort().equals(other.prices["price_micro"].sort())


@pytest.mark.parametrize("seed", range(4))
def test_an_order_that_loses_changes_nothing(seed: int) -> None:
    """A bid at a hopeless limit moves no price, and takes no welfare from anyone else."""
    book = instance(SMALL[0], seed)
    hopeless = book.bids[:1].with_columns(bid=pl.lit("hopeless"), limit_micro=pl.lit(1, dtype=pl.Int64))
    more = replace(
        book, bids=pl.concat([book.bids, hopeless]), demand=np.vstack([book.demand, book.demand[:1]]),
        bid_class=np.append(book.bid_class, book.bid_class[0]),
    )  # fmt: skip
    one, other = clear(book), clear(more)
    assert one.certificate.bound_micro == pytest.approx(other.certificate.bound_micro, abs=2)
    assert "hopeless" not in other.allocation["bid"].to_list()
    assert one.prices["price_micro"].equals(other.prices["price_micro"])
    assert "hopeless" in other.rejected["order"].to_list()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shape", [SMALL[0], SMALL[1]])
def test_cutting_a_lot_in_two_changes_no_price(shape: Shape, seed: int) -> None:
    """Splitting an order is worth nothing to its owner: pools, not lots, have prices."""
    book = instance(shape, seed)
    i = int(book.capacity[:, 0].argmax())
    half = book.capacity[i] // 2
    capacity = np.vstack([book.capacity, half])
    capacity[i] -= half
    cut = replace(
        book, lots=pl.concat([book.lots, book.lots[i : i + 1].with_columns(lot=pl.lit("second-half"))]), capacity=capacity,
        lot_class=np.append(book.lot_class, book.lot_class[i]),
    )  # fmt: skip
    one, two = clear(book), clear(cut)
    assert one.prices["price_micro"].equals(two.prices["price_micro"])
    assert one.certificate.bound_micro == pytest.approx(two.certificate.bound_micro, abs=2)
    sold = devices_of(one, book.lots["lot"][i], "lot")
    assert devices_of(two, book.lots["lot"][i], "lot") + devices_of(two, "second-half", "lot") == sold


@settings(max_examples=30, deadline=None, derandomize=True)
@given(books())
def test_a_permit_taken_away_never_adds_welfare(book: Book) -> None:
    """More law, less trade: the divisible optimum cannot grow when an edge goes."""
    edges = np.argwhere(book.rate > 0)
    if not len(edges):
        return
    b, k = edges[len(edges) // 2]
    rate = book.rate.copy()
    rate[b, k] = 0.0
    refused = (pl.col("bid_class") == int(b)) & (pl.col("lot_class") == int(k))
    permits = book.permits.with_columns(permitted=pl.col("permitted") & ~refused)
    assert textbook(replace(book, rate=rate, permits=permits)) <= textbook(book) * (1 + 1e-7) + 10


def test_a_run_repeats() -> None:
    """The same book gives the same result, to the last byte of every table."""
    book = instance(SMALL[5], 9)
    one, two = clear(book), clear(book)
    for name in ("pools", "prices", "allocation", "work", "trades", "rejected"):
        assert getattr(one, name).equals(getattr(two, name)), name
    assert one.certificate.orders_root == two.certificate.orders_root


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    """Results may be piped as JSON: neither we nor the solver write a word."""
    clear(instance(SMALL[0], 1))
    assert capfd.readouterr() == ("", "")
