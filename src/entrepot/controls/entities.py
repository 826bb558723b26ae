"""What does a published rule say of a party that a case names? For reading cases; it clears nobody.

A name is matched as whole words against the aliases of ``data/entities.toml``, the longest alias first. Ownership that
the name itself states ("60 %-owned subsidiary of ...") is read as listed owners. A name that only resembles a listed
one is left unknown.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from entrepot.controls import _toml

__all__ = ["Named", "named"]

_OWNED = re.compile(
    r"(?:(?P<share>\d+(?:\.\d+)?)\s*%[\s-]*|(?P<whole>wholly|100)[\s-]*|(?P<major>majority)[\s-]*|(?P<minor>minority)[\s-]*)?"
    r"(?:owned|held|subsidiary|affiliate|joint venture|jv|unit)\b.*?\b(?:of|by|with)\s+(?P<owner>.+)$",
    re.IGNORECASE,
)
_MILITARY = re.compile(
    r"\b(PLA|People'?s Liberation Army|military|army|navy|air force|ministry of def[ea]n[cs]e|weapons?)\b",
    re.I,
)
_DENIED = re.compile(r"\b(non|not|no|un)[\s-]*(military|listed)\b", re.I)
_CLOSE = 0.88  # of difflib: one letter in eight may differ
_HALF = 50


@dataclass(frozen=True, slots=True)
class _Entry:
    entry: str
    first: dt.date
    cite: str


@dataclass(frozen=True, slots=True)
class _Authorised:
    name: str
    first: dt.date
    until: dt.date
    cite: str


@dataclass(frozen=True, slots=True)
class _Entity:
    name: str
    listed: tuple[_Entry, ...]
    authorised: tuple[_Authorised, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """What is known of a named party on a day, and why; ``listings`` ``None`` = it resembles a listed name."""

    listings: tuple[str, ...] | None
    listed_owners: tuple[str, ...]
    authorisations: tuple[str, ...]
    military: bool | None
    said: tuple[str, ...]


def named(name: str, on: dt.date) -> Named:
    """Return what the published rules say of a party of this name on a day.

    Examples
    --------
    >>> named("Inspur Group Co., Ltd.", dt.date(2023, 3, 1)).listings
    ()
    >>> named("Inspur Group Co., Ltd.", dt.date(2023, 3, 2)).listings
    ('entity-list:fn4:presumption-of-denial',)
    >>> named("60%-owned unlisted subsidiary of Inspur Group", dt.date(2025, 10, 15)).listed_owners
    ('Inspur Group (60 %)',)
    """
    plain = _DENIED.sub(" ", name)
    military: bool | None = _MILITARY.search(plain) is not None
    if military and re.search(r"\b(possible|possibly|suspected|alleged|may)\b", plain, re.IGNORECASE):
        military = None
    authorisations, granted = _authorised(name, on)
    owned = _OWNED.search(name)
    if owned is not None and (owner := _best(owned["owner"])) is not None:
        return _of_owner(owned, owner, on, authorisations, military, granted)
    entity = _best(name)
    if entity is None:
        near = difflib.get_close_matches(_words(name).strip(), list(_aliases()), n=1, cutoff=_CLOSE)
        if near and _aliases()[near[0]].listed:
            said = (
                f"{name!r} resembles {near[0]!r}, which is listed: a person has to compare address and number"
            )
            return Named(None, (), authorisations, military, (said,))
        said = f"{name!r} is not among the names of published rules that are kept here: read as not listed"
        return Named((), (), authorisations, military, (said, *granted))
    held = [e for e in entity.listed if e.first <= on]
    if not held:
        later = min((e.first for e in entity.listed), default=None)
        why = f"listed from {later} on" if later else "no entry in the list of 2026-07-31"
        return Named((), (), authorisations, military, (f"{name!r}: {why}", *granted))
    entry = max(held, key=lambda e: e.first)
    said = f"{name!r} is on the Entity List ({entry.cite})"
    return Named((entry.entry,), (), authorisations, military, (said, *granted))


def _of_owner(
    owned: re.Match[str],
    owner: _Entity,
    on: dt.date,
    authorisations: tuple[str, ...],
    military: bool | None,  # noqa: FBT001
    granted: tuple[str, ...],
) -> Named:
    """Owned by a listed party: by half or more, or by an unknown share, counts; less than half is a red flag."""
    if not any(e.first <= on for e in owner.listed):
        return Named(
            (), (), authorisations, military, (f"its owner {owner.name} is not listed on {on}", *granted)
        )
    who = owned["owner"].strip(" .,;)")
    share = float(owned["share"]) if owned["share"] else 100.0 if owned["whole"] else None
    if (share is not None and share < _HALF) or owned["minor"]:
        said = f"listed owner {who} with less than half: a red flag, not a listing"
        return Named((), (), authorisations, military, (said, *granted))
    much = f"{share:g} %" if share is not None else "half or more" if owned["major"] else "share unknown"
    return Named(
        (), (f"{who} ({much})",), authorisations, military, (f"listed owner {who}, {much}", *granted)
    )


def _authorised(name: str, on: dt.date) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if re.search(r"state[\s-]owned|contractor|grantee|\bnot listed\b", name, re.IGNORECASE):
        return (), ()
    entity = _best(name)
    held = [a for a in (() if entity is None else entity.authorised) if a.first <= on < a.until]
    return tuple(a.name for a in held), tuple(f"named in {a.cite}" for a in held)


def _best(name: str) -> _Entity | None:
    words = f" {_words(name)} "
    found = [alias for alias in _aliases() if f" {alias} " in words]
    return _aliases()[max(found, key=len)] if found else None


def _words(name: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", name.casefold()))


@cache
def _aliases() -> Mapping[str, _Entity]:
    out: dict[str, _Entity] = {}
    for row in _toml.rows(_toml.read("entities"), "entity", "name aliases listed unlisted authorised"):
        listed = tuple(
            _Entry(_toml.text(e, "entry"), _toml.day_or_none(e, "from") or dt.date.min, _toml.text(e, "cite"))
            for e in _toml.rows(row, "listed", "from day_read entry cite")
        )
        authorised = tuple(
            _Authorised(_toml.text(a, "name"), _toml.day(a, "from"), _toml.day_or_none(a, "until") or dt.date.max,
                        _toml.text(a, "cite"))
            for a in _toml.rows(row, "authorised", "name from until cite")
        )  # fmt: skip
        entity = _Entity(_toml.text(row, "name"), listed, authorised)
        out |= {_words(alias): entity for alias in _toml.names(row, "aliases")}
    return MappingProxyType(out)
