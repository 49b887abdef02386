"""A prompt is read on one worker and searched on another, byte for byte as on one."""

import asyncio
from dataclasses import replace

import grpc
import pytest

from baton.core.errors import RequestError, TransferError
from baton.core.sampling_params import BeamSearch, SamplingParams
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from tests.integration.worker.test_prefill_to_decode import both_idle, drain
from tests.support.beam_answer import hash_beams
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)


def searched(n: int, penalty: float = 1.0, max_tokens: int = 20) -> SamplingParams:
    params = sampled(max_tokens, n=n, ignore_eos=False)
    return replace(params, logprobs=1, beam=BeamSearch(penalty))


def without_logprobs(
    answer: tuple[tuple[TokenRecord, ...], ...],
) -> tuple[tuple[TokenRecord, ...], ...]:
    return tuple(tuple(replace(r, logprobs=None) for r in choice) for choice in answer)


async def relay(
    prefill: Served, decode: Served, prompt: tuple[int, ...], params: SamplingParams
) -> tuple[tuple[TokenRecord, ...], ...]:
    """As a gateway does it. Prefill says nothing of tokens, and decode all of them at once."""
    handoff = handoff_to(prefill)
    answer = aiter(decode.generate(generate_request(handoff, prompt, params)))
    assert (await anext(answer)).HasField("reserved")
    reading = asyncio.ensure_future(
        drain(prefill.prefill(prefill_request(handoff, prompt, params)))
    )
    told = [wire.records_from_pb(response.tokens.records) async for response in answer]
    responses = await asyncio.wait_for(reading, 10)
    assert [r.WhichOneof("event") for r in responses] == ["admitted", "released"]
    assert responses[-1].released.confirmed
    batches = [records for records in told if records]
    assert len(batches) == 1
    assert all(record.logprobs is not None for record in batches[0])
    return by_choice(list(batches[0]), params.n)


@pytest.mark.parametrize("length", [1, 15, 16, 17, 700])
@pytest.mark.parametrize(("n", "penalty"), [(1, 1.0), (4, 0.0), (3, 2.0)])
async def test_the_beams_equal_the_models_whatever_the_prompts_length(
    length: int, n: int, penalty: float
) -> None:
    prompt, params = prompt_of(length), searched(n, penalty)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        answer = await relay(prefill, decode, prompt, params)
        assert without_logprobs(answer) == hash_beams(HASH_MODEL, prompt, params)
        await both_idle(prefill, decode)
        alone: list[TokenRecord] = []
        async for response in decode.generate(generate_request(None, prompt, params)):
            alone += wire.records_from_pb(response.tokens.records)
        assert by_choice(alone, n) == answer
        await decode.until_idle()


async def test_many_searches_at_once_are_answered_as_if_alone() -> None:
    jobs = [(prompt_of(30 + 13 * i, salt=i), searched(1 + i % 4)) for i in range(10)]
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        answers = await asyncio.gather(*(relay(prefill, decode, p, s) for p, s in jobs))
        assert [without_logprobs(a) for a in answers] == [
            hash_beams(HASH_MODEL, p, s) for p, s in jobs
        ]
        await both_idle(prefill, decode)


@pytest.mark.parametrize("side", ["decode", "both"])
async def test_cancelling_a_search_frees_both_sides(side: str) -> None:
    slow = replace(HASH_MODEL, step_seconds=0.02)
    prompt, params = prompt_of(100), replace(searched(4, max_tokens=2000), ignore_eos=True)
    async with serving(Role.PREFILL, slow) as prefill, serving(Role.DECODE, slow) as decode:
        handoff = handoff_to(prefill)
        generation = decode.generate(generate_request(handoff, prompt, params))
        assert (await generation.read()).HasField("reserved")
        reading = prefill.prefill(prefill_request(handoff, prompt, params))
        while not (sign := await asyncio.wait_for(generation.read(), 10)).HasField("tokens"):
            pass
        assert not sign.tokens.records
        generation.cancel()
        if side == "both":
            reading.cancel()
        await both_idle(prefill, decode)


async def test_a_search_whose_hand_off_is_given_up_was_not_read() -> None:
    slow = replace(HASH_MODEL, step_seconds=0.02)
    async with serving(Role.PREFILL, slow) as prefill:
        request = prefill_request(handoff_to(prefill), prompt_of(3000), searched(2))
        reading = aiter(prefill.prefill(request))
        assert (await anext(reading)).HasField("admitted")
        prefill.worker.sender.give_up()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(reading)
        assert isinstance(from_rpc_error(caught.value), TransferError)
        await prefill.until_idle()


async def test_a_search_that_is_wider_than_the_batch_is_the_callers_fault() -> None:
    async with serving(Role.DECODE) as decode:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(decode.generate(generate_request(None, prompt_of(20), searched(49))))
        error = from_rpc_error(caught.value)
        assert isinstance(error, RequestError)
        await decode.until_idle()
