"""Is it a statement at all? Every field that there must be, of its type, and no other.

Part of checking a statement: nothing here is shared with the code that found the clearing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["fault_of_form"]

Form: TypeAlias = Any

_S, _I, _F, _B, _HEX = "text", "whole number", "number", "yes or no", "hex"


def _maybe(form: Form) -> Form:
    return ("maybe", form)


_PERMIT = {"permitted": _B, "outcome": _S, "citation": _S, "reason": _S}
_MADE, _FEE = {"amount_minor": _I, "reason": _S}, {"gain_minor": _I, "fee_minor": _I}
_REJECTED = {"reason": _S, "in_the_money": _B, "quantity": _F}
_ORDER = {
    "salt": _HEX, "index": _I, "path": [[_HEX]], "made_whole": _maybe(_MADE), "fee": _maybe(_FEE),
    "rejected": _maybe(_REJECTED),
}  # fmt: skip
_LOT = {
    "lot": _S, "accelerator": _S, "site": _S, "kind": _S, "provenance": _S, "block": _I, "ask_micro": _I,
    "residual_micro": _I, "whole": _B, "slice": _I, "min_fill": _I, "group": _S, "waits_for": _S, "capacity": [_I],
    "pool": _I, "committed": _I, **_ORDER,
}  # fmt: skip
_EDGE = {
    "pool": _I, **_PERMIT, "rate": _F, "slice": _maybe([_maybe(_I)]), "too_small": [_I], "blocks": [_I],
    "residual_micro": _I,
}  # fmt: skip
_BID = {
    "bid": _S, "service": _S, "limit_micro": _I, "term": _B, "one_pool": _B, "group": _S, "min_share": _F,
    "total_mtok": _maybe(_F), "demand": [_F], "factor": _maybe([_F]), "served": [_F], "pools": [_EDGE], **_ORDER,
}  # fmt: skip
_TRADE = {
    "trade": _S, "lot": _S, "seller": _S, "bid": _S, "buyer": _S, "accelerator": _S, "site": _S, "kind": _S,
    "provenance": _S, "devices_max": _I, "device_hours": _I, "payment_minor": _I, "unit_price_micro": _I, "pool": _I,
    "devices": [("pair", _maybe(_I), _I)], "permit": _PERMIT,
}  # fmt: skip
_PUBLIC = {
    "format": _S, "currency": _S, "minor_digits": _I, "granted": [_S], "seed": _S, "seed_sha256": _HEX,
    "orders": {"lots": _I, "bids": _I, "root": _HEX},
    "periods": [{"period": _I, "label": _S, "hours": _F}],
    "pools": [{"pool": _I, "label": _S, "accelerator": _S, "site": _S, "kind": _S, "provenance": _S,
               "price_micro": "price", "first_period": _maybe(_I)}],
    "certificate": {"welfare_micro": "any whole number", "bound_micro": "any whole number", "gap": _F},
    "fee": {"made_whole_minor": _I, "charged_minor": _I, "gain_minor": _I, "remainder": _I, "hash": _HEX},
    "paid_minor": _I,
}  # fmt: skip
_STATEMENT = {
    "format": _S, "party": _S, "lots": [_LOT], "bids": [_BID], "trades": [_TRADE],
    "totals": {"received_minor": _I, "paid_minor": _I, "made_whole_minor": _I, "fee_minor": _I,
               "net_minor": "any whole number"},
    "public": _PUBLIC, "public_sha256": _HEX, "sha256": _HEX,
}  # fmt: skip


def fault_of_form(told: object) -> str | None:
    """Return the first field that is missing, unknown or not of its type, if any is."""
    if not isinstance(told, Mapping) or told.get("format") != "entrepot-statement/1":
        return "format: is not entrepot-statement/1"
    fault = _fault(told, _STATEMENT, "")
    if fault:
        return fault
    public = told["public"]
    if public["format"] != "entrepot-public/1":
        return "public.format: is not entrepot-public/1"
    if [p["period"] for p in public["periods"]] != list(range(len(public["periods"]))):
        return "public.periods: are not 0, 1, 2, ..."
    if not 0 <= public["minor_digits"] <= 6 or not all(p["hours"] > 0 for p in public["periods"]):
        return "public: its minor digits or hours cannot be"
    if [p["pool"] for p in public["pools"]] != list(range(len(public["pools"]))):
        return "public.pools: are not 0, 1, 2, ..."
    return _lengths(told, len(public["periods"]))


def _lengths(told: Mapping[str, Any], periods: int) -> str | None:
    """Return a list over periods of the wrong length, a pool without its prices, or a rule that cannot be."""
    for pool in told["public"]["pools"]:
        lease, first = pool["kind"] == "lease", pool["first_period"]
        prices = pool["price_micro"]
        if (
            pool["kind"] not in ("lease", "sale")
            or lease != isinstance(prices, list)
            or (lease and first is not None)
        ):
            return f"public.pools: pool {pool['pool']} has no prices of its kind"
        if (lease and len(prices) != periods) or (first is not None and first >= periods):
            return f"public.pools: pool {pool['pool']} is over other periods"
    for lot in told["lots"]:
        if (
            len(lot["capacity"]) != periods
            or lot["block"] < 1
            or lot["slice"] < 1
            or lot["block"] % lot["slice"]
        ):
            return f"lots: {lot['lot']} is over other periods, or its block or slice cannot be"
    for bid in told["bids"]:
        lists = [bid["demand"], bid["served"], *(e["slice"] for e in bid["pools"] if e["slice"] is not None)]
        if any(len(x) != periods for x in lists) or bid["min_share"] > 1:
            return f"bids: {bid['bid']} is over other periods, or its least share cannot be"
    return None


def _fault(value: Any, form: Form, at: str) -> str | None:
    if isinstance(form, tuple) and form[0] == "maybe":
        return None if value is None else _fault(value, form[1], at)
    if isinstance(form, tuple):
        if not isinstance(value, list) or len(value) != len(form) - 1:
            return f"{at}: is not a pair"
        return _first(_fault(x, f, at) for x, f in zip(value, form[1:], strict=True))
    if isinstance(form, dict):
        if not isinstance(value, Mapping):
            return f"{at or 'statement'}: is not an object"
        apart = sorted(set(value) ^ set(form))
        if apart:
            return f"{at}.{apart[0]}".strip(".") + (
                ": is missing" if apart[0] in form else ": is no field of it"
            )
        return _first(_fault(value[k], f, f"{at}.{k}".strip(".")) for k, f in form.items())
    if isinstance(form, list):
        if not isinstance(value, list):
            return f"{at}: is not a list"
        return _first(_fault(x, form[0], f"{at}[{i}]") for i, x in enumerate(value))
    return None if _is(value, form) else f"{at}: {value!r} is not of the kind {form!r}"


def _first(faults: Any) -> str | None:
    return next((f for f in faults if f), None)


def _is(value: Any, form: str) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if form == _S:
        return isinstance(value, str)
    if form == _HEX:
        return isinstance(value, str) and len(value) % 2 == 0 and set(value) <= set("0123456789abcdef")
    if form == _B:
        return isinstance(value, bool)
    if form == "price":
        return (
            value is None
            or (whole and value >= 0)
            or (isinstance(value, list) and all(x is None or _is(x, _I) for x in value))
        )
    if form == "any whole number":
        return whole
    if form == _I:
        return whole and value >= 0
    return (whole or isinstance(value, float)) and math.isfinite(value) and value >= 0
