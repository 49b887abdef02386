"""Every sampling field comes out the same on two workers, on one, and behind a warm cache."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from baton.core.errors import RequestError
from baton.core.sampling_params import LogprobsMode, ProcessorCall, SamplingParams
from baton.core.token_record import FinishReason, PromptLogprobs, TokenRecord
from baton.core.worker_info import Role
from baton.engine.config import EngineConfig
from baton.engine.runners.torch_runner import load_torch_runner
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.hash_answer import hash_answer, hash_scores
from tests.support.models import EOS, make_llama
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

HERE = "tests.support.logits_processors"
CONFIG = EngineConfig(
    logits_processor_pattern=HERE.replace(".", r"\."), logits_processors=(f"{HERE}.Favours",)
)
PROMPT = prompt_of(70)
GREEDY = SamplingParams(max_tokens=24, seed=5, temperature=0.0)
SEEDED = SamplingParams(max_tokens=24, seed=5, temperature=0.9, n=2)

# Each changes an answer of the tiny model, as the test checks; beside it what comes of them.
FIELDS: dict[str, dict[str, Any]] = {
    "min_p": {"min_p": 0.2},
    "min_tokens": {"min_tokens": 20, "logit_bias": ((EOS, 100.0),)},
    "stop_token_ids": {"stop_token_ids": tuple(range(0, 1000, 3))},
    "ignore_eos": {"ignore_eos": True, "logit_bias": ((EOS, 100.0),), "frequency_penalty": 2.0},
    "frequency_penalty": {"frequency_penalty": 1.9},
    "presence_penalty": {"presence_penalty": -2.0},
    "repetition_penalty": {"repetition_penalty": 0.5},
    "logit_bias": {"logit_bias": ((9, 6.0), (11, -100.0))},
    "allowed_token_ids": {"allowed_token_ids": tuple(range(100, 160))},
    "bad_words": {"bad_words": tuple((token,) for token in range(0, 1000, 2))},
    "logits_processors": {"processors": (ProcessorCall(f"{HERE}.only_twice_the_last"),)},
    "vllm_xargs": {"extra_args": '{"favours": 77}'},
    "top_k and top_p": {"top_k": 5, "top_p": 0.5},
}


@dataclass(frozen=True, slots=True)
class Answer:
    choices: tuple[tuple[TokenRecord, ...], ...]
    scores: tuple[PromptLogprobs, ...] = ()

    @property
    def tokens(self) -> list[list[int]]:
        return [[record.token_id for record in choice] for choice in self.choices]


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Served, Served]]:
    def load() -> Any:
        return load_torch_runner(str(folder), CONFIG)

    async with (
        serving(Role.PREFILL, runner=load()) as prefill,
        serving(Role.DECODE, runner=load()) as decode,
    ):
        yield prefill, decode
        await prefill.until_idle()
        await decode.until_idle()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_llama(tmp_path_factory.mktemp("models") / "llama")


async def handed_over(
    prefill: Served, decode: Served, params: SamplingParams, prompt: tuple[int, ...] = PROMPT
) -> Answer:
    handoff = handoff_to(prefill)
    answer = aiter(decode.generate(generate_request(handoff, prompt, params)))
    assert (await anext(answer)).HasField("reserved")
    reading = asyncio.ensure_future(read(prefill.prefill(prefill_request(handoff, prompt, params))))
    writing = asyncio.ensure_future(read(answer))
    await asyncio.wait((reading, writing))
    lost = writing.exception()
    begun = await reading  # which knows better than `lost` what went wrong
    if lost is not None:
        raise lost
    written = writing.result()
    choices = by_choice(records_of(written), params.n)
    first = {(record.choice, record.position): record for record in records_of(begun)}
    assert all(first[one.choice, one.position] == one for one, *_ in choices)
    assert not scores_of(written)  # a prompt that was not read here has none
    return Answer(choices, scores_of(begun))


async def alone(decode: Served, params: SamplingParams, prompt: tuple[int, ...] = PROMPT) -> Answer:
    responses = await read(decode.generate(generate_request(None, prompt, params)))
    return Answer(by_choice(records_of(responses), params.n), scores_of(responses))


async def read(call: Any) -> list[Any]:
    async with asyncio.timeout(60):
        return [response async for response in call]


def records_of(responses: list[Any]) -> list[TokenRecord]:
    return [r for one in responses for r in wire.records_from_pb(one.tokens.records)]


def scores_of(responses: list[Any]) -> tuple[PromptLogprobs, ...]:
    return tuple(
        wire.prompt_logprobs_from_pb(one.prompt_logprobs)
        for one in responses
        if one.HasField("prompt_logprobs")
    )


def assert_close(one: Answer, other: Answer) -> None:
    """The same tokens and ends; log-probabilities but for the order of summation in a batch."""
    assert one.tokens == other.tokens
    for left, right in zip(one.choices, other.choices, strict=True):
        for a, b in zip(left, right, strict=True):
            assert a.finish_reason == b.finish_reason
            assert (a.logprobs is None) == (b.logprobs is None)
            if a.logprobs and b.logprobs:
                assert a.logprobs.logprob == pytest.approx(b.logprobs.logprob, abs=1e-4)
                assert [v for _, v in a.logprobs.top] == pytest.approx(
                    [v for _, v in b.logprobs.top], abs=1e-4
                )


async def test_each_field_draws_the_same_wherever_it_is_drawn(llama: Path) -> None:
    async with pair(llama) as (prefill, decode):
        for base in (GREEDY, SEEDED):
            plain = await alone(decode, base)
            for name, fields in FIELDS.items():
                params = replace(base, logprobs=2, **fields)
                split = await handed_over(prefill, decode, params)
                assert_close(split, await alone(decode, params))  # the cache is warm by now
                assert_close(split, await handed_over(prefill, decode, params))
                greedy_has_none = base.temperature == 0 and name in ("min_p", "top_k and top_p")
                assert (split.tokens != plain.tokens) or greedy_has_none, name


async def test_ends_are_held_back_and_told_as_the_fields_say(llama: Path) -> None:
    async with pair(llama) as (prefill, decode):
        held = await handed_over(prefill, decode, replace(GREEDY, **FIELDS["min_tokens"]))
        [choice] = held.choices
        assert [r.token_id == EOS for r in choice] == [False] * 20 + [True]
        assert choice[-1].finish_reason is FinishReason.STOP
        [choice] = (
            await handed_over(prefill, decode, replace(GREEDY, **FIELDS["ignore_eos"]))
        ).choices
        assert EOS in [r.token_id for r in choice[:-1]]
        assert choice[-1].finish_reason is FinishReason.LENGTH
        stop = replace(GREEDY, stop_token_ids=(held.tokens[0][3],))
        [choice] = (await handed_over(prefill, decode, stop)).choices
        assert choice[-1].token_id in stop.stop_token_ids
        assert choice[-1].finish_reason is FinishReason.STOP


@pytest.mark.parametrize("mode", LogprobsMode)
async def test_log_probabilities_of_each_mode_are_told_by_both_workers(
    llama: Path, mode: LogprobsMode
) -> None:
    params = replace(
        SEEDED, max_tokens=6, logprobs=4, logprobs_mode=mode, top_k=3, repetition_penalty=1.3
    )
    async with pair(llama) as (prefill, decode):
        split = await handed_over(prefill, decode, params)
        assert_close(split, await alone(decode, params))
        assert all(r.logprobs and len(r.logprobs.top) == 4 for c in split.choices for r in c)


async def test_a_prompt_is_scored_by_whoever_reads_it(llama: Path) -> None:
    params = replace(GREEDY, prompt_logprobs=2)
    async with pair(llama) as (prefill, decode):
        [split] = (await handed_over(prefill, decode, params)).scores
        [single] = (await alone(decode, params)).scores
        [again] = (await alone(decode, params)).scores
        assert len(split.entries) == len(PROMPT) - 1
        for a, b, c in zip(split.entries, single.entries, again.entries, strict=True):
            assert a.logprob == pytest.approx(b.logprob, abs=1e-4)
            assert b.logprob == pytest.approx(c.logprob, abs=1e-4)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"allowed_token_ids": (4,), "bad_words": ((4,),)}, None),
        ({"allowed_token_ids": (EOS,), "min_tokens": 2}, None),
        ({"processors": (ProcessorCall("os.system"),)}, "logits_processors"),
        ({"processors": (ProcessorCall(f"{HERE}.breaks"),)}, "logits_processors"),
        ({"extra_args": '{"unknown": 1}'}, "vllm_xargs"),
        ({"logit_bias": ((10**6, 1.0),)}, "logit_bias"),
    ],
)
async def test_what_cannot_be_drawn_is_an_error_of_that_request_alone(
    llama: Path, fields: dict[str, Any], param: str | None
) -> None:
    async with pair(llama) as (prefill, decode):
        before = await alone(decode, SEEDED)
        other = asyncio.ensure_future(handed_over(prefill, decode, SEEDED))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await alone(decode, replace(GREEDY, **fields))
        failure = from_rpc_error(caught.value)
        assert isinstance(failure, RequestError)
        assert failure.param == param
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await handed_over(prefill, decode, replace(GREEDY, **fields))
        assert isinstance(from_rpc_error(caught.value), RequestError)
        assert_close(await other, before)


@pytest.mark.parametrize(
    "fields",
    [
        {"stop_token_ids": (1, 5, 9, 40, 60), "max_tokens": 200},
        {"min_tokens": 60, "max_tokens": 200, "ignore_eos": False},
        {"allowed_token_ids": (7, 8, 9), "ignore_eos": False, "min_tokens": 4},
        {"repetition_penalty": 1.5, "bad_words": ((1, 2),), "logit_bias": ((3, 0.5),)},
        {"logprobs": 3},
    ],
)
async def test_the_hash_model_keeps_to_the_fields_byte_for_byte(fields: dict[str, Any]) -> None:
    params = replace(sampled(40, n=2), prompt_logprobs=1, **fields)
    expected = hash_answer(HASH_MODEL, PROMPT, params)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        for answer in (
            await handed_over(prefill, decode, params),
            await alone(decode, params),
        ):
            assert answer.choices == expected
            assert answer.scores == (hash_scores(HASH_MODEL, PROMPT, 1),)
        await prefill.until_idle()
        await decode.until_idle()
