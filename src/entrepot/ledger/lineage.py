"""Where did these units come from, and who has them now? A lot's way from the vendor to its holders, as a tree.

Each branch is an account that got units of the lot, under the account that it got them from; lots whose papers changed
hang under the lot that they were split from. Only what moved for good is shown: a lease does not change whose units they
are.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import polars as pl
from sqlalchemy import select

from entrepot.ledger import schema
from entrepot.ledger.journal import read
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.records import Entry, UnitLot

__all__ = ["lineage"]

_COLUMNS = {
    "tree": pl.String(),
    "depth": pl.Int64(),
    "unit_lot": pl.String(),
    "account": pl.String(),
    "got": pl.Int64(),
    "now": pl.Int64(),
    "at": pl.Datetime("us", "UTC"),
    "entry": pl.String(),
    "cause": pl.String(),
}


@dataclass(slots=True)
class _Branch:
    account: str
    got: int = 0
    entry: Entry | None = None
    children: dict[str, _Branch] = field(default_factory=dict)


def lineage(ledger: Ledger, unit_lot: str) -> pl.DataFrame:
    """Return a lot's way from where it came to where it is, with the lots that it comes from and that came of it.

    Parameters
    ----------
    unit_lot : any lot of the family

    Returns
    -------
    tree (as it is drawn), depth, unit_lot, account (empty in a lot's own row), got i64 (units that came there), now i64
    (units that are there), at, entry and cause of the first of them

    Raises
    ------
    NotFound
        When there is no such lot.
    """
    root = ledger.unit_lot(unit_lot)
    while root.parent is not None:
        root = ledger.unit_lot(root.parent)
    rows: list[tuple[object, ...]] = []
    _grow(ledger, root, "", "", 0, rows)
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


def _grow(
    ledger: Ledger, lot: UnitLot, lead: str, below: str, depth: int, rows: list[tuple[object, ...]]
) -> None:
    papers = [
        f"imported {lot.imported_on or 'on an unknown day'} from {lot.imported_from or 'an unknown country'}"
    ]
    papers.append(lot.authorisation or "authorisation unknown")
    papers += lot.conditions
    told = f"{lead}{lot.id}: {lot.accelerator}, {'; '.join(papers)}"
    rows.append((told, depth, lot.id, "", None, None, None, "", ""))
    origins, now = _branches(ledger, lot.id)
    u = schema.unit_lots.c
    with ledger.reading() as (connection, _):
        ids = list(
            connection.execute(select(u.id).where(u.parent == lot.id).order_by(u.entry, u.line)).scalars()
        )
    last = len(origins) + len(ids) - 1
    for at, branch in enumerate(origins):
        _draw(branch, lot.id, now, below, depth + 1, rows, last=at == last)
    for at, child in enumerate(ids, start=len(origins)):
        mark, more = ("└─ ", "   ") if at == last else ("├─ ", "│  ")
        _grow(ledger, ledger.unit_lot(child), f"{below}{mark}", f"{below}{more}", depth + 1, rows)


def _draw(
    branch: _Branch,
    lot: str,
    now: dict[str, int],
    below: str,
    depth: int,
    rows: list[tuple[object, ...]],
    *,
    last: bool,
) -> None:
    mark, more = ("└─ ", "   ") if last else ("├─ ", "│  ")
    entry = branch.entry
    has = now.get(branch.account, 0)
    told = (
        f"{below}{mark}{branch.account}: {branch.got} came"
        if branch.got
        else f"{below}{mark}out of {branch.account}"
    )
    if has > 0:
        told += f", {has} there now"
    rows.append(
        (
            told,
            depth,
            lot,
            branch.account,
            branch.got,
            max(has, 0),
            None if entry is None else entry.at,
            "" if entry is None else entry.id,
            "" if entry is None else entry.cause,
        )
    )
    children = list(branch.children.values())
    for at, child in enumerate(children):
        _draw(child, lot, now, f"{below}{more}", depth + 1, rows, last=at == len(children) - 1)


def _branches(ledger: Ledger, lot: str) -> tuple[list[_Branch], dict[str, int]]:
    """Return the accounts that a lot's units came out of, with where they went; and what each has now."""
    seen: dict[str, _Branch] = {}
    origins: list[_Branch] = []
    now: dict[str, int] = defaultdict(int)
    p = schema.postings.c
    of_lot = select(p.entry).where(p.unit_lot == lot, p.slot == "")
    with ledger.reading() as (connection, name):
        for sealed in read(connection, name, schema.entries.c.seq.in_(of_lot)):
            moves = [x for x in sealed.entry.postings if x.unit_lot == lot and not x.slot]
            for x in moves:
                now[x.account] += x.quantity
            sources = [x for x in moves if x.quantity < 0]
            for x in sources:
                if x.account not in seen:
                    seen[x.account] = _Branch(x.account)
                    origins.append(seen[x.account])
            for x in moves:
                if x.quantity < 0:
                    continue
                if x.account not in seen:
                    parent = seen[sources[0].account] if sources else None
                    seen[x.account] = _Branch(x.account, entry=sealed.entry)
                    (
                        origins.append(seen[x.account])
                        if parent is None
                        else parent.children.update({x.account: seen[x.account]})
                    )
                seen[x.account].got += x.quantity
    return origins, dict(now)
