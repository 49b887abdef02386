"""A decoder layer of which few rows are read, for none comes after it: keys and values of all rows go into
the pool, and those few alone attend and are computed further. Their bits are those of the whole layer.
"""

import ctypes
from dataclasses import dataclass

import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.cpu_kernel import CpuKernelStep
from baton.engine.modules import kernels as k
from baton.engine.modules.packed_weight import PANEL, PackedWeight
from baton.engine.modules.workspace import LayerSizes, Space, Workspace


@dataclass(frozen=True, slots=True)
class Call:
    """What the layer was called with: `states` [rows, hidden], `cos` and `sin` [rows, rotary], to which
    the batch of `space` points, and which rows are read, int64.
    """

    states: Tensor
    cos: Tensor
    sin: Tensor
    space: Space
    step: CpuKernelStep
    rows_read: Tensor


def pays_to_part(read: int, rows: int) -> bool:
    """So many from the others: not where most are read, as in decode."""
    return 2 * read <= rows


class RowsRead:
    """`layer` is whole, with the weight `qkv`; `number` and `rule` are those of its attention."""

    def __init__(
        self,
        layer: k.DecoderLayer,
        qkv: PackedWeight,
        kernels: k.Kernels,
        sizes: LayerSizes,
        number: int,
        rule: AttentionRule,
    ) -> None:
        self._run, self._run_layers = kernels.decoder_layer, kernels.layers
        self._sizes, self._number, self._rule = sizes, number, rule
        self._workspace = Workspace(sizes)
        queries = sizes.heads * sizes.head_dim
        self._keys = k.DecoderLayer.from_buffer_copy(layer)
        self._keys.qkv = _part(qkv, queries, qkv.outputs)
        self._keys.query, self._keys.heads = k.NO_NORM, 0
        self._rest = k.DecoderLayer.from_buffer_copy(layer)
        self._rest.qkv = _part(qkv, 0, queries)
        self._rest.key, self._rest.kv_heads = k.NO_NORM, 0
        self._rest_alone = k.addresses_of([self._rest])

    def run(self, call: Call) -> Tensor:
        """[rows, hidden]: 0 where nobody reads."""
        self._write_keys(call)
        output = torch.zeros_like(call.states)
        if len(call.rows_read):
            output[call.rows_read] = self._rest_of(call)
        return output

    def _write_keys(self, call: Call) -> None:
        self._keys.rotary = call.cos.shape[-1]
        self._run(self._keys, call.space.batch, k.NORM, k.ATTENTION)
        heads = self._sizes.kv_heads
        states = _heads(call.space.qkv, len(call.states), 2 * heads)
        call.step.write(self._number, states[:, :heads], states[:, heads:])

    def _rest_of(self, call: Call) -> Tensor:
        """[rows read, hidden]."""
        given = [each[call.rows_read] for each in (call.states, call.cos, call.sin)]
        output = torch.empty_like(given[0])
        self._rest.rotary = call.cos.shape[-1]
        space = self._workspace.of(len(output))
        batch = space.batch
        batch.states, batch.cos, batch.sin = (each.data_ptr() for each in given)
        batch.attended, batch.output = space.attended.data_ptr(), output.data_ptr()
        batch.threads = call.space.batch.threads
        query = _heads(space.qkv, len(output), self._sizes.heads)
        step = call.step.of_rows(call.rows_read.tolist())
        told, layer = step.told(self._number, query, query, query, space.attended, self._rule)
        self._run_layers(self._rest_alone, layer, 1, batch, told)
        return output


def can_part(sizes: LayerSizes) -> bool:
    """Whether queries end where a panel of the weight does."""
    return sizes.heads * sizes.head_dim % PANEL == 0


def _part(weight: PackedWeight, first: int, end: int) -> k.Matrix:
    """Those of its outputs; `first` is a panel's."""
    whole = weight.matrix
    panel = weight.nbytes // -(-weight.outputs // PANEL)
    part = k.Matrix.from_buffer_copy(whole)
    part.weight = whole.weight + first // PANEL * panel
    for name in ("bias", "scales"):
        address = getattr(whole, name)
        if address is not None:
            setattr(part, name, address + first * ctypes.sizeof(ctypes.c_float))
    part.outputs = end - first
    return part


def _heads(memory: Tensor, rows: int, heads: int) -> Tensor:
    """[rows, heads, head_dim] at the beginning of a space's memory for queries, keys and values."""
    dim = memory.shape[-1]
    return memory.flatten()[: rows * heads * dim].view(rows, heads, dim)
