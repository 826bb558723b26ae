"""How is a rule file read, so that a wrong one stops the program instead of meaning nothing?"""

from __future__ import annotations

import datetime as dt
import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TypeAlias

from entrepot.controls.logic import Condition, compiled
from entrepot.errors import EntrepotError, Fault, InputError, nearest

__all__ = [
    "AMENDED",
    "Table",
    "amended_from",
    "condition",
    "day",
    "day_or_none",
    "names",
    "number",
    "read",
    "rows",
    "table",
    "text",
]

Table: TypeAlias = "Mapping[str, object]"


AMENDED = "ENTREPOT_LAW"  # a folder whose files stand in the place of those in ``data/``


def amended_from() -> Path | None:
    """Return the folder of amended rule files that the environment names, or ``None``.

    Raises
    ------
    InputError
        The folder does not exist, or holds a rule file of a name that nobody reads.
    """
    named = os.environ.get(AMENDED)
    if not named:
        return None
    folder = Path(named)
    if not folder.is_dir():
        raise InputError(Fault(AMENDED, f"{named!r} is no folder", "Name a folder with amended rule files."))
    shipped = {path.name for path in files("entrepot.controls").joinpath("data").iterdir()}
    for path in folder.glob("*.toml"):
        if path.name not in shipped:
            near = ", ".join(nearest(path.name, sorted(shipped)) or sorted(shipped))
            raise InputError(Fault(str(path), "no rule file goes by that name", f"Rule files: {near}."))
    return folder


@cache
def read(name: str) -> Table:
    """Return a file of ``data/``, or the amended one in its place; numbers with a point are exact decimals.

    Raises
    ------
    InputError
        An amended file that is no TOML.
    EntrepotError
        A file of ours that is no TOML.
    """
    folder = amended_from()
    amended = None if folder is None else folder / f"{name}.toml"
    if amended is not None and amended.exists():
        try:
            return tomllib.loads(amended.read_text(encoding="utf-8"), parse_float=Decimal)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(Fault(str(amended), f"it is no TOML: {error}", "Mend that place.")) from None
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
