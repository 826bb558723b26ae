"""Did the units come to where they are lawfully, and do they carry conditions?

General Prohibition Ten reaches units that were once delivered without a licence that they needed, and a licence's
conditions travel with the units (750.7). So an act with units that are already abroad asks: on the day they were
imported, did any known rule or letter require an authorisation, and is one stated? Where the day is unknown, every day
on which the law changed is tried; if all of them are clear, the day does not matter.

The holder is taken as the importer of record: earlier owners are not facts that are asked here. A letter to the chip's
own vendor counts, since that vendor is where the units came from.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace

from entrepot.catalogue.records import Accelerator
from entrepot.controls import groups, law
from entrepot.controls.classify import classify
from entrepot.controls.conditions import Question, holds
from entrepot.controls.findings import Finding, letter_reach
from entrepot.controls.logic import Verdict, any_of
from entrepot.controls.records import Outcome, PartyFacts, Provenance, Reason, ReviewPolicy, TransferKind

__all__ = ["provenance_findings"]

_CITE = "15 CFR 736.2(b)(10), 750.7"
_WITHOUT = {"none", "without licence"}
_NOT_NEEDED = {"no licence required", "nlr"}
_LAWFUL_PAST = {TransferKind.REEXPORT, TransferKind.IN_COUNTRY, TransferKind.COMPUTE_LEASE}


def provenance_findings(question: Question, accelerator: Accelerator) -> Iterator[Finding]:
    """Judge how the units came to where they are."""
    act = question.act
    if act.kind not in _LAWFUL_PAST or groups.ear_country(act.origin or act.destination or "") == "US":
        return
    past = act.provenance
    if past.conditions:
        yield _conditions(past, act.kind)
    where = act.origin if act.kind is TransferKind.REEXPORT else act.origin or act.destination
    if where is None:
        reason = _reason(Outcome.UNKNOWN, "Where the units are is not known.", ("origin",))
        yield Finding(reason, frozenset({"origin"}))
        return
    needed = _needed(question, accelerator, act.sender, where)
    yield from _judged(needed, past, where)


def _judged(needed: tuple[Verdict, bool], past: Provenance, where: str) -> Iterator[Finding]:
    verdict, by_list = needed
    used = frozenset({"provenance.imported_on", "provenance.authorisation"}) | verdict.used
    stated = None if past.authorisation is None else past.authorisation.strip().lower()
    day = f"on {past.imported_on}" if past.imported_on else "on a day that is not stated"
    if verdict.value is False:
        text = f"The units came to {where} {day}; no known rule or letter required an authorisation for that."
        if past.imported_on is None:
            text = f"No known rule or letter required an authorisation for the units to come to {where}, on any day read."
        yield Finding(_reason(None, text), used)
    elif stated is not None and stated not in _WITHOUT | _NOT_NEEDED:
        if not past.conditions:
            text = (
                f"The units came to {where} {day} under {past.authorisation!r}. A licence names its end user and may "
                "limit resale and remote use; its conditions are not stated."
            )
            yield Finding(_reason(Outcome.UNKNOWN, text, ("provenance.conditions",)), used)
    elif verdict.value and stated in _WITHOUT | (_NOT_NEEDED if by_list else set()):
        text = (
            f"The units came to {where} {day} without an authorisation, and one was needed: any dealing in them with "
            "knowledge of that is prohibited."
        )
        change = ("evidence that the import was authorised, or a BIS authorisation to deal in the units",)
        yield Finding(_reason(Outcome.PROHIBITED, text), used, change=change)
    else:
        missing = set() if past.imported_on else {"provenance.imported_on"}
        missing |= (
            {"provenance.authorisation"}
            if stated is None
            else {"whether the exporter was bound by the letter"}
        )
        text = (
            f"The units came to {where} {day}. A rule or a letter required, or may have required, an authorisation for "
            "that; whether they came lawfully is not shown."
        )
        change = ("the import day, or the authorisation with its conditions, from the records",)
        reason = _reason(Outcome.UNKNOWN, text, tuple(sorted(missing | verdict.missing)))
        yield Finding(reason, used, change=change)


def _conditions(past: Provenance, kind: TransferKind) -> Finding:
    listed = "; ".join(past.conditions)
    used = frozenset({"provenance.authorisation", "provenance.conditions"})
    if kind is TransferKind.COMPUTE_LEASE:
        text = f"The units carry conditions ({listed}). Whether they allow remote use by this tenant has to be read in them."
        missing = ("whether the conditions of the authorisation allow this lease",)
        return Finding(_reason(Outcome.UNKNOWN, text, missing), used)
    text = f"The units carry conditions ({listed}). Another end user than the licensed one needs BIS's authorisation."
    reason = replace(_reason(Outcome.LICENCE_REQUIRED, text), policy=ReviewPolicy.NOT_STATED)
    return Finding(reason, used, change=("BIS's authorisation of the new end user",))


def _needed(
    question: Question, accelerator: Accelerator, holder: PartyFacts, where: str
) -> tuple[Verdict, bool]:
    """Return whether the import needed an authorisation, and whether a rule of the list (not a letter) said so."""
    act = question.act
    imported = act.provenance.imported_on
    if imported is not None:
        return _needed_on(imported, question, accelerator, holder, where)
    days = {day for day in law.turning_days() if day <= act.on} | {act.on}
    tried = [_needed_on(day, question, accelerator, holder, where)[0] for day in sorted(days)]
    if all(v.value is False for v in tried):
        return Verdict(False, frozenset().union(*(v.used for v in tried))), False  # noqa: FBT003
    missing = frozenset({"provenance.imported_on"}).union(*(v.missing for v in tried))
    return Verdict(None, frozenset({"provenance.imported_on"}), missing), False


def _needed_on(
    day: dt.date, question: Question, accelerator: Accelerator, holder: PartyFacts, where: str
) -> tuple[Verdict, bool]:
    found = classify(accelerator, day)
    arrival = replace(
        question.act, kind=TransferKind.EXPORT, origin=None, destination=where, recipient=holder, on=day
    )
    then = replace(
        question,
        on=day,
        possible=frozenset(found.possible),
        class_missing=frozenset(found.missing),
        transfer=arrival,
    )
    versions = [law.version_on(rule.versions, day) for rule in law.rules() if rule.list_based]
    by_list = any_of(holds(version.when, then) for version in versions if version is not None)
    letters = [
        rule
        for rule in law.letter_rules().values()
        if rule.letter.effective <= day and rule.letter.addressee == accelerator.vendor
    ]
    by_letter = any_of(letter_reach(rule, then) for rule in letters)
    verdict = any_of((by_list, by_letter))
    return verdict._replace(
        used=_of_sender(verdict.used), missing=_of_sender(verdict.missing)
    ), by_list.value is True


def _of_sender(facts: frozenset[str]) -> frozenset[str]:
    """Name the facts of the arrival after the act's own roles: who receives then, holds and sends now."""
    return frozenset(f"sender{f[len('recipient') :]}" if f.startswith("recipient.") else f for f in facts) - {
        "kind"
    }


def _reason(outcome: Outcome | None, text: str, missing: tuple[str, ...] = ()) -> Reason:
    return Reason(
        rule="us.provenance",
        citation=_CITE,
        outcome=outcome,
        text=text,
        source="15 CFR 736.2(b)(10), 750.7, eCFR 2026-09-24",
        missing=missing,
    )
