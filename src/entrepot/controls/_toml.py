"""How is a rule file read, so that a wrong one stops the program instead of meaning nothing?"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import TypeAlias

from entrepot.controls.logic import Condition, compiled
from entrepot.errors import EntrepotError

__all__ = ["Table", "condition", "day", "day_or_none", "names", "number", "read", "rows", "table", "text"]

Table: TypeAlias = "Mapping[str, object]"


@cache
def read(name: str) -> Table:
    """Return a file of ``data/``; numbers with a point are exact decimals."""
    text = files("entrepot.controls").joinpath("data", f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Decimal)


def condition(row: Table, key: str, where: str) -> Condition | None:
    """Return a compiled condition, or ``None`` where the key is absent."""
    return compiled(table(row[key]), where) if key in row else None


def table(value: object) -> Table:
    """Return a value that must be a table."""
    if not isinstance(value, dict):
        raise EntrepotError(f"a rule file holds {value!r} where a table belongs")
    return value


def rows(held: Table, key: str, allowed: str) -> list[Table]:
    """Return a list of tables; an absent one is empty. ``allowed`` names every key that such a table may have."""
    value = held.get(key, [])
    if not isinstance(value, list):
        raise EntrepotError(f"a rule file holds {value!r} where a list of tables belongs")
    found = [table(row) for row in value]
    for row in found:
        stray = set(row) - set(allowed.split())
        if stray:  # a misspelt key must not be read as an absent one
            raise EntrepotError(
                f"a rule file holds {key} with {', '.join(sorted(stray))}; known are {allowed}"
            )
    return found


def names(held: Table, key: str) -> tuple[str, ...]:
    """Return a list of names; an absent one is empty."""
    value = held.get(key, [])
    if not isinstance(value, list):
        raise EntrepotError(f"a rule file holds {value!r} where a list of names belongs")
    return tuple(str(part) for part in value)


def text(held: Table, key: str) -> str:
    """Return a text that must be there."""
    if not isinstance(held.get(key), str):
        raise EntrepotError(f"a rule file lacks {key!r} in {held!r}")
    return str(held[key])


def number(held: Table, key: str) -> Decimal | None:
    """Return an exact number, or ``None``."""
    value = held.get(key)
    return Decimal(value) if isinstance(value, int | Decimal) else None


def day(held: Table, key: str) -> dt.date:
    """Return a day that must be there."""
    day = day_or_none(held, key)
    if day is None:
        raise EntrepotError(f"a rule file lacks the day {key!r} in {held!r}")
    return day


def day_or_none(held: Table, key: str) -> dt.date | None:
    """Return a day, or ``None`` where it is absent."""
    value = held.get(key)
    return value if isinstance(value, dt.date) else None
