"""Prompts with Hugging Face's answers, and the ways in which engines are driven to answer them."""

import os
import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from baton.core.sampling_params import SamplingParams
from baton.engine.blocks.paged_tensor import TORCH_DTYPES
from baton.engine.config import AUTO, EngineConfig
from baton.engine.engine import Engine
from baton.engine.runners.torch_runner import load_torch_runner
from baton.engine.work import Admitted, WorkDone
from tests.support.engine_events import EventLog
from tests.support.engine_running import running_engine
from tests.support.engine_works import decode, generate, prefill
from tests.support.hugging_face import Answer, Comparison, Oracle, Prompt, draw_prompts

ROOMY = 64 << 20  # bytes of KV: all prompts at once
PATIENCE = 600.0  # seconds: a prompt waits for all others of a long run


@dataclass(frozen=True, slots=True)
class Case:
    folder: Path
    dtype: str
    prompts: list[Prompt]
    answers: list[Answer]
    params: SamplingParams


def draw_case(
    folder: Path,
    request: pytest.FixtureRequest,
    *,
    count: int,
    longest: int,
    num_tokens: int,
    dtype: str = "float32",
    steps: int = 2,
) -> Case:
    """`count` prompts of up to `longest` tokens; `steps` as the oracle has it."""
    seed = int(os.environ.get("ORACLE_SEED") or secrets.randbits(32))
    say(request, f"{folder.name} {dtype}: ORACLE_SEED={seed}")
    oracle = Oracle(folder, TORCH_DTYPES[dtype], steps)
    prompts = draw_prompts(random.Random(seed), count, longest, oracle.vocab_size)
    answers = [oracle.answer(prompt, num_tokens) for prompt in prompts]
    params = SamplingParams(num_tokens, seed=0, temperature=0.0, ignore_eos=True)
    return Case(folder, dtype, prompts, answers, params)


def say(request: pytest.FixtureRequest, line: str) -> None:
    """Shown also when the test passes."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():
        request.config.get_terminal_writer().line(f"\n{line}")


@contextmanager
def engine_for(
    case: Case,
    budget: int,
    kv_bytes: int = ROOMY,
    attention: str = "auto",
    offloading_bytes: int = 0,
    quantization: str = "",
    ahead: str = AUTO,
) -> Iterator[Engine]:
    config = EngineConfig(
        kv_offloading_bytes=offloading_bytes,
        kv_cache_memory_bytes=kv_bytes,
        max_num_seqs=16,
        max_num_batched_tokens=budget,
        dtype=case.dtype,
        quantization=quantization,
        attention_backend=attention,
        async_scheduling=ahead,
    )
    with running_engine(config, load_torch_runner(str(case.folder), config)) as engine:
        yield engine


def compare(
    request: pytest.FixtureRequest, case: Case, ours: Sequence[Sequence[int]]
) -> Comparison:
    comparison = Comparison()
    for answer, tokens in zip(case.answers, ours, strict=True):
        comparison.add(answer, tokens)
    say(request, f"{request.node.name}: {comparison}")
    if case.dtype == "float32":
        comparison.check_share()
    return comparison


def tokens_of(log: EventLog) -> list[int]:
    assert isinstance(log.wait_for_end(PATIENCE), WorkDone), log.events[-1]
    return [record.token_id for record in log.records()]


def cached_of(log: EventLog) -> int:
    """Prompt tokens that were found in the prefix cache."""
    return next(e.num_cached_tokens for e in log.events if isinstance(e, Admitted))


def generate_together(engine: Engine, case: Case) -> list[list[int]]:
    return [tokens_of(log) for log in submit_together(engine, case)]


def submit_together(engine: Engine, case: Case) -> list[EventLog]:
    """The logs of all prompts, which need not have ended yet."""
    logs = [EventLog() for _ in case.prompts]
    for index, (prompt, log) in enumerate(zip(case.prompts, logs, strict=True)):
        engine.submit(generate(str(index), prompt, case.params), log)
    return logs


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
        assert isinstance(log.wait_for_end(PATIENCE), WorkDone)
        blocks = copy_blocks(sender, receiver, log.lent())
        sender.blocks.release(log.lent())
        work = decode(str(index), prompt, blocks, log.records(), case.params)
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
