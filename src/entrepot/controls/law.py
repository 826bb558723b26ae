"""Which texts are known, and which version holds on a day?

Rules, groups, letters and thresholds are files in ``data/``: dated versions with a citation, a source and a status. They
are read once, checked, and never changed by the program. To amend the law, add a version and a case.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from types import MappingProxyType
from typing import Protocol, TypeVar

from entrepot.controls import _toml
from entrepot.controls.groups import group_days
from entrepot.controls.logic import ALWAYS, PLACES, Condition, Leaf, compiled
from entrepot.controls.records import Gate, GateAnswer, Letter, Outcome, ReviewPolicy
from entrepot.errors import EntrepotError

__all__ = [
    "FIRST_TEXT",
    "LAW_KNOWN_TO",
    "ExceptionRule",
    "Figure",
    "GateRule",
    "Ground",
    "HbmText",
    "ItemText",
    "LetterRule",
    "Listing",
    "Paragraph",
    "Review",
    "Rule",
    "Version",
    "checklist",
    "every_day",
    "exceptions",
    "figures",
    "footnotes",
    "gates",
    "ground",
    "hbm_texts",
    "item_texts",
    "letter_rules",
    "letters",
    "listings",
    "places_named",
    "questions",
    "reviews",
    "rules",
    "turning_days",
    "version_on",
    "z_paragraphs",
]

FIRST_TEXT = _toml.day(_toml.read("law"), "first_text")
LAW_KNOWN_TO = _toml.day(_toml.read("law"), "known_to")

# Every key that a table of the files may have.
_VERSION = (
    "effective standing until compliance cite source status outcome codified policy when text conditions"
)
_EXCEPTION = "id name notice effective until overcomes cite outcome when text conditions source"
_REVIEW = "rules effective until when policy cite text conditions checklist source"
_LETTER = (
    "id addressee effective superseded superseded_by cite policy policy_cite practice_from practice_policy practice says where scope doubt "
    "destinations source note"
)
_LISTING = "id cite outcome lease use domestic policy text source"
_GATE = "id government answer confidence effective until when cite text source missing"


class _Dated(Protocol):
    @property
    def effective(self) -> dt.date: ...
    @property
    def until(self) -> dt.date | None: ...


D = TypeVar("D", bound=_Dated)


@dataclass(frozen=True, slots=True)
class Version:
    """One dated wording of a rule: ``effective`` is its first day, ``until`` the first day on which it is out.

    A rule older than the first text read has ``date.min``, and `since` says so by ``None``.
    """

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
    compliance: dt.date | None = None

    @property
    def since(self) -> dt.date | None:
        """The first day, where it is stated."""
        return None if self.effective == dt.date.min else self.effective


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
    notice: bool  # it may be used only after a notice to the agency


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
    superseded: dt.date | None
    superseded_by: str
    policy: ReviewPolicy
    practice_from: dt.date | None
    practice_policy: ReviewPolicy | None
    practice: str
    scope: Condition | None
    doubt: Condition | None
    destinations: Condition

    def stands(self, on: dt.date) -> bool:
        """Whether the letter is the ground on a day: received, and not yet overtaken by a rule that says the same."""
        return self.letter.effective <= on and (self.superseded is None or on < self.superseded)


@dataclass(frozen=True, slots=True)
class Listing:
    """What an entry on one list means for a move, for a lease, for use in place and inside the United States."""

    id: str
    cite: str
    outcome: Outcome
    lease: Outcome
    use: Outcome
    domestic: Outcome | None
    policy: ReviewPolicy | None
    text: str
    source: str


@dataclass(frozen=True, slots=True)
class GateRule:
    """A measure of another government, and when it bears."""

    gate: Gate
    when: Condition

    @property
    def effective(self) -> dt.date:
        """The first day."""
        return self.gate.effective

    @property
    def until(self) -> dt.date | None:
        """The first day on which it is out."""
        return self.gate.until


@dataclass(frozen=True, slots=True)
class Ground:
    """What the evaluator says where no single paragraph does."""

    cite: str
    text: str
    source: str
    texts: Mapping[str, str]


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
class HbmText:
    """The dated threshold of memory that moves by itself: bandwidth density above so many GB/s per mm2."""

    effective: dt.date
    until: dt.date | None
    item: str
    above: Decimal
    says: str
    cite: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that the item texts ask for and a catalogue does not print, for chips whose id begins so."""

    chips: tuple[str, ...]
    rate_int8: Decimal | None
    rate_bf16: Decimal | None
    io_gb_s: Decimal | None
    made_for_china: bool
    source: str


def version_on(versions: Iterable[D], on: dt.date) -> D | None:
    """Return the version in force on a day, or ``None`` where there is none."""
    held = [v for v in versions if v.effective <= on and (v.until is None or on < v.until)]
    return max(held, key=lambda v: v.effective) if held else None


@cache
def rules() -> tuple[Rule, ...]:
    """Return the requirements, prohibitions, freedoms and notes, in file order."""
    return tuple(
        Rule(
            id=_toml.text(row, "id"),
            title=_toml.text(row, "title"),
            list_based=bool(row.get("list_based", False)),
            change=_toml.names(row, "change"),
            versions=tuple(_version(v, _toml.text(row, "id")) for v in _toml.rows(row, "version", _VERSION)),
        )
        for row in _toml.rows(_toml.read("requirements"), "rule", "id title list_based change version")
    )


@cache
def exceptions() -> tuple[ExceptionRule, ...]:
    """Return the licence exceptions, in the order in which they are tried."""
    return tuple(
        ExceptionRule(
            id=_toml.text(row, "id"),
            name=_toml.text(row, "name"),
            effective=_toml.day(row, "effective"),
            until=_toml.day_or_none(row, "until"),
            overcomes=_toml.names(row, "overcomes"),
            outcome=Outcome(_toml.text(row, "outcome")),
            when=_toml.condition(row, "when", _toml.text(row, "id")) or ALWAYS,
            cite=_toml.text(row, "cite"),
            text=_toml.text(row, "text"),
            conditions=_toml.names(row, "conditions"),
            source=_toml.text(row, "source"),
            notice=row.get("notice") is True,
        )
        for row in _toml.rows(_toml.read("exceptions"), "exception", _EXCEPTION)
    )


@cache
def reviews() -> tuple[Review, ...]:
    """Return the review policies, in the order in which they are tried."""
    return tuple(
        Review(
            rules=_toml.names(row, "rules"),
            effective=_toml.day(row, "effective"),
            until=_toml.day_or_none(row, "until"),
            when=_toml.condition(row, "when", "review.toml") or ALWAYS,
            policy=ReviewPolicy(_toml.text(row, "policy")),
            cite=_toml.text(row, "cite"),
            text=_toml.text(row, "text"),
            conditions=(
                *_toml.names(row, "conditions"),
                *(checklist(_toml.text(row, "checklist")) if "checklist" in row else ()),
            ),
        )
        for row in _toml.rows(_toml.read("review"), "review", _REVIEW)
    )


@cache
def letter_rules() -> Mapping[str, LetterRule]:
    """Return the known letters with their reach, by id."""
    out: dict[str, LetterRule] = {}
    for row in _toml.rows(_toml.read("letters"), "letter", _LETTER):
        key = _toml.text(row, "id")
        letter = Letter(
            id=key,
            addressee=_toml.text(row, "addressee"),
            effective=_toml.day(row, "effective"),
            scope=_toml.text(row, "says"),
            destinations=_toml.text(row, "where"),
            citation="; ".join(filter(None, (_toml.text(row, "cite"), str(row.get("policy_cite", ""))))),
            source=_toml.text(row, "source"),
            note=_toml.text(row, "note"),
        )
        out[key] = LetterRule(
            letter=letter,
            superseded=_toml.day_or_none(row, "superseded"),
            superseded_by=str(row.get("superseded_by", "")),
            policy=ReviewPolicy(_toml.text(row, "policy")),
            practice_from=_toml.day_or_none(row, "practice_from"),
            practice_policy=ReviewPolicy(str(row["practice_policy"])) if "practice_policy" in row else None,
            practice=str(row.get("practice", "")),
            scope=_toml.condition(row, "scope", key),
            doubt=_toml.condition(row, "doubt", key),
            destinations=_toml.condition(row, "destinations", key) or ALWAYS,
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
            _toml.text(row, "id"): Listing(
                id=_toml.text(row, "id"),
                cite=_toml.text(row, "cite"),
                outcome=Outcome(_toml.text(row, "outcome")),
                lease=Outcome(_toml.text(row, "lease")),
                use=Outcome(str(row.get("use", row["lease"]))),
                domestic=Outcome(str(row["domestic"])) if "domestic" in row else None,
                policy=ReviewPolicy(str(row["policy"])) if "policy" in row else None,
                text=_toml.text(row, "text"),
                source=_toml.text(row, "source"),
            )
            for row in _toml.rows(_toml.read("listings"), "list", _LISTING)
        }
    )


@cache
def footnotes() -> Mapping[str, str]:
    """Return what each footnote of the Entity List adds, with its paragraph, by the word that entries carry."""
    rows = _toml.rows(_toml.read("listings"), "footnote", "id cite text source")
    return MappingProxyType(
        {_toml.text(r, "id"): f"{_toml.text(r, 'text')} [{_toml.text(r, 'cite')}]" for r in rows}
    )


@cache
def item_texts() -> tuple[ItemText, ...]:
    """Return the dated thresholds of ECCN 3A090."""
    out = []
    for row in _toml.rows(_toml.read("items"), "text", "effective until cite source paragraph"):
        paragraphs = []
        for p in _toml.rows(row, "paragraph", "item says when any all not"):
            table = {k: v for k, v in p.items() if k not in {"item", "says", "when"}}
            when = _toml.condition(p, "when", "items.toml") or compiled(table, "items.toml")
            paragraphs.append(Paragraph(_toml.text(p, "item"), _toml.text(p, "says"), when))
        out.append(
            ItemText(
                _toml.day(row, "effective"),
                _toml.day_or_none(row, "until"),
                _toml.text(row, "cite"),
                _toml.text(row, "source"),
                tuple(paragraphs),
            )
        )
    return tuple(out)


@cache
def figures() -> tuple[Figure, ...]:
    """Return the figures that the rule files state for themselves."""
    return tuple(
        Figure(
            _toml.names(r, "chips"),
            _toml.number(r, "rate_int8"),
            _toml.number(r, "rate_bf16"),
            _toml.number(r, "io_gb_s"),
            r.get("made_for_china") is True,
            _toml.text(r, "source"),
        )
        for r in _toml.rows(
            _toml.read("items"), "figure", "chips rate_int8 rate_bf16 io_gb_s made_for_china source"
        )
    )


@cache
def hbm_texts() -> tuple[HbmText, ...]:
    """Return the dated thresholds of high-bandwidth memory."""
    return tuple(
        HbmText(
            _toml.day(row, "effective"),
            _toml.day_or_none(row, "until"),
            _toml.text(row, "item"),
            _toml.number(row, "density_above") or Decimal(0),
            _toml.text(row, "says"),
            _toml.text(row, "cite"),
        )
        for row in _toml.rows(
            _toml.read("items"), "hbm", "effective until item density_above says cite source"
        )
    )


@cache
def z_paragraphs() -> tuple[str, ...]:
    """Return the ECCNs with a ``.z`` paragraph: items classified elsewhere that meet 3A090 or 4A090."""
    return _toml.names(_toml.read("items"), "z_eccns")


@cache
def gates() -> tuple[GateRule, ...]:
    """Return the measures of other governments."""
    return tuple(
        GateRule(
            Gate(
                id=_toml.text(row, "id"),
                government=_toml.text(row, "government"),
                answer=GateAnswer(_toml.text(row, "answer")),
                confidence=_toml.text(row, "confidence"),
                effective=_toml.day(row, "effective"),
                until=_toml.day_or_none(row, "until"),
                citation=_toml.text(row, "cite"),
                text=_toml.text(row, "text"),
                source=_toml.text(row, "source"),
                missing=_toml.names(row, "missing"),
            ),
            _toml.condition(row, "when", _toml.text(row, "id")) or ALWAYS,
        )
        for row in _toml.rows(_toml.read("gates"), "gate", _GATE)
    )


@cache
def ground(name: str) -> Ground:
    """Return what the evaluator says on a ground that is no single paragraph."""
    row = _toml.table(_toml.table(_toml.read("law")["ground"])[name])
    texts = _toml.table(row.get("texts", row.get("why", {})))
    cite, text, source = (str(row.get(key, "")) for key in ("cite", "text", "source"))
    return Ground(cite, text, source, MappingProxyType({k: str(v) for k, v in texts.items()}))


@cache
def questions() -> Mapping[str, str]:
    """Return the questions that a person may answer beside the plain facts, by id."""
    found = _toml.rows(_toml.read("questions"), "question", "id asks cite")
    return MappingProxyType(
        {_toml.text(q, "id"): f"{_toml.text(q, 'asks')} [{_toml.text(q, 'cite')}]" for q in found}
    )


@cache
def checklist(name: str) -> tuple[str, ...]:
    """Return the rows of a checklist: who gives what, with the paragraph."""
    for row in _toml.rows(_toml.read("questions"), "checklist", "id title row"):
        if row["id"] == name:
            points = _toml.rows(row, "row", "who what cite")
            return tuple(
                f"{_toml.text(row, 'title')}, {n} of {len(points)} ({_toml.text(p, 'who')}): "
                f"{_toml.text(p, 'what')} [{_toml.text(p, 'cite')}]"
                for n, p in enumerate(points, 1)
            )
    raise EntrepotError(f"a rule file names the checklist {name!r}, which does not exist")


@cache
def turning_days() -> tuple[dt.date, ...]:
    """Return every day on which a list-based rule, a group or a letter changed, in order."""
    days = {v.effective for rule in rules() if rule.list_based for v in rule.versions}
    days |= {r.letter.effective for r in letter_rules().values()}
    days |= {e.effective for e in exceptions()} | {t.effective for t in item_texts()}
    days |= {r.practice_from for r in letter_rules().values() if r.practice_from is not None}
    return tuple(sorted(days | group_days()))


@cache
def every_day() -> tuple[dt.date, ...]:
    """Return every day on which anything changed that an answer may rest on, in order."""
    days = set(turning_days())
    days |= {v.effective for rule in rules() for v in rule.versions} | {r.effective for r in reviews()}
    days |= {v.until for rule in rules() for v in rule.versions if v.until} | {g.effective for g in gates()}
    return tuple(sorted(days - {dt.date.min, dt.date.max}))


@cache
def places_named() -> frozenset[str]:
    """Return every country or group that a condition of the files names."""
    whens: list[Condition] = [v.when for rule in rules() for v in rule.versions]
    whens += [e.when for e in exceptions()] + [r.when for r in reviews()] + [g.when for g in gates()]
    for letter in letter_rules().values():
        whens += [c for c in (letter.scope, letter.doubt, letter.destinations) if c is not None]
    found: set[str] = set()
    while whens:
        when = whens.pop()
        if isinstance(when, Leaf):
            if when.name in PLACES and isinstance(when.argument, tuple):
                found |= set(when.argument)
        else:
            whens += when.children
    return frozenset(found)


def _status(row: _toml.Table) -> str:
    """Return a version's status; one that is not among the known words stops the program."""
    status = str(row.get("status", "codified"))
    if status not in _toml.names(_toml.read("law"), "statuses"):
        raise EntrepotError(f"a rule file holds the status {status!r}, which law.toml does not name")
    return status


def _version(row: _toml.Table, rule: str) -> Version:
    return Version(
        effective=dt.date.min if row.get("standing") else _toml.day(row, "effective"),
        until=_toml.day_or_none(row, "until"),
        cite=_toml.text(row, "cite"),
        source=_toml.text(row, "source"),
        status=_status(row),
        outcome=Outcome(str(row["outcome"])) if "outcome" in row else None,
        codified=Outcome(str(row["codified"])) if "codified" in row else None,
        policy=ReviewPolicy(str(row["policy"])) if "policy" in row else None,
        when=_toml.condition(row, "when", rule) or ALWAYS,
        text=_toml.text(row, "text"),
        conditions=_toml.names(row, "conditions"),
        compliance=_toml.day_or_none(row, "compliance"),
    )
