"""The market whose windows join the periods: leases, terms, totals by a deadline, devices for good.

::

    found = solve_lease(book, goods, watch)      # prices, placed devices, committed quantities

    program.py   the book as blocks of columns          columns.py   what columns take and pay, by prefix sums
    start.py     prices of one period that stands for all    pricing.py   everyone's answer to prices; the bound
    saddle.py    restarted Halpern PDHG                  prices.py    rounds of both
    exact.py     a small market as one linear program     whole.py     whole devices of whole bids             cover.py     the cheapest lots that supply them
    hourly.py    bids by the hour on what is left        engine.py    the path on one page
"""

from __future__ import annotations

from entrepot.market.lease.engine import divisible, solve_lease

__all__ = ["divisible", "solve_lease"]
