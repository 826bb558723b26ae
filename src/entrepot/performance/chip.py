"""What does the model need of a chip, and which figure is missing?

An accelerator record holds ``None`` for what no source states. This is the only place where that is looked at: a chip
either becomes plain numbers in SI units, or the name of the figure that is missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from entrepot.catalogue.records import Accelerator, Model, NumberFormat
from entrepot.errors import Fault, InputError
from entrepot.performance.efficiency import Efficiency, efficiency, serving

__all__ = ["Chip", "WeightFormat", "chip", "missing_figures", "native_format", "weight_formats"]

GB = 1e9
TERA = 1e12
_PCIE = re.compile(r"PCIe\s*(?:Gen\s*)?(\d)(?:\.0)?(?:\s*x\s*(\d+))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Chip:
    """An accelerator in SI units: FLOP/s, bytes, bytes/s; every figure stated.

    Attributes
    ----------
    link_bytes_s : scale-up link, both directions together; ``None`` where none is known
    domain : devices that the link joins (1 where there is no link)
    host_link_bytes_s : PCIe, both directions together; ``None`` where not stated
    """

    id: str
    rate_16: float
    rates: dict[NumberFormat, float]
    memory_bytes: float
    bandwidth: float
    link_bytes_s: float | None
    domain: int
    host_link_bytes_s: float | None
    sm_count: int | None
    efficiency: Efficiency

    @property
    def reached_16(self) -> float:
        """Share of the 16-bit peak that large dense products reach."""
        return self.efficiency.compute(16, self.rate_16 / TERA, self.sm_count)

    @property
    def widest_8_bit(self) -> NumberFormat:
        """FP8 where the chip has it, else INT8 (weights in 8 bits, if need be with 16-bit arithmetic)."""
        return NumberFormat.FP8 if NumberFormat.FP8 in self.rates else NumberFormat.INT8

    def linear_bandwidth(self) -> float:
        """Bytes per second that matrix products stream weights at (share of peak, and the cap per SM)."""
        return min(self.bandwidth * self.efficiency.bandwidth, self._sm_cap())

    def expert_bandwidth(self) -> float:
        """Bytes per second that grouped matrix products stream expert weights at."""
        return min(self.bandwidth * self.efficiency.expert_bandwidth, self._sm_cap())

    def _sm_cap(self) -> float:
        per_sm = self.efficiency.gemm_gb_s_per_sm
        return float("inf") if per_sm is None or self.sm_count is None else per_sm * GB * self.sm_count


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """One way to hold the weights, and what the chip makes of it.

    ``*_bytes`` are bytes per weight; ``*_rate`` the datasheet FLOP/s of the arithmetic; ``*_reached`` the share of it
    that large dense products reach. ``linear`` is attention, dense FFN and shared experts; ``expert`` the routed experts.
    """

    format: NumberFormat
    linear_bytes: float
    linear_rate: float
    linear_reached: float
    expert_bytes: float
    expert_rate: float
    expert_reached: float


def missing_figures(accelerator: Accelerator) -> tuple[str, ...]:
    """Return the figures without which no rate can be computed, in words; empty where all are stated."""
    wanted = {
        "dense BF16 rate": accelerator.dense_rate.get(NumberFormat.BF16),
        "memory size": accelerator.memory_gb,
        "memory bandwidth": accelerator.memory_bw_gb_s,
    }
    return tuple(name for name, value in wanted.items() if value is None or value <= 0)


def chip(accelerator: Accelerator) -> Chip:
    """Return the accelerator in SI units.

    Raises
    ------
    InputError
        a needed figure is not stated (ask ``missing_figures`` first)
    """
    missing = missing_figures(accelerator)
    if missing or accelerator.memory_gb is None or accelerator.memory_bw_gb_s is None:
        raise InputError(
            Fault(
                accelerator.id,
                f"no source states the {' and the '.join(missing)}",
                "Choose a chip that has it.",
            )
        )
    rates = {fmt: float(rate) * TERA for fmt, rate in accelerator.dense_rate.items() if rate > 0}
    link = None if accelerator.scaleup_bw_gb_s is None else float(accelerator.scaleup_bw_gb_s) * GB
    domain = accelerator.scaleup_domain or serving().unstated_domain
    return Chip(
        id=accelerator.id,
        rate_16=rates[NumberFormat.BF16],
        rates=rates,
        memory_bytes=float(accelerator.memory_gb) * GB,
        bandwidth=float(accelerator.memory_bw_gb_s) * GB,
        link_bytes_s=link,
        domain=1 if link is None else domain,
        host_link_bytes_s=_host_link(accelerator.host_link),
        sm_count=accelerator.sm_count,
        efficiency=efficiency(accelerator.architecture),
    )


def _host_link(text: str | None) -> float | None:
    """Bytes per second of a PCIe link, both directions together: ``PCIe 4.0 x16``, ``PCIe Gen5 x16``."""
    found = _PCIE.search(text or "")
    if found is None:
        return None
    lane = serving().pcie_lane_gb_s.get(f"{found.group(1)}.0")
    return None if lane is None or found.group(2) is None else 2 * lane * GB * int(found.group(2))


def native_format(model: Model) -> NumberFormat | None:
    """Return the number format that the weights were published in; ``None`` where not stated.

    Examples
    --------
    ``"fp8 (e4m3, block 128x128)"`` is FP8, ``"mxfp4 (MoE weights)"`` and ``"int4 (QAT)"`` are 4 bits.
    """
    text = (model.native_dtype or "").lower()
    for word, fmt in (
        ("fp4", NumberFormat.FP4),
        ("int4", NumberFormat.FP4),
        ("fp8", NumberFormat.FP8),
        ("int8", NumberFormat.INT8),
        ("bf", NumberFormat.BF16),
        ("fp16", NumberFormat.BF16),
    ):
        if text.startswith((word, f"mx{word}", f"nv{word}")):
            return fmt
    return None


def weight_formats(
    chip_: Chip, model: Model, formats: Sequence[NumberFormat] | None = None
) -> tuple[WeightFormat, ...]:
    """Return the formats to try: those asked for, else the native one and the widest 8-bit format of the chip.

    A format that the chip cannot hold or compute is left out. INT8 needs no INT8 arithmetic: where no source states a
    rate, weights stay in 8 bits and the arithmetic runs in 16. A model that was published in 4 bits runs so everywhere,
    likewise.
    """
    native = native_format(model)
    if formats is None:
        wanted = [native or NumberFormat.BF16, chip_.widest_8_bit]
        if native is NumberFormat.FP4:
            wanted = [NumberFormat.FP4]
        if native is NumberFormat.FP8:
            wanted = [chip_.widest_8_bit]
    else:
        wanted = list(formats)
    out = [_weight_format(chip_, fmt, native, moe=bool(model.n_experts)) for fmt in dict.fromkeys(wanted)]
    return tuple(fmt for fmt in out if fmt is not None)


def _weight_format(
    chip_: Chip, fmt: NumberFormat, native: NumberFormat | None, *, moe: bool
) -> WeightFormat | None:
    reached = chip_.efficiency.compute

    def share(bits: int, rate: float) -> float:
        return reached(bits, rate / TERA, chip_.sm_count)

    sixteen = (2.0, chip_.rate_16, share(16, chip_.rate_16))
    if fmt is NumberFormat.BF16:
        return WeightFormat(
            fmt, *sixteen, expert_bytes=2.0, expert_rate=chip_.rate_16, expert_reached=sixteen[2]
        )
    if fmt in {NumberFormat.FP8, NumberFormat.INT8}:
        rate = chip_.rates.get(fmt)
        if rate is None and fmt is NumberFormat.FP8:
            return None
        eight = (1.0, rate, share(8, rate)) if rate else (1.0, chip_.rate_16, sixteen[2])
        return WeightFormat(fmt, *eight, expert_bytes=1.0, expert_rate=eight[1], expert_reached=eight[2])
    if fmt is NumberFormat.FP4:
        rate = chip_.rates.get(fmt)
        if rate is None and native is not NumberFormat.FP4:
            return None
        width = serving().fp4_bits / 8
        four = (width, rate, share(4, rate)) if rate else (width, chip_.rate_16, sixteen[2])
        # published 4-bit MoE checkpoints quantise the experts and leave the rest: "mxfp4 (MoE weights)"
        linear = sixteen if moe else four
        return WeightFormat(fmt, *linear, expert_bytes=width, expert_rate=four[1], expert_reached=four[2])
    return None
