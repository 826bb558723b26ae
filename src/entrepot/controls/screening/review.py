"""What did people rule on candidates? A file that they write, with who, when and why; nothing in it is written by us.

::

    [[review]]
    party = "Borealis Trading Co., Ltd."
    country = "SG"                       # as the party was known then; leave out what was not known
    address = "12 Harbour Road, Tamarind"
    entry = "EL:5b1f..."                 # the list and the list's own id
    entry_digest = "c3653340848683ea"    # of the entry's text that was looked at
    ruling = "false-positive"            # or "confirmed"; "" = not yet
    by = "A. Reviewer"
    on = 2026-11-20
    why = "Founded in 2019 in Tamarind; the entry is a bank in Nordhaven."

A false positive stands for that party, at that country and address, and for that text of the entry: when the entry changes,
the candidate is open again. What is confirmed stays confirmed.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

from entrepot.controls.screening.records import Candidate, Review, Ruling, Screened
from entrepot.errors import Fault, InputError

__all__ = ["read_reviews", "to_review"]

_NEEDED = ("party", "entry", "entry_digest", "ruling", "by", "on", "why")
_HEAD = """# Candidates that a person must look at. Fill in ruling ("confirmed" or "false-positive"), by, on and why, then give
# this file with --reviews. An empty ruling leaves the candidate open, and an open candidate is never clear.
"""
_KEYS = (*_NEEDED, "country", "address", "listed_name", "list", "score", "evidence")


def read_reviews(path: str | Path) -> tuple[Review, ...]:
    """Read the rulings of a file; those with an empty ``ruling`` are still open and are left out.

    Raises
    ------
    InputError : the file is no TOML, a ruling lacks who, when or why, or two rulings contradict each other; all faults
    """
    path = Path(path)
    try:
        held = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            Fault(str(path), f"cannot be read: {error.strerror}", "Name a file of reviews.")
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(Fault(str(path), f"not TOML: {error}", "Correct it at that place.")) from None
    rows = held.get("review", [])
    stray = sorted(set(held) - {"review"})
    if stray or not isinstance(rows, list) or not all(isinstance(r, dict) for r in rows):
        what = f"it holds {', '.join(stray) or 'review'} where [[review]] tables belong"
        raise InputError(Fault(str(path), what, "Begin each ruling with the line [[review]]."))
    faults: list[Fault] = []
    found: dict[tuple[object, ...], Review] = {}
    for n, row in enumerate(rows, start=1):
        where = f"{path}: review {n}"
        faults += _wrong(row, where)
        if row.get("ruling", "") == "" or any(f.where.startswith(where) for f in faults):
            continue
        review = _review(row)
        about = (review.party, review.country, review.address, review.entry)
        other = found.setdefault(about, review)
        if other.ruling is not review.ruling:
            what = f"{review.by} ruled {review.ruling.value!r} where {other.by} ruled {other.ruling.value!r}"
            faults.append(Fault(where, what, "Keep the ruling that stands."))
    if faults:
        raise InputError(faults)
    return tuple(found.values())


def _wrong(row: Mapping[str, object], where: str) -> list[Fault]:
    faults = [
        Fault(f"{where}: {name}", "there is no such field", f"The fields are {', '.join(_KEYS)}.")
        for name in sorted(set(row) - set(_KEYS))
    ]
    ruling = row.get("ruling", "")
    if ruling == "":
        return faults
    rulings = [r.value for r in Ruling]
    if ruling not in rulings:
        faults.append(
            Fault(f"{where}: ruling", f"{ruling!r} is no ruling", f"Write {' or '.join(map(repr, rulings))}.")
        )
    for name in _NEEDED:
        value = row.get(name)
        if name == "on":
            if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
                mend = "Write the day of the ruling without quotes: on = 2026-11-20."
                faults.append(Fault(f"{where}: on", "the day of the ruling is missing or no day", mend))
        elif not (isinstance(value, str) and value.strip()):
            faults.append(
                Fault(f"{where}: {name}", "it is missing", "A ruling says who, when, why, and on what.")
            )
    faults.extend(
        Fault(f"{where}: {name}", "it is no text", "Write it in quotes, or leave it out.")
        for name in ("country", "address")
        if name in row and not isinstance(row[name], str)
    )
    return faults


def _review(row: Mapping[str, object]) -> Review:
    return Review(
        party=str(row["party"]),
        country=str(row["country"]) or None if "country" in row else None,
        address=str(row["address"]) or None if "address" in row else None,
        entry=str(row["entry"]),
        entry_digest=str(row["entry_digest"]),
        ruling=Ruling(str(row["ruling"])),
        by=str(row["by"]),
        on=dt.date.fromisoformat(str(row["on"])),
        why=str(row["why"]),
    )


def to_review(screened: Iterable[Screened]) -> str:
    """Return the open candidates as a file to be filled in: one table each, with what speaks for it and no ruling."""
    blocks = [_HEAD]
    blocks += [_block(one, c) for one in screened for c in one.candidates if c.review is None]
    return "\n".join(blocks)


def _block(screened: Screened, candidate: Candidate) -> str:
    party, entry, seen = screened.party, candidate.entry, candidate.evidence
    about = f"country {seen.country}"
    if seen.address is not None:
        about += f"; closest address {seen.address:g} of 100: {seen.closest_address}"
    elif entry.addresses:
        about += f"; listed at {entry.addresses[0].text}"
    fields: list[tuple[str, str]] = [("party", party.name)]
    fields += [(n, v) for n, v in (("country", party.country), ("address", party.address)) if v]
    fields += [
        ("entry", entry.key),
        ("entry_digest", entry.digest),
        ("list", entry.source),
        ("listed_name", candidate.matched_name if candidate.matched_name == entry.name
         else f"{entry.name} (as {candidate.matched_name})"),
        ("score", f"{candidate.score:g}"),
        ("evidence", about),
        ("ruling", ""),
        ("by", ""),
    ]  # fmt: skip
    lines = [f"{name} = {_quoted(value)}" for name, value in fields]
    return "\n".join(["[[review]]", *lines, "# on = 2026-01-31", 'why = ""', ""])


def _quoted(text: str) -> str:
    """Return a TOML basic string: JSON's escapes are TOML's, but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
