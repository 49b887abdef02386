"""The C++ kernel equals attention written out in float64, whatever the plan, on every CPU."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from baton.core.errors import InternalError
from baton.engine.attention import cpu_kernel
from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.cpu_kernel import CpuKernel
from baton.engine.kernel_build import LEVELS
from baton.engine.plan import Slice, StepPlan
from tests.support.attention_steps import (
    NUM_BLOCKS,
    NUM_LAYERS,
    TOLERANCE,
    Backend,
    Step,
    random_step,
)
from tests.support.kernels import kernels


@pytest.fixture(scope="module", params=LEVELS)
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


@pytest.fixture
def all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long slices go through the kernel too."""
    monkeypatch.setattr(cpu_kernel, "LONGEST", 10_000)


@pytest.mark.usefixtures("all_lengths")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("dim", [8, 16, 36, 64, 80, 96, 128, 256])
def test_any_plan_equals_attention_written_out(
    built: Backend, dtype: torch.dtype, dim: int
) -> None:
    rng = random.Random(dim)
    for group in (1, 3, 4, 8):
        step = random_step(rng, dtype, dim, group, rng.choice([16, 32, 48, 64]))
        rule = AttentionRule(
            dim**-0.5, rng.choice([None, 1, 16, 37, 600]), rng.choice([None, 0.7, 30.0])
        )
        pool = step.pool.clone()

        output = step.run(pool, built, rule)

        difference = (output.double() - step.expected(rule)).abs().max()
        assert difference < TOLERANCE[dtype], (group, rule)
        assert torch.equal(pool, step.written())


@pytest.mark.parametrize(
    "rule", [AttentionRule(0.1), AttentionRule(0.1, 30), AttentionRule(0.1, None, 2.0)]
)
def test_long_slices_beside_short_ones_equal_attention_written_out(
    built: Backend, rule: AttentionRule
) -> None:
    step = random_step(random.Random(3), torch.float32, 64, 2, 16)
    assert {len(piece.tokens) > cpu_kernel.LONGEST for piece in step.plan.slices} == {True, False}
    pool = step.pool.clone()

    output = step.run(pool, built, rule)

    torch.testing.assert_close(output.double(), step.expected(rule), atol=1e-5, rtol=0)
    assert torch.equal(pool, step.written())


@pytest.mark.usefixtures("all_lengths")
@pytest.mark.parametrize("rule", [AttentionRule(0.1), AttentionRule(0.1, window=70)])
def test_a_row_has_the_same_bits_alone_in_company_and_on_any_number_of_threads(
    built: Backend, rule: AttentionRule
) -> None:
    step = random_step(random.Random(4), torch.float32, 40, 3, 16)
    together = step.run(step.pool.clone(), built, rule)
    pool, row = step.written(), 0
    torch.set_num_threads(3)
    assert torch.equal(step.run(pool, built, rule), together)
    torch.set_num_threads(1)
    for piece in step.plan.slices:
        for position in range(piece.start, piece.start + len(piece.tokens)):
            here = slice(row, row + 1)
            alone = StepPlan((Slice((0,), position, piece.blocks, ()),))
            rows = Step(pool, alone, step.query[here], step.key[here], step.value[here])
            assert torch.equal(rows.run(pool, built, rule)[0], together[row])
            row += 1


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


def test_garbage_behind_the_context_is_never_read(built: Backend) -> None:
    for count, start in [(1, 0), (1, 18), (5, 16), (3, 61), (16, 30)]:
        pool = torch.full((NUM_BLOCKS, NUM_LAYERS, 2, 1, 16, 24), torch.nan)
        blocks = (5, 2, 7, 9, 1)
        for position in range(start):
            pool[blocks[position // 16], :, :, :, position % 16] = 0.5
        rows = [torch.randn(count, 1, 24) for _ in range(3)]
        plan = StepPlan((Slice((0,) * count, start, blocks, ()),))

        output = Step(pool, plan, rows[0], rows[1], rows[2]).run(pool, built, AttentionRule(0.2))

        assert output.isfinite().all()


@pytest.mark.parametrize("blocks", [(0,), (0, NUM_BLOCKS), (0, -1)])
def test_a_table_that_cannot_be_is_refused(built: Backend, blocks: tuple[int, ...]) -> None:
    pool = torch.zeros(NUM_BLOCKS, NUM_LAYERS, 2, 1, 16, 8)

    with pytest.raises(InternalError, match="block table"):
        built(pool).prepare(StepPlan((Slice((0,), 16, blocks, ()),)))


def test_there_is_one_openmp_in_the_process(built: Backend) -> None:
    built(torch.zeros(NUM_BLOCKS, NUM_LAYERS, 2, 1, 16, 8))
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}

    assert len([name for name in mapped if "omp" in Path(name).name and ".so" in name]) == 1
