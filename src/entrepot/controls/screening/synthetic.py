"""What does a screening list look like that names nobody? Invented entries in the exact form of the public files.

For tests and benchmarks: no name, address or notice in it is a real one, and nothing can be concluded from it.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterator, Sequence

from entrepot.controls.screening.csl import CSV_COLUMNS

__all__ = ["as_csv", "as_json", "entries"]

_EL = "Entity List (EL) - Bureau of Industry and Security"
_SDN = "Specially Designated Nationals (SDN) - Treasury Department"
# About the proportions of the public list of 2026-07-31: 25,921 entries.
_SOURCES = (
    (_SDN, 19181), (_EL, 3420), ("Denied Persons List (DPL) - Bureau of Industry and Security", 1596),
    ("ITAR Debarred (DTC) - State Department", 787),
    ("Sectoral Sanctions Identifications List (SSI) - Treasury Department", 286),
    ("Unverified List (UVL) - Bureau of Industry and Security", 222),
    ("Nonproliferation Sanctions (ISN) - State Department", 161),
    ("Military End User (MEU) List - Bureau of Industry and Security", 70),
)  # fmt: skip
_REQUIREMENTS = (
    "For all items subject to the EAR. (See §744.11 of the EAR).",
    "For all items subject to the EAR. (See §§ 734.9(e)(2) and 744.11 of the EAR)4",
    "For all items subject to the EAR. (See §§ 734.9(g),3 746.8(a)(3), and 744.21(b) of the EAR)",
)
_SYLLABLES = tuple(c + v + e for c in "bdfghjklmnprstvwyz" for v in "aeiou" for e in ("", "n", "r", "l"))
_TRADES = (
    "Technology", "Trading", "Electronics", "Industries", "Semiconductor", "Shipping", "Institute", "Information Technology",
    "Precision Machinery", "Logistics", "Microelectronics", "Engineering", "Import and Export", "Bank",
)  # fmt: skip
_FORMS = ("Co., Ltd.", "LLC", "Limited", "JSC", "GmbH", "Pte. Ltd.", "FZE", "Inc.", "")
_CITIES = (
    ("Port Aurel", "CN"), ("Nordhaven", "RU"), ("Estvale", "IR"), ("Kelso Bay", "AE"), ("Lindmark", "HK"),
    ("Tamarind", "SG"), ("Sankt Osten", "BY"), ("Velamar", "MY"),
)  # fmt: skip


def entries(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Return ``count`` invented entries, in the proportions of the public list; the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311 - invented names, not secrets
    total = sum(n for _, n in _SOURCES)
    wanted = [source for source, n in _SOURCES for _ in range(max(1, round(count * n / total)))]
    wanted = (wanted + [_SDN] * count)[:count] if len(wanted) < count else wanted[len(wanted) - count :]
    return [_entry(i, source, draw) for i, source in enumerate(wanted)]


def _word(draw: random.Random, syllables: int) -> str:
    return "".join(draw.choice(_SYLLABLES) for _ in range(syllables)).capitalize()


def _name(draw: random.Random) -> str:
    words = [_word(draw, draw.choice((2, 2, 3))) for _ in range(draw.choice((1, 1, 2)))]
    return " ".join([*words, draw.choice(_TRADES), draw.choice(_FORMS)]).strip()


def _person(draw: random.Random) -> str:
    return f"{_word(draw, 2).upper()}, {_word(draw, 2)} {_word(draw, 1)}"


def _entry(number: int, source: str, draw: random.Random) -> dict[str, object]:
    person = source == _SDN and draw.random() < 0.45
    name = _person(draw) if person else _name(draw)
    city, country = draw.choice(_CITIES)
    address = {
        "address": f"{draw.randint(1, 400)} {_word(draw, 3)} Road",
        "city": city,
        "state": None,
        "postal_code": f"{draw.randint(10000, 99999)}",
        "country": country,
    }
    aliases = [_person(draw) if person else _name(draw) for _ in range(draw.choice((0, 1, 1, 2, 3)))]
    common: dict[str, object] = {
        "id": f"{draw.getrandbits(160):040x}" if source != _SDN else str(100_000 + number),
        "source": source,
        "name": name,
        "alt_names": aliases,
        "addresses": [address],
        "source_list_url": "https://list.example/invented",
        "source_information_url": "https://list.example/invented",
        "federal_register_notice": None,
        "start_date": None,
        "end_date": None,
        "remarks": "Invented.",
    }
    if source == _SDN:
        ids = [
            {
                "type": "Registration ID",
                "number": f"X{number}",
                "country": country,
                "issue_date": None,
                "expiration_date": None,
            }
        ]
        return common | {
            "entity_number": str(100_000 + number),
            "type": "Individual" if person else "Entity",
            "programs": [draw.choice(("INVENTED-EO1", "INVENTED-EO2"))],
            "ids": ids,
            "license_requirement": None,
            "license_policy": None,
        }
    if source == _EL:
        return common | {
            "federal_register_notice": f"{draw.randint(60, 99)} FR {draw.randint(1000, 99999)}",
            "start_date": f"20{draw.randint(10, 25)}-{draw.randint(1, 12):02d}-01",
            "license_requirement": draw.choice(_REQUIREMENTS),
            "license_policy": draw.choice(
                ("Presumption of denial.", "Policy of denial.", "Case-by-case basis.")
            ),
        }
    return common


def as_json(rows: Sequence[dict[str, object]], made_at: str = "2026-09-20T05:15:00.000001+00:00") -> str:
    """Return entries as the text of ``consolidated.json``."""
    return json.dumps({"search_performed_at": made_at, "results": list(rows)}, ensure_ascii=False)


def as_csv(rows: Sequence[dict[str, object]]) -> str:
    """Return entries as the text of ``consolidated.csv``: every field quoted, lists joined by semicolons."""
    sink = io.StringIO()
    writer = csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n")
    sink.write(",".join(CSV_COLUMNS) + "\n")
    for row in rows:
        writer.writerow([_flat(column, row) for column in CSV_COLUMNS])
    return sink.getvalue()


def _flat(column: str, row: dict[str, object]) -> str:
    value = row.get("id" if column == "_id" else column)
    if column == "addresses":
        return "; ".join(
            _joined(part, ("address", "city", "state", "postal_code", "country")) for part in _dicts(value)
        )
    if column == "ids":
        return "; ".join(
            _joined(part, ("type", "number", "country", "issue_date", "expiration_date"))
            for part in _dicts(value)
        )
    if isinstance(value, list):
        return "; ".join(str(part) for part in value)
    return "" if value is None else str(value)


def _dicts(value: object) -> Iterator[dict[str, object]]:
    for part in value if isinstance(value, list) else []:
        if isinstance(part, dict):
            yield part


def _joined(part: dict[str, object], fields: Sequence[str]) -> str:
    return ", ".join(str(part[f]) for f in fields if part.get(f))
