"""Which columns does a table have on its way into the books, or out of them? The reader, the templates and the page rest on this.

Three tables. **opening**: what was there when the books begin, one row for each holding or amount. **movements**: one row
for each posting; rows of one entry carry its id. **lots**: the papers of unit lots that movements bring in. An export
writes *movements* and *lots* in these very columns, so that what came out can go in again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from entrepot.scenario.columns import Column

__all__ = ["LOTS", "MOVEMENTS", "OPENING", "TABLES", "Kind", "template"]

Kind = Literal["opening", "movements", "lots"]

_PAPERS = (
    Column("imported_on", "date", "", "unknown", "Day on which the devices came into the country."),
    Column("imported_from", "text", "ISO 3166-1", "unknown", "Country from which they were exported."),
    Column("authorisation", "text", "", "unknown", "Under what: `no licence required`, or a licence's number."),
    Column("conditions", "words", "", "none", "Conditions that bind the holder, separated by `;` (or a JSON list)."),
    Column("parent", "text", "", "none", "The unit lot that these units were split from."),
    Column("note", "text", "", "empty", "Anything that a reader should know."),
    Column("serials", "words", "", "not listed", "Serial numbers of the devices, separated by `;` (or a JSON list)."),
)  # fmt: skip

OPENING = (
    Column("key", "text", "", None, "Names the row for good: the same key again is the same row, not a second stock."),
    Column("at", "date", "UTC", None, "When it counts: `2025-05-15` or `2025-05-15T08:30:00Z`."),
    Column("account", "text", "", None, "Where it stands: `alder:lf-1:available`, `birch:cash`."),
    Column("commodity", "text", "", None, "An accelerator's id, or a currency's minor unit: `CNY.fen`."),
    Column("quantity", "text", "devices or minor units", None, "Whole number; below 0 for what is owed."),
    Column("unit_lot", "text", "", "the key, for devices", "The lot that the devices are of."),
    *_PAPERS,
    Column("cause", "text", "", "opening: ...", "Why, in one line."),
)  # fmt: skip

MOVEMENTS = (
    Column("entry", "text", "", None, "Id of the entry; all rows with this id are one entry, and sum to zero."),
    Column("at", "date", "UTC", "that of the entry's first row", "When it counts, as in opening."),
    Column("cause", "text", "", "that of the entry's first row", "What happened, in one line."),
    Column("account", "text", "", None, "`party:site:state`, or `party:state:counterparty`."),
    Column("commodity", "text", "", None, "An accelerator's id, or a currency's minor unit."),
    Column("quantity", "text", "devices or minor units", None, "Whole number; above 0 comes in, below 0 goes out."),
    Column("unit_lot", "text", "", "none, for money", "The lot that the devices are of."),
    Column("slot", "text", "UTC", "always", "The hours in which it counts: `2025-07-01..2025-10-01/h08-20`."),
    Column("reverses", "text", "", "none", "Id of the entry that this one undoes."),
    Column("settles", "text", "", "none", "Id of the clearing that this entry settles."),
    Column("serials", "words", "", "none", "Serial numbers that move, where the lot lists them; separated by `;`."),
    Column("expires", "date", "UTC", "never", "Makes the entry a reservation, until then."),
    Column("resolves", "text", "", "none", "Id of the reservation that this entry posts or voids."),
)  # fmt: skip

LOTS = (
    Column("unit_lot", "text", "", None, "Name of the lot."),
    Column("accelerator", "text", "", None, "The product: an id of the catalogue."),
    *_PAPERS,
    Column("entry", "text", "", "the first that moves it", "Id of the entry that brings the lot into the books."),
)  # fmt: skip

TABLES: Mapping[Kind, tuple[Column, ...]] = {"opening": OPENING, "movements": MOVEMENTS, "lots": LOTS}

_EXAMPLES: Mapping[Kind, tuple[Mapping[str, str], ...]] = {
    "opening": (
        {"key": "alder-h20", "at": "2025-05-15", "account": "alder:lf-1:available", "commodity": "nvidia-h20-sxm-96gb",
         "quantity": "64", "imported_on": "2024-09-01", "imported_from": "US", "authorisation": "no licence required",
         "conditions": "no resale"},
        {"key": "birch-cash", "at": "2025-05-15", "account": "birch:cash", "commodity": "CNY.fen", "quantity": "5000000000",
         "cause": "cash in bank"},
    ),
    "movements": (
        {"entry": "trade-18", "at": "2025-06-01T08:00:00Z", "cause": "sale of 8 devices", "account": "alder:lf-1:available",
         "commodity": "nvidia-h20-sxm-96gb", "quantity": "-8", "unit_lot": "alder-h20"},
        {"entry": "trade-18", "account": "birch:ulq-1:available", "commodity": "nvidia-h20-sxm-96gb", "quantity": "8",
         "unit_lot": "alder-h20"},
        {"entry": "trade-18", "account": "birch:payable:alder", "commodity": "CNY.fen", "quantity": "-88000000"},
        {"entry": "trade-18", "account": "alder:receivable:birch", "commodity": "CNY.fen", "quantity": "88000000"},
    ),
    "lots": (
        {"unit_lot": "cedar-h100", "accelerator": "nvidia-h100-sxm5-80gb", "imported_on": "2023-03-01",
         "imported_from": "US", "entry": "delivery-3"},
    ),
}  # fmt: skip


def template(kind: Kind) -> str:
    """Return a CSV file to start from: each column with its meaning, and rows that may be imported as they stand.

    Examples
    --------
    >>> print(template("lots").splitlines()[-1])
    cedar-h100,nvidia-h100-sxm5-80gb,2023-03-01,US,,,,,,delivery-3
    """
    columns = TABLES[kind]
    meaning = [
        f"# {c.name}: {c.meaning}"
        + (f" In {c.unit}." if c.unit else "")
        + (" Required." if c.required else f" Blank: {c.default}.")
        for c in columns
    ]
    rows = [",".join(example.get(c.name, "") for c in columns) for example in _EXAMPLES[kind]]
    return "\n".join([*meaning, ",".join(c.name for c in columns), *rows, ""])
