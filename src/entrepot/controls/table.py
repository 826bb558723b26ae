"""How are a million transfers judged in seconds? Each distinct kind of act once, by the same rules as a single one.

::

    rows ── distinct in the facts that decide ──► kinds ── act_of, decide ──► decisions ── joined back ──► rows

A row gets exactly the decision that `decide` gives to its facts. The key is every fact there is, from the fields of
`Transfer` (`facts.key_columns`), so it cannot forget one. All rows that cannot be read are said at once; then nothing is
decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from entrepot.catalogue import accelerator as catalogue_accelerator
from entrepot.catalogue.records import Accelerator
from entrepot.controls.decide import decide
from entrepot.controls.facts import ALIASES, act_of, cells_of, columns, key_columns
from entrepot.controls.identity import decision_id
from entrepot.controls.records import Decision, Transfer
from entrepot.controls.sheet import SHOWN, Sheet, as_text, read_sheet
from entrepot.errors import Fault, InputError, NotFound, nearest

__all__ = ["ANSWERS", "ScreenedTable", "decide_kinds", "screen_file", "screen_sheet", "screen_table"]

_KIND = "_kind"
ANSWERS: Mapping[str, pl.DataType] = {
    "outcome": pl.String(),
    "allowed": pl.Boolean(),
    "item_class": pl.String(),
    "review_policy": pl.String(),
    "codified_outcome": pl.String(),
    "paragraphs": pl.String(),
    "missing": pl.String(),
    "decision_id": pl.String(),
    "law_known_to": pl.Date(),
}


@dataclass(frozen=True, slots=True)
class ScreenedTable:
    """A table with its answers.

    Attributes
    ----------
    rows : the columns that were given, then `ANSWERS`
    kind : (rows,) the number of each row's decision
    decisions : (kinds,) one for each distinct kind of act
    """

    rows: pl.DataFrame
    kind: pl.Series
    decisions: tuple[Decision, ...]

    def decision(self, row: int) -> Decision:
        """Return the whole decision on one row."""
        return self.decisions[int(self.kind[row])]


def screen_file(
    path: str | Path, *, carry: Sequence[str] = (), accelerators: Mapping[str, Accelerator] | None = None
) -> ScreenedTable:
    """Judge every row of a CSV or Parquet file; see `screen_table`."""
    return screen_sheet(read_sheet(path), carry=carry, accelerators=accelerators)


def screen_table(
    frame: pl.DataFrame, *, carry: Sequence[str] = (), accelerators: Mapping[str, Accelerator] | None = None
) -> ScreenedTable:
    """Judge every row of a table of transfers.

    Parameters
    ----------
    frame : columns as `facts.columns` names them, or by the options of ``entrepot check`` (``chip``, ``from``, ``to``); an
        empty cell is not known. Text, dates, booleans and lists of text are read alike.
    carry : columns that are no facts and are kept as they are; ``id`` is always kept
    accelerators : records to look chips up in before the catalogue

    Raises
    ------
    InputError : columns that do not exist, and every row that cannot be read, at most twenty of one sort shown and all
        counted; nothing is decided then
    """
    sheet = Sheet("table", as_text(frame))
    screened = screen_sheet(sheet, carry=carry, accelerators=accelerators)
    answers = screened.rows.select(list(ANSWERS))
    return ScreenedTable(pl.concat([frame, answers], how="horizontal"), screened.kind, screened.decisions)


def decide_kinds(
    acts: Sequence[Transfer], *, accelerators: Mapping[str, Accelerator] | None = None
) -> ScreenedTable:
    """Judge acts that are records already, through the same table: one call, each distinct kind once."""
    known = columns()
    rows = [cells_of(act) for act in acts]
    frame = pl.DataFrame(
        {name: [row.get(name) for row in rows] for name in known}, schema=dict.fromkeys(known, pl.String)
    )
    given = frame.select([s.name for s in frame if s.null_count() < frame.height])
    return screen_sheet(Sheet("acts", given), accelerators=accelerators)


def screen_sheet(
    sheet: Sheet, *, carry: Sequence[str] = (), accelerators: Mapping[str, Accelerator] | None = None
) -> ScreenedTable:
    """Judge every row of a table that has been read; see `screen_table`."""
    given = sheet.rows
    kept = {"id", *carry}
    if taken := sorted(set(given.columns) & (set(ANSWERS) | {_KIND})):
        mend = "Rename it, or screen the table without its former answers."
        raise InputError(
            [
                Fault(f"{sheet.file}:1: {name}", "the answers have a column of this name", mend)
                for name in taken
            ]
        )
    facts = given.drop([c for c in given.columns if c in kept]).rename(
        {
            c: ALIASES[c]
            for c in given.columns
            if c in ALIASES and c not in kept and ALIASES[c] not in given.columns
        }
    )
    _check_columns(sheet.file, facts.columns, carry)
    keys = [c for c in key_columns() if c in facts.columns]
    numbered = _numbered(facts.select(keys))
    kinds = facts.select(keys)[numbered[1]]
    decisions, faulty = _decided(kinds, accelerators or {})
    if faulty:
        raise InputError(_on_rows(sheet, numbered[0], faulty))
    answers = pl.DataFrame([_answer(d) for d in decisions], schema=dict(ANSWERS), orient="row")
    return ScreenedTable(
        pl.concat([given, answers[numbered[0]]], how="horizontal"),
        numbered[0].alias("kind"),
        tuple(decisions),
    )


def _numbered(keys: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Return the number of each row's kind, and the first row of each kind, kinds in the order in which they appear."""
    if not keys.height:
        return pl.Series([], dtype=pl.UInt32), pl.Series([], dtype=pl.UInt32)
    rows = keys.with_row_index("_row")
    first = rows.unique(keys.columns, keep="first", maintain_order=True).with_row_index(_KIND)
    joined = rows.join(
        first.drop("_row"), on=keys.columns, how="left", nulls_equal=True, maintain_order="left"
    )
    return joined[_KIND], first["_row"]


def _decided(
    kinds: pl.DataFrame, accelerators: Mapping[str, Accelerator]
) -> tuple[list[Decision], dict[int, tuple[Fault, ...]]]:
    decisions: list[Decision] = []
    faulty: dict[int, tuple[Fault, ...]] = {}
    for number, cells in enumerate(kinds.iter_rows(named=True)):
        try:
            act = act_of(cells)
            chip = accelerators.get(act.accelerator) or catalogue_accelerator(act.accelerator)
            decisions.append(decide(act, accelerators={act.accelerator: chip}))
        except InputError as error:
            faulty[number] = error.faults
        except NotFound as error:
            near = (
                f"Did you mean {', '.join(error.near)}?"
                if error.near
                else "See: entrepot catalogue list chips."
            )
            faulty[number] = (Fault("accelerator", f"no chip is called {cells['accelerator']!r}", near),)
    return decisions, faulty


def _answer(d: Decision) -> tuple[object, ...]:
    return (
        d.outcome.value,
        d.allowed,
        d.item_class,
        None if d.review_policy is None else d.review_policy.value,
        None if d.codified_outcome is None else d.codified_outcome.value,
        "; ".join(d.citations),
        "; ".join(d.missing) or None,
        decision_id(d),
        d.law_known_to,
    )


def _check_columns(file: str, given: Sequence[str], carry: Sequence[str]) -> None:
    known = columns()
    faults = []
    for name in given:
        if name not in known:
            near = nearest(name, [*known, *ALIASES])
            mend = f"Did you mean {', '.join(near)}? " if near else ""
            faults.append(
                Fault(
                    f"{file}:1: {name}",
                    "there is no such fact",
                    f"{mend}Keep what is no fact with --carry {name}.",
                )
            )
    if "accelerator" not in given or "on" not in given:
        lacking = [n for n in ("accelerator", "on") if n not in given]
        faults.append(
            Fault(
                f"{file}:1",
                f"no column {' and no column '.join(lacking)}",
                "Name the chip and the day of each act.",
            )
        )
    faults += [
        Fault(f"{file}:1: {name}", "a fact cannot be carried unread", "Take it out of --carry.")
        for name in carry
        if name in known or name in ALIASES
    ]
    if faults:
        raise InputError(faults)


def _on_rows(sheet: Sheet, kind: pl.Series, faulty: Mapping[int, tuple[Fault, ...]]) -> list[Fault]:
    """Return one fault per row and column; of those that say the same, the first twenty and how many more there are."""
    alike: dict[tuple[str, str, str], list[int]] = {}
    numbers = pl.Series(list(faulty), dtype=kind.dtype)
    wrong = pl.DataFrame({_KIND: kind}).with_row_index("_row").filter(pl.col(_KIND).is_in(numbers.implode()))
    rows_of = {int(k): rows for k, rows in wrong.group_by(_KIND, maintain_order=True).agg("_row").iter_rows()}
    for number, faults in faulty.items():
        for fault in faults:
            alike.setdefault((fault.where, fault.what, fault.mend), []).extend(rows_of[number])
    shown: list[tuple[int, str, str, str]] = []
    more: list[Fault] = []
    for (where, what, mend), rows in alike.items():
        first = sorted(rows)
        shown += [(row, where, what, mend) for row in first[:SHOWN]]
        if len(first) > SHOWN:
            more.append(
                Fault(
                    f"{sheet.file}: {where}",
                    f"{what}, in {len(first) - SHOWN:,} rows more",
                    "Mend them alike.",
                )
            )
    places = sheet.places([row for row, *_ in shown])
    said = [Fault(f"{places[row]}: {where}", what, mend) for row, where, what, mend in sorted(shown)]
    limit = 5 * SHOWN
    if len(said) > limit:
        more.append(
            Fault(sheet.file, f"{len(said) - limit:,} faults more of other sorts", "Mend these first.")
        )
    return [*said[:limit], *more]
