"""Are published rows read as they mean, answered from their conditions alone, and judged by plain arithmetic?"""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from entrepot import catalogue
from entrepot.catalogue.records import Accelerator, NumberFormat
from entrepot.catalogue.shape import parameters
from entrepot.errors import InputError
from entrepot.performance import Layout, Slo, Workload, operating_point
from entrepot.performance.accuracy.conditions import Unanswered, read_conditions
from entrepot.performance.accuracy.judge import judge_rows
from entrepot.performance.accuracy.names import read_chip, read_model
from entrepot.performance.accuracy.report import judge, reasons, slices
from entrepot.performance.accuracy.rows import HEADER, METRICS, Row, read_rows, shipped_path
from entrepot.performance.points import Point, answers, points

ROWS = read_rows(shipped_path())
JUDGED = judge_rows(ROWS)


def row(**cells: str) -> Row:
    """Return a row with some cells set; the others are those of a plain closed-loop run."""
    plain = {
        "id": "x",
        "accelerator": "H100-SXM-80GB",
        "n_accelerators": "2",
        "model": "Llama-3.1-70B",
        "weight_dtype": "fp8",
        "kv_dtype": "",
        "engine": "vllm 0.10.0",
        "parallelism": "TP2",
        "isl": "1024",
        "osl": "1024",
        "concurrency_or_batch": "16",
        "metric": "tpot_ms",
        "regime": "latency",
        "source": "invented",
        "date": "2025-10",
        "notes": "",
    }
    return Row(line=2, value=20.0, **{**plain, **cells})


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("H20-SXM-unspecified-memory", "nvidia-h20-sxm-96gb"),
        ("H20-SXM-141GB", "nvidia-h20-sxm-141gb"),
        ("H200-SXM-141GB-CTS(1000W)", "nvidia-h200-sxm-141gb"),
        ("H200-NVL", "nvidia-h200-nvl-141gb"),
        ("GH200-96GB", "nvidia-gh200-96gb"),
        ("Ascend-910B (Atlas 800 A2)", "huawei-ascend-910b3"),
        ("Ascend-910C (CloudMatrix384)", "huawei-ascend-910c"),
        ("MI355X", "amd-mi355x-288gb"),
        ("MI325X-256GB", "amd-mi325x-256gb"),
        ("L40S", "nvidia-l40s-48gb"),
        ("RTX4090-24GB", "nvidia-rtx-4090-24gb"),
        ("A100-PCIe-80GB", "nvidia-a100-pcie-80gb"),
    ],
)
def test_a_chip_is_found_as_sources_write_it(name: str, chip: str) -> None:
    """H20 is not H200, and the 141 GB part is not the 96 GB part."""
    found = read_chip(name)
    assert found is not None
    assert found.accelerator.id == chip


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Qwen3-32B-W8A8-QuaRot", "qwen3-32b"),
        ("DeepSeek-R1-0528-W8A8", "deepseek-r1"),
        ("Llama-4-Maverick-17B-128E-Instruct", "llama-4-maverick"),
        ("Kimi-K2-Thinking 1T", "kimi-k2"),
        ("LLAMA3_70B", "llama-3.1-70b"),
        ("Llama-2-70B-chat", "llama-2-70b"),
        ("qwen/Qwen3-235B-A22B-FP8", "qwen3-235b-a22b"),
    ],
)
def test_a_model_is_found_under_formats_and_editions(name: str, model: str) -> None:
    """A quantised edition has the shape of the model it was made from."""
    found = read_model(name)
    assert found is not None
    assert found.id == model


def test_a_model_on_no_record_is_sized_by_its_name_and_says_so() -> None:
    """Nobody's 90B model is answered, with a stand-in named; a name without a size is not."""
    found = read_model("Nobody-90B-A9B")
    assert found is not None
    assert "not on record" in found.assumed[0]
    assert read_model("Nobody-Large") is None


def test_every_row_is_answered_or_refused_with_a_reason() -> None:
    """A row must never vanish: coverage counts it."""
    assert len(JUDGED) == len(ROWS)
    assert all(j.answered or j.reason for j in JUDGED)
    serving = [j for j in JUDGED if j.kind not in {"kernel", "training"}]
    assert sum(j.answered for j in serving) >= 0.95 * len(serving)
    counted = sum(int(str(r["rows"])) for r in reasons(JUDGED))
    assert counted == sum(not j.answered for j in JUDGED)


def test_no_answer_depends_on_a_value() -> None:
    """Accuracy is worth nothing if the answer has seen the result: other values, same answers."""
    kept = ROWS[::29]
    changed = [replace(r, value=r.value * (2.0 + k % 7)) for k, r in enumerate(kept)]
    first, second = judge_rows(kept), judge_rows(changed)
    for a, b in zip(first, second, strict=True):
        if a.row.metric != "train_mfu":  # a share or percent: told by the size of the value alone
            assert (a.predicted, a.low, a.high) == pytest.approx((b.predicted, b.low, b.high), nan_ok=True)


CELL = st.text(max_size=24) | st.sampled_from(
    ["TP8 EP8", "100/GPU", "16 req/s", "max (inflight batching)", "1e9", "-3", "0"]
)


@given(
    st.fixed_dictionaries({}, optional={n: CELL for n in HEADER if n not in {"metric", "value", "id"}}),
    st.sampled_from(sorted(METRICS)),
)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_row_crashes(cells: dict[str, str], metric: str) -> None:
    """Other people's files hold anything."""
    (found,) = judge_rows([row(**cells, metric=metric)])
    assert found.answered or found.reason
    if found.answered:
        assert 0 < found.low <= found.predicted <= found.high


def test_blanks_are_read_aloud() -> None:
    """What was assumed stands beside the answer."""
    read = read_conditions(row(concurrency_or_batch="", parallelism="", weight_dtype=""))
    assert not isinstance(read, Unanswered)
    assert {"concurrency not stated: 1", "layout not stated: TP2"} <= set(read.assumed)
    assert any("published format" in text for text in read.assumed)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["a,b"], "the header lacks accelerator, model, metric, value"),
        (
            ["accelerator,model,metric,value", "H100,Llama-3.1-8B,tpot_ms,fast"],
            ":2: value: 'fast' is not a number",
        ),
        (
            ["accelerator,model,metric,value", "H100,Llama-3.1-8B,tpot_ms,-1"],
            ":2: value: -1 cannot be measured",
        ),
        (["accelerator,model,metric,value", "", "H100,Llama-3.1-8B,tpot_ms"], ":3: 3 cells under 4 columns"),
        (["accelerator,model,metric,value", ",Llama-3.1-8B,tpot_ms,3"], ":2: accelerator: is blank"),
    ],
)
def test_a_slip_is_named_by_line_and_field(tmp_path: Path, lines: list[str], told: str) -> None:
    """One clear error, and where to mend it."""
    file = tmp_path / "runs.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_rows(file)
    assert told in str(caught.value)


def test_an_unknown_metric_is_counted_not_fatal(tmp_path: Path) -> None:
    """A file may hold columns of other people's figures."""
    file = tmp_path / "runs.csv"
    with file.open("w", encoding="utf-8", newline="") as lines:
        out = csv.writer(lines)
        out.writerow(["accelerator", "model", "metric", "value"])
        out.writerow(["H100-SXM-80GB", "Llama-3.1-8B", "e2e_ms", "3"])
    (found,) = judge_rows(read_rows(file))
    assert not found.answered
    assert "e2e_ms" in found.reason


def test_errors_are_plain_arithmetic() -> None:
    """Mean and median of the size, the median with its sign, the 90th percentile."""
    assert judge([0.1, -0.2, 0.3]) == {
        "mean_pct": 20.0,
        "median_pct": 20.0,
        "bias_pct": 10.0,
        "p90_pct": 28.0,
    }
    assert judge([]) == {"mean_pct": None, "median_pct": None, "bias_pct": None, "p90_pct": None}


def test_slices_count_every_row_once() -> None:
    """The rows of a slice sum to the rows of the file."""
    for name in ("all", "chip", "source"):
        assert sum(int(str(s["rows"])) for s in slices(JUDGED, [name])) == len(ROWS)


SHAPES = [
    ("qwen3-32b", NumberFormat.BF16, 4, 1, 1),
    ("deepseek-r1", NumberFormat.FP8, 1, 8, 8),
    ("gpt-oss-120b", NumberFormat.FP4, 1, 1, 1),
]


@pytest.mark.parametrize(("model", "fmt", "tp", "dp", "ep"), SHAPES)
def test_points_and_search_share_one_physics(
    model: str, fmt: NumberFormat, tp: int, dp: int, ep: int
) -> None:
    """A second copy of the formulas would drift; the table of points gives what one stated layout gives."""
    h200, shape = catalogue.accelerator("nvidia-h200-sxm-141gb"), catalogue.model(model)
    one = np.array([1.0])
    work = Workload("w", model, one * 2000, one * 500, one, Slo(None, None))
    stated = operating_point(work, h200, shape, Layout(fmt, 16, tp, dp, ep, 32), engine="sglang")
    found = answers(points([Point(h200, shape, fmt, 16, "sglang", tp, dp, ep, 1, 2000, 500, 32)]))
    assert float(found.tpot_s[0]) * 1e3 == pytest.approx(stated.tpot_ms, rel=1e-9)
    assert float(found.ttft_s[0]) * 1e3 == pytest.approx(stated.ttft_ms, rel=1e-9)


CHIPS = [c for c in catalogue.accelerators().values() if (r := read_chip(c.id)) is not None and not r.assumed]


@given(
    st.sampled_from(CHIPS),
    st.sampled_from(["llama-3.1-70b", "qwen3-30b-a3b", "deepseek-v3.2", "qwen3.5-397b-a17b", "gpt-oss-120b"]),
    st.sampled_from([1, 2, 8]),
    st.floats(1, 30_000),
    st.floats(2, 9_000),
    st.floats(1, 2_000),
    st.sampled_from(["vllm", "trtllm", "sglang"]),
)
@settings(max_examples=100, deadline=None)
def test_no_point_beats_its_chip(
    chip: Accelerator, model: str, tp: int, isl: float, osl: float, batch: float, engine: str
) -> None:
    """Peak arithmetic and the weight-read floor bound every answer, whatever was fitted."""
    shape = catalogue.model(model)
    stated = Point(chip, shape, NumberFormat.BF16, 16, engine, tp, 1, 1, 1, isl, osl, batch)
    found = answers(points([stated]))
    built = parameters(shape)
    assert built is not None
    devices = float(tp)
    peak = max(float(rate) for fmt, rate in chip.dense_rate.items() if fmt.bits <= 16) * 1e12 * devices
    body = built.active - built.embedding - built.head
    assert found.output_per_s[0] * 2 * body * (1 + isl / osl) <= peak * (1 + 1e-9)
    narrow = 0.5 if "fp4" in (shape.native_dtype or "") else 2.0
    read = (built.attention + built.dense_mlp + built.shared_experts) * narrow / devices
    assert found.tpot_s[0] >= read / (float(chip.memory_bw_gb_s or 0) * 1e9)
    more = answers(points([replace(stated, concurrency=batch * 2)]))
    if more.batch[0] > found.batch[0]:
        assert more.tpot_s[0] >= found.tpot_s[0] * (1 - 1e-9)
