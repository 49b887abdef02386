"""What a model puts into a KV cache, found by running it on one token: configurations lie or lack."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from baton.core.errors import SettingsError
from baton.engine.attention.backend import AttentionRule, AttentionStep

# What somebody else's model code may raise when it is called as ours wants it.
MODEL_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class KvShape:
    num_layers: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int


class _Recorder:
    """An `AttentionStep` that attends to nothing."""

    def __init__(self) -> None:
        self.layers: list[int] = []
        self.shapes: set[tuple[torch.Size, torch.Size, torch.dtype]] = set()

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        self.layers.append(layer)
        self.shapes.add((key.shape[1:], value.shape[1:], key.dtype))
        return torch.zeros_like(query)


def call_model(
    model: PreTrainedModel,
    tokens: Tensor,
    positions: Tensor,
    rows: Tensor,
    step: AttentionStep,
    embeddings: Tensor | None = None,
    rows_read: Tensor | None = None,
) -> Tensor:
    """Logits [rows, vocabulary] of a flat batch, in the model's dtype.

    Whoever reads more of what the layers say than `rows` names all that as `rows_read`: the last layer
    may leave other rows at nothing. `positions` are [tokens], or time, height and width, [3, tokens]; `embeddings` [tokens, hidden]
    stand in place of the tokens' own.
    """
    read: Any = {"input_ids": tokens[None]}
    if embeddings is not None:
        read = {"inputs_embeds": embeddings[None]}
    output: Any = model(
        **read,
        position_ids=positions[None] if positions.dim() == 1 else positions[:, None],
        use_cache=False,
        logits_to_keep=rows,
        attention_step=step,
        rows_read=rows if rows_read is None else rows_read,
    )
    logits: Tensor = output.logits[0]
    return logits


def kv_shape(model: PreTrainedModel) -> KvShape:
    """Raises SettingsError where a paged KV cache of one shape does not hold all that it keeps."""
    recorder = _Recorder()
    zero = torch.zeros(1, dtype=torch.int64)
    name = type(model).__name__
    try:
        with torch.inference_mode():
            logits = call_model(model, zero, zero, zero, recorder)
    except MODEL_ERRORS as error:
        raise SettingsError(
            f"{name} cannot be run with a paged KV cache ({type(error).__name__}: {error})"
        ) from error
    layers = len(recorder.layers)
    if not layers or sorted(recorder.layers) != list(range(layers)) or layers != _stated(model):
        raise SettingsError(
            f"{name} cannot be served: {layers} of its {_stated(model)} layers attend through the "
            "paged KV cache, each once"
        )
    if len(recorder.shapes) > 1:
        raise SettingsError(f"{name} cannot be served: its layers keep KV of different shapes")
    [(key, value, dtype)] = recorder.shapes
    if key != value or dtype != model.dtype:
        raise SettingsError(
            f"{name} cannot be served: keys are {tuple(key)} of {dtype}, values {tuple(value)}, "
            f"weights of {model.dtype}"
        )
    embedding: Any = model.get_input_embeddings()
    if embedding.weight.shape[0] < logits.shape[-1]:
        raise SettingsError(
            f"{name} cannot be served: it has logits for {logits.shape[-1]} tokens and embeddings "
            f"for {embedding.weight.shape[0]}"
        )
    return KvShape(layers, key[0], key[1], logits.shape[-1])


def _stated(model: PreTrainedModel) -> int | None:
    language: Any = model.config.get_text_config()
    layers = getattr(language, "num_hidden_layers", None)
    return layers if isinstance(layers, int) else None
