"""Which columns does a table of transfers have, and how does a row become an act? Read off the records themselves.

A column is a fact by the name that a decision gives it: ``recipient.headquarters``, ``provenance.imported_on``. The columns
come from the fields of `Transfer` and of the records in it, so a new fact is a new column without a line here, and a kind
of field that this module cannot carry stops the program when it is imported.

An empty cell is what the record says where nothing is said: mostly "not known". ``none`` and ``clear`` are an empty list.
"""

from __future__ import annotations

import datetime as dt
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, TypeAlias

from entrepot.controls import groups, law
from entrepot.controls.records import PartyFacts, Transfer, TransferKind
from entrepot.errors import EntrepotError, Fault, InputError

__all__ = ["ALIASES", "Cells", "act_of", "cells_of", "columns", "key_columns", "route_kind"]

Cells: TypeAlias = "Mapping[str, str | None]"

# The options of `entrepot check`, for whoever writes a table by hand.
ALIASES: Mapping[str, str] = {
    "chip": "accelerator",
    "from": "origin",
    "to": "destination",
    "hq": "recipient.headquarters",
    "parent_hq": "recipient.ultimate_parent_headquarters",
    "sender_hq": "sender.headquarters",
    "listed": "recipient.listings",
    "letter": "sender.letters",
    "imported_on": "provenance.imported_on",
}
_EMPTY = frozenset({"none", "clear", "()"})
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One column with one value."""

    name: str
    kind: type
    many: bool
    optional: bool
    default: Any  # MISSING where the record has none


@dataclass(frozen=True, slots=True)
class _Record:
    """A record in a record; its columns have its name before them."""

    name: str
    cls: type
    optional: bool
    parts: tuple[tuple[str, _Part], ...]


@dataclass(frozen=True, slots=True)
class _Roles:
    """Further parties by role: one of each role fits into a row."""

    name: str
    cls: type
    role_field: str
    roles: type[StrEnum]
    party_field: str
    parties: Mapping[str, _Record]


@dataclass(frozen=True, slots=True)
class _Answers:
    """Answers to questions, yes or no, by the question's id."""

    name: str


_Part: TypeAlias = "_Leaf | _Record | _Roles | _Answers"


def _record(cls: type, name: str, *, optional: bool = False) -> _Record:
    hints = typing.get_type_hints(cls)
    return _Record(name, cls, optional, tuple((f.name, _part(f, hints[f.name], name)) for f in fields(cls)))


def _part(field: Field[Any], hint: Any, prefix: str) -> _Part:
    name = f"{prefix}.{field.name}" if prefix else field.name
    inner, optional = _optional(hint)
    origin = typing.get_origin(inner)
    if origin is tuple and typing.get_args(inner)[1:] == (Ellipsis,):
        held = typing.get_args(inner)[0]
        if is_dataclass(held) and not optional:
            return _roles(typing.cast("type", held), name)
        if held is str:
            return _Leaf(name, str, True, optional, _default(field))  # noqa: FBT003
    elif origin is not None and issubclass(origin, Mapping) and typing.get_args(inner) == (str, bool):
        return _Answers(name)
    elif isinstance(inner, type):
        if is_dataclass(inner):
            return _record(inner, name, optional=optional)
        if issubclass(inner, str | bool | int | Decimal | dt.date):
            return _Leaf(name, inner, False, optional, _default(field))  # noqa: FBT003
    raise EntrepotError(
        f"a table cannot carry the field {name!r} of type {hint!r}: teach controls/facts.py to"
    )


def _roles(cls: type, name: str) -> _Roles:
    hints = typing.get_type_hints(cls)
    enums = [n for n, h in hints.items() if isinstance(h, type) and issubclass(h, StrEnum)]
    held = [n for n, h in hints.items() if is_dataclass(h)]
    if len(enums) != 1 or len(held) != 1 or len(hints) != 2:
        raise EntrepotError(
            f"a table cannot carry the field {name!r} of {cls.__name__}: teach controls/facts.py to"
        )
    roles: type[StrEnum] = hints[enums[0]]
    parties = {role.value: _record(hints[held[0]], role.value, optional=True) for role in roles}
    return _Roles(name, cls, enums[0], roles, held[0], parties)


def _optional(hint: Any) -> tuple[Any, bool]:
    if typing.get_origin(hint) in {typing.Union, types.UnionType}:
        inner = [h for h in typing.get_args(hint) if h is not type(None)]
        if len(inner) == 1:
            return inner[0], True
    return hint, False


def _default(field: Field[Any]) -> Any:
    if field.default is not MISSING:
        return field.default
    return field.default_factory() if field.default_factory is not MISSING else MISSING


_ACT = _record(Transfer, "")


def _leaves(record: _Record) -> Iterator[tuple[str, bool]]:
    """Yield every column, and whether decisions rest on it: all but the parties' own ids."""
    for field, part in record.parts:
        match part:
            case _Leaf(name):
                yield name, not (record.cls is PartyFacts and field == "id")
            case _Record():
                yield from _leaves(part)
            case _Roles(_, _, _, _, _, parties):
                for party in parties.values():
                    # that there is such a party is a fact, and its id may be all that is known of it
                    yield from ((name, True) for name, _ in _leaves(party))
            case _Answers(name):
                for question in _questions():
                    yield f"{name}.{question}", True


def _questions() -> tuple[str, ...]:
    asked: Callable[[], Mapping[str, str]] | None = getattr(law, "questions", None)
    return () if asked is None else tuple(asked())


def columns() -> tuple[str, ...]:
    """Return every column that a table of transfers may have."""
    return tuple(name for name, _ in _leaves(_ACT))


def key_columns() -> tuple[str, ...]:
    """Return the columns on which a decision rests: rows that are alike in them are of one kind."""
    return tuple(name for name, decides in _leaves(_ACT) if decides)


def act_of(cells: Cells) -> Transfer:
    """Return the act that a row states.

    Raises
    ------
    InputError : with every cell that cannot be read; ``where`` of a fault is the column
    """
    faults: list[Fault] = []
    act = _built(_ACT, cells, faults)
    if faults:
        raise InputError(faults)
    assert isinstance(act, Transfer)  # noqa: S101 - what _ACT builds
    return act


def _built(record: _Record, cells: Cells, faults: list[Fault]) -> object:
    values: dict[str, object] = {}
    for field, part in record.parts:
        match part:
            case _Leaf():
                values[field] = _value(part, record, field, cells, faults)
            case _Record(name, _, optional):
                absent = optional and not any(cells.get(n) for n, _ in _leaves(part))
                values[field] = None if absent else _built(part, cells, faults)
            case _Roles(_, cls, role_field, roles, party_field, parties):
                there = [role for role in roles if any(cells.get(n) for n, _ in _leaves(parties[role.value]))]
                values[field] = tuple(
                    cls(**{role_field: role, party_field: _built(parties[role.value], cells, faults)})
                    for role in there
                )
            case _Answers(name):
                said = {q: cells.get(f"{name}.{q}") for q in _questions()}
                values[field] = {
                    q: _read_one(f"{name}.{q}", bool, text, faults) for q, text in said.items() if text
                }
    return None if faults else record.cls(**values)


def _value(leaf: _Leaf, record: _Record, field: str, cells: Cells, faults: list[Fault]) -> object:
    text = cells.get(leaf.name)
    if text is None:
        if record.cls is PartyFacts and field == "id":
            return record.name
        if leaf.kind is TransferKind:
            return route_kind(cells.get("origin"), cells.get("destination"), faults)
        if leaf.optional and leaf.default is MISSING:
            return None
        if leaf.default is not MISSING:
            return leaf.default
        faults.append(Fault(leaf.name, "it is empty", "Write it in every row."))
        return None
    if leaf.many:
        return () if text.lower() in _EMPTY else tuple(t.strip() for t in text.split(";") if t.strip())
    return _read_one(leaf.name, leaf.kind, text, faults)


def _read_one(name: str, kind: type, text: str, faults: list[Fault]) -> object:
    try:
        if kind is bool:
            return _YES[text.lower()]
        if issubclass(kind, StrEnum):
            return kind(text.lower())
        if issubclass(kind, dt.date):
            return dt.date.fromisoformat(text)
        if issubclass(kind, int | Decimal):
            return kind(text)
    except (KeyError, ValueError, InvalidOperation):
        mend = {bool: "Write yes or no.", dt.date: "Write a day as 2025-04-16."}.get(kind, "Write a number.")
        if issubclass(kind, StrEnum):
            mend = f"Write one of {', '.join(kind)}."
        faults.append(Fault(name, f"{text!r} cannot be read", mend))
        return None
    places = name.endswith(("headquarters", "origin", "destination", "imported_from"))
    return text.upper() if places and text.upper() in groups.countries() else text


def route_kind(origin: str | None, destination: str | None, faults: list[Fault]) -> TransferKind | None:
    """Return what an act is by its countries, where the table does not say."""
    if origin is None or destination is None:
        mend = "Write the kind of act, or both countries."
        faults.append(Fault("kind", "it is empty, and so is a country", mend))
        return None
    start, end = groups.ear_country(origin.upper()), groups.ear_country(destination.upper())
    if start == "US":
        return TransferKind.DOMESTIC if end == "US" else TransferKind.EXPORT
    return TransferKind.IN_COUNTRY if start == end else TransferKind.REEXPORT


def cells_of(act: Transfer) -> dict[str, str | None]:
    """Return an act as a row: `act_of` reads the same act back, but for several parties of one role.

    Raises
    ------
    InputError : two further parties have one role, or a text in a list holds a semicolon: no row can say that
    """
    cells: dict[str, str | None] = {}
    _written(_ACT, act, cells)
    return cells


def _written(record: _Record, held: object, cells: dict[str, str | None]) -> None:
    for field, part in record.parts:
        value = getattr(held, field)
        match part:
            case _Leaf(name, _, many):
                cells[name] = _text(name, value, many=many)
            case _Record():
                if value is not None:
                    _written(part, value, cells)
            case _Roles(name, _, role_field, _, party_field, parties):
                seen = [getattr(other, role_field).value for other in value]
                if len(set(seen)) < len(seen):
                    raise InputError(
                        Fault(name, "two parties have one role", "Decide such an act by itself.")
                    )
                for role, other in zip(seen, value, strict=True):
                    _written(parties[role], getattr(other, party_field), cells)
            case _Answers(name):
                cells.update({f"{name}.{q}": "yes" if answer else "no" for q, answer in value.items()})


def _text(name: str, value: object, *, many: bool) -> str | None:
    if value is None:
        return None
    if many:
        parts = [str(part) for part in typing.cast("tuple[str, ...]", value)]
        if any(";" in part or part != part.strip() or not part for part in parts) or (
            len(parts) == 1 and parts[0].lower() in _EMPTY
        ):
            raise InputError(
                Fault(name, f"{value!r} does not fit into one cell", "Decide such an act by itself.")
            )
        return "; ".join(parts) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value.isoformat() if isinstance(value, dt.date) else str(value)
