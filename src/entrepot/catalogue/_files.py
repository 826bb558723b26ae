"""What do the catalogue's files say, and are they whole?

One figure is one row (``accelerators/*.csv``), one price and one claim likewise. Rows are checked as they are read; a
fault names its file and line. Everything is read on first use and kept.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal, cast

from entrepot.catalogue._names import find
from entrepot.catalogue.records import (
    Accelerator,
    Claim,
    Confidence,
    Figure,
    NumberFormat,
    Price,
    Source,
)
from entrepot.errors import Fault, InputError, NotFound

__all__ = [
    "FIGURE_UNITS",
    "accelerator",
    "accelerators",
    "claims",
    "prices",
    "rows",
    "source",
    "sources",
]

_HERE: Final = files("entrepot.catalogue") / "data"
_RATE: Final = {f"rate_{f.value}_dense": f for f in NumberFormat}
_TEXT: Final = (
    *("name", "alias", "vendor", "vendor_country", "architecture", "form_factor", "status", "process_node"),
    *("memory_type", "scaleup_link", "host_link", "note"),
)
FIGURE_UNITS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **{name: frozenset({"text"}) for name in _TEXT},
        **{name: frozenset({"TFLOP/s"}) for name in _RATE},
        "rate_int8_dense": frozenset({"TOP/s"}),
        "announced": frozenset({"date"}),
        "marketed_for_datacenter": frozenset({"yes/no"}),
        "die_area": frozenset({"mm2"}),
        "transistors": frozenset({"10^9"}),
        "core_count": frozenset(
            {"SM", "CU", "TPC", "AI core", "NeuronCore-v3", "NeuronCore-v4", "tensor core"}
        ),
        "tdp": frozenset({"W"}),
        "memory_capacity": frozenset({"GB"}),
        "memory_bandwidth": frozenset({"GB/s"}),
        "scaleup_bandwidth": frozenset({"GB/s"}),
        "scaleup_domain": frozenset({"chips"}),
    }
)
"""Every property of a chip that the catalogue knows, and the units in which it may be written."""
_NOT_NUMBERS: Final = frozenset({"text", "date", "yes/no"})


def rows(name: str, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of a shipped file, header checked."""
    with (_HERE / name).open(encoding="utf-8") as stream:
        reader = csv.reader(stream)
        header = next(reader)
        if header != list(columns):
            raise InputError(Fault(f"{name}:1", f"columns are {header}.", f"Write {','.join(columns)}."))
        for row in reader:
            if len(row) != len(columns):
                what = f"{len(row)} cells where {len(columns)} belong."
                raise InputError(
                    Fault(f"{name}:{reader.line_num}", what, "Put text that holds a comma in quotes.")
                )
            yield reader.line_num, row


def _decimal(text: str) -> Decimal | None:
    return Decimal(text) if text else None


# --- sources ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def sources() -> Mapping[str, Source]:
    """Return every source by its key."""
    return MappingProxyType(
        {key: Source(key, text) for _, (key, text) in rows("sources.csv", ("source", "citation"))}
    )


def source(id: str) -> Source:  # noqa: A002 - the public name of the field
    """Return the source with this key.

    Raises
    ------
    NotFound
        no such key
    """
    known = sources()
    if id not in known:
        raise NotFound("source", id, list(known))
    return known[id]


# --- accelerators ----------------------------------------------------------------------------------------------------

_FIGURE_COLUMNS: Final = ("accelerator", "figure", "value", "unit", "confidence", "sources", "used", "note")


def _figures() -> Iterator[Figure]:
    for entry in sorted((_HERE / "accelerators").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".csv"):
            name = f"accelerators/{entry.name}"
            for line, row in rows(name, _FIGURE_COLUMNS):
                yield _figure(row, f"{name}:{line}")


_CONFIDENCE: Final = {c.value: c for c in Confidence}


def _figure(row: list[str], where: str) -> Figure:
    subject, figure, value, unit, sure, keys, used, note = row
    try:
        return Figure(
            sys.intern(subject),
            sys.intern(figure),
            None if value == "" else value if unit in _NOT_NUMBERS else Decimal(value),
            sys.intern(unit),
            _CONFIDENCE[sure],
            tuple(keys.split(";")),
            used == "yes",
            note,
        )
    except (InvalidOperation, KeyError):
        mend = f"Write a number, or leave it empty; a confidence is one of {', '.join(_CONFIDENCE)}."
        raise InputError(Fault(where, f"{value!r} {unit}, {sure!r} cannot be read.", mend)) from None


@lru_cache(maxsize=1)
def accelerators() -> Mapping[str, Accelerator]:
    """Return every accelerator by its id, in the order of the ids."""
    by_subject: dict[str, list[Figure]] = {}
    for figure in _figures():
        by_subject.setdefault(figure.subject, []).append(figure)
    return MappingProxyType({id_: _accelerator(id_, by_subject[id_]) for id_ in sorted(by_subject)})


def _accelerator(id_: str, figures: Sequence[Figure]) -> Accelerator:
    used = {f.figure: f for f in figures if f.used}

    def text(name: str) -> str | None:
        return cast("str | None", used[name].value) if name in used else None

    def number(name: str) -> Decimal | None:
        return cast("Decimal | None", used[name].value) if name in used else None

    def count(name: str) -> int | None:
        value = number(name)
        return None if value is None else int(value)

    datacenter = text("marketed_for_datacenter")
    rates = {fmt: rate for name, fmt in _RATE.items() if (rate := number(name)) is not None}
    return Accelerator(
        id=id_,
        name=str(used["name"].value),
        vendor=str(used["vendor"].value),
        vendor_country=text("vendor_country"),
        architecture=text("architecture"),
        form_factor=text("form_factor"),
        announced=text("announced"),
        status=text("status"),
        process_node=text("process_node"),
        memory_type=text("memory_type"),
        scaleup_link=text("scaleup_link"),
        host_link=text("host_link"),
        marketed_for_datacenter=None if datacenter is None else datacenter == "yes",
        dense_rate=MappingProxyType(rates),
        memory_gb=number("memory_capacity"),
        memory_bw_gb_s=number("memory_bandwidth"),
        scaleup_bw_gb_s=number("scaleup_bandwidth"),
        scaleup_domain=count("scaleup_domain"),
        sm_count=count("core_count")
        if "core_count" in used and used["core_count"].unit != "tensor core"
        else None,
        die_area_mm2=number("die_area"),
        transistors_bn=number("transistors"),
        tdp_w=number("tdp"),
        confidence=used["name"].confidence,
        note=text("note") or "",
        figures=tuple(figures),
    )


@lru_cache(maxsize=1)
def _accelerator_names() -> Mapping[str, tuple[str, ...]]:
    names: dict[str, tuple[str, ...]] = {}
    for id_, chip in accelerators().items():
        alias = next((str(f.value) for f in chip.figures if f.figure == "alias"), "")
        names[id_] = (chip.name, *filter(None, alias.split(";")))
    return names


def accelerator(name: str) -> Accelerator:
    """Return the accelerator that goes by this id or name.

    Raises
    ------
    NotFound
        nothing goes by that name; carries the nearest names
    InputError
        several products go by that name; lists them

    Examples
    --------
    >>> accelerator("MI300X").id
    'amd-mi300x-192gb'
    """
    return accelerators()[find(name, "accelerator", _accelerator_names())]


# --- prices and claims -----------------------------------------------------------------------------------------------

_PRICE_COLUMNS: Final = (
    *("id", "accelerator", "kind", "value", "currency", "quantity_basis", "market", "date", "source", "note"),
)
_CLAIM_COLUMNS: Final = (
    *(
        "id",
        "subject",
        "predicate",
        "object",
        "value_low",
        "value_high",
        "unit",
        "as_of",
        "claimed_by",
        "stance",
    ),
    *("source", "note"),
)


@lru_cache(maxsize=1)
def _all_prices() -> tuple[Price, ...]:
    return tuple(
        Price(chip, kind, Decimal(value), currency, basis, market, date or None, cited, note, id_)
        for _, (id_, chip, kind, value, currency, basis, market, date, cited, note) in rows(
            "prices.csv", _PRICE_COLUMNS
        )
    )


def prices(accelerator: str | None = None) -> tuple[Price, ...]:
    """Return the prices on record, of one accelerator or of all; dated, never *the* price.

    Raises
    ------
    NotFound, InputError
        as ``accelerator`` does
    """
    if accelerator is None:
        return _all_prices()
    id_ = find(accelerator, "accelerator", _accelerator_names())
    return tuple(p for p in _all_prices() if p.accelerator == id_)


@lru_cache(maxsize=1)
def _all_claims() -> tuple[Claim, ...]:
    return tuple(
        Claim(
            *(subject, predicate, thing, _decimal(low), _decimal(high), unit, as_of or None, by),
            cast("Literal['asserts', 'denies']", stance),
            *(cited, note, id_),
        )
        for _, (id_, subject, predicate, thing, low, high, unit, as_of, by, stance, cited, note) in rows(
            "claims.csv", _CLAIM_COLUMNS
        )
    )


def claims(subject: str | None = None) -> tuple[Claim, ...]:
    """Return what is reported, of one subject (any letter case) or of all; denials stand beside what they deny."""
    if subject is None:
        return _all_claims()
    return tuple(c for c in _all_claims() if c.subject.lower() == subject.lower())
