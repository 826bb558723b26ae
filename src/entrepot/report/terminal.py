"""How does a series of figures look in a terminal? Bars of block characters: no colour, no library, any width."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["bar", "bars", "sparkline", "stacked"]

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = "▁▂▃▄▅▆▇█"
_FILLS = "█▓▒░·"


def bar(share: float, width: int = 20) -> str:
    """Return a bar that fills ``share`` (0..1) of ``width`` characters, to an eighth of a character.

    Examples
    --------
    >>> bar(0.5, 8)
    '████    '
    """
    eighths = round(min(1.0, max(0.0, share)) * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_EIGHTHS[part] if part else "")).ljust(width)


def bars(rows: Sequence[tuple[str, float, str]], width: int = 30) -> str:
    """Return one line per row: label, bar on the scale of the largest value, the value in words.

    Examples
    --------
    >>> print(bars([("H20", 2.0, "2.0"), ("910B", 1.0, "1.0")], width=4))
    H20   ████  2.0
    910B  ██    1.0
    """
    top = max((value for _, value, _ in rows), default=0.0)
    label = max((len(name) for name, _, _ in rows), default=0)
    return "\n".join(
        f"{name.ljust(label)}  {bar(value / top if top > 0 else 0.0, width)}  {words}"
        for name, value, words in rows
    )


def sparkline(values: Sequence[float | None]) -> str:
    """Return one character per value, from the lowest to the highest; a gap where there is none.

    Examples
    --------
    >>> sparkline([1, 2, None, 8])
    '▁▂ █'
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return " " * len(values)
    low, high = min(known), max(known)
    span = high - low
    text = []
    for value in values:
        if value is None or not math.isfinite(value):
            text.append(" ")
        else:
            text.append(_LEVELS[round((value - low) / span * 7)] if span > 0 else _LEVELS[3])
    return "".join(text)


def stacked(parts: Sequence[float], width: int = 30) -> str:
    """Return parts of a whole as runs of different fills, ``width`` characters in all, by largest remainder.

    Examples
    --------
    >>> stacked([3, 1], 8)
    '██████▓▓'
    """
    whole = sum(parts)
    if whole <= 0:
        return " " * width
    exact = [part / whole * width for part in parts]
    cells = [int(x) for x in exact]
    by_rest = sorted(range(len(parts)), key=lambda i: (cells[i] - exact[i], i))
    for i in by_rest[: width - sum(cells)]:
        cells[i] += 1
    return "".join(_FILLS[min(i, len(_FILLS) - 1)] * n for i, n in enumerate(cells))
