"""Who may have what? Answers for kinds of lots and kinds of bids, of which there are few where lots and bids are many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["ANSWER", "Permits"]

I64: TypeAlias = NDArray[np.int64]

ANSWER = {"permitted": pl.Boolean, "outcome": pl.String, "citation": pl.String, "reason": pl.String}


@dataclass(frozen=True, slots=True)
class Permits:
    """The answers to all pairs of lot and bid; memory grows with kinds, not with pairs.

    Attributes
    ----------
    lots, bids : ids, in the scenario's order
    lot_kind : (lots,) kind of each lot: lots of one kind have the same answer to every bid
    bid_kind : (bids,) kind of each bid
    code : (lot kinds, bid kinds) row of ``answers``
    answers : permitted bool, outcome str, citation str, reason str; each answer once
    """

    lots: tuple[str, ...]
    bids: tuple[str, ...]
    lot_kind: I64
    bid_kind: I64
    code: I64
    answers: pl.DataFrame

    @property
    def pairs(self) -> int:
        """How many pairs are answered."""
        return len(self.lots) * len(self.bids)

    def by_pair(self) -> pl.DataFrame:
        """Return one row per lot and bid, lot by lot: as long as there are pairs."""
        lot = np.repeat(np.arange(len(self.lots)), len(self.bids))
        bid = np.tile(np.arange(len(self.bids)), len(self.lots))
        return self._rows(lot, bid)

    def by_kind(self) -> pl.DataFrame:
        """Return one row per kind of lot and kind of bid, under the ids of the first lot and the first bid of each."""
        first_lot = np.unique(self.lot_kind, return_index=True)[1]
        first_bid = np.unique(self.bid_kind, return_index=True)[1]
        return self._rows(np.repeat(first_lot, len(first_bid)), np.tile(first_bid, len(first_lot)))

    def _rows(self, lot: I64, bid: I64) -> pl.DataFrame:
        code = self.code[self.lot_kind[lot], self.bid_kind[bid]] if len(lot) else np.zeros(0, dtype=np.int64)
        ids = pl.DataFrame(
            {
                "lot": pl.Series(self.lots, dtype=pl.String)[lot],
                "bid": pl.Series(self.bids, dtype=pl.String)[bid],
            }
        )
        return pl.concat([ids, self.answers[code]], how="horizontal")
