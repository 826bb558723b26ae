"""How are periods cleared that no order ties to another?

period.py    the orders of one period as arrays
prices.py    the divisible optimum and its prices: a linear program of kinds, exact in a box of prices
private.py   the same where every bid has its own yields
publish.py   whole micro-units, the middle where prices are not unique
dive.py      orders that want all or nothing are decided, the others settle around them
place.py     whole orders, and mending at the margin
supply.py    which lots give what is used
branch.py    small markets: a search over the orders near the margin
clear.py     these steps, period by period
"""

from entrepot.market.spot.clear import clear_spot

__all__ = ["clear_spot"]
