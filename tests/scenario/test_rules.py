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
