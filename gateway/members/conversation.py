"""The stream on which this gateway asks one worker for answers, and is told them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import grpc

from baton.core.errors import BatonError, UnavailableError
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from baton.telemetry.request_context import apart
from baton.v1 import decode_pb2 as pb

logger = logging.getLogger(__name__)

Wants = asyncio.Queue[pb.ConverseRequest | None]  # None: no more
Hear = Callable[[pb.GenerateResponse], None]
Ended = Callable[[BatonError | None], None]


class Conversation:
    """Until it is open, and at a worker that does not know it, answers are asked for by calls of their
    own. What breaks it breaks all answers on it.
    """

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self._wants: Wants = asyncio.Queue()
        self._is_open = False
        self._asked: dict[int, Asked] = {}  # by call
        self._calls = 0
        self._task: asyncio.Task[None] | None = None
        self._unknown = False  # to the worker

    def open(self) -> None:
        """Does nothing where it is open, or cannot be had."""
        if self._task is None and not self._unknown:
            self._task = apart(self._converse(), name="converse with a worker")

    @property
    def is_open(self) -> bool:
        return self._is_open

    def ask(self, request: pb.GenerateRequest, metadata: Mapping[str, str]) -> "Asked":
        """While it is open. Nothing is heard before the caller awaits something."""
        self._calls += 1
        call = self._calls
        asked = self._asked[call] = Asked(self, call)
        ask = pb.Ask(call=call, request=request, metadata=metadata)
        self._want(pb.ConverseRequest(ask=ask))
        return asked

    def pause(self, call: int) -> None:
        self._want(pb.ConverseRequest(pause=call))

    def resume(self, call: int) -> None:
        self._want(pb.ConverseRequest(resume=call))

    def cancel(self, call: int) -> None:
        """Does nothing where its last word was heard."""
        if self._asked.pop(call, None) is not None:
            self._want(pb.ConverseRequest(cancel=call))

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _converse(self) -> None:
        error: BatonError = UnavailableError("the stream that the answer was told on has ended")
        self._wants = wants = Wants()
        call = self._stub.Converse(_wanted(wants))
        try:
            async for message in call:
                self._is_open = True
                self._hear(message)
        except grpc.aio.AioRpcError as broken:
            self._unknown = broken.code() is grpc.StatusCode.UNIMPLEMENTED
            error = from_rpc_error(broken)
            logger.info("the conversation with a worker ended: %s", error)
        except Exception:  # the top of a task: whose answers are on it must hear of it
            logger.exception("the conversation with a worker failed")
        finally:
            call.cancel()
            wants.put_nowait(None)  # gRPC goes on waiting for one, of a call that has broken too
            self._is_open, self._task = False, None
            lost, self._asked = self._asked, {}
            for asked in lost.values():
                asked.end(error)

    def _hear(self, message: pb.ConverseResponse) -> None:
        for told in message.told:
            if (asked := self._asked.get(told.call)) is None:
                continue
            for response in told.events:
                asked.hear(response)
            if told.last:
                self._asked.pop(told.call, None)
                asked.end(wire.fault_from_pb(told.fault) if told.HasField("fault") else None)

    def _want(self, want: pb.ConverseRequest) -> None:
        self._wants.put_nowait(want)


class Asked:
    """One answer that was asked for."""

    def __init__(self, conversation: Conversation, call: int) -> None:
        self.hear: Hear = lambda response: None
        self.end: Ended = lambda error: None
        self._conversation = conversation
        self._call = call

    def tell(self, hear: Hear, ended: Ended) -> None:
        """`ended`: all of it was heard, or it broke off with the error."""
        self.hear, self.end = hear, ended

    def pause(self) -> None:
        self._conversation.pause(self._call)

    def resume(self) -> None:
        self._conversation.resume(self._call)

    def cancel(self) -> None:
        self._conversation.cancel(self._call)


async def _wanted(wants: Wants) -> AsyncGenerator[pb.ConverseRequest, None]:
    while (want := await wants.get()) is not None:
        yield want
