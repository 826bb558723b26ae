"""Which pairs of lot and bid are permitted, and which answers of the controls say so? Lots against bids, and rulings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entrepot.controls.records import Decision, Reason
from entrepot.report.compare import outcome_words
from entrepot.report.records import Run
from entrepot.report.tables import chip_name, party_short, site_name

__all__ = ["Matrix", "Ruling", "matrix", "rulings"]

_CELLS_MAX = 900
_SEVERITY = ("prohibited", "licence_required", "unknown", "licence_exception", "no_licence_required", "own")
_SHORT = {
    "no_licence_required": "permitted",
    "licence_exception": "exception",
    "licence_required": "licence",
    "own": "own",
}


@dataclass(frozen=True, slots=True)
class Ruling:
    """One distinct answer of the controls, and the pairs of lot and bid that it holds for."""

    number: int
    outcome: str
    words: str
    example: Decision | None
    citation: str
    reason: str
    pairs: tuple[tuple[str, str], ...]

    @property
    def deciding(self) -> tuple[Reason, ...]:
        """Return the reasons that decided, each with its paragraph."""
        decision = self.example
        if decision is None:
            return ()
        return tuple(r for r in decision.reasons if r.outcome is decision.outcome)

    @property
    def grouped(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """Return the pairs as groups of lots that meet the same bids."""
        bids: dict[str, list[str]] = {}
        for lot, bid in self.pairs:
            bids.setdefault(lot, []).append(bid)
        lots: dict[tuple[str, ...], list[str]] = {}
        for lot, of_lot in bids.items():
            lots.setdefault(tuple(of_lot), []).append(lot)
        return tuple((tuple(names), of_lots) for of_lots, names in lots.items())


@dataclass(frozen=True, slots=True)
class Matrix:
    """Lots against bids: which ruling holds for each pair."""

    bids: tuple[tuple[str, str], ...]
    rows: tuple[tuple[str, str, tuple[tuple[str, str, int], ...]], ...]
    grouped: bool


def rulings(run: Run) -> tuple[Ruling, ...]:
    """Return each distinct answer with a number, refusals first."""
    grouped: dict[tuple[object, ...], list[tuple[str, str]]] = {}
    for p in run.permits.iter_rows(named=True):
        pair = (str(p["lot"]), str(p["bid"]))
        d = run.decisions.get(pair)
        told = () if d is None else (d.missing, d.would_change, d.conditions, d.review_policy)
        grouped.setdefault(
            (str(p["outcome"]), str(p["citation"] or ""), str(p["reason"] or ""), told), []
        ).append(pair)

    def rank(key: tuple[object, ...]) -> tuple[int, int, str]:
        place = _SEVERITY.index(str(key[0])) if key[0] in _SEVERITY else _SEVERITY.index("unknown")
        return place, -len(grouped[key]), f"{key[1]} {key[2]}"

    return tuple(
        Ruling(
            number=n,
            outcome=str(key[0]),
            words=outcome_words(str(key[0])),
            example=run.decisions.get(grouped[key][0]),
            citation=str(key[1]),
            reason=str(key[2]),
            pairs=tuple(grouped[key]),
        )
        for n, key in enumerate(sorted(grouped, key=rank), start=1)
    )


def matrix(run: Run, found: Sequence[Ruling]) -> Matrix:
    """Return lots against bids; where there are very many, one row and one column for each class of like orders."""
    of_pair = {pair: (r.outcome, _SHORT.get(r.outcome, r.words), r.number) for r in found for pair in r.pairs}
    book = run.clearing.book
    lots, bids = book.lots.to_dicts(), book.bids.to_dicts()
    grouped = len(lots) * len(bids) > _CELLS_MAX
    lot_rows = _firsts([int(c) for c in book.lot_class]) if grouped else [(i, 1) for i in range(len(lots))]
    bid_rows = _firsts([int(c) for c in book.bid_class]) if grouped else [(i, 1) for i in range(len(bids))]
    rows = []
    for i, n in lot_rows:
        x = lots[i]
        about = (
            chip_name(x["accelerator"]),
            site_name(run, x["site"]),
            x["kind"],
            party_short(run, x["seller"]),
        )
        cells = tuple(of_pair[x["lot"], bids[b]["bid"]] for b, _ in bid_rows)
        rows.append((_more(x["lot"], n), " · ".join(about), cells))
    heads = tuple((_more(bids[b]["bid"], n), party_short(run, bids[b]["buyer"])) for b, n in bid_rows)
    return Matrix(heads, tuple(rows), grouped)


def _more(name: str, n: int) -> str:
    return name if n == 1 else f"{name} and {n - 1} like it"


def _firsts(classes: Sequence[int]) -> list[tuple[int, int]]:
    """Return the first member of each class and how many it has."""
    first: dict[int, int] = {}
    for i, c in enumerate(classes):
        first.setdefault(c, i)
    return [(i, classes.count(c)) for c, i in first.items()]
