"""Which AI models are known, the shipped ones and the user's own?

A model is one row: of ``models.csv``, or a ``[[model]]`` table of the user's ``models.toml``. Both are checked by the same
rules; the user's file is read again when it changes.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from entrepot.catalogue._files import rows
from entrepot.catalogue._names import find
from entrepot.catalogue.records import Model
from entrepot.errors import Fault, InputError

__all__ = ["model", "model_from_mapping", "models", "read_user_models", "shipped_models", "user_models_path"]

_MODEL_FIELDS: Final = {f.name: str(f.type) for f in fields(Model)}
_KINDS: Final = ("gqa", "mla", "mqa", "unknown")


def user_models_path() -> Path:
    """Return the user's own model file: ``models.toml`` in ``$ENTREPOT_HOME``, or in ``~/.config/entrepot``."""
    home = os.environ.get("ENTREPOT_HOME")
    return (Path(home) if home else Path.home() / ".config" / "entrepot") / "models.toml"


def model_from_mapping(row: Mapping[str, object], *, where: str) -> Model:
    """Return the model that a row states; absent and empty cells are unknown.

    Parameters
    ----------
    row : field to value; numbers may be text, as in a CSV file
    where : file and line, for the message

    Raises
    ------
    InputError
        unknown fields, values of the wrong kind, counts below zero: all of them
    """
    faults = [
        Fault(f"{where}: {name}", "no such field of a model.", f"The fields are {', '.join(_MODEL_FIELDS)}.")
        for name in row
        if name not in _MODEL_FIELDS
    ]
    values: dict[str, Any] = {}
    for name, kind in _MODEL_FIELDS.items():
        value = row.get(name)
        absent = value is None or value == ""
        if absent and kind in ("str", "AttentionKind"):
            if name in ("id", "name", "vendor", "source"):
                faults.append(
                    Fault(
                        f"{where}: {name}",
                        "is missing.",
                        "Every model has an id, a name, a vendor, a source.",
                    )
                )
            values[name] = "unknown" if kind == "AttentionKind" else ""
            continue
        try:
            values[name] = None if absent else _parsed(kind, value)
        except ValueError as error:
            faults.append(
                Fault(f"{where}: {name}", f"{value!r} {error}.", f"Write {_WANTED[kind]}, or leave it out.")
            )
    if faults:
        raise InputError(faults)
    return Model(**values)


_WANTED: Final = {
    "int | None": "a whole number, zero or above",
    "Decimal | None": "a number above zero",
    "bool | None": "yes or no",
    "str | None": "text",
    "str": "text",
    "AttentionKind": "gqa, mla, mqa or unknown",
}


def _parsed(kind: str, value: object) -> object:
    if kind == "int | None":
        number = int(str(value)) if not isinstance(value, bool) else -1
        if number < 0:
            raise ValueError("is not a count")
        return number
    if kind == "Decimal | None":
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            raise ValueError("is not a number") from None
        if not amount.is_finite() or amount <= 0:
            raise ValueError("is not above zero")
        return amount
    if kind == "bool | None":
        if value in (True, "yes"):
            return True
        if value in (False, "no"):
            return False
        raise ValueError("is neither yes nor no")
    if kind == "AttentionKind" and value not in _KINDS:
        raise ValueError("is no kind of attention")
    if isinstance(value, str):
        return value
    raise ValueError("is not text")


_MODEL_COLUMNS: Final = (
    *("id", "name", "vendor", "released", "total_params_b", "active_params_b", "layers", "hidden", "n_heads"),
    *("n_kv_heads", "head_dim", "attention", "attention_kind", "full_layers", "window", "kv_lora_rank"),
    *("q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "n_experts", "experts_per_token"),
    *("n_shared_experts", "moe_intermediate", "dense_intermediate", "first_dense_layers", "vocab", "context"),
    *("native_dtype", "mtp_layers", "tied_embeddings", "moe_every", "window_kv_heads", "window_head_dim"),
    *(
        "kv_layers_share",
        "attention_gate",
        "index_heads",
        "index_head_dim",
        "linear_kind",
        "linear_key_heads",
    ),
    *("linear_key_dim", "linear_value_heads", "linear_value_dim", "source", "note"),
)


@lru_cache(maxsize=1)
def shipped_models() -> Mapping[str, Model]:
    """Return the models of ``models.csv`` by id."""
    found: dict[str, Model] = {}
    for line, row in rows("models.csv", _MODEL_COLUMNS):
        entry = model_from_mapping(dict(zip(_MODEL_COLUMNS, row, strict=True)), where=f"models.csv:{line}")
        found[entry.id] = entry
    return MappingProxyType(found)


@lru_cache(maxsize=8)
def _with_user_models(path: Path, _changed_ns: int) -> Mapping[str, Model]:
    shipped = shipped_models()
    own = {m.id: m for m in read_user_models(path)}
    doubled = sorted(own.keys() & shipped.keys())
    if doubled:
        raise InputError(
            Fault(f"{path}: {id_}", "is the id of a shipped model.", "Give your own model an id of its own.")
            for id_ in doubled
        )
    return MappingProxyType(dict(sorted({**shipped, **own}.items())))


def read_user_models(path: Path) -> tuple[Model, ...]:
    """Return the models of a user's file, ``[[model]]`` tables of TOML; none where there is no file.

    Raises
    ------
    InputError
        the file cannot be read; carries all faults
    """
    if not path.exists():
        return ()
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(
            Fault(str(path), f"cannot be read as TOML: {error}.", "Mend the file, or move it away.")
        ) from None
    tables = content.get("model", [])
    faults: list[Fault] = []
    found: dict[str, Model] = {}
    if (
        not isinstance(tables, list)
        or not all(isinstance(t, dict) for t in tables)
        or content.keys() - {"model"}
    ):
        raise InputError(
            Fault(str(path), "is not a list of models.", "Write each model under a line [[model]].")
        )
    for n, table in enumerate(tables, 1):
        try:
            entry = model_from_mapping(table, where=f"{path}: model {n}")
        except InputError as error:
            faults.extend(error.faults)
            continue
        if entry.id in found:
            faults.append(Fault(f"{path}: model {n}", f"{entry.id!r} stands twice.", "Keep one of the two."))
        found[entry.id] = entry
    if faults:
        raise InputError(faults)
    return tuple(found.values())


def models() -> Mapping[str, Model]:
    """Return every model by its id: the shipped ones and the user's own.

    Raises
    ------
    InputError
        the user's file cannot be read
    """
    path = user_models_path()
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return shipped_models()
    return _with_user_models(path, changed)


def model(name: str) -> Model:
    """Return the model that goes by this id or name.

    Raises
    ------
    NotFound
        nothing goes by that name; carries the nearest names
    InputError
        several models go by that name; lists them

    Examples
    --------
    >>> model("Llama 3.1 70B").layers
    80
    """
    known = models()
    return known[find(name, "model", {id_: (m.name,) for id_, m in known.items()})]
