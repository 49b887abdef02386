"""Logits of many positions without holding them all: a vocabulary times a prompt is gigabytes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.engine.attention.backend import AttentionStep
from baton.engine.kv_shape import call_model

PART_BYTES = 32 << 20  # of float32 logits at a time


def parts_of(rows: Sequence[int], vocab_size: int) -> list[Tensor]:
    """int64 row numbers, so many at a time as `PART_BYTES` hold logits of."""
    count = max(1, PART_BYTES // (4 * vocab_size))
    return [torch.tensor(rows[at : at + count]) for at in range(0, len(rows), count)]


def logits_in_parts(
    model: PreTrainedModel,
    tokens: Tensor,
    positions: Tensor,
    parts: Sequence[Tensor],
    step: AttentionStep,
    embeddings: Tensor | None = None,
) -> Iterator[Tensor]:
    """Logits [rows, vocabulary] of each part of the flat batch's rows, in the model's dtype.

    The layers run once: for the later parts the model's class is called again, with what its layers
    said the first time, and computes logits of it as this family does. A class that does not call
    its layers as a module of their own runs whole again, which writes the same KV.
    """
    layers: Any = model.base_model
    said: list[Any] = []
    hook = layers.register_forward_hook(lambda *call: said.append(call[-1]))
    try:
        logits = call_model(
            model, tokens, positions, parts[0], step, embeddings, torch.cat(list(parts))
        )
    finally:
        hook.remove()
    yield logits
    for rows in parts[1:]:
        if layers is model or not said:
            yield call_model(model, tokens, positions, rows, step, embeddings)
            continue
        with _saying(layers, said[0]):
            logits = call_model(model, tokens, positions, rows, step, embeddings)
        yield logits


@contextmanager
def _saying(module: Any, output: Any) -> Iterator[None]:
    """Within, a call of the module computes nothing and returns `output`."""
    own = vars(module)
    own["forward"] = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del own["forward"]
