"""How fast is a table of transfers judged, parties screened, a market's permits asked; beside doing it row by row, in the same run?

What is measured on a sample and scaled up says so. Memory is the peak of a process that does nothing else.
"""

from __future__ import annotations

import difflib
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rapidfuzz import fuzz, process

import entrepot as ep
from entrepot import acts
from entrepot.controls import decide
from entrepot.controls.facts import act_of
from entrepot.controls.screening import Index, PartyName, Snapshot, screen_parties, synthetic
from entrepot.controls.screening.csl import read_list
from entrepot.controls.sheet import as_text
from entrepot.controls.table import screen_table

__all__ = ["run"]

_ROWS = 1_000_000
_SAMPLE = 1_000
_SPRING = Path(__file__).parent.parent / "examples" / "spring-2025"
_CHIPS = (
    "nvidia-h20-sxm-96gb", "nvidia-h100-sxm5-80gb", "nvidia-a100-sxm4-80gb", "amd-mi300x-192gb", "nvidia-l40s-48gb",
)  # fmt: skip
_PLACES = ("CN", "SG", "MY", "AE", "DE", "HK", "VN", "JP")


def run(console_print: Callable[[str], None]) -> None:
    """Judge 10^6 rows with few and with many kinds, screen 1,000 names, ask a market of 10^10 pairs."""
    screen_table(_transfers(10, 1))  # imports and first calls are no part of any figure
    console_print(f"a table of {_ROWS:,} transfers, 13 columns of facts")
    for name, seats in (("few kinds", 1), ("many kinds", 4)):
        _one_table(name, seats, console_print)
    _parties(console_print)
    _market(console_print)


def _transfers(rows: int, seats: int) -> pl.DataFrame:
    """Return exports in ``seats`` x 640 kinds at most, drawn at random."""
    draw = np.random.default_rng(0)

    def pick(values: tuple[str, ...]) -> pl.Series:
        return pl.Series(values, dtype=pl.String)[draw.integers(0, len(values), rows)]

    return pl.DataFrame(
        {
            "id": np.arange(rows),
            "chip": pick(_CHIPS),
            "from": pick(("US",)),
            "to": pick(_PLACES),
            "on": pick(("2024-06-01", "2025-05-20", "2026-02-01", "2026-07-15")),
            "recipient.headquarters": pick(_PLACES[: 2 * seats]),
            "recipient.ultimate_parent_headquarters": pick(_PLACES[:seats]),
            "recipient.listings": pick(("clear", "entity-list:fn4:policy-of-denial")),
            "recipient.military_end_user": pick(("no", "yes")[: max(1, seats // 2)]),
            "recipient.supercomputer_end_use": pick(("no",)),
            "recipient.knowledge_of_violation": pick(("no",)),
            "sender.headquarters": pick(("US",)),
            "sender.listings": pick(("clear",)),
            "sender.knowledge_of_violation": pick(("no",)),
        }
    )


def _one_table(name: str, seats: int, console_print: Callable[[str], None]) -> None:
    seconds, cpu, peak_mb, base_mb, kinds = _alone(_screen, seats)
    rate = _ROWS / seconds
    console_print(
        f"  {name}: {kinds:,} kinds in {seconds:.1f} s ({cpu:.1f} s of CPU), {rate:,.0f} rows/s, peak {peak_mb:,.0f} MB of which "
        f"{base_mb:,.0f} MB are the program and the table"
    )
    sample = _transfers(_ROWS, seats).head(_SAMPLE)
    start = time.perf_counter()
    outcomes = [decide(act_of(_facts(row))).outcome.value for row in as_text(sample).iter_rows(named=True)]
    by_row = (time.perf_counter() - start) * _ROWS / _SAMPLE
    start = time.perf_counter()
    mapped = (
        as_text(sample)
        .select(pl.struct(pl.all()).map_elements(_decide_cells, return_dtype=pl.String))
        .to_series()
    )
    by_map = (time.perf_counter() - start) * _ROWS / _SAMPLE
    same = screen_table(sample).rows["outcome"].to_list()
    if not outcomes == mapped.to_list() == same:
        raise AssertionError("the ways to judge a row do not agree")
    console_print(
        f"    row by row, {_SAMPLE:,} rows scaled up: {by_row:,.0f} s, {by_row / seconds:,.0f} times as long"
    )
    console_print(
        f"    Polars map_elements, {_SAMPLE:,} rows scaled up: {by_map:,.0f} s, {by_map / seconds:,.0f} times as long"
    )


def _facts(row: dict[str, Any]) -> dict[str, str | None]:
    renamed = {"chip": "accelerator", "from": "origin", "to": "destination"}
    return {renamed.get(name, name): value for name, value in row.items() if name != "id"}


def _decide_cells(row: dict[str, Any]) -> str:
    return decide(act_of(_facts(row))).outcome.value


def _screen(seats: int) -> tuple[float, float, float, float, int]:
    frame = _transfers(_ROWS, seats)
    screen_table(frame.head(10))
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start, cpu = time.perf_counter(), time.process_time()
    done = screen_table(frame)
    took = time.perf_counter() - start, time.process_time() - cpu
    return *took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, base, len(done.decisions)


def _alone(
    work: Callable[[int], tuple[float, float, float, float, int]], seats: int
) -> tuple[float, float, float, float, int]:
    """Run in a fresh process, so that its peak of memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (seats,))


def _parties(console_print: Callable[[str], None]) -> None:
    rows = synthetic.entries(26_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "consolidated.json"
        path.write_text(synthetic.as_json(rows), encoding="utf-8")
        start = time.perf_counter()
        snapshot = read_list(path)
        reading = time.perf_counter() - start
    start = time.perf_counter()
    index = Index(snapshot.entries)
    indexing = time.perf_counter() - start
    asked = [PartyName(str(e["name"])) for e in synthetic.entries(1_000, seed=1)]
    start, cpu = time.perf_counter(), time.process_time()
    found = screen_parties(asked, snapshot, on=snapshot.made_on, index=index)
    own, own_cpu = time.perf_counter() - start, time.process_time() - cpu
    names = len(index.rows)
    console_print(
        f"1,000 parties against 26,000 invented entries with {names:,} names: {own:.1f} s ({own_cpu:.1f} s of CPU); reading "
        f"{reading:.1f} s, index {indexing:.1f} s; {sum(bool(f.candidates) for f in found)} have a candidate"
    )
    _loops(asked, snapshot, own, console_print)


def _loops(
    asked: list[PartyName], snapshot: Snapshot, own: float, console_print: Callable[[str], None]
) -> None:
    names = [n.casefold() for e in snapshot.entries for n in e.names]
    start = time.perf_counter()
    for party in asked[:1]:
        matcher = difflib.SequenceMatcher(b=party.name.casefold())
        for name in names:
            matcher.set_seq1(name)
            matcher.ratio()
    loop = (time.perf_counter() - start) * len(asked)
    console_print(f"    difflib in a loop, 1 party scaled up: {loop:,.0f} s, {loop / own:,.0f} times as long")
    start = time.perf_counter()
    for party in asked[:10]:
        process.extract(party.name.casefold(), names, scorer=fuzz.WRatio, score_cutoff=75, limit=None)
    loop = (time.perf_counter() - start) * len(asked) / 10
    console_print(
        f"    rapidfuzz WRatio, one name after the other, 10 scaled up: {loop:,.0f} s, {loop / own:,.0f} times as long"
    )


def _market(console_print: Callable[[str], None]) -> None:
    small = ep.load(_SPRING)
    many = 100_000
    lots = tuple(replace(small.lots[i % len(small.lots)], id=f"lot {i}") for i in range(many))
    bids = tuple(replace(small.bids[i % len(small.bids)], id=f"bid {i}") for i in range(many))
    start = time.perf_counter()
    found = acts.decided(replace(small, lots=lots, bids=bids))
    seconds = time.perf_counter() - start
    kinds = found.permits.code.size
    console_print(
        f"permits of {many:,} lots and {many:,} bids: {found.permits.pairs:,} pairs, {kinds} pairs of kinds, {len(found.decisions)} "
        f"kinds of acts, {seconds:.1f} s"
    )
