"""What does a control decision rest on, and what does it say?

`Transfer` is everything the rules ask about one act; `Decision` is the answer with its reasons. A fact that is not
known is ``None``, and no rule turns ``None`` into permission.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

__all__ = [
    "Classification",
    "Decision",
    "Gate",
    "GateAnswer",
    "Hbm",
    "Involved",
    "ItemForm",
    "Letter",
    "Outcome",
    "PartyFacts",
    "Provenance",
    "Reason",
    "ReviewPolicy",
    "Role",
    "StatedFigures",
    "Step",
    "Transfer",
    "TransferKind",
]


class TransferKind(StrEnum):
    """What is done with the item. A sale and a lease of the same chip may have different answers."""

    EXPORT = "export"  # out of the United States
    REEXPORT = "re-export"  # from one foreign country to another
    IN_COUNTRY = "transfer-in-country"  # another end user or end use inside one foreign country
    COMPUTE_LEASE = "compute-lease"  # the tenant uses the machine from afar; the chip and its possession stay
    DOMESTIC = "domestic"  # inside the United States
    POSSESSION_LEASE = (
        "possession-lease"  # racks or possession pass to the tenant: judged as the move that it is
    )
    LICENCE_KEY = "licence-key"  # a key or firmware without which the item does not run: judged as the item
    USE = "use"  # use, storage, financing or service of units where they are, by whoever holds them


class Role(StrEnum):
    """What a further party does in an act; a list entry counts in every one of them (748.5)."""

    PURCHASER = "purchaser"
    INTERMEDIATE_CONSIGNEE = "intermediate-consignee"
    ULTIMATE_CONSIGNEE = "ultimate-consignee"
    END_USER = "end-user"
    FORWARDER = "forwarder"  # carries or stores; it is screened, and its headquarters decide nothing


class ItemForm(StrEnum):
    """In what form the circuit moves. A system takes its circuits' class; performance is never added up."""

    CHIP = "chip"
    SYSTEM = "system"  # a board, server or rack that contains the circuit: 4A090
    HBM = "hbm"  # high-bandwidth memory that is not packaged with logic: 3A090.c


class Outcome(StrEnum):
    """What the law as known says of an act, best for the asker first."""

    NO_LICENCE = "no_licence_required"
    EXCEPTION = "licence_exception"  # permitted when the exception's conditions are met; they are listed
    LICENCE_REQUIRED = "licence_required"
    PROHIBITED = "prohibited"
    UNKNOWN = "unknown"  # a fact, a figure or a text is missing: never permission


class ReviewPolicy(StrEnum):
    """How a licence application would be looked at."""

    APPROVAL = "presumption_of_approval"
    CASE_BY_CASE = "case_by_case"
    DENIAL = "presumption_of_denial"
    POLICY_OF_DENIAL = "policy_of_denial"
    NOT_STATED = "not_stated"


@dataclass(frozen=True, slots=True)
class PartyFacts:
    """What is known of a party to an act. Countries are ISO 3166-1 alpha-2; ``None`` is unknown.

    Attributes
    ----------
    headquarters, ultimate_parent_headquarters : where the party and its ultimate parent sit
    listings : entries on restricted-party lists, e.g. ``("entity-list:fn4",)``; ``()`` = screened and clear;
        ``None`` = not screened
    military_end_user : also covers military-intelligence end use
    supercomputer_end_use : knowledge of an end use in a supercomputer, 744.23(a)(1)
    letters : ids of 'is-informed' letters that the party has received; letters are facts about a party
    knowledge_of_violation : whether the party knows of a past or intended violation of the EAR in the item
    listed_owners : listed parties that own 50 % or more together, or an unknown share; ``()`` = looked into, none;
        ``None`` = not looked into. Asked only while the Affiliates Rule was in force
    authorisations : named authorisations that the party holds for these items, e.g. ``("supp8-740",)`` for an entry in
        Supplement No. 8 to part 740
    """

    id: str
    headquarters: str | None
    ultimate_parent_headquarters: str | None
    listings: tuple[str, ...] | None
    military_end_user: bool | None
    supercomputer_end_use: bool | None
    letters: tuple[str, ...] = ()
    knowledge_of_violation: bool | None = None
    listed_owners: tuple[str, ...] | None = None
    authorisations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the units came to where they are: the part of the answer that travels with the unit.

    ``imported_on`` is ``None`` where unknown or not yet imported; ``imported_from`` the country of export;
    ``authorisation`` is ``"no licence required"``, ``"none"`` (it came without one), ``"lawful"`` (somebody vouches that
    it came lawfully and does not say how), a licence number, or ``None`` where unknown; ``conditions`` of that
    authorisation that bind the holder (a resale limit, for example).
    """

    imported_on: dt.date | None = None
    imported_from: str | None = None
    authorisation: str | None = None
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Involved:
    """A further party to an act, in its role."""

    role: Role
    party: PartyFacts


@dataclass(frozen=True, slots=True)
class Hbm:
    """High-bandwidth memory that moves by itself: GB/s of one stack or package, and its footprint in mm2."""

    bandwidth_gb_s: Decimal
    area_mm2: Decimal

    @property
    def density(self) -> Decimal:
        """Memory bandwidth density, GB/s per mm2, as 3A090.c counts it."""
        return self.bandwidth_gb_s / self.area_mm2


@dataclass(frozen=True, slots=True)
class StatedFigures:
    """Figures of a chip as a person states them, taken as exact; ``None`` leaves the catalogue's own.

    TPP and performance density as 3A090 counts them; memory bandwidth and input/output (both directions, without
    memory) in GB/s; whether the chip is designed or marketed for data centres.
    """

    tpp: Decimal | None = None
    density: Decimal | None = None
    memory_bw_gb_s: Decimal | None = None
    io_gb_s: Decimal | None = None
    datacenter: bool | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """One act to be judged: one chip, one sender, one recipient, one day.

    The recipient is consignee and end user unless ``others`` names further parties; every one of them is screened, and
    the order in which they are named does not matter.

    Attributes
    ----------
    others : further parties by role: purchaser, intermediate consignee, end user, forwarder
    via : countries that the units pass through on their way
    form : chip, system or high-bandwidth memory; for the last, ``hbm`` has its figures and ``accelerator`` its name
    figures : figures of the chip that the asker states, instead of the catalogue's
    stated : answers to the questions of ``data/questions.toml``, by id; a question that is absent is not answered
    dd_certificate : whether the certificate of 748 Supp. 2(dd), or the commitment to file it before export, goes
        with the licence application; it selects the review policy only
    all_end_users_authorised : whether every end user, not the consignee alone, holds the recipient's authorisation
    technical_analysis : the item is acquired solely for technical analysis, such as destructive testing
    """

    accelerator: str
    kind: TransferKind
    origin: str | None  # country where the item is
    destination: str | None  # country where the item goes, or stays when compute is leased
    sender: PartyFacts
    recipient: PartyFacts
    on: dt.date
    provenance: Provenance = field(default_factory=Provenance)
    dd_certificate: bool | None = None
    all_end_users_authorised: bool | None = None
    technical_analysis: bool = False
    others: tuple[Involved, ...] = ()
    via: tuple[str, ...] = ()
    form: ItemForm = ItemForm.CHIP
    hbm: Hbm | None = None
    figures: StatedFigures | None = None
    stated: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Classification:
    """Where a chip falls under the thresholds of ECCN 3A090, and how sure that is.

    Attributes
    ----------
    on : the day whose text was applied
    item_class : ``"3A090"`` (text of 2022), ``"3A090.a"``, ``"3A090.b"``, ``"below 3A090"``, ``"cannot decide"``, or
        ``"no text"`` where the day lies outside the texts read
    possible : the classes that the stated figures leave open; one entry where the class is decided
    classes : the class under each text, by its effective date
    tpp : highest stated tera-operations per second times bit length, dense; ``None`` where no rate is stated
    tpp_low, tpp_high : bounds that rounding and missing figures allow; ``tpp_high`` ``None`` = no upper bound known
    performance_density, density_low, density_high : TPP / mm2 of dies on non-planar nodes; ``None`` as above
    density_defined : false where every logic die is planar, so that no density limb can be met; ``None`` = unknown
    datacenter : designed or marketed for data centres
    missing : figures that would decide
    """

    accelerator: str
    on: dt.date
    item_class: str
    possible: tuple[str, ...]
    classes: Mapping[dt.date, str]
    tpp: Decimal | None
    tpp_low: Decimal
    tpp_high: Decimal | None
    tpp_by_format: Mapping[str, Decimal]
    performance_density: Decimal | None
    density_low: Decimal
    density_high: Decimal | None
    density_defined: bool | None
    io_low: Decimal
    io_high: Decimal | None
    datacenter: bool | None
    reasons: tuple[str, ...]
    missing: tuple[str, ...]
    law_known_to: dt.date


@dataclass(frozen=True, slots=True)
class Letter:
    """An unpublished 'is-informed' letter, as far as its addressee or the press described it.

    It binds its addressee alone, and those who act for it: a fact about a party, not a rule.
    """

    id: str
    addressee: str
    effective: dt.date
    scope: str
    destinations: str
    citation: str
    source: str
    note: str


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that was applied: its id, its paragraph, what it found and on which inputs.

    ``outcome`` is what the rule means for the act as it is enforced; ``codified`` what its text says, which differs
    where a text stands and is not enforced. ``policy`` is how an application under it is reviewed; ``effective`` the
    day from which the version that was applied holds.
    """

    rule: str
    citation: str
    outcome: Outcome | None  # None: the rule was looked at and does not bear on the act
    text: str
    source: str
    # codified, codified, not enforced, announced, stayed, letter, guidance, fact, conflict of laws
    status: str = "codified"
    codified: Outcome | None = None
    policy: ReviewPolicy | None = None
    effective: dt.date | None = None
    missing: tuple[str, ...] = ()
    compliance: dt.date | None = None  # the day by which it had to be met, where that differs
    practice: ReviewPolicy | None = None  # how applications were seen to be handled, where no text says


class GateAnswer(StrEnum):
    """What another government is known to say of an act. None of these is a paragraph that this package applied."""

    REPORTED_BLOCK = "reported_block"
    REPORTED_CONDITIONS = "reported_conditions"
    PERMIT_NEEDED = "permit_needed"
    CONFLICT = "conflict_of_laws"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Gate:
    """One measure of another government that bears on an act: a second gate, with its own dates and confidence.

    ``confidence`` is ``published`` (an instrument with a number), ``announced`` or ``reported`` (by the press).
    """

    id: str
    government: str
    answer: GateAnswer
    confidence: str
    effective: dt.date
    until: dt.date | None
    citation: str
    text: str
    source: str
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an evaluation: which version of which rule was asked, what came out, which facts it read."""

    stage: str  # rule, exception, review, letter, listing, provenance, gate
    rule: str
    version: dt.date | None
    citation: str
    value: bool | None
    used: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one `Transfer`.

    ``outcome`` is the strictest of the reasons' outcomes: prohibited, licence required, unknown, exception, no licence.
    A licence requirement that is certain outranks a fact that is missing, and ``missing`` still names the fact.
    ``allowed`` is true only for `Outcome.NO_LICENCE`: an exception is permission under conditions that somebody has to
    meet first. ``codified_outcome`` is what the texts alone say, enforced or not. ``would_change`` says in plain words
    what would change the answer. ``law_known_to`` is the date of the newest text behind it. It is an answer of United
    States law only, and it is not legal advice.
    """

    transfer: Transfer
    outcome: Outcome
    review_policy: ReviewPolicy | None
    item_class: str  # as in Classification.item_class
    reasons: tuple[Reason, ...]
    missing: tuple[str, ...]
    would_change: tuple[str, ...]
    conditions: tuple[str, ...]
    inputs: Mapping[str, str]
    law_known_to: dt.date
    codified_outcome: Outcome | None = None
    classification: Classification | None = None
    gates: tuple[Gate, ...] = ()
    trace: tuple[Step, ...] = ()

    @property
    def practice(self) -> ReviewPolicy | None:
        """How applications were seen to be handled, where no text states a policy."""
        return next((r.practice for r in self.reasons if r.outcome is self.outcome and r.practice), None)

    @property
    def allowed(self) -> bool:
        """Whether the act may go ahead without asking anybody."""
        return self.outcome is Outcome.NO_LICENCE

    @property
    def citations(self) -> tuple[str, ...]:
        """Paragraphs of the reasons that decided, in order."""
        return tuple(dict.fromkeys(r.citation for r in self.reasons if r.outcome is self.outcome))
