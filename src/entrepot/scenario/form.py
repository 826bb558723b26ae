"""What does ``scenario.toml`` look like? One model per section, each key with its unit, default and meaning.

`entrepot.scenario.read` validates with these models, ``schemas/scenario.schema.json`` is exported from them, and the
tables of ``docs/scenario.md`` are printed from them.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

from entrepot.scenario.codes import countries, country_hint, currencies
from entrepot.scenario.columns import ID_PATTERN, PRICE_MAX
from entrepot.scenario.faults import did_you_mean

__all__ = [
    "Amount",
    "AssumptionForm",
    "HorizonForm",
    "PartyForm",
    "ScenarioForm",
    "ServiceForm",
    "SiteForm",
    "VariantForm",
    "Written",
]

_EARLIEST, _LATEST = dt.date(2000, 1, 1), dt.date(2200, 1, 1)


def _key(
    meaning: str,
    default: Any = ...,
    *,
    unit: str = "",
    shown: str | None = None,
    lists: bool = False,
    **limits: Any,
) -> Any:
    """Return a field with its meaning, unit, and how its default reads in the documentation."""
    said: JsonDict = {
        "x-unit": unit,
        "x-default": shown if shown is not None else ("" if default is ... else str(default)),
    }
    if lists:
        return Field(default_factory=list, description=meaning, json_schema_extra=said, **limits)
    return Field(default, description=meaning, json_schema_extra=said, **limits)


def _country(value: str) -> str:
    if value not in countries():
        raise PydanticCustomError(
            "country", "there is no country '{value}'", {"value": value, "mend": country_hint(value)}
        )
    return value


def _currency(value: str) -> str:
    known = list(currencies())
    if value not in known:
        mend = did_you_mean(value.upper(), known, otherwise=f"Known are {', '.join(known)}.")
        raise PydanticCustomError(
            "currency", "there is no currency '{value}'", {"value": value, "mend": mend}
        )
    return value


def _day(value: dt.date) -> dt.date:
    if not _EARLIEST <= value < _LATEST:
        raise PydanticCustomError(
            "day",
            "{value} lies outside 2000 to 2199",
            {"value": value.isoformat(), "mend": "Check the year."},
        )
    return value


def _only_day(value: object) -> object:
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date):
        raise PydanticCustomError(
            "day",
            "{value} is not a day",
            {"value": repr(value), "mend": "Write a bare day, for example 2025-07-01."},
        )
    return value


def _amount(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise PydanticCustomError(
            "amount", "this is not an amount of money", {"mend": 'Write for example "60000".'}
        )
    try:
        amount = Decimal(str(value))
    except ArithmeticError as error:
        mend = {"value": str(value), "mend": 'Write digits only, for example "60000.50".'}
        raise PydanticCustomError("amount", "'{value}' is not an amount of money", mend) from error
    if not amount.is_finite() or not 0 <= amount <= PRICE_MAX:
        context = {"value": str(value), "mend": f"Write an amount from 0 to {PRICE_MAX:,}."}
        raise PydanticCustomError("amount", "'{value}' is not a possible amount", context)
    exponent = amount.normalize().as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -2:
        context = {"value": str(value), "mend": "Write at most two decimals."}
        raise PydanticCustomError("amount", "'{value}' has more than two decimals", context)
    return amount


Id = Annotated[str, Field(pattern=ID_PATTERN)]
Line = Annotated[str, Field(min_length=1, max_length=200)]
Country = Annotated[
    str, AfterValidator(_country), WithJsonSchema({"type": "string", "enum": sorted(countries())})
]
Currency = Annotated[
    str, AfterValidator(_currency), WithJsonSchema({"type": "string", "enum": sorted(currencies())})
]
Day = Annotated[dt.date, BeforeValidator(_only_day), AfterValidator(_day)]
DayKey = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Devices = Annotated[int, Field(ge=1, le=10**8)]
Amount = Annotated[
    Decimal,
    BeforeValidator(_amount),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\d+(\.\d{1,2})?$"}, {"type": "number", "minimum": 0}]}
    ),
]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ScenarioForm(_Form):
    """What the scenario is, and how it is read."""

    name: Id = _key("Short name: letters, digits, `-`, `_`, `.`.")
    title: Line = _key("One line that says what it is about.")
    story: str = _key("What happens, in words; the report prints it.", "", shown="empty")
    as_of: Day = _key("Day on which the law is read and the market is cleared.", unit="day")
    currency: Currency = _key("The one currency of all money in the scenario.", unit="ISO 4217")
    seed: Line = _key("Any text, committed before the gate closes; ties are broken by it.")
    rate_basis: Literal["low", "central", "high"] = _key(
        "Which end of the estimated rates bids are cleared on.", "central"
    )
    claims: list[str] = _key(
        "Reported claims of the catalogue that are shown beside the results, as `subject/predicate`.",
        shown="none",
        lists=True,
    )
    granted: list[str] = _key(
        "Licences that are taken to be granted: lots and orders that wait for them are offered.",
        shown="none",
        lists=True,
    )
    default_variant: Id | None = _key("The variant that is open when none is asked for.", None, shown="none")
    dates: dict[DayKey, Line] = Field(
        default_factory=dict,
        description="Other days worth clearing, each with a label.",
        json_schema_extra={"x-unit": "", "x-default": "none"},
    )


class HorizonForm(_Form):
    """The time that is cleared, cut into steps; each step has 24 periods, one for each hour of the day (UTC)."""

    start: Day = _key("First day.", unit="day")
    end: Day = _key("Day after the last; a step must end on it.", unit="day")
    step: Literal["day", "week", "month", "quarter", "all"] = _key(
        "Length of a step. Months and quarters need a start on the first of a month."
    )


class VariantForm(_Form):
    """One reading of a contested fact: it overrides quantities of holdings, and may withdraw lots."""

    title: Line = _key("What this reading assumes.")
    holdings: dict[str, Devices] = Field(
        default_factory=dict,
        description="Quantities by the id of the holding.",
        json_schema_extra={"x-unit": "devices", "x-default": "none"},
    )
    withdrawn: list[Id] = Field(
        default_factory=list,
        description="Lots that are not offered under this reading, for example because nothing is left for them.",
        json_schema_extra={"x-unit": "lot ids", "x-default": "none"},
    )


class PartyForm(_Form):
    """A holder, buyer, vendor or operator. What is left out is unknown, and unknown never counts as clear."""

    id: Id = _key("Name used by the tables.")
    name: Line = _key("Full name.")
    headquarters: Country | None = _key(
        "Country of its headquarters.", None, unit="ISO 3166-1", shown="unknown"
    )
    ultimate_parent_headquarters: Country | None = _key(
        "Country in which its ultimate parent has its headquarters.", None, unit="ISO 3166-1", shown="unknown"
    )
    listings: list[Line] | None = _key(
        "Entries on restricted-party lists; `[]` says: screened and clear.", None, shown="not screened"
    )
    military_end_user: bool | None = _key("Whether it is a military end user.", None, shown="unknown")
    supercomputer_end_use: bool | None = _key(
        "Whether an end use in a supercomputer is known (15 CFR 744.23).", None, shown="unknown"
    )
    knowledge_of_violation: bool | None = _key(
        "Whether it knows of a past or intended violation in the item.", None, shown="unknown"
    )
    letters: list[Line] = _key("Ids of 'is-informed' letters that it has received.", shown="none", lists=True)
    reserve_share: Share = _key("Share of its devices kept back on top of its own need.", 0.0, unit="1")
    sale_share_max: Share = _key(
        "Largest share of its devices offered outside, all lots together.", 1.0, unit="1"
    )
    note: str = _key("Anything a reader should know.", "", shown="empty")


class SiteForm(_Form):
    """A data centre: where devices stand."""

    id: Id = _key("Name used by the tables.")
    name: Line = _key("Full name.")
    country: Country = _key("Country in which it stands.", unit="ISO 3166-1")
    operator: Line = _key("Who runs it: the id of a party, or a name.")


class ServiceForm(_Form):
    """An AI application's demand. Exactly one way of stating its size is used."""

    id: Id = _key("Name used by bids.")
    party: Id = _key("Who runs it: the id of a party.")
    model: str = _key("The AI model that it serves: an id of the catalogue.")
    requests_per_s: Positive | None = _key("Size: mean over the day.", None, unit="requests/s", shown="")
    tokens_per_day: Positive | None = _key(
        "Size: input and output tokens together.", None, unit="tokens/day", shown=""
    )
    users_per_day: Positive | None = _key(
        "Size: users of a day, with `requests_per_user_day`.", None, unit="users/day", shown=""
    )
    requests_per_user_day: Positive | None = _key(
        "Requests of one user on one day.", None, unit="requests/user/day", shown=""
    )
    mix: str | list[Annotated[list[Positive], Field(min_length=3, max_length=3)]] = _key(
        "Sizes of its requests: a mix of the catalogue, or `[[input tokens, output tokens, share], ...]`."
    )
    hourly: str | list[float] = _key(
        "Its daily curve: a curve of the catalogue, `flat`, or 24 numbers from hour 0 to 23; scaled to mean 1.",
        "flat",
    )
    hourly_shift: Annotated[int, Field(ge=-23, le=23)] = _key(
        "Hours by which the curve is moved later; -8 turns a curve in UTC+8 into UTC.", 0, unit="hours"
    )
    headroom: Annotated[float, Field(ge=1, le=100, allow_inf_nan=False)] = _key(
        "Peak over the mean of the hour that its own devices must carry.", 1.0, unit="1"
    )
    prefix_hit_share: Share = _key("Share of input tokens found in the prefix cache.", 0.0, unit="1")
    ttft_ms: Positive | None = _key("Promised time to the first token.", None, unit="ms", shown="no limit")
    tpot_ms: Positive | None = _key("Promised time per output token.", None, unit="ms", shown="no limit")
    note: str = _key("Anything a reader should know.", "", shown="empty")


class AssumptionForm(_Form):
    """A figure of the scenario that no source states."""

    field: Line = _key(
        "Which figure: `services.chat.requests_per_s`, `holdings.h-1.quantity`; `*` stands for all ids."
    )
    text: Annotated[str, Field(min_length=1)] = _key("What was assumed, and why that value.")


class Written(_Form):
    """``scenario.toml`` as a whole."""

    scenario: ScenarioForm = Field(description="What the scenario is.")
    horizon: HorizonForm = Field(description="The time that is cleared.")
    variants: dict[Id, VariantForm] = Field(
        default_factory=dict, description="Named readings of contested facts."
    )
    residual: dict[str, Amount] = Field(
        default_factory=dict,
        description="What one device is worth to its owner at the end of the horizon, in the currency, by accelerator.",
    )
    parties: list[PartyForm] = Field(description="Holders, buyers, vendors, operators.", min_length=1)
    sites: list[SiteForm] = Field(description="Where devices stand.", min_length=1)
    services: list[ServiceForm] = Field(default_factory=list, description="Demand of AI applications.")
    assumptions: list[AssumptionForm] = Field(
        default_factory=list, description="Figures that no source states."
    )
