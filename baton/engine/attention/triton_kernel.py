"""Attention by Triton kernels, for CUDA devices (and, for tests, in Triton's interpreter)."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from baton.core.errors import InternalError
from baton.engine.attention import triton_kernels as kernels
from baton.engine.attention.backend import AttentionRule
from baton.engine.plan import Slice, StepPlan

SPLIT = (
    512  # keys that one program of decode reads: a constant, so that no batch changes a sum's order
)
_SMALLEST_DOT = 16  # rows of a matrix product


@dataclass(frozen=True, slots=True)
class _Tiles:
    """How much one program takes at once."""

    rows: int  # of a prompt
    keys: int
    warps: int  # that share the rows


@dataclass(frozen=True, slots=True)
class _Decode:
    """Slices of one row. int32, on the pool's device."""

    rows: Tensor  # [sequences]
    contexts: Tensor  # [sequences]
    tables: Tensor  # [sequences, blocks of the longest]
    num_splits: int


@dataclass(frozen=True, slots=True)
class _Prefill:
    """Longer slices. int32, on the pool's device."""

    tile_slices: Tensor  # [tiles]
    tile_rows: Tensor  # [tiles]
    firsts: Tensor  # [slices]
    counts: Tensor  # [slices]
    starts: Tensor  # [slices]
    tables: Tensor  # [slices, blocks of the longest]


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
        block_size = self._pool.shape[4]
        for piece in plan.slices:
            _check(piece, block_size, len(self._pool))
        placed = list(zip(_firsts(plan.slices), plan.slices, strict=True))
        ones = [(first, piece) for first, piece in placed if len(piece.tokens) == 1]
        longer = [(first, piece) for first, piece in placed if len(piece.tokens) > 1]
        return TritonStep(
            self._pool,
            self._tiles,
            self._sent(_slots(plan.slices, block_size), torch.int64),
            self._decode(ones) if ones else None,
            self._prefill(longer) if longer else None,
        )

    def _decode(self, placed: Sequence[tuple[int, Slice]]) -> _Decode:
        contexts = [piece.start + 1 for _, piece in placed]
        return _Decode(
            self._sent([first for first, _ in placed]),
            self._sent(contexts),
            self._sent(_square([piece.blocks for _, piece in placed])),
            -(-max(contexts) // SPLIT),
        )

    def _prefill(self, placed: Sequence[tuple[int, Slice]]) -> _Prefill:
        counts = [len(piece.tokens) for _, piece in placed]
        tiles = [
            (index, row)
            for index, count in enumerate(counts)
            for row in range(0, count, self._tiles.rows)
        ]
        return _Prefill(
            self._sent([index for index, _ in tiles]),
            self._sent([row for _, row in tiles]),
            self._sent([first for first, _ in placed]),
            self._sent(counts),
            self._sent([piece.start for _, piece in placed]),
            self._sent(_square([piece.blocks for _, piece in placed])),
        )

    def _sent(
        self, numbers: Sequence[int] | Sequence[Sequence[int]], dtype: torch.dtype = torch.int32
    ) -> Tensor:
        """To the device, without waiting for it."""
        on_host = torch.tensor(numbers, dtype=dtype)
        if self._pool.device.type != "cuda":
            return on_host
        return on_host.pin_memory().to(self._pool.device, non_blocking=True)


class TritonStep:
    def __init__(
        self,
        pool: Tensor,
        tiles: _Tiles,
        slots: Tensor,
        decode: _Decode | None,
        prefill: _Prefill | None,
    ) -> None:
        self._pool = pool
        self._tiles = tiles
        self._slots = slots  # int64, one per row
        self._decode = decode
        self._prefill = prefill

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
        self, decode: _Decode, memory: Tensor, query: Tensor, output: Tensor, rule: AttentionRule
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
        self, prefill: _Prefill, memory: Tensor, query: Tensor, output: Tensor, rule: AttentionRule
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


def _tiles(pool: Tensor) -> _Tiles:
    """Small enough for the registers and the shared memory of one multiprocessor."""
    if pool.dtype == torch.float32 or _padded(pool.shape[5]) > 128:
        return _Tiles(rows=32, keys=32, warps=4)
    return _Tiles(rows=128, keys=64, warps=8)


def _padded(head_dim: int) -> int:
    return max(_SMALLEST_DOT, int(triton.next_power_of_2(head_dim)))


def _check(piece: Slice, block_size: int, num_blocks: int) -> None:
    end = piece.start + len(piece.tokens)
    fits = len(piece.blocks) * block_size >= end
    if not fits or min(piece.blocks) < 0 or max(piece.blocks) >= num_blocks:
        raise InternalError(
            f"block table {piece.blocks} of {num_blocks} blocks does not hold the positions "
            f"up to {end}"
        )


def _slots(slices: Sequence[Slice], block_size: int) -> list[int]:
    """Of each row where its K and V go."""
    return [
        piece.blocks[position // block_size] * block_size + position % block_size
        for piece in slices
        for position in range(piece.start, piece.start + len(piece.tokens))
    ]


def _firsts(slices: Sequence[Slice]) -> list[int]:
    """Of each slice its first row."""
    counts = [len(piece.tokens) for piece in slices]
    return [0, *itertools.accumulate(counts)][: len(counts)]


def _square(tables: Sequence[Sequence[int]]) -> list[list[int]]:
    """Filled up with block 0, which nobody reads there."""
    longest = max(map(len, tables))
    return [[*table, *[0] * (longest - len(table))] for table in tables]


def _dense(states: Tensor) -> Tensor:
    """The kernels step over rows and heads as they are told, but not over the numbers of a head."""
    return states if states.stride(2) == 1 else states.contiguous()
