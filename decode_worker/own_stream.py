"""One work's events, from the engine's sink to the stream of the call that asked for it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from baton.engine.work import EngineEvent, WorkDone, WorkFailed
from baton.v1 import decode_pb2 as pb
from decode_worker import portion
from decode_worker.portion import take_portion
from decode_worker.responses import responses_of


class OwnStream:
    """An `Outlet`. It never waits for more than one event, so a response is as small as the reader
    is fast.
    """

    def __init__(self) -> None:
        self._said: list[pb.GenerateResponse] = []
        self._events: deque[EngineEvent] = deque()
        self._news = asyncio.Event()

    def say(self, response: pb.GenerateResponse) -> None:
        self._said.append(response)
        self._news.set()

    def put(self, event: EngineEvent) -> None:
        self._events.append(event)
        self._news.set()

    async def own(self) -> AsyncGenerator[pb.GenerateResponse, None]:
        while True:
            await self._news.wait()
            self._news.clear()
            said, self._said = self._said, []
            events, self._events = self._events, deque()
            for response in said:
                yield response
            while events:
                taken, _ = take_portion(events, portion.MOST)
                for response in responses_of(taken):
                    yield response
                if ended(taken[-1]):
                    return


def ended(event: EngineEvent) -> bool:
    """Nothing comes behind it. Raises the error of WorkFailed."""
    if isinstance(event, WorkFailed):
        raise event.error
    return isinstance(event, WorkDone)
