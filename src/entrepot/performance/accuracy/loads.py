"""How do requests come to a replica: at which concurrency, rate or load, and does the run have an end?

Read from the cell of concurrency and from phrases of the notes that state a condition, never from a value. A harness is

- ``closed``: so many requests in flight, the next sent when one is done
- ``burst``: all prompts sent to a server at one moment, none after ("1000 prompts", "request rate inf" without a bound)
- ``offline``: the same without a client; ``static``: one batch, computed together
- ``rate``: arrivals at so many a second; ``load``: at so many output tokens a second; ``slo``: as many as limits allow
- ``prefill``, ``decode``: devices that do one phase alone
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

from entrepot.performance.accuracy.rows import Row
from entrepot.performance.accuracy.servers import Server

__all__ = ["Harness", "Load", "read_load", "with_places"]

Harness = Literal[
    "closed",
    "burst",
    "offline",
    "static",
    "rate",
    "load",
    "slo",
    "prefill",
    "decode",
    "kernel",
    "training",
]


@dataclass(frozen=True, slots=True)
class Load:
    """How requests come to one replica: requests in flight or sent, most that have a place, rates, length of the run."""

    harness: Harness
    concurrency: float = math.inf
    cap: float = math.inf
    rate_per_s: float = math.nan
    tokens_per_s: float = math.nan
    requests: float = math.inf


_BURST = re.compile(
    r"(?:request[- ]?rate|rate)\s*[=:]?\s*inf|all at once|at one moment|(?:sent|prompts) at once|num[-_ ]?prompts|\bburst\b|simultaneous"
)
_NUMBER = re.compile(r"(?:concurrency|batch|bs|c)?\s*[=:]?\s*(\d+(?:\.\d+)?)(/gpu|/rank|/die)?\b")
_BOUND = re.compile(r"max[-_ ]?concurrency|closed loop|fixed concurrency")


def read_load(row: Row, scenario: str, replicas: float, dp: int, assumed: list[str]) -> Load:
    """Return how requests come to one replica, from the cell of concurrency and the phrases of the notes that state it."""
    text, notes = row.concurrency_or_batch.lower(), row.notes.lower()
    cap = _cap(text, notes, dp)
    if row.metric == "prefill_tokens_per_s_per_gpu":
        return Load("prefill", cap=cap)
    if row.metric == "decode_tokens_per_s_per_gpu":
        number = re.match(r"(\d+)(/gpu)?$", text)
        batch = (float(number.group(1)) * (dp if number.group(2) else 1.0)) if number else math.inf
        return Load("decode", batch, cap)
    if scenario:
        return _of_mlperf(row, notes, scenario, replicas, cap)
    found = _at_rate(text, notes, replicas, cap) or _with_end(text, notes, replicas, cap, assumed)
    if found is not None:
        return found
    number = _NUMBER.match(text)
    if number:
        per_rank = number.group(2) is not None
        value = float(number.group(1)) * (dp if per_rank else 1.0)
        return Load("closed", max(value / (1.0 if per_rank else replicas), 1.0), cap)
    if "rate/concurrency" in text:
        stated = re.search(r"(\d+)", text)
        return Load("closed", float(stated.group(1)) if stated else 1.0, cap)
    if row.regime == "latency":
        assumed.append("concurrency not stated: 1")
        return Load("closed", 1.0, cap)
    if row.regime == "server_slo":
        assumed.append("load not stated: the most that keeps TPOT at 50 ms")
        return Load("slo", cap=cap)
    if row.metric in {"ttft_ms", "tpot_ms"}:
        assumed.append("concurrency not stated: 32")
        return Load("closed", 32.0, cap)
    assumed.append("concurrency not stated: as many as fit")
    return Load("offline", cap=cap)


def _cap(text: str, notes: str, dp: int) -> float:
    per_replica = re.search(r"max batch (\d+) per gpu/replica", text)
    whole = re.search(r"max[-_ ]num[-_ ]seqs?\s*=?\s*(\d+)", f"{text} {notes}")
    if whole:
        return float(whole.group(1))
    return float(per_replica.group(1)) * dp if per_replica else math.inf


def _of_mlperf(row: Row, notes: str, scenario: str, replicas: float, cap: float) -> Load:
    if scenario == "offline":
        return Load("offline", cap=cap)
    stated = re.search(r"at the submitted (?:server )?load \((\d+(?:\.\d+)?) tok/s total\)", notes)
    if row.metric in {"ttft_ms", "tpot_ms"} and stated:
        return Load("load", cap=cap, tokens_per_s=float(stated.group(1)) / replicas)
    return Load("slo", cap=cap)


def _at_rate(text: str, notes: str, replicas: float, cap: float) -> Load | None:
    rate = re.search(r"(\d+(?:\.\d+)?)\s*(?:req(?:uests)?/s|rps|qps)", text) or re.search(
        r"\b(?:request[- ])?rate[ =:]*(\d+(?:\.\d+)?)", text
    )
    if rate is None and "rate" in text and "concurrency" not in text:
        rate = re.search(r"request rate[ =:]*(\d+(?:\.\d+)?)", notes)
    if rate is None:
        return None
    most = re.search(r"max(?:imum)?(?:[-_ ]concurrency)?[ =:]*(\d+)", text)
    bound = float(most.group(1)) / replicas if most else math.inf
    return Load("rate", bound, cap, rate_per_s=float(rate.group(1)) / replicas)


def _with_end(text: str, notes: str, replicas: float, cap: float, assumed: list[str]) -> Load | None:
    """Return the load of a run whose requests are all there from the start, ``None`` where they are not."""
    number = _NUMBER.match(text)
    if "static batch" in notes or "batch_size requests at once" in notes:
        return Load("static", float(number.group(1)) if number else math.inf, cap)
    prompts = re.search(r"(\d+)\s*(?:num[-_ ]?)?prompts|num[-_ ]?prompts[ =:]*(\d+)", text)
    if prompts:
        sent = max(float(prompts.group(1) or prompts.group(2)) / replicas, 1.0)
        most = re.search(r"max[-_ ]?concurrency[ =:]*(\d+)", f"{text} {notes}")
        if most:
            return Load("closed", max(float(most.group(1)) / replicas, 1.0), cap)
        return Load("burst", sent, cap, requests=sent)
    requests = re.match(r"(\d+) requests", text)
    queued = "queued at once" in notes or "submitted at once" in notes or "offline" in notes
    if requests or queued:
        found = requests or number
        own = max(float(found.group(1)) / replicas, 1.0) if found else math.inf
        return Load("offline", own, cap, requests=own)
    both = f"{text} {notes}"
    if number and _BURST.search(both) and not _BOUND.search(both):
        sent = max(float(number.group(1)) / replicas, 1.0)
        assumed.append(f"{number.group(1)} requests read as sent at one moment")
        return Load("burst", sent, cap, requests=sent)
    return Load("offline", cap=cap) if text.startswith("max") else None


def with_places(load: Load, runs: Server, dp: int, scenario: str) -> Load:
    """Return the load with the engine's own bound on the batch and the length of a run whose script is published.

    The bound is one per attention rank. MLPerf's submitters set their own.
    """
    cap = load.cap
    if math.isinf(cap) and not scenario and not math.isnan(runs.places):
        cap = runs.places * dp
    requests = load.requests
    if math.isinf(requests) and load.harness == "offline" and not math.isnan(runs.requests):
        requests = runs.requests
    concurrency = min(load.concurrency, requests) if load.harness == "offline" else load.concurrency
    return replace(load, cap=cap, requests=requests, concurrency=concurrency)
