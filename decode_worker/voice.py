"""What one answer has to say on a stream of many."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from baton.engine.work import EngineEvent, WorkDone, WorkFailed
from baton.v1 import decode_pb2 as pb
from decode_worker.responses import responses_of


class Voice:
    """An `Outlet`. `rouse` is called when it has news and is not paused."""

    def __init__(self, call: int, rouse: "Callable[[Voice], None]") -> None:
        self.call = call
        self.paused = False  # what comes is kept
        self._rouse = rouse
        self._said: list[pb.GenerateResponse] = []
        self._events: list[EngineEvent] = []  # behind them
        self._done: WorkDone | WorkFailed | None = None
        self._written = asyncio.Event()  # all that the engine has
        self._ended = False
        self._fault: pb.Fault | None = None
        self._told = asyncio.Event()

    def say(self, response: pb.GenerateResponse) -> None:
        self._fold()
        self._said.append(response)
        self._have_news()

    def put(self, event: EngineEvent) -> None:
        if isinstance(event, WorkDone | WorkFailed):
            self._done = event
            self._written.set()
        else:
            self._events.append(event)
            self._have_news()

    async def own(self) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Nothing; ends once the engine has put its last. Raises the error of WorkFailed."""
        await self._written.wait()
        if isinstance(self._done, WorkFailed):
            raise self._done.error
        return
        yield

    def end(self, fault: pb.Fault | None = None) -> None:
        """Nothing comes any more. `fault`: how it failed."""
        self._ended, self._fault = True, fault
        self._have_news()

    async def until_told(self) -> None:
        """All has been taken."""
        await self._told.wait()

    @property
    def has_news(self) -> bool:
        return bool(self._said or self._events or self._ended)

    def take(self) -> pb.Told:
        """All that there is to tell now."""
        self._fold()
        said, self._said = self._said, []
        if self._ended:
            self._told.set()
        return pb.Told(call=self.call, events=said, last=self._ended, fault=self._fault)

    def _fold(self) -> None:
        """Events become responses late, so that those of one moment are one."""
        if self._events:
            self._said.extend(responses_of(self._events))
            self._events.clear()

    def _have_news(self) -> None:
        if not self.paused:
            self._rouse(self)
