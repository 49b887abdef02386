"""Workers of this version serve gateways whose protos are the last release's, or later ones."""

import asyncio
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from baton.core.worker_info import Role
from baton.rpc import wire
from baton.v1 import decode_pb2
from tests.support.engine_hash_model import HASH_MODEL
from tests.support.engine_works import prompt_of, sampled
from tests.support.hash_answer import hash_answer
from tests.support.other_protos import OtherProtos, later_files, released_files
from tests.support.worker_pair import (
    by_choice,
    generate_request,
    handoff_to,
    prefill_request,
    serving,
)


@pytest.mark.parametrize("files", [released_files(), later_files()], ids=["released", "later"])
async def test_a_gateway_of_another_version_is_served(files: FileDescriptorSet) -> None:
    other = OtherProtos(files)
    prompt, params = prompt_of(100), sampled(12)
    async with serving(Role.PREFILL) as prefill, serving(Role.DECODE) as decode:
        handoff = handoff_to(prefill)
        asked = generate_request(handoff, prompt, params)
        answer = aiter(other.stream(decode.channel, "DecodeService/Generate", asked))
        assert (await anext(answer)).HasField("reserved")
        read = prefill_request(handoff, prompt, params)
        call = other.stream(prefill.channel, "PrefillService/Prefill", read)
        reading = asyncio.ensure_future(_all(call))
        told = [_here(message) async for message in answer]
        records = [r for message in told for r in wire.records_from_pb(message.tokens.records)]
        assert by_choice(records, 1) == hash_answer(HASH_MODEL, prompt, params)
        assert (await asyncio.wait_for(reading, 10))[-1].released.confirmed


async def _all(call: Any) -> list[Any]:
    return [message async for message in call]


def _here(message: Any) -> decode_pb2.GenerateResponse:
    return decode_pb2.GenerateResponse.FromString(message.SerializeToString())
