"""Attention by Triton kernels, for CUDA devices (and, for tests, in Triton's interpreter)."""

from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from baton.engine.attention import triton_kernels as kernels
from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.device_inputs import (
    SPLIT,
    DecodeBuffers,
    DecodeInputs,
    PrefillInputs,
    StepInputs,
    step_inputs,
)
from baton.engine.plan import StepPlan

_SMALLEST_DOT = 16  # rows of a matrix product


@dataclass(frozen=True, slots=True)
class _Tiles:
    """How much one program takes at once."""

    rows: int  # of a prompt
    keys: int
    warps: int  # that share the rows


class TritonKernel:
    """`pool` is `[block][layer][K|V][kv_head][block_size][head_dim]` on the device to compute on.

    A row's bits depend on its own sequence alone, and on whether it is alone in its slice (decode)
    or not (prefill): these add up in different orders.
    """

    def __init__(self, pool: Tensor) -> None:
        self._pool = pool
        self._tiles = _tiles(pool)

    def prepare(self, plan: StepPlan) -> "TritonStep":
        """Raises InternalError where a block table is too short or names no block."""
        inputs = step_inputs(plan, self._pool, self._tiles.rows)
        return TritonStep(self._pool, self._tiles, inputs)

    def decode_step(self, rows: int, context: int) -> "FixedTritonStep":
        """For `rows` sequences of up to `context` tokens, one row of each, again and again."""
        return FixedTritonStep(self._pool, self._tiles, DecodeBuffers(self._pool, rows, context))


class TritonStep:
    def __init__(self, pool: Tensor, tiles: _Tiles, inputs: StepInputs) -> None:
        self._pool = pool
        self._tiles = tiles
        self._slots = inputs.slots
        self._decode = inputs.decode
        self._prefill = inputs.prefill

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        query, key, value = _dense(query), _dense(key), _dense(value)
        memory = self._pool[:, layer]
        self._write(memory, key, value)
        output = torch.empty(query.shape, dtype=query.dtype, device=query.device)
        if self._prefill is not None:
            self._run_prefill(self._prefill, memory, query, output, rule)
        if self._decode is not None:
            self._run_decode(self._decode, memory, query, output, rule)
        return output

    def _write(self, memory: Tensor, key: Tensor, value: Tensor) -> None:
        dim = memory.shape[4]
        kernels.write_rows[(len(key), key.shape[1])](
            memory,
            key,
            value,
            self._slots,
            *memory.stride()[:3],
            *key.stride()[:2],
            *value.stride()[:2],
            HEAD_DIM=dim,
            PADDED_DIM=triton.next_power_of_2(dim),
            BLOCK_SIZE=memory.shape[3],
        )

    def _run_decode(
        self,
        decode: DecodeInputs,
        memory: Tensor,
        query: Tensor,
        output: Tensor,
        rule: AttentionRule,
    ) -> None:
        kv_heads, block_size, dim = memory.shape[2:]
        heads, sequences = query.shape[1], len(decode.rows)
        part = (sequences, heads, decode.num_splits)
        best, total = query.new_empty((2, *part), dtype=torch.float32)
        parts = query.new_empty((*part, dim), dtype=torch.float32)
        window = rule.window or 0
        kernels.decode_part[(sequences, kv_heads, decode.num_splits)](
            best,
            total,
            parts,
            query,
            memory,
            decode.rows,
            decode.contexts,
            decode.tables,
            *query.stride()[:2],
            *memory.stride()[:3],
            decode.tables.stride(0),
            rule.scaling,
            rule.softcap or 0.0,
            window,
            decode.num_splits,
            HAS_CAP=rule.softcap is not None,
            HAS_WINDOW=rule.window is not None,
            GROUP=heads // kv_heads,
            PADDED_GROUP=max(_SMALLEST_DOT, triton.next_power_of_2(heads // kv_heads)),
            HEAD_DIM=dim,
            PADDED_DIM=_padded(dim),
            BLOCK_SIZE=block_size,
            SPLIT=SPLIT,
            KEYS=self._tiles.keys,
        )
        kernels.decode_whole[(sequences, heads)](
            output,
            best,
            total,
            parts,
            decode.rows,
            decode.contexts,
            window,
            decode.num_splits,
            HAS_WINDOW=rule.window is not None,
            HEAD_DIM=dim,
            PADDED_DIM=_padded(dim),
            SPLIT=SPLIT,
        )

    def _run_prefill(
        self,
        prefill: PrefillInputs,
        memory: Tensor,
        query: Tensor,
        output: Tensor,
        rule: AttentionRule,
    ) -> None:
        kv_heads, block_size, dim = memory.shape[2:]
        heads = query.shape[1]
        kernels.prefill_tile[(len(prefill.tile_slices), heads)](
            output,
            query,
            memory,
            prefill.tile_slices,
            prefill.tile_rows,
            prefill.firsts,
            prefill.counts,
            prefill.starts,
            prefill.tables,
            *query.stride()[:2],
            *memory.stride()[:3],
            prefill.tables.stride(0),
            rule.scaling,
            rule.softcap or 0.0,
            rule.window or 0,
            HAS_CAP=rule.softcap is not None,
            HAS_WINDOW=rule.window is not None,
            GROUP=heads // kv_heads,
            HEAD_DIM=dim,
            PADDED_DIM=_padded(dim),
            BLOCK_SIZE=block_size,
            ROWS=self._tiles.rows,
            KEYS=self._tiles.keys,
            num_warps=self._tiles.warps,
        )


class FixedTritonStep(TritonStep):
    """A `DecodeStep`: whoever has captured its kernels replays them on what `renew` was told last."""

    def __init__(self, pool: Tensor, tiles: _Tiles, buffers: DecodeBuffers) -> None:
        super().__init__(pool, tiles, StepInputs(buffers.slots, buffers.decode, None))
        self._buffers = buffers

    def renew(self, plan: StepPlan) -> None:
        self._buffers.fill(plan)


def _tiles(pool: Tensor) -> _Tiles:
    """Small enough for the registers and the shared memory of one multiprocessor."""
    if pool.dtype == torch.float32 or _padded(pool.shape[5]) > 128:
        return _Tiles(rows=32, keys=32, warps=4)
    return _Tiles(rows=128, keys=64, warps=8)


def _padded(head_dim: int) -> int:
    return max(_SMALLEST_DOT, int(triton.next_power_of_2(head_dim)))


def _dense(states: Tensor) -> Tensor:
    """The kernels step over rows and heads as they are told, but not over the numbers of a head."""
    return states if states.stride(2) == 1 else states.contiguous()
