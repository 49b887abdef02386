"""The line in front of the cluster: by priority, then first come, first placed; bounded in length
and in time. One of `OLDEST_EVERY` places goes to whoever waits longest.

Who is particular about its workers waits in a lane of its own beside the others: while its head
finds no room, others go past. Nobody goes past a head that would take any worker.
"""

import asyncio
import math
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from baton.core.aging import is_turn_of_the_oldest
from baton.core.errors import BatonError
from gateway.errors import NoRoomError, OverloadedError

T = TypeVar("T")

TICK = 1.0  # seconds; the head of the line tries again even if no event woke it
MOST_LANES = 32  # stuck ones that are looked at in one go
REMEMBERED = 64  # departures that the speed of the line is judged by


@dataclass(frozen=True, slots=True)
class Turn:
    """A request's place in the line. It keeps the place when it has to come back."""

    number: int
    deadline: float  # on the loop's clock
    priority: int = 0  # lower is earlier
    begun: bool = False  # its client reads already: before all others of its priority
    lane: Hashable = None  # equal for those that would take the same workers; None: any

    @property
    def rank(self) -> tuple[int, bool, int]:
        return self.priority, not self.begun, self.number


@dataclass(slots=True, eq=False)
class _Waiter(Generic[T]):
    rank: tuple[int, bool, int]
    number: int
    lane: Hashable
    place: Callable[[], T | None]
    granted: asyncio.Future[T]


class AdmissionQueue(Generic[T]):
    """`pump()` must be called whenever something may fit that did not fit before.

    `undo` gives back a placement whose request went away before it could take it.
    """

    def __init__(self, limit: int, patience: float, undo: Callable[[T], None]) -> None:
        self._limit = limit
        self._patience = patience  # seconds
        self._undo = undo
        self._waiters: list[_Waiter[T]] = []
        self._next = 0
        self._placed = 0  # only grows
        self._departures: deque[float] = deque(maxlen=REMEMBERED)
        self._closed: BatonError | None = None

    def __len__(self) -> int:
        return len(self._waiters)

    def turn(self, priority: int = 0, lane: Hashable = None) -> Turn:
        self._next += 1
        return Turn(self._next, self.new_deadline(), priority, lane=lane)

    def new_deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._patience

    async def admit(self, turn: Turn, place: Callable[[], T | None], returning: bool = False) -> T:
        """Waits until `place` returns something. Raises OverloadedError or NoRoomError.

        `returning`: it was placed before, so it is not refused for the length of the line.
        """
        if self._closed is not None:
            raise self._closed
        if self._need_not_wait(turn):
            placed = place()
            if placed is not None:
                self._note_departure()
                return placed
        if len(self._waiters) >= self._limit and not returning:
            raise OverloadedError("Too many requests are waiting.", self.retry_after())
        return await self._wait(turn, place)

    def pump(self) -> None:
        """Places from the head of the line as long as something fits."""
        stuck: set[Hashable] = set()  # lanes whose head finds no room
        while (head := self._head(stuck)) is not None:
            placed = None if head.granted.done() else head.place()
            if placed is None and not head.granted.done():
                stuck.add(head.lane)
                if head.lane is None or len(stuck) > MOST_LANES:
                    return
                continue
            self._waiters.remove(head)
            if placed is not None:
                self._note_departure()
                head.granted.set_result(placed)

    def retry_after(self) -> int:
        """Seconds until the line will have moved up once, judged by its recent speed."""
        if len(self._departures) < 2:
            return max(1, math.ceil(self._patience))
        elapsed = time.monotonic() - self._departures[0]
        seconds = (len(self._waiters) + 1) * elapsed / len(self._departures)
        return max(1, math.ceil(min(seconds, self._patience)))

    def close(self, error: BatonError) -> None:
        """Everyone who waits, and who comes later, gets the error."""
        self._closed = error
        for waiter in self._waiters:
            if not waiter.granted.done():
                waiter.granted.set_exception(error)
        self._waiters.clear()

    def _head(self, stuck: Collection[Hashable]) -> _Waiter[T] | None:
        """Whose turn it is, but for the lanes that are stuck."""
        moving = (waiter for waiter in self._waiters if waiter.lane not in stuck)
        if self._oldest_first():
            return min(moving, key=lambda waiter: waiter.number, default=None)
        return next(moving, None)

    def _need_not_wait(self, turn: Turn) -> bool:
        """Nobody waits whose turn is before this one and who would take the same workers."""
        rivals = (w for w in self._waiters if w.lane is None or w.lane == turn.lane)
        first = next(rivals, None)
        return first is None or (turn.rank < first.rank and not self._oldest_first())

    def _oldest_first(self) -> bool:
        return is_turn_of_the_oldest(self._placed)

    def _note_departure(self) -> None:
        self._placed += 1
        self._departures.append(time.monotonic())

    async def _wait(self, turn: Turn, place: Callable[[], T | None]) -> T:
        loop = asyncio.get_running_loop()
        waiter: _Waiter[T] = _Waiter(turn.rank, turn.number, turn.lane, place, loop.create_future())
        insort(self._waiters, waiter, key=lambda w: w.rank)
        try:
            while not waiter.granted.done():
                left = turn.deadline - loop.time()
                if left <= 0:
                    raise NoRoomError("No worker had room in time.", self.retry_after())
                await asyncio.wait({waiter.granted}, timeout=min(left, TICK))
                self.pump()
            return waiter.granted.result()
        except asyncio.CancelledError:
            if waiter.granted.done() and waiter.granted.exception() is None:
                self._undo(waiter.granted.result())
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
                self.pump()  # the next one may need less
