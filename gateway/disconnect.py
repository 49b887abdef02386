"""Work for a client ends when the client goes away."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Receive

T = TypeVar("T")


async def until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, or ClientDisconnect after cancelling it. It is done in the caller's own
    task: one task less for every request.

    The request's body must have been read: all that can still be received is the end.
    """
    loop, over = asyncio.get_running_loop(), False

    def left(leaving: "asyncio.Task[None]") -> None:
        if not (over or leaving.cancelled()):
            leaving.exception()  # which is as good as the end
            patience.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as patience:
            leaving = loop.create_task(_gone(receive))
            leaving.add_done_callback(left)
            try:
                return await work
            finally:
                over = True
                leaving.cancel()
    except TimeoutError as error:
        if not patience.expired():
            raise
        raise ClientDisconnect from error


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
