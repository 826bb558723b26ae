"""May this chip go from this party to that one, on this day, as a sale or as a lease? Which paragraph says so?

::

    a transfer ── checked at the door ──► every rule, list, letter and the units' past are judged, each by itself
                                              │
                     strictest outcome ◄──────┘   prohibited > licence required > unknown > exception > no licence

Unknown stands below "licence required" because a requirement that is certain stays certain whatever else is missing;
neither is permission, and the missing facts are named beside it. The answer is one of United States law. It is not legal
advice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from entrepot.catalogue import accelerator as catalogue_accelerator
from entrepot.catalogue.records import Accelerator, Confidence
from entrepot.controls import groups, law
from entrepot.controls.classify import BELOW, CANNOT_DECIDE, NO_TEXT, classify, classify_hbm, system_class
from entrepot.controls.conditions import Question, legal_kinds, parties, receiving, stated
from entrepot.controls.door import check
from entrepot.controls.findings import (
    MOVES,
    Finding,
    gate_findings,
    judged_as,
    letter_findings,
    listing_findings,
    no_text,
    rule_findings,
)
from entrepot.controls.measures import made_for_china, measured
from entrepot.controls.provenance import provenance_findings
from entrepot.controls.records import (
    Classification,
    Decision,
    ItemForm,
    Outcome,
    PartyFacts,
    Reason,
    ReviewPolicy,
    Transfer,
    TransferKind,
)

__all__ = ["STRICTNESS", "decide", "decide_many"]

# Strictest first.
STRICTNESS = (
    Outcome.PROHIBITED,
    Outcome.LICENCE_REQUIRED,
    Outcome.UNKNOWN,
    Outcome.EXCEPTION,
    Outcome.NO_LICENCE,
)
_POLICIES = (
    ReviewPolicy.POLICY_OF_DENIAL,
    ReviewPolicy.DENIAL,
    ReviewPolicy.NOT_STATED,
    ReviewPolicy.CASE_BY_CASE,
    ReviewPolicy.APPROVAL,
)
# What a permission rests on beside the rules that gave it: every one of these could have refused it.
_PERMISSION_RESTS_ON = (
    "headquarters",
    "ultimate_parent_headquarters",
    "listings",
    "letters",
    "military_end_user",
    "supercomputer_end_use",
    "knowledge_of_violation",
)


def decide(
    transfer: Transfer, *, accelerators: Mapping[str, Accelerator] | None = None, trace: bool = False
) -> Decision:
    """Judge one act under United States law as known to `LAW_KNOWN_TO`.

    Parameters
    ----------
    transfer : the act; ``None`` in a fact means unknown, and no rule turns unknown into permission
    accelerators : records to look the chip up in; by default the catalogue
    trace : keep every step of the evaluation in the decision

    Returns
    -------
    The decision, with its reasons, the inputs that decided, the facts that are missing and what would change it.

    Raises
    ------
    InputError
        If the act cannot be read: a country that does not exist, an export inside one country, an import after the act.
    NotFound
        If the catalogue has no such chip.
    """
    check(transfer)
    if transfer.hbm is not None:
        chip = _memory(transfer)
        classification = classify_hbm(transfer.accelerator, transfer.hbm, transfer.on)
    else:
        if accelerators is not None and transfer.accelerator in accelerators:
            chip = accelerators[transfer.accelerator]
        else:
            chip = catalogue_accelerator(transfer.accelerator)
        classification = classify(chip, transfer.on, figures=transfer.figures, forward=True)
    question = Question(
        chip=chip.id,
        designer=chip.vendor_country,
        measures=measured(chip, transfer.figures),
        on=transfer.on,
        possible=frozenset(classification.possible),
        class_missing=frozenset(classification.missing),
        transfer=transfer,
        made_for_china=made_for_china(chip.id),
        steps=[] if trace else None,
    )
    return _decision(question, chip, classification)


def _memory(transfer: Transfer) -> Accelerator:
    """Return a record that stands for memory: no arithmetic, no designer's country that a rule would ask."""
    return Accelerator(
        id=transfer.accelerator, name=transfer.accelerator, vendor="", vendor_country="US", architecture=None,
        form_factor=None, announced=None, status=None, process_node=None, memory_type=None, scaleup_link=None,
        host_link=None, marketed_for_datacenter=None, dense_rate={}, memory_gb=None, memory_bw_gb_s=None,
        scaleup_bw_gb_s=None, scaleup_domain=None, sm_count=None, die_area_mm2=None, transistors_bn=None, tdp_w=None,
        confidence=Confidence.UNKNOWN, note="", figures=(),
    )  # fmt: skip


def decide_many(
    transfers: Sequence[Transfer], *, accelerators: Mapping[str, Accelerator] | None = None
) -> list[Decision]:
    """Judge many acts, each distinct kind once: who the parties are does not matter, only what is known of them."""
    judged: dict[tuple[object, ...], Decision] = {}
    out: list[Decision] = []
    for transfer in transfers:
        key = _kind(transfer)
        if key not in judged:
            judged[key] = decide(transfer, accelerators=accelerators)
        decision = judged[key]
        out.append(decision if decision.transfer is transfer else replace(decision, transfer=transfer))
    return out


def _kind(t: Transfer) -> tuple[object, ...]:
    others = tuple(sorted((o.role, repr(_facts(o.party))) for o in t.others))
    flags = (
        t.dd_certificate,
        t.all_end_users_authorised,
        t.technical_analysis,
        tuple(sorted(t.stated.items())),
    )
    item = (t.accelerator, t.form, t.hbm, t.figures)
    way = (t.kind, t.origin, t.destination, frozenset(t.via), t.on, t.provenance)
    return (*item, *way, *flags, _facts(t.sender), _facts(t.recipient), others)


def _facts(p: PartyFacts) -> tuple[object, ...]:
    seats = (p.headquarters, p.ultimate_parent_headquarters)
    uses = (p.military_end_user, p.supercomputer_end_use, p.knowledge_of_violation)
    return (*seats, *uses, p.listings, p.letters, p.listed_owners, p.authorisations)


def _findings(question: Question, chip: Accelerator, item_class: str) -> list[Finding]:
    act = question.act
    outside = not law.FIRST_TEXT <= act.on <= law.LAW_KNOWN_TO
    found = [no_text(act.on)] if outside else []
    words = {
        "chip": chip.name,
        "item_class": item_class,
        "destination": groups.countries().get(act.destination or "", "an unknown place"),
        "recipient_seat": _controlled_seat(question),
        "law_known_to": str(law.LAW_KNOWN_TO),
    }
    found += judged_as(act)
    found += rule_findings(question, words)
    found += listing_findings(question)
    found += letter_findings(question)
    found += provenance_findings(question, chip)
    moves = bool(legal_kinds(act) & MOVES)
    if moves and act.destination is None:
        found.append(_no_destination())
    if moves and not any(f.list_based and f.reason.outcome is not None for f in found):
        found.append(_not_on_the_list(question, words))
    return found


def _controlled_seat(question: Question) -> str:
    """Return the seat that a text on headquarters speaks of: one in Macau or D:5 where a party has one."""
    seats = [
        s for _, p in receiving(question.act) for s in (p.headquarters, p.ultimate_parent_headquarters) if s
    ]
    barred = [s for s in seats if groups.member(s, ["MO+D:5"], question.on)]
    return next(iter(barred or seats), "unknown")


def _not_on_the_list(question: Question, words: Mapping[str, str]) -> Finding:
    """Return the ground on which the other findings stand: the Commerce Control List asks nothing of this act."""
    item = words["item_class"]
    abroad = TransferKind.EXPORT not in legal_kinds(
        question.act
    )  # what leaves the United States is subject to it
    if abroad and question.designer is not None and groups.member(question.designer, ["MO+D:5"], question.on):
        why = "foreign-design"
    elif question.act.hbm is not None and item == BELOW:
        why = "hbm-below"
    elif item == BELOW:
        why = "below"
    elif item in {CANNOT_DECIDE, NO_TEXT}:
        why = "undecided"
    else:
        why = "outside"
    said = law.ground("list")
    reason = Reason(
        rule="us.list",
        citation=said.cite,
        outcome=Outcome.UNKNOWN if item == NO_TEXT else Outcome.NO_LICENCE,
        text=said.text.format_map({**words, "why": said.texts[why].format_map(words)}),
        source="; ".join(text.source for text in law.item_texts()),
        missing=(f"the text of 3A090 of {question.on}",) if item == NO_TEXT else (),
    )
    return Finding(reason, frozenset({"item_class", "accelerator.tpp", "accelerator.density", "destination"}))


def _no_destination() -> Finding:
    said = law.ground("destination")
    reason = Reason(
        rule="us.destination",
        citation=said.cite,
        outcome=Outcome.UNKNOWN,
        text=said.text,
        source=said.source,
        status="fact",
        missing=("destination",),
    )
    return Finding(reason, frozenset({"destination"}))


def _decision(question: Question, chip: Accelerator, classification: Classification) -> Decision:
    act = question.act
    item_class = classification.item_class
    if act.form is ItemForm.SYSTEM:
        item_class = system_class(item_class)
    findings = _findings(question, chip, item_class)
    if act.on > law.LAW_KNOWN_TO:
        findings = _projected(findings, act.on)
    ordered = sorted(findings, key=lambda f: _rank(f.reason.outcome))  # stable: file order within an outcome
    outcome = ordered[0].reason.outcome or Outcome.UNKNOWN
    deciding = [f for f in ordered if f.reason.outcome is outcome]
    codified = [f.reason.codified or f.reason.outcome for f in findings]
    policies = _policies(deciding)
    missing = {fact for f in findings for fact in f.reason.missing}
    granted = outcome in {Outcome.NO_LICENCE, Outcome.EXCEPTION}
    rested = [f.used for f in (findings if granted else deciding)]
    used = {"accelerator", "kind"}.union(*rested)
    if granted:
        used |= {f"{role}.{fact}" for role, _ in parties(act) for fact in _PERMISSION_RESTS_ON}
    inputs = stated(question, item_class, sorted(used))
    return Decision(
        transfer=act,
        outcome=outcome,
        review_policy=min(policies, key=_POLICIES.index) if policies else None,
        item_class=item_class,
        reasons=tuple(f.reason for f in ordered),
        missing=tuple(sorted(missing)),
        would_change=_would_change(deciding, act.kind, outcome, missing),
        conditions=_unique(c for f in findings for c in f.conditions),
        inputs={**inputs, "on": str(act.on)},
        law_known_to=law.LAW_KNOWN_TO,
        codified_outcome=min((c for c in codified if c is not None), key=STRICTNESS.index),
        classification=classification,
        gates=tuple(gate_findings(question)),
        trace=tuple(question.steps or ()),
    )


def _policies(deciding: Sequence[Finding]) -> list[ReviewPolicy]:
    """Return the review policies that count: a letter's is derived, and gives way to one that a rule states."""
    held = [f.reason for f in deciding if f.reason.policy is not None]
    stated = [r for r in held if r.status != "letter"]
    return [r.policy for r in (stated or held) if r.policy is not None]


def _projected(findings: Sequence[Finding], on: dt.date) -> list[Finding]:
    """Return the findings of a day after the newest text: refused, with what the text would say if it still stood."""
    found = min(findings[1:], key=lambda f: _rank(f.reason.outcome))
    answer = found.reason.outcome or Outcome.UNKNOWN
    said = law.ground("projected")
    words = {"known_to": law.LAW_KNOWN_TO, "on": on, "answer": answer.value.replace("_", " ")}
    forward = Reason(
        rule="us.projected",
        citation=said.cite,
        outcome=None,
        text=said.text.format(**words),
        source=said.source.format(**words),
        status="fact",
        codified=answer,
    )
    rest = [
        replace(
            f, conditions=(), reason=replace(f.reason, outcome=None, codified=f.reason.outcome, policy=None)
        )
        for f in findings[1:]
    ]
    return [findings[0], Finding(forward, frozenset({"on"})), *rest]


def _would_change(
    deciding: Sequence[Finding], kind: TransferKind, outcome: Outcome, missing: set[str]
) -> tuple[str, ...]:
    named = [f"knowing {fact}" for fact in sorted(missing)]
    changes = [c for f in deciding for c in f.change]
    if outcome in {Outcome.NO_LICENCE, Outcome.EXCEPTION}:
        changes.append(
            "a listing, a military or supercomputer end use, or knowledge of a violation on either side"
        )
        if kind is TransferKind.COMPUTE_LEASE:
            changes.append("possession of the machines passing to the tenant: that is judged as a transfer")
    return _unique((*named, *changes))


def _unique(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _rank(outcome: Outcome | None) -> int:
    return len(STRICTNESS) if outcome is None else STRICTNESS.index(outcome)
