"""One way through the house: from files that a person wrote to a cleared market, a settled ledger and a report.

::

    scenario ─► rates ─► surplus ─► permits ─► book ─► clearing ─► verified ─► settled ─► report

Each step is a function from immutable tables to immutable tables; files are read in `load`, and the ledger's storage is
named by the caller.
"""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from entrepot import acts, catalogue, market, performance, planning
from entrepot import ledger as books
from entrepot import scenario as scenarios
from entrepot.acts import Decided
from entrepot.catalogue import demand as public_demand
from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.controls import decide
from entrepot.controls.records import Decision, PartyFacts, Provenance, Transfer, TransferKind
from entrepot.controls.table import screen_table
from entrepot.errors import Conflict, Fault, InputError, MissingFact, NotFound, Unproven
from entrepot.market.records import Book, Clearing
from entrepot.market.verify import Verification
from entrepot.market.watch import Progress
from entrepot.market.what_if import Compared, as_if_licensed, compared, without
from entrepot.performance.records import Slo, Workload
from entrepot.planning import Surplus
from entrepot.report import write_report
from entrepot.report.records import Run, Story
from entrepot.scenario.records import Bid, Lot, Scenario

__all__ = [
    "Run",
    "Story",
    "WhatIf",
    "check",
    "clear",
    "compare",
    "decisions",
    "lease_prices",
    "load",
    "permits",
    "proved",
    "provenance",
    "rates",
    "run",
    "run_into",
    "screen",
    "size",
    "size_by_hour",
    "sized",
    "story",
    "surplus",
    "train",
    "transfer",
    "verify",
    "what_if",
    "work_of",
    "workload",
    "write_report",
]

_PAIRS_MAX = 5_000_000  # a table of more pairs of lot and bid is not made


def load(path: str | Path, *, as_of: dt.date | None = None, variant: str | None = None) -> Scenario:
    """Read a scenario folder.

    Parameters
    ----------
    as_of : the day on which the law is read and the market cleared, instead of the scenario's own
    variant : the reading of contested facts, instead of the scenario's default

    Raises
    ------
    InputError : with every fault found: file, row, field and mend
    """
    return scenarios.read(path, as_of=as_of, variant=variant)


def workload(scenario: Scenario, service: str) -> Workload:
    """Return one service of a scenario as the performance model sees it."""
    s = scenario.services[service]
    return Workload(s.id, s.model, s.isl, s.osl, s.share, Slo(s.ttft_ms, s.tpot_ms), s.prefix_hit_share)


def rates(scenario: Scenario) -> pl.DataFrame:
    """Estimate what each chip of the scenario delivers for each of its services.

    Returns
    -------
    One row per service and accelerator; ``mtok_per_device_hour`` is the end of the interval that the scenario's
    ``rate_basis`` names, null with a ``reason`` where there is no rate.
    """
    chips = sorted({h.accelerator for h in scenario.holdings} | {x.accelerator for x in scenario.lots})
    table = performance.rates(
        [workload(scenario, s) for s in scenario.services],
        [catalogue.accelerator(c) for c in chips],
        {s.model: catalogue.model(s.model) for s in scenario.services.values()},
    )
    chosen = pl.col(f"mtok_per_device_hour_{scenario.rate_basis}")
    return table.rename({"workload": "service"}).with_columns(chosen.alias("mtok_per_device_hour"))


def surplus(scenario: Scenario, of_rates: pl.DataFrame | None = None) -> Surplus:
    """Return what each holding has left after its party's own services and reserve, period by period."""
    return planning.surplus(scenario, rates(scenario) if of_rates is None else of_rates)


def transfer(scenario: Scenario, lot: Lot, bid: Bid) -> Transfer:
    """Return the act that serving ``bid`` from ``lot`` would be, with the facts that the law asks about."""
    return acts.transfer(scenario, lot, bid)


def decisions(scenario: Scenario) -> Decided:
    """Decide every pair of lot and bid, by their ids; each distinct kind of act is decided once."""
    return acts.decided(scenario)


def permits(scenario: Scenario, of_decisions: Decided | None = None) -> pl.DataFrame:
    """Return one row per lot and bid: may it be, which paragraph says so, and why.

    Nobody trades with itself: such pairs are not permitted, and the reason says that. Of a market with more than
    `_PAIRS_MAX` pairs the rows are one per kind of lot and kind of bid, under the first ids of each.
    """
    answers = (acts.decided(scenario) if of_decisions is None else of_decisions).permits
    return answers.by_pair() if answers.pairs <= _PAIRS_MAX else answers.by_kind()


def clear(scenario: Scenario, *, seconds: float | None = None, progress: Progress | None = None) -> Clearing:
    """Clear the scenario's market, and prove the result before it is returned.

    Parameters
    ----------
    seconds : after which stages that only make it better stop: the best that is proved by then is returned
    progress : told stage, welfare and bound as they come

    Raises
    ------
    Unproven : the independent check disagrees; nothing is published
    """
    return run(scenario, settle=False, seconds=seconds, progress=progress).clearing


def verify(clearing: Clearing, *, party: str | None = None) -> Verification:
    """Check a clearing from its order book alone, or as one participant from the prices and its own orders."""
    return market.verify(clearing) if party is None else market.verify_participant(clearing, party)


def run(
    scenario: Scenario,
    *,
    settle: bool = True,
    ledger: str | Path = ":memory:",
    seconds: float | None = None,
    progress: Progress | None = None,
    salt_key: bytes = b"",
) -> Run:
    """Go the whole way for one scenario: rates, surplus, permits, clearing, check, settlement.

    Parameters
    ----------
    settle : post the opening balances and the trades to a ledger
    ledger : where that ledger is kept
    seconds : after which stages that only make the clearing better stop: the best that is proved by then is returned
    progress : told stage, welfare and bound as they come
    salt_key : the operator's secret, from which the salts of the hash tree follow; without one nothing can be published

    Raises
    ------
    Refused : a lot offers more than its holder's policy leaves
    Unproven : the independent check of the clearing disagrees
    """
    of_rates = rates(scenario)
    left = surplus(scenario, of_rates)
    capacity = planning.offered(scenario, left)
    wanted = planning.demand(scenario, left)
    decided = decisions(scenario)
    of_permits = permits(scenario, decided)
    book = replace(market.book(scenario, of_rates, decided.permits, capacity, wanted), salt_key=salt_key)
    clearing, checked = proved(book, seconds=seconds, progress=progress)
    balances, audit = pl.DataFrame(), "not settled"
    if settle:
        with books.Ledger.open(ledger) as journal:
            for entry in books.opening(scenario):
                journal.post(entry)
            books.settle(journal, clearing, scenario)
            balances, audit = journal.balances(), str(journal.audit())
    return Run(
        scenario, of_rates, of_permits, decided, left, capacity, wanted, clearing, checked, balances, audit
    )


def proved(
    book: Book, *, seconds: float | None = None, progress: Progress | None = None
) -> tuple[Clearing, Verification]:
    """Clear a book, and check the result before it is returned.

    Parameters
    ----------
    seconds : after which stages that only make it better stop
    progress : told stage, welfare and bound as they come

    Raises
    ------
    Unproven : the independent check disagrees; nothing is published
    """
    clearing = market.clear(book, seconds=seconds, progress=progress)
    checked = market.verify(clearing)
    if not checked.ok:
        failed = checked.checks.filter(~pl.col("ok")).row(0, named=True)
        raise Unproven(
            f"the clearing does not stand: {failed['check']}: {failed['detail']}\n  Nothing was published."
        )
    return clearing, checked


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A market as it is and as it would be, each proved, and what changes."""

    before: Clearing
    after: Clearing
    compared: Compared


def what_if(
    scenario: Scenario,
    *,
    without_lots: Sequence[str] = (),
    without_bids: Sequence[str] = (),
    grant: Sequence[str] = (),
) -> WhatIf:
    """Clear a market as it is, and once more with a change; both are proved.

    Parameters
    ----------
    without_lots, without_bids : orders that are taken out of the book; everything else stays as it is
    grant : lots (an order on a vendor is a lot of the same name) that are treated as if the licences they need were granted,
        each ``LOT`` or ``LOT:BUYER``; what is prohibited or unknown stays refused, and so, unless its buyer is named, does
        what is refused because a party is listed

    Raises
    ------
    NotFound : there is no such order, or no such buyer
    Unproven : the independent check of a clearing disagrees
    """
    of_rates = rates(scenario)
    left = surplus(scenario, of_rates)
    capacity, wanted = planning.offered(scenario, left), planning.demand(scenario, left)
    law = decisions(scenario).permits
    book = market.book(scenario, of_rates, law, capacity, wanted)
    changed = book
    if grant:
        changed = market.book(scenario, of_rates, as_if_licensed(law, _grants(book, grant)), capacity, wanted)
    changed = without(changed, lots=without_lots, bids=without_bids)
    before, after = proved(book)[0], proved(changed)[0]
    return WhatIf(before, after, compared(before, after))


def _grants(book: Book, grant: Sequence[str]) -> list[tuple[str, list[str] | None]]:
    """Return lots, and the bids of the buyer that each licence names."""
    lots, read = set(book.lots["lot"].to_list()), []
    for one in grant:
        lot, _, buyer = (one, "", "") if one in lots else one.rpartition(":") if ":" in one else (one, "", "")
        bids = book.bids.filter(pl.col("buyer") == buyer)["bid"].to_list() if lot != one else None
        if bids == []:
            raise NotFound("buyer", buyer, sorted(set(book.bids["buyer"].to_list())))
        read.append((lot, bids))
    return read


def run_into(
    scenario: Scenario,
    folder: Path,
    *,
    seconds: float | None = None,
    progress: Progress | None = None,
    salt_key: bytes | None = None,
) -> Run:
    """Go the whole way and keep it: order book, result and settled ledger in a new folder.

    The folder appears when everything in it is written, or not at all.

    Parameters
    ----------
    salt_key : the operator's secret, which is then not kept in the folder; left out, a fresh one is, readable by its owner alone

    Raises
    ------
    Conflict : the folder is there already and not empty
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict(
            f"{folder} is there already.\n  Name another folder, or remove it; nothing was written."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        made = Path(beside) / "result"
        made.mkdir()
        key = market.new_key() if salt_key is None else salt_key
        done = run(scenario, ledger=made / "ledger.sqlite", seconds=seconds, progress=progress, salt_key=key)
        market.write(done.clearing, made, keep_key=salt_key is None)
        if folder.exists():
            folder.rmdir()
        made.rename(folder)
    return done


def story(path: str | Path, *, as_of: dt.date | None = None, variant: str | None = None) -> Story:
    """Run a scenario on all its dates and, on its own date, under every reading of contested facts."""
    main = load(path, as_of=as_of, variant=variant)
    days = sorted({main.as_of, *main.dates})
    on_days = {day: run(load(path, as_of=day, variant=main.variant)) for day in days}
    readings = {
        name: on_days[main.as_of] if name == main.variant else run(load(path, as_of=main.as_of, variant=name))
        for name in main.variants
    }
    told = on_days[main.as_of]
    return Story(told, tuple(on_days.values()), tuple(readings.values()) or (told,))


def check(
    accelerator: str,
    *,
    origin: str,
    destination: str,
    on: dt.date,
    kind: TransferKind,
    sender: PartyFacts,
    recipient: PartyFacts,
    provenance: Provenance | None = None,
) -> Decision:
    """Decide one act: may this chip go from this party to that one, on this day?"""
    chip = catalogue.accelerator(accelerator)
    return decide(
        Transfer(chip.id, kind, origin, destination, sender, recipient, on, provenance or Provenance())
    )


def screen(transfers: pl.DataFrame, *, carry: Sequence[str] = ()) -> pl.DataFrame:
    """Judge a table of transfers, each distinct kind of act once; see `entrepot.controls.table.screen_table`.

    Returns
    -------
    The same rows with outcome, allowed, item_class, review_policy, codified_outcome, paragraphs, missing, decision_id and
    law_known_to
    """
    return screen_table(transfers, carry=carry).rows


def provenance(ledger: str | Path, unit_lot: str) -> tuple[str, Provenance]:
    """Return what a ledger knows of a lot of units: the accelerator, and how it came, as the controls read it.

    Raises
    ------
    NotFound : there is no such lot
    """
    with books.Ledger.open(ledger, create=False) as journal:
        lot = journal.unit_lot(unit_lot)
    return lot.accelerator, Provenance(lot.imported_on, lot.imported_from, lot.authorisation, lot.conditions)


def work_of(
    model: str,
    *,
    mix: str,
    slo: Slo | None = None,
    prefix_hit_share: float = 0.0,
    arrival_scv: float | None = None,
) -> Workload:
    """Return a model's work on a public request-size mix, as the performance model sees it."""
    isl, osl, share = public_demand.mix(mix)
    return Workload(
        f"{model} {mix}",
        catalogue.model(model).id,
        np.array(isl),
        np.array(osl),
        np.array(share),
        slo or Slo(None, None),
        prefix_hit_share,
        arrival_scv,
    )


def _chips(names: Sequence[str] | None) -> list[Accelerator]:
    if names is None:
        return list(catalogue.accelerators().values())
    return [catalogue.accelerator(name) for name in names]


def size(
    model: str,
    requests_per_s: Sequence[float],
    *,
    mix: str = "servegen-deepseek-r1",
    chips: Sequence[str] | None = None,
    slo: Slo | None = None,
    prefix_hit_share: float = 0.0,
    arrival_scv: float | None = None,
    speculation: performance.Speculation | None = None,
    pools: bool = False,
) -> pl.DataFrame:
    """Return the devices that a service needs in each kind of chip: low, central and high, in whole replicas.

    Parameters
    ----------
    requests_per_s : load at each moment of interest, e.g. 24 hours; the answer covers the largest
    mix : a public request-size mix of the catalogue
    arrival_scv : burstiness of the service's arrivals; ``None`` is a closed loop
    pools : weigh separate pools for prefill and decode too
    """
    work = work_of(model, mix=mix, slo=slo, prefix_hit_share=prefix_hit_share, arrival_scv=arrival_scv)
    load_rps = np.asarray(requests_per_s, dtype=np.float64)
    shape = catalogue.model(model)
    return _sizes(
        [(work.id, work, chip, shape, load_rps) for chip in _chips(chips)], speculation, pools=pools
    )


def size_by_hour(
    model: str,
    requests_per_s: Sequence[float],
    *,
    mix: str,
    chips: Sequence[str],
    slo: Slo | None = None,
    prefix_hit_share: float = 0.0,
    arrival_scv: float | None = None,
    speculation: performance.Speculation | None = None,
    pools: bool = False,
) -> pl.DataFrame:
    """Return the devices that a service needs in each hour, and those that its peak leaves idle then.

    Returns
    -------
    table ``accelerator``, ``hour``, ``requests_per_s``, ``devices_low``, ``devices_central``, ``devices_high``, ``idle``:
    devices of the busiest hour that this hour does not need, at the central rate
    """
    work = work_of(model, mix=mix, slo=slo, prefix_hit_share=prefix_hit_share, arrival_scv=arrival_scv)
    load_rps = np.asarray(requests_per_s, dtype=np.float64)
    tables = []
    for chip in _chips(chips):
        found = performance.size(
            work, chip, catalogue.model(model), load_rps, speculation=speculation, pools=pools
        )
        peak = int(found.devices_central.max())
        tables.append(
            pl.DataFrame(
                {
                    "accelerator": [chip.id] * len(load_rps),
                    "hour": range(len(load_rps)),
                    "requests_per_s": load_rps,
                    "devices_low": found.devices_low,
                    "devices_central": found.devices_central,
                    "devices_high": found.devices_high,
                    "idle": peak - found.devices_central,
                }
            )
        )
    return pl.concat(tables)


def sized(scenario: Scenario, *, pools: bool = False) -> pl.DataFrame:
    """Return what each service of a scenario needs at its peak, in each kind of chip that the scenario has.

    The peak is the busiest hour of the day times the service's headroom; ``mean`` is the mean of the day. The rates are those of the
    scenario (``rates``), unless ``pools`` asks for separate pools for prefill and decode to be weighed as well.
    """
    chips = sorted({h.accelerator for h in scenario.holdings} | {x.accelerator for x in scenario.lots})
    return _sizes(
        [
            (s.id, workload(scenario, s.id), catalogue.accelerator(chip), catalogue.model(s.model),
             np.append(s.requests_per_s * s.hourly * s.headroom, s.requests_per_s))
            for s in scenario.services.values()
            for chip in chips
        ],
        pools=pools,
    )  # fmt: skip


def _sizes(
    asked: Sequence[tuple[str, Workload, Accelerator, Model, NDArray[np.float64]]],
    speculation: performance.Speculation | None = None,
    *,
    pools: bool = False,
) -> pl.DataFrame:
    rows: list[dict[str, object]] = []
    for name, work, chip, shape, load_rps in asked:
        row: dict[str, object] = {
            "workload": name,
            "accelerator": chip.id,
            "peak_requests_per_s": float(load_rps.max()),
        }
        try:
            found = performance.size(work, chip, shape, load_rps, speculation=speculation, pools=pools)
        except MissingFact as unknown:
            rows.append({**row, "reason": str(unknown)})
            continue
        rows.append({
            **row,
            "devices_low": int(found.devices_low.max()),
            "devices_central": int(found.devices_central.max()),
            "devices_high": int(found.devices_high.max()),
            "devices_at_mean_load": int(found.devices_central[-1]),
            "layout": str(found.estimate.layout),
            "basis": found.estimate.basis,
            "rests_on": performance.rests_on(
                performance.explain(work, chip, shape, layout=found.estimate.layout, speculation=speculation)
            ),
            "reason": "",
        })  # fmt: skip
    schema = {"workload": pl.String, "accelerator": pl.String, "peak_requests_per_s": pl.Float64, "devices_low": pl.Int64,
              "devices_central": pl.Int64, "devices_high": pl.Int64, "devices_at_mean_load": pl.Int64, "layout": pl.String,
              "basis": pl.String, "rests_on": pl.String, "reason": pl.String}  # fmt: skip
    return pl.DataFrame(rows, schema=schema)


def compare(
    model: str,
    *,
    mix: str = "servegen-deepseek-r1",
    chips: Sequence[str] | None = None,
    slo: Slo | None = None,
    prefix_hit_share: float = 0.0,
    arrival_scv: float | None = None,
    speculation: performance.Speculation | None = None,
    engine: str = performance.DEFAULT_ENGINE,
    pools: bool = False,
) -> pl.DataFrame:
    """Return what each chip delivers for one kind of work, best first, with intervals, what binds and the runner-up.

    ``rests_on`` says which share of a request's device time rests on constants measured on the chip's architecture,
    transferred to it, or taken from its datasheet.
    """
    work = work_of(model, mix=mix, slo=slo, prefix_hit_share=prefix_hit_share, arrival_scv=arrival_scv)
    models = {work.model: catalogue.model(work.model)}
    table = performance.rates(
        [work], _chips(chips), models, speculation=speculation, engine=engine, pools=pools
    )
    shape = models[work.model]
    said = [
        performance.rests_on(
            performance.explain(
                work, catalogue.accelerator(chip), shape, engine=engine, speculation=speculation, pools=pools
            )
        )
        if reason == ""
        else None
        for chip, reason in table.select("accelerator", "reason").iter_rows()
    ]
    table = table.with_columns(pl.Series("rests_on", said, dtype=pl.String))
    return table.sort("mtok_per_device_hour_central", descending=True, nulls_last=True)


def lease_prices(chips: Sequence[str]) -> dict[str, performance.PriceRange]:
    """Return the range of the catalogue's lease prices of one device-hour in USD, by chip; chips without one are left out."""
    out = {}
    for chip in chips:
        seen = [
            p
            for p in catalogue.prices()
            if p.accelerator == chip and p.kind == "lease_per_gpu_hour" and p.currency == "USD"
        ]
        if seen:
            values = sorted(p.value for p in seen)
            dates = sorted(p.date for p in seen if p.date)
            said = (
                f"{len(seen)} lease prices of the catalogue, {dates[0]} to {dates[-1]}"
                if dates
                else f"{len(seen)} prices"
            )
            out[chip] = performance.PriceRange(values[0], values[len(values) // 2], values[-1], "USD", said)
    return out


def _year(month: str) -> float:
    """Return year and fraction of a month like 2025-11."""
    found = re.fullmatch(r"(20\d\d)-(0[1-9]|1[0-2])", month.strip())
    if found is None:
        raise InputError(Fault("--release", f"{month!r} is not a month", "Write year and month: 2026-06."))
    return int(found.group(1)) + (int(found.group(2)) - 0.5) / 12


def train(
    model: str,
    chip: str,
    devices: int,
    *,
    tokens: float,
    sequence: int = 4096,
    batch: int = 1024,
    method: Literal["full", "lora"] = "full",
    number_format: str = "bf16",
    stack: Literal["megatron", "fsdp"] = "megatron",
    release: str | None = None,
) -> performance.Training:
    """Return time, MFU and memory of a training or fine-tuning run in its best layout.

    ``release`` is the month of the training software, ``2025-11``; ``None`` is the newest that was measured.

    Raises
    ------
    MissingFact : a figure that no source states, or no layout fits
    InputError : the run makes no sense
    """
    try:
        fmt = NumberFormat(number_format.lower())
    except ValueError:
        raise InputError(
            Fault("--format", f"{number_format!r} is not a number format", "Write bf16, fp8 or fp4.")
        ) from None
    software = performance.Software(stack, None if release is None else _year(release))
    run_ = performance.TrainingRun(tokens, sequence, batch, method, fmt, software=software)
    return performance.train(run_, catalogue.accelerator(chip), catalogue.model(model), devices)
