"""What did a person write? A scenario folder becomes one validated `Scenario`, or one error with every fault in it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from entrepot.errors import EntrepotError, NotFound
from entrepot.scenario import build
from entrepot.scenario.check import Around, check_bids, check_holdings, check_lots, check_orders, check_yields
from entrepot.scenario.columns import TABLES
from entrepot.scenario.faults import Faults, did_you_mean
from entrepot.scenario.records import Assumption, Scenario
from entrepot.scenario.table import LINE, Sheet, check_files, read_table
from entrepot.scenario.toml import FILE, Toml, read_toml
from entrepot.scenario.typed import typed
from entrepot.scenario.vocabulary import Vocabulary, of_catalogue
from entrepot.scenario.world import World, check_assumptions, sections, world

__all__ = ["read"]


def read(path: Path | str, *, as_of: dt.date | None = None, variant: str | None = None) -> Scenario:
    """Read a scenario folder: ``scenario.toml`` and the tables holdings, lots, bids, orders, yields.

    Parameters
    ----------
    path : the folder, or the ``scenario.toml`` in it
    as_of : day on which the law is read, in place of the one that is written
    variant : which reading of contested facts to open, in place of the default one

    Raises
    ------
    InputError
        With every fault found: file, line and field, what was read, and the mend.
    NotFound
        The scenario has no such variant.
    """
    faults = Faults()
    folder = _folder(Path(path), faults)
    faults.stop()
    known = of_catalogue()
    toml = read_toml(folder / FILE, faults)
    chosen = _variant(toml, variant)
    check_files(folder, faults)
    tables = _tables(folder, faults)
    around = world(toml, known, faults)
    if toml.raw:
        tables = _checked(tables, toml, _around(toml, around, known), chosen, faults)
    faults.stop()
    return _scenario(toml, around, tables, folder, as_of=as_of, variant=chosen)


def _around(toml: Toml, around: World, known: Vocabulary) -> Around:
    residual = toml.raw.get("residual", {})
    return Around(
        world=around,
        known=known,
        residual=tuple(residual) if isinstance(residual, dict) else None,
        currency=toml.scenario.currency if toml.scenario is not None else None,
    )


def _folder(path: Path, faults: Faults) -> Path:
    if path.name == FILE:
        path = path.parent
    if not path.exists():
        hint = did_you_mean(path.name, _neighbours(path), otherwise="Give a folder with a scenario.toml.")
        faults.add(str(path), "there is no such folder", hint)
    elif not path.is_dir():
        faults.add(
            str(path), "this is a file, not a scenario folder", "Give the folder that holds scenario.toml."
        )
    elif not (path / FILE).is_file():
        faults.add(
            str(path / FILE), "the file is missing", "Write it, or make a folder with `entrepot init`."
        )
    return path


def _neighbours(path: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in path.parent.iterdir() if entry.is_dir())
    except OSError:
        return []


def _tables(folder: Path, faults: Faults) -> dict[str, Sheet]:
    tables: dict[str, Sheet] = {}
    for name in TABLES:
        raw = read_table(folder, name, faults)
        if raw is not None:
            tables[name] = typed(raw, faults)
    return tables


def _variant(toml: Toml, asked: str | None) -> str | None:
    written = toml.raw.get("variants", {})
    names = list(written) if isinstance(written, dict) else []
    if asked is not None and asked not in names:
        raise NotFound("variant", asked, names)
    if asked is not None:
        return asked
    default = toml.scenario.default_variant if toml.scenario is not None else None
    return default if default in names else None


def _checked(
    tables: Mapping[str, Sheet], toml: Toml, around: Around, variant: str | None, faults: Faults
) -> dict[str, Sheet]:
    """Check the tables against each other and the world; return them with blanks filled in."""
    done = dict(tables)
    if "holdings" in done:
        check_holdings(done["holdings"], around, faults)
        done["holdings"] = _overridden(done["holdings"], toml, variant, faults)
    if "lots" in done:
        held = done["holdings"].rows if "holdings" in done else None
        done["lots"] = check_lots(_offered(done["lots"], toml, variant, faults), held, around, faults)
    if "bids" in done:
        done["bids"] = check_bids(done["bids"], around, faults)
    if "orders" in done:
        lots = dict(done["lots"].rows.select("id", LINE).iter_rows()) if "lots" in done else {}
        check_orders(done["orders"], lots, around, faults)
    if "yields" in done:
        bids = done["bids"].rows if "bids" in done else None
        done["yields"] = check_yields(done["yields"], bids, around, faults)
    ids: dict[str, Sequence[str]] = {
        name: tables[name].rows["id"].drop_nulls().to_list() if name in tables else []
        for name, columns in TABLES.items()
        if columns[0].type == "id"
    }
    for section in sections():
        content = toml.raw.get(section, {})
        ids[section] = toml.names(section) if isinstance(content, list) else list(content)
    check_assumptions(toml, ids, faults)
    return done


def _overridden(holdings: Sheet, toml: Toml, variant: str | None, faults: Faults) -> Sheet:
    """Return the holdings with the quantities of the open variant; every variant must name holdings that exist."""
    names = holdings.rows["id"].drop_nulls().to_list()
    for name, form in toml.variants.items():
        for holding in form.holdings:
            if holding not in names:
                hint = did_you_mean(holding, names, otherwise="Write it in holdings first.")
                where = toml.where(("variants", name, "holdings", holding))
                faults.add(where, f"there is no holding {holding!r}", hint)
    chosen = toml.variants.get(variant) if variant is not None else None
    if chosen is None or not chosen.holdings:
        return holdings
    new = pl.col("id").replace_strict(chosen.holdings, default=None, return_dtype=pl.Int64)
    return holdings.having(holdings.rows.with_columns(pl.coalesce(new, "quantity").alias("quantity")))


def _offered(lots: Sheet, toml: Toml, variant: str | None, faults: Faults) -> Sheet:
    """Return the lots that the open variant does not withdraw; every variant must name lots that exist."""
    names = lots.rows["id"].drop_nulls().to_list()
    for name, form in toml.variants.items():
        for lot in form.withdrawn:
            if lot not in names:
                hint = did_you_mean(lot, names, otherwise="Write it in lots first.")
                faults.add(toml.where(("variants", name, "withdrawn")), f"there is no lot {lot!r}", hint)
    chosen = toml.variants.get(variant) if variant is not None else None
    if chosen is None or not chosen.withdrawn:
        return lots
    return lots.having(lots.rows.filter(~pl.col("id").is_in(chosen.withdrawn)))


def _scenario(
    toml: Toml,
    around: World,
    tables: Mapping[str, Sheet],
    folder: Path,
    *,
    as_of: dt.date | None,
    variant: str | None,
) -> Scenario:
    form, horizon = toml.scenario, around.horizon
    if form is None or horizon is None:
        raise EntrepotError(
            "scenario.toml was accepted without its sections: a mistake of entrepot, please report it"
        )
    orders = build.orders(tables["orders"].rows) if "orders" in tables else ()
    return Scenario(
        name=form.name,
        title=form.title,
        story=form.story.strip(),
        path=folder,
        as_of=form.as_of if as_of is None else as_of,
        dates=around.dates,
        variant=variant,
        variants={name: v.title for name, v in toml.variants.items()},
        currency=form.currency,
        horizon=horizon,
        rate_basis=form.rate_basis,
        seed=form.seed,
        residual=toml.residual,
        parties=around.parties,
        sites={**around.sites, **build.origin_sites(orders)},
        holdings=build.holdings(tables["holdings"].rows),
        services=around.services,
        lots=(*build.lots(tables["lots"].rows), *build.lots_of_orders(orders, horizon)),
        bids=build.bids(tables["bids"].rows),
        orders=orders,
        assumptions=tuple(Assumption(field=a.field, text=a.text) for _, a in toml.assumptions),
        claims=around.claims,
        granted=tuple(form.granted),
        yields=build.yields(tables["yields"].rows) if "yields" in tables else (),
    )
