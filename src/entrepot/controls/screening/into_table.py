"""How do screened parties become facts of a table of transfers? By name, and only where the table does not state them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from entrepot.controls.screening.records import Screened
from entrepot.controls.sheet import SHOWN, Sheet
from entrepot.errors import Fault, InputError

__all__ = ["with_listings"]

_NAME = ".name"


def with_listings(sheet: Sheet, screened: Sequence[Screened]) -> Sheet:
    """Return the table with ``ROLE.listings`` for every column ``ROLE.name``, which is taken out.

    Raises
    ------
    InputError : a name was not screened, two screened parties share it, or the table states listings beside a name
    """
    names = [c for c in sheet.rows.columns if c.endswith(_NAME)]
    faults: list[Fault] = []
    if not names:
        mend = "Add sender.name and recipient.name, as the table of parties writes them."
        faults.append(Fault(f"{sheet.file}:1", "no column sender.name or recipient.name", mend))
    facts: dict[str, str | None] = {}
    for one in screened:
        if one.party.name in facts:
            mend = "Give each party its own name, for example with its country."
            faults.append(Fault("parties", f"{one.party.name!r} stands there twice", mend))
        facts[one.party.name] = (
            "clear" if one.listings == () else "; ".join(one.listings) if one.listings else None
        )
    rows = sheet.rows
    known = pl.DataFrame(
        {"name": list(facts), "fact": list(facts.values())}, schema={"name": pl.String, "fact": pl.String}
    )
    for column in names:
        listings = column.removesuffix(_NAME) + ".listings"
        if listings in rows.columns:
            faults.append(
                Fault(f"{sheet.file}:1: {listings}", f"stated beside {column}", "Keep one of the two.")
            )
            continue
        strange = rows.with_row_index("_row").filter(
            ~pl.col(column).is_in(list(facts)) & pl.col(column).is_not_null()
        )
        places = sheet.places(strange["_row"].to_list()[:SHOWN])
        faults += [
            Fault(
                f"{places[row]}: {column}",
                f"{name!r} is not in the table of parties",
                "Add it there, as it is written here.",
            )
            for row, name in strange.select("_row", column).head(SHOWN).iter_rows()
        ]
        if strange.height > SHOWN:
            faults.append(
                Fault(f"{sheet.file}: {column}", f"{strange.height - SHOWN:,} rows more", "Mend them alike.")
            )
        fact = rows.select(column).join(
            known, left_on=column, right_on="name", how="left", maintain_order="left"
        )["fact"]
        rows = rows.with_columns(fact.alias(listings)).drop(column)
    if faults:
        raise InputError(faults)
    return replace(sheet, rows=rows)
