"""Does the fit find what is there, and do intervals hold what they say?"""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.errors import InputError
from entrepot.performance.accuracy.baseline import roofline_coefficients
from entrepot.performance.accuracy.judge import judge_rows, shipped_model
from entrepot.performance.accuracy.rows import read_rows, shipped_path
from entrepot.performance.calibration.fit import Observations, fit, predicted_log
from entrepot.performance.calibration.mixed import learn_effects
from entrepot.performance.calibration.own_runs import (
    Setup,
    learn_own,
    offsets_text,
    read_offsets,
    rows_of_runs,
)
from entrepot.performance.calibration.run import TAUGHT, Material, load, physics_log, predict, train
from entrepot.performance.coefficients import coefficients
from entrepot.performance.effects import TERMS, Rows, effects_of_text, text_of_effects
from entrepot.performance.effects import predict as ask_effects
from entrepot.performance.efficiency import provenance
from entrepot.performance.intervals import conformal, regime
from entrepot.performance.offsets import METRICS, Key, calibrated, paces
from entrepot.performance.points import answers

DATA = files("entrepot.performance").joinpath("data")


@pytest.fixture(scope="module")
def material() -> Material:
    """Return every third serving row of the shipped measurements."""
    rows = [
        r
        for r in read_rows(shipped_path())
        if not r.metric.startswith(("kernel", "train")) and r.regime != "training"
    ]
    return load(rows[::3])


def test_the_fit_finds_coefficients_that_made_the_values(material: Material) -> None:
    """Values made by a known change of coefficients: the fit must come back with that change."""
    start = coefficients(fitted=False)
    changes = {("architecture", "*", "layer_us"): 1.7, ("engine", "trtllm", "interference"): 0.6}
    taught = np.array(
        [i for i, c in enumerate(material.asked.conditions) if c.harness in TAUGHT - {"load", "rate"}]
    )
    blank = Observations(
        material.asked.point_of_row[taught],
        material.kind[taught],
        np.zeros(len(taught)),
        np.ones(len(taught)),
    )
    made = predicted_log(material.points, blank, start.scaled(changes))
    seen = Observations(blank.point, blank.kind, made, blank.weight)
    found = fit(material.points, seen, start, rounds=12, strength=0.05)
    assert float(np.median(np.abs(found.residuals))) < 0.01
    layer = found.coefficients.arch["layer_us"][0] / start.arch["layer_us"][0]
    assert layer == pytest.approx(1.7, rel=0.1)


def test_a_chip_left_out_is_answered_better_than_by_a_roofline(material: Material) -> None:
    """Fitted cold, from the starting values, without a row of the H100: the figure that a buyer of a new chip needs."""
    held = np.array([c.chip_id == "nvidia-h100-sxm5-80gb" for c in material.asked.conditions])
    use = np.array([flag == "" for flag in material.flag])
    model = train(material, use & ~held, rounds=4)
    assert not any("nvidia-h100-sxm5-80gb" in k for table in model.effects.values.values() for k in table)
    plain = physics_log(material, answers(material.points, roofline_coefficients()))
    rows = held & use
    ours = np.abs(np.expm1((predict(material, model).log - material.log_value)[rows]))
    theirs = np.abs(np.expm1((plain - material.log_value)[rows]))
    assert rows.sum() > 100
    assert float(np.nanmedian(ours)) < 0.7 * float(np.nanmedian(theirs))


def key(chip: str, model: str) -> Key:
    """Return a key of a closed loop."""
    return Key("closed", "Hopper", chip, "vllm", "0.10", model, "fp8", "1/1", "tp1")


def rows_of(keys: list[Key], metric: str = "tpot_s") -> Rows:
    """Return rows whose slopes are drawn at random."""
    random = np.random.default_rng(3)
    slopes = {
        s: np.ones(len(keys)) if s == "1" else random.uniform(-1, 1, len(keys))
        for t in TERMS
        for s in t.slopes
    }
    return Rows.of(keys, [metric] * len(keys), slopes)


def test_effects_shrink_and_fall_back() -> None:
    """One row teaches little, many teach nearly all, an unknown key is answered less surely."""
    known = key("a", "m")
    few, many = (
        learn_effects(rows_of([known] * n), np.full(n, 0.5), np.ones(n, dtype=bool), rounds=1)
        for n in (1, 200)
    )
    said = [ask_effects(e, rows_of([known])).mean[0] for e in (few, many)]
    assert 0 < said[0] < said[1] < 0.5
    assert said[1] > 0.45
    unknown = ask_effects(many, rows_of([key("b", "n")]))
    assert 0 < unknown.mean[0] < said[1]
    assert unknown.variance[0] > ask_effects(many, rows_of([known])).variance[0]


def test_effects_are_the_best_linear_prediction() -> None:
    """Grouped elimination against one dense matrix of the whole: mean = K (K + noise)^-1 y, at the starting variances."""
    random = np.random.default_rng(5)
    keys = [key(c, m) for c in "abc" for m in "mnop" for _ in range(12)]
    rows, y = rows_of(keys), random.normal(0, 0.3, len(keys))
    found = learn_effects(rows, y, np.ones(len(keys), dtype=bool), rounds=1)
    whole = np.zeros((len(keys), len(keys)))
    for term in TERMS:
        if term.channel == "pace":
            group, _ = rows.groups(term.fields)
            x = np.stack([rows.slopes[s] for s in term.slopes], axis=1)
            whole += (group[:, None] == group) * ((x * found.prior[term.name, "pace"]) @ x.T)
    dense = whole @ np.linalg.solve(whole + found.noise["tpot_s"] * np.eye(len(keys)), y)
    np.testing.assert_allclose(ask_effects(found, rows).mean, dense, atol=1e-9)


def test_variances_come_from_the_rows() -> None:
    """Models differ by 0.3, chips not at all: the fit finds which, and the noise."""
    random = np.random.default_rng(7)
    models = [f"m{k}" for k in range(30)]
    own = dict(zip(models, random.normal(0, 0.3, len(models)), strict=True))
    keys = [key(c, m) for c in ("a", "b", "c", "d") for m in models for _ in range(6)]
    y = np.array([own[k.model] for k in keys]) + random.normal(0, 0.05, len(keys))
    found = learn_effects(rows_of(keys), y, np.ones(len(keys), dtype=bool), rounds=25)

    def deviation(*levels: str) -> float:
        return float(np.sqrt(sum(float(found.prior[name, "pace"][0]) for name in levels)))

    assert 0.2 < deviation("model", "weights", "served", "edition") < 0.4
    assert deviation("chip", "silicon", "cell", "release") < 0.05
    assert found.noise["tpot_s"] ** 0.5 == pytest.approx(0.05, rel=0.25)


def test_a_file_of_effects_says_what_was_learned() -> None:
    """Written and read again, it predicts the same."""
    keys = [key(c, m) for c in "ab" for m in "mn" for _ in range(15)]
    rows, y = rows_of(keys), np.random.default_rng(9).normal(0, 0.3, len(keys))
    found = learn_effects(rows, y, np.ones(len(keys), dtype=bool))
    again = effects_of_text(text_of_effects(found))
    for name in ("mean", "variance"):
        one, two = (getattr(ask_effects(e, rows), name) for e in (found, again))
        np.testing.assert_allclose(one, two, atol=2e-3)


def test_a_regime_says_how_much_was_measured() -> None:
    """Wide where we know little."""
    table = learn_effects(rows_of([key("a", "m"), key("b", "n")]), np.zeros(2), np.ones(2, dtype=bool))
    assert regime(table, key("a", "m")) == "known cell"
    assert regime(table, key("a", "n")) == "new cell"
    assert regime(table, key("c", "m")) == "chip unseen"
    assert regime(table, key("a", "q")) == "model unseen"
    assert regime(table, key("c", "q")) == "both unseen"


@given(st.integers(0, 2**32 - 1), st.integers(60, 400))
@settings(max_examples=25, deadline=None)
def test_conformal_factors_cover_what_they_say(seed: int, n: int) -> None:
    """Exchangeable residuals, heavy tails: nine of ten new ones lie inside, on the average of many draws."""
    random = np.random.default_rng(seed)
    inside = [
        float(np.mean(np.abs(random.standard_t(3, 300)) <= np.log(conformal(random.standard_t(3, n)))))
        for _ in range(40)
    ]
    assert 0.875 <= float(np.mean(inside)) <= 0.93


def test_fitted_numbers_carry_their_provenance_and_stay_physical() -> None:
    """No hidden constant: every value says what it was fitted to, and no share of the datasheet passes 1."""
    fitted = [p for p in provenance() if p.kind == "fitted"]
    assert len(fitted) > 80
    assert all("fit of" in p.source and "started from" in p.source for p in fitted)
    shares = [p for p in fitted if p.table.startswith("architecture") and p.name not in {"layer_us", "law_c"}]
    assert all(0 < p.value <= 1 for p in shares)


def lines(name: str) -> list[dict[str, str]]:
    """Return a data file's rows."""
    return list(csv.DictReader(DATA.joinpath(name).read_text(encoding="utf-8").splitlines()))


def test_what_was_left_out_was_answered_better_than_by_a_roofline() -> None:
    """The record of the last fit: every kind of holding out, every metric, all rows answered."""
    clean = [r for r in lines("heldout.csv") if r["slice"] == "all" and r["value"] == "clean rows"]
    assert {r["left_out"] for r in clean} >= {"curve", "chip", "model"}
    for r in clean:
        assert float(r["answered_pct"]) == 100.0
        assert float(r["median_pct"]) < float(r["roofline_median_pct"])


def test_nested_coverage_is_near_nominal_where_there_are_rows() -> None:
    """Neither fit nor width has seen the rows that are counted."""
    nested = [r for r in lines("heldout.csv") if r["left_out"] == "nested" and float(r["rows"]) > 300]
    assert len(nested) >= 9
    assert all(86.0 <= float(r["interval_coverage_pct"]) <= 93.0 for r in nested)


def test_intervals_widen_as_less_is_known() -> None:
    """A chip that nobody measured is never known better than one that was."""
    factor = {
        (r["regime"], r["metric"]): float(r["factor"])
        for r in lines("intervals.csv")
        if r["harness"] == "any"
    }
    for metric in METRICS:
        assert (
            factor["known cell", metric]
            < factor["chip unseen", metric]
            <= factor["both unseen", metric] * 1.5
        )
        assert factor["known cell", metric] < factor["model unseen", metric]


VLLM = {
    "date": "20260301-101010",
    "model_id": "Qwen/Qwen3-32B-FP8",
    "request_rate": "inf",
    "max_concurrency": 32,
    "completed": 100,
    "total_input_tokens": 102400,
    "total_output_tokens": 51200,
    "mean_ttft_ms": 800.0,
    "mean_tpot_ms": 30.0,
    "output_throughput": 980.0,
}
SGLANG = {**VLLM, "request_rate": 2.0, "max_concurrency": None, "mean_itl_ms": 31.0}
GUIDELLM = {
    "benchmarks": [
        {
            "metrics": {
                name: {"successful": {"mean": value}}
                for name, value in {
                    "time_to_first_token_ms": 700.0,
                    "inter_token_latency_ms": 28.0,
                    "output_tokens_per_second": 1000.0,
                    "prompt_token_count": 1024.0,
                    "output_token_count": 512.0,
                    "request_concurrency": 31.5,
                }.items()
            }
        }
    ]
}
OURS = Setup("nvidia-h20-sxm-96gb", 2, "qwen3-32b", "vllm", "fp8", "TP2")


@pytest.mark.parametrize(
    ("name", "text", "load_"),
    [
        ("vllm.json", json.dumps(VLLM), "32"),
        ("sglang.jsonl", json.dumps(SGLANG) + "\n" + json.dumps(SGLANG) + "\n", "2 req/s"),
        ("guidellm.json", json.dumps(GUIDELLM), "31.5"),
    ],
)
def test_benchmark_files_become_rows(tmp_path: Path, name: str, text: str, load_: str) -> None:
    """Three tools, one definition of each metric."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    rows = rows_of_runs(file, OURS)
    assert {r.metric for r in rows} == {"ttft_ms", "tpot_ms", "output_tokens_per_s_total"}
    assert {(r.isl, r.osl, r.concurrency_or_batch) for r in rows} == {("1024", "512", load_)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "this run states no 'completed'"),
        ('{"completed": 1}\nnot json\n', "runs.jsonl:2: is not JSON"),
    ],
)
def test_a_slip_in_a_benchmark_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    """One clear error, with its place."""
    file = tmp_path / "runs.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        rows_of_runs(file, OURS)
    assert told in str(caught.value)


def test_own_runs_bring_the_estimate_to_them(tmp_path: Path) -> None:
    """An engine twice as slow as the published ones: its cell moves most of the way, other cells not at all."""
    shipped_ = shipped_model()
    plain = [
        r
        for r in read_rows(shipped_path())
        if r.accelerator == "H20-SXM-96GB" and r.metric == "total_tokens_per_s"
    ]
    made = [replace(r, value=j.predicted / 2) for r, j in zip(plain[:6], judge_rows(plain[:6]), strict=True)]
    own, told = learn_own(made, shipped_)
    assert all(
        abs(float(str(t["error_after_pct"]))) < abs(float(str(t["error_before_pct"]))) / 2 for t in told
    )
    file = tmp_path / "own.csv"
    file.write_text(offsets_text(own), encoding="utf-8")
    assert read_offsets(file).keys() == own.keys()
    model = made[0].model.lower()
    key_ = next(k for _, k, _ in own).split("|")
    args = (key_[1], "Hopper", model, "sglang", [key_[4]])
    with calibrated(read_offsets(file)):
        slower, _ = paces(*args)
        other, _ = paces("nvidia-h200-sxm-141gb", "Hopper", model, "sglang", [key_[4]])
    before, _ = paces(*args)
    assert float(slower[0, 0]) > 1.2 * float(before[0, 0])
    assert float(other[0, 0]) == float(
        paces("nvidia-h200-sxm-141gb", "Hopper", model, "sglang", [key_[4]])[0][0, 0]
    )


def test_a_calibration_file_that_is_none_is_refused(tmp_path: Path) -> None:
    """Whoever edits it by hand learns where."""
    file = tmp_path / "own.csv"
    file.write_text("level,key,metric,log_offset,rows\ncell,a,tpot_s,much,1\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"own\.csv:2"):
        read_offsets(file)
