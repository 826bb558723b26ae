"""Does the shape of each model give back the size that its makers publish?

The check has caught wrong shapes in public sources before: a class default of Seed-OSS gives 28.9 instead of 36 billion,
two web pages give Qwen2.5-72B a width that makes another model of it.
"""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot import catalogue
from entrepot.catalogue import shape
from entrepot.catalogue._models import shipped_models
from entrepot.catalogue.records import Model

MODELS = shipped_models()
REBUILT = {i: b for i, m in MODELS.items() if (b := shape.parameters(m)) is not None}
HERE = Path(__file__).parent
with (HERE / "rebuilt_elsewhere.csv").open(encoding="utf-8") as _stream:
    ELSEWHERE = {r["model"]: r for r in csv.DictReader(_stream)}


def rounding_b(published: float) -> float:
    """Return how far a published size may be from the truth: names count whole billions, trillions to one decimal."""
    return 50.0 if published >= 1000 else 1.0


@pytest.mark.parametrize("id_", [i for i in sorted(REBUILT) if MODELS[i].total_params_b is not None])
def test_the_shape_gives_back_the_published_size(id_: str) -> None:
    """Within 2 %, or within the rounding of the name (Qwen3-8B has 8.19 billion)."""
    published = float(MODELS[id_].total_params_b or 0)
    off = abs(REBUILT[id_].total / 1e9 - published)
    assert off <= max(0.02 * published, rounding_b(published))


def test_what_cannot_be_rebuilt_is_what_says_why() -> None:
    """Every model is either rebuilt or names what is missing; the code finds the reason, no list does."""
    for id_, model in MODELS.items():
        assert (id_ in REBUILT) == (shape.missing(model) == ()), id_
    assert len(REBUILT) >= 49
    closed = {"seed-1.6", "seed-thinking-1.5"}  # only total and active are public
    assert closed.isdisjoint(REBUILT)
    assert all("no source states layers" in shape.missing(MODELS[i]) for i in closed)


@pytest.mark.parametrize("id_", [i for i in ELSEWHERE if ELSEWHERE[i]["total_b"]])
def test_a_second_count_agrees(id_: str) -> None:
    """Counts made from the same config files by another program, before this one was written."""
    built, other = REBUILT[id_], ELSEWHERE[id_]
    assert built.total / 1e9 == pytest.approx(float(other["total_b"]), rel=1.5e-3, abs=0.006)
    assert built.active / 1e9 == pytest.approx(float(other["active_b"]), rel=0.02, abs=0.006)


@pytest.mark.parametrize("id_", ELSEWHERE)
def test_a_second_count_of_the_cache_agrees(id_: str) -> None:
    """The other count takes all layers of gpt-oss and Llama 4 as growing; here sliding layers do not."""
    model, other = MODELS[id_], ELSEWHERE[id_]
    here = shape.kv_bytes_per_token(model)
    assert here is not None
    if other["layers_counted"] == "all":
        here *= (model.layers or 0) / (model.full_layers or 1)
    assert here == float(other["kv_bytes_per_token_16bit"])


@pytest.mark.parametrize(
    ("id_", "bytes_per_token"),
    [
        ("glm-4.5", 376_832),
        ("llama-3.1-70b", 327_680),
        ("qwen3-235b-a22b", 192_512),
        ("glm-5", 89_856),
        ("deepseek-r1", 70_272),
        ("kimi-k2", 70_272),
        ("minimax-m1", 40_960),
        ("qwen3-next-80b-a3b", 24_576),
    ],
)
def test_bytes_per_token_of_well_known_models(id_: str, bytes_per_token: int) -> None:
    """Models of the same use differ by a factor of 15: a bid must name the model, never tokens per second."""
    assert shape.kv_bytes_per_token(catalogue.model(id_)) == bytes_per_token


def test_deepseek_v3_by_part() -> None:
    """DeepSeek-V3 report: 671 billion in all, 37 billion active; the experts are nearly everything."""
    built = REBUILT["deepseek-v3"]
    assert built.routed_experts / built.total > 0.95
    assert built.active / 1e9 == pytest.approx(37, abs=1)
    assert built.embedding == built.head == 129280 * 7168


@pytest.mark.parametrize("id_", sorted(REBUILT))
def test_active_is_part_of_total(id_: str) -> None:
    """A dense model uses all it has; a mixture never does."""
    built, model = REBUILT[id_], MODELS[id_]
    assert 0 < built.active <= built.total
    assert (built.active == built.total) == (model.n_experts is None)


@pytest.mark.parametrize("id_", ["gpt-oss-120b", "gemma-3-27b", "mimo-v2-flash", "step-3.7-flash"])
def test_sliding_layers_stop_growing_at_their_window(id_: str) -> None:
    """The cache of a long chat is smaller than its length suggests."""
    model = MODELS[id_]
    assert model.window is not None
    half = shape.kv_fixed_bytes(model, context=model.window // 2)
    full = shape.kv_fixed_bytes(model, context=model.window)
    longer = shape.kv_fixed_bytes(model, context=100 * model.window)
    assert half is not None
    assert full is not None
    assert half * 2 == full == longer == shape.kv_fixed_bytes(model)


def test_gemma_3_27b_keeps_52_windows() -> None:
    """52 sliding layers x 1024 tokens x 16 heads x 128 x keys and values x 2 bytes."""
    assert shape.kv_fixed_bytes(MODELS["gemma-3-27b"]) == 52 * 1024 * 16 * 128 * 2 * 2


def test_linear_layers_keep_a_state_that_no_context_changes() -> None:
    """That is what they are for."""
    model = MODELS["qwen3-next-80b-a3b"]
    assert shape.kv_fixed_bytes(model, context=1) == shape.kv_fixed_bytes(model, context=10**6)


def test_unknown_shape_gives_no_figure_rather_than_zero() -> None:
    """Zero bytes would fit any chip."""
    for id_ in ("seed-1.6", "deepseek-v4-pro", "glm-4.6"):
        assert shape.kv_bytes_per_token(MODELS[id_]) is None
        assert shape.kv_fixed_bytes(MODELS[id_]) is None
        assert shape.parameters(MODELS[id_]) is None


@given(st.sampled_from(sorted(REBUILT)), st.sampled_from([4, 8, 16]))
@settings(deadline=None, max_examples=50)
def test_the_cache_scales_with_its_bits(id_: str, bits: int) -> None:
    """Half the bits, half the bytes."""
    model = MODELS[id_]
    wide, narrow = shape.kv_bytes_per_token(model), shape.kv_bytes_per_token(model, bits=bits)
    assert wide is not None
    assert narrow == wide * bits / 16


@given(st.sampled_from(sorted(REBUILT)), st.integers(2, 5))
@settings(deadline=None, max_examples=50)
def test_more_layers_cost_the_same_each(id_: str, times: int) -> None:
    """All but embedding and dense prefix grows in proportion to the layers: n times the layers, n times the rest."""
    model: Model = replace(MODELS[id_], first_dense_layers=None)
    assert model.layers is not None
    assert model.full_layers is not None
    more = replace(model, layers=times * model.layers, full_layers=times * model.full_layers)
    one, many = shape.parameters(model), shape.parameters(more)
    assert one is not None
    assert many is not None
    ends = one.embedding + one.head
    assert many.total - ends == times * (one.total - ends)
