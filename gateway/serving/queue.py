"""The line in front of the cluster, as coroutines wait in it; who goes when is decided by
`gateway.admission`.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from baton.core.errors import BatonError
from gateway.admission.admission import Admission, Refused
from gateway.admission.line import Key, Turn, Waiter
from gateway.admission.shares import Bill, Shares
from gateway.errors import NoRoomError, OverloadedError, Reason, TooLateError

T = TypeVar("T")

MOST_LANES = 32  # that stand still and are looked past in one go
TICK = 1.0  # seconds; the head of the line tries again even if no event woke it
FULL = "Too many requests are waiting; a place is kept for this one when Retry-After has passed."
RETRY_UNKNOWN = 1  # seconds, where nobody can tell when a worker comes


@dataclass(slots=True, eq=False)
class _Wish(Generic[T]):
    place: Callable[[], T | None]
    granted: asyncio.Future[T]


class AdmissionQueue(Generic[T]):
    """`pump()` must be called whenever something may fit that did not fit before.

    `undo` gives back a placement whose request went away before it could take it. `can_answer`:
    whether there is a worker at all.
    """

    def __init__(
        self,
        limit: int,
        patience: float,
        undo: Callable[[T], None],
        can_answer: Callable[[], bool] = lambda: True,
    ) -> None:
        self._admission: Admission[_Wish[T]] = Admission(limit, patience)
        self._undo = undo
        self._can_answer = can_answer
        self._closed: BatonError | None = None

    def __len__(self) -> int:
        return len(self._admission.line)

    def waiting(self) -> Mapping[tuple[str, int], int]:
        """How many wait, by tenant and priority."""
        return self._admission.line.waiting()

    @property
    def shares(self) -> Shares:
        return self._admission.shares

    def turn(
        self,
        priority: int = 0,
        bill: Bill | None = None,
        key: Key | None = None,
        timeout: float | None = None,
        lane: Hashable = None,
        ttft: float = math.inf,
    ) -> Turn:
        """`timeout`: seconds that its client waits, if it has said so. `lane`: equal for those that
        would take the same workers; None: any. `ttft`: seconds by which it wants its first token.
        """
        return self._admission.turn(_now(), priority, bill, key, timeout, lane, ttft)

    def new_deadline(self) -> float:
        return self._admission.deadline(_now())

    async def admit(self, turn: Turn, place: Callable[[], T | None], returning: bool = False) -> T:
        """Waits until `place` returns something. Raises OverloadedError, TooLateError or
        NoRoomError.

        `returning`: it was placed before, so it is not refused for the length of the line.
        """
        if self._closed is not None:
            raise self._closed
        if self._admission.line.leads(turn):
            placed = place()
            if placed is not None:
                self._admission.place(turn, _now())
                return placed
        return await self._wait(self._enter(turn, place, returning))

    def pump(self) -> None:
        """Places from the head of the line as long as something fits. Whoever finds no room in a lane
        of its own keeps only those behind it in that lane waiting; nobody goes past a head that would
        take any worker.
        """
        line = self._admission.line
        stuck: set[Hashable] = set()  # lanes whose head finds no room
        while (head := line.head(stuck)) is not None:
            wish = head.content
            if wish.granted.done():
                self._admission.leave(head)
                continue
            placed = wish.place()
            if placed is None:
                stuck.add(head.turn.lane)
                if not head.turn.particular or len(stuck) > MOST_LANES:
                    return
                continue
            line.remove(head)
            self._admission.place(head.turn, _now())
            wish.granted.set_result(placed)

    def close(self, error: BatonError) -> None:
        """Everyone who waits, and who comes later, gets the error."""
        self._closed = error
        for waiter in self._admission.line.clear():
            if not waiter.content.granted.done():
                waiter.content.granted.set_exception(error)

    def _enter(
        self, turn: Turn, place: Callable[[], T | None], returning: bool
    ) -> Waiter[_Wish[T]]:
        wish = _Wish(place, asyncio.get_running_loop().create_future())
        entered = self._admission.enter(turn, wish, _now(), returning)
        if isinstance(entered, Refused):
            raise self._overloaded(entered.retry_after)
        if entered.displaced is not None:
            sent_away = entered.displaced.waiter.content.granted
            if not sent_away.done():
                sent_away.set_exception(self._overloaded(entered.displaced.retry_after))
        return entered.waiter

    async def _wait(self, waiter: Waiter[_Wish[T]]) -> T:
        granted, deadline = waiter.content.granted, waiter.turn.deadline
        try:
            while not granted.done():
                left = deadline - _now()
                if left <= 0:
                    raise self._late(waiter.turn)
                await asyncio.wait({granted}, timeout=min(left, TICK))
                self.pump()
            return granted.result()
        except asyncio.CancelledError:
            if granted.done() and granted.exception() is None:
                self._undo(granted.result())
            raise
        finally:
            if waiter in self._admission.line:
                self._admission.leave(waiter)
                self.pump()  # the next one may need less

    def _overloaded(self, retry_after: int) -> BatonError:
        if not self._can_answer():
            return _no_worker()
        return OverloadedError(FULL, retry_after)

    def _late(self, turn: Turn) -> BatonError:
        if not self._can_answer():
            return _no_worker()
        return TooLateError(
            "No worker had room in time.", self._admission.retry_after(turn, _now())
        )


def _no_worker() -> NoRoomError:
    return NoRoomError("No worker takes requests.", RETRY_UNKNOWN, Reason.NO_WORKER)


def _now() -> float:
    return asyncio.get_running_loop().time()
