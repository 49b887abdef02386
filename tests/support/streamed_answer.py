"""A streamed completion that a test follows while it comes, and what it adds up to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.gateway_reading import TEXT

LOGPROBS = ("tokens", "token_logprobs", "top_logprobs", "text_offset")


@dataclass
class ReadChoice:
    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    logprobs: dict[str, list[Any]] = field(default_factory=dict)
    ends: list[tuple[str, Any]] = field(default_factory=list)

    def take(self, choice: dict[str, Any]) -> None:
        self.text += choice["text"]
        self.token_ids += choice["token_ids"] or []
        for name in LOGPROBS if choice["logprobs"] else ():
            self.logprobs.setdefault(name, []).extend(choice["logprobs"][name] or [])
        if choice["finish_reason"]:
            self.ends.append((choice["finish_reason"], choice["stop_reason"]))


@dataclass
class Answer:
    """What a client may rely on, whoever wrote it in how many pieces; `way` is beside it."""

    choices: dict[int, ReadChoice] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    way: dict[str, Any] = field(default_factory=dict, compare=False)

    def tokens(self, choice: int = 0) -> int:
        return len(self.choices[choice].token_ids) if choice in self.choices else 0

    def take(self, event: dict[str, Any]) -> None:
        assert "error" not in event, event
        for choice in event["choices"]:
            self.choices.setdefault(choice["index"], ReadChoice()).take(choice)
        self.usage = event.get("usage") or self.usage
        self.way = event.get("kv_transfer_params") or self.way


class Following:
    """`answer` grows with what was read."""

    def __init__(self, response: httpx.Response) -> None:
        self.answer = Answer()
        self._lines = response.aiter_lines()
        self._done = False

    async def until(self, holds: Callable[[Answer], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds(self.answer):
                assert await self._one(), "it ended before"

    async def whole(self) -> Answer:
        async with asyncio.timeout(30):
            while await self._one():
                pass
        assert self._done, "a stream ended without [DONE]"
        return self.answer

    async def _one(self) -> bool:
        async for line in self._lines:
            if line == "data: [DONE]":
                self._done = True
            elif line:
                self.answer.take(json.loads(line.removeprefix("data: ")))
            return True
        return False


@asynccontextmanager
async def following(client: httpx.AsyncClient, body: dict[str, Any]) -> AsyncIterator[Following]:
    asked = {
        "return_token_ids": True,
        **body,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with client.stream("POST", TEXT, json=asked) as response:
        assert response.status_code == 200, await response.aread()
        yield Following(response)
