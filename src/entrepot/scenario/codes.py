"""Which country and which currency codes exist, and how fine does a currency's money go?"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from entrepot.errors import nearest

__all__ = ["COUNTRY_ALIASES", "countries", "country_hint", "currencies", "minor_units"]

# What people write for a country in daily life, and the code that they mean.
COUNTRY_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "UK": "GB",
        "ENGLAND": "GB",
        "EL": "GR",
        "USA": "US",
        "AMERICA": "US",
        "PRC": "CN",
        "CHN": "CN",
        "DEU": "DE",
        "UAE": "AE",
        "KSA": "SA",
        "ROC": "TW",
        "SOUTH KOREA": "KR",
        "NORTH KOREA": "KP",
        "HOLLAND": "NL",
    }
)


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files("entrepot.scenario") / "data" / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))


@cache
def countries() -> Mapping[str, str]:
    """Return the ISO 3166-1 alpha-2 codes with their usual English names.

    Examples
    --------
    >>> countries()["DE"]
    'Germany'
    """
    return MappingProxyType({row["code"]: row["name"] for row in _rows("countries.csv")})


@cache
def currencies() -> Mapping[str, int]:
    """Return the ISO 4217 codes that a scenario may be in, with the decimals of the minor unit."""
    return MappingProxyType({row["code"]: int(row["decimals"]) for row in _rows("currencies.csv")})


def minor_units(currency: str) -> int:
    """Return how many minor units make one unit of the currency.

    Examples
    --------
    >>> minor_units("CNY"), minor_units("JPY")
    (100, 1)
    """
    scale: int = 10 ** currencies()[currency]
    return scale


def country_hint(written: str) -> str:
    """Return the mend for a country that does not exist: the code that was probably meant.

    Examples
    --------
    >>> country_hint("Germany")
    'Write DE (Germany).'
    """
    known = countries()
    upper = written.strip().upper()
    by_name = {name.upper(): code for code, name in known.items()}
    code = COUNTRY_ALIASES.get(upper) or (upper if upper in known else None) or by_name.get(upper)
    if code is None and len(upper) > 3:
        near = nearest(upper, list(by_name))
        code = by_name[near[0]] if near else None
    if code is None:
        return "Write an ISO 3166-1 alpha-2 code, for example DE, CN or US."
    return f"Write {code} ({known[code]})."
