"""Attention by FlashInfer: an optional library, taken where it is wished for, without CUDA graphs.

Not run so far: written after the documented signatures of `BatchPrefillWithPagedKVCacheWrapper`, which
tests pretend. Decode rows are prompts of one token to it.
"""

import itertools
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.device_inputs import step_slots
from baton.engine.attention.flash_attn import write_rows
from baton.engine.plan import StepPlan

WORKSPACE = 128 << 20  # bytes, as its documentation has it


class FlashInfer:
    """`pool` is `[block][layer][K|V][kv_head][block_size][head_dim]` on the device."""

    def __init__(self, pool: Tensor) -> None:
        self._pool = pool
        self._library: Any = import_module("flashinfer")
        self._workspace = torch.empty(WORKSPACE, dtype=torch.uint8, device=pool.device)

    def prepare(self, plan: StepPlan) -> "FlashInferStep":
        """Raises InternalError where a block table is too short or names no block."""
        wrapper = self._library.BatchPrefillWithPagedKVCacheWrapper(self._workspace, "HND")
        return FlashInferStep(self._pool, wrapper, plan, step_slots(plan, self._pool))


class FlashInferStep:
    def __init__(self, pool: Tensor, wrapper: Any, plan: StepPlan, slots: Tensor) -> None:
        self._pool = pool
        self._wrapper = wrapper
        self._plan = plan
        self._slots = slots
        self._planned: tuple[AttentionRule, int] | None = None

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        memory = self._pool[:, layer]
        write_rows(memory, self._slots, key, value)
        if self._planned != (rule, query.shape[1]):  # layers that see a window are planned anew
            self._set_out(query.shape[1], rule)
            self._planned = rule, query.shape[1]
        output: Tensor = self._wrapper.run(query.contiguous(), (memory[:, 0], memory[:, 1]))
        return output

    def _set_out(self, heads: int, rule: AttentionRule) -> None:
        """It plans on the host, so it is given tensors of the host."""
        kv_heads, block_size, dim = self._pool.shape[3:]
        slices = self._plan.slices
        contexts = [piece.start + len(piece.tokens) for piece in slices]
        used = [-(-context // block_size) for context in contexts]
        tables = [piece.blocks[:count] for piece, count in zip(slices, used, strict=True)]
        self._wrapper.plan(
            _int32([0, *itertools.accumulate(len(piece.tokens) for piece in slices)]),
            _int32([0, *itertools.accumulate(used)]),
            _int32(itertools.chain.from_iterable(tables)),
            _int32((context - 1) % block_size + 1 for context in contexts),
            heads,
            kv_heads,
            dim,
            block_size,
            causal=True,
            sm_scale=rule.scaling,
            window_left=-1 if rule.window is None else rule.window - 1,
            logits_soft_cap=rule.softcap,
            q_data_type=self._pool.dtype,
            kv_data_type=self._pool.dtype,
        )


def _int32(numbers: Any) -> Tensor:
    return torch.tensor(list(numbers), dtype=torch.int32)
