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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from entrepot.catalogue import accelerator as catalogue_accelerator
from entrepot.catalogue.records import Accelerator
from entrepot.controls import groups, law
from entrepot.controls.classify import BELOW, CANNOT_DECIDE, NO_TEXT, classify
from entrepot.controls.conditions import Question, stated
from entrepot.controls.findings import (
    MOVES,
    Finding,
    letter_findings,
    listing_findings,
    no_text,
    rule_findings,
)
from entrepot.controls.measures import measured
from entrepot.controls.provenance import provenance_findings
from entrepot.controls.records import (
    Classification,
    Decision,
    Outcome,
    PartyFacts,
    Reason,
    ReviewPolicy,
    Transfer,
    TransferKind,
)
from entrepot.errors import Fault, InputError, nearest

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
    "recipient.headquarters",
    "recipient.ultimate_parent_headquarters",
    "recipient.listings",
    "recipient.military_end_user",
    "recipient.supercomputer_end_use",
    "recipient.knowledge_of_violation",
    "sender.listings",
    "sender.letters",
    "sender.knowledge_of_violation",
)


def decide(transfer: Transfer, *, accelerators: Mapping[str, Accelerator] | None = None) -> Decision:
    """Judge one act under United States law as known to `LAW_KNOWN_TO`.

    Parameters
    ----------
    transfer : the act; ``None`` in a fact means unknown, and no rule turns unknown into permission
    accelerators : records to look the chip up in; by default the catalogue

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
    _check(transfer)
    if accelerators is not None and transfer.accelerator in accelerators:
        chip = accelerators[transfer.accelerator]
    else:
        chip = catalogue_accelerator(transfer.accelerator)
    classification = classify(chip, transfer.on)
    question = Question(
        chip=chip.id,
        designer=chip.vendor_country,
        measures=measured(chip),
        on=transfer.on,
        possible=frozenset(classification.possible),
        class_missing=frozenset(classification.missing),
        transfer=transfer,
    )
    findings = _findings(question, chip, classification)
    return _decision(transfer, findings, classification, stated(question, classification.item_class))


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
    parties = (_facts(t.sender), _facts(t.recipient))
    flags = (t.dd_certificate, t.all_end_users_authorised, t.technical_analysis)
    return (t.accelerator, t.kind, t.origin, t.destination, t.on, t.provenance, *flags, *parties)


def _facts(p: PartyFacts) -> tuple[object, ...]:
    seats = (p.headquarters, p.ultimate_parent_headquarters)
    uses = (p.military_end_user, p.supercomputer_end_use, p.knowledge_of_violation)
    return (*seats, *uses, p.listings, p.letters, p.listed_owners, p.authorisations)


def _findings(question: Question, chip: Accelerator, classification: Classification) -> list[Finding]:
    act = question.act
    if act.on > law.LAW_KNOWN_TO:
        return [no_text(act.on)]
    found = [no_text(act.on)] if act.on < law.FIRST_TEXT else []
    words = {
        "chip": chip.name,
        "item_class": classification.item_class,
        "destination": groups.countries().get(act.destination or "", "an unknown place"),
        "recipient_seat": act.recipient.headquarters or "unknown",
        "law_known_to": str(law.LAW_KNOWN_TO),
    }
    found += rule_findings(question, words)
    found += listing_findings(question)
    found += letter_findings(question)
    found += provenance_findings(question, chip)
    if act.kind in MOVES and act.destination is None:
        found.append(_no_destination())
    if act.kind in MOVES and not any(f.list_based for f in found):
        found.append(_not_on_the_list(question, classification, words))
    return found


def _not_on_the_list(question: Question, classification: Classification, words: Mapping[str, str]) -> Finding:
    """Return the ground on which the other findings stand: the Commerce Control List asks nothing of this act."""
    item = classification.item_class
    if question.designer is not None and groups.member(question.designer, ["MO+D:5"], question.on):
        why = "it is not of United States design, and whether a unit is subject to the regulations is judged beside this"
    elif item == BELOW:
        why = "it is below the thresholds of 3A090 and controlled for anti-terrorism reasons only"
    elif item in {CANNOT_DECIDE, NO_TEXT}:
        why = f"its class ({item}) does not matter for {words['destination']} and this recipient"
    else:
        why = f"{item} to {words['destination']} and to a recipient of this headquarters is outside what is enforced"
    reason = Reason(
        rule="us.list",
        citation="15 CFR 742.6(a)(6), 774 Supp. 1 (ECCN 3A090)",
        outcome=Outcome.UNKNOWN if item == NO_TEXT else Outcome.NO_LICENCE,
        text=f"{words['chip']}: its place on the Commerce Control List asks no licence; {why}.",
        source="; ".join(text.source for text in law.item_texts()),
    )
    return Finding(reason, frozenset({"item_class", "accelerator.tpp", "accelerator.density", "destination"}))


def _no_destination() -> Finding:
    reason = Reason(
        rule="us.destination",
        citation="15 CFR 732.3",
        outcome=Outcome.UNKNOWN,
        text="Where the item goes is not known.",
        source="15 CFR part 732",
        status="fact",
        missing=("destination",),
    )
    return Finding(reason, frozenset({"destination"}))


def _decision(
    transfer: Transfer,
    findings: Sequence[Finding],
    classification: Classification,
    inputs: Mapping[str, str],
) -> Decision:
    ordered = sorted(findings, key=lambda f: _rank(f.reason.outcome))  # stable: file order within an outcome
    outcome = ordered[0].reason.outcome or Outcome.UNKNOWN
    deciding = [f for f in ordered if f.reason.outcome is outcome]
    codified = [f.reason.codified or f.reason.outcome for f in findings]
    policies = [f.reason.policy for f in deciding if f.reason.policy is not None]
    missing = {fact for f in findings for fact in f.reason.missing}
    granted = outcome in {Outcome.NO_LICENCE, Outcome.EXCEPTION}
    rested = [f.used for f in (findings if granted else deciding)]
    used = sorted(
        frozenset({"accelerator", "kind", *(_PERMISSION_RESTS_ON if granted else ())}).union(*rested)
    )
    return Decision(
        transfer=transfer,
        outcome=outcome,
        review_policy=min(policies, key=_POLICIES.index) if policies else None,
        item_class=classification.item_class,
        reasons=tuple(f.reason for f in ordered),
        missing=tuple(sorted(missing)),
        would_change=_would_change(deciding, transfer.kind, outcome, missing),
        conditions=_unique(c for f in findings for c in f.conditions),
        inputs={name: inputs[name] for name in used if name in inputs} | {"on": str(transfer.on)},
        law_known_to=law.LAW_KNOWN_TO,
        codified_outcome=min((c for c in codified if c is not None), key=STRICTNESS.index),
        classification=classification,
    )


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


def _check(t: Transfer) -> None:
    faults: list[Fault] = []
    codes = groups.countries()
    places = {
        "origin": t.origin,
        "destination": t.destination,
        "provenance.imported_from": t.provenance.imported_from,
        "sender.headquarters": t.sender.headquarters,
        "sender.ultimate_parent_headquarters": t.sender.ultimate_parent_headquarters,
        "recipient.headquarters": t.recipient.headquarters,
        "recipient.ultimate_parent_headquarters": t.recipient.ultimate_parent_headquarters,
    }
    for where, code in places.items():
        if code is not None and code not in codes:
            near = nearest(code.upper(), list(codes))
            mend = f"Write an ISO 3166-1 alpha-2 code{', such as ' + ', '.join(near) if near else ''}."
            faults.append(Fault(where, f"{code!r} is no country code", mend))
    faults += _route(t)
    if t.provenance.imported_on is not None and t.provenance.imported_on > t.on:
        what = f"the units are imported on {t.provenance.imported_on}, after the act of {t.on}"
        faults.append(
            Fault("provenance.imported_on", what, "Write the day on which they came, or leave it out.")
        )
    if faults:
        raise InputError(faults)


def _route(t: Transfer) -> list[Fault]:
    """Faults of a kind that does not fit its countries."""
    start = None if t.origin is None else groups.ear_country(t.origin)
    end = None if t.destination is None else groups.ear_country(t.destination)
    same = start is not None and end is not None and start == end
    apart = start is not None and end is not None and start != end
    match t.kind:
        case TransferKind.EXPORT if start not in (None, "US"):
            return [_misfit(t, "an export leaves the United States", "re-export")]
        case TransferKind.EXPORT if end == "US":
            return [_misfit(t, "an export leaves the United States", "domestic")]
        case TransferKind.REEXPORT if start == "US":
            return [_misfit(t, "a re-export leaves a foreign country", "export")]
        case TransferKind.REEXPORT if same:
            return [_misfit(t, "a re-export goes to another country", "transfer-in-country")]
        case TransferKind.IN_COUNTRY if apart:
            return [_misfit(t, "a transfer in-country stays in its country", "re-export")]
        case TransferKind.IN_COUNTRY if "US" in (start, end):
            return [_misfit(t, "a transfer in-country is inside a foreign country", "domestic")]
        case TransferKind.DOMESTIC if {start, end} - {None, "US"}:
            return [_misfit(t, "domestic supply stays in the United States", "export")]
        case TransferKind.COMPUTE_LEASE if apart:
            return [_misfit(t, "a lease leaves the machine where it is", "re-export")]
        case _:
            return []


def _misfit(t: Transfer, rule: str, better: str) -> Fault:
    what = f"{t.kind.value} from {t.origin or 'an unknown place'} to {t.destination or 'an unknown place'}: {rule}"
    return Fault("kind", what, f"Write {better!r}, or correct the countries (Hong Kong counts as China).")
