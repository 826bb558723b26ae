"""Is a condition met, not met, or not known to be either?

Conditions are read from the rule files and judged in Kleene's strong three-valued logic: a conjunction is false as soon
as one part is false, whatever is unknown beside it, and unknown only where the unknown part decides. So a missing fact
can turn a certain answer into "unknown" and never into its opposite.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple, TypeAlias

from entrepot.errors import EntrepotError

__all__ = [
    "ALWAYS",
    "LEAVES",
    "PLACES",
    "Argument",
    "Condition",
    "Leaf",
    "Node",
    "Verdict",
    "all_of",
    "any_of",
    "compiled",
    "known",
    "negated",
]

Argument: TypeAlias = "tuple[str, ...] | Decimal | bool | str"

# What a leaf of a condition may be called, and the kind of its argument.
LEAVES: Mapping[str, Literal["names", "number", "flag", "name"]] = {
    "kind": "names",
    "item": "names",
    "chip": "names",
    "origin": "names",
    "destination": "names",
    "form": "names",
    "via": "names",
    "recipient_seat": "names",
    "recipient_seat_all": "names",
    "sender_seat": "names",
    "sender_seat_all": "names",
    "designer": "names",
    "datacenter": "flag",
    "made_for_china": "flag",
    "fact": "name",
    "asked": "name",
    "authorised": "name",
    "tpp_min": "number",
    "tpp_below": "number",
    "density_min": "number",
    "density_below": "number",
    "memory_bw_min": "number",
    "memory_bw_below": "number",
    "link_min": "number",
    "io_min": "number",
    "memory_and_io_min": "number",
    "hbm_density_above": "number",
    "hbm_density_below": "number",
}
# Leaves whose argument is countries and groups.
PLACES = frozenset(
    {
        "origin",
        "destination",
        "via",
        "designer",
        "recipient_seat",
        "recipient_seat_all",
        "sender_seat",
        "sender_seat_all",
    }
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One question about the act, the chip or a party."""

    name: str
    argument: Argument


@dataclass(frozen=True, slots=True)
class Node:
    """Several conditions joined; ``not`` negates the conjunction of its children."""

    operator: Literal["all", "any", "not"]
    children: tuple[Condition, ...]


Condition: TypeAlias = "Leaf | Node"
ALWAYS = Node("all", ())


class Verdict(NamedTuple):
    """Whether a condition holds (``None`` = unknown), the facts that it read, and the facts that it lacks."""

    value: bool | None
    used: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()


def known(value: bool | None, fact: str, lacking: str | None = None) -> Verdict:  # noqa: FBT001
    """Return the verdict of one fact, which is its own missing fact when unknown."""
    missing = frozenset({lacking or fact}) if value is None else frozenset()
    return Verdict(value, frozenset({fact}), missing)


def all_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Join verdicts by "and".

    Examples
    --------
    >>> all_of([Verdict(None), Verdict(False)]).value
    False
    """
    parts = tuple(verdicts)
    return _joined(parts, decisive=False)


def any_of(verdicts: Iterable[Verdict]) -> Verdict:
    """Join verdicts by "or".

    Examples
    --------
    >>> any_of([Verdict(None), Verdict(False)]).value is None
    True
    """
    parts = tuple(verdicts)
    return _joined(parts, decisive=True)


def negated(verdict: Verdict) -> Verdict:
    """Return the opposite; unknown stays unknown."""
    return verdict if verdict.value is None else verdict._replace(value=not verdict.value)


def _joined(parts: tuple[Verdict, ...], *, decisive: bool) -> Verdict:
    for value in (decisive, None, not decisive):  # what decides, what leaves open, what remains
        found = [part for part in parts if part.value is value]
        if found:
            used = frozenset().union(*(part.used for part in found))
            missing = frozenset().union(*(part.missing for part in found)) if value is None else frozenset()
            return Verdict(value, used, missing)
    return Verdict(not decisive)


def compiled(table: Mapping[str, object], where: str) -> Condition:
    """Read a condition from its TOML table: every key must hold.

    Parameters
    ----------
    table : keys of `LEAVES`, or ``all``, ``any`` (lists of tables) and ``not`` (a table)
    where : named in the error when a rule file is wrong
    """
    children: list[Condition] = []
    for key, value in table.items():
        if key in {"all", "any"} and isinstance(value, list):
            parts = tuple(compiled(_table(part, where), where) for part in value)
            children.append(Node("all" if key == "all" else "any", parts))
        elif key == "not":
            children.append(Node("not", (compiled(_table(value, where), where),)))
        else:
            children.append(_leaf(key, value, where))
    return children[0] if len(children) == 1 else Node("all", tuple(children))


def _leaf(key: str, value: object, where: str) -> Leaf:
    kind = LEAVES.get(key)
    if kind == "names" and isinstance(value, list) and all(isinstance(part, str) for part in value):
        return Leaf(key, tuple(value))
    if kind == "number" and isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Leaf(key, Decimal(value))
    if kind == "flag" and isinstance(value, bool):
        return Leaf(key, value)
    if kind == "name" and isinstance(value, str):
        return Leaf(key, value)
    raise EntrepotError(f"{where}: {key} = {value!r} is no condition")


def _table(value: object, where: str) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    raise EntrepotError(f"{where}: {value!r} is no table of conditions")
