"""Which requests a worker has taken, of which role, and whether it takes more."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from baton.core.errors import InternalError, RefusedError, RequestError
from baton.core.room import Seated, keeps_out
from baton.core.worker_info import Role, WorkerState


class Desk:
    """Counts requests and their choices; each (request id, attempt) is served once at a time.
    `changed` is called when one has come or gone, and when the desk closes.

    `max_choices` bounds what is in progress where answers are written (prompts that are only read
    wait in the engine's queue), as `keeps_out` has it.
    """

    def __init__(
        self, role: Role, max_choices: int, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.state = WorkerState.READY
        self.role = role
        self.next_role: Role | None = None  # what it drains for; None: to leave, if it drains
        self._max_choices = max_choices
        self._changed = changed
        self._choices: dict[str, tuple[int, int]] = {}  # how many, and their priority

    @property
    def requests(self) -> int:
        return len(self._choices)

    @property
    def max_choices(self) -> int | None:
        """Prompts that are only read wait in the engine's queue, which takes all of them."""
        return self._max_choices if self.role is Role.DECODE else None

    @property
    def seated(self) -> Seated:
        """Who has what is bounded; nobody where nothing is. Callable from any thread."""
        if self.max_choices is None:
            return ()
        counts: Counter[int] = Counter()
        for choices, priority in tuple(self._choices.values()):
            counts[priority] += choices
        return tuple(sorted(counts.items()))

    def drain(self) -> None:
        """Takes nothing from now on, in no role."""
        self._become(WorkerState.DRAINING)

    @property
    def leaves(self) -> bool:
        return self.state is WorkerState.DRAINING and self.next_role is None

    def flip(self) -> None:
        """Takes nothing until it has nothing left and `turn` is called. Raises RefusedError."""
        if self.leaves:
            raise RefusedError("this worker is draining: it is to leave")
        self._become(WorkerState.DRAINING, self.role.other)

    def stay(self) -> None:
        """In its role, where it was to change it. Raises RefusedError."""
        if self.leaves:
            raise RefusedError("this worker is draining: it is to leave")
        self._become(WorkerState.READY)

    def turn(self) -> None:
        """Begins the next role."""
        if self.next_role is None or self._choices:
            raise InternalError("a worker changes its role when it was asked to and is empty")
        self.role = self.next_role
        self._become(WorkerState.READY)

    def _become(self, state: WorkerState, next_role: Role | None = None) -> None:
        self.state, self.next_role = state, next_role
        self._changed()

    @contextmanager
    def take(
        self, role: Role, request_id: str, attempt: int, choices: int, priority: int = 0
    ) -> Iterator[str]:
        """`role` is the one that is asked for. Gives the request's key in the engine. Raises
        RefusedError at once when it must wait, or go elsewhere.
        """
        key = key_of(request_id, attempt)
        if role is not self.role:
            raise RefusedError(f"this worker is a {self.role.value} worker now")
        if self.state is not WorkerState.READY:
            raise RefusedError("this worker is draining")
        if key in self._choices:
            raise RequestError(f"request {key} is running already", "request_id")
        if keeps_out(self.max_choices, self.seated, choices, priority):
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
