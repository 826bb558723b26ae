"""Do the sections of ``scenario.toml`` fit each other and the catalogue? Parties, sites, services become records."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from entrepot.scenario.columns import TABLES
from entrepot.scenario.faults import Faults, did_you_mean
from entrepot.scenario.form import PartyForm, ServiceForm, SiteForm, Written
from entrepot.scenario.horizon import cut
from entrepot.scenario.records import Horizon, Party, Policy, Service, Site
from entrepot.scenario.toml import Path_, Toml
from entrepot.scenario.vocabulary import F64, Sizes, Vocabulary

__all__ = ["World", "check_assumptions", "sections", "world"]

_SHARE_EPS = 1e-3  # published shares are rounded: they are scaled to 1 when they are this close


@dataclass(frozen=True, slots=True)
class World:
    """What the tables may point at. ``None`` or absent: at fault, and noted; later checks skip it.

    Attributes
    ----------
    party_ids, site_ids : every id written, also of entries with faults of their own
    service_party : the party written beside each service, whether there is one or not
    """

    horizon: Horizon | None
    dates: dict[dt.date, str]
    claims: tuple[tuple[str, str], ...]
    parties: dict[str, Party]
    sites: dict[str, Site]
    services: dict[str, Service]
    party_ids: tuple[str, ...]
    site_ids: tuple[str, ...]
    service_party: dict[str, str]


def world(toml: Toml, known: Vocabulary, faults: Faults) -> World:
    """Check the sections against each other; what is wrong is noted."""
    party_ids = tuple(toml.names("parties"))
    services = {form.id: _service(toml, path, form, known, faults) for path, form in toml.services}
    written = {e["id"]: e["party"] for e in _tables(toml, "services") if _texts(e, "id", "party")}
    for name in toml.residual:
        if name not in known.accelerators:
            hint = did_you_mean(name, list(known.accelerators), otherwise="See the catalogue for the ids.")
            faults.add(
                toml.where(("residual", name)), f"there is no accelerator {name!r} in the catalogue", hint
            )
    _default_variant(toml, faults)
    return World(
        horizon=_horizon(toml, faults),
        dates=_dates(toml, faults),
        claims=_claims(toml, known, faults),
        parties={form.id: _party(form) for _, form in toml.parties},
        sites={form.id: _site(form) for _, form in toml.sites},
        services={id_: service for id_, service in services.items() if service is not None},
        party_ids=party_ids,
        site_ids=tuple(toml.names("sites")),
        service_party=written,
    )


def _tables(toml: Toml, section: str) -> list[dict[str, str]]:
    entries = toml.raw.get(section)
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []


def _texts(entry: dict[str, str], *keys: str) -> bool:
    return all(isinstance(entry.get(key), str) for key in keys)


def _default_variant(toml: Toml, faults: Faults) -> None:
    default = toml.scenario.default_variant if toml.scenario is not None else None
    if default is not None and default not in toml.raw.get("variants", {}):
        path = ("scenario", "default_variant")
        hint = did_you_mean(
            default, list(toml.variants), otherwise=f"Write [variants.{default}], or delete the key."
        )
        faults.add(toml.where(path), f"there is no variant {default!r}", hint)


def _horizon(toml: Toml, faults: Faults) -> Horizon | None:
    if toml.horizon is None:
        return None
    result = cut(toml.horizon.start, toml.horizon.end, toml.horizon.step)
    if isinstance(result, Horizon):
        return result
    faults.add(toml.where(("horizon", "start" if "starts on" in result[0] else "end")), *result)
    return None


def _dates(toml: Toml, faults: Faults) -> dict[dt.date, str]:
    dates: dict[dt.date, str] = {}
    for text, label in (toml.scenario.dates if toml.scenario is not None else {}).items():
        try:
            dates[dt.date.fromisoformat(text)] = label
        except ValueError:
            where = toml.where(("scenario", "dates", text))
            faults.add(where, f"{text!r} is not a day of the calendar", 'Write for example "2025-07-01".')
    return dates


def _claims(toml: Toml, known: Vocabulary, faults: Faults) -> tuple[tuple[str, str], ...]:
    by_name = {f"{subject}/{predicate}": (subject, predicate) for subject, predicate in known.claims}
    written = toml.scenario.claims if toml.scenario is not None else []
    for text in written:
        if text not in by_name:
            hint = did_you_mean(
                text, sorted(by_name), otherwise="Write subject/predicate of a claim in the catalogue."
            )
            faults.add(toml.where(("scenario", "claims")), f"the catalogue has no claim {text!r}", hint)
    return tuple(by_name[text] for text in written if text in by_name)


def _party(form: PartyForm) -> Party:
    return Party(
        id=form.id,
        name=form.name,
        headquarters=form.headquarters,
        ultimate_parent_headquarters=form.ultimate_parent_headquarters,
        listings=None if form.listings is None else tuple(form.listings),
        military_end_user=form.military_end_user,
        supercomputer_end_use=form.supercomputer_end_use,
        knowledge_of_violation=form.knowledge_of_violation,
        letters=tuple(form.letters),
        policy=Policy(reserve_share=form.reserve_share, sale_share_max=form.sale_share_max),
        note=form.note,
    )


def _site(form: SiteForm) -> Site:
    return Site(id=form.id, name=form.name, country=form.country, operator=form.operator)


def _service(toml: Toml, path: Path_, form: ServiceForm, known: Vocabulary, faults: Faults) -> Service | None:
    before = len(faults.found)
    parties = toml.names("parties")
    if form.party not in parties:
        hint = did_you_mean(form.party, parties, otherwise=f"Write [[parties]] with id = {form.party!r}.")
        faults.add(toml.where((*path, "party")), f"there is no party {form.party!r}", hint)
    if form.model not in known.models:
        hint = did_you_mean(
            form.model, list(known.models), otherwise="See `entrepot catalogue` for the models."
        )
        faults.add(toml.where((*path, "model")), f"there is no model {form.model!r} in the catalogue", hint)
    sizes = _mix(toml, path, form, known, faults)
    hourly = _hourly(toml, path, form, known, faults)
    requests = _requests_per_s(toml, path, form, sizes, faults)
    if len(faults.found) > before or sizes is None or hourly is None or requests is None:
        return None
    return Service(
        id=form.id,
        party=form.party,
        model=form.model,
        requests_per_s=requests,
        hourly=hourly,
        headroom=form.headroom,
        isl=sizes[0],
        osl=sizes[1],
        share=sizes[2],
        mix=form.mix if isinstance(form.mix, str) else "inline",
        prefix_hit_share=form.prefix_hit_share,
        ttft_ms=form.ttft_ms,
        tpot_ms=form.tpot_ms,
        note=form.note,
    )


def _mix(toml: Toml, path: Path_, form: ServiceForm, known: Vocabulary, faults: Faults) -> Sizes | None:
    where = toml.where((*path, "mix"))
    if isinstance(form.mix, str):
        if form.mix in known.mixes:
            return known.mix(form.mix)
        hint = did_you_mean(
            form.mix, sorted(known.mixes), otherwise=f"Known are {', '.join(sorted(known.mixes))}."
        )
        faults.add(where, f"there is no mix {form.mix!r} in the catalogue", hint)
        return None
    table = np.asarray(form.mix, dtype=np.float64).reshape(-1, 3)
    if table.shape[0] == 0:
        faults.add(where, "the mix is empty", "Write at least one [input tokens, output tokens, share].")
        return None
    if table[:, :2].min() < 1:
        faults.add(where, "a request has less than one token in or out", "Write at least 1 token each way.")
        return None
    total = float(table[:, 2].sum())
    if abs(total - 1) > _SHARE_EPS:
        faults.add(where, f"the shares add up to {total:g}", "Write shares that add up to 1.")
        return None
    return table[:, 0], table[:, 1], table[:, 2] / total


def _hourly(toml: Toml, path: Path_, form: ServiceForm, known: Vocabulary, faults: Faults) -> F64 | None:
    where = toml.where((*path, "hourly"))
    if form.hourly == "flat":
        curve = np.ones(24)
    elif isinstance(form.hourly, str):
        if form.hourly not in known.curves:
            names = ["flat", *sorted(known.curves)]
            hint = did_you_mean(form.hourly, names, otherwise=f"Known are {', '.join(names)}.")
            faults.add(where, f"there is no daily curve {form.hourly!r} in the catalogue", hint)
            return None
        curve = known.curve(form.hourly)
    else:
        curve = np.asarray(form.hourly, dtype=np.float64)
        if curve.shape != (24,):
            faults.add(
                where,
                f"{curve.size} numbers where a day has 24 hours",
                "Write 24 numbers, hour 0 to hour 23.",
            )
            return None
        if not np.isfinite(curve).all() or curve.min() <= 0:
            hour = int(np.argmin(np.where(np.isfinite(curve), curve, -np.inf)))
            mend = "Write a finite number above 0 for each hour; a quiet hour is small, not nothing."
            faults.add(where, f"hour {hour} has {curve[hour]:g}", mend)
            return None
    scaled: F64 = np.roll(curve / curve.mean(), form.hourly_shift)
    return scaled


_SIZES = ("requests_per_s", "tokens_per_day", "users_per_day")


def _requests_per_s(
    toml: Toml, path: Path_, form: ServiceForm, sizes: Sizes | None, faults: Faults
) -> float | None:
    given = [name for name in _SIZES if getattr(form, name) is not None]
    if len(given) != 1:
        what = f"{' and '.join(given)} are both given" if given else "the size of the demand is missing"
        mend = "Write one of requests_per_s, tokens_per_day, or users_per_day with requests_per_user_day."
        faults.add(toml.where((*path, *given[1:2])), what, mend)
        return None
    if (form.users_per_day is None) != (form.requests_per_user_day is None):
        have, lack = "users_per_day", "requests_per_user_day"
        if form.users_per_day is None:
            have, lack = lack, have
        faults.add(toml.where((*path, have)), f"{have} stands without {lack}", f"Write {lack} too.")
        return None
    if form.requests_per_s is not None:
        return form.requests_per_s
    if form.users_per_day is not None and form.requests_per_user_day is not None:
        return form.users_per_day * form.requests_per_user_day / 86_400
    if form.tokens_per_day is None or sizes is None:
        return None
    isl, osl, share = sizes
    return form.tokens_per_day / 86_400 / float((isl + osl) @ share)


def check_assumptions(toml: Toml, ids: dict[str, Sequence[str]], faults: Faults) -> None:
    """Note assumptions about something that is not in the scenario.

    Parameters
    ----------
    ids : ids written in each section and table
    """
    for path, form in toml.assumptions:
        section, _, rest = form.field.partition(".")
        where = toml.where((*path, "field"))
        if section not in ids:
            hint = did_you_mean(section, list(ids), otherwise=f"Begin with one of {', '.join(ids)}.")
            faults.add(where, f"there is no section or table {section!r}", hint)
            continue
        names = ids[section]
        named = [name for name in (*names, "*") if rest == name or rest.startswith(f"{name}.")]
        if not named:
            shown = rest or "nothing"
            hint = did_you_mean(
                rest.split(".", maxsplit=1)[0], names, otherwise="Name something that is written."
            )
            faults.add(where, f"{section} has no {shown!r}", hint)
            continue
        key = rest[len(max(named, key=len)) :].lstrip(".")
        keys = _keys(section)
        if key and keys and key.split(".", maxsplit=1)[0] not in keys:
            hint = did_you_mean(key, keys, otherwise=f"Known are {', '.join(keys)}.")
            faults.add(where, f"{section} have no {key!r}", hint)


def _keys(section: str) -> list[str]:
    if section in TABLES:
        return [column.name for column in TABLES[section]]
    forms: dict[str, type[BaseModel]] = {"parties": PartyForm, "sites": SiteForm, "services": ServiceForm}
    return list(forms[section].model_fields) if section in forms else []


def sections() -> tuple[str, ...]:
    """Return the names of the sections of ``scenario.toml``."""
    return tuple(Written.model_fields)
