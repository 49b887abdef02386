"""Calls to a worker: their messages as events."""

from collections.abc import AsyncGenerator, Callable
from typing import Any, Generic, Protocol, TypeVar

import grpc

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
from gateway.conversation import Asked

M = TypeVar("M")


class Call(Protocol):
    """One streaming call. `events()` is read once; it raises a BatonError when the call breaks."""

    def events(self) -> AsyncGenerator[CallEvent, None]: ...

    def cancel(self) -> None:
        """The worker drops the request; takes effect at once."""
        ...


class SharedCall(Call, Protocol):
    """One whose events may come on a stream of many calls: then they are given to who `overhears`, as
    they come, and `events()` gives none, and ends behind the last of them.
    """

    def overhears(self, hear: Callable[[CallEvent], None]) -> None:
        """Before the events are read."""
        ...

    def pause(self) -> None:
        """Nothing more is to come there, but for what is on its way."""
        ...

    def resume(self) -> None: ...


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


def _generate_event(message: decode_pb2.GenerateResponse) -> CallEvent | None:
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

    async def events(self) -> AsyncGenerator[CallEvent, None]:
        try:
            async for message in self._call:
                event = self._event_of(message)
                if event is not None:
                    yield event
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    def cancel(self) -> None:
        self._call.cancel()


class GenerateCall(StreamCall[decode_pb2.GenerateResponse]):
    """A `SharedCall` that shares nothing: all events are its own, and who does not read pauses it."""

    def __init__(self, call: Any) -> None:
        super().__init__(call, _generate_event)

    def overhears(self, hear: Callable[[CallEvent], None]) -> None:
        pass

    def pause(self) -> None:
        pass

    def resume(self) -> None:
        pass


class AskedCall:
    """A Generate without a stream of its own."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.pause = asked.pause
        self.resume = asked.resume
        self.cancel = asked.cancel

    def overhears(self, hear: Callable[[CallEvent], None]) -> None:
        def take(message: decode_pb2.GenerateResponse) -> None:
            event = _generate_event(message)
            if event is not None:
                hear(event)

        self._asked.hear = take

    async def events(self) -> AsyncGenerator[CallEvent, None]:
        await self._asked.until_last()
        return
        yield
