"""Does a config.json give the shape that its model really has, and is a bad file refused with a clear word?"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot import catalogue
from entrepot.catalogue import hf_config, shape
from entrepot.catalogue._models import read_user_models
from entrepot.catalogue.records import Model
from entrepot.errors import Conflict, InputError, NotFound

CONFIGS = Path(__file__).parent / "configs"
NAMES = sorted(p.stem for p in CONFIGS.glob("*.json"))
NOT_IN_A_CONFIG = {
    *(
        "name",
        "vendor",
        "released",
        "total_params_b",
        "active_params_b",
        "attention",
        "native_dtype",
        "source",
        "note",
    ),
    *("context", "mtp_layers"),
}


def config(name: str) -> dict[str, object]:
    """Return one of the published shapes as a config."""
    parsed = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(parsed, dict)
    return parsed


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test a home of its own."""
    monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("name", NAMES)
def test_a_config_gives_the_catalogue_s_own_row(name: str) -> None:
    """The rows of the catalogue were gathered by hand from the same published files."""
    read, row = (
        hf_config.model_from_config(config(name), id=name, source="config.json"),
        catalogue.model(name),
    )
    for field in set(Model.__slots__) - NOT_IN_A_CONFIG:
        assert getattr(read, field) == getattr(row, field), field
    built, known = shape.parameters(read), shape.parameters(row)
    assert built is not None
    assert built == known


@pytest.mark.parametrize("name", NAMES)
def test_each_needed_field_is_asked_for_by_name(name: str) -> None:
    """The mend must be clear from the message."""
    for field in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size"):
        broken = config(name)
        inner = broken.get("text_config", broken)
        assert isinstance(inner, dict)
        del inner[field]
        with pytest.raises(InputError) as error:
            hf_config.model_from_config(broken, id="x", source="config.json")
        assert field in str(error.value) or "head_dim" in str(error.value)


@pytest.mark.parametrize("bad", ["61", -1, 0, 6.5, True, {}, [1, 2]])
def test_a_malformed_count_is_refused(bad: object) -> None:
    """All faults are told at once."""
    broken = config("deepseek-v3") | {"num_hidden_layers": bad, "vocab_size": bad}
    with pytest.raises(InputError) as error:
        hf_config.model_from_config(broken, id="x", source="config.json")
    assert len(error.value.faults) >= 2  # all faults, not the first


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "decoder"),
        ({"is_encoder_decoder": True}, "decoder"),
        ({"mamba_d_state": 128}, "does not know"),
        ({"hybrid_override_pattern": "M*M"}, "does not know"),
        ({"attn_type_list": [0, 1]}, "does not know"),
        ({"head_dim": None, "num_attention_heads": 63}, "do not divide"),
    ],
)
def test_what_cannot_be_sized_is_refused(extra: dict[str, object], word: str) -> None:
    """A wrong shape would give a wrong fleet."""
    with pytest.raises(InputError, match=word):
        hf_config.model_from_config(config("llama-3.1-70b") | extra, id="x", source="config.json")


def test_a_mixture_whose_dense_layers_are_not_first_is_refused() -> None:
    """The record can say how many layers are dense, not which ones in between."""
    with pytest.raises(InputError, match="first"):
        hf_config.model_from_config(
            config("qwen3-235b-a22b") | {"mlp_only_layers": [3, 7]}, id="x", source="config.json"
        )


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "not JSON"),
        (b"not json", "not JSON"),
        (b'{"a": 1', "not JSON"),
        (b"[1, 2]", "not an object"),
        (b"\x80\x02}q\x00", "not text"),
        (b"{}", "no layers"),
        (b'{"_name_or_path": "x/y", "hidden_size": 8}', "num_hidden_layers"),
        (b"[" * 200_000, "not JSON|nested"),
    ],
)
def test_what_is_no_config_is_refused(tmp_path: Path, content: bytes, word: str) -> None:
    """Weights, web pages and half files get a word, not a traceback, and leave nothing behind."""
    file = tmp_path / "my-model_config.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=word):
        hf_config.add_model(file, id=None, to=None)
    assert not (tmp_path / "home").exists()


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    """The commonest slip of all."""
    with pytest.raises(InputError, match="cannot be read"):
        hf_config.add_model(tmp_path / "nowhere.json")


def test_an_added_model_is_found_and_sized(tmp_path: Path, home: Path) -> None:
    """The round trip: config.json, the user's file, the catalogue, the parameter count."""
    folder = tmp_path / "My Model 70B"
    folder.mkdir()
    (folder / "config.json").write_bytes((CONFIGS / "llama-3.1-70b.json").read_bytes())
    added = hf_config.add_model(folder)
    assert added.id == "my-model-70b"
    assert catalogue.model("my-model-70b") == added
    built, known = (
        shape.parameters(catalogue.model("My-Model-70B")),
        shape.parameters(catalogue.model("llama-3.1-70b")),
    )
    assert built == known
    assert (home / "models.toml").read_text(encoding="utf-8").count("[[model]]") == 1
    assert len(catalogue.models()) == 63


@pytest.mark.parametrize("name", NAMES)
def test_the_file_gives_back_what_was_written(tmp_path: Path, name: str) -> None:
    """Writing and reading are one another's undoing."""
    to = tmp_path / "models.toml"
    added = hf_config.add_model(CONFIGS / f"{name}.json", id=f"own-{name}", to=to)
    assert read_user_models(to) == (added,)


def test_adding_the_same_model_twice_changes_nothing(tmp_path: Path, home: Path) -> None:
    """A retry is harmless."""
    first = hf_config.add_model(CONFIGS / "kimi-k2.json", id="mine")
    before = (home / "models.toml").read_bytes()
    assert hf_config.add_model(CONFIGS / "kimi-k2.json", id="mine") == first
    assert (home / "models.toml").read_bytes() == before


def test_another_model_under_a_taken_id_is_a_conflict(home: Path) -> None:
    """A plan that names a model must not change under it."""
    hf_config.add_model(CONFIGS / "kimi-k2.json", id="mine")
    with pytest.raises(Conflict, match="another shape"):
        hf_config.add_model(CONFIGS / "mixtral-8x7b.json", id="mine")
    with pytest.raises(Conflict, match="shipped"):
        hf_config.add_model(CONFIGS / "mixtral-8x7b.json", id="kimi-k2")


def test_a_shipped_model_need_not_be_added(home: Path) -> None:
    """The shape is there already: nothing is written."""
    assert hf_config.add_model(CONFIGS / "kimi-k2.json").id == "kimi-k2"
    assert not home.exists()


def test_comments_of_the_user_stay(tmp_path: Path) -> None:
    """The file belongs to the user."""
    to = tmp_path / "models.toml"
    hf_config.add_model(CONFIGS / "kimi-k2.json", id="one", to=to)
    to.write_text("# my own words\n" + to.read_text(encoding="utf-8"), encoding="utf-8")
    hf_config.add_model(CONFIGS / "glm-4.5.json", id="two", to=to)
    assert to.read_text(encoding="utf-8").startswith("# my own words\n")
    assert [m.id for m in read_user_models(to)] == ["one", "two"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["models.toml"]  # no temporary file left


@pytest.mark.parametrize("id_", ["", "Has Space", "../up", "-x", "a/b", "ümlaut"])
def test_an_id_must_be_plain(id_: str) -> None:
    """Ids stand in file names, tables and commands."""
    with pytest.raises(InputError, match="id"):
        hf_config.add_model(CONFIGS / "kimi-k2.json", id=id_)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "TOML"),
        ("x = 1", "list of models"),
        ('[[model]]\nid = "a"', "is missing"),
        ('[[model]]\nid = "a"\nname = "a"\nvendor = "v"\nsource = "s"\nlayers = -1', "count"),
        ('[[model]]\nid = "a"\nname = "a"\nvendor = "v"\nsource = "s"\nlayer = 1', "no such field"),
        ('[[model]]\nid = "a"\nname = "a"\nvendor = "v"\nsource = "s"\ntotal_params_b = "nan"', "above zero"),
        ('[[model]]\nid = "glm-5"\nname = "a"\nvendor = "v"\nsource = "s"', "shipped"),
        (2 * '[[model]]\nid = "a"\nname = "a"\nvendor = "v"\nsource = "s"\n', "twice"),
    ],
)
def test_a_damaged_model_file_is_explained(home: Path, text: str, word: str) -> None:
    """A typing slip in one's own file must not look like a fault of entrepot."""
    home.mkdir()
    (home / "models.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=word):
        catalogue.models()


def test_a_changed_model_file_is_read_again(home: Path) -> None:
    """A long-running server sees what was added."""
    hf_config.add_model(CONFIGS / "kimi-k2.json", id="one")
    assert "one" in catalogue.models()
    (home / "models.toml").unlink()
    with pytest.raises(NotFound):
        catalogue.model("one")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(NAMES), st.data())
@settings(deadline=None, max_examples=100)
def test_a_config_with_any_field_spoilt_gives_a_model_or_a_clear_error(
    name: str, data: st.DataObject
) -> None:
    """No traceback, whatever stands in a field."""
    spoilt = config(name)
    field = data.draw(st.sampled_from(sorted(spoilt)))
    spoilt[field] = data.draw(_JSON)
    try:
        read = hf_config.model_from_config(spoilt, id="x", source="config.json")
    except InputError:
        return
    assert read.layers is not None
    assert read.layers > 0
