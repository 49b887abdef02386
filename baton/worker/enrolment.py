"""A worker's membership over its whole life: one after the other where it changes its role."""

import asyncio
from collections.abc import Callable

from baton.core.worker_info import WorkerInfo
from baton.registry.choice import Member


class Enrolment:
    """`failed` is done, with the SettingsError, once the registry will never have this worker."""

    def __init__(self, member_of: Callable[[WorkerInfo], Member | None]) -> None:
        """`member_of` gives None where the worker stands alone."""
        self._member_of = member_of
        self._task: asyncio.Task[None] | None = None
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def join(self, info: WorkerInfo) -> None:
        """In place of whatever it was a member as. Returns once the registry counts it in, or never
        will; it goes on trying when it is cancelled.
        """
        await self.leave()
        member = self._member_of(info)
        if member is None:
            return
        self._task = asyncio.create_task(member.run(), name="membership")
        self._task.add_done_callback(self._ended)
        joined = asyncio.create_task(member.joined.wait(), name="until joined")
        try:
            await asyncio.wait((joined, self.failed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            joined.cancel()

    async def leave(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed.set_exception(error)
            self.failed.exception()  # heard of, also where the process ends for another reason
