"""What does the model say for each row of a file of measurements, from its conditions alone?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from entrepot.performance.accuracy.conditions import Conditions, Unanswered, read_conditions
from entrepot.performance.accuracy.readings import host_of_experts
from entrepot.performance.accuracy.rows import Row
from entrepot.performance.points import Answers, Point

__all__ = ["Asked", "ask", "in_units_of_row", "point_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Serving rows that can be answered, their conditions, their distinct points, and the others with the reason.

    ``point_of_row`` gives the index into ``points`` of each row.
    """

    rows: tuple[Row, ...]
    conditions: tuple[Conditions, ...]
    points: tuple[Point, ...]
    point_of_row: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    others: tuple[tuple[Row, str], ...]


def point_of(c: Conditions) -> Point:
    """Return the operating point that a row's conditions state."""
    return Point(
        accelerator=c.chip.accelerator,
        model=c.model.model,
        weight_format=c.weight_format,
        kv_bits=c.kv_bits,
        kv_held_bits=c.kv_held_bits,
        engine=c.engine,
        tp=c.tp,
        dp=c.dp,
        ep=c.ep,
        pp=c.pp,
        isl=max(c.isl * c.length_factor, 1.0),
        osl=max(c.osl * c.length_factor, 1.0),
        concurrency=c.concurrency,
        cap=c.cap,
        year=c.year,
        equal=c.equal,
        harness=c.harness,
        rate_per_s=c.rate_per_s,
        load_tokens_per_s=c.load_tokens_per_s,
        ttft_limit_ms=c.ttft_limit_ms,
        tpot_limit_ms=c.tpot_limit_ms,
        percentile=c.percentile,
        drafts=c.drafts,
        accept=c.accept,
        prefix_hit=c.prefix_hit,
        scale=c.model.scale,
        die=c.die,
        recv_interval=c.recv_interval,
        batch_wait=c.batch_wait,
        chunk=c.chunk,
        held_share=c.held_share,
        requests=c.requests,
        spread=c.spread,
        prompts_first=c.prompts_first,
        decode_places=c.decode_places,
        weight_only=c.weight_only,
        host=host_of_experts() if c.on_host else (0.0, 0.0),
    )


def ask(rows: Sequence[Row]) -> Asked:
    """Read the conditions of every row; rows of one run that differ in the metric alone share a point."""
    answered: list[tuple[Row, Conditions]] = []
    others: list[tuple[Row, str]] = []
    for row in rows:
        read = read_conditions(row)
        if isinstance(read, Unanswered):
            others.append((row, read.reason))
        else:
            answered.append((row, read))
    index: dict[tuple[object, ...], int] = {}
    made: list[Point] = []
    of_row = []
    for _, c in answered:
        point = point_of(c)
        key = (
            c.chip_id,
            c.model_id,
            tuple(
                getattr(point, n)
                for n in (f.name for f in fields(Point))
                if n not in {"accelerator", "model"}
            ),
        )
        text = (key[0], key[1], repr(key[2]))
        if text not in index:
            index[text] = len(made)
            made.append(point)
        of_row.append(index[text])
    return Asked(
        rows=tuple(r for r, _ in answered),
        conditions=tuple(c for _, c in answered),
        points=tuple(made),
        point_of_row=np.array(of_row, dtype=np.int64),
        others=tuple(others),
    )


def in_units_of_row(asked: Asked, found: Answers) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the model's figure for each row in the row's own metric, (rows,)."""
    i = asked.point_of_row
    replicas = np.array([c.replicas for c in asked.conditions])
    devices = np.array([c.devices for c in asked.conditions])
    die = np.array([c.die for c in asked.conditions])
    columns = {
        "tpot_ms": found.tpot_s[i] * 1e3,
        "ttft_ms": found.ttft_s[i] * 1e3,
        "output_tokens_per_s_total": found.output_per_s[i] * replicas,
        "output_tokens_per_s_per_gpu": found.output_per_s[i] * replicas / np.maximum(devices, 1e-9),
        "total_tokens_per_s": found.total_per_s[i] * replicas,
        "prefill_tokens_per_s_per_gpu": found.prefill_per_s[i] / die,
        "decode_tokens_per_s_per_gpu": found.decode_per_s[i] / die,
    }
    out = np.empty(len(asked.rows))
    for k, row in enumerate(asked.rows):
        out[k] = columns[row.metric][k]
    return out
