"""One gateway's stream, on which it is told the events of all its answers here."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing

from baton.v1 import decode_pb2 as pb
from decode_worker.listeners import Listener, Listeners


async def listen(
    listeners: Listeners, asked: AsyncIterable[pb.ListenRequest], leaves: asyncio.Event
) -> AsyncGenerator[pb.ListenResponse, None]:
    """Ends once no answer is told any more, after `leaves` is set or the gateway asks no further.
    Raises RequestError where the first request names no listener of its own.
    """
    requests = aiter(asked)
    first = await anext(requests, pb.ListenRequest())
    with listeners.opened(first.listener_id) as listener:
        asides = [
            asyncio.create_task(_heed(requests, listener)),
            asyncio.create_task(_leave(leaves, listener)),
        ]
        try:
            async with aclosing(listener.messages()) as messages:
                async for message in messages:
                    yield message
        finally:
            for aside in asides:
                aside.cancel()
            await asyncio.gather(*asides, return_exceptions=True)


async def _heed(requests: AsyncIterator[pb.ListenRequest], listener: Listener) -> None:
    async for request in requests:
        if request.HasField("pause"):
            listener.pause(request.pause)
        elif request.HasField("resume"):
            listener.resume(request.resume)
    listener.leave()


async def _leave(leaves: asyncio.Event, listener: Listener) -> None:
    await leaves.wait()
    listener.leave()
