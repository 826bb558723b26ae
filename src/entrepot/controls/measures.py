"""What do a chip's published figures say of the quantities that the rules count, and how exactly?

Every quantity is an interval. It is widened by the rounding of the printed figures (half a unit of the last digit), it
has no upper bound where a figure that could raise it is not stated or is an estimate, and it is a point only where the
sources make it one. So a threshold is passed, not passed, or undecidable: never guessed.

- Total processing performance (TPP) = the highest, over bit lengths, of dense TOPS x bit length (3A090, technical notes
  1 to 3). An upper bound needs an 8-bit and a 16-bit rate: chips are known whose TPP doubles from one to the other
  (RTX 4090, Gaudi 3).
- Performance density = TPP / mm2 of the logic dies made on a node with non-planar transistors (technical note 4). With
  no such die it is not defined and no density limb can be met.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from entrepot.catalogue.records import Accelerator, Confidence, Figure, NumberFormat
from entrepot.controls import law
from entrepot.controls.records import StatedFigures

__all__ = ["Interval", "Measures", "made_for_china", "measured", "tpp"]

_WEAK = {Confidence.ESTIMATE, Confidence.UNKNOWN}
_EIGHT_BIT = (NumberFormat.FP8, NumberFormat.INT8)
_SIXTEEN_BIT = (NumberFormat.BF16,)
_COUNTED = (*_EIGHT_BIT, *_SIXTEEN_BIT, NumberFormat.FP4)
_PCIE_LANE_GB_S = {3: 2, 4: 4, 5: 8, 6: 16}  # nominal, both directions together
_NON_PLANAR_NM_MAX = 16  # FinFET and later; Intel's 22 nm is FinFET as well


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a quantity lies; ``high`` ``None`` = no upper bound; ``defined`` false = the quantity does not exist."""

    low: Decimal
    high: Decimal | None
    missing: tuple[str, ...] = ()
    defined: bool | None = True

    def reaches(self, threshold: Decimal) -> bool | None:
        """Return whether the quantity is at or above a threshold, or ``None`` where the figures leave it open."""
        if not self.defined:
            return self.defined
        if self.low >= threshold:
            return True
        return False if self.high is not None and self.high < threshold else None

    def below(self, threshold: Decimal) -> bool | None:
        """Return whether the quantity exists and is below a threshold."""
        reached = self.reaches(threshold)
        return reached if not self.defined or reached is None else not reached


@dataclass(frozen=True, slots=True)
class Measures:
    """The quantities of one chip that the rules count."""

    tpp: Interval
    tpp_value: Decimal | None
    tpp_by_format: Mapping[str, Decimal]
    density: Interval
    density_value: Decimal | None
    memory_bw: Interval
    link: Interval
    io: Interval
    memory_and_io: Interval
    datacenter: bool | None


def tpp(tera_ops: Decimal | int, bits: int) -> Decimal:
    """Return the total processing performance of one operation: TOPS (two per multiply-add) times bit length.

    Parameters
    ----------
    tera_ops : dense tera-operations per second, as the manufacturer's highest claim has them
    bits : bit length of the inputs to the multiplication

    Source
    ------
    15 CFR 774 Supp. 1, ECCN 3A090, technical notes 1 and 2.

    Examples
    --------
    >>> tpp(600, 8), tpp(300, 16)  # the example of the technical notes
    (Decimal('4800'), Decimal('4800'))
    """
    return Decimal(tera_ops) * bits


def made_for_china(chip: str) -> bool:
    """Return whether the rule files name a chip as one made for China, of which no customer in the US is known."""
    return any(f.made_for_china and chip.startswith(f.chips) for f in law.figures())


def measured(accelerator: Accelerator, stated: StatedFigures | None = None) -> Measures:
    """Return the intervals of a chip from its catalogue figures and from those that the rule files state.

    Parameters
    ----------
    stated : figures of an asker, taken as exact and put in the place of the catalogue's
    """
    found = _measured(accelerator)
    return found if stated is None else _overlaid(found, stated)


def _overlaid(m: Measures, stated: StatedFigures) -> Measures:
    def point(value: Decimal | None, held: Interval) -> Interval:
        return held if value is None else Interval(value, value)

    io, memory = point(stated.io_gb_s, m.io), point(stated.memory_bw_gb_s, m.memory_bw)
    link = m.link
    if stated.io_gb_s is not None and (link.high is None or link.high > stated.io_gb_s):
        link = Interval(min(link.low, stated.io_gb_s), stated.io_gb_s)
    return replace(
        m,
        tpp=point(stated.tpp, m.tpp),
        tpp_value=m.tpp_value if stated.tpp is None else stated.tpp,
        density=point(stated.density, m.density),
        density_value=m.density_value if stated.density is None else stated.density,
        memory_bw=memory,
        io=io,
        link=link,
        memory_and_io=_sum(memory, io),
        datacenter=m.datacenter if stated.datacenter is None else stated.datacenter,
    )


def _measured(accelerator: Accelerator) -> Measures:
    own = [f for f in law.figures() if accelerator.id.startswith(f.chips)]
    rates = dict(accelerator.dense_rate)
    for figure in own:
        for format_, rate in ((NumberFormat.INT8, figure.rate_int8), (NumberFormat.BF16, figure.rate_bf16)):
            if rate is not None:
                rates.setdefault(format_, rate)
    supplied = frozenset(rates) - frozenset(accelerator.dense_rate)
    power, weak = _power(accelerator, rates, supplied)
    by_format = {f.value: tpp(rate, f.bits) for f, rate in rates.items()}
    value = max(by_format.values()) if any(f in rates for f in _COUNTED) else None
    memory = _figure(
        accelerator, "memory_bandwidth", accelerator.memory_bw_gb_s, "accelerator.memory_bw_gb_s"
    )
    stated_io = next((f.io_gb_s for f in own if f.io_gb_s is not None), None)
    link = _figure(
        accelerator, "scaleup_bandwidth", accelerator.scaleup_bw_gb_s, "accelerator.scaleup_bw_gb_s"
    )
    if stated_io is not None:
        io = Interval(stated_io, stated_io)
        link = Interval(Decimal(0), stated_io) if accelerator.scaleup_bw_gb_s is None else link
    else:
        io = _sum(link, _host(accelerator))
    density, density_value = _density(accelerator, power, None if weak else value)
    return Measures(
        tpp=power,
        tpp_value=value,
        tpp_by_format=by_format,
        density=density,
        density_value=density_value,
        memory_bw=memory,
        link=link,
        io=io,
        memory_and_io=_sum(memory, io),
        datacenter=accelerator.marketed_for_datacenter,
    )


def _power(
    accelerator: Accelerator, rates: Mapping[NumberFormat, Decimal], supplied: frozenset[NumberFormat]
) -> tuple[Interval, bool]:
    missing: list[str] = []
    if not any(f in rates for f in _EIGHT_BIT):
        missing.append("accelerator.dense_rate of an 8-bit format")
    if not any(f in rates for f in _SIXTEEN_BIT):
        missing.append("accelerator.dense_rate of a 16-bit format")
    catalogued = [f for f in rates if f not in supplied]
    weak = [f for f in catalogued if _confidence(accelerator, f"rate_{f.value}_dense") in _WEAK]
    missing += [f"accelerator.dense_rate of {f.value} from a source better than an estimate" for f in weak]
    low = max((tpp(rate - _half_unit(rate), f.bits) for f, rate in rates.items()), default=Decimal(0))
    high = max((tpp(rate + _half_unit(rate), f.bits) for f, rate in rates.items()), default=Decimal(0))
    return Interval(max(low, Decimal(0)), None if missing else high, tuple(missing)), bool(weak)


def _density(
    accelerator: Accelerator, power: Interval, value: Decimal | None
) -> tuple[Interval, Decimal | None]:
    """TPP over die area; where sources state different areas and none is preferred, over all of them."""
    needed = ("accelerator.die_area_mm2",)
    if _non_planar(accelerator.process_node) is False:
        return Interval(Decimal(0), None, (), defined=False), None
    weak = False
    areas: list[Decimal]
    if accelerator.die_area_mm2 is not None:
        areas = [accelerator.die_area_mm2]
        weak = _confidence(accelerator, "die_area") in _WEAK
    else:
        stated = [f for f in accelerator.figures if f.figure == "die_area" and isinstance(f.value, Decimal)]
        areas = [f.value for f in stated if isinstance(f.value, Decimal)]
        if areas:  # the smallest area gives the upper bound: it must not be a guess
            smallest = min(areas)
            weak = all(f.confidence in _WEAK for f in stated if f.value == smallest)
    if not areas or min(areas) <= 0:
        return Interval(Decimal(0), None, (*power.missing, *needed)), None
    low = power.low / (max(areas) + _half_unit(max(areas)))
    high = None
    if power.high is not None and not weak:
        high = power.high / (min(areas) - _half_unit(min(areas)))
    if _non_planar(accelerator.process_node) is None:
        return Interval(low, None, (*power.missing, "accelerator.process_node"), defined=None), None
    exact = value / accelerator.die_area_mm2 if value is not None and accelerator.die_area_mm2 else None
    return Interval(low, high, (*power.missing, *(needed if weak else ()))), exact


def _figure(accelerator: Accelerator, name: str, value: Decimal | None, missing: str) -> Interval:
    if value is None:
        return Interval(Decimal(0), None, (missing,))
    if _confidence(accelerator, name) in _WEAK:
        return Interval(value, None, (f"{missing} from a source better than an estimate",))
    return Interval(value, value)


def _host(accelerator: Accelerator) -> Interval:
    found = re.search(r"PCIe\s*(?:Gen)?\s*(\d)(?:\.\d)?\s*x(\d+)", accelerator.host_link or "")
    lane = _PCIE_LANE_GB_S.get(int(found[1])) if found else None
    if found is None or lane is None:
        return Interval(Decimal(0), None, ("accelerator.host_link",))
    rate = Decimal(lane * int(found[2]))
    return Interval(rate, rate)


def _sum(a: Interval, b: Interval) -> Interval:
    high = None if a.high is None or b.high is None else a.high + b.high
    return Interval(a.low + b.low, high, (*a.missing, *b.missing))


def _non_planar(node: str | None) -> bool | None:
    """Whether all dies are made with non-planar transistors, from the name of the node; ``None`` = cannot tell."""
    if node is None:
        return None
    sizes = [Decimal(s) for s in re.findall(r"(\d+(?:\.\d+)?)\s*nm", node)]
    if not sizes:  # names such as 4N, 4NP, N3P, N7+
        sizes = [Decimal(a or b) for a, b in re.findall(r"\bN(\d{1,2})[A-Z+]*|\b(\d{1,2})NP?\b", node)]
    if not sizes:
        return None
    modern = [size <= _NON_PLANAR_NM_MAX or (size == 22 and "Intel" in node) for size in sizes]
    return True if all(modern) else None if any(modern) else False


def _confidence(accelerator: Accelerator, name: str) -> Confidence:
    """How good the source of the used figure is; the record's own mark where the figure is not listed."""
    used: list[Figure] = [
        f for f in accelerator.figures if f.figure == name and f.used and f.value is not None
    ]
    return used[0].confidence if used else accelerator.confidence


def _half_unit(value: Decimal) -> Decimal:
    exponent = value.as_tuple().exponent
    return Decimal(1).scaleb(int(exponent)) / 2
