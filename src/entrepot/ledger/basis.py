"""On what does a clearing rest? On who holds which units over its time: taken at the gate, and looked at again at settlement.

A market is cleared on holdings as they were when its gate closed. If they have changed by the time it is settled, the
clearing is the answer to another question; it is refused, and told what changed. The check is made under the lock of the
settlement's own transaction, so nothing changes between it and the trades.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from entrepot.errors import Conflict, Fault, InputError
from entrepot.ledger import schema
from entrepot.ledger.course import Course
from entrepot.ledger.journal import course, instant, moment
from entrepot.ledger.ledger import Ledger
from entrepot.ledger.opening import day_begins, unit_lot_of_order

if TYPE_CHECKING:  # only read here: keeping a ledger needs no reader of scenarios
    from entrepot.scenario.records import Scenario

__all__ = ["Basis", "Rest", "gate", "rests_on", "stated", "unchanged"]

_KIND = "entrepot-basis/1"


@dataclass(frozen=True, slots=True)
class Rest:
    """What one account has of one lot from a time on.

    Attributes
    ----------
    holds : units at that time, for good
    changes : what changes later, as (from when, units); ``2025-07-01/h08`` for slots, an instant for what is for good
    """

    account: str
    commodity: str
    unit_lot: str
    holds: int
    changes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Basis:
    """The holdings that a clearing rests on.

    Attributes
    ----------
    since : from when on
    seq : number of entries in the journal at the gate; -1 where it was stated and not read from a ledger
    rests : sorted by account, commodity and lot
    """

    since: dt.datetime
    seq: int
    rests: tuple[Rest, ...]

    @property
    def hash(self) -> str:
        """Return sha256 of what is held: two bases with one hash are the same holdings."""
        return hashlib.sha256(
            json.dumps(self._content()["holdings"], separators=(",", ":")).encode()
        ).hexdigest()

    def json(self) -> str:
        """Return it as it is kept beside a clearing."""
        return json.dumps({**self._content(), "hash": self.hash}, indent=1) + "\n"

    def _content(self) -> dict[str, object]:
        holdings = [
            [r.account, r.commodity, r.unit_lot, r.holds, [list(c) for c in r.changes]] for r in self.rests
        ]
        return {"kind": _KIND, "since": instant(self.since), "seq": self.seq, "holdings": holdings}

    @staticmethod
    def read(path: Path) -> Basis:
        """Read one that `json` wrote.

        Raises
        ------
        InputError
            When it cannot be read, or was changed.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rests = tuple(
                Rest(str(a), str(c), str(u), int(n), tuple((str(when), int(q)) for when, q in changes))
                for a, c, u, n, changes in content["holdings"]
            )
            basis = Basis(moment(content["since"]), int(content["seq"]), rests)
            if content["kind"] != _KIND or content["hash"] != basis.hash:
                raise ValueError("its hash is another")  # noqa: TRY301 - one way out for every reason
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                Fault(
                    str(path), f"is no basis as it was written ({error})", "Use the file that the gate wrote."
                )
            ) from error
        return basis


def rests_on(scenario: Scenario) -> dict[tuple[str, str, str], int]:
    """Return the accounts that a scenario's lots sell and lease from, with what the scenario says is in them."""
    holdings = {h.id: h for h in scenario.holdings}
    orders = {o.id: o for o in scenario.orders}
    out: dict[tuple[str, str, str], int] = {}
    for lot in scenario.lots:
        if lot.holding is not None:
            held = holdings[lot.holding]
            out[f"{lot.seller}:{held.site}:available", held.accelerator, held.id] = held.quantity
        elif lot.order is not None and lot.order in orders:
            order = orders[lot.order]
            out[f"{lot.seller}:on-order", order.accelerator, unit_lot_of_order(order.id)] = order.quantity
    return out


def stated(scenario: Scenario) -> Basis:
    """Return the basis of a market that was cleared on a scenario alone: its holdings, all of them free."""
    rests = tuple(Rest(*key, quantity) for key, quantity in sorted(rests_on(scenario).items()))
    return Basis(day_begins(scenario.as_of), -1, rests)


def gate(ledger: Ledger, scenario: Scenario) -> Basis:
    """Return the basis of a market that is about to be cleared: its holdings as the ledger has them."""
    since = day_begins(scenario.as_of)
    with ledger.reading() as (connection, _):
        seq = int(connection.execute(select(schema.head.c.seq)).scalar_one())
        rests = tuple(_rest(connection, key, since) for key in sorted(rests_on(scenario)))
    return Basis(since, seq, rests)


def unchanged(connection: Connection, basis: Basis) -> None:
    """Look at the holdings again.

    Raises
    ------
    Conflict
        When they are not what the basis says, with each that changed and the entries that changed it.
    """
    changed = []
    for was in basis.rests:
        now = _rest(connection, (was.account, was.commodity, was.unit_lot), basis.since)
        if now == was:
            continue
        by = _by(connection, was, basis.seq)
        changed.append(f"  {was.account}, {was.commodity} of lot {was.unit_lot}: {_told(was, now)}{by}")
    if changed:
        raise Conflict(
            "the holdings that this clearing rests on have changed since its gate; nothing was written.\n"
            + "\n".join(changed)
            + "\n  Take the holdings anew and clear again."
        )


def _told(was: Rest, now: Rest) -> str:
    if was.holds != now.holds:
        return f"{was.holds} then, {now.holds} now"
    then, since = dict(was.changes), dict(now.changes)
    when = min(key for key in then.keys() | since.keys() if then.get(key, 0) != since.get(key, 0))
    return f"from {when} on a change of {then.get(when, 0):+} then, {since.get(when, 0):+} now"


def _by(connection: Connection, rest: Rest, seq: int) -> str:
    p, e = schema.postings.c, schema.entries.c
    query = (
        select(e.id)
        .join(schema.postings, p.entry == e.seq)
        .where(
            p.account == rest.account,
            p.commodity == rest.commodity,
            p.unit_lot == rest.unit_lot,
            e.seq > max(seq, 0),
        )
        .order_by(e.seq.desc())
        .distinct()
        .limit(3)
    )
    ids = [repr(row.id) for row in connection.execute(query.add_columns(e.seq))]
    return f" (last by {', '.join(ids)})" if ids else ""


def _rest(connection: Connection, key: tuple[str, str, str], since: dt.datetime) -> Rest:
    steps = course(connection, *key)
    return Rest(*key, _for_good(steps, since), tuple(_changes(steps, since)))


def _for_good(steps: Course, since: dt.datetime) -> int:
    levels = [n for at, n in steps.levels().items() if at <= since]
    return levels[-1] if levels else 0


def _changes(steps: Course, since: dt.datetime) -> Sequence[tuple[str, int]]:
    out: list[tuple[str, int]] = []
    before = _for_good(steps, since)
    for at, level in steps.levels().items():
        if at > since and level != before:
            out.append((instant(at), level - before))
            before = level
    value: dict[int, int] = {}
    for (hour, day), now in sorted(steps.steps().items(), key=lambda step: (step[0][1], step[0][0])):
        change = now - value.get(hour, 0)
        value[hour] = now
        if change and day >= since.date():
            out.append((f"{day}/h{hour:02}", change))
    return sorted(out)
