"""What a registry promises, whoever keeps it."""

from collections.abc import AsyncIterator
from typing import Protocol

from baton.core.worker_info import WorkerInfo


class Registry(Protocol):
    """The workers that are alive now, at most one per `worker_id`.

    Nothing here waits: a worker must be able to leave while its task is being cancelled.
    """

    def join(self, info: WorkerInfo) -> None:
        """Makes the worker a member; an older instance of the same `worker_id` is replaced."""
        ...

    def leave(self, info: WorkerInfo) -> None:
        """Ends the membership of this instance; nothing happens when another has replaced it."""
        ...

    def members(self) -> tuple[WorkerInfo, ...]:
        """All members, ordered by `worker_id`."""
        ...

    def subscribe(self) -> AsyncIterator[tuple[WorkerInfo, ...]]:
        """The membership at once, then after every change.

        A slow reader skips what was overtaken, but always gets the latest membership.
        """
        ...
