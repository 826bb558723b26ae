"""Which chip may go where, on one day? Chips against destinations, for one kind of act between parties without a blemish.

Countries that no text tells apart on that day are asked once; then columns, and rows, that answer alike are drawn as one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

from entrepot.catalogue.records import Accelerator
from entrepot.controls import _toml, groups, law
from entrepot.controls.records import (
    Decision,
    Outcome,
    PartyFacts,
    Provenance,
    ReviewPolicy,
    Transfer,
    TransferKind,
)
from entrepot.controls.table import decide_kinds

__all__ = ["ASSUMED", "Answer", "Axis", "Matrix", "alike_countries", "matrix"]

ASSUMED = (
    "Both parties are screened and on no list, no listed party owns them, they are no military end users, and neither a "
    "supercomputer end use nor a violation is known; the sender has received no letter; units that are abroad came lawfully."
)
_RULE_FILES = ("requirements", "exceptions", "review", "letters", "gates", "items")


@dataclass(frozen=True, slots=True)
class Axis:
    """One row or one column: members that answer alike, with names to show."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    item_class: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One distinct answer of the picture, numbered from 1; ``missing`` is what one or another of its cells lacks."""

    number: int
    outcome: Outcome
    policy: ReviewPolicy | None
    paragraphs: tuple[str, ...]
    missing: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """The picture as data.

    Attributes
    ----------
    cells : (rows, columns) number of the answer; 0 where there is no such act (an export to where the chip is)
    headquarters : of the recipient; ``None`` = where the chip goes
    """

    on: dt.date
    kind: TransferKind
    origin: str | None
    headquarters: str | None
    rows: tuple[Axis, ...]
    columns: tuple[Axis, ...]
    cells: tuple[tuple[int, ...], ...]
    answers: tuple[Answer, ...]
    law_known_to: dt.date

    def long(self) -> Iterator[dict[str, object]]:
        """Yield one row for each chip and destination, as a table."""
        for row, cells in zip(self.rows, self.cells, strict=True):
            for column, number in zip(self.columns, cells, strict=True):
                answer = self.answers[number - 1] if number else None
                for chip in row.ids:
                    for place in column.ids:
                        yield {
                            "accelerator": chip,
                            "destination": place,
                            "item_class": row.item_class,
                            "outcome": answer.outcome if answer else None,
                            "review_policy": answer.policy if answer else None,
                            "paragraphs": answer.paragraphs if answer else (),
                            "missing": answer.missing if answer else (),
                            "on": self.on,
                            "law_known_to": self.law_known_to,
                        }


def matrix(
    chips: Sequence[Accelerator],
    countries: Sequence[str] | None,
    on: dt.date,
    *,
    kind: TransferKind = TransferKind.EXPORT,
    origin: str | None = None,
    headquarters: str | None = None,
    merge_chips: bool = True,
) -> Matrix:
    """Judge every chip for every destination.

    Parameters
    ----------
    countries : drawn one by one; ``None`` = all countries, those that answer alike in one column
    origin : where a re-export comes from; an export comes from the United States, and other acts stay where they are
    headquarters : of the recipient, wherever the chip goes; ``None`` = in the country of destination
    merge_chips : draw chips of one class that answer alike in one row
    """
    asked = [(c,) for c in countries] if countries is not None else alike_countries(on)
    acts: list[Transfer] = []
    at: dict[tuple[int, int], int] = {}
    for i, chip in enumerate(chips):
        for j, places in enumerate(asked):
            act = _act(chip.id, places[0], on, kind, origin, headquarters)
            if act is not None:
                at[i, j] = len(acts)
                acts.append(act)
    done = decide_kinds(acts, accelerators={chip.id: chip for chip in chips})
    decisions = {where: done.decision(row) for where, row in at.items()}
    answers: dict[tuple[object, ...], Answer] = {}
    cells = [[_answer(decisions.get((i, j)), answers) for j in range(len(asked))] for i in range(len(chips))]
    classes = [
        next((decisions[i, j].item_class for j in range(len(asked)) if (i, j) in decisions), "")
        for i in range(len(chips))
    ]
    columns, kept = _columns(asked, cells, merge=countries is None)
    narrow = [[row[j] for j in kept] for row in cells]
    rows, at_rows = _rows(chips, classes, narrow, merge=merge_chips)
    ranked, renumbered = _ranked(answers, [narrow[i] for i in at_rows])
    drawn = tuple(tuple(renumbered.get(n, 0) for n in narrow[i]) for i in at_rows)
    known = done.decisions[0].law_known_to if done.decisions else on
    return Matrix(on, kind, origin, headquarters, rows, columns, drawn, ranked, known)


def alike_countries(on: dt.date) -> list[tuple[str, ...]]:
    """Return all countries, those together that no text tells apart on a day, or told apart on an earlier one.

    Two countries are alike if they were in the same groups on every day on which something changed (units may have come on
    any of them), and if neither is named in a rule file or they are treated as one.
    """
    days = sorted({day for day in law.turning_days() if day <= on} | {on})
    found: dict[tuple[object, ...], list[str]] = {}
    for code in groups.countries():
        own = groups.ear_country(code)
        named = own if own in _named() or code in _named() else None
        member = tuple(groups.member(code, [group], day) for group in groups.all_groups() for day in days)
        found.setdefault((member, named), []).append(code)
    return [tuple(codes) for codes in found.values()]


@cache
def _named() -> frozenset[str]:
    """Return every country that a rule file names by its code."""
    texts = {text for name in _RULE_FILES for text in _texts(_toml.read(name))}
    return frozenset(texts & set(groups.countries())) | {"US"}


def _texts(held: object) -> Iterator[str]:
    if isinstance(held, str):
        yield held
    elif isinstance(held, dict):
        for part in held.values():
            yield from _texts(part)
    elif isinstance(held, list):
        for part in held:
            yield from _texts(part)


def _act(
    chip: str, place: str, on: dt.date, kind: TransferKind, origin: str | None, headquarters: str | None
) -> Transfer | None:
    """Return the act of one cell, or ``None`` where there is no such act."""
    home = groups.ear_country(place)
    if kind is TransferKind.EXPORT:
        start = "US"
    elif kind is TransferKind.REEXPORT:
        start = origin or "SG"
    else:
        start = place
    same = groups.ear_country(start) == home
    moves = kind in {TransferKind.EXPORT, TransferKind.REEXPORT}
    if (
        (moves and same)
        or (kind is TransferKind.IN_COUNTRY and home == "US")
        or (kind is TransferKind.DOMESTIC and home != "US")
    ):
        return None
    past = Provenance() if start == "US" else Provenance(authorisation="lawful")
    return Transfer(
        chip,
        kind,
        start,
        place,
        _party("sender", start),
        _party("recipient", headquarters or place),
        on,
        past,
    )


def _party(role: str, seat: str) -> PartyFacts:
    return PartyFacts(
        role,
        seat,
        seat,
        (),
        military_end_user=False,
        supercomputer_end_use=False,
        knowledge_of_violation=False,
        listed_owners=(),
    )


def _answer(decision: Decision | None, answers: dict[tuple[object, ...], Answer]) -> int:
    if decision is None:
        return 0
    d = decision
    key = (d.outcome, d.review_policy, d.citations)
    before = answers.get(key)
    text = next((r.text for r in d.reasons if r.outcome is d.outcome), "")
    if before is None:
        answers[key] = Answer(len(answers) + 1, d.outcome, d.review_policy, d.citations, d.missing, text)
    elif not set(d.missing) <= set(before.missing):
        answers[key] = replace(before, missing=tuple(sorted({*before.missing, *d.missing})))
    return answers[key].number


def _columns(
    asked: Sequence[tuple[str, ...]], cells: Sequence[Sequence[int]], *, merge: bool
) -> tuple[tuple[Axis, ...], list[int]]:
    by_answers: dict[object, list[int]] = {}
    for j in range(len(asked)):
        by_answers.setdefault(tuple(row[j] for row in cells) if merge else j, []).append(j)
    columns, kept = [], []
    for members in by_answers.values():
        if merge and not any(row[j] for row in cells for j in members):
            continue  # where there is no such act
        codes = sorted((c for j in members for c in asked[j]), key=lambda c: groups.countries()[c])
        codes.sort(key=lambda c: groups.ear_country(c) != "CN")  # China first where it is one of many
        columns.append(Axis(tuple(codes), tuple(groups.countries()[c] for c in codes)))
        kept.append(members[0])
    if merge:
        order = sorted(
            range(len(columns)),
            key=lambda k: ("CN" not in columns[k].ids, len(columns[k].ids), columns[k].names),
        )
        return tuple(columns[k] for k in order), [kept[k] for k in order]
    return tuple(columns), kept


def _rows(
    chips: Sequence[Accelerator], classes: Sequence[str], cells: Sequence[Sequence[int]], *, merge: bool
) -> tuple[tuple[Axis, ...], list[int]]:
    alike: dict[object, list[int]] = {}
    for i, chip in enumerate(chips):
        alike.setdefault((classes[i], tuple(cells[i])) if merge else chip.id, []).append(i)
    rows = [
        (
            members[0],
            Axis(
                tuple(chips[i].id for i in members),
                tuple(chips[i].name for i in members),
                classes[members[0]],
            ),
        )
        for members in alike.values()
    ]
    if merge:
        rows.sort(key=lambda row: (row[1].item_class, -len(row[1].ids)))
    return tuple(axis for _, axis in rows), [i for i, _ in rows]


def _ranked(
    answers: dict[tuple[object, ...], Answer], cells: Sequence[Sequence[int]]
) -> tuple[tuple[Answer, ...], dict[int, int]]:
    """Return the answers that are drawn, numbered in the order in which they appear."""
    order = [n for n in dict.fromkeys(n for row in cells for n in row) if n]
    by_number = {a.number: a for a in answers.values()}
    new = {old: k for k, old in enumerate(order, start=1)}
    ranked = tuple(
        Answer(new[n], a.outcome, a.policy, a.paragraphs, a.missing, a.text)
        for n in order
        for a in (by_number[n],)
    )
    return ranked, new
