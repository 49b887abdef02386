"""Real workers on the hash model: a hit answers byte for byte as a miss does."""

import asyncio
from typing import Any

import grpc
import pytest

from baton.core.sampling_params import SamplingParams
from baton.core.worker_info import Role
from baton.rpc import wire
from baton.worker.settings import WorkerSettings
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import GREEDY, prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.worker_pair import (
    Served,
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)

Answer = tuple[tuple[Any, ...], ...]


async def drain(call: Any) -> list[Any]:
    return [response async for response in call]


async def relayed(
    prefill: Served,
    decode: Served,
    prompt: tuple[int, ...],
    params: SamplingParams,
    **owner: str,
) -> tuple[int, Answer]:
    """Tokens that prefill had cached, and the answer."""
    handoff = handoff_to(prefill)
    asked, read = (
        generate_request(handoff, prompt, params),
        prefill_request(handoff, prompt, params),
    )
    for request in (asked, read):
        request.cache_salt = owner.get("cache_salt", "")
        request.tenant = owner.get("tenant", "")
    answer = aiter(decode.generate(asked))
    assert (await anext(answer)).HasField("reserved")
    reading = asyncio.ensure_future(drain(prefill.prefill(read)))
    records = [r async for m in answer for r in wire.records_from_pb(m.tokens.records)]
    responses = await asyncio.wait_for(reading, 10)
    assert responses[-1].released.confirmed
    return responses[0].admitted.num_cached_tokens, by_choice(records, params.n)


async def alone(
    decode: Served, prompt: tuple[int, ...], params: SamplingParams
) -> tuple[int, Answer]:
    """The same, without a hand-off."""
    messages = await drain(decode.generate(generate_request(None, prompt, params)))
    assert [m.WhichOneof("event") for m in messages[:3]] == ["reserved", "admitted", "tokens"]
    records = [r for m in messages for r in wire.records_from_pb(m.tokens.records)]
    return messages[1].admitted.num_cached_tokens, by_choice(records, params.n)


async def test_a_prompt_that_begins_like_an_earlier_one_is_handed_over_whole() -> None:
    params = sampled(20, n=2)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        base = prompt_of(700)
        cases = [(base, 0), (base, 688), ((*base[:100], 5), 96), ((*base, 1, 2, 3), 688)]
        for prompt, cached in cases:
            expected = hash_answer(HASH_MODEL, prompt, params)
            assert await relayed(prefill, decode, prompt, params) == (cached, expected)
        await prefill.until_idle()
        await decode.until_idle()
        reading = prefill.worker.reading()
        assert reading.cache_queries == 700 + 700 + 101 + 703
        assert reading.cache_hits == 688 + 96 + 688


async def test_what_the_pools_gave_up_comes_back_from_host_memory() -> None:
    """Prompts of 7 blocks in turn, through pools of 12: none would be found there again."""
    params = sampled(20)
    prompts = [prompt_of(100, salt) for salt in range(4)]
    size = HASH_MODEL.layout(16).block_bytes
    settings = WorkerSettings(
        model="test",
        kv_cache_memory_bytes=12 * size,
        kv_offloading_size=64 * size / 2**30,
        max_num_seqs=4,
    )
    async with (
        serving(Role.PREFILL, settings=settings) as prefill,
        serving(Role.DECODE, settings=settings) as decode,
    ):
        for cached in (0, 96, 96):
            for prompt in prompts:
                expected = hash_answer(HASH_MODEL, prompt, params)
                assert await relayed(prefill, decode, prompt, params) == (cached, expected)
        await decode.until_idle()
        for prompt in prompts:
            assert (await alone(decode, prompt, params)) == (
                96,
                hash_answer(HASH_MODEL, prompt, params),
            )
        for served in (prefill, decode):
            await served.until_idle()
            served.worker.blocks.check_integrity()
            reading = served.worker.reading()
            assert 3 * 96 < reading.host_hits <= reading.host_queries
            assert 0 < reading.host_usage < 1
            assert reading.host_blocks_stored >= 6 * 3
            assert reading.host_blocks_evicted == 0


async def test_many_alike_at_once_are_answered_as_if_alone() -> None:
    base = prompt_of(300)
    jobs = [((*base[: 40 + 20 * i], i), sampled(12, seed=i)) for i in range(12)]
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        for _ in range(2):
            answers = await asyncio.gather(*(relayed(prefill, decode, p, s) for p, s in jobs))
            assert [a for _, a in answers] == [hash_answer(HASH_MODEL, p, s) for p, s in jobs]
        assert [cached for cached, _ in answers] == [len(p) // 16 * 16 for p, _ in jobs]
        await prefill.until_idle()
        await decode.until_idle()


@pytest.mark.parametrize("owner", [{"cache_salt": "salt"}, {"tenant": "other"}])
async def test_another_salt_or_tenant_never_hits(owner: dict[str, str]) -> None:
    prompt, params = prompt_of(200), sampled(5)
    expected = hash_answer(HASH_MODEL, prompt, params)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        assert await relayed(prefill, decode, prompt, params) == (0, expected)
        assert await relayed(prefill, decode, prompt, params, **owner) == (0, expected)
        assert await relayed(prefill, decode, prompt, params, **owner) == (192, expected)


async def test_decode_finds_what_it_read_wrote_and_pulled() -> None:
    first, params = prompt_of(50), sampled(40)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        assert (await alone(decode, first, params))[0] == 0
        answer = hash_answer(HASH_MODEL, first, params)
        turn = (*first, *(r.token_id for r in answer[0]), 1, 2, 3)
        assert await alone(decode, turn, params) == (80, hash_answer(HASH_MODEL, turn, params))
        pulled = prompt_of(100, salt=1)
        await relayed(prefill, decode, pulled, params)
        assert (await alone(decode, pulled, params))[0] == 96
        await decode.until_idle()


async def pulled(
    prefill: Served, decode: Served, prompt: tuple[int, ...], params: SamplingParams, **owner: str
) -> tuple[int, int, Answer]:
    """Blocks that travelled, tokens that decode had, and the answer."""
    handoff = handoff_to(prefill)
    asked, read = (
        generate_request(handoff, prompt, params),
        prefill_request(handoff, prompt, params),
    )
    for request in (asked, read):
        request.cache_salt = owner.get("cache_salt", "")
        request.tenant = owner.get("tenant", "")
    answer = aiter(decode.generate(asked))
    assert (await anext(answer)).HasField("reserved")
    reading = asyncio.ensure_future(drain(prefill.prefill(read)))
    responses = [response async for response in answer]
    assert (await asyncio.wait_for(reading, 10))[-1].released.confirmed
    report = responses[0].transferred
    assert report.tokens + report.cached_tokens == len(prompt)
    records = [r for m in responses for r in wire.records_from_pb(m.tokens.records)]
    block_bytes = decode.worker.info.fingerprint.layout.block_bytes
    return report.bytes // block_bytes, report.cached_tokens, by_choice(records, params.n)


async def test_only_blocks_that_decode_lacks_travel() -> None:
    params = sampled(20, n=2)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        base = prompt_of(320)
        cases = [
            (base, (20, 0)),
            (base, (0, 320)),  # all of it is there: nothing moves, and the lease is confirmed
            ((*base, 1), (1, 320)),  # the partial block always travels
            ((*base[:100], 5, *base[101:]), (14, 96)),
            (base[:100], (1, 96)),
            ((5, *base[1:]), (20, 0)),
        ]
        for prompt, moved in cases:
            expected = hash_answer(HASH_MODEL, prompt, params)
            assert await pulled(prefill, decode, prompt, params) == (*moved, expected)
        for owner in ({"cache_salt": "salt"}, {"tenant": "other"}):
            found = await pulled(prefill, decode, base, params, **owner)
            assert found == (20, 0, hash_answer(HASH_MODEL, base, params))
        await prefill.until_idle()
        await decode.until_idle()


async def test_what_decode_wrote_itself_does_not_travel_back_to_it() -> None:
    first, params = prompt_of(50), sampled(40)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        [answer] = (await pulled(prefill, decode, first, params))[2]
        turn = (*first, *(r.token_id for r in answer), 1, 2, 3)
        expected = hash_answer(HASH_MODEL, turn, params)
        assert await pulled(prefill, decode, turn, params) == (1, 80, expected)
        await decode.until_idle()


async def test_cached_blocks_count_once_and_are_held_until_the_hand_off_is_over() -> None:
    prompt, params = prompt_of(160), sampled(30)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE, num_blocks=16) as decode:
        await pulled(prefill, decode, prompt, params)
        waiting = [
            decode.generate(generate_request(handoff_to(prefill), (*prompt, i), GREEDY))
            for i in range(3)  # 12 blocks each, of which 10 are the same
        ]
        for call in waiting:
            assert (await call.read()).HasField("reserved")
        assert decode.worker.load().free_blocks == 0
        others = decode.generate(generate_request(None, prompt_of(16, salt=1), GREEDY))
        with pytest.raises(grpc.aio.AioRpcError):  # nothing is left to evict
            await drain(others)
        for call in waiting:
            call.cancel()
        await decode.until_idle()
        decode.worker.blocks.check_integrity()
        assert (await pulled(prefill, decode, prompt, params))[:2] == (0, 160)
