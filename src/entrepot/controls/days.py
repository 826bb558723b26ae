"""Which chips and destinations have another answer on one day than on another, and which text made the difference?

Every chip is tried against every country with plain parties: screened and clear, civil, headquartered where they stand, no
letter unless asked for. Where a licence is required the application is judged twice, without and with the certificate of
748 Supp. 2(dd): what changes only for those who file it is said so. Countries that no rule can tell apart on either day are
judged once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from entrepot.catalogue.records import Accelerator
from entrepot.controls import groups, law
from entrepot.controls.decide import decide
from entrepot.controls.records import (
    Decision,
    Outcome,
    PartyFacts,
    Provenance,
    ReviewPolicy,
    Transfer,
    TransferKind,
)

__all__ = ["Answer", "Change", "changes"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a day says, without its reasons."""

    outcome: Outcome
    policy: ReviewPolicy | None
    item_class: str
    codified: Outcome | None


@dataclass(frozen=True, slots=True)
class Change:
    """Chips and destinations whose answer changed in the same way for the same reason."""

    before: Answer
    after: Answer
    because: tuple[str, ...]
    chips: tuple[str, ...]
    destinations: tuple[str, ...]
    certified: bool = False
    """only for an application with the certificate of 748 Supp. 2(dd); without it nothing changed, or something else"""

    @property
    def in_name_only(self) -> bool:
        """Whether the class or the unenforced text changed, and what has to be done did not."""
        return (self.before.outcome, self.before.policy) == (self.after.outcome, self.after.policy)


def changes(
    first: dt.date,
    last: dt.date,
    chips: Mapping[str, Accelerator],
    *,
    destinations: Sequence[str] | None = None,
    seat: str | None = None,
    kind: TransferKind = TransferKind.EXPORT,
    letters: bool = False,
) -> list[Change]:
    """Return what changed between two days: what has to be done first, then the name alone; the widest first.

    Parameters
    ----------
    destinations : countries to try; all by default
    seat : headquarters of the recipient, wherever the destination; by default the destination itself
    letters : the sender is each chip's maker, bound by the letters that it has received
    """
    found: dict[tuple[Answer, Answer, tuple[str, ...], bool], dict[str, list[str]]] = {}
    alike = _alike(destinations or [c for c in groups.countries() if c != "US"], first, last)
    for chip in chips.values():
        for place, same in alike:
            act = _plain(chip, place, kind, seat or place, first, letters=letters)
            acts = (act, _on(act, chip, last, letters=letters))
            plain = [decide(one, accelerators=chips) for one in acts]
            tried = [(plain, False)]
            if any(d.outcome is Outcome.LICENCE_REQUIRED for d in plain):
                filed = [decide(replace(one, dd_certificate=True), accelerators=chips) for one in acts]
                if [_answer(d) for d in filed] != [_answer(d) for d in plain]:
                    tried.append((filed, True))
            for (before, after), certified in tried:
                one, two = _answer(before), _answer(after)
                if one != two:
                    key = (one, two, _because(before, after, place, first, last), certified)
                    found.setdefault(key, {}).setdefault(chip.id, []).extend(same)
    out = []
    for (one, two, because, certified), of_chip in found.items():
        by_places: dict[tuple[str, ...], list[str]] = {}
        for chip_id, places in of_chip.items():
            by_places.setdefault(tuple(sorted(places)), []).append(chip_id)
        out += [Change(one, two, because, tuple(ids), places, certified) for places, ids in by_places.items()]
    return sorted(out, key=lambda c: (c.in_name_only, -len(c.chips) * len(c.destinations), c.chips))


def _alike(codes: Iterable[str], first: dt.date, last: dt.date) -> list[tuple[str, list[str]]]:
    """Return one country of each kind with all of that kind: in the same groups on every day on which anything moved."""
    days = [first, last, *(d for d in law.every_day() if first < d < last)]
    kinds: dict[tuple[object, ...], list[str]] = {}
    for code in codes:
        inside = tuple(groups.member(code, [g], day) for g in groups.all_groups() for day in days)
        named = groups.ear_country(code) if groups.ear_country(code) in law.places_named() else ""
        kinds.setdefault((inside, named), []).append(code)
    return [(same[0], same) for same in kinds.values()]


def _plain(
    chip: Accelerator, place: str, kind: TransferKind, seat: str, on: dt.date, *, letters: bool
) -> Transfer:
    party = PartyFacts("recipient", seat, seat, (), military_end_user=False, supercomputer_end_use=False,
                       knowledge_of_violation=False, listed_owners=())  # fmt: skip
    abroad = kind is not TransferKind.EXPORT
    home = place if abroad else "US"
    sender = replace(party, id="sender", headquarters=home, ultimate_parent_headquarters=home)
    origin = None if kind is TransferKind.REEXPORT else home
    act = Transfer(chip.id, kind, origin, place, sender, party, on, Provenance(authorisation="lawful"))
    return _on(act, chip, on, letters=letters)


def _on(act: Transfer, chip: Accelerator, day: dt.date, *, letters: bool) -> Transfer:
    held = tuple(
        k for k, x in law.letters().items() if letters and x.addressee == chip.vendor and x.effective <= day
    )
    return replace(act, on=day, sender=replace(act.sender, letters=held))


def _answer(d: Decision) -> Answer:
    return Answer(d.outcome, d.review_policy, d.item_class, d.codified_outcome)


def _because(before: Decision, after: Decision, place: str, first: dt.date, last: dt.date) -> tuple[str, ...]:
    """Return the versions that decide on one day and not on the other, and the country's moves between."""

    def deciding(d: Decision) -> set[tuple[str, str]]:
        return {
            (r.rule, f"{r.rule} ({r.citation}{f', since {r.effective}' if r.effective else ''})")
            for r in d.reasons
            if r.outcome is d.outcome or r.codified is not None
        }

    gone = {text for key, text in deciding(before) - deciding(after) if key != "us.list"}
    come = {text for key, text in deciding(after) - deciding(before) if key != "us.list"}
    told = [f"now: {text}" for text in sorted(come)] + [f"until then: {text}" for text in sorted(gone)]
    if before.item_class != after.item_class:
        texts = [t for t in law.item_texts() if first < t.effective <= last]
        told += [f"class: {t.cite}, since {t.effective}" for t in texts]
    told += groups.moves(place, first, last)
    return tuple(told)
