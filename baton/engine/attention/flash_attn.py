"""Attention by FlashAttention-3, for Hopper devices: an optional library, taken where it is there.

Not run so far: written after its signature (`flash_attn_interface.flash_attn_with_kvcache`), which tests
pretend. One call a layer, for prompts and decode rows together.
"""

import itertools
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.device_inputs import DecodeBuffers, square, step_slots
from baton.engine.machine.device import sent
from baton.engine.plan import StepPlan


@dataclass(frozen=True, slots=True)
class _Inputs:
    slots: Tensor  # int64 [rows]
    ends: Tensor  # int32 [slices + 1]: rows before each slice, and behind the last
    contexts: Tensor  # int32 [slices]: keys
    tables: Tensor  # int32 [slices, blocks of the longest]
    longest: int  # rows of a slice


class FlashAttention:
    """`pool` is `[block][layer][K|V][kv_head][block_size][head_dim]` on the device."""

    def __init__(self, pool: Tensor) -> None:
        self._pool = pool
        self._attend: Any = import_module("flash_attn_interface").flash_attn_with_kvcache

    def prepare(self, plan: StepPlan) -> "FlashStep":
        """Raises InternalError where a block table is too short or names no block."""
        device = self._pool.device
        slots = step_slots(plan, self._pool)
        counts = [len(piece.tokens) for piece in plan.slices]
        contexts = [piece.start + len(piece.tokens) for piece in plan.slices]
        inputs = _Inputs(
            slots,
            sent([0, *itertools.accumulate(counts)], torch.int32, device),
            sent(contexts, torch.int32, device),
            sent(square([piece.blocks for piece in plan.slices]), torch.int32, device),
            max(counts),
        )
        return FlashStep(self._pool, self._attend, inputs)

    def decode_step(self, rows: int, context: int) -> "FixedFlashStep":
        return FixedFlashStep(self._pool, self._attend, DecodeBuffers(self._pool, rows, context))


class FlashStep:
    def __init__(self, pool: Tensor, attend: Any, inputs: _Inputs) -> None:
        self._pool = pool
        self._attend = attend
        self._inputs = inputs

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        memory, inputs = self._pool[:, layer], self._inputs
        write_rows(memory, inputs.slots, key, value)
        output: Tensor = self._attend(
            query.contiguous(),
            memory[:, 0].transpose(1, 2),  # it wants [block, place, head, dim], of any stride
            memory[:, 1].transpose(1, 2),
            cache_seqlens=inputs.contexts,
            page_table=inputs.tables,
            cu_seqlens_q=inputs.ends,
            max_seqlen_q=inputs.longest,
            softmax_scale=rule.scaling,
            causal=True,
            window_size=(-1, -1) if rule.window is None else (rule.window - 1, 0),
            softcap=rule.softcap or 0.0,
        )
        return output


class FixedFlashStep(FlashStep):
    """A `DecodeStep`."""

    def __init__(self, pool: Tensor, attend: Any, buffers: DecodeBuffers) -> None:
        decode = buffers.decode
        rows = len(decode.rows)
        ends = torch.arange(rows + 1, dtype=torch.int32, device=pool.device)
        inputs = _Inputs(buffers.slots, ends, decode.contexts, decode.tables, 1)
        super().__init__(pool, attend, inputs)
        self._buffers = buffers

    def renew(self, plan: StepPlan) -> None:
        self._buffers.fill(plan)


def write_rows(memory: Tensor, slots: Tensor, key: Tensor, value: Tensor) -> None:
    """K and V of each row to its slot of one layer, `[block][K|V][kv_head][block_size][head_dim]`."""
    block_size = memory.shape[3]
    blocks, places = slots // block_size, slots % block_size
    memory[blocks, 0, :, places] = key
    memory[blocks, 1, :, places] = value
