"""The engine with its runner on a thread of its own: the next step is begun before the last is told."""

import random
import threading
from dataclasses import replace

import pytest

from baton.core.errors import BatonError, InternalError
from baton.engine.config import ON
from baton.engine.plan import SliceResult, StepPlan
from baton.engine.runners.hash_model import HashRunner
from baton.engine.runners.runner_thread import RunnerThread
from baton.engine.scheduling.flight import AtOnce
from baton.engine.work import ChoiceLent, EngineEvent, TokensDrawn, WorkDone, WorkFailed
from tests.support.engine_events import PATIENCE, EventLog
from tests.support.engine_hash_model import HASH_MODEL, hash_runner
from tests.support.engine_running import engine_config, running_engine
from tests.support.engine_works import decode, generate, prefill, prompt_of, sampled
from tests.support.hash_answer import hash_answer

CONFIG = replace(engine_config(), async_scheduling=ON)


class CountingRunner(HashRunner):
    """Says when each step begins."""

    def __init__(self) -> None:
        super().__init__(HASH_MODEL, hash_runner().fingerprint)
        self.begun = threading.Semaphore(0)
        self.fails_at = 0  # this step, from 1 on

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        self.begun.release()
        self.fails_at -= 1
        if self.fails_at == 0:
            raise RuntimeError("the device is gone")
        return super().run(plan)


class GivenAway:
    """Pass the object itself as the sink."""

    def __init__(self) -> None:
        self._found: ChoiceLent | BatonError | None = None
        self._told = threading.Event()

    def __call__(self, found: ChoiceLent | BatonError) -> None:
        self._found = found
        self._told.set()

    def wait(self) -> ChoiceLent:
        assert self._told.wait(PATIENCE)
        assert isinstance(self._found, ChoiceLent)
        return self._found


def test_the_next_step_runs_while_the_tokens_of_the_last_are_told() -> None:
    """Its sink waits for it: a step that had to wait for the sink would never come."""
    runner, log = CountingRunner(), EventLog()
    met: list[bool] = []

    def sink(event: EngineEvent) -> None:
        if isinstance(event, TokensDrawn) and not met:
            assert runner.begun.acquire(timeout=PATIENCE)
            met.append(runner.begun.acquire(timeout=PATIENCE))
        log(event)

    with running_engine(CONFIG, runner) as engine:
        engine.submit(generate("a", prompt_of(5), sampled(3)), sink)
        assert log.wait_for_end() == WorkDone()
    assert met == [True]
    assert (log.records(),) == hash_answer(HASH_MODEL, prompt_of(5), sampled(3))


def test_it_answers_as_an_engine_that_waits_for_each_step() -> None:
    draw = random.Random(3)
    works = [
        generate(
            f"w{i}",
            prompt_of(draw.randint(1, 200), i),
            sampled(draw.randint(1, 30), i, draw.choice([1, 1, 1, 2]), ignore_eos=i % 2 == 0),
        )
        for i in range(24)
    ]
    with running_engine(replace(CONFIG, max_num_seqs=6), hash_runner()) as engine:
        logs = [EventLog() for _ in works]
        for work, log in zip(works, logs, strict=True):
            engine.submit(work, log)
        for work in works[::5]:
            engine.abort(work.key)
        for index, (work, log) in enumerate(zip(works, logs, strict=True)):
            if index % 5:
                assert log.wait_for_end() == WorkDone()
                expected = hash_answer(HASH_MODEL, work.prompt, work.params)
                assert tuple(log.records(c) for c in range(work.params.n)) == expected


def test_what_one_reads_the_other_continues() -> None:
    prompt, params = prompt_of(70), sampled(20)
    with running_engine(CONFIG) as sender, running_engine(CONFIG) as receiver:
        read, written = EventLog(), EventLog()
        sender.submit(prefill("a", prompt, params), read)
        assert read.wait_for_end() == WorkDone()
        blocks = receiver.blocks.allocate(len(read.lent()))
        assert blocks is not None
        size = sender.pool.block_bytes
        for source, target in zip(read.lent(), blocks, strict=True):
            piece = sender.pool.view[source * size : (source + 1) * size]
            receiver.pool.view[target * size : (target + 1) * size] = piece
        sender.blocks.release(read.lent())
        receiver.submit(decode("a", prompt, blocks, read.records(), params), written)
        assert written.wait_for_end() == WorkDone()
    assert (read.records() + written.records(),) == hash_answer(HASH_MODEL, prompt, params)


def test_a_step_that_fails_ends_the_engine_and_the_one_behind_it_is_not_computed() -> None:
    runner, log = CountingRunner(), EventLog()
    runner.fails_at = 3
    with running_engine(CONFIG, runner) as engine:
        engine.submit(generate("a", prompt_of(5), sampled(30)), log)
        ended = log.wait_for_end()
        assert isinstance(ended, WorkFailed)
        assert isinstance(ended.error, InternalError)
        engine.stop()
        assert not engine.alive
    assert runner.fails_at == 0, "nothing ran behind it"
    assert len(log.records()) == 2


def test_an_engine_that_is_stopped_lands_what_is_under_way() -> None:
    runner, log = CountingRunner(), EventLog()
    with running_engine(CONFIG, runner) as engine:
        engine.submit(generate("a", prompt_of(5), sampled(60)), log)
        log.wait_for_tokens(3)
        engine.stop()
    assert isinstance(log.events[-1], WorkFailed | WorkDone)
    expected = hash_answer(HASH_MODEL, prompt_of(5), sampled(60))[0]
    assert log.records() == expected[: len(log.records())]


def test_a_choice_is_given_away_behind_all_that_is_under_way() -> None:
    prompt, params = prompt_of(5), sampled(60)
    log, given = EventLog(), GivenAway()
    with running_engine(CONFIG, CountingRunner()) as engine:
        engine.submit(generate("a", prompt, params), log)
        log.wait_for_tokens(3)
        engine.give_away("a", 0, given)
        loan = given.wait()
        expected = hash_answer(HASH_MODEL, prompt, params)[0]
        assert [r.token_id for r in loan.records] == [
            r.token_id for r in expected[: len(loan.records)]
        ]
        assert loan.num_computed == len(prompt) + len(loan.records) - 1
        engine.blocks.release(loan.blocks)


@pytest.mark.parametrize(
    ("wish", "kind"), [("auto", AtOnce), ("off", AtOnce), ("on", RunnerThread)]
)
def test_a_runner_that_waits_has_a_thread_of_its_own_where_that_is_asked_for(
    wish: str, kind: type
) -> None:
    with running_engine(replace(CONFIG, async_scheduling=wish)) as engine:
        assert isinstance(engine._launcher, kind)
