"""Which workers one request need not ask again for now."""

import time
from typing import Protocol

FORGOTTEN_AFTER = 1.0  # seconds; a lost event must not keep a worker out for good


class Refuser(Protocol):
    @property
    def revision(self) -> int:
        """Grows with everything that may have changed its mind."""
        ...


class Refusals:
    def __init__(self) -> None:
        self._notes: dict[Refuser, tuple[int, float]] = {}

    def note(self, worker: Refuser) -> None:
        self._notes[worker] = (worker.revision, time.monotonic())

    def holds(self, worker: Refuser) -> bool:
        noted = self._notes.get(worker)
        if noted is None:
            return False
        revision, at = noted
        return revision == worker.revision and time.monotonic() - at < FORGOTTEN_AFTER
