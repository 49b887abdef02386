"""What one answer has to say on a stream of many."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable

from baton.engine.work import EngineEvent, WorkDone, WorkFailed
from baton.v1 import decode_pb2 as pb
from decode_worker.portion import take_portion
from decode_worker.responses import responses_of


class Voice:
    """An `Outlet`. `rouse` is called when it has news and is not paused."""

    def __init__(self, call: int, rouse: "Callable[[Voice], None]") -> None:
        self.call = call
        self.paused = False  # what comes is kept
        self._rouse = rouse
        self._waiting: deque[pb.GenerateResponse | EngineEvent] = deque()
        self._done: WorkDone | WorkFailed | None = None
        self._written = asyncio.Event()  # all that the engine has
        self._ended = False
        self._fault: pb.Fault | None = None
        self._told = asyncio.Event()

    def say(self, response: pb.GenerateResponse) -> None:
        self._waiting.append(response)
        self._have_news()

    def put(self, event: EngineEvent) -> None:
        if isinstance(event, WorkDone | WorkFailed):
            self._done = event
            self._written.set()
        else:
            self._waiting.append(event)
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
        return bool(self._waiting) or (self._ended and not self._told.is_set())

    def take(self, most: int) -> tuple[pb.Told, int]:
        """What there is to tell, until it is `most` token ids or more; and how many those are. Asked for
        while it has news.
        """
        taken, size = take_portion(self._waiting, most) if self._waiting else ([], 0)
        last = self._ended and not self._waiting
        if last:
            self._told.set()
        fault = self._fault if last else None
        return pb.Told(call=self.call, events=_responses(taken), last=last, fault=fault), size

    def _have_news(self) -> None:
        if not self.paused:
            self._rouse(self)


def _responses(
    taken: list[pb.GenerateResponse | EngineEvent],
) -> Iterable[pb.GenerateResponse]:
    """Events become responses late, so that those of one moment are one."""
    responses: list[pb.GenerateResponse] = []
    events: list[EngineEvent] = []
    for one in taken:
        if isinstance(one, pb.GenerateResponse):
            responses += (*responses_of(events), one)
            events = []
        else:
            events.append(one)
    return [*responses, *responses_of(events)] if responses else responses_of(events)
