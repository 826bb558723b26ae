"""The market in which devices change hands for good, beside leases, terms and totals.

::

    found = clear_sale(book, goods, watch)       # prices, placed devices, what a Mtok is worth to whoever may buy

    own.py       what owning does for a bid, under its rules      buy.py       who buys how many whole slices, from which lots
    margins.py   what a Mtok costs whoever may buy                search.py    a small market as one mixed-integer program
    engine.py    the path on one page
"""

from __future__ import annotations

from entrepot.market.sale.engine import clear_sale

__all__ = ["clear_sale"]
