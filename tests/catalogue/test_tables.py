"""Do the tables say the same as the records?"""

import polars as pl
import pytest

from entrepot import catalogue
from entrepot.catalogue import shape, tables
from entrepot.catalogue.records import NumberFormat
from entrepot.errors import InputError


def test_one_row_per_accelerator_and_null_where_unknown() -> None:
    """A zero in a join would look like a fact."""
    table = tables.accelerators_table()
    assert table["id"].to_list() == list(catalogue.accelerators())
    for row in table.iter_rows(named=True):
        chip = catalogue.accelerator(row["id"])
        fp8 = chip.dense_rate.get(NumberFormat.FP8)
        assert row["fp8_tflop_s"] == (None if fp8 is None else float(fp8))
        assert row["memory_gb"] == (None if chip.memory_gb is None else float(chip.memory_gb))
        assert row["marketed_for_datacenter"] == chip.marketed_for_datacenter
    numbers = table.select(pl.col(pl.Float64))
    assert numbers.min_horizontal().min() > 0  # type: ignore[operator]  # never zero


def test_the_table_of_figures_holds_every_figure() -> None:
    """Disputed values too."""
    table = tables.figures_table()
    assert table.height == sum(len(a.figures) for a in catalogue.accelerators().values())
    one = tables.figures_table("H20 SXM 96GB")
    assert one.filter((pl.col("figure") == "tdp") & ~pl.col("used"))["number"].to_list() == [550.0]


def test_models_carry_what_their_shape_gives() -> None:
    """The table rebuilds nothing of its own."""
    table = tables.models_table()
    assert table["id"].to_list() == list(catalogue.models())
    for row in table.iter_rows(named=True):
        built = shape.parameters(catalogue.model(row["id"]))
        assert row["total_rebuilt_b"] == (None if built is None else built.total / 1e9)


def test_prices_and_claims_keep_every_row() -> None:
    """A table that drops what it cannot type would hide the odd ones."""
    assert tables.prices_table().height == len(catalogue.prices())
    assert tables.claims_table().height == len(catalogue.claims())
    assert tables.prices_table()["value"].min() > 0  # type: ignore[operator]


def test_chips_stand_side_by_side_in_the_order_asked_for() -> None:
    """The reader compares from left to right."""
    table = tables.compare_table(["910c", "nvidia-h20-sxm-96gb"])
    assert table.columns == ["figure", "unit", "huawei-ascend-910c", "nvidia-h20-sxm-96gb"]
    rate = table.filter(pl.col("figure") == "rate_bf16_dense").row(0)
    assert rate == ("rate_bf16_dense", "TFLOP/s", 780.0, 148.0)
    with pytest.raises(InputError):
        tables.compare_table(["h20"])
