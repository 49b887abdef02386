"""Attention in plain torch, one sequence at a time: the backend that every other is measured by."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from baton.engine.attention.backend import AttentionRule
from baton.engine.plan import Slice, StepPlan


@dataclass(frozen=True, slots=True)
class _Span:
    """One slice of the plan as the layers see it that have the same window."""

    first: int  # row in the flat batch
    count: int  # rows
    start: int  # position of the first row
    low: int  # first position that any row attends to
    blocks: Tensor  # int64, those that hold the positions from `low` to the last row
    skipped: int  # positions of the first block that lie before `low`
    mask: Tensor | None  # bool [count, keys]; None: a row sees every key up to itself

    @property
    def fresh(self) -> bool:
        """A prompt from its beginning: keys and values need not be read back from the pool."""
        return self.start == 0 and self.count > 1

    @property
    def keys(self) -> int:
        return self.start + self.count - self.low


class TorchReference:
    """`pool` is `[block][layer][K|V][kv_head][block_size][head_dim]`, shared with other readers."""

    def __init__(self, pool: Tensor) -> None:
        self._pool = pool

    def prepare(self, plan: StepPlan) -> "TorchReferenceStep":
        block_size = self._pool.shape[4]
        positions: list[tuple[int, int]] = []  # (block, offset) of each row
        for piece in plan.slices:
            positions += (
                (piece.blocks[position // block_size], position % block_size)
                for position in range(piece.start, piece.start + len(piece.tokens))
            )
        blocks, offsets = torch.tensor(positions).unbind(dim=1)
        return TorchReferenceStep(self._pool, plan, blocks, offsets)


class TorchReferenceStep:
    def __init__(self, pool: Tensor, plan: StepPlan, blocks: Tensor, offsets: Tensor) -> None:
        self._pool = pool
        self._plan = plan
        self._blocks = blocks
        self._offsets = offsets
        self._spans: dict[int | None, tuple[_Span, ...]] = {}  # by window

    def forward(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        memory = self._pool[:, layer]
        memory[self._blocks, 0, :, self._offsets] = key
        memory[self._blocks, 1, :, self._offsets] = value
        return self.attend(layer, query, key, value, rule)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, rule: AttentionRule
    ) -> Tensor:
        """`forward` for those who have written K and V into the pool already."""
        by_head = self._pool[:, layer].permute(1, 2, 0, 3, 4)  # [K|V, kv_head, block, offset, dim]
        output = query.new_empty(query.shape)
        for span in self._spans_of(rule.window):
            rows = slice(span.first, span.first + span.count)
            if span.fresh:
                past = torch.stack((key[rows], value[rows])).transpose(1, 2)
            else:
                past = by_head.index_select(2, span.blocks).flatten(2, 3)
                past = past[:, :, span.skipped : span.skipped + span.keys]
            output[rows] = _attend(query[rows], past, span, rule)
        return output

    def _spans_of(self, window: int | None) -> tuple[_Span, ...]:
        if window not in self._spans:
            spans: list[_Span] = []
            first = 0
            for piece in self._plan.slices:
                spans.append(_span(piece, first, self._pool.shape[4], window))
                first += len(piece.tokens)
            self._spans[window] = tuple(spans)
        return self._spans[window]


def _span(piece: Slice, first: int, block_size: int, window: int | None) -> _Span:
    count, start = len(piece.tokens), piece.start
    context = start + count
    low = 0 if window is None else max(0, start - window + 1)
    blocks = piece.blocks[low // block_size : -(-context // block_size)]
    seen = context if window is None else window
    mask = None
    if count > 1 and (start or seen < count):
        rows = torch.arange(start, context)[:, None]
        keys = torch.arange(low, context)
        mask = (keys <= rows) & (keys > rows - seen)
    return _Span(first, count, start, low, torch.tensor(blocks), low % block_size, mask)


def _attend(query: Tensor, past: Tensor, span: _Span, rule: AttentionRule) -> Tensor:
    if rule.softcap is not None:
        return _attend_capped(query, past, span, rule.scaling, rule.softcap)
    if span.count == 1:
        return _attend_one(query, past, rule.scaling)
    return _attend_many(query, past, span, rule.scaling)


def _attend_one(query: Tensor, past: Tensor, scaling: float) -> Tensor:
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


def _attend_capped(
    query: Tensor, past: Tensor, span: _Span, scaling: float, softcap: float
) -> Tensor:
    """Written out, for torch's own attention knows no soft cap; the softmax in float32."""
    kv_heads, dim = past.shape[1], past.shape[3]
    grouped = query.transpose(0, 1).reshape(kv_heads, -1, span.count, dim)
    scores = grouped @ past[0][:, None].transpose(2, 3) * scaling
    scores = softcap * torch.tanh(scores / softcap)
    if span.count > 1:
        mask = span.mask
        if mask is None:
            mask = torch.ones(span.count, span.keys, dtype=torch.bool).tril()
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    output = weights @ past[1][:, None]
    return output.reshape(-1, span.count, dim).transpose(0, 1)
