"""Many answers, asked for and told on one stream: the events of a step are one message.

A call of its own costs a gRPC server and its client half a millisecond of CPU, and each message another
50 microseconds, whatever is in it. With a stream for each answer the messages of a step took more than the
step of a small model, for a few dozen of them.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from baton.core.errors import BatonError, InternalError, UnavailableError
from baton.rpc import wire
from baton.telemetry.request_context import apart
from baton.v1 import decode_pb2 as pb
from decode_worker import portion
from decode_worker.outlet import Outlet
from decode_worker.voice import Voice

logger = logging.getLogger(__name__)

# What writes one answer, and with what it was asked for: tells the outlet what it does not yield.
Generate = Callable[
    [pb.GenerateRequest, Mapping[str, str], Outlet], AsyncGenerator[pb.GenerateResponse, None]
]


class Conversation:
    """The end of one stream at the worker. Answers come and go."""

    def __init__(self, generate: Generate) -> None:
        self._generate = generate
        self._voices: dict[int, Voice] = {}  # by call
        self._tasks: dict[int, asyncio.Task[None]] = {}  # likewise
        self._due: dict[Voice, None] = {}  # those with something to say, in order
        self._roused = asyncio.Event()
        self._leaving = False

    def begin(self, ask: pb.Ask) -> None:
        if ask.call in self._voices:
            logger.error("call %d was asked for twice", ask.call)
            return
        voice = self._voices[ask.call] = Voice(ask.call, self._rouse)
        task = self._tasks[ask.call] = apart(self._answer(ask, voice), name="answer")
        task.add_done_callback(lambda _: self._over(voice))

    def cancel(self, call: int) -> None:
        """Calls that are over are not known any more, here as below."""
        if (task := self._tasks.get(call)) is not None:
            task.cancel()

    def pause(self, call: int) -> None:
        if (voice := self._voices.get(call)) is not None:
            voice.paused = True
            self._due.pop(voice, None)

    def resume(self, call: int) -> None:
        if (voice := self._voices.get(call)) is not None:
            voice.paused = False
            if voice.has_news:
                self._rouse(voice)

    def leave(self) -> None:
        """Ends the messages once no answer is left."""
        self._leaving = True
        self._roused.set()

    async def drop(self) -> None:
        """Whatever is still written: nobody reads any more."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def messages(self) -> AsyncGenerator[pb.ConverseResponse, None]:
        """What has come since the last one was read; the first, at once, is empty."""
        yield pb.ConverseResponse()
        while self._voices or not self._leaving:
            await self._roused.wait()
            await asyncio.sleep(0)  # what else comes in this turn goes along: the end of an answer
            self._roused.clear()
            if self._due:
                yield pb.ConverseResponse(told=self._take())

    def _take(self) -> list[pb.Told]:
        """What is due, as far as one message may go; the rest is due for the next one."""
        due, self._due = self._due, {}
        taken, room = [], portion.MOST
        for voice in due:
            if room > 0:
                told, size = voice.take(room)
                taken.append(told)
                room -= size
            if voice.has_news:
                self._rouse(voice)
        return taken

    async def _answer(self, ask: pb.Ask, voice: Voice) -> None:
        """Until its last word is on its way."""
        try:
            responses = self._generate(ask.request, ask.metadata, voice)
            async with aclosing(responses):
                async for response in responses:
                    voice.say(response)
            voice.end()
        except BatonError as error:
            voice.end(wire.fault_to_pb(error))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # By itself, as by a wait for something that another task gave up.
            voice.end(wire.fault_to_pb(UnavailableError("the worker gave the call up")))
        except Exception:  # the top of a call: the gateway must get an answer
            logger.exception("an answer failed")
            voice.end(wire.fault_to_pb(InternalError("internal error")))
        await voice.until_told()

    def _over(self, voice: Voice) -> None:
        del self._voices[voice.call], self._tasks[voice.call]
        self._due.pop(voice, None)
        self._roused.set()  # it may have been the last

    def _rouse(self, voice: Voice) -> None:
        self._due[voice] = None
        self._roused.set()
