"""Dated export rules as data, and their evaluation: may this act be done, and which paragraph says so?

>>> import datetime as dt
>>> from entrepot.catalogue import accelerator
>>> from entrepot.controls import classify
>>> classify(accelerator("nvidia-h20-sxm-96gb")).item_class
'below 3A090'
>>> classify(accelerator("nvidia-h100-sxm5-80gb"), dt.date(2024, 6, 1)).item_class
'3A090.a'

United States law only, as known on `LAW_KNOWN_TO`; not legal advice.
"""

from entrepot.controls.classify import classify, classify_hbm, system_class, z_class
from entrepot.controls.decide import STRICTNESS, decide, decide_many
from entrepot.controls.explain import about, explain
from entrepot.controls.groups import countries, member
from entrepot.controls.law import FIRST_TEXT, LAW_KNOWN_TO, letters
from entrepot.controls.measures import tpp
from entrepot.controls.records import (
    Classification,
    Decision,
    Gate,
    GateAnswer,
    Hbm,
    Involved,
    ItemForm,
    Letter,
    Outcome,
    PartyFacts,
    Provenance,
    Reason,
    ReviewPolicy,
    Role,
    StatedFigures,
    Step,
    Transfer,
    TransferKind,
)
from entrepot.controls.route import Route, decide_route

__all__ = [
    "FIRST_TEXT",
    "LAW_KNOWN_TO",
    "STRICTNESS",
    "Classification",
    "Decision",
    "Gate",
    "GateAnswer",
    "Hbm",
    "Involved",
    "ItemForm",
    "Letter",
    "Outcome",
    "PartyFacts",
    "Provenance",
    "Reason",
    "ReviewPolicy",
    "Role",
    "Route",
    "StatedFigures",
    "Step",
    "Transfer",
    "TransferKind",
    "about",
    "classify",
    "classify_hbm",
    "countries",
    "decide",
    "decide_many",
    "decide_route",
    "explain",
    "letters",
    "member",
    "system_class",
    "tpp",
    "z_class",
]
