"""A worker's load, told to whoever watches: the latest reading wins, at most ten a second."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from baton.core.worker_info import WorkerLoad

MIN_INTERVAL = 0.1  # seconds between two readings of one watcher


class LoadBoard:
    """`touch` says that the load may have changed; nothing runs while it does not."""

    def __init__(self, read: Callable[[], WorkerLoad]) -> None:
        self._read = read
        self._watchers: set[asyncio.Event] = set()
        self._closed = False

    def touch(self) -> None:
        for changed in self._watchers:
            changed.set()

    def close(self) -> None:
        """Ends every watch."""
        self._closed = True
        self.touch()

    async def watch(self) -> AsyncGenerator[WorkerLoad, None]:
        """A reading at once, then one whenever it differs from the last."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        last = None
        try:
            while not self._closed:
                changed.clear()
                load = self._read()
                if load != last:
                    last = load
                    yield load
                    await asyncio.sleep(MIN_INTERVAL)
                await changed.wait()
        finally:
            self._watchers.discard(changed)
