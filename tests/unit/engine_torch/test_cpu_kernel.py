"""The C++ kernel equals attention written out in float64, whatever the plan, on every CPU."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from baton.core.errors import InternalError
from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.cpu_kernel import CpuKernel
from baton.engine.plan import Slice, StepPlan
from tests.support.attention_steps import (
    NUM_BLOCKS,
    NUM_LAYERS,
    TOLERANCE,
    Backend,
    Step,
    random_step,
)
from tests.support.kernels import KINDS, kernels


@pytest.fixture(scope="module", params=KINDS)
def built(request: pytest.FixtureRequest) -> Backend:
    library = kernels(request.param)
    return lambda pool: CpuKernel(pool, library)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other take very long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("dim", [8, 16, 25, 36, 64, 80, 96, 128, 256])
def test_any_plan_equals_attention_written_out(
    built: Backend, dtype: torch.dtype, dim: int
) -> None:
    rng = random.Random(dim)
    for group in (1, 3, 4, 7, 8):
        step = random_step(rng, dtype, dim, group, rng.choice([16, 32, 48, 64]))
        rule = AttentionRule(
            dim**-0.5, rng.choice([None, 1, 16, 37, 600]), rng.choice([None, 0.7, 30.0])
        )
        pool = step.pool.clone()

        output = step.run(pool, built, rule)

        difference = (output.double() - step.expected(rule)).abs().max()
        assert difference < TOLERANCE[dtype], (group, rule)
        assert torch.equal(pool, step.written())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "rule", [AttentionRule(0.1), AttentionRule(0.1, window=70), AttentionRule(0.1, softcap=2.0)]
)
def test_a_row_has_the_same_bits_alone_in_company_and_on_any_number_of_threads(
    built: Backend, dtype: torch.dtype, rule: AttentionRule
) -> None:
    step = random_step(random.Random(4), dtype, 40, 3, 16)
    together = step.run(step.pool.clone(), built, rule)
    pool, row = step.written(), 0
    torch.set_num_threads(3)
    assert torch.equal(step.run(pool, built, rule), together)
    torch.set_num_threads(1)
    for piece in step.plan.slices:
        for position in range(piece.start, piece.start + len(piece.tokens)):
            rows = step.cut(pool, row, Slice((0,), position, piece.blocks, ()))
            assert torch.equal(rows.run(pool, built, rule)[0], together[row])
            row += 1


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("window", [None, 600])
def test_the_bits_of_a_long_prompt_do_not_tell_where_it_was_cut(
    built: Backend, dtype: torch.dtype, window: int | None
) -> None:
    """Over several parts of the context, by many threads or one, row after row or all at once."""
    torch.manual_seed(0)
    blocks = tuple(torch.randperm(80)[:70].tolist())
    rows = [torch.randn(600, heads, 64).to(dtype) for heads in (4, 1, 1)]
    pool = torch.randn(80, NUM_LAYERS, 2, 1, 16, 64).to(dtype)
    whole = StepPlan((Slice((0,) * 600, 500, blocks, ()),))
    step, rule = Step(pool, whole, rows[0], rows[1], rows[2]), AttentionRule(0.125, window)
    expected = step.run(pool, built, rule)
    difference = (expected.double() - step.expected(rule)).abs().max()
    assert difference < TOLERANCE[dtype]

    for first, count, threads in [
        (0, 17, 1),
        (17, 300, 3),
        (317, 282, 2),
        (599, 1, 3),
        (599, 1, 1),
    ]:
        torch.set_num_threads(threads)
        cut = step.cut(pool, first, Slice((0,) * count, 500 + first, blocks, ()))
        assert torch.equal(cut.run(pool, built, rule), expected[first : first + count])


def test_sequences_may_share_the_blocks_of_their_prefix(built: Backend) -> None:
    torch.manual_seed(0)
    slices = (
        Slice((0,), 40, (1, 2, 3), ()),
        Slice((0,) * 20, 32, (1, 2, 4, 5), ()),
        Slice((0,) * 3, 16, (1, 6), ()),
    )
    rows = [torch.randn(24, heads, 64).bfloat16() for heads in (4, 2, 2)]
    pool = torch.randn(NUM_BLOCKS, NUM_LAYERS, 2, 2, 16, 64).bfloat16()
    step, rule = Step(pool, StepPlan(slices), rows[0], rows[1], rows[2]), AttentionRule(0.125)

    output = step.run(pool.clone(), built, rule)

    difference = (output.double() - step.expected(rule)).abs().max()
    assert difference < TOLERANCE[torch.bfloat16]


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("where", ["query", "key", "value", "pool"])
@pytest.mark.parametrize("softcap", [None, 5.0])
def test_what_is_no_number_stays_none_and_only_in_its_sequence(
    built: Backend, poison: float, where: str, softcap: float | None
) -> None:
    torch.manual_seed(0)
    slices = (Slice((0,), 20, (1, 2), ()), Slice((0,), 20, (3, 4), ()))
    rows = [torch.randn(2, heads, 16) for heads in (4, 2, 2)]
    pool = torch.randn(NUM_BLOCKS, NUM_LAYERS, 2, 2, 16, 16)
    step = Step(pool, StepPlan(slices), rows[0], rows[1], rows[2])
    if where == "pool":
        pool[1, 1, 1, :, 3] = poison
    else:
        getattr(step, where)[0] = poison

    output = step.run(pool, built, AttentionRule(0.25, softcap=softcap))

    assert output[1].isfinite().all()
    capped = softcap is not None and where in ("query", "key")  # a cap makes numbers of infinities
    assert capped or not output[0].isfinite().any()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("window", [None, 20])
def test_garbage_around_what_a_row_sees_is_never_taken_in(
    built: Backend, dtype: torch.dtype, window: int | None
) -> None:
    """Behind the context, in other sequences' blocks, and before the window of all rows."""
    for count, start in [(1, 0), (1, 18), (5, 16), (3, 61), (16, 30), (40, 36)]:
        pool = torch.full((NUM_BLOCKS, NUM_LAYERS, 2, 1, 16, 24), torch.nan).to(dtype)
        blocks = (5, 2, 7, 9, 1)
        for position in range(0 if window is None else max(0, start - window + 1), start):
            pool[blocks[position // 16], :, :, :, position % 16] = 0.5
        rows = [torch.randn(count, 1, 24).to(dtype) for _ in range(3)]
        plan = StepPlan((Slice((0,) * count, start, blocks, ()),))

        step = Step(pool, plan, rows[0], rows[1], rows[2])

        assert step.run(pool, built, AttentionRule(0.2, window)).isfinite().all()


@pytest.mark.parametrize("blocks", [(0,), (0, NUM_BLOCKS), (0, -1)])
def test_a_table_that_cannot_be_is_refused(built: Backend, blocks: tuple[int, ...]) -> None:
    pool = torch.zeros(NUM_BLOCKS, NUM_LAYERS, 2, 1, 16, 8)

    with pytest.raises(InternalError, match="block table"):
        built(pool).prepare(StepPlan((Slice((0,), 16, blocks, ()),)))


def test_there_is_one_openmp_in_the_process(built: Backend) -> None:
    built(torch.zeros(NUM_BLOCKS, NUM_LAYERS, 2, 1, 16, 8))
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}

    assert len([name for name in mapped if "omp" in Path(name).name and ".so" in name]) == 1


def test_a_step_keeps_what_it_points_to(built: Backend) -> None:
    step = random_step(random.Random(5), torch.float32, 64, 2, 16)
    expected = step.run(step.pool.clone(), built, AttentionRule(0.1))
    pool = step.pool.clone()
    address, bound = pool.data_ptr(), built(pool).prepare(step.plan)
    del pool

    others = [torch.zeros_like(step.pool) for _ in range(3)]  # would take the place of a freed one

    assert address not in [other.data_ptr() for other in others]
    output = bound.forward(1, step.query, step.key, step.value, AttentionRule(0.1))
    assert torch.equal(output, expected)
