"""Does each field of a table say what its column asks for? Columns of text become columns of numbers, days and flags.

Each check runs over a whole column at once; only rows at fault are looked at one by one. A field at fault becomes null,
so that the checks between tables still run on the rest and a person sees all faults in one go.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable
from typing import TypeAlias

import polars as pl

from entrepot.scenario.codes import countries, country_hint
from entrepot.scenario.columns import DEVICES_MAX, FACTOR_MAX, ID_PATTERN, KINDS, PRICE_MAX, TABLES, Column
from entrepot.scenario.faults import Faults, did_you_mean
from entrepot.scenario.table import LINE, Sheet

__all__ = ["EARLIEST", "LATEST", "parse_hours", "typed"]

EARLIEST, LATEST = dt.date(2000, 1, 1), dt.date(2200, 1, 1)
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)$"
_PRICE_DECIMALS = 6  # prices are kept in millionths
_PRICE = r"^\+?\d*\.?\d{0,6}0*$"

_VALUE = "_value"  # the column that carries a number while it is judged
_Describe: TypeAlias = Callable[[str], tuple[str, str]]


def typed(raw: Sheet, faults: Faults) -> Sheet:
    """Return the table with typed columns; fields at fault are null and noted.

    Returns
    -------
    The columns of the table in their types, the line column, and for a column with a word (``surplus``) a boolean
    column ``<name>_word``. Prices stay text (exact), beside ``<name>_f64`` for checks.
    """
    sheet = raw
    for column in TABLES[raw.name]:
        sheet = _READERS[column.type](sheet, column, faults)
    return sheet


def _note(sheet: Sheet, wrong: pl.Expr, column: Column, faults: Faults, say: _Describe) -> None:
    sheet.note(wrong, column.name, faults, lambda row: say(row[column.name]))


def _with(sheet: Sheet, *columns: pl.Expr) -> Sheet:
    return sheet.having(sheet.rows.with_columns(*columns))


def _present(sheet: Sheet, column: Column, faults: Faults) -> None:
    if column.required:
        mend = f"Write it: {column.meaning}"
        _note(sheet, pl.col(column.name).is_null(), column, faults, lambda _: ("the field is empty", mend))


def _as_written(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    _present(sheet, column, faults)
    return sheet


def _read_id(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    _present(sheet, column, faults)
    fits = pl.col(column.name).str.contains(ID_PATTERN)
    mend = "Use letters, digits, `-`, `_` and `.`, at most 80 of them, the first a letter or a digit."
    _note(sheet, ~fits, column, faults, lambda v: (f"{v!r} is not a usable name", mend))
    frame = sheet.rows
    seen = pl.col(column.name).is_not_null() & ~pl.col(column.name).is_first_distinct()
    again = frame.filter(seen)
    if again.height:
        first = dict(frame.unique(column.name, keep="first").select(column.name, LINE).iter_rows())
        names, lines = again[column.name].to_list(), again[LINE].to_list()
        others = [c for c in frame.columns if c != LINE]
        copied = frame.select((pl.struct(others).is_first_distinct()).not_()).to_series().filter(
            frame.select(seen).to_series()
        )  # fmt: skip

        def say(i: int) -> tuple[str, str]:
            line = first[names[i]]
            if copied[i]:
                return (
                    f"the row repeats an earlier one: {names[i]!r} stands on line {line}",
                    "Delete one of the two.",
                )
            what = f"{names[i]!r} stands already on line {line}: one thing cannot be in two places"
            return what, "Give one of the two another id, or delete it."

        faults.lines(sheet.file, lines, column.name, say)
    return _with(sheet, pl.when(fits).then(pl.col(column.name)).alias(column.name))


def _read_number(sheet: Sheet, column: Column, faults: Faults, *, most: int, thing: str) -> Sheet:
    _present(sheet, column, faults)
    name = column.name
    text = pl.col(name)
    word = (text == column.word) if column.word else pl.lit(value=False)
    sheet = _with(
        sheet, pl.when(text.str.contains(_NUMBER)).then(text.cast(pl.Float64, strict=False)).alias(_VALUE)
    )
    value: pl.Expr = pl.col(_VALUE)
    right = ((value == value.floor()) & (value >= 1) & (value <= most)).fill_null(value=False)
    or_word = f", or {column.word}" if column.word else ""

    def say(written: str) -> tuple[str, str]:
        return _number_fault(written, thing, most=most, or_word=or_word)

    _note(sheet, text.is_not_null() & ~right & ~word, column, faults, say)
    if column.default is not None:
        value = pl.when(text.is_null()).then(pl.lit(float(column.default))).otherwise(value)
        right = right | text.is_null()
    done = sheet.rows.with_columns(
        pl.when(right).then(value).cast(pl.Int64).alias(name),
        word.fill_null(value=False).alias(f"{name}_word"),
    )
    return sheet.having(done.drop(_VALUE))


def _number_fault(written: str, thing: str, *, most: int, or_word: str) -> tuple[str, str]:
    try:
        value = float(written.replace(",", "").replace("_", "").replace(" ", ""))
    except ValueError:
        return f"{written!r} is not a number", f"Write a whole number of {thing}{or_word}."
    if not math.isfinite(value):
        return f"{written!r} is not a finite number", f"Write a whole number of {thing}{or_word}."
    if value < 0:
        return f"{written} is negative", f"Write a whole number of {thing} above 0{or_word}."
    if value == 0:
        return "the number is 0", f"Write at least 1{or_word}, or delete the row."
    if value > most:
        return f"{written} is more than {most:,} {thing}", "Check the digits."
    if value != int(value):
        low = int(value)
        choice = f"{low} or {low + 1}" if low else "1"
        return (
            f"{written} is not a whole number of {thing}",
            f"Write {choice}; {thing} are counted one by one.",
        )
    return f"{written!r} is not written as a whole number", f"Write {int(value)}."


def _read_devices(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    return _read_number(sheet, column, faults, most=DEVICES_MAX, thing="devices")


def _read_block(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    return _read_number(sheet, column, faults, most=DEVICES_MAX, thing="devices")


def _read_price(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    _present(sheet, column, faults)
    name, text = column.name, pl.col(column.name)
    zero_allowed = name == "ask"  # an owner may give capacity away; a bid or an order at zero says nothing
    sheet = _with(
        sheet, pl.when(text.str.contains(_PRICE)).then(text.cast(pl.Float64, strict=False)).alias(_VALUE)
    )
    value = pl.col(_VALUE)
    above = (value >= 0) if zero_allowed else (value > 0)
    right = (above & (value <= PRICE_MAX)).fill_null(value=False)

    def say(written: str) -> tuple[str, str]:
        try:
            amount = float(written)
        except ValueError:
            mend = "Write digits with a point before the decimals, for example 9.50."
            return f"{written!r} is not an amount of money", mend
        if not math.isfinite(amount):
            return f"{written!r} is not a finite amount", "Write an amount."
        if amount < 0 or (amount == 0 and not zero_allowed):
            return (
                f"{written} is not above 0",
                f"Write a price of at least {'0' if zero_allowed else '0.000001'}.",
            )
        if amount > PRICE_MAX:
            return f"{written} is more than {PRICE_MAX:,}", "Check the digits and the unit."
        return f"{written!r} has more than {_PRICE_DECIMALS} decimals or an exponent", (
            f"Write it with at most {_PRICE_DECIMALS} decimals and no exponent."
        )

    _note(sheet, text.is_not_null() & ~right, column, faults, say)
    done = sheet.rows.with_columns(
        pl.when(right).then(text).alias(name), pl.when(right).then(value).alias(f"{name}_f64")
    )
    return sheet.having(done.drop(_VALUE))


def _read_share(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    _present(sheet, column, faults)
    text = pl.col(column.name)
    word = (text == column.word) if column.word else pl.lit(value=False)
    value = pl.when(text.str.contains(_NUMBER)).then(text.cast(pl.Float64, strict=False))
    right = ((value > 0) & (value <= 1)).fill_null(value=False)

    def say(written: str) -> tuple[str, str]:
        mend = "Write a number above 0 and at most 1" + (f", or {column.word}." if column.word else ".")
        if written.endswith("%"):
            return f"{written!r} is a percentage", mend
        return f"{written!r} is not a share", mend

    _note(sheet, text.is_not_null() & ~right & ~word, column, faults, say)
    return _with(
        sheet,
        pl.when(right).then(value).alias(column.name),
        word.fill_null(value=False).alias(f"{column.name}_word"),
    )


def _read_factor(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    _present(sheet, column, faults)
    text = pl.col(column.name)
    value = pl.when(text.str.contains(_NUMBER)).then(text.cast(pl.Float64, strict=False))
    right = ((value > 0) & (value <= FACTOR_MAX)).fill_null(value=False)
    mend = f"Write a number above 0 and at most {FACTOR_MAX:g}; 1 is the estimated rate."
    _note(
        sheet, text.is_not_null() & ~right, column, faults, lambda v: (f"{v!r} is not a usable factor", mend)
    )
    return _with(sheet, pl.when(right).then(value).alias(column.name))


def _read_date(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    _present(sheet, column, faults)
    text = pl.col(column.name)
    iso = text.str.contains(r"^\d{4}-\d{2}-\d{2}$")
    day = pl.when(iso).then(text.str.to_date("%Y-%m-%d", strict=False))
    right = ((day >= EARLIEST) & (day < LATEST)).fill_null(value=False)

    def say(written: str) -> tuple[str, str]:
        try:
            parsed = dt.date.fromisoformat(written)
        except ValueError:
            return f"{written!r} is not a day", "Write year-month-day, for example 2025-07-01."
        if parsed < EARLIEST:
            return f"{written} lies before {EARLIEST}", "Check the year."
        if parsed >= LATEST:
            return f"{written} lies after {LATEST}", "Check the year."
        return f"{written!r} is not written as a day", f"Write {parsed.isoformat()}."

    _note(sheet, text.is_not_null() & ~right, column, faults, say)
    return _with(sheet, pl.when(right).then(day).alias(column.name))


def _read_country(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    _present(sheet, column, faults)
    right = pl.col(column.name).is_in(list(countries()))
    _note(sheet, ~right, column, faults, lambda v: (f"there is no country {v!r}", country_hint(v)))
    return _with(sheet, pl.when(right).then(pl.col(column.name)).alias(column.name))


def _read_kind(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    _present(sheet, column, faults)
    right = pl.col(column.name).is_in(KINDS)
    hint = "Write lease or sale."
    _note(sheet, ~right, column, faults, lambda v: (f"there is no kind {v!r}", hint))
    return _with(sheet, pl.when(right).then(pl.col(column.name)).alias(column.name))


def _read_flag(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    text = pl.col(column.name)
    right = text.is_in(["true", "false"])
    _note(
        sheet,
        ~right,
        column,
        faults,
        lambda v: (f"{v!r} is neither true nor false", "Write true or false."),
    )
    return _with(sheet, (text == "true").fill_null(value=False).alias(column.name))


def _words_of(value: str) -> list[str]:
    return [word.strip() for word in value.split(";") if word.strip()]


def _read_words(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    """Split at semicolons, once for each distinct text."""
    _present(sheet, column, faults)
    name = column.name
    distinct = sheet.rows[name].drop_nulls().unique(maintain_order=True).to_list()
    words = {value: _words_of(value) for value in distinct}
    wrong = {value: _word_fault(column, words[value]) for value in distinct}
    wrong = {value: fault for value, fault in wrong.items() if fault}
    if wrong:
        _note(sheet, pl.col(name).is_in(list(wrong)), column, faults, lambda v: wrong[v] or ("", ""))
    split = pl.DataFrame(
        {name: distinct, "_words": [words[value] for value in distinct]},
        schema={name: pl.String, "_words": pl.List(pl.String)},
    )
    joined = sheet.rows.join(split, on=name, how="left", maintain_order="left")
    empty = pl.lit([], dtype=pl.List(pl.String))
    return sheet.having(joined.with_columns(pl.col("_words").fill_null(empty).alias(name)).drop("_words"))


def _word_fault(column: Column, words: list[str]) -> tuple[str, str] | None:
    if column.type == "countries":
        for word in words:
            if word not in countries():
                return f"there is no country {word!r}", country_hint(word)
    if column.type == "kinds":
        for word in words:
            if word not in KINDS:
                return f"there is no kind {word!r}", did_you_mean(
                    word, KINDS, otherwise="Write lease, sale or lease;sale."
                )
    if any("," in word for word in words):
        return f"{';'.join(words)!r} contains a comma", "Separate several by `;`."
    return None


def parse_hours(text: str) -> tuple[int, ...] | None:
    """Return the hours of the day that ``8-20``, ``22-6`` or ``0-6;20-24`` names; ``None`` where it names none.

    Examples
    --------
    >>> parse_hours("22-2")
    (0, 1, 22, 23)
    """
    hours: set[int] = set()
    for part in _words_of(text):
        first, dash, last = part.partition("-")
        if not (dash and first.isdecimal() and last.isdecimal()):
            return None
        a, b = int(first), int(last)
        if not (0 <= a <= 23 and 0 <= b <= 24) or a == b:
            return None
        hours.update(range(a, b) if a < b else (*range(a, 24), *range(b)))
    return tuple(sorted(hours)) if hours else None


def _read_hours(sheet: Sheet, column: Column, faults: Faults) -> Sheet:
    name = column.name
    filled = _with(sheet, pl.col(name).fill_null(column.default))
    wrong = [value for value in filled.rows[name].unique().to_list() if parse_hours(value) is None]
    mend = "Write for example 8-20, 22-6 (over midnight) or 0-6;20-24, in whole hours UTC."
    _note(
        filled,
        pl.col(name).is_in(wrong),
        column,
        faults,
        lambda v: (f"{v!r} names no hours of the day", mend),
    )
    return _with(filled, pl.when(~pl.col(name).is_in(wrong)).then(pl.col(name)).alias(name))


_READERS: dict[str, Callable[[Sheet, Column, Faults], Sheet]] = {
    "id": _read_id,
    "name": _as_written,
    "country": _read_country,
    "devices": _read_devices,
    "block": _read_block,
    "price": _read_price,
    "share": _read_share,
    "factor": _read_factor,
    "date": _read_date,
    "boundary": _read_date,
    "hours": _read_hours,
    "flag": _read_flag,
    "kind": _read_kind,
    "words": _read_words,
    "countries": _read_words,
    "kinds": _read_words,
    "text": _as_written,
}
