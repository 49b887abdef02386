"""The line in front of the cluster: who may join it, who goes next, and what the others are told."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.admission.line import Key, Line, Turn, Waiter
from gateway.admission.pace import Pace
from gateway.admission.promises import Promises
from gateway.admission.shares import Bill, Shares

T = TypeVar("T")

PROMISED = 0.9  # of the line's pace goes to those who were told to come back
CERTAIN = 0.8  # of what passes within the patience may stand in the line
MOST_PROMISES = 100_000


@dataclass(frozen=True, slots=True)
class Entered(Generic[T]):
    waiter: Waiter[T]
    displaced: "Displaced[T] | None" = None


@dataclass(frozen=True, slots=True)
class Displaced(Generic[T]):
    """Somebody who waited, and had more places than is fair: refused in the newcomer's stead."""

    waiter: Waiter[T]
    retry_after: int  # seconds


@dataclass(frozen=True, slots=True)
class Refused:
    retry_after: int  # seconds until a place is kept


class Admission(Generic[T]):
    """`limit`: most who wait. `patience`: seconds that one waits at most, so that no more are let
    in than will go by then. Those that take any worker are judged by their own pace, and so are those
    that do not: a line for a worker that is away says nothing of the others. While slots are promised, newcomers have the front half of the line and
    those who come back as they were told have the rest: the cluster is never idle for a promise,
    and a promise is never broken by newcomers.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._numbers = 0
        self._paces = {particular: Pace() for particular in (False, True)}
        self._promises = Promises()
        self.shares = Shares()
        self.line: Line[T] = Line(self.shares)

    def turn(
        self,
        now: float,
        priority: int = 0,
        bill: Bill | None = None,
        key: Key | None = None,
        timeout: float | None = None,
        lane: Hashable = None,
        ttft: float = math.inf,
    ) -> Turn:
        """`timeout`: seconds that its client waits, if it has said so; never more than others. `ttft`:
        seconds by which it wants its first token.
        """
        self._numbers += 1
        deadline = self.deadline(now, timeout)
        due = min(now + ttft, deadline)
        return Turn(self._numbers, deadline, due, priority, bill=bill or Bill(), key=key, lane=lane)

    def deadline(self, now: float, timeout: float | None = None) -> float:
        return now + (self._patience if timeout is None else min(timeout, self._patience))

    def enter(
        self, turn: Turn, content: T, now: float, returning: bool = False
    ) -> Entered[T] | Refused:
        """`returning`: it was placed before, so it is not refused for the length of the line."""
        waiter = Waiter(turn, content)
        if returning or self._has_place_for(turn, now):
            self._join(waiter, now)
            return Entered(waiter)
        last = self.line.last_for(turn)
        if last is None:
            return Refused(self.retry_after(turn, now))
        self.line.remove(last)
        self._join(waiter, now)
        return Entered(waiter, Displaced(last, self.retry_after(last.turn, now)))

    def leave(self, waiter: Waiter[T]) -> None:
        """Without having got room."""
        self.line.remove(waiter)
        particular = waiter.turn.particular
        if not self.line.count(particular):
            self._paces[particular].emptied()

    def place(self, turn: Turn, now: float) -> None:
        """It has got room, and is not in the line any more. Who was placed before and had to come back
        makes the line no faster than it is.
        """
        self.line.placed()
        still_waiting = self.line.count(turn.particular) > 0
        pace = self._paces[turn.particular]
        if not turn.bill.charged:
            pace.departed(now, still_waiting)
        elif not still_waiting:
            pace.emptied()
        self.shares.charge(turn.bill, self.line.loads())

    def retry_after(self, turn: Turn, now: float) -> int:
        """Seconds until the slot that is promised now."""
        self._promises.expire(now)
        gap = 1.0 / (PROMISED * self._rate(turn, now) * self._share_of(turn.bill))
        if len(self._promises) >= MOST_PROMISES or turn.key is None:
            return max(1, math.ceil(min(gap * (len(self.line) + 1), self._patience)))
        slot = self._promises.make(turn.key(), turn.bill.tenant, now, now, gap)
        return max(1, math.ceil(slot - now))

    def most(self, now: float, particular: bool = False) -> int:
        """Who may wait, so that all of them go within the patience at the line's pace."""
        pace = self._paces[particular]
        rate = pace.rate(now) if pace.is_known else None
        if rate is None:
            return self._limit
        return min(self._limit, max(1, int(CERTAIN * rate * self._patience)))

    def _has_place_for(self, turn: Turn, now: float) -> bool:
        most = self.most(now, turn.particular)
        self._promises.expire(now)
        kept = min(len(self._promises), most // 2)
        if kept and turn.key is not None and self._promises.redeem(turn.key(), now):
            kept = 0
        waiting = self.line.count(turn.particular)
        return waiting < most - kept and len(self.line) < self._limit - kept

    def _join(self, waiter: Waiter[T], now: float) -> None:
        self.line.add(waiter)
        self._paces[waiter.turn.particular].waiting(now)

    def _rate(self, turn: Turn, now: float) -> float:
        """Departures per second; before any was seen, as slow as is allowed."""
        return self._paces[turn.particular].rate(now) or max(1, self._limit) / self._patience

    def _share_of(self, bill: Bill) -> float:
        """Of what goes from the line, while those wait who do now."""
        weights = {tenant: weight for tenant, (_, weight) in self.line.loads().items()}
        weights[bill.tenant] = bill.weight
        return bill.weight / sum(weights.values())
