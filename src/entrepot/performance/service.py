"""Which constants do queues, pools and training rest on? They stand in ``data/service.toml``, each with its source."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

__all__ = ["Service", "Tables", "constants", "service", "training_constants"]


@dataclass(frozen=True, slots=True)
class Service:
    """Constants of queues, of separate pools, and the factors that they put on an interval."""

    busy_max: float
    open_steps: float
    decode_share: float
    replicas_max: int
    super_node: int
    pipeline_factor: float
    apart_factor: float
    speculation_factor: float
    saturated_factor: float
    burst_tpot_factor: float
    burst_ttft_factor: float


Tables: TypeAlias = dict[str, dict[str, dict[str, Any]]]


def _file(name: str) -> Tables:
    text = files("entrepot.performance").joinpath("data", name).read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def constants() -> Tables:
    """Return ``data/service.toml`` as it stands: table -> name -> value, kind, source."""
    return _file("service.toml")


@cache
def training_constants() -> Tables:
    """Return ``data/training.toml`` as it stands."""
    return _file("training.toml")


@cache
def service() -> Service:
    """Return the constants as numbers."""
    tables = constants()

    def value(table: str, name: str) -> float:
        return float(tables[table][name]["value"])

    return Service(
        busy_max=value("queue", "busy_max"),
        open_steps=value("queue", "open_steps"),
        decode_share=value("apart", "decode_share"),
        replicas_max=int(value("apart", "replicas_max")),
        super_node=int(value("apart", "super_node")),
        pipeline_factor=value("interval", "pipeline"),
        apart_factor=value("interval", "apart"),
        speculation_factor=value("interval", "speculation"),
        saturated_factor=value("interval", "saturated"),
        burst_tpot_factor=value("interval", "burst_tpot"),
        burst_ttft_factor=value("interval", "burst_ttft"),
    )
