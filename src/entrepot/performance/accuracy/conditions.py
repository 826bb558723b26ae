"""Under which conditions was a row measured, and how were its blanks read?

Everything that decides a prediction is read here, from the conditions alone: never from the value, and from the notes only
the phrases that state a condition (speculation, percentile, submitted load, replica kind), never a result.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

from entrepot.catalogue.records import NumberFormat
from entrepot.catalogue.shape import parameters
from entrepot.performance.accuracy.loads import Harness, read_load, with_places
from entrepot.performance.accuracy.names import ChipReading, ModelReading, read_chip, read_model
from entrepot.performance.accuracy.readings import (
    UNSTATED,
    Lengths,
    accept_length,
    data_set,
    mlperf_lengths,
    mlperf_limits,
    random_lengths,
)
from entrepot.performance.accuracy.rows import LONGEST, METRICS, Row
from entrepot.performance.accuracy.servers import Asked, Server, server
from entrepot.performance.chip import native_format

__all__ = ["Conditions", "Harness", "Unanswered", "read_conditions"]


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A row that the model cannot answer, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Conditions:
    """One row's conditions in numbers.

    Attributes
    ----------
    devices : of the row; ``replicas`` of ``tp x dp x pp`` devices each stand beside one another
    concurrency : requests in flight per replica; ``inf`` is as many as fit
    cap : most requests per replica that the server takes
    rate_per_s : requests per second per replica, for arrivals at a rate
    load_tokens_per_s : output tokens per second per replica at which latencies were taken
    equal : all requests have exactly these lengths
    length_factor : mean length over the nominal one: InferenceX draws lengths from 0.8 to 1.0 of nominal, sglang.bench_serving
        from none to all of it where no range is stated
    chunk, recv_interval, batch_wait, held_share : the server's settings, see ``accuracy.servers``
    requests : of the whole run; ``inf`` where it has no end that counts
    spread : standard deviation of the output lengths over their mean
    prompts_first : a prompt that has a place is computed before the next decode step
    decode_places : most requests in a decode step where prompts are computed for more than that
    on_host : experts stay in the host's memory and run on its processors
    weight_only : weights of few bits, arithmetic in 16
    die : fraction of the chip that one rank is (0.5 on a two-die package that is addressed by die)
    assumed : how blanks were read
    """

    chip: ChipReading
    model: ModelReading
    chip_id: str
    model_id: str
    engine: str
    engine_version: str
    stack: str
    year: float
    weight_format: NumberFormat
    kv_bits: int
    kv_held_bits: int
    tp: int
    dp: int
    ep: int
    pp: int
    replicas: float
    devices: float
    isl: float
    osl: float
    concurrency: float
    cap: float
    rate_per_s: float
    load_tokens_per_s: float
    ttft_limit_ms: float
    tpot_limit_ms: float
    percentile: float
    equal: bool
    length_factor: float
    harness: Harness
    metric: str
    drafts: int
    accept: float
    prefix_hit: float
    die: float
    recv_interval: float
    batch_wait: float
    chunk: float
    held_share: float
    requests: float
    spread: float
    prompts_first: bool
    decode_places: float
    on_host: bool
    weight_only: bool
    scenario: str
    source: str
    flags: tuple[str, ...] = ()
    assumed: tuple[str, ...] = field(default=())


def read_conditions(row: Row) -> Conditions | Unanswered:
    """Return the conditions of a row, or why it cannot be answered."""
    if row.metric not in METRICS:
        return Unanswered(f"metric {row.metric!r} is not one of {', '.join(METRICS)}")
    chip = read_chip(row.accelerator)
    if chip is None:
        return Unanswered(f"chip {row.accelerator!r} is not on record with rate, memory and bandwidth")
    if row.metric.startswith("kernel") or row.metric.startswith("train") or row.regime == "training":
        return Unanswered("kernel or training row")  # dispatched before
    text = f"{row.engine} {row.parallelism}".lower()
    on_host = "ktransformers" in text or "cpu" in re.split(r"\W+", text)
    model = read_model(row.model)
    if model is None:
        return Unanswered(f"model {row.model!r} is not on record and its name states no size")
    assumed = [*chip.assumed, *model.assumed]
    if on_host:
        if not model.model.n_experts:
            return Unanswered("layers run on the host CPU: the host's memory decides, not the chip")
        assumed.append(
            "experts run on the host: its memory and arithmetic are not stated, two sockets assumed"
        )
    notes = row.notes.lower()
    stack, engine, version = _engine(row)
    fmt, said = _format(row, model, chip)
    assumed += said
    layout = _layout(row, model, chip, assumed)
    if layout is None:
        return Unanswered(f"parallel layout {row.parallelism!r} cannot be read")
    tp, dp, ep, pp, replicas, devices, die = layout
    scenario = _scenario(row)
    lengths = _lengths(row, model.id, assumed)
    isl, osl = lengths.isl, lengths.osl
    drawn = random_lengths(notes)
    if max(isl, osl) > LONGEST:
        return Unanswered(f"no request holds {max(isl, osl):g} tokens")
    load = read_load(row, scenario, replicas, dp, assumed)
    dashboard = "inferencex" in notes or "inferencemax" in notes
    runs = server(
        Asked(
            scope="dashboard" if dashboard else "perf-overview" if "perf-overview" in row.source else "any",
            engine="mindie" if stack == "mindie" else engine,
            release=version if version != "unstated" else "",
            chip=chip.accelerator.id,
            model=model.id,
            format=str(fmt),
            tp=tp * dp,
            isl=isl,
            osl=osl,
            concurrency=load.concurrency,
        )
    )
    if (
        runs.attention_dp == 1
        and model.model.n_experts
        and dp == 1
        and "ep unknown" in row.parallelism.lower()
    ):
        tp, dp, ep = 1, tp, tp
        if dp > 1:
            assumed.append(f"attention data parallel over {dp}, as the published script sets it")
    load = with_places(load, runs, dp, scenario)
    limits = mlperf_limits(model.id, scenario)
    if load.harness == "slo" and limits == (math.inf, math.inf):
        limits = _stated_limits(notes)
    kv_bits, kv_held = _kv(row, fmt, engine, runs)
    drafts, accept = _speculation(row)
    percentile = 99.0 if re.match(r"\s*p99\b", notes) else 50.0
    return Conditions(
        chip=chip,
        model=model,
        chip_id=chip.accelerator.id,
        model_id=model.id,
        engine=engine,
        engine_version=version,
        stack=stack,
        year=_year(row.date),
        weight_format=fmt,
        kv_bits=kv_bits,
        kv_held_bits=kv_held,
        tp=tp,
        dp=dp,
        ep=ep,
        pp=pp,
        replicas=replicas,
        devices=devices,
        isl=isl,
        osl=osl,
        concurrency=load.concurrency,
        cap=load.cap,
        rate_per_s=load.rate_per_s,
        load_tokens_per_s=load.tokens_per_s,
        ttft_limit_ms=limits[0],
        tpot_limit_ms=limits[1],
        percentile=percentile,
        equal=not dashboard
        and "mlperf" not in notes
        and "vary" not in notes
        and lengths.spread == 0
        and drawn is None,
        length_factor=0.9 if dashboard else 1.0 if drawn is None else drawn[0],
        harness=load.harness,
        metric=row.metric,
        drafts=drafts,
        accept=accept,
        prefix_hit=_prefix(notes),
        die=die,
        recv_interval=_or(runs.recv_interval, 1.0),
        batch_wait=_or(runs.batch_wait, 0.0),
        chunk=_or(runs.chunk, 8192.0),
        held_share=_or(runs.held_share, 0.55),
        requests=load.requests,
        spread=0.06 if dashboard else lengths.spread if drawn is None else drawn[1],
        prompts_first=runs.prompts_first == 1,
        decode_places=_or(runs.decode_places, math.inf),
        on_host=on_host,
        weight_only=_weight_only(row, chip, fmt),
        scenario=scenario,
        source=_source(row.source),
        assumed=tuple(assumed),
    )


def _source(text: str) -> str:
    """Return the publication a row stands in: repository or first words, and the file where one repository holds many studies."""
    found = re.match(r"([\w.-]+/[\w.-]+)", text)
    name = (found.group(1) if found else " ".join(text.split()[:3])).lower()
    if "silicon_sample" in text:
        part = re.search(r"\(([^)]*)\)", text)
        return "silicon_sample:" + (re.sub(r"[^a-z0-9._/-].*", "", part.group(1).lower()) if part else "")
    version = re.search(r"\(v(\d+\.\d+)", text) or re.search(r"results_(v\d+\.\d+)", text)
    return f"{name} {version.group(1)}" if version else name


def _engine(row: Row) -> tuple[str, str, str]:
    """Return the software stack, the engine whose constants serve, and the version."""
    text = row.engine.lower()
    version = re.search(r"\d+\.\d+(\.\d+)?", text)
    shown = version.group(0) if version else "unstated"
    ascend = "ascend" in text or "ascend" in row.accelerator.lower() or "910" in row.accelerator
    if "mlperf" in row.notes.lower():
        engine = "vllm" if "vllm" in text else "trtllm"
        return "mlperf-" + engine, engine, _minor(shown)
    for word, engine in (
        ("trt", "trtllm"),
        ("tensorrt", "trtllm"),
        ("sglang", "sglang"),
        ("vllm", "vllm"),
        ("rocm", "vllm"),
    ):
        if word in text:
            stack = (
                f"{engine}-ascend"
                if ascend
                else (f"{engine}-rocm" if "mi3" in row.accelerator.lower() else engine)
            )
            return stack, engine, _minor(shown)
    if "mindie" in text:
        return "mindie", "trtllm", _minor(shown)
    return "other", "vllm", "unstated"


def _minor(version: str) -> str:
    parts = version.split(".")
    return ".".join(parts[:2]) if len(parts) > 1 else version


def _format(row: Row, model: ModelReading, chip: ChipReading) -> tuple[NumberFormat, list[str]]:
    text = row.weight_dtype.lower()
    said: list[str] = []
    if not text:
        own = re.search(r"(nvfp4|mxfp4|fp4|fp8|w8a8|w4a8|int4|awq|gptq)", row.model.lower())
        if own:
            text = own.group(1)
            said.append(f"weights read as {text} from the model's name")
        else:
            native = native_format(model.model) or NumberFormat.BF16
            said.append(f"weights read as {native}, the published format")
            return native, said
    rates = chip.accelerator.dense_rate
    if re.search(r"fp4|nvfp4|mxfp4|w4a|int4|awq|gptq-int4|q4", text):
        return NumberFormat.FP4, said
    if re.search(r"int8|w8a8|gptq-int8", text):
        return NumberFormat.INT8, said
    if re.search(r"fp8|mxfp8|e4m3", text):
        return (NumberFormat.FP8 if NumberFormat.FP8 in rates else NumberFormat.INT8), said
    return NumberFormat.BF16, said


def _kv(row: Row, fmt: NumberFormat, engine: str, runs: Server) -> tuple[int, int]:
    """Return the bits of the cache as it is read and as it is held.

    Where blank, the server's settings say how wide it is held. TensorRT-LLM's own tables read 8 bits; other runs read their
    narrow caches no faster than 16 bits: they count 8 bits for room and 16 for time.
    """
    text = row.kv_dtype.lower()
    if "fp8" in text or "int8" in text or "c8" in row.model.lower():
        return 8, 8
    if text and text != "auto":
        return 16, 16
    narrow = fmt in {NumberFormat.FP8, NumberFormat.FP4}
    if narrow and engine == "trtllm" and "tensorrt" in row.engine.lower():
        return 8, 8
    return 16, int(_or(runs.kv_bits, 16.0))


def _layout(
    row: Row, model: ModelReading, chip: ChipReading, assumed: list[str]
) -> tuple[int, int, int, int, float, float, float] | None:
    """Return tp, dp, ep, pp of a replica, replicas, devices, and the share of a package that a rank is."""
    text = row.parallelism.lower()
    stated = _number(row.n_accelerators)
    dies = "dies" in text
    die = 0.5 if dies else 1.0
    moe = bool(model.model.n_experts)

    def find(pattern: str) -> int | None:
        found = re.search(pattern, text)
        return int(found.group(1)) if found else None

    dep = find(r"\bdep\s*(\d+)")
    tp = find(r"\btp\s*(\d+)")
    dp = find(r"attndp(\d+)") or find(r"\bdp\s*(\d+)")
    pp = find(r"\bpp\s*(\d+)") or find(r"tp\d+pp(\d+)") or 1
    ep = find(r"moeep(\d+)") or find(r"\bep\s*(\d+)")
    replicas = find(r"(\d+) replicas")
    pair = re.search(r"dpxtp (\d+)x(\d+)", text)
    if pair:  # several servers; the last group decodes
        groups = re.findall(r"(\d+)x(\d+)", text)
        tp, dp = int(groups[-1][1]), int(groups[-1][0])
        assumed.append("disaggregated layout read as its last server, replicated")
    if dep is not None:
        tp, dp, ep = 1, dep, dep
    elif "dp attention" in text or "attention dp" in text:
        dp, tp, ep = tp or 8, 1, ep or tp or 8
    if tp is None and dp is None and ep is not None:
        tp, dp = 1, ep
    devices = stated
    if devices is None:
        size = (tp or 1) * (dp or 1) * pp
        devices = size * die if (tp or dp) else 8.0 if _weights_gb(model) > 60 else 1.0
        assumed.append(f"devices not stated: {devices:g} assumed")
    ranks = max(1, round(devices / die))
    if tp is None and dp is None:
        tp = _smallest_tp(row, model, chip, ranks, assumed)
        dp = 1
    tp, dp = tp or 1, dp or 1
    if re.search(r"(^|\W)ep(\W|$)", text) and ep is None:
        ep = tp * dp
    if not moe:
        ep = 1
        if dp > 1:  # a dense model in data parallel is so many replicas
            replicas, dp = dp * (replicas or 1), 1
    tp = max(1, min(tp, ranks)) if replicas is None or not moe else tp
    group = tp * dp * pp
    count = float(replicas) if replicas else max(ranks / group, 1.0 if ranks >= group else ranks / group)
    return tp, dp, min(ep or 1, tp * dp), pp, max(count, 1.0), devices, die


def _weights_gb(model: ModelReading) -> float:
    built = parameters(model.model)
    return 0.0 if built is None else built.total * model.scale / 1e9


def _smallest_tp(row: Row, model: ModelReading, chip: ChipReading, ranks: int, assumed: list[str]) -> int:
    """Tensor parallelism where none is stated: the least that leaves a third of the memory to the cache, in the row's devices."""
    bytes_per = {"fp4": 0.56, "fp8": 1.0, "int8": 1.0}.get(str(_format(row, model, chip)[0]), 2.0)
    need = _weights_gb(model) * bytes_per
    memory = float(chip.accelerator.memory_gb or 80)
    tp = 1
    while tp < min(ranks, 16) and need / tp > 0.62 * memory:
        tp *= 2
    many = row.regime == "latency" and ranks <= 8
    tp = min(ranks, 8) if many else min(tp, ranks)
    assumed.append(f"layout not stated: TP{tp}")
    return tp


def _scenario(row: Row) -> str:
    notes = row.notes.lower()
    for word in ("interactive", "server", "offline"):
        if re.search(rf"\b{word}\b", notes) and "mlperf" in (notes + row.source.lower() + row.id.lower()):
            return word
    return ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value > 0 and math.isfinite(value) else None


def _lengths(row: Row, model_id: str, assumed: list[str]) -> Lengths:
    isl, osl = _number(row.isl), _number(row.osl)
    known = data_set(f"{row.isl} {row.osl} {row.notes}")
    upper_in, upper_out = re.search(r"<=(\d+)", row.isl), re.search(r"<=(\d+)", row.osl)
    if isl is None and upper_in:
        isl = float(upper_in.group(1)) / 2
    if osl is None and upper_out:
        osl = float(upper_out.group(1)) / 2
    mlperf = mlperf_lengths(model_id) if "mlperf" in row.notes.lower() else None
    usual = mlperf or known or UNSTATED
    spread = 0.0 if mlperf is None and known is None and _number(row.osl) is not None else usual.spread
    if row.metric == "ttft_ms" and known is None and mlperf is None:
        usual = Lengths(usual.isl, 128.0, usual.spread)
    if isl is None:
        isl = usual.isl
        assumed.append(f"input length read as {isl:g}")
    if osl is None:
        osl = usual.osl
        if row.metric not in {"ttft_ms", "prefill_tokens_per_s_per_gpu"}:
            assumed.append(f"output length read as {osl:g}")
    return Lengths(max(isl, 1.0), max(osl, 1.0), spread)


def _or(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value


def _weight_only(row: Row, chip: ChipReading, fmt: NumberFormat) -> bool:
    """Whether weights of few bits are computed in 16: W4A16 schemes, and FP8 on chips without FP8 arithmetic."""
    text = f"{row.weight_dtype} {row.model}".lower()
    if re.search(r"w\da8|nvfp4|mxfp4|\bfp4", text):
        return False
    if re.search(r"awq|gptq|w4a16|w8a16|weight[- ]only|int4|gguf|q4_|bnb|nf4|marlin", text):
        return True
    return (
        "fp8" in text and fmt is not NumberFormat.FP8 and NumberFormat.FP8 not in chip.accelerator.dense_rate
    )


def _stated_limits(notes: str) -> tuple[float, float]:
    tpot = re.search(r"tpot\s*(?:<=?|bound|limit|at|of)?\s*(?:about\s*)?(\d+(?:\.\d+)?)\s*ms", notes)
    return math.inf, float(tpot.group(1)) if tpot else 50.0 * 1.19


def _speculation(row: Row) -> tuple[int, float]:
    text = f"{row.parallelism} {row.model} {row.engine} {row.notes}".lower()
    if re.search(r"no mtp|without mtp|w/o mtp|no speculation|without speculation|mtp off", text):
        return 0, 1.0
    found = re.search(r"mtp\s*=?\s*(\d)\b", f"{row.parallelism} {row.notes}".lower())
    if found:
        drafts = min(int(found.group(1)), 3)
    elif re.search(r"\bmtp\b|eagle|speculative|nextn", text):
        drafts = 1 if "mtp" in row.model.lower() else 3 if "eagle" in text else 1
    else:
        return 0, 1.0
    accept = re.search(r"accept(?:ance)?(?: length)?\s*(?:~|of|=)?\s*(\d\.\d+)", text)
    length = float(accept.group(1)) if accept and float(accept.group(1)) > 1 else accept_length(drafts)
    return drafts, length


def _prefix(notes: str) -> float:
    found = re.search(r"prefix[- ]cache(?: hit)?\s*(?:share|rate|of)?\s*(\d+)\s*%", notes) or re.search(
        r"(\d+)\s*%\s*(?:prefix|of (?:the )?input|cache hit)", notes
    )
    return min(float(found.group(1)) / 100, 0.99) if found else 0.0


def _year(text: str) -> float:
    found = re.match(r"(\d{4})(?:[-/](\d{1,4}))?", text)
    if not found:
        return 2025.5
    year = float(found.group(1))
    part = found.group(2)
    if part and len(part) <= 2:
        return year + (float(part) - 0.5) / 12
    if part:  # 2025/2026
        return (year + float(part)) / 2 + 0.4
    return year + 0.5
