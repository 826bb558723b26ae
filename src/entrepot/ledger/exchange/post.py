"""May a file's entries go into these books? All of them or none; what stands in the way is told with its row.

A retry changes nothing: an entry that is there with the same content counts as brought in. The same id with another
content is a `Conflict` that names the row and the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from entrepot.errors import Conflict, Fault, InputError, nearest
from entrepot.ledger import journal, schema
from entrepot.ledger.exchange.incoming import Incoming
from entrepot.ledger.guards import MEANING
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.records import Entry, Sealed

__all__ = ["Brought", "bring_in"]


@dataclass(frozen=True, slots=True)
class Brought:
    """What an import did, or (``dry_run``) would do."""

    file: str
    new: int
    there: int
    postings: int
    dry_run: bool

    def __str__(self) -> str:
        """Return it as a person would report it."""
        did = "would be posted" if self.dry_run else "posted"
        there = f", {self.there:,} were there already" if self.there else ""
        return f"{self.file}: {self.new:,} entries with {self.postings:,} postings {did}{there}."


class _Undo(Exception):  # noqa: N818 - not an error: the way out of a transaction that is not to be kept
    pass


def bring_in(ledger: Ledger, incoming: Incoming, *, dry_run: bool = False) -> Brought:
    """Post a file's entries, all of them or none.

    Parameters
    ----------
    dry_run : do everything, and keep nothing

    Raises
    ------
    InputError
        When a lot is not known or of another accelerator; with every such row.
    Conflict
        When an id is there with another content, or the books cannot bear an entry; with every such row.
    """
    there = _stored(ledger, incoming)
    differing = [
        f"{incoming.where(e.id)}: entry {e.id!r} is in the ledger with another {_difference(there[e.id].entry, e)}"
        for e in incoming.entries
        if e.id in there and there[e.id].entry != e
    ]
    if differing:
        mend = "Give the new entry an id of its own, or reverse the old one; nothing was written."
        raise Conflict("\n".join([*differing, f"  {mend}"]))
    _know_lots(ledger, incoming)
    new = [entry for entry in incoming.entries if entry.id not in there]
    brought = Brought(
        incoming.file, len(new), len(there), sum(len(entry.postings) for entry in new), dry_run=dry_run
    )
    if dry_run:
        refused = _rehearsed(ledger, incoming, new)
        if refused:
            raise _refusal(refused)
        return brought
    try:
        ledger.post_all(incoming.entries)
    except Conflict as error:
        refused = _rehearsed(ledger, incoming, new)
        if not refused:
            raise
        raise _refusal(refused) from error
    return brought


def _refusal(refused: list[str]) -> Conflict:
    return Conflict(
        "\n".join(
            [*refused, "  Nothing was written. Mend the rows; a later one may only follow from an earlier."]
        )
    )


def _stored(ledger: Ledger, incoming: Incoming) -> Mapping[str, Sealed]:
    storage = ledger._storage
    with storage.reading() as connection:
        return journal.stored(connection, storage.name, [entry.id for entry in incoming.entries])


def _difference(there: Entry, new: Entry) -> str:
    """Say in which field two entries of one id differ first."""
    for name in ("at", "reverses", "settles", "expires", "resolves"):
        old, wanted = getattr(there, name), getattr(new, name)
        if old != wanted:
            return f"{name}: {old}, and not {wanted}"
    if there.unit_lots != new.unit_lots:
        return "content: its unit lots have other papers"
    if len(there.postings) != len(new.postings):
        return f"content: {len(there.postings)} postings, and not {len(new.postings)}"
    for old, wanted in zip(there.postings, new.postings, strict=True):
        if old != wanted:
            return f"content: {old.account} {old.quantity:+} {old.commodity}, and not {wanted.account} {wanted.quantity:+}"
    return f"cause: {there.cause}, and not {new.cause}"


def _know_lots(ledger: Ledger, incoming: Incoming) -> None:
    """Check that each lot is known, or brought in by the file before it is moved, and is of the commodity moved."""
    storage = ledger._storage
    with storage.reading() as connection:
        rows = connection.execute(select(schema.unit_lots.c.id, schema.unit_lots.c.accelerator))
        known = {str(row.id): str(row.accelerator) for row in rows}
    in_ledger = frozenset(known)
    faults: list[Fault] = []
    for entry in incoming.entries:
        for lot in entry.unit_lots:
            if lot.id in in_ledger and known[lot.id] != lot.accelerator:
                faults.append(
                    Fault(
                        incoming.where(entry.id),
                        f"lot {lot.id!r} is known with {known[lot.id]}",
                        "Give it another name.",
                    )
                )
            known[lot.id] = lot.accelerator
        for lot_id, commodity in dict.fromkeys(
            (p.unit_lot, p.commodity) for p in entry.postings if p.unit_lot
        ):
            where = f"{incoming.where(entry.id)}: unit_lot"
            if lot_id not in known:
                near = nearest(lot_id, list(known))
                hint = f"Did you mean {near[0]}?" if near else "Give its papers in a table of lots (--lots)."
                faults.append(Fault(where, f"{entry.id!r} moves lot {lot_id!r}, which is not known", hint))
            elif known[lot_id] != commodity:
                what = f"{entry.id!r} moves {commodity} of lot {lot_id!r}, which is {known[lot_id]}"
                faults.append(Fault(where, what, f"Write {known[lot_id]}, or name another lot."))
    if faults:
        raise InputError(faults)


def _rehearsed(ledger: Ledger, incoming: Incoming, entries: list[Entry]) -> list[str]:
    """Post entries and undo it all; return what stood in the way of each that could not be borne, with its row."""
    refused: list[str] = []
    storage = ledger._storage
    try:
        with storage.writing() as connection:
            writer = journal.Writer(connection, storage.name, frozenset())
            for entry in entries:
                mark = (writer.seq, writer.hash, set(writer.learnt))
                step = connection.begin_nested()
                try:
                    writer.append(entry)
                    step.commit()
                except (Conflict, IntegrityError) as error:
                    step.rollback()
                    writer.seq, writer.hash, writer.learnt = mark
                    refused.append(f"{incoming.where(entry.id)}: {_why(error)}")
            raise _Undo  # noqa: TRY301
    except _Undo:
        return refused


def _why(error: Conflict | IntegrityError) -> str:
    if isinstance(error, Conflict):
        return str(error)
    refusal = str(error.orig).removeprefix("entrepot: ").splitlines()[0]
    return f"refused: {MEANING.get(refusal, refusal)}."
