"""Are the rules that lots, bids and orders come with read as they were written, and slips named?"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from entrepot.errors import InputError
from entrepot.scenario import read

from .conftest import Edit


def rules(folder: Path, file: str, **columns: list[str]) -> None:
    """Add columns to a table."""
    path = folder / file
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream))
    lines = [[*header, *columns]] + [
        [*row, *(values[i] for values in columns.values())] for i, row in enumerate(rows)
    ]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(lines)


def test_rules_are_read(folder: Path, edit: Edit) -> None:
    """Each rule's column arrives in the record; a blank means no rule."""
    rules(
        folder, "lots.csv", min_fill=["64", "", ""], all_or_none=["", "true", ""], group=["night", "", ""],
        waits_for=["L-9", "", ""],
    )  # fmt: skip
    rules(
        folder, "bids.csv", sites=["north", "", ""], min_share=["0.5", "", ""], one_pool=["true", "", ""],
        term=["true", "", ""], total_mtok=["1200.5", "", ""], group=["either", "", ""],
    )  # fmt: skip
    rules(folder, "orders.csv", waits_for=["L-1"])
    edit("scenario.toml", 'seed = "harbour/1"', 'seed = "harbour/1"\ngranted = ["L-9"]')
    scenario = read(folder)
    first, second = scenario.lots[:2]
    assert (first.min_fill, first.group, first.waits_for) == (64, "night", "L-9")
    assert second.quantity is not None
    assert second.min_fill >= second.quantity  # all or none
    bid, plain = scenario.bids[:2]
    assert (bid.sites, bid.min_share, bid.one_pool, bid.term) == (("north",), 0.5, True, True)
    assert (bid.total_mtok, bid.group) == (1200.5, "either")
    assert (plain.sites, plain.min_share, plain.one_pool, plain.term, plain.total_mtok, plain.group) == (
        (), 0.0, False, False, None, "",
    )  # fmt: skip
    assert scenario.lots[-1].waits_for == "L-1"
    assert scenario.granted == ("L-9",)


def test_alternatives_do_not_want_a_demand_twice(folder: Path, edit: Edit) -> None:
    """Two bids for all of a service are a fault, unless at most one of them is taken."""
    edit("bids.csv", "b-1,birch,chat,0.6", "b-1,birch,chat,1")
    edit("bids.csv", "b-2,birch,chat,0.4", "b-2,birch,chat,1")
    with pytest.raises(InputError, match="more than the whole demand"):
        read(folder)
    rules(folder, "bids.csv", group=["start", "start", ""])
    assert [b.group for b in read(folder).bids[:2]] == ["start", "start"]


def test_slips_are_named(folder: Path) -> None:
    """The row and the field are said, and the mend."""
    rules(folder, "bids.csv", sites=["south", "", ""], min_share=["", "1.5", ""])
    with pytest.raises(InputError) as caught:
        read(folder)
    said = str(caught.value)
    assert "bids.csv:2: sites: there is no site 'south'" in said
    assert "bids.csv:3: min_share: '1.5' is not a share" in said


def test_each_start_is_an_alternative(folder: Path, edit: Edit) -> None:
    """A bid of one quarter that may begin in two others is three bids, as long as it, of which at most one is taken."""
    edit("bids.csv", "2025-10-01,2026-04-01", "2025-10-01,2026-01-01")
    rules(folder, "bids.csv", starts=["", "2026-01-01;2026-04-01", ""])
    plain, *three, last = read(folder).bids
    assert [b.id for b in three] == ["b-2", "b-2@2026-01-01", "b-2@2026-04-01"]
    assert [str(b.start) for b in three] == ["2025-10-01", "2026-01-01", "2026-04-01"]
    assert [str(b.end) for b in three] == ["2026-01-01", "2026-04-01", "2026-07-01"]
    assert [b.group for b in (plain, *three, last)] == ["", *["starts of b-2"] * 3, ""]
    assert len({(b.buyer, b.service, b.share, b.limit_per_mtok) for b in three}) == 1


def test_a_demand_is_not_wanted_twice_at_another_start(folder: Path, edit: Edit) -> None:
    """Its first window is free, the window of an alternative is not: together they would be more than all."""
    edit("bids.csv", "lease;sale,,,", "lease;sale,2026-01-01,,")
    edit("bids.csv", "0.4,12.5,north,,,,2025-10-01,2026-04-01", "0.5,12.5,north,,,,2025-10-01,2026-01-01")
    assert len(read(folder).bids) == 3
    rules(folder, "bids.csv", starts=["", "2026-01-01", ""])
    with pytest.raises(InputError, match=r"b-2@2026-01-01 together want more .* \(from 2026-01-01\)"):
        read(folder)


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        ("spring", "bids.csv:3: starts: 'spring' is not a day"),
        ("2025-11-15", "bids.csv:3: starts: 2025-11-15 is not the first day of a step"),
        ("2025-07-01;2025-07-01", "bids.csv:3: starts: 2025-07-01 is named twice"),
        ("2025-10-01", "bids.csv:3: starts: 2025-10-01 is named twice"),
        (
            "2026-04-01",
            "bids.csv:3: starts: a bid of 2 steps that begins on 2026-04-01 ends after the horizon",
        ),
    ],
)
def test_a_start_that_cannot_be_is_named(folder: Path, starts: str, said: str) -> None:
    """The line, the day, and what is wrong with it."""
    rules(folder, "bids.csv", starts=["", starts, ""])
    with pytest.raises(InputError) as caught:
        read(folder)
    assert said in str(caught.value)


def yields(folder: Path, *rows: str) -> None:
    """Write the table of private yields."""
    (folder / "yields.csv").write_text(
        "\n".join(("bid,accelerator,factor,source", *rows)) + "\n", encoding="utf-8"
    )


def test_private_yields_are_read(folder: Path, edit: Edit) -> None:
    """As they are written; those of a bid are also those of its other starts."""
    edit("bids.csv", "2025-10-01,2026-04-01", "2025-10-01,2026-01-01")
    rules(folder, "bids.csv", starts=["", "2026-01-01", ""])
    assert read(folder).yields == ()
    yields(
        folder, "b-2,nvidia-h20-sxm-96gb,1.25,own run of May", "b-1,nvidia-l40s-48gb,0.8,own run of June",
        "b-2,nvidia-l40s-48gb,1.1,own run of July",
    )  # fmt: skip
    assert [(y.bid, y.accelerator[7:11], y.factor, y.source) for y in read(folder).yields] == [
        ("b-2", "h20-", 1.25, "own run of May"),
        ("b-2@2026-01-01", "h20-", 1.25, "own run of May"),
        ("b-1", "l40s", 0.8, "own run of June"),
        ("b-2", "l40s", 1.1, "own run of July"),
        ("b-2@2026-01-01", "l40s", 1.1, "own run of July"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("b-9,nvidia-l40s-48gb,1.1,x", "yields.csv:3: bid: there is no bid 'b-9'"),
        ("b-2,nvidia-l40,1.1,x", "yields.csv:3: accelerator: there is no accelerator 'nvidia-l40'"),
        ("b-2,nvidia-l40s-48gb,0,x", "yields.csv:3: factor: '0' is not a usable factor"),
        ("b-2,nvidia-l40s-48gb,110%,x", "yields.csv:3: factor: '110%' is not a usable factor"),
        ("b-2,nvidia-l40s-48gb,1000,x", "yields.csv:3: factor: '1000' is not a usable factor"),
        ("b-2,nvidia-l40s-48gb,1.1,", "yields.csv:3: source: the field is empty"),
        (
            "b-1,nvidia-l40s-48gb,1.2,x",
            "yields.csv:3: bid: the yield of bid b-1 on nvidia-l40s-48gb is stated on an",
        ),
    ],
)
def test_a_yield_that_cannot_be_is_named(folder: Path, row: str, said: str) -> None:
    """The line, the field, and what is wrong with it."""
    yields(folder, "b-1,nvidia-l40s-48gb,1.1,own run", row)
    with pytest.raises(InputError) as caught:
        read(folder)
    assert said in str(caught.value)
