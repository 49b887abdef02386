"""A decoder layer in C++: one call a layer where attention is C++ as well, else two around it. Several of
them may be called in one go, see `layer_run`.
"""

from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from baton.engine.attention.backend import AttentionRule, AttentionStep
from baton.engine.attention.cpu_kernel import CpuKernelStep
from baton.engine.modules import kernels as k
from baton.engine.modules.layer_parts import LayerParts
from baton.engine.modules.layer_run import LayerRun, Member
from baton.engine.modules.packed_weight import PackedWeight
from baton.engine.modules.rows_read import RowsRead, can_part, pays_to_part
from baton.engine.modules.workspace import Space, Workspace, split_heads


class KernelDecoderLayer(nn.Module):
    """Stands where a model's own layer stood, and is called as that was.

    `number` and `rule` are what the layer told its attention.
    """

    def __init__(
        self,
        original: nn.Module,
        parts: LayerParts,
        kernels: k.Kernels,
        workspace: Workspace,
        number: int,
        rule: AttentionRule,
    ) -> None:
        super().__init__()
        self._tell_as(original)
        self._kernels, self._run = kernels, kernels.decoder_layer
        self._number, self._rule, self.workspace = number, rule, workspace
        self._qkv = _packed(kernels, parts.qkv)
        self._out = _packed(kernels, (parts.out,))
        self._gate_up = _packed(kernels, parts.gate_up)
        self._down = _packed(kernels, (parts.down,))
        self._rows_read: RowsRead | None = None
        self.norms = nn.ModuleList(norm for norm in parts.norms if norm is not None)
        self._layer = k.DecoderLayer(
            *(one.matrix for one in (self._qkv, self._out, self._gate_up, self._down)),
            *(k.NO_NORM if norm is None else norm.norm for norm in parts.norms),
            *(parts.heads, parts.kv_heads, parts.head_dim, 0),
            *(parts.out.out_features, parts.down.in_features, parts.activation),
            k.DTYPES[parts.out.weight.dtype],
            parts.residual,
        )
        self._alone = LayerRun([self.member], workspace, kernels)

    @property
    def member(self) -> Member:
        """What a run of several layers calls instead."""
        return Member(self._layer, self._number, self._rule)

    def run_with(self, others: Sequence["KernelDecoderLayer"]) -> LayerRun | None:
        """Of this layer and those behind it; None where one of them hands on in other memory."""
        if any(other.workspace is not self.workspace for other in others):
            return None
        members = [self.member, *(other.member for other in others)]
        return LayerRun(members, self.workspace, self._kernels)

    def _tell_as(self, original: nn.Module) -> None:
        """What models ask their layers for: plain values, such as the kind of their attention."""
        for name, value in vars(original).items():
            if isinstance(value, (str, int, float)) and name not in vars(self):
                setattr(self, name, value)

    def stand_last(self) -> None:
        """No layer comes after it: from now on what nobody reads is not computed."""
        sizes = self.workspace.sizes
        if can_part(sizes):
            self._rows_read = RowsRead(self._layer, self._qkv, sizes, self._number, self._rule)

    def forward(
        self,
        hidden_states: Tensor,
        *_: Any,
        position_embeddings: tuple[Tensor, Tensor],
        attention_step: AttentionStep,
        rows_read: Tensor,
        **__: Any,
    ) -> Tensor:
        """[1, tokens, hidden], as is the result; `position_embeddings` are [1, tokens, rotary].

        `rows_read` are those that somebody will read if this is the last layer.
        """
        states = hidden_states.contiguous()
        cos, sin = position_embeddings[0].contiguous(), position_embeddings[1].contiguous()
        rows = states.shape[1]
        if self.goes_in_one_go(attention_step, rows):
            if self.parts(len(rows_read), rows):
                return self._of_rows(states, cos, sin, attention_step, rows_read)
            return self._alone.run(states, cos, sin, attention_step, 1)
        output = torch.empty_like(states)
        self._layer.rotary = cos.shape[-1]
        space = self.workspace.of(rows)
        batch = space.batch_of(states, output, cos, sin)
        if self._qkv.takes_matrix_units(rows):
            self._on_matrix_units(states, output, space, attention_step)
            return output
        self._run(self._layer, batch, k.NORM, k.ATTENTION)
        attended = attention_step.forward(
            self._number, space.query, space.key, space.value, self._rule
        ).contiguous()
        batch.attended = attended.data_ptr()
        self._run(self._layer, batch, k.ATTENTION, k.END)
        return output

    def _of_rows(
        self, states: Tensor, cos: Tensor, sin: Tensor, step: CpuKernelStep, rows: Tensor
    ) -> Tensor:
        """[1, tokens, hidden]: 0 where nobody reads."""
        ending = k.Ending(rows=rows.data_ptr(), count=len(rows))
        read = self.end(ending, states.shape[1], cos.shape[-1], step, rows)
        self._alone.run(states, cos, sin, step, 0, ending)
        output = torch.zeros_like(states)
        output[0, rows] = read
        return output

    def end(
        self, ending: k.Ending, tokens: int, rotary: int, step: CpuKernelStep, rows: Tensor
    ) -> Tensor:
        """[rows read, hidden], which layers of so many tokens that run with `ending` will write, this one
        as well. Where it parts.
        """
        assert self._rows_read is not None
        return self._rows_read.end(ending, self.workspace.of(tokens), rotary, step, rows)

    def goes_in_one_go(self, step: AttentionStep, rows: int) -> TypeGuard[CpuKernelStep]:
        """Whether so many rows are computed without a stop, attention as well."""
        return isinstance(step, CpuKernelStep) and not self._qkv.takes_matrix_units(rows)

    def parts(self, read: int, rows: int) -> bool:
        """Whether as few as are read are parted from the others."""
        return self._rows_read is not None and pays_to_part(read, rows)

    def _on_matrix_units(
        self, states: Tensor, output: Tensor, space: Space, attention_step: AttentionStep
    ) -> None:
        """The same, part by part, with oneDNN's products between them."""
        batch = k.DecoderBatch.from_buffer_copy(space.batch)
        layer, run = self._layer, self._run
        run(layer, batch, k.NORM, k.QKV)
        qkv = self._qkv.multiply(space.normed if layer.input.weight else states[0])
        batch.qkv = qkv.data_ptr()
        run(layer, batch, k.ROTARY, k.ATTENTION)
        heads = split_heads(qkv.view_as(space.qkv), self.workspace.sizes)
        attended = attention_step.forward(self._number, *heads, self._rule)
        projected = self._out.multiply(attended.flatten(1))
        batch.projected = projected.data_ptr()
        run(layer, batch, k.ADD_AND_NORM, k.GATE_UP)
        gate_up = self._gate_up.multiply(space.normed if layer.mlp.weight else output[0])
        batch.gate_up = gate_up.data_ptr()
        run(layer, batch, k.GATE, k.DOWN)
        projected = self._down.multiply(space.gated)
        batch.projected = projected.data_ptr()
        run(layer, batch, k.ADD, k.END)


def _packed(kernels: k.Kernels, linears: Sequence[nn.Linear]) -> PackedWeight:
    weight = k.joined([linear.weight for linear in linears])
    assert weight is not None
    return PackedWeight(kernels, weight, k.joined([linear.bias for linear in linears]))
