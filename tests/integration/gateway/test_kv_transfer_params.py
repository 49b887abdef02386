"""What an answer tells of its way through the cluster, streamed and not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import UnavailableError
from baton.core.token_record import FinishReason
from baton.core.worker_info import Role
from baton.v1 import decode_pb2
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import (
    DecodeScript,
    answering,
    prefilling,
)
from tests.support.gateway_reading import CHAT, HI, TEXT, events

MOVED = decode_pb2.TransferReport(
    bytes=4096,
    tokens=40,
    transport="shm",
    milliseconds=7.23456,
    exposed_ms=1.20049,
    computed_ms=6.03407,
    cached_tokens=16,
    repaired_blocks=1,
    segments=[
        decode_pb2.SegmentTiming(first_block=0, num_blocks=2, start_ms=0.25, end_ms=5.0004),
        decode_pb2.SegmentTiming(
            first_block=2, num_blocks=1, ready_ms=6, start_ms=6.1239, end_ms=6.5
        ),
    ],
)
MOVED_KEYS = (
    *("transferred_bytes", "transferred_tokens", "decode_cached_tokens", "repaired_blocks"),
    "transport",
    *("transfer_ms", "exposed_ms", "computed_ms", "segments"),
)
PREFIX_KEYS = ("prefix_from", "prefix_tokens_moved", "prefix_ms")
NO_PREFIX = dict.fromkeys(PREFIX_KEYS)
IMAGE_KEYS = ("encode_worker", "images_moved", "image_bytes", "images_ms", "images_exposed_ms")
NO_IMAGES = dict.fromkeys(IMAGE_KEYS)
KEYS = {
    *("prefill_worker", "decode_worker", "reason", "cached_tokens", *PREFIX_KEYS, *MOVED_KEYS),
    *IMAGE_KEYS,
    *("failovers", "moves", "continued_on", "resume"),
}
WHOLE = {
    "prefill_worker": "p0",
    "decode_worker": "d0",
    "reason": "prefix_aware",
    "cached_tokens": 3,
    **NO_PREFIX,
    **NO_IMAGES,
    "transferred_bytes": 4096,
    "transferred_tokens": 40,
    "decode_cached_tokens": 16,
    "repaired_blocks": 1,
    "transport": "shm",
    "transfer_ms": 7.235,
    "exposed_ms": 1.2,
    "computed_ms": 6.034,
    "segments": [
        {"blocks": [0, 2], "ready_ms": 0.0, "start_ms": 0.25, "end_ms": 5.0},
        {"blocks": [2, 1], "ready_ms": 6.0, "start_ms": 6.124, "end_ms": 6.5},
    ],
    "failovers": 0,
    "moves": 0,
    "continued_on": [],
    "resume": None,
}
NOT_TOLD: dict[str, Any] = {
    **NO_PREFIX,
    **NO_IMAGES,
    **dict.fromkeys(MOVED_KEYS),
    "failovers": 0,
    "moves": 0,
    "continued_on": [],
    "resume": None,
}


def reporting(script: DecodeScript) -> DecodeScript:
    """With a report before the first tokens."""

    async def reported(
        request: decode_pb2.GenerateRequest,
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        async for response in script(request):
            yield response
            if response.HasField("reserved"):
                yield decode_pb2.GenerateResponse(transferred=MOVED)

    return reported


async def both(gateway: GatewayUnderTest, path: str, **fields: Any) -> list[Any]:
    """Of the whole answer, and of every chunk of the streamed one that has it."""
    whole = (await gateway.client.post(path, json=fields)).json()
    streamed = events((await gateway.client.post(path, json={**fields, "stream": True})).text)
    return [
        whole["kv_transfer_params"],
        [c["kv_transfer_params"] for c in streamed if "kv_transfer_params" in c],
    ]


@pytest.mark.parametrize(("path", "fields"), [(CHAT, {"messages": HI}), (TEXT, {"prompt": [5]})])
async def test_workers_and_hand_off_are_told(
    model_folder: Path, path: str, fields: dict[str, Any]
) -> None:
    async with running_gateway(model_folder) as gateway:
        _, decode = await gateway.pair()
        decode.decode_script = reporting(answering([5, 6, 7]))
        assert await both(gateway, path, **fields) == [WHOLE, [WHOLE]]
        assert set(WHOLE) == KEYS


async def test_a_decode_worker_alone_has_nothing_handed_over(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        await gateway.join("d0", Role.DECODE)
        told = {
            "prefill_worker": None,
            "decode_worker": "d0",
            "reason": "no_prefill",
            "cached_tokens": 4,
            **NOT_TOLD,
        }
        assert await both(gateway, CHAT, messages=HI) == [told, [told]]


async def test_several_prompts_have_one_object_each(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        _, decode = await gateway.pair()
        decode.decode_script = reporting(answering([5, 6]))
        whole, streamed = await both(gateway, TEXT, prompt=[[5], [6, 7]])
        assert whole == {"prompts": [WHOLE, WHOLE]}
        assert streamed == [WHOLE, WHOLE]


async def test_the_chunk_with_the_finish_reason_has_it(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        _, decode = await gateway.pair()
        decode.decode_script = reporting(answering([5, 6]))
        options = {"include_usage": True}
        body = {"messages": HI, "stream": True, "stream_options": options}
        chunks = events((await gateway.client.post(CHAT, json=body)).text)
        last = chunks[-2]
        assert last["choices"][0]["finish_reason"] == "length"
        assert last["kv_transfer_params"] == WHOLE


async def test_an_answer_of_one_token_does_not_wait_for_the_hand_off(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        reserved, never = answering([]), asyncio.Event()

        async def hanging(
            request: decode_pb2.GenerateRequest,
        ) -> AsyncIterator[decode_pb2.GenerateResponse]:
            async for response in reserved(request):
                if response.HasField("reserved"):
                    yield response
            await never.wait()

        prefill.prefill_script = prefilling([5], FinishReason.LENGTH)
        decode.decode_script = hanging
        told = {
            "prefill_worker": "p0",
            "decode_worker": "d0",
            "reason": "prefix_aware",
            "cached_tokens": 3,
            **NOT_TOLD,
        }
        assert await both(gateway, CHAT, messages=HI, max_tokens=1) == [told, [told]]


async def test_an_answer_does_not_fail_because_its_workers_broke_off_behind_it(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder) as gateway:
        _, decode = await gateway.pair()
        whole_answer = answering([5, 6])

        async def breaking(
            request: decode_pb2.GenerateRequest,
        ) -> AsyncIterator[decode_pb2.GenerateResponse]:
            async for response in whole_answer(request):
                if response.HasField("finished"):
                    raise UnavailableError("gone")
                yield response

        decode.decode_script = reporting(breaking)
        assert await both(gateway, CHAT, messages=HI) == [WHOLE, [WHOLE]]
