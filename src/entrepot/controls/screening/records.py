"""What does an entry of a restricted-party list say, whom does it resemble, and what did a person rule?"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import StrEnum

from entrepot.controls.records import ReviewPolicy

__all__ = [
    "Address",
    "Candidate",
    "Entry",
    "Evidence",
    "PartyName",
    "Review",
    "Ruling",
    "ScreenStatus",
    "Screened",
    "Snapshot",
]


@dataclass(frozen=True, slots=True)
class Address:
    """One address as printed; ``country`` is ISO 3166-1 alpha-2 where the list states it so, else ``None``."""

    text: str
    country: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of one list.

    Attributes
    ----------
    key : ``"EL:<id>"``: the source list and the list's own id, which is unique only inside its source
    list_id : the head of a listing, ``"entity-list"``; ``"unknown-list"`` where the source is not in the table
    names : the main name, then the aliases
    footnotes : read from the wording of the licence requirement; ``None`` where that wording has not been read
    digest : of everything printed in the entry: a ruling holds for this text and no other
    """

    key: str
    source: str
    list_id: str
    names: tuple[str, ...]
    type: str | None
    addresses: tuple[Address, ...]
    programs: tuple[str, ...]
    license_requirement: str | None
    footnotes: tuple[int, ...] | None
    scope: str
    license_policy: str | None
    policy: ReviewPolicy | None
    federal_register_notice: str | None
    start_date: str | None
    end_date: str | None
    source_list_url: str | None
    remarks: str | None
    digest: str

    @property
    def name(self) -> str:
        """The main name."""
        return self.names[0]

    @property
    def countries(self) -> tuple[str, ...]:
        """Countries of the addresses."""
        return tuple(dict.fromkeys(a.country for a in self.addresses if a.country))

    @property
    def listing(self) -> str:
        """The entry as a fact about a party: ``"entity-list:fn4:presumption-of-denial"``."""
        notes = ["fn-unread"] if self.footnotes is None else [f"fn{n}" for n in self.footnotes]
        policy = [] if self.policy is None else [self.policy.value.replace("_", "-")]
        return ":".join([self.list_id, *notes, *policy])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole list as it stood on one day.

    Attributes
    ----------
    made_on : when the list was made, as its file or the person who fetched it says; never the file's own time stamp
    dated_by : who says so
    unread : what was in the file and not in the tables: wordings and sources, each with the number of its entries
    """

    file: str
    made_on: dt.date
    dated_by: str
    sha256: str
    entries: tuple[Entry, ...]
    unread: tuple[tuple[str, int], ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Entries by source list, most first."""
        found: dict[str, int] = {}
        for entry in self.entries:
            found[entry.source] = found.get(entry.source, 0) + 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))


@dataclass(frozen=True, slots=True)
class PartyName:
    """A party to be screened: what is known of it that a list may print."""

    name: str
    country: str | None = None
    address: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks for a candidate beside its name. It can raise a near miss; nothing in it lowers a candidate.

    Attributes
    ----------
    country : ``"same"``, ``"other"`` or ``"not known"``
    address : likeness of the closest address, 0 to 100; ``None`` where either side has none
    """

    country: str
    address: float | None
    closest_address: str | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry that a party resembles. ``score`` is 0 to 100; 100 means alike but for case, accents and legal form."""

    entry: Entry
    matched_name: str
    score: float
    evidence: Evidence
    near_miss: bool
    review: Review | None = None


class Ruling(StrEnum):
    """What a person ruled on a candidate."""

    CONFIRMED = "confirmed"
    FALSE_POSITIVE = "false-positive"


@dataclass(frozen=True, slots=True)
class Review:
    """One ruling of one person on one party and one entry, with the reason."""

    party: str
    country: str | None
    address: str | None
    entry: str
    entry_digest: str
    ruling: Ruling
    by: str
    on: dt.date
    why: str


class ScreenStatus(StrEnum):
    """How a party stands after screening, best last."""

    LISTED = "listed"
    TO_REVIEW = "to review"
    NOT_COMPARABLE = "not comparable"
    NO_CANDIDATE = "no candidate"


@dataclass(frozen=True, slots=True)
class Screened:
    """One party against one snapshot.

    Attributes
    ----------
    candidates : at or above the threshold, and those that evidence raised, best first
    near_misses : below it, best first; ``near_misses_all`` counts those left out
    listings : the fact for `PartyFacts.listings`: ``None`` while anything is open, ``()`` only where every candidate was
        ruled a false positive or there is none
    """

    party: PartyName
    status: ScreenStatus
    candidates: tuple[Candidate, ...]
    near_misses: tuple[Candidate, ...]
    listings: tuple[str, ...] | None
    notes: tuple[str, ...] = ()
    near_misses_all: int = 0
    stale: tuple[Review, ...] = field(default=())
