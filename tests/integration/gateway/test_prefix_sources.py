"""The next turn's prefill is told who may have its beginning, and the answer tells what came."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from baton.core.errors import UnavailableError
from baton.core.worker_info import Role
from baton.v1 import decode_pb2, prefill_pb2
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import (
    FakeWorker,
    answering,
    prefilling,
)
from tests.support.gateway_reading import TEXT

PROMPT = [5] * 40
ANSWER = [5, 6, 7] * 8
NEXT = [*PROMPT, *ANSWER, 8]
KEYS = ("prefix_from", "prefix_tokens_moved", "prefix_ms")


async def asked(gateway: GatewayUnderTest, prompt: list[int], **fields: Any) -> Any:
    body = {"prompt": prompt, **fields}
    return (await gateway.client.post(TEXT, json=body)).json()["kv_transfer_params"]


async def named(prefill: FakeWorker, number: int) -> prefill_pb2.PrefixSource | None:
    """Whom the prefill worker's call of this number is told to ask."""
    request = (await prefill.calls.number(number)).request
    return request.prefix if request.HasField("prefix") else None


async def test_the_worker_that_wrote_the_answer_is_named_to_the_next_turn(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        decode.decode_script = answering(ANSWER)
        told = await asked(gateway, PROMPT)
        assert [told[key] for key in KEYS] == [None] * 3
        assert await named(prefill, 0) is None

        async def pulling(
            request: prefill_pb2.PrefillRequest,
        ) -> AsyncIterator[prefill_pb2.PrefillResponse]:
            pulled = prefill_pb2.PrefixPulled(
                tokens=48, bytes=9, transport="shm", milliseconds=1.23456
            )
            yield prefill_pb2.PrefillResponse(prefix_pulled=pulled)
            async for response in prefilling([5])(request):
                yield response

        prefill.prefill_script = pulling
        told = await asked(gateway, NEXT)
        assert [told[key] for key in KEYS] == ["d0", 48, 1.235]
        source, own = await named(prefill, 1), (await prefill.calls.number(1)).request
        assert source is not None
        assert (source.address, source.instance_id) == (decode.address, "instance-of-d0")
        assert source.num_tokens == 48  # of 63 that decode has, in whole blocks
        assert len(source.ticket) == 16
        assert {source.ticket, source.transfer_id}.isdisjoint({own.ticket, own.transfer_id})
        [link] = (await gateway.client.get("/status")).json()["links"]
        assert [link[key] for key in ("from", "to", "transport")] == ["d0", "p0", "shm"]
        assert (link["bytes"], link["transfers"], link["exposed_ms"]) == (9, 1, None)


async def test_whoever_did_not_need_it_tells_of_nothing(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        decode.decode_script = answering(ANSWER)
        await asked(gateway, PROMPT)
        told = await asked(gateway, NEXT)
        assert [told[key] for key in KEYS] == [None] * 3
        assert await named(prefill, 1) is not None


async def test_an_answer_that_its_text_has_ended_is_remembered_as_far_as_it_came(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        going_on = answering([5] * 8)

        async def never_ending(
            request: decode_pb2.GenerateRequest,
        ) -> AsyncIterator[decode_pb2.GenerateResponse]:
            async for response in going_on(request):
                if response.HasField("finished"):
                    await asyncio.Event().wait()
                yield response

        decode.decode_script = never_ending
        word = (await gateway.client.post("/detokenize", json={"tokens": [5, 5, 5]})).json()
        await asked(gateway, PROMPT, stop=[word["prompt"]])
        decode.decode_script = answering(ANSWER)
        await asked(gateway, [*PROMPT, *[5] * 30])
        source = await named(prefill, 1)
        assert source is not None
        assert source.num_tokens == 32


async def test_another_salt_is_another_conversation(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        decode.decode_script = answering(ANSWER)
        await asked(gateway, PROMPT)
        await asked(gateway, NEXT, cache_salt="another")
        assert await named(prefill, 1) is None


async def test_a_worker_that_is_gone_is_not_named(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        decode.decode_script = answering(ANSWER)
        await asked(gateway, PROMPT)
        await decode.stop()
        await gateway.until_gone("d0")
        await gateway.join("d1", Role.DECODE)
        await asked(gateway, NEXT)
        assert await named(prefill, 1) is None


async def test_a_worker_that_broke_under_an_answer_is_not_remembered_for_it(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, broken = await gateway.pair()
        whole = answering(ANSWER)
        broke = asyncio.Event()

        async def breaking(
            request: decode_pb2.GenerateRequest,
        ) -> AsyncIterator[decode_pb2.GenerateResponse]:
            async for response in whole(request):
                yield response
                if response.HasField("tokens") and not broke.is_set():
                    broke.set()
                    raise UnavailableError("gone")

        broken.decode_script = breaking
        told = await asked(gateway, PROMPT)
        assert told["failovers"] == 1
        assert await named(prefill, 1) is None  # the continuation's
        await asked(gateway, NEXT)
        assert await named(prefill, 2) is not None
