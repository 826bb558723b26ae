"""Whatever is wrong in a scenario folder: one error, which names file, line and field, and says what to write."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot.errors import Fault, InputError, NotFound
from entrepot.scenario import init, read

Edit = Callable[[str, str, str], None]


def faults_of(folder: Path) -> tuple[Fault, ...]:
    """Read a folder that must be refused, and return its faults."""
    with pytest.raises(InputError) as caught:
        read(folder)
    return caught.value.faults


# file, text that is replaced, by what; then what the one fault must name: where, what, mend
ONE_FAULT = {
    "unknown chip": ("holdings.csv", "nvidia-h20-sxm-96gb", "nvidia-h20-sxm-96g", "holdings.csv:2: accelerator", "'nvidia-h20-sxm-96g'", "nvidia-h20-sxm-96gb"),
    "unknown party": ("holdings.csv", "h-2,alder", "h-2,aldr", "holdings.csv:3: party", "'aldr'", "alder"),
    "unknown site": ("bids.csv", "40,north", "40,nort", "bids.csv:2: site", "'nort'", "north"),
    "unknown service": ("bids.csv", "birch,chat,0.4", "birch,chatt,0.4", "bids.csv:3: service", "'chatt'", "chat"),
    "unknown holding": ("lots.csv", "alder,h-2", "alder,h-9", "lots.csv:4: holding", "'h-9'", "h-"),
    "unknown chip in a list": ("bids.csv", ";nvidia-l40s-48gb", ";nvidia-l40s", "bids.csv:2: accelerators", "'nvidia-l40s'", "nvidia-l40s-48gb"),
    "negative quantity": ("holdings.csv", ",64,", ",-64,", "holdings.csv:3: quantity", "-64 is negative", "above 0"),
    "half a device": ("holdings.csv", ",64,", ",12.5,", "holdings.csv:3: quantity", "12.5 is not a whole number of devices", "12 or 13"),
    "no device": ("holdings.csv", ",800,", ",0,", "holdings.csv:2: quantity", "is 0", "at least 1"),
    "too many devices": ("holdings.csv", ",800,", ",100000001,", "holdings.csv:2: quantity", "100,000,000", "digits"),
    "thousands separator": ("holdings.csv", ",800,", ',"1,600",', "holdings.csv:2: quantity", "1,600", "Write 1600"),
    "not a number": ("holdings.csv", ",800,", ",many,", "holdings.csv:2: quantity", "'many' is not a number", "whole number"),
    "NaN devices": ("lots.csv", "lease,64", "lease,NaN", "lots.csv:3: quantity", "'NaN' is not a finite number", "surplus"),
    "infinite price": ("lots.csv", "7.50", "inf", "lots.csv:2: ask", "'inf' is not a finite amount", "amount"),
    "NaN limit": ("bids.csv", ",40,", ",nan,", "bids.csv:2: limit_per_mtok", "'nan' is not a finite amount", "amount"),
    "limit of zero": ("bids.csv", ",40,", ",0,", "bids.csv:2: limit_per_mtok", "0 is not above 0", "price"),
    "negative ask": ("lots.csv", "7.50", "-7.50", "lots.csv:2: ask", "-7.50 is not above 0", "at least 0"),
    "price beyond reason": ("orders.csv", "86400", "86400000000", "orders.csv:2: price", "86400000000 is more than", "digits"),
    "money beyond exact sums": ("orders.csv", "400,8,86400", "80000000,8,864000", "orders.csv:2: price", "come to more than 10,000,000,000,000 CNY", "digits"),
    "too fine a price": ("lots.csv", "7.25", "7.2512345", "lots.csv:3: ask", "more than 6 decimals", "6 decimals"),
    "a currency sign": ("lots.csv", "7.25", "¥7.25", "lots.csv:3: ask", "is not an amount of money", "9.50"),
    "share above one": ("bids.csv", "0.4", "1.4", "bids.csv:3: share", "'1.4'", "at most 1"),
    "share in percent": ("bids.csv", "0.4", "40%", "bids.csv:3: share", "percentage", "at most 1"),
    "not a multiple of the block": ("lots.csv", "sale,16,8", "sale,18,8", "lots.csv:4: quantity", "18 is not a multiple of the block of 8", "16 or 24"),
    "window ends before it starts": ("lots.csv", "2025-10-01,2026-01-01", "2026-01-01,2025-10-01", "lots.csv:3: end", "not after its start on 2026-01-01", "after the start"),
    "window before the horizon": ("bids.csv", "2025-10-01,2026-04-01", "2025-04-01,2026-04-01", "bids.csv:3: start", "outside the horizon", "2025-07-01"),
    "window after the horizon": ("bids.csv", "2025-10-01,2026-04-01", "2025-10-01,2026-10-01", "bids.csv:3: end", "outside the horizon", "2026-07-01"),
    "window inside a step": ("lots.csv", "2025-10-01,2026-01-01", "2025-10-01,2026-01-15", "lots.csv:3: end", "inside a quarter", "2026-01-01"),
    "sale with an end": ("lots.csv", "30000,2026-01-01,,", "30000,2026-01-01,2026-04-01,", "lots.csv:4: end", "a sale has no end", "empty"),
    "sale with hours": ("lots.csv", "30000,2026-01-01,,,", "30000,2026-01-01,,8-20,", "lots.csv:4: hours", "a sale has no hours", "empty"),
    "no such hour": ("lots.csv", "22-8", "22-26", "lots.csv:2: hours", "'22-26' names no hours", "8-20"),
    "duplicate id": ("lots.csv", "lease-2", "lease-1", "lots.csv:3: id", "stands already on line 2", "another id"),
    "holding id twice": ("holdings.csv", "h-2", "h-1", "holdings.csv:3: id", "cannot be in two places", "another id"),
    "lot called like an order": ("orders.csv", "o-1", "sale-2", "orders.csv:2: id", "a lot is called 'sale-2' too", "another id"),
    "more than is held": ("lots.csv", "lease,64", "lease,808", "lots.csv:3: quantity", "808 devices of holding h-1, which has 800", "at most 800"),
    "holding of another party": ("lots.csv", "sale-2,alder", "sale-2,birch", "lots.csv:4: seller", "h-2 belongs to alder, not to birch", "alder"),
    "service of another party": ("bids.csv", "b-2,birch", "b-2,alder", "bids.csv:3: buyer", "chat belongs to birch, not to alder", "birch"),
    "one demand twice": ("bids.csv", "chat,0.4", "chat,0.5", "bids.csv:3: share", "more than the whole demand of service chat (from 2025-10-01)", "at most 1"),
    "unserved beside a share": ("bids.csv", "chat,0.6", "chat,unserved", "bids.csv:3: share", "more than the whole demand", "unserved stands alone"),
    "no such country": ("holdings.csv", ",US,", ",UK,", "holdings.csv:2: imported_from", "there is no country 'UK'", "GB (Britain (UK))"),
    "country by its name": ("orders.csv", ",US,", ",Germany,", "orders.csv:2: origin", "there is no country 'Germany'", "DE (Germany)"),
    "country that never was": ("bids.csv", "CN;SG", "CN;ZQ", "bids.csv:2: countries", "there is no country 'ZQ'", "ISO 3166-1"),
    "day of the month first": ("holdings.csv", "2024-12-31", "31.12.2024", "holdings.csv:2: imported_on", "'31.12.2024' is not a day", "2025-07-01"),
    "day that never was": ("holdings.csv", "2024-12-31", "2024-02-30", "holdings.csv:2: imported_on", "'2024-02-30' is not a day", "year-month-day"),
    "last century": ("holdings.csv", "2024-12-31", "1924-12-31", "holdings.csv:2: imported_on", "before 2000-01-01", "year"),
    "delivered before it is ordered": ("orders.csv", "2025-08-15", "2025-03-01", "orders.csv:2: deliverable_from", "before the order", "later"),
    "delivered too late": ("orders.csv", "2025-08-15", "2026-05-15", "orders.csv:2: deliverable_from", "after the start of the last step", "Extend"),
    "no such kind": ("lots.csv", "h-2,sale", "h-2,rent", "lots.csv:4: kind", "there is no kind 'rent'", "lease or sale"),
    "neither true nor false": ("lots.csv", "22-8,false", "22-8,no", "lots.csv:2: whole", "'no' is neither", "true or false"),
    "empty field": ("lots.csv", "h-1,lease,64", ",lease,64", "lots.csv:3: holding", "the field is empty", "id of a holding"),
    "unusable name": ("lots.csv", "lease-2", "lease:2", "lots.csv:3: id", "'lease:2' is not a usable name", "letters, digits"),
    "too few fields": ("holdings.csv", "h-2,alder,", "h-2,", "holdings.csv:3: row", "9 fields where the header names 10", "quote"),
    "open quote": ("lots.csv", '"nodes, one winter"', '"nodes one winter', "lots.csv:3", "never closed", "Close it"),
    "misspelt column": ("lots.csv", ",whole,", ",hole,", "lots.csv:1: hole", "no such column", "whole"),
    "missing column": ("lots.csv", "quantity", "note2", "lots.csv:1: quantity", "the column is missing", "surplus"),
    "column twice": ("lots.csv", "whole,note", "note,note", "lots.csv:1: note", "twice", "Delete"),
    "no residual": ("scenario.toml", "nvidia-l40s-48gb = 12500.5\n", "", "lots.csv:4: kind", "nvidia-l40s-48gb", "[residual]"),
    "TOML syntax": ("scenario.toml", 'currency = "CNY"', "currency = CNY", "scenario.toml:5", "not TOML", "quotes"),
    "unknown currency": ("scenario.toml", '"CNY"', '"CNX"', "scenario.toml:5: scenario.currency", "'CNX'", "CNY"),
    "unknown section": ("scenario.toml", "[horizon]", "[horizont]\nx = 1\n[horizon]", "scenario.toml:11: horizont", "no such section", "horizon"),
    "unknown key": ("scenario.toml", "reserve_share", "reserve_shar", "scenario.toml:30: parties.alder.reserve_shar", "no such key", "reserve_share"),
    "missing key": ("scenario.toml", 'seed = "harbour/1"\n', "", "scenario.toml:1: scenario.seed", "is missing", "ties"),
    "wrong type": ("scenario.toml", "reserve_share = 0.1", 'reserve_share = "a tenth"', "scenario.toml:30: parties.alder.reserve_share", "not a number", "without quotes"),
    "share of nothing known": ("scenario.toml", "reserve_share = 0.1", "reserve_share = nan", "scenario.toml:30: parties.alder.reserve_share", "nan", "number"),
    "infinite demand": ("scenario.toml", "requests_per_s = 100", "requests_per_s = inf", "scenario.toml:52: services.chat.requests_per_s", "inf", "number"),
    "no demand": ("scenario.toml", "requests_per_s = 100\n", "", "scenario.toml:48: services.chat", "size of the demand is missing", "users_per_day"),
    "two sizes": ("scenario.toml", "requests_per_s = 100", "requests_per_s = 100\ntokens_per_day = 1e9", "scenario.toml:53: services.chat.tokens_per_day", "both given", "one of"),
    "users without requests": ("scenario.toml", "requests_per_s = 100", "users_per_day = 100", "scenario.toml:52: services.chat.users_per_day", "without requests_per_user_day", "too"),
    "unknown model": ("scenario.toml", '"llama-3.1-8b"', '"llama-3.1-8bn"', "scenario.toml:51: services.chat.model", "'llama-3.1-8bn'", "llama-3.1-8b"),
    "unknown mix": ("scenario.toml", '"azure-llm-2023-conv"', '"azure-llm-2023-con"', "scenario.toml:60: services.assistant.mix", "'azure-llm-2023-con'", "azure-llm-2023-conv"),
    "unknown curve": ("scenario.toml", '"servegen-m-large"', '"m-large"', "scenario.toml:61: services.assistant.hourly", "'m-large'", "servegen-m-large"),
    "shares that do not add up": ("scenario.toml", "0.25]]", "0.35]]", "scenario.toml:53: services.chat.mix", "add up to 1.1", "add up to 1"),
    "23 hours": ("scenario.toml", '"servegen-m-large"', str([1] * 23), "scenario.toml:61: services.assistant.hourly", "23 numbers", "24"),
    "an hour of nothing": ("scenario.toml", '"servegen-m-large"', str([1] * 23 + [0]), "scenario.toml:61: services.assistant.hourly", "hour 23 has 0", "above 0"),
    "party of a service": ("scenario.toml", 'party = "birch"', 'party = "birk"', "scenario.toml:50: services.chat.party", "'birk'", "birch"),
    "country of a party": ("scenario.toml", 'headquarters = "US"', 'headquarters = "USA"', "scenario.toml:40: parties.holly.headquarters", "'USA'", "US (United States)"),
    "party twice": ("scenario.toml", 'id = "holly"\n', 'id = "birch"\n', "scenario.toml:38: parties.birch.id", "already on line 33", "another id"),
    "as_of with a time": ("scenario.toml", "as_of = 2025-04-16", "as_of = 2025-04-16T12:00:00", "scenario.toml:4: scenario.as_of", "not a day", "bare day"),
    "as_of last century": ("scenario.toml", "as_of = 2025-04-16", "as_of = 1925-04-16", "scenario.toml:4: scenario.as_of", "1925-04-16", "year"),
    "date that never was": ("scenario.toml", '"2025-04-01"', '"2025-04-31"', "scenario.toml:9: scenario.dates.2025-04-31", "not a day of the calendar", "2025-07-01"),
    "horizon backwards": ("scenario.toml", "end = 2026-07-01", "end = 2025-06-01", "scenario.toml:13: horizon.end", "not after its start", "after the start"),
    "horizon off its steps": ("scenario.toml", "end = 2026-07-01", "end = 2026-06-01", "scenario.toml:13: horizon.end", "no quarter", "2026-04-01 or 2026-07-01"),
    "quarter from mid-month": ("scenario.toml", "start = 2025-07-01", "start = 2025-07-15", "scenario.toml:12: horizon.start", "starts on 2025-07-15", "first of a month"),
    "no such step": ("scenario.toml", '"quarter"', '"year"', "scenario.toml:14: horizon.step", "'year'", "'quarter'"),
    "no default variant": ("scenario.toml", '"large"', '"larg"', "scenario.toml:7: scenario.default_variant", "'larg'", "large"),
    "variant of no holding": ("scenario.toml", '{ "h-1" = 80 }', '{ "h-3" = 80 }', "scenario.toml:20: variants.small.holdings.h-3", "'h-3'", "h-"),
    "withdrawn lot of no name": ("scenario.toml", 'title = "few"', 'title = "few"\nwithdrawn = ["lease-9"]', "scenario.toml:20: variants.small.withdrawn", "'lease-9'", "lease-"),
    "residual of no chip": ("scenario.toml", "nvidia-h20-sxm-96gb =", "nvidia-h20-96gb = 1\nnvidia-h20-sxm-96gb =", "scenario.toml:23: residual.nvidia-h20-96gb", "no accelerator", "nvidia-h20-sxm-96gb"),
    "residual too fine": ("scenario.toml", "12500.5", "12500.505", "scenario.toml:24: residual.nvidia-l40s-48gb", "more than two decimals", "two decimals"),
    "unknown claim": ("scenario.toml", 'default_variant', 'claims = ["ByteDance/holds_valu"]\ndefault_variant', "scenario.toml:7: scenario.claims", "ByteDance/holds_valu", "ByteDance/holds_value"),
    "assumption about nothing": ("scenario.toml", 'field = "services.chat.', 'field = "services.chta.', "scenario.toml:65: assumptions[1].field", "chta", "chat"),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_FAULT)
def test_one_slip_gives_one_fault_that_names_the_place_and_the_mend(
    folder: Path, edit: Edit, case: str
) -> None:
    """A person fixes a file by its line and field, without reading our code."""
    file, old, new, where, what, mend = ONE_FAULT[case]
    edit(file, old, new)
    found = faults_of(folder)
    assert where in {fault.where for fault in found}, found
    fault = next(fault for fault in found if fault.where == where)
    assert what in fault.what
    assert mend in fault.mend
    others = [fault for fault in found if fault.where != where]
    assert len(others) <= FOLLOWERS.get(case, 0), others


# A slip that takes a name away leaves those who point at it, or a column of another name, at fault as well.
FOLLOWERS = {"missing column": 1, "holding id twice": 1, "party twice": 1}


def test_every_fault_of_every_file_is_found_at_once(folder: Path, edit: Edit) -> None:
    """Nobody should mend one line, run again, and learn of the next."""
    chosen = ("unknown chip", "half a device", "negative ask", "limit of zero", "delivered too late", "unknown key",
              "country of a party", "no such hour", "residual too fine", "horizon off its steps")  # fmt: skip
    for case in chosen:
        edit(*ONE_FAULT[case][:3])
    found = {fault.where for fault in faults_of(folder)}
    # Without a horizon nobody can say whether a delivery comes too late; all else is still said.
    expected = {ONE_FAULT[case][3] for case in chosen} - {"orders.csv:2: deliverable_from"}
    assert found == expected


def test_broken_toml_hides_no_fault_of_the_tables(folder: Path, edit: Edit) -> None:
    """The tables can be checked by themselves even when scenario.toml cannot be parsed."""
    edit("scenario.toml", 'currency = "CNY"', "currency = CNY")
    edit("holdings.csv", ",64,", ",12.5,")
    assert {f.where for f in faults_of(folder)} == {"scenario.toml:5", "holdings.csv:3: quantity"}


def test_one_unit_in_two_lots_is_refused_with_the_hour(folder: Path, edit: Edit) -> None:
    """Two leases overlap in some hours only; together they exceed the holding exactly there."""
    edit(
        "lots.csv",
        "lease,surplus,8,7.50,2025-07-01,2026-07-01,22-8",
        "lease,400,8,7.50,2025-10-01,2026-07-01,22-8",
    )
    read(folder)
    edit("lots.csv", "lease,64,,7.25,2025-10-01,2026-01-01,,", "lease,408,,7.25,2025-10-01,2026-01-01,7-9,")
    (fault,) = faults_of(folder)
    assert fault.where == "lots.csv:3: quantity"
    assert "lease-1, lease-2 together offer 808 devices of holding h-1, which has 800" in fault.what
    assert "(from 2025-10-01, 7-8 h UTC)" in fault.what
    edit("lots.csv", "7-9", "8-9")
    read(folder)


def test_a_device_that_is_sold_does_not_come_back(folder: Path, edit: Edit) -> None:
    """A sale takes its devices until the end of the horizon, whatever is leased later."""
    edit("lots.csv", "sale,16,8,30000,2026-01-01", "sale,64,8,30000,2026-01-01")
    edit(
        "lots.csv",
        "lease-2,,h-1,lease,64,,7.25,2025-10-01,2026-01-01",
        "lease-2,,h-2,lease,64,,7.25,2025-10-01,2026-01-01",
    )
    read(folder)
    edit("lots.csv", "2025-10-01,2026-01-01", "2026-04-01,2026-07-01")
    (fault,) = faults_of(folder)
    assert "128 devices of holding h-2, which has 64" in fault.what


def test_the_same_row_twice_is_called_a_repetition(folder: Path) -> None:
    """A pasted row is another mistake than two things of one name."""
    rows = (folder / "holdings.csv").read_text()
    (folder / "holdings.csv").write_text(rows + rows.splitlines()[2] + "\n")
    (fault,) = faults_of(folder)
    assert fault.where == "holdings.csv:4: id"
    assert "the row repeats an earlier one: 'h-2' stands on line 3" in fault.what


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04 a spreadsheet", "a spreadsheet or zip file"),
        (b"id,party\x00\x01\x02", "a binary file"),
        (b"\xff\xfei\x00d\x00", "UTF-16"),
        ("id,party,accelerator,site,quantity\nh-1,Bj\xf6rk".encode("latin-1"), "byte 0xf6 is not UTF-8"),
        (b"", "the file is empty"),
        (b"\n\n  \n", "the file is empty"),
        (b"# only a comment\n", "no header"),
        (b"id,party,accelerator,site,quantity\n", "a header and no rows"),
        (b"id;party;accelerator;site;quantity\nh;a;x;n;1\n", "not separated by commas"),
        (b"PAR1 but cut off", "a Parquet file"),
    ],
)
def test_a_file_that_is_no_table_is_named_for_what_it_is(folder: Path, content: bytes, what: str) -> None:
    """One clear fault, whatever somebody saved under the name holdings.csv."""
    (folder / "holdings.csv").write_bytes(content)
    found = [f for f in faults_of(folder) if f.where.startswith("holdings.csv")]
    assert what in found[0].what
    assert found[0].mend


def test_not_utf8_names_the_line(folder: Path) -> None:
    """The reader can go to the byte at fault."""
    (folder / "holdings.csv").write_bytes("id,party\nh-1,alder\nh-2,Bj\xf6rk\n".encode("latin-1"))
    assert any(f.where == "holdings.csv:3" for f in faults_of(folder))


def test_files_and_folders_that_are_missing_are_named(folder: Path, tmp_path: Path) -> None:
    """A wrong path and a missing table each have their own mend."""
    (fault,) = faults_of(tmp_path / "harbor")
    assert "no such folder" in fault.what
    assert "harbour" in fault.mend
    (folder / "bids.csv").rename(folder / "bid.csv")
    found = {f.where: f for f in faults_of(folder)}
    assert "Rename it to bids.csv" in found["harbour/bid.csv"].mend
    assert "limit_per_mtok" in found["harbour/bids.csv"].mend
    (folder / "scenario.toml").unlink()
    (fault,) = faults_of(folder)
    assert fault.what == "the file is missing"
    (fault,) = faults_of(folder / "lots.csv")
    assert "a file, not a scenario folder" in fault.what


def test_a_table_as_csv_and_as_parquet_is_refused(folder: Path) -> None:
    """Nobody could say which of the two is meant."""
    pl.read_csv(folder / "lots.csv").write_parquet(folder / "lots.parquet")
    (fault,) = faults_of(folder)
    assert "both lots.csv and lots.parquet" in fault.what


def test_a_fault_on_many_lines_is_shown_a_few_times_and_counted(folder: Path) -> None:
    """A hundred thousand equal faults would bury the others."""
    rows = [f"x-{i},alder,nvidia-l40s-48gb,north,0,,,,," for i in range(1000)]
    (folder / "holdings.csv").write_text("\n".join([(folder / "holdings.csv").read_text().strip(), *rows]))
    found = faults_of(folder)
    assert len(found) == 21
    assert "980 more lines" in found[-1].what
    assert "line 1003" in found[-1].what


def test_an_unknown_variant_is_not_found(folder: Path) -> None:
    """Exit code 4, with the nearest name."""
    with pytest.raises(NotFound, match="small"):
        read(folder, variant="smal")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    file=st.sampled_from(["scenario.toml", "holdings.csv", "lots.csv", "bids.csv"]),
    at=st.floats(0, 1),
    cut=st.integers(0, 12),
    paste=st.text(alphabet=st.sampled_from('abz019-.,;"#=[]{}\n\r\t é\x00∞%'), max_size=6),
)
def test_no_slip_of_the_pen_gives_a_traceback(
    tmp_path: Path, file: str, at: float, cut: int, paste: str
) -> None:
    """Cut a few letters anywhere, type others: the scenario reads, or the error is ours and tells the place."""
    folder = tmp_path / "fuzz"
    shutil.rmtree(folder, ignore_errors=True)
    init(folder)
    text = (folder / file).read_text(encoding="utf-8")
    i = int(at * len(text))
    (folder / file).write_text(text[:i] + paste + text[i + cut :], encoding="utf-8", newline="")
    faults: tuple[Fault, ...] = ()
    try:
        read(folder)
    except InputError as error:
        faults = error.faults
    assert all(fault.where and fault.what and fault.mend for fault in faults)
