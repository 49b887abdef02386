"""What a registry promises, whoever keeps it."""

from collections.abc import AsyncIterator
from typing import Protocol

from baton.core.worker_info import WorkerInfo


class Directory(Protocol):
    """The workers that have announced themselves, at most one per `worker_id`, to be read."""

    @property
    def trouble(self) -> str | None:
        """Why the membership cannot be read now, as a sentence; None: it can."""
        ...

    def subscribe(self) -> AsyncIterator[tuple[WorkerInfo, ...]]:
        """The membership at once, ordered by `worker_id`, then after every change.

        A slow reader skips what was overtaken, but always gets the latest membership. One that
        cannot be read is empty at first and later stays as it was. Raises SettingsError where
        trying again cannot help.
        """
        ...


class Registry(Directory, Protocol):
    """A directory that this process keeps itself.

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
