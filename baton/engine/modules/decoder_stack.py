"""A whole model of C++ layers, called part after part: without what its class does around them anew in
every step, such as masks, rotary positions and objects for outputs.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from baton.engine.attention.backend import AttentionStep
from baton.engine.attention.cpu_kernel import CpuKernelStep
from baton.engine.kv_shape import MODEL_ERRORS, call_model
from baton.engine.modules import kernels as k
from baton.engine.modules.decoder_layer import KernelDecoderLayer
from baton.engine.modules.layer_check import ProbeStep
from baton.engine.modules.layer_run import LayerRun
from baton.engine.modules.norm import KernelNorm
from baton.engine.modules.rotary_table import RotaryTable, changes
from baton.engine.modules.screened_head import linear_of

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
        if self.run is not None and self.layers[0].goes_in_one_go(step, len(tokens)):
            return self._in_one_go(self.run, states, cos, sin, rows, step)
        for layer in self.layers:
            states = layer(
                states, position_embeddings=(cos, sin), attention_step=step, rows_read=rows
            )
        if len(rows) < len(tokens):
            states = states[:, rows]
        logits: Tensor = self.head(self.norm(states))
        return logits[0]

    def _in_one_go(
        self,
        run: LayerRun,
        states: Tensor,
        cos: Tensor,
        sin: Tensor,
        rows: Tensor,
        step: CpuKernelStep,
    ) -> Tensor:
        """All of it in one call, unless the output layer is more than a product."""
        _, tokens, hidden = states.shape
        count, last = len(self.layers), self.layers[-1]
        normed = states.new_empty(len(rows), hidden)
        ending = k.Ending(
            rows=rows.data_ptr(),
            count=len(rows),
            norm=ctypes.pointer(self.norm.norm),
            normed=normed.data_ptr(),
        )
        if last.parts(len(rows), tokens):
            count -= 1
            last.end(ending, tokens, cos.shape[-1], step, rows)
        linear = linear_of(self.head, len(rows))
        logits = states.new_empty(len(rows), linear.out_features if linear else 0)
        if linear is not None:
            ending.head, ending.logits = ctypes.pointer(linear.packed.matrix), logits.data_ptr()
        run.run(states, cos, sin, step, count, ending)
        if linear is None:
            logits = self.head(normed[None])[0]
        return logits


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
