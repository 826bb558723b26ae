"""Does a file of spellings that nobody prepared for get an answer whose reading is right, or a clear refusal?"""

from __future__ import annotations

import csv
import io
from dataclasses import fields
from pathlib import Path

import pytest

from entrepot.performance.accuracy.judge import judge_rows
from entrepot.performance.accuracy.names import read_chip, read_model
from entrepot.performance.accuracy.rows import Row, read_rows
from entrepot.performance.operations import missing_parts, shape


@pytest.mark.parametrize(
    ("name", "chip"),
    [
        ("H100", "nvidia-h100-sxm5-80gb"),
        ("H100-SXM5-80GB x8", "nvidia-h100-sxm5-80gb"),
        ("8x NVIDIA H100 80GB HBM3", "nvidia-h100-sxm5-80gb"),
        ("h100_sxm", "nvidia-h100-sxm5-80gb"),
        ("H100 NVL", "nvidia-h100-nvl-94gb"),
        ("H100-PCIe", "nvidia-h100-pcie-80gb"),
        ("GH200 480GB", "nvidia-gh200-96gb"),  # 480 GB is the memory of the CPU beside it
        ("A40-48GB", "nvidia-a40-pcie-48gb"),
        ("RTX 5090", "nvidia-rtx-5090-32gb"),
        ("RTX PRO 6000 Blackwell Server Edition", "nvidia-rtx-pro-6000-server-96gb"),
        ("MI325X OAM", "amd-mi325x-256gb"),
        ("AMD Instinct MI355X", "amd-mi355x-288gb"),
        ("Gaudi 3", "intel-gaudi3-oam"),
        ("Trainium 2", "aws-trainium2"),
        ("TPU v6e-8", "google-tpu-v6e"),
        ("MLU370-X8", "cambricon-mlu370-x8"),
        ("Ascend-910B (Atlas 800 A2)", "huawei-ascend-910b3"),
        ("H800", "nvidia-h800-sxm5-80gb"),
    ],
)
def test_chips_in_other_peoples_spelling(name: str, chip: str) -> None:
    """The product that is meant; memory is that of the device."""
    found = read_chip(name)
    assert found is not None
    assert found.accelerator.id == chip
    assert found.accelerator.memory_gb is not None
    assert float(found.accelerator.memory_gb) < 300


@pytest.mark.parametrize(
    "name",
    [
        "A100X",
        "A10G",
        "MI308X",
        "R200 Vera Rubin",
        "Apple M3 Ultra",
        "p5.48xlarge",
        "Xeon 8592+",
        "unknown",
        "",
    ],
)
def test_chips_that_are_another_product_are_refused(name: str) -> None:
    """A letter more is another product, another vendor's R200 is not meant, a chip without figures borrows none of a cousin."""
    assert read_chip(name) is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("DeepSeek-R1-Distill-Llama-8B", "llama-3.1-8b"),
        ("deepseek-ai/DeepSeek-R1-Distill-Qwen-14B", "qwen2.5-14b"),
        ("DeepSeek-R1-0528-Qwen3-8B", "qwen3-8b"),
        ("NousResearch/Hermes-3-Llama-3.1-8B", "llama-3.1-8b"),
        ("nvidia/Llama-3.1-Nemotron-70B-Instruct-HF", "llama-3.1-70b"),
        ("Llama-3.1-Tulu-3-70B", "llama-3.1-70b"),
        ("Qwen2.5-72B-Instruct-AWQ", "qwen2.5-72b"),
        ("Qwen2.5-Coder-32B-Instruct", "qwen2.5-32b"),
        ("Llama 4 Maverick FP8", "llama-4-maverick"),
        ("gemma-3-12b-it", "gemma-3-12b"),
        ("Mistral-7B-Instruct-v0.3", "mistral-7b"),
        ("GLM-4.5-Air-FP8", "glm-4.5-air"),
        ("zai-org/GLM-4.6", "glm-4.5"),
        ("Qwen3-Next", "qwen3-next-80b-a3b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("Qwen3.5-122B-A10B-FP8", "qwen3.5-122b-a10b"),
        ("DeepSeek-V2-Lite-Chat", "deepseek-v2-lite"),
        ("microsoft/phi-4", "phi-4"),
    ],
)
def test_models_in_other_peoples_spelling(name: str, model: str) -> None:
    """Fine-tunes and quantised builds keep the shape of what they are built on, and the reading says so."""
    found = read_model(name)
    assert found is not None
    assert found.id == model
    assert found.scale == 1.0


@pytest.mark.parametrize("name", ["Ling-1T", "Pangu-Pro-MoE-72B", "gpt-4o", "my finetune", ""])
def test_models_of_unknown_shape_are_refused(name: str) -> None:
    """The size of a mixture does not say what a token visits."""
    assert read_model(name) is None


def test_a_family_member_of_another_size_is_not_read_as_the_large_one() -> None:
    """DeepSeek-V2-Lite has 15.7 x 10^9 parameters (its model card), not 236."""
    found = read_model("DeepSeek-V2-Lite")
    assert found is not None
    assert not missing_parts(found.model)
    of = shape(found.model)
    total = of.attention + of.dense + of.shared + of.router + of.routed + of.embedding
    assert total == pytest.approx(15.7e9, rel=0.01)


def test_every_row_of_a_strange_file_is_answered_or_refused_with_a_reason(tmp_path: Path) -> None:
    """Blanks everywhere, notes instead of columns, chips and models of other sources: no row is lost, none breaks the command."""
    chips = [
        "H100-SXM5-80GB x8",
        "MI325X OAM",
        "RTX 5090",
        "Gaudi 3",
        "A10G",
        "?",
        "GB200-NVL4",
        "Tesla V100 16GB",
        "TPU v6e-8",
    ]
    models = [
        "Llama 4 Maverick FP8",
        "Qwen/Qwen2.5-72B-Instruct-AWQ",
        "DeepSeek-R1-Distill-Llama-8B",
        "Ling-1T",
        "?",
        "gemma-2-9b-it",
    ]
    texts = [
        ("", "", ""),
        ("TP8", "vllm 0.9.1", "max-concurrency 64"),
        ("tp=4,ep", "SGLang", "TP4 EP4; request rate inf; num-prompts 500"),
        ("??", "my own engine", "p99"),
    ]
    names = [f.name for f in fields(Row)]
    stream = io.StringIO()
    out = csv.DictWriter(stream, names)
    out.writeheader()
    n = 0
    for i, chip in enumerate(chips):
        for j, model in enumerate(models):
            parallel, engine, notes = texts[(i + j) % len(texts)]
            metric = ["tpot_ms", "ttft_ms", "output_tokens_per_s", "train_tflops_per_gpu"][(i + 2 * j) % 4]
            row = dict.fromkeys(names, "")
            row |= {
                "id": f"odd-{i}-{j}",
                "accelerator": chip,
                "model": model,
                "parallelism": parallel,
                "engine": engine,
            }
            row |= {
                "notes": notes,
                "metric": metric,
                "value": "10",
                "isl": ["", "1024"][j % 2],
                "osl": ["", "128"][i % 2],
            }
            out.writerow(row)
            n += 1
    file = tmp_path / "odd.csv"
    file.write_text(stream.getvalue(), encoding="utf-8")
    judged = judge_rows(read_rows(file))
    assert len(judged) == n
    assert all(j.reason or (j.predicted > 0 and j.predicted < 1e9) for j in judged)
    answered = [j for j in judged if not j.reason]
    assert len(answered) >= n / 3
    for one in judged:
        if one.row.accelerator in {"?", "A10G"}:
            assert one.reason
