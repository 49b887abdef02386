"""A prompt is read on one worker and answered on another, byte for byte as on one."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from baton.core import block_hashes
from baton.core.errors import RefusedError, RequestError, TransferError, UnavailableError
from baton.core.handoff import Handoff, new_id, new_ticket
from baton.core.sampling_params import SamplingParams
from baton.core.token_record import TokenRecord
from baton.core.worker_info import Role
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from decode_worker.service import DecodeServicer
from tests.support.engine_events import EventLog
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, generate, prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

Answer = tuple[tuple[TokenRecord, ...], ...]


async def relay(
    prefill: Served, decode: Served, prompt: tuple[int, ...], params: SamplingParams
) -> Answer:
    """What a gateway does, without its care: reserve, prefill, read decode's stream to its end."""
    handoff = handoff_to(prefill)
    generation = decode.generate(generate_request(handoff, prompt, params))
    answer = aiter(generation)
    assert (await anext(answer)).HasField("reserved")
    reading = asyncio.ensure_future(
        drain(prefill.prefill(prefill_request(handoff, prompt, params)))
    )
    records: list[TokenRecord] = []
    async for response in answer:
        records += wire.records_from_pb(response.tokens.records)
    responses = await asyncio.wait_for(reading, 10)
    assert [r.WhichOneof("event") for r in responses] == ["admitted", "tokens", "released"]
    assert responses[-1].released.confirmed
    begun = wire.records_from_pb(responses[1].tokens.records)
    assert sorted(begun, key=lambda r: r.choice) == [c[0] for c in by_choice(records, params.n)]
    return by_choice(records, params.n)


async def test_reserved_and_finished_tell_what_is_left_for_others() -> None:
    async with serving(Role.DECODE) as decode:
        total = decode.worker.load().room
        answer = aiter(decode.generate(generate_request(None, tuple(range(40)), GREEDY)))
        reserved = wire.room_from_pb((await anext(answer)).reserved.room)
        assert reserved.free_blocks == total.free_blocks - 4  # three, and one to write in
        assert reserved.seated == ((0, 1),)
        assert reserved.number > total.number
        *_, last = [response async for response in answer]
        finished = wire.room_from_pb(last.finished.room)
        assert (finished, total.seats) == (total, 64)
        assert finished.number > reserved.number


async def both_idle(prefill: Served, decode: Served) -> None:
    await prefill.until_idle()
    await decode.until_idle()


async def drain(call: Any) -> list[Any]:
    return [response async for response in call]


@pytest.mark.parametrize("length", [1, 15, 16, 17, 40, 700])
@pytest.mark.parametrize("params", [GREEDY, sampled(max_tokens=40, ignore_eos=False)])
async def test_the_answer_equals_the_model_whatever_the_prompts_length(
    length: int, params: SamplingParams
) -> None:
    prompt = prompt_of(length)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        assert await relay(prefill, decode, prompt, params) == hash_answer(
            HASH_MODEL, prompt, params
        )
        await both_idle(prefill, decode)


async def test_many_at_once_and_several_choices_are_answered_as_if_alone() -> None:
    jobs = [(prompt_of(30 + 13 * i, salt=i), sampled(20, seed=i, n=1 + i % 3)) for i in range(12)]
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        answers = await asyncio.gather(*(relay(prefill, decode, p, s) for p, s in jobs))
        assert answers == [hash_answer(HASH_MODEL, p, s) for p, s in jobs]
        await both_idle(prefill, decode)


async def test_decode_hashes_a_prompt_once_and_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompt, params = prompt_of(100), sampled(max_tokens=3)
    hashed: list[int] = []  # tokens of each block
    whole = block_hashes.next_hash

    def counted(parent: bytes, tokens: Sequence[int], salt: bytes) -> bytes:
        hashed.append(len(tokens))
        return whole(parent, tokens, salt)

    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        handoff = handoff_to(prefill)
        answer = aiter(decode.generate(generate_request(handoff, prompt, params)))
        monkeypatch.setattr(block_hashes, "next_hash", counted)
        assert (await anext(answer)).HasField("reserved")
        assert hashed == [16] * 6
        reading = prefill.prefill(prefill_request(handoff, prompt, params))
        await asyncio.gather(drain(answer), drain(reading))
        assert hashed == [16] * 12, "by each of the two workers"
        await both_idle(prefill, decode)


async def test_an_answer_of_one_token_is_still_confirmed() -> None:
    prompt, params = prompt_of(33), sampled(max_tokens=1, n=2)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        assert await relay(prefill, decode, prompt, params) == hash_answer(
            HASH_MODEL, prompt, params
        )
        await both_idle(prefill, decode)


async def test_a_decode_worker_alone_gives_the_same_answer() -> None:
    prompt, params = prompt_of(50), sampled(max_tokens=20, n=2)
    async with serving(Role.DECODE) as decode:
        records: list[TokenRecord] = []
        async for response in decode.generate(generate_request(None, prompt, params)):
            records += wire.records_from_pb(response.tokens.records)
        assert by_choice(records, 2) == hash_answer(HASH_MODEL, prompt, params)
        await decode.until_idle()


async def test_a_pool_with_no_room_refuses_at_once() -> None:
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE, num_blocks=8) as decode:
        handoff = handoff_to(prefill)  # whose Prefill never comes
        first = decode.generate(generate_request(handoff, prompt_of(64), GREEDY))
        await first.read()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(decode.generate(generate_request(None, prompt_of(64), GREEDY)))
        assert isinstance(from_rpc_error(caught.value), RefusedError)
        first.cancel()
        await decode.until_idle()


async def test_nobody_new_gets_blocks_while_an_older_request_lacks_them() -> None:
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE, num_blocks=8) as decode:
        first = decode.generate(generate_request(handoff_to(prefill), prompt_of(64), GREEDY))
        await first.read()
        second = decode.generate(generate_request(handoff_to(prefill), prompt_of(20), GREEDY))
        await second.read()  # all blocks are promised now
        bridge, log = decode.worker.bridge, EventLog()
        bridge.submit(generate("older", prompt_of(64)), log)
        await decode.until(lambda load: load.waiting == 1)
        second.cancel()
        await decode.until(lambda load: load.free_blocks == 3)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(decode.generate(generate_request(None, prompt_of(20), GREEDY)))
        assert isinstance(from_rpc_error(caught.value), RefusedError)
        first.cancel()
        await decode.until_idle()
        assert log.records() == hash_answer(HASH_MODEL, prompt_of(64), GREEDY)[0]


async def test_a_prompt_that_never_fits_is_the_callers_fault() -> None:
    async with serving(Role.PREFILL, num_blocks=4) as prefill:
        request = prefill_request(handoff_to(prefill), prompt_of(65), GREEDY)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drain(prefill.prefill(request))
        assert isinstance(from_rpc_error(caught.value), RequestError)
        await prefill.until_idle()


async def test_a_prefill_worker_that_is_not_there_ends_the_request_with_a_clean_error() -> None:
    async with serving(Role.DECODE) as decode:
        handoff = Handoff(new_id(), new_ticket(), "127.0.0.1:1", "nobody")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(
                drain(decode.generate(generate_request(handoff, prompt_of(20), GREEDY))), 30
            )
        assert isinstance(from_rpc_error(caught.value), TransferError)
        await decode.until_idle()


@pytest.mark.parametrize(
    ("side", "after"),
    [  # a Prefill that is cancelled before it is sent is nothing: decode's wait for it is bounded
        ("decode", "reserved"),
        ("both", "reserved"),
        ("prefill", "admitted"),
        ("decode", "admitted"),
        ("both", "admitted"),
        ("decode", "tokens"),
        ("both", "tokens"),
    ],
)
async def test_cancelling_at_any_moment_frees_both_sides(side: str, after: str) -> None:
    slow = replace(HASH_MODEL, step_seconds=0.02)
    prompt, params = prompt_of(900), sampled(max_tokens=3000)
    async with serving(Role.PREFILL, slow) as prefill, serving(Role.DECODE, slow) as decode:
        handoff = handoff_to(prefill)
        generation = decode.generate(generate_request(handoff, prompt, params))
        await generation.read()
        reading = prefill.prefill(prefill_request(handoff, prompt, params))
        if after in ("admitted", "tokens"):
            assert (await reading.read()).HasField("admitted")
        if after == "tokens":
            assert (await reading.read()).HasField("tokens")
        if side in ("prefill", "both"):
            reading.cancel()
        if side in ("decode", "both") or await has_taken_over(generation):
            generation.cancel()
        await both_idle(prefill, decode)


async def has_taken_over(generation: Any) -> bool:
    """Decode gives up with prefill, unless it had everything before the cancellation came."""
    try:
        return bool((await asyncio.wait_for(generation.read(), 30)).HasField("tokens"))
    except grpc.aio.AioRpcError:
        return False


async def test_a_stream_that_ends_at_its_first_tokens_keeps_none_of_the_pulled_blocks() -> None:
    prompt, params = prompt_of(100), sampled(max_tokens=50)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        handoff = handoff_to(prefill)
        servicer = DecodeServicer(decode.worker)
        context = SimpleNamespace(invocation_metadata=tuple)
        answer = servicer.Generate(generate_request(handoff, prompt, params), context)
        assert (await anext(answer)).HasField("reserved")
        reading = asyncio.ensure_future(
            drain(prefill.prefill(prefill_request(handoff, prompt, params)))
        )
        assert (await anext(answer)).transferred.tokens == len(prompt)
        assert (await anext(answer)).HasField("tokens")
        await answer.aclose()
        await reading
        await both_idle(prefill, decode)


async def test_a_worker_that_stops_says_so_to_those_whose_requests_it_ends() -> None:
    slow = replace(HASH_MODEL, step_seconds=0.02)
    params = replace(GREEDY, max_tokens=4000, ignore_eos=True)
    async with serving(Role.PREFILL, slow) as prefill, serving(Role.DECODE, slow) as decode:
        answer = aiter(decode.generate(generate_request(None, prompt_of(20), params)))
        while not (await asyncio.wait_for(anext(answer), 10)).HasField("tokens"):
            pass
        reading = aiter(
            prefill.prefill(prefill_request(handoff_to(prefill), prompt_of(20), params))
        )
        while not (await asyncio.wait_for(anext(reading), 10)).HasField("tokens"):
            pass
        await decode.worker.give_up()
        await prefill.worker.give_up()
        with pytest.raises(grpc.aio.AioRpcError, match="the engine has stopped") as caught:
            await asyncio.wait_for(drain(answer), 10)
        assert isinstance(from_rpc_error(caught.value), UnavailableError)
        last = await asyncio.wait_for(anext(reading), 10)
        assert not last.released.confirmed
        await both_idle(prefill, decode)
