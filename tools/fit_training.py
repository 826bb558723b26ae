"""Place the constants of training on published rows, and say how far off rows are that a fit has not seen.

    python tools/fit_training.py tests/performance/training.csv [--write]

Least squares on logarithms of tokens per second and device, soft-L1, weakly pulled to where the constants begin. Then all of it
again without each model, each chip, each source (a framework, a release of Megatron-Bridge, a series of sizes), and without each fifth
of the rows: what was left out is what errors and interval factors are of. ``--write`` puts the constants and the factors into
``data/training.toml`` and the chips and models into ``data/training_known.toml``.
"""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from entrepot.catalogue.records import NumberFormat
from entrepot.performance.training import model_operations
from entrepot.performance.training_columns import TrainingColumns, stacked
from entrepot.performance.training_constants import TrainingConstants, constants
from entrepot.performance.training_rows import Conditions, conditions, published_rate
from entrepot.performance.training_step import times

DATA = Path(__file__).parents[1] / "src" / "entrepot" / "performance" / "data"
# Where the fit begins and is weakly pulled to, the scale of the pull in logarithms, and what the constant is.
BEGIN: dict[str, tuple[float, float, str]] = {
    "dense_share": (1.0, 0.1, "dense products against what kernels reach"),
    "share_8": (1.1, 0.1, "8-bit products against what kernels reach, beside dense_share"),
    "share_4": (1.1, 0.1, "4-bit products against what kernels reach, beside dense_share"),
    "expert_share": (0.8, 0.15, "grouped products against dense ones, wide experts"),
    "narrow": (300.0, 0.7, "width of an expert at which grouped products reach half of that"),
    "attention_share": (0.7, 0.15, "fused attention against what dense 16-bit kernels reach, Megatron"),
    "attention_fsdp": (0.7, 0.2, "the same, PyTorch FSDP stacks (FlashAttention-2)"),
    "mma_share": (0.6, 0.3, "attention kernels written for Ampere, on Hopper and later"),
    "head_half": (48.0, 0.5, "width of a head at which fused attention reaches half of what wide heads do"),
    "elementwise_bytes": (12.0, 0.3, "bytes moved per element between products, three passes, Megatron"),
    "elementwise_fsdp_bytes": (16.0, 0.3, "the same, PyTorch FSDP stacks"),
    "cast_tensor_bytes": (4.0, 0.7, "bytes moved per element of a product for FP8 with a scale per tensor"),
    "cast_block_bytes": (6.0, 0.7, "the same for MXFP8"),
    "cast_4_bytes": (8.0, 0.7, "the same for NVFP4"),
    "moe_bytes": (
        50.0,
        0.5,
        "bytes moved, or time as long, per element between products of experts, at the start of 2026",
    ),
    "moe_cast_bytes": (
        20.0,
        0.4,
        "more per such element where experts compute in 8 or 4 bits, at the start of 2026",
    ),
    "carry_bytes": (8.0, 0.3, "bytes moved per element carried to experts and back, at the start of 2026"),
    "launch_us": (60.0, 0.4, "launches of one branch and microbatch, three passes, Megatron"),
    "launch_fsdp_us": (150.0, 0.4, "the same, PyTorch FSDP stacks"),
    "moe_launch_us": (200.0, 0.4, "launches of one layer of experts and microbatch, at the start of 2026"),
    "wait_us": (
        500.0,
        0.7,
        "waits of the host for token counts, one layer of experts and microbatch, dropless, start of 2026",
    ),
    "wait_drift": (2.0, 0.5, "by how much these waits fall in a year, logarithm"),
    "fused_share": (
        0.7,
        0.3,
        "what is left of what experts pay beside arithmetic where they are fused (MXFP8 from release 26.06)",
    ),
    "exposed": (0.25, 0.5, "share of TP, CP and DP communication that does not hide"),
    "all_to_all_exposed": (0.5, 0.5, "share of the all-to-alls that does not hide, at the start of 2026"),
    "moe_drift": (0.3, 0.7, "by how much what experts pay beside arithmetic falls in a year, logarithm"),
    "drift": (0.1, 0.7, "the same of launches outside the experts"),
}
FREE = tuple(BEGIN)
CAPPED = {"exposed": 1.0, "all_to_all_exposed": 1.0, "fused_share": 1.0, "attention_share": 0.85}
PULL = 0.06  # weight of the pull beside one row, over the scale


@dataclass(frozen=True)
class Data:
    """Rows that can be read: their columns, measured rate, and keys to leave out by."""

    rows: list[dict[str, str]]
    at: list[Conditions]
    columns: TrainingColumns
    tokens: np.ndarray  # of one step, per device
    measured: np.ndarray

    def part(self, keep: np.ndarray) -> tuple[TrainingColumns, np.ndarray, np.ndarray]:
        """Return columns, tokens and rates of some rows."""
        cut = TrainingColumns(
            **{f.name: np.asarray(getattr(self.columns, f.name))[keep] for f in fields(TrainingColumns)}
        )
        return cut, self.tokens[keep], self.measured[keep]


def measured(row: dict[str, str], at: Conditions) -> float:
    """Return tokens per second and device: as stated, else from the model's own operations."""
    rate = published_rate(row)
    if rate is not None:
        return rate
    value = float(row["value"])
    if row["metric"] == "train_mfu":
        peak = at.on.rate_16 if at.run.format is NumberFormat.BF16 else at.on.rates[at.run.format]
        value = (value / 100 if value > 1 else value) * peak / 1e12
    return value * 1e12 / model_operations(at.of, at.run.sequence, at.run.method)


def read(path: Path) -> Data:
    """Return every row that can be read."""
    with path.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    pairs = [(row, at) for row in rows if not isinstance(at := conditions(row), str)]
    at_ = [at for _, at in pairs]
    return Data(
        [row for row, _ in pairs],
        at_,
        stacked([(at.on, at.of, at.run, at.layout) for at in at_]),
        np.array([at.run.batch * at.run.sequence / at.layout.devices for at in at_]),
        np.array([measured(row, at) for row, at in pairs]),
    )


def using(x: np.ndarray) -> TrainingConstants:
    """Return the constants at a point of the fit; all are positive."""
    values = dict(zip(FREE, np.exp(x), strict=True))
    for name, most in CAPPED.items():
        values[name] = min(values[name], most)
    return replace(constants(), **values)


def errors(part: tuple[TrainingColumns, np.ndarray, np.ndarray], k: TrainingConstants) -> np.ndarray:
    """Return log(predicted / measured) of each row."""
    at, tokens, rates = part
    return np.asarray(np.log(tokens / times(at, k).step / rates))


def fit(data: Data, keep: np.ndarray) -> TrainingConstants:
    """Place the constants on some rows."""
    begin = np.log([v for v, _, _ in BEGIN.values()])
    scale = np.array([s for _, s, _ in BEGIN.values()])
    part = data.part(keep)

    def residuals(x: np.ndarray) -> np.ndarray:
        return np.concatenate([errors(part, using(x)), PULL * (x - begin) / scale])

    return using(least_squares(residuals, begin, loss="soft_l1", f_scale=0.12).x)


def model_of(at: Conditions) -> str:
    """Return the model; sizes of one series of plain GPTs are one model, as they differ by width alone."""
    return "mpt" if at.of.id.startswith("mpt") else at.of.id


def source_of(row: dict[str, str]) -> str:
    """Return the framework, and of Megatron-Bridge the release."""
    first = re.sub(r"[\d-]+$", "", row["id"])
    return row["engine"] if first in {"mbridge", "CN"} else first


def left_out(data: Data, keys: list[str]) -> np.ndarray:
    """Return log(predicted / measured) of each row from constants placed without the rows of its key."""
    out = np.zeros(len(keys))
    which = np.array(keys)
    for key in sorted(set(keys)):
        out[which == key] = errors(data.part(which == key), fit(data, which != key))
    return out


def describe(e: np.ndarray) -> str:
    """Return count, median error, bias, P90 as text."""
    if not len(e):
        return "-"
    return (
        f"{len(e):4d} rows, median {np.median(np.abs(np.expm1(e))):6.1%}, bias {np.expm1(np.median(e)):+6.1%}, "
        f"P90 x/÷ {np.exp(np.quantile(np.abs(e), 0.9)):.2f}"
    )


def slices(data: Data) -> dict[str, np.ndarray]:
    """Return masks of what is reported apart."""
    moe = np.array([at.of.moe_layers > 0 for at in data.at])
    bits = np.array([at.run.format.bits for at in data.at])
    lora = np.array([at.run.method == "lora" for at in data.at])
    hybrid = np.array(["nemotron" in at.of.id for at in data.at])
    return {
        "all": np.ones(len(moe), dtype=bool),
        "dense, 16 bits": ~moe & (bits == 16),
        "dense, FP8 and MXFP8": ~moe & (bits == 8),
        "FP8 and MXFP8, all": bits == 8,
        "NVFP4": bits == 4,
        "mixtures of experts": moe,
        "state-space hybrids": hybrid,
        "LoRA": lora,
    }


def conformal(e: np.ndarray) -> float:
    """Return the factor that 90 % of what was left out lies within (split conformal: one row more)."""
    share = min(0.9 * (len(e) + 1) / len(e), 1.0)
    return float(np.exp(np.quantile(np.abs(e), share, method="higher")))


def coverage(e: np.ndarray, keys: list[str]) -> float:
    """Return how many rows lie inside a factor that was taken from the other keys' rows alone."""
    which = np.array(keys)
    inside = [np.abs(e[which == key]) <= np.log(conformal(e[which != key])) for key in sorted(set(keys))]
    return float(np.concatenate(inside).mean())


def write(found: TrainingConstants, factors: dict[str, tuple[float, float]], data: Data) -> None:
    """Write the data files."""
    source = (
        f"python tools/fit_training.py: fit of {len(data.rows)} published rows (llm-foundry@8c8dd48; Megatron-Bridge @067f987, releases "
        "25.09 to 26.08; Megatron-LM; FlagScale; InternEvo); left out by model, chip and source in docs/performance-serving.md"
    )
    path = DATA / "training.toml"
    memory = path.read_text(encoding="utf-8").split("[memory]", maxsplit=1)[1]
    lines = [
        "# What a training step reaches, beyond what kernels reach. Same form as efficiency.toml. The numbers of [training] and",
        "# [interval] are placed by `python tools/fit_training.py tests/performance/training.csv --write`.",
        "",
        "[training]",
    ]
    for name, (start, _, why) in BEGIN.items():
        lines.append(
            f'{name} = {{ value = {getattr(found, name):.3g}, kind = "fitted", source = "{why}; started from {start:g}; {source}" }}'
        )
    lines += ["", "[interval]"]
    for name, (factor, held) in factors.items():
        lines.append(
            f'{name} = {{ value = {factor:.3g}, kind = "measured", source = "split conformal, 90 %, of what was left out; factors '
            f'from the other keys hold {held:.1%}; python tools/fit_training.py" }}'
        )
    path.write_text("\n".join(lines) + "\n\n[memory]" + memory, encoding="utf-8")
    chips = sorted({at.on.id for at in data.at})
    models = sorted({at.of.id for at in data.at})
    (DATA / "training_known.toml").write_text(
        "# Chips and models that the constants of training were placed on; written by tools/fit_training.py.\n"
        f"chips = {chips}\nmodels = {models}\n".replace("'", '"'),
        encoding="utf-8",
    )


def main() -> int:
    """Fit, leave out, print."""
    data = read(Path(sys.argv[1]))
    everything = np.ones(len(data.rows), dtype=bool)
    found = fit(data, everything)
    for name in FREE:
        print(f"{name} = {getattr(found, name):.3g}")
    rng = np.random.default_rng(7)
    groups = {
        "a fifth": [str(i) for i in rng.integers(0, 5, len(data.rows))],
        "a model": [model_of(at) for at in data.at],
        "a chip": [at.on.id for at in data.at],
        "a source": [source_of(row) for row in data.rows],
    }
    masks = slices(data)
    fitted = errors(data.part(everything), found)
    held = {name: left_out(data, keys) for name, keys in groups.items()}
    for title, e in {"fitted on": fitted, **held}.items():
        print(f"\n{title} left out" if title in groups else f"\n{title}")
        for name, mask in masks.items():
            print(f"  {name:22s} {describe(e[mask])}")
    names = {"spread": "a fifth", "spread_model": "a model", "spread_chip": "a chip"}
    factors = {
        name: (conformal(held[group]), coverage(held[group], groups[group])) for name, group in names.items()
    }
    print()
    for name, (factor, inside) in factors.items():
        print(f"{name} = {factor:.3g}, held by factors from the other keys {inside:.1%}")
    if "--write" in sys.argv:
        write(found, factors, data)
    if "--rows" in sys.argv:
        for i in np.argsort(-np.abs(held["a model"])):
            row, at = data.rows[i], data.at[i]
            print(
                f"{np.exp(held['a model'][i]):.2f} {np.exp(fitted[i]):.2f} {row['id']} {row['date']} {at.on.id} {at.of.id} "
                f"{row['weight_dtype']} {at.layout} {at.run.sequence} {at.reading}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
