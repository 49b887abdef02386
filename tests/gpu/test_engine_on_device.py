"""Engines on a device: Hugging Face's tokens, graphs equal to eager steps, no hidden wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from baton.core.errors import SettingsError
from baton.core.sampling_params import SamplingParams
from baton.engine.machine.device import Fetched
from baton.engine.plan import Draw, Slice, SliceResult, StepPlan
from tests.support.gpu import gpu_config, gpu_engine, gpu_runner
from tests.support.models import FAMILIES, VOCAB, make
from tests.support.oracle import Case, compare, draw_case, generate_alone, generate_together

GREEDY = SamplingParams(max_tokens=40, seed=0, temperature=0.0)
WARM = SamplingParams(max_tokens=40, seed=5, temperature=1.1, top_p=0.9)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tokens_are_hugging_faces(
    family: str, dtype: str, gpu_models: Path, request: pytest.FixtureRequest
) -> None:
    """The oracle computes on the CPU: float32 is compared up to its near-ties."""
    model = make(family, gpu_models / f"{family}-{dtype}")
    case = draw_case(model, request, count=8, longest=300, num_tokens=24, dtype=dtype)
    with gpu_engine(model, gpu_config(dtype=dtype)) as engine:
        compare(request, case, generate_together(engine, case))
        compare(request, case, generate_alone(engine, case))


@pytest.fixture
def case(llama: Path, request: pytest.FixtureRequest) -> Case:
    return draw_case(llama, request, count=6, longest=100, num_tokens=16)


def test_the_pool_is_sized_by_what_a_worst_step_leaves(llama: Path, case: Case) -> None:
    config = gpu_config(kv_cache_memory_bytes=None, gpu_memory_utilization=0.5)
    with gpu_engine(llama, config) as engine:
        free, total = torch.cuda.mem_get_info()
        assert free >= total * 0.45
        assert engine.blocks.total * engine.memory.block_bytes > total * 0.3
        assert generate_together(engine, case)
    with (
        pytest.raises(SettingsError, match="--gpu-memory-utilization"),
        gpu_engine(llama, replace(config, gpu_memory_utilization=0.001)),
    ):
        raise AssertionError("nothing was left")


def plan(count: int, length: int, params: SamplingParams, start: int = 0) -> StepPlan:
    blocks = 8
    return StepPlan(
        tuple(
            Slice(
                tuple((n * 31 + i) % VOCAB for i in range(start, start + length)),
                start,
                tuple(range(n * blocks, (n + 1) * blocks)),
                (Draw(0, start + length, params, f"w{n}"),),
            )
            for n in range(count)
        )
    )


@pytest.mark.parametrize("params", [GREEDY, WARM])
def test_graphs_draw_what_eager_steps_draw(llama: Path, params: SamplingParams) -> None:
    graphs, _ = gpu_runner(llama, gpu_config(dtype="float32"), 128)
    eager, _ = gpu_runner(llama, gpu_config(dtype="float32", enforce_eager=True), 128)
    for step in (plan(7, 50, params), *(plan(c, 1, params, 50) for c in (1, 2, 3, 5, 7))):
        drawn = [
            [r.drawn for r in runner.run(step) if isinstance(r, SliceResult)]
            for runner in (graphs, eager)
        ]
        assert drawn[0] == drawn[1]
        assert len(drawn[0]) == len(step.slices)


@contextmanager
def no_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """CUDA raises for every wait but that of `Fetched.wait`, behind which all is on the host."""
    wait = Fetched.wait

    def allowed(fetched: Fetched) -> list[torch.Tensor]:
        torch.cuda.set_sync_debug_mode("default")
        return wait(fetched)

    monkeypatch.setattr(Fetched, "wait", allowed)
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("eager", [False, True])
def test_a_step_waits_for_its_result_alone(
    llama: Path, monkeypatch: pytest.MonkeyPatch, eager: bool
) -> None:
    runner, _ = gpu_runner(llama, gpu_config(enforce_eager=eager), 128)
    told = replace(WARM, logprobs=2, presence_penalty=0.5)
    for params in (GREEDY, WARM, told):
        for step in (plan(4, 30, params), plan(4, 1, params, 30)):
            runner.run(step)  # compiles what it lacks
            with no_waits(monkeypatch):
                assert len(runner.run(step)) == 4


def behind(step: StepPlan) -> StepPlan:
    """The next step of the same, with tokens that nobody knows yet."""
    return StepPlan(
        tuple(
            replace(
                piece,
                tokens=(0,),
                start=piece.end,
                draws=(replace(piece.draws[0], position=piece.end + 1),),
                follows=place,
            )
            for place, piece in enumerate(step.slices)
        )
    )


@pytest.mark.parametrize("eager", [False, True])
def test_a_step_is_launched_behind_another_without_a_wait(
    llama: Path, monkeypatch: pytest.MonkeyPatch, eager: bool
) -> None:
    """Many in a row: buffers that are taken in turn would show here if one were overwritten too soon."""
    runner, _ = gpu_runner(llama, gpu_config(enforce_eager=eager, dtype="float32"), 128)
    waiting, _ = gpu_runner(llama, gpu_config(enforce_eager=eager, dtype="float32"), 128)
    for params in (GREEDY, WARM):
        step = plan(7, 30, params)
        flights, found = [runner.launch(step)], []
        for _ in range(40):
            step = behind(step)
            with no_waits(monkeypatch):
                flights.append(runner.launch(step))
            found.append(flights.pop(0).results())
        found.append(flights.pop(0).results())

        step = plan(7, 30, params)
        for ahead in found:
            waited = waiting.run(step)
            assert ahead == waited
            drawn = [one.drawn[0].token_id for one in waited if isinstance(one, SliceResult)]
            step = StepPlan(
                tuple(
                    replace(piece, tokens=(drawn[place],), follows=None)
                    for place, piece in enumerate(behind(step).slices)
                )
            )


@pytest.mark.parametrize("eager", [False, True])
def test_steps_ahead_answer_as_steps_that_are_waited_for(
    llama: Path, request: pytest.FixtureRequest, eager: bool
) -> None:
    """With prompts cut in chunks, places for a few, and blocks that are too few for all."""
    case = draw_case(llama, request, count=12, longest=200, num_tokens=40)
    small = {"kv_cache_memory_bytes": 4 << 20, "max_num_seqs": 5, "enforce_eager": eager}
    with gpu_engine(llama, gpu_config(dtype="float32", async_scheduling="on", **small)) as engine:
        compare(request, case, generate_together(engine, case))
