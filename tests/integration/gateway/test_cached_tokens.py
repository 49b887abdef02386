"""What usage says of the prefix cache, and that salts reach the workers; over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import TransferError
from baton.core.token_record import FinishReason
from baton.core.worker_info import Role
from baton.v1 import decode_pb2, prefill_pb2
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import (
    ADMITTED,
    ADMITTED_ALONE,
    FINISHED,
    RESERVED,
    answering,
    decoded,
    prefilled,
    prefilling,
    records,
)
from tests.support.gateway_reading import CHAT, HI, TEXT, events

FROM_PREFILL = ADMITTED.admitted.num_cached_tokens
ALONE = ADMITTED_ALONE.admitted.num_cached_tokens
STREAM = {"stream": True, "stream_options": {"include_usage": True}}


async def details(gateway: GatewayUnderTest, path: str, body: dict[str, Any]) -> list[Any]:
    """`prompt_tokens_details` of the whole answer and of its stream."""
    whole = (await gateway.client.post(path, json=body)).json()
    streamed = events((await gateway.client.post(path, json=body | STREAM)).text)[-1]
    return [given["usage"].get("prompt_tokens_details") for given in (whole, streamed)]


async def test_whoever_reads_the_prompt_says_how_much_was_cached(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        expected = {"cached_tokens": FROM_PREFILL}
        assert await details(gateway, CHAT, {"messages": HI, "n": 2}) == [expected] * 2
        both = {"cached_tokens": 2 * FROM_PREFILL}
        assert await details(gateway, TEXT, {"prompt": [[5], [6, 7]]}) == [both] * 2


async def test_a_decode_worker_alone_says_it_itself(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.join("d0", Role.DECODE)
        assert await details(gateway, CHAT, {"messages": HI}) == [{"cached_tokens": ALONE}] * 2


async def test_decode_may_overtake_prefill_and_the_number_is_still_told(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        all_tokens_sent = asyncio.Event()

        async def late(request: Any) -> AsyncIterator[prefill_pb2.PrefillResponse]:
            await all_tokens_sent.wait()
            yield ADMITTED
            yield prefilled(records(len(request.prompt_token_ids), [5], finish=None))

        async def quick(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
            all_tokens_sent.clear()
            yield RESERVED
            yield decoded(records(len(request.prompt_token_ids), [5, 6]))
            all_tokens_sent.set()
            yield FINISHED

        prefill.prefill_script, decode.decode_script = late, quick
        told = await details(gateway, CHAT, {"messages": HI})
        assert told == [{"cached_tokens": FROM_PREFILL}] * 2


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_does_not_fail_because_the_number_was_lost(
    model_folder: Path, stream: bool
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()

        async def breaking(request: Any) -> AsyncIterator[prefill_pb2.PrefillResponse]:
            await all_tokens_sent.wait()
            raise TransferError("lost")
            yield ADMITTED

        async def quick(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
            yield RESERVED
            yield decoded(records(len(request.prompt_token_ids), [5, 6]))
            all_tokens_sent.set()
            yield FINISHED

        all_tokens_sent = asyncio.Event()
        prefill.prefill_script, decode.decode_script = breaking, quick
        response = await gateway.client.post(
            CHAT, json={"messages": HI, **(STREAM if stream else {})}
        )
        answer = events(response.text)[-1] if stream else response.json()
        assert answer["usage"]["completion_tokens"] == 2
        assert answer["usage"].get("prompt_tokens_details") is None


async def test_the_last_try_counts(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        good = answering([5, 6], FinishReason.STOP)

        async def breaking_once(
            request: Any,
        ) -> AsyncIterator[decode_pb2.GenerateResponse]:
            if request.attempt == 1:
                yield RESERVED
                raise TransferError("stale")
            async for response in good(request):
                yield response

        async def counting(request: Any) -> AsyncIterator[prefill_pb2.PrefillResponse]:
            admitted = prefill_pb2.PrefillAdmitted(num_cached_tokens=request.attempt)
            yield prefill_pb2.PrefillResponse(admitted=admitted)
            if request.attempt == 1:
                await asyncio.Event().wait()  # a try that gave a token would be the one that counts
            async for response in prefilling([5])(request):
                if not response.HasField("admitted"):
                    yield response

        prefill.prefill_script, decode.decode_script = counting, breaking_once
        answer = (await gateway.client.post(CHAT, json={"messages": HI})).json()
        assert answer["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}


async def test_both_workers_get_the_salt(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        workers = await gateway.pair()
        await gateway.client.post(CHAT, json={"messages": HI, "cache_salt": "mine"})
        await gateway.client.post(CHAT, json={"messages": HI})
        for worker in workers:
            salts = [(await worker.calls.number(i)).request.cache_salt for i in range(2)]
            assert salts == ["mine", ""]
