"""Does a party stand on a restricted-party list? Candidates go to a person; nothing is cleared that a person has not seen.

::

    names ─► scores ─► candidates (from the threshold up, or raised by address and country) ─► a person's rulings ─► a fact
                       near misses (below it): listed, so that the threshold can be judged

The fact is `PartyFacts.listings`: the entries that a person confirmed; ``None``, not known, while a candidate is open; ``()``
only where no candidate is left.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace

from entrepot.controls import groups
from entrepot.controls.screening.csl import MAX_AGE_DAYS, fresh
from entrepot.controls.screening.match import Index, likeness
from entrepot.controls.screening.names import comparable, core
from entrepot.controls.screening.records import (
    Candidate,
    Entry,
    Evidence,
    PartyName,
    Review,
    Ruling,
    Screened,
    ScreenStatus,
    Snapshot,
)
from entrepot.errors import Fault, InputError

__all__ = ["NEAR", "OPEN_CANDIDATE", "THRESHOLD", "screen_parties"]

THRESHOLD = 85.0  # from here a person must look
NEAR = 75.0  # from here it is shown
_ADDRESS_SAME = 90.0  # from here two addresses are taken for one, and a near miss becomes a candidate
_NEAR_SHOWN = 10
OPEN_CANDIDATE = "unreviewed-candidate"  # no list goes by this name: the rules answer "unknown" to it


def screen_parties(
    parties: Sequence[PartyName],
    snapshot: Snapshot,
    *,
    on: dt.date,
    max_age_days: int = MAX_AGE_DAYS,
    reviews: Sequence[Review] = (),
    threshold: float = THRESHOLD,
    near: float = NEAR,
    index: Index | None = None,
) -> list[Screened]:
    """Screen parties against a snapshot.

    Parameters
    ----------
    on : the day of the screening
    max_age_days : a snapshot older than this is refused: who was listed since is not known
    reviews : what persons ruled before; a ruling holds for one party at one country and address, and for one wording of
        one entry
    threshold, near : scores from which an entry is a candidate, and from which it is shown; near <= threshold
    index : of the same snapshot, when many batches are screened

    Raises
    ------
    InputError : the thresholds are no scores, a name is empty, a country does not exist, a ruling is of a later day
    MissingFact : the snapshot is too old
    """
    fresh(snapshot, on, max_age_days=max_age_days)
    _check(parties, reviews, on, threshold, near)
    held = index if index is not None else Index(snapshot.entries)
    by_key = {entry.key: entry for entry in held.entries}
    found = held.near(parties, near)
    return [
        _screened(
            party, [(held.entries[i], name, score) for i, name, score in hits], reviews, by_key, threshold
        )
        for party, hits in zip(parties, found, strict=True)
    ]


def _screened(
    party: PartyName,
    hits: Sequence[tuple[Entry, str, float]],
    reviews: Sequence[Review],
    by_key: dict[str, Entry],
    threshold: float,
) -> Screened:
    ruled = {r.entry: r for r in reviews if _of(r, party)}
    all_found = []
    for entry, name, score in hits:
        evidence = _evidence(party, entry)
        raised = evidence.country == "same" and (evidence.address or 0) >= _ADDRESS_SAME
        review = ruled.get(entry.key)
        valid = review if review is not None and _holds(review, entry) else None
        all_found.append(Candidate(entry, name, score, evidence, score < threshold and not raised, valid))
    seen = {c.entry.key for c in all_found}
    for key, review in ruled.items():  # a person may know what no score finds
        if review.ruling is Ruling.CONFIRMED and key not in seen and key in by_key:
            entry = by_key[key]
            all_found.append(
                Candidate(entry, entry.name, 0.0, _evidence(party, entry), near_miss=False, review=review)
            )
    all_found = [
        replace(c, near_miss=False) if c.review and c.review.ruling is Ruling.CONFIRMED else c
        for c in all_found
    ]
    candidates = tuple(c for c in all_found if not c.near_miss)
    misses = tuple(c for c in all_found if c.near_miss)
    changed = tuple(r for k, r in ruled.items() if k in by_key and by_key[k].digest != r.entry_digest)
    gone = tuple(r for k, r in ruled.items() if k not in by_key and r.ruling is Ruling.CONFIRMED)
    confirmed = tuple(
        dict.fromkeys(c.entry.listing for c in candidates if c.review and c.review.ruling is Ruling.CONFIRMED)
    )
    is_open = any(c.review is None for c in candidates) or bool(gone)
    readable = comparable((party.name, *party.aliases))
    notes = [f"{r.entry} has changed since {r.by} ruled on {r.on}: {_then(r)}" for r in changed]
    notes += [
        f"{r.entry}, confirmed by {r.by} on {r.on}, is on the list no more: a person must look" for r in gone
    ]
    if not readable:
        notes.append(
            "the name has no spelling in Latin letters, and the list has hardly another: give an alias"
        )
    status, listings = _stand(confirmed, is_open=is_open, readable=readable)
    return Screened(
        party,
        status,
        candidates,
        misses[:_NEAR_SHOWN],
        listings,
        tuple(notes),
        len(misses),
        (*changed, *gone),
    )


def _stand(
    confirmed: tuple[str, ...], *, is_open: bool, readable: bool
) -> tuple[ScreenStatus, tuple[str, ...] | None]:
    if confirmed:
        return ScreenStatus.LISTED, (*confirmed, OPEN_CANDIDATE) if is_open else confirmed
    if is_open:
        return ScreenStatus.TO_REVIEW, None
    if not readable:
        return ScreenStatus.NOT_COMPARABLE, None
    return ScreenStatus.NO_CANDIDATE, ()


def _of(review: Review, party: PartyName) -> bool:
    """Return whether a ruling is about this party: the same name, and the same country and address as were known then."""
    same_place = (review.country or None) == (party.country or None)
    same_address = _words(review.address) == _words(party.address)
    return same_place and same_address and core(review.party) == core(party.name)


def _words(text: str | None) -> tuple[str, ...]:
    return core(text).words if text else ()


def _holds(review: Review, entry: Entry) -> bool:
    """Return whether a ruling still stands: a false positive only for the very text that was looked at."""
    return review.ruling is Ruling.CONFIRMED or review.entry_digest == entry.digest


def _then(review: Review) -> str:
    return "it stays confirmed" if review.ruling is Ruling.CONFIRMED else "the ruling no longer holds"


def _evidence(party: PartyName, entry: Entry) -> Evidence:
    country = "not known"
    if party.country is not None and entry.countries:
        same = groups.ear_country(party.country) in {groups.ear_country(c) for c in entry.countries}
        country = "same" if same else "other"
    if party.address is None or not entry.addresses:
        return Evidence(country, None, None)
    score, text = max((likeness(party.address, a.text), a.text) for a in entry.addresses)
    return Evidence(country, round(score, 1), text)


def _check(
    parties: Iterable[PartyName], reviews: Iterable[Review], on: dt.date, threshold: float, near: float
) -> None:
    faults = [
        Fault(
            f"review of {r.party!r} and {r.entry}",
            f"it is of {r.on}, after {on}",
            "Write the day of the ruling.",
        )
        for r in reviews
        if r.on > on
    ]
    if not 0 < near <= threshold <= 100:
        what = f"near misses from {near:g} and candidates from {threshold:g} are not scores in order"
        faults.append(Fault("threshold", what, "Write 0 < near <= threshold <= 100."))
    for n, party in enumerate(parties, start=1):
        if not any(core(name).words for name in (party.name, *party.aliases)):
            faults.append(
                Fault(f"party {n}", f"{party.name!r} is no name", "Write the name as the party writes it.")
            )
        if party.country is not None and party.country not in groups.countries():
            what = f"{party.country!r} is no country code"
            faults.append(Fault(f"party {n}: country", what, "Write an ISO 3166-1 alpha-2 code, such as CN."))
    if faults:
        raise InputError(faults)
