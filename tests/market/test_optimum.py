"""Is the divisible optimum the optimum, and is its bound one? Against a textbook form solved by another program."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.market import clear, solve, verify
from entrepot.market.checks_money import bound
from entrepot.market.facts import facts
from entrepot.market.instances import Shape, instance
from entrepot.market.pool import pool
from entrepot.market.records import Book

from .markets import SMALL, books, textbook

_RELATIVE = 1e-6


@settings(max_examples=40, deadline=None, derandomize=True)
@given(books())
def test_pooled_program_has_the_welfare_of_the_textbook_program(book: Book) -> None:
    """Second opinion: one variable per lot, bid and period, no pools, no groups, solved by SciPy."""
    found, expected = solve.solve(pool(book), book.hours).objective_micro, textbook(book)
    assert found == pytest.approx(expected, rel=_RELATIVE, abs=10)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(books())
def test_published_prices_prove_the_optimum_of_the_divisible_market(book: Book) -> None:
    """Strong duality: the bound at the published prices is the textbook's optimum, up to whole micro-units of price."""
    clearing = clear(book)
    expected = textbook(book)
    assert clearing.certificate.bound_micro >= expected * (1 - _RELATIVE) - 10
    assert clearing.certificate.bound_micro <= expected * (1 + 1e-5) + 1000


@settings(max_examples=40, deadline=None, derandomize=True)
@given(books(), st.integers(0, 10_000), st.sampled_from([0.0, 0.3, 1.0, 3.0]))
def test_any_prices_give_a_bound(book: Book, seed: int, spread: float) -> None:
    """Weak duality is arithmetic: even absurd prices, not found by any solver, never prove too little."""
    clearing = clear(book)
    rng = np.random.default_rng(seed)
    proof = clearing.certificate

    def shaken(table: pl.DataFrame) -> pl.DataFrame:
        factor = rng.lognormal(0.0, spread, table.height) if spread else np.zeros(table.height)
        return table.with_columns((pl.col("price_micro") * pl.Series(factor)).round().cast(pl.Int64))

    other = replace(
        proof,
        lease_price_micro=shaken(proof.lease_price_micro),
        sale_price_micro=shaken(proof.sale_price_micro),
        work_price_micro=shaken(proof.work_price_micro),
    )
    assert bound(facts(replace(clearing, certificate=other))) >= textbook(book) * (1 - _RELATIVE) - 10


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", [SMALL[2], SMALL[3], SMALL[5], SMALL[7]])
def test_whole_block_welfare_lies_under_the_true_integer_optimum(shape: Shape, seed: int) -> None:
    """Branch and bound on the textbook form: welfare reached <= integer optimum <= bound."""
    book = instance(replace(shape, orders=12), seed)
    clearing, best = clear(book), textbook(book, whole_blocks=True)
    assert clearing.certificate.welfare_micro <= best * (1 + _RELATIVE) + 10
    assert best <= clearing.certificate.bound_micro * (1 + _RELATIVE) + 10


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "shape",
    [
        Shape(orders=600),
        Shape(orders=400, chips=2, sites=2, scarcity=3.0, ticks=6),
        Shape(orders=300, chips=4, sites=2, periods=4, whole_share=0.3, sale_share=0.05),
    ],
)
def test_fixing_orders_far_from_the_margin_changes_nothing(
    shape: Shape, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large program is solved in stages; its optimum must be that of the program with every order in it."""
    book = instance(shape, seed)
    pooled = pool(book)
    plain = solve.solve(pooled, book.hours)
    monkeypatch.setattr(solve, "_LARGE", 0)
    staged = solve.solve(pooled, book.hours)
    assert staged.objective_micro == pytest.approx(plain.objective_micro, rel=1e-9)


def test_a_gap_is_small_where_orders_are_large_against_a_block() -> None:
    """Rounding costs at most about a block per order: with ten thousand devices an order, almost nothing."""
    book = instance(Shape(orders=200, chips=3, sites=2, blocks=(8,), size_median=20_000.0), 1)
    clearing = clear(book)
    assert verify(clearing).ok
    assert clearing.certificate.gap < 1e-3
