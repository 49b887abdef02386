"""Attention by the C++ kernel, for CPUs."""

import ctypes
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from baton.core.errors import InternalError
from baton.engine.attention.backend import AttentionRule
from baton.engine.plan import Slice, StepPlan

NOBODY_ATTENDS = AttentionRule(1.0)
_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}


class _Slice(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int32) for name in ("first", "count", "start", "table", "blocks")]


class KernelStep(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("pool", "blocks", "slices", "slots")),
        *((name, ctypes.c_int32) for name in ("num_slices", "num_rows", "num_blocks")),
        *((name, ctypes.c_int32) for name in ("num_layers", "num_heads", "num_kv_heads")),
        *((name, ctypes.c_int32) for name in ("head_dim", "block_size", "dtype", "threads")),
    ]


class KernelLayer(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("query", "key", "value", "output")),
        *((name, ctypes.c_int64) for name in ("query_row", "query_head", "key_row", "key_head")),
        *((name, ctypes.c_int64) for name in ("value_row", "value_head")),
        *((name, ctypes.c_int32) for name in ("layer", "window")),
        *((name, ctypes.c_float) for name in ("scaling", "softcap")),
    ]


@dataclass(frozen=True, slots=True)
class _Tables:
    """What a `KernelStep` points to."""

    pool: Tensor
    slices: "ctypes.Array[_Slice]"
    blocks: "array[int]"
    slots: Tensor  # int64, one per row


class CpuKernel:
    """`pool` is `[block][layer][K|V][kv_head][block_size][head_dim]`, shared with other readers.

    `kernels` is what `kernel_build` loads. A row's bits depend on its own query, position, keys and
    values alone: not on who else is in the step, where slices were cut, or the number of threads.
    """

    def __init__(self, pool: Tensor, kernels: ctypes.CDLL) -> None:
        self._pool = pool
        self._prepare = kernels.baton_prepare
        self._prepare.argtypes = [ctypes.POINTER(KernelStep)]
        self._attend = kernels.baton_attend
        self._attend.argtypes = [ctypes.POINTER(KernelStep), ctypes.POINTER(KernelLayer)]
        self._attend.restype = None

    def prepare(self, plan: StepPlan) -> "CpuKernelStep":
        """Raises InternalError where a block table is too short or names no block."""
        tables = _tables(self._pool, plan.slices)
        num_blocks, num_layers, _, kv_heads, block_size, dim = self._pool.shape
        step = KernelStep(
            pool=self._pool.data_ptr(),
            blocks=tables.blocks.buffer_info()[0],
            slices=ctypes.addressof(tables.slices),
            slots=tables.slots.data_ptr(),
            num_slices=len(plan.slices),
            num_rows=len(tables.slots),
            num_blocks=num_blocks,
            num_layers=num_layers,
            num_kv_heads=kv_heads,
            head_dim=dim,
            block_size=block_size,
            dtype=_DTYPES[self._pool.dtype],
            threads=torch.get_num_threads(),
        )
        wrong = self._prepare(step)
        if wrong:
            piece = plan.slices[wrong - 1]
            raise InternalError(
                f"block table {piece.blocks} of {num_blocks} blocks does not hold the positions "
                f"up to {piece.start + len(piece.tokens)}"
            )
        return CpuKernelStep(self._attend, step, tables)


class CpuKernelStep:
    def __init__(self, attend: "ctypes._FuncPointer", step: KernelStep, tables: _Tables) -> None:
        self._attend = attend
        self._step = step
        self._tables = tables  # its memory is read by every call

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        query, key, value = _dense(query), _dense(key), _dense(value)
        output = torch.empty(query.shape, dtype=query.dtype)
        self._attend(*self.told(layer, query, key, value, output, rule))
        return output

    def of_rows(self, rows: Sequence[int]) -> "CpuKernelStep":
        """The same step for these of its rows, in this order: their keys and values are in the pool by
        then, and those that it is told are not read.
        """
        tables = _of_rows(self._tables, rows)
        step = KernelStep.from_buffer_copy(self._step)
        step.slices, step.slots = ctypes.addressof(tables.slices), None
        step.num_slices, step.num_rows = len(tables.slices), len(rows)
        return CpuKernelStep(self._attend, step, tables)

    def told(
        self,
        layer: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        output: Tensor,
        rule: AttentionRule,
    ) -> tuple[KernelStep, KernelLayer]:
        """What the kernel is told of one layer, which writes to `output`, as `query` and contiguous. It
        points to all of these, and is good until the next layer is told.

        The numbers of a head lie side by side.
        """
        self._step.num_heads = query.shape[1]
        return self._step, kernel_layer(layer, query, key, value, output, rule)


def kernel_layer(
    layer: int, query: Tensor, key: Tensor, value: Tensor, output: Tensor, rule: AttentionRule
) -> KernelLayer:
    """See `CpuKernelStep.told`."""
    return KernelLayer(
        *(states.data_ptr() for states in (query, key, value, output)),
        *(stride for states in (query, key, value) for stride in states.stride()[:2]),
        layer,
        rule.window or 0,
        rule.scaling,
        rule.softcap or 0.0,
    )


def _tables(pool: Tensor, slices: Sequence[Slice]) -> _Tables:
    table = (_Slice * len(slices))()
    blocks = array("i")
    num_rows = 0
    for index, piece in enumerate(slices):
        count = len(piece.tokens)
        table[index] = _Slice(num_rows, count, piece.start, len(blocks), len(piece.blocks))
        blocks.extend(piece.blocks)
        num_rows += count
    return _Tables(pool, table, blocks, torch.empty(num_rows, dtype=torch.int64))


def _of_rows(tables: _Tables, rows: Sequence[int]) -> _Tables:
    """Rows of a slice that follow each other are one slice again."""
    firsts = [piece.first for piece in tables.slices]
    found: list[_Slice] = []
    for place, row in enumerate(rows):
        piece = tables.slices[bisect_right(firsts, row) - 1]
        position = piece.start + row - piece.first
        last = found[-1] if found else None
        if last and last.table == piece.table and last.start + last.count == position:
            last.count += 1
        else:
            found.append(_Slice(place, 1, position, piece.table, piece.blocks))
    return replace(tables, slices=(_Slice * len(found))(*found))


def _dense(states: Tensor) -> Tensor:
    """The kernel steps over rows and heads as it is told, but not over the numbers of a head."""
    return states if states.stride(2) == 1 else states.contiguous()
