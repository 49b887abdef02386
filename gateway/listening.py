"""The stream on which one worker tells all answers of this gateway."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc

from baton.core.errors import BatonError, UnavailableError
from baton.core.handoff import new_id
from baton.rpc.errors import from_rpc_error
from baton.telemetry.request_context import apart
from baton.v1 import decode_pb2 as pb

logger = logging.getLogger(__name__)

Asks = asyncio.Queue[pb.ListenRequest | None]  # None: no more
Hear = Callable[[pb.GenerateResponse], None]


class Listening:
    """Until it is open, and at a worker that does not know it, answers are told on streams of their
    own. What breaks it breaks what is told on it.
    """

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self._asks: Asks = asyncio.Queue()
        self._listener_id = ""  # while it is open
        self._ears: dict[int, Ear] = {}  # by call
        self._calls = 0
        self._task: asyncio.Task[None] | None = None
        self._unknown = False  # to the worker

    def open(self) -> None:
        """Does nothing where it is open, or cannot be had."""
        if self._task is None and not self._unknown:
            self._task = apart(self._listen(), name="listen to a worker")

    def ear(self) -> "Ear | None":
        """For a call that is about to be made; None: it is not open."""
        if not self._listener_id:
            return None
        self._calls += 1
        ear = self._ears[self._calls] = Ear(self, self._listener_id, self._calls)
        return ear

    def pause(self, call: int) -> None:
        self._asks.put_nowait(pb.ListenRequest(pause=call))

    def resume(self, call: int) -> None:
        self._asks.put_nowait(pb.ListenRequest(resume=call))

    def forget(self, call: int) -> None:
        self._ears.pop(call, None)

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        error: BatonError = UnavailableError("the stream that the answer was told on has ended")
        listener_id = new_id()
        self._asks = asks = Asks()
        call = self._stub.Listen(self._asked(listener_id, asks))
        try:
            async for message in call:
                self._listener_id = listener_id
                self._hear(message)
        except grpc.aio.AioRpcError as broken:
            self._unknown = broken.code() is grpc.StatusCode.UNIMPLEMENTED
            error = from_rpc_error(broken)
            logger.info("listening to a worker ended: %s", error)
        except Exception:  # the top of a task: what is told on it must hear of it
            logger.exception("listening to a worker failed")
        finally:
            call.cancel()
            asks.put_nowait(None)  # gRPC goes on waiting for one, of a call that has broken too
            self._listener_id, self._task = "", None
            for ear in list(self._ears.values()):
                ear.lose(error)

    def _hear(self, message: pb.ListenResponse) -> None:
        for told in message.told:
            if (ear := self._ears.get(told.call)) is not None:
                ear.take(told)

    @staticmethod
    async def _asked(listener_id: str, asks: Asks) -> AsyncGenerator[pb.ListenRequest, None]:
        yield pb.ListenRequest(listener_id=listener_id)
        while (ask := await asks.get()) is not None:
            yield ask


class Ear:
    """Hears one call. What comes before it `begins` is kept until then."""

    def __init__(self, listening: Listening, listener_id: str, call: int) -> None:
        self.place = pb.Listener(listener_id=listener_id, call=call)
        self.error: BatonError | None = None  # what broke it
        self._listening = listening
        self._call = call
        self._hear: Hear | None = None
        self._kept: list[pb.GenerateResponse] = []
        self._heard_all = asyncio.Event()  # or lost
        self._on_loss: Callable[[], object] = lambda: None

    def begin(self, hear: Hear, on_loss: Callable[[], object]) -> None:
        """The worker has said that it tells the call here."""
        self._hear, self._on_loss = hear, on_loss
        kept, self._kept = self._kept, []
        for response in kept:
            hear(response)

    def take(self, told: pb.Told) -> None:
        if self._hear is None:
            self._kept.extend(told.events)
        else:
            for response in told.events:
                self._hear(response)
        if told.last:
            self._heard_all.set()

    def lose(self, error: BatonError) -> None:
        if not self._heard_all.is_set():
            self.error = error
            self._heard_all.set()
            self._on_loss()

    async def until_last(self) -> None:
        """All has been heard. Raises what broke it."""
        await self._heard_all.wait()
        if self.error is not None:
            raise self.error

    def pause(self) -> None:
        self._listening.pause(self._call)

    def resume(self) -> None:
        self._listening.resume(self._call)

    def close(self) -> None:
        self._listening.forget(self._call)
