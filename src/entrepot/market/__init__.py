"""Who gets what, at which prices, and how does a participant know that it is right?

::

    book = market.book(scenario, rates, permits, capacity, demand)
    clearing = market.clear(book)           # finding
    market.verify(clearing)                 # checking, which shares nothing with finding
    market.verify_participant(clearing, "birch")
    market.write(clearing, folder); market.read(folder)
    market.publish(clearing, folder)        # prices, root and certificate; no order
    told = market.statement(clearing, "birch")
    market.check_statement(told)            # needs nothing but the statement
"""

from entrepot.market.clear import clear
from entrepot.market.depth import depth
from entrepot.market.dues import dues
from entrepot.market.explain import explain, index, mix, price_of_work, supply_demand
from entrepot.market.files import new_key, read, read_key, write
from entrepot.market.from_scenario import book
from entrepot.market.participant import verify_participant
from entrepot.market.public import publish
from entrepot.market.records import Book, Certificate, Clearing
from entrepot.market.statement import parties, statement, statements
from entrepot.market.statement_check import check_statement
from entrepot.market.verify import Verification, verify

__all__ = [
    "Book",
    "Certificate",
    "Clearing",
    "Verification",
    "book",
    "check_statement",
    "clear",
    "depth",
    "dues",
    "explain",
    "index",
    "mix",
    "new_key",
    "parties",
    "price_of_work",
    "publish",
    "read",
    "read_key",
    "statement",
    "statements",
    "supply_demand",
    "verify",
    "verify_participant",
    "write",
]
