"""Between two dates the report finds the difference and the paragraph that makes it."""

from __future__ import annotations

import datetime as dt

from entrepot.report import compare
from entrepot.report.records import Run, Story


def test_a_run_does_not_differ_from_itself(runs: tuple[Run, ...]) -> None:
    """Nothing is reported where nothing happened."""
    for run in runs:
        assert [c.kind for c in compare.changes(run, run)] == ["none"]


def test_the_letter_takes_the_vendor_out_and_is_cited(spring: Story) -> None:
    """From 9 April 2025 the vendor's H20s wait for a licence: NVIDIA's 8-K, 15 CFR 744.23(b)."""
    before, after = spring.dates[0], spring.dates[1]
    assert (before.scenario.as_of, after.scenario.as_of) == (dt.date(2025, 4, 1), dt.date(2025, 4, 16))
    lost = [c for c in compare.changes(before, after) if c.kind == "permit"]
    assert "no longer permitted" in lost[0].text
    assert "holly-h20" in lost[0].text
    assert "744.23" in lost[0].citation


def test_changes_are_the_same_from_the_other_side(spring: Story) -> None:
    """What is lost from one date to the next is won on the way back, pair by pair."""
    before, after = spring.dates[0], spring.dates[1]
    there = [c.text for c in compare.changes(before, after) if c.kind == "permit"]
    back = [c.text for c in compare.changes(after, before) if c.kind == "permit"]
    assert sum("no longer permitted" in t for t in there) == sum("now permitted" in t for t in back)


def test_one_row_for_each_date_in_order(spring: Story) -> None:
    """Dates ascend; the first has nothing to be set against; pairs are all pairs."""
    table = compare.dates_compared(spring)
    assert table["date"].to_list() == sorted(run.scenario.as_of for run in spring.dates)
    assert table["changed"][0] == ""
    assert all(table["changed"][1:])
    lots = [len(run.scenario.lots) * len(run.scenario.bids) for run in spring.dates]
    own = [int((run.permits["outcome"] == "own").sum()) for run in spring.dates]
    assert (table["permitted"] + table["refused"]).to_list() == [
        n - o for n, o in zip(lots, own, strict=True)
    ]


def test_one_row_for_each_reading_and_the_told_one_is_not_set_against_itself(spring: Story) -> None:
    """Readings stand side by side in the scenario's order."""
    table = compare.variants_compared(spring)
    assert table["variant"].to_list() == list(spring.main.scenario.variants)
    for row in table.iter_rows(named=True):
        assert (row["changed"] == "") == (row["variant"] == spring.main.scenario.variant)
