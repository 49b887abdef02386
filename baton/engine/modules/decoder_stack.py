"""A whole model of C++ layers, called part after part: without what its class does around them anew in
every step, such as masks, rotary positions and objects for outputs.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from baton.engine.attention.backend import AttentionStep
from baton.engine.kv_shape import MODEL_ERRORS, call_model
from baton.engine.modules.decoder_layer import KernelDecoderLayer
from baton.engine.modules.layer_check import ProbeStep
from baton.engine.modules.layer_run import LayerRun
from baton.engine.modules.norm import KernelNorm
from baton.engine.modules.rotary_table import RotaryTable, changes

_PARTS = {"embed_tokens", "layers", "norm", "rotary_emb"}
_CALLS = (
    (2, 2),
    (40, 1),
)  # that are compared: tokens, and the last of them that logits are wanted of


@dataclass(frozen=True, slots=True)
class DecoderStack:
    embedding: nn.Module
    rotary: RotaryTable
    layers: tuple[KernelDecoderLayer, ...]
    norm: KernelNorm
    head: nn.Module
    run: LayerRun | None  # all layers; None: they do not hand on in the same memory

    def logits(
        self, tokens: Tensor, positions: Tensor, rows: Tensor, step: AttentionStep
    ) -> Tensor:
        """[rows, vocabulary] of a flat batch, in the model's dtype: what `call_model` says, bit by bit.

        `positions` are [tokens]; `rows` ascend.
        """
        states: Tensor = self.embedding(tokens[None])
        cos, sin = (one.contiguous() for one in self.rotary.of(positions))
        left = self.layers
        if self.run is not None and left[0].goes_in_one_go(step, len(tokens)):
            left = left[-1:] if left[-1].parts(len(rows), len(tokens)) else ()
            if count := len(self.layers) - len(left):
                states = self.run.run(states, cos, sin, step, count)
        for layer in left:
            states = layer(
                states, position_embeddings=(cos, sin), attention_step=step, rows_read=rows
            )
        if len(rows) < len(tokens):
            states = states[:, rows]
        logits: Tensor = self.head(self.norm(states))
        return logits[0]


def decoder_stack(model: PreTrainedModel, vocab_size: int, length: int) -> DecoderStack | None:
    """None where the model has other parts, or does more than to call these one after the other.

    `length`: positions that the model was made for.
    """
    with torch.inference_mode():
        stack = _built(model, length)
        if stack is None or not _says_the_same(stack, model, vocab_size, length):
            return None
        return stack


def _built(model: Any, length: int) -> DecoderStack | None:
    base, head = model.base_model, model.get_output_embeddings()
    if base is model or head is None or set(model.children()) != {base, head}:
        return None
    parts = dict(base.named_children())
    if set(parts) != _PARTS or changes(parts["rotary_emb"]):
        return None
    layers, norm = tuple(parts["layers"].children()), parts["norm"]
    if not layers or not all(isinstance(layer, KernelDecoderLayer) for layer in layers):
        return None
    if not isinstance(norm, KernelNorm):  # which computes each row by itself
        return None
    try:
        rotary = RotaryTable(parts["rotary_emb"], model.dtype, length)
        if not rotary.is_true():
            return None
    except MODEL_ERRORS:  # it is asked in another way, such as by the kind of a layer
        return None
    run = layers[0].run_with(layers[1:])
    return DecoderStack(parts["embed_tokens"], rotary, layers, norm, head, run)


def _says_the_same(
    stack: DecoderStack, model: PreTrainedModel, vocab_size: int, length: int
) -> bool:
    generator = torch.Generator().manual_seed(0)
    for count, wanted in _CALLS:
        tokens = torch.randint(vocab_size, (count,), generator=generator)
        positions = torch.randint(length, (count,), generator=generator)
        rows = torch.arange(count - wanted, count)
        expected = call_model(model, tokens, positions, rows, ProbeStep())
        if not torch.equal(stack.logits(tokens, positions, rows, ProbeStep()), expected):
            return False
    return True
