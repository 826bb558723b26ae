"""``entrepot controls screen-party`` and ``screen``: is a party listed, and what does the law say to a table of transfers?"""

from __future__ import annotations

import datetime as dt
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from entrepot import controls
from entrepot.cli.output import Output, Row, emit, note
from entrepot.controls import screening
from entrepot.controls.screening.into_table import with_listings
from entrepot.controls.screening.records import Candidate, PartyName, Screened, ScreenStatus, Snapshot
from entrepot.controls.sheet import read_sheet, unknown_columns, write_sheet
from entrepot.controls.table import ScreenedTable, screen_sheet
from entrepot.errors import Conflict, Fault, InputError

__all__ = ["screen", "screen_party"]

_COLUMNS = ("name", "country", "address", "aliases")


def screen_party(
    names: list[str] | None = None,
    /,
    *,
    list_: Annotated[Path | None, Parameter(name="--list")] = None,
    list_date: dt.date | None = None,
    on: dt.date | None = None,
    max_age_days: int = screening.MAX_AGE_DAYS,
    parties: Path | None = None,
    alias: Annotated[list[str] | None, Parameter(negative=())] = None,
    country: str | None = None,
    address: str | None = None,
    reviews: Path | None = None,
    to_review: Path | None = None,
    threshold: float = screening.THRESHOLD,
    near: float = screening.NEAR,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> int:
    """Hold parties against a snapshot of the United States' Consolidated Screening List, by names, aliases and addresses.

    Fetch consolidated.json (or .csv) from data.trade.gov; no list is shipped. One party:

        entrepot controls screen-party "Borealis Trading Co., Ltd." --country SG --list consolidated.json

    A table of parties with the columns name, country, address, aliases; what is open is written as a file to fill in:

        entrepot controls screen-party --parties parties.csv --list consolidated.json --to-review open.toml

    After a person has ruled (confirmed or false-positive, by whom, when and why):

        entrepot controls screen-party --parties parties.csv --list consolidated.json --reviews open.toml

    A candidate is for a person: it is "not known" until somebody has ruled on it, and never clear. Near misses below the
    threshold are listed too. The column listings is what `check --listed` and a table of transfers take. Not legal advice.
    Exit 0: no candidate is left; 1: a party is listed; 6: a candidate is open, the list is too old, or its date not known.

    Parameters
    ----------
    names
        names as the parties write them
    list_
        consolidated.json or consolidated.csv, as published
    list_date
        the day on which the list was made; needed for CSV, which does not say
    on
        the day of the screening; today if left out
    max_age_days
        a list older than this is refused
    parties
        a CSV or Parquet table of parties instead of NAMES
    alias
        another name of the party (may be given again; with one NAME)
    country
        where the party is, two letters (with one NAME)
    address
        its address (with one NAME)
    reviews
        rulings of persons on candidates
    to_review
        write the open candidates to this new file, for a person to fill in
    threshold
        score from which an entry is a candidate
    near
        score from which an entry is shown as a near miss
    """
    show = output or Output()
    if list_ is None:
        mend = "Fetch consolidated.json from data.trade.gov and name it."
        raise InputError(Fault("--list", "not given", mend))
    asked = _parties(names or [], parties, alias or [], country, address)
    if to_review is not None and to_review.exists():
        raise Conflict(f"{to_review} is there already.\n  Name another file: rulings in it would be lost.")
    ruled = screening.read_reviews(reviews) if reviews is not None else ()
    snapshot = screening.read_list(list_, made_on=list_date)
    today = on or dt.datetime.now(dt.UTC).date()
    found = screening.screen_parties(
        asked, snapshot, on=today, max_age_days=max_age_days, reviews=ruled, threshold=threshold, near=near
    )
    if to_review is not None:
        to_review.write_text(screening.to_review(found), encoding="utf-8")
        note(f"wrote {to_review}")
    _show(found, show)
    _say(snapshot, found, today)
    if any(one.status is ScreenStatus.LISTED for one in found):
        return 1
    return 0 if all(one.status is ScreenStatus.NO_CANDIDATE for one in found) else 6


def screen(
    file: Path,
    /,
    *,
    carry: Annotated[list[str] | None, Parameter(negative=())] = None,
    parties: Path | None = None,
    list_: Annotated[Path | None, Parameter(name="--list")] = None,
    list_date: dt.date | None = None,
    on: dt.date | None = None,
    max_age_days: int = screening.MAX_AGE_DAYS,
    reviews: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> int:
    """Judge a table of transfers: a million rows in seconds, because each distinct kind of act is decided once.

        entrepot controls screen transfers.csv --out answers.parquet

    Every column is a fact by the name that an answer gives it, or an option of `check`: chip, from, to, on, kind,
    recipient.headquarters (hq), recipient.ultimate_parent_headquarters (parent_hq), recipient.listings (listed),
    recipient.military_end_user, sender.letters (letter), provenance.imported_on (imported_on) and so on; `id` is kept. An
    empty cell is not known, and not known is never permission; `clear` and `none` are an empty list, several entries are
    separated by semicolons. chip and on have to be there. A column that is no fact is an error, unless it is carried.

    The parties screened in the same call: columns sender.name and recipient.name, each in the table of parties:

        entrepot controls screen transfers.csv --parties parties.csv --list consolidated.json --reviews rulings.toml

    Without --out the terminal shows the summary alone. Not legal advice. Exit 0: every act may go ahead; 1: a licence is
    required or an act prohibited; 6: neither, and a fact is missing or an exception's conditions have to be met.

    Parameters
    ----------
    file
        CSV or Parquet
    carry
        a column that is no fact and is kept as it is (may be given again)
    parties
        the table of parties that sender.name and recipient.name point to: name, country, address, aliases
    list_
        consolidated.json or consolidated.csv, to screen those parties against
    list_date
        the day on which that list was made; needed for CSV
    on
        the day of the screening of parties; today if left out
    max_age_days
        a list older than this is refused
    reviews
        rulings of persons on candidates
    """
    show = output or Output()
    if show.out is not None and show.out.suffix.lower() not in {".csv", ".parquet"}:
        raise InputError(
            Fault("--out", f"{show.out} is neither .csv nor .parquet", "Name a CSV or Parquet file.")
        )
    start = time.perf_counter()
    sheet = read_sheet(file)
    if (parties is None) != (list_ is None):
        raise InputError(
            Fault(
                "--parties",
                "a table of parties and a list go together",
                "Give --parties and --list, or none.",
            )
        )
    if parties is not None and list_ is not None:
        ruled = screening.read_reviews(reviews) if reviews is not None else ()
        snapshot = screening.read_list(list_, made_on=list_date)
        today = on or dt.datetime.now(dt.UTC).date()
        found = screening.screen_parties(
            _table(parties), snapshot, on=today, max_age_days=max_age_days, reviews=ruled
        )
        sheet = with_listings(sheet, found)
        _say(snapshot, found, today)
    done = screen_sheet(sheet, carry=carry or ())
    seconds = time.perf_counter() - start
    if show.out is not None:
        write_sheet(done.rows, show.out)
        note(f"wrote {show.out}")
    emit(_summary(done), kind="screened", output=Output(show.output, show.fields))
    note(f"{done.rows.height:,} rows, {len(done.decisions):,} kinds of act, {seconds:.1f} s.")
    note(f"United States law only, as known on {controls.LAW_KNOWN_TO}. Not legal advice.")
    outcomes = set(done.rows["outcome"].unique().to_list())
    if outcomes & {"licence_required", "prohibited"}:
        return 1
    return 0 if outcomes <= {"no_licence_required"} else 6


def _summary(done: ScreenedTable) -> list[Row]:
    counts = (
        done.rows.group_by("outcome", "review_policy", "paragraphs", "missing")
        .len("rows")
        .sort("rows", descending=True)
    )
    kinds: Counter[tuple[object, ...]] = Counter()
    for d in done.decisions:
        policy = None if d.review_policy is None else d.review_policy.value
        kinds[(d.outcome.value, policy, "; ".join(d.citations), "; ".join(d.missing) or None)] += 1
    return [
        {
            "outcome": o,
            "rows": n,
            "kinds": kinds[(o, p, c, m)],
            "review_policy": p,
            "paragraphs": c,
            "missing": m,
        }
        for o, p, c, m, n in counts.iter_rows()
    ]


def _parties(
    names: list[str], table: Path | None, aliases: list[str], country: str | None, address: str | None
) -> list[PartyName]:
    if (not names) == (table is None):
        raise InputError(
            Fault(
                "screen-party", "name parties, or a table of them", "Give NAMES or --parties FILE, not both."
            )
        )
    if table is not None:
        if aliases or country or address:
            mend = "Write aliases, country and address as columns of the table."
            raise InputError(Fault("--parties", "with --alias, --country or --address", mend))
        return _table(table)
    if len(names) > 1 and (aliases or country or address):
        mend = "Give one NAME, or --parties with a table."
        raise InputError(Fault("--country", f"--alias, --country or --address with {len(names)} names", mend))
    code = country.upper() if country else None
    return [PartyName(name, code, address, tuple(aliases)) for name in names]


def _table(path: Path) -> list[PartyName]:
    sheet = read_sheet(path)
    faults = unknown_columns(sheet, _COLUMNS)
    if "name" not in sheet.rows.columns:
        faults.append(
            Fault(f"{sheet.file}:1: name", "the column is missing", f"The columns are {', '.join(_COLUMNS)}.")
        )
    if faults:
        raise InputError(faults)
    rows = sheet.rows.to_dicts()
    lacking = [i for i, row in enumerate(rows) if row["name"] is None]
    places = sheet.places(lacking)
    if lacking:
        raise InputError(
            [Fault(f"{places[i]}: name", "it is empty", "Write the party's name.") for i in lacking[:20]]
        )
    return [
        PartyName(
            row["name"],
            row["country"].upper() if row.get("country") else None,
            row.get("address"),
            tuple(a.strip() for a in (row.get("aliases") or "").split(";") if a.strip()),
        )
        for row in rows
    ]


def _show(found: Sequence[Screened], show: Output) -> None:
    parties: list[Row] = [
        {
            "party": one.party.name,
            "status": one.status,
            "listings": "clear" if one.listings == () else list(one.listings) if one.listings else None,
            "candidates": len(one.candidates),
            "near_misses": one.near_misses_all,
            "note": "; ".join(one.notes) or None,
        }
        for one in found
    ]
    hits: list[Row] = [_row(one, c) for one in found for c in one.candidates]
    misses: list[Row] = [_row(one, c) for one in found for c in one.near_misses]
    if show.output == "table":
        short = ("party", "score", "listed_name", "list", "where", "country", "address", "ruling", "entry")
        hits = [{k: row[k] for k in short} for row in hits]
        misses = [{k: row[k] for k in short if k not in {"ruling", "entry"}} for row in misses]
    emit(
        {"parties": parties, "candidates": hits, "near_misses": misses},
        kind="screening",
        output=show,
        titles={"candidates": "Candidates, for a person", "near_misses": "Near misses, below the threshold"},
    )


def _row(one: Screened, c: Candidate) -> Row:
    entry = c.entry
    name = c.matched_name if c.matched_name == entry.name else f"{entry.name} (as {c.matched_name})"
    return {
        "party": one.party.name,
        "score": c.score,
        "listed_name": name,
        "list": entry.key.partition(":")[0],
        "where": "; ".join(a.text for a in entry.addresses[:2]) or None,
        "country": c.evidence.country,
        "address": None if c.evidence.address is None else f"{c.evidence.address:g}",
        "footnotes": "not read" if entry.footnotes is None else list(entry.footnotes),
        "scope": entry.scope,
        "license_requirement": entry.license_requirement,
        "license_policy": entry.license_policy,
        "federal_register_notice": entry.federal_register_notice,
        "start_date": entry.start_date,
        "end_date": entry.end_date,
        "programs": list(entry.programs),
        "listing": entry.listing,
        "ruling": None if c.review is None else f"{c.review.ruling.value} ({c.review.by}, {c.review.on})",
        "entry": entry.key,
        "entry_digest": entry.digest,
        "source_list_url": entry.source_list_url,
    }


def _say(snapshot: Snapshot, found: Sequence[Screened], today: dt.date) -> None:
    note(
        f"{len(found):,} parties against {len(snapshot.entries):,} entries of {snapshot.file}, made on {snapshot.made_on} as "
        f"{snapshot.dated_by} says, {(today - snapshot.made_on).days} days before {today}; SHA-256 {snapshot.sha256[:16]}."
    )
    for text, count in snapshot.unread[:5]:
        note(f"not read in {count:,} {'entry' if count == 1 else 'entries'}: {text[:160]}")
    if len(snapshot.unread) > 5:
        note(f"and {len(snapshot.unread) - 5} wordings more that are in no table.")
    note("A likeness of names is no identity, and no likeness is no proof. Not legal advice.")
