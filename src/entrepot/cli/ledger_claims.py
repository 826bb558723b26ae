"""``entrepot ledger open`` and ``claims``: books under one reading of contested facts, and what is claimed beside them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from entrepot import scenario as scenarios
from entrepot.cli.output import Output, emit, note
from entrepot.errors import Fault, InputError
from entrepot.ledger.claims import add_claims, claims_beside, open_under, reading_beside, standing

__all__ = ["claims", "open_"]


def open_(scenario: Path, *, save: Path, reading: str | None = None, on: dt.date | None = None) -> None:
    """Open a scenario's books under one reading of contested facts, in a new folder, with the claims beside them.

        entrepot ledger open examples/spring-2025 --reading modules-800k --save as-reported
        entrepot ledger open examples/spring-2025 --reading hopper-230k --save as-denied
        entrepot ledger balance as-denied

    The balances are those of the reading alone: a claim is never posted.

    Parameters
    ----------
    scenario
        the scenario's folder
    save
        write the ledger, the claims and the reading into this new folder
    reading
        which reading to open; the scenario's default if left out
    on
        the day on which the books begin, instead of the scenario's own
    """
    read = scenarios.read(scenario, as_of=on, variant=reading)
    opened = open_under(read, save)
    under = f" under the reading {opened.name!r}: {opened.assumes}" if opened.name else ""
    note(f"Opened {save}{under}.\nClaims are beside the books, not in them: entrepot ledger claims {save}.")


def claims(
    folder: Path,
    *,
    all_: Annotated[bool, Parameter(name="--all", negative=())] = False,
    add: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Show what is claimed beside a ledger: who asserts it, who denies it, and when.

        entrepot ledger claims as-reported
        entrepot ledger claims as-reported --all -o csv
        entrepot ledger claims as-reported --add more-claims.csv

    Parameters
    ----------
    folder
        a folder that ledger open wrote
    all_
        one row for each claim with its source, not one for each thing that is claimed
    add
        first put the claims of this table beside the ledger; the ledger is not touched
    """
    if not folder.is_dir():
        raise InputError(Fault(str(folder), "no folder is here", "Name a folder that ledger open wrote."))
    if add is not None:
        note(f"{add_claims(folder, add)} claims were new.")
    found = claims_beside(folder)
    if all_:
        columns = ("id", "subject", "predicate", "object", "value_low", "value_high", "unit", "as_of", "claimed_by",
                   "stance", "source", "note")  # fmt: skip
        rows = [{name: getattr(claim, name) for name in columns} for claim in found]
    else:
        rows = standing(found).to_dicts()
    emit(rows, kind="claims", output=output or Output())
    under = reading_beside(folder)
    if under is not None and under.name:
        note(
            f"The books were opened under the reading {under.name!r}: {under.assumes}. An assumption, not a claim."
        )
