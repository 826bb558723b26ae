"""May a bid begin on another day? Each day that it names becomes an alternative of one exclusive group.

A bid of three steps that may begin in January or in March is two bids of three steps, of which at most one is taken.
"""

from __future__ import annotations

import datetime as dt

import polars as pl

from entrepot.scenario.faults import Faults
from entrepot.scenario.horizon import nearest_boundary
from entrepot.scenario.records import Horizon
from entrepot.scenario.table import LINE, Row, Sheet

__all__ = ["with_alternatives"]


def with_alternatives(sheet: Sheet, horizon: Horizon | None, faults: Faults) -> Sheet:
    """Return the bids with one row for each day on which they may begin; note days on which they cannot.

    An alternative is called ``<id>@<day>``, has as many steps as the bid, and shares its group: the one that is written, or
    else one of its own. It stands on the bid's line.

    Parameters
    ----------
    sheet : bids with their windows filled in
    """
    chosen = sheet.rows.filter(pl.col("starts").list.len() > 0)
    if horizon is None or not chosen.height:
        return sheet
    wrong: dict[int, tuple[str, str]] = {}
    more: list[tuple[int, dt.date, dt.date]] = []
    for row in chosen.iter_rows(named=True):
        found = _windows(row, horizon)
        if isinstance(found, tuple):
            wrong[row[LINE]] = found
        else:
            more += [(row[LINE], start, end) for start, end in found]
    sheet.note(pl.col(LINE).is_in(list(wrong)), "starts", faults, lambda row: wrong[row[LINE]])

    several = pl.col("starts").list.len() > 0
    unnamed = several & (pl.col("group").is_null() | (pl.col("group") == ""))
    own = pl.format("starts of {}", pl.col("id"))
    rows = sheet.rows.with_columns(group=pl.when(unnamed).then(own).otherwise("group"))
    windows = pl.DataFrame(
        more, schema={LINE: rows.schema[LINE], "_start": pl.Date, "_end": pl.Date}, orient="row"
    )
    others = (
        windows.join(rows, on=LINE, how="left", maintain_order="left")
        .with_columns(
            id=pl.format("{}@{}", pl.col("id"), pl.col("_start")), start=pl.col("_start"), end=pl.col("_end")
        )
        .select(rows.columns)
    )
    # alternatives stand after the bid of which they are
    return sheet.having(pl.concat([rows, others]).sort(LINE, maintain_order=True))


def _windows(row: Row, horizon: Horizon) -> list[tuple[dt.date, dt.date]] | tuple[str, str]:
    """Return the other windows of a bid, or what is wrong with the first bad one and the mend."""
    steps = list(horizon.step_starts)
    if row["start"] not in steps or row["end"] not in steps:
        return []  # noted already
    length = steps.index(row["end"]) - steps.index(row["start"])
    seen, windows = {row["start"]}, []
    for word in row["starts"]:
        try:
            day = dt.date.fromisoformat(word)
        except ValueError:
            return f"{word!r} is not a day", "Write year-month-day, for example 2025-07-01; several with `;`."
        if day not in steps[:-1]:
            near = nearest_boundary(day, steps[:-1])
            return f"{day} is not the first day of a step of the horizon", f"Write {near}, the nearest cut."
        if day in seen:
            return f"{day} is named twice; the bid's own start counts", "Delete one of the two."
        end = steps.index(day) + length
        if end >= len(steps):
            what = f"a bid of {length} steps that begins on {day} ends after the horizon, {horizon.end}"
            return what, "Write an earlier day, or an earlier end: an alternative is as long as the bid."
        seen.add(day)
        windows.append((day, steps[end]))
    return windows
