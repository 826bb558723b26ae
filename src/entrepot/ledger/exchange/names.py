"""How is a name of ours written in beancount's grammar, so that no two names become one?

beancount knows accounts such as ``Assets:Alder:Lf-1:Available`` (components of letters, digits and dashes, the first a capital
or a digit) and commodities such as ``NVIDIA-H20-SXM-96GB`` (capitals, digits, dots and dashes). A plain name of ours, in
lower case with single dashes, is only capitalised. Any other is written out: ``N--`` (or ``X--`` for a commodity) and
then each character as it is, or as its code between dashes. Plain names have no double dash, so the two never meet.

Grammar: ``beancount/parser/lexer.l`` and ``beancount.core.amount.CURRENCY_RE`` of beancount 3.
"""

from __future__ import annotations

import datetime as dt
import re

from entrepot.ledger.accounts import Account, Nature
from entrepot.ledger.records import minor_unit
from entrepot.ledger.slots import Slot

__all__ = [
    "account_name",
    "account_of",
    "commodity_name",
    "commodity_of",
    "link_name",
    "lot_name",
    "lot_of",
    "money_digits",
]

_PLAIN_PART = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_PLAIN_COMMODITY = re.compile(r"[a-z][a-z0-9]*([-.][a-z0-9]+)+", re.ASCII)
_MONEY = re.compile(r"([A-Z]{3})\.([a-z]+)", re.ASCII)
_MAJOR = {
    minor_unit(c): c for c in ("CNY", "USD", "EUR")
}  # in hundredths; another minor unit is counted as it is
_MINOR = {currency: minor for minor, currency in _MAJOR.items()}
_ROOT = {Nature.ASSET: "Assets", Nature.LIABILITY: "Liabilities", Nature.EQUITY: "Equity"}
_LOT = "LOT."


def account_name(account: str, slot: str = "") -> str:
    """Return an account, and the hours in which it counts, as a beancount account.

    Examples
    --------
    >>> account_name("alder:lf-1:leased:birch", "2025-07-01..2025-10-01/h08-20")
    'Assets:Alder:Lf-1:Leased:Birch:S--20250701-20251001-08-20'
    """
    parsed = Account.parse(account)
    parts = [_ROOT[parsed.nature], *(_part(part) for part in account.split(":"))]
    if slot:
        s = Slot.parse(slot)
        days = (day.isoformat().replace("-", "") for day in (s.first, s.end))
        parts.append(f"S--{'-'.join(days)}-{s.hour_from:02}-{s.hour_to:02}")
    return ":".join(parts)


def account_of(name: str) -> tuple[str, str]:
    """Return the account and the slot that a beancount account stands for."""
    parts = name.split(":")[1:]
    slot = ""
    if parts[-1].startswith("S--"):
        first, end, hour_from, hour_to = parts.pop().removeprefix("S--").split("-")
        days = dt.date.fromisoformat(first), dt.date.fromisoformat(end)
        slot = str(Slot(*days, int(hour_from), int(hour_to)))
    return ":".join(_unpart(part) for part in parts), slot


def commodity_name(commodity: str) -> str:
    """Return an accelerator or a currency as a beancount commodity.

    Examples
    --------
    >>> commodity_name("nvidia-h20-sxm-96gb"), commodity_name("CNY.fen"), commodity_name("H20")
    ('NVIDIA-H20-SXM-96GB', 'CNY', 'X---48-20Z')
    """
    if _MONEY.fullmatch(commodity) and not commodity.startswith(_LOT):
        return _MAJOR.get(commodity, commodity.upper())
    looks_like_money = _MONEY.fullmatch(commodity[:3].upper() + commodity[3:])
    plain = _PLAIN_COMMODITY.fullmatch(commodity) is not None and looks_like_money is None
    if plain and not commodity.startswith(_LOT.lower()):
        return commodity.upper()
    return f"X--{_written_out(commodity, lower=True).upper()}Z"


def commodity_of(name: str) -> str:
    """Return the accelerator or currency that a beancount commodity stands for."""
    if name.startswith("X--"):
        return _read_back(name[3:-1], lower=True)
    if name in _MINOR:
        return _MINOR[name]
    if re.fullmatch(r"[A-Z]{3}\.[A-Z]+", name):
        return f"{name[:3]}{name[3:].lower()}"
    return name.lower()


def money_digits(commodity: str) -> int:
    """Return how many decimals a quantity of minor units gets in beancount: 2 for fen and cents, 0 for all else.

    Examples
    --------
    >>> money_digits("CNY.fen"), money_digits("JPY.minor"), money_digits("nvidia-h20-sxm-96gb")
    (2, 0, 0)
    """
    return 2 if commodity in _MAJOR else 0


def lot_name(lot: str) -> str:
    """Return a unit lot as the beancount commodity that its units are held at: ``{1 LOT.ALDER-H20}``."""
    if _PLAIN_PART.fullmatch(lot):
        return _LOT + lot.upper()
    return f"{_LOT}X--{_written_out(lot, lower=True).upper()}Z"


def lot_of(name: str) -> str:
    """Return the unit lot that a beancount commodity stands for."""
    rest = name.removeprefix(_LOT)
    return _read_back(rest[3:-1], lower=True) if rest.startswith("X--") else rest.lower()


def link_name(entry_id: str) -> str:
    """Return an entry's id as a beancount link: letters, digits, dashes, dots and slashes; all else as its code.

    Examples
    --------
    >>> link_name("2025-04-16/ab/trade-1"), link_name("a b_c")
    ('2025-04-16/ab/trade-1', 'a_20_b_5f_c')
    """
    return "".join(c if re.fullmatch(r"[A-Za-z0-9./-]", c) else f"_{ord(c):x}_" for c in entry_id)


def _part(part: str) -> str:
    if _PLAIN_PART.fullmatch(part):
        return part[0].upper() + part[1:]
    return f"N--{_written_out(part, lower=False)}Z"


def _unpart(name: str) -> str:
    return _read_back(name[3:-1], lower=False) if name.startswith("N--") else name[0].lower() + name[1:]


def _written_out(text: str, *, lower: bool) -> str:
    """Write each letter and digit as it is and any other character as ``-<hex>-``; with ``lower``, capitals too."""
    kept = re.compile(r"[a-z0-9]" if lower else r"[A-Za-z0-9]", re.ASCII)
    return "".join(c if kept.fullmatch(c) else f"-{ord(c):x}-" for c in text)


def _read_back(text: str, *, lower: bool) -> str:
    pieces = text.split("-")  # literal, code, literal, code, ... literal
    return "".join(
        chr(int(piece, 16)) if i % 2 else (piece.lower() if lower else piece)
        for i, piece in enumerate(pieces)
    )
