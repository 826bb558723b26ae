"""How is a figure written for a person? Short where it is read, exact where one points at it; money by `Decimal` alone."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

__all__ = [
    "ABSENT",
    "Shown",
    "count",
    "day",
    "from_micro",
    "from_minor",
    "gap",
    "minor_digits",
    "money",
    "number",
    "percent",
    "price",
    "work",
]

ABSENT = "–"
_NO_BREAK = "\u00a0"
_SCALES = ((12, "tn"), (9, "bn"), (6, "m"))
_WORK_SCALES = ((9, "Ptok"), (6, "Ttok"), (3, "Gtok"), (0, "Mtok"))
# ISO 4217 exponents other than 2, of the currencies that have one
_MINOR_DIGITS = {
    "JPY": 0,
    "KRW": 0,
    "VND": 0,
    "CLP": 0,
    "ISK": 0,
    "BHD": 3,
    "JOD": 3,
    "KWD": 3,
    "OMR": 3,
    "TND": 3,
}


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure as it is printed, and the exact value behind it."""

    text: str
    exact: str

    def __str__(self) -> str:
        """Return what is printed."""
        return self.text


def minor_digits(currency: str) -> int:
    """Return how many decimal digits the currency's minor unit has (ISO 4217): 2 unless listed."""
    return _MINOR_DIGITS.get(currency, 2)


def from_micro(micro: int) -> Decimal:
    """Return an amount in integer micro-units as a decimal number of the currency, exactly."""
    return Decimal(micro).scaleb(-6)


def from_minor(minor: int, digits: int) -> Decimal:
    """Return an amount in integer minor units (fen, cent) of so many decimal digits as a decimal number, exactly."""
    return Decimal(minor).scaleb(-digits)


def count(value: int) -> Shown:
    r"""Return a count with thousands marked, e.g. ``12,288``; from a million on in three digits.

    Examples
    --------
    >>> str(count(12288)), str(count(1_234_567))
    ('12,288', '1.23\xa0m')
    """
    return number(Decimal(value), places=0)


def number(
    value: Decimal | float | None, *, places: int | None = None, digits: int = 4, unit: str = ""
) -> Shown:
    """Return a number in so many significant digits (or with ``places`` decimals), and exactly.

    Absent is a dash, never a zero.
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return Shown(ABSENT, "not known")
    amount = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    tail = f"{_NO_BREAK}{unit}" if unit else ""
    exact = f"{amount:,f}{tail}"
    for exponent, name in _SCALES:
        if abs(amount) >= Decimal(10) ** exponent:
            return Shown(f"{_digits(amount.scaleb(-exponent), 3)}{_NO_BREAK}{name}{tail}", exact)
    text = f"{_round(amount, places):,f}" if places is not None else _digits(amount, digits)
    return Shown(f"{text}{tail}", exact)


def money(amount: Decimal | None, currency: str) -> Shown:
    """Return an amount of money: ``CNY 2.41 bn``, exactly ``CNY 2,408,113,920.00``."""
    if amount is None:
        return Shown(ABSENT, "none")
    places = minor_digits(currency)
    shown = number(amount, places=places if 0 < abs(amount) < 10_000 else 0)
    return Shown(f"{currency}{_NO_BREAK}{shown.text}", f"{currency} {_round(amount, places):,f}")


def price(amount: Decimal | None, currency: str = "") -> Shown:
    """Return a unit price: two decimals, more below one, none from ten thousand on; exactly to the micro-unit."""
    if amount is None:
        return Shown(ABSENT, "none")
    size = abs(amount)
    if size >= 10_000:
        text = f"{_round(amount, 0):,f}"
    elif size >= 1 or size == 0:
        text = f"{_round(amount, 2):,f}"
    else:
        text = _digits(amount, 3)
    head = f"{currency}{_NO_BREAK}" if currency else ""
    return Shown(f"{head}{text}", f"{currency} {amount.normalize():,f}".strip())


def work(mtok: float | None) -> Shown:
    """Return work in output tokens: ``1.53 Ttok`` is 1.53 x 10^12 tokens."""
    if mtok is None or not math.isfinite(mtok):
        return Shown(ABSENT, "not known")
    amount = Decimal(repr(float(mtok)))
    if amount == 0:
        return Shown("0", "no output tokens")
    for exponent, unit in _WORK_SCALES:
        if abs(amount) >= Decimal(10) ** exponent or exponent == 0:
            return Shown(
                f"{_digits(amount.scaleb(-exponent), 3)}{_NO_BREAK}{unit}",
                f"{amount:,.3f} million output tokens",
            )
    raise AssertionError("the last scale takes all")


def percent(share: float | None, *, places: int = 1) -> Shown:
    """Return a share as per cent. What is not quite all or not quite nothing never rounds to it."""
    if share is None or not math.isfinite(share):
        return Shown(ABSENT, "not known")
    exact = f"{share:.8f}"
    value = _round(Decimal(repr(float(share))) * 100, places)
    step = Decimal(1).scaleb(-places)
    if share > 0 and value == 0:
        return Shown(f"<{_NO_BREAK}{step}%", exact)
    if share < 1 and value == 100:
        return Shown(f">{_NO_BREAK}{100 - step}%", exact)
    text = f"{value:,f}"
    if value in (0, 100):
        text = str(int(value))
    return Shown(f"{text}%", exact)


def gap(share: float) -> Shown:
    """Return the gap of a certificate as per cent in two significant digits: small, but never rounded to nothing."""
    value = Decimal(repr(float(share))) * 100
    if value <= 0:
        return Shown("0%", f"{share:.3e}")
    if value < Decimal("0.000001"):
        return Shown(f"<{_NO_BREAK}0.000001%", f"{share:.3e}")
    return Shown(f"{_digits(value, 2)}%", f"{share:.3e}")


def day(date: dt.date) -> str:
    """Return a date as ``15 Apr 2025``: no reader mistakes the month for the day."""
    return f"{date.day}{_NO_BREAK}{date:%b}{_NO_BREAK}{date.year}"


def _round(amount: Decimal, places: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)


def _digits(amount: Decimal, significant: int) -> str:
    """Return ``amount`` in so many significant digits, never with fewer than its whole part."""
    if amount == 0:
        return "0"
    places = max(0, significant - 1 - amount.adjusted())
    text = f"{_round(amount, places):,f}"
    return text.rstrip("0").rstrip(".") if "." in text and significant > 3 else text
