"""Everybody who is a member of the cluster, or was one while this gateway has lived."""

from collections.abc import Collection

from baton.core.worker_info import WorkerInfo

MOST = 10_000  # worker ids; those that came first are forgotten first


class Roll:
    def __init__(self) -> None:
        self._entries: dict[str, tuple[WorkerInfo, int]] = {}  # by worker id

    @property
    def known(self) -> Collection[WorkerInfo]:
        """Of each worker id, what its latest instance said of itself."""
        return [info for info, _ in self._entries.values()]

    def enter(self, info: WorkerInfo) -> int:
        """A new instance; returns how many processes of this worker id came before its own."""
        _, seen = self._entries.pop(info.worker_id, (info, 0))
        if not (seen and info.flips):  # the same process, in another role
            seen += 1
        self._entries[info.worker_id] = info, seen
        if len(self._entries) > MOST:
            del self._entries[next(iter(self._entries))]
        return seen - 1
