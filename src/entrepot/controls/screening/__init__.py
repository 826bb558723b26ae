"""Does a party stand on a restricted-party list? Names against a snapshot of the Consolidated Screening List.

>>> import datetime as dt
>>> from entrepot.controls.screening import PartyName, screen_parties, snapshot_of, synthetic
>>> listed = synthetic.entries(200)
>>> snapshot = snapshot_of(listed, made_on=dt.date(2026, 9, 20))
>>> asked = [PartyName(str(listed[-1]["name"]).upper()), PartyName("Quiet Harbour Vineyards")]
>>> found = screen_parties(asked, snapshot, on=dt.date(2026, 9, 21))
>>> [(one.status.value, one.listings) for one in found]
[('to review', None), ('no candidate', ())]

No list is shipped; a candidate is ruled on by a person. Not legal advice.
"""

from entrepot.controls.screening.csl import MAX_AGE_DAYS, fresh, read_list, snapshot_of
from entrepot.controls.screening.match import Index
from entrepot.controls.screening.records import (
    Address,
    Candidate,
    Entry,
    Evidence,
    PartyName,
    Review,
    Ruling,
    Screened,
    ScreenStatus,
    Snapshot,
)
from entrepot.controls.screening.review import read_reviews, to_review
from entrepot.controls.screening.screen import NEAR, THRESHOLD, screen_parties

__all__ = [
    "MAX_AGE_DAYS",
    "NEAR",
    "THRESHOLD",
    "Address",
    "Candidate",
    "Entry",
    "Evidence",
    "Index",
    "PartyName",
    "Review",
    "Ruling",
    "ScreenStatus",
    "Screened",
    "Snapshot",
    "fresh",
    "read_list",
    "read_reviews",
    "screen_parties",
    "snapshot_of",
    "to_review",
]
