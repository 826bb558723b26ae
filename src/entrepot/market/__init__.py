"""Who gets what, at which prices, and how does a participant know that it is right?

::

    book = market.book(scenario, rates, permits, capacity, demand)
    clearing = market.clear(book)           # finding
    market.verify(clearing)                 # checking, which shares nothing with finding
    market.verify_participant(clearing, "birch")
    market.write(clearing, folder); market.read(folder)
"""

from entrepot.market.clear import clear
from entrepot.market.depth import depth
from entrepot.market.dues import dues
from entrepot.market.explain import explain, index, mix, price_of_work, supply_demand
from entrepot.market.files import read, write
from entrepot.market.from_scenario import book
from entrepot.market.participant import verify_participant
from entrepot.market.records import Book, Certificate, Clearing
from entrepot.market.verify import Verification, verify

__all__ = [
    "Book",
    "Certificate",
    "Clearing",
    "Verification",
    "book",
    "clear",
    "depth",
    "dues",
    "explain",
    "index",
    "mix",
    "price_of_work",
    "read",
    "supply_demand",
    "verify",
    "verify_participant",
    "write",
]
