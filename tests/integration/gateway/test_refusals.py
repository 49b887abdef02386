"""Requests that cannot be served as written: 400 or 404 with the field, never a 500."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.gateway_answer import answering_pair
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_reading import CHAT, HI, TEXT

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    """One for all: no worker hears of anything that is refused."""
    async with running_gateway(model_folder, max_body_bytes=100_000) as gateway:
        await gateway.pair()
        yield gateway
        assert all(not worker.calls.all for worker in gateway.workers)


def check(response: Any, status: int, param: str | None, kind: str = "BadRequestError") -> None:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(response.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"], error["code"]) == (kind, param, status)
    assert error["message"]
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tools", {}),
        ("chat_template", "x"),
        ("stop", ""),
        ("top_logprobs", 1),
        ("temperature", 3),
        ("n", 0),
        ("priority", 1),
    ],
)
async def test_a_refused_field_is_named(
    served: GatewayUnderTest, field: str, value: Any, stream: bool
) -> None:
    body = {"messages": HI, field: value, "stream": stream}
    check(await served.client.post(CHAT, json=body), 400, field)


async def test_malformed_bodies_are_400(served: GatewayUnderTest) -> None:
    json_type = {"content-type": "application/json"}
    for body in (b"", b"{", b"[1]", b"nope", b"\xff", b'{"messages": "\\ud83d"}'):
        response = await served.client.post(CHAT, content=body, headers=json_type)
        assert response.status_code == 400
        check(response, 400, response.json()["error"]["param"])


async def test_only_json_is_read(served: GatewayUnderTest) -> None:
    body = b'{"messages": [{"role": "user", "content": "hi"}], "n": 0}'
    for kind in ({}, {"content-type": "text/plain"}):
        check(await served.client.post(CHAT, content=body, headers=kind), 400, None)
    charset = {"content-type": "Application/JSON; charset=utf-8", "content-encoding": "identity"}
    check(await served.client.post(CHAT, content=body, headers=charset), 400, "n")
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    answer = await served.client.post(CHAT, content=gzip.compress(body), headers=packed)
    check(answer, 400, "Content-Encoding")


async def test_a_body_beyond_the_limit_is_413(served: GatewayUnderTest) -> None:
    body = {"messages": [{"role": "user", "content": "x" * 100_001}]}
    check(await served.client.post(CHAT, json=body), 413, None)


async def test_an_unknown_model_is_404(served: GatewayUnderTest) -> None:
    body = {"messages": HI, "model": "other"}
    check(await served.client.post(CHAT, json=body), 404, "model", "NotFoundError")
    response = await served.client.get("/v1/models/a/b")
    check(response, 404, "model", "NotFoundError")


async def test_unknown_paths_and_methods_have_the_error_object_too(
    served: GatewayUnderTest,
) -> None:
    check(await served.client.get("/v1/nothing"), 404, None, "NotFoundError")
    response = await served.client.get(CHAT)
    check(response, 405, None, "MethodNotAllowedError")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/metrics", "/ui/"])
async def test_what_can_be_got_can_be_asked_for_its_head(
    served: GatewayUnderTest, path: str
) -> None:
    head, whole = await served.client.head(path), await served.client.get(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers.get("content-type") == whole.headers.get("content-type")


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/embeddings", "/v1/rerank", "/rerank", "/v1/score", "/score", "/pooling"),
        *("/v1/audio/transcriptions", "/v1/audio/translations", "/v1/images/generations"),
        *("/v1/moderations", "/classify", "/invocations", "/inference/v1/generate", "/sleep"),
    ],
)
async def test_what_this_server_does_not_do_is_404(served: GatewayUnderTest, path: str) -> None:
    answer = await served.client.post(path, json={"input": "a", "messages": HI})
    check(answer, 404, None, "NotFoundError")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"messages": [{"role": "user", "content": "\\ud83d"}]}', "surrogate"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "temperature": NaN}', "finite"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "temperature": 1e999}', "finite"),
        (b'{"messages": [{"role": "user", "content": "hi"}], "top_p": -Infinity}', "finite"),
        (b"", "not valid JSON"),
        (b"[]", "must be a JSON object"),
    ],
)
async def test_a_body_that_makes_no_sense_is_told_why(
    served: GatewayUnderTest, body: bytes, said: str
) -> None:
    headers = {"content-type": "application/json"}
    answer = await served.client.post(CHAT, content=body, headers=headers)
    check(answer, 400, answer.json()["error"]["param"])
    assert said in answer.json()["error"]["message"]


async def test_too_long_a_prompt_is_400(served: GatewayUnderTest) -> None:
    messages = [{"role": "user", "content": "zq " * 2000}]
    check(await served.client.post(CHAT, json={"messages": messages}), 400, "messages")
    check(await served.client.post(TEXT, json={"prompt": [5] * 1024}), 400, "prompt")


@pytest.mark.parametrize("prompt", ["", [], [512], [-1], [[5], []], ["a", ""], [[5], ["a"]]])
async def test_an_impossible_prompt_is_400(served: GatewayUnderTest, prompt: Any) -> None:
    check(await served.client.post(TEXT, json={"prompt": prompt}), 400, "prompt")


async def test_strict_fields_refuse_what_the_api_does_not_know(model_folder: Path) -> None:
    async with running_gateway(model_folder, strict_fields=True) as gateway:
        await gateway.pair()
        body = {"messages": HI, "store": True}
        check(await gateway.client.post(CHAT, json=body), 400, "store")


async def test_a_strict_server_does_not_cut_an_answer_down(model_folder: Path) -> None:
    body = {"messages": HI, "max_tokens": 5000}
    async with running_gateway(model_folder, strict_max_tokens=True) as gateway:
        await gateway.pair()
        check(await gateway.client.post(CHAT, json=body), 400, "max_tokens")
        assert (await gateway.client.post(CHAT, json={**body, "max_tokens": 3})).status_code == 200


async def test_a_server_may_refuse_several_equal_answers(model_folder: Path) -> None:
    body = {"messages": HI, "max_tokens": 3, "n": 2}
    async with running_gateway(model_folder, strict_greedy_n=True) as gateway:
        await gateway.pair()
        refused = {**body, "temperature": 0}
        check(await gateway.client.post(CHAT, json=refused), 400, "n")


async def test_a_seeded_server_draws_the_same_seeds_again(model_folder: Path) -> None:
    drawn = []
    for _ in range(2):
        async with running_gateway(model_folder, seed=5) as gateway:
            await answering_pair(gateway)
            for _ in range(2):
                await gateway.client.post(CHAT, json={"messages": HI, "max_tokens": 3})
            calls = gateway.workers[1].calls.all
            drawn.append([call.request.sampling.seed for call in calls])
    first, again = drawn
    assert first == again
    assert len(set(first)) == 2
