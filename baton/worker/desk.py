"""Which requests a worker has taken, and whether it takes more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from baton.core.errors import RefusedError, RequestError
from baton.core.worker_info import WorkerState

CROWD = 2  # times the bound, in all


class Desk:
    """Counts requests and their choices; each (request id, attempt) is served once at a time.
    `changed` is called when one has come or gone, and when the desk closes.

    `max_choices` bounds what is in progress (None: the engine's queue takes everything); a single
    request wider than that is taken when nothing else is there: slow rather than impossible. Those
    of a worse priority are no rivals: they give way in the batch, and only so many again are taken
    beside them.
    """

    def __init__(self, max_choices: int | None, changed: Callable[[], None] = lambda: None) -> None:
        self.state = WorkerState.READY
        self._max_choices = max_choices
        self._changed = changed
        self._choices: dict[str, tuple[int, int]] = {}  # how many, and their priority

    @property
    def requests(self) -> int:
        return len(self._choices)

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
        if self._is_full(choices, priority):
            raise RefusedError(f"this worker already writes {self._max_choices} answers")
        self._choices[key] = choices, priority
        self._changed()
        try:
            yield key
        finally:
            del self._choices[key]
            self._changed()

    def _is_full(self, choices: int, priority: int) -> bool:
        if self._max_choices is None:
            return False
        here = self._choices.values()
        rivals = [count for count, its_priority in here if its_priority <= priority]
        if rivals and sum(rivals) + choices > self._max_choices:
            return True
        others = sum(count for count, _ in here)
        return bool(others) and others + choices > CROWD * self._max_choices


def key_of(request_id: str, attempt: int) -> str:
    """The request's name in the engine."""
    return f"{request_id}/{attempt}"
