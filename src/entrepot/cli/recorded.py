"""How does ``entrepot check --record FILE`` make a page for the file?"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from entrepot import __version__
from entrepot.cli.output import note
from entrepot.controls.records import Decision

__all__ = ["Recorded", "write"]


@dataclass(frozen=True)
class Recorded:
    """What stands on the record beside the decision."""

    record: Path | None = None
    """Write a one-page record of the decision to this new file, .html or .pdf."""
    reference: str | None = None
    """The file's own number, for the record."""
    sender_name: str | None = None
    """The sender's name, for the record."""
    recipient_name: str | None = None
    """The recipient's name, for the record."""
    stated_by: str | None = None
    """Who states the facts, for the record."""
    record_on: Annotated[dt.date | None, Parameter(name="--record-on")] = None
    """The day of the record; today if left out."""


def write(decision: Decision, asked: Recorded, assumed: Mapping[str, str]) -> None:
    """Write the record, and say where it is and by which hash it is known."""
    if asked.record is None:
        return
    made = import_module("entrepot.controls.record")  # a check without a record does not wait for it
    names = {"sender": asked.sender_name, "recipient": asked.recipient_name}
    particulars = made.Particulars(
        made_on=asked.record_on or dt.datetime.now(dt.UTC).date(),
        tool=f"entrepot {__version__}",
        names={role: name for role, name in names.items() if name},
        stated_by=asked.stated_by,
        assumed=assumed,
        reference=asked.reference,
    )
    digest = made.write_record(decision, asked.record, particulars)
    note(f"wrote {asked.record}, SHA-256 of its content {digest[:16]}…")
