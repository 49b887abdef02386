"""Beams of the engine are those of a slow search over Hugging Face's logits, however it is driven."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from baton.core.sampling_params import BeamSearch, LogprobsMode, SamplingParams
from baton.core.token_record import TokenRecord
from baton.engine.config import EngineConfig
from baton.engine.engine import Engine
from baton.engine.runners.torch_runner import load_torch_runner
from baton.engine.work import WorkDone
from tests.support.beam_answer import Found, Tokens
from tests.support.beam_oracle import BeamOracle, assert_found
from tests.support.engine_events import EventLog
from tests.support.engine_running import running_engine
from tests.support.engine_works import decode, generate, prefill, sampled
from tests.support.models import VOCAB, make
from tests.support.oracle import PATIENCE, copy_blocks

ROOMY = 16 << 20  # bytes of KV
EOS = frozenset(range(5, VOCAB, 9))  # so many that searches meet them


@dataclass(frozen=True, slots=True)
class Asked:
    prompt: Tokens
    params: SamplingParams
    found: Found


@dataclass(frozen=True, slots=True)
class Case:
    folder: Path
    asked: list[Asked]


def params_of(n: int, penalty: float, ignore_eos: bool, temperature: float) -> SamplingParams:
    return SamplingParams(
        max_tokens=8,
        seed=0,
        n=n,
        temperature=temperature,
        ignore_eos=ignore_eos,
        logprobs=0,
        logprobs_mode=LogprobsMode.PROCESSED_LOGPROBS,  # as they are summed
        beam=BeamSearch(penalty),
    )


@pytest.fixture(scope="module", params=["Llama", "Gemma2"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("models") / request.param
    make(request.param, folder, spread=False, eos_token_id=sorted(EOS))
    oracle = BeamOracle(folder, EOS)
    draw = random.Random(20)
    asked = []
    for index, n in enumerate((1, 2, 4) * 3):
        length = draw.choice([1, 15, 16, 17, 33, 70])
        prompt = tuple(draw.randrange(VOCAB) for _ in range(length))
        params = params_of(n, float(index % 3), index % 4 == 0, draw.choice([1.0, 0.7]))
        asked.append(Asked(prompt, params, oracle.search(prompt, params)))
    return Case(folder, asked)


@contextmanager
def engine_for(case: Case, budget: int = 48, kv_bytes: int = ROOMY) -> Iterator[Engine]:
    config = EngineConfig(
        kv_cache_memory_bytes=kv_bytes,
        max_num_seqs=16,
        max_num_batched_tokens=budget,
        dtype="float32",
    )
    with running_engine(config, load_torch_runner(str(case.folder), config)) as engine:
        yield engine


def check(case: Case, logs: list[EventLog]) -> None:
    certain = sum(
        assert_found(asked.found, ended(log), asked.params)
        for asked, log in zip(case.asked, logs, strict=True)
    )
    assert certain > len(logs) // 2, "what is tested must happen"


def ended(log: EventLog) -> tuple[TokenRecord, ...]:
    assert isinstance(log.wait_for_end(PATIENCE), WorkDone), log.events[-1]
    return log.records()


def test_the_oracle_meets_ends_of_both_kinds(case: Case) -> None:
    reasons = {one.reason for asked in case.asked for one in asked.found.best}
    assert len(reasons) == 2


def test_alone_and_again_from_the_cache(case: Case) -> None:
    with engine_for(case) as engine:
        for _ in range(2):
            logs = []
            for index, asked in enumerate(case.asked):
                log = EventLog()
                engine.submit(generate(str(index), asked.prompt, asked.params), log)
                ended(log)
                logs.append(log)
            check(case, logs)


def submit_all(engine: Engine, case: Case) -> list[EventLog]:
    """With others that draw in between."""
    logs = []
    for index, asked in enumerate(case.asked):
        log = EventLog()
        engine.submit(generate(f"draws/{index}", asked.prompt, sampled(20, n=2)), EventLog())
        engine.submit(generate(str(index), asked.prompt, asked.params), log)
        logs.append(log)
    return logs


def test_in_mixed_batches_with_chunked_prompts(case: Case) -> None:
    with engine_for(case) as engine:
        check(case, submit_all(engine, case))


def test_in_a_pool_where_searches_are_preempted(case: Case) -> None:
    layout = load_torch_runner(str(case.folder), EngineConfig()).layout
    with engine_for(case, kv_bytes=18 * layout.block_bytes) as engine:
        check(case, submit_all(engine, case))


def test_read_by_one_engine_and_searched_by_another(case: Case) -> None:
    with engine_for(case) as sender, engine_for(case, 300) as receiver:
        logs = []
        for index, asked in enumerate(case.asked):
            read, log = EventLog(), EventLog()
            sender.submit(prefill(str(index), asked.prompt, asked.params), read)
            assert ended(read) == ()
            blocks = copy_blocks(sender, receiver, read.lent())
            sender.blocks.release(read.lent())
            work = decode(str(index), asked.prompt, blocks, (), asked.params)
            receiver.submit(work, log)
            logs.append(log)
        check(case, logs)
