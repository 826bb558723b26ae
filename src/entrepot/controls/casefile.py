"""How does a row of a case file become an act? One row, one case: a chip, a place, a party, a day, an expected outcome.

The columns are ``id, accelerator, destination, recipient_hq, date, outcome, paragraph_or_instrument, source, notes``.
Facts stand in the columns, in square brackets of the notes (``[tx=reexport][party=...]``) and as figures in the notes
(``TPP=4992 PD=6.04 DRAM=2039GB/s datacentre=yes``). The outcome, the paragraph and the source are never read as facts.

A case states what its author asserts; what it leaves out is not in question. How each blank is read is in `BLANKS`.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path

from entrepot.catalogue.records import Accelerator
from entrepot.controls import _toml, groups, law
from entrepot.controls.casechip import Chip, chips_of
from entrepot.controls.entities import Named, named
from entrepot.controls.provenance import VOUCHED
from entrepot.controls.records import (
    Hbm,
    Involved,
    ItemForm,
    Outcome,
    PartyFacts,
    Provenance,
    ReviewPolicy,
    Role,
    StatedFigures,
    Transfer,
    TransferKind,
)
from entrepot.errors import Fault, InputError, nearest

__all__ = ["BLANKS", "COLUMNS", "Expected", "Reading", "read"]

COLUMNS = ("id", "accelerator", "destination", "recipient_hq", "date", "outcome", "notes")

# Printed with every comparison.
BLANKS = (
    "no exporter named, and the chip leaves the United States: its maker exports it, bound by the letters it received",
    "no party named: on no list, no listed owner; a named party: as the published rules kept in entities.toml say",
    "no end use named: neither military nor a supercomputer",
    "no knowledge of a violation named: none, except for a chip designed in Macau or D:5, where that is the question itself",
    "no ultimate parent named: it sits where the recipient does; no headquarters: unknown",
    "no past of the units named: vouched for as lawful, except where their continued use is the act",
    "no end user named beside the recipient: the recipient is the only one, so its own authorisation is all of theirs",
    "no certificate of 748 Supp. 2(dd) mentioned: the application is made as the paragraph asks, with it",
    "figures in the row are taken as exact; where the catalogue decides the class otherwise, the stricter answer stands",
)

_TAG = re.compile(r"\[([^\]=\[]+)=([^\]]*)\]")
_FIGURES: Mapping[str, re.Pattern[str]] = {
    "tpp": re.compile(r"\bTPP\s*(?:=|:|\s)\s*([\d][\d ,]*(?:\.\d+)?)", re.IGNORECASE),
    "pd": re.compile(r"\b(?:PD|performance density)\s*(?:=|:|\s)\s*(\d+(?:\.\d+)?)", re.IGNORECASE),
    "dram": re.compile(
        r"\b(?:DRAM|memory bandwidth)\s*(?:=|:|\s)\s*([\d][\d,]*(?:\.\d+)?)\s*(?:GB/s)?", re.IGNORECASE
    ),
    "io": re.compile(r"(?<![\w/])I/?O\s*(?:=|:)\s*([\d][\d,]*(?:\.\d+)?)", re.IGNORECASE),
    "datacentre": re.compile(r"\bdatacent(?:re|er)\s*(?:=|:)\s*(yes|no|true|false)", re.IGNORECASE),
}
_NAMES: Mapping[str, str] = {
    "performance_density": "pd", "tpp": "tpp", "pd": "pd", "dram": "dram", "memory_bandwidth": "dram", "dram_gb_s": "dram",
    "memory_bw_gb_s": "dram", "io": "io", "i/o": "io", "io_gb_s": "io", "datacenter": "datacentre", "datacentre": "datacentre",
    "marketed_for_datacenter": "datacentre",
    "tx": "tx", "transaction": "tx", "kind": "tx", "act": "tx",
    "party": "party", "recipient": "party", "buyer": "purchaser", "purchaser": "purchaser",
    "intermediate": "intermediate-consignee", "intermediate_consignee": "intermediate-consignee",
    "consignee": "ultimate-consignee", "ultimate_consignee": "ultimate-consignee",
    "end_user": "end-user", "enduser": "end-user", "forwarder": "forwarder",
    "exporter": "exporter", "seller": "exporter", "sender": "exporter",
    "enduse": "enduse", "end_use": "enduse",
    "dd_given": "dd", "dd": "dd", "dd_certificate": "dd", "all_end_users": "all_end_users",
    "all_end_users_authorised": "all_end_users",
    "imported_on": "imported_on", "imported": "imported_on", "authorisation": "authorisation",
    "authorization": "authorisation", "licence": "authorisation", "conditions": "conditions",
    "origin": "origin", "from": "origin", "via": "via", "parent": "parent", "parent_hq": "parent",
    "ultimate_parent": "parent", "ultimate_parent_hq": "parent", "listed": "listed", "listing": "listed",
    "owner": "owner", "listed_owner": "owner", "listed_owners": "owner", "knowledge": "knowledge",
    "knowledge_of_violation": "knowledge", "letter": "letter", "letters": "letter", "form": "form",
    "hbm_bandwidth": "hbm_bandwidth", "hbm_area": "hbm_area", "basis": "basis", "import_day": "imported_on",
}  # fmt: skip
_UNREAD = frozenset({"basis"})
_YES = {"yes": True, "true": True, "y": True, "given": True, "listed": True, "all": True, "all_listed": True,
        "no": False, "false": False, "n": False, "none": False, "not_listed": False, "unlisted": False}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Expected:
    """What the file says: the word as written, and what it asks of us."""

    word: str
    outcome: Outcome
    policy: ReviewPolicy | None
    notice: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """One row as acts to judge: several where the name or the figures leave open which chip is meant."""

    line: int
    id: str
    expected: Expected
    acts: tuple[Transfer, ...]
    chips: Mapping[str, Accelerator]
    said: tuple[str, ...]


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, *faults: tuple[str, str, str]) -> None:
        self.faults = faults
        super().__init__(str(faults))


def read(path: Path) -> tuple[list[Reading], list[Fault]]:
    """Read a case file: the rows that can be judged, and one fault for each thing wrong in those that cannot.

    Raises
    ------
    InputError
        The file is no table of this shape.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"it is not UTF-8 text ({error.reason} at byte {error.start})"
        raise InputError(Fault(str(path), what, "Save the table as CSV in UTF-8.")) from None
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    readings: list[Reading] = []
    faults: list[Fault] = []
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        lacking = [name for name in COLUMNS if name not in header]
        if lacking:
            what = f"the header lacks {', '.join(lacking)}; it has {', '.join(header[:12]) or 'nothing'}"
            raise InputError(Fault(f"{path}:1", what, f"Write a header with {', '.join(COLUMNS)}."))
        ids: set[str] = set()
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            where = f"{path.name}:{rows.line_num}"
            if len(cells) != len(header):
                what = f"{len(cells)} cells under {len(header)} columns"
                faults.append(Fault(where, what, "Quote cells that hold a comma, and leave none out."))
                continue
            row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            try:
                reading = _reading(row, rows.line_num)
            except _Unreadable as found:
                faults += [Fault(f"{where}: {field}", what, mend) for field, what, mend in found.faults]
                continue
            if reading.id in ids:
                faults.append(
                    Fault(f"{where}: id", f"{reading.id!r} stands twice", "Give each case its own id.")
                )
                continue
            ids.add(reading.id)
            readings.append(reading)
    except csv.Error as error:
        raise InputError(
            Fault(f"{path}:{rows.line_num}", f"it is no CSV table: {error}", "Close the quotes of the row.")
        ) from None
    return readings, faults


def _reading(row: Mapping[str, str], line: int) -> Reading:
    facts, said = _facts(row)
    faults: list[tuple[str, str, str]] = []
    on = _day(row["date"], "date", faults)
    expected = _expected(row["outcome"], faults)
    destination = _country(row["destination"], "destination", faults)
    seat = _country(row["recipient_hq"], "recipient_hq", faults)
    parent = _country(facts.get("parent", ""), "parent", faults) or seat
    origin = _country(facts.get("origin", ""), "origin", faults)
    via = tuple(
        c for part in re.split(r"[\s,;]+", facts.get("via", "")) if (c := _country(part, "via", faults))
    )
    imported = _day(facts["imported_on"], "imported_on", faults) if facts.get("imported_on") else None
    if not row["id"]:
        faults.append(("id", "it is empty", "Give the case an id."))
    if not row["accelerator"]:
        faults.append(("accelerator", "it is empty", "Name the chip."))
    kind, analysis = _kind(facts.get("tx", ""), destination, faults)
    figures = _figures(facts, faults)
    if faults or on is None or expected is None:
        raise _Unreadable(*faults)
    kind, origin = _route(kind, origin, destination)
    chips = chips_of(row["accelerator"], figures, on)
    said += chips[0].said
    base, of_party = _parties(
        facts, kind, chips[0], on, (origin, destination, seat, parent), analysis=analysis
    )
    said += of_party
    past = Provenance(imported_on=imported)
    questioned = facts.get("tx", "") in _words("past_is_the_question")
    if facts.get("authorisation"):
        past = replace(past, authorisation=facts["authorisation"])
    elif imported is None and not questioned and not facts.get("conditions"):
        past = replace(past, authorisation=VOUCHED)
    if facts.get("conditions"):
        past = replace(past, conditions=(facts["conditions"],))
    act = replace(
        base,
        origin=origin,
        via=via,
        on=on,
        provenance=past,
        dd_certificate=_yes(facts.get("dd"), blank=True),
        all_end_users_authorised=_yes(facts.get("all_end_users"), blank=True),
        technical_analysis=analysis,
    )
    acts = tuple(_with_chip(act, chip, facts) for chip in chips)
    held = {chip.record.id: chip.record for chip in chips}
    return Reading(line, row["id"], expected, acts, held, tuple(dict.fromkeys(said)))


def _with_chip(act: Transfer, chip: Chip, facts: Mapping[str, str]) -> Transfer:
    hbm = None
    form = ItemForm.SYSTEM if chip.system or facts.get("form") == "system" else ItemForm.CHIP
    if facts.get("hbm_bandwidth") and facts.get("hbm_area"):
        hbm, form = Hbm(Decimal(facts["hbm_bandwidth"]), Decimal(facts["hbm_area"])), ItemForm.HBM
    return replace(act, accelerator=chip.record.id, figures=chip.figures, form=form, hbm=hbm)


def _facts(row: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the facts of a row by name, and what of its brackets was not understood."""
    facts: dict[str, str] = {}
    said: list[str] = []
    pairs: list[tuple[str, str]] = [(k, v) for k, v in row.items() if k not in _NOT_FACTS and v]
    pairs += [
        (key.strip().lower().replace(" ", "_"), value.strip()) for key, value in _TAG.findall(row["notes"])
    ]
    for key, value in pairs:
        name = _NAMES.get(key)
        if name is None:
            said.append(f"not read: {key}={value}")
        elif name not in _UNREAD:
            facts[name] = value
    bare = re.sub(r"\[[^\]]*\]", " ", row["notes"])
    for name, pattern in _FIGURES.items():
        found = pattern.search(bare)
        if found is not None and name not in facts:
            facts[name] = found[1]
    return facts, tuple(said)


_NOT_FACTS = frozenset({*COLUMNS, "paragraph_or_instrument", "source", "basis", ""})


def _figures(facts: Mapping[str, str], faults: list[tuple[str, str, str]]) -> StatedFigures | None:
    numbers = {name: _number(facts.get(name, ""), name, faults) for name in ("tpp", "pd", "dram", "io")}
    for name in ("hbm_bandwidth", "hbm_area"):
        _number(facts.get(name, ""), name, faults)
    centre = _yes(facts.get("datacentre"), blank=None)
    if centre is None and not any(value is not None for value in numbers.values()):
        return None
    return StatedFigures(numbers["tpp"], numbers["pd"], numbers["dram"], numbers["io"], centre)


def _number(text: str, field: str, faults: list[tuple[str, str, str]]) -> Decimal | None:
    plain = re.sub(r"(?<=\d)[ ,](?=\d{3}\b)", "", text.strip(" ,")).removesuffix("GB/s").strip()
    if not plain:
        return None
    if not re.fullmatch(r"\d+(\.\d+)?", plain):
        faults.append((field, f"{text!r} is no number", "Write digits with a decimal point."))
        return None
    return Decimal(plain)


def _parties(
    facts: Mapping[str, str],
    kind: TransferKind,
    chip: Chip,
    on: dt.date,
    places: tuple[str | None, str | None, str | None, str | None],
    *,
    analysis: bool,
) -> tuple[Transfer, tuple[str, ...]]:
    """Return an act with its parties as the row names them."""
    origin, destination, seat, parent = places
    said: list[str] = []
    abroad = chip.record.vendor_country
    own_question = not analysis and (abroad is None or groups.member(abroad, ["MO+D:5"], on) is not False)
    violation = _yes(facts.get("knowledge"), blank=None if own_question else False)
    military, supercomputer = _end_use(facts.get("enduse", ""), said)
    seller, _, buyer = facts.get("party", "").partition("->")
    if not buyer:
        seller, buyer = "", facts.get("party", "")
    seller = facts.get("exporter", seller).strip()
    is_maker = _same(buyer, chip.record.vendor)
    if is_maker and not seller:
        seller, buyer = buyer, ""  # a case that names the maker names who exports
    exports = kind is TransferKind.EXPORT
    letters: tuple[str, ...] = ()
    if facts.get("letter"):
        letters = tuple(re.split(r"[\s,;]+", facts["letter"]))
    elif (exports and not seller) or _same(seller, chip.record.vendor):
        letters = tuple(
            key for key, held in law.letters().items() if _same(held.addressee, chip.record.vendor) and held.effective <= on
        )  # fmt: skip
    home = "US" if exports or kind is TransferKind.DOMESTIC else origin or destination
    sender = _party("sender", home, home, seller, on, said)
    recipient = _party("recipient", seat, parent, buyer.strip(), on, said)
    sender = replace(sender, letters=letters, knowledge_of_violation=violation)
    if recipient.military_end_user is not False:
        military = recipient.military_end_user  # the name itself says so
    recipient = replace(
        recipient,
        knowledge_of_violation=violation,
        military_end_user=military,
        supercomputer_end_use=supercomputer,
    )
    if facts.get("listed"):
        recipient = replace(recipient, listings=tuple(re.split(r"[\s,;]+", facts["listed"])))
    if facts.get("owner"):
        recipient = replace(recipient, listed_owners=(facts["owner"],))
    others = [
        Involved(role, replace(_party(role.value, seat, parent, facts[role.value], on, said), knowledge_of_violation=violation))
        for role in Role
        if facts.get(role.value)
    ]  # fmt: skip
    act = Transfer(chip.record.id, kind, origin, destination, sender, recipient, on, others=tuple(others))
    return act, tuple(said)


def _party(
    id_: str, seat: str | None, parent: str | None, name: str, on: dt.date, said: list[str]
) -> PartyFacts:
    known = named(name, on) if name else Named((), (), (), military=False, said=())
    said += known.said
    return PartyFacts(
        id=name or id_,
        headquarters=seat,
        ultimate_parent_headquarters=parent,
        listings=known.listings,
        military_end_user=known.military,
        supercomputer_end_use=False,
        knowledge_of_violation=False,
        listed_owners=known.listed_owners,
        authorisations=known.authorisations,
    )


def _end_use(text: str, said: list[str]) -> tuple[bool | None, bool | None]:
    """Read an end use: military or weapons, supercomputer, civil; a possibility is unknown, and so is another word."""
    words = text.lower().replace("_", " ")
    if not words.strip() or re.search(r"\b(civil|civilian|commercial|none|gaming|research only)\b", words):
        return False, False
    doubt = bool(re.search(r"\b(possible|possibly|suspected|unknown|may|maybe|alleged)\b", words))
    military = bool(re.search(r"military|wmd|weapon|intelligence|missile|nuclear", words))
    machine = bool(re.search(r"supercomput|exascale|hpc", words))
    if not military and not machine:
        said.append(f"end use {text!r} is not understood: read as unknown")
        return None, None
    return (None if doubt else True) if military else False, (None if doubt else True) if machine else False


def _kind(tx: str, destination: str | None, faults: list[tuple[str, str, str]]) -> tuple[TransferKind, bool]:
    word = re.sub(r"[\s-]+", "_", tx.strip().lower())
    known = _toml.table(_toml.read("casefile")["tx"])
    if not word:
        return TransferKind.EXPORT if destination != "US" else TransferKind.DOMESTIC, False
    if word not in known:
        near = ", ".join(nearest(word, list(known)) or list(known)[:6])
        faults.append(("notes: tx", f"no act is called {tx!r}", f"Write one of {near}."))
        return TransferKind.EXPORT, False
    return TransferKind(str(known[word])), word in _words("analysis")


def _route(
    kind: TransferKind, origin: str | None, destination: str | None
) -> tuple[TransferKind, str | None]:
    """Return the kind and the place that it starts from: out of the United States, or where the units stay."""
    if kind is TransferKind.EXPORT:
        return (TransferKind.DOMESTIC if destination == "US" else kind), "US"
    if kind is TransferKind.DOMESTIC:
        return kind, "US"
    if kind in {TransferKind.POSSESSION_LEASE, TransferKind.LICENCE_KEY, TransferKind.REEXPORT}:
        return kind, origin or (None if kind is TransferKind.REEXPORT else destination)
    return kind, destination


def _expected(word: str, faults: list[tuple[str, str, str]]) -> Expected | None:
    known = _toml.table(_toml.read("casefile")["outcome"])
    plain = re.sub(r"[\s-]+", "_", word.lower()).replace("license", "licence")
    if plain not in known:
        near = ", ".join(nearest(plain, list(known)) or list(known))
        faults.append(("outcome", f"no outcome is called {word!r}", f"Write one of {near}."))
        return None
    value = known[plain]
    outcome, detail = value if isinstance(value, list) else ("unknown", "")
    policy = ReviewPolicy(detail) if detail in set(ReviewPolicy) else None
    return Expected(plain, Outcome(outcome), policy, notice=detail == "notice")


def _day(text: str, field: str, faults: list[tuple[str, str, str]]) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError:
        faults.append((field, f"{text!r} is no day", "Write it as 2025-04-09."))
        return None


def _country(text: str, field: str, faults: list[tuple[str, str, str]]) -> str | None:
    code = text.strip().upper()
    if code in {"", "UNKNOWN", "?"}:
        return None
    if code not in groups.countries():
        by_name = [c for c, name in groups.countries().items() if name.lower() == text.strip().lower()]
        if by_name:
            return by_name[0]
        near = ", ".join(nearest(code, list(groups.countries()))) or "CN"
        faults.append(
            (field, f"{text!r} is no country code", f"Write two letters of ISO 3166-1, such as {near}.")
        )
        return None
    return code


def _yes(text: str | None, *, blank: bool | None) -> bool | None:
    if text is None or not text.strip():
        return blank
    return _YES.get(re.sub(r"[\s-]+", "_", text.strip().lower()))


def _same(a: str, b: str) -> bool:
    return bool(a.strip()) and a.strip().casefold() == b.strip().casefold()


@cache
def _words(section: str) -> frozenset[str]:
    return frozenset(_toml.names(_toml.table(_toml.read("casefile")[section]), "tx"))
