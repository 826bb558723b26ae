"""``entrepot surplus``, ``clear``, ``what-if``, ``depth``, ``statement`` and ``verify``: what is left, who gets what, and is it right?"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import polars as pl
from cyclopts import Parameter

from entrepot import api, market
from entrepot.cli import brief
from entrepot.cli.output import Output, emit, note, stderr_console
from entrepot.errors import Conflict, Fault, InputError
from entrepot.market.curve_picture import curves_svg
from entrepot.market.curves import pool_curves, traded
from entrepot.report import tables
from entrepot.report.what_if import what_if_tables

__all__ = ["clear", "curves", "depth", "statement", "surplus", "verify", "what_if"]


def surplus(
    scenario: Path,
    *,
    on: dt.date | None = None,
    variant: str | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say what each holding has left, hour by hour, after its party's own services and reserve.

        entrepot surplus examples/spring-2025
        entrepot surplus examples/spring-2025 --variant omdia -o csv

    Parameters
    ----------
    scenario
        the scenario's folder
    on
        read the law and the market on this day
    variant
        the reading of contested facts
    """
    read = api.load(scenario, as_of=on, variant=variant)
    left = api.surplus(read)
    hours = pl.col("period") % 24
    table = (
        left.by_period.with_columns(hour=hours)
        .filter(pl.col("period") < 24)  # every step has the same day
        .select("holding", "accelerator", "hour", "held", "own_need", "reserve", "surplus")
    )
    emit(table.to_dicts(), kind="surplus", output=output or Output())


def clear(
    scenario: Path,
    *,
    on: dt.date | None = None,
    variant: str | None = None,
    save: Path | None = None,
    publish: Path | None = None,
    salt_key: Path | None = None,
    time_limit: Annotated[float | None, Parameter(name="--time-limit")] = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Clear the market: who gets what, at which prices, and what stayed unserved. Proved before it is shown.

        entrepot clear examples/spring-2025
        entrepot clear examples/spring-2025 --on 2025-05-20 --save result
        entrepot clear examples/spring-2025 -o json
        entrepot clear examples/spring-2025 --time-limit 10
        entrepot clear examples/spring-2025 --save result --publish public

    Parameters
    ----------
    scenario
        the scenario's folder
    on
        read the law and the market on this day
    variant
        the reading of contested facts
    save
        write the order book, the result and the settled ledger into this new folder; with the key of the orders' salts, which
        stays with the operator
    publish
        write the public result into this new folder: prices, root and certificate, and no order
    salt_key
        a file with the operator's key for the salts of the hash tree, instead of a fresh one
    time_limit
        seconds after which the best result so far is proved and shown, instead of a better one sought
    """
    if time_limit is not None and not time_limit > 0:
        raise InputError(Fault("--time-limit", f"{time_limit} seconds", "Give a number above 0."))
    if publish is not None and save is None and salt_key is None:
        raise InputError(
            Fault(
                "--publish",
                "the key of the orders' salts would be lost",
                "Add --save DIR, or --salt-key FILE.",
            )
        )
    if publish is not None and publish.exists() and (not publish.is_dir() or any(publish.iterdir())):
        raise Conflict(
            f"{publish} is there already.\n  Name another folder, or remove it; nothing was written."
        )
    key = None if salt_key is None else market.read_key(salt_key)
    read = api.load(scenario, as_of=on, variant=variant)
    with stderr_console().status("Reading law and rates…") as status:

        def progress(stage: str, welfare: float | None, bound: float | None) -> None:
            said = stage
            if bound is not None:
                said += f": bound {bound / 1e6:,.0f} {read.currency}"
            if welfare is not None and bound:
                said += f", reached {welfare / 1e6:,.0f}, gap {(bound - welfare) / bound:.3%}"
            status.update(said)

        run = (
            api.run(read, seconds=time_limit, progress=progress, salt_key=key or b"")
            if save is None
            else api.run_into(read, save, seconds=time_limit, progress=progress, salt_key=key)
        )
        if publish is not None:
            market.publish(run.clearing, publish)
    show = output or Output()
    titles = {
        "who_got_what": f"{read.title}: who got what, law and market of {read.as_of}",
        "trades": "Trades (devices: most at once)",
        "prices": f"Prices in {read.currency}, uniform per pool",
        "unserved": "What stayed unserved, and why",
        "permits": "Permits and refusals",
        "made_whole": "Made whole: what accepted orders would lose at the prices, paid by those that gain",
    }
    every = {
        "who_got_what": tables.who_got_what(run),
        "trades": run.clearing.trades,
        "prices": tables.prices_summary(run),
        "unserved": tables.unserved(run),
        "permits": tables.permits_summary(run),
        "made_whole": run.clearing.make_whole,
        "fees": run.clearing.fees,
        "dues": market.dues(run.clearing),
        "proof": tables.proof(run),
    }
    rows = (
        brief.of_run(run)
        if show.output == "table"
        else {name: table.to_dicts() for name, table in every.items()}
    )
    emit(rows, kind="clearing", output=show, titles=titles)
    proof = run.clearing.certificate
    note(
        f"Proved: welfare is within {proof.gap:.4%} of a bound that no allocation can exceed; "
        f"{run.verification.checks.height} checks passed. Ledger: {run.audit}."
    )
    if save is not None:
        note(f"Saved to {save}: try entrepot verify {save}, entrepot ledger balance {save}.")
        if key is None:
            note(f"{save / 'salt.key'} keeps the orders secret: it is for the operator alone.")
    if publish is not None:
        note(
            f"Published to {publish}: prices, root and certificate. For one party: entrepot statement RESULT --party NAME."
        )


def what_if(
    scenario: Path,
    *,
    without_lot: Annotated[list[str] | None, Parameter(negative=())] = None,
    without_bid: Annotated[list[str] | None, Parameter(negative=())] = None,
    grant: Annotated[list[str] | None, Parameter(negative=())] = None,
    on: dt.date | None = None,
    variant: str | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Clear the market as it is and with a change, and set the two side by side: prices, orders, who gains, who loses.

        entrepot what-if examples/spring-2025 --without-lot larch-910c-sale
        entrepot what-if examples/spring-2025 --grant holly-h20
        entrepot what-if examples/spring-2025 --grant meranti-h100-sale:birch
        entrepot what-if examples/spring-2025 --without-lot alder-sale -o json

    Both clearings are proved. A licence that is taken as granted is an assumption: what is prohibited or unknown stays refused.

    Parameters
    ----------
    scenario
        the scenario's folder
    without_lot
        take this lot out of the book; may be repeated
    without_bid
        take this bid out of the book; may be repeated
    grant
        treat this lot or order as if the licences that it needs were granted; LOT:BUYER names who receives, which a buyer on a
        list needs; may be repeated
    on
        read the law and the market on this day
    variant
        the reading of contested facts
    """
    changes = (without_lot or [], without_bid or [], grant or [])
    if not any(changes):
        raise InputError(
            Fault("what-if", "nothing changes", "Give --without-lot, --without-bid or --grant with an id.")
        )
    read = api.load(scenario, as_of=on, variant=variant)
    with stderr_console().status("Clearing the market twice…"):
        found = api.what_if(read, without_lots=changes[0], without_bids=changes[1], grant=changes[2])
    words = [f"without {name}" for name in changes[0] + changes[1]] + [
        f"with the licences of {name} granted" for name in changes[2]
    ]
    show = output or Output()
    every = what_if_tables(found.compared, brief=show.output == "table")
    titles = {
        "totals": f"{read.title}: as it is, and {', '.join(words)}",
        "prices": f"Mean prices in {read.currency}",
        "orders": "Share of each order that is accepted",
        "parties": f"Who gains and who loses, in {read.currency}",
    }
    emit(
        {name: table.to_dicts() for name, table in every.items()}, kind="what-if", output=show, titles=titles
    )
    for name in changes[2]:
        note(f"{name}: a licence taken as granted is an assumption of this comparison, not a finding.")
    note("Both clearings are proved. A change below the gap of a clearing says nothing.")


def depth(
    scenario: Path,
    *,
    on: dt.date | None = None,
    variant: str | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Show how deep each pool is, and in how few hands: sellers, offers near the price, concentration (HHI).

        entrepot depth examples/spring-2025
        entrepot depth examples/mixed-fleet -o csv

    Parameters
    ----------
    scenario
        the scenario's folder
    on
        read the law and the market on this day
    variant
        the reading of contested facts
    """
    read = api.load(scenario, as_of=on, variant=variant)
    table = market.depth(api.clear(read))
    emit(table.to_dicts(), kind="depth", output=output or Output())
    note(
        "HHI is the sum of squared shares in percent; the U.S. merger guidelines of 2023 call more than 1,800 highly "
        "concentrated. Amounts are device-hours, of a sale devices."
    )


def curves(
    market_folder: Path,
    *,
    pool: Annotated[list[int] | None, Parameter(negative=())] = None,
    period: int | None = None,
    picture: Path | None = None,
    on: dt.date | None = None,
    variant: str | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Show supply and demand of each pool: lots in merit order, and what would be bought of it at each price of it.

        entrepot curves examples/spring-2025
        entrepot curves result --pool 0 --period 12 -o csv
        entrepot curves result --picture curves.svg

    Demand takes all other prices as the clearing has them, and orders as divisible. Of a sale there is supply alone.

    Parameters
    ----------
    market_folder
        a scenario's folder, or one that clear --save wrote
    pool
        this pool, by its number; may be repeated; without it all pools with trade
    period
        this period; without it the one in which most of the pool is let
    picture
        write an SVG picture into this new file
    on
        read the law and the market on this day (of a scenario)
    variant
        the reading of contested facts (of a scenario)
    """
    if picture is not None and (picture.suffix != ".svg" or picture.exists()):
        wrong = "is there already" if picture.exists() else "is no .svg file"
        raise InputError(Fault("--picture", f"{picture} {wrong}", "Name a new file that ends in .svg."))
    saved = (market_folder / "summary.json").exists()
    clearing = (
        market.read(market_folder) if saved else api.clear(api.load(market_folder, as_of=on, variant=variant))
    )
    usual = dict(traded(clearing))
    some = sorted(usual) if pool is None else pool
    sales = set(clearing.prices.filter(pl.col("period").is_null())["pool"])
    panels = [
        pool_curves(clearing, k, None if k in sales else usual.get(k, 0) if period is None else period)
        for k in some
    ]
    if not panels:
        note("No pool is let. Name one with --pool.")
        return
    if picture is not None:
        unit = f"Prices in {clearing.book.currency} per device-hour"
        drawn = [panel for panel in panels if panel.height]
        picture.write_text(curves_svg(drawn, "Supply and demand of each pool", unit), encoding="utf-8")
        note(f"Drawn: {picture}.")
    emit(pl.concat(panels).to_dicts(), kind="curves", output=output or Output())


def statement(
    result: Path,
    *,
    party: str | None = None,
    every: Annotated[Path | None, Parameter(name="--all")] = None,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"])] = None,
    salt_key: Path | None = None,
) -> None:
    """Write one party's own statement: its orders with their paths to the root, prices, permits, payments, and no other's orders.

        entrepot statement result --party birch -f birch.json
        entrepot statement result --all statements
        entrepot verify birch.json --published public

    Parameters
    ----------
    result
        a folder that clear --save wrote
    party
        whose statement
    every
        write everybody's into this new folder, one file each
    file
        the file to write; PARTY.json, if left out
    salt_key
        the operator's key, where it is not kept with the result
    """
    if (party is None) == (every is None):
        raise InputError(Fault("statement", "whose?", "Give --party NAME, or --all DIR."))
    clearing = market.read(result, salt_key=None if salt_key is None else market.read_key(salt_key))
    if every is not None:
        if every.exists() and (not every.is_dir() or any(every.iterdir())):
            raise Conflict(
                f"{every} is there already.\n  Name another folder, or remove it; nothing was written."
            )
        everybody = market.parties(clearing)
        names = [quote(name, safe=" ") + ".json" for name in everybody]
        told = market.statements(clearing, everybody)
        first = next(told, None)  # refused before anything is written
        every.mkdir(parents=True, exist_ok=True)
        for name, one in zip(names, chain([first] if first else [], told), strict=True):
            _write_private(every / name, one)
        note(f"Wrote {len(names)} statements to {every}; send each to its own party only.")
        return
    path = file or Path(f"{quote(str(party), safe=' ')}.json")
    if path.exists():
        raise Conflict(f"{path} is there already.\n  Name another file; nothing was written.")
    _write_private(path, market.statement(clearing, str(party)))
    note(f"Wrote {path}: for {party} only. It is checked by entrepot verify {path}.")


def _write_private(path: Path, told: Mapping[str, object]) -> None:
    """Write a statement, readable by its owner alone."""
    text = json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)


def verify(
    result: Path,
    *,
    party: str | None = None,
    published: Path | None = None,
    seed_hash: str | None = None,
    salt_key: Path | None = None,
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> int:
    """Prove a saved clearing from its order book alone, or one party's statement from nothing but itself.

        entrepot verify result
        entrepot verify result --party birch
        entrepot verify birch.json
        entrepot verify birch.json --published public

    Neither check shares code with the solver, nor with the other.

    Parameters
    ----------
    result
        a folder that clear --save wrote, or a file that statement wrote
    party
        check this participant's own treatment from the prices and its own orders only
    published
        the folder that clear --publish wrote, to hold a statement against
    seed_hash
        the SHA-256 of the seed as it was published before the gate, to hold a statement against
    salt_key
        the operator's key, where it is not kept with the result
    """
    if result.is_file():
        if party is not None or salt_key is not None:
            raise InputError(
                Fault(str(result), "is a statement, of one party", "Leave out --party and --salt-key.")
            )
        against = (
            None if published is None else _json(published / "public.json", "the folder of clear --publish")
        )
        found = market.check_statement(
            _json(result, "a file that entrepot statement wrote"), published=against, seed_sha256=seed_hash
        )
        rows = [{"check": name, "ok": ok, "detail": detail} for name, ok, detail in found]
        emit(rows, kind="verification", output=output or Output())
        stands = all(ok for _, ok, _ in found)
        note("The statement stands." if stands else "The statement does NOT stand.")
        return 0 if stands else 1
    if published is not None or seed_hash is not None:
        raise InputError(
            Fault(
                str(result),
                "is no statement",
                "Give the file of entrepot statement, or leave out --published and --seed-hash.",
            )
        )
    clearing = market.read(result, salt_key=None if salt_key is None else market.read_key(salt_key))
    verification = api.verify(clearing, party=party)
    emit(verification.checks.to_dicts(), kind="verification", output=output or Output())
    note("The clearing stands." if verification.ok else "The clearing does NOT stand.")
    return 0 if verification.ok else 1


def _json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(Fault(str(path), "cannot be read", f"Name {what}.")) from None
    except (ValueError, RecursionError):
        raise InputError(Fault(str(path), "is not JSON", f"Name {what}.")) from None
    if not isinstance(told, dict):
        raise InputError(Fault(str(path), "is not a JSON object", f"Name {what}."))
    return told
