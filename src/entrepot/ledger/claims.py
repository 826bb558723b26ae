"""What is reported of the stock, who says so, and who denies it? Claims, kept beside the books and never in them.

A ledger says what its parties posted. What a newspaper reports of them is another kind of thing: it has somebody who asserts
it, perhaps somebody who denies it, and a day. So it stands in a table of its own, ``claims.csv``, in the folder of the ledger,
and no module of the ledger can read it (an import contract of the project). A scenario may be *opened under a reading* of
contested facts: then ``reading.toml`` says which assumption the opening balances rest on.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from entrepot import catalogue
from entrepot.catalogue.records import Claim
from entrepot.errors import Conflict, Fault, InputError
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.opening import opening
from entrepot.scenario.columns import Column
from entrepot.scenario.faults import Faults
from entrepot.scenario.table import LINE, Row, read_file

if TYPE_CHECKING:
    from entrepot.scenario.records import Scenario

__all__ = [
    "CLAIMS",
    "Reading",
    "add_claims",
    "claims_beside",
    "open_under",
    "read_claims",
    "reading_beside",
    "standing",
]

CLAIMS, READING, LEDGER = "claims.csv", "reading.toml", "ledger.sqlite"

_COLUMNS = (
    Column("id", "text", "", None, "Names the claim."),
    Column("subject", "text", "", None, "Of whom it is said."),
    Column("predicate", "text", "", None, "What is said: `holds_value`, `sold_value`."),
    Column("object", "text", "", "empty", "Of what."),
    Column("value_low", "text", "", "not stated", "The least value that the source gives."),
    Column("value_high", "text", "", "not stated", "The greatest."),
    Column("unit", "text", "", "none", "Unit of the values."),
    Column(
        "as_of", "text", "", "not stated", "When it was said, or of when: `2025`, `2025-04`, `2025-04-28`."
    ),
    Column("claimed_by", "text", "", None, "Who says so."),
    Column("stance", "text", "", None, "`asserts` or `denies`."),
    Column("source", "text", "", None, "Where it can be read."),
    Column("note", "text", "", "empty", "Anything that a reader should know."),
)
_WHEN = re.compile(r"\d{4}(-\d\d(-\d\d)?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reading:
    """The assumption that a ledger was opened under; ``name`` is empty where nothing was contested."""

    scenario: str
    as_of: dt.date
    name: str
    assumes: str


def open_under(scenario: Scenario, folder: Path) -> Reading:
    """Open a scenario's books in a new folder, under the reading that it was read with, its claims beside them.

    The folder has ``ledger.sqlite`` (holdings and orders of this reading, and nothing else), ``claims.csv`` and
    ``reading.toml``. It appears when all is written, or not at all.

    Raises
    ------
    Conflict
        When the folder is there already and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            f"{folder} is there already.\n  Name another folder, or remove it; nothing was written."
        )
    name = scenario.variant or ""
    reading = Reading(scenario.name, scenario.as_of, name, scenario.variants.get(name, ""))
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        with Ledger.open(beside / LEDGER) as books:
            books.post_all(opening(scenario))
        _write_claims(_claims_of(scenario), beside / CLAIMS)
        _write_reading(reading, beside / READING)
        beside.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return reading


def claims_beside(folder: Path) -> tuple[Claim, ...]:
    """Return the claims that are kept beside a ledger; none where there is no table of them."""
    path = folder / CLAIMS
    return read_claims(path) if path.exists() else ()


def reading_beside(folder: Path) -> Reading | None:
    """Return the reading that a ledger was opened under, or ``None`` where its folder does not say.

    Raises
    ------
    InputError
        When ``reading.toml`` is not as it was written.
    """
    path = folder / READING
    if not path.exists():
        return None
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return Reading(found["scenario"], found["as_of"], found["reading"], found["assumes"])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError) as error:
        raise InputError(
            Fault(
                str(path), f"is not as it was written: {error}", "Open the scenario again, in another folder."
            )
        ) from error


def add_claims(folder: Path, path: Path) -> int:
    """Put the claims of a table beside a ledger, all of them or none; return how many are new. The ledger is not touched.

    Raises
    ------
    InputError
        With every fault of the table.
    Conflict
        When an id is there with another content.
    """
    there = {claim.id: claim for claim in claims_beside(folder)}
    wanted = read_claims(path)
    for claim in wanted:
        if there.get(claim.id, claim) != claim:
            raise Conflict(
                f"claim {claim.id!r} is there with another content.\n  Give the new one an id of its own; nothing was written."
            )
    new = [claim for claim in wanted if claim.id not in there]
    if new:
        beside = folder / f".{CLAIMS}.new"
        _write_claims([*there.values(), *new], beside)
        beside.replace(folder / CLAIMS)
    return len(new)


def read_claims(path: Path) -> tuple[Claim, ...]:
    """Read a table of claims (CSV or Parquet).

    Raises
    ------
    InputError
        With every fault found: file, row, field, mend.
    """
    faults = Faults()
    sheet = read_file(path, _COLUMNS, faults)
    faults.stop()
    out: list[Claim] = []
    seen: dict[str, int] = {}
    for row in [] if sheet is None else sheet.rows.to_dicts():
        before = len(faults.found)
        for column in _COLUMNS:
            if column.required and row[column.name] is None:
                faults.add(_at(path, row, column.name), "the field is empty", f"Write it: {column.meaning}")
        if row["id"] in seen:
            faults.add(
                _at(path, row, "id"),
                f"{row['id']!r} stands already on line {seen[row['id']]}",
                "Give each claim its own.",
            )
        seen.setdefault(row["id"], row[LINE])
        if row["stance"] not in {None, "asserts", "denies"}:
            faults.add(_at(path, row, "stance"), f"{row['stance']!r} is neither", "Write asserts or denies.")
        if row["as_of"] is not None and not _WHEN.fullmatch(row["as_of"]):
            faults.add(
                _at(path, row, "as_of"),
                f"{row['as_of']!r} is no year, month or day",
                "Write 2025, 2025-04 or 2025-04-28.",
            )
        low, high = (_value(path, row, name, faults) for name in ("value_low", "value_high"))
        if low is not None and high is not None and low > high:
            faults.add(
                _at(path, row, "value_high"), f"{high} is below the least value, {low}", "Swap the two."
            )
        if len(faults.found) == before:
            texts = {name: row[name] or "" for name in ("object", "unit", "note")}
            out.append(
                Claim(
                    subject=row["subject"], predicate=row["predicate"], value_low=low, value_high=high, as_of=row["as_of"],
                    claimed_by=row["claimed_by"], stance=row["stance"], source=row["source"], id=row["id"], **texts,
                )
            )  # fmt: skip
    faults.stop()
    return tuple(out)


def standing(claims: Sequence[Claim]) -> pl.DataFrame:
    """Return one row for each thing that is claimed: who asserts it, who denies it, and whether it is contested.

    Nothing is decided or averaged: values of several sources stand side by side.

    Returns
    -------
    subject, predicate, standing (``asserted``, ``denied``, ``contested``), asserted_by, denied_by, values, as_of, claims i64
    """
    rows: list[dict[str, Any]] = []
    for key in dict.fromkeys((claim.subject, claim.predicate) for claim in claims):
        about = [claim for claim in claims if (claim.subject, claim.predicate) == key]
        for_, against = ([c for c in about if c.stance == stance] for stance in ("asserts", "denies"))
        rows.append(
            {
                "subject": key[0],
                "predicate": key[1],
                "standing": "contested" if for_ and against else "asserted" if for_ else "denied",
                "asserted_by": _joined(c.claimed_by for c in for_),
                "denied_by": _joined(c.claimed_by for c in against),
                "values": _joined(_span(c) for c in for_),
                "as_of": _joined(c.as_of or "" for c in about),
                "claims": len(about),
            }
        )
    texts = dict.fromkeys(
        ("subject", "predicate", "standing", "asserted_by", "denied_by", "values", "as_of"), pl.String()
    )
    return pl.DataFrame(rows, schema={**texts, "claims": pl.Int64()})


def _claims_of(scenario: Scenario) -> list[Claim]:
    """Return what the catalogue knows of the things that a scenario names as claimed."""
    return [
        claim
        for subject, predicate in scenario.claims
        for claim in catalogue.claims(subject)
        if claim.predicate == predicate
    ]


def _write_claims(claims: Iterable[Claim], path: Path) -> None:
    names = [field.name for field in fields(Claim)]
    rows = [dict(zip(names, map(_as_text, astuple(claim)), strict=True)) for claim in claims]
    table = pl.DataFrame(rows, schema=dict.fromkeys((c.name for c in _COLUMNS), pl.String()))
    path.write_text(table.write_csv(quote_style="always"), encoding="utf-8")


def _as_text(value: object) -> str | None:
    if isinstance(value, Decimal):
        return format(value, "f")
    return None if value is None else str(value)


def _write_reading(reading: Reading, path: Path) -> None:
    lines = [
        "# Under which reading of contested facts the books were opened: an assumption. Who says what is in claims.csv.",
        f"scenario = {json.dumps(reading.scenario, ensure_ascii=False)}",
        f"as_of = {reading.as_of}",
        f"reading = {json.dumps(reading.name, ensure_ascii=False)}",
        f"assumes = {json.dumps(reading.assumes, ensure_ascii=False)}",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def _at(path: Path, row: Row, column: str) -> str:
    return f"{path.name}:{row[LINE]}: {column}"


def _value(path: Path, row: Row, name: str, faults: Faults) -> Decimal | None:
    if row[name] is None:
        return None
    try:
        value = Decimal(row[name])
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        faults.add(_at(path, row, name), f"{row[name]!r} is not a number", "Write digits, or leave it blank.")
        return None
    return value


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _span(claim: Claim) -> str:
    low, high = claim.value_low, claim.value_high
    if low is None and high is None:
        return "not stated"
    if low == high or low is None or high is None:
        return f"{low if low is not None else high:,f} {claim.unit}".strip()
    return f"{low:,f} to {high:,f} {claim.unit}".strip()
