"""The schemas and the documentation say what the reader does."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from entrepot.scenario import init, json_schema, tables_schema
from entrepot.scenario.codes import countries
from entrepot.scenario.schema import attributes, markdown

ROOT = Path(__file__).parents[2]
EXAMPLES = ("spring-2025", "mixed-fleet")


def as_json(value: Any) -> Any:
    """Return a TOML document as JSON has it: days as text."""
    if isinstance(value, dict):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value.isoformat() if isinstance(value, dt.date) else value


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table with numbers and flags as JSON has them, blanks left out."""
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")
    ]
    return [{k: number(v) for k, v in row.items() if v} for row in csv.DictReader(lines)]


def number(text: str) -> Any:
    """Return a field as JSON has it."""
    if text in {"true", "false"}:
        return text == "true"
    return json.loads(text) if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text) else text


@pytest.mark.parametrize(
    ("file", "schema"), [("scenario.schema.json", json_schema()), ("tables.schema.json", tables_schema())]
)
def test_the_exported_schemas_are_current(file: str, schema: dict[str, Any]) -> None:
    """Export anew with ``python -c "from entrepot.scenario.schema import export; ..."`` (see docs/scenario.md)."""
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads((ROOT / "schemas" / file).read_text(encoding="utf-8")) == schema


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_satisfy_the_schemas(name: str) -> None:
    """An editor that knows the schema marks nothing in a sound scenario."""
    home = ROOT / "examples" / name
    satisfies(home)


def test_the_scenario_to_start_from_satisfies_the_schemas(tmp_path: Path) -> None:
    """Also for the first file that a newcomer opens."""
    init(tmp_path)
    satisfies(tmp_path)


def satisfies(home: Path) -> None:
    """Validate a scenario folder with an independent program."""
    document = as_json(tomllib.loads((home / "scenario.toml").read_text(encoding="utf-8")))
    jsonschema.validate(document, json_schema(), format_checker=jsonschema.FormatChecker())
    tables = {path.stem: rows_of(path) for path in home.glob("*.csv")}
    jsonschema.validate(tables, tables_schema(), format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize(
    ("path", "value"),
    [(("scenario", "currency"), "CNX"), (("horizon", "step"), "year"), (("parties", 0, "headquarters"), "UK"),
     (("scenario", "as_of"), "soon"), (("sites", 0, "colour"), "red")],
)  # fmt: skip
def test_the_schema_refuses_what_the_reader_refuses(path: tuple[str | int, ...], value: str) -> None:
    """The two must not drift apart."""
    document = as_json(
        tomllib.loads((ROOT / "examples" / EXAMPLES[0] / "scenario.toml").read_text(encoding="utf-8"))
    )
    here = document
    for key in path[:-1]:
        here = here[key]
    here[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json_schema(), format_checker=jsonschema.FormatChecker())


def test_every_attribute_says_what_it_means() -> None:
    """A key or column without a meaning cannot be added."""
    for attribute in attributes():
        assert attribute.meaning.endswith((".", "?")), attribute
        assert attribute.type, attribute


def test_the_documentation_has_every_table_as_the_code_has_it() -> None:
    """The tables of docs/scenario.md are printed by ``markdown(section)``: a setting without documentation fails here."""
    page = (ROOT / "docs" / "scenario.md").read_text(encoding="utf-8")
    for section in dict.fromkeys(attribute.section for attribute in attributes()):
        assert markdown(section) in page, f"docs/scenario.md: the table of {section} is not current"


def test_countries_are_those_of_the_standard() -> None:
    """ISO 3166-1 has 249 officially assigned codes."""
    assert len(countries()) == 249
    assert all(re.fullmatch(r"[A-Z]{2}", code) for code in countries())
    assert "UK" not in countries()
