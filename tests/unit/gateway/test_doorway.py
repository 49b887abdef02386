"""The doorway counts who is inside and, once shut, lets nobody in who wants an answer."""

import asyncio
import json

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.http.doorway import Doorway
from gateway.http.replies import JsonReply


class Inside:
    """An application that answers when it is allowed to."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.set()
        await self.may_answer.wait()
        await JsonReply({})(scope, receive, send)


def client_of(doorway: Doorway) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(doorway), base_url="http://gateway")


async def test_it_is_empty_once_the_last_answer_is_given() -> None:
    inside = Inside()
    doorway = Doorway(inside)
    async with client_of(doorway) as client, asyncio.timeout(10):
        await doorway.until_empty()
        asking = asyncio.create_task(client.post("/v1/completions"))
        await inside.reached.wait()
        assert doorway.inside == 1
        leaving = asyncio.create_task(doorway.until_empty())
        doorway.shut()
        inside.may_answer.set()
        assert (await asking).status_code == 200  # it came before
        await leaving
        assert doorway.inside == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/chat/completions"), ("GET", "/health"), ("GET", "/ping")],
)
async def test_once_shut_it_says_when_to_come_back(method: str, path: str) -> None:
    inside = Inside()
    doorway = Doorway(inside)
    doorway.shut()
    async with client_of(doorway) as client:
        response = await client.request(method, path)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    error = json.loads(response.text)["error"]
    assert (error["type"], error["code"]) == ("ServiceUnavailableError", 503)
    assert not inside.reached.is_set()


async def test_pages_for_operators_stay_open() -> None:
    inside = Inside()
    inside.may_answer.set()
    doorway = Doorway(inside)
    doorway.shut()
    async with client_of(doorway) as client:
        assert (await client.get("/status")).status_code == 200
