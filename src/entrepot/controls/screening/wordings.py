"""What does a wording of the list mean? Tables that a person can read; what is not in them is said to be unread."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from entrepot.controls import _toml
from entrepot.controls.records import ReviewPolicy
from entrepot.errors import EntrepotError

__all__ = ["Requirement", "Source", "key", "policies", "requirements", "sources"]

_FOOTNOTES = frozenset(range(1, 6))


@dataclass(frozen=True, slots=True)
class Source:
    """One of the lists that the Consolidated Screening List consolidates."""

    name: str
    short: str
    id: str
    required: bool


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a wording of a licence requirement says; ``footnotes`` is ``None`` where it does not say which."""

    text: str
    footnotes: tuple[int, ...] | None
    scope: str
    note: str


def key(text: str) -> str:
    """Return a wording without what carries no meaning: case, spaces, commas, section signs, full stops, closing brackets.

    Examples
    --------
    >>> key("For all items subject to the EAR. (See §§ 734.9(e)(2) and 744.11 of the EAR) 4")
    'forallitemssubjecttotheear(see7349(e)(2)and74411oftheear)4'
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[^a-z0-9()]", "", text).rstrip(")")


@cache
def sources() -> Mapping[str, Source]:
    """Return the lists by the text of the ``source`` field."""
    found = {}
    for row in _toml.rows(_toml.read("csl_sources"), "source", "name short id required"):
        name = _toml.text(row, "name")
        found[name] = Source(
            name, _toml.text(row, "short"), _toml.text(row, "id"), bool(row.get("required", False))
        )
    return found


@cache
def requirements() -> Mapping[str, Requirement]:
    """Return the wordings of a licence requirement by their `key`."""
    found: dict[str, Requirement] = {}
    for row in _toml.rows(_toml.read("csl_requirements"), "wording", "text footnotes scope note unread"):
        text = _toml.text(row, "text")
        notes = row.get("footnotes", [])
        if not isinstance(notes, list) or not _FOOTNOTES.issuperset(notes):
            raise EntrepotError(
                f"csl_requirements.toml: footnotes {notes!r} of {text!r} are not numbers from 1 to 5"
            )
        if key(text) in found:
            raise EntrepotError(f"csl_requirements.toml: {text!r} stands there twice")
        unread = bool(row.get("unread", False))
        found[key(text)] = Requirement(
            text, None if unread else tuple(notes), str(row.get("scope", "all")), str(row.get("note", ""))
        )
    return found


@cache
def policies() -> Mapping[str, ReviewPolicy]:
    """Return the review policies by the `key` of their wordings."""
    found: dict[str, ReviewPolicy] = {}
    for row in _toml.rows(_toml.read("csl_policies"), "wording", "policy texts"):
        policy = ReviewPolicy(_toml.text(row, "policy"))
        for text in _toml.names(row, "texts"):
            if found.setdefault(key(text), policy) is not policy:
                raise EntrepotError(f"csl_policies.toml: {text!r} has two policies")
    return found
