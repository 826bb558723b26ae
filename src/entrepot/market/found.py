"""What does an engine hand back? Prices and who got what, in the book's own rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.market.price import Prices
from entrepot.market.split import Placed

__all__ = ["WORK_PRICES", "Found"]

I64: TypeAlias = NDArray[np.int64]

WORK_PRICES: Mapping[str, Any] = MappingProxyType(
    {"bid": pl.String, "period": pl.Int64, "price_micro": pl.Int64}
)


@dataclass(frozen=True, slots=True)
class Found:
    """A clearing that was found, before it is proved.

    Attributes
    ----------
    prices : as published
    placed : who has what
    work : as `Certificate.work_price_micro`: rows of bids that may buy devices
    committed : (lots,) the one quantity of whole-window lots; ``None``: the most that is used in a period
    searched_bound : what a search over orders says that nothing can exceed, micro; ``None`` where none was made
    """

    prices: Prices
    placed: Placed
    work: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=dict(WORK_PRICES)))
    committed: I64 | None = None
    searched_bound: float | None = None
