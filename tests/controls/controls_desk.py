"""Chips and cases of the tests, read from the CSV files beside them.

A case states only the facts that differ from the plain ones: parties screened and clear, no military or supercomputer
end use, no knowledge of a violation, headquarters where the act takes place.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from entrepot.catalogue.records import Accelerator, Confidence, NumberFormat
from entrepot.controls import Outcome, PartyFacts, Provenance, ReviewPolicy, Transfer, TransferKind

CASES = Path(__file__).parent / "cases"
_FORMATS = {
    "bf16": NumberFormat.BF16,
    "fp8": NumberFormat.FP8,
    "int8": NumberFormat.INT8,
    "fp4": NumberFormat.FP4,
}
_VENDORS = {"nvidia": "NVIDIA", "amd": "AMD", "intel": "Intel", "huawei": "Huawei"}
_IN_PLACE = {
    TransferKind.IN_COUNTRY,
    TransferKind.COMPUTE_LEASE,
    TransferKind.USE,
    TransferKind.POSSESSION_LEASE,
}


@dataclass(frozen=True)
class Case:
    """One act with the answer that its citation gives."""

    id: str
    transfer: Transfer
    outcome: Outcome
    policy: ReviewPolicy | None
    citation: str
    basis: str
    note: str


def a_chip(
    rates: Mapping[NumberFormat, str | Decimal] | None = None,
    *,
    id: str = "test-chip",  # noqa: A002
    die: str | Decimal | None = "800",
    node: str | None = "TSMC 5nm",
    datacenter: bool | None = True,
    memory_bw: str | Decimal | None = "1000",
    link: str | Decimal | None = "0",
    host: str | None = "PCIe 4.0 x16",
    vendor: str = "test",
    country: str | None = "US",
    confidence: Confidence = Confidence.DATASHEET,
) -> Accelerator:
    """Return a record made by hand; by default it states every figure that the rules ask."""
    exact = {f: Decimal(v) for f, v in (rates or {}).items()}
    return Accelerator(
        id=id,
        name=id,
        vendor=vendor,
        vendor_country=country,
        architecture=None,
        form_factor=None,
        announced=None,
        status=None,
        process_node=node,
        memory_type=None,
        scaleup_link=None,
        host_link=host,
        marketed_for_datacenter=datacenter,
        dense_rate=exact,
        memory_gb=None,
        memory_bw_gb_s=None if memory_bw is None else Decimal(memory_bw),
        scaleup_bw_gb_s=None if link is None else Decimal(link),
        scaleup_domain=None,
        sm_count=None,
        die_area_mm2=None if die is None else Decimal(die),
        transistors_bn=None,
        tdp_w=None,
        confidence=confidence,
        note="",
        figures=(),
    )


@cache
def chips() -> Mapping[str, Accelerator]:
    """Return the chips of the cases by their short names and by id."""
    out: dict[str, Accelerator] = {}
    for row in _rows(CASES / "chips.csv"):
        chip = a_chip(
            {f: row[name] for name, f in _FORMATS.items() if row[name]},
            id=row["id"],
            die=row["die_area_mm2"] or None,
            node=row["process_node"] or None,
            datacenter={"yes": True, "no": False}.get(row["datacenter"]),
            memory_bw=row["memory_bw_gb_s"] or None,
            link=row["scaleup_bw_gb_s"] or None,
            host=row["host_link"] or None,
            vendor=_VENDORS.get(row["id"].split("-")[0], row["id"]),
            country=row["vendor_country"],
        )
        out[row["chip"]] = out[row["id"]] = chip
    return out


def a_party(hq: str | None = "US", **facts: Any) -> PartyFacts:
    """Return a party that is screened, clear and stated to be harmless, unless a fact says otherwise."""
    plain = PartyFacts(
        id="party",
        headquarters=hq,
        ultimate_parent_headquarters=hq,
        listings=(),
        military_end_user=False,
        supercomputer_end_use=False,
        knowledge_of_violation=False,
        listed_owners=(),
    )
    return replace(plain, **facts)


def an_act(
    chip: str,
    destination: str | None,
    on: dt.date | str,
    kind: TransferKind = TransferKind.EXPORT,
    *,
    hq: str | None = None,
    **facts: Any,
) -> Transfer:
    """Return an act of plain parties; the sender of an export is headquartered in the United States."""
    abroad = kind in _IN_PLACE
    plain = Transfer(
        accelerator=chip,
        kind=kind,
        origin=destination if abroad else "US",
        destination=destination,
        sender=a_party(destination if abroad else "US"),
        recipient=a_party(hq or destination),
        on=dt.date.fromisoformat(on) if isinstance(on, str) else on,
    )
    return replace(plain, **facts)


@cache
def cases() -> tuple[Case, ...]:
    """Return every case of the folder."""
    return tuple(
        _case(row) for path in sorted(CASES.glob("*.csv")) if path.name != "chips.csv" for row in _rows(path)
    )


def _case(row: Mapping[str, str]) -> Case:
    facts = dict(pair.split("=", 1) for pair in filter(None, row["facts"].split("; ")))
    kind = TransferKind(row["kind"])
    at_home = kind in _IN_PLACE
    parties: dict[str, PartyFacts] = {
        "sender": a_party(row["destination"] if at_home else "US"),
        "recipient": a_party(row["recipient_hq"] or None),
    }
    flags: dict[str, bool | None] = {}
    origin: str | None = row["destination"] if at_home else "US"
    past = Provenance()
    for name, text in facts.items():
        role, _, field = name.partition(".")
        if role in parties:
            parties[role] = replace(parties[role], **{field: _value(field, text)})
            if field == "headquarters":
                parties[role] = replace(parties[role], ultimate_parent_headquarters=text)
        elif name == "origin":
            origin = text
        elif name == "imported_on":
            past = replace(past, imported_on=dt.date.fromisoformat(text))
        elif name == "authorisation":
            past = replace(past, authorisation=text)
        elif name == "conditions":
            past = replace(past, conditions=(text,))
        else:
            flags[name] = _flag(text)
    transfer = Transfer(
        accelerator=row["chip"],
        kind=kind,
        origin=origin,
        destination=row["destination"],
        sender=parties["sender"],
        recipient=parties["recipient"],
        on=dt.date.fromisoformat(row["on"]),
        provenance=past,
        dd_certificate=flags.get("dd_certificate"),
        all_end_users_authorised=flags.get("all_end_users_authorised"),
        technical_analysis=bool(flags.get("technical_analysis")),
    )
    policy = ReviewPolicy(row["policy"]) if row["policy"] else None
    return Case(
        row["id"], transfer, Outcome(row["outcome"]), policy, row["citation"], row["basis"], row["note"]
    )


def _value(field: str, text: str) -> Any:
    if field in {"listings", "letters", "listed_owners", "authorisations"}:
        return None if text == "unknown" else (text,)
    if field in {"military_end_user", "supercomputer_end_use", "knowledge_of_violation"}:
        return _flag(text)
    return None if text == "unknown" else text


def _flag(text: str) -> bool | None:
    return {"yes": True, "no": False, "unknown": None}[text]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)
