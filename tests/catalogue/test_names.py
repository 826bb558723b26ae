"""Does a name lead to the product that was meant, and to no other?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot import catalogue
from entrepot.catalogue._names import find, words
from entrepot.errors import InputError, NotFound

CHIPS = st.sampled_from(sorted(catalogue.accelerators()))


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("nvidia-h20-sxm-96gb", "nvidia-h20-sxm-96gb"),
        ("H20 SXM 96GB", "nvidia-h20-sxm-96gb"),
        ("h20 141gb", "nvidia-h20-sxm-141gb"),
        ("H100 SXM", "nvidia-h100-sxm5-80gb"),
        ("mi300x", "amd-mi300x-192gb"),
        ("Ascend 910C", "huawei-ascend-910c"),
        ("910c", "huawei-ascend-910c"),
        ("L4", "nvidia-l4-24gb"),
        ("RTX 4090", "nvidia-rtx-4090-24gb"),
        ("RTX 4090 D", "nvidia-rtx-4090d-24gb"),
        ("gaudi 3", "intel-gaudi3-oam"),
        ("tpu v5p", "google-tpu-v5p"),
    ],
)
def test_names_in_common_use_lead_to_one_product(name: str, id_: str) -> None:
    """People write what they say."""
    assert catalogue.accelerator(name).id == id_


@pytest.mark.parametrize(
    ("name", "among"),
    [
        ("h20", {"nvidia-h20-sxm-96gb", "nvidia-h20-sxm-141gb"}),
        ("H100", {"nvidia-h100-sxm5-80gb", "nvidia-h100-pcie-80gb"}),
        ("a100 sxm", {"nvidia-a100-sxm4-40gb", "nvidia-a100-sxm4-80gb"}),
        ("910b", {"huawei-ascend-910b1", "huawei-ascend-910b4"}),
    ],
)
def test_a_name_of_several_products_lists_them(name: str, among: set[str]) -> None:
    """The parts of one family differ in law and price: never pick one in silence."""
    with pytest.raises(InputError) as error:
        catalogue.accelerator(name)
    assert all(id_ in str(error.value) for id_ in among)


@given(CHIPS)
@settings(deadline=None, max_examples=60)
def test_id_and_full_name_lead_home(id_: str) -> None:
    """Every product is found by what the catalogue itself calls it."""
    assert catalogue.accelerator(id_).id == id_
    assert catalogue.accelerator(id_.upper().replace("-", " ")).id == id_
    assert catalogue.accelerator(catalogue.accelerator(id_).name).id == id_


@given(st.text(max_size=30))
@settings(deadline=None, max_examples=80)
def test_any_text_gives_a_product_or_a_clear_error(text: str) -> None:
    """And a product that is found has every word that was asked for."""
    try:
        found = catalogue.accelerator(text)
    except (NotFound, InputError):
        return
    assert all(any(own.startswith(w) for own in words(f"{found.id} {_names(found.id)}")) for w in words(text))


def _names(id_: str) -> str:
    chip = catalogue.accelerator(id_)
    return " ".join([chip.name, *(str(f.value) for f in chip.figures if f.figure == "alias")])


def test_a_misspelt_name_offers_the_near_ones() -> None:
    """A slip of the pen should cost one look."""
    with pytest.raises(NotFound) as error:
        catalogue.accelerator("nvidia-h20-sxm-96g8")
    assert "nvidia-h20-sxm-96gb" in error.value.near


def test_every_model_is_found_by_its_name() -> None:
    """Names of models are unambiguous among themselves."""
    for id_, model in catalogue.models().items():
        assert catalogue.model(model.name).id == id_


def test_the_order_of_words_does_not_matter() -> None:
    """People put the memory first or last."""
    known = {"a-x1-80gb": ("Alpha X1 80GB",), "a-x2-80gb": ("Alpha X2 80GB",)}
    assert find("80gb x1", "chip", known) == find("x1 80GB", "chip", known) == "a-x1-80gb"
