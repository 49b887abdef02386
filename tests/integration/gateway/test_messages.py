"""/v1/messages over real sockets, with scripted workers."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from baton.core.errors import UnavailableError
from baton.core.token_record import FinishReason
from baton.v1 import decode_pb2
from gateway.translations.messages_answer import folded
from tests.support.gateway_answer import TOKENS
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import RESERVED, answering, decoded, records
from tests.support.gateway_reading import CHAT, HI, named_events

PATH = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
BODY: dict[str, Any] = {"messages": HI, "max_tokens": 9}


@pytest.mark.parametrize("finish", [FinishReason.STOP, FinishReason.LENGTH])
async def test_a_stream_adds_up_to_the_whole_message(
    served: GatewayUnderTest, finish: FinishReason
) -> None:
    served.workers[1].decode_script = answering(TOKENS, finish)
    whole = (await served.client.post(PATH, json=BODY)).json()
    answer = await served.client.post(PATH, json=BODY | {"stream": True})
    events = named_events(answer.text)
    assert events[0]["message"]["usage"]["input_tokens"] > 0
    message = folded(events)
    assert message | {"id": ""} == whole | {"id": ""}
    assert whole["content"][0]["text"] != ""
    assert whole["stop_reason"] == ("end_turn" if finish is FinishReason.STOP else "max_tokens")
    usage = whole["usage"]
    assert usage["output_tokens"] == len(TOKENS)
    chat = (await served.client.post(CHAT, json={"messages": HI})).json()["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == chat["prompt_tokens"]


async def test_limits_and_sampling_reach_the_workers(served: GatewayUnderTest) -> None:
    await served.client.post(PATH, json=BODY | {"top_k": 3, "top_p": 0.5, "seed": 4})
    sampling = (await served.workers[1].calls.number(0)).request.sampling
    assert (sampling.max_tokens, sampling.top_k, sampling.top_p) == (9, 3, 0.5)
    assert sampling.seed == 4


async def test_tokens_are_counted_as_the_prompt_has_them(served: GatewayUnderTest) -> None:
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    body = {"system": system, "messages": HI}
    counted = await served.client.post(COUNT, json=body)
    await served.client.post(PATH, json=body | {"max_tokens": 1})
    request = (await served.workers[1].calls.number(0)).request
    assert counted.json() == {"input_tokens": len(request.prompt_token_ids)}


async def test_a_broken_stream_ends_with_an_error_event(impatient: GatewayUnderTest) -> None:
    async def breaks(request: decode_pb2.GenerateRequest) -> AsyncIterator[Any]:
        yield RESERVED
        yield decoded(records(len(request.prompt_token_ids), [40, 41], finish=None))
        raise UnavailableError("gone")

    impatient.workers[1].decode_script = breaks
    answer = await impatient.client.post(PATH, json=BODY | {"stream": True})
    last = named_events(answer.text)[-1]
    assert last["type"] == "error"
    assert last["error"]["type"] == "overloaded_error"


async def test_the_work_ends_when_the_client_goes_away(served: GatewayUnderTest) -> None:
    async def begins(request: decode_pb2.GenerateRequest) -> AsyncIterator[Any]:
        yield RESERVED
        yield decoded(records(len(request.prompt_token_ids), [40, 41], finish=None))
        await asyncio.Event().wait()

    served.workers[1].decode_script = begins
    async with served.client.stream("POST", PATH, json=BODY | {"stream": True}) as response:
        await anext(response.aiter_lines())
    await (await served.workers[1].calls.number(0)).cancelled.wait()
    leaving = asyncio.create_task(served.client.post(PATH, json=BODY))
    call = await served.workers[1].calls.number(1)
    leaving.cancel()
    await call.cancelled.wait()
    await served.until_idle()


IMAGE = {"type": "image", "source": {"type": "url", "url": "http://x"}}


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"top_k": -2}, "top_k"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages"),
        ({"system": [IMAGE]}, "system"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "budget_tokens"),
        ({"container": "c"}, "container"),
        ({"n": 2}, "n"),
        ({"guided_json": {}}, "guided_json"),
        ({"messages": [{"role": "user", "content": "word " * 5000}]}, "messages"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_act_is_refused_by_its_own_name(
    refusing: GatewayUnderTest, fields: dict[str, Any], name: str
) -> None:
    answer = await refusing.client.post(PATH, json=BODY | fields)
    assert answer.status_code == 400, answer.text
    body = answer.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert name in body["error"]["message"]


async def test_every_error_has_anthropics_shape(served: GatewayUnderTest) -> None:
    lost = await served.client.post(PATH, json=BODY | {"model": "other"})
    assert (lost.status_code, lost.json()["error"]["type"]) == (404, "not_found_error")
    wrong = await served.client.get(COUNT)
    assert (wrong.status_code, wrong.json()["type"]) == (405, "error")
    long = await served.client.post(PATH, json=BODY, headers={"X-Request-Id": "x" * 1000})
    assert (long.status_code, long.json()["type"]) == (400, "error")
    served.gateway.doorway.shut()
    shut = await served.client.post(PATH, json=BODY)
    assert (shut.status_code, shut.json()["error"]["type"]) == (503, "overloaded_error")


async def test_a_key_may_come_in_anthropics_header_here_alone(model_folder: Path) -> None:
    async with running_gateway(model_folder, api_key=("one",)) as gateway:
        await gateway.pair()
        key = {"x-api-key": "one"}
        for path, body in ((PATH, BODY), (COUNT, {"messages": HI})):
            for headers in (key, {"Authorization": "Bearer one"}):
                answer = await gateway.client.post(path, json=body, headers=headers)
                assert answer.status_code == 200
            for headers in ({"x-api-key": "two"}, {"x-api-key": ""}, {}):
                refused = await gateway.client.post(path, json=body, headers=headers)
                assert refused.status_code == 401
                assert refused.json()["error"]["type"] == "authentication_error"
        assert (await gateway.client.post(CHAT, json={}, headers=key)).status_code == 401
        assert (await gateway.client.post("/v1/messagesx", headers=key)).status_code == 401


async def test_the_description_tells_both_apis(served: GatewayUnderTest) -> None:
    document = (await served.client.get("/openapi.json")).json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    for path, name in {
        PATH: "MessagesRequest",
        COUNT: "CountTokensRequest",
        "/v1/responses": "ResponsesRequest",
    }.items():
        operation = paths[path]["post"]
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": f"#/components/schemas/{name}"}
        assert name in schemas
        stream = "text/event-stream" in operation["responses"]["200"]["content"]
        assert stream is (path != COUNT)
    error = paths[PATH]["post"]["responses"]["default"]["content"]["application/json"]
    assert error["schema"]["$ref"].endswith("/AnthropicErrorBody")
    assert "max_tokens" in schemas["MessagesRequest"]["required"]
