"""Do the tables fit each other and the world? Names that exist, owners that agree, windows on the cuts of the horizon."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from entrepot.scenario.codes import minor_units
from entrepot.scenario.columns import TOTAL_MINOR_MAX
from entrepot.scenario.faults import Faults, did_you_mean
from entrepot.scenario.horizon import nearest_boundary
from entrepot.scenario.once import note_offered_twice, note_wanted_twice
from entrepot.scenario.records import Horizon
from entrepot.scenario.starts import with_alternatives
from entrepot.scenario.table import LINE, Row, Sheet
from entrepot.scenario.vocabulary import Vocabulary
from entrepot.scenario.world import World

__all__ = ["Around", "check_bids", "check_holdings", "check_lots", "check_orders", "check_yields"]

_SALE = pl.col("kind") == "sale"


@dataclass(frozen=True, slots=True)
class Around:
    """What the tables are checked against.

    Attributes
    ----------
    residual : accelerators whose worth at the end of the horizon is stated; ``None`` where that section is unreadable
    currency : ``None`` where it is unreadable
    """

    world: World
    known: Vocabulary
    residual: tuple[str, ...] | None
    currency: str | None


def check_holdings(sheet: Sheet, around: Around, faults: Faults) -> None:
    """Note holdings of unknown parties, chips and sites."""
    _party(sheet, "party", around, faults)
    _accelerator(sheet, around, faults)
    _site(sheet, around, faults)


def check_lots(sheet: Sheet, holdings: pl.DataFrame | None, around: Around, faults: Faults) -> Sheet:
    """Note lots that are not their seller's, do not fit the time, or offer one unit twice.

    Parameters
    ----------
    holdings : id, party, accelerator, site, quantity, with the variant's quantities; ``None`` where unreadable

    Returns
    -------
    The lots with windows filled in, and ``owner``, ``accelerator``, ``site`` and ``held`` of their holdings.
    """
    _party(sheet, "seller", around, faults)
    sheet = _window(sheet, around.world.horizon, faults, sale=_SALE)
    _whole_blocks(sheet, faults)
    all_day = "Leave it empty; a device that is sold is sold for all hours."
    sheet.note(
        _SALE & (pl.col("hours") != "0-24"), "hours", faults, lambda _: ("a sale has no hours", all_day)
    )
    lease_hours = (pl.col("end") - pl.col("start")).dt.total_days() * 24
    _total(sheet, "ask", pl.when(_SALE).then(1).otherwise(lease_hours), around.currency, faults)
    if holdings is None:
        return sheet
    _known(
        sheet, "holding", holdings["id"].drop_nulls().to_list(), ("holding", "Write a row in holdings with this id."), faults
    )  # fmt: skip
    of_holding = (
        holdings.filter(pl.col("id").is_not_null())
        .unique("id", keep="first")
        .select(
            pl.col("id").alias("holding"),
            pl.col("party").alias("owner"),
            "accelerator",
            "site",
            pl.col("quantity").alias("held"),
        )
    )
    sheet = sheet.having(sheet.rows.join(of_holding, on="holding", how="left", maintain_order="left"))

    def not_theirs(row: Row) -> tuple[str, str]:
        what = f"holding {row['holding']} belongs to {row['owner']}, not to {row['seller']}"
        return what, f"Write {row['owner']}, or leave it empty."

    parties = list(around.world.party_ids)
    both = pl.col("seller").is_in(parties) & pl.col("owner").is_in(parties)
    sheet.note(both & (pl.col("seller") != pl.col("owner")), "seller", faults, not_theirs)
    _residual(sheet, "kind", _SALE, around, faults)
    note_offered_twice(sheet, around.world.horizon, faults)
    return sheet


def check_bids(sheet: Sheet, around: Around, faults: Faults) -> Sheet:
    """Note bids for what does not exist, at times that do not exist, or for one demand twice.

    Returns
    -------
    The bids with windows filled in, and a row more for each other day on which one may begin.
    """
    world = around.world
    _party(sheet, "buyer", around, faults)
    _known(
        sheet, "service", list(world.service_party), ("service", "Define it under [[services]] in scenario.toml."), faults
    )  # fmt: skip
    _site(sheet, around, faults)
    owner = pl.col("service").replace_strict(world.service_party, default=None, return_dtype=pl.String)
    sheet = sheet.having(sheet.rows.with_columns(owner.alias("owner")))

    def not_theirs(row: Row) -> tuple[str, str]:
        what = f"service {row['service']} belongs to {row['owner']}, not to {row['buyer']}"
        return what, f"Write {row['owner']}."

    parties = list(world.party_ids)
    both = pl.col("buyer").is_in(parties) & pl.col("owner").is_in(parties)
    sheet.note(both & (pl.col("buyer") != pl.col("owner")), "buyer", faults, not_theirs)
    _accelerators(sheet, list(around.known.accelerators), faults)
    sheet = _window(sheet, world.horizon, faults, sale=pl.lit(value=False))
    _bid_sites(sheet, around, faults)
    sheet = with_alternatives(sheet, world.horizon, faults)
    note_wanted_twice(sheet, world.horizon, faults)
    return sheet


def _bid_sites(sheet: Sheet, around: Around, faults: Faults) -> None:
    """Note sites of a bid that do not exist."""
    known = sorted(around.world.site_ids)
    strange = pl.col("sites").list.eval(~pl.element().is_in(known)).list.any().fill_null(value=False)

    def say(row: Row) -> tuple[str, str]:
        name = next(s for s in row["sites"] if s not in known)
        return f"there is no site {name!r}", "Define it under [[sites]] in scenario.toml."

    sheet.note(strange, "sites", faults, say)


def check_yields(sheet: Sheet, bids: pl.DataFrame | None, around: Around, faults: Faults) -> Sheet:
    """Note private yields of unknown bids and chips, and a yield that is stated twice.

    Parameters
    ----------
    bids : the bids with a row for each of their starts; ``None`` where unreadable

    Returns
    -------
    The yields, those of a bid repeated for each of its other starts.
    """
    _accelerator(sheet, around, faults)
    key = pl.struct("bid", "accelerator")
    stated = pl.col("bid").is_not_null() & pl.col("accelerator").is_not_null()

    def twice(row: Row) -> tuple[str, str]:
        what = f"the yield of bid {row['bid']} on {row['accelerator']} is stated on an earlier line"
        return what, "Delete one of the two."

    sheet.note(stated & ~key.is_first_distinct(), "bid", faults, twice)
    if bids is None:
        return sheet
    written = bids.unique(LINE, keep="first", maintain_order=True).select(pl.col("id").alias("bid"), LINE)
    _known(
        sheet, "bid", written["bid"].drop_nulls().to_list(), ("bid", "Write a row in bids with this id."), faults
    )  # fmt: skip
    each = written.join(bids.select(pl.col("id").alias("_each"), LINE), on=LINE, maintain_order="left_right")
    rows = sheet.rows.join(each.drop(LINE), on="bid", how="left", maintain_order="left")
    return sheet.having(rows.with_columns(bid=pl.coalesce("_each", "bid")).drop("_each"))


def check_orders(sheet: Sheet, lots: Mapping[str, int], around: Around, faults: Faults) -> None:
    """Note orders of unknown vendors and chips, and deliveries that come too late to be sold.

    Parameters
    ----------
    lots : line of each lot's id: an order makes a lot of its own name
    """
    _party(sheet, "vendor", around, faults)
    _accelerator(sheet, around, faults)
    _whole_blocks(sheet, faults)
    _total(sheet, "price", pl.lit(1), around.currency, faults)
    _residual(sheet, "accelerator", pl.lit(value=True), around, faults)

    def too_early(row: Row) -> tuple[str, str]:
        return f"{row['deliverable_from']} lies before the order of {row['ordered_on']}", "Write a later day."

    sheet.note(pl.col("deliverable_from") < pl.col("ordered_on"), "deliverable_from", faults, too_early)

    def taken(row: Row) -> tuple[str, str]:
        what = f"a lot is called {row['id']!r} too (lots, {lots[row['id']]}), and an order becomes a lot"
        return what, "Give one of the two another id; write no lots for orders."

    sheet.note(pl.col("id").is_in(list(lots)), "id", faults, taken)
    if around.world.horizon is not None:
        last = around.world.horizon.step_starts[-2]

        def too_late(row: Row) -> tuple[str, str]:
            what = f"{row['deliverable_from']} comes after the start of the last step, {last}"
            return what, "Extend the horizon, or delete the order: it offers nothing in it."

        sheet.note(pl.col("deliverable_from") > last, "deliverable_from", faults, too_late)


# --- names -----------------------------------------------------------------------------------------------------------


def _known(sheet: Sheet, column: str, names: Sequence[str], words: tuple[str, str], faults: Faults) -> None:
    """Note values of ``column`` that are none of ``names``; ``words``: what it is, and the mend where none is near."""
    hints: dict[str, str] = {}

    def say(row: Row) -> tuple[str, str]:
        value = row[column]
        if value not in hints:
            hints[value] = did_you_mean(value, names, otherwise=words[1])
        return f"there is no {words[0]} {value!r}", hints[value]

    sheet.note(~pl.col(column).is_in(list(names)), column, faults, say)


_CHIP = ("accelerator", "Write an id of the catalogue.")


def _accelerator(sheet: Sheet, around: Around, faults: Faults) -> None:
    _known(sheet, "accelerator", list(around.known.accelerators), _CHIP, faults)


def _party(sheet: Sheet, column: str, around: Around, faults: Faults) -> None:
    words = ("party", "Define it under [[parties]] in scenario.toml.")
    _known(sheet, column, around.world.party_ids, words, faults)


def _site(sheet: Sheet, around: Around, faults: Faults) -> None:
    words = ("site", "Define it under [[sites]] in scenario.toml.")
    _known(sheet, "site", around.world.site_ids, words, faults)


def _accelerators(sheet: Sheet, names: list[str], faults: Faults) -> None:
    distinct = set(sheet.rows["accelerators"].explode(empty_as_null=False).drop_nulls().unique().to_list())
    wrong = sorted(distinct - set(names))
    if not wrong:
        return

    def say(row: Row) -> tuple[str, str]:
        word = next(w for w in row["accelerators"] if w in wrong)
        return f"there is no {_CHIP[0]} {word!r}", did_you_mean(word, names, otherwise=_CHIP[1])

    hits = pl.col("accelerators").list.eval(pl.element().is_in(wrong)).list.any()
    sheet.note(hits, "accelerators", faults, say)


# --- quantities and money --------------------------------------------------------------------------------------------


def _whole_blocks(sheet: Sheet, faults: Faults) -> None:
    def say(row: Row) -> tuple[str, str]:
        quantity, block = row["quantity"], row["block"]
        low = quantity // block * block
        choice = f"{low} or {low + block}" if low else f"{block}"
        return f"{quantity} is not a multiple of the block of {block}", f"Write {choice}, or another block."

    sheet.note(pl.col("quantity") % pl.col("block") != 0, "quantity", faults, say)


def _total(sheet: Sheet, price: str, hours: pl.Expr, currency: str | None, faults: Faults) -> None:
    """Note rows of which quantity x price x hours is more than can be kept exactly."""
    if currency is None:
        return
    limit = TOTAL_MINOR_MAX // minor_units(currency)

    def say(row: Row) -> tuple[str, str]:
        what = f"{row['quantity']} devices at {row[price]} {currency} come to more than {limit:,} {currency}"
        return what, "Check the digits and the unit of the price."

    sheet.note(pl.col("quantity") * pl.col(f"{price}_f64") * hours > limit, price, faults, say)


def _residual(sheet: Sheet, column: str, sold: pl.Expr, around: Around, faults: Faults) -> None:
    """Note devices for sale of which nobody said what they are worth at the end of the horizon."""
    if around.residual is None:
        return
    chip = pl.col("accelerator")

    def say(row: Row) -> tuple[str, str]:
        name = row["accelerator"]
        what = f"nothing says what a {name} that is bought is worth at the end of the horizon"
        return what, f'Write under [residual] in scenario.toml: {name} = "..." ("0" if nothing).'

    known = chip.is_in(list(around.known.accelerators))
    sheet.note(sold & known & ~chip.is_in(list(around.residual)), column, faults, say)


# --- windows ---------------------------------------------------------------------------------------------------------


def _window(sheet: Sheet, horizon: Horizon | None, faults: Faults, *, sale: pl.Expr) -> Sheet:
    """Fill blank windows with the horizon, and note windows that it does not have; ``sale`` rows have no end."""
    if horizon is None:
        return sheet
    starts, ends = horizon.step_starts[:-1], horizon.step_starts[1:]
    start, end = pl.col("start"), pl.col("end")
    sheet = sheet.having(
        sheet.rows.with_columns(start.fill_null(pl.lit(horizon.start)), end.fill_null(pl.lit(horizon.end)))
    )

    def backwards(row: Row) -> tuple[str, str]:
        what = f"the window ends on {row['end']}, which is not after its start on {row['start']}"
        return what, "Write an end after the start."

    forward = end > start
    sheet.note(~forward, "end", faults, backwards)
    sheet.note(forward & ~start.is_in(list(starts)), "start", faults, _off(horizon, "start", starts))
    sheet.note(forward & ~end.is_in(list(ends)), "end", faults, _off(horizon, "end", ends))
    gone = "Leave it empty; a device that is sold is gone."
    early = sale & forward & (end < horizon.end) & end.is_in(list(ends))
    sheet.note(early, "end", faults, lambda _: ("a sale has no end", gone))
    return sheet


def _off(horizon: Horizon, column: str, boundaries: Sequence[dt.date]) -> Callable[[Row], tuple[str, str]]:
    def say(row: Row) -> tuple[str, str]:
        day: dt.date = row[column]
        near = nearest_boundary(day, boundaries)
        if not horizon.start <= day <= horizon.end:
            return f"{day} lies outside the horizon, {horizon.start} to {horizon.end}", f"Write {near}."
        if day in {horizon.start, horizon.end}:
            return f"a window cannot {column} on {day}: nothing of the horizon is in it", f"Write {near}."
        if horizon.step == "all":
            return (
                f"{day} lies inside the horizon, which is one step",
                f"Write {near}, or cut the horizon finer.",
            )
        return f"{day} lies inside a {horizon.step} of the horizon", f"Write {near}, the nearest cut."

    return say
