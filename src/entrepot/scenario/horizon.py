"""How is the time of a clearing cut into steps, and which day is the nearest cut?"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence

from entrepot.scenario.records import Horizon

__all__ = ["STEPS_MAX", "cut", "nearest_boundary"]

STEPS_MAX = 3700  # ten years of days

_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "quarter": 3}


def cut(start: dt.date, end: dt.date, step: str) -> Horizon | tuple[str, str]:
    """Return the horizon, or what is wrong with it and the mend.

    Examples
    --------
    >>> len(cut(dt.date(2025, 7, 1), dt.date(2026, 7, 1), "quarter").step_starts)
    5
    """
    if end <= start:
        return (
            f"the horizon ends on {end}, which is not after its start on {start}",
            "Write an end after the start.",
        )
    if step in _MONTHS and start.day != 1:
        first = start.replace(day=1)
        return (
            f"a horizon cut by {step} starts on {start}",
            f"Start on the first of a month, for example {first}.",
        )
    starts = _starts(start, end, step)
    if len(starts) - 1 > STEPS_MAX:
        return f"the horizon has more than {STEPS_MAX:,} steps", "Take a longer step or a shorter horizon."
    if starts[-1] != end:
        near = f"{starts[-2]} or {starts[-1]}" if len(starts) > 2 else f"{starts[-1]}"
        return f"no {step} that begins with {start} ends on {end}", f"Write end = {near}."
    return Horizon(start=start, end=end, step=step, step_starts=tuple(starts))


def _starts(start: dt.date, end: dt.date, step: str) -> list[dt.date]:
    """Return the cuts from ``start`` to the first that is not before ``end``."""
    if step == "all":
        return [start, end]
    starts = [start]
    while starts[-1] < end and len(starts) <= STEPS_MAX + 1:
        n = len(starts)
        if step in _DAYS:
            starts.append(start + dt.timedelta(days=n * _DAYS[step]))
        else:
            months = start.month - 1 + n * _MONTHS[step]
            year, month = start.year + months // 12, months % 12 + 1
            starts.append(dt.date(year, month, min(start.day, calendar.monthrange(year, month)[1])))
    return starts


def nearest_boundary(day: dt.date, boundaries: Sequence[dt.date]) -> dt.date:
    """Return the boundary closest to ``day``, the earlier of two."""
    return min(boundaries, key=lambda boundary: (abs((boundary - day).days), boundary))
