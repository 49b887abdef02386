"""What attention kernels on a device are told of a step: where rows go, which blocks hold what."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from baton.core.errors import InternalError
from baton.engine.machine.device import HostTurns, sent
from baton.engine.plan import Slice, StepPlan

SPLIT = (
    512  # keys that one program of decode reads: a constant, so that no batch changes a sum's order
)


@dataclass(frozen=True, slots=True)
class DecodeInputs:
    """Slices of one row. int32, on the pool's device."""

    rows: Tensor  # [sequences]
    contexts: Tensor  # [sequences]
    tables: Tensor  # [sequences, blocks of the longest]
    num_splits: int


@dataclass(frozen=True, slots=True)
class PrefillInputs:
    """Longer slices. int32, on the pool's device."""

    tile_slices: Tensor  # [tiles]
    tile_rows: Tensor  # [tiles]
    firsts: Tensor  # [slices]
    counts: Tensor  # [slices]
    starts: Tensor  # [slices]
    tables: Tensor  # [slices, blocks of the longest]


@dataclass(frozen=True, slots=True)
class StepInputs:
    slots: Tensor  # int64, of each row where its K and V go: block * block_size + place in it
    decode: DecodeInputs | None
    prefill: PrefillInputs | None


def step_inputs(plan: StepPlan, pool: Tensor, tile_rows: int) -> StepInputs:
    """Raises InternalError where a block table is too short or names no block of the pool."""
    device = pool.device
    slots = step_slots(plan, pool)
    placed = list(zip(_firsts(plan.slices), plan.slices, strict=True))
    ones = [(first, piece) for first, piece in placed if len(piece.tokens) == 1]
    longer = [(first, piece) for first, piece in placed if len(piece.tokens) > 1]
    return StepInputs(
        slots,
        _decode(ones, device) if ones else None,
        _prefill(longer, tile_rows, device) if longer else None,
    )


def step_slots(plan: StepPlan, pool: Tensor) -> Tensor:
    """`StepInputs.slots`, on the pool's device. Raises as `step_inputs` does."""
    block_size = pool.shape[4]
    for piece in plan.slices:
        _check(piece, block_size, len(pool))
    return sent(_slots(plan.slices, block_size), torch.int64, pool.device)


class DecodeBuffers:
    """`StepInputs` of one row of each sequence, at addresses that stay: one batch after another is
    filled in, on the host first.
    """

    def __init__(self, pool: Tensor, rows: int, context: int) -> None:
        """`context`: tokens of the longest sequence."""
        self._block_size, self._num_blocks = pool.shape[4], len(pool)
        device, width = pool.device, -(-context // self._block_size)
        self._rows, self._width = rows, width
        self._slots = HostTurns((rows,), torch.int64, device)
        self._contexts = HostTurns((rows,), torch.int32, device)
        self._tables = HostTurns((rows, width), torch.int32, device)
        slots = torch.zeros(rows, dtype=torch.int64, device=device)
        contexts = torch.ones(rows, dtype=torch.int32, device=device)
        tables = torch.zeros((rows, width), dtype=torch.int32, device=device)
        order = torch.arange(rows, dtype=torch.int32, device=device)
        self.slots = slots
        self.decode = DecodeInputs(order, contexts, tables, -(-context // SPLIT))

    def fill(self, plan: StepPlan) -> None:
        """As many slices as there are rows. Raises InternalError as `step_inputs` does."""
        for piece in plan.slices:
            _check(piece, self._block_size, self._num_blocks)
        tables = [piece.blocks for piece in plan.slices]
        longest = max(map(len, tables))
        if len(tables) != self._rows or longest > self._width:
            raise InternalError(f"{len(tables)} sequences of {longest} blocks fit no buffer")
        here = self._slots.next(), self._contexts.next(), self._tables.next()
        here[0].copy_(torch.tensor(_slots(plan.slices, self._block_size)))
        here[1].copy_(torch.tensor([piece.start + 1 for piece in plan.slices]))
        here[2][:, :longest].copy_(torch.tensor(square(tables)))
        there = self.slots, self.decode.contexts, self.decode.tables
        for buffer, ready in zip(there, here, strict=True):
            buffer.copy_(ready, non_blocking=True)


def _decode(placed: Sequence[tuple[int, Slice]], device: torch.device) -> DecodeInputs:
    contexts = [piece.start + 1 for _, piece in placed]
    return DecodeInputs(
        sent([first for first, _ in placed], torch.int32, device),
        sent(contexts, torch.int32, device),
        sent(square([piece.blocks for _, piece in placed]), torch.int32, device),
        -(-max(contexts) // SPLIT),
    )


def _prefill(
    placed: Sequence[tuple[int, Slice]], tile_rows: int, device: torch.device
) -> PrefillInputs:
    counts = [len(piece.tokens) for _, piece in placed]
    tiles = [
        (index, row) for index, count in enumerate(counts) for row in range(0, count, tile_rows)
    ]
    return PrefillInputs(
        sent([index for index, _ in tiles], torch.int32, device),
        sent([row for _, row in tiles], torch.int32, device),
        sent([first for first, _ in placed], torch.int32, device),
        sent(counts, torch.int32, device),
        sent([piece.start for _, piece in placed], torch.int32, device),
        sent(square([piece.blocks for _, piece in placed]), torch.int32, device),
    )


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


def square(tables: Sequence[Sequence[int]]) -> list[list[int]]:
    """Filled up with block 0, which nobody reads there."""
    longest = max(map(len, tables))
    return [[*table, *[0] * (longest - len(table))] for table in tables]
