"""Which chip and which model does a published row mean?

Sources write names in their own way: ``H20-SXM-96GB``, ``Ascend-910C (Atlas 800 A3)``, ``Qwen3-32B-W8A8-QuaRot``. A chip is
found by its designation, then by memory size and form; a model by its words without those of formats and editions. What
was assumed is said. A model that nobody has on record is sized from the parameter counts in its name, and says so.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, cast

from entrepot import catalogue
from entrepot.catalogue.records import Accelerator, Confidence, Model, NumberFormat
from entrepot.performance.operations import missing_parts

__all__ = ["ChipReading", "ModelReading", "read_chip", "read_model"]

_FORMS = ("sxm", "pcie", "nvl", "oam", "maxq", "server", "ws", "duo")
_PREFERRED_FORM = ("sxm", "oam", "server")
_DEFAULTS = {  # where a name leaves the bin open
    "910b": "huawei-ascend-910b3",
    "310p": "huawei-atlas-300i-duo-96gb",
    "h20": "nvidia-h20-sxm-96gb",
    "h100": "nvidia-h100-sxm5-80gb",
    "a100": "nvidia-a100-sxm4-80gb",
    "gaudi3": "intel-gaudi3-oam",
}


_VENDORS = {  # words that name a vendor or its family: a designation of another vendor is not meant
    "nvidia": "NVIDIA", "geforce": "NVIDIA", "tesla": "NVIDIA", "rtx": "NVIDIA", "rubin": "NVIDIA", "vera": "NVIDIA",
    "amd": "AMD", "instinct": "AMD", "radeon": "AMD", "intel": "Intel", "gaudi": "Intel", "huawei": "Huawei",
    "ascend": "Huawei", "atlas": "Huawei", "google": "Google", "tpu": "Google", "aws": "Amazon", "trainium": "Amazon",
    "metax": "MetaX", "cambricon": "Cambricon", "hygon": "Hygon", "biren": "Biren", "kunlun": "Baidu", "apple": "Apple",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChipReading:
    """The chip of a row, all needed figures filled; ``assumed`` says which were not stated for it."""

    accelerator: Accelerator
    assumed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ModelReading:
    """The model of a row; ``id`` is what offsets are keyed by; ``scale`` > 0 sizes a stand-in of another size."""

    model: Model
    id: str
    scale: float
    assumed: tuple[str, ...]


def _split(name: str) -> list[str]:
    text = name.lower().replace("atlas 800 a3", "").replace("atlas 800 a2", "")
    text = re.sub(r"\b(rtx|gtx|bi)[\s-]*(v?\d)", r"\1 \2", text)
    text = re.sub(r"\b(mi)[\s-]+(\d)", r"\1\2", text)
    text = re.sub(r"\b(gaudi|trainium|inferentia)[\s-]*(\d)", r"\1\2", text)
    text = re.sub(r"(?<![\w-])(\d+\s*x|x\s*\d+)\b", " ", text)  # 8x, x8: how many, not which
    text = re.sub(r"(\d)\s*gb\b", r"\1gb", text)
    return re.findall(r"[a-z0-9.]+", text)


@cache
def _chips() -> dict[str, frozenset[str]]:
    out = {}
    for id_, chip in catalogue.accelerators().items():
        words = set(_split(id_)) | set(_split(chip.name))
        out[id_] = frozenset(words | {re.sub(r"^(sxm|nvl)\d*$", r"\1", w) for w in words})
    return out


@cache
def read_chip(name: str) -> ChipReading | None:
    """Return the chip that a row means; ``None`` where no product of that designation is on record."""
    if name in catalogue.accelerators():
        return _filled(catalogue.accelerator(name), ())
    words = _split(name)
    memory = next((float(w[:-2]) for w in words if re.fullmatch(r"\d+(\.\d+)?gb", w)), None)
    forms = [re.sub(r"\d+$", "", w) for w in words if re.sub(r"\d+$", "", w) in _FORMS]
    vendors = {_VENDORS[w] for w in words if w in _VENDORS}
    best: list[tuple[float, str]] = []
    for id_, own in _chips().items():
        if vendors and not any(_same(catalogue.accelerator(id_).vendor, v) for v in vendors):
            continue
        score = _score(words, own, memory, forms, id_)
        if score > 0:
            best.append((score, id_))
    if not best:
        return None
    whole = [(score, id_) for score, id_ in best if _filled(catalogue.accelerator(id_), ()) is not None]
    if whole and max(whole)[0] >= max(best)[0] - 1e-9:  # of equals, one that has its figures
        best = whole
    best.sort(key=lambda pair: (-pair[0], pair[1]))
    core = next((w for w in words if w in _DEFAULTS), None)
    top = [id_ for score, id_ in best if score >= best[0][0] - 1e-9]
    chosen = top[0]
    assumed: tuple[str, ...] = ()
    close = [id_ for score, id_ in best if score >= best[0][0] - 5]
    if (
        core is not None
        and _DEFAULTS[core] in close
        and memory is None
        and not set(forms) - {"sxm", "oam", "duo"}
    ):
        chosen = _DEFAULTS[core]
    rack = next((w for w in words if re.fullmatch(r"nvl\d+", w)), None)
    if len(top) > 1 or chosen not in top or (rack is not None and rack not in chosen):
        assumed = (f"accelerator {name!r} read as {chosen}",)
    chip = catalogue.accelerator(chosen)
    if memory is not None and chip.memory_gb is not None and memory > 2.1 * float(chip.memory_gb):
        assumed = (*assumed, f"{memory:g} GB is not the device's memory: {chip.memory_gb} GB")
    elif memory is not None and chip.memory_gb is not None and abs(memory / float(chip.memory_gb) - 1) > 0.05:
        chip = replace(chip, memory_gb=Decimal(str(memory)))
        assumed = (*assumed, f"memory of {chosen} taken from the row: {memory:g} GB")
    return _filled(chip, assumed)


def _edition(word: str, designation: str) -> bool:
    """Whether a word is a designation and one more letter: A100X is not an A100, MI300A not an MI300."""
    return re.fullmatch(r"[a-z]", word[len(designation) :]) is not None


def _same(vendor: str, word: str) -> bool:
    return word.lower() in vendor.lower() or vendor.lower() in word.lower()


def _score(words: list[str], own: frozenset[str], memory: float | None, forms: list[str], id_: str) -> float:
    """How well a product answers: its designation must match, then size and form decide."""
    generic = {
        "atlas",
        "ascend",
        "nvidia",
        "amd",
        "huawei",
        "instinct",
        "tesla",
        "rtx",
        "intel",
        "metax",
        "pro",
    }
    core = [
        w
        for w in words
        if re.search(r"\d", w) and not re.fullmatch(r"(\d+(\.\d+)?(gb|w)|nvl?\d*|sxm\d*|a[23]|\d{1,3})", w)
    ]
    score = 0.0
    for w in core:
        if w in own:
            score += 10
        elif any(
            o.startswith(w) and not (w[-1].isdigit() and o[len(w)].isdigit()) for o in own if len(o) > len(w)
        ):
            score += 6
        elif any(w.startswith(o) and len(o) >= 4 and re.search(r"\d", o) and not _edition(w, o) for o in own):
            score += 4
    if score <= 0:
        return 0.0
    score += sum(1.0 for w in words if w in own and w not in core and w not in generic)
    if memory is not None:
        sizes = [float(o[:-2]) for o in own if re.fullmatch(r"\d+(\.\d+)?gb", o)]
        score += 2.0 if any(abs(s - memory) <= 0.1 * memory for s in sizes) else 0.0
    if not forms and any(f in id_ for f in _PREFERRED_FORM):
        score += 0.5
    score -= 0.01 * len(own)
    return score


def _filled(chip: Accelerator, assumed: tuple[str, ...]) -> ChipReading | None:
    """Fill figures that no source states from the nearest kin; ``None`` where there is none."""
    said = list(assumed)
    rates = dict(chip.dense_rate)
    kin = _kin(chip)
    if not rates and kin is not None:
        rates = dict(kin.dense_rate)
        said.append(f"rates of {chip.id} taken from {kin.id}")
    if NumberFormat.BF16 not in rates:
        for fmt, ratio in ((NumberFormat.FP8, 2), (NumberFormat.INT8, 2), (NumberFormat.FP4, 4)):
            if fmt in rates:
                rates[NumberFormat.BF16] = rates[fmt] / ratio
                said.append(f"16-bit rate of {chip.id} taken as 1/{ratio} of its {fmt} rate")
                break
    hopper_or_later = (chip.architecture or "").lower().startswith(("hopper", "ada", "blackwell"))
    if NumberFormat.FP8 not in rates and NumberFormat.BF16 in rates and hopper_or_later:
        rates[NumberFormat.FP8] = rates.get(NumberFormat.INT8, rates[NumberFormat.BF16] * 2)
        said.append(f"FP8 rate of {chip.id} taken as its INT8 rate")
    memory, bandwidth = chip.memory_gb, chip.memory_bw_gb_s
    if kin is not None:
        if memory is None and kin.memory_gb is not None:
            memory = kin.memory_gb
            said.append(f"memory size of {chip.id} taken from {kin.id}")
        if bandwidth is None and kin.memory_bw_gb_s is not None:
            bandwidth = kin.memory_bw_gb_s
            said.append(f"memory bandwidth of {chip.id} taken from {kin.id}")
    sms = chip.sm_count
    if sms is None and kin is not None and kin.sm_count is not None:
        sms = kin.sm_count
    if NumberFormat.BF16 not in rates or memory is None or bandwidth is None:
        return None
    filled = replace(
        chip,
        dense_rate=rates,
        memory_gb=memory,
        memory_bw_gb_s=bandwidth,
        sm_count=sms,
        confidence=chip.confidence if not said else Confidence.ESTIMATE,
    )
    return ChipReading(filled, tuple(said))


def _kin(chip: Accelerator) -> Accelerator | None:
    """Return the chip of the same family whose figures are complete: another memory size, another edition."""
    stem = re.match(r"[a-z]+-(?:[a-z]+-)*?[a-z]*\d+[a-z]?", chip.id)
    start = stem.group(0) if stem else chip.id
    others = [
        c
        for c in catalogue.accelerators().values()
        if c.id != chip.id
        and c.vendor == chip.vendor
        and c.architecture == chip.architecture
        and c.memory_gb is not None
        and c.memory_bw_gb_s is not None
        and c.dense_rate
    ]
    near = [c for c in others if c.id.startswith(start)] or [
        c for c in others if c.id[: len(start) - 1] == start[:-1]
    ]
    return min(near, key=lambda c: c.id) if near else None


# --- models ----------------------------------------------------------------------------------------------------------

_NOISE = re.compile(
    r"^(instruct|chat|base|it|hf|fp8|fp4|nvfp4|mxfp4|int4|int8|awq|gptq|w8a8\w*|w4a8\w*|w4a16|w8a8c8|quarot|mtp|bf16|fp16"
    r"|dynamic|kv|exp|preview|thinking|code|training|pre|fine|tune|block|meta|amd|nvidia|openai|qwen|zhipuai|ai"
    r"|deepseek\.ai|static|pertensor|turbo|finetune|w|wo|tokendrop|dropless|inference|mfu|tp\d+|vllm|310|\d{4}|1t"
    r"|sc|a37b|a21b|a52b|w8a8sc|v0\.\d|smallest|model|weak|strong|scaling|hunyuan3|large3|next2|o|128e|16e|17b|99|99\.9)$"
)


@cache
def _aliases() -> dict[tuple[str, ...], str]:
    text = files("entrepot.performance").joinpath("data", "aliases.csv").read_text(encoding="utf-8")
    return {tuple(r["words"].split()): r["model"] for r in csv.DictReader(text.splitlines())}


@cache
def _extra() -> dict[str, Model]:
    """Models that measurements name and the catalogue does not hold."""
    text = files("entrepot.performance").joinpath("data", "shapes.csv").read_text(encoding="utf-8")
    out: dict[str, Model] = {}
    blank = catalogue.model("llama-3.1-8b")
    for r in csv.DictReader(text.splitlines()):
        number = {
            k: (int(v) if v else None)
            for k, v in r.items()
            if k not in {"model", "source", "tied_embeddings"}
        }
        moe = number["n_experts"] is not None
        out[r["model"]] = replace(
            blank,
            id=r["model"],
            name=r["model"],
            total_params_b=None,
            active_params_b=None,
            full_layers=number["layers"],
            first_dense_layers=(number["first_dense_layers"] or 0) if moe else None,
            attention="mla" if number["kv_lora_rank"] else blank.attention,
            attention_kind="mla" if number["kv_lora_rank"] else blank.attention_kind,
            tied_embeddings=r["tied_embeddings"] == "yes",
            native_dtype="bf16",
            source=r["source"],
            note="",
            **cast("dict[str, Any]", {k: v for k, v in number.items() if k != "first_dense_layers"}),
        )
    return out


@cache
def read_model(name: str) -> ModelReading | None:
    """Return the model that a row means; ``None`` where nothing in the name says how large it is."""
    readings = _readings(name)
    for words in readings:
        known = _known(words)
        if known is not None:
            return known
    for words in readings:
        base = _base(words)
        if base is not None:
            return base
    return _by_size(name)


_OTHER_SIZE = frozenset(
    {"lite", "mini", "tiny", "small", "nano", "air"}
)  # name a model of the family that is another


def _base(words: tuple[str, ...]) -> ModelReading | None:
    """Return the model that a fine-tune names: all of its words in their order, its size among them."""
    best: tuple[int, str] | None = None
    names = [(words_, target) for words_, target in _aliases().items()]
    names += [(tuple(re.findall(r"[a-z0-9.]+", id_)), id_) for id_ in (*catalogue.models(), *_extra())]
    for own, target in names:
        rest = iter(words)
        if not any(re.fullmatch(r"\d+(\.\d+)?b", w) for w in own) or not all(w in rest for w in own):
            continue
        others = [w for w in words if w not in own]
        if any(w in _OTHER_SIZE or re.fullmatch(r"\d+(\.\d+)?b|a\d+(\.\d+)?b", w) for w in others):
            continue
        if best is None or len(own) > best[0]:
            best = (len(own), target)
    if best is None:
        return None
    found = _reading(best[1], None)
    if found is None:
        return None
    return replace(
        found,
        assumed=(
            *found.assumed,
            f"model {' '.join(words)!r} read as {found.id}, which its name says it is built on",
        ),
    )


def _readings(name: str) -> list[tuple[str, ...]]:
    text = (
        name.lower().split("/")[-1]
        if name.count("/") == 1 and " " not in name and "V3/R1" not in name
        else name.lower()
    )
    outside = re.sub(r"\(.*?\)", " ", text)
    out = []
    for part in (text, outside):
        words = [w for w in re.findall(r"[a-z0-9.]+", part) if w]
        out += [tuple(words), tuple(w for w in words if not _NOISE.match(w))]
    return list(dict.fromkeys(out))


def _known(words: tuple[str, ...]) -> ModelReading | None:
    aliases = _aliases()
    if words in aliases:
        target = aliases[words]
        return _reading(target, " ".join(words))
    for id_ in (*catalogue.models(), *_extra()):
        own = tuple(re.findall(r"[a-z0-9.]+", id_))
        if own == words or tuple("".join(own)) == tuple("".join(words)):
            return _reading(id_, None)
        if (
            own[: len(words)] == words
            and len(own) - len(words) == 1
            and re.fullmatch(r"a\d+(\.\d+)?b|\d+b", own[-1])
        ):
            return _reading(id_, None)
    for length in range(len(words) - 1, 1, -1):  # a longer name that begins with one that is known
        if words[:length] in aliases and not _OTHER_SIZE & set(words[length:]):
            return _reading(aliases[words[:length]], " ".join(words))
    return None


def _reading(id_: str, asked: str | None) -> ModelReading | None:
    model = _extra().get(id_) or (catalogue.model(id_) if id_ in catalogue.models() else None)
    if model is None:
        return _by_size(id_)
    if missing_parts(model):
        stand_in = _stand_in(model)
        if stand_in is None:
            return None
        other, scale = stand_in
        return ModelReading(
            other, id_, scale, (f"shape of {id_} is incomplete: taken from {other.id} x {scale:.2f}",)
        )
    said = () if asked is None or asked.replace(" ", "-") == id_ else (f"model {asked!r} read as {id_}",)
    return ModelReading(model, id_, 1.0, said)


def _stand_in(model: Model) -> tuple[Model, float] | None:
    if model.total_params_b is None:
        return None
    active = float(model.active_params_b or model.total_params_b)
    return _nearest(float(model.total_params_b), active)


def _nearest(total: float, active: float) -> tuple[Model, float] | None:
    """Return the model of known shape that is nearest in total and active parameters, and the factor between them."""
    best: tuple[float, Model, float] | None = None
    for model in catalogue.models().values():
        if missing_parts(model) or model.total_params_b is None or model.active_params_b is None:
            continue
        t, a = float(model.total_params_b), float(model.active_params_b)
        distance = abs(math.log(t / total)) + 2 * abs(math.log((a / t) / (active / total)))
        if best is None or distance < best[0]:
            best = (distance, model, total / t)
    return None if best is None else (best[1], best[2])


def _by_size(name: str) -> ModelReading | None:
    text = name.lower()
    experts = re.search(r"(\d+)x(\d+(?:\.\d+)?)b", text)
    total = re.search(r"(?<![a-z\d.])(\d+(?:\.\d+)?)\s*(b|t)\b", text)
    active = re.search(r"a(\d+(?:\.\d+)?)b", text)
    if experts:
        size = float(experts.group(1)) * float(experts.group(2)) * 0.85
        part = float(experts.group(2)) * 1.8
    elif total:
        size = float(total.group(1)) * (1000 if total.group(2) == "t" else 1)
        part = float(active.group(1)) if active else size
    else:
        return None
    if active is None and not experts and (size >= 450 or re.search(r"\bmoe\b", text)):
        return None  # a mixture whose name does not say how much of it a token visits
    found = _nearest(size, min(part, size))
    if found is None:
        return None
    model, scale = found
    return ModelReading(
        model,
        f"size:{size:g}b",
        scale,
        (f"model {name!r} is not on record: shape of {model.id} x {scale:.2f}, by the size in its name",),
    )
