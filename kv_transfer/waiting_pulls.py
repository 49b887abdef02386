"""Pulls of one hand-off whose Prefill has not come: nobody knows yet which of them is right."""

import hmac
from dataclasses import dataclass

from kv_transfer.sender_events import SenderLimits


@dataclass(frozen=True, slots=True)
class _Waiter:
    ticket: bytes
    deadline: float


class WaitingPulls:
    """By their ids; each waits for a bounded time, and only so many do."""

    def __init__(self, limits: SenderLimits) -> None:
        self._limits = limits
        self._waiters: dict[int, _Waiter] = {}

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def deadline(self) -> float:
        """Of the first that is due. There is one."""
        return min(waiter.deadline for waiter in self._waiters.values())

    def add(self, pull_id: int, ticket: bytes, now: float) -> bool:
        """False: too many wait."""
        if len(self._waiters) >= self._limits.waiting_pulls:
            return False
        self._waiters[pull_id] = _Waiter(ticket, now + self._limits.pull_wait_s)
        return True

    def remove(self, pull_id: int) -> None:
        """An unknown one is fine."""
        self._waiters.pop(pull_id, None)

    def take(self) -> list[tuple[int, bytes]]:
        """All of them with their tickets, in order of arrival; none waits any more."""
        taken = [(pull_id, waiter.ticket) for pull_id, waiter in self._waiters.items()]
        self._waiters.clear()
        return taken

    def with_ticket(self, ticket: bytes) -> list[int]:
        return [i for i, w in self._waiters.items() if hmac.compare_digest(w.ticket, ticket)]

    def due(self, now: float) -> list[int]:
        return [pull_id for pull_id, w in self._waiters.items() if w.deadline <= now]
