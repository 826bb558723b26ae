"""Does the explanation show every figure, every conflict and every unknown, and does each follow from a file?"""

from collections.abc import Mapping
from decimal import Decimal

import pytest

from entrepot import catalogue
from entrepot.catalogue.explain import Explained, explain, explain_model, ridge_flop_per_byte
from entrepot.catalogue.records import NumberFormat

CHIPS = sorted(catalogue.accelerators())


def section(told: Explained, key: str) -> tuple[Mapping[str, object], ...]:
    """Return the rows of one section."""
    return next((s.rows for s in told.sections if s.key == key), ())


@pytest.mark.parametrize("id_", CHIPS)
def test_no_figure_is_kept_back(id_: str) -> None:
    """A used figure stands in one of the sections, a disputed one among the conflicts, an unknown one by name."""
    chip = catalogue.accelerator(id_)
    told = explain(chip)
    shown = {r["figure"] for key in ("identity", "rates", "memory_and_links") for r in section(told, key)}
    stated = {f.figure for f in chip.figures if f.used and f.value is not None} - {"alias", "note"}
    assert shown == stated
    assert {r["figure"] for r in section(told, "unknown")} == {
        f.figure for f in chip.figures if f.used and f.value is None
    }
    unused = [f for f in chip.figures if not f.used]
    assert len([r for r in section(told, "conflicts") if r["used"] == "no"]) == len(unused)


@pytest.mark.parametrize("id_", CHIPS)
def test_every_source_named_is_spelt_out(id_: str) -> None:
    """A key alone tells a reader nothing."""
    told = explain(catalogue.accelerator(id_))
    listed = {r["source"] for r in section(told, "sources")}
    for key in ("identity", "rates", "memory_and_links", "conflicts"):
        for row in section(told, key):
            assert set(str(row["sources"]).split("; ")) <= listed


def test_the_h20_turns_compute_bound_four_times_earlier_than_the_h100() -> None:
    """H20: 148 TFLOP/s over 4.0 TB/s; H100: 989.4 over 3.35. Weak arithmetic, strong memory."""
    h20 = ridge_flop_per_byte(catalogue.accelerator("nvidia-h20-sxm-96gb"))
    h100 = ridge_flop_per_byte(catalogue.accelerator("nvidia-h100-sxm5-80gb"))
    assert h20 == Decimal("37.0")
    assert h100 == Decimal("295.3")


def test_no_ridge_without_both_figures() -> None:
    """Unknown stays unknown when figures are joined."""
    assert ridge_flop_per_byte(catalogue.accelerator("amd-mi308x")) is None
    assert ridge_flop_per_byte(catalogue.accelerator("nvidia-h20-sxm-141gb")) is None
    assert ridge_flop_per_byte(catalogue.accelerator("nvidia-a100-sxm4-80gb"), NumberFormat.FP8) is None


def test_prices_and_claims_come_along() -> None:
    """What was paid and what is said stand beside what is specified, denials too."""
    told = explain(catalogue.accelerator("nvidia-h20-sxm-96gb"))
    assert len(section(told, "prices")) == len(catalogue.prices("nvidia-h20-sxm-96gb"))
    assert {r["stance"] for r in section(told, "claims")} == {"asserts", "denies"}
    assert all("H20" in f"{r['object']} {r['subject']}" for r in section(told, "claims"))


@pytest.mark.parametrize("id_", sorted(catalogue.models()))
def test_a_model_shows_its_size_or_why_not(id_: str) -> None:
    """There is no third case."""
    told = explain_model(catalogue.model(id_))
    rebuilt = [r for r in section(told, "parameters") if r["part"] == "total, rebuilt"]
    assert bool(rebuilt) != bool(section(told, "unknown"))
    assert section(told, "source")
