"""A registry inside one process. One event loop, no locks."""

import asyncio
from collections.abc import AsyncIterator

from baton.core.worker_info import WorkerInfo


class InMemoryRegistry:
    trouble: None = None  # one's own memory can always be read

    def __init__(self) -> None:
        self._members: dict[str, WorkerInfo] = {}
        self._subscribers: set[asyncio.Event] = set()

    def join(self, info: WorkerInfo) -> None:
        if self._members.get(info.worker_id) == info:
            return
        self._members[info.worker_id] = info
        self._wake()

    def leave(self, info: WorkerInfo) -> None:
        member = self._members.get(info.worker_id)
        if member is None or member.instance_id != info.instance_id:
            return
        del self._members[info.worker_id]
        self._wake()

    def members(self) -> tuple[WorkerInfo, ...]:
        return tuple(info for _, info in sorted(self._members.items()))

    async def subscribe(self) -> AsyncIterator[tuple[WorkerInfo, ...]]:
        changed = asyncio.Event()
        self._subscribers.add(changed)
        try:
            while True:
                # Cleared before reading: a change while the reader is busy sets it again.
                changed.clear()
                yield self.members()
                await changed.wait()
        finally:
            self._subscribers.discard(changed)

    def _wake(self) -> None:
        for changed in self._subscribers:
            changed.set()
