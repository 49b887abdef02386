"""Many answers, told to one gateway in one stream: the events of a step are one message.

A message costs a gRPC server and its client some 50 microseconds each, whatever is in it. With a stream
for each answer that was more than the step of a small model takes, for a few dozen of them.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager

from baton.core.errors import BatonError, RequestError, UnavailableError
from baton.engine.work import EngineEvent, WorkDone, WorkFailed
from baton.v1 import decode_pb2 as pb
from decode_worker.responses import responses_of


class Listeners:
    """Those that are open at this worker, by id."""

    def __init__(self) -> None:
        self._open: dict[str, Listener] = {}

    @contextmanager
    def opened(self, listener_id: str) -> Iterator["Listener"]:
        """Raises RequestError for an id that is taken."""
        if not listener_id or listener_id in self._open:
            raise RequestError("a listener needs an id of its own", "listener_id")
        listener = self._open[listener_id] = Listener()
        try:
            yield listener
        finally:
            del self._open[listener_id]
            listener.lose()

    def find(self, listener_id: str) -> "Listener | None":
        return self._open.get(listener_id)


class Listener:
    """The end of one stream at the worker. Its voices come and go."""

    def __init__(self) -> None:
        self._voices: dict[int, Voice] = {}  # by call
        self._due: dict[Voice, None] = {}  # those with something to say, in order
        self._roused = asyncio.Event()
        self._leaving = False

    @contextmanager
    def voice(self, call: int) -> Iterator["Voice"]:
        """Raises RequestError for a call that is here already."""
        if call in self._voices:
            raise RequestError(f"call {call} is told already", "listener")
        voice = self._voices[call] = Voice(call, self._rouse)
        try:
            yield voice
        finally:
            voice.close()
            del self._voices[call]
            self._due.pop(voice, None)
            self._roused.set()  # it may have been the last

    def pause(self, call: int) -> None:
        """Calls that are over are not known any more."""
        if (voice := self._voices.get(call)) is not None:
            voice.paused = True
            self._due.pop(voice, None)

    def resume(self, call: int) -> None:
        if (voice := self._voices.get(call)) is not None:
            voice.paused = False
            if voice.has_news:
                self._rouse(voice)

    def leave(self) -> None:
        """Ends the messages once no voice is left."""
        self._leaving = True
        self._roused.set()

    def lose(self) -> None:
        """Nobody reads any more."""
        for voice in self._voices.values():
            voice.fail(UnavailableError("the stream that the answer was told on has ended"))

    async def messages(self) -> AsyncGenerator[pb.ListenResponse, None]:
        """What has come since the last one was read; the first, at once, is empty."""
        yield pb.ListenResponse()
        while self._voices or not self._leaving:
            await self._roused.wait()
            self._roused.clear()
            due, self._due = self._due, {}
            if due:
                yield pb.ListenResponse(told=[voice.take() for voice in due])
                for voice in due:
                    voice.written()

    def _rouse(self, voice: "Voice") -> None:
        self._due[voice] = None
        self._roused.set()


class Voice:
    """An `Outlet`: one call's events, on a listener's stream."""

    def __init__(self, call: int, rouse: "Callable[[Voice], None]") -> None:
        self.paused = False  # what comes is kept
        self._call = call
        self._rouse = rouse
        self._said: list[pb.GenerateResponse] = []
        self._events: list[EngineEvent] = []
        self._last: WorkDone | WorkFailed | None = None  # taken, and perhaps not written yet
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def say(self, response: pb.GenerateResponse) -> None:
        self._said.append(response)
        self._have_news()

    def put(self, event: EngineEvent) -> None:
        self._events.append(event)
        self._have_news()

    async def own(self) -> AsyncGenerator[pb.GenerateResponse, None]:
        """Nothing. Raises UnavailableError when the listener is lost."""
        await self._over
        return
        yield

    @property
    def has_news(self) -> bool:
        return bool(self._said or self._events)

    def take(self) -> pb.Told:
        """All that there is to tell now."""
        said, self._said = self._said, []
        events, self._events = self._events, []
        said.extend(responses_of(events))
        if events and isinstance(events[-1], WorkDone | WorkFailed):
            self._last = events[-1]
        return pb.Told(call=self._call, events=said, last=self._last is not None)

    def written(self) -> None:
        """What was taken is on its way."""
        if self._last is not None and not self._over.done():
            if isinstance(self._last, WorkFailed):
                self._over.set_exception(self._last.error)
            else:
                self._over.set_result(None)

    def fail(self, error: BatonError) -> None:
        if not self._over.done():
            self._over.set_exception(error)

    def close(self) -> None:
        """Nobody waits for its end any more."""
        if not self._over.cancel() and not self._over.cancelled():
            self._over.exception()  # was meant for whoever waited

    def _have_news(self) -> None:
        if not self.paused:
            self._rouse(self)
