"""News of the cluster for those who look at the page."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

from gateway.errors import RETRY_SOON, NoRoomError, Reason
from gateway.json_text import to_json
from gateway.ui.changes import Changes

EVERY = 0.5  # seconds between two looks
QUIET = 15.0  # seconds without news; then a sign of life
MOST_ONLOOKERS = 100
ALIVE = b": nothing new\n\n"


class Feed:
    """Each onlooker has a generator of its own, which looks only while it is read."""

    def __init__(self, every: float = EVERY, quiet: float = QUIET) -> None:
        self._every = every
        self._quiet = quiet
        self._closed = asyncio.Event()
        self.onlookers = 0

    def close(self) -> None:
        """Ends all streams: the server is not to wait for them."""
        self._closed.set()

    async def events(self, look: Callable[[], dict[str, Any]]) -> AsyncGenerator[bytes, None]:
        """Encoded ones: the whole state, then what changes. Raises NoRoomError."""
        if self._closed.is_set():
            raise NoRoomError("This server is shutting down.", RETRY_SOON, Reason.SHUTTING_DOWN)
        if self.onlookers >= MOST_ONLOOKERS:
            raise NoRoomError(f"{MOST_ONLOOKERS} others look at this page already.", RETRY_SOON)
        self.onlookers += 1
        try:
            changes, silent = Changes(), 0.0
            while not self._closed.is_set():
                news = changes.since(look())
                silent = 0.0 if news else silent + self._every
                if news:
                    yield f"data: {to_json(news)}\n\n".encode()
                elif silent >= self._quiet:
                    silent = 0.0
                    yield ALIVE
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every):
                        await self._closed.wait()
        finally:
            self.onlookers -= 1
