"""In which hours does a posting count? A slot is hours of the day on a run of days; nothing means for good.

::

    2025-07-01/h14                       14:00 to 15:00 UTC on that day
    2025-07-01..2025-10-01/h08-20        08:00 to 20:00 UTC on every day from 1 July to 30 September
    (empty)                              from the entry's time on

The balance of an account in an hour is its postings for good plus those of every slot that covers the hour. It is what
keeps a device from being leased twice in one hour, also by two clearings whose periods were cut differently: slots may
overlap in any way, and the *sum* must hold in each hour.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from entrepot.errors import Fault, InputError

__all__ = ["Slot", "rectangles"]

_FORM = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?/h(\d\d)(?:-(\d\d))?", re.ASCII)
_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Slot:
    """Hours ``hour_from`` <= h < ``hour_to`` (UTC) of the days ``first`` <= d < ``end``."""

    first: dt.date
    end: dt.date
    hour_from: int
    hour_to: int

    def __str__(self) -> str:
        """Return the one way to write this slot.

        Examples
        --------
        >>> str(Slot(dt.date(2025, 7, 1), dt.date(2025, 7, 2), 14, 15))
        '2025-07-01/h14'
        """
        days = f"{self.first}" if self.end == self.first + _DAY else f"{self.first}..{self.end}"
        one_hour = self.hour_to == self.hour_from + 1
        return f"{days}/h{self.hour_from:02}" + ("" if one_hour else f"-{self.hour_to:02}")

    def covers(self, day: dt.date, hour: int) -> bool:
        """Return whether the hour of that day lies in the slot."""
        return self.first <= day < self.end and self.hour_from <= hour < self.hour_to

    @staticmethod
    def parse(text: str) -> Slot:
        """Read a slot.

        Raises
        ------
        InputError
            When it is not a slot, or not written in the one way that `str` gives.

        Examples
        --------
        >>> Slot.parse("2025-07-01..2025-10-01/h08-20").hour_to
        20
        """
        return _parse(text)


@lru_cache(maxsize=65_536)
def _parse(text: str) -> Slot:
    match = _FORM.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not of that form")  # noqa: TRY301 - one way out for every reason
        first = dt.date.fromisoformat(match[1])
        end = dt.date.fromisoformat(match[2]) if match[2] else first + _DAY
        hour = int(match[3])
        slot = Slot(first, end, hour, int(match[4]) if match[4] else hour + 1)
    except (ValueError, OverflowError) as error:
        raise _fault(text, f"is not a slot ({error})") from error
    if not (slot.first < slot.end and 0 <= slot.hour_from < slot.hour_to <= 24):
        raise _fault(text, "covers no hour")
    if str(slot) != text:
        raise _fault(text, f"is written another way; this slot is {slot}")
    return slot


def _fault(text: str, what: str) -> InputError:
    return InputError(
        Fault(f"slot {text!r}", what, "Write 2025-07-01/h14 or 2025-07-01..2025-10-01/h08-20, in UTC.")
    )


def rectangles(devices: NDArray[np.int64], step_starts: Sequence[dt.date]) -> list[tuple[Slot, int]]:
    """Write a use of devices over periods in as few slots as are easily read.

    Hours of equal use within a day are joined, then steps that use alike.

    Parameters
    ----------
    devices : (steps * 24,) devices in each hour of the day of each step
    step_starts : (steps + 1,) first day of each step, and the day after the last

    Returns
    -------
    Slots with their (non-zero) quantities; no two overlap, and together they are ``devices``.

    Examples
    --------
    >>> month = np.repeat([0, 8, 0], [8, 12, 4])
    >>> starts = [dt.date(2025, 5, 1), dt.date(2025, 6, 1), dt.date(2025, 7, 1)]
    >>> [(str(slot), n) for slot, n in rectangles(np.tile(month, 2), starts)]
    [('2025-05-01..2025-07-01/h08-20', 8)]
    """
    out: list[tuple[Slot, int]] = []
    by_step = devices.reshape(-1, 24)  # (steps, hours)
    last = 0
    for step in range(1, len(by_step) + 1):
        if step < len(by_step) and np.array_equal(by_step[step], by_step[last]):
            continue
        edges = [0, *(np.flatnonzero(np.diff(by_step[last])) + 1).tolist(), 24]
        for hour_from, hour_to in pairwise(edges):
            quantity = int(by_step[last, hour_from])
            if quantity != 0:
                out.append((Slot(step_starts[last], step_starts[step], hour_from, hour_to), quantity))
        last = step
    return out
