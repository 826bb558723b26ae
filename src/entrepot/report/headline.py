"""What is the outcome in one sentence and six figures, and what led to it? The top of the page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from entrepot.report.compare import Change, Outline, by_chip, changes, outline
from entrepot.report.format import Shown, count, day, gap, money, number, percent, price
from entrepot.report.records import Run, Story
from entrepot.report.tables import who_got_what

__all__ = ["DateCard", "Headline", "Point", "headlines", "lede", "strip"]


_NEARLY_ALL = 0.99  # of a bid's work: what whole node blocks leave over


@dataclass(frozen=True, slots=True)
class Point:
    """One figure on one date."""

    label: str
    shown: Shown
    share: float  # 0..1 of the largest among the dates, for its bar
    told: bool


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the big figures at the top, and the same on the other dates."""

    label: str
    shown: Shown
    note: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class DateCard:
    """One date in the strip: what it was like, and what changed since the one before."""

    label: str
    iso: str
    note: str
    told: bool
    placed: tuple[str, ...]  # of the first date only: what changes hands
    changes: tuple[Change, ...]
    more: int


def lede(run: Run) -> str:
    """Return the outcome in two sentences."""
    table = who_got_what(run).filter(pl.col("served_share").is_not_null())
    shares = [float(s) for s in table["served_share"]]
    full = sum(s >= _NEARLY_ALL for s in shares)
    none = sum(s <= 1e-9 for s in shares)
    o = outline(run)
    if o.served_share is None:
        return "Nobody asks for work."
    in_full = (
        "in full"
        if all(s < _NEARLY_ALL or s >= 1 - 1e-9 for s in shares)
        else "in full but for a rest below 1%"
    )
    found = zip((full, len(shares) - full - none, none), (in_full, "in part", "not at all"), strict=True)
    bids = ", ".join(f"{n} {how}" for n, how in found if n)
    served = f"{percent(o.served_share)} of the work asked for is served: of {len(shares)} {'bids' if len(shares) != 1 else 'bid'}, {bids}."
    moved = []
    if o.devices_sold:
        moved.append(f"{o.devices_sold:,} accelerators are sold")
    if o.devices_leased:
        moved.append(f"up to {o.devices_leased:,} {'are' if moved else 'accelerators are'} leased at once")
    if not moved:
        return f"{served} No accelerator changes hands."
    what = " and ".join(moved)
    return f"{served} {what[0].upper()}{what[1:]}, for {money(o.paid, run.clearing.book.currency)} in all."


def headlines(story: Story) -> tuple[Headline, ...]:
    """Return the six big figures of the run that is told, each beside its values on the other dates."""
    run = story.main
    currency = run.clearing.book.currency
    outlines = {r.scenario.as_of: outline(r) for r in story.dates}
    told = run.scenario.as_of
    o = outlines[told] if told in outlines else outline(run)

    def one(
        label: str,
        of: Callable[[Outline], Decimal | float | None],
        show: Callable[[Decimal | float | None], Shown],
        note: str,
    ) -> Headline:
        values = {date: of(outlines[date]) for date in outlines}
        return Headline(label, show(of(o)), note, _points(values, show, told) if len(values) > 1 else ())

    def amount(value: Decimal | float | None) -> Shown:
        return money(None if value is None else Decimal(value), currency)

    def unit_price(value: Decimal | float | None) -> Shown:
        return price(None if value is None else Decimal(value), currency)

    def whole(value: Decimal | float | None) -> Shown:
        return number(None) if value is None else count(int(value))

    def share(value: Decimal | float | None) -> Shown:
        return percent(None if value is None else float(value))

    proved = (
        f"proved to be within {gap(o.gap)} of the most possible"
        if o.gap > 0
        else "proved to be the most possible"
    )
    return (
        one("Work served", lambda x: x.served_share, share, "of all work that bids ask for"),
        one("Accelerators placed", lambda x: x.devices_sold + x.devices_leased, whole,
            f"{o.devices_sold:,} sold, {o.devices_leased:,} leased in the fullest hours"),
        one("Payments", lambda x: x.paid, amount, "from buyers to sellers over the horizon"),
        one("Price of work", lambda x: x.price_per_mtok, unit_price,
            "per million output tokens served, less what bought devices are still worth"),
        one("Pairs permitted", lambda x: x.permitted, whole,
            f"of {o.permitted + o.refused:,} pairs of a lot and a bid; {o.refused:,} refused"),
        one("Gain from trade", lambda x: x.welfare, amount, proved),
    )  # fmt: skip


def _points(
    values: Mapping[dt.date, Decimal | float | None],
    show: Callable[[Decimal | float | None], Shown],
    told: dt.date,
) -> tuple[Point, ...]:
    top = max((float(v) for v in values.values() if v is not None), default=0.0)
    return tuple(
        Point(
            day(date), show(v), max(0.0, float(v) / top) if v is not None and top > 0 else 0.0, date == told
        )
        for date, v in values.items()
    )


def _placed(run: Run) -> tuple[str, ...]:
    verb = {"lease": "leased at once", "sale": "sold"}
    return tuple(
        f"{c['devices']:,} {c['chip']} {verb[c['kind']]}" for c in by_chip(run).iter_rows(named=True)
    )


def strip(story: Story, most: int = 6) -> tuple[DateCard, ...]:
    """Return the dates in order, each with what changed since the one before."""
    cards = []
    for i, run in enumerate(story.dates):
        found = changes(story.dates[i - 1], run) if i else ()
        date = run.scenario.as_of
        cards.append(
            DateCard(
                label=day(date),
                iso=date.isoformat(),
                note=run.scenario.dates.get(date, ""),
                told=date == story.main.scenario.as_of,
                placed=() if i else _placed(run),
                changes=found[:most],
                more=len(found) - len(found[:most]),
            )
        )
    return tuple(cards)
