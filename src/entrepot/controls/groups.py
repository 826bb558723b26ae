"""Which country is in which group on which day?

Memberships are dated in ``data/groups.toml``; Hong Kong is China and Macau is not. Where two texts disagree on a country,
the answer is ``None``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from entrepot.controls import _toml
from entrepot.controls.records import TransferKind
from entrepot.errors import EntrepotError

__all__ = ["all_groups", "all_moves", "countries", "ear_country", "group_days", "kinds", "member", "moves"]

_MOVE = "country from until source"


@dataclass(frozen=True, slots=True)
class _Move:
    country: str
    first: dt.date
    out: dt.date
    doubtful: bool
    source: str


@dataclass(frozen=True, slots=True)
class _Group:
    members: frozenset[str]
    moves: tuple[_Move, ...]


@cache
def countries() -> Mapping[str, str]:
    """Return the names of all ISO 3166-1 countries by their two-letter code."""
    names = _toml.read("countries")["name"]
    return MappingProxyType({str(k): str(v) for k, v in _toml.table(names).items()})


@cache
def _treated_as() -> Mapping[str, str]:
    return {str(k): str(v) for k, v in _toml.table(_toml.read("countries")["treated_as"]).items()}


def ear_country(code: str) -> str:
    """Return the country as which the Export Administration Regulations treat a code.

    Examples
    --------
    >>> ear_country("HK"), ear_country("MO")
    ('CN', 'MO')
    """
    return _treated_as().get(code, code)


@cache
def _groups() -> Mapping[str, _Group]:
    out: dict[str, _Group] = {}
    for row in _toml.rows(_toml.read("groups"), "group", "id members move doubt"):
        moves = [_move(m, doubtful=False) for m in _toml.rows(row, "move", _MOVE)]
        moves += [_move(m, doubtful=True) for m in _toml.rows(row, "doubt", _MOVE)]
        out[_toml.text(row, "id")] = _Group(frozenset(_toml.names(row, "members")), tuple(moves))
    return out


@cache
def _derived() -> Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    rows = _toml.rows(_toml.read("groups"), "derived", "id union minus")
    return {_toml.text(row, "id"): (_toml.names(row, "union"), _toml.names(row, "minus")) for row in rows}


def member(country: str, places: Iterable[str], on: dt.date) -> bool | None:
    """Return whether a country is among the places (codes or group ids) on a day; ``None`` where texts disagree.

    Examples
    --------
    >>> member("KH", ["D:5"], dt.date(2025, 11, 6)), member("KH", ["D:5"], dt.date(2025, 11, 7))
    (True, False)
    """
    found = {_member(country, place, on) for place in places}
    return True if True in found else None if None in found else False


@cache
def _member(country: str, place: str, on: dt.date) -> bool | None:
    if place in _derived():
        union, minus = _derived()[place]
        inside, taken = member(country, union, on), member(country, minus, on)
        if inside is False or taken is True:
            return False
        return True if inside and taken is False else None
    if place not in _groups():
        if place not in countries():
            raise EntrepotError(f"a rule names {place!r}, which is neither a country nor a group")
        return ear_country(country) == place
    group = _groups()[place]
    for move in group.moves:
        if move.country == ear_country(country) and move.first <= on < move.out:
            return None if move.doubtful else True
    return ear_country(country) in group.members


@cache
def kinds(names: tuple[str, ...]) -> frozenset[TransferKind]:
    """Return the kinds of act that a rule names, singly or by a group such as ``moves``."""
    held = {
        _toml.text(row, "id"): _toml.names(row, "members")
        for row in _toml.rows(_toml.read("groups"), "kinds", "id members")
    }
    found = [member for name in names for member in held.get(name, (name,))]
    try:
        return frozenset(TransferKind(member) for member in found)
    except ValueError as error:
        raise EntrepotError(f"a rule names a kind of act that does not exist: {error}") from None


@cache
def all_groups() -> tuple[str, ...]:
    """Return the ids of all groups, the derived ones last."""
    return (*_groups(), *_derived())


def moves(country: str, first: dt.date, last: dt.date) -> list[str]:
    """Return the groups that a country entered or left after the first day and not after the last."""
    told = []
    for name, group in _groups().items():
        for move in group.moves:
            if move.country == ear_country(country):
                doubt = " (the texts disagree)" if move.doubtful else ""
                if first < move.first <= last:
                    told.append(f"{country} into {name} on {move.first}{doubt}: {move.source}")
                if first < move.out <= last:
                    told.append(f"{country} out of {name} on {move.out}{doubt}: {move.source}")
    return told


def all_moves() -> list[tuple[dt.date, str, str]]:
    """Return every day on which a country entered or left a group: the day, what moved, the source."""
    told = []
    for name, group in _groups().items():
        for move in group.moves:
            doubt = ", disputed" if move.doubtful else ""
            told.append((move.first, f"{move.country} into {name}{doubt}", move.source))
            told.append((move.out, f"{move.country} out of {name}{doubt}", move.source))
    return told


@cache
def group_days() -> frozenset[dt.date]:
    """Return every day on which a country moved."""
    days = {day for group in _groups().values() for move in group.moves for day in (move.first, move.out)}
    return frozenset(days - {dt.date.min, dt.date.max})


def _move(row: _toml.Table, *, doubtful: bool) -> _Move:
    first, out = _toml.day_or_none(row, "from"), _toml.day_or_none(row, "until")
    ends = first or dt.date.min, out or dt.date.max
    return _Move(_toml.text(row, "country"), *ends, doubtful, _toml.text(row, "source"))
