"""A running choice leaves one engine and goes on in another, byte for byte; what cannot leave stays."""

import random
import threading
import time
from dataclasses import replace

import pytest

from baton.core.errors import BatonError, RefusedError, UnavailableError
from baton.core.sampling_params import BeamSearch
from baton.core.token_record import TokenRecord
from baton.engine.engine import Engine
from baton.engine.plan import SliceResult, StepPlan
from baton.engine.work import ChoiceLeft, ChoiceLent, Mode, TokensDrawn, Work, WorkDone
from tests.support.engine_events import PATIENCE, EventLog
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_running import HeldRunner, engine_config, running_engine
from tests.support.engine_works import generate, prefill, prompt_of, sampled
from tests.support.hash_answer import hash_answer

PROMPT = prompt_of(37)
SLOW = replace(HASH_MODEL, step_seconds=0.002)


class HeldAt(HeldRunner):
    """Runs until `step` steps are over and holds the next one; `held` is set then."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.held = threading.Event()
        self._step = step
        self.let_go.set()

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        if self.num_steps == self._step:
            self.let_go.clear()
            self.held.set()
        return super().run(plan)

    def wait_until_held(self) -> None:
        assert self.held.wait(PATIENCE), "the step did not begin"


class Given:
    """A sink that a test can wait on."""

    def __init__(self) -> None:
        self._told: ChoiceLent | BatonError | None = None
        self._came = threading.Event()

    def __call__(self, told: ChoiceLent | BatonError) -> None:
        assert self._told is None
        self._told = told
        self._came.set()

    def wait(self) -> ChoiceLent | BatonError:
        assert self._came.wait(PATIENCE), "nothing was told"
        assert self._told is not None
        return self._told

    def lent(self) -> ChoiceLent:
        told = self.wait()
        assert isinstance(told, ChoiceLent), told
        return told


def submitted(engine: Engine, work: Work) -> EventLog:
    log = EventLog()
    engine.submit(work, log)
    return log


def given_away(engine: Engine, key: str, choice: int = 0) -> Given:
    given = Given()
    engine.give_away(key, choice, given)
    return given


def moved(source: Engine, target: Engine, work: Work, lent: ChoiceLent, choice: int) -> EventLog:
    """Copies what was lent, gives it back, and goes on as choice 0 of the choice's own seed."""
    blocks = target.blocks.allocate(len(lent.blocks))
    assert blocks is not None
    size = source.pool.block_bytes
    for taken, to in zip(lent.blocks, blocks, strict=True):
        piece = source.pool.view[taken * size : (taken + 1) * size]
        target.pool.view[to * size : (to + 1) * size] = piece
    source.blocks.release(lent.blocks)
    params = replace(work.params, n=1, seed=work.params.seed + choice)
    answered = tuple(record.token_id for record in lent.records[:-1])
    first = lent.records[-1:]
    adopted = Work(work.key, work.prompt, params, Mode.DECODE, blocks, first, answered=answered)
    return submitted(target, adopted)


def choice_0(records: tuple[TokenRecord, ...]) -> tuple[TokenRecord, ...]:
    return tuple(replace(record, choice=0, logprobs=None) for record in records)


@pytest.mark.parametrize("length", [2, 11, 12, 13, 30])
def test_a_choice_goes_on_elsewhere_as_if_it_had_not_moved(length: int) -> None:
    """With 12 tokens what is computed ends with a block."""
    params = sampled(60, n=2)
    expected = hash_answer(HASH_MODEL, PROMPT, params)
    work = generate("w", PROMPT, params)
    with running_engine(engine_config(200)) as there:
        runner = HeldAt(length - 1)
        with running_engine(engine_config(200), runner) as here:
            log = submitted(here, work)
            runner.wait_until_held()
            given = given_away(here, "w", 1)
            runner.let_go.set()  # behind the step at hand it is stopped
            lent = given.lent()
            assert len(lent.records) == length
            told = log.records(1)
            assert choice_0(told) == lent.records  # all that was drawn was told
            assert lent.num_computed == len(PROMPT) + len(told) - 1
            assert len(lent.blocks) == -(-lent.num_computed // 16)
            written = moved(here, there, work, lent, 1)
            assert written.wait_for_end() == WorkDone()
            assert lent.records + written.records() == choice_0(expected[1])
            assert log.wait_for_end() == WorkDone()  # the other choice was not disturbed
            assert log.records(0) == expected[0]
            assert log.records(1) == told
            assert log.events.count(ChoiceLeft(1)) == 1


def test_the_last_choice_that_leaves_ends_the_work_and_shared_blocks_are_lent_by_reference() -> (
    None
):
    params = sampled(900, n=3)
    work = generate("w", PROMPT, params)
    expected = hash_answer(HASH_MODEL, PROMPT, params)
    runner = HeldRunner(SLOW)
    runner.let_go.set()
    with (
        running_engine(engine_config(200), runner) as here,
        running_engine(engine_config()) as there,
    ):
        log = submitted(here, work)
        log.wait_for_tokens(9)
        lent = [given_away(here, "w", choice).lent() for choice in range(3)]
        assert log.wait_for_end() == WorkDone()
        assert log.events[-2:] == [ChoiceLeft(2), WorkDone()]
        assert len({one.blocks[:2] for one in lent}) == 1  # the prompt's full blocks
        for choice, one in enumerate(lent):
            written = moved(here, there, work, one, choice)
            written.wait_for_tokens(3)
            there.abort("w")
            there_told = written.records()
            known = len(one.records)
            assert choice_0(expected[choice][known : known + len(there_told)]) == there_told
            wait_until_gone(there)


def wait_until_gone(engine: Engine) -> None:
    """An aborted key is free once the engine's thread has dropped it."""
    log = EventLog()
    engine.submit(generate("after", PROMPT), log)
    assert log.wait_for_end() == WorkDone()


def test_the_tail_of_what_is_lent_is_zero() -> None:
    runner = HeldAt(3)
    with running_engine(engine_config(8), runner) as engine:
        size = engine.pool.block_bytes
        engine.pool.view[: 8 * size] = b"\xff" * (8 * size)  # as somebody may have left them
        submitted(engine, generate("w", PROMPT, sampled(60)))
        runner.wait_until_held()
        given = given_away(engine, "w")
        runner.let_go.set()
        lent = given.lent()
        block = bytes(engine.pool.view[lent.blocks[-1] * size : (lent.blocks[-1] + 1) * size])
        used = lent.num_computed % 16 * HASH_MODEL.head_dim
        row = 16 * HASH_MODEL.head_dim
        for at in range(0, size, row):
            assert not any(block[at + used : at + row])
            assert any(block[at : at + used])
        engine.blocks.release(lent.blocks)


@pytest.mark.parametrize(
    "work",
    [
        generate("w", PROMPT, replace(sampled(30, n=2), beam=BeamSearch())),
        prefill("w", PROMPT, sampled(30)),
    ],
)
def test_a_search_and_a_prompt_stay_where_they_are(work: Work) -> None:
    runner = HeldRunner()
    with running_engine(engine_config(), runner) as engine:
        log = submitted(engine, work)
        runner.wait_until_started()
        given = given_away(engine, "w")
        runner.let_go.set()
        assert isinstance(given.wait(), RefusedError)
        assert log.wait_for_end() == WorkDone()
        assert log.records() or work.mode is Mode.PREFILL
        engine.blocks.release(log.lent())


def test_what_is_not_read_yet_is_refused_and_goes_on_untouched() -> None:
    long = prompt_of(200)
    runner = HeldRunner()
    with running_engine(engine_config(max_num_batched_tokens=48), runner) as engine:
        log = submitted(engine, generate("w", long, sampled(10)))
        runner.wait_until_started()
        refused = given_away(engine, "w"), given_away(engine, "w", 7)
        runner.let_go.set()
        assert all(isinstance(one.wait(), RefusedError) for one in refused)
        assert log.wait_for_end() == WorkDone()
        assert (log.records(),) == hash_answer(HASH_MODEL, long, sampled(10))


def test_a_work_that_is_not_here_and_an_engine_that_stops() -> None:
    runner = HeldRunner()
    with running_engine(engine_config(), runner) as engine:
        with pytest.raises(RefusedError, match="not being served"):
            engine.give_away("nobody", 0, Given())
        submitted(engine, generate("w", PROMPT, sampled(10)))
        runner.wait_until_started()
        given = given_away(engine, "w")
        stopping = threading.Thread(target=engine.stop)
        stopping.start()
        deadline = time.monotonic() + PATIENCE
        while engine.alive:
            assert time.monotonic() < deadline
        runner.let_go.set()
        stopping.join()
        assert isinstance(given.wait(), UnavailableError)
        with pytest.raises(UnavailableError):
            engine.give_away("w", 0, Given())


def test_under_pressure_whatever_leaves_goes_on_and_nothing_is_lost() -> None:
    """Both pools are too small for all: some are preempted, and refused for it."""
    draw = random.Random(8)
    works = [
        generate(
            f"w{i}",
            tuple(draw.randrange(97) for _ in range(draw.randint(1, 100))),
            sampled(60, seed=i),
        )
        for i in range(12)
    ]
    runner = HeldRunner(SLOW)
    runner.let_go.set()
    num_moved = 0
    with (
        running_engine(engine_config(40), runner) as here,
        running_engine(engine_config(80)) as there,
    ):
        logs = {work.key: submitted(here, work) for work in works}
        for work in works:
            log, [expected] = logs[work.key], hash_answer(HASH_MODEL, work.prompt, work.params)
            log.wait_for(lambda events: any(isinstance(e, TokensDrawn) for e in events))
            try:
                told = given_away(here, work.key).wait()
            except RefusedError:  # over already
                told = RefusedError("over")
            if isinstance(told, ChoiceLent):
                num_moved += 1
                written = moved(here, there, work, told, 0)
                assert written.wait_for_end() == WorkDone()
                assert told.records + written.records() == expected
            else:
                assert log.wait_for_end() == WorkDone()
                assert log.records() == expected
    assert num_moved
