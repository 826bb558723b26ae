"""What does a user write? Parties, sites, holdings, services, lots, bids, orders: read and validated once, at the door.

>>> from entrepot.scenario import parse_hours
>>> parse_hours("22-2")
(0, 1, 22, 23)
"""

from __future__ import annotations

from entrepot.scenario.codes import countries, currencies, minor_units
from entrepot.scenario.read import read
from entrepot.scenario.records import Scenario
from entrepot.scenario.schema import json_schema, tables_schema
from entrepot.scenario.start import init
from entrepot.scenario.typed import parse_hours

__all__ = [
    "Scenario",
    "countries",
    "currencies",
    "init",
    "json_schema",
    "minor_units",
    "parse_hours",
    "read",
    "tables_schema",
]
