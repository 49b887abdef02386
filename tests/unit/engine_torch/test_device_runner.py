"""The runner of CUDA devices, on a CPU: it draws what the CPU's runner draws, waits once a step, and
rows that fill up a graph change nothing.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from baton.core.errors import InternalError
from baton.core.sampling_params import SamplingParams
from baton.engine.attention.backend import AttentionRule
from baton.engine.attention.device_inputs import DecodeBuffers
from baton.engine.attention.torch_reference import TorchReference
from baton.engine.blocks.device_pool import DevicePool
from baton.engine.blocks.kv_pool import KvPool
from baton.engine.config import EngineConfig
from baton.engine.machine import device
from baton.engine.machine.device import Fetched
from baton.engine.plan import Draw, Drawn, Misled, Slice, SliceResult, StepPlan
from baton.engine.runners.device_runner import DeviceRunner
from baton.engine.runners.torch_runner import TorchRunner, load_torch_runner
from tests.support.device_runs import device_pool, device_runner
from tests.support.models import VOCAB
from tests.support.no_sync import NoHostSync

CONFIG = EngineConfig(attention_backend="torch", max_num_seqs=8, max_model_len=256)
EAGER = replace(CONFIG, enforce_eager=True)
GREEDY = SamplingParams(max_tokens=8, seed=0, temperature=0.0)
WARM = SamplingParams(max_tokens=8, seed=5, temperature=1.2)
NARROW = SamplingParams(max_tokens=8, seed=6, temperature=0.8, top_k=40, top_p=0.9, min_p=0.01)
TOLD = replace(WARM, logprobs=3)
PUNISHED = replace(WARM, presence_penalty=0.7, logit_bias=((5, 2.0),))
BEAM_FREE = (GREEDY, WARM, NARROW, TOLD, PUNISHED)


def prompt_of(length: int, seed: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(VOCAB, (length,), generator=generator).tolist())


def prompts(all_params: tuple[SamplingParams, ...] = BEAM_FREE) -> StepPlan:
    """A prompt for each, and one whose end is not reached."""
    slices = [
        Slice(
            prompt_of(20 + index, index),
            0,
            (3 * index, 3 * index + 1),
            tuple(
                Draw(choice, 20 + index, params, f"w{index}", prompt_of(20 + index, index), 9)
                for choice in range(params.n)
            ),
        )
        for index, params in enumerate(all_params)
    ]
    return StepPlan((*slices, Slice(prompt_of(16, 99), 0, (40,), ())))


def answers(all_params: tuple[SamplingParams, ...] = BEAM_FREE) -> StepPlan:
    """The next step of the same, one token each."""
    return StepPlan(
        tuple(
            Slice((index + 1,), 20 + index, (3 * index, 3 * index + 1), (drawn(index, params),))
            for index, params in enumerate(all_params)
        )
    )


def drawn(index: int, params: SamplingParams) -> Draw:
    tokens = (*prompt_of(20 + index, index), index + 1)
    return Draw(0, 21 + index, params, f"w{index}", tokens, 9)


@pytest.fixture
def plain(llama: Path) -> Iterator[TorchRunner]:
    runner = load_torch_runner(str(llama), CONFIG)
    pool = KvPool(runner.layout, 48)
    runner.attach(pool)
    yield runner
    del runner
    pool.close()


@pytest.fixture(params=[CONFIG, EAGER], ids=["graphs", "eager"])
def runner(llama: Path, request: pytest.FixtureRequest) -> DeviceRunner:
    made = device_runner(llama, request.param)
    device_pool(made, 48)
    return made


def ids(results: Any) -> list[list[int]]:
    assert all(isinstance(result, SliceResult) for result in results), results
    return [[one.token_id for one in result.drawn] for result in results]


def test_it_draws_what_the_cpus_runner_draws(plain: TorchRunner, runner: DeviceRunner) -> None:
    for plan in (prompts(), answers(), StepPlan(answers().slices[:3])):
        ours, theirs = runner.run(plan), plain.run(plan)
        assert ids(ours) == ids(theirs)
        for our, their in zip(ours, theirs, strict=True):
            assert isinstance(our, SliceResult)
            assert isinstance(their, SliceResult)
            assert [told(one) for one in our.drawn] == [told(one) for one in their.drawn]


def told(one: Drawn) -> object:
    if one.logprobs is None:
        return None
    return [(token, pytest.approx(value, abs=1e-4)) for token, value in one.logprobs.top]


def test_several_choices_and_prompt_scores_come_as_from_the_cpus_runner(
    plain: TorchRunner, runner: DeviceRunner
) -> None:
    several = prompts((replace(WARM, n=3), replace(NARROW, n=2), GREEDY))
    first = replace(several.slices[0], targets=prompt_of(20, 0)[1:], num_alternatives=2)
    for plan in (several, StepPlan((first, *several.slices[1:]))):
        ours, theirs = runner.run(plan), plain.run(plan)
        assert ids(ours) == ids(theirs)
        for our, their in zip(ours, theirs, strict=True):
            assert isinstance(our, SliceResult)
            assert isinstance(their, SliceResult)
            assert [s.rank for s in our.scores] == [s.rank for s in their.scores]


def test_between_the_plan_and_its_result_nobody_waits(
    runner: DeviceRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until `Fetched.wait` the mode would raise; behind it numbers are read on the host."""
    waits: list[NoHostSync] = []
    wait = Fetched.wait

    def counted(fetched: Fetched) -> list[torch.Tensor]:
        waits.pop().over = True
        return wait(fetched)

    monkeypatch.setattr(Fetched, "wait", counted)
    for plan in (prompts(), answers(), StepPlan(prompts().slices[-1:])):
        with NoHostSync() as mode:
            waits.append(mode)
            assert len(runner.run(plan)) == len(plan.slices)
        assert not waits, "the step was waited for, once"


FORESEEN = (GREEDY, WARM, NARROW, replace(WARM, seed=9))


def behind(step: StepPlan) -> StepPlan:
    """The next step of the same, with tokens that nobody knows yet, in another order."""
    pieces = [
        replace(
            piece,
            tokens=(0,),
            start=piece.end,
            draws=(replace(piece.draws[0], position=piece.end + 1),),
            follows=place,
        )
        for place, piece in enumerate(step.slices)
    ]
    return StepPlan(tuple(reversed(pieces)))


def known(step: StepPlan, before: Any) -> StepPlan:
    """The same once the tokens are there."""
    drawn = [one.token_id for result in before for one in result.drawn]
    return StepPlan(
        tuple(
            replace(piece, tokens=(drawn[piece.follows],), follows=None)
            for piece in step.slices
            if piece.follows is not None
        )
    )


def test_a_step_may_follow_one_that_has_not_landed(
    plain: TorchRunner, runner: DeviceRunner
) -> None:
    """Each is launched before the ids of the one before have come to the host."""
    runner.run(prompts(FORESEEN))
    plain.run(prompts(FORESEEN))
    first = answers(FORESEEN)
    second = behind(first)
    others = StepPlan((*reversed(second.slices[1:]), Slice(prompt_of(18, 5), 0, (44, 45), ())))
    third = behind(second)

    flights = [runner.launch(first), runner.launch(second)]
    found = [flights[0].results()]
    flights.append(runner.launch(third))
    found += [flight.results() for flight in flights[1:]]

    expected = [plain.run(first)]
    expected.append(plain.run(known(second, expected[0])))
    expected.append(plain.run(known(third, expected[1])))
    assert [ids(one) for one in found] == [ids(one) for one in expected]
    assert ids(runner.run(known(others, expected[0]))) == ids(plain.run(known(others, expected[0])))


def test_launching_a_step_behind_another_waits_for_nothing(runner: DeviceRunner) -> None:
    runner.run(prompts(FORESEEN))
    first = answers(FORESEEN)
    with NoHostSync():
        flights = [runner.launch(first), runner.launch(behind(first))]
    assert [len(flight.results()) for flight in flights] == [len(FORESEEN)] * 2


def test_what_followed_a_token_that_was_not_the_one_is_misled(
    plain: TorchRunner, runner: DeviceRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device looks at the best token alone, which only the greedy row always draws."""
    monkeypatch.setattr("baton.engine.sampling.device_sampler.FIRST_LOOK", 1)
    warm = tuple(replace(WARM, temperature=3.0, top_k=40, seed=seed) for seed in range(7))
    runner.run(prompts((GREEDY, *warm)))
    plain.run(prompts((GREEDY, *warm)))
    first = answers((GREEDY, *warm))
    second = behind(first)
    third = behind(second)

    flights = [runner.launch(first), runner.launch(second)]
    drawn = flights[0].results()
    flights.append(runner.launch(third))
    misled = [isinstance(result, Misled) for result in flights[1].results()]
    behind_them = [isinstance(result, Misled) for result in flights[2].results()]

    expected = plain.run(first)
    assert ids(drawn) == ids(expected)
    assert any(misled)
    assert not misled[-1], "the greedy row, which comes last in this step"
    assert behind_them[0] is False
    assert all(later for later, sooner in zip(behind_them, reversed(misled), strict=True) if sooner)
    again = known(second, expected)
    assert ids(runner.run(again)) == ids(plain.run(again))


def test_what_a_step_sends_is_not_overwritten_before_it_has_landed(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device may copy as late as it likes: buffers of two steps under way are not the same ones."""
    sent: list[tuple[torch.Tensor, torch.Tensor]] = []
    copy = torch.Tensor.copy_

    def noted(to: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
        if non_blocking:
            sent.append((source, source.clone()))
        return copy(to, source, non_blocking)

    made = device_runner(llama, CONFIG)
    device_pool(made, 48)
    made.run(prompts(FORESEEN))
    buffers = DecodeBuffers(torch.zeros(48, 1, 2, 1, 16, 4), 4, 64)
    first = answers(FORESEEN)
    monkeypatch.setattr(torch.Tensor, "copy_", noted)

    for plan in (first, behind(first)):
        made.launch(plan)
        buffers.fill(plan)

    assert len(sent) == 2 * (1 + 3), "ids and positions; slots, contexts and tables"
    assert all(torch.equal(source, before) for source, before in sent)
    assert any(
        not torch.equal(one, other) for (one, _), (other, _) in zip(sent, sent[4:], strict=False)
    )


def test_a_step_with_a_draw_on_the_host_leaves_nothing_to_follow(runner: DeviceRunner) -> None:
    assert [runner.foresees(params) for params in (GREEDY, WARM, NARROW)] == [True] * 3
    assert [runner.foresees(params) for params in (TOLD, PUNISHED)] == [False] * 2
    runner.run(prompts())
    flight = runner.launch(answers())
    with pytest.raises(InternalError, match="no ids"):
        runner.launch(behind(answers()))
    assert len(flight.results()) == len(BEAM_FREE)


class ArrivedAtWait(Exception):
    """A step came to its one wait."""


def test_what_a_step_computes_with_lies_on_the_device(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a pretended device, where mixing devices raises as it does on a true one."""
    made = device_runner(llama, EAGER, FakeNoAttention, torch.device("meta"))
    made.attach(DevicePool(made.layout, 48, torch.device("meta")))

    def arrived(fetched: Fetched) -> list[torch.Tensor]:
        raise ArrivedAtWait

    monkeypatch.setattr(Fetched, "wait", arrived)
    for plan in (prompts(), answers(), prompts((replace(WARM, n=3), NARROW))):
        with FakeTensorMode(allow_non_fake_inputs=True), pytest.raises(ArrivedAtWait):
            made.run(plan)
    steps = answers(FORESEEN), behind(answers(FORESEEN))
    with FakeTensorMode(allow_non_fake_inputs=True):
        for plan in steps:
            made.launch(plan)


class FakeNoAttention:
    """Attends to nothing: a pretended device has no kernels."""

    def __init__(self, pool: torch.Tensor) -> None:
        assert pool.device.type == "meta"

    def prepare(self, plan: StepPlan) -> "FakeNoAttention":
        return self

    def forward(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        rule: AttentionRule,
    ) -> torch.Tensor:
        return torch.zeros_like(query)


def test_rows_that_fill_up_a_graph_change_nothing(llama: Path) -> None:
    """Neither a token nor a byte of anybody's KV, whatever stood in them."""
    found = []
    for sizes in ((1, 2, 4, 5, 8), (8,)):
        made = device_runner(llama, replace(CONFIG, cuda_graph_sizes=sizes))
        pool = device_pool(made, 48)
        made.run(prompts())
        pool.tensor[pool.scratch] = 7.0  # as a step before may have left it
        found.append((ids(made.run(answers())), pool.tensor[: pool.num_blocks].clone()))

    assert found[0][0] == found[1][0]
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=0)


def test_a_row_that_is_no_number_fails_alone(runner: DeviceRunner) -> None:
    runner.run(prompts())
    poison_first_sequence(runner)

    first, *others = runner.run(answers())

    assert isinstance(first, InternalError)
    assert len(ids(others)) == len(BEAM_FREE) - 1


def poison_first_sequence(runner: DeviceRunner) -> None:
    attention = runner._attention
    assert isinstance(attention, TorchReference)
    attention._pool[0] = torch.nan


def test_a_draw_that_is_not_certain_is_made_on_the_host(
    plain: TorchRunner, runner: DeviceRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("baton.engine.sampling.device_sampler.FEW", 1)
    monkeypatch.setattr("baton.engine.sampling.device_sampler.FIRST_LOOK", 2)

    assert ids(runner.run(prompts())) == ids(plain.run(prompts()))


def test_running_without_a_pool_is_our_fault(llama: Path) -> None:
    with pytest.raises(InternalError, match="attach"):
        device_runner(llama, EAGER).run(prompts())


def test_graphs_need_a_backend_that_has_them(llama: Path) -> None:
    made = device_runner(llama, CONFIG, TorchReference)

    with pytest.raises(InternalError, match="TorchReference has no graphs"):
        device_pool(made, 48)


def test_numbers_are_sent_from_page_locked_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as that shows without a device: what is not for a CPU is moved, and not waited for."""
    moved: list[tuple[object, bool]] = []

    def to(tensor: torch.Tensor, where: object, *, non_blocking: bool) -> torch.Tensor:
        moved.append((where, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(torch.Tensor, "to", to)
    there = torch.device("cuda:1")

    device.sent([1, 2], torch.int64, there)

    assert moved == [(there, True)]
