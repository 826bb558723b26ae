"""``entrepot controls``: the law as this program knows it, as data that a person can read and test."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from cyclopts import Parameter

from entrepot import controls
from entrepot.cli.output import Output, emit, note
from entrepot.controls import law

__all__ = ["rules"]


def rules(
    search: str | None = None,
    *,
    on: dt.date | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """List the rules that are known, version by version: effective day, status, paragraph, source.

    All versions of every rule:

        entrepot controls rules

    What held on one day, about one subject:

        entrepot controls rules headquarters --on 2024-06-01

    Parameters
    ----------
    search: show only rules whose id, title or citation contains this
    on: show only the versions in force on this day
    """
    show = output or Output()
    rows = []
    for rule in law.rules():
        held = rule.versions if on is None else tuple(filter(None, [law.version_on(rule.versions, on)]))
        for version in held:
            text = f"{rule.id} {rule.title} {version.cite}".lower()
            if search is None or search.lower() in text:
                rows.append(
                    {
                        "rule": rule.id,
                        "title": rule.title,
                        "effective": version.since,
                        "until": version.until,
                        "status": version.status,
                        "outcome": version.outcome,
                        "citation": version.cite,
                        "source": version.source,
                    }
                )
    if show.output == "table" and show.fields is None:
        brief = ("rule", "effective", "until", "status", "outcome", "citation")
        rows = [{k: row[k] for k in brief} for row in rows]
    emit(rows, kind="rules", output=show)
    note(f"United States law as known on {controls.LAW_KNOWN_TO}. Not legal advice.")
