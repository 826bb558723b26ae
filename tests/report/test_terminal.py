"""Bars in a terminal keep their width and their proportions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.report.terminal import bar, sparkline, stacked

SHARES = st.floats(min_value=0, max_value=1)


@given(SHARES, st.integers(min_value=1, max_value=80))
@settings(max_examples=50, deadline=None)
def test_a_bar_is_as_wide_as_asked(share: float, width: int) -> None:
    """Columns stay aligned; something is never drawn as nothing."""
    drawn = bar(share, width)
    assert len(drawn) == width
    assert (drawn.strip() == "") == (share == 0)


@given(
    st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=5),
    st.integers(min_value=1, max_value=60),
)
@settings(max_examples=50, deadline=None)
def test_parts_fill_the_whole(parts: list[float], width: int) -> None:
    """No cell is lost or added by rounding, and no part is off by a cell or more."""
    drawn = stacked(parts, width)
    assert len(drawn) == width
    if sum(parts) > 0:
        for fill, part in zip("█▓▒░·", parts, strict=False):
            assert abs(drawn.count(fill) - part / sum(parts) * width) < 1 + 1e-9


@given(st.lists(st.one_of(st.none(), st.floats(min_value=-1e9, max_value=1e9)), max_size=60))
@settings(max_examples=50, deadline=None)
def test_a_sparkline_has_one_character_for_each_value(values: list[float | None]) -> None:
    """A gap stays a gap."""
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    assert [c == " " for c in drawn] == [v is None for v in values]
