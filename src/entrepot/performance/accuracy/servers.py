"""With which settings did a server run, where a row does not state them?

Engines differ in what a server does by default, releases differ, and projects that publish many rows publish the scripts
that start their servers. ``data/servers.csv`` holds one setting a line with its source: who measured (``scope``), engine,
release (``from`` and ``below``), patterns of chip, model, format, tensor parallelism, lengths and concurrency. A blank fits
all; where several lines fit, the last one counts, so that the file runs from the general to the special.

========================  =====================================================================================
``places``                most requests in the batch: vLLM max_num_seqs, TensorRT-LLM max_batch_size (per rank)
``chunk``                 most prompt tokens of a step: max_num_batched_tokens, chunked_prefill_size, max_num_tokens
``recv_interval``         decode steps between two looks at the queue: SGLang scheduler_recv_interval
``batch_wait``            decode steps that a prompt may wait for others: TensorRT-LLM batch_wait_timeout_iters
``held_share``            share of its output that a request has room for when it is admitted
``requests``              requests of the whole run
``kv_bits``               width at which the cache is held
``prompts_first``         1 where prompts that have a place are computed before the next decode step
``decode_places``         most requests in a decode step where prompts are computed for more; those wait in turn
``attention_dp``          1 where attention of a mixture of experts runs data parallel although the row states TP alone
========================  =====================================================================================
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Asked", "Server", "Setting", "server", "settings"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a row says of its server: words as read, tokens, requests in flight; ``scope`` is who measured."""

    scope: str
    engine: str
    release: str
    chip: str
    model: str
    format: str
    tp: int
    isl: float
    osl: float
    concurrency: float


@dataclass(frozen=True, slots=True)
class Server:
    """The settings that fit; ``nan`` where no line does."""

    places: float = float("nan")
    chunk: float = float("nan")
    recv_interval: float = float("nan")
    batch_wait: float = float("nan")
    held_share: float = float("nan")
    requests: float = float("nan")
    attention_dp: float = float("nan")
    kv_bits: float = float("nan")
    prompts_first: float = float("nan")
    decode_places: float = float("nan")


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of ``data/servers.csv``."""

    where: dict[str, str]
    setting: str
    value: float
    source: str

    def fits(self, asked: Asked) -> bool:
        """Whether the line speaks of this server."""
        w = self.where
        return (
            w["scope"] in {"any", asked.scope}
            and w["engine"] in {"", asked.engine}
            and _within(asked.release, w["from"], w["below"])
            and (not w["chip"] or re.search(w["chip"], asked.chip) is not None)
            and asked.model.startswith(w["model"])
            and w["format"] in {"", asked.format}
            and (not w["tp"] or str(asked.tp) in w["tp"].split("|"))
            and (not w["isl"] or float(w["isl"]) == asked.isl)
            and (not w["osl"] or float(w["osl"]) == asked.osl)
            and (not w["concurrency_from"] or asked.concurrency >= float(w["concurrency_from"]))
            and (not w["concurrency_below"] or asked.concurrency < float(w["concurrency_below"]))
        )


@cache
def settings() -> tuple[Setting, ...]:
    """Return the lines of ``data/servers.csv`` in their order."""
    text = files("entrepot.performance").joinpath("data", "servers.csv").read_text(encoding="utf-8")
    return tuple(
        Setting(
            {k: v for k, v in r.items() if k not in {"setting", "value", "source"}},
            r["setting"],
            float(r["value"]),
            r["source"],
        )
        for r in csv.DictReader(text.splitlines())
    )


@cache
def server(asked: Asked) -> Server:
    """Return the settings of a server: of the lines that fit, the last for each setting."""
    return Server(**{line.setting: line.value for line in settings() if line.fits(asked)})


def _within(release: str, first: str, below: str) -> bool:
    """Whether a release lies in a range; one that is not stated counts as a late one."""
    number = _release(release)
    return (not first or number >= _release(first)) and (not below or number < _release(below))


def _release(text: str) -> tuple[int, ...]:
    parts = re.findall(r"\d+", text)
    return tuple(int(p) for p in parts[:2]) if parts else (999,)
