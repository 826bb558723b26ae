"""Which texts are known, and which version holds on a day?

Rules, groups, letters and thresholds are files in ``data/``: dated versions with a citation, a source and a status. They
are read once, checked, and never changed by the program. To amend the law, add a version and a case.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Protocol, TypeVar

from entrepot.controls.logic import ALWAYS, Condition, compiled
from entrepot.controls.records import Letter, Outcome, ReviewPolicy
from entrepot.errors import EntrepotError

__all__ = [
    "FIRST_TEXT",
    "LAW_KNOWN_TO",
    "ExceptionRule",
    "Figure",
    "ItemText",
    "LetterRule",
    "Listing",
    "Paragraph",
    "Review",
    "Rule",
    "Version",
    "countries",
    "ear_country",
    "exceptions",
    "figures",
    "item_texts",
    "letter_rules",
    "letters",
    "listings",
    "member",
    "reviews",
    "rules",
    "turning_days",
    "version_on",
]

FIRST_TEXT = dt.date(2022, 10, 21)  # 3A090 takes effect; nothing is known of the days before
LAW_KNOWN_TO = dt.date(2026, 9, 24)  # the newest text of the regulations that was read

Table = Mapping[str, object]


class _Dated(Protocol):
    @property
    def effective(self) -> dt.date: ...
    @property
    def until(self) -> dt.date | None: ...


D = TypeVar("D", bound=_Dated)


@dataclass(frozen=True, slots=True)
class Version:
    """One dated wording of a rule: ``effective`` is its first day, ``until`` the first day on which it is out."""

    effective: dt.date
    until: dt.date | None
    cite: str
    source: str
    status: str
    outcome: Outcome | None
    codified: Outcome | None
    policy: ReviewPolicy | None
    when: Condition
    text: str
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A requirement, a prohibition, a freedom or a note, in all its versions."""

    id: str
    title: str
    list_based: bool
    change: tuple[str, ...]
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True)
class ExceptionRule:
    """A licence exception: the rules that it overcomes and when."""

    id: str
    name: str
    effective: dt.date
    until: dt.date | None
    overcomes: tuple[str, ...]
    outcome: Outcome
    when: Condition
    cite: str
    text: str
    conditions: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Review:
    """How an application under some rules is looked at."""

    rules: tuple[str, ...]
    effective: dt.date
    until: dt.date | None
    when: Condition
    policy: ReviewPolicy
    cite: str
    text: str
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LetterRule:
    """A letter with what was stated of its reach; ``scope`` ``None`` = nothing certain, ``doubt`` what may be covered."""

    letter: Letter
    policy: ReviewPolicy
    practice_from: dt.date | None
    practice: str
    scope: Condition | None
    doubt: Condition | None
    destinations: Condition


@dataclass(frozen=True, slots=True)
class Listing:
    """What an entry on one restricted-party list means for a move, for a lease and inside the United States."""

    id: str
    cite: str
    outcome: Outcome
    lease: Outcome
    domestic: Outcome | None
    policy: ReviewPolicy | None
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph of an item text, with the condition under which a circuit meets it."""

    item: str
    says: str
    when: Condition


@dataclass(frozen=True, slots=True)
class ItemText:
    """The thresholds of ECCN 3A090 from one day on."""

    effective: dt.date
    until: dt.date | None
    cite: str
    source: str
    paragraphs: tuple[Paragraph, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that the item texts ask for and a catalogue does not print, for chips whose id begins so."""

    chips: tuple[str, ...]
    rate_int8: Decimal | None
    io_gb_s: Decimal | None
    source: str


@dataclass(frozen=True, slots=True)
class _Move:
    country: str
    first: dt.date
    out: dt.date
    doubtful: bool


@dataclass(frozen=True, slots=True)
class _Group:
    members: frozenset[str]
    moves: tuple[_Move, ...]


def version_on(versions: Iterable[D], on: dt.date) -> D | None:
    """Return the version in force on a day, or ``None`` where there is none."""
    held = [v for v in versions if v.effective <= on and (v.until is None or on < v.until)]
    return max(held, key=lambda v: v.effective) if held else None


@cache
def countries() -> Mapping[str, str]:
    """Return the names of all ISO 3166-1 countries by their two-letter code."""
    names = _read("countries")["name"]
    return MappingProxyType({str(k): str(v) for k, v in _table(names).items()})


@cache
def _treated_as() -> Mapping[str, str]:
    return {str(k): str(v) for k, v in _table(_read("countries")["treated_as"]).items()}


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
    for row in _rows(_read("groups"), "group"):
        moves = [_move(m, doubtful=False) for m in _rows(row, "move")]
        moves += [_move(m, doubtful=True) for m in _rows(row, "doubt")]
        out[_text(row, "id")] = _Group(frozenset(_names(row, "members")), tuple(moves))
    return out


@cache
def _derived() -> Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    rows = _rows(_read("groups"), "derived")
    return {_text(row, "id"): (_names(row, "union"), _names(row, "minus")) for row in rows}


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
        return ear_country(country) == place
    group = _groups()[place]
    for move in group.moves:
        if move.country == ear_country(country) and move.first <= on < move.out:
            return None if move.doubtful else True
    return ear_country(country) in group.members


@cache
def rules() -> tuple[Rule, ...]:
    """Return the requirements, prohibitions, freedoms and notes, in file order."""
    return tuple(
        Rule(
            id=_text(row, "id"),
            title=_text(row, "title"),
            list_based=bool(row.get("list_based", False)),
            change=_names(row, "change"),
            versions=tuple(_version(v, _text(row, "id")) for v in _rows(row, "version")),
        )
        for row in _rows(_read("requirements"), "rule")
    )


@cache
def exceptions() -> tuple[ExceptionRule, ...]:
    """Return the licence exceptions, in the order in which they are tried."""
    return tuple(
        ExceptionRule(
            id=_text(row, "id"),
            name=_text(row, "name"),
            effective=_day(row, "effective"),
            until=_day_or_none(row, "until"),
            overcomes=_names(row, "overcomes"),
            outcome=Outcome(_text(row, "outcome")),
            when=_condition(row, "when", _text(row, "id")) or ALWAYS,
            cite=_text(row, "cite"),
            text=_text(row, "text"),
            conditions=_names(row, "conditions"),
            source=_text(row, "source"),
        )
        for row in _rows(_read("exceptions"), "exception")
    )


@cache
def reviews() -> tuple[Review, ...]:
    """Return the review policies, in the order in which they are tried."""
    return tuple(
        Review(
            rules=_names(row, "rules"),
            effective=_day(row, "effective"),
            until=_day_or_none(row, "until"),
            when=_condition(row, "when", "review.toml") or ALWAYS,
            policy=ReviewPolicy(_text(row, "policy")),
            cite=_text(row, "cite"),
            text=_text(row, "text"),
            conditions=_names(row, "conditions"),
        )
        for row in _rows(_read("review"), "review")
    )


@cache
def letter_rules() -> Mapping[str, LetterRule]:
    """Return the known letters with their reach, by id."""
    out: dict[str, LetterRule] = {}
    for row in _rows(_read("letters"), "letter"):
        key = _text(row, "id")
        letter = Letter(
            id=key,
            addressee=_text(row, "addressee"),
            effective=_day(row, "effective"),
            scope=_text(row, "says"),
            destinations=_text(row, "where"),
            citation="; ".join(filter(None, (_text(row, "cite"), str(row.get("policy_cite", ""))))),
            source=_text(row, "source"),
            note=_text(row, "note"),
        )
        out[key] = LetterRule(
            letter=letter,
            policy=ReviewPolicy(_text(row, "policy")),
            practice_from=_day_or_none(row, "practice_from"),
            practice=str(row.get("practice", "")),
            scope=_condition(row, "scope", key),
            doubt=_condition(row, "doubt", key),
            destinations=_condition(row, "destinations", key) or ALWAYS,
        )
    return MappingProxyType(out)


@cache
def letters() -> Mapping[str, Letter]:
    """Return the 'is-informed' letters that are known of, by id: unpublished, each binding its addressee alone."""
    return MappingProxyType({key: rule.letter for key, rule in letter_rules().items()})


@cache
def listings() -> Mapping[str, Listing]:
    """Return what an entry on each restricted-party list means, by the list's id."""
    return MappingProxyType(
        {
            _text(row, "id"): Listing(
                id=_text(row, "id"),
                cite=_text(row, "cite"),
                outcome=Outcome(_text(row, "outcome")),
                lease=Outcome(_text(row, "lease")),
                domestic=Outcome(str(row["domestic"])) if "domestic" in row else None,
                policy=ReviewPolicy(str(row["policy"])) if "policy" in row else None,
                text=_text(row, "text"),
                source=_text(row, "source"),
            )
            for row in _rows(_read("listings"), "list")
        }
    )


@cache
def item_texts() -> tuple[ItemText, ...]:
    """Return the dated thresholds of ECCN 3A090."""
    out = []
    for row in _rows(_read("items"), "text"):
        paragraphs = []
        for p in _rows(row, "paragraph"):
            table = {k: v for k, v in p.items() if k not in {"item", "says", "when"}}
            when = _condition(p, "when", "items.toml") or compiled(table, "items.toml")
            paragraphs.append(Paragraph(_text(p, "item"), _text(p, "says"), when))
        out.append(
            ItemText(
                _day(row, "effective"),
                _day_or_none(row, "until"),
                _text(row, "cite"),
                _text(row, "source"),
                tuple(paragraphs),
            )
        )
    return tuple(out)


@cache
def figures() -> tuple[Figure, ...]:
    """Return the figures that the rule files state for themselves."""
    return tuple(
        Figure(_names(r, "chips"), _number(r, "rate_int8"), _number(r, "io_gb_s"), _text(r, "source"))
        for r in _rows(_read("items"), "figure")
    )


@cache
def turning_days() -> tuple[dt.date, ...]:
    """Return every day on which a list-based rule, a group or a letter changed, in order."""
    days = {v.effective for rule in rules() if rule.list_based for v in rule.versions}
    days |= {r.letter.effective for r in letter_rules().values()}
    days |= {e.effective for e in exceptions()} | {t.effective for t in item_texts()}
    for group in _groups().values():
        days |= {day for move in group.moves for day in (move.first, move.out)} - {dt.date.min, dt.date.max}
    return tuple(sorted(days))


@cache
def _read(name: str) -> Table:
    text = files("entrepot.controls").joinpath("data", f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text, parse_float=Decimal)


def _version(row: Table, rule: str) -> Version:
    return Version(
        effective=_day(row, "effective"),
        until=_day_or_none(row, "until"),
        cite=_text(row, "cite"),
        source=_text(row, "source"),
        status=str(row.get("status", "codified")),
        outcome=Outcome(str(row["outcome"])) if "outcome" in row else None,
        codified=Outcome(str(row["codified"])) if "codified" in row else None,
        policy=ReviewPolicy(str(row["policy"])) if "policy" in row else None,
        when=_condition(row, "when", rule) or ALWAYS,
        text=_text(row, "text"),
        conditions=_names(row, "conditions"),
    )


def _move(row: Table, *, doubtful: bool) -> _Move:
    first, out = _day_or_none(row, "from"), _day_or_none(row, "until")
    return _Move(_text(row, "country"), first or dt.date.min, out or dt.date.max, doubtful)


def _condition(row: Table, key: str, where: str) -> Condition | None:
    return compiled(_table(row[key]), where) if key in row else None


def _table(value: object) -> Table:
    if not isinstance(value, dict):
        raise EntrepotError(f"a rule file holds {value!r} where a table belongs")
    return value


def _rows(table: Table, key: str) -> list[Table]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise EntrepotError(f"a rule file holds {value!r} where a list of tables belongs")
    return [_table(row) for row in value]


def _names(table: Table, key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list):
        raise EntrepotError(f"a rule file holds {value!r} where a list of names belongs")
    return tuple(str(part) for part in value)


def _text(table: Table, key: str) -> str:
    if not isinstance(table.get(key), str):
        raise EntrepotError(f"a rule file lacks {key!r} in {table!r}")
    return str(table[key])


def _number(table: Table, key: str) -> Decimal | None:
    value = table.get(key)
    return Decimal(value) if isinstance(value, int | Decimal) else None


def _day(table: Table, key: str) -> dt.date:
    day = _day_or_none(table, key)
    if day is None:
        raise EntrepotError(f"a rule file lacks the day {key!r} in {table!r}")
    return day


def _day_or_none(table: Table, key: str) -> dt.date | None:
    value = table.get(key)
    return value if isinstance(value, dt.date) else None
