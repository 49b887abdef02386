"""When those who were refused may come back: each has a slot of its own in what the cluster will do.

Telling all of them the same second would only move the crowd. A client that comes back is known by
the `key` of its request, so a slot is kept for whoever was told it, and nobody has to send anything.
"""

import heapq
from collections import deque

GRACE = 10.0  # seconds that a slot is kept for somebody who is late
EARLY = 0.5  # seconds; clocks and whole seconds differ
HORIZON = 600.0  # seconds; nobody is told to come later


class Promises:
    def __init__(self) -> None:
        self._slots: dict[int, deque[float]] = {}  # by key, each ascending
        self._ends: list[tuple[float, int]] = []  # heap: when a slot is given up
        self._latest: dict[str, float] = {}  # by tenant: its last slot
        self._kept = 0

    def __len__(self) -> int:
        """Slots that are kept."""
        return self._kept

    def make(self, key: int, tenant: str, now: float, soonest: float, gap: float) -> float:
        """When to come back. `gap`: seconds between two slots of the tenant."""
        after = max(self._latest.get(tenant, 0.0), soonest)
        slot = min(after + gap, now + HORIZON)
        self._latest[tenant] = slot
        slots = self._slots.setdefault(key, deque())
        slots.append(slot)
        heapq.heappush(self._ends, (slot + GRACE, key))
        self._kept += 1
        return slot

    def redeem(self, key: int, now: float) -> bool:
        """Whether somebody comes to his slot; it is used up then."""
        self.expire(now)
        slots = self._slots.get(key)
        if not slots or slots[0] > now + EARLY:
            return False
        self._drop(key)
        return True

    def expire(self, now: float) -> None:
        """Gives up the slots that nobody came to."""
        while self._ends and self._ends[0][0] <= now:
            end, key = heapq.heappop(self._ends)
            slots = self._slots.get(key)
            if slots and slots[0] + GRACE <= end:  # else it was used
                self._drop(key)

    def _drop(self, key: int) -> None:
        slots = self._slots[key]
        slots.popleft()
        self._kept -= 1
        if not slots:
            del self._slots[key]
