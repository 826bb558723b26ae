"""Where can a unit or an amount stand? An account is ``party:site:state``, and the state says which sign it may carry.

::

    alder:lf-1:available         devices that alder may use or give away at site lf-1
    alder:lf-1:reserved:birch    devices kept for birch until the reservation is posted or voided
    alder:lf-1:leased:birch      devices of alder that birch uses, in the hours of a slot
    birch:lf-1:leased-in:alder   the same devices in birch's own books, and what it has to give back:
    birch:lf-1:to-return:alder
    birch:payable:alder          what birch owes alder
    alder:opening                what was there when the books began

Three natures, as in any double-entry book (a debit is positive, a credit negative):

- **asset**: never below zero, at no time. Cash is one: a party that pays on credit posts the credit line.
- **liability**: never above zero. What was paid in full cannot be paid again.
- **equity**: either sign; where units and money come into the books from outside them, and what was earned or spent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from entrepot.errors import Fault, InputError, nearest

__all__ = ["NATURES", "PLACED", "STATES_OF_MONEY", "STATES_OF_UNITS", "Account", "Nature"]


class Nature(StrEnum):
    """Which sign the balance of an account may have."""

    ASSET = "asset"
    LIABILITY = "liability"
    EQUITY = "equity"


# A device in these states stands at a site.
PLACED = ("available", "reserved", "offered", "leased", "leased-in", "to-return", "sold", "retired")
STATES_OF_UNITS = (*PLACED, "on-order", "in-transit")
STATES_OF_MONEY = ("cash", "receivable", "payable", "credit", "income", "expense", "fees")

NATURES: dict[str, Nature] = {
    **dict.fromkeys(STATES_OF_UNITS, Nature.ASSET),
    "cash": Nature.ASSET,
    "receivable": Nature.ASSET,
    "to-return": Nature.LIABILITY,
    "payable": Nature.LIABILITY,
    "credit": Nature.LIABILITY,
    "income": Nature.EQUITY,
    "expense": Nature.EQUITY,
    "fees": Nature.EQUITY,
    "opening": Nature.EQUITY,
    "equity": Nature.EQUITY,
}
_NEEDS_COUNTERPARTY = {"leased": "leases", "leased-in": "lent them", "to-return": "lent them"}
_TAKES_COUNTERPARTY = (
    *_NEEDS_COUNTERPARTY,
    *("reserved", "sold", "receivable", "payable", "credit", "income", "expense", "fees"),
)


@dataclass(frozen=True, slots=True)
class Account:
    """One account, taken apart. ``site`` and ``counterparty`` are empty where the account has none."""

    party: str
    site: str
    state: str
    counterparty: str = ""

    @property
    def nature(self) -> Nature:
        """Return which sign the balance may have."""
        return NATURES[self.state]

    def __str__(self) -> str:
        """Return the account as it is written in a posting."""
        return ":".join(part for part in (self.party, self.site, self.state, self.counterparty) if part)

    @staticmethod
    def parse(text: str) -> Account:
        """Take an account apart.

        Raises
        ------
        InputError
            When the state is none of `NATURES`, a part is missing, or there is one too many.

        Examples
        --------
        >>> Account.parse("alder:lf-1:leased:birch")
        Account(party='alder', site='lf-1', state='leased', counterparty='birch')
        >>> Account.parse("birch:cash").nature.value
        'asset'
        """
        return _parse(text)


@lru_cache(maxsize=65_536)
def _parse(text: str) -> Account:
    parts = text.split(":")
    if not all(part and part.isprintable() and part == part.strip() for part in parts):
        raise _fault(text, "has an empty or unprintable part")
    at = 1 if len(parts) > 1 and parts[1] in NATURES else 2
    if len(parts) <= at or parts[at] not in NATURES:
        near = nearest(parts[min(at, len(parts) - 1)], list(NATURES))
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise _fault(text, "names no state that the ledger knows", hint)
    account = Account(parts[0], parts[1] if at == 2 else "", parts[at], ":".join(parts[at + 1 :]))
    if len(parts) > at + 2:
        raise _fault(text, "has too many parts")
    if account.counterparty and account.state not in _TAKES_COUNTERPARTY:
        raise _fault(text, f"names a counterparty, which {account.state!r} does not take")
    if account.state in _NEEDS_COUNTERPARTY and not account.counterparty:
        raise _fault(text, f"does not say who {_NEEDS_COUNTERPARTY[account.state]}")
    if account.state in PLACED and not account.site:
        raise _fault(text, f"names no site, and a device that is {account.state!r} stands somewhere")
    return account


def _fault(text: str, what: str, hint: str = "") -> InputError:
    mend = f"{hint}Write party:site:state, such as alder:lf-1:available; states: {', '.join(NATURES)}."
    return InputError(Fault(f"account {text!r}", what, mend))
