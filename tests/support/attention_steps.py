"""One step of attention over a paged pool, and what any backend must make of it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionBackend, AttentionRule
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.plan import Slice, StepPlan

# Of an output near 1: rounding to the dtype once, and of sums in float32.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
NUM_LAYERS, NUM_BLOCKS = 2, 60

Backend = Callable[[Tensor], AttentionBackend]


@dataclass(frozen=True, slots=True)
class Step:
    """A pool that holds a past, and the rows of one step."""

    pool: Tensor
    plan: StepPlan
    query: Tensor
    key: Tensor
    value: Tensor

    def run(self, pool: Tensor, backend: Backend, rule: AttentionRule) -> Tensor:
        step = backend(pool).prepare(self.plan)
        return step.forward(1, self.query, self.key, self.value, rule)

    def expected(self, rule: AttentionRule) -> Tensor:
        """float64, a sequence at a time, all scores at once."""
        pool, first, parts = self.written(), 0, []
        for piece in self.plan.slices:
            past = pool[torch.tensor(piece.blocks), 1].double()
            end = piece.start + len(piece.tokens)
            keys, values = past.permute(1, 2, 0, 3, 4).flatten(2, 3)[:, :, :end]
            rows = self.query[first : first + len(piece.tokens)].double().transpose(0, 1)
            group = len(rows) // len(keys)
            scores = rows @ keys.repeat_interleave(group, 0).transpose(1, 2) * rule.scaling
            if rule.softcap is not None:
                scores = rule.softcap * (scores / rule.softcap).tanh()
            seen = torch.ones(end, end, dtype=torch.bool).tril()
            if rule.window is not None:
                seen = seen.triu(1 - rule.window)
            weights = scores.masked_fill(~seen[piece.start :], -torch.inf).softmax(-1)
            parts.append((weights @ values.repeat_interleave(group, 0)).transpose(0, 1))
            first += len(piece.tokens)
        return torch.cat(parts)

    def written(self) -> Tensor:
        """The pool as the reference leaves it."""
        pool = self.pool.clone()
        reference = TorchReference(pool).prepare(self.plan)
        reference.forward(1, self.query, self.key, self.value, AttentionRule(1.0))
        return pool


def random_step(
    rng: random.Random, dtype: torch.dtype, dim: int, group: int, block_size: int, kv_heads: int = 2
) -> Step:
    torch.manual_seed(rng.getrandbits(32))
    free = rng.sample(range(NUM_BLOCKS), NUM_BLOCKS)
    slices = []
    for longest in (1, 1, 1, 9, 40):
        count, start = rng.randint(1, longest), rng.choice([0, 1, 15, 63, rng.randint(0, 200)])
        if longest == 1:
            start += rng.choice([0, 500])
        needed = -(-(start + count) // block_size)
        if needed <= len(free):
            blocks, free = free[:needed], free[needed:]
            slices.append(Slice((0,) * count, start, tuple(blocks), ()))
    plan = StepPlan(tuple(slices))
    return Step(
        torch.randn(NUM_BLOCKS, NUM_LAYERS, 2, kv_heads, block_size, dim).to(dtype),
        plan,
        # As models hand them over: heads outside, rows inside.
        torch.randn(kv_heads * group, plan.num_tokens, dim).to(dtype).transpose(0, 1),
        torch.randn(kv_heads, plan.num_tokens, dim).to(dtype).transpose(0, 1),
        torch.randn(plan.num_tokens, kv_heads, dim).to(dtype),
    )
