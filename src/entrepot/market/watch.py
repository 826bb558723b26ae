"""How far is a clearing, and how long may it go on? A clock that stages ask, and a listener that they tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Progress", "Watch"]

Progress: TypeAlias = Callable[[str, float | None, float | None], None]
"""Told the stage, the best welfare so far and the best bound so far, micro-units; ``None`` while there is none."""


class Watch:
    """The time that is left, and who wants to know.

    Parameters
    ----------
    seconds : after which stages that only make a result better stop; ``None`` lets each take its own measure
    progress : told at the end of each stage
    """

    def __init__(self, seconds: float | None = None, progress: Progress | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._progress = progress

    def left(self, most: float) -> float:
        """Return the seconds that a stage may take which would take ``most``."""
        return most if self._end is None else max(0.0, min(most, self._end - time.monotonic()))

    def until(self, most: float) -> Callable[[], float]:
        """Return a clock that says how many seconds are left of a stage that begins now and may take ``most``."""
        begun = time.monotonic()
        return lambda: self.left(max(0.0, most - (time.monotonic() - begun)))

    def part(self, most: float) -> Watch:
        """Return the watch of a stage that may take at most ``most`` seconds from now."""
        return Watch(self.left(most), self._progress)

    def tell(self, stage: str, welfare: float | None = None, bound: float | None = None) -> None:
        """Tell the listener, if there is one."""
        if self._progress is not None:
            self._progress(stage, welfare, bound)
