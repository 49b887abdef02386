"""A real model goes on with an answer that was begun elsewhere: through two workers, and through one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from baton.core.sampling_params import Grammar, SamplingParams
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role
from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import load_torch_runner
from baton.rpc import wire
from gateway.structured.json_schema import JsonOptions, json_grammar
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.grammars import EOS, ROWS, write_tokenizer
from tests.support.hash_answer import hash_answer
from tests.support.models import make
from tests.support.worker_pair import (
    Served,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

Answer = tuple[TokenRecord, ...]

PROMPT = prompt_of(70)
GREEDY = SamplingParams(max_tokens=40, seed=5, temperature=0.0, logprobs=2, ignore_eos=True)
SEEDED = replace(GREEDY, temperature=0.9)
SCHEMA = json_grammar({"type": "object", "minProperties": 2}, JsonOptions())
CASES: dict[str, SamplingParams] = {
    "greedy": GREEDY,
    "seeded": SEEDED,
    "penalties": replace(
        SEEDED, frequency_penalty=1.9, presence_penalty=-0.5, repetition_penalty=0.7
    ),
    "grammar": replace(SEEDED, ignore_eos=False, grammar=Grammar(SCHEMA)),
    "grammar behind a tag": replace(
        GREEDY, grammar=Grammar(SCHEMA, (11,)), logit_bias=((11, 9.0),)
    ),
    "min_tokens": replace(SEEDED, ignore_eos=False, min_tokens=30, logit_bias=((EOS, 100.0),)),
    "stop_token_ids": replace(SEEDED, min_tokens=25, stop_token_ids=tuple(range(0, ROWS, 3))),
    "bad_words": replace(GREEDY, bad_words=tuple((token, 5) for token in range(ROWS))),
}


@dataclass(frozen=True, slots=True)
class Pair:
    prefill: Served
    decode: Served

    async def alone(self, params: SamplingParams, answered: tuple[int, ...] = ()) -> Answer:
        request = generate_request(None, PROMPT, params, answered)
        return _records(await _read(self.decode.generate(request)))

    async def relayed(self, params: SamplingParams, answered: tuple[int, ...]) -> Answer:
        handoff = handoff_to(self.prefill)
        writing = self.decode.generate(generate_request(handoff, PROMPT, params, answered))
        written = aiter(writing)
        assert (await anext(written)).HasField("reserved")
        reading = self.prefill.prefill(prefill_request(handoff, PROMPT, params, answered))
        read, responses = await asyncio.gather(_read(reading), _read(written))
        known = len(PROMPT) + len(answered)
        [report] = [r.transferred for r in responses if r.HasField("transferred")]
        assert report.tokens + report.cached_tokens == known
        records = _records(responses)
        assert _records(read) == records[:1]
        assert records[0].position == known
        return records


@asynccontextmanager
async def pair(folder: Path | None) -> AsyncIterator[Pair]:
    def load() -> Any:
        return load_torch_runner(str(folder), EngineConfig()) if folder else None

    async with (
        serving(Role.PREFILL, runner=load()) as prefill,
        serving(Role.DECODE, runner=load()) as decode,
    ):
        yield Pair(prefill, decode)
        await prefill.until_idle()
        await decode.until_idle()


async def _read(call: Any) -> list[Any]:
    async with asyncio.timeout(60):
        return [response async for response in call]


def _records(responses: list[Any]) -> Answer:
    return tuple(r for one in responses for r in wire.records_from_pb(one.tokens.records))


def assert_close(one: Answer, other: Answer) -> None:
    """The same tokens, places and ends; log-probabilities but for the order of summation."""
    assert [replace(r, logprobs=None) for r in one] == [replace(r, logprobs=None) for r in other]
    for left, right in zip(one, other, strict=True):
        assert left.logprobs is not None
        assert right.logprobs is not None
        assert left.logprobs.logprob == pytest.approx(right.logprobs.logprob, abs=1e-4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Float32, with logits so far apart that no near-tie is hit (`make` spreads the weights)."""
    folder = write_tokenizer(tmp_path_factory.mktemp("models") / "llama")
    return make("Llama", folder, vocab_size=ROWS, eos_token_id=EOS)


@pytest.mark.parametrize("case", CASES)
async def test_a_cut_answer_is_continued_as_if_it_had_not_been_cut(folder: Path, case: str) -> None:
    params = CASES[case]
    async with pair(folder) as workers:
        whole = await workers.alone(params)
        ids = tuple(record.token_id for record in whole)
        assert len(ids) > 20, "too short an answer to be cut"
        for cut in (1, 9, 10, 20, len(ids) - 1):
            rest = whole[cut:]
            assert_close(await workers.relayed(params, ids[:cut]), rest)
            assert_close(await workers.alone(params, ids[:cut]), rest)


async def test_the_hash_model_continues_byte_for_byte() -> None:
    params = replace(sampled(60), prompt_logprobs=1)
    [answer] = hash_answer(HASH_MODEL, PROMPT, params)
    ids = tuple(record.token_id for record in answer)
    async with pair(None) as workers:
        for cut in (1, 10, 11, 40, 59):
            assert await workers.relayed(params, ids[:cut]) == answer[cut:]
            assert await workers.alone(params, ids[:cut]) == answer[cut:]
