"""How is the United States' Consolidated Screening List read? In the files that data.trade.gov publishes, JSON or CSV.

``consolidated.json`` is ``{"results": [...], "search_performed_at": ...}``; ``consolidated.csv`` has the same entries, one a
line, its lists joined by semicolons, and no date. The public file is fetched by whoever screens; none is shipped here.

A part of the list is not the list: a file that lacks the Entity List, the Military End User, Unverified, Denied Persons
or Specially Designated Nationals List is refused, and so is one whose age is not known.
"""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from entrepot.controls import groups
from entrepot.controls.screening import wordings
from entrepot.controls.screening.names import spellings
from entrepot.controls.screening.records import Address, Entry, Snapshot
from entrepot.errors import Fault, InputError, MissingFact

__all__ = ["CSV_COLUMNS", "MAX_AGE_DAYS", "fresh", "read_list", "snapshot_of"]

MAX_AGE_DAYS = 7  # the public list is made anew every day

# As published: the header of consolidated.csv.
CSV_COLUMNS = (
    "_id", "source", "entity_number", "type", "programs", "name", "title", "addresses", "federal_register_notice",
    "start_date", "end_date", "standard_order", "license_requirement", "license_policy", "call_sign", "vessel_type",
    "gross_tonnage", "gross_registered_tonnage", "vessel_flag", "vessel_owner", "remarks", "source_list_url", "alt_names",
    "citizenships", "dates_of_birth", "nationalities", "places_of_birth", "source_information_url", "ids",
)  # fmt: skip
_NEEDED = ("_id", "source", "name", "addresses", "alt_names", "license_requirement", "license_policy")
_FAULTS_MAX = 20


def read_list(path: str | Path, *, made_on: dt.date | None = None) -> Snapshot:
    """Read a snapshot of the Consolidated Screening List.

    Parameters
    ----------
    path : ``consolidated.json`` or ``consolidated.csv`` as data.trade.gov publishes them
    made_on : the day on which the list was made; needed for CSV, which does not say. The time stamp of the file is never
        used: copying a file makes it look new.

    Raises
    ------
    InputError : the file is not such a list, is a part of one, or says another date; all faults, at most twenty
    MissingFact : the date of the list is not known
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        mend = "Fetch consolidated.json from data.trade.gov and name it here."
        raise InputError(Fault(str(path), f"cannot be read: {error.strerror}", mend)) from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            Fault(str(path), f"byte {error.start} is not UTF-8", "Fetch the file again, as it is.")
        ) from None
    is_json = text.lstrip()[:1] in "{["
    rows, stated = _json(text, path) if is_json else (_csv(text, path), None)
    if stated is not None and made_on is not None and stated != made_on:
        what = f"the file says that it was made on {stated}, and {made_on} was given"
        raise InputError(Fault(str(path), what, "Leave the date out, or correct it."))
    day = stated or made_on
    if day is None:
        raise MissingFact(
            f"{path}: the day on which this list was made is not known.\n  Give it with --list-date."
        )
    snapshot = snapshot_of(rows, made_on=day, file=path.name)
    _whole(snapshot.entries, path)
    by = "the file" if stated else "whoever screens"
    return replace(snapshot, dated_by=by, sha256=hashlib.sha256(content).hexdigest())


def snapshot_of(rows: Iterable[Mapping[str, object]], *, made_on: dt.date, file: str = "entries") -> Snapshot:
    """Return entries in the form of the list's JSON as a snapshot; whether they are the whole list is not asked."""
    unread: Counter[str] = Counter()
    entries = tuple(_entry(row, unread) for row in rows)
    return Snapshot(file, made_on, "whoever screens", "", entries, tuple(sorted(unread.items())))


def fresh(snapshot: Snapshot, today: dt.date, *, max_age_days: int = MAX_AGE_DAYS) -> int:
    """Return the age of a snapshot in days.

    Raises
    ------
    MissingFact : it is older than the limit: who has been listed since is not known
    InputError : it is of a later day than today
    """
    age = (today - snapshot.made_on).days
    if age < 0:
        what = f"the list is of {snapshot.made_on}, after {today}"
        raise InputError(Fault(snapshot.file, what, "Give the day on which the list was made."))
    if age > max_age_days:
        raise MissingFact(
            f"{snapshot.file}: the list is of {snapshot.made_on}, {age} days before {today}; at most {max_age_days} are allowed. "
            "Who was listed since is not known.\n  Fetch a new consolidated.json from data.trade.gov, or raise --max-age-days."
        )
    return age


def _json(text: str, path: Path) -> tuple[list[Mapping[str, object]], dt.date | None]:
    try:
        held = json.loads(text)
    except json.JSONDecodeError as error:
        what = f"not JSON, or cut off: {error.msg}"
        raise InputError(
            Fault(f"{path}:{error.lineno}", what, "Fetch the file again; it must be whole.")
        ) from None
    results = held.get("results") if isinstance(held, dict) else None
    if not isinstance(results, list):
        what = "there is no list of 'results' in it"
        raise InputError(
            Fault(str(path), what, "Name the file consolidated.json of data.trade.gov, as it is.")
        )
    total = held.get("total")
    if isinstance(total, int) and total > len(results):
        what = f"{len(results)} of {total} entries: this is one page of an answer, not the list"
        raise InputError(Fault(str(path), what, "Fetch the bulk file consolidated.json."))
    faults = []
    for i, row in enumerate(results):
        lacking = [
            f for f in ("name", "source") if not (isinstance(row, dict) and str(row.get(f) or "").strip())
        ]
        if lacking:
            faults.append(
                Fault(
                    f"{path}: results[{i}]",
                    f"no {' and no '.join(lacking)}",
                    "Fetch the file again, as it is.",
                )
            )
    _raise(faults)
    return results, _stamp(held.get("search_performed_at"), path)


def _stamp(value: object, path: Path) -> dt.date | None:
    if value is None:
        return None
    try:
        return dt.datetime.fromisoformat(str(value)).astimezone(dt.UTC).date()
    except ValueError:
        what = f"search_performed_at is {value!r}, which is no time"
        raise InputError(Fault(str(path), what, "Fetch the file again, as it is.")) from None


def _csv(text: str, path: Path) -> list[Mapping[str, object]]:
    csv.field_size_limit(10_000_000)
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = next(reader, [])
        missing = [c for c in _NEEDED if c not in header]
        if missing:
            what = f"the columns {', '.join(missing)} are not in its header"
            raise InputError(
                Fault(f"{path}:1", what, "Name the file consolidated.csv of data.trade.gov, as it is.")
            )
        rows: list[Mapping[str, object]] = []
        faults = []
        for values in reader:
            where = f"{path}:{reader.line_num}"
            if len(values) != len(header):
                what = f"{len(values)} fields where the header names {len(header)}"
                faults.append(Fault(where, what, "Fetch the file again; it must be whole."))
                continue
            row = dict(zip(header, values, strict=True))
            if not row["name"].strip() or not row["source"].strip():
                faults.append(Fault(where, "no name or no source", "Fetch the file again, as it is."))
                continue
            rows.append(_unflattened(row))
    except csv.Error as error:
        what = f"not readable as CSV: {error}"
        raise InputError(
            Fault(f"{path}:{reader.line_num}", what, "Fetch the file again; it must be whole.")
        ) from None
    _raise(faults)
    return rows


def _unflattened(row: Mapping[str, str]) -> Mapping[str, object]:
    """Return a line of the CSV as an entry of the JSON.

    Addresses and aliases are joined by semicolons, and some hold one themselves: what is cut in two is still compared, as
    two parts.
    """
    lists = {f: _parts(row.get(f, "")) for f in ("alt_names", "programs")}
    addresses = [{"address": a} for a in _parts(row["addresses"])]
    return {**row, **lists, "id": row["_id"], "addresses": addresses}


def _parts(text: str) -> list[str]:
    return [re.sub(r"^and\s+", "", p.strip()) for p in text.split(";") if p.strip()]


def _entry(row: Mapping[str, object], unread: Counter[str]) -> Entry:
    source_name = " ".join(_text(row, "source").split())
    source = wordings.sources().get(source_name)
    if source is None:
        unread[f"source: {source_name}"] += 1
    main, *others = [_text(row, "name"), *_texts(row.get("alt_names"))]
    names = [main, *others, *(s for n in (main, *others) for s in spellings(n))]
    requirement, footnotes, scope = _requirement(row, unread)
    policy_text = _text(row, "license_policy") or None
    policy = None if policy_text is None else wordings.policies().get(wordings.key(policy_text))
    if policy_text is not None and policy is None:
        unread[f"license_policy: {policy_text}"] += 1
    short = source.short if source else f"?{source_name}"
    number = _text(row, "id") or _text(row, "_id") or _text(row, "entity_number")
    addresses = tuple(_addresses(row))
    printed = (
        source_name,
        names,
        [(a.text, a.country) for a in addresses],
        requirement,
        policy_text,
        _texts(row.get("programs")),
    )
    digest = hashlib.sha256(json.dumps(printed, ensure_ascii=False).encode()).hexdigest()[:16]
    return Entry(
        key=f"{short}:{number or digest}",
        source=source_name,
        list_id=source.id if source else "unknown-list",
        names=tuple(dict.fromkeys(n for n in names if n)),
        type=_text(row, "type") or None,
        addresses=addresses,
        programs=tuple(_texts(row.get("programs"))),
        license_requirement=requirement,
        footnotes=footnotes,
        scope=scope,
        license_policy=policy_text,
        policy=policy,
        federal_register_notice=_text(row, "federal_register_notice") or None,
        start_date=_text(row, "start_date") or None,
        end_date=_text(row, "end_date") or None,
        source_list_url=_text(row, "source_list_url") or None,
        remarks=_text(row, "remarks") or None,
        digest=digest,
    )


def _requirement(
    row: Mapping[str, object], unread: Counter[str]
) -> tuple[str | None, tuple[int, ...] | None, str]:
    text = _text(row, "license_requirement")
    if not text:
        return None, (), "not stated"
    known = wordings.requirements().get(wordings.key(text))
    if known is None:
        unread[f"license_requirement: {text}"] += 1
        return text, None, "wording not read"
    if known.footnotes is None:
        unread[f"license_requirement, footnote not printed: {text}"] += 1
    return text, known.footnotes, known.scope


def _text(row: Mapping[str, object], field: str) -> str:
    value = row.get(field)
    return "" if value is None else " ".join(str(value).split())


def _texts(value: object) -> list[str]:
    if value is None:
        return []
    parts = value if isinstance(value, list) else [value]
    return [" ".join(str(p).split()) for p in parts if p is not None and str(p).strip()]


def _addresses(row: Mapping[str, object]) -> Iterator[Address]:
    held = row.get("addresses")
    for part in held if isinstance(held, list) else []:
        if isinstance(part, dict):
            fields = [
                str(part.get(f) or "").strip() for f in ("address", "city", "state", "postal_code", "country")
            ]
            text = ", ".join(f for f in fields if f)
            code = fields[4].upper() or text.rpartition(",")[2].strip().upper()
            if text:
                yield Address(" ".join(text.split()), code if code in groups.countries() else None)
    country = _text(row, "country").upper()
    if country:
        yield Address(country, country if country in groups.countries() else None)


def _whole(entries: Iterable[Entry], path: Path) -> None:
    present = Counter(e.source for e in entries)
    lacking = [s.short for s in wordings.sources().values() if s.required and not present[s.name]]
    if lacking:
        what = f"it has no entry of {', '.join(lacking)}: it is a part of the list, and a part clears nobody"
        raise InputError(
            Fault(
                str(path), what, "Fetch the whole consolidated.json or consolidated.csv from data.trade.gov."
            )
        )


def _raise(faults: list[Fault]) -> None:
    if faults:
        more = len(faults) - _FAULTS_MAX
        shown = faults[:_FAULTS_MAX]
        if more > 0:
            shown.append(Fault("and", f"{more} faults more", "Fetch the file again; it must be whole."))
        raise InputError(shown)
