"""The Triton kernels equal attention written out in float64, in Triton's interpreter, and compile for
GPUs. In float32 and float16 only: the interpreter's matrix product is wrong in bfloat16.
"""

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from baton.core.errors import InternalError
from baton.engine.attention.backend import AttentionBackend, AttentionRule
from baton.engine.plan import Slice, StepPlan
from tests.support.attention_steps import NUM_BLOCKS, NUM_LAYERS, TOLERANCE, Step, random_step
from tests.support.triton_extra import compiled, needs_interpreter, needs_triton, quiet

pytestmark = [needs_triton, needs_interpreter, quiet]


def interpreted(pool: Tensor) -> AttentionBackend:
    from baton.engine.attention.triton_kernel import TritonKernel

    return TritonKernel(pool)


@pytest.mark.parametrize(
    ("dtype", "dim", "group"),
    [
        (torch.float32, 8, 3),
        (torch.float32, 80, 2),
        (torch.float16, 36, 1),
        (torch.float16, 64, 4),
        (torch.float16, 256, 1),
    ],
)
def test_any_plan_equals_attention_written_out(dtype: torch.dtype, dim: int, group: int) -> None:
    rng = random.Random(dim)
    step = random_step(rng, dtype, dim, group, rng.choice([16, 32, 48, 64]))
    for window, softcap in [(None, None), (37, 0.7), (600, 30.0)]:
        pool, rule = step.pool.clone(), AttentionRule(dim**-0.5, window, softcap)

        output = step.run(pool, interpreted, rule)

        difference = (output.double() - step.expected(rule)).abs().max()
        assert difference < TOLERANCE[dtype], rule
        assert torch.equal(pool, step.written())


def test_long_contexts_are_split_and_added_up() -> None:
    torch.manual_seed(1)
    starts = [1300, 511, 512]
    plan = StepPlan(tuple(Slice((0,), start, tuple(range(11)), ()) for start in starts))
    rows = [torch.randn(3, heads, 16) for heads in (4, 2, 2)]
    step = Step(torch.randn(NUM_BLOCKS, NUM_LAYERS, 2, 2, 128, 16), plan, *rows)
    for window in (None, 800, 20):
        rule = AttentionRule(0.25, window)
        torch.testing.assert_close(
            step.run(step.pool.clone(), interpreted, rule).double(),
            step.expected(rule),
            atol=1e-5,
            rtol=0,
        )


@pytest.mark.parametrize("rule", [AttentionRule(0.1), AttentionRule(0.1, window=70)])
def test_a_slice_has_the_same_bits_alone_and_in_company(rule: AttentionRule) -> None:
    step = random_step(random.Random(4), torch.float32, 40, 3, 16)
    together = step.run(step.pool.clone(), interpreted, rule)
    pool, row = step.written(), 0
    for piece in step.plan.slices:
        here = slice(row, row + len(piece.tokens))
        alone = Step(pool, StepPlan((piece,)), step.query[here], step.key[here], step.value[here])
        assert torch.equal(alone.run(pool, interpreted, rule), together[here])
        row += len(piece.tokens)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["query", "key", "value", "pool"])
@pytest.mark.parametrize("count", [1, 2])
def test_what_is_no_number_stays_none_and_only_in_its_sequence(
    poison: float, where: str, count: int
) -> None:
    torch.manual_seed(0)
    slices = (Slice((0,) * count, 20, (1, 2), ()), Slice((0,) * count, 20, (3, 4), ()))
    rows = [torch.randn(2 * count, heads, 16) for heads in (4, 2, 2)]
    pool = torch.randn(NUM_BLOCKS, NUM_LAYERS, 2, 2, 16, 16)
    step = Step(pool, StepPlan(slices), rows[0], rows[1], rows[2])
    if where == "pool":
        pool[1, 1, 1, :, 3] = poison
    else:
        getattr(step, where)[0] = poison

    output = step.run(pool, interpreted, AttentionRule(0.25))

    assert output[count:].isfinite().all()
    assert not output[0].isfinite().any()


def test_garbage_behind_the_context_is_never_read() -> None:
    for count, start in [(1, 0), (1, 18), (5, 16), (3, 61), (16, 30)]:
        pool = torch.full((NUM_BLOCKS, NUM_LAYERS, 2, 1, 16, 24), torch.nan)
        blocks = (5, 2, 7, 9, 1)
        for position in range(start):
            pool[blocks[position // 16], :, :, :, position % 16] = 0.5
        rows = [torch.randn(count, 1, 24) for _ in range(3)]
        plan = StepPlan((Slice((0,) * count, start, blocks, ()),))

        output = Step(pool, plan, *rows).run(pool, interpreted, AttentionRule(0.2))

        assert output.isfinite().all()


@pytest.mark.parametrize("blocks", [(0,), (0, NUM_BLOCKS), (0, -1)])
def test_a_table_that_cannot_be_is_refused(blocks: tuple[int, ...]) -> None:
    pool = torch.zeros(NUM_BLOCKS, NUM_LAYERS, 2, 1, 16, 8)

    with pytest.raises(InternalError, match="block table"):
        interpreted(pool).prepare(StepPlan((Slice((0,), 16, blocks, ()),)))


ATTENTION = {"HAS_CAP": True, "HAS_WINDOW": True, "HEAD_DIM": 128, "PADDED_DIM": 128}
CONSTANTS: dict[str, dict[str, object]] = {
    "write_rows": {"HEAD_DIM": 128, "PADDED_DIM": 128, "BLOCK_SIZE": 16},
    "prefill_tile": {**ATTENTION, "GROUP": 2, "BLOCK_SIZE": 16, "ROWS": 128, "KEYS": 64},
    "decode_part": {
        **ATTENTION,
        "GROUP": 2,
        "PADDED_GROUP": 16,
        "BLOCK_SIZE": 16,
        "SPLIT": 512,
        "KEYS": 64,
    },
    "decode_whole": {"HAS_WINDOW": True, "HEAD_DIM": 128, "PADDED_DIM": 128, "SPLIT": 512},
}
INTEGERS = ("rows", "contexts", "tables", "tile_slices", "tile_rows", "firsts", "counts", "starts")
TYPES = {
    **dict.fromkeys(("output", "query", "key", "value", "pool"), "*bf16"),
    **dict.fromkeys(("part_best", "part_total", "part_output"), "*fp32"),
    **dict.fromkeys(INTEGERS, "*i32"),
    "slots": "*i64",
    "pool_block": "i64",
    "scaling": "fp32",
    "softcap": "fp32",
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_it_compiles_for_gpus_in_bfloat16(name: str, tmp_path: Path) -> None:
    """And stays within the shared memory of the smallest of them, 99 KiB."""
    found = compiled(name, TYPES, CONSTANTS[name], tmp_path)

    for capability, kernel in found.items():
        assert kernel.shared <= 99 << 10, capability
        assert kernel.uses_matrix_units == (name in ("prefill_tile", "decode_part"))


def test_a_fixed_decode_step_equals_one_that_is_prepared() -> None:
    """And attends in as many parts as its longest context would need."""
    from tests.unit.engine_torch.test_optional_attention import check_fixed_step

    check_fixed_step(interpreted)
