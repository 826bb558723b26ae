"""How does a result become a page that people read, print and pass on? One HTML file that needs nothing else.

`entrepot.report.tables` and `entrepot.report.compare` hold the same figures as tables, for programs and terminals.
"""

from __future__ import annotations

from entrepot.report.compare import dates_compared, variants_compared
from entrepot.report.html import render, write_report
from entrepot.report.records import Run, Story
from entrepot.report.tables import (
    permits_summary,
    prices_summary,
    trades,
    unserved,
    utilisation,
    who_got_what,
    who_sold_what,
    work_prices,
)

__all__ = [
    "Run",
    "Story",
    "dates_compared",
    "permits_summary",
    "prices_summary",
    "render",
    "trades",
    "unserved",
    "utilisation",
    "variants_compared",
    "who_got_what",
    "who_sold_what",
    "work_prices",
    "write_report",
]
