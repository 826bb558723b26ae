"""Which names may a scenario use that it does not define itself? Those of the catalogue: chips, models, mixes, claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from entrepot import catalogue
from entrepot.catalogue import demand

__all__ = ["Sizes", "Vocabulary", "of_catalogue"]

F64: TypeAlias = NDArray[np.float64]
Sizes: TypeAlias = tuple[F64, F64, F64]  # (buckets,) input tokens, output tokens, share


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Names from outside the scenario.

    Attributes
    ----------
    accelerators, models : id -> full name
    mixes, curves : names of request mixes and of daily curves
    mix, curve : what such a name stands for; (buckets,) arrays, and (24,) relative demand by hour
    claims : (subject, predicate) of reported claims
    """

    accelerators: Mapping[str, str]
    models: Mapping[str, str]
    mixes: Set[str]
    curves: Set[str]
    mix: Callable[[str], Sizes]
    curve: Callable[[str], F64]
    claims: Set[tuple[str, str]]


def of_catalogue() -> Vocabulary:
    """Return the names that the installed catalogue and the user's own additions know."""
    return Vocabulary(
        accelerators={id_: a.name for id_, a in catalogue.accelerators().items()},
        models={id_: m.name for id_, m in catalogue.models().items()},
        mixes=frozenset(demand.mixes()),
        curves=frozenset(demand.curves()),
        mix=_mix,
        curve=_curve,
        claims=frozenset((c.subject, c.predicate) for c in catalogue.claims()),
    )


def _mix(name: str) -> Sizes:
    isl, osl, share = (np.asarray(column, dtype=np.float64) for column in demand.mix(name))
    return isl, osl, share / share.sum()


def _curve(name: str) -> F64:
    return np.asarray(demand.hourly(name), dtype=np.float64)
