"""Which files, keys and columns make a scenario, for machines and for the documentation?

`json_schema` describes ``scenario.toml`` (days as ISO 8601 text), `tables_schema` the columns of the tables; both are
exported to ``schemas/``. `attributes` is the same as one table, from which `markdown` prints the pages' tables.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from entrepot.scenario.codes import countries
from entrepot.scenario.columns import (
    DEVICES_MAX,
    FACTOR_MAX,
    ID_PATTERN,
    KINDS,
    PRICE_MAX,
    REQUIRED_TABLES,
    TABLES,
    Column,
)
from entrepot.scenario.form import (
    AssumptionForm,
    HorizonForm,
    PartyForm,
    ScenarioForm,
    ServiceForm,
    SiteForm,
    VariantForm,
    Written,
)

__all__ = ["Attribute", "attributes", "export", "json_schema", "markdown", "tables_schema", "with_tables"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_FORMS: dict[str, type[BaseModel]] = {
    "[scenario]": ScenarioForm,
    "[horizon]": HorizonForm,
    "[variants.<name>]": VariantForm,
    "[[parties]]": PartyForm,
    "[[sites]]": SiteForm,
    "[[services]]": ServiceForm,
    "[[assumptions]]": AssumptionForm,
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One key or column: where it stands, its type, unit, default and meaning; ``default`` ``None``: must be written."""

    section: str
    name: str
    type: str
    unit: str
    default: str | None
    meaning: str


def attributes() -> tuple[Attribute, ...]:
    """Return every key of ``scenario.toml`` and every column of the tables, in the order of the pages.

    Examples
    --------
    >>> next(a.unit for a in attributes() if a.name == "ask")
    'currency/device-hour or currency/device'
    """
    found = [
        _of_field(section, name, info)
        for section, form in _FORMS.items()
        for name, info in form.model_fields.items()
    ]
    meaning = str(Written.model_fields["residual"].description)
    found.append(Attribute("[residual]", "<accelerator>", "amount", "currency/device", "none", meaning))
    for table, columns in TABLES.items():
        found.extend(_of_column(table, column) for column in columns)
    return tuple(found)


def _of_field(section: str, name: str, info: FieldInfo) -> Attribute:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    default = None if info.is_required() else str(extra.get("x-default", ""))
    return Attribute(
        section, name, _type_name(info), str(extra.get("x-unit", "")), default, str(info.description)
    )


def _type_name(info: FieldInfo) -> str:
    text = str(info.annotation)
    if "Literal" in text:
        return "one of " + ", ".join(
            f"`{word}`" for word in text.split("[", 1)[1].split("]", 1)[0].replace("'", "").split(", ")
        )
    for mark, name in (("dict", "table"), ("str | list", "text or list"), ("list", "list"), ("datetime", "day"), ("bool", "true or false"),
                       ("int", "whole number"), ("float", "number")):  # fmt: skip
        if mark in text:
            return name
    return "text"


_COLUMN_TYPES = {
    "id": "name",
    "name": "text",
    "country": "country",
    "devices": "whole number",
    "block": "whole number",
    "price": "amount",
    "share": "number",
    "factor": "number",
    "date": "day",
    "boundary": "day on a cut of the horizon",
    "hours": "hours",
    "flag": "true or false",
    "kind": "`lease` or `sale`",
    "words": "list",
    "countries": "list of countries",
    "kinds": "list",
    "text": "text",
}


def _of_column(table: str, column: Column) -> Attribute:
    kind = _COLUMN_TYPES[column.type] + (f", or `{column.word}`" if column.word else "")
    default = None if column.required else column.default
    return Attribute(table, column.name, kind, column.unit, default, column.meaning)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``scenario.toml``, for editors and for programs that write scenarios."""
    schema = Written.model_json_schema()
    return {
        "$schema": _DIALECT,
        "$id": "entrepot/scenario/v1",
        **schema,
        "title": "scenario.toml",
    }


def tables_schema() -> dict[str, Any]:
    """Return what each table holds: for each, a JSON Schema of one row as text is written in CSV, and its columns."""
    return {
        "$schema": _DIALECT,
        "$id": "entrepot/scenario-tables/v1",
        "title": "Tables of a scenario",
        "type": "object",
        "properties": {
            name: {"type": "array", "items": _row_schema(columns)} for name, columns in TABLES.items()
        },
        "required": list(REQUIRED_TABLES),
        "additionalProperties": False,
    }


def _row_schema(columns: tuple[Column, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {column.name: _column_schema(column) for column in columns},
        "required": [column.name for column in columns if column.required],
        "additionalProperties": False,
    }


def _column_schema(column: Column) -> dict[str, Any]:
    """Return the schema of one field; blanks are left out of a row before it is validated."""
    number: dict[str, Any] = {"type": "number"}
    kinds: dict[str, dict[str, Any]] = {
        "id": {"type": "string", "pattern": ID_PATTERN},
        "country": {"type": "string", "enum": sorted(countries())},
        "devices": {"type": "integer", "minimum": 1, "maximum": DEVICES_MAX},
        "block": {"type": "integer", "minimum": 1, "maximum": DEVICES_MAX},
        "price": {**number, "minimum": 0, "maximum": PRICE_MAX},
        "share": {**number, "exclusiveMinimum": 0, "maximum": 1},
        "factor": {**number, "exclusiveMinimum": 0, "maximum": FACTOR_MAX},
        "date": {"type": "string", "format": "date"},
        "boundary": {"type": "string", "format": "date"},
        "hours": {"type": "string", "pattern": r"^\d{1,2}-\d{1,2}(\s*;\s*\d{1,2}-\d{1,2})*$"},
        "flag": {"type": "boolean"},
        "kind": {"enum": list(KINDS)},
    }
    schema = kinds.get(column.type, {"type": "string"})
    if column.word:
        schema = {"anyOf": [schema, {"const": column.word}]}
    return {
        **schema,
        "description": column.meaning,
        "x-unit": column.unit,
        **({} if column.required else {"x-default": column.default}),
    }


def markdown(section: str) -> str:
    """Return the documentation table of one section or table.

    Examples
    --------
    >>> print(markdown("[residual]").splitlines()[2])
    | `<accelerator>` | amount | currency/device | none | What one device is worth to its owner at the end of the horizon, in the currency, by accelerator. |
    """
    rows = ["| name | type | unit | default | meaning |", "| --- | --- | --- | --- | --- |"]
    for a in attributes():
        if a.section == section:
            default = "**required**" if a.default is None else a.default
            rows.append(f"| `{a.name}` | {a.type} | {a.unit} | {default} | {a.meaning} |")
    return "\n".join(rows)


def with_tables(page: str) -> str:
    r"""Return a page with the table after each mark ``<!-- table: SECTION -->`` printed anew.

    Examples
    --------
    >>> with_tables("<!-- table: [residual] -->\n| old |\n\nend").splitlines()[2]
    '| name | type | unit | default | meaning |'
    """

    def printed(mark: re.Match[str]) -> str:
        return f"{mark[1]}\n\n{markdown(mark[2])}\n"

    return re.sub(r"(<!-- table: (.+?) -->)\n(?:\n?\|.*\n(?:\|.*\n)*)?", printed, page)


def export(folder: Path) -> tuple[Path, ...]:
    """Write both schemas into ``folder``; return the files."""
    files = {"scenario.schema.json": json_schema(), "tables.schema.json": tables_schema()}
    for name, schema in files.items():
        (folder / name).write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return tuple(folder / name for name in files)
