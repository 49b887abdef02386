"""The whole engine on its thread, with the hash model: answers are checked byte for byte."""

import logging
import random
import threading
from dataclasses import replace
from typing import Any

import pytest

from baton.core.errors import (
    BatonError,
    InternalError,
    RefusedError,
    RequestError,
    UnavailableError,
)
from baton.core.sampling_params import SamplingParams
from baton.engine.engine import Engine
from baton.engine.plan import SliceResult, StepPlan
from baton.engine.runners.hash_model import HashRunner
from baton.engine.work import Admitted, EngineEvent, Mode, TokensDrawn, Work, WorkDone, WorkFailed
from tests.support.engine_events import PATIENCE, EventLog
from tests.support.engine_hash_model import HASH_MODEL, hash_runner
from tests.support.engine_running import HeldRunner, engine_config, running_engine
from tests.support.engine_works import GREEDY, decode, generate, prefill, prompt_of, sampled
from tests.support.hash_answer import hash_answer


def random_work(draw: random.Random, key: str, longest: int, mode: Mode = Mode.GENERATE) -> Work:
    prompt = tuple(draw.randrange(97) for _ in range(draw.randint(1, longest)))
    params = SamplingParams(
        max_tokens=draw.randint(1, 40),
        seed=draw.randrange(1 << 32),
        temperature=draw.choice([0.0, 1.0]),
        n=draw.choice([1, 1, 1, 2, 3]),
        ignore_eos=draw.random() < 0.5,
    )
    return Work(key, prompt, params, mode)


def submitted(engine: Engine, work: Work) -> EventLog:
    log = EventLog()
    engine.submit(work, log)
    return log


def assert_answer(engine: Engine, work: Work, log: EventLog) -> None:
    assert log.wait_for_end() == WorkDone()
    expected = hash_answer(HASH_MODEL, work.prompt, work.params, engine.max_model_len)
    assert tuple(log.records(choice) for choice in range(work.params.n)) == expected


@pytest.mark.parametrize("num_blocks", [32, 1000])
def test_mixed_batches_answer_as_the_oracle_does(num_blocks: int) -> None:
    """32 blocks hold one and a half of the longest: most of the time somebody is preempted."""
    seed = random.SystemRandom().randrange(1 << 32)
    logging.getLogger(__name__).warning("seed %d", seed)  # shown if it fails
    draw = random.Random(seed)
    works = [random_work(draw, f"w{i}", 300) for i in range(24)]
    with running_engine(engine_config(num_blocks)) as engine:
        logs = [submitted(engine, work) for work in works]
        for work, log in zip(works, logs, strict=True):
            assert_answer(engine, work, log)


def test_some_may_be_aborted_while_others_go_on() -> None:
    draw = random.Random(5)
    works = [random_work(draw, f"w{i}", 100) for i in range(20)]
    with running_engine(engine_config(32)) as engine:
        logs = [submitted(engine, work) for work in works]
        for work in works[::4]:
            engine.abort(work.key)
        for index, (work, log) in enumerate(zip(works, logs, strict=True)):
            if index % 4:
                assert_answer(engine, work, log)


def hand_over(sender: Engine, receiver: Engine, work: Work) -> tuple[EventLog, EventLog]:
    """Prefill on one, the lent blocks' bytes copied, decode on the other."""
    read = submitted(sender, Work(work.key, work.prompt, work.params, Mode.PREFILL))
    assert read.wait_for_end() == WorkDone()
    lent = read.lent()
    blocks = receiver.blocks.allocate(len(lent))
    assert blocks is not None
    size = sender.pool.block_bytes
    for source, target in zip(lent, blocks, strict=True):
        piece = sender.pool.view[source * size : (source + 1) * size]
        receiver.pool.view[target * size : (target + 1) * size] = piece
    sender.blocks.release(lent)
    adopted = decode(work.key, work.prompt, blocks, read.records(), work.params)
    return read, submitted(receiver, adopted)


def test_prefill_here_and_decode_there_answers_as_one_engine_alone() -> None:
    draw = random.Random(6)
    works = [random_work(draw, f"w{i}", 300) for i in range(16)]
    config = engine_config(400)
    with running_engine(config) as sender, running_engine(config) as receiver:
        logs = [hand_over(sender, receiver, work) for work in works]
        for work, (read, written) in zip(works, logs, strict=True):
            assert written.wait_for_end() == WorkDone()
            expected = hash_answer(HASH_MODEL, work.prompt, work.params, receiver.max_model_len)
            for choice in range(work.params.n):
                assert read.records(choice) + written.records(choice) == expected[choice]


def test_a_torn_block_changes_the_answer() -> None:
    prompt, params = prompt_of(40), sampled(20)
    with running_engine(engine_config()) as sender, running_engine(engine_config()) as receiver:
        read = submitted(sender, prefill("a", prompt, params))
        read.wait_for_end()
        blocks = receiver.blocks.allocate(3)
        assert blocks is not None
        log = submitted(receiver, decode("a", prompt, blocks, read.records(), params))
        assert log.wait_for_end() == WorkDone()
        assert log.records() != hash_answer(HASH_MODEL, prompt, params)[0][1:]
        sender.blocks.release(read.lent())


def test_a_work_that_waits_for_blocks_goes_on_when_a_lease_ends() -> None:
    with running_engine(engine_config(4)) as engine:
        first = submitted(engine, prefill("first", prompt_of(40)))
        first.wait_for_end()
        second = submitted(engine, prefill("second", prompt_of(40, 1)))
        probe = submitted(engine, generate("probe", prompt_of(1), sampled(1)))
        assert engine.load().waiting == 2
        assert not second.events
        engine.blocks.release(first.lent())
        assert second.wait_for_end() == WorkDone()
        probe.wait_for_end()
        engine.blocks.release(second.lent())


def test_a_work_that_waits_for_blocks_goes_on_when_a_reservation_ends() -> None:
    with running_engine(engine_config(4)) as engine:
        reservation = engine.blocks.reserve(4)
        assert reservation is not None
        work = generate("a", prompt_of(20))
        log = submitted(engine, work)
        assert engine.load().reserved_blocks == 4
        reservation.cancel()
        assert_answer(engine, work, log)


def test_what_can_never_fit_is_refused_in_the_callers_thread() -> None:
    with running_engine(engine_config(4)) as engine:
        assert engine.max_model_len == 64
        with pytest.raises(RequestError):
            engine.submit(generate("a", prompt_of(64)), EventLog())
        assert engine.load().waiting == 0


def test_a_key_is_used_by_one_work_at_a_time() -> None:
    runner = HeldRunner()
    with running_engine(engine_config(), runner) as engine:
        log = submitted(engine, generate("a", prompt_of(3), sampled(2)))
        with pytest.raises(RefusedError):
            engine.submit(generate("a", prompt_of(3)), EventLog())
        runner.let_go.set()
        log.wait_for_end()
        assert submitted(engine, generate("a", prompt_of(3))).wait_for_end() == WorkDone()


def test_an_abort_takes_effect_before_the_next_step() -> None:
    runner = HeldRunner()
    with running_engine(engine_config(), runner) as engine:
        gone = submitted(engine, generate("gone", prompt_of(3), sampled(50)))
        runner.wait_until_started()
        engine.abort("gone")
        engine.abort("nobody")
        other = submitted(engine, generate("other", prompt_of(3), sampled(2)))
        runner.let_go.set()
        other.wait_for_end()
        assert len(gone.records()) == 1
        assert not any(isinstance(event, WorkDone | WorkFailed) for event in gone.events)


def test_the_load_counts_works_and_blocks() -> None:
    runner = HeldRunner()
    with running_engine(engine_config(64, max_num_seqs=1), runner) as engine:
        logs = [submitted(engine, generate(f"w{i}", prompt_of(20), sampled(2))) for i in range(3)]
        runner.wait_until_started()
        load = engine.load()
        assert (load.running, load.waiting) == (1, 2)
        assert (load.free_blocks, load.reserved_blocks, load.total_blocks) == (62, 0, 64)
        runner.let_go.set()
        for log in logs:
            log.wait_for_end()
        assert (engine.load().running, engine.load().waiting) == (0, 0)


def test_stopping_fails_what_is_in_flight_and_returns_every_block() -> None:
    runner = HeldRunner()
    engine = Engine(runner, engine_config(max_num_seqs=1))
    engine.start()
    log = submitted(engine, generate("runs", prompt_of(20), sampled(50)))
    runner.wait_until_started()
    blocks = engine.blocks.allocate(2)
    assert blocks is not None
    first = hash_answer(HASH_MODEL, prompt_of(20), GREEDY)[0][:1]
    unseen = submitted(engine, decode("unseen", prompt_of(20), blocks, first))
    stopper = threading.Thread(target=engine.stop)
    stopper.start()
    runner.let_go.set()
    stopper.join(PATIENCE)
    for over in (log, unseen):
        end = over.wait_for_end()
        assert isinstance(end, WorkFailed)
        assert isinstance(end.error, UnavailableError)
    assert not engine.alive
    assert engine.blocks.free == engine.blocks.total
    with pytest.raises(UnavailableError):
        engine.submit(generate("late", prompt_of(3)), EventLog())
    engine.stop()
    engine.close()


def test_an_engine_that_never_started_can_stop() -> None:
    engine = Engine(hash_runner(), engine_config())
    log = submitted(engine, generate("a", prompt_of(3)))
    assert not engine.alive
    engine.close()
    assert isinstance(log.wait_for_end(), WorkFailed)
    with pytest.raises(InternalError):
        engine.start()


class FailingRunner(HeldRunner):
    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        super().run(plan)
        raise ValueError("the device is gone")


def test_a_step_that_raises_ends_every_work_and_the_engine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner = FailingRunner()
    with running_engine(engine_config(), runner) as engine:
        assert engine.alive
        logs = [submitted(engine, generate(f"w{i}", prompt_of(3))) for i in range(3)]
        runner.let_go.set()
        for log in logs:
            end = log.wait_for_end()
            assert isinstance(end, WorkFailed)
            assert isinstance(end.error, InternalError)
        with pytest.raises(UnavailableError):
            engine.submit(generate("late", prompt_of(3)), EventLog())
        engine.stop()
        assert not engine.alive
    assert "the device is gone" in caplog.text


def test_a_sink_that_raises_ends_the_engine_but_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(event: EngineEvent) -> None:
        raise ValueError("nobody listens")

    with running_engine(engine_config()) as engine:
        runs = submitted(engine, generate("runs", prompt_of(3), sampled(4000)))
        runs.wait_for_tokens()
        engine.submit(generate("broken", prompt_of(3)), broken)
        assert isinstance(runs.wait_for_end(), WorkFailed)
    assert "nobody listens" in caplog.text


def test_a_sink_may_submit_the_same_key_again_when_its_work_is_done() -> None:
    again = EventLog()
    with running_engine(engine_config()) as engine:

        def sink(event: EngineEvent) -> None:
            if isinstance(event, WorkDone):
                engine.submit(generate("a", prompt_of(3)), again)

        engine.submit(generate("a", prompt_of(3)), sink)
        assert again.wait_for_end() == WorkDone()


def test_an_abort_meant_for_a_finished_work_spares_the_next_one_of_its_key() -> None:
    runner, again = HeldRunner(), EventLog()
    with running_engine(engine_config(), runner) as engine:

        def sink(event: EngineEvent) -> None:
            if isinstance(event, WorkDone):
                engine.submit(generate("a", prompt_of(3)), again)

        engine.submit(generate("a", prompt_of(3), sampled(1)), sink)
        runner.wait_until_started()
        engine.abort("a")
        runner.let_go.set()
        assert again.wait_for_end() == WorkDone()


def test_a_work_that_was_to_be_aborted_is_told_when_the_step_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runner = FailingRunner()
    with running_engine(engine_config(), runner) as engine:
        log = submitted(engine, generate("a", prompt_of(3)))
        runner.wait_until_started()
        engine.abort("a")
        runner.let_go.set()
        assert isinstance(log.wait_for_end(), WorkFailed)
    assert "the device is gone" in caplog.text


def test_tokens_of_one_step_come_in_one_event() -> None:
    with running_engine(engine_config()) as engine:
        log = submitted(engine, generate("a", prompt_of(5), sampled(4, n=3)))
        log.wait_for_end()
        events = [event for event in log.events if isinstance(event, TokensDrawn)]
        assert [len(event.records) for event in events] == [3, 3, 3, 3]


def test_a_work_that_has_no_token_to_draw_fails_alone_and_spoils_no_cached_prompt() -> None:
    prompt = prompt_of(100)
    nothing = replace(GREEDY, allowed_token_ids=(HASH_MODEL.eos_token_id,), min_tokens=2)
    with running_engine(engine_config()) as engine:
        first, broken, again = EventLog(), EventLog(), EventLog()
        engine.submit(generate("first", prompt), first)
        assert first.wait_for_end() == WorkDone()
        engine.submit(generate("broken", prompt, nothing), broken)
        end = broken.wait_for_end()
        assert isinstance(end, WorkFailed)
        assert isinstance(end.error, RequestError)
        engine.submit(generate("again", prompt), again)
        assert again.wait_for_end() == WorkDone()
        assert again.events[0] == Admitted(96)
        assert again.records() == first.records()


@pytest.mark.parametrize(
    "field",
    [
        {"stop_token_ids": (97,)},
        {"allowed_token_ids": (3, 97)},
        {"logit_bias": ((-1, 1.0),)},
        {"bad_words": ((1,), (2, 97))},
    ],
)
def test_token_ids_that_no_row_has_are_refused_at_the_door(field: dict[str, Any]) -> None:
    with running_engine(engine_config()) as engine, pytest.raises(RequestError) as caught:
        engine.submit(generate("a", (1, 2), replace(GREEDY, **field)), EventLog())
    assert caught.value.param == next(iter(field))


class RestingRunner(HashRunner):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__(HASH_MODEL, hash_runner(HASH_MODEL).fingerprint)
        self.told: list[str] = []
        self.rested = threading.Event()

    def run(self, plan: StepPlan) -> list[SliceResult | BatonError]:
        self.told.append("run")
        self.rested.clear()
        return super().run(plan)

    def rest(self) -> None:
        self.told.append("rest")
        self.rested.set()


def test_the_runner_rests_when_there_is_nothing_to_compute_and_not_between_steps() -> None:
    runner = RestingRunner()
    with running_engine(engine_config(), runner) as engine:
        log = submitted(engine, generate("w", prompt_of(40), GREEDY))
        assert log.wait_for_end() == WorkDone()
        assert runner.rested.wait(PATIENCE)
        told = "".join(what[1] for what in runner.told).strip("e")
    assert len(told) > 1
    assert set(told) == {"u"}
