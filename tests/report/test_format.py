"""A figure is short where it is read, exact where it is pointed at, and never rounded into another statement."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.report import format as shown

AMOUNTS = st.decimals(min_value=-(10**13), max_value=10**13, places=2)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "CNY 0"),
        ("7.4", "CNY 7.40"),
        ("9999.99", "CNY 9,999.99"),
        ("110000", "CNY 110,000"),
        ("1549131448.92", "CNY 1.55 bn"),
        ("-2500000", "CNY -2.50 m"),
    ],
)
def test_money(amount: str, text: str) -> None:
    """Thousands marked, minor units where they matter, three digits from a million on."""
    assert str(shown.money(Decimal(amount), "CNY")).replace("\u00a0", " ") == text


def test_money_of_a_currency_without_minor_units() -> None:
    """ISO 4217 gives the yen no decimals and the dinar three."""
    assert shown.money(Decimal(1500), "JPY").text.endswith("1,500")
    assert shown.money(Decimal("1.5"), "KWD").text.endswith("1.500")


@given(AMOUNTS)
@settings(max_examples=100, deadline=None)
def test_the_exact_amount_is_exact(amount: Decimal) -> None:
    """Whatever is printed, the title holds every fen."""
    exact = shown.money(amount, "CNY").exact.removeprefix("CNY ").replace(",", "")
    assert Decimal(exact) == amount


@given(st.decimals(min_value=0, max_value=10**7, places=6))
@settings(max_examples=100, deadline=None)
def test_a_price_is_within_one_in_a_hundred_of_itself(price: Decimal) -> None:
    """Prices are rounded for reading, by less than anybody would bargain over."""
    said = Decimal(shown.price(price).text.replace(",", ""))
    assert abs(said - price) <= price / 100
    assert Decimal(shown.price(price).exact.replace(",", "")) == price


@given(st.floats(min_value=0, max_value=1))
@settings(max_examples=100, deadline=None)
def test_almost_all_is_not_all(share: float) -> None:
    """0% means nothing and 100% means everything."""
    text = shown.percent(share).text
    assert (text == "0%") == (share == 0)
    assert (text == "100%") == (share == 1)


@pytest.mark.parametrize(
    ("gap", "text"), [(0.0, "0%"), (0.0021, "0.21%"), (0.00029463, "0.029%"), (1e-12, "<\u00a00.000001%")]
)
def test_a_gap_is_never_rounded_away(gap: float, text: str) -> None:
    """A certificate that is not exact does not look exact."""
    assert str(shown.gap(gap)) == text


@pytest.mark.parametrize(
    ("mtok", "text"),
    [(0.0, "0"), (0.5, "0.500 Mtok"), (333.0, "333 Mtok"), (20_100.0, "20.1 Gtok"), (1.14e8, "114 Ttok")],
)
def test_work(mtok: float, text: str) -> None:
    """Work is counted in output tokens, in steps of a thousand."""
    assert str(shown.work(mtok)).replace("\u00a0", " ") == text


def test_what_is_absent_is_a_dash_and_never_a_zero() -> None:
    """Unknown is not nothing."""
    for said in (
        shown.money(None, "CNY"),
        shown.price(None),
        shown.number(None),
        shown.percent(None),
        shown.work(None),
    ):
        assert said.text == shown.ABSENT


def test_a_date_cannot_be_misread() -> None:
    """The month is a word."""
    assert shown.day(dt.date(2025, 4, 9)).replace("\u00a0", " ") == "9 Apr 2025"
