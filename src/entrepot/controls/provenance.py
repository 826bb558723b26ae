"""Did the units come to where they are lawfully, and do they carry conditions?

General Prohibition Ten reaches units that were once delivered without a licence that they needed, and a licence's
conditions travel with the units (750.7). So an act with units that are already abroad asks: on the day they were
imported, did any known rule or letter require an authorisation, and is one stated? Where the day is unknown, every day
on which the law changed is tried; if all of them are clear, the day does not matter.

The holder is taken as the importer of record: earlier owners are not facts that are asked here. A letter to the chip's
own vendor counts, since that vendor is where the units came from. Where somebody vouches that the units came lawfully
and does not say how, what remains is whether a licence with conditions can have been behind that.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from entrepot.catalogue.records import Accelerator
from entrepot.controls import groups, law
from entrepot.controls.classify import ItemKey, classify
from entrepot.controls.conditions import Question, holds, legal_kinds
from entrepot.controls.findings import Finding, letter_reach, overcoming
from entrepot.controls.logic import Verdict, any_of
from entrepot.controls.measures import measured
from entrepot.controls.records import (
    ItemForm,
    Outcome,
    PartyFacts,
    Provenance,
    Reason,
    ReviewPolicy,
    StatedFigures,
    Transfer,
    TransferKind,
)

__all__ = ["VOUCHED", "provenance_findings"]

VOUCHED = "lawful"
_WITHOUT = {"none", "without licence"}
_NOT_NEEDED = {"no licence required", "nlr"}
_PAST_COUNTS = {TransferKind.REEXPORT, TransferKind.IN_COUNTRY, TransferKind.COMPUTE_LEASE, TransferKind.USE}


class _Need(NamedTuple):
    """Whether an import needed an authorisation, whether a rule of the list said so, and whether a licence was possible."""

    verdict: Verdict
    by_list: bool
    licensable: bool


def provenance_findings(question: Question, accelerator: Accelerator) -> Iterator[Finding]:
    """Judge how the units came to where they are."""
    act = question.act
    kinds = legal_kinds(act)
    if not kinds & _PAST_COUNTS or groups.ear_country(act.origin or act.destination or "") == "US":
        return
    past = act.provenance
    if past.conditions:
        yield _conditions(past, act.kind)
    where = act.origin if TransferKind.REEXPORT in kinds else act.origin or act.destination
    if where is None:
        if _stated(past) != VOUCHED:
            yield Finding(_reason(Outcome.UNKNOWN, _text("nowhere"), ("origin",)), frozenset({"origin"}))
        return
    need = _needed(act, accelerator, where)
    question.note("provenance", "us.provenance", past.imported_on, law.ground("past").cite, need.verdict)
    yield from _judged(need, past, where)


def _judged(need: _Need, past: Provenance, where: str) -> Iterator[Finding]:
    verdict = need.verdict
    used = frozenset({"provenance.imported_on", "provenance.authorisation"}) | verdict.used
    stated = _stated(past)
    words = {
        "where": where,
        "day": f"on {past.imported_on}" if past.imported_on else "on a day that is not stated",
        "authorisation": past.authorisation or "",
    }
    if verdict.value is False:
        text = _text("clear" if past.imported_on else "clear-any-day", **words)
        yield Finding(_reason(None, text), used)
    elif stated == VOUCHED:
        if need.licensable and not past.conditions:
            missing = ("provenance.conditions",)
            yield Finding(_reason(Outcome.UNKNOWN, _text("vouched-licence", **words), missing), used)
        else:
            yield Finding(_reason(None, _text("vouched", **words)), used)
    elif stated is not None and stated not in _WITHOUT | _NOT_NEEDED:
        if not past.conditions:
            missing = ("provenance.conditions",)
            yield Finding(_reason(Outcome.UNKNOWN, _text("licensed", **words), missing), used)
    elif verdict.value and stated in _WITHOUT | (_NOT_NEEDED if need.by_list else set()):
        change = ("evidence that the import was authorised, or a BIS authorisation to deal in the units",)
        yield Finding(_reason(Outcome.PROHIBITED, _text("unlawful", **words)), used, change=change)
    else:
        lacking = set() if past.imported_on else {"provenance.imported_on"}
        lacking |= (
            {"provenance.authorisation"}
            if stated is None
            else {"whether the exporter was bound by the letter"}
        )
        change = ("the import day, or the authorisation with its conditions, from the records",)
        reason = _reason(
            Outcome.UNKNOWN, _text("open", **words), tuple(sorted(lacking | set(verdict.missing)))
        )
        yield Finding(reason, used, change=change)


def _conditions(past: Provenance, kind: TransferKind) -> Finding:
    listed = "; ".join(past.conditions)
    used = frozenset({"provenance.authorisation", "provenance.conditions"})
    if kind in {TransferKind.COMPUTE_LEASE, TransferKind.USE}:
        missing = ("whether the conditions of the authorisation allow this use",)
        return Finding(_reason(Outcome.UNKNOWN, _text("conditions-stay", conditions=listed), missing), used)
    text = _text("conditions-move", conditions=listed)
    reason = replace(_reason(Outcome.LICENCE_REQUIRED, text), policy=ReviewPolicy.NOT_STATED)
    return Finding(reason, used, change=("BIS's authorisation of the new end user",))


def _needed(act: Transfer, accelerator: Accelerator, where: str) -> _Need:
    """Return whether the import needed an authorisation: on its day, or on any day where it is not known."""
    holder, imported = act.sender, act.provenance.imported_on
    key = ItemKey(accelerator)
    # A circuit designed in Macau or D:5 comes from where it was made, unless somebody says that it came from elsewhere.
    foreign = (
        groups.member(accelerator.vendor_country or "US", ["MO+D:5"], act.on)
        and act.provenance.imported_from != "US"
    )
    kind = TransferKind.REEXPORT if foreign else TransferKind.EXPORT
    facts = (kind, act.form, act.figures, where, holder.headquarters, holder.ultimate_parent_headquarters,
             holder.authorisations, act.all_end_users_authorised)  # fmt: skip
    if imported is not None:
        return _needed_on(imported, key, *facts)
    days = {day for day in law.turning_days() if day <= act.on} | {act.on}
    return _needed_ever(tuple(sorted(days)), key, *facts)


@lru_cache(maxsize=16384)
def _needed_ever(
    days: tuple[dt.date, ...],
    key: ItemKey,
    kind: TransferKind,
    form: ItemForm,
    figures: StatedFigures | None,
    where: str,
    seat: str | None,
    parent: str | None,
    authorisations: tuple[str, ...],
    all_authorised: bool | None,  # noqa: FBT001
) -> _Need:
    tried = [
        _needed_on(day, key, kind, form, figures, where, seat, parent, authorisations, all_authorised)
        for day in days
    ]
    licensable = any(t.licensable for t in tried)
    if all(t.verdict.value is False for t in tried):
        used = frozenset().union(*(t.verdict.used for t in tried))
        return _Need(Verdict(value=False, used=used), by_list=False, licensable=False)
    missing = frozenset({"provenance.imported_on"}).union(*(t.verdict.missing for t in tried))
    verdict = Verdict(None, frozenset({"provenance.imported_on"}), missing)
    return _Need(verdict, by_list=False, licensable=licensable)


@lru_cache(maxsize=65536)
def _needed_on(
    day: dt.date,
    key: ItemKey,
    kind: TransferKind,
    form: ItemForm,
    figures: StatedFigures | None,
    where: str,
    seat: str | None,
    parent: str | None,
    authorisations: tuple[str, ...],
    all_authorised: bool | None,  # noqa: FBT001
) -> _Need:
    accelerator = key.record
    found = classify(accelerator, day, figures=figures)
    holder = PartyFacts("holder", seat, parent, (), None, None, authorisations=authorisations)
    arrival = Transfer(
        accelerator.id, kind, None, where, holder, holder, day, form=form, figures=figures,
        all_end_users_authorised=all_authorised,
    )  # fmt: skip
    then = Question(
        chip=accelerator.id,
        designer=accelerator.vendor_country,
        measures=measured(accelerator, figures),
        on=day,
        possible=frozenset(found.possible),
        class_missing=frozenset(found.missing),
        transfer=arrival,
    )
    by_list = Verdict(value=False)
    licensable = False
    for rule in law.rules():
        version = law.version_on(rule.versions, day) if rule.list_based else None
        if version is None or version.outcome is None:
            continue  # what is codified and not enforced was not needed
        verdict = holds(version.when, then)
        by_list = any_of((by_list, verdict))
        if verdict.value is not False:
            excepted = any(v.value and e.outcome is Outcome.EXCEPTION for e, v in overcoming(rule.id, then))
            licensable |= not excepted
    by_letter = Verdict(value=False)
    for letter in law.letter_rules().values():
        if letter.stands(day) and letter.letter.addressee == accelerator.vendor:
            verdict = letter_reach(letter, then)
            by_letter = any_of((by_letter, verdict))
            began = letter.practice_from  # before that day no licence under the letter is known of
            licensable |= verdict.value is not False and (began is None or began <= day)
    verdict = any_of((by_list, by_letter))
    verdict = verdict._replace(used=_of_sender(verdict.used), missing=_of_sender(verdict.missing))
    return _Need(verdict, by_list.value is True, licensable)


def _of_sender(facts: frozenset[str]) -> frozenset[str]:
    """Name the facts of the arrival after the act's own roles: who receives then, holds and sends now."""
    return frozenset(f"sender{f[len('recipient') :]}" if f.startswith("recipient.") else f for f in facts) - {
        "kind"
    }


def _stated(past: Provenance) -> str | None:
    return None if past.authorisation is None else past.authorisation.strip().lower()


def _text(name: str, **words: object) -> str:
    return law.ground("past").texts[name].format(**words)


def _reason(outcome: Outcome | None, text: str, missing: tuple[str, ...] = ()) -> Reason:
    said = law.ground("past")
    return Reason(
        rule="us.provenance",
        citation=said.cite,
        outcome=outcome,
        text=text,
        source=said.source,
        missing=missing,
    )
