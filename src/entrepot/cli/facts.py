"""What may a person state of an act on the command line, beside chip, places and day?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, TypeAlias

from cyclopts import Parameter

from entrepot import controls
from entrepot.controls.records import (
    Hbm,
    Involved,
    ItemForm,
    PartyFacts,
    Provenance,
    Role,
    StatedFigures,
    Transfer,
)
from entrepot.errors import Fault, InputError, nearest

__all__ = ["Act", "Facts", "country", "with_facts"]

Act: TypeAlias = Literal[
    "export",
    "re-export",
    "transfer-in-country",
    "compute-lease",
    "domestic",
    "possession-lease",
    "licence-key",
    "use",
]
"""The values of `TransferKind`, as people type them: an enum's members would be offered by their Python names."""

_List = Annotated[list[str] | None, Parameter(negative=())]
_Flag = Annotated[bool, Parameter(negative=())]


@dataclass(frozen=True)
class Facts:
    """Further facts of an act; what is not stated is unknown."""

    also: _List = None
    """a further party as ROLE:HQ or ROLE:HQ:ENTRY, e.g. end-user:CN or purchaser:SG:entity-list:fn4 (may be given again)"""
    via: _List = None
    """a country that the units pass through (may be given again)"""
    sender_listed: _List = None
    """an entry of the sender on a restricted-party list (may be given again)"""
    owner: _List = None
    """a listed party that owns the recipient by half or more, or by an unknown share (may be given again)"""
    military: _Flag = False
    """the recipient is a military or military-intelligence end user"""
    supercomputer: _Flag = False
    """a supercomputer end use is known"""
    authorised: _List = None
    """an authorisation that the recipient is named in, e.g. supp8-740 (may be given again)"""
    all_end_users_authorised: _Flag = False
    """every end user, not the consignee alone, is named in that authorisation"""
    dd_certificate: _Flag = False
    """the certificate of 748 Supp. 2(dd), or the commitment to file it, goes with the application"""
    technical_analysis: _Flag = False
    """the item is acquired solely for technical analysis, such as destructive testing"""
    authorisation: str | None = None
    """how units abroad came there: a licence, "no licence required", "none", or "lawful" (vouched for, not how)"""
    condition: _List = None
    """a condition of that authorisation (may be given again)"""
    system: _Flag = False
    """the chip moves inside a board, server or rack: it keeps its chip's class"""
    tpp: str | None = None
    """total processing performance as the maker states it, instead of the catalogue's"""
    density: str | None = None
    """performance density as the maker states it"""
    memory_bandwidth: str | None = None
    """memory bandwidth in GB/s as the maker states it"""
    io: str | None = None
    """input and output in GB/s, both directions, without memory, as the maker states it"""
    hbm: str | None = None
    """high-bandwidth memory that moves by itself: GB/s and mm2 of one stack, e.g. 1200,110"""
    answer: _List = None
    """an answer to a question of the rules, e.g. hbm.site_confirms=yes (may be given again)"""


def country(option: str, code: str) -> str:
    """Return a country code in capitals.

    Raises
    ------
    InputError
        If no country has this code; says which country of that name has which.
    """
    known = controls.countries()
    if code.upper() not in known:
        near = [c for c, name in known.items() if code.lower() in name.lower()][:3]
        hint = (
            f"Did you mean {', '.join(f'{c} ({known[c]})' for c in near)}?"
            if near
            else "Write two letters, e.g. CN."
        )
        raise InputError(Fault(option, f"{code!r} is not an ISO 3166-1 country code", hint))
    return code.upper()


def with_facts(act: Transfer, facts: Facts) -> Transfer:
    """Return the act with every further fact that was stated."""
    recipient = act.recipient
    if facts.military or facts.supercomputer:
        recipient = replace(
            recipient,
            military_end_user=facts.military or recipient.military_end_user,
            supercomputer_end_use=facts.supercomputer or recipient.supercomputer_end_use,
        )
    if facts.owner:
        recipient = replace(recipient, listed_owners=tuple(facts.owner))
    if facts.authorised:
        recipient = replace(recipient, authorisations=tuple(facts.authorised))
    sender = replace(act.sender, listings=tuple(facts.sender_listed)) if facts.sender_listed else act.sender
    form = ItemForm.HBM if facts.hbm else ItemForm.SYSTEM if facts.system else ItemForm.CHIP
    return replace(
        act,
        sender=sender,
        recipient=recipient,
        provenance=_past(act.provenance, facts),
        dd_certificate=True if facts.dd_certificate else act.dd_certificate,
        all_end_users_authorised=True if facts.all_end_users_authorised else act.all_end_users_authorised,
        technical_analysis=facts.technical_analysis,
        others=tuple(_other(text, act.recipient) for text in facts.also or ()),
        via=tuple(country("--via", code) for code in facts.via or ()),
        form=form,
        hbm=_hbm(facts.hbm) if facts.hbm else None,
        figures=_figures(facts),
        stated=dict(_answer(text) for text in facts.answer or ()),
    )


def _past(past: Provenance, facts: Facts) -> Provenance:
    return replace(past, authorisation=facts.authorisation, conditions=tuple(facts.condition or ()))


def _other(text: str, like: PartyFacts) -> Involved:
    """Read ROLE:HQ[:ENTRY]; screening and end use are those that were stated for all parties."""
    role, _, rest = text.partition(":")
    hq, _, entry = rest.partition(":")
    roles = [r.value for r in Role]
    if role not in roles or not hq:
        near = ", ".join(nearest(role, roles) or roles)
        raise InputError(
            Fault("--also", f"{text!r} is no ROLE:HQ", f"Write e.g. end-user:CN; roles: {near}.")
        )
    seat = country("--also", hq)
    party = replace(
        like,
        id=role,
        headquarters=seat,
        ultimate_parent_headquarters=seat,
        listings=(entry,) if entry else () if like.listings is not None else None,
        letters=(),
        listed_owners=() if like.listed_owners is not None else None,
        authorisations=(),
    )
    return Involved(Role(role), party)


def _figures(facts: Facts) -> StatedFigures | None:
    said = {
        "tpp": facts.tpp,
        "density": facts.density,
        "memory_bandwidth": facts.memory_bandwidth,
        "io": facts.io,
    }
    if not any(said.values()):
        return None
    n = {
        name: None if text is None else _number(f"--{name.replace('_', '-')}", text)
        for name, text in said.items()
    }
    return StatedFigures(n["tpp"], n["density"], n["memory_bandwidth"], n["io"])


def _hbm(text: str) -> Hbm:
    bandwidth, comma, area = text.partition(",")
    if not comma:
        raise InputError(
            Fault("--hbm", f"{text!r} is not GB/s,mm2", "Write bandwidth and area, e.g. 1200,110.")
        )
    return Hbm(_number("--hbm", bandwidth), _number("--hbm", area))


def _number(option: str, text: str) -> Decimal:
    try:
        found = Decimal(text.strip())
    except InvalidOperation:
        raise InputError(
            Fault(option, f"{text!r} is no number", "Write digits with a decimal point.")
        ) from None
    if not found.is_finite() or found < 0:
        raise InputError(Fault(option, f"{text!r} is no figure", "Write a number of zero or more."))
    return found


def _answer(text: str) -> tuple[str, bool]:
    name, _, value = text.partition("=")
    if value not in {"yes", "no"}:
        raise InputError(Fault("--answer", f"{text!r} is no answer", "Write QUESTION=yes or QUESTION=no."))
    return name, value == "yes"
