"""What does a holder need itself, and what may it offer?"""

from __future__ import annotations

from entrepot.planning.offer import demand, offered
from entrepot.planning.records import Need, Surplus
from entrepot.planning.surplus import need, surplus

__all__ = ["Need", "Surplus", "demand", "need", "offered", "surplus"]
