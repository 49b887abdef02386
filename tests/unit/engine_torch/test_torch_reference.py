"""Paged attention equals dense attention written out, and writes where the block table says."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from baton.core.layout import LayoutDescriptor
from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.blocks.paged_tensor import paged_tensor
from baton.engine.plan import Slice, StepPlan

LAYERS, KV_HEADS, HEADS, DIM, BLOCK = 2, 2, 6, 8, 16
LAYOUT = LayoutDescriptor(LAYERS, KV_HEADS, DIM, BLOCK, "float32")
PLAIN = AttentionRule(scaling=0.3)
RULES = {
    "plain": PLAIN,
    "capped": AttentionRule(0.3, softcap=0.7),
    "own position only": AttentionRule(0.3, window=1),
    "window of a block": AttentionRule(0.3, window=16),
    "window over a boundary": AttentionRule(0.3, window=21),
    "window and cap": AttentionRule(0.3, window=7, softcap=0.7),
    "window wider than all": AttentionRule(0.3, window=100),
}


@pytest.fixture
def pool() -> Iterator[KvPool]:
    with KvPool(LAYOUT, num_blocks=24) as pool:
        yield pool


class SequenceStates:
    """Queries, keys and values of one sequence, all positions, all layers; and its block table."""

    def __init__(self, length: int, blocks: tuple[int, ...], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.blocks = blocks
        self.query = torch.randn(LAYERS, length, HEADS, DIM, generator=generator)
        self.key = torch.randn(LAYERS, length, KV_HEADS, DIM, generator=generator)
        self.value = torch.randn(LAYERS, length, KV_HEADS, DIM, generator=generator)

    def piece(self, start: int, end: int) -> Slice:
        return Slice((0,) * (end - start), start, self.blocks, ())

    def dense(self, layer: int, start: int, end: int, rule: AttentionRule) -> Tensor:
        """Row by row and head by head: softmax over what the window shows of the past and itself."""
        output = torch.empty(end - start, HEADS, DIM)
        for position in range(start, end):
            for head in range(HEADS):
                shared = head // (HEADS // KV_HEADS)
                seen = slice(max(0, position + 1 - (rule.window or position + 1)), position + 1)
                scores = self.key[layer, seen, shared] @ self.query[layer, position, head]
                scores = scores * rule.scaling
                if rule.softcap is not None:
                    scores = rule.softcap * (scores / rule.softcap).tanh()
                values = self.value[layer, seen, shared]
                output[position - start, head] = scores.softmax(dim=0) @ values
        return output


def run(
    pool: KvPool, parts: list[tuple[SequenceStates, int, int]], rule: AttentionRule = PLAIN
) -> list[list[Tensor]]:
    """One step over all layers; of each part its output, layer by layer."""
    plan = StepPlan(tuple(states.piece(start, end) for states, start, end in parts))
    step = TorchReference(paged_tensor(pool, LAYOUT)).prepare(plan)
    outputs: list[list[Tensor]] = [[] for _ in parts]
    for layer in range(LAYERS):
        query, key, value = (
            torch.cat([getattr(states, name)[layer, start:end] for states, start, end in parts])
            for name in ("query", "key", "value")
        )
        flat = step.forward(layer, query, key, value, rule)
        lengths = [end - start for _, start, end in parts]
        for output, part in zip(outputs, torch.split_with_sizes(flat, lengths), strict=True):
            output.append(part)
    return outputs


def check(
    outputs: list[Tensor],
    states: SequenceStates,
    start: int,
    end: int,
    rule: AttentionRule = PLAIN,
) -> None:
    for layer, output in enumerate(outputs):
        torch.testing.assert_close(output, states.dense(layer, start, end, rule))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 40])
def test_a_prompt_in_one_piece_equals_dense_attention(pool: KvPool, length: int, rule: str) -> None:
    states = SequenceStates(length, (7, 3, 11), seed=length)

    [outputs] = run(pool, [(states, 0, length)], RULES[rule])

    check(outputs, states, 0, length, RULES[rule])


@pytest.mark.parametrize("rule", RULES)
def test_chunks_and_single_tokens_on_a_past_equal_dense_attention(pool: KvPool, rule: str) -> None:
    states = SequenceStates(45, (9, 0, 4, 20), seed=1)

    for start, end in [(0, 16), (16, 37), (37, 38), (38, 39), (39, 45)]:
        [outputs] = run(pool, [(states, start, end)], RULES[rule])
        check(outputs, states, start, end, RULES[rule])


def test_layers_of_one_step_may_have_different_rules(pool: KvPool) -> None:
    states = SequenceStates(40, (9, 0, 4), seed=9)
    run(pool, [(states, 0, 20)])
    step = TorchReference(paged_tensor(pool, LAYOUT)).prepare(StepPlan((states.piece(20, 40),)))

    for layer, name in enumerate(("window over a boundary", "plain")):
        rows = [getattr(states, part)[layer, 20:40] for part in ("query", "key", "value")]
        output = step.forward(layer, rows[0], rows[1], rows[2], RULES[name])
        torch.testing.assert_close(output, states.dense(layer, 20, 40, RULES[name]))


def test_sequences_of_a_mixed_step_do_not_see_each_other(pool: KvPool) -> None:
    old = SequenceStates(33, (1, 2, 3), seed=2)
    chunked = SequenceStates(40, (6, 5, 4), seed=3)
    fresh = SequenceStates(20, (10, 8), seed=4)
    run(pool, [(old, 0, 32), (chunked, 0, 16)])

    first, second, third = run(pool, [(old, 32, 33), (chunked, 16, 40), (fresh, 0, 20)])

    check(first, old, 32, 33)
    check(second, chunked, 16, 40)
    check(third, fresh, 0, 20)


def test_a_single_token_has_the_same_bits_in_any_company(pool: KvPool) -> None:
    states = SequenceStates(34, (1, 2, 3), seed=5)
    other = SequenceStates(20, (6, 5), seed=6)
    run(pool, [(states, 0, 33)])

    [alone] = run(pool, [(states, 33, 34)])
    _, accompanied = run(pool, [(other, 0, 20), (states, 33, 34)])

    assert torch.equal(alone[1], accompanied[1])


def test_entries_lie_where_the_layout_says_and_nothing_else_is_touched(pool: KvPool) -> None:
    states = SequenceStates(18, (5, 2), seed=7)

    run(pool, [(states, 0, 18)])

    written = torch.frombuffer(pool.view, dtype=torch.float32, count=24 * LAYOUT.block_bytes // 4)
    expected = torch.zeros(24, LAYERS, 2, KV_HEADS, BLOCK, DIM)
    for position in range(18):
        block, offset = states.blocks[position // BLOCK], position % BLOCK
        expected[block, :, 0, :, offset] = states.key[:, position]
        expected[block, :, 1, :, offset] = states.value[:, position]
    assert torch.equal(written, expected.flatten())


@pytest.mark.parametrize("rule", RULES)
def test_garbage_behind_the_context_is_never_read(pool: KvPool, rule: str) -> None:
    states = SequenceStates(20, (5, 2, 7), seed=8)  # the table may be longer than the context
    paged_tensor(pool, LAYOUT).fill_(torch.nan)

    for start, end in [(0, 10), (10, 19), (19, 20)]:
        [outputs] = run(pool, [(states, start, end)], RULES[rule])
        check(outputs, states, start, end, RULES[rule])


def test_the_pools_tensor_is_no_copy_and_keeps_the_canary_out(pool: KvPool) -> None:
    tensor = paged_tensor(pool, LAYOUT)

    tensor.view(torch.uint8).fill_(255)

    assert bytes(pool.view[pool.canary_offset - 1 : pool.canary_offset]) == b"\xff"
    assert bytes(pool.view[pool.canary_offset :]) != b"\xff" * (pool.size - pool.canary_offset)
    assert tensor.numel() * 4 == pool.num_blocks * pool.block_bytes
