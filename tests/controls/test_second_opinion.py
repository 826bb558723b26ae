"""A second opinion: the destination, headquarters, exception and review rules written again by hand, as plain code.

It shares nothing with the rule files but the regulations: sets and thresholds are typed in here from Supplement No. 1 to
part 740, ECCN 3A090, 742.6, 744.23 and 740.8. Exports from the United States, plain parties, figures without rounding.
"""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from typing import NamedTuple

import pytest
from tests.controls.controls_desk import a_chip, a_party, an_act

from entrepot.controls import Outcome, Provenance, ReviewPolicy, StatedFigures, TransferKind, decide

D5 = {
    "AF",
    "BY",
    "CD",
    "CF",
    "CN",
    "CU",
    "ER",
    "HT",
    "IQ",
    "IR",
    "KP",
    "LB",
    "LY",
    "MM",
    "RU",
    "SD",
    "SO",
    "SS",
    "SY",
    "VE",
    "ZW",
}
D1 = {
    "AM",
    "AZ",
    "BY",
    "CN",
    "GE",
    "IQ",
    "KG",
    "KH",
    "KP",
    "KZ",
    "LA",
    "LY",
    "MD",
    "MM",
    "MN",
    "MO",
    "RU",
    "TJ",
    "TM",
    "UZ",
    "VE",
    "VN",
    "YE",
}
D4 = {
    "BH",
    "BY",
    "CN",
    "EG",
    "IL",
    "IQ",
    "IR",
    "JO",
    "KP",
    "KW",
    "LB",
    "LY",
    "MO",
    "OM",
    "PK",
    "QA",
    "RU",
    "SA",
    "SY",
    "VE",
    "YE",
}
A5_A6 = {
    "AR",
    "AT",
    "AU",
    "BE",
    "CA",
    "CH",
    "CY",
    "DE",
    "FR",
    "GB",
    "IL",
    "IN",
    "JP",
    "KR",
    "MT",
    "MX",
    "NL",
    "NO",
    "NZ",
    "PL",
    "SE",
    "SG",
    "TR",
    "TW",
    "ZA",
    "AL",
}
SUPP5A = {
    "AU",
    "BE",
    "CA",
    "DE",
    "DK",
    "ES",
    "FI",
    "FR",
    "GB",
    "IE",
    "IT",
    "JP",
    "KR",
    "NL",
    "NO",
    "NZ",
    "SE",
    "TW",
    "US",
}
NEW, SPRING24 = dt.date(2023, 11, 17), dt.date(2024, 4, 4)
DIFFUSION, JAN26 = dt.date(2025, 1, 13), dt.date(2026, 1, 15)

DAYS = [dt.date.fromisoformat(d) for d in (
    "2022-11-01", "2023-01-16", "2023-01-17", "2023-11-16", "2023-11-17", "2024-03-14", "2024-03-15", "2024-04-03",
    "2024-04-04", "2024-05-29", "2024-05-30", "2025-01-12", "2025-01-13", "2025-06-01", "2025-11-06", "2025-11-07",
    "2026-01-14", "2026-01-15", "2026-07-09", "2026-07-10", "2026-09-24",
)]  # fmt: skip
PLACES = ["CN", "HK", "MO", "SG", "MY", "AE", "SA", "DE", "IL", "RU", "BY", "IR", "CU", "KP", "KH", "VN", "NI", "CY", "AF",
          "PK", "TW", "IN", "BR"]  # fmt: skip
SEATS = ["CN", "MO", "DE", "SG", "KH", "NI", "CY"]
CHIPS = [  # TPP, density, for data centres, input/output
    ("4800", "6", True, "600"), ("4800", "6", True, "599"), ("4799", "6", True, "900"), ("4799", "5.91", True, "64"),
    ("4800", "1", False, "64"), ("4799", "9", False, "64"), ("1600", "5.92", True, "64"), ("1600", "3.2", True, "64"),
    ("1600", "3.19", True, "64"), ("2400", "1.6", True, "64"), ("2399", "1.6", True, "64"), ("1599", "9", True, "64"),
]  # fmt: skip


class Said(NamedTuple):
    """An answer: outcome, policy where one is said, and whether an exception asks a notice."""

    outcome: Outcome
    policy: ReviewPolicy | None = None
    notice: bool = False


def d5(country: str, on: dt.date) -> bool:
    """Macau or D:5, which every rule names together."""
    country = "CN" if country == "HK" else country
    moved = {
        "NI": on >= dt.date(2024, 3, 15),
        "KH": on < dt.date(2025, 11, 7),
        "CY": on < dt.date(2024, 5, 30),
    }
    return country == "MO" or country in D5 or moved.get(country, False)


def named(country: str, on: dt.date) -> bool:
    """742.6(a)(6)(iii): D:1, D:4, D:5 less A:5, A:6; the Emirates as a member of D:4 or by name."""
    country = "CN" if country == "HK" else country
    inside = country in D1 | D4 or d5(country, on) or country == "AE"
    return inside and country not in A5_A6


def opinion(
    chip: tuple[str, str, bool, str], place: str, seat: str, on: dt.date, *, resale: bool = False
) -> Said:
    """Return what the rules say, most severe first."""
    tpp, density, centre, io = Decimal(chip[0]), Decimal(chip[1]), chip[2], Decimal(chip[3])
    if place in {"IR", "KP", "CU"}:
        return Said(Outcome.PROHIBITED)
    if place in {"RU", "BY"}:
        return Said(Outcome.LICENCE_REQUIRED, ReviewPolicy.POLICY_OF_DENIAL)
    if on < NEW:
        china = place in {"CN", "HK"} or (place == "MO" and on >= dt.date(2023, 1, 17))
        caught = china and tpp >= 4800 and io >= 600
        return Said(Outcome.LICENCE_REQUIRED, ReviewPolicy.DENIAL) if caught else Said(Outcome.NO_LICENCE)
    a = tpp >= 4800 or (centre and tpp >= 1600 and density >= Decimal("5.92"))
    b = (
        not a
        and centre
        and (
            (tpp >= 2400 and Decimal("1.6") <= density < Decimal("5.92"))
            or (tpp >= 1600 and Decimal("3.2") <= density < Decimal("5.92"))
        )
    )
    if not (a or b) or not (named(place, on) or d5(seat, on)):
        return Said(Outcome.NO_LICENCE)
    denied = d5(place, on) or d5(seat, on)
    if resale and (b or not centre) and denied and not d5(place, on):  # 740.8: no transfer to such a party
        if named(place, on):
            return Said(Outcome.LICENCE_REQUIRED, ReviewPolicy.DENIAL)
        denial = on >= DIFFUSION and a
        return Said(Outcome.LICENCE_REQUIRED, ReviewPolicy.DENIAL if denial else ReviewPolicy.CASE_BY_CASE)
    if b or not centre:  # what 740.8 covers
        if not named(place, on) and on < SPRING24:
            return Said(Outcome.UNKNOWN)  # 740.8(b)(1) against 744.23(c)
        return Said(Outcome.EXCEPTION, notice=denied and not resale)
    if not named(place, on):
        return Said(
            Outcome.LICENCE_REQUIRED, ReviewPolicy.CASE_BY_CASE if on < SPRING24 else ReviewPolicy.DENIAL
        )
    torn = DIFFUSION <= on < JAN26 and d5(place, on) and not d5(seat, on) and seat in SUPP5A
    if torn:
        return Said(Outcome.LICENCE_REQUIRED, ReviewPolicy.NOT_STATED)
    return Said(Outcome.LICENCE_REQUIRED, ReviewPolicy.DENIAL if denied else ReviewPolicy.APPROVAL)


@pytest.mark.parametrize("on", DAYS, ids=str)
def test_two_ways_of_writing_the_law_agree(on: dt.date) -> None:
    """12 chips at their edges, 23 places, 7 seats, 21 days: 40,572 exports."""
    compare(on, TransferKind.EXPORT, PLACES, SEATS)


@pytest.mark.parametrize("on", DAYS[::2], ids=str)
def test_they_agree_on_resale_inside_a_country(on: dt.date) -> None:
    """12 chips, 9 places, 4 seats, 11 days: 4,752 transfers of units that somebody vouches for."""
    compare(
        on,
        TransferKind.IN_COUNTRY,
        ["CN", "MO", "SG", "SA", "DE", "RU", "KH", "VN", "AE"],
        ["CN", "DE", "SG", "KH"],
    )


def compare(on: dt.date, kind: TransferKind, places: list[str], seats: list[str]) -> None:
    """Hold every combination of a day against the second opinion."""
    record = a_chip(id="edge", vendor="Example")
    for chip, place, seat in itertools.product(CHIPS, places, seats):
        figures = StatedFigures(
            Decimal(chip[0]), Decimal(chip[1]), Decimal(1000), Decimal(chip[3]), datacenter=chip[2]
        )
        act = an_act(
            "edge", place, on, kind, recipient=a_party(seat), figures=figures, dd_certificate=False,
            provenance=Provenance(authorisation="lawful"),
        )  # fmt: skip
        found = decide(act, accelerators={"edge": record})
        said = opinion(chip, place, seat, on, resale=kind is TransferKind.IN_COUNTRY)
        got = Said(found.outcome, found.review_policy, any("25 calendar days" in c for c in found.conditions))
        where = (chip, place, seat, on, found.citations)
        assert got.outcome is said.outcome, (where, got, said, found.reasons)
        assert said.policy is None or got.policy is said.policy, (where, got, said)
        if got.outcome is Outcome.EXCEPTION:
            assert got.notice is said.notice, (where, got, said)
