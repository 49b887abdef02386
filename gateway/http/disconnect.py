"""Work for a client ends when the client goes away."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or ClientDisconnect after cancelling it. `work` gets a task of its own: what
    wakes it would else pass through all that is around a request, every time.

    The request's body must have been read: all that can still be received is the end.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_gone(receive))
    leaving.add_done_callback(lambda leaving: leaving.cancelled() or working.cancel())
    try:
        return await working
    except asyncio.CancelledError:
        if leaving.done():
            raise ClientDisconnect from None
        raise
    finally:
        leaving.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
