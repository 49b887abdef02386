"""Greedy tokens of the engine equal Hugging Face's `generate` in float32, however it is driven.

Prompts are drawn afresh each time; ORACLE_SEED repeats a run.
"""

import os
import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from baton.core.sampling_params import SamplingParams
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.torch_runner import load_torch_runner
from baton.engine.work import Mode, WorkDone
from tests.support.engine_events import EventLog
from tests.support.engine_running import running_engine
from tests.support.engine_works import decode, generate, prefill
from tests.support.hugging_face import Answer, Comparison, Oracle, Prompt, draw_prompts
from tests.support.models import MAKERS

ROOMY = 64 << 20  # bytes of KV: all prompts at once
BUDGETS = [48, 272, 2048]


@dataclass(frozen=True, slots=True)
class Case:
    folder: Path
    prompts: list[Prompt]
    answers: list[Answer]
    params: SamplingParams


@pytest.fixture(scope="module", params=MAKERS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = MAKERS[request.param](tmp_path_factory.mktemp("models") / request.param)
    return draw_case(folder, request, count=12, num_tokens=24)


@pytest.fixture(scope="module", params=MAKERS)
def long_case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = MAKERS[request.param](tmp_path_factory.mktemp("models") / request.param)
    return draw_case(folder, request, count=80, num_tokens=100)


def draw_case(folder: Path, request: pytest.FixtureRequest, count: int, num_tokens: int) -> Case:
    seed = int(os.environ.get("ORACLE_SEED") or secrets.randbits(32))
    say(request, f"{folder.name}: ORACLE_SEED={seed}")
    oracle = Oracle(folder)
    prompts = draw_prompts(random.Random(seed), count, 2000, oracle.vocab_size)
    answers = [oracle.answer(prompt, num_tokens) for prompt in prompts]
    params = SamplingParams(num_tokens, seed=0, temperature=0.0, ignore_eos=True)
    return Case(folder, prompts, answers, params)


def say(request: pytest.FixtureRequest, line: str) -> None:
    """Shown also when the test passes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        request.config.get_terminal_writer().line(f"\n{line}")


@contextmanager
def engine_for(case: Case, budget: int, kv_bytes: int = ROOMY) -> Iterator[Engine]:
    config = EngineConfig(
        kv_cache_memory_bytes=kv_bytes,
        max_num_seqs=16,
        max_num_batched_tokens=budget,
        dtype="float32",
    )
    with running_engine(config, load_torch_runner(str(case.folder), config)) as engine:
        yield engine


def tokens_of(log: EventLog) -> list[int]:
    assert isinstance(log.wait_for_end(), WorkDone), log.events[-1]
    return [record.token_id for record in log.records()]


def compare(request: pytest.FixtureRequest, case: Case, ours: Sequence[Sequence[int]]) -> None:
    comparison = Comparison()
    for answer, tokens in zip(case.answers, ours, strict=True):
        comparison.add(answer, tokens)
    say(request, f"{request.node.name}: {comparison}")
    comparison.check_share()


def generate_together(engine: Engine, case: Case) -> list[list[int]]:
    logs = [EventLog() for _ in case.prompts]
    for index, (prompt, log) in enumerate(zip(case.prompts, logs, strict=True)):
        engine.submit(generate(str(index), prompt, case.params), log)
    return [tokens_of(log) for log in logs]


def generate_alone(engine: Engine, case: Case) -> list[list[int]]:
    ours = []
    for index, prompt in enumerate(case.prompts):
        log = EventLog()
        engine.submit(generate(str(index), prompt, case.params), log)
        ours.append(tokens_of(log))
    return ours


def hand_over(sender: Engine, receiver: Engine, case: Case) -> list[list[int]]:
    """All prompts are read by one engine; each is copied over and continued by the other."""
    read = [EventLog() for _ in case.prompts]
    written = [EventLog() for _ in case.prompts]
    for index, (prompt, log) in enumerate(zip(case.prompts, read, strict=True)):
        sender.submit(prefill(str(index), prompt, case.params), log)
    for index, (prompt, log) in enumerate(zip(case.prompts, read, strict=True)):
        assert isinstance(log.wait_for_end(), WorkDone)
        blocks = copy_blocks(sender, receiver, log.lent())
        sender.blocks.release(log.lent())
        work = decode(str(index), prompt, blocks, log.records(), case.params)
        assert work.mode is Mode.DECODE
        receiver.submit(work, written[index])
    return [
        [record.token_id for record in first.records()] + tokens_of(rest)
        for first, rest in zip(read, written, strict=True)
    ]


def copy_blocks(sender: Engine, receiver: Engine, lent: tuple[int, ...]) -> tuple[int, ...]:
    blocks = receiver.blocks.allocate(len(lent))
    assert blocks is not None
    size = sender.pool.block_bytes
    for source, target in zip(lent, blocks, strict=True):
        data = sender.pool.view[source * size : (source + 1) * size]
        receiver.pool.view[target * size : (target + 1) * size] = data
    return blocks


def test_one_after_the_other(request: pytest.FixtureRequest, case: Case) -> None:
    with engine_for(case, budget=272) as engine:
        compare(request, case, generate_alone(engine, case))


@pytest.mark.parametrize("budget", BUDGETS)
def test_in_mixed_batches_with_chunked_prompts(
    request: pytest.FixtureRequest, case: Case, budget: int
) -> None:
    with engine_for(case, budget) as engine:
        compare(request, case, generate_together(engine, case))


def test_in_a_pool_too_small_for_all_of_them(request: pytest.FixtureRequest, case: Case) -> None:
    """Some are preempted and computed again."""
    longest = max(map(len, case.prompts)) + case.params.max_tokens
    layout = load_torch_runner(str(case.folder), EngineConfig()).layout
    kv_bytes = (layout.blocks_for(longest) + 4) * layout.block_bytes

    with engine_for(case, budget=272, kv_bytes=kv_bytes) as engine:
        compare(request, case, generate_together(engine, case))


@pytest.mark.parametrize("budget", BUDGETS)
def test_read_by_one_engine_and_continued_by_another(
    request: pytest.FixtureRequest, case: Case, budget: int
) -> None:
    with engine_for(case, budget) as sender, engine_for(case, budget=272) as receiver:
        compare(request, case, hand_over(sender, receiver, case))


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("budget", BUDGETS)
def test_many_prompts_in_mixed_batches(
    request: pytest.FixtureRequest, long_case: Case, budget: int
) -> None:
    with engine_for(long_case, budget, kv_bytes=4 * ROOMY) as engine:
        compare(request, long_case, generate_together(engine, long_case))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_prompts_read_by_one_engine_and_continued_by_another(
    request: pytest.FixtureRequest, long_case: Case
) -> None:
    with (
        engine_for(long_case, 272, kv_bytes=4 * ROOMY) as sender,
        engine_for(long_case, 272, kv_bytes=4 * ROOMY) as receiver,
    ):
        compare(request, long_case, hand_over(sender, receiver, long_case))
