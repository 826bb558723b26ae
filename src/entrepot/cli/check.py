"""``entrepot check``: may this chip go from this party to that one, on this day, as a sale or as a lease?"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from entrepot import catalogue, controls
from entrepot.cli.facts import Act, Facts, country, with_facts
from entrepot.cli.output import Output, emit, note
from entrepot.cli.recorded import Recorded, write
from entrepot.controls.records import Decision, Outcome, PartyFacts, Provenance, Transfer, TransferKind
from entrepot.errors import Fault, InputError

__all__ = ["check"]

_EXIT = {Outcome.NO_LICENCE: 0, Outcome.EXCEPTION: 6, Outcome.UNKNOWN: 6}


def check(
    chip: str | None = None,
    *,
    from_: Annotated[str | None, Parameter(name="--from")] = None,
    to: str | None = None,
    on: dt.date | None = None,
    kind: Act | None = None,
    hq: str | None = None,
    parent_hq: str | None = None,
    sender_hq: str | None = None,
    letter: Annotated[list[str] | None, Parameter(negative=())] = None,
    listed: Annotated[list[str] | None, Parameter(negative=())] = None,
    screened_clear: Annotated[bool, Parameter(negative=())] = False,
    civil_end_use: Annotated[bool, Parameter(negative=())] = False,
    no_known_violation: Annotated[bool, Parameter(negative=())] = False,
    imported_on: dt.date | None = None,
    ledger: str | None = None,
    unit_lot: str | None = None,
    scenario: Path | None = None,
    variant: str | None = None,
    trace: Annotated[bool, Parameter(negative=())] = False,
    facts: Annotated[Facts | None, Parameter(name="*")] = None,
    record: Annotated[Recorded | None, Parameter(name="*")] = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> int:
    """Say whether an act may go ahead, which paragraph says so, what is missing and what would change it.

    What you do not state is unknown, and unknown is never "allowed": add the facts that you know.

        entrepot check h20-sxm-96gb --from US --to CN --on 2025-04-08 --screened-clear --civil-end-use --no-known-violation

    The same export by a vendor that has received the letter of April 2025:

        entrepot check h20-sxm-96gb --from US --to CN --on 2025-04-16 --letter us-2025-04-nvidia-h20
            --screened-clear --civil-end-use --no-known-violation

    With a further party, and every step of the evaluation:

        entrepot check h20-sxm-96gb --from US --to SG --on 2024-06-01 --also end-user:CN --trace

    High-bandwidth memory that moves by itself; a lease in which the racks pass:

        entrepot check hbm3 --hbm 819,110 --from US --to CN --on 2025-06-01
        entrepot check h100-sxm5-80gb --kind possession-lease --from CN --to CN --on 2025-06-01

    A page for the file, as HTML or PDF:

        entrepot check h20-sxm-96gb --from US --to SG --on 2026-02-01 --record check-17.pdf --reference 17
            --sender-name "Alder Systems" --recipient-name "Birch Compute" --stated-by "R. Desk"

    Units of which a ledger knows where they came from, and under which permission:

        entrepot check --ledger result --unit-lot alder-h20 --from CN --to SG --on 2025-05-20

    Every lot against every bid of a scenario:

        entrepot check --scenario examples/spring-2025 --on 2025-05-20

    This helps people stay within the law. It is not legal advice. Exit 0: may go ahead; 1: licence required or
    prohibited; 6: a fact is missing, or an exception's conditions must be met by a person.

    Parameters
    ----------
    chip
        the accelerator, by id or name
    from_
        country where it is (ISO 3166-1, two letters)
    to
        country where it goes; for a compute lease, where it stays
    on
        the day on which the law is read, e.g. 2025-04-16
    kind
        export, re-export, transfer-in-country, compute-lease, possession-lease, licence-key, use or domestic; worked out
        from the countries if left out
    hq
        country of the recipient's headquarters; the destination if left out
    parent_hq
        country of the recipient's ultimate parent; the headquarters' if left out
    sender_hq
        country of the sender's headquarters; the origin if left out
    letter
        an is-informed letter that the sender has received (may be given again)
    listed
        an entry of the recipient on a restricted-party list, e.g. entity-list:fn4 (may be given again)
    screened_clear
        both parties were screened and stand on no restricted-party list
    civil_end_use
        neither party is a military end user, and no supercomputer end use is known
    no_known_violation
        neither party knows of a violation in the item
    imported_on
        when the units came to the country in which they are
    ledger
        take the chip and its provenance from this ledger (a file, a folder that clear --save wrote, or a URL)
    unit_lot
        the lot of units in that ledger
    scenario
        check every lot against every bid of this scenario instead
    variant
        the scenario's reading of contested facts
    trace
        show every step: rule, version, whether it was met, and the facts that it read
    """
    show = output or Output()
    if scenario is not None:
        if record is not None and record.record is not None:
            mend = "Check one act for one record."
            raise InputError(Fault("--record", "a scenario holds many acts", mend))
        return _scenario(scenario, on, variant, show)
    origin_of = Provenance(imported_on=imported_on)
    if ledger is not None or unit_lot is not None:
        chip, origin_of = _papers(ledger, unit_lot, chip, imported_on)
    missing = [
        name
        for name, value in (("CHIP", chip), ("--from", from_), ("--to", to), ("--on", on))
        if value is None
    ]
    if missing or chip is None or from_ is None or to is None or on is None:
        raise InputError(
            Fault(
                "check",
                f"{', '.join(missing)} not given",
                "Name the chip, --from, --to and --on, or a --scenario.",
            )
        )
    origin, destination = country("--from", from_), country("--to", to)
    screened: tuple[str, ...] | None = () if screened_clear else None
    military = False if civil_end_use else None
    violation = False if no_known_violation else None
    seat = country("--hq", hq) if hq else destination
    recipient = PartyFacts(
        "recipient", seat, country("--parent-hq", parent_hq) if parent_hq else seat, tuple(listed) if listed else screened,
        military, military, (), violation,
    )  # fmt: skip
    home = country("--sender-hq", sender_hq) if sender_hq else origin
    sender = PartyFacts("sender", home, home, screened, military, military, _letters(letter or []), violation)
    more = facts or Facts()
    named = chip if more.hbm else catalogue.accelerator(chip).id
    plain = Transfer(
        named, TransferKind(kind) if kind else _kind(origin, destination), origin, destination, sender, recipient, on,
        origin_of,
    )  # fmt: skip
    decision = controls.decide(with_facts(plain, more), trace=trace)
    if record is not None and record.record is not None:
        taken = {
            "recipient.headquarters": "taken from the destination" if hq is None else "",
            "recipient.ultimate_parent_headquarters": "taken from the headquarters"
            if parent_hq is None
            else "",
            "sender.headquarters": "taken from the origin" if sender_hq is None else "",
            "sender.ultimate_parent_headquarters": "taken from the headquarters",
            "kind": "worked out from the countries" if kind is None else "",
        }
        write(decision, record, {name: how for name, how in taken.items() if how})
    if show.output == "table":
        print(controls.explain(decision, asked_on=dt.datetime.now(dt.UTC).date()))
    else:
        emit([_row(decision, trace=trace)], kind="decision", output=show)
    return _EXIT.get(decision.outcome, 1)


def _papers(
    ledger: str | None, unit_lot: str | None, chip: str | None, imported_on: dt.date | None
) -> tuple[str, Provenance]:
    """Return a lot's chip and provenance as a ledger has them; what is stated beside may not differ."""
    if ledger is None or unit_lot is None:
        raise InputError(
            Fault("check", "a ledger and a lot of units belong together", "Give --ledger and --unit-lot.")
        )
    file = import_module("entrepot.cli.ledger").ledger_at(ledger)
    accelerator, provenance = import_module("entrepot.api").provenance(file, unit_lot)
    stated = None if chip is None else catalogue.accelerator(chip).id
    for option, said, known in (
        ("CHIP", stated, accelerator),
        ("--imported-on", imported_on, provenance.imported_on),
    ):
        if said is not None and said != known:
            raise InputError(
                Fault(
                    option,
                    f"{said} was stated, and the ledger says {known} of {unit_lot}",
                    "Leave it out, or mend the ledger.",
                )
            )
    return accelerator, provenance


def _kind(origin: str, destination: str) -> TransferKind:
    if origin == "US":
        return TransferKind.DOMESTIC if destination == "US" else TransferKind.EXPORT
    return TransferKind.IN_COUNTRY if origin == destination else TransferKind.REEXPORT


def _letters(ids: list[str]) -> tuple[str, ...]:
    known = controls.letters()
    for one in ids:
        if one not in known:
            raise InputError(Fault("--letter", f"no letter is called {one!r}", f"Known: {', '.join(known)}."))
    return tuple(ids)


def _row(decision: Decision, *, trace: bool = False) -> dict[str, object]:
    act = decision.transfer
    steps = {"trace": [asdict(step) for step in decision.trace]} if trace else {}
    return {
        "accelerator": act.accelerator,
        "kind": act.kind,
        "from": act.origin,
        "to": act.destination,
        "on": act.on,
        "outcome": decision.outcome,
        "allowed": decision.allowed,
        "codified": decision.codified_outcome,
        "item_class": decision.item_class,
        "review_policy": decision.review_policy,
        "practice": decision.practice,
        "citations": decision.citations,
        "reasons": [
            {"rule": r.rule, "citation": r.citation, "outcome": r.outcome, "codified": r.codified, "status": r.status,
             "effective": r.effective, "compliance": r.compliance, "text": r.text, "source": r.source}
            for r in decision.reasons
        ],
        "missing": decision.missing,
        "would_change": decision.would_change,
        "conditions": decision.conditions,
        "inputs": decision.inputs,
        "gates": [asdict(gate) for gate in decision.gates],
        "law_known_to": decision.law_known_to,
        "advice": "not legal advice",
        **steps,
    }  # fmt: skip


def _scenario(path: Path, on: dt.date | None, variant: str | None, show: Output) -> int:
    api = import_module("entrepot.api")  # the scenario needs tables; a single check does not
    scenario = api.load(path, as_of=on, variant=variant)
    decided = api.decisions(scenario)
    rows = [{"lot": lot, "bid": bid, **_row(decision)} for (lot, bid), decision in decided.items()]
    if show.output == "table":
        brief = ("lot", "bid", "accelerator", "kind", "from", "to", "outcome", "item_class", "citations")
        rows = [{k: row[k] for k in brief} for row in rows]
    emit(rows, kind="decisions", output=show)
    note(f"Law as known on {controls.LAW_KNOWN_TO}; read for {scenario.as_of}. Not legal advice.")
    return 0 if all(d.allowed for d in decided.values()) else 1
