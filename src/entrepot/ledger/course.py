"""What has an account at any time? Its balance as a function of time: what it holds for good, and what slots add.

The function that the guards keep above zero, worked out in Python: audits, refusals in words and forecasts use it. It
shares no arithmetic with the guards.
"""

from __future__ import annotations

import datetime as dt
from array import array
from bisect import bisect_left, bisect_right, insort

import numpy as np
from numpy.typing import NDArray

from entrepot.ledger.slots import Slot

__all__ = ["Course"]

_HOUR = 3_600_000_000  # microseconds
_DAY = 24 * _HOUR
_EPOCH = dt.date(1970, 1, 1).toordinal()
_FOR_EVER = 1 << 62


class Course:
    """A step function: changes at instants, and for each hour of the day changes at days.

    Examples
    --------
    >>> may, june = (dt.datetime(2025, month, 1, tzinfo=dt.UTC) for month in (5, 6))
    >>> free = Course()
    >>> free.add(may, 64)
    >>> free.add(Slot.parse("2025-06-01..2025-07-01/h08-20"), -40)
    >>> free.at(june), free.at(june.replace(hour=8)), free.lowest(since=may)[0]
    (64, 24, 24)
    """

    __slots__ = ("_at", "_change", "_days", "_level", "_steps")

    def __init__(self) -> None:
        self._at = array("q")  # when a level begins, in order, in microseconds; there may be millions
        self._level = array("q")
        self._change: dict[int, dict[int, int]] = {}  # hour -> day -> change
        self._days: dict[int, list[int]] = {}  # hour -> days in order
        self._steps: dict[
            int, list[int] | None
        ] = {}  # hour -> values, None where they are to be summed again

    @property
    def has_slots(self) -> bool:
        """Return whether any slot was posted to."""
        return bool(self._change)

    def add(self, since: dt.datetime | Slot, quantity: int) -> None:
        """Add a quantity from an instant on, or in every hour of a slot."""
        if isinstance(since, Slot):
            for hour in range(since.hour_from, since.hour_to):
                self.change(hour, since.first, quantity)
                self.change(hour, since.end, -quantity)
            return
        number = _number(since)
        place = bisect_left(self._at, number)
        if place == len(self._at) or self._at[place] != number:
            self._at.insert(place, number)
            self._level.insert(place, self._level[place - 1] if place else 0)
        for later in range(place, len(self._level)):
            self._level[later] += quantity

    def change(self, hour: int, day: dt.date, quantity: int) -> None:
        """Add a quantity in one hour of the day, from a day on."""
        changes, number = self._change.setdefault(hour, {}), day.toordinal()
        if number not in changes:
            insort(self._days.setdefault(hour, []), number)
        changes[number] = changes.get(number, 0) + quantity
        self._steps[hour] = None

    def at(self, when: dt.datetime) -> int:
        """Return the balance at an instant."""
        return self._value(_number(when))

    def lowest(
        self, *, since: dt.datetime | None = None, until: dt.datetime | None = None, sign: int = 1
    ) -> tuple[int, dt.datetime | None]:
        """Return the lowest value of ``sign`` times the balance, and when it first has it.

        Parameters
        ----------
        since : from this instant on; all time if left out
        until : before this instant; for ever if left out
        sign : -1 for accounts that owe

        Returns
        -------
        The value, and the instant; 0 and ``None`` where nothing was posted in that time
        """
        begin = None if since is None else _number(since)
        end = _FOR_EVER if until is None else _number(until)
        first = 0 if begin is None else bisect_left(self._at, begin)
        last = bisect_left(self._at, end)
        times = ([] if begin is None or begin >= end else [begin]) + list(self._at[first:last])
        if self._change:
            for start in tuple(times):  # until the next change, each hour of the day is met within a day
                hour = start - start % _HOUR
                times.extend(range(hour + _HOUR, hour + 25 * _HOUR, _HOUR))
            for hour, days in self._days.items():
                after = 0 if begin is None else bisect_left(days, begin // _DAY + _EPOCH)
                times.extend((day - _EPOCH) * _DAY + hour * _HOUR for day in days[after:])
            times = [t for t in times if (begin is None or t >= begin) and t < end]
        low = min(((sign * self._value(t), t) for t in times), default=None)
        return (0, None) if low is None else (low[0], _instant(low[1]))

    def by_hour(self, first: dt.datetime, hours: int) -> NDArray[np.int64]:
        """Return the lowest balance in each of a run of whole hours.

        Parameters
        ----------
        first : the beginning of the first hour
        hours : how many

        Returns
        -------
        (hours,) balances
        """
        begin = _number(first)
        starts = begin + np.arange(hours, dtype=np.int64) * _HOUR
        level = np.concatenate([[0], np.frombuffer(self._level, dtype=np.int64)]).astype(np.int64)
        at = np.frombuffer(self._at, dtype=np.int64)
        out: NDArray[np.int64] = level[np.searchsorted(at, starts, side="right")]
        inside = (at > begin) & (at < begin + hours * _HOUR) & (at % _HOUR != 0)
        np.minimum.at(out, (at[inside] - begin) // _HOUR, level[1:][inside])
        number, hour = starts // _DAY + _EPOCH, starts % _DAY // _HOUR
        for of_day, days in self._days.items():
            mine = hour == of_day
            value = np.concatenate([[0], self._values(of_day)]).astype(np.int64)
            out[mine] += value[np.searchsorted(np.array(days), number[mine], side="right")]
        return out

    def levels(self) -> dict[dt.datetime, int]:
        """Return what is held for good, from each instant on."""
        return {_instant(at): level for at, level in zip(self._at, self._level, strict=True)}

    def steps(self) -> dict[tuple[int, dt.date], int]:
        """Return what slots add, as (hour, first day) -> value."""
        return {
            (hour, dt.date.fromordinal(day)): value
            for hour, days in self._days.items()
            for day, value in zip(days, self._values(hour), strict=True)
        }

    def changes(self) -> list[dt.datetime]:
        """Return the instants at which the balance may change, in order; days on which slots do so, by the hour."""
        times = set(self._at)
        for hour, days in self._days.items():
            times.update((day - _EPOCH) * _DAY + hour * _HOUR for day in days)
        return [_instant(t) for t in sorted(times)]

    def _value(self, number: int) -> int:
        place = bisect_right(self._at, number)
        level = self._level[place - 1] if place else 0
        hour, day = number % _DAY // _HOUR, number // _DAY + _EPOCH
        days = self._days.get(hour)
        if not days:
            return level
        place = bisect_right(days, day)
        return level + (self._values(hour)[place - 1] if place else 0)

    def _values(self, hour: int) -> list[int]:
        values = self._steps[hour]
        if values is None:
            values, total, changes = [], 0, self._change[hour]
            for day in self._days[hour]:
                total += changes[day]
                values.append(total)
            self._steps[hour] = values
        return values


def _number(when: dt.datetime) -> int:
    return (
        (when.toordinal() - _EPOCH) * _DAY
        + (when.hour * 3600 + when.minute * 60 + when.second) * 1_000_000
        + when.microsecond
    )


def _instant(number: int) -> dt.datetime:
    return dt.datetime.combine(
        dt.date.fromordinal(number // _DAY + _EPOCH), dt.time(), tzinfo=dt.UTC
    ) + dt.timedelta(microseconds=number % _DAY)
