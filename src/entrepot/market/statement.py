"""What does one party get to hold? Its own part of a clearing in one file, from which it can check its treatment alone.

The file has the party's orders with their salts and paths to the root, the public result, the pools that its bids may use and
why not others, its trades with their permits, its payments, and what it is made whole with and charged. Of others it has the
names and order ids with which the party trades, and nothing else: no ask, limit, quantity or salt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.errors import NotFound
from entrepot.market.canonical import digest
from entrepot.market.dues import dues
from entrepot.market.facts import Facts, facts
from entrepot.market.orders_tree import BID_FIELDS, LOT_FIELDS, leaves, path, salts, tree
from entrepot.market.public import public
from entrepot.market.records import Clearing

__all__ = ["FORMAT", "parties", "statement", "statements"]

FORMAT = "entrepot-statement/1"

Json: TypeAlias = dict[str, Any]
Rows: TypeAlias = dict[str, list[Json]]
I64: TypeAlias = NDArray[np.int64]


def parties(clearing: Clearing) -> list[str]:
    """Return everybody who has an order."""
    return sorted(set(clearing.book.lots["seller"].to_list()) | set(clearing.book.bids["buyer"].to_list()))


def statement(clearing: Clearing, party: str) -> Json:
    """Return one party's statement, as JSON carries it.

    Raises
    ------
    NotFound : the book has no order of that party
    InputError : it was cleared without a salt key
    """
    known = parties(clearing)
    if party not in known:
        raise NotFound("participant", party, known)
    return next(statements(clearing, [party]))


def statements(clearing: Clearing, of: list[str]) -> Iterator[Json]:
    """Return the statements of several parties, one after the other."""
    desk = _Desk(clearing)
    for party in of:
        yield desk.statement(party)


class _Desk:
    """What all statements of a clearing take from it, looked up once."""

    def __init__(self, clearing: Clearing) -> None:
        self.clearing, self.book = clearing, clearing.book
        self.public = public(clearing)
        self.facts: Facts = facts(clearing)
        self.tree = tree(leaves(self.book))
        self.salts = {"lot": salts(self.book, "lot"), "bid": salts(self.book, "bid")}
        self.own = {"lot": _rows(self.book.lots["seller"]), "bid": _rows(self.book.bids["buyer"])}
        self.pool = _pool_of_lots(clearing)
        self.permit = {
            (r["bid_class"], r["lot_class"]): {
                k: r[k] for k in ("permitted", "outcome", "citation", "reason")
            }
            for r in self.book.permits.iter_rows(named=True)
        }
        self.made_whole = _listed(clearing.make_whole, ("amount_minor", "reason"))
        self.fee = _listed(clearing.fees, ("gain_minor", "fee_minor"))
        self.rejected = _listed(clearing.rejected, ("reason", "in_the_money", "quantity"))
        self.dues = {r.pop("party"): r for r in dues(clearing).to_dicts()}
        self.trades: Rows = {}
        for row in clearing.trades.iter_rows(named=True):
            for party in {row["seller"], row["buyer"]}:
                self.trades.setdefault(party, []).append(row)
        self.devices: dict[tuple[str, str], list[list[int | None]]] = {}
        for lot, bid, period, n in clearing.allocation.select("lot", "bid", "period", "devices").iter_rows():
            self.devices.setdefault((lot, bid), []).append([period, n])
        self.lot_row = {name: i for i, name in enumerate(self.book.lots["lot"].to_list())}
        self.bid_row = {name: i for i, name in enumerate(self.book.bids["bid"].to_list())}
        self._goods()

    def _goods(self) -> None:
        """Find the smallest parts and the amount that each pool offers in each period."""
        f, pools = self.facts, len(self.public["pools"])
        periods = self.book.periods.height
        self.first = np.full(pools, -1, dtype=np.int64)
        self.first[self.pool[::-1]] = np.arange(len(self.pool))[::-1]
        none = np.iinfo(np.int64).max
        least = np.full((pools, periods), none, dtype=np.int64)
        lots, t = np.nonzero((f.usable > 0) & ~(f.whole | f.is_sale)[:, None])
        np.minimum.at(least, (self.pool[lots], t), self.book.lots["slice"].to_numpy()[lots])
        self.slice = [[None if n == none else int(n) for n in row] for row in least]
        self.offered = np.zeros((pools, periods))
        np.add.at(self.offered, self.pool, f.usable)
        self.blocks: list[list[int]] = [[] for _ in range(pools)]
        for i in np.flatnonzero(f.is_sale & (f.usable > 0).any(axis=1)):
            self.blocks[self.pool[i]] = sorted(
                {*self.blocks[self.pool[i]], int(self.book.lots["block"][int(i)])}
            )
        bids = self.book.bids
        firm = np.where(bids["one_pool"] & bids["total_mtok"].is_infinite(), bids["min_share"], 0.0)
        self.least = firm[:, None] * self.book.demand

    def statement(self, party: str) -> Json:
        """Return one party's."""
        none = dict.fromkeys(
            ("received_minor", "paid_minor", "made_whole_minor", "fee_minor", "net_minor"), 0
        )
        told: Json = {
            "format": FORMAT,
            "party": party,
            "lots": [self._lot(i) for i in self.own["lot"].get(party, [])],
            "bids": [self._bid(b) for b in self.own["bid"].get(party, [])],
            "trades": [self._trade(row) for row in self.trades.get(party, [])],
            "totals": {**none, **self.dues.get(party, {})},
            "public": self.public,
            "public_sha256": digest(self.public),
        }
        return {**told, "sha256": digest(told)}

    def _order(self, side: str, name: str, row: int) -> Json:
        at = row + (self.book.lots.height if side == "bid" else 0)
        return {
            "salt": self.salts[side][row].hex(),
            "index": at,
            "path": path(self.tree, at),
            "made_whole": self.made_whole.get((side, name)),
            "fee": self.fee.get((side, name)),
            "rejected": self.rejected.get((side, name)),
        }

    def _lot(self, i: int) -> Json:
        lots = self.book.lots
        return {
            **{field: lots[field][i] for field in LOT_FIELDS if field != "seller"},
            "capacity": self.book.capacity[i].tolist(),
            "pool": int(self.pool[i]),
            "committed": int(self.facts.quantity[i]),
            **self._order("lot", lots["lot"][i], i),
        }

    def _bid(self, b: int) -> Json:
        bids, f = self.book.bids, self.facts
        total = bids["total_mtok"][b]
        return {
            **{field: bids[field][b] for field in BID_FIELDS if field != "buyer"},
            "min_share": bids["min_share"][b],
            "total_mtok": None if np.isinf(total) else total,
            "demand": self.book.demand[b].tolist(),
            "factor": None if self.book.factor is None else self.book.factor[b].tolist(),
            "served": f.served[b].tolist(),
            "pools": [self._edge(b, k) for k in range(len(self.public["pools"]))],
            **self._order("bid", bids["bid"][b], b),
        }

    def _edge(self, b: int, k: int) -> Json:
        """Say whether a bid may use a pool, under which paragraph, and what it gets out of it."""
        lot, kind = int(self.first[k]), int(self.book.bid_class[b])
        rate = self._rate(b, lot)
        small = np.flatnonzero((self.least[b] > 0) & (rate * self.offered[k] < self.least[b] * (1 - 1e-9)))
        sale = bool(self.facts.is_sale[lot])
        return {
            "pool": k,
            **self.permit[kind, int(self.book.lot_class[lot])],
            "rate": rate,
            "slice": None if sale or rate <= 0 else self.slice[k],
            "too_small": [] if sale or rate <= 0 else small.tolist(),
            "blocks": self.blocks[k] if sale and rate > 0 else [],
            "residual_micro": int(self.facts.residual[lot]) if sale and rate > 0 else 0,
        }

    def _rate(self, b: int, lot: int) -> float:
        rate = float(self.book.rate[self.book.bid_class[b], self.book.lot_class[lot]])
        if self.book.factor is not None:
            rate *= float(
                self.book.factor[b, self.book.accelerators.index(self.book.lots["accelerator"][lot])]
            )
        return rate

    def _trade(self, row: Json) -> Json:
        lot, bid = self.lot_row[row["lot"]], self.bid_row[row["bid"]]
        permit = self.permit[int(self.book.bid_class[bid]), int(self.book.lot_class[lot])]
        return {
            **row,
            "pool": int(self.pool[lot]),
            "devices": self.devices[row["lot"], row["bid"]],
            "permit": permit,
        }


def _rows(names: pl.Series) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for i, name in enumerate(names.to_list()):
        rows.setdefault(name, []).append(i)
    return rows


def _pool_of_lots(clearing: Clearing) -> I64:
    of = dict(clearing.lot_pool.select("lot", "pool").iter_rows())
    return np.array([of[name] for name in clearing.book.lots["lot"].to_list()], dtype=np.int64)


def _listed(table: pl.DataFrame, columns: tuple[str, ...]) -> dict[tuple[str, str], Json]:
    return {(r["side"], r["order"]): {c: r[c] for c in columns} for r in table.iter_rows(named=True)}
