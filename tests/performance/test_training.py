"""Does a training step keep the laws of arithmetic and memory, and does it agree with what others published?"""

from __future__ import annotations

import csv
import itertools
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot import catalogue
from entrepot.catalogue.records import NumberFormat
from entrepot.catalogue.shape import parameters
from entrepot.errors import InputError, MissingFact
from entrepot.performance import Software, TrainingLayout, TrainingRun, train
from entrepot.performance.training import model_operations, room, step_seconds, training_chip
from entrepot.performance.training_columns import columns, stacked
from entrepot.performance.training_rows import conditions, predict, predict_row, published_rate
from entrepot.performance.training_shape import model_shape as shape
from entrepot.performance.training_shape import named_shapes, with_mtp

H100 = catalogue.accelerator("nvidia-h100-sxm5-80gb")
LLAMA = catalogue.model("llama-3.1-70b")
RUN = TrainingRun(tokens=1e9)
ROWS = list(csv.DictReader((Path(__file__).parent / "training.csv").read_text(encoding="utf-8").splitlines()))
law = settings(max_examples=40, deadline=None)
layouts = st.builds(
    TrainingLayout,
    devices=st.just(256),
    tensor_parallel=st.sampled_from([1, 2, 4, 8]),
    pipeline_parallel=st.sampled_from([1, 2, 4, 8]),
    micro_batch=st.sampled_from([1, 2, 4]),
    virtual_stages=st.sampled_from([1, 4]),
    recompute=st.sampled_from(["none", "selective", "full"]),
    shard=st.sampled_from([1, 3]),
    context_parallel=st.sampled_from([1, 2, 4]),
)
softwares = st.builds(
    Software,
    st.sampled_from(["megatron", "fsdp"]),
    st.one_of(st.none(), st.floats(2022, 2030)),
    st.booleans(),
)


@given(
    layouts,
    st.sampled_from(
        ["llama-3.1-8b", "llama-3.1-70b", "deepseek-v3", "qwen3-30b-a3b", "nemotron-3-super-120b-a12b"]
    ),
    st.sampled_from(["nvidia-h100-sxm5-80gb", "nvidia-gb300-nvl72", "nvidia-h20-sxm-96gb"]),
    st.sampled_from([NumberFormat.BF16, NumberFormat.FP8, NumberFormat.FP4]),
    softwares,
)
@law
def test_no_step_beats_peak_arithmetic(
    layout: TrainingLayout, name: str, chip: str, fmt: NumberFormat, software: Software
) -> None:
    """MFU below 1 in any format and by any software: operations of the model over the peak of the format."""
    accelerator = catalogue.accelerator(chip)
    if fmt not in accelerator.dense_rate:
        fmt = NumberFormat.FP8
    of = shape(catalogue.model(name))
    run = TrainingRun(tokens=1e9, sequence=4096, batch=1024, format=fmt, software=software)
    step = float(step_seconds(training_chip(accelerator), of, run, [layout]).step[0])
    rate = run.batch * run.sequence / step / layout.devices
    assert model_operations(of, run.sequence) * rate < float(accelerator.dense_rate[fmt]) * 1e12


@given(softwares, st.sampled_from(["llama-3.1-8b", "deepseek-v3", "nemotron-3-nano-30b-a3b"]))
@law
def test_later_software_is_no_slower(software: Software, name: str) -> None:
    """The era is one factor with one direction; before the first and after the last release measured it stands still."""
    layout = TrainingLayout(64, 1, 1, 8)
    steps = []
    for date in (2020.0, 2025.7, 2026.0, 2026.3, 2026.6, None):
        run = replace(RUN, software=replace(software, date=date))
        steps.append(
            float(step_seconds(training_chip(H100), shape(catalogue.model(name)), run, [layout]).step[0])
        )
    assert steps[0] == steps[1]
    assert steps[-2] == steps[-1]
    assert all(later <= earlier for earlier, later in itertools.pairwise(steps))


@given(layouts, st.sampled_from(["llama-3.1-8b", "deepseek-v3"]), softwares)
@law
def test_rows_and_layouts_share_one_physics(layout: TrainingLayout, name: str, software: Software) -> None:
    """A row of its own chip, model and run is what the same layout is in a search."""
    of, run = shape(catalogue.model(name)), replace(RUN, software=software)
    one, many = (
        columns(training_chip(H100), of, run, [layout]),
        stacked([(training_chip(H100), of, run, layout)]),
    )
    for field in fields(one):
        assert np.asarray(getattr(one, field.name)).reshape(-1)[0] == getattr(many, field.name)[0]


@given(layouts)
@law
def test_recomputation_trades_time_for_memory(layout: TrainingLayout) -> None:
    """Activations shrink, the step grows, by at most a third and what is communicated again."""
    plain, again = (
        step_seconds(training_chip(H100), shape(LLAMA), RUN, [replace(layout, recompute=how)])
        for how in ("none", "full")
    )
    some = step_seconds(training_chip(H100), shape(LLAMA), RUN, [replace(layout, recompute="selective")])
    assert again.activations[0] < some.activations[0] < plain.activations[0]
    # where weights are gathered for longer than is computed, computing a little more costs nothing
    assert plain.step[0] <= some.step[0] <= again.step[0] < 1.6 * plain.step[0]
    assert plain.step[0] < again.step[0]
    assert again.weights[0] == plain.weights[0]


@given(layouts)
@law
def test_weights_gradients_and_states_are_counted_once_over_all_devices(layout: TrainingLayout) -> None:
    """Sharded three ways, 18 bytes of each parameter lie on some device (ZeRO, section 3), and none is lost."""
    model = catalogue.model("llama-3.1-8b")
    built = parameters(model)
    assert built is not None
    full = step_seconds(training_chip(H100), shape(model), RUN, [replace(layout, shard=3)])
    copies = layout.devices
    assert float(full.weights[0]) * copies == pytest.approx(2 * built.total, rel=0.01)
    assert float(full.gradients[0]) * copies == pytest.approx(4 * built.total, rel=0.01)
    assert float(full.states[0]) * copies == pytest.approx(12 * built.total, rel=0.01)


def test_more_microbatches_shrink_the_bubble() -> None:
    """(PP - 1) / virtual / microbatches, and a stage holds whole layers (Narayanan and others, SC 21)."""
    layout = TrainingLayout(64, 8, 8)
    of = replace(shape(LLAMA), head=0.0)
    bubbles = [
        float(step_seconds(training_chip(H100), of, replace(RUN, batch=b), [layout]).bubble[0])
        for b in (8, 64, 512)
    ]
    assert bubbles == pytest.approx([7 / 8, 7 / 64, 7 / 512])
    folded = replace(layout, virtual_stages=4)
    assert float(
        step_seconds(training_chip(H100), of, replace(RUN, batch=8), [folded]).bubble[0]
    ) == pytest.approx(7 / 32)


def test_operations_agree_with_published_counts() -> None:
    """Llama 3.1 405B: 3.8 x 10^25 operations on 15.6 x 10^12 tokens (The Llama 3 Herd of Models, section 3.2)."""
    each = model_operations(shape(catalogue.model("llama-3.1-405b")), 8192)
    assert each * 15.6e12 == pytest.approx(3.8e25, rel=0.06)


@pytest.mark.parametrize(
    ("name", "published", "within"),
    [
        ("mpt-1b", 1_315_950_592, 0.005),  # llm-foundry's own table
        ("mpt-7b", 6_658_859_008, 0.005),
        ("mpt-30b", 29_975_214_080, 0.005),
        ("mpt-70b", 64_862_437_376, 0.005),
        (
            "nemotron-3-nano-30b-a3b",
            31.6e9,
            0.005,
        ),  # Nemotron 3 Nano report (arXiv:2512.20848): 31.6B, 3.2B active
        ("nemotron-3-super-120b-a12b", 120e9, 0.01),  # the counts in the models' names
        ("nemotron-3-ultra-550b-a55b", 550e9, 0.01),
        ("deepseek-v4-flash", 284e9, 0.005),
    ],
)
def test_named_shapes_rebuild_the_published_parameter_count(
    name: str, published: float, within: float
) -> None:
    """Position embeddings and norms are the rest."""
    of = named_shapes()[name]
    assert of.linear + of.routed + of.router + of.embedding == pytest.approx(published, rel=within)


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("nemotron-3-nano-30b-a3b", 3.2e9),
        ("nemotron-3-super-120b-a12b", 12e9),
        ("nemotron-3-ultra-550b-a55b", 55e9),
    ],
)
def test_hybrids_touch_the_weights_that_their_names_say(name: str, active: float) -> None:
    """Active parameters, the head once: 3.2B of the report, A12B and A55B of the names."""
    assert named_shapes()[name].active == pytest.approx(active, rel=0.02)


def test_operations_per_token_agree_with_what_megatron_counts() -> None:
    """Rows that state TFLOP/s beside tokens/s state the operations that their source counts for one token.

    Transformers to half a percent; hybrids, whose attention and extra layer are counted otherwise, within 8 %. GPT-OSS
    is counted in two ways by two releases. This checks shapes, not speed.
    """
    seen: dict[str, list[float]] = {}
    for row in ROWS:
        at, rate = conditions(row), published_rate(row)
        if (
            isinstance(at, str)
            or rate is None
            or row["metric"] != "train_tflops_per_gpu"
            or not row["id"].startswith("mb")
        ):
            continue
        counted = float(row["value"]) * 1e12 / rate
        seen.setdefault(at.of.id, []).append(
            model_operations(at.of, at.run.sequence, at.run.method) / counted
        )
    assert len(seen) >= 12
    for name, ratios in seen.items():
        assert 0.8 < np.median(ratios) < 1.2, (name, ratios)
    assert sum(0.92 < np.median(ratios) < 1.08 for ratios in seen.values()) >= len(seen) - 2
    exact = [name for name, ratios in seen.items() if abs(np.median(ratios) - 1) < 0.005]
    assert {"deepseek-v3", "qwen3-30b-a3b", "qwen3-235b-a22b", "kimi-k2", "llama-3.1-405b"} <= set(exact)


def test_lora_needs_little_memory_beside_the_weights() -> None:
    """Frozen weights have no gradients and no optimizer; a step saves the gradients of weights, a third of the work."""
    layout = TrainingLayout(8, 8)
    full = step_seconds(training_chip(H100), shape(LLAMA), RUN, [layout])
    lora = step_seconds(training_chip(H100), shape(LLAMA), replace(RUN, method="lora"), [layout])
    assert lora.states[0] < full.states[0] / 50
    assert 0.6 < float(lora.step[0] / full.step[0]) < 0.85
    assert lora.products[0] == pytest.approx(full.products[0] * 2 / 3)
    ratio = model_operations(shape(LLAMA), 4096, "lora") / model_operations(shape(LLAMA), 4096)
    assert ratio == pytest.approx(2 / 3, rel=0.03)


def test_the_search_finds_what_a_loop_finds() -> None:
    """Second opinion: every layout alone, through the stated door."""
    answer = train(RUN, H100, catalogue.model("llama-3.1-8b"), 16)
    rates = []
    for tp in (1, 2, 4, 8):
        for recompute in ("none", "full"):
            for shard in (1, 3):
                layout = TrainingLayout(16, tp, micro_batch=1, recompute=recompute, shard=shard)
                stated = train(RUN, H100, catalogue.model("llama-3.1-8b"), 16, layout=layout)
                if stated.memory_gb <= 0.90 * 80:
                    rates.append(stated.tokens_per_s)
    assert answer.tokens_per_s >= max(rates) * (1 - 1e-9)
    assert answer.memory_gb < 80
    assert answer.days.low < answer.days.central < answer.days.high


def test_what_does_not_fit_or_is_not_known_is_said() -> None:
    """One sentence each; never a number."""
    with pytest.raises(MissingFact, match="does not fit"):
        train(RUN, H100, catalogue.model("deepseek-v3"), 8)
    with pytest.raises(MissingFact, match="memory bandwidth"):
        train(RUN, replace(H100, memory_bw_gb_s=None), LLAMA, 8)
    with pytest.raises(InputError) as caught:
        train(TrainingRun(tokens=-1, batch=0), H100, LLAMA, 0)
    assert len(caught.value.faults) == 3


def test_published_runs() -> None:
    """The constants as shipped on the rows that they were placed on: they are the ones that the tool wrote.

    What they do on rows left out (by model, by chip, by source) is what `tools/fit_training.py` prints and
    docs/performance-serving.md states; a slow command, not a test.
    """
    errors = []
    inside = []
    for row in ROWS:
        at, rate = conditions(row), published_rate(row)
        if isinstance(at, str) or rate is None:
            continue
        found = predict(at)
        errors.append(np.log(found.tokens_per_s_per_device / rate))
        inside.append(abs(errors[-1]) <= np.log(found.factor))
    assert len(errors) > 290
    assert np.median(np.abs(np.expm1(errors))) < 0.08
    assert abs(np.expm1(np.median(errors))) < 0.02
    assert np.mean(inside) >= 0.88


def test_the_count_of_memory_holds_on_runs_that_were_published() -> None:
    """Runs that were published fitted; llm-foundry chose the microbatch that fills the device, so its rows check both sides.

    No source here states memory. Of all runs at a stated layout nine in ten lie within 1.15 of what a device has.
    """
    share = {}
    for row in ROWS:
        at = conditions(row)
        if isinstance(at, str) or not row["parallelism"]:
            continue
        share[row["id"]] = float(step_seconds(at.on, at.of, at.run, [at.layout]).memory[0]) / room(at.on)
    filled = [v for k, v in share.items() if k.startswith("foundry")]
    assert len(filled) == 131
    assert 0.6 < np.median(filled) < 1.05
    assert max(filled) < 1.15
    assert np.mean(np.array(list(share.values())) <= 1.15) > 0.95


def test_every_row_is_answered_or_refused_by_name() -> None:
    """Nothing is dropped in silence: five rows name a chip without figures, a size without a shape, or an inference."""
    answers = [predict_row(row) for row in ROWS]
    refused = [a for a in answers if isinstance(a, str)]
    assert len(answers) - len(refused) == 311
    assert all(len(reason) > 10 for reason in refused)


def test_long_sequences_are_split_over_devices() -> None:
    """128k tokens on H100s: context parallelism is searched, and one device alone would not hold the activations."""
    run = TrainingRun(tokens=1e9, sequence=131072, batch=32)
    found = train(run, H100, catalogue.model("llama-3.1-8b"), 64)
    assert found.layout.context_parallel > 1
    alone = train(
        run, H100, catalogue.model("llama-3.1-8b"), 64, layout=replace(found.layout, context_parallel=1)
    )
    assert alone.memory_gb > found.memory_gb


def test_fsdp_over_a_slow_link_waits_for_the_link() -> None:
    """ZeRO-3 between nodes of one device each moves all weights over one card; inside a node over eight."""
    of, run = shape(catalogue.model("llama-3.1-8b")), replace(RUN, batch=64)
    layout = TrainingLayout(64, micro_batch=1, shard=3)
    near = step_seconds(training_chip(H100), of, run, [layout])
    far = step_seconds(replace(training_chip(H100), domain=1, link_bytes_s=None), of, run, [layout])
    assert far.data[0] > 5 * near.data[0]


def test_a_model_known_by_its_size_alone_is_refused() -> None:
    """A step depends on layers and widths: a size is not a shape."""
    row = {**ROWS[0], "model": "Nobody-13B"}
    answer = predict_row(row)
    assert isinstance(answer, str)
    assert "only its size" in answer


def test_prediction_of_two_tokens_is_more_work() -> None:
    """DeepSeek-V3 with its extra layer: 260.0 against 249.7 GFLOP per token in Megatron-Bridge's own rows."""
    of = shape(catalogue.model("deepseek-v3"))
    ratio = model_operations(with_mtp(of), 4096) / model_operations(of, 4096)
    assert ratio == pytest.approx(260.0 / 249.7, rel=0.02)
