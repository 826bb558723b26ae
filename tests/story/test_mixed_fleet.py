"""A second market that has nothing to do with export controls: which chip is worth what for which work?"""

from __future__ import annotations

from pathlib import Path

import polars as pl

import entrepot as ep

FLEET = Path(__file__).parents[2] / "examples" / "mixed-fleet"


def test_the_law_says_yes_everywhere() -> None:
    """Leases inside the Union between parties that were screened: no edge is refused."""
    scenario = ep.load(FLEET)
    assert ep.permits(scenario)["permitted"].all()


def test_a_tenant_in_one_country_may_insist_on_where_its_work_runs() -> None:
    """A bid names the countries that it accepts; it is served nowhere else."""
    clearing = ep.clear(ep.load(FLEET))
    sites = clearing.trades.filter(pl.col("buyer") == "kanzlei")["site"].unique().to_list()
    assert set(sites) <= {"berlin", "lulea"}


def test_the_api_gives_tables() -> None:
    """``c.prices`` is a Polars table; nothing about a run is hidden in text."""
    clearing = ep.clear(ep.load(FLEET))
    assert isinstance(clearing.prices, pl.DataFrame)
    assert clearing.prices["price_micro"].min() is not None
    assert ep.verify(clearing).ok
    assert ep.verify(clearing, party="papillon").ok
