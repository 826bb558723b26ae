"""The class of a chip: published values, the edges of every threshold, and figures that are not known."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from tests.controls.controls_desk import a_chip, chips

from entrepot.catalogue import accelerator
from entrepot.catalogue.records import Confidence, NumberFormat
from entrepot.controls import classify, tpp
from entrepot.controls.measures import Interval

BF16, FP8, INT8, FP4, FP32 = (
    NumberFormat.BF16,
    NumberFormat.FP8,
    NumberFormat.INT8,
    NumberFormat.FP4,
    NumberFormat.FP32,
)
NOW = dt.date(2024, 6, 1)
OLD = dt.date(2022, 12, 1)


@pytest.mark.parametrize(("tops", "bits"), [(600, 8), (300, 16)])
def test_tpp_of_the_official_example(tops: int, bits: int) -> None:
    """3A090, technical note 2: both give 4800."""
    assert tpp(tops, bits) == 4800


# chip, TPP, performance density, class under the text of 2023; figures as worked from datasheets and trackers.
WORKED = [
    ("H20", 2368, "2.91", "below 3A090"),
    ("L20", 1912, "3.14", "below 3A090"),
    ("A40", 2395, "3.81", "3A090.b"),
    ("L4", 1936, "6.59", "3A090.a"),
    ("A30", 2643, "3.20", "3A090.b"),
    ("T4", 1042, "1.91", "below 3A090"),
    ("A100", 4992, "6.04", "3A090.a"),
    ("A800", 4992, "6.04", "3A090.a"),
    ("H100", 15832, "19.45", "3A090.a"),
    ("H800", 15832, "19.45", "3A090.a"),
    ("H200", 15832, "19.45", "3A090.a"),
    ("L40S", 5863, "9.63", "3A090.a"),
    ("MI210", 2896, "4.00", "3A090.b"),
    ("MI250X", 6128, "4.23", "3A090.a"),
    ("MI300X", 20919, "20.57", "3A090.a"),
    ("Gaudi 3", 29360, None, "3A090.a"),
    ("B200", 36000, None, "3A090.a"),
    ("B300", 56000, None, "3A090.a"),
    ("RTX 4090", 5285, "8.68", "3A090.a"),
    ("RTX 4090D", 4707, "7.73", "below 3A090"),
    ("RTX 5090", 6704, "8.94", "3A090.a"),
]


@pytest.mark.parametrize(("chip", "power", "density", "item"), WORKED)
def test_published_values_and_classes(chip: str, power: int, density: str | None, item: str) -> None:
    """The traps of the market: the H20 lies 32 TPP under b.1, the A40 is caught by b.2, the 72 W L4 is 3A090.a."""
    found = classify(chips()[chip], NOW)
    assert found.tpp is not None
    assert round(found.tpp) == pytest.approx(power, abs=1.5)
    if density is None:
        assert found.performance_density is None
    else:
        assert found.performance_density is not None
        assert round(found.performance_density, 2) == Decimal(density)
    assert found.item_class == item


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("nvidia-h20-sxm-96gb", "below 3A090"),
        ("nvidia-l20-48gb", "below 3A090"),
        ("nvidia-a40-pcie-48gb", "3A090.b"),
        ("nvidia-l4-24gb", "3A090.a"),
        ("nvidia-a100-sxm4-80gb", "3A090.a"),
        ("nvidia-h800-sxm5-80gb", "3A090.a"),
        ("nvidia-h200-sxm-141gb", "3A090.a"),
        ("nvidia-rtx-4090-24gb", "3A090.a"),
        ("nvidia-rtx-4090d-24gb", "below 3A090"),
        ("nvidia-t4-16gb", "below 3A090"),
        ("amd-mi210-64gb", "3A090.b"),
        ("amd-mi250x-128gb", "3A090.a"),
        ("amd-mi300x-192gb", "3A090.a"),
        ("intel-gaudi2", "3A090.a"),
        ("intel-gaudi3-oam", "3A090.a"),
        ("huawei-ascend-910b3", "3A090.a"),
        ("amd-mi308x", "cannot decide"),
        ("intel-gaudi3-hl-328", "cannot decide"),
        ("nvidia-b40-rtx-pro-6000d", "cannot decide"),
        ("nvidia-h100-sxm5-64gb", "cannot decide"),
    ],
)
def test_the_catalogue_gives_the_same_classes(name: str, item: str) -> None:
    """The catalogue's rows come from other sources than the table above; the classes agree."""
    assert classify(accelerator(name), NOW).item_class == item


@pytest.mark.parametrize(
    ("chip", "item"),
    [
        ("A100", "3A090"),  # 600 + 64 GB/s
        ("H100", "3A090"),
        ("A800", "below 3A090"),  # 400 + 64 GB/s
        ("H800", "below 3A090"),
        ("Gaudi 2 HL-225B", "below 3A090"),  # 21 ports: 525 + 64 = 589 GB/s
        ("Gaudi 2", "3A090"),
        ("MI210", "below 3A090"),
        ("RTX 4090", "below 3A090"),  # PCIe only
        ("L40S", "below 3A090"),
    ],
)
def test_the_text_of_2022_counts_the_links(chip: str, item: str) -> None:
    """87 FR 62186 asked for 600 GB/s besides 4800: that is why the A800 and H800 existed."""
    assert classify(chips()[chip], OLD).item_class == item


@pytest.mark.parametrize(
    ("day", "item"),
    [
        ("2022-10-06", "no text"),
        ("2022-10-07", "below 3A090"),
        ("2023-11-16", "below 3A090"),
        ("2023-11-17", "3A090.a"),
        ("2026-09-24", "3A090.a"),
        ("2026-09-25", "no text"),
    ],
)
def test_the_a800_day_by_day(day: str, item: str) -> None:
    """The input/output test ended on 2023-11-17; outside the texts read nothing is said."""
    assert classify(chips()["A800"], dt.date.fromisoformat(day)).item_class == item


@pytest.mark.parametrize(
    ("value", "threshold", "reached"),
    [("4799", "4800", False), ("4800", "4800", True), ("5.9199", "5.92", False), ("5.92", "5.92", True)],
)
def test_a_threshold_itself_is_reached(value: str, threshold: str, *, reached: bool) -> None:
    """In "4800 or more" the figure itself is in, the next smaller one is out."""
    point = Interval(Decimal(value), Decimal(value))
    assert point.reaches(Decimal(threshold)) is reached
    assert point.below(Decimal(threshold)) is not reached


# Exact quarters keep the published rounding away from the thresholds. die 1000 mm2 unless given.
EDGES = [
    # TPP at 16 bits, die, data centre, class
    ("299.9375", "10000", True, "below 3A090"),  # 4799 at PD 0.48: b.1 needs 1.6
    ("299.9375", "1000", True, "3A090.b"),  # 4799 at PD 4.8
    ("300.0625", "1000", True, "3A090.a"),  # 4801: a.1 whatever the density
    ("300.0625", "10000", True, "3A090.a"),
    ("299.9375", "1000", False, "below 3A090"),  # Note 2: below 4800 and not for data centres
    ("300.0625", "1000", False, "3A090.a"),
    ("99.9375", "100.0", True, "below 3A090"),  # 1599 at PD 16
    ("100.0625", "100.0", True, "3A090.a"),  # 1601 at PD 16: a.2
    ("100.0625", "270.0", True, "3A090.a"),  # PD 5.93
    ("100.0625", "271.0", True, "3A090.b"),  # PD 5.908: b.2
    ("100.0625", "500.0", True, "3A090.b"),  # PD 3.202
    ("100.0625", "501.0", True, "below 3A090"),  # PD 3.196
    ("149.9375", "1000", True, "below 3A090"),  # 2399 at PD 2.4: b.1 begins at 2400
    ("150.0625", "1000", True, "3A090.b"),  # 2401 at PD 2.4
    ("150.0625", "1510", True, "below 3A090"),  # PD 1.59
    ("150.0625", "1490", True, "3A090.b"),  # PD 1.61
]


@pytest.mark.parametrize(("rate", "die", "datacenter", "item"), EDGES)
def test_every_threshold_from_both_sides(rate: str, die: str, *, datacenter: bool, item: str) -> None:
    """3A090.a.1-2, .b.1-2 and Note 2, just below and just above."""
    eight = Decimal(rate) * 2
    chip = a_chip({BF16: rate, INT8: eight}, die=die, datacenter=datacenter)
    assert classify(chip, NOW).item_class == item


@pytest.mark.parametrize(
    ("rates", "item"),
    [
        ({BF16: "300.000", INT8: "599.000"}, "cannot decide"),  # 4800.000 +- 0.008
        ({BF16: "299.999", INT8: "599.000"}, "3A090.b"),
        ({BF16: "300.001", INT8: "599.000"}, "3A090.a"),
        ({BF16: "300", INT8: "600"}, "cannot decide"),  # printed without decimals: 4792 to 4808
    ],
)
def test_published_rounding_across_4800_is_not_decided(rates: dict[NumberFormat, str], item: str) -> None:
    """A figure printed to its last digit may lie half a digit to either side."""
    found = classify(a_chip(rates, die="1000.0"), NOW)
    assert found.item_class == item
    if item == "cannot decide":
        assert any("rounding" in fact for fact in found.missing)


def test_the_a30_is_b_although_its_density_is_not_decided_at_three_point_two() -> None:
    """165 x 16 over 826 mm2 lies between 3.187 and 3.208, but b.1 holds on either side."""
    found = classify(a_chip({BF16: "165", INT8: "330"}, die="826"), NOW)
    assert found.density_low < Decimal("3.2") < (found.density_high or 0)
    assert found.item_class == "3A090.b"


def test_the_l20_stays_below_with_its_whole_rounding_band() -> None:
    """239 x 8 over 609 mm2: 3.14, and at most 3.15 with every figure at the edge of its last digit."""
    found = classify(accelerator("nvidia-l20-48gb"), NOW)
    assert found.density_high is not None
    assert found.density_high < Decimal("3.2")
    assert found.item_class == "below 3A090"


MISSING = [
    ({}, {}, "cannot decide", "accelerator.dense_rate of an 8-bit format"),
    ({FP32: "100"}, {}, "cannot decide", "accelerator.dense_rate of a 16-bit format"),
    ({BF16: "1000"}, {"die": None}, "3A090.a", None),  # a lower bound of 16 000 decides
    ({BF16: "50", INT8: "100"}, {"die": None}, "below 3A090", None),  # 800: nothing else matters
    ({BF16: "165", INT8: "330"}, {"die": None}, "cannot decide", "accelerator.die_area_mm2"),
    ({BF16: "165", INT8: "330"}, {"die": None, "datacenter": False}, "below 3A090", None),
    (
        {BF16: "165", INT8: "330"},
        {"datacenter": None},
        "cannot decide",
        "accelerator.marketed_for_datacenter",
    ),
    ({BF16: "50", INT8: "100"}, {"datacenter": None}, "below 3A090", None),
    ({BF16: "1000"}, {"datacenter": None}, "3A090.a", None),
    ({BF16: "165.2"}, {"datacenter": False}, "cannot decide", "accelerator.dense_rate of an 8-bit format"),
    ({BF16: "165", INT8: "330"}, {"node": None}, "cannot decide", "accelerator.process_node"),
    ({BF16: "165", INT8: "330"}, {"node": "TSMC 28nm"}, "below 3A090", None),  # planar: no density
    ({BF16: "300.5", INT8: "601"}, {"node": "TSMC 28nm"}, "3A090.a", None),
]


@pytest.mark.parametrize(("rates", "facts", "item", "missing"), MISSING)
def test_each_missing_figure(
    rates: dict[NumberFormat, str], facts: dict[str, object], item: str, missing: str | None
) -> None:
    """A class is decided only if it does not depend on the figure that is not known, which is named otherwise."""
    found = classify(a_chip(rates, **facts), NOW)  # type: ignore[arg-type]
    assert found.item_class == item
    assert missing is None or missing in found.missing


def test_rate_of_the_rtx_4090_without_its_8_bit_figure_clears_nothing() -> None:
    """Its 16-bit rate alone (2643) would put a controlled card below the thresholds."""
    found = classify(a_chip({BF16: "165.2"}, die="609", datacenter=False), NOW)
    assert found.possible == ("3A090.a", "below 3A090")


@pytest.mark.parametrize(
    ("rate", "item"),
    [("100", "cannot decide"), ("400", "3A090.a")],
    ids=["below stays open", "above decides"],
)
def test_an_estimate_never_decides_that_a_chip_is_below(rate: str, item: str) -> None:
    """H20 141 GB: its rates are assumed from the 96 GB part, which is no ground for a clearance."""
    chip = a_chip({BF16: rate, INT8: rate}, confidence=Confidence.ESTIMATE)
    assert classify(chip, NOW).item_class == item


def test_sparse_free_highest_format_counts() -> None:
    """Technical note 2: the maximum over bit lengths, not the sum, and not the format in use."""
    found = classify(a_chip({BF16: "100", FP8: "200", FP4: "1300.0"}), NOW)
    assert found.tpp == 5200
    assert found.tpp_by_format == {"bf16": 1600, "fp8": 1600, "fp4": 5200}


@pytest.mark.parametrize(
    ("link", "host", "item"),
    [
        ("600", None, "3A090"),
        ("536", "PCIe 4.0 x16", "3A090"),
        ("535", "PCIe 4.0 x16", "below 3A090"),
        (None, "PCIe 4.0 x16", "cannot decide"),
        ("400", None, "cannot decide"),
        ("400", "PCIe Gen5 x16", "below 3A090"),
    ],
)
def test_input_output_of_2022(link: str | None, host: str | None, item: str) -> None:
    """Links and host interface count together; one that is not stated leaves the answer open below 600 GB/s."""
    chip = a_chip({BF16: "400", INT8: "800"}, link=link, host=host)
    assert classify(chip, OLD).item_class == item


def test_one_record_gives_its_class_under_each_text() -> None:
    """A buyer sees at one glance when a chip became controlled."""
    assert dict(classify(chips()["H800"]).classes) == {
        dt.date(2022, 10, 7): "below 3A090",
        dt.date(2022, 10, 21): "below 3A090",
        dt.date(2023, 11, 17): "3A090.a",
    }
