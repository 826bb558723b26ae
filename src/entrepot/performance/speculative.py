"""What does speculative decoding cost a step, and what does it yield?

A draft proposes k tokens, one after the other; the model then verifies k + 1 positions of every sequence in one step,
whose weights and cache are read once. Of the proposed tokens those up to the first refusal stay::

    tokens per step = 1 + a + a^2 + ... + a^k          a = acceptance (arXiv:2211.17192)
    step            = verify(k + 1 queries) + k draft steps

The draft is another model, or the model's own next-token layer (MTP): one more layer, a projection of two hidden states
into one, and the LM head again. Nothing is free: at large batches the queries cost arithmetic, and a rate may fall.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from entrepot.errors import Fault, InputError
from entrepot.performance.columns import Columns, columns
from entrepot.performance.operations import Shape, shape
from entrepot.performance.records import F64, Speculation
from entrepot.performance.step import Part, Setting, decode_parts_of

__all__ = ["check_speculation", "draft_columns", "draft_shape", "speculative_parts"]

_OF_CONTEXT = frozenset({"attention", "window attention", "linear attention", "sparse index"})


def check_speculation(speculation: Speculation) -> None:
    """Refuse a speculation that no arithmetic can be done on.

    Raises
    ------
    InputError
        fewer than 1 or more than 16 draft tokens, or an acceptance outside 0..1
    """
    faults = []
    if not 1 <= speculation.draft_tokens <= 16:
        faults.append(
            Fault(
                "draft_tokens", f"{speculation.draft_tokens} tokens per step", "Write a number from 1 to 16."
            )
        )
    if not 0 <= speculation.acceptance <= 1:
        faults.append(
            Fault("acceptance", f"{speculation.acceptance:g}", "Write the share of proposals kept, 0 to 1.")
        )
    if faults:
        raise InputError(faults)


def draft_shape(model: Shape, speculation: Speculation) -> Shape:
    """Return what proposes the tokens, as a model of its own.

    MTP: one layer of the model's last kind, with the projection of two hidden states into one; embedding and head are
    the model's own, so that they are read again but not stored again.
    """
    if speculation.draft is not None:
        return shape(speculation.draft)
    moe = bool(model.moe_layers)
    full = model.full > 0
    return replace(
        model,
        id=f"{model.id} MTP",
        layers=1,
        full=1 if full else 0,
        windowed=0 if full else 1,
        kv_elements=model.kv_elements / model.full if full else 0.0,
        window_elements=0.0 if full else model.window_elements / model.windowed,
        state_elements=0.0 if full else model.state_elements / model.windowed,
        attention=model.attention / model.layers + 2 * model.hidden**2,
        dense=0.0 if moe else model.dense / model.layers,
        shared=model.shared / model.moe_layers if moe else 0.0,
        router=model.router / model.moe_layers if moe else 0.0,
        moe_layers=1 if moe else 0,
        embedding=0.0,
    )


def draft_columns(setting: Setting) -> Columns | None:
    """Return the draft as columns; its launches are counted, the step's host time only once, with the model."""
    if setting.speculation is None:
        return None
    drawn = draft_shape(setting.shape, setting.speculation)
    at = columns(setting.chip, drawn, setting.layouts, setting.mix, setting.engine, setting.kv_bits)
    return at.with_(host_s=0.0, sequence_s=0.0, pp=np.ones_like(setting.layouts.pp))


def speculative_parts(at: Columns, draft: Columns, batch: F64, speculation: Speculation) -> list[Part]:
    """Return the parts of one step: verification of k + 1 queries of each sequence, and k draft steps.

    Parameters
    ----------
    batch : sequences that run through a stage together
    """
    queries = speculation.draft_tokens + 1.0
    wide = {part.name: part for part in decode_parts_of(at, batch * queries)}
    verify = []
    for part in decode_parts_of(at, batch):
        if part.name in _OF_CONTEXT:  # the cache is read once, each query attends
            verify.append(
                replace(
                    part,
                    arithmetic=part.arithmetic * queries,
                    floor_arithmetic=part.floor_arithmetic * queries,
                )
            )
        else:
            verify.append(part if part.name == "overhead" else wide[part.name])
    drafts = [_repeated(part, float(speculation.draft_tokens)) for part in decode_parts_of(draft, batch)]
    return [*verify, *drafts]


def _repeated(part: Part, times: float) -> Part:
    fixed = part.name in {"communication", "overhead"}
    return replace(
        part,
        name=part.name if fixed else f"draft {part.name}",
        arithmetic=part.arithmetic if fixed else part.arithmetic * times,
        memory=part.memory if fixed else part.memory * times,
        fixed=part.fixed * times,
        floor_arithmetic=part.floor_arithmetic if fixed else part.floor_arithmetic * times,
        floor_memory=part.floor_memory if fixed else part.floor_memory * times,
    )
