"""By which short name is an answer known? A hash of what was asked and what was answered, the same on every machine."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Any

from entrepot.controls.records import Decision, PartyFacts, Transfer

__all__ = ["content_hash", "decision_id", "facts_of"]

_SIMPLE = frozenset({str, int, float, bool})


def facts_of(transfer: Transfer) -> dict[str, Any]:
    """Return every fact of an act as JSON can carry it, but for the parties' own ids: who they are does not decide."""
    facts: dict[str, Any] = _plain(transfer)
    return facts


def decision_id(decision: Decision) -> str:
    """Return 16 hexadecimal digits: equal for equal facts, equal answers on equal grounds, under the same law."""
    return content_hash(
        {
            "facts": decision.transfer,
            "outcome": decision.outcome,
            "codified_outcome": decision.codified_outcome,
            "review_policy": decision.review_policy,
            "item_class": decision.item_class,
            "reasons": [
                (r.rule, r.citation, r.outcome, r.status, r.effective, r.text) for r in decision.reasons
            ],
            "missing": decision.missing,
            "conditions": decision.conditions,
            "law_known_to": decision.law_known_to,
        }
    )[:16]


def content_hash(content: object) -> str:
    """Return the SHA-256 of a canonical JSON of the content: keys in order, no spaces, UTF-8."""
    return hashlib.sha256(_canonical(_plain(content)).encode()).hexdigest()


def _canonical(plain: object) -> str:
    return json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@cache
def _kept(cls: type) -> tuple[str, ...]:
    skipped = {"id"} if cls is PartyFacts else set()
    return tuple(f.name for f in fields(cls) if f.name not in skipped)


def _plain(value: Any) -> Any:
    if value is None or type(value) in _SIMPLE:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        parts = [_plain(v) for v in value]
        return (
            sorted(parts, key=_canonical) if value and is_dataclass(value[0]) else parts
        )  # parties have no order
    if is_dataclass(value):
        cls: type = type(value)
        return {name: _plain(getattr(value, name)) for name in _kept(cls)}
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Iterable):
        return sorted(map(str, value))
    return str(value)
