"""Which chip does a case mean, and with which figures? By its common name, by its family, or by its figures alone."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from entrepot.catalogue import accelerator, accelerators
from entrepot.catalogue.records import Accelerator, Confidence
from entrepot.controls import _toml
from entrepot.controls.classify import CANNOT_DECIDE, NO_TEXT, classify
from entrepot.controls.records import StatedFigures
from entrepot.errors import InputError, NotFound

__all__ = ["Chip", "chips_of"]

_SYSTEM = re.compile(
    r"\b(\d+\s*[x×]|HGX|DGX|MGX|servers?|nodes?|systems?|baseboards?|racks?|boards?|cluster|pod)\b|×", re.I
)
_BRAND = re.compile(
    r"\b(NVIDIA|AMD|Intel|Huawei|AWS|Amazon|Google|Cloud|Instinct|GeForce|Tesla|Habana|PCIe card|GPU|AI chip)\b",
    re.I,
)
_WEAK = {Confidence.ESTIMATE, Confidence.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Chip:
    """One product that a case may mean, with the figures that the case states of it."""

    record: Accelerator
    figures: StatedFigures | None
    system: bool
    said: tuple[str, ...] = ()


def chips_of(name: str, figures: StatedFigures | None, on: dt.date) -> tuple[Chip, ...]:
    """Return the products that a name may mean; all of them are judged, and the strictest answer stands.

    Parameters
    ----------
    figures : what the case states of the chip; they stand in the place of the catalogue's, and where they give another
        class than the catalogue does, both are judged
    """
    system = bool(_SYSTEM.search(name))
    records, said = _records(_SYSTEM.sub(" ", name).strip(" -,") if system else name, name)
    out: list[Chip] = []
    for record in records:
        out.append(Chip(record, figures, system, said))
        if figures is None:
            continue
        ours, theirs = (
            classify(record, on, forward=True).item_class,
            classify(record, on, figures=figures, forward=True).item_class,
        )
        if ours != theirs and CANNOT_DECIDE not in {ours, theirs} and NO_TEXT not in {ours, theirs}:
            note = f"the row's figures give {theirs}, the catalogue's {ours} ({record.id}): both judged"
            out.append(Chip(record, None, system, (*said, note)))
    noted = tuple(dict.fromkeys(s for chip in out for s in chip.said))
    return tuple(replace(chip, said=noted) for chip in out)


def _records(name: str, written: str) -> tuple[Sequence[Accelerator], tuple[str, ...]]:
    bare = _BRAND.sub(" ", name).strip()
    inside = [part for part in re.findall(r"\(([^)]*)\)", name) if any(c.isdigit() for c in part)]
    joined = re.sub(r"(?<=[A-Za-z]) (?=\d)", "", bare)
    for attempt in (name, re.sub(r"\([^)]*\)", " ", name).strip(), bare, joined, *inside):
        if not attempt.strip():
            continue
        try:
            return [accelerator(attempt)], ()
        except NotFound:
            continue
        except InputError:
            found = _answering(attempt, _family(name)[0])
            if found:
                ids = ", ".join(record.id for record in found)
                return found, (f"{written!r} may be {ids}: the strictest answer stands",) if len(
                    found
                ) > 1 else ()
    return [_made_up(name)], (f"{written!r} is in no catalogue: judged by the figures that the row states",)


def _answering(name: str, vendor: str) -> list[Accelerator]:
    """Return the products that an ambiguous name may mean: of the family's maker, estimates after what has a source."""
    wanted = re.findall(r"[a-z0-9]+", name.lower())
    found = [a for a in accelerators().values() if all(_has(a, word) for word in wanted)]
    found = [a for a in found if a.vendor == vendor] or found
    sourced = [a for a in found if a.confidence not in _WEAK]
    return sourced or found


def _has(record: Accelerator, word: str) -> bool:
    own = re.findall(r"[a-z0-9]+", f"{record.id} {record.name}".lower())
    return any(
        o == word or (o.startswith(word) and not (word[-1].isdigit() and o[len(word)].isdigit())) for o in own
    )


def _family(name: str) -> tuple[str, str, str]:
    """Return maker, where it designs, and the beginning of its ids, from how a name begins."""
    low = re.sub(r"\s+", " ", name.lower()).strip()
    for row in _toml.rows(_toml.read("casefile"), "family", "begins vendor country prefix"):
        if low.startswith(_toml.names(row, "begins")):
            return _toml.text(row, "vendor"), _toml.text(row, "country"), _toml.text(row, "prefix")
    return "", "US", "case"


def _made_up(name: str) -> Accelerator:
    """Return a record of which nothing is known but its maker, where the name's beginning tells it."""
    vendor, country, prefix = _family(name)
    low = re.sub(r"\s+", " ", name.lower()).strip()
    slug = re.sub(r"[^a-z0-9]+", "-", low.removeprefix(prefix)).strip("-")
    return Accelerator(
        id=f"{prefix}-{slug}", name=name, vendor=vendor, vendor_country=country, architecture=None, form_factor=None,
        announced=None, status=None, process_node=None, memory_type=None, scaleup_link=None, host_link=None,
        marketed_for_datacenter=None, dense_rate={}, memory_gb=None, memory_bw_gb_s=None, scaleup_bw_gb_s=None,
        scaleup_domain=None, sm_count=None, die_area_mm2=None, transistors_bn=None, tdp_w=None,
        confidence=Confidence.UNKNOWN, note="", figures=(),
    )  # fmt: skip
