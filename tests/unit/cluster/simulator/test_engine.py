"""The modelled engine's steps, against times worked out by hand."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from baton.cluster.outcomes import Gaps
from baton.cluster.simulator.engine import Engine
from baton.cluster.simulator.kv_cache import KvCache
from baton.cluster.simulator.profile import Profile
from baton.cluster.simulator.virtual_time import run_virtually
from baton.cluster.simulator.work import Reading, Writing

PROFILE = Profile(
    read_step=1.0,
    read_token=0.01,
    read_pair=0.0001,
    write_step=0.5,
    write_sequence=0.1,
    write_context=0.001,
    link_seconds=0.1,
    link_bytes_per_second=1e6,
    num_layers=1,
    num_kv_heads=1,
    head_dim=8,
    dtype="float32",
    block_size=16,
    num_blocks=64,
    max_num_seqs=2,
    max_num_batched_tokens=100,
    max_mixed_prompt_tokens=50,
)


def played(
    script: Callable[[Engine], Coroutine[Any, Any, None]], profile: Profile = PROFILE
) -> Engine:
    async def play() -> Engine:
        engine = Engine(profile, random.Random(1), lambda: None, lambda work: None)
        await script(engine)
        return engine

    return run_virtually(play())


def reading(tokens: int, at: int = 0, number: int = 0) -> Reading:
    holding = KvCache(100).take([], 1)
    assert holding is not None
    return Reading((0, number), tokens, at, holding)


def writing(left: int, context: int, gaps: Gaps, number: int = 0) -> Writing:
    return Writing((0, number), context, left, asyncio.get_running_loop().time(), gaps)


def test_a_prompt_is_read_in_pieces_behind_what_is_cached() -> None:
    async def script(engine: Engine) -> None:
        begin = asyncio.get_running_loop().time()
        work = reading(170, at=20)
        engine.read(work)
        await work.done
        pairs = 100 * (20 + 50) + 50 * (120 + 25)
        taken = asyncio.get_running_loop().time() - begin
        assert taken == pytest.approx(2 * 1.0 + 150 * 0.01 + pairs * 0.0001)

    totals = played(script).totals.reading
    assert (totals.steps, totals.read_tokens) == (2, 150)


def test_many_steps_are_one_event_with_the_times_of_each() -> None:
    gaps = Gaps()

    async def script(engine: Engine) -> None:
        work = writing(3, 100, gaps)
        engine.write(work)
        await work.done

    totals = played(script).totals.writing
    steps = [0.5 + 0.1 + 0.001 * context for context in (100, 101, 102)]
    assert gaps.total == pytest.approx(sum(steps))
    assert next(iter(gaps))[0] == pytest.approx(steps[0])
    assert (totals.steps, totals.sequences, totals.context_tokens) == (3, 3, 303)
    assert totals.seconds == pytest.approx(sum(steps))


def test_who_comes_joins_at_the_end_of_the_step() -> None:
    first, second = Gaps(), Gaps()

    async def script(engine: Engine) -> None:
        one = writing(10, 100, first)
        engine.write(one)
        await asyncio.sleep(1.0)  # within the second step: they take 0.7 s and a little more each
        two = writing(1, 50, second, 1)
        engine.write(two)
        await two.done
        await one.done

    played(script)
    joined = 0.7 + 0.701
    assert second.total == pytest.approx(joined - 1.0 + 0.5 + 0.2 + 0.001 * (102 + 50))
    assert sum(count for _, count in first) == 10


def test_a_batch_that_is_full_makes_others_wait() -> None:
    ended: list[int] = []

    def note(number: int, _: object) -> None:
        ended.append(number)

    async def script(engine: Engine) -> None:
        works = [writing(2, 10, Gaps(), number) for number in range(3)]
        for number, work in enumerate(works):
            work.done.add_done_callback(partial(note, number))
            engine.write(work)
        assert len(engine.waiting) == 2  # the first one's step has begun
        await asyncio.gather(*(work.done for work in works))

    engine = played(script)
    assert ended[0] == 0
    assert len(ended) == 3
    assert not engine.waiting


def test_answers_go_on_beside_a_prompt_and_slow_down() -> None:
    gaps = Gaps()

    async def script(engine: Engine) -> None:
        work, prompt = writing(2, 100, gaps), reading(100)
        engine.read(prompt)
        await asyncio.sleep(0)
        engine.write(work)
        await asyncio.gather(work.done, prompt.done)

    totals = played(script, replace(PROFILE, max_num_batched_tokens=50)).totals
    assert totals.reading.steps == 3  # 50 alone, then 49 and 1 beside the answer
    assert totals.reading.sequences == 2
    assert totals.writing.steps == 0


def test_noise_is_the_seeds() -> None:
    times = []
    for _ in range(2):

        async def script(engine: Engine) -> None:
            begin = asyncio.get_running_loop().time()
            work = reading(50)
            engine.read(work)
            await work.done
            times.append(asyncio.get_running_loop().time() - begin)

        played(script, replace(PROFILE, step_noise=0.3, worker_noise=0.3))
    assert times[0] == times[1] != pytest.approx(1.5 + 0.125)
