"""The Triton kernels on a device equal attention written out, at the shapes of an 8B model too."""

import random

import pytest
import torch
from torch import Tensor

from baton.engine.attention.backend import AttentionBackend, AttentionRule
from baton.engine.plan import Slice, StepPlan
from tests.support.attention_steps import TOLERANCE, Step, random_step
from tests.support.gpu import GPU


def on_device(pool: Tensor) -> AttentionBackend:
    from baton.engine.attention.triton_kernel import TritonKernel

    return TritonKernel(pool)


def moved(step: Step) -> Step:
    return Step(
        step.pool.to(GPU), step.plan, *(rows.to(GPU) for rows in (step.query, step.key, step.value))
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("dim", "group"), [(64, 4), (80, 2), (128, 1), (256, 2)])
def test_any_plan_equals_attention_written_out(dtype: torch.dtype, dim: int, group: int) -> None:
    step = random_step(random.Random(dim), dtype, dim, group, 16)
    for rule in (AttentionRule(dim**-0.5), AttentionRule(dim**-0.5, 37, 0.7)):
        there = moved(step)

        output = there.run(there.pool, on_device, rule).cpu()

        assert (output.double() - step.expected(rule)).abs().max() < TOLERANCE[dtype], rule
        assert torch.equal(there.pool.cpu(), step.written())


@pytest.mark.parametrize(("rows", "past"), [((1,) * 16, 2047), ((512, 512), 1536), ((4096,), 0)])
def test_the_shapes_of_an_8b_model_are_right(rows: tuple[int, ...], past: int) -> None:
    """32 heads, 8 of K and V, of 128; compared with torch's own attention in float32."""
    torch.manual_seed(0)
    context = past + max(rows)
    blocks = -(-context // 16)
    plan = StepPlan(
        tuple(
            Slice((0,) * count, past, tuple(range(n * blocks, (n + 1) * blocks)), ())
            for n, count in enumerate(rows)
        )
    )
    pool = torch.randn(len(rows) * blocks, 1, 2, 8, 16, 128, device=GPU, dtype=torch.bfloat16)
    total = sum(rows)
    query, key, value = (
        torch.randn(total, heads, 128, device=GPU, dtype=torch.bfloat16) for heads in (32, 8, 8)
    )
    rule = AttentionRule(128**-0.5)

    output = on_device(pool).prepare(plan).forward(0, query, key, value, rule)

    first = 0
    for piece in plan.slices:
        count = len(piece.tokens)
        keys, values = (
            pool[list(piece.blocks), 0, kind].transpose(0, 1).flatten(1, 2)[:, : past + count]
            for kind in (0, 1)
        )
        own = torch.arange(past, past + count, device=GPU)[:, None]
        expected = torch.nn.functional.scaled_dot_product_attention(
            query[first : first + count].transpose(0, 1)[None].float(),
            keys[None].float(),
            values[None].float(),
            attn_mask=torch.arange(past + count, device=GPU) <= own,
            scale=rule.scaling,
            enable_gqa=True,
        )[0].transpose(0, 1)
        found = output[first : first + count].float()
        assert (found - expected).abs().max() < 2e-2
        first += count
