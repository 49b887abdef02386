"""/v1/responses over real sockets, with scripted workers; read with the official client too."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.responses import Response

from baton.core.errors import UnavailableError
from baton.core.token_record import FinishReason
from baton.v1 import decode_pb2
from gateway.translations.response_store_settings import ResponseStoreSettings
from tests.support.gateway_answer import TOKENS
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import RESERVED, answering, decoded, records
from tests.support.gateway_reading import named_events

PATH = "/v1/responses"


async def asked(gateway: GatewayUnderTest, **fields: object) -> dict[str, Any]:
    answer = await gateway.client.post(PATH, json={"input": "hi", **fields})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert isinstance(body, dict)
    return body


async def streamed(gateway: GatewayUnderTest, **fields: object) -> list[dict[str, Any]]:
    answer = await gateway.client.post(PATH, json={"input": "hi", "stream": True, **fields})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return named_events(answer.text)


async def test_a_stream_ends_with_the_whole_answer(served: GatewayUnderTest) -> None:
    fields = {"metadata": {"a": "b"}, "temperature": 0.5, "instructions": "Be brief."}
    whole = await asked(served, **fields)
    events = await streamed(served, **fields)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    last = events[-1]
    assert last["type"] == "response.completed"
    assert without_ids(last["response"]) == without_ids(whole)
    Response.model_validate(whole, strict=True)
    assert whole["status"] == "completed"
    assert whole["metadata"] == {"a": "b"}
    assert whole["usage"]["output_tokens"] == len(TOKENS)
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == whole["output"][0]["content"][0]["text"] != ""


def without_ids(response: dict[str, Any]) -> Any:
    text = json.dumps(response).replace(response["id"].partition("_")[2], "ID")
    return json.loads(text) | {"created_at": 0}


async def test_a_cut_answer_is_incomplete(served: GatewayUnderTest) -> None:
    served.workers[1].decode_script = answering(TOKENS, FinishReason.LENGTH)
    for response in (await asked(served), (await streamed(served))[-1]["response"]):
        assert response["status"] == "incomplete"
        assert response["incomplete_details"] == {"reason": "max_output_tokens"}
        assert response["output"][0]["status"] == "incomplete"


async def test_a_limit_and_vllms_own_fields_reach_the_workers(served: GatewayUnderTest) -> None:
    await asked(served, max_output_tokens=7, top_k=3, seed=5)
    sampling = (await served.workers[1].calls.number(0)).request.sampling
    assert (sampling.max_tokens, sampling.top_k, sampling.seed) == (7, 3, 5)


async def test_a_stored_response_is_read_again_gone_on_from_and_deleted(
    served: GatewayUnderTest,
) -> None:
    first = (await streamed(served, instructions="Be brief."))[-1]["response"]
    stored = await served.client.get(f"{PATH}/{first['id']}")
    assert stored.json() == first
    second = await asked(served, previous_response_id=first["id"], input="and then?")
    assert second["previous_response_id"] == first["id"]
    lengths = [len(call.request.prompt_token_ids) for call in served.workers[1].calls.all]
    written = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": first["output"][0]["content"][0]["text"]},
        {"role": "user", "content": "and then?"},
    ]
    await served.client.post("/v1/chat/completions", json={"messages": written})
    chat = served.workers[1].calls.all[-1].request
    assert list(served.workers[1].calls.all[1].request.prompt_token_ids) == list(
        chat.prompt_token_ids
    ), lengths
    assert (await served.client.delete(f"{PATH}/{first['id']}")).json()["deleted"] is True
    assert (await served.client.get(f"{PATH}/{first['id']}")).status_code == 404


async def test_what_is_not_stored_is_not_found(served: GatewayUnderTest) -> None:
    response = await asked(served, store=False)
    assert response["store"] is False
    for answer in (
        await served.client.get(f"{PATH}/{response['id']}"),
        await served.client.delete(f"{PATH}/{response['id']}"),
        await served.client.post(f"{PATH}/{response['id']}/cancel"),
        await served.client.post(
            PATH, json={"input": "hi", "previous_response_id": response["id"]}
        ),
    ):
        assert answer.status_code == 404
        assert answer.json()["error"]["param"] in ("response_id", "previous_response_id")


async def test_a_finished_response_cannot_be_cancelled(served: GatewayUnderTest) -> None:
    response = await asked(served)
    answer = await served.client.post(f"{PATH}/{response['id']}/cancel")
    assert answer.status_code == 400
    assert "completed" in answer.json()["error"]["message"]


async def test_another_key_sees_nothing(model_folder: Path) -> None:
    async with running_gateway(model_folder, api_key=("one", "two")) as gateway:
        await gateway.pair()
        one, two = ({"Authorization": f"Bearer {key}"} for key in ("one", "two"))
        answer = await gateway.client.post(PATH, json={"input": "hi"}, headers=one)
        place = f"{PATH}/{answer.json()['id']}"
        assert (await gateway.client.get(place, headers=one)).status_code == 200
        assert (await gateway.client.get(place, headers=two)).status_code == 404
        assert (await gateway.client.delete(place, headers=two)).status_code == 404


async def test_what_does_not_fit_is_said_not_to_be_stored(model_folder: Path) -> None:
    small = ResponseStoreSettings(response_store_bytes=10)
    async with running_gateway(model_folder, response_store=small) as gateway:
        await gateway.pair()
        assert (await asked(gateway))["store"] is False
        assert (await streamed(gateway))[-1]["response"]["store"] is False


async def begins(request: decode_pb2.GenerateRequest) -> AsyncIterator[Any]:
    """Two tokens, then nothing until it is cancelled."""
    yield RESERVED
    yield decoded(records(len(request.prompt_token_ids), [40, 41], finish=None))
    await asyncio.Event().wait()


async def first_event(response: httpx.Response) -> dict[str, Any]:
    async for line in response.aiter_lines():
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            assert isinstance(event, dict)
            return event
    raise AssertionError("there was no event")


async def test_a_running_response_is_read_and_cancelled_from_outside(
    served: GatewayUnderTest,
) -> None:
    served.workers[1].decode_script = begins
    body = {"input": "hi", "stream": True}
    async with served.client.stream("POST", PATH, json=body) as response:
        lines = response.aiter_lines()
        created = json.loads([await anext(lines) for _ in range(2)][1].removeprefix("data: "))
        place = f"{PATH}/{created['response']['id']}"
        assert (await served.client.get(place)).json()["status"] == "in_progress"
        for _ in range(2):
            assert (await served.client.post(f"{place}/cancel")).json()["status"] == "cancelled"
        rest = [line async for line in lines if line.startswith("data: ")]
    last = json.loads(rest[-1].removeprefix("data: "))
    assert last["type"] == "response.incomplete"
    assert last["response"]["status"] == "cancelled"
    assert (await served.client.get(place)).json() == last["response"]
    await (await served.workers[1].calls.number(0)).cancelled.wait()
    refused = await served.client.post(
        PATH, json={"input": "hi", "previous_response_id": created["response"]["id"]}
    )
    assert refused.status_code == 400
    await served.until_idle()


async def test_the_work_ends_when_the_client_goes_away(served: GatewayUnderTest) -> None:
    served.workers[1].decode_script = begins
    body = {"input": "hi", "stream": True}
    async with served.client.stream("POST", PATH, json=body) as response:
        created = await first_event(response)
    await (await served.workers[1].calls.number(0)).cancelled.wait()
    await served.until_idle()
    place = f"{PATH}/{created['response']['id']}"
    assert (await served.client.get(place)).json()["status"] == "cancelled"
    leaving = asyncio.create_task(served.client.post(PATH, json={"input": "hi"}))
    call = await served.workers[1].calls.number(1)
    leaving.cancel()
    await call.cancelled.wait()
    await served.until_idle()


async def test_a_broken_stream_ends_with_a_failed_response(impatient: GatewayUnderTest) -> None:
    async def breaks(request: decode_pb2.GenerateRequest) -> AsyncIterator[Any]:
        yield RESERVED
        yield decoded(records(len(request.prompt_token_ids), [40, 41], finish=None))
        raise UnavailableError("gone")

    impatient.workers[1].decode_script = breaks
    last = (await streamed(impatient))[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"]["code"] == "server_error"
    assert last["response"]["output"][0]["status"] == "incomplete"
    stored = await impatient.client.get(f"{PATH}/{last['response']['id']}")
    assert stored.json() == last["response"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"max_tokens": 5}, "max_tokens"),
        ({"n": 2}, "n"),
        ({"messages": []}, "messages"),
        ({"guided_json": {}}, "guided_json"),
        ({"conversation": "c"}, "conversation"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["file_search_call.results"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"text": {"format": {"type": "xml"}}}, "text"),
        ({"text": {"verbosity": "low"}}, "text"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning"),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options"),
        ({"metadata": {"k": 1}}, "metadata"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input"),
        ({"input": [{"role": "nobody", "content": "hi"}]}, "input"),
        ({"input": [{"type": "reasoning", "encrypted_content": "other"}]}, "input"),
        ({"top_k": -5}, "top_k"),
        ({"input": "word " * 5000}, "input"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_act_is_refused_by_its_own_name(
    refusing: GatewayUnderTest, fields: dict[str, Any], param: str
) -> None:
    for stream in (False, True) if "stream_options" not in fields else (False,):
        body = {"input": "hi", **fields, "stream": stream}
        answer = await refusing.client.post(PATH, json=body)
        assert answer.status_code == 400, answer.text
        error = answer.json()["error"]
        assert error["param"] == param
        assert "max_completion_tokens" not in error["message"]


@pytest.mark.parametrize("number", ["NaN", "1e999", "-Infinity"])
@pytest.mark.asyncio(loop_scope="module")
async def test_a_number_that_json_cannot_say_is_refused(
    refusing: GatewayUnderTest, number: str
) -> None:
    tool = f'{{"type":"function","name":"f","parameters":{{"a":[{number}]}}}}'
    block = f'{{"type":"tool_use","id":"t","name":"f","input":{{"a":{number}}}}}'
    message = f'{{"role":"assistant","content":[{block}]}}'
    for path, body in (
        (PATH, f'{{"input":"hi","tools":[{tool}]}}'),
        ("/v1/messages", f'{{"max_tokens":1,"messages":[{message}]}}'),
    ):
        headers = {"Content-Type": "application/json"}
        answer = await refusing.client.post(path, content=body, headers=headers)
        assert answer.status_code == 400
        assert "finite" in answer.json()["error"]["message"]


async def test_unknown_fields_may_be_refused(model_folder: Path) -> None:
    async with running_gateway(model_folder, strict_fields=True) as gateway:
        await gateway.pair()
        for body in ({"wish": 1}, {"input": [{"role": "user", "content": "x", "wish": 1}]}):
            answer = await gateway.client.post(PATH, json={"input": "hi", **body})
            assert answer.status_code == 400
            assert answer.json()["error"]["param"].endswith("wish")


async def test_unknown_fields_are_named(served: GatewayUnderTest) -> None:
    item = {"role": "user", "content": "hi", "mood": "good"}
    answer = await served.client.post(PATH, json={"input": [item], "wish": 1, "top_k": 2})
    assert answer.headers["x-baton-ignored"] == "wish,input.mood"
    lost = await served.client.post(PATH, json={"input": "hi", "model": "other"})
    assert lost.status_code == 404
    assert (await served.client.get(f"{PATH}/resp_x?stream=true")).status_code == 400


async def test_the_official_client_reads_it(served: GatewayUnderTest) -> None:
    base = str(served.client.base_url).rstrip("/") + "/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
        whole = await client.responses.create(model="tiny", input="hi")
        async with client.responses.stream(model="tiny", input="hi") as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_response()
        assert kinds[0] == "response.created"
        assert final.output_text == whole.output_text != ""
        assert (await client.responses.retrieve(whole.id)).output_text == whole.output_text
        with pytest.raises(openai.BadRequestError):
            await client.responses.cancel(whole.id)
