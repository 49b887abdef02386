"""Which requests a worker has taken, and whether it takes more."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from baton.core.errors import RefusedError, RequestError
from baton.core.room import Seated, keeps_out
from baton.core.worker_info import WorkerState


class Desk:
    """Counts requests and their choices; each (request id, attempt) is served once at a time.
    `changed` is called when one has come or gone, and when the desk closes.

    `max_choices` bounds what is in progress, as `keeps_out` has it (None: the engine's queue takes
    everything).
    """

    def __init__(self, max_choices: int | None, changed: Callable[[], None] = lambda: None) -> None:
        self.state = WorkerState.READY
        self._max_choices = max_choices
        self._changed = changed
        self._choices: dict[str, tuple[int, int]] = {}  # how many, and their priority

    @property
    def requests(self) -> int:
        return len(self._choices)

    @property
    def max_choices(self) -> int | None:
        return self._max_choices

    @property
    def seated(self) -> Seated:
        """Who has what is bounded; nobody where nothing is. Callable from any thread."""
        if self._max_choices is None:
            return ()
        counts: Counter[int] = Counter()
        for choices, priority in tuple(self._choices.values()):
            counts[priority] += choices
        return tuple(sorted(counts.items()))

    def drain(self) -> None:
        """Takes nothing from now on."""
        self.state = WorkerState.DRAINING
        self._changed()

    @contextmanager
    def take(self, request_id: str, attempt: int, choices: int, priority: int = 0) -> Iterator[str]:
        """Gives the request's key in the engine. Raises RefusedError at once when it must wait."""
        key = key_of(request_id, attempt)
        if self.state is not WorkerState.READY:
            raise RefusedError("this worker is draining")
        if key in self._choices:
            raise RequestError(f"request {key} is running already", "request_id")
        if keeps_out(self._max_choices, self.seated, choices, priority):
            raise RefusedError(f"this worker already writes {self._max_choices} answers")
        self._choices[key] = choices, priority
        self._changed()
        try:
            yield key
        finally:
            del self._choices[key]
            self._changed()


def key_of(request_id: str, attempt: int) -> str:
    """The request's name in the engine."""
    return f"{request_id}/{attempt}"
