"""Who may have what under the law? Every lot against every bid, as kinds of acts, in one call.

::

    lots ──► kinds of lots ──┐
                             ├──► kinds of acts ── one call of the controls' table ──► decisions ──► permits
    bids ──► kinds of bids ──┘

Lots of one kind have the same chip, place and past, and the same is known of their sellers; bids of one kind go to the same
country, and the same is known of their buyers. So a market of 10^5 lots and 10^5 bids asks about kinds, never about its 10^10
pairs.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot.controls.records import Decision, PartyFacts, Provenance, Transfer, TransferKind
from entrepot.controls.table import decide_kinds
from entrepot.market.permits import ANSWER, Permits
from entrepot.scenario.records import Bid, Lot, LotKind, Party, Scenario

__all__ = ["Decided", "decided", "transfer"]

I64: TypeAlias = NDArray[np.int64]

_OWN = (False, "own", "", "the seller and the buyer are the same party")


def transfer(scenario: Scenario, lot: Lot, bid: Bid) -> Transfer:
    """Return the act that serving ``bid`` from ``lot`` would be, with the facts that the law asks about.

    A lease leaves the devices where they are. A sale takes them to the buyer's site: out of the United States it is an
    export, inside one foreign country a transfer, between two a re-export.
    """
    return _Reader(scenario).act(lot, bid)


@dataclass(frozen=True)
class Decided(Mapping[tuple[str, str], Decision]):
    """The decision on each pair of lot id and bid id, nobody trading with itself.

    Attributes
    ----------
    permits : the same as answers for the market
    decisions : (acts,) one for each distinct kind of act
    number : (lot kinds, bid kinds) which of ``decisions``; -1 where seller and buyer are one party
    """

    scenario: Scenario
    permits: Permits
    decisions: tuple[Decision, ...]
    number: I64

    @cached_property
    def _lot(self) -> dict[str, int]:
        return {lot.id: i for i, lot in enumerate(self.scenario.lots)}

    @cached_property
    def _bid(self) -> dict[str, int]:
        return {bid.id: b for b, bid in enumerate(self.scenario.bids)}

    @cached_property
    def _reader(self) -> _Reader:
        return _Reader(self.scenario)

    def __getitem__(self, pair: tuple[str, str]) -> Decision:
        """Return the decision on a pair, with the pair's own act in it."""
        lot, bid = self._lot[pair[0]], self._bid[pair[1]]
        number = int(self.number[self.permits.lot_kind[lot], self.permits.bid_kind[bid]])
        if number < 0:
            raise KeyError(pair)
        act = self._reader.act(self.scenario.lots[lot], self.scenario.bids[bid])
        return replace(self.decisions[number], transfer=act)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs, lot by lot."""
        traded = self.number >= 0
        for i, lot in enumerate(self.scenario.lots):
            allowed = traded[self.permits.lot_kind[i]][self.permits.bid_kind]
            yield from ((lot.id, self.scenario.bids[b].id) for b in np.flatnonzero(allowed))

    def __len__(self) -> int:
        """Return how many pairs there are."""
        lots = np.bincount(self.permits.lot_kind, minlength=len(self.number))
        bids = np.bincount(self.permits.bid_kind, minlength=self.number.shape[1])
        return int(lots @ (self.number >= 0).astype(np.int64) @ bids)


def decided(scenario: Scenario) -> Decided:
    """Decide every pair of lot and bid in one call; each distinct kind of act is decided once."""
    reader = _Reader(scenario)
    sellers, buyers = {x.seller for x in scenario.lots}, {b.buyer for b in scenario.bids}
    # who sells and buys both has a kind of its own: it does not trade with itself
    lot_kind, lots = _kinds(
        (reader.lot_key(x), x.seller if x.seller in buyers else "") for x in scenario.lots
    )
    bid_kind, bids = _kinds((reader.bid_key(b), b.buyer if b.buyer in sellers else "") for b in scenario.bids)
    meet = [
        (i, j)
        for i, x in enumerate(lots)
        for j, b in enumerate(bids)
        if scenario.lots[x].seller != scenario.bids[b].buyer
    ]
    done = decide_kinds([reader.act(scenario.lots[lots[i]], scenario.bids[bids[j]]) for i, j in meet])
    number = np.full((len(lots), len(bids)), -1, dtype=np.int64)
    if meet:
        at = np.array(meet, dtype=np.int64)
        number[at[:, 0], at[:, 1]] = done.kind.to_numpy()
    answers = pl.DataFrame([_OWN, *map(_answer, done.decisions)], schema=ANSWER, orient="row")
    permits = Permits(
        tuple(x.id for x in scenario.lots),
        tuple(b.id for b in scenario.bids),
        lot_kind,
        bid_kind,
        number + 1,
        answers,
    )
    return Decided(scenario, permits, done.decisions, number)


def _answer(decision: Decision) -> tuple[bool, str, str, str]:
    why = "; ".join(r.text for r in decision.reasons if r.outcome is decision.outcome)
    return decision.allowed, decision.outcome.value, "; ".join(decision.citations), why


def _kinds(keys: Iterable[Hashable]) -> tuple[I64, Sequence[int]]:
    """Return the number of each key, in the order in which they appear, and where each appears first."""
    seen: dict[Hashable, int] = {}
    first: list[int] = []
    numbers: list[int] = []
    for place, key in enumerate(keys):
        number = seen.setdefault(key, len(seen))
        if number == len(first):
            first.append(place)
        numbers.append(number)
    return np.array(numbers, dtype=np.int64), first


class _Reader:
    """What an act takes from a scenario: looked up once, not once for each pair."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._past = {
            h.id: Provenance(h.imported_on, h.imported_from, h.authorisation, h.conditions)
            for h in scenario.holdings
        }
        self._origin = {o.id: o.origin for o in scenario.orders}
        self._facts = {party.id: _party(party) for party in scenario.parties.values()}

    def act(self, lot: Lot, bid: Bid) -> Transfer:
        """Return the act of one pair."""
        origin, goes_to = self._from(lot), self._scenario.sites[bid.site].country
        if lot.kind is LotKind.LEASE:
            kind, destination = TransferKind.COMPUTE_LEASE, origin
        elif origin == "US":
            kind, destination = TransferKind.DOMESTIC if goes_to == "US" else TransferKind.EXPORT, goes_to
        else:
            kind, destination = (
                TransferKind.IN_COUNTRY if origin == goes_to else TransferKind.REEXPORT,
                goes_to,
            )
        return Transfer(
            accelerator=lot.accelerator,
            kind=kind,
            origin=origin,
            destination=destination,
            sender=self._facts[lot.seller],
            recipient=self._facts[bid.buyer],
            on=self._scenario.as_of,
            provenance=self._provenance(lot),
        )

    def lot_key(self, lot: Lot) -> Hashable:
        """Return all that `act` takes from a lot, but for who the seller is."""
        seller = replace(self._facts[lot.seller], id="")
        return (lot.accelerator, lot.kind, self._from(lot), self._provenance(lot), seller)

    def bid_key(self, bid: Bid) -> Hashable:
        """Return all that `act` takes from a bid, but for who the buyer is."""
        return (self._scenario.sites[bid.site].country, replace(self._facts[bid.buyer], id=""))

    def _from(self, lot: Lot) -> str:
        ordered = self._origin.get(lot.order) if lot.order is not None else None
        return self._scenario.sites[lot.site].country if ordered is None else ordered

    def _provenance(self, lot: Lot) -> Provenance:
        return self._past.get(lot.holding, Provenance()) if lot.holding is not None else Provenance()


def _party(party: Party) -> PartyFacts:
    return PartyFacts(
        id=party.id,
        headquarters=party.headquarters,
        ultimate_parent_headquarters=party.ultimate_parent_headquarters,
        listings=party.listings,
        military_end_user=party.military_end_user,
        supercomputer_end_use=party.supercomputer_end_use,
        letters=party.letters,
        knowledge_of_violation=party.knowledge_of_violation,
    )
