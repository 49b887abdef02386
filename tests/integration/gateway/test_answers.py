"""Whole and streamed answers of both endpoints, from scripted workers over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from baton.core.token_record import FinishReason
from baton.core.worker_info import Role
from baton.v1 import decode_pb2
from tests.support.gateway_answer import TOKENS
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_fake_workers import FINISHED, RESERVED, decoded, prefilling, records
from tests.support.gateway_reading import CHAT, HI, TEXT, events, read_chat


@pytest.mark.parametrize("n", [1, 2])
async def test_a_stream_adds_up_to_the_whole_answer(served: GatewayUnderTest, n: int) -> None:
    asked = {"messages": HI, "n": n, "return_token_ids": True}
    whole = (await served.client.post(CHAT, json=asked)).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    response = await served.client.post(CHAT, json=asked | options)
    chunks = events(response.text)
    choices = read_chat(chunks)
    assert len(choices) == len(whole["choices"]) == n
    for choice in whole["choices"]:
        read = choices[choice["index"]]
        assert read.content == choice["message"]["content"] != ""
        assert read.roles == ["assistant"]
        assert read.finish_reasons == [choice["finish_reason"]] == ["stop"]
        assert read.token_ids == choice["token_ids"] == TOKENS
    usage = {k: v for k, v in whole["usage"].items() if v is not None}
    assert chunks[-1]["usage"] == usage
    assert usage["completion_tokens"] == n * len(TOKENS)
    assert usage["prompt_tokens"] == len(whole["prompt_token_ids"])
    assert {chunk["id"] for chunk in chunks} == {f"chatcmpl-{response.headers['x-request-id']}"}


async def test_both_workers_get_the_same_request_and_one_hand_off(
    served: GatewayUnderTest,
) -> None:
    body = {"messages": HI, "max_completion_tokens": 9, "max_tokens": 3, "temperature": 0.5}
    body |= {"top_p": 0.9, "top_k": 7, "seed": 11, "n": 2, "ignore_eos": True}
    await served.client.post(CHAT, json=body, headers={"X-Request-Id": "mine"})
    prefill, decode = [(await worker.calls.number(0)).request for worker in served.workers]
    assert decode.prompt_token_ids == prefill.prompt_token_ids
    assert decode.sampling == prefill.sampling
    assert decode.handoff.transfer_id == prefill.transfer_id
    assert decode.handoff.ticket == prefill.ticket
    assert len(prefill.ticket) == 16
    assert decode.handoff.address == served.workers[0].address
    assert decode.handoff.instance_id == "instance-of-p0"
    assert (decode.attempt, decode.request_id) == (prefill.attempt, prefill.request_id)
    assert decode.request_id.startswith("mine-")
    sampling = decode.sampling
    assert (sampling.max_tokens, sampling.seed, sampling.n, sampling.top_k) == (9, 11, 2, 7)
    assert (sampling.temperature, sampling.top_p, sampling.ignore_eos) == (0.5, 0.9, True)


async def test_the_first_token_does_not_wait_for_decode(served: GatewayUnderTest) -> None:
    """Decode reserves and says nothing more; prefill's record reaches the client."""

    async def reserving(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        await first_token_read.wait()
        for record in records(len(request.prompt_token_ids), TOKENS[:2]):
            yield decoded([record])
        yield FINISHED

    first_token_read = asyncio.Event()
    served.workers[1].decode_script = reserving
    text = ""
    async with served.client.stream("POST", CHAT, json={"messages": HI, "stream": True}) as got:
        async for part in got.aiter_text():
            text += part
            first_token_read.set()
    assert read_chat(events(text))[0].finish_reasons == ["length"]


async def test_an_answer_that_prefill_ends_needs_no_decode_token(
    served: GatewayUnderTest,
) -> None:

    forever = asyncio.Event()

    async def reserving(request: Any) -> AsyncIterator[decode_pb2.GenerateResponse]:
        yield RESERVED
        await forever.wait()
        yield decoded(records(len(request.prompt_token_ids), [40]))
        yield FINISHED

    served.workers[0].prefill_script = prefilling([40], FinishReason.LENGTH)
    served.workers[1].decode_script = reserving
    response = await served.client.post(CHAT, json={"messages": HI, "max_tokens": 1})
    assert response.json()["usage"]["completion_tokens"] == 1
    call = served.workers[1].calls.all[0]
    assert not call.ended.is_set()
    forever.set()
    await served.until_idle()
    assert not call.cancelled.is_set()


async def test_a_decode_worker_alone_answers_without_a_hand_off(model_folder: Path) -> None:
    async with running_gateway(model_folder) as gateway:
        decode = await gateway.join("d0", Role.DECODE)
        response = await gateway.client.post(CHAT, json={"messages": HI})
        assert response.json()["usage"]["completion_tokens"] == 3
        assert not decode.calls.all[0].request.HasField("handoff")


@pytest.mark.parametrize(
    ("prompt", "count"),
    [("hello", 1), (["hello", "world"], 2), ([5, 6, 7], 1), ([[5], [6, 7]] * 20, 40)],
)
async def test_completions_stream_what_they_answer(
    served: GatewayUnderTest, prompt: Any, count: int
) -> None:
    asked = {"prompt": prompt, "n": 2, "return_token_ids": True}
    whole = (await served.client.post(TEXT, json=asked)).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = events((await served.client.post(TEXT, json=asked | options)).text)
    assert len(whole["choices"]) == 2 * count
    texts = dict.fromkeys(range(2 * count), "")
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["text"]
    assert texts == {choice["index"]: choice["text"] for choice in whole["choices"]}
    usage = {k: v for k, v in whole["usage"].items() if v is not None}
    assert chunks[-1]["usage"] == usage
    assert whole["object"] == "text_completion"


async def test_completions_default_to_16_tokens(served: GatewayUnderTest) -> None:
    await served.client.post(TEXT, json={"prompt": [5, 6]})
    assert served.workers[1].calls.all[0].request.sampling.max_tokens == 16
    assert list(served.workers[1].calls.all[0].request.prompt_token_ids) == [5, 6]


async def test_foreign_fields_are_named_in_a_header(served: GatewayUnderTest) -> None:
    body = {"messages": HI, "store": True, "bad\r\nname: é": 1}
    whole = await served.client.post(CHAT, json=body)
    stream = await served.client.post(CHAT, json=body | {"stream": True})
    for response in (whole, stream):
        assert response.status_code == 200
        assert response.headers["x-baton-ignored"] == "store,bad%0D%0Aname%3A%20%C3%A9"


async def test_any_served_name_is_accepted_and_the_first_is_answered(
    served: GatewayUnderTest,
) -> None:
    for name in ("alias", "tiny", "", None):
        response = await served.client.post(CHAT, json={"messages": HI, "model": name})
        assert response.json()["model"] == "tiny"


async def test_a_stream_has_the_headers_that_keep_proxies_from_buffering(
    served: GatewayUnderTest,
) -> None:
    response = await served.client.post(CHAT, json={"messages": HI, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"


async def test_a_token_limit_beyond_the_model_is_cut(served: GatewayUnderTest) -> None:
    await served.client.post(CHAT, json={"messages": HI, "max_tokens": 10**30})
    request = served.workers[1].calls.all[0].request
    assert request.sampling.max_tokens == 1024 - len(request.prompt_token_ids)


async def test_equal_request_ids_do_not_meet(served: GatewayUnderTest) -> None:
    for _ in range(2):
        response = await served.client.post(
            CHAT, json={"messages": HI}, headers={"X-Request-Id": "same"}
        )
        assert response.headers["x-request-id"] == "same"
        assert response.json()["id"] == "chatcmpl-same"
    ids = {call.request.request_id for call in served.workers[1].calls.all}
    assert len(ids) == 2


OFFICIAL_HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


async def test_the_official_client_streams_and_does_not(served: GatewayUnderTest) -> None:
    base = str(served.client.base_url).rstrip("/") + "/v1"
    async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
        whole = await client.chat.completions.create(model="tiny", messages=OFFICIAL_HI)
        stream = await client.chat.completions.create(
            model="tiny", messages=OFFICIAL_HI, stream=True, stream_options={"include_usage": True}
        )
        text, usage = "", whole.usage
        async for chunk in stream:
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            usage = chunk.usage
        assert text == whole.choices[0].message.content
        assert usage is not None
        assert whole.usage is not None
        assert usage.completion_tokens == whole.usage.completion_tokens == len(TOKENS)
        assert (await client.models.retrieve("tiny")).id == "tiny"
        assert [model.id async for model in client.models.list()] == ["tiny", "alias"]
        completion = await client.completions.create(model="tiny", prompt="hello")
        assert completion.choices[0].finish_reason == "stop"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="other", messages=OFFICIAL_HI)
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(model="tiny", messages=OFFICIAL_HI, temperature=3)
        assert caught.value.param == "temperature"
