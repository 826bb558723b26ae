"""``entrepot performance``: where does the time go, and how good is the model that says so?"""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from entrepot import api
from entrepot.cli.output import Output, emit
from entrepot.cli.work import MIX, limits

__all__ = ["explain"]


def explain(
    model: str,
    *,
    chip: str,
    mix: str = MIX,
    ttft_ms: float | None = None,
    tpot_ms: float | None = None,
    engine: str = "vllm",
    output: Annotated[Output | None, Parameter(name="*")] = None,
) -> None:
    """Say where the time of a request goes in the best layout of a chip, by phase and kind of operation.

        entrepot performance explain deepseek-r1 --chip nvidia-h20-sxm-96gb
        entrepot performance explain qwen3-32b --chip nvidia-h200-sxm-141gb --tpot-ms 30

    ``ms`` is one decode step of the batch, or the prefill of one mean request; ``share`` is of a request's life.

    Parameters
    ----------
    model: the AI model, by id
    chip: the chip, by id or name
    mix: request sizes: a public mix of the catalogue
    ttft_ms: limit on the time to first token
    tpot_ms: limit on the time per output token
    engine: whose overheads to count: vllm, trtllm or sglang
    """
    table = api.explain(model, chip, mix=mix, slo=limits(ttft_ms, tpot_ms), engine=engine)
    emit(table.to_dicts(), kind="explanation", output=output or Output())
