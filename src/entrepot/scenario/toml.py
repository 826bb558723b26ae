"""What stands in ``scenario.toml``, and on which line? Each section is checked alone, so one fault hides no other."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from entrepot.scenario.faults import Faults, did_you_mean
from entrepot.scenario.form import (
    Amount,
    AssumptionForm,
    HorizonForm,
    PartyForm,
    ScenarioForm,
    ServiceForm,
    SiteForm,
    VariantForm,
    Written,
)

__all__ = ["FILE", "Toml", "key_lines", "read_toml"]

FILE = "scenario.toml"

Path_: TypeAlias = tuple[str | int, ...]
Form = TypeVar("Form", bound=BaseModel)

_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(
    r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=(.*)$"
)
_PART = re.compile(r"[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'")
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'")


@dataclass(slots=True)
class Toml:
    """The sections that are sound, and the raw document for what can still be said about the others.

    Attributes
    ----------
    lines : line on which each key and each section begins
    """

    raw: dict[str, Any] = field(default_factory=dict)
    lines: Mapping[Path_, int] = field(default_factory=dict)
    scenario: ScenarioForm | None = None
    horizon: HorizonForm | None = None
    variants: dict[str, VariantForm] = field(default_factory=dict)
    residual: dict[str, Any] = field(default_factory=dict)
    parties: list[tuple[Path_, PartyForm]] = field(default_factory=list)
    sites: list[tuple[Path_, SiteForm]] = field(default_factory=list)
    services: list[tuple[Path_, ServiceForm]] = field(default_factory=list)
    assumptions: list[tuple[Path_, AssumptionForm]] = field(default_factory=list)

    def where(self, path: Path_) -> str:
        """Return file, line and key of ``path`` as a person would point at them."""
        known = path
        while known and known not in self.lines:
            known = known[:-1]
        line = f":{self.lines[known]}" if known else ""
        return f"{FILE}{line}: {self._spoken(path)}"

    def _spoken(self, path: Path_) -> str:
        parts: list[str] = []
        here: Any = self.raw
        for part in path:
            here = _inside(here, part)
            if isinstance(part, int):
                name = here.get("id") if isinstance(here, dict) else None
                parts.append(f".{name}" if isinstance(name, str) and name else f"[{part + 1}]")
            else:
                parts.append(f".{part}")
        return "".join(parts).lstrip(".")

    def names(self, section: str) -> list[str]:
        """Return the ids written in a section, also of entries that have other faults."""
        entries = self.raw.get(section)
        if not isinstance(entries, list):
            return []
        return [e["id"] for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]


def _inside(here: object, part: str | int) -> object:
    if isinstance(here, list):
        return here[part] if isinstance(part, int) and part < len(here) else None
    return here.get(part) if isinstance(here, dict) else None


def key_lines(text: str) -> dict[Path_, int]:
    r"""Return the line on which each section and key of a TOML document begins.

    Examples
    --------
    >>> key_lines("[a]\nb = 1\n[[c]]\nd = 2")[("c", 0, "d")]
    4
    """
    lines: dict[Path_, int] = {}
    counts: dict[Path_, int] = {}
    section: Path_ = ()
    depth, quote = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if quote:
            quote = "" if line.count(quote) % 2 else quote
            continue
        if depth > 0:
            depth += _brackets(line)
            continue
        header = _HEADER.match(line)
        key = _KEY.match(line)
        if header and not key:
            parts = tuple(p.strip("\"'") for p in _PART.findall(header[2]))
            section = _placed(parts, counts, new=header[1] == "[[")
            lines.setdefault(section, number)
        elif key:
            path = (*section, *(p.strip("\"'") for p in _PART.findall(key[1])))
            lines.setdefault(path, number)
            opened = next((q for q in ('"""', "'''") if key[2].count(q) % 2), "")
            quote, depth = opened, 0 if opened else _brackets(key[2])
    return lines


def _placed(parts: tuple[str, ...], counts: dict[Path_, int], *, new: bool) -> Path_:
    """Return where a header stands: names, and the index of the entry inside arrays of tables."""
    path: Path_ = ()
    for i, part in enumerate(parts):
        path = (*path, part)
        if new and i == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def _brackets(text: str) -> int:
    bare = _STRING.sub("", text).split("#", 1)[0]
    return bare.count("[") + bare.count("{") - bare.count("]") - bare.count("}")


def read_toml(path: Path, faults: Faults) -> Toml:
    """Read ``scenario.toml``; what is wrong is noted, what is sound is returned."""
    try:
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        faults.add(
            f"{FILE}:{line}",
            f"byte 0x{error.object[error.start]:02x} is not UTF-8",
            "Save the file as UTF-8.",
        )
        return Toml()
    except OSError as error:
        faults.add(FILE, f"the file cannot be read: {error.strerror}", "Give a readable file.")
        return Toml()
    try:
        raw = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        at = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        line_text = f":{at[1]}" if at else f":{text.count(chr(10)) + 1}"
        what = re.sub(r"\s*\(at .*\)$", "", str(error)) or "not TOML"
        column = f" in column {at[2]}" if at else ""
        faults.add(f"{FILE}{line_text}", f"not TOML: {what}{column}", _toml_mend(text, at))
        return Toml()
    toml = Toml(raw=raw, lines=key_lines(text))
    _sections(toml, faults)
    return toml


def _toml_mend(text: str, at: re.Match[str] | None) -> str:
    if at:
        line = text.split("\n")[int(at[1]) - 1]
        if re.search(r"=\s*[A-Za-z]", line) and not re.search(r"=\s*(true|false|nan|inf)\b", line):
            return 'Put text in quotes: key = "text".'
        if re.search(r"=\s*\d{1,2}[./]\d", line) or re.search(r"=\s*0\d", line):
            return "Write numbers without leading zeros, and days as 2025-07-01."
    return "See toml.io for how values are written."


def _sections(toml: Toml, faults: Faults) -> None:
    for key in toml.raw:
        if key not in Written.model_fields:
            known = list(Written.model_fields)
            hint = did_you_mean(key, known, otherwise=f"Known are {', '.join(known)}.")
            faults.add(toml.where((key,)), "there is no such section", hint)
    toml.scenario = _one(toml, "scenario", ScenarioForm, faults)
    toml.horizon = _one(toml, "horizon", HorizonForm, faults)
    toml.parties = _list(toml, "parties", PartyForm, faults, needed=True)
    toml.sites = _list(toml, "sites", SiteForm, faults, needed=True)
    toml.services = _list(toml, "services", ServiceForm, faults)
    toml.assumptions = _list(toml, "assumptions", AssumptionForm, faults)
    variants = toml.raw.get("variants", {})
    if _is_table(toml, variants, ("variants",), faults):
        for name, value in variants.items():
            form = _validated(toml, value, ("variants", name), VariantForm, faults)
            if form is not None:
                toml.variants[name] = form
    residual = toml.raw.get("residual", {})
    if _is_table(toml, residual, ("residual",), faults):
        adapter = TypeAdapter(dict[str, Amount])
        for name, value in residual.items():
            try:
                toml.residual.update(adapter.validate_python({name: value}))
            except ValidationError as error:
                for detail in error.errors(include_url=False):
                    _fault(toml, detail, ("residual",), Written, faults)


def _is_table(toml: Toml, value: object, path: Path_, faults: Faults) -> bool:
    if isinstance(value, dict):
        return True
    faults.add(toml.where(path), "this is not a section", f"Write it under a line [{path[0]}].")
    return False


def _one(toml: Toml, name: str, form: type[Form], faults: Faults) -> Form | None:
    if name not in toml.raw:
        needed = ", ".join(key for key, info in form.model_fields.items() if info.is_required())
        faults.add(FILE, f"the section [{name}] is missing", f"Write it with {needed}.")
        return None
    value = toml.raw[name]
    return _validated(toml, value, (name,), form, faults) if _is_table(toml, value, (name,), faults) else None


def _list(
    toml: Toml, name: str, form: type[Form], faults: Faults, *, needed: bool = False
) -> list[tuple[Path_, Form]]:
    entries = toml.raw.get(name, [])
    if not isinstance(entries, list):
        faults.add(toml.where((name,)), "this is not a list of sections", f"Head each entry with [[{name}]].")
        return []
    if needed and not entries:
        keys = ", ".join(key for key, info in form.model_fields.items() if info.is_required())
        faults.add(FILE, f"there is no [[{name}]]", f"Write at least one, with {keys}.")
    sound: list[tuple[Path_, Form]] = []
    first: dict[str, Path_] = {}
    for i, value in enumerate(entries):
        path: Path_ = (name, i)
        entry = _validated(toml, value, path, form, faults)
        if entry is not None:
            sound.append((path, entry))
        own = value.get("id") if isinstance(value, dict) else None
        if isinstance(own, str):
            if own in first:
                line = toml.lines.get((*first[own], "id"), toml.lines.get(first[own]))
                faults.add(
                    toml.where((*path, "id")),
                    f"{own!r} stands already" + (f" on line {line}" if line else ""),
                    "Give one of the two another id, or delete it.",
                )
            first.setdefault(own, path)
    return sound


def _validated(toml: Toml, value: object, path: Path_, form: type[Form], faults: Faults) -> Form | None:
    try:
        return form.model_validate(value)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            _fault(toml, detail, path, form, faults)
        return None


_PLAIN = {
    "string_type": ("is not text", 'Put it in quotes: "..."'),
    "bool_type": ("is neither true nor false", "Write true or false, without quotes."),
    "int_type": ("is not a whole number", "Write a whole number, without quotes."),
    "int_from_float": ("is not a whole number", "Write a whole number."),
    "float_type": ("is not a number", "Write a number, without quotes."),
    "finite_number": ("is not a finite number", "Write a number."),
    "list_type": ("is not a list", "Write it in brackets: [ ... ]."),
    "dict_type": ("is not a table", "Write key = value pairs."),
    "model_type": ("is not a section", "Write key = value lines under a header."),
    "string_too_short": ("is empty", "Write something, or delete the key."),
    "string_too_long": ("is too long", "Write at most 200 letters."),
}


def _fault(toml: Toml, detail: ErrorDetails, base: Path_, form: type[BaseModel], faults: Faults) -> None:
    """Say one of pydantic's findings in the words of the house."""
    loc = tuple(part for part in detail["loc"] if not _is_branch(part))
    path = (*base, *loc)
    kind, context, value = detail["type"], detail.get("ctx", {}), detail["input"]
    key = loc[0] if loc and isinstance(loc[0], str) else ""
    info = form.model_fields.get(key)
    meaning = info.description if info is not None and info.description else ""
    shown = f"{value!r}" if isinstance(value, str | int | float | bool) else "this"
    if kind == "missing":
        what, mend = "is missing", f"Write it: {meaning}"
    elif kind == "extra_forbidden":
        known = list(form.model_fields)
        what, mend = (
            "there is no such key",
            did_you_mean(str(key), known, otherwise=f"Known are {', '.join(known)}."),
        )
    elif "mend" in context:
        what, mend = detail["msg"], str(context["mend"])
    elif kind == "literal_error":
        what, mend = f"{shown} is not one of them", f"Write {context.get('expected', '')}."
    elif kind == "string_pattern_mismatch":
        what = f"{shown} is not a usable name"
        mend = "Use letters, digits, `-`, `_` and `.`; the first a letter or a digit."
        if "\\d{4}" in str(context.get("pattern")):
            what, mend = f"{shown} is not a day", 'Write for example "2025-07-01".'
    elif kind in _PLAIN:
        what, mend = f"{shown} {_PLAIN[kind][0]}", _PLAIN[kind][1]
    else:
        what, mend = (
            f"{shown}: {detail['msg'][:1].lower()}{detail['msg'][1:]}",
            meaning or "Write another value.",
        )
    fault = (toml.where(path), what, mend)
    if not any((f.where, f.what) == fault[:2] for f in faults.found):
        faults.add(*fault)


def _is_branch(part: str | int) -> bool:
    """Whether pydantic's location names a branch of a union, not a key."""
    return isinstance(part, str) and (
        part in {"str", "[key]"} or part.startswith(("list[", "function-", "constrained"))
    )
