"""Who holds what, where did each unit come from, who owes what? The open ledger: post, reverse, read, audit.

Entries are posted whole or not at all, in one order for all writers. Whatever is read is checked as it is read: an entry
against its hash, balances against the sum of the postings.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType

import polars as pl
from sqlalchemy import Connection, select

from entrepot.errors import Conflict, NotFound
from entrepot.ledger import journal, schema, tables
from entrepot.ledger.audit import audited
from entrepot.ledger.records import Audit, Entry, Sealed, UnitLot
from entrepot.ledger.sqlite import open_sqlite
from entrepot.ledger.storage import Storage, damaged, is_url

__all__ = ["Ledger"]


class Ledger:
    """An open ledger. Use `Ledger.open`, as a context manager or with `close`.

    Examples
    --------
    >>> from entrepot.ledger import Entry, Ledger, Posting, UnitLot
    >>> lot = UnitLot("alder-h20", "nvidia-h20-sxm-96gb", imported_from="US")
    >>> at = dt.datetime(2025, 5, 15, tzinfo=dt.UTC)
    >>> with Ledger.open(":memory:") as books:
    ...     _ = books.post(Entry("opening", at, "64 devices on the shelf", (
    ...         Posting("alder:lf-1:available", "nvidia-h20-sxm-96gb", +64, "alder-h20"),
    ...         Posting("alder:opening", "nvidia-h20-sxm-96gb", -64, "alder-h20"),
    ...     ), unit_lots=(lot,)))
    ...     books.balance("alder:lf-1:available", "nvidia-h20-sxm-96gb", "alder-h20"), books.audit().ok
    (64, True)
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: frozenset[str] = frozenset()

    @staticmethod
    def open(path: Path | str = ":memory:", *, create: bool = True) -> Ledger:
        """Open the ledger at a path, one in memory, or one in a PostgreSQL database.

        A ledger of an older format is brought to today's, whole or not at all.

        Parameters
        ----------
        path : of a SQLite file; ``:memory:``; or ``postgresql+psycopg://user@host/database``
        create : make the ledger where there is none

        Raises
        ------
        InputError
            When it is damaged, is no ledger, was written by a later entrepot, or is not there and may not be made.
        """
        if is_url(path):
            from entrepot.ledger.postgres import open_postgres  # noqa: PLC0415 - an optional extra

            return Ledger(open_postgres(str(path), create=create))
        return Ledger(open_sqlite(path, create=create))

    def close(self) -> None:
        """Let go of the file."""
        self._storage.engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- writing -------------------------------------------------------------------------------------------------

    def post(self, entry: Entry) -> Sealed:
        """Post one entry; see `post_all`."""
        return self.post_all((entry,))[0]

    def post_all(
        self,
        entries: Iterable[Entry],
        *,
        once: str = "",
        gate: Callable[[Connection], None] | None = None,
    ) -> tuple[Sealed, ...]:
        """Post entries in order, all of them or none.

        An entry whose id is in the journal with the same content is not written again: the stored one is returned, so
        a retry changes nothing.

        Parameters
        ----------
        once : refuse, if the journal has an entry that settles this clearing
        gate : looked at under the lock before anything is written; raises where what the entries rest on has changed

        Raises
        ------
        Conflict
            When an id is taken by another content, a balance would pass zero, a unit lot is not known, or the clearing
            was settled before. Nothing is written then.
        """
        entries = tuple(entries)

        def act(connection: Connection) -> tuple[dict[str, Sealed], set[str]]:
            if once:
                settled = select(schema.entries.c.id).where(schema.entries.c.settles == once).limit(1)
                before = connection.execute(settled).scalar_one_or_none()
                if before is not None:
                    raise Conflict(
                        f"clearing {once} was settled already (entry {before!r}); nothing was written."
                    )
            if gate is not None:
                gate(connection)
            writer = journal.Writer(connection, self._storage.name, self._known)
            there = journal.stored(connection, self._storage.name, [entry.id for entry in entries])
            for entry in entries:
                if entry.id not in there:
                    there[entry.id] = writer.append(entry)
                elif there[entry.id].entry != entry:
                    raise Conflict(
                        f"entry {entry.id!r} is in the journal with another content."
                        " Give the new entry an id of its own, or reverse the old one."
                    )
            return there, writer.learnt

        there, learnt = self._storage.write(act)
        self._known |= learnt  # only now is it certain that they are there
        return tuple(there[entry.id] for entry in entries)

    def build(
        self, entry_id: str, make: Callable[[Connection], Entry], *, same: Callable[[Entry], bool]
    ) -> Sealed:
        """Post an entry that is made from the books as they are under the lock, so that nobody comes between.

        Parameters
        ----------
        make : reads, and returns the entry of this id
        same : whether an entry of this id that is there already is what was asked for; then it is returned

        Raises
        ------
        Conflict
            When the id is taken by another content, or the books cannot bear the entry.
        """

        def act(connection: Connection) -> tuple[Sealed, set[str]]:
            there = journal.stored(connection, self._storage.name, [entry_id]).get(entry_id)
            if there is not None:
                if not same(there.entry):
                    raise Conflict(
                        f"entry {entry_id!r} is in the journal with another content; nothing was written."
                    )
                return there, set()
            writer = journal.Writer(connection, self._storage.name, self._known)
            return writer.append(make(connection)), writer.learnt

        sealed, learnt = self._storage.write(act)
        self._known |= learnt
        return sealed

    def reverse(self, entry_id: str, *, at: dt.datetime, cause: str = "", id: str | None = None) -> Sealed:  # noqa: A002 - the record's word
        """Undo an entry by posting its opposite; refused where the units have moved on since.

        Raises
        ------
        NotFound
            When there is no such entry.
        Conflict
            When it was reversed before, or a balance would pass zero.
        """
        entry = self.entry(entry_id).entry
        if entry.expires is not None or entry.resolves is not None:
            raise Conflict(
                f"entry {entry_id!r} makes or ends a reservation, and that is not reversed."
                " Void a reservation; give back by an entry of its own what one that was posted moved."
            )
        return self.post(entry.reversal(at=at, cause=cause or f"reversal of {entry_id}", id=id))

    # -- reading -------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[Connection, str]]:
        """Give a connection on which everything read is of one moment, and the ledger's name; for this package's own."""
        with self._storage.reading() as connection:
            yield connection, self._storage.name

    @property
    def head(self) -> tuple[int, str]:
        """Number of entries, and the hash of the last: note it elsewhere, and `audit` can be held to it."""
        with self._storage.reading() as connection:
            row = connection.execute(select(schema.head.c.seq, schema.head.c.hash)).one()
        return row.seq, row.hash

    def entry(self, entry_id: str) -> Sealed:
        """Return the entry of an id, or of the last part of one (``trade-0001``) where no other ends so.

        Raises
        ------
        NotFound
            When there is none, or more than one.
        """
        with self._storage.reading() as connection:
            found = journal.stored(connection, self._storage.name, [entry_id])
            ids, ends = [entry_id], [entry_id]
            if not found:
                ids = list(
                    connection.execute(select(schema.entries.c.id).order_by(schema.entries.c.seq)).scalars()
                )
                ends = [known for known in ids if known.endswith(f"/{entry_id}")]
                found = journal.stored(connection, self._storage.name, ends)
        if len(found) != 1:
            raise NotFound("entry", entry_id, ends or ids)
        return found[ends[0]]

    def chain(self) -> tuple[Sealed, ...]:
        """Return the journal in order with its hashes, each entry checked against its own and the one before it."""
        with self._storage.reading() as connection:
            return tuple(tables.linked(journal.read(connection, self._storage.name), self._storage.name))

    def stream(self, *, after: int = 0) -> Iterator[Sealed]:
        """Yield the journal in order from after a number on, a few hundred entries at a time in memory.

        One moment of the books: what is posted meanwhile is not in it.
        """
        with self._storage.reading() as connection:
            seq, last = after, None
            for sealed in journal.read(connection, self._storage.name, schema.entries.c.seq > after):
                if sealed.seq != seq + 1 or (last is not None and sealed.previous != last):
                    raise damaged(
                        f"{self._storage.name}, entry {sealed.entry.id!r}",
                        f"does not follow entry number {seq}",
                    )
                seq, last = sealed.seq, sealed.hash
                yield sealed

    def entries(self) -> tuple[Entry, ...]:
        """Return the journal in order."""
        return tuple(sealed.entry for sealed in self.chain())

    def balance(
        self,
        account: str,
        commodity: str,
        unit_lot: str = "",
        slot: str = "",
        *,
        at: dt.datetime | None = None,
    ) -> int:
        """Return what one account has: for good, after all that was posted; in the one hour of a slot; or at a time.

        A time may be past or to come. What it costs does not grow with the age of the journal.

        Raises
        ------
        InputError
            When what is stored contradicts itself; an `audit` looks at everything.
        """
        with self._storage.reading() as connection:
            return tables.balance(
                connection, self._storage.name, (account, commodity, unit_lot), slot=slot, at=at
            )

    def balances(
        self, account: str | None = None, *, slot: str | None = None, at: dt.datetime | None = None
    ) -> pl.DataFrame:
        """Return the balances that are not zero.

        Parameters
        ----------
        account : only this account and those under it: ``alder``, ``alder:lf-1``, ``birch:payable``
        slot : ``None``: one row for every slot posted to, and for what was posted for good (empty). Empty: what was
            posted for good. One hour, as ``2025-07-01/h14``: what is held when that hour begins, slots included
        at : what is held at this time, slots included; past or to come

        Returns
        -------
        account, party, site, state, counterparty, commodity, unit_lot, slot, quantity i64; ordered by account

        Raises
        ------
        InputError
            When what is stored contradicts itself; an `audit` looks at everything.
        """
        with self._storage.reading() as connection:
            return tables.balances(connection, self._storage.name, account, slot=slot, at=at)

    def journal(self) -> pl.DataFrame:
        """Return one row per entry: seq, entry, at, cause, postings, reverses, settles, hash."""
        return tables.journal(self.chain())

    def postings(self, entry_id: str | None = None) -> pl.DataFrame:
        """Return one row per posting of an entry, or of all: seq, entry, at, cause, line, account, commodity, quantity, unit_lot, slot."""
        return tables.postings(self.chain() if entry_id is None else (self.entry(entry_id),))

    def provenance(self, unit_lot: str | None = None) -> pl.DataFrame:
        """Return how units came to where they are: every posting of a lot (of all, if none is named), in order.

        Rows of the lots that it was split from come first.

        Returns
        -------
        unit_lot, accelerator, imported_on, imported_from, authorisation, conditions, parent, seq, at, entry, cause,
        account, slot, quantity, held i64 (what the account had of the lot then, in that slot)

        Raises
        ------
        NotFound
            When there is no such lot.
        """
        with self._storage.reading() as connection:
            return tables.provenance(connection, self._storage.name, unit_lot)

    def unit_lot(self, id: str) -> UnitLot:  # noqa: A002 - the record's word
        """Return a lot's papers."""
        with self._storage.reading() as connection:
            return tables.unit_lot(connection, self._storage.name, id)

    def where(self, serial: str) -> tuple[str, str, dt.datetime]:
        """Return where a device is: account, unit lot, and since when.

        Raises
        ------
        NotFound
            When no device has that serial number.
        """
        w = schema.places.c
        with self._storage.reading() as connection:
            row = connection.execute(
                select(w.account, w.unit_lot, w.at).where(w.serial == serial)
            ).one_or_none()
            if row is None:
                near = select(w.serial).where(w.serial.startswith(serial[:4], autoescape=True)).limit(100)
                raise NotFound("device", serial, list(connection.execute(near).scalars()))
        return row.account, row.unit_lot, journal.moment(row.at)

    # -- checking ------------------------------------------------------------------------------------------------

    def audit(self, *, noted: Mapping[str, str] | None = None) -> Audit:
        """Recompute the chain and every balance from the journal alone, and say where the stored ones differ.

        Parameters
        ----------
        noted : entry id -> hash, noted elsewhere when it was posted. Without it, a forger who rewrites everything from
            some entry to the end is not found; with it, he is.
        """
        return audited(self._storage, noted or {})
