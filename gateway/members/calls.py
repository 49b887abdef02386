"""Calls to a worker: their messages as events."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeVar

import grpc

from baton.core.errors import BatonError, InternalError, UnavailableError
from baton.core.room import Room
from baton.rpc import wire
from baton.rpc.errors import from_rpc_error
from baton.v1 import decode_pb2, encode_pb2, prefill_pb2, types_pb2
from gateway.call_events import (
    Admitted,
    CallEvent,
    Encoded,
    HandedOver,
    ImagesPulled,
    Lent,
    MovedSegment,
    PrefixPulled,
    PromptScored,
    Released,
    Reserved,
    Tokens,
    Transferred,
    Vacated,
)
from gateway.members.conversation import Asked, Ended

logger = logging.getLogger(__name__)

M = TypeVar("M")
Hear = Callable[[CallEvent], None]


class Call(Protocol):
    """One streaming call, whose events are told as they come."""

    def tell(self, hear: Hear, ended: Ended) -> None:
        """From now on, and at once: nobody is waited for. `ended` is called once, behind the last
        event, with what the call broke off with, if it did; after `cancel` it is not.
        """
        ...

    def pause(self) -> None:
        """Nothing more is to come, but for what is on its way."""
        ...

    def resume(self) -> None: ...

    def cancel(self) -> None:
        """The worker drops the request; takes effect at once."""
        ...


def _admitted(message: prefill_pb2.PrefillAdmitted | decode_pb2.GenerateAdmitted) -> Admitted:
    return Admitted(message.num_cached_tokens, message.kv_number)


def _images_pulled(message: types_pb2.ImagesPulled) -> ImagesPulled:
    return ImagesPulled(
        message.images, message.bytes, message.transport, message.milliseconds, message.exposed_ms
    )


def _room_of(message: decode_pb2.GenerateReserved | decode_pb2.GenerateFinished) -> Room | None:
    return wire.room_from_pb(message.room) if message.HasField("room") else None


def _transferred(report: decode_pb2.TransferReport) -> Transferred:
    return Transferred(
        bytes=report.bytes,
        tokens=report.tokens,
        transport=report.transport,
        milliseconds=report.milliseconds,
        exposed_ms=report.exposed_ms,
        computed_ms=report.computed_ms,
        segments=tuple(
            MovedSegment(s.first_block, s.num_blocks, s.ready_ms, s.start_ms, s.end_ms)
            for s in report.segments
        ),
        held_tokens=report.cached_tokens,
        repaired_blocks=report.repaired_blocks,
    )


def generate_event(message: decode_pb2.GenerateResponse) -> CallEvent | None:
    """None: a kind that is not known here."""
    if message.HasField("tokens"):  # nearly all of them
        return Tokens(wire.records_from_pb(message.tokens.records))
    match message.WhichOneof("event"):
        case "admitted":
            return _admitted(message.admitted)
        case "prompt_logprobs":
            return PromptScored(wire.prompt_logprobs_from_pb(message.prompt_logprobs))
        case "reserved":
            return Reserved(_room_of(message.reserved))
        case "transferred":
            return _transferred(message.transferred)
        case "images_pulled":
            return _images_pulled(message.images_pulled)
        case "handed_over":
            return HandedOver(message.handed_over.choice)
        case "finished":
            return Vacated(_room_of(message.finished))
    return None


def prefill_event(message: prefill_pb2.PrefillResponse) -> CallEvent | None:
    """Likewise."""
    if message.HasField("tokens"):
        return Tokens(wire.records_from_pb(message.tokens.records))
    match message.WhichOneof("event"):
        case "admitted":
            return _admitted(message.admitted)
        case "prompt_logprobs":
            return PromptScored(wire.prompt_logprobs_from_pb(message.prompt_logprobs))
        case "prefix_pulled":
            pulled = message.prefix_pulled
            return PrefixPulled(pulled.tokens, pulled.bytes, pulled.transport, pulled.milliseconds)
        case "images_pulled":
            return _images_pulled(message.images_pulled)
    return None


def hand_over_event(message: decode_pb2.HandOverResponse) -> CallEvent | None:
    """Likewise."""
    match message.WhichOneof("event"):
        case "lent":
            return Lent()
        case "released":
            return Released(message.released.confirmed)
    return None


def encode_event(message: encode_pb2.EncodeResponse) -> CallEvent | None:
    """Likewise."""
    match message.WhichOneof("event"):
        case "lent":
            return Lent()
        case "encoded":
            done = message.encoded
            return Encoded(done.images, done.cached_images, done.milliseconds)
        case "released":
            return Released(message.released.confirmed)
    return None


class StreamCall(Generic[M]):
    """A `Call` with a stream of its own, whose messages are of one type."""

    def __init__(self, call: Any, event_of: Callable[[M], CallEvent | None]) -> None:
        """`call`: gRPC's. `event_of` gives None for a message that tells nothing here."""
        self._call = call
        self._event_of = event_of
        self._task: asyncio.Task[None] | None = None
        self._reads = asyncio.Event()  # unless it is paused
        self._reads.set()

    async def events(self) -> AsyncGenerator[CallEvent, None]:
        """For who waits for them instead. Read once; raises a BatonError when the call breaks."""
        try:
            async for message in self._call:
                event = self._event_of(message)
                if event is not None:
                    yield event
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    def tell(self, hear: Hear, ended: Ended) -> None:
        self._task = asyncio.create_task(self._told(hear, ended), name="call to a worker")

    def pause(self) -> None:
        self._reads.clear()

    def resume(self) -> None:
        self._reads.set()

    def cancel(self) -> None:
        self._call.cancel()
        if self._task is not None:
            self._task.cancel()

    async def _told(self, hear: Hear, ended: Ended) -> None:
        last: BatonError | None = None
        try:
            async with aclosing(self.events()) as events:
                async for event in events:
                    hear(event)
                    await self._reads.wait()
        except BatonError as error:
            last = error
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            # By gRPC, of a call on a channel that is closed under it.
            last = UnavailableError("the connection to the worker was closed")
        except Exception:  # the top of a task: whoever hears must hear of it
            logger.exception("reading what a worker tells failed")
            last = InternalError("an answer of a worker could not be read")
        ended(last)


HandOverCall = StreamCall[decode_pb2.HandOverResponse]


class AskedCall:
    """A Generate without a stream of its own."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.pause = asked.pause
        self.resume = asked.resume
        self.cancel = asked.cancel

    def tell(self, hear: Hear, ended: Ended) -> None:
        def take(message: decode_pb2.GenerateResponse) -> None:
            event = generate_event(message)
            if event is not None:
                hear(event)

        self._asked.tell(take, ended)
