"""Beams through the gateway: prefill tells no token, decode tells all of them at the end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from baton.core.errors import UnavailableError
from baton.core.token_record import FinishReason
from baton.core.worker_info import Role
from baton.v1 import decode_pb2, prefill_pb2
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import (
    ADMITTED,
    FINISHED,
    RELEASED,
    RESERVED,
    decoded,
    records,
)
from tests.support.gateway_reading import CHAT, HI, TEXT, events, read_chat

BEAMS = [[40, 41, 42], [40, 43]]
ASKED = {"messages": HI, "use_beam_search": True, "n": 2, "return_token_ids": True}


async def reading(
    request: prefill_pb2.PrefillRequest,
) -> AsyncIterator[prefill_pb2.PrefillResponse]:
    yield ADMITTED
    yield RELEASED


async def searching(
    request: decode_pb2.GenerateRequest,
) -> AsyncIterator[decode_pb2.GenerateResponse]:
    length = len(request.prompt_token_ids)
    yield RESERVED
    yield decoded([])
    yield decoded([])
    longer = records(length, BEAMS[0])
    shorter = records(length, BEAMS[1], 1, FinishReason.STOP)
    yield decoded([*longer, *shorter])
    yield FINISHED


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        prefill.prefill_script, decode.decode_script = reading, searching
        yield gateway
        await gateway.until_idle()


async def test_choices_come_by_rank_and_the_stream_has_one_chunk_for_each(
    served: GatewayUnderTest,
) -> None:
    whole = (await served.client.post(CHAT, json=ASKED)).json()
    assert [choice["token_ids"] for choice in whole["choices"]] == BEAMS
    assert [choice["finish_reason"] for choice in whole["choices"]] == ["length", "stop"]
    assert whole["usage"]["completion_tokens"] == 5
    chunks = events((await served.client.post(CHAT, json=ASKED | {"stream": True})).text)
    choices = read_chat(chunks)
    assert [choices[rank].token_ids for rank in (0, 1)] == BEAMS
    assert len([c for c in chunks if "role" not in c["choices"][0]["delta"]]) == 2


async def test_both_workers_are_told_of_the_search(served: GatewayUnderTest) -> None:
    body = {"prompt": [5, 6], "use_beam_search": True, "length_penalty": 0.5, "n": 2}
    assert (await served.client.post(TEXT, json=body)).status_code == 200
    for worker in served.workers:
        sampling = (await worker.calls.number(0)).request.sampling
        assert sampling.beam.length_penalty == 0.5


async def test_a_worker_lost_in_the_search_costs_the_client_nothing(model_folder: Path) -> None:
    async def breaking(
        request: decode_pb2.GenerateRequest,
    ) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        yield decoded([])
        raise UnavailableError("gone")

    async with running_gateway(model_folder) as gateway:
        prefill, decode = await gateway.pair()
        prefill.prefill_script, decode.decode_script = reading, breaking
        other = await gateway.join("d1", Role.DECODE)
        other.decode_script = searching
        for body in (ASKED, ASKED | {"stream": True}):
            response = await gateway.client.post(CHAT, json=body)
            assert response.status_code == 200
            assert '"error"' not in response.text
        await gateway.until_idle()


async def test_what_a_search_cannot_act_on_is_a_400_with_its_name(
    served: GatewayUnderTest,
) -> None:
    response = await served.client.post(CHAT, json=ASKED | {"seed": 4})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "seed"
