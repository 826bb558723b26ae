"""A sound folder becomes exactly what was written, whichever way it was saved."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.catalogue import demand
from entrepot.errors import Conflict
from entrepot.scenario import Scenario, init, minor_units, parse_hours, read
from entrepot.scenario.horizon import cut, nearest_boundary
from entrepot.scenario.records import Horizon, LotKind
from entrepot.scenario.toml import key_lines

Edit = Callable[[str, str, str], None]

DAY = tuple(range(24))


def same(a: Scenario, b: Scenario) -> bool:
    """Whether two scenarios say the same, wherever they were read from."""

    def plain(value: object) -> object:
        if isinstance(value, np.ndarray):
            return value.tolist()
        if dataclasses.is_dataclass(value):
            return [plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name != "path"]
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    return plain(a) == plain(b)


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    """Blank fields take the documented defaults; nothing is rounded."""
    s = read(folder)
    assert (s.name, s.currency, s.as_of, s.rate_basis) == ("harbour", "CNY", dt.date(2025, 4, 16), "central")
    assert s.dates == {dt.date(2025, 4, 1): "before"}
    assert s.residual == {"nvidia-h20-sxm-96gb": Decimal(60000), "nvidia-l40s-48gb": Decimal("12500.5")}
    alder, birch = s.parties["alder"], s.parties["birch"]
    assert (alder.headquarters, alder.listings, alder.policy.reserve_share) == ("CN", None, 0.1)
    assert (birch.headquarters, birch.listings, birch.military_end_user) == (None, (), None)
    h1, h2 = s.holdings
    assert h1.conditions == ("stay in CN", "report")
    assert (h1.imported_on, h1.imported_from) == (dt.date(2024, 12, 31), "US")
    assert (h2.imported_on, h2.imported_from, h2.authorisation, h2.conditions) == (None, None, None, ())
    night, winter, sale, _ = s.lots
    assert night.quantity is None
    assert night.hours == (*range(8), 22, 23)
    assert (winter.seller, winter.accelerator, winter.site) == ("alder", "nvidia-h20-sxm-96gb", "north")
    assert (winter.block, winter.ask, winter.whole, winter.hours) == (8, Decimal("7.25"), True, DAY)
    assert winter.note == "nodes, one winter"
    assert (sale.kind, sale.whole, sale.start, sale.end) == (
        LotKind.SALE,
        True,
        dt.date(2026, 1, 1),
        s.horizon.end,
    )
    first, _, own = s.bids
    assert (first.countries, first.kinds) == (("CN", "SG"), (LotKind.LEASE, LotKind.SALE))
    assert (first.start, first.end) == (s.horizon.start, s.horizon.end)
    assert own.share is None


def test_an_order_makes_a_sale_lot_from_the_next_step_on(folder: Path) -> None:
    """Delivered in mid-August, sold from the quarter that begins in October, from the vendor's country."""
    s = read(folder)
    lot = s.lots[-1]
    assert (lot.id, lot.seller, lot.order, lot.holding) == ("o-1", "holly", "o-1", None)
    assert (lot.kind, lot.quantity, lot.ask) == (LotKind.SALE, 400, Decimal(86400))
    assert (lot.start, lot.end) == (dt.date(2025, 10, 1), dt.date(2026, 7, 1))
    assert (s.sites[lot.site].country, s.sites[lot.site].operator) == ("US", "holly")


def test_an_order_due_before_the_horizon_is_sold_from_its_start(folder: Path, edit: Edit) -> None:
    """The first step is the earliest that there is."""
    edit("orders.csv", "2025-08-15", "2025-04-01")
    assert read(folder).lots[-1].start == dt.date(2025, 7, 1)


def test_as_of_and_variant_can_be_asked_for(folder: Path) -> None:
    """Other days and other readings of a contested fact are arguments, not edits."""
    assert read(folder).variant == "large"
    s = read(folder, as_of=dt.date(2025, 4, 1), variant="small")
    assert (s.as_of, s.variant, s.holdings[0].quantity, s.holdings[1].quantity) == (
        dt.date(2025, 4, 1),
        "small",
        80,
        64,
    )
    assert s.variants == {"large": "many", "small": "few"}


def test_a_variant_may_withdraw_a_lot(folder: Path, edit: Edit) -> None:
    """Under a reading that leaves nothing for it a lot is not offered; what is assumed about it may stay written."""
    edit("scenario.toml", 'title = "few"', 'title = "few"\nwithdrawn = ["lease-2"]')
    edit("scenario.toml", '"services.chat.requests_per_s"', '"lots.lease-2.ask"')
    assert "lease-2" in {lot.id for lot in read(folder, variant="large").lots}
    assert {lot.id for lot in read(folder, variant="small").lots} == {"lease-1", "sale-2", "o-1"}


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: (text + "\n\n  \n,,,\n").encode(),
        lambda text: ("# a comment\n\n" + text.replace("\n", "\n# another, with commas\n", 2)).encode(),
    ],
    ids=["byte-order mark", "CRLF", "trailing blank lines", "comment lines"],
)
def test_the_way_a_table_was_saved_does_not_matter(folder: Path, rewrite: Callable[[str], bytes]) -> None:
    """Spreadsheets and editors leave marks that mean nothing."""
    before = read(folder)
    for name in ("holdings.csv", "lots.csv", "bids.csv", "orders.csv"):
        path = folder / name
        path.write_bytes(rewrite(path.read_text()))
    assert same(before, read(folder))


@pytest.mark.parametrize("dtypes", ["text", "guessed"])
def test_parquet_says_the_same_as_csv(folder: Path, dtypes: str) -> None:
    """Columns may be text, or numbers, days and flags of their own types."""
    before = read(folder)
    for name in ("holdings", "lots", "bids", "orders"):
        path = folder / f"{name}.csv"
        frame = pl.read_csv(path, infer_schema=dtypes == "guessed", try_parse_dates=dtypes == "guessed")
        frame.write_parquet(folder / f"{name}.parquet")
        path.unlink()
    after = read(folder)
    assert same(before, after)


def test_orders_may_be_left_out(folder: Path) -> None:
    """A market without vendors is a market."""
    (folder / "orders.csv").unlink()
    s = read(folder)
    assert s.orders == ()
    assert set(s.sites) == {"north"}


def test_the_three_ways_to_state_a_demand_agree(folder: Path, edit: Edit) -> None:
    """100 requests/s of 975 tokens = 8.424 bn tokens a day = 864,000 users with 10 requests each."""
    tokens = (0.75 * 1200 + 0.25 * 300) * 100 * 86_400
    stated = read(folder).services["chat"].requests_per_s
    edit("scenario.toml", "requests_per_s = 100", f"tokens_per_day = {tokens}")
    assert read(folder).services["chat"].requests_per_s == pytest.approx(stated, rel=1e-12)
    edit("scenario.toml", f"tokens_per_day = {tokens}", "users_per_day = 864_000\nrequests_per_user_day = 10")
    assert read(folder).services["chat"].requests_per_s == pytest.approx(stated, rel=1e-12)


def test_a_daily_curve_has_mean_one_and_moves_with_the_clock(folder: Path, edit: Edit) -> None:
    """A curve of UTC+8 shifted by -8: what happens at 20 h there happens at 12 h UTC."""
    local = read(folder).services["assistant"].hourly
    assert local == pytest.approx(np.asarray(demand.hourly("servegen-m-large")))
    assert local.mean() == pytest.approx(1)
    edit("scenario.toml", "headroom = 1.3", "headroom = 1.3\nhourly_shift = -8")
    assert read(folder).services["assistant"].hourly[12] == local[20]


def test_a_mix_of_the_catalogue_keeps_its_published_means(folder: Path) -> None:
    """Azure conversation: 1,154.697 tokens in, 211.1 out (mean of the trace)."""
    s = read(folder).services["assistant"]
    published = demand.published_mean("azure-llm-2023-conv")
    assert published is not None
    assert (s.isl @ s.share, s.osl @ s.share) == pytest.approx(published, rel=1e-6)


def test_the_scenario_to_start_from_reads(tmp_path: Path) -> None:
    """A newcomer's first folder has no fault, and is never written over another."""
    files = init(tmp_path / "first")
    assert {path.name for path in files} == {"scenario.toml", "holdings.csv", "lots.csv", "bids.csv"}
    assert len(read(tmp_path / "first").lots) == 4
    before = {path: path.read_bytes() for path in files}
    with pytest.raises(Conflict, match="nothing was overwritten"):
        init(tmp_path / "first")
    assert before == {path: path.read_bytes() for path in files}


def test_init_leaves_a_file_of_that_name_alone(tmp_path: Path) -> None:
    """A path that is a file is no place for a folder."""
    (tmp_path / "first").write_text("mine")
    with pytest.raises(Conflict):
        init(tmp_path / "first")
    assert (tmp_path / "first").read_text() == "mine"


@pytest.mark.parametrize("name", ["spring-2025", "mixed-fleet"])
def test_the_examples_read(name: str) -> None:
    """What the documentation shows works, in every variant."""
    home = Path(__file__).parents[2] / "examples" / name
    s = read(home)
    for variant in s.variants:
        assert read(home, variant=variant).variant == variant


def test_a_hundred_thousand_lots_are_read_in_seconds(tmp_path: Path) -> None:
    """Columns are checked at once. Measured 0.8 to 1.2 s of processor time; more than twice that is a change of kind."""
    folder = tmp_path / "large"
    init(folder)
    held = [f"h-{i},alder,nvidia-h100-sxm5-80gb,fra-1,800" for i in range(10_000)]
    (folder / "holdings.csv").write_text("\n".join(["id,party,accelerator,site,quantity", *held]))
    rows = [
        f"l-{i},h-{i % 10_000},lease,{8 + i % 80 // 8 * 8},{1 + i % 997 / 1000:.3f},{i % 23}-{i % 23 + 1}"
        for i in range(100_000)
    ]
    (folder / "lots.csv").write_text("\n".join(["id,holding,kind,quantity,ask,hours", *rows]))
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        assert len(read(folder).lots) == 100_000
        seconds.append(time.process_time() - begun)
    assert min(seconds) < 2.7


# --- small tables and laws -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "hours"),
    [("0-24", DAY), ("8-10", (8, 9)), ("22-2", (0, 1, 22, 23)), ("23-0", (23,)), ("0-2;22-24", (0, 1, 22, 23)),
     ("1-3 ; 2-4", (1, 2, 3)), ("8-8", None), ("24-1", None), ("8", None), ("8-25", None), ("a-b", None), ("", None),
     (";", None), ("-1-4", None)],
)  # fmt: skip
def test_hours_of_the_day(text: str, hours: tuple[int, ...] | None) -> None:
    """From the first hour up to, not including, the last; over midnight where the last comes first."""
    assert parse_hours(text) == hours


@given(
    start=st.dates(dt.date(2024, 1, 1), dt.date(2026, 12, 31)),
    steps=st.integers(1, 30),
    step=st.sampled_from(["day", "week", "month", "quarter"]),
)
def test_a_horizon_cut_from_its_own_steps_has_that_many(start: dt.date, steps: int, step: str) -> None:
    """Every hour of the horizon is in exactly one period, and months are as long as they are."""
    if step in {"month", "quarter"}:
        start = start.replace(day=1)
        months = start.month - 1 + steps * (3 if step == "quarter" else 1)
        end = dt.date(start.year + months // 12, months % 12 + 1, 1)
    else:
        end = start + dt.timedelta(days=steps * (7 if step == "week" else 1))
    horizon = cut(start, end, step)
    assert isinstance(horizon, Horizon)
    assert horizon.periods == 24 * steps
    assert horizon.weight_hours.sum() == (end - start).days * 24
    assert (horizon.mask(start, end)).all()
    if step != "day":
        assert not isinstance(cut(start, end + dt.timedelta(days=1), step), Horizon)


@given(st.dates(dt.date(2025, 7, 1), dt.date(2026, 7, 1)))
def test_the_nearest_boundary_is_not_beaten_by_another(day: dt.date) -> None:
    """The mend of a window off the cuts is the best one."""
    horizon = cut(dt.date(2025, 7, 1), dt.date(2026, 7, 1), "month")
    assert isinstance(horizon, Horizon)
    near = nearest_boundary(day, horizon.step_starts)
    assert all(abs(near - day) <= abs(other - day) for other in horizon.step_starts)


def test_lines_of_keys_survive_long_strings_and_long_lists() -> None:
    """What looks like a header inside a story or a list is neither."""
    text = 'a = """\n[no]\nb = 1\n"""\nc = [\n  "[[x]]",\n  [1, 2],\n]\n[[t]]\nd = 1\n[t.u]\n"e f" = 2\n[[t]]\nd = 3\n'
    assert key_lines(text) == {
        ("a",): 1, ("c",): 5, ("t", 0): 9, ("t", 0, "d"): 10, ("t", 0, "u"): 11, ("t", 0, "u", "e f"): 12,
        ("t", 1): 13, ("t", 1, "d"): 14,
    }  # fmt: skip


def test_money_of_other_currencies_has_other_decimals() -> None:
    """ISO 4217: the yen has none, the Kuwaiti dinar three."""
    assert (minor_units("USD"), minor_units("JPY"), minor_units("KWD")) == (100, 1, 1000)
