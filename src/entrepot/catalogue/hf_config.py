"""Which shape does a model's ``config.json`` state?

Model makers publish a ``config.json`` beside the weights. Its field names differ by family; this module reads the
common decoder families (Llama, Qwen 2 to 3.5, Mixtral, DeepSeek V2 to V3.2, Kimi K2, gpt-oss, GLM-4.5 and 5, Gemma 3,
Llama 4, Hunyuan, MiniMax M2) and any other that uses the same fields. What it cannot read it refuses, field by field:
a wrong shape would give a wrong fleet.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

from entrepot.catalogue._models import read_user_models, shipped_models, user_models_path
from entrepot.catalogue.records import AttentionKind, Model
from entrepot.errors import Conflict, Fault, InputError

__all__ = ["add_model", "model_from_config", "read_config"]

_BYTES_MAX: Final = 16 * 2**20
_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_STRANGE: Final = ("mamba", "ssm_", "hybrid_override_pattern", "attn_type_list", "block_configs", "d_state")
_EXPERTS_ARE_INTERMEDIATE: Final = ("mixtral", "gpt_oss", "llama4", "minimax", "phimoe", "grok")
_GATED: Final = ("qwen3_next", "qwen3_5")


class _Reader:
    """Takes fields out of a config and keeps the faults."""

    def __init__(self, config: Mapping[str, object], where: str) -> None:
        self.config = config
        self.where = where
        self.faults: list[Fault] = []

    def count(self, *names: str, needed: bool = False, zero: bool = True) -> int | None:
        """Return the first of these fields that is there, as a count; a list must repeat one number."""
        for name in names:
            value = self.config.get(name)
            if value is None:
                continue
            if isinstance(value, list) and value and all(v == value[0] for v in value):
                value = value[0]
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if isinstance(value, bool) or not isinstance(value, int) or value < (0 if zero else 1):
                self._fault(name, f"{value!r} is not a count.", "Write a whole number.")
                return None
            return value
        if needed:
            also = f" (or {', '.join(names[1:])})" if len(names) > 1 else ""
            self._fault(names[0], "is missing.", f"A model's shape needs {names[0]}{also}.")
        return None

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a yes or no."""
        value = self.config.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._fault(name, f"{value!r} is neither true nor false.", "Write true or false.")
            return default
        return value

    def text(self, *names: str) -> str | None:
        """Return the first of these fields that is text."""
        return next((v for n in names if isinstance(v := self.config.get(n), str) and v), None)

    def _fault(self, name: str, what: str, mend: str) -> None:
        self.faults.append(Fault(f"{self.where}: {name}", what, mend))

    def refuse(self, name: str, what: str, mend: str) -> None:
        """Keep a fault of the whole file."""
        self._fault(name, what, mend)


def model_from_config(config: Mapping[str, object], *, id: str, source: str) -> Model:  # noqa: A002 - field name
    """Return the model whose shape a Hugging Face ``config.json`` states.

    Parameters
    ----------
    config : the parsed file
    id : the name that the model gets
    source : where the file was read

    Returns
    -------
    the model; parameter counts are absent, for a config states none (``shape.parameters`` rebuilds them)

    Raises
    ------
    InputError
        not a decoder, a structure that entrepot does not know, fields missing or malformed; carries all faults

    Examples
    --------
    >>> model_from_config(
    ...     {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "vocab_size": 128256,
    ...      "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336},
    ...     id="mine", source="config.json",
    ... ).head_dim
    128
    """
    inner = config.get("text_config")
    flat = {**config, **inner} if isinstance(inner, Mapping) else dict(config)
    read = _Reader(flat, source)
    family = str(config.get("model_type") or flat.get("model_type") or "")
    _refuse_strangers(read, family, config.get("architectures"))
    if read.faults:
        raise InputError(read.faults)

    layers = read.count("num_hidden_layers", "n_layers", "num_layers", needed=True, zero=False)
    hidden = read.count("hidden_size", "dim", "n_embd", needed=True, zero=False)
    heads = read.count("num_attention_heads", "n_heads", needed=True, zero=False)
    vocab = read.count("vocab_size", "padded_vocab_size", needed=True, zero=False)
    latent = read.count("kv_lora_rank")
    kind: AttentionKind = "mqa" if "compress_ratios" in flat else "mla" if latent else "gqa"
    head_dim = _head_dim(read, kind, hidden, heads)
    experts, per_token, shared, expert_width, dense_width = _mlp(read, family)
    full, window, attention = _attention(read, family, kind, layers)
    gated = any(family.startswith(g) for g in _GATED)
    linear = "linear_num_value_heads" in flat
    cla = read.count("cla_share_factor") if read.flag("use_cla", default=False) else None
    every = (
        read.count("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq") if experts else None
    )
    built = Model(
        id=id,
        name=read.text("_name_or_path", "name") or id,
        vendor="unknown",
        released=None,
        total_params_b=None,
        active_params_b=None,
        layers=layers,
        hidden=hidden,
        n_heads=heads,
        n_kv_heads=None if kind == "mla" else (read.count("num_key_value_heads", zero=False) or heads),
        head_dim=head_dim,
        attention=attention,
        attention_kind=kind,
        full_layers=full,
        window=window,
        kv_lora_rank=latent or None,
        q_lora_rank=(read.count("q_lora_rank") or 0) if kind == "mla" else None,
        qk_rope_head_dim=read.count("qk_rope_head_dim", needed=kind == "mla"),
        qk_nope_head_dim=read.count("qk_nope_head_dim", needed=kind == "mla"),
        v_head_dim=read.count("v_head_dim", needed=kind == "mla"),
        n_experts=experts,
        experts_per_token=per_token,
        n_shared_experts=shared,
        moe_intermediate=expert_width,
        dense_intermediate=dense_width,
        first_dense_layers=_first_dense(read, layers) if experts else None,
        vocab=vocab,
        context=read.count("max_position_embeddings", "seq_length"),
        native_dtype=_dtype(flat),
        mtp_layers=read.count("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules"),
        tied_embeddings=read.flag("tie_word_embeddings", default=family.startswith("gemma")),
        source=source,
        note="from a config.json",
        moe_every=every if every and every > 1 else None,
        kv_layers_share=cla,
        attention_gate=True if gated else None,
        index_heads=read.count("index_n_heads"),
        index_head_dim=read.count("index_head_dim"),
        linear_kind="gated-delta" if gated and linear else None,
        linear_key_heads=read.count("linear_num_key_heads"),
        linear_key_dim=read.count("linear_key_head_dim"),
        linear_value_heads=read.count("linear_num_value_heads"),
        linear_value_dim=read.count("linear_value_head_dim"),
    )
    if read.faults:
        raise InputError(read.faults)
    return built


def _refuse_strangers(read: _Reader, family: str, architectures: object) -> None:
    """Refuse what is no decoder, or has layers that the formulas do not know."""
    if (
        "num_hidden_layers" not in read.config
        and "hidden_size" not in read.config
        and "n_layers" not in read.config
    ):
        read.refuse(
            "config", "states no layers and no width.", "Give the config.json that lies beside the weights."
        )
        return
    names = architectures if isinstance(architectures, list) else []
    decoder = not names or any("CausalLM" in str(n) or "ConditionalGeneration" in str(n) for n in names)
    if not decoder or read.config.get("is_encoder_decoder") is True:
        read.refuse(
            "architectures", f"{names} is not a decoder model.", "Only text-generating decoders can be sized."
        )
    strange = sorted(k for k in read.config if k.startswith(_STRANGE))
    if strange or "mamba" in family:
        read.refuse(
            strange[0] if strange else "model_type",
            f"model_type {family!r} has layers of a kind that entrepot does not know.",
            "Write the model's row by hand; see the page on the catalogue.",
        )


def _head_dim(read: _Reader, kind: AttentionKind, hidden: int | None, heads: int | None) -> int | None:
    if kind == "mla":
        parts = read.count("qk_nope_head_dim"), read.count("qk_rope_head_dim")
        return None if None in parts else sum(p for p in parts if p is not None)
    stated = read.count("head_dim", "kv_channels", zero=False)
    if stated is not None or hidden is None or heads is None:
        return stated
    if hidden % heads:
        read.refuse("head_dim", f"is missing, and {heads} heads do not divide {hidden}.", "State head_dim.")
        return None
    return hidden // heads


def _mlp(read: _Reader, family: str) -> tuple[int | None, int | None, int | None, int | None, int | None]:
    """Return experts, experts per token, shared experts, width of an expert, width of a dense MLP."""
    experts = read.count("n_routed_experts", "num_experts", "num_local_experts") or None
    if experts is None:
        return (
            None,
            None,
            None,
            None,
            read.count("intermediate_size", "ffn_hidden_size", needed=True, zero=False),
        )
    per_token = read.count(
        "num_experts_per_tok",
        "moe_topk",
        "experts_per_token",
        "num_selected_experts",
        needed=True,
        zero=False,
    )
    plain = family.startswith(_EXPERTS_ARE_INTERMEDIATE) and "moe_intermediate_size" not in read.config
    if plain:
        width = read.count("intermediate_size", needed=True, zero=False)
        dense = read.count("intermediate_size_mlp", "dense_intermediate_size")
    else:
        width = read.count("moe_intermediate_size", "expert_ffn_hidden_size", needed=True, zero=False)
        dense = read.count("intermediate_size") or None
    shared = read.count("n_shared_experts", "num_shared_expert", "num_shared_experts")
    shared_width = read.count(
        "shared_expert_intermediate_size", "share_expert_dim", "shared_intermediate_size"
    )
    if shared is None and shared_width and width:
        if shared_width % width:
            read.refuse(
                "shared_expert_intermediate_size",
                f"{shared_width} is no multiple of {width}.",
                "Write the row by hand.",
            )
        shared = shared_width // width
    if family.startswith("llama4"):
        shared = 1  # each MoE layer of Llama 4 has one shared expert beside the routed ones; no field says so
    return experts, per_token, shared or None, width, dense


def _first_dense(read: _Reader, layers: int | None) -> int | None:
    first = read.count("first_k_dense_replace", "num_dense_layers")
    only = read.config.get("mlp_only_layers")
    pattern = read.config.get("moe_layer_freq")
    if first is None and isinstance(only, list) and only:
        if only != list(range(len(only))):
            read.refuse(
                "mlp_only_layers", f"{only} are not the first layers.", "Write the model's row by hand."
            )
        first = len(only)
    if first is None and isinstance(pattern, list):
        first = next((n for n, moe in enumerate(pattern) if moe), layers)
        if pattern != [0] * (first or 0) + [1] * (len(pattern) - (first or 0)):
            read.refuse(
                "moe_layer_freq", "dense layers are not the first ones.", "Write the model's row by hand."
            )
    return first or None


def _attention(
    read: _Reader, family: str, kind: AttentionKind, layers: int | None
) -> tuple[int | None, int | None, str]:
    """Return the layers that attend to the whole context, what the others keep, and the wording."""
    sparse = f" (sparse, index top-{read.count('index_topk')})" if "index_topk" in read.config else ""
    if layers is None:
        return None, None, kind
    if kind == "mqa":
        return None, None, "mqa+compressed sparse mix"
    types = read.config.get("layer_types")
    window = read.count("sliding_window")
    every = read.count("sliding_window_pattern", "_sliding_window_pattern") or (
        6 if family.startswith("gemma3") else None
    )
    interval = read.count("full_attention_interval")
    if isinstance(types, list) and types:
        if len(types) != layers:
            read.refuse(
                "layer_types", f"{len(types)} kinds for {layers} layers.", "State one kind for each layer."
            )
        full = sum(t in ("full_attention", "chunked_attention") for t in types)
        linear = "linear_attention" in types
        if linear and "sliding_attention" in types:
            read.refuse("layer_types", "mixes linear and sliding layers.", "Write the model's row by hand.")
    elif interval:
        full, linear = layers // interval, True
    elif family.startswith("gpt_oss") and window:
        full, linear = layers // 2, False  # the class's default: every other layer slides, the first one does
    elif window and every and family.startswith("gemma"):
        full, linear = layers // every, False
    elif window and read.flag("use_sliding_window", default=family.startswith("mistral")):
        full, linear = read.count("max_window_layers") or 0, False
    else:
        return layers, None, kind + sparse
    if full == layers:
        return layers, None, kind + sparse
    if linear:
        return full, 0, f"linear mix ({layers - full} linear + {full} full {kind})"
    if not window:
        read.refuse("sliding_window", "is missing, though layers slide.", "State sliding_window.")
    return full, window, f"swa mix ({layers - full} sliding-{window} + {full} full {kind})"


_DTYPES: Final = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def _dtype(config: Mapping[str, object]) -> str | None:
    quantised = config.get("quantization_config")
    if isinstance(quantised, Mapping) and isinstance(method := quantised.get("quant_method"), str):
        return method
    stated = next((v for n in ("dtype", "torch_dtype") if isinstance(v := config.get(n), str)), None)
    return None if stated is None else _DTYPES.get(stated, stated)


# --- a user's own models ---------------------------------------------------------------------------------------------


def read_config(path: Path) -> Mapping[str, object]:
    """Return a ``config.json``, given the file or the folder that holds it.

    Raises
    ------
    InputError
        no such file, not text, not JSON, not an object
    """
    file = path / "config.json" if path.is_dir() else path
    where = str(file)
    mend = "Give the config.json that lies beside the weights."
    try:
        size = file.stat().st_size
        if size > _BYTES_MAX:
            raise InputError(Fault(where, f"is {size} bytes long: no config.json is.", mend))
        parsed = json.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise InputError(Fault(where, f"cannot be read: {error.strerror}.", mend)) from None
    except UnicodeDecodeError:
        raise InputError(Fault(where, "is not text: perhaps the weights.", mend)) from None
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        raise InputError(Fault(where, what, mend)) from None
    except RecursionError:
        raise InputError(Fault(where, "is nested too deep to be a config.json.", mend)) from None
    if not isinstance(parsed, dict):
        raise InputError(Fault(where, "is JSON, but not an object with fields.", mend))
    return parsed


def add_model(path: Path, *, id: str | None = None, to: Path | None = None) -> Model:  # noqa: A002 - field name
    """Take in the model that a ``config.json`` states, into the user's own model file.

    Parameters
    ----------
    path : the file, or the folder that holds it
    id : the name that the model gets; worked out from the file or its folder if left out
    to : the model file; ``$ENTREPOT_HOME/models.toml`` if left out

    Returns
    -------
    the model, as it stands in the file; a model that stands there already with this shape is left as it is

    Raises
    ------
    InputError
        the config or the model file cannot be read, or gives no usable id
    Conflict
        another model has this id
    """
    config = read_config(path)
    name = id if id is not None else _id_of(config, path)
    if not _ID.fullmatch(name):
        mend = "Give an id of small letters, digits, dots and hyphens, such as my-model-7b."
        raise InputError(Fault("id", f"{name!r} cannot be an id.", mend))
    added = model_from_config(config, id=name, source=str(path))
    file = to if to is not None else user_models_path()
    own = {m.id: m for m in read_user_models(file)}
    there = own.get(name) or shipped_models().get(name)
    if there is not None:
        if _shape(there) == _shape(added):
            return there
        whose = f"in {file}" if name in own else "shipped with entrepot"
        raise Conflict(f"a model {name!r} of another shape is {whose}.\n  Give yours another id.")
    _append(file, added)
    return added


def _id_of(config: Mapping[str, object], path: Path) -> str:
    stated = config.get("_name_or_path")
    if isinstance(stated, str) and stated.strip("./"):
        name = stated.rstrip("/").split("/")[-1]
    elif path.is_dir():
        name = path.resolve().name
    else:
        stem = re.sub(r"[_-]?config$", "", path.stem)
        name = stem.split("--")[-1] if stem else path.resolve().parent.name
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-._")


def _shape(model: Model) -> Model:
    """Return the model without what a config.json does not state."""
    return replace(
        model,
        name="",
        vendor="",
        attention="",
        source="",
        note="",
        released=None,
        total_params_b=None,
        active_params_b=None,
        native_dtype=None,
        context=None,
        mtp_layers=None,
        v_head_dim=model.v_head_dim if model.v_head_dim != model.head_dim else None,
    )


def _append(file: Path, model: Model) -> None:
    """Add one table to the file, which is whole at every moment."""
    lines = ["[[model]]"]
    for field in fields(Model):
        value = getattr(model, field.name)
        if value is None or value == "":
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, int):
            text = str(value)
        else:
            text = json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"{field.name} = {text}")
    table = "\n".join(lines) + "\n"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        before = (
            file.read_text(encoding="utf-8")
            if file.exists()
            else "# Models of your own; entrepot reads them.\n"
        )
        handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(before.rstrip("\n") + "\n\n" + table)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(file)
    except OSError as error:
        raise InputError(
            Fault(str(file), f"cannot be written: {error.strerror}.", "Set ENTREPOT_HOME elsewhere.")
        ) from None
