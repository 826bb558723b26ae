"""Is the catalogue whole: does every figure have a source, and is unknown never zero?"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from importlib.resources import files

import pytest

from entrepot import catalogue
from entrepot.catalogue._files import FIGURE_UNITS
from entrepot.catalogue.records import Confidence, Figure, NumberFormat
from entrepot.errors import NotFound

DATA = files("entrepot.catalogue") / "data"
KEY_FIGURES = ("die_area", "tdp", "memory_capacity", "memory_bandwidth", "rate_bf16_dense")


def figures() -> Iterator[Figure]:
    """Yield every figure of every chip."""
    for chip in catalogue.accelerators().values():
        yield from chip.figures


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a data file."""
    with (DATA / name).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_nothing_that_was_gathered_is_lost() -> None:
    """133 chips, 62 models, 211 prices and 132 claims were gathered; the files only grow."""
    assert len(catalogue.accelerators()) >= 133
    assert len(catalogue.models()) >= 62
    assert len(catalogue.prices()) >= 211
    assert len(catalogue.claims()) >= 132
    vendors = Counter(a.vendor for a in catalogue.accelerators().values())
    assert (vendors["NVIDIA"], vendors["Huawei"], vendors["AMD"], vendors["Cambricon"]) >= (53, 16, 11, 6)


def test_every_figure_cites_sources_that_are_listed() -> None:
    """A figure without a source is an opinion."""
    for f in figures():
        assert f.sources, f
        for key in f.sources:
            assert catalogue.source(key).citation, f


def test_every_listed_source_is_cited() -> None:
    """A source that nothing cites is a row left behind."""
    cited = {key for f in figures() for key in f.sources}
    assert set(catalogue.sources()) == cited


def test_one_figure_of_each_property_is_used() -> None:
    """Two used values of one property would be a coin toss; none would be a fact forgotten."""
    used = Counter((f.subject, f.figure) for f in figures() if f.used)
    assert max(used.values()) == 1
    assert {(f.subject, f.figure) for f in figures() if not f.used} <= used.keys() | _links_left_blank()


def _links_left_blank() -> set[tuple[str, str]]:
    """Return disputed properties of which no value is used and which are not key figures."""
    used = {(f.subject, f.figure) for f in figures() if f.used}
    rest = {(f.subject, f.figure) for f in figures()} - used
    assert not any(name in KEY_FIGURES for _, name in rest)
    return rest


def test_unknown_is_empty_and_says_so() -> None:
    """An empty cell means that nobody says, or that the chip cannot; never zero, never forgotten."""
    for f in figures():
        if f.value is None:
            assert f.confidence is Confidence.UNKNOWN or f.note.startswith("not supported: "), f
            assert f.used, f
            assert f.note, f
        else:
            assert f.confidence is not Confidence.UNKNOWN, f


def test_no_figure_is_zero_or_below() -> None:
    """Zero would read as a chip that does nothing, and pass every limit."""
    for f in figures():
        if isinstance(f.value, Decimal):
            assert f.value > 0, f


def test_key_figures_are_stated_or_named_as_unknown() -> None:
    """A reader must be able to tell *nobody says* from *we forgot*."""
    for chip in catalogue.accelerators().values():
        stated = {f.figure for f in chip.figures}
        assert stated >= {*KEY_FIGURES, "rate_fp8_dense", "rate_int8_dense"}, chip.id


def test_units_and_names_of_figures_are_legal() -> None:
    """A rate in GFLOP/s would be wrong by a thousand in silence."""
    for f in figures():
        assert f.unit in FIGURE_UNITS[f.figure], f


def test_dates_are_dates() -> None:
    """Rules turn on dates."""
    for chip in catalogue.accelerators().values():
        if chip.announced is not None:
            assert re.fullmatch(r"20\d\d(-[01]\d)?", chip.announced), chip.id
    for p in catalogue.prices():
        assert p.date is None or re.match(r"20\d\d", p.date), p
    for m in catalogue.models().values():
        if m.released is not None:
            parts = [int(x) for x in m.released.split("-")]
            assert date(*[*parts, 1, 1][:3]) >= date(2023, 1, 1), m.id


def test_eight_bit_rates_are_at_most_four_times_the_16_bit_rate() -> None:
    """A larger ratio is usually a sparse figure or a slip of ten; one that a vendor prints says so in its note."""
    for chip in catalogue.accelerators().values():
        half = chip.dense_rate.get(NumberFormat.BF16)
        for fmt in (NumberFormat.FP8, NumberFormat.INT8):
            rate = chip.dense_rate.get(fmt)
            if half is None or rate is None or rate <= 4 * half:
                continue
            figure = next(f for f in chip.figures if f.used and f.figure == f"rate_{fmt.value}_dense")
            assert "times the 16-bit rate" in figure.note, figure


def test_files_are_sorted_so_that_a_new_row_has_one_place() -> None:
    """Two people who add rows should not meet in the same lines."""
    for entry in (DATA / "accelerators").iterdir():
        subjects = [r["accelerator"] for r in rows(f"accelerators/{entry.name}")]
        assert subjects == sorted(subjects), entry.name
    for name, key in (
        ("sources.csv", "source"),
        ("models.csv", "id"),
        ("prices.csv", "id"),
        ("claims.csv", "id"),
    ):
        ids = [r[key] for r in rows(name)]
        assert ids == sorted(set(ids)), name


def test_a_chip_stands_in_one_file_only() -> None:
    """A contributor looks in one place."""
    homes: dict[str, set[str]] = {}
    for entry in (DATA / "accelerators").iterdir():
        for r in rows(f"accelerators/{entry.name}"):
            homes.setdefault(r["accelerator"], set()).add(entry.name)
    assert {len(h) for h in homes.values()} == {1}


def test_cells_hold_no_stray_blanks() -> None:
    """A blank at the end of an id makes another id of it."""
    names = ["sources.csv", "models.csv", "prices.csv", "claims.csv"]
    names += [f"accelerators/{e.name}" for e in (DATA / "accelerators").iterdir()]
    names += [f"demand/{e.name}" for e in (DATA / "demand").iterdir()]
    for name in names:
        for r in rows(name):
            assert all(v is not None and v == v.strip() for v in r.values()), (name, r)


@pytest.mark.parametrize(
    ("chip", "rate_x_bits", "die"),
    [
        ("nvidia-a100-sxm4-80gb", Decimal(4992), Decimal(826)),
        ("nvidia-h100-sxm5-80gb", Decimal(15832), Decimal(814)),
        ("nvidia-h20-sxm-96gb", Decimal(2368), Decimal(814)),
        ("nvidia-rtx-4090-24gb", Decimal("5284.8"), Decimal(609)),
        ("nvidia-rtx-4090d-24gb", Decimal("4706.8"), Decimal(609)),
    ],
)
def test_published_products_of_rate_and_bits_come_out(chip: str, rate_x_bits: Decimal, die: Decimal) -> None:
    """TPP figures that the press and an independent tracker print: 4992, 15832, 2368, 5286 and just under 4800."""
    found = catalogue.accelerator(chip)
    products = [rate * fmt.bits for fmt, rate in found.dense_rate.items() if fmt.bits in (4, 8, 16)]
    assert max(products) == rate_x_bits
    assert found.die_area_mm2 == die


@pytest.mark.parametrize(
    ("chip", "figure", "used", "others"),
    [
        ("nvidia-h20-sxm-96gb", "tdp", 400, {550}),
        ("huawei-ascend-910c", "rate_bf16_dense", 780, {752, 800}),
        ("nvidia-b200-sxm-180gb", "memory_capacity", 180, {192}),
        ("nvidia-b200-sxm-180gb", "memory_bandwidth", 8000, {7700}),
        ("nvidia-b300-sxm", "tdp", 1100, {1000, 1400}),
        ("amd-mi308x", "rate_bf16_dense", None, {Decimal("653.7"), 148}),
        ("huawei-ascend-910c", "tdp", None, {310, 350, 700}),
        ("intel-gaudi3-oam", "rate_bf16_dense", 1835, {1677, 1678}),
    ],
)
def test_conflicting_values_stand_side_by_side(
    chip: str, figure: str, used: int | None, others: set[object]
) -> None:
    """The values that the sources print, and which of them counts."""
    both = [f for f in catalogue.accelerator(chip).figures if f.figure == figure]
    assert [f.value for f in both if f.used] == [used]
    assert {f.value for f in both if not f.used} == others


def test_a_chip_without_trustworthy_rates_has_none() -> None:
    """What copies a sibling's figures or assumes them must not become a rate: the controls would believe it."""
    for chip in ("amd-mi308x", "hygon-dcu-k100-ai", "iluvatar-bi-v150", "t-head-ppu-96gb"):
        assert not [f for f in catalogue.accelerator(chip).dense_rate if f.bits <= 16], chip


def test_22_chips_have_no_rate_at_4_8_or_16_bits() -> None:
    """The list that must fail closed; it may shrink when a source is found, never by accident."""
    bare = [c.id for c in catalogue.accelerators().values() if not [f for f in c.dense_rate if f.bits <= 16]]
    assert len(bare) <= 22
    assert {
        "nvidia-b40-rtx-pro-6000d",
        "intel-gaudi3-hl-328",
        "cambricon-mlu690",
        "baidu-kunlun-p800",
    } <= set(bare)


def test_prices_name_chips_of_the_catalogue() -> None:
    """A price of a chip that nobody can look up is lost."""
    known = catalogue.accelerators().keys() | {"unspecified"}
    for p in catalogue.prices():
        assert p.accelerator in known, p
        assert p.value > 0, p
        assert re.fullmatch(r"[A-Z]{3}", p.currency), p
        assert p.source, p
        assert p.kind in {"unit_price", "server_price", "lease_per_gpu_hour", "lease"} or p.kind.startswith(
            "lease"
        ), p


def test_prices_of_one_chip_are_found_by_its_name() -> None:
    """Prices answer to the same names as chips."""
    assert {p.accelerator for p in catalogue.prices("H20 SXM 96GB")} == {"nvidia-h20-sxm-96gb"}
    with pytest.raises(NotFound):
        catalogue.prices("no such chip")


def test_claims_keep_the_denial_beside_the_assertion() -> None:
    """ByteDance is reported to hold 100 bn yuan of chips, and denies it: both stand."""
    stances = {c.stance for c in catalogue.claims("bytedance") if c.predicate == "holds_value"}
    assert stances == {"asserts", "denies"}
    for c in catalogue.claims():
        assert c.claimed_by, c
        assert c.source, c
        assert c.value_low is None or c.value_high is None or c.value_low <= c.value_high, c


def test_an_unknown_source_is_not_found() -> None:
    """A wrong key is an error, not an empty citation."""
    with pytest.raises(NotFound):
        catalogue.source("no-such-key")
