"""Which workers one request need not ask again for now, or only as a last resort."""

import time
from typing import Protocol

FORGOTTEN_AFTER = 1.0  # seconds; a lost event must not keep a worker out for good
DOUBTED_FOR = 10.0  # seconds; one that fell silent is noticed by then


Link = tuple[str, str]  # instance ids of a prefill and a decode worker
NO_LINKS: frozenset[Link] = frozenset()


class Refuser(Protocol):
    @property
    def revision(self) -> int:
        """Grows with everything that may have changed its mind."""
        ...


class Refusals:
    def __init__(self) -> None:
        self._notes: dict[Refuser, tuple[int, float]] = {}
        self._links: dict[Link, float] = {}

    @property
    def any(self) -> bool:
        """Whether some worker was noted."""
        return bool(self._notes)

    def note(self, worker: Refuser) -> None:
        self._notes[worker] = (worker.revision, time.monotonic())

    def holds(self, worker: Refuser) -> bool:
        """Not to be asked."""
        return self._noted(worker, FORGOTTEN_AFTER)

    def doubts(self, worker: Refuser) -> bool:
        """To be asked last."""
        return self._noted(worker, DOUBTED_FOR)

    def note_link(self, link: Link) -> None:
        """A hand-off broke although both workers are there."""
        self._links[link] = time.monotonic()

    @property
    def doubted_links(self) -> frozenset[Link]:
        """Those that are to be paired last."""
        if not self._links:
            return NO_LINKS
        now = time.monotonic()
        return frozenset(link for link, at in self._links.items() if now - at < DOUBTED_FOR)

    def _noted(self, worker: Refuser, seconds: float) -> bool:
        noted = self._notes.get(worker)
        if noted is None:
            return False
        revision, at = noted
        return revision == worker.revision and time.monotonic() - at < seconds
