"""In which ways can a replica of a model be laid out on this chip?

Tensor parallelism (TP) splits heads and matrices inside one scale-up domain. A mixture of experts may also run its
attention data-parallel (DP) with the experts spread over all devices (EP), across nodes if need be. All candidates
become columns, so that one pass of arithmetic weighs them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from entrepot.errors import Fault, InputError
from entrepot.performance.chip import Chip, WeightFormat
from entrepot.performance.efficiency import serving
from entrepot.performance.operations import Shape
from entrepot.performance.records import F64

__all__ = ["Layouts", "candidates", "group_max", "one_layout"]


@dataclass(frozen=True, slots=True)
class Layouts:
    """Candidate layouts as columns, each (layouts, 1) so that batches broadcast along the second axis.

    ``link_*`` are bytes/s, both directions together; ``inf`` where nothing crosses.
    """

    formats: tuple[WeightFormat, ...]  # one entry per layout
    tp: F64
    dp: F64
    ep: F64
    pp: F64
    link_tp: F64
    link_group: F64
    nodes: F64
    link_share: F64
    linear_bytes: F64
    linear_rate: F64
    linear_reached: F64
    expert_bytes: F64
    expert_rate: F64
    expert_reached: F64

    @property
    def group(self) -> F64:
        """Devices that share each layer, (layouts, 1): FFN and experts are spread over them."""
        return self.tp * self.dp

    @property
    def devices(self) -> F64:
        """Devices of one replica, all its pipeline stages, (layouts, 1)."""
        return self.tp * self.dp * self.pp

    def __len__(self) -> int:
        """Return the number of candidates."""
        return len(self.formats)

    def take(self, index: int) -> Layouts:
        """Return one candidate alone."""
        return self.keep([index])

    def keep(self, rows: Sequence[int]) -> Layouts:
        """Return some of the candidates."""
        columns = {f.name: getattr(self, f.name)[list(rows)] for f in fields(self) if f.name != "formats"}
        return Layouts(formats=tuple(self.formats[row] for row in rows), **columns)


def group_max(chip: Chip, shape: Shape, *, devices_max: int | None = None) -> int:
    """Return the most devices that one replica may have on this chip.

    A dense model stays inside the scale-up domain (or one PCIe host); a mixture of experts may span nodes where the
    chip has a scale-up link, over one NIC per device.
    """
    constants = serving()
    most = constants.devices_max if devices_max is None else devices_max
    host = constants.pcie_devices if chip.host_link_bytes_s is not None else 1
    inside = max(chip.domain, host)
    wide = (
        bool(shape.moe_layers) and chip.link_bytes_s is not None and chip.domain > constants.unstated_domain
    )
    return most if wide else min(inside, most)


def candidates(
    chip: Chip, shape: Shape, formats: Sequence[WeightFormat], *, devices_max: int | None = None
) -> Layouts:
    """Return every layout worth weighing, in a fixed order: fewer devices first, pipelines last.

    Pipeline stages are tried over tensor-parallel groups: inside one host, or from node to node where the chip has a
    scale-up link.
    """
    constants = serving()
    most = group_max(chip, shape, devices_max=devices_max)
    inside = max(chip.domain, constants.pcie_devices if chip.host_link_bytes_s is not None else 1)
    rows: list[tuple[WeightFormat, int, int, int, int]] = []
    group = 1
    while group <= most:
        tp = 1
        while tp <= min(group, inside):
            dp = group // tp
            if shape.heads % tp == 0 and (dp == 1 or shape.moe_layers):
                ep = _expert_parallel(shape, tp, dp, shard_min=constants.expert_shard_min)
                rows += [(fmt, tp, dp, ep, 1) for fmt in formats if ep is not None]
            tp *= 2
        group *= 2
    longest = _pipeline_max(chip, inside, devices_max=devices_max)
    for tp, pp in _pipelines(min(inside, longest), longest):
        if shape.heads % tp == 0 and pp <= shape.layers:
            ep = _expert_parallel(shape, tp, 1, shard_min=constants.expert_shard_min)
            rows += [(fmt, tp, 1, ep, pp) for fmt in formats if ep is not None]
    return _columns(chip, rows)


def _pipeline_max(chip: Chip, inside: int, *, devices_max: int | None) -> int:
    """Return the most devices of a replica with pipeline stages."""
    constants = serving()
    most = constants.devices_max if devices_max is None else devices_max
    nodes = chip.link_bytes_s is not None and chip.domain > constants.unstated_domain
    return most if nodes else min(inside, most)


def _pipelines(inside: int, most: int) -> Iterator[tuple[int, int]]:
    """Yield (TP, PP) with more than one stage."""
    for stages in (2, 4, 8):
        tp = 1
        while tp <= inside and tp * stages <= most:
            yield tp, stages
            tp *= 2


def _expert_parallel(shape: Shape, tp: int, dp: int, *, shard_min: float) -> int | None:
    """Experts are split like matrices while a slice fills a tile, else spread whole; ``None``: more ranks than experts."""
    group = tp * dp
    if not shape.moe_layers:
        return 1
    if dp == 1 and shape.expert_width / group >= shard_min:
        return 1
    return group if group <= shape.experts else None


def one_layout(chip: Chip, fmt: WeightFormat, *, tp: int, dp: int, ep: int, pp: int = 1) -> Layouts:
    """Return a single stated layout, for comparing with a published run.

    Raises
    ------
    InputError
        a parallel degree below 1
    """
    if min(tp, dp, ep, pp) < 1:
        raise InputError(
            Fault("layout", f"TP {tp}, DP {dp}, EP {ep}, PP {pp}", "Write whole numbers from 1 up.")
        )
    return _columns(chip, [(fmt, tp, dp, ep, pp)])


def _columns(chip: Chip, rows: Sequence[tuple[WeightFormat, int, int, int, int]]) -> Layouts:
    constants = serving()
    link = chip.link_bytes_s
    host = chip.host_link_bytes_s or float("nan")

    def over(group: int) -> tuple[float, float]:
        """Link bytes/s and the share of it that a group of this size reaches."""
        if group == 1:
            return float("inf"), 1.0
        if link is not None and (group <= chip.domain or chip.domain > constants.unstated_domain):
            return link, chip.efficiency.link
        return host, constants.pcie_share

    def column(values: Sequence[float]) -> F64:
        return np.asarray(values, dtype=np.float64).reshape(-1, 1)

    tp_links = [over(tp) for _, tp, *_ in rows]
    group_links = [over(tp * dp) for _, tp, dp, *_ in rows]
    across = [max(tp * dp / chip.domain, 1.0) if link is not None else 1.0 for _, tp, dp, *_ in rows]
    return Layouts(
        formats=tuple(fmt for fmt, *_ in rows),
        tp=column([tp for _, tp, *_ in rows]),
        dp=column([dp for _, _, dp, *_ in rows]),
        ep=column([ep for *_, ep, _ in rows]),
        pp=column([pp for *_, pp in rows]),
        link_tp=column([speed for speed, _ in tp_links]),
        link_group=column([speed for speed, _ in group_links]),
        nodes=column(across),
        link_share=column([min(a[1], b[1]) for a, b in zip(tp_links, group_links, strict=True)]),
        linear_bytes=column([fmt.linear_bytes for fmt, *_ in rows]),
        linear_rate=column([fmt.linear_rate for fmt, *_ in rows]),
        linear_reached=column([fmt.linear_reached for fmt, *_ in rows]),
        expert_bytes=column([fmt.expert_bytes for fmt, *_ in rows]),
        expert_rate=column([fmt.expert_rate for fmt, *_ in rows]),
        expert_reached=column([fmt.expert_reached for fmt, *_ in rows]),
    )
