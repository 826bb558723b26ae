"""Which paragraph of ECCN 3A090 does a chip meet, on which day, and how sure is that?"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from functools import lru_cache

from entrepot.catalogue.records import Accelerator
from entrepot.controls import law
from entrepot.controls.conditions import Question, holds
from entrepot.controls.measures import Measures, measured
from entrepot.controls.records import Classification, Hbm, StatedFigures

__all__ = [
    "BELOW",
    "CANNOT_DECIDE",
    "NO_TEXT",
    "ItemKey",
    "classify",
    "classify_hbm",
    "system_class",
    "z_class",
]

BELOW = "below 3A090"
CANNOT_DECIDE = "cannot decide"
NO_TEXT = "no text"


def classify(
    accelerator: Accelerator,
    on: dt.date | None = None,
    *,
    figures: StatedFigures | None = None,
    forward: bool = False,
) -> Classification:
    """Return the chip's class under the text of a day, or under the newest text.

    Exact decimals throughout. A figure that is missing, estimated or rounded across a threshold leaves every class open
    that it could lead to; the class is decided only when one remains.

    Parameters
    ----------
    accelerator : a catalogue record, or one made by hand
    on : the day of the text; by default the newest day whose law is known
    figures : figures that the asker states, taken as exact and put in the place of the catalogue's
    forward : past the newest text, apply that text instead of saying that there is none

    Source
    ------
    15 CFR 774 Supp. 1, ECCN 3A090: 87 FR 62186 (from 2022-10-21) and 88 FR 73458 (from 2023-11-17).
    """
    return _classified(ItemKey(accelerator), law.LAW_KNOWN_TO if on is None else on, figures, forward)


class ItemKey:
    """A record that holds mappings cannot be hashed: it stands here for itself."""

    __slots__ = ("record",)

    def __init__(self, record: Accelerator) -> None:
        self.record = record

    def __hash__(self) -> int:
        return hash(self.record.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ItemKey) and (self.record is other.record or self.record == other.record)


@lru_cache(maxsize=4096)
def _classified(key: ItemKey, on: dt.date, figures: StatedFigures | None, forward: bool) -> Classification:  # noqa: FBT001
    accelerator = key.record
    measures = measured(accelerator, figures)
    text = law.version_on(law.item_texts(), on) if forward or on <= law.LAW_KNOWN_TO else None
    every = {t.effective: _possible(t, accelerator, measures)[0] for t in law.item_texts()}
    possible: tuple[str, ...] = ("3A090.a", "3A090.b", BELOW)
    reasons: tuple[str, ...]
    missing: tuple[str, ...] = ()
    if text is None:
        span = f"{law.FIRST_TEXT} to {law.LAW_KNOWN_TO}"
        reasons = (f"No text of 3A090 was read for {on}; the texts read cover {span}.",)
    else:
        possible, reasons, missing = _possible(text, accelerator, measures)
    return Classification(
        accelerator=accelerator.id,
        on=on,
        item_class=NO_TEXT if text is None else _named(possible),
        possible=possible,
        classes={day: _named(classes) for day, classes in every.items()},
        tpp=measures.tpp_value,
        tpp_low=measures.tpp.low,
        tpp_high=measures.tpp.high,
        tpp_by_format=measures.tpp_by_format,
        performance_density=measures.density_value,
        density_low=measures.density.low,
        density_high=measures.density.high,
        density_defined=measures.density.defined,
        io_low=measures.io.low,
        io_high=measures.io.high,
        datacenter=measures.datacenter,
        reasons=reasons,
        missing=missing,
        law_known_to=law.LAW_KNOWN_TO,
    )


def classify_hbm(name: str, hbm: Hbm, on: dt.date) -> Classification:
    """Return the class of high-bandwidth memory that moves by itself; packaged with logic it takes that logic's class."""
    text = law.version_on(law.hbm_texts(), on)
    met = text is not None and hbm.density > text.above
    item = text.item if text is not None and met else BELOW
    said = f"{hbm.bandwidth_gb_s} GB/s over {hbm.area_mm2} mm2 is {hbm.density:.3g} GB/s per mm2"
    if text is None:
        reason = f"{said}; no paragraph named memory on {on}."
    else:
        reason = f"{said}: {'met' if met else 'not met'}. {text.says}."
    return Classification(
        accelerator=name,
        on=on,
        item_class=item,
        possible=(item,),
        classes={t.effective: t.item if hbm.density > t.above else BELOW for t in law.hbm_texts()},
        tpp=None,
        tpp_low=Decimal(0),
        tpp_high=None,
        tpp_by_format={},
        performance_density=None,
        density_low=Decimal(0),
        density_high=None,
        density_defined=False,
        io_low=Decimal(0),
        io_high=None,
        datacenter=None,
        reasons=(reason,),
        missing=(),
        law_known_to=law.LAW_KNOWN_TO,
    )


def system_class(item_class: str) -> str:
    """Return the paragraph of a computer or board that contains a circuit of a class: performance is not added up.

    Examples
    --------
    >>> system_class("3A090.a"), system_class("below 3A090")
    ('4A090.a', 'below 3A090')
    """
    return f"4{item_class[1:]}" if item_class.startswith("3A090") else item_class


def z_class(eccn: str, item_class: str) -> str | None:
    """Return the ``.z`` paragraph of an item that is classified elsewhere, for encryption for instance, and meets 3A090.

    A bare ECCN of a data sheet (5A992, 4A994) says nothing of 3A090: it is the figures that decide. ``None`` where the
    ECCN has no such paragraph or the circuit meets neither .a nor .b (3A090.c is not used for .z).

    Examples
    --------
    >>> z_class("5A992.c", "3A090.a"), z_class("5A992", "below 3A090"), z_class("4A994", "3A090.a")
    ('5A992.z', None, None)
    """
    head = eccn.strip().upper().partition(".")[0]
    return f"{head}.z" if head in law.z_paragraphs() and item_class in {"3A090.a", "3A090.b"} else None


def _possible(
    text: law.ItemText, accelerator: Accelerator, measures: Measures
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the classes left open, why, and what would decide; paragraphs are tried strictest first."""
    question = Question(accelerator.id, accelerator.vendor_country, measures, text.effective)
    possible: list[str] = []
    reasons: list[str] = []
    missing: set[str] = set()
    for paragraph in text.paragraphs:
        verdict = holds(paragraph.when, question)
        if verdict.value is not False:
            possible.append(paragraph.item)
        if verdict.value is None:
            missing |= verdict.missing
            reasons.append(f"{paragraph.item}: open. {paragraph.says}.")
        if verdict.value:
            reasons.append(f"{paragraph.item}: met. {paragraph.says}.")
            break
    else:
        possible.append(BELOW)
    if possible == [BELOW]:
        reasons.append(f"Below every paragraph of {text.cite}.")
    return tuple(possible), tuple(reasons), tuple(sorted(missing)) if len(possible) > 1 else ()


def _named(possible: tuple[str, ...]) -> str:
    return possible[0] if len(possible) == 1 else CANNOT_DECIDE
