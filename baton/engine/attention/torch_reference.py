"""Attention in plain torch, one sequence at a time: the backend that every other is measured by."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from baton.engine.attention.backend import AttentionRule
from baton.engine.plan import Slice, StepPlan


@dataclass(frozen=True, slots=True)
class _Span:
    """One slice of the plan as the layers see it."""

    first: int  # row in the flat batch
    count: int  # rows
    context: int  # positions attended to by the last row, itself included
    blocks: Tensor  # int64, as many as hold the context
    mask: Tensor | None  # bool [count, context] for a chunk that has a past


class TorchReference:
    """`pool` is `[block][layer][K|V][kv_head][block_size][head_dim]`, shared with other readers."""

    def __init__(self, pool: Tensor) -> None:
        self._pool = pool

    def prepare(self, plan: StepPlan) -> "TorchReferenceStep":
        block_size = self._pool.shape[4]
        spans: list[_Span] = []
        positions: list[tuple[int, int]] = []  # (block, offset) of each row
        for piece in plan.slices:
            spans.append(_span(piece, len(positions), block_size))
            positions += (
                (piece.blocks[position // block_size], position % block_size)
                for position in range(piece.start, piece.start + len(piece.tokens))
            )
        blocks, offsets = torch.tensor(positions).unbind(dim=1)
        return TorchReferenceStep(self._pool, tuple(spans), blocks, offsets)


class TorchReferenceStep:
    def __init__(
        self, pool: Tensor, spans: tuple[_Span, ...], blocks: Tensor, offsets: Tensor
    ) -> None:
        self._pool = pool
        self._spans = spans
        self._blocks = blocks
        self._offsets = offsets

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        memory = self._pool[:, layer]
        memory[self._blocks, 0, :, self._offsets] = key
        memory[self._blocks, 1, :, self._offsets] = value
        by_head = memory.permute(1, 2, 0, 3, 4)  # [K|V, kv_head, block, offset, dim]
        output = query.new_empty(query.shape)
        for span in self._spans:
            rows = slice(span.first, span.first + span.count)
            if span.count == span.context > 1:
                past = torch.stack((key[rows], value[rows])).transpose(1, 2)
            else:
                past = by_head.index_select(2, span.blocks).flatten(2, 3)[:, :, : span.context]
            attend = _attend_one if span.count == 1 else _attend_many
            output[rows] = attend(query[rows], past, span, rule.scaling)
        return output


def _span(piece: Slice, first: int, block_size: int) -> _Span:
    count = len(piece.tokens)
    context = piece.start + count
    blocks = torch.tensor(piece.blocks[: -(-context // block_size)])
    mask = None
    if piece.start and count > 1:
        # Aligned at the bottom right: row i sees the past and the chunk up to itself.
        mask = torch.ones(count, context, dtype=torch.bool).tril(piece.start)
    return _Span(first, count, context, blocks, mask)


def _attend_one(query: Tensor, past: Tensor, span: _Span, scaling: float) -> Tensor:
    """The heads that share a KV head stand as its rows: several times faster than `enable_gqa`."""
    kv_heads, dim = past.shape[1], past.shape[3]
    grouped = query.view(1, kv_heads, -1, dim)
    output = scaled_dot_product_attention(grouped, past[0][None], past[1][None], scale=scaling)
    return output.reshape(query.shape)


def _attend_many(query: Tensor, past: Tensor, span: _Span, scaling: float) -> Tensor:
    output = scaled_dot_product_attention(
        query.transpose(0, 1)[None],
        past[0][None],
        past[1][None],
        attn_mask=span.mask,
        is_causal=span.mask is None,
        scale=scaling,
        enable_gqa=True,
    )
    return output[0].transpose(0, 1)
