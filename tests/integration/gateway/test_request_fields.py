"""Fields about the request itself: its id, its user, its turn; and those about its template."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from baton.core.worker_info import WorkerState
from gateway.answers import request_log
from tests.support.gateway_cluster import GatewayUnderTest, running_gateway
from tests.support.gateway_members import make_load
from tests.support.gateway_reading import CHAT, HI, TEXT, events
from tests.support.log_lines import log_lines

TOOL = {"type": "function", "function": {"name": "look"}}


@pytest.fixture
async def served(model_folder: Path) -> AsyncIterator[GatewayUnderTest]:
    async with running_gateway(model_folder) as gateway:
        await gateway.pair()
        yield gateway


@pytest.mark.parametrize("stream", [False, True])
async def test_the_id_of_the_body_is_used_unless_the_header_has_one(
    served: GatewayUnderTest, stream: bool
) -> None:
    for header, body, used in (("h", "b", "h"), ("", "b", "b"), ("h", None, "h")):
        for path, prefix, prompt in (
            (CHAT, "chatcmpl", {"messages": HI}),
            (TEXT, "cmpl", {"prompt": [5]}),
        ):
            headers = {"X-Request-Id": header} if header else {}
            asked = {**prompt, "request_id": body, "stream": stream}
            answer = await served.client.post(path, json=asked, headers=headers)
            assert answer.headers["x-request-id"] == used
            ids = {e["id"] for e in events(answer.text)} if stream else {answer.json()["id"]}
            assert ids == {f"{prefix}-{used}"}


async def test_without_an_id_a_fresh_one_is_told(served: GatewayUnderTest) -> None:
    answers = [await served.client.post(CHAT, json={"messages": HI}) for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 2
    assert [answer.json()["id"] for answer in answers] == [f"chatcmpl-{i}" for i in ids]


async def test_equal_ids_are_served_side_by_side(served: GatewayUnderTest) -> None:
    body = {"messages": HI, "request_id": "same"}
    answers = await asyncio.gather(*(served.client.post(CHAT, json=body) for _ in range(4)))
    assert {answer.json()["id"] for answer in answers} == {"chatcmpl-same"}
    calls = [(await served.workers[1].calls.number(i)).request.request_id for i in range(4)]
    assert len(set(calls)) == 4


async def test_an_error_after_the_body_was_read_has_its_id(served: GatewayUnderTest) -> None:
    body = {"messages": HI, "request_id": "mine", "model": "other"}
    answer = await served.client.post(CHAT, json=body)
    assert (answer.status_code, answer.headers["x-request-id"]) == (404, "mine")


@pytest.mark.parametrize("path", [CHAT, TEXT])
async def test_the_user_is_told_in_the_log_of_requests(model_folder: Path, path: str) -> None:
    prompt: dict[str, Any] = {"messages": HI} if path == CHAT else {"prompt": [5]}
    async with running_gateway(model_folder, enable_log_requests=True) as gateway:
        await gateway.pair()
        with log_lines(request_log.logger.name) as lines:
            await gateway.client.post(path, json={**prompt, "user": "ann\n1", "request_id": "r"})
            await gateway.client.post(path, json={**prompt, "request_id": "s"})
    assert [line["request_id"] for line in lines] == ["r", "r", "s", "s"]
    assert lines[0]["message"].startswith("asks for 'ann\\n1' with ")
    assert lines[2]["message"].startswith("asks with ")


@pytest.mark.parametrize("path", [CHAT, TEXT])
async def test_a_priority_that_would_not_be_heeded_is_400(
    served: GatewayUnderTest, path: str
) -> None:
    prompt: dict[str, Any] = {"messages": HI} if path == CHAT else {"prompt": [5]}
    for priority in (1, -1):
        answer = await served.client.post(path, json={**prompt, "priority": priority})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "priority")
    answer = await served.client.post(path, json={**prompt, "priority": 0})
    assert answer.status_code == 200


async def test_the_operator_may_have_priorities_ignored(model_folder: Path) -> None:
    async with running_gateway(model_folder, ignore_priority=True) as gateway:
        await gateway.pair()
        answer = await gateway.client.post(CHAT, json={"messages": HI, "priority": 7})
        assert answer.status_code == 200


async def test_the_lowest_priority_is_placed_first(model_folder: Path) -> None:
    async with running_gateway(model_folder, scheduling_policy="priority") as gateway:
        _, decode = await gateway.pair()
        await decode.set_load(make_load(state=WorkerState.DRAINING))
        await gateway.until(lambda: not gateway.gateway.models.first.workers.can_answer)
        tasks = []
        for place, priority in enumerate((5, 0, -3, 0)):
            body = {"messages": HI, "priority": priority, "request_id": str(priority)}
            tasks.append(asyncio.create_task(gateway.client.post(CHAT, json=body)))
            await gateway.until_queued(place + 1)
        await decode.set_load(make_load())
        answers = await asyncio.gather(*tasks)
        assert all(answer.status_code == 200 for answer in answers)
        order = [(await decode.calls.number(i)).request.request_id for i in range(4)]
        assert [name.rpartition("-")[0] for name in order] == ["-3", "0", "0", "5"]
        told = [(await decode.calls.number(i)).request.priority for i in range(4)]
        assert told == [-3, 0, 0, 5]


async def test_fields_that_the_template_does_not_read_are_named(served: GatewayUnderTest) -> None:
    body = {
        "messages": HI,
        "tools": [TOOL],
        "documents": [{"text": "a"}],
        "reasoning_effort": "low",
        "chat_template_kwargs": {"colour": 1},
        "store": True,
    }
    answer = await served.client.post(CHAT, json=body)
    assert answer.headers["x-baton-ignored"].split(",") == [
        *("store", "tools", "documents", "reasoning_effort", "chat_template_kwargs.colour")
    ]


async def test_strict_fields_refuse_what_the_template_does_not_read(model_folder: Path) -> None:
    async with running_gateway(model_folder, strict_fields=True) as gateway:
        await gateway.pair()
        answer = await gateway.client.post(CHAT, json={"messages": HI, "tools": [TOOL]})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "tools")


async def test_the_role_of_an_answer_is_the_operators_or_that_of_the_last_message(
    model_folder: Path,
) -> None:
    async with running_gateway(model_folder, response_role="model") as gateway:
        await gateway.pair()
        for fields, role in (({}, "model"), ({"add_generation_prompt": False}, "user")):
            body = {"messages": HI, **fields}
            whole = (await gateway.client.post(CHAT, json=body)).json()
            chunks = events((await gateway.client.post(CHAT, json={**body, "stream": True})).text)
            assert whole["choices"][0]["message"]["role"] == role
            assert chunks[0]["choices"][0]["delta"]["role"] == role


async def test_prompts_reach_the_workers_as_they_were_cut(served: GatewayUnderTest) -> None:
    await served.client.post(CHAT, json={"messages": HI, "truncate_prompt_tokens": 2})
    await served.client.post(TEXT, json={"prompt": [1, 2, 3], "truncate_prompt_tokens": 2})
    body = {"prompt": [5] * 2000, "truncate_prompt_tokens": -1, "max_tokens": 24}
    await served.client.post(TEXT, json=body)
    decode = served.workers[1]
    prompts = [(await decode.calls.number(i)).request.prompt_token_ids for i in range(3)]
    assert (len(prompts[0]), list(prompts[1]), len(prompts[2])) == (2, [2, 3], 1000)
    answer = await served.client.post(CHAT, json={"messages": HI, "truncate_prompt_tokens": 1025})
    assert answer.json()["error"]["param"] == "truncate_prompt_tokens"


@pytest.mark.parametrize("named", [{}, {"model": None}, {"model": ""}, {"model": "alias"}])
async def test_a_model_need_not_be_named(served: GatewayUnderTest, named: dict[str, Any]) -> None:
    answer = await served.client.post(CHAT, json={"messages": HI, **named})
    assert answer.json()["model"] == "tiny"


async def test_values_are_read_loosely_and_the_last_of_equal_keys_wins(
    served: GatewayUnderTest,
) -> None:
    body = (
        b'{"messages": [{"role": "user", "content": "a\\u0000b"}], "n": 0, "n": "2", '
        b'"max_tokens": 3.0, "temperature": "0.5", "stream": "no"}'
    )
    headers = {"content-type": "Application/JSON ; charset=utf-8"}
    answer = await served.client.post(CHAT, content=body, headers=headers)
    assert len(answer.json()["choices"]) == 2


async def test_the_load_counts_answers_under_way(served: GatewayUnderTest) -> None:
    assert (await served.client.get("/load")).json() == {"server_load": 0}
    _, decode = served.workers
    await decode.set_load(make_load(state=WorkerState.DRAINING))
    await served.until(lambda: not served.gateway.models.first.workers.can_answer)
    waiting = asyncio.create_task(served.client.post(CHAT, json={"messages": HI}))
    await served.until_queued(1)
    assert (await served.client.get("/load")).json() == {"server_load": 1}
    await decode.set_load(make_load())
    assert (await waiting).status_code == 200
