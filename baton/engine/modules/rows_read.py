"""A decoder layer of which few rows are read, for none comes after it: keys and values of all rows go into
the pool, and those few alone attend and are computed further. Their bits are those of the whole layer.
"""

import ctypes

import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.cpu_kernel import NOBODY_ATTENDS, CpuKernelStep, kernel_layer
from baton.engine.modules import kernels as k
from baton.engine.modules.packed_weight import PANEL, PackedWeight
from baton.engine.modules.workspace import LayerSizes, Space, Workspace


def pays_to_part(read: int, rows: int) -> bool:
    """So many from the others: not where most are read, as in decode."""
    return 2 * read <= rows


class RowsRead:
    """`layer` is whole, with the weight `qkv`; `number` and `rule` are those of its attention."""

    def __init__(
        self,
        layer: k.DecoderLayer,
        qkv: PackedWeight,
        sizes: LayerSizes,
        number: int,
        rule: AttentionRule,
    ) -> None:
        self._sizes, self._number, self._rule = sizes, number, rule
        self._workspace = Workspace(sizes)
        self._taken: _Taken | None = None
        queries = sizes.heads * sizes.head_dim
        self._keys = k.DecoderLayer.from_buffer_copy(layer)
        self._keys.qkv = _part(qkv, queries, qkv.outputs)
        self._keys.query, self._keys.heads = k.NO_NORM, 0
        self._rest = k.DecoderLayer.from_buffer_copy(layer)
        self._rest.qkv = _part(qkv, 0, queries)
        self._rest.key, self._rest.kv_heads = k.NO_NORM, 0

    def end(
        self, ending: k.Ending, space: Space, rotary: int, step: CpuKernelStep, rows: Tensor
    ) -> Tensor:
        """[rows read, hidden], which layers that run with `ending` will write: good until the next call.

        `space` is that of all rows; `rows` are int64, those that are read, to which `ending` points.
        """
        self._keys.rotary = self._rest.rotary = rotary
        ending.keys, ending.rest = ctypes.pointer(self._keys), ctypes.pointer(self._rest)
        heads = self._sizes.kv_heads
        states = _heads(space.qkv, space.batch.rows, 2 * heads)
        keys, values = states[:, :heads], states[:, heads:]
        written = kernel_layer(self._number, keys, keys, values, keys, NOBODY_ATTENDS)
        taken = self._taken_of(len(rows), rotary)
        query = _heads(taken.space.qkv, len(rows), self._sizes.heads)
        taken.step = step.of_rows(rows.tolist())
        told, attention = taken.step.told(
            self._number, query, query, query, taken.space.attended, self._rule
        )
        ending.written, ending.attention = ctypes.pointer(written), ctypes.pointer(attention)
        ending.step, ending.batch = ctypes.pointer(told), ctypes.pointer(taken.space.batch)
        return taken.output

    def _taken_of(self, rows: int, rotary: int) -> "_Taken":
        space = self._workspace.of(rows)
        if self._taken is None or self._taken.space is not space:
            self._taken = _Taken(space, self._sizes, rotary)
        return self._taken


class _Taken:
    """Memory of the rows that are read, where they are computed further; `space` points to it."""

    def __init__(self, space: Space, sizes: LayerSizes, rotary: int) -> None:
        rows = space.batch.rows
        self.space = space
        self.states = torch.empty(rows, sizes.hidden, dtype=sizes.dtype)
        self.output = torch.empty_like(self.states)
        self.cos = torch.empty(rows, rotary, dtype=sizes.dtype)
        self.sin = torch.empty_like(self.cos)
        self.step: CpuKernelStep | None = None  # to whose tables the kernel is pointed
        space.batch_of(self.states, self.output, self.cos, self.sin)
        space.batch.attended = space.attended.data_ptr()


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
