"""Which columns does each table of a scenario have? One table of name, type, unit, default and meaning.

The reader, ``schemas/tables.schema.json`` and the page ``docs/scenario.md`` all rest on this one table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "DEVICES_MAX",
    "FACTOR_MAX",
    "ID_PATTERN",
    "KINDS",
    "PRICE_MAX",
    "REQUIRED_TABLES",
    "TABLES",
    "TOTAL_MINOR_MAX",
    "Column",
    "ColumnType",
]

ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$"
DEVICES_MAX = 10**8  # more devices than were ever made of any accelerator: a slip of the pen
PRICE_MAX = 10**10  # of one device or of one Mtok, in the currency
FACTOR_MAX = 100.0  # of a private yield over the estimated rate: more is a slip of the pen
TOTAL_MINOR_MAX = 10**15  # quantity x price of one row, in minor units: it must stay exact everywhere

ColumnType = Literal[
    "id", "name", "country", "devices", "block", "price", "share", "factor", "date", "boundary", "hours", "flag", "kind",
    "words", "countries", "kinds", "text",
]  # fmt: skip

KINDS = ("lease", "sale")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what is written there, in which unit, what a blank means.

    ``default`` ``None``: the field must be written. ``word`` is the one word that may stand where a number is expected.
    """

    name: str
    type: ColumnType
    unit: str
    default: str | None
    meaning: str
    word: str = ""

    @property
    def required(self) -> bool:
        """Whether the column and each of its fields must be written."""
        return self.default is None


_NOTE = Column("note", "text", "", "empty", "Anything that a reader should know; shown, never evaluated.")

_GROUP = Column(
    "group", "text", "", "none",
    "Exclusive group: at most one lot, or one bid, of the group is taken. Alternatives are rows of one group.",
)  # fmt: skip
_WAITS = Column(
    "waits_for", "text", "", "none",
    "Licence that it waits for: offered only when `granted` in scenario.toml names it.",
)  # fmt: skip

TABLES: Mapping[str, tuple[Column, ...]] = {
    "holdings": (
        Column("id", "id", "", None, "Name of the holding, used by lots."),
        Column("party", "name", "", None, "The owner: the id of a party."),
        Column("accelerator", "name", "", None, "The product: an id of the catalogue."),
        Column("site", "name", "", None, "Where the devices stand: the id of a site."),
        Column("quantity", "devices", "devices", None, "Devices owned; a variant may override it."),
        Column("imported_on", "date", "", "unknown", "Day on which the devices came into the country."),
        Column("imported_from", "country", "ISO 3166-1", "unknown", "Country from which they were exported."),
        Column(
            "authorisation", "text", "", "unknown",
            "Under what they were exported: `no licence required`, or the number of a licence or exception.",
        ),
        Column(
            "conditions", "words", "", "none",
            "Conditions of that authorisation that bind the holder; several are separated by `;`.",
        ),
        _NOTE,
    ),
    "lots": (
        Column("id", "id", "", None, "Name of the lot; differs from the ids of orders, which make lots too."),
        Column("seller", "name", "", "the holding's party", "Who offers: the party that owns the holding."),
        Column("holding", "name", "", None, "What the devices are taken from: the id of a holding."),
        Column("kind", "kind", "", None, "`lease` (the use of devices in a window) or `sale` (the devices)."),
        Column(
            "quantity", "devices", "devices", None,
            "Devices offered, or `surplus`: all that the holder's own need and policy leave.", word="surplus",
        ),
        Column("block", "block", "devices", "8", "Smallest unit that is let or sold: a node."),
        Column("ask", "price", "currency/device-hour or currency/device", None,
               "Least price: per device-hour for a lease, per device for a sale."),
        Column("start", "boundary", "", "start of the horizon", "First day of the window, or day of delivery."),
        Column("end", "boundary", "", "end of the horizon",
               "Day after the window's last; a sale has no end."),
        Column("hours", "hours", "hours of the day, UTC", "0-24",
               "Hours in which a lease is offered: `8-20`; `22-6` runs over midnight; several separated by `;`."),
        Column("whole", "flag", "", "false",
               "`true`: one quantity through the whole window or nothing. A sale is always whole."),
        Column("min_fill", "devices", "devices", "0",
               "Least number of devices that is let in a period, or sold; less is refused."),
        Column("all_or_none", "flag", "", "false", "`true`: all devices of a period, or of the sale, or none."),
        _GROUP,
        _WAITS,
        _NOTE,
    ),
    "bids": (
        Column("id", "id", "", None, "Name of the bid."),
        Column("buyer", "name", "", None, "Who wants the work: the party of the service."),
        Column("service", "name", "", None, "The work that is wanted: the id of a service."),
        Column(
            "share", "share", "1", None,
            "Share of the service's demand, above 0 and at most 1; or `unserved`: what the buyer's own devices do not "
            "carry.", word="unserved",
        ),
        Column("limit_per_mtok", "price", "currency/Mtok", None,
               "Highest price for one Mtok: 10^6 output tokens of the service's mix with the input that they bring."),
        Column("site", "name", "", None, "Where the buyer takes devices that it buys: the id of a site."),
        Column("accelerators", "words", "", "any", "Products that are acceptable; several separated by `;`."),
        Column("countries", "countries", "ISO 3166-1", "any",
               "Countries in which the work may run; several separated by `;`."),
        Column("kinds", "kinds", "", "any", "`lease`, `sale`, or both separated by `;`."),
        Column("start", "boundary", "", "start of the horizon", "First day on which the work is wanted."),
        Column("end", "boundary", "", "end of the horizon", "Day after the last."),
        Column("starts", "words", "", "none",
               "Other first days on which it may begin instead, as long as it is; several separated by `;`. "
               "At most one of them is taken."),
        Column("sites", "words", "", "any", "Sites at which leased work may run; several separated by `;`."),
        Column("min_share", "share", "1", "none",
               "Least share of the work of a period (of a term: of all of it) that is accepted; less is refused."),
        Column("all_or_none", "flag", "", "false", "`true`: all the work of a period, or of a term, or none."),
        Column("one_pool", "flag", "", "false", "`true`: all the work of a period from one pool."),
        Column("term", "flag", "", "false", "`true`: one fixed mix of pools through the whole window."),
        Column("total_mtok", "price", "Mtok", "by period",
               "Work wanted in total by the end of the window; the share then is the most in any hour."),
        _GROUP,
        _NOTE,
    ),
    "orders": (
        Column("id", "id", "", None, "Name of the order; it becomes a sale lot of the same name."),
        Column("vendor", "name", "", None, "Who delivers: the id of a party."),
        Column("accelerator", "name", "", None, "The product: an id of the catalogue."),
        Column("origin", "country", "ISO 3166-1", None, "Country from which the vendor ships."),
        Column("quantity", "devices", "devices", None, "Devices on order."),
        Column("block", "block", "devices", "8", "Smallest unit that is sold: a node."),
        Column("price", "price", "currency/device", None, "Price of one device."),
        Column("ordered_on", "date", "", None, "Day of the order."),
        Column("deliverable_from", "date", "", None,
               "First day on which the vendor can deliver; the lot starts with the next step of the horizon."),
        _WAITS,
        _NOTE,
    ),
    "yields": (
        Column("bid", "name", "", None, "Whose yield it is: the id of a bid; its other starts have it too."),
        Column("accelerator", "name", "", None, "The product: an id of the catalogue."),
        Column("factor", "factor", "1", None,
               "Work that the bid gets out of one device, over the estimated rate; above 0 and at most 100."),
        Column("source", "text", "", None, "Where the figure comes from: who measured it, when, how."),
    ),
}  # fmt: skip

REQUIRED_TABLES = ("holdings", "lots", "bids")  # orders and yields may be left out
