"""Is any device offered twice in some hour, or any demand bid for twice?

Windows lie on the cuts of the horizon, so quantities over time are sums of differences at the cuts. Most holdings cannot
be oversold whatever the windows (all lots together fit); only the others are laid out over time.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.scenario.faults import Faults
from entrepot.scenario.records import Horizon
from entrepot.scenario.table import LINE, Row, Sheet
from entrepot.scenario.typed import parse_hours

__all__ = ["note_offered_twice", "note_wanted_twice"]

_SHARE_EPS = 1e-9


def _sound_window(horizon: Horizon) -> pl.Expr:
    starts, ends = list(horizon.step_starts[:-1]), list(horizon.step_starts[1:])
    start, end = pl.col("start"), pl.col("end")
    return start.is_in(starts) & end.is_in(ends) & (start < end)


def _several(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")


def note_offered_twice(sheet: Sheet, horizon: Horizon | None, faults: Faults) -> None:
    """Note holdings of which lots with a number together offer more than there is in some hour.

    Parameters
    ----------
    sheet : lots with ``held``, the quantity of their holding. A sale takes its devices from its start to the end
    """
    held = pl.col("held")
    numeric = sheet.having(sheet.rows.filter(pl.col("quantity").is_not_null() & held.is_not_null()))

    def alone(row: Row) -> tuple[str, str]:
        what = (
            f"the lot offers {row['quantity']} devices of holding {row['holding']}, which has {row['held']}"
        )
        return what, f"Write at most {row['held']}, or surplus."

    numeric.note(pl.col("quantity") > held, "quantity", faults, alone)
    if horizon is None:
        return
    sound = _sound_window(horizon) & pl.col("hours").is_not_null() & pl.col("kind").is_not_null()
    usable = numeric.rows.filter((pl.col("quantity") <= held) & sound)
    suspect = usable.filter(pl.col("quantity").sum().over("holding") > held)
    step = {day: i for i, day in enumerate(horizon.step_starts)}
    for group in suspect.partition_by("holding", maintain_order=True):
        offered = np.zeros((len(step), 24), dtype=np.int64)  # (cuts, hours of the day): change at each cut
        for start, end, hours, kind, quantity in group.select(
            "start", "end", "hours", "kind", "quantity"
        ).iter_rows():
            of_day = list(parse_hours(hours) or ())
            offered[step[start], of_day] += quantity
            if kind == "lease":
                offered[step[end], of_day] -= quantity
        offered = offered[:-1].cumsum(axis=0)  # (steps, 24)
        most, there = int(offered.max()), int(group["held"][0])
        if most > there:
            at, hour = divmod(int(offered.argmax()), 24)
            faults.add(
                f"{sheet.file}:{group[LINE][-1]}: quantity",
                f"lots {_several(group['id'].to_list())} together offer {most} devices of holding "
                f"{group['holding'][0]}, which has {there} (from {horizon.step_starts[at]}, {hour}-{hour + 1} h UTC)",
                "Lower a quantity or move a window: one device cannot be in two places.",
            )


def note_wanted_twice(sheet: Sheet, horizon: Horizon | None, faults: Faults) -> None:
    """Note services of which bids together want more than the whole demand in some step.

    ``unserved`` may turn out to be all of it, so it stands alone.
    """
    if horizon is None:
        return
    stated = pl.col("service").is_not_null() & (pl.col("share").is_not_null() | pl.col("share_word"))
    bids = sheet.rows.filter(stated & _sound_window(horizon)).with_columns(pl.col("share").fill_null(1.0))
    suspect = bids.filter(pl.col("share").sum().over("service") > 1 + _SHARE_EPS)
    step = {day: i for i, day in enumerate(horizon.step_starts)}
    for group in suspect.partition_by("service", maintain_order=True):
        # of alternatives at most one is taken: in each step the largest of them counts for all
        of: dict[tuple[str, str], NDArray[np.float64]] = {}
        for id_, together, start, end, share in group.select(
            "id", "group", "start", "end", "share"
        ).iter_rows():
            one = of.setdefault(("group", together) if together else ("bid", id_), np.zeros(len(step)))
            one[step[start] : step[end]] = np.maximum(one[step[start] : step[end]], share)
        wanted = np.sum(list(of.values()), axis=0)
        if wanted.max() > 1 + _SHARE_EPS:
            faults.add(
                f"{sheet.file}:{group[LINE][-1]}: share",
                f"bids {_several(group['id'].to_list())} together want more than the whole demand of service "
                f"{group['service'][0]} (from {horizon.step_starts[int(wanted.argmax())]})",
                "Let the shares add up to at most 1, or give the bids different windows; unserved stands alone.",
            )
