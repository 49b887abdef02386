"""A worker's load, told to whoever watches: the latest reading wins, at most ten a second."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from baton.core.worker_info import WorkerLoad

MIN_INTERVAL = 0.1  # seconds between two readings of one watcher


class LoadBoard:
    """`touch` says that the load, or whether the worker is well, may have changed; nothing runs
    while it does not.
    """

    def __init__(self, read: Callable[[], WorkerLoad]) -> None:
        self._read = read
        self._watchers: set[asyncio.Event] = set()
        self.closed = asyncio.Event()

    def read(self) -> WorkerLoad:
        return self._read()

    def touch(self) -> None:
        for changed in self._watchers:
            changed.set()

    def close(self) -> None:
        """Ends every watch."""
        self.closed.set()
        self.touch()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns once `holds()`, or when the board is closed."""
        async with aclosing(self.touches()) as touches:
            async for _ in touches:
                if holds():
                    return

    async def touches(self) -> AsyncGenerator[None, None]:
        """Once at once, then after each touch; those of one moment count as one."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            while not self.closed.is_set():
                changed.clear()
                yield
                await changed.wait()
        finally:
            self._watchers.discard(changed)
